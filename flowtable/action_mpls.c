// MPLS labels. What lies behind a label is unknown until it is popped.
#include "common/text.h"
#include "flowtable/action.h"
#include "flowtable/flow_text.h"

// The packet now has this Ethernet type, and nothing is known about what it carries.
static void set_eth_type(struct action_parser *parser, uint16_t type)
{
	struct field_value value = field_value_from_u64(type);
	struct key *const halves[] = { &parser->scratch.value, &parser->scratch.mask };

	for (unsigned int i = 0; i < 2; i++) {
		struct key_core *core = &halves[i]->core;

		core->ip_src = core->ip_dst = 0;
		core->tp_src = core->tp_dst = core->tcp_flags = 0;
		core->ip_proto = core->ip_tos = core->ip_ttl = core->ip_frag = 0;
	}
	match_set(&parser->scratch, &fields[FIELD_ETH_TYPE], &value);
}

static int add_mpls(struct action_parser *parser, enum op_code code, uint16_t type)
{
	struct op_mpls *mpls = program_add(&parser->builder, code, sizeof(*mpls));

	if (mpls)
		mpls->eth_type = rte_cpu_to_be_16(type);
	program_reads(&parser->builder, &fields[FIELD_MPLS_LABEL]);
	program_reads(&parser->builder, &fields[FIELD_ETH_TYPE]);
	program_writes(&parser->builder, &fields[FIELD_MPLS_LABEL]);
	set_eth_type(parser, type);
	return 0;
}

ACTION_PARSER(action_parse_push_mpls)
{
	uint64_t type;
	int error = parse_number(&parser->parser, argument, word->name, 0, UINT16_MAX, &type);

	(void)name;
	if (error)
		return error;
	if (type != 0x8847 && type != 0x8848)
		return parser_error(&parser->parser, argument.at,
				    "push_mpls takes 0x8847 or 0x8848, not %.*s",
				    SPAN_ARGS(argument));
	return add_mpls(parser, OP_PUSH_MPLS, (uint16_t)type);
}

ACTION_PARSER(action_parse_pop_mpls)
{
	uint64_t type;
	int error = parse_number(&parser->parser, argument, word->name, 0x600, UINT16_MAX, &type);

	(void)name;
	return error ? error : add_mpls(parser, OP_POP_MPLS, (uint16_t)type);
}

// Also copy_ttl_in and copy_ttl_out, of OpenFlow 1.1.
ACTION_PARSER(action_parse_dec_mpls_ttl)
{
	program_reads(&parser->builder, &fields[FIELD_MPLS_TTL]);
	program_writes(&parser->builder, &fields[FIELD_MPLS_TTL]);
	return action_parse_bare(parser, word, name, argument);
}

ACTION_FORMATTER(action_format_mpls)
{
	(void)ports;
	text_addf(text, "%s:0x%04x", action_kinds[op->code].name,
		  rte_be_to_cpu_16(((const struct op_mpls *)op)->eth_type));
}
