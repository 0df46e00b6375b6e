#include "vport/frame_fd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include <rte_cycles.h>

#include "common/error.h"

#define POLL_INTERVAL_US 20

int frame_fd_open(struct frame_fd *port, const struct frame_io *io, int fd, struct error *error)
{
	int ret = -ENOMEM;

	port->io = io;
	port->fd = fd;
	// Pages are touched as frames need them: mostly one per slot.
	port->buffers = malloc((size_t)FRAME_BATCH * FRAME_SLOT_SIZE);
	if (port->buffers)
		ret = wakeup_open(&port->wakeup);
	if (!ret) {
		ret = wakeup_add(&port->wakeup, fd, false);
		if (ret)
			wakeup_close(&port->wakeup);
	}
	if (ret) {
		free(port->buffers);
		close(fd);
		return error_set(error, -ret, "cannot prepare port '%s': %s", port->vport.name,
				 strerror(-ret));
	}
	for (unsigned int i = 0; i < FRAME_BATCH; i++)
		port->slots[i].data = port->buffers + (size_t)i * FRAME_SLOT_SIZE + FRAME_SLOT_HEAD;
	return 0;
}

void frame_fd_close(struct vport *vport)
{
	struct frame_fd *port = (struct frame_fd *)vport;

	wakeup_close(&port->wakeup);
	close(port->fd);
	rte_pktmbuf_free(port->large);
	free(port->buffers);
}

void frame_fd_mark_gone(struct frame_fd *port)
{
	if (__atomic_exchange_n(&port->gone, true, __ATOMIC_RELAXED))
		return;
	wakeup_remove(&port->wakeup, port->fd);
	vport_mark_changed(&port->vport);
}

// --- receive ---

// The slot as a packet with what is left to be done to it, or NULL: it is counted then.
static struct rte_mbuf *slot_packet(struct frame_fd *port, const struct frame_slot *slot)
{
	struct rte_mbuf *packet;

	if (slot->bad || !slot->length) {
		frame_count(&port->rx_errors, 1);
		return NULL;
	}
	packet = packet_from_bytes(slot->data, slot->length);
	if (!packet) {
		frame_count(&port->rx_missed, 1);
		return NULL;
	}
	if (likely(!slot->header.flags && !slot->header.gso_type) ||
	    !offload_from_virtio(packet, &slot->header))
		return packet;
	frame_count(&port->rx_errors, 1);
	rte_pktmbuf_free(packet);
	return NULL;
}

// The kernel brings what it promised not to, or what nobody can keep undone: do it here.
static struct rte_mbuf *finish_early(struct frame_fd *port, struct rte_mbuf *packet,
				     uint32_t offloads)
{
	if (packet_is_large(packet)) {
		port->large = packet;
		gso_start(&port->gso, packet);
		return NULL;
	}
	if (!offload_fits(packet, offloads))
		offload_complete(packet);
	return packet;
}

// Hand out what is left of the large packet, up to n segments.
static uint16_t large_emit(struct frame_fd *port, struct rte_mbuf **packets, uint16_t n)
{
	const uint32_t offloads = __atomic_load_n(&port->offloads_rx, __ATOMIC_RELAXED);
	uint16_t made = 0;

	while (made < n && gso_more(&port->gso)) {
		packets[made] = gso_next(&port->gso);
		if (!packets[made]) {
			frame_count(&port->rx_missed, 1);
			continue;
		}
		if (!offload_fits(packets[made], offloads))
			offload_complete(packets[made]);
		made++;
	}
	if (!gso_more(&port->gso)) {
		rte_pktmbuf_free(port->large);
		port->large = NULL;
	}
	return made;
}

// Hand out packets of the first slot, up to n.
static uint16_t slot_emit(struct frame_fd *port, struct rte_mbuf **packets, uint16_t n)
{
	const uint32_t offloads = __atomic_load_n(&port->offloads_rx, __ATOMIC_RELAXED);
	struct rte_mbuf *packet;

	if (port->large)
		return large_emit(port, packets, n);
	packet = slot_packet(port, &port->slots[port->first++]);
	if (packet && unlikely(packet->ol_flags & PACKET_OFFLOADS) &&
	    !offload_fits(packet, offloads))
		packet = finish_early(port, packet, offloads);
	if (!packet)
		return 0;
	packets[0] = packet;
	return 1;
}

// Read the next batch. Returns false when there is none, and then not to ask again soon.
static bool refill(struct frame_fd *port)
{
	uint64_t now = rte_rdtsc();

	if (now < port->next_poll_tsc || __atomic_load_n(&port->gone, __ATOMIC_RELAXED))
		return false;
	port->first = 0;
	port->end = port->io->read(port);
	if (port->end)
		return true;
	port->next_poll_tsc = now + rte_get_tsc_hz() / 1000000 * POLL_INTERVAL_US;
	return false;
}

uint16_t frame_fd_rx(struct vport *vport, uint16_t queue, struct rte_mbuf **packets, uint16_t n)
{
	struct frame_fd *port = (struct frame_fd *)vport;
	uint16_t made = 0;

	(void)queue;
	if (port->first == port->end && !port->large && !refill(port))
		return 0;
	// One batch per call: other ports wait.
	while (made < n && (port->first < port->end || port->large))
		made += slot_emit(port, packets + made, (uint16_t)(n - made));
	return made;
}

int frame_fd_arm(struct vport *vport, uint16_t queue)
{
	struct frame_fd *port = (struct frame_fd *)vport;

	(void)queue;
	if (port->first < port->end || port->large)
		wakeup_signal(&port->wakeup);
	return port->wakeup.epoll_fd;
}

void frame_fd_disarm(struct vport *vport, uint16_t queue)
{
	struct frame_fd *port = (struct frame_fd *)vport;

	(void)queue;
	wakeup_clear(&port->wakeup);
	port->next_poll_tsc = 0;
}

// --- transmit ---

unsigned int frame_vectors(struct rte_mbuf *packet, struct virtio_net_hdr *header,
			   struct iovec vectors[FRAME_MAX_SEGMENTS + 1])
{
	unsigned int n = 1;

	if (packet->nb_segs > FRAME_MAX_SEGMENTS)
		return 0;
	if (likely(!(packet->ol_flags & PACKET_OFFLOADS)))
		*header = (struct virtio_net_hdr){ .gso_type = VIRTIO_NET_HDR_GSO_NONE };
	else
		offload_to_virtio(packet, header);
	vectors[0] = (struct iovec){ header, sizeof(*header) };
	for (; packet; packet = packet->next)
		vectors[n++] = (struct iovec){ rte_pktmbuf_mtod(packet, void *), packet->data_len };
	return n;
}

uint16_t frame_fd_tx(struct vport *vport, uint16_t queue, struct rte_mbuf **packets, uint16_t n)
{
	struct frame_fd *port = (struct frame_fd *)vport;
	uint16_t sent = 0;

	(void)queue;
	while (sent < n && !__atomic_load_n(&port->gone, __ATOMIC_RELAXED)) {
		uint16_t batch = RTE_MIN((uint16_t)(n - sent), (uint16_t)FRAME_BATCH);
		uint16_t taken = port->io->write(port, packets + sent, batch);

		rte_pktmbuf_free_bulk(packets + sent, taken);
		sent += taken;
		if (taken < batch)
			break;
	}
	return sent;
}

// --- settings ---

void frame_fd_get_stats(struct vport *vport, struct vport_class_stats *stats)
{
	struct frame_fd *port = (struct frame_fd *)vport;

	stats->rx_errors = __atomic_load_n(&port->rx_errors, __ATOMIC_RELAXED);
	stats->rx_missed_errors = __atomic_load_n(&port->rx_missed, __ATOMIC_RELAXED);
	stats->tx_errors = __atomic_load_n(&port->tx_errors, __ATOMIC_RELAXED);
}

void frame_fd_publish_offloads(struct frame_fd *port, uint32_t rx, uint32_t tx)
{
	__atomic_store_n(&port->offloads_rx, rx, __ATOMIC_RELAXED);
	__atomic_store_n(&port->vport.offloads, tx, __ATOMIC_RELAXED);
}

void frame_fd_fill_status(const struct netif_state *state, struct vport_status *status)
{
	status->link_up = state->running;
	status->admin_up = state->up;
	status->link_speed = state->speed;
	status->full_duplex = state->full_duplex;
	status->mtu = state->mtu;
	memcpy(status->mac, state->mac, sizeof(status->mac));
}

// `command` sets it with ip-link(8), `instead` is what else would do.
static int setting_error(struct vport *vport, const char *what, const char *command,
			 const char *instead, int ret, struct error *error)
{
	const struct frame_fd *port = (const struct frame_fd *)vport;

	if (ret == -ENODEV && __atomic_load_n(&port->gone, __ATOMIC_RELAXED))
		return error_set(error, ENODEV,
				 "interface '%s' was deleted: delete the port, or add it anew",
				 vport->name);
	if (ret == -ENODEV)
		return error_set(error, ENODEV,
				 "interface '%s' is in another network namespace, where the switch "
				 "cannot set its %s: do that with ip -n NAMESPACE link set %s %s%s",
				 vport->name, what, vport->name, command, instead);
	return error_set(error, -ret, "cannot set the %s of interface '%s': %s", what, vport->name,
			 strerror(-ret));
}

int frame_fd_set_mtu(struct vport *vport, unsigned int mtu, struct error *error)
{
	int ret = netif_set_mtu(((struct frame_fd *)vport)->ifindex, mtu);

	if (ret)
		return setting_error(vport, "MTU", "mtu BYTES", "", ret, error);
	vport->mtu = mtu;
	return 0;
}

int frame_fd_set_admin(struct vport *vport, bool up, struct error *error)
{
	int ret = netif_set_up(((struct frame_fd *)vport)->ifindex, up);

	if (!ret)
		return 0;
	return setting_error(vport, "state", up ? "up" : "down",
			     up ? "" : ", or tell the port no-receive and no-forward", ret, error);
}
