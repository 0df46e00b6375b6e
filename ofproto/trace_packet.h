// The packet that is traced: made from bytes, or composed from what a person said of it. Internal to
// ofproto/trace*.c. Main thread.
#ifndef OFPROTO_TRACE_PACKET_H
#define OFPROTO_TRACE_PACKET_H

#include "ofproto/bridge.h"

struct error;
struct match;

// From bytes, in as many buffers as it takes. NULL and a sentence if there are too few or too many,
// or no buffers are free.
struct rte_mbuf *trace_packet_from(const uint8_t *bytes, size_t size, struct error *error);

// From the fields of `match`; what is left out and every packet has gets a usual value. NULL and a
// sentence if a field cannot be put into a packet.
struct rte_mbuf *trace_packet_compose(struct match *match, const struct port_names *names,
				      struct error *error);

// Is the packet what the match says of its headers? Else a sentence names the first field.
int trace_packet_check(struct rte_mbuf *packet, const struct match *match, bool composed,
		       const struct port_names *names, struct error *error);

#endif
