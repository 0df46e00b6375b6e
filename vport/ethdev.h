// Ports that are DPDK ethdevs: network cards by PCI address, and the virtual devices (net_pcap,
// net_null, net_ring, net_memif, net_af_xdp, ...), all by options:dpdk-devargs.
//
// The device is attached when the port is opened and removed when it is closed, unless the DPDK
// arguments of the daemon had created it. A device with fewer transmit queues than there are
// workers is shared under a lock per queue, which nobody else pays for.
//
// What the device can do for packets is switched on when it is opened (ethdev_offload.c); the rest is
// done in software, and `tx_software` in status of Interface says what that is.
//
// Only this folder includes it (kernel.c opens AF_XDP sockets by it). Threads as in vport.h.
#ifndef VPORT_ETHDEV_H
#define VPORT_ETHDEV_H

#include "vport/vport.h"

struct ethdev {
	struct vport vport;
	uint16_t port_id;
	const char *driver; // DPDK's name of it
	uint16_t n_device_txq; // may be fewer than vport.n_txq
	bool attached; // by us: removed on close
	bool multi_segs; // can send packets of several segments
	bool describes; // received packets may say something of themselves
	bool ip_checksum; // of what the device cuts, it writes the IPv4 header's checksum
	uint32_t rx_offloads; // OFFLOAD_*: what received packets may have undone
	uint32_t tx_offloads; // what the device does; vport.offloads is what of it is wanted
	uint64_t rx_errors;
	uint64_t tx_errors;
	struct vport_lock tx_locks[VPORT_MAX_QUEUES]; // used when queues are shared
};

// ethdev_offload.c. Main thread: what to ask the device for, and what to use of it from now on.
struct rte_eth_dev_info;
struct rte_eth_conf;
void ethdev_choose_offloads(struct ethdev *ethdev, const struct rte_eth_dev_info *info,
			    struct rte_eth_conf *conf);
void ethdev_set_offloads(struct vport *vport);
// Worker. Turn what the device says of received packets into our words, and take those out that make
// no sense; returns how many are left.
uint16_t ethdev_describe(struct ethdev *ethdev, struct rte_mbuf **packets, uint16_t n);
// Worker. Make packets what the device takes; returns how many of the first are. The one behind them
// cannot be sent.
uint16_t ethdev_prepare(struct ethdev *ethdev, uint16_t queue, struct rte_mbuf **packets,
			uint16_t n);

// vport->class must be one made of struct ethdev.
int ethdev_open(struct vport *vport, const char *devargs, const struct vport_config *config,
		struct error *error);

// The functions are those of type dpdk; what AF_XDP ports become.
extern const struct vport_class vport_class_dpdk;

#endif
