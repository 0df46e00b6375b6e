#include "vport/gso.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include <linux/virtio_net.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include "vport/packet.h"

#define MIN_SEGMENT 8 // smaller ones only serve to make work

// The kernel's headers of Debian 12 do not name it yet.
#define GSO_UDP_L4 5

static bool is_vlan(uint16_t type)
{
	return type == RTE_BE16(RTE_ETHER_TYPE_VLAN) || type == RTE_BE16(RTE_ETHER_TYPE_QINQ);
}

static uint16_t read_be16(const uint8_t *at)
{
	uint16_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

// Ethernet with up to two tags. Returns the length of it, 0 if it does not fit.
static uint32_t l2_length(const uint8_t *frame, uint32_t length, uint16_t *type)
{
	uint32_t at = 12;

	for (unsigned int tags = 0; at + 2 <= length; tags++) {
		*type = read_be16(frame + at);
		if (!is_vlan(*type) || tags == 2)
			return at + 2;
		at += 4;
	}
	return 0;
}

// Sets l4 behind the IP header. Returns the protocol, -1 if it is no IP that we segment.
static int l3_parse(struct gso *gso, uint16_t type)
{
	const uint8_t *ip = gso->frame + gso->l3;
	uint32_t left = gso->length - gso->l3;

	if (!gso->ipv6 && type == RTE_BE16(RTE_ETHER_TYPE_IPV4)) {
		uint32_t size;

		if (left < sizeof(struct rte_ipv4_hdr) || ip[0] >> 4 != 4)
			return -1;
		size = (ip[0] & 15u) * 4;
		if (size < sizeof(struct rte_ipv4_hdr) || size > left)
			return -1;
		gso->l4 = (uint16_t)(gso->l3 + size);
		return ip[9];
	}
	if (gso->ipv6 && type == RTE_BE16(RTE_ETHER_TYPE_IPV6)) {
		if (left < sizeof(struct rte_ipv6_hdr) || ip[0] >> 4 != 6)
			return -1;
		gso->l4 = (uint16_t)(gso->l3 + sizeof(struct rte_ipv6_hdr));
		return ip[6];
	}
	return -1;
}

static int l4_parse(struct gso *gso, int protocol)
{
	const uint8_t *l4 = gso->frame + gso->l4;
	uint32_t left = gso->length - gso->l4;
	uint32_t size = sizeof(struct rte_udp_hdr);

	if (protocol != (gso->tcp ? IPPROTO_TCP : IPPROTO_UDP))
		return -EINVAL;
	if (gso->tcp) {
		if (left < sizeof(struct rte_tcp_hdr))
			return -EINVAL;
		size = (l4[12] >> 4) * 4u;
		if (size < sizeof(struct rte_tcp_hdr))
			return -EINVAL;
	}
	if (size >= left)
		return -EINVAL;
	gso->payload = (uint16_t)(gso->l4 + size);
	return 0;
}

int gso_start(struct gso *gso, const uint8_t *frame, uint32_t length,
	      const struct virtio_net_hdr *header)
{
	uint8_t type = header->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
	uint16_t ether_type = 0;

	if (length > GSO_MAX_FRAME || header->gso_size < MIN_SEGMENT)
		return -EINVAL;
	*gso = (struct gso){ .frame = frame, .length = length, .size = header->gso_size };
	gso->l3 = (uint16_t)l2_length(frame, length, &ether_type);
	if (!gso->l3)
		return -EINVAL;
	switch (type) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
		gso->tcp = true;
		break;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		gso->tcp = true;
		gso->ipv6 = true;
		break;
	case GSO_UDP_L4:
		gso->ipv6 = ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV6);
		break;
	default:
		return -EINVAL;
	}
	if (l4_parse(gso, l3_parse(gso, ether_type)))
		return -EINVAL;
	gso->offset = gso->payload;
	return 0;
}

static void tcp_finish(struct gso *gso, struct rte_tcp_hdr *tcp, bool last)
{
	uint32_t sent = gso->offset - gso->payload;

	tcp->sent_seq = rte_cpu_to_be_32(rte_be_to_cpu_32(tcp->sent_seq) + sent);
	if (!last)
		tcp->tcp_flags &= (uint8_t) ~(RTE_TCP_FIN_FLAG | RTE_TCP_PSH_FLAG);
	if (gso->index)
		tcp->tcp_flags &= (uint8_t)~RTE_TCP_CWR_FLAG;
	tcp->cksum = 0;
}

static void checksums_finish(struct gso *gso, uint8_t *frame, uint32_t length)
{
	void *l4 = frame + gso->l4;
	uint32_t field = gso->l4 + (uint32_t)(gso->tcp ? offsetof(struct rte_tcp_hdr, cksum)
						       : offsetof(struct rte_udp_hdr, dgram_cksum));
	uint16_t checksum;

	if (gso->ipv6) {
		struct rte_ipv6_hdr *ip = (void *)(frame + gso->l3);

		ip->payload_len = rte_cpu_to_be_16((uint16_t)(length - gso->l4));
		checksum = rte_ipv6_udptcp_cksum(ip, l4);
	} else {
		struct rte_ipv4_hdr *ip = (void *)(frame + gso->l3);

		ip->total_length = rte_cpu_to_be_16((uint16_t)(length - gso->l3));
		ip->packet_id =
			rte_cpu_to_be_16((uint16_t)(rte_be_to_cpu_16(ip->packet_id) + gso->index));
		ip->hdr_checksum = 0;
		ip->hdr_checksum = (uint16_t)~rte_raw_cksum(ip, (size_t)(gso->l4 - gso->l3));
		checksum = rte_ipv4_udptcp_cksum(ip, l4);
	}
	memcpy(frame + field, &checksum, sizeof(checksum));
}

struct rte_mbuf *gso_next(struct gso *gso, uint8_t *scratch)
{
	uint32_t size = RTE_MIN((uint32_t)gso->size, gso->length - gso->offset);
	bool last = gso->offset + size == gso->length;

	memcpy(scratch, gso->frame, gso->payload);
	memcpy(scratch + gso->payload, gso->frame + gso->offset, size);
	if (gso->tcp) {
		tcp_finish(gso, (void *)(scratch + gso->l4), last);
	} else {
		struct rte_udp_hdr *udp = (void *)(scratch + gso->l4);

		udp->dgram_len = rte_cpu_to_be_16((uint16_t)(sizeof(*udp) + size));
		udp->dgram_cksum = 0;
	}
	checksums_finish(gso, scratch, gso->payload + size);
	gso->offset += size;
	gso->index++;
	return packet_from_bytes(scratch, gso->payload + size);
}
