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
#define VHOST_LONGEST_DELAY_US 1000
#define VHOST_NO_DEVICE (-1)
#define VHOST_PATH_SIZE sizeof(((struct sockaddr_un *)NULL)->sun_path)

// One receive queue: the guest's transmit ring 2 * queue + 1.
struct vhost_queue {
	struct wakeup wakeup;
	int kick_fd; // our duplicate of the guest's, -1 none; events thread
	bool no_kick; // the guest never kicks: the ring can only be polled
	bool refused; // the guest had no room for a packet since the last tick
	// Interrupts that wait (vhost_calls.c).
	bool call_taken; // the library writes to a descriptor of ours
	bool asleep; // nobody polls this queue
	uint64_t call_changed_ns; // when the guest named another one
	int call_fd; // the guest's own; -1 without a delay
	uint64_t call_due; // by the time stamp counter; 0: none waits
	// How often the guest was interrupted, for packets to it and for buffers that it sent from.
	uint64_t tx_interrupts;
	uint64_t rx_interrupts;
	// Main thread: where the guest was at the last tick, and since when it gives no buffers.
	unsigned int position;
	uint64_t stuck_since_ns;
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
	unsigned int delay_us; // options:interrupt-delay
	uint64_t delay_cycles; // how long interrupts wait; fixed while open
	unsigned int n_connections; // open vhost-user connections; under the events lock
	uint64_t disconnected_ns; // when the last one ended
	uint64_t connected_ns; // when the last one began
	uint64_t silent_since_ns; // a connection on which nothing was said yet; 0: none
	uint64_t features_ns; // when it told which features it wants
	uint64_t started_ns; // when the guest's driver started
	uint32_t seen; // VHOST_SEEN_*: messages of that connection
	int memory_private; // the guest's memory is not shared: -1 not known yet
	bool migrating; // the guest's memory is being copied elsewhere
	bool stopped; // connected, and takes nothing
	unsigned int offered; // queue pairs that a guest may have
	unsigned int announcing; // ticks for which a worker is woken to send one
	uint64_t announces; // RARP packets sent for guests that came from elsewhere
	const char *problem; // why it cannot work, or NULL
	char path[VHOST_PATH_SIZE]; // the guest's
	char private_path[VHOST_PATH_SIZE]; // the library's
	struct vhost_door *door;
	// Why guests were cut off: the text in use is not written to.
	uint64_t forgiven, explained; // of vhost_door_status.refused
	unsigned int explanation;
	char explanations[2][192];
	bool server;
	bool registered; // with the library; main thread
	uint64_t features; // that the guest accepted; published with vid
	// Which process that was, and which one talks to us now (vhost_offload.c); 0: not known.
	uint64_t promised;
	int promised_pid, peer_pid;
	bool insists; // the guest left because something that it has was switched off
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

// Bits of vhost_port.seen.
#define VHOST_SEEN_ANY 1u
#define VHOST_SEEN_FEATURES 2u // SET_FEATURES
#define VHOST_SEEN_MEMORY 4u // SET_MEM_TABLE

extern const struct vport_class vport_class_vhost_user;
extern const struct vport_class vport_class_vhost_user_server;

// vhost_events.c. Main thread: the library's callbacks find ports in this list by path.
struct rte_vhost_device_ops;
extern const struct rte_vhost_device_ops vhost_device_ops;
void vhost_list_add(struct vhost_port *port);
void vhost_list_remove(struct vhost_port *port);
struct vhost_port *vhost_list_find(const char *path); // the guest's
// After the socket was unregistered, which ends connections without saying so.
void vhost_connections_forget(struct vhost_port *port);
// The lock of connection state, any thread but workers. While it is held, a device that is served
// stays, and with it the guest's memory. The first takes it only if the device has a port.
struct vhost_port *vhost_port_lock(int vid);
void vhost_events_lock(void);
void vhost_port_unlock(void);

// vhost_messages.c. Events thread: look at the messages of a new connection.
void vhost_messages_watch(int vid);

// vhost_watch.c. Main thread, the latter two under the lock above.
struct rte_vhost_vring;
void vhost_watch(struct vhost_port *port);
bool vhost_is_packed(int vid);
// How many buffers the guest has given that we have not used; counting may end at `most`.
unsigned int vhost_ring_waiting(int vid, unsigned int ring, const struct rte_vhost_vring *vring,
				unsigned int most);

// vhost_packed.c. Events thread, before a device is served: go on where the rings say that we were.
void vhost_packed_recover(int vid);
// The index of the next descriptor of a packed ring, and our wrap counter in bit 15, as far as the
// ring shows it; else -1.
int vhost_packed_position(const struct rte_vhost_vring *vring);

// vhost_calls.c. Main thread: open, close, tick. Under the events lock: take over the descriptor by
// which a ring's guest is interrupted, forget those of a guest that goes. Workers: the rest.
int vhost_calls_open(struct vhost_port *port, unsigned int delay_us);
void vhost_calls_close(struct vhost_port *port);
void vhost_calls_tick(struct vhost_port *port);
void vhost_calls_take(struct vhost_port *port, int vid, unsigned int ring);
void vhost_calls_forget(struct vhost_port *port);
// The library wants to interrupt the guest: false if it really did, and it counts.
bool vhost_calls_defer(struct vhost_port *port, struct vhost_queue *queue);
void vhost_calls_poll(struct vhost_queue *queue);
void vhost_calls_sleep(struct vhost_queue *queue, bool asleep);

// vhost_guest.c. Main thread: interrupts and kicks.
void vhost_count_guest(struct vhost_port *port, struct vport_class_stats *stats);

// vhost_nudge.c. Main thread: make the library look at a socket that it has begun to listen on.
void vhost_nudge(const char *private_path);

// vhost_offload.c. Which virtio features to keep from guests that connect from now on (main thread),
// and what follows from those that the guest accepted (main, or events thread under its lock).
uint64_t vhost_hidden_features(const struct vhost_port *port);
void vhost_set_offloads(struct vport *vport);
// Features that were switched off and that the process at the other end was not promised before.
uint64_t vhost_missed_features(const struct vhost_port *port);
// From now on the library does not offer these. Not under the events lock, which the library's own
// locks come before.
void vhost_hide(const struct vhost_port *port, uint64_t hidden);
// Door's thread: who is at the other end of `socket`.
void vhost_note_peer(struct vport *vport, int socket);
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
void vhost_interrupted(int vid); // the library's callback, on the thread that sent the interrupt

#endif
