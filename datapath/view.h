// The view that workers look up in while changes are made that packets see all at once.
//
// ofproto/bundle.c moves it from none to before, after, and none again. A worker reads it once for
// a burst, before anything else, so that all tables, groups and bridges that the burst passes are
// those of one view. Whatever else a bridge publishes as one table (as groups and meters are) takes
// part by having a second pointer for the view after: see groups_after in forwarding.h.
#ifndef DATAPATH_VIEW_H
#define DATAPATH_VIEW_H

#include "common/rcu.h"
#include "flowtable/flow.h"

extern uint8_t workers_view; // enum flow_view; published

// Main thread. Workers may be in the view that was set before until workers_synchronize().
static inline void workers_set_view(enum flow_view view)
{
	rcu_publish(&workers_view, (uint8_t)view);
}

#endif
