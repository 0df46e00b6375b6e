// The cycles of stages: each counts for one stage only, and what reading the clock costs is known.
#include "datapath/profile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void spin(uint64_t cycles)
{
	const uint64_t start = __rdtsc();

	while (__rdtsc() - start < cycles)
		;
}

// A burst in which one stage interrupts another.
static void one_burst(struct profile *profile)
{
	enum profile_stage outer, inner;

	profile_begin(profile);
	spin(1000);
	outer = profile_enter(profile, PROFILE_ACTIONS);
	spin(2000);
	inner = profile_enter(profile, PROFILE_OUTPUT);
	spin(4000);
	profile_leave(profile, inner);
	spin(8000);
	profile_leave(profile, outer);
	profile_end(profile, 32);
}

static void a_cycle_counts_once(void **state)
{
	struct profile profile = { 0 };
	const uint64_t start = __rdtsc();
	uint64_t sum = 0;

	(void)state;
	one_burst(&profile);
	for (unsigned int i = 0; i < N_PROFILE_STAGES; i++)
		sum += profile.stages[i].cycles;
	assert_true(sum >= 15000);
	assert_true(sum <= __rdtsc() - start);
	assert_true(profile.stages[PROFILE_RECEIVE].cycles >= 1000);
	assert_true(profile.stages[PROFILE_ACTIONS].cycles >= 10000);
	assert_true(profile.stages[PROFILE_OUTPUT].cycles >= 4000);
	assert_int_equal(profile.stages[PROFILE_LOOKUP].cycles, 0);
}

static void entries_and_packets_are_counted(void **state)
{
	struct profile profile = { 0 };

	(void)state;
	for (unsigned int i = 0; i < 3; i++)
		one_burst(&profile);
	assert_int_equal(profile.packets, 96);
	assert_int_equal(profile.bursts, 3);
	assert_int_equal(profile.stages[PROFILE_RECEIVE].entries, 3);
	assert_int_equal(profile.stages[PROFILE_ACTIONS].entries, 3);
	assert_int_equal(profile.stages[PROFILE_ACTIONS].changes, 6);
	assert_int_equal(profile.stages[PROFILE_OUTPUT].changes, 3);
}

static void a_look_in_vain_counts_nothing(void **state)
{
	struct profile profile = { 0 };

	(void)state;
	profile_begin(&profile);
	spin(1000000);
	one_burst(&profile);
	assert_true(profile.stages[PROFILE_RECEIVE].cycles >= 1000);
	assert_int_equal(profile.stages[PROFILE_RECEIVE].changes, 2);
	assert_int_equal(profile.bursts, 1);
}

static void the_clock_costs_something(void **state)
{
	(void)state;
	assert_in_range(profile_change_cost(), 1, 100000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_cycle_counts_once),
		cmocka_unit_test(entries_and_packets_are_counted),
		cmocka_unit_test(a_look_in_vain_counts_nothing),
		cmocka_unit_test(the_clock_costs_something),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
