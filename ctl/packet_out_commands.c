// packet-out: a packet from the command line, and what happens to it.
#include "ctl/switch_bridge.h"

#include "common/error.h"
#include "ctl/packet_out_text.h"

#include <errno.h>

// If it could be made.
static int send(int failed, struct packet_out_request *request, struct error *error)
{
	if (!failed)
		failed = packet_out_check(request, error);
	if (!failed)
		packet_out_send(request);
	packet_out_free(request);
	return failed;
}

static int send_hex(struct bridge *bridge, const struct key *metadata, const char *actions,
		    const char *hex, struct error *error)
{
	struct packet_out_request *request = NULL;
	int failed = packet_out_hex_make(bridge, metadata, 0, actions, hex, &request, error);

	return send(failed, request, error);
}

int handle_packet_out(const struct handler_call *call, json_t **result, struct error *error)
{
	struct bridge *bridge = call_switch_bridge(call, error);
	struct packet_out_request *request = NULL;
	struct key metadata;
	int failed;

	(void)result;
	if (!bridge)
		return -ENOENT;
	if (call_n_args(call) == 2) {
		failed = packet_out_text_make(bridge, call_arg(call, 1), &request, error);
		return send(failed, request, error);
	}
	if (call_n_args(call) == 3)
		return error_set(
			error, EINVAL,
			"packet-out takes BRIDGE in_port=PORT,packet=HEX,actions=ACTIONS, or "
			"BRIDGE PORT ACTIONS PACKET...");
	failed = packet_out_parse_port(bridge, call_arg(call, 1), &metadata, error);
	for (size_t i = 3; !failed && i < call_n_args(call); i++)
		failed = send_hex(bridge, &metadata, call_arg(call, 2), call_arg(call, i), error);
	error->column = 0;
	return failed;
}
