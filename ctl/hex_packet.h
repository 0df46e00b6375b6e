// Packets as hexadecimal digits. Main thread.
#ifndef CTL_HEX_PACKET_H
#define CTL_HEX_PACKET_H

#include <stddef.h>
#include <stdint.h>

struct error;

// Blanks and colons between bytes are allowed. Returns 0, or -errno with error->column set.
int hex_packet_parse(const char *text, uint8_t *packet, size_t max, size_t *size,
		     struct error *error);

#endif
