#include "datapath/write_back.h"

#include "datapath/nsh.h"
#include "flowtable/field.h"

#include <netinet/in.h>
#include <rte_hash_crc.h>
#include <string.h>

// Running change of an Internet checksum: the sum of all (new - old) words, not folded yet.
static inline uint32_t delta_bytes(uint32_t delta, const void *old_bytes, const void *new_bytes,
				   size_t size)
{
	const uint8_t *old_byte = old_bytes;
	const uint8_t *new_byte = new_bytes;

	for (size_t i = 0; i + 1 < size; i += 2) {
		uint16_t from, to;

		memcpy(&from, old_byte + i, 2);
		memcpy(&to, new_byte + i, 2);
		delta += (uint16_t)~from;
		delta += to;
	}
	return delta;
}

// RFC 1624, equation 3: HC' = ~(~HC + ~m + m').
static inline void checksum_add(uint8_t *at, uint32_t delta)
{
	uint16_t checksum;
	uint32_t sum;

	memcpy(&checksum, at, 2);
	sum = (uint16_t)~checksum + (delta & 0xffff) + (delta >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	checksum = (uint16_t)~sum;
	memcpy(at, &checksum, 2);
}

// Replace bytes and add the change to *delta.
static inline void replace(uint8_t *at, const void *bytes, size_t size, uint32_t *delta)
{
	*delta = delta_bytes(*delta, at, bytes, size);
	memcpy(at, bytes, size);
}

static void write_vlans(uint8_t *frame, const struct key_core *core, unsigned int n_vlans)
{
	const rte_be16_t tci[2] = { core->vlan_tci0, core->vlan_tci1 };

	for (unsigned int i = 0; i < n_vlans; i++) {
		uint8_t *at = frame + 14 + 4 * i;
		rte_be16_t old, new;

		// The present bit lies where the wire has DEI, which edits preserve.
		memcpy(&old, at, 2);
		new = (tci[i] & ~RTE_BE16(KEY_VLAN_PRESENT)) | (old & RTE_BE16(KEY_VLAN_PRESENT));
		memcpy(at, &new, 2);
	}
}

// Add `delta` to the transport checksum, where there is one. `pseudo`: the change is in the
// pseudo header only, which ICMP and SCTP do not have.
static void adjust_l4_checksum(uint8_t *l4, uint8_t proto, uint32_t delta, bool pseudo)
{
	static const uint8_t zero[2];

	switch (proto) {
	case IPPROTO_TCP:
		checksum_add(l4 + 16, delta);
		break;
	case IPPROTO_UDP:
		// Zero says that there is none (RFC 768).
		if (!memcmp(l4 + 6, zero, 2))
			break;
		checksum_add(l4 + 6, delta);
		if (!memcmp(l4 + 6, zero, 2))
			memset(l4 + 6, 0xff, 2);
		break;
	case IPPROTO_ICMPV6:
		checksum_add(l4 + 2, delta);
		break;
	case IPPROTO_ICMP:
		if (!pseudo)
			checksum_add(l4 + 2, delta);
		break;
	}
}

// CRC32c over the SCTP packet with its checksum field as zero (RFC 9260 appendix A).
static uint32_t sctp_checksum(const struct rte_mbuf *packet, uint32_t offset, uint32_t size)
{
	static const uint8_t zero[4];
	uint8_t chunk[256];
	uint32_t crc = UINT32_MAX;

	for (uint32_t done = 0; done < size;) {
		uint32_t n = RTE_MIN((uint32_t)sizeof(chunk), size - done);
		const uint8_t *bytes = rte_pktmbuf_read(packet, offset + done, n, chunk);

		if (!bytes)
			break;
		if (done == 0) {
			crc = rte_hash_crc(bytes, 8, crc);
			crc = rte_hash_crc(zero, 4, crc);
			crc = rte_hash_crc(bytes + 12, n - 12, crc);
		} else {
			crc = rte_hash_crc(bytes, n, crc);
		}
		done += n;
	}
	return ~crc;
}

static void write_sctp_ports(struct rte_mbuf *packet, uint8_t *l4,
			     const struct packet_layout *layout, const rte_be16_t ports[2])
{
	uint32_t old_crc = sctp_checksum(packet, layout->l4, layout->l4_size);
	uint32_t new_crc, checksum;

	memcpy(l4, ports, 4);
	new_crc = sctp_checksum(packet, layout->l4, layout->l4_size);
	memcpy(&checksum, l4 + 8, 4);
	checksum ^= old_crc ^ new_crc;
	memcpy(l4 + 8, &checksum, 4);
}

static void write_transport(struct rte_mbuf *packet, uint8_t *l4,
			    const struct packet_layout *layout, const struct key_core *core)
{
	const rte_be16_t ports[2] = { core->tp_src, core->tp_dst };
	uint32_t delta = 0;

	if (layout->l4_proto == IPPROTO_SCTP) {
		write_sctp_ports(packet, l4, layout, ports);
		return;
	}
	if (layout->l4_proto != IPPROTO_TCP && layout->l4_proto != IPPROTO_UDP)
		return;
	replace(l4, ports, 4, &delta);
	adjust_l4_checksum(l4, layout->l4_proto, delta, false);
}

static void write_icmp(uint8_t *l4, const struct packet_layout *layout, const struct key_core *core)
{
	const uint8_t bytes[2] = { (uint8_t)rte_be_to_cpu_16(core->tp_src),
				   (uint8_t)rte_be_to_cpu_16(core->tp_dst) };
	uint32_t delta = 0;

	if (layout->l4_proto != IPPROTO_ICMP && layout->l4_proto != IPPROTO_ICMPV6)
		return;
	replace(l4, bytes, 2, &delta);
	adjust_l4_checksum(l4, layout->l4_proto, delta, false);
}

static void write_ipv4(uint8_t *ip, uint8_t *l4, const struct packet_layout *layout,
		       const struct key_core *core, uint16_t dirty)
{
	uint32_t delta = 0;

	if (dirty & DIRTY_IPV4) {
		replace(ip + 12, &core->ip_src, 4, &delta);
		replace(ip + 16, &core->ip_dst, 4, &delta);
		if (l4)
			adjust_l4_checksum(l4, layout->l4_proto, delta, true);
	}
	if (dirty & DIRTY_IP) {
		// Both in the high or low byte of their words: RFC 1624 on the bytes' differences.
		delta += (uint16_t) ~(ip[1] << 8) + (uint32_t)(core->ip_tos << 8);
		delta += (uint16_t)~ip[8] + (uint32_t)core->ip_ttl;
		ip[1] = core->ip_tos;
		ip[8] = core->ip_ttl;
	}
	checksum_add(ip + 10, delta);
}

static void write_ipv6(uint8_t *ip, uint8_t *l4, const struct packet_layout *layout,
		       const struct key_core *core, const struct key_ipv6 *ipv6, uint16_t dirty)
{
	uint32_t delta = 0;
	rte_be32_t label;

	if (dirty & DIRTY_IPV6 && ipv6) {
		replace(ip + 8, ipv6->ipv6_src, 16, &delta);
		if (layout->routed)
			memcpy(ip + 24, ipv6->ipv6_dst, 16);
		else
			replace(ip + 24, ipv6->ipv6_dst, 16, &delta);
		if (l4)
			adjust_l4_checksum(l4, layout->l4_proto, delta, true);
		memcpy(&label, ip, 4);
		label = (label & RTE_BE32(0xfff00000)) | (ipv6->ipv6_label & RTE_BE32(0x000fffff));
		memcpy(ip, &label, 4);
	}
	if (dirty & DIRTY_IP) {
		ip[0] = (uint8_t)((ip[0] & 0xf0) | core->ip_tos >> 4);
		ip[1] = (uint8_t)((ip[1] & 0x0f) | core->ip_tos << 4);
		ip[7] = core->ip_ttl;
	}
}

static void write_arp(uint8_t *arp, const struct key_core *core, const struct key_rare *rare)
{
	const uint8_t known = arp[6] ? 0 : arp[7]; // the key knows no opcode above 255
	const uint8_t high = (uint8_t)rte_be_to_cpu_16(core->tp_dst);

	if (high || core->ip_proto != known) {
		arp[6] = high;
		arp[7] = core->ip_proto;
	}
	memcpy(arp + 14, &core->ip_src, 4);
	memcpy(arp + 24, &core->ip_dst, 4);
	if (rare) {
		memcpy(arp + 8, rare->arp_sha, 6);
		memcpy(arp + 18, rare->arp_tha, 6);
	}
}

// Neighbour discovery: the target and the link-layer address option, as the parser found them.
static void write_nd(uint8_t *l4, const struct packet_layout *layout, const struct key_ipv6 *ipv6,
		     const struct key_rare *rare)
{
	uint32_t delta = 0;
	uint32_t offset = 24;
	const uint8_t wanted = l4[0] == 135 ? 1 : 2;

	if (!layout->nd)
		return;
	if (ipv6)
		replace(l4 + 8, ipv6->nd_target, 16, &delta);
	if (rare)
		replace(l4 + 4, &rare->nd_reserved, 4, &delta);
	while (rare && offset + 8 <= layout->l4_size) {
		uint32_t size = l4[offset + 1] * 8u;

		if (size == 0 || size > layout->l4_size - offset)
			break;
		if (l4[offset] == wanted && size == 8) {
			replace(l4 + offset + 2, wanted == 1 ? rare->arp_sha : rare->arp_tha, 6,
				&delta);
			break;
		}
		offset += size;
	}
	adjust_l4_checksum(l4, IPPROTO_ICMPV6, delta, false);
}

void write_back(struct vector *vector, unsigned int packet)
{
	struct rte_mbuf *mbuf = vector->packets[packet];
	uint8_t *frame = rte_pktmbuf_mtod(mbuf, uint8_t *);
	const struct packet_layout *layout = &vector->layout[packet];
	const struct key_core *core = vector_core(vector, packet);
	const uint16_t live = vector->live_lines;
	const struct key_ipv6 *ipv6 =
		live & 1 << KEY_LINE_IPV6 ? vector_ipv6(vector, packet) : NULL;
	const struct key_rare *rare =
		live & 1 << KEY_LINE_RARE ? vector_rare(vector, packet) : NULL;
	const uint16_t dirty = vector->dirty[packet];
	uint8_t *l3 = frame + layout->l3;
	uint8_t *l4 = layout->l4 ? frame + layout->l4 : NULL;

	vector->dirty[packet] = 0;
	if (dirty & DIRTY_ETHERNET) {
		memcpy(frame, core->eth_dst, 6);
		memcpy(frame + 6, core->eth_src, 6);
	}
	if (dirty & DIRTY_VLAN)
		write_vlans(frame, core, layout->n_vlans);
	if (!(dirty & ~(DIRTY_ETHERNET | DIRTY_VLAN)) || !layout->l3)
		return;
	if (dirty & (DIRTY_IPV4 | DIRTY_IP) && layout->type == RTE_BE16(0x0800))
		write_ipv4(l3, l4, layout, core, dirty);
	if (dirty & (DIRTY_IPV6 | DIRTY_IP) && layout->type == RTE_BE16(0x86dd))
		write_ipv6(l3, l4, layout, core, ipv6, dirty);
	if (likely(!(dirty & ~(DIRTY_ETHERNET | DIRTY_VLAN | DIRTY_IPV4 | DIRTY_IPV6 | DIRTY_IP))))
		return;
	if (dirty & DIRTY_ARP &&
	    (layout->type == RTE_BE16(0x0806) || layout->type == RTE_BE16(0x8035)))
		write_arp(l3, core, rare);
	if (dirty & DIRTY_MPLS && ipv6)
		memcpy(l3, ipv6->mpls_lse, 4u * layout->n_mpls);
	if (dirty & DIRTY_NSH && layout->type == RTE_BE16(0x894f) && rare)
		nsh_write(l3, rare);
	if (!l4)
		return;
	if (dirty & DIRTY_ND)
		write_nd(l4, layout, ipv6, rare);
	if (dirty & DIRTY_TRANSPORT)
		write_transport(mbuf, l4, layout, core);
	if (dirty & DIRTY_ICMP)
		write_icmp(l4, layout, core);
}

bool packet_push_vlan(struct rte_mbuf *packet, rte_be16_t tpid, rte_be16_t tci)
{
	uint8_t *frame = packet_prepend(packet, 4);

	if (!frame)
		return false;
	memmove(frame, frame + 4, 12);
	memcpy(frame + 12, &tpid, 2);
	memcpy(frame + 14, &tci, 2);
	return true;
}

void packet_pop_vlan(struct rte_mbuf *packet)
{
	uint8_t *frame = rte_pktmbuf_mtod(packet, uint8_t *);
	uint64_t first; // of the two addresses
	uint32_t rest;

	memcpy(&first, frame, 8);
	memcpy(&rest, frame + 8, 4);
	memcpy(frame + 4, &first, 8);
	memcpy(frame + 12, &rest, 4);
	packet_remove(packet, 4);
}
