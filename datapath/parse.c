#include "datapath/parse.h"

#include "datapath/nsh.h"
#include "flowtable/program.h"

#include <netinet/in.h>
#include <string.h>

#define ETH_TYPE_VLAN 0x8100
#define ETH_TYPE_QINQ 0x88a8
#define ETH_TYPE_IPV4 0x0800
#define ETH_TYPE_ARP 0x0806
#define ETH_TYPE_RARP 0x8035
#define ETH_TYPE_IPV6 0x86dd
#define ETH_TYPE_MPLS 0x8847
#define ETH_TYPE_MPLS_MCAST 0x8848
#define ETH_TYPE_NSH 0x894f

#define MAX_VLANS 2
#define MAX_MPLS 3
#define MAX_IPV6_HEADERS 16 // extension headers looked at

// The bytes of one packet that are not parsed yet. `left` of them lie in the first segment, where
// headers are; the others count for the lengths that headers name.
struct cursor {
	const uint8_t *start;
	const uint8_t *at;
	uint32_t left;
	uint32_t beyond;
};

// Where one packet's headers go. Lines that are not live are NULL.
struct target {
	struct key_core *core;
	struct key_ipv6 *ipv6;
	struct key_rare *rare;
	struct packet_layout *layout;
};

static inline rte_be16_t read_be16(const uint8_t *at)
{
	rte_be16_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static inline rte_be32_t read_be32(const uint8_t *at)
{
	rte_be32_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static inline void advance(struct cursor *cursor, uint32_t size)
{
	cursor->at += size;
	cursor->left -= size;
}

// Only `size` bytes from here on belong to what is parsed next; there are that many.
static inline void limit(struct cursor *cursor, uint32_t size)
{
	cursor->beyond = size > cursor->left ? size - cursor->left : 0;
	cursor->left = RTE_MIN(cursor->left, size);
}

static inline bool is_vlan(uint16_t type)
{
	return type == ETH_TYPE_VLAN || type == ETH_TYPE_QINQ;
}

static void parse_vlans(struct cursor *cursor, struct target *target)
{
	rte_be16_t tci[MAX_VLANS] = { 0, 0 };
	unsigned int n = 0;

	// A tag counts if the type behind it is there too.
	while (n < MAX_VLANS && cursor->left >= 6 &&
	       is_vlan(rte_be_to_cpu_16(read_be16(cursor->at)))) {
		tci[n++] = read_be16(cursor->at + 2) | RTE_BE16(KEY_VLAN_PRESENT);
		advance(cursor, 4);
	}
	target->core->vlan_tci0 = tci[0];
	target->core->vlan_tci1 = tci[1];
	target->layout->n_vlans = (uint8_t)n;
}

// The type behind the tags, SNAP included (IEEE 802.2); leaves the cursor at layer 3.
static uint16_t parse_eth_type(struct cursor *cursor)
{
	static const uint8_t snap[6] = { 0xaa, 0xaa, 0x03, 0, 0, 0 };
	uint16_t type = rte_be_to_cpu_16(read_be16(cursor->at));

	advance(cursor, 2);
	if (likely(type >= 0x600))
		return type;
	if (cursor->left < 8 || memcmp(cursor->at, snap, sizeof(snap)) != 0)
		return KEY_ETH_TYPE_NONE;
	type = rte_be_to_cpu_16(read_be16(cursor->at + 6));
	if (type < 0x600)
		return KEY_ETH_TYPE_NONE;
	advance(cursor, 8);
	return type;
}

static void parse_nd(const struct cursor *cursor, struct target *target, uint8_t type)
{
	const uint8_t *option = cursor->at + 24;
	uint32_t left = cursor->left - 24;
	bool have_sll = false, have_tll = false;
	const uint8_t *sll = NULL, *tll = NULL;

	while (left >= 8) {
		uint32_t size = option[1] * 8u;

		if (size == 0 || size > left)
			return;
		if (option[0] == 1 && size == 8 && type == 135) {
			if (have_sll)
				return;
			have_sll = true;
			sll = option + 2;
		} else if (option[0] == 2 && size == 8 && type == 136) {
			if (have_tll)
				return;
			have_tll = true;
			tll = option + 2;
		}
		option += size;
		left -= size;
	}
	target->layout->nd = true;
	if (target->ipv6)
		memcpy(target->ipv6->nd_target, cursor->at + 8, 16);
	if (!target->rare)
		return;
	target->rare->nd_reserved = read_be32(cursor->at + 4);
	if (sll)
		memcpy(target->rare->arp_sha, sll, 6);
	if (tll)
		memcpy(target->rare->arp_tha, tll, 6);
	if (sll || tll)
		target->rare->nd_options_type = sll ? 1 : 2;
}

static void parse_l4(struct cursor *cursor, struct target *target)
{
	struct key_core *core = target->core;
	uint32_t need;

	switch (core->ip_proto) {
	case IPPROTO_TCP:
		need = 20;
		break;
	case IPPROTO_UDP:
		need = 8;
		break;
	case IPPROTO_SCTP:
		need = 12;
		break;
	case IPPROTO_ICMP:
		if (core->eth_type != RTE_BE16(ETH_TYPE_IPV4))
			return;
		need = 8;
		break;
	case IPPROTO_ICMPV6:
		if (core->eth_type != RTE_BE16(ETH_TYPE_IPV6))
			return;
		need = 4;
		break;
	default:
		return;
	}
	if (cursor->left < need)
		return;
	target->layout->l4 = (uint16_t)(cursor->at - cursor->start);
	target->layout->l4_size =
		(uint16_t)RTE_MIN(cursor->left + cursor->beyond, (uint32_t)UINT16_MAX);
	target->layout->l4_proto = core->ip_proto;
	if (core->ip_proto == IPPROTO_ICMP || core->ip_proto == IPPROTO_ICMPV6) {
		core->tp_src = rte_cpu_to_be_16(cursor->at[0]);
		core->tp_dst = rte_cpu_to_be_16(cursor->at[1]);
		if (core->ip_proto == IPPROTO_ICMPV6 && cursor->left >= 24 && cursor->at[1] == 0 &&
		    (cursor->at[0] == 135 || cursor->at[0] == 136) &&
		    (target->ipv6 || target->rare))
			parse_nd(cursor, target, cursor->at[0]);
		return;
	}
	core->tp_src = read_be16(cursor->at);
	core->tp_dst = read_be16(cursor->at + 2);
	if (core->ip_proto == IPPROTO_TCP)
		core->tcp_flags = read_be16(cursor->at + 12) & RTE_BE16(0x0fff);
}

static void parse_ipv4(struct cursor *cursor, struct target *target)
{
	const uint8_t *ip = cursor->at;
	struct key_core *core = target->core;
	uint32_t header, total;
	uint16_t fragment;

	if (cursor->left < 20)
		return;
	header = (ip[0] & 15) * 4u;
	total = rte_be_to_cpu_16(read_be16(ip + 2));
	if (header < 20 || header > cursor->left || total > cursor->left + cursor->beyond ||
	    total < header)
		return;
	target->layout->l3 = (uint16_t)(ip - cursor->start);
	core->ip_src = read_be32(ip + 12);
	core->ip_dst = read_be32(ip + 16);
	core->ip_proto = ip[9];
	core->ip_tos = ip[1];
	core->ip_ttl = ip[8];
	fragment = rte_be_to_cpu_16(read_be16(ip + 6));
	if (fragment & 0x3fff)
		core->ip_frag = KEY_FRAG_ANY | (fragment & 0x1fff ? KEY_FRAG_LATER : 0);
	if (core->ip_frag & KEY_FRAG_LATER)
		return;
	limit(cursor, total);
	advance(cursor, header);
	parse_l4(cursor, target);
}

// Walk extension headers (RFC 8200 section 4). Returns false when the walk ends before layer 4;
// core->ip_proto is then the header that it ended at.
static bool parse_ipv6_extensions(struct cursor *cursor, struct target *target)
{
	struct key_core *core = target->core;

	for (unsigned int i = 0; i < MAX_IPV6_HEADERS; i++) {
		uint32_t size;

		switch (core->ip_proto) {
		case IPPROTO_HOPOPTS:
		case IPPROTO_ROUTING:
		case IPPROTO_DSTOPTS:
			if (cursor->left < 8)
				return false;
			size = (cursor->at[1] + 1u) * 8;
			break;
		case IPPROTO_AH:
			if (cursor->left < 8)
				return false;
			size = (cursor->at[1] + 2u) * 4;
			break;
		case IPPROTO_FRAGMENT:
			if (cursor->left < 8)
				return false;
			// An "atomic" fragment (offset 0, no more) is not one (RFC 6946).
			if (read_be16(cursor->at + 2) & RTE_BE16(0xfff9))
				core->ip_frag = KEY_FRAG_ANY;
			if (read_be16(cursor->at + 2) & RTE_BE16(0xfff8)) {
				core->ip_frag |= KEY_FRAG_LATER;
				core->ip_proto = IPPROTO_FRAGMENT;
				return false;
			}
			size = 8;
			break;
		default:
			return true;
		}
		if (size > cursor->left)
			return false;
		// Addresses are left to visit: the pseudo header has the last (RFC 8200 section 8.1).
		if (core->ip_proto == IPPROTO_ROUTING && cursor->at[3] > 0)
			target->layout->routed = true;
		core->ip_proto = cursor->at[0];
		advance(cursor, size);
	}
	return false;
}

static void parse_ipv6(struct cursor *cursor, struct target *target)
{
	const uint8_t *ip = cursor->at;
	struct key_core *core = target->core;
	uint32_t payload;

	if (cursor->left < 40)
		return;
	payload = rte_be_to_cpu_16(read_be16(ip + 4));
	if (payload > cursor->left + cursor->beyond - 40)
		return;
	target->layout->l3 = (uint16_t)(ip - cursor->start);
	if (target->ipv6) {
		memcpy(target->ipv6->ipv6_src, ip + 8, 16);
		memcpy(target->ipv6->ipv6_dst, ip + 24, 16);
		target->ipv6->ipv6_label = read_be32(ip) & RTE_BE32(0x000fffff);
	}
	core->ip_tos = (uint8_t)(ip[0] << 4 | ip[1] >> 4);
	core->ip_ttl = ip[7];
	core->ip_proto = ip[6];
	advance(cursor, 40);
	limit(cursor, payload);
	if (parse_ipv6_extensions(cursor, target))
		parse_l4(cursor, target);
}

static void parse_arp(const struct cursor *cursor, struct target *target)
{
	static const uint8_t ethernet_ipv4[6] = { 0, 1, 8, 0, 6, 4 };
	const uint8_t *arp = cursor->at;

	if (cursor->left < 28 || memcmp(arp, ethernet_ipv4, sizeof(ethernet_ipv4)) != 0)
		return;
	target->layout->l3 = (uint16_t)(arp - cursor->start);
	target->core->ip_src = read_be32(arp + 14);
	target->core->ip_dst = read_be32(arp + 24);
	if (arp[6] == 0)
		target->core->ip_proto = arp[7];
	if (target->rare) {
		memcpy(target->rare->arp_sha, arp + 8, 6);
		memcpy(target->rare->arp_tha, arp + 18, 6);
	}
}

static void parse_mpls(struct cursor *cursor, struct target *target)
{
	unsigned int n = 0;

	target->layout->l3 = (uint16_t)(cursor->at - cursor->start);
	while (n < MAX_MPLS && cursor->left >= 4) {
		rte_be32_t entry = read_be32(cursor->at);

		if (target->ipv6)
			target->ipv6->mpls_lse[n] = entry;
		n++;
		advance(cursor, 4);
		if (entry & RTE_BE32(0x100))
			break;
	}
	target->layout->n_mpls = (uint8_t)n;
}

static void parse_nsh(const struct cursor *cursor, struct target *target)
{
	if (!nsh_size(cursor->at, cursor->left))
		return;
	target->layout->l3 = (uint16_t)(cursor->at - cursor->start);
	if (target->rare)
		nsh_read(cursor->at, target->rare);
}

// Headers only: what a change of structure reads anew.
static void parse_headers(struct rte_mbuf *packet, struct target *target)
{
	struct key_core *core = target->core;
	struct cursor cursor = {
		.start = rte_pktmbuf_mtod(packet, const uint8_t *),
		.at = rte_pktmbuf_mtod(packet, const uint8_t *),
		.left = rte_pktmbuf_data_len(packet),
		.beyond = rte_pktmbuf_pkt_len(packet) - rte_pktmbuf_data_len(packet),
	};
	uint16_t type;

	const uint32_t packet_type = target->layout->packet_type;
	const uint16_t n_encap_bytes = target->layout->n_encap_bytes;

	memset(target->layout, 0, sizeof(*target->layout));
	target->layout->packet_type = packet_type;
	target->layout->n_encap_bytes = n_encap_bytes;
	core->reserved = 0;
	memset(&core->ip_src, 0,
	       offsetof(struct key_core, ct_zone) - offsetof(struct key_core, ip_src));
	if (target->ipv6)
		memset(target->ipv6, 0, sizeof(*target->ipv6));
	if (target->rare)
		memset(target->rare, 0, sizeof(*target->rare));

	memcpy(core->eth_dst, cursor.at, 6);
	memcpy(core->eth_src, cursor.at + 6, 6);
	advance(&cursor, 12);
	parse_vlans(&cursor, target);
	type = parse_eth_type(&cursor);
	core->eth_type = rte_cpu_to_be_16(type);
	switch (type) {
	case ETH_TYPE_IPV4:
		parse_ipv4(&cursor, target);
		break;
	case ETH_TYPE_IPV6:
		parse_ipv6(&cursor, target);
		break;
	case ETH_TYPE_ARP:
	case ETH_TYPE_RARP:
		parse_arp(&cursor, target);
		break;
	case ETH_TYPE_MPLS:
	case ETH_TYPE_MPLS_MCAST:
		parse_mpls(&cursor, target);
		break;
	case ETH_TYPE_NSH:
		parse_nsh(&cursor, target);
		break;
	}
	target->layout->type = core->eth_type;
	if (unlikely(packet_type))
		core->eth_type = 0; // a field of Ethernet frames
}

static struct target target_of(struct vector *vector, unsigned int packet)
{
	return (struct target){
		.core = vector_core(vector, packet),
		.ipv6 = vector->live_lines & 1 << KEY_LINE_IPV6 ? vector_ipv6(vector, packet)
								: NULL,
		.rare = vector->live_lines & 1 << KEY_LINE_RARE ? vector_rare(vector, packet)
								: NULL,
		.layout = &vector->layout[packet],
	};
}

static inline uint64_t read_64(const uint8_t *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

// The line of most packets in eight stores: TCP or UDP over IPv4 without options or fragments,
// untagged or with one tag. False: it is something else, nothing was written.
static inline bool parse_common(const struct rte_mbuf *packet, struct key_core *core,
				struct packet_layout *layout, rte_be32_t in_port)
{
	const uint8_t *frame = rte_pktmbuf_mtod(packet, const uint8_t *), *ip, *l4;
	const uint32_t size = rte_pktmbuf_data_len(packet);
	uint64_t *words = (uint64_t *)core;
	uint32_t l3 = 14, l4_least = 8, total;
	rte_be16_t type, tci = 0, tcp_flags = 0;

	if (unlikely(size < 18 + 20 + 8))
		return false;
	type = read_be16(frame + 12);
	if (type == RTE_BE16(ETH_TYPE_VLAN)) {
		tci = read_be16(frame + 14) | RTE_BE16(KEY_VLAN_PRESENT);
		type = read_be16(frame + 16);
		l3 = 18;
	}
	ip = frame + l3;
	if (type != RTE_BE16(ETH_TYPE_IPV4) || ip[0] != 0x45 ||
	    read_be16(ip + 6) & RTE_BE16(0x3fff))
		return false;
	l4 = ip + 20;
	if (ip[9] == IPPROTO_TCP)
		l4_least = 20;
	else if (ip[9] != IPPROTO_UDP)
		return false;
	total = rte_be_to_cpu_16(read_be16(ip + 2));
	if (unlikely(total > rte_pktmbuf_pkt_len(packet) - l3 || total < 20 + l4_least))
		return false;
	if (ip[9] == IPPROTO_TCP)
		tcp_flags = read_be16(l4 + 12) & RTE_BE16(0x0fff);

	words[0] = in_port | (uint64_t)tci << 32;
	words[1] = (read_64(frame) & UINT64_C(0xffffffffffff)) | (uint64_t)type << 48;
	words[2] = read_64(frame + 6) & UINT64_C(0xffffffffffff);
	words[3] = read_64(ip + 12);
	words[4] = read_be32(l4) | (uint64_t)ip[9] << 32 | (uint64_t)ip[1] << 40 |
		   (uint64_t)ip[8] << 48;
	words[5] = tcp_flags;
	words[6] = 0;
	words[7] = 0;
	*layout = (struct packet_layout){ .l3 = (uint16_t)l3,
					  .l4 = (uint16_t)(l3 + 20),
					  .l4_size = (uint16_t)(total - 20),
					  .n_vlans = tci != 0,
					  .l4_proto = ip[9],
					  .type = type };
	return true;
}

_Static_assert(RTE_BYTE_ORDER == RTE_LITTLE_ENDIAN && offsetof(struct key_core, vlan_tci0) == 4 &&
		       offsetof(struct key_core, eth_dst) == 8 &&
		       offsetof(struct key_core, eth_type) == 14 &&
		       offsetof(struct key_core, eth_src) == 16 &&
		       offsetof(struct key_core, ip_src) == 24 &&
		       offsetof(struct key_core, tp_src) == 32 &&
		       offsetof(struct key_core, ip_proto) == 36 &&
		       offsetof(struct key_core, ip_tos) == 37 &&
		       offsetof(struct key_core, ip_ttl) == 38 &&
		       offsetof(struct key_core, tcp_flags) == 40,
	       "parse_common() knows where things are");

// Nobody looks at headers: the port is all there is to know.
static uint64_t parse_nothing(struct vector *vector, uint64_t packets, rte_be32_t in_port)
{
	uint64_t good = 0;

	for_each_packet(i, packets)
	{
		uint64_t *words = vector->lines[KEY_LINE_CORE][i];

		good |= (uint64_t)(rte_pktmbuf_data_len(vector->packets[i]) >= 14) << i;
		words[0] = in_port;
		for (unsigned int w = 1; w < KEY_LINE_WORDS; w++)
			words[w] = 0;
	}
	return good;
}

uint64_t parse_vector(struct vector *vector, uint64_t packets, uint32_t in_port, uint16_t lines)
{
	const uint16_t metadata_lines =
		(uint16_t) ~(1 << KEY_LINE_CORE | 1 << KEY_LINE_IPV6 | 1 << KEY_LINE_RARE);
	uint64_t good = 0;

	vector->live_lines = lines | 1 << KEY_LINE_CORE;
	vector->bare = 0;
	for (unsigned int line = 0; line < KEY_LINES; line++)
		if (lines & metadata_lines & 1 << line)
			memset(vector->lines[line], 0,
			       (size_t)(64 - __builtin_clzll(packets | 1)) * KEY_LINE_SIZE);
	if (lines & 1 << KEY_LINE_TUNNEL)
		for_each_packet(i, packets) vector_tunnel(vector, (unsigned int)i)->actset_output =
			RTE_BE32(OFPP_UNSET);
	if (!(lines & KEY_LINES_HEADERS))
		return parse_nothing(vector, packets, rte_cpu_to_be_32(in_port));
	for_each_packet(i, packets)
	{
		struct rte_mbuf *packet = vector->packets[i];
		struct target target = target_of(vector, (unsigned int)i);

		if (unlikely(rte_pktmbuf_data_len(packet) < 14))
			continue;
		good |= 1ULL << i;
		if (likely(parse_common(packet, target.core, target.layout,
					rte_cpu_to_be_32(in_port)))) {
			if (target.ipv6)
				memset(target.ipv6, 0, sizeof(*target.ipv6));
			if (target.rare)
				memset(target.rare, 0, sizeof(*target.rare));
			continue;
		}
		target.core->in_port = rte_cpu_to_be_32(in_port);
		target.core->ct_zone = 0;
		target.core->ct_state = 0;
		target.core->ct_mark = 0;
		target.core->pkt_mark = 0;
		target.core->metadata = 0;
		target.layout->packet_type = 0;
		target.layout->n_encap_bytes = 0;
		parse_headers(packet, &target);
	}
	return good;
}

void parse_again(struct vector *vector, unsigned int packet)
{
	struct target target = target_of(vector, packet);

	parse_headers(vector->packets[packet], &target);
	vector_note_bare(vector, packet);
	if (vector->live_lines & 1 << KEY_LINE_TUNNEL)
		vector_tunnel(vector, packet)->packet_type =
			rte_cpu_to_be_32(target.layout->packet_type);
}
