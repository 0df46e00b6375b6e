// encap and decap, and network service headers: what a packet is changes with its packet type.
#include "common/text.h"
#include "flowtable/action.h"
#include "flowtable/flow_text.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#define NAMESPACE_ETH_TYPE 1

ACTION_PARSER(action_parse_dec_nsh_ttl)
{
	if (parser->match && !match_has_prerequisite(parser->match, &fields[FIELD_NSH_TTL]))
		return parser_error(&parser->parser, name.at,
				    "dec_nsh_ttl needs an NSH match in the flow's match: add "
				    "dl_type=0x894f");
	program_reads(&parser->builder, &fields[FIELD_NSH_TTL]);
	program_writes(&parser->builder, &fields[FIELD_NSH_TTL]);
	return action_parse_bare(parser, word, name, argument);
}

// --- What the packet is afterwards ---

// The type behind the Ethernet header, or of the bare packet; 0 if the match does not say.
static uint16_t known_type(const struct match *match)
{
	const uint32_t type = rte_be_to_cpu_32(match->value.tunnel.packet_type);

	if (type >> 16 == NAMESPACE_ETH_TYPE)
		return (uint16_t)type;
	return rte_be_to_cpu_16(match->value.core.eth_type);
}

static void forget_headers(struct match *match, bool ethernet_only)
{
	struct key *const halves[] = { &match->value, &match->mask };

	for (unsigned int i = 0; i < 2; i++) {
		struct key_core *core = &halves[i]->core;

		core->vlan_tci0 = core->vlan_tci1 = 0;
		memset(core->eth_dst, 0, 6);
		memset(core->eth_src, 0, 6);
		core->eth_type = 0;
		halves[i]->tunnel.packet_type = 0;
		if (ethernet_only)
			continue;
		core->ip_src = core->ip_dst = 0;
		core->tp_src = core->tp_dst = core->tcp_flags = 0;
		core->ip_proto = core->ip_tos = core->ip_ttl = core->ip_frag = 0;
		memset(&halves[i]->ipv6, 0, sizeof(halves[i]->ipv6));
	}
}

// From now on the packet is bare, of this Ethernet type.
static void become_bare(struct match *match, uint16_t type, bool keep)
{
	const struct field_value value =
		field_value_from_u64((uint64_t)NAMESPACE_ETH_TYPE << 16 | type);

	forget_headers(match, keep);
	match_set(match, &fields[FIELD_PACKET_TYPE], &value);
}

static void become_ethernet(struct match *match, uint16_t type, bool keep)
{
	const struct field_value value = field_value_from_u64(type);

	forget_headers(match, keep);
	if (type)
		match_set(match, &fields[FIELD_ETH_TYPE], &value);
}

// Every header may be another one afterwards.
static void account(struct action_parser *parser)
{
	static const enum field_id changed[] = { FIELD_PACKET_TYPE, FIELD_ETH_TYPE, FIELD_ETH_SRC,
						 FIELD_VLAN_TCI,    FIELD_IPV6_SRC, FIELD_NSH_TTL,
						 FIELD_MPLS_LABEL };

	for (unsigned int i = 0; i < sizeof(changed) / sizeof(*changed); i++) {
		program_reads(&parser->builder, &fields[changed[i]]);
		program_writes(&parser->builder, &fields[changed[i]]);
	}
}

// --- encap ---

static int error_tlv(struct action_parser *parser, struct span span)
{
	return parser_error(
		&parser->parser, span.at,
		"an option is written tlv(0xCLASS,TYPE,0xDIGITS), with pairs of digits, "
		"not '%.*s'",
		SPAN_ARGS(span));
}

static uint8_t hex_digit(char c)
{
	return (uint8_t)(isdigit((unsigned char)c) ? c - '0' : (c | 0x20) - 'a' + 10);
}

// "(0x1000,10,0x12345678)": one option of an NSH header, padded to 4 bytes.
static int parse_tlv(struct action_parser *parser, struct span span, uint8_t *bytes, size_t *size)
{
	struct span class_text, type_text, value, rest;
	struct span inside = { span.at + 1, span.length - 2 };
	uint64_t class, type;
	size_t n;
	int error;

	if (span.length < 2 || span.at[0] != '(' || span.at[span.length - 1] != ')' ||
	    !span_split(inside, ',', &class_text, &rest) ||
	    !span_split(rest, ',', &type_text, &value))
		return error_tlv(parser, span);
	error = parse_number(&parser->parser, span_trim(class_text), "an option's class", 0,
			     UINT16_MAX, &class);
	if (!error)
		error = parse_number(&parser->parser, span_trim(type_text), "an option's type", 0,
				     UINT8_MAX, &type);
	if (error)
		return error;
	value = span_trim(value);
	n = value.length / 2 - 1;
	if (value.length < 4 || value.length % 2 || value.at[0] != '0' ||
	    (value.at[1] | 0x20) != 'x')
		return error_tlv(parser, span);
	for (size_t i = 2; i < value.length; i++)
		if (!isxdigit((unsigned char)value.at[i]))
			return error_tlv(parser, span);
	if (n > 127 || *size + 4 + (n + 3) / 4 * 4 > ENCAP_MAX_OPTIONS)
		return parser_error(&parser->parser, span.at,
				    "the options of one NSH header have at most %d bytes together, "
				    "4 for the head of each included",
				    ENCAP_MAX_OPTIONS);
	bytes += *size;
	memset(bytes, 0, 4 + (n + 3) / 4 * 4);
	bytes[0] = (uint8_t)(class >> 8);
	bytes[1] = (uint8_t) class;
	bytes[2] = (uint8_t)type;
	bytes[3] = (uint8_t)n;
	for (size_t i = 0; i < n; i++)
		bytes[4 + i] = (uint8_t)(hex_digit(value.at[2 + 2 * i]) << 4 |
					 hex_digit(value.at[3 + 2 * i]));
	*size += 4 + (n + 3) / 4 * 4;
	return 0;
}

// The argument of nsh(...), in parentheses or empty.
static int parse_nsh(struct action_parser *parser, struct span span, struct op_encap *head,
		     uint8_t *options, size_t *size)
{
	struct span list = { span.at + 1, span.length - 2 };
	struct span key, value;
	uint64_t number;
	int error = 0;

	head->md_type = 1;
	if (!span.length)
		return 0;
	if (span.length < 2 || span.at[0] != '(' || span.at[span.length - 1] != ')')
		return parser_error(&parser->parser, span.at, "nsh is written nsh(md_type=1)");
	while (!error && action_next_pair(&list, &key, &value)) {
		if (span_is(key, "md_type")) {
			error = parse_number(&parser->parser, value, "md_type", 1, 2, &number);
			head->md_type = error ? 1 : (uint8_t)number;
			head->op.form = 1;
		} else if (key.length > 3 && span_is((struct span){ key.at, 3 }, "tlv")) {
			error = parse_tlv(parser, (struct span){ key.at + 3, key.length - 3 },
					  options, size);
		} else {
			error = parser_error(&parser->parser, key.at,
					     "nsh takes md_type and tlv(...), not '%.*s'",
					     SPAN_ARGS(key));
		}
	}
	if (!error && *size && head->md_type != 2)
		error = parser_error(&parser->parser, span.at,
				     "options need metadata type 2: nsh(md_type=2,tlv(...))");
	return error;
}

static const char *const encap_names[] = { "ethernet", "nsh", "mpls", "mpls_mc" };

static bool takes_header(struct span span, const char *header, struct span *rest)
{
	const size_t length = strlen(header);

	if (span.length < length || !span_equals((struct span){ span.at, length }, header))
		return false;
	*rest = span_trim((struct span){ span.at + length, span.length - length });
	return !rest->length || rest->at[0] == '(';
}

ACTION_PARSER(action_parse_encap)
{
	uint8_t options[ENCAP_MAX_OPTIONS];
	struct op_encap head = { .kind = ENCAP_KINDS };
	const uint16_t type = known_type(&parser->scratch);
	struct op_encap *encap;
	struct span rest = { 0 };
	size_t size = 0;
	int error = 0;

	(void)word;
	for (unsigned int kind = 0; kind < ENCAP_KINDS && head.kind == ENCAP_KINDS; kind++)
		if (takes_header(argument, encap_names[kind], &rest))
			head.kind = (uint8_t)kind;
	if (head.kind == ENCAP_KINDS || (rest.length && head.kind != ENCAP_NSH))
		return parser_error(&parser->parser, argument.length ? argument.at : name.at,
				    "encap takes ethernet, nsh(...), mpls or mpls_mc");
	if (head.kind == ENCAP_NSH)
		error = parse_nsh(parser, rest, &head, options, &size);
	if (error)
		return error;
	encap = program_add(&parser->builder, OP_ENCAP, sizeof(*encap) + size);
	if (encap) {
		encap->op.form = head.op.form;
		encap->kind = head.kind;
		encap->md_type = head.md_type;
		encap->n_options = (uint16_t)size;
		memcpy(encap->options, options, size);
	}
	account(parser);
	if (head.kind == ENCAP_ETHERNET)
		become_ethernet(&parser->scratch, type, true);
	else
		become_bare(&parser->scratch,
			    head.kind == ENCAP_NSH    ? 0x894f
			    : head.kind == ENCAP_MPLS ? 0x8847
						      : 0x8848,
			    false);
	return 0;
}

static void format_options(const struct op_encap *encap, struct text *text)
{
	const uint8_t *at = encap->options, *end = at + encap->n_options;

	for (; at < end; at += 4 + (at[3] + 3) / 4 * 4) {
		text_addf(text, ",tlv(0x%04x,%u,0x", at[0] << 8 | at[1], at[2]);
		for (unsigned int i = 0; i < at[3]; i++)
			text_addf(text, "%02x", at[4 + i]);
		text_add(text, ")");
	}
}

ACTION_FORMATTER(action_format_encap)
{
	const struct op_encap *encap = (const struct op_encap *)op;

	(void)ports;
	text_addf(text, "encap(%s", encap_names[encap->kind]);
	if (op->form) {
		text_addf(text, "(md_type=%u", encap->md_type);
		format_options(encap, text);
		text_add(text, ")");
	}
	text_add(text, ")");
}

// --- decap ---

static int parse_type(struct action_parser *parser, struct span span, struct op_decap *head)
{
	struct span list, key, value;
	uint64_t numbers[2] = { 0, 0 };
	unsigned int n = 0;
	int error = 0;

	if (!takes_header(span, "packet_type", &list) || list.length < 2)
		return parser_error(&parser->parser, span.at,
				    "it is written decap() or decap(packet_type(ns=1,type=0x800))");
	list = (struct span){ list.at + 1, list.length - 2 };
	while (!error && action_next_pair(&list, &key, &value)) {
		if (span_is(key, "ns"))
			error = parse_number(&parser->parser, value, "ns", 0, 1, &numbers[0]);
		else if (span_is(key, "type"))
			error = parse_number(&parser->parser, value, "type", 0, UINT16_MAX,
					     &numbers[1]);
		else
			error = parser_error(&parser->parser, key.at,
					     "a packet type has ns and type, not '%.*s'",
					     SPAN_ARGS(key));
		n++;
	}
	if (!error && (n != 2 || (!numbers[0] && numbers[1])))
		error = parser_error(&parser->parser, span.at,
				     "a packet type is (ns=0,type=0) or (ns=1,type=ETHERTYPE)");
	head->has_type = 1;
	head->packet_type = (uint32_t)(numbers[0] << 16 | numbers[1]);
	return error;
}

ACTION_PARSER(action_parse_decap)
{
	struct match *match = &parser->scratch;
	const bool is_bare = match->value.tunnel.packet_type != 0;
	const uint16_t type = known_type(match);
	struct op_decap head = { 0 };
	struct op_decap *decap;
	int error = argument.length ? parse_type(parser, argument, &head) : 0;

	(void)name;
	(void)word;
	if (error)
		return error;
	decap = program_add(&parser->builder, OP_DECAP, sizeof(*decap));
	if (decap) {
		decap->has_type = head.has_type;
		decap->packet_type = head.packet_type;
	}
	account(parser);
	if (!is_bare && type)
		become_bare(match, type, true);
	else if (is_bare && head.has_type && head.packet_type)
		become_bare(match, (uint16_t)head.packet_type, false);
	else
		forget_headers(match, false); // what comes out is unknown
	return 0;
}

ACTION_FORMATTER(action_format_decap)
{
	const struct op_decap *decap = (const struct op_decap *)op;

	(void)ports;
	if (decap->has_type)
		text_addf(text, "decap(packet_type(ns=%u,type=0x%x))", decap->packet_type >> 16,
			  decap->packet_type & 0xffff);
	else
		text_add(text, "decap()");
}
