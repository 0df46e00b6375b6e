#include "tests/unit/l2_rig.h"

#include "common/error.h"
#include "common/text.h"
#include "datapath/datapath.h"
#include "ofproto/flow_mod.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint16_t keep(struct vport *vport, uint16_t queue, struct rte_mbuf **packets, uint16_t n)
{
	struct l2_port *port = (struct l2_port *)vport;

	(void)queue;
	for (unsigned int i = 0; i < n; i++) {
		if (port->n_sent < L2_MAX_SENT)
			test_packet_read(packets[i], &port->sent[port->n_sent]);
		port->n_sent++;
		rte_pktmbuf_free(packets[i]);
	}
	return n;
}

static const struct vport_class keeper = {
	.type = "keeper",
	.size = sizeof(struct l2_port),
	.tx = keep,
	.tx_thread_safe = true,
};

static void add_port(struct l2_rig *rig, unsigned int number)
{
	struct l2_port *port = &rig->ports[number];

	snprintf(port->vport.name, sizeof(port->vport.name), "p%u", number);
	port->vport.class = &keeper;
	port->vport.index = (uint16_t)number;
	port->vport.n_rxq = port->vport.n_txq = 1;
	port->vport.mtu = VPORT_DEFAULT_MTU;
	port->vport.polled = true;
	port->vport.forwarding = &rig->forwarding;
	port->vport.ofport = number;
	port->vport.status.link_up = true;
	port->port.vport = &port->vport;
	port->port.bridge = &rig->bridge;
	port->port.ofport = number;
	port->port.vlan.tag = -1;
	rig->chunk.ports[number] = &port->forwarding_port;
	l2_rig_refresh(rig, number);
}

void l2_rig_refresh(struct l2_rig *rig, unsigned int number)
{
	struct l2_port *port = &rig->ports[number];

	memset(&port->forwarding_port, 0, sizeof(port->forwarding_port));
	port->forwarding_port.vport = &port->vport;
	port->forwarding_port.ofport = number;
	port->forwarding_port.admin_up = true;
	port_l2_fill(&port->port, &port->forwarding_port);
}

static void add_flow(struct bridge *bridge)
{
	struct flow_mod mod = { .command = FLOW_ADD };
	struct error error = { 0 };

	if (flow_text_parse("actions=NORMAL", FLOW_TEXT_ADD, NULL, &mod.text, &error) < 0 ||
	    flow_mod_apply(bridge, &mod, 1, &error) < 0)
		fail_msg("%s", error.message);
	flow_text_release(&mod.text);
}

struct l2_rig *l2_rig_create(void)
{
	struct l2_rig *rig = aligned_alloc(64, RTE_ALIGN_CEIL(sizeof(*rig), 64));
	struct forwarding_flood *flood =
		malloc(sizeof(*flood) + L2_PORTS * sizeof(flood->ports[0]));

	assert_non_null(rig);
	assert_non_null(flood);
	memset(rig, 0, sizeof(*rig));
	rig->worker = worker_create(0);
	assert_non_null(rig->worker);
	strcpy(rig->bridge.name, "l2");
	rig->bridge.forwarding = &rig->forwarding;
	rig->forwarding.name = rig->bridge.name;
	rig->forwarding.ports[0] = &rig->chunk;
	rig->forwarding.lines = 1 << KEY_LINE_CORE;
	rig->forwarding.mac_table = mac_table_create(1024, 300);
	assert_non_null(rig->forwarding.mac_table);
	flood->n = L2_PORTS;
	for (unsigned int i = 1; i <= L2_PORTS; i++) {
		add_port(rig, i);
		flood->ports[i - 1] = &rig->ports[i].forwarding_port;
	}
	rig->forwarding.flood = flood;
	add_flow(&rig->bridge);
	return rig;
}

void l2_rig_destroy(struct l2_rig *rig)
{
	worker_destroy(rig->worker);
	for (unsigned int i = 1; i <= L2_PORTS; i++)
		port_l2_exit(&rig->ports[i].port);
	for (unsigned int t = 0; t < N_TABLES; t++)
		if (rig->forwarding.tables[t])
			table_destroy(rig->forwarding.tables[t]);
	flow_index_free(&rig->bridge.index);
	mac_table_destroy(rig->forwarding.mac_table);
	free(rig->forwarding.flood);
	free(rig->forwarding.cache_key);
	free(rig->bridge.timers);
	rcu_barrier();
	free(rig);
}

void l2_rig_send(struct l2_rig *rig, unsigned int number, const struct ref_packet *frame)
{
	struct rte_mbuf *packet = test_packet_create(frame);
	struct worker_event event;

	assert_non_null(packet);
	for (unsigned int i = 1; i <= L2_PORTS; i++)
		rig->ports[i].n_sent = 0;
	hot->forward(rig->worker, &rig->forwarding, &rig->ports[number].forwarding_port, &packet,
		     1);
	while (!rte_ring_sc_dequeue_elem(rig->worker->events, &event, sizeof(event)))
		mac_table_learn_limited(rig->forwarding.mac_table, event.vlan, event.mac,
					event.ofport, rig->ports[event.ofport].port.l2.mac_limit);
}

uint64_t l2_rig_drops(const struct l2_rig *rig, unsigned int port, enum drop_reason reason)
{
	return rig->worker->ports[port].rx_drops[reason];
}

// --- Frames ---

static unsigned int add_tags(uint8_t *at, const char *tags)
{
	unsigned int type, priority, number, n = 0;
	int used;

	for (; *tags; tags += used) {
		priority = 0;
		if (sscanf(tags, "%x/%u.%u %n", &type, &priority, &number, &used) != 3) {
			priority = 0;
			if (sscanf(tags, "%x/%u %n", &type, &number, &used) != 2)
				fail_msg("'%s' are no tags", tags);
		}
		ref_put16(at + n, type);
		ref_put16(at + n + 2, priority << 13 | number);
		n += 4;
	}
	return n;
}

void l2_frame(struct ref_packet *frame, const char *tags, const char *destination,
	      const char *source, unsigned int payload_type, const void *payload, unsigned int size)
{
	unsigned int at = 12;

	memset(frame, 0, sizeof(*frame));
	assert_int_equal(parse_mac(destination, frame->bytes), 0);
	assert_int_equal(parse_mac(source, frame->bytes + 6), 0);
	at += add_tags(frame->bytes + at, tags);
	ref_put16(frame->bytes + at, payload_type);
	memcpy(frame->bytes + at + 2, payload, size);
	frame->size = at + 2 + size;
}

const char *l2_tags(const struct ref_packet *frame)
{
	static char text[128];
	const uint8_t *at = frame->bytes + 12;
	size_t n = 0;

	text[0] = '\0';
	for (; ref_get16(at) == 0x8100 || ref_get16(at) == 0x88a8; at += 4) {
		const unsigned int tci = ref_get16(at + 2);

		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%x/", n ? " " : "",
				      ref_get16(at));
		if (tci >> 13)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%u.", tci >> 13);
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%u", tci & 0xfff);
	}
	return text;
}
