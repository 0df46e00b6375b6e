// The MAC table against a naive list, under floods, and with lookups beside changes.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/hash.h"
#include "l2/mac_table.h"
#include "l2/mac_table_internal.h"

// Every CPU level's build of the hot code is tested. (Without the rest of the switch, the code
// under test can be named on the compiler's command line.)
#ifndef MAC_LOOKUP
#include "datapath/hot.h"
#include "tests/unit/eal.h"
#define MAC_LOOKUP hot->mac_table_lookup
#define MAC_REFRESH hot->mac_table_refresh
#define HOT_LEVELS() test_hot_levels()
#define HOT_SELECT(level) hot_select(level, NULL)
#endif

static uint64_t random_state = 0x9e3779b97f4a7c15ULL;

static uint64_t random_u64(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state * 0x2545f4914f6cdd1dULL;
}

static uint32_t below(uint32_t n)
{
	return (uint32_t)((random_u64() >> 32) * n >> 32);
}

// Unicast address number n.
static void mac_of(uint64_t n, uint8_t mac[6])
{
	mac[0] = 0x02;
	for (unsigned int i = 1; i < 6; i++)
		mac[i] = (uint8_t)(n >> (8 * (5 - i)));
}

static uint32_t n_entries(const struct mac_table *table)
{
	struct mac_table_stats stats;

	mac_table_get_stats(table, &stats);
	return stats.n_entries;
}

// The naive model: one row per (vlan, mac) of a small world.
#define MODEL_MACS 40
#define MODEL_VLANS 3
#define MODEL_AGING_S 20

struct model_entry {
	bool known;
	uint32_t ofport;
	uint32_t seen_s;
};
static struct model_entry model[MODEL_VLANS][MODEL_MACS];
static uint32_t model_now_s;

static bool model_valid(const struct model_entry *entry)
{
	return entry->known && model_now_s - entry->seen_s <= MODEL_AGING_S;
}

static void model_visit(void *context, const struct mac_entry *entry)
{
	const struct model_entry *expected = &model[entry->vlan][entry->mac[5]];

	assert_true(entry->vlan < MODEL_VLANS && entry->mac[5] < MODEL_MACS);
	assert_true(model_valid(expected));
	assert_int_equal(entry->ofport, expected->ofport);
	assert_int_equal(entry->age_s, model_now_s - expected->seen_s);
	++*(uint32_t *)context;
}

static void model_check(const struct mac_table *table)
{
	uint32_t n_visited = 0, n_valid = 0;

	for (uint16_t v = 0; v < MODEL_VLANS; v++)
		for (unsigned int m = 0; m < MODEL_MACS; m++) {
			const struct model_entry *entry = &model[v][m];
			uint8_t mac[6];

			mac_of(m, mac);
			n_valid += model_valid(entry);
			assert_int_equal(MAC_LOOKUP(table, v, mac),
					 model_valid(entry) ? entry->ofport : MAC_TABLE_NONE);
		}
	mac_table_walk(table, model_visit, &n_visited);
	assert_int_equal(n_visited, n_valid);
}

static void model_flush_port(uint32_t ofport)
{
	for (unsigned int v = 0; v < MODEL_VLANS; v++)
		for (unsigned int m = 0; m < MODEL_MACS; m++)
			if (model[v][m].ofport == ofport)
				model[v][m].known = false;
}

static void model_step(struct mac_table *table)
{
	uint16_t vlan = (uint16_t)below(MODEL_VLANS);
	uint32_t number = below(MODEL_MACS);
	struct model_entry *entry = &model[vlan][number];
	uint32_t ofport = below(8) ? below(5) : 0xfffffffe;
	uint8_t mac[6];

	mac_of(number, mac);
	switch (below(16)) {
	default:
		mac_table_learn(table, vlan, mac, ofport);
		*entry = (struct model_entry){ true, ofport, model_now_s };
		break;
	case 10:
	case 11:
	case 12:
		assert_int_equal(MAC_REFRESH(table, vlan, mac, ofport),
				 model_valid(entry) && entry->ofport == ofport);
		if (model_valid(entry) && entry->ofport == ofport)
			entry->seen_s = model_now_s;
		break;
	case 13:
	case 14:
		mac_table_tick(table, ++model_now_s);
		break;
	case 15:
		if (below(4))
			break;
		mac_table_flush_port(table, ofport);
		model_flush_port(ofport);
	}
}

static void test_model(void **state)
{
	struct mac_table *table = mac_table_create(256, MODEL_AGING_S);
	struct mac_table_stats stats;

	(void)state;
	assert_non_null(table);
	model_now_s = 1000;
	mac_table_tick(table, model_now_s);
	for (unsigned int i = 0; i < 20000; i++) {
		model_step(table);
		if (i % 8 == 0)
			model_check(table);
	}
	mac_table_get_stats(table, &stats);
	assert_int_equal(stats.evicted, 0);
	assert_true(stats.learned > 1000 && stats.moved > 1000 && stats.expired > 10);
	mac_table_flush(table);
	memset(model, 0, sizeof(model));
	model_check(table);
	assert_int_equal(n_entries(table), 0);
	mac_table_destroy(table);
	mac_table_destroy(NULL);
}

static void test_sources_that_are_none(void **state)
{
	struct mac_table *table = mac_table_create(64, 300);
	static const uint8_t zero[6], broadcast[6] = { 255, 255, 255, 255, 255, 255 };
	static const uint8_t multicast[6] = { 1, 0, 0x5e, 0, 0, 1 };

	(void)state;
	mac_table_learn(table, 0, zero, 1);
	mac_table_learn(table, 0, broadcast, 1);
	mac_table_learn(table, 0, multicast, 1);
	assert_int_equal(n_entries(table), 0);
	assert_int_equal(MAC_LOOKUP(table, 0, zero), MAC_TABLE_NONE);
	mac_table_destroy(table);
}

static void test_aging(void **state)
{
	struct mac_table *table = mac_table_create(64, 10);
	struct mac_table_stats stats;
	uint8_t first[6], second[6];

	(void)state;
	mac_of(1, first);
	mac_of(2, second);
	// Learned before the clock is known: the first tick is when they were seen.
	mac_table_learn(table, 5, first, 3);
	mac_table_learn(table, 5, second, 4);
	for (uint32_t now_s = 70000; now_s <= 70010; now_s++) {
		mac_table_tick(table, now_s);
		assert_int_equal(MAC_LOOKUP(table, 5, first), 3);
		assert_int_equal(MAC_LOOKUP(table, 6, first), MAC_TABLE_NONE);
	}
	assert_true(MAC_REFRESH(table, 5, second, 4));
	assert_false(MAC_REFRESH(table, 5, second, 5));
	mac_table_tick(table, 70011);
	// Not found from the moment on, even if its slot is cleared some ticks later.
	assert_int_equal(MAC_LOOKUP(table, 5, first), MAC_TABLE_NONE);
	assert_false(MAC_REFRESH(table, 5, first, 3));
	assert_int_equal(MAC_LOOKUP(table, 5, second), 4);
	for (uint32_t now_s = 70012; now_s <= 70020; now_s++)
		mac_table_tick(table, now_s);
	mac_table_get_stats(table, &stats);
	assert_int_equal(stats.expired, 1);
	assert_int_equal(stats.n_entries, 1);
	mac_table_set_aging(table, 5);
	assert_int_equal(MAC_LOOKUP(table, 5, second), MAC_TABLE_NONE);
	mac_table_destroy(table);
}

// A million addresses from one port: nobody else loses an entry, and it takes no time.
static void test_flood(void **state)
{
	enum { N_VICTIMS = 50, VICTIM_MACS = 40 };
	struct mac_table *table = mac_table_create(8192, 300);
	uint64_t start = clock_monotonic_ns();
	struct mac_table_stats stats;
	uint8_t mac[6];

	(void)state;
	mac_table_tick(table, 100);
	for (uint32_t i = 0; i < N_VICTIMS * VICTIM_MACS; i++) {
		mac_of(i, mac);
		mac_table_learn(table, 7, mac, i % N_VICTIMS);
	}
	for (uint32_t i = 0; i < 1000000; i++) {
		mac_of(random_u64() | 1ULL << 39, mac);
		mac_table_learn(table, 7, mac, 1000);
	}
	for (uint32_t i = 0; i < N_VICTIMS * VICTIM_MACS; i++) {
		mac_of(i, mac);
		assert_int_equal(MAC_LOOKUP(table, 7, mac), i % N_VICTIMS);
	}
	// A new victim finds room too.
	mac_of(123456, mac);
	mac_table_learn(table, 7, mac, 77);
	assert_int_equal(MAC_LOOKUP(table, 7, mac), 77);
	mac_table_get_stats(table, &stats);
	assert_int_equal(stats.n_entries, stats.size);
	assert_true(stats.evicted > 900000);
	print_message("a million addresses in %llu ms\n",
		      (unsigned long long)((clock_monotonic_ns() - start) / NS_PER_MS));
	assert_true(clock_monotonic_ns() - start < 10000 * NS_PER_MS);
	mac_table_destroy(table);
}

// The port with the most entries loses the one that was not seen for longest, and a refresh by
// a worker counts as being seen.
static void test_evicts_oldest(void **state)
{
	struct mac_table *table = mac_table_create(16, 300);
	uint8_t mac[6];

	(void)state;
	for (uint32_t i = 0; i < 16; i++) {
		mac_table_tick(table, 100 + i);
		mac_of(i, mac);
		mac_table_learn(table, 0, mac, 9);
	}
	mac_table_tick(table, 200);
	mac_of(0, mac);
	assert_true(MAC_REFRESH(table, 0, mac, 9));
	mac_of(50, mac);
	mac_table_learn(table, 0, mac, 1);
	mac_of(1, mac);
	assert_int_equal(MAC_LOOKUP(table, 0, mac), MAC_TABLE_NONE);
	mac_of(0, mac);
	assert_int_equal(MAC_LOOKUP(table, 0, mac), 9);
	mac_of(50, mac);
	assert_int_equal(MAC_LOOKUP(table, 0, mac), 1);
	assert_int_equal(n_entries(table), 16);
	mac_table_destroy(table);
}

// Addresses chosen with the hash key known, all for the same two buckets: found or evicted, but
// never more than two buckets are read, and nothing breaks.
static void test_collisions(void **state)
{
	struct mac_table *table = mac_table_create(1024, 300);
	uint32_t buckets[2], index[2];
	unsigned int n = 0;
	uint8_t mac[6];

	(void)state;
	mac_of(1, mac);
	mac_key_buckets(table, mac_key(0, mac), buckets);
	for (uint64_t i = 2; n < 40; i++) {
		mac_of(i, mac);
		mac_key_buckets(table, mac_key(0, mac), index);
		if (index[0] != buckets[0] || index[1] != buckets[1])
			continue;
		mac_table_learn(table, 0, mac, 1);
		assert_int_equal(MAC_LOOKUP(table, 0, mac), 1);
		n++;
	}
	// Another port's entry can always be learned, and stays while the colliding port has more.
	mac_of(1, mac);
	mac_table_learn(table, 0, mac, 2);
	assert_int_equal(MAC_LOOKUP(table, 0, mac), 2);

	assert_int_equal(n_entries(table), 2 * MAC_BUCKET_SLOTS);
	mac_table_destroy(table);
}

// At full capacity with random addresses, no two full buckets may meet.
static void test_fills_to_capacity(void **state)
{
	struct mac_table *table = mac_table_create(8192, 300);
	struct mac_table_stats stats;
	uint8_t mac[6];

	(void)state;
	for (uint32_t i = 0; i < 8192; i++) {
		mac_of(i, mac);
		mac_table_learn(table, (uint16_t)(i % 4096), mac, i % 100);
	}
	mac_table_get_stats(table, &stats);
	assert_int_equal(stats.n_entries, 8192);
	assert_int_equal(stats.evicted, 0);
	mac_table_destroy(table);
}

// A reader beside a writer: permanent entries are always found, and an address is only ever
// found at a port that it was learned at (its number modulo 50, or the same plus 100).
#define RACE_NS (1000 * NS_PER_MS)
#define RACE_PERMANENT 32
#define RACE_MACS 600

struct race {
	struct mac_table *table;
	bool stop;
	uint64_t n_lookups;
	uint64_t n_wrong;
};

static void *race_reader(void *context)
{
	struct race *race = context;
	uint8_t mac[6];

	for (uint32_t i = 0; !__atomic_load_n(&race->stop, __ATOMIC_RELAXED); i++) {
		uint32_t number = i % RACE_MACS;
		uint32_t ofport;

		mac_of(number, mac);
		ofport = MAC_LOOKUP(race->table, 1, mac);
		if (number < RACE_PERMANENT)
			race->n_wrong += ofport != 5000 + number;
		else
			race->n_wrong += ofport != MAC_TABLE_NONE && ofport % 100 != number % 50;
		if (number >= RACE_PERMANENT && i % 3 == 0)
			MAC_REFRESH(race->table, 1, mac, number % 50);
		__atomic_fetch_add(&race->n_lookups, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void race_write(struct mac_table *table)
{
	uint64_t end = clock_monotonic_ns() + RACE_NS;
	uint32_t now_s = 1000;
	uint8_t mac[6];

	for (unsigned int i = 0; clock_monotonic_ns() < end; i++) {
		uint32_t number = RACE_PERMANENT + below(RACE_MACS - RACE_PERMANENT);

		mac_of(number, mac);
		mac_table_learn(table, 1, mac, number % 50 + (below(2) ? 100 : 0));
		if (i % 256 == 0)
			mac_table_flush_port(table, below(150));
		if (i % 4096 == 0)
			mac_table_tick(table, ++now_s);
	}
}

static void test_race(void **state)
{
	struct race race = { .table = mac_table_create(128, 100000) };
	pthread_t thread;
	uint8_t mac[6];

	(void)state;
	mac_table_tick(race.table, 1000);
	for (uint32_t i = 0; i < RACE_PERMANENT; i++) {
		mac_of(i, mac);
		mac_table_learn(race.table, 1, mac, 5000 + i);
	}
	assert_int_equal(pthread_create(&thread, NULL, race_reader, &race), 0);
	race_write(race.table);
	__atomic_store_n(&race.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	print_message("%llu lookups beside changes\n", (unsigned long long)race.n_lookups);
	assert_true(race.n_lookups > 1000);
	assert_int_equal(race.n_wrong, 0);
	mac_table_destroy(race.table);
}

static uint32_t port_of(const struct mac_table *table, uint64_t n)
{
	uint8_t mac[6];

	mac_of(n, mac);
	return MAC_LOOKUP(table, 1, mac);
}

static enum mac_learned learn_at(struct mac_table *table, uint64_t n, uint32_t ofport,
				 uint32_t limit)
{
	uint8_t mac[6];

	mac_of(n, mac);
	return mac_table_learn_limited(table, 1, mac, ofport, limit);
}

// Static entries neither age, move nor give way.
static void test_static(void **state)
{
	struct mac_table *table = mac_table_create(64, 15);
	const uint8_t group[6] = { 1, 0, 0, 0, 0, 1 };
	struct mac_table_stats stats;
	uint8_t mac[6];

	(void)state;
	mac_table_tick(table, 1000);
	assert_int_equal(learn_at(table, 0, 9, 0), MAC_LEARNED);
	for (uint64_t i = 0; i < 32; i++) {
		mac_of(i, mac);
		assert_int_equal(mac_table_add_static(table, 1, mac, i < 16 ? 7 : 8), 0);
	}
	mac_of(32, mac);
	assert_int_equal(mac_table_add_static(table, 1, mac, 7), -ENOSPC);
	assert_int_equal(mac_table_add_static(table, 1, group, 7), -EINVAL);
	for (uint64_t i = 0; i < 2000; i++)
		learn_at(table, i, 5, 0);
	assert_int_equal(n_entries(table), 64);
	for (uint32_t second = 1001; second < 1100; second++)
		mac_table_tick(table, second);
	assert_int_equal(n_entries(table), 32);
	mac_table_flush(table);
	mac_table_flush_port(table, 7);
	mac_table_flush_vlan(table, 1);
	for (uint64_t i = 0; i < 32; i++)
		assert_int_equal(port_of(table, i), i < 16 ? 7 : 8);
	mac_of(3, mac);
	assert_int_equal(mac_table_add_static(table, 1, mac, 6), 0);
	assert_int_equal(port_of(table, 3), 6);
	assert_true(mac_table_remove(table, 1, mac));
	assert_false(mac_table_remove(table, 1, mac));
	assert_int_equal(port_of(table, 3), MAC_TABLE_NONE);
	mac_table_remove_port(table, 7);
	mac_table_get_stats(table, &stats);
	assert_int_equal(stats.n_static, 16);
	assert_int_equal(stats.n_entries, 16);
	assert_int_equal(port_of(table, 0), MAC_TABLE_NONE);
	mac_table_clear_stats(table);
	mac_table_get_stats(table, &stats);
	assert_int_equal(stats.n_static, 16);
	assert_int_equal(stats.learned, 0);
	mac_table_destroy(table);
}

static void test_limit(void **state)
{
	struct mac_table *table = mac_table_create(64, 300);
	struct mac_table_stats stats;

	(void)state;
	mac_table_tick(table, 1000);
	for (uint64_t i = 0; i < 10; i++)
		assert_int_equal(learn_at(table, i, 1, 4), i < 4 ? MAC_LEARNED : MAC_REFUSED);
	assert_int_equal(learn_at(table, 3, 1, 4), MAC_LEARNED); // known
	assert_int_equal(learn_at(table, 9, 2, 4), MAC_LEARNED);
	assert_int_equal(learn_at(table, 9, 1, 4), MAC_REFUSED); // a move, too
	assert_int_equal(port_of(table, 9), 2);
	mac_table_get_stats(table, &stats);
	assert_int_equal(stats.refused, 7);
	mac_table_destroy(table);
}

static void test_flapping(void **state)
{
	struct mac_table *table = mac_table_create(64, 300);
	struct mac_table_stats stats;

	(void)state;
	mac_table_set_damping(table, 5, 10);
	mac_table_tick(table, 1000);
	learn_at(table, 1, 1, 0);
	for (uint32_t i = 0; i < 5; i++)
		assert_int_equal(learn_at(table, 1, 2 - i % 2, 0), MAC_LEARNED);
	assert_int_equal(learn_at(table, 1, 1, 0), MAC_HOLD_BEGINS);
	for (uint32_t second = 1000; second < 1010; second++) {
		mac_table_tick(table, second);
		assert_int_equal(learn_at(table, 1, 1, 0), MAC_HELD);
		assert_int_equal(port_of(table, 1), 2);
	}
	mac_table_tick(table, 1010);
	assert_int_equal(learn_at(table, 1, 1, 0), MAC_LEARNED);
	assert_int_equal(port_of(table, 1), 1);
	mac_table_get_stats(table, &stats);
	assert_int_equal(stats.moved, 6);
	assert_int_equal(stats.held, 11);
	// Slowly, or with no limit, it may move for ever.
	for (uint32_t second = 1011; second < 1100; second++) {
		mac_table_tick(table, second);
		for (uint32_t i = 0; i < 5; i++)
			assert_int_equal(learn_at(table, 1, 2 + i % 2, 0), MAC_LEARNED);
	}
	mac_table_set_damping(table, 0, 10);
	for (uint32_t i = 0; i < 1000; i++)
		assert_int_equal(learn_at(table, 1, 1 + i % 2, 0), MAC_LEARNED);
	mac_table_destroy(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_sources_that_are_none),
		cmocka_unit_test(test_aging),
		cmocka_unit_test(test_flood),
		cmocka_unit_test(test_evicts_oldest),
		cmocka_unit_test(test_collisions),
		cmocka_unit_test(test_fills_to_capacity),
		cmocka_unit_test(test_race),
		cmocka_unit_test(test_static),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_flapping),
	};
	int n_failed = 0;

	for (const char *const *level = HOT_LEVELS(); *level; level++) {
		print_message("%s\n", *level);
		if (HOT_SELECT(*level) < 0)
			return 1;
		n_failed += cmocka_run_group_tests(tests, NULL, NULL);
	}
	return n_failed;
}
