// add-tlv-map and its kin. The map is a column of the bridge's row, so that it is kept, changes with
// its transaction and is in force before flows of the same command line.
#include "ctl/handlers.h"
#include "ctl/tlv_map.h"

#include "common/error.h"

#include <errno.h>
#include <string.h>

int tlv_map_read(const json_t *bridge, struct tun_map *map, struct error *error)
{
	json_t *item;
	size_t i;

	tun_map_init(map);
	json_array_foreach (json_object_get(bridge, "tlv_map"), i, item) {
		struct tun_option option;
		unsigned int number;
		int result =
			tun_option_parse(json_string_value(item), &option, &number, NULL, error);

		if (!result)
			result = tun_map_add(map, &option, number, error);
		if (result) {
			error_prefix(error, "bridge '%s'", config_string(bridge, "name"));
			return result;
		}
	}
	return 0;
}

static json_t *edit_map(const struct handler_call *call, struct tun_map *map, int *failed,
			struct error *error)
{
	json_t *bridge = call_bridge(call, call_arg(call, 0), error);

	*failed = bridge ? tlv_map_read(bridge, map, error) : -ENOENT;
	if (*failed)
		return NULL;
	return config_edit(call->transaction->config, TABLE_Bridge, config_row_uuid(bridge));
}

static void write_map(json_t *bridge, const struct tun_map *map)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < TUN_MAP_FIELDS; i++) {
		char text[TUN_MAP_TEXT_SIZE];

		if (!map->options[i].length)
			continue;
		tun_option_format(&map->options[i], i, text);
		json_array_append_new(list, json_string(text));
	}
	json_object_set_new(bridge, "tlv_map", list);
}

// Each option of the argument: added, or else the field is taken out of the map.
static int change(const struct handler_call *call, bool add, struct error *error)
{
	const char *at = call_arg(call, 1);
	struct tun_map map;
	int failed;
	json_t *bridge = edit_map(call, &map, &failed, error);

	if (!at && bridge) // all of them
		tun_map_init(&map);
	while (!failed && at && *at) {
		struct tun_option option;
		unsigned int number;

		failed = tun_option_parse(at, &option, &number, &at, error);
		if (!failed && add)
			failed = tun_map_add(&map, &option, number, error);
		else if (!failed)
			tun_map_remove(&map, number);
	}
	if (!failed)
		write_map(bridge, &map);
	return failed;
}

int handle_tlv_map_add(const struct handler_call *call, json_t **result, struct error *error)
{
	(void)result;
	if (!*call_arg(call, 1))
		return error_set(error, EINVAL,
				 "a mapping looks like {class=0xffff,type=0,len=4}->tun_metadata0");
	return change(call, true, error);
}

int handle_tlv_map_delete(const struct handler_call *call, json_t **result, struct error *error)
{
	(void)result;
	return change(call, false, error);
}

int handle_tlv_map_dump(const struct handler_call *call, json_t **result, struct error *error)
{
	json_t *bridge = call_bridge(call, call_arg(call, 0), error);
	json_t *list;
	struct tun_map map;
	int failed = bridge ? tlv_map_read(bridge, &map, error) : -ENOENT;

	if (failed)
		return failed;
	list = json_array();
	for (unsigned int i = 0; i < TUN_MAP_FIELDS; i++)
		if (map.options[i].length)
			json_array_append_new(list, json_pack("{s:i, s:i, s:i, s:i}", "class",
							      map.options[i].class, "type",
							      map.options[i].type, "length",
							      map.options[i].length, "field", i));
	*result = json_pack("{s:i, s:i, s:o}", "max_option_space", TUN_MAP_MAX_BYTES, "max_fields",
			    TUN_MAP_FIELDS, "mappings", list);
	return 0;
}
