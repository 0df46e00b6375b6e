#include "flowtable/classifier/rank_set.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_SIZE 64

struct ranked {
	uint64_t rank;
	void *item;
};

struct rank_chunk {
	uint32_t n;
	struct ranked items[CHUNK_SIZE];
};

void rank_set_init(struct rank_set *set)
{
	memset(set, 0, sizeof(*set));
}

void rank_set_free(struct rank_set *set)
{
	for (uint32_t i = 0; i < set->n_chunks; i++)
		free(set->chunks[i]);
	free(set->chunks);
	rank_set_init(set);
}

// The first chunk whose last thing has a rank that is not higher; the last chunk if there is none.
static uint32_t find_chunk(const struct rank_set *set, uint64_t rank)
{
	uint32_t low = 0, high = set->n_chunks ? set->n_chunks - 1 : 0;

	while (low < high) {
		const uint32_t middle = low + (high - low) / 2;
		const struct rank_chunk *chunk = set->chunks[middle];

		if (chunk->items[chunk->n - 1].rank > rank)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct rank_place rank_set_place(const struct rank_set *set, uint64_t rank)
{
	struct rank_place place = { find_chunk(set, rank), 0 };
	uint32_t high;

	if (!set->n_chunks)
		return place;
	high = set->chunks[place.chunk]->n;
	while (place.at < high) {
		const uint32_t middle = place.at + (high - place.at) / 2;

		if (set->chunks[place.chunk]->items[middle].rank > rank)
			place.at = middle + 1;
		else
			high = middle;
	}
	return place;
}

void *rank_set_item(const struct rank_set *set, struct rank_place place, uint64_t *rank)
{
	const struct rank_chunk *chunk;

	if (place.chunk >= set->n_chunks || place.at >= set->chunks[place.chunk]->n)
		return NULL;
	chunk = set->chunks[place.chunk];
	if (rank)
		*rank = chunk->items[place.at].rank;
	return chunk->items[place.at].item;
}

void *rank_set_before(const struct rank_set *set, struct rank_place place)
{
	const struct rank_chunk *chunk;

	if (place.at)
		return set->chunks[place.chunk]->items[place.at - 1].item;
	if (!place.chunk)
		return NULL;
	chunk = set->chunks[place.chunk - 1];
	return chunk->items[chunk->n - 1].item;
}

struct rank_place rank_set_next(const struct rank_set *set, struct rank_place place)
{
	place.at++;
	if (place.at == set->chunks[place.chunk]->n && place.chunk + 1 < set->n_chunks)
		place = (struct rank_place){ place.chunk + 1, 0 };
	return place;
}

struct rank_place rank_set_find(const struct rank_set *set, uint64_t rank, const void *item)
{
	struct rank_place place = rank_set_place(set, rank);

	while (rank_set_item(set, place, NULL) != item)
		place = rank_set_next(set, place);
	return place;
}

// A new chunk at `index`.
static struct rank_chunk *add_chunk(struct rank_set *set, uint32_t index)
{
	struct rank_chunk *chunk;

	if (set->n_chunks == set->size) {
		const uint32_t size = set->size ? set->size * 2 : 8;
		struct rank_chunk **chunks = realloc(set->chunks, size * sizeof(*chunks));

		if (!chunks)
			return NULL;
		set->chunks = chunks;
		set->size = size;
	}
	chunk = malloc(sizeof(*chunk));
	if (!chunk)
		return NULL;
	chunk->n = 0;
	memmove(&set->chunks[index + 1], &set->chunks[index],
		(set->n_chunks - index) * sizeof(set->chunks[0]));
	set->chunks[index] = chunk;
	set->n_chunks++;
	return chunk;
}

// The chunk is full: its second half goes into a new one, or at an end nothing, as what comes in
// order fills chunks.
static int split(struct rank_set *set, struct rank_place *place)
{
	struct rank_chunk *full = set->chunks[place->chunk];
	const bool at_end = place->at == CHUNK_SIZE;
	const uint32_t kept = at_end ? CHUNK_SIZE : place->at ? CHUNK_SIZE / 2 : 0;
	struct rank_chunk *chunk = add_chunk(set, place->chunk + 1);

	if (!chunk)
		return -ENOMEM;
	chunk->n = CHUNK_SIZE - kept;
	memcpy(chunk->items, &full->items[kept], chunk->n * sizeof(full->items[0]));
	full->n = kept;
	if (place->at > kept || at_end) {
		place->chunk++;
		place->at -= kept;
	}
	return 0;
}

int rank_set_add(struct rank_set *set, struct rank_place place, uint64_t rank, void *item)
{
	struct rank_chunk *chunk;

	if (!set->n_chunks ? !add_chunk(set, 0)
			   : set->chunks[place.chunk]->n == CHUNK_SIZE && split(set, &place) < 0)
		return -ENOMEM;
	chunk = set->chunks[place.chunk];
	memmove(&chunk->items[place.at + 1], &chunk->items[place.at],
		(chunk->n - place.at) * sizeof(chunk->items[0]));
	chunk->items[place.at] = (struct ranked){ rank, item };
	chunk->n++;
	set->n++;
	return 0;
}

void rank_set_remove(struct rank_set *set, struct rank_place place)
{
	struct rank_chunk *chunk = set->chunks[place.chunk];

	chunk->n--;
	set->n--;
	memmove(&chunk->items[place.at], &chunk->items[place.at + 1],
		(chunk->n - place.at) * sizeof(chunk->items[0]));
	if (chunk->n)
		return;
	free(chunk);
	set->n_chunks--;
	memmove(&set->chunks[place.chunk], &set->chunks[place.chunk + 1],
		(set->n_chunks - place.chunk) * sizeof(set->chunks[0]));
}

void rank_set_replace(struct rank_set *set, struct rank_place place, void *item)
{
	set->chunks[place.chunk]->items[place.at].item = item;
}
