// What meter.c does for meter_stage.c. Main thread.
#ifndef OFPROTO_METER_INTERNAL_H
#define OFPROTO_METER_INTERNAL_H

#include "ofproto/meter.h"

// The meter that workers see, whatever a bundle makes of it; NULL: none.
struct meter *meter_in_force(const struct bridge *bridge, uint32_t id);
// May it be added, or modified?
int meter_check(const struct bridge *bridge, const struct meter_mod *mod, struct error *error);
// All flows with this meter; METER_ID_ALL: with any.
void meter_remove_flows(struct bridge *bridge, uint32_t id);

// Tell the observer.
void meter_tell_changed(struct bridge *bridge, const struct meter *meter);
void meter_tell_removed(struct bridge *bridge, uint32_t id);

#endif
