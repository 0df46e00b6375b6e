// Network service headers.
#include "flowtable/action.h"

ACTION_PARSER(action_parse_dec_nsh_ttl)
{
	if (parser->match && !match_has_prerequisite(parser->match, &fields[FIELD_NSH_TTL]))
		return parser_error(&parser->parser, name.at,
				    "dec_nsh_ttl needs an NSH match in the flow's match: add "
				    "dl_type=0x894f");
	program_reads(&parser->builder, &fields[FIELD_NSH_TTL]);
	program_writes(&parser->builder, &fields[FIELD_NSH_TTL]);
	return action_parse_bare(parser, word, name, argument);
}
