// Which flows share a block.
//
// Flows are divided by the bit of the key that tells most of them apart: those that want it 0,
// those that want it 1, and those that do not care, each of which is divided further. A packet
// meets one of the first two groups, and the last. Small groups of the last kind would cost every
// packet a block for few flows, so they are put together in the end.
#include "flowtable/classifier/bitvector.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// A bit has to spare a packet at least so many flows, and fewer indifferent flows are put aside.
#define MIN_SPARED 96
#define MIN_GROUP 160
#define MAX_DEPTH 24

struct clustering {
	int (*add)(void *context, struct flow **group, uint32_t n);
	void *context;
	struct flow **rest; // put aside
	uint32_t n_rest;
};

// How many flows want each bit of the key to be 0 or 1.
struct bit_counts {
	uint32_t wanted[KEY_WORDS][64][2];
};

static int by_falling_rank(const void *a, const void *b)
{
	uint64_t left = (*(struct flow *const *)a)->rank;
	uint64_t right = (*(struct flow *const *)b)->rank;

	return left < right ? 1 : left > right ? -1 : 0;
}

// In blocks by rank, of which packets with a good result need not look at the later ones.
static int add_by_rank(const struct clustering *clustering, struct flow **flows, uint32_t n)
{
	int rc = 0;

	qsort(flows, n, sizeof(*flows), by_falling_rank);
	for (uint32_t i = 0; rc == 0 && i < n; i += BITVECTOR_BLOCK_FLOWS) {
		uint32_t n_group = n - i < BITVECTOR_BLOCK_FLOWS ? n - i : BITVECTOR_BLOCK_FLOWS;

		rc = clustering->add(clustering->context, flows + i, n_group);
	}
	return rc;
}

static void count_bits(struct bit_counts *counts, struct flow *const *flows, uint32_t n)
{
	memset(counts, 0, sizeof(*counts));
	for (uint32_t i = 0; i < n; i++) {
		const struct mask *mask = flows[i]->mask;

		for (unsigned int w = 0; w < mask->n_words; w++)
			for (uint64_t bits = mask->bits[w]; bits; bits &= bits - 1) {
				const unsigned int bit = (unsigned int)__builtin_ctzll(bits);

				counts->wanted[mask->word[w]][bit]
					      [flows[i]->values[w] >> bit & 1]++;
			}
	}
}

// The bit of which the less wanted value has the most flows. Returns how many that are.
static uint32_t best_bit(const struct bit_counts *counts, unsigned int *word, unsigned int *bit)
{
	uint32_t best = 0;

	for (unsigned int w = 0; w < KEY_WORDS; w++)
		for (unsigned int b = 0; b < 64; b++) {
			const uint32_t *wanted = counts->wanted[w][b];
			uint32_t spared = wanted[0] < wanted[1] ? wanted[0] : wanted[1];

			if (spared > best) {
				best = spared;
				*word = w;
				*bit = b;
			}
		}
	return best;
}

// 0 or 1: the flow wants the bit so. 2: it does not care.
static unsigned int wish(const struct flow *flow, unsigned int word, unsigned int bit)
{
	for (unsigned int w = 0; w < flow->mask->n_words; w++)
		if (flow->mask->word[w] == word && flow->mask->bits[w] >> bit & 1)
			return flow->values[w] >> bit & 1;
	return 2;
}

// Flows by their wish, in `sorted`; n_wish gets how many there are of each.
static void divide(struct flow **flows, uint32_t n, struct flow **sorted, unsigned int word,
		   unsigned int bit, uint32_t n_wish[3])
{
	uint32_t at[3] = { 0 };

	memset(n_wish, 0, 3 * sizeof(n_wish[0]));
	for (uint32_t i = 0; i < n; i++)
		n_wish[wish(flows[i], word, bit)]++;
	at[1] = n_wish[0];
	at[2] = n_wish[0] + n_wish[1];
	for (uint32_t i = 0; i < n; i++)
		sorted[at[wish(flows[i], word, bit)]++] = flows[i];
	memcpy(flows, sorted, n * sizeof(*flows));
}

static uint32_t blocks_for(uint32_t n_flows)
{
	return (n_flows + BITVECTOR_BLOCK_FLOWS - 1) / BITVECTOR_BLOCK_FLOWS;
}

// Would packets go through fewer blocks?
static bool is_worth_it(const struct clustering *clustering, const uint32_t n_wish[3])
{
	const uint32_t most = n_wish[0] > n_wish[1] ? n_wish[0] : n_wish[1];
	const bool is_put_aside = n_wish[2] < MIN_GROUP;
	// The first to be put aside begin a block.
	const uint32_t n_more =
		is_put_aside ? n_wish[2] && !clustering->n_rest : blocks_for(n_wish[2]);

	return blocks_for(n_wish[0] + n_wish[1] + n_wish[2]) > blocks_for(most) + n_more;
}

// `scratch` has room for n flows, which is all that the levels below need.
static int cluster(struct clustering *clustering, struct flow **flows, uint32_t n,
		   struct flow **scratch, struct bit_counts *counts, unsigned int depth)
{
	unsigned int word = 0, bit = 0;
	uint32_t n_wish[3];
	int rc = 0;

	if (n <= BITVECTOR_BLOCK_FLOWS || depth == MAX_DEPTH)
		return add_by_rank(clustering, flows, n);
	count_bits(counts, flows, n);
	if (best_bit(counts, &word, &bit) < MIN_SPARED)
		return add_by_rank(clustering, flows, n);
	divide(flows, n, scratch, word, bit, n_wish);
	if (!is_worth_it(clustering, n_wish))
		return add_by_rank(clustering, flows, n);
	for (unsigned int g = 0; rc == 0 && g < 3; flows += n_wish[g++]) {
		if (g == 2 && n_wish[g] < MIN_GROUP) {
			memcpy(clustering->rest + clustering->n_rest, flows,
			       n_wish[g] * sizeof(*flows));
			clustering->n_rest += n_wish[g];
		} else if (n_wish[g]) {
			rc = cluster(clustering, flows, n_wish[g], scratch, counts, depth + 1);
		}
	}
	return rc;
}

int bitvector_cluster(struct flow **flows, uint32_t n_flows,
		      int (*add)(void *context, struct flow **group, uint32_t n), void *context)
{
	struct flow **memory = malloc(2 * (size_t)n_flows * sizeof(*memory));
	struct bit_counts *counts = malloc(sizeof(*counts));
	struct clustering clustering = { .add = add, .context = context, .rest = memory };
	int rc = -ENOMEM;

	if (memory && counts) {
		rc = cluster(&clustering, flows, n_flows, memory + n_flows, counts, 0);
		if (rc == 0 && clustering.n_rest)
			rc = add_by_rank(&clustering, clustering.rest, clustering.n_rest);
	}
	free(counts);
	free(memory);
	return rc;
}
