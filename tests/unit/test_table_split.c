// Tables whose flows belong to many logical switches: when they are searched as sub-tables, and that
// lookups find the right flows meanwhile, against a naive search and beside changes.

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
#define FIRST_WORD_BEHIND (3 * KEY_LINE_WORDS) // registers and line 0

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

enum divider { METADATA, IN_PORT, REG3, VLAN };
static const char *const field_names[] = { "metadata", "in_port", "reg3", "vlan_vid" };

// What the flows of a table look like.
struct world {
	enum divider field;
	unsigned int n_values;
	unsigned int n_kinds; // masks beside the field
	unsigned int n_common; // of a hundred flows, so many lack the field
};

static const struct world worlds[] = {
	{ METADATA, 24, 20, 3 }, { IN_PORT, 30, 12, 0 },  { REG3, 16, 30, 5 },
	{ VLAN, 40, 25, 2 },     { METADATA, 3, 30, 4 },  { METADATA, 20, 20, 50 },
	{ REG3, 1, 30, 0 },      { METADATA, 200, 4, 1 },
};

static void set_field(enum divider field, struct key *key, struct key *mask, uint32_t value)
{
	switch (field) {
	case METADATA:
		key->core.metadata = rte_cpu_to_be_64(value * 0x100000001ULL);
		mask->core.metadata = UINT64_MAX;
		break;
	case IN_PORT:
		key->core.in_port = rte_cpu_to_be_32(value);
		mask->core.in_port = UINT32_MAX;
		break;
	case VLAN:
		key->core.vlan_tci0 = rte_cpu_to_be_16((uint16_t)(KEY_VLAN_PRESENT | value));
		mask->core.vlan_tci0 = rte_cpu_to_be_16(0x1fff);
		break;
	default:
		key->registers.reg[3] = rte_cpu_to_be_32(value);
		mask->registers.reg[3] = UINT32_MAX;
	}
}

// A mask beside the field, out of few bits of few fields, and values of which many agree.
static void random_kind(const struct world *world, struct match *match)
{
	const unsigned int kind = helper_below(world->n_kinds);

	match->mask.core.ip_dst = kind & 1 ? 0x03000000 : 0;
	match->mask.core.ip_src = kind & 2 ? 0x01000001 : 0;
	match->mask.core.tp_dst = kind & 4 ? 0x0300 : 0;
	match->mask.core.ip_proto = kind & 8 ? 1 : 0;
	match->mask.registers.reg[7] = kind & 16 ? 1 : 0;
	match->value.core.ip_dst = (uint32_t)helper_random();
	match->value.core.ip_src = (uint32_t)helper_random();
	match->value.core.tp_dst = (uint16_t)helper_random();
	match->value.core.ip_proto = (uint8_t)helper_random();
	match->value.registers.reg[7] = (uint32_t)helper_random();
}

static void random_match(const struct world *world, struct match *match)
{
	*match = (struct match){ 0 };
	random_kind(world, match);
	if (helper_below(100) >= world->n_common)
		set_field(world->field, &match->value, &match->mask, helper_below(world->n_values));
	for (unsigned int w = 0; w < KEY_WORDS; w++)
		match->value.words[w] &= match->mask.words[w];
}

static void random_packets(const struct world *world, struct helper_packets *made)
{
	for (unsigned int i = 0; i < VECTOR_SIZE; i++) {
		struct match match = { 0 };

		random_kind(world, &match);
		set_field(world->field, &match.value, &match.mask,
			  helper_below(world->n_values + 1));
		if (n_entries && helper_below(4) == 0)
			match.value = entries[helper_below(n_entries)].match.value;
		for (unsigned int w = 0; w < FIRST_WORD_BEHIND; w++)
			helper_packet_set(made, i, w, match.value.words[w]);
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

	random_packets(world, &packets);
	hot->table_lookup(table, &packets.keys, set, results);
	for (unsigned int i = 0; i < VECTOR_SIZE; i++)
		assert_ptr_equal(results[i], set >> i & 1 ? naive_best(i, VIEW_NONE) : NULL);
}

// The table in a bundle: some flows are new, some are about to go.
static void check_views(const struct world *world, const struct table *table)
{
	const struct flow *results[VECTOR_SIZE];

	random_packets(world, &packets);
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

	random_match(world, &entry->match);
	entry->priority = (uint16_t)helper_below(50);
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

// The split of the table, or NULL; the parts and the list must have all flows.
static const struct table_part *find_split(const struct table *table)
{
	static struct table_part parts[MAX_FLOWS];
	const unsigned int n = table_parts(table, parts, MAX_FLOWS);
	const struct table_part *split = NULL;
	unsigned int n_flows = 0, n_listed = 0;

	for (unsigned int i = 0; i < n; i++) {
		n_flows += parts[i].n_flows;
		assert_true(parts[i].n_flows > 0 && parts[i].n_masks > 0 && parts[i].memory > 0);
		assert_true(i == 0 || parts[i].max_priority <= parts[i - 1].max_priority);
		if (strcmp(parts[i].template_name, "split") == 0)
			split = &parts[i];
	}
	for (const struct flow *flow = table_first(table); flow; flow = table_next(table, flow))
		n_listed++;
	for (unsigned int i = 0; i < n_entries; i++)
		assert_ptr_equal(table_find(table, &entries[i].match, entries[i].priority),
				 entries[i].flow);
	assert_int_equal(n_flows, n_entries);
	assert_int_equal(n_listed, n_entries);
	assert_int_equal(table_size(table), n_entries);
	return split;
}

// A table that grows, shrinks and grows again. How often it was seen split.
static unsigned int run_table(const struct world *world, unsigned int n_flows)
{
	struct table *table = table_create(1);
	unsigned int n_split = 0;

	n_entries = 0;
	for (unsigned int c = 0; c < 1500; c++) {
		const bool grows = c / 500 != 1;

		if (helper_below(5) == 0 && n_entries)
			change_replace(table);
		else if (helper_below(4) ? grows : !grows) {
			if (n_entries < n_flows)
				change_insert(world, table);
		} else if (n_entries)
			change_remove(table);
		if (c % 4 == 0)
			check_lookup(world, table);
		if (c % 32 == 0) {
			const struct table_part *split = find_split(table);

			check_views(world, table);
			rcu_reclaim();
			if (!split)
				continue;
			n_split++;
			assert_string_equal(split->field, field_names[world->field]);
			assert_true(split->n_values > 0 && split->cycles > 0);
		}
	}
	while (n_entries > 0) {
		change_remove(table);
		if (n_entries % 4 == 0)
			check_lookup(world, table);
	}
	assert_int_equal(table_parts(table, NULL, 0), 0);
	// And once more, to be destroyed as it is.
	while (n_entries < n_flows / 2)
		change_insert(world, table);
	check_lookup(world, table);
	table_destroy(table);
	return n_split;
}

static void test_random(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 2; i++)
		for (unsigned int w = 0; w < sizeof(worlds) / sizeof(worlds[0]); w++) {
			const struct world *world = &worlds[w];
			const unsigned int n_split = run_table(world, i ? 400 : 1000);

			// In between it depends on how the flows happen to lie.
			if (world->n_values > 4 && world->n_common < 10)
				assert_true(n_split > 5);
			else if (world->n_values == 1 || world->n_common == 50)
				assert_int_equal(n_split, 0);
		}
}

// What a lookup costs in a table of 40 switches with 25 rules each, with as many different ones in
// a vector.
static void measure(const struct table *table, unsigned int n_values)
{
	static struct helper_packets vectors[16];
	const struct world world = { METADATA, n_values, 32, 0 };
	const struct flow *results[VECTOR_SIZE];
	uint64_t least = UINT64_MAX;

	for (unsigned int v = 0; v < 16; v++) {
		const unsigned int n = n_entries;

		n_entries = 0;
		helper_packets_init(&vectors[v]);
		random_packets(&world, &vectors[v]);
		n_entries = n;
	}
	for (unsigned int round = 0; round < 60; round++) {
		const uint64_t start = rte_rdtsc();
		uint64_t cycles;

		for (unsigned int v = 0; v < 16; v++)
			hot->table_lookup(table, &vectors[v].keys, UINT64_MAX, results);
		cycles = rte_rdtsc() - start;
		least = cycles < least ? cycles : least;
	}
	print_message("%u values in a vector: %llu cycles for each packet\n", n_values,
		      (unsigned long long)least / (16 * VECTOR_SIZE));
}

static void test_policy(void **state)
{
	const struct world world = { METADATA, 40, 32, 0 };
	struct table *table = table_create(1);
	const struct table_part *split;
	struct match match = { 0 };

	(void)state;
	n_entries = 0;
	for (unsigned int i = 0; i < 64; i++)
		change_insert(&world, table);
	while (n_entries < 1000)
		change_insert(&world, table);
	split = find_split(table);
	assert_non_null(split);
	assert_int_equal(split->n_values, 40);
	assert_int_equal(split->n_flows, 1000);
	print_message("split: %u cycles by the model\n", split->cycles);
	for (unsigned int n = 1; n <= 40; n = n < 40 && n * 4 > 40 ? 40 : n * 4)
		measure(table, n);
	// A flow without the field lies beside, and wins where it has the highest priority.
	entries[n_entries].match = match;
	entries[n_entries].priority = 1000;
	entries[n_entries].sequence = sequence++;
	entries[n_entries].flow = helper_flow(&match, 1000);
	assert_int_equal(table_insert(table, entries[n_entries].flow), 0);
	n_entries++;
	assert_int_equal(find_split(table)->n_flows, 1000);
	check_lookup(&world, table);
	while (n_entries > 1)
		change_remove(table);
	check_lookup(&world, table);
	change_remove(table);
	assert_int_equal(table_parts(table, NULL, 0), 0);
	table_destroy(table);
}

// What a limit goes by: flows of a mask that is there cost little, new masks more, and what was
// foretold is what comes.
static void test_growth(void **state)
{
	const struct world world = { METADATA, 40, 32, 5 };
	struct table *table = table_create(1);
	bool is_new_mask;

	(void)state;
	n_entries = 0;
	for (unsigned int i = 0; i < 600; i++) {
		struct match match;
		struct flow *flow;
		double before = table_cost_of(table), with;

		random_match(&world, &match);
		if (table_find(table, &match, 5))
			continue;
		flow = helper_flow(&match, 5);
		with = table_cost_with(table, flow, &is_new_mask);
		assert_true(with >= before);
		assert_true(i > 0 || is_new_mask);
		assert_int_equal(table_insert(table, flow), 0);
		// A transition may make it cheaper than that.
		assert_true(table_cost_of(table) < with + 4);
		assert_false(table_cost_with(table, flow, &is_new_mask) < table_cost_of(table));
	}
	table_destroy(table);
}

// Lookups beside the transition: each value has a flow for ever and others, worse ones, that come
// and go, so that the table is split again and again.
#define READER_ID 6
#define N_VALUES 16
#define RACE_NS (1500 * NS_PER_MS)

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
			race->n_wrong += !results[i] || results[i]->priority != 100;
		__atomic_fetch_add(&race->n_lookups, 1, __ATOMIC_RELAXED);
		rcu_quiescent(READER_ID);
	}
	rcu_offline(READER_ID);
	return NULL;
}

// Worse flows than those that stay.
static void race_writer(struct race *race, unsigned int *n_splits)
{
	const struct world world = { METADATA, N_VALUES, 32, 2 };
	const uint64_t end = clock_monotonic_ns() + RACE_NS;

	while (clock_monotonic_ns() < end) {
		while (n_entries < 500)
			change_insert(&world, race->table);
		for (unsigned int i = 0; i < 200; i++) {
			change_remove(race->table);
			change_insert(&world, race->table);
			rcu_reclaim();
		}
		*n_splits += table_parts(race->table, NULL, 0) > 0;
		while (n_entries > 0) {
			change_remove(race->table);
			if (n_entries % 32 == 0)
				rcu_reclaim();
		}
	}
}

static void test_race(void **state)
{
	static struct race race;
	unsigned int n_rounds = 0;
	pthread_t thread;

	(void)state;
	n_entries = 0;
	memset(&race, 0, sizeof(race));
	helper_packets_init(&race.packets);
	race.table = table_create(0);
	for (unsigned int i = 0; i < N_VALUES; i++) {
		struct match match = { 0 };

		set_field(METADATA, &match.value, &match.mask, i);
		assert_int_equal(table_insert(race.table, helper_flow(&match, 100)), 0);
		for (unsigned int k = i; k < VECTOR_SIZE; k += N_VALUES)
			for (unsigned int w = 0; w < FIRST_WORD_BEHIND; w++)
				helper_packet_set(&race.packets, k, w, match.value.words[w]);
	}
	assert_int_equal(rcu_reader_register(READER_ID), 0);
	assert_int_equal(pthread_create(&thread, NULL, race_reader, &race), 0);
	while (!__atomic_load_n(&race.n_lookups, __ATOMIC_RELAXED))
		;
	race_writer(&race, &n_rounds);
	__atomic_store_n(&race.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	rcu_reader_unregister(READER_ID);
	print_message("%llu lookups beside changes, %u times grown and shrunk\n",
		      (unsigned long long)race.n_lookups, n_rounds);
	assert_true(race.n_lookups > 100);
	assert_int_equal(race.n_wrong, 0);
	table_destroy(race.table);
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
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_policy),
		cmocka_unit_test(test_growth),
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
