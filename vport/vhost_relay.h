// One connection of the front door: a peer, its session, and our end of the library's socket.
// Only vhost_door.c and vhost_relay*.c include it; everything under the door's lock.
#ifndef VPORT_VHOST_RELAY_H
#define VPORT_VHOST_RELAY_H

#include "common/log.h"
#include "vport/vhost.h"
#include "vport/vhost_door.h"
#include "vport/vhost_session.h"

struct error;

enum relay_phase {
	RELAY_READING, // a message from the peer
	RELAY_WAITING, // for the library's answer
	RELAY_ANSWERING, // until the peer takes the answer
	RELAY_CLOSED,
};

#define RELAY_N_GUARDS (VHOST_MAX_REGIONS + 1) // regions, log

struct vhost_relay {
	int kind; // DOOR_WATCH_*, for epoll
	struct vhost_relay *next; // of all
	struct vhost_door *door;
	int peer, library; // -1: none
	uint32_t peer_events; // watched for, 0: not watched
	enum relay_phase phase;
	struct vhost_session session;

	// The message that is read, then the answer that is passed back.
	struct vhost_message message;
	uint32_t filled, sent;
	int fds[VHOST_MAX_FDS];
	unsigned int n_fds;
	uint32_t request; // under way at the library
	bool acknowledged; // its answer only says whether it went well
	bool wanted; // the peer asked for an answer
	uint32_t ring; // that a message about a call descriptor names

	uint64_t opened_ns, closed_ns;
	uint64_t deadline_ns; // 0: none
	uint64_t resume_ns; // too many messages: none before this
	uint64_t counted_ns;
	int64_t credit; // messages that may come now

	// What workers and the library use: guarded files (memory_guard.h) and call descriptors, and
	// those before them until the library has let go.
	int guards[RELAY_N_GUARDS], old_guards[RELAY_N_GUARDS];
	int calls[VHOST_MAX_RINGS], old_call;
};

// The two sockets of a relay and the two kinds of door descriptors, as epoll names them: a pointer
// to an int that says which; that pointer plus one byte is the relay's library's socket.
enum { DOOR_WATCH_WAKE, DOOR_WATCH_GUARD, DOOR_WATCH_LISTENER, DOOR_WATCH_PEER };

struct vhost_door {
	int kind;
	struct vhost_door *next;
	struct vport *vport;
	bool server, shut, dead;
	char path[VHOST_PATH_SIZE];
	char private_path[VHOST_PATH_SIZE];
	int listener;
	bool listening; // the listener is watched
	unsigned int n_relays; // open ones
	uint64_t next_ns; // nobody is let in before this
	uint64_t backoff_ns;
	struct vhost_door_status status;
	struct log_limit log_limit;
};

// vhost_relay.c
struct vhost_relay *relay_new(struct vhost_door *door, int peer, uint64_t now_ns);
void relay_peer_ready(struct vhost_relay *relay, uint32_t events, uint64_t now_ns);
void relay_library_ready(struct vhost_relay *relay, uint64_t now_ns);
void relay_tick(struct vhost_relay *relay, uint64_t now_ns);
// The peer left, or we do.
void relay_close(struct vhost_relay *relay, uint64_t now_ns);
// The peer is cut off, for this reason.
void relay_refuse(struct vhost_relay *relay, uint64_t now_ns, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

// vhost_relay_watch.c: what was shared.
void relay_watch_init(struct vhost_relay *relay);
// Before a message goes to the library: what it brings is watched over from now on.
int relay_watch_begin(struct vhost_relay *relay, struct error *error);
// After the library has done with the message: what it replaced is not.
void relay_watch_commit(struct vhost_relay *relay);
void relay_watch_end(struct vhost_relay *relay);
bool relay_memory_broken(const struct vhost_relay *relay);
// Has the peer filled a counter that workers add to? Then it is emptied.
bool relay_calls_full(struct vhost_relay *relay);

// vhost_door.c
int door_watch(int fd, uint32_t events, void *what, bool known);
void door_unwatch(int fd);

#endif
