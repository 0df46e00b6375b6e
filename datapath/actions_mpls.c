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
	frame = packet_prepend(vector->packets[packet], 4);
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
	packet_remove(vector->packets[packet], 4);
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

// The IP header behind the only label, or NULL if there is no whole one.
static uint8_t *inner_ip(const struct vector *vector, unsigned int packet)
{
	struct rte_mbuf *mbuf = vector->packets[packet];
	const unsigned int at = vector->layout[packet].l3 + 4u;
	const unsigned int size = rte_pktmbuf_data_len(mbuf);
	uint8_t *ip = rte_pktmbuf_mtod_offset(mbuf, uint8_t *, at);

	if (size >= at + 20 && ip[0] >> 4 == 4)
		return ip;
	return size >= at + 40 && ip[0] >> 4 == 6 ? ip : NULL;
}

static uint8_t *ttl_of(uint8_t *ip)
{
	return ip + (ip[0] >> 4 == 4 ? 8 : 7);
}

// An IPv4 header's checksum covers its TTL (RFC 1624).
static void put_inner_ttl(uint8_t *ip, uint8_t value)
{
	uint8_t *ttl = ttl_of(ip), *checksum = ip + 10;
	uint32_t sum;

	if (ip[0] >> 4 == 4) {
		sum = (uint16_t) ~(checksum[0] << 8 | checksum[1]);
		sum += (uint16_t) ~(*ttl << 8) + ((uint32_t)value << 8);
		sum = (sum & 0xffff) + (sum >> 16);
		sum = (uint16_t) ~(sum + (sum >> 16));
		checksum[0] = (uint8_t)(sum >> 8);
		checksum[1] = (uint8_t)sum;
	}
	*ttl = value;
}

static void put_label_ttl(rte_be32_t *entry, uint8_t ttl)
{
	*entry = rte_cpu_to_be_32((rte_be_to_cpu_32(*entry) & ~0xffu) | ttl);
}

// Between the outermost header with a TTL and the next one behind it, both ways (OpenFlow 1.3.5
// section 5.12): two labels, or a label and what it carries. Where one of them is missing nothing
// happens.
static void copy_ttl(struct forward *forward, unsigned int packet, bool inwards)
{
	struct vector *vector = forward->vector;
	rte_be32_t *labels = vector_ipv6(vector, packet)->mpls_lse;
	const uint8_t outer = (uint8_t)rte_be_to_cpu_32(labels[0]);
	const unsigned int n = vector->layout[packet].n_mpls;
	uint8_t *ip;

	if (n >= 2) {
		put_label_ttl(inwards ? &labels[1] : &labels[0],
			      inwards ? outer : (uint8_t)rte_be_to_cpu_32(labels[1]));
		vector->dirty[packet] |= DIRTY_MPLS;
		return;
	}
	if (!n || !(rte_be_to_cpu_32(labels[0]) & BOTTOM))
		return;
	ip = inner_ip(vector, packet);
	if (!ip)
		return;
	if (!inwards) {
		put_label_ttl(&labels[0], *ttl_of(ip));
		vector->dirty[packet] |= DIRTY_MPLS;
	} else if (*ttl_of(ip) != outer && settle(forward, packet)) {
		put_inner_ttl(inner_ip(vector, packet), outer);
	}
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
		else if (op->code == OP_DEC_MPLS_TTL)
			dec_ttl(forward, (unsigned int)i);
		else
			copy_ttl(forward, (unsigned int)i, op->code == OP_COPY_TTL_IN);
	}
}
