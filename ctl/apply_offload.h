// Which offloads ports have: keys of Interface other_config, and OVS's key for all of the switch.
// Main thread.
#ifndef CTL_APPLY_OFFLOAD_H
#define CTL_APPLY_OFFLOAD_H

#include "ctl/config.h"
#include "ofproto/bridge.h"

// Open_vSwitch other_config:userspace-tso-enable, before ports are opened or changed.
int apply_offload_defaults(const struct config *config, struct error *error);

// The offloads (OFFLOAD_*) that the row switches off.
int apply_read_offloads(const json_t *interface, uint32_t *no_offloads, struct error *error);

// Make them those of an open port, without closing it.
int apply_offloads(struct bridge_port *port, const json_t *interface, struct error *error);

#endif
