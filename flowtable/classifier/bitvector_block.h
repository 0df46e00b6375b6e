// Blocks of a bit-vector, apart from the views they appear in. Control thread.
#ifndef FLOWTABLE_CLASSIFIER_BITVECTOR_BLOCK_H
#define FLOWTABLE_CLASSIFIER_BITVECTOR_BLOCK_H

#include "flowtable/classifier/bitvector.h"

// Where in a new block there is room: between all flows, behind the last or before the first.
enum block_room { BLOCK_ROOM_BETWEEN, BLOCK_ROOM_BEHIND, BLOCK_ROOM_BEFORE };

// A block of 1 to BITVECTOR_BLOCK_FLOWS flows by falling rank. Its columns and rows are not set
// yet. NULL without memory. free() frees it.
struct bitvector_block *block_create(struct flow *const *flows, uint32_t n_flows,
				     enum block_room room);

// Could the flow be in the block as the block is, were there room?
bool block_accepts(const struct bitvector_block *block, const struct flow *flow);

// Which bits of the key all flows require, counted.
unsigned int block_filter_bits(const struct bitvector_block *block);

// How many flows have a higher rank.
uint32_t block_order(const struct bitvector_block *block, uint64_t rank);

// Add a flow that the block accepts, where block_order() says. False without a place there.
bool block_insert(struct bitvector_block *block, struct flow *flow, uint32_t order);

// A copy of a block that has a place free at `order`; for a block that has one, but elsewhere.
struct bitvector_block *block_copy_with_room(const struct bitvector_block *block, uint32_t order);

// The order of a flow, or block->n_flows if it is not here.
uint32_t block_find(const struct bitvector_block *block, const struct flow *flow);
void block_remove(struct bitvector_block *block, uint32_t order);
void block_replace(struct bitvector_block *block, uint32_t order, struct flow *flow);

#endif
