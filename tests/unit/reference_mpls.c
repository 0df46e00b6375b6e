// MPLS labels put into a frame's bytes and taken out.
#include "tests/unit/reference.h"

#include <string.h>

// Move everything behind `at` by four bytes, to the right or (push false) to the left.
static void shift(struct ref_packet *packet, unsigned int at, bool push)
{
	uint8_t *here = packet->bytes + at;

	if (push)
		memmove(here + 4, here, packet->size - at);
	else
		memmove(here, here + 4, packet->size - at - 4);
	packet->size = push ? packet->size + 4 : packet->size - 4;
}

// A frame that has its length where others have the type keeps it right.
static void fix_length(struct ref_packet *packet, const struct ref_layout *layout, unsigned int add)
{
	unsigned int type = 12 + 4 * layout->n_vlans;

	if (layout->mpls != type + 2)
		ref_put16(packet->bytes + type, ref_get16(packet->bytes + type) + add);
}

bool ref_push_mpls(struct ref_packet *packet, uint16_t type)
{
	struct key key = { .words = { 0 } };
	struct ref_layout layout;
	uint8_t entry[4] = { 0, 0, 1, 64 };
	unsigned int at;

	ref_parse(packet, &key, &layout);
	if (layout.n_mpls == 3)
		return false;
	at = 14 + 4 * layout.n_vlans;
	if (layout.n_mpls) {
		at = layout.mpls;
		memcpy(entry, packet->bytes + at, 4);
		entry[2] &= 0xfe; // not the bottom
		fix_length(packet, &layout, 4);
	} else {
		if (layout.ipv4 || layout.ipv6) {
			entry[2] = (uint8_t)((key.core.ip_tos >> 2 & 7) << 1 | 1);
			entry[3] = key.core.ip_ttl;
		}
		if (key.core.eth_type == rte_cpu_to_be_16(0x86dd))
			entry[2] |= 2 << 4; // label 2
	}
	shift(packet, at, true);
	memcpy(packet->bytes + at, entry, 4);
	ref_put16(packet->bytes + at - 2, type);
	return true;
}

bool ref_pop_mpls(struct ref_packet *packet, uint16_t type)
{
	struct key key = { .words = { 0 } };
	struct ref_layout layout;

	ref_parse(packet, &key, &layout);
	if (!layout.n_mpls)
		return true;
	if (layout.n_mpls == 3 && !(packet->bytes[layout.mpls + 10] & 1))
		return false;
	fix_length(packet, &layout, 0xfffc);
	ref_put16(packet->bytes + layout.mpls - 2, type);
	shift(packet, layout.mpls, false);
	packet->retyped = true;
	return true;
}

// The TTL bytes of all headers that have one, from the outside: labels, then IP if they end before.
void ref_copy_ttl(struct ref_packet *packet, bool inwards)
{
	struct key key = { .words = { 0 } };
	struct ref_layout layout;
	uint8_t *ttl[5], *ip;
	unsigned int n = 0, left, checksum;

	ref_parse(packet, &key, &layout);
	if (!layout.n_mpls)
		return;
	ip = packet->bytes + layout.mpls;
	while (n < layout.n_mpls) {
		ttl[n++] = ip + 3;
		ip += 4;
	}
	left = packet->size - (unsigned int)(ip - packet->bytes);
	if (ip[-2] & 1 && ip[0] >> 4 == 4 && left >= 20)
		ttl[n++] = ip + 8;
	else if (ip[-2] & 1 && ip[0] >> 4 == 6 && left >= 40)
		ttl[n++] = ip + 7;
	if (n < 2 || *ttl[0] == *ttl[1])
		return;
	if (inwards && ttl[1] == ip + 8 && ip[0] >> 4 == 4) {
		// A sum of ones' complements: the old TTL taken out, the new one put in.
		checksum = 0xffff - ref_get16(ip + 10) + (0xffff - *ttl[1] * 256u) + *ttl[0] * 256u;
		while (checksum > 0xffff)
			checksum = checksum % 0x10000 + checksum / 0x10000;
		ref_put16(ip + 10, 0xffff - checksum);
	}
	if (inwards)
		*ttl[1] = *ttl[0];
	else
		*ttl[0] = *ttl[1];
}
