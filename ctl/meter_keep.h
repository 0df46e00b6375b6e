// Keeping meters, as group_keep.h does groups: every change that ofproto/meter.h makes is written to
// the store, comes back at start, and is undone should its request fail.
//
// Meters come back before flows, which may use them, and what was new goes away after them. Main
// thread.
#ifndef CTL_METER_KEEP_H
#define CTL_METER_KEEP_H

#include "ctl/store.h"

struct bridge;

void meter_keep_start(struct store *store);
void meter_keep_stop(void);

// With flow_keep_begin(), which opens the store's transaction.
void meter_keep_begin(void);
int meter_keep_check(struct error *error);
void meter_keep_commit(void);

// After the store has rolled back: before flow_keep_undo() bring back the meters that were there,
// behind it take away those that were not.
void meter_keep_undo_before_flows(void);
void meter_keep_undo_after_flows(void);

// Add all kept meters of the bridge to it, before its flows.
int meter_keep_load(struct store *store, struct bridge *bridge, struct error *error);

#endif
