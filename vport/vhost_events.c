// Guests come and go: the callbacks of DPDK's vhost library. They run on its events thread, and on
// the main thread while that registers or unregisters a socket.
#include "vport/vhost.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include <rte_vhost.h>

#include "common/clock.h"
#include "common/rcu.h"
#include "vport/vhost_backend.h"

// What is known of each connection. A socket that we listen on may have several while a guest
// restarts; the one that started last is served.
static struct vhost_device {
	struct vhost_port *port;
	uint32_t enabled;
} devices[RTE_MAX_VHOST_DEVICE];

static struct vhost_port *first;

// Guards the two above and the ports' connection state. Workers never take it, and nobody waits
// for workers while holding it.
static pthread_mutex_t events_lock = PTHREAD_MUTEX_INITIALIZER;

void vhost_list_add(struct vhost_port *port)
{
	pthread_mutex_lock(&events_lock);
	port->next = first;
	first = port;
	pthread_mutex_unlock(&events_lock);
}

void vhost_list_remove(struct vhost_port *port)
{
	pthread_mutex_lock(&events_lock);
	for (struct vhost_port **at = &first; *at; at = &(*at)->next)
		if (*at == port) {
			*at = port->next;
			break;
		}
	pthread_mutex_unlock(&events_lock);
}

struct vhost_port *vhost_list_find(const char *path)
{
	struct vhost_port *port = first;

	while (port && strcmp(port->path, path))
		port = port->next;
	return port;
}

static struct vhost_port *find_private(const char *path)
{
	struct vhost_port *port = first;

	while (port && strcmp(port->private_path, path))
		port = port->next;
	return port;
}

void vhost_connections_forget(struct vhost_port *port)
{
	pthread_mutex_lock(&events_lock);
	for (unsigned int vid = 0; vid < RTE_MAX_VHOST_DEVICE; vid++)
		if (devices[vid].port == port)
			devices[vid].port = NULL;
	port->n_connections = 0;
	pthread_mutex_unlock(&events_lock);
}

static struct vhost_port *port_of(int vid)
{
	return vid >= 0 && vid < RTE_MAX_VHOST_DEVICE ? devices[vid].port : NULL;
}

void vhost_events_lock(void)
{
	pthread_mutex_lock(&events_lock);
}

void vhost_port_unlock(void)
{
	pthread_mutex_unlock(&events_lock);
}

struct vhost_port *vhost_port_lock(int vid)
{
	struct vhost_port *port;

	vhost_events_lock();
	port = port_of(vid);
	if (!port)
		vhost_port_unlock();
	return port;
}

// Descriptors cost: a queue has its own from the first time that a guest enables it.
static bool queue_prepare(struct vhost_queue *queue)
{
	return queue->wakeup.epoll_fd >= 0 || !wakeup_open(&queue->wakeup);
}

static void kick_remove(struct vhost_queue *queue)
{
	if (queue->kick_fd >= 0) {
		wakeup_remove(&queue->wakeup, queue->kick_fd);
		close(queue->kick_fd);
		queue->kick_fd = -1;
	}
	__atomic_store_n(&queue->no_kick, false, __ATOMIC_RELAXED);
}

// Watch the descriptor by which the guest says that ring `ring` has packets. It is duplicated, so
// that we and not the library decide when it ends.
static void kick_update(struct vhost_port *port, int vid, unsigned int ring, bool enabled)
{
	struct vhost_queue *queue = &port->queues[ring / 2];
	struct rte_vhost_vring vring;

	kick_remove(queue);
	if (!enabled || rte_vhost_get_vhost_vring(vid, (uint16_t)ring, &vring))
		return;
	if (vring.kickfd >= 0 && queue_prepare(queue))
		queue->kick_fd = fcntl(vring.kickfd, F_DUPFD_CLOEXEC, 0);
	if (queue->kick_fd >= 0 && wakeup_add(&queue->wakeup, queue->kick_fd, true)) {
		close(queue->kick_fd);
		queue->kick_fd = -1;
	}
	// A guest that kicks by nothing we can wait for is polled.
	__atomic_store_n(&queue->no_kick, queue->kick_fd < 0, __ATOMIC_RELAXED);
	wakeup_signal(&queue->wakeup);
}

static int new_connection(int vid)
{
	char path[PATH_MAX];
	struct vhost_port *port;

	if (vid < 0 || vid >= RTE_MAX_VHOST_DEVICE || rte_vhost_get_ifname(vid, path, sizeof(path)))
		return -1;
	pthread_mutex_lock(&events_lock);
	port = find_private(path);
	devices[vid] = (struct vhost_device){ .port = port };
	if (port) {
		port->n_connections++;
		port->connected_ns = clock_monotonic_ns();
		port->seen = 0;
	}
	pthread_mutex_unlock(&events_lock);
	if (port)
		vhost_messages_watch(vid);
	return port ? 0 : -1;
}

static void destroy_connection(int vid)
{
	struct vhost_port *port;

	pthread_mutex_lock(&events_lock);
	port = port_of(vid);
	if (port) {
		port->n_connections--;
		port->disconnected_ns = clock_monotonic_ns();
		devices[vid].port = NULL;
		port->migrating = false;
		// QEMU itself ends the connection when it does not find what its guest has.
		if (port->seen == VHOST_SEEN_ANY && vhost_missed_features(port))
			port->insists = true;
		vport_mark_changed(&port->vport);
	}
	pthread_mutex_unlock(&events_lock);
}

// The guest's driver is ready: serve it.
static int new_device(int vid)
{
	uint64_t features = 0;
	struct vhost_port *port;

	vhost_packed_recover(vid);
	rte_vhost_get_negotiated_features(vid, &features);
	// Workers poll: kicks only when one says that it sleeps.
	for (unsigned int ring = 1; ring < rte_vhost_get_vring_num(vid); ring += 2)
		vhost_library.notify(vid, (uint16_t)ring, false);

	pthread_mutex_lock(&events_lock);
	port = port_of(vid);
	if (port) {
		uint32_t enabled = devices[vid].enabled;

		for (unsigned int queue = 0; queue < VPORT_MAX_QUEUES; queue++) {
			unsigned int ring = vhost_rx_ring(queue);

			kick_update(port, vid, ring, enabled >> ring & 1);
			vhost_calls_take(port, vid, vhost_tx_ring(queue));
		}
		__atomic_store_n(&port->enabled, enabled, __ATOMIC_RELAXED);
		for (unsigned int queue = 0; queue < VPORT_MAX_QUEUES; queue++) {
			port->queues[queue].tx_interrupts = 0;
			port->queues[queue].rx_interrupts = 0;
			port->queues[queue].stuck_since_ns = 0;
		}
		port->started_ns = clock_monotonic_ns();
		port->memory_private = -1;
		__atomic_store_n(&port->features, features, __ATOMIC_RELAXED);
		port->promised = features;
		port->promised_pid = __atomic_load_n(&port->peer_pid, __ATOMIC_RELAXED);
		port->insists = false;
		vhost_publish_offloads(port);
		rcu_publish(&port->vid, vid);
		for (unsigned int queue = 0; queue < VPORT_MAX_QUEUES; queue++)
			wakeup_signal(&port->queues[queue].wakeup);
		vport_mark_changed(&port->vport);
	}
	pthread_mutex_unlock(&events_lock);
	return port ? 0 : -1;
}

// The guest left, stopped its driver or reboots: its memory goes when this returns.
static void destroy_device(int vid)
{
	struct vhost_port *port;

	pthread_mutex_lock(&events_lock);
	port = port_of(vid);
	if (port && port->vid == vid) {
		rcu_publish(&port->vid, VHOST_NO_DEVICE);
		__atomic_store_n(&port->enabled, 0, __ATOMIC_RELAXED);
		__atomic_store_n(&port->features, 0, __ATOMIC_RELAXED);
		vhost_publish_offloads(port);
		for (unsigned int queue = 0; queue < VPORT_MAX_QUEUES; queue++)
			kick_remove(&port->queues[queue]);
		vhost_calls_forget(port);
		vport_mark_changed(&port->vport);
	}
	pthread_mutex_unlock(&events_lock);
	rcu_synchronize();
}

static int vring_state_changed(int vid, uint16_t ring, int enable)
{
	struct vhost_port *port;

	if (ring >= 2 * VPORT_MAX_QUEUES)
		return 0; // more queues than we serve
	pthread_mutex_lock(&events_lock);
	port = port_of(vid);
	if (port) {
		uint32_t *enabled = &devices[vid].enabled;

		*enabled = enable ? *enabled | 1u << ring : *enabled & ~(1u << ring);
		if (port->vid == vid) {
			__atomic_store_n(&port->enabled, *enabled, __ATOMIC_RELAXED);
			if (ring & 1)
				kick_update(port, vid, ring, enable);
			vport_mark_changed(&port->vport);
		}
	}
	pthread_mutex_unlock(&events_lock);
	return 0;
}

// Log everything that is written to the guest, or no longer: it begins or ends to be migrated. The
// library does so by itself.
static int features_changed(int vid, uint64_t features)
{
	struct vhost_port *port = vhost_port_lock(vid);

	if (port) {
		port->migrating = RTE_VHOST_NEED_LOG(features);
		vhost_port_unlock();
	}
	return 0;
}

const struct rte_vhost_device_ops vhost_device_ops = {
	.new_device = new_device,
	.destroy_device = destroy_device,
	.vring_state_changed = vring_state_changed,
	.new_connection = new_connection,
	.destroy_connection = destroy_connection,
	.features_changed = features_changed,
	.guest_notified = vhost_interrupted,
};
