// What workers.c (threads), rx_queues.c (who polls what) and rx_balance.c (measuring, moving) share.
// Main thread only.
#ifndef DATAPATH_WORKERS_INTERNAL_H
#define DATAPATH_WORKERS_INTERNAL_H

#include "datapath/datapath.h"
#include "datapath/placement.h"

// --- workers.c ---

// The running workers, in order of their cores' places in workers_set_cores(); NULL past the end.
struct worker *worker_running(unsigned int i);
// Let stopped workers go whose every message was heard. Their counts stay.
void workers_bury_stopped(void);
// End its sleep, if it sleeps.
void worker_wake(struct worker *worker);

// --- rx_queues.c ---

// A receive queue that some worker polls, for as long as its port is open and has it.
struct rx_queue {
	struct vport *vport;
	uint16_t index; // of the port, also when it is gone
	uint16_t queue;
	bool wanted; // while the list is made anew
	struct queue_counters *counters;
	struct worker *worker; // that is to poll it
	struct worker *polled_by; // by the lists that are published; NULL: nobody yet
	int pinned_core; // -1: none
	bool pinned; // to a core that has a worker: it is there
	char why[96]; // it is where it is

	// What it costs, once a second (rx_balance.c).
	uint64_t cycles, packets; // as they were then
	unsigned int n_samples;
	double load; // of a core
	double packet_rate; // per second
	double cycles_per_packet;
	uint64_t moved_ns; // when it was moved for its load; 0: never
	uint64_t hold_ns; // for so long it is not moved again
};

// In order of ports and queues; NULL past the end. Pointers last until workers_distribute().
struct rx_queue *rx_queue_at(unsigned int i);
unsigned int rx_queues_count(void);

// Which workers take no queues but pinned ones, and what they are all loaded with: a queue of which
// nothing is known yet counts as a tenth of a core.
struct rx_workers {
	unsigned int n;
	struct placement_worker workers[PLACEMENT_WORKERS_MAX];
	uint64_t loads[PLACEMENT_WORKERS_MAX];
	uint32_t n_queues[PLACEMENT_WORKERS_MAX];
};
void rx_workers_read(struct rx_workers *state);

// Make the workers poll what rx_queue.worker says. A queue that changes hands is first taken from the
// one, and given to the other when that has sent all that it received from it: no packet is lost and
// none overtakes another. -ENOMEM; then everything is as before.
int rx_queues_publish(void);
void rx_queues_forget_port(unsigned int vport_index);
void rx_queues_clear(void);

// --- rx_balance.c ---

// Spread the queues anew over all workers, because there are others than before.
void rx_balance_spread(void);

#endif
