// Headers of a frame, read byte by byte as ovs-fields(7) and the protocols' RFCs describe them.
#include "tests/unit/reference.h"

#include <string.h>

struct reader {
	const uint8_t *bytes;
	unsigned int at;
	unsigned int end;
	struct key *key;
	struct ref_layout *layout;
};

static unsigned int left(const struct reader *r)
{
	return r->end - r->at;
}

static void clear_headers(struct key *key)
{
	struct key_core *core = &key->core;
	struct key_rare *rare = &key->rare;

	core->vlan_tci0 = core->vlan_tci1 = 0;
	memset(core->eth_dst, 0, 6);
	memset(core->eth_src, 0, 6);
	core->eth_type = 0;
	core->ip_src = core->ip_dst = 0;
	core->tp_src = core->tp_dst = core->tcp_flags = 0;
	core->ip_proto = core->ip_tos = core->ip_ttl = core->ip_frag = 0;
	memset(&key->ipv6, 0, sizeof(key->ipv6));
	memset(rare->arp_sha, 0, 6);
	memset(rare->arp_tha, 0, 6);
	rare->nd_reserved = 0;
	rare->nd_options_type = 0;
	rare->nsh_flags = rare->nsh_ttl = rare->nsh_mdtype = rare->nsh_np = rare->nsh_si = 0;
	rare->nsh_spi = 0;
	memset(rare->nsh_c, 0, 16);
}

static bool is_vlan(unsigned int type)
{
	return type == 0x8100 || type == 0x88a8;
}

// The Ethernet type behind the tags; the reader ends up behind it.
static unsigned int read_type(struct reader *r)
{
	static const uint8_t snap[] = { 0xaa, 0xaa, 0x03, 0, 0, 0 };
	unsigned int type = ref_get16(r->bytes + r->at);
	unsigned int inner;

	r->at += 2;
	if (type >= 0x600)
		return type;
	if (left(r) < 8 || memcmp(r->bytes + r->at, snap, sizeof(snap)))
		return KEY_ETH_TYPE_NONE;
	inner = ref_get16(r->bytes + r->at + 6);
	if (inner < 0x600)
		return KEY_ETH_TYPE_NONE;
	r->at += 8;
	return inner;
}

static void read_vlans(struct reader *r)
{
	rte_be16_t *tci[2] = { &r->key->core.vlan_tci0, &r->key->core.vlan_tci1 };

	for (unsigned int i = 0; i < 2; i++) {
		if (left(r) < 6 || !is_vlan(ref_get16(r->bytes + r->at)))
			return;
		memcpy(tci[i], r->bytes + r->at + 2, 2);
		*tci[i] |= rte_cpu_to_be_16(KEY_VLAN_PRESENT);
		r->layout->n_vlans++;
		r->at += 4;
	}
}

static void read_arp(struct reader *r)
{
	static const uint8_t ethernet_ipv4[] = { 0, 1, 8, 0, 6, 4 };
	const uint8_t *arp = r->bytes + r->at;
	struct key_core *core = &r->key->core;

	if (left(r) < 28 || memcmp(arp, ethernet_ipv4, sizeof(ethernet_ipv4)))
		return;
	r->layout->arp = r->at;
	// Only opcodes that fit a byte are known; the rest reads as 0.
	if (arp[6] == 0)
		core->ip_proto = arp[7];
	memcpy(r->key->rare.arp_sha, arp + 8, 6);
	memcpy(&core->ip_src, arp + 14, 4);
	memcpy(r->key->rare.arp_tha, arp + 18, 6);
	memcpy(&core->ip_dst, arp + 24, 4);
}

static void read_mpls(struct reader *r)
{
	r->layout->mpls = r->at;
	for (unsigned int i = 0; i < 3 && left(r) >= 4; i++) {
		memcpy(&r->key->ipv6.mpls_lse[i], r->bytes + r->at, 4);
		r->at += 4;
		r->layout->n_mpls++;
		if (r->bytes[r->at - 2] & 1)
			return;
	}
}

// The address option of a neighbour discovery message: type 1 in a solicitation, 2 in an
// advertisement. False if the options are not well formed or name the address twice.
static bool read_nd_options(const struct reader *r, unsigned int wanted, unsigned int *found)
{
	unsigned int at = r->at + 24;

	*found = 0;
	while (r->end - at >= 8) {
		unsigned int size = r->bytes[at + 1] * 8u;

		if (!size || size > r->end - at)
			return false;
		if (r->bytes[at] == wanted && size == 8) {
			if (*found)
				return false;
			*found = at + 2;
		}
		at += size;
	}
	return true;
}

static void read_nd(struct reader *r)
{
	const uint8_t *nd = r->bytes + r->at;
	bool solicit = nd[0] == 135;
	unsigned int found;

	if ((nd[0] != 135 && nd[0] != 136) || nd[1] != 0 || left(r) < 24)
		return;
	if (!read_nd_options(r, solicit ? 1 : 2, &found))
		return;
	r->layout->nd_target = r->at + 8;
	memcpy(&r->key->rare.nd_reserved, nd + 4, 4);
	memcpy(r->key->ipv6.nd_target, nd + 8, 16);
	if (!found)
		return;
	r->key->rare.nd_options_type = solicit ? 1 : 2;
	if (solicit) {
		r->layout->nd_sll = found;
		memcpy(r->key->rare.arp_sha, r->bytes + found, 6);
	} else {
		r->layout->nd_tll = found;
		memcpy(r->key->rare.arp_tha, r->bytes + found, 6);
	}
}

static void read_ports(struct reader *r)
{
	memcpy(&r->key->core.tp_src, r->bytes + r->at, 2);
	memcpy(&r->key->core.tp_dst, r->bytes + r->at + 2, 2);
}

static void read_l4(struct reader *r)
{
	struct key_core *core = &r->key->core;
	const uint8_t *l4 = r->bytes + r->at;
	bool ipv6 = r->layout->ipv6 != 0;
	unsigned int needed;

	switch (core->ip_proto) {
	case 6:
		needed = 20;
		break;
	case 17:
		needed = 8;
		break;
	case 132:
		needed = 12;
		break;
	case 1:
		needed = ipv6 ? UINT32_MAX : 8;
		break;
	case 58:
		needed = ipv6 ? 4 : UINT32_MAX;
		break;
	default:
		return;
	}
	if (left(r) < needed)
		return;
	r->layout->l4 = r->at;
	r->layout->l4_end = r->end;
	r->layout->l4_proto = core->ip_proto;
	if (core->ip_proto == 1 || core->ip_proto == 58) {
		core->tp_src = rte_cpu_to_be_16(l4[0]);
		core->tp_dst = rte_cpu_to_be_16(l4[1]);
	} else {
		read_ports(r);
	}
	if (core->ip_proto == 6)
		core->tcp_flags = rte_cpu_to_be_16((uint16_t)(ref_get16(l4 + 12) & 0xfff));
	if (core->ip_proto == 58)
		read_nd(r);
}

static void read_ipv4(struct reader *r)
{
	const uint8_t *ip = r->bytes + r->at;
	struct key_core *core = &r->key->core;
	unsigned int header, total, offset;

	if (left(r) < 20)
		return;
	header = (ip[0] & 15) * 4u;
	total = ref_get16(ip + 2);
	if (header < 20 || header > left(r) || total > left(r) || total < header)
		return;
	r->layout->ipv4 = r->at;
	r->end = r->at + total;
	core->ip_tos = ip[1];
	core->ip_ttl = ip[8];
	core->ip_proto = ip[9];
	memcpy(&core->ip_src, ip + 12, 4);
	memcpy(&core->ip_dst, ip + 16, 4);
	offset = ref_get16(ip + 6);
	if (offset & 0x3fff)
		core->ip_frag |= KEY_FRAG_ANY;
	if (offset & 0x1fff) {
		core->ip_frag |= KEY_FRAG_LATER;
		return;
	}
	r->at += header;
	read_l4(r);
}

// Walk over the extension headers. False if the transport header cannot be reached: then ip_proto
// names the header at which the walk ended.
static bool read_extensions(struct reader *r)
{
	struct key_core *core = &r->key->core;

	for (unsigned int i = 0; i < 16; i++) { // the switch does bounded work
		const uint8_t *header = r->bytes + r->at;
		unsigned int size;

		switch (core->ip_proto) {
		case 0: // hop-by-hop options
		case 43: // routing
		case 60: // destination options
			if (left(r) < 8)
				return false;
			size = (header[1] + 1u) * 8;
			break;
		case 51: // authentication
			if (left(r) < 8)
				return false;
			size = (header[1] + 2u) * 4;
			break;
		case 44: // fragment
			if (left(r) < 8)
				return false;
			size = 8;
			break;
		default:
			return true;
		}
		if (size > left(r))
			return false;
		if (core->ip_proto == 43 && header[3] > 0)
			r->layout->routed = true;
		if (core->ip_proto == 44) {
			unsigned int offset = ref_get16(header + 2);

			if (offset & 0xfff9)
				core->ip_frag |= KEY_FRAG_ANY;
			if (offset & 0xfff8) {
				core->ip_frag |= KEY_FRAG_LATER;
				return false;
			}
		}
		core->ip_proto = header[0];
		r->at += size;
	}
	return false;
}

static void read_ipv6(struct reader *r)
{
	const uint8_t *ip = r->bytes + r->at;
	struct key_core *core = &r->key->core;
	unsigned int first;

	if (left(r) < 40 || ref_get16(ip + 4) > left(r) - 40)
		return;
	r->layout->ipv6 = r->at;
	r->end = r->at + 40 + ref_get16(ip + 4);
	first = ref_get16(ip);
	core->ip_tos = (uint8_t)(first >> 4);
	core->ip_ttl = ip[7];
	core->ip_proto = ip[6];
	r->key->ipv6.ipv6_label = rte_cpu_to_be_32((first & 0xf) << 16 | ref_get16(ip + 2));
	memcpy(r->key->ipv6.ipv6_src, ip + 8, 16);
	memcpy(r->key->ipv6.ipv6_dst, ip + 24, 16);
	r->at += 40;
	if (read_extensions(r))
		read_l4(r);
}

// RFC 8300 section 2.
static void read_nsh(struct reader *r)
{
	const uint8_t *nsh = r->bytes + r->at;
	struct key_rare *rare = &r->key->rare;
	unsigned int first, size, md;

	if (left(r) < 8)
		return;
	first = ref_get16(nsh);
	size = 4 * (first % 64);
	md = nsh[2] % 16;
	if (first >= 0x4000 || size > left(r) ||
	    !((md == 1 && size == 24) || (md == 2 && size >= 8)))
		return;
	r->layout->nsh = r->at;
	rare->nsh_flags = (uint8_t)(first / 0x1000 % 4);
	rare->nsh_ttl = (uint8_t)(first / 64 % 64);
	rare->nsh_mdtype = (uint8_t)md;
	rare->nsh_np = nsh[3];
	rare->nsh_si = nsh[7];
	memcpy((uint8_t *)&rare->nsh_spi + 1, nsh + 4, 3);
	if (md == 1)
		memcpy(rare->nsh_c, nsh + 8, 16);
}

bool ref_parse(const struct ref_packet *packet, struct key *key, struct ref_layout *layout)
{
	struct ref_layout ignored;
	struct reader r = { packet->bytes, 12, packet->size, key, layout ? layout : &ignored };
	unsigned int type;

	memset(r.layout, 0, sizeof(*r.layout));
	clear_headers(key);
	if (packet->size < 14)
		return false;
	memcpy(key->core.eth_dst, packet->bytes, 6);
	memcpy(key->core.eth_src, packet->bytes + 6, 6);
	read_vlans(&r);
	type = read_type(&r);
	key->core.eth_type = rte_cpu_to_be_16((uint16_t)type);
	if (type == 0x0800)
		read_ipv4(&r);
	else if (type == 0x86dd)
		read_ipv6(&r);
	else if (type == 0x0806 || type == 0x8035)
		read_arp(&r);
	else if (type == 0x8847 || type == 0x8848)
		read_mpls(&r);
	else if (type == 0x894f)
		read_nsh(&r);
	key->tunnel.packet_type = rte_cpu_to_be_32(packet->packet_type);
	if (packet->packet_type)
		key->core.eth_type = 0;
	return true;
}
