// How lookups read a bucket of a hash array. Hot code.
#ifndef FLOWTABLE_CLASSIFIER_HASH_BUCKET_H
#define FLOWTABLE_CLASSIFIER_HASH_BUCKET_H

#include "common/rcu.h"
#include "flowtable/classifier/hash.h"
#include "flowtable/classifier/lanes.h"

// Bit i: slot i carries the tag. Slots change beside us, so what is found is only a hint where
// to look; the slot is read again as one word.
static inline __attribute__((always_inline)) unsigned int hash_bucket_tags(
	const struct hash_bucket *bucket, uint64_t tag)
{
	unsigned int bits = 0;

#if defined(__SANITIZE_THREAD__)
	for (unsigned int i = 0; i < BUCKET_SLOTS; i++)
		bits |= (unsigned int)(hash_slot_tag(rcu_read(&bucket->slots[i])) == tag) << i;
#else
	for (unsigned int i = 0; i < BUCKET_SLOTS; i += LANES) {
		lanes slots = *(const volatile lanes *)&bucket->slots[i];

		bits |= (unsigned int)lanes_zero((slots >> SLOT_TAG_SHIFT) ^ tag) << i;
	}
#endif
	return bits;
}

static inline bool hash_bucket_was_full(const struct hash_bucket *bucket)
{
	// Slots are filled in order and empty again in any: look at all, the last one first.
	for (unsigned int i = BUCKET_SLOTS; i-- > 0;)
		if (rcu_read(&bucket->slots[i]) == SLOT_EMPTY)
			return false;
	return true;
}

#endif
