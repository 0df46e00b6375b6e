// Where a device was in a packed ring, found from the ring: against a driver and a device that are
// played through, with rings of many sizes.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <rte_vhost.h>

#include "vport/vhost.h"

#define LARGEST 300

struct ring {
	struct vring_packed_desc descriptors[LARGEST];
	struct rte_vhost_vring vring;
	unsigned int driver, device; // where they are
	bool driver_wrap, device_wrap;
	unsigned int n_available;
};

static void ring_start(struct ring *ring, unsigned int size)
{
	memset(ring, 0, sizeof(*ring));
	ring->vring.desc_packed = ring->descriptors;
	ring->vring.size = (uint16_t)size;
	ring->driver_wrap = ring->device_wrap = true;
}

static void mark(struct ring *ring, unsigned int at, bool avail, bool used)
{
	ring->descriptors[at].flags = (uint16_t)(avail << VRING_PACKED_DESC_F_AVAIL |
						 used << VRING_PACKED_DESC_F_USED | 2);
}

static void advance(const struct ring *ring, unsigned int *at, bool *wrap)
{
	if (++*at == ring->vring.size) {
		*at = 0;
		*wrap = !*wrap;
	}
}

static void give(struct ring *ring)
{
	mark(ring, ring->driver, ring->driver_wrap, !ring->driver_wrap);
	advance(ring, &ring->driver, &ring->driver_wrap);
	ring->n_available++;
}

static void use(struct ring *ring)
{
	mark(ring, ring->device, ring->device_wrap, ring->device_wrap);
	advance(ring, &ring->device, &ring->device_wrap);
	ring->n_available--;
}

static void compare(const struct ring *ring, unsigned int step)
{
	const int found = vhost_packed_position(&ring->vring);
	const int real = (int)(ring->device | (unsigned int)ring->device_wrap << 15);

	if (found != real)
		fail_msg("size %u, step %u: found %#x, is %#x", ring->vring.size, step,
			 (unsigned int)found, (unsigned int)real);
}

static void test_rounds(void **state)
{
	static const unsigned int sizes[] = { 1, 2, 3, 5, 8, 64, 255, 256, LARGEST };
	struct ring ring;

	(void)state;
	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		ring_start(&ring, sizes[i]);
		compare(&ring, 0);
		for (unsigned int step = 1; step < 2000; step++) {
			unsigned int n = (unsigned int)rand() % (sizes[i] + 1);

			// Often all the way: full rings and empty ones are the special cases.
			if (rand() & 1)
				while (ring.n_available < sizes[i] && (n-- || rand() & 1))
					give(&ring);
			else
				while (ring.n_available && (n-- || rand() & 1))
					use(&ring);
			compare(&ring, step);
		}
	}
}

// A chain leaves descriptors behind that nobody marks: no answer, or at least no crash and no
// place beyond the ring.
static void test_doubt(void **state)
{
	struct ring ring;

	(void)state;
	ring_start(&ring, 64);
	for (unsigned int i = 0; i < 40; i++)
		give(&ring);
	// Two chains of two: only their first descriptors are marked.
	for (unsigned int i = 0; i < 4; i += 2)
		mark(&ring, i, true, true);
	assert_int_equal(vhost_packed_position(&ring.vring), -1);
	for (unsigned int round = 0; round < 20000; round++) {
		int found;

		for (unsigned int i = 0; i < 64; i++)
			ring.descriptors[i].flags = (uint16_t)rand();
		found = vhost_packed_position(&ring.vring);
		assert_in_range(found < 0 ? 0 : found & 0x7fff, 0, 63);
	}
	ring.vring.size = 0;
	assert_int_equal(vhost_packed_position(&ring.vring), -1);
	ring.vring.desc_packed = NULL;
	assert_int_equal(vhost_packed_position(&ring.vring), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rounds),
		cmocka_unit_test(test_doubt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
