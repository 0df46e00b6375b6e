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

// A packet to send. It is made, checked against the bridge as it is then, and sent; sending cannot
// fail. It is the caller's until it is freed.
struct packet_out_request;
// `actions` are what to do with it, metadata->core.in_port is where it comes from, `lines` which
// lines of the key are wanted besides those of the actions.
int packet_out_make(struct bridge *bridge, const struct key *metadata, uint16_t lines,
		    const char *actions, const uint8_t *packet, size_t size,
		    struct packet_out_request **request, struct error *error);
int packet_out_check(struct packet_out_request *request, struct error *error);
void packet_out_send(struct packet_out_request *request);
void packet_out_free(struct packet_out_request *request);

#endif
