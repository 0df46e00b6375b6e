// classifier/chain.h, rank_set.h and lpm_entries.c: thousands of flows that differ in nothing but
// their priority, against a plain list; and that each change of them takes a bounded time.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/rcu.h"
#include "datapath/hot.h"
#include "flowtable/classifier/classifier.h"
#include "flowtable/table.h"
#include "tests/unit/eal.h"
#include "tests/unit/flow_helper.h"

#define MAX_FLOWS 4000
#define N_MATCHES 3
#define IPV6_WORD 26 // the first half of the IPv6 destination

static struct helper_packets packets;

// The model: the flows of each match by falling rank.
static struct flow *chains[N_MATCHES][MAX_FLOWS];
static unsigned int n_flows[N_MATCHES];
static uint64_t n_inserted;

static uint64_t value_of(unsigned int match)
{
	return rte_cpu_to_be_32(match << 24 | 1);
}

static struct flow *make_flow(const struct classifier_template *template, unsigned int which,
			      uint16_t priority)
{
	struct match match = { 0 };
	struct flow *flow;

	if (template == &classifier_hash)
		match.mask.words[3] = UINT64_MAX;
	else if (template == &classifier_lpm)
		match.mask.words[3] = rte_cpu_to_be_32(0xff000000);
	else if (template == &classifier_lpm6)
		match.mask.words[IPV6_WORD] = rte_cpu_to_be_64(UINT64_MAX << 16);
	match.value.words[3] = value_of(which) & match.mask.words[3];
	match.value.words[IPV6_WORD] = value_of(which) & match.mask.words[IPV6_WORD];
	flow = helper_flow(&match, priority);
	flow->rank = flow_rank(priority, n_inserted++);
	return flow;
}

static const struct flow *look(const struct classifier *classifier, unsigned int which,
			       enum flow_view view)
{
	struct classifier_result result = { 0 };

	helper_packet_set(&packets, 0, 3, value_of(which));
	helper_packet_set(&packets, 0, IPV6_WORD, value_of(which));
	if (view == VIEW_NONE)
		hot->classifier_lookup(classifier, &packets.keys, 1, &result);
	else
		hot->classifier_lookup_view(classifier, &packets.keys, 1, &result, view);
	return result.flow[0];
}

static const struct flow *best(unsigned int which, enum flow_view view)
{
	for (unsigned int i = 0; i < n_flows[which]; i++)
		if (view == VIEW_NONE || flow_is_visible(chains[which][i], view))
			return chains[which][i];
	return NULL;
}

static void check(const struct classifier *classifier)
{
	for (unsigned int which = 0; which < N_MATCHES; which++)
		for (int view = VIEW_NONE; view <= VIEW_AFTER; view++)
			assert_ptr_equal(look(classifier, which, (enum flow_view)view),
					 best(which, (enum flow_view)view));
}

// Staged flows have the rank of the flow whose place they take, and come before it.
static void insert(struct classifier *classifier, unsigned int which, struct flow *flow)
{
	struct flow **chain = chains[which];
	unsigned int at = 0;

	while (at < n_flows[which] && chain[at]->rank > flow->rank)
		at++;
	memmove(&chain[at + 1], &chain[at], (n_flows[which]++ - at) * sizeof(struct flow *));
	chain[at] = flow;
	assert_int_equal(classifier->template->insert(classifier, flow), 0);
}

static void take_out(struct classifier *classifier, unsigned int which, unsigned int at)
{
	struct flow **chain = chains[which];
	struct flow *flow = chain[at];

	classifier->template->remove(classifier, flow);
	memmove(&chain[at], &chain[at + 1], (--n_flows[which] - at) * sizeof(struct flow *));
	rcu_defer(flow_free, flow);
}

static uint16_t priority_of(unsigned int order, unsigned int i)
{
	return (uint16_t)(order == 0 ? i * 3 : order == 1 ? UINT16_MAX - i * 3 : helper_random());
}

static void change(struct classifier *classifier, const struct classifier_template *template,
		   unsigned int which, unsigned int order, unsigned int i)
{
	const unsigned int what = helper_below(10);
	struct flow *old, *flow;
	unsigned int at;

	if (what < 6 || !n_flows[which]) {
		if (n_flows[which] < MAX_FLOWS)
			insert(classifier, which,
			       make_flow(template, which, priority_of(order, i)));
		return;
	}
	at = helper_below(n_flows[which]);
	old = chains[which][at];
	if (what < 8) {
		take_out(classifier, which, at);
		return;
	}
	flow = make_flow(template, which, old->priority);
	flow->rank = old->rank;
	if (what == 8) {
		chains[which][at] = flow;
		template->replace(classifier, old, flow);
		rcu_defer(flow_free, old);
	} else if (n_flows[which] < MAX_FLOWS) {
		flow_set_state(flow, FLOW_NEW);
		flow_set_state(old, FLOW_DYING);
		insert(classifier, which, flow);
	} else {
		flow_free(flow);
	}
}

static void run(const struct classifier_template *template, unsigned int order)
{
	struct flow *first = make_flow(template, 0, 7);
	struct classifier *classifier = template->build(&first, 1);
	const unsigned int n_matches = template == &classifier_const ? 1 : N_MATCHES;

	assert_non_null(classifier);
	memset(n_flows, 0, sizeof(n_flows));
	chains[0][0] = first;
	n_flows[0] = 1;
	for (unsigned int i = 0; i < 12000; i++) {
		change(classifier, template, helper_below(n_matches), order, i);
		if (template != &classifier_const && i % 64 == 0)
			check(classifier);
		if (i % 1024 == 0)
			rcu_reclaim();
	}
	// The whole chain comes out in its order.
	for (unsigned int which = 0; which < n_matches; which++)
		while (n_flows[which]) {
			const bool from_front = helper_below(4);

			assert_ptr_equal(look(classifier, which, VIEW_NONE), chains[which][0]);
			take_out(classifier, which, from_front ? 0 : helper_below(n_flows[which]));
		}
	assert_int_equal(classifier->n_flows, 0);
	template->destroy(classifier);
	rcu_reclaim();
}

static void test_templates(void **state)
{
	(void)state;
	for (unsigned int order = 0; order < 3; order++) {
		run(&classifier_hash, order);
		run(&classifier_const, order);
		run(&classifier_lpm, order);
		run(&classifier_lpm6, order);
	}
}

// 60,000 priorities, inserted and removed in bad orders: quadratic work would take minutes.
#define N_PRIORITIES 60000

static struct flow *many[N_PRIORITIES];

static struct flow *make_one_of_many(const struct classifier_template *template, unsigned int order,
				     unsigned int i)
{
	const unsigned int priority = order == 0   ? i
				      : order == 1 ? N_PRIORITIES - i
						   : i * 7919 % 60013;

	many[i] = make_flow(template, 0, (uint16_t)priority);
	return many[i];
}

static void free_one_of_many(unsigned int i, struct flow *flow)
{
	rcu_defer(flow_free, flow);
	if (i % 1024 == 0)
		rcu_reclaim();
}

// 7919 is prime: each once.
static struct flow *one_of_many(unsigned int i)
{
	return many[(uint64_t)i * 7919 % N_PRIORITIES];
}

static void test_time(void **state)
{
	(void)state;
	for (unsigned int order = 0; order < 3; order++) {
		struct table *table = table_create(0);
		const uint64_t start_ns = clock_monotonic_ns();

		for (unsigned int i = 0; i < N_PRIORITIES; i++)
			assert_int_equal(
				table_insert(table, make_one_of_many(&classifier_hash, order, i)),
				0);
		for (unsigned int i = 0; i < N_PRIORITIES; i++) {
			struct flow *flow = one_of_many(i);

			table_remove(table, flow);
			free_one_of_many(i, flow);
		}
		assert_true(clock_monotonic_ns() - start_ns < 20 * NS_PER_SECOND);
		rcu_reclaim();
		table_destroy(table);
	}
}

static void time_prefixes(const struct classifier_template *template, unsigned int order)
{
	const uint64_t start_ns = clock_monotonic_ns();
	struct classifier *classifier;
	struct flow *best = make_one_of_many(template, order, 0);

	classifier = template->build(&best, 1);
	assert_non_null(classifier);
	for (unsigned int i = 1; i < N_PRIORITIES; i++) {
		struct flow *flow = make_one_of_many(template, order, i);

		assert_int_equal(template->insert(classifier, flow), 0);
		best = flow->rank > best->rank ? flow : best;
	}
	assert_ptr_equal(look(classifier, 0, VIEW_NONE), best);
	for (unsigned int i = 0; i < N_PRIORITIES; i++) {
		struct flow *flow = one_of_many(i);

		template->remove(classifier, flow);
		free_one_of_many(i, flow);
	}
	assert_int_equal(classifier->n_flows, 0);
	assert_true(clock_monotonic_ns() - start_ns < 20 * NS_PER_SECOND);
	template->destroy(classifier);
	rcu_reclaim();
}

static void test_time_prefixes(void **state)
{
	(void)state;
	for (unsigned int order = 0; order < 3; order++) {
		time_prefixes(&classifier_lpm, order);
		time_prefixes(&classifier_lpm6, order);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_templates),
		cmocka_unit_test(test_time),
		cmocka_unit_test(test_time_prefixes),
	};

	helper_packets_init(&packets);
	if (rcu_init() < 0 || hot_select(test_hot_levels()[0], NULL) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
