// What devices do for packets: checksums, cutting, and packets of several buffers.
#include "vport/ethdev.h"

#include <string.h>

#include <rte_ethdev.h>

#include "common/log.h"
#include "common/text.h"

#define CUT (OFFLOAD_TSO4 | OFFLOAD_TSO6)
#define L4_CHECKSUMS(direction)                                                                    \
	(RTE_ETH_##direction##_OFFLOAD_TCP_CKSUM | RTE_ETH_##direction##_OFFLOAD_UDP_CKSUM)

// What is better left alone though it is offered, and what is safe though it is not said.
static const struct driver {
	const char *name;
	bool software; // does in software what we do as well (and cuts IPv4 only)
	bool large; // large packets that it receives say how they were cut
	bool ip_kept; // cutting needs nothing of the IPv4 header's checksum
} drivers[] = {
	{ .name = "net_tap", .software = true },
	{ .name = "net_virtio", .large = true, .ip_kept = true },
	{ .name = "net_virtio_user", .large = true, .ip_kept = true },
};

static const struct driver *driver_find(const char *name)
{
	static const struct driver other;

	for (unsigned int i = 0; name && i < RTE_DIM(drivers); i++)
		if (!strcmp(drivers[i].name, name))
			return &drivers[i];
	return &other;
}

static bool has(uint64_t capabilities, uint64_t needed)
{
	return (capabilities & needed) == needed;
}

static void choose_tx(struct ethdev *ethdev, const struct rte_eth_dev_info *info,
		      const struct driver *driver, struct rte_eth_conf *conf)
{
	const uint64_t can = info->tx_offload_capa;
	uint64_t *wanted = &conf->txmode.offloads;

	ethdev->multi_segs = can & RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	if (ethdev->multi_segs)
		*wanted |= RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	ethdev->tx_offloads = 0;
	if (driver->software || !has(can, L4_CHECKSUMS(TX)))
		return;
	*wanted |= L4_CHECKSUMS(TX);
	ethdev->tx_offloads = OFFLOAD_CHECKSUM;
	ethdev->ip_checksum = can & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM;
	if (ethdev->ip_checksum)
		*wanted |= RTE_ETH_TX_OFFLOAD_IPV4_CKSUM;
	// A large packet has several buffers.
	if (has(can, RTE_ETH_TX_OFFLOAD_TCP_TSO | RTE_ETH_TX_OFFLOAD_MULTI_SEGS) &&
	    (ethdev->ip_checksum || driver->ip_kept)) {
		*wanted |= RTE_ETH_TX_OFFLOAD_TCP_TSO;
		ethdev->tx_offloads |= CUT;
	}
}

static void choose_rx(struct ethdev *ethdev, const struct rte_eth_dev_info *info,
		      const struct driver *driver, struct rte_eth_conf *conf)
{
	const uint64_t can = info->rx_offload_capa;
	const uint32_t user = ethdev->vport.offloads_wanted;
	uint64_t *wanted = &conf->rxmode.offloads;

	// Our buffers have room for ordinary frames, and the MTU may grow later.
	*wanted |= can & RTE_ETH_RX_OFFLOAD_SCATTER;
	ethdev->rx_offloads = 0;
	if (driver->software || !has(can, L4_CHECKSUMS(RX)) || !(user & OFFLOAD_CHECKSUM))
		return;
	*wanted |= L4_CHECKSUMS(RX);
	ethdev->describes = true;
	ethdev->rx_offloads = OFFLOAD_CHECKSUM;
	if (driver->large && can & RTE_ETH_RX_OFFLOAD_TCP_LRO && (user & CUT) == CUT) {
		*wanted |= RTE_ETH_RX_OFFLOAD_TCP_LRO;
		conf->rxmode.max_lro_pkt_size = info->max_lro_pkt_size;
		ethdev->rx_offloads |= CUT;
	}
}

void ethdev_choose_offloads(struct ethdev *ethdev, const struct rte_eth_dev_info *info,
			    struct rte_eth_conf *conf)
{
	const struct driver *driver = driver_find(info->driver_name);
	struct text rx = { 0 }, tx = { 0 };

	ethdev->driver = info->driver_name;
	choose_tx(ethdev, info, driver, conf);
	choose_rx(ethdev, info, driver, conf);
	ethdev_set_offloads(&ethdev->vport);
	offload_format(ethdev->rx_offloads, &rx);
	offload_format(ethdev->tx_offloads, &tx);
	log_info("port '%s': driver %s receives with offloads: %s; sends with: %s, and the rest is "
		 "done in software%s",
		 ethdev->vport.name, info->driver_name ? info->driver_name : "unknown",
		 rx.data ? rx.data : "none", tx.data ? tx.data : "none",
		 driver->software ? ", as its own offloads are software, too" : "");
	text_free(&rx);
	text_free(&tx);
}

void ethdev_set_offloads(struct vport *vport)
{
	const struct ethdev *ethdev = (struct ethdev *)vport;

	__atomic_store_n(&vport->offloads,
			 offload_sensible(ethdev->tx_offloads & vport->offloads_wanted),
			 __ATOMIC_RELAXED);
}

// --- Receive ---

uint16_t ethdev_describe(struct ethdev *ethdev, struct rte_mbuf **packets, uint16_t n)
{
	uint16_t good = 0;

	for (uint16_t i = 0; i < n; i++) {
		struct rte_mbuf *packet = packets[i];
		const uint64_t checksum = packet->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;

		// NONE: right, but not written. One that is known to be wrong is left as it is.
		if (unlikely(packet->ol_flags & RTE_MBUF_F_RX_LRO ||
			     checksum == RTE_MBUF_F_RX_L4_CKSUM_NONE) &&
		    offload_from_vhost(packet)) {
			__atomic_fetch_add(&ethdev->rx_errors, 1, __ATOMIC_RELAXED);
			rte_pktmbuf_free(packet);
			continue;
		}
		packets[good++] = packet;
	}
	return good;
}

// --- Transmit ---

// The driver writes into the headers, and what it was given is still on its way when others read
// them: such a packet must be ours alone. NULL: no buffers.
static struct rte_mbuf *own(struct rte_mbuf *packet)
{
	struct rte_mbuf *copy;

	if (rte_mbuf_refcnt_read(packet) == 1 && RTE_MBUF_DIRECT(packet))
		return packet;
	copy = packet_copy(packet);
	if (copy)
		rte_pktmbuf_free(packet);
	return copy;
}

static bool make_ready(struct ethdev *ethdev, struct rte_mbuf **packet)
{
	struct rte_mbuf *ready;

	if ((*packet)->nb_segs > 1 && !ethdev->multi_segs)
		return !rte_pktmbuf_linearize(*packet);
	if (likely(!((*packet)->ol_flags & PACKET_OFFLOADS)))
		return true;
	ready = own(*packet);
	if (!ready)
		return false;
	*packet = ready;
	if (packet_is_large(ready) && ready->ol_flags & RTE_MBUF_F_TX_IPV4 && ethdev->ip_checksum)
		ready->ol_flags |= RTE_MBUF_F_TX_IP_CKSUM;
	return true;
}

uint16_t ethdev_prepare(struct ethdev *ethdev, uint16_t queue, struct rte_mbuf **packets,
			uint16_t n)
{
	uint64_t flags = 0;
	uint16_t ready = 0;

	while (ready < n && make_ready(ethdev, &packets[ready]))
		flags |= packets[ready++]->ol_flags;
	return likely(!(flags & PACKET_OFFLOADS))
		       ? ready
		       : rte_eth_tx_prepare(ethdev->port_id, queue, packets, ready);
}
