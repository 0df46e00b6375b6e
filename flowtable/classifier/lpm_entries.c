#include "flowtable/classifier/lpm_entries.h"

#include <stdlib.h>

#include "common/rcu.h"
#include "flowtable/classifier/rank_set.h"

#define LONG_WALK 64
#define FEW_ENTRIES 32

static void forget_order(struct lpm_entries *entries)
{
	if (entries->order)
		rank_set_free(entries->order);
	free(entries->order);
	entries->order = NULL;
}

// Without memory there is none.
static void make_order(struct lpm_entries *entries)
{
	entries->order = calloc(1, sizeof(*entries->order));
	for (struct lpm_entry *entry = entries->first; entries->order && entry; entry = entry->next)
		if (rank_set_add(entries->order, rank_set_place(entries->order, 0),
				 entry->flow->rank, entry) < 0)
			forget_order(entries);
}

static struct rank_place place_of(const struct lpm_entries *entries, const struct flow *flow)
{
	struct rank_place place = rank_set_place(entries->order, flow->rank);
	const struct lpm_entry *entry;

	while ((entry = rank_set_item(entries->order, place, NULL)) && entry->flow != flow)
		place = rank_set_next(entries->order, place);
	return place;
}

static struct lpm_entry **link_behind(struct lpm_entries *entries, struct rank_place place)
{
	struct lpm_entry *before = rank_set_before(entries->order, place);

	return before ? &before->next : &entries->first;
}

static struct lpm_entry **entry_link(struct lpm_entries *entries, const struct flow *flow)
{
	struct lpm_entry **link = &entries->first;
	unsigned int n_steps = 0;

	while (!entries->order && *link && (*link)->flow != flow) {
		link = &(*link)->next;
		if (++n_steps == LONG_WALK)
			make_order(entries);
	}
	return entries->order ? link_behind(entries, place_of(entries, flow)) : link;
}

struct lpm_entry *lpm_entry_find(struct lpm_entries *entries, const struct flow *flow)
{
	return *entry_link(entries, flow);
}

void lpm_entry_add(struct lpm_entries *entries, struct lpm_entry *entry, struct flow *flow)
{
	struct lpm_entry **link = &entries->first;
	unsigned int n_steps = 0;

	while (!entries->order && *link && (*link)->flow->rank > flow->rank) {
		link = &(*link)->next;
		if (++n_steps == LONG_WALK)
			make_order(entries);
	}
	if (entries->order) {
		const struct rank_place place = rank_set_place(entries->order, flow->rank);

		link = link_behind(entries, place);
		if (rank_set_add(entries->order, place, flow->rank, entry) < 0)
			forget_order(entries);
	}
	*entry = (struct lpm_entry){ .flow = flow, .next = *link };
	rcu_publish(link, entry);
}

void lpm_entry_remove(struct lpm_entries *entries, struct lpm_entry *entry)
{
	struct lpm_entry **link = entry_link(entries, entry->flow);

	if (entries->order) {
		rank_set_remove(entries->order, place_of(entries, entry->flow));
		if (entries->order->n < FEW_ENTRIES)
			forget_order(entries);
	}
	rcu_publish(link, entry->next);
	rcu_defer(free, entry);
}

void lpm_entries_free(struct lpm_entries *entries)
{
	forget_order(entries);
	for (struct lpm_entry *entry = entries->first, *next; entry; entry = next) {
		next = entry->next;
		free(entry);
	}
}
