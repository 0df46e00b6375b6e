#include "vport/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/error.h"

// UDP to be cut, over IPv4 and IPv6; older headers do not name them.
#define TUN_F_USO (0x20ul | 0x40ul)

static unsigned int tap_read(struct frame_fd *port)
{
	unsigned int n = 0;

	while (n < FRAME_BATCH) {
		struct frame_slot *slot = &port->slots[n];
		struct iovec vectors[2] = {
			{ &slot->header, sizeof(slot->header) },
			{ slot->data, GSO_MAX_FRAME },
		};
		ssize_t size = readv(port->fd, vectors, 2);

		if (size < (ssize_t)sizeof(slot->header)) {
			// EBADFD: the device was deleted. It would stay readable for ever.
			if (size < 0 && errno == EBADFD)
				frame_fd_mark_gone(port);
			break;
		}
		slot->length = (uint32_t)((size_t)size - sizeof(slot->header));
		slot->bad = false;
		n++;
	}
	return n;
}

// Is it about this packet alone? Everything else stops the batch: the caller drops the rest.
static bool packet_error(int error)
{
	return error == EINVAL || error == EMSGSIZE || error == EFAULT || error == E2BIG;
}

static uint16_t tap_write(struct frame_fd *port, struct rte_mbuf **packets, uint16_t n)
{
	for (uint16_t i = 0; i < n; i++) {
		struct iovec vectors[FRAME_MAX_SEGMENTS + 1];
		struct virtio_net_hdr header;
		unsigned int n_vectors = frame_vectors(packets[i], &header, vectors);

		if (n_vectors && writev(port->fd, vectors, (int)n_vectors) >= 0)
			continue;
		if (n_vectors && errno == EBADFD)
			frame_fd_mark_gone(port);
		if (n_vectors && !packet_error(errno))
			return i;
		frame_count(&port->tx_errors, 1);
	}
	return n;
}

static const struct frame_io tap_io = { .read = tap_read, .write = tap_write };

static int device_error(const char *name, int code, struct error *error)
{
	switch (code) {
	case EPERM:
		return error_set(error, code,
				 "cannot create interface '%s': not permitted; run as root or with "
				 "CAP_NET_ADMIN",
				 name);
	case EBUSY:
	case EINVAL:
		if (netif_index(name))
			return error_set(error, EEXIST,
					 "cannot create interface '%s': the kernel has one of that "
					 "name",
					 name);
		break;
	case ENOENT:
	case ENODEV:
		return error_set(error, code,
				 "cannot create interface '%s': /dev/net/tun is missing (load the "
				 "kernel module tun)",
				 name);
	default:
		break;
	}
	return error_set(error, code, "cannot create interface '%s': %s", name, strerror(code));
}

// Returns the descriptor or -errno with `error` filled.
static int device_create(const char *name, bool exclusive, struct error *error)
{
	struct ifreq request = { 0 };
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return device_error(name, errno, error);
	memcpy(request.ifr_name, name, strlen(name)); // netif_check_name() saw to the length
	request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	if (exclusive)
		request.ifr_flags |= IFF_TUN_EXCL;
	if (ioctl(fd, TUNSETIFF, &request)) {
		int code = errno;

		close(fd);
		return device_error(name, code, error);
	}
	return fd;
}

// What the kernel may leave undone on its way to us; the rest it does before we see a frame. Whatever
// it may leave it takes in the same state, and a kernel that does not know one of them does neither.
void tap_set_offloads(struct vport *vport)
{
	static const struct {
		uint32_t offload;
		unsigned long flags;
	} known[] = {
		{ OFFLOAD_CHECKSUM, TUN_F_CSUM }, { OFFLOAD_TSO4, TUN_F_TSO4 },
		{ OFFLOAD_TSO6, TUN_F_TSO6 },     { OFFLOAD_ECN, TUN_F_TSO_ECN },
		{ OFFLOAD_USO, TUN_F_USO },
	};
	struct frame_fd *port = (struct frame_fd *)vport;
	uint32_t offloads = vport->offloads_wanted & ~OFFLOAD_UFO;
	unsigned long flags = 0;

	for (unsigned int i = 0; i < RTE_DIM(known); i++)
		flags |= offloads & known[i].offload ? known[i].flags : 0;
	if (ioctl(port->fd, TUNSETOFFLOAD, flags)) {
		offloads &= ~OFFLOAD_USO; // before Linux 6.2
		if (ioctl(port->fd, TUNSETOFFLOAD, flags & ~TUN_F_USO))
			offloads = 0;
	}
	frame_fd_publish_offloads(port, offloads & ~OFFLOAD_GRO, offloads);
}

int tap_open_device(struct vport *vport, bool exclusive, struct error *error)
{
	struct frame_fd *port = (struct frame_fd *)vport;
	int fd, ret;

	if (netif_check_name(vport->name, error))
		return -EINVAL;
	fd = device_create(vport->name, exclusive, error);
	if (fd < 0)
		return fd;
	port->ifindex = netif_index(vport->name);
	if (frame_fd_open(port, &tap_io, fd, error))
		return -EIO;
	tap_set_offloads(vport);
	ret = netif_set_mtu(port->ifindex, vport->mtu);
	if (!ret)
		ret = netif_set_up(port->ifindex, true);
	if (ret) {
		frame_fd_close(vport);
		return error_set(error, -ret, "cannot bring up interface '%s' with MTU %u: %s",
				 vport->name, vport->mtu, strerror(-ret));
	}
	return 0;
}

void tap_get_status(struct vport *vport, struct vport_status *status)
{
	struct frame_fd *port = (struct frame_fd *)vport;
	struct netif_state state;
	struct ifreq request = { 0 };

	status->offloads_rx = port->offloads_rx;
	status->offloads_tx = vport_offloads(vport);
	// The descriptor knows whether there is a device, wherever it was moved.
	if (__atomic_load_n(&port->gone, __ATOMIC_RELAXED) ||
	    ioctl(port->fd, TUNGETIFF, &request)) {
		frame_fd_mark_gone(port);
		status->link_up = false;
		status->ifindex = 0;
		status->problem = "the interface was deleted";
		return;
	}
	status->ifindex = port->ifindex;
	// An index means something in one namespace only: the name must agree. Moved to another
	// namespace, the interface has its MAC to tell and the rest stays as last seen.
	if (netif_get(port->ifindex, &state) || strcmp(state.name, request.ifr_name)) {
		if (!ioctl(port->fd, SIOCGIFHWADDR, &request))
			memcpy(status->mac, request.ifr_hwaddr.sa_data, sizeof(status->mac));
		return;
	}
	frame_fd_fill_status(&state, status);
	vport->mtu = state.mtu;
}

static const char *const tap_options[] = { NULL };

static int tap_open(struct vport *vport, const struct vport_config *config, struct error *error)
{
	(void)config;
	return tap_open_device(vport, false, error);
}

const struct vport_class vport_class_tap = {
	.type = "tap",
	.options = tap_options,
	.size = sizeof(struct frame_fd),
	.open = tap_open,
	.close = frame_fd_close,
	.rx = frame_fd_rx,
	.tx = frame_fd_tx,
	.tx_thread_safe = true,
	.arm = frame_fd_arm,
	.disarm = frame_fd_disarm,
	.get_status = tap_get_status,
	.get_stats = frame_fd_get_stats,
	.set_mtu = frame_fd_set_mtu,
	.set_offloads = tap_set_offloads,
	.set_admin = frame_fd_set_admin,
};
