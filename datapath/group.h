// Groups as workers run them (OpenFlow 1.3.5 section 5.6).
//
// A group is compiled from its text once and never changes but for `live`, which the main thread
// writes when ports or groups come to life or die. All groups of a bridge are published together:
// a packet sees all of a change or nothing of it.
//
// A select group has a table with one bucket for each of its slots, filled by weighted rendezvous
// hashing: each slot goes to the bucket with the highest score for it. A bucket that leaves, or
// dies, therefore gives away its own slots and no others, and one that comes takes its share evenly
// from all others.
#ifndef DATAPATH_GROUP_H
#define DATAPATH_GROUP_H

#include "common/hash.h"
#include "flowtable/group_text.h"

#include <rte_common.h>

#define GROUP_SLOTS 8192
#define GROUP_NO_BUCKET UINT16_MAX

// A word of the key that the hash looks at.
struct group_word {
	uint16_t word;
	uint64_t mask;
};

struct group_bucket {
	const struct program *program;
	uint32_t id;
	uint32_t counter;
	uint16_t weight;
	bool simple; // runs no table and no other group
	bool owned; // main thread: the counter is freed with this group
	uint8_t live; // written by the main thread
};

struct group {
	uint32_t id;
	uint32_t counter;
	enum group_type type;
	enum group_method method;
	bool symmetric; // both directions of a connection hash alike
	uint16_t lines; // of the key: what its hash and its buckets look at or change
	uint64_t basis;
	unsigned int n_words;
	unsigned int n_buckets;
	struct group_word *words; // fields(...), or none
	uint16_t *slots; // select: index of a bucket, or GROUP_NO_BUCKET
	struct group_bucket *buckets;

	// Main thread.
	struct group_text text;
	uint64_t created_ns; // monotonic
	uint64_t modified_ns;
	bool owns_counter; // this group, not one that took its place
	uint8_t visit; // while groups are walked
};

struct group_table {
	uint32_t n;
	uint32_t mask; // of the size of `slots`, a power of 2
	struct group **all; // by rising id
	struct group *slots[]; // by id, open addressing; never full
};

static inline uint32_t group_slot(uint32_t id)
{
	return (uint32_t)(((uint64_t)id * 0x9e3779b97f4a7c15ULL) >> 32);
}

static inline struct group *group_find(const struct group_table *table, uint32_t id)
{
	if (!table)
		return NULL;
	for (uint32_t at = group_slot(id) & table->mask; table->slots[at];
	     at = (at + 1) & table->mask)
		if (table->slots[at]->id == id)
			return table->slots[at];
	return NULL;
}

// -log2 of a number in (0, 1] given as value / 2^64, times 2^24. Falls as `value` rises.
static inline uint64_t group_log(uint64_t value)
{
	const unsigned int zeros = value ? (unsigned int)__builtin_clzll(value) : 63;
	uint64_t fraction = (value << zeros) >> 32; // in [1, 2), as value / 2^31
	uint64_t log = 0;

	for (unsigned int bit = 0; bit < 24; bit++) {
		fraction = (fraction * fraction) >> 31;
		log = log << 1 | fraction >> 32;
		fraction >>= fraction >> 32;
	}
	return ((uint64_t)(zeros + 1) << 24) - log;
}

// The better of two buckets for one slot: the draw whose logarithm, divided by the weight, is less.
// Multiplied out, so that nothing is lost to rounding; equal weights compare by their draws.
struct group_score {
	uint64_t hash;
	uint16_t weight;
};

static inline bool group_beats(const struct group_score *a, const struct group_score *b)
{
	uint64_t left, right;

	if (a->weight == b->weight)
		return a->hash > b->hash;
	left = group_log(a->hash) * b->weight;
	right = group_log(b->hash) * a->weight;
	return left != right ? left < right : a->hash > b->hash;
}

// The best of a group's buckets for a slot; of those that are live if `live`. Any thread.
static inline uint16_t group_choose(const struct group *group, unsigned int slot, bool live)
{
	struct group_score best = { 0 };
	uint16_t chosen = GROUP_NO_BUCKET;

	for (unsigned int i = 0; i < group->n_buckets; i++) {
		const struct group_bucket *bucket = &group->buckets[i];
		const uint64_t words[2] = { slot, bucket->id };
		struct group_score score = { .weight = bucket->weight };

		if (!bucket->weight || (live && !__atomic_load_n(&bucket->live, __ATOMIC_RELAXED)))
			continue;
		score.hash = hash_words(words, 2);
		if (chosen != GROUP_NO_BUCKET && !group_beats(&score, &best))
			continue;
		best = score;
		chosen = (uint16_t)i;
	}
	return chosen;
}

// Main thread. Compile a group; takes the contents of `text` over (and empties it). `old`: the
// group whose place it takes, or NULL; counts of the group and of buckets with the same id go on
// once group_take_counters() is called. NULL without memory; `text` is the caller's then.
struct group *group_create(struct group_text *text, const struct group *old);
void group_take_counters(struct group *group, struct group *old);
void group_free(void *group);

// A table of `n` groups in rising order of id; it does not own them. NULL without memory.
struct group_table *group_table_create(struct group *const *groups, uint32_t n);

#endif
