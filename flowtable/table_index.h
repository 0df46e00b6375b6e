// Chained hash index with its links inside the objects: adding needs no memory.
//
// Tables find flows and masks by content with it. Growing is the only thing that allocates, and
// without memory the chains just get longer. Control thread.
#ifndef FLOWTABLE_TABLE_INDEX_H
#define FLOWTABLE_TABLE_INDEX_H

#include <stdint.h>

struct table_index_node {
	struct table_index_node *next;
	uint64_t hash;
};

struct table_index {
	struct table_index_node **buckets;
	uint32_t n_buckets; // a power of two, or 0
	uint32_t n;
};

// 0 or -ENOMEM; only the first use of an empty index can fail.
int table_index_reserve(struct table_index *index);
// About `n` objects are going to be added: make room once and not many times.
void table_index_expect(struct table_index *index, uint32_t n);
void table_index_free(struct table_index *index);

// `node->hash` is set; table_index_reserve() has been called before.
void table_index_add(struct table_index *index, struct table_index_node *node);
void table_index_remove(struct table_index *index, struct table_index_node *node);
void table_index_replace(struct table_index *index, struct table_index_node *old,
			 struct table_index_node *node);

// First node of the chain that `hash` belongs to; compare node->hash before anything else.
static inline struct table_index_node *table_index_chain(const struct table_index *index,
							 uint64_t hash)
{
	return index->n_buckets ? index->buckets[hash & (index->n_buckets - 1)] : (void *)0;
}

#endif
