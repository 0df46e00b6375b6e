// Flow tables by number or name.
#include "common/error.h"
#include "common/text.h"
#include "flowtable/flow_text.h"
#include "flowtable/parser.h"

#include <ctype.h>

int parse_table_id(struct parser *parser, struct span span, const char *what, unsigned int max,
		   uint8_t *table_id)
{
	const bool named = span.length && !isdigit((unsigned char)span.at[0]);
	uint64_t number;
	char name[256];
	int error, id;

	if (!named || !parser->ports || !parser->ports->table_number) {
		error = parse_number(parser, span, what, 0, max, &number);
		if (!error)
			*table_id = (uint8_t)number;
		return error;
	}
	if (!name_copy(span, name, sizeof(name)))
		return parser_error(parser, span.at, "'%.*s' cannot be a table's name",
				    SPAN_ARGS(span));
	id = parser->ports->table_number(parser->ports->context, name);
	if (id < 0)
		return parser_error(parser, span.at,
				    "there is no table '%.*s': say a number from 0 to %u, or give "
				    "one this name (mod-table BRIDGE NUMBER name:%.*s)",
				    SPAN_ARGS(span), N_TABLES - 1, SPAN_ARGS(span));
	*table_id = (uint8_t)id;
	return 0;
}

static bool name_is_plain(const char *name)
{
	if (!isalpha((unsigned char)name[0]))
		return false;
	for (const char *c = name; *c; c++)
		if (!isalnum((unsigned char)*c))
			return false;
	return true;
}

void table_format(uint8_t table_id, const struct port_names *names, struct text *text)
{
	const char *name =
		names && names->table_name ? names->table_name(names->context, table_id) : NULL;

	if (!name)
		text_add_u64(text, table_id);
	else if (name_is_plain(name))
		text_add(text, name);
	else
		name_add_quoted(name, text);
}
