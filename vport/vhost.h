// A vhost-user port: one guest's network card, by DPDK's vhost library (not its PMD, which hides
// the events and rings that we need).
//
// Three parties touch a port:
//   main      opens, closes, ticks; registers the socket and, as client, connects (vhost.c);
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
	int vid; // the guest that is served, or VHOST_NO_DEVICE; published
	uint32_t enabled; // bit i: ring i of that guest is enabled; published
	unsigned int n_connections; // open vhost-user connections; under the events lock
	uint64_t disconnected_ns; // when the last one ended
	char path[VHOST_PATH_SIZE];
	bool server;
	bool registered; // with the library; main thread
	uint64_t features; // that the guest accepted; published with vid
	uint64_t rx_errors; // packets whose header lies; any worker adds
	struct vhost_port *next; // in the list of all vhost ports
	struct vhost_queue queues[VPORT_MAX_QUEUES];
};

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
struct vhost_port *vhost_list_find(const char *path);
// After the socket was unregistered, which ends connections without saying so.
void vhost_connections_forget(struct vhost_port *port);
// Is there a connection, and if not, since when?
bool vhost_connected(struct vhost_port *port, uint64_t *since_ns);

// vhost_offload.c. Which virtio features to keep from guests that connect from now on (main thread),
// and what follows from those that the guest accepted (main, or events thread under its lock).
uint64_t vhost_hidden_features(const struct vhost_port *port);
void vhost_set_offloads(struct vport *vport);
void vhost_publish_offloads(struct vhost_port *port);
void vhost_fill_offloads(const struct vhost_port *port, struct vport_status *status);
// Worker. Turn what the library says of received packets into our words, and take those out that
// lie; returns how many are left.
uint16_t vhost_describe(struct vhost_port *port, struct rte_mbuf **packets, uint16_t n);

// vhost_rings.c
uint16_t vhost_rx(struct vport *vport, uint16_t queue, struct rte_mbuf **packets, uint16_t n);
uint16_t vhost_tx(struct vport *vport, uint16_t queue, struct rte_mbuf **packets, uint16_t n);
int vhost_arm(struct vport *vport, uint16_t queue);
void vhost_disarm(struct vport *vport, uint16_t queue);

#endif
