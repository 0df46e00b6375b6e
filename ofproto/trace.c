#include "ofproto/trace.h"

#include "common/error.h"
#include "common/rcu.h"
#include "common/text.h"
#include "datapath/datapath.h"
#include "datapath/hot.h"
#include "ofproto/key_text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define TRACE_MAX_STEPS 10000

// What a trace under way has collected.
struct collector {
	json_t *steps;
	json_t *outcome;
	json_t *drops;
	size_t n_steps;
};

static void set_text(json_t *object, const char *key, struct text *text)
{
	json_object_set_new(object, key, json_string(text->data ? text->data : ""));
	text_free(text);
}

static const struct port_names *names_of(const struct forwarding *forwarding)
{
	const struct bridge *bridge = bridge_find(forwarding->name);

	return bridge ? bridge_port_names(bridge) : NULL;
}

static void set_key(json_t *object, const char *name, const struct key *key,
		    const struct port_names *names)
{
	struct text text = { 0 };
	struct match match;

	key_describe(key, names, &match);
	match_format(&match, names, &text);
	set_text(object, name, &text);
}

static void collect_lookup(void *context, const struct forwarding *forwarding, uint8_t table_id,
			   const struct flow *flow, unsigned int depth, const struct key *key)
{
	struct collector *collector = context;
	const struct port_names *names = names_of(forwarding);
	struct text text = { 0 };
	struct match match;
	json_t *step;

	if (++collector->n_steps > TRACE_MAX_STEPS)
		return;
	step = json_pack("{s:s, s:i, s:i}", "bridge", forwarding->name, "table", table_id, "depth",
			 (int)depth);
	json_array_append_new(collector->steps, step);
	set_key(step, "packet", key, names);
	if (!flow) {
		json_object_set_new(step, "flow", json_null());
		return;
	}
	match_unpack(flow->mask, flow->values, &match);
	match_format(&match, names, &text);
	set_text(step, "match", &text);
	memset(&text, 0, sizeof(text));
	program_format(rcu_read(&flow->program), names, &text);
	set_text(step, "actions", &text);
	memset(&text, 0, sizeof(text));
	text_addf(&text, "0x%llx", (unsigned long long)flow->cookie);
	set_text(step, "cookie", &text);
	memset(&text, 0, sizeof(text));
	flow_format_match(&match, flow->priority, names, &text);
	set_text(step, "flow", &text);
	json_object_set_new(step, "priority", json_integer(flow->priority));
}

static void collect_note(void *context, unsigned int depth, const char *format, ...)
{
	struct collector *collector = context;
	char note[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(note, sizeof(note), format, args);
	va_end(args);
	json_array_append_new(collector->steps,
			      json_pack("{s:s, s:i}", "note", note, "depth", (int)depth));
}

// A packet that leaves has no port that it came in by.
static void set_output_key(json_t *object, const struct key *key)
{
	struct text text = { 0 };
	struct match match;

	key_describe(key, NULL, &match);
	match.mask.core.in_port = 0;
	match.value.core.in_port = 0;
	match_format(&match, NULL, &text);
	set_text(object, "packet", &text);
}

static void collect_output(void *context, const struct forwarding_port *port,
			   struct rte_mbuf *packet)
{
	struct collector *collector = context;
	const struct forwarding *forwarding = rcu_read(&port->vport->forwarding);
	json_t *output = json_pack("{s:s, s:I, s:I}", "port", port->vport->name, "ofport",
				   (json_int_t)port->ofport, "length",
				   (json_int_t)rte_pktmbuf_pkt_len(packet));
	struct key key;

	if (forwarding) {
		hot->parse_key(packet, port->ofport, &key);
		json_object_set_new(output, "bridge", json_string(forwarding->name));
		set_output_key(output, &key);
	}
	json_array_append_new(collector->outcome, output);
}

static void collect_drop(void *context, const struct forwarding_port *port, enum drop_reason reason)
{
	struct collector *collector = context;

	json_array_append_new(collector->drops,
			      json_pack("{s:s, s:s, s:s}", "port", port->vport->name, "reason",
					drop_texts[reason].name, "help", drop_texts[reason].help));
}

// The port that the packet is said to come from.
static struct forwarding_port *find_in_port(struct bridge *bridge, const struct match *match,
					    struct error *error)
{
	const uint32_t number = rte_be_to_cpu_32(match->value.core.in_port);
	const struct bridge_port *port =
		match->mask.core.in_port ? bridge_port_by_number(bridge, number) : NULL;
	struct forwarding_port *found =
		port ? forwarding_port(bridge_forwarding(bridge), number) : NULL;

	if (!match->mask.core.in_port)
		error_set(error, EINVAL,
			  "a trace starts at a port: say in_port=PORT (vsctl list-ports %s)",
			  bridge_name(bridge));
	else if (!found)
		error_set(error, ENOENT, "bridge '%s' has no port number %u", bridge_name(bridge),
			  number);
	return found;
}

// What people leave out of a flow but every packet has.
static void fill_defaults(struct match *match)
{
	struct key *key = &match->value;

	if (!match->mask.core.ip_ttl)
		key->core.ip_ttl = 64;
	if (key->core.eth_type == RTE_BE16(0x0806) && !match->mask.core.ip_proto)
		key->core.ip_proto = 1;
	if (!match->mask.core.eth_type)
		key->core.eth_type = RTE_BE16(KEY_ETH_TYPE_NONE);
}

static struct rte_mbuf *make_packet(const struct match *match, const uint8_t *bytes, size_t size,
				    struct error *error)
{
	struct rte_mbuf *packet;

	if (size > UINT16_MAX - 512 || (size && size < 14)) {
		error_set(error, EINVAL, "a packet has 14 to %u bytes, not %zu", UINT16_MAX - 512,
			  size);
		return NULL;
	}
	if (!size) {
		packet = packet_compose(&match->value);
	} else {
		packet = rte_pktmbuf_alloc(packet_pool());
		if (packet && size > rte_pktmbuf_tailroom(packet)) {
			rte_pktmbuf_free(packet);
			error_set(error, EMSGSIZE, "a traced packet has at most %u bytes",
				  RTE_MBUF_DEFAULT_DATAROOM);
			return NULL;
		}
		if (packet)
			memcpy(rte_pktmbuf_append(packet, (uint16_t)size), bytes, size);
	}
	if (!packet)
		error_set(error, ENOMEM, "no packet buffer is free");
	return packet;
}

static int run(struct bridge *bridge, struct match *match, struct forwarding_port *port,
	       struct rte_mbuf *packet, struct collector *collector, struct error *error)
{
	struct worker *worker = worker_create(WORKERS_MAX);
	struct trace trace = {
		.context = collector,
		.metadata = &match->value,
		.lookup = collect_lookup,
		.note = collect_note,
		.output = collect_output,
		.drop = collect_drop,
	};

	if (!worker) {
		rte_pktmbuf_free(packet);
		return error_set(error, ENOMEM, "out of memory");
	}
	worker->trace = &trace;
	hot->forward(worker, bridge_forwarding(bridge), port, &packet, 1);
	worker_destroy(worker);
	return 0;
}

int trace_run(struct bridge *bridge, const char *flow_text, const uint8_t *packet, size_t size,
	      json_t **result, struct error *error)
{
	const struct port_names *names = bridge_port_names(bridge);
	struct collector collector = { json_array(), json_array(), json_array(), 0 };
	struct forwarding_port *port;
	struct rte_mbuf *mbuf = NULL;
	struct flow_text text;
	json_t *object;
	int status;

	status = flow_text_parse(flow_text, FLOW_TEXT_MATCH, names, &text, error);
	if (status < 0)
		goto fail;
	fill_defaults(&text.match);
	port = find_in_port(bridge, &text.match, error);
	if (port)
		mbuf = make_packet(&text.match, packet, size, error);
	status = mbuf ? run(bridge, &text.match, port, mbuf, &collector, error)
		      : -(error && error->code ? error->code : EINVAL);
	if (status < 0) {
		flow_text_release(&text);
		goto fail;
	}
	object = json_pack("{s:s, s:o, s:o, s:o}", "bridge", bridge_name(bridge), "steps",
			   collector.steps, "outcome", collector.outcome, "drops", collector.drops);
	set_key(object, "flow", &text.match.value, names);
	flow_text_release(&text);
	if (collector.n_steps > TRACE_MAX_STEPS)
		json_object_set_new(object, "truncated", json_true());
	*result = object;
	return 0;
fail:
	json_decref(collector.steps);
	json_decref(collector.outcome);
	json_decref(collector.drops);
	return status;
}
