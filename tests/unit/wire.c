#include "tests/unit/wire.h"

#include <string.h>

struct cursor {
	const uint8_t *at;
	uint32_t left;
};

static unsigned int get16(const uint8_t *at)
{
	return (unsigned int)at[0] << 8 | at[1];
}

static void put16(uint8_t *at, unsigned int value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static uint32_t get32(const uint8_t *at)
{
	return (uint32_t)get16(at) << 16 | get16(at + 2);
}

// RFC 1071, one byte after the other.
static unsigned int sum_of(const uint8_t *at, uint32_t n, unsigned int sum)
{
	for (uint32_t i = 0; i < n; i++) {
		sum += i & 1 ? at[i] : (unsigned int)at[i] << 8;
		if (sum > 0xffff)
			sum -= 0xffff;
	}
	return sum;
}

static unsigned int pseudo_of(const struct wire_frame *frame, unsigned int protocol, uint32_t size)
{
	const uint8_t tail[4] = { (uint8_t)(size >> 8), (uint8_t)size, 0, (uint8_t)protocol };
	const uint32_t n = frame->ipv6 ? 16 : 4;

	return sum_of(tail, 4, sum_of(frame->destination, n, sum_of(frame->source, n, 0)));
}

bool wire_udp_right(const struct wire_frame *frame, const uint8_t *udp, uint32_t size)
{
	return size >= 8 && get16(udp + 4) == size && get16(udp + 6) &&
	       sum_of(udp, size, pseudo_of(frame, 17, size)) == 0xffff;
}

static void forward(struct cursor *cursor, uint32_t n)
{
	cursor->at += n;
	cursor->left -= n;
}

static const char *judge_tcp(struct cursor cursor, bool undone, struct wire_frame *frame)
{
	const uint32_t header = cursor.left >= 20 ? (cursor.at[12] >> 4) * 4u : 0;
	const unsigned int pseudo = pseudo_of(frame, 6, cursor.left);

	if (header < 20 || header > cursor.left)
		return "TCP header does not fit";
	if (undone ? get16(cursor.at + 16) != pseudo
		   : sum_of(cursor.at, cursor.left, pseudo) != 0xffff)
		return undone ? "TCP pseudo header's sum" : "TCP checksum";
	frame->sequence = get32(cursor.at + 4);
	frame->flags = cursor.at[13];
	frame->payload = cursor.at + header;
	frame->n_payload = cursor.left - header;
	return NULL;
}

static const char *judge_udp(struct cursor cursor, bool undone, struct wire_frame *frame)
{
	if (cursor.left < 8 || get16(cursor.at + 4) != cursor.left)
		return "UDP length";
	if (undone ? get16(cursor.at + 6) != pseudo_of(frame, 17, cursor.left)
		   : !wire_udp_right(frame, cursor.at, cursor.left))
		return undone ? "UDP pseudo header's sum" : "UDP checksum";
	frame->payload = cursor.at + 8;
	frame->n_payload = cursor.left - 8;
	return NULL;
}

static const char *judge_l4(struct cursor cursor, bool undone, struct wire_frame *frame)
{
	if (!frame->fragment_offset && cursor.left >= 4) {
		frame->source_port = (uint16_t)get16(cursor.at);
		frame->destination_port = (uint16_t)get16(cursor.at + 2);
	}
	if (frame->fragment) {
		frame->payload = cursor.at;
		frame->n_payload = cursor.left;
		return frame->more && cursor.left % 8 ? "length of a fragment" : NULL;
	}
	if (frame->protocol == 6)
		return judge_tcp(cursor, undone, frame);
	return frame->protocol == 17 ? judge_udp(cursor, undone, frame) : "neither TCP nor UDP";
}

static const char *judge_ipv4(struct cursor cursor, bool undone, struct wire_frame *frame)
{
	const uint8_t *ip = cursor.at;
	const uint32_t header = cursor.left >= 20 ? (ip[0] & 15u) * 4 : 0;

	if (header < 20 || header > cursor.left)
		return "IPv4 header does not fit";
	if (get16(ip + 2) != cursor.left)
		return "IPv4 total length";
	if (sum_of(ip, header, 0) != 0xffff)
		return "IPv4 header checksum";
	frame->tos = ip[1];
	frame->identification = (uint16_t)get16(ip + 4);
	frame->more = ip[6] & 0x20;
	frame->fragment_offset = (get16(ip + 6) & 0x1fff) * 8;
	frame->fragment = frame->more || frame->fragment_offset;
	frame->ttl = ip[8];
	frame->protocol = ip[9];
	memcpy(frame->source, ip + 12, 4);
	memcpy(frame->destination, ip + 16, 4);
	forward(&cursor, header);
	return judge_l4(cursor, undone, frame);
}

static const char *judge_ipv6(struct cursor cursor, bool undone, struct wire_frame *frame)
{
	const uint8_t *ip = cursor.at;

	if (cursor.left < 40)
		return "IPv6 header does not fit";
	if (get16(ip + 4) != cursor.left - 40)
		return "IPv6 payload length";
	frame->ipv6 = true;
	frame->tos = (uint8_t)(ip[0] << 4 | ip[1] >> 4);
	frame->ttl = ip[7];
	frame->protocol = ip[6];
	memcpy(frame->source, ip + 8, 16);
	memcpy(frame->destination, ip + 24, 16);
	forward(&cursor, 40);
	while (frame->protocol == 0 || frame->protocol == 60 || frame->protocol == 44) {
		const bool fragment = frame->protocol == 44;
		const uint32_t size = cursor.left >= 8 && !fragment ? (cursor.at[1] + 1u) * 8 : 8;

		if (size > cursor.left)
			return "IPv6 extension header does not fit";
		frame->protocol = cursor.at[0];
		if (fragment) {
			frame->fragment = true;
			frame->more = cursor.at[3] & 1;
			frame->fragment_offset = get16(cursor.at + 2) & 0xfff8;
		}
		forward(&cursor, size);
	}
	return judge_l4(cursor, undone, frame);
}

static const char *judge_labels(struct cursor cursor, bool undone, struct wire_frame *frame)
{
	bool bottom = false;

	while (!bottom) {
		if (cursor.left < 5)
			return "labels without a bottom";
		bottom = cursor.at[2] & 1;
		frame->n_labels++;
		forward(&cursor, 4);
	}
	return cursor.at[0] >> 4 == 4 ? judge_ipv4(cursor, undone, frame)
				      : judge_ipv6(cursor, undone, frame);
}

const char *wire_judge(const uint8_t *bytes, uint32_t size, bool undone, struct wire_frame *frame)
{
	struct cursor cursor = { bytes, size };
	unsigned int type;

	memset(frame, 0, sizeof(*frame));
again:
	if (cursor.left < 14)
		return "Ethernet header does not fit";
	memcpy(frame->mac_source, cursor.at + 6, 6);
	forward(&cursor, 12);
	for (;;) {
		if (cursor.left < 4)
			return "type does not fit";
		type = get16(cursor.at);
		if (type != 0x8100 && type != 0x88a8)
			break;
		if (frame->n_tags == WIRE_MAX_TAGS)
			return "too many tags";
		frame->tags[frame->n_tags++] = get16(cursor.at + 2) & 0xfff;
		forward(&cursor, 4);
	}
	forward(&cursor, 2);
	switch (type) {
	case 0x0800:
		return judge_ipv4(cursor, undone, frame);
	case 0x86dd:
		return judge_ipv6(cursor, undone, frame);
	case 0x8847:
		return judge_labels(cursor, undone, frame);
	case 0x894f:
		if (cursor.left < 24 || cursor.at[3] != 3)
			return "NSH does not say Ethernet";
		forward(&cursor, (cursor.at[1] & 0x3fu) * 4);
		frame->n_nsh++;
		goto again;
	}
	return "unknown type";
}

// --- The card ---

static void complete(uint8_t *bytes, uint32_t size, const struct wire_order *order)
{
	unsigned int sum = ~sum_of(bytes + order->start, size - order->start, 0) & 0xffff;

	put16(bytes + order->start + order->offset, sum ? sum : 0xffff);
}

// Lengths, numbers and flags of one piece. The checksum field holds the pseudo header's sum of the
// whole: what differs is the length.
static void adjust(uint8_t *piece, const struct wire_order *order, uint32_t l3, uint32_t l4_size,
		   uint32_t whole_l4_size, unsigned int index, bool last)
{
	uint8_t *ip = piece + l3, *l4 = piece + order->start;
	uint8_t change[4];

	if (ip[0] >> 4 == 6) {
		put16(ip + 4, (unsigned int)(order->start - l3 - 40 + l4_size));
	} else {
		put16(ip + 2, (unsigned int)(order->start - l3 + l4_size));
		put16(ip + 4, get16(ip + 4) + index);
		put16(ip + 10, 0);
		put16(ip + 10, ~sum_of(ip, (ip[0] & 15u) * 4, 0) & 0xffff);
	}
	put16(change, (unsigned int)l4_size);
	put16(change + 2, ~(unsigned int)whole_l4_size & 0xffff);
	put16(l4 + order->offset, sum_of(change, 4, get16(l4 + order->offset)));
	if (order->cut == WIRE_UDP) {
		put16(l4 + 4, (unsigned int)l4_size);
		return;
	}
	if (!last)
		l4[13] &= (uint8_t)~0x09; // FIN, PSH
	if (index)
		l4[13] &= (uint8_t)~0x80; // CWR
}

const char *wire_send(const uint8_t *bytes, uint32_t size, const struct wire_order *order,
		      void (*sent)(void *context, const uint8_t *bytes, uint32_t size),
		      void *context)
{
	static uint8_t piece[WIRE_MAX_FRAME];
	uint32_t l3 = 12, headers, done = 0;
	unsigned int index = 0;

	if (order->checksum && order->start + order->offset + 2 > size)
		return "the checksum lies behind the end";
	if (!order->cut) {
		memcpy(piece, bytes, size);
		if (order->checksum)
			complete(piece, size, order);
		sent(context, piece, size);
		return NULL;
	}
	if (!order->checksum || !order->size)
		return "to be cut without a checksum or a size";
	while (get16(bytes + l3) == 0x8100 || get16(bytes + l3) == 0x88a8)
		l3 += 4;
	if (get16(bytes + l3) != (bytes[l3 + 2] >> 4 == 6 ? 0x86dd : 0x0800))
		return "to be cut and not IP";
	l3 += 2;
	if ((order->cut == WIRE_TCP4 && bytes[l3] >> 4 != 4) ||
	    (order->cut == WIRE_TCP6 && bytes[l3] >> 4 != 6))
		return "to be cut as the other IP";
	headers =
		order->start + (order->cut == WIRE_UDP ? 8 : (bytes[order->start + 12] >> 4) * 4u);
	if (order->cut != WIRE_UDP && bytes[order->start + 13] & 0x80 && !order->ecn)
		return "CWR without ECN";
	while (done < size - headers) {
		uint32_t part =
			size - headers - done < order->size ? size - headers - done : order->size;
		// Sequence numbers carry over 16 bits: from the whole each time.
		uint32_t sequence = get32(bytes + order->start + 4) + done;

		memcpy(piece, bytes, headers);
		memcpy(piece + headers, bytes + headers + done, part);
		adjust(piece, order, l3, headers - order->start + part, size - order->start, index,
		       done + part == size - headers);
		if (order->cut != WIRE_UDP) {
			put16(piece + order->start + 4, sequence >> 16);
			put16(piece + order->start + 6, sequence & 0xffff);
		}
		complete(piece, headers + part, order);
		sent(context, piece, headers + part);
		done += part;
		index++;
	}
	return NULL;
}
