// The one way in which meters change: add, modify, delete (OpenFlow 1.3.5 section 6.4.8). Main
// thread.
//
// When a call returns, the change is in force on every worker. A meter that goes away takes the
// flows with it that use it. A change keeps the meter's counts.
#ifndef OFPROTO_METER_H
#define OFPROTO_METER_H

#include "datapath/meter.h"
#include "ofproto/bridge.h"

enum meter_mod_command { METER_MOD_ADD, METER_MOD_MODIFY, METER_MOD_DELETE };

struct meter_mod {
	enum meter_mod_command command;
	struct meter_text text; // METER_MOD_DELETE: its id says which
};

// Change one meter. Several that packets see at once: bundle.h.
int meter_mod_apply(struct bridge *bridge, const struct meter_mod *mod, struct error *error);
int meter_add(struct bridge *bridge, const struct meter_text *text, struct error *error);
int meter_modify(struct bridge *bridge, const struct meter_text *text, struct error *error);
// One that is not there is no mistake; METER_ID_ALL: all.
int meter_delete(struct bridge *bridge, uint32_t id, struct error *error);

// NULL if there is none.
struct meter *bridge_meter(const struct bridge *bridge, uint32_t id);
// The first with this number or a higher one; NULL behind the last.
struct meter *bridge_meter_next(const struct bridge *bridge, uint32_t id);

// A flow's meter must be there.
int meter_check_program(const struct bridge *bridge, const struct program *program,
			struct error *error);

// With the bridge, after the last packet.
void bridge_meters_destroy(struct bridge *bridge);

// Told of every change, after it is made. One observer; NULL: none.
struct meter_observer {
	void *context;
	void (*changed)(void *context, struct bridge *bridge, const struct meter *meter);
	void (*removed)(void *context, struct bridge *bridge, uint32_t id);
};
void meter_set_observer(const struct meter_observer *observer);

#endif
