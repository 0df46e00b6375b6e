// Learned flows: how a worker asks for a flow without waiting for it.
//
// A learn action takes some fields of a packet; together with the action they say everything about
// the flow that is to be. The worker looks in the action's own index whether that flow is known:
// then a mark is all it leaves, which the timeouts see. A new flow goes, as the bytes of those
// fields, through a bounded ring to the main thread (ofproto/learn.h), which wakes within a
// millisecond. What was asked for a moment ago is not asked for again.
//
// Workers read rules, groups and entries while the main thread changes them; freed ones live for a
// grace period longer. An index that grows may hide an entry for a moment: the worker then asks for
// what is there already, and nothing comes of it.
#ifndef DATAPATH_LEARN_H
#define DATAPATH_LEARN_H

#include "common/rcu.h"
#include "flowtable/flow.h"

#include <rte_ring.h>
#include <stdbool.h>

struct text;
struct bridge;

// One installed learn action.
struct learn_buckets {
	uint32_t mask;
	struct learn_entry *heads[];
};

struct learn_rule {
	struct learn_buckets *buckets; // published; NULL while nothing is known
	struct learn_group *group;
	uint32_t slot, generation; // what requests call it

	// Main thread.
	const struct op_learn *op;
	struct bridge *bridge;
	uint32_t n_entries;
};

// A flow that the rule made or found.
struct learn_entry {
	struct learn_entry *next; // of the bucket; published
	uint64_t match_hash;
	uint64_t action_hash;
	uint32_t touched; // set by workers: learned again

	// Main thread.
	struct learn_rule *rule;
	struct flow *flow;
	struct learn_entry *flow_next; // others of the same flow
};

// Flows that were learned into one table with one cookie: what limits count.
struct learn_group {
	uint32_t n_flows; // main thread writes
	uint32_t n_pending; // asked for and not yet decided
	const uint32_t *by_port; // learned flows of the bridge by ingress port: LEARN_PORTS

	// Main thread.
	struct learn_group *next;
	uint64_t cookie;
	uint32_t n_rules; // actions that learn into it
	uint32_t n_deleting; // those with delete_learned
	bool delete_now;
	uint8_t table_id;
	uint8_t idle_sweeps; // since when nothing refers to it
};

// Where limit= says nothing: flows of one group, of one ingress port on the whole bridge, and in a
// table to which another may be learned.
#define LEARN_DEFAULT_LIMIT 1000000
#define LEARN_PORT_LIMIT 500000
#define LEARN_TABLE_LIMIT 2000000
#define LEARN_PORTS 65536
#define LEARN_PORT_LOCAL 65535

struct learn_request {
	const struct op_learn *op; // valid while slot and generation are
	struct learn_group *group; // whose n_pending counts this; NULL: not installed
	uint64_t match_hash;
	uint64_t action_hash;
	uint32_t slot, generation;
	uint32_t in_port; // index below LEARN_PORTS
	uint32_t reserved;
	uint8_t values[LEARN_VALUES_SIZE]; // of the sources, in order, each in whole bytes
};

#define LEARN_RING_SIZE 2048
#define LEARN_RECENT 1024

struct learn_queue {
	struct rte_ring *ring; // of struct learn_request
	int fd; // eventfd that wakes the main thread; -1: none
	uint32_t told; // it is awake and looks every millisecond until nothing comes
	uint64_t n_lost; // for lack of room in the ring
	struct {
		uint64_t hash;
		uint64_t tsc;
	} recent[LEARN_RECENT];
};

struct learn_queue *learn_queue_create(void);
void learn_queue_destroy(struct learn_queue *queue);

// The flow that `values` make of `op`: everything of *text but flags that only users set. Returns 0
// or -ENOMEM; then nothing needs freeing.
int learn_make_flow(const struct op_learn *op, const uint8_t *values, struct flow_text *text);

// The same in words, for trace.
void learn_describe(const struct op_learn *op, const uint8_t *values, const struct tun_map *tun_map,
		    struct text *text);

static inline uint32_t learn_limit(const struct op_learn *op)
{
	return op->limit ? op->limit : LEARN_DEFAULT_LIMIT;
}

// May one more flow be learned while there are `n`?
static inline bool learn_has_room(const struct op_learn *op, const struct learn_group *group,
				  uint32_t n, uint32_t in_port)
{
	if (n >= learn_limit(op))
		return false;
	return op->limit || rcu_read(&group->by_port[in_port]) < LEARN_PORT_LIMIT;
}

#endif
