// Cutting in software: large packets (vport/offload.h) for ports that do not take them.
//
// TCP over IPv4 and IPv6 (RFC 9293 sequence numbers and flags, RFC 3168 section 6.1.2 for CWR), UDP
// as one datagram each, and one datagram as fragments (RFC 791, RFC 8200 section 4.5). What is in
// front of the IP header is repeated as it is: tags, labels, whatever was pushed.
//
// A cursor refers to the packet, which must stay as it is until the cursor is done. One thread per
// cursor.
#ifndef VPORT_GSO_H
#define VPORT_GSO_H

#include <stdbool.h>
#include <stdint.h>

struct rte_mbuf;

struct gso {
	const struct rte_mbuf *packet;
	const struct rte_mbuf *segment; // that the next payload byte is in
	uint32_t at; // where in it
	uint32_t sent; // payload bytes cut off
	uint32_t payload; // all of them
	uint32_t identification; // of IPv6 fragments
	uint16_t index; // segments made
};

// Longer frames are not produced by any guest or kernel with default settings.
#define GSO_MAX_FRAME 65600
// Smaller segments only serve to make work, as do more of them.
#define GSO_MIN_SEGMENT 8
#define GSO_MAX_SEGMENTS 1024

// For packet_is_large().
void gso_start(struct gso *gso, const struct rte_mbuf *packet);

// Is there a segment left?
static inline bool gso_more(const struct gso *gso)
{
	return gso->sent < gso->payload;
}

// The next segment, a packet of its own whose checksum is left undone (where it has one). NULL when
// there are no buffers; that segment is skipped then.
struct rte_mbuf *gso_next(struct gso *gso);

#endif
