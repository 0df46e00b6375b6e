// Actions that send a packet somewhere: to a port, a controller or another table.
#include "common/text.h"
#include "flowtable/action.h"
#include "flowtable/flow_text.h"

#include <errno.h>
#include <string.h>

int action_add_output(struct action_parser *parser, uint32_t port, uint32_t max_len)
{
	struct op_output *output;

	if (port == OFPP_CONTROLLER && max_len == MAX_LEN_ALL) {
		struct op_controller *controller =
			program_add(&parser->builder, OP_CONTROLLER, sizeof(*controller));

		if (controller) {
			controller->max_len = UINT16_MAX;
			controller->reason = 1;
		}
		return 0;
	}
	output = program_add(&parser->builder, OP_OUTPUT, sizeof(*output));
	if (output) {
		output->port = port;
		output->max_len = max_len;
	}
	program_reads(&parser->builder, &fields[FIELD_IN_PORT]);
	return 0;
}

static int check_output_port(struct action_parser *parser, const char *at, uint32_t port)
{
	if (port == OFPP_ANY || port == OFPP_UNSET)
		return parser_error(&parser->parser, at, "a packet cannot be sent to this port");
	return 0;
}

// output(port=P,max_len=N)
static int parse_output_pairs(struct action_parser *parser, struct span name, struct span argument)
{
	uint32_t port = OFPP_UNSET;
	uint64_t max_len = 0;
	struct span key;
	struct span value;

	while (action_next_pair(&argument, &key, &value)) {
		int error;

		if (span_is(key, "port")) {
			error = parse_port(&parser->parser, value, &port);
			if (!error)
				error = check_output_port(parser, value.at, port);
		} else if (span_is(key, "max_len")) {
			error = parse_number(&parser->parser, value, "max_len", 14, UINT32_MAX,
					     &max_len);
		} else {
			error = parser_error(&parser->parser, key.at,
					     "output takes port and max_len, not '%.*s'",
					     SPAN_ARGS(key));
		}
		if (error)
			return error;
	}
	if (port == OFPP_UNSET || !max_len)
		return parser_error(&parser->parser, name.at,
				    "output(...) needs port=PORT and max_len=BYTES");
	return action_add_output(parser, port, (uint32_t)max_len);
}

static int parse_output_reg(struct action_parser *parser, struct span argument)
{
	struct op_output_reg *output;
	struct subfield source;
	bool satisfied;
	int error = parse_subfield(&parser->parser, argument, parser->match, &source, &satisfied);

	if (error)
		return error;
	if (!satisfied)
		return parser_error_prerequisite(&parser->parser, argument, " in the flow's match");
	if (source.n_bits > 32)
		return parser_error(&parser->parser, argument.at,
				    "a port number has 16 or 32 bits, not %u", source.n_bits);
	output = program_add(&parser->builder, OP_OUTPUT_REG, sizeof(*output));
	if (output)
		output->source = source;
	program_reads(&parser->builder, source.field);
	program_reads(&parser->builder, &fields[FIELD_IN_PORT]);
	return 0;
}

ACTION_PARSER(action_parse_output)
{
	bool is_pairs = argument.length && argument.at[-1] == '(' &&
			memchr(argument.at, '=', argument.length);
	size_t n = 0;
	uint32_t port;
	int error;

	(void)word;
	if (is_pairs)
		return parse_output_pairs(parser, name, argument);
	while (n < argument.length && argument.at[n] != '[')
		n++;
	if (argument.length && port_find(&parser->parser, argument) == OFPP_UNSET &&
	    (n < argument.length || field_find(argument.at, n)))
		return parse_output_reg(parser, argument);
	error = parse_port(&parser->parser, argument, &port);
	if (!error)
		error = check_output_port(parser, argument.at, port);
	return error ? error : action_add_output(parser, port, MAX_LEN_ALL);
}

ACTION_PARSER(action_parse_reserved)
{
	if (argument.length)
		return parser_error(&parser->parser, argument.at, "%.*s takes no argument",
				    SPAN_ARGS(name));
	return action_add_output(parser, (uint32_t)word->argument, MAX_LEN_ALL);
}

ACTION_FORMATTER(action_format_output)
{
	const struct op_output *output = (const struct op_output *)op;

	if (output->max_len != MAX_LEN_ALL) {
		text_add(text, "output(port=");
		port_format(output->port, ports, text);
		text_addf(text, ",max_len=%u)", output->max_len);
		return;
	}
	if (output->port < OFPP_MAX)
		text_add(text, "output:");
	port_format(output->port, ports, text);
}

ACTION_FORMATTER(action_format_output_reg)
{
	const struct op_output_reg *output = (const struct op_output_reg *)op;

	(void)ports;
	text_add(text, "output:");
	subfield_format(&output->source, text);
}

// OFPR_*, OpenFlow 1.5 section 7.4.1.
static const char *const reasons[] = { "no_match",   "action", "invalid_ttl",
				       "action_set", "group",  "packet_out" };
#define N_REASONS (sizeof(reasons) / sizeof(reasons[0]))
#define REASON_ACTION 1
#define CONTROLLER_PAUSE 1

static int parse_reason(struct action_parser *parser, struct span value, uint8_t *reason)
{
	for (unsigned int i = 0; i < N_REASONS; i++) {
		if (span_is(value, reasons[i])) {
			*reason = (uint8_t)i;
			return 0;
		}
	}
	return parser_error(&parser->parser, value.at, "there is no reason '%.*s'",
			    SPAN_ARGS(value));
}

static int hex_digit(char c)
{
	const char *digits = "0123456789abcdef";
	const char *found = c ? strchr(digits, c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c) : NULL;

	return found ? (int)(found - digits) : -1;
}

// "01.02.0304": bytes in hexadecimal, with dots where one likes.
static int parse_hex_bytes(struct action_parser *parser, struct span span, uint8_t *bytes,
			   size_t max, size_t *n)
{
	*n = 0;
	for (size_t i = 0; i < span.length;) {
		if (span.at[i] == '.') {
			i++;
			continue;
		}
		if (i + 1 >= span.length || hex_digit(span.at[i]) < 0 ||
		    hex_digit(span.at[i + 1]) < 0)
			return parser_error(&parser->parser, span.at + i,
					    "bytes are pairs of hexadecimal digits");
		if (*n == max)
			return parser_error(&parser->parser, span.at + i, "more than %zu bytes",
					    max);
		bytes[(*n)++] = (uint8_t)(hex_digit(span.at[i]) << 4 | hex_digit(span.at[i + 1]));
		i += 2;
	}
	return 0;
}

static void format_hex_bytes(const uint8_t *bytes, size_t n, struct text *text)
{
	for (size_t i = 0; i < n; i++)
		text_addf(text, "%s%02x", i ? "." : "", bytes[i]);
}

#define BYTES_MAX 4096

ACTION_PARSER(action_parse_controller)
{
	uint8_t userdata[BYTES_MAX];
	size_t n_userdata = 0;
	struct op_controller head = { .max_len = UINT16_MAX, .reason = REASON_ACTION };
	struct op_controller *controller;
	struct span key;
	struct span value;
	uint64_t number;
	int error = 0;

	(void)name;
	(void)word;
	if (argument.length && argument.at[-1] != '(') {
		error = parse_number(&parser->parser, argument, "max_len", 0, UINT16_MAX, &number);
		head.max_len = error ? 0 : (uint16_t)number;
		argument.length = 0;
	}
	while (!error && action_next_pair(&argument, &key, &value)) {
		if (span_is(key, "max_len")) {
			error = parse_number(&parser->parser, value, "max_len", 0, UINT16_MAX,
					     &number);
			head.max_len = error ? 0 : (uint16_t)number;
		} else if (span_is(key, "id")) {
			error = parse_number(&parser->parser, value, "id", 0, UINT16_MAX, &number);
			head.controller_id = error ? 0 : (uint16_t)number;
		} else if (span_is(key, "reason")) {
			error = parse_reason(parser, value, &head.reason);
		} else if (span_is(key, "userdata")) {
			error = parse_hex_bytes(parser, value, userdata, sizeof(userdata),
						&n_userdata);
		} else if (span_is(key, "meter_id")) {
			error = parse_number(&parser->parser, value, "meter_id", 1, UINT32_MAX,
					     &number);
			head.meter_id = error ? 0 : (uint32_t)number;
		} else if (span_is(key, "pause") && !value.length) {
			head.flags |= CONTROLLER_PAUSE;
		} else {
			error = parser_error(&parser->parser, key.at,
					     "controller takes max_len, id, reason, userdata, "
					     "pause and meter_id, not '%.*s'",
					     SPAN_ARGS(key));
		}
	}
	if (error)
		return error;
	controller = program_add(&parser->builder, OP_CONTROLLER, sizeof(head) + n_userdata);
	if (controller) {
		controller->max_len = head.max_len;
		controller->controller_id = head.controller_id;
		controller->reason = head.reason;
		controller->flags = head.flags;
		controller->meter_id = head.meter_id;
		controller->userdata_size = (uint16_t)n_userdata;
		memcpy(controller->userdata, userdata, n_userdata);
	}
	return 0;
}

ACTION_FORMATTER(action_format_controller)
{
	const struct op_controller *controller = (const struct op_controller *)op;

	(void)ports;
	if (controller->reason == REASON_ACTION && !controller->controller_id &&
	    !controller->flags && !controller->userdata_size && !controller->meter_id) {
		text_addf(text, "CONTROLLER:%u", controller->max_len);
		return;
	}
	text_add(text, "controller(");
	if (controller->reason != REASON_ACTION && controller->reason < N_REASONS)
		text_addf(text, "reason=%s,", reasons[controller->reason]);
	if (controller->max_len != UINT16_MAX)
		text_addf(text, "max_len=%u,", controller->max_len);
	if (controller->controller_id)
		text_addf(text, "id=%u,", controller->controller_id);
	if (controller->userdata_size) {
		text_add(text, "userdata=");
		format_hex_bytes(controller->userdata, controller->userdata_size, text);
		text_add(text, ",");
	}
	if (controller->flags & CONTROLLER_PAUSE)
		text_add(text, "pause,");
	if (controller->meter_id != CONTROLLER_NO_METER)
		text_addf(text, "meter_id=%u,", controller->meter_id);
	text_chomp(text, ",");
	text_add(text, ")");
}

// Does every packet that matches have a valid connection?
static bool has_connection(const struct match *match)
{
	const uint32_t mask = rte_be_to_cpu_32(match->mask.core.ct_state);
	const uint32_t value = rte_be_to_cpu_32(match->value.core.ct_state) & mask;
	const uint32_t new_est_rel = 0x07, invalid = 0x10, tracked = 0x20;

	return value & new_est_rel || (value & tracked && mask & invalid && !(value & invalid));
}

static int parse_resubmit_ct(struct action_parser *parser, struct span text)
{
	static const enum field_id used[] = { FIELD_CT_NW_SRC, FIELD_CT_IPV6_SRC, FIELD_IPV6_SRC };

	if (!span_is(text, "ct"))
		return parser_error(&parser->parser, text.at,
				    "resubmit is written resubmit([PORT],[TABLE][,ct])");
	if (parser->match && !has_connection(parser->match))
		return parser_error(&parser->parser, text.at,
				    "resubmit with ct needs a match on a valid connection: add "
				    "ct_state=+trk-inv, or one of +new, +est and +rel");
	for (unsigned int i = 0; i < sizeof(used) / sizeof(used[0]); i++)
		program_reads(&parser->builder, &fields[used[i]]);
	return 0;
}

ACTION_PARSER(action_parse_resubmit)
{
	struct op_resubmit *resubmit;
	struct span port_text;
	struct span table_text;
	struct span ct_text;
	bool has_ct;
	uint32_t port = OFPP_IN_PORT;
	uint8_t table = TABLE_ID_CURRENT;
	int error = 0;

	(void)name;
	(void)word;
	if (!argument.length)
		return parser_error(&parser->parser, argument.at,
				    "resubmit needs a port or a table: resubmit(,TABLE)");
	span_split(argument, ',', &port_text, &table_text);
	has_ct = span_split(table_text, ',', &table_text, &ct_text);
	port_text = span_trim(port_text);
	table_text = span_trim(table_text);
	if (port_text.length)
		error = parse_port(&parser->parser, port_text, &port);
	if (!error && table_text.length)
		error = parse_table_id(&parser->parser, table_text, "a table", 255, &table);
	if (!error && has_ct)
		error = parse_resubmit_ct(parser, span_trim(ct_text));
	if (error)
		return error;
	resubmit = program_add(&parser->builder, OP_RESUBMIT, sizeof(*resubmit));
	if (resubmit) {
		resubmit->with_ct = has_ct;
		resubmit->in_port = port;
		resubmit->table_id = table;
	}
	if (port != OFPP_IN_PORT)
		program_writes(&parser->builder, &fields[FIELD_IN_PORT]);
	parser->builder.flags |= PROGRAM_RESUBMITS;
	return 0;
}

ACTION_FORMATTER(action_format_resubmit)
{
	const struct op_resubmit *resubmit = (const struct op_resubmit *)op;

	if (resubmit->table_id == TABLE_ID_CURRENT && !resubmit->with_ct) {
		text_add(text, "resubmit:");
		port_format(resubmit->in_port, ports, text);
		return;
	}
	text_add(text, "resubmit(");
	if (resubmit->in_port != OFPP_IN_PORT)
		port_format(resubmit->in_port, ports, text);
	text_add(text, ",");
	if (resubmit->table_id != TABLE_ID_CURRENT)
		table_format(resubmit->table_id, ports, text);
	text_add(text, resubmit->with_ct ? ",ct)" : ")");
}

ACTION_PARSER(action_parse_goto_table)
{
	struct op_goto_table *go;
	uint8_t table;
	int error = parse_table_id(&parser->parser, argument, "goto_table", N_TABLES - 1, &table);

	(void)name;
	(void)word;
	if (error)
		return error;
	if (parser->table_id >= 0 && table <= parser->table_id)
		return parser_error(&parser->parser, argument.at,
				    "goto_table only goes forward: the flow is in table %d",
				    parser->table_id);
	go = program_add(&parser->builder, OP_GOTO_TABLE, sizeof(*go));
	if (go)
		go->table_id = table;
	return 0;
}

ACTION_FORMATTER(action_format_goto_table)
{
	text_add(text, "goto_table:");
	table_format(((const struct op_goto_table *)op)->table_id, ports, text);
}

ACTION_PARSER(action_parse_note)
{
	uint8_t bytes[BYTES_MAX + 8] = { 0 };
	size_t n;
	struct op_note *note;
	int error = parse_hex_bytes(parser, argument, bytes, BYTES_MAX, &n);

	(void)name;
	(void)word;
	if (error)
		return error;
	// A note is padded to 6 bytes more than a multiple of 8 (ovs-actions(7)).
	n = (n + 2 + 7) / 8 * 8 - 2;
	note = program_add(&parser->builder, OP_NOTE, sizeof(*note) + n);
	if (note) {
		note->length = (uint16_t)n;
		memcpy(note->bytes, bytes, n);
	}
	return 0;
}

ACTION_FORMATTER(action_format_note)
{
	const struct op_note *note = (const struct op_note *)op;

	(void)ports;
	text_add(text, "note:");
	format_hex_bytes(note->bytes, note->length, text);
}
