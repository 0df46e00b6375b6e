// Packet and byte counters that many workers add to and nobody shares.
//
// A counter is a number (id). Each worker owns a private pair {packets, bytes} for every id, so
// adding is two plain additions on a cache line no other core writes. The control thread sums
// over the workers to read. Ids come from counter_alloc() and are cleared before reuse, after a
// grace period that the caller waited for (rcu_defer the owner of the id, free the id there).
#ifndef COMMON_COUNTERS_H
#define COMMON_COUNTERS_H

#include <stdint.h>

#define COUNTER_NONE UINT32_MAX
#define COUNTER_CHUNK_BITS 12
#define COUNTER_CHUNK_SIZE (1u << COUNTER_CHUNK_BITS)
#define COUNTER_MAX_CHUNKS 4096 // 16 Mi counters

struct counter {
	uint64_t packets;
	uint64_t bytes;
};

// One worker's private counters. The chunk pointers are set by the control thread before an id
// inside them is published, and never change afterwards.
struct counter_set {
	struct counter *chunks[COUNTER_MAX_CHUNKS];
	uint64_t held; // counter_hold()
};

// Control thread. A new set takes part in every later sum; a set that is destroyed leaves its
// counts behind in the sums.
struct counter_set *counter_set_create(void);
void counter_set_destroy(struct counter_set *set);

// Control thread. Returns an id whose sum is zero, or COUNTER_NONE without memory.
uint32_t counter_alloc(void);
void counter_free(uint32_t id);

// Control thread. The sum over all workers: never less than an earlier answer, unless the counter
// was reset in between.
struct counter counter_read(uint32_t id);
void counter_reset(uint32_t id);

// The worker that owns `set` holds counts back that it will add later, or (0) no more. `turn` grows:
// when it does, all that was held when the turn before began has been added. An id that is freed
// meanwhile rests until nothing of it can be held.
static inline void counter_hold(struct counter_set *set, uint64_t turn)
{
	__atomic_store_n(&set->held, turn, __ATOMIC_RELEASE);
}

// The worker that owns `set`.
static inline void counter_add(struct counter_set *set, uint32_t id, uint64_t packets,
			       uint64_t bytes)
{
	struct counter *counter =
		&set->chunks[id >> COUNTER_CHUNK_BITS][id & (COUNTER_CHUNK_SIZE - 1)];

	// Single writer: a relaxed store is enough for readers to see whole words.
	__atomic_store_n(&counter->packets, counter->packets + packets, __ATOMIC_RELAXED);
	__atomic_store_n(&counter->bytes, counter->bytes + bytes, __ATOMIC_RELAXED);
}

#endif
