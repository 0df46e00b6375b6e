#include "common/counters.h"

#include <stdlib.h>
#include <string.h>

#define MAX_SETS 64

static struct counter_set *sets[MAX_SETS];
static unsigned int n_sets;

// What destroyed sets had counted, and what the sums were when an id was last freed, folded into
// one signed base per id.
static struct counter *bases[COUNTER_MAX_CHUNKS];

static uint32_t *free_ids;
static uint32_t n_free_ids;
static uint32_t free_ids_size;
static uint32_t n_ids;

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
		if (sets[i] == set)
			sets[i] = sets[--n_sets];
	for (uint32_t i = 0; i < COUNTER_MAX_CHUNKS; i++)
		free(set->chunks[i]);
	free(set);
}

uint32_t counter_alloc(void)
{
	if (n_free_ids)
		return free_ids[--n_free_ids];
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
	if (id == COUNTER_NONE)
		return;
	if (n_free_ids == free_ids_size) {
		uint32_t size = free_ids_size ? free_ids_size * 2 : 64;
		uint32_t *ids = realloc(free_ids, size * sizeof(*ids));

		if (!ids)
			return; // the id is never used again: no harm done
		free_ids = ids;
		free_ids_size = size;
	}
	counter_reset(id);
	free_ids[n_free_ids++] = id;
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
