#include "datapath/forward.h"

#include "common/rcu.h"
#include "datapath/storm.h"
#include "datapath/write_back.h"
#include "l2/mac_table_fast.h"

#include <stdio.h>
#include <string.h>

#define TPID_VLAN RTE_BE16(0x8100)
#define PRESENT RTE_BE16(KEY_VLAN_PRESENT)
#define VID_MASK RTE_BE16(0x0fff)
#define PCP_MASK RTE_BE16(0xe000)

// One packet on its way through the learning switch.
struct passage {
	const struct forwarding_port *in_port;
	uint16_t vlan;
	struct mac_query source, destination;
};

// --- VLANs ---

// May `port` carry this VLAN (0: untagged)?
static inline bool port_has_vlan(const struct forwarding_port *port, uint16_t vlan)
{
	return vlan_set_has(port->trunks, vlan);
}

static inline uint16_t vid_of(rte_be16_t tci)
{
	return rte_be_to_cpu_16(tci & VID_MASK);
}

// The VLAN that a tagged packet is in; VLAN_NONE if the port does not admit it. A priority tag is
// no VLAN.
static uint16_t tagged_vlan(const struct forwarding_port *port, const struct key_core *core)
{
	const uint16_t vid = vid_of(core->vlan_tci0);
	uint16_t vlan;

	switch (port->vlan_mode) {
	case VLAN_ACCESS:
		return vid ? VLAN_NONE : (uint16_t)port->vlan_tag;
	case VLAN_TUNNEL:
		return vlan_set_has(port->cvlans, vid) ? (uint16_t)port->vlan_tag : VLAN_NONE;
	default:
		vlan = vid ? vid : port->untagged_vlan;
		return port_has_vlan(port, vlan) ? vlan : VLAN_NONE;
	}
}

// The VLAN that a received packet is in; false if the port does not admit it.
static inline bool packet_vlan(const struct forwarding_port *port, const struct key_core *core,
			       uint16_t *vlan)
{
	if (likely(!core->vlan_tci0)) {
		*vlan = port->untagged_vlan;
		return !port->refuses_untagged;
	}
	*vlan = tagged_vlan(port, core);
	return *vlan != VLAN_NONE;
}

// The VLAN behind the tag of the packet's own VLAN: a customer's, where that is a service.
static uint16_t customer_vlan(const struct passage *passage, const struct key_core *core)
{
	return vid_of(passage->in_port->vlan_mode == VLAN_TUNNEL ? core->vlan_tci0
								 : core->vlan_tci1);
}

// May the packet leave through this port?
static inline bool port_takes(const struct forwarding_port *port, const struct passage *passage,
			      const struct key_core *core)
{
	return port_has_vlan(port, passage->vlan) &&
	       (likely(port->vlan_mode != VLAN_TUNNEL) ||
		vlan_set_has(port->cvlans, customer_vlan(passage, core)));
}

// How a port wants a packet's tags.
struct vlan_form {
	bool has_own; // the outer tag is the VLAN's; if not, all tags are a customer's
	bool wants_tag;
	uint8_t n_pop; // tags that the port must not see
	rte_be16_t tci; // of the tag, if it is wanted
	rte_be16_t type;
};

static bool wants_priority_tag(const struct forwarding_port *port, rte_be16_t priority)
{
	return port->priority_tags == PRIORITY_TAGS_ALWAYS ||
	       (port->priority_tags == PRIORITY_TAGS_IF_NONZERO && priority);
}

// Does the port send this VLAN's frames without its tag?
static bool port_hides_vlan(const struct forwarding_port *port, uint16_t vlan)
{
	return port->vlan_mode == VLAN_ACCESS || port->vlan_mode == VLAN_TUNNEL ||
	       (port->vlan_mode == VLAN_NATIVE_UNTAGGED && port->vlan_tag == vlan);
}

static void vlan_form_get(const struct key_core *core, const struct passage *passage,
			  const struct forwarding_port *port, struct vlan_form *form)
{
	const bool from_tunnel = passage->in_port->vlan_mode == VLAN_TUNNEL;
	const rte_be16_t vid =
		port_hides_vlan(port, passage->vlan) ? 0 : rte_cpu_to_be_16(passage->vlan);
	const rte_be16_t customer = from_tunnel ? core->vlan_tci0 : core->vlan_tci1;
	rte_be16_t priority;

	form->has_own = core->vlan_tci0 && !from_tunnel;
	form->n_pop = form->has_own;
	if (port->vlan_mode == VLAN_ACCESS) // where frames have no tag at all
		form->n_pop = (uint8_t)(!!core->vlan_tci0 + !!core->vlan_tci1);
	form->type = from_tunnel ? passage->in_port->service_type : TPID_VLAN;
	priority = form->has_own ? core->vlan_tci0 & PCP_MASK : 0;
	form->tci = vid | priority;
	// A customer's tag that a tunnel shows has a priority of its own.
	form->wants_tag = vid || (wants_priority_tag(port, priority) &&
				  !(port->vlan_mode == VLAN_TUNNEL && customer));
}

// Is the packet as the port wants it?
static bool vlan_form_fits(const struct key_core *core, const struct vlan_form *form)
{
	if (!form->wants_tag)
		return !form->n_pop;
	return form->has_own && form->n_pop == 1 && !((core->vlan_tci0 ^ form->tci) & VID_MASK);
}

// --- Addresses ---

// IEEE 802.1Q table 8-1: addresses that a bridge does not forward.
static bool is_reserved_address(const uint8_t mac[6])
{
	static const uint8_t reserved[5] = { 0x01, 0x80, 0xc2, 0x00, 0x00 };

	return unlikely(mac[0] & 1) && !memcmp(mac, reserved, sizeof(reserved)) && mac[5] <= 0x0f;
}

static bool is_multicast(const uint8_t mac[6])
{
	return mac[0] & 1;
}

static void learn(struct forward *forward, const struct key_core *core,
		  const struct passage *passage, struct mac_table *table)
{
	struct worker *worker = forward->worker;
	struct worker_event event = {
		.forwarding = forward->forwarding->index,
		.vlan = passage->vlan,
		.ofport = passage->in_port->ofport,
	};

	if (is_multicast(core->eth_src) || forward->trace)
		return;
	if (likely(mac_table_answer_refresh(table, &passage->source, event.ofport)))
		return;
	memcpy(event.mac, core->eth_src, sizeof(event.mac));
	if (rte_ring_sp_enqueue_elem(worker->events, &event, sizeof(event)) != 0)
		worker->n_events_lost++;
}

// Send a copy with the VLAN's tag as the port wants it.
static void send_changed(struct forward *forward, unsigned int packet, struct forwarding_port *port,
			 struct vlan_form *form)
{
	struct rte_mbuf *copy;

	if (!output_commit(forward, packet))
		return;
	copy = packet_copy(forward->vector->packets[packet]);
	if (!copy) {
		output_drop(forward, packet, DROP_NO_MEMORY);
		return;
	}
	// Another tag of the VLAN has the type of the one before.
	if (form->has_own)
		memcpy(&form->type, rte_pktmbuf_mtod_offset(copy, const uint8_t *, 12),
		       sizeof(form->type));
	for (unsigned int i = 0; i < form->n_pop; i++)
		packet_pop_vlan(copy);
	if (form->wants_tag && !packet_push_vlan(copy, form->type, form->tci)) {
		rte_pktmbuf_free(copy);
		output_drop(forward, packet, DROP_NO_MEMORY);
		return;
	}
	output_copy(forward, packet, port, copy);
}

// True: the packet is in the form that the port wants. If not, a copy that is has been sent.
static bool is_plain(struct forward *forward, unsigned int packet, const struct passage *passage,
		     struct forwarding_port *port)
{
	const struct key_core *core = vector_core(forward->vector, packet);
	struct vlan_form form;

	if (likely(!core->vlan_tci0 && port->plain_vlan == passage->vlan))
		return true;
	vlan_form_get(core, passage, port, &form);
	if (vlan_form_fits(core, &form))
		return true;
	send_changed(forward, packet, port, &form);
	return false;
}

static bool flood_includes(const struct passage *passage, const struct key_core *core,
			   const struct forwarding_port *port)
{
	return port->ofport != passage->in_port->ofport && !port->no_flood &&
	       port_takes(port, passage, core) &&
	       !(port->is_protected && passage->in_port->is_protected);
}

// More than the port that it came from may flood?
static bool is_storm(struct forward *forward, unsigned int packet, const struct passage *passage)
{
	static const char *const kinds[N_STORM_KINDS] = { "broadcast", "multicast",
							  "unknown unicast" };
	const struct key_core *core = vector_core(forward->vector, packet);
	const enum storm_kind kind = storm_kind_of(core->eth_dst);

	if (storm_admits(passage->in_port->storm, kind, forward->vector->packets[packet],
			 forward->trace != NULL))
		return false;
	if (unlikely(forward->trace))
		forward->trace->note(forward->trace->context, 0,
				     "NORMAL: more %s than the port may send now: drop",
				     kinds[kind]);
	output_drop(forward, packet, DROP_STORM);
	return true;
}

static void flood(struct forward *forward, unsigned int packet, const struct passage *passage)
{
	const struct forwarding_flood *ports = rcu_read(&forward->forwarding->flood);
	bool sent = false;

	if (unlikely(passage->in_port->storm) && is_storm(forward, packet, passage))
		return;
	for (uint32_t i = 0; ports && i < ports->n; i++) {
		struct forwarding_port *port = ports->ports[i];

		if (!flood_includes(passage, vector_core(forward->vector, packet), port))
			continue;
		if (is_plain(forward, packet, passage, port))
			output_port(forward, packet, port);
		sent = true;
	}
	if (!sent)
		output_drop(forward, packet, DROP_NORMAL_NO_PORTS);
}

// What decides about a traced packet; `ofport` is what the MAC table knows.
static void tell(struct forward *forward, const struct key_core *core, uint16_t vlan,
		 const struct forwarding_port *port, uint32_t ofport)
{
	const struct trace *trace = forward->trace;
	const uint8_t *mac = core->eth_dst;
	char address[18];

	snprintf(address, sizeof(address), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
		 mac[3], mac[4], mac[5]);
	if (is_multicast(mac))
		trace->note(trace->context, 0, "NORMAL: VLAN %u, %s is multicast: flood", vlan,
			    address);
	else if (ofport == MAC_TABLE_NONE)
		trace->note(trace->context, 0,
			    "NORMAL: VLAN %u, the MAC table does not know %s: flood", vlan,
			    address);
	else if (!port || !port_has_vlan(port, vlan))
		trace->note(trace->context, 0,
			    "NORMAL: the MAC table says that %s is at port %u, which %s VLAN %u: "
			    "flood",
			    address, ofport, port ? "is not in" : "is gone; it was in", vlan);
	else
		trace->note(trace->context, 0,
			    "NORMAL: VLAN %u, the MAC table says that %s is at port %u (%s)", vlan,
			    address, ofport, port->vport->name);
}

// A packet that somebody made comes from no port: from all VLANs, and nothing is learned from it.
static const struct forwarding_port no_port = {
	.ofport = OFPP_ANY, .admin_up = true, .vlan_tag = -1, .trunks = { [0 ... 63] = UINT64_MAX }
};

static const struct forwarding_port *port_from(const struct forward *forward, uint32_t number)
{
	const struct forwarding_port *port;

	if (likely(number == forward->in_port->ofport && !forward->worker->packet_out))
		return forward->in_port;
	port = forwarding_port(forward->forwarding, number);
	if (likely(port) || !forward->worker->packet_out)
		return port;
	return number == OFPP_CONTROLLER || number == OFPP_ANY ? &no_port : NULL;
}

// May the packet pass at all? Then ask for its addresses.
static bool admit(struct forward *forward, unsigned int packet, const struct mac_table *table,
		  struct passage *passage)
{
	const struct key_core *core = vector_core(forward->vector, packet);
	enum drop_reason reason;

	passage->in_port = port_from(forward, rte_be_to_cpu_32(core->in_port));
	if (unlikely(forward->vector->bare >> packet & 1))
		reason = DROP_PACKET_TYPE;
	else if (unlikely(!passage->in_port)) // a resubmit named one that does not exist
		reason = DROP_NO_PORT;
	else if (unlikely(!packet_vlan(passage->in_port, core, &passage->vlan)))
		reason = DROP_NORMAL_VLAN;
	else if (unlikely(is_reserved_address(core->eth_dst) && !forward->forwarding->forward_bpdu))
		reason = DROP_NORMAL_RESERVED;
	else {
		mac_table_ask(table, passage->vlan, core->eth_src, &passage->source);
		mac_table_ask(table, passage->vlan, core->eth_dst, &passage->destination);
		return true;
	}
	output_drop(forward, packet, reason);
	return false;
}

// Vectors whose packets nearly all go to a few ports.
struct last_port {
	uint32_t ofport;
	struct forwarding_port *port;
};

static struct forwarding_port *port_at(struct forward *forward, uint32_t ofport,
				       struct last_port *last)
{
	if (likely(ofport == last->ofport))
		return last->port;
	last->ofport = ofport;
	last->port = ofport == MAC_TABLE_NONE ? NULL : forwarding_port(forward->forwarding, ofport);
	return last->port;
}

static bool is_flood_vlan(const struct forward *forward, uint16_t vlan)
{
	const struct vlan_set *set = rcu_read(&forward->forwarding->flood_vlans);

	return unlikely(set) && vlan_set_has(set->words, vlan);
}

// True: the packet goes to one port, as it is.
static bool pass(struct forward *forward, unsigned int packet, struct mac_table *table,
		 const struct passage *passage, struct last_port *last)
{
	const struct key_core *core = vector_core(forward->vector, packet);
	const struct forwarding_port *in_port = passage->in_port;
	const uint16_t vlan = passage->vlan;
	const bool learns = !is_flood_vlan(forward, vlan);
	struct forwarding_port *port;
	uint32_t ofport;

	if (likely(in_port != &no_port && learns))
		learn(forward, core, passage, table);
	if (is_multicast(core->eth_dst)) {
		if (unlikely(forward->trace))
			tell(forward, core, vlan, NULL, MAC_TABLE_NONE);
		flood(forward, packet, passage);
		return false;
	}
	ofport = likely(learns) ? mac_table_answer(table, &passage->destination) : MAC_TABLE_NONE;
	port = port_at(forward, ofport, last);
	if (unlikely(forward->trace))
		tell(forward, core, vlan, port, ofport);
	if (!port || !port_takes(port, passage, core))
		flood(forward, packet, passage);
	else if (port->ofport == in_port->ofport)
		output_drop(forward, packet, DROP_NORMAL_SAME_PORT);
	else if (unlikely(port->is_protected & in_port->is_protected))
		output_drop(forward, packet, DROP_NORMAL_PROTECTED);
	else
		return is_plain(forward, packet, passage, port);
	return false;
}

void normal_run(struct forward *forward, uint64_t packets)
{
	struct mac_table *table = rcu_read(&forward->forwarding->mac_table);
	struct last_port last = { MAC_TABLE_NONE, NULL };
	struct passage passages[VECTOR_SIZE];
	uint32_t ports[VECTOR_SIZE];
	uint64_t passing = 0, outputs = 0;

	PROFILE_ENTER(forward->worker, NORMAL);
	for_each_packet(i,
			packets) if (likely(admit(forward, (unsigned int)i, table, &passages[i])))
		passing |= 1ULL << i;
	for_each_packet(i, passing)
	{
		if (unlikely(!pass(forward, (unsigned int)i, table, &passages[i], &last)))
			continue;
		ports[i] = last.ofport;
		outputs |= 1ULL << i;
	}
	output_each_to(forward, outputs, ports);
	PROFILE_LEAVE(forward->worker, NORMAL);
}
