// Flows as lines of text, as ovs-ofctl(8) prints them. Main thread.
#ifndef CTL_FLOW_PRINT_H
#define CTL_FLOW_PRINT_H

#include "ofproto/flow_mod.h"

// One line, newline included. `stats`: with counters and duration, and with what is 0. `names` may
// be NULL: ports by number.
void flow_print(const struct flow *flow, const struct port_names *names, bool stats,
		uint64_t now_ns, struct text *text);

// A change of flows, beginning with what it does, as flow_list.h reads it. Newline included.
void flow_mod_print(const struct flow_mod *mod, const struct port_names *names, struct text *text);

#endif
