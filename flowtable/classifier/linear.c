#include "flowtable/classifier/linear.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/rcu.h"

static bool linear_suits(const struct mask *const *masks, unsigned int n_masks, uint32_t n_flows)
{
	(void)masks, (void)n_masks;
	return n_flows <= LINEAR_MAX_FLOWS;
}

// The column that holds `word` of the key; a new one if there is none yet.
static uint32_t column_of(struct classifier_lines *lines, uint8_t word)
{
	uint32_t i = 0;

	while (i < lines->n_columns && lines->column[i] != word)
		i++;
	if (i == lines->n_columns)
		lines->column[lines->n_columns++] = word;
	return i;
}

static bool is_first_of_mask(struct flow *const *flows, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (flows[i]->mask == flows[n]->mask)
			return false;
	return true;
}

static void add_flow(struct classifier_lines *lines, struct linear_word *words, struct flow *flow)
{
	const struct mask *mask = flow->mask;

	lines->flows[lines->n_entries++] = (struct linear_flow){
		.flow = flow,
		.rank = flow->rank,
		.first_word = lines->n_words,
		.n_words = mask->n_words,
	};
	for (unsigned int i = 0; i < mask->n_words; i++)
		words[lines->n_words++] = (struct linear_word){
			.bits = mask->bits[i],
			.value = flow->values[i],
			.column = column_of(lines, mask->word[i]),
		};
}

static size_t n_across(const struct classifier_lines *lines)
{
	return 2 * (size_t)lines->n_columns * lines->n_across;
}

// The same once more, column by column.
static void fill_across(struct classifier_lines *lines, uint64_t *across)
{
	lines->across = across;
	for (uint32_t f = 0; f < lines->n_entries; f++) {
		const struct linear_flow *flow = &lines->flows[f];

		for (uint32_t w = 0; w < flow->n_words; w++) {
			const struct linear_word *word = &lines->words[flow->first_word + w];
			uint64_t *column = &across[2 * word->column * lines->n_across];

			column[f] = word->bits;
			column[lines->n_across + f] = word->value & word->bits;
		}
	}
}

static uint32_t count_columns(struct flow *const *flows, uint32_t n_flows)
{
	bool used[KEY_WORDS] = { false };
	uint32_t n = 0;

	for (uint32_t f = 0; f < n_flows; f++)
		for (unsigned int i = 0; i < flows[f]->mask->n_words; i++) {
			n += !used[flows[f]->mask->word[i]];
			used[flows[f]->mask->word[i]] = true;
		}
	return n;
}

static int by_falling_rank(const void *a, const void *b)
{
	uint64_t left = (*(struct flow *const *)a)->rank;
	uint64_t right = (*(struct flow *const *)b)->rank;

	return left < right ? 1 : left > right ? -1 : 0;
}

static struct classifier *linear_build(struct flow *const *flows, uint32_t n_flows)
{
	struct flow *sorted[LINEAR_MAX_FLOWS];
	struct classifier_lines *lines;
	struct linear_word *words;
	const uint32_t n_padded = (n_flows + LINEAR_ALIGN - 1) / LINEAR_ALIGN * LINEAR_ALIGN;
	size_t n_words = 0;

	if (n_flows > LINEAR_MAX_FLOWS)
		return NULL;
	for (uint32_t i = 0; i < n_flows; i++) {
		sorted[i] = flows[i];
		n_words += flows[i]->mask->n_words;
	}
	lines = calloc(1, sizeof(*lines) + n_flows * sizeof(struct linear_flow) +
				  n_words * sizeof(struct linear_word) +
				  2 * (size_t)count_columns(flows, n_flows) * n_padded *
					  sizeof(uint64_t));
	if (!lines)
		return NULL;
	lines->base.template = &classifier_linear;
	lines->base.id = CLASSIFIER_LINEAR;
	lines->base.n_flows = n_flows;
	words = (struct linear_word *)&lines->flows[n_flows];
	lines->words = words;
	qsort(sorted, n_flows, sizeof(sorted[0]), by_falling_rank);
	for (uint32_t i = 0; i < n_flows; i++) {
		add_flow(lines, words, sorted[i]);
		lines->base.n_masks += is_first_of_mask(sorted, i);
	}
	lines->n_across = n_padded;
	fill_across(lines, (uint64_t *)(words + n_words));
	return &lines->base;
}

static int linear_insert(struct classifier *classifier, struct flow *flow)
{
	(void)classifier, (void)flow;
	return -ENOTSUP;
}

static void linear_replace(struct classifier *classifier, struct flow *old, struct flow *flow)
{
	struct classifier_lines *lines = (struct classifier_lines *)classifier;

	for (uint32_t i = 0; i < lines->n_entries; i++)
		if (lines->flows[i].flow == old)
			rcu_publish(&lines->flows[i].flow, flow);
}

static void linear_remove(struct classifier *classifier, struct flow *flow)
{
	linear_replace(classifier, flow, NULL);
	classifier->n_flows--;
}

static size_t linear_memory(const struct classifier *classifier)
{
	const struct classifier_lines *lines = (const struct classifier_lines *)classifier;

	return sizeof(*lines) + lines->n_entries * sizeof(struct linear_flow) +
	       lines->n_words * sizeof(struct linear_word) + n_across(lines) * sizeof(uint64_t);
}

const struct classifier_template classifier_linear = {
	.name = "linear",
	.suits = linear_suits,
	.build = linear_build,
	.destroy = free,
	.insert = linear_insert,
	.remove = linear_remove,
	.replace = linear_replace,
	.memory = linear_memory,
};
