// Masks that are prefixes of one address with all else alike, for both routing table templates
// (lpm.h and lpm6.h): which address that is, and what the masks have beside it.
#ifndef FLOWTABLE_CLASSIFIER_LPM_PLACE_H
#define FLOWTABLE_CLASSIFIER_LPM_PLACE_H

#include "flowtable/classifier/lpm_entries.h"

// The values of what flows match beside the prefix are contexts; a part has so many at most, as
// lookups look for them one after the other.
#define LPM_MAX_CONTEXTS 8

// Where an address is in the key, and what masks have beside it.
struct lpm_place {
	uint8_t address; // which
	uint8_t n_bits; // 32 or 128
	uint8_t word; // of the key
	uint8_t shift; // 0 or 32; an IPv6 address takes two words
	uint8_t n_words;
	uint8_t words[KEY_WORDS];
	uint64_t bits[KEY_WORDS];
};

// The addresses whose prefixes are known.
enum { LPM_N_ADDRESSES = 9 };

// Is the mask a prefix of address number `address`, and something else? Its length, or -1.
int lpm_place_of(const struct mask *mask, unsigned int address, struct lpm_place *place);
bool lpm_place_equal(const struct lpm_place *a, const struct lpm_place *b);
bool lpm_place_has(const struct lpm_place *place, const struct mask *mask);

// The address of `n_bits` bits that all masks are prefixes of, with the same beside it: the one
// with the longest prefix, if several will do. False: there is none.
bool lpm_place_common(const struct mask *const *masks, unsigned int n_masks, unsigned int n_bits,
		      struct lpm_place *place);
bool lpm_place_of_flows(struct flow *const *flows, uint32_t n_flows, unsigned int n_bits,
			struct lpm_place *place);

static inline uint32_t lpm_address(uint64_t word, unsigned int shift)
{
	return rte_be_to_cpu_32((rte_be32_t)(word >> shift));
}

// Hot. Which packets have the context with these values?
static inline uint64_t lpm_context_packets(const struct lpm_place *place, const uint64_t *values,
					   const struct key_vector *keys, uint64_t packets)
{
	for (unsigned int w = 0; w < place->n_words; w++) {
		const uint64_t *column = &keys->lines[place->words[w] / KEY_LINE_WORDS][0]
						     [place->words[w] % KEY_LINE_WORDS];
		const uint64_t bits = place->bits[w], value = values[w];
		uint64_t equal = 0;

		if (packets == UINT64_MAX)
			for (unsigned int i = 0; i < VECTOR_SIZE; i++)
				equal |= (uint64_t)((column[i * KEY_LINE_WORDS] & bits) == value)
					 << i;
		else
			for (uint64_t left = packets; left; left &= left - 1) {
				unsigned int i = (unsigned int)__builtin_ctzll(left);

				equal |= (uint64_t)((column[i * KEY_LINE_WORDS] & bits) == value)
					 << i;
			}
		packets &= equal;
	}
	return packets;
}

#endif
