// Memory that runs out in the middle of changes: the n-th allocation fails, for each n. A bundle
// leaves everything as it was; a list that is none may be half done, but what is there is whole.
//
// The program is linked with --wrap for the functions that allocate (Makefile).
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/error.h"
#include "common/rcu.h"
#include "common/text.h"
#include "datapath/hot.h"
#include "ofproto/bridge_internal.h"
#include "ofproto/group.h"
#include "ofproto/learn.h"
#include "ofproto/meter.h"
#include "tests/unit/changes.h"
#include "tests/unit/eal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LINES 12

// --- Allocations that fail ---

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);

static struct {
	unsigned int n_left; // allocations that still succeed; 0: all do
	bool for_good; // all behind the first one fail, too
	unsigned int n_failed;
} shortage;

static bool fails(void)
{
	if (!shortage.n_left)
		return false;
	if (shortage.n_left > 1) {
		shortage.n_left--;
		return false;
	}
	if (!shortage.for_good)
		shortage.n_left = 0;
	shortage.n_failed++;
	return true;
}

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
	return fails() ? NULL : __real_realloc(memory, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
	return fails() ? NULL : __real_aligned_alloc(alignment, size);
}

static void begin_shortage(unsigned int n, bool for_good)
{
	shortage.n_left = n;
	shortage.for_good = for_good;
	shortage.n_failed = 0;
}

// Returns how many allocations failed.
static unsigned int end_shortage(void)
{
	shortage.n_left = 0;
	return shortage.n_failed;
}

// --- A bridge that no packet passes ---

struct test_bridge {
	struct bridge bridge;
	struct forwarding forwarding;
};

static struct test_bridge *create_bridge(void)
{
	struct test_bridge *test = calloc(1, sizeof(*test));

	assert_non_null(test);
	strcpy(test->bridge.name, "br0");
	test->bridge.forwarding = &test->forwarding;
	test->forwarding.name = test->bridge.name;
	return test;
}

static void destroy_bridge(struct test_bridge *test)
{
	learn_bridge_exit(&test->bridge);
	for (unsigned int t = 0; t < N_TABLES; t++)
		table_destroy(test->forwarding.tables[t]);
	flow_index_free(&test->bridge.index);
	free(test->bridge.timers);
	bridge_groups_destroy(&test->bridge);
	bridge_meters_destroy(&test->bridge);
	rcu_barrier();
	free(test);
}

static const char *const beginning =
	"meter meter=1,pktps,bands=type=drop,rate=1\n"
	"meter meter=300,kbps,bands=type=drop,rate=1,type=dscp_remark,rate=2,prec_level=1\n"
	"group group_id=1,type=all,bucket=bucket_id:1,output:2\n"
	"group group_id=2,type=select,bucket=bucket_id:1,group:1\n"
	"flow priority=1,idle_timeout=60,actions=group:1\n"
	"flow table=1,priority=1,cookie=1,tcp,tp_src=1,actions=meter:1,output:1\n"
	"flow table=1,priority=1,cookie=1,tcp,tp_src=2,actions=meter:300,group:2\n"
	"flow table=2,conj_id=7,ip,actions=output:1\n"
	"flow table=2,ip,nw_src=1.2.3.4,actions=conjunction(7,1/2)\n"
	"flow table=2,tcp,tp_src=0/1,actions=conjunction(7,2/2)\n"
	"flow table=1,actions=learn(table=3,cookie=9,NXM_OF_ETH_SRC[],delete_learned),output:2\n";

static void begin(struct bridge *bridge)
{
	struct error error = { 0 };

	if (changes_apply(bridge, beginning, &error))
		fail_msg("line %d: %s", error.line, error.message);
}

static void random_text(struct random *random, struct text *text)
{
	static const char *const more[] = {
		"flow table=2,tcp,tp_src=0/1,actions=output:1",
		"flow table=2,tcp,tp_src=5,actions=conjunction(7,1/2),conjunction(8,2/2)",
		"flow modify table=2,actions=conjunction(7,1/2)",
		"flow modify table=2,actions=output:4",
		"flow delete",
	};
	const unsigned int n = 1 + random_below(random, MAX_LINES);
	char line[256];

	text_clear(text);
	for (unsigned int i = 0; i < n; i++) {
		if (random_chance(random, 15))
			snprintf(line, sizeof(line), "%s", more[random_below(random, 5)]);
		else
			changes_random(random, line, sizeof(line));
		text_addf(text, "%s\n", line);
	}
}

// --- Bundles ---

// A bridge to which the bundle is applied without the n-th allocation. Returns how many failed.
static unsigned int fail_one(const char *text, unsigned int n, bool for_good, int expected,
			     const char *before, const char *end)
{
	struct test_bridge *test = create_bridge();
	struct error error = { 0 };
	unsigned int n_failed;
	char *after;
	int result;

	begin(&test->bridge);
	begin_shortage(n, for_good);
	result = changes_apply(&test->bridge, text, &error);
	n_failed = end_shortage();
	if (result ? !n_failed && !expected : expected)
		fail_msg("%d instead of %d: %s\n%s", result, expected, error.message, text);
	if (result && n_failed && (!error.code || !*error.message))
		fail_msg("nothing is said of %d without allocation %u by\n%s", result, n, text);
	after = changes_describe(&test->bridge);
	if (strcmp(result ? before : end, after)) // some allocations are no matter
		fail_msg("without allocation %u: %d (%s)\n%s\ninstead of\n%s\nby\n%s", n, result,
			 error.message, after, result ? before : end, text);
	free(after);
	// And it works on.
	error_clear(&error);
	if (result && !!changes_apply(&test->bridge, text, &error) != !!expected)
		fail_msg("after failed allocation %u: %s\n%s", n, error.message, text);
	after = changes_describe(&test->bridge);
	assert_string_equal(after, end);
	free(after);
	destroy_bridge(test);
	return n_failed;
}

static void test_bundles(void **state)
{
	const unsigned int n_rounds = random_iterations(60);
	struct random random = { random_seed() };
	unsigned int n_allocations = 0, n_applied = 0;
	struct text text = { 0 };

	(void)state;
	for (unsigned int round = 0; round < n_rounds; round++) {
		struct test_bridge *test = create_bridge();
		struct error error = { 0 };
		char *before, *end;
		int expected;

		begin(&test->bridge);
		before = changes_describe(&test->bridge);
		random_text(&random, &text);
		expected = changes_apply(&test->bridge, text.data, &error);
		n_applied += !expected;
		end = changes_describe(&test->bridge);
		for (unsigned int n = 1; fail_one(text.data, n, round % 2, expected, before, end);
		     n++)
			n_allocations++;
		free(before);
		free(end);
		destroy_bridge(test);
	}
	print_message("%u bundles, %u applied, %u failed allocations\n", n_rounds, n_applied,
		      n_allocations);
	assert_true(n_applied > n_rounds / 10);
	text_free(&text);
}

// Enough flows for tables that are hashed and grow.
static void test_many(void **state)
{
	struct random random = { random_seed() };
	struct test_bridge *test = create_bridge();
	struct error error = { 0 };
	struct text text = { 0 };
	unsigned int n = 1;
	char *before, *end;

	(void)state;
	begin(&test->bridge);
	before = changes_describe(&test->bridge);
	for (unsigned int i = 0; i < 200; i++) {
		text_addf(&text, "flow table=1,tcp,tp_src=%u,actions=output:1\n", i);
		text_addf(&text, "flow table=1,ip,nw_src=10.0.0.%u,actions=output:1\n", i);
		if (i % 3 == 0)
			text_addf(&text, "flow delete table=1,tcp,tp_src=%u\n", i / 2);
	}
	assert_int_equal(changes_apply(&test->bridge, text.data, &error), 0);
	end = changes_describe(&test->bridge);
	while (fail_one(text.data, n, n % 2, 0, before, end))
		n += 1 + random_below(&random, 20);
	print_message("the last of %u allocations\n", n);
	text_free(&text);
	free(before);
	free(end);
	destroy_bridge(test);
}

// --- One by one ---

// What is there goes again, and nothing is left.
static void assert_whole(struct bridge *bridge, const char *line, unsigned int n)
{
	struct error error = { 0 };
	char *text = changes_describe(bridge);

	if (strstr(text, " counts "))
		fail_msg("without allocation %u of %s:\n%s", n, line, text);
	free(text);
	if (changes_apply(bridge, "flow delete\ngroup delete group_id=all\nmeter delete all",
			  &error))
		fail_msg("without allocation %u of %s: %s", n, line, error.message);
	text = changes_describe(bridge);
	if (strcmp(text, "0 cookies\n"))
		fail_msg("without allocation %u of %s there is left\n%s", n, line, text);
	free(text);
	assert_int_equal(flow_index_count_meter(&bridge->index, METER_ID_ALL), 0);
	assert_int_equal(bridge->n_timers, 0);
}

static void test_lists(void **state)
{
	const unsigned int n_rounds = random_iterations(60);
	struct random random = { random_seed() };
	unsigned int n_allocations = 0;

	(void)state;
	for (unsigned int round = 0; round < n_rounds; round++) {
		char line[256], copy[256];
		unsigned int n_failed = 1;

		changes_random(&random, line, sizeof(line));
		for (unsigned int n = 1; n_failed; n++) {
			struct test_bridge *test = create_bridge();
			struct error error = { 0 };

			begin(&test->bridge);
			memcpy(copy, line, sizeof(copy));
			begin_shortage(n, round % 2);
			changes_apply_alone(&test->bridge, copy, &error);
			n_failed = end_shortage();
			n_allocations++;
			assert_whole(&test->bridge, line, n);
			destroy_bridge(test);
		}
	}
	print_message("%u changes, %u failed allocations\n", n_rounds, n_allocations);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bundles),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_lists),
	};
	int failed;

	test_eal_init(63);
	if (hot_select(NULL, &(struct error){ 0 }))
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	test_eal_end();
	return failed;
}
