// ct(...) and ct_clear: connection tracking.
#include "common/text.h"
#include "flowtable/action.h"
#include "flowtable/flow_text.h"

#include <errno.h>
#include <string.h>

#define PROTO_TCP 6
#define PROTO_UDP 17

static const char *const alg_names[] = { [CT_ALG_FTP] = "ftp", [CT_ALG_TFTP] = "tftp" };
static const uint8_t alg_protos[] = { [CT_ALG_FTP] = PROTO_TCP, [CT_ALG_TFTP] = PROTO_UDP };

static const struct {
	const char *name;
	uint8_t flag;
} nat_flags[] = {
	// in the order in which they are printed
	{ "persistent", CT_NAT_PERSISTENT },
	{ "hash", CT_NAT_HASH },
	{ "random", CT_NAT_RANDOM },
};
#define N_NAT_FLAGS (sizeof(nat_flags) / sizeof(nat_flags[0]))

// What is known while the arguments are read; the op is added when all are.
struct ct_parser {
	struct span exec;
	bool has_exec;
	const char *nat_at;
	const char *alg_at;
	const char *exec_at;
	const char *force_at;
	struct op_ct op; // whose last member has no size
};

// --- nat ---

static int error_address(struct action_parser *parser, struct span text)
{
	return parser_error(&parser->parser, text.at, "'%.*s' is not an IP address",
			    SPAN_ARGS(text));
}

// 4 or 6, or -errno.
static int parse_address(struct action_parser *parser, struct span text, uint8_t address[16])
{
	char string[64];
	uint32_t ipv4;

	if (text.length > 2 && text.at[0] == '[' && text.at[text.length - 1] == ']') {
		text.at++;
		text.length -= 2;
	}
	if (!span_copy(text, string, sizeof(string)))
		return error_address(parser, text);
	if (!parse_ipv6(string, address))
		return 6;
	if (parse_ipv4(string, &ipv4))
		return error_address(parser, text);
	memcpy(address, &ipv4, sizeof(ipv4));
	return 4;
}

// ADDR[-ADDR]
static int parse_addresses(struct action_parser *parser, struct span text, struct op_ct *op)
{
	struct span first, last;
	const bool range = span_split(text, '-', &first, &last);
	const int family = parse_address(parser, span_trim(first), op->min_address);
	int other = family;

	if (family < 0)
		return family;
	op->family = (uint8_t)family;
	memcpy(op->max_address, op->min_address, sizeof(op->max_address));
	if (range)
		other = parse_address(parser, span_trim(last), op->max_address);
	if (other < 0)
		return other;
	if (other != family ||
	    memcmp(op->min_address, op->max_address, sizeof(op->min_address)) > 0)
		return parser_error(&parser->parser, text.at,
				    "'%.*s' is not a range: it goes from a lower to a higher "
				    "address of the same kind",
				    SPAN_ARGS(text));
	return 0;
}

// PORT[-PORT]
static int parse_ports(struct action_parser *parser, struct span text, struct op_ct *op)
{
	struct span first, last;
	const bool range = span_split(text, '-', &first, &last);
	uint64_t min, max;
	int error = parse_number(&parser->parser, span_trim(first), "a port", 0, UINT16_MAX, &min);

	max = error ? 0 : min;
	if (!error && range)
		error = parse_number(&parser->parser, span_trim(last), "a port", min, UINT16_MAX,
				     &max);
	op->min_port = (uint16_t)(error ? 0 : min);
	op->max_port = (uint16_t)max;
	return error;
}

// Where the ports begin, behind the last colon that is not of an IPv6 address.
static bool split_ports(struct span text, struct span *addresses, struct span *ports)
{
	const char *colon = NULL;
	unsigned int n = 0;
	bool bracket = false;

	for (size_t i = 0; i < text.length; i++)
		if (text.at[i] == ':') {
			colon = text.at + i;
			n++;
		} else if (text.at[i] == ']') {
			bracket = true;
			colon = NULL;
		}
	*addresses = text;
	*ports = (struct span){ text.at + text.length, 0 };
	if (!colon || (n > 1 && !bracket))
		return false;
	addresses->length = (size_t)(colon - text.at);
	ports->at = colon + 1;
	ports->length = (size_t)(text.at + text.length - ports->at);
	return true;
}

static int parse_nat_range(struct action_parser *parser, struct span key, struct span value,
			   struct op_ct *op)
{
	const uint8_t type = span_is(key, "src") ? CT_NAT_SRC : CT_NAT_DST;
	struct span addresses, ports;
	bool has_ports;
	int error = 0;

	if (op->nat_flags & (CT_NAT_SRC | CT_NAT_DST))
		return parser_error(&parser->parser, key.at,
				    "nat translates either src or dst, once");
	op->nat_flags |= type;
	if (!value.length)
		return 0;
	has_ports = split_ports(value, &addresses, &ports);
	error = parse_addresses(parser, span_trim(addresses), op);
	if (!error && has_ports)
		error = parse_ports(parser, span_trim(ports), op);
	return error;
}

static int parse_nat(struct action_parser *parser, struct span list, struct ct_parser *ct)
{
	struct op_ct *op = &ct->op;
	struct span key, value, all = list;
	int error = 0;

	op->flags |= CT_NAT;
	while (!error && action_next_pair(&list, &key, &value)) {
		unsigned int i = 0;

		if (span_is(key, "src") || span_is(key, "dst")) {
			error = parse_nat_range(parser, key, value, op);
			continue;
		}
		while (i < N_NAT_FLAGS && !span_is(key, nat_flags[i].name))
			i++;
		if (i == N_NAT_FLAGS)
			return parser_error(&parser->parser, key.at,
					    "nat does not know '%.*s'; it takes src=, dst=, "
					    "persistent, hash and random",
					    SPAN_ARGS(key));
		op->nat_flags |= nat_flags[i].flag;
	}
	if (error)
		return error;
	if ((op->nat_flags & (CT_NAT_HASH | CT_NAT_RANDOM)) == (CT_NAT_HASH | CT_NAT_RANDOM))
		return parser_error(&parser->parser, all.at,
				    "hash and random exclude each other: say one of them");
	if (op->nat_flags && !(op->nat_flags & (CT_NAT_SRC | CT_NAT_DST)))
		return parser_error(
			&parser->parser, all.at,
			"persistent, hash and random need src or dst: nat(src=ADDR,...)");
	return 0;
}

// --- The other arguments ---

static int parse_zone(struct action_parser *parser, struct span value, struct op_ct *op)
{
	uint64_t zone;
	int error;

	op->zone_source.field = NULL;
	if (value.length && value.at[0] >= '0' && value.at[0] <= '9') {
		error = parse_number(&parser->parser, value, "zone", 0, UINT16_MAX, &zone);
		if (!error)
			op->zone = (uint16_t)zone;
		return error;
	}
	error = action_parse_subfield(parser, value, false, &op->zone_source);
	if (!error && op->zone_source.n_bits != 16)
		return parser_error(&parser->parser, value.at,
				    "a zone has 16 bits, and '%.*s' has %u: write [FIRST..LAST]",
				    SPAN_ARGS(value), op->zone_source.n_bits);
	return error;
}

static int parse_alg(struct action_parser *parser, struct span value, struct op_ct *op)
{
	for (unsigned int i = CT_ALG_FTP; i <= CT_ALG_TFTP; i++)
		if (span_is(value, alg_names[i])) {
			op->alg = (uint8_t)i;
			return 0;
		}
	return parser_error(&parser->parser, value.at, "alg is ftp or tftp, not '%.*s'",
			    SPAN_ARGS(value));
}

// Is `key` written NAME or NAME(...)? `inside` gets what is in the parentheses.
static bool is_call(struct span key, const char *name, struct span *inside)
{
	const size_t n = strlen(name);

	*inside = (struct span){ key.at + key.length, 0 };
	if (span_is(key, name))
		return true;
	if (key.length < n + 2 || key.at[n] != '(' || key.at[key.length - 1] != ')' ||
	    !span_is((struct span){ key.at, n }, name))
		return false;
	*inside = (struct span){ key.at + n + 1, key.length - n - 2 };
	return true;
}

static int parse_argument(struct action_parser *parser, struct ct_parser *ct, struct span item)
{
	struct op_ct *op = &ct->op;
	struct span key, value, inside;
	uint64_t table;
	int error;

	if (is_call(item, "nat", &inside)) {
		ct->nat_at = item.at;
		return op->flags & CT_NAT
			       ? parser_error(&parser->parser, item.at, "nat is there twice")
			       : parse_nat(parser, inside, ct);
	}
	if (is_call(item, "exec", &inside)) {
		if (ct->has_exec)
			return parser_error(&parser->parser, item.at,
					    "exec is there twice: write all its actions into one");
		ct->exec_at = item.at;
		ct->exec = inside;
		ct->has_exec = true;
		return 0;
	}
	span_split(item, '=', &key, &value);
	key = span_trim(key);
	value = span_trim(value);
	if (span_is(key, "commit") && !value.length) {
		op->flags |= CT_COMMIT;
	} else if (span_is(key, "force") && !value.length) {
		ct->force_at = key.at;
		op->flags |= CT_FORCE;
	} else if (span_is(key, "table")) {
		error = parse_number(&parser->parser, value, "table", 0, N_TABLES - 1, &table);
		if (error)
			return error;
		op->table_id = (uint8_t)table;
	} else if (span_is(key, "zone")) {
		return parse_zone(parser, value, op);
	} else if (span_is(key, "alg")) {
		ct->alg_at = value.at;
		return parse_alg(parser, value, op);
	} else {
		return parser_error(&parser->parser, item.at,
				    "ct does not know '%.*s'; it takes commit, force, table=, "
				    "zone=, nat, exec(...) and alg=",
				    SPAN_ARGS(item));
	}
	return 0;
}

// Cut the next argument off the list: up to a comma outside of parentheses and brackets.
static bool next_argument(struct span *list, struct span *item)
{
	unsigned int depth = 0;
	size_t n;

	*list = span_trim(*list);
	for (n = 0; n < list->length; n++) {
		const char c = list->at[n];

		if (c == ',' && !depth)
			break;
		depth += c == '(' || c == '[';
		depth -= (c == ')' || c == ']') && depth;
	}
	*item = span_trim((struct span){ list->at, n });
	n += n < list->length;
	list->at += n;
	list->length -= n;
	return item->length || list->length;
}

// --- Checks of the whole ---

static bool match_is(const struct match *match, uint16_t eth_type)
{
	return match->mask.core.eth_type == 0xffff &&
	       match->value.core.eth_type == rte_cpu_to_be_16(eth_type);
}

static int check_match(struct action_parser *parser, struct span name, const struct ct_parser *ct)
{
	const struct match *match = parser->match;
	const struct op_ct *op = &ct->op;

	if (!match)
		return 0;
	if (!match_is(match, 0x0800) && !match_is(match, 0x86dd))
		return parser_error(&parser->parser, name.at,
				    "ct needs an IP match: add ip or ipv6 (or tcp, udp6, ...)");
	if (op->family && match_is(match, 0x0800) != (op->family == 4))
		return parser_error(&parser->parser, ct->nat_at,
				    "nat to an IPv%u address in a flow that matches IPv%u",
				    op->family, op->family == 4 ? 6 : 4);
	if (op->alg != CT_ALG_NONE && (match->mask.core.ip_proto != 0xff ||
				       match->value.core.ip_proto != alg_protos[op->alg]))
		return parser_error(&parser->parser, ct->alg_at, "alg=%s needs a %s match",
				    alg_names[op->alg], op->alg == CT_ALG_FTP ? "TCP" : "UDP");
	return 0;
}

static int check_commit(struct action_parser *parser, const struct ct_parser *ct)
{
	const struct op_ct *op = &ct->op;

	if (op->flags & CT_COMMIT)
		return 0;
	if (ct->force_at)
		return parser_error(&parser->parser, ct->force_at,
				    "force works with commit only: ct(commit,force)");
	if (ct->has_exec)
		return parser_error(&parser->parser, ct->exec_at,
				    "exec works with commit only: ct(commit,exec(...))");
	if (op->nat_flags)
		return parser_error(&parser->parser, ct->nat_at,
				    "nat with src or dst works with commit only; a plain nat "
				    "translates what was committed before");
	return 0;
}

// The actions of exec(...), behind the op. They write ct_mark and ct_label.
static int parse_exec(struct action_parser *parser, const struct ct_parser *ct)
{
	const size_t start = parser->builder.size;
	int error;

	parser->depth++;
	parser->builder.depth++;
	parser->in_exec = true;
	error = actions_parse(parser, ct->exec);
	parser->in_exec = false;
	parser->builder.depth--;
	parser->depth--;
	for (size_t at = start; !error && !parser->builder.error && at < parser->builder.size;) {
		const struct op *op = (const struct op *)(parser->builder.ops + at);
		const struct field *to = NULL;

		if (op->code == OP_SET)
			to = &fields[((const struct op_set *)op)->field];
		else if (op->code == OP_MOVE)
			to = ((const struct op_move *)op)->destination.field;
		if (!to || (to->id != FIELD_CT_MARK && to->id != FIELD_CT_LABEL))
			return parser_error(&parser->parser, ct->exec.at,
					    "exec takes set_field, load and move into ct_mark or "
					    "ct_label, nothing else");
		at += op->size;
	}
	return error;
}

ACTION_PARSER(action_parse_ct)
{
	struct ct_parser ct = { .op = { .table_id = CT_NO_TABLE } };
	struct span list = argument, item;
	size_t start = parser->builder.size;
	struct op_ct *op;
	int error = 0;

	while (!error && next_argument(&list, &item))
		error = parse_argument(parser, &ct, item);
	if (!error)
		error = check_commit(parser, &ct);
	if (!error)
		error = check_match(parser, name, &ct);
	if (error)
		return error;
	op = program_add(&parser->builder, word->code, sizeof(*op));
	if (op) {
		const struct op head = op->op;

		*op = ct.op;
		op->op = head;
	}
	if (ct.has_exec)
		error = parse_exec(parser, &ct);
	if (error || parser->builder.error)
		return error;
	if (parser->builder.size - start > UINT16_MAX) {
		parser->builder.error = -E2BIG;
		return 0;
	}
	op = (struct op_ct *)(parser->builder.ops + start);
	op->op.size = (uint16_t)(parser->builder.size - start);
	op->length = (uint32_t)(op->op.size - sizeof(*op));
	return 0;
}

// --- Printing ---

static void format_address(const struct op_ct *op, const uint8_t *address, struct text *text)
{
	struct field_value value = { 0 };
	const bool bracket = op->family == 6 && op->min_port;
	const unsigned int size = op->family == 6 ? 16 : 4;

	memcpy(value.bytes + FIELD_VALUE_SIZE - size, address, size);
	text_add(text, bracket ? "[" : "");
	field_format_value(&fields[op->family == 6 ? FIELD_IPV6_SRC : FIELD_IP_SRC], &value, NULL,
			   NULL, text);
	text_add(text, bracket ? "]" : "");
}

static void format_nat(const struct op_ct *op, struct text *text)
{
	text_add(text, "nat");
	if (!op->nat_flags)
		return;
	text_add(text, op->nat_flags & CT_NAT_SRC ? "(src" : "(dst");
	if (op->family) {
		text_add(text, "=");
		format_address(op, op->min_address, text);
		if (memcmp(op->min_address, op->max_address, sizeof(op->min_address))) {
			text_add(text, "-");
			format_address(op, op->max_address, text);
		}
		if (op->min_port)
			text_addf(text, ":%u", op->min_port);
		if (op->min_port && op->max_port != op->min_port)
			text_addf(text, "-%u", op->max_port);
	}
	for (unsigned int i = 0; i < N_NAT_FLAGS; i++)
		if (op->nat_flags & nat_flags[i].flag)
			text_addf(text, ",%s", nat_flags[i].name);
	text_add(text, ")");
}

ACTION_FORMATTER(action_format_ct)
{
	const struct op_ct *ct = (const struct op_ct *)op;
	const char *comma = "";

	text_add(text, "ct(");
	if (ct->flags & CT_COMMIT) {
		text_add(text, "commit");
		comma = ",";
	}
	if (ct->flags & CT_FORCE)
		text_add(text, ",force");
	if (ct->table_id != CT_NO_TABLE) {
		text_addf(text, "%stable=%u", comma, ct->table_id);
		comma = ",";
	}
	if (ct->zone_source.field || ct->zone) {
		text_addf(text, "%szone=", comma);
		comma = ",";
		if (ct->zone_source.field)
			subfield_format(&ct->zone_source, text);
		else
			text_addf(text, "%u", ct->zone);
	}
	if (ct->flags & CT_NAT) {
		text_add(text, comma);
		comma = ",";
		format_nat(ct, text);
	}
	if (ct->length) {
		text_addf(text, "%sexec(", comma);
		comma = ",";
		actions_format((const uint8_t *)ct->ops, ct->length, ports, text);
		text_add(text, ")");
	}
	if (ct->alg != CT_ALG_NONE)
		text_addf(text, "%salg=%s", comma, alg_names[ct->alg]);
	text_add(text, ")");
}
