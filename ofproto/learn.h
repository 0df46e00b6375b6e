// Learned flows, the main thread's side: installed learn actions, what was learned by them, limits.
//
// Workers ask for flows (datapath/learn.h); bridges_learn() makes them through flow_mod.h, the one
// way in which flows change. A learned flow is dynamic state and is never written to the kept
// configuration. An action's rule lives as long as the flow that contains it is installed, a group
// as long as an action or a learned flow refers to it. Main thread only.
#ifndef OFPROTO_LEARN_H
#define OFPROTO_LEARN_H

#include "datapath/learn.h"
#include "ofproto/bridge.h"

struct flow_mod;

// What flow->learned points to.
struct learn_link {
	struct learn_group *group; // counts the flow; NULL: somebody else made it
	uint32_t in_port; // whose packet taught it
	struct learn_entry *entries;
};

// Make what workers asked for. True while something came: call again in a millisecond. The
// descriptor is readable when there is something to begin with.
bool bridges_learn(void);
int bridges_learn_fd(void);

// Was the flow made by a learn action?
bool learn_made(const struct flow *flow);

// For flow_mod.c. Before a program is published, and after it was replaced or taken out. Attaching
// may fail with -ENOMEM; then nothing is attached.
int learn_attach(struct bridge *bridge, struct program *program);
void learn_detach(struct program *program);
// The flow has another program, or is gone: it is not known any more, or not there to be counted.
void learn_changed(struct flow *flow);
void learn_removed(struct bridge *bridge, struct flow *flow);
// After a list of changes: delete what actions with delete_learned leave behind.
void learn_delete_orphans(struct bridge *bridge);
// Instead, where the changes are taken back.
void learn_forget_orphans(struct bridge *bridge);

// For timeout.c, once a second: a flow that was learned again starts anew, and groups that nothing
// refers to are freed.
void learn_refresh(struct flow *flow, uint64_t now_ns);
void learn_sweep(struct bridge *bridge);

// Before a bridge's tables are destroyed; no worker uses them any more.
void learn_bridge_exit(struct bridge *bridge);

#endif
