// Packets that somebody makes and sends (ovs-ofctl(8), packet-out). Main thread.
//
// The main thread runs the same engine as workers do, with a worker of its own: the packets are sent
// and counted. They count as received, so that received + copied = sent + dropped stays true, but by
// no port.
#ifndef OFPROTO_PACKET_OUT_H
#define OFPROTO_PACKET_OUT_H

#include "ofproto/bridge.h"

// The port that a text names for a packet to come from: also CONTROLLER, and NONE for none.
int packet_out_parse_port(const struct bridge *bridge, const char *text, struct key *metadata,
			  struct error *error);
// "in_port=vm1,reg0=5": the port and fields that do not come from the packet's bytes.
int packet_out_parse_fields(const struct bridge *bridge, const char *text, struct key *metadata,
			    uint16_t *lines, struct error *error);

// Run `actions` on a packet. metadata->core.in_port is where it comes from, `lines` which lines of
// the key are wanted besides those of the actions.
int packet_out_run(struct bridge *bridge, const struct key *metadata, uint16_t lines,
		   const char *actions, const uint8_t *packet, size_t size, struct error *error);

#endif
