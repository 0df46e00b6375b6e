// Flows of one mask, any number of them: a hash table from the masked words to flows.
//
// A bucket is one cache line of eight slots; a slot is one word with the flow's address and a tag
// of 15 hash bits, so that it is published, changed and cleared by single stores. A key lives in
// its home bucket or, if that was full, in its alternate bucket: no lookup reads more than two
// buckets, and readers need no sequence counters. A bucket that was ever full
// has no empty slot any more (removal leaves SLOT_REMOVED behind), which tells lookups that keys
// may be in the alternate. When an insertion finds both full, one of their keys makes room: it moves
// from its home to its alternate bucket, never back, so that lookups meet it on their way. If none
// can, or too many slots are used, a new array with a new hash key is built and published; the old
// one is freed after a grace period.
// The hash is keyed: who chooses the keys cannot choose the buckets. Each array draws one random
// word per word of the mask, and the hash is the sum of the products of their halves (NH, Black et
// al., "UMAC", 1999: two different keys have the same sum with a probability of 2^-32), which many
// packets do side by side, folded once at the end.
#ifndef FLOWTABLE_CLASSIFIER_HASH_H
#define FLOWTABLE_CLASSIFIER_HASH_H

#include "common/hash.h"
#include "flowtable/classifier/classifier.h"

#define BUCKET_SLOTS 8
#define SLOT_EMPTY 0
#define SLOT_REMOVED 1
#define SLOT_TAG_SHIFT 48

struct hash_bucket {
	_Alignas(64) uint64_t slots[BUCKET_SLOTS];
};

struct hash_array {
	uint64_t keys[KEY_WORDS]; // random; as many as the mask has words
	uint32_t bucket_mask; // number of buckets - 1
	uint32_t n_used; // control thread: slots that are not empty
	struct hash_bucket buckets[];
};

struct hash_mask_word {
	uint64_t bits;
	uint64_t word; // of the key
};

struct classifier_hashed {
	struct classifier base;
	struct hash_array *array; // published
	uint32_t n_keys; // control thread
	uint32_t n_words;
	struct hash_mask_word words[]; // the mask
};

static inline uint64_t hash_nh_word(uint64_t word, uint64_t key)
{
	return (uint64_t)((uint32_t)word + (uint32_t)key) *
	       ((uint32_t)(word >> 32) + (uint32_t)(key >> 32));
}

// Never 0, so that empty and removed slots have no valid tag.
static inline uint64_t hash_tag(uint64_t hash)
{
	return hash >> SLOT_TAG_SHIFT | 1;
}

static inline uint32_t hash_home(const struct hash_array *array, uint64_t hash)
{
	return (uint32_t)hash & array->bucket_mask;
}

// Never the home bucket; an array has at least two buckets.
static inline uint32_t hash_alternate(const struct hash_array *array, uint64_t hash)
{
	uint32_t step = ((uint32_t)(hash >> 24) | 1) & array->bucket_mask;

	return (hash_home(array, hash) + step) & array->bucket_mask;
}

static inline uint64_t hash_slot_tag(uint64_t slot)
{
	return slot >> SLOT_TAG_SHIFT;
}

static inline struct flow *hash_slot_flow(uint64_t slot)
{
	return (struct flow *)(uintptr_t)(slot & ((UINT64_C(1) << SLOT_TAG_SHIFT) - 1));
}

// Control thread. An array of empty slots with new keys; NULL without memory.
struct hash_array *hash_array_create(uint32_t n_buckets);
// A slot for a new key, NULL if both of its buckets are full; and are so many used slots too many?
uint64_t *hash_array_find_free(struct hash_array *array, uint64_t hash);
bool hash_array_is_crowded(uint32_t n_buckets, uint32_t n_used);
// The key in the slot has gone.
void hash_array_clear(struct hash_array *array, uint64_t *slot);

#endif
