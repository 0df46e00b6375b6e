// Commands on flows. Text is parsed with the bridge's port names; changes go through flow_mod.h.
#include "ctl/switch_bridge.h"

#include "common/error.h"
#include "ctl/flow_list.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static int apply_file(struct bridge *bridge, const char *text, bool bundle, struct error *error)
{
	struct flow_list list = { .bridge = bridge, .keeps_early = !bundle };
	int result = flow_list_read(&list, text, error);

	if (!result)
		result = flow_list_apply(&list, bundle, error);
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
		result = flow_list_apply(&list, call_flag(call, "bundle"), error);
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
	return bridge ? apply_file(bridge, call_arg(call, 1), call_flag(call, "bundle"), error)
		      : -ENOENT;
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
