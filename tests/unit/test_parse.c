// The parser of every CPU level against the reference: a million random frames, and frames cut at
// every length.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "datapath/hot.h"
#include "flowtable/program.h"
#include "tests/unit/eal.h"
#include "tests/unit/packets.h"

#include <string.h>

#define IN_PORT 7

static const char *const *levels;
static struct rte_mbuf *mbuf;

static struct rte_mbuf *load_scattered(const struct ref_packet *packet, struct random *random)
{
	struct rte_mbuf *first = NULL;
	unsigned int done = 0;

	while (done < packet->size) {
		const unsigned int left = packet->size - done;
		const unsigned int most = random_chance(random, 50) ? 20 : left;
		unsigned int size = 1 + random_below(random, RTE_MIN(left, most));
		struct rte_mbuf *segment = rte_pktmbuf_alloc(packet_pool());

		assert_non_null(segment);
		if (first && random_chance(random, 10))
			size = 0; // allowed, and nobody's mistake
		segment->data_off = (uint16_t)random_below(random, segment->buf_len - size);
		if (size)
			memcpy(rte_pktmbuf_mtod(segment, void *), packet->bytes + done, size);
		segment->data_len = segment->pkt_len = (uint16_t)size;
		done += size;
		if (!first)
			first = segment;
		else
			assert_int_equal(rte_pktmbuf_chain(first, segment), 0);
	}
	return first;
}

static void load(const struct ref_packet *packet)
{
	uint8_t *at;

	rte_pktmbuf_reset(mbuf);
	at = (uint8_t *)rte_pktmbuf_append(mbuf, (uint16_t)packet->size);
	memcpy(at, packet->bytes, packet->size);
	// Whoever reads on sees something that looks like more packet.
	memset(at + packet->size, 0x11, 64);
}

// "core+40": where two keys differ.
static const char *place(const struct key *a, const struct key *b)
{
	static char text[64];

	for (unsigned int i = 0; i < KEY_SIZE; i++)
		if (a->bytes[i] != b->bytes[i]) {
			snprintf(text, sizeof(text), "line %u byte %u: %02x, expected %02x",
				 i / KEY_LINE_SIZE, i % KEY_LINE_SIZE, a->bytes[i], b->bytes[i]);
			return text;
		}
	return NULL;
}

static void compare(const struct ref_packet *packet)
{
	struct key want, got;
	bool good;

	memset(&want, 0, sizeof(want));
	want.tunnel.actset_output = RTE_BE32(OFPP_UNSET); // no action set
	want.core.in_port = rte_cpu_to_be_32(IN_PORT);
	good = ref_parse(packet, &want, NULL);
	load(packet);
	for (unsigned int i = 0; levels[i]; i++) {
		const char *where = NULL;

		hot_select(levels[i], NULL);
		memset(&got, 0xee, sizeof(got));
		if (hot->parse_key(mbuf, IN_PORT, &got) != good)
			where = good ? "refused" : "accepted";
		else if (good)
			where = place(&got, &want);
		if (where)
			fail_msg("%s: %s\n%s", levels[i], where, packet_hex(packet));
	}
}

static void random_frames(void **state)
{
	struct random random = { random_seed() };
	unsigned int n = random_iterations(1000000);
	struct ref_packet packet = { .size = 0 };

	(void)state;
	for (unsigned int i = 0; i < n; i++) {
		if (random_chance(&random, 50))
			packet_make(&random, &packet);
		else
			packet_random(&random, &packet);
		compare(&packet);
	}
}

static void frames_cut_at_every_length(void **state)
{
	struct random random = { random_seed() };
	unsigned int n = random_iterations(2000);
	struct ref_packet packet = { .size = 0 };

	(void)state;
	for (unsigned int i = 0; i < n; i++) {
		packet_make(&random, &packet);
		for (unsigned int size = packet.size; size > 0; size--) {
			packet.size = size;
			compare(&packet);
		}
		packet.size = 0;
		compare(&packet);
	}
}

// Noise behind a plausible beginning.
static void noise(void **state)
{
	static const uint16_t types[] = { 0x0800, 0x86dd, 0x0806, 0x8100, 0x88a8, 0x8847, 0x0026 };
	struct random random = { random_seed() };
	unsigned int n = random_iterations(200000);
	struct ref_packet packet = { .size = 0 };

	(void)state;
	for (unsigned int i = 0; i < n; i++) {
		packet.size = random_below(&random, 120);
		for (unsigned int byte = 0; byte < packet.size; byte++)
			packet.bytes[byte] = (uint8_t)random_next(&random);
		ref_put16(packet.bytes + 12, types[random_below(&random, 7)]);
		if (random_chance(&random, 80))
			packet.bytes[14] = 0x45;
		if (random_chance(&random, 80))
			packet.bytes[16] = packet.bytes[18] = 0;
		compare(&packet);
	}
}

// However a sender scattered its bytes, a packet is what it is: gathered first, as vectors are, or
// parsed as it comes, whole or cut short.
static void scattered(void **state)
{
	struct random random = { random_seed() };
	unsigned int n = random_iterations(100000), n_segments = 0;
	struct ref_packet packet = { .size = 0 };

	(void)state;
	for (unsigned int i = 0; i < n; i++) {
		struct rte_mbuf *pieces, *gathered;
		struct key want, got;
		struct ref_packet same;
		bool good;

		packet_random(&random, &packet);
		if (random_chance(&random, 20))
			packet.size = 1 + random_below(&random, packet.size + 1);
		if (!packet.size)
			continue;
		memset(&want, 0, sizeof(want));
		want.tunnel.actset_output = RTE_BE32(OFPP_UNSET);
		want.core.in_port = rte_cpu_to_be_32(IN_PORT);
		good = ref_parse(&packet, &want, NULL);
		pieces = load_scattered(&packet, &random);
		n_segments += pieces->nb_segs;
		hot_select(levels[0], NULL);
		for (unsigned int round = 0; round < 2; round++) {
			memset(&got, 0xee, sizeof(got));
			if (hot->parse_key(pieces, IN_PORT, &got) != good)
				fail_msg("%s", packet_hex(&packet));
			if (good && place(&got, &want))
				fail_msg("%s\n%s", place(&got, &want), packet_hex(&packet));
			gathered = packet_is_scattered(pieces) ? packet_gather(pieces) : pieces;
			assert_non_null(gathered);
			pieces = gathered;
			rte_mbuf_sanity_check(pieces, 1);
			assert_true(pieces->data_len >= RTE_MIN(PACKET_HEADERS, packet.size));
			test_packet_read(pieces, &same);
			assert_int_equal(same.size, packet.size);
			assert_memory_equal(same.bytes, packet.bytes, packet.size);
		}
		rte_pktmbuf_free(pieces);
	}
	print_message("%u segments a packet\n", n_segments / n);
	assert_int_equal(rte_mempool_in_use_count(packet_pool()), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_frames),
		cmocka_unit_test(frames_cut_at_every_length),
		cmocka_unit_test(noise),
		cmocka_unit_test(scattered),
	};
	int failed;

	test_eal_init(1023);
	levels = test_hot_levels();
	mbuf = rte_pktmbuf_alloc(packet_pool());
	if (!mbuf)
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rte_pktmbuf_free(mbuf);
	test_eal_end();
	return failed;
}
