// Eviction against a naive choice among all flows, and how much work one takes.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/rcu.h"
#include "ofproto/eviction.h"
#include "tests/unit/flow_helper.h"

#define N_FLOWS 300
#define N_STEPS 20000

struct model {
	struct flow *flow;
	struct eviction_entry *entry; // NULL: not there
	uint64_t expires_ns;
	unsigned int group;
};

static struct flow *make_flow(unsigned int reg0, uint16_t importance)
{
	const struct field *field = field_find("reg0", 4);
	const struct field_value value = field_value_from_u64(reg0);
	struct match match = { 0 };
	struct flow *flow;

	match_set(&match, field, &value);
	flow = helper_flow(&match, 1);
	flow->importance = importance;
	return flow;
}

static unsigned int group_size(const struct model *models, unsigned int group)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < N_FLOWS; i++)
		n += models[i].entry && models[i].group == group;
	return n;
}

// Does `a` go before `b`, as the manual says?
static bool goes_first(const struct model *models, const struct model *a, const struct model *b)
{
	const unsigned int size_a = group_size(models, a->group);
	const unsigned int size_b = group_size(models, b->group);

	if (size_a != size_b)
		return size_a > size_b;
	if (a->flow->importance != b->flow->importance)
		return a->flow->importance < b->flow->importance;
	return a->expires_ns < b->expires_ns;
}

static void check_choice(const struct eviction *eviction, const struct model *models)
{
	const struct flow *chosen = eviction_choose(eviction);
	const struct model *model = NULL;
	unsigned int n = 0;

	for (unsigned int i = 0; i < N_FLOWS; i++) {
		n += models[i].entry != NULL;
		if (models[i].flow == chosen)
			model = &models[i];
	}
	assert_int_equal(eviction_size(eviction), n);
	if (!n) {
		assert_null(chosen);
		return;
	}
	assert_non_null(model);
	assert_non_null(model->entry);
	for (unsigned int i = 0; i < N_FLOWS; i++)
		if (models[i].entry)
			assert_false(goes_first(models, &models[i], model));
}

// Random comings, goings and changes; groups by the low two bits of a field of which more vary.
static void run_random(unsigned int n_fields, unsigned int bits)
{
	struct subfield by = { .field = field_find("reg0", 4), .offset = 1, .n_bits = 2 };
	struct eviction *eviction = eviction_create(&by, n_fields);
	struct model models[N_FLOWS] = { 0 };

	assert_non_null(eviction);
	for (unsigned int i = 0; i < N_FLOWS; i++) {
		models[i].flow = make_flow(i << (7 - bits), (uint16_t)helper_below(3));
		models[i].group = n_fields ? (i << (7 - bits)) >> 1 & 3 : 0;
	}
	for (unsigned int step = 0; step < N_STEPS; step++) {
		struct model *model = &models[helper_below(N_FLOWS)];
		const uint64_t expires_ns = helper_below(1000);

		if (!model->entry) {
			model->expires_ns = expires_ns;
			model->entry = eviction_add(eviction, model->flow, expires_ns);
			assert_non_null(model->entry);
		} else if (helper_below(2)) {
			eviction_remove(eviction, model->entry);
			model->entry = NULL;
		} else {
			model->expires_ns = expires_ns;
			eviction_update(eviction, model->entry, expires_ns);
		}
		if (step % 16 == 0)
			check_choice(eviction, models);
	}
	eviction_destroy(eviction);
	for (unsigned int i = 0; i < N_FLOWS; i++)
		flow_free(models[i].flow);
}

static void test_one_group(void **state)
{
	(void)state;
	run_random(0, 7);
}

static void test_few_groups(void **state)
{
	(void)state;
	run_random(1, 7);
}

// Every flow a group of its own: the order among groups of one size decides.
static void test_many_groups(void **state)
{
	struct subfield by = { .field = field_find("reg0", 4), .offset = 0, .n_bits = 32 };
	struct eviction *eviction = eviction_create(&by, 1);
	struct flow *flows[2000];

	(void)state;
	for (unsigned int i = 0; i < 2000; i++) {
		flows[i] = make_flow(i, 0);
		assert_non_null(eviction_add(eviction, flows[i], 10000 - i));
	}
	assert_ptr_equal(eviction_choose(eviction), flows[1999]);
	eviction_destroy(eviction);
	for (unsigned int i = 0; i < 2000; i++)
		flow_free(flows[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_group),
		cmocka_unit_test(test_few_groups),
		cmocka_unit_test(test_many_groups),
	};

	if (rcu_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
