// Tables with routes: which flows become an LPM part, and that lookups find the right ones
// meanwhile, against a naive search and beside changes.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <rte_cycles.h>

#include "common/clock.h"
#include "common/rcu.h"
#include "datapath/hot.h"
#include "flowtable/table.h"
#include "flowtable/table_cost.h"
#include "tests/unit/eal.h"
#include "tests/unit/flow_helper.h"

#define MAX_FLOWS 1500

struct entry {
	struct match match;
	uint16_t priority;
	uint64_t sequence;
	struct flow *flow;
};

static struct entry entries[MAX_FLOWS];
static unsigned int n_entries;
static uint64_t sequence;
static struct helper_packets packets;

// What the flows of a table look like.
struct world {
	unsigned int n_contexts; // values of reg0; 0: it is not matched
	bool by_length; // longer prefixes have higher priorities
	bool has_others; // flows that are no prefixes
	bool only_long; // mostly host routes
};

static const struct world worlds[] = {
	{ .by_length = true },
	{ .n_contexts = 0 },
	{ .n_contexts = 3, .by_length = true },
	{ .n_contexts = 12 },
	{ .n_contexts = 2, .has_others = true },
	{ .by_length = true, .has_others = true },
	{ .only_long = true },
};

static uint32_t random_address(void)
{
	uint32_t some = (uint32_t)helper_random();

	return helper_below(3) ? some & 0xc00181c1 : some;
}

// The same routes as IPv6: each bit of an address stands there four times, so that a prefix of one
// is a prefix of the other.
static bool is_ipv6;

static rte_be64_t four_times(uint32_t bits16)
{
	uint64_t wide = 0;

	for (unsigned int b = 0; b < 16; b++)
		wide |= (uint64_t)(bits16 >> b & 1 ? 15 : 0) << 4 * b;
	return rte_cpu_to_be_64(wide);
}

static void route_match(struct match *match, uint32_t address, unsigned int length)
{
	uint32_t mask = length ? UINT32_MAX << (32 - length) : 0;

	*match = (struct match){ 0 };
	if (is_ipv6) {
		match->mask.core.eth_type = 0xffff;
		match->value.core.eth_type = rte_cpu_to_be_16(0x86dd);
		for (unsigned int half = 0; half < 2; half++) {
			const unsigned int word = 26 + half, shift = half ? 0 : 16;

			match->mask.words[word] = four_times(mask >> shift & 0xffff);
			match->value.words[word] = four_times((address & mask) >> shift & 0xffff);
		}
		return;
	}
	match->mask.core.eth_type = 0xffff;
	match->value.core.eth_type = rte_cpu_to_be_16(0x0800);
	match->mask.core.ip_dst = rte_cpu_to_be_32(mask);
	match->value.core.ip_dst = rte_cpu_to_be_32(address & mask);
}

static void random_match(const struct world *world, struct match *match, uint16_t *priority)
{
	unsigned int length = world->only_long && helper_below(4) ? 32 : helper_below(33);

	route_match(match, random_address(), length);
	*priority = (uint16_t)(world->by_length ? length : 10 + helper_below(4));
	if (world->n_contexts) {
		match->mask.registers.reg[0] = UINT32_MAX;
		match->value.registers.reg[0] = helper_below(world->n_contexts);
	}
	if (world->has_others && helper_below(5) == 0) {
		match->mask.core.tp_dst = 0xffff;
		match->value.core.tp_dst = (rte_be16_t)helper_below(2);
		*priority = (uint16_t)helper_below(40);
	}
}

static void random_packets(const struct world *world)
{
	for (unsigned int i = 0; i < VECTOR_SIZE; i++) {
		struct key key = { 0 };

		struct match match;

		route_match(&match, random_address(), 32);
		key = match.value;
		if (n_entries && helper_below(2))
			key = entries[helper_below(n_entries)].match.value;
		if (helper_below(20) == 0)
			key.core.eth_type = 0;
		key.core.tp_dst = (rte_be16_t)helper_below(3);
		key.registers.reg[0] = helper_below(world->n_contexts + 1);
		for (unsigned int w = 0; w < 4 * KEY_LINE_WORDS; w++)
			helper_packet_set(&packets, i, w, key.words[w]);
	}
}

static bool is_better(const struct entry *a, const struct entry *b)
{
	return a->priority > b->priority ||
	       (a->priority == b->priority && a->sequence < b->sequence);
}

static const struct flow *naive_best(unsigned int packet, enum flow_view view)
{
	const struct entry *best = NULL;
	struct key key;

	helper_packet_key(&packets, packet, &key);
	for (unsigned int i = 0; i < n_entries; i++)
		if ((view == VIEW_NONE || flow_is_visible(entries[i].flow, view)) &&
		    (!best || is_better(&entries[i], best)) &&
		    match_covers(&entries[i].match, &key))
			best = &entries[i];
	return best ? best->flow : NULL;
}

static void check_lookup(const struct world *world, const struct table *table)
{
	const struct flow *results[VECTOR_SIZE];
	uint64_t set = helper_packet_set_random();

	random_packets(world);
	hot->table_lookup(table, &packets.keys, set, results);
	for (unsigned int i = 0; i < VECTOR_SIZE; i++)
		assert_ptr_equal(results[i], set >> i & 1 ? naive_best(i, VIEW_NONE) : NULL);
}

// The table in a bundle: some flows are new, some are about to go.
static void check_views(const struct world *world, const struct table *table)
{
	const struct flow *results[VECTOR_SIZE];

	random_packets(world);
	for (unsigned int i = 0; i < n_entries; i++)
		flow_set_state(entries[i].flow, (enum flow_state)helper_below(3));
	for (enum flow_view view = VIEW_BEFORE; view <= VIEW_AFTER; view++) {
		hot->table_lookup_view(table, &packets.keys, UINT64_MAX, results, view);
		for (unsigned int i = 0; i < VECTOR_SIZE; i++)
			assert_ptr_equal(results[i], naive_best(i, view));
	}
	for (unsigned int i = 0; i < n_entries; i++)
		flow_set_state(entries[i].flow, FLOW_NORMAL);
}

static void change_insert(const struct world *world, struct table *table)
{
	struct entry *entry = &entries[n_entries];

	random_match(world, &entry->match, &entry->priority);
	if (table_find(table, &entry->match, entry->priority))
		return;
	entry->sequence = sequence++;
	entry->flow = helper_flow(&entry->match, entry->priority);
	assert_int_equal(table_insert(table, entry->flow), 0);
	n_entries++;
}

static void change_remove(struct table *table)
{
	struct entry *entry = &entries[helper_below(n_entries)];

	table_remove(table, entry->flow);
	flow_defer_free(entry->flow);
	*entry = entries[--n_entries];
}

static void change_replace(struct table *table)
{
	struct entry *entry = &entries[helper_below(n_entries)];
	struct flow *old = entry->flow;

	entry->flow = helper_flow(&entry->match, entry->priority);
	assert_int_equal(table_replace(table, old, entry->flow), 0);
	flow_defer_free(old);
}

// How many flows are in LPM parts; all parts together must have all flows.
static unsigned int count_in_lpm(const struct table *table)
{
	static struct table_part parts[MAX_FLOWS];
	unsigned int n = table_parts(table, parts, MAX_FLOWS), n_flows = 0, n_in_lpm = 0;

	for (unsigned int i = 0; i < n; i++) {
		n_flows += parts[i].n_flows;
		assert_true(parts[i].n_flows > 0 && parts[i].n_masks > 0);
		if (strcmp(parts[i].template_name, is_ipv6 ? "lpm6" : "lpm") == 0)
			n_in_lpm += parts[i].n_flows;
	}
	assert_int_equal(n_flows, table_size(table));
	return n_in_lpm;
}

static unsigned int n_with_lpm; // tables

// A table that grows, shrinks and grows again, over the sizes at which parts are made and dropped.
static void run_table(const struct world *world, unsigned int n_flows)
{
	struct table *table = table_create(1);
	const unsigned int n_changes = is_ipv6 ? 600 : 300;
	unsigned int n_in_lpm = 0;

	n_entries = 0;
	for (unsigned int c = 0; c < 3 * n_changes; c++) {
		bool grows = c / n_changes != 1;

		if (helper_below(5) == 0 && n_entries)
			change_replace(table);
		else if (helper_below(4) ? grows : !grows) {
			if (n_entries < n_flows)
				change_insert(world, table);
		} else if (n_entries)
			change_remove(table);
		if (c % 4 == 0)
			check_lookup(world, table);
		if (c % 16 == 0) {
			check_views(world, table);
			n_in_lpm += count_in_lpm(table) > 0;
			rcu_reclaim();
		}
	}
	// An IPv6 part has to save more than an IPv4 part.
	assert_true(is_ipv6 || n_flows < 100 || world->n_contexts > 8 || n_in_lpm > 0);
	n_with_lpm += n_in_lpm > 0;
	while (n_entries > 0) {
		change_remove(table);
		if (n_entries % 4 == 0)
			check_lookup(world, table);
	}
	assert_int_equal(table_parts(table, NULL, 0), 0);
	table_destroy(table);
}

static void test_random(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 12; i++)
		for (unsigned int w = 0; w < sizeof(worlds) / sizeof(worlds[0]); w++) {
			is_ipv6 = i >= 6;
			if (i == 6 && w == 0)
				n_with_lpm = 0;
			run_table(&worlds[w], i % 2 ? 60 : 400);
		}
	print_message("%u of 42 tables had IPv6 parts\n", n_with_lpm);
	assert_true(n_with_lpm > 6);
	is_ipv6 = false;
}

// Few flows stay in bins; then one part has them all; it goes when few are left.
static void test_policy(void **state)
{
	struct table *table = table_create(0);
	static struct flow *flows[200];
	struct match match;

	(void)state;
	for (unsigned int i = 0; i < 200; i++) {
		route_match(&match, i << 24 | 0x123456, 8 + i % 20);
		flows[i] = helper_flow(&match, 5);
		assert_int_equal(table_insert(table, flows[i]), 0);
		assert_int_equal(count_in_lpm(table), i < 32 ? 0 : i + 1);
	}
	assert_int_equal(table_parts(table, NULL, 0), 1);
	for (unsigned int i = 200; i-- > 1;) {
		table_remove(table, flows[i]);
		flow_defer_free(flows[i]);
		assert_int_equal(count_in_lpm(table), i < 16 ? 0 : i);
	}
	table_destroy(table);
}

// More contexts than an LPM part takes: shapes leave it one after the other, and no flow is lost.
static void test_too_many_contexts(void **state)
{
	struct table *table = table_create(0);
	struct match match;

	(void)state;
	for (unsigned int i = 0; i < 600; i++) {
		route_match(&match, i << 24 | 0x123456, 8 + i % 5);
		match.mask.registers.reg[0] = UINT32_MAX;
		match.value.registers.reg[0] = i / 50;
		assert_int_equal(table_insert(table, helper_flow(&match, (uint16_t)(8 + i % 5))),
				 0);
		if (i == 399)
			assert_int_equal(count_in_lpm(table), 400);
	}
	assert_int_equal(count_in_lpm(table), 0);
	assert_int_equal(table_size(table), 600);
	table_destroy(table);
}

// Host routes by the thousand get a hash part: each would take two blocks of 2 KiB.
static void test_many_long(void **state)
{
	struct table *table = table_create(0);
	struct match match;

	(void)state;
	for (unsigned int i = 0; i < 6000; i++) {
		route_match(&match, i * 2654435761u, i < 60 ? 10 + i % 6 : 32);
		if (!table_find(table, &match, 5))
			assert_int_equal(table_insert(table, helper_flow(&match, 5)), 0);
		if (i == 4000)
			assert_int_equal(count_in_lpm(table), table_size(table));
	}
	assert_true(count_in_lpm(table) <= 60);
	table_destroy(table);
}

static unsigned int length_of(unsigned int i)
{
	// As in the Internet: half are 24, most others 17 to 23, few are shorter.
	return i % 2 ? 24 : i % 64 ? 17 + i / 2 % 7 : 8 + i / 64 % 9;
}

// As in the Internet: IPv6 routes are half 48 bits long, and most others 29 to 47, in a few blocks
// of 16 bits.
static unsigned int scale_match(struct match *match, unsigned int i, bool is_host)
{
	static const uint8_t lengths[] = { 32, 44, 40, 36, 29, 46, 42, 33, 34, 38, 47, 45, 64, 56 };
	const uint64_t mixed = i * 0x9e3779b97f4a7c15ULL;
	const unsigned int length = is_host ? 128 : i % 2 ? 48 : lengths[i / 2 % sizeof(lengths)];
	const uint64_t mask = length < 64 ? UINT64_MAX << (64 - length) : UINT64_MAX;
	const uint64_t high = UINT64_C(0x2a00) << 48 | (mixed >> 62) << 48 | mixed >> 16;

	if (!is_ipv6) {
		route_match(match, i * 2654435761u, is_host ? 32 : length_of(i));
		return length_of(i);
	}
	route_match(match, 0, 0);
	match->mask.words[26] = rte_cpu_to_be_64(mask);
	match->value.words[26] = rte_cpu_to_be_64(high & mask);
	match->mask.words[27] = is_host ? UINT64_MAX : 0;
	match->value.words[27] = is_host ? mixed : 0;
	return length;
}

static uint64_t measure(const struct table *table, unsigned int n_addresses)
{
	static struct helper_packets vectors[64];
	const struct flow *results[VECTOR_SIZE];
	uint64_t least = UINT64_MAX;

	for (unsigned int v = 0; v < 64; v++) {
		helper_packets_init(&vectors[v]);
		for (unsigned int i = 0; i < VECTOR_SIZE; i++) {
			struct match match;

			scale_match(&match, helper_below(n_addresses), true);
			for (unsigned int w = 0; w < 4 * KEY_LINE_WORDS; w++)
				helper_packet_set(&vectors[v], i, w, match.value.words[w]);
		}
	}
	for (unsigned int round = 0; round < 50; round++) {
		uint64_t start = rte_rdtsc(), cycles;

		for (unsigned int v = 0; v < 64; v++)
			hot->table_lookup(table, &vectors[v].keys, UINT64_MAX, results);
		cycles = rte_rdtsc() - start;
		least = cycles < least ? cycles : least;
	}
	return least * 10 / (64 * VECTOR_SIZE);
}

static void run_scale(unsigned int n)
{
	struct table *table = table_create(0);
	struct flow **flows = calloc(n, sizeof(*flows));
	unsigned int n_flows = 0;
	uint64_t insert_ns, remove_ns, start, cycles;
	struct table_part part;
	struct match match;

	assert_non_null(flows);
	for (unsigned int i = 0; i < n; i++) {
		const unsigned int length = scale_match(&match, i, false);

		flows[i] = helper_flow(&match, (uint16_t)length);
	}
	start = clock_monotonic_ns();
	for (unsigned int i = 0; i < n; i++) {
		if (table_find_like(table, flows[i])) {
			flow_free(flows[i]);
			continue;
		}
		assert_int_equal(table_insert(table, flows[i]), 0);
		flows[n_flows++] = flows[i];
	}
	insert_ns = clock_monotonic_ns() - start;
	cycles = measure(table, n);
	table_parts(table, &part, 1);
	assert_int_equal(count_in_lpm(table), n_flows);
	assert_true(part.cycles > 0);
	start = clock_monotonic_ns();
	for (unsigned int i = 0; i < n_flows; i++)
		table_remove(table, flows[i]);
	remove_ns = clock_monotonic_ns() - start;
	print_message("%u routes: %llu.%llu cycles for each packet (%u by the model), %llu KiB, "
		      "%llu ns to insert, "
		      "%llu ns to remove\n",
		      n_flows, (unsigned long long)cycles / 10, (unsigned long long)cycles % 10,
		      part.cycles, (unsigned long long)part.memory / 1024,
		      (unsigned long long)insert_ns / n_flows,
		      (unsigned long long)remove_ns / n_flows);
	// Far more than it takes anywhere, far less than anything quadratic.
	assert_true(insert_ns < (uint64_t)5 * NS_PER_S && remove_ns < (uint64_t)5 * NS_PER_S);
	for (unsigned int i = 0; i < n_flows; i++)
		flow_defer_free(flows[i]);
	free(flows);
	table_destroy(table);
}

// The choice of templates rests on this order; the measurement may not hold up the main thread.
static void test_cost(void **state)
{
	struct table *table = table_create(0);
	struct table_part part;
	struct match match;
	uint64_t start;

	(void)state;
	assert_true(table_cost_nominal(CLASSIFIER_LINEAR, 4, 0) <
		    table_cost_nominal(CLASSIFIER_LINEAR, 32, 0));
	assert_true(table_cost_nominal(CLASSIFIER_HASH, 100, 8192) <
		    table_cost_nominal(CLASSIFIER_HASH, 1000000, 64 << 20));
	assert_true(table_cost_nominal(CLASSIFIER_LPM, 1000, 1 << 20) <
		    3 * table_cost_nominal(CLASSIFIER_HASH, 300, 8192));
	route_match(&match, 1, 32);
	assert_int_equal(table_insert(table, helper_flow(&match, 5)), 0);
	start = clock_monotonic_ns();
	assert_int_equal(table_parts(table, &part, 1), 1);
	print_message("the cost of one flow: %u cycles, told in %llu us\n", part.cycles,
		      (unsigned long long)(clock_monotonic_ns() - start) / 1000);
	assert_true(part.cycles > 0 && part.cycles < 1000);
	table_destroy(table);
}

static void test_scale(void **state)
{
	(void)state;
	run_scale(1000);
	run_scale(100000);
	is_ipv6 = true;
	run_scale(1000);
	run_scale(100000);
	is_ipv6 = false;
}

// Lookups beside changes: each packet has a route for ever, and others around it come and go, worse
// ones under it, and now and then a better one over it.
#define READER_ID 6
#define N_ROUTES 48
#define RACE_NS (1200 * NS_PER_MS)

struct race {
	struct table *table;
	struct helper_packets packets;
	bool stop;
	uint64_t n_lookups;
	uint64_t n_wrong;
};

static void *race_reader(void *context)
{
	struct race *race = context;
	const struct flow *results[VECTOR_SIZE];

	rcu_online(READER_ID);
	while (!__atomic_load_n(&race->stop, __ATOMIC_RELAXED)) {
		hot->table_lookup(race->table, &race->packets.keys, UINT64_MAX, results);
		for (unsigned int i = 0; i < VECTOR_SIZE; i++)
			race->n_wrong += !results[i] || results[i]->priority < 100;
		__atomic_fetch_add(&race->n_lookups, 1, __ATOMIC_RELAXED);
		rcu_quiescent(READER_ID);
	}
	rcu_offline(READER_ID);
	return NULL;
}

static void race_writer(struct race *race)
{
	static const uint8_t lengths[] = { 0, 7, 8, 12, 16, 17, 20, 24, 26, 32 };
	uint64_t end = clock_monotonic_ns() + RACE_NS;
	static struct flow *flows[256];
	struct match match;

	memset(flows, 0, sizeof(flows));
	while (clock_monotonic_ns() < end) {
		unsigned int i = helper_below(256), length = lengths[i % 10];

		if (flows[i]) {
			table_remove(race->table, flows[i]);
			flow_defer_free(flows[i]);
			flows[i] = NULL;
			continue;
		}
		route_match(&match, (i % 64) * 0x04104104u, length);
		if (table_find(race->table, &match, (uint16_t)(i % 3 ? 50 : 150)))
			continue;
		flows[i] = helper_flow(&match, i % 3 ? 50 : 150);
		assert_int_equal(table_insert(race->table, flows[i]), 0);
		if (i % 32 == 0)
			rcu_reclaim();
	}
}

static void run_race(void)
{
	static struct race race;
	pthread_t thread;

	memset(&race, 0, sizeof(race));
	helper_packets_init(&race.packets);
	race.table = table_create(0);
	for (unsigned int i = 0; i < VECTOR_SIZE; i++) {
		const unsigned int length = 16 + i % N_ROUTES % 16;
		struct match match;

		route_match(&match, i * 0x04104104u, 32);
		for (unsigned int w = 0; w < 4 * KEY_LINE_WORDS; w++)
			helper_packet_set(&race.packets, i, w, match.value.words[w]);
		route_match(&match, i * 0x04104104u, length);
		assert_int_equal(table_insert(race.table, helper_flow(&match, 100)), 0);
	}
	assert_int_equal(rcu_reader_register(READER_ID), 0);
	assert_int_equal(pthread_create(&thread, NULL, race_reader, &race), 0);
	while (!__atomic_load_n(&race.n_lookups, __ATOMIC_RELAXED))
		;
	race_writer(&race);
	__atomic_store_n(&race.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	rcu_reader_unregister(READER_ID);
	print_message("%llu lookups beside changes\n", (unsigned long long)race.n_lookups);
	assert_true(race.n_lookups > 100);
	assert_int_equal(race.n_wrong, 0);
	table_destroy(race.table);
}

static void test_race(void **state)
{
	(void)state;
	run_race();
	is_ipv6 = true;
	run_race();
	is_ipv6 = false;
}

static int teardown(void **state)
{
	(void)state;
	rcu_barrier();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_policy),    cmocka_unit_test(test_too_many_contexts),
		cmocka_unit_test(test_many_long), cmocka_unit_test(test_random),
		cmocka_unit_test(test_cost),      cmocka_unit_test(test_scale),
		cmocka_unit_test(test_race),
	};
	int n_failed = 0;

	helper_packets_init(&packets);
	if (rcu_init() < 0)
		return 1;
	for (const char *const *level = test_hot_levels(); *level; level++) {
		print_message("%s\n", *level);
		if (hot_select(*level, NULL) < 0)
			return 1;
		n_failed += cmocka_run_group_tests(tests, NULL, teardown);
	}
	return n_failed;
}
