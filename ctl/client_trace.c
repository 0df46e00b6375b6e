// Packets for vsctl trace: from the command line, a file of digits or a capture.
#include "ctl/client.h"

#include "common/error.h"
#include "common/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_CAPTURE (16u << 20) // TRACE_CAPTURE_MAX of ofproto/trace.h

static void attach(json_t *args, size_t i, struct text *attached, const char *text, size_t length)
{
	json_t *at = json_pack("{s:I}", "attached", (json_int_t)attached->length);

	if (i < json_array_size(args))
		json_array_set_new(args, i, at);
	else
		json_array_append_new(args, at);
	text_add_bytes(attached, text, length + 1);
}

static int attach_capture(json_t *args, struct text *attached, const char *name,
			  struct error *error)
{
	static const char digits[] = "0123456789abcdef";
	struct text bytes = { 0 }, hex = { 0 };
	int result = client_read_bytes(name, MAX_CAPTURE, &bytes, error);

	if (result)
		return result;
	text_add(&hex, "");
	for (size_t i = 0; i < bytes.length; i++) {
		const unsigned char byte = (unsigned char)bytes.data[i];

		text_add_char(&hex, digits[byte >> 4]);
		text_add_char(&hex, digits[byte & 15]);
	}
	if (hex.failed)
		result = error_set(error, ENOMEM, "out of memory");
	else
		attach(args, 2, attached, hex.data, hex.length);
	text_free(&bytes);
	text_free(&hex);
	return result;
}

// Digits are no name of a file: say ./FILE for one that looks like them.
static bool is_hex(const char *word)
{
	return !word[strspn(word, "0123456789abcdefABCDEFxX: \t\r\n")];
}

int client_attach_packet(json_t *request, struct text *attached, json_t *files, struct error *error)
{
	json_t *args = json_object_get(request, "args");
	const json_t *options = json_object_get(request, "options");
	const char *pcap = json_string_value(json_object_get(options, "pcap"));
	const char *packet = json_string_value(json_array_get(args, 2));
	char *text;
	int result;

	if (pcap && packet)
		return error_set(error, EINVAL,
				 "the packet comes from --pcap=FILE or is the third argument, not "
				 "both");
	if (pcap)
		return attach_capture(args, attached, pcap, error);
	if (!packet || is_hex(packet))
		return 0;
	result = client_read_file(packet, &text, error);
	if (result == -ENOENT)
		return error_set(error, ENOENT,
				 "'%.200s' is neither a packet in hexadecimal digits nor a file "
				 "with one",
				 packet);
	if (result == -EINVAL)
		return error_set(error, EINVAL,
				 "'%.200s' has no hexadecimal digits; a capture is given as "
				 "--pcap=FILE",
				 packet);
	if (result)
		return result;
	json_array_append_new(files, json_string(strcmp(packet, "-") ? packet : "<stdin>"));
	attach(args, 2, attached, text, strlen(text));
	free(text);
	return 0;
}
