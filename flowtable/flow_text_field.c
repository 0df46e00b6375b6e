#include "common/error.h"
#include "common/text.h"
#include "flowtable/flow_text.h"
#include "flowtable/parser.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

// Flags have a name for each bit, from the lowest.
static const char *const tcp_flag_names[] = { "fin", "syn", "rst", "psh",   "ack",   "urg",
					      "ece", "cwr", "ns",  "[200]", "[400]", "[800]" };
static const char *const ct_state_names[] = { "new", "est", "rel",  "rpl",
					      "inv", "trk", "snat", "dnat" };
static const char *const tun_flag_names[] = { "oam" };

struct flag_names {
	const char *const *names;
	unsigned int n;
};

#define FLAG_NAMES(array)                                                                          \
	{                                                                                          \
		array, sizeof(array) / sizeof(array[0])                                            \
	}
static const struct flag_names flags_tcp = FLAG_NAMES(tcp_flag_names);
static const struct flag_names flags_ct = FLAG_NAMES(ct_state_names);
static const struct flag_names flags_tunnel = FLAG_NAMES(tun_flag_names);

static const struct flag_names *field_flags(const struct field *field)
{
	switch (field->format) {
	case FORMAT_TCP_FLAGS:
		return &flags_tcp;
	case FORMAT_CT_STATE:
		return &flags_ct;
	case FORMAT_TUN_FLAGS:
		return &flags_tunnel;
	default:
		return NULL;
	}
}

// ip_frag in words: bits and mask.
static const struct frag_name {
	const char *name;
	uint8_t value;
	uint8_t mask;
} frag_names[] = {
	{ "no", 0, 3 },    { "yes", 1, 1 },       { "first", 1, 3 },
	{ "later", 3, 3 }, { "not_later", 0, 2 },
};
#define N_FRAG_NAMES (sizeof(frag_names) / sizeof(frag_names[0]))

static int parse_flag_name(struct parser *parser, const struct field *field, struct span name,
			   uint64_t *bit)
{
	const struct flag_names *flags = field_flags(field);

	for (unsigned int i = 0; i < flags->n; i++) {
		if (span_is(name, flags->names[i])) {
			*bit = 1ULL << i;
			return 0;
		}
	}
	return parser_error(parser, name.at, "%s has no flag '%.*s', only %s%s%s", field->name,
			    SPAN_ARGS(name), flags->names[0], flags->n > 1 ? " to " : "",
			    flags->n > 1 ? flags->names[flags->n - 1] : "");
}

// "+syn-ack": named flags, each set or unset, and the others of no interest.
static int parse_signed_flags(struct parser *parser, const struct field *field, struct span span,
			      uint64_t *value, uint64_t *mask)
{
	size_t i = 0;

	*value = *mask = 0;
	while (i < span.length) {
		char sign = span.at[i++];
		struct span name = { span.at + i, 0 };
		uint64_t bit;
		int error;

		if (sign != '+' && sign != '-')
			return parser_error(parser, name.at - 1,
					    "every flag of %s needs + or - before it", field->name);
		while (i < span.length && span.at[i] != '+' && span.at[i] != '-')
			i++;
		name.length = (size_t)(span.at + i - name.at);
		error = parse_flag_name(parser, field, name, &bit);
		if (error)
			return error;
		if (*mask & bit)
			return parser_error(parser, name.at, "flag %.*s is there twice",
					    SPAN_ARGS(name));
		*mask |= bit;
		*value |= sign == '+' ? bit : 0;
	}
	return 0;
}

// "syn|ack": exactly these flags.
static int parse_flag_list(struct parser *parser, const struct field *field, struct span span,
			   uint64_t *value)
{
	struct span name;
	bool more;

	*value = 0;
	do {
		uint64_t bit;
		int error;

		more = span_split(span, '|', &name, &span);
		error = parse_flag_name(parser, field, name, &bit);
		if (error)
			return error;
		*value |= bit;
	} while (more);
	return 0;
}

static int parse_vlan(struct parser *parser, const struct field *field, struct span span,
		      struct field_value *value, struct field_value *mask)
{
	uint64_t number;
	int error;

	if (field->format == FORMAT_DL_VLAN_PCP) {
		error = parse_number(parser, span, field->shown, 0, 7, &number);
		number = number << 1 | 1; // of a tag that is there
	} else {
		bool none = !parse_u64_n(span.at, span.length, &number) && number == 0xffff;

		error = parse_number(parser, span, field->shown, 0, none ? 0xffff : 0xfff, &number);
		*mask = field_value_from_u64(none ? 0xffff : 0x1fff);
		number = none ? 0 : number | KEY_VLAN_PRESENT;
	}
	if (!error)
		*value = field_value_from_u64(number);
	return error;
}

static int parse_packet_type(struct parser *parser, const struct field *field, struct span span,
			     struct field_value *value)
{
	struct span inside = { span.at + 1, span.length - 2 };
	struct span namespace;
	struct span type;
	uint64_t high;
	uint64_t low;
	int error;

	if (span.length < 2 || span.at[0] != '(' || span.at[span.length - 1] != ')' ||
	    !span_split(inside, ',', &namespace, &type))
		return parser_error(parser, span.at, "%s looks like (0,0) or (1,0x800), not '%.*s'",
				    field->name, SPAN_ARGS(span));
	error = parse_number(parser, span_trim(namespace), "the namespace", 0, 0xffff, &high);
	if (!error)
		error = parse_number(parser, span_trim(type), "the type", 0, 0xffff, &low);
	if (!error)
		*value = field_value_from_u64(high << 16 | low);
	return error;
}

static int parse_frag(struct parser *parser, const struct field *field, struct span span,
		      struct field_value *value, struct field_value *mask)
{
	for (unsigned int i = 0; i < N_FRAG_NAMES; i++) {
		if (span_is(span, frag_names[i].name)) {
			*value = field_value_from_u64(frag_names[i].value);
			*mask = field_value_from_u64(frag_names[i].mask);
			return 0;
		}
	}
	return parser_error(parser, span.at, "%s is no, yes, first, later or not_later, not '%.*s'",
			    field->shown, SPAN_ARGS(span));
}

// One address, into the field's last bytes.
static int parse_address(struct parser *parser, const struct field *field, struct span span,
			 struct field_value *value)
{
	uint8_t *end = value->bytes + FIELD_VALUE_SIZE;
	char string[64];
	uint8_t address[16];
	uint32_t ipv4;
	const char *kind;

	memset(value, 0, sizeof(*value));
	if (!span_copy(span, string, sizeof(string)))
		string[0] = '\0';
	if (field->format == FORMAT_IPV4) {
		kind = "an IPv4 address";
		if (!parse_ipv4(string, &ipv4)) {
			memcpy(end - 4, &ipv4, 4);
			return 0;
		}
	} else if (field->format == FORMAT_IPV6) {
		kind = "an IPv6 address";
		if (!parse_ipv6(string, address)) {
			memcpy(end - 16, address, 16);
			return 0;
		}
	} else {
		kind = "an Ethernet address";
		if (!parse_mac(string, address)) {
			memcpy(end - 6, address, 6);
			return 0;
		}
	}
	return parser_error(parser, span.at, "%s takes %s, not '%.*s'", field->shown, kind,
			    SPAN_ARGS(span));
}

static bool field_is_address(const struct field *field)
{
	return field->format == FORMAT_IPV4 || field->format == FORMAT_IPV6 ||
	       field->format == FORMAT_ETHERNET;
}

// "/24" or a mask written like a value.
static int parse_mask(struct parser *parser, const struct field *field, struct span span,
		      struct field_value *mask)
{
	struct field_value ones = field_all_ones(field);
	uint64_t bits;

	if (!field_is_address(field))
		return parse_wide_number(parser, span, field->n_bits, "the mask", mask);
	if (field->format != FORMAT_ETHERNET && span.length && !memchr(span.at, ':', span.length) &&
	    !memchr(span.at, '.', span.length)) {
		int error = parse_number(parser, span, "a prefix length", 0, field->n_bits, &bits);

		if (error)
			return error;
		*mask = ones;
		field_value_shift_left(mask, field->n_bits - (unsigned int)bits);
		for (unsigned int i = 0; i < FIELD_VALUE_SIZE; i++)
			mask->bytes[i] &= ones.bytes[i];
		return 0;
	}
	return parse_address(parser, field, span, mask);
}

static int parse_plain_number(struct parser *parser, const struct field *field, struct span span,
			      struct field_value *value)
{
	uint64_t max = field->n_bits >= 64 ? UINT64_MAX : (1ULL << field->n_bits) - 1;
	uint64_t number;
	int error;

	if (field->n_bits > 64)
		return parse_wide_number(parser, span, field->n_bits, field->shown, value);
	error = parse_number(parser, span, field->shown, 0, max, &number);
	if (!error)
		*value = field_value_from_u64(number);
	return error;
}

// A value without a mask after it; some words have a mask of their own.
static int parse_value(struct parser *parser, const struct field *field, struct span span,
		       struct field_value *value, struct field_value *mask)
{
	uint64_t flags;
	uint64_t interest;
	uint32_t port;
	int error;

	switch (field->format) {
	case FORMAT_ETHERNET:
	case FORMAT_IPV4:
	case FORMAT_IPV6:
		return parse_address(parser, field, span, value);
	case FORMAT_PORT:
	case FORMAT_PORT16:
		error = parse_port(parser, span, &port);
		if (!error)
			*value = field_value_from_u64(port);
		return error;
	case FORMAT_FRAG:
		return parse_frag(parser, field, span, value, mask);
	case FORMAT_PACKET_TYPE:
		return parse_packet_type(parser, field, span, value);
	case FORMAT_DL_VLAN:
	case FORMAT_DL_VLAN_PCP:
		return parse_vlan(parser, field, span, value, mask);
	case FORMAT_TCP_FLAGS:
	case FORMAT_CT_STATE:
	case FORMAT_TUN_FLAGS:
		if (!span.length || isdigit((unsigned char)span.at[0]))
			break;
		if (span.at[0] != '+' && span.at[0] != '-') {
			error = parse_flag_list(parser, field, span, &flags);
		} else {
			error = parse_signed_flags(parser, field, span, &flags, &interest);
			*mask = field_value_from_u64(interest);
		}
		*value = field_value_from_u64(flags);
		return error;
	case FORMAT_TOS:
		*mask = field_value_from_u64(0xfc);
		break;
	case FORMAT_DECIMAL:
	case FORMAT_HEXADECIMAL:
	case FORMAT_ETH_TYPE:
	case FORMAT_IPV6_LABEL:
	case FORMAT_VLAN_TCI:
	case FORMAT_VLAN_VID:
		break;
	}
	return parse_plain_number(parser, field, span, value);
}

// Bits of the value outside of its mask mean nothing: flows in use have them.
static void clear_outside_mask(struct field_value *value, const struct field_value *mask)
{
	for (unsigned int i = 0; i < FIELD_VALUE_SIZE; i++)
		value->bytes[i] &= mask->bytes[i];
}

// But a value without a mask that the field has no room for is a mistake.
static int check_whole(struct parser *parser, const struct field *field, struct span span,
		       const struct field_value *value, const struct field_value *mask)
{
	for (unsigned int i = 0; i < FIELD_VALUE_SIZE; i++)
		if (value->bytes[i] & ~mask->bytes[i])
			return parser_error(parser, span.at,
					    "%s leaves the two ECN bits alone: %.*s sets them",
					    field->shown, SPAN_ARGS(span));
	return 0;
}

// The usual values: a plain number, an IPv4 address. False: what it is, and what may be wrong with
// it, is for the others to find out.
static bool parse_plain_value(const struct field *field, struct span span,
			      struct field_value *value, struct field_value *mask)
{
	uint32_t ipv4;
	uint64_t number;

	if (!span.length || span.at[0] < '0' || span.at[0] > '9')
		return false;
	switch (field->format) {
	case FORMAT_IPV4:
		if (parse_ipv4_n(span.at, span.length, &ipv4))
			return false;
		number = __builtin_bswap32(ipv4);
		break;
	case FORMAT_DECIMAL:
	case FORMAT_HEXADECIMAL:
	case FORMAT_ETH_TYPE:
		if (field->n_bits > 64 || parse_u64_n(span.at, span.length, &number) ||
		    (field->n_bits < 64 && number >> field->n_bits))
			return false;
		break;
	case FORMAT_PORT:
		if (parse_u64_n(span.at, span.length, &number) || number >= 0xff00)
			return false;
		break;
	default:
		return false;
	}
	*value = field_value_from_u64(number);
	*mask = field_all_ones(field);
	return true;
}

int parse_field_value(struct parser *parser, const struct field *field, struct span span,
		      struct field_value *value, struct field_value *mask)
{
	struct span head;
	struct span rest;
	int error;

	if (parse_plain_value(field, span, value, mask))
		return 0;
	if (span_is(span, "*") || span_is(span, "ANY")) {
		if (span.at[0] == '*' ||
		    (field->format != FORMAT_PORT && field->format != FORMAT_PORT16)) {
			memset(value, 0, sizeof(*value));
			memset(mask, 0, sizeof(*mask));
			return 0;
		}
	}
	if (!span.length)
		return parser_error(parser, span.at, "%s has no value", field->shown);
	*mask = field_all_ones(field);
	if (field->format == FORMAT_PORT || field->format == FORMAT_PORT16 ||
	    !span_split(span, '/', &head, &rest)) {
		error = parse_value(parser, field, span, value, mask);
		return error ? error : check_whole(parser, field, span, value, mask);
	}
	error = field_flags(field) ? parse_plain_number(parser, field, head, value)
				   : parse_value(parser, field, head, value, mask);
	if (!error && field->maskable == FIELD_MASK_NONE)
		error = parser_error(parser, rest.at, "%s takes no mask", field->shown);
	if (!error)
		error = parse_mask(parser, field, rest, mask);
	clear_outside_mask(value, mask);
	return error;
}

int field_parse_value(const struct field *field, const char *string, const struct port_names *ports,
		      struct field_value *value, struct field_value *mask, struct error *error)
{
	struct parser parser = { .base = string, .ports = ports, .error = error };

	return parse_field_value(&parser, field, span_of(string), value, mask);
}

static void format_flags(const struct field *field, uint64_t value, uint64_t mask, bool exact,
			 struct text *text)
{
	const struct flag_names *flags = field_flags(field);
	const char *separator = "";

	if ((exact ? value : mask) >> flags->n) {
		text_addf(text, exact ? "%#llx" : "%#llx/%#llx", (unsigned long long)value,
			  (unsigned long long)mask);
		return;
	}
	if (exact && !value)
		text_add(text, "0");
	for (unsigned int i = 0; i < flags->n; i++) {
		if (exact && value >> i & 1) {
			text_addf(text, "%s%s", separator, flags->names[i]);
			separator = "|";
		} else if (!exact && mask >> i & 1) {
			text_addf(text, "%c%s", value >> i & 1 ? '+' : '-', flags->names[i]);
		}
	}
}

static void format_address(const struct field *field, const struct field_value *value,
			   struct text *text)
{
	const uint8_t *end = value->bytes + FIELD_VALUE_SIZE;
	uint32_t ipv4;

	if (field->format == FORMAT_IPV6) {
		text_add_ipv6(text, end - 16);
	} else if (field->format == FORMAT_ETHERNET) {
		text_add_mac(text, end - 6);
	} else {
		memcpy(&ipv4, end - 4, 4);
		text_add_ipv4(text, ipv4);
	}
}

// "/24" where the mask is a prefix, else the mask in full.
static void format_address_mask(const struct field *field, const struct field_value *mask,
				struct text *text)
{
	struct field_value rest = *mask;
	unsigned int prefix = 0;

	field_value_shift_left(&rest, FIELD_VALUE_SIZE * 8 - field->n_bits);
	while (rest.bytes[0] & 0x80) {
		field_value_shift_left(&rest, 1);
		prefix++;
	}
	text_add(text, "/");
	if (field->format != FORMAT_ETHERNET && field_value_is_zero(&rest))
		text_add_u64(text, prefix);
	else
		format_address(field, mask, text);
}

static void format_number(const struct field *field, const struct field_value *value,
			  const struct port_names *ports, struct text *text)
{
	unsigned long long number = field_value_to_u64(value);

	switch (field->format) {
	case FORMAT_PORT:
	case FORMAT_PORT16:
		port_format((uint32_t)number, ports, text);
		break;
	case FORMAT_PACKET_TYPE:
		text_addf(text, "(%llu,%#llx)", number >> 16, number & 0xffff);
		break;
	case FORMAT_ETH_TYPE:
	case FORMAT_VLAN_TCI:
		text_addf(text, "0x%04llx", number);
		break;
	case FORMAT_IPV6_LABEL:
		text_addf(text, "0x%05llx", number);
		break;
	case FORMAT_DL_VLAN:
		text_addf(text, "%llu", number & KEY_VLAN_PRESENT ? number & 0xfff : 0xffff);
		break;
	case FORMAT_DL_VLAN_PCP:
		text_addf(text, "%llu", number >> 1);
		break;
	case FORMAT_HEXADECIMAL:
		wide_number_format(value, text);
		break;
	default:
		text_add_u64(text, number);
	}
}

static void format_masked_number(const struct field *field, const struct field_value *value,
				 const struct field_value *mask, struct text *text)
{
	int digits = field->format == FORMAT_VLAN_TCI     ? 4
		     : field->format == FORMAT_IPV6_LABEL ? 5
							  : 0;

	if (digits) {
		text_addf(text, "0x%0*llx/0x%0*llx", digits,
			  (unsigned long long)field_value_to_u64(value), digits,
			  (unsigned long long)field_value_to_u64(mask));
		return;
	}
	wide_number_format(value, text);
	text_add(text, "/");
	wide_number_format(mask, text);
}

void field_format_value(const struct field *field, const struct field_value *value,
			const struct field_value *mask, const struct port_names *ports,
			struct text *text)
{
	const struct field_value ones = field_all_ones(field);
	const bool exact = !mask || !memcmp(mask, &ones, sizeof(ones));
	const uint64_t number = field_value_to_u64(value);

	if (exact && field->format == FORMAT_DECIMAL) {
		text_add_u64(text, number);
		return;
	}

	mask = mask ? mask : &ones;
	if (field_flags(field)) {
		// A single flag reads better with its sign.
		format_flags(field, number, field_value_to_u64(mask), exact && field->n_bits > 1,
			     text);
	} else if (field->format == FORMAT_FRAG) {
		for (unsigned int i = 0; i < N_FRAG_NAMES; i++) {
			if (number == frag_names[i].value &&
			    field_value_to_u64(mask) == frag_names[i].mask) {
				text_add(text, frag_names[i].name);
				return;
			}
		}
		format_masked_number(field, value, mask, text);
	} else if (field_is_address(field)) {
		format_address(field, value, text);
		if (!exact)
			format_address_mask(field, mask, text);
	} else if (exact || field->format == FORMAT_DL_VLAN ||
		   (field->format == FORMAT_TOS && field_value_to_u64(mask) == 0xfc)) {
		format_number(field, value, ports, text);
	} else {
		format_masked_number(field, value, mask, text);
	}
}
