// A bridge twice: once as the switch runs it, once as the reference does, with the same flows, and
// ports that write down what is sent. For tests of the whole way of a packet.
#ifndef TESTS_UNIT_RIG_H
#define TESTS_UNIT_RIG_H

#include "datapath/cache.h"
#include "datapath/hot.h"
#include "ofproto/trace.h"
#include "tests/unit/packets.h"

#define RIG_PORTS 7
#define RIG_BURST 64

struct rig;

// After test_eal_init(). Ports 1 to 3 are plain, 4 is administratively down, 5 is not flooded to
// and takes only frames up to RIG_SHORT bytes, 6 has no peer, and there is LOCAL.
#define RIG_SHORT 90
struct rig *rig_create(void);
void rig_destroy(struct rig *rig);

// With the tunnel options that rules know.
const struct port_names *rig_names(void);

// Add a flow, given as text, to both sides. Returns 0, -EEXIST if there is one with the same match
// and priority, -ENOSPC if the table has as many as the reference holds, or what the parser said.
int rig_add_flow(struct rig *rig, const char *text, struct error *error);
void rig_remove_flow(struct rig *rig, unsigned int table, unsigned int index);
unsigned int rig_n_flows(const struct rig *rig, unsigned int table);
void rig_clear(struct rig *rig);

// Set the groups, given as text, of both sides; not of type select. Groups are there until the next
// call. Returns 0 or what the parser said.
int rig_set_groups(struct rig *rig, const char *const *groups, unsigned int n, struct error *error);

// All flows and groups as text, one a line, in a static buffer.
const char *rig_flows(const struct rig *rig);

// Should the parser fill all key lines, or only those that flows and actions use? (Default.)
void rig_set_all_lines(struct rig *rig, bool all);

// Send a burst into a port, through the hot code of every level and through the reference, and
// compare everything: frames per port, drops by reason, conservation, buffers given back. Returns
// NULL if all agree, else what differs (a static buffer). What a packet teaches is compared for
// bursts of one, and is in both sides' tables when the call returns.
const char *rig_send(struct rig *rig, uint32_t in_port, const struct ref_packet *packets,
		     unsigned int n, struct random *random);

// Trace a packet that comes in at a port; takes it. The JSON is the caller's.
json_t *rig_trace(struct rig *rig, uint32_t in_port, struct rte_mbuf *packet);

// Trace a packet and compare all that is said of where it goes with the reference: frames by port,
// drops by port and reason, the budget, and the steps with the end. As rig_send(); the reference
// counts what it does, the trace does not.
const char *rig_compare_trace(struct rig *rig, uint32_t in_port, const struct ref_packet *packet);

// Compare the flows' counters. As rig_send().
const char *rig_check_counters(struct rig *rig);

// What happened so far, for tests that want to know that they tested something.
struct rig_stats {
	uint64_t n_packets;
	uint64_t n_outputs;
	uint64_t n_changed; // outputs that differ from their packet
	uint64_t n_lookups;
	uint64_t n_conjunctions;
	uint64_t n_skipped; // packets not compared, as the reference could not hold all outputs
	uint64_t n_learned, n_relearned; // flows
	uint64_t n_steps; // of traces
	uint64_t n_drops[N_DROPS];
};
struct rig_stats rig_stats(const struct rig *rig);
// What the traversal cache did.
const struct cache_stats *rig_cache_stats(const struct rig *rig);

#endif
