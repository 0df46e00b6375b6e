// Flows that match a prefix of one IPv6 address and, beside it, all the same: routing tables.
//
// Prefixes are found by binary search over their lengths (Waldvogel et al., "Scalable High Speed IP
// Routing Lookups", SIGCOMM 1997): a hash table says whether there is a prefix of this length, or a
// *marker* that longer ones leave at those lengths where the search would pass them by. If so, the
// search goes on with longer ones, else with shorter ones. No search takes more than eight steps,
// whatever the prefixes are; lengths that nothing has are left out, and where a marker says that
// nothing longer follows the search ends.
//
// Prefixes, markers and the forks between them are the nodes of a path-compressed binary trie. Each
// knows the best flow, by rank, of all prefixes that it lies in: what a search meets last has the
// result, and any priorities will do. Writers find in the trie which nodes a change concerns;
// lookups in a view go by it.
//
// Slots of the hash table have a node's address and a tag. Searches go by tags, and only the last
// node is compared with the address: where that fails the search is made again, slowly.
//
// Changes work in place, beside lookups. Markers change no result, so they come first and go last;
// each packet takes its flow from one node. But the way there has several steps, so unlike in a
// hash part it may not meet several changes: table_lpm_stays().
#ifndef FLOWTABLE_CLASSIFIER_LPM6_H
#define FLOWTABLE_CLASSIFIER_LPM6_H

#include "flowtable/classifier/hash.h"
#include "flowtable/classifier/lpm_place.h"

#define LPM6_BITS 128
#define LPM6_MAX_STEPS 8
#define LPM6_HAS_LONGER UINT64_C(1) // in a slot, beside the node: searches go on

// Host order.
struct lpm6_address {
	uint64_t high;
	uint64_t low;
};

struct lpm6_node {
	_Alignas(64) struct lpm6_address address; // bits behind the length are 0
	struct flow *best; // published; of this prefix and of those that it lies in
	uint32_t length;
	uint32_t n_longer; // prefixes that it is a marker of
	struct lpm6_node *child[2]; // published; by the bit behind the prefix
	struct lpm_entries entries; // none: only a marker or a fork
};

// In which order lengths are tried. 0: no more.
struct lpm6_steps {
	uint8_t first;
	uint8_t shorter[LPM6_BITS + 1];
	uint8_t longer[LPM6_BITS + 1];
};

struct lpm6_trie {
	struct lpm6_node *top; // of length 0, always there
	struct hash_array *array; // published; nodes that are prefixes or markers, but for the top
	struct lpm6_steps *steps; // published
	uint32_t n_flows;
	uint32_t n_nodes;
	uint32_t n_keys;
	uint32_t n_of_length[LPM6_BITS + 1]; // keys
	uint64_t values[KEY_WORDS]; // of the context
};

struct classifier_prefixes6 {
	struct classifier base;
	struct lpm_place place;
	uint32_t n_of_length[LPM6_BITS + 1]; // flows
	struct lpm6_trie *tries[LPM_MAX_CONTEXTS]; // published
};

static inline uint64_t lpm6_ones(uint32_t n)
{
	return n ? UINT64_MAX << (64 - n) : 0;
}

// The first bits of an address.
static inline struct lpm6_address lpm6_prefix(struct lpm6_address address, uint32_t length)
{
	return (struct lpm6_address){
		address.high & lpm6_ones(length < 64 ? length : 64),
		address.low & lpm6_ones(length < 64 ? 0 : length - 64),
	};
}

static inline bool lpm6_equal(struct lpm6_address a, struct lpm6_address b)
{
	return a.high == b.high && a.low == b.low;
}

static inline uint64_t lpm6_hash(const struct hash_array *array, struct lpm6_address address,
				 uint32_t length)
{
	return hash_finish(hash_nh_word(address.high, array->keys[0]) +
			   hash_nh_word(address.low, array->keys[1]) +
			   hash_nh_word(length, array->keys[2]));
}

static inline unsigned int lpm6_bit(struct lpm6_address address, uint32_t at)
{
	return (at < 64 ? address.high >> (63 - at) : address.low >> (127 - at)) & 1;
}

static inline struct lpm6_node *lpm6_slot_node(uint64_t slot)
{
	return (struct lpm6_node *)((uintptr_t)hash_slot_flow(slot) & ~(uintptr_t)LPM6_HAS_LONGER);
}

#endif
