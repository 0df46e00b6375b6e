// Deferred frees wait for every reader that may hold the object, and for no other.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/rcu.h"

static unsigned int n_freed;
static void *freed_order[16];

static void note_free(void *object)
{
	if (n_freed < 16)
		freed_order[n_freed] = object;
	n_freed++;
}

static void test_no_readers(void **state)
{
	int objects[3];

	(void)state;
	n_freed = 0;
	rcu_defer(note_free, NULL); // nothing to free
	for (unsigned int i = 0; i < 3; i++)
		rcu_defer(note_free, &objects[i]);
	assert_int_equal(rcu_reclaim(), 0);
	assert_int_equal(n_freed, 3);
	for (unsigned int i = 0; i < 3; i++)
		assert_ptr_equal(freed_order[i], &objects[i]);
	rcu_barrier();
	rcu_synchronize();
}

static void test_waits_for_each_reader(void **state)
{
	int object;

	(void)state;
	n_freed = 0;
	assert_int_equal(rcu_reader_register(1), 0);
	assert_int_equal(rcu_reader_register(2), 0);
	rcu_online(1);
	rcu_online(2);
	rcu_defer(note_free, &object);
	assert_int_equal(rcu_reclaim(), 1);
	rcu_quiescent(1);
	assert_int_equal(rcu_reclaim(), 1);
	rcu_quiescent(1);
	assert_int_equal(rcu_reclaim(), 1);
	assert_int_equal(n_freed, 0);
	rcu_quiescent(2);
	assert_int_equal(rcu_reclaim(), 0);
	assert_int_equal(n_freed, 1);
	rcu_offline(1);
	rcu_offline(2);
	rcu_reader_unregister(1);
	rcu_reader_unregister(2);
}

// Registered readers start offline; nobody waits for them, nor for those that went to sleep.
static void test_offline_readers_hold_nothing(void **state)
{
	int object;

	(void)state;
	n_freed = 0;
	assert_int_equal(rcu_reader_register(3), 0);
	rcu_defer(note_free, &object);
	assert_int_equal(rcu_reclaim(), 0);
	rcu_online(3);
	rcu_defer(note_free, &object);
	assert_int_equal(rcu_reclaim(), 1);
	rcu_offline(3);
	rcu_synchronize();
	assert_int_equal(rcu_reclaim(), 0);
	assert_int_equal(n_freed, 2);
	rcu_reader_unregister(3);
}

// Ids can be used again, and a bad one is refused.
static void test_reader_ids(void **state)
{
	(void)state;
	for (unsigned int round = 0; round < 3; round++) {
		for (unsigned int id = 0; id < RCU_MAX_READERS; id++)
			assert_int_equal(rcu_reader_register(id), 0);
		for (unsigned int id = 0; id < RCU_MAX_READERS; id++)
			rcu_reader_unregister(id);
	}
	assert_true(rcu_reader_register(RCU_MAX_READERS) < 0);
}

static int nested_object;

static void free_and_defer(void *object)
{
	note_free(object);
	rcu_defer(note_free, &nested_object);
}

// A free function may defer more (flow_free() does, for masks).
static void test_free_function_defers(void **state)
{
	int object;

	(void)state;
	n_freed = 0;
	rcu_defer(free_and_defer, &object);
	rcu_barrier();
	assert_int_equal(n_freed, 2);
	assert_ptr_equal(freed_order[1], &nested_object);
	rcu_defer(note_free, &object); // the list is whole
	assert_int_equal(rcu_reclaim(), 0);
	assert_int_equal(n_freed, 3);
}

// A reader follows a pointer that a writer replaces all the time. What is freed is broken first,
// so the reader sees it (and the sanitizers see the rest).
#define RACE_NS (500 * NS_PER_MS)
#define READER_ID 7
// Going online and rcu_synchronize() rest on a fence and on library code that the thread sanitizer
// does not see.
#ifdef __SANITIZE_THREAD__
#define RACE_FENCES 0
#else
#define RACE_FENCES 1
#endif

struct object {
	uint64_t value;
	uint64_t check; // ~value
};

static struct object *published;
static bool stop;
static uint64_t n_reads;
static uint64_t n_broken;

static void object_break(void *context)
{
	struct object *object = context;

	object->check = 0;
	object->value = 0;
	free(object);
}

static struct object *object_create(uint64_t value)
{
	struct object *object = malloc(sizeof(*object));

	assert_non_null(object);
	*object = (struct object){ value, ~value };
	return object;
}

static void *race_reader(void *context)
{
	uint64_t last = 0;

	(void)context;
	rcu_online(READER_ID);
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		const struct object *object = rcu_read(&published);

		n_broken += object->check != ~object->value || object->value < last;
		last = object->value;
		__atomic_fetch_add(&n_reads, 1, __ATOMIC_RELAXED);
		rcu_quiescent(READER_ID);
		// Asleep now and then.
		if (RACE_FENCES && last % 64 == 0) {
			rcu_offline(READER_ID);
			rcu_online(READER_ID);
		}
	}
	rcu_offline(READER_ID);
	return NULL;
}

static void test_race(void **state)
{
	uint64_t end = clock_monotonic_ns() + RACE_NS;
	pthread_t thread;

	(void)state;
	published = object_create(1);
	assert_int_equal(rcu_reader_register(READER_ID), 0);
	assert_int_equal(pthread_create(&thread, NULL, race_reader, NULL), 0);
	for (uint64_t i = 2; clock_monotonic_ns() < end; i++) {
		struct object *old = published;

		rcu_publish(&published, object_create(i));
		if (RACE_FENCES && i % 100 == 0) {
			rcu_synchronize();
			object_break(old);
		} else {
			rcu_defer(object_break, old);
		}
		rcu_reclaim();
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	rcu_reader_unregister(READER_ID);
	rcu_barrier();
	assert_true(n_reads > 100);
	assert_int_equal(n_broken, 0);
	free(published);
}

static int setup(void **state)
{
	(void)state;
	return rcu_init();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_readers),
		cmocka_unit_test(test_waits_for_each_reader),
		cmocka_unit_test(test_offline_readers_hold_nothing),
		cmocka_unit_test(test_reader_ids),
		cmocka_unit_test(test_free_function_defers),
		cmocka_unit_test(test_race),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
