// The meter instruction, which stands in front of a flow's actions.
#include "common/text.h"
#include "flowtable/action.h"
#include "flowtable/meter_text.h"

ACTION_PARSER(action_parse_meter)
{
	struct op_number *op;
	uint64_t number;
	int error = parse_number(&parser->parser, argument, word->name, 1, METER_ID_MAX, &number);

	(void)name;
	if (error)
		return error;
	op = program_add(&parser->builder, OP_METER, sizeof(*op));
	if (op)
		op->number = (uint32_t)number;
	// A dscp_remark band writes the type of service.
	program_writes(&parser->builder, &fields[FIELD_NW_TOS]);
	return 0;
}

ACTION_FORMATTER(action_format_meter)
{
	(void)ports;
	text_addf(text, "meter:%u", ((const struct op_number *)op)->number);
}

// The parser makes sure that no op is in front of it.
uint32_t program_meter(const struct program *program)
{
	const struct op_number *first = (const struct op_number *)program->ops;

	return program->size && first->op.code == OP_METER ? first->number : 0;
}
