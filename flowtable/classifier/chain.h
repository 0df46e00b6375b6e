// Flows with equal mask and values in a chain of falling rank. Only lookups for conjunctions follow
// the chain; all others see no more than its head.
//
// Each function returns the head afterwards. Control thread.
#ifndef FLOWTABLE_CLASSIFIER_CHAIN_H
#define FLOWTABLE_CLASSIFIER_CHAIN_H

#include "common/rcu.h"
#include "flowtable/flow.h"

static inline struct flow *chain_insert(struct flow *head, struct flow *flow)
{
	struct flow **link = &head;

	while (*link && (*link)->rank > flow->rank)
		link = &(*link)->next;
	flow->next = *link;
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
		flow->next = old->next;
		rcu_publish(link, flow);
	}
	return head;
}

#endif
