// The group action, and which groups a program goes to.
#include "common/text.h"
#include "flowtable/action.h"
#include "flowtable/group_text.h"

ACTION_PARSER(action_parse_group)
{
	struct op_group *group;
	uint64_t number;
	int error = parse_number(&parser->parser, argument, word->name, 0, GROUP_ID_MAX, &number);

	(void)name;
	if (error)
		return error;
	group = program_add(&parser->builder, OP_GROUP, sizeof(*group));
	if (group)
		group->group_id = (uint32_t)number;
	return 0;
}

ACTION_FORMATTER(action_format_group)
{
	(void)ports;
	text_addf(text, "group:%u", ((const struct op_group *)op)->group_id);
}

static int ops_each_group(const uint8_t *at, size_t size,
			  int (*visit)(void *context, uint32_t group), void *context)
{
	const uint8_t *end = at + size;
	int result = 0;

	for (; at < end && !result; at += ((const struct op *)at)->size) {
		const struct op *op = (const struct op *)at;
		const struct op_nested *nested = (const struct op_nested *)op;

		if (op->code == OP_GROUP)
			result = visit(context, ((const struct op_group *)op)->group_id);
		else if (op->code == OP_WRITE_ACTIONS || op->code == OP_CLONE)
			result = ops_each_group((const uint8_t *)nested->ops, nested->length, visit,
						context);
	}
	return result;
}

int program_each_group(const struct program *program, int (*visit)(void *context, uint32_t group),
		       void *context)
{
	return ops_each_group(program->ops, program->size, visit, context);
}

static int is_group(void *context, uint32_t group)
{
	return *(const uint32_t *)context == group;
}

bool program_goes_to_group(const struct program *program, uint32_t group)
{
	return program_each_group(program, is_group, &group);
}
