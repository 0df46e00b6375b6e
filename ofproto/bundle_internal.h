// What flow_mod.c and bundle.c do for each other. Main thread.
#ifndef OFPROTO_BUNDLE_INTERNAL_H
#define OFPROTO_BUNDLE_INTERNAL_H

#include "ofproto/flow_mod.h"

struct bundle;

// bundle.c: while bridge->bundle is set, single changes of flows come here.
int bundle_add_flow(struct bundle *bundle, struct table *table, struct flow *flow);
// Takes one user of the program over.
int bundle_modify_flow(struct bundle *bundle, struct flow *flow, const struct flow_text *text,
		       struct program *program);
void bundle_remove_flow(struct bundle *bundle, struct flow *flow, enum flow_removed_reason reason);
// The flow gives way to another one, if the bundle does not fail. 0 or -ENOMEM.
int bundle_evict_flow(struct bundle *bundle, struct flow *flow);

// flow_mod.c: check one change against what is there now; *lines gets what workers have to fill.
int flow_mod_check(struct bridge *bridge, const struct flow_change *change, uint16_t *lines,
		   struct error *error);
int flow_mod_change(struct bridge *bridge, struct flow_change *change, struct error *error);

// All that a bridge knows of a flow, but for its table: timeouts, indexes, learn actions. Without
// memory taking in fails, and the bridge knows nothing of the flow.
int flow_mod_take_in(struct bridge *bridge, struct flow *flow);
void flow_mod_take_back(struct bridge *bridge, struct flow *flow);
// And its table, and the flow itself once no worker looks at it.
void flow_mod_take_out(struct bridge *bridge, struct flow *flow);

// Another program, and the cookie that comes with it. Takes one user of the program over.
int flow_mod_set_program(struct bridge *bridge, struct flow *flow, const struct flow_text *text,
			 struct program *program);

// Tell the observer.
void flow_mod_tell_added(struct bridge *bridge, struct flow *flow, const struct flow *replaced);
void flow_mod_tell_modified(struct bridge *bridge, struct flow *flow);
void flow_mod_tell_removed(struct bridge *bridge, const struct flow *flow,
			   enum flow_removed_reason reason);

#endif
