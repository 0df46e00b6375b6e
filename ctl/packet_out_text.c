#include "ctl/packet_out_text.h"

#include "common/error.h"
#include "common/text.h"
#include "ctl/hex_packet.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#define MAX_PACKET 16384

// "in_port=1,reg0=5,packet=HEX,actions=..." in three parts. `packet` and `actions` are NULL if they
// are not there.
struct parts {
	struct text fields;
	struct text packet;
	const char *actions;
};

static bool is_separator(char c)
{
	return c == ',' || isspace((unsigned char)c);
}

static void split(const char *text, struct parts *parts)
{
	while (*text) {
		size_t length = 0;

		if (is_separator(*text)) {
			text++;
			continue;
		}
		while (text[length] && !is_separator(text[length]))
			length++;
		if (!strncmp(text, "actions=", 8) || !strncmp(text, "action=", 7)) {
			parts->actions = strchr(text, '=') + 1;
			return;
		}
		if (!strncmp(text, "packet=", 7)) {
			text_clear(&parts->packet);
			text_add_bytes(&parts->packet, text + 7, length - 7);
		} else {
			text_add_bytes(&parts->fields, text, length);
			text_add(&parts->fields, ",");
		}
		text += length;
	}
}

int packet_out_hex_make(struct bridge *bridge, const struct key *metadata, uint16_t lines,
			const char *actions, const char *hex, struct packet_out_request **request,
			struct error *error)
{
	uint8_t packet[MAX_PACKET];
	size_t size = 0;
	int failed = hex_packet_parse(hex, packet, sizeof(packet), &size, error);

	return failed ? failed
		      : packet_out_make(bridge, metadata, lines, actions, packet, size, request,
					error);
}

int packet_out_text_make(struct bridge *bridge, const char *text,
			 struct packet_out_request **request, struct error *error)
{
	struct parts parts = { 0 };
	struct key metadata;
	uint16_t lines;
	int failed;

	split(text, &parts);
	if (parts.fields.failed || parts.packet.failed)
		failed = error_set(error, ENOMEM, "out of memory");
	else
		failed = packet_out_parse_fields(bridge, parts.fields.data ? parts.fields.data : "",
						 &metadata, &lines, error);
	error->column = 0; // of a part, not of the whole
	if (!failed && !parts.packet.data)
		failed = error_set(error, EINVAL,
				   "packet=HEX is missing: the packet in hexadecimal digits");
	if (!failed)
		failed = packet_out_hex_make(bridge, &metadata, lines,
					     parts.actions ? parts.actions : "drop",
					     parts.packet.data, request, error);
	error->column = 0;
	text_free(&parts.fields);
	text_free(&parts.packet);
	return failed;
}
