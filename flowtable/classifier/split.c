#include "flowtable/classifier/split.h"

#include <errno.h>
#include <stdlib.h>

#include "common/rcu.h"

#define MIN_SLOTS 8

// Tables decide for themselves when to split.
static bool split_suits(const struct mask *const *masks, unsigned int n_masks, uint32_t n_flows)
{
	(void)masks, (void)n_masks, (void)n_flows;
	return false;
}

static struct classifier *split_build(struct flow *const *flows, uint32_t n_flows)
{
	(void)flows, (void)n_flows;
	return NULL;
}

static struct split_index *index_create(uint32_t n)
{
	static uint64_t n_drawn;
	uint32_t n_slots = MIN_SLOTS;
	struct split_index *index;

	while (n_slots < 2 * (uint64_t)n && n_slots < UINT32_MAX / 2)
		n_slots *= 2;
	index = calloc(1, sizeof(*index) + n_slots * sizeof(index->slots[0]));
	if (!index)
		return NULL;
	n_drawn++;
	index->key = hash_words(&n_drawn, 1);
	index->slot_mask = n_slots - 1;
	return index;
}

static struct split_slot *index_slot(struct split_index *index, uint64_t value)
{
	uint32_t i = split_slot(index, value);

	while (index->slots[i].table && index->slots[i].value != value)
		i = (i + 1) & index->slot_mask;
	return &index->slots[i];
}

static void index_add(struct split_index *index, struct table *sub)
{
	struct split_slot *slot = index_slot(index, sub->split_value);

	slot->value = sub->split_value;
	rcu_publish(&slot->table, sub);
	index->n++;
}

struct classifier_split *split_create(unsigned int word, uint64_t bits, const char *field,
				      uint32_t n)
{
	struct classifier_split *split = calloc(1, sizeof(*split));

	if (!split)
		return NULL;
	split->base.template = &classifier_split;
	split->base.id = CLASSIFIER_SPLIT;
	split->word = word;
	split->bits = bits;
	split->field = field;
	split->index = index_create(n);
	if (split->index)
		return split;
	free(split);
	return NULL;
}

// Those without flows are left behind.
static int index_grow(struct classifier_split *split)
{
	struct split_index *old = split->index, *index = index_create(old->n + 1);

	if (!index)
		return -ENOMEM;
	split_for_each(split, slot) if (slot->table->n_parts) index_add(index, slot->table);
	rcu_publish(&split->index, index);
	for (uint32_t i = 0; i <= old->slot_mask; i++)
		if (old->slots[i].table && old->slots[i].table->n_parts == 0)
			rcu_defer((void (*)(void *))table_sub_destroy, old->slots[i].table);
	rcu_defer(free, old);
	return 0;
}

int split_add(struct classifier_split *split, struct table *sub)
{
	// At most two slots of three: searches are short, and find an empty one.
	if ((split->index->n + 1) * UINT64_C(3) > (split->index->slot_mask + UINT64_C(1)) * 2) {
		int rc = index_grow(split);

		if (rc < 0)
			return rc;
	}
	index_add(split->index, sub);
	return 0;
}

struct table *split_find(const struct classifier_split *split, uint64_t value)
{
	return index_slot(split->index, value)->table;
}

static int split_insert(struct classifier *classifier, struct flow *flow)
{
	(void)classifier, (void)flow;
	return -ENOTSUP;
}

// Flows belong to the parts of sub-tables.
static void split_remove(struct classifier *classifier, struct flow *flow)
{
	(void)classifier, (void)flow;
}

static void split_replace(struct classifier *classifier, struct flow *old, struct flow *flow)
{
	(void)classifier, (void)old, (void)flow;
}

static void split_destroy(void *classifier)
{
	struct classifier_split *split = classifier;

	split_for_each(split, slot) table_sub_destroy(slot->table);
	free(split->index);
	free(split);
}

static size_t split_memory(const struct classifier *classifier)
{
	const struct classifier_split *split = (const struct classifier_split *)classifier;
	size_t size = sizeof(*split) + sizeof(*split->index) +
		      ((size_t)split->index->slot_mask + 1) * sizeof(split->index->slots[0]);

	split_for_each(split, slot)
	{
		size += sizeof(*slot->table);
		for (uint32_t i = 0; i < slot->table->n_parts; i++) {
			const struct classifier *part = slot->table->parts[i]->classifier;

			size += part->template->memory(part);
		}
	}
	return size;
}

const struct classifier_template classifier_split = {
	.name = "split",
	.suits = split_suits,
	.build = split_build,
	.destroy = split_destroy,
	.insert = split_insert,
	.remove = split_remove,
	.replace = split_replace,
	.memory = split_memory,
};
