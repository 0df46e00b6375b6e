#include "common/hash.h"
#include "common/rcu.h"
#include "flowtable/match.h"

#include <stdlib.h>
#include <string.h>

// The interned masks: open hashing by chains, doubled when as many masks as chains are there.
// Control thread only; `next` lives here and not in struct mask, which workers read.
struct entry {
	struct entry *next;
	struct mask *mask;
};

static struct entry **chains;
static uint32_t n_chains;
static uint32_t n_masks;

// The one that was asked for last, unless it is gone: flows come in runs of one kind.
static struct mask *recent;
static struct key recent_key;

static bool chains_grow(void)
{
	uint32_t size = n_chains ? n_chains * 2 : 64;
	struct entry **bigger = calloc(size, sizeof(struct entry *));

	if (!bigger)
		return n_chains != 0; // longer chains serve too
	for (uint32_t i = 0; i < n_chains; i++) {
		struct entry *next;

		for (struct entry *entry = chains[i]; entry; entry = next) {
			struct entry **chain = &bigger[entry->mask->hash & (size - 1)];

			next = entry->next;
			entry->next = *chain;
			*chain = entry;
		}
	}
	free(chains);
	chains = bigger;
	n_chains = size;
	return true;
}

static bool mask_is(const struct mask *mask, uint32_t hash, const struct mask *other)
{
	return mask->hash == hash && mask->n_words == other->n_words &&
	       !memcmp(mask->word, other->word, mask->n_words) &&
	       !memcmp(mask->bits, other->bits, mask->n_words * sizeof(mask->bits[0]));
}

static struct mask *mask_create(const struct match *match)
{
	struct mask *mask;
	unsigned int n = 0;

	for (unsigned int i = 0; i < KEY_WORDS; i++)
		n += match->mask.words[i] != 0;
	mask = calloc(1, sizeof(*mask) + n * sizeof(mask->bits[0]));
	if (!mask)
		return NULL;
	for (unsigned int i = 0; i < KEY_WORDS; i++) {
		if (!match->mask.words[i])
			continue;
		mask->lines |= key_word_lines(i, match->mask.words[i]);
		mask->word[mask->n_words] = (uint8_t)i;
		mask->bits[mask->n_words] = match->mask.words[i];
		mask->n_words++;
	}
	mask->hash = (uint32_t)(hash_words(mask->bits, n) ^ hash_bytes(mask->word, n));
	mask->refcount = 1;
	return mask;
}

struct mask *mask_intern(const struct match *match)
{
	struct mask *mask;
	struct entry *entry;

	if (recent && !memcmp(&match->mask, &recent_key, sizeof(recent_key)))
		return mask_ref(recent);
	mask = mask_create(match);
	if (!mask)
		return NULL;
	if (n_masks >= n_chains && !chains_grow())
		goto fail;
	for (entry = chains[mask->hash & (n_chains - 1)]; entry; entry = entry->next) {
		if (mask_is(entry->mask, mask->hash, mask)) {
			free(mask);
			recent = entry->mask;
			recent_key = match->mask;
			return mask_ref(entry->mask);
		}
	}
	entry = malloc(sizeof(*entry));
	if (!entry)
		goto fail;
	entry->mask = mask;
	entry->next = chains[mask->hash & (n_chains - 1)];
	chains[mask->hash & (n_chains - 1)] = entry;
	n_masks++;
	return mask;
fail:
	free(mask);
	return NULL;
}

struct mask *mask_ref(struct mask *mask)
{
	mask->refcount++;
	return mask;
}

void mask_unref(struct mask *mask)
{
	if (!mask || --mask->refcount)
		return;
	if (mask == recent)
		recent = NULL;
	for (struct entry **link = &chains[mask->hash & (n_chains - 1)]; *link;
	     link = &(*link)->next) {
		struct entry *entry = *link;

		if (entry->mask == mask) {
			*link = entry->next;
			free(entry);
			n_masks--;
			break;
		}
	}
	if (!n_masks) {
		free(chains);
		chains = NULL;
		n_chains = 0;
	}
	rcu_defer(free, mask);
}

void match_pack(const struct match *match, const struct mask *mask, uint64_t *values)
{
	for (unsigned int i = 0; i < mask->n_words; i++)
		values[i] = match->value.words[mask->word[i]] & mask->bits[i];
}

void match_unpack(const struct mask *mask, const uint64_t *values, struct match *match)
{
	match_init(match);
	for (unsigned int i = 0; i < mask->n_words; i++) {
		match->mask.words[mask->word[i]] = mask->bits[i];
		match->value.words[mask->word[i]] = values[i];
	}
}
