// Flows by cookie and by output port, against looking at all of them.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/rcu.h"
#include "ofproto/flow_index.h"
#include "tests/unit/flow_helper.h"

#define N_FLOWS 500
#define N_STEPS 20000
#define N_COOKIES 7
#define N_PORTS 6

static const char *const actions[] = {
	"drop",
	"output:1",
	"output:2,output:2",
	"output:1,output:3",
	"clone(output:4)",
	"write_actions(output:5)",
	"enqueue:2:1",
	"output:NXM_NX_REG0[0..7]",
	"resubmit(,3)",
	"bundle(eth_src,0,active_backup,ofport,members:1,4)",
};
#define N_ACTIONS (sizeof(actions) / sizeof(actions[0]))

struct item {
	struct flow *flow;
	bool present;
	unsigned int seen; // by the walk under way
};
static struct item items[N_FLOWS];

static struct flow *make_flow(unsigned int number)
{
	struct flow_text text = { .priority = (uint16_t)number };

	assert_int_equal(program_parse(actions[number % N_ACTIONS], NULL, &text.program, NULL), 0);
	text.cookie = helper_below(N_COOKIES);
	return flow_create(&text);
}

static int visit(void *context, struct flow *flow)
{
	(void)context;
	items[flow->priority].seen++;
	return 0;
}

static void forget_seen(void)
{
	for (unsigned int i = 0; i < N_FLOWS; i++)
		items[i].seen = 0;
}

// A walk names every flow that is wanted, none that is not there, and none twice.
static void check_walk(bool (*wanted)(const struct flow *flow, uint64_t what), uint64_t what)
{
	for (unsigned int i = 0; i < N_FLOWS; i++) {
		assert_true(items[i].seen <= items[i].present);
		if (items[i].present && wanted(items[i].flow, what))
			assert_int_equal(items[i].seen, 1);
	}
}

static bool has_cookie(const struct flow *flow, uint64_t cookie)
{
	return flow->cookie == cookie;
}

static bool outputs_to(const struct flow *flow, uint64_t port)
{
	return program_outputs_to(flow->program, (uint32_t)port);
}

static void check_index(const struct flow_index *index)
{
	for (uint64_t cookie = 1; cookie < N_COOKIES; cookie++) {
		forget_seen();
		assert_int_equal(flow_index_each_cookie(index, cookie, visit, NULL), 0);
		check_walk(has_cookie, cookie);
	}
	for (uint32_t port = 1; port < N_PORTS; port++) {
		forget_seen();
		assert_int_equal(flow_index_each_port(index, port, visit, NULL), 0);
		check_walk(outputs_to, port);
	}
}

static void test_random(void **state)
{
	struct flow_index index = { 0 };

	(void)state;
	for (unsigned int i = 0; i < N_FLOWS; i++) {
		items[i] = (struct item){ .flow = make_flow(i) };
		assert_non_null(items[i].flow);
	}
	for (unsigned int step = 0; step < N_STEPS; step++) {
		struct item *item = &items[helper_below(N_FLOWS)];

		if (item->present) {
			flow_index_remove(&index, item->flow);
			item->flow->cookie = helper_below(N_COOKIES);
		} else {
			assert_int_equal(flow_index_add(&index, item->flow), 0);
		}
		item->present = !item->present;
		if (step % 256 == 0)
			check_index(&index);
	}
	flow_index_free(&index);
	for (unsigned int i = 0; i < N_FLOWS; i++)
		flow_free(items[i].flow);
}

static int stop(void *context, struct flow *flow)
{
	unsigned int *left = context;

	(void)flow;
	return --*left ? 0 : -7;
}

// What a visitor says ends the walk.
static void test_stop(void **state)
{
	struct flow_index index = { 0 };
	struct flow *flows[3];
	unsigned int left = 2;

	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		flows[i] = make_flow(1);
		flows[i]->cookie = 5;
		assert_int_equal(flow_index_add(&index, flows[i]), 0);
	}
	assert_int_equal(flow_index_each_cookie(&index, 5, stop, &left), -7);
	left = 2;
	assert_int_equal(flow_index_each_port(&index, 1, stop, &left), -7);
	left = 9;
	assert_int_equal(flow_index_each_port(&index, 2, stop, &left), 0);
	assert_int_equal(left, 9);
	flow_index_free(&index);
	for (unsigned int i = 0; i < 3; i++)
		flow_free(flows[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_stop),
	};

	if (rcu_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
