// The flows of one prefix by falling rank. Where places were searched for long, with an index.
#include "flowtable/classifier/lpm.h"

#include <stdlib.h>

#include "common/rcu.h"
#include "flowtable/classifier/rank_set.h"

#define LONG_WALK 64
#define FEW_ENTRIES 32

static void forget_order(struct lpm_node *node)
{
	if (node->order)
		rank_set_free(node->order);
	free(node->order);
	node->order = NULL;
}

// Without memory there is none.
static void make_order(struct lpm_node *node)
{
	node->order = calloc(1, sizeof(*node->order));
	for (struct lpm_entry *entry = node->entries; node->order && entry; entry = entry->next)
		if (rank_set_add(node->order, rank_set_place(node->order, 0), entry->flow->rank,
				 entry) < 0)
			forget_order(node);
}

static struct rank_place place_of(const struct lpm_node *node, const struct flow *flow)
{
	struct rank_place place = rank_set_place(node->order, flow->rank);
	const struct lpm_entry *entry;

	while ((entry = rank_set_item(node->order, place, NULL)) && entry->flow != flow)
		place = rank_set_next(node->order, place);
	return place;
}

static struct lpm_entry **link_behind(struct lpm_node *node, struct rank_place place)
{
	struct lpm_entry *before = rank_set_before(node->order, place);

	return before ? &before->next : &node->entries;
}

struct lpm_entry **lpm_entry_link(struct lpm_node *node, const struct flow *flow)
{
	struct lpm_entry **link = &node->entries;
	unsigned int n_steps = 0;

	while (!node->order && *link && (*link)->flow != flow) {
		link = &(*link)->next;
		if (++n_steps == LONG_WALK)
			make_order(node);
	}
	return node->order ? link_behind(node, place_of(node, flow)) : link;
}

void lpm_entry_add(struct lpm_node *node, struct lpm_entry *entry, struct flow *flow)
{
	struct lpm_entry **link = &node->entries;
	unsigned int n_steps = 0;

	while (!node->order && *link && (*link)->flow->rank > flow->rank) {
		link = &(*link)->next;
		if (++n_steps == LONG_WALK)
			make_order(node);
	}
	if (node->order) {
		const struct rank_place place = rank_set_place(node->order, flow->rank);

		link = link_behind(node, place);
		if (rank_set_add(node->order, place, flow->rank, entry) < 0)
			forget_order(node);
	}
	*entry = (struct lpm_entry){ .flow = flow, .next = *link };
	rcu_publish(link, entry);
}

void lpm_entry_remove(struct lpm_node *node, struct lpm_entry *entry)
{
	struct lpm_entry **link = lpm_entry_link(node, entry->flow);

	if (node->order) {
		rank_set_remove(node->order, place_of(node, entry->flow));
		if (node->order->n < FEW_ENTRIES)
			forget_order(node);
	}
	rcu_publish(link, entry->next);
	rcu_defer(free, entry);
}

void lpm_entries_free(struct lpm_node *node)
{
	forget_order(node);
	for (struct lpm_entry *entry = node->entries, *next; entry; entry = next) {
		next = entry->next;
		free(entry);
	}
}
