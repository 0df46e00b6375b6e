// For tests of classifiers and tables: random flows and packets from a small world, in which
// matches overlap and keys repeat often, and a naive answer to compare with.
#ifndef TESTS_UNIT_FLOW_HELPER_H
#define TESTS_UNIT_FLOW_HELPER_H

#include <stdlib.h>
#include <string.h>

#include "flowtable/flow.h"

// Words of the key that matches use, on four lines.
static const uint8_t helper_words[] = { 0, 3, 4, 9, 26, 70 };
#define HELPER_WORDS (sizeof(helper_words) / sizeof(helper_words[0]))

static uint64_t helper_state = 88172645463325252ULL;

static inline uint64_t helper_random(void)
{
	helper_state ^= helper_state << 13;
	helper_state ^= helper_state >> 7;
	helper_state ^= helper_state << 17;
	return helper_state * 0x2545f4914f6cdd1dULL;
}

static inline uint32_t helper_below(uint32_t n)
{
	return (uint32_t)((helper_random() >> 32) * n >> 32);
}

// A word in which few bits vary, in the lowest and the highest byte.
static inline uint64_t helper_word(void)
{
	return helper_random() & 0x8100000000000003ULL;
}

static inline void helper_mask(struct match *match)
{
	static const uint64_t masks[] = {
		0, 0, 0, UINT64_MAX, 0xff, 0xff00000000000000ULL, 0x8000000000000001ULL, 2
	};

	for (unsigned int i = 0; i < HELPER_WORDS; i++)
		match->mask.words[helper_words[i]] = masks[helper_below(8)];
}

static inline void helper_values(struct match *match)
{
	for (unsigned int i = 0; i < HELPER_WORDS; i++)
		match->value.words[helper_words[i]] =
			helper_word() & match->mask.words[helper_words[i]];
}

static inline struct flow *helper_flow(const struct match *match, uint16_t priority)
{
	struct flow_text text = { .match = *match, .priority = priority };
	struct flow *flow;

	text.program = calloc(1, sizeof(struct program));
	flow = text.program ? flow_create(&text) : NULL;
	if (!flow)
		abort();
	return flow;
}

// The keys of 64 packets.
struct helper_packets {
	uint64_t lines[KEY_LINES][VECTOR_SIZE][KEY_LINE_WORDS];
	struct key_vector keys;
};

static inline void helper_packets_init(struct helper_packets *packets)
{
	memset(packets, 0, sizeof(*packets));
	for (unsigned int l = 0; l < KEY_LINES; l++)
		packets->keys.lines[l] = packets->lines[l];
}

static inline void helper_packet_set(struct helper_packets *packets, unsigned int i,
				     unsigned int word, uint64_t value)
{
	packets->lines[word / KEY_LINE_WORDS][i][word % KEY_LINE_WORDS] = value;
}

static inline void helper_packets_random(struct helper_packets *packets)
{
	for (unsigned int i = 0; i < VECTOR_SIZE; i++)
		for (unsigned int w = 0; w < HELPER_WORDS; w++)
			helper_packet_set(packets, i, helper_words[w], helper_word());
}

// One packet's key, as match_covers() takes it.
static inline void helper_packet_key(const struct helper_packets *packets, unsigned int i,
				     struct key *key)
{
	for (unsigned int w = 0; w < KEY_WORDS; w++)
		key->words[w] = key_vector_word(&packets->keys, i, w);
}

// All packets, one, few or some.
static inline uint64_t helper_packet_set_random(void)
{
	switch (helper_below(4)) {
	case 0:
		return UINT64_MAX;
	case 1:
		return UINT64_C(1) << helper_below(64);
	case 2:
		return helper_random() & helper_random() & helper_random();
	default:
		return helper_random();
	}
}

#endif
