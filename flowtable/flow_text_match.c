#include "common/text.h"
#include "flowtable/flow_text.h"
#include "flowtable/parser.h"
#include "flowtable/tun_map.h"

#include <netinet/in.h>
#include <pthread.h>
#include <string.h>

// The first of several that fit is the one that prints, so the narrower ones come first.
const struct match_keyword match_keywords[] = {
	{ "tcp", 0x0800, 6 },    { "udp", 0x0800, 17 },  { "sctp", 0x0800, 132 },
	{ "icmp", 0x0800, 1 },   { "ip", 0x0800, -1 },   { "ipv4", 0x0800, -1 },
	{ "tcp6", 0x86dd, 6 },   { "udp6", 0x86dd, 17 }, { "sctp6", 0x86dd, 132 },
	{ "icmp6", 0x86dd, 58 }, { "ipv6", 0x86dd, -1 }, { "ip6", 0x86dd, -1 },
	{ "arp", 0x0806, -1 },   { "rarp", 0x8035, -1 }, { "mpls", 0x8847, -1 },
	{ "mplsm", 0x8848, -1 }, { "eth", 0, -1 },
};
const unsigned int n_match_keywords = sizeof(match_keywords) / sizeof(match_keywords[0]);

// Take the field's bits out of what is left to print. Returns false if there are none.
static bool take(struct match *left, const struct field *field, struct field_value *value,
		 struct field_value *mask)
{
	static const struct field_value zero;

	field_get(field, &left->mask, mask);
	if (field_value_is_zero(mask))
		return false;
	field_get(field, &left->value, value);
	field_set(field, &zero, &left->mask);
	return true;
}

static bool is_exact(const struct match *match, enum field_id id, uint64_t *number)
{
	struct field_value ones = field_all_ones(&fields[id]);
	struct field_value value;

	field_get(&fields[id], &match->mask, &value);
	if (memcmp(&value, &ones, sizeof(ones)))
		return false;
	field_get(&fields[id], &match->value, &value);
	*number = field_value_to_u64(&value);
	return true;
}

// "tcp": the keyword that says the match's Ethernet type and protocol.
static void format_keyword(struct match *left, struct text *text)
{
	struct field_value value;
	struct field_value mask;
	uint64_t type;
	uint64_t protocol;
	bool has_protocol = is_exact(left, FIELD_IP_PROTO, &protocol);

	if (!is_exact(left, FIELD_ETH_TYPE, &type))
		return;
	for (unsigned int i = 0; i < n_match_keywords; i++) {
		const struct match_keyword *keyword = &match_keywords[i];

		if (!keyword->eth_type || keyword->eth_type != type)
			continue;
		if (keyword->ip_proto >= 0 &&
		    (!has_protocol || (uint64_t)keyword->ip_proto != protocol))
			continue;
		text_add(text, keyword->name);
		text_add_char(text, ',');
		take(left, &fields[FIELD_ETH_TYPE], &value, &mask);
		if (keyword->ip_proto >= 0)
			take(left, &fields[FIELD_IP_PROTO], &value, &mask);
		return;
	}
}

#define TCI_VID 0x0fff
#define TCI_PCP 0xe000

// One tag: its parts if they are matched as a whole, else the bits.
static void format_vlan(struct match *left, enum field_id id, struct text *text)
{
	const char *suffix = id == FIELD_VLAN_TCI1 ? "1" : "";
	struct field_value value;
	struct field_value mask;
	unsigned int tci;
	unsigned int bits;

	if (!take(left, &fields[id], &value, &mask))
		return;
	tci = (unsigned int)field_value_to_u64(&value);
	bits = (unsigned int)field_value_to_u64(&mask);
	if (tci & KEY_VLAN_PRESENT && bits & ~KEY_VLAN_PRESENT &&
	    ((bits & TCI_VID) == TCI_VID || !(bits & TCI_VID)) &&
	    ((bits & TCI_PCP) == TCI_PCP || !(bits & TCI_PCP))) {
		if (bits & TCI_VID)
			text_addf(text, "dl_vlan%s=%u,", suffix, tci & TCI_VID);
		if (bits & TCI_PCP)
			text_addf(text, "dl_vlan_pcp%s=%u,", suffix, tci >> 13);
	} else {
		text_addf(text, "%s=", fields[id].shown);
		field_format_value(&fields[id], &value, &mask, NULL, text);
		text_add(text, ",");
	}
}

// A TOS is printed without its ECN bits, which are a field of their own.
static void format_tos(struct match *left, struct text *text)
{
	uint8_t *value = &left->value.core.ip_tos;
	uint8_t *mask = &left->mask.core.ip_tos;

	if ((*mask & 0xfc) == 0xfc) {
		text_addf(text, "nw_tos=%u,", *value & 0xfcu);
		*mask &= 3;
	}
}

// Is anything of the field's bytes still to be said?
static bool is_left(const struct match *left, const struct field *field)
{
	for (unsigned int i = 0; i < field->size; i++)
		if (left->mask.bytes[field->offset + i])
			return true;
	return false;
}

#define FIELD_SET_WORDS ((N_FIELDS + 63) / 64)

// For each word of the key the fields that have bits in it: only those of words that a match looks
// at need to be asked.
static uint64_t fields_of_word[KEY_WORDS][FIELD_SET_WORDS];

static void fill_fields_of_word(void)
{
	for (unsigned int id = 0; id < N_FIELDS; id++) {
		const unsigned int first = fields[id].offset / 8u;
		const unsigned int last = (fields[id].offset + fields[id].size - 1u) / 8u;

		for (unsigned int w = first; w <= last; w++)
			fields_of_word[w][id / 64] |= UINT64_C(1) << id % 64;
	}
}

// How the match before was printed, in this thread. A match that looks at the same bits, and has
// the same values where others depend on them, is printed by the same fields: a million flows of one
// kind are printed in a third of the time.
#define PLAN_MAX_FIELDS 16

struct plan {
	bool valid;
	bool has_keyword; // before field n_before
	unsigned int n_before;
	unsigned int n_fields;
	const struct field *fields[PLAN_MAX_FIELDS];
	struct field_value masks[PLAN_MAX_FIELDS];
	char keyword[16]; // "udp,"
	struct match match;
};

static _Thread_local struct plan plan;

// What decides which fields there are: prerequisites, and what the keyword says.
static const enum field_id deciding_fields[] = {
	FIELD_PACKET_TYPE, FIELD_ETH_TYPE,    FIELD_IP_PROTO, FIELD_VLAN_TCI,
	FIELD_VLAN_TCI1,   FIELD_ICMPV6_TYPE, FIELD_CT_STATE,
};
#define N_DECIDING_FIELDS (sizeof(deciding_fields) / sizeof(deciding_fields[0]))

static bool plan_suits(const struct match *match)
{
	if (!plan.valid || memcmp(&match->mask, &plan.match.mask, sizeof(match->mask)) != 0)
		return false;
	for (unsigned int i = 0; i < N_DECIDING_FIELDS; i++) {
		const struct field *field = &fields[deciding_fields[i]];

		// Its place is that of a port in TCP and the like.
		if (field->id == FIELD_ICMPV6_TYPE && match->value.core.ip_proto != IPPROTO_ICMPV6)
			continue;
		if (memcmp(match->value.bytes + field->offset,
			   plan.match.value.bytes + field->offset, field->size) != 0)
			return false;
	}
	return true;
}

static void plan_begin(const struct match *match)
{
	plan.valid = true;
	plan.has_keyword = false;
	plan.n_fields = 0;
	plan.match = *match;
}

static void plan_add_keyword(const char *keyword, size_t length)
{
	if (length >= sizeof(plan.keyword))
		plan.valid = false;
	if (!length || !plan.valid)
		return;
	memcpy(plan.keyword, keyword, length);
	plan.keyword[length] = '\0';
	plan.has_keyword = true;
	plan.n_before = plan.n_fields;
}

static void plan_add_field(const struct field *field, const struct field_value *mask)
{
	if (plan.n_fields == PLAN_MAX_FIELDS) {
		plan.valid = false;
		return;
	}
	plan.masks[plan.n_fields] = *mask;
	plan.fields[plan.n_fields++] = field;
}

static void plan_format(const struct match *match, const struct port_names *ports,
			struct text *text)
{
	struct field_value value;

	for (unsigned int i = 0; i <= plan.n_fields; i++) {
		if (plan.has_keyword && i == plan.n_before)
			text_add(text, plan.keyword);
		if (i == plan.n_fields)
			return;
		field_get(plan.fields[i], &match->value, &value);
		text_add(text, plan.fields[i]->shown);
		text_add_char(text, '=');
		field_format_value(plan.fields[i], &value, &plan.masks[i], ports, text);
		text_add_char(text, ',');
	}
}

static void format_field(struct match *left, const struct match *match, const struct field *field,
			 const struct port_names *ports, struct text *text)
{
	struct field_value value;
	struct field_value mask;

	if (!is_left(left, field) || !match_has_prerequisite(match, field))
		return;
	// Tags and the TOS are printed in ways that depend on their values.
	if (field->format == FORMAT_VLAN_TCI) {
		format_vlan(left, field->id, text);
		plan.valid = false;
	} else if (field->format == FORMAT_TOS) {
		format_tos(left, text);
		plan.valid = false;
	} else if (take(left, field, &value, &mask)) {
		plan_add_field(field, &mask);
		text_add(text, field->shown);
		text_add_char(text, '=');
		field_format_value(field, &value, &mask, ports, text);
		text_add_char(text, ',');
	}
}

// Where a bridge maps tunnel options, any of them may be in any word.
static bool add_options(const struct match *match, uint64_t asked[FIELD_SET_WORDS])
{
	bool any = match->mask.tunnel.tun_present;

	for (unsigned int w = KEY_LINE_TUN_METADATA * KEY_LINE_WORDS; w < KEY_WORDS; w++)
		any |= match->mask.words[w] != 0;
	for (unsigned int id = FIELD_TUN_METADATA0; any && id <= FIELD_TUN_METADATA63; id++)
		asked[id / 64] |= UINT64_C(1) << id % 64;
	return any;
}

// A tunnel option: that it is there, and what is in it.
static void format_option(struct match *left, const struct field *row,
			  const struct port_names *ports, struct text *text)
{
	const struct field *field = tun_map_field(ports, row);
	struct field_value value;
	struct field_value mask;

	if (left->mask.tunnel.tun_present & tun_metadata_bit(row))
		text_addf(text, "%s,", row->shown);
	if (!field || !is_left(left, field) || !take(left, field, &value, &mask))
		return;
	text_addf(text, "%s=", row->shown);
	field_format_value(field, &value, &mask, ports, text);
	text_add_char(text, ',');
}

// Every field that the match has bits of, and remember which those were.
static void format_fields(const struct match *match, const struct port_names *ports,
			  struct text *text)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	uint64_t asked[FIELD_SET_WORDS] = { 0 };
	struct match left = *match;
	bool keyword_done = false;

	pthread_once(&once, fill_fields_of_word);
	plan_begin(match);
	for (unsigned int w = 0; w < KEY_WORDS; w++)
		for (unsigned int i = 0; match->mask.words[w] && i < FIELD_SET_WORDS; i++)
			asked[i] |= fields_of_word[w][i];
	if (add_options(match, asked))
		plan.valid = false; // another bridge maps them otherwise
	for (unsigned int i = 0; i < FIELD_SET_WORDS; i++)
		for (; asked[i]; asked[i] &= asked[i] - 1) {
			unsigned int id = i * 64 + (unsigned int)__builtin_ctzll(asked[i]);

			if (id >= FIELD_REG0 && !keyword_done) {
				const size_t before = text->length;

				format_keyword(&left, text);
				if (text->failed)
					plan.valid = false;
				else if (text->length > before)
					plan_add_keyword(text->data + before,
							 text->length - before);
				keyword_done = true;
			}
			if (field_is_tun_metadata(&fields[id]))
				format_option(&left, &fields[id], ports, text);
			else
				format_field(&left, match, &fields[id], ports, text);
		}
}

void match_format(const struct match *match, const struct port_names *ports, struct text *text)
{
	const size_t start = text->length;

	text_add(text, "");
	if (plan_suits(match))
		plan_format(match, ports, text);
	else
		format_fields(match, ports, text);
	if (text->length > start)
		text_chomp(text, ",");
}

void flow_format_match(const struct match *match, uint16_t priority, const struct port_names *ports,
		       struct text *text)
{
	size_t start;

	if (priority != FLOW_DEFAULT_PRIORITY)
		text_addf(text, "priority=%u,", priority);
	start = text->length;
	match_format(match, ports, text);
	if (priority != FLOW_DEFAULT_PRIORITY && text->length == start)
		text_chomp(text, ",");
}
