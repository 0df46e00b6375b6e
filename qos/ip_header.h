// The IP header of a frame: where it is, what tells flows apart, and its type of service. Any thread
// that owns the packet.
#ifndef QOS_IP_HEADER_H
#define QOS_IP_HEADER_H

#include "vport/packet.h"

// Flows of IP packets have different hashes, but for rare chance; of others, pairs of addresses.
// Fragments of one packet have the same.
uint32_t ip_header_hash(const struct rte_mbuf *packet);

// Write a DSCP, or that there is congestion (RFC 3168), into an IP packet; others stay as they are.
// A packet that is shared with somebody else becomes a copy of our own. False: it stays as it is, for
// congestion also where the sender has not said that it understands that.
bool ip_header_set_dscp(struct rte_mbuf **packet, uint8_t dscp);
bool ip_header_set_congestion(struct rte_mbuf **packet);

#endif
