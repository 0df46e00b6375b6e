// Many flows with any masks: one bit for each flow, and for each value of each half byte of the key
// the set of flows that agree with it. The intersection over a packet's half bytes is the set of
// flows that match it.
//
// Flows lie in blocks of up to 512, a bit each, by falling rank and with gaps: the first bit of the
// intersection is the block's best flow. Half bytes keep a block's sets for an IPv4 5-tuple within
// 26 KB, so they stay in the first cache while all packets of a vector go through the block; bytes
// would halve the loads, but take eight times the memory and the time of changes.
//
// A block's filter is what all its flows require. A lookup compares it with all packets at once, and
// only those that pass go through the block, so flows are gathered into blocks that have much in
// common (bitvector_cluster.c). Where they stand decides about speed and never about results: a
// flow may be in any block whose filter it implies.
//
// Blocks of few flows are narrow: they have fewer places, and their sets once more in slices, eight
// flows wide. The 16 sets of a slice and half byte fill a register, so one shuffle of bytes finds
// those of 16, 32 or 64 packets (bitvector_narrow.h).
//
// Changes beside lookups: a flow's bit is set in its block's sets first and in `active` last, which
// is the store that makes it visible; removal clears it there. A change that needs another place,
// filter or set builds a new block and publishes a new view. A bit's place may be used again at
// once: who reads the sets of one flow and the pointer of the next has been overtaken by two
// changes, and table_lookup() repeats such a lookup.
#ifndef FLOWTABLE_CLASSIFIER_BITVECTOR_H
#define FLOWTABLE_CLASSIFIER_BITVECTOR_H

#include "flowtable/classifier/classifier.h"

#define BITVECTOR_BLOCK_FLOWS 512
#define BITVECTOR_BLOCK_WORDS (BITVECTOR_BLOCK_FLOWS / 64)
#define BITVECTOR_STRIDE_VALUES 16
#define BITVECTOR_STRIDES_PER_WORD 16
// Strides that a lookup prepares for all blocks; those beyond are taken from the key each time.
#define BITVECTOR_MAX_ROWS 128

// A narrow block has up to so many places, and always whole pairs of slices.
#define BITVECTOR_NARROW_PLACES 256
#define BITVECTOR_SLICE_FLOWS 8
#define BITVECTOR_NARROW_STEP (2 * BITVECTOR_SLICE_FLOWS)

// The sets of one half byte: one for each of its values.
struct bitvector_sets {
	_Alignas(64) uint64_t bits[BITVECTOR_STRIDE_VALUES][BITVECTOR_BLOCK_WORDS];
};

// The sets of one half byte and eight flows. They are a copy of bits that bitvector_sets has.
struct bitvector_slice {
	_Alignas(16) uint8_t bits[BITVECTOR_STRIDE_VALUES];
};

// A half byte of the key.
struct bitvector_stride {
	uint8_t word; // of the key
	uint8_t column; // that word's place in view->columns
	uint8_t shift; // of the half byte in the word
	uint8_t padding;
	uint32_t row; // its place in view->rows
};

struct bitvector_filter {
	uint64_t bits;
	uint64_t value;
	uint8_t word;
	uint8_t column;
};

struct bitvector_block {
	_Alignas(64) uint64_t active[BITVECTOR_BLOCK_WORDS]; // published bit by bit
	uint64_t max_rank; // at least that of every flow
	uint32_t n_filters;
	uint32_t n_strides;
	struct bitvector_filter *filters;
	struct bitvector_stride *strides;
	struct bitvector_sets *sets; // of each stride
	struct bitvector_slice *slices; // of each stride, slice by slice; NULL: not narrow
	uint32_t n_places; // all flows are before
	struct flow *flows[BITVECTOR_BLOCK_FLOWS]; // where active
	uint64_t ranks[BITVECTOR_BLOCK_FLOWS];

	// Control thread.
	size_t size; // in bytes
	uint32_t n_flows;
	uint16_t places[BITVECTOR_BLOCK_FLOWS]; // of the flows, in order; n_flows of them
};

// What a lookup goes through. Immutable but for what blocks publish.
struct bitvector_view {
	uint32_t n_columns;
	uint32_t n_rows;
	uint32_t n_blocks;
	uint8_t columns[KEY_WORDS]; // words of the key that are looked at
	struct bitvector_stride rows[KEY_WORDS * BITVECTOR_STRIDES_PER_WORD]; // strides looked at
	struct bitvector_block *blocks[]; // roughly by falling max_rank
};

struct classifier_bitvector {
	struct classifier base;
	struct bitvector_view *view; // published
	uint32_t n_changes; // since flows were gathered
};

// Control thread. All flows, base.n_flows of them, and the highest rank of any.
void bitvector_flows(const struct classifier *classifier, struct flow **flows);
void bitvector_set_owner(const struct classifier *classifier, struct table_holder *owner);
uint64_t bitvector_max_rank(const struct classifier *classifier);

// Arrange flows in groups of up to BITVECTOR_BLOCK_FLOWS with much in common: reorders `flows` and
// calls `add` for each group. Stops at the first error and returns it.
int bitvector_cluster(struct flow **flows, uint32_t n_flows,
		      int (*add)(void *context, struct flow **group, uint32_t n), void *context);

#endif
