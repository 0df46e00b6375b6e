#include "vport/frame_fd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_ip.h>

#include "common/error.h"

#define POLL_INTERVAL_US 20

int frame_fd_open(struct frame_fd *port, const struct frame_io *io, int fd, struct error *error)
{
	int ret = -ENOMEM;

	port->io = io;
	port->fd = fd;
	// Pages are touched as frames need them: mostly one per slot.
	port->buffers = malloc((size_t)(FRAME_BATCH + 1) * FRAME_SLOT_SIZE);
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

// Finish a checksum that the sender left to its card: the field holds the pseudo header's sum.
static int checksum_complete(struct frame_slot *slot)
{
	uint32_t start = slot->header.csum_start;
	uint32_t field = start + slot->header.csum_offset;
	uint16_t checksum;

	if (start > slot->length || field + sizeof(checksum) > slot->length)
		return -EINVAL;
	checksum = (uint16_t)~rte_raw_cksum(slot->data + start, slot->length - start);
	// Zero would mean "none" to UDP, and both forms of zero are equal to everybody else.
	if (!checksum)
		checksum = 0xffff;
	memcpy(slot->data + field, &checksum, sizeof(checksum));
	return 0;
}

// Hand out what is left of the first slot, up to n packets. The slot ends when all is out.
static uint16_t slot_emit(struct frame_fd *port, struct rte_mbuf **packets, uint16_t n)
{
	struct frame_slot *slot = &port->slots[port->first];
	uint16_t made = 0;

	if (!port->segmenting) {
		bool large = slot->header.gso_type != VIRTIO_NET_HDR_GSO_NONE;
		int ret = slot->bad ? -EINVAL : 0;

		if (!ret && large)
			ret = gso_start(&port->gso, slot->data, slot->length, &slot->header);
		else if (!ret && (slot->header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
			ret = checksum_complete(slot);
		if (ret) {
			frame_count(&port->rx_errors, 1);
			port->first++;
			return 0;
		}
		port->segmenting = large;
		if (!large) {
			packets[0] = packet_from_bytes(slot->data, slot->length);
			made = packets[0] != NULL;
			frame_count(&port->rx_missed, !made);
			port->first++;
			return made;
		}
	}
	while (made < n && gso_more(&port->gso)) {
		uint8_t *scratch = port->buffers + (size_t)FRAME_BATCH * FRAME_SLOT_SIZE;

		packets[made] = gso_next(&port->gso, scratch);
		if (packets[made])
			made++;
		else
			frame_count(&port->rx_missed, 1);
	}
	if (!gso_more(&port->gso)) {
		port->segmenting = false;
		port->first++;
	}
	return made;
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
	if (port->first == port->end && !refill(port))
		return 0;
	// One batch per call: other ports wait.
	while (made < n && port->first < port->end)
		made += slot_emit(port, packets + made, (uint16_t)(n - made));
	return made;
}

int frame_fd_arm(struct vport *vport, uint16_t queue)
{
	struct frame_fd *port = (struct frame_fd *)vport;

	(void)queue;
	if (port->first < port->end)
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

unsigned int frame_vectors(struct rte_mbuf *packet, struct iovec vectors[FRAME_MAX_SEGMENTS + 1])
{
	// No checksum to do, nothing to segment: everything was finished on the way in.
	static struct virtio_net_hdr zeros;
	unsigned int n = 1;

	if (packet->nb_segs > FRAME_MAX_SEGMENTS)
		return 0;
	vectors[0] = (struct iovec){ &zeros, sizeof(zeros) };
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
