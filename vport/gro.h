// Joining: TCP packets of one batch that follow each other in one flow become one large packet
// (vport/offload.h), for ports whose peer takes those. Cut again it is the same packets, to the last
// byte, so that nothing is lost by it but work.
//
// Joined are plain TCP over IPv4 and IPv6 with nothing but ACK set (PSH: the last one), headers that
// are equal but for what counts on, pieces of one size (the last may be shorter), and checksums that
// are right: a joined packet gets a new one, which would hide a wrong one. Nothing of a flow is
// overtaken by anything of the same flow. Buffers are chained, no payload is copied; those that
// somebody else refers to stay as they are.
//
// Pure functions of the packets; any thread that owns them.
#ifndef VPORT_GRO_H
#define VPORT_GRO_H

#include <stdint.h>

struct rte_mbuf;

// Where packets are shorter than this on average, nothing is gained.
#define GRO_WORTH 256

// Join what can be joined of n packets, for a port with `offloads`. Returns how many packets there
// are now; *joined grows by how many became part of one before them.
uint16_t gro_join(struct rte_mbuf **packets, uint16_t n, uint32_t offloads, uint64_t *joined);

#endif
