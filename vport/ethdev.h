// Ports that are DPDK ethdevs: network cards by PCI address, and the virtual devices (net_pcap,
// net_null, net_ring, net_memif, net_af_xdp, ...), all by options:dpdk-devargs.
//
// The device is attached when the port is opened and removed when it is closed, unless the DPDK
// arguments of the daemon had created it. A device with fewer transmit queues than there are
// workers is shared under a lock per queue, which nobody else pays for.
//
// Only this folder includes it (kernel.c opens AF_XDP sockets by it). Threads as in vport.h.
#ifndef VPORT_ETHDEV_H
#define VPORT_ETHDEV_H

#include "vport/vport.h"

struct ethdev {
	struct vport vport;
	uint16_t port_id;
	uint16_t n_device_txq; // may be fewer than vport.n_txq
	bool attached; // by us: removed on close
	bool multi_segs; // can send packets of several segments
	uint64_t tx_errors;
	struct vport_lock tx_locks[VPORT_MAX_QUEUES]; // used when queues are shared
};

// vport->class must be one made of struct ethdev.
int ethdev_open(struct vport *vport, const char *devargs, const struct vport_config *config,
		struct error *error);

// The functions are those of type dpdk; what AF_XDP ports become.
extern const struct vport_class vport_class_dpdk;

#endif
