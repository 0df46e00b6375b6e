#include "qos/ip_header.h"

#include "common/hash.h"

#include <string.h>

#include <rte_byteorder.h>

#define ETH_SIZE 14
#define CONGESTION 3u

// Where the IP header begins; 0: there is none in the first segment. *version becomes 4 or 6.
static unsigned int find(const struct rte_mbuf *packet, unsigned int *version)
{
	const uint8_t *data = rte_pktmbuf_mtod(packet, const uint8_t *);
	unsigned int at = 12, size;

	for (unsigned int tags = 0; tags < 2 && at + 6 <= packet->data_len; tags++) {
		if (!(data[at] == 0x81 && data[at + 1] == 0x00) &&
		    !(data[at] == 0x88 && data[at + 1] == 0xa8))
			break;
		at += 4;
	}
	if (at + 2 > packet->data_len)
		return 0;
	if (data[at] == 0x08 && data[at + 1] == 0x00)
		*version = 4, size = 20;
	else if (data[at] == 0x86 && data[at + 1] == 0xdd)
		*version = 6, size = 40;
	else
		return 0;
	at += 2;
	return at + size <= packet->data_len && data[at] >> 4 == *version ? at : 0;
}

static uint64_t word(const uint8_t *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

// TCP, UDP, SCTP and their like have their ports first.
static uint32_t ports(const struct rte_mbuf *packet, unsigned int at, uint8_t protocol)
{
	uint32_t value = 0;

	if ((protocol == 6 || protocol == 17 || protocol == 33 || protocol == 132 ||
	     protocol == 136) &&
	    at + sizeof(value) <= packet->data_len)
		memcpy(&value, rte_pktmbuf_mtod_offset(packet, const uint8_t *, at), sizeof(value));
	return value;
}

uint32_t ip_header_hash(const struct rte_mbuf *packet)
{
	const uint8_t *data = rte_pktmbuf_mtod(packet, const uint8_t *);
	unsigned int version = 0, at = find(packet, &version);
	uint64_t hash = version;

	if (!at) {
		if (packet->data_len < 16)
			return 0;
		return (uint32_t)hash_finish(
			hash_word(hash_word(hash, word(data)), word(data + 6)));
	}
	data += at;
	if (version == 4) {
		const bool fragment = (data[6] & 0x3f) | data[7];
		const unsigned int behind = at + (data[0] & 15u) * 4;

		hash = hash_word(hash, word(data + 12));
		return (uint32_t)hash_finish(
			hash_word(hash, (uint64_t)data[9] << 32 |
						(fragment ? 0 : ports(packet, behind, data[9]))));
	}
	for (unsigned int i = 8; i < 40; i += 8)
		hash = hash_word(hash, word(data + i));
	return (uint32_t)hash_finish(
		hash_word(hash, (uint64_t)data[6] << 32 | ports(packet, at + 40, data[6])));
}

// Make the packet ours alone. Its header is at the same place afterwards.
static bool own(struct rte_mbuf **packet)
{
	struct rte_mbuf *copy, *segment = *packet;

	while (segment && rte_mbuf_refcnt_read(segment) == 1)
		segment = segment->next;
	if (!segment)
		return true;
	copy = packet_copy(*packet);
	if (!copy)
		return false;
	rte_pktmbuf_free(*packet);
	*packet = copy;
	return true;
}

// HC' = ~(~HC + ~m + m') (RFC 1624), for the word that has the type of service.
static void write_ipv4(uint8_t *header, uint8_t tos)
{
	const uint32_t before = (uint32_t)header[0] << 8 | header[1];
	const uint32_t after = (uint32_t)header[0] << 8 | tos;
	uint32_t sum = (uint32_t)header[10] << 8 | header[11];

	sum = (~sum & 0xffff) + (~before & 0xffff) + after;
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = ~sum & 0xffff;
	header[1] = tos;
	header[10] = (uint8_t)(sum >> 8);
	header[11] = (uint8_t)sum;
}

static void write_ipv6(uint8_t *header, uint8_t tos)
{
	header[0] = (uint8_t)(0x60 | tos >> 4);
	header[1] = (uint8_t)((header[1] & 0x0f) | tos << 4);
}

static uint8_t read_tos(const uint8_t *header, unsigned int version)
{
	return version == 4 ? header[1] : (uint8_t)(header[0] << 4 | header[1] >> 4);
}

static bool set_tos(struct rte_mbuf **packet, unsigned int at, unsigned int version, uint8_t tos)
{
	uint8_t *header;

	if (!own(packet) || find(*packet, &version) != at)
		return false;
	header = rte_pktmbuf_mtod_offset(*packet, uint8_t *, at);
	if (version == 4)
		write_ipv4(header, tos);
	else
		write_ipv6(header, tos);
	return true;
}

bool ip_header_set_dscp(struct rte_mbuf **packet, uint8_t dscp)
{
	unsigned int version = 0;
	const unsigned int at = find(*packet, &version);
	uint8_t before, tos;

	if (!at)
		return false;
	before = read_tos(rte_pktmbuf_mtod_offset(*packet, const uint8_t *, at), version);
	tos = (uint8_t)(dscp << 2 | (before & 3));
	return tos == before || set_tos(packet, at, version, tos);
}

bool ip_header_set_congestion(struct rte_mbuf **packet)
{
	unsigned int version = 0;
	const unsigned int at = find(*packet, &version);
	uint8_t before;

	if (!at)
		return false;
	before = read_tos(rte_pktmbuf_mtod_offset(*packet, const uint8_t *, at), version);
	if ((before & 3) == CONGESTION)
		return true;
	return before & 3 && set_tos(packet, at, version, (uint8_t)(before | CONGESTION));
}
