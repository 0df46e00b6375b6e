#include "common/rcu.h"
#include "datapath/actions.h"

// Take the lowest table out of the list: packets that took different ways meet again there.
static uint8_t next_take(struct pipeline_next *next, uint64_t *packets)
{
	unsigned int lowest = 0;
	uint8_t table_id;

	for (unsigned int i = 1; i < next->n; i++)
		if (next->entries[i].table_id < next->entries[lowest].table_id)
			lowest = i;
	table_id = next->entries[lowest].table_id;
	*packets = next->entries[lowest].packets;
	next->entries[lowest] = next->entries[--next->n];
	return table_id;
}

// A packet is in one entry at most, so there are never more entries than packets.
void pipeline_next_add(struct pipeline_next *next, uint8_t table_id, uint64_t packets)
{
	if (!packets)
		return;
	for (unsigned int i = 0; i < next->n; i++)
		if (next->entries[i].table_id == table_id) {
			next->entries[i].packets |= packets;
			return;
		}
	next->entries[next->n].table_id = table_id;
	next->entries[next->n++].packets = packets;
}

static void count_flow(struct forward *forward, const struct flow *flow, uint64_t packets)
{
	uint64_t bytes = 0;

	for_each_packet(i, packets) bytes += forward->vector->length[i];
	counter_add(forward->worker->counters, flow->counter,
		    (uint64_t)__builtin_popcountll(packets), bytes);
}

// Count a lookup for each packet. Those that have used up their budget are dropped: what was
// decided for them so far is still delivered.
uint64_t pipeline_charge(struct forward *forward, uint64_t packets)
{
	struct vector *vector = forward->vector;
	uint64_t over = 0;

	for (unsigned int i = 0; i < VECTOR_SIZE; i++)
		vector->n_lookups[i] += packets >> i & 1;
	// No packet can be over while all together have not done as many.
	if (likely(++forward->n_lookups <= LOOKUP_BUDGET))
		return packets;
	for_each_packet(i, packets) if (vector->n_lookups[i] > LOOKUP_BUDGET)
	{
		output_drop(forward, (unsigned int)i, DROP_BUDGET);
		forward_finish(forward, (unsigned int)i);
		over |= 1ULL << i;
	}
	forward->exhausted |= over;
	return packets & ~over;
}

// Look up and tell of it.
static void trace_lookup(struct forward *forward, const struct table *table, uint8_t table_id,
			 uint64_t packets, const struct flow **results, unsigned int depth)
{
	struct table_conjunction conjunction = { 0 };

	if (table)
		table_lookup_explained(table, &forward->vector->keys, packets, results,
				       &conjunction);
	for_each_packet(i, conjunction.packets) forward->trace->note(
		forward->trace->context, depth,
		"table %u: a flow of each dimension of conjunction %u matches, "
		"so the packet is looked up with conj_id=%u",
		table_id, conjunction.ids[i], conjunction.ids[i]);
	for_each_packet(i, packets)
	{
		struct key key;

		vector_get_key(forward->vector, (unsigned int)i, &key);
		forward->trace->lookup(forward->trace->context, forward->forwarding, table_id,
				       results[i], depth, &key);
	}
}

// Packets that hit the same flow go through its actions together.
static uint64_t same_flow(const struct flow *const *results, uint64_t packets,
			  const struct flow *flow)
{
	uint64_t same = 0;

	for_each_packet(i, packets) same |= (uint64_t)(results[i] == flow) << i;
	return same;
}

static void set_in_port(struct vector *vector, uint64_t packets, uint32_t in_port)
{
	for_each_packet(i, packets) vector_core(vector, (unsigned int)i)->in_port =
		rte_cpu_to_be_32(in_port);
}

static void run_table(struct forward *forward, uint8_t table_id, uint64_t packets,
		      unsigned int depth, struct pipeline_next *next, struct pipeline_from from)
{
	const struct flow *results[VECTOR_SIZE];
	rte_be32_t saved[VECTOR_SIZE];
	const struct table *table = rcu_read(&forward->forwarding->tables[table_id]);
	uint64_t hit = 0;

	if (unlikely(from.with_ct))
		actions_ct_swap(forward->vector, packets);
	if (unlikely(from.in_port != OFPP_IN_PORT)) {
		for_each_packet(i, packets) saved[i] =
			vector_core(forward->vector, (unsigned int)i)->in_port;
		set_in_port(forward->vector, packets, from.in_port);
	}
	if (likely(table && !forward->trace)) {
		table_lookup(table, &forward->vector->keys, packets, results);
	} else {
		for_each_packet(i, packets) results[i] = NULL;
	}
	if (unlikely(forward->trace))
		trace_lookup(forward, table, table_id, packets, results, depth);
	for_each_packet(i, packets) hit |= (uint64_t)(results[i] != NULL) << i;
	if (unlikely(from.with_ct))
		actions_ct_swap(forward->vector, packets);
	if (unlikely(from.in_port != OFPP_IN_PORT))
		for_each_packet(i, packets) vector_core(forward->vector, (unsigned int)i)->in_port =
			saved[i];
	for_each_packet(i, packets & ~hit) forward->vector->reason[i] = DROP_NO_MATCH;
	while (hit) {
		const struct flow *flow = results[__builtin_ctzll(hit)];
		uint64_t group = same_flow(results, hit, flow);

		hit &= ~group;
		if (likely(!forward->trace))
			count_flow(forward, flow, group);
		for_each_packet(i, group) forward->vector->reason[i] = DROP_ACTION;
		actions_run(forward, rcu_read(&flow->program), table_id, group, depth, next);
	}
}

void pipeline_run_from(struct forward *forward, uint8_t table_id, uint64_t packets,
		       unsigned int depth, struct pipeline_from from)
{
	const struct pipeline_from own = { OFPP_IN_PORT, false };
	struct pipeline_next next;

	next.n = 0;
	pipeline_next_add(&next, table_id, packets);
	while (next.n) {
		table_id = next_take(&next, &packets);
		packets = pipeline_charge(forward, packets);
		if (likely(packets))
			run_table(forward, table_id, packets, depth, &next, from);
		from = own;
	}
}

void pipeline_run(struct forward *forward, uint8_t table_id, uint64_t packets, unsigned int depth)
{
	pipeline_run_from(forward, table_id, packets, depth,
			  (struct pipeline_from){ OFPP_IN_PORT, false });
}
