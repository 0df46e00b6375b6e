// Packet-outs as ovs-ofctl(8) writes them. Main thread.
#ifndef CTL_PACKET_OUT_TEXT_H
#define CTL_PACKET_OUT_TEXT_H

#include "ofproto/packet_out.h"

// "in_port=1,reg0=5,packet=HEX,actions=...". The request is the caller's.
int packet_out_text_make(struct bridge *bridge, const char *text,
			 struct packet_out_request **request, struct error *error);
// The same of parts.
int packet_out_hex_make(struct bridge *bridge, const struct key *metadata, uint16_t lines,
			const char *actions, const char *hex, struct packet_out_request **request,
			struct error *error);

#endif
