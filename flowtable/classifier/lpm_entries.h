// The flows of one prefix by falling rank, for both routing table templates (lpm.h and lpm6.h).
//
// They have no use for flow.next, so that a flow may be in another part at the same time, while it
// moves. Thousands of flows may differ in nothing but their priority: where places were searched for
// long, a list gets an index (rank_set.h). Control thread; lookups in a view read the list meanwhile.
#ifndef FLOWTABLE_CLASSIFIER_LPM_ENTRIES_H
#define FLOWTABLE_CLASSIFIER_LPM_ENTRIES_H

#include "flowtable/classifier/classifier.h"

struct lpm_entry {
	struct flow *flow; // published
	struct lpm_entry *next; // published
};

struct rank_set;
struct lpm_entries {
	struct lpm_entry *first; // published
	struct rank_set *order; // control thread: of many entries; or NULL
};

// The flow's entry, or NULL.
struct lpm_entry *lpm_entry_find(struct lpm_entries *entries, const struct flow *flow);
// The entry is filled when it is added, freed after a grace period when it is removed.
void lpm_entry_add(struct lpm_entries *entries, struct lpm_entry *entry, struct flow *flow);
void lpm_entry_remove(struct lpm_entries *entries, struct lpm_entry *entry);
void lpm_entries_free(struct lpm_entries *entries);

#endif
