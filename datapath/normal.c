#include "datapath/forward.h"

#include "common/rcu.h"
#include "datapath/write_back.h"
#include "l2/mac_table_fast.h"

#include <stdio.h>
#include <string.h>

#define TPID_VLAN RTE_BE16(0x8100)
#define PRESENT RTE_BE16(KEY_VLAN_PRESENT)

// May `port` carry this VLAN (0: untagged)?
static bool port_has_vlan(const struct forwarding_port *port, uint16_t vlan)
{
	if (port->vlan_tag >= 0)
		return port->vlan_tag == vlan;
	return port->trunks[vlan / 64] >> vlan % 64 & 1;
}

// The VLAN that a received packet is in; false if the port does not admit it.
static bool packet_vlan(const struct forwarding_port *port, const struct key_core *core,
			uint16_t *vlan)
{
	const uint16_t vid = rte_be_to_cpu_16(core->vlan_tci0) & 0xfff;

	if (port->vlan_tag >= 0) {
		*vlan = (uint16_t)port->vlan_tag;
		return vid == 0; // a priority tag is no VLAN
	}
	*vlan = vid;
	return port_has_vlan(port, vid);
}

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

// One packet on its way through the learning switch.
struct passage {
	const struct forwarding_port *in_port;
	uint16_t vlan;
	struct mac_query source, destination;
};

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

// Send in the form that the output port wants: with the VLAN's tag, or without.
static void send_in_vlan(struct forward *forward, unsigned int packet, struct forwarding_port *port,
			 uint16_t vlan)
{
	const struct key_core *core = vector_core(forward->vector, packet);
	const bool tagged = core->vlan_tci0 & PRESENT;
	const uint16_t vid = rte_be_to_cpu_16(core->vlan_tci0) & 0xfff;
	const bool want_tag = port->vlan_tag < 0 && vlan != 0;
	struct rte_mbuf *copy;

	if (tagged ? want_tag && vid == vlan : !want_tag) {
		output_port(forward, packet, port);
		return;
	}
	if (!output_commit(forward, packet))
		return;
	copy = packet_copy(forward->vector->packets[packet]);
	if (!copy) {
		output_drop(forward, packet, DROP_NO_MEMORY);
		return;
	}
	// A priority tag gives way to the VLAN's, with its priority.
	if (tagged)
		packet_pop_vlan(copy);
	if (want_tag &&
	    !packet_push_vlan(copy, TPID_VLAN,
			      rte_cpu_to_be_16(vlan) | (core->vlan_tci0 & RTE_BE16(0xe000)))) {
		rte_pktmbuf_free(copy);
		output_drop(forward, packet, DROP_NO_MEMORY);
		return;
	}
	output_copy(forward, packet, port, copy);
}

static void flood(struct forward *forward, unsigned int packet,
		  const struct forwarding_port *in_port, uint16_t vlan)
{
	const struct forwarding_flood *ports = rcu_read(&forward->forwarding->flood);
	bool sent = false;

	for (uint32_t i = 0; ports && i < ports->n; i++) {
		struct forwarding_port *port = ports->ports[i];

		if (port->ofport == in_port->ofport || port->no_flood || !port_has_vlan(port, vlan))
			continue;
		send_in_vlan(forward, packet, port, vlan);
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
	else if (unlikely(is_reserved_address(core->eth_dst)))
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

// True: the packet goes to one port, as it is.
static bool pass(struct forward *forward, unsigned int packet, struct mac_table *table,
		 const struct passage *passage, struct last_port *last)
{
	const struct key_core *core = vector_core(forward->vector, packet);
	const struct forwarding_port *in_port = passage->in_port;
	const uint16_t vlan = passage->vlan;
	struct forwarding_port *port;
	uint32_t ofport;

	if (likely(in_port != &no_port))
		learn(forward, core, passage, table);
	if (is_multicast(core->eth_dst)) {
		if (unlikely(forward->trace))
			tell(forward, core, vlan, NULL, MAC_TABLE_NONE);
		flood(forward, packet, in_port, vlan);
		return false;
	}
	ofport = mac_table_answer(table, &passage->destination);
	port = port_at(forward, ofport, last);
	if (unlikely(forward->trace))
		tell(forward, core, vlan, port, ofport);
	if (!port || !port_has_vlan(port, vlan))
		flood(forward, packet, in_port, vlan);
	else if (port->ofport == in_port->ofport)
		output_drop(forward, packet, DROP_NORMAL_SAME_PORT);
	else if (likely(!(vlan | core->vlan_tci0)))
		return true;
	else
		send_in_vlan(forward, packet, port, vlan);
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
