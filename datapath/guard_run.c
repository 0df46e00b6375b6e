// What a guarded port receives. Headers are read from the packet's bytes, at the places that the
// parser found: key lines that no flow looks at are not filled. What cannot be read cannot be
// vouched for, and is refused.
#include "datapath/forward.h"
#include "datapath/guard.h"

#include <netinet/in.h>
#include <string.h>

#define ETH_TYPE_IPV4 RTE_BE16(0x0800)
#define ETH_TYPE_ARP RTE_BE16(0x0806)
#define ETH_TYPE_RARP RTE_BE16(0x8035)
#define ETH_TYPE_VLAN RTE_BE16(0x8100)
#define ETH_TYPE_QINQ RTE_BE16(0x88a8)
#define ETH_TYPE_IPV6 RTE_BE16(0x86dd)

#define ND_ROUTER_SOLICITATION 133
#define ND_NEIGHBOUR_SOLICITATION 135
#define ND_NEIGHBOUR_ADVERTISEMENT 136
#define ND_REDIRECT 137
#define MLD_FIRST 130
#define MLD_LAST 132
#define MLD2_REPORT 143

// One packet that is asked about.
struct suspect {
	const struct port_guard *guard;
	const struct key_core *core;
	const struct packet_layout *layout;
	const uint8_t *frame;
	uint32_t length; // bytes of headers that can be read
};

static bool mac_allowed(const struct port_guard *guard, const uint8_t *mac)
{
	for (unsigned int i = 0; i < guard->n_macs; i++)
		if (!memcmp(guard->macs[i], mac, 6))
			return true;
	return !guard->n_macs;
}

static bool ipv4_allowed(const struct port_guard *guard, uint32_t address)
{
	for (unsigned int i = 0; i < guard->n_ipv4; i++)
		if ((address & guard->ipv4[i].mask) == guard->ipv4[i].address)
			return true;
	return !guard->n_ipv4 && !guard->n_ipv6;
}

// fe80::/64 with the address of the frame's source.
static bool is_own_link_local(const uint8_t *address, const uint8_t *mac)
{
	const uint8_t own[16] = { 0xfe,       0x80,   0,      0,    0,    0,      0,      0,
				  mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5] };

	return !memcmp(address, own, sizeof(own));
}

static bool ipv6_allowed(const struct suspect *suspect, const uint8_t *address)
{
	const struct port_guard *guard = suspect->guard;
	uint64_t words[2];

	if ((!guard->n_ipv4 && !guard->n_ipv6) ||
	    is_own_link_local(address, suspect->core->eth_src))
		return true;
	memcpy(words, address, sizeof(words));
	for (unsigned int i = 0; i < guard->n_ipv6; i++)
		if ((words[0] & guard->ipv6[i].mask[0]) == guard->ipv6[i].address[0] &&
		    (words[1] & guard->ipv6[i].mask[1]) == guard->ipv6[i].address[1])
			return true;
	return false;
}

static uint32_t read_address(const uint8_t *at)
{
	uint32_t address;

	memcpy(&address, at, sizeof(address));
	return address;
}

// Sender's hardware and protocol address (RFC 826). A probe has no protocol address: it says that
// the target will be (RFC 5227).
static bool arp_allowed(const struct suspect *suspect)
{
	const uint8_t *arp = suspect->frame + suspect->layout->l3;
	uint32_t sender;

	if (!suspect->layout->l3)
		return false;
	if (!mac_allowed(suspect->guard, arp + 8))
		return false;
	if (suspect->core->eth_type == ETH_TYPE_RARP)
		return true; // it asks which address is its own
	sender = read_address(arp + 14);
	return ipv4_allowed(suspect->guard, sender ? sender : read_address(arp + 24));
}

static bool ipv4_source_allowed(const struct suspect *suspect)
{
	const struct packet_layout *layout = suspect->layout;
	uint32_t source;

	if (!layout->l3)
		return !suspect->guard->n_ipv4 && !suspect->guard->n_ipv6;
	source = read_address(suspect->frame + layout->l3 + 12);
	if (ipv4_allowed(suspect->guard, source))
		return true;
	// A host without an address asks for one (RFC 2131).
	return !source && layout->l4 && layout->l4_proto == IPPROTO_UDP &&
	       suspect->core->tp_src == RTE_BE16(68) && suspect->core->tp_dst == RTE_BE16(67);
}

static bool is_unspecified(const uint8_t *address)
{
	static const uint8_t zero[16];

	return !memcmp(address, zero, sizeof(zero));
}

// Link-layer addresses in the options of a neighbour discovery message (RFC 4861 section 4.6).
static bool nd_options_allowed(const struct suspect *suspect, const uint8_t *option,
			       const uint8_t *end)
{
	while (end - option >= 8) {
		const uint32_t size = option[1] * 8u;

		if (!size || size > (uint32_t)(end - option))
			return false;
		if ((option[0] == 1 || option[0] == 2) && !mac_allowed(suspect->guard, option + 2))
			return false;
		option += size;
	}
	return option == end;
}

static bool nd_allowed(const struct suspect *suspect, const uint8_t *source)
{
	static const uint8_t sizes[] = { 8, 16, 24, 24, 40 }; // of 133 to 137, without options
	const struct packet_layout *layout = suspect->layout;
	const uint8_t *nd = suspect->frame + layout->l4;
	const uint8_t type = nd[0], size = sizes[type - ND_ROUTER_SOLICITATION];
	const uint8_t *end = nd + layout->l4_size;

	// Fragmented neighbour discovery is nobody's (RFC 6980); messages without their options, no.
	if (suspect->core->ip_frag || layout->l4_size < size ||
	    (uint32_t)layout->l4 + layout->l4_size > suspect->length)
		return false;
	if (!nd_options_allowed(suspect, nd + size, end))
		return false;
	if (type == ND_NEIGHBOUR_ADVERTISEMENT ||
	    (type == ND_NEIGHBOUR_SOLICITATION && is_unspecified(source)))
		return ipv6_allowed(suspect, nd + 8);
	return true;
}

static bool is_report(uint8_t type)
{
	return (type >= MLD_FIRST && type <= MLD_LAST) || type == MLD2_REPORT;
}

// Did the parser stop among extension headers, behind which anything may be?
static bool is_beyond_reach(const struct suspect *suspect)
{
	switch (suspect->core->ip_proto) {
	case IPPROTO_HOPOPTS:
	case IPPROTO_ROUTING:
	case IPPROTO_DSTOPTS:
	case IPPROTO_AH:
		return true;
	default:
		return false;
	}
}

static enum drop_reason judge_ipv6(const struct suspect *suspect)
{
	const struct packet_layout *layout = suspect->layout;
	const uint8_t *source = suspect->frame + layout->l3 + 8;
	const bool any = !suspect->guard->n_ipv4 && !suspect->guard->n_ipv6;
	uint8_t type = 0;

	if (!layout->l3)
		return any ? N_DROPS : DROP_SPOOFED_IP;
	if (is_beyond_reach(suspect))
		return DROP_SPOOFED_ND;
	if (layout->l4 && layout->l4_proto == IPPROTO_ICMPV6)
		type = suspect->frame[layout->l4];
	if (type >= ND_ROUTER_SOLICITATION && type <= ND_REDIRECT && !nd_allowed(suspect, source))
		return DROP_SPOOFED_ND;
	if (ipv6_allowed(suspect, source))
		return N_DROPS;
	if (is_unspecified(source) && (type == ND_NEIGHBOUR_SOLICITATION ||
				       type == ND_ROUTER_SOLICITATION || is_report(type)))
		return N_DROPS;
	return DROP_SPOOFED_IP;
}

// N_DROPS: nothing is wrong.
static enum drop_reason judge(const struct suspect *suspect)
{
	const bool any = !suspect->guard->n_ipv4 && !suspect->guard->n_ipv6;

	if (!mac_allowed(suspect->guard, suspect->core->eth_src))
		return DROP_SPOOFED_MAC;
	switch (suspect->core->eth_type) {
	case ETH_TYPE_ARP:
	case ETH_TYPE_RARP:
		return arp_allowed(suspect) ? N_DROPS : DROP_SPOOFED_ARP;
	case ETH_TYPE_IPV4:
		return ipv4_source_allowed(suspect) ? N_DROPS : DROP_SPOOFED_IP;
	case ETH_TYPE_IPV6:
		return judge_ipv6(suspect);
	case ETH_TYPE_VLAN:
	case ETH_TYPE_QINQ: // more tags than are looked behind
		return any ? N_DROPS : DROP_SPOOFED_IP;
	default:
		return N_DROPS;
	}
}

uint64_t guard_run(struct forward *forward, const struct port_guard *guard, uint64_t packets)
{
	struct vector *vector = forward->vector;
	uint64_t good = packets;

	for_each_packet(i, packets)
	{
		const struct suspect suspect = {
			.guard = guard,
			.core = vector_core(vector, (unsigned int)i),
			.layout = &vector->layout[i],
			.frame = rte_pktmbuf_mtod(vector->packets[i], const uint8_t *),
			.length = rte_pktmbuf_data_len(vector->packets[i]),
		};
		const enum drop_reason reason = judge(&suspect);

		if (likely(reason == N_DROPS))
			continue;
		output_drop(forward, (unsigned int)i, reason);
		good &= ~(1ULL << i);
	}
	return good;
}
