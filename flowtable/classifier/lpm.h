// Flows that match a prefix of one IPv4 address and, beside it, all the same: routing tables.
//
// What the flows match beside the prefix (Ethernet type, a register, ...) is the *context*: one
// mask, and few values. Each context has a trie: a first level of 2^16 slots for the first 16 bits
// of the address, then blocks of 256 slots for 8 bits each. A slot is one word: nothing, a flow, or
// a block. Each flow is written into all slots that it is the best for, so a lookup takes what it
// finds first, at most three slots; which one is best is decided by rank, not by length, so any
// priorities will do.
//
// Changes work in place, beside lookups. Each slot goes from the right flow before the change to
// the right flow after it by one store, and a packet looks at one slot that holds a flow: it sees
// the change or not. A new block has the flow of the slot that it takes the place of; a block that
// no prefix needs any more gives way to the flow that all its slots hold.
//
// Beside the slots there is a tree of the prefixes themselves, a path-compressed binary trie:
// writers find there what remains when a flow goes, and lookups in a view go by it.
#ifndef FLOWTABLE_CLASSIFIER_LPM_H
#define FLOWTABLE_CLASSIFIER_LPM_H

#include "flowtable/classifier/lpm_place.h"

#define LPM_TOP_BITS 16
#define LPM_TOP_SHIFT (32 - LPM_TOP_BITS)
#define LPM_TOP_SLOTS (1u << LPM_TOP_BITS)
#define LPM_BLOCK_SLOTS 256
#define LPM_BLOCK_TAG UINT64_C(1)

struct lpm_node {
	uint32_t bits; // host order; those behind the length are 0
	uint32_t length;
	struct lpm_node *child[2]; // published; by the bit behind the prefix
	struct lpm_entries entries; // none: only a fork
};

struct lpm_block {
	uint32_t n_prefixes; // that need it: longer than what it is a slot of
	_Alignas(64) uint64_t slots[LPM_BLOCK_SLOTS]; // published
};

struct lpm_trie {
	struct lpm_node *root; // published
	uint32_t n_flows;
	uint32_t n_blocks;
	uint32_t n_nodes;
	uint64_t values[KEY_WORDS]; // of the context; n_words of them
	_Alignas(64) uint64_t top[LPM_TOP_SLOTS]; // published
};

struct classifier_prefixes {
	struct classifier base;
	struct lpm_place place;
	uint32_t n_of_length[33]; // flows
	struct lpm_trie *tries[LPM_MAX_CONTEXTS]; // published
};

static inline bool lpm_is_block(uint64_t word)
{
	return word & LPM_BLOCK_TAG;
}

static inline uint64_t *lpm_block_slots(uint64_t word)
{
	return (uint64_t *)(uintptr_t)(word - LPM_BLOCK_TAG);
}

static inline struct flow *lpm_flow(uint64_t word)
{
	return (struct flow *)(uintptr_t)word;
}

static inline uint32_t lpm_length_mask(uint32_t length)
{
	return length ? UINT32_MAX << (32 - length) : 0;
}

#endif
