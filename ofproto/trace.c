#include "ofproto/trace.h"

#include "common/error.h"
#include "datapath/datapath.h"
#include "datapath/hot.h"
#include "ofproto/trace_capture.h"
#include "ofproto/trace_collect.h"
#include "ofproto/trace_packet.h"
#include "ofproto/trace_text.h"

#include <errno.h>
#include <string.h>

json_t *trace_packet(struct worker *worker, struct forwarding *forwarding,
		     struct forwarding_port *port, struct rte_mbuf *packet,
		     const struct key *metadata, bool brief)
{
	struct collector *collector = collector_create(brief);
	struct trace trace;

	if (!collector) {
		rte_pktmbuf_free(packet);
		return NULL;
	}
	collector_init_trace(collector, &trace);
	trace.metadata = metadata;
	worker->trace = &trace;
	hot->forward(worker, forwarding, port, &packet, 1);
	worker->trace = NULL;
	return collector_finish(collector);
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

// Where the packet comes in, and what it carries beside its bytes.
struct entry {
	struct bridge *bridge;
	struct forwarding_port *port;
	struct flow_text text;
	struct worker *worker;
};

static void entry_release(struct entry *entry)
{
	flow_text_release(&entry->text);
	if (entry->worker)
		worker_destroy(entry->worker);
}

static int entry_init(struct entry *entry, struct bridge *bridge, const char *flow_text,
		      struct error *error)
{
	int status;

	*entry = (struct entry){ .bridge = bridge };
	status = flow_text_parse(flow_text, FLOW_TEXT_MATCH, bridge_port_names(bridge),
				 &entry->text, error);
	if (status < 0)
		return status;
	entry->port = find_in_port(bridge, &entry->text.match, error);
	entry->worker = entry->port ? worker_create(WORKERS_MAX) : NULL;
	if (entry->port && !entry->worker)
		error_set(error, ENOMEM, "out of memory");
	if (entry->worker)
		return 0;
	entry_release(entry);
	return -error->code;
}

static int check_memory(json_t *result, struct error *error)
{
	return result ? 0 : error_set(error, ENOMEM, "out of memory");
}

// Takes the packet.
static int run(struct entry *entry, struct rte_mbuf *packet, json_t **result, struct error *error)
{
	const json_t *first;

	*result = trace_packet(entry->worker, bridge_forwarding(entry->bridge), entry->port, packet,
			       &entry->text.match.value, false);
	if (!*result)
		return check_memory(*result, error);
	// What came in, in short: the first step says it.
	first = json_array_get(json_object_get(*result, "steps"), 0);
	json_object_set_new(*result, "bridge", json_string(bridge_name(entry->bridge)));
	json_object_set(*result, "flow", json_object_get(first, "packet"));
	json_object_set(*result, "length", json_object_get(first, "length"));
	json_object_set(*result, "hex", json_object_get(first, "hex"));
	return 0;
}

int trace_run(struct bridge *bridge, const char *flow_text, const uint8_t *bytes, size_t size,
	      json_t **result, struct error *error)
{
	const struct port_names *names = bridge_port_names(bridge);
	struct rte_mbuf *packet;
	struct entry entry;
	int status = entry_init(&entry, bridge, flow_text, error);

	if (status)
		return status;
	packet = bytes ? trace_packet_from(bytes, size, error)
		       : trace_packet_compose(&entry.text.match, names, error);
	if (!packet)
		status = -error->code;
	else if (bytes)
		status = trace_packet_check(packet, &entry.text.match, false, names, error);
	if (!status)
		status = run(&entry, packet, result, error);
	else
		rte_pktmbuf_free(packet);
	entry_release(&entry);
	return status;
}

// --- Captures ---

static int run_one(struct entry *entry, const struct trace_captured *captured, json_t **result,
		   struct error *error)
{
	const struct port_names *names = bridge_port_names(entry->bridge);
	struct rte_mbuf *packet = trace_packet_from(captured->bytes, captured->size, error);
	int status = packet ? trace_packet_check(packet, &entry->text.match, false, names, error)
			    : -error->code;

	if (status) {
		rte_pktmbuf_free(packet);
		return status;
	}
	status = run(entry, packet, result, error);
	if (!status) {
		json_object_set_new(*result, "number", json_integer((json_int_t)captured->number));
		json_object_set_new(*result, "wire_length", json_integer(captured->wire_size));
	}
	return status;
}

// What came of a packet, without its bytes: packets that only differ in them share a result.
static json_t *outcome_of(json_t *traced)
{
	json_t *outcome = json_object(), *list = json_array();
	json_t *output;
	size_t i;

	json_array_foreach (json_object_get(traced, "outputs"), i, output) {
		json_object_del(output, "hex");
		json_object_del(output, "packet");
		json_object_del(output, "length");
		json_array_append(list, output);
	}
	json_object_set_new(outcome, "outputs", list);
	json_object_set(outcome, "drops", json_object_get(traced, "drops"));
	return outcome;
}

#define MAX_RESULTS 1000

struct summary {
	struct entry *entry;
	json_t *results; // in order of their first packets
	json_t *by_outcome; // the same by the outcome's text
	uint64_t n_not_told; // packets of further results
	uint64_t n_cut; // packets of which the capture has only the beginning
};

static int summarize(void *context, const struct trace_captured *captured, struct error *error)
{
	struct summary *summary = context;
	struct entry *entry = summary->entry;
	struct rte_mbuf *packet;
	json_t *traced, *outcome, *known;
	struct key key;
	char *text;
	int status;

	summary->n_cut += captured->size < captured->wire_size;
	if (captured->size < 14) {
		traced = json_pack("{s:[], s:[{s:s, s:s, s:s, s:s, s:i}]}", "outputs", "drops",
				   "reason", drop_texts[DROP_RX_INVALID].name, "help",
				   drop_texts[DROP_RX_INVALID].help, "port",
				   entry->port->vport->name, "bridge", bridge_name(entry->bridge),
				   "count", 1);
		memset(&key, 0, sizeof(key));
	} else {
		packet = trace_packet_from(captured->bytes, captured->size, error);
		if (!packet)
			return -error->code;
		status = trace_packet_check(packet, &entry->text.match, false,
					    bridge_port_names(entry->bridge), error);
		if (status) {
			rte_pktmbuf_free(packet);
			return status;
		}
		hot->parse_key(packet, entry->port->ofport, &key);
		traced = trace_packet(entry->worker, bridge_forwarding(entry->bridge), entry->port,
				      packet, &entry->text.match.value, true);
	}
	if (!traced)
		return check_memory(traced, error);
	outcome = outcome_of(traced);
	json_decref(traced);
	text = json_dumps(outcome, JSON_COMPACT | JSON_SORT_KEYS);
	known = text ? json_object_get(summary->by_outcome, text) : NULL;
	if (known) {
		json_object_set_new(
			known, "packets",
			json_integer(1 + json_integer_value(json_object_get(known, "packets"))));
	} else if (json_array_size(summary->results) < MAX_RESULTS && text) {
		known = json_incref(outcome);
		json_object_set_new(known, "packets", json_integer(1));
		json_object_set_new(known, "first", json_integer((json_int_t)captured->number));
		json_object_set_new(known, "flow",
				    trace_key_text(&key, bridge_port_names(entry->bridge)));
		json_object_set(summary->by_outcome, text, known);
		json_array_append_new(summary->results, known);
	} else {
		summary->n_not_told++;
	}
	json_decref(outcome);
	free(text);
	return 0;
}

static int run_all(struct entry *entry, const uint8_t *capture, size_t size, json_t **result,
		   struct error *error)
{
	struct summary summary = { .entry = entry,
				   .results = json_array(),
				   .by_outcome = json_object() };
	struct trace_capture_end end;
	int status = trace_capture_read(capture, size, 0, summarize, &summary, &end, error);

	json_decref(summary.by_outcome);
	if (status) {
		json_decref(summary.results);
		return status;
	}
	*result = json_pack("{s:s, s:s, s:I, s:o}", "bridge", bridge_name(entry->bridge), "in_port",
			    entry->port->vport->name, "packets", (json_int_t)end.n_packets,
			    "results", summary.results);
	if (summary.n_cut)
		json_object_set_new(*result, "cut", json_integer((json_int_t)summary.n_cut));
	if (summary.n_not_told)
		json_object_set_new(*result, "not_told",
				    json_integer((json_int_t)summary.n_not_told));
	if (end.stopped)
		json_object_set_new(*result, "stopped", json_string(end.stopped));
	return 0;
}

struct wanted {
	struct entry *entry;
	json_t **result;
};

static int run_wanted(void *context, const struct trace_captured *captured, struct error *error)
{
	const struct wanted *wanted = context;

	return run_one(wanted->entry, captured, wanted->result, error);
}

int trace_run_capture(struct bridge *bridge, const char *flow_text, const uint8_t *capture,
		      size_t size, uint64_t number, json_t **result, struct error *error)
{
	struct entry entry;
	struct wanted wanted = { &entry, result };
	struct trace_capture_end end;
	int status = entry_init(&entry, bridge, flow_text, error);

	if (status)
		return status;
	if (number)
		status =
			trace_capture_read(capture, size, number, run_wanted, &wanted, &end, error);
	else
		status = run_all(&entry, capture, size, result, error);
	entry_release(&entry);
	return status;
}
