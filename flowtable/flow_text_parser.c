#include "common/error.h"
#include "common/text.h"
#include "flowtable/parser.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

int parser_error(struct parser *parser, const char *at, const char *format, ...)
{
	va_list args;

	if (!parser->error)
		return -EINVAL;
	va_start(args, format);
	error_set_va(parser->error, EINVAL, format, args);
	va_end(args);
	parser->error->line = 0;
	parser->error->column = (int)(at - parser->base) + 1;
	// What the user typed is repeated; it must not steer the terminal.
	for (char *c = parser->error->message; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	return -EINVAL;
}

struct span span_of(const char *string)
{
	return (struct span){ string, strlen(string) };
}

bool span_equals(struct span span, const char *word)
{
	return span.length == strlen(word) && !strncasecmp(span.at, word, span.length);
}

struct span span_trim(struct span span)
{
	while (span.length && isspace((unsigned char)span.at[0])) {
		span.at++;
		span.length--;
	}
	while (span.length && isspace((unsigned char)span.at[span.length - 1]))
		span.length--;
	return span;
}

bool span_split(struct span span, char separator, struct span *head, struct span *rest)
{
	const char *at = span.length ? memchr(span.at, separator, span.length) : NULL;

	*head = span;
	*rest = (struct span){ span.at + span.length, 0 };
	if (!at)
		return false;
	head->length = (size_t)(at - span.at);
	rest->at = at + 1;
	rest->length = span.length - head->length - 1;
	return true;
}

bool span_split_arrow(struct span span, struct span *head, struct span *rest)
{
	for (size_t i = span.length; i-- > 1;) {
		if (span.at[i - 1] != '-' || span.at[i] != '>')
			continue;
		*head = span_trim((struct span){ span.at, i - 1 });
		*rest = span_trim((struct span){ span.at + i + 1, span.length - i - 1 });
		return true;
	}
	return false;
}

bool span_copy(struct span span, char *buffer, size_t size)
{
	if (span.length >= size || memchr(span.at, '\0', span.length))
		return false;
	memcpy(buffer, span.at, span.length);
	buffer[span.length] = '\0';
	return true;
}

int parse_number(struct parser *parser, struct span span, const char *what, uint64_t min,
		 uint64_t max, uint64_t *value)
{
	uint64_t number;
	int error = span.length ? parse_u64_n(span.at, span.length, &number) : -EINVAL;

	if (error == -EINVAL)
		return parser_error(parser, span.at, "%s takes a number, not '%.*s'", what,
				    SPAN_ARGS(span));
	if (error || number < min || number > max)
		return parser_error(parser, span.at, "%s takes %llu to %llu, not %.*s", what,
				    (unsigned long long)min, (unsigned long long)max,
				    SPAN_ARGS(span));
	*value = number;
	return 0;
}

const char *parse_value_end(struct parser *parser, const char *at, const char *end)
{
	const char *open[32]; // where the parentheses were opened
	unsigned int depth = 0;
	const char *quote = NULL;

	// Most values end before any of these.
	while (at < end && *at != ',' && *at != '(' && *at != ')' && *at != '"' &&
	       !text_is_space(*at))
		at++;
	if (at == end || *at == ',' || text_is_space(*at))
		return at;
	for (; at < end; at++) {
		if (quote) {
			if (*at == '\\' && at + 1 < end)
				at++;
			else if (*at == '"')
				quote = NULL;
		} else if (*at == '"') {
			quote = at;
		} else if (*at == '(') {
			if (depth == sizeof(open) / sizeof(open[0])) {
				parser_error(parser, at, "parentheses are nested too deeply");
				return NULL;
			}
			open[depth++] = at;
		} else if (*at == ')') {
			if (!depth) {
				parser_error(parser, at, "this ')' closes nothing");
				return NULL;
			}
			depth--;
		} else if (!depth && (*at == ',' || text_is_space(*at))) {
			break;
		}
	}
	if (quote || depth) {
		parser_error(parser, quote ? quote : open[depth - 1], "this %s is not closed",
			     quote ? "quotation mark" : "parenthesis");
		return NULL;
	}
	return at;
}

int parse_wide_number(struct parser *parser, struct span span, unsigned int n_bits,
		      const char *what, struct field_value *value)
{
	struct field_value number = { 0 };
	struct field_value ones = field_value_ones(n_bits);
	uint64_t small;
	int error = span.length ? parse_u64_n(span.at, span.length, &small) : -EINVAL;

	if (error == -EINVAL)
		return parser_error(parser, span.at, "%s takes a number, not '%.*s'", what,
				    SPAN_ARGS(span));
	if (!error) {
		number = field_value_from_u64(small);
	} else if (n_bits > 64 && span.at[1] != 'x' && span.at[1] != 'X') {
		return parser_error(parser, span.at,
				    "write %.*s, which is above 2^64, in hexadecimal",
				    SPAN_ARGS(span));
	} else {
		for (size_t i = 2; i < span.length; i++) {
			char digit[2] = { span.at[i], '\0' };
			char hex[4] = { '0', 'x', digit[0], '\0' };

			parse_u64(hex, &small);
			if (number.bytes[0] >> 4)
				break; // far out of range: leave the top bits set
			field_value_shift_left(&number, 4);
			number.bytes[FIELD_VALUE_SIZE - 1] |= (uint8_t)small;
		}
	}
	for (unsigned int i = 0; i < FIELD_VALUE_SIZE; i++)
		if (number.bytes[i] & ~ones.bytes[i])
			return parser_error(parser, span.at, "%s has %u bit%s: %.*s does not fit",
					    what, n_bits, n_bits == 1 ? "" : "s", SPAN_ARGS(span));
	*value = number;
	return 0;
}

void wide_number_format(const struct field_value *value, struct text *text)
{
	unsigned int i = 0;

	if (field_value_is_u64(value)) {
		text_add_hex(text, field_value_to_u64(value));
		return;
	}
	while (i < FIELD_VALUE_SIZE - 1 && !value->bytes[i])
		i++;
	text_addf(text, "%#x", value->bytes[i]);
	while (++i < FIELD_VALUE_SIZE)
		text_addf(text, "%02x", value->bytes[i]);
}
