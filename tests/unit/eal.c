#include "tests/unit/eal.h"

#include "common/error.h"
#include "common/hash.h"
#include "common/rcu.h"
#include "datapath/hot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_eal.h>

static void die(const char *what)
{
	fprintf(stderr, "unit test set-up: %s\n", what);
	exit(1);
}

void test_eal_init(unsigned int n)
{
	char prefix[64];
	char *arguments[] = { "test",     "--no-huge",      "--no-shconf", "-m", "64",
			      "--no-pci", "--no-telemetry", "--log-level", "4",  "-l",
			      "0",        prefix,           NULL };
	struct error error = { 0 };

	snprintf(prefix, sizeof(prefix), "--file-prefix=unit%d", getpid());
	if (rte_eal_init(12, arguments) < 0)
		die("EAL does not start");
	if (rcu_init() < 0)
		die("RCU does not start");
	if (packet_pool_init(n, &error) < 0)
		die(error.message);
}

void test_eal_end(void)
{
	rcu_barrier();
	packet_pool_destroy();
	rte_eal_cleanup();
}

static void append(struct rte_mbuf *mbuf, const uint8_t *bytes, unsigned int size)
{
	char *at = rte_pktmbuf_append(mbuf, (uint16_t)size);

	if (!at)
		die("a test packet is too long for its buffer");
	memcpy(at, bytes, size);
	memset(at + size, 0xa5, RTE_MIN(rte_pktmbuf_tailroom(mbuf), 128));
}

static struct rte_mbuf *allocate(void)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(packet_pool());

	if (!mbuf)
		die("the packet pool is empty");
	mbuf->hash.usr = 0;
	return mbuf;
}

struct rte_mbuf *test_packet_create(const struct ref_packet *packet)
{
	struct rte_mbuf *mbuf = allocate();

	append(mbuf, packet->bytes, packet->size);
	return mbuf;
}

struct rte_mbuf *test_packet_create_split(const struct ref_packet *packet, unsigned int at)
{
	struct rte_mbuf *first = allocate(), *second = allocate();

	append(first, packet->bytes, at);
	append(second, packet->bytes + at, packet->size - at);
	first->next = second;
	first->nb_segs = 2;
	first->pkt_len = packet->size;
	return first;
}

void test_packet_read(struct rte_mbuf *mbuf, struct ref_packet *packet)
{
	packet->size = 0;
	for (; mbuf; mbuf = mbuf->next) {
		unsigned int size = mbuf->data_len;

		if (packet->size + size > REF_PACKET_MAX)
			size = REF_PACKET_MAX - packet->size;
		memcpy(packet->bytes + packet->size, rte_pktmbuf_mtod(mbuf, uint8_t *), size);
		packet->size += size;
	}
}

const char *const *test_hot_levels(void)
{
	static const char *const known[] = { "x86-64-v2", "x86-64-v3", "x86-64-v4" };
	static const char *levels[4];
	unsigned int n = 0;

	for (unsigned int i = 0; i < 3; i++)
		if (hot_select(known[i], NULL) == 0)
			levels[n++] = known[i];
	levels[n] = NULL;
	return levels;
}
