// The one way in which flows change: add, modify and delete, as OpenFlow 1.3.5 section 6.4 says.
//
// The control utility, kept configuration, timeouts and (later) OpenFlow connections and learned
// flows all come through here. A list of changes is atomic: all are checked before the first is
// made. When a call returns, the change is in force on every worker. Main thread.
#ifndef OFPROTO_FLOW_MOD_H
#define OFPROTO_FLOW_MOD_H

#include "ofproto/bridge.h"

enum flow_mod_command {
	FLOW_ADD, // replaces a flow of the same match and priority
	FLOW_MODIFY, // actions of all flows that the match covers
	FLOW_MODIFY_STRICT, // of the flow with exactly this match and priority
	FLOW_DELETE,
	FLOW_DELETE_STRICT,
};

struct flow_mod {
	enum flow_mod_command command;
	struct flow_text text; // its program is taken over by an add or modify
};

// Apply n changes in order. On an error nothing has changed, error->line is the 1-based index of
// the wrong change, and all texts still belong to the caller.
int flow_mod_apply(struct bridge *bridge, struct flow_mod *mods, unsigned int n,
		   struct error *error);

// The same for a list that may be long: a flow to add is made beforehand (flow_create()), which
// takes a tenth of the memory of a parsed text; other changes come as a flow_mod. On an error in
// checking all flows still belong to the caller. `relax`, if not NULL, is called now and then while
// a long list is being carried out; it may change flows (timeouts).
struct flow_change {
	struct flow *flow; // FLOW_ADD; NULL: mod
	struct flow_mod *mod;
	struct flow *remove; // a flow of the bridge; only without `relax`
};
int flow_mod_apply_list(struct bridge *bridge, struct flow_change *changes, unsigned int n,
			void (*relax)(void), struct error *error);

// Take one flow out of its table (timeouts).
enum flow_removed_reason {
	FLOW_REMOVED_IDLE,
	FLOW_REMOVED_HARD,
	FLOW_REMOVED_DELETE,
	FLOW_REMOVED_GROUP_DELETE, // a group that it went to was deleted
	FLOW_REMOVED_EVICTION, // it gave way to another (table_config.h)
	FLOW_REMOVED_METER_DELETE, // its meter was deleted
};
// A flow's timeouts were shortened (fin_timeout).
void flow_mod_shortened(struct bridge *bridge, const struct flow *flow);
void flow_mod_expire(struct bridge *bridge, struct flow *flow, enum flow_removed_reason reason);

// The flows that the selectors of `text` (table, match, cookie, out_port, out_group) choose, in falling order
// of priority within each table. The array is the caller's to free; *n may be 0. NULL and -ENOMEM.
int flow_mod_select(const struct bridge *bridge, const struct flow_text *text, bool strict,
		    struct flow ***flows, unsigned int *n, struct error *error);

// Told of every change, after it is made: the kept configuration writes it down. `flow` is valid
// during the call. One observer; NULL: none.
struct flow_observer {
	void *context;
	// kept_id is the observer's to set. `replaced`: whose place the flow took, or NULL.
	void (*added)(void *context, struct bridge *bridge, struct flow *flow,
		      const struct flow *replaced);
	void (*modified)(void *context, struct bridge *bridge, struct flow *flow);
	// A packet's end of connection shortened the flow's timeouts.
	void (*shortened)(void *context, struct bridge *bridge, const struct flow *flow);
	void (*removed)(void *context, struct bridge *bridge, const struct flow *flow,
			enum flow_removed_reason reason);
};
void flow_mod_set_observer(const struct flow_observer *observer);

#endif
