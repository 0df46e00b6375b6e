#include "datapath/forward.h"

#include "common/rcu.h"
#include "datapath/mirror.h"
#include "datapath/output_offload.h"
#include "datapath/qos.h"
#include "datapath/write_back.h"
#include "vport/gso.h"

// One more instance of the packet is sent or dropped: all but the first came to be by copying.
static void count_instance(struct forward *forward, unsigned int packet)
{
	const uint64_t bit = 1ULL << packet;

	if (forward->vector->delivered & bit && !forward->trace)
		forward->worker->n_copies += packet_wire_count(forward->vector->packets[packet]);
	forward->vector->delivered |= bit;
}

static void count_drop(struct forward *forward, unsigned int packet, enum drop_reason reason)
{
	worker_count_rx_drop(forward->worker, forward->in_port->vport, reason,
			     packet_wire_count(forward->vector->packets[packet]));
	if (unlikely(forward->trace))
		forward->trace->drop(forward->trace->context, forward->in_port, reason);
}

void output_drop(struct forward *forward, unsigned int packet, enum drop_reason reason)
{
	count_instance(forward, packet);
	count_drop(forward, packet, reason);
}

// Why a port took fewer packets than it was given.
static enum drop_reason refusal(const struct vport *vport)
{
	if (vport->status.stopped)
		return DROP_GUEST_STOPPED;
	if (!vport->status.link_up)
		return DROP_NO_PEER;
	return vport->mirror_output ? DROP_MIRROR_FULL : DROP_TX_FULL;
}

void output_transmit(struct worker *worker, struct vport *vport, struct rte_mbuf **packets,
		     uint16_t n)
{
	struct port_counters *counters = &worker->ports[vport->index];
	uint16_t queue = (uint16_t)(worker->id % vport->n_txq);
	uint32_t length[VECTOR_SIZE];
	uint64_t flags = 0, bytes = 0;
	uint16_t sent;
	const bool lock = !vport->class->tx_thread_safe;

	PROFILE_ENTER(worker, SEND);
	// A sent packet is not ours to look at any more.
	for (unsigned int i = 0; i < n; i++) {
		length[i] = rte_pktmbuf_pkt_len(packets[i]);
		flags |= packets[i]->ol_flags;
		bytes += length[i];
	}
	if (unlikely(flags & PACKET_OFFLOADS) || output_may_join(vport, n, bytes)) {
		output_offloads(worker, vport, packets, n);
		PROFILE_LEAVE(worker, SEND);
		return;
	}
	if (lock)
		rte_spinlock_lock(&vport->tx_lock[queue].lock);
	sent = vport->class->tx(vport, queue, packets, n);
	if (lock)
		rte_spinlock_unlock(&vport->tx_lock[queue].lock);
	counters->tx_packets += sent;
	for (unsigned int i = 0; i < sent; i++)
		counters->tx_bytes += length[i];
	if (unlikely(sent < n)) {
		counters->tx_drops[refusal(vport)] += n - sent;
		rte_pktmbuf_free_bulk(packets + sent, n - sent);
	}
	PROFILE_LEAVE(worker, SEND);
}

static void flush_port(struct worker *worker, struct vport *vport)
{
	struct tx_batch *batch = &worker->tx[vport->index];
	struct egress *egress = rcu_read(&vport->egress);
	uint16_t n = batch->n;

	batch->n = 0;
	if (unlikely(egress))
		n = qos_egress(worker, egress, batch->packets, batch->queues, n);
	if (likely(n))
		output_transmit(worker, vport, batch->packets, n);
}

void output_flush(struct worker *worker)
{
	for (unsigned int i = 0; i < worker->n_tx_active; i++)
		if (worker->tx[worker->tx_active[i]->vport->index].n)
			flush_port(worker, worker->tx_active[i]->vport);
	worker->n_tx_active = 0;
}

// A refusal by the output port is counted there.
static void count_tx_drop(struct worker *worker, const struct forwarding_port *port,
			  const struct rte_mbuf *packet, enum drop_reason reason)
{
	worker_count_tx_drop(worker, port->vport, reason, packet_wire_count(packet));
	if (unlikely(worker->trace))
		worker->trace->drop(worker->trace->context, port, reason);
}

// Hand a packet to the bridge on the other side of a patch port. It goes on when the vector that
// it came from is finished.
static void send_to_patch(struct forward *forward, struct forwarding_port *port,
			  struct rte_mbuf *packet)
{
	struct worker *worker = forward->worker;
	struct forwarding_port *peer = rcu_read(&port->peer);
	enum drop_reason reason;

	if (!peer)
		reason = DROP_NO_PEER;
	else if (forward->hops >= PATCH_MAX_HOPS)
		reason = DROP_PATCH_LOOP;
	else if (worker->patch_tail - worker->patch_head >= PATCH_QUEUE_SIZE)
		reason = DROP_TX_FULL;
	else {
		if (!worker->trace) {
			worker->ports[port->vport->index].tx_packets += packet_wire_count(packet);
			worker->ports[port->vport->index].tx_bytes += packet_wire_bytes(packet);
		}
		worker->patch_queue[worker->patch_tail++ % PATCH_QUEUE_SIZE] =
			(struct patch_packet){ packet, peer, forward->hops + 1 };
		return;
	}
	count_tx_drop(worker, port, packet, reason);
	rte_pktmbuf_free(packet);
}

// Which queue of its port a packet goes to as it is now: set_queue, enqueue.
static inline void note_queue(struct vector *vector, unsigned int packet,
			      const struct forwarding_port *port)
{
	if (unlikely(port->vport->egress))
		vector->queue[packet] =
			vector->live_lines & 1u << KEY_LINE_TUNNEL
				? rte_be_to_cpu_32(vector_tunnel(vector, packet)->skb_priority)
				: 0;
}

static inline void queue(struct worker *worker, struct forwarding_port *port,
			 struct rte_mbuf *packet, const uint32_t *number)
{
	struct tx_batch *batch = &worker->tx[port->vport->index];

	if (batch->n == 0)
		worker->tx_active[worker->n_tx_active++] = port;
	if (unlikely(port->vport->egress))
		batch->queues[batch->n] = *number;
	batch->packets[batch->n++] = packet;
	if (unlikely(batch->n == VECTOR_SIZE))
		output_flush(worker);
}

// Queue a packet for a port; takes it. `packet` may be shared with other ports' queues.
static void send_in_queue(struct forward *forward, struct forwarding_port *port,
			  struct rte_mbuf *packet, const uint32_t *number)
{
	struct worker *worker = forward->worker;

	if (unlikely(!port->vport->polled)) {
		send_to_patch(forward, port, packet);
		return;
	}
	if (unlikely(worker->trace)) {
		worker->trace->output(worker->trace->context, port, packet);
		rte_pktmbuf_free(packet);
		return;
	}
	queue(worker, port, packet, number);
}

// The packet is that of the vector with this number or was made from it.
static void send(struct forward *forward, unsigned int number, struct forwarding_port *port,
		 struct rte_mbuf *packet)
{
	send_in_queue(forward, port, packet, &forward->vector->queue[number]);
}

// Room for the Ethernet header and two tags beside the layer-3 MTU.
static inline uint32_t output_longest(const struct forwarding_port *port)
{
	return port->vport->mtu + 14 + 8;
}

// May this port send the packet as it is now?
static bool port_accepts(const struct forwarding_port *port, const struct rte_mbuf *packet,
			 enum drop_reason *reason)
{
	if (unlikely(!port->admin_up)) {
		*reason = DROP_PORT_DOWN;
		return false;
	}
	if (unlikely(port->no_forward)) {
		*reason = port->is_mirror ? DROP_MIRROR_PORT : DROP_NO_FORWARD;
		return false;
	}
	if (unlikely(packet_wire_longest(packet) > output_longest(port))) {
		*reason = DROP_TX_MTU;
		return false;
	}
	return true;
}

static void refuse(struct forward *forward, unsigned int packet, struct forwarding_port *port,
		   enum drop_reason reason)
{
	count_instance(forward, packet);
	count_tx_drop(forward->worker, port, forward->vector->packets[packet], reason);
}

void output_pending(struct forward *forward, unsigned int packet)
{
	struct vector *vector = forward->vector;
	struct forwarding_port *port = vector->pending[packet];
	struct rte_mbuf *mbuf = vector->packets[packet];

	if (!port)
		return;
	vector->pending[packet] = NULL;
	if (unlikely(!port->vport->polled)) {
		// The other bridge will change the packet: it gets one of its own.
		mbuf = packet_copy(mbuf);
		if (!mbuf) {
			refuse(forward, packet, port, DROP_NO_MEMORY);
			return;
		}
	} else {
		rte_pktmbuf_refcnt_update(mbuf, 1);
	}
	count_instance(forward, packet);
	send(forward, packet, port, mbuf);
}

static bool is_shared(struct rte_mbuf *packet)
{
	for (; packet; packet = packet->next)
		if (rte_mbuf_refcnt_read(packet) > 1)
			return true;
	return false;
}

bool output_make_own(struct forward *forward, unsigned int packet)
{
	struct vector *vector = forward->vector;
	struct rte_mbuf *copy;

	output_pending(forward, packet);
	if (likely(!is_shared(vector->packets[packet])))
		return true;
	copy = packet_copy(vector->packets[packet]);
	if (!copy) {
		output_drop(forward, packet, DROP_NO_MEMORY);
		forward_finish(forward, packet);
		return false;
	}
	rte_pktmbuf_free(vector->packets[packet]);
	vector->packets[packet] = copy;
	return true;
}

bool output_commit(struct forward *forward, unsigned int packet)
{
	if (likely(!forward->vector->dirty[packet]))
		return true;
	if (!output_make_writable(forward, packet))
		return false;
	PROFILE_ENTER(forward->worker, WRITE_BACK);
	write_back(forward->vector, packet);
	PROFILE_LEAVE(forward->worker, WRITE_BACK);
	return true;
}

static void trace_decide(struct forward *forward, const struct forwarding_port *port,
			 const struct rte_mbuf *packet)
{
	forward->trace->decide(forward->trace->context, port, rte_pktmbuf_pkt_len(packet));
}

void output_port(struct forward *forward, unsigned int packet, struct forwarding_port *port)
{
	struct vector *vector = forward->vector;
	enum drop_reason reason;

	if (!output_commit(forward, packet))
		return;
	if (unlikely(!port_accepts(port, vector->packets[packet], &reason))) {
		refuse(forward, packet, port, reason);
		return;
	}
	output_pending(forward, packet);
	if (unlikely(forward->mirrors))
		mirror_send(forward, packet, port, vector->packets[packet]);
	if (unlikely(forward->trace))
		trace_decide(forward, port, vector->packets[packet]);
	vector->pending[packet] = port;
	note_queue(vector, packet, port);
}

void output_copy(struct forward *forward, unsigned int packet, struct forwarding_port *port,
		 struct rte_mbuf *copy)
{
	enum drop_reason reason;

	output_pending(forward, packet);
	if (unlikely(!port_accepts(port, copy, &reason))) {
		refuse(forward, packet, port, reason);
		rte_pktmbuf_free(copy);
		return;
	}
	count_instance(forward, packet);
	if (unlikely(forward->mirrors))
		mirror_send(forward, packet, port, copy);
	if (unlikely(forward->trace))
		trace_decide(forward, port, copy);
	note_queue(forward->vector, packet, port);
	send(forward, packet, port, copy);
}

void output_mirror(struct forward *forward, struct forwarding_port *port, struct rte_mbuf *copy)
{
	static const uint32_t first_queue;
	struct worker *worker = forward->worker;

	worker->n_copies += packet_wire_count(copy);
	if (unlikely(!port->admin_up))
		count_tx_drop(worker, port, copy, DROP_PORT_DOWN);
	else if (unlikely(packet_wire_longest(copy) > output_longest(port)))
		count_tx_drop(worker, port, copy, DROP_TX_MTU);
	else {
		send_in_queue(forward, port, copy, &first_queue);
		return;
	}
	rte_pktmbuf_free(copy);
}

static void output_flood(struct forward *forward, unsigned int packet, bool all)
{
	const struct forwarding_flood *flood = rcu_read(&forward->forwarding->flood);
	uint32_t in_port = rte_be_to_cpu_32(vector_core(forward->vector, packet)->in_port);

	for (uint32_t i = 0; flood && i < flood->n; i++)
		if (flood->ports[i]->ofport != in_port && (all || !flood->ports[i]->no_flood))
			output_port(forward, packet, flood->ports[i]);
}

void output_cut(struct rte_mbuf *packet, uint32_t max_len)
{
	while (rte_pktmbuf_pkt_len(packet) > max_len) {
		uint32_t surplus = rte_pktmbuf_pkt_len(packet) - max_len;
		uint16_t last = rte_pktmbuf_lastseg(packet)->data_len;

		if (packet->nb_segs > 1 && surplus >= last) {
			struct rte_mbuf *segment = packet;

			while (segment->next->next)
				segment = segment->next;
			rte_pktmbuf_free_seg(segment->next);
			segment->next = NULL;
			packet->nb_segs--;
			packet->pkt_len -= last;
		} else {
			rte_pktmbuf_trim(packet, (uint16_t)surplus);
		}
	}
}

// Each of the frames that a large packet is on the wire, cut.
static void output_large_truncated(struct forward *forward, unsigned int packet,
				   struct forwarding_port *port, uint32_t max_len)
{
	const struct rte_mbuf *large = forward->vector->packets[packet];
	uint32_t mirrors = 0;
	enum drop_reason reason;
	struct gso gso;

	output_pending(forward, packet);
	count_instance(forward, packet);
	note_queue(forward->vector, packet, port);
	if (unlikely(forward->mirrors && port->admin_up && !port->no_forward))
		mirrors = mirror_select(forward, packet, port, large);
	gso_start(&gso, large);
	while (gso_more(&gso)) {
		struct rte_mbuf *made = gso_next(&gso);

		if (!made) {
			worker_count_tx_drop(forward->worker, port->vport, DROP_NO_MEMORY, 1);
			continue;
		}
		if (made->ol_flags & PACKET_OFFLOADS)
			offload_complete(made);
		output_cut(made, max_len);
		if (likely(port_accepts(port, made, &reason))) {
			if (unlikely(mirrors))
				mirror_copy(forward, mirrors, made);
			send(forward, packet, port, made);
			continue;
		}
		count_tx_drop(forward->worker, port, made, reason);
		rte_pktmbuf_free(made);
	}
}

// Send at most max_len bytes: a copy that is cut, the packet itself stays whole. It is cut as it
// would leave, with its checksum.
static void output_truncated(struct forward *forward, unsigned int packet,
			     struct forwarding_port *port, uint32_t max_len)
{
	struct rte_mbuf *copy;

	if (!output_commit(forward, packet))
		return;
	if (unlikely(packet_is_large(forward->vector->packets[packet]))) {
		output_large_truncated(forward, packet, port, max_len);
		return;
	}
	copy = packet_copy(forward->vector->packets[packet]);
	if (!copy) {
		output_drop(forward, packet, DROP_NO_MEMORY);
		return;
	}
	if (unlikely(forward->trace))
		forward->trace->note(forward->trace->context, 0, "cut to %u of %u bytes", max_len,
				     rte_pktmbuf_pkt_len(copy));
	if (unlikely(copy->ol_flags & PACKET_OFFLOADS))
		offload_complete(copy);
	output_cut(copy, max_len);
	output_copy(forward, packet, port, copy);
}

static void output_number(struct forward *forward, unsigned int packet, uint32_t ofport,
			  uint32_t max_len)
{
	struct forwarding_port *port = forwarding_port(forward->forwarding, ofport);

	if (unlikely(!port))
		output_drop(forward, packet, DROP_NO_PORT);
	else if (unlikely(max_len &&
			  max_len < packet_wire_longest(forward->vector->packets[packet])))
		output_truncated(forward, packet, port, max_len);
	else
		output_port(forward, packet, port);
}

// The flow tables, where a packet-out's own actions say so; nowhere else is this a port.
static void output_table(struct forward *forward, unsigned int packet)
{
	if (!forward->may_output_table) {
		output_drop(forward, packet, DROP_NO_PORT);
		return;
	}
	forward->may_output_table = false;
	pipeline_run(forward, 0, 1ULL << packet, 1);
	forward->may_output_table = true;
}

void output_to(struct forward *forward, unsigned int packet, uint32_t ofport, uint32_t max_len)
{
	uint32_t in_port = rte_be_to_cpu_32(vector_core(forward->vector, packet)->in_port);

	switch (ofport) {
	case OFPP_IN_PORT:
		output_number(forward, packet, in_port, max_len);
		break;
	case OFPP_FLOOD:
		output_flood(forward, packet, false);
		break;
	case OFPP_ALL:
		output_flood(forward, packet, true);
		break;
	case OFPP_CONTROLLER:
		output_drop(forward, packet, DROP_CONTROLLER);
		break;
	case OFPP_TABLE:
		output_table(forward, packet);
		break;
	case OFPP_NORMAL:
		normal_run(forward, 1ULL << packet);
		break;
	default:
		if (unlikely(ofport == in_port))
			output_drop(forward, packet, DROP_IN_PORT);
		else
			output_number(forward, packet, ofport, max_len);
		break;
	}
}

// A packet that comes from where it would go to, that has an output waiting, or that this port cannot
// send, goes the long way.
static inline bool output_simply(struct forward *forward, unsigned int packet,
				 struct forwarding_port *port)
{
	struct vector *vector = forward->vector;

	if (unlikely(vector->pending[packet] ||
		     vector_core(vector, packet)->in_port == rte_cpu_to_be_32(port->ofport)))
		return false;
	if (vector->dirty[packet] && !output_commit(forward, packet))
		return true;
	if (unlikely(rte_pktmbuf_pkt_len(vector->packets[packet]) > output_longest(port)))
		return false;
	vector->pending[packet] = port;
	note_queue(vector, packet, port);
	return true;
}

void output_all_to(struct forward *forward, uint64_t packets, uint32_t ofport, uint32_t max_len)
{
	struct forwarding_port *port =
		ofport < OFPP_MAX ? forwarding_port(forward->forwarding, ofport) : NULL;
	const bool usual = !forward->trace && !forward->mirrors && port && port->admin_up &&
			   !port->no_forward && max_len == MAX_LEN_ALL;

	PROFILE_ENTER(forward->worker, OUTPUT);
	for_each_packet(i, packets)
	{
		if (unlikely(!usual || !output_simply(forward, (unsigned int)i, port)))
			output_to(forward, (unsigned int)i, ofport, max_len);
	}
	PROFILE_LEAVE(forward->worker, OUTPUT);
}

void output_each_to(struct forward *forward, uint64_t packets, const uint32_t ofports[VECTOR_SIZE])
{
	struct forwarding_port *port = NULL;
	uint32_t ofport = OFPP_ANY;

	PROFILE_ENTER(forward->worker, OUTPUT);
	for_each_packet(i, packets)
	{
		if (ofports[i] != ofport) {
			ofport = ofports[i];
			port = forwarding_port(forward->forwarding, ofport);
			if (port && unlikely(!port->admin_up || port->no_forward ||
					     forward->trace || forward->mirrors))
				port = NULL; // the long way
		}
		if (unlikely(!port || !output_simply(forward, (unsigned int)i, port)))
			output_to(forward, (unsigned int)i, ofport, MAX_LEN_ALL);
	}
	PROFILE_LEAVE(forward->worker, OUTPUT);
}

void output_finish(struct forward *forward, uint64_t packets)
{
	struct vector *vector = forward->vector;
	struct worker *worker = forward->worker;

	struct forwarding_port *last = NULL; // whose batch can be filled at once, if it has begun
	struct tx_batch *batch = NULL;

	for_each_packet(i, packets)
	{
		const uint64_t bit = 1ULL << i;
		struct forwarding_port *port = vector->pending[i];

		if (likely(port && port == last && !(vector->delivered & bit) && batch->n &&
			   batch->n < VECTOR_SIZE - 1)) {
			batch->packets[batch->n++] = vector->packets[i];
			continue;
		}
		if (likely(port && port->vport->polled && !forward->trace &&
			   !(vector->delivered & bit))) {
			queue(worker, port, vector->packets[i], &vector->queue[i]);
			last = port->vport->egress ? NULL : port;
			batch = &worker->tx[port->vport->index];
			continue;
		}
		if (port) {
			count_instance(forward, (unsigned int)i);
			send(forward, (unsigned int)i, port, vector->packets[i]);
			continue;
		}
		if (!(vector->delivered & bit))
			count_drop(forward, (unsigned int)i,
				   vector->missed & bit ? DROP_NO_MATCH : DROP_ACTION);
		rte_pktmbuf_free(vector->packets[i]);
	}
}
