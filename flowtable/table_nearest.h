// Flows that come near to matching a packet: why a flow did not match.
//
// Control thread. The work is bounded: of each shape (the flows with one mask) and of the table as
// a whole only so many flows are looked at.
#ifndef FLOWTABLE_TABLE_NEAREST_H
#define FLOWTABLE_TABLE_NEAREST_H

#include "flowtable/table.h"

#define TABLE_NEAREST_MAX 5

struct table_near {
	const struct flow *flow;
	unsigned int n_fields; // that differ
	const struct field *field; // the first of them
};

struct table_nearest {
	unsigned int n;
	struct table_near near[TABLE_NEAREST_MAX]; // fewest fields first, then highest priority
	uint32_t n_higher; // flows above the priority that were looked at and do not match
	bool complete; // every flow was looked at
};

// Of the flows with a priority above `priority` (-1: all) those nearest to `key`. At most *budget
// flows are looked at, and *budget is less by that afterwards.
void table_nearest(const struct table *table, const struct key *key, int priority, uint32_t *budget,
		   struct table_nearest *nearest);

#endif
