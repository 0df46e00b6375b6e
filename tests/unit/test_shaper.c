// Shaping and policing on a virtual clock: do rates, minimums, priorities, bursts and delays come out
// as configured, and is every packet sent or counted as dropped?
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/hash.h"
#include "qos/ip_header.h"
#include "qos/policer.h"
#include "qos/shaper.h"
#include "tests/unit/eal.h"
#include "tests/unit/packets.h"
#include "vport/offload.h"

#define NS 1000000000ULL
#define POOL 8192
#define START (1000 * NS)

static void expect_free(void)
{
	assert_int_equal(rte_mempool_avail_count(packet_pool()), POOL);
}

static int check_leaks(void **state)
{
	(void)state;
	expect_free();
	return 0;
}

// An Ethernet frame with IPv4 and UDP from this port, whose checksum is right.
static struct rte_mbuf *make(uint32_t size, uint16_t port, uint8_t tos)
{
	struct rte_mbuf *packet = rte_pktmbuf_alloc(packet_pool());
	uint8_t *data;
	uint32_t sum = 0;

	assert_non_null(packet);
	data = (uint8_t *)rte_pktmbuf_append(packet, (uint16_t)size);
	assert_non_null(data);
	memset(data, 0, size);
	data[12] = 0x08;
	data[14] = 0x45;
	data[15] = tos;
	data[22] = 64;
	data[23] = 17;
	data[26] = 10;
	data[30] = 10;
	data[33] = 1;
	data[34] = (uint8_t)(port >> 8);
	data[35] = (uint8_t)port;
	for (unsigned int i = 14; i < 34; i += 2)
		sum += (uint32_t)data[i] << 8 | data[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = ~((sum & 0xffff) + (sum >> 16));
	data[24] = (uint8_t)(sum >> 8);
	data[25] = (uint8_t)sum;
	return packet;
}

static struct shaper_queue_config queue_of(uint32_t id, uint64_t min_rate, uint64_t max_rate,
					   uint32_t priority)
{
	return (struct shaper_queue_config){
		.id = id,
		.min_rate = min_rate,
		.max_rate = max_rate,
		.priority = priority,
		.weight = 1,
		.dscp = -1,
		.aqm = { .packets = 64, .bytes = 1 << 22, .flows = 1, .quantum = 1514 },
	};
}

struct bench {
	struct shaper *shaper;
	uint64_t now_ns;
	uint64_t step_ns; // how often the poll loop looks, at most
	uint64_t sent[SHAPER_MAX_QUEUES]; // bytes
	uint64_t n_in, n_out, n_dropped;
	uint32_t size;
	struct shaper_config config;
	struct random *random;
};

static void bench_start(struct bench *bench)
{
	bench->now_ns = START;
	bench->shaper = shaper_create(&bench->config, bench->now_ns);
	assert_non_null(bench->shaper);
}

// Keep the queue as full as 8 packets. The source port of a packet is its queue's place.
static void feed(struct bench *bench, unsigned int at)
{
	struct shaper_queue_info info;

	assert_true(shaper_queue_info(bench->shaper, at, bench->now_ns, &info));
	for (uint32_t i = info.queued_packets; i < 8; i++) {
		bench->n_in++;
		bench->n_dropped +=
			shaper_enqueue(bench->shaper, make(bench->size, (uint16_t)at, 0),
				       bench->config.queues[at].id, bench->now_ns);
	}
}

static void drain(struct bench *bench)
{
	struct rte_mbuf *packets[4];
	uint32_t dropped = 0;
	unsigned int n;

	n = shaper_dequeue(bench->shaper, packets, 4, bench->now_ns, &dropped);
	bench->n_dropped += dropped;
	for (unsigned int i = 0; i < n; i++) {
		const uint8_t *data = rte_pktmbuf_mtod(packets[i], const uint8_t *);

		bench->sent[data[35]] += packet_wire_bytes(packets[i]);
		bench->n_out++;
		rte_pktmbuf_free(packets[i]);
	}
	if (n == 4)
		return; // more is due
	if (shaper_next_ns(bench->shaper) > bench->now_ns)
		bench->now_ns = RTE_MIN(shaper_next_ns(bench->shaper), bench->now_ns + NS);
	if (bench->step_ns) // late by some of it
		bench->now_ns += random_below(bench->random, (uint32_t)bench->step_ns);
}

// All queues of `greedy` have always something to send.
static void run(struct bench *bench, uint64_t greedy, uint64_t ns)
{
	const uint64_t end = bench->now_ns + ns;

	while (bench->now_ns < end) {
		for (unsigned int i = 0; i < bench->config.n_queues; i++)
			if (greedy >> i & 1)
				feed(bench, i);
		drain(bench);
	}
}

static void bench_end(struct bench *bench)
{
	struct shaper_info info;

	shaper_info(bench->shaper, bench->now_ns, &info);
	assert_int_equal(bench->n_in, bench->n_out + bench->n_dropped + info.queued_packets);
	shaper_free(bench->shaper);
	expect_free();
}

static void expect_rate(double bytes, double ns, double rate, double percent, const char *what)
{
	const double got = bytes * 8 * NS / ns, off = (got / rate - 1) * 100;

	if (off < -percent || off > percent)
		fail_msg("%s: %.0f bit/s instead of %.0f: %+.2f %%", what, got, rate, off);
}

// --- Rates ---

static void test_rate(void **state)
{
	static const uint64_t rates[] = { 1000000, 7300000, 100000000, 1000000000, 10000000000ULL };
	static const uint32_t sizes[] = { 60, 590, 1514 };
	struct random random = { random_seed() };

	(void)state;

	for (unsigned int r = 0; r < RTE_DIM(rates); r++)
		for (unsigned int s = 0; s < RTE_DIM(sizes); s++)
			for (unsigned int late = 0; late < 2; late++) {
				struct bench bench = { .size = sizes[s], .random = &random };
				// So many packets, and no less than 4000 of them.
				const uint64_t ns = 4000ULL * sizes[s] * 8 * NS / rates[r];
				uint64_t begun;

				bench.config.max_rate = rates[r];
				bench.config.n_queues = 1;
				bench.config.queues[0] = queue_of(0, 0, 0, 0);
				if (late) // no more than what a queue of 8 packets bears
					bench.step_ns = 2ULL * sizes[s] * 8 * NS / rates[r];
				bench_start(&bench);
				run(&bench, 1, 100000000 + ns / 10); // the burst
				begun = bench.now_ns;
				bench.sent[0] = 0;
				run(&bench, 1, ns);
				expect_rate((double)bench.sent[0], (double)(bench.now_ns - begun),
					    (double)rates[r], 1, "one queue");
				bench_end(&bench);
			}
}

static void test_burst(void **state)
{
	struct random random = { random_seed() };

	(void)state;
	struct bench bench = { .size = 1000, .random = &random };

	bench.config.max_rate = 10000000;
	bench.config.burst = 20000;
	bench.config.n_queues = 2;
	bench.config.queues[0] = queue_of(0, 0, 0, 0);
	bench.config.queues[1] = queue_of(1, 0, 1000000, 0);
	bench.config.queues[1].burst = 5000;
	bench_start(&bench);
	for (unsigned int i = 0; i < 2; i++) {
		const uint64_t now_ns = bench.now_ns;

		bench.sent[0] = 0;
		// At one moment.
		for (unsigned int k = 0; k < 40; k++) {
			bench.n_in++;
			bench.n_dropped +=
				shaper_enqueue(bench.shaper, make(1000, 0, 0), 0, now_ns);
		}
		for (unsigned int k = 0; k < 20 && bench.now_ns == now_ns; k++)
			drain(&bench);
		assert_in_range(bench.sent[0], 20000, 21000);
		run(&bench, 0, 2 * NS); // it is full again, and no fuller
	}
	bench.sent[1] = 0;
	for (unsigned int k = 0; k < 40; k++) {
		bench.n_in++;
		bench.n_dropped += shaper_enqueue(bench.shaper, make(1000, 1, 0), 1, bench.now_ns);
	}
	const uint64_t now_ns = bench.now_ns;

	for (unsigned int k = 0; k < 20 && bench.now_ns == now_ns; k++)
		drain(&bench);
	assert_in_range(bench.sent[1], 5000, 6000);
	bench_end(&bench);
}

// Minimums are held with all queues greedy, whatever the priorities.
static void test_minimum(void **state)
{
	static const uint64_t shares[] = { 5, 10, 20, 25, 40 };
	static const uint64_t rates[] = { 1000000, 100000000, 10000000000ULL };
	struct random random = { random_seed() };

	(void)state;

	for (unsigned int r = 0; r < RTE_DIM(rates); r++) {
		struct bench bench = { .size = 1514, .random = &random };
		uint64_t begun;

		bench.config.max_rate = rates[r];
		bench.config.n_queues = 5;
		for (unsigned int i = 0; i < 5; i++)
			bench.config.queues[i] = queue_of(i, rates[r] * shares[i] / 100, 0, 5 - i);
		bench_start(&bench);
		run(&bench, 31, 100000000 + 100ULL * 1514 * 8 * NS / rates[r]);
		begun = bench.now_ns;
		memset(bench.sent, 0, sizeof(bench.sent));
		run(&bench, 31, 8000ULL * 1514 * 8 * NS / rates[r]);
		for (unsigned int i = 0; i < 5; i++)
			expect_rate((double)bench.sent[i], (double)(bench.now_ns - begun),
				    (double)(rates[r] * shares[i]) / 100, 2, "minimum");
		bench_end(&bench);
	}
}

// What is idle goes by priority, within it by weight, and never above a maximum.
static void test_borrowing(void **state)
{
	struct random random = { random_seed() };

	(void)state;
	struct bench bench = { .size = 1000, .random = &random };
	uint64_t begun;

	bench.config.max_rate = 100000000;
	bench.config.n_queues = 4;
	bench.config.queues[0] = queue_of(0, 10000000, 0, 2);
	bench.config.queues[1] = queue_of(1, 10000000, 40000000, 0);
	bench.config.queues[2] = queue_of(2, 0, 0, 1);
	bench.config.queues[3] = queue_of(3, 0, 0, 1);
	bench.config.queues[3].weight = 3;
	bench_start(&bench);
	run(&bench, 15, NS / 2);
	begun = bench.now_ns;
	memset(bench.sent, 0, sizeof(bench.sent));
	run(&bench, 15, NS);
	expect_rate((double)bench.sent[0], (double)(bench.now_ns - begun), 10e6, 2, "lowest");
	expect_rate((double)bench.sent[1], (double)(bench.now_ns - begun), 40e6, 2, "maximum");
	expect_rate((double)bench.sent[2], (double)(bench.now_ns - begun), 12.5e6, 2, "weight 1");
	expect_rate((double)bench.sent[3], (double)(bench.now_ns - begun), 37.5e6, 2, "weight 3");
	// Without the others everything is the lowest one's.
	begun = bench.now_ns;
	memset(bench.sent, 0, sizeof(bench.sent));
	run(&bench, 1, NS);
	expect_rate((double)bench.sent[0], (double)(bench.now_ns - begun), 100e6, 1, "alone");
	// One that was away has no claim to what it did not use.
	begun = bench.now_ns;
	memset(bench.sent, 0, sizeof(bench.sent));
	run(&bench, 12, NS);
	expect_rate((double)bench.sent[3], (double)(bench.now_ns - begun), 75e6, 2,
		    "weight 3 of 4");
	run(&bench, 8, NS);
	begun = bench.now_ns;
	memset(bench.sent, 0, sizeof(bench.sent));
	run(&bench, 12, NS);
	expect_rate((double)bench.sent[2], (double)(bench.now_ns - begun), 25e6, 2, "back again");
	bench_end(&bench);
}

// --- TCP that is cut later counts as what it is on the wire ---

static void test_large(void **state)
{
	struct bench bench = { .size = 0 };
	uint64_t wire = 0, last_ns = 0;

	(void)state;
	bench.config.max_rate = 100000000;
	bench.config.n_queues = 1;
	bench.config.queues[0] = queue_of(0, 0, 0, 0);
	bench_start(&bench);
	for (unsigned int i = 0; i < 50; i++) {
		struct rte_mbuf *packet = make(1954, 0, 0);

		packet->ol_flags = RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_IPV4;
		packet->l2_len = 14;
		packet->l3_len = 20;
		packet->l4_len = 20;
		packet->tso_segsz = 100; // 19 segments with 54 bytes of headers each
		wire = packet_wire_bytes(packet);
		assert_int_equal(wire, 19 * 54 + 1900);
		assert_int_equal(shaper_enqueue(bench.shaper, packet, 0, bench.now_ns), 0);
	}
	bench.n_in = 50;
	while (bench.n_out < 50) {
		last_ns = bench.now_ns;
		drain(&bench);
	}
	// The burst of 12500 bytes left at once; the last packet's own time comes behind it.
	expect_rate((double)(49 * wire - 12500), (double)(last_ns - START), 100e6, 1,
		    "large packets");
	bench_end(&bench);
}

// --- Delay ---

// Two senders at twice the rate; `ecn`: the greedy one understands marks.
static void overload(bool target, uint8_t tos, struct shaper_queue_info *info, uint64_t *thin_ns)
{
	struct shaper_config config = { .max_rate = 100000000, .n_queues = 1 };
	struct rte_mbuf *packets[8];
	struct shaper *shaper;
	uint64_t now_ns = START, in = 0, out = 0, thin_max = 0;
	uint32_t dropped = 0;

	config.queues[0] = queue_of(0, 0, 0, 0);
	config.queues[0].aqm = (struct aqm_config){ .packets = 1000,
						    .bytes = 1 << 22,
						    .flows = target ? 256 : 1,
						    .quantum = 1514,
						    .target_ns = target ? 5000000 : 0,
						    .interval_ns = 100000000,
						    .ecn = true };
	shaper = shaper_create(&config, now_ns);
	assert_non_null(shaper);
	for (unsigned int i = 0; now_ns < START + 3 * NS; i++, now_ns += 60560) {
		unsigned int n;

		dropped += shaper_enqueue(shaper, make(1514, 1, tos), 0, now_ns);
		in++;
		if (i % 500 == 499) { // a thin flow
			struct rte_mbuf *thin = make(100, 2, 0);

			memcpy(rte_pktmbuf_mtod_offset(thin, void *, 60), &now_ns, sizeof(now_ns));
			dropped += shaper_enqueue(shaper, thin, 0, now_ns);
			in++;
		}
		n = shaper_dequeue(shaper, packets, 8, now_ns, &dropped);
		for (unsigned int k = 0; k < n; k++) {
			uint64_t at_ns;

			memcpy(&at_ns, rte_pktmbuf_mtod_offset(packets[k], void *, 60),
			       sizeof(at_ns));
			if (rte_pktmbuf_mtod(packets[k], uint8_t *)[35] == 2 &&
			    now_ns - at_ns > thin_max)
				thin_max = now_ns - at_ns;
			rte_pktmbuf_free(packets[k]);
		}
		out += n;
	}
	assert_true(shaper_queue_info(shaper, 0, now_ns, info));
	assert_int_equal(in, out + dropped + info->queued_packets);
	assert_int_equal(dropped, info->n_full + info->n_delay);
	*thin_ns = thin_max;
	shaper_free(shaper);
}

static void test_delay(void **state)
{
	struct shaper_queue_info info;
	uint64_t thin_ns;

	(void)state;
	overload(false, 0, &info, &thin_ns);
	assert_true(thin_ns > 100000000); // 1000 packets of 121 us
	assert_true(info.n_full > 1000 && !info.n_delay && !info.marks);
	overload(true, 0, &info, &thin_ns);
	assert_true(thin_ns < 1000000);
	assert_true(info.n_delay > 100);
	overload(true, 2, &info, &thin_ns); // its sender understands marks
	assert_true(thin_ns < 1000000);
	assert_true(info.marks > 100);
	expect_free();
}

// A sender that slows down when it is told (as TCP does) finds about the target.
static void test_responsive(void **state)
{
	struct shaper_config config = { .max_rate = 100000000, .n_queues = 1 };
	struct rte_mbuf *packets[8];
	struct shaper_queue_info info;
	struct shaper *shaper;
	uint64_t now_ns = START;
	double window = 10; // packets under way, of which none takes time but here
	uint32_t flying = 0;

	(void)state;
	config.queues[0] = queue_of(0, 0, 0, 0);
	config.queues[0].aqm =
		(struct aqm_config){ 1000, 1 << 22, 256, 1514, 5000000, 100000000, 1 };
	shaper = shaper_create(&config, now_ns);
	assert_non_null(shaper);
	for (; now_ns < START + 20 * NS; now_ns += 100000) {
		uint32_t dropped = 0;
		unsigned int n;

		for (; flying < (uint32_t)window; flying++)
			dropped += shaper_enqueue(shaper, make(1514, 1, 0), 0, now_ns);
		n = shaper_dequeue(shaper, packets, 8, now_ns, &dropped);
		rte_pktmbuf_free_bulk(packets, n);
		flying -= n + dropped;
		window += n / window;
		if (dropped && window > 4)
			window /= 2;
	}
	assert_true(shaper_queue_info(shaper, 0, now_ns, &info));
	assert_in_range(info.rate, 95000000, 101000000);
	assert_true(info.delay_p99 < 25000000); // with a tail drop queue: 121 ms
	shaper_free(shaper);
	expect_free();
}

// --- Numbers of queues, marks, changes ---

static void test_unknown_queue(void **state)
{
	struct shaper_config config = { .max_rate = 1000000000, .n_queues = 2 };
	struct shaper_queue_info info;
	struct rte_mbuf *packets[4];
	struct shaper_info port;
	struct shaper *shaper;
	uint32_t dropped = 0;

	(void)state;
	config.queues[0] = queue_of(0, 0, 0, 0);
	config.queues[1] = queue_of(61439, 0, 0, 0);
	config.queues[1].dscp = 46;
	shaper = shaper_create(&config, START);
	assert_non_null(shaper);
	shaper_enqueue(shaper, make(100, 0, 0), 7, START);
	shaper_enqueue(shaper, make(100, 0, 0), UINT32_MAX, START);
	shaper_enqueue(shaper, make(100, 9, 1), 61439, START);
	shaper_info(shaper, START, &port);
	assert_int_equal(port.n_unknown, 2);
	assert_int_equal(port.queued_packets, 3);
	assert_int_equal(shaper_dequeue(shaper, packets, 4, START, &dropped), 3);
	assert_true(shaper_queue_info(shaper, 0, START, &info));
	assert_int_equal(info.packets, 2);
	assert_int_equal(info.bytes, 200);
	for (unsigned int i = 0; i < 3; i++) {
		const uint8_t *data = rte_pktmbuf_mtod(packets[i], const uint8_t *);
		uint32_t sum = 0;

		assert_int_equal(data[15], data[35] == 9 ? 46 << 2 | 1 : 0);
		for (unsigned int k = 14; k < 34; k += 2)
			sum += (uint32_t)data[k] << 8 | data[k + 1];
		assert_int_equal((sum & 0xffff) + (sum >> 16), 0xffff);
		rte_pktmbuf_free(packets[i]);
	}
	assert_int_equal(shaper_next_ns(shaper), SHAPER_NEVER);
	assert_false(shaper_queue_info(shaper, 2, START, &info));
	shaper_free(shaper);
}

// A mark must not show in a packet that goes elsewhere, too.
static void test_shared(void **state)
{
	struct rte_mbuf *packet = make(100, 0, 2), *other = packet;

	(void)state;
	rte_pktmbuf_refcnt_update(packet, 1);
	assert_true(ip_header_set_congestion(&packet));
	assert_ptr_not_equal(packet, other);
	assert_int_equal(rte_pktmbuf_mtod(packet, uint8_t *)[15], 3);
	assert_int_equal(rte_pktmbuf_mtod(other, uint8_t *)[15], 2);
	rte_pktmbuf_free(packet);
	rte_pktmbuf_free(other);
	packet = make(100, 0, 0);
	assert_false(ip_header_set_congestion(&packet)); // it would not understand
	rte_pktmbuf_mtod(packet, uint8_t *)[12] = 0x86;
	assert_false(ip_header_set_dscp(&packet, 1)); // no IP
	rte_pktmbuf_free(packet);
}

static void test_take_over(void **state)
{
	struct shaper_config config = { .max_rate = 1000, .n_queues = 2 };
	struct shaper *old, *new;
	struct rte_mbuf *packets[8];
	struct shaper_queue_info info;
	uint32_t dropped = 0;
	unsigned int n;

	(void)state;
	config.queues[0] = queue_of(0, 0, 0, 0);
	config.queues[1] = queue_of(5, 0, 0, 0);
	old = shaper_create(&config, START);
	assert_non_null(old);
	for (unsigned int i = 0; i < 6; i++)
		shaper_enqueue(old, make(1500, (uint16_t)i, 0), i % 2 * 5, START);
	assert_int_equal(shaper_dequeue(old, packets, 8, START, &dropped), 3); // the burst
	rte_pktmbuf_free_bulk(packets, 3);
	// 12 seconds for each packet; the new rate is in force at once. Queue 5 is gone.
	config.max_rate = 1000000000;
	config.n_queues = 1;
	new = shaper_create(&config, START + 1000);
	assert_non_null(new);
	assert_true(shaper_queue_info(old, 1, START, &info));
	assert_int_equal(shaper_take_over(new, old), info.queued_packets);
	shaper_free(old);
	n = shaper_dequeue(new, packets, 8, START + 1000, &dropped);
	assert_int_equal(n + info.queued_packets, 3);
	rte_pktmbuf_free_bulk(packets, n);
	assert_int_equal(shaper_next_ns(new), SHAPER_NEVER);
	assert_true(shaper_queue_info(new, 0, START, &info));
	assert_int_equal(info.packets, 3); // counts go on
	shaper_free(new);
}

// Random everything: nothing is lost.
static void test_conservation(void **state)
{
	struct random random = { random_seed() };

	(void)state;

	for (unsigned int round = 0; round < 40; round++) {
		struct bench bench = { .size = 60 + random_below(&random, 1454),
				       .random = &random };
		struct shaper *next;

		bench.config.max_rate = 1 + random_below(&random, 1u << random_below(&random, 31));
		bench.config.n_queues = 1 + random_below(&random, SHAPER_MAX_QUEUES);
		for (unsigned int i = 0; i < bench.config.n_queues; i++) {
			struct shaper_queue_config *queue = &bench.config.queues[i];

			*queue = queue_of(i * 3, random_below(&random, 1000000),
					  random_below(&random, 2) * 1000000,
					  random_below(&random, 4));
			queue->weight = 1 + random_below(&random, 100);
			queue->burst = random_below(&random, 100000);
			queue->aqm.packets = 1 + random_below(&random, 20);
			queue->aqm.bytes = 1 + random_below(&random, 40000);
			queue->aqm.flows = 1u << random_below(&random, 5);
			queue->aqm.target_ns = random_below(&random, 2) * 5000000;
			queue->aqm.interval_ns = 100000000;
		}
		bench_start(&bench);
		for (unsigned int i = 0; i < 500; i++) {
			const unsigned int at = random_below(&random, bench.config.n_queues);

			feed(&bench, at);
			drain(&bench);
		}
		next = shaper_create(&bench.config, bench.now_ns);
		assert_non_null(next);
		bench.n_dropped += shaper_take_over(next, bench.shaper);
		shaper_free(bench.shaper);
		bench.shaper = next;
		for (unsigned int i = 0; i < 100; i++)
			drain(&bench);
		bench_end(&bench);
	}
}

// --- Policers ---

static void test_policer(void **state)
{
	static const uint64_t rates[] = { 1, 125, 125000, 12500000, 1250000000 }; // bytes/s
	struct random random = { random_seed() };

	(void)state;

	for (unsigned int r = 0; r < RTE_DIM(rates); r++)
		for (uint32_t size = 60; size < 10000; size = size * 5 + 14) {
			struct policer policer;
			uint64_t now_ns = START, passed = 0, begun;
			uint32_t amounts[32];

			for (unsigned int i = 0; i < 32; i++)
				amounts[i] = size;
			policer_init(&policer, rates[r], 100000, now_ns);
			for (unsigned int i = 0; i < 400; i++) // all at once: the burst
				passed += 32 - (unsigned int)__builtin_popcountll(policer_judge(
						       &policer, now_ns, amounts, 0xffffffff));
			assert_int_equal(passed, 100000 / size);
			passed = 0;
			begun = now_ns;
			while (passed < 4000) {
				const uint64_t over =
					policer_judge(&policer, now_ns, amounts, 0xffffffff);

				passed += 32 - (unsigned int)__builtin_popcountll(over);
				now_ns += (uint64_t)size * (1 + random_below(&random, 8)) * NS /
					  rates[r];
			}
			expect_rate((double)passed * size, (double)(now_ns - begun),
				    (double)rates[r] * 8, 1, "policer");
		}
}

// A packet that is larger than the bucket passes when that is full, and is paid back.
static void test_policer_large(void **state)
{
	struct policer policer;
	uint32_t amount = 64000;
	uint64_t passed = 0;

	(void)state;
	policer_init(&policer, 1000000, 1000, START);
	for (uint64_t now_ns = START; now_ns < START + 100 * NS; now_ns += NS / 1000)
		passed += !policer_judge(&policer, now_ns, &amount, 1);
	expect_rate((double)(passed * amount), 100.0 * NS, 8e6, 1, "large");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_rate, check_leaks),
		cmocka_unit_test_teardown(test_burst, check_leaks),
		cmocka_unit_test_teardown(test_minimum, check_leaks),
		cmocka_unit_test_teardown(test_borrowing, check_leaks),
		cmocka_unit_test_teardown(test_large, check_leaks),
		cmocka_unit_test_teardown(test_delay, check_leaks),
		cmocka_unit_test_teardown(test_responsive, check_leaks),
		cmocka_unit_test_teardown(test_unknown_queue, check_leaks),
		cmocka_unit_test_teardown(test_shared, check_leaks),
		cmocka_unit_test_teardown(test_take_over, check_leaks),
		cmocka_unit_test_teardown(test_conservation, check_leaks),
		cmocka_unit_test_teardown(test_policer, check_leaks),
		cmocka_unit_test_teardown(test_policer_large, check_leaks),
	};
	int failed;

	if (hash_init() < 0)
		return 1;
	test_eal_init(POOL);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	test_eal_end();
	return failed;
}
