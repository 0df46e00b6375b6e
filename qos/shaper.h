// A port's scheduler: queues that share its rate, each with a minimum, a maximum, a priority and a
// weight.
//
// All rates are kept by the time at which the next packet may leave, so that time that passes is never
// added to anything, and no rounding adds up. While the port may send:
//   1. of the queues that have not had their minimum, the one that has waited for it longest;
//   2. else what is left goes to the lowest priority value and there by weight (a queue's virtual time
//      moves by what it sends, divided by its weight).
// No queue exceeds its maximum. What a port or queue did not send while it was idle it may send at
// once, up to its burst; what it could not send because the poll loop came late it may make up for,
// up to SHAPER_LATE_NS.
//
// Not rte_sched: that has one shape of tree, made for one big port. See README.md.
//
// Time is given by the caller, in nanoseconds. One thread at a time.
#ifndef QOS_SHAPER_H
#define QOS_SHAPER_H

#include "qos/aqm.h"

#define SHAPER_MAX_QUEUES 64
#define SHAPER_LATE_NS 100000000ULL // a queue's bytes bound what that can be
#define SHAPER_NEVER UINT64_MAX

struct shaper_queue_config {
	uint32_t id;
	uint64_t min_rate, max_rate; // bit/s; 0: none
	uint64_t burst; // bytes; 0: SHAPER_BURST_NS of its rate, and two full frames at least
	uint32_t priority; // low ones come first
	uint32_t weight; // 1 or more
	int dscp; // to write into packets; -1: none
	struct aqm_config aqm;
};
#define SHAPER_BURST_NS 1000000ULL

struct shaper_config {
	uint64_t max_rate; // bit/s
	uint64_t burst; // bytes; 0: as above
	unsigned int n_queues; // at least one; the first is the default queue, number 0
	struct shaper_queue_config queues[SHAPER_MAX_QUEUES]; // by rising id
};

struct shaper;

// NULL without memory.
struct shaper *shaper_create(const struct shaper_config *config, uint64_t now_ns);
void shaper_free(struct shaper *shaper); // and all packets in it
// Move packets and counts from `old`, by number of queue. Packets of queues that are gone, and what
// finds no room, are dropped: returns how many.
uint32_t shaper_take_over(struct shaper *shaper, struct shaper *old);

// Takes the packet. Returns how many were dropped (on the wire), this one or others.
uint32_t shaper_enqueue(struct shaper *shaper, struct rte_mbuf *packet, uint32_t queue_id,
			uint64_t now_ns);
// Up to n packets that are due, in order. *dropped: how many CoDel dropped. Fewer than n: nothing is
// due before shaper_next_ns().
unsigned int shaper_dequeue(struct shaper *shaper, struct rte_mbuf **packets, unsigned int n,
			    uint64_t now_ns, uint32_t *dropped);
// When to ask again; SHAPER_NEVER: when something came in.
uint64_t shaper_next_ns(const struct shaper *shaper);
// Any packet of one queue, whether it is due or not; NULL: there is none. Until the queue is empty
// nothing else may be done with the scheduler.
struct rte_mbuf *shaper_take(struct shaper *shaper, unsigned int queue);

struct shaper_queue_info {
	struct shaper_queue_config config;
	uint64_t
		granted; // its minimum as it is in force, bit/s: less where all together exceed the rate
	uint64_t packets, bytes; // sent
	uint64_t n_full, n_delay, marks;
	uint32_t queued_packets, queued_bytes;
	uint64_t rate; // achieved, bit/s, in the last second or so
	uint64_t delay_p50, delay_p90, delay_p99, delay_max; // ns
};
// Any thread, while the owner works: numbers may be a little old. False past the last queue.
bool shaper_queue_info(const struct shaper *shaper, unsigned int i, uint64_t now_ns,
		       struct shaper_queue_info *info);

struct shaper_info {
	uint64_t max_rate, burst;
	uint64_t rate; // achieved
	uint64_t
		n_unknown; // packets for queues that there are none of: they went to the default queue
	uint64_t queued_packets, queued_bytes;
};
void shaper_info(const struct shaper *shaper, uint64_t now_ns, struct shaper_info *info);

#endif
