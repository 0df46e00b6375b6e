#include "vport/offload.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include <linux/virtio_net.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_net.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include "common/text.h"
#include "vport/gso.h"

#define MAX_TAGS 2
#define MAX_L3 511 // l3_len has 9 bits
#define MAX_EXTENSIONS 16
#define IPV6_SIZE 40
#define FRAGMENT_SIZE 8
// The kernel's headers of Debian 12 do not name it yet.
#define GSO_UDP_L4 5

// Where the headers of a TCP or UDP packet over IP are.
struct headers {
	uint32_t l2, l3, l4; // sizes
	bool ipv6;
	uint8_t protocol;
};

static uint16_t read_be16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static bool is_vlan(uint16_t type)
{
	return type == RTE_ETHER_TYPE_VLAN || type == RTE_ETHER_TYPE_QINQ;
}

// Ethernet with up to two tags. Returns its size, 0 if it has none that we know.
static uint32_t ethernet_size(const struct rte_mbuf *packet, uint16_t *type)
{
	const uint8_t *frame = rte_pktmbuf_mtod(packet, const uint8_t *);
	uint32_t at = 12;

	for (unsigned int tags = 0; at + 2 <= packet->data_len; tags++) {
		*type = read_be16(frame + at);
		if (!is_vlan(*type) || tags == MAX_TAGS)
			return at + 2;
		at += 4;
	}
	return 0;
}

static bool find_ipv4(const uint8_t *ip, uint32_t left, uint32_t whole, struct headers *headers)
{
	uint32_t total;

	if (left < 20 || ip[0] >> 4 != 4)
		return false;
	headers->l3 = (ip[0] & 15u) * 4;
	total = read_be16(ip + 2);
	if (headers->l3 < 20 || headers->l3 > left || total > whole || total < headers->l3 ||
	    read_be16(ip + 6) & 0x3fff)
		return false;
	headers->protocol = ip[9];
	return true;
}

// With extension headers (RFC 8200 section 4), but none that changes what the checksum covers.
static bool find_ipv6(const uint8_t *ip, uint32_t left, uint32_t whole, struct headers *headers)
{
	uint32_t at = IPV6_SIZE, end;

	if (left < IPV6_SIZE || ip[0] >> 4 != 6)
		return false;
	end = IPV6_SIZE + read_be16(ip + 4);
	if (end > whole)
		return false;
	headers->protocol = ip[6];
	for (unsigned int i = 0; i < MAX_EXTENSIONS; i++) {
		if (headers->protocol != IPPROTO_HOPOPTS && headers->protocol != IPPROTO_DSTOPTS &&
		    headers->protocol != IPPROTO_ROUTING) {
			headers->l3 = at;
			return at <= end && at <= MAX_L3;
		}
		if (at + 8 > left || (headers->protocol == IPPROTO_ROUTING && ip[at + 3]))
			return false;
		headers->protocol = ip[at];
		at += (ip[at + 1] + 1u) * 8;
	}
	return false;
}

static bool find_l4(const struct rte_mbuf *packet, struct headers *headers)
{
	const uint32_t at = headers->l2 + headers->l3;
	const uint8_t *l4 = rte_pktmbuf_mtod_offset(packet, const uint8_t *, at);
	const uint32_t left = packet->data_len > at ? packet->data_len - at : 0;

	if (headers->protocol == IPPROTO_UDP) {
		headers->l4 = 8;
		return left >= 8;
	}
	if (headers->protocol != IPPROTO_TCP || left < 20)
		return false;
	headers->l4 = (l4[12] >> 4) * 4u;
	return headers->l4 >= 20 && headers->l4 <= left;
}

// IP and what it carries, at headers->l2.
static bool find_ip(const struct rte_mbuf *packet, struct headers *headers)
{
	const uint8_t *ip = rte_pktmbuf_mtod_offset(packet, const uint8_t *, headers->l2);
	uint32_t left, whole;

	if (packet->data_len < headers->l2 + 20)
		return false;
	left = packet->data_len - headers->l2;
	whole = packet->pkt_len - headers->l2;
	headers->ipv6 = ip[0] >> 4 == 6;
	return headers->l2 <= PACKET_MAX_L2 &&
	       (headers->ipv6 ? find_ipv6 : find_ipv4)(ip, left, whole, headers) &&
	       find_l4(packet, headers);
}

static bool find_headers(const struct rte_mbuf *packet, struct headers *headers)
{
	uint16_t type = 0;

	headers->l2 = ethernet_size(packet, &type);
	return headers->l2 && find_ip(packet, headers) &&
	       type == (headers->ipv6 ? RTE_ETHER_TYPE_IPV6 : RTE_ETHER_TYPE_IPV4);
}

// Behind what we do not know (MPLS labels), the library looks further; it says what it found.
static bool find_behind(const struct rte_mbuf *packet, struct headers *headers)
{
	struct rte_net_hdr_lens lengths = { 0 };

	rte_net_get_ptype(packet, &lengths, RTE_PTYPE_ALL_MASK);
	headers->l2 = lengths.l2_len;
	return headers->l2 >= RTE_ETHER_HDR_LEN && find_ip(packet, headers);
}

static void set_lengths(struct rte_mbuf *packet, const struct headers *headers, uint64_t flags)
{
	packet->tx_offload = 0;
	packet->l2_len = headers->l2 & PACKET_MAX_L2;
	packet->l3_len = headers->l3 & MAX_L3;
	packet->l4_len = headers->l4 & 0xff;
	packet->ol_flags |= flags | (headers->ipv6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4);
}

static uint64_t checksum_flag(const struct headers *headers)
{
	return headers->protocol == IPPROTO_TCP ? RTE_MBUF_F_TX_TCP_CKSUM : RTE_MBUF_F_TX_UDP_CKSUM;
}

// --- Checksums ---

static bool is_tcp(const struct rte_mbuf *packet)
{
	return (packet->ol_flags & RTE_MBUF_F_TX_L4_MASK) == RTE_MBUF_F_TX_TCP_CKSUM;
}

static uint8_t *checksum_field(struct rte_mbuf *packet)
{
	return rte_pktmbuf_mtod_offset(packet, uint8_t *,
				       packet->l2_len + packet->l3_len + (is_tcp(packet) ? 16 : 6));
}

// From the TCP or UDP header to the end of the IP packet.
static uint32_t l4_length(const struct rte_mbuf *packet)
{
	const uint8_t *ip = rte_pktmbuf_mtod_offset(packet, const uint8_t *, packet->l2_len);
	const uint32_t end = packet->ol_flags & RTE_MBUF_F_TX_IPV6 ? IPV6_SIZE + read_be16(ip + 4)
								   : read_be16(ip + 2);

	return end - packet->l3_len;
}

static uint32_t add_bytes(uint32_t sum, const uint8_t *bytes, unsigned int size)
{
	for (unsigned int i = 0; i < size; i += 2)
		sum += read_be16(bytes + i);
	return sum;
}

static uint16_t fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

// RFC 9293 section 3.1 and RFC 8200 section 8.1; network byte order.
static rte_be16_t pseudo_sum(const struct rte_mbuf *packet, uint32_t length)
{
	const uint8_t *ip = rte_pktmbuf_mtod_offset(packet, const uint8_t *, packet->l2_len);
	const bool tcp = (packet->ol_flags & RTE_MBUF_F_TX_L4_MASK) == RTE_MBUF_F_TX_TCP_CKSUM;
	uint32_t sum = length + (tcp ? IPPROTO_TCP : IPPROTO_UDP);

	sum = packet->ol_flags & RTE_MBUF_F_TX_IPV6 ? add_bytes(sum, ip + 8, 32)
						    : add_bytes(sum, ip + 12, 8);
	return rte_cpu_to_be_16(fold(sum));
}

// The Internet checksum's sum, not folded (RFC 1071), in the machine's byte order.
static uint64_t sum_bytes(const uint8_t *at, uint32_t size)
{
	uint64_t sum = 0, carries = 0, word = 0;

	for (; size >= 8; size -= 8, at += 8) {
		memcpy(&word, at, 8);
		carries += __builtin_add_overflow(sum, word, &sum);
	}
	word = 0;
	memcpy(&word, at, size);
	carries += __builtin_add_overflow(sum, word, &sum);
	return (sum & UINT32_MAX) + (sum >> 32) + carries;
}

static uint16_t fold_wide(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

// Over all segments; rte_raw_cksum_mbuf() of DPDK 22.11 goes wrong behind one with an odd length.
static uint16_t sum_packet(const struct rte_mbuf *packet, uint32_t at, uint32_t size)
{
	uint64_t sum = 0;
	bool odd = false;

	for (; packet && size; packet = packet->next) {
		const uint32_t part =
			at < packet->data_len ? RTE_MIN(packet->data_len - at, size) : 0;
		uint16_t partial;

		if (!part) {
			at -= packet->data_len;
			continue;
		}
		partial = fold_wide(
			sum_bytes(rte_pktmbuf_mtod_offset(packet, const uint8_t *, at), part));
		sum += odd ? rte_bswap16(partial) : partial;
		odd ^= part & 1;
		size -= part;
		at = 0;
	}
	return fold_wide(sum);
}

void offload_complete(struct rte_mbuf *packet)
{
	uint8_t *field = checksum_field(packet);
	const uint32_t length = l4_length(packet);
	const rte_be16_t pseudo = pseudo_sum(packet, length);
	uint16_t checksum;

	memcpy(field, &pseudo, sizeof(pseudo));
	checksum = (uint16_t)~sum_packet(packet, packet->l2_len + packet->l3_len, length);
	// Zero would mean "none" to UDP. TCP keeps it, as senders do.
	if (!checksum && !is_tcp(packet))
		checksum = 0xffff;
	memcpy(field, &checksum, sizeof(checksum));
	packet->ol_flags &= ~(RTE_MBUF_F_TX_L4_MASK | RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IPV6);
}

bool offload_tcp_is_right(const struct rte_mbuf *packet, uint32_t l2, uint32_t l3)
{
	const uint8_t *ip = rte_pktmbuf_mtod_offset(packet, const uint8_t *, l2);
	const uint32_t length = packet->pkt_len - l2 - l3;
	uint32_t sum = length + IPPROTO_TCP;

	sum = ip[0] >> 4 == 6 ? add_bytes(sum, ip + 8, 32) : add_bytes(sum, ip + 12, 8);
	sum += rte_be_to_cpu_16(sum_packet(packet, l2 + l3, length));
	return fold(sum) == 0xffff;
}

// Wherever its two bytes lie.
static void write_at(struct rte_mbuf *packet, uint32_t at, uint16_t value)
{
	uint8_t bytes[2];

	memcpy(bytes, &value, sizeof(bytes));
	for (unsigned int i = 0; i < 2; i++, at++) {
		struct rte_mbuf *segment = packet;
		uint32_t offset = at;

		while (offset >= segment->data_len) {
			offset -= segment->data_len;
			segment = segment->next;
		}
		rte_pktmbuf_mtod(segment, uint8_t *)[offset] = bytes[i];
	}
}

// A checksum of whatever kind from `start` to the end; its field holds what else it covers.
static int complete_from(struct rte_mbuf *packet, uint32_t start, uint32_t offset)
{
	uint16_t sum;

	if (start + offset + 2 > packet->pkt_len)
		return -EINVAL;
	sum = (uint16_t)~sum_packet(packet, start, packet->pkt_len - start);
	write_at(packet, start + offset, sum ? sum : 0xffff);
	return 0;
}

// --- What came in ---

// How the packet is to be cut. `fragments`: UDP comes as fragments of one datagram.
static int set_large(struct rte_mbuf *packet, uint16_t size, bool fragments)
{
	struct headers headers = { 0 };
	uint64_t flags;

	if (!find_headers(packet, &headers) && !find_behind(packet, &headers))
		return -EINVAL;
	flags = checksum_flag(&headers);
	set_lengths(packet, &headers, flags);
	if (headers.protocol == IPPROTO_UDP && fragments) {
		offload_complete(packet);
		headers.l4 = 0;
		size &= 0xfff8;
		flags = 0;
		set_lengths(packet, &headers, 0);
	}
	if (l4_length(packet) != packet->pkt_len - headers.l2 - headers.l3)
		return -EINVAL;
	packet->tso_segsz = size;
	packet->ol_flags |=
		headers.protocol == IPPROTO_TCP ? RTE_MBUF_F_TX_TCP_SEG : RTE_MBUF_F_TX_UDP_SEG;
	if (size < GSO_MIN_SEGMENT || packet_headers_size(packet) >= packet->pkt_len ||
	    packet->pkt_len > GSO_MAX_FRAME || packet_large_count(packet) > GSO_MAX_SEGMENTS)
		return -EINVAL;
	// What need not be cut is not large.
	if (packet_large_count(packet) == 1)
		packet->ol_flags &= ~PACKET_LARGE;
	return 0;
}

static int large_type(uint8_t type, bool *fragments)
{
	switch (type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
	case VIRTIO_NET_HDR_GSO_TCPV6:
		*fragments = false;
		return IPPROTO_TCP;
	case VIRTIO_NET_HDR_GSO_UDP:
		*fragments = true;
		return IPPROTO_UDP;
	case GSO_UDP_L4:
		*fragments = false;
		return IPPROTO_UDP;
	default:
		return -EINVAL;
	}
}

// The two must agree about what the packet is.
static bool is_type(const struct rte_mbuf *packet, uint8_t type, int protocol)
{
	const bool ipv6 = packet->ol_flags & RTE_MBUF_F_TX_IPV6;
	const uint8_t *ip = rte_pktmbuf_mtod_offset(packet, const uint8_t *, packet->l2_len);

	type &= (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
	if ((type == VIRTIO_NET_HDR_GSO_TCPV4 && ipv6) ||
	    (type == VIRTIO_NET_HDR_GSO_TCPV6 && !ipv6))
		return false;
	if (packet->ol_flags & PACKET_LARGE)
		return !(packet->ol_flags & RTE_MBUF_F_TX_TCP_SEG) == (protocol == IPPROTO_UDP);
	return ipv6 || ip[9] == protocol;
}

int offload_from_virtio(struct rte_mbuf *packet, const struct virtio_net_hdr *header)
{
	struct headers headers = { 0 };

	if (header->gso_type != VIRTIO_NET_HDR_GSO_NONE) {
		bool fragments;
		int protocol = large_type(header->gso_type, &fragments);

		if (protocol < 0 || set_large(packet, header->gso_size, fragments) ||
		    !is_type(packet, header->gso_type, protocol))
			return -EINVAL;
		return 0;
	}
	if (!(header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		return 0;
	if (find_headers(packet, &headers) && header->csum_start == headers.l2 + headers.l3 &&
	    header->csum_offset == (headers.protocol == IPPROTO_TCP ? 16 : 6)) {
		set_lengths(packet, &headers, checksum_flag(&headers));
		return 0;
	}
	return complete_from(packet, header->csum_start, header->csum_offset);
}

int offload_from_vhost(struct rte_mbuf *packet)
{
	const uint64_t flags = packet->ol_flags;
	struct headers headers = { 0 };

	packet->ol_flags &= ~(RTE_MBUF_F_RX_L4_CKSUM_MASK | RTE_MBUF_F_RX_LRO);
	// The library knows one kind of large UDP: fragments.
	if (flags & RTE_MBUF_F_RX_LRO)
		return set_large(packet, packet->tso_segsz, true);
	if ((flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) != RTE_MBUF_F_RX_L4_CKSUM_NONE)
		return 0;
	if (find_headers(packet, &headers)) {
		set_lengths(packet, &headers, checksum_flag(&headers));
		return 0;
	}
	if (!find_behind(packet, &headers))
		return -EINVAL;
	set_lengths(packet, &headers, checksum_flag(&headers));
	offload_complete(packet);
	return 0;
}

// --- What goes out ---

// Is this what everybody understands: IP, and IPv6 without extensions, right behind Ethernet with at
// most two tags, all of it in the first segment?
static bool is_plain(const struct rte_mbuf *packet)
{
	const bool ipv6 = packet->ol_flags & RTE_MBUF_F_TX_IPV6;
	uint16_t type = 0;

	return ethernet_size(packet, &type) == packet->l2_len &&
	       type == (ipv6 ? RTE_ETHER_TYPE_IPV6 : RTE_ETHER_TYPE_IPV4) &&
	       (!ipv6 || packet->l3_len == IPV6_SIZE) &&
	       packet->data_len >= packet_headers_size(packet);
}

static bool has_cwr(const struct rte_mbuf *packet)
{
	return *rte_pktmbuf_mtod_offset(packet, const uint8_t *,
					packet->l2_len + packet->l3_len + 13) &
	       RTE_TCP_CWR_FLAG;
}

bool offload_fits(const struct rte_mbuf *packet, uint32_t offloads)
{
	const uint64_t flags = packet->ol_flags;
	uint32_t needed = flags & RTE_MBUF_F_TX_L4_MASK ? OFFLOAD_CHECKSUM : 0;

	if (flags & RTE_MBUF_F_TX_TCP_SEG)
		needed |= flags & RTE_MBUF_F_TX_IPV6 ? OFFLOAD_TSO6 : OFFLOAD_TSO4;
	else if (flags & RTE_MBUF_F_TX_UDP_SEG)
		needed |= needed ? OFFLOAD_USO : OFFLOAD_UFO;
	if (needed & ~offloads || (needed && !is_plain(packet)))
		return false;
	return !(flags & RTE_MBUF_F_TX_TCP_SEG) || offloads & OFFLOAD_ECN || !has_cwr(packet);
}

void offload_to_virtio(struct rte_mbuf *packet, struct virtio_net_hdr *header)
{
	const uint64_t flags = packet->ol_flags;

	*header = (struct virtio_net_hdr){ .gso_type = VIRTIO_NET_HDR_GSO_NONE };
	if (flags & RTE_MBUF_F_TX_L4_MASK) {
		uint8_t *field = checksum_field(packet);
		const rte_be16_t pseudo = pseudo_sum(packet, l4_length(packet));

		memcpy(field, &pseudo, sizeof(pseudo));
		header->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		header->csum_start = (uint16_t)(packet->l2_len + packet->l3_len);
		header->csum_offset =
			(flags & RTE_MBUF_F_TX_L4_MASK) == RTE_MBUF_F_TX_TCP_CKSUM ? 16 : 6;
	}
	if (!(flags & PACKET_LARGE))
		return;
	if (flags & RTE_MBUF_F_TX_UDP_SEG)
		header->gso_type = GSO_UDP_L4;
	else
		header->gso_type = flags & RTE_MBUF_F_TX_IPV6 ? VIRTIO_NET_HDR_GSO_TCPV6
							      : VIRTIO_NET_HDR_GSO_TCPV4;
	if (flags & RTE_MBUF_F_TX_TCP_SEG && has_cwr(packet))
		header->gso_type |= VIRTIO_NET_HDR_GSO_ECN;
	header->hdr_len = (uint16_t)packet_headers_size(packet);
	header->gso_size = packet->tso_segsz;
}

// --- The wire ---

static uint32_t large_headers(const struct rte_mbuf *packet)
{
	const bool fragments = packet->ol_flags & RTE_MBUF_F_TX_UDP_SEG && !packet->l4_len;

	return packet_headers_size(packet) +
	       (fragments && packet->ol_flags & RTE_MBUF_F_TX_IPV6 ? FRAGMENT_SIZE : 0);
}

uint32_t packet_large_count(const struct rte_mbuf *packet)
{
	const uint32_t headers = packet_headers_size(packet);

	if (packet->pkt_len <= headers || !packet->tso_segsz)
		return 1;
	return (packet->pkt_len - headers + packet->tso_segsz - 1) / packet->tso_segsz;
}

uint32_t packet_large_bytes(const struct rte_mbuf *packet)
{
	return packet_large_count(packet) * large_headers(packet) + packet->pkt_len -
	       packet_headers_size(packet);
}

uint32_t packet_large_longest(const struct rte_mbuf *packet)
{
	return large_headers(packet) +
	       RTE_MIN(packet->pkt_len - packet_headers_size(packet), (uint32_t)packet->tso_segsz);
}

uint32_t offload_sensible(uint32_t offloads)
{
	if (!(offloads & OFFLOAD_CHECKSUM))
		return 0;
	return offloads & (OFFLOAD_TSO4 | OFFLOAD_TSO6) ? offloads
							: offloads & ~(OFFLOAD_ECN | OFFLOAD_GRO);
}

void offload_format(uint32_t offloads, struct text *text)
{
	static const char *const names[] = { "checksum", "tso4", "tso6", "ecn", "uso", "ufo" };
	const char *space = "";

	offloads &= OFFLOAD_ALL & ~OFFLOAD_GRO;
	for (unsigned int i = 0; i < RTE_DIM(names); i++)
		if (offloads & 1u << i) {
			text_addf(text, "%s%s", space, names[i]);
			space = " ";
		}
	if (!offloads)
		text_add(text, "none");
}
