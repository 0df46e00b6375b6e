// Access lists of up to ten thousand rules: the right flow for each packet while rules come and
// go, how long inserting takes, and (printed only) what a lookup costs.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <rte_cycles.h>

#include "common/clock.h"
#include "common/rcu.h"
#include "datapath/hot.h"
#include "flowtable/table.h"
#include "tests/unit/acl_rules.h"
#include "tests/unit/eal.h"

#define MAX_RULES 10000
#define N_VECTORS 64

struct rule {
	struct match match;
	struct flow *flow;
	bool is_in;
};

static struct rule rules[MAX_RULES];
static _Alignas(64) uint64_t core[N_VECTORS][VECTOR_SIZE][KEY_LINE_WORDS];
static struct helper_packets zero;

static void rules_create(unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		acl_rule(&rules[i].match, n);
		rules[i].flow = helper_flow(&rules[i].match, (uint16_t)(60000 - i));
		rules[i].is_in = false;
	}
}

static void packets_create(unsigned int n_rules)
{
	struct key key;

	for (unsigned int v = 0; v < N_VECTORS; v++)
		for (unsigned int p = 0; p < VECTOR_SIZE; p++) {
			acl_packet(&rules[helper_below(n_rules)].match, &key);
			memcpy(core[v][p], key.words, sizeof(core[v][p]));
		}
}

static struct key_vector vector_keys(unsigned int v)
{
	struct key_vector keys = zero.keys;

	keys.lines[KEY_LINE_CORE] = core[v];
	return keys;
}

static const struct flow *naive_best(const uint64_t *words, unsigned int n_rules)
{
	for (unsigned int i = 0; i < n_rules; i++) {
		const struct flow *flow = rules[i].flow;
		bool matches = rules[i].is_in;

		for (unsigned int w = 0; w < flow->mask->n_words && matches; w++)
			matches = (words[flow->mask->word[w]] & flow->mask->bits[w]) ==
				  flow->values[w];
		if (matches)
			return flow;
	}
	return NULL;
}

static void check(const struct table *table, unsigned int n_rules, unsigned int n_vectors)
{
	const struct flow *results[VECTOR_SIZE];

	for (unsigned int i = 0; i < n_vectors; i++) {
		const unsigned int v = helper_below(N_VECTORS);
		const struct key_vector keys = vector_keys(v);

		hot->table_lookup(table, &keys, UINT64_MAX, results);
		for (unsigned int p = 0; p < VECTOR_SIZE; p++)
			assert_ptr_equal(results[p], naive_best(core[v][p], n_rules));
	}
}

// Cycles per packet, the best of some rounds.
static double measure(const struct table *table)
{
	const struct flow *results[VECTOR_SIZE];
	uint64_t best = UINT64_MAX;

	for (unsigned int round = 0; round < 12; round++) {
		uint64_t start = rte_rdtsc();

		for (unsigned int v = 0; v < N_VECTORS; v++) {
			const struct key_vector keys = vector_keys(v);

			hot->table_lookup(table, &keys, UINT64_MAX, results);
		}
		start = rte_rdtsc() - start;
		best = start < best ? start : best;
	}
	return (double)best / (N_VECTORS * VECTOR_SIZE);
}

static void rule_insert(struct table *table, struct rule *rule)
{
	// Lists repeat themselves: what is there already stays.
	if (table_find(table, &rule->match, rule->flow->priority))
		return;
	assert_int_equal(table_insert(table, rule->flow), 0);
	rule->is_in = true;
}

static void rule_remove(struct table *table, struct rule *rule)
{
	uint16_t priority = rule->flow->priority;

	table_remove(table, rule->flow);
	flow_defer_free(rule->flow);
	rule->flow = helper_flow(&rule->match, priority);
	rule->is_in = false;
}

static void print_parts(const struct table *table)
{
	struct table_part parts[16];
	unsigned int n = table_parts(table, parts, 16);
	size_t memory = 0;

	for (unsigned int i = 0; i < n && i < 16; i++)
		memory += parts[i].memory;
	print_message("    %u parts, first %s with %u flows of %u masks, %zu KB\n", n,
		      parts[0].template_name, parts[0].n_flows, parts[0].n_masks, memory / 1024);
}

enum order { FALLING, RISING, RANDOM };

static void run(unsigned int n_rules, enum order order)
{
	static const char *const names[] = { "falling", "rising", "random" };
	static unsigned int places[MAX_RULES];
	struct table *table = table_create(0);
	uint64_t start, insert_ns;

	helper_state = 88172645463325252ULL; // the same lists at every level
	rules_create(n_rules);
	packets_create(n_rules);
	for (unsigned int i = 0; i < n_rules; i++) {
		unsigned int j = order == RANDOM ? helper_below(i + 1) : i;

		places[i] = places[j];
		places[j] = order == RISING ? n_rules - 1 - i : i;
	}
	start = clock_monotonic_ns();
	for (unsigned int i = 0; i < n_rules; i++)
		rule_insert(table, &rules[places[i]]);
	insert_ns = (clock_monotonic_ns() - start) / n_rules;
	print_message("%u rules, %s: %.1f cycles per packet, %llu ns per insertion\n", n_rules,
		      names[order], measure(table), (unsigned long long)insert_ns);
	print_parts(table);
	assert_true(insert_ns < 1000000);
	check(table, n_rules, 4);
	for (unsigned int c = 0; c < 400; c++) {
		struct rule *rule = &rules[helper_below(n_rules)];

		if (rule->is_in)
			rule_remove(table, rule);
		else
			rule_insert(table, rule);
		if (c % 80 == 79)
			check(table, n_rules, 1);
		if (c % 16 == 0)
			rcu_reclaim();
	}
	for (unsigned int i = 0; i < n_rules; i++) {
		if (rules[i].is_in)
			rule_remove(table, &rules[i]);
		if (i % (n_rules / 4 + 1) == 0)
			check(table, n_rules, 1);
	}
	assert_int_equal(table_parts(table, NULL, 0), 0);
	for (unsigned int i = 0; i < n_rules; i++)
		flow_free(rules[i].flow);
	table_destroy(table);
	rcu_barrier();
}

static void test_lists(void **state)
{
	(void)state;
	run(100, FALLING);
	run(1000, FALLING);
	run(1000, RANDOM);
	run(10000, FALLING);
	run(10000, RISING);
	run(10000, RANDOM);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_lists) };
	int n_failed = 0;

	helper_packets_init(&zero);
	if (rcu_init() < 0)
		return 1;
	for (const char *const *level = test_hot_levels(); *level; level++) {
		print_message("%s\n", *level);
		if (hot_select(*level, NULL) < 0)
			return 1;
		n_failed += cmocka_run_group_tests(tests, NULL, NULL);
	}
	return n_failed;
}
