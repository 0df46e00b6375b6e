// Ports on the kernel's interfaces: tap, internal, veth; checksums, VLAN tags and large frames that
// the kernel leaves to its cards. All in a network namespace of the test's own.
#include "tests/unit/vport_fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mempool.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include "vport/frame_fd.h"

// A socket that sends and receives raw frames of one interface, with or without virtio_net_hdr.
static int raw_socket(const char *interface, int vnet_hdr)
{
	struct sockaddr_ll address = { .sll_family = AF_PACKET,
				       .sll_protocol = htons(ETH_P_ALL),
				       .sll_ifindex = (int)if_nametoindex(interface) };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, 0);
	int one = 1;

	assert_true(fd >= 0);
	setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one));
	assert_int_equal(setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &vnet_hdr, sizeof(vnet_hdr)),
			 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

// Read frames until one is `bytes`; others (IPv6 chatter) are passed over.
static bool raw_receive(int fd, const uint8_t *bytes, uint32_t length)
{
	static uint8_t buffer[70000];
	struct pollfd wait = { .fd = fd, .events = POLLIN };

	while (poll(&wait, 1, 1000) == 1) {
		ssize_t n = recv(fd, buffer, sizeof(buffer), 0);

		if (n == (ssize_t)length && !memcmp(buffer, bytes, length))
			return true;
	}
	return false;
}

// Receive from the port until a packet has this EtherType at `offset`, freeing others.
static struct rte_mbuf *receive_type(struct vport *vport, uint16_t type, unsigned int offset)
{
	uint64_t end = fixture_now_ms() + 2000;
	struct rte_mbuf *packet;

	while (fixture_now_ms() < end) {
		if (!fixture_receive(vport, &packet, 1, 100))
			continue;
		if (packet->pkt_len >= offset + 2 &&
		    *rte_pktmbuf_mtod_offset(packet, rte_be16_t *, offset) == htons(type))
			return packet;
		rte_pktmbuf_free(packet);
	}
	fail_msg("no packet of type %04x", type);
	return NULL;
}

static void quiet(const char *interface)
{
	fixture_run("echo 1 > /proc/sys/net/ipv6/conf/%s/disable_ipv6", interface);
}

// Frames of all sizes through a device and back, on a packet socket at its kernel side.
static void exchange(struct vport *vport, int fd)
{
	static const uint32_t lengths[] = { 60, 61, 1514, 4000, 9014 };

	for (unsigned int i = 0; i < RTE_DIM(lengths); i++) {
		struct rte_mbuf *packet = fixture_packet(lengths[i], i);
		uint8_t bytes[9014];

		fixture_fill(bytes, lengths[i], i);
		assert_int_equal(vport->class->tx(vport, 0, &packet, 1), 1);
		assert_true(raw_receive(fd, bytes, lengths[i]));
		assert_int_equal(send(fd, bytes, lengths[i], 0), lengths[i]);
		packet = receive_type(vport, 0x88b5, 12);
		fixture_compare(packet, bytes, lengths[i]);
		rte_pktmbuf_free(packet);
	}
}

static void test_tap(void **state)
{
	struct vport *vport = fixture_open("vp-tap0", "tap", NULL);
	struct error error;
	int fd;

	(void)state;
	quiet("vp-tap0");
	assert_true(vport->status.link_up);
	assert_int_equal(vport->status.ifindex, if_nametoindex("vp-tap0"));
	assert_int_equal(vport->status.mtu, 1500);
	fixture_refused("'vp-tap0' is open already", "vp-tap0", "tap", NULL);
	fixture_run("ip tuntap add vp-tap9 mode tun");
	fixture_refused("the kernel has one", "vp-tap9", "tap", NULL);
	fixture_run("ip tuntap del vp-tap9 mode tun");
	assert_int_equal(vport->class->set_mtu(vport, 9000, &error), 0);
	fd = raw_socket("vp-tap0", 0);
	exchange(vport, fd);
	close(fd);

	assert_int_equal(vport->class->set_admin(vport, false, &error), 0);
	vport_tick();
	assert_false(vport->status.link_up);
	assert_false(vport->status.admin_up);
	// Sending to an interface that is down takes nothing.
	struct rte_mbuf *packet = fixture_packet(60, 1);

	assert_int_equal(vport->class->tx(vport, 0, &packet, 1), 0);
	rte_pktmbuf_free(packet);
	assert_int_equal(vport->class->set_admin(vport, true, &error), 0);
	vport_tick();
	assert_true(vport->status.link_up);
	assert_int_equal(vport->status.link_resets, 2);
	vport_close(vport);
	assert_int_equal(if_nametoindex("vp-tap0"), 0); // not persistent
}

static void test_internal(void **state)
{
	static const uint8_t mac[6] = { 0x02, 0xaa, 0, 0, 0, 0x17 };
	struct vport *vport = fixture_open("vp-br0", "internal", "mac", "02:aa:00:00:00:17", NULL);

	(void)state;
	assert_memory_equal(vport->status.mac, mac, 6);
	assert_true(vport->status.link_up);
	assert_int_equal(vport->status.problem, 0);
	vport_close(vport);
}

// A user moves the interface into a namespace: it goes on working, only its state is not visible.
static void test_tap_moved(void **state)
{
	struct vport *vport = fixture_open("vp-move", "internal", NULL);
	struct rte_mbuf *packet;
	struct error error;
	bool up = vport->status.link_up;

	(void)state;
	fixture_run("ip netns add vp-ns%d", getpid());
	fixture_run("ip link set vp-move netns vp-ns%d", getpid());
	fixture_run("ip netns exec vp-ns%d ip link set vp-move up", getpid());
	for (unsigned int i = 0; i < 5; i++)
		vport_tick();
	assert_int_equal(vport->status.link_up, up);
	assert_null(vport->status.problem);
	assert_int_equal(vport->class->set_mtu(vport, 1400, &error), -ENODEV);
	print_message("%s\n", error.message);
	fixture_run("ip netns exec vp-ns%d ip addr add 10.9.9.1/24 dev vp-move", getpid());
	fixture_run("ip netns exec vp-ns%d timeout 1 ping -c1 -W1 10.9.9.2 >/dev/null || true",
		    getpid());
	packet = receive_type(vport, RTE_ETHER_TYPE_ARP, 12);
	rte_pktmbuf_free(packet);
	fixture_run("ip netns del vp-ns%d", getpid());
	// The namespace's end deletes the interface: link down, and no spinning.
	assert_true(fixture_wait_link(vport, false, 20000) >= 0);
	vport_close(vport);
}

static void test_tap_deleted(void **state)
{
	struct vport *vport = fixture_open("vp-del", "tap", NULL);
	struct rte_mbuf *packets[8];
	struct pollfd wait = { .events = POLLIN };

	(void)state;
	quiet("vp-del");
	fixture_run("ip link del vp-del");
	assert_int_equal(vport->class->rx(vport, 0, packets, 8), 0);
	assert_true(fixture_wait_link(vport, false, 1000) >= 0);
	assert_non_null(vport->status.problem);
	wait.fd = vport->class->arm(vport, 0);
	assert_true(wait.fd >= 0);
	assert_int_equal(poll(&wait, 1, 20), 0); // a worker sleeps in peace
	vport->class->disarm(vport, 0);
	packets[0] = fixture_packet(60, 1);
	assert_int_equal(vport->class->tx(vport, 0, packets, 1), 0);
	rte_pktmbuf_free(packets[0]);
	vport_close(vport);
}

static void test_arm(void **state)
{
	struct vport *vport = fixture_open("vp-arm", "tap", NULL);
	struct pollfd wait = { .events = POLLIN };
	struct rte_mbuf *packet;
	uint8_t bytes[60];
	int fd;

	(void)state;
	quiet("vp-arm");
	fd = raw_socket("vp-arm", 0);
	fixture_fill(bytes, sizeof(bytes), 3);
	while (fixture_receive(vport, &packet, 1, 50))
		rte_pktmbuf_free(packet);
	for (unsigned int i = 0; i < 3; i++) {
		wait.fd = vport->class->arm(vport, 0);
		assert_int_equal(poll(&wait, 1, 0), 0);
		assert_int_equal(send(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
		assert_int_equal(poll(&wait, 1, 1000), 1);
		vport->class->disarm(vport, 0);
		assert_int_equal(vport->class->rx(vport, 0, &packet, 1), 1); // at once
		fixture_compare(packet, bytes, sizeof(bytes));
		rte_pktmbuf_free(packet);
	}
	close(fd);
	vport_close(vport);
}

// The kernel starts a new link some time after it is set up, and drops what is sent before.
static void wait_running(const char *interface)
{
	struct netif_state state = { .running = false };

	for (unsigned int i = 0; i < 500 && !state.running; i++) {
		assert_int_equal(netif_get(netif_index(interface), &state), 0);
		usleep(10000);
	}
	assert_true(state.running);
}

static void make_veth(void)
{
	fixture_run("ip link add vp-a type veth peer name vp-b");
	fixture_run(
		"sysctl -qw net.ipv6.conf.vp-a.disable_ipv6=1 net.ipv6.conf.vp-b.disable_ipv6=1");
	fixture_run("ip link set vp-a up mtu 9000; ip link set vp-b up mtu 9000");
	wait_running("vp-a");
	wait_running("vp-b");
}

static struct vport *open_veth(void)
{
	make_veth();
	return fixture_open("vp-b", "", NULL);
}

static void close_veth(struct vport *vport)
{
	vport_close(vport);
	fixture_run("ip link del vp-a");
}

static void test_veth(void **state)
{
	struct vport *vport = open_veth();
	int fd = raw_socket("vp-a", 0);

	(void)state;
	assert_true(vport->status.link_up);
	assert_int_equal(vport->status.mtu, 9000);
	assert_int_equal(vport->status.link_speed, 10000000000ULL);
	exchange(vport, fd);
	fixture_run("ip link set vp-a down");
	assert_true(fixture_wait_link(vport, false, 1000) >= 0);
	fixture_run("ip link set vp-a up");
	assert_true(fixture_wait_link(vport, true, 1000) >= 0);
	close(fd);
	close_veth(vport);
}

// A frame that is too long for the interface costs itself only.
static void test_veth_oversize(void **state)
{
	struct vport *vport = open_veth();
	struct vport_class_stats stats = { 0 };
	struct rte_mbuf *packets[3];
	uint8_t bytes[100];
	int fd = raw_socket("vp-a", 0);

	(void)state;
	packets[0] = fixture_packet(9600, 1);
	packets[1] = fixture_packet(100, 2);
	packets[2] = fixture_packet(100, 3);
	assert_int_equal(vport->class->tx(vport, 0, packets, 3), 3);
	fixture_fill(bytes, 100, 2);
	assert_true(raw_receive(fd, bytes, 100));
	fixture_fill(bytes, 100, 3);
	assert_true(raw_receive(fd, bytes, 100));
	vport->class->get_stats(vport, &stats);
	assert_int_equal(stats.tx_errors, 1);
	close(fd);
	close_veth(vport);
}

// The kernel takes tags off on receive; they are back in the data, one or two of them.
static void test_veth_vlan(void **state)
{
	static const uint8_t tags[] = { 0x88, 0xa8, 0x20, 0x64, 0x81, 0x00, 0x60, 0x0a };
	struct vport *vport = open_veth();
	int fd = raw_socket("vp-a", 0);

	(void)state;
	for (unsigned int first = 0; first <= 4; first += 4) { // both tags, then the inner alone
		uint32_t size = (uint32_t)sizeof(tags) - first;
		uint8_t plain[200], bytes[208];
		struct rte_mbuf *packet;

		fixture_fill(plain, sizeof(plain), 5);
		memcpy(bytes, plain, 12);
		memcpy(bytes + 12, tags + first, size);
		memcpy(bytes + 12 + size, plain + 12, sizeof(plain) - 12);
		assert_int_equal(send(fd, bytes, sizeof(plain) + size, 0), sizeof(plain) + size);
		packet = receive_type(vport, 0x88b5, 12 + size);
		fixture_compare(packet, bytes, (uint32_t)sizeof(plain) + size);
		assert_int_equal(vport->class->tx(vport, 0, &packet, 1), 1);
	}
	close(fd);
	close_veth(vport);
}

// Returns the checksum verdict of an IPv4 or IPv6 packet with TCP or UDP.
static bool checksums_good(const uint8_t *frame, uint32_t length)
{
	const uint8_t *ip = frame + 14;

	(void)length;
	if (ip[0] >> 4 == 6)
		return !rte_ipv6_udptcp_cksum_verify((const void *)ip, ip + 40);
	return !rte_ipv4_udptcp_cksum_verify((const void *)ip, ip + (ip[0] & 15) * 4) &&
	       rte_raw_cksum(ip, (size_t)(ip[0] & 15) * 4) == 0xffff;
}

// A host's own UDP leaves its checksum to the card, and we to whom we hand it, or complete it.
static void udp_checksum(uint32_t no_offloads)
{
	struct vport *vport = open_veth();
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(4242) };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	char payload[501];

	vport_set_offloads(vport, no_offloads);
	fixture_run("ip addr add 10.8.8.1/24 dev vp-a");
	fixture_run("ip neigh add 10.8.8.2 lladdr 02:00:00:00:00:02 dev vp-a");
	inet_pton(AF_INET, "10.8.8.2", &to.sin_addr);
	for (unsigned int i = 0; i < 50; i++) {
		struct rte_mbuf *packet;

		memset(payload, (int)i, sizeof(payload));
		assert_int_equal(
			sendto(fd, payload, 450 + i, 0, (struct sockaddr *)&to, sizeof(to)),
			450 + i);
		packet = receive_type(vport, RTE_ETHER_TYPE_IPV4, 12);
		assert_int_equal(packet->pkt_len, 14 + 20 + 8 + 450 + i);
		assert_int_equal(packet->ol_flags & PACKET_OFFLOADS,
				 no_offloads ? 0 : RTE_MBUF_F_TX_UDP_CKSUM);
		if (!no_offloads)
			offload_complete(packet);
		assert_true(checksums_good(rte_pktmbuf_mtod(packet, uint8_t *), packet->pkt_len));
		assert_true(rte_pktmbuf_mtod(packet, uint8_t *)[14 + 20 + 6] |
			    rte_pktmbuf_mtod(packet, uint8_t *)[14 + 20 + 7]);
		rte_pktmbuf_free(packet);
	}
	close(fd);
	close_veth(vport);
}

static void test_veth_checksum(void **state)
{
	(void)state;
	udp_checksum(0);
	udp_checksum(OFFLOAD_CHECKSUM);
}

struct large {
	uint8_t frame[GSO_MAX_FRAME];
	uint32_t length;
	uint32_t headers;
	struct virtio_net_hdr vnet;
};

// A TCP frame of `payload` bytes as a card that segments would be given it.
static void large_tcp(struct large *large, bool ipv6, uint32_t payload, uint16_t size)
{
	uint32_t l4 = 14 + (ipv6 ? 40u : 20u);
	struct rte_tcp_hdr *tcp = (void *)(large->frame + l4);
	uint16_t sum;

	large->headers = l4 + 32;
	large->length = large->headers + payload;
	fixture_fill(large->frame, large->length, 77);
	memset(large->frame + 12, 0, large->headers - 12);
	memset(large->frame + l4 + 20, 1, 12); // options: no-operation
	tcp->src_port = htons(1000);
	tcp->dst_port = htons(2000);
	tcp->sent_seq = htonl(0xfffffff0u); // wraps
	tcp->recv_ack = htonl(5);
	tcp->data_off = 8 << 4;
	tcp->tcp_flags = RTE_TCP_ACK_FLAG | RTE_TCP_PSH_FLAG | RTE_TCP_FIN_FLAG | RTE_TCP_CWR_FLAG;
	if (ipv6) {
		struct rte_ipv6_hdr *ip = (void *)(large->frame + 14);

		ip->vtc_flow = htonl(6u << 28);
		ip->payload_len = htons((uint16_t)(large->length - l4));
		ip->proto = IPPROTO_TCP;
		ip->hop_limits = 64;
		ip->src_addr[0] = 0xfd;
		ip->dst_addr[0] = 0xfe;
		large->frame[12] = 0x86;
		large->frame[13] = 0xdd;
		sum = rte_ipv6_phdr_cksum(ip, 0);
	} else {
		struct rte_ipv4_hdr *ip = (void *)(large->frame + 14);

		ip->version_ihl = 0x45;
		ip->total_length = htons((uint16_t)(large->length - 14));
		ip->packet_id = htons(0xfffe); // wraps
		ip->fragment_offset = htons(RTE_IPV4_HDR_DF_FLAG);
		ip->time_to_live = 64;
		ip->next_proto_id = IPPROTO_TCP;
		ip->src_addr = htonl(0x0a000001);
		ip->dst_addr = htonl(0x0a000002);
		ip->hdr_checksum = rte_ipv4_cksum(ip);
		large->frame[12] = 8;
		sum = rte_ipv4_phdr_cksum(ip, 0);
	}
	tcp->cksum = sum;
	large->vnet = (struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = (ipv6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4) |
			    VIRTIO_NET_HDR_GSO_ECN,
		.hdr_len = (uint16_t)large->headers,
		.gso_size = size,
		.csum_start = (uint16_t)l4,
		.csum_offset = 16,
	};
}

// Segment `index` must be what the large frame says; returns its payload size.
static uint32_t check_segment(const struct large *large, struct rte_mbuf *packet,
			      unsigned int index, uint32_t offset)
{
	bool ipv6 = large->frame[12] == 0x86;
	uint32_t l4 = large->headers - 32;
	uint8_t copy[FIXTURE_PACKETS * 4];
	const uint8_t *frame = rte_pktmbuf_read(packet, 0, packet->pkt_len, copy);
	const struct rte_tcp_hdr *tcp = (const void *)(frame + l4);
	uint32_t size = packet->pkt_len - large->headers;
	bool last = large->headers + offset + size == large->length;

	assert_int_equal(size, RTE_MIN(large->length - large->headers - offset,
				       (uint32_t)large->vnet.gso_size));
	assert_memory_equal(frame, large->frame, 14);
	assert_memory_equal(frame + large->headers, large->frame + large->headers + offset, size);
	assert_true(checksums_good(frame, packet->pkt_len));
	assert_int_equal(ntohl(tcp->sent_seq), (uint32_t)(0xfffffff0u + offset));
	assert_int_equal(tcp->tcp_flags, RTE_TCP_ACK_FLAG | (index ? 0 : RTE_TCP_CWR_FLAG) |
						 (last ? RTE_TCP_PSH_FLAG | RTE_TCP_FIN_FLAG : 0));
	assert_memory_equal(frame + l4 + 20, large->frame + l4 + 20, 12);
	if (ipv6) {
		assert_int_equal(ntohs(((const struct rte_ipv6_hdr *)(frame + 14))->payload_len),
				 packet->pkt_len - l4);
	} else {
		const struct rte_ipv4_hdr *ip = (const void *)(frame + 14);

		assert_int_equal(ntohs(ip->total_length), packet->pkt_len - 14);
		assert_int_equal(ntohs(ip->packet_id), (uint16_t)(0xfffe + index));
	}
	return size;
}

// Large TCP frames arrive as segments whose every field is right, whatever the batch size.
static void test_veth_gso(void **state)
{
	static const struct {
		uint32_t payload;
		uint16_t size;
	} cases[] = { { 1449, 1448 }, { 40000, 1448 }, { 64000, 536 }, { 30000, 8900 } };
	static struct large large;
	struct vport *vport = open_veth();
	struct vport_class_stats stats = { 0 };
	int fd = raw_socket("vp-a", 1);

	(void)state;
	vport_set_offloads(vport, OFFLOAD_ALL);
	assert_int_equal(vport_offloads(vport), 0);
	for (unsigned int i = 0; i < 2 * RTE_DIM(cases); i++) {
		uint32_t payload = cases[i / 2].payload;
		uint32_t offset = 0;
		unsigned int index = 0;

		large_tcp(&large, i & 1, payload, cases[i / 2].size);
		struct iovec vectors[2] = { { &large.vnet, sizeof(large.vnet) },
					    { large.frame, large.length } };

		if (writev(fd, vectors, 2) != (ssize_t)(sizeof(large.vnet) + large.length))
			fail_msg("case %u: %s", i, strerror(errno));
		while (offset < payload) {
			struct rte_mbuf *packets[7];
			unsigned int n = fixture_receive(vport, packets, i % 7 + 1, 1000);

			assert_int_not_equal(n, 0);
			for (unsigned int k = 0; k < n; k++)
				offset += check_segment(&large, packets[k], index++, offset);
			rte_pktmbuf_free_bulk(packets, n);
		}
		assert_int_equal(offset, payload);
		// It was us who cut it, not the kernel on the way.
		assert_int_equal(((struct frame_fd *)vport)->gso.index, index);
	}
	vport->class->get_stats(vport, &stats);
	assert_int_equal(stats.rx_errors, 0);
	assert_int_equal(stats.rx_missed_errors, 0);
	close(fd);
	close_veth(vport);
}

// Large frames come and go whole, with what their header says.
static void large_whole(struct vport *vport, int fd)
{
	static struct large large, back;

	for (unsigned int i = 0; i < 20; i++) {
		struct rte_mbuf *packet;
		struct pollfd wait = { .fd = fd, .events = POLLIN };
		struct iovec vectors[2] = { { &large.vnet, sizeof(large.vnet) },
					    { large.frame, 0 } };
		ssize_t size = 0;

		large_tcp(&large, i & 1, 1449 + 3300 * i, 1448);
		if (i & 2) { // a first segment that everybody knows
			large.frame[large.headers - 32 + 13] &= (uint8_t)~RTE_TCP_CWR_FLAG;
			large.vnet.gso_type &= (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
		}
		vectors[1].iov_len = large.length;
		assert_int_equal(writev(fd, vectors, 2), sizeof(large.vnet) + large.length);
		packet = receive_type(vport, i & 1 ? RTE_ETHER_TYPE_IPV6 : RTE_ETHER_TYPE_IPV4, 12);
		assert_int_equal(packet->pkt_len, large.length);
		assert_int_equal(packet->tso_segsz, 1448);
		assert_int_equal(packet_wire_count(packet), (1449 + 3300 * i + 1447) / 1448);
		assert_int_equal(packet_wire_longest(packet), large.headers + 1448);
		assert_true(offload_fits(packet, vport_offloads(vport)));
		assert_int_equal(vport->class->tx(vport, 0, &packet, 1), 1);
		vectors[0].iov_base = &back.vnet;
		vectors[1] = (struct iovec){ back.frame, sizeof(back.frame) };
		while (size != (ssize_t)(sizeof(large.vnet) + large.length) &&
		       poll(&wait, 1, 1000) == 1)
			size = readv(fd, vectors, 2);
		assert_int_equal(size, sizeof(large.vnet) + large.length);
		assert_memory_equal(back.frame, large.frame, large.length);
		assert_int_equal(back.vnet.gso_type, large.vnet.gso_type);
		assert_int_equal(back.vnet.gso_size, 1448);
		assert_int_equal(back.vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM,
				 VIRTIO_NET_HDR_F_NEEDS_CSUM);
		assert_int_equal(back.vnet.csum_start, large.vnet.csum_start);
		assert_int_equal(back.vnet.csum_offset, 16);
	}
}

static void test_veth_large_whole(void **state)
{
	struct vport *vport = open_veth();
	int fd = raw_socket("vp-a", 1);

	(void)state;
	large_whole(vport, fd);
	close(fd);
	close_veth(vport);
}

static void test_tap_large_whole(void **state)
{
	struct vport *vport = fixture_open("vp-tap0", "tap", NULL);
	int fd;

	(void)state;
	quiet("vp-tap0");
	assert_true(fixture_wait_link(vport, true, 1000) >= 0);
	assert_true(vport_offloads(vport) & OFFLOAD_TSO6);
	fd = raw_socket("vp-tap0", 1);
	large_whole(vport, fd);
	// Switched off, nothing large comes in: the kernel cuts it.
	vport_set_offloads(vport, OFFLOAD_TSO4 | OFFLOAD_TSO6);
	assert_int_equal(vport->offloads & (OFFLOAD_TSO4 | OFFLOAD_TSO6 | OFFLOAD_ECN), 0);
	assert_true(vport->offloads & OFFLOAD_CHECKSUM);
	close(fd);
	vport_close(vport);
}

// UDP_SEGMENT: one send of many datagrams.
static void test_veth_udp_gso(void **state)
{
	struct vport *vport = open_veth();
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(4242) };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	int size = 1000;
	uint8_t payload[10500];
	uint32_t offset = 0;

	(void)state;
	vport_set_offloads(vport, OFFLOAD_ALL);
	fixture_run("ip addr add 10.8.8.1/24 dev vp-a");
	fixture_run("ip neigh add 10.8.8.2 lladdr 02:00:00:00:00:02 dev vp-a");
	inet_pton(AF_INET, "10.8.8.2", &to.sin_addr);
	fixture_fill(payload, sizeof(payload), 9);
	assert_int_equal(setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size)), 0);
	assert_int_equal(
		sendto(fd, payload, sizeof(payload), 0, (struct sockaddr *)&to, sizeof(to)),
		sizeof(payload));
	for (unsigned int i = 0; i < 11; i++) {
		struct rte_mbuf *packet = receive_type(vport, RTE_ETHER_TYPE_IPV4, 12);
		uint8_t *frame = rte_pktmbuf_mtod(packet, uint8_t *);

		assert_true(checksums_good(frame, packet->pkt_len));
		assert_memory_equal(frame + 42, payload + offset, packet->pkt_len - 42);
		offset += packet->pkt_len - 42;
		rte_pktmbuf_free(packet);
	}
	assert_int_equal(offset, sizeof(payload));
	close(fd);
	close_veth(vport);
}

// Deleted and made again: the port says so, sleeps meanwhile, and takes it up again.
static void test_veth_deleted(void **state)
{
	struct vport *vport = open_veth();
	struct pollfd wait = { .events = POLLIN };
	struct rte_mbuf *packets[8];
	int fd;

	(void)state;
	fixture_run("ip link del vp-a");
	assert_true(fixture_wait_link(vport, false, 1000) >= 0);
	assert_string_equal(vport->status.problem, "the interface does not exist");
	vport->class->disarm(vport, 0);
	assert_int_equal(vport->class->rx(vport, 0, packets, 8), 0);
	wait.fd = vport->class->arm(vport, 0);
	assert_int_equal(poll(&wait, 1, 20), 0);
	vport->class->disarm(vport, 0);
	packets[0] = fixture_packet(60, 1);
	assert_int_equal(vport->class->tx(vport, 0, packets, 1), 0);
	rte_pktmbuf_free(packets[0]);

	make_veth();
	assert_true(fixture_wait_link(vport, true, 2000) >= 0);
	assert_null(vport->status.problem);
	fd = raw_socket("vp-a", 0);
	exchange(vport, fd);
	close(fd);
	close_veth(vport);
}

// options:xdp=true: the same interface through AF_XDP, as an ethdev.
static void test_veth_xdp(void **state)
{
	struct vport_option xdp = { "xdp", "true" };
	struct vport_config config = { .name = "vp-b",
				       .type = "system",
				       .options = &xdp,
				       .n_options = 1,
				       .mtu_request = 1500 };
	struct rte_mbuf *packet = fixture_packet(500, 1);
	struct vport *vport = open_veth();
	struct error error;
	uint8_t bytes[500];
	int fd = raw_socket("vp-a", 0);

	(void)state;
	vport_close(vport);
	fixture_run("ip link set vp-a mtu 1500; ip link set vp-b mtu 1500");
	error_clear(&error);
	vport = vport_open(&config, &error);
	if (!vport)
		print_message("%s\n", error.message);
	assert_non_null(vport);
	fixture_fill(bytes, sizeof(bytes), 1);
	assert_int_equal(vport->class->tx(vport, 0, &packet, 1), 1);
	assert_true(raw_receive(fd, bytes, sizeof(bytes)));
	assert_int_equal(send(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
	packet = receive_type(vport, 0x88b5, 12);
	fixture_compare(packet, bytes, sizeof(bytes));
	rte_pktmbuf_free(packet);
	close(fd);
	close_veth(vport);
}

// Headers that lie: no byte outside the frame is touched (run with SANITIZE=address).
static void test_gso_hostile(void **state)
{
	static struct large large;
	unsigned int refused = 0, cut = 0;

	(void)state;
	srand(4711);
	for (unsigned int i = 0; i < 100000; i++) {
		uint32_t payload = (uint32_t)rand() % 300;
		struct rte_mbuf *packet, *part;
		struct gso gso;
		unsigned int segments = 0;

		large_tcp(&large, i & 1, payload, (uint16_t)(rand() % 100));
		large.vnet.gso_type = (uint8_t)(rand() % 4 ? large.vnet.gso_type : rand());
		for (int flips = rand() % 3; flips > 0; flips--)
			large.frame[rand() % (int)large.headers] = (uint8_t)rand();
		large.length -= (uint32_t)rand() % 3 ? 0 : (uint32_t)rand() % large.length;
		packet = packet_from_bytes(large.frame, large.length);
		if (offload_from_virtio(packet, &large.vnet)) {
			refused++;
		} else if (packet_is_large(packet)) {
			gso_start(&gso, packet);
			while (gso_more(&gso)) {
				part = gso_next(&gso);
				if (part->ol_flags & PACKET_OFFLOADS)
					offload_complete(part);
				rte_pktmbuf_free(part);
				segments++;
			}
			assert_int_equal(segments, packet_wire_count(packet));
			cut++;
			assert_in_range(segments, 1, 300 / 8 + 1);
		}
		rte_pktmbuf_free(packet);
	}
	print_message("hostile: %u refused, %u cut\n", refused, cut);
	assert_true(refused > 1000 && cut > 1000);
}

// What libxdp and DPDK's driver for it do not free is not ours.
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:xsk_umem__create\n";
}

static int start(void **state)
{

	if (geteuid() || unshare(CLONE_NEWNET)) {
		print_message("SKIP: needs root and network namespaces\n");
		exit(77);
	}
	return fixture_start(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_tap, fixture_check_leaks),
		cmocka_unit_test_teardown(test_internal, fixture_check_leaks),
		cmocka_unit_test_teardown(test_tap_moved, fixture_check_leaks),
		cmocka_unit_test_teardown(test_tap_deleted, fixture_check_leaks),
		cmocka_unit_test_teardown(test_arm, fixture_check_leaks),
		cmocka_unit_test_teardown(test_veth, fixture_check_leaks),
		cmocka_unit_test_teardown(test_veth_oversize, fixture_check_leaks),
		cmocka_unit_test_teardown(test_veth_vlan, fixture_check_leaks),
		cmocka_unit_test_teardown(test_veth_checksum, fixture_check_leaks),
		cmocka_unit_test_teardown(test_veth_large_whole, fixture_check_leaks),
		cmocka_unit_test_teardown(test_tap_large_whole, fixture_check_leaks),
		cmocka_unit_test_teardown(test_veth_gso, fixture_check_leaks),
		cmocka_unit_test_teardown(test_veth_udp_gso, fixture_check_leaks),
		cmocka_unit_test_teardown(test_veth_deleted, fixture_check_leaks),
		cmocka_unit_test_teardown(test_gso_hostile, fixture_check_leaks),
		// Last, and without the check: DPDK's driver keeps what is in its fill queue.
		cmocka_unit_test(test_veth_xdp),
	};

	return cmocka_run_group_tests(tests, start, fixture_stop);
}
