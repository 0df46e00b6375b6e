#include "common/rcu.h"
#include "flowtable/classifier/lanes.h"
#include "flowtable/classifier/linear.h"

// Packets are compared LANES at a time (a group), and BLOCK groups in a row, so that what they
// differ in stays in registers.
#define BLOCK 8
#define BLOCK_PACKETS (BLOCK * LANES)

struct columns {
	_Alignas(64) uint64_t words[KEY_WORDS][VECTOR_SIZE];
};

static void columns_load(struct columns *columns, const struct classifier_lines *lines,
			 const struct key_vector *keys, const uint8_t *list, unsigned int n)
{
	// As flow_match() reads: one group, or whole blocks.
	unsigned int step = n <= LANES ? LANES : BLOCK_PACKETS;

	for (uint32_t c = 0; c < lines->n_columns; c++) {
		const uint64_t *column = key_vector_column(keys, lines->column[c]);
		uint64_t *words = columns->words[c];
		unsigned int i = 0;

		if (!list) // the first n
			for (; i < n; i++)
				words[i] = column[i * KEY_LINE_WORDS];
		for (; i < n; i++)
			words[i] = column[list[i] * KEY_LINE_WORDS];
		for (; i % step; i++)
			words[i] = 0;
	}
}

// Which packets of `n_groups` groups from `first` on match the flow's words? Bit 0: the first.
static inline __attribute__((always_inline)) uint64_t groups_match(const struct columns *columns,
								   const struct linear_flow *flow,
								   const struct linear_word *words,
								   unsigned int first,
								   unsigned int n_groups)
{
	lanes differs[BLOCK] = { 0 };
	uint64_t matches = 0;

	for (uint32_t w = 0; w < flow->n_words; w++) {
		const lanes *group = (const lanes *)columns->words[words[w].column] + first;
		lanes value = (lanes){ 0 } + words[w].value;
		lanes bits = (lanes){ 0 } + words[w].bits;

		for (unsigned int g = 0; g < n_groups; g++)
			differs[g] |= (group[g] ^ value) & bits;
	}
	for (unsigned int g = 0; g < n_groups; g++)
		matches |= lanes_zero(differs[g]) << g * LANES;
	return matches;
}

// Which of the first n packets match? Bits of later ones may be set too.
static inline uint64_t flow_match(const struct columns *columns, const struct linear_flow *flow,
				  const struct linear_word *words, unsigned int n)
{
	uint64_t matches = 0;

	if (n <= LANES)
		return groups_match(columns, flow, words, 0, 1);
	for (unsigned int first = 0; first * LANES < n; first += BLOCK)
		matches |= groups_match(columns, flow, words, first, BLOCK) << first * LANES;
	return matches;
}

// classifier_improve() for a set of packets.
static inline void improve_set(struct classifier_result *result, uint64_t packets,
			       const struct flow *flow, uint64_t rank)
{
#if defined(__AVX512F__)
	const __m512i ranks = _mm512_set1_epi64((long long)rank);
	const __m512i flows = _mm512_set1_epi64((long long)(uintptr_t)flow);

	for (unsigned int i = 0; packets >> i; i += 8) {
		__mmask8 better = _mm512_mask_cmpgt_epu64_mask((__mmask8)(packets >> i), ranks,
							       _mm512_load_si512(&result->rank[i]));

		_mm512_mask_store_epi64(&result->rank[i], better, ranks);
		_mm512_mask_store_epi64(&result->flow[i], better, flows);
		if (i == VECTOR_SIZE - 8)
			break;
	}
#else
	for (; packets; packets &= packets - 1)
		classifier_improve(result, (unsigned int)__builtin_ctzll(packets), flow, rank);
#endif
}

// Does it take less time to compare each packet with many flows than each flow with many packets?
// Up to LANES packets are one group, more are a whole block of groups. Very few flows fill no
// register.
static inline bool better_across(unsigned int n_packets, uint32_t n_flows)
{
	if (n_packets <= LANES)
		return n_packets == 1 || (n_packets <= 3 * LANES / 4 && n_flows >= LANES);
	return n_packets <= 3 * LANES && n_flows >= 2 * LANES;
}

typedef uint64_t loose_lanes __attribute__((vector_size(LANES * 8), may_alias, aligned(8)));

static void lookup_one(const struct classifier_lines *lines, const struct key_vector *keys,
		       unsigned int packet, struct classifier_result *result, enum flow_view view)
{
	uint64_t words[KEY_WORDS];

	for (uint32_t c = 0; c < lines->n_columns; c++)
		words[c] = key_vector_column(keys, lines->column[c])[packet * KEY_LINE_WORDS];
	for (uint32_t f = 0; f < lines->n_entries; f += LANES) {
		const uint64_t *across = &lines->across[f];
		lanes differs = { 0 };
		uint64_t matches;

		for (uint32_t c = 0; c < lines->n_columns; c++) {
			const lanes bits = *(const loose_lanes *)across;
			const lanes values = *(const loose_lanes *)(across + lines->n_across);

			differs |= (((lanes){ 0 } + words[c]) & bits) ^ values;
			across += 2 * (size_t)lines->n_across;
		}
		matches = lanes_zero(differs);
		for (; matches; matches &= matches - 1) {
			const unsigned int at = f + (unsigned int)__builtin_ctzll(matches);
			const struct flow *flow;

			if (at >= lines->n_entries)
				return;
			flow = rcu_read(&lines->flows[at].flow);
			if (!flow || (view != VIEW_NONE && !flow_is_visible(flow, view)))
				continue;
			classifier_improve(result, packet, flow, lines->flows[at].rank);
			return;
		}
	}
}

// VIEW_NONE: all flows are visible.
static inline void lookup(const struct classifier *classifier, const struct key_vector *keys,
			  uint64_t packets, struct classifier_result *result, enum flow_view view)
{
	const struct classifier_lines *lines = (const struct classifier_lines *)classifier;
	struct columns columns;
	uint8_t list[VECTOR_SIZE];
	uint64_t open;
	// The usual set is the first n packets: no list is needed.
	const bool dense = !(packets & (packets + 1));
	unsigned int n =
		dense ? (unsigned int)__builtin_popcountll(packets) : packets_list(packets, list);

	if (better_across(n, lines->n_entries)) {
		for (; packets; packets &= packets - 1)
			lookup_one(lines, keys, (unsigned int)__builtin_ctzll(packets), result,
				   view);
		return;
	}
	open = n == VECTOR_SIZE ? UINT64_MAX : (UINT64_C(1) << n) - 1;

	columns_load(&columns, lines, keys, dense ? NULL : list, n);
	for (uint32_t f = 0; f < lines->n_entries && open; f++) {
		const struct linear_flow *entry = &lines->flows[f];
		uint64_t found =
			open & flow_match(&columns, entry, lines->words + entry->first_word, n);
		const struct flow *flow;

		if (!found)
			continue;
		flow = rcu_read(&entry->flow);
		if (!flow || (view != VIEW_NONE && !flow_is_visible(flow, view)))
			continue;
		open &= ~found;
		if (dense) {
			improve_set(result, found, flow, entry->rank);
			continue;
		}
		for (; found; found &= found - 1)
			classifier_improve(result, list[__builtin_ctzll(found)], flow, entry->rank);
	}
}

void classifier_linear_lookup(const struct classifier *classifier, const struct key_vector *keys,
			      uint64_t packets, struct classifier_result *result)
{
	lookup(classifier, keys, packets, result, VIEW_NONE);
}

void classifier_linear_view(const struct classifier *classifier, const struct key_vector *keys,
			    uint64_t packets, struct classifier_result *result, enum flow_view view)
{
	lookup(classifier, keys, packets, result, view);
}
