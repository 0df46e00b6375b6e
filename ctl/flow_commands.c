// Commands on flows. Text is parsed with the bridge's port names; changes go through flow_mod.h.
#include "ctl/switch_bridge.h"

#include "common/error.h"
#include "ctl/flow_list.h"
#include "ofproto/trace.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static int apply_file(struct bridge *bridge, const char *text, struct error *error)
{
	struct flow_list list = { .bridge = bridge, .keeps_early = true };
	int result = flow_list_read(&list, text, error);

	if (!result)
		result = flow_list_apply(&list, error);
	flow_list_free(&list);
	return result;
}

static int apply_one(const struct handler_call *call, enum flow_mod_command command,
		     enum flow_text_usage usage, struct error *error)
{
	struct flow_list list = { .bridge = call_switch_bridge(call, error) };
	const char *text = call_arg(call, 1);
	int result;

	if (!list.bridge)
		return -ENOENT;
	result = flow_list_add(&list, text ? text : "", command, usage, 0, error);
	if (!result)
		result = flow_list_apply(&list, error);
	if (result)
		error->line = 0;
	flow_list_free(&list);
	return result;
}

int handle_flow_add(const struct handler_call *call, json_t **result, struct error *error)
{
	(void)result;
	return apply_one(call, FLOW_ADD, FLOW_TEXT_ADD, error);
}

int handle_flow_add_file(const struct handler_call *call, json_t **result, struct error *error)
{
	struct bridge *bridge = call_switch_bridge(call, error);

	(void)result;
	return bridge ? apply_file(bridge, call_arg(call, 1), error) : -ENOENT;
}

int handle_flow_modify(const struct handler_call *call, json_t **result, struct error *error)
{
	(void)result;
	return apply_one(call, call_flag(call, "strict") ? FLOW_MODIFY_STRICT : FLOW_MODIFY,
			 FLOW_TEXT_MOD, error);
}

int handle_flow_delete(const struct handler_call *call, json_t **result, struct error *error)
{
	(void)result;
	return apply_one(call, call_flag(call, "strict") ? FLOW_DELETE_STRICT : FLOW_DELETE,
			 FLOW_TEXT_DELETE, error);
}

int handle_flow_dump_tables(const struct handler_call *call, json_t **result, struct error *error)
{
	struct bridge *bridge = call_switch_bridge(call, error);
	struct table_part parts[64];

	if (!bridge)
		return -ENOENT;
	*result = json_array();
	for (unsigned int id = 0; id < N_TABLES; id++) {
		const struct table *table = bridge_table(bridge, (uint8_t)id);
		json_t *list = json_array();
		unsigned int n = table ? table_parts(table, parts, 64) : 0;

		if (n > 64)
			n = 64;
		for (unsigned int i = 0; i < n; i++)
			json_array_append_new(
				list, json_pack("{s:s, s:I, s:I, s:I, s:I}", "template",
						parts[i].template_name, "flows",
						(json_int_t)parts[i].n_flows, "masks",
						(json_int_t)parts[i].n_masks, "max_priority",
						(json_int_t)parts[i].max_priority, "memory",
						(json_int_t)parts[i].memory));
		if (table)
			json_array_append_new(*result,
					      json_pack("{s:I, s:I, s:o}", "table", (json_int_t)id,
							"flows", (json_int_t)table_size(table),
							"parts", list));
		else
			json_decref(list);
	}
	return 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// Hexadecimal digits to bytes; blanks between bytes are allowed.
static int parse_packet(const char *text, uint8_t *packet, size_t max, size_t *size,
			struct error *error)
{
	const char *start = text;

	for (*size = 0; *text; text += 2) {
		text += strspn(text, " :");
		if (!*text)
			break;
		if (*size == max)
			return error_set(error, E2BIG, "the packet is longer than %zu bytes", max);
		if (hex_digit(text[0]) < 0 || hex_digit(text[1]) < 0) {
			error->column = (int)(text - start) + 1;
			return error_set(error, EINVAL,
					 "the packet is written in pairs of hexadecimal digits");
		}
		packet[(*size)++] = (uint8_t)(hex_digit(text[0]) << 4 | hex_digit(text[1]));
	}
	return 0;
}

int handle_flow_trace(const struct handler_call *call, json_t **result, struct error *error)
{
	struct bridge *bridge = call_switch_bridge(call, error);
	uint8_t packet[16384];
	size_t size = 0;
	int failed = 0;

	if (!bridge)
		return -ENOENT;
	if (call_arg(call, 2))
		failed = parse_packet(call_arg(call, 2), packet, sizeof(packet), &size, error);
	return failed ? failed : trace_run(bridge, call_arg(call, 1), packet, size, result, error);
}
