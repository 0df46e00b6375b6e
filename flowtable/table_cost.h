// What a lookup in a part of a table costs: cycles of the time stamp counter for each packet of a
// full vector.
//
// The cost follows from the template, the number of flows and the memory that lookups go through,
// and so from the rules alone. The choice of templates is by fixed figures, so that the same rules
// are searched in the same way everywhere; what people are shown, and what limits are compared with,
// is scaled to this machine by a measurement of a few milliseconds. Control thread.
#ifndef FLOWTABLE_TABLE_COST_H
#define FLOWTABLE_TABLE_COST_H

#include "flowtable/classifier/classifier.h"

// A part as it is or would be. `memory` is the classifier's own, without the flows.
double table_cost_nominal(enum classifier_template_id id, uint32_t n_flows, size_t memory);

// Measure this machine: once, before there are workers, or else when the figures are first needed.
void table_cost_calibrate(void);

// A part as it is or would be, and a part that there is, on this machine.
double table_cost_here(enum classifier_template_id id, uint32_t n_flows, size_t memory);
double table_cost_measured(const struct classifier *classifier);

struct table;

// All parts of a table together: what a packet costs that is looked up in each of them. And the same
// with one more flow, whose match no flow of the table has.
double table_cost_of(const struct table *table);
double table_cost_with(const struct table *table, const struct flow *more, bool *is_new_mask);

#endif
