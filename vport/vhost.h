// A vhost-user port: one guest's network card, by DPDK's vhost library (not its PMD, which hides
// the events and rings that we need).
//
// Four parties touch a port:
//   main      opens, closes, ticks; registers with the library (vhost.c);
//   door      talks to the guest's side and passes its messages on (vhost_door.h);
//   events    the library's own thread, on which a guest comes and goes (vhost_events.c);
//   workers   receive and send (vhost_rings.c).
// What workers read is two words, `vid` and `enabled`. A guest that leaves takes `vid` away first
// and then waits until no worker can still be inside the library with it.
//
// Callbacks and locks: vring_state_changed() runs with the library's ring locks held, on which
// workers spin. It must neither wait for workers nor call the library for anything that takes a
// ring lock. new_device() and destroy_device() run without them.
//
// Only this folder includes it.
#ifndef VPORT_VHOST_H
#define VPORT_VHOST_H

#include "vport/vport.h"
#include "vport/wakeup.h"

#include <sys/un.h>

#define VHOST_STASH 32
#define VHOST_NO_DEVICE (-1)
#define VHOST_PATH_SIZE sizeof(((struct sockaddr_un *)NULL)->sun_path)

// One receive queue: the guest's transmit ring 2 * queue + 1.
struct vhost_queue {
	struct wakeup wakeup;
	int kick_fd; // our duplicate of the guest's, -1 none; events thread
	bool no_kick; // the guest never kicks: the ring can only be polled
	// Packets found when the worker was about to sleep, for its next receive call.
	uint16_t stash_first;
	uint16_t stash_end;
	struct rte_mbuf *stash[VHOST_STASH];
} __rte_cache_aligned;

struct vhost_port {
	struct vport vport;
	const struct vhost_backend *backend; // who serves the rings
	int vid; // the guest that is served, or VHOST_NO_DEVICE; published
	uint32_t enabled; // bit i: ring i of that guest is enabled; published
	unsigned int n_connections; // open vhost-user connections; under the events lock
	uint64_t disconnected_ns; // when the last one ended
	char path[VHOST_PATH_SIZE]; // the guest's
	char private_path[VHOST_PATH_SIZE]; // the library's
	struct vhost_door *door;
	// Why guests were cut off: the text in use is not written to.
	uint64_t forgiven, explained; // of vhost_door_status.refused
	unsigned int explanation;
	char explanations[2][192];
	bool server;
	bool registered; // with the library; main thread
	struct vhost_port *next; // in the list of all vhost ports
	struct vhost_queue queues[VPORT_MAX_QUEUES];
};

// Virtio features that stay off until the switch can carry offloads (one place to change).
#define VHOST_OFFLOAD_FEATURES                                                                     \
	(1ULL << VIRTIO_NET_F_CSUM | 1ULL << VIRTIO_NET_F_GUEST_CSUM |                             \
	 1ULL << VIRTIO_NET_F_GUEST_TSO4 | 1ULL << VIRTIO_NET_F_GUEST_TSO6 |                       \
	 1ULL << VIRTIO_NET_F_GUEST_ECN | 1ULL << VIRTIO_NET_F_GUEST_UFO |                         \
	 1ULL << VIRTIO_NET_F_HOST_TSO4 | 1ULL << VIRTIO_NET_F_HOST_TSO6 |                         \
	 1ULL << VIRTIO_NET_F_HOST_ECN | 1ULL << VIRTIO_NET_F_HOST_UFO)

static inline unsigned int vhost_rx_ring(unsigned int queue)
{
	return 2 * queue + 1; // the guest transmits on odd rings
}

static inline unsigned int vhost_tx_ring(unsigned int queue)
{
	return 2 * queue;
}

// How many queue pairs the guest uses: leading pairs whose even (`tx`) or odd ring is enabled.
static inline unsigned int vhost_leading_rings(uint32_t enabled, bool tx)
{
	uint32_t missing = ~enabled & (tx ? 0x55555555u : 0xaaaaaaaau);

	return missing ? (unsigned int)__builtin_ctz(missing) / 2 : VPORT_MAX_QUEUES;
}

// vhost_events.c. Main thread: the library's callbacks find ports in this list by path.
struct rte_vhost_device_ops;
extern const struct rte_vhost_device_ops vhost_device_ops;
void vhost_list_add(struct vhost_port *port);
void vhost_list_remove(struct vhost_port *port);
struct vhost_port *vhost_list_find(const char *path); // the guest's
// After the socket was unregistered, which ends connections without saying so.
void vhost_connections_forget(struct vhost_port *port);

// vhost_rings.c
uint16_t vhost_rx(struct vport *vport, uint16_t queue, struct rte_mbuf **packets, uint16_t n);
uint16_t vhost_tx(struct vport *vport, uint16_t queue, struct rte_mbuf **packets, uint16_t n);
int vhost_arm(struct vport *vport, uint16_t queue);
void vhost_disarm(struct vport *vport, uint16_t queue);

#endif
