// Bytes of a frame brought in line with a key. The checksums are moved by the difference of two
// full sums, over everything that they cover, before and after: a wrong one stays wrong.
#include "tests/unit/reference.h"

#include <string.h>

// The ones' complement sum of big-endian words; an odd last byte counts as if a zero followed.
static uint64_t sum_words(const uint8_t *bytes, unsigned int size)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < size; i++)
		sum += i % 2 ? bytes[i] : bytes[i] * 256u;
	return sum;
}

// CRC32c bit by bit (RFC 9260 appendix A, reflected).
static uint32_t crc32c(const uint8_t *bytes, unsigned int size)
{
	uint32_t crc = 0xffffffff;

	for (unsigned int i = 0; i < size; i++) {
		crc ^= bytes[i];
		for (unsigned int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
	}
	return ~crc;
}

static unsigned int l4_checksum_offset(const struct ref_layout *layout)
{
	switch (layout->l4_proto) {
	case 6:
		return 16;
	case 17:
		return 6;
	case 132:
		return 8;
	default:
		return 2; // ICMP, ICMPv6
	}
}

// All that the transport checksum covers: the packet from the transport header on and, but for
// ICMP, the addresses. The checksum itself is the same before and after and cancels out.
static uint64_t sum_l4(const struct ref_packet *packet, const struct ref_layout *layout)
{
	const uint8_t *bytes = packet->bytes;
	uint64_t sum = sum_words(bytes + layout->l4, layout->l4_end - layout->l4);

	if (layout->l4_proto == 1)
		return sum;
	if (layout->ipv4)
		return sum + sum_words(bytes + layout->ipv4 + 12, 8);
	sum += sum_words(bytes + layout->ipv6 + 8, 16);
	// While a routing header has addresses left, the sum is about the final destination
	// (RFC 8200 section 8.1), which lies in that header.
	if (!layout->routed)
		sum += sum_words(bytes + layout->ipv6 + 24, 16);
	return sum;
}

// The checksum at `at` for data whose sum went from `before` to `after` (RFC 1624).
static void move_checksum(uint8_t *at, uint64_t before, uint64_t after)
{
	uint64_t sum;

	if (before == after)
		return;
	sum = (0xffff - ref_get16(at)) + after % 65535 + 65535 - before % 65535;
	sum %= 65535;
	// Zero has two forms; a sum of data that is not all zero is the one with all bits set.
	if (sum == 0)
		sum = 0xffff;
	ref_put16(at, (unsigned int)(0xffff - sum));
}

static void fix_l4(struct ref_packet *packet, const struct ref_packet *old,
		   const struct ref_layout *layout)
{
	uint8_t *checksum = packet->bytes + layout->l4 + l4_checksum_offset(layout);
	unsigned int size = layout->l4_end - layout->l4;

	if (layout->l4_proto == 132) {
		uint32_t delta = crc32c(old->bytes + layout->l4, size) ^
				 crc32c(packet->bytes + layout->l4, size);

		for (unsigned int i = 0; i < 4; i++)
			checksum[i] ^= (uint8_t)(delta >> 8 * i);
		return;
	}
	if (layout->l4_proto == 17 && ref_get16(checksum) == 0)
		return; // the sender computed none
	move_checksum(checksum, sum_l4(old, layout), sum_l4(packet, layout));
	if (layout->l4_proto == 17 && ref_get16(checksum) == 0)
		ref_put16(checksum, 0xffff);
}

static void fix_checksums(struct ref_packet *packet, const struct ref_packet *old,
			  const struct ref_layout *layout)
{
	if (layout->ipv4) {
		unsigned int size = (old->bytes[layout->ipv4] & 15) * 4u;

		move_checksum(packet->bytes + layout->ipv4 + 10,
			      sum_words(old->bytes + layout->ipv4, size),
			      sum_words(packet->bytes + layout->ipv4, size));
	}
	if (layout->l4)
		fix_l4(packet, old, layout);
}

static void store_l4(uint8_t *bytes, const struct key *want, const struct ref_layout *layout)
{
	uint8_t *l4 = bytes + layout->l4;

	if (layout->l4_proto == 1 || layout->l4_proto == 58) {
		l4[0] = (uint8_t)rte_be_to_cpu_16(want->core.tp_src);
		l4[1] = (uint8_t)rte_be_to_cpu_16(want->core.tp_dst);
	} else {
		memcpy(l4, &want->core.tp_src, 2);
		memcpy(l4 + 2, &want->core.tp_dst, 2);
	}
	if (layout->nd_target) {
		memcpy(bytes + layout->nd_target - 4, &want->rare.nd_reserved, 4);
		memcpy(bytes + layout->nd_target, want->ipv6.nd_target, 16);
	}
	if (layout->nd_sll)
		memcpy(bytes + layout->nd_sll, want->rare.arp_sha, 6);
	if (layout->nd_tll)
		memcpy(bytes + layout->nd_tll, want->rare.arp_tha, 6);
}

static void store_ipv6(uint8_t *ip, const struct key *want)
{
	uint32_t label = rte_be_to_cpu_32(want->ipv6.ipv6_label) & 0xfffff;

	ref_put16(ip,
		  (ref_get16(ip) & 0xf000) | (unsigned int)want->core.ip_tos << 4 | label >> 16);
	ref_put16(ip + 2, label & 0xffff);
	ip[7] = want->core.ip_ttl;
	memcpy(ip + 8, want->ipv6.ipv6_src, 16);
	memcpy(ip + 24, want->ipv6.ipv6_dst, 16);
}

// The opcode's high byte lies in the low byte of tp_dst (field.def).
static void store_arp(uint8_t *arp, const struct key *want, const struct key *have)
{
	unsigned int op = (rte_be_to_cpu_16(want->core.tp_dst) & 0xffu) << 8 | want->core.ip_proto;

	if (op != have->core.ip_proto)
		ref_put16(arp + 6, op);
	memcpy(arp + 8, want->rare.arp_sha, 6);
	memcpy(arp + 14, &want->core.ip_src, 4);
	memcpy(arp + 18, want->rare.arp_tha, 6);
	memcpy(arp + 24, &want->core.ip_dst, 4);
}

// The wire's DEI bit lies where the key says that there is a tag: it stays as it is.
static void store_tci(uint8_t *at, rte_be16_t tci)
{
	ref_put16(at, (ref_get16(at) & 0x1000) | (rte_be_to_cpu_16(tci) & 0xefff));
}

static void store_vlans(struct ref_packet *packet, const struct key *want, unsigned int n_vlans)
{
	uint16_t outer = rte_be_to_cpu_16(want->core.vlan_tci0);

	if (n_vlans == 2)
		store_tci(packet->bytes + 18, want->core.vlan_tci1);
	if (n_vlans && outer & KEY_VLAN_PRESENT)
		store_tci(packet->bytes + 14, want->core.vlan_tci0);
	else if (n_vlans)
		ref_pop_vlan(packet);
	else if (outer & KEY_VLAN_PRESENT)
		ref_push_vlan(packet, 0x8100, outer & 0xefff);
}

void ref_push_vlan(struct ref_packet *packet, uint16_t tpid, uint16_t tci)
{
	if (packet->size + 4 > REF_PACKET_MAX)
		return;
	memmove(packet->bytes + 16, packet->bytes + 12, packet->size - 12);
	ref_put16(packet->bytes + 12, tpid);
	ref_put16(packet->bytes + 14, tci);
	packet->size += 4;
}

void ref_pop_vlan(struct ref_packet *packet)
{
	memmove(packet->bytes + 12, packet->bytes + 16, packet->size - 16);
	packet->size -= 4;
}

static void store_nsh(uint8_t *nsh, const struct key *want)
{
	const struct key_rare *rare = &want->rare;

	ref_put16(nsh, (ref_get16(nsh) & 0xc03f) | (rare->nsh_flags & 3u) << 12 |
			       (rare->nsh_ttl & 63u) << 6);
	memcpy(nsh + 4, (const uint8_t *)&rare->nsh_spi + 1, 3);
	nsh[7] = rare->nsh_si;
	if (nsh[2] % 16 == 1)
		memcpy(nsh + 8, rare->nsh_c, 16);
}

void ref_store(struct ref_packet *packet, const struct key *want)
{
	struct ref_packet old = *packet;
	struct ref_layout layout;
	struct key have;

	if (!ref_parse(packet, &have, &layout))
		return;
	if (!packet->packet_type) {
		memcpy(packet->bytes, want->core.eth_dst, 6);
		memcpy(packet->bytes + 6, want->core.eth_src, 6);
	}
	if (layout.ipv4) {
		uint8_t *ip = packet->bytes + layout.ipv4;

		ip[1] = want->core.ip_tos;
		ip[8] = want->core.ip_ttl;
		memcpy(ip + 12, &want->core.ip_src, 4);
		memcpy(ip + 16, &want->core.ip_dst, 4);
	}
	if (layout.ipv6)
		store_ipv6(packet->bytes + layout.ipv6, want);
	if (layout.arp)
		store_arp(packet->bytes + layout.arp, want, &have);
	memcpy(packet->bytes + layout.mpls, want->ipv6.mpls_lse, 4 * layout.n_mpls);
	if (layout.nsh)
		store_nsh(packet->bytes + layout.nsh, want);
	if (layout.l4)
		store_l4(packet->bytes, want, &layout);
	fix_checksums(packet, &old, &layout);
	if (!packet->packet_type)
		store_vlans(packet, want, layout.n_vlans);
}
