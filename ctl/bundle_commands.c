// The command bundle.
#include "ctl/switch_bridge.h"

#include "common/error.h"
#include "ctl/bundle_list.h"

#include <errno.h>

int handle_bundle(const struct handler_call *call, json_t **result, struct error *error)
{
	struct bridge *bridge = call_switch_bridge(call, error);
	struct bundle_list list;
	int failed;

	(void)result;
	if (!bridge)
		return -ENOENT;
	bundle_list_init(&list, bridge);
	failed = bundle_list_read(&list, call_arg(call, 1), error);
	if (!failed)
		failed = bundle_list_apply(&list, error);
	bundle_list_free(&list);
	return failed;
}
