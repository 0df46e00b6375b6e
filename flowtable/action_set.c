// Actions that write fields.
#include "common/text.h"
#include "flowtable/action.h"
#include "flowtable/flow_text.h"
#include "flowtable/tun_map.h"

#include <errno.h>
#include <string.h>

static int check_writable(struct action_parser *parser, struct span name, const struct field *field)
{
	if (!field->writable)
		return parser_error(&parser->parser, name.at, "%.*s cannot be written",
				    SPAN_ARGS(name));
	if ((field->id == FIELD_CT_MARK || field->id == FIELD_CT_LABEL) && !parser->in_exec)
		return parser_error(&parser->parser, name.at,
				    "%.*s is of the connection: write it in ct(commit,exec(...))",
				    SPAN_ARGS(name));
	return 0;
}

static int check_writes_something(struct action_parser *parser, struct span value,
				  const struct field_value *mask)
{
	if (field_value_is_zero(mask))
		return parser_error(&parser->parser, value.at, "%.*s would change nothing",
				    SPAN_ARGS(value));
	return 0;
}

#define IN_MATCH " in the flow's match"

// A VLAN id is written into a tag that is there.
static bool vlan_is_missing(const struct action_parser *parser, const struct field *field)
{
	struct field match_on_tag = fields[FIELD_VLAN_PCP];

	if (!parser->match || field->format != FORMAT_VLAN_VID)
		return false;
	if (field->id == FIELD_VLAN_VID1)
		match_on_tag = fields[FIELD_VLAN_PCP1];
	return !match_has_prerequisite(parser->match, &match_on_tag);
}

static int error_vlan_missing(struct action_parser *parser, struct span name)
{
	return parser_error(&parser->parser, name.at,
			    "%.*s needs a tag: match dl_vlan=N or vlan_tci=0x1000/0x1000, or use "
			    "push_vlan first",
			    SPAN_ARGS(name));
}

ACTION_PARSER(action_parse_set_field)
{
	struct subfield whole = { 0 };
	struct field_value value;
	struct field_value mask;
	struct span value_text;
	struct span name_text;
	bool satisfied;
	int error;

	(void)word;
	if (!span_split_arrow(argument, &value_text, &name_text))
		return parser_error(&parser->parser, name.at,
				    "set_field is written set_field:VALUE[/MASK]->FIELD");
	whole.field = parse_field_name(&parser->parser, name_text, parser->match, &satisfied);
	if (!whole.field)
		return -EINVAL;
	error = check_writable(parser, name_text, whole.field);
	if (error)
		return error;
	if (vlan_is_missing(parser, whole.field) ||
	    (!satisfied && whole.field->prerequisite == PREREQ_VLAN))
		return error_vlan_missing(parser, name_text);
	if (!satisfied)
		return parser_error_prerequisite(&parser->parser, name_text, IN_MATCH);
	error = parse_field_value(&parser->parser, whole.field, value_text, &value, &mask);
	if (error)
		return error;
	error = check_writes_something(parser, value_text, &mask);
	if (error)
		return error;
	if (whole.field->format == FORMAT_VLAN_VID)
		// The tag is there, so the bit that says so stays: 5 and 0x1005 are the same.
		value.bytes[FIELD_VALUE_SIZE - 2] |=
			mask.bytes[FIELD_VALUE_SIZE - 2] & (KEY_VLAN_PRESENT >> 8);
	if (whole.field->format == FORMAT_VLAN_TCI && whole.field->id == FIELD_VLAN_TCI &&
	    mask.bytes[FIELD_VALUE_SIZE - 2] & (KEY_VLAN_PRESENT >> 8))
		action_set_vlan(parser, value.bytes[FIELD_VALUE_SIZE - 2] & KEY_VLAN_PRESENT >> 8);
	whole.n_bits = whole.field->n_bits;
	program_add_set(&parser->builder, SET_FORM_SET_FIELD, &whole, &value, &mask);
	return 0;
}

int action_parse_subfield(struct action_parser *parser, struct span text, bool writes,
			  struct subfield *subfield)
{
	bool satisfied;
	int error = parse_subfield(&parser->parser, text, parser->match, subfield, &satisfied);

	if (!error && writes)
		error = check_writable(parser, text, subfield->field);
	if (error)
		return error;
	if (writes && (vlan_is_missing(parser, subfield->field) ||
		       (!satisfied && subfield->field->prerequisite == PREREQ_VLAN)))
		return error_vlan_missing(parser, text);
	if (!satisfied)
		return parser_error_prerequisite(&parser->parser, text, IN_MATCH);
	if (writes)
		program_writes(&parser->builder, subfield->field);
	program_reads(&parser->builder, subfield->field);
	return 0;
}

ACTION_PARSER(action_parse_load)
{
	struct subfield destination;
	struct field_value value;
	struct field_value ones;
	struct span value_text;
	struct span name_text;
	bool satisfied;
	int error;

	(void)word;
	if (!span_split_arrow(argument, &value_text, &name_text))
		return parser_error(&parser->parser, name.at,
				    "load is written load:VALUE->FIELD[FIRST..LAST]");
	error = parse_subfield(&parser->parser, name_text, parser->match, &destination, &satisfied);
	if (!error)
		error = check_writable(parser, name_text, destination.field);
	if (error)
		return error;
	if (vlan_is_missing(parser, destination.field) ||
	    (!satisfied && destination.field->prerequisite == PREREQ_VLAN))
		return error_vlan_missing(parser, name_text);
	if (!satisfied)
		return parser_error_prerequisite(&parser->parser, name_text, IN_MATCH);
	error = parse_wide_number(&parser->parser, value_text, destination.n_bits,
				  destination.n_bits == destination.field->n_bits
					  ? destination.field->name
					  : "that part of the field",
				  &value);
	if (error)
		return error;
	ones = field_value_ones(destination.n_bits);
	if (destination.field->id == FIELD_VLAN_TCI && destination.offset <= 12 &&
	    destination.offset + destination.n_bits > 12) {
		struct field_value bit = value;

		field_value_shift_right(&bit, 12u - destination.offset);
		action_set_vlan(parser, bit.bytes[FIELD_VALUE_SIZE - 1] & 1);
	}
	program_add_set(&parser->builder, SET_FORM_LOAD, &destination, &value, &ones);
	return 0;
}

// mod_dl_src and its kin: the field is the word's argument.
// These come from OpenFlow 1.0, which knows no prerequisites: they do nothing to packets without the
// header, and flows in use rely on it.
ACTION_PARSER(action_parse_mod)
{
	const struct field *field = &fields[word->argument];
	struct subfield whole;
	struct field_value value;
	struct field_value mask;
	int error;

	(void)name;
	if (memchr(argument.at, '/', argument.length))
		return parser_error(&parser->parser, argument.at, "%s takes no mask", word->name);
	error = parse_field_value(&parser->parser, field, argument, &value, &mask);
	if (error)
		return error;
	error = check_writes_something(parser, argument, &mask);
	if (error)
		return error;
	whole = (struct subfield){ .field = field, .n_bits = field->n_bits };
	program_add_set(&parser->builder, SET_FORM_MOD, &whole, &value, &mask);
	return 0;
}

ACTION_PARSER(action_parse_write_metadata)
{
	const struct field *field = &fields[FIELD_METADATA];
	struct subfield whole = { .field = field, .n_bits = field->n_bits };
	struct field_value value;
	struct field_value mask;
	int error = parse_field_value(&parser->parser, field, argument, &value, &mask);

	(void)name;
	(void)word;
	if (!error)
		error = check_writes_something(parser, argument, &mask);
	if (!error)
		program_add_set(&parser->builder, SET_FORM_WRITE_METADATA, &whole, &value, &mask);
	return error;
}

ACTION_PARSER(action_parse_set_tunnel)
{
	const struct field *field = &fields[FIELD_TUN_ID];
	struct subfield whole = { .field = field, .n_bits = field->n_bits };
	struct field_value mask = field_all_ones(field);
	struct field_value value;
	uint64_t number;
	int error = parse_number(&parser->parser, argument, word->name, 0, UINT64_MAX, &number);

	(void)name;
	if (error)
		return error;
	value = field_value_from_u64(number);
	program_add_set(&parser->builder, SET_FORM_SET_TUNNEL, &whole, &value, &mask);
	return 0;
}

static void format_load(const struct op_set *set, const struct field *field,
			const struct field_value *value, struct text *text)
{
	struct subfield part = { .field = field, .offset = set->offset, .n_bits = set->n_bits };
	struct field_value ones = field_value_ones(set->n_bits);
	struct field_value bits = *value;

	if (set->offset)
		field_value_shift_right(&bits, set->offset);
	for (unsigned int i = 0; i < FIELD_VALUE_SIZE; i++)
		bits.bytes[i] &= ones.bytes[i];
	text_add(text, "load:");
	wide_number_format(&bits, text);
	text_add(text, "->");
	subfield_format(&part, text);
}

static const char *mod_name(const struct field *field)
{
	switch (field->id) {
	case FIELD_ETH_SRC:
		return "mod_dl_src";
	case FIELD_ETH_DST:
		return "mod_dl_dst";
	case FIELD_IP_SRC:
		return "mod_nw_src";
	case FIELD_IP_DST:
		return "mod_nw_dst";
	case FIELD_NW_TOS:
		return "mod_nw_tos";
	case FIELD_IP_ECN:
		return "mod_nw_ecn";
	case FIELD_IP_TTL:
		return "mod_nw_ttl";
	case FIELD_MPLS_LABEL:
		return "set_mpls_label";
	case FIELD_MPLS_TC:
		return "set_mpls_tc";
	case FIELD_MPLS_TTL:
		return "set_mpls_ttl";
	case FIELD_TCP_SRC:
	case FIELD_UDP_SRC:
	case FIELD_SCTP_SRC:
		return "mod_tp_src";
	default:
		return "mod_tp_dst";
	}
}

ACTION_FORMATTER(action_format_set)
{
	const struct op_set *set = (const struct op_set *)op;
	const struct field *field = tun_map_field(ports, &fields[set->field]);
	struct field_value value;
	struct field_value mask;

	if (!field) // a mapping is deleted only when nothing uses it
		return;
	op_set_unpack(set, field, &value, &mask);
	switch ((enum set_form)op->form) {
	case SET_FORM_SET_FIELD:
		text_add(text, "set_field:");
		field_format_value(field, &value, &mask, ports, text);
		text_addf(text, "->%s", field->name);
		break;
	case SET_FORM_LOAD:
		format_load(set, field, &value, text);
		break;
	case SET_FORM_MOD:
		text_addf(text, "%s%s", mod_name(field), field->dirty == DIRTY_MPLS ? "(" : ":");
		field_format_value(field, &value, NULL, ports, text);
		if (field->dirty == DIRTY_MPLS)
			text_add(text, ")");
		break;
	case SET_FORM_WRITE_METADATA:
		text_add(text, "write_metadata:");
		field_format_value(field, &value, &mask, ports, text);
		break;
	case SET_FORM_SET_TUNNEL:
		text_addf(text, "set_tunnel%s:%#llx",
			  field_value_to_u64(&value) > UINT32_MAX ? "64" : "",
			  (unsigned long long)field_value_to_u64(&value));
		break;
	}
}

ACTION_PARSER(action_parse_move)
{
	struct subfield source;
	struct subfield destination;
	struct op_move *move;
	struct span source_text;
	struct span destination_text;
	bool source_satisfied;
	bool satisfied;
	int error;

	(void)word;
	if (!span_split_arrow(argument, &source_text, &destination_text))
		return parser_error(&parser->parser, name.at,
				    "move is written move:FIELD[FIRST..LAST]->FIELD[FIRST..LAST]");
	error = parse_subfield(&parser->parser, source_text, parser->match, &source,
			       &source_satisfied);
	if (!error)
		error = parse_subfield(&parser->parser, destination_text, parser->match,
				       &destination, &satisfied);
	if (!error)
		error = check_writable(parser, destination_text, destination.field);
	if (error)
		return error;
	if (!source_satisfied)
		return parser_error_prerequisite(&parser->parser, source_text, IN_MATCH);
	if (vlan_is_missing(parser, destination.field))
		return error_vlan_missing(parser, destination_text);
	if (!satisfied)
		return parser_error_prerequisite(&parser->parser, destination_text, IN_MATCH);
	if (source.n_bits != destination.n_bits)
		return parser_error(&parser->parser, destination_text.at,
				    "move copies %u bits into %u: both sides must have the same "
				    "number of bits",
				    source.n_bits, destination.n_bits);
	move = program_add(&parser->builder, OP_MOVE, sizeof(*move));
	if (move) {
		move->source = source;
		move->destination = destination;
	}
	program_reads(&parser->builder, source.field);
	program_writes(&parser->builder, destination.field);
	return 0;
}

ACTION_FORMATTER(action_format_move)
{
	const struct op_move *move = (const struct op_move *)op;

	(void)ports;
	text_add(text, "move:");
	subfield_format(&move->source, text);
	text_add(text, "->");
	subfield_format(&move->destination, text);
}
