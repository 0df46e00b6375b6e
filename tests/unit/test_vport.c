// Packets, the registry of ports, options, and the ports that need nothing but DPDK.
#include "tests/unit/vport_fixture.h"

#include <pcap/pcap.h>
#include <stdio.h>
#include <string.h>

#include <rte_mempool.h>

static void test_packet_bytes(void **state)
{
	static const uint32_t lengths[] = { 14, 60, 1518, 2048, 2049, 9000, 65000 };
	static uint8_t bytes[65000];

	(void)state;
	for (unsigned int i = 0; i < RTE_DIM(lengths); i++) {
		struct rte_mbuf *packet, *copy;

		fixture_fill(bytes, lengths[i], i);
		packet = packet_from_bytes(bytes, lengths[i]);
		fixture_compare(packet, bytes, lengths[i]);
		assert_int_equal(packet->nb_segs > 1, lengths[i] > 2048);
		packet->ol_flags |= RTE_MBUF_F_TX_TCP_CKSUM;
		packet->l2_len = (7 + i) & 127;
		packet->hash.rss = 1234;

		copy = packet_copy(packet);
		*rte_pktmbuf_mtod(packet, uint8_t *) ^= 0xff; // a copy shares nothing
		fixture_compare(copy, bytes, lengths[i]);
		assert_int_equal(copy->ol_flags & PACKET_OFFLOADS, RTE_MBUF_F_TX_TCP_CKSUM);
		assert_int_equal(copy->l2_len, 7 + i);
		assert_int_equal(copy->hash.rss, 1234);
		rte_pktmbuf_free(packet);
		fixture_compare(copy, bytes, lengths[i]);
		rte_pktmbuf_free(copy);
	}
}

// Without buffers there is no packet, and nothing of a half made one is left.
static void test_packet_exhaustion(void **state)
{
	static struct rte_mbuf *all[FIXTURE_PACKETS];
	static uint8_t bytes[9000];
	struct rte_mbuf *packet = fixture_packet(9000, 1);

	(void)state;
	assert_int_equal(packet->nb_segs, 5);
	assert_int_equal(rte_pktmbuf_alloc_bulk(packet_pool(), all, FIXTURE_PACKETS - 5 - 3), 0);
	assert_null(packet_from_bytes(bytes, sizeof(bytes)));
	assert_null(packet_copy(packet));
	assert_int_equal(rte_mempool_avail_count(packet_pool()), 3);
	rte_pktmbuf_free_bulk(all, FIXTURE_PACKETS - 5 - 3);
	rte_pktmbuf_free(packet);
}

static void test_refusals(void **state)
{
	char long_name[VPORT_NAME_SIZE + 1], path[128], long_path[160], exact[160];

	(void)state;
	memset(long_name, 'x', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	memset(long_path, 'y', sizeof(long_path));
	snprintf(long_path, sizeof(long_path), "/tmp/");
	memset(long_path + 5, 'y', 120);
	long_path[125] = '\0';

	fixture_refused("unknown port type 'vhost'|vhost-user|dpdkvhostuser|patch|tap|system", "p",
			"vhost", NULL);
	fixture_refused("needs a name", "", "patch", "peer", "q", NULL);
	fixture_refused("too long|63", long_name, "patch", "peer", "q", NULL);
	fixture_refused("may not contain", "a/b", "patch", "peer", "q", NULL);
	fixture_refused("may not contain", "a b", "patch", "peer", "q", NULL);
	fixture_refused("cannot be named '..'", "..", "patch", "peer", "q", NULL);

	fixture_refused("options:peer", "p", "patch", NULL);
	fixture_refused("own peer", "p", "patch", "peer", "p", NULL);
	fixture_refused("unknown option 'per'|peer", "p", "patch", "per", "q", NULL);
	fixture_refused("given twice", "p", "patch", "peer", "q", "peer", "r", NULL);
	fixture_refused("unknown option 'x'|no options", "p", "tap", "x", "1", NULL);

	fixture_refused("options:dpdk-devargs", "p", "dpdk", NULL);
	fixture_refused("no DPDK driver", "p", "dpdk", "dpdk-devargs", "net_wrong0", NULL);
	fixture_refused("names no DPDK device", "p", "dpdk", "dpdk-devargs", ",x=1", NULL);
	fixture_refused("net_pcap7", "p", "dpdk", "dpdk-devargs",
			"net_pcap7,rx_pcap=/nonexistent.pcap", NULL);
	fixture_refused("n_rxq|1 to 16|'0'", "p", "dpdk", "dpdk-devargs", "net_null0", "n_rxq", "0",
			NULL);
	fixture_refused("n_rxq_desc|'many'", "p", "dpdk", "dpdk-devargs", "net_null0", "n_rxq_desc",
			"many", NULL);
	fixture_refused("0000:ff:1f.7", "p", "dpdk", "dpdk-devargs", "0000:ff:1f.7", NULL);

	fixture_refused("options:path", "p", "vhost-user", NULL);
	fixture_refused("must be absolute", "p", "vhost-user", "path", "vm.sock", NULL);
	fixture_refused("too long|107", "p", "vhost-user", "path", long_path, NULL);
	fixture_refused("'/nowhere'|does not exist", "p", "vhost-user", "path", "/nowhere/s", NULL);
	fixture_refused("not a socket", "p", "vhost-user", "path", "/etc/passwd", NULL);
	fixture_refused("not a socket", "p", "dpdkvhostuser", "path", "/etc/passwd", NULL);
	fixture_refused("not a socket", "p", "dpdkvhostuserclient", "vhost-server-path", "/tmp",
			NULL);
	fixture_refused("give one", "p", "vhost-user", "path", "/tmp/a", "vhost-server-path",
			"/tmp/b", NULL);

	// One socket path serves one port.
	snprintf(path, sizeof(path), "%s/one", fixture_dir);
	snprintf(exact, sizeof(exact), "is used by port 'first'");
	struct vport *first = fixture_open("first", "vhost-user", "path", path, NULL);

	fixture_refused(exact, "second", "vhost-user", "path", path, NULL);
	fixture_refused("'first' is open already", "first", "patch", "peer", "q", NULL);
	vport_close(first);

	fixture_refused("'nosuchif0' does not exist", "nosuchif0", "", NULL);
	fixture_refused("too long|15", "interface-name-of-20", "", NULL);
	fixture_refused("too long|15", "interface-name-of-20", "internal", NULL);
	fixture_refused("too long|15", "interface-name-of-20", "tap", NULL);
	fixture_refused("'mac'|'zz'", "p", "internal", "mac", "zz", NULL);
	fixture_refused("group address", "p", "internal", "mac", "01:00:5e:00:00:01", NULL);
	fixture_refused("the kernel has one", "lo", "internal", NULL);
	fixture_refused("true or false|'maybe'", "lo", "system", "xdp", "maybe", NULL);
	fixture_refused("needs xdp", "lo", "system", "n_rxq", "2", NULL);
}

static void test_ranges(void **state)
{
	struct vport_option peer = { "peer", "q" };
	struct vport_config config = {
		.name = "p", .type = "patch", .options = &peer, .n_options = 1, .mtu_request = 67
	};
	struct error error;

	(void)state;
	assert_null(vport_open(&config, &error));
	assert_non_null(strstr(error.message, "68 to 9702"));
	config.mtu_request = 9703;
	assert_null(vport_open(&config, &error));
	config.mtu_request = 9702;
	config.n_rxq = 17;
	assert_null(vport_open(&config, &error));
	assert_non_null(strstr(error.message, "1 to 16"));
	config.n_rxq = 0;
	struct vport *vport = vport_open(&config, &error);

	assert_non_null(vport);
	assert_int_equal(vport->mtu, 9702);
	assert_false(vport->polled);
	vport_close(vport);
}

static unsigned int n_events;

static void count_event(void *context, struct vport *vport)
{
	assert_string_equal(vport->name, context);
	n_events++;
}

static void ignore_event(void *context, struct vport *vport)
{
	(void)context, (void)vport;
}

static void test_registry(void **state)
{
	struct vport *a = fixture_open("a", "patch", "peer", "x", NULL);
	struct vport *b = fixture_open("b", "patch", "peer", "y", NULL);
	struct vport *c;

	(void)state;
	assert_ptr_equal(vport_by_index(a->index), a);
	assert_int_not_equal(a->index, b->index);
	vport_close(a);
	c = fixture_open("c", "patch", "peer", "z", NULL);
	assert_int_equal(c->index, 0); // dense
	assert_null(vport_by_index(VPORT_MAX));

	vport_set_events(&(struct vport_events){ "b", count_event });
	vport_tick();
	assert_int_equal(n_events, 0);
	vport_mark_changed(b);
	vport_mark_changed(b);
	assert_int_equal(n_events, 0); // not from inside
	vport_tick();
	vport_tick();
	assert_int_equal(n_events, 1);
	vport_set_events(&(struct vport_events){ NULL, ignore_event });
	vport_close(b);
	vport_close(c);

	assert_ptr_equal(vport_class_find(""), vport_class_find("system"));
	assert_ptr_equal(vport_class_find("dpdkvhostuserclient"), vport_class_find("vhost-user"));
	assert_ptr_equal(vport_class_find("dpdkvhostuser"), vport_class_find("vhost-user-server"));
	assert_null(vport_class_find("dpdkvhost"));
	assert_null(vport_class_find(" "));
	assert_string_equal(vport_class_at(0)->type, "vhost-user");
	assert_null(vport_class_at(7));
}

static void test_null(void **state)
{
	struct vport *vport = fixture_open("n", "dpdk", "dpdk-devargs", "net_null0", NULL);
	struct rte_mbuf *packets[32];
	struct vport_class_stats stats = { 0 };
	struct error error;

	(void)state;
	fixture_refused("used by port 'n'", "m", "dpdk", "dpdk-devargs", "net_null0", NULL);
	assert_true(vport->status.link_up);
	assert_int_equal(vport->class->rx(vport, 0, packets, 32), 32);
	assert_int_equal(packets[0]->pkt_len, 64);
	assert_int_equal(vport->class->tx(vport, 0, packets, 32), 32);
	vport->class->get_stats(vport, &stats);
	assert_int_equal(stats.tx_errors, 0);
	assert_int_equal(vport->class->set_mtu(vport, 2000, &error), 0);
	assert_int_equal(vport->mtu, 2000);
	vport_close(vport);

	// The device is gone with the port: it can be attached again.
	vport = fixture_open("n2", "dpdk", "dpdk-devargs", "net_null0", NULL);
	vport_close(vport);
}

// A queue of its own for each worker, each of which comes back on the receive queue of its number.
static void test_ring(void **state)
{
	struct vport *vport;
	struct rte_mbuf *packets[64];
	uint8_t bytes[1000];

	(void)state;
	vport_set_n_workers(4);
	vport = fixture_open("r", "dpdk", "dpdk-devargs", "net_ring0", "n_rxq", "4", NULL);
	assert_int_equal(vport->n_txq, 4);
	assert_int_equal(vport->n_rxq, 4);
	for (unsigned int i = 0; i < 64; i++)
		packets[i] = fixture_packet(60 + i, i);
	for (uint16_t q = 0; q < 4; q++)
		assert_int_equal(vport->class->tx(vport, q, packets + q * 16, 16), 16);
	memset(packets, 0, sizeof(packets));
	unsigned int received = 0;

	for (uint16_t q = 0; q < 4; q++)
		received += vport->class->rx(vport, q, packets + received, 64);
	assert_int_equal(received, 64);
	for (unsigned int i = 0; i < received; i++) {
		uint32_t length = packets[i]->pkt_len;

		fixture_fill(bytes, length, length - 60);
		fixture_compare(packets[i], bytes, length);
	}
	rte_pktmbuf_free_bulk(packets, received);
	vport_close(vport);
	vport_set_n_workers(1);
}

static void write_pcap(const char *path, unsigned int n)
{
	pcap_t *dead = pcap_open_dead(DLT_EN10MB, 65535);
	pcap_dumper_t *dumper = pcap_dump_open(dead, path);

	assert_non_null(dumper);
	for (unsigned int i = 0; i < n; i++) {
		uint8_t bytes[1518];
		struct pcap_pkthdr header = { .len = 60 + i * 10, .caplen = 60 + i * 10 };

		fixture_fill(bytes, header.len, i);
		pcap_dump((u_char *)dumper, &header, bytes);
	}
	pcap_dump_close(dumper);
	pcap_close(dead);
}

static void compare_pcap(const char *path, unsigned int n)
{
	char problem[PCAP_ERRBUF_SIZE];
	pcap_t *pcap = pcap_open_offline(path, problem);
	struct pcap_pkthdr header;

	assert_non_null(pcap);
	for (unsigned int i = 0; i < n; i++) {
		const u_char *data = pcap_next(pcap, &header);
		uint8_t bytes[1518];

		assert_non_null(data);
		assert_int_equal(header.caplen, 60 + i * 10);
		fixture_fill(bytes, header.caplen, i);
		assert_memory_equal(data, bytes, header.caplen);
	}
	assert_null(pcap_next(pcap, &header));
	pcap_close(pcap);
}

// Four workers share the only transmit queue that a pcap device has.
static void test_pcap(void **state)
{
	char in[96], out[96], devargs[256];
	struct rte_mbuf *packets[100];
	struct vport *vport;
	unsigned int n;

	(void)state;
	snprintf(in, sizeof(in), "%s/in.pcap", fixture_dir);
	snprintf(out, sizeof(out), "%s/out.pcap", fixture_dir);
	snprintf(devargs, sizeof(devargs), "net_pcap0,rx_pcap=%s,tx_pcap=%s", in, out);
	write_pcap(in, 100);
	vport_set_n_workers(4);
	vport = fixture_open("pc", "dpdk", "dpdk-devargs", devargs, NULL);
	n = fixture_receive(vport, packets, 100, 2000);
	assert_int_equal(n, 100);
	for (unsigned int i = 0; i < n; i++) {
		uint8_t bytes[1518];

		fixture_fill(bytes, 60 + i * 10, i);
		fixture_compare(packets[i], bytes, 60 + i * 10);
	}
	assert_int_equal(vport->n_txq, 4);
	for (uint16_t q = 0; q < 4; q++)
		assert_int_equal(vport->class->tx(vport, q, packets + q * 25, 25), 25);
	vport_set_n_workers(1);
	vport_close(vport);
	compare_pcap(out, 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_packet_bytes, fixture_check_leaks),
		cmocka_unit_test_teardown(test_packet_exhaustion, fixture_check_leaks),
		cmocka_unit_test_teardown(test_refusals, fixture_check_leaks),
		cmocka_unit_test_teardown(test_ranges, fixture_check_leaks),
		cmocka_unit_test_teardown(test_registry, fixture_check_leaks),
		cmocka_unit_test_teardown(test_null, fixture_check_leaks),
		cmocka_unit_test_teardown(test_ring, fixture_check_leaks),
		cmocka_unit_test_teardown(test_pcap, fixture_check_leaks),
	};

	return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
