// One queue: packets of many flows, bounded in packets and bytes, whose delay is kept short.
//
// FQ-CoDel (RFC 8290): flows are told apart by a keyed hash, flows that begin come first, the others
// share by deficit round robin; each has a CoDel (RFC 8289) that drops, or marks where the sender has
// said that it understands that (RFC 3168), when packets wait for longer than `target` throughout an
// `interval`. A full queue drops from the head of the longest flow, so that one that fills it does not
// shut out others. With one flow it is CoDel, without target a plain queue that drops at its tail.
//
// A packet may be in queues of several ports at once: nothing is kept in it. Bytes are those on the
// wire (vport/offload.h). Time is given by the caller. Whoever owns the queue.
#ifndef QOS_AQM_H
#define QOS_AQM_H

#include "vport/packet.h"

#define AQM_MAX_FLOWS 4096
#define AQM_MAX_PACKETS 65536
#define AQM_DELAYS 160 // four for each power of two of nanoseconds, up to 18 minutes

struct aqm_config {
	uint32_t packets, bytes; // at most
	uint32_t flows; // a power of two
	uint32_t quantum; // bytes that a flow may send in its turn
	uint64_t target_ns, interval_ns; // target 0: drop at the tail
	bool ecn;
};

struct aqm_counts {
	uint64_t packets, bytes; // that left
	uint64_t n_full, n_delay; // dropped for lack of room, and for their delay
	uint64_t marks;
};

struct aqm;

// NULL without memory.
struct aqm *aqm_create(const struct aqm_config *config);
// Frees what is in it.
void aqm_free(struct aqm *aqm);

// Take a packet of so many bytes on the wire that came at `at_ns`. Returns how many packets (on the
// wire) were dropped for it.
uint32_t aqm_enqueue(struct aqm *aqm, struct rte_mbuf *packet, uint32_t bytes, uint64_t at_ns);
// The next packet, or NULL. *dropped grows by how many were dropped instead.
struct rte_mbuf *aqm_dequeue(struct aqm *aqm, uint64_t now_ns, uint32_t *bytes, uint32_t *dropped);
// Any packet, oldest first within a flow, without counting; NULL: empty.
struct rte_mbuf *aqm_take(struct aqm *aqm, uint32_t *bytes, uint64_t *at_ns);

uint32_t aqm_packets(const struct aqm *aqm);
uint32_t aqm_bytes(const struct aqm *aqm);
struct aqm_counts *aqm_counts(struct aqm *aqm);
// Of the last some ten thousand packets this part (0 to 1) waited for at most so many nanoseconds.
uint64_t aqm_delay(const struct aqm *aqm, double part);

#endif
