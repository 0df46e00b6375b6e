// Memory that is cut off under those who read it: they read zeroes, and the owner is told. Any other
// fault ends the process as it always did.
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "vport/memory_guard.h"

#define SIZE ((size_t)64 * 4096)

struct shared {
	int fd;
	int slot;
	volatile uint8_t *memory;
};

static struct sigaction guard;

// cmocka puts its own handler there at the beginning of each test.
static int handler_set(void **state)
{
	(void)state;
	return sigaction(SIGBUS, &guard, NULL);
}

static struct shared share(bool guarded)
{
	struct shared shared = { .fd = memfd_create("test", MFD_CLOEXEC), .slot = -1 };
	struct stat status;

	assert_true(shared.fd >= 0);
	assert_int_equal(ftruncate(shared.fd, SIZE), 0);
	shared.memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, shared.fd, 0);
	assert_ptr_not_equal(shared.memory, MAP_FAILED);
	memset((void *)shared.memory, 0x5a, SIZE);
	if (guarded) {
		assert_int_equal(fstat(shared.fd, &status), 0);
		shared.slot = memory_guard_add(status.st_dev, status.st_ino);
		assert_true(shared.slot >= 0);
	}
	return shared;
}

static void unshare_all(struct shared *shared)
{
	memory_guard_remove(shared->slot);
	munmap((void *)shared->memory, SIZE);
	close(shared->fd);
}

static bool was_told(void)
{
	struct pollfd wait = { .fd = memory_guard_install(), .events = POLLIN };
	uint64_t count;

	return poll(&wait, 1, 0) == 1 && read(wait.fd, &count, sizeof(count)) == sizeof(count);
}

static void test_read_and_write(void **state)
{
	struct shared shared = share(true), other = share(true);

	assert_int_equal(handler_set(state), 0);
	assert_false(memory_guard_broken(shared.slot));
	assert_int_equal(ftruncate(shared.fd, 4096), 0);
	assert_int_equal(shared.memory[100], 0x5a); // what is left is untouched
	assert_false(memory_guard_broken(shared.slot));
	errno = 7;
	assert_int_equal(shared.memory[SIZE - 1], 0);
	assert_int_equal(errno, 7);
	shared.memory[SIZE / 2] = 1;
	assert_int_equal(shared.memory[SIZE / 2], 1);
	assert_true(memory_guard_broken(shared.slot));
	assert_true(was_told());
	assert_false(was_told());
	assert_false(memory_guard_broken(other.slot));
	assert_int_equal(other.memory[SIZE - 1], 0x5a);
	unshare_all(&shared);
	unshare_all(&other);
}

static void *reader(void *context)
{
	volatile uint8_t *memory = context;
	uint64_t sum = 0;

	for (unsigned int round = 0; round < 200; round++)
		for (size_t i = 0; i < SIZE; i += 4096)
			sum += memory[i];
	return (void *)(uintptr_t)(sum & 1);
}

static void test_many_threads(void **state)
{
	assert_int_equal(handler_set(state), 0);
	for (unsigned int round = 0; round < 50; round++) {
		struct shared shared = share(true);
		pthread_t threads[4];

		for (unsigned int i = 0; i < 4; i++)
			assert_int_equal(
				pthread_create(&threads[i], NULL, reader, (void *)shared.memory),
				0);
		assert_int_equal(ftruncate(shared.fd, 0), 0);
		for (unsigned int i = 0; i < 4; i++)
			pthread_join(threads[i], NULL);
		assert_int_equal(shared.memory[0], 0);
		assert_true(memory_guard_broken(shared.slot));
		unshare_all(&shared);
	}
	assert_true(was_told());
}

// How a process ends that touches memory which nobody watches over.
static void test_not_ours(void **state)
{
	struct shared shared = share(true);
	int status;
	pid_t pid;

	assert_int_equal(handler_set(state), 0);
	memory_guard_remove(shared.slot);
	shared.slot = -1;
	assert_int_equal(ftruncate(shared.fd, 0), 0);
	pid = fork();
	if (!pid) {
		struct rlimit none = { 0, 0 };

		setrlimit(RLIMIT_CORE, &none);
		_exit(shared.memory[0]);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	// A sanitizer that was there before reports it and exits.
	if (WIFSIGNALED(status))
		assert_int_equal(WTERMSIG(status), SIGBUS);
	else
		assert_int_not_equal(WEXITSTATUS(status), 0);
	unshare_all(&shared);
}

static void test_full(void **state)
{
	int slots[MEMORY_GUARD_MAX];

	(void)state;
	for (unsigned int i = 0; i < MEMORY_GUARD_MAX; i++) {
		slots[i] = memory_guard_add(1, i + 1);
		assert_int_equal(slots[i], i);
	}
	assert_int_equal(memory_guard_add(1, 1), -ENOSPC);
	for (unsigned int i = 0; i < MEMORY_GUARD_MAX; i++)
		memory_guard_remove(slots[i]);
	assert_int_equal(memory_guard_add(1, 1), 0);
	memory_guard_remove(0);
	memory_guard_remove(-1);
	assert_false(memory_guard_broken(-1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read_and_write),
		cmocka_unit_test(test_many_threads),
		cmocka_unit_test(test_not_ours),
		cmocka_unit_test(test_full),
	};

	if (memory_guard_install() < 0 || sigaction(SIGBUS, NULL, &guard))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
