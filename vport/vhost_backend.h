// Who serves the rings of vhost-user ports: what our side of a vhost-user device has to do.
//
// There is one today, DPDK's vhost library (vhost_library.c). One of our own can take its place
// without touching the ports, the front door or the workers: it gets messages that were checked
// (vhost_session.h) on the connections that it accepts at the port's private path, and calls
// vhost_device_ops as guests come and go. `vid` names a guest's device as those calls named it.
//
// Attach and detach: main thread. The rest: workers, several at once; a ring that workers share is
// locked inside. None of them waits for a guest.
#ifndef VPORT_VHOST_BACKEND_H
#define VPORT_VHOST_BACKEND_H

#include <stdbool.h>
#include <stdint.h>

struct error;
struct rte_mbuf;
struct rte_mempool;
struct vhost_port;

struct vhost_backend {
	// Listen on port->private_path, and stop it: after that no guest's memory is touched.
	int (*attach)(struct vhost_port *port, struct error *error);
	void (*detach)(struct vhost_port *port);

	// Packets that a guest sent, in new mbufs of `pool`.
	uint16_t (*receive)(int vid, uint16_t ring, struct rte_mempool *pool,
			    struct rte_mbuf **packets, uint16_t n);
	// Copies packets to a guest, in order; those copied are still the caller's.
	uint16_t (*transmit)(int vid, uint16_t ring, struct rte_mbuf **packets, uint16_t n);
	// Shall the guest tell when it uses this ring?
	void (*notify)(int vid, uint16_t ring, bool wanted);
};

extern const struct vhost_backend vhost_library;

#endif
