#include "vport/ethdev.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include <rte_dev.h>
#include <rte_ethdev.h>

#include "common/error.h"

#define DEFAULT_DESCRIPTORS 1024

static const char *const ethdev_options[] = { "dpdk-devargs", "n_rxq", "n_rxq_desc", "n_txq_desc",
					      NULL };

// Which of our ports has the device; main thread.
static struct ethdev *owners[RTE_MAX_ETHPORTS];

// The device's name: devargs up to the comma, PCI addresses with their domain.
static int device_name(const char *devargs, char *name, size_t size, struct error *error)
{
	size_t length = strcspn(devargs, ",");
	bool short_pci = length == 7 && devargs[2] == ':' && devargs[5] == '.';

	if (!length || length + 6 > size)
		return error_set(error, EINVAL, "'%s' names no DPDK device", devargs);
	snprintf(name, size, "%s%.*s", short_pci ? "0000:" : "", (int)length, devargs);
	return 0;
}

static int attach(struct ethdev *ethdev, const char *devargs, const char *name, struct error *error)
{
	struct rte_devargs parsed;
	int ret;

	// Look before probing: a name that no bus knows deserves a better answer than ENODEV.
	memset(&parsed, 0, sizeof(parsed));
	ret = rte_devargs_parse(&parsed, devargs);
	rte_devargs_reset(&parsed);
	if (ret)
		return error_set(error, ENODEV,
				 "no DPDK driver or bus knows the device '%s'; give a PCI address "
				 "such as 0000:01:00.0 or a virtual device such as "
				 "net_pcap0,rx_pcap=FILE",
				 devargs);
	ret = rte_dev_probe(devargs);
	if (ret)
		return error_set(error, -ret > 1 ? -ret : ENODEV,
				 "cannot attach DPDK device '%s': %s; the daemon's log has the "
				 "driver's reason",
				 devargs, -ret > 1 ? strerror(-ret) : "its driver refused it");
	ethdev->attached = true;
	if (rte_eth_dev_get_port_by_name(name, &ethdev->port_id))
		return error_set(error, ENODEV, "device '%s' is not a network device", name);
	return 0;
}

static int find_or_attach(struct ethdev *ethdev, const char *devargs, struct error *error)
{
	char name[RTE_ETH_NAME_MAX_LEN + 8];

	if (device_name(devargs, name, sizeof(name), error))
		return -EINVAL;
	if (rte_eth_dev_get_port_by_name(name, &ethdev->port_id))
		return attach(ethdev, devargs, name, error);
	if (owners[ethdev->port_id])
		return error_set(error, EBUSY, "DPDK device '%s' is used by port '%s'", name,
				 owners[ethdev->port_id]->vport.name);
	return 0;
}

static void detach(struct ethdev *ethdev)
{
	struct rte_eth_dev_info info;

	if (!ethdev->attached)
		return;
	if (rte_eth_dev_info_get(ethdev->port_id, &info))
		info.device = NULL;
	rte_eth_dev_close(ethdev->port_id);
	if (info.device)
		rte_dev_remove(info.device);
}

struct queues {
	unsigned int n_rxq;
	uint16_t n_rxq_desc;
	uint16_t n_txq_desc;
};

static int queues_read(const struct vport_config *config, struct queues *queues,
		       struct error *error)
{
	unsigned int n_rxq = config->n_rxq ? config->n_rxq : 1;
	unsigned int rx = DEFAULT_DESCRIPTORS, tx = DEFAULT_DESCRIPTORS;

	if (vport_config_number(config, "n_rxq", 1, VPORT_MAX_QUEUES, &n_rxq, error) ||
	    vport_config_number(config, "n_rxq_desc", 1, 32768, &rx, error) ||
	    vport_config_number(config, "n_txq_desc", 1, 32768, &tx, error))
		return -EINVAL;
	*queues = (struct queues){ n_rxq, (uint16_t)rx, (uint16_t)tx };
	return 0;
}

static void configure_rss(const struct ethdev *ethdev, const struct rte_eth_dev_info *info,
			  struct rte_eth_conf *conf)
{
	const uint64_t rss =
		(RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP) & info->flow_type_rss_offloads;

	if (ethdev->vport.n_rxq > 1 && rss) {
		conf->rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		conf->rx_adv_conf.rss_conf.rss_hf = rss;
	}
}

static int configure(struct ethdev *ethdev, struct queues *queues, struct error *error)
{
	struct rte_eth_conf conf = { 0 };
	struct rte_eth_dev_info info;
	struct vport *vport = &ethdev->vport;
	uint16_t id = ethdev->port_id;
	int ret = rte_eth_dev_info_get(id, &info);

	if (ret)
		return error_set(error, -ret, "the device tells nothing about itself: %s",
				 strerror(-ret));
	if (info.max_mtu && vport->mtu > info.max_mtu)
		return error_set(error, ERANGE, "MTU %u is out of the device's range: %u to %u",
				 vport->mtu, info.min_mtu, info.max_mtu);
	vport->n_rxq = (uint16_t)RTE_MIN(queues->n_rxq, info.max_rx_queues);
	vport->n_txq = (uint16_t)vport_n_workers();
	ethdev->n_device_txq =
		RTE_MIN(RTE_MIN(vport->n_txq, info.max_tx_queues), (uint16_t)VPORT_MAX_QUEUES);
	if (!vport->n_rxq)
		vport->polled = false;
	conf.rxmode.mtu = vport->mtu;
	ethdev_choose_offloads(ethdev, &info, &conf);
	configure_rss(ethdev, &info, &conf);
	ret = rte_eth_dev_configure(id, vport->n_rxq, ethdev->n_device_txq, &conf);
	if (!ret)
		ret = rte_eth_dev_adjust_nb_rx_tx_desc(id, &queues->n_rxq_desc,
						       &queues->n_txq_desc);
	for (uint16_t q = 0; !ret && q < vport->n_rxq; q++)
		ret = rte_eth_rx_queue_setup(id, q, queues->n_rxq_desc, SOCKET_ID_ANY, NULL,
					     packet_pool());
	for (uint16_t q = 0; !ret && q < ethdev->n_device_txq; q++)
		ret = rte_eth_tx_queue_setup(id, q, queues->n_txq_desc, SOCKET_ID_ANY, NULL);
	if (ret)
		return error_set(error, -ret, "cannot configure the device: %s", strerror(-ret));
	return 0;
}

static int start(struct ethdev *ethdev, struct error *error)
{
	int ret = rte_eth_dev_start(ethdev->port_id);

	if (ret)
		return error_set(error, -ret, "cannot start the device: %s", strerror(-ret));
	// A switch receives everything; some virtual devices have no such mode and do so anyway.
	ret = rte_eth_promiscuous_enable(ethdev->port_id);
	if (ret && ret != -ENOTSUP) {
		rte_eth_dev_stop(ethdev->port_id);
		return error_set(error, -ret, "cannot make the device promiscuous: %s",
				 strerror(-ret));
	}
	rte_eth_stats_reset(ethdev->port_id);
	return 0;
}

int ethdev_open(struct vport *vport, const char *devargs, const struct vport_config *config,
		struct error *error)
{
	struct ethdev *ethdev = (struct ethdev *)vport;
	struct queues queues;

	if (queues_read(config, &queues, error))
		return -EINVAL;
	if (find_or_attach(ethdev, devargs, error))
		return -ENODEV;
	if (configure(ethdev, &queues, error) || start(ethdev, error)) {
		error_prefix(error, "DPDK device '%s'", devargs);
		detach(ethdev);
		return -EIO;
	}
	owners[ethdev->port_id] = ethdev;
	return 0;
}

static int dpdk_open(struct vport *vport, const struct vport_config *config, struct error *error)
{
	const char *devargs = vport_config_option(config, "dpdk-devargs");

	if (!devargs || !*devargs)
		return error_set(error, EINVAL,
				 "port '%s' needs options:dpdk-devargs=DEVICE, such as "
				 "0000:01:00.0 or net_pcap0,rx_pcap=FILE",
				 vport->name);
	return ethdev_open(vport, devargs, config, error);
}

static void ethdev_close(struct vport *vport)
{
	struct ethdev *ethdev = (struct ethdev *)vport;

	rte_eth_dev_stop(ethdev->port_id);
	owners[ethdev->port_id] = NULL;
	detach(ethdev);
}

static uint16_t ethdev_rx(struct vport *vport, uint16_t queue, struct rte_mbuf **packets,
			  uint16_t n)
{
	struct ethdev *ethdev = (struct ethdev *)vport;

	n = rte_eth_rx_burst(ethdev->port_id, queue, packets, n);
	return ethdev->describes && n ? ethdev_describe(ethdev, packets, n) : n;
}

static uint16_t burst(struct ethdev *ethdev, uint16_t queue, struct rte_mbuf **packets, uint16_t n)
{
	uint16_t sent;

	if (ethdev->n_device_txq == ethdev->vport.n_txq)
		return rte_eth_tx_burst(ethdev->port_id, queue, packets, n);
	rte_spinlock_lock(&ethdev->tx_locks[queue].lock);
	sent = rte_eth_tx_burst(ethdev->port_id, queue, packets, n);
	rte_spinlock_unlock(&ethdev->tx_locks[queue].lock);
	return sent;
}

static uint16_t ethdev_tx(struct vport *vport, uint16_t queue, struct rte_mbuf **packets,
			  uint16_t n)
{
	struct ethdev *ethdev = (struct ethdev *)vport;
	uint16_t done = 0;

	if (!ethdev->n_device_txq)
		return 0;
	queue %= ethdev->n_device_txq;
	while (done < n) {
		const uint16_t ready =
			ethdev_prepare(ethdev, queue, packets + done, (uint16_t)(n - done));
		const uint16_t sent = ready ? burst(ethdev, queue, packets + done, ready) : 0;

		done += sent;
		if (sent < ready || done == n)
			return done;
		// What no device can be given costs itself, not those behind it.
		__atomic_fetch_add(&ethdev->tx_errors, 1, __ATOMIC_RELAXED);
		rte_pktmbuf_free(packets[done++]);
	}
	return done;
}

static void ethdev_get_status(struct vport *vport, struct vport_status *status)
{
	uint16_t id = ((struct ethdev *)vport)->port_id;
	struct rte_ether_addr mac;
	struct rte_eth_link link;

	if (!rte_eth_link_get_nowait(id, &link)) {
		status->link_up = link.link_status == RTE_ETH_LINK_UP;
		status->full_duplex = link.link_duplex == RTE_ETH_LINK_FULL_DUPLEX;
		status->link_speed = link.link_speed == RTE_ETH_SPEED_NUM_UNKNOWN
					     ? 0
					     : link.link_speed * 1000000ULL;
	}
	if (!rte_eth_macaddr_get(id, &mac))
		memcpy(status->mac, mac.addr_bytes, sizeof(status->mac));
	status->mtu = vport->mtu;
	status->driver = ((struct ethdev *)vport)->driver;
	status->offloads_rx = ((struct ethdev *)vport)->rx_offloads;
	status->offloads_tx = vport_offloads(vport);
}

static void ethdev_get_stats(struct vport *vport, struct vport_class_stats *stats)
{
	struct ethdev *ethdev = (struct ethdev *)vport;
	struct rte_eth_stats counts;

	if (rte_eth_stats_get(ethdev->port_id, &counts))
		return;
	stats->rx_errors = counts.ierrors + counts.rx_nombuf +
			   __atomic_load_n(&ethdev->rx_errors, __ATOMIC_RELAXED);
	stats->rx_missed_errors = counts.imissed;
	stats->tx_errors = counts.oerrors + __atomic_load_n(&ethdev->tx_errors, __ATOMIC_RELAXED);
}

static int ethdev_set_mtu(struct vport *vport, unsigned int mtu, struct error *error)
{
	struct ethdev *ethdev = (struct ethdev *)vport;
	int ret = rte_eth_dev_set_mtu(ethdev->port_id, (uint16_t)mtu);

	// Virtual devices without a setting of their own take any frame.
	if (ret && ret != -ENOTSUP)
		return error_set(error, -ret, "port '%s' cannot have MTU %u: %s", vport->name, mtu,
				 strerror(-ret));
	vport->mtu = mtu;
	return 0;
}

static int ethdev_set_admin(struct vport *vport, bool up, struct error *error)
{
	uint16_t id = ((struct ethdev *)vport)->port_id;
	int ret = up ? rte_eth_dev_set_link_up(id) : rte_eth_dev_set_link_down(id);

	if (ret)
		return error_set(error, -ret, "port '%s' cannot be set %s: %s", vport->name,
				 up ? "up" : "down", strerror(-ret));
	vport->status.admin_up = up;
	return 0;
}

const struct vport_class vport_class_dpdk = {
	.type = "dpdk",
	.options = ethdev_options,
	.size = sizeof(struct ethdev),
	.open = dpdk_open,
	.close = ethdev_close,
	.rx = ethdev_rx,
	.tx = ethdev_tx,
	.get_status = ethdev_get_status,
	.get_stats = ethdev_get_stats,
	.set_mtu = ethdev_set_mtu,
	.set_offloads = ethdev_set_offloads,
	.set_admin = ethdev_set_admin,
};
