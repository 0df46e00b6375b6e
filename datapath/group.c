#include "datapath/group.h"

#include "common/clock.h"
#include "common/counters.h"
#include "flowtable/flow_text.h"

#include <stdlib.h>
#include <string.h>

static int found(void *context, uint32_t id)
{
	(void)context;
	(void)id;
	return 1;
}

static uint32_t counter_of(const struct group *old, uint32_t bucket_id)
{
	for (unsigned int i = 0; old && i < old->n_buckets; i++)
		if (old->buckets[i].id == bucket_id)
			return old->buckets[i].counter;
	return COUNTER_NONE;
}

static bool compile_bucket(struct group *group, struct group_bucket *bucket,
			   const struct bucket_text *text, const struct group *old)
{
	const struct program *program = text->program;

	bucket->id = text->id;
	bucket->weight = text->weight;
	bucket->program = program;
	bucket->simple =
		!(program->flags & PROGRAM_RESUBMITS) && !program_each_group(program, found, NULL);
	bucket->live = text->watch_port == OFPP_ANY && text->watch_group == GROUP_ID_ANY;
	group->lines |= program->lines_read | program->lines_written;
	bucket->counter = counter_of(old, text->id);
	bucket->owned = bucket->counter == COUNTER_NONE;
	if (bucket->owned)
		bucket->counter = counter_alloc();
	return bucket->counter != COUNTER_NONE;
}

// The words that fields(...) covers.
static bool compile_fields(struct group *group)
{
	struct key mask = { 0 };
	const struct group_text *text = &group->text;

	for (unsigned int i = 0; i < text->n_fields; i++) {
		struct field_value bits;

		field_get(text->fields[i].field, &mask, &bits);
		for (unsigned int b = 0; b < FIELD_VALUE_SIZE; b++)
			bits.bytes[b] |= text->fields[i].mask.bytes[b];
		field_set(text->fields[i].field, &bits, &mask);
	}
	group->words = calloc(KEY_WORDS, sizeof(*group->words));
	for (unsigned int w = 0; group->words && w < KEY_WORDS; w++) {
		if (!mask.words[w])
			continue;
		group->words[group->n_words++] = (struct group_word){ (uint16_t)w, mask.words[w] };
		group->lines |= key_word_lines(w, mask.words[w]);
	}
	return group->words != NULL;
}

static bool compile_selection(struct group *group)
{
	const struct group_text *text = &group->text;

	if (group->type != GROUP_SELECT)
		return true;
	group->method = text->method;
	group->basis = text->method_param;
	group->symmetric = true;
	// Above the basis stands the algorithm: 0 or, symmetric, 1 (ovs-ofctl(8), dp_hash).
	if (text->method == GROUP_METHOD_DP_HASH) {
		group->basis = (uint32_t)text->method_param;
		group->symmetric = text->method_param >> 32 == 1;
	}
	if (!text->n_fields)
		group->lines |= 1 << KEY_LINE_IPV6 | KEY_LINES_HEADERS;
	else if (!compile_fields(group))
		return false;
	group->slots = malloc(GROUP_SLOTS * sizeof(*group->slots));
	for (unsigned int i = 0; group->slots && i < GROUP_SLOTS; i++)
		group->slots[i] = group_choose(group, i, false);
	return group->slots != NULL;
}

struct group *group_create(struct group_text *text, const struct group *old)
{
	struct group *group = calloc(1, sizeof(*group));
	bool good = group != NULL;

	if (!group)
		return NULL;
	group->id = text->group_id;
	group->type = text->type;
	group->text = *text;
	group->lines = 1 << KEY_LINE_CORE;
	group->owns_counter = !old;
	group->modified_ns = clock_monotonic_ns();
	group->created_ns = old ? old->created_ns : group->modified_ns;
	group->counter = old ? old->counter : counter_alloc();
	good = group->counter != COUNTER_NONE;
	group->buckets = calloc(text->n_buckets + 1, sizeof(*group->buckets));
	while (good && group->buckets && group->n_buckets < text->n_buckets) {
		const unsigned int i = group->n_buckets++;

		good = compile_bucket(group, &group->buckets[i], &text->buckets[i], old);
	}
	if (good && group->buckets && compile_selection(group)) {
		memset(text, 0, sizeof(*text));
		return group;
	}
	memset(&group->text, 0, sizeof(group->text));
	group_free(group);
	return NULL;
}

void group_take_counters(struct group *group, struct group *old)
{
	group->owns_counter = true;
	old->owns_counter = false;
	for (unsigned int i = 0; i < old->n_buckets; i++)
		if (counter_of(group, old->buckets[i].id) == old->buckets[i].counter)
			old->buckets[i].owned = false;
	for (unsigned int i = 0; i < group->n_buckets; i++)
		group->buckets[i].owned = true;
}

void group_free(void *object)
{
	struct group *group = object;

	if (!group)
		return;
	if (group->owns_counter && group->counter != COUNTER_NONE)
		counter_free(group->counter);
	for (unsigned int i = 0; i < group->n_buckets; i++)
		if (group->buckets[i].owned && group->buckets[i].counter != COUNTER_NONE)
			counter_free(group->buckets[i].counter);
	group_text_release(&group->text);
	free(group->buckets);
	free(group->words);
	free(group->slots);
	free(group);
}

struct group_table *group_table_create(struct group *const *groups, uint32_t n)
{
	uint32_t size = 4;
	struct group_table *table;

	while (size < n * 2)
		size *= 2;
	table = calloc(1, sizeof(*table) + (size_t)size * sizeof(*table->slots) +
				  (size_t)n * sizeof(*table->all));
	if (!table)
		return NULL;
	table->n = n;
	table->mask = size - 1;
	table->all = &table->slots[size];
	for (uint32_t i = 0; i < n; i++) {
		uint32_t at = group_slot(groups[i]->id) & table->mask;

		while (table->slots[at])
			at = (at + 1) & table->mask;
		table->slots[at] = groups[i];
		table->all[i] = groups[i];
	}
	return table;
}
