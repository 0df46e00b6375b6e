// Is a frame sound? Lengths and checksums, read from front to back.
#include "tests/unit/packets.h"

struct reader {
	const uint8_t *at;
	unsigned int left;
};

static bool skip(struct reader *reader, unsigned int n)
{
	if (reader->left < n)
		return false;
	reader->at += n;
	reader->left -= n;
	return true;
}

static uint32_t add_words(uint32_t sum, const uint8_t *at, unsigned int n)
{
	for (; n > 1; n -= 2, at += 2)
		sum += (uint32_t)(at[0] << 8 | at[1]);
	if (n)
		sum += (uint32_t)at[0] << 8;
	while (sum > 0xffff)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static bool crc_right(struct reader l4)
{
	uint32_t crc = 0xffffffffu;
	uint32_t said = (uint32_t)l4.at[8] | (uint32_t)l4.at[9] << 8 | (uint32_t)l4.at[10] << 16 |
			(uint32_t)l4.at[11] << 24;

	for (unsigned int i = 0; i < l4.left; i++) {
		uint8_t byte = i >= 8 && i < 12 ? 0 : l4.at[i];

		for (int bit = 0; bit < 8; bit++, byte >>= 1)
			crc = (crc >> 1) ^ ((crc ^ byte) & 1 ? 0x82f63b78u : 0);
	}
	return said == (crc ^ 0xffffffffu);
}

// `sum` is that of the addresses.
static enum packet_verdict judge_l4(struct reader l4, unsigned int proto, uint32_t sum, bool ipv6)
{
	sum += proto + l4.left;
	switch (proto) {
	case 6:
		if (l4.left < 20)
			return PACKET_UNJUDGED;
		break;
	case 17:
		if (l4.left < 8 || (unsigned int)(l4.at[4] << 8 | l4.at[5]) != l4.left)
			return PACKET_UNJUDGED;
		if (l4.at[6] == 0 && l4.at[7] == 0)
			return ipv6 ? PACKET_UNJUDGED : PACKET_GOOD;
		break;
	case 132:
		if (l4.left < 12)
			return PACKET_UNJUDGED;
		return crc_right(l4) ? PACKET_GOOD : PACKET_BAD;
	case 1:
		if (l4.left < 8 || ipv6)
			return PACKET_UNJUDGED;
		sum = 0;
		break;
	case 58:
		if (l4.left < 4 || !ipv6)
			return PACKET_UNJUDGED;
		break;
	default:
		return PACKET_GOOD;
	}
	return add_words(sum, l4.at, l4.left) == 0xffff ? PACKET_GOOD : PACKET_BAD;
}

static enum packet_verdict judge_ipv4(struct reader ip)
{
	const uint8_t *header = ip.at;
	unsigned int size, total;

	if (ip.left < 20)
		return PACKET_UNJUDGED;
	size = 4u * (header[0] & 15);
	total = (unsigned int)(header[2] << 8 | header[3]);
	if (size < 20 || total < size || total > ip.left)
		return PACKET_UNJUDGED;
	if (add_words(0, header, size) != 0xffff)
		return PACKET_BAD;
	if (header[6] & 0x3f || header[7])
		return PACKET_GOOD; // of a fragment no more can be said
	ip.left = total;
	skip(&ip, size);
	return judge_l4(ip, header[9], add_words(0, header + 12, 8), false);
}

static enum packet_verdict judge_ipv6(struct reader ip)
{
	const uint8_t *header = ip.at, *destination = ip.at + 24;
	unsigned int next;

	if (ip.left < 40 || (unsigned int)(header[4] << 8 | header[5]) > ip.left - 40)
		return PACKET_UNJUDGED;
	ip.left = 40u + (unsigned int)(header[4] << 8 | header[5]);
	next = header[6];
	skip(&ip, 40);
	while (next == 0 || next == 43 || next == 60 || next == 51 || next == 44) {
		const uint8_t *extension = ip.at;
		unsigned int size;

		if (ip.left < 8)
			return PACKET_UNJUDGED;
		size = next == 44   ? 8
		       : next == 51 ? 4u * (extension[1] + 2u)
				    : 8u * (extension[1] + 1u);
		if (next == 44 && (extension[2] || extension[3] & 0xf9))
			return PACKET_GOOD;
		if (next == 43 && extension[3]) {
			if (size < 24 || size > ip.left)
				return PACKET_UNJUDGED;
			destination = extension + size - 16;
		}
		if (!skip(&ip, size))
			return PACKET_UNJUDGED;
		next = extension[0];
	}
	return judge_l4(ip, next, add_words(add_words(0, header + 8, 16), destination, 16), true);
}

enum packet_verdict packet_judge(const struct ref_packet *packet)
{
	struct reader frame = { packet->bytes, packet->size };
	unsigned int type;

	if (!skip(&frame, 12))
		return PACKET_UNJUDGED;
	while (frame.left >= 4 && ((frame.at[0] == 0x81 && frame.at[1] == 0x00) ||
				   (frame.at[0] == 0x88 && frame.at[1] == 0xa8)))
		skip(&frame, 4);
	if (frame.left < 2)
		return PACKET_UNJUDGED;
	type = (unsigned int)(frame.at[0] << 8 | frame.at[1]);
	skip(&frame, 2);
	if (type < 0x600) {
		static const uint8_t snap[] = { 0xaa, 0xaa, 3, 0, 0, 0 };

		for (unsigned int i = 0; i < 6; i++)
			if (frame.left < 8 || frame.at[i] != snap[i])
				return PACKET_UNJUDGED;
		type = (unsigned int)(frame.at[6] << 8 | frame.at[7]);
		skip(&frame, 8);
	}
	if (type == 0x0800)
		return judge_ipv4(frame);
	if (type == 0x86dd)
		return judge_ipv6(frame);
	return PACKET_UNJUDGED;
}
