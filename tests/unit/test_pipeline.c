// Random rule sets and random packets through the pipeline, and through the naive reference: every
// frame that leaves, every drop and its reason, every counter must be the same.
//
// TEST_SEED repeats a run; TEST_SCALE=10 runs ten times as long.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/error.h"
#include "tests/unit/eal.h"
#include "tests/unit/rig.h"
#include "tests/unit/rules.h"

#include <errno.h>
#include <string.h>

static struct rig *rig;

static int set_up(void **state)
{
	(void)state;
	rig = rig_create();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	rig_destroy(rig);
	return 0;
}

// Add a random flow. The parser may refuse a text (an instruction out of order, a prerequisite that
// an action took away), but not many.
static void add_random_flow(struct random *random, const struct rule_options *options,
			    unsigned int *n_tried, unsigned int *n_refused)
{
	char rule[RULE_SIZE];
	struct error error = { 0 };
	int code;

	do {
		rule_make(random, options, rule);
		code = rig_add_flow(rig, rule, &error);
		++*n_tried;
		if (code && code != -EEXIST && code != -ENOSPC) {
			++*n_refused;
			if (getenv("TEST_REFUSED"))
				printf("%s\n  column %d: %s\n", rule, error.column, error.message);
		}
	} while (code && code != -ENOSPC);
}

static void set_random_groups(struct random *random, const struct rule_options *options)
{
	static char texts[RULE_GROUPS][RULE_SIZE];
	const char *groups[RULE_GROUPS];
	struct error error = { 0 };

	for (unsigned int i = 0; i < RULE_GROUPS; i++) {
		rule_make_group(random, options, i + 1, texts[i]);
		groups[i] = texts[i];
	}
	if (rig_set_groups(rig, groups, RULE_GROUPS, &error))
		fail_msg("column %d: %s", error.column, error.message);
}

static void change_flows(struct random *random, const struct rule_options *options,
			 unsigned int *n_tried, unsigned int *n_refused)
{
	unsigned int table = random_below(random, RULE_TABLES);

	if (rig_n_flows(rig, table))
		rig_remove_flow(rig, table, random_below(random, rig_n_flows(rig, table)));
	add_random_flow(random, options, n_tried, n_refused);
}

static void send_burst(struct random *random, uint64_t seed, unsigned int set)
{
	static const uint32_t in_ports[] = { 1, 2, 3, 5, 6, OFPP_LOCAL };
	static struct ref_packet packets[RIG_BURST];
	unsigned int n = random_chance(random, 20) ? 1 : 1 + random_below(random, 32);
	uint32_t in_port = in_ports[random_below(random, 6)];
	const char *problem;

	if (random_chance(random, 3))
		n = RIG_BURST;
	for (unsigned int i = 0; i < n; i++)
		packet_random(random, &packets[i]);
	problem = rig_send(rig, in_port, packets, n, random);
	if (problem)
		fail_msg("TEST_SEED=0x%llx, rule set %u, from port %u, burst of %u\n%s\n%s",
			 (unsigned long long)seed, set, in_port, n, problem, rig_flows(rig));
}

static void print_stats(const struct rig_stats *stats)
{
	printf("%llu packets, %llu outputs (%llu changed), %llu lookups (%llu by conjunctions), "
	       "%llu not compared; drops",
	       (unsigned long long)stats->n_packets, (unsigned long long)stats->n_outputs,
	       (unsigned long long)stats->n_changed, (unsigned long long)stats->n_lookups,
	       (unsigned long long)stats->n_conjunctions, (unsigned long long)stats->n_skipped);
	for (unsigned int i = 0; i < N_DROPS; i++)
		if (stats->n_drops[i])
			printf(" %s %llu", drop_texts[i].name,
			       (unsigned long long)stats->n_drops[i]);
	printf("\n");
}

// The whole comparison must have had something to compare.
static void check_stats(const struct rig_stats *stats)
{
	print_stats(stats);
	if (stats->n_packets < 100000)
		return; // a shortened run need not see everything
	assert_true(stats->n_outputs > stats->n_packets / 2);
	assert_true(stats->n_changed > stats->n_outputs / 4);
	assert_true(stats->n_lookups > stats->n_packets * 3 / 2);
	assert_true(stats->n_skipped < stats->n_packets / 50);
	assert_true(stats->n_conjunctions > stats->n_packets / 200);
	for (unsigned int i = 0; i < N_DROPS; i++)
		if (i == DROP_NO_MATCH || i == DROP_ACTION || i == DROP_NO_PORT ||
		    i == DROP_IN_PORT || i == DROP_PORT_DOWN || i == DROP_NO_PEER ||
		    i == DROP_TX_MTU || i == DROP_RX_INVALID || i == DROP_TTL ||
		    i == DROP_CONTROLLER || i == DROP_STACK || i == DROP_MPLS_LABELS ||
		    i == DROP_NO_GROUP || i == DROP_NO_BUCKET || i == DROP_METER)
			assert_true(stats->n_drops[i] > 0);
}

// Every rule set meets the traversal cache in one of its modes; TEST_CACHE names one for all.
static void choose_cache_mode(struct random *random)
{
	const char *wanted = getenv("TEST_CACHE");

	if (!wanted)
		cache_mode = random_chance(random, 70)   ? CACHE_ALWAYS
			     : random_chance(random, 50) ? CACHE_NEVER
							 : CACHE_ADAPTIVE;
	else
		cache_mode = !strcmp(wanted, "always")  ? CACHE_ALWAYS
			     : !strcmp(wanted, "never") ? CACHE_NEVER
							: CACHE_ADAPTIVE;
}

static void compare(unsigned int n_packets, bool loops)
{
	uint64_t seed = random_seed();
	struct random random = { seed };
	struct rule_options options = {
		.loops = loops,
		.unproven = getenv("TEST_UNPROVEN") != NULL,
	};
	unsigned int n_tried = 0, n_refused = 0, n_sets = 0;
	uint64_t end = rig_stats(rig).n_packets + n_packets;
	const char *problem;

	while (rig_stats(rig).n_packets < end) {
		unsigned int n_flows = 1 + random_below(&random, 60);

		options.conjunctions = random_chance(&random, 20);
		choose_cache_mode(&random);
		rig_clear(rig);
		rig_set_all_lines(rig, random_chance(&random, 30));
		set_random_groups(&random, &options);
		for (unsigned int i = 0; i < n_flows; i++)
			add_random_flow(&random, &options, &n_tried, &n_refused);
		for (unsigned int burst = 0; burst < 25; burst++) {
			send_burst(&random, seed, n_sets);
			if (random_chance(&random, 20))
				change_flows(&random, &options, &n_tried, &n_refused);
		}
		problem = rig_check_counters(rig);
		if (problem)
			fail_msg("TEST_SEED=0x%llx, rule set %u\n%s\n%s", (unsigned long long)seed,
				 n_sets, problem, rig_flows(rig));
		n_sets++;
	}
	printf("%u rule sets; %u of %u flows refused by the parser\n", n_sets, n_refused, n_tried);
	assert_true(n_refused < n_tried / 4);
}

static void random_rules_give_what_the_reference_gives(void **state)
{
	const struct cache_stats *cache;
	struct rig_stats stats;

	(void)state;
	compare(random_iterations(1000000), false);
	stats = rig_stats(rig);
	check_stats(&stats);
	cache = rig_cache_stats(rig);
	printf("cache: %llu hits, %llu misses, %llu inserted, %llu evicted\n",
	       (unsigned long long)cache->n_hits, (unsigned long long)cache->n_misses,
	       (unsigned long long)cache->n_inserted, (unsigned long long)cache->n_evicted);
	if (!getenv("TEST_CACHE") && stats.n_packets >= 100000)
		assert_true(cache->n_hits > stats.n_packets / 2);
}

// Rule sets with resubmits that go backwards: depth and work limits end what never would.
static void loops_end_where_the_reference_says(void **state)
{
	struct rig_stats stats;

	(void)state;
	compare(random_iterations(100000), true);
	stats = rig_stats(rig);
	print_stats(&stats);
	assert_true(stats.n_skipped < stats.n_packets / 10);
}

static void send_to_set(const char *const *flows, struct random *random)
{
	static struct ref_packet packets[RIG_BURST];
	struct error error = { 0 };
	const char *problem;

	rig_clear(rig);
	for (; *flows; flows++)
		if (rig_add_flow(rig, *flows, &error) < 0)
			fail_msg("%s: %s", *flows, error.message);
	for (unsigned int i = 0; i < RIG_BURST; i++)
		packet_make(random, &packets[i]);
	problem = rig_send(rig, 1, packets, RIG_BURST, random);
	if (!problem)
		problem = rig_check_counters(rig);
	if (problem)
		fail_msg("%s\n%s", problem, rig_flows(rig));
}

// Each kind of endless rule set, and how it ends.
static void endless_rules_end(void **state)
{
	static const char *const nested[] = { "actions=resubmit(,0),output:2", NULL };
	static const char *const tail[] = { "actions=output:2,resubmit(,0)", NULL };
	static const char *const ports[] = { "in_port=1,actions=resubmit:2",
					     "in_port=2,actions=resubmit:1", NULL };
	static const char *const two_tables[] = { "actions=resubmit(,1)",
						  "table=1,actions=resubmit(,0)", NULL };
	// Would double 64 times over.
	static const char *const doubling[] = {
		"actions=resubmit(,1),resubmit(,1),output:2",
		"table=1,actions=resubmit(,2),resubmit(,2),resubmit(,2),resubmit(,2)",
		"table=2,actions=resubmit(,3),resubmit(,3),resubmit(,3),resubmit(,3),resubmit(,3)",
		"table=3,actions=resubmit(,4),resubmit(,4),resubmit(,4),resubmit(,4),resubmit(,4),"
		"resubmit(,4),resubmit(,4),resubmit(,4),resubmit(,4),resubmit(,4),resubmit(,4)",
		"table=4,actions=resubmit(,5),resubmit(,5),resubmit(,5),resubmit(,5),resubmit(,5),"
		"resubmit(,5),resubmit(,5),resubmit(,5),resubmit(,5),resubmit(,5),resubmit(,5)",
		NULL
	};
	// Every second resubmit counts; in the other case all nest in clones.
	static const char *const by_turns[] = { "actions=resubmit(,1),output:2",
						"table=1,actions=resubmit(,0),output:2", NULL };
	static const char *const clones[] = {
		"actions=resubmit(,1),output:2",
		"table=1,actions=clone(clone(clone(resubmit(,2)))),output:2",
		"table=2,actions=clone(resubmit(,0)),output:2", NULL
	};
	const struct {
		const char *const *flows;
		enum drop_reason reason;
	} cases[] = { { by_turns, DROP_DEPTH }, { clones, DROP_DEPTH }, { nested, DROP_DEPTH },
		      { tail, DROP_BUDGET },    { ports, DROP_DEPTH },  { two_tables, DROP_BUDGET },
		      { doubling, DROP_BUDGET } };
	struct random random = { random_seed() };

	(void)state;
	for (unsigned int i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		uint64_t before = rig_stats(rig).n_drops[cases[i].reason];

		send_to_set(cases[i].flows, &random);
		assert_int_equal(rig_stats(rig).n_drops[cases[i].reason], before + RIG_BURST);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(random_rules_give_what_the_reference_gives, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(loops_end_where_the_reference_says, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(endless_rules_end, set_up, tear_down),
	};
	int failed;

	test_eal_init(8191);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	test_eal_end();
	return failed;
}
