#include "vport/gso.h"

#include <netinet/in.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_ip.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include "vport/offload.h"
#include "vport/packet.h"

#define FRAGMENT_SIZE 8
#define MORE_FRAGMENTS 0x2000

static bool is_fragments(const struct rte_mbuf *packet)
{
	return !(packet->ol_flags & RTE_MBUF_F_TX_TCP_SEG) && !packet->l4_len;
}

void gso_start(struct gso *gso, const struct rte_mbuf *packet)
{
	const uint32_t headers = packet_headers_size(packet);

	*gso = (struct gso){
		.packet = packet,
		.segment = packet,
		.at = headers,
		.payload = packet->pkt_len - headers,
	};
	// Nothing but different from those shortly before.
	if (is_fragments(packet) && packet->ol_flags & RTE_MBUF_F_TX_IPV6)
		gso->identification = (uint32_t)(rte_rdtsc() >> 4);
}

// --- Bytes ---

static void skip(struct gso *gso, uint32_t size)
{
	gso->sent += size;
	gso->at += size;
	while (gso->segment->next && gso->at >= gso->segment->data_len) {
		gso->at -= gso->segment->data_len;
		gso->segment = gso->segment->next;
	}
}

// Append the next `size` bytes of payload, from wherever they lie to wherever there is room.
static bool append_payload(struct gso *gso, struct rte_mbuf *made, uint32_t size)
{
	while (size) {
		uint32_t part = RTE_MIN(size, gso->segment->data_len - gso->at);
		const uint8_t *from =
			rte_pktmbuf_mtod_offset(gso->segment, const uint8_t *, gso->at);

		if (!packet_append(made, from, part))
			return false;
		skip(gso, part);
		size -= part;
	}
	return true;
}

// --- Headers ---

static void tcp_finish(const struct gso *gso, struct rte_tcp_hdr *tcp, uint32_t offset, bool last)
{
	tcp->sent_seq = rte_cpu_to_be_32(rte_be_to_cpu_32(tcp->sent_seq) + offset);
	if (!last)
		tcp->tcp_flags &= (uint8_t) ~(RTE_TCP_FIN_FLAG | RTE_TCP_PSH_FLAG);
	if (gso->index)
		tcp->tcp_flags &= (uint8_t)~RTE_TCP_CWR_FLAG;
}

static void ipv4_finish(const struct gso *gso, struct rte_mbuf *made, uint32_t offset, bool last)
{
	struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod_offset(made, void *, gso->packet->l2_len);

	ip->total_length = rte_cpu_to_be_16((uint16_t)(made->pkt_len - gso->packet->l2_len));
	if (is_fragments(gso->packet))
		ip->fragment_offset =
			rte_cpu_to_be_16((uint16_t)(offset / 8 | (last ? 0 : MORE_FRAGMENTS)));
	else
		ip->packet_id =
			rte_cpu_to_be_16((uint16_t)(rte_be_to_cpu_16(ip->packet_id) + gso->index));
	ip->hdr_checksum = 0;
	ip->hdr_checksum = (uint16_t)~rte_raw_cksum(ip, gso->packet->l3_len);
}

// The type of what follows the last of the headers in front of layer 4.
static uint8_t *last_next_header(struct rte_ipv6_hdr *ip, uint32_t size)
{
	uint8_t *next = &ip->proto, *at = (uint8_t *)(ip + 1);

	while (at < (uint8_t *)ip + size) {
		next = at;
		at += (at[1] + 1) * 8;
	}
	return next;
}

static void ipv6_finish(const struct gso *gso, struct rte_mbuf *made, uint32_t offset, bool last)
{
	const struct rte_mbuf *packet = gso->packet;
	struct rte_ipv6_hdr *ip = rte_pktmbuf_mtod_offset(made, void *, packet->l2_len);
	uint8_t *fragment = (uint8_t *)ip + packet->l3_len, *next;
	rte_be32_t identification = rte_cpu_to_be_32(gso->identification);
	rte_be16_t place = rte_cpu_to_be_16((uint16_t)(offset | !last));

	ip->payload_len = rte_cpu_to_be_16(
		(uint16_t)(made->pkt_len - packet->l2_len - sizeof(struct rte_ipv6_hdr)));
	if (!is_fragments(packet))
		return;
	next = last_next_header(ip, packet->l3_len);
	fragment[0] = *next;
	fragment[1] = 0;
	memcpy(fragment + 2, &place, sizeof(place));
	memcpy(fragment + 4, &identification, sizeof(identification));
	*next = IPPROTO_FRAGMENT;
}

static void finish(const struct gso *gso, struct rte_mbuf *made, uint32_t offset, uint32_t size)
{
	const struct rte_mbuf *packet = gso->packet;
	const bool last = offset + size == gso->payload;
	void *l4 = rte_pktmbuf_mtod_offset(made, void *, packet->l2_len + packet->l3_len);

	if (packet->ol_flags & RTE_MBUF_F_TX_TCP_SEG)
		tcp_finish(gso, l4, offset, last);
	else if (packet->l4_len)
		((struct rte_udp_hdr *)l4)->dgram_len =
			rte_cpu_to_be_16((uint16_t)(sizeof(struct rte_udp_hdr) + size));
	if (packet->ol_flags & RTE_MBUF_F_TX_IPV6)
		ipv6_finish(gso, made, offset, last);
	else
		ipv4_finish(gso, made, offset, last);
	made->tx_offload = packet->tx_offload;
	made->tso_segsz = 0;
	if (packet->ol_flags & RTE_MBUF_F_TX_L4_MASK)
		made->ol_flags |= packet->ol_flags & ~PACKET_LARGE;
}

struct rte_mbuf *gso_next(struct gso *gso)
{
	const struct rte_mbuf *packet = gso->packet;
	const uint32_t offset = gso->sent;
	const uint32_t size = RTE_MIN((uint32_t)packet->tso_segsz, gso->payload - offset);
	const uint32_t fragment =
		is_fragments(packet) && packet->ol_flags & RTE_MBUF_F_TX_IPV6 ? FRAGMENT_SIZE : 0;
	struct rte_mbuf *made = rte_pktmbuf_alloc(packet_pool());

	if (made &&
	    packet_append(made, rte_pktmbuf_mtod(packet, const void *),
			  packet_headers_size(packet)) &&
	    rte_pktmbuf_append(made, (uint16_t)fragment) && append_payload(gso, made, size)) {
		finish(gso, made, offset, size);
		gso->index++;
		return made;
	}
	rte_pktmbuf_free(made);
	skip(gso, offset + size - gso->sent);
	gso->index++;
	return NULL;
}
