#include "tests/unit/rules.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

// What the match has shown about the packet.
enum shown {
	SHOWN_IPV4 = 1 << 0,
	SHOWN_IPV6 = 1 << 1,
	SHOWN_ARP = 1 << 2,
	SHOWN_TCP = 1 << 3,
	SHOWN_UDP = 1 << 4,
	SHOWN_SCTP = 1 << 5,
	SHOWN_ICMP = 1 << 6,
	SHOWN_ICMP6 = 1 << 7,
	SHOWN_SLL = 1 << 8,
	SHOWN_TLL = 1 << 9,
	SHOWN_ND = 1 << 10,
	SHOWN_TAG = 1 << 11,
	SHOWN_TAG1 = 1 << 12,
	SHOWN_MPLS = 1 << 14,
	SHOWN_NSH = 1 << 15,
	SHOWN_IP_TYPE = 1 << 13, // an IP Ethernet type, perhaps without a sound header
};

struct rule {
	struct random *random;
	const struct rule_options *options;
	char *text;
	size_t length;
	unsigned int table;
	unsigned int shown; // enum shown
	unsigned int max_tags; // at most so many; more than 2: unknown
	unsigned int depth; // inside clone
	bool bare; // the match is about packets without an Ethernet header
	bool closed; // nothing can be said of the packet any more: no further actions
	bool unsure; // what the match showed may not be true any more
	bool broad; // match as little as is needed to prove that the packet has the fields
};

static void add(struct rule *rule, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(struct rule *rule, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(rule->text + rule->length, RULE_SIZE - rule->length, format, args);
	va_end(args);
	if (n > 0 && rule->length + (size_t)n < RULE_SIZE)
		rule->length += (size_t)n;
}

static unsigned int below(struct rule *rule, unsigned int n)
{
	return random_below(rule->random, n);
}

static bool chance(struct rule *rule, unsigned int percent)
{
	return random_chance(rule->random, percent);
}

#define PICK(rule, array) ((array)[below(rule, sizeof(array) / sizeof(*(array)))])

// --- Values ---

static const char *const macs[] = { "02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:01:01",
				    "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01" };
static const char *const mac_matches[] = {
	"02:00:00:00:00:01",
	"02:00:00:00:00:02",
	"02:00:00:00:01:01",
	"ff:ff:ff:ff:ff:ff",
	"01:00:5e:00:00:01",
	"01:00:00:00:00:00/01:00:00:00:00:00",
	"00:00:00:00:00:00/01:00:00:00:00:00",
	"02:00:00:00:00:01/ff:ff:ff:ff:00:ff",
	"00:00:00:00:01:01/00:00:00:00:01:03",
	"00:00:00:00:00:02/00:00:00:00:01:03",
};
static const char *const ipv4s[] = { "10.0.0.1", "10.0.0.2", "10.0.1.1", "10.0.1.3" };
static const char *const ipv4_matches[] = {
	"10.0.0.1",    "10.0.0.2",    "10.0.1.1",           "10.0.1.3",           "10.0.0.0/8",
	"10.0.0.0/24", "10.0.1.0/24", "10.0.0.2/255.0.0.3", "10.0.0.3/255.0.0.3", "10.0.0.2/31",
};
static const char *const ipv6s[] = { "2001::1", "2001::2", "2001:0:0:1::3", "fe80::1" };
static const char *const ipv6_matches[] = {
	"2001::1",   "2001::2",   "2001:0:0:1::3",   "fe80::1",         "2001::/16",
	"fe80::/16", "2001::/64", "2001:0:0:1::/64", "2001::3/ffff::3", "2001::2/127",
};
static const char *const ipv6_prefixes[] = { "2001::/16", "2001::/16", "fe80::/16", "2001::/64" };
static const unsigned int vids[] = { 0, 1, 10, 100, 4095 };
static const unsigned int ports[] = { 1, 2, 3, 80, 443, 4097 };
static const unsigned int toses[] = { 0, 0x10, 0x28, 0xb8 };
static const unsigned int ttls[] = { 1, 2, 3, 64, 255 };

// --- Matches ---

static void match_ethernet(struct rule *rule)
{
	static const char *const names[] = { "dl_src", "dl_dst" };

	add(rule, ",%s=%s", PICK(rule, names), PICK(rule, mac_matches));
}

static void match_vlan(struct rule *rule)
{
	switch (below(rule, 10)) {
	case 0:
	case 1:
		add(rule, ",vlan_tci=0x0000");
		rule->max_tags = 0;
		break;
	case 2:
		add(rule, ",vlan_tci=0x1000/0x1000");
		rule->shown |= SHOWN_TAG;
		break;
	case 3:
		add(rule, ",dl_vlan=%u", PICK(rule, vids));
		rule->shown |= SHOWN_TAG;
		break;
	case 4:
		add(rule, ",dl_vlan_pcp=%u", below(rule, 4));
		rule->shown |= SHOWN_TAG;
		break;
	case 5:
		add(rule, ",vlan_vid=0x%x/0x%x", 0x1000 | (PICK(rule, vids) & 0xf), 0x1000 | 0xf);
		rule->shown |= SHOWN_TAG;
		break;
	case 6:
		add(rule, ",vlan_tci=0x%x/0x0fff", PICK(rule, vids));
		break;
	case 7:
		add(rule, ",vlan_tci1=0x1000/0x1000");
		rule->shown |= SHOWN_TAG | SHOWN_TAG1;
		break;
	default:
		add(rule, ",vlan_tci1=0x0000");
		rule->max_tags = 1;
		break;
	}
}

// The rig maps tun_metadata0 to 4, and 63, with these lengths; some lie across lines of the key.
static const unsigned int option_numbers[] = { 0, 1, 2, 3, 4, 63 };
static const unsigned int option_bits[] = { 32, 64, 992, 512, 128, 288 };

static void match_option(struct rule *rule)
{
	const unsigned int n = below(rule, 6);

	switch (below(rule, 4)) {
	case 0:
		add(rule, ",tun_metadata%u", option_numbers[n]);
		break;
	case 1:
		add(rule, ",tun_metadata%u=%u", option_numbers[n], below(rule, 2));
		break;
	case 2:
		add(rule, ",tun_metadata2=0x%x/0x30000000000000000000000000000000000000003",
		    below(rule, 3));
		break;
	default:
		add(rule, ",tun_metadata%u=%u/0x3", option_numbers[n], below(rule, 4));
		break;
	}
}

static void match_metadata(struct rule *rule)
{
	if (chance(rule, 30)) {
		match_option(rule);
		return;
	}
	switch (below(rule, 7)) {
	case 6:
		if (chance(rule, 30))
			add(rule, ",actset_output=unset");
		else
			add(rule, ",actset_output=%u", 1 + below(rule, 4));
		break;
	case 0:
		add(rule, ",reg0=%u", below(rule, 4));
		break;
	case 1:
		add(rule, ",reg%u=0x%x/0x3", below(rule, 4), below(rule, 4));
		break;
	case 2:
		add(rule, ",xreg1=%u/0x100000001", below(rule, 2));
		break;
	case 3:
		add(rule, ",metadata=0x%x/0x7", below(rule, 8));
		break;
	case 4:
		add(rule, ",reg15=0/0x1");
		break;
	default:
		add(rule, ",xxreg1=0/0x3");
		break;
	}
}

static void match_ip_common(struct rule *rule)
{
	static const char *const frags[] = { "no", "yes", "first", "later", "not_later" };

	if (rule->broad)
		return;
	if (chance(rule, 10))
		add(rule, ",nw_tos=%u", PICK(rule, toses));
	if (chance(rule, 10))
		add(rule, ",nw_ttl=%u", PICK(rule, ttls));
	if (chance(rule, 10))
		add(rule, ",nw_ecn=%u", below(rule, 4));
	if (chance(rule, 15))
		add(rule, ",nw_frag=%s", PICK(rule, frags));
}

// A nonzero port shows that the header is there.
static void match_ports(struct rule *rule, unsigned int shows)
{
	static const char *const names[] = { "tp_src", "tp_dst" };

	switch (rule->broad ? 0 : below(rule, 4)) {
	case 0:
		add(rule, ",%s=1/1", PICK(rule, names));
		break;
	case 1:
		if (rule->options->unproven)
			break;
		return;
	case 2:
		add(rule, ",tp_src=%u,tp_dst=%u", PICK(rule, ports), PICK(rule, ports));
		break;
	default:
		add(rule, ",%s=%u", PICK(rule, names), PICK(rule, ports));
		break;
	}
	rule->shown |= shows;
}

static void match_tcp_flags(struct rule *rule)
{
	static const char *const flags[] = { "+syn", "-fin+ack", "0x002/0x012", "+rst" };

	if (!rule->broad && chance(rule, 20))
		add(rule, ",tcp_flags=%s", PICK(rule, flags));
}

// Where a proof is needed, an address from one of these; else any match will do, or none.
static void match_ipv4_address(struct rule *rule, const char *const names[2], unsigned int shows)
{
	if (rule->broad)
		add(rule, ",%s=10.0.0.0/8", names[below(rule, 2)]);
	else if (chance(rule, 70))
		add(rule, ",%s=%s", names[below(rule, 2)], PICK(rule, ipv4_matches));
	else if (!rule->options->unproven)
		return;
	rule->shown |= shows;
}

static void match_ipv4(struct rule *rule)
{
	static const char *const protos[] = { "ip", "tcp", "udp", "sctp", "icmp" };
	static const char *const names[] = { "nw_src", "nw_dst" };
	unsigned int proto = below(rule, 5);

	add(rule, ",%s", protos[proto]);
	rule->shown |= SHOWN_IP_TYPE;
	match_ipv4_address(rule, names, SHOWN_IPV4);
	if (proto == 1)
		match_tcp_flags(rule);
	if (proto >= 1 && proto <= 3)
		match_ports(rule, SHOWN_TCP << (proto - 1));
	if (proto == 4 && chance(rule, 60)) {
		add(rule, ",icmp_type=8");
		rule->shown |= SHOWN_ICMP;
	}
	match_ip_common(rule);
}

static void match_nd(struct rule *rule)
{
	bool solicit = chance(rule, 50);

	add(rule, ",icmp_type=%u,icmp_code=0", solicit ? 135 : 136);
	if (!rule->options->unproven)
		add(rule, ",nd_target=%s", PICK(rule, ipv6_prefixes));
	rule->shown |= SHOWN_ND;
	if (rule->options->unproven)
		rule->shown |= solicit ? SHOWN_SLL : SHOWN_TLL;
	if (chance(rule, 60)) {
		add(rule, ",%s=02:00:00:00:00:00/02:00:00:00:00:00", solicit ? "nd_sll" : "nd_tll");
		rule->shown |= solicit ? SHOWN_SLL : SHOWN_TLL;
	}
}

static void match_ipv6_address(struct rule *rule)
{
	static const char *const names[] = { "ipv6_src", "ipv6_dst" };

	if (rule->broad)
		add(rule, ",%s=2001::/16", PICK(rule, names));
	else if (chance(rule, 70))
		add(rule, ",%s=%s", PICK(rule, names), PICK(rule, ipv6_matches));
	else if (!rule->options->unproven)
		return;
	rule->shown |= SHOWN_IPV6;
}

static void match_ipv6(struct rule *rule)
{
	static const char *const protos[] = { "ipv6", "tcp6", "udp6", "sctp6", "icmp6" };
	unsigned int proto = below(rule, 5);

	add(rule, ",%s", protos[proto]);
	rule->shown |= SHOWN_IP_TYPE;
	match_ipv6_address(rule);
	if (!rule->broad && chance(rule, 10))
		add(rule, ",ipv6_label=%u", below(rule, 3));
	if (proto == 1)
		match_tcp_flags(rule);
	if (proto >= 1 && proto <= 3)
		match_ports(rule, SHOWN_TCP << (proto - 1));
	if (proto == 4 && chance(rule, 70)) {
		match_nd(rule);
	} else if (proto == 4) {
		add(rule, ",icmp_type=128");
		rule->shown |= SHOWN_ICMP6;
	}
	match_ip_common(rule);
}

static void match_arp(struct rule *rule)
{
	static const char *const types[] = { "arp", "arp", "rarp" };
	static const char *const names[] = { "arp_spa", "arp_tpa" };
	static const char *const hardware[] = { "arp_sha", "arp_tha" };

	add(rule, ",%s", PICK(rule, types));
	match_ipv4_address(rule, names, SHOWN_ARP);
	if (rule->broad)
		return;
	if (chance(rule, 30))
		add(rule, ",arp_op=%u", 1 + below(rule, 3));
	if (chance(rule, 30))
		add(rule, ",%s=%s", PICK(rule, hardware), PICK(rule, mac_matches));
}

static void match_mpls(struct rule *rule)
{
	add(rule, ",%s", chance(rule, 70) ? "mpls" : "mplsm");
	rule->shown |= SHOWN_MPLS;
	if (rule->broad)
		return;
	if (chance(rule, 20))
		add(rule, ",mpls_label=%u", below(rule, 4) << 4);
	if (chance(rule, 20))
		add(rule, ",mpls_tc=%u", below(rule, 8));
	if (chance(rule, 20))
		add(rule, ",mpls_bos=%u", below(rule, 2));
	if (chance(rule, 20))
		add(rule, ",mpls_ttl=%u", PICK(rule, ttls));
}

static void match_nsh(struct rule *rule)
{
	add(rule, ",dl_type=0x894f");
	rule->shown |= SHOWN_NSH;
	if (rule->broad)
		return;
	switch (below(rule, 8)) {
	case 0:
		add(rule, ",nsh_spi=%u", below(rule, 3));
		break;
	case 1:
		add(rule, ",nsh_si=%u", below(rule, 3));
		break;
	case 2:
		add(rule, ",nsh_mdtype=%u", 1 + below(rule, 2));
		break;
	case 3:
		add(rule, ",nsh_c%u=0/0x%x", 1 + below(rule, 4), 1u << below(rule, 2));
		break;
	case 4:
		add(rule, ",nsh_ttl=63");
		break;
	case 5:
		add(rule, ",nsh_flags=%u/0x3", below(rule, 4));
		break;
	case 6:
		add(rule, ",nsh_np=%u", 1 + below(rule, 4));
		break;
	default:
		break;
	}
}

static void write_nsh(struct rule *rule)
{
	switch (below(rule, 8)) {
	case 0:
		add(rule, ",set_field:%u->nsh_ttl", below(rule, 80));
		break;
	case 1:
		add(rule, ",set_field:%u->nsh_flags", below(rule, 6));
		break;
	case 2:
		add(rule, ",set_field:0x%x->nsh_spi", below(rule, 3));
		break;
	case 3:
		add(rule, ",move:NXM_NX_REG0[0..7]->NXOXM_NSH_SI[]");
		break;
	case 4:
		add(rule, ",move:NXOXM_NSH_C1[]->NXOXM_NSH_C%u[]", 2 + below(rule, 3));
		break;
	case 5:
		add(rule, ",set_field:%u->nsh_c%u", below(rule, 4), 1 + below(rule, 4));
		break;
	case 6:
		add(rule, ",move:NXOXM_NSH_TTL[]->NXM_NX_REG1[0..7]");
		break;
	default:
		add(rule, ",dec_nsh_ttl");
		break;
	}
}

// A bare packet has no Ethernet header to show.
static void match_bare(struct rule *rule)
{
	switch (below(rule, 5)) {
	case 0:
		add(rule, ",packet_type=(1,0x800),nw_ttl=64");
		rule->shown = SHOWN_IPV4 | SHOWN_IP_TYPE;
		break;
	case 1:
		add(rule, ",packet_type=(1,0x86dd)");
		rule->shown = SHOWN_IP_TYPE;
		break;
	case 2:
		add(rule, ",packet_type=(1,0x894f)");
		rule->shown = SHOWN_NSH;
		break;
	case 3:
		add(rule, ",packet_type=(1,0x8847)");
		rule->shown = SHOWN_MPLS;
		break;
	default:
		add(rule, ",packet_type=(1,0x806)");
		rule->shown = 0;
		break;
	}
	rule->bare = true;
}

// Headers around the packet, or one less. What flows may say about it afterwards is little.
static void encapsulate(struct rule *rule)
{
	static const char *const kinds[] = {
		"encap(nsh)",
		"encap(nsh(md_type=1))",
		"encap(nsh(md_type=2,tlv(0x1000,10,0x12345678),tlv(0x1,2,0x0102030405)))",
		"encap(ethernet)",
		"encap(ethernet)",
		"encap(mpls)",
		"encap(mpls_mc)",
		"decap()",
		"decap",
		"decap()",
		"decap(packet_type(ns=0,type=0))",
		"decap(packet_type(ns=1,type=0x800))",
		"decap(packet_type(ns=1,type=0x8847))",
	};

	for (unsigned int n = 1 + below(rule, 3); n; n--)
		add(rule, ",%s", PICK(rule, kinds));
	if (chance(rule, 60))
		add(rule, ",resubmit(,%u)", 1 + below(rule, RULE_TABLES - 1));
	else
		add(rule, ",output:%u", 1 + below(rule, 4));
	rule->closed = true;
}

static void match_protocol(struct rule *rule)
{
	static const char *const others[] = { "dl_type=0x05ff", "dl_type=0x88cc", "dl_type=0x8100",
					      "dl_type=0x0600" };
	unsigned int kind = below(rule, 100);

	if (kind < 45)
		match_ipv4(rule);
	else if (kind < 80)
		match_ipv6(rule);
	else if (kind < 90)
		match_arp(rule);
	else if (kind < 95)
		match_mpls(rule);
	else if (kind < 98)
		match_nsh(rule);
	else
		add(rule, ",%s", PICK(rule, others));
}

static void match(struct rule *rule)
{
	rule->broad = chance(rule, 50);
	if (chance(rule, 8))
		return;
	if (chance(rule, 20))
		add(rule, ",in_port=%u", 1 + below(rule, 4));
	if (chance(rule, 20))
		match_metadata(rule);
	if (chance(rule, 6)) {
		match_bare(rule);
		return;
	}
	if (chance(rule, 15))
		match_ethernet(rule);
	if (chance(rule, 35))
		match_vlan(rule);
	if (chance(rule, 65))
		match_protocol(rule);
}

// --- Actions ---

static void write_option(struct rule *rule);

static void write_register(struct rule *rule)
{
	if (chance(rule, 20)) {
		write_option(rule);
		return;
	}
	switch (below(rule, 8)) {
	case 0:
		add(rule, ",set_field:%u->reg%u", below(rule, 4), below(rule, 4));
		break;
	case 1:
		add(rule, ",load:%u->NXM_NX_REG%u[%u..%u]", below(rule, 4), below(rule, 4),
		    below(rule, 2), 3 + below(rule, 20));
		break;
	case 2:
		add(rule, ",set_field:0x%x/0x%x->xreg%u", below(rule, 4), 3u, below(rule, 2));
		break;
	case 3:
		add(rule, ",load:%u->OXM_OF_METADATA[0..2]", below(rule, 8));
		break;
	case 4:
		add(rule, ",set_field:0x%x->xxreg1", below(rule, 4));
		break;
	case 5:
		add(rule, ",load:1->NXM_NX_REG15[]");
		break;
	case 6:
		add(rule, ",load:0x%x->NXM_NX_REG%u[]", below(rule, 8), below(rule, 5));
		break;
	default:
		add(rule, ",set_field:0x%x/0x7->metadata", below(rule, 8));
		break;
	}
}

static void move_register(struct rule *rule)
{
	unsigned int from = below(rule, 28), bits = 1 + below(rule, 4);

	switch (below(rule, 8)) {
	case 0:
		add(rule, ",move:NXM_NX_REG%u[%u..%u]->NXM_NX_REG%u[0..%u]", below(rule, 4), from,
		    from + bits - 1, below(rule, 4), bits - 1);
		break;
	case 1:
		add(rule, ",move:NXM_OF_ETH_SRC[0..1]->NXM_NX_REG0[0..1]");
		break;
	case 2:
		add(rule, ",move:NXM_OF_VLAN_TCI[0..11]->NXM_NX_REG1[0..11]");
		break;
	case 3:
		add(rule, ",move:NXM_OF_ETH_DST[]->OXM_OF_PKT_REG1[8..55]");
		break;
	case 4:
		add(rule, ",move:NXM_OF_IN_PORT[]->NXM_NX_REG2[0..15]");
		break;
	case 5:
		add(rule, ",move:OXM_OF_METADATA[0..1]->NXM_NX_REG0[1..2]");
		break;
	case 6:
		add(rule, ",move:NXM_NX_REG0[]->OXM_OF_METADATA[0..31]");
		break;
	default:
		add(rule, ",move:NXM_NX_XXREG0[3..100]->NXM_NX_XXREG1[0..97]");
		break;
	}
}

static void write_option(struct rule *rule)
{
	const unsigned int n = below(rule, 6), m = below(rule, 6);
	const unsigned int least =
		option_bits[n] < option_bits[m] ? option_bits[n] : option_bits[m];
	const unsigned int bits = 1 + below(rule, least);
	const unsigned int from = below(rule, option_bits[n] - bits + 1);
	const unsigned int to = below(rule, option_bits[m] - bits + 1);

	switch (below(rule, 7)) {
	case 0:
		add(rule, ",set_field:%u->tun_metadata%u", below(rule, 4), option_numbers[n]);
		break;
	case 1:
		add(rule, ",load:%u->tun_metadata%u[%u..%u]", below(rule, 2), option_numbers[m], to,
		    to + bits - 1);
		break;
	case 2:
		add(rule, ",set_field:0x%x/0xf0000000f->tun_metadata2", below(rule, 16));
		break;
	case 3:
		add(rule, ",move:NXM_NX_REG%u[]->tun_metadata%u[%u..%u]", below(rule, 4),
		    option_numbers[n], option_bits[n] - 32, option_bits[n] - 1);
		break;
	case 4:
		add(rule, ",move:tun_metadata%u[%u]->NXM_NX_REG%u[1]", option_numbers[n],
		    below(rule, option_bits[n]), below(rule, 4));
		break;
	default:
		add(rule, ",move:tun_metadata%u[%u..%u]->tun_metadata%u[%u..%u]", option_numbers[n],
		    from, from + bits - 1, option_numbers[m], to, to + bits - 1);
		break;
	}
}

static void write_ethernet(struct rule *rule)
{
	switch (below(rule, 5)) {
	case 0:
		add(rule, ",mod_dl_src:%s", PICK(rule, macs));
		break;
	case 1:
		add(rule, ",mod_dl_dst:%s", PICK(rule, macs));
		break;
	case 2:
		add(rule, ",set_field:00:00:00:00:00:05/00:00:00:00:00:07->eth_src");
		break;
	case 3:
		add(rule, ",move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]");
		break;
	default:
		add(rule, ",load:0x%x->NXM_OF_ETH_SRC[4..13]", below(rule, 1024));
		break;
	}
}

// Tags. One more may hide what the match showed.
static void push(struct rule *rule)
{
	if (rule->max_tags > 2)
		return;
	add(rule, ",push_vlan:%s", chance(rule, 60) ? "0x8100" : "0x88a8");
	if (++rule->max_tags > 2)
		rule->unsure = !rule->options->unproven;
	rule->shown |= SHOWN_TAG;
	rule->shown &= ~(unsigned int)SHOWN_TAG1;
}

static void write_tag(struct rule *rule)
{
	switch (below(rule, 8)) {
	case 0:
	case 1:
		push(rule);
		break;
	case 2:
		add(rule, ",%s", chance(rule, 50) ? "pop_vlan" : "strip_vlan");
		rule->shown &= ~(unsigned int)(SHOWN_TAG | SHOWN_TAG1);
		break;
	case 3:
		add(rule, ",mod_vlan_vid:%u", PICK(rule, vids));
		if (!rule->max_tags)
			rule->max_tags = 1;
		break;
	case 4:
		add(rule, ",mod_vlan_pcp:%u", below(rule, 8));
		if (!rule->max_tags)
			rule->max_tags = 1;
		break;
	case 5:
		add(rule, ",set_field:0x%x->vlan_tci",
		    below(rule, 8) << 13 | (chance(rule, 70) ? 0x1000u : 0) | PICK(rule, vids));
		rule->shown &= ~(unsigned int)(SHOWN_TAG | SHOWN_TAG1);
		if (!rule->max_tags)
			rule->max_tags = 1;
		break;
	case 6:
		if (rule->shown & SHOWN_TAG1 && !rule->unsure)
			add(rule, ",load:%u->vlan_tci1[0..11]", PICK(rule, vids));
		break;
	default:
		if (!(rule->shown & SHOWN_TAG) || rule->unsure)
			break;
		if (chance(rule, 50))
			add(rule, ",set_field:%u->vlan_vid", 4096 | PICK(rule, vids));
		else
			add(rule, ",set_field:%u->vlan_pcp", below(rule, 8));
		break;
	}
}

static void write_ip_common(struct rule *rule)
{
	switch (below(rule, 6)) {
	case 0:
		add(rule, ",mod_nw_tos:%u", PICK(rule, toses) & 0xfc);
		break;
	case 1:
		add(rule, ",mod_nw_ecn:%u", below(rule, 4));
		break;
	case 2:
		add(rule, ",set_field:%u->nw_ttl", PICK(rule, ttls));
		break;
	case 3:
		add(rule, ",set_field:%u->ip_dscp", below(rule, 64));
		break;
	case 4:
		add(rule, ",move:NXM_NX_IP_TTL[]->NXM_NX_REG3[0..7]");
		break;
	default:
		add(rule, ",move:NXM_NX_REG1[0..1]->NXM_NX_IP_ECN[]");
		break;
	}
}

static void write_ipv4(struct rule *rule)
{
	switch (below(rule, 6)) {
	case 0:
		add(rule, ",mod_nw_src:%s", PICK(rule, ipv4s));
		break;
	case 1:
		add(rule, ",mod_nw_dst:%s", PICK(rule, ipv4s));
		break;
	case 2:
		add(rule, ",set_field:0.0.0.1/0.0.0.3->ip_dst");
		break;
	case 3:
		add(rule, ",move:NXM_OF_IP_SRC[]->NXM_OF_IP_DST[]");
		break;
	case 4:
		add(rule, ",move:NXM_OF_IP_SRC[0..3]->NXM_NX_REG0[0..3]");
		break;
	default:
		add(rule, ",move:NXM_NX_REG0[0..7]->NXM_OF_IP_DST[0..7]");
		break;
	}
}

static void write_ipv6(struct rule *rule)
{
	switch (below(rule, 6)) {
	case 0:
		add(rule, ",set_field:%s->ipv6_src", PICK(rule, ipv6s));
		break;
	case 1:
		add(rule, ",set_field:%s->ipv6_dst", PICK(rule, ipv6s));
		break;
	case 2:
		add(rule, ",set_field:::5/::7->ipv6_dst");
		break;
	case 3:
		add(rule, ",set_field:%u->ipv6_label", below(rule, 3));
		break;
	case 4:
		add(rule, ",move:NXM_NX_IPV6_SRC[]->NXM_NX_IPV6_DST[]");
		break;
	default:
		add(rule, ",move:NXM_NX_IPV6_SRC[0..31]->NXM_NX_REG0[]");
		break;
	}
}

static void write_arp(struct rule *rule)
{
	switch (below(rule, 6)) {
	case 0:
		add(rule, ",set_field:%u->arp_op", 1 + below(rule, 3));
		break;
	case 1:
		add(rule, ",set_field:%s->arp_sha", PICK(rule, macs));
		break;
	case 2:
		add(rule, ",set_field:%s->arp_tpa", PICK(rule, ipv4s));
		break;
	case 3:
		add(rule, ",move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[]");
		break;
	case 4:
		add(rule, ",move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[]");
		break;
	default:
		add(rule, ",move:NXM_OF_ETH_SRC[]->NXM_NX_ARP_SHA[]");
		break;
	}
}

static void write_ports(struct rule *rule, const char *proto, const char *nxm)
{
	switch (below(rule, 4)) {
	case 0:
		add(rule, ",set_field:%u->%s_src", PICK(rule, ports), proto);
		break;
	case 1:
		add(rule, ",set_field:%u->%s_dst", PICK(rule, ports), proto);
		break;
	case 2:
		add(rule, ",move:%s_SRC[]->%s_DST[]", nxm, nxm);
		break;
	default:
		add(rule, ",load:%u->%s_DST[0..7]", below(rule, 256), nxm);
		break;
	}
}

static void write_nd(struct rule *rule)
{
	if (rule->shown & SHOWN_SLL && chance(rule, 50))
		add(rule, ",set_field:%s->nd_sll", PICK(rule, macs));
	else if (rule->shown & SHOWN_TLL && chance(rule, 50))
		add(rule, ",set_field:%s->nd_tll", PICK(rule, macs));
	else if (chance(rule, 80))
		add(rule, ",set_field:%s->nd_target", PICK(rule, ipv6s));
	else
		add(rule, ",set_field:%u->nd_reserved", below(rule, 4) << 29);
}

static void write_icmp(struct rule *rule, unsigned int echo, const char *proto)
{
	if (chance(rule, 50))
		add(rule, ",set_field:%u->%s_type",
		    chance(rule, 50) ? echo
		    : echo == 8      ? 0
				     : 129,
		    proto);
	else
		add(rule, ",set_field:%u->%s_code", below(rule, 3), proto);
	// Further writes would be to another kind of message.
	rule->shown &= ~(unsigned int)(SHOWN_ICMP | SHOWN_ICMP6);
}

static void write_shown(struct rule *rule)
{
	unsigned int kinds[16], n = 0, kind;

	for (unsigned int bit = 0; bit <= 10; bit++)
		if (rule->shown & 1u << bit)
			kinds[n++] = 1u << bit;
	if (!rule->unsure && rule->shown & SHOWN_NSH) {
		write_nsh(rule);
		return;
	}
	if (rule->unsure || !n) {
		write_ethernet(rule);
		return;
	}
	kind = kinds[below(rule, n)];
	if (kind & (SHOWN_IPV4 | SHOWN_IPV6) && chance(rule, 30))
		write_ip_common(rule);
	else if (kind == SHOWN_IPV4)
		write_ipv4(rule);
	else if (kind == SHOWN_IPV6)
		write_ipv6(rule);
	else if (kind == SHOWN_ARP)
		write_arp(rule);
	else if (kind == SHOWN_TCP)
		write_ports(rule, "tcp", "NXM_OF_TCP");
	else if (kind == SHOWN_UDP)
		write_ports(rule, "udp", "NXM_OF_UDP");
	else if (kind == SHOWN_SCTP)
		write_ports(rule, "sctp", "OXM_OF_SCTP");
	else if (kind == SHOWN_ICMP)
		write_icmp(rule, 8, "icmp");
	else if (kind == SHOWN_ICMP6)
		write_icmp(rule, 128, "icmpv6");
	else
		write_nd(rule);
}

// Labels. What a packet carries is hidden by a push and unknown after a pop.
static void push_label(struct rule *rule)
{
	add(rule, ",push_mpls:0x%x", chance(rule, 70) ? 0x8847 : 0x8848);
	rule->shown = (rule->shown & (SHOWN_TAG | SHOWN_TAG1)) | SHOWN_MPLS;
}

static void pop_label(struct rule *rule)
{
	static const char *const types[] = { "0x0800", "0x86dd", "0x8847", "0x8847", "0x88cc" };
	const char *type = PICK(rule, types);

	add(rule, ",pop_mpls:%s", type);
	rule->shown &= SHOWN_TAG | SHOWN_TAG1;
	if (!strcmp(type, "0x8847"))
		rule->shown |= SHOWN_MPLS;
	else if (strcmp(type, "0x88cc"))
		rule->shown |= SHOWN_IP_TYPE;
}

static void write_mpls(struct rule *rule)
{
	switch (rule->shown & SHOWN_MPLS && !rule->unsure ? below(rule, 10) : 0) {
	case 0:
		push_label(rule);
		break;
	case 1:
	case 2:
		pop_label(rule);
		break;
	case 3:
		add(rule, ",set_mpls_label:%u", below(rule, 4) << 4);
		break;
	case 4:
		add(rule, ",set_field:%u->mpls_tc", below(rule, 8));
		break;
	case 5:
		add(rule, ",set_mpls_ttl:%u", PICK(rule, ttls));
		break;
	case 6:
		add(rule, ",move:OXM_OF_MPLS_LABEL[0..7]->NXM_NX_REG0[0..7]");
		break;
	case 7:
		add(rule, ",copy_ttl_in");
		break;
	case 8:
		add(rule, ",copy_ttl_out");
		break;
	default:
		add(rule, ",dec_mpls_ttl");
		break;
	}
}

// Any part of any field onto the stack, and off it.
static void stack(struct rule *rule)
{
	static const char *const from[] = { "reg0",         "reg1[3..9]",
					    "in_port",      "eth_src",
					    "xxreg0",       "eth_type",
					    "vlan_tci",     "metadata[0..2]",
					    "xreg1[1]",     "tun_metadata2[500..627]",
					    "tun_metadata4" };
	static const char *const to[] = { "reg0",     "reg1[3..9]",     "in_port",
					  "eth_dst",  "xxreg1",         "vlan_tci[0..11]",
					  "vlan_tci", "metadata[0..2]", "eth_src[8..19]",
					  "reg2[31]", "tun_metadata1",  "tun_metadata3[3..40]" };

	if (chance(rule, 75)) {
		add(rule, ",push:%s", PICK(rule, from));
		if (chance(rule, 60))
			add(rule, ",push:%s", PICK(rule, from));
	} else {
		const char *target = PICK(rule, to);

		add(rule, ",pop:%s", target);
		if (!strcmp(target, "vlan_tci"))
			rule->shown &= ~(unsigned int)(SHOWN_TAG | SHOWN_TAG1);
		if (!strcmp(target, "vlan_tci") && !rule->max_tags)
			rule->max_tags = 1;
	}
}

static void choose(struct rule *rule)
{
	static const char *const hashes[] = { "eth_src",        "symmetric_l4",
					      "symmetric_l3l4", "symmetric_l3l4+udp",
					      "nw_src",         "nw_dst",
					      "symmetric_l3" };
	static const char *const algorithms[] = { "modulo_n", "hash_threshold", "hrw",
						  "iter_hash" };
	static const char *const bundles[] = { "hrw", "active_backup" };
	static const char *const members[] = { "1,2,3", "4,6,2,3", "4,6", "", "7,5,2", "3,2" };

	switch (below(rule, 3)) {
	case 0:
		add(rule, ",multipath(%s,%u,%s,%u,%u,NXM_NX_REG%u[0..7])", PICK(rule, hashes),
		    below(rule, 3), PICK(rule, algorithms), 1 + below(rule, 100), below(rule, 130),
		    below(rule, 4));
		break;
	case 1:
		add(rule, ",bundle(%s,%u,%s,ofport,members:%s)", PICK(rule, hashes), below(rule, 3),
		    PICK(rule, bundles), PICK(rule, members));
		break;
	default:
		add(rule, ",bundle_load(%s,%u,%s,ofport,NXM_NX_REG%u[],members:%s)",
		    PICK(rule, hashes), below(rule, 3), PICK(rule, bundles), below(rule, 4),
		    PICK(rule, members));
		break;
	}
}

static void queue(struct rule *rule)
{
	switch (below(rule, 5)) {
	case 0:
		add(rule, ",enqueue:%u:%u", 1 + below(rule, 5), below(rule, 3));
		break;
	case 1:
		add(rule, ",set_queue:%u,sample(probability=65535,collector_set_id=%u)",
		    below(rule, 3), below(rule, 4));
		break;
	case 2:
		add(rule, ",pop_queue");
		break;
	case 3:
		add(rule, ",move:reg0[0..1]->reg1[1..2]");
		break;
	default:
		add(rule, ",check_pkt_larger(%u)->reg%u[%u]", 40 + below(rule, 80), below(rule, 4),
		    below(rule, 3));
		break;
	}
}

static void action(struct rule *rule);

static void clone_actions(struct rule *rule)
{
	const struct rule before = *rule;
	unsigned int n = 1 + below(rule, 4);
	size_t start;

	if (rule->depth == 2)
		return;
	add(rule, ",clone(");
	start = rule->length;
	rule->depth++;
	for (unsigned int i = 0; i < n; i++)
		action(rule);
	if (chance(rule, 3))
		add(rule, ",exit");
	rule->depth--;
	if (rule->length > start) { // no comma behind the bracket
		memmove(rule->text + start, rule->text + start + 1, rule->length - start);
		rule->length--;
	}
	add(rule, ")");
	rule->shown = before.shown;
	rule->max_tags = before.max_tags;
	rule->unsure = before.unsure;
	rule->closed = before.closed;
}

static void output(struct rule *rule)
{
	static const char *const reserved[] = { "in_port", "flood", "all", "LOCAL" };

	switch (below(rule, 10)) {
	case 0:
		add(rule, ",%s", PICK(rule, reserved));
		break;
	case 1:
		add(rule, ",output(port=%u,max_len=%u)", 1 + below(rule, 6), 14 + below(rule, 60));
		break;
	case 2:
		add(rule, ",output:NXM_NX_REG%u[0..2]", below(rule, 4));
		break;
	case 3:
		add(rule, ",output:%u", 1 + below(rule, 7));
		break;
	default:
		add(rule, ",output:%u", 1 + below(rule, 3));
		break;
	}
}

static unsigned int later_table(struct rule *rule)
{
	if (rule->options->loops && chance(rule, 35))
		return below(rule, RULE_TABLES);
	return rule->table + 1 + below(rule, RULE_TABLES - rule->table); // may be an empty table
}

static void resubmit(struct rule *rule)
{
	switch (below(rule, 4)) {
	case 0:
		add(rule, ",resubmit(%u,%u)", 1 + below(rule, 5), later_table(rule));
		break;
	case 1:
		if (rule->options->loops && chance(rule, 20))
			add(rule, ",resubmit:%u", 1 + below(rule, 5));
		break;
	default:
		add(rule, ",resubmit(,%u)", later_table(rule));
		break;
	}
	rule->unsure = !rule->options->unproven;
}

// The last table is where groups resubmit to: without loops it leads to no group.
static bool is_before_groups(const struct rule *rule)
{
	return rule->options->loops || rule->table + 1 < RULE_TABLES;
}

static void group(struct rule *rule)
{
	add(rule, ",group:%u", 1 + below(rule, RULE_GROUPS + (chance(rule, 10) ? 1 : 0)));
}

// Without a match on the header that it goes into.
static void write_anywhere(struct rule *rule)
{
	switch (below(rule, 8)) {
	case 0:
		add(rule, ",mod_nw_src:%s", PICK(rule, ipv4s));
		break;
	case 1:
		add(rule, ",mod_nw_dst:%s", PICK(rule, ipv4s));
		break;
	case 2:
		add(rule, ",mod_nw_tos:%u", PICK(rule, toses) & 0xfc);
		break;
	case 3:
		add(rule, ",mod_nw_ttl:%u", PICK(rule, ttls));
		break;
	case 4:
		add(rule, ",mod_tp_src:%u", PICK(rule, ports));
		break;
	case 5:
		add(rule, ",mod_tp_dst:%u", PICK(rule, ports));
		break;
	case 6:
		add(rule, ",dec_ttl");
		break;
	default:
		add(rule, ",set_mpls_tc:%u", below(rule, 8));
		break;
	}
}

static void action(struct rule *rule)
{
	unsigned int kind = below(rule, 100);

	if (rule->closed)
		return;
	if (rule->bare || (!rule->options->loops && chance(rule, 5))) {
		encapsulate(rule);
		return;
	}

	if (chance(rule, 25)) {
		switch (below(rule, 9)) {
		case 0:
		case 1:
			write_mpls(rule);
			break;
		case 2:
		case 3:
		case 4:
			stack(rule);
			break;
		case 5:
			choose(rule);
			break;
		case 6:
			queue(rule);
			break;
		case 7:
			write_anywhere(rule);
			break;
		default:
			clone_actions(rule);
			break;
		}
		return;
	}
	if (kind < 5 && is_before_groups(rule))
		group(rule);
	else if (kind < 38)
		output(rule);
	else if (kind < 50)
		write_register(rule);
	else if (kind < 57)
		move_register(rule);
	else if (kind < 70)
		write_shown(rule);
	else if (kind < 78)
		write_tag(rule);
	else if (kind < 84 && rule->shown & SHOWN_IP_TYPE)
		add(rule, ",dec_ttl");
	else if (kind < 84)
		write_ethernet(rule);
	else if (kind < 96)
		resubmit(rule);
	else if (kind < 97)
		add(rule,
		    chance(rule, 30) ? ",delete_field:tun_metadata%u"
		    : chance(rule, 50)
			    ? ",note:01.02.03,sample(probability=65535,collector_set_id=%u)"
			    : ",ct_clear",
		    below(rule, 4));
	else if (kind < 98 && rule->shown & SHOWN_IP_TYPE && chance(rule, 50))
		add(rule, ",ct(%s)", chance(rule, 50) ? "table=2" : "commit");
	else if (kind < 98)
		add(rule, ",controller");
	else
		write_ethernet(rule);
}

// Everything that may stand in an action set, then the braces around it.
static void write_actions(struct rule *rule)
{
	static const char *const label_actions[] = { "pop_mpls:0x0800", "dec_mpls_ttl",
						     "copy_ttl_in", "copy_ttl_out" };
	size_t start;
	unsigned int n = 1 + below(rule, 4);

	add(rule, ",write_actions(");
	start = rule->length;
	if (chance(rule, 20) && is_before_groups(rule))
		group(rule);
	for (unsigned int i = 0; i < n; i++)
		switch (below(rule, 13)) {
		case 0:
			push(rule);
			break;
		case 1:
			add(rule, ",pop_vlan");
			break;
		case 6:
			push_label(rule);
			break;
		case 7:
			if (rule->shown & SHOWN_MPLS)
				add(rule, ",%s", PICK(rule, label_actions));
			break;
		case 8:
			add(rule, ",resubmit(,%u)", 1 + below(rule, RULE_TABLES));
			break;
		case 9:
			add(rule, ",set_field:0x%x/0x%x->reg0", 1u << below(rule, 2), 3u);
			break;
		case 2:
			if (rule->shown & SHOWN_IP_TYPE)
				add(rule, ",dec_ttl");
			break;
		case 3:
			add(rule, ",set_field:%s->eth_dst", PICK(rule, macs));
			break;
		case 4:
			add(rule, ",mod_vlan_vid:%u", PICK(rule, vids));
			break;
		case 5:
			add(rule, ",set_field:%u->reg%u", below(rule, 4), below(rule, 4));
			break;
		default:
			add(rule, ",output:%u", 1 + below(rule, 4));
			break;
		}
	if (rule->length == start)
		add(rule, ",output:1");
	// No comma behind the bracket.
	memmove(rule->text + start, rule->text + start + 1, rule->length - start);
	rule->length--;
	add(rule, ")");
}

static void instructions(struct rule *rule)
{
	if (chance(rule, 5))
		add(rule, ",clear_actions");
	if (chance(rule, 12) && !rule->closed && !rule->bare)
		write_actions(rule);
	if (chance(rule, 5))
		add(rule, ",write_metadata:0x%x/0x%x", below(rule, 8), 7u);
	if (rule->table + 1 < RULE_TABLES && chance(rule, 45))
		add(rule, ",goto_table:%u",
		    rule->table + 1 + below(rule, RULE_TABLES - rule->table - 1));
}

static void actions(struct rule *rule)
{
	size_t start;
	unsigned int n = below(rule, 6);

	add(rule, ",actions=");
	start = rule->length;
	if (chance(rule, 15))
		add(rule, ",meter:%u", 1 + below(rule, RULE_METERS + 1));
	for (unsigned int i = 0; i < n; i++)
		action(rule);
	if (chance(rule, 3))
		add(rule, ",exit");
	else
		instructions(rule);
	if (rule->length == start) {
		add(rule, "drop");
		return;
	}
	memmove(rule->text + start, rule->text + start + 1, rule->length - start);
	rule->length--;
}

// A flow of a conjunction matches little besides, so that several of them meet in one packet.
static void conjunctive_rule(struct rule *rule)
{
	add(rule, "table=%u,priority=%u", rule->table, 1 + below(rule, 6));
	switch (below(rule, 6)) {
	case 0:
		add(rule, ",ip,nw_src=%s", PICK(rule, ipv4_matches));
		break;
	case 1:
		add(rule, ",ip,nw_dst=%s", PICK(rule, ipv4_matches));
		break;
	case 2:
		add(rule, ",in_port=%u", 1 + below(rule, 4));
		break;
	case 3:
		add(rule, ",dl_dst=%s", PICK(rule, mac_matches));
		break;
	case 4:
		add(rule, ",vlan_tci=0x%x/0x1000", below(rule, 2) << 12);
		break;
	default:
		add(rule, ",metadata=%u/0x1", below(rule, 2));
		break;
	}
	add(rule, ",actions=");
	for (unsigned int i = 1 + below(rule, 4); i > 0; i--) {
		const unsigned int n = chance(rule, 80) ? 2 : 3;

		add(rule, "conjunction(%u,%u/%u)%s", 1 + below(rule, 3), 1 + below(rule, n), n,
		    i > 1 ? "," : "");
	}
	if (chance(rule, 10))
		add(rule, ",note:00.11");
}

static void begin(struct rule *rule, struct random *random, const struct rule_options *options,
		  char *text)
{
	memset(rule, 0, sizeof(*rule));
	rule->random = random;
	rule->options = options;
	rule->text = text;
	rule->max_tags = 3;
	text[0] = '\0';
}

void rule_make(struct random *random, const struct rule_options *options, char text[RULE_SIZE])
{
	struct rule rule;

	begin(&rule, random, options, text);
	rule.table = random_chance(random, 35) ? 0 : random_below(random, RULE_TABLES);
	if (options->conjunctions && chance(&rule, 50)) {
		conjunctive_rule(&rule);
		return;
	}
	add(&rule, "table=%u,priority=%u", rule.table, below(&rule, 8));
	if (options->conjunctions && chance(&rule, 50))
		add(&rule, ",conj_id=%u", below(&rule, 4));
	match(&rule);
	actions(&rule);
}

void rule_make_write(struct random *random, const struct rule_options *options,
		     char text[RULE_SIZE])
{
	struct rule rule;
	size_t start;

	begin(&rule, random, options, text);
	rule.broad = chance(&rule, 80);
	add(&rule, "table=0,priority=1");
	if (chance(&rule, 30))
		match_vlan(&rule);
	match_protocol(&rule);
	add(&rule, ",actions=");
	start = rule.length;
	while (rule.length == start) {
		if (rule.shown & SHOWN_MPLS || chance(&rule, 5))
			write_mpls(&rule);
		else if (rule.shown & 0x7ff && chance(&rule, 70))
			write_shown(&rule);
		else if (chance(&rule, 50))
			write_tag(&rule);
		else
			write_ethernet(&rule);
	}
	memmove(text + start, text + start + 1, rule.length - start);
	rule.length--;
	add(&rule, ",output:2");
}

static void bucket_action(struct rule *rule, unsigned int id)
{
	switch (below(rule, 14)) {
	case 0:
		add(rule, ",push_vlan:0x8100");
		break;
	case 1:
		add(rule, ",pop_vlan");
		break;
	case 2:
		add(rule, ",dec_ttl");
		break;
	case 3:
		add(rule, ",set_field:%s->eth_dst", PICK(rule, macs));
		break;
	case 4:
		add(rule, ",mod_vlan_vid:%u", PICK(rule, vids));
		break;
	case 5:
		add(rule, ",set_field:%u->reg%u", below(rule, 4), below(rule, 4));
		break;
	case 6:
		if (id < RULE_GROUPS)
			add(rule, ",group:%u", id + 1 + below(rule, RULE_GROUPS - id));
		break;
	case 12:
		add(rule, ",push_mpls:0x8847");
		break;
	case 13:
		add(rule, ",set_queue:%u", below(rule, 3));
		break;
	case 7:
		add(rule, ",resubmit(%s,%u)", chance(rule, 30) ? "2" : "",
		    rule->options->loops ? below(rule, RULE_TABLES) : RULE_TABLES - 1);
		break;
	default:
		add(rule, ",output:%u", 1 + below(rule, 6));
		break;
	}
}

// How a select group chooses. Returns its number of buckets.
static unsigned int group_selection(struct rule *rule)
{
	static const char *const methods[] = {
		"",
		",selection_method=dp_hash",
		",selection_method=dp_hash,selection_method_param=7",
		",selection_method=dp_hash,selection_method_param=0x100000007",
		",selection_method=hash",
		",selection_method=hash,selection_method_param=9",
		",selection_method=hash,fields(ip_dst,nw_proto)",
		",selection_method=hash,fields(eth_src,ipv6_src=ffff::)",
	};

	add(rule, "%s", PICK(rule, methods));
	return below(rule, 6);
}

void rule_make_group(struct random *random, const struct rule_options *options, unsigned int id,
		     char text[RULE_SIZE])
{
	static const char *const types[] = { "all", "all", "indirect", "ff", "select", "select" };
	struct rule rule;
	const char *type;
	unsigned int n;

	begin(&rule, random, options, text);
	type = PICK(&rule, types);
	n = *type == 'i' ? 1 : below(&rule, 4);
	add(&rule, "group_id=%u,type=%s", id, type);
	if (*type == 's')
		n = group_selection(&rule);
	for (unsigned int i = 0; i < n; i++) {
		add(&rule, ",bucket=");
		if (*type == 'f' && id < RULE_GROUPS && chance(&rule, 30))
			add(&rule, "watch_group:%u", id + 1 + below(&rule, RULE_GROUPS - id));
		else if (*type == 'f')
			add(&rule, "watch_port:%u", 1 + below(&rule, 7));
		if (*type == 's') {
			add(&rule, "weight:%u", below(&rule, 5) * below(&rule, 40));
			if (chance(&rule, 30))
				add(&rule, ",watch_port:%u", 1 + below(&rule, 7));
		}
		for (unsigned int a = below(&rule, 4); a > 0; a--)
			bucket_action(&rule, id);
	}
}
