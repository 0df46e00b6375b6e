// From key lines back to packet bytes, checksums included.
//
// Only headers named in the dirty mask are written. Checksums are updated incrementally (RFC 1624)
// so that a checksum that was wrong stays wrong. The packet must be writable. Hot.
#ifndef DATAPATH_WRITE_BACK_H
#define DATAPATH_WRITE_BACK_H

#include "datapath/vector.h"

void write_back(struct vector *vector, unsigned int packet);

// Ethernet tag changes on the bytes alone. Return false if there is no room for the tag.
bool packet_push_vlan(struct rte_mbuf *packet, rte_be16_t tpid, rte_be16_t tci);
void packet_pop_vlan(struct rte_mbuf *packet);

#endif
