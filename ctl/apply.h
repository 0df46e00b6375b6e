// What the control layer asks of the switch, and how a configuration is put in force.
//
// A change goes: prepare (open what is new; may fail and say why), then the store, then finish
// (close what is gone; cannot fail), or restore (go back to the old configuration). The table of
// functions exists so that transactions can be tested without a switch. Main thread.
#ifndef CTL_APPLY_H
#define CTL_APPLY_H

#include "ctl/config.h"

struct apply_ops {
	void *context;

	// Make the switch do what `config` says beyond `old`: bridges, ports, settings. Assigns
	// Interface.ofport in `config`. On an error part of it may be done: call restore.
	int (*prepare)(void *context, const struct config *old, struct config *config,
		       struct error *error);
	// Close what `config` does not have. It is in force and kept.
	void (*finish)(void *context, const struct config *config);
	// Make the switch do what `old` says, as far as possible.
	void (*restore)(void *context, const struct config *old);

	// Fill the status columns of a row (a copy that the caller owns).
	void (*fill_status)(void *context, const struct schema_table *table, json_t *row);
};

extern const struct apply_ops apply_switch;

struct store;

// The daemon's start: open everything, report ports that cannot be opened and go on without them,
// load the flows. Only the configuration's flows failing is an error.
int apply_start(struct config *config, struct store *store, struct error *error);

// Now and then: try again to open ports that could not be opened. `config` is in force.
void apply_retry(const struct config *config);

// The daemon's end: close everything.
void apply_stop(void);

#endif
