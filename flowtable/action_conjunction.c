// conjunction(ID,K/N): one dimension of a conjunctive match.
#include "common/text.h"
#include "flowtable/action.h"
#include "flowtable/flow_text.h"

#include <errno.h>

static int parse_dimension(struct action_parser *parser, struct span text, uint64_t *dimension,
			   uint64_t *n)
{
	struct span left, right;
	int error;

	if (!span_split(text, '/', &left, &right))
		return parser_error(&parser->parser, text.at,
				    "which dimension of how many is written K/N, such as 1/2");
	error = parse_number(&parser->parser, span_trim(right), "the number of dimensions",
			     CONJUNCTION_MIN_DIMENSIONS, CONJUNCTION_MAX_DIMENSIONS, n);
	if (error)
		return error;
	return parse_number(&parser->parser, span_trim(left), "the dimension", 1, *n, dimension);
}

ACTION_PARSER(action_parse_conjunction)
{
	struct op_conjunction *conjunction;
	struct span id_text, dimension_text;
	uint64_t id, dimension, n;
	int error;

	if (!span_split(argument, ',', &id_text, &dimension_text))
		return parser_error(&parser->parser, name.at,
				    "it is written conjunction(ID,K/N): dimension K of the N that "
				    "conjunction ID has");
	if (parser->builder.depth)
		return parser_error(&parser->parser, name.at,
				    "conjunction cannot be inside other actions");
	error = parse_number(&parser->parser, span_trim(id_text), "the conjunction's ID", 0,
			     UINT32_MAX, &id);
	if (!error)
		error = parse_dimension(parser, span_trim(dimension_text), &dimension, &n);
	if (error)
		return error;
	conjunction = program_add(&parser->builder, word->code, sizeof(*conjunction));
	if (conjunction) {
		conjunction->id = (uint32_t)id;
		conjunction->dimension = (uint8_t)dimension;
		conjunction->n_dimensions = (uint8_t)n;
		parser->builder.flags |= PROGRAM_CONJUNCTION;
	}
	return 0;
}

ACTION_FORMATTER(action_format_conjunction)
{
	const struct op_conjunction *conjunction = (const struct op_conjunction *)op;

	(void)ports;
	text_addf(text, "conjunction(%u,%u/%u)", conjunction->id, conjunction->dimension,
		  conjunction->n_dimensions);
}

int action_check_conjunctions(struct action_parser *parser, struct span list)
{
	const struct program_builder *builder = &parser->builder;
	const uint8_t *end = builder->ops + builder->size;

	if (builder->error || !(builder->flags & PROGRAM_CONJUNCTION))
		return 0;
	for (const uint8_t *at = builder->ops; at < end; at += ((const struct op *)at)->size) {
		const unsigned int code = ((const struct op *)at)->code;

		if (code != OP_CONJUNCTION && code != OP_NOTE)
			return parser_error(&parser->parser, list.at,
					    "%s beside conjunction would never run: a flow with "
					    "conjunctions has no other action but note (those for "
					    "packets that match go to the flow with conj_id=ID)",
					    action_kinds[code].name);
	}
	return 0;
}
