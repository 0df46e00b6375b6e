// Packets: DPDK mbufs, nothing added.
//
// Every mbuf comes from packet_pool(). VLAN tags are in the data, never stripped into the mbuf. What
// its sender left to be done is in the mbuf's own flags and lengths (vport/offload.h). Owner: exactly
// one of a port's receive call, a vector, or a transmit queue; whoever drops a packet counts one named
// reason (datapath/drop.def).
#ifndef VPORT_PACKET_H
#define VPORT_PACKET_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

struct error;

// Create the pool of `n` mbufs with data rooms for an Ethernet frame of 1518 bytes (longer frames
// use several segments). Main thread, after EAL.
int packet_pool_init(unsigned int n, struct error *error);

// Main thread, after all ports are closed and workers stopped.
void packet_pool_destroy(void);

// The pool to receive into. Any thread.
struct rte_mempool *packet_pool(void);

// A full private copy of a packet; NULL when the pool is empty.
struct rte_mbuf *packet_copy(struct rte_mbuf *packet);

// Append bytes, in further segments where they do not fit the last. False: no buffers, or too many
// segments; the packet has some of them then.
bool packet_append(struct rte_mbuf *packet, const void *data, uint32_t length);

// Headers are looked for in so many bytes of a packet (extension headers of IPv6 are the longest).
#define PACKET_HEADERS 1024

// Bring them into the first segment where a sender scattered them. Returns the packet, or a copy of
// it where that needed one; NULL: no buffers, the packet is as it was.
struct rte_mbuf *packet_gather(struct rte_mbuf *packet);

static inline bool packet_is_scattered(const struct rte_mbuf *packet)
{
	return packet->nb_segs > 1 && packet->data_len < PACKET_HEADERS;
}

// A new packet with these bytes, in several segments where they do not fit one; NULL when the pool
// is empty.
struct rte_mbuf *packet_from_bytes(const void *data, uint32_t length);

#endif
