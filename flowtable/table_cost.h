// What a lookup in a part of a table costs: cycles of the time stamp counter for each packet of a
// full vector.
//
// The cost follows from the template, the number of flows and the memory that lookups go through,
// and so from the rules alone. The choice of templates is by fixed figures, so that the same rules
// are searched in the same way everywhere; what people are shown is scaled to this machine by a
// measurement of a few milliseconds, made when it is first asked for. Control thread.
#ifndef FLOWTABLE_TABLE_COST_H
#define FLOWTABLE_TABLE_COST_H

#include "flowtable/classifier/classifier.h"

// A part as it is or would be. `memory` is the classifier's own, without the flows.
double table_cost_nominal(enum classifier_template_id id, uint32_t n_flows, size_t memory);

// A part that there is, on this machine.
double table_cost_measured(const struct classifier *classifier);

#endif
