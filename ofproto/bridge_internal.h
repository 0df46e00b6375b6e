// What the files of ofproto/ share about bridges. Main thread.
#ifndef OFPROTO_BRIDGE_INTERNAL_H
#define OFPROTO_BRIDGE_INTERNAL_H

#include "ofproto/bridge.h"
#include "ofproto/flow_index.h"
#include "ofproto/sample.h"
#include "ofproto/table_config.h"

struct bridge_port {
	struct bridge_port *next; // by rising number; LOCAL is the highest
	struct bridge *bridge;
	struct vport *vport;
	struct forwarding_port *forwarding_port; // as published
	struct bridge_vlan vlan;
	uint32_t ofport;
	uint16_t config; // PORT_*
	uint16_t distributed_rxq; // receive queues when work was last distributed
};

// A flow with a timeout.
struct flow_timer {
	struct flow *flow;
	uint64_t used_ns; // when the counter was last seen to have moved
	uint64_t used_packets; // what the counter was then
	struct eviction_entry *eviction; // in a table that evicts
};

// What is known of a table besides its flows.
struct table_state {
	struct table_config config;
	struct eviction *eviction; // NULL unless it evicts
	uint64_t n_evicted, n_refused;
};

struct bridge {
	uint64_t bits[KEY_WORDS]; // of the key that flows look at or copy; never fewer
	bool has_new_bits; // not in the cache's key yet
	struct bridge *next; // by name
	char name[VPORT_NAME_SIZE];
	uint64_t datapath_id;
	struct forwarding *forwarding;
	struct port_names port_names;
	struct port_names port_numbers;
	struct tun_map *tun_map;
	struct bridge_port *ports;
	uint32_t mac_table_size;
	unsigned int mac_aging_s;
	// Flows with an idle or hard timeout, in no order; flow->timer_slot is the index here.
	struct flow_timer *timers;
	uint32_t n_timers;
	uint32_t timers_size;
	struct flow_index index; // of the flows in all tables
	struct table_state *tables[N_TABLES]; // table_config.c; NULL: as made
	// While a list of changes is made that workers see all at once (bundle.c); else NULL.
	struct bundle *bundle;
	struct group_stage *staged_groups; // as they will be; NULL: as they are
	struct meter_stage *staged_meters; // the same
	struct learn_bridge *learn; // learn_rule.c; NULL until there is a learn action
};

// bridge.c
void bridge_refresh_datapath_id(struct bridge *bridge);

// port.c: take a port away, whatever its name.
void bridge_remove_port(struct bridge_port *port);

// flow_mod.c: have workers fill these lines of the key, from now on and for good.
void bridge_make_lines_live(struct bridge *bridge, uint16_t lines);

// timeout.c
int timeout_add(struct bridge *bridge, struct flow *flow);
// The flow has another program, which may have a fin_timeout.
int timeout_change(struct bridge *bridge, struct flow *flow);
void timeout_remove(struct bridge *bridge, struct flow *flow);
// The flow has been in use as `old` was.
void timeout_take_over(struct bridge *bridge, const struct flow *flow, const struct flow *old);
// The flow's counts start anew.
void timeout_counts_reset(struct bridge *bridge, const struct flow *flow);
// In a table that evicts, a flow that may expire may be evicted. 0 or -ENOMEM.
int timeout_offer(struct bridge *bridge, struct flow_timer *timer);
// It must not be evicted, until it is offered again.
void timeout_withdraw(struct bridge *bridge, struct flow *flow);
// Expire what is due; once a second.
void timeout_sweep(struct bridge *bridge, uint64_t now_ns);

#endif
