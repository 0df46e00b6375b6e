// Keeping flows: every change that flow_mod makes is written to the store, and comes back at start.
//
// The observer of flow_mod.h writes each change into the open store transaction. Changes outside
// of a request (timeouts) are collected and written now and then. Should a request fail after it
// changed flows, the flows that it touched are brought back from the store. Main thread;
// rows are written by flow_writer.h.
#ifndef CTL_FLOW_KEEP_H
#define CTL_FLOW_KEEP_H

#include "ctl/store.h"

struct bridge;
struct flow;

// Observe flow_mod and keep flows in `store`.
void flow_keep_start(struct store *store);
void flow_keep_stop(void);

// A request begins: the store has an open transaction until commit or undo. Writes what waited.
int flow_keep_begin(struct error *error);
// Did every write succeed so far? Call before the store commits.
int flow_keep_check(struct error *error);
// Before the store rolls back.
void flow_keep_cancel(void);
// Before a bridge goes: have what is under way written.
void flow_keep_settle(void);
// After the store has committed.
void flow_keep_commit(void);
// After the store has rolled back: bring the touched flows back.
void flow_keep_undo(void);

// In a request: write a flow that is about to be added, so that writing it goes on while other flows
// are still being parsed. The request must add it, before all flows that are not written yet, or
// fail.
void flow_keep_early(struct bridge *bridge, struct flow *flow);

// Add all kept flows of the bridge to it. Flows whose hard timeout has passed are left out.
int flow_keep_load(struct store *store, struct bridge *bridge, struct error *error);

// Now and then: write what changed outside of requests.
void flow_keep_flush(void);

// While a bridge is taken down or brought back its flows go and come without being kept anew.
void flow_keep_pause(bool pause);

#endif
