#include "common/error.h"
#include "common/text.h"
#include "flowtable/action.h"
#include "flowtable/flow_text.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

const struct action_kind action_kinds[N_OPS] = {
#define ACTION(id, name_, place_, in_set_, format_)                                                \
	[OP_##id] = { .name = name_, .place = place_, .in_set = in_set_, .format = format_ },
#include "flowtable/action.def"
};

static const struct action_word action_words[] = {
#define ACTION_WORD(name_, id, parse_, argument_)                                                  \
	{ .name = name_, .code = OP_##id, .parse = parse_, .argument = argument_ },
#include "flowtable/action.def"
};
#define N_ACTION_WORDS (sizeof(action_words) / sizeof(action_words[0]))

#define MAX_DEPTH 4

static const struct action_word *action_word_find(struct span name)
{
	for (unsigned int i = 0; i < N_ACTION_WORDS; i++)
		if (span_is(name, action_words[i].name))
			return &action_words[i];
	return NULL;
}

static int error_unknown_action(struct action_parser *parser, struct span name)
{
	const char *names[N_ACTION_WORDS + 2];
	const char *nearest;
	char word[64];

	for (unsigned int i = 0; i < N_ACTION_WORDS; i++)
		names[i] = action_words[i].name;
	names[N_ACTION_WORDS] = "drop";
	names[N_ACTION_WORDS + 1] = "apply_actions";
	nearest = span_copy(name, word, sizeof(word))
			  ? text_nearest(word, names, N_ACTION_WORDS + 2)
			  : NULL;
	if (!name.length)
		return parser_error(&parser->parser, name.at, "an action is missing here");
	if (nearest)
		return parser_error(&parser->parser, name.at,
				    "there is no action or port '%.*s'; did you mean %s?",
				    SPAN_ARGS(name), nearest);
	return parser_error(&parser->parser, name.at, "there is no action or port '%.*s'",
			    SPAN_ARGS(name));
}

// Instructions come in OpenFlow's order, and each but "apply" once.
static int check_place(struct action_parser *parser, struct span name, enum action_place place,
		       const char *word, enum action_place *last, const char **last_word)
{
	if (place < *last)
		return parser_error(&parser->parser, name.at, "%s must come before %s", word,
				    *last_word);
	if (place == *last && place != PLACE_APPLY)
		return parser_error(&parser->parser, name.at, "%s is there twice", word);
	if (place != *last || place == PLACE_APPLY) {
		*last = place;
		*last_word = word;
	}
	return 0;
}

static enum action_place word_place(const struct action_word *word)
{
	if (word->parse == action_parse_write_metadata)
		return PLACE_METADATA;
	return action_kinds[word->code].place;
}

static int parse_apply_actions(struct action_parser *parser, struct span name, struct span argument)
{
	int error;

	if (parser->depth)
		return parser_error(&parser->parser, name.at,
				    "apply_actions cannot be inside other actions");
	parser->depth++;
	error = actions_parse(parser, argument);
	parser->depth--;
	return error;
}

// One action whose name and argument are known.
static int parse_action(struct action_parser *parser, struct span name, struct span argument,
			enum action_place *last, const char **last_word)
{
	const struct action_word *word = action_word_find(name);
	enum action_place place = word ? word_place(word) : PLACE_APPLY;
	bool is_apply = span_is(name, "apply_actions");
	int error =
		check_place(parser, name, place, word ? word->name : "an action", last, last_word);
	uint32_t port;

	if (error)
		return error;
	if (is_apply)
		return parse_apply_actions(parser, name, argument);
	if (!word) {
		port = port_find(&parser->parser, name);
		if (port == OFPP_UNSET || port == OFPP_ANY || argument.length)
			return error_unknown_action(parser, name);
		return action_add_output(parser, port, MAX_LEN_ALL);
	}
	if (parser->depth && place != PLACE_APPLY)
		return parser_error(&parser->parser, name.at, "%s cannot be inside other actions",
				    word->name);
	if (parser->in_action_set && !action_kinds[word->code].in_set)
		return parser_error(&parser->parser, name.at,
				    "%s cannot be in write_actions or a bucket", word->name);
	return word->parse(parser, word, name, argument);
}

static bool is_separator(char c)
{
	return c == ',' || isspace((unsigned char)c);
}

// Where the name at the start of `span` ends: before ':', '=', '(' or a separator.
static size_t name_length(struct span span)
{
	size_t i = 0;

	if (span.length && span.at[0] == '"') {
		for (i = 1; i < span.length && span.at[i] != '"'; i++)
			if (span.at[i] == '\\')
				i++;
		return i < span.length ? i + 1 : span.length;
	}
	while (i < span.length && !is_separator(span.at[i]) && !strchr(":=()", span.at[i]))
		i++;
	return i;
}

// Where the parenthesis that `span` starts with is closed. parse_value_end() has made sure that it
// is.
static const char *closing_parenthesis(struct span span)
{
	unsigned int depth = 0;
	bool quoted = false;
	size_t i;

	for (i = 0; i + 1 < span.length; i++) {
		if (span.at[i] == '"')
			quoted = !quoted;
		else if (quoted && span.at[i] == '\\')
			i++;
		else if (!quoted && span.at[i] == '(')
			depth++;
		else if (!quoted && span.at[i] == ')' && !--depth)
			break;
	}
	return span.at + i;
}

// Split "name:argument", "name=argument" or "name(argument)" in two.
static int split_action(struct action_parser *parser, struct span item, struct span *name,
			struct span *argument)
{
	size_t n = name_length(item);

	*name = (struct span){ item.at, n };
	*argument = (struct span){ item.at + n, item.length - n };
	if (!argument->length)
		return 0;
	if (argument->at[0] == '(') {
		const char *close = closing_parenthesis(*argument);

		// The one action that goes on behind its parentheses gets them along.
		if (span_is(*name, "check_pkt_larger"))
			argument->length++;
		else if (close + 1 != argument->at + argument->length)
			return parser_error(&parser->parser, close + 1,
					    "unexpected text after ')'");
		argument->length--;
	}
	argument->at++;
	argument->length--;
	return 0;
}

int actions_parse(struct action_parser *parser, struct span list)
{
	enum action_place last = PLACE_START;
	const char *last_word = "";
	const char *end = list.at + list.length;
	const char *at = list.at;
	const char *drop = NULL;
	unsigned int n = 0;

	if (parser->depth > MAX_DEPTH)
		return parser_error(&parser->parser, at, "actions are nested too deeply");
	while (true) {
		struct span item;
		struct span name;
		struct span argument;
		int error;

		while (at < end && is_separator(*at))
			at++;
		if (at == end)
			break;
		item.at = at;
		at = parse_value_end(&parser->parser, at, end);
		if (!at)
			return -EINVAL;
		item.length = (size_t)(at - item.at);
		error = split_action(parser, item, &name, &argument);
		if (!error && span_is(name, "drop") && !argument.length)
			drop = name.at;
		else if (!error)
			error = parse_action(parser, name, argument, &last, &last_word);
		if (error)
			return error;
		n++;
	}
	if (drop && n > 1)
		return parser_error(&parser->parser, drop, "drop stands alone");
	return 0;
}

int program_parse_for(struct parser *text_parser, struct span list, const struct match *match,
		      int table_id, struct program **program)
{
	struct action_parser *parser = calloc(1, sizeof(*parser));
	struct error *error_ = text_parser->error;
	int error;

	if (!parser)
		return error_set(error_, ENOMEM, "no memory for the actions");
	parser->parser = *text_parser;
	parser->table_id = table_id;
	if (match) {
		parser->scratch = *match;
		parser->match = &parser->scratch;
	}
	program_builder_init(&parser->builder);
	error = actions_parse(parser, list);
	if (!error)
		error = action_check_conjunctions(parser, list);
	if (!error) {
		*program = program_finish(&parser->builder, &error);
		if (error == -E2BIG)
			error_set(error_, E2BIG, "too many actions: they take more than %u bytes",
				  PROGRAM_MAX_SIZE);
	}
	if (error == -ENOMEM)
		error_set(error_, ENOMEM, "no memory for the actions");
	program_builder_free(&parser->builder);
	free(parser);
	return error;
}

int program_parse(const char *string, const struct port_names *ports, struct program **program,
		  struct error *error)
{
	struct parser parser = { .base = string, .ports = ports, .error = error };

	return program_parse_for(&parser, span_of(string), NULL, -1, program);
}

void actions_format(const uint8_t *ops, size_t size, const struct port_names *ports,
		    struct text *text)
{
	const uint8_t *end = ops + size;

	for (const uint8_t *at = ops; at < end; at += ((const struct op *)at)->size) {
		const struct op *op = (const struct op *)at;

		if (at != ops)
			text_add(text, ",");
		action_kinds[op->code].format(op, ports, text);
	}
}

void program_format(const struct program *program, const struct port_names *ports,
		    struct text *text)
{
	if (program->size)
		actions_format(program->ops, program->size, ports, text);
	else
		text_add(text, "drop");
}

bool action_next_pair(struct span *list, struct span *key, struct span *value)
{
	unsigned int depth = 0;
	bool quoted = false;
	size_t n;

	*list = span_trim(*list);
	if (!list->length)
		return false;
	for (n = 0; n < list->length; n++) {
		char c = list->at[n];

		if (c == '"')
			quoted = !quoted;
		else if (quoted)
			n += c == '\\' && n + 1 < list->length;
		else if (c == ',' && !depth)
			break;
		else if (c == '(')
			depth++;
		else if (c == ')' && depth)
			depth--;
	}
	span_split((struct span){ list->at, n }, '=', key, value);
	*key = span_trim(*key);
	*value = span_trim(*value);
	n += n < list->length;
	list->at += n;
	list->length -= n;
	return true;
}
