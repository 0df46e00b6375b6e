// Copies for mirrors. Hot, but only on bridges that have some.
#include "datapath/mirror.h"

#include "common/rcu.h"
#include "datapath/forward.h"
#include "datapath/write_back.h"
#include "vport/gso.h"

#include <string.h>

#define TPID_VLAN RTE_BE16(0x8100)
#define TPID_SERVICE RTE_BE16(0x88a8)

#define for_each_mirror(i, mask) for_each_packet(i, (uint64_t)(mask))

// --- Which ---

// The outer tag's TCI in host order, or -1 without a tag.
static int outer_tag(const struct rte_mbuf *packet)
{
	const uint8_t *bytes = rte_pktmbuf_mtod(packet, const uint8_t *);
	rte_be16_t type, tci;

	if (packet->data_len < 18)
		return -1;
	memcpy(&type, bytes + 12, sizeof(type));
	memcpy(&tci, bytes + 14, sizeof(tci));
	return type == TPID_VLAN || type == TPID_SERVICE ? rte_be_to_cpu_16(tci) : -1;
}

static uint16_t frame_vlan(const struct forwarding_port *port, const struct rte_mbuf *packet)
{
	const int tag = outer_tag(packet);

	if (port->vlan_mode == VLAN_ACCESS || port->vlan_mode == VLAN_TUNNEL)
		return (uint16_t)port->vlan_tag;
	return tag < 0 || !(tag & 0xfff) ? port->untagged_vlan : (uint16_t)(tag & 0xfff);
}

// Addresses that switches take as meant for themselves: a VLAN of copies would confuse them.
static bool is_protocol_address(const uint8_t mac[6])
{
	static const uint8_t prefixes[][5] = { { 0x01, 0x80, 0xc2, 0x00, 0x00 },
					       { 0x00, 0xe0, 0x2b, 0x00, 0x00 },
					       { 0x01, 0x00, 0x0c, 0x00, 0x00 },
					       { 0x01, 0x00, 0x0c, 0xcc, 0xcc },
					       { 0x01, 0x00, 0x0c, 0xcd, 0xcd } };
	const uint8_t last = mac[5];
	unsigned int i = 0;

	while (i < RTE_DIM(prefixes) && memcmp(mac, prefixes[i], sizeof(prefixes[i])) != 0)
		i++;
	switch (i) {
	case 0:
		return last <= 0x0f;
	case 1:
		return last == 0x00 || last == 0x04 || last == 0x06;
	case 2:
		return last == 0x00;
	case 3:
		return last == 0xcc || last == 0xcd || (last >= 0xc0 && last <= 0xc7);
	case 4:
		return last == 0xcd;
	default:
		return false;
	}
}

static bool filter_matches(const struct vector *vector, unsigned int packet,
			   const struct mirror *mirror)
{
	for (unsigned int i = 0; i < mirror->n_words; i++) {
		const struct mirror_word *word = &mirror->words[i];

		if ((vector->lines[word->line][packet][word->word] & word->mask) != word->value)
			return false;
	}
	return true;
}

static bool selects(const struct forward *forward, unsigned int packet, const struct mirror *mirror,
		    uint16_t vlan, const struct rte_mbuf *form)
{
	if (!mirror->any_vlan && !(mirror->vlans[vlan / 64] >> vlan % 64 & 1))
		return false;
	if (mirror->output_vlan &&
	    (mirror->output_vlan == vlan || forward->vector->bare >> packet & 1 ||
	     is_protocol_address(rte_pktmbuf_mtod(form, const uint8_t *))))
		return false;
	return filter_matches(forward->vector, packet, mirror);
}

static const struct mirror_port *find_port(const struct mirror_table *table, uint32_t ofport)
{
	uint32_t low = 0, high = table->n_ports;

	while (low < high) {
		const uint32_t middle = (low + high) / 2;

		if (table->ports[middle].ofport == ofport)
			return &table->ports[middle];
		if (table->ports[middle].ofport < ofport)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

// Of these mirrors, those that want the packet and have not got it yet: it counts as copied then.
static uint32_t take(struct forward *forward, unsigned int packet, uint32_t mirrors,
		     const struct forwarding_port *port, const struct rte_mbuf *form)
{
	uint32_t *done = &forward->worker->mirrored[packet], taken = 0;
	uint16_t vlan;

	mirrors &= ~*done;
	if (!mirrors)
		return 0;
	vlan = frame_vlan(port, form);
	for_each_mirror(i, mirrors)
	{
		const struct mirror *mirror = &forward->mirrors->mirrors[i];

		if (*done >> i & 1 || !selects(forward, packet, mirror, vlan, form))
			continue;
		taken |= 1u << i;
		*done |= mirror->same;
	}
	return taken;
}

// --- Copies ---

static void hand_over(struct forward *forward, struct forwarding_port *port, struct rte_mbuf *copy,
		      const struct rte_mbuf *form)
{
	if (likely(copy)) {
		output_mirror(forward, port, copy);
		return;
	}
	forward->worker->n_copies += packet_wire_count(form);
	worker_count_tx_drop(forward->worker, port->vport, DROP_NO_MEMORY, packet_wire_count(form));
}

static void deliver_cut(struct forward *forward, struct forwarding_port *port,
			const struct rte_mbuf *form, uint32_t snaplen)
{
	const bool large = packet_is_large(form);
	struct gso gso;

	if (large)
		gso_start(&gso, form);
	do {
		struct rte_mbuf *copy =
			large ? gso_next(&gso) : packet_copy((struct rte_mbuf *)(uintptr_t)form);

		if (unlikely(!copy)) {
			forward->worker->n_copies++;
			worker_count_tx_drop(forward->worker, port->vport, DROP_NO_MEMORY, 1);
			continue;
		}
		if (copy->ol_flags & PACKET_OFFLOADS)
			offload_complete(copy);
		output_cut(copy, snaplen);
		output_mirror(forward, port, copy);
	} while (large && gso_more(&gso));
}

static void deliver(struct forward *forward, struct forwarding_port *port,
		    const struct rte_mbuf *form, uint32_t snaplen)
{
	struct rte_mbuf *packet = (struct rte_mbuf *)(uintptr_t)form; // only its count is changed

	if (snaplen && snaplen < packet_wire_longest(form)) {
		deliver_cut(forward, port, form, snaplen);
		return;
	}
	if (port->vport->polled)
		rte_pktmbuf_refcnt_update(packet, 1);
	else // the bridge on the other side will change it
		packet = packet_copy(packet);
	hand_over(forward, port, packet, form);
}

// Does the port show the tag of this VLAN, of those that it carries?
static bool port_tags_vlan(const struct forwarding_port *port, uint16_t vlan)
{
	return port->vlan_mode == VLAN_TRUNK || port->vlan_mode == VLAN_NATIVE_TAGGED ||
	       (port->vlan_mode == VLAN_NATIVE_UNTAGGED && port->vlan_tag != vlan);
}

// The frame as a trunk port gets it, or as an access port does. NULL without memory.
static struct rte_mbuf *make_form(const struct rte_mbuf *form, uint16_t vlan, bool tagged)
{
	struct rte_mbuf *copy = packet_copy((struct rte_mbuf *)(uintptr_t)form);
	const int tag = outer_tag(form);
	const uint16_t priority = tag < 0 ? 0 : (uint16_t)(tag & 0xe000);

	if (!copy)
		return NULL;
	if (tag >= 0)
		packet_pop_vlan(copy);
	if (!tagged || packet_push_vlan(copy, TPID_VLAN, rte_cpu_to_be_16(priority | vlan)))
		return copy;
	rte_pktmbuf_free(copy);
	return NULL;
}

static void deliver_in_vlan(struct forward *forward, const struct mirror *mirror,
			    const struct rte_mbuf *form)
{
	const struct forwarding_flood *ports = rcu_read(&forward->forwarding->flood);
	struct rte_mbuf *forms[2] = { NULL, NULL };

	for (uint32_t i = 0; ports && i < ports->n; i++) {
		struct forwarding_port *port = ports->ports[i];
		const bool tagged = port_tags_vlan(port, mirror->output_vlan);

		if (port->is_mirror || !vlan_set_has(port->trunks, mirror->output_vlan))
			continue;
		if (!forms[tagged])
			forms[tagged] = make_form(form, mirror->output_vlan, tagged);
		if (likely(forms[tagged]))
			deliver(forward, port, forms[tagged], mirror->snaplen);
		else
			hand_over(forward, port, NULL, form);
	}
	for (unsigned int i = 0; i < 2; i++)
		rte_pktmbuf_free(forms[i]); // of NULL: nothing
}

static void copy_to(struct forward *forward, const struct mirror *mirror,
		    const struct rte_mbuf *form)
{
	struct forwarding_port *port;

	if (unlikely(forward->trace)) {
		forward->trace->note(forward->trace->context, 0, "a copy for mirror %s",
				     mirror->name);
		return;
	}
	port = mirror->output_vlan ? NULL
				   : forwarding_port(forward->forwarding, mirror->output_port);
	if (!mirror->output_vlan && !port)
		return;
	counter_add(forward->worker->counters, mirror->counter, packet_wire_count(form),
		    packet_wire_bytes(form));
	if (port)
		deliver(forward, port, form, mirror->snaplen);
	else
		deliver_in_vlan(forward, mirror, form);
}

void mirror_copy(struct forward *forward, uint32_t mirrors, const struct rte_mbuf *form)
{
	for_each_mirror(i, mirrors) copy_to(forward, &forward->mirrors->mirrors[i], form);
}

uint32_t mirror_select(struct forward *forward, unsigned int packet,
		       const struct forwarding_port *port, const struct rte_mbuf *form)
{
	const struct mirror_port *selected = find_port(forward->mirrors, port->ofport);

	return take(forward, packet, forward->mirrors->all | (selected ? selected->destination : 0),
		    port, form);
}

void mirror_send(struct forward *forward, unsigned int packet, const struct forwarding_port *port,
		 const struct rte_mbuf *form)
{
	mirror_copy(forward, mirror_select(forward, packet, port, form), form);
}

void mirror_receive(struct forward *forward, uint64_t packets)
{
	const struct mirror_table *table = forward->mirrors;
	const struct mirror_port *selected = find_port(table, forward->in_port->ofport);
	const uint32_t mirrors = table->all | (selected ? selected->source : 0);

	memset(forward->worker->mirrored, 0, sizeof(forward->worker->mirrored));
	if (!mirrors)
		return;
	for_each_packet(i, packets)
	{
		const struct rte_mbuf *form = forward->vector->packets[i];

		mirror_copy(forward,
			    take(forward, (unsigned int)i, mirrors, forward->in_port, form), form);
	}
}
