// Segmentation in software of the large frames that kernel interfaces hand us.
//
// A peer behind a veth sends TCP in frames of up to 64 KiB with a virtio_net_hdr that says how to
// cut them. We promised that nobody behind the switch sees such a frame, so they are cut at
// ingress: TCP over IPv4 and IPv6 (RFC 9293 sequence numbers and flags, RFC 3168 section 6.1.2 for
// CWR), and UDP_L4 (one datagram each). Everything in the frame is checked: a frame whose headers
// do not fit its own description is refused.
//
// A cursor refers to the frame, which must stay as it is until the cursor is done. One thread per
// cursor.
#ifndef VPORT_GSO_H
#define VPORT_GSO_H

#include <stdbool.h>
#include <stdint.h>

struct virtio_net_hdr;
struct rte_mbuf;

struct gso {
	const uint8_t *frame;
	uint32_t length;
	uint32_t offset; // next payload byte
	uint16_t l3; // where the IP header begins
	uint16_t l4; // where the TCP or UDP header begins
	uint16_t payload; // where the payload begins
	uint16_t size; // payload bytes per segment
	uint16_t index; // segments made
	bool ipv6;
	bool tcp;
};

// Frames larger than this are not produced by any kernel with default settings.
#define GSO_MAX_FRAME 65600

// Returns 0, or -EINVAL for a frame that cannot be segmented.
int gso_start(struct gso *gso, const uint8_t *frame, uint32_t length,
	      const struct virtio_net_hdr *header);

// Is there a segment left?
static inline bool gso_more(const struct gso *gso)
{
	return gso->offset < gso->length;
}

// The next segment as a packet, built in `scratch` (GSO_MAX_FRAME bytes). NULL when there are no
// buffers; that segment is skipped then.
struct rte_mbuf *gso_next(struct gso *gso, uint8_t *scratch);

#endif
