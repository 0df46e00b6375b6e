#include "vport/gro.h"

#include <netinet/in.h>
#include <string.h>

#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_tcp.h>

#include "vport/gso.h"
#include "vport/offload.h"

#define MAX_FLOWS 8 // that are looked after at once
#define MAX_SEGMENTS 44 // what ports take as one (FRAME_MAX_SEGMENTS), and some spare
#define MAX_IP 65535
#define MAX_TAGS 2
#define MIN_PIECE 64
#define IPV4_SIZE 20
#define IPV6_SIZE 40

enum kind {
	OTHER, // no TCP: has nothing to do with any flow here
	HIDDEN, // may belong to a flow, which cannot be seen
	APART, // of a flow, and cannot be joined
	PIECE, // can be
};

// TCP over IP right behind Ethernet.
struct piece {
	const uint8_t *ip, *tcp;
	uint16_t l2, l3, l4, payload;
	bool ipv6;
};

// The newest packet of a flow, to which more may be joined.
struct flow {
	struct rte_mbuf *packet, *last; // and the last of its segments
	struct piece piece; // its headers
	uint32_t sequence; // that comes next
	uint32_t size; // behind Ethernet
	uint16_t n; // pieces, 1: nothing was joined yet
	bool push;
};

struct flows {
	struct flow flows[MAX_FLOWS];
	unsigned int n, next;
};

static uint16_t read_be16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static uint32_t read_be32(const uint8_t *at)
{
	return (uint32_t)read_be16(at) << 16 | read_be16(at + 2);
}

// --- What a packet is ---

// Ethernet with at most two tags.
static uint16_t ethernet_size(const struct rte_mbuf *packet, uint16_t *type)
{
	const uint8_t *frame = rte_pktmbuf_mtod(packet, const uint8_t *);
	uint16_t at = 12;

	*type = read_be16(frame + at);
	for (unsigned int i = 0;
	     i < MAX_TAGS && (*type == RTE_ETHER_TYPE_VLAN || *type == RTE_ETHER_TYPE_QINQ); i++) {
		at += 4;
		*type = read_be16(frame + at);
	}
	return at + 2;
}

static enum kind find_ip(const struct rte_mbuf *packet, struct piece *piece, uint32_t *size)
{
	uint16_t type;
	const uint8_t *ip;

	// Short ones have no payload that is worth it; they may be ACKs of a flow all the same.
	if (packet->data_len < RTE_ETHER_HDR_LEN + 4 * MAX_TAGS + IPV4_SIZE + 20)
		return HIDDEN;
	piece->l2 = ethernet_size(packet, &type);
	piece->ip = ip = rte_pktmbuf_mtod_offset(packet, const uint8_t *, piece->l2);
	piece->ipv6 = type == RTE_ETHER_TYPE_IPV6;
	if (type == RTE_ETHER_TYPE_IPV4) {
		if (ip[9] != IPPROTO_TCP)
			return OTHER;
		piece->l3 = IPV4_SIZE;
		*size = read_be16(ip + 2);
		return ip[0] != 0x45 || read_be16(ip + 6) & 0x3fff ? HIDDEN : PIECE;
	}
	if (!piece->ipv6)
		return OTHER;
	piece->l3 = IPV6_SIZE;
	*size = IPV6_SIZE + read_be16(ip + 4);
	if (ip[6] == IPPROTO_UDP || ip[6] == IPPROTO_ICMPV6)
		return OTHER;
	return ip[0] >> 4 != 6 || ip[6] != IPPROTO_TCP ? HIDDEN : PIECE;
}

static bool is_ours(const struct rte_mbuf *packet)
{
	for (; packet; packet = packet->next)
		if (rte_mbuf_refcnt_read(packet) > 1 || !RTE_MBUF_DIRECT(packet))
			return false;
	return true;
}

static enum kind classify(const struct rte_mbuf *packet, struct piece *piece)
{
	uint32_t size = 0, headers;
	enum kind kind = find_ip(packet, piece, &size);

	if (kind != PIECE)
		return kind;
	if (packet->data_len < (uint32_t)(piece->l2 + piece->l3 + 20))
		return HIDDEN;
	piece->tcp = piece->ip + piece->l3;
	piece->l4 = (uint16_t)((piece->tcp[12] >> 4) * 4);
	headers = (uint32_t)(piece->l3 + piece->l4);
	if (packet_is_large(packet) || piece->l4 < 20 ||
	    (piece->tcp[13] & ~RTE_TCP_PSH_FLAG) != RTE_TCP_ACK_FLAG ||
	    size != packet->pkt_len - piece->l2 || size < headers + MIN_PIECE ||
	    packet->data_len <= piece->l2 + headers || !is_ours(packet))
		return APART;
	piece->payload = (uint16_t)(size - headers);
	return PIECE;
}

// --- Flows ---

static bool same_flow(const struct piece *a, const struct piece *b)
{
	if (a->ipv6 != b->ipv6 || memcmp(a->tcp, b->tcp, 4))
		return false;
	return a->ipv6 ? !memcmp(a->ip + 8, b->ip + 8, 32) : !memcmp(a->ip + 12, b->ip + 12, 8);
}

// All that does not count on, of two packets of one flow.
static bool same_headers(const struct rte_mbuf *first, const struct piece *a,
			 const struct rte_mbuf *packet, const struct piece *b)
{
	if (a->l2 != b->l2 || a->l4 != b->l4 ||
	    memcmp(rte_pktmbuf_mtod(first, const uint8_t *),
		   rte_pktmbuf_mtod(packet, const uint8_t *), a->l2))
		return false;
	if (a->ipv6 ? memcmp(a->ip, b->ip, 4) || a->ip[7] != b->ip[7]
		    : a->ip[1] != b->ip[1] || memcmp(a->ip + 6, b->ip + 6, 3))
		return false;
	return !memcmp(a->tcp + 8, b->tcp + 8, 5) && !memcmp(a->tcp + 14, b->tcp + 14, 2) &&
	       !memcmp(a->tcp + 18, b->tcp + 18, (size_t)(a->l4 - 18));
}

static bool follows(const struct flow *flow, const struct rte_mbuf *packet,
		    const struct piece *piece)
{
	return !flow->push &&
	       flow->size ==
		       (uint32_t)flow->n * flow->piece.payload + flow->piece.l3 + flow->piece.l4 &&
	       piece->payload <= flow->piece.payload && flow->size + piece->payload <= MAX_IP &&
	       flow->packet->nb_segs + packet->nb_segs <= MAX_SEGMENTS &&
	       read_be32(piece->tcp + 4) == flow->sequence &&
	       (piece->ipv6 ||
		read_be16(piece->ip + 4) == (uint16_t)(read_be16(flow->piece.ip + 4) + flow->n)) &&
	       same_headers(flow->packet, &flow->piece, packet, piece);
}

static bool is_right(const struct rte_mbuf *packet, const struct piece *piece)
{
	if (!piece->ipv6 && rte_raw_cksum(piece->ip, IPV4_SIZE) != 0xffff)
		return false;
	if ((packet->ol_flags & RTE_MBUF_F_TX_L4_MASK) == RTE_MBUF_F_TX_TCP_CKSUM ||
	    (packet->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD)
		return true;
	return offload_tcp_is_right(packet, piece->l2, piece->l3);
}

// What was joined becomes a large packet.
static void finish(struct flow *flow)
{
	struct rte_mbuf *packet = flow->packet;
	uint8_t *ip = rte_pktmbuf_mtod_offset(packet, uint8_t *, flow->piece.l2);
	const rte_be16_t size = rte_cpu_to_be_16(
		(uint16_t)(flow->piece.ipv6 ? flow->size - IPV6_SIZE : flow->size));
	uint16_t sum = 0;

	if (flow->n == 1)
		return;
	packet->tx_offload = 0;
	packet->l2_len = flow->piece.l2 & PACKET_MAX_L2;
	packet->l3_len = flow->piece.l3 & 511;
	packet->l4_len = flow->piece.l4 & 255;
	packet->tso_segsz = flow->piece.payload;
	packet->ol_flags |= RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_TCP_CKSUM |
			    (flow->piece.ipv6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4);
	ip[flow->piece.l3 + 13] |= flow->push ? RTE_TCP_PSH_FLAG : 0;
	memcpy(ip + (flow->piece.ipv6 ? 4 : 2), &size, sizeof(size));
	if (flow->piece.ipv6)
		return;
	memcpy(ip + 10, &sum, sizeof(sum));
	sum = (uint16_t)~rte_raw_cksum(ip, IPV4_SIZE);
	memcpy(ip + 10, &sum, sizeof(sum));
}

static void start(struct flow *flow, struct rte_mbuf *packet, const struct piece *piece)
{
	*flow = (struct flow){
		.packet = packet,
		.last = rte_pktmbuf_lastseg(packet),
		.piece = *piece,
		.sequence = read_be32(piece->tcp + 4) + piece->payload,
		.size = (uint32_t)(piece->l3 + piece->l4 + piece->payload),
		.n = 1,
		.push = piece->tcp[13] & RTE_TCP_PSH_FLAG,
	};
}

static void join(struct flow *flow, struct rte_mbuf *packet, const struct piece *piece)
{
	flow->push = piece->tcp[13] & RTE_TCP_PSH_FLAG;
	rte_pktmbuf_adj(packet, (uint16_t)(piece->l2 + piece->l3 + piece->l4));
	flow->last->next = packet;
	flow->last = rte_pktmbuf_lastseg(packet);
	flow->packet->nb_segs = (uint16_t)(flow->packet->nb_segs + packet->nb_segs);
	flow->packet->pkt_len += piece->payload;
	flow->size += piece->payload;
	flow->sequence += piece->payload;
	flow->n++;
}

static struct flow *find(struct flows *flows, const struct piece *piece)
{
	for (unsigned int i = 0; i < flows->n; i++)
		if (flows->flows[i].packet && same_flow(&flows->flows[i].piece, piece))
			return &flows->flows[i];
	return NULL;
}

static void forget(struct flow *flow)
{
	if (flow->packet)
		finish(flow);
	flow->packet = NULL;
}

static void forget_all(struct flows *flows)
{
	for (unsigned int i = 0; i < flows->n; i++)
		forget(&flows->flows[i]);
	flows->n = 0;
}

// A place for a flow that is new; the oldest gives way.
static struct flow *place(struct flows *flows)
{
	struct flow *flow;

	if (flows->n < MAX_FLOWS)
		return &flows->flows[flows->n++];
	flow = &flows->flows[flows->next++ % MAX_FLOWS];
	forget(flow);
	return flow;
}

// True if the packet is part of an earlier one now.
static bool take(struct flows *flows, struct rte_mbuf *packet, uint32_t offloads)
{
	struct piece piece = { 0 };
	struct flow *flow;
	enum kind kind = classify(packet, &piece);

	if (kind == OTHER)
		return false;
	if (kind == HIDDEN) {
		forget_all(flows);
		return false;
	}
	flow = find(flows, &piece);
	if (kind == APART || !(offloads & (piece.ipv6 ? OFFLOAD_TSO6 : OFFLOAD_TSO4))) {
		if (flow)
			forget(flow);
		return false;
	}
	// The first one is looked at when there is a second: most packets have none.
	if (flow && follows(flow, packet, &piece) && is_right(packet, &piece) &&
	    (flow->n > 1 || is_right(flow->packet, &flow->piece))) {
		join(flow, packet, &piece);
		return true;
	}
	if (flow)
		forget(flow);
	start(flow ? flow : place(flows), packet, &piece);
	return false;
}

uint16_t gro_join(struct rte_mbuf **packets, uint16_t n, uint32_t offloads, uint64_t *joined)
{
	struct flows flows;
	uint16_t left = 0;

	flows.n = flows.next = 0;
	for (uint16_t i = 0; i < n; i++)
		if (!take(&flows, packets[i], offloads))
			packets[left++] = packets[i];
	forget_all(&flows);
	*joined += (uint64_t)(n - left);
	return left;
}
