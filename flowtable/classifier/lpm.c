#include "flowtable/classifier/lpm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/rcu.h"

// ---- Flows and their prefixes ----------------------------------------------------------------

static bool lpm_suits(const struct mask *const *masks, unsigned int n_masks, uint32_t n_flows)
{
	struct lpm_place place;

	(void)n_flows;
	return lpm_place_common(masks, n_masks, 32, &place);
}

struct prefix {
	uint32_t bits;
	uint32_t length;
	uint64_t context[KEY_WORDS];
};

static void prefix_of(const struct lpm_place *place, const struct flow *flow, struct prefix *prefix)
{
	const struct mask *mask = flow->mask;
	unsigned int n = 0;

	prefix->bits = prefix->length = 0;
	for (unsigned int i = 0; i < mask->n_words; i++) {
		if (mask->word[i] == place->word) {
			prefix->length = (uint32_t)__builtin_popcount(
				lpm_address(mask->bits[i], place->shift));
			prefix->bits = lpm_address(flow->values[i], place->shift);
		}
		if (n < place->n_words && mask->word[i] == place->words[n]) {
			prefix->context[n] = flow->values[i] & place->bits[n];
			n++;
		}
	}
}

static unsigned int trie_find(const struct classifier_prefixes *lpm, const struct prefix *prefix)
{
	unsigned int t = 0;

	while (t < LPM_MAX_CONTEXTS &&
	       !(lpm->tries[t] && memcmp(lpm->tries[t]->values, prefix->context,
					 lpm->place.n_words * sizeof(prefix->context[0])) == 0))
		t++;
	return t;
}

// ---- The tree of prefixes -----------------------------------------------------------------------

static unsigned int bit_behind(uint32_t bits, uint32_t length)
{
	return bits >> (31 - length) & 1;
}

static uint32_t common_length(const struct lpm_node *node, const struct prefix *prefix)
{
	const uint32_t differs = node->bits ^ prefix->bits;
	uint32_t common = differs ? (uint32_t)__builtin_clz(differs) : 32;

	if (common > node->length)
		common = node->length;
	return common < prefix->length ? common : prefix->length;
}

// The link at which the prefix's node is or belongs.
static struct lpm_node **tree_link(struct lpm_trie *trie, const struct prefix *prefix)
{
	struct lpm_node **link = &trie->root;

	while (*link && (*link)->length < prefix->length &&
	       common_length(*link, prefix) == (*link)->length)
		link = &(*link)->child[bit_behind(prefix->bits, (*link)->length)];
	return link;
}

static struct lpm_node *tree_find(struct lpm_trie *trie, const struct prefix *prefix)
{
	struct lpm_node *node = *tree_link(trie, prefix);

	return node && node->length == prefix->length && node->bits == prefix->bits ? node : NULL;
}

// Make a node for the prefix. Takes over what it uses of two nodes, and sets it to NULL.
static struct lpm_node *tree_add(struct lpm_trie *trie, const struct prefix *prefix,
				 struct lpm_node *spare[2])
{
	struct lpm_node **link = tree_link(trie, prefix);
	struct lpm_node *below = *link, *node = spare[0], *fork = spare[1];
	uint32_t common;

	spare[0] = NULL;
	*node = (struct lpm_node){ .bits = prefix->bits, .length = prefix->length };
	trie->n_nodes++;
	if (!below) {
		rcu_publish(link, node);
		return node;
	}
	common = common_length(below, prefix);
	if (common == prefix->length) {
		node->child[bit_behind(below->bits, common)] = below;
		rcu_publish(link, node);
		return node;
	}
	spare[1] = NULL;
	*fork = (struct lpm_node){ .bits = prefix->bits & lpm_length_mask(common),
				   .length = common };
	fork->child[bit_behind(below->bits, common)] = below;
	fork->child[bit_behind(prefix->bits, common)] = node;
	trie->n_nodes++;
	rcu_publish(link, fork);
	return node;
}

// Take out what is neither a prefix nor a fork any more.
static void tree_prune(struct lpm_trie *trie, const struct prefix *prefix)
{
	struct lpm_node **links[34];
	unsigned int n = 0;

	links[n++] = &trie->root;
	while (*links[n - 1] && (*links[n - 1])->length < prefix->length) {
		struct lpm_node *node = *links[n - 1];

		links[n++] = &node->child[bit_behind(prefix->bits, node->length)];
	}
	while (n-- > 0) {
		struct lpm_node *node = *links[n];

		if (!node || node->entries.first || (node->child[0] && node->child[1]))
			return;
		rcu_publish(links[n], node->child[0] ? node->child[0] : node->child[1]);
		rcu_defer(free, node);
		trie->n_nodes--;
	}
}

static struct flow *better(struct flow *best, const struct lpm_node *node)
{
	struct flow *flow = node->entries.first ? node->entries.first->flow : NULL;

	return flow && (!best || flow->rank > best->rank) ? flow : best;
}

// The best flow of the prefix and of those that it lies in.
static struct flow *tree_best(const struct lpm_trie *trie, const struct prefix *prefix)
{
	const struct lpm_node *node = trie->root;
	struct flow *best = NULL;

	while (node && node->length <= prefix->length &&
	       common_length(node, prefix) == node->length) {
		best = better(best, node);
		if (node->length == 32)
			break;
		node = node->child[bit_behind(prefix->bits, node->length)];
	}
	return best;
}

// ---- Slots --------------------------------------------------------------------------------------

static uint32_t last_address(uint32_t bits, uint32_t length)
{
	return bits | ~lpm_length_mask(length);
}

// What to write: `to` in place of the flow `from`, or of all that are not better than `rank`.
struct paint {
	uint64_t from;
	uint64_t to;
	bool by_rank;
	uint64_t rank;
	uint64_t seen; // the answer for this word is known
	bool answer;
};

static bool paint_covers(struct paint *paint, uint64_t word)
{
	if (!paint->by_rank)
		return word == paint->from;
	if (word == 0)
		return true;
	if (word != paint->seen) {
		paint->seen = word;
		paint->answer = lpm_flow(word)->rank <= paint->rank;
	}
	return paint->answer;
}

// `first` and `last` are addresses, counted from where the slots begin. No slot is covered in part.
static void paint_slots(uint64_t *slots, unsigned int shift, uint32_t first, uint32_t last,
			struct paint *paint)
{
	const uint32_t within = (UINT32_C(1) << shift) - 1;

	for (uint32_t i = first >> shift; i <= last >> shift; i++) {
		if (lpm_is_block(slots[i]))
			paint_slots(lpm_block_slots(slots[i]), shift - 8,
				    i == first >> shift ? first & within : 0,
				    i == last >> shift ? last & within : within, paint);
		else if (paint_covers(paint, slots[i]))
			rcu_publish(&slots[i], paint->to);
	}
}

static void paint_range(struct lpm_trie *trie, uint32_t first, uint32_t last, struct paint *paint)
{
	paint_slots(trie->top, LPM_TOP_SHIFT, first, last, paint);
}

static void repaint_gap(struct lpm_trie *trie, uint32_t first, uint32_t last, uint64_t from,
			const struct flow *to)
{
	struct paint paint = { .from = from, .to = (uintptr_t)to };

	paint_range(trie, first, last, &paint);
}

// The flow `from` has gone; `best` is what addresses in the node find if no longer prefix is
// better. Deeper than 33 calls it cannot go: each node is longer than the one before.
static void repaint(struct lpm_trie *trie, const struct lpm_node *node, const struct flow *from,
		    struct flow *best)
{
	const uint32_t last = last_address(node->bits, node->length);
	uint32_t next = node->bits;

	for (unsigned int c = 0; c < 2; c++) {
		const struct lpm_node *child = node->child[c];
		struct flow *inside = child ? better(best, child) : NULL;

		if (!child)
			continue;
		if (child->bits > next)
			repaint_gap(trie, next, child->bits - 1, (uintptr_t)from, best);
		// Where a longer prefix is better than the flow that went, it was there already.
		if (!inside || inside == best || inside->rank < from->rank)
			repaint(trie, child, from, inside);
		next = last_address(child->bits, child->length);
		if (next == last)
			return;
		next++;
	}
	repaint_gap(trie, next, last, (uintptr_t)from, best);
}

// Lookups see the flow of the slot as before. Uses up a spare block.
static void slot_open(struct lpm_trie *trie, uint64_t *slot, struct lpm_block *spare[2])
{
	struct lpm_block *block = spare[0];

	spare[0] = spare[1];
	spare[1] = NULL;
	block->n_prefixes = 0;
	for (unsigned int i = 0; i < LPM_BLOCK_SLOTS; i++)
		block->slots[i] = *slot;
	trie->n_blocks++;
	rcu_publish(slot, (uintptr_t)block->slots | LPM_BLOCK_TAG);
}

static struct lpm_block *block_of(uint64_t word)
{
	return (struct lpm_block *)((char *)lpm_block_slots(word) -
				    offsetof(struct lpm_block, slots));
}

static unsigned int count_missing_blocks(const struct lpm_trie *trie, const struct prefix *prefix)
{
	const uint64_t top = trie->top[prefix->bits >> LPM_TOP_SHIFT];
	uint64_t word;

	if (prefix->length <= 16)
		return 0;
	if (!lpm_is_block(top))
		return prefix->length <= 24 ? 1 : 2;
	word = lpm_block_slots(top)[prefix->bits >> 8 & 0xff];
	return prefix->length > 24 && !lpm_is_block(word);
}

// The blocks that a new prefix needs.
static void blocks_hold(struct lpm_trie *trie, const struct prefix *prefix,
			struct lpm_block *spare[2])
{
	uint64_t *slot = &trie->top[prefix->bits >> LPM_TOP_SHIFT];

	for (unsigned int shift = 16; prefix->length > 32 - shift; shift -= 8) {
		if (!lpm_is_block(*slot))
			slot_open(trie, slot, spare);
		block_of(*slot)->n_prefixes++;
		slot = &lpm_block_slots(*slot)[prefix->bits >> (shift - 8) & 0xff];
	}
}

static void block_release(struct lpm_trie *trie, uint64_t *slot)
{
	struct lpm_block *block = block_of(*slot);

	if (--block->n_prefixes > 0)
		return;
	rcu_publish(slot, block->slots[0]);
	rcu_defer(free, block);
	trie->n_blocks--;
}

// A prefix has gone, and so has its flow from the slots.
static void blocks_release(struct lpm_trie *trie, const struct prefix *prefix)
{
	uint64_t *slot = &trie->top[prefix->bits >> LPM_TOP_SHIFT];

	if (prefix->length > 24)
		block_release(trie, &lpm_block_slots(*slot)[prefix->bits >> 8 & 0xff]);
	if (prefix->length > 16)
		block_release(trie, slot);
}

// ---- Memory -------------------------------------------------------------------------------------

// What an insertion may need, so that it cannot fail once it has begun.
struct supply {
	struct lpm_entry *entry;
	struct lpm_node *nodes[2];
	struct lpm_block *blocks[2];
};

static void supply_free(struct supply *supply)
{
	free(supply->entry);
	for (unsigned int i = 0; i < 2; i++) {
		free(supply->nodes[i]);
		free(supply->blocks[i]);
	}
}

static int supply_get(struct supply *supply, bool is_new, unsigned int n_blocks)
{
	bool failed;

	*supply = (struct supply){ .entry = malloc(sizeof(*supply->entry)) };
	failed = !supply->entry;
	for (unsigned int i = 0; is_new && i < 2; i++) {
		supply->nodes[i] = malloc(sizeof(struct lpm_node));
		failed |= !supply->nodes[i];
	}
	for (unsigned int i = 0; i < n_blocks; i++) {
		supply->blocks[i] = aligned_alloc(64, sizeof(struct lpm_block));
		failed |= !supply->blocks[i];
	}
	if (failed)
		supply_free(supply);
	return failed ? -ENOMEM : 0;
}

static void tree_free(struct lpm_node *node)
{
	if (!node)
		return;
	tree_free(node->child[0]);
	tree_free(node->child[1]);
	lpm_entries_free(&node->entries);
	free(node);
}

static void slots_free(const uint64_t *slots, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		if (lpm_is_block(slots[i])) {
			slots_free(lpm_block_slots(slots[i]), LPM_BLOCK_SLOTS);
			free(block_of(slots[i]));
		}
}

static void trie_destroy(void *object)
{
	struct lpm_trie *trie = object;

	if (!trie)
		return;
	tree_free(trie->root);
	slots_free(trie->top, LPM_TOP_SLOTS);
	free(trie);
}

static void lpm_destroy(void *classifier)
{
	struct classifier_prefixes *lpm = classifier;

	for (unsigned int t = 0; lpm && t < LPM_MAX_CONTEXTS; t++)
		trie_destroy(lpm->tries[t]);
	free(lpm);
}

static size_t lpm_memory(const struct classifier *classifier)
{
	const struct classifier_prefixes *lpm = (const struct classifier_prefixes *)classifier;
	size_t size = sizeof(*lpm);

	for (unsigned int t = 0; t < LPM_MAX_CONTEXTS; t++) {
		const struct lpm_trie *trie = lpm->tries[t];

		if (trie)
			size += sizeof(*trie) + trie->n_blocks * sizeof(struct lpm_block) +
				trie->n_nodes * sizeof(struct lpm_node) +
				trie->n_flows * sizeof(struct lpm_entry);
	}
	return size;
}

// ---- Changes ------------------------------------------------------------------------------------

static void count_flow(struct classifier_prefixes *lpm, struct lpm_trie *trie,
		       const struct prefix *prefix, int change)
{
	uint32_t *n_of_length = &lpm->n_of_length[prefix->length];

	lpm->base.n_masks -= *n_of_length > 0;
	*n_of_length += (uint32_t)change;
	lpm->base.n_masks += *n_of_length > 0;
	lpm->base.n_flows += (uint32_t)change;
	trie->n_flows += (uint32_t)change;
}

// The trie of the prefix's context, maybe a new one in a free place. -ENOSPC: too many contexts.
static int trie_get(struct classifier_prefixes *lpm, const struct prefix *prefix,
		    struct lpm_trie **trie)
{
	unsigned int t = trie_find(lpm, prefix);

	if (t < LPM_MAX_CONTEXTS) {
		*trie = lpm->tries[t];
		return 0;
	}
	for (t = 0; t < LPM_MAX_CONTEXTS && lpm->tries[t]; t++)
		;
	if (t == LPM_MAX_CONTEXTS)
		return -ENOSPC;
	*trie = aligned_alloc(64, sizeof(**trie));
	if (!*trie)
		return -ENOMEM;
	memset(*trie, 0, sizeof(**trie));
	memcpy((*trie)->values, prefix->context, lpm->place.n_words * sizeof(prefix->context[0]));
	rcu_publish(&lpm->tries[t], *trie);
	return 0;
}

static void trie_drop_if_empty(struct classifier_prefixes *lpm, struct lpm_trie *trie)
{
	for (unsigned int t = 0; t < LPM_MAX_CONTEXTS && trie->n_flows == 0; t++)
		if (lpm->tries[t] == trie) {
			rcu_publish(&lpm->tries[t], (struct lpm_trie *)NULL);
			rcu_defer(trie_destroy, trie);
			return;
		}
}

static int trie_insert(struct lpm_trie *trie, const struct prefix *prefix, struct flow *flow)
{
	struct paint paint = { .to = (uintptr_t)flow, .by_rank = true, .rank = flow->rank };
	struct lpm_node *node = tree_find(trie, prefix);
	const bool is_new = !node || !node->entries.first;
	struct supply supply;
	int rc = supply_get(&supply, !node, is_new ? count_missing_blocks(trie, prefix) : 0);

	if (rc < 0)
		return rc;
	if (!node)
		node = tree_add(trie, prefix, supply.nodes);
	lpm_entry_add(&node->entries, supply.entry, flow);
	supply.entry = NULL;
	if (is_new)
		blocks_hold(trie, prefix, supply.blocks);
	paint_range(trie, prefix->bits, last_address(prefix->bits, prefix->length), &paint);
	supply_free(&supply);
	return 0;
}

// -ENOSPC: the flow has a context more than there may be. -ENOTSUP: it has no prefix of our address,
// or another mask beside it.
static int lpm_insert(struct classifier *classifier, struct flow *flow)
{
	struct classifier_prefixes *lpm = (struct classifier_prefixes *)classifier;
	struct lpm_trie *trie;
	struct prefix prefix;
	int rc;

	if (!lpm_place_has(&lpm->place, flow->mask))
		return -ENOTSUP;
	prefix_of(&lpm->place, flow, &prefix);
	rc = trie_get(lpm, &prefix, &trie);
	if (rc < 0)
		return rc;
	rc = trie_insert(trie, &prefix, flow);
	if (rc == 0)
		count_flow(lpm, trie, &prefix, 1);
	else
		trie_drop_if_empty(lpm, trie);
	return rc;
}

static void lpm_remove(struct classifier *classifier, struct flow *flow)
{
	struct classifier_prefixes *lpm = (struct classifier_prefixes *)classifier;
	struct lpm_entry *entry;
	struct lpm_trie *trie;
	struct prefix prefix;
	struct lpm_node *node;
	unsigned int t;

	prefix_of(&lpm->place, flow, &prefix);
	t = trie_find(lpm, &prefix);
	trie = t < LPM_MAX_CONTEXTS ? lpm->tries[t] : NULL;
	node = trie ? tree_find(trie, &prefix) : NULL;
	if (!node)
		return;
	entry = lpm_entry_find(&node->entries, flow);
	if (!entry)
		return;
	lpm_entry_remove(&node->entries, entry);
	repaint(trie, node, flow, tree_best(trie, &prefix));
	if (!node->entries.first) {
		blocks_release(trie, &prefix);
		tree_prune(trie, &prefix);
	}
	count_flow(lpm, trie, &prefix, -1);
	trie_drop_if_empty(lpm, trie);
}

static void lpm_replace(struct classifier *classifier, struct flow *old, struct flow *flow)
{
	struct classifier_prefixes *lpm = (struct classifier_prefixes *)classifier;
	struct prefix prefix;
	struct lpm_node *node;
	struct lpm_entry *entry;
	unsigned int t;

	prefix_of(&lpm->place, old, &prefix);
	t = trie_find(lpm, &prefix);
	node = t < LPM_MAX_CONTEXTS ? tree_find(lpm->tries[t], &prefix) : NULL;
	entry = node ? lpm_entry_find(&node->entries, old) : NULL;
	if (!entry)
		return;
	rcu_publish(&entry->flow, flow);
	repaint_gap(lpm->tries[t], prefix.bits, last_address(prefix.bits, prefix.length),
		    (uintptr_t)old, flow);
}

// NULL also where the flows do not suit.
static struct classifier *lpm_build(struct flow *const *flows, uint32_t n_flows)
{
	struct classifier_prefixes *lpm = calloc(1, sizeof(*lpm));

	if (!lpm)
		return NULL;
	lpm->base.template = &classifier_lpm;
	lpm->base.id = CLASSIFIER_LPM;
	if (!lpm_place_of_flows(flows, n_flows, 32, &lpm->place)) {
		free(lpm);
		return NULL;
	}
	for (uint32_t i = 0; i < n_flows; i++)
		if (lpm_insert(&lpm->base, flows[i]) < 0) {
			lpm_destroy(lpm);
			return NULL;
		}
	return &lpm->base;
}

const struct classifier_template classifier_lpm = {
	.name = "lpm",
	.suits = lpm_suits,
	.build = lpm_build,
	.destroy = lpm_destroy,
	.insert = lpm_insert,
	.remove = lpm_remove,
	.replace = lpm_replace,
	.memory = lpm_memory,
};
