#include "ofproto/trace_collect.h"

#include "common/rcu.h"
#include "common/text.h"
#include "datapath/group.h"
#include "datapath/hot.h"
#include "flowtable/action.h"
#include "ofproto/bridge.h"
#include "ofproto/trace_text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define COMPARED_PER_LOOKUP 50000 // flows, for why they did not match: some milliseconds
#define COMPARED_IN_ALL 200000
// Steps inside of each other: 256 nested tables, groups and clones, each of a few steps.
#define MAX_FRAMES 4096
#define FOLDED 64 // a repeated output is looked for among so many before it

// A step that others are parts of. What is left out for the limit has no node.
struct frame {
	json_t *node;
	bool is_table; // ends with the next table beside it
	bool nests; // ops ran inside: they have told what changed
	struct key *before; // of an op
};

struct collector {
	json_t *outputs, *drops;
	struct frame *frames; // [0] is the root
	size_t n_frames;
	size_t n_steps;
	uint32_t to_compare;
	unsigned int n_lookups; // the most that one bridge took
	bool brief, truncated, outputs_truncated;
	const struct forwarding *forwarding; // of the packet under way
};

static const struct port_names *names_of(const struct forwarding *forwarding)
{
	const struct bridge *bridge = forwarding ? bridge_find(forwarding->name) : NULL;

	return bridge ? bridge_port_names(bridge) : NULL;
}

// --- The tree ---

static void pop(struct collector *collector)
{
	if (collector->n_frames > 1)
		free(collector->frames[--collector->n_frames].before);
}

static struct frame *top(struct collector *collector)
{
	return &collector->frames[collector->n_frames - 1];
}

static void push(struct collector *collector, json_t *node)
{
	if (collector->n_frames < MAX_FRAMES)
		collector->frames[collector->n_frames++] = (struct frame){ .node = node };
}

static bool is_full(struct collector *collector)
{
	if (collector->brief)
		return true;
	if (collector->n_steps < TRACE_MAX_STEPS && top(collector)->node)
		return false;
	collector->truncated = true;
	return true;
}

// Append a step to those of the present frame; takes `node`.
static void add_step(struct collector *collector, json_t *node)
{
	json_t *parent = top(collector)->node;
	json_t *steps = parent ? json_object_get(parent, "steps") : NULL;

	if (!steps) {
		steps = json_array();
		json_object_set_new(parent, "steps", steps);
	}
	collector->n_steps++;
	json_array_append_new(steps, node);
}

// A step with steps of its own: NULL where there is no room for it.
static json_t *open_step(struct collector *collector, const char *type)
{
	json_t *node = is_full(collector) ? NULL : json_pack("{s:s}", "type", type);

	if (node)
		add_step(collector, node);
	push(collector, node);
	return node;
}

static void end_table(struct collector *collector)
{
	if (top(collector)->is_table)
		pop(collector);
}

// --- Packets and tables ---

static void collect_receive(void *context, const struct forwarding *forwarding,
			    const struct forwarding_port *port, unsigned int hops,
			    const struct rte_mbuf *packet, const struct key *key)
{
	struct collector *collector = context;
	json_t *node;

	while (collector->n_frames > 1)
		pop(collector);
	collector->forwarding = forwarding;
	node = open_step(collector, "packet");
	if (!node)
		return;
	json_object_set_new(node, "bridge", json_string(forwarding->name));
	json_object_set_new(node, "port", json_string(port->vport->name));
	json_object_set_new(node, "ofport", json_integer(port->ofport));
	json_object_set_new(node, "hops", json_integer(hops));
	json_object_set_new(node, "length", json_integer(rte_pktmbuf_pkt_len(packet)));
	json_object_set_new(node, "packet", trace_key_text(key, names_of(forwarding)));
	json_object_set_new(node, "hex", trace_packet_hex(packet));
}

static void collect_finish(void *context, unsigned int n_lookups)
{
	struct collector *collector = context;

	if (n_lookups > collector->n_lookups)
		collector->n_lookups = n_lookups;
	while (collector->n_frames > 1)
		pop(collector);
}

// Why flows that go before the one that matched, if any did, do not match.
static void add_why_not(struct collector *collector, json_t *node, const struct table *table,
			const struct flow *flow, const struct key *key,
			const struct port_names *names)
{
	uint32_t budget = RTE_MIN(collector->to_compare, COMPARED_PER_LOOKUP);
	const uint32_t before = budget;
	struct table_nearest nearest;
	json_t *list;

	if (!table || (flow && flow->priority == UINT16_MAX))
		return;
	table_nearest(table, key, flow ? flow->priority : -1, &budget, &nearest);
	collector->to_compare -= before - budget;
	if (!nearest.complete)
		json_object_set_new(node, "why_not_limit", json_integer(before - budget));
	if (!nearest.n)
		return;
	list = json_array();
	for (unsigned int i = 0; i < nearest.n; i++)
		json_array_append_new(list, trace_describe_near(&nearest.near[i], key, names));
	json_object_set_new(node, "why_not", list);
	json_object_set_new(node, "why_not_others", json_integer(nearest.n_higher - nearest.n));
}

static void collect_lookup(void *context, const struct forwarding *forwarding, uint8_t table_id,
			   const struct flow *flow, unsigned int depth, const struct key *key)
{
	struct collector *collector = context;
	const struct port_names *names = names_of(forwarding);
	json_t *node;

	end_table(collector);
	node = open_step(collector, "table");
	top(collector)->is_table = true;
	if (!node)
		return;
	json_object_set_new(node, "bridge", json_string(forwarding->name));
	json_object_set_new(node, "table", json_integer(table_id));
	if (names && names->table_name && names->table_name(names->context, table_id))
		json_object_set_new(node, "table_name",
				    json_string(names->table_name(names->context, table_id)));
	json_object_set_new(node, "depth", json_integer(depth));
	json_object_set_new(node, "packet", trace_key_text(key, names));
	if (flow)
		trace_describe_flow(node, flow, names);
	else
		json_object_set_new(node, "flow", json_null());
	add_why_not(collector, node, rcu_read(&forwarding->tables[table_id]), flow, key, names);
}

// --- Ops ---

static void collect_op_begin(void *context, const struct op *op, const struct key *key)
{
	struct collector *collector = context;
	struct text text = { 0 };
	json_t *node;

	top(collector)->nests = true;
	node = open_step(collector, "action");
	if (!node)
		return;
	action_kinds[op->code].format(op, names_of(collector->forwarding), &text);
	json_object_set_new(node, "action", trace_take_text(&text));
	top(collector)->before = malloc(sizeof(*key));
	if (top(collector)->before)
		*top(collector)->before = *key;
}

static void collect_op_end(void *context, const struct op *op, const struct key *key)
{
	struct collector *collector = context;
	const struct frame *frame;
	json_t *changes;

	(void)op;
	end_table(collector);
	frame = top(collector);
	if (frame->node && frame->before && !frame->nests) {
		changes = trace_changes(frame->before, key, names_of(collector->forwarding));
		if (changes)
			json_object_set_new(frame->node, "changes", changes);
	}
	pop(collector);
}

static void collect_scope_begin(void *context, enum trace_scope scope, uint32_t number)
{
	struct collector *collector = context;
	json_t *node;

	end_table(collector);
	top(collector)->nests = true;
	node = open_step(collector, scope == TRACE_BUCKET ? "bucket" : "action_set");
	if (node && scope == TRACE_BUCKET)
		json_object_set_new(node, "bucket", json_integer(number));
}

static void collect_scope_end(void *context)
{
	end_table(context);
	pop(context);
}

static void collect_note(void *context, unsigned int depth, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static void collect_note(void *context, unsigned int depth, const char *format, ...)
{
	struct collector *collector = context;
	char note[4096];
	va_list args;

	(void)depth;
	if (is_full(collector))
		return;
	va_start(args, format);
	vsnprintf(note, sizeof(note), format, args);
	va_end(args);
	add_step(collector, json_pack("{s:s, s:s}", "type", "note", "note", note));
}

static json_t *describe_bucket(const struct group *group, const struct group_bucket *bucket)
{
	json_t *object = json_pack("{s:I, s:b}", "bucket", (json_int_t)bucket->id, "live",
				   bucket->live != 0);

	if (group->type == GROUP_SELECT)
		json_object_set_new(object, "weight", json_integer(bucket->weight));
	return object;
}

static void set_bucket(json_t *node, const char *key, const struct group *group, unsigned int index)
{
	json_object_set_new(node, key,
			    index < group->n_buckets ? json_integer(group->buckets[index].id)
						     : json_null());
}

static void collect_group(void *context, const struct group *group,
			  const struct trace_choice *choice)
{
	struct collector *collector = context;
	json_t *node, *buckets;

	if (is_full(collector))
		return;
	buckets = json_array();
	for (unsigned int i = 0; i < group->n_buckets; i++)
		json_array_append_new(buckets, describe_bucket(group, &group->buckets[i]));
	node = json_pack("{s:s, s:I, s:s, s:o}", "type", "group", "group", (json_int_t)group->id,
			 "group_type", group_type_names[group->type], "buckets", buckets);
	if (choice->hashed) {
		json_object_set_new(node, "hash", json_sprintf("0x%016" PRIx64, choice->hash));
		json_object_set_new(node, "slot", json_integer(choice->slot));
		json_object_set_new(node, "slots", json_integer(GROUP_SLOTS));
		set_bucket(node, "owner", group, choice->owner);
	}
	if (group->type != GROUP_ALL)
		set_bucket(node, "chosen", group, choice->bucket);
	add_step(collector, node);
}

static json_t *stack_value(const uint8_t bytes[TRACE_STACK_BYTES])
{
	struct text text = { 0 };
	unsigned int i = 0;

	while (i < TRACE_STACK_BYTES - 1 && !bytes[i])
		i++;
	text_addf(&text, "0x%x", bytes[i]);
	while (++i < TRACE_STACK_BYTES)
		text_addf(&text, "%02x", bytes[i]);
	return trace_take_text(&text);
}

static void collect_stack(void *context, unsigned int n, const uint8_t (*values)[TRACE_STACK_BYTES])
{
	struct collector *collector = context;
	json_t *list;

	if (is_full(collector))
		return;
	list = json_array();
	for (unsigned int i = 0; i < n && i < TRACE_STACK_SHOWN; i++)
		json_array_append_new(list, stack_value(values[i]));
	add_step(collector, json_pack("{s:s, s:I, s:o}", "type", "stack", "size", (json_int_t)n,
				      "values", list));
}

// --- Where packets go ---

static const char *bridge_of(const struct forwarding_port *port)
{
	const struct forwarding *forwarding = rcu_read(&port->vport->forwarding);

	return forwarding ? forwarding->name : "";
}

// A port without a peer takes nothing, as the packet will find out.
static bool has_link(const struct forwarding_port *port)
{
	return !port->vport->polled || port->vport->status.link_up;
}

static void collect_decide(void *context, const struct forwarding_port *port, uint32_t length)
{
	struct collector *collector = context;
	const struct forwarding_port *peer = NULL;
	json_t *node;

	if (is_full(collector))
		return;
	node = json_pack("{s:s, s:s, s:I, s:I, s:b}", "type", "output", "port", port->vport->name,
			 "ofport", (json_int_t)port->ofport, "length", (json_int_t)length, "link",
			 has_link(port));
	if (!port->vport->polled)
		peer = rcu_read(&port->peer);
	if (peer) {
		json_object_set_new(node, "peer", json_string(peer->vport->name));
		json_object_set_new(node, "peer_bridge", json_string(bridge_of(peer)));
	}
	add_step(collector, node);
}

static void add_one(json_t *object)
{
	json_object_set_new(object, "count",
			    json_integer(json_integer_value(json_object_get(object, "count")) + 1));
}

static bool same_value(const json_t *a, const json_t *b, const char *key)
{
	return json_equal(json_object_get(a, key), json_object_get(b, key));
}

// The same again counts up one that is there. Takes `object`.
static void add_folded(struct collector *collector, json_t *list, json_t *object,
		       const char *const *keys)
{
	const size_t n = json_array_size(list);

	for (size_t i = 0; i < n && i < FOLDED; i++) {
		json_t *other = json_array_get(list, n - 1 - i);
		unsigned int k = 0;

		while (keys[k] && same_value(object, other, keys[k]))
			k++;
		if (keys[k])
			continue;
		add_one(other);
		json_decref(object);
		return;
	}
	if (n >= TRACE_MAX_OUTPUTS) {
		collector->outputs_truncated = true;
		json_decref(object);
		return;
	}
	add_one(object);
	json_array_append_new(list, object);
}

static void collect_drop(void *context, const struct forwarding_port *port, enum drop_reason reason)
{
	static const char *const keys[] = { "reason", "port", "bridge", NULL };
	struct collector *collector = context;
	json_t *drop = json_pack("{s:s, s:s, s:s, s:s}", "reason", drop_texts[reason].name, "help",
				 drop_texts[reason].help, "port", port->vport->name, "bridge",
				 bridge_of(port));

	if (!is_full(collector))
		add_step(collector, json_pack("{s:s, s:s, s:s, s:s}", "type", "drop", "reason",
					      drop_texts[reason].name, "help",
					      drop_texts[reason].help, "port", port->vport->name));
	add_folded(collector, collector->drops, drop, keys);
}

static void collect_output(void *context, const struct forwarding_port *port,
			   struct rte_mbuf *packet)
{
	static const char *const keys[] = { "ofport", "bridge", "hex", NULL };
	struct collector *collector = context;
	json_t *output;
	struct key key;

	if (!has_link(port)) {
		collect_drop(collector, port, DROP_NO_PEER);
		return;
	}
	output = json_pack("{s:s, s:I, s:s, s:I}", "port", port->vport->name, "ofport",
			   (json_int_t)port->ofport, "bridge", bridge_of(port), "length",
			   (json_int_t)rte_pktmbuf_pkt_len(packet));
	hot->parse_key(packet, port->ofport, &key);
	json_object_set_new(output, "packet", trace_sent_text(&key));
	json_object_set_new(output, "hex", trace_packet_hex(packet));
	add_folded(collector, collector->outputs, output, keys);
}

// --- The whole ---

void collector_init_trace(struct collector *collector, struct trace *trace)
{
	*trace = (struct trace){
		.context = collector,
		.receive = collect_receive,
		.finish = collect_finish,
		.lookup = collect_lookup,
		.op_begin = collect_op_begin,
		.op_end = collect_op_end,
		.scope_begin = collect_scope_begin,
		.scope_end = collect_scope_end,
		.note = collect_note,
		.group = collect_group,
		.stack = collect_stack,
		.decide = collect_decide,
		.output = collect_output,
		.drop = collect_drop,
	};
}

struct collector *collector_create(bool brief)
{
	struct collector *collector = calloc(1, sizeof(*collector));

	if (!collector)
		return NULL;
	collector->frames = calloc(MAX_FRAMES, sizeof(*collector->frames));
	if (!collector->frames) {
		free(collector);
		return NULL;
	}
	collector->n_frames = 1;
	collector->frames[0].node = json_object();
	collector->outputs = json_array();
	collector->drops = json_array();
	collector->to_compare = COMPARED_IN_ALL;
	collector->brief = brief;
	return collector;
}

json_t *collector_finish(struct collector *collector)
{
	json_t *result = collector->frames[0].node;

	while (collector->n_frames > 1)
		pop(collector);
	if (!json_object_get(result, "steps"))
		json_object_set_new(result, "steps", json_array());
	json_object_set_new(result, "outputs", collector->outputs);
	json_object_set_new(result, "drops", collector->drops);
	json_object_set_new(
		result, "budget",
		json_pack("{s:I, s:i}", "used",
			  (json_int_t)RTE_MIN(collector->n_lookups, (unsigned int)LOOKUP_BUDGET),
			  "limit", LOOKUP_BUDGET));
	if (collector->truncated)
		json_object_set_new(result, "truncated", json_true());
	if (collector->outputs_truncated)
		json_object_set_new(result, "outputs_truncated", json_true());
	free(collector->frames);
	free(collector);
	return result;
}
