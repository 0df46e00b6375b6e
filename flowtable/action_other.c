// VLAN tags, TTL, the action set, and actions without arguments.
#include "common/text.h"
#include "flowtable/action.h"
#include "flowtable/flow_text.h"

#include <errno.h>
#include <string.h>

#define MAX_IDS 64

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

// The ids of dec_ttl(1,2) into `ids`; there may be none.
static int parse_ids(struct action_parser *parser, struct span list, uint16_t *ids, unsigned int *n)
{
	while (list.length) {
		struct span item;
		uint64_t id;
		int error;

		span_split(list, ',', &item, &list);
		error = parse_number(&parser->parser, span_trim(item), "a controller id", 0,
				     UINT16_MAX, &id);
		if (error)
			return error;
		if (*n == MAX_IDS)
			return parser_error(&parser->parser, item.at,
					    "dec_ttl takes up to %u controller ids", MAX_IDS);
		ids[(*n)++] = (uint16_t)id;
	}
	return 0;
}

ACTION_PARSER(action_parse_dec_ttl)
{
	const struct field *ttl = &fields[FIELD_IP_TTL];
	struct op_dec_ttl *dec;
	uint16_t ids[MAX_IDS];
	unsigned int n = 0;
	int error = parse_ids(parser, argument, ids, &n);

	(void)name;
	if (error)
		return error;
	dec = program_add(&parser->builder, word->code, sizeof(*dec) + n * sizeof(*ids));
	if (dec) {
		dec->n_ids = (uint16_t)n;
		memcpy(dec->ids, ids, n * sizeof(*ids));
	}
	program_reads(&parser->builder, ttl);
	program_writes(&parser->builder, ttl);
	return 0;
}

ACTION_FORMATTER(action_format_dec_ttl)
{
	const struct op_dec_ttl *dec = (const struct op_dec_ttl *)op;

	(void)ports;
	text_add(text, "dec_ttl");
	for (unsigned int i = 0; i < dec->n_ids; i++)
		text_addf(text, "%s%u", i ? "," : "(", dec->ids[i]);
	if (dec->n_ids)
		text_add(text, ")");
}

ACTION_PARSER(action_parse_write_actions)
{
	size_t start = program_begin_nested(&parser->builder, word->code);
	int error;

	(void)name;
	parser->depth++;
	parser->in_action_set = true;
	error = actions_parse(parser, argument);
	parser->in_action_set = false;
	parser->depth--;
	program_end_nested(&parser->builder, start);
	return error;
}

// What the nested actions do to the packet does not last.
ACTION_PARSER(action_parse_clone)
{
	size_t start = program_begin_nested(&parser->builder, word->code);
	struct match saved = parser->scratch;
	int error;

	(void)name;
	parser->depth++;
	error = actions_parse(parser, argument);
	parser->depth--;
	parser->scratch = saved;
	program_end_nested(&parser->builder, start);
	return error;
}

// write_actions and clone.
ACTION_FORMATTER(action_format_nested)
{
	const struct op_nested *nested = (const struct op_nested *)op;

	text_addf(text, "%s(", action_kinds[op->code].name);
	if (nested->length)
		actions_format((const uint8_t *)nested->ops, nested->length, ports, text);
	else
		text_add(text, "drop");
	text_add(text, ")");
}
