#include "vport/vhost_relay.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/error.h"
#include "vport/memory_guard.h"

#define LOG_GUARD VHOST_MAX_REGIONS
#define NO_FD 0x100u
#define RING_MASK 0xffu

void relay_watch_init(struct vhost_relay *relay)
{
	for (unsigned int i = 0; i < RELAY_N_GUARDS; i++)
		relay->guards[i] = relay->old_guards[i] = -1;
	for (unsigned int i = 0; i < VHOST_MAX_RINGS; i++)
		relay->calls[i] = -1;
	relay->old_call = -1;
}

static int guard(struct vhost_relay *relay, unsigned int i, const struct vhost_file *file,
		 struct error *error)
{
	relay->old_guards[i] = relay->guards[i];
	relay->guards[i] = memory_guard_add(file->device, file->inode);
	if (relay->guards[i] < 0)
		return error_set(error, ENOSPC,
				 "no room to watch over more guest memory: %u files are shared",
				 MEMORY_GUARD_MAX);
	return 0;
}

static int watch_memory(struct vhost_relay *relay, struct error *error)
{
	for (unsigned int i = 0; i < VHOST_MAX_REGIONS; i++) {
		relay->old_guards[i] = relay->guards[i];
		relay->guards[i] = -1;
	}
	for (unsigned int i = 0; i < relay->session.n_regions; i++) {
		int old = relay->old_guards[i];
		int ret = guard(relay, i, &relay->session.files[i], error);

		relay->old_guards[i] = old;
		if (ret)
			return ret;
	}
	return 0;
}

static int watch_call(struct vhost_relay *relay, struct error *error)
{
	uint32_t ring = relay->message.payload.u64 & RING_MASK;

	relay->old_call = relay->calls[ring];
	relay->calls[ring] = -1;
	if (relay->message.payload.u64 & NO_FD)
		return 0;
	relay->calls[ring] = fcntl(relay->fds[0], F_DUPFD_CLOEXEC, 0);
	if (relay->calls[ring] < 0)
		return error_set(error, errno, "too many open files");
	return 0;
}

int relay_watch_begin(struct vhost_relay *relay, struct error *error)
{
	switch (relay->request) {
	case REQUEST_SET_MEM_TABLE:
		return watch_memory(relay, error);
	case REQUEST_SET_LOG_BASE:
		return guard(relay, LOG_GUARD, &relay->session.log, error);
	case REQUEST_SET_VRING_CALL:
		return watch_call(relay, error);
	case REQUEST_GET_VRING_BASE:
		relay->ring = relay->message.payload.state.ring;
		return 0;
	default:
		return 0;
	}
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void unguard(int *slot)
{
	memory_guard_remove(*slot);
	*slot = -1;
}

void relay_watch_commit(struct vhost_relay *relay)
{
	for (unsigned int i = 0; i < RELAY_N_GUARDS; i++)
		unguard(&relay->old_guards[i]);
	close_fd(&relay->old_call);
	// The library closes a stopped ring's, and workers are out of it when it answers.
	if (relay->request == REQUEST_GET_VRING_BASE)
		close_fd(&relay->calls[relay->ring]);
	if (relay->request == REQUEST_RESET_OWNER)
		relay_watch_end(relay);
}

void relay_watch_end(struct vhost_relay *relay)
{
	for (unsigned int i = 0; i < RELAY_N_GUARDS; i++) {
		unguard(&relay->guards[i]);
		unguard(&relay->old_guards[i]);
	}
	for (unsigned int i = 0; i < VHOST_MAX_RINGS; i++)
		close_fd(&relay->calls[i]);
	close_fd(&relay->old_call);
}

bool relay_memory_broken(const struct vhost_relay *relay)
{
	for (unsigned int i = 0; i < RELAY_N_GUARDS; i++)
		if (memory_guard_broken(relay->guards[i]) ||
		    memory_guard_broken(relay->old_guards[i]))
			return true;
	return false;
}

// Take what is there, without waiting whatever the peer set on its side of the descriptor.
static void drain(int fd)
{
	uint64_t count;
	struct iovec vector = { &count, sizeof(count) };

	if (preadv2(fd, &vector, 1, -1, RWF_NOWAIT) < 0)
		return;
}

bool relay_calls_full(struct vhost_relay *relay)
{
	struct pollfd polled[VHOST_MAX_RINGS + 1];
	unsigned int n = 0;
	bool full = false;

	for (unsigned int i = 0; i <= VHOST_MAX_RINGS; i++) {
		int fd = i < VHOST_MAX_RINGS ? relay->calls[i] : relay->old_call;

		if (fd >= 0)
			polled[n++] = (struct pollfd){ .fd = fd, .events = POLLOUT };
	}
	if (!n || poll(polled, n, 0) == (int)n)
		return false;
	for (unsigned int i = 0; i < n; i++)
		if (!(polled[i].revents & POLLOUT)) {
			drain(polled[i].fd);
			full = true;
		}
	return full;
}
