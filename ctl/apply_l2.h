// Ethernet switching from rows: VLAN modes, storm control, limits, who may send. Main thread.
#ifndef CTL_APPLY_L2_H
#define CTL_APPLY_L2_H

#include "ctl/config.h"
#include "ofproto/bridge.h"

// A Port row. Errors: a mode without the tag that it needs, VLAN 4095, settings that are none.
int apply_read_vlan(const json_t *port, struct bridge_vlan *vlan, struct error *error);
int apply_read_l2(const json_t *port, struct bridge_port_l2 *l2, struct error *error);

// allowed_addresses of an Interface row; *guarded: there are some.
int apply_read_guard(const json_t *interface, struct port_guard *guard, bool *guarded,
		     struct error *error);

// Put what differs from what is in force into force on an open port.
int apply_l2(struct bridge_port *live, const json_t *port, const json_t *interface,
	     struct error *error);

// forward-bpdu and flood_vlans of a Bridge row.
int apply_normal(struct bridge *bridge, const json_t *row, struct error *error);

#endif
