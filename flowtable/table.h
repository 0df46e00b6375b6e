// A flow table: flows by priority and match, and a classifier that finds the best for 64 packets.
//
// Writers (control thread) insert and remove single flows; each change is visible to workers at
// once and completely: a lookup that runs beside it sees the table before or after, never between.
// A table is an ordered list of sub-classifiers, each of which holds flows whose masks suit it;
// which template each uses is chosen from the rules alone (classifier/classifier.h), so the cost
// of a lookup depends on the rules and not on the traffic. What lookups need is published by RCU.
//
// Equal priority: of several matching flows with the same priority any may win (OpenFlow 1.3.5
// section 5.3), but it is always the same one: the flow inserted first.
#ifndef FLOWTABLE_TABLE_H
#define FLOWTABLE_TABLE_H

#include "flowtable/flow.h"

struct table;

struct table *table_create(uint8_t table_id);
void table_destroy(struct table *table); // frees its flows; workers no longer see the table

// Add a flow. A flow with the same match and priority must not be there (see table_find()).
// The table owns the flow afterwards. Returns 0 or -ENOMEM, then nothing has changed.
int table_insert(struct table *table, struct flow *flow);

// About `n` flows with this mask are going to be inserted: what holds them grows once and not many
// times. Only a hint, until it is taken back with n = 0, which the caller must do while `mask`
// lives.
void table_expect(struct table *table, const struct mask *mask, uint32_t n);

// Take a flow out; the caller owns it and frees it with flow_defer_free().
void table_remove(struct table *table, struct flow *flow);

// Put `flow` in the place of `old` (same match and priority) in one step; the caller owns `old`.
// Returns 0 or -ENOMEM, then nothing has changed; it cannot fail unless one of the two has
// conjunctions and the other has not.
int table_replace(struct table *table, struct flow *old, struct flow *flow);

// Changes that workers are to see all at once; they look up in a view meanwhile (flow.h). A staged
// flow is in the table for the control thread and invisible before; table_insert_staged() with
// `instead` gives it that flow's place among those of equal priority. A flow whose removal is staged
// is gone for the control thread and invisible after. Next either: table_keep() and table_remove(),
// when no worker is in the view before; or table_remove() and table_restore(), in reverse order,
// while all are. table_replace() puts another staged flow in the place of one.
int table_insert_staged(struct table *table, struct flow *flow, const struct flow *instead);
void table_remove_staged(struct table *table, struct flow *flow);
void table_keep(struct flow *flow);
void table_restore(struct table *table, struct flow *flow);

// The flow with exactly this match and priority, or NULL. O(1).
struct flow *table_find(const struct table *table, const struct match *match, uint16_t priority);

// The flow with the same match and priority as `like`, which need not be in a table.
struct flow *table_find_like(const struct table *table, const struct flow *like);

// The flow is about to be inserted: bring near what that looks at, and with the second one, some
// flows later, what the first one brought the way to.
void table_prefetch(const struct table *table, struct flow *flow);
void table_prefetch_more(const struct table *table, const struct flow *flow);

uint32_t table_size(const struct table *table);

// All flows, in no order; the current one may be removed while iterating.
struct flow *table_first(const struct table *table);
struct flow *table_next(const struct table *table, const struct flow *flow);

// Worker or control thread. For each packet in `packets` set results[i] to its best flow, or NULL;
// for all others to NULL.
void table_lookup(const struct table *table, const struct key_vector *keys, uint64_t packets,
		  const struct flow *results[VECTOR_SIZE]);
void table_lookup_view(const struct table *table, const struct key_vector *keys, uint64_t packets,
		       const struct flow *results[VECTOR_SIZE], enum flow_view view);

// The same, and which packets came to their flow by a conjunction, and by which.
struct table_conjunction {
	uint64_t packets;
	uint32_t ids[VECTOR_SIZE];
};
void table_lookup_explained(const struct table *table, const struct key_vector *keys,
			    uint64_t packets, const struct flow *results[VECTOR_SIZE],
			    struct table_conjunction *conjunction);

// The program of a flow with conjunctions is about to change: to one with others.
void table_change_begin(struct table *table);

// Key lines that any flow of the table looks at (bit l: line l); monotonic until the table is
// empty. For the parser: lines that nobody looks at are not filled.
uint16_t table_lines(const struct table *table);

// How the table is searched, for people: one entry per sub-classifier.
struct table_part {
	const char *template_name;
	uint32_t n_flows;
	uint32_t n_masks;
	uint16_t max_priority;
	size_t memory; // bytes
	uint32_t cycles; // for each packet that is looked up in it (table_cost.h)
	const char *field; // that sub-tables are chosen by; NULL: there are none
	uint32_t n_values; // of that field, each with a sub-table
};
unsigned int table_parts(const struct table *table, struct table_part *parts, unsigned int max);

#endif
