// Storm control: how much of what NORMAL floods may come from a port, by kind, each with a token
// bucket like those of meters, which all workers share. A frame beyond the rate is dropped before it
// is copied. Made by the main thread; workers ask, for flooded frames alone.
#ifndef DATAPATH_STORM_H
#define DATAPATH_STORM_H

#include "datapath/meter.h"

#include <rte_cycles.h>

enum storm_kind { STORM_BROADCAST, STORM_MULTICAST, STORM_UNKNOWN, N_STORM_KINDS };

struct storm_limit {
	bool limited;
	enum meter_unit unit;
	uint32_t rate; // kilobits or packets per second
};

struct storm_control {
	struct meter *meters[N_STORM_KINDS]; // NULL: no limit
};

// NULL without memory. `old`: limits that stay the same go on with how full their buckets are; NULL
// for none.
struct storm_control *storm_create(const struct storm_limit limits[N_STORM_KINDS],
				   const struct storm_control *old);
void storm_free(void *storm);

static inline enum storm_kind storm_kind_of(const uint8_t destination[6])
{
	if (!(destination[0] & 1))
		return STORM_UNKNOWN;
	for (unsigned int i = 0; i < 6; i++)
		if (destination[i] != 0xff)
			return STORM_MULTICAST;
	return STORM_BROADCAST;
}

// May the frame pass? Takes its tokens, unless `look`.
static inline bool storm_admits(struct storm_control *storm, enum storm_kind kind,
				const struct rte_mbuf *packet, bool look)
{
	struct meter *meter = storm->meters[kind];
	uint64_t treated[METER_MAX_BANDS];
	uint32_t amount[1];

	if (!meter)
		return true;
	amount[0] = meter->packets ? packet_wire_count(packet) : packet_wire_bytes(packet);
	meter_judge(meter, rte_rdtsc(), amount, 1, look, treated);
	return !treated[0];
}

#endif
