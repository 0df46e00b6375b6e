// Which flow of a full table goes first (ovs-vswitchd.conf.db(5), Flow_Table).
//
// Flows that have a timeout are divided into groups by the values of some fields. The largest group
// loses a flow first; among groups of one size, and within a group, the flow of the lowest
// importance, and of those the one that expires soonest. Two levels of heaps: choosing looks at one
// flow, and adding, removing and changing one take O(log n). Flows without a timeout are not in
// here: they are never evicted. Main thread.
#ifndef OFPROTO_EVICTION_H
#define OFPROTO_EVICTION_H

#include "flowtable/flow.h"

// Fields that make groups; more are refused.
#define EVICTION_MAX_FIELDS 8

struct eviction;
struct eviction_entry; // a flow's place; the caller remembers it

// NULL without memory. Without fields all flows are one group.
struct eviction *eviction_create(const struct subfield *by, unsigned int n);
void eviction_destroy(struct eviction *eviction); // its entries as well

// The flow may be evicted from now on. NULL without memory.
struct eviction_entry *eviction_add(struct eviction *eviction, struct flow *flow,
				    uint64_t expires_ns);
void eviction_remove(struct eviction *eviction, struct eviction_entry *entry);
// It expires at another time.
void eviction_update(struct eviction *eviction, struct eviction_entry *entry, uint64_t expires_ns);

// The flow that goes first; NULL if there is none. Nothing changes.
struct flow *eviction_choose(const struct eviction *eviction);
// How many flows may be evicted.
uint32_t eviction_size(const struct eviction *eviction);

#endif
