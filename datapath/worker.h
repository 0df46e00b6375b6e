// A worker: one thread, pinned to one core, that carries packets from the queues it polls to
// wherever the flow tables send them.
//
// Everything in `struct worker` belongs to the worker's thread, except what is marked as published
// by the main thread. The main thread reads the counters while the worker adds to them.
#ifndef DATAPATH_WORKER_H
#define DATAPATH_WORKER_H

#include "common/counters.h"
#include "datapath/profile.h"
#include "datapath/trace.h"
#include "datapath/vector.h"

#include <pthread.h>
#include <rte_ring.h>

#define WORKERS_MAX 32
#define BURST_SIZE 64
// A packet may be inside of so many groups and resubmits to the same or an earlier table, and of so
// many groups, resubmits of any kind and clones: each takes up to 8 KiB of the thread's stack, and the
// few clones that one flow can nest come on top.
#define RESUBMIT_MAX_DEPTH 64
#define NESTING_MAX_DEPTH 256
#define LOOKUP_BUDGET 4096 // table lookups for one packet
#define PATCH_MAX_HOPS 32
#define IDLE_SLEEP_AUTO 0 // short at first, longer when nothing comes for long
#define IDLE_SLEEP_NEVER (-1)
#define SLEEP_MAX_QUEUES 4096 // a worker with more queues than this never sleeps
#define PATCH_QUEUE_SIZE 4096

// Where packets are counted that no port received: behind those of all ports.
#define PACKET_OUT_INDEX VPORT_MAX

// One worker's counts for one port. Written by the worker alone.
struct port_counters {
	uint64_t rx_packets;
	uint64_t rx_bytes;
	uint64_t tx_packets;
	uint64_t tx_bytes;
	uint64_t tx_joined; // of tx_packets: left as part of the large packet before them
	uint64_t rx_drops[N_DROPS]; // received here, dropped for that reason
	uint64_t tx_drops[N_DROPS]; // dropped on the way out of here
};

// What the worker that polls a receive queue counts of it, whichever worker that is at the time.
struct queue_counters {
	uint64_t cycles; // TSC: from looking into the queue until what was in it had been sent
	uint64_t packets;
	uint64_t vectors;
} __attribute__((aligned(64)));

// A receive queue to poll.
struct poll_queue {
	struct vport *vport;
	struct queue_counters *counters;
	uint16_t queue;
};

// Published by the main thread; immutable.
struct poll_list {
	uint64_t generation; // no two lists of a worker have the same
	uint32_t n;
	struct poll_queue queues[];
};

// Packets on their way to one port, sent together at the end of a vector.
struct tx_batch {
	uint16_t n;
	struct rte_mbuf *packets[VECTOR_SIZE];
	uint32_t queues[VECTOR_SIZE]; // if the port has quality of service
};

// What a worker tells the main thread.
struct worker_event {
	uint16_t forwarding; // index of the bridge
	uint16_t vlan;
	uint32_t ofport;
	uint8_t mac[6];
	uint8_t reserved[2];
};

// A packet between two bridges.
struct patch_packet {
	struct rte_mbuf *packet;
	struct forwarding_port *to; // the port it comes out of
	unsigned int hops; // patch ports passed, this one included
};

// A packet that somebody makes (packet-out): what happens to it instead of a lookup in table 0.
struct packet_out {
	const struct program *program;
	const struct key *metadata; // registers and the like that it starts with
	uint32_t in_port; // where it is said to come from: also OFPP_CONTROLLER and OFPP_ANY
};

// Whether the cache is asked: adaptive is what everybody wants, the other two are for tests.
enum cache_mode { CACHE_ADAPTIVE, CACHE_ALWAYS, CACHE_NEVER };
struct cache;
struct learn_queue;
struct shaper_list;
struct packet_stack;

// What the main thread makes of a worker's counters, once a second.
struct worker_gauge {
	uint64_t busy_cycles, packets; // as they were then
	bool measured; // at least once
	double load; // of a core
	double packet_rate; // per second
	double cycles_per_packet;
};

struct worker {
	// Published by the main thread.
	struct poll_list *poll_list;
	int stop;
	int wake_fd; // eventfd: written to end a sleep
	int64_t idle_sleep_ns; // between looks at queues that can only be polled; IDLE_SLEEP_*

	// The worker's own.
	unsigned int id; // RCU reader, transmit queue
	unsigned int core;
	pthread_t thread;
	struct counter_set *counters; // per flow
	struct port_counters *ports; // by vport index, VPORT_MAX of them
	uint64_t n_copies; // packets that came to be by copying
	uint64_t n_events_lost;
	uint64_t busy_cycles, idle_cycles; // TSC: polls that found packets, and others
	uint64_t n_packets, n_vectors, n_sleeps;
	struct rte_ring *events; // of struct worker_event, to the main thread
	struct learn_queue *learn; // of flows to learn, to the main thread (datapath/learn.h)
	struct cache *cache; // NULL: none (datapath/cache.h)
	enum flow_view view; // of the burst under way (view.h)
	struct trace *trace; // non-NULL: tell each step, send and count nothing

	const struct packet_out *packet_out; // non-NULL: the packets are made here
	uint64_t random; // state of random_next(): whom to sample

	// Shaped ports that this worker sends for (datapath/qos.h).
	struct shaper_list *shapers; // published by the main thread; NULL: none
	uint64_t shapers_next_ns; // when the next packet leaves
	struct {
		int any; // others put packets into rings of these ports
		int asleep; // wake me then
		char rest[56];
	} handed __attribute__((aligned(64)));

	struct poll_list *silent_queues; // scratch of a sleeping worker
	struct tx_batch *tx; // by vport index
	uint16_t n_tx_active;
	struct forwarding_port *tx_active[VPORT_MAX]; // ports whose batch is not empty
	uint32_t mirrored[VECTOR_SIZE]; // mirrors that have their copy of each packet of the vector
	struct packet_stack *stacks; // of the vector's packets (stack.h)
	uint32_t patch_head, patch_tail;
	struct patch_packet patch_queue[PATCH_QUEUE_SIZE];
	struct vector vector;

	// The main thread's own.
	struct worker_gauge gauge;
	bool leaving; // polls nothing any more, and is about to stop
#ifdef PROFILE
	struct profile profile;
#endif
};

static inline void worker_count_rx_drop(struct worker *worker, const struct vport *vport,
					enum drop_reason reason, uint64_t n)
{
	if (!worker->trace)
		worker->ports[vport->index].rx_drops[reason] += n;
}

static inline void worker_count_tx_drop(struct worker *worker, const struct vport *vport,
					enum drop_reason reason, uint64_t n)
{
	if (!worker->trace)
		worker->ports[vport->index].tx_drops[reason] += n;
}

#endif
