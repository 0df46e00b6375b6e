// Rows of Mirror, put in force. Main thread.
#ifndef CTL_APPLY_MIRROR_H
#define CTL_APPLY_MIRROR_H

#include "ctl/config.h"
#include "ofproto/bridge.h"

// All mirrors of a Bridge row, whose ports are open. `strict`: a new mirror without a destination
// is a mistake; else it is one whose port has gone, which copies nothing.
int apply_mirrors(struct bridge *bridge, const struct config *config, const json_t *row,
		  bool strict, struct error *error);

// Mirror.statistics.
void apply_fill_mirror(json_t *row);

#endif
