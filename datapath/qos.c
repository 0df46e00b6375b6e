#include "datapath/qos.h"

#include "common/clock.h"
#include "common/rcu.h"
#include "datapath/workers_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>

#define RING_SIZE 4096

uint64_t qos_ns_per_cycle;

static struct egress *shaped[VPORT_MAX]; // by index of the port; NULL: none

static void init_clock(void)
{
	if (!qos_ns_per_cycle)
		qos_ns_per_cycle =
			(uint64_t)(((unsigned __int128)NS_PER_SECOND << 32) / rte_get_tsc_hz());
}

// --- Ingress ---

int qos_set_ingress(struct vport *vport, const struct ingress_config *config)
{
	struct ingress *old = vport->ingress, *new = NULL;

	init_clock();
	if (config->kbps || config->kpps) {
		new = aligned_alloc(64, RTE_ALIGN_CEIL(sizeof(*new), 64));
		if (!new)
			return -ENOMEM;
		memset(new, 0, sizeof(*new));
		new->config = *config;
	}
	if (config->kbps)
		policer_init(&new->bits, config->kbps * 125,
			     (config->kilobits ? config->kilobits : INGRESS_DEFAULT_KILOBITS) * 125,
			     qos_now_ns());
	if (config->kpps)
		policer_init(
			&new->packets, config->kpps * 1000,
			(config->kilopackets ? config->kilopackets : INGRESS_DEFAULT_KILOPACKETS) *
				1000,
			qos_now_ns());
	rcu_publish(&vport->ingress, new);
	if (old)
		rcu_defer(free, old);
	return 0;
}

// --- Who has which scheduler ---

static unsigned int count_of(const struct worker *worker)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < VPORT_MAX; i++)
		n += shaped[i] && shaped[i]->owner == worker;
	return n;
}

// The list of a worker anew, from what `owner` says.
static int publish_list(struct worker *worker)
{
	struct shaper_list *old = worker->shapers, *new = NULL;
	const unsigned int n = count_of(worker);

	if (n) {
		new = malloc(sizeof(*new) + n * sizeof(*new->egress));
		if (!new)
			return -ENOMEM;
		new->n = 0;
		for (unsigned int i = 0; i < VPORT_MAX; i++)
			if (shaped[i] && shaped[i]->owner == worker)
				new->egress[new->n++] = shaped[i];
	}
	rcu_publish(&worker->shapers, new);
	if (old)
		rcu_defer(free, old);
	__atomic_store_n(&worker->handed.any, 1, __ATOMIC_SEQ_CST);
	worker_wake(worker);
	return 0;
}

static struct worker *least_busy(void)
{
	struct worker *best = NULL, *worker;

	for (unsigned int i = 0; (worker = worker_running(i)); i++)
		if (!worker->leaving && (!best || count_of(worker) < count_of(best)))
			best = worker;
	return best;
}

// Have nobody run it. Afterwards it is the main thread's.
static int take_away(struct egress *egress)
{
	struct worker *owner = egress->owner;

	if (!owner)
		return 0;
	rcu_publish(&egress->owner, NULL);
	if (publish_list(owner) < 0) {
		rcu_publish(&egress->owner, owner);
		return -ENOMEM;
	}
	rcu_synchronize();
	return 0;
}

// Without memory it stays nobody's until the next time; packets wait in its ring.
static int hand_out(struct egress *egress)
{
	struct worker *worker = least_busy();

	if (!worker)
		return 0;
	rcu_publish(&egress->owner, worker);
	if (publish_list(worker) == 0)
		return 0;
	rcu_publish(&egress->owner, NULL);
	rcu_synchronize(); // who thought that it was theirs
	return -ENOMEM;
}

int qos_place_shapers(void)
{
	int status = 0;

	for (unsigned int i = 0; i < VPORT_MAX && !status; i++) {
		if (!shaped[i])
			continue;
		if (shaped[i]->owner && shaped[i]->owner->leaving)
			status = take_away(shaped[i]);
		if (!status && !shaped[i]->owner)
			status = hand_out(shaped[i]);
	}
	return status;
}

// --- Egress ---

static void free_egress(void *object)
{
	struct egress *egress = object;

	shaper_free(egress->shaper);
	free(egress->ring);
	free(egress);
}

static struct egress *make_egress(struct vport *vport)
{
	struct egress *egress = aligned_alloc(64, RTE_ALIGN_CEIL(sizeof(*egress), 64));

	init_clock();
	if (egress)
		memset(egress, 0, sizeof(*egress));
	if (egress)
		egress->vport = vport;
	return egress;
}

static struct rte_ring *make_ring(void)
{
	const ssize_t size = rte_ring_get_memsize_elem(sizeof(struct handed_packet), RING_SIZE);
	struct rte_ring *ring = aligned_alloc(RTE_CACHE_LINE_SIZE,
					      RTE_ALIGN_CEIL((size_t)size, RTE_CACHE_LINE_SIZE));

	if (ring)
		rte_ring_init(ring, "shaper", RING_SIZE, RING_F_SC_DEQ);
	return ring;
}

static void count_lost(struct vport *vport, uint64_t n)
{
	struct worker *worker = workers_main();

	if (worker)
		worker_count_tx_drop(worker, vport, DROP_SHAPER_REMOVED, n);
}

// All that waits, of a scheduler that is the main thread's.
static void drop_all(struct egress *egress)
{
	struct handed_packet handed;
	struct shaper_queue_info info;
	struct rte_mbuf *packet;
	uint32_t dropped = 0;

	while (rte_ring_sc_dequeue_elem(egress->ring, &handed, sizeof(handed)) == 0) {
		dropped += packet_wire_count(handed.packet);
		rte_pktmbuf_free(handed.packet);
	}
	for (unsigned int i = 0; shaper_queue_info(egress->shaper, i, 0, &info); i++)
		while ((packet = shaper_take(egress->shaper, i))) {
			dropped += packet_wire_count(packet);
			rte_pktmbuf_free(packet);
		}
	count_lost(egress->vport, dropped);
}

void qos_clear_egress(struct vport *vport)
{
	struct egress *egress = vport->egress;

	if (!egress)
		return;
	rcu_publish(&vport->egress, NULL);
	if (!egress->shaper) {
		rcu_defer(free_egress, egress);
		return;
	}
	// Without memory for another list: leave it the one that it has, without what it is for.
	while (take_away(egress) < 0)
		rcu_barrier();
	rcu_synchronize();
	shaped[vport->index] = NULL;
	drop_all(egress);
	free_egress(egress);
}

void qos_forget(struct vport *vport)
{
	struct ingress *ingress = vport->ingress;

	qos_clear_egress(vport);
	rcu_publish(&vport->ingress, NULL);
	if (ingress)
		rcu_defer(free, ingress);
}

int qos_set_policer(struct vport *vport, uint64_t cir, uint64_t cbs)
{
	struct egress *egress = make_egress(vport), *old = vport->egress;

	if (!egress)
		return -ENOMEM;
	egress->cir = cir;
	egress->cbs = cbs;
	policer_init(&egress->policer, cir, cbs, qos_now_ns());
	if (old && old->shaper)
		qos_clear_egress(vport);
	else if (old)
		rcu_defer(free_egress, old);
	rcu_publish(&vport->egress, egress);
	return 0;
}

static int change_shaper(struct egress *egress, struct shaper *new)
{
	struct shaper *old = egress->shaper;

	if (take_away(egress) < 0)
		return -ENOMEM;
	count_lost(egress->vport, shaper_take_over(new, old));
	egress->shaper = new;
	shaper_free(old);
	return hand_out(egress);
}

int qos_set_shaper(struct vport *vport, const struct shaper_config *config)
{
	struct egress *egress = vport->egress, *old = egress;
	struct shaper *shaper;

	init_clock();
	if (!workers_main())
		return -ENOMEM;
	shaper = shaper_create(config, qos_now_ns());
	if (!shaper)
		return -ENOMEM;
	if (old && old->shaper)
		return change_shaper(egress, shaper);
	egress = make_egress(vport);
	if (!egress || !(egress->ring = make_ring())) {
		shaper_free(shaper);
		free(egress);
		return -ENOMEM;
	}
	egress->shaper = shaper;
	shaped[vport->index] = egress;
	if (hand_out(egress) < 0) {
		shaped[vport->index] = NULL;
		free_egress(egress);
		return -ENOMEM;
	}
	rcu_publish(&vport->egress, egress);
	if (old)
		rcu_defer(free_egress, old);
	return 0;
}
