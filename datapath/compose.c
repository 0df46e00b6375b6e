#include "datapath/datapath.h"

#include "flowtable/program.h"

#include <netinet/in.h>
#include <rte_ip.h>
#include <string.h>

#define PAYLOAD_SIZE 64

// Appends `size` zero bytes.
static uint8_t *append(struct rte_mbuf *packet, uint16_t size)
{
	char *at = rte_pktmbuf_append(packet, size);

	if (at)
		memset(at, 0, size);
	return (uint8_t *)at;
}

static void put_be16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static uint16_t l4_header_size(uint8_t proto)
{
	switch (proto) {
	case IPPROTO_TCP:
		return 20;
	case IPPROTO_UDP:
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return 8;
	case IPPROTO_SCTP:
		return 12;
	default:
		return 0;
	}
}

// Neighbour discovery behind its ICMPv6 header: target and link-layer address option.
static void compose_nd(struct rte_mbuf *packet, const struct key *key)
{
	const bool solicit = key->core.tp_src == RTE_BE16(135);
	uint8_t *body = append(packet, 16 + 8);

	memcpy(body, key->ipv6.nd_target, 16);
	body[16] = solicit ? 1 : 2;
	body[17] = 1;
	memcpy(body + 18, solicit ? key->rare.arp_sha : key->rare.arp_tha, 6);
}

static uint8_t *compose_l4(struct rte_mbuf *packet, const struct key *key, bool ipv6)
{
	const struct key_core *core = &key->core;
	const uint16_t size = l4_header_size(core->ip_proto);
	uint8_t *l4;

	if (!size || core->ip_frag & KEY_FRAG_LATER) {
		append(packet, PAYLOAD_SIZE);
		return NULL;
	}
	l4 = append(packet, size);
	if (core->ip_proto == IPPROTO_ICMP || core->ip_proto == IPPROTO_ICMPV6) {
		l4[0] = (uint8_t)rte_be_to_cpu_16(core->tp_src);
		l4[1] = (uint8_t)rte_be_to_cpu_16(core->tp_dst);
		if (ipv6 && (l4[0] == 135 || l4[0] == 136) && l4[1] == 0) {
			memcpy(l4 + 4, &key->rare.nd_reserved, 4);
			compose_nd(packet, key);
			return l4;
		}
	} else {
		memcpy(l4, &core->tp_src, 2);
		memcpy(l4 + 2, &core->tp_dst, 2);
	}
	if (core->ip_proto == IPPROTO_TCP) {
		memcpy(l4 + 12, &core->tcp_flags, 2);
		l4[12] |= 5 << 4;
	}
	append(packet, PAYLOAD_SIZE);
	return l4;
}

static void finish_l4(uint8_t *l3, uint8_t *l4, uint16_t l4_size, uint8_t proto, bool ipv6)
{
	uint16_t checksum;

	if (!l4)
		return;
	if (proto == IPPROTO_UDP)
		put_be16(l4 + 4, l4_size);
	if (proto == IPPROTO_ICMP) {
		checksum = (uint16_t)~rte_raw_cksum(l4, l4_size);
	} else if (proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_ICMPV6) {
		checksum = ipv6 ? rte_ipv6_udptcp_cksum((struct rte_ipv6_hdr *)l3, l4)
				: rte_ipv4_udptcp_cksum((struct rte_ipv4_hdr *)l3, l4);
	} else {
		return;
	}
	memcpy(l4 + (proto == IPPROTO_TCP ? 16 : proto == IPPROTO_UDP ? 6 : 2), &checksum, 2);
}

static void compose_ipv4(struct rte_mbuf *packet, const struct key *key)
{
	const struct key_core *core = &key->core;
	uint8_t *ip = append(packet, 20);
	uint8_t *l4 = compose_l4(packet, key, false);
	const uint16_t total =
		(uint16_t)(rte_pktmbuf_mtod_offset(packet, uint8_t *, packet->data_len) - ip);
	uint16_t checksum;

	ip[0] = 0x45;
	ip[1] = core->ip_tos;
	put_be16(ip + 2, total);
	if (core->ip_frag)
		put_be16(ip + 6, (uint16_t)(0x2000 | (core->ip_frag & KEY_FRAG_LATER ? 1 : 0)));
	ip[8] = core->ip_ttl;
	ip[9] = core->ip_proto;
	memcpy(ip + 12, &core->ip_src, 4);
	memcpy(ip + 16, &core->ip_dst, 4);
	checksum = (uint16_t)~rte_raw_cksum(ip, 20);
	memcpy(ip + 10, &checksum, 2);
	finish_l4(ip, l4, (uint16_t)(total - 20), core->ip_proto, false);
}

static void compose_ipv6(struct rte_mbuf *packet, const struct key *key)
{
	const struct key_core *core = &key->core;
	uint8_t *ip = append(packet, 40);
	uint8_t *l4;
	uint16_t payload;

	ip[0] = (uint8_t)(0x60 | core->ip_tos >> 4);
	memcpy(ip + 1, (const uint8_t *)&key->ipv6.ipv6_label + 1, 3);
	ip[1] = (uint8_t)((ip[1] & 0x0f) | core->ip_tos << 4);
	ip[6] = core->ip_proto;
	ip[7] = core->ip_ttl;
	memcpy(ip + 8, key->ipv6.ipv6_src, 16);
	memcpy(ip + 24, key->ipv6.ipv6_dst, 16);
	if (core->ip_frag) {
		uint8_t *fragment = append(packet, 8);

		ip[6] = IPPROTO_FRAGMENT;
		fragment[0] = core->ip_proto;
		put_be16(fragment + 2, core->ip_frag & KEY_FRAG_LATER ? 0x0009 : 0x0001);
	}
	l4 = compose_l4(packet, key, true);
	payload =
		(uint16_t)(rte_pktmbuf_mtod_offset(packet, uint8_t *, packet->data_len) - ip - 40);
	put_be16(ip + 4, payload);
	if (!core->ip_frag)
		finish_l4(ip, l4, payload, core->ip_proto, true);
}

static void compose_arp(struct rte_mbuf *packet, const struct key *key)
{
	static const uint8_t ethernet_ipv4[6] = { 0, 1, 8, 0, 6, 4 };
	uint8_t *arp = append(packet, 28);

	memcpy(arp, ethernet_ipv4, sizeof(ethernet_ipv4));
	arp[7] = key->core.ip_proto;
	memcpy(arp + 8, key->rare.arp_sha, 6);
	memcpy(arp + 14, &key->core.ip_src, 4);
	memcpy(arp + 18, key->rare.arp_tha, 6);
	memcpy(arp + 24, &key->core.ip_dst, 4);
	append(packet, 18); // shortest Ethernet frame
}

static void compose_tag(struct rte_mbuf *packet, rte_be16_t tpid, rte_be16_t tci)
{
	uint8_t *tag = append(packet, 4);

	tci &= ~RTE_BE16(KEY_VLAN_PRESENT);
	memcpy(tag, &tpid, 2);
	memcpy(tag + 2, &tci, 2);
}

// Labels up to the bottom of the stack, of which there is one.
static void compose_mpls(struct rte_mbuf *packet, const struct key *key)
{
	bool bottom = false;

	for (unsigned int i = 0; i < RTE_DIM(key->ipv6.mpls_lse) && !bottom; i++) {
		uint8_t *at = append(packet, 4);

		memcpy(at, &key->ipv6.mpls_lse[i], 4);
		if (i + 1 == RTE_DIM(key->ipv6.mpls_lse))
			at[2] |= 1;
		bottom = at[2] & 1;
	}
	append(packet, PAYLOAD_SIZE);
}

struct rte_mbuf *packet_compose(const struct key *key)
{
	const struct key_core *core = &key->core;
	struct rte_mbuf *packet = rte_pktmbuf_alloc(packet_pool());
	const bool inner = core->vlan_tci1 & RTE_BE16(KEY_VLAN_PRESENT);
	uint16_t type = rte_be_to_cpu_16(core->eth_type);
	uint8_t *ethernet;

	if (!packet)
		return NULL;
	ethernet = append(packet, 12);
	memcpy(ethernet, core->eth_dst, 6);
	memcpy(ethernet + 6, core->eth_src, 6);
	if (core->vlan_tci0 & RTE_BE16(KEY_VLAN_PRESENT))
		compose_tag(packet, inner ? RTE_BE16(0x88a8) : RTE_BE16(0x8100), core->vlan_tci0);
	if (inner)
		compose_tag(packet, RTE_BE16(0x8100), core->vlan_tci1);
	if (type == KEY_ETH_TYPE_NONE) {
		put_be16(append(packet, 2), PAYLOAD_SIZE); // an 802.3 length
		append(packet, PAYLOAD_SIZE);
		return packet;
	}
	put_be16(append(packet, 2), type);
	if (type == 0x0800)
		compose_ipv4(packet, key);
	else if (type == 0x86dd)
		compose_ipv6(packet, key);
	else if (type == 0x0806 || type == 0x8035)
		compose_arp(packet, key);
	else if (type == 0x8847 || type == 0x8848)
		compose_mpls(packet, key);
	else
		append(packet, PAYLOAD_SIZE);
	return packet;
}
