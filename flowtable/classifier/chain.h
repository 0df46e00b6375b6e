// Flows with equal mask and values in a chain of falling rank: lookups see its head and nothing
// else, but for lookups in a view and those for conjunctions, which follow the chain.
//
// Each function that changes a chain returns the head afterwards. Control thread.
#ifndef FLOWTABLE_CLASSIFIER_CHAIN_H
#define FLOWTABLE_CLASSIFIER_CHAIN_H

#include "common/rcu.h"
#include "flowtable/flow.h"

static inline struct flow *chain_insert(struct flow *head, struct flow *flow)
{
	struct flow **link = &head;

	while (*link && (*link)->rank > flow->rank)
		link = &(*link)->next;
	rcu_publish(&flow->next, *link);
	rcu_publish(link, flow);
	return head;
}

static inline struct flow *chain_remove(struct flow *head, struct flow *flow)
{
	struct flow **link = &head;

	while (*link && *link != flow)
		link = &(*link)->next;
	if (*link)
		rcu_publish(link, flow->next);
	return head;
}

static inline struct flow *chain_replace(struct flow *head, struct flow *old, struct flow *flow)
{
	struct flow **link = &head;

	while (*link && *link != old)
		link = &(*link)->next;
	if (*link) {
		rcu_publish(&flow->next, old->next);
		rcu_publish(link, flow);
	}
	return head;
}

// Any thread. NULL: none.
static inline const struct flow *chain_first_visible(const struct flow *flow, enum flow_view view)
{
	while (flow && !flow_is_visible(flow, view))
		flow = rcu_read(&flow->next);
	return flow;
}

#endif
