// push and pop, and check_pkt_larger: actions on any part of a field.
#include "common/text.h"
#include "flowtable/action.h"
#include "flowtable/flow_text.h"

#define STACK_MAX_BITS 128 // of one value on the stack

// push:FIELD[A..B] and pop:FIELD[A..B]; the word's argument says whether the field is written.
ACTION_PARSER(action_parse_stack)
{
	struct subfield subfield;
	struct op_stack *stack;
	int error;

	if (!argument.length)
		return parser_error(&parser->parser, name.at, "%s is written %s:FIELD[FIRST..LAST]",
				    word->name, word->name);
	error = action_parse_subfield(parser, argument, word->argument, &subfield);
	if (error)
		return error;
	if (subfield.n_bits > STACK_MAX_BITS)
		return parser_error(&parser->parser, argument.at,
				    "%s takes at most %d bits at once, not %u: write "
				    "FIELD[FIRST..LAST]",
				    word->name, STACK_MAX_BITS, subfield.n_bits);
	stack = program_add(&parser->builder, word->code, sizeof(*stack));
	if (stack)
		stack->subfield = subfield;
	return 0;
}

ACTION_FORMATTER(action_format_stack)
{
	(void)ports;
	text_addf(text, "%s:", action_kinds[op->code].name);
	subfield_format(&((const struct op_stack *)op)->subfield, text);
}

// check_pkt_larger(LENGTH)->FIELD[BIT]. The argument begins behind the opening parenthesis.
ACTION_PARSER(action_parse_check_larger)
{
	struct op_check_larger *check;
	struct span length_text, destination_text;
	struct subfield destination;
	uint64_t length;
	int error;

	(void)word;
	if (!span_split_arrow(argument, &length_text, &destination_text) || !length_text.length ||
	    length_text.at[length_text.length - 1] != ')')
		return parser_error(&parser->parser, name.at,
				    "it is written check_pkt_larger(LENGTH)->FIELD[BIT]");
	length_text.length--;
	error = parse_number(&parser->parser, length_text, "check_pkt_larger", 0, UINT16_MAX,
			     &length);
	if (!error)
		error = action_parse_subfield(parser, destination_text, true, &destination);
	if (error)
		return error;
	if (destination.n_bits != 1)
		return parser_error(&parser->parser, destination_text.at,
				    "check_pkt_larger writes 1 bit, not %u", destination.n_bits);
	check = program_add(&parser->builder, OP_CHECK_LARGER, sizeof(*check));
	if (check) {
		check->length = (uint32_t)length;
		check->destination = destination;
	}
	return 0;
}

ACTION_FORMATTER(action_format_check_larger)
{
	const struct op_check_larger *check = (const struct op_check_larger *)op;

	(void)ports;
	text_addf(text, "check_pkt_larger(%u)->", check->length);
	subfield_format(&check->destination, text);
}
