// The handler calls only what a signal handler may, and mmap(), which is a system call alone.
#include "vport/memory_guard.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define PAGE 4096u
#define N_REPLACED 64

static struct guarded {
	uint64_t device;
	uint64_t inode;
	uint32_t used; // written last when added, first when removed
	uint32_t broken;
} guarded[MEMORY_GUARD_MAX];

static unsigned int n_guarded; // slots from here on were never used
static int maps_fd = -1, event_fd = -1;
static struct sigaction previous;

// What was replaced lately: a thread that faulted at the same time finds its address here.
static struct range {
	uintptr_t start, end;
} replaced[N_REPLACED];
static uint32_t n_replaced;

// --- reading /proc/self/maps, without the C library's input and output ---

struct reader {
	char buffer[2048];
	size_t at, end;
	off_t offset;
};

static int next_char(struct reader *reader)
{
	if (reader->at == reader->end) {
		ssize_t n = pread(maps_fd, reader->buffer, sizeof(reader->buffer), reader->offset);

		if (n <= 0)
			return -1;
		reader->offset += n;
		reader->at = 0;
		reader->end = (size_t)n;
	}
	return (unsigned char)reader->buffer[reader->at++];
}

static uint64_t next_number(struct reader *reader, unsigned int base, int *after)
{
	uint64_t number = 0;
	int c;

	for (;;) {
		unsigned int digit;

		c = next_char(reader);
		if (c >= '0' && c <= '9')
			digit = (unsigned int)(c - '0');
		else if (c >= 'a' && c <= 'f')
			digit = (unsigned int)(c - 'a') + 10;
		else
			break;
		if (digit >= base)
			break;
		number = number * base + digit;
	}
	*after = c;
	return number;
}

static int skip_to(struct reader *reader, int wanted)
{
	int c;

	do
		c = next_char(reader);
	while (c >= 0 && c != wanted);
	return c;
}

struct mapping {
	struct range range;
	uint64_t device, inode;
};

// "start-end rwxp offset major:minor inode path"
static bool next_mapping(struct reader *reader, struct mapping *mapping)
{
	unsigned int major, minor;
	int c;

	mapping->range.start = next_number(reader, 16, &c);
	if (c != '-')
		return false;
	mapping->range.end = next_number(reader, 16, &c);
	skip_to(reader, ' ');
	skip_to(reader, ' ');
	major = (unsigned int)next_number(reader, 16, &c);
	minor = (unsigned int)next_number(reader, 16, &c);
	mapping->device = makedev(major, minor);
	mapping->inode = next_number(reader, 10, &c);
	return c == '\n' || skip_to(reader, '\n') >= 0;
}

static bool find_mapping(uintptr_t address, struct mapping *mapping)
{
	struct reader reader = { .offset = 0 };

	while (next_mapping(&reader, mapping))
		if (address >= mapping->range.start && address < mapping->range.end)
			return true;
	return false;
}

// --- the handler ---

// Some file systems show another device in /proc/self/maps than to fstat(): then the inode decides.
static bool mark(const struct mapping *mapping, bool by_device)
{
	unsigned int n = __atomic_load_n(&n_guarded, __ATOMIC_ACQUIRE);
	bool found = false;

	for (unsigned int i = 0; i < n; i++) {
		struct guarded *slot = &guarded[i];

		if (!__atomic_load_n(&slot->used, __ATOMIC_ACQUIRE) ||
		    slot->inode != mapping->inode || (by_device && slot->device != mapping->device))
			continue;
		__atomic_store_n(&slot->broken, 1, __ATOMIC_RELEASE);
		found = true;
	}
	return found;
}

static bool zeroes_over(uintptr_t start, uintptr_t end)
{
	void *at = (void *)start; // NOLINT: the address came from the kernel as a number

	return mmap(at, end - start, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) == at;
}

static bool was_replaced(uintptr_t address)
{
	for (unsigned int i = 0; i < N_REPLACED; i++) {
		uintptr_t end = __atomic_load_n(&replaced[i].end, __ATOMIC_ACQUIRE);

		if (address >= replaced[i].start && address < end)
			return true;
	}
	return false;
}

static bool replace(uintptr_t address)
{
	struct mapping mapping;
	struct range *range;
	uint64_t one = 1;

	if (!find_mapping(address, &mapping))
		return false;
	if (!mapping.inode)
		return was_replaced(address);
	if (!mark(&mapping, true) && !mark(&mapping, false))
		return false;
	// Known before it is done: who faults meanwhile tries again.
	range = &replaced[__atomic_fetch_add(&n_replaced, 1, __ATOMIC_RELAXED) % N_REPLACED];
	__atomic_store_n(&range->end, 0, __ATOMIC_RELEASE);
	range->start = mapping.range.start;
	__atomic_store_n(&range->end, mapping.range.end, __ATOMIC_RELEASE);
	// Where so much cannot be promised at once the page alone must do.
	if (!zeroes_over(mapping.range.start, mapping.range.end) &&
	    !zeroes_over(address & ~(uintptr_t)(PAGE - 1),
			 (address & ~(uintptr_t)(PAGE - 1)) + PAGE))
		return false;
	return write(event_fd, &one, sizeof(one)) == sizeof(one) || errno == EAGAIN;
}

static void handle(int number, siginfo_t *info, void *context)
{
	int saved = errno;

	if (info->si_code == BUS_ADRERR && replace((uintptr_t)info->si_addr)) {
		errno = saved;
		return;
	}
	errno = saved;
	if ((previous.sa_flags & SA_SIGINFO) && previous.sa_sigaction) {
		previous.sa_sigaction(number, info, context);
		return;
	}
	if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
		previous.sa_handler(number);
		return;
	}
	// Not ours: the faulting instruction runs again and ends the process as it would have.
	signal(SIGBUS, SIG_DFL);
}

int memory_guard_install(void)
{
	struct sigaction action = { .sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_RESTART };
	int ret;

	if (event_fd >= 0)
		return event_fd;
	maps_fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	if (maps_fd < 0)
		return -errno;
	event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (event_fd >= 0 && !sigaction(SIGBUS, &action, &previous))
		return event_fd;
	ret = -errno;
	close(maps_fd);
	if (event_fd >= 0)
		close(event_fd);
	event_fd = -1;
	return ret;
}

int memory_guard_add(uint64_t device, uint64_t inode)
{
	for (unsigned int i = 0; i < MEMORY_GUARD_MAX; i++) {
		struct guarded *slot = &guarded[i];

		if (slot->used)
			continue;
		slot->device = device;
		slot->inode = inode;
		slot->broken = 0;
		__atomic_store_n(&slot->used, 1, __ATOMIC_RELEASE);
		if (i >= n_guarded)
			__atomic_store_n(&n_guarded, i + 1, __ATOMIC_RELEASE);
		return (int)i;
	}
	return -ENOSPC;
}

void memory_guard_remove(int slot)
{
	if (slot >= 0)
		__atomic_store_n(&guarded[slot].used, 0, __ATOMIC_RELEASE);
}

bool memory_guard_broken(int slot)
{
	return slot >= 0 && __atomic_load_n(&guarded[slot].broken, __ATOMIC_ACQUIRE);
}
