// What quality of service does to packets: hot.
#include "datapath/forward.h"
#include "datapath/qos.h"

#include "common/rcu.h"

#include <unistd.h>

#include <rte_cycles.h>

#define BURSTS_AT_ONCE 8
#define ETH_SIZE 14 // an egress policer counts IP packets

uint64_t qos_receive(struct forward *forward, struct ingress *ingress, uint64_t packets)
{
	const struct vector *vector = forward->vector;
	const uint64_t now_ns = qos_now_ns();
	uint32_t counts[VECTOR_SIZE];
	uint64_t over = 0;

	if (unlikely(forward->trace))
		return packets;
	if (ingress->bits.cost)
		over = policer_judge(&ingress->bits, now_ns, vector->length, packets);
	if (ingress->packets.cost && packets & ~over) {
		for_each_packet(i, packets & ~over) counts[i] =
			packet_wire_count(vector->packets[i]);
		over |= policer_judge(&ingress->packets, now_ns, counts, packets & ~over);
	}
	for_each_packet(i, over) output_drop(forward, (unsigned int)i, DROP_INGRESS_POLICED);
	return packets & ~over;
}

// --- Policers ---

static uint16_t police(struct worker *worker, struct egress *egress, struct rte_mbuf **packets,
		       uint16_t n)
{
	uint32_t amounts[VECTOR_SIZE];
	uint16_t kept = 0;
	uint64_t over;

	for (unsigned int i = 0; i < n; i++) {
		const uint32_t bytes = packet_wire_bytes(packets[i]);
		const uint32_t frames = packet_wire_count(packets[i]) * ETH_SIZE;

		amounts[i] = bytes > frames ? bytes - frames : 0;
	}
	over = policer_judge(&egress->policer, qos_now_ns(), amounts, vector_mask(n));
	for (unsigned int i = 0; i < n; i++) {
		if (!(over >> i & 1)) {
			packets[kept++] = packets[i];
			continue;
		}
		worker_count_tx_drop(worker, egress->vport, DROP_EGRESS_POLICED,
				     packet_wire_count(packets[i]));
		rte_pktmbuf_free(packets[i]);
	}
	return kept;
}

// --- Shapers ---

// The owner may be asleep, or about to be: it looks once more after it has said so.
static void tell(struct worker *owner)
{
	const uint64_t one = 1;

	if (!__atomic_load_n(&owner->handed.any, __ATOMIC_SEQ_CST))
		__atomic_store_n(&owner->handed.any, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&owner->handed.asleep, __ATOMIC_SEQ_CST) &&
	    __atomic_exchange_n(&owner->handed.asleep, 0, __ATOMIC_SEQ_CST) &&
	    write(owner->wake_fd, &one, sizeof(one)) < 0)
		return; // a full counter is as good as a higher one
}

static void hand_over(struct worker *worker, struct egress *egress, struct rte_mbuf **packets,
		      const uint32_t *queues, uint16_t n)
{
	struct handed_packet handed[VECTOR_SIZE];
	struct worker *owner;
	unsigned int done;

	for (unsigned int i = 0; i < n; i++)
		handed[i] = (struct handed_packet){ packets[i], queues[i], 0 };
	done = rte_ring_mp_enqueue_burst_elem(egress->ring, handed, sizeof(*handed), n, NULL);
	for (unsigned int i = done; i < n; i++) {
		worker_count_tx_drop(worker, egress->vport, DROP_SHAPER_FULL,
				     packet_wire_count(packets[i]));
		rte_pktmbuf_free(packets[i]);
	}
	owner = rcu_read(&egress->owner);
	if (owner)
		tell(owner);
}

static void take_in(struct worker *worker, struct egress *egress, struct rte_mbuf *packet,
		    uint32_t queue, uint64_t now_ns)
{
	const uint32_t dropped = shaper_enqueue(egress->shaper, packet, queue, now_ns);

	if (unlikely(dropped))
		worker_count_tx_drop(worker, egress->vport, DROP_SHAPER_FULL, dropped);
}

uint16_t qos_egress(struct worker *worker, struct egress *egress, struct rte_mbuf **packets,
		    const uint32_t *queues, uint16_t n)
{
	uint64_t now_ns;

	if (!egress->shaper)
		return police(worker, egress, packets, n);
	if (rcu_read(&egress->owner) != worker) {
		hand_over(worker, egress, packets, queues, n);
		return 0;
	}
	now_ns = qos_now_ns();
	for (unsigned int i = 0; i < n; i++)
		take_in(worker, egress, packets[i], queues[i], now_ns);
	worker->shapers_next_ns = 0;
	return 0;
}

static void take_handed(struct worker *worker, struct egress *egress, uint64_t now_ns)
{
	struct handed_packet handed[VECTOR_SIZE];
	unsigned int n;

	// What comes meanwhile is told again.
	for (unsigned int turn = 0; turn < 64; turn++) {
		n = rte_ring_sc_dequeue_burst_elem(egress->ring, handed, sizeof(*handed),
						   VECTOR_SIZE, NULL);
		for (unsigned int i = 0; i < n; i++)
			take_in(worker, egress, handed[i].packet, handed[i].queue, now_ns);
		if (n < VECTOR_SIZE)
			return;
	}
}

static uint32_t send_due(struct worker *worker, struct egress *egress, uint64_t now_ns)
{
	struct rte_mbuf *packets[VECTOR_SIZE];
	uint32_t total = 0, dropped = 0;

	for (unsigned int turn = 0; turn < BURSTS_AT_ONCE; turn++) {
		const unsigned int n =
			shaper_dequeue(egress->shaper, packets, VECTOR_SIZE, now_ns, &dropped);

		total += n;
		if (n)
			output_transmit(worker, egress->vport, packets, (uint16_t)n);
		if (n < VECTOR_SIZE)
			break;
	}
	if (unlikely(dropped))
		worker_count_tx_drop(worker, egress->vport, DROP_SHAPER_DELAY, dropped);
	return total;
}

uint32_t qos_run_shapers(struct worker *worker)
{
	const struct shaper_list *list = rcu_read(&worker->shapers);
	uint64_t now_ns, next_ns = SHAPER_NEVER;
	uint32_t total = 0;
	bool handed;

	if (!list)
		return 0;
	now_ns = qos_now_ns();
	handed = __atomic_load_n(&worker->handed.any, __ATOMIC_RELAXED) &&
		 __atomic_exchange_n(&worker->handed.any, 0, __ATOMIC_SEQ_CST);
	if (!handed && now_ns < worker->shapers_next_ns)
		return 0;
	for (uint32_t i = 0; i < list->n; i++) {
		struct egress *egress = list->egress[i];

		if (handed)
			take_handed(worker, egress, now_ns);
		if (shaper_next_ns(egress->shaper) <= now_ns)
			total += send_due(worker, egress, now_ns);
		if (shaper_next_ns(egress->shaper) < next_ns)
			next_ns = shaper_next_ns(egress->shaper);
	}
	worker->shapers_next_ns = next_ns;
	return total;
}
