#include "ctl/hex_packet.h"

#include "common/error.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int hex_packet_parse(const char *text, uint8_t *packet, size_t max, size_t *size,
		     struct error *error)
{
	const char *start = text;

	for (*size = 0; *text; text += 2) {
		text += strspn(text, " :");
		if (!*text)
			break;
		if (*size == max)
			return error_set(error, E2BIG, "the packet is longer than %zu bytes", max);
		if (hex_digit(text[0]) < 0 || hex_digit(text[1]) < 0) {
			error->column = (int)(text - start) + 1;
			return error_set(error, EINVAL,
					 "the packet is written in pairs of hexadecimal digits");
		}
		packet[(*size)++] = (uint8_t)(hex_digit(text[0]) << 4 | hex_digit(text[1]));
	}
	return 0;
}
