// Things by falling rank, in pieces of a row: finding a place, adding and removing one of n take
// O(log n) and a short move of memory. Beside long chains of flows with equal matches, which only
// differ in priority. Control thread.
#ifndef FLOWTABLE_CLASSIFIER_RANK_SET_H
#define FLOWTABLE_CLASSIFIER_RANK_SET_H

#include <stdbool.h>
#include <stdint.h>

struct rank_chunk;

struct rank_set {
	struct rank_chunk **chunks; // none is empty
	uint32_t n_chunks;
	uint32_t size; // of the array
	uint32_t n; // things in all
};

struct rank_place {
	uint32_t chunk;
	uint32_t at;
};

void rank_set_init(struct rank_set *set);
void rank_set_free(struct rank_set *set);

// Before the first thing whose rank is not higher.
struct rank_place rank_set_place(const struct rank_set *set, uint64_t rank);
// What comes after the place, with its rank, and before it; NULL at the ends.
void *rank_set_item(const struct rank_set *set, struct rank_place place, uint64_t *rank);
void *rank_set_before(const struct rank_set *set, struct rank_place place);
struct rank_place rank_set_next(const struct rank_set *set, struct rank_place place);
// Before `item`, which is there.
struct rank_place rank_set_find(const struct rank_set *set, uint64_t rank, const void *item);

// 0 or -ENOMEM: nothing has changed. Places are void afterwards.
int rank_set_add(struct rank_set *set, struct rank_place place, uint64_t rank, void *item);
void rank_set_remove(struct rank_set *set, struct rank_place place);
void rank_set_replace(struct rank_set *set, struct rank_place place, void *item);

#endif
