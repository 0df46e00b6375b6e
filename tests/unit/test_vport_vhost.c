// vhost-user ports against dpdk-testpmd with a virtio-user device, which sends back what it gets,
// and against a bare listener that shows how soon we connect.
#include "tests/unit/vport_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <rte_mempool.h>
#include <rte_vhost.h>

#include "common/clock.h"
#include "common/rcu.h"
#include "vport/guest.h"
#include "vport/vhost.h"
#include "vport/vhost_door.h"

#define TICK_MS 50
// No other frame here is that long.
#define WARM_UP_LENGTH 1700

struct peer {
	pid_t pid;
	int input; // testpmd runs until this is closed
};

// Which of its device's offloads testpmd uses; NULL: as it likes.
static const char *peer_offloads;

// A guest's side: `device` are the arguments of net_virtio_user0.
static struct peer peer_start_queues(const char *device, unsigned int n_queues)
{
	static unsigned int n;
	char prefix[64], vdev[256], rxq[16], txq[16];
	struct peer peer;
	int pipe_fds[2];

	snprintf(prefix, sizeof(prefix), "--file-prefix=vport-peer-%d-%u", getpid(), n++);
	snprintf(vdev, sizeof(vdev), "net_virtio_user0,%s", device);
	snprintf(rxq, sizeof(rxq), "--rxq=%u", n_queues);
	snprintf(txq, sizeof(txq), "--txq=%u", n_queues);
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	peer.pid = fork();
	assert_true(peer.pid >= 0);
	if (!peer.pid) {
		int log = open("/dev/null", O_WRONLY);

		dup2(pipe_fds[0], 0);
		dup2(log, 1);
		dup2(log, 2);
		execlp("dpdk-testpmd", "dpdk-testpmd", "--no-huge", "--no-shconf", "-m", "128",
		       "--no-pci", "--no-telemetry", prefix, "-l", "0,1", "--vdev", vdev, "--",
		       "--forward-mode=io", "--total-num-mbufs=4096", rxq, txq, peer_offloads,
		       NULL);
		_exit(127);
	}
	close(pipe_fds[0]);
	peer.input = pipe_fds[1];
	return peer;
}

static struct peer peer_start(const char *device)
{
	return peer_start_queues(device, 1);
}

static void peer_kill(struct peer *peer)
{
	kill(peer->pid, SIGKILL);
	waitpid(peer->pid, NULL, 0);
	close(peer->input);
}

// A guest that leaves properly: stops its rings first.
static void peer_stop(struct peer *peer)
{
	if (write(peer->input, "\n", 1) != 1)
		fail_msg("the peer is gone");
	close(peer->input);
	waitpid(peer->pid, NULL, 0);
}

static bool have_testpmd(void)
{
	return !system("command -v dpdk-testpmd >/dev/null");
}

// Receive n packets; those of warm_up() that a busy machine delivers late do not count.
static unsigned int receive(struct vport *vport, struct rte_mbuf **packets, unsigned int n,
			    unsigned int ms)
{
	const uint64_t end = fixture_now_ms() + ms;
	unsigned int received = 0;

	while (received < n && fixture_now_ms() < end) {
		const unsigned int got = fixture_receive(vport, packets + received, 1, ms);

		if (got && packets[received]->pkt_len == WARM_UP_LENGTH)
			rte_pktmbuf_free(packets[received]);
		else
			received += got;
	}
	return received;
}

// Send frames of many sizes one burst after the other, and have all back unchanged and in order.
static void echo(struct vport *vport, unsigned int bursts)
{
	for (unsigned int burst = 0; burst < bursts; burst++) {
		struct rte_mbuf *packets[16], *back[16];
		unsigned int n;

		for (unsigned int i = 0; i < 16; i++)
			packets[i] = fixture_packet(60 + (burst * 97 + i * 13) % 1455, burst + i);
		assert_int_equal(vport->class->tx(vport, 0, packets, 16), 16);
		n = receive(vport, back, 16, 10000);
		assert_int_equal(n, 16);
		for (unsigned int i = 0; i < 16; i++) {
			uint32_t length = 60 + (burst * 97 + i * 13) % 1455;
			uint8_t bytes[1518];

			fixture_fill(bytes, length, burst + i);
			fixture_compare(back[i], bytes, length);
			assert_int_equal(back[i]->ol_flags, 0);
		}
		rte_pktmbuf_free_bulk(back, n);
	}
}

// The first packets after a start may find the peer's rings not filled yet.
static void warm_up(struct vport *vport)
{
	for (unsigned int i = 0; i < 200; i++) {
		struct rte_mbuf *packet = fixture_packet(WARM_UP_LENGTH, 1);

		if (!vport->class->tx(vport, 0, &packet, 1))
			rte_pktmbuf_free(packet);
		else if (fixture_receive(vport, &packet, 1, 100)) {
			rte_pktmbuf_free(packet);
			break;
		}
		usleep(10000);
	}
	struct rte_mbuf *late;

	while (fixture_receive(vport, &late, 1, 50))
		rte_pktmbuf_free(late);
}

// Asleep on the descriptor, woken by the guest's kick, time after time.
static void sleep_and_wake(struct vport *vport)
{
	struct pollfd wait = { .events = POLLIN };
	uint64_t worst = 0;

	for (unsigned int i = 0; i < 200; i++) {
		struct rte_mbuf *packet = fixture_packet(100, i);
		uint64_t start;
		uint8_t bytes[100];

		wait.fd = vport->class->arm(vport, 0);
		assert_true(wait.fd >= 0);
		if (i == 100)
			assert_int_equal(poll(&wait, 1, 50), 0);
		start = clock_monotonic_ns();
		assert_int_equal(vport->class->tx(vport, 0, &packet, 1), 1);
		if (poll(&wait, 1, 2000) != 1)
			fail_msg("no wake-up in round %u", i);
		worst = RTE_MAX(worst, clock_monotonic_ns() - start);
		vport->class->disarm(vport, 0);
		assert_int_equal(fixture_receive(vport, &packet, 1, 100), 1);
		fixture_fill(bytes, 100, i);
		fixture_compare(packet, bytes, 100);
		rte_pktmbuf_free(packet);
	}
	print_message("200 wake-ups by kick, slowest %llu us after sending\n",
		      (unsigned long long)(worst / 1000));

	// What came in before arming makes the descriptor readable at once.
	struct rte_mbuf *packet = fixture_packet(100, 1);

	assert_int_equal(vport->class->tx(vport, 0, &packet, 1), 1);
	usleep(100000);
	wait.fd = vport->class->arm(vport, 0);
	assert_int_equal(poll(&wait, 1, 0), 1);
	vport->class->disarm(vport, 0);
	assert_int_equal(fixture_receive(vport, &packet, 1, 100), 1);
	rte_pktmbuf_free(packet);
}

static void client_round(const char *ring_options)
{
	char path[96], device[160];
	struct vport *vport;
	struct peer peer;
	uint64_t features;

	snprintf(path, sizeof(path), "%s/vm1", fixture_dir);
	snprintf(device, sizeof(device), "path=%s,server=1,queues=1%s", path, ring_options);
	vport = fixture_open("vm1", "dpdkvhostuserclient", "vhost-server-path", path, NULL);
	assert_false(vport->status.link_up);
	assert_true(vport->class->arm(vport, 0) >= 0); // a worker may sleep without a guest
	vport->class->disarm(vport, 0);
	peer = peer_start(device);
	assert_true(fixture_wait_link(vport, true, 10000) >= 0);
	assert_int_equal(
		rte_vhost_get_negotiated_features(((struct vhost_port *)vport)->vid, &features), 0);
	// What we cannot carry is not offered.
	assert_int_equal(
		features & (1ULL << VIRTIO_NET_F_GUEST_ECN | 1ULL << VIRTIO_NET_F_GUEST_UFO), 0);
	assert_true(features & (1ULL << VIRTIO_NET_F_MRG_RXBUF));
	assert_int_equal(!!(features & (1ULL << 34)), !!*ring_options);
	warm_up(vport);
	echo(vport, 200);
	sleep_and_wake(vport);
	peer_stop(&peer);
	assert_true(fixture_wait_link(vport, false, 2000) >= 0);
	vport_close(vport);
	unlink(path);
}

static void test_client(void **state)
{
	(void)state;
	if (!have_testpmd())
		skip();
	client_round("");
}

static void test_client_packed(void **state)
{
	(void)state;
	if (!have_testpmd())
		skip();
	client_round(",packed_vq=1");
}

static void test_server(void **state)
{
	char path[96], device[160];
	struct vport *vport;
	struct peer peer;
	struct stat status;

	(void)state;
	if (!have_testpmd())
		skip();
	// A socket file that a killed daemon left is no obstacle.
	snprintf(path, sizeof(path), "%s/vm2", fixture_dir);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int stale = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	assert_int_equal(bind(stale, (struct sockaddr *)&address, sizeof(address)), 0);
	close(stale);
	vport = fixture_open("vm2", "dpdkvhostuser", NULL);

	snprintf(device, sizeof(device), "path=%s,queues=1", path);
	for (unsigned int i = 0; i < 2; i++) {
		peer = peer_start(device);
		assert_true(fixture_wait_link(vport, true, 10000) >= 0);
		warm_up(vport);
		echo(vport, 100);
		peer_kill(&peer);
		assert_true(fixture_wait_link(vport, false, 2000) >= 0);
	}
	vport_close(vport);
	assert_int_equal(stat(path, &status), -1);
}

// A socket on which another process listens is not taken away from it.
static void test_server_in_use(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)state;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/busy", fixture_dir);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 1), 0);
	fixture_refused("in use by another process", "busy", "vhost-user-server", NULL);
	close(fd);
	unlink(address.sun_path);
}

struct worker {
	struct vport *vport;
	bool stop;
	uint64_t received, sent;
};

// A worker that sends back all it gets and adds packets of its own, as fast as it can.
static void *worker_run(void *context)
{
	struct worker *worker = context;
	struct vport *vport = worker->vport;

	rcu_reader_register(1);
	rcu_online(1);
	while (!__atomic_load_n(&worker->stop, __ATOMIC_RELAXED)) {
		struct rte_mbuf *packets[32];
		uint16_t n = vport->class->rx(vport, 0, packets, 32);
		uint16_t sent;

		__atomic_fetch_add(&worker->received, n, __ATOMIC_RELAXED);
		if (!n)
			for (; n < 8; n++)
				if (!(packets[n] = packet_from_bytes("0123456789abcd", 14)))
					break;
		sent = vport->class->tx(vport, 0, packets, n);
		worker->sent += sent;
		rte_pktmbuf_free_bulk(packets + sent, n - sent);
		rcu_quiescent(1);
	}
	rcu_offline(1);
	rcu_reader_unregister(1);
	return NULL;
}

// Guests killed and started again on one socket while a worker is at their rings.
static void test_restart(void **state)
{
	char path[96], device[160];
	struct worker worker = { 0 };
	struct vport *vport;
	struct stat status;
	pthread_t thread;
	uint64_t down[5], connect[5], up[5];

	(void)state;
	if (!have_testpmd())
		skip();
	snprintf(path, sizeof(path), "%s/vm3", fixture_dir);
	snprintf(device, sizeof(device), "path=%s,server=1,queues=1", path);
	vport = fixture_open("vm3", "vhost-user", "path", path, NULL);
	worker.vport = vport;
	assert_int_equal(pthread_create(&thread, NULL, worker_run, &worker), 0);
	for (unsigned int i = 0; i < 5; i++) {
		struct peer peer = peer_start(device);
		uint64_t socket_ms = 0, connect_ms = 0, tick = 0, kill_ms;
		struct vhost_door_status door;

		while (!vport->status.link_up) {
			if (!socket_ms && !stat(path, &status))
				socket_ms = fixture_now_ms();
			if (fixture_now_ms() - tick >= TICK_MS) {
				tick = fixture_now_ms();
				vport_tick();
			}
			vhost_door_get_status(((struct vhost_port *)vport)->door, &door);
			if (socket_ms && !connect_ms && door.connections > i)
				connect_ms = fixture_now_ms();
			assert_true(!socket_ms || fixture_now_ms() - socket_ms < 10000);
			usleep(1000);
		}
		connect[i] = connect_ms - socket_ms;
		up[i] = fixture_now_ms() - connect_ms;
		// Traffic, as soon as the guest's program gets to it.
		uint64_t enough = __atomic_load_n(&worker.received, __ATOMIC_RELAXED) + 500;

		for (unsigned int tries = 0;
		     tries < 1000 && __atomic_load_n(&worker.received, __ATOMIC_RELAXED) < enough;
		     tries++)
			usleep(10000);
		kill_ms = fixture_now_ms();
		peer_kill(&peer);
		unlink(path);
		assert_true(fixture_wait_link(vport, false, 2000) >= 0);
		down[i] = fixture_now_ms() - kill_ms;
	}
	__atomic_store_n(&worker.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	for (unsigned int i = 0; i < 5; i++) {
		print_message("guest %u: connected %llu ms after its socket appeared, up %llu ms "
			      "after that, down %llu ms after kill -9\n",
			      i, (unsigned long long)connect[i], (unsigned long long)up[i],
			      (unsigned long long)down[i]);
		// Of a second at most, that is, even on a machine with other things to do.
		assert_in_range(connect[i], 0, 1000);
	}
	print_message("worker: %llu received, %llu sent\n", (unsigned long long)worker.received,
		      (unsigned long long)worker.sent);
	assert_true(worker.received > 1000);
	vport_close(vport);
}

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

// From listen() to our connection, at a random moment between two ticks, 30 times.
static void test_reconnect_time(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct vport *vport;
	uint64_t times[30], next_tick = 0;

	(void)state;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/vm4", fixture_dir);
	vport = fixture_open("vm4", "vhost-user", "path", address.sun_path, NULL);
	srand(1);
	for (unsigned int i = 0; i < RTE_DIM(times); i++) {
		int fd = socket(AF_UNIX, SOCK_STREAM, 0), connection;
		uint64_t listening = clock_monotonic_ns() + (uint64_t)(rand() % 100) * NS_PER_MS;
		bool listens = false;

		assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
		for (;;) {
			struct pollfd wait = { .fd = fd, .events = POLLIN };
			uint64_t now = clock_monotonic_ns();

			// Until then the socket exists and refuses, as after a killed guest.
			if (!listens && now >= listening) {
				assert_int_equal(listen(fd, 1), 0);
				listening = now;
				listens = true;
			}
			if (now >= next_tick) {
				next_tick = now + TICK_MS * NS_PER_MS;
				vport_tick();
			}
			if (poll(&wait, 1, 1) == 1 && (wait.revents & POLLIN))
				break;
			assert_true(now < listening + 2 * NS_PER_S);
		}
		times[i] = clock_monotonic_ns() - listening;
		connection = accept(fd, NULL, NULL);
		assert_true(connection >= 0);
		close(connection);
		close(fd);
		unlink(address.sun_path);
	}
	qsort(times, RTE_DIM(times), sizeof(times[0]), compare_u64);
	print_message("reconnect with ticks of %u ms: median %.1f ms, slowest %.1f ms\n", TICK_MS,
		      (double)times[RTE_DIM(times) / 2] / 1e6,
		      (double)times[RTE_DIM(times) - 1] / 1e6);
	assert_true(times[RTE_DIM(times) - 1] < 100 * NS_PER_MS);
	vport_close(vport);
}

// How many queue pairs a guest uses is the number of receive queues.
static void test_multiqueue(void **state)
{
	char path[96], device[160];
	struct vport *vport;
	struct peer peer;
	uint64_t end;

	(void)state;
	if (!have_testpmd())
		skip();
	assert_int_equal(vhost_leading_rings(0, true), 0);
	assert_int_equal(vhost_leading_rings(0xf, true), 2);
	assert_int_equal(vhost_leading_rings(0x7, false), 1);
	assert_int_equal(vhost_leading_rings(0xffffffff, false), VPORT_MAX_QUEUES);
	snprintf(path, sizeof(path), "%s/vm5", fixture_dir);
	snprintf(device, sizeof(device), "path=%s,server=1,queues=2", path);
	vport = fixture_open("vm5", "vhost-user", "path", path, NULL);
	assert_int_equal(vport->n_rxq, 1);
	peer = peer_start_queues(device, 2);
	assert_true(fixture_wait_link(vport, true, 10000) >= 0);
	end = fixture_now_ms() + 2000;
	while (fixture_now_ms() < end && vport->n_rxq != 2) {
		vport_tick();
		usleep(10000);
	}
	assert_int_equal(vport->n_rxq, 2);
	// Two workers send on two rings; the guest answers each packet on the ring's partner.
	for (uint16_t q = 0; q < 2; q++) {
		struct rte_mbuf *packet = fixture_packet(100, q);
		unsigned int n = 0;

		usleep(200000);
		assert_true(vport->class->arm(vport, q) >= 0);
		vport->class->disarm(vport, q);
		assert_int_equal(vport->class->tx(vport, q, &packet, 1), 1);
		for (unsigned int i = 0; i < 100 && !n; i++, usleep(10000))
			n = vport->class->rx(vport, q, &packet, 1);
		assert_int_equal(n, 1);
		rte_pktmbuf_free(packet);
	}
	warm_up(vport);
	echo(vport, 20);
	peer_stop(&peer);
	assert_true(fixture_wait_link(vport, false, 2000) >= 0);
	vport_tick();
	assert_int_equal(vport->n_rxq, 1);
	vport_close(vport);
	unlink(path);
}

// Closed while the guest is there and busy: nothing waits, nothing leaks.
static void test_close_connected(void **state)
{
	char path[96], device[160];
	struct vport *vport;
	struct peer peer;

	(void)state;
	if (!have_testpmd())
		skip();
	snprintf(path, sizeof(path), "%s/vm6", fixture_dir);
	snprintf(device, sizeof(device), "path=%s,server=1,queues=1", path);
	vport = fixture_open("vm6", "vhost-user", "path", path, NULL);
	peer = peer_start(device);
	assert_true(fixture_wait_link(vport, true, 10000) >= 0);
	warm_up(vport);
	for (unsigned int i = 0; i < 3; i++) {
		uint64_t start = fixture_now_ms();

		vport_close(vport);
		assert_true(fixture_now_ms() - start < 500);
		// The switch comes back: the guest's side takes it up again.
		vport = fixture_open("vm6", "vhost-user", "path", path, NULL);
		assert_true(fixture_wait_link(vport, true, 10000) >= 0);
		warm_up(vport);
		echo(vport, 20);
	}
	vport_close(vport);
	peer_kill(&peer);
}

static bool wait_stopped(struct vport *vport, bool stopped)
{
	for (unsigned int i = 0; i < 500; i++, usleep(10000)) {
		vport_tick();
		if (vport->status.stopped == stopped)
			return true;
	}
	return false;
}

// A guest that stands still costs its sender no time, is told from one that is away, and is served
// again when it goes on. What is known of it is what was negotiated.
static void stopped_round(const char *ring_options)
{
	char path[96], device[160];
	struct vport_class_stats stats = { 0 };
	struct vport_guest guest;
	struct vport *vport;
	struct peer peer;
	unsigned int refused = 0;
	uint64_t start, slowest = 0;

	snprintf(path, sizeof(path), "%s/vm7", fixture_dir);
	snprintf(device, sizeof(device), "path=%s,server=1,queues=1%s", path, ring_options);
	vport = fixture_open("vm7", "vhost-user", "path", path, NULL);
	assert_int_equal(vport_guest_read(vport, &guest), 0);
	assert_false(guest.connected || guest.running || guest.stopped || guest.pid);
	peer = peer_start(device);
	assert_true(fixture_wait_link(vport, true, 10000) >= 0);
	warm_up(vport);
	assert_true(wait_stopped(vport, false));
	kill(peer.pid, SIGSTOP);
	assert_int_equal(waitpid(peer.pid, NULL, WUNTRACED), peer.pid);
	for (unsigned int i = 0; i < 2000; i++) {
		struct rte_mbuf *packet = fixture_packet(100, i);
		uint16_t sent;

		start = clock_monotonic_ns();
		sent = vport->class->tx(vport, 0, &packet, 1);
		slowest = RTE_MAX(slowest, clock_monotonic_ns() - start);
		if (!sent)
			rte_pktmbuf_free(packet);
		refused += !sent;
	}
	assert_true(refused >= 900); // whatever the ring has, it is less than that
	assert_true(wait_stopped(vport, true));
	assert_true(vport->status.link_up);
	print_message("2000 packets to a stopped guest: %u refused, slowest call %llu us\n",
		      refused, (unsigned long long)(slowest / 1000));
	usleep(100000);
	assert_int_equal(vport_guest_read(vport, &guest), 0);
	assert_true(guest.connected && guest.running && guest.stopped);
	assert_int_equal(guest.pid, peer.pid);
	assert_string_equal(guest.path, path);
	assert_false(guest.server);
	assert_true(guest.features >> VIRTIO_NET_F_MRG_RXBUF & 1);
	assert_int_equal(guest.features >> 34 & 1, !!*ring_options);
	assert_int_equal(guest.n_queues, 1);
	assert_int_equal(guest.offered, VPORT_MAX_QUEUES);
	assert_int_equal(guest.n_rings, 2);
	assert_true(guest.rings[0].to_guest && guest.rings[0].enabled);
	assert_int_equal(guest.rings[0].waiting, 0);
	assert_true(guest.rings[0].size >= 256);
	assert_true(guest.rings[0].stuck_ns >= 100 * NS_PER_MS);
	assert_true(guest.n_regions >= 1 && guest.regions[0].size);
	vport->class->get_stats(vport, &stats);
	assert_true(stats.has_guest);
	assert_int_equal(stats.guest_kicks, guest.rings[1].kicks);
	assert_int_equal(stats.guest_interrupts,
			 guest.rings[0].interrupts + guest.rings[1].interrupts);
	kill(peer.pid, SIGCONT);
	assert_true(wait_stopped(vport, false));
	warm_up(vport);
	echo(vport, 20);
	peer_stop(&peer);
	assert_true(fixture_wait_link(vport, false, 2000) >= 0);
	assert_true(wait_stopped(vport, false));
	vport_close(vport);
	unlink(path);
}

static void test_stopped(void **state)
{
	(void)state;
	if (!have_testpmd())
		skip();
	stopped_round("");
	stopped_round(",packed_vq=1");
}

// Down, a port lets go of its guest; up, it takes it again. Both ways of connecting.
static void test_admin(void **state)
{
	char path[96], device[160];
	struct vport *vport;
	struct peer peer;
	struct error error;

	(void)state;
	if (!have_testpmd())
		skip();
	snprintf(path, sizeof(path), "%s/vm8", fixture_dir);
	snprintf(device, sizeof(device), "path=%s,server=1,queues=1", path);
	vport = fixture_open("vm8", "vhost-user", "path", path, NULL);
	peer = peer_start(device);
	assert_true(fixture_wait_link(vport, true, 10000) >= 0);
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(vport->class->set_admin(vport, false, &error), 0);
		assert_true(fixture_wait_link(vport, false, 1000) >= 0);
		assert_int_equal(fixture_wait_link(vport, true, 300), -1);
		assert_int_equal(vport->class->set_admin(vport, true, &error), 0);
		assert_true(fixture_wait_link(vport, true, 10000) >= 0);
		warm_up(vport);
		echo(vport, 20);
	}
	peer_kill(&peer);
	vport_close(vport);
	unlink(path);
	vport = fixture_open("vm9", "vhost-user-server", NULL);
	assert_int_equal(vport->class->set_admin(vport, false, &error), 0);
	snprintf(path, sizeof(path), "%s/vm9", fixture_dir);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(vport->class->set_admin(vport, true, &error), 0);
	assert_int_equal(access(path, F_OK), 0);
	vport_close(vport);
}

// What a guest was promised it is offered again when its connection ends, though it was switched off
// meanwhile; another guest is not.
static void test_reconnect_without(void **state)
{
	const uint64_t checksums = 1ULL << VIRTIO_NET_F_CSUM;
	char path[96], device[160];
	uint64_t before, features;
	struct vhost_port *port;
	struct vport *vport;
	struct error error;
	struct peer peer;

	(void)state;
	if (!have_testpmd())
		skip();
	snprintf(path, sizeof(path), "%s/vm11", fixture_dir);
	snprintf(device, sizeof(device), "path=%s,server=1,queues=1", path);
	vport = fixture_open("vm11", "vhost-user", "path", path, NULL);
	port = (struct vhost_port *)vport;
	peer_offloads = "--tx-offloads=0x800c"; // checksums of TCP and UDP, several buffers
	peer = peer_start(device);
	peer_offloads = NULL;
	assert_true(fixture_wait_link(vport, true, 10000) >= 0);
	warm_up(vport); // until the program is done with setting it up
	before = port->features;
	assert_true(before & checksums);
	vport_set_offloads(vport, OFFLOAD_ALL);
	assert_int_equal(vport_offloads(vport), 0);
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(vport->class->set_admin(vport, false, &error), 0);
		assert_true(fixture_wait_link(vport, false, 1000) >= 0);
		assert_int_equal(vport->class->set_admin(vport, true, &error), 0);
		assert_true(fixture_wait_link(vport, true, 10000) >= 0);
		assert_int_equal(port->features, before);
		assert_int_equal(vport_offloads(vport), 0);
		warm_up(vport);
		echo(vport, 20);
	}
	peer_kill(&peer);
	unlink(path);
	assert_true(fixture_wait_link(vport, false, 2000) >= 0);
	peer = peer_start(device);
	assert_true(fixture_wait_link(vport, true, 10000) >= 0);
	features = port->features;
	assert_int_equal(features & checksums, 0);
	assert_null(vport->status.problem);
	peer_kill(&peer);
	unlink(path);
	assert_true(fixture_wait_link(vport, false, 2000) >= 0);
	vport_close(vport);
}

// What is no guest is told so: a listener that says nothing.
static void test_problem(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct vport *vport;
	uint64_t end;

	(void)state;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/mute", fixture_dir);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 1), 0);
	vport = fixture_open("vm10", "vhost-user", "path", address.sun_path, NULL);
	assert_null(vport->status.problem);
	end = fixture_now_ms() + 5000;
	while (!vport->status.problem && fixture_now_ms() < end) {
		vport_tick();
		usleep(20000);
	}
	assert_non_null(vport->status.problem);
	assert_non_null(strstr(vport->status.problem, "sends no vhost-user messages"));
	vport_close(vport);
	close(fd);
	unlink(address.sun_path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_server_in_use, fixture_check_leaks),
		cmocka_unit_test_teardown(test_reconnect_time, fixture_check_leaks),
		cmocka_unit_test_teardown(test_client, fixture_check_leaks),
		cmocka_unit_test_teardown(test_client_packed, fixture_check_leaks),
		cmocka_unit_test_teardown(test_server, fixture_check_leaks),
		cmocka_unit_test_teardown(test_multiqueue, fixture_check_leaks),
		cmocka_unit_test_teardown(test_restart, fixture_check_leaks),
		cmocka_unit_test_teardown(test_close_connected, fixture_check_leaks),
		cmocka_unit_test_teardown(test_stopped, fixture_check_leaks),
		cmocka_unit_test_teardown(test_admin, fixture_check_leaks),
		cmocka_unit_test_teardown(test_reconnect_without, fixture_check_leaks),
		cmocka_unit_test_teardown(test_problem, fixture_check_leaks),
	};

	return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
