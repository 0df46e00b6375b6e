// Small packets and round trips between two hosts, measured: what iperf3 does not do well.
//
//   netload serve PORT                             answer the others, until ended
//   netload rr ADDRESS PORT SECONDS                one byte there and back by TCP, again and again
//   netload udp-in ADDRESS PORT SECONDS BYTES      datagrams to the server as fast as possible
//   netload udp-out ADDRESS PORT SECONDS BYTES     datagrams from it
//
// Each prints one line of JSON. What counts of datagrams is what arrived, from the first on. Both
// ends agree by TCP; a child of the server serves one client, so one that dies leaves nothing.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 32
#define LONGEST 1472 // bytes of a datagram
#define MOST_TRIPS (1u << 21)

enum { ROUND_TRIPS = 1, UDP_IN, UDP_OUT };

struct request {
	uint32_t kind, bytes, milliseconds, port; // port: the client's, of UDP
};

struct answer {
	uint64_t packets, nanoseconds;
};

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "netload: %s: %s\n", what, strerror(errno));
	exit(1);
}

static bool read_all(int fd, void *data, size_t size)
{
	return recv(fd, data, size, MSG_WAITALL) == (ssize_t)size;
}

static bool write_all(int fd, const void *data, size_t size)
{
	return send(fd, data, size, MSG_NOSIGNAL) == (ssize_t)size;
}

static void set_timeout(int fd, unsigned int milliseconds)
{
	const struct timeval time = { milliseconds / 1000, milliseconds % 1000 * 1000 };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time));
}

static void set_nodelay(int fd)
{
	const int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

// A UDP socket with a port of its own.
static int open_udp(uint32_t *port)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t size = sizeof(address);
	const int fd = socket(AF_INET, SOCK_DGRAM, 0), room = 4 << 20;

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) < 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &size) < 0)
		fail("UDP");
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	*port = ntohs(address.sin_port);
	return fd;
}

// UDP is to go to whom the TCP connection goes.
static void connect_udp(int fd, int control, uint32_t port)
{
	struct sockaddr_in peer = { 0 };
	socklen_t size = sizeof(peer);

	if (getpeername(control, (struct sockaddr *)&peer, &size) < 0)
		fail("peer");
	peer.sin_port = htons((uint16_t)port);
	if (connect(fd, (struct sockaddr *)&peer, sizeof(peer)) < 0)
		fail("UDP");
}

static void make_messages(struct mmsghdr messages[BATCH], struct iovec pieces[BATCH],
			  char (*data)[LONGEST], uint32_t bytes)
{
	memset(messages, 0, BATCH * sizeof(*messages));
	for (int i = 0; i < BATCH; i++) {
		pieces[i] = (struct iovec){ data[i], bytes };
		messages[i].msg_hdr.msg_iov = &pieces[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
}

static void send_datagrams(int fd, const struct request *request, struct answer *answer)
{
	static char data[BATCH][LONGEST];
	struct mmsghdr messages[BATCH];
	struct iovec pieces[BATCH];
	const uint64_t began = now(), end = began + request->milliseconds * 1000000ull;

	make_messages(messages, pieces, data, request->bytes);
	while (now() < end) {
		const int n = sendmmsg(fd, messages, BATCH, 0);

		if (n > 0)
			answer->packets += (uint64_t)n;
	}
	answer->nanoseconds = now() - began;
}

// For as long as asked from the first one on; none within two seconds: none.
static void receive_datagrams(int fd, const struct request *request, struct answer *answer)
{
	static char data[BATCH][LONGEST];
	struct mmsghdr messages[BATCH];
	struct iovec pieces[BATCH];
	uint64_t began = 0, end = now() + 2000000000;

	make_messages(messages, pieces, data, LONGEST);
	set_timeout(fd, 50);
	for (uint64_t time; (time = now()) < end;) {
		const int n = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);

		if (n <= 0)
			continue;
		if (!began) {
			began = now();
			end = began + request->milliseconds * 1000000ull;
		}
		answer->packets += (uint64_t)n;
	}
	answer->nanoseconds = began ? now() - began : 0;
}

static void echo(int fd)
{
	char byte;

	set_nodelay(fd);
	while (recv(fd, &byte, 1, 0) == 1 && write_all(fd, &byte, 1))
		;
}

static void serve_client(int fd)
{
	struct request request;
	struct answer answer = { 0 };
	uint32_t port;

	set_timeout(fd, 60000);
	if (!read_all(fd, &request, sizeof(request)) || request.bytes > LONGEST ||
	    request.milliseconds > 60000)
		return;
	if (request.kind == ROUND_TRIPS) {
		echo(fd);
		return;
	}
	const int udp = open_udp(&port);

	if (!write_all(fd, &port, sizeof(port)))
		return;
	if (request.kind == UDP_IN) {
		receive_datagrams(udp, &request, &answer);
	} else {
		connect_udp(udp, fd, request.port);
		send_datagrams(udp, &request, &answer);
	}
	write_all(fd, &answer, sizeof(answer));
}

static int serve(uint16_t port)
{
	const struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
	const int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	signal(SIGCHLD, SIG_IGN);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 16) < 0)
		fail("listen");
	for (;;) {
		const int client = accept(fd, NULL, NULL);

		if (client >= 0 && !fork()) {
			serve_client(client);
			exit(0);
		}
		close(client);
	}
}

static int compare(const void *a, const void *b)
{
	const uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

	return (left > right) - (left < right);
}

static int measure_trips(int fd, uint32_t milliseconds)
{
	uint32_t *trips = malloc(MOST_TRIPS * sizeof(*trips)), n = 0;
	const uint64_t began = now(), end = began + milliseconds * 1000000ull;
	uint64_t time = began;
	char byte = 'x';

	if (!trips)
		fail("memory");
	while (time < end && n < MOST_TRIPS) {
		const uint64_t before = time;

		if (!write_all(fd, &byte, 1) || !read_all(fd, &byte, 1))
			fail("round trip");
		time = now();
		trips[n++] = (uint32_t)(time - before < UINT32_MAX ? time - before : UINT32_MAX);
	}
	qsort(trips, n, sizeof(*trips), compare);
	printf("{\"rate\": %.1f, \"trips\": %u", n * 1e9 / (double)(time - began), n);
	printf(", \"p50\": %.1f, \"p90\": %.1f, \"p99\": %.1f, \"p999\": %.1f}\n",
	       trips[n / 2] / 1e3, trips[n * 9ull / 10] / 1e3, trips[n * 99ull / 100] / 1e3,
	       trips[n * 999ull / 1000] / 1e3);
	free(trips);
	return 0;
}

static int measure_datagrams(int fd, const struct request *request, int udp)
{
	struct answer sent = { 0 }, received = { 0 };
	uint32_t port;

	if (!read_all(fd, &port, sizeof(port)))
		fail("server");
	if (request->kind == UDP_IN) {
		connect_udp(udp, fd, port);
		send_datagrams(udp, request, &sent);
		if (!read_all(fd, &received, sizeof(received)))
			fail("server");
	} else {
		receive_datagrams(udp, request, &received);
		if (!read_all(fd, &sent, sizeof(sent)))
			fail("server");
	}
	const double seconds = (double)received.nanoseconds / 1e9;

	printf("{\"sent\": %llu, \"received\": %llu, \"rate\": %.1f}\n",
	       (unsigned long long)sent.packets, (unsigned long long)received.packets,
	       seconds > 0 ? (double)received.packets / seconds : 0);
	return 0;
}

static int run_client(uint32_t kind, char **words, int n)
{
	struct sockaddr_in server = { .sin_family = AF_INET,
				      .sin_port = htons((uint16_t)atoi(words[1])) };
	struct request request = { kind, n > 3 ? (uint32_t)atoi(words[3]) : 1,
				   (uint32_t)(atof(words[2]) * 1000), 0 };
	const int fd = socket(AF_INET, SOCK_STREAM, 0), udp = open_udp(&request.port);

	if (inet_pton(AF_INET, words[0], &server.sin_addr) != 1 || request.bytes > LONGEST) {
		fprintf(stderr, "netload: an IPv4 address, and at most %d bytes\n", LONGEST);
		return 2;
	}
	set_timeout(fd, request.milliseconds + 10000);
	if (connect(fd, (struct sockaddr *)&server, sizeof(server)) < 0)
		fail("connect");
	set_nodelay(fd);
	if (!write_all(fd, &request, sizeof(request)))
		fail("server");
	return kind == ROUND_TRIPS ? measure_trips(fd, request.milliseconds)
				   : measure_datagrams(fd, &request, udp);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		uint32_t kind;
	} kinds[] = { { "rr", ROUND_TRIPS }, { "udp-in", UDP_IN }, { "udp-out", UDP_OUT } };

	if (argc == 3 && !strcmp(argv[1], "serve"))
		return serve((uint16_t)atoi(argv[2]));
	for (size_t i = 0; argc >= 5 && i < sizeof(kinds) / sizeof(*kinds); i++)
		if (!strcmp(argv[1], kinds[i].name))
			return run_client(kinds[i].kind, argv + 2, argc - 2);
	fputs("usage: netload serve PORT | rr|udp-in|udp-out ADDRESS PORT SECONDS [BYTES]\n",
	      stderr);
	return 2;
}
