// Packets of which something was left undone, through random actions to ports that take all of it,
// some of it or nothing: every frame that reaches a wire is right, and all of them together are what
// came in. Judged by wire.c, which shares nothing with the switch.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <linux/virtio_net.h>
#include <rte_cycles.h>
#include <rte_mempool.h>

#include "common/error.h"
#include "common/rcu.h"
#include "common/text.h"
#include "datapath/hot.h"
#include "datapath/learn.h"
#include "datapath/meter.h"
#include "datapath/stack.h"
#include "datapath/worker.h"
#include "flowtable/flow_text.h"
#include "flowtable/table.h"
#include "tests/unit/eal.h"
#include "tests/unit/packets.h"
#include "tests/unit/wire.h"
#include "vport/gso.h"

#define N_PORTS 5 // the first is where packets come in
#define MAX_SEGMENTS 1100
#define GSO_UDP_L4 5

enum kind { FINISHED, PARTIAL, CUT, FRAGMENTS, N_KINDS };

// What a packet is, and what the actions have made of it so far.
struct model {
	uint32_t n_tags, n_labels, n_nsh;
	uint16_t tags[WIRE_MAX_TAGS];
	uint8_t mac_source[6];
	bool ipv6, tcp;
	uint8_t source[16];
	uint16_t source_port;
	uint8_t ttl, tos;
	enum kind kind;
	uint32_t l4, headers; // where TCP or UDP begins as it came, and what is behind it
	uint32_t more_headers; // bytes that actions have put in front
	uint32_t n_payload, size; // of it and of each piece
};

struct sent {
	bool expected;
	struct model model;
	uint32_t n, bytes; // frames on the wire
	uint32_t n_flagged;
	uint32_t n_payload;
	uint8_t *payload; // put together; of fragments with the UDP header
	const char *problem;
};

struct test_port {
	struct vport vport;
	struct forwarding_port port;
	struct sent sent;
};

static struct test_port ports[N_PORTS];
static struct forwarding *forwarding;
static struct port_map_chunk chunk;
static struct worker *worker;
static uint8_t frame[WIRE_MAX_FRAME];
static uint32_t frame_size;
static struct model current;
static uint8_t last_tos; // of the last IPv4 packet that was sent anywhere
static uint64_t n_cut, n_whole, n_finished, n_too_long;

// --- The far side of a port ---

static const char *compare(const struct wire_frame *got, struct sent *sent)
{
	const struct model *want = &sent->model;

	if (got->n_tags != want->n_tags || memcmp(got->tags, want->tags, 2 * want->n_tags))
		return "tags";
	if (got->n_labels != want->n_labels || got->n_nsh != want->n_nsh)
		return "headers in front";
	if (memcmp(got->mac_source, want->mac_source, 6))
		return "MAC address";
	if (got->ipv6 != want->ipv6 || memcmp(got->source, want->source, want->ipv6 ? 16 : 4))
		return "address";
	if (got->ttl != want->ttl || got->tos != want->tos)
		return "TTL or TOS";
	if (!got->fragment_offset && got->source_port != want->source_port)
		return "port";
	if (got->fragment != (want->kind == FRAGMENTS))
		return "fragments";
	return NULL;
}

// The place of a piece in the whole, as it says itself.
static const char *add_piece(const struct wire_frame *got, struct sent *sent)
{
	const struct model *want = &sent->model;
	const bool last = sent->n_payload + got->n_payload ==
			  want->n_payload + (want->kind == FRAGMENTS ? 8 : 0);
	const bool first = sent->n == 0;

	if (want->tcp) {
		if (got->sequence != 0xfffff000u + sent->n_payload)
			return "sequence number";
		if (got->flags != (0x10 | (first ? 0x80 : 0) | (last ? 0x09 : 0)))
			return "TCP flags";
	}
	if (want->kind == FRAGMENTS &&
	    (got->fragment_offset != sent->n_payload || got->more == last))
		return "place of a fragment";
	if (!want->ipv6 &&
	    got->identification != (uint16_t)(0xfffe + (want->kind == CUT ? sent->n : 0)))
		return "IPv4 identification";
	if (want->kind >= CUT && !last && got->n_payload != want->size)
		return "size of a piece";
	if (sent->n_payload + got->n_payload > want->n_payload + 8)
		return "too much";
	memcpy(sent->payload + sent->n_payload, got->payload, got->n_payload);
	sent->n_payload += got->n_payload;
	return NULL;
}

static void on_wire(void *context, const uint8_t *bytes, uint32_t size)
{
	struct test_port *port = context;
	struct wire_frame got;
	const char *problem = wire_judge(bytes, size, false, &got);

	if (!problem)
		problem = compare(&got, &port->sent);
	if (!problem)
		problem = add_piece(&got, &port->sent);
	if (!problem && size > port->vport.mtu + 22)
		problem = "longer than the MTU";
	port->sent.n++;
	port->sent.bytes += size;
	if (problem && !port->sent.problem)
		port->sent.problem = problem;
}

static void take_order(const struct virtio_net_hdr *header, struct wire_order *order)
{
	*order = (struct wire_order){
		.checksum = header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.start = header->csum_start,
		.offset = header->csum_offset,
		.ecn = header->gso_type & VIRTIO_NET_HDR_GSO_ECN,
		.size = header->gso_size,
	};
	switch (header->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
		order->cut = WIRE_TCP4;
		break;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		order->cut = WIRE_TCP6;
		break;
	case GSO_UDP_L4:
		order->cut = WIRE_UDP;
		break;
	}
}

static const char *receive(struct test_port *port, struct rte_mbuf *packet)
{
	static uint8_t bytes[WIRE_MAX_FRAME];
	struct virtio_net_hdr header = { .gso_type = VIRTIO_NET_HDR_GSO_NONE };
	const uint32_t offloads = port->vport.offloads;
	const uint32_t size = packet->pkt_len;
	struct wire_order order;
	struct wire_frame undone;
	const char *problem;

	if (packet->ol_flags & PACKET_OFFLOADS) {
		port->sent.n_flagged++;
		if (!offloads)
			return "something undone that the port does not take";
		offload_to_virtio(packet, &header);
	}
	for (uint32_t done = 0; packet; packet = packet->next) {
		memcpy(bytes + done, rte_pktmbuf_mtod(packet, void *), packet->data_len);
		done += packet->data_len;
	}
	take_order(&header, &order);
	if ((order.cut == WIRE_TCP4 && !(offloads & OFFLOAD_TSO4)) ||
	    (order.cut == WIRE_TCP6 && !(offloads & OFFLOAD_TSO6)) ||
	    (order.cut == WIRE_UDP && !(offloads & OFFLOAD_USO)) ||
	    (order.ecn && !(offloads & OFFLOAD_ECN)))
		return "to be cut for a port that does not";
	problem = wire_judge(bytes, size, order.checksum, &undone);
	return problem ? problem : wire_send(bytes, size, &order, on_wire, port);
}

static uint16_t receive_tx(struct vport *vport, uint16_t queue, struct rte_mbuf **packets,
			   uint16_t n)
{
	struct test_port *port = (struct test_port *)vport;

	(void)queue;
	for (unsigned int i = 0; i < n; i++) {
		const char *problem =
			port->sent.expected ? receive(port, packets[i]) : "not sent there";

		if (problem && !port->sent.problem)
			port->sent.problem = problem;
		last_tos = *rte_pktmbuf_mtod_offset(packets[i], uint8_t *, 15);
		rte_pktmbuf_free(packets[i]);
	}
	return n;
}

static const struct vport_class receiver = {
	.type = "receiver",
	.size = sizeof(struct test_port),
	.tx = receive_tx,
	.tx_thread_safe = true,
};

// --- The switch ---

static void *create_aligned(size_t size)
{
	void *memory = aligned_alloc(64, (size + 63) / 64 * 64);

	if (!memory)
		abort();
	return memset(memory, 0, size);
}

static void switch_create(void)
{
	worker = create_aligned(sizeof(*worker));
	worker->counters = counter_set_create();
	worker->ports = calloc(VPORT_MAX, sizeof(*worker->ports));
	worker->tx = calloc(VPORT_MAX, sizeof(*worker->tx));
	worker->stacks = calloc(VECTOR_SIZE, sizeof(*worker->stacks));
	worker->learn = learn_queue_create();
	forwarding = create_aligned(sizeof(*forwarding));
	forwarding->name = "test";
	forwarding->ports[0] = &chunk;
	forwarding->lines = KEY_LINES_HEADERS | ((1 << KEY_LINES) - 1);
	for (unsigned int i = 0; i < N_PORTS; i++) {
		struct test_port *port = &ports[i];

		port->vport.class = &receiver;
		port->vport.index = (uint16_t)(i + 1);
		port->vport.n_rxq = port->vport.n_txq = 1;
		port->vport.polled = true;
		port->vport.forwarding = forwarding;
		port->vport.ofport = i + 1;
		port->vport.status.link_up = true;
		port->port.vport = &port->vport;
		port->port.ofport = i + 1;
		port->port.admin_up = true;
		port->port.vlan_tag = -1;
		memset(port->port.trunks, 0xff, sizeof(port->port.trunks));
		port->sent.payload = malloc(WIRE_MAX_FRAME);
		chunk.ports[i + 1] = &port->port;
	}
	ports[2].vport.offloads = OFFLOAD_CHECKSUM;
	ports[3].vport.offloads = OFFLOAD_CHECKSUM | OFFLOAD_TSO4 | OFFLOAD_TSO6;
	ports[4].vport.offloads = OFFLOAD_ALL & ~OFFLOAD_UFO;
}

static struct flow *flow_put(const char *string)
{
	struct flow_text text;
	struct error error;
	struct flow *flow;

	if (flow_text_parse(string, FLOW_TEXT_ADD, NULL, &text, &error))
		fail_msg("%s: %s", string, error.message);
	forwarding->tables[0] = table_create(0);
	flow = flow_create(&text);
	assert_int_equal(table_insert(forwarding->tables[0], flow), 0);
	flow_text_release(&text);
	return flow;
}

static void flow_take(struct flow *flow)
{
	table_remove(forwarding->tables[0], flow);
	flow_defer_free(flow);
	table_destroy(forwarding->tables[0]);
	forwarding->tables[0] = NULL;
	rcu_barrier();
}

// --- Packets ---

static uint8_t *extend(uint32_t size)
{
	uint8_t *at = frame + frame_size;

	memset(at, 0, size);
	frame_size += size;
	return at;
}

static uint32_t sum_words(const uint8_t *at, uint32_t n, uint32_t sum)
{
	for (uint32_t i = 0; i + 1 < n; i += 2)
		sum += (uint32_t)(at[i] << 8 | at[i + 1]);
	return sum + (n & 1 ? (uint32_t)at[n - 1] << 8 : 0);
}

static uint16_t fold(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static void make_ethernet(struct random *random)
{
	uint8_t *at = extend(12);

	memcpy(at, "\x02\0\0\0\0\x01\x02\0\0\0\0\x02", 12);
	memcpy(current.mac_source, at + 6, 6);
	current.n_tags = random_below(random, 3);
	for (unsigned int i = 0; i < current.n_tags; i++) {
		at = extend(4);
		ref_put16(at, current.n_tags == 2 && !i ? 0x88a8 : 0x8100);
		current.tags[i] = (uint16_t)random_below(random, 4096);
		ref_put16(at + 2, current.tags[i]);
	}
	ref_put16(extend(2), current.ipv6 ? 0x86dd : 0x0800);
}

static void make_ip(struct random *random, uint32_t l4_size)
{
	const uint32_t options = random_chance(random, 20) ? 8 * (1 + random_below(random, 4)) : 0;
	const uint32_t l3 = frame_size;
	uint8_t *ip;

	current.ttl = (uint8_t)(2 + random_below(random, 200));
	current.tos = (uint8_t)(random_below(random, 64) << 2);
	for (unsigned int i = 0; i < 16; i++)
		current.source[i] = (uint8_t)random_next(random);
	if (current.ipv6) {
		ip = extend(40 + options);
		ip[0] = (uint8_t)(0x60 | current.tos >> 4);
		ip[1] = (uint8_t)(current.tos << 4);
		ref_put16(ip + 4, (uint16_t)(options + l4_size));
		ip[6] = options ? 60 : current.tcp ? 6 : 17;
		ip[7] = current.ttl;
		memcpy(ip + 8, current.source, 16);
		memset(ip + 24, 0xfe, 16);
		if (options) {
			ip[40] = current.tcp ? 6 : 17;
			ip[41] = (uint8_t)(options / 8 - 1);
		}
	} else {
		ip = extend(20 + options);
		memset(ip + 20, 1, options);
		ip[0] = (uint8_t)(0x45 + options / 4);
		ip[1] = current.tos;
		ref_put16(ip + 2, (uint16_t)(frame_size - l3 + l4_size));
		ref_put16(ip + 4, 0xfffe);
		ip[8] = current.ttl;
		ip[9] = current.tcp ? 6 : 17;
		memcpy(ip + 12, current.source, 4);
		memset(ip + 16, 0x0a, 4);
		ref_put16(ip + 10, (uint16_t)~fold(sum_words(ip, frame_size - l3, 0)));
	}
}

static void make_l4(struct random *random, uint32_t header)
{
	const uint32_t size = header + current.n_payload;
	const uint8_t *addresses;
	uint32_t pseudo, field;
	uint8_t *l4;

	current.l4 = frame_size;
	l4 = extend(size);
	addresses = current.ipv6 ? frame + 14 + 4 * current.n_tags + 8
				 : frame + 14 + 4 * current.n_tags + 12;
	current.source_port = (uint16_t)random_next(random);
	ref_put16(l4, current.source_port);
	ref_put16(l4 + 2, 80);
	if (current.tcp) {
		memcpy(l4 + 4, "\xff\xff\xf0\0", 4); // wraps
		l4[12] = (uint8_t)(header / 4 << 4);
		l4[13] = 0x99; // CWR ACK PSH FIN
		memset(l4 + 20, 1, header - 20);
	} else {
		ref_put16(l4 + 4, (uint16_t)size);
	}
	for (uint32_t i = header; i < size; i++)
		l4[i] = (uint8_t)random_next(random);
	pseudo = sum_words(addresses, current.ipv6 ? 32 : 8, size + (current.tcp ? 6u : 17u));
	field = current.tcp ? 16 : 6;
	ref_put16(l4 + field, fold(pseudo));
	if (current.kind != FINISHED)
		return;
	ref_put16(l4 + field, 0);
	pseudo = (uint16_t)~fold((uint64_t)fold(pseudo) + fold(sum_words(l4, size & ~1u, 0)) +
				 (size & 1 ? (uint32_t)l4[size - 1] << 8 : 0));
	ref_put16(l4 + field, (uint16_t)(pseudo ? pseudo : 0xffff));
}

// A packet of any kind, in `frame`, described by `current`.
static void make(struct random *random)
{
	uint32_t header;

	memset(&current, 0, sizeof(current));
	frame_size = 0;
	current.ipv6 = random_chance(random, 50);
	current.tcp = random_chance(random, 50);
	current.kind = random_below(random, N_KINDS);
	if (current.kind == FRAGMENTS)
		current.tcp = false;
	header = current.tcp ? 20 + 4 * random_below(random, 11) : 8;
	if (current.kind < CUT) {
		current.n_payload = random_below(random, random_chance(random, 80) ? 1300 : 9000);
	} else {
		current.size = 64 + random_below(random, random_chance(random, 80) ? 1400 : 8800);
		if (current.kind == FRAGMENTS)
			current.size &= ~7u;
		current.n_payload = current.size + 1 +
				    random_below(random, random_chance(random, 80) ? 8000 : 64000);
		current.n_payload = RTE_MIN(current.n_payload, 64000u);
		current.n_payload = RTE_MIN(current.n_payload, 1000 * current.size);
	}
	make_ethernet(random);
	make_ip(random, header + current.n_payload);
	make_l4(random, header);
	current.headers = current.l4 + (current.kind == FRAGMENTS ? 0 : header);
}

// As the port's code would: by a virtio header, or by what the vhost library says.
static struct rte_mbuf *receive_in(struct random *random)
{
	struct rte_mbuf *packet = rte_pktmbuf_alloc(packet_pool());
	struct virtio_net_hdr header = { .gso_type = VIRTIO_NET_HDR_GSO_NONE };
	uint32_t done = RTE_MIN(frame_size, current.l4 + 60 + random_below(random, 400));

	assert_true(packet_append(packet, frame, done));
	while (done < frame_size) {
		struct rte_mbuf *segment = rte_pktmbuf_alloc(packet_pool());
		uint32_t size = RTE_MIN(frame_size - done, 1 + random_below(random, 2000));

		if (packet->nb_segs > 60) // 64 KiB in tiny ones would need too many
			size = RTE_MIN(frame_size - done, rte_pktmbuf_tailroom(segment));
		memcpy(rte_pktmbuf_append(segment, (uint16_t)size), frame + done, size);
		assert_int_equal(rte_pktmbuf_chain(packet, segment), 0);
		done += size;
	}
	if (current.kind == FINISHED)
		return packet;
	if (current.kind != CUT || current.tcp)
		if (random_chance(random, 50)) {
			packet->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_NONE;
			if (current.kind >= CUT) {
				packet->ol_flags |= RTE_MBUF_F_RX_LRO;
				packet->tso_segsz = (uint16_t)current.size;
			}
			assert_int_equal(offload_from_vhost(packet), 0);
			return packet;
		}
	header.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	header.csum_start = (uint16_t)current.l4;
	header.csum_offset = current.tcp ? 16 : 6;
	header.gso_size = (uint16_t)current.size;
	if (current.kind == FRAGMENTS)
		header.gso_type = VIRTIO_NET_HDR_GSO_UDP;
	else if (current.kind == CUT)
		header.gso_type = !current.tcp ? GSO_UDP_L4
				  : current.ipv6
					  ? VIRTIO_NET_HDR_GSO_TCPV6 | VIRTIO_NET_HDR_GSO_ECN
					  : VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN;
	assert_int_equal(offload_from_virtio(packet, &header), 0);
	return packet;
}

// --- Actions ---

static void pop_tag(struct model *model)
{
	model->n_tags--;
	memmove(model->tags, model->tags + 1, sizeof(model->tags) - 2);
	model->more_headers -= 4;
}

static void push_tag(struct model *model, uint16_t id)
{
	memmove(model->tags + 1, model->tags, sizeof(model->tags) - 2);
	model->tags[0] = id;
	model->n_tags++;
	model->more_headers += 4;
}

// One action that leaves a packet that all other actions still work on.
static void act(struct random *random, struct model *model, struct text *text)
{
	const unsigned int number = random_below(random, 4096);

	switch (random_below(random, 7)) {
	case 0:
		model->source_port = (uint16_t)number;
		text_addf(text, ",set_field:%u->%s", number, model->tcp ? "tcp_src" : "udp_src");
		break;
	case 1:
		if (model->ipv6) {
			memset(model->source, 0, 16);
			model->source[0] = 0xfd;
			model->source[14] = (uint8_t)(number >> 8);
			model->source[15] = (uint8_t)number;
			text_addf(text, ",set_field:fd00::%x->ipv6_src", number);
		} else {
			memcpy(model->source,
			       (uint8_t[]){ 10, 1, (uint8_t)(number >> 8), (uint8_t)number }, 4);
			text_addf(text, ",set_field:10.1.%u.%u->ip_src", number >> 8, number & 255);
		}
		break;
	case 2:
		if (model->ttl < 3)
			break;
		model->ttl--;
		text_add(text, ",dec_ttl");
		break;
	case 3:
		model->tos = (uint8_t)(number & 0xfc);
		text_addf(text, ",mod_nw_tos:%u", model->tos);
		break;
	case 4:
		model->mac_source[5] = (uint8_t)number;
		text_addf(text, ",mod_dl_src:02:00:00:00:00:%02x", number & 255);
		break;
	case 5:
		if (model->n_tags == 2)
			break;
		push_tag(model, (uint16_t)number);
		text_addf(text, ",push_vlan:0x8100,set_field:%u->vlan_vid", number | 4096);
		break;
	case 6:
		if (!model->n_tags)
			break;
		pop_tag(model);
		text_add(text, ",pop_vlan");
		break;
	}
}

// One that leaves something that few ports know how to finish, or of which the parser of flows does not
// know any more what it is.
static void act_last(struct random *random, struct model *model, struct text *text)
{
	switch (random_below(random, 5)) {
	case 0:
		model->n_labels = 1 + random_below(random, 3);
		model->more_headers += 4 * model->n_labels;
		for (unsigned int i = 0; i < model->n_labels; i++)
			text_add(text, ",push_mpls:0x8847");
		break;
	case 1:
		model->n_nsh = 1;
		model->more_headers += 14 + 24;
		text_add(text, ",encap(nsh(md_type=1))");
		break;
	case 2:
		for (unsigned int i = model->n_tags; i < 4; i++) {
			push_tag(model, 7);
			text_add(text, ",push_vlan:0x8100,set_field:4103->vlan_vid");
		}
		break;
	case 3:
		text_addf(text, ",push_mpls:0x8847,pop_mpls:%s", model->ipv6 ? "0x86dd" : "0x0800");
		break;
	case 4:
		text_add(text, ",encap(nsh(md_type=1)),decap()");
		break;
	}
}

static void output(struct random *random, struct model *model, struct text *text)
{
	struct test_port *port = &ports[1 + random_below(random, N_PORTS - 1)];

	if (port->sent.expected)
		return;
	port->sent.expected = true;
	port->sent.model = *model;
	text_addf(text, ",output:%u", port->port.ofport);
}

static const char *actions_make(struct random *random, struct text *text)
{
	static const char *const protocols[] = { "udp", "udp6", "tcp", "tcp6" };
	struct model model = current;

	text_clear(text);
	text_addf(text, "table=0,priority=1,%s,actions=set_field:1->reg0",
		  protocols[2 * current.tcp + current.ipv6]);
	for (unsigned int n = random_below(random, 6); n > 0; n--)
		if (random_chance(random, 30))
			output(random, &model, text);
		else
			act(random, &model, text);
	if (random_chance(random, 30))
		act_last(random, &model, text);
	for (unsigned int n = random_below(random, 4); n > 0; n--)
		output(random, &model, text);
	return text->data;
}

// --- Judging ---

static uint32_t pieces(const struct model *model)
{
	const uint32_t all = model->n_payload + (model->kind == FRAGMENTS ? 8 : 0);

	return model->kind < CUT ? 1 : (all + model->size - 1) / model->size;
}

static uint32_t piece_headers(const struct model *model)
{
	return model->headers + model->more_headers +
	       (model->kind == FRAGMENTS && model->ipv6 ? 8 : 0);
}

static uint32_t wire_bytes(const struct model *model)
{
	return pieces(model) * piece_headers(model) + model->n_payload +
	       (model->kind == FRAGMENTS ? 8 : 0);
}

static const char *check_payload(const struct test_port *port)
{
	const struct model *model = &port->sent.model;
	const uint32_t header = model->kind == FRAGMENTS ? 8 : 0;
	struct wire_frame like = { .ipv6 = model->ipv6 };

	if (port->sent.n_payload != model->n_payload + header)
		return "bytes lost";
	if (memcmp(port->sent.payload + header, frame + frame_size - model->n_payload,
		   model->n_payload))
		return "other bytes";
	memcpy(like.source, model->source, 16);
	memset(like.destination, model->ipv6 ? 0xfe : 0x0a, 16);
	if (header && !wire_udp_right(&like, port->sent.payload, port->sent.n_payload))
		return "checksum of the whole datagram";
	return NULL;
}

static const char *check_port(const struct test_port *port)
{
	const struct port_counters *counters = &worker->ports[port->vport.index];
	const struct model *model = &port->sent.model;
	uint32_t longest;

	if (port->sent.problem || !port->sent.expected)
		return port->sent.problem;
	longest = piece_headers(model) +
		  (model->kind < CUT ? model->n_payload : RTE_MIN(model->size, model->n_payload));
	if (longest > port->vport.mtu + 22) {
		n_too_long++;
		if (port->sent.n || counters->tx_packets)
			return "sent though too long";
		return counters->tx_drops[DROP_TX_MTU] == pieces(model) ? NULL : "drops of the MTU";
	}
	if (port->sent.n != pieces(model))
		return "number of frames";
	if (counters->tx_packets != port->sent.n || counters->tx_bytes != port->sent.bytes)
		return "counted otherwise than on the wire";
	if (port->sent.bytes != wire_bytes(model))
		return "bytes on the wire";
	if (port->sent.n_flagged && model->kind >= CUT && port->sent.n_flagged < port->sent.n)
		n_whole++;
	else if (model->kind >= CUT)
		n_cut++;
	else
		n_finished++;
	return check_payload(port);
}

static const char *check_conservation(const struct flow *flow, struct counter before)
{
	uint64_t in = worker->ports[1].rx_packets + worker->n_copies, out = 0;
	struct counter after = counter_read(flow->counter);

	if (worker->ports[1].rx_packets != pieces(&current) ||
	    worker->ports[1].rx_bytes != wire_bytes(&current))
		return "received otherwise than on the wire";
	if (after.packets - before.packets != pieces(&current) ||
	    after.bytes - before.bytes != wire_bytes(&current))
		return "the flow's counter";
	for (unsigned int i = 1; i <= N_PORTS; i++) {
		out += worker->ports[i].tx_packets;
		for (unsigned int reason = 0; reason < N_DROPS; reason++)
			out += worker->ports[i].rx_drops[reason] +
			       worker->ports[i].tx_drops[reason];
	}
	return in == out ? NULL : "not conserved";
}

static void ports_reset(struct random *random)
{
	static const unsigned int mtus[] = { 1500, 1500, 9000, 400 };

	memset(worker->ports, 0, (N_PORTS + 1) * sizeof(*worker->ports));
	worker->n_copies = 0;
	for (unsigned int i = 0; i < N_PORTS; i++) {
		uint8_t *payload = ports[i].sent.payload;

		ports[i].sent = (struct sent){ .payload = payload };
		ports[i].vport.mtu = mtus[random_below(random, 4)];
	}
}

static void every_frame_is_right(void **state)
{
	const char *const *levels = test_hot_levels();
	struct random random = { random_seed() };
	unsigned int n = random_iterations(30000), n_levels = 0;
	struct text text = { 0 };

	(void)state;
	while (levels[n_levels])
		n_levels++;
	for (unsigned int i = 0; i < n; i++) {
		const unsigned int level = random_below(&random, n_levels);
		const char *problem = NULL, *string;
		struct rte_mbuf *packet;
		struct counter before;
		struct flow *flow;

		hot_select(levels[level], NULL);
		make(&random);
		ports_reset(&random);
		string = actions_make(&random, &text);
		flow = flow_put(string);
		before = counter_read(flow->counter);
		packet = receive_in(&random);
		hot->forward(worker, forwarding, &ports[0].port, &packet, 1);
		for (unsigned int p = 0; p < N_PORTS && !problem; p++) {
			problem = check_port(&ports[p]);
			if (problem)
				print_message("port %u: ", p + 1);
		}
		if (!problem)
			problem = check_conservation(flow, before);
		if (!problem && rte_mempool_in_use_count(packet_pool()))
			problem = "buffers lost";
		if (problem)
			fail_msg("packet %u, %s: %s\nkind %u, %s %s, %u tags, %u bytes in %u, "
				 "frame %u bytes, l4 at %u\n%s",
				 i, levels[level], problem, current.kind,
				 current.ipv6 ? "IPv6" : "IPv4", current.tcp ? "TCP" : "UDP",
				 current.n_tags, current.n_payload, current.size, frame_size,
				 current.l4, string);
		flow_take(flow);
	}
	print_message("%u packets: %llu left whole, %llu cut, %llu finished, %llu too long\n", n,
		      (unsigned long long)n_whole, (unsigned long long)n_cut,
		      (unsigned long long)n_finished, (unsigned long long)n_too_long);
	assert_true(n < 10000 || (n_whole > 500 && n_cut > 500 && n_finished > 500));
	text_free(&text);
}

// --- Single matters ---

// A TCP packet of 10 pieces and a half, over IPv4 without options.
static void make_plain(struct random *random, uint32_t size)
{
	memset(&current, 0, sizeof(current));
	frame_size = 0;
	current.tcp = true;
	current.kind = CUT;
	current.size = size;
	current.n_payload = 10 * size + size / 2;
	do {
		frame_size = 0;
		make_ethernet(random);
	} while (current.n_tags);
	do {
		frame_size = 14;
		make_ip(random, 20 + current.n_payload);
	} while (frame_size != 34);
	make_l4(random, 20);
	current.headers = current.l4 + 20;
}

static void send_through(struct random *random, const char *string)
{
	struct flow *flow;
	struct rte_mbuf *packet;

	hot_select(test_hot_levels()[0], NULL);
	ports_reset(random);
	for (unsigned int i = 0; i < N_PORTS; i++)
		ports[i].vport.mtu = 1500;
	make_plain(random, 1000);
	flow = flow_put(string);
	packet = receive_in(random);
	hot->forward(worker, forwarding, &ports[0].port, &packet, 1);
	assert_null(check_conservation(flow, (struct counter){ 0 }));
	assert_int_equal(rte_mempool_in_use_count(packet_pool()), 0);
	flow_take(flow);
}

// Each frame that the packet would be is cut, and the packet behind it goes on whole.
static void each_piece_is_truncated(void **state)
{
	static const uint32_t lengths[] = { 14, 60, 553, 554, 555, 1053, 1054, 1055, 9000 };
	struct random random = { random_seed() };

	(void)state;
	for (unsigned int i = 0; i < RTE_DIM(lengths); i++) {
		struct text text = { 0 };
		uint64_t bytes;

		for (unsigned int p = 1; p < N_PORTS; p++) {
			text_clear(&text);
			text_addf(&text, "table=0,priority=1,actions=output(port=%u,max_len=%u)",
				  p + 1, lengths[i]);
			send_through(&random, text.data);
			bytes = 10ull * RTE_MIN(lengths[i], 1054u) + RTE_MIN(lengths[i], 554u);
			assert_int_equal(worker->ports[p + 1].tx_packets, 11);
			assert_int_equal(worker->ports[p + 1].tx_bytes, bytes);
		}
		text_free(&text);
	}
}

// A meter counts, and measures, what is on the wire.
static void meters_count_pieces(void **state)
{
	struct random random = { random_seed() };
	struct meter_text text;
	struct meter *meter;
	struct counter counter;

	(void)state;
	assert_int_equal(meter_text_parse("meter=1,pktps,burst,bands=type=drop,rate=8,burst_size=8",
					  METER_TEXT_ADD, &text, NULL),
			 0);
	meter = meter_create(&text, NULL, rte_get_tsc_hz(), rte_rdtsc());
	assert_true(meter_table_set(&forwarding->meters, 1, meter) >= 0);
	send_through(&random, "table=0,priority=1,actions=meter:1,output:2");
	counter = counter_read(meter->counter);
	assert_int_equal(counter.packets, 11);
	assert_int_equal(counter.bytes, 11 * 54 + 10500);
	// 11 are more than 8 in one go: all of them are dropped together.
	assert_int_equal(worker->ports[1].rx_drops[DROP_METER], 11);
	assert_int_equal(worker->ports[2].tx_packets, 0);
	free(forwarding->meters->chunks[0]);
	free(forwarding->meters);
	forwarding->meters = NULL;
	meter_free(meter);
}

// The size that matters is that of a piece.
static void larger_is_said_of_pieces(void **state)
{
	struct random random = { random_seed() };

	(void)state;
	for (unsigned int size = 1052; size < 1057; size++) {
		struct text text = { 0 };

		text_addf(&text,
			  "table=0,priority=1,ip,actions=check_pkt_larger(%u)->reg0[0],"
			  "move:reg0[0]->ip_dscp[0],output:2",
			  size);
		ports_reset(&random);
		send_through(&random, text.data);
		// Bit 0 of the DSCP is bit 2 of the byte.
		assert_int_equal(last_tos & 4, 1054 > size ? 4 : 0);
		text_free(&text);
	}
}

// Headers that cannot be true are refused, and touch nothing outside of the packet.
static void lies_are_refused(void **state)
{
	struct random random = { random_seed() };
	unsigned int n = random_iterations(200000), refused = 0, cut = 0;

	(void)state;
	for (unsigned int i = 0; i < n; i++) {
		struct virtio_net_hdr header;
		struct rte_mbuf *packet, *piece;
		unsigned int pieces_made = 0;
		struct gso gso;
		int result;

		make(&random);
		if (frame_size > 4000)
			frame_size = 60 + random_below(&random, 4000);
		for (unsigned int flips = random_below(&random, 4); flips > 0; flips--)
			frame[random_below(&random, RTE_MIN(frame_size, 90u))] =
				(uint8_t)random_next(&random);
		if (random_chance(&random, 20))
			frame_size = 1 + random_below(&random, frame_size);
		packet = packet_from_bytes(frame, frame_size);
		assert_non_null(packet);
		if (random_chance(&random, 50)) {
			header = (struct virtio_net_hdr){
				.flags = (uint8_t)random_below(&random, 4),
				.gso_type = random_chance(&random, 80)
						    ? (uint8_t)random_below(&random, 6)
						    : (uint8_t)random_next(&random),
				.hdr_len = (uint16_t)random_next(&random),
				.gso_size = (uint16_t)random_below(
					&random, random_chance(&random, 50) ? 1500 : 65536),
				.csum_start = (uint16_t)random_below(
					&random, random_chance(&random, 50) ? 80 : 65536),
				.csum_offset = (uint16_t)random_below(
					&random, random_chance(&random, 80) ? 20 : 65536),
			};
			result = offload_from_virtio(packet, &header);
		} else {
			packet->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_NONE;
			if (random_chance(&random, 50))
				packet->ol_flags |= RTE_MBUF_F_RX_LRO;
			packet->tso_segsz = (uint16_t)random_below(&random, 1500);
			result = offload_from_vhost(packet);
		}
		if (result) {
			refused++;
		} else if (packet_is_large(packet)) {
			cut++;
			gso_start(&gso, packet);
			while (gso_more(&gso)) {
				piece = gso_next(&gso);
				assert_non_null(piece);
				assert_true(piece->pkt_len <= packet_wire_longest(packet));
				if (piece->ol_flags & PACKET_OFFLOADS)
					offload_complete(piece);
				rte_pktmbuf_free(piece);
				pieces_made++;
			}
			assert_int_equal(pieces_made, packet_wire_count(packet));
		} else if (packet->ol_flags & PACKET_OFFLOADS) {
			offload_complete(packet);
		}
		rte_pktmbuf_free(packet);
	}
	print_message("%u refused, %u cut of %u\n", refused, cut, n);
	assert_true(n < 10000 || (refused > 1000 && cut > 1000));
	assert_int_equal(rte_mempool_in_use_count(packet_pool()), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_frame_is_right), cmocka_unit_test(each_piece_is_truncated),
		cmocka_unit_test(meters_count_pieces),  cmocka_unit_test(larger_is_said_of_pieces),
		cmocka_unit_test(lies_are_refused),
	};
	int failed;

	test_eal_init(8191);
	switch_create();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	test_eal_end();
	return failed;
}
