// The trace command: its packet comes as a flow, as hexadecimal digits or as a capture, of which the
// client sends the bytes, again as digits.
#include "ctl/switch_bridge.h"

#include "common/error.h"
#include "common/text.h"
#include "ofproto/trace.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// Pairs of digits to bytes. Between pairs there may be blanks, line ends, colons and "0x".
static int parse_hex(const char *text, uint8_t *bytes, size_t max, size_t *size,
		     struct error *error)
{
	static const char between[] = " :\t\r\n";
	const char *at = text;
	bool start = true;

	for (*size = 0;; at += 2, start = false) {
		const size_t blanks = strspn(at, between);

		at += blanks;
		if ((start || blanks) && at[0] == '0' && (at[1] == 'x' || at[1] == 'X'))
			at += 2;
		if (!*at)
			return 0;
		if (hex_digit(at[0]) >= 0 && hex_digit(at[1]) >= 0 && *size < max) {
			bytes[(*size)++] = (uint8_t)(hex_digit(at[0]) << 4 | hex_digit(at[1]));
			continue;
		}
		error->column = (int)(at - text) + 1;
		if (*size == max)
			return error_set(error, E2BIG, "the packet is longer than %zu bytes", max);
		if (hex_digit(at[0]) < 0)
			return error_set(error, EINVAL,
					 "a packet is written in hexadecimal digits, and this is "
					 "none");
		return error_set(error, EINVAL,
				 "a packet is written in pairs of hexadecimal digits, and this one "
				 "is alone");
	}
}

// The text's bytes on the heap; *size of them.
static int read_hex(const char *text, size_t max, uint8_t **bytes, size_t *size,
		    struct error *error)
{
	const size_t room = strlen(text) / 2 + 1;
	int result;

	*bytes = malloc(room);
	if (!*bytes)
		return error_set(error, ENOMEM, "out of memory");
	result = parse_hex(text, *bytes, room < max ? room : max, size, error);
	if (!result)
		return 0;
	free(*bytes);
	*bytes = NULL;
	return result;
}

static int trace_capture(const struct handler_call *call, struct bridge *bridge, json_t **result,
			 struct error *error)
{
	const char *number_text = call_option(call, "packet"), *text = call_arg(call, 2);
	uint64_t number = 0;
	uint8_t *bytes;
	size_t size;
	int failed;

	if (!text)
		return error_set(error, EINVAL,
				 "with --pcap the third argument is the capture's bytes, in "
				 "hexadecimal digits: vsctl sends them");
	if (number_text && (parse_u64(number_text, &number) || !number))
		return error_set(error, EINVAL,
				 "--packet takes the number of a packet, from 1, not '%.64s'",
				 number_text);
	failed = read_hex(text, TRACE_CAPTURE_MAX, &bytes, &size, error);
	if (failed)
		return failed;
	failed = trace_run_capture(bridge, call_arg(call, 1), bytes, size, number, result, error);
	free(bytes);
	return failed;
}

int handle_flow_trace(const struct handler_call *call, json_t **result, struct error *error)
{
	struct bridge *bridge = call_switch_bridge(call, error);
	uint8_t *bytes = NULL;
	size_t size = 0;
	int failed = 0;

	if (!bridge)
		return -ENOENT;
	if (call_option(call, "pcap"))
		return trace_capture(call, bridge, result, error);
	if (call_option(call, "packet"))
		return error_set(error, EINVAL, "--packet goes with --pcap=FILE");
	if (call_arg(call, 2))
		failed = read_hex(call_arg(call, 2), TRACE_PACKET_MAX, &bytes, &size, error);
	if (!failed)
		failed = trace_run(bridge, call_arg(call, 1), bytes, size, result, error);
	free(bytes);
	return failed;
}
