// Meters as workers run them (OpenFlow 1.3.5 section 5.7).
//
// Each band is a token bucket. What is kept of it is one number: the time at which the bucket will
// be full again. A packet costs the time in which its tokens come back, and moves that time on; it
// conforms if the bucket would then be full within the time that an empty one takes to fill. So time
// that passes is never added to anything: an idle bucket is full, and no more than full, however long
// it was idle. Workers share a bucket by one compare-and-exchange for each vector, which makes the
// rate exact however many of them there are.
//
// Time is the time stamp counter, from when the meter was made, in units of a part of its cycles
// (or, for buckets that take decades to fill, of several). 64 bits of it last for more than ten
// years, and wrap without harm: what counts is differences, and a bucket that seems to be more than
// empty, after years without a packet, is full.
//
// What a packet costs is multiplied out with 20 bits behind the point, so that no rate is off by
// more than a few parts in ten thousand.
#ifndef DATAPATH_METER_H
#define DATAPATH_METER_H

#include "datapath/vector.h"
#include "flowtable/meter_text.h"

#include <rte_branch_prediction.h>

#define METER_COST_BITS 20 // behind the point
#define METER_NEVER UINT64_MAX // cost of a packet at rate 0

struct meter_band {
	uint64_t cost; // of a byte or a packet, in units, times 2^METER_COST_BITS
	uint64_t full; // units in which an empty bucket fills
	uint32_t counter; // of packets that exceeded the rate and were treated so
	uint32_t rate;
	uint8_t type; // enum meter_band_type
	uint8_t prec_level;
	uint8_t index; // in the user's order
	bool owned; // main thread: the counter is freed with this meter
};

struct meter {
	uint32_t id;
	uint32_t counter; // of packets that came
	bool packets; // METER_PKTPS
	uint8_t n_bands;
	int8_t shift; // a unit of time is 2^-shift cycles
	uint64_t epoch; // cycles
	uint64_t slack; // units in a second: what clocks of cores may differ by, and much more
	struct meter_band bands[METER_MAX_BANDS]; // by falling rate

	// Main thread.
	struct meter_text text;
	uint64_t created_ns; // monotonic
	bool owns_counter; // this meter, not one that took its place

	// When each bucket will be full, in units: what workers share.
	uint64_t full_at[METER_MAX_BANDS] __attribute__((aligned(64)));
};

#define METER_CHUNK 256
struct meter_chunk {
	struct meter *meters[METER_CHUNK];
};

// The meters of a bridge by number. A bundle publishes a table that shares the chunks which stay the
// same; what is replaced lives for a grace period longer.
struct meter_table {
	struct meter_chunk *chunks[(METER_ID_MAX + 1) / METER_CHUNK];
};

// NULL if there is none. Any thread.
static inline struct meter *meter_find(const struct meter_table *table, uint32_t id)
{
	const struct meter_chunk *chunk;

	if (!table || id > METER_ID_MAX)
		return NULL;
	chunk = rcu_read(&table->chunks[id / METER_CHUNK]);
	return chunk ? rcu_read(&chunk->meters[id % METER_CHUNK]) : NULL;
}

static inline uint64_t meter_now(const struct meter *meter, uint64_t cycles)
{
	// The clock of another core may be a little behind.
	const uint64_t age = cycles > meter->epoch ? cycles - meter->epoch : 0;

	return meter->shift >= 0 ? age << meter->shift : age >> -meter->shift;
}

static inline uint64_t meter_cost(const struct meter_band *band, uint64_t amount)
{
	return (uint64_t)(((unsigned __int128)amount * band->cost) >> METER_COST_BITS);
}

// Which of `packets`, in their order, find no room in the bucket; *taken becomes the sum of the
// others. amounts[i]: what packet i counts.
static inline uint64_t meter_fill(const struct meter_band *band, uint64_t room,
				  const uint32_t *amounts, uint64_t packets, uint64_t *taken)
{
	uint64_t over = 0;

	*taken = 0;
	for_each_packet(i, packets)
	{
		if (meter_cost(band, *taken + amounts[i]) <= room)
			*taken += amounts[i];
		else
			over |= 1ULL << i;
	}
	return over;
}

// Which of `packets`, whose amounts have this sum, exceed the band. Those that do not take their
// tokens, unless `look`.
static inline uint64_t meter_band_exceeded(const struct meter *meter, const struct meter_band *band,
					   uint64_t *full_at, uint64_t now, const uint32_t *amounts,
					   uint64_t sum, uint64_t packets, bool look)
{
	uint64_t before = __atomic_load_n(full_at, __ATOMIC_RELAXED);
	uint64_t after, over;

	if (unlikely(band->cost == METER_NEVER))
		return packets;
	do {
		const int64_t ahead = (int64_t)(before - now); // also where the clock wraps
		uint64_t lacks = ahead > 0 ? (uint64_t)ahead : 0, room, taken = sum;

		if (unlikely(lacks > band->full + meter->slack))
			lacks = 0;
		room = band->full > lacks ? band->full - lacks : 0;
		over = 0;
		if (unlikely(meter_cost(band, sum) > room))
			over = meter_fill(band, room, amounts, packets, &taken);
		after = now + lacks + meter_cost(band, taken);
		if (look || !taken)
			break;
	} while (!__atomic_compare_exchange_n(full_at, &before, after, false, __ATOMIC_RELAXED,
					      __ATOMIC_RELAXED));
	return over;
}

// For each band, by falling rate, the packets that it is to treat: of the bands whose rate a packet
// exceeds, the one with the highest rate has it. Every band takes its own tokens.
static inline void meter_judge(struct meter *meter, uint64_t cycles, const uint32_t *amounts,
			       uint64_t packets, bool look, uint64_t treated[METER_MAX_BANDS])
{
	const uint64_t now = meter_now(meter, cycles);
	uint64_t done = 0, sum = 0;

	for_each_packet(i, packets) sum += amounts[i];
	for (unsigned int b = 0; b < meter->n_bands; b++) {
		treated[b] = meter_band_exceeded(meter, &meter->bands[b], &meter->full_at[b], now,
						 amounts, sum, packets, look) &
			     ~done;
		done |= treated[b];
	}
}

// A higher drop precedence for a type of service (RFC 2597 section 6): AF11 to AF43 become at most
// AF13 to AF43. What is in no class of assured forwarding stays as it is.
static inline uint8_t meter_remark(uint8_t tos, unsigned int prec_level)
{
	const unsigned int forwarding_class = tos >> 5, precedence = tos >> 3 & 3;
	unsigned int raised = precedence + prec_level;

	if (forwarding_class < 1 || forwarding_class > 4 || !precedence || tos & 4)
		return tos;
	if (raised > 3)
		raised = 3;
	return (uint8_t)((tos & ~0x18u) | raised << 3);
}

// Main thread. Compile a meter for a clock of `hz` cycles a second that says `cycles`. `old`: the
// meter whose place it takes, or NULL; its counts go on once meter_take_counters() is called.
// Buckets start full, but for a meter whose unit, rates and bursts stay the same. NULL without
// memory.
struct meter *meter_create(const struct meter_text *text, const struct meter *old, uint64_t hz,
			   uint64_t cycles);
void meter_take_counters(struct meter *meter, struct meter *old);
// If unit, rates and bursts are those of `old`, take over how full its buckets are now.
void meter_take_buckets(struct meter *meter, const struct meter *old);
void meter_free(void *meter);

// The counter of the user's band number `band`.
uint32_t meter_band_counter(const struct meter *meter, unsigned int band);

// Put a meter, or NULL, into its place. The table and its chunk are made when they are needed.
// -ENOMEM.
int meter_table_set(struct meter_table **table, uint32_t id, struct meter *meter);

#endif
