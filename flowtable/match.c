#include "flowtable/match.h"

#include <string.h>

void match_init(struct match *match)
{
	memset(match, 0, sizeof(*match));
}

void match_set(struct match *match, const struct field *field, const struct field_value *value)
{
	struct field_value mask = field_all_ones(field);

	match_set_masked(match, field, value, &mask);
}

void match_set_masked(struct match *match, const struct field *field,
		      const struct field_value *value, const struct field_value *mask)
{
	struct field_value bits;

	for (unsigned int i = 0; i < FIELD_VALUE_SIZE; i++)
		bits.bytes[i] = value->bytes[i] & mask->bytes[i];
	field_set(field, &bits, &match->value);
	field_set(field, mask, &match->mask);
}

bool match_equal(const struct match *a, const struct match *b)
{
	return !memcmp(a, b, sizeof(*a));
}

bool match_covers(const struct match *match, const struct key *key)
{
	for (unsigned int i = 0; i < KEY_WORDS; i++)
		if ((key->words[i] & match->mask.words[i]) != match->value.words[i])
			return false;
	return true;
}

// All fields that are asked for fit in a word, and most are of 1, 2 or 4 bytes.
static uint64_t load(const uint8_t *bytes, unsigned int size)
{
	uint64_t value = 0;
	uint32_t four;
	uint16_t two;

	switch (size) {
	case 1:
		return bytes[0];
	case 2:
		memcpy(&two, bytes, 2);
		return __builtin_bswap16(two);
	case 4:
		memcpy(&four, bytes, 4);
		return __builtin_bswap32(four);
	default:
		for (unsigned int i = 0; i < size; i++)
			value = value << 8 | bytes[i];
		return value;
	}
}

// Is the field matched exactly, in all its bits? Then *number is what it must be.
static bool match_exact(const struct match *match, enum field_id id, uint64_t *number)
{
	const struct field *field = &fields[id];
	const uint64_t ones = field->n_bits < 64 ? (UINT64_C(1) << field->n_bits) - 1 : UINT64_MAX;
	const uint64_t mask = load(&match->mask.bytes[field->offset], field->size);
	const uint64_t value = load(&match->value.bytes[field->offset], field->size);

	*number = value >> field->shift & ones;
	return (mask >> field->shift & ones) == ones;
}

static bool match_is(const struct match *match, enum field_id id, uint64_t number)
{
	uint64_t value;

	return match_exact(match, id, &value) && value == number;
}

#define PACKET_TYPE_NAMESPACE_ETH_TYPE 1

// The Ethernet type that the match asks for, as an Ethernet frame or as a bare packet; 0 if none.
static uint64_t match_eth_type(const struct match *match)
{
	uint64_t value;

	if (match_exact(match, FIELD_PACKET_TYPE, &value) && value)
		return value >> 16 == PACKET_TYPE_NAMESPACE_ETH_TYPE ? value & 0xffff : 0;
	return match_exact(match, FIELD_ETH_TYPE, &value) ? value : 0;
}

static bool match_vlan_present(const struct match *match, enum field_id tci)
{
	struct field_value value;

	field_get(&fields[tci], &match->value, &value);
	return field_value_to_u64(&value) & KEY_VLAN_PRESENT;
}

static bool match_is_nd(const struct match *match, uint64_t type)
{
	return match_eth_type(match) == 0x86dd && match_is(match, FIELD_IP_PROTO, 58) &&
	       match_is(match, FIELD_ICMPV6_TYPE, type);
}

#define CT_STATE_NEW_EST_REL 0x07
#define CT_STATE_INV 0x10
#define CT_STATE_TRK 0x20

// A match on a valid state: +new, +est, +rel or +trk-inv (ovs-fields(7), ct_nw_src).
static bool match_is_tracked(const struct match *match)
{
	struct field_value value;
	uint64_t state;
	uint64_t mask;

	field_get(&fields[FIELD_CT_STATE], &match->value, &value);
	state = field_value_to_u64(&value);
	field_get(&fields[FIELD_CT_STATE], &match->mask, &value);
	mask = field_value_to_u64(&value);
	return state & CT_STATE_NEW_EST_REL ||
	       (state & CT_STATE_TRK && mask & CT_STATE_INV && !(state & CT_STATE_INV));
}

// For each prerequisite: what to ask for, in words and as a flow says it.
struct prerequisite {
	const char *noun;
	const char *remedy;
};

static const struct prerequisite prerequisites[] = {
	[PREREQ_NONE] = { "no", "nothing" },
	[PREREQ_ETHERNET] = { "an Ethernet match", "eth" },
	[PREREQ_VLAN] = { "a VLAN match", "dl_vlan=N or vlan_tci=0x1000/0x1000" },
	[PREREQ_VLAN1] = { "a match on the second VLAN tag", "dl_vlan1=N" },
	[PREREQ_ARP] = { "an ARP match", "arp or rarp" },
	[PREREQ_IPV4] = { "an IPv4 match", "ip" },
	[PREREQ_IPV6] = { "an IPv6 match", "ipv6" },
	[PREREQ_IP] = { "an IP match", "ip or ipv6" },
	[PREREQ_MPLS] = { "an MPLS match", "mpls" },
	[PREREQ_TCP] = { "a TCP match", "tcp or tcp6" },
	[PREREQ_UDP] = { "a UDP match", "udp or udp6" },
	[PREREQ_SCTP] = { "an SCTP match", "sctp or sctp6" },
	[PREREQ_ICMPV4] = { "an ICMP match", "icmp" },
	[PREREQ_ICMPV6] = { "an ICMPv6 match", "icmp6" },
	[PREREQ_ND] = { "a neighbour discovery match",
			"icmp6,icmp_type=135 or icmp6,icmp_type=136" },
	[PREREQ_ND_SOLICIT] = { "a neighbour solicitation match", "icmp6,icmp_type=135" },
	[PREREQ_ND_ADVERT] = { "a neighbour advertisement match", "icmp6,icmp_type=136" },
	[PREREQ_NSH] = { "an NSH match", "dl_type=0x894f" },
	[PREREQ_CT] = { "a tracked IP match", "ip,ct_state=+trk+est" },
};

const char *field_prerequisite_text(enum field_prerequisite prerequisite)
{
	return prerequisites[prerequisite].noun;
}

const char *field_prerequisite_remedy(enum field_prerequisite prerequisite)
{
	return prerequisites[prerequisite].remedy;
}

static bool match_has_transport(const struct match *match, uint64_t protocol)
{
	uint64_t type = match_eth_type(match);

	return (type == 0x0800 || type == 0x86dd) && match_is(match, FIELD_IP_PROTO, protocol);
}

bool match_has_prerequisite(const struct match *match, const struct field *field)
{
	uint64_t packet_type;
	uint64_t type;

	if (field->prerequisite == PREREQ_NONE)
		return true;
	type = match_eth_type(match);
	switch (field->prerequisite) {
	case PREREQ_NONE:
		return true;
	case PREREQ_ETHERNET:
		return !match_exact(match, FIELD_PACKET_TYPE, &packet_type) || !packet_type;
	case PREREQ_VLAN:
		return match_vlan_present(match, FIELD_VLAN_TCI);
	case PREREQ_VLAN1:
		return match_vlan_present(match, FIELD_VLAN_TCI1);
	case PREREQ_ARP:
		return type == 0x0806 || type == 0x8035;
	case PREREQ_IPV4:
		return type == 0x0800;
	case PREREQ_IPV6:
		return type == 0x86dd;
	case PREREQ_IP:
		return type == 0x0800 || type == 0x86dd;
	case PREREQ_MPLS:
		return type == 0x8847 || type == 0x8848;
	case PREREQ_TCP:
		return match_has_transport(match, 6);
	case PREREQ_UDP:
		return match_has_transport(match, 17);
	case PREREQ_SCTP:
		return match_has_transport(match, 132);
	case PREREQ_ICMPV4:
		return type == 0x0800 && match_is(match, FIELD_IP_PROTO, 1);
	case PREREQ_ICMPV6:
		return type == 0x86dd && match_is(match, FIELD_IP_PROTO, 58);
	case PREREQ_ND:
		return match_is_nd(match, 135) || match_is_nd(match, 136);
	case PREREQ_ND_SOLICIT:
		return match_is_nd(match, 135);
	case PREREQ_ND_ADVERT:
		return match_is_nd(match, 136);
	case PREREQ_NSH:
		return type == 0x894f;
	case PREREQ_CT:
		return (type == 0x0800 || type == 0x86dd) && match_is_tracked(match);
	}
	return false;
}
