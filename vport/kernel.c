// An existing kernel interface (Interface.type "" or "system"), by an AF_PACKET socket bound to it
// (packet(7)), or with options:xdp=true by AF_XDP through DPDK's driver for it.
//
// The socket delivers partial checksums, GSO frames and stripped VLAN tags as the kernel keeps them
// inside: virtio_net_hdr and auxiliary data tell, and frame_fd.c makes plain frames of them.
#include "vport/ethdev.h"
#include "vport/frame_fd.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_byteorder.h>

#include "common/clock.h"
#include "common/error.h"

#define RECEIVE_BUFFER (4 << 20)

struct kernel_port {
	struct frame_fd frame;
	uint64_t next_look_ns; // for an interface that vanished
};

// What vport_open() allocates serves both kinds.
union kernel_any {
	struct kernel_port kernel;
	struct ethdev ethdev;
};

static const char *const kernel_options[] = { "xdp", "n_rxq", NULL };

// --- receive ---

// The kernel takes the outermost VLAN tag off the data: put it back.
static void vlan_restore(struct frame_slot *slot, struct msghdr *message)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		struct tpacket_auxdata aux;
		uint16_t tag[2];

		if (c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA ||
		    c->cmsg_len < CMSG_LEN(sizeof(aux)))
			continue;
		memcpy(&aux, CMSG_DATA(c), sizeof(aux));
		if (!(aux.tp_status & TP_STATUS_VLAN_VALID) || slot->length < 12)
			continue;
		tag[0] = rte_cpu_to_be_16(
			aux.tp_status & TP_STATUS_VLAN_TPID_VALID ? aux.tp_vlan_tpid : ETH_P_8021Q);
		tag[1] = rte_cpu_to_be_16(aux.tp_vlan_tci);
		memmove(slot->data - sizeof(tag), slot->data, 12);
		slot->data -= sizeof(tag);
		memcpy(slot->data + 12, tag, sizeof(tag));
		slot->length += sizeof(tag);
		slot->header.csum_start += sizeof(tag);
		return;
	}
}

static unsigned int packet_read(struct frame_fd *port)
{
	struct mmsghdr messages[FRAME_BATCH];
	struct iovec vectors[FRAME_BATCH][2];
	char control[FRAME_BATCH][CMSG_SPACE(sizeof(struct tpacket_auxdata))]
		__attribute__((aligned(8)));
	int n;

	for (unsigned int i = 0; i < FRAME_BATCH; i++) {
		struct frame_slot *slot = &port->slots[i];

		slot->data = port->buffers + (size_t)i * FRAME_SLOT_SIZE + FRAME_SLOT_HEAD;
		vectors[i][0] = (struct iovec){ &slot->header, sizeof(slot->header) };
		vectors[i][1] = (struct iovec){ slot->data, GSO_MAX_FRAME };
		messages[i].msg_hdr = (struct msghdr){
			.msg_iov = vectors[i],
			.msg_iovlen = 2,
			.msg_control = control[i],
			.msg_controllen = sizeof(control[i]),
		};
	}
	n = recvmmsg(port->fd, messages, FRAME_BATCH, MSG_DONTWAIT, NULL);
	if (n < 0) {
		if (errno == ENETDOWN) // told once: down or deleted; main looks which
			vport_mark_changed(&port->vport);
		else if (errno != EAGAIN && errno != EINTR)
			frame_count(&port->rx_errors, 1); // one frame that cannot be described
		return 0;
	}
	for (int i = 0; i < n; i++) {
		struct frame_slot *slot = &port->slots[i];

		slot->bad = messages[i].msg_len < sizeof(slot->header) ||
			    messages[i].msg_hdr.msg_flags & MSG_TRUNC;
		slot->length =
			slot->bad ? 0 : (uint32_t)(messages[i].msg_len - sizeof(slot->header));
		vlan_restore(slot, &messages[i].msg_hdr);
	}
	return (unsigned int)n;
}

// --- transmit ---

static bool packet_error(int error)
{
	return error == EMSGSIZE || error == EINVAL || error == EFAULT;
}

static uint16_t packet_write(struct frame_fd *port, struct rte_mbuf **packets, uint16_t n)
{
	struct iovec vectors[FRAME_BATCH][FRAME_MAX_SEGMENTS + 1];
	struct virtio_net_hdr headers[FRAME_BATCH];
	struct mmsghdr messages[FRAME_BATCH];
	uint16_t done = 0;

	for (uint16_t i = 0; i < n; i++) {
		memset(&messages[i], 0, sizeof(messages[i]));
		messages[i].msg_hdr.msg_iov = vectors[i];
		// With too many segments it is an empty message, which the kernel refuses.
		messages[i].msg_hdr.msg_iovlen = frame_vectors(packets[i], &headers[i], vectors[i]);
	}
	while (done < n) {
		int sent = sendmmsg(port->fd, messages + done, n - done, MSG_DONTWAIT);

		if (sent > 0) {
			done += (uint16_t)sent;
			continue;
		}
		if (!packet_error(errno))
			break;
		frame_count(&port->tx_errors, 1);
		done++;
	}
	return done;
}

static const struct frame_io packet_io = { .read = packet_read, .write = packet_write };

// --- opening ---

static int socket_option(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) ? -errno : 0;
}

// Bind to the interface and make it promiscuous.
static int socket_bind(int fd, int ifindex)
{
	struct packet_mreq membership = { .mr_ifindex = ifindex, .mr_type = PACKET_MR_PROMISC };
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET,
		.sll_protocol = rte_cpu_to_be_16(ETH_P_ALL),
		.sll_ifindex = ifindex,
	};

	if (bind(fd, (struct sockaddr *)&address, sizeof(address)))
		return -errno;
	return setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &membership, sizeof(membership))
		       ? -errno
		       : 0;
}

// Returns the descriptor or -errno.
static int socket_open(int ifindex)
{
	// Protocol 0: no frame of any other interface gets in before bind().
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int ret;

	if (fd < 0)
		return -errno;
	ret = socket_option(fd, SOL_PACKET, PACKET_VNET_HDR, 1);
	if (!ret)
		ret = socket_option(fd, SOL_PACKET, PACKET_AUXDATA, 1);
	if (!ret)
		ret = socket_option(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1);
	// Not past the queue discipline (PACKET_QDISC_BYPASS): that way the kernel drops what it would
	// have to cut for the device. A large receive buffer is worth having, not needed.
	socket_option(fd, SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER);
	if (!ret)
		ret = socket_bind(fd, ifindex);
	if (!ret)
		return fd;
	close(fd);
	return ret;
}

// DPDK 22.11 does not give back the packets in its fill queue (about 2,000) when such a port closes:
// opening and closing many times empties the pool.
static int xdp_open(struct vport *vport, const struct vport_config *config, struct error *error)
{
	char devargs[192];

	// From here on the port is an ethdev, whose functions are those of type dpdk.
	vport->class = &vport_class_dpdk;
	snprintf(devargs, sizeof(devargs), "net_af_xdp_%s,iface=%s", vport->name, vport->name);
	return ethdev_open(vport, devargs, config, error);
}

// Frames come as the kernel has them; what the user does not want so is done on the way in. It takes
// whatever it brings itself, but UDP to be cut only since Linux 6.2.
static void kernel_set_offloads(struct vport *vport)
{
	frame_fd_publish_offloads((struct frame_fd *)vport,
				  vport->offloads_wanted & ~(OFFLOAD_UFO | OFFLOAD_GRO),
				  vport->offloads_wanted & ~(OFFLOAD_UFO | OFFLOAD_USO));
}

static int kernel_open(struct vport *vport, const struct vport_config *config, struct error *error)
{
	struct frame_fd *port = (struct frame_fd *)vport;
	struct netif_state state;
	bool xdp = false;
	int fd;

	if (netif_check_name(vport->name, error) || vport_config_bool(config, "xdp", &xdp, error))
		return -EINVAL;
	port->ifindex = netif_index(vport->name);
	if (!port->ifindex || netif_get(port->ifindex, &state))
		return error_set(error, ENODEV, "interface '%s' does not exist", vport->name);
	if (config->mtu_request && netif_set_mtu(port->ifindex, config->mtu_request))
		return error_set(error, EINVAL, "interface '%s' cannot have MTU %u", vport->name,
				 config->mtu_request);
	if (!config->mtu_request)
		vport->mtu = RTE_MIN(state.mtu, (unsigned int)VPORT_MAX_MTU);
	if (xdp)
		return xdp_open(vport, config, error);
	if (vport_config_option(config, "n_rxq"))
		return error_set(error, EINVAL, "option 'n_rxq' needs xdp=true");
	fd = socket_open(port->ifindex);
	if (fd == -EPERM)
		return error_set(error, EPERM,
				 "cannot attach to interface '%s': not permitted; run as root or "
				 "with CAP_NET_RAW and CAP_NET_ADMIN",
				 vport->name);
	if (fd < 0)
		return error_set(error, -fd, "cannot attach to interface '%s': %s", vport->name,
				 strerror(-fd));
	kernel_set_offloads(vport);
	return frame_fd_open(port, &packet_io, fd, error);
}

// --- while open ---

static void kernel_get_status(struct vport *vport, struct vport_status *status)
{
	struct kernel_port *port = (struct kernel_port *)vport;
	struct netif_state state;

	status->offloads_rx = port->frame.offloads_rx;
	status->offloads_tx = vport_offloads(vport);
	if (netif_get(port->frame.ifindex, &state)) {
		status->link_up = false;
		status->ifindex = 0;
		status->problem = "the interface does not exist";
		return;
	}
	frame_fd_fill_status(&state, status);
	status->ifindex = port->frame.ifindex;
	status->problem = NULL;
	vport->mtu = state.mtu;
}

// An interface that was deleted and made again (a container that restarts) is taken up again.
static void kernel_tick(struct vport *vport)
{
	struct kernel_port *port = (struct kernel_port *)vport;
	uint64_t now = clock_monotonic_ns();
	int ifindex;

	if (!vport->status.problem || now < port->next_look_ns)
		return;
	port->next_look_ns = now + 100 * NS_PER_MS;
	ifindex = netif_index(vport->name);
	if (ifindex && !socket_bind(port->frame.fd, ifindex))
		port->frame.ifindex = ifindex;
}

static void kernel_get_stats(struct vport *vport, struct vport_class_stats *stats)
{
	struct frame_fd *port = (struct frame_fd *)vport;
	struct tpacket_stats counts;
	socklen_t size = sizeof(counts);

	// Reading clears them in the kernel.
	if (!getsockopt(port->fd, SOL_PACKET, PACKET_STATISTICS, &counts, &size))
		frame_count(&port->rx_missed, counts.tp_drops);
	frame_fd_get_stats(vport, stats);
}

const struct vport_class vport_class_kernel = {
	.type = "system",
	.options = kernel_options,
	.size = sizeof(union kernel_any),
	.open = kernel_open,
	.close = frame_fd_close,
	.rx = frame_fd_rx,
	.tx = frame_fd_tx,
	.tx_thread_safe = true,
	.arm = frame_fd_arm,
	.disarm = frame_fd_disarm,
	.get_status = kernel_get_status,
	.get_stats = kernel_get_stats,
	.set_mtu = frame_fd_set_mtu,
	.set_offloads = kernel_set_offloads,
	.set_admin = frame_fd_set_admin,
	.tick = kernel_tick,
};
