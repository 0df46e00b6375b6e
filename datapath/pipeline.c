#include "common/rcu.h"
#include "datapath/actions.h"
#include "datapath/cache.h"
#include "flowtable/classifier/lanes.h"

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

	if (likely(packets == vector_mask(forward->vector->n)))
		for (unsigned int i = 0; i < forward->vector->n; i++)
			bytes += forward->vector->length[i];
	else
		for_each_packet(i, packets) bytes += forward->vector->length[i];
	counter_add(forward->worker->counters, flow->counter,
		    (uint64_t)__builtin_popcountll(packets), bytes);
}

static inline void charge_each(uint16_t n_lookups[VECTOR_SIZE], uint64_t packets)
{
#if defined(__AVX512BW__)
	__m512i *counts = (__m512i *)n_lookups, one = _mm512_set1_epi16(1);

	counts[0] = _mm512_mask_add_epi16(counts[0], (__mmask32)packets, counts[0], one);
	counts[1] = _mm512_mask_add_epi16(counts[1], (__mmask32)(packets >> 32), counts[1], one);
#else
	for (unsigned int i = 0; i < VECTOR_SIZE; i++)
		n_lookups[i] += packets >> i & 1;
#endif
}

// Count a lookup for each packet. Those that have used up their budget are dropped: what was
// decided for them so far is still delivered.
uint64_t pipeline_charge(struct forward *forward, uint64_t packets)
{
	struct vector *vector = forward->vector;
	uint64_t over = 0;

	charge_each(vector->n_lookups, packets);
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

// Those of `packets` whose pointer, of VECTOR_SIZE aligned ones, is this one.
static inline uint64_t same_pointer(const void *pointers, uint64_t packets, const void *pointer)
{
	const lanes *groups = pointers;
	const lanes wanted = (lanes){ 0 } + (uint64_t)(uintptr_t)pointer;
	uint64_t same = 0;

	for (unsigned int g = 0; g < VECTOR_SIZE / LANES; g++)
		same |= lanes_zero(groups[g] ^ wanted) << g * LANES;
	return same & packets;
}

static void set_in_port(struct vector *vector, uint64_t packets, uint32_t in_port)
{
	for_each_packet(i, packets) vector_core(vector, (unsigned int)i)->in_port =
		rte_cpu_to_be_32(in_port);
}

// Packets that hit flows with the same program (program_share.h) go through its actions together,
// whichever flows these are.
static void run_programs(struct forward *forward, const struct flow *const *flows, uint8_t table_id,
			 uint64_t packets, unsigned int depth, struct pipeline_next *next)
{
	_Alignas(64) const struct program *programs[VECTOR_SIZE] = { NULL };

	for_each_packet(i, packets)
	{
		programs[i] = rcu_read(&flows[i]->program);
		if (likely(!forward->trace))
			counter_add(forward->worker->counters, flows[i]->counter, 1,
				    forward->vector->length[i]);
	}
	while (packets) {
		const struct program *program = programs[__builtin_ctzll(packets)];
		const uint64_t group = same_pointer(programs, packets, program);

		packets &= ~group;
		actions_run(forward, program, table_id, group, depth, next);
	}
}

static void run_flows(struct forward *forward, const struct flow *const *flows, uint8_t table_id,
		      uint64_t packets, unsigned int depth, struct pipeline_next *next)
{
	const struct flow *first = flows[__builtin_ctzll(packets)];

	if (same_pointer(flows, packets, first) != packets) {
		run_programs(forward, flows, table_id, packets, depth, next);
		return;
	}
	if (likely(!forward->trace))
		count_flow(forward, first, packets);
	actions_run(forward, rcu_read(&first->program), table_id, packets, depth, next);
}

// What the table does with packets that no flow matched (mod-table).
static void run_miss(struct forward *forward, uint8_t table_id, uint64_t packets,
		     struct pipeline_next *next)
{
	const enum table_miss miss =
		(enum table_miss)rcu_read(&forward->forwarding->miss[table_id]);

	if (likely(miss == TABLE_MISS_DEFAULT || miss == TABLE_MISS_DROP)) {
		forward->vector->missed |= packets;
		return;
	}
	if (miss == TABLE_MISS_CONTINUE) {
		if (table_id + 1 < N_TABLES)
			pipeline_next_add(next, (uint8_t)(table_id + 1), packets);
		else
			forward->vector->missed |= packets;
		return;
	}
	for_each_packet(i, packets)
	{
		const rte_be32_t number = vector_core(forward->vector, (unsigned int)i)->in_port;
		const struct forwarding_port *port =
			forwarding_port(forward->forwarding, rte_be_to_cpu_32(number));

		output_drop(forward, (unsigned int)i,
			    port && port->no_packet_in ? DROP_NO_PACKET_IN : DROP_CONTROLLER);
	}
}

static void count_lookups(struct forward *forward, uint8_t table_id, uint64_t packets, uint64_t hit)
{
	const uint32_t id = rcu_read(&forward->forwarding->table_counters[table_id]);

	if (likely(id && !forward->trace))
		counter_add(forward->worker->counters, id - 1,
			    (uint64_t)__builtin_popcountll(packets),
			    (uint64_t)__builtin_popcountll(hit));
}

static void run_table(struct forward *forward, uint8_t table_id, uint64_t packets,
		      unsigned int depth, struct pipeline_next *next, struct pipeline_from from)
{
	_Alignas(64) const struct flow *results[VECTOR_SIZE];
	rte_be32_t saved[VECTOR_SIZE];
	const struct table *table = rcu_read(&forward->forwarding->tables[table_id]);
	uint64_t hit;

	PROFILE_ENTER(forward->worker, PIPELINE);
	if (unlikely(from.with_ct))
		actions_ct_swap(forward->vector, packets);
	if (unlikely(from.in_port != OFPP_IN_PORT)) {
		for_each_packet(i, packets) saved[i] =
			vector_core(forward->vector, (unsigned int)i)->in_port;
		set_in_port(forward->vector, packets, from.in_port);
	}
	PROFILE_ENTER(forward->worker, LOOKUP);
	if (likely(table && !forward->trace)) {
		if (likely(forward->view == VIEW_NONE))
			table_lookup(table, &forward->vector->keys, packets, results);
		else
			table_lookup_view(table, &forward->vector->keys, packets, results,
					  forward->view);
	} else {
		for_each_packet(i, packets) results[i] = NULL;
	}
	PROFILE_LEAVE(forward->worker, LOOKUP);
	if (unlikely(forward->trace))
		trace_lookup(forward, table, table_id, packets, results, depth);
	hit = packets & ~same_pointer(results, packets, NULL);
	if (unlikely(from.with_ct))
		actions_ct_swap(forward->vector, packets);
	if (unlikely(from.in_port != OFPP_IN_PORT))
		for_each_packet(i, packets) vector_core(forward->vector, (unsigned int)i)->in_port =
			saved[i];
	if (unlikely(forward->recorded & packets))
		cache_note(forward, table_id, results, packets);
	count_lookups(forward, table_id, packets, hit);
	forward->vector->missed &= ~packets;
	if (packets & ~hit)
		run_miss(forward, table_id, packets & ~hit, next);
	if (likely(hit))
		run_flows(forward, results, table_id, hit, depth, next);
	PROFILE_LEAVE(forward->worker, PIPELINE);
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
