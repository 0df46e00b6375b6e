// VLAN tags, TTL, the action set, and actions without arguments.
#include "common/text.h"
#include "flowtable/action.h"
#include "flowtable/flow_text.h"

#include <errno.h>

void action_set_vlan(struct action_parser *parser, bool present)
{
	struct field_value tci = field_value_from_u64(present ? KEY_VLAN_PRESENT : 0);
	struct field_value mask = field_value_from_u64(KEY_VLAN_PRESENT);

	match_set_masked(&parser->scratch, &fields[FIELD_VLAN_TCI], &tci, &mask);
}

static int refuse_argument(struct action_parser *parser, const struct action_word *word,
			   struct span argument)
{
	if (argument.length)
		return parser_error(&parser->parser, argument.at, "%s takes no argument",
				    word->name);
	return 0;
}

ACTION_PARSER(action_parse_bare)
{
	int error = refuse_argument(parser, word, argument);

	(void)name;
	if (!error)
		program_add(&parser->builder, word->code, sizeof(struct op));
	return error;
}

ACTION_FORMATTER(action_format_bare)
{
	(void)ports;
	text_add(text, action_kinds[op->code].name);
}

ACTION_PARSER(action_parse_push_vlan)
{
	struct op_push_vlan *push;
	uint64_t tpid;
	int error = parse_number(&parser->parser, argument, word->name, 0, 0xffff, &tpid);

	(void)name;
	if (error)
		return error;
	if (tpid != 0x8100 && tpid != 0x88a8)
		return parser_error(&parser->parser, argument.at,
				    "push_vlan takes 0x8100 or 0x88a8, not %.*s",
				    SPAN_ARGS(argument));
	push = program_add(&parser->builder, OP_PUSH_VLAN, sizeof(*push));
	if (push)
		push->tpid = rte_cpu_to_be_16((uint16_t)tpid);
	program_writes(&parser->builder, &fields[FIELD_VLAN_TCI]);
	action_set_vlan(parser, true);
	return 0;
}

ACTION_FORMATTER(action_format_push_vlan)
{
	(void)ports;
	text_addf(text, "push_vlan:0x%04x",
		  rte_be_to_cpu_16(((const struct op_push_vlan *)op)->tpid));
}

#define FORM_STRIP_VLAN 0
#define FORM_POP_VLAN 1

// strip_vlan of OpenFlow 1.0 and pop_vlan of 1.1 do the same; each prints as it was written.
ACTION_PARSER(action_parse_pop_vlan)
{
	int error = refuse_argument(parser, word, argument);
	struct op *op;

	if (error)
		return error;
	op = program_add(&parser->builder, OP_POP_VLAN, sizeof(*op));
	if (op)
		op->form = span_is(name, "pop_vlan") ? FORM_POP_VLAN : FORM_STRIP_VLAN;
	program_writes(&parser->builder, &fields[FIELD_VLAN_TCI]);
	// A second tag may come up, so nothing is known about tags any more.
	match_set_masked(&parser->scratch, &fields[FIELD_VLAN_TCI], &(struct field_value){ 0 },
			 &(struct field_value){ 0 });
	return 0;
}

ACTION_FORMATTER(action_format_pop_vlan)
{
	(void)ports;
	text_add(text, op->form == FORM_POP_VLAN ? "pop_vlan" : "strip_vlan");
}

// mod_vlan_vid and mod_vlan_pcp; the word's argument is the largest value.
ACTION_PARSER(action_parse_vlan)
{
	struct op_vlan *vlan;
	uint64_t value;
	int error = parse_number(&parser->parser, argument, word->name, 0, word->argument, &value);

	(void)name;
	if (error)
		return error;
	vlan = program_add(&parser->builder, word->code, sizeof(*vlan));
	if (vlan) {
		vlan->value = (uint16_t)value;
		vlan->push_if_missing = 1;
	}
	program_reads(&parser->builder, &fields[FIELD_VLAN_TCI]);
	program_writes(&parser->builder, &fields[FIELD_VLAN_TCI]);
	action_set_vlan(parser, true);
	return 0;
}

ACTION_FORMATTER(action_format_vlan)
{
	(void)ports;
	text_addf(text, "%s:%u", action_kinds[op->code].name, ((const struct op_vlan *)op)->value);
}

ACTION_PARSER(action_parse_dec_ttl)
{
	const struct field *ttl = &fields[FIELD_IP_TTL];

	if (argument.length)
		return parser_error(&parser->parser, argument.at,
				    "dec_ttl takes no controller ids here");
	if (parser->match && !match_has_prerequisite(parser->match, ttl))
		return parser_error(&parser->parser, name.at,
				    "dec_ttl needs %s in the flow's match: add %s",
				    field_prerequisite_text(ttl->prerequisite),
				    field_prerequisite_remedy(ttl->prerequisite));
	program_add(&parser->builder, word->code, sizeof(struct op));
	program_reads(&parser->builder, ttl);
	program_writes(&parser->builder, ttl);
	return 0;
}

ACTION_PARSER(action_parse_write_actions)
{
	size_t start = program_begin_write_actions(&parser->builder);
	int error;

	(void)name;
	(void)word;
	parser->depth++;
	parser->in_action_set = true;
	error = actions_parse(parser, argument);
	parser->in_action_set = false;
	parser->depth--;
	program_end_write_actions(&parser->builder, start);
	return error;
}

ACTION_FORMATTER(action_format_write_actions)
{
	const struct op_write_actions *write = (const struct op_write_actions *)op;

	text_add(text, "write_actions(");
	if (write->length)
		actions_format((const uint8_t *)write->ops, write->length, ports, text);
	else
		text_add(text, "drop");
	text_add(text, ")");
}
