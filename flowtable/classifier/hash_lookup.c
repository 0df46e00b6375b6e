#include <string.h>

#include "common/rcu.h"
#include "flowtable/classifier/chain.h"
#include "flowtable/classifier/hash_bucket.h"
#include "flowtable/classifier/lanes.h"

// One vector on its way through the table. Each step goes through all packets before the next
// begins, so that their cache misses overlap.
struct probe {
	const struct classifier_hashed *hashed;
	const struct hash_array *array;
	const struct key_vector *keys;
	unsigned int n; // packets in `list`
	bool dense; // the packets are the first n: there is no list
	uint8_t list[VECTOR_SIZE];
	_Alignas(64) uint64_t hash[VECTOR_SIZE];
	const struct flow *candidate[VECTOR_SIZE];
	uint64_t unsure; // bit j: packet j needs a look at all slots
	_Alignas(64) uint64_t words[KEY_WORDS][VECTOR_SIZE]; // masked, of packet j
};

static inline unsigned int packet_of(const struct probe *probe, unsigned int j)
{
	return probe->dense ? j : probe->list[j];
}

static inline bool key_equals(const struct probe *probe, unsigned int j, const struct flow *flow)
{
	for (uint32_t w = 0; w < probe->hashed->n_words; w++)
		if (probe->words[w][j] != flow->values[w])
			return false;
	return true;
}

static const struct flow *bucket_search(const struct probe *probe, const struct hash_bucket *bucket,
					uint64_t tag, unsigned int j)
{
	for (unsigned int i = 0; i < BUCKET_SLOTS; i++) {
		uint64_t slot = rcu_read(&bucket->slots[i]);

		if (hash_slot_tag(slot) == tag && key_equals(probe, j, hash_slot_flow(slot)))
			return hash_slot_flow(slot);
	}
	return NULL;
}

// Every slot that may hold the key: what the quick way cannot decide.
static __attribute__((noinline)) const struct flow *search(const struct probe *probe,
							   unsigned int j)
{
	const struct hash_array *array = probe->array;
	uint64_t hash = probe->hash[j];
	const struct hash_bucket *home = &array->buckets[hash_home(array, hash)];
	const struct flow *flow = bucket_search(probe, home, hash_tag(hash), j);

	if (!flow && hash_bucket_was_full(home))
		flow = bucket_search(probe, &array->buckets[hash_alternate(array, hash)],
				     hash_tag(hash), j);
	return flow;
}

// The words that the mask looks at, side by side.
static void step_words(struct probe *probe)
{
	for (uint32_t w = 0; w < probe->hashed->n_words; w++) {
		const struct hash_mask_word *word = &probe->hashed->words[w];
		const uint64_t *column = key_vector_column(probe->keys, (unsigned int)word->word);
		uint64_t *words = probe->words[w];

		if (probe->dense)
			for (unsigned int j = 0; j < probe->n; j++)
				words[j] = column[j * KEY_LINE_WORDS] & word->bits;
		else
			for (unsigned int j = 0; j < probe->n; j++)
				words[j] = column[probe->list[j] * KEY_LINE_WORDS] & word->bits;
	}
}

static void step_hash(struct probe *probe)
{
	lanes *hashes = (lanes *)probe->hash;

	for (unsigned int g = 0; g * LANES < probe->n; g++) {
		lanes sum = { 0 };

		for (uint32_t w = 0; w < probe->hashed->n_words; w++) {
			const lanes words = ((const lanes *)probe->words[w])[g];
			const lanes keys = (lanes){ 0 } + probe->array->keys[w];

			sum += lanes_multiply_halves((lanes)((half_lanes)words + (half_lanes)keys));
		}
		hashes[g] = sum;
	}
	for (unsigned int j = 0; j < probe->n; j++) {
		probe->hash[j] = hash_finish(probe->hash[j]);
		__builtin_prefetch(&probe->array->buckets[hash_home(probe->array, probe->hash[j])]);
	}
}

// The first slot with the right tag is nearly always the flow: fetch it.
static void step_tags(struct probe *probe)
{
	const struct hash_array *array = probe->array;

	for (unsigned int j = 0; j < probe->n; j++) {
		uint64_t hash = probe->hash[j];
		const struct hash_bucket *home = &array->buckets[hash_home(array, hash)];
		unsigned int tags = hash_bucket_tags(home, hash_tag(hash));
		uint64_t slot = tags ? rcu_read(&home->slots[__builtin_ctz(tags)]) : SLOT_EMPTY;

		probe->candidate[j] = NULL;
		if (hash_slot_tag(slot)) {
			probe->candidate[j] = hash_slot_flow(slot);
			__builtin_prefetch(&probe->candidate[j]->mask);
		} else if (tags || hash_bucket_was_full(home)) {
			probe->unsure |= UINT64_C(1) << j;
			__builtin_prefetch(&array->buckets[hash_alternate(array, hash)]);
		}
	}
}

static void step_verify(const struct probe *probe, struct classifier_result *result)
{
	for (unsigned int j = 0; j < probe->n; j++) {
		const struct flow *flow = probe->candidate[j];

		if (flow ? !key_equals(probe, j, flow) : probe->unsure >> j & 1)
			flow = search(probe, j);
		if (flow)
			classifier_improve(result, packet_of(probe, j), flow, flow->rank);
	}
}

static inline __attribute__((always_inline)) void probe_start(struct probe *probe,
							      const struct classifier *classifier,
							      const struct key_vector *keys,
							      uint64_t packets)
{
	probe->hashed = (const struct classifier_hashed *)classifier;
	probe->array = rcu_read(&probe->hashed->array);
	probe->keys = keys;
	probe->unsure = 0;
	probe->dense = !(packets & (packets + 1));
	probe->n = probe->dense ? (unsigned int)__builtin_popcountll(packets)
				: packets_list(packets, probe->list);
	step_words(probe);
	step_hash(probe);
}

// A view needs the flows behind the head of a chain, so each packet goes the long way.
void classifier_hash_view(const struct classifier *classifier, const struct key_vector *keys,
			  uint64_t packets, struct classifier_result *result, enum flow_view view)
{
	struct probe probe;

	probe_start(&probe, classifier, keys, packets);
	for (unsigned int j = 0; j < probe.n; j++) {
		const struct flow *flow = chain_first_visible(search(&probe, j), view);

		if (flow)
			classifier_improve(result, packet_of(&probe, j), flow, flow->rank);
	}
}

void classifier_hash_lookup(const struct classifier *classifier, const struct key_vector *keys,
			    uint64_t packets, struct classifier_result *result)
{
	struct probe probe;

	probe_start(&probe, classifier, keys, packets);
	step_tags(&probe);
	step_verify(&probe, result);
}
