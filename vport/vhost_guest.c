// Everything that can be said of a vhost-user port's guest: see guest.h.
#include "vport/guest.h"
#include "vport/vhost.h"

#include "common/clock.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rte_vhost.h>

// --- Who it is ---

typedef int (*socket_name)(int fd, struct sockaddr *address, socklen_t *length);

static bool name_is(socket_name name, int fd, const char *path)
{
	struct sockaddr_un address = { 0 };
	socklen_t length = sizeof(address) - 1;

	return name(fd, (struct sockaddr *)&address, &length) == 0 &&
	       address.sun_family == AF_UNIX && !strcmp(address.sun_path, path);
}

// Is this descriptor our end of a connection with the port's guest?
static bool is_connection(const struct vhost_port *port, int fd)
{
	int listens = 0;
	socklen_t length = sizeof(listens);

	if (!port->server)
		return name_is(getpeername, fd, port->path);
	return name_is(getsockname, fd, port->path) &&
	       !getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length) && !listens;
}

static void read_command(struct vport_guest *guest)
{
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/comm", guest->pid);
	file = fopen(path, "re");
	if (!file)
		return;
	if (fgets(guest->command, sizeof(guest->command), file))
		guest->command[strcspn(guest->command, "\n")] = '\0';
	fclose(file);
}

// The library does not tell which descriptor it uses: look for it among our own.
static void read_peer(const struct vhost_port *port, struct vport_guest *guest)
{
	DIR *directory = opendir("/proc/self/fd");
	struct dirent *entry;

	while (directory && (entry = readdir(directory))) {
		struct ucred peer;
		socklen_t length = sizeof(peer);
		char *end;
		long fd = strtol(entry->d_name, &end, 10);

		if (end == entry->d_name || !is_connection(port, (int)fd) ||
		    getsockopt((int)fd, SOL_SOCKET, SO_PEERCRED, &peer, &length))
			continue;
		guest->pid = peer.pid;
		guest->uid = peer.uid;
		read_command(guest);
		break;
	}
	if (directory)
		closedir(directory);
}

// --- Rings ---

// How often a descriptor was written to: nobody reads a guest's kicks, so that they add up.
static uint64_t count_kicks(int fd)
{
	uint64_t kicks = VPORT_GUEST_UNKNOWN;
	char line[128];
	FILE *file;

	snprintf(line, sizeof(line), "/proc/self/fdinfo/%d", fd);
	file = fd >= 0 ? fopen(line, "re") : NULL;
	if (!file)
		return kicks;
	while (fgets(line, sizeof(line), file))
		if (!strncmp(line, "eventfd-count:", 14))
			kicks = strtoull(line + 14, NULL, 16);
	fclose(file);
	return kicks;
}

void vhost_count_guest(struct vhost_port *port, struct vport_class_stats *stats)
{
	stats->has_guest = true;
	vhost_events_lock();
	for (unsigned int i = 0; port->vid != VHOST_NO_DEVICE && i < port->vport.n_rxq; i++) {
		const struct vhost_queue *queue = &port->queues[i];
		const uint64_t kicks = count_kicks(queue->kick_fd);

		stats->guest_interrupts +=
			__atomic_load_n(&queue->tx_interrupts, __ATOMIC_RELAXED) +
			__atomic_load_n(&queue->rx_interrupts, __ATOMIC_RELAXED);
		stats->guest_kicks += kicks == VPORT_GUEST_UNKNOWN ? 0 : kicks;
	}
	vhost_port_unlock();
}

// Packed rings: the driver says always, never, or at one descriptor.
static bool packed_wants(const struct rte_vhost_vring *vring)
{
	return vring->driver_event->flags != VRING_PACKED_EVENT_FLAG_DISABLE;
}

// Would the guest get an interrupt if one more buffer were used now?
static bool wants_interrupt(const struct rte_vhost_vring *vring, uint64_t features)
{
	uint16_t used;

	if (!vring->avail || !vring->used || !vring->size)
		return false;
	if (features >> VIRTIO_F_RING_PACKED & 1)
		return packed_wants(vring);
	if (!(features >> VIRTIO_RING_F_EVENT_IDX & 1))
		return !(vring->avail->flags & VRING_AVAIL_F_NO_INTERRUPT);
	used = vring->used->idx;
	// The index that the guest waits for is behind its ring of available buffers.
	return vring_need_event(vring->avail->ring[vring->size], (uint16_t)(used + 1), used);
}

static void read_ring(const struct vhost_port *port, unsigned int number, uint64_t features,
		      struct vport_guest_ring *ring)
{
	const struct vhost_queue *queue = &port->queues[number / 2];
	const bool to_guest = !(number & 1);
	const uint64_t *interrupts = to_guest ? &queue->tx_interrupts : &queue->rx_interrupts;
	struct rte_vhost_vring vring;

	memset(&vring, 0, sizeof(vring));
	vring.kickfd = -1;
	rte_vhost_get_vhost_vring(port->vid, (uint16_t)number, &vring);
	*ring = (struct vport_guest_ring){
		.queue = number / 2,
		.to_guest = to_guest,
		.enabled = port->enabled >> number & 1,
		.size = vring.size,
		.waiting = vhost_ring_waiting(port->vid, number, &vring, UINT16_MAX),
		.interrupt_wanted = wants_interrupt(&vring, features),
		.interrupts = __atomic_load_n(interrupts, __ATOMIC_RELAXED),
		.kicks = count_kicks(vring.kickfd),
		.stuck_ns = to_guest && queue->stuck_since_ns
				    ? clock_monotonic_ns() - queue->stuck_since_ns
				    : 0,
	};
}

static void read_rings(const struct vhost_port *port, struct vport_guest *guest)
{
	unsigned int n = rte_vhost_get_vring_num(port->vid);

	guest->n_rings = RTE_MIN(n, (unsigned int)VPORT_GUEST_MAX_RINGS);
	for (unsigned int i = 0; i < guest->n_rings; i++)
		read_ring(port, i, guest->features, &guest->rings[i]);
}

// --- Memory ---

static void read_memory(const struct vhost_port *port, struct vport_guest *guest)
{
	struct rte_vhost_memory *memory = NULL;

	if (rte_vhost_get_mem_table(port->vid, &memory))
		return;
	for (uint32_t i = 0; i < memory->nregions && i < VPORT_GUEST_MAX_REGIONS; i++) {
		const struct rte_vhost_mem_region *region = &memory->regions[i];
		struct stat status;

		guest->regions[i] = (struct vport_guest_region){
			.guest_address = region->guest_phys_addr,
			.size = region->size,
			.page_size = fstat(region->fd, &status) ? 0 : (uint64_t)status.st_blksize,
		};
	}
	guest->n_regions = memory->nregions;
	free(memory);
}

static void read_device(const struct vhost_port *port, struct vport_guest *guest)
{
	uint16_t mtu;

	rte_vhost_get_negotiated_features(port->vid, &guest->features);
	rte_vhost_get_negotiated_protocol_features(port->vid, &guest->protocol_features);
	if (!rte_vhost_get_mtu(port->vid, &mtu))
		guest->mtu = mtu;
	guest->n_queues = vhost_leading_rings(port->enabled, false);
	read_rings(port, guest);
	read_memory(port, guest);
}

int vport_guest_read(struct vport *vport, struct vport_guest *guest)
{
	struct vhost_port *port = (struct vhost_port *)vport;

	memset(guest, 0, sizeof(*guest));
	if (vport->class != &vport_class_vhost_user &&
	    vport->class != &vport_class_vhost_user_server)
		return -ENOTSUP;
	vhost_watch(port);
	vhost_events_lock();
	guest->server = port->server;
	snprintf(guest->path, sizeof(guest->path), "%s", port->path);
	guest->connected = port->n_connections || port->silent_since_ns;
	guest->running = port->vid != VHOST_NO_DEVICE;
	guest->stopped = port->stopped;
	guest->migrating = port->migrating;
	guest->offered = port->offered;
	guest->announces = port->announces;
	if (guest->connected)
		guest->connected_ns =
			clock_monotonic_ns() -
			(port->n_connections ? port->connected_ns : port->silent_since_ns);
	if (guest->running)
		read_device(port, guest);
	vhost_port_unlock();
	if (guest->connected)
		read_peer(port, guest);
	return 0;
}
