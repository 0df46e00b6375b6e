// Packets of a capture file (pcap or pcapng) whose bytes came over the control socket. libpcap
// reads it; this sees to it that it is Ethernet, and bounds size, packets and time. Main thread.
#ifndef OFPROTO_TRACE_CAPTURE_H
#define OFPROTO_TRACE_CAPTURE_H

#include <stddef.h>
#include <stdint.h>

struct error;

struct trace_captured {
	uint64_t number; // from 1
	const uint8_t *bytes;
	uint32_t size; // that were captured
	uint32_t wire_size; // that the packet had
};

struct trace_capture_end {
	uint64_t n_packets; // that were visited
	const char *stopped; // a sentence if there are more, or they cannot be read; or NULL
};

#define TRACE_CAPTURE_PACKETS 10000
#define TRACE_CAPTURE_MS 1000

// Visit packet `number`, or with 0 each one; an error of visit() ends it. A file that breaks off is
// no error where packets came before: *end tells.
int trace_capture_read(const uint8_t *bytes, size_t size, uint64_t number,
		       int (*visit)(void *context, const struct trace_captured *captured,
				    struct error *error),
		       void *context, struct trace_capture_end *end, struct error *error);

#endif
