// Quality of service of ports: policing what comes in, policing or shaping what goes out.
//
// A port has a `struct ingress` or `struct egress` or none (vport/vport.h); without one it pays a test
// of a pointer. A shaped port's scheduler (qos/shaper.h) belongs to one worker, which drives it from
// its poll loop and wakes up for the next departure; other workers hand packets over by a ring and
// wake the owner if it sleeps. To change a scheduler, move it to another worker or take it away, the
// main thread takes it from its owner first and waits for a grace period: nobody else has it then, and
// what is sent meanwhile waits in the ring.
#ifndef DATAPATH_QOS_H
#define DATAPATH_QOS_H

#include "datapath/worker.h"
#include "qos/policer.h"
#include "qos/shaper.h"

struct error;

// Interface columns ingress_policing_*; all 0: none.
struct ingress_config {
	uint64_t kbps, kilobits; // 0 kilobits: 8000
	uint64_t kpps, kilopackets; // 0 kilopackets: 16
};
#define INGRESS_DEFAULT_KILOBITS 8000
#define INGRESS_DEFAULT_KILOPACKETS 16

struct ingress {
	struct policer bits, packets;
	struct ingress_config config;
};

struct handed_packet {
	struct rte_mbuf *packet;
	uint32_t queue;
	uint32_t reserved;
};

struct egress {
	struct vport *vport;
	struct shaper *shaper; // NULL: a policer
	struct worker *owner; // NULL while it is nobody's
	struct rte_ring *ring; // of struct handed_packet
	uint64_t cir, cbs; // bytes of IP packets, a second and at once
	struct policer policer;
};

// The schedulers of a worker. Published by the main thread; immutable.
struct shaper_list {
	uint32_t n;
	struct egress *egress[];
};

extern uint64_t qos_ns_per_cycle; // times 2^32

static inline uint64_t qos_now_ns(void)
{
	return (uint64_t)(((unsigned __int128)rte_rdtsc() * qos_ns_per_cycle) >> 32);
}

// Is there something to send by then? Worker.
static inline bool qos_is_due(struct worker *worker, uint64_t within_ns)
{
	return worker->shapers && (__atomic_load_n(&worker->handed.any, __ATOMIC_RELAXED) ||
				   (worker->shapers_next_ns != SHAPER_NEVER &&
				    worker->shapers_next_ns <= qos_now_ns() + within_ns));
}

// --- Worker, hot (output_qos.c) ---

struct forward;

// Those of `packets` that do not come too fast; the others are dropped.
uint64_t qos_receive(struct forward *forward, struct ingress *ingress, uint64_t packets);
// Before a batch is sent: returns how many of the packets are to be sent now, the first in `packets`.
uint16_t qos_egress(struct worker *worker, struct egress *egress, struct rte_mbuf **packets,
		    const uint32_t *queues, uint16_t n);
// Send what is due. Returns how many packets.
uint32_t qos_run_shapers(struct worker *worker);

// --- Main thread ---

// 0 or -ENOMEM; then everything is as before.
int qos_set_ingress(struct vport *vport, const struct ingress_config *config);
int qos_set_policer(struct vport *vport, uint64_t cir, uint64_t cbs);
int qos_set_shaper(struct vport *vport, const struct shaper_config *config);
// Packets that wait are dropped.
void qos_clear_egress(struct vport *vport);
// Both directions, of a port that is about to be closed and that nobody sends to any more.
void qos_forget(struct vport *vport);
// Give schedulers without a worker, or of one that leaves, to another. -ENOMEM.
int qos_place_shapers(void);

#endif
