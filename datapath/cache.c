#include "datapath/cache.h"

#include "common/hash.h"
#include "common/rcu.h"
#include "datapath/group.h"

#include <errno.h>

#include <rte_cycles.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>

// Pages are touched as flows come.
static void *reserve(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED)
		return NULL;
	madvise(memory, size, MADV_HUGEPAGE); // if it can be had
	return memory;
}

static void release(void *memory, size_t size)
{
	if (memory)
		munmap(memory, size);
}

// Without the kernel's randomness, the process's key and the time have to do.
static void draw_keys(struct cache *cache)
{
	if (getrandom(cache->hash_key, sizeof(cache->hash_key), GRND_NONBLOCK) !=
	    (ssize_t)sizeof(cache->hash_key))
		for (unsigned int i = 0; i < CACHE_KEY_WORDS; i++)
			cache->hash_key[i] = hash_finish(hash_word(rte_rdtsc(), i));
	cache->random = (uint32_t)cache->hash_key[0] | 1;
}

struct cache *cache_create(void)
{
	struct cache *cache = calloc(1, sizeof(*cache));

	if (!cache)
		return NULL;
	cache->entries = reserve(CACHE_ENTRIES * sizeof(*cache->entries));
	cache->chunks = reserve(CACHE_CHUNKS * sizeof(*cache->chunks));
	cache->tags = reserve(CACHE_SETS * sizeof(*cache->tags));
	cache->doors = reserve(CACHE_DOORS * sizeof(*cache->doors));
	cache->queue = reserve(CACHE_ENTRIES * sizeof(*cache->queue));
	cache->gauges = calloc(FORWARDING_MAX, sizeof(*cache->gauges));
	cache->records = calloc(VECTOR_SIZE, sizeof(*cache->records));
	if (!cache->entries || !cache->chunks || !cache->tags || !cache->doors || !cache->queue ||
	    !cache->gauges || !cache->records) {
		cache_destroy(cache);
		return NULL;
	}
	cache->n_chunks_used = 1;
	draw_keys(cache);
	return cache;
}

void cache_destroy(struct cache *cache)
{
	if (!cache)
		return;
	release(cache->entries, CACHE_ENTRIES * sizeof(*cache->entries));
	release(cache->chunks, CACHE_CHUNKS * sizeof(*cache->chunks));
	release(cache->tags, CACHE_SETS * sizeof(*cache->tags));
	release(cache->doors, CACHE_DOORS * sizeof(*cache->doors));
	release(cache->queue, CACHE_ENTRIES * sizeof(*cache->queue));
	free(cache->gauges);
	free(cache->records);
	free(cache);
}

// --- What packets are told apart by ---

uint8_t cache_mode = CACHE_ADAPTIVE;

static uint64_t last_generation;

void forwarding_changed(struct forwarding *forwarding)
{
	rcu_publish(&forwarding->generation, ++last_generation);
}

// Which of these bits differ between packets that come from a port: not registers, not metadata, not
// what connection tracking says, as all packets begin with the same.
static uint64_t varying(unsigned int word, uint64_t bits)
{
	const unsigned int line = word / KEY_LINE_WORDS;

	switch (line) {
	case KEY_LINE_REGISTERS:
	case KEY_LINE_REGISTERS2:
	case KEY_LINE_CONNTRACK:
		return 0;
	case KEY_LINE_CORE:
		if (word == offsetof(struct key_core, tcp_flags) / 8)
			return bits & rte_cpu_to_be_64(UINT64_C(0xffff) << 48);
		return word > offsetof(struct key_core, tcp_flags) / 8 ? 0 : bits;
	default:
		return bits;
	}
}

static void add_word(struct cache_key *key, unsigned int n, unsigned int word, uint64_t bits)
{
	const unsigned int line = word / KEY_LINE_WORDS;

	key->word[n] = (uint8_t)word;
	key->mask[n] = bits;
	key->index[n] = line == KEY_LINE_CORE ? word : 8 + word % KEY_LINE_WORDS;
	if (line == KEY_LINE_CORE || line == key->line)
		return;
	if (key->line == KEY_LINE_CORE)
		key->line = (uint8_t)line;
	else
		key->two_lines = false;
}

bool cache_bits_add(uint64_t bits[KEY_WORDS], unsigned int word, uint64_t more)
{
	if (!(more & ~bits[word]))
		return false;
	bits[word] |= more;
	return true;
}

static bool add_field(uint64_t bits[KEY_WORDS], const struct field *field)
{
	bool new = false;

	for (unsigned int i = 0; field && i < field->size; i++)
		new |= cache_bits_add(bits, (field->offset + i) / 8,
				      UINT64_C(0xff) << (field->offset + i) % 8 * 8);
	return new;
}

bool cache_bits_add_sources(uint64_t bits[KEY_WORDS], const struct program *program)
{
	bool new = false;

	program_for_each_op (op, program) {
		const struct op_learn *learn = (const struct op_learn *)op;

		if (op->code == OP_MOVE)
			new |= add_field(bits, ((const struct op_move *)op)->source.field);
		for (unsigned int i = 0; op->code == OP_LEARN && i < learn->n_specs; i++)
			new |= add_field(bits, learn->specs[i].source.field);
	}
	return new;
}

bool cache_bits_add_flow(uint64_t bits[KEY_WORDS], const struct flow *flow)
{
	bool new = cache_bits_add_sources(bits, flow->program);

	for (unsigned int i = 0; i < flow->mask->n_words; i++)
		new |= cache_bits_add(bits, flow->mask->word[i], flow->mask->bits[i]);
	return new;
}

bool cache_bits_add_choice(uint64_t bits[KEY_WORDS], const struct group *group)
{
	// Without fields: addresses, type, tags, protocol, ports; not what changes on the way.
	static const struct group_word usual[] = {
		{ 0, UINT64_MAX },
		{ 1, UINT64_MAX },
		{ 2, UINT64_MAX },
		{ 3, UINT64_MAX },
		{ 4, RTE_BE64(0xffffffffff0000ff) },
		{ KEY_LINE_IPV6 * KEY_LINE_WORDS, UINT64_MAX },
		{ KEY_LINE_IPV6 * KEY_LINE_WORDS + 1, UINT64_MAX },
		{ KEY_LINE_IPV6 * KEY_LINE_WORDS + 2, UINT64_MAX },
		{ KEY_LINE_IPV6 * KEY_LINE_WORDS + 3, UINT64_MAX },
	};
	const struct group_word *words = group->n_words ? group->words : usual;
	const unsigned int n = group->n_words ? group->n_words : RTE_DIM(usual);
	bool new = false;

	for (unsigned int i = 0; i < n; i++)
		new |= cache_bits_add(bits, words[i].word, words[i].mask);
	return new;
}

int cache_key_publish(struct forwarding *forwarding, const uint64_t bits[KEY_WORDS])
{
	struct cache_key *key = aligned_alloc(64, sizeof(*key)), *old = forwarding->cache_key;
	unsigned int n = 0;

	if (!key)
		return -ENOMEM;
	*key = (struct cache_key){ .since = ++last_generation, .two_lines = true };
	for (unsigned int w = 0; w < KEY_WORDS; w++) {
		// All packets of a burst come from one port, but bursts do not.
		const uint64_t in_port = w ? 0 : rte_cpu_to_be_64(UINT64_C(0xffffffff) << 32);
		const uint64_t wanted = varying(w, bits[w]) | in_port;

		if (!wanted)
			continue;
		if (n < CACHE_KEY_WORDS - 1)
			add_word(key, n, w, wanted);
		n++;
	}
	key->too_wide = n >= CACHE_KEY_WORDS;
	key->n_words = n < CACHE_KEY_WORDS / 2 ? CACHE_KEY_WORDS / 2 : CACHE_KEY_WORDS;
	rcu_publish(&forwarding->cache_key, key);
	rcu_publish(&forwarding->generation, key->since);
	rcu_defer(free, old);
	return 0;
}
