// Whole tables against a naive search, their upkeep, and lookups beside changes.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>

#include "common/clock.h"
#include "common/rcu.h"
#include "flowtable/table.h"
#include "tests/unit/flow_helper.h"

// Every CPU level's build of the hot code is tested. (Without the rest of the switch, the code
// under test can be named on the compiler's command line.)
#ifndef TABLE_LOOKUP
#include "datapath/hot.h"
#include "tests/unit/eal.h"
#define TABLE_LOOKUP hot->table_lookup
#define HOT_LEVELS() test_hot_levels()
#define HOT_SELECT(level) hot_select(level, NULL)
#endif

#define MAX_FLOWS 600
#define MAX_MASKS 64

struct entry {
	struct match match;
	uint16_t priority;
	uint64_t sequence;
	struct flow *flow;
};

static struct entry entries[MAX_FLOWS];
static unsigned int n_entries;
static uint64_t sequence;
static uint64_t n_compared;
static uint64_t n_found;
static struct helper_packets packets;

static bool is_better(const struct entry *a, const struct entry *b)
{
	return a->priority > b->priority ||
	       (a->priority == b->priority && a->sequence < b->sequence);
}

static const struct entry *naive_best(unsigned int packet)
{
	const struct entry *best = NULL;
	struct key key;

	helper_packet_key(&packets, packet, &key);
	for (unsigned int i = 0; i < n_entries; i++)
		if ((!best || is_better(&entries[i], best)) &&
		    match_covers(&entries[i].match, &key))
			best = &entries[i];
	return best;
}

static void check_lookup(const struct table *table)
{
	const struct flow *garbage = (const struct flow *)&packets;
	const struct flow *results[VECTOR_SIZE];
	uint64_t set = helper_packet_set_random();

	helper_packets_random(&packets);
	for (unsigned int i = 0; i < VECTOR_SIZE; i++)
		results[i] = garbage;
	TABLE_LOOKUP(table, &packets.keys, set, results);
	for (unsigned int i = 0; i < VECTOR_SIZE; i++) {
		const struct entry *best;

		if (!(set >> i & 1)) {
			assert_null(results[i]);
			continue;
		}
		best = naive_best(i);
		assert_ptr_equal(results[i], best ? best->flow : NULL);
		n_compared++;
		n_found += best != NULL;
	}
}

// What table_parts(), table_size(), table_lines() and the list say must agree with the flows.
static void check_books(const struct table *table)
{
	static struct table_part parts[MAX_FLOWS];
	unsigned int n_parts = table_parts(table, parts, MAX_FLOWS);
	uint32_t n_flows = 0, n_listed = 0;
	uint16_t lines = 0;
	uint32_t most = 0;

	assert_true(n_parts <= MAX_FLOWS);
	for (unsigned int i = 0; i < n_parts; i++) {
		assert_true(parts[i].n_flows > 0 && parts[i].n_masks > 0 && parts[i].memory > 0);
		assert_true(i == 0 || parts[i].max_priority <= parts[i - 1].max_priority);
		n_flows += parts[i].n_flows;
	}
	for (unsigned int i = 0; i < n_entries; i++) {
		lines |= entries[i].flow->mask->lines;
		if (entries[i].priority > most)
			most = entries[i].priority;
		assert_ptr_equal(table_find(table, &entries[i].match, entries[i].priority),
				 entries[i].flow);
	}
	for (const struct flow *flow = table_first(table); flow; flow = table_next(table, flow))
		n_listed++;
	assert_int_equal(n_flows, n_entries);
	assert_int_equal(n_listed, n_entries);
	assert_int_equal(table_size(table), n_entries);
	assert_int_equal(table_lines(table) & lines, lines);
	if (n_entries == 0)
		assert_int_equal(table_lines(table), 0);
	else
		assert_true(parts[0].max_priority >= most);
}

static void change_insert(struct table *table, const struct match *masks, unsigned int n_masks,
			  unsigned int n_priorities)
{
	struct entry *entry = &entries[n_entries];

	entry->match = masks[helper_below(n_masks)];
	entry->priority = (uint16_t)(helper_below(n_priorities) * 9362);
	helper_values(&entry->match);
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
	struct entry gone = *entry;

	table_remove(table, gone.flow);
	flow_defer_free(gone.flow);
	*entry = entries[--n_entries];
	assert_null(table_find(table, &gone.match, gone.priority));
}

static void change_replace(struct table *table)
{
	struct entry *entry = &entries[helper_below(n_entries)];
	struct flow *old = entry->flow;

	entry->flow = helper_flow(&entry->match, entry->priority);
	assert_int_equal(table_replace(table, old, entry->flow), 0);
	flow_defer_free(old);
}

// A table grows to about `n_flows`, changes a while at that size, and is emptied.
static void run_table(unsigned int n_masks, unsigned int n_flows, unsigned int n_priorities,
		      unsigned int n_changes)
{
	struct table *table = table_create(3);
	static struct match masks[MAX_MASKS];

	memset(masks, 0, sizeof(masks));
	for (unsigned int m = 0; m < n_masks; m++)
		helper_mask(&masks[m]);
	n_entries = 0;
	assert_non_null(table);
	check_lookup(table);
	for (unsigned int c = 0; c < n_changes; c++) {
		unsigned int what = helper_below(8);

		if (n_entries < n_flows / 2 || (what < 3 && n_entries < n_flows))
			change_insert(table, masks, n_masks, n_priorities);
		else if (what < 6)
			change_remove(table);
		else if (n_entries > 0)
			change_replace(table);
		if (c % 4 == 0)
			check_lookup(table);
		if (c % 16 == 0)
			check_books(table);
		if (c % 64 == 0)
			rcu_reclaim();
	}
	while (n_entries > 0) {
		change_remove(table);
		if (n_entries % 4 == 0)
			check_lookup(table);
	}
	check_books(table);
	assert_int_equal(table_parts(table, NULL, 0), 0);
	table_destroy(table);
}

static void test_random(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 60; i++) {
		run_table(1, 200, 1 + helper_below(8), 400);
		run_table(1 + helper_below(6), 24, 1 + helper_below(8), 400);
		run_table(1 + helper_below(8), 300, 1 + helper_below(8), 600);
		run_table(MAX_MASKS, MAX_FLOWS, 1 + helper_below(8), 900);
	}
	print_message("%llu results compared, %llu flows found\n", (unsigned long long)n_compared,
		      (unsigned long long)n_found);
	assert_true(n_found > n_compared / 10);
}

static void test_destroy_with_flows(void **state)
{
	struct table *table = table_create(0);
	struct match match = { 0 };

	(void)state;
	for (unsigned int i = 0; i < 100; i++) {
		match.mask.words[3] = i % 3 ? UINT64_MAX : 0xffff;
		match.value.words[3] = i;
		assert_int_equal(table_insert(table, helper_flow(&match, 1)), 0);
	}
	table_destroy(table);
	table_destroy(NULL);
}

// The current flow may be removed while iterating.
static void test_iterate_and_remove(void **state)
{
	struct table *table = table_create(0);
	struct match match = { 0 };
	unsigned int n = 0;

	(void)state;
	for (unsigned int i = 0; i < 200; i++) {
		match.mask.words[3] = i % 3 ? UINT64_MAX : 0xffff;
		match.value.words[3] = i;
		assert_int_equal(table_insert(table, helper_flow(&match, 1)), 0);
	}
	for (struct flow *flow = table_first(table); flow; flow = table_next(table, flow)) {
		if (++n % 2)
			continue;
		table_remove(table, flow);
		flow_defer_free(flow);
	}
	assert_int_equal(n, 200);
	assert_int_equal(table_size(table), 100);
	table_destroy(table);
}

static const char *template_of(const struct table *table, unsigned int part)
{
	struct table_part parts[8];

	assert_true(table_parts(table, parts, 8) > part);
	return parts[part].template_name;
}

// The template follows the rules: few flows linear, many of one mask hash, with hysteresis.
static void test_policy(void **state)
{
	struct table *table = table_create(0);
	struct match match = { 0 };
	struct flow *flows[40];

	(void)state;
	assert_int_equal(table_insert(table, helper_flow(&match, 0)), 0);
	assert_string_equal(template_of(table, 0), "const");
	match.mask.words[3] = UINT64_MAX;
	for (unsigned int i = 0; i < 40; i++) {
		match.value.words[3] = i;
		flows[i] = helper_flow(&match, 10);
		assert_int_equal(table_insert(table, flows[i]), 0);
		assert_int_equal(table_parts(table, NULL, 0), 2);
		assert_string_equal(template_of(table, 0), i < 16 ? "linear" : "hash");
		assert_string_equal(template_of(table, 1), "const");
	}
	for (unsigned int i = 40; i-- > 1;) {
		table_remove(table, flows[i]);
		flow_defer_free(flows[i]);
		assert_string_equal(template_of(table, 0), i >= 8 ? "hash" : "linear");
	}
	table_destroy(table);
}

// Which masks are rare is a matter of their number: beyond 32 flows of them there is a mix, which
// hash parts of few flows join, and it ends below 16. A mask that becomes common leaves it.
static void test_policy_mix(void **state)
{
	struct table *table = table_create(0);
	struct match match = { 0 };
	struct flow *flows[40], *common[400];

	(void)state;
	match.mask.words[4] = UINT64_MAX;
	for (unsigned int i = 0; i < 20; i++) {
		match.value.words[4] = i;
		common[i] = helper_flow(&match, 5);
		assert_int_equal(table_insert(table, common[i]), 0);
	}
	assert_string_equal(template_of(table, 0), "hash");
	for (unsigned int i = 0; i < 40; i++) {
		struct match rare = { 0 };

		rare.mask.words[3] = UINT64_MAX << i;
		flows[i] = helper_flow(&rare, 10);
		assert_int_equal(table_insert(table, flows[i]), 0);
		assert_string_equal(template_of(table, 0), i < 32 ? "linear" : "bitvector");
		assert_int_equal(table_parts(table, NULL, 0), i < 32 ? 2 : 1);
	}
	for (unsigned int i = 20; i < 400; i++) {
		match.value.words[4] = i;
		common[i] = helper_flow(&match, 5);
		assert_int_equal(table_insert(table, common[i]), 0);
		assert_int_equal(table_parts(table, NULL, 0), i < 256 ? 1 : 2);
	}
	assert_string_equal(template_of(table, 1), "hash");
	for (unsigned int i = 400; i-- > 4;) {
		table_remove(table, common[i]);
		flow_defer_free(common[i]);
		assert_int_equal(table_parts(table, NULL, 0), i < 8 ? 1 : 2);
	}
	for (unsigned int i = 40; i-- > 0;) {
		table_remove(table, flows[i]);
		flow_defer_free(flows[i]);
		assert_string_equal(template_of(table, 0), i + 4 < 16 ? "linear" : "bitvector");
	}
	table_destroy(table);
}

// With many masks of many flows each, those that are not so many share a part.
static void test_policy_crowded(void **state)
{
	struct table *table = table_create(0);
	struct table_part parts[32];
	unsigned int n_parts;

	(void)state;
	for (unsigned int m = 0; m < 20; m++)
		for (unsigned int i = 0; i < 500; i++) {
			struct match match = { 0 };

			match.mask.words[3] = UINT64_MAX << m;
			match.value.words[3] = (uint64_t)i << 32;
			assert_int_equal(table_insert(table, helper_flow(&match, (uint16_t)m)), 0);
		}
	n_parts = table_parts(table, parts, 32);
	assert_int_equal(n_parts, 7);
	for (unsigned int p = 0; p < n_parts; p++)
		if (!strcmp(parts[p].template_name, "bitvector")) {
			assert_int_equal(parts[p].n_masks, 14);
			assert_int_equal(parts[p].n_flows, 14 * 500);
		}
	table_destroy(table);
}

static void five_tuple(struct match *match, unsigned int i)
{
	*match = (struct match){ 0 };
	match->mask.core.eth_type = 0xffff;
	match->mask.core.ip_src = 0xffffffff;
	match->mask.core.ip_dst = 0xffffffff;
	match->mask.core.tp_src = 0xffff;
	match->mask.core.tp_dst = 0xffff;
	match->mask.core.ip_proto = 0xff;
	match->value.core.eth_type = 0x0008;
	match->value.core.ip_src = i * 2654435761u;
	match->value.core.ip_dst = i;
	match->value.core.tp_src = (uint16_t)i;
	match->value.core.ip_proto = 6;
}

// A hundred thousand flows and a table-miss flow: inserting, finding, removing. Expected or not,
// more or fewer than expected.
static void scale(unsigned int n_expected)
{
	enum { N = 100000 };
	struct flow **flows = calloc(N, sizeof(*flows));
	struct table *table = table_create(0);
	const struct flow *results[VECTOR_SIZE];
	uint64_t start, insert_ms, remove_ms;
	struct match match;

	assert_non_null(flows);
	for (unsigned int i = 0; i < N; i++) {
		five_tuple(&match, i);
		flows[i] = helper_flow(&match, 100);
	}
	match = (struct match){ 0 };
	start = clock_monotonic_ns();
	if (n_expected)
		table_expect(table, flows[0]->mask, n_expected);
	assert_int_equal(table_insert(table, helper_flow(&match, 0)), 0);
	for (unsigned int i = 0; i < N; i++)
		assert_int_equal(table_insert(table, flows[i]), 0);
	insert_ms = (clock_monotonic_ns() - start) / NS_PER_MS;
	if (n_expected)
		table_expect(table, flows[0]->mask, 0);
	for (unsigned int i = 0; i < N; i++) {
		five_tuple(&match, i);
		assert_ptr_equal(table_find(table, &match, 100), flows[i]);
		assert_null(i % 1000 ? NULL : table_find(table, &match, 99));
	}
	for (unsigned int i = 0; i < N; i++) {
		unsigned int p = i % VECTOR_SIZE;

		five_tuple(&match, i);
		for (unsigned int w = 0; w < KEY_LINE_WORDS; w++)
			helper_packet_set(&packets, p, w, match.value.words[w]);
		if (p < VECTOR_SIZE - 1)
			continue;
		TABLE_LOOKUP(table, &packets.keys, UINT64_MAX, results);
		for (unsigned int j = 0; j < VECTOR_SIZE; j++)
			assert_ptr_equal(results[j], flows[i - (VECTOR_SIZE - 1) + j]);
	}
	start = clock_monotonic_ns();
	for (unsigned int i = 0; i < N; i++)
		table_remove(table, flows[(i * 7919ULL) % N]);
	remove_ms = (clock_monotonic_ns() - start) / NS_PER_MS;
	assert_int_equal(table_size(table), 1);
	for (unsigned int i = 0; i < N; i++)
		flow_defer_free(flows[i]);
	print_message("%u flows: %llu ms to insert, %llu ms to remove\n", N,
		      (unsigned long long)insert_ms, (unsigned long long)remove_ms);
	// Far more than it takes anywhere, far less than anything quadratic.
	assert_true(insert_ms < 3000 && remove_ms < 3000);
	table_destroy(table);
	free(flows);
}

static void test_scale(void **state)
{
	struct table *table = table_create(0);
	struct match match;
	struct flow *flow;

	(void)state;
	scale(0);
	scale(100000);
	scale(1000);
	scale(1000000);
	// Expected, but none came: the mask is looked at no more.
	five_tuple(&match, 1);
	flow = helper_flow(&match, 1);
	table_expect(table, flow->mask, 100);
	table_expect(table, flow->mask, 0);
	flow_free(flow);
	assert_null(table_find(table, &match, 1));
	table_destroy(table);
}

// Lookups beside changes. The writer keeps some flows for ever; a reader must always find them,
// or something allowed, in every lookup.
#define READER_ID 5
#define N_PERMANENT 24
#define RACE_NS (1500 * NS_PER_MS)

struct race {
	struct table *table;
	struct helper_packets packets;
	unsigned int n_permanent, n_masks;
	const struct flow *permanent[N_PERMANENT]; // packet i's only right answer
	const struct flow *fallback; // the least that the other packets find
	bool stop;
	uint64_t n_lookups;
	uint64_t n_wrong;
	uint64_t n_mixed;
};

static void race_check(struct race *race, const struct flow *results[VECTOR_SIZE])
{
	for (unsigned int i = 0; i < VECTOR_SIZE; i++) {
		if (i < race->n_permanent)
			race->n_wrong += results[i] != race->permanent[i];
		else
			// Reading the priority touches the flow, so that freed ones are noticed.
			race->n_wrong += !results[i] ||
					 (results[i] != race->fallback && results[i]->priority < 2);
	}
}

static void *race_reader(void *context)
{
	struct race *race = context;
	const struct flow *results[VECTOR_SIZE];

	rcu_online(READER_ID);
	while (!__atomic_load_n(&race->stop, __ATOMIC_RELAXED)) {
		TABLE_LOOKUP(race->table, &race->packets.keys, UINT64_MAX, results);
		race_check(race, results);
		__atomic_fetch_add(&race->n_lookups, 1, __ATOMIC_RELAXED);
		rcu_quiescent(READER_ID);
	}
	rcu_offline(READER_ID);
	return NULL;
}

static void race_add_permanent(struct race *race, const struct match *masks)
{
	for (unsigned int i = 0; i < race->n_permanent; i++) {
		struct match match = masks[i % 4];
		struct flow *flow;

		for (unsigned int w = 0; w < KEY_WORDS; w++) {
			uint64_t value = w == 3 ? 1000 + i : w == 4 ? 2000 + i : 0;

			match.value.words[w] = value & match.mask.words[w];
			helper_packet_set(&race->packets, i, w, value);
		}
		flow = helper_flow(&match, (uint16_t)(1000 + i));
		assert_int_equal(table_insert(race->table, flow), 0);
		race->permanent[i] = flow;
	}
	for (unsigned int i = race->n_permanent; i < VECTOR_SIZE; i++) {
		helper_packet_set(&race->packets, i, 3, i % 16);
		helper_packet_set(&race->packets, i, 4, i % 4);
	}
}

// Flows come and go in all masks, so parts are built, grown, shrunk, merged and dropped.
static void race_writer(struct race *race, const struct match *masks)
{
	uint64_t end = clock_monotonic_ns() + RACE_NS;
	static struct flow *flows[256];
	unsigned int limit = 256;

	memset(flows, 0, sizeof(flows));
	for (unsigned int c = 0; clock_monotonic_ns() < end; c++) {
		unsigned int i = helper_below(limit);
		struct match match = masks[i % race->n_masks];

		if (c % 4096 == 0)
			limit = limit == 256 ? race->n_permanent * 2 : 256;
		for (unsigned int f = limit; c % 4096 == 0 && f < 256; f++)
			if (flows[f]) {
				table_remove(race->table, flows[f]);
				flow_defer_free(flows[f]);
				flows[f] = NULL;
			}
		match.value.words[3] = (i / 4) & match.mask.words[3];
		match.value.words[4] = (i / 16) & match.mask.words[4];
		if (flows[i]) {
			struct flow *old = flows[i];

			flows[i] = NULL;
			if (c % 3 == 0) {
				flows[i] = helper_flow(&match, old->priority);
				assert_int_equal(table_replace(race->table, old, flows[i]), 0);
			} else {
				table_remove(race->table, old);
			}
			flow_defer_free(old);
		} else {
			flows[i] = helper_flow(&match, (uint16_t)(2 + i));
			assert_int_equal(table_insert(race->table, flows[i]), 0);
		}
		if (c % 32 == 0)
			rcu_reclaim();
	}
}

static void race_run(struct race *race, void *(*reader)(void *),
		     void (*writer)(struct race *, const struct match *), const struct match *masks)
{
	pthread_t thread;

	assert_int_equal(rcu_reader_register(READER_ID), 0);
	assert_int_equal(pthread_create(&thread, NULL, reader, race), 0);
	while (!__atomic_load_n(&race->n_lookups, __ATOMIC_RELAXED))
		;
	writer(race, masks);
	__atomic_store_n(&race->stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	rcu_reader_unregister(READER_ID);
}

static void race_masks(unsigned int n_masks, unsigned int n_permanent)
{
	static const uint64_t mask_words[4][2] = {
		{ UINT64_MAX, UINT64_MAX }, { UINT64_MAX, 0 }, { 0xfff, 0xff }, { 0xffff, 0 }
	};
	static struct race race;
	struct match masks[64] = { 0 };
	struct match any = { 0 };

	memset(&race, 0, sizeof(race));
	race.n_masks = n_masks;
	race.n_permanent = n_permanent;
	helper_packets_init(&race.packets);
	race.table = table_create(0);
	for (unsigned int m = 0; m < n_masks; m++) {
		masks[m].mask.words[3] = mask_words[m % 4][0];
		masks[m].mask.words[4] = mask_words[m % 4][1] | (uint64_t)(m / 4) << 40;
	}
	race.fallback = helper_flow(&any, 1);
	assert_int_equal(table_insert(race.table, (struct flow *)(uintptr_t)race.fallback), 0);
	race_add_permanent(&race, masks);
	race_run(&race, race_reader, race_writer, masks);
	print_message("%llu lookups beside changes\n", (unsigned long long)race.n_lookups);
	assert_true(race.n_lookups > 100);
	assert_int_equal(race.n_wrong, 0);
	table_destroy(race.table);
}

static void test_race(void **state)
{
	(void)state;
	race_masks(4, N_PERMANENT);
}

// The same with masks that are rare, which share a part when flows are many and bins when not.
static void test_race_mix(void **state)
{
	(void)state;
	race_masks(64, 6);
}

// Whenever the low flow is there, so is the high one, which hides it: a lookup that finds the low
// one has seen a table that never was.
static void *order_reader(void *context)
{
	struct race *race = context;
	const struct flow *results[VECTOR_SIZE];

	rcu_online(READER_ID);
	while (!__atomic_load_n(&race->stop, __ATOMIC_RELAXED)) {
		TABLE_LOOKUP(race->table, &race->packets.keys, UINT64_MAX, results);
		for (unsigned int i = 0; i < VECTOR_SIZE; i++) {
			race->n_wrong += !results[i];
			race->n_mixed += results[i] && results[i]->priority == 10;
		}
		__atomic_fetch_add(&race->n_lookups, 1, __ATOMIC_RELAXED);
		rcu_quiescent(READER_ID);
	}
	rcu_offline(READER_ID);
	return NULL;
}

// Flows that no packet finds keep both masks in hash parts, where changes take no time.
static void order_fill(struct race *race, const struct match *mask, uint16_t priority)
{
	for (unsigned int i = 0; i < 32; i++) {
		struct match match = *mask;

		match.value.words[3] = 1000 + i;
		assert_int_equal(table_insert(race->table, helper_flow(&match, priority)), 0);
	}
}

static void order_writer(struct race *race, const struct match *masks)
{
	uint64_t end = clock_monotonic_ns() + RACE_NS;

	for (unsigned int c = 0; clock_monotonic_ns() < end; c++) {
		struct match high = masks[0], low = masks[1];
		struct flow *first, *second;

		high.value.words[3] = low.value.words[3] = c % VECTOR_SIZE;
		first = helper_flow(&high, 20);
		second = helper_flow(&low, 10);
		assert_int_equal(table_insert(race->table, first), 0);
		assert_int_equal(table_insert(race->table, second), 0);
		table_remove(race->table, second);
		table_remove(race->table, first);
		flow_defer_free(first);
		flow_defer_free(second);
		rcu_reclaim();
	}
}

// The same for a mix.
static void order_fill_mix(struct race *race)
{
	for (unsigned int i = 0; i < 40; i++) {
		struct match match = { 0 };

		match.mask.words[3] = UINT64_C(0xffffff) << i;
		match.value.words[3] = match.mask.words[3];
		assert_int_equal(table_insert(race->table, helper_flow(&match, 15)), 0);
	}
}

static void race_order(bool in_mix)
{
	static struct race race;
	struct match masks[2] = { 0 };
	struct match any = { 0 };

	memset(&race, 0, sizeof(race));
	helper_packets_init(&race.packets);
	for (unsigned int i = 0; i < VECTOR_SIZE; i++)
		helper_packet_set(&race.packets, i, 3, i);
	masks[0].mask.words[3] = UINT64_MAX;
	masks[1].mask.words[3] = 0xffff;
	race.table = table_create(0);
	assert_int_equal(table_insert(race.table, helper_flow(&any, 1)), 0);
	if (in_mix) {
		order_fill_mix(&race);
		assert_string_equal(template_of(race.table, 0), "bitvector");
	} else {
		order_fill(&race, &masks[0], 20);
		order_fill(&race, &masks[1], 10);
	}
	race_run(&race, order_reader, order_writer, masks);
	print_message("%llu lookups beside ordered changes\n", (unsigned long long)race.n_lookups);
	assert_true(race.n_lookups > 100);
	assert_int_equal(race.n_wrong, 0);
	assert_int_equal(race.n_mixed, 0);
	table_destroy(race.table);
}

static void test_race_order(void **state)
{
	(void)state;
	race_order(false);
}

static void test_race_order_mix(void **state)
{
	(void)state;
	race_order(true);
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
		cmocka_unit_test(test_policy),
		cmocka_unit_test(test_policy_mix),
		cmocka_unit_test(test_policy_crowded),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_iterate_and_remove),
		cmocka_unit_test(test_destroy_with_flows),
		cmocka_unit_test(test_scale),
		cmocka_unit_test(test_race),
		cmocka_unit_test(test_race_mix),
		cmocka_unit_test(test_race_order),
		cmocka_unit_test(test_race_order_mix),
	};
	int n_failed = 0;

	helper_packets_init(&packets);
	if (rcu_init() < 0)
		return 1;
	for (const char *const *level = HOT_LEVELS(); *level; level++) {
		print_message("%s\n", *level);
		if (HOT_SELECT(*level) < 0)
			return 1;
		n_failed += cmocka_run_group_tests(tests, NULL, teardown);
	}
	return n_failed;
}
