// Commands on bridges: rows of Bridge and of their own ports.
#include "ctl/handlers.h"

#include "common/error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static json_t *insert_named(struct config *config, enum schema_table_id table, const char *name)
{
	json_t *row = config_insert(config, table, NULL);

	json_object_set_new(row, "name", json_string(name));
	return row;
}

int handle_bridge_add(const struct handler_call *call, json_t **result, struct error *error)
{
	struct config *config = call->transaction->config;
	const char *name = call_arg(call, 0);
	json_t *bridge, *port, *interface;

	(void)result;
	if (config_find(config, TABLE_Bridge, name)) {
		if (call_flag(call, "may-exist"))
			return 0;
		return error_set(error, EEXIST,
				 "bridge '%s' already exists; --may-exist accepts that", name);
	}
	port = config_find(config, TABLE_Port, name);
	if (port) {
		bridge = config_bridge_of_port(config, port);
		return error_set(error, EEXIST,
				 "cannot make bridge '%s': a port of that name is on bridge '%s'",
				 name, bridge ? config_string(bridge, "name") : "?");
	}
	bridge = insert_named(config, TABLE_Bridge, name);
	port = insert_named(config, TABLE_Port, name);
	interface = insert_named(config, TABLE_Interface, name);
	json_object_set_new(interface, "type", json_string("internal"));
	config_add_ref(config, TABLE_Port, config_row_uuid(port), "interfaces",
		       config_row_uuid(interface));
	config_add_ref(config, TABLE_Bridge, config_row_uuid(bridge), "ports",
		       config_row_uuid(port));
	config_add_ref(config, TABLE_Open_vSwitch,
		       config_row_uuid(config_single(config, TABLE_Open_vSwitch)), "bridges",
		       config_row_uuid(bridge));
	return 0;
}

// The rows of a bridge's ports go with it, at once: a later command may use their names again.
static void delete_ports(struct config *config, const json_t *bridge)
{
	json_t *ref, *interface_ref;
	size_t i, k;

	json_array_foreach (json_object_get(bridge, "ports"), i, ref) {
		const json_t *port = config_row(config, TABLE_Port, json_string_value(ref));

		json_array_foreach (json_object_get(port, "interfaces"), k, interface_ref)
			config_delete(config, TABLE_Interface, json_string_value(interface_ref));
		config_delete(config, TABLE_Port, json_string_value(ref));
	}
}

int handle_bridge_del(const struct handler_call *call, json_t **result, struct error *error)
{
	struct config *config = call->transaction->config;
	const char *name = call_arg(call, 0);
	json_t *bridge = config_find(config, TABLE_Bridge, name);
	char uuid[SCHEMA_UUID_SIZE];

	(void)result;
	if (!bridge && call_flag(call, "if-exists"))
		return 0;
	bridge = call_bridge(call, name, error);
	if (!bridge)
		return -ENOENT;
	memcpy(uuid, config_row_uuid(bridge), sizeof(uuid));
	config_remove_ref(config, TABLE_Open_vSwitch,
			  config_row_uuid(config_single(config, TABLE_Open_vSwitch)), "bridges",
			  uuid);
	delete_ports(config, bridge);
	config_delete(config, TABLE_Bridge, uuid);
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int handle_bridge_list(const struct handler_call *call, json_t **result, struct error *error)
{
	json_t *rows = config_rows(call->transaction->config, TABLE_Bridge);
	const char **names = calloc(json_object_size(rows) + 1, sizeof(*names));
	const char *uuid;
	json_t *row;
	size_t n = 0;

	if (!names)
		return error_set(error, ENOMEM, "out of memory");
	json_object_foreach (rows, uuid, row)
		names[n++] = config_string(row, "name");
	qsort(names, n, sizeof(*names), compare_names);
	*result = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(*result, json_string(names[i]));
	free(names);
	return 0;
}

int handle_bridge_exists(const struct handler_call *call, json_t **result, struct error *error)
{
	(void)error;
	*result = json_boolean(
		config_find(call->transaction->config, TABLE_Bridge, call_arg(call, 0)));
	return 0;
}

static json_t *edit_bridge(const struct handler_call *call, struct error *error)
{
	json_t *row = call_bridge(call, call_arg(call, 0), error);

	return row ? config_edit(call->transaction->config, TABLE_Bridge, config_row_uuid(row))
		   : NULL;
}

int handle_bridge_set_fail_mode(const struct handler_call *call, json_t **result,
				struct error *error)
{
	json_t *bridge = edit_bridge(call, error);
	json_t *mode;
	int failed;

	(void)result;
	if (!bridge)
		return -ENOENT;
	failed = schema_parse(schema_column(&schema_tables[TABLE_Bridge], "fail_mode"),
			      call_arg(call, 1), NULL, &mode, error);
	if (!failed)
		json_object_set_new(bridge, "fail_mode", mode);
	return failed;
}

int handle_bridge_get_fail_mode(const struct handler_call *call, json_t **result,
				struct error *error)
{
	json_t *bridge = call_bridge(call, call_arg(call, 0), error);

	if (!bridge)
		return -ENOENT;
	*result = json_incref(json_object_get(bridge, "fail_mode"));
	return 0;
}

int handle_bridge_del_fail_mode(const struct handler_call *call, json_t **result,
				struct error *error)
{
	json_t *bridge = edit_bridge(call, error);

	(void)result;
	if (!bridge)
		return -ENOENT;
	json_object_set_new(bridge, "fail_mode", json_null());
	return 0;
}

int handle_bridge_set_controller(const struct handler_call *call, json_t **result,
				 struct error *error)
{
	struct config *config = call->transaction->config;
	json_t *bridge = edit_bridge(call, error);

	(void)result;
	if (!bridge)
		return -ENOENT;
	json_array_clear(json_object_get(bridge, "controller"));
	for (size_t i = 1; i < call_n_args(call); i++) {
		json_t *row = config_insert(config, TABLE_Controller, NULL);

		if (json_object_set_new(row, "target", json_string(call_arg(call, i))))
			return error_set(error, EINVAL, "the target is not valid UTF-8");
		config_add_ref(config, TABLE_Bridge, config_row_uuid(bridge), "controller",
			       config_row_uuid(row));
	}
	call_warn(call, "the controllers are kept, but this version does not connect to them");
	return 0;
}

int handle_bridge_get_controller(const struct handler_call *call, json_t **result,
				 struct error *error)
{
	const struct config *config = call->transaction->config;
	json_t *bridge = call_bridge(call, call_arg(call, 0), error);
	json_t *ref;
	size_t i;

	if (!bridge)
		return -ENOENT;
	*result = json_array();
	json_array_foreach (json_object_get(bridge, "controller"), i, ref) {
		const json_t *row = config_row(config, TABLE_Controller, json_string_value(ref));

		json_array_append_new(*result, json_string(config_string(row, "target")));
	}
	return 0;
}

int handle_bridge_del_controller(const struct handler_call *call, json_t **result,
				 struct error *error)
{
	json_t *bridge = edit_bridge(call, error);

	(void)result;
	if (!bridge)
		return -ENOENT;
	json_array_clear(json_object_get(bridge, "controller"));
	return 0;
}
