// Interrupts that wait: options:interrupt-delay.
//
// The library interrupts a guest at the end of each burst, if the guest wants to hear of it, by
// writing to a descriptor. With a delay we put a descriptor of our own in that one's place, so that
// the library's write is only a mark, and write to the guest's when the time has come: one
// interrupt for all bursts until then. EVENT_IDX stays the library's: a guest that polls is not
// marked at all.
//
// Who writes: the worker that polls the same queue's other ring, as it looks at it all the time;
// before it sleeps, and while it does, the sender at once. What is left when queues go is seen to
// by the main thread's tick.
#include "vport/vhost.h"

#include "common/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_vhost.h>

#define SETTLED_NS (20 * NS_PER_MS)

// Nobody reads or waits for this one.
static int mark_fd = -1;

static int mark_descriptor(void)
{
	if (mark_fd < 0)
		mark_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return mark_fd;
}

int vhost_calls_open(struct vhost_port *port, unsigned int delay_us)
{
	port->delay_cycles = delay_us * (rte_get_tsc_hz() / 1000000);
	if (!delay_us)
		return 0;
	if (mark_descriptor() < 0)
		return -errno;
	// The numbers stay as long as the port: workers use them without a lock, and what they
	// mean is exchanged underneath.
	for (unsigned int i = 0; i < VPORT_MAX_QUEUES; i++) {
		port->queues[i].call_fd = fcntl(mark_fd, F_DUPFD_CLOEXEC, 0);
		if (port->queues[i].call_fd < 0)
			return -errno;
	}
	return 0;
}

void vhost_calls_close(struct vhost_port *port)
{
	for (unsigned int i = 0; i < VPORT_MAX_QUEUES; i++)
		if (port->queues[i].call_fd >= 0) {
			close(port->queues[i].call_fd);
			port->queues[i].call_fd = -1;
		}
}

void vhost_calls_take(struct vhost_port *port, int vid, unsigned int ring)
{
	struct vhost_queue *queue = &port->queues[ring / 2];
	struct rte_vhost_vring vring;

	if (ring & 1 || queue->call_fd < 0 || queue->call_taken ||
	    rte_vhost_get_vhost_vring(vid, (uint16_t)ring, &vring) || vring.callfd < 0)
		return;
	if (dup3(vring.callfd, queue->call_fd, O_CLOEXEC) >= 0 &&
	    dup3(mark_fd, vring.callfd, O_CLOEXEC) >= 0)
		queue->call_taken = true;
}

void vhost_calls_forget(struct vhost_port *port)
{
	for (unsigned int i = 0; i < VPORT_MAX_QUEUES; i++) {
		struct vhost_queue *queue = &port->queues[i];

		if (queue->call_taken)
			dup3(mark_fd, queue->call_fd, O_CLOEXEC);
		queue->call_taken = false;
	}
}

static void call(struct vhost_queue *queue)
{
	const uint64_t one = 1;

	if (!__atomic_exchange_n(&queue->call_due, 0, __ATOMIC_ACQ_REL))
		return;
	// A peer that gives a descriptor which cannot be written to goes without.
	if (write(queue->call_fd, &one, sizeof(one)) < 0)
		return;
	__atomic_fetch_add(&queue->tx_interrupts, 1, __ATOMIC_RELAXED);
}

bool vhost_calls_defer(struct vhost_port *port, struct vhost_queue *queue)
{
	if (!__atomic_load_n(&queue->call_taken, __ATOMIC_RELAXED))
		return false;
	if (!__atomic_load_n(&queue->call_due, __ATOMIC_RELAXED))
		__atomic_store_n(&queue->call_due, rte_rdtsc() + port->delay_cycles,
				 __ATOMIC_RELEASE);
	// Either we see that nobody polls, or who goes to sleep now sees the mark.
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (__atomic_load_n(&queue->asleep, __ATOMIC_RELAXED) ||
	    (unsigned int)(queue - port->queues) >=
		    __atomic_load_n(&port->vport.n_rxq, __ATOMIC_RELAXED))
		call(queue);
	return true;
}

void vhost_calls_poll(struct vhost_queue *queue)
{
	const uint64_t due = __atomic_load_n(&queue->call_due, __ATOMIC_RELAXED);

	if (due && rte_rdtsc() >= due)
		call(queue);
}

void vhost_calls_sleep(struct vhost_queue *queue, bool asleep)
{
	__atomic_store_n(&queue->asleep, asleep, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (asleep)
		call(queue);
}

void vhost_calls_tick(struct vhost_port *port)
{
	const uint64_t now_ns = clock_monotonic_ns();

	if (!port->delay_cycles)
		return;
	vhost_events_lock();
	for (unsigned int i = 0; i < VPORT_MAX_QUEUES; i++) {
		struct vhost_queue *queue = &port->queues[i];

		vhost_calls_poll(queue);
		// Not in the moment in which the library changes it.
		if (port->vid != VHOST_NO_DEVICE && now_ns - queue->call_changed_ns > SETTLED_NS)
			vhost_calls_take(port, port->vid, vhost_tx_ring(i));
	}
	vhost_port_unlock();
}
