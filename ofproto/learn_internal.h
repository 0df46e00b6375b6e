// What learn.c and learn_rule.c share. Main thread.
#ifndef OFPROTO_LEARN_INTERNAL_H
#define OFPROTO_LEARN_INTERNAL_H

#include "ofproto/learn.h"

// What a bridge knows about learning; made with its first learn action.
struct learn_bridge {
	struct learn_group *groups;
	bool has_orphans; // a group has delete_now
	uint32_t by_port[LEARN_PORTS]; // learned flows by ingress port
};

// The rule that a request came from; NULL if it is gone.
struct learn_rule *learn_rule_of(const struct learn_request *request);

// The rule knows the flow from now on.
int learn_entry_add(struct learn_rule *rule, struct flow *flow,
		    const struct learn_request *request);
void learn_entry_remove(struct learn_entry *entry);

// The link of a flow that is gone or never came to be.
void learn_link_free(struct bridge *bridge, struct learn_link *link);

#endif
