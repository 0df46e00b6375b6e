#include "flowtable/classifier/hash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/rcu.h"
#include "flowtable/classifier/chain.h"

#define MIN_BUCKETS 2
#define MAX_BUCKETS (UINT32_C(1) << 27)
// Five of eight slots used: one bucket in seven is full then, and no alternate is.
#define MAX_USED_SLOTS_PER_BUCKET 5
// How often an array of the same size is tried with another hash key before it is doubled.
#define SEEDS_PER_SIZE 4

static bool hash_suits(const struct mask *const *masks, unsigned int n_masks, uint32_t n_flows)
{
	(void)n_flows;
	return n_masks == 1 && masks[0]->n_words > 0;
}

static uint64_t flow_hash(const struct hash_array *array, const struct flow *flow)
{
	uint64_t hash = 0;

	for (unsigned int i = 0; i < flow->mask->n_words; i++)
		hash += hash_nh_word(flow->values[i], array->keys[i]);
	return hash_finish(hash);
}

static bool same_key(const struct flow *a, const struct flow *b)
{
	return memcmp(a->values, b->values, a->mask->n_words * sizeof(a->values[0])) == 0;
}

static uint64_t *bucket_find(struct hash_bucket *bucket, uint64_t tag, const struct flow *flow)
{
	for (unsigned int i = 0; i < BUCKET_SLOTS; i++)
		if (hash_slot_tag(bucket->slots[i]) == tag &&
		    same_key(hash_slot_flow(bucket->slots[i]), flow))
			return &bucket->slots[i];
	return NULL;
}

// The slot that holds the flow's key, or NULL.
static uint64_t *array_find(struct hash_array *array, uint64_t hash, const struct flow *flow)
{
	uint64_t tag = hash_tag(hash);
	uint64_t *slot = bucket_find(&array->buckets[hash_home(array, hash)], tag, flow);

	if (!slot)
		slot = bucket_find(&array->buckets[hash_alternate(array, hash)], tag, flow);
	return slot;
}

// A slot that is empty, or removed and free for reuse.
static uint64_t *bucket_find_free(struct hash_bucket *bucket)
{
	for (unsigned int i = 0; i < BUCKET_SLOTS; i++)
		if (bucket->slots[i] == SLOT_EMPTY || bucket->slots[i] == SLOT_REMOVED)
			return &bucket->slots[i];
	return NULL;
}

uint64_t *hash_array_find_free(struct hash_array *array, uint64_t hash)
{
	uint64_t *slot = bucket_find_free(&array->buckets[hash_home(array, hash)]);

	return slot ? slot : bucket_find_free(&array->buckets[hash_alternate(array, hash)]);
}

static void slot_publish(uint64_t *slot, uint64_t tag, const struct flow *head)
{
	rcu_publish(slot, tag << SLOT_TAG_SHIFT | (uint64_t)(uintptr_t)head);
}

// A slot of a full bucket whose key is at home there and now in its alternate bucket as well: lookups,
// which ask the home first, find it before, after and in between. NULL if there is none.
static uint64_t *bucket_move_one(struct hash_array *array, uint32_t bucket)
{
	uint64_t *slots = array->buckets[bucket].slots;

	for (unsigned int i = 0; i < BUCKET_SLOTS; i++) {
		const uint64_t hash = flow_hash(array, hash_slot_flow(slots[i]));
		uint64_t *other;

		if (hash_home(array, hash) != bucket)
			continue;
		other = bucket_find_free(&array->buckets[hash_alternate(array, hash)]);
		if (!other)
			continue;
		array->n_used += *other == SLOT_EMPTY;
		rcu_publish(other, slots[i]);
		return &slots[i];
	}
	return NULL;
}

// A slot for a new key; NULL if there is no room.
static uint64_t *array_make_room(struct hash_array *array, uint64_t hash)
{
	uint64_t *slot = hash_array_find_free(array, hash);

	if (!slot)
		slot = bucket_move_one(array, hash_home(array, hash));
	return slot ? slot : bucket_move_one(array, hash_alternate(array, hash));
}

static bool array_add(struct hash_array *array, uint64_t hash, struct flow *head)
{
	uint64_t *slot = array_make_room(array, hash);

	if (!slot)
		return false;
	array->n_used += *slot == SLOT_EMPTY;
	slot_publish(slot, hash_tag(hash), head);
	return true;
}

// Fresh keys for every array: nobody can go on using collisions that were found.
static void draw_keys(struct hash_array *array)
{
	static uint64_t n_drawn;

	for (unsigned int i = 0; i < KEY_WORDS; i++) {
		n_drawn++;
		array->keys[i] = hash_words(&n_drawn, 1);
	}
}

struct hash_array *hash_array_create(uint32_t n_buckets)
{
	size_t size = sizeof(struct hash_array) + n_buckets * sizeof(struct hash_bucket);
	struct hash_array *array = aligned_alloc(64, size);

	if (!array)
		return NULL;
	memset(array, 0, size);
	draw_keys(array);
	array->bucket_mask = n_buckets - 1;
	return array;
}

static bool array_copy_keys(struct hash_array *to, const struct hash_array *from)
{
	for (uint32_t b = 0; b <= from->bucket_mask; b++)
		for (unsigned int i = 0; i < BUCKET_SLOTS; i++) {
			struct flow *head = hash_slot_flow(from->buckets[b].slots[i]);

			if (!hash_slot_tag(from->buckets[b].slots[i]))
				continue;
			if (!array_add(to, flow_hash(to, head), head))
				return false;
		}
	return true;
}

static uint32_t buckets_for(uint32_t n_keys)
{
	uint32_t n_buckets = MIN_BUCKETS;

	while (n_buckets < MAX_BUCKETS &&
	       n_keys > (uint64_t)n_buckets * MAX_USED_SLOTS_PER_BUCKET * 3 / 4)
		n_buckets *= 2;
	return n_buckets;
}

bool hash_array_is_crowded(uint32_t n_buckets, uint32_t n_used)
{
	return n_used >= (uint64_t)n_buckets * MAX_USED_SLOTS_PER_BUCKET;
}

// Publish an array with room for one more key than there are, and for those that are expected:
// moving a million keys from array to array takes longer than adding them.
static int array_grow(struct classifier_hashed *hashed)
{
	const uint32_t n_expected = hashed->n_keys + hashed->base.n_expected + 1;
	uint32_t n_buckets = buckets_for(hashed->n_keys + 1);

	while (n_buckets < MAX_BUCKETS && hash_array_is_crowded(n_buckets, n_expected))
		n_buckets *= 2;
	for (unsigned int tries = 0; n_buckets <= MAX_BUCKETS; tries++) {
		struct hash_array *array = hash_array_create(n_buckets);

		if (!array)
			return -ENOMEM;
		if (array_copy_keys(array, hashed->array)) {
			struct hash_array *old = hashed->array;

			rcu_publish(&hashed->array, array);
			rcu_defer(free, old);
			return 0;
		}
		free(array);
		if (tries % SEEDS_PER_SIZE == SEEDS_PER_SIZE - 1)
			n_buckets *= 2;
	}
	return -ENOMEM;
}

static bool array_is_crowded(const struct hash_array *array)
{
	return hash_array_is_crowded(array->bucket_mask + 1, array->n_used);
}

// A key that is not in the table yet.
static int insert_key(struct classifier_hashed *hashed, struct flow *flow)
{
	// Removed slots are not counted out of n_used, so a table that changes much is rebuilt
	// now and then, in its present size.
	if (array_is_crowded(hashed->array)) {
		int rc = array_grow(hashed);

		if (rc < 0)
			return rc;
	}
	rcu_publish(&flow->next, (struct flow *)NULL);
	while (!array_add(hashed->array, flow_hash(hashed->array, flow), flow)) {
		int rc = array_grow(hashed);

		if (rc < 0)
			return rc;
	}
	hashed->n_keys++;
	return 0;
}

static int hash_insert(struct classifier *classifier, struct flow *flow)
{
	struct classifier_hashed *hashed = (struct classifier_hashed *)classifier;
	uint64_t hash = flow_hash(hashed->array, flow);
	uint64_t *slot = array_find(hashed->array, hash, flow);
	int rc = 0;

	if (slot)
		slot_publish(slot, hash_tag(hash),
			     chain_insert(classifier, hash_slot_flow(*slot), flow));
	else
		rc = insert_key(hashed, flow);
	if (rc == 0)
		classifier->n_flows++;
	return rc;
}

static void hash_prefetch(const struct classifier *classifier, const struct flow *flow)
{
	const struct hash_array *array = ((const struct classifier_hashed *)classifier)->array;
	const uint64_t hash = flow_hash(array, flow);

	__builtin_prefetch(&array->buckets[hash_home(array, hash)], 1);
	__builtin_prefetch(&array->buckets[hash_alternate(array, hash)], 1);
}

static bool bucket_has_empty(const struct hash_bucket *bucket)
{
	for (unsigned int i = 0; i < BUCKET_SLOTS; i++)
		if (bucket->slots[i] == SLOT_EMPTY)
			return true;
	return false;
}

void hash_array_clear(struct hash_array *array, uint64_t *slot)
{
	size_t offset = (size_t)((char *)slot - (char *)array->buckets);
	bool was_full = !bucket_has_empty(&array->buckets[offset / sizeof(struct hash_bucket)]);

	rcu_publish(slot, was_full ? SLOT_REMOVED : SLOT_EMPTY);
	array->n_used -= !was_full;
}

static void hash_remove(struct classifier *classifier, struct flow *flow)
{
	struct classifier_hashed *hashed = (struct classifier_hashed *)classifier;
	uint64_t hash = flow_hash(hashed->array, flow);
	uint64_t *slot = array_find(hashed->array, hash, flow);
	struct flow *head;

	if (!slot)
		return;
	head = chain_remove(classifier, hash_slot_flow(*slot), flow);
	if (head)
		slot_publish(slot, hash_tag(hash), head);
	else {
		hash_array_clear(hashed->array, slot);
		hashed->n_keys--;
	}
	classifier->n_flows--;
}

static void hash_replace(struct classifier *classifier, struct flow *old, struct flow *flow)
{
	struct classifier_hashed *hashed = (struct classifier_hashed *)classifier;
	uint64_t hash = flow_hash(hashed->array, old);
	uint64_t *slot = array_find(hashed->array, hash, old);

	if (slot)
		slot_publish(slot, hash_tag(hash),
			     chain_replace(classifier, hash_slot_flow(*slot), old, flow));
}

static void hash_destroy(void *classifier)
{
	struct classifier_hashed *hashed = classifier;

	if (hashed) {
		chains_free(&hashed->base);
		free(hashed->array);
	}
	free(hashed);
}

// Without flows there is no mask to build for.
static struct classifier *hash_build(struct flow *const *flows, uint32_t n_flows)
{
	const struct mask *mask = n_flows ? flows[0]->mask : NULL;
	struct classifier_hashed *hashed;

	if (!mask)
		return NULL;
	hashed = calloc(1, sizeof(*hashed) + mask->n_words * sizeof(hashed->words[0]));
	if (!hashed)
		return NULL;
	hashed->base.template = &classifier_hash;
	hashed->base.id = CLASSIFIER_HASH;
	hashed->base.n_masks = 1;
	hashed->n_words = mask->n_words;
	for (unsigned int i = 0; i < mask->n_words; i++)
		hashed->words[i] = (struct hash_mask_word){ mask->bits[i], mask->word[i] };
	hashed->array = hash_array_create(buckets_for(n_flows));
	for (uint32_t i = 0; hashed->array && i < n_flows; i++)
		if (hash_insert(&hashed->base, flows[i]) < 0) {
			hash_destroy(hashed);
			return NULL;
		}
	if (!hashed->array) {
		hash_destroy(hashed);
		return NULL;
	}
	return &hashed->base;
}

static size_t hash_memory(const struct classifier *classifier)
{
	const struct classifier_hashed *hashed = (const struct classifier_hashed *)classifier;

	return sizeof(*hashed) + hashed->n_words * sizeof(hashed->words[0]) +
	       sizeof(*hashed->array) +
	       ((size_t)hashed->array->bucket_mask + 1) * sizeof(struct hash_bucket);
}

const struct classifier_template classifier_hash = {
	.name = "hash",
	.suits = hash_suits,
	.build = hash_build,
	.destroy = hash_destroy,
	.insert = hash_insert,
	.remove = hash_remove,
	.replace = hash_replace,
	.memory = hash_memory,
	.prefetch = hash_prefetch,
};
