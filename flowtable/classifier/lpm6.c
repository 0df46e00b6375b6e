#include "flowtable/classifier/lpm6_tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/rcu.h"

#define MIN_BUCKETS 4
#define MAX_BUCKETS (UINT32_C(1) << 27)
// How often an array of the same size is tried with another hash key before it is doubled.
#define SEEDS_PER_SIZE 4

struct prefix {
	struct lpm6_address address;
	uint32_t length;
	uint64_t context[KEY_WORDS];
};

static void prefix_of(const struct lpm_place *place, const struct flow *flow, struct prefix *prefix)
{
	const struct mask *mask = flow->mask;
	unsigned int n = 0;

	prefix->address = (struct lpm6_address){ 0 };
	prefix->length = 0;
	for (unsigned int i = 0; i < mask->n_words; i++) {
		const unsigned int half = (unsigned int)mask->word[i] - place->word;

		if (half < 2) {
			const uint64_t value = rte_be_to_cpu_64(flow->values[i]);

			prefix->length += (uint32_t)__builtin_popcountll(mask->bits[i]);
			*(half ? &prefix->address.low : &prefix->address.high) = value;
		} else {
			prefix->context[n++] = flow->values[i];
		}
	}
}

static unsigned int trie_find(const struct classifier_prefixes6 *lpm, const struct prefix *prefix)
{
	unsigned int t = 0;

	while (t < LPM_MAX_CONTEXTS &&
	       !(lpm->tries[t] && memcmp(lpm->tries[t]->values, prefix->context,
					 lpm->place.n_words * sizeof(prefix->context[0])) == 0))
		t++;
	return t;
}

// ---- The order of lengths -----------------------------------------------------------------------

// A balanced tree of 1 to 127, but that 128, which is common, comes next after 64.
static unsigned int shorter_than(unsigned int length)
{
	return length == 128 ? 96 : length - (length & -length) / 2;
}

static unsigned int longer_than(unsigned int length)
{
	return length == 64 ? 128 : length == 128 ? 128 : length + (length & -length) / 2;
}

// Lengths at which a search for `length` finds or passes it. Returns how many there are; it is the
// last one of them.
static unsigned int path_to(uint32_t length, uint8_t path[LPM6_MAX_STEPS])
{
	unsigned int at = 64, n = 0;

	if (length == 0)
		return 0;
	for (; at != length; at = length < at ? shorter_than(at) : longer_than(at))
		path[n++] = (uint8_t)at;
	path[n++] = (uint8_t)at;
	return n;
}

// What no node has is passed over: of longer ones there is none either, or it would have a marker.
static uint8_t first_used(const struct lpm6_trie *trie, unsigned int length)
{
	while (trie->n_of_length[length] == 0) {
		const unsigned int shorter = shorter_than(length);

		if (shorter == length)
			return 0;
		length = shorter;
	}
	return (uint8_t)length;
}

static void steps_fill(struct lpm6_steps *steps, const struct lpm6_trie *trie)
{
	memset(steps, 0, sizeof(*steps));
	steps->first = first_used(trie, 64);
	for (unsigned int length = 1; length <= LPM6_BITS; length++) {
		const unsigned int shorter = shorter_than(length), longer = longer_than(length);

		steps->shorter[length] = shorter == length ? 0 : first_used(trie, shorter);
		steps->longer[length] = longer == length ? 0 : first_used(trie, longer);
	}
}

static void steps_publish(struct lpm6_trie *trie, struct lpm6_steps *steps)
{
	struct lpm6_steps *old = trie->steps;

	steps_fill(steps, trie);
	rcu_publish(&trie->steps, steps);
	rcu_defer(free, old);
}

// ---- Keys ---------------------------------------------------------------------------------------

static uint64_t node_hash(const struct hash_array *array, const struct lpm6_node *node)
{
	return lpm6_hash(array, node->address, node->length);
}

static uint64_t slot_word(uint64_t hash, const struct lpm6_node *node)
{
	return hash_tag(hash) << SLOT_TAG_SHIFT | (uint64_t)(uintptr_t)node |
	       (node->n_longer ? LPM6_HAS_LONGER : 0);
}

static bool array_add(struct hash_array *array, const struct lpm6_node *node)
{
	const uint64_t hash = node_hash(array, node);
	uint64_t *slot = hash_array_find_free(array, hash);

	if (!slot)
		return false;
	array->n_used += *slot == SLOT_EMPTY;
	rcu_publish(slot, slot_word(hash, node));
	return true;
}

// The node of the first bits of the prefix, if it is a key: without a walk through the trie.
static struct lpm6_node *key_find(const struct lpm6_trie *trie, const struct prefix *prefix,
				  uint32_t length)
{
	const struct lpm6_address address = lpm6_prefix(prefix->address, length);
	const uint64_t hash = lpm6_hash(trie->array, address, length), tag = hash_tag(hash);
	const struct hash_bucket *buckets[] = {
		&trie->array->buckets[hash_home(trie->array, hash)],
		&trie->array->buckets[hash_alternate(trie->array, hash)]
	};

	for (unsigned int b = 0; b < 2; b++)
		for (unsigned int i = 0; i < BUCKET_SLOTS; i++) {
			struct lpm6_node *node = lpm6_slot_node(buckets[b]->slots[i]);

			if (hash_slot_tag(buckets[b]->slots[i]) == tag && node->length == length &&
			    lpm6_equal(node->address, address))
				return node;
		}
	return NULL;
}

static uint64_t *array_find(struct hash_array *array, const struct lpm6_node *node)
{
	const uint64_t hash = node_hash(array, node);
	struct hash_bucket *buckets[] = { &array->buckets[hash_home(array, hash)],
					  &array->buckets[hash_alternate(array, hash)] };

	for (unsigned int b = 0; b < 2; b++)
		for (unsigned int i = 0; i < BUCKET_SLOTS; i++)
			if (hash_slot_tag(buckets[b]->slots[i]) &&
			    lpm6_slot_node(buckets[b]->slots[i]) == node)
				return &buckets[b]->slots[i];
	return NULL;
}

static bool array_copy(struct hash_array *to, const struct hash_array *from)
{
	for (uint32_t b = 0; b <= from->bucket_mask; b++)
		for (unsigned int i = 0; i < BUCKET_SLOTS; i++) {
			const uint64_t slot = from->buckets[b].slots[i];

			if (hash_slot_tag(slot) && !array_add(to, lpm6_slot_node(slot)))
				return false;
		}
	return true;
}

// An array with room for n more keys.
static int array_grow(struct lpm6_trie *trie, uint32_t n)
{
	uint32_t n_buckets = MIN_BUCKETS;

	// Not soon crowded again.
	while (n_buckets < MAX_BUCKETS &&
	       hash_array_is_crowded(n_buckets, (trie->n_keys + n) / 3 * 4 + 1))
		n_buckets *= 2;
	for (unsigned int tries = 0; n_buckets <= MAX_BUCKETS; tries++) {
		struct hash_array *array = hash_array_create(n_buckets), *old = trie->array;

		if (!array)
			return -ENOMEM;
		if (array_copy(array, old)) {
			rcu_publish(&trie->array, array);
			rcu_defer(free, old);
			return 0;
		}
		free(array);
		if (tries % SEEDS_PER_SIZE == SEEDS_PER_SIZE - 1)
			n_buckets *= 2;
	}
	return -ENOMEM;
}

static int array_reserve(struct lpm6_trie *trie, uint32_t n)
{
	const struct hash_array *array = trie->array;

	return hash_array_is_crowded(array->bucket_mask + 1, array->n_used + n)
		       ? array_grow(trie, n)
		       : 0;
}

// NULL: no flow has the prefix.
static struct lpm6_node *prefix_node(const struct lpm6_trie *trie, const struct prefix *prefix)
{
	return prefix->length ? key_find(trie, prefix, prefix->length) : trie->top;
}

static bool is_key(const struct lpm6_node *node)
{
	return node->length > 0 && (node->entries.first || node->n_longer);
}

static int key_add(struct lpm6_trie *trie, const struct lpm6_node *node)
{
	while (!array_add(trie->array, node)) {
		int rc = array_grow(trie, 1);

		if (rc < 0)
			return rc;
	}
	trie->n_keys++;
	trie->n_of_length[node->length]++;
	return 0;
}

// Nobody looks for the node any more. Without memory for another order of lengths, searches go on
// trying one that nothing has.
static void key_remove(struct lpm6_trie *trie, const struct lpm6_node *node)
{
	uint64_t *slot = array_find(trie->array, node);
	struct lpm6_steps *steps;

	if (!slot)
		return;
	hash_array_clear(trie->array, slot);
	trie->n_keys--;
	if (--trie->n_of_length[node->length] > 0)
		return;
	steps = malloc(sizeof(*steps));
	if (steps)
		steps_publish(trie, steps);
}

// Whether something longer follows has changed.
static void key_update(struct lpm6_trie *trie, const struct lpm6_node *node)
{
	uint64_t *slot = array_find(trie->array, node);

	if (slot)
		rcu_publish(slot, slot_word(node_hash(trie->array, node), node));
}

// ---- Markers ------------------------------------------------------------------------------------

static int marker_add(struct lpm6_trie *trie, struct lpm6_node *node)
{
	const bool was_key = is_key(node);
	int rc;

	if (node->n_longer++)
		return 0;
	if (was_key) {
		key_update(trie, node);
		return 0;
	}
	rc = key_add(trie, node);
	if (rc < 0)
		node->n_longer--;
	return rc;
}

static void marker_remove(struct lpm6_trie *trie, struct lpm6_node *node)
{
	if (--node->n_longer)
		return;
	if (is_key(node)) {
		key_update(trie, node);
		return;
	}
	key_remove(trie, node);
	lpm6_tree_prune(trie, node->address, node->length);
}

static void markers_remove(struct lpm6_trie *trie, const struct prefix *prefix, const uint8_t *path,
			   unsigned int n)
{
	while (n-- > 0)
		if (path[n] < prefix->length)
			marker_remove(trie, key_find(trie, prefix, path[n]));
}

// ---- Memory -------------------------------------------------------------------------------------

// What an insertion may need, but for slots.
struct supply {
	struct lpm_entry *entry;
	struct lpm6_steps *steps;
	struct lpm6_node *nodes[LPM6_MAX_STEPS][2];
};

static void supply_free(struct supply *supply)
{
	free(supply->entry);
	free(supply->steps);
	for (unsigned int i = 0; i < LPM6_MAX_STEPS; i++) {
		free(supply->nodes[i][0]);
		free(supply->nodes[i][1]);
	}
}

static int supply_get(struct supply *supply, bool is_new, unsigned int n_nodes)
{
	bool failed;

	*supply = (struct supply){
		.entry = malloc(sizeof(*supply->entry)),
		.steps = is_new ? malloc(sizeof(*supply->steps)) : NULL,
	};
	failed = !supply->entry || (is_new && !supply->steps);
	for (unsigned int i = 0; i < 2 * n_nodes; i++) {
		supply->nodes[i / 2][i % 2] = aligned_alloc(64, sizeof(struct lpm6_node));
		failed |= !supply->nodes[i / 2][i % 2];
	}
	if (failed)
		supply_free(supply);
	return failed ? -ENOMEM : 0;
}

static void trie_destroy(void *object)
{
	struct lpm6_trie *trie = object;

	if (!trie)
		return;
	lpm6_tree_free(trie->top);
	free(trie->array);
	free(trie->steps);
	free(trie);
}

static struct lpm6_trie *trie_create(const struct prefix *prefix)
{
	struct lpm6_trie *trie = calloc(1, sizeof(*trie));

	if (!trie)
		return NULL;
	trie->top = aligned_alloc(64, sizeof(*trie->top));
	trie->array = hash_array_create(MIN_BUCKETS);
	trie->steps = calloc(1, sizeof(*trie->steps));
	if (!trie->top || !trie->array || !trie->steps) {
		free(trie->top);
		free(trie->array);
		free(trie->steps);
		free(trie);
		return NULL;
	}
	memset(trie->top, 0, sizeof(*trie->top));
	trie->n_nodes = 1;
	memcpy(trie->values, prefix->context, sizeof(trie->values));
	return trie;
}

static void lpm6_destroy(void *classifier)
{
	struct classifier_prefixes6 *lpm = classifier;

	for (unsigned int t = 0; lpm && t < LPM_MAX_CONTEXTS; t++)
		trie_destroy(lpm->tries[t]);
	free(lpm);
}

static size_t lpm6_memory(const struct classifier *classifier)
{
	const struct classifier_prefixes6 *lpm = (const struct classifier_prefixes6 *)classifier;
	size_t size = sizeof(*lpm);

	for (unsigned int t = 0; t < LPM_MAX_CONTEXTS; t++) {
		const struct lpm6_trie *trie = lpm->tries[t];

		if (trie)
			size += sizeof(*trie) + sizeof(*trie->steps) + sizeof(*trie->array) +
				((size_t)trie->array->bucket_mask + 1) *
					sizeof(struct hash_bucket) +
				trie->n_nodes * sizeof(struct lpm6_node) +
				trie->n_flows * sizeof(struct lpm_entry);
	}
	return size;
}

// ---- Changes ------------------------------------------------------------------------------------

static void count_flow(struct classifier_prefixes6 *lpm, struct lpm6_trie *trie,
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
static int trie_get(struct classifier_prefixes6 *lpm, const struct prefix *prefix,
		    struct lpm6_trie **trie)
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
	*trie = trie_create(prefix);
	if (!*trie)
		return -ENOMEM;
	rcu_publish(&lpm->tries[t], *trie);
	return 0;
}

static void trie_drop_if_empty(struct classifier_prefixes6 *lpm, struct lpm6_trie *trie)
{
	for (unsigned int t = 0; t < LPM_MAX_CONTEXTS && trie->n_flows == 0; t++)
		if (lpm->tries[t] == trie) {
			rcu_publish(&lpm->tries[t], (struct lpm6_trie *)NULL);
			rcu_defer(trie_destroy, trie);
			return;
		}
}

// The prefix's node as a key, with its markers, so that searches find it; nothing is visible yet.
// NULL without memory: all is as before.
static struct lpm6_node *prefix_add(struct lpm6_trie *trie, const struct prefix *prefix,
				    const uint8_t *path, unsigned int n, struct supply *supply)
{
	const uint32_t n_keys = trie->n_keys;
	struct lpm6_node *node = NULL;
	unsigned int done = 0, used = 0;
	int rc = array_reserve(trie, n);

	for (; rc == 0 && done < n; done += rc == 0) {
		const uint32_t length = path[done];
		const struct lpm6_address address = lpm6_prefix(prefix->address, length);

		if (length > prefix->length)
			continue;
		node = key_find(trie, prefix, length);
		if (!node)
			node = lpm6_tree_find(trie, address, length);
		if (!node)
			node = lpm6_tree_add(trie, address, length, supply->nodes[used++]);
		if (length < prefix->length)
			rc = marker_add(trie, node);
		else if (!is_key(node))
			rc = key_add(trie, node);
		if (rc < 0)
			lpm6_tree_prune(trie, address, length);
	}
	if (rc < 0) {
		markers_remove(trie, prefix, path, done);
		return NULL;
	}
	if (trie->n_keys > n_keys) {
		steps_publish(trie, supply->steps);
		supply->steps = NULL;
	}
	return node;
}

// How many nodes may have to be made: some may be there as forks.
static unsigned int count_missing_nodes(const struct lpm6_trie *trie, const struct prefix *prefix,
					const uint8_t *path, unsigned int n)
{
	unsigned int missing = 0;

	for (unsigned int i = 0; i < n; i++)
		missing += path[i] <= prefix->length && !key_find(trie, prefix, path[i]);
	return missing;
}

static int trie_insert(struct lpm6_trie *trie, const struct prefix *prefix, struct flow *flow)
{
	struct lpm6_node *node = prefix_node(trie, prefix);
	uint8_t path[LPM6_MAX_STEPS];
	const unsigned int n = path_to(prefix->length, path);
	const bool is_new = n > 0 && !(node && node->entries.first);
	struct supply supply;
	int rc;

	rc = supply_get(&supply, is_new, is_new ? count_missing_nodes(trie, prefix, path, n) : 0);
	if (rc < 0)
		return rc;
	if (is_new)
		node = prefix_add(trie, prefix, path, n, &supply);
	if (!node) {
		supply_free(&supply);
		return -ENOMEM;
	}
	lpm_entry_add(&node->entries, supply.entry, flow);
	supply.entry = NULL;
	lpm6_tree_paint(node, flow);
	supply_free(&supply);
	return 0;
}

static bool lpm6_suits(const struct mask *const *masks, unsigned int n_masks, uint32_t n_flows)
{
	struct lpm_place place;

	(void)n_flows;
	return lpm_place_common(masks, n_masks, LPM6_BITS, &place);
}

// -ENOSPC: the flow has a context more than there may be. -ENOTSUP: it has no prefix of our address,
// or another mask beside it.
static int lpm6_insert(struct classifier *classifier, struct flow *flow)
{
	struct classifier_prefixes6 *lpm = (struct classifier_prefixes6 *)classifier;
	struct prefix prefix = { 0 };
	struct lpm6_trie *trie;
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

// The flow's trie, node and entry; false if it is not there.
struct found {
	struct prefix prefix;
	struct lpm6_trie *trie;
	struct lpm6_node *node;
	struct lpm_entry *entry;
};

static bool find(const struct classifier_prefixes6 *lpm, const struct flow *flow,
		 struct found *found)
{
	unsigned int t;

	prefix_of(&lpm->place, flow, &found->prefix);
	t = trie_find(lpm, &found->prefix);
	if (t == LPM_MAX_CONTEXTS)
		return false;
	found->trie = lpm->tries[t];
	found->node = prefix_node(found->trie, &found->prefix);
	if (!found->node)
		return false;
	found->entry = lpm_entry_find(&found->node->entries, flow);
	return found->entry != NULL;
}

static void lpm6_remove(struct classifier *classifier, struct flow *flow)
{
	struct classifier_prefixes6 *lpm = (struct classifier_prefixes6 *)classifier;
	uint8_t path[LPM6_MAX_STEPS];
	struct found found;

	if (!find(lpm, flow, &found))
		return;
	lpm_entry_remove(&found.node->entries, found.entry);
	lpm6_tree_repaint(found.node, flow, lpm6_tree_above(found.trie, found.node));
	if (!found.node->entries.first) {
		const unsigned int n = path_to(found.prefix.length, path);

		if (n && !is_key(found.node)) {
			key_remove(found.trie, found.node);
			lpm6_tree_prune(found.trie, found.prefix.address, found.prefix.length);
		}
		markers_remove(found.trie, &found.prefix, path, n);
	}
	count_flow(lpm, found.trie, &found.prefix, -1);
	trie_drop_if_empty(lpm, found.trie);
}

static void lpm6_replace(struct classifier *classifier, struct flow *old, struct flow *flow)
{
	struct found found;

	if (!find((struct classifier_prefixes6 *)classifier, old, &found))
		return;
	rcu_publish(&found.entry->flow, flow);
	lpm6_tree_replace(found.node, old, flow);
}

// NULL also where the flows do not suit.
static struct classifier *lpm6_build(struct flow *const *flows, uint32_t n_flows)
{
	struct classifier_prefixes6 *lpm = calloc(1, sizeof(*lpm));

	if (!lpm)
		return NULL;
	lpm->base.template = &classifier_lpm6;
	lpm->base.id = CLASSIFIER_LPM6;
	if (!lpm_place_of_flows(flows, n_flows, LPM6_BITS, &lpm->place)) {
		free(lpm);
		return NULL;
	}
	for (uint32_t i = 0; i < n_flows; i++)
		if (lpm6_insert(&lpm->base, flows[i]) < 0) {
			lpm6_destroy(lpm);
			return NULL;
		}
	return &lpm->base;
}

const struct classifier_template classifier_lpm6 = {
	.name = "lpm6",
	.suits = lpm6_suits,
	.build = lpm6_build,
	.destroy = lpm6_destroy,
	.insert = lpm6_insert,
	.remove = lpm6_remove,
	.replace = lpm6_replace,
	.memory = lpm6_memory,
};
