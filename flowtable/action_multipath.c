// multipath, bundle and bundle_load: choices by a hash of the packet's headers.
#include "common/text.h"
#include "flowtable/action.h"
#include "flowtable/flow_text.h"

#include <string.h>

static const char *const hash_names[] = {
	[FLOW_HASH_ETH_SRC] = "eth_src",
	[FLOW_HASH_SYMMETRIC_L4] = "symmetric_l4",
	[FLOW_HASH_SYMMETRIC_L3L4] = "symmetric_l3l4",
	[FLOW_HASH_SYMMETRIC_L3L4_UDP] = "symmetric_l3l4+udp",
	[FLOW_HASH_NW_SRC] = "nw_src",
	[FLOW_HASH_NW_DST] = "nw_dst",
	[FLOW_HASH_SYMMETRIC_L3] = "symmetric_l3",
};
#define N_HASHES (sizeof(hash_names) / sizeof(hash_names[0]))

static const char *const algorithm_names[] = {
	[LINK_MODULO_N] = "modulo_n",
	[LINK_HASH_THRESHOLD] = "hash_threshold",
	[LINK_HRW] = "hrw",
	[LINK_ITER_HASH] = "iter_hash",
	[LINK_ACTIVE_BACKUP] = "active_backup",
};

#define MAX_MEMBERS 2048

// The next of the arguments, which commas separate; what is missing is empty.
static struct span next_argument(struct span *list)
{
	struct span item;

	span_split(*list, ',', &item, list);
	return span_trim(item);
}

static int parse_hash(struct action_parser *parser, struct span item, uint8_t *hash)
{
	for (unsigned int i = 0; i < N_HASHES; i++)
		if (span_is(item, hash_names[i])) {
			*hash = (uint8_t)i;
			return 0;
		}
	return parser_error(&parser->parser, item.at,
			    "the hash is of eth_src, nw_src, nw_dst, symmetric_l3, symmetric_l4, "
			    "symmetric_l3l4 or symmetric_l3l4+udp, not '%.*s'",
			    SPAN_ARGS(item));
}

static int parse_algorithm(struct action_parser *parser, struct span item, bool bundle,
			   uint8_t *algorithm)
{
	for (unsigned int i = LINK_MODULO_N; i <= LINK_ACTIVE_BACKUP; i++)
		if (span_is(item, algorithm_names[i]) &&
		    (bundle ? i == LINK_HRW || i == LINK_ACTIVE_BACKUP : i != LINK_ACTIVE_BACKUP)) {
			*algorithm = (uint8_t)i;
			return 0;
		}
	return parser_error(&parser->parser, item.at, "the algorithm is %s, not '%.*s'",
			    bundle ? "active_backup or hrw"
				   : "modulo_n, hash_threshold, hrw or iter_hash",
			    SPAN_ARGS(item));
}

// The hash reads these, in whatever of them the packet has.
static void reads_hashed(struct action_parser *parser)
{
	program_reads(&parser->builder, &fields[FIELD_ETH_TYPE]);
	program_reads(&parser->builder, &fields[FIELD_IPV6_SRC]);
}

static int parse_basis(struct action_parser *parser, struct span item, uint16_t *basis)
{
	uint64_t number = 0;
	int error = parse_number(&parser->parser, item, "basis", 0, UINT16_MAX, &number);

	*basis = (uint16_t)number;
	return error;
}

ACTION_PARSER(action_parse_multipath)
{
	struct op_multipath head = { 0 };
	struct op_multipath *multipath;
	struct span item;
	uint64_t number = 0;
	int error = parse_hash(parser, next_argument(&argument), &head.hash);

	(void)name;
	(void)word;
	if (!error)
		error = parse_basis(parser, next_argument(&argument), &head.basis);
	if (!error)
		error = parse_algorithm(parser, next_argument(&argument), false, &head.algorithm);
	if (!error)
		error = parse_number(&parser->parser, next_argument(&argument), "n_links", 1, 65536,
				     &number);
	head.n_links = (uint32_t)number;
	if (!error)
		error = parse_number(&parser->parser, next_argument(&argument), "arg", 0,
				     UINT32_MAX, &number);
	head.arg = (uint32_t)number;
	if (error)
		return error;
	item = span_trim(argument);
	error = action_parse_subfield(parser, item, true, &head.destination);
	if (error)
		return error;
	if (head.destination.n_bits < 17 && head.n_links > 1u << head.destination.n_bits)
		return parser_error(&parser->parser, item.at,
				    "%u bits cannot hold the numbers of %u links",
				    head.destination.n_bits, head.n_links);
	multipath = program_add(&parser->builder, OP_MULTIPATH, sizeof(*multipath));
	if (multipath) {
		head.op = multipath->op;
		*multipath = head;
	}
	reads_hashed(parser);
	return 0;
}

ACTION_FORMATTER(action_format_multipath)
{
	const struct op_multipath *multipath = (const struct op_multipath *)op;

	(void)ports;
	text_addf(text, "multipath(%s,%u,%s,%u,%u,", hash_names[multipath->hash], multipath->basis,
		  algorithm_names[multipath->algorithm], multipath->n_links, multipath->arg);
	subfield_format(&multipath->destination, text);
	text_add(text, ")");
}

// "members:4,8"; older files say "slaves:4,8".
static int parse_members(struct action_parser *parser, struct span list, uint32_t *members,
			 uint16_t *n)
{
	struct span word, rest;

	span_split(list, ':', &word, &rest);
	if (!span_is(span_trim(word), "members") && !span_is(span_trim(word), "slaves"))
		return parser_error(&parser->parser, list.at,
				    "the ports are written members:PORT,PORT,...");
	while (rest.length) {
		struct span item = next_argument(&rest);
		int error = parse_port(&parser->parser, item, &members[*n]);

		if (error)
			return error;
		if (members[*n] >= OFPP_MAX && members[*n] != OFPP_LOCAL)
			return parser_error(&parser->parser, item.at,
					    "a member is a port of the bridge");
		if (++*n == MAX_MEMBERS && rest.length)
			return parser_error(&parser->parser, rest.at, "more than %u members",
					    MAX_MEMBERS);
	}
	return 0;
}

// bundle(FIELDS,BASIS,ALGORITHM,ofport,members:...); bundle_load (the word's argument) has the
// destination before the members.
ACTION_PARSER(action_parse_bundle)
{
	struct op_bundle head = { .is_load = word->argument != 0 };
	uint32_t members[MAX_MEMBERS];
	struct op_bundle *bundle;
	struct span item;
	int error = parse_hash(parser, next_argument(&argument), &head.hash);

	(void)name;
	if (!error)
		error = parse_basis(parser, next_argument(&argument), &head.basis);
	if (!error)
		error = parse_algorithm(parser, next_argument(&argument), true, &head.algorithm);
	if (error)
		return error;
	item = next_argument(&argument);
	if (!span_is(item, "ofport"))
		return parser_error(&parser->parser, item.at, "members are of type ofport");
	if (head.is_load) {
		item = next_argument(&argument);
		error = action_parse_subfield(parser, item, true, &head.destination);
		if (!error && head.destination.n_bits < 16)
			error = parser_error(&parser->parser, item.at,
					     "a port number needs 16 bits, not %u",
					     head.destination.n_bits);
	}
	if (!error)
		error = parse_members(parser, span_trim(argument), members, &head.n_members);
	if (error)
		return error;
	bundle = program_add(&parser->builder, OP_BUNDLE,
			     sizeof(*bundle) + head.n_members * sizeof(*members));
	if (bundle) {
		head.op = bundle->op;
		memcpy(bundle, &head, sizeof(head));
		memcpy(bundle->members, members, head.n_members * sizeof(*members));
	}
	program_reads(&parser->builder, &fields[FIELD_IN_PORT]);
	reads_hashed(parser);
	return 0;
}

ACTION_FORMATTER(action_format_bundle)
{
	const struct op_bundle *bundle = (const struct op_bundle *)op;

	text_addf(text, "bundle%s(%s,%u,%s,ofport,", bundle->is_load ? "_load" : "",
		  hash_names[bundle->hash], bundle->basis, algorithm_names[bundle->algorithm]);
	if (bundle->is_load) {
		subfield_format(&bundle->destination, text);
		text_add(text, ",");
	}
	text_add(text, "members:");
	for (unsigned int i = 0; i < bundle->n_members; i++) {
		if (i)
			text_add(text, ",");
		port_format(bundle->members[i], ports, text);
	}
	text_add(text, ")");
}
