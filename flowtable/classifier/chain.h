// Flows with equal mask and values in a chain of falling rank: lookups see its head and nothing
// else, but for lookups in a view and those for conjunctions, which follow the chain.
//
// Thousands of flows may differ in nothing but their priority. A chain in which places were searched
// for long gets an index (rank_set.h), which its classifier keeps among its `chains`.
#ifndef FLOWTABLE_CLASSIFIER_CHAIN_H
#define FLOWTABLE_CLASSIFIER_CHAIN_H

#include "common/rcu.h"
#include "flowtable/classifier/classifier.h"

// Each function that changes a chain of the classifier returns the head afterwards. They always
// succeed; without memory they take longer. Control thread.
struct flow *chain_insert(struct classifier *classifier, struct flow *head, struct flow *flow);
struct flow *chain_remove(struct classifier *classifier, struct flow *head, struct flow *flow);
struct flow *chain_replace(struct classifier *classifier, struct flow *head, struct flow *old,
			   struct flow *flow);

// What the classifier keeps for its chains; before it is freed.
void chains_free(struct classifier *classifier);

// Any thread. NULL: none.
static inline const struct flow *chain_first_visible(const struct flow *flow, enum flow_view view)
{
	while (flow && !flow_is_visible(flow, view))
		flow = rcu_read(&flow->next);
	return flow;
}

#endif
