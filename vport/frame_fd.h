// Ports on a descriptor of the kernel from which whole Ethernet frames are read, each behind a
// struct virtio_net_hdr: tap and internal ports (a tun device) and existing kernel interfaces (an
// AF_PACKET socket). The two differ in how a batch is read and written (struct frame_io); the
// rest is shared:
//
//   - frames are read into flat buffers and copied into packets once they are whole, a VLAN tag that
//     the kernel took off put back; what their header says of checksums and cutting goes with them
//     (offload.h), or is done at once where the user switched that off;
//   - a port that was found empty is not asked again for 20 microseconds, so that a busy worker
//     spends its time on packets and not on system calls;
//   - an interface that vanished leaves the port open with link down and never spins.
//
// Receive: one worker. Transmit: any number. The rest: main thread. Only this folder includes it.
#ifndef VPORT_FRAME_FD_H
#define VPORT_FRAME_FD_H

#include "vport/gso.h"
#include "vport/netif.h"
#include "vport/vport.h"
#include "vport/wakeup.h"

#include <linux/virtio_net.h>
#include <sys/uio.h>

#define FRAME_BATCH 32
#define FRAME_MAX_SEGMENTS 48 // GSO_MAX_FRAME bytes need about 33
#define FRAME_SLOT_SIZE (GSO_MAX_FRAME + 64)
// Space before a frame where a VLAN tag fits.
#define FRAME_SLOT_HEAD 16

// One received frame that was not handed out yet.
struct frame_slot {
	struct virtio_net_hdr header;
	uint8_t *data; // FRAME_SLOT_HEAD bytes before it are ours too
	uint32_t length;
	bool bad; // truncated by the kernel
};

struct frame_fd;

struct frame_io {
	// Fill up to FRAME_BATCH slots from port->slots[0] on; returns how many.
	unsigned int (*read)(struct frame_fd *port);
	// Send one batch; as tx of struct vport_class, but does not free the packets.
	uint16_t (*write)(struct frame_fd *port, struct rte_mbuf **packets, uint16_t n);
};

struct frame_fd {
	struct vport vport;
	const struct frame_io *io;
	int fd;
	int ifindex;
	bool gone; // the interface vanished: nothing to read, level-triggered errors unwatched
	struct wakeup wakeup;

	uint32_t offloads_rx; // OFFLOAD_*: what the kernel may leave undone; published

	// Receive state, of the worker that polls the port.
	uint64_t next_poll_tsc;
	unsigned int first, end; // slots not handed out
	struct rte_mbuf *large; // the first of them, being cut by `gso`; or NULL
	struct gso gso;
	uint8_t *buffers; // FRAME_BATCH slots
	struct frame_slot slots[FRAME_BATCH];

	// Any worker adds, main reads.
	uint64_t rx_errors;
	uint64_t rx_missed;
	uint64_t tx_errors;
};

static inline void frame_count(uint64_t *counter, uint64_t n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

// Takes `fd` in any case. port->ifindex is set.
int frame_fd_open(struct frame_fd *port, const struct frame_io *io, int fd, struct error *error);
void frame_fd_close(struct vport *vport);

// The functions of struct vport_class.
uint16_t frame_fd_rx(struct vport *vport, uint16_t queue, struct rte_mbuf **packets, uint16_t n);
uint16_t frame_fd_tx(struct vport *vport, uint16_t queue, struct rte_mbuf **packets, uint16_t n);
int frame_fd_arm(struct vport *vport, uint16_t queue);
void frame_fd_disarm(struct vport *vport, uint16_t queue);
void frame_fd_get_stats(struct vport *vport, struct vport_class_stats *stats);
int frame_fd_set_mtu(struct vport *vport, unsigned int mtu, struct error *error);
int frame_fd_set_admin(struct vport *vport, bool up, struct error *error);

// The interface is gone for good (worker or main).
void frame_fd_mark_gone(struct frame_fd *port);

// Vectors for one packet, behind its header, which is filled in. Returns how many, or 0 if it has too
// many segments.
unsigned int frame_vectors(struct rte_mbuf *packet, struct virtio_net_hdr *header,
			   struct iovec vectors[FRAME_MAX_SEGMENTS + 1]);

// Main thread. What the kernel may leave undone, and what may be left to it.
void frame_fd_publish_offloads(struct frame_fd *port, uint32_t rx, uint32_t tx);

// Copy of what netif_get() found into the port's status.
void frame_fd_fill_status(const struct netif_state *state, struct vport_status *status);

#endif
