#include "flowtable/classifier/lpm_place.h"

#include <string.h>

#define MAX_LENGTHS 129

__extension__ typedef unsigned __int128 address_bits;

static const struct {
	uint16_t offset; // in the key
	uint8_t n_bits;
} addresses[LPM_N_ADDRESSES] = {
	{ offsetof(struct key, core.ip_dst), 32 },
	{ offsetof(struct key, core.ip_src), 32 },
	{ offsetof(struct key, tunnel.tun_dst), 32 },
	{ offsetof(struct key, tunnel.tun_src), 32 },
	{ offsetof(struct key, ipv6.ipv6_dst), 128 },
	{ offsetof(struct key, ipv6.ipv6_src), 128 },
	{ offsetof(struct key, ipv6.nd_target), 128 },
	{ offsetof(struct key, tunnel6.tun_ipv6_dst), 128 },
	{ offsetof(struct key, tunnel6.tun_ipv6_src), 128 },
};

int lpm_place_of(const struct mask *mask, unsigned int address, struct lpm_place *place)
{
	const bool is_wide = addresses[address].n_bits == 128;
	address_bits prefix = 0;

	place->address = (uint8_t)address;
	place->n_bits = addresses[address].n_bits;
	place->word = (uint8_t)(addresses[address].offset / 8);
	place->shift = addresses[address].offset % 8 * 8;
	place->n_words = 0;
	for (unsigned int i = 0; i < mask->n_words; i++) {
		const unsigned int half = (unsigned int)mask->word[i] - place->word;
		uint64_t rest = mask->bits[i];

		if (is_wide && half < 2) {
			prefix |= (address_bits)rte_be_to_cpu_64(rest) << (half ? 0 : 64);
			continue;
		}
		if (!is_wide && half == 0) {
			prefix = (address_bits)lpm_address(rest, place->shift) << 96;
			rest &= ~(UINT64_C(0xffffffff) << place->shift);
		}
		if (!rest)
			continue;
		place->words[place->n_words] = mask->word[i];
		place->bits[place->n_words++] = rest;
	}
	if (~prefix & (~prefix + 1))
		return -1;
	return __builtin_popcountll((uint64_t)(prefix >> 64)) +
	       __builtin_popcountll((uint64_t)prefix);
}

bool lpm_place_equal(const struct lpm_place *a, const struct lpm_place *b)
{
	return a->word == b->word && a->shift == b->shift && a->n_words == b->n_words &&
	       memcmp(a->words, b->words, a->n_words) == 0 &&
	       memcmp(a->bits, b->bits, a->n_words * sizeof(a->bits[0])) == 0;
}

bool lpm_place_has(const struct lpm_place *place, const struct mask *mask)
{
	struct lpm_place other;

	return lpm_place_of(mask, place->address, &other) >= 0 && lpm_place_equal(place, &other);
}

bool lpm_place_common(const struct mask *const *masks, unsigned int n_masks, unsigned int n_bits,
		      struct lpm_place *place)
{
	int longest = -1;

	for (unsigned int a = 0; n_masks > 0 && a < LPM_N_ADDRESSES; a++) {
		struct lpm_place candidate;
		int length = lpm_place_of(masks[0], a, &candidate);
		unsigned int m = 1;

		if (candidate.n_bits != n_bits || length <= longest)
			continue;
		while (m < n_masks && lpm_place_has(&candidate, masks[m]))
			m++;
		if (m < n_masks)
			continue;
		longest = length;
		*place = candidate;
	}
	return longest >= 0;
}

bool lpm_place_of_flows(struct flow *const *flows, uint32_t n_flows, unsigned int n_bits,
			struct lpm_place *place)
{
	const struct mask *masks[MAX_LENGTHS];
	unsigned int n_masks = 0;

	for (uint32_t i = 0; i < n_flows; i++) {
		unsigned int m = 0;

		while (m < n_masks && masks[m] != flows[i]->mask)
			m++;
		if (m < n_masks)
			continue;
		if (n_masks == MAX_LENGTHS)
			return false;
		masks[n_masks++] = flows[i]->mask;
	}
	return lpm_place_common(masks, n_masks, n_bits, place);
}
