// Fragments: what ovs-ofctl(8) asks, of which this switch has one answer.
#include "ctl/switch_bridge.h"

#include "common/error.h"

#include <errno.h>
#include <string.h>

int handle_switch_get_frags(const struct handler_call *call, json_t **result, struct error *error)
{
	if (!call_switch_bridge(call, error))
		return -ENOENT;
	*result = json_string("normal");
	return 0;
}

int handle_switch_set_frags(const struct handler_call *call, json_t **result, struct error *error)
{
	static const char *const others[] = { "drop", "reassemble", "nx-match" };
	const char *mode = call_arg(call, 1);

	(void)result;
	if (!call_switch_bridge(call, error))
		return -ENOENT;
	if (!strcmp(mode, "normal"))
		return 0;
	for (unsigned int i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (!strcmp(mode, others[i]))
			return error_set(error, EOPNOTSUPP,
					 "fragments are handled in one way, normal, not %s: flows "
					 "that match ip_frag can drop them or send them elsewhere",
					 mode);
	return error_set(error, EINVAL,
			 "'%.64s' is no way to handle fragments; normal is the one that there is",
			 mode);
}
