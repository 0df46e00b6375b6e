#include "common/error.h"
#include "common/text.h"
#include "flowtable/parser.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

static const struct reserved_port {
	const char *name;
	uint32_t number;
} reserved_ports[] = {
	{ "IN_PORT", OFPP_IN_PORT }, { "TABLE", OFPP_TABLE }, { "NORMAL", OFPP_NORMAL },
	{ "FLOOD", OFPP_FLOOD },     { "ALL", OFPP_ALL },     { "CONTROLLER", OFPP_CONTROLLER },
	{ "LOCAL", OFPP_LOCAL },     { "ANY", OFPP_ANY },     { "UNSET", OFPP_UNSET },
};
#define N_RESERVED_PORTS (sizeof(reserved_ports) / sizeof(reserved_ports[0]))

// Between the ports and the reserved numbers: no port has it.
#define PORT_NOT_RESERVED OFPP_MAX

static uint32_t reserved_port_find(struct span span)
{
	for (unsigned int i = 0; i < N_RESERVED_PORTS; i++)
		if (span_is(span, reserved_ports[i].name))
			return reserved_ports[i].number;
	return span_is(span, "NONE") ? OFPP_ANY : PORT_NOT_RESERVED;
}

// A port of OpenFlow 1.0 has 16 bits: reserved numbers of either width are accepted, and numbers
// from 0xff00 up are no ports.
static uint32_t port_number_check(uint64_t number)
{
	if (number < 0xff00)
		return (uint32_t)number;
	if (number >= 0xfff8 && number <= 0xffff)
		return (uint32_t)(number | 0xffff0000u);
	if (number >= OFPP_UNSET && number <= OFPP_ANY)
		return (uint32_t)number;
	return PORT_NOT_RESERVED;
}

// Ports and tables with names are asked for by name, without the quotes and backslashes around it.
bool name_copy(struct span span, char *name, size_t size)
{
	size_t n = 0;

	if (span.length < 2 || span.at[0] != '"')
		return span_copy(span, name, size);
	if (span.at[span.length - 1] != '"')
		return false;
	for (size_t i = 1; i + 1 < span.length && n + 1 < size; i++) {
		if (span.at[i] == '\\' && i + 2 < span.length)
			i++;
		else if (span.at[i] == '"')
			return false;
		name[n++] = span.at[i];
	}
	name[n] = '\0';
	return n && n + 1 < size;
}

uint32_t port_find(const struct parser *parser, struct span span)
{
	uint32_t port = reserved_port_find(span);
	char name[256];
	uint64_t number;

	if (port != PORT_NOT_RESERVED)
		return port;
	if (span.length && !parse_u64_n(span.at, span.length, &number)) {
		port = port_number_check(number);
		return port == PORT_NOT_RESERVED ? OFPP_UNSET : port;
	}
	if (!parser->ports || !parser->ports->number || !name_copy(span, name, sizeof(name)))
		return OFPP_UNSET;
	port = parser->ports->number(parser->ports->context, name);
	return port == OFPP_ANY ? OFPP_UNSET : port;
}

int parse_port(struct parser *parser, struct span span, uint32_t *port)
{
	uint32_t found = port_find(parser, span);
	uint64_t number;

	if (found != OFPP_UNSET || span_is(span, "UNSET")) {
		*port = found;
		return 0;
	}
	if (!span.length)
		return parser_error(parser, span.at, "a port number or name is missing here");
	if (isdigit((unsigned char)span.at[0]) &&
	    parse_u64_n(span.at, span.length, &number) != -EINVAL)
		return parser_error(parser, span.at,
				    "port %.*s is out of range: ports are numbered 0 to 65279",
				    SPAN_ARGS(span));
	return parser_error(parser, span.at, "there is no port '%.*s'", SPAN_ARGS(span));
}

// A name is printed bare if it reads back as the same name.
static bool port_name_is_plain(const char *name)
{
	if (!isalpha((unsigned char)name[0]))
		return false;
	for (const char *c = name; *c; c++)
		if (!isalnum((unsigned char)*c))
			return false;
	return reserved_port_find(span_of(name)) == PORT_NOT_RESERVED;
}

void name_add_quoted(const char *name, struct text *text)
{
	text_add(text, "\"");
	for (; *name; name++)
		text_addf(text, *name == '"' || *name == '\\' ? "\\%c" : "%c", *name);
	text_add(text, "\"");
}

void port_format(uint32_t port, const struct port_names *ports, struct text *text)
{
	const char *name;

	for (unsigned int i = 0; i < N_RESERVED_PORTS; i++) {
		if (reserved_ports[i].number == port) {
			text_add(text, reserved_ports[i].name);
			return;
		}
	}
	name = ports && ports->name ? ports->name(ports->context, port) : NULL;
	if (!name) {
		text_add_u64(text, port);
	} else if (port_name_is_plain(name)) {
		text_add(text, name);
	} else {
		name_add_quoted(name, text);
	}
}
