// What handlers of switch commands share. Main thread.
#ifndef CTL_SWITCH_BRIDGE_H
#define CTL_SWITCH_BRIDGE_H

#include "ctl/handlers.h"
#include "ofproto/bridge.h"

// The running bridge that argument 0 names; NULL with a sentence.
struct bridge *call_switch_bridge(const struct handler_call *call, struct error *error);

// The port of the bridge that `text` names by name, number or LOCAL; NULL with a sentence.
struct bridge_port *call_switch_port(struct bridge *bridge, const char *text, struct error *error);

#endif
