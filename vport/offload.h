// What a sender left to be done to a packet by whoever needs it done: a checksum, or cutting.
//
// A guest, or the host's own stack, hands us TCP and UDP without a checksum, and TCP in packets of up
// to 64 KiB. They stay so as long as they go to somebody who takes them like that. DPDK's own words
// for it are used, in ol_flags of the mbuf:
//
//   RTE_MBUF_F_TX_TCP_CKSUM, _UDP_CKSUM   the checksum field holds nothing of value
//   RTE_MBUF_F_TX_TCP_SEG                 TCP to be cut to tso_segsz bytes of payload each
//   RTE_MBUF_F_TX_UDP_SEG                 the same for UDP, one datagram each; without _UDP_CKSUM
//                                         (its checksum is done): one datagram, cut into fragments
//   RTE_MBUF_F_TX_IPV4, _IPV6             which of the two is at l2_len
//
// l2_len is everything in front of the IP header, whatever it is, l3_len the IP header with its
// extension headers, l4_len the TCP or UDP header (0 for fragments); all lie in the first segment.
// As the field holds nothing of value, rewriting addresses and ports needs no special care; what
// moves the start of a packet uses packet_prepend() and packet_remove(), which keep l2_len right.
//
// "Wire" below is what leaves in the end: a packet to be cut counts as the segments it will be.
// Pure functions of the packet; any thread that owns it.
#ifndef VPORT_OFFLOAD_H
#define VPORT_OFFLOAD_H

#include <stdbool.h>

#include <rte_common.h>
#include <rte_mbuf.h>

#define PACKET_LARGE (RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_UDP_SEG)
#define PACKET_OFFLOADS (RTE_MBUF_F_TX_L4_MASK | PACKET_LARGE)
#define PACKET_MAX_L2 127 // l2_len has 7 bits

// What a port takes, and what its peer may bring (struct vport, offloads).
#define OFFLOAD_CHECKSUM (1u << 0)
#define OFFLOAD_TSO4 (1u << 1)
#define OFFLOAD_TSO6 (1u << 2)
#define OFFLOAD_ECN (1u << 3) // TCP to be cut whose first segment alone has CWR
#define OFFLOAD_USO (1u << 4) // UDP, one datagram each
#define OFFLOAD_UFO (1u << 5) // UDP, fragments of one datagram

#define OFFLOAD_GRO (1u << 6) // no promise of a peer: small TCP is joined for it (gro.h)

#define OFFLOAD_ALL 0x7fu

struct text;
struct virtio_net_hdr;

static inline bool packet_is_large(const struct rte_mbuf *packet)
{
	return packet->ol_flags & PACKET_LARGE;
}

static inline uint32_t packet_headers_size(const struct rte_mbuf *packet)
{
	return (uint32_t)(packet->l2_len + packet->l3_len + packet->l4_len);
}

// Out of line: for large packets.
uint32_t packet_large_count(const struct rte_mbuf *packet);
uint32_t packet_large_bytes(const struct rte_mbuf *packet);
uint32_t packet_large_longest(const struct rte_mbuf *packet);

// How many frames this is on the wire, how many bytes they have together, and the longest of them.
static inline uint32_t packet_wire_count(const struct rte_mbuf *packet)
{
	return likely(!packet_is_large(packet)) ? 1 : packet_large_count(packet);
}

static inline uint32_t packet_wire_bytes(const struct rte_mbuf *packet)
{
	return likely(!packet_is_large(packet)) ? rte_pktmbuf_pkt_len(packet)
						: packet_large_bytes(packet);
}

static inline uint32_t packet_wire_longest(const struct rte_mbuf *packet)
{
	return likely(!packet_is_large(packet)) ? rte_pktmbuf_pkt_len(packet)
						: packet_large_longest(packet);
}

// rte_pktmbuf_prepend() and rte_pktmbuf_adj() for packets that may have offloads. NULL: no room.
static inline uint8_t *packet_prepend(struct rte_mbuf *packet, uint16_t size)
{
	if (unlikely(packet->ol_flags & PACKET_OFFLOADS)) {
		if (packet->l2_len + size > PACKET_MAX_L2)
			return NULL;
		packet->l2_len = (uint8_t)((packet->l2_len + size) & PACKET_MAX_L2);
	}
	return (uint8_t *)rte_pktmbuf_prepend(packet, size);
}

static inline void packet_remove(struct rte_mbuf *packet, uint16_t size)
{
	if (unlikely(packet->ol_flags & PACKET_OFFLOADS))
		packet->l2_len = (uint8_t)((packet->l2_len - size) & PACKET_MAX_L2);
	rte_pktmbuf_adj(packet, size);
}

// --- What came in ---

// Describe a packet that came with this header. A checksum that is not plain TCP or UDP is completed
// at once. -EINVAL: the header does not fit the packet, which is worth nothing then.
int offload_from_virtio(struct rte_mbuf *packet, const struct virtio_net_hdr *header);

// The same for what DPDK's vhost library says of a packet in its flags for received ones.
int offload_from_vhost(struct rte_mbuf *packet);

// --- What goes out ---

// May a port that has `offloads` be given the packet as it is?
bool offload_fits(const struct rte_mbuf *packet, uint32_t offloads);

// The header that goes with a packet for which offload_fits(); also makes its checksum field what
// such a header promises, the pseudo header's sum.
void offload_to_virtio(struct rte_mbuf *packet, struct virtio_net_hdr *header);

// Compute the checksum that was left undone. Changes the packet's bytes; not for large packets.
void offload_complete(struct rte_mbuf *packet);

// Is the TCP checksum right of a packet whose TCP header is behind l2 + l3 bytes and that ends with its
// IP packet?
bool offload_tcp_is_right(const struct rte_mbuf *packet, uint32_t l2, uint32_t l3);

// Those of `offloads` that make sense together: all need checksums, ECN and joining need TSO.
uint32_t offload_sensible(uint32_t offloads);

// "checksum tso4 tso6", or "none".
void offload_format(uint32_t offloads, struct text *text);

#endif
