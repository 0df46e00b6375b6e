// learn and fin_timeout: flows that come to be, and end, by the packets that pass.
#include "common/text.h"
#include "flowtable/action.h"
#include "flowtable/flow_text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SPECS 256
#define DEFAULT_TABLE 1
#define IN_FLOW " in the flow's match"
#define IN_LEARNED " in the learned flow, before it"

// A learn action as far as it is read.
struct learn_parser {
	struct action_parser *parser;
	struct match match; // what the learned flow matches so far, where it is known
	unsigned int n_specs;
	struct learn_spec specs[MAX_SPECS];
	struct op_learn head; // its own specs stay empty
};

static int parse_u16(struct action_parser *parser, struct span value, const char *what,
		     uint16_t *number)
{
	uint64_t wide;
	int error = parse_number(&parser->parser, value, what, 0, UINT16_MAX, &wide);

	if (!error)
		*number = (uint16_t)wide;
	return error;
}

// --- Where values come from, and where they go ---

static int parse_source(struct learn_parser *learn, struct span span, struct subfield *source)
{
	struct action_parser *parser = learn->parser;
	bool satisfied;
	int error = parse_subfield(&parser->parser, span, parser->match, source, &satisfied);

	if (!error && !satisfied)
		error = parser_error_prerequisite(&parser->parser, span, IN_FLOW);
	return error;
}

static int parse_destination(struct learn_parser *learn, struct span span,
			     struct subfield *destination)
{
	struct parser *parser = &learn->parser->parser;
	bool satisfied;
	int error = parse_subfield(parser, span, &learn->match, destination, &satisfied);

	if (!error && !satisfied)
		error = parser_error_prerequisite(parser, span, IN_LEARNED);
	return error;
}

static int check_widths(struct learn_parser *learn, struct span span, const struct learn_spec *spec)
{
	if (spec->source.n_bits == spec->destination.n_bits)
		return 0;
	return parser_error(&learn->parser->parser, span.at,
			    "%u bits cannot become %u: both sides must have the same number",
			    spec->source.n_bits, spec->destination.n_bits);
}

// Is it a field's name, perhaps with bits behind it?
static bool is_field(struct span span)
{
	struct span name;
	struct span rest;

	span_split(span, '[', &name, &rest);
	return field_find(name.at, name.length) != NULL;
}

static bool is_whole(const struct subfield *subfield)
{
	return subfield->offset == 0 && subfield->n_bits == field_subfield_bits(subfield->field);
}

static void keep_low_bits(struct field_value *value, unsigned int n_bits)
{
	const struct field_value ones = field_value_ones(n_bits);

	for (unsigned int i = 0; i < FIELD_VALUE_SIZE; i++)
		value->bytes[i] &= ones.bytes[i];
}

// FIELD=VALUE: in the field's own way of writing if it is the whole field.
static int parse_constant(struct learn_parser *learn, struct span text, struct learn_spec *spec)
{
	struct parser *parser = &learn->parser->parser;
	const struct field *field = spec->destination.field;
	const struct field_value ones = field_all_ones(field);
	struct field_value mask;
	int error;

	if (!is_whole(&spec->destination))
		return parse_wide_number(parser, text, spec->destination.n_bits,
					 "that part of the field", &spec->value);
	error = parse_field_value(parser, field, text, &spec->value, &mask);
	if (error)
		return error;
	if (field->format != FORMAT_TOS && memcmp(&mask, &ones, sizeof(ones)) != 0)
		return parser_error(parser, text.at,
				    "a learned flow matches whole values or FIELD[FIRST..LAST]: "
				    "no mask can be written here");
	if (field->format != FORMAT_PORT16) // LOCAL keeps its 32 bits
		keep_low_bits(&spec->value, spec->destination.n_bits);
	return 0;
}

// The learned flow will match this: later specs may need it.
static void note_match(struct learn_parser *learn, const struct subfield *destination,
		       const struct field_value *value)
{
	const struct field *field = destination->field;
	struct field_value bits = *value;
	struct field_value mask = field_value_ones(destination->n_bits);
	struct field_value old;

	field_value_shift_left(&bits, destination->offset);
	field_value_shift_left(&mask, destination->offset);
	field_get(field, &learn->match.mask, &old);
	for (unsigned int i = 0; i < FIELD_VALUE_SIZE; i++)
		mask.bytes[i] |= old.bytes[i];
	field_get(field, &learn->match.value, &old);
	for (unsigned int i = 0; i < FIELD_VALUE_SIZE; i++)
		bits.bytes[i] |= old.bytes[i];
	match_set_masked(&learn->match, field, &bits, &mask);
}

// A copied field whose value the flow's own match fixes is as good as a constant.
static void note_copied(struct learn_parser *learn, const struct learn_spec *spec)
{
	const struct match *match = learn->parser->match;
	const struct field_value ones = field_value_ones(spec->source.n_bits);
	struct field_value value;
	struct field_value mask;

	if (!match)
		return;
	field_get(spec->source.field, &match->mask, &mask);
	field_value_shift_right(&mask, spec->source.offset);
	keep_low_bits(&mask, spec->source.n_bits);
	if (memcmp(&mask, &ones, sizeof(ones)) != 0)
		return;
	field_get(spec->source.field, &match->value, &value);
	field_value_shift_right(&value, spec->source.offset);
	keep_low_bits(&value, spec->source.n_bits);
	note_match(learn, &spec->destination, &value);
}

// --- Specs ---

static int parse_match_spec(struct learn_parser *learn, struct span key, struct span value,
			    struct learn_spec *spec)
{
	struct parser *parser = &learn->parser->parser;
	int error = parse_destination(learn, key, &spec->destination);
	const struct field *field = spec->destination.field;

	if (error)
		return error;
	if (field->format == FORMAT_DL_VLAN || field->format == FORMAT_DL_VLAN_PCP)
		return parser_error(parser, key.at,
				    "learn does not take %s: use vlan_tci or vlan_vid",
				    field->shown);
	spec->kind = LEARN_MATCH;
	if (!value.length || is_field(value)) {
		struct span source = value.length ? value : key;

		error = parse_source(learn, source, &spec->source);
		if (!error)
			error = check_widths(learn, source, spec);
		if (!error)
			note_copied(learn, spec);
		return error;
	}
	error = parse_constant(learn, value, spec);
	if (!error)
		note_match(learn, &spec->destination, &spec->value);
	return error;
}

static int parse_load_spec(struct learn_parser *learn, struct span argument,
			   struct learn_spec *spec)
{
	struct parser *parser = &learn->parser->parser;
	struct span from;
	struct span to;
	int error;

	if (!span_split_arrow(argument, &from, &to))
		return parser_error(parser, argument.at,
				    "load is written load:VALUE->FIELD or load:FIELD->FIELD");
	spec->kind = LEARN_LOAD;
	error = parse_destination(learn, to, &spec->destination);
	if (error)
		return error;
	if (!spec->destination.field->writable)
		return parser_error(parser, to.at, "%.*s cannot be written", SPAN_ARGS(to));
	if (!is_field(from))
		return parse_wide_number(parser, from, spec->destination.n_bits,
					 is_whole(&spec->destination)
						 ? spec->destination.field->name
						 : "that part of the field",
					 &spec->value);
	error = parse_source(learn, from, &spec->source);
	return error ? error : check_widths(learn, from, spec);
}

static int parse_spec(struct learn_parser *learn, struct span key, struct span value)
{
	struct parser *parser = &learn->parser->parser;
	struct learn_spec *spec = &learn->specs[learn->n_specs];
	struct span word;
	struct span argument;
	bool colon = span_split(key, ':', &word, &argument);
	int error;

	if (learn->n_specs == MAX_SPECS)
		return parser_error(parser, key.at, "learn takes at most %u fields and actions",
				    MAX_SPECS);
	memset(spec, 0, sizeof(*spec));
	if (!colon)
		argument = value;
	if (span_is(word, "load")) {
		error = parse_load_spec(learn, argument, spec);
	} else if (span_is(word, "output")) {
		spec->kind = LEARN_OUTPUT;
		error = parse_source(learn, argument, &spec->source);
	} else if (!is_field(key)) {
		error = parser_error(parser, key.at, "learn has no option, field or action '%.*s'",
				     SPAN_ARGS(key));
	} else {
		error = parse_match_spec(learn, key, value, spec);
	}
	if (error)
		return error;
	learn->n_specs++;
	if (!spec->source.field)
		return 0;
	learn->head.n_values = (uint16_t)(learn->head.n_values + (spec->source.n_bits + 7) / 8);
	if (learn->head.n_values > LEARN_VALUES_SIZE)
		return parser_error(parser, key.at, "learn copies at most %u bytes from a packet",
				    LEARN_VALUES_SIZE);
	return 0;
}

// --- Options ---

static int parse_result(struct learn_parser *learn, struct span value)
{
	struct parser *parser = &learn->parser->parser;
	int error = parse_source(learn, value, &learn->head.result);

	if (error)
		return error;
	if (learn->head.result.n_bits != 1)
		return parser_error(parser, value.at, "result_dst is a single bit: FIELD[BIT]");
	if (!learn->head.result.field->writable)
		return parser_error(parser, value.at, "%.*s cannot be written", SPAN_ARGS(value));
	return 0;
}

static int parse_flag(struct learn_parser *learn, struct span key, struct span value, uint8_t flag)
{
	if (value.length)
		return parser_error(&learn->parser->parser, value.at, "%.*s takes no value",
				    SPAN_ARGS(key));
	learn->head.flags |= flag;
	return 0;
}

static int parse_option(struct learn_parser *learn, struct span key, struct span value)
{
	struct action_parser *parser = learn->parser;
	struct op_learn *head = &learn->head;
	uint64_t number = 0;
	int error;

	if (span_is(key, "idle_timeout"))
		return parse_u16(parser, value, "idle_timeout", &head->idle_timeout);
	if (span_is(key, "hard_timeout"))
		return parse_u16(parser, value, "hard_timeout", &head->hard_timeout);
	if (span_is(key, "fin_idle_timeout"))
		return parse_u16(parser, value, "fin_idle_timeout", &head->fin_idle_timeout);
	if (span_is(key, "fin_hard_timeout"))
		return parse_u16(parser, value, "fin_hard_timeout", &head->fin_hard_timeout);
	if (span_is(key, "priority"))
		return parse_u16(parser, value, "priority", &head->priority);
	if (span_is(key, "send_flow_rem"))
		return parse_flag(learn, key, value, LEARN_SEND_FLOW_REM);
	if (span_is(key, "delete_learned"))
		return parse_flag(learn, key, value, LEARN_DELETE_LEARNED);
	if (span_is(key, "result_dst"))
		return parse_result(learn, value);
	if (span_is(key, "table")) {
		error = parse_table_id(&parser->parser, value, "table", N_TABLES - 1,
				       &head->table_id);
	} else if (span_is(key, "cookie")) {
		error = parse_number(&parser->parser, value, "cookie", 0, UINT64_MAX, &number);
		head->cookie = number;
	} else if (span_is(key, "limit")) {
		error = parse_number(&parser->parser, value, "limit", 0, UINT32_MAX, &number);
		head->limit = (uint32_t)number;
	} else {
		error = parse_spec(learn, key, value);
	}
	return error;
}

// Everything that the op and the flows that it makes look at is filled from now on.
static void account(struct program_builder *builder, const struct learn_parser *learn)
{
	for (unsigned int i = 0; i < learn->n_specs; i++) {
		const struct learn_spec *spec = &learn->specs[i];

		if (spec->source.field)
			program_reads(builder, spec->source.field);
		if (spec->destination.field)
			program_reads(builder, spec->destination.field);
	}
	program_reads(builder, &fields[FIELD_IN_PORT]);
	if (learn->head.result.field)
		program_writes(builder, learn->head.result.field);
	builder->flags |= PROGRAM_LEARNS;
}

ACTION_PARSER(action_parse_learn)
{
	struct learn_parser *learn = aligned_alloc(64, (sizeof(*learn) + 63) / 64 * 64);
	struct op_learn *op;
	struct span key;
	struct span value;
	size_t size;
	int error = 0;

	(void)word;
	if (!learn)
		return -ENOMEM;
	memset(learn, 0, sizeof(*learn));
	learn->parser = parser;
	learn->head.table_id = DEFAULT_TABLE;
	learn->head.priority = FLOW_DEFAULT_PRIORITY;
	if (argument.length && argument.at[-1] != '(')
		error = parser_error(&parser->parser, argument.at, "%.*s is written learn(...)",
				     SPAN_ARGS(name));
	while (!error && action_next_pair(&argument, &key, &value))
		error = parse_option(learn, key, value);
	if (!error) {
		size = learn->n_specs * sizeof(learn->specs[0]);
		op = program_add(&parser->builder, OP_LEARN, sizeof(*op) + size);
		if (op) {
			learn->head.op = op->op;
			learn->head.n_specs = (uint16_t)learn->n_specs;
			*op = learn->head;
			memcpy(op->specs, learn->specs, size);
		}
		account(&parser->builder, learn);
	}
	free(learn);
	return error;
}

// --- Printing ---

static void format_constant(const struct learn_spec *spec, const struct port_names *ports,
			    struct text *text)
{
	const struct field *field = spec->destination.field;

	if (!is_whole(&spec->destination)) {
		subfield_format(&spec->destination, text);
		text_add(text, "=");
		wide_number_format(&spec->value, text);
		return;
	}
	text_addf(text, "%s=", field->name);
	if (field->format == FORMAT_ETH_TYPE || field->format == FORMAT_VLAN_TCI ||
	    field->format == FORMAT_IPV6_LABEL)
		wide_number_format(&spec->value, text);
	else
		field_format_value(field, &spec->value, NULL, ports, text);
}

static bool same_subfield(const struct subfield *a, const struct subfield *b)
{
	return a->field == b->field && a->offset == b->offset && a->n_bits == b->n_bits;
}

static void format_spec(const struct learn_spec *spec, const struct port_names *ports,
			struct text *text)
{
	text_add(text, ",");
	if (spec->kind == LEARN_OUTPUT) {
		text_add(text, "output:");
		subfield_format(&spec->source, text);
	} else if (spec->kind == LEARN_LOAD) {
		text_add(text, "load:");
		if (spec->source.field)
			subfield_format(&spec->source, text);
		else
			wide_number_format(&spec->value, text);
		text_add(text, "->");
		subfield_format(&spec->destination, text);
	} else if (!spec->source.field) {
		format_constant(spec, ports, text);
	} else {
		subfield_format(&spec->destination, text);
		if (!same_subfield(&spec->source, &spec->destination)) {
			text_add(text, "=");
			subfield_format(&spec->source, text);
		}
	}
}

static void format_number(struct text *text, const char *name, unsigned int number)
{
	if (number)
		text_addf(text, ",%s=%u", name, number);
}

ACTION_FORMATTER(action_format_learn)
{
	const struct op_learn *learn = (const struct op_learn *)op;

	text_add(text, "learn(table=");
	table_format(learn->table_id, ports, text);
	format_number(text, "idle_timeout", learn->idle_timeout);
	format_number(text, "hard_timeout", learn->hard_timeout);
	format_number(text, "fin_idle_timeout", learn->fin_idle_timeout);
	format_number(text, "fin_hard_timeout", learn->fin_hard_timeout);
	if (learn->priority != FLOW_DEFAULT_PRIORITY)
		text_addf(text, ",priority=%u", learn->priority);
	if (learn->flags & LEARN_SEND_FLOW_REM)
		text_add(text, ",send_flow_rem");
	if (learn->flags & LEARN_DELETE_LEARNED)
		text_add(text, ",delete_learned");
	if (learn->cookie)
		text_addf(text, ",cookie=%#llx", (unsigned long long)learn->cookie);
	format_number(text, "limit", learn->limit);
	if (learn->result.field) {
		text_add(text, ",result_dst=");
		subfield_format(&learn->result, text);
	}
	for (unsigned int i = 0; i < learn->n_specs; i++)
		format_spec(&learn->specs[i], ports, text);
	text_add(text, ")");
}

// --- fin_timeout ---

ACTION_PARSER(action_parse_fin_timeout)
{
	struct op_fin_timeout head = { 0 };
	struct op_fin_timeout *op;
	struct span key;
	struct span value;
	int error = 0;

	(void)name;
	(void)word;
	while (!error && action_next_pair(&argument, &key, &value)) {
		if (span_is(key, "idle_timeout"))
			error = parse_u16(parser, value, "idle_timeout", &head.idle_timeout);
		else if (span_is(key, "hard_timeout"))
			error = parse_u16(parser, value, "hard_timeout", &head.hard_timeout);
		else
			error = parser_error(&parser->parser, key.at,
					     "fin_timeout takes idle_timeout and hard_timeout, "
					     "not '%.*s'",
					     SPAN_ARGS(key));
	}
	if (error)
		return error;
	op = program_add(&parser->builder, OP_FIN_TIMEOUT, sizeof(*op));
	if (op) {
		op->idle_timeout = head.idle_timeout;
		op->hard_timeout = head.hard_timeout;
	}
	parser->builder.flags |= PROGRAM_FIN_TIMEOUT;
	return 0;
}

ACTION_FORMATTER(action_format_fin_timeout)
{
	const struct op_fin_timeout *fin = (const struct op_fin_timeout *)op;

	(void)ports;
	text_add(text, "fin_timeout(");
	if (fin->idle_timeout)
		text_addf(text, "idle_timeout=%u,", fin->idle_timeout);
	if (fin->hard_timeout)
		text_addf(text, "hard_timeout=%u,", fin->hard_timeout);
	text_chomp(text, ",");
	text_add(text, ")");
}
