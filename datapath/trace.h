// What a traced packet tells on its way: hot code calls these where worker->trace is set.
//
// A vector that is traced holds one packet. Every op calls begin and end with the packet's key
// before and after it, so that a new op needs nothing of its own; one that has something special
// to say about a decision says it by note() in between. Lookups, ops, buckets and action sets come
// in the order in which they happen, which is that of a tree walked in depth. Main thread.
#ifndef DATAPATH_TRACE_H
#define DATAPATH_TRACE_H

#include "datapath/drop.h"
#include "flowtable/key.h"

#include <stdbool.h>
#include <stdint.h>

struct flow;
struct forwarding;
struct forwarding_port;
struct group;
struct op;
struct rte_mbuf;

// Steps that belong together without being an op's own.
enum trace_scope {
	TRACE_BUCKET, // number: the bucket's id
	TRACE_ACTION_SET,
};

// How a group chose. A bucket is GROUP_NO_BUCKET where there is none.
struct trace_choice {
	bool hashed; // a select group: the next three say why
	uint64_t hash;
	unsigned int slot;
	unsigned int owner; // index of the bucket that the slot belongs to
	unsigned int bucket; // index of the one that is taken; type all: GROUP_NO_BUCKET
};

#define TRACE_STACK_SHOWN 16
#define TRACE_STACK_BYTES 16

struct trace {
	void *context;
	// Registers and other metadata that the packet starts with; NULL: all zero.
	const struct key *metadata;

	// A packet starts on its way through a bridge, and is at its end after so many lookups.
	void (*receive)(void *context, const struct forwarding *forwarding,
			const struct forwarding_port *port, unsigned int hops,
			const struct rte_mbuf *packet, const struct key *key);
	void (*finish)(void *context, unsigned int n_lookups);
	void (*lookup)(void *context, const struct forwarding *forwarding, uint8_t table_id,
		       const struct flow *flow, unsigned int depth, const struct key *key);
	void (*op_begin)(void *context, const struct op *op, const struct key *key);
	void (*op_end)(void *context, const struct op *op, const struct key *key);
	void (*scope_begin)(void *context, enum trace_scope scope, uint32_t number);
	void (*scope_end)(void *context);
	void (*note)(void *context, unsigned int depth, const char *format, ...)
		__attribute__((format(printf, 3, 4)));
	void (*group)(void *context, const struct group *group, const struct trace_choice *choice);
	// The stack behind a push or pop: `n` values, at most TRACE_STACK_SHOWN of them given, the
	// topmost first, right-aligned.
	void (*stack)(void *context, unsigned int n, const uint8_t (*values)[TRACE_STACK_BYTES]);
	// It is decided that the packet, so long now, goes to `port`.
	void (*decide)(void *context, const struct forwarding_port *port, uint32_t length);
	// A packet would leave through `port`, or end for `reason`. The callee does not own it.
	void (*output)(void *context, const struct forwarding_port *port, struct rte_mbuf *packet);
	void (*drop)(void *context, const struct forwarding_port *port, enum drop_reason reason);
};

#endif
