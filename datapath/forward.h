// The way of a vector, step by step. Hot; each function is called by the one before it.
#ifndef DATAPATH_FORWARD_H
#define DATAPATH_FORWARD_H

#include "datapath/worker.h"
#include "flowtable/program.h"

// Everything about one vector under way that the steps share.
struct forward {
	struct worker *worker;
	const struct forwarding *forwarding;
	struct forwarding_port *in_port; // where all packets of the vector came from
	struct vector *vector;
	enum flow_view view; // which flows and groups the packets see
	unsigned int
		n_backward; // groups and resubmits that do not go forward, around what runs now
	unsigned int hops; // patch ports that the packets have passed
	uint64_t finished; // packets that no further action may touch (dropped on the way)
	uint64_t exhausted; // of these, packets whose budget is used up: also behind a bucket
	uint64_t exited; // their lists of actions are over (exit), their action set is not
	uint64_t metered; // finished by a meter: a clone, but not what comes behind it
	uint64_t stopped; // the list of actions under way is over for them, outer ones go on
	uint32_t n_lookups; // of the whole vector
	bool may_output_table; // a packet-out's own actions run
	struct trace *trace;
	const struct mirror_table *mirrors; // NULL: none
	const struct cache_key
		*cache_key; // as found at the beginning; NULL: the cache is not asked
	uint64_t generation; // the same
	uint64_t recorded; // packets whose lookups are noted (cache.h)
	uint64_t choosing; // packets for which the choice of a bucket is noted
};

// Entry points (datapath/hot.h).
void forward_burst(struct worker *worker, struct forwarding *forwarding,
		   struct forwarding_port *port, struct rte_mbuf **packets, uint16_t n);
bool forward_parse_key(struct rte_mbuf *packet, uint32_t in_port, struct key *key);

// pipeline.c: run `packets` through tables, from `table_id` on.
void pipeline_run(struct forward *forward, uint8_t table_id, uint64_t packets, unsigned int depth);
// The same, but the first lookup, and nothing else, sees another in_port, or the 5-tuple of the
// connection's original direction in place of the packet's.
struct pipeline_from {
	uint32_t in_port; // OFPP_IN_PORT: the packet's own
	bool with_ct;
};
void pipeline_run_from(struct forward *forward, uint8_t table_id, uint64_t packets,
		       unsigned int depth, struct pipeline_from from);

// Count a lookup, or the execution of a bucket, for each packet. Returns those that may go on.
uint64_t pipeline_charge(struct forward *forward, uint64_t packets);

// Tables that packets go to next, merged by table.
struct pipeline_next {
	unsigned int n;
	struct {
		uint8_t table_id;
		uint64_t packets;
	} entries[VECTOR_SIZE];
};
void pipeline_next_add(struct pipeline_next *next, uint8_t table_id, uint64_t packets);

// actions.c: run a flow's program for `packets`. Where the program ends in a jump, the packets
// are added to `next`.
void actions_run(struct forward *forward, const struct program *program, uint8_t table_id,
		 uint64_t packets, unsigned int depth, struct pipeline_next *next);
// actions_set.c: carry out what write_actions left behind for each packet.
void actions_run_sets(struct forward *forward, uint64_t packets, unsigned int depth);

// Run the ops of a bucket as an action set of its own. What ends its lists of actions ends nothing
// else.
void actions_run_bucket(struct forward *forward, const struct program *program, uint8_t table_id,
			uint64_t packets, unsigned int depth);

// group_run.c: send packets through a group. `last`: nothing will be done with them afterwards.
void group_run(struct forward *forward, uint32_t group_id, uint8_t table_id, uint64_t packets,
	       unsigned int depth, bool last);

// output.c: send to a port now, in order, and count what is sent and what is dropped. At most
// VECTOR_SIZE.
void output_transmit(struct worker *worker, struct vport *vport, struct rte_mbuf **packets,
		     uint16_t n);

// output.c: decide that a packet, as it is now, leaves through a port.
void output_to(struct forward *forward, unsigned int packet, uint32_t ofport, uint32_t max_len);
// The same for several packets.
void output_all_to(struct forward *forward, uint64_t packets, uint32_t ofport, uint32_t max_len);
// The same, each through a port of its own, none of them reserved.
void output_each_to(struct forward *forward, uint64_t packets, const uint32_t ofports[VECTOR_SIZE]);
// One instance of a packet ends here for `reason`.
void output_drop(struct forward *forward, unsigned int packet, enum drop_reason reason);
void output_port(struct forward *forward, unsigned int packet, struct forwarding_port *port);
// Make a packet's bytes safe to change: earlier outputs get what they were promised. False if
// there is no memory for it; the packet is finished then.
bool output_make_own(struct forward *forward, unsigned int packet);
static inline bool output_make_writable(struct forward *forward, unsigned int packet)
{
	const struct rte_mbuf *mbuf = forward->vector->packets[packet];

	if (likely(!forward->vector->pending[packet] && mbuf->nb_segs == 1 &&
		   rte_mbuf_refcnt_read(mbuf) == 1))
		return true;
	return output_make_own(forward, packet);
}
// All packets of the vector are done: send or drop each.
void output_finish(struct forward *forward, uint64_t packets);
// Send an altered copy of a packet, made by the caller, to one port; takes `copy`.
void output_copy(struct forward *forward, unsigned int packet, struct forwarding_port *port,
		 struct rte_mbuf *copy);
// Send a mirror's copy, made by the caller, if the port can send it; takes `copy`.
void output_mirror(struct forward *forward, struct forwarding_port *port, struct rte_mbuf *copy);
// Shorten a packet that is ours alone.
void output_cut(struct rte_mbuf *packet, uint32_t max_len);
// Bring the packet's bytes up to date with its key. False as for output_make_writable().
bool output_commit(struct forward *forward, unsigned int packet);
// Carry out the output decided before, while the packet itself goes on.
void output_pending(struct forward *forward, unsigned int packet);
// Send what is queued for all ports.
void output_flush(struct worker *worker);

// actions_sample.c: count some of the packets.
void actions_sample(struct forward *forward, const struct op_sample *op, uint64_t packets,
		    unsigned int depth);

// learn_run.c: ask for the flows that the packets teach; returns those that a limit refuses.
uint64_t learn_run(struct forward *forward, const struct op_learn *op, uint64_t packets,
		   unsigned int depth);
// Note a FIN or RST among the packets.
void fin_timeout_run(struct forward *forward, const struct op_fin_timeout *op, uint64_t packets);

// normal.c: the learning switch.
void normal_run(struct forward *forward, uint64_t packets);

static inline void forward_finish(struct forward *forward, unsigned int packet)
{
	forward->finished |= 1ULL << packet;
}

#endif
