// Joining: random batches of flows that go on, stop, repeat and lie. What comes out is cut by a card
// that shares nothing with the switch (wire.c), and has to be what went in, to the last byte and in the
// same order within each flow.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <linux/virtio_net.h>
#include <rte_mempool.h>

#include "tests/unit/eal.h"
#include "tests/unit/packets.h"
#include "tests/unit/wire.h"
#include "vport/gro.h"
#include "vport/offload.h"
#include "vport/packet.h"

#define N_FLOWS 12
#define BATCH 64
#define MAX_FRAME 2000

struct frame {
	uint32_t size;
	uint8_t bytes[MAX_FRAME];
};

struct test_flow {
	bool ipv6, partial;
	unsigned int n_tags, l4, options;
	uint32_t sequence;
	uint16_t identification, size;
	uint8_t ack, ttl;
	unsigned int n, seen; // frames that went in, that came out
	struct frame frames[BATCH];
};

static struct test_flow flows[N_FLOWS];
static uint64_t n_large, n_joined;

static uint32_t sum_words(const uint8_t *at, uint32_t n, uint32_t sum)
{
	for (uint32_t i = 0; i < n; i++)
		sum += i & 1 ? at[i] : (uint32_t)at[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static void flow_start(struct random *random, unsigned int index)
{
	struct test_flow *flow = &flows[index];

	memset(flow, 0, offsetof(struct test_flow, frames));
	flow->ipv6 = random_chance(random, 50);
	flow->partial = random_chance(random, 30);
	flow->n_tags = random_chance(random, 30) ? 1 + random_below(random, 2) : 0;
	flow->options = random_chance(random, 50) ? 12 : 0;
	flow->l4 = 14 + 4 * flow->n_tags + (flow->ipv6 ? 40 : 20);
	flow->sequence = 0xffffffffu - random_below(random, 20000);
	flow->identification = (uint16_t)(0xffff - random_below(random, 20));
	flow->size = (uint16_t)(100 + random_below(random, 1349));
	flow->ttl = 64;
}

static void set_checksums(struct test_flow *flow, uint8_t *bytes, uint32_t size, bool partial)
{
	const uint32_t l3 = flow->l4 - (flow->ipv6 ? 40 : 20), length = size - flow->l4;
	uint32_t sum = flow->ipv6 ? sum_words(bytes + l3 + 8, 32, length + 6)
				  : sum_words(bytes + l3 + 12, 8, length + 6);

	if (!flow->ipv6)
		ref_put16(bytes + l3 + 10, 0);
	ref_put16(bytes + flow->l4 + 16, 0);
	if (!flow->ipv6)
		ref_put16(bytes + l3 + 10, (uint16_t)~sum_words(bytes + l3, 20, 0));
	if (partial) {
		ref_put16(bytes + flow->l4 + 16, (uint16_t)sum);
		return;
	}
	sum = ~sum_words(bytes + flow->l4, length, sum) & 0xffff;
	ref_put16(bytes + flow->l4 + 16, (uint16_t)(sum ? sum : 0xffff));
}

// The next frame of a flow, which mostly goes on as it should.
static struct frame *frame_make(struct random *random, unsigned int index, bool calm)
{
	struct test_flow *flow = &flows[index];
	struct frame *frame = &flow->frames[flow->n++];
	const unsigned int odd = calm ? 100 : random_below(random, 48);
	uint32_t payload = odd == 0 ? random_below(random, 1440) : flow->size;
	const uint32_t l3 = flow->l4 - (flow->ipv6 ? 40 : 20);
	uint8_t *bytes = frame->bytes, *ip = bytes + l3, *tcp = bytes + flow->l4;

	flow->sequence += odd == 1 ? random_below(random, 2000) : 0;
	flow->identification = (uint16_t)(flow->identification + (odd == 2));
	flow->ack = (uint8_t)(flow->ack + (odd == 3));
	flow->ttl = (uint8_t)(flow->ttl - (odd == 4));
	frame->size = flow->l4 + 20 + flow->options + payload;
	memset(bytes, 0, frame->size - payload);
	memcpy(bytes, "\x02\0\0\0\0\x01\x02\0\0\0\0\x02", 12);
	for (unsigned int i = 0; i < flow->n_tags; i++)
		memcpy(bytes + 12 + 4 * i, i ? "\x81\0\0\x02" : "\x88\xa8\0\x01", 4);
	ref_put16(ip - 2, flow->ipv6 ? 0x86dd : 0x0800);
	if (flow->ipv6) {
		ip[0] = 0x60;
		ref_put16(ip + 4, (uint16_t)(frame->size - flow->l4));
		ip[6] = 6;
		ip[7] = flow->ttl;
		ip[23] = (uint8_t)index;
	} else {
		ip[0] = 0x45;
		ref_put16(ip + 2, (uint16_t)(frame->size - l3));
		ref_put16(ip + 4, flow->identification++);
		ip[6] = index & 1 ? 0x40 : 0;
		ip[8] = flow->ttl;
		ip[9] = 6;
		ip[15] = (uint8_t)index;
	}
	ref_put16(tcp, (uint16_t)(1000 + index));
	ref_put16(tcp + 2, 80);
	ref_put16(tcp + 4, (uint16_t)(flow->sequence >> 16));
	ref_put16(tcp + 6, (uint16_t)flow->sequence);
	tcp[11] = flow->ack;
	tcp[12] = (uint8_t)((20 + flow->options) / 4 << 4);
	tcp[13] = odd == 5 ? 0x18 : odd == 6 ? 0x11 : odd == 7 ? 0x90 : odd == 8 ? 0x30 : 0x10;
	tcp[14] = odd == 9;
	memset(tcp + 20, odd == 10, flow->options);
	for (uint32_t i = 0; i < payload; i++)
		tcp[20 + flow->options + i] = (uint8_t)random_next(random);
	flow->sequence += payload;
	set_checksums(flow, bytes, frame->size, flow->partial);
	if (odd == 11 && !flow->partial)
		tcp[16 + random_below(random, 2)] ^= 0x40;
	if (odd == 12 && !flow->ipv6 && !flow->partial)
		ip[10] ^= 1;
	if (odd == 13 && !flow->ipv6 && !flow->partial)
		ip[6] |= 0x20;
	return frame;
}

static struct rte_mbuf *packet_of(struct random *random, const struct test_flow *flow,
				  const struct frame *frame)
{
	const uint32_t headers = flow->l4 + 20 + flow->options;
	struct rte_mbuf *packet;

	if (random_chance(random, 80) || frame->size <= headers + 10) {
		packet = packet_from_bytes(frame->bytes, frame->size);
	} else {
		struct rte_mbuf *second =
			packet_from_bytes(frame->bytes + headers + 7, frame->size - headers - 7);

		packet = packet_from_bytes(frame->bytes, headers + 7);
		assert_int_equal(rte_pktmbuf_chain(packet, second), 0);
	}
	assert_non_null(packet);
	if (!flow->partial)
		return packet;
	packet->l2_len = (flow->l4 - (flow->ipv6 ? 40 : 20)) & 127;
	packet->l3_len = flow->ipv6 ? 40 : 20;
	packet->l4_len = (20 + flow->options) & 255;
	packet->ol_flags |=
		RTE_MBUF_F_TX_TCP_CKSUM | (flow->ipv6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4);
	return packet;
}

static void on_wire(void *context, const uint8_t *bytes, uint32_t size)
{
	uint32_t at = 12;
	struct test_flow *flow;
	struct frame *frame;

	(void)context;
	while (bytes[at] != 0x08 && bytes[at] != 0x86)
		at += 4;
	at += bytes[at] == 0x86 ? 42 : 22;
	flow = &flows[((unsigned int)bytes[at] << 8 | bytes[at + 1]) - 1000];
	assert_true(flow >= flows && flow < flows + N_FLOWS && flow->seen < flow->n);
	frame = &flow->frames[flow->seen++];
	assert_int_equal(size, frame->size);
	if (flow->partial)
		set_checksums(flow, frame->bytes, size, false);
	assert_memory_equal(bytes, frame->bytes, size);
}

static void send(struct rte_mbuf *packet, uint32_t offloads)
{
	static uint8_t bytes[WIRE_MAX_FRAME];
	struct virtio_net_hdr header = { .gso_type = VIRTIO_NET_HDR_GSO_NONE };
	struct wire_order order = { 0 };
	const uint32_t size = packet->pkt_len;

	if (packet_is_large(packet)) {
		n_large++;
		assert_true(packet->nb_segs <= 48);
		assert_true(offload_fits(packet, offloads));
	}
	if (packet->ol_flags & PACKET_OFFLOADS)
		offload_to_virtio(packet, &header);
	order.checksum = header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM;
	order.start = header.csum_start;
	order.offset = header.csum_offset;
	order.size = header.gso_size;
	if (header.gso_type == VIRTIO_NET_HDR_GSO_TCPV4)
		order.cut = WIRE_TCP4;
	else if (header.gso_type == VIRTIO_NET_HDR_GSO_TCPV6)
		order.cut = WIRE_TCP6;
	else
		assert_int_equal(header.gso_type, VIRTIO_NET_HDR_GSO_NONE);
	assert_int_equal(rte_pktmbuf_pkt_len(packet), size);
	for (uint32_t done = 0; packet; packet = packet->next) {
		memcpy(bytes + done, rte_pktmbuf_mtod(packet, void *), packet->data_len);
		done += packet->data_len;
		assert_true(done <= size);
	}
	assert_null(wire_send(bytes, size, &order, on_wire, NULL));
}

static void one_batch(struct random *random)
{
	const uint32_t offloads = OFFLOAD_CHECKSUM | OFFLOAD_GRO |
				  (random_chance(random, 80) ? OFFLOAD_TSO4 : 0) |
				  (random_chance(random, 80) ? OFFLOAD_TSO6 : 0);
	const unsigned int n_flows = 1 + random_below(random, N_FLOWS);
	struct rte_mbuf *packets[BATCH], *shared[BATCH];
	unsigned int n = 1 + random_below(random, BATCH), n_shared = 0, frames = 0;
	uint64_t joined = 0;
	uint16_t left;

	for (unsigned int i = 0; i < n_flows; i++)
		flow_start(random, i);
	for (unsigned int i = 0, flow = 0; i < n; i++) {
		struct frame *frame;

		if (random_chance(random, 30))
			flow = random_below(random, n_flows);
		frame = frame_make(random, flow, false);
		packets[i] = packet_of(random, &flows[flow], frame);
		if (random_chance(random, 3)) {
			rte_pktmbuf_refcnt_update(packets[i], 1);
			shared[n_shared++] = packets[i];
		}
	}
	left = gro_join(packets, (uint16_t)n, offloads, &joined);
	assert_int_equal(left + joined, n);
	n_joined += joined;
	for (unsigned int i = 0; i < left; i++) {
		frames += packet_wire_count(packets[i]);
		send(packets[i], offloads);
	}
	// Counted as what they were.
	assert_int_equal(frames, n);
	for (unsigned int i = 0; i < n_flows; i++)
		assert_int_equal(flows[i].seen, flows[i].n);
	for (unsigned int i = 0; i < n_shared; i++) {
		assert_int_equal(shared[i]->ol_flags & PACKET_LARGE, 0);
		rte_pktmbuf_free(shared[i]);
	}
	rte_pktmbuf_free_bulk(packets, left);
}

static void test_random(void **state)
{
	struct random random = { random_seed() };
	const unsigned int n = random_iterations(3000);

	(void)state;
	for (unsigned int i = 0; i < n; i++)
		one_batch(&random);
	print_message("%u batches: %llu packets joined into %llu\n", n,
		      (unsigned long long)n_joined, (unsigned long long)n_large);
	assert_true(n < 100 || (n_large > n / 4 && n_joined > n_large));
}

// A stream without any disturbance becomes as few packets as 64 KiB and 44 buffers allow.
static void test_stream(void **state)
{
	struct random random = { 1 };
	struct rte_mbuf *packets[BATCH];
	uint64_t joined = 0;

	(void)state;
	for (unsigned int ipv6 = 0; ipv6 < 2; ipv6++) {
		struct test_flow *flow = &flows[0];
		uint16_t left;

		flow_start(&random, 0);
		flow->ipv6 = ipv6;
		flow->partial = false;
		flow->n_tags = flow->options = 0;
		flow->l4 = ipv6 ? 54 : 34;
		flow->size = 1448;
		for (unsigned int i = 0; i < BATCH; i++) {
			const struct frame *frame = frame_make(&random, 0, true);

			packets[i] = packet_from_bytes(frame->bytes, frame->size);
		}
		left = gro_join(packets, BATCH, OFFLOAD_ALL, &joined);
		assert_int_equal(left, 2);
		assert_int_equal(packet_wire_count(packets[0]), 44);
		assert_int_equal(packet_wire_count(packets[1]), BATCH - 44);
		rte_pktmbuf_free_bulk(packets, left);
	}
	assert_int_equal(joined, 2 * (BATCH - 2));
}

static int leaks(void **state)
{
	(void)state;
	return rte_mempool_in_use_count(packet_pool()) ? -1 : 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_random, leaks),
		cmocka_unit_test_teardown(test_stream, leaks),
	};
	int failed;

	test_eal_init(2047);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	test_eal_end();
	return failed;
}
