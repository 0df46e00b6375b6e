// Keeping groups, as flow_keep.h does flows: every change that group_mod makes is written to the
// store, comes back at start, and is undone should its request fail.
//
// Groups come back before flows, which may go to them, and what was new goes away after them. Main
// thread.
#ifndef CTL_GROUP_KEEP_H
#define CTL_GROUP_KEEP_H

#include "ctl/store.h"

struct bridge;

void group_keep_start(struct store *store);
void group_keep_stop(void);

// With flow_keep_begin(), which opens the store's transaction.
void group_keep_begin(void);
int group_keep_check(struct error *error);
void group_keep_commit(void);

// After the store has rolled back: before flow_keep_undo() bring back the groups that were there,
// behind it take away those that were not.
void group_keep_undo_before_flows(void);
void group_keep_undo_after_flows(void);

// Add all kept groups of the bridge to it, before its flows.
int group_keep_load(struct store *store, struct bridge *bridge, struct error *error);

#endif
