// Counters: exact sums over several writers, through reuse of ids and sets that come and go.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdbool.h>

#include "common/counters.h"

static void assert_counter(uint32_t id, uint64_t packets, uint64_t bytes)
{
	struct counter sum = counter_read(id);

	assert_int_equal(sum.packets, packets);
	assert_int_equal(sum.bytes, bytes);
}

static void test_adds_up(void **state)
{
	struct counter_set *one = counter_set_create();
	struct counter_set *two = counter_set_create();
	uint32_t id = counter_alloc();
	uint32_t other = counter_alloc();

	(void)state;
	assert_non_null(one);
	assert_non_null(two);
	assert_int_not_equal(id, other);
	assert_counter(id, 0, 0);
	counter_add(one, id, 3, 300);
	counter_add(two, id, 4, 400);
	counter_add(two, other, 1, 60);
	assert_counter(id, 7, 700);
	assert_counter(other, 1, 60);
	counter_free(id);
	counter_free(other);
	counter_set_destroy(one);
	counter_set_destroy(two);
}

// What a worker held back for an id that is gone must not count for whoever has the id next.
static void test_held_counts_stay_away(void **state)
{
	struct counter_set *set = counter_set_create(), *idle = counter_set_create();
	uint32_t old = counter_alloc(), next;

	(void)state;
	for (unsigned int i = 0; i < 100; i++) // none is free that an earlier test left
		old = counter_alloc();
	counter_hold(set, 7);
	counter_free(old);
	next = counter_alloc();
	assert_int_not_equal(next, old); // it rests
	counter_hold(set, 8); // the turn under way when it was freed is over, not the next one
	assert_int_not_equal(counter_alloc(), old);
	counter_add(set, old, 5, 500); // held since turn 7
	counter_hold(set, 9);
	counter_free(next); // looks after those that rest
	assert_int_equal(counter_alloc(), old);
	assert_counter(old, 0, 0);
	// Nothing is held: an id is free at once, but for those that wait for the last turn.
	counter_hold(set, 0);
	counter_free(old);
	for (unsigned int i = 0; i < 3; i++)
		old = counter_alloc();
	counter_free(old);
	assert_int_equal(counter_alloc(), old);
	counter_set_destroy(idle);
	counter_set_destroy(set);
}

// An id starts at zero again, however often it was used before and by whom.
static void test_reuse_starts_at_zero(void **state)
{
	struct counter_set *sets[3] = { counter_set_create(), counter_set_create(), NULL };
	uint32_t first = counter_alloc();

	(void)state;
	counter_free(first);
	for (unsigned int round = 0; round < 100; round++) {
		uint32_t id = counter_alloc();

		assert_int_equal(id, first);
		assert_counter(id, 0, 0);
		counter_add(sets[round % 2], id, round + 1, 1500);
		if (round % 10 == 5)
			sets[2] = counter_set_create();
		if (sets[2])
			counter_add(sets[2], id, 2, 20);
		assert_counter(id, round + 1 + (sets[2] ? 2 : 0), 1500 + (sets[2] ? 20 : 0));
		if (round % 10 == 8) {
			counter_set_destroy(sets[2]);
			sets[2] = NULL;
			assert_counter(id, round + 3, 1520);
		}
		counter_free(id);
	}
	counter_free(COUNTER_NONE);
	for (unsigned int i = 0; i < 3; i++)
		counter_set_destroy(sets[i]);
}

static void test_destroyed_sets_leave_counts(void **state)
{
	uint32_t id = counter_alloc();

	(void)state;
	for (unsigned int i = 0; i < 200; i++) { // more than can be at one time
		struct counter_set *set = counter_set_create();

		assert_non_null(set);
		counter_add(set, id, 1, 10);
		assert_counter(id, i + 1, 10 * (i + 1));
		counter_set_destroy(set);
		assert_counter(id, i + 1, 10 * (i + 1));
	}
	counter_free(id);
}

// Ids beyond one chunk work in sets from before and after.
static void test_many_ids(void **state)
{
	enum { N = 3 * COUNTER_CHUNK_SIZE + 5 };
	static uint32_t ids[N];
	struct counter_set *early = counter_set_create();
	struct counter_set *late;

	(void)state;
	for (uint32_t i = 0; i < N; i++) {
		ids[i] = counter_alloc();
		assert_int_not_equal(ids[i], COUNTER_NONE);
		counter_add(early, ids[i], i, 2 * i);
	}
	late = counter_set_create();
	assert_non_null(late);
	for (uint32_t i = 0; i < N; i++)
		counter_add(late, ids[i], 1, 1);
	for (uint32_t i = 0; i < N; i++)
		assert_counter(ids[i], i + 1, 2 * i + 1);
	counter_set_destroy(early);
	for (uint32_t i = 0; i < N; i++) {
		assert_counter(ids[i], i + 1, 2 * i + 1);
		counter_free(ids[i]);
	}
	counter_set_destroy(late);
}

// Two threads count as fast as they can while a third reads: sums never go back, and at the end
// nothing is missing.
#define RACE_ADDS 2000000

struct writer {
	struct counter_set *set;
	uint32_t id;
	bool done;
};

static void *race_writer(void *context)
{
	struct writer *writer = context;

	for (uint32_t i = 0; i < RACE_ADDS; i++)
		counter_add(writer->set, writer->id, 1, 64);
	__atomic_store_n(&writer->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static void test_race(void **state)
{
	uint32_t id = counter_alloc();
	struct writer writers[2] = { { counter_set_create(), id, false },
				     { counter_set_create(), id, false } };
	struct counter last = { 0 };
	pthread_t threads[2];

	(void)state;
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, race_writer, &writers[i]), 0);
	while (!__atomic_load_n(&writers[0].done, __ATOMIC_ACQUIRE) ||
	       !__atomic_load_n(&writers[1].done, __ATOMIC_ACQUIRE)) {
		struct counter now = counter_read(id);

		assert_true(now.packets >= last.packets && now.bytes >= last.bytes);
		last = now;
		// New chunks appear beside the writers.
		if (counter_alloc() == COUNTER_NONE)
			break;
	}
	for (unsigned int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	assert_counter(id, 2ULL * RACE_ADDS, 2ULL * RACE_ADDS * 64);
	for (unsigned int i = 0; i < 2; i++)
		counter_set_destroy(writers[i].set);
	assert_counter(id, 2ULL * RACE_ADDS, 2ULL * RACE_ADDS * 64);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_held_counts_stay_away),
		cmocka_unit_test(test_adds_up),
		cmocka_unit_test(test_reuse_starts_at_zero),
		cmocka_unit_test(test_destroyed_sets_leave_counts),
		cmocka_unit_test(test_many_ids),
		cmocka_unit_test(test_race),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
