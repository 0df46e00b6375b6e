#include "vport/vhost_relay.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/error.h"

#define HEADER sizeof(struct vhost_header)
#define MESSAGE_NS NS_PER_SECOND // for the rest of a message, and for taking an answer
#define LIBRARY_NS (30 * NS_PER_SECOND)

// A guest that boots with 16 queue pairs sends some hundred messages. Those for which workers must
// be waited for or memory is mapped count more.
#define RATE_PER_SECOND 4000
#define COST_MEMORY 50
#define COST_STOP 10

#define BACKOFF_MIN_NS (100 * NS_PER_MS)
#define BACKOFF_MAX_NS (5 * NS_PER_SECOND)
#define GOOD_NS (10 * NS_PER_SECOND) // who was connected that long meant no harm at first

static void peer_watch(struct vhost_relay *relay, uint32_t events)
{
	if (events == relay->peer_events)
		return;
	if (!events)
		door_unwatch(relay->peer);
	else if (door_watch(relay->peer, events, &relay->kind, relay->peer_events))
		events = 0; // its deadline ends it
	relay->peer_events = events;
}

// Those of a message that was found good: events and shared memory.
static void fds_close(struct vhost_relay *relay)
{
	for (unsigned int i = 0; i < relay->n_fds; i++)
		close(relay->fds[i]);
	relay->n_fds = 0;
}

struct vhost_relay *relay_new(struct vhost_door *door, int peer, uint64_t now_ns)
{
	struct vhost_relay *relay = calloc(1, sizeof(*relay));

	if (!relay) {
		close(peer);
		return NULL;
	}
	relay->kind = DOOR_WATCH_PEER;
	relay->door = door;
	relay->peer = peer;
	vhost_note_peer(door->vport, peer);
	relay->library = -1;
	relay->opened_ns = relay->counted_ns = now_ns;
	relay->credit = RATE_PER_SECOND;
	relay_watch_init(relay);
	peer_watch(relay, EPOLLIN);
	door->n_relays++;
	door->status.connections++;
	return relay;
}

void relay_close(struct vhost_relay *relay, uint64_t now_ns)
{
	int fds[RELAY_MAX_FDS + 1];

	if (relay->phase == RELAY_CLOSED)
		return;
	relay->phase = RELAY_CLOSED;
	relay->closed_ns = now_ns;
	peer_watch(relay, 0);
	// More of the peer's may be in its socket, and is closed with it.
	fds[0] = relay->peer;
	memcpy(fds + 1, relay->fds, relay->n_fds * sizeof(int));
	dispose(relay->door, fds, relay->n_fds + 1);
	relay->n_fds = 0;
	if (relay->library >= 0) {
		door_unwatch(relay->library);
		close(relay->library);
	} else {
		relay_watch_end(relay); // nobody else ever knew of it
	}
	relay->door->n_relays--;
}

void relay_refuse(struct vhost_relay *relay, uint64_t now_ns, const char *format, ...)
{
	struct vhost_door *door = relay->door;
	uint64_t suppressed;
	va_list args;

	va_start(args, format);
	vsnprintf(door->status.reason, sizeof(door->status.reason), format, args);
	va_end(args);
	door->status.refused++;
	if (now_ns - relay->opened_ns > GOOD_NS)
		door->backoff_ns = 0;
	door->backoff_ns = RTE_MIN(RTE_MAX(2 * door->backoff_ns, BACKOFF_MIN_NS), BACKOFF_MAX_NS);
	door->next_ns = now_ns + door->backoff_ns;
	if (log_limit_pass(&door->log_limit, &suppressed)) {
		log_warning("port '%s': the guest was cut off: %s", door->vport->name,
			    door->status.reason);
		if (suppressed)
			log_warning("port '%s': (%llu similar lines left out)", door->vport->name,
				    (unsigned long long)suppressed);
	}
	relay_close(relay, now_ns);
	vport_mark_changed(door->vport);
}

// --- to the library ---

// Only now that a whole good message has come: somebody who just connects costs nothing.
static int library_connect(struct vhost_relay *relay)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if (relay->library >= 0)
		return 0;
	relay->library = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (relay->library < 0)
		return -errno;
	memcpy(address.sun_path, relay->door->private_path, sizeof(address.sun_path));
	if (!connect(relay->library, (struct sockaddr *)&address, sizeof(address)) &&
	    !door_watch(relay->library, EPOLLIN, (char *)&relay->kind + 1, false))
		return 0;
	close(relay->library);
	relay->library = -1;
	return -ECONNREFUSED;
}

static int library_send(struct vhost_relay *relay)
{
	struct iovec vector = { &relay->message, HEADER + relay->message.header.size };
	union {
		char bytes[CMSG_SPACE(VHOST_MAX_FDS * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct msghdr header = { .msg_iov = &vector, .msg_iovlen = 1 };

	if (relay->n_fds) {
		struct cmsghdr *cmsg = &control.align;

		memset(&control, 0, sizeof(control));
		header.msg_control = &control;
		header.msg_controllen = CMSG_SPACE(relay->n_fds * sizeof(int));
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(relay->n_fds * sizeof(int));
		memcpy(CMSG_DATA(cmsg), relay->fds, relay->n_fds * sizeof(int));
	}
	// It is empty: one message is under way. Less than all of it would be an error.
	return sendmsg(relay->library, &header, MSG_NOSIGNAL | MSG_DONTWAIT) ==
			       (ssize_t)vector.iov_len
		       ? 0
		       : -EIO;
}

static int64_t message_cost(uint32_t request)
{
	switch (request) {
	case REQUEST_SET_MEM_TABLE:
	case REQUEST_RESET_OWNER:
	case REQUEST_SET_LOG_BASE:
		return COST_MEMORY;
	case REQUEST_GET_VRING_BASE:
		return COST_STOP;
	default:
		return 1;
	}
}

static void pass_on(struct vhost_relay *relay, uint64_t now_ns)
{
	struct vhost_header *header = &relay->message.header;
	struct error error;

	relay->request = header->request;
	relay->credit -= message_cost(header->request);
	if (vhost_session_check(&relay->session, &relay->message, relay->fds, relay->n_fds,
				&error) ||
	    relay_watch_begin(relay, &error)) {
		relay_refuse(relay, now_ns, "%s", error.message);
		return;
	}
	relay->acknowledged = !vhost_message_replied(header->request);
	relay->wanted = !relay->acknowledged || (header->flags & VHOST_FLAG_NEED_REPLY);
	if (relay->acknowledged)
		header->flags |= VHOST_FLAG_NEED_REPLY;
	if (library_connect(relay) || library_send(relay)) {
		log_limited(LOG_LEVEL_ERROR, "port '%s': cannot reach the vhost library: %s",
			    relay->door->vport->name, strerror(errno));
		relay->door->next_ns = now_ns + BACKOFF_MIN_NS;
		relay_close(relay, now_ns);
		return;
	}
	fds_close(relay);
	relay->door->status.messages++;
	relay->phase = RELAY_WAITING;
	relay->filled = 0;
	relay->deadline_ns = now_ns + LIBRARY_NS;
	peer_watch(relay, 0);
}

// --- reading ---

// Adds the descriptors that came along. False if there were more than any message has.
static bool fds_take(struct vhost_relay *relay, struct msghdr *header)
{
	bool fit = !(header->msg_flags & MSG_CTRUNC);

	for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
		unsigned int n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (unsigned int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		for (unsigned int i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (relay->n_fds < RELAY_MAX_FDS)
				relay->fds[relay->n_fds++] = fd;
			else
				close(fd);
		}
		fit = fit && relay->n_fds <= VHOST_MAX_FDS;
	}
	return fit;
}

// As much of a message, from either side, as is there: header, then payload. 1 whole, 0 not yet,
// -ECONNRESET the other side left, -EPROTO with a sentence.
static int message_read(struct vhost_relay *relay, int from, struct error *error)
{
	for (;;) {
		bool whole_header = relay->filled >= HEADER;
		size_t want = HEADER + (whole_header ? relay->message.header.size : 0);
		char control[CMSG_SPACE(sizeof(relay->fds))]
			__attribute__((aligned(_Alignof(struct cmsghdr))));
		struct iovec vector = { (char *)&relay->message + relay->filled,
					want - relay->filled };
		struct msghdr header = { .msg_iov = &vector,
					 .msg_iovlen = 1,
					 .msg_control = control,
					 .msg_controllen = sizeof(control) };
		unsigned int n_fds = relay->n_fds;
		ssize_t n;

		if (whole_header && relay->filled == want)
			return 1;
		n = recvmsg(from, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return 0;
		if (n <= 0)
			return -ECONNRESET;
		if (!fds_take(relay, &header))
			return error_set(error, EPROTO,
					 "more descriptors than any message has, or than we can "
					 "open");
		if (relay->filled && relay->n_fds != n_fds)
			return error_set(error, EPROTO, "descriptors in the middle of a message");
		relay->filled += (uint32_t)n;
		if (relay->filled != HEADER)
			continue;
		if (from == relay->peer && vhost_header_check(&relay->message.header, error))
			return -EPROTO;
		if (relay->message.header.size > sizeof(relay->message.payload))
			return error_set(error, EPROTO, "an answer of %u bytes",
					 relay->message.header.size);
	}
}

// May another message be taken now?
static bool credit_take(struct vhost_relay *relay, uint64_t now_ns)
{
	uint64_t elapsed_ns = RTE_MIN(now_ns - relay->counted_ns, NS_PER_SECOND);
	uint64_t earned = elapsed_ns * RATE_PER_SECOND / NS_PER_SECOND;

	if (earned) {
		relay->counted_ns = now_ns;
		relay->credit = RTE_MIN(relay->credit + (int64_t)earned, (int64_t)RATE_PER_SECOND);
	}
	if (relay->credit > 0)
		return true;
	relay->resume_ns = now_ns + NS_PER_MS;
	peer_watch(relay, 0);
	return false;
}

static void peer_read(struct vhost_relay *relay, uint64_t now_ns)
{
	struct error error;
	int ret;

	if (!credit_take(relay, now_ns))
		return;
	ret = message_read(relay, relay->peer, &error);
	if (ret == -ECONNRESET) {
		if (relay->filled)
			log_limited(LOG_LEVEL_INFO,
				    "port '%s': the guest left in the middle of a message",
				    relay->door->vport->name);
		relay_close(relay, now_ns);
	} else if (ret < 0) {
		relay_refuse(relay, now_ns, "%s", error.message);
	} else if (ret) {
		pass_on(relay, now_ns);
	} else if (relay->filled && !relay->deadline_ns) {
		relay->deadline_ns = now_ns + MESSAGE_NS;
	}
}

// --- answers ---

static void read_next(struct vhost_relay *relay)
{
	relay->phase = RELAY_READING;
	relay->filled = 0;
	relay->deadline_ns = 0;
	peer_watch(relay, EPOLLIN);
}

static void answer_send(struct vhost_relay *relay, uint64_t now_ns)
{
	uint32_t size = (uint32_t)HEADER + relay->message.header.size;
	ssize_t n = send(relay->peer, (char *)&relay->message + relay->sent, size - relay->sent,
			 MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		relay_close(relay, now_ns);
		return;
	}
	relay->sent += n > 0 ? (uint32_t)n : 0;
	if (relay->sent == size) {
		read_next(relay);
		return;
	}
	if (relay->phase != RELAY_ANSWERING)
		relay->deadline_ns = now_ns + MESSAGE_NS;
	relay->phase = RELAY_ANSWERING;
	peer_watch(relay, EPOLLOUT);
}

// The library has done with the message under way.
static void answered(struct vhost_relay *relay, uint64_t now_ns)
{
	struct vhost_message *answer = &relay->message;
	char name[24];

	fds_close(relay); // we offer nothing that is answered by descriptors
	if (answer->header.request != relay->request) {
		relay_refuse(relay, now_ns, "the vhost library answered something else");
		return;
	}
	// More than that would never be served. Its other answers are passed on as they are.
	relay->sent = 0;
	if (relay->request == REQUEST_GET_QUEUE_NUM)
		answer->payload.u64 = RTE_MIN(answer->payload.u64, (uint64_t)VHOST_MAX_RINGS / 2);
	if (relay->acknowledged && answer->payload.u64) {
		if (relay->wanted)
			answer_send(relay, now_ns);
		relay_refuse(relay, now_ns, "the vhost library refused %s",
			     vhost_message_name(relay->request, name));
		return;
	}
	relay_watch_commit(relay);
	if (relay->wanted)
		answer_send(relay, now_ns);
	else
		read_next(relay);
}

void relay_library_ready(struct vhost_relay *relay, uint64_t now_ns)
{
	struct error error;
	char name[24];
	int ret;

	if (relay->phase == RELAY_CLOSED)
		return;
	if (relay->phase != RELAY_WAITING) {
		// It never speaks first.
		relay_refuse(relay, now_ns, "the vhost library ended the connection");
		return;
	}
	ret = message_read(relay, relay->library, &error);
	if (ret == -ECONNRESET)
		relay_refuse(relay, now_ns, "the vhost library refused %s",
			     vhost_message_name(relay->request, name));
	else if (ret < 0)
		relay_refuse(relay, now_ns, "%s", error.message);
	else if (ret)
		answered(relay, now_ns);
}

void relay_peer_ready(struct vhost_relay *relay, uint32_t events, uint64_t now_ns)
{
	switch (relay->phase) {
	case RELAY_READING:
		peer_read(relay, now_ns);
		break;
	case RELAY_ANSWERING:
		if (events & (EPOLLHUP | EPOLLERR))
			relay_close(relay, now_ns);
		else
			answer_send(relay, now_ns);
		break;
	case RELAY_WAITING:
	case RELAY_CLOSED:
		break;
	}
}

void relay_tick(struct vhost_relay *relay, uint64_t now_ns)
{
	char name[24];

	if (relay->phase == RELAY_CLOSED)
		return;
	if (relay->resume_ns && now_ns >= relay->resume_ns) {
		relay->resume_ns = 0;
		if (relay->phase == RELAY_READING)
			peer_watch(relay, EPOLLIN);
	}
	if (!relay->deadline_ns || now_ns < relay->deadline_ns)
		return;
	if (relay->phase == RELAY_READING)
		relay_refuse(relay, now_ns, "a message was not finished within a second");
	else if (relay->phase == RELAY_ANSWERING)
		relay_refuse(relay, now_ns, "the answer to %s was not taken within a second",
			     vhost_message_name(relay->request, name));
	else
		relay_refuse(relay, now_ns, "the vhost library has not answered %s for %llu s",
			     vhost_message_name(relay->request, name),
			     (unsigned long long)(LIBRARY_NS / NS_PER_SECOND));
}
