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
// Stop all; packets that they hold are sent or freed.
void workers_stop(void);
unsigned int workers_count(void);

// Distribute the receive queues of all open ports that have a bridge over the workers, and tell
// them. Call after ports were added, removed (before closing them) or changed.
int workers_distribute(void);

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
	uint32_t n_queues;
	uint64_t packets, vectors, sleeps;
	uint64_t busy_cycles, idle_cycles;
	uint64_t learn_lost, events_lost; // for lack of room on the way to the main thread
	struct poll_queue queues[64];
};
// Returns false past the last worker.
bool workers_info(unsigned int i, struct worker_info *info);

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
