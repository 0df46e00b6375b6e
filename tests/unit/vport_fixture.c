#include "tests/unit/vport_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_mempool.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/rcu.h"

char fixture_dir[64];

int fixture_start(void **state)
{
	char prefix[64];
	char *argv[] = { "test",           "--no-huge",     "--no-shconf", "-m", "64", "--no-pci",
			 "--no-telemetry", "--log-level=3", prefix,        "-l", "0",  NULL };
	struct error error;

	(void)state;
	snprintf(prefix, sizeof(prefix), "--file-prefix=vport-test-%d", getpid());
	snprintf(fixture_dir, sizeof(fixture_dir), "/tmp/vport-test-XXXXXX");
	if (!mkdtemp(fixture_dir) || rte_eal_init(11, argv) < 0 || rcu_init())
		return -1;
	log_set_level(LOG_LEVEL_WARNING);
	vport_set_run_dir(fixture_dir);
	return packet_pool_init(FIXTURE_PACKETS, &error);
}

int fixture_stop(void **state)
{
	(void)state;
	packet_pool_destroy();
	rte_eal_cleanup();
	fixture_run("rm -rf %s", fixture_dir);
	return 0;
}

int fixture_check_leaks(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < VPORT_MAX; i++)
		if (vport_by_index(i)) {
			print_error("port '%s' was left open\n", vport_by_index(i)->name);
			return -1;
		}
	if (rte_mempool_avail_count(packet_pool()) != FIXTURE_PACKETS) {
		print_error("%u of %u packets leaked\n",
			    FIXTURE_PACKETS - rte_mempool_avail_count(packet_pool()),
			    FIXTURE_PACKETS);
		return -1;
	}
	return 0;
}

static struct vport *open_list(const char *name, const char *type, va_list args,
			       struct error *error)
{
	struct vport_option options[8];
	struct vport_config config = { .name = name, .type = type, .options = options };
	const char *key;

	while ((key = va_arg(args, const char *))) {
		options[config.n_options].key = key;
		options[config.n_options++].value = va_arg(args, const char *);
	}
	error_clear(error);
	return vport_open(&config, error);
}

struct vport *fixture_open(const char *name, const char *type, ...)
{
	struct error error;
	struct vport *vport;
	va_list args;

	va_start(args, type);
	vport = open_list(name, type, args, &error);
	va_end(args);
	if (!vport)
		fail_msg("%s: %s", name, error.message);
	return vport;
}

void fixture_refused(const char *fragment, const char *name, const char *type, ...)
{
	char fragments[256], *rest = fragments, *part;
	struct error error;
	struct vport *vport;
	va_list args;

	va_start(args, type);
	vport = open_list(name, type, args, &error);
	va_end(args);
	if (vport)
		fail_msg("port '%s' opened, which must fail with '%s'", name, fragment);
	print_message("refused: %s\n", error.message);
	assert_int_not_equal(error.code, 0);
	snprintf(fragments, sizeof(fragments), "%s", fragment);
	while ((part = strsep(&rest, "|")))
		if (!strstr(error.message, part))
			fail_msg("'%s' does not say '%s'", error.message, part);
}

void fixture_fill(uint8_t *bytes, uint32_t length, uint32_t seed)
{
	static const uint8_t macs[12] = { 0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2 };

	memcpy(bytes, macs, sizeof(macs));
	bytes[12] = 0x88; // an EtherType for experiments, which no kernel answers
	bytes[13] = 0xb5;
	for (uint32_t i = 14; i < length; i++) {
		seed = seed * 1664525 + 1013904223;
		bytes[i] = (uint8_t)(seed >> 24);
	}
}

struct rte_mbuf *fixture_packet(uint32_t length, uint32_t seed)
{
	uint8_t bytes[VPORT_MAX_MTU + 32];
	struct rte_mbuf *packet;

	fixture_fill(bytes, length, seed);
	packet = packet_from_bytes(bytes, length);
	assert_non_null(packet);
	return packet;
}

void fixture_compare(struct rte_mbuf *packet, const uint8_t *bytes, uint32_t length)
{
	uint8_t copy[70000];
	const void *data;

	assert_int_equal(packet->pkt_len, length);
	data = rte_pktmbuf_read(packet, 0, length, copy);
	assert_non_null(data);
	assert_memory_equal(data, bytes, length);
}

uint64_t fixture_now_ms(void)
{
	return clock_monotonic_ns() / NS_PER_MS;
}

unsigned int fixture_receive(struct vport *vport, struct rte_mbuf **packets, unsigned int n,
			     unsigned int ms)
{
	uint64_t end = fixture_now_ms() + ms;
	unsigned int received = 0;

	while (received < n && fixture_now_ms() < end) {
		uint16_t got =
			vport->class->rx(vport, 0, packets + received, (uint16_t)(n - received));

		received += got;
		if (!got)
			usleep(200);
	}
	return received;
}

int fixture_wait_link(struct vport *vport, bool up, unsigned int ms)
{
	uint64_t start = fixture_now_ms();

	for (;;) {
		vport_tick();
		if (vport->status.link_up == up)
			return (int)(fixture_now_ms() - start);
		if (fixture_now_ms() - start > ms)
			return -1;
		usleep(10000);
	}
}

void fixture_run(const char *format, ...)
{
	char command[512];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	if (system(command))
		fail_msg("failed: %s", command);
}
