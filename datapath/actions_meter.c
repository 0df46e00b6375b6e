// The meter instruction.
#include "datapath/actions.h"
#include "datapath/meter.h"

#include <rte_cycles.h>

static void count(struct forward *forward, uint32_t counter, uint64_t packets)
{
	uint64_t bytes = 0;

	if (unlikely(forward->trace))
		return;
	for_each_packet(i, packets) bytes += packet_wire_bytes(forward->vector->packets[i]);
	counter_add(forward->worker->counters, counter, vector_wire_count(forward->vector, packets),
		    bytes);
}

// What ends here ends for good, but for the packet that it is a clone of (actions_clone.c), or that
// a group made its bucket's copy of (group_run.c).
static void drop(struct forward *forward, uint64_t packets)
{
	for_each_packet(i, packets)
	{
		output_drop(forward, (unsigned int)i, DROP_METER);
		forward_finish(forward, (unsigned int)i);
	}
	forward->metered |= packets;
}

static void remark(struct forward *forward, const struct meter_band *band, uint64_t packets)
{
	struct vector *vector = forward->vector;

	for_each_packet(i, packets)
	{
		struct key_core *core = vector_core(vector, (unsigned int)i);
		const rte_be16_t type = vector->layout[i].type;
		uint8_t tos;

		if (!vector->layout[i].l3 || (type != RTE_BE16(0x0800) && type != RTE_BE16(0x86dd)))
			continue;
		tos = meter_remark(core->ip_tos, band->prec_level);
		if (tos == core->ip_tos)
			continue;
		core->ip_tos = tos;
		vector->dirty[i] |= DIRTY_IP;
	}
}

static void treat(struct forward *forward, const struct meter_band *band, uint64_t packets)
{
	count(forward, band->counter, packets);
	if (band->type == METER_DROP)
		drop(forward, packets);
	else
		remark(forward, band, packets);
}

// A trace says what would happen to the packet now.
static void tell(struct forward *forward, const struct meter *meter, const uint64_t *treated,
		 uint64_t packets, unsigned int depth)
{
	const struct meter_band *band = meter->bands;
	unsigned int b = 0;

	while (b < meter->n_bands && !(treated[b] & packets))
		b++;
	band += b;
	if (b == meter->n_bands)
		forward->trace->note(forward->trace->context, depth,
				     "meter %u: within its rate, passes", meter->id);
	else if (band->type == METER_DROP)
		forward->trace->note(forward->trace->context, depth,
				     "meter %u: exceeds the %u %s of band %u: drop", meter->id,
				     band->rate, meter->packets ? "packets/s" : "kbit/s",
				     band->index);
	else
		forward->trace->note(forward->trace->context, depth,
				     "meter %u: exceeds the %u %s of band %u: drop precedence + %u",
				     meter->id, band->rate, meter->packets ? "packets/s" : "kbit/s",
				     band->index, band->prec_level);
}

static struct meter *find(const struct forward *forward, uint32_t id)
{
	const struct forwarding *forwarding = forward->forwarding;
	const struct meter_table *after =
		likely(forward->view != VIEW_AFTER) ? NULL : rcu_read(&forwarding->meters_after);

	return meter_find(after ? after : rcu_read(&forwarding->meters), id);
}

void actions_meter(struct forward *forward, uint32_t id, uint64_t packets, unsigned int depth)
{
	struct meter *meter = find(forward, id);
	uint64_t treated[METER_MAX_BANDS];
	uint32_t amounts[VECTOR_SIZE];

	// It was deleted, and with it the flow that the packet has found a moment ago.
	if (unlikely(!meter))
		return;
	for_each_packet(i, packets) amounts[i] =
		meter->packets ? packet_wire_count(forward->vector->packets[i])
			       : packet_wire_bytes(forward->vector->packets[i]);
	count(forward, meter->counter, packets);
	meter_judge(meter, rte_rdtsc(), amounts, packets, forward->trace != NULL, treated);
	if (unlikely(forward->trace))
		tell(forward, meter, treated, packets, depth);
	for (unsigned int b = 0; b < meter->n_bands; b++)
		if (unlikely(treated[b]))
			treat(forward, &meter->bands[b], treated[b]);
}
