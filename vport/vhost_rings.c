// The workers' side of a vhost-user port.
#include "vport/vhost.h"

#include "common/rcu.h"
#include "vport/vhost_backend.h"

static bool ring_enabled(struct vhost_port *port, unsigned int ring)
{
	return __atomic_load_n(&port->enabled, __ATOMIC_RELAXED) >> ring & 1;
}

static uint16_t stash_take(struct vhost_queue *queue, struct rte_mbuf **packets, uint16_t n)
{
	uint16_t taken = 0;

	while (queue->stash_first < queue->stash_end && taken < n)
		packets[taken++] = queue->stash[queue->stash_first++];
	return taken;
}

// Interrupts that this thread's call of the library has sent.
static __thread unsigned int n_interrupts;

void vhost_interrupted(int vid)
{
	(void)vid;
	n_interrupts++;
}

static void count_interrupts(uint64_t *counter)
{
	__atomic_fetch_add(counter, n_interrupts, __ATOMIC_RELAXED);
	n_interrupts = 0;
}

uint16_t vhost_rx(struct vport *vport, uint16_t queue, struct rte_mbuf **packets, uint16_t n)
{
	struct vhost_port *port = (struct vhost_port *)vport;
	uint16_t taken = stash_take(&port->queues[queue], packets, n);
	int vid = rcu_read(&port->vid);

	if (unlikely(port->delay_cycles))
		vhost_calls_poll(&port->queues[queue]);
	if (vid == VHOST_NO_DEVICE || !ring_enabled(port, vhost_rx_ring(queue)))
		return taken;
	n = port->backend->receive(vid, (uint16_t)vhost_rx_ring(queue), packet_pool(),
				   packets + taken, (uint16_t)(n - taken));
	if (unlikely(n_interrupts))
		count_interrupts(&port->queues[queue].rx_interrupts);
	return taken + vhost_describe(port, packets + taken, n);
}

uint16_t vhost_tx(struct vport *vport, uint16_t queue, struct rte_mbuf **packets, uint16_t n)
{
	struct vhost_port *port = (struct vhost_port *)vport;
	int vid = rcu_read(&port->vid);
	unsigned int n_queues;
	uint16_t sent, ring;

	if (vid == VHOST_NO_DEVICE)
		return 0;
	n_queues = vhost_leading_rings(__atomic_load_n(&port->enabled, __ATOMIC_RELAXED), true);
	if (!n_queues)
		return 0;
	// The library locks the ring: workers may share one.
	queue = (uint16_t)(queue % n_queues);
	ring = (uint16_t)vhost_tx_ring(queue);
	sent = port->backend->transmit(vid, ring, packets, n);
	if (unlikely(n_interrupts)) {
		if (port->delay_cycles && vhost_calls_defer(port, &port->queues[queue]))
			n_interrupts = 0;
		else
			count_interrupts(&port->queues[queue].tx_interrupts);
	}
	if (unlikely(sent < n))
		__atomic_store_n(&port->queues[queue].refused, true, __ATOMIC_RELAXED);
	rte_pktmbuf_free_bulk(packets, sent);
	return sent;
}

int vhost_arm(struct vport *vport, uint16_t queue)
{
	struct vhost_port *port = (struct vhost_port *)vport;
	struct vhost_queue *q = &port->queues[queue];
	uint16_t ring = (uint16_t)vhost_rx_ring(queue);
	int vid = rcu_read(&port->vid);

	if (port->delay_cycles)
		vhost_calls_sleep(q, true);
	// Without a guest there is nothing to ask; its coming signals the wakeup.
	if (vid == VHOST_NO_DEVICE || !ring_enabled(port, ring))
		return q->wakeup.epoll_fd;
	if (__atomic_load_n(&q->no_kick, __ATOMIC_RELAXED))
		return -1;
	port->backend->notify(vid, ring, true);
	// What the guest queued before it could see that will not be kicked for. Receiving is the
	// only way to look that the library guards by the ring's lock for every ring layout (its
	// rx_queue_count knows split rings only).
	if (q->stash_first == q->stash_end) {
		q->stash_first = 0;
		q->stash_end =
			port->backend->receive(vid, ring, packet_pool(), q->stash, VHOST_STASH);
		q->stash_end = vhost_describe(port, q->stash, q->stash_end);
	}
	if (q->stash_first < q->stash_end)
		wakeup_signal(&q->wakeup);
	return q->wakeup.epoll_fd;
}

void vhost_disarm(struct vport *vport, uint16_t queue)
{
	struct vhost_port *port = (struct vhost_port *)vport;
	uint16_t ring = (uint16_t)vhost_rx_ring(queue);
	int vid = rcu_read(&port->vid);

	if (port->delay_cycles)
		vhost_calls_sleep(&port->queues[queue], false);
	wakeup_clear(&port->queues[queue].wakeup);
	if (vid != VHOST_NO_DEVICE && ring_enabled(port, ring))
		port->backend->notify(vid, ring, false);
}
