#include "common/rcu.h"
#include "flowtable/classifier/lanes.h"
#include "flowtable/classifier/lpm.h"

// One vector on its way through a trie. Each step goes through all packets before the next begins,
// so that their cache misses overlap.
struct walk {
	unsigned int n;
	uint8_t list[VECTOR_SIZE]; // packets
	uint32_t address[VECTOR_SIZE];
	uint64_t slot[VECTOR_SIZE]; // what was found so far
};

static inline void walk_start(struct walk *walk, const struct lpm_place *place,
			      const struct lpm_trie *trie, const struct key_vector *keys,
			      uint64_t packets)
{
	const uint64_t *column = key_vector_column(keys, place->word);

	walk->n = packets_list(packets, walk->list);
	for (unsigned int j = 0; j < walk->n; j++) {
		uint64_t word = column[walk->list[j] * KEY_LINE_WORDS];

		walk->address[j] = lpm_address(word, place->shift);
		__builtin_prefetch(&trie->top[walk->address[j] >> LPM_TOP_SHIFT]);
	}
}

// Fetch what a slot leads to: a flow, or a slot of the next level, which the list is of.
static inline unsigned int fetch(struct walk *walk, unsigned int j, uint64_t word,
				 unsigned int shift, uint8_t *deeper, unsigned int n_deeper)
{
	const uint32_t index = walk->address[j] >> shift & (LPM_BLOCK_SLOTS - 1);
	const bool is_block = lpm_is_block(word);
	// A word of 0 leads to no memory, which a prefetch does not mind.
	const uintptr_t flow = (uintptr_t)word + offsetof(struct flow, mask);
	const uintptr_t slot = (uintptr_t)(word - LPM_BLOCK_TAG) + index * sizeof(word);

	__builtin_prefetch((const void *)(is_block ? slot : flow));
	walk->slot[j] = is_block ? slot : word;
	deeper[n_deeper] = (uint8_t)j;
	return n_deeper + is_block;
}

static inline void trie_lookup(const struct lpm_trie *trie, struct walk *walk,
			       struct classifier_result *result)
{
	uint8_t deeper[VECTOR_SIZE + 1];
	unsigned int n = 0;

	for (unsigned int j = 0; j < walk->n; j++)
		n = fetch(walk, j, rcu_read(&trie->top[walk->address[j] >> LPM_TOP_SHIFT]),
			  LPM_TOP_SHIFT - 8, deeper, n);
	while (n) {
		unsigned int n_deeper = 0;

		for (unsigned int d = 0; d < n; d++) {
			unsigned int j = deeper[d];
			const uint64_t *slot = (const uint64_t *)(uintptr_t)walk->slot[j];

			n_deeper = fetch(walk, j, rcu_read(slot), 0, deeper, n_deeper);
		}
		n = n_deeper;
	}
	for (unsigned int j = 0; j < walk->n; j++) {
		const struct flow *flow = lpm_flow(walk->slot[j]);

		if (flow)
			classifier_improve(result, walk->list[j], flow, flow->rank);
	}
}

void classifier_lpm_lookup(const struct classifier *classifier, const struct key_vector *keys,
			   uint64_t packets, struct classifier_result *result)
{
	const struct classifier_prefixes *lpm = (const struct classifier_prefixes *)classifier;
	struct walk walk;

	for (unsigned int t = 0; t < LPM_MAX_CONTEXTS && packets; t++) {
		const struct lpm_trie *trie = rcu_read(&lpm->tries[t]);
		uint64_t ours =
			trie ? lpm_context_packets(&lpm->place, trie->values, keys, packets) : 0;

		if (!ours)
			continue;
		packets &= ~ours;
		walk_start(&walk, &lpm->place, trie, keys, ours);
		trie_lookup(trie, &walk, result);
	}
}

// The prefixes that the address has, from the shortest on.
static void tree_lookup(const struct lpm_trie *trie, uint32_t address, unsigned int packet,
			struct classifier_result *result, enum flow_view view)
{
	const struct lpm_node *node = rcu_read(&trie->root);

	while (node && !((address ^ node->bits) & lpm_length_mask(node->length))) {
		const struct lpm_entry *entry = rcu_read(&node->entries.first);

		for (; entry; entry = rcu_read(&entry->next)) {
			const struct flow *flow = rcu_read(&entry->flow);

			if (flow_is_visible(flow, view)) {
				classifier_improve(result, packet, flow, flow->rank);
				break;
			}
		}
		if (node->length == 32)
			break;
		node = rcu_read(&node->child[address >> (31 - node->length) & 1]);
	}
}

void classifier_lpm_view(const struct classifier *classifier, const struct key_vector *keys,
			 uint64_t packets, struct classifier_result *result, enum flow_view view)
{
	const struct classifier_prefixes *lpm = (const struct classifier_prefixes *)classifier;

	for (unsigned int t = 0; t < LPM_MAX_CONTEXTS && packets; t++) {
		const struct lpm_trie *trie = rcu_read(&lpm->tries[t]);
		uint64_t ours =
			trie ? lpm_context_packets(&lpm->place, trie->values, keys, packets) : 0;

		packets &= ~ours;
		for (; ours; ours &= ours - 1) {
			unsigned int i = (unsigned int)__builtin_ctzll(ours);
			uint64_t word = key_vector_word(keys, i, lpm->place.word);

			tree_lookup(trie, lpm_address(word, lpm->place.shift), i, result, view);
		}
	}
}
