#include "common/rcu.h"
#include "flowtable/classifier/hash_bucket.h"
#include "flowtable/classifier/lanes.h"
#include "flowtable/classifier/lpm6.h"

// One vector on its way through the lengths. Each step goes through all packets before the next
// begins, so that their cache misses overlap.
struct search {
	const struct hash_array *array;
	const struct lpm6_steps *steps;
	unsigned int n;
	uint8_t list[VECTOR_SIZE]; // packets
	uint8_t length[VECTOR_SIZE]; // to be tried next; 0: none
	uint8_t found[VECTOR_SIZE]; // the length at which `node` was found
	struct lpm6_address address[VECTOR_SIZE];
	const struct lpm6_node *node[VECTOR_SIZE]; // the last one found
	uint64_t hash[VECTOR_SIZE];
};

static struct lpm6_address address_of(const struct lpm_place *place, const struct key_vector *keys,
				      unsigned int packet)
{
	return (struct lpm6_address){
		rte_be_to_cpu_64(key_vector_word(keys, packet, place->word)),
		rte_be_to_cpu_64(key_vector_word(keys, packet, place->word + 1u)),
	};
}

// The first slot of the bucket with the tag. 0: none.
static inline uint64_t bucket_slot(const struct hash_bucket *bucket, uint64_t tag)
{
	const unsigned int tags = hash_bucket_tags(bucket, tag);
	const uint64_t slot = tags ? rcu_read(&bucket->slots[__builtin_ctz(tags)]) : 0;

	return hash_slot_tag(slot) ? slot : 0;
}

static inline uint64_t find_slot(const struct hash_array *array, uint64_t hash)
{
	const struct hash_bucket *home = &array->buckets[hash_home(array, hash)];
	uint64_t slot = bucket_slot(home, hash_tag(hash));

	if (!slot && hash_bucket_was_full(home))
		slot = bucket_slot(&array->buckets[hash_alternate(array, hash)], hash_tag(hash));
	return slot;
}

static bool node_has(const struct lpm6_node *node, struct lpm6_address address)
{
	return lpm6_equal(lpm6_prefix(address, node->length), node->address);
}

// The node of exactly this prefix.
static uint64_t find_exact(const struct hash_array *array, struct lpm6_address address,
			   uint32_t length)
{
	const struct lpm6_address prefix = lpm6_prefix(address, length);
	const uint64_t hash = lpm6_hash(array, prefix, length);
	const uint32_t buckets[] = { hash_home(array, hash), hash_alternate(array, hash) };

	for (unsigned int b = 0; b < 2; b++)
		for (unsigned int i = 0; i < BUCKET_SLOTS; i++) {
			const uint64_t slot = rcu_read(&array->buckets[buckets[b]].slots[i]);
			const struct lpm6_node *node = lpm6_slot_node(slot);

			if (hash_slot_tag(slot) == hash_tag(hash) && node->length == length &&
			    lpm6_equal(node->address, prefix))
				return slot;
		}
	return 0;
}

// What tags could not decide.
static __attribute__((noinline)) const struct lpm6_node *search_exact(const struct lpm6_trie *trie,
								      const struct search *search,
								      struct lpm6_address address)
{
	const struct lpm6_node *found = trie->top;

	for (uint32_t length = search->steps->first; length;) {
		const uint64_t slot = find_exact(search->array, address, length);

		if (slot)
			found = lpm6_slot_node(slot);
		if (slot && !(slot & LPM6_HAS_LONGER))
			break;
		length = slot ? search->steps->longer[length] : search->steps->shorter[length];
	}
	return found;
}

static void search_start(struct search *search, const struct lpm_place *place,
			 const struct lpm6_trie *trie, const struct key_vector *keys,
			 uint64_t packets)
{
	search->steps = rcu_read(&trie->steps);
	search->array = rcu_read(&trie->array);
	search->n = packets_list(packets, search->list);
	for (unsigned int j = 0; j < search->n; j++) {
		search->address[j] = address_of(place, keys, search->list[j]);
		search->length[j] = search->steps->first;
		search->node[j] = trie->top;
		search->found[j] = 0;
	}
}

// One length for each packet in `open`, which is then the list of those that are to go on.
static unsigned int search_step(struct search *search, uint8_t *open, unsigned int n)
{
	unsigned int n_open = 0;

	for (unsigned int o = 0; o < n; o++) {
		const unsigned int j = open[o];
		const struct lpm6_address prefix =
			lpm6_prefix(search->address[j], search->length[j]);

		search->hash[j] = lpm6_hash(search->array, prefix, search->length[j]);
		__builtin_prefetch(
			&search->array->buckets[hash_home(search->array, search->hash[j])]);
	}
	for (unsigned int o = 0; o < n; o++) {
		const unsigned int j = open[o];
		const uint64_t slot = find_slot(search->array, search->hash[j]);
		const uint8_t *next =
			slot & LPM6_HAS_LONGER ? search->steps->longer : search->steps->shorter;

		if (slot) {
			search->node[j] = lpm6_slot_node(slot);
			search->found[j] = search->length[j];
			__builtin_prefetch(search->node[j]);
		}
		search->length[j] = slot && !(slot & LPM6_HAS_LONGER) ? 0 : next[search->length[j]];
		open[n_open] = (uint8_t)j;
		n_open += search->length[j] != 0;
	}
	return n_open;
}

static void trie_lookup(const struct lpm6_trie *trie, struct search *search,
			struct classifier_result *result)
{
	uint8_t open[VECTOR_SIZE + 1];
	const struct flow *flows[VECTOR_SIZE];
	unsigned int n = search->steps->first ? search->n : 0;

	for (unsigned int j = 0; j < n; j++)
		open[j] = (uint8_t)j;
	while (n)
		n = search_step(search, open, n);
	for (unsigned int j = 0; j < search->n; j++) {
		const struct lpm6_node *node = search->node[j];

		// A tag may be that of a node of another length, which has the address as well.
		if (node->length != search->found[j] || !node_has(node, search->address[j]))
			node = search_exact(trie, search, search->address[j]);
		flows[j] = rcu_read(&node->best);
		// No flow is at 0, which a prefetch does not mind.
		__builtin_prefetch((const char *)flows[j] + offsetof(struct flow, mask));
	}
	for (unsigned int j = 0; j < search->n; j++)
		if (flows[j])
			classifier_improve(result, search->list[j], flows[j], flows[j]->rank);
}

void classifier_lpm6_lookup(const struct classifier *classifier, const struct key_vector *keys,
			    uint64_t packets, struct classifier_result *result)
{
	const struct classifier_prefixes6 *lpm = (const struct classifier_prefixes6 *)classifier;
	struct search search;

	for (unsigned int t = 0; t < LPM_MAX_CONTEXTS && packets; t++) {
		const struct lpm6_trie *trie = rcu_read(&lpm->tries[t]);
		uint64_t ours =
			trie ? lpm_context_packets(&lpm->place, trie->values, keys, packets) : 0;

		if (!ours)
			continue;
		packets &= ~ours;
		search_start(&search, &lpm->place, trie, keys, ours);
		trie_lookup(trie, &search, result);
	}
}

// The prefixes that the address has, from the shortest on.
static void tree_lookup(const struct lpm6_trie *trie, struct lpm6_address address,
			unsigned int packet, struct classifier_result *result, enum flow_view view)
{
	const struct lpm6_node *node = trie->top;

	while (node && node_has(node, address)) {
		const struct lpm_entry *entry = rcu_read(&node->entries.first);

		for (; entry; entry = rcu_read(&entry->next)) {
			const struct flow *flow = rcu_read(&entry->flow);

			if (flow_is_visible(flow, view)) {
				classifier_improve(result, packet, flow, flow->rank);
				break;
			}
		}
		if (node->length == LPM6_BITS)
			break;
		node = rcu_read(&node->child[lpm6_bit(address, node->length)]);
	}
}

void classifier_lpm6_view(const struct classifier *classifier, const struct key_vector *keys,
			  uint64_t packets, struct classifier_result *result, enum flow_view view)
{
	const struct classifier_prefixes6 *lpm = (const struct classifier_prefixes6 *)classifier;

	for (unsigned int t = 0; t < LPM_MAX_CONTEXTS && packets; t++) {
		const struct lpm6_trie *trie = rcu_read(&lpm->tries[t]);
		uint64_t ours =
			trie ? lpm_context_packets(&lpm->place, trie->values, keys, packets) : 0;

		packets &= ~ours;
		for (; ours; ours &= ours - 1) {
			const unsigned int i = (unsigned int)__builtin_ctzll(ours);

			tree_lookup(trie, address_of(&lpm->place, keys, i), i, result, view);
		}
	}
}
