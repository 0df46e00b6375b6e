// Ways to flows of a bridge other than their matches: by cookie, and by the port they output to.
//
// Deleting by cookie or out_port would else look at every flow. Flows with cookie 0 are not in the
// cookie index. A flow that outputs to one port is in that port's list; those that output to
// several, or to ports that only the packet tells, share one more list. Main thread.
#ifndef OFPROTO_FLOW_INDEX_H
#define OFPROTO_FLOW_INDEX_H

#include "flowtable/flow.h"

struct flow_port_list {
	uint32_t port; // OFPP_UNSET: the list of flows with several
	uint32_t n;
	uint32_t size;
	struct flow **flows;
	struct flow_port_list *next;
};

// Lists of ports with the same low bits hang together.
#define FLOW_INDEX_PORT_CHAINS 256

struct flow_index {
	struct flow **cookies; // chains of cookie_next
	uint32_t n_cookie_chains; // a power of two, or 0
	uint32_t n_cookies;
	struct flow_port_list *ports[FLOW_INDEX_PORT_CHAINS]; // as many as ports are sent to
	uint32_t *meters; // how many flows use each; NULL while none does
};

// A flow came, or goes, or is about to get another cookie or program. 0 or -ENOMEM.
int flow_index_add(struct flow_index *index, struct flow *flow);
void flow_index_remove(struct flow_index *index, struct flow *flow);
void flow_index_free(struct flow_index *index);

// How many flows use the meter; METER_ID_ALL: any.
uint32_t flow_index_count_meter(const struct flow_index *index, uint32_t id);

// Call visit() for flows among which all with this cookie are; it returns 0 to go on.
int flow_index_each_cookie(const struct flow_index *index, uint64_t cookie,
			   int (*visit)(void *context, struct flow *flow), void *context);
// The same for all flows that output to this port.
int flow_index_each_port(const struct flow_index *index, uint32_t port,
			 int (*visit)(void *context, struct flow *flow), void *context);

#endif
