#include "datapath/output_offload.h"

#include "vport/gro.h"
#include "vport/gso.h"

// What is ready to be sent to the port.
struct ready {
	struct worker *worker;
	struct vport *vport;
	uint16_t n;
	struct rte_mbuf *packets[VECTOR_SIZE];
};

static void drop(const struct ready *ready, struct rte_mbuf *packet, enum drop_reason reason)
{
	worker_count_tx_drop(ready->worker, ready->vport, reason, packet_wire_count(packet));
	rte_pktmbuf_free(packet);
}

static uint16_t transmit(struct vport *vport, uint16_t queue, struct rte_mbuf **packets, uint16_t n)
{
	uint16_t sent;

	if (vport->class->tx_thread_safe)
		return vport->class->tx(vport, queue, packets, n);
	rte_spinlock_lock(&vport->tx_lock[queue].lock);
	sent = vport->class->tx(vport, queue, packets, n);
	rte_spinlock_unlock(&vport->tx_lock[queue].lock);
	return sent;
}

static void flush(struct ready *ready)
{
	struct vport *vport = ready->vport;
	struct port_counters *counters = &ready->worker->ports[vport->index];
	uint32_t count[VECTOR_SIZE] = { 0 }, bytes[VECTOR_SIZE] = { 0 };
	uint16_t sent;

	// A sent packet is not ours to look at any more.
	for (unsigned int i = 0; i < ready->n; i++) {
		count[i] = packet_wire_count(ready->packets[i]);
		bytes[i] = packet_wire_bytes(ready->packets[i]);
	}
	sent = transmit(vport, (uint16_t)(ready->worker->id % vport->n_txq), ready->packets,
			ready->n);
	for (unsigned int i = 0; i < sent; i++) {
		counters->tx_packets += count[i];
		counters->tx_bytes += bytes[i];
	}
	for (unsigned int i = sent; i < ready->n; i++)
		drop(ready, ready->packets[i],
		     !vport->status.link_up ? DROP_NO_PEER
		     : vport->mirror_output ? DROP_MIRROR_FULL
					    : DROP_TX_FULL);
	ready->n = 0;
}

static void add(struct ready *ready, struct rte_mbuf *packet)
{
	ready->packets[ready->n++] = packet;
	if (ready->n == VECTOR_SIZE)
		flush(ready);
}

static bool is_shared(struct rte_mbuf *packet)
{
	for (; packet; packet = packet->next)
		if (rte_mbuf_refcnt_read(packet) > 1)
			return true;
	return false;
}

// Another port may still be about to send the same bytes, and say that their checksum is not done.
static void complete(struct ready *ready, struct rte_mbuf *packet)
{
	if (is_shared(packet)) {
		struct rte_mbuf *copy = packet_copy(packet);

		if (!copy) {
			drop(ready, packet, DROP_NO_MEMORY);
			return;
		}
		rte_pktmbuf_free(packet);
		packet = copy;
	}
	offload_complete(packet);
	add(ready, packet);
}

static void segment(struct ready *ready, struct rte_mbuf *packet, uint32_t offloads)
{
	struct gso gso;

	gso_start(&gso, packet);
	while (gso_more(&gso)) {
		struct rte_mbuf *made = gso_next(&gso);

		if (!made) {
			worker_count_tx_drop(ready->worker, ready->vport, DROP_NO_MEMORY, 1);
			continue;
		}
		if (!offload_fits(made, offloads))
			offload_complete(made);
		add(ready, made);
	}
	rte_pktmbuf_free(packet);
}

void output_offloads(struct worker *worker, struct vport *vport, struct rte_mbuf **packets,
		     uint16_t n)
{
	struct ready ready = { .worker = worker, .vport = vport };
	const uint32_t offloads = vport_offloads(vport);

	if (offloads & OFFLOAD_GRO && n > 1)
		n = gro_join(packets, n, offloads, &worker->ports[vport->index].tx_joined);
	for (unsigned int i = 0; i < n; i++) {
		struct rte_mbuf *packet = packets[i];

		if (!(packet->ol_flags & PACKET_OFFLOADS) || offload_fits(packet, offloads))
			add(&ready, packet);
		else if (packet_is_large(packet))
			segment(&ready, packet, offloads);
		else
			complete(&ready, packet);
	}
	if (ready.n)
		flush(&ready);
}
