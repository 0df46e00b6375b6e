#include "common/hash.h"
#include "datapath/cache.h"
#include "flowtable/classifier/hash.h"

#include <string.h>

#define HAS_L3 1
#define HAS_L4 2
#define FORWARDING_SHIFT 2

// What a packet is made of, and whose it is: six bytes of its layout beside each other, and where
// the transport header's size is, which makes no difference, whether there is one.
static inline uint64_t structure_of(const struct packet_layout *layout, uint16_t forwarding)
{
	uint64_t word;

	_Static_assert(offsetof(struct packet_layout, l4_size) == 4 &&
			       offsetof(struct packet_layout, n_vlans) == 6 &&
			       offsetof(struct packet_layout, type) == 10 &&
			       FORWARDING_MAX << FORWARDING_SHIFT <= 65536,
		       "the structure is one word of the layout");
	memcpy(&word, (const uint8_t *)layout + 4, sizeof(word));
	return (word & ~UINT64_C(0xffff)) | (layout->l3 ? HAS_L3 : 0) | (layout->l4 ? HAS_L4 : 0) |
	       (uint64_t)forwarding << FORWARDING_SHIFT;
}

// Words of any lines, one by one.
static inline void gather_words(const struct forward *forward, const struct cache_key *key,
				unsigned int i, uint64_t *words)
{
	const struct vector *vector = forward->vector;

	for (unsigned int w = 0; w < key->n_words; w++)
		words[w] = vector->lines[key->word[w] / KEY_LINE_WORDS][i]
					[key->word[w] % KEY_LINE_WORDS] &
			   key->mask[w];
	words[key->n_words - 1] = structure_of(&vector->layout[i], forward->forwarding->index);
}

static inline uint64_t hash_words_of(const struct cache *cache, const uint64_t *words,
				     unsigned int n)
{
	uint64_t hash = 0;

	for (unsigned int w = 0; w < n; w++)
		hash += hash_nh_word(words[w], cache->hash_key[w]);
	return hash_finish(hash);
}

#if defined(__AVX512BW__)

// Eight words of the two lines, masked, the last one replaced by `structure` if `last`.
static inline __m512i gather(__m512i core, __m512i other, const struct cache_key *key,
			     unsigned int half, uint64_t structure, bool last)
{
	const __m512i index = _mm512_load_si512(&key->index[half * 8]);
	const __m512i mask = _mm512_load_si512(&key->mask[half * 8]);
	const __m512i words = _mm512_and_si512(_mm512_permutex2var_epi64(core, index, other), mask);

	return last ? _mm512_mask_set1_epi64(words, 0x80, (long long)structure) : words;
}

static inline uint64_t hash_half(__m512i words, const uint64_t *key)
{
	const __m512i sums = _mm512_add_epi32(words, _mm512_loadu_si512(key));

	return (uint64_t)_mm512_reduce_add_epi64(
		_mm512_mul_epu32(sums, _mm512_srli_epi64(sums, 32)));
}

static inline void make_key(const struct cache *cache, const struct forward *forward,
			    const struct cache_key *key, unsigned int i, struct cache_probe *probe)
{
	const struct vector *vector = forward->vector;
	const __m512i core = _mm512_load_si512(vector->lines[KEY_LINE_CORE][i]);
	const __m512i other = _mm512_load_si512(vector->lines[key->line][i]);
	const uint64_t structure = structure_of(&vector->layout[i], forward->forwarding->index);
	const bool wide = key->n_words > 8;
	__m512i words;
	uint64_t hash;

	if (unlikely(!key->two_lines)) {
		gather_words(forward, key, i, &probe->keys[i * probe->stride]);
		probe->hash[i] =
			hash_words_of(cache, &probe->keys[i * probe->stride], key->n_words);
		return;
	}
	words = gather(core, other, key, 0, structure, !wide);
	hash = hash_half(words, cache->hash_key);

	_mm512_store_si512(&probe->keys[i * probe->stride], words);
	if (wide) {
		words = gather(core, other, key, 1, structure, true);
		hash += hash_half(words, cache->hash_key + 8);
		_mm512_store_si512(&probe->keys[i * probe->stride + 8], words);
	}
	probe->hash[i] = hash_finish(hash);
}

static inline bool half_equals(const uint64_t *a, const uint64_t *b)
{
	return !_mm512_cmpneq_epi64_mask(_mm512_load_si512(a), _mm512_load_si512(b));
}

#else

static inline void make_key(const struct cache *cache, const struct forward *forward,
			    const struct cache_key *key, unsigned int i, struct cache_probe *probe)
{
	gather_words(forward, key, i, &probe->keys[i * probe->stride]);
	probe->hash[i] = hash_words_of(cache, &probe->keys[i * probe->stride], key->n_words);
}

static inline bool half_equals(const uint64_t *a, const uint64_t *b)
{
	uint64_t differs = 0;

	for (unsigned int w = 0; w < 8; w++)
		differs |= a[w] ^ b[w];
	return !differs;
}

#endif

static inline bool key_equals(const struct cache_entry *entry, const struct cache_probe *probe,
			      unsigned int i)
{
	const uint64_t *key = &probe->keys[i * probe->stride];

	return half_equals(entry->key, key) &&
	       (probe->stride == 8 || half_equals(entry->key_more, key + 8));
}

// Bit w: way w of the set has the tag.
static inline unsigned int ways_with(const uint16_t tags[CACHE_WAYS], uint16_t tag)
{
	const uint64_t ones = UINT64_C(0x0001000100010001);
	uint64_t differs, equal;

	_Static_assert(CACHE_WAYS == 4, "the tags of a set are one word");
	memcpy(&differs, tags, sizeof(differs));
	differs ^= tag * ones;
	// The high bit of each 16 that are zero, and no other.
	equal = ~(((differs & 0x7fff * ones) + 0x7fff * ones) | differs) & 0x8000 * ones;
	return (unsigned int)(equal >> 15 | equal >> 30 | equal >> 45 | equal >> 60) & 15;
}

static struct cache_entry *search(const struct cache *cache, uint64_t generation,
				  const struct cache_probe *probe, unsigned int i)
{
	const unsigned int set = cache_set_of(probe->hash[i]);
	unsigned int ways = ways_with(cache->tags[set], cache_tag_of(probe->hash[i]));

	for (; ways; ways &= ways - 1) {
		struct cache_entry *entry =
			&cache->entries[set * CACHE_WAYS + (unsigned int)__builtin_ctz(ways)];

		if (entry->generation == generation && key_equals(entry, probe, i))
			return entry;
	}
	return NULL;
}

// Each step for all packets before the next, so that their cache misses overlap.
void cache_find(struct cache *cache, const struct forward *forward, uint64_t packets,
		struct cache_probe *probe)
{
	const struct cache_key *key = forward->cache_key;

	probe->stride = key->n_words;
	probe->unknown = 0;
	for_each_packet(i, packets)
	{
		make_key(cache, forward, key, (unsigned int)i, probe);
		__builtin_prefetch(cache->tags[cache_set_of(probe->hash[i])]);
	}
	for_each_packet(i, packets)
	{
		const unsigned int set = cache_set_of(probe->hash[i]);
		const unsigned int ways = ways_with(cache->tags[set], cache_tag_of(probe->hash[i]));
		struct cache_entry *entry = NULL;

		if (likely(ways)) {
			entry = &cache->entries[set * CACHE_WAYS +
						(unsigned int)__builtin_ctz(ways)];
			__builtin_prefetch(entry);
			__builtin_prefetch(entry->key);
			__builtin_prefetch(entry->mask);
		}
		probe->entries[i] = entry;
	}
	for_each_packet(i, packets)
	{
		struct cache_entry *entry = probe->entries[i];

		if (likely(entry && entry->generation == forward->generation &&
			   key_equals(entry, probe, (unsigned int)i)))
			continue;
		entry = entry ? search(cache, forward->generation, probe, (unsigned int)i) : NULL;
		probe->entries[i] = entry;
		probe->unknown |= (uint64_t)!entry << i;
	}
}

// --- Counts ---

static struct cache_chunk *chunk_at(struct cache *cache, uint32_t chunk)
{
	return &cache->chunks[chunk];
}

static void fold_entry(struct worker *worker, struct cache_entry *entry)
{
	struct cache *cache = worker->cache;

	if (!entry->packets)
		return;
	for (uint32_t at = entry->path; at; at = chunk_at(cache, at)->next) {
		const struct cache_chunk *chunk = chunk_at(cache, at);

		for (uint32_t k = 0; k < chunk->n; k++) {
			const uint32_t flow = (uint32_t)chunk->items[k];
			const uint32_t table = (uint32_t)(chunk->items[k] >> 32);

			if (flow != COUNTER_NONE)
				counter_add(worker->counters, flow, entry->packets, entry->bytes);
			// What a table's counter has in place of bytes are hits.
			if (table != COUNTER_NONE)
				counter_add(worker->counters, table, entry->packets,
					    flow != COUNTER_NONE ? entry->packets : 0);
		}
	}
	entry->packets = 0;
	entry->bytes = 0;
}

void cache_fold(struct worker *worker, uint32_t n)
{
	struct cache *cache = worker->cache;

	for (; n && cache->n_pending; n--) {
		struct cache_entry *entry = &cache->entries[cache->queue[cache->queue_head]];

		cache->queue_head = (cache->queue_head + 1) % CACHE_ENTRIES;
		cache->n_pending--;
		entry->queued = false;
		fold_entry(worker, entry);
		if (--cache->turn_left == 0) {
			cache->turn_left = cache->n_pending;
			counter_hold(worker->counters, cache->n_pending ? ++cache->turn : 0);
		}
	}
}

void cache_queue(struct worker *worker, struct cache_entry *entry)
{
	struct cache *cache = worker->cache;

	entry->queued = true;
	cache->queue[(cache->queue_head + cache->n_pending) % CACHE_ENTRIES] =
		(uint32_t)(entry - cache->entries);
	if (cache->n_pending++ == 0) {
		cache->turn_left = 1;
		counter_hold(worker->counters, ++cache->turn);
	}
}

// --- Places ---

static void free_chunks(struct cache *cache, uint32_t *list)
{
	while (*list) {
		struct cache_chunk *chunk = chunk_at(cache, *list);
		const uint32_t next = chunk->next;

		chunk->next = cache->free_chunk;
		cache->free_chunk = *list;
		*list = next;
	}
}

// One in so many keys takes the place of one that is in use: where more keys come than there is room
// for, making entries must not cost more than they save.
#define REPLACE_ONE_IN 16

// Who gives way: an entry of the past, else one that nobody asked for lately, else any, or none (NULL).
static struct cache_entry *choose(struct cache *cache, const struct forward *forward,
				  unsigned int set)
{
	struct cache_entry *entries = &cache->entries[set * CACHE_WAYS];

	for (unsigned int w = 0; w < CACHE_WAYS; w++)
		if (entries[w].generation != forward->generation)
			return &entries[w];
	for (unsigned int w = 0; w < CACHE_WAYS; w++)
		if (!entries[w].packets)
			return &entries[w];
	cache->random = cache->random * 1664525 + 1013904223;
	return (cache->random >> 16) % REPLACE_ONE_IN ? NULL : &entries[cache->random >> 30];
}

struct cache_entry *cache_place(struct cache *cache, struct forward *forward,
				struct cache_probe *probe, unsigned int i)
{
	const unsigned int set = cache_set_of(probe->hash[i]);
	struct cache_entry *entry = search(cache, forward->generation, probe, i);
	const uint64_t *key = &probe->keys[i * probe->stride];
	bool queued;

	if (entry)
		return NULL; // another packet of this burst made it
	entry = choose(cache, forward, set);
	if (!entry)
		return NULL;
	fold_entry(forward->worker, entry);
	free_chunks(cache, &entry->path);
	free_chunks(cache, &entry->list);
	cache->stats.n_evicted += entry->generation == forward->generation;
	queued = entry->queued;
	memset(entry, 0, sizeof(*entry));
	entry->queued = queued;
	memcpy(entry->key, key, sizeof(entry->key));
	if (probe->stride > 8)
		memcpy(entry->key_more, key + 8, sizeof(entry->key_more));
	cache->tags[set][entry - &cache->entries[set * CACHE_WAYS]] = cache_tag_of(probe->hash[i]);
	return entry;
}
