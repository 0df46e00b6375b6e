// Meters as a bundle would leave them: for bundle.c, which puts them in force. Main thread.
//
// What is staged is text; workers get a table of their own for the view after (datapath/view.h),
// which shares all chunks with the present one but those that change.
#ifndef OFPROTO_METER_STAGE_H
#define OFPROTO_METER_STAGE_H

#include "ofproto/meter.h"

struct staged_meter {
	uint32_t id;
	bool gone;
	bool fresh; // its counts begin anew: it was deleted on the way
	struct meter *old; // in force, or NULL
	struct meter *made; // to be put in force
	struct meter_text text; // unless it is gone
};

struct meter_stage {
	struct bridge *bridge;
	uint32_t n, size;
	struct staged_meter *meters; // in the order in which they were first changed
	uint32_t *places; // by id: the index in `meters` plus one; 0: not changed
	struct meter_table *table; // made and not yet published
};

int meter_stage_begin(struct meter_stage *stage, struct bridge *bridge, struct error *error);
// One change. Flows whose meter it deletes are removed, as part of the bundle.
int meter_stage_change(struct meter_stage *stage, const struct meter_mod *mod, struct error *error);
// Is the meter there now?
bool meter_stage_has(const struct meter_stage *stage, uint32_t id);

// Make the table for workers.
int meter_stage_make(struct meter_stage *stage, struct error *error);
// Let buckets that go on begin where those in force are now: right before the change.
void meter_stage_follow(struct meter_stage *stage);
// Workers look at the table that was made. This cannot fail.
void meter_stage_publish(struct meter_stage *stage);
// What was made and not published is freed.
void meter_stage_end(struct meter_stage *stage);

#endif
