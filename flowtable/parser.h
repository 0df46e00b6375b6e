// What the readers of the flow language share: pieces of the user's text and errors that point
// into it. Internal to the flow_text_*.c and action_*.c files. Control thread.
#ifndef FLOWTABLE_PARSER_H
#define FLOWTABLE_PARSER_H

#include "flowtable/program.h"

struct error;
struct text;

// A piece of the text; not terminated.
struct span {
	const char *at;
	size_t length;
};

// For "%.*s": long pieces are cut, an error message is no place for a megabyte.
#define SPAN_MAX_SHOWN 64
#define SPAN_ARGS(span)                                                                            \
	((span).length > SPAN_MAX_SHOWN ? SPAN_MAX_SHOWN : (int)(span).length), (span).at

struct parser {
	const char *base; // column 1
	const struct port_names *ports; // may be NULL
	struct error *error; // may be NULL
};

// Say what is wrong at `at`. Returns -EINVAL.
int parser_error(struct parser *parser, const char *at, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

bool span_equals(struct span span, const char *word); // ignores case

// The same, for comparing with many words: most differ in their first letter.
static inline bool span_is(struct span span, const char *word)
{
	return span.length && ((span.at[0] ^ word[0]) & 0xdf) == 0 && span_equals(span, word);
}

struct span span_trim(struct span span); // without white space at its ends
struct span span_of(const char *string);

// Split at the first `separator`; false (and `rest` empty) if there is none.
bool span_split(struct span span, char separator, struct span *head, struct span *rest);

// Split at the last "->".
bool span_split_arrow(struct span span, struct span *head, struct span *rest);

// Copy into a C string; false if it does not fit.
bool span_copy(struct span span, char *buffer, size_t size);

// A number from `min` to `max`; `what` names it in the error.
int parse_number(struct parser *parser, struct span span, const char *what, uint64_t min,
		 uint64_t max, uint64_t *value);

// The end of the value that starts at `at`: the first comma or white space that is not inside
// parentheses or double quotes. NULL, with the error set, if those are not balanced.
const char *parse_value_end(struct parser *parser, const char *at, const char *end);

// Port numbers and names. `port_find` says OFPP_UNSET for what is neither.
int parse_port(struct parser *parser, struct span span, uint32_t *port);
uint32_t port_find(const struct parser *parser, struct span span);
void port_format(uint32_t port, const struct port_names *ports, struct text *text);

// A name without the quotes and backslashes around it; false if it does not fit. And back.
bool name_copy(struct span span, char *name, size_t size);
void name_add_quoted(const char *name, struct text *text);

// Flow tables by number or name; `what` names the number in the error.
int parse_table_id(struct parser *parser, struct span span, const char *what, unsigned int max,
		   uint8_t *table_id);

// Field values: "10.0.0.0/8". A plain value has a mask of all ones, "*" one of all zeros.
int parse_field_value(struct parser *parser, const struct field *field, struct span span,
		      struct field_value *value, struct field_value *mask);

// Hexadecimal or decimal, of up to 128 bits.
int parse_wide_number(struct parser *parser, struct span span, unsigned int n_bits,
		      const char *what, struct field_value *value);
void wide_number_format(const struct field_value *value, struct text *text);

// The field of that name whose prerequisite `match` establishes (the first one if `match` is NULL
// or establishes none). *satisfied tells whether it does. NULL, with the error set, if there is no
// such field.
const struct field *parse_field_name(struct parser *parser, struct span name,
				     const struct match *match, bool *satisfied);

// All fields of one name, and the first of them whose prerequisite `match` establishes, or NULL.
#define FIELD_NAMES_MAX 8
struct field_names {
	const struct field *fields[FIELD_NAMES_MAX];
	unsigned int n;
};
void field_names_find(struct span name, struct field_names *names);
// The field as the bridge has it: tunnel options are where the bridge maps them. NULL with an error.
const struct field *parse_mapped_field(struct parser *parser, struct span name,
				       const struct field *field);
const struct field *field_names_choose(const struct field_names *names, const struct match *match);

// Say that `name` lacks what it needs, and what to add. Returns -EINVAL.
int parser_error_prerequisite(struct parser *parser, struct span name, const char *where);

int parse_subfield(struct parser *parser, struct span span, const struct match *match,
		   struct subfield *subfield, bool *satisfied);

// tcp, udp6, arp, ...: keywords that stand for an Ethernet type and a protocol.
struct match_keyword {
	const char *name;
	uint16_t eth_type; // 0: any Ethernet frame
	int ip_proto; // -1: any
};
extern const struct match_keyword match_keywords[];
extern const unsigned int n_match_keywords;

#endif
