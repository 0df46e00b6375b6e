// From rows to what the switch wants: port configurations, VLANs, bridge settings; and status back.
// Main thread.
#ifndef CTL_APPLY_PORT_H
#define CTL_APPLY_PORT_H

#include "ctl/config.h"
#include "ofproto/bridge.h"

// Open the interface as a port of the bridge, with OpenFlow number `ofport` (0: any).
int apply_open_port(struct bridge *bridge, const json_t *port, const json_t *interface,
		    uint32_t ofport, uint32_t *got, struct error *error);

// Must the port be closed and opened again to follow the new row?
bool apply_must_reopen(const json_t *old_interface, const json_t *interface, uint32_t ofport);

// other_config of a bridge: MAC table.
int apply_bridge_settings(struct bridge *bridge, const json_t *row, struct error *error);
// `force`: also where flows use what changes.
int apply_tlv_map(struct bridge *bridge, const json_t *row, bool force, struct error *error);

// mtu_request of an open port.
int apply_mtu(struct bridge_port *port, const json_t *interface, struct error *error);

void apply_fill_interface(json_t *row, const char *message);
void apply_fill_bridge(json_t *row);
void apply_fill_switch(json_t *row);

#endif
