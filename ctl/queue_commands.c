// Queues of ports, and fragments: what ovs-ofctl(8) asks, of which this switch has one answer.
#include "ctl/switch_bridge.h"

#include "common/error.h"
#include "common/text.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

static bool is_all(const char *text)
{
	return !text || !strcasecmp(text, "ALL") || !strcasecmp(text, "ANY");
}

// No port has queues as long as there is no quality of service: the list is empty, once it is clear
// that the question has a meaning.
static int list_queues(const struct handler_call *call, json_t **result, struct error *error)
{
	struct bridge *bridge = call_switch_bridge(call, error);
	const char *port = call_arg(call, 1), *queue = call_arg(call, 2);
	uint64_t number;

	if (!bridge || (!is_all(port) && !call_switch_port(bridge, port, error)))
		return -ENOENT;
	if (!is_all(queue) && (parse_u64(queue, &number) || number > UINT32_MAX))
		return error_set(error, EINVAL,
				 "'%.64s' is no queue: say its number, or ALL for every queue",
				 queue);
	if (!is_all(port) && !is_all(queue))
		return error_set(error, ENOENT, "port '%.64s' has no queue %.20s: it has none",
				 port, queue);
	*result = json_array();
	return 0;
}

int handle_queue_stats(const struct handler_call *call, json_t **result, struct error *error)
{
	return list_queues(call, result, error);
}

int handle_queue_config(const struct handler_call *call, json_t **result, struct error *error)
{
	return list_queues(call, result, error);
}

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
