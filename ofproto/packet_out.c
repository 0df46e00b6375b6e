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
#include <string.h>

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

static int check_program(const struct bridge *bridge, const struct program *program,
			 struct error *error)
{
	program_for_each_op (op, program)
		if (action_kinds[op->code].place != PLACE_APPLY)
			return error_set(error, EINVAL,
					 "%s is for flows in tables; a packet-out has actions, and "
					 "'table' sends the packet through the tables",
					 action_kinds[op->code].name);
	return group_check_program(bridge, program, error);
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

static void run(struct bridge *bridge, struct worker *worker, const struct packet_out *out,
		struct rte_mbuf *packet)
{
	worker->packet_out = out;
	hot->forward(worker, bridge->forwarding, workers_packet_out_port(), &packet, 1);
	worker->packet_out = NULL;
	// Flows that the packet teaches, while the actions that ask for them are known.
	bridges_learn();
}

int packet_out_run(struct bridge *bridge, const struct key *metadata, uint16_t lines,
		   const char *actions, const uint8_t *bytes, size_t size, struct error *error)
{
	struct packet_out out = { .metadata = metadata,
				  .in_port = rte_be_to_cpu_32(metadata->core.in_port) };
	struct worker *worker = workers_main();
	struct program *program = NULL;
	struct rte_mbuf *packet;
	int status;

	if (!worker)
		return error_set(error, ENOMEM, "out of memory");
	status = program_parse(actions, &bridge->port_names, &program, error);
	if (status < 0) {
		error_prefix(error, "actions");
		return status;
	}
	status = check_program(bridge, program, error);
	if (!status)
		status = bridge_make_samples(bridge, program, error);
	packet = status ? NULL : make_packet(bytes, size, error);
	if (!status && !packet)
		status = error && error->code ? -error->code : -EINVAL;
	if (!status && learn_attach(bridge, program) < 0) {
		rte_pktmbuf_free(packet);
		status = error_set(error, ENOMEM, "out of memory");
	}
	if (!status) {
		bridge_make_lines_live(bridge,
				       lines | program->lines_read | program->lines_written);
		out.program = program;
		run(bridge, worker, &out, packet);
		learn_detach(program);
		learn_delete_orphans(bridge);
	}
	rcu_defer(program_free, program);
	return status;
}
