// What the session lets through to the vhost library: with random sequences of messages, half right
// and half wrong, everything that it accepted is judged again here, from the messages alone.
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/error.h"
#include "vport/vhost_session.h"

#define MEMORY 0x100000ULL
#define GUEST 0x40000000ULL
#define USER 0x7f0000000000ULL
#define PACKED (1ULL << 34)
#define ROUNDS 4000
#define STEPS 60

static int memory_fd, event_fd, pipe_fds[2];

static uint32_t pick(uint32_t n)
{
	return (uint32_t)random() % n;
}

// What the library would hold after the messages that were let through.
struct model {
	uint64_t features, regions[VHOST_MAX_REGIONS][4];
	uint32_t n_regions;
	struct {
		uint32_t size, base, sized_packed;
		bool has_base, has_place, running;
		uint64_t place[3]; // descriptors, used, available
	} rings[VHOST_MAX_RINGS];
};

static bool model_inside(const struct model *model, uint64_t at, uint64_t size)
{
	for (uint32_t i = 0; i < model->n_regions; i++) {
		__uint128_t start = model->regions[i][2], end = start + model->regions[i][1];

		if (at >= start && (__uint128_t)at + size <= end)
			return true;
	}
	return false;
}

// A ring that runs must be one that the library can serve.
static void judge(const struct model *model)
{
	bool packed = model->features & PACKED;

	for (uint32_t i = 0; i < VHOST_MAX_RINGS; i++) {
		uint64_t size = model->rings[i].size;

		if (!model->rings[i].running)
			continue;
		assert_true(size && size <= 32768 && !(size & (size - 1)));
		assert_int_equal(model->rings[i].sized_packed, packed);
		assert_true(model->rings[i].has_place);
		assert_true(model_inside(model, model->rings[i].place[0], 16 * size));
		assert_true(
			model_inside(model, model->rings[i].place[1], packed ? 4 : 6 + 8 * size));
		assert_true(
			model_inside(model, model->rings[i].place[2], packed ? 4 : 6 + 2 * size));
		if (packed) {
			assert_true(model->rings[i].has_base);
			assert_true((model->rings[i].base & 0x7fff) < size);
		}
	}
}

static void apply(struct model *model, const struct vhost_message *message)
{
	uint32_t ring = message->payload.state.ring & 0xff;

	switch (message->header.request) {
	case REQUEST_SET_FEATURES:
		model->features = message->payload.u64;
		break;
	case REQUEST_RESET_OWNER:
		memset(model, 0, sizeof(*model));
		break;
	case REQUEST_SET_MEM_TABLE:
		model->n_regions = message->payload.table.n;
		assert_in_range(model->n_regions, 1, VHOST_MAX_REGIONS);
		memcpy(model->regions, message->payload.table.regions, sizeof(model->regions));
		for (uint32_t i = 0; i < model->n_regions; i++) {
			const uint64_t *region = model->regions[i];

			assert_true(region[1] && region[3] + region[1] <= MEMORY);
		}
		break;
	case REQUEST_SET_VRING_NUM:
		assert_in_range(ring, 0, VHOST_MAX_RINGS - 1);
		assert_false(model->rings[ring].running);
		model->rings[ring].size = message->payload.state.value;
		model->rings[ring].sized_packed = !!(model->features & PACKED);
		break;
	case REQUEST_SET_VRING_BASE:
		assert_false(model->rings[ring].running);
		model->rings[ring].base = message->payload.state.value;
		model->rings[ring].has_base = true;
		break;
	case REQUEST_SET_VRING_ADDR:
		model->rings[ring].has_place = true;
		model->rings[ring].place[0] = message->payload.addresses.descriptors;
		model->rings[ring].place[1] = message->payload.addresses.used;
		model->rings[ring].place[2] = message->payload.addresses.available;
		break;
	case REQUEST_GET_VRING_BASE:
		memset(&model->rings[ring], 0, sizeof(model->rings[ring]));
		break;
	case REQUEST_SET_VRING_KICK:
		model->rings[ring].running = true;
		break;
	}
	judge(model);
}

static uint64_t some_address(void)
{
	static const uint64_t odd[] = {
		0,    1, USER - 16, USER + MEMORY - 16, USER + MEMORY, UINT64_MAX, UINT64_MAX - 15,
		GUEST
	};

	if (!pick(8))
		return odd[pick(sizeof(odd) / sizeof(odd[0]))];
	return USER + 16 * pick(MEMORY / 16);
}

static void make_table(struct vhost_message *message, int *fds, unsigned int *n_fds)
{
	static const uint64_t sizes[] = { 4096,          8192, MEMORY / 2, MEMORY,
					  MEMORY + 4096, 0,    4097,       UINT64_MAX - 4095 };
	uint32_t n = pick(20) ? 1 + pick(2) : pick(12);

	message->payload.table.n = n;
	for (uint32_t i = 0; i < n && i < VHOST_MAX_REGIONS; i++) {
		struct vhost_region region = {
			.guest = GUEST + i * MEMORY,
			.user = USER + i * MEMORY,
			.size = sizes[pick(4) ? pick(4) : pick(8)],
			.offset = pick(4) ? 0 : 4096ULL * pick(300),
		};

		if (!pick(16))
			region.user = some_address();
		memcpy(message->payload.bytes + 8 + i * sizeof(region), &region, sizeof(region));
	}
	message->header.size = 8 + n * (uint32_t)sizeof(struct vhost_region);
	*n_fds = pick(30) ? n : pick(9);
	for (unsigned int i = 0; i < *n_fds && i < VHOST_MAX_FDS; i++)
		fds[i] = pick(40) ? memory_fd : pipe_fds[0];
	if (*n_fds > VHOST_MAX_FDS)
		*n_fds = VHOST_MAX_FDS;
}

static void make_ring(struct vhost_message *message, int *fds, unsigned int *n_fds)
{
	static const uint32_t numbers[] = { 64, 256, 1, 32768, 0, 63, 65536, UINT32_MAX, 0x8000 };
	uint32_t ring = pick(30) ? pick(2) : pick(300);

	message->payload.state.ring = ring;
	message->payload.state.value = numbers[pick(3) ? pick(2) : pick(9)];
	switch (message->header.request) {
	case REQUEST_SET_VRING_BASE:
		message->payload.state.value = pick(3) ? 0 : pick(70000);
		break;
	case REQUEST_SET_VRING_ADDR:
		message->payload.addresses.flags = pick(20) ? 0 : pick(4);
		message->payload.addresses.descriptors = some_address();
		message->payload.addresses.used = some_address();
		message->payload.addresses.available = some_address();
		break;
	case REQUEST_SET_VRING_KICK:
	case REQUEST_SET_VRING_CALL:
	case REQUEST_SET_VRING_ERR:
		message->payload.u64 = ring | (pick(6) ? 0 : 0x100) | (pick(40) ? 0 : 1ULL << 40);
		*n_fds = pick(20) ? !(message->payload.u64 & 0x100) : pick(3);
		for (unsigned int i = 0; i < *n_fds; i++)
			fds[i] = pick(20) ? event_fd : pipe_fds[1];
		break;
	}
}

static void make(struct vhost_message *message, int *fds, unsigned int *n_fds)
{
	static const struct {
		uint32_t request, size;
	} usual[] = { { REQUEST_SET_FEATURES, 8 },    { REQUEST_SET_MEM_TABLE, 0 },
		      { REQUEST_SET_VRING_NUM, 8 },   { REQUEST_SET_VRING_BASE, 8 },
		      { REQUEST_SET_VRING_ADDR, 40 }, { REQUEST_SET_VRING_KICK, 8 },
		      { REQUEST_SET_VRING_CALL, 8 },  { REQUEST_GET_VRING_BASE, 8 } };
	uint32_t which = pick(sizeof(usual) / sizeof(usual[0]));

	memset(message, 0, sizeof(*message));
	*n_fds = 0;
	message->header =
		(struct vhost_header){ usual[which].request, VHOST_VERSION, usual[which].size };
	if (which == 1)
		make_table(message, fds, n_fds);
	else if (which)
		make_ring(message, fds, n_fds);
	else
		message->payload.u64 = pick(2) ? PACKED : 0;
	if (!pick(100))
		message->header.request = pick(45);
	if (!pick(100))
		message->header.flags = pick(16);
	if (!pick(100))
		message->header.size = pick(300);
}

// Like a front end that behaves, so that rings do run.
static unsigned int start_properly(struct vhost_session *session, struct model *model)
{
	struct vhost_message messages[] = {
		{ .header = { REQUEST_SET_FEATURES, 1, 8 }, .payload.u64 = pick(2) ? PACKED : 0 },
		{ .header = { REQUEST_SET_MEM_TABLE, 1, 40 }, .payload.table.n = 1 },
		{ .header = { REQUEST_SET_VRING_NUM, 1, 8 }, .payload.state.value = 256 },
		{ .header = { REQUEST_SET_VRING_BASE, 1, 8 } },
		{ .header = { REQUEST_SET_VRING_ADDR, 1, 40 } },
		{ .header = { REQUEST_SET_VRING_KICK, 1, 8 } },
	};
	unsigned int n = sizeof(messages) / sizeof(messages[0]);

	messages[1].payload.table.regions[0] = (struct vhost_region){ GUEST, MEMORY, USER, 0 };
	messages[4].payload.addresses.descriptors = USER;
	messages[4].payload.addresses.used = USER + 0x8000;
	messages[4].payload.addresses.available = USER + 0x4000;
	for (unsigned int i = 0; i < n; i++) {
		uint32_t request = messages[i].header.request;
		bool memory = request == REQUEST_SET_MEM_TABLE;
		struct error error;

		if (vhost_session_check(session, &messages[i], memory ? &memory_fd : &event_fd,
					memory || request == REQUEST_SET_VRING_KICK, &error))
			fail_msg("message %u was refused: %s", i, error.message);
		apply(model, &messages[i]);
	}
	return n;
}

static void test_random(void **state)
{
	uint64_t accepted = 0, refused = 0, running = 0;

	(void)state;
	srandom(1);
	for (unsigned int round = 0; round < ROUNDS; round++) {
		struct vhost_session session = { 0 };
		struct model model = { 0 };

		if (round % 2)
			accepted += start_properly(&session, &model);
		for (unsigned int step = 0; step < STEPS; step++) {
			struct vhost_message message;
			int fds[VHOST_MAX_FDS];
			unsigned int n_fds;
			struct error error;

			make(&message, fds, &n_fds);
			// The connection would be at its end; here the next is as good.
			if (vhost_session_check(&session, &message, fds, n_fds, &error)) {
				refused++;
				assert_true(strlen(error.message) > 10);
				break;
			}
			accepted++;
			apply(&model, &message);
			running += model.rings[0].running;
		}
	}
	print_message("%llu messages accepted, %llu refused, a ring ran after %llu\n",
		      (unsigned long long)accepted, (unsigned long long)refused,
		      (unsigned long long)running);
	assert_true(accepted > ROUNDS && refused > ROUNDS / 2 && running > ROUNDS / 4);
}

// Noise instead of messages.
static void test_noise(void **state)
{
	uint64_t accepted = 0;

	(void)state;
	srandom(2);
	for (unsigned int round = 0; round < 200000; round++) {
		struct vhost_session session = { 0 };
		struct vhost_message message;
		struct error error;
		int fds[VHOST_MAX_FDS] = { memory_fd, event_fd, pipe_fds[0], pipe_fds[1],
					   memory_fd, event_fd, pipe_fds[0], pipe_fds[1] };

		for (size_t i = 0; i < sizeof(message); i++)
			((uint8_t *)&message)[i] = (uint8_t)random();
		if (round % 2) {
			message.header.request = pick(42);
			message.header.flags = VHOST_VERSION;
			message.header.size = pick(3) ? 8 : pick(50);
		}
		accepted += !vhost_session_check(&session, &message, fds, pick(9), &error);
	}
	print_message("%llu of 200000 accepted\n", (unsigned long long)accepted);
}

static void test_guards(void **state)
{
	struct vhost_session session = { 0 };
	struct model model = { 0 };
	struct vhost_message stop = { .header = { REQUEST_GET_VRING_BASE, 1, 8 } };
	struct vhost_message size = { .header = { REQUEST_SET_VRING_NUM, 1, 8 } };
	struct vhost_message features = { .header = { REQUEST_SET_FEATURES, 1, 8 } };
	struct vhost_message kick = { .header = { REQUEST_SET_VRING_KICK, 1, 8 } };
	struct error error;

	(void)state;
	start_properly(&session, &model);
	size.payload.state.value = 64;
	assert_int_not_equal(vhost_session_check(&session, &size, NULL, 0, &error), 0);
	assert_non_null(strstr(error.message, "while it runs"));
	features.payload.u64 = session.features ^ PACKED;
	assert_int_not_equal(vhost_session_check(&session, &features, NULL, 0, &error), 0);
	features.payload.u64 = session.features | 1ULL << 26; // a migration begins
	assert_int_equal(vhost_session_check(&session, &features, NULL, 0, &error), 0);
	assert_int_equal(vhost_session_check(&session, &stop, NULL, 0, &error), 0);
	assert_int_not_equal(vhost_session_check(&session, &kick, &event_fd, 1, &error), 0);
	assert_non_null(strstr(error.message, "before its size"));
}

static void test_names(void **state)
{
	char name[24];

	(void)state;
	assert_string_equal(vhost_message_name(REQUEST_SET_MEM_TABLE, name), "SET_MEM_TABLE");
	assert_string_equal(vhost_message_name(UINT32_MAX, name), "request 4294967295");
	assert_true(vhost_message_replied(REQUEST_GET_FEATURES));
	assert_false(vhost_message_replied(REQUEST_SET_FEATURES));
	assert_false(vhost_message_replied(UINT32_MAX));
}

static int setup(void **state)
{
	(void)state;
	memory_fd = memfd_create("memory", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	event_fd = eventfd(0, EFD_CLOEXEC);
	if (memory_fd < 0 || event_fd < 0 || ftruncate(memory_fd, MEMORY) ||
	    pipe2(pipe_fds, O_CLOEXEC))
		return -1;
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_noise),
		cmocka_unit_test(test_guards),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
