// What is known of the guest at a vhost-user port, for people: who it is, what was negotiated, its
// rings and its memory. It is read from the vhost library and from the guest's rings when asked
// for, so workers pay nothing for it. Main thread.
#ifndef VPORT_GUEST_H
#define VPORT_GUEST_H

#include "vport/vport.h"

#define VPORT_GUEST_PATH 108 // of a socket
#define VPORT_GUEST_MAX_RINGS (2 * VPORT_MAX_QUEUES)
#define VPORT_GUEST_MAX_REGIONS 32 // more are counted and not listed

// What we cannot know (no such descriptor, another kind of file).
#define VPORT_GUEST_UNKNOWN UINT64_MAX

struct vport_guest_ring {
	unsigned int queue;
	bool to_guest; // what the guest receives by
	bool enabled;
	unsigned int size; // descriptors
	unsigned int waiting; // of these, buffers that the guest gave and we have not used
	bool interrupt_wanted; // does the guest want to hear of the next packet?
	uint64_t interrupts; // sent to the guest since its driver started
	uint64_t kicks; // sent by the guest, or VPORT_GUEST_UNKNOWN
	uint64_t stuck_ns; // how long the guest has given no buffers although there are none
};

struct vport_guest_region {
	uint64_t guest_address;
	uint64_t size;
	uint64_t page_size; // 0: not known
};

struct vport_guest {
	bool server; // we listen, the guest connects
	char path[VPORT_GUEST_PATH];
	bool connected;
	bool running; // the guest's driver has started
	bool stopped; // connected, and takes nothing
	bool migrating; // its memory is being copied elsewhere, and we say what we write
	uint64_t connected_ns; // how long it has been connected

	// The process at the other end of the socket; pid 0 when it cannot be told.
	int pid;
	unsigned int uid;
	char command[32];

	uint64_t features; // VIRTIO_*_F_*, as negotiated
	uint64_t protocol_features; // VHOST_USER_PROTOCOL_F_*
	unsigned int mtu; // that QEMU told the guest; 0: none
	unsigned int offered; // queue pairs that the guest may have
	unsigned int n_queues; // pairs that it uses
	uint64_t announces; // how often it was announced after a migration (SEND_RARP)

	unsigned int n_rings;
	struct vport_guest_ring rings[VPORT_GUEST_MAX_RINGS];
	unsigned int n_regions;
	struct vport_guest_region regions[VPORT_GUEST_MAX_REGIONS];
};

// Returns 0, or -ENOTSUP for a port that never has a guest.
int vport_guest_read(struct vport *vport, struct vport_guest *guest);

#endif
