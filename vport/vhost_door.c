#include "vport/vhost_door.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/error.h"
#include "common/log.h"
#include "vport/memory_guard.h"
#include "vport/vhost_relay.h"

#define MAX_RELAYS 4 // of one port: a guest that restarts may be there twice
#define TICK_MS 20 // while anybody is connected; deadlines, counters
#define CONNECT_NS (40 * NS_PER_MS) // between attempts to reach a peer that listens
#define LINGER_NS (2 * NS_PER_SECOND) // the library's way to let go takes some milliseconds
#define BACKLOG 16
#define EVENTS 64

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct vhost_door *doors;
static struct vhost_relay *relays;
static unsigned int n_doors; // that main opened and did not free
static int epoll_fd = -1, wake_fd = -1, guard_fd = -1;
static int wake_kind = DOOR_WATCH_WAKE, guard_kind = DOOR_WATCH_GUARD;
static pthread_t thread;
static bool stopping;

int door_watch(int fd, uint32_t events, void *what, bool known)
{
	struct epoll_event event = { .events = events, .data.ptr = what };

	return epoll_ctl(epoll_fd, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

void door_unwatch(int fd)
{
	epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

// --- letting in ---

static bool may_enter(const struct vhost_door *door, uint64_t now_ns)
{
	return !door->shut && now_ns >= door->next_ns &&
	       door->n_relays < (door->server ? MAX_RELAYS : 1u);
}

static void relay_add(struct vhost_door *door, int peer, uint64_t now_ns)
{
	struct vhost_relay *relay = relay_new(door, peer, now_ns);

	if (!relay)
		return;
	relay->next = relays;
	relays = relay;
}

static void listener_ready(struct vhost_door *door, uint64_t now_ns)
{
	int peer;

	if (door->shut || !door->listening)
		return;
	if (may_enter(door, now_ns)) {
		peer = accept4(door->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (peer >= 0) {
			relay_add(door, peer, now_ns);
			return;
		}
		// Out of descriptors, perhaps: not again at once.
		if (errno != EAGAIN)
			door->next_ns = now_ns + CONNECT_NS;
	}
	door_unwatch(door->listener);
	door->listening = false;
}

static void client_connect(struct vhost_door *door, uint64_t now_ns)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int peer = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	door->next_ns = now_ns + CONNECT_NS;
	if (peer < 0)
		return;
	memcpy(address.sun_path, door->path, sizeof(address.sun_path));
	if (connect(peer, (struct sockaddr *)&address, sizeof(address)))
		close(peer);
	else
		relay_add(door, peer, now_ns);
}

static void door_tick(struct vhost_door *door, uint64_t now_ns)
{
	if (!may_enter(door, now_ns))
		return;
	if (!door->server)
		client_connect(door, now_ns);
	else if (!door->listening && !door_watch(door->listener, EPOLLIN, &door->kind, false))
		door->listening = true;
}

// --- the thread ---

static void guard_ready(uint64_t now_ns)
{
	uint64_t count;

	if (read(guard_fd, &count, sizeof(count)) < 0)
		return;
	for (struct vhost_relay *relay = relays; relay; relay = relay->next)
		if (relay->phase != RELAY_CLOSED && relay_memory_broken(relay))
			relay_refuse(relay, now_ns,
				     "it cut off memory that it shares, while that was in use");
}

static void dispatch(const struct epoll_event *event, uint64_t now_ns)
{
	uintptr_t at = (uintptr_t)event->data.ptr;
	int *kind = (int *)(at & ~(uintptr_t)1);
	uint64_t count;

	switch (*kind) {
	case DOOR_WATCH_WAKE:
		if (read(wake_fd, &count, sizeof(count)) < 0)
			return;
		break;
	case DOOR_WATCH_GUARD:
		guard_ready(now_ns);
		break;
	case DOOR_WATCH_LISTENER:
		listener_ready((struct vhost_door *)event->data.ptr, now_ns);
		break;
	default:
		if (at & 1)
			relay_library_ready((struct vhost_relay *)(void *)kind, now_ns);
		else
			relay_peer_ready(event->data.ptr, event->events, now_ns);
	}
}

static void tick(uint64_t now_ns)
{
	for (struct vhost_relay *relay = relays; relay; relay = relay->next) {
		relay_tick(relay, now_ns);
		// Also after its end, until workers are out of it.
		if (relay_calls_full(relay) && relay->phase != RELAY_CLOSED)
			relay_refuse(relay, now_ns,
				     "it filled an interrupt's counter, where a worker would wait");
	}
	for (struct vhost_door *door = doors; door; door = door->next)
		door_tick(door, now_ns);
}

// Only here is anything freed: no event that was fetched can still name it.
static void sweep(uint64_t now_ns)
{
	for (struct vhost_relay **at = &relays; *at;) {
		struct vhost_relay *relay = *at;

		if (relay->phase != RELAY_CLOSED || (!relay->door->dead && relay->library >= 0 &&
						     now_ns - relay->closed_ns < LINGER_NS)) {
			at = &relay->next;
			continue;
		}
		relay_watch_end(relay);
		*at = relay->next;
		free(relay);
	}
	for (struct vhost_door **at = &doors; *at;) {
		struct vhost_door *door = *at;

		if (!door->dead) {
			at = &door->next;
			continue;
		}
		*at = door->next;
		free(door);
	}
}

// How long nothing need be looked at, in milliseconds; -1: until something comes.
static int patience(void)
{
	if (relays)
		return TICK_MS;
	for (struct vhost_door *door = doors; door; door = door->next)
		if (!door->shut && (!door->server || !door->listening))
			return CONNECT_NS / NS_PER_MS;
	return -1;
}

static void *run(void *context)
{
	uint64_t ticked_ns = 0;
	int wait_ms = 0;

	(void)context;
	for (;;) {
		struct epoll_event events[EVENTS];
		int n = epoll_wait(epoll_fd, events, EVENTS, wait_ms);
		uint64_t now_ns = clock_monotonic_ns();

		pthread_mutex_lock(&lock);
		if (stopping) {
			pthread_mutex_unlock(&lock);
			return NULL;
		}
		for (int i = 0; i < n; i++)
			dispatch(&events[i], now_ns);
		// Doors are few events, or many at a time: not all of them at each.
		if (now_ns - ticked_ns >= TICK_MS * NS_PER_MS || n == 0) {
			ticked_ns = now_ns;
			tick(now_ns);
		}
		sweep(now_ns);
		wait_ms = patience();
		pthread_mutex_unlock(&lock);
	}
}

static void wake(void)
{
	uint64_t one = 1;

	if (write(wake_fd, &one, sizeof(one)) < 0)
		return; // it is awake already
}

static void close_all(void)
{
	close(epoll_fd);
	close(wake_fd);
	epoll_fd = wake_fd = -1;
}

static int thread_start(struct error *error)
{
	int ret;

	guard_fd = memory_guard_install();
	if (guard_fd < 0)
		return error_set(error, -guard_fd, "cannot watch over shared memory: %s",
				 strerror(-guard_fd));
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	stopping = false;
	if (epoll_fd < 0 || wake_fd < 0 || door_watch(wake_fd, EPOLLIN, &wake_kind, false) ||
	    door_watch(guard_fd, EPOLLIN, &guard_kind, false))
		ret = errno;
	else
		ret = pthread_create(&thread, NULL, run, NULL);
	if (!ret) {
		pthread_setname_np(thread, "vhost-door");
		return 0;
	}
	close_all();
	return error_set(error, ret, "cannot start the thread of vhost-user connections: %s",
			 strerror(ret));
}

static void thread_stop(void)
{
	pthread_mutex_lock(&lock);
	stopping = true;
	pthread_mutex_unlock(&lock);
	wake();
	pthread_join(thread, NULL);
	sweep(clock_monotonic_ns());
	close_all();
}

// --- main thread ---

int vhost_door_private_path(char *path, unsigned int size, struct error *error)
{
	static unsigned int n;
	char directory[VHOST_PATH_SIZE];
	struct stat status;

	if ((unsigned int)snprintf(directory, sizeof(directory), "%s/.vhost", vport_run_dir()) >=
		    sizeof(directory) ||
	    (unsigned int)snprintf(path, size, "%s/%u", directory, n) >= size)
		return error_set(error, ENAMETOOLONG,
				 "directory '%s' is too long a name for sockets in it",
				 vport_run_dir());
	n++;
	mkdir(vport_run_dir(), 0755); // there, unless nobody chose one
	if (mkdir(directory, 0700) && errno != EEXIST)
		return error_set(error, errno, "cannot create directory '%s': %s", directory,
				 strerror(errno));
	if (lstat(directory, &status) || !S_ISDIR(status.st_mode) || status.st_uid != geteuid() ||
	    (status.st_mode & 077))
		return error_set(error, EPERM,
				 "'%s' must be a directory that only the switch can enter (mode "
				 "0700)",
				 directory);
	unlink(path); // of a daemon that was killed; there is one per directory
	return 0;
}

static int listen_on(struct vhost_door *door, struct error *error)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	door->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	memcpy(address.sun_path, door->path, sizeof(address.sun_path));
	if (door->listener >= 0 &&
	    !bind(door->listener, (struct sockaddr *)&address, sizeof(address)) &&
	    !listen(door->listener, BACKLOG))
		return 0;
	error_set(error, errno, "cannot listen on socket '%s': %s", door->path, strerror(errno));
	if (door->listener >= 0)
		close(door->listener);
	return -EACCES;
}

struct vhost_door *vhost_door_open(struct vport *vport, const char *path, const char *private_path,
				   bool server, struct error *error)
{
	struct vhost_door *door = calloc(1, sizeof(*door));

	if (!door) {
		error_set(error, ENOMEM, "no memory for port '%s'", vport->name);
		return NULL;
	}
	door->kind = DOOR_WATCH_LISTENER;
	door->vport = vport;
	door->server = server;
	door->listener = -1;
	snprintf(door->path, sizeof(door->path), "%s", path);
	snprintf(door->private_path, sizeof(door->private_path), "%s", private_path);
	if ((server && listen_on(door, error)) || (!n_doors && thread_start(error))) {
		if (door->listener >= 0) {
			close(door->listener);
			unlink(path);
		}
		free(door);
		return NULL;
	}
	n_doors++;
	pthread_mutex_lock(&lock);
	door->next = doors;
	doors = door;
	door_tick(door, clock_monotonic_ns());
	pthread_mutex_unlock(&lock);
	wake();
	return door;
}

void vhost_door_shut(struct vhost_door *door)
{
	if (!door || door->shut)
		return;
	pthread_mutex_lock(&lock);
	door->shut = true;
	for (struct vhost_relay *relay = relays; relay; relay = relay->next)
		if (relay->door == door)
			relay_close(relay, clock_monotonic_ns());
	if (door->listener >= 0) {
		close(door->listener);
		unlink(door->path);
	}
	pthread_mutex_unlock(&lock);
	wake();
}

void vhost_door_free(struct vhost_door *door)
{
	if (!door)
		return;
	pthread_mutex_lock(&lock);
	door->dead = true;
	pthread_mutex_unlock(&lock);
	wake();
	if (!--n_doors)
		thread_stop();
}

void vhost_door_get_status(struct vhost_door *door, struct vhost_door_status *status)
{
	pthread_mutex_lock(&lock);
	*status = door->status;
	status->n_connections = door->n_relays;
	pthread_mutex_unlock(&lock);
}
