// Interrupts that wait: how many a guest gets for how many that the library wanted, and when.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_cycles.h>

#include "vport/vhost.h"

static struct vhost_port *port;

// As if a guest were there whose descriptor has been taken over.
static int setup(void **state)
{
	(void)state;
	port = aligned_alloc(RTE_CACHE_LINE_SIZE, sizeof(*port));
	if (!port)
		return -1;
	memset(port, 0, sizeof(*port));
	port->vid = VHOST_NO_DEVICE;
	port->vport.n_rxq = 1;
	for (unsigned int i = 0; i < VPORT_MAX_QUEUES; i++)
		port->queues[i].call_fd = -1;
	port->queues[0].call_fd = eventfd(0, EFD_NONBLOCK);
	port->queues[0].call_taken = true;
	port->queues[1].call_fd = eventfd(0, EFD_NONBLOCK);
	port->queues[1].call_taken = true;
	port->delay_cycles = rte_get_tsc_hz() ? rte_get_tsc_hz() / 100 : 20000000;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	vhost_calls_close(port);
	free(port);
	return 0;
}

static uint64_t interrupts(const struct vhost_queue *queue)
{
	uint64_t n = 0;

	return read(queue->call_fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static void wait_due(const struct vhost_queue *queue)
{
	while (rte_rdtsc() < queue->call_due)
		usleep(100);
}

static void test_many_are_one(void **state)
{
	struct vhost_queue *queue = &port->queues[0];
	uint64_t due;

	(void)state;
	assert_true(vhost_calls_defer(port, queue));
	due = queue->call_due;
	assert_true(due);
	for (unsigned int i = 0; i < 100; i++)
		assert_true(vhost_calls_defer(port, queue));
	assert_int_equal(queue->call_due, due); // later ones do not put it off
	vhost_calls_poll(queue);
	if (rte_rdtsc() < due)
		assert_int_equal(interrupts(queue), 0);
	wait_due(queue);
	vhost_calls_poll(queue);
	assert_int_equal(interrupts(queue), 1);
	assert_int_equal(queue->tx_interrupts, 1);
	vhost_calls_poll(queue);
	assert_int_equal(interrupts(queue), 0);
}

// Nobody would see to it later: at once.
static void test_asleep(void **state)
{
	struct vhost_queue *queue = &port->queues[0];

	(void)state;
	vhost_calls_defer(port, queue);
	vhost_calls_sleep(queue, true);
	assert_int_equal(interrupts(queue), 1);
	vhost_calls_defer(port, queue);
	assert_int_equal(interrupts(queue), 1);
	vhost_calls_sleep(queue, false);
	assert_int_equal(interrupts(queue), 0);
	vhost_calls_defer(port, queue);
	assert_int_equal(interrupts(queue), 0);
	// A queue that no worker polls.
	vhost_calls_defer(port, &port->queues[1]);
	assert_int_equal(interrupts(&port->queues[1]), 1);
	assert_int_equal(queue->tx_interrupts, 2);
}

// What workers leave behind when queues go is found by the tick.
static void test_tick(void **state)
{
	struct vhost_queue *queue = &port->queues[0];

	(void)state;
	vhost_calls_defer(port, queue);
	wait_due(queue);
	vhost_calls_tick(port);
	assert_int_equal(interrupts(queue), 1);
}

// As long as the library still writes to the guest itself, nothing is put off.
static void test_not_taken(void **state)
{
	(void)state;
	port->queues[0].call_taken = false;
	assert_false(vhost_calls_defer(port, &port->queues[0]));
	assert_int_equal(port->queues[0].call_due, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_many_are_one, setup, teardown),
		cmocka_unit_test_setup_teardown(test_asleep, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tick, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_taken, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
