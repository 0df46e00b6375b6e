// MPLS labels come and go in the bytes; the key is read anew (RFC 3032, ovs-actions(7)).
#include "datapath/actions.h"
#include "datapath/parse.h"
#include "datapath/write_back.h"

#define MAX_LABELS 3
#define BOTTOM 0x100u // of the label stack
#define IPV6_EXPLICIT_NULL 2u
#define DEFAULT_TTL 64u

static void too_many(struct forward *forward, unsigned int packet)
{
	output_drop(forward, packet, DROP_MPLS_LABELS);
	forward_finish(forward, packet);
}

// Make the bytes ours, and what the key says.
static bool settle(struct forward *forward, unsigned int packet)
{
	if (!output_make_writable(forward, packet))
		return false;
	if (forward->vector->dirty[packet])
		write_back(forward->vector, packet);
	return true;
}

static uint32_t read_label(const uint8_t *at)
{
	rte_be32_t label;

	memcpy(&label, at, sizeof(label));
	return rte_be_to_cpu_32(label);
}

// The label of a packet that had none.
static uint32_t first_label(const struct vector *vector, const struct key_core *core,
			    unsigned int packet)
{
	const bool ipv6 = core->eth_type == RTE_BE16(0x86dd);
	const uint32_t label = ipv6 ? IPV6_EXPLICIT_NULL : 0;

	if (!vector->layout[packet].l3 || !(ipv6 || core->eth_type == RTE_BE16(0x0800)))
		return label << 12 | BOTTOM | DEFAULT_TTL;
	return label << 12 | (core->ip_tos >> 2 & 7u) << 9 | BOTTOM | core->ip_ttl;
}

// Behind an 802.2 header the frame says its own length.
static void change_length(uint8_t *frame, const struct packet_layout *layout, int change)
{
	uint8_t *at = frame + 12 + 4 * layout->n_vlans;
	rte_be16_t length;

	if (layout->l3 == 14 + 4 * layout->n_vlans)
		return;
	memcpy(&length, at, sizeof(length));
	length = rte_cpu_to_be_16((uint16_t)(rte_be_to_cpu_16(length) + change));
	memcpy(at, &length, sizeof(length));
}

static void push_mpls(struct forward *forward, unsigned int packet, rte_be16_t eth_type)
{
	struct vector *vector = forward->vector;
	const struct packet_layout *layout = &vector->layout[packet];
	unsigned int place = 14u + 4u * layout->n_vlans;
	rte_be32_t entry;
	uint8_t *frame;

	if (layout->n_mpls == MAX_LABELS) {
		too_many(forward, packet);
		return;
	}
	if (!settle(forward, packet))
		return;
	frame = rte_pktmbuf_mtod(vector->packets[packet], uint8_t *);
	if (layout->n_mpls) {
		place = layout->l3;
		entry = rte_cpu_to_be_32(read_label(frame + place) & ~BOTTOM);
		change_length(frame, layout, 4);
	} else {
		entry = rte_cpu_to_be_32(first_label(vector, vector_core(vector, packet), packet));
	}
	frame = (uint8_t *)rte_pktmbuf_prepend(vector->packets[packet], 4);
	if (unlikely(!frame)) {
		output_drop(forward, packet, DROP_NO_MEMORY);
		forward_finish(forward, packet);
		return;
	}
	memmove(frame, frame + 4, place);
	memcpy(frame + place, &entry, sizeof(entry));
	memcpy(frame + place - 2, &eth_type, sizeof(eth_type));
	parse_again(vector, packet);
}

static void pop_mpls(struct forward *forward, unsigned int packet, rte_be16_t eth_type)
{
	struct vector *vector = forward->vector;
	const struct packet_layout *layout = &vector->layout[packet];
	const unsigned int place = layout->l3;
	uint8_t *frame = rte_pktmbuf_mtod(vector->packets[packet], uint8_t *);

	if (!layout->n_mpls)
		return;
	if (layout->n_mpls == MAX_LABELS &&
	    !(read_label(frame + place + 4 * (MAX_LABELS - 1)) & BOTTOM)) {
		too_many(forward, packet);
		return;
	}
	if (!settle(forward, packet))
		return;
	frame = rte_pktmbuf_mtod(vector->packets[packet], uint8_t *);
	change_length(frame, layout, -4);
	memcpy(frame + place - 2, &eth_type, sizeof(eth_type));
	memmove(frame + 4, frame, place);
	rte_pktmbuf_adj(vector->packets[packet], 4);
	parse_again(vector, packet);
}

static void dec_ttl(struct forward *forward, unsigned int packet)
{
	rte_be32_t *entry = &vector_ipv6(forward->vector, packet)->mpls_lse[0];

	if (!forward->vector->layout[packet].n_mpls)
		return;
	if ((rte_be_to_cpu_32(*entry) & 0xff) <= 1) {
		actions_expired(forward, packet);
		return;
	}
	*entry = rte_cpu_to_be_32(rte_be_to_cpu_32(*entry) - 1);
	forward->vector->dirty[packet] |= DIRTY_MPLS;
}

void actions_mpls(struct forward *forward, const struct op *op, uint64_t packets)
{
	if (op->code != OP_DEC_MPLS_TTL) // those change Ethernet frames alone
		packets &= ~forward->vector->bare;
	for_each_packet(i, packets)
	{
		if (op->code == OP_PUSH_MPLS)
			push_mpls(forward, (unsigned int)i, ((const struct op_mpls *)op)->eth_type);
		else if (op->code == OP_POP_MPLS)
			pop_mpls(forward, (unsigned int)i, ((const struct op_mpls *)op)->eth_type);
		else
			dec_ttl(forward, (unsigned int)i);
	}
}
