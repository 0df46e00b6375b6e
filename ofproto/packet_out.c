#include "ofproto/packet_out.h"

#include "common/error.h"
#include "common/text.h"
#include "datapath/datapath.h"
#include "datapath/hot.h"
#include "flowtable/action.h"
#include "ofproto/bridge_internal.h"
#include "ofproto/group.h"
#include "ofproto/learn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct packet_out_request {
	struct bridge *bridge;
	struct key metadata;
	uint16_t lines;
	bool attached; // its learn actions are known
	struct program *program;
	struct rte_mbuf *packet; // NULL: it is sent
};

static int check_port(const struct bridge *bridge, uint32_t number, struct error *error)
{
	if (number == OFPP_CONTROLLER || number == OFPP_ANY ||
	    bridge_port_by_number(bridge, number))
		return 0;
	return error_set(
		error, ENOENT,
		"bridge '%s' has no port number %u for the packet to come from; CONTROLLER "
		"and NONE are possible, too",
		bridge->name, number);
}

// Only what a packet's bytes do not say may be given.
static int check_fields(const struct match *match, struct error *error)
{
	struct key mask = match->mask;
	uint64_t others = 0;

	mask.core.in_port = 0;
	mask.core.metadata = 0;
	mask.core.pkt_mark = 0;
	for (unsigned int w = 0; w < KEY_WORDS; w++) {
		const unsigned int line = w / KEY_LINE_WORDS;

		if (line != KEY_LINE_REGISTERS && line != KEY_LINE_REGISTERS2 &&
		    line != KEY_LINE_TUNNEL && line != KEY_LINE_TUNNEL6)
			others |= mask.words[w];
	}
	if (!others)
		return 0;
	return error_set(
		error, EINVAL,
		"a packet-out takes in_port, metadata, pkt_mark, registers and tunnel fields; "
		"all else is what the packet's bytes say");
}

int packet_out_parse_fields(const struct bridge *bridge, const char *text, struct key *metadata,
			    uint16_t *lines, struct error *error)
{
	struct flow_text flow;
	int status = flow_text_parse(text, FLOW_TEXT_MATCH, &bridge->port_names, &flow, error);

	if (status < 0)
		return status;
	*metadata = flow.match.value;
	*lines = 0;
	for (unsigned int w = 0; w < KEY_WORDS; w++)
		if (flow.match.mask.words[w])
			*lines |= (uint16_t)(1u << w / KEY_LINE_WORDS);
	status = check_fields(&flow.match, error);
	if (!status && !flow.match.mask.core.in_port)
		status =
			error_set(error, EINVAL,
				  "in_port=PORT is missing: where the packet is said to come from");
	if (!status)
		status = check_port(bridge, rte_be_to_cpu_32(metadata->core.in_port), error);
	flow_text_release(&flow);
	return status;
}

int packet_out_parse_port(const struct bridge *bridge, const char *text, struct key *metadata,
			  struct error *error)
{
	struct text field = { 0 };
	uint16_t lines;
	int status;

	text_addf(&field, "in_port=%s", text);
	status = field.failed
			 ? error_set(error, ENOMEM, "out of memory")
			 : packet_out_parse_fields(bridge, field.data, metadata, &lines, error);
	text_free(&field);
	return status;
}

static int check_actions(const struct program *program, struct error *error)
{
	program_for_each_op (op, program)
		if (action_kinds[op->code].place != PLACE_APPLY)
			return error_set(error, EINVAL,
					 "%s is for flows in tables; a packet-out has actions, and "
					 "'table' sends the packet through the tables",
					 action_kinds[op->code].name);
	return 0;
}

static struct rte_mbuf *make_packet(const uint8_t *bytes, size_t size, struct error *error)
{
	struct rte_mbuf *packet;

	if (size < 14) {
		error_set(error, EINVAL,
			  "the packet has %zu bytes: an Ethernet header alone has 14", size);
		return NULL;
	}
	packet = rte_pktmbuf_alloc(packet_pool());
	if (!packet) {
		error_set(error, ENOMEM, "no packet buffer is free");
		return NULL;
	}
	if (size > rte_pktmbuf_tailroom(packet)) {
		error_set(error, EMSGSIZE, "the packet has %zu bytes: at most %u are possible",
			  size, rte_pktmbuf_tailroom(packet));
		rte_pktmbuf_free(packet);
		return NULL;
	}
	memcpy(rte_pktmbuf_append(packet, (uint16_t)size), bytes, size);
	return packet;
}

int packet_out_make(struct bridge *bridge, const struct key *metadata, uint16_t lines,
		    const char *actions, const uint8_t *bytes, size_t size,
		    struct packet_out_request **made, struct error *error)
{
	struct packet_out_request *request = calloc(1, sizeof(*request));
	int status;

	*made = NULL;
	if (!request || !workers_main()) {
		free(request);
		return error_set(error, ENOMEM, "out of memory");
	}
	request->bridge = bridge;
	request->metadata = *metadata;
	request->lines = lines;
	status = program_parse(actions, &bridge->port_names, &request->program, error);
	if (status < 0)
		error_prefix(error, "actions");
	else
		status = check_actions(request->program, error);
	if (!status) {
		request->packet = make_packet(bytes, size, error);
		if (!request->packet)
			status = error && error->code ? -error->code : -EINVAL;
	}
	if (status)
		packet_out_free(request);
	else
		*made = request;
	return status;
}

int packet_out_check(struct packet_out_request *request, struct error *error)
{
	struct bridge *bridge = request->bridge;
	int status = group_check_program(bridge, request->program, error);

	if (!status)
		status = bridge_make_samples(bridge, request->program, error);
	if (status || request->attached)
		return status;
	if (learn_attach(bridge, request->program) < 0)
		return error_set(error, ENOMEM, "out of memory");
	request->attached = true;
	return 0;
}

void packet_out_send(struct packet_out_request *request)
{
	const struct packet_out out = {
		.metadata = &request->metadata,
		.in_port = rte_be_to_cpu_32(request->metadata.core.in_port),
		.program = request->program,
	};
	struct worker *worker = workers_main();
	struct rte_mbuf *packet = request->packet;

	if (!packet)
		return;
	request->packet = NULL;
	bridge_make_lines_live(request->bridge, request->lines | request->program->lines_read |
							request->program->lines_written);
	worker->packet_out = &out;
	hot->forward(worker, request->bridge->forwarding, workers_packet_out_port(), &packet, 1);
	worker->packet_out = NULL;
	// Flows that the packet teaches, while the actions that ask for them are known.
	bridges_learn();
}

void packet_out_free(struct packet_out_request *request)
{
	if (!request)
		return;
	if (request->attached) {
		learn_detach(request->program);
		learn_delete_orphans(request->bridge);
	}
	rte_pktmbuf_free(request->packet);
	if (request->program)
		rcu_defer(program_free, request->program);
	free(request);
}
