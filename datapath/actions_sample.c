// sample: choose packets at random, and count them by set of collectors.
#include "datapath/actions.h"

#include "common/rcu.h"

// xorshift64 (G. Marsaglia): cheap, and good enough for counting; its state begins with a secret.
static uint32_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (uint32_t)(*state >> 32);
}

// `probability` of 65535 times; 65535 is always, 0 never.
static bool is_chosen(struct worker *worker, uint16_t probability)
{
	return (uint64_t)random_next(&worker->random) * 65535 >> 32 < probability;
}

static const struct sample_counter *find_counter(const struct sample_table *table, uint32_t set_id)
{
	uint32_t low = 0, high = table ? table->n : 0;

	while (low < high) {
		const uint32_t middle = low + (high - low) / 2;

		if (table->counters[middle].set_id == set_id)
			return &table->counters[middle];
		if (table->counters[middle].set_id < set_id)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

void actions_sample(struct forward *forward, const struct op_sample *op, uint64_t packets,
		    unsigned int depth)
{
	const struct sample_counter *counter =
		find_counter(rcu_read(&forward->forwarding->samples), op->collector_set_id);
	uint64_t n = 0, bytes = 0;

	if (unlikely(forward->trace)) {
		forward->trace->note(
			forward->trace->context, depth,
			op->probability == 65535
				? "sampled for collector set %u"
				: "sampled for collector set %u with probability %u/65535",
			op->collector_set_id, op->probability);
		return;
	}
	for_each_packet(i, packets)
	{
		if (!is_chosen(forward->worker, op->probability))
			continue;
		n += packet_wire_count(forward->vector->packets[i]);
		bytes += packet_wire_bytes(forward->vector->packets[i]);
	}
	if (n && likely(counter))
		counter_add(forward->worker->counters, counter->counter, n, bytes);
}
