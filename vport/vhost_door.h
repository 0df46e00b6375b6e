// The front door of vhost-user ports: between the peer's socket and the vhost library.
//
// DPDK's library reads messages on one thread for all ports, waiting for each to be whole: a peer
// that stops in the middle of one stops them all. So the sockets are ours. One thread (the door's)
// accepts or connects, reads whole messages without waiting, shows them to a session
// (vhost_session.h), and passes the good ones on to the library through a socket that only we can
// reach. One message is under way per connection: the library's answer, which every message is made
// to have, comes before the next is read. Nothing here is on the way of packets.
//
//   peer --- peer socket --- [relay: read, check] --- private socket --- library
//
// A peer is cut off, alone and with one line in the log, when it sends what the session refuses or
// the library does, does not finish a message or take an answer within a second, cuts off memory
// that it shares (memory_guard.h), or fills the event counter by which workers interrupt it, where
// they would wait. After that nobody is let in for a while: 100 ms, doubled up to 5 s each time.
// Messages above a rate wait.
//
// What the library may still use after a connection's end (memory, descriptors) stays watched over
// until it certainly has let go.
//
// Open, shut, free and status: main thread. The rest runs on the door's own thread, under its lock.
#ifndef VPORT_VHOST_DOOR_H
#define VPORT_VHOST_DOOR_H

#include <stdbool.h>
#include <stdint.h>

struct error;
struct vport;
struct vhost_door;

struct vhost_door_status {
	unsigned int n_connections; // peers connected to us now
	uint64_t connections; // that there ever were
	uint64_t refused; // cut off for what they did
	uint64_t messages; // passed on
	char reason[160]; // why the last one was cut off; empty: none was
};

// Before vhost_door_open(): a path for the library's own socket, unique, in a directory that only
// we can enter (made below vport_run_dir()).
int vhost_door_private_path(char *path, unsigned int size, struct error *error);

// Let peers in: listen on `path` (server), or connect to it whenever somebody listens there. The
// library listens on `private_path` from before this until after vhost_door_shut().
struct vhost_door *vhost_door_open(struct vport *vport, const char *path, const char *private_path,
				   bool server, struct error *error);

// End all connections and let nobody in. What they shared is watched over until vhost_door_free(),
// before which the library must have forgotten the port. Either does nothing for NULL.
void vhost_door_shut(struct vhost_door *door);
void vhost_door_free(struct vhost_door *door);

void vhost_door_get_status(struct vhost_door *door, struct vhost_door_status *status);

#endif
