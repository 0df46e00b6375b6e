#include "flowtable/flow_text_quick.h"

#include "common/text.h"
#include "flowtable/flow_text.h"
#include "flowtable/tun_map.h"

#include <string.h>

// How the text of one piece becomes bits.
enum step_kind {
	STEP_FIXED,
	STEP_IGNORED,
	STEP_U16,
	STEP_U64,
	STEP_TABLE,
	STEP_NUMBER,
	STEP_VLAN,
	STEP_PORT,
	STEP_MAC,
	STEP_IPV4,
	STEP_IPV6,
};

struct step {
	enum step_kind kind;
	uint16_t name; // where it begins in the recipe's names
	uint16_t name_length;
	uint16_t place; // offset in the key or in struct flow_text
	uint8_t size; // bytes of the container
	uint8_t shift;
	uint16_t n_bits;
};

#define NAMES_SIZE 512

struct recipe {
	unsigned int n_steps;
	struct step steps[QUICK_MAX_TOKENS];
	unsigned int names_length;
	char names[NAMES_SIZE];
	struct flow_text flow; // what all its lines have in common
};

// Lines of several kinds take turns in many files.
#define N_RECIPES 8
static struct recipe recipes[N_RECIPES];
static unsigned int recent; // the one that served last
static unsigned int n_learned;

// What is left of the line.
struct cursor {
	const char *at;
	const char *end;
};

static bool is_end(const struct cursor *cursor)
{
	return cursor->at == cursor->end || *cursor->at == ',' || text_is_space(*cursor->at);
}

static void skip_separators(struct cursor *cursor)
{
	while (cursor->at < cursor->end && (*cursor->at == ',' || text_is_space(*cursor->at)))
		cursor->at++;
}

static bool skip_text(struct cursor *cursor, const char *text, size_t length)
{
	if ((size_t)(cursor->end - cursor->at) < length || memcmp(cursor->at, text, length) != 0)
		return false;
	cursor->at += length;
	return true;
}

static struct span take_value(struct cursor *cursor)
{
	struct span value = { cursor->at, 0 };

	while (!is_end(cursor))
		cursor->at++;
	value.length = (size_t)(cursor->at - value.at);
	return value;
}

// Digits up to something else; false without any or with too many to be sure.
static bool read_decimal(struct cursor *cursor, uint64_t *value)
{
	const char *start = cursor->at;
	uint64_t number = 0;

	while (cursor->at < cursor->end && *cursor->at >= '0' && *cursor->at <= '9')
		number = number * 10 + (unsigned int)(*cursor->at++ - '0');
	*value = number;
	return cursor->at > start && cursor->at - start < 20;
}

static bool read_number(struct cursor *cursor, uint64_t *value)
{
	const struct cursor start = *cursor;
	struct span span;

	if (read_decimal(cursor, value) && is_end(cursor))
		return true;
	*cursor = start; // hexadecimal, or a mistake
	span = take_value(cursor);
	return !parse_u64_n(span.at, span.length, value);
}

static bool read_below(struct cursor *cursor, uint64_t limit, uint64_t *value)
{
	return read_number(cursor, value) && *value < limit;
}

static void put_bits(struct key *key, const struct step *step, uint64_t bits)
{
	uint8_t *bytes = key->bytes + step->place;

	bits <<= step->shift;
	for (unsigned int i = step->size; i-- > 0; bits >>= 8)
		bytes[i] |= (uint8_t)bits;
}

static bool read_field_number(struct cursor *cursor, const struct step *step, struct match *match)
{
	uint64_t number;

	if (!read_number(cursor, &number) || (step->n_bits < 64 && number >> step->n_bits))
		return false;
	put_bits(&match->value, step, number);
	return true;
}

static bool read_vlan(struct cursor *cursor, const struct step *step, struct match *match)
{
	uint64_t number;

	if (!read_below(cursor, 0x1000, &number))
		return false;
	put_bits(&match->value, step, number | KEY_VLAN_PRESENT);
	return true;
}

static bool read_port(const struct parser *parser, struct cursor *cursor, const struct step *step,
		      struct match *match)
{
	const struct cursor start = *cursor;
	struct parser quiet = *parser;
	uint64_t number;
	uint32_t port;

	if (read_below(cursor, 0xff00, &number)) {
		put_bits(&match->value, step, number);
		return true;
	}
	*cursor = start;
	quiet.error = NULL;
	if (parse_port(&quiet, take_value(cursor), &port))
		return false;
	put_bits(&match->value, step, port);
	return true;
}

static unsigned int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned int)(c - '0');
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? (unsigned int)(c - 'a') + 10 : 16;
}

// Six numbers of two digits.
static bool read_mac(struct cursor *cursor, const struct step *step, struct match *match)
{
	uint8_t *bytes = match->value.bytes + step->place;

	if (cursor->end - cursor->at < 17)
		return false;
	for (unsigned int i = 0; i < 6; i++) {
		const unsigned int high = hex_digit(cursor->at[3 * i]);
		const unsigned int low = hex_digit(cursor->at[3 * i + 1]);

		if (high > 15 || low > 15 || (i < 5 && cursor->at[3 * i + 2] != ':'))
			return false;
		bytes[i] = (uint8_t)(high << 4 | low);
	}
	cursor->at += 17;
	return is_end(cursor);
}

// "/24" if it is there.
static bool read_prefix(struct cursor *cursor, unsigned int n_bits, unsigned int *length)
{
	uint64_t number;

	*length = n_bits;
	if (cursor->at == cursor->end || *cursor->at != '/')
		return is_end(cursor);
	cursor->at++;
	if (!read_decimal(cursor, &number) || !is_end(cursor) || number > n_bits)
		return false;
	*length = (unsigned int)number;
	return true;
}

// As parse_ipv4_n() wants them.
static bool read_ipv4(struct cursor *cursor, const struct step *step, struct match *match)
{
	uint32_t address = 0;
	uint32_t mask;
	unsigned int length;

	for (unsigned int i = 0; i < 4; i++) {
		const char *start = cursor->at;
		uint64_t number;

		if (!read_decimal(cursor, &number) || number > 255 ||
		    (*start == '0' && cursor->at > start + 1))
			return false;
		address = address << 8 | (uint32_t)number;
		if (i < 3 && (cursor->at == cursor->end || *cursor->at++ != '.'))
			return false;
	}
	if (!read_prefix(cursor, 32, &length))
		return false;
	mask = length ? UINT32_MAX << (32 - length) : 0;
	put_bits(&match->value, step, address & mask);
	put_bits(&match->mask, step, mask);
	return true;
}

static bool read_ipv6(struct cursor *cursor, const struct step *step, struct match *match)
{
	uint8_t *value = match->value.bytes + step->place;
	uint8_t *mask = match->mask.bytes + step->place;
	struct span span = { cursor->at, 0 };
	unsigned int length;
	char string[64];

	while (!is_end(cursor) && *cursor->at != '/')
		cursor->at++;
	span.length = (size_t)(cursor->at - span.at);
	if (!span_copy(span, string, sizeof(string)) || parse_ipv6(string, value) ||
	    !read_prefix(cursor, 128, &length))
		return false;
	for (unsigned int i = 0; i < 16; i++) {
		const unsigned int bits = length > 8 * i ? length - 8 * i : 0;

		mask[i] = bits >= 8 ? 0xff : (uint8_t)(0xff00 >> bits);
		value[i] &= mask[i];
	}
	return true;
}

// Anything that has neither parentheses nor quotation marks, in which commas would not count.
static bool skip_ignored(struct cursor *cursor)
{
	const struct span value = take_value(cursor);

	return !memchr(value.at, '(', value.length) && !memchr(value.at, ')', value.length) &&
	       !memchr(value.at, '"', value.length);
}

static bool step_run(const struct parser *parser, const struct step *step, struct cursor *cursor,
		     struct flow_text *flow)
{
	char *member = (char *)flow + step->place;
	uint64_t number;

	switch (step->kind) {
	case STEP_FIXED:
		return is_end(cursor);
	case STEP_IGNORED:
		return skip_ignored(cursor);
	case STEP_U16:
		if (!read_below(cursor, UINT16_MAX + 1u, &number))
			return false;
		*(uint16_t *)(void *)member = (uint16_t)number;
		return true;
	case STEP_U64:
		return read_number(cursor, (uint64_t *)(void *)member);
	case STEP_TABLE:
		if (!read_below(cursor, N_TABLES, &number))
			return false;
		flow->table_id = (uint8_t)number;
		return true;
	case STEP_NUMBER:
		return read_field_number(cursor, step, &flow->match);
	case STEP_VLAN:
		return read_vlan(cursor, step, &flow->match);
	case STEP_PORT:
		return read_port(parser, cursor, step, &flow->match);
	case STEP_MAC:
		return read_mac(cursor, step, &flow->match);
	case STEP_IPV4:
		return read_ipv4(cursor, step, &flow->match);
	case STEP_IPV6:
		return read_ipv6(cursor, step, &flow->match);
	}
	return false;
}

static bool recipe_run(const struct parser *parser, const struct recipe *recipe, struct span line,
		       struct flow_text *flow, struct span *actions)
{
	struct cursor cursor = { line.at, line.at + line.length };

	skip_separators(&cursor);
	// Most recipes that do not fit differ in their first word.
	if (!recipe->n_steps || (size_t)(cursor.end - cursor.at) < recipe->steps[0].name_length ||
	    memcmp(cursor.at, recipe->names, recipe->steps[0].name_length) != 0)
		return false;
	*flow = recipe->flow;
	for (unsigned int i = 0; i < recipe->n_steps; i++) {
		const struct step *step = &recipe->steps[i];

		skip_separators(&cursor);
		if (!skip_text(&cursor, recipe->names + step->name, step->name_length) ||
		    !step_run(parser, step, &cursor, flow))
			return false;
	}
	skip_separators(&cursor);
	if (!skip_text(&cursor, "actions=", strlen("actions=")))
		return false;
	*actions = (struct span){ cursor.at, (size_t)(cursor.end - cursor.at) };
	return true;
}

bool quick_parse(const struct parser *parser, struct span line, struct flow_text *flow,
		 struct span *actions)
{
	for (unsigned int i = 0; i < N_RECIPES; i++) {
		const unsigned int which = (recent + i) % N_RECIPES;

		if (!recipe_run(parser, &recipes[which], line, flow, actions))
			continue;
		recent = which;
		return true;
	}
	return false;
}

// ---- Learning -----------------------------------------------------------------------------------

// What other fields need, or where the text of one value may mean several things, has to be the same
// in each line.
static enum step_kind field_step(const struct field *field)
{
	if (field->id == FIELD_IP_PROTO || field->id == FIELD_ICMPV6_TYPE)
		return STEP_FIXED;
	switch (field->format) {
	case FORMAT_DECIMAL:
	case FORMAT_HEXADECIMAL:
		return field->size <= 8 ? STEP_NUMBER : STEP_FIXED;
	case FORMAT_DL_VLAN:
		return STEP_VLAN;
	case FORMAT_PORT:
	case FORMAT_PORT16:
		return STEP_PORT;
	case FORMAT_ETHERNET:
		return STEP_MAC;
	case FORMAT_IPV4:
		return STEP_IPV4;
	case FORMAT_IPV6:
		return STEP_IPV6;
	default:
		return STEP_FIXED;
	}
}

// Does the value say what steps of that kind read?
static bool step_suits(const struct parser *parser, const struct step *step,
		       const struct quick_token *token)
{
	const char *value = token->whole.at + token->name_length;
	struct cursor cursor = { value, token->whole.at + token->whole.length };
	struct flow_text scratch;

	memset(&scratch, 0, sizeof(scratch));
	return step_run(parser, step, &cursor, &scratch) && cursor.at == cursor.end;
}

// One field for each bit: what two pieces of the line speak of is for the other parser.
static bool is_first_of(struct key *seen, const struct field *field)
{
	const struct field_value ones = field_all_ones(field);
	struct field_value before;

	field_get(field, seen, &before);
	field_set(field, &ones, seen);
	return field_value_is_zero(&before);
}

static bool add_field(const struct parser *parser, struct recipe *recipe, struct step *step,
		      const struct quick_token *token, struct key *seen)
{
	static const struct field_value zero;
	const struct field *field = token->field;

	if (field_is_tun_metadata(field) || !is_first_of(seen, field))
		return false;
	*step = (struct step){
		.kind = field_step(field),
		.place = field->offset,
		.size = field->size,
		.shift = field->shift,
		.n_bits = field->n_bits,
	};
	if (step->kind != STEP_FIXED && !step_suits(parser, step, token)) {
		if (step->kind == STEP_PORT)
			return false;
		step->kind = STEP_FIXED;
	}
	if (step->kind == STEP_FIXED)
		return true;
	field_set(field, &zero, &recipe->flow.match.value);
	if (step->kind == STEP_IPV4 || step->kind == STEP_IPV6)
		field_set(field, &zero, &recipe->flow.match.mask);
	return true;
}

static bool make_step(const struct parser *parser, struct recipe *recipe, struct step *step,
		      const struct quick_token *token, struct key *seen)
{
	static const enum step_kind kinds[] = {
		[QUICK_FIXED] = STEP_FIXED, [QUICK_U16] = STEP_U16,         [QUICK_U64] = STEP_U64,
		[QUICK_TABLE] = STEP_TABLE, [QUICK_IGNORED] = STEP_IGNORED,
	};

	if (token->kind == QUICK_FIELD)
		return add_field(parser, recipe, step, token, seen);
	*step = (struct step){ .kind = kinds[token->kind], .place = (uint16_t)token->member };
	return step->kind == STEP_FIXED || step_suits(parser, step, token);
}

static bool add_step(const struct parser *parser, struct recipe *recipe,
		     const struct quick_token *token, struct key *seen)
{
	struct step *step = &recipe->steps[recipe->n_steps];
	size_t length;

	if (recipe->n_steps == QUICK_MAX_TOKENS || !make_step(parser, recipe, step, token, seen))
		return false;
	length = step->kind == STEP_FIXED ? token->whole.length : token->name_length;
	if (length > NAMES_SIZE - recipe->names_length)
		return false;
	step->name = (uint16_t)recipe->names_length;
	step->name_length = (uint16_t)length;
	memcpy(recipe->names + recipe->names_length, token->whole.at, length);
	recipe->names_length += (unsigned int)length;
	recipe->n_steps++;
	return true;
}

// No word that sets something may be there twice.
static bool has_twins(const struct quick_token *tokens, unsigned int n_tokens)
{
	for (unsigned int i = 0; i < n_tokens; i++)
		for (unsigned int j = 0; j < i; j++)
			if (tokens[i].kind == tokens[j].kind &&
			    (tokens[i].kind == QUICK_TABLE || tokens[i].kind == QUICK_U16 ||
			     tokens[i].kind == QUICK_U64) &&
			    tokens[i].member == tokens[j].member)
				return true;
	return false;
}

void quick_learn(const struct parser *parser, struct span line, const struct quick_token *tokens,
		 unsigned int n_tokens, const struct flow_text *flow)
{
	struct recipe *recipe = &recipes[n_learned % N_RECIPES];
	struct flow_text again;
	struct span actions;
	struct key seen;

	if (n_tokens > QUICK_MAX_TOKENS || has_twins(tokens, n_tokens))
		return;
	memset(&seen, 0, sizeof(seen));
	recipe->n_steps = 0;
	recipe->names_length = 0;
	recipe->flow = *flow;
	recipe->flow.program = NULL;
	for (unsigned int i = 0; i < n_tokens; i++)
		if (!add_step(parser, recipe, &tokens[i], &seen)) {
			recipe->n_steps = 0;
			return;
		}
	// A recipe has to give what the parser gave.
	if (!recipe_run(parser, recipe, line, &again, &actions) ||
	    again.priority != flow->priority || again.cookie != flow->cookie ||
	    !match_equal(&again.match, &flow->match)) {
		recipe->n_steps = 0;
		return;
	}
	recent = n_learned++ % N_RECIPES;
}
