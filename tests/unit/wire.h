// What a network sees: a card that does what a virtio header asks for, and a judge of the frames that
// leave it. It shares nothing with the switch: own parsing, own sums, own cutting, from the virtio
// specification and the RFCs. For tests.
#ifndef TESTS_UNIT_WIRE_H
#define TESTS_UNIT_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#define WIRE_MAX_FRAME 66000
#define WIRE_MAX_TAGS 8

// What was left undone, in the words of virtio 1.2 section 5.1.6.
struct wire_order {
	bool checksum; // from `start` to the end, put at start + offset
	uint32_t start, offset;
	enum wire_cut { WIRE_WHOLE, WIRE_TCP4, WIRE_TCP6, WIRE_UDP } cut;
	bool ecn;
	uint32_t size; // of the payload of each
};

// One frame as it was found to be.
struct wire_frame {
	uint32_t n_tags, n_labels, n_nsh;
	uint16_t tags[WIRE_MAX_TAGS]; // VLAN identifiers, outermost first
	uint8_t mac_source[6]; // of the innermost Ethernet header
	bool ipv6;
	uint8_t source[16], destination[16]; // IPv4: the first four
	uint8_t ttl, tos, protocol;
	uint16_t identification; // IPv4
	bool fragment, more;
	uint32_t fragment_offset;
	uint16_t source_port, destination_port; // of first fragments, too
	uint32_t sequence;
	uint8_t flags;
	const uint8_t *payload; // behind TCP or UDP, or behind the IP headers of a fragment
	uint32_t n_payload;
};

// Is it right, to the last byte and sum? NULL, or what is wrong. Checksums of fragments are not looked
// at: they cover the datagram. `undone`: that of TCP or UDP is not there yet.
const char *wire_judge(const uint8_t *bytes, uint32_t size, bool undone, struct wire_frame *frame);

// The sum of a whole datagram's UDP header and data, put together of fragments.
bool wire_udp_right(const struct wire_frame *frame, const uint8_t *udp, uint32_t size);

// Do what is asked and hand each frame to `sent`. NULL, or why the order makes no sense.
const char *wire_send(const uint8_t *bytes, uint32_t size, const struct wire_order *order,
		      void (*sent)(void *context, const uint8_t *bytes, uint32_t size),
		      void *context);

#endif
