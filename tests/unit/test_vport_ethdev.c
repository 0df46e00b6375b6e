// DPDK devices that do more than carry frames: a virtio-user device in front of one of our own
// vhost-user ports, in one process. What one leaves undone the other says, and frames that need
// several buffers come through whole.
#include "tests/unit/vport_fixture.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <linux/virtio_net.h>
#include <rte_ip.h>

#include "tests/unit/reference.h"
#include "tests/unit/wire.h"
#include "vport/ethdev.h"
#include "vport/offload.h"

#define CUT (OFFLOAD_TSO4 | OFFLOAD_TSO6)
#define ALL (OFFLOAD_CHECKSUM | CUT)

struct pair {
	struct vport *guest; // the device
	struct vport *host; // the vhost-user port
};

static struct pair pair_open(const char *devargs)
{
	char path[128], device[256];
	struct pair pair;

	pair.host = fixture_open("pe", "vhost-user-server", NULL);
	snprintf(path, sizeof(path), "%s/pe", fixture_dir);
	snprintf(device, sizeof(device), "net_virtio_user7,path=%s,queues=1%s", path, devargs);
	pair.guest = fixture_open("pe-guest", "dpdk", "dpdk-devargs", device, NULL);
	assert_true(fixture_wait_link(pair.host, true, 10000) >= 0);
	usleep(100000);
	vport_tick();
	return pair;
}

static void pair_close(struct pair *pair)
{
	vport_close(pair->guest);
	vport_close(pair->host);
}

static struct rte_mbuf *pass(struct vport *from, struct vport *to, struct rte_mbuf *packet)
{
	struct rte_mbuf *got = NULL;

	assert_int_equal(from->class->tx(from, 0, &packet, 1), 1);
	assert_int_equal(fixture_receive(to, &got, 1, 5000), 1);
	return got;
}

// TCP of `payload` bytes whose checksum is left undone, and which is to be cut if `size`.
static struct rte_mbuf *tcp_packet(bool ipv6, uint32_t payload, uint16_t size)
{
	static uint8_t frame[70000];
	const uint32_t l4 = ipv6 ? 54 : 34;
	uint8_t *ip = frame + 14, *tcp = frame + l4;
	struct rte_mbuf *packet;

	fixture_fill(frame, l4 + 20 + payload, payload);
	memset(ip, 0, l4 + 6);
	ref_put16(frame + 12, ipv6 ? 0x86dd : 0x0800);
	ip[0] = ipv6 ? 0x60 : 0x45;
	ref_put16(ip + (ipv6 ? 4 : 2), 20 + payload + (ipv6 ? 0 : 20));
	ip[ipv6 ? 6 : 9] = 6;
	ip[ipv6 ? 7 : 8] = 64;
	ip[ipv6 ? 23 : 15] = 1;
	ip[ipv6 ? 39 : 19] = 2;
	if (!ipv6) {
		const uint16_t sum = rte_ipv4_cksum((void *)ip);

		memcpy(ip + 10, &sum, 2);
	}
	tcp[12] = 0x50;
	tcp[13] = 0x10;
	ref_put16(tcp + 16, 0xdead); // nothing of value
	packet = packet_from_bytes(frame, l4 + 20 + payload);
	assert_non_null(packet);
	packet->l2_len = 14;
	packet->l3_len = (l4 - 14) & 511;
	packet->l4_len = 20;
	packet->tso_segsz = size;
	packet->ol_flags |= RTE_MBUF_F_TX_TCP_CKSUM | (size ? RTE_MBUF_F_TX_TCP_SEG : 0) |
			    (ipv6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4);
	return packet;
}

static void judge(struct rte_mbuf *packet, uint32_t length)
{
	static uint8_t copy[70000];
	struct wire_frame frame;
	struct virtio_net_hdr header;
	const char *problem;
	const uint8_t *bytes;

	if (packet->ol_flags & PACKET_OFFLOADS)
		offload_to_virtio(packet, &header);
	assert_int_equal(packet->pkt_len, length);
	bytes = rte_pktmbuf_read(packet, 0, length, copy);
	problem = wire_judge(bytes, length, packet->ol_flags & RTE_MBUF_F_TX_L4_MASK, &frame);
	if (problem)
		fail_msg("%s", problem);
}

// What the other side says of it is what we said; finished, it is right.
static void undone(struct vport *from, struct vport *to)
{
	for (unsigned int ipv6 = 0; ipv6 < 2; ipv6++)
		for (uint32_t payload = 100; payload < 60000; payload = payload * 3 + 1) {
			const uint16_t size = payload > 1400 ? 1400 : 0;
			struct rte_mbuf *packet = tcp_packet(ipv6, payload, size);
			const uint32_t length = packet->pkt_len;

			packet = pass(from, to, packet);
			judge(packet, length);
			assert_int_equal(packet->ol_flags & RTE_MBUF_F_TX_L4_MASK,
					 RTE_MBUF_F_TX_TCP_CKSUM);
			assert_int_equal(packet_is_large(packet), size != 0);
			assert_int_equal(packet_wire_count(packet),
					 size ? (payload + size - 1) / size : 1);
			if (!size) {
				offload_complete(packet);
				judge(packet, length);
			}
			rte_pktmbuf_free(packet);
		}
}

static void test_offloads(void **state)
{
	struct pair pair = pair_open(",mrg_rxbuf=1");

	(void)state;
	assert_string_equal(pair.guest->status.driver, "net_virtio_user");
	assert_int_equal(pair.guest->status.offloads_rx, ALL);
	assert_int_equal(pair.guest->status.offloads_tx, ALL);
	assert_int_equal(pair.host->status.offloads_tx & ALL, ALL);
	undone(pair.guest, pair.host);
	undone(pair.host, pair.guest);
	// What is switched off is not left to the device from then on.
	vport_set_offloads(pair.guest, OFFLOAD_TSO4);
	assert_int_equal(vport_offloads(pair.guest), ALL & ~OFFLOAD_TSO4);
	vport_set_offloads(pair.guest, OFFLOAD_CHECKSUM);
	assert_int_equal(vport_offloads(pair.guest), 0);
	pair_close(&pair);
}

// The driver writes into headers: not into those that somebody else will send, too.
static void test_shared(void **state)
{
	struct pair pair = pair_open("");
	struct rte_mbuf *packet = tcp_packet(false, 5000, 1400), *got;
	const uint32_t length = packet->pkt_len;
	uint8_t before[9000], after[9000];

	(void)state;
	rte_pktmbuf_refcnt_update(packet, 1);
	memcpy(before, rte_pktmbuf_read(packet, 0, length, before), length);
	got = pass(pair.guest, pair.host, packet);
	judge(got, length);
	rte_pktmbuf_free(got);
	memcpy(after, rte_pktmbuf_read(packet, 0, length, after), length);
	assert_memory_equal(before, after, length);
	assert_int_equal(rte_mbuf_refcnt_read(packet), 1);
	rte_pktmbuf_free(packet);
	pair_close(&pair);
}

// Frames that need several of our buffers, also after the MTU grew.
static void test_jumbo(void **state)
{
	struct pair pair = pair_open("");
	struct error error;

	(void)state;
	assert_int_equal(pair.guest->class->set_mtu(pair.guest, 9000, &error), 0);
	for (uint32_t length = 60; length <= 9014; length += 597) {
		uint8_t bytes[9100];
		struct rte_mbuf *got = pass(pair.guest, pair.host, fixture_packet(length, length));

		fixture_fill(bytes, length, length);
		fixture_compare(got, bytes, length);
		got = pass(pair.host, pair.guest, got);
		fixture_compare(got, bytes, length);
		assert_int_equal(got->nb_segs > 1, length > 2048);
		rte_pktmbuf_free(got);
	}
	pair_close(&pair);
}

// A device that can do nothing says so, and what it cannot be given costs itself alone.
static void test_fallback(void **state)
{
	char devargs[160];
	struct vport *vport;
	struct vport_class_stats stats = { 0 };
	struct rte_mbuf *packets[3];

	(void)state;
	snprintf(devargs, sizeof(devargs), "net_null7");
	vport = fixture_open("pe-null", "dpdk", "dpdk-devargs", devargs, NULL);
	assert_string_equal(vport->status.driver, "net_null");
	assert_int_equal(vport->status.offloads_tx, 0);
	assert_int_equal(vport->status.offloads_rx, 0);
	((struct ethdev *)vport)->multi_segs = false; // as some devices are
	packets[0] = fixture_packet(100, 1);
	packets[1] = fixture_packet(9000, 1); // fits no buffer
	packets[2] = fixture_packet(100, 2);
	assert_int_equal(vport->class->tx(vport, 0, packets, 3), 3);
	vport->class->get_stats(vport, &stats);
	assert_int_equal(stats.tx_errors, 1);
	vport_close(vport);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_offloads, fixture_check_leaks),
		cmocka_unit_test_teardown(test_shared, fixture_check_leaks),
		cmocka_unit_test_teardown(test_jumbo, fixture_check_leaks),
		cmocka_unit_test_teardown(test_fallback, fixture_check_leaks),
	};

	return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
