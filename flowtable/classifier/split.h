// Flows that all have one field exactly, and few for each of its values: a sub-table for each value.
//
// Tables of a logical network hold the rules of many switches and routers, each of which begins with
// the number of its own. A lookup gathers the packets of each value and looks them up in that
// value's sub-table (table_split.c), which is a list of parts as the table itself is.
#ifndef FLOWTABLE_CLASSIFIER_SPLIT_H
#define FLOWTABLE_CLASSIFIER_SPLIT_H

#include "common/hash.h"
#include "flowtable/classifier/hash.h"
#include "flowtable/table_internal.h"

struct split_slot {
	uint64_t value;
	struct table *table; // published; NULL: free
};

// Slots are filled and never emptied: another array takes its place instead.
struct split_index {
	uint64_t key;
	uint32_t n;
	uint32_t slot_mask; // number of slots - 1
	struct split_slot slots[];
};

struct classifier_split {
	struct classifier base;
	struct split_index *index; // published
	uint64_t bits; // of the field, in
	uint32_t word; // of the key
	const char *field; // its name
};

static inline uint32_t split_slot(const struct split_index *index, uint64_t value)
{
	return (uint32_t)hash_finish(hash_nh_word(value, index->key)) & index->slot_mask;
}

// No values; room for n. NULL without memory.
struct classifier_split *split_create(unsigned int word, uint64_t bits, const char *field,
				      uint32_t n);
int split_add(struct classifier_split *split, struct table *sub);
struct table *split_find(const struct classifier_split *split, uint64_t value);

#define split_for_each(split, slot)                                                                \
	for (struct split_slot *slot = (split)->index->slots,                                      \
			       *slot##_end = slot + (split)->index->slot_mask + 1;                 \
	     slot < slot##_end; slot++)                                                            \
		if (slot->table)

#endif
