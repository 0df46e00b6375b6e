// Starting DPDK, memory and workers, and everything else that the control plane asks of them.
// Main thread only.
#ifndef DATAPATH_DATAPATH_H
#define DATAPATH_DATAPATH_H

#include "datapath/worker.h"

struct error;

enum hugepages { HUGEPAGES_AUTO, HUGEPAGES_YES, HUGEPAGES_NO };

struct datapath_options {
	unsigned int memory_mib; // for packets; 0: default
	enum hugepages hugepages;
	const char *dpdk_args; // more EAL arguments, separated by spaces, or NULL
	const char *cpu_level; // "x86-64-v3", or NULL for the best
	enum cache_mode cache; // of the workers' traversal caches
	int64_t idle_sleep_ns; // between looks at queues that can only be polled, or IDLE_SLEEP_*
};

#define DATAPATH_DEFAULT_MEMORY_MIB 48

// Start EAL, choose the CPU level, create the packet pool. Once.
int datapath_init(const struct datapath_options *options, struct error *error);
void datapath_exit(void);
// In words: "1024 MiB of hugepages" or "ordinary pages (no hugepages are reserved)".
const char *datapath_memory_text(void);
bool datapath_uses_hugepages(void);

// How long workers started later may sleep between looks at queues that can only be
// polled, or IDLE_SLEEP_*.
void workers_set_idle_sleep(int64_t ns);

// Start one worker on each core. Errors name the core that does not exist or is not allowed.
int workers_start(const unsigned int *cores, unsigned int n, struct error *error);
// Have one worker on each of these cores and no others: those that have a worker already keep it.
// Queues of workers that go are polled by others before these stop; no packet is lost. Nothing
// changes on an error.
int workers_set_cores(const unsigned int *cores, unsigned int n, struct error *error);
// Stop all; packets that they hold are sent or freed.
void workers_stop(void);
unsigned int workers_count(void);

// Once a second or oftener: measure what queues cost, and move some if that is worth it.
void workers_tick(uint64_t now_ns);

// --- Who polls what (rx_queues.c, rx_balance.c) ---

// Give the receive queues of all open ports that have a bridge to the workers, and tell them. Call
// after ports were added, removed (before closing them) or changed. Queues that have a worker keep it.
int workers_distribute(void);

// Cores that queues of a port are pinned to; -1: the switch decides.
struct queue_pins {
	int16_t cores[VPORT_MAX_QUEUES];
};
// NULL: none. A core without a worker counts once it gets one. -ENOMEM.
int workers_pin_queues(unsigned int vport_index, const struct queue_pins *pins);

struct balancing {
	bool by_load; // false: queues are dealt out in turn, and never moved
	bool automatic; // queues are moved when that is worth it
	bool isolate; // workers with pinned queues poll no others
	unsigned int load_threshold; // percent of a core, from which a worker gives queues away
	unsigned int improvement; // percent by which the variance of the loads must fall
	unsigned int interval_s; // between one time that queues are moved and the next
};
#define BALANCING_INTERVAL_S 5
#define BALANCING_DEFAULT                                                                          \
	{                                                                                          \
		.by_load = true, .automatic = true, .isolate = true, .load_threshold = 70,         \
		.improvement = 25, .interval_s = BALANCING_INTERVAL_S,                             \
	}
void workers_set_balancing(const struct balancing *wanted);
const struct balancing *workers_balancing(void);

// Balance now, for any gain. `dry_run`: only find out what that would be. `visit` is told of each
// queue that moves. The two are the load of the most loaded worker in percent, before and after.
struct rebalance {
	unsigned int n_moves;
	double before, after;
};
int workers_rebalance(bool dry_run,
		      void (*visit)(void *context, const struct vport *vport, uint16_t queue,
				    unsigned int from, unsigned int to),
		      void *context, struct rebalance *result);

struct queue_info {
	const struct vport *vport;
	uint16_t queue;
	unsigned int worker;
	int pinned_core; // -1: none
	double load; // percent of a core
	double packet_rate, cycles_per_packet;
	uint64_t packets;
	const char *why;
};
// By port and number. Returns false past the last queue.
bool workers_queue_info(unsigned int i, struct queue_info *info);

// Wait until no worker uses anything that was unpublished before the call.
// (rcu_synchronize(), named for what it is for.)
void workers_synchronize(void);

// A thread that helps the control thread: let it run on all cores, but only when nobody else wants
// to; or on the control thread's cores like any other.
void thread_yield_to_workers(pthread_t thread, bool yield);

// What workers reported since the last call.
void workers_drain_events(void (*handle)(void *context, const struct worker_event *event),
			  void *context);

// Flows that workers ask for (datapath/learn.h). The descriptor becomes readable when they begin to;
// from then on the caller looks every millisecond until it finds nothing and says that it rests.
struct learn_request;
int workers_learn_fd(void);
// Bounded: returns how many there were.
unsigned int workers_drain_learned(void (*handle)(void *context,
						  const struct learn_request *request),
				   void *context);
void workers_rest_learned(void);

// Sums over the workers.
void workers_port_counters(unsigned int vport_index, struct port_counters *sum);
// Forget the counts of a port that is closed: its index will be used again.
void workers_port_forget(unsigned int vport_index);

struct worker_totals {
	uint64_t received; // by all ports
	uint64_t copies;
	uint64_t transmitted;
	uint64_t dropped;
	uint64_t drops[N_DROPS]; // the same by reason
};
// received + copies = transmitted + dropped, whenever no packet is under way; ports that were
// closed meanwhile included.
void workers_totals(struct worker_totals *totals);

struct worker_info {
	unsigned int id;
	unsigned int core;
	bool isolated; // kept for queues that are pinned to it
	uint64_t packets, vectors, sleeps;
	uint64_t busy_cycles, idle_cycles;
	uint64_t learn_lost, events_lost; // for lack of room on the way to the main thread
	double load; // percent of its core, in the last seconds
	double packet_rate, cycles_per_packet;
};
// Returns false past the last worker.
bool workers_info(unsigned int i, struct worker_info *info);

// What a worker's stages took so far. Returns false past the last worker, and in a build that does
// not count it.
bool workers_profile(unsigned int i, struct profile *profile);

// A worker's traversal cache, NULL past the last worker. Its numbers change meanwhile.
const struct cache *workers_cache(unsigned int i);

// The main thread's own worker, for packets that it sends (packet-out); it takes part in all sums.
// NULL without memory. Packets that it makes come from this port, which is on no bridge.
struct worker *workers_main(void);
struct forwarding_port *workers_packet_out_port(void);

// A worker of the main thread's own, for trace: it never runs. NULL without memory.
struct worker *worker_create(unsigned int id);
void worker_destroy(struct worker *worker);

// Make a packet whose headers say what `key` says, with right lengths and checksums. For trace
// and tests. NULL without memory.
struct rte_mbuf *packet_compose(const struct key *key);

#endif
