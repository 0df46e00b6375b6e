#include "common/counters.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SETS 64
#define RESTING_LOOK 1024 // ids that may come before we look whether others have rested

static struct counter_set *sets[MAX_SETS];
static unsigned int n_sets;

// What destroyed sets had counted, and what the sums were when an id was last freed, folded into
// one signed base per id.
static struct counter *bases[COUNTER_MAX_CHUNKS];

struct ids {
	uint32_t *id;
	uint32_t n;
	uint32_t size;
};

static struct ids free_ids;
static uint32_t n_ids;

// Freed while a worker held counts back, which may be theirs: those that came since the last look,
// and those that wait until every set has come to its turn (0: it held nothing).
static struct ids resting, fresh;
static uint64_t awaited[MAX_SETS];

static struct counter *at(struct counter *const *chunks, uint32_t id)
{
	return &chunks[id >> COUNTER_CHUNK_BITS][id & (COUNTER_CHUNK_SIZE - 1)];
}

static struct counter *chunk_alloc(void)
{
	void *chunk = aligned_alloc(64, COUNTER_CHUNK_SIZE * sizeof(struct counter));

	if (chunk)
		memset(chunk, 0, COUNTER_CHUNK_SIZE * sizeof(struct counter));
	return chunk;
}

// Every set has a chunk for every id that exists, before the id is handed out.
static int chunk_ensure(uint32_t index)
{
	if (index >= COUNTER_MAX_CHUNKS)
		return -1;
	if (!bases[index] && !(bases[index] = chunk_alloc()))
		return -1;
	for (unsigned int i = 0; i < n_sets; i++) {
		struct counter *chunk;

		if (sets[i]->chunks[index])
			continue;
		chunk = chunk_alloc();
		if (!chunk)
			return -1;
		__atomic_store_n(&sets[i]->chunks[index], chunk, __ATOMIC_RELEASE);
	}
	return 0;
}

struct counter_set *counter_set_create(void)
{
	struct counter_set *set;

	if (n_sets == MAX_SETS)
		return NULL;
	set = calloc(1, sizeof(*set));
	if (!set)
		return NULL;
	awaited[n_sets] = 0;
	sets[n_sets++] = set;
	for (uint32_t i = 0; i < COUNTER_MAX_CHUNKS && bases[i]; i++)
		if (chunk_ensure(i) < 0) {
			counter_set_destroy(set);
			return NULL;
		}
	return set;
}

void counter_set_destroy(struct counter_set *set)
{
	if (!set)
		return;
	for (uint32_t id = 0; id < n_ids; id++) {
		struct counter *counter;

		if (!set->chunks[id >> COUNTER_CHUNK_BITS])
			continue;
		counter = at(set->chunks, id);
		at(bases, id)->packets += counter->packets;
		at(bases, id)->bytes += counter->bytes;
	}
	for (unsigned int i = 0; i < n_sets; i++)
		if (sets[i] == set) {
			sets[i] = sets[--n_sets];
			awaited[i] = awaited[n_sets];
			break;
		}
	for (uint32_t i = 0; i < COUNTER_MAX_CHUNKS; i++)
		free(set->chunks[i]);
	free(set);
}

static bool ids_add(struct ids *ids, uint32_t id)
{
	if (ids->n == ids->size) {
		uint32_t size = ids->size ? ids->size * 2 : 64;
		uint32_t *grown = realloc(ids->id, size * sizeof(*grown));

		if (!grown)
			return false; // the id is never used again: no harm done
		ids->id = grown;
		ids->size = size;
	}
	ids->id[ids->n++] = id;
	return true;
}

static bool is_held(uint64_t *turns)
{
	bool held = false;

	for (unsigned int i = 0; i < n_sets; i++) {
		turns[i] = __atomic_load_n(&sets[i]->held, __ATOMIC_ACQUIRE);
		held |= turns[i] != 0;
	}
	return held;
}

static bool have_rested(void)
{
	uint64_t turns[MAX_SETS];

	is_held(turns);
	for (unsigned int i = 0; i < n_sets; i++)
		if (awaited[i] && turns[i] && turns[i] < awaited[i])
			return false;
	return true;
}

static void make_free(uint32_t id)
{
	counter_reset(id);
	ids_add(&free_ids, id);
}

// Let the ids go that have rested, and those rest that came since.
static void wake_rested(void)
{
	struct ids empty = resting;

	if (!have_rested())
		return;
	for (uint32_t i = 0; i < resting.n; i++)
		make_free(resting.id[i]);
	resting = fresh;
	fresh = empty;
	fresh.n = 0;
	is_held(awaited);
	for (unsigned int i = 0; i < n_sets; i++)
		awaited[i] += awaited[i] ? 2 : 0;
}

uint32_t counter_alloc(void)
{
	if (!free_ids.n && (resting.n || fresh.n))
		wake_rested();
	if (free_ids.n)
		return free_ids.id[--free_ids.n];
	if (chunk_ensure(n_ids >> COUNTER_CHUNK_BITS) < 0)
		return COUNTER_NONE;
	return n_ids++;
}

// Workers' words are never written by us: the base is moved instead (modulo 2^64).
void counter_reset(uint32_t id)
{
	const struct counter sum = counter_read(id);

	at(bases, id)->packets -= sum.packets;
	at(bases, id)->bytes -= sum.bytes;
}

void counter_free(uint32_t id)
{
	uint64_t turns[MAX_SETS];

	if (id == COUNTER_NONE)
		return;
	if (!resting.n && !fresh.n && !is_held(turns)) {
		make_free(id);
		return;
	}
	if (fresh.n >= RESTING_LOOK)
		wake_rested();
	ids_add(&fresh, id);
}

struct counter counter_read(uint32_t id)
{
	struct counter sum = *at(bases, id);

	for (unsigned int i = 0; i < n_sets; i++) {
		const struct counter *counter = at(sets[i]->chunks, id);

		sum.packets += __atomic_load_n(&counter->packets, __ATOMIC_RELAXED);
		sum.bytes += __atomic_load_n(&counter->bytes, __ATOMIC_RELAXED);
	}
	return sum;
}
