#include "qos/shaper.h"

#include "qos/ip_header.h"
#include "vport/offload.h"

#include <stdlib.h>

#define NS 1000000000ULL
#define COST_BITS 20
#define FULL_FRAME 1514
#define VIRTUAL_BITS 10
#define GAUGE_NS NS

typedef unsigned __int128 wide;

// What may be sent, as the time of the next sending.
struct pace {
	uint64_t cost; // ns of a byte, times 2^COST_BITS; 0: no limit
	uint64_t burst_ns;
	uint64_t at_ns;
	uint32_t part; // of a nanosecond
};

// How much was sent in a time that is over, and since then.
struct gauge {
	uint64_t since_ns, bytes;
	uint64_t rate; // bit/s
};

struct queue {
	struct aqm *aqm;
	struct pace guarantee, ceiling;
	uint64_t virtual_time;
	uint32_t weight;
	uint8_t rank; // of its priority
	struct gauge gauge;
	struct shaper_queue_config config;
	uint64_t granted;
};

struct shaper {
	struct pace port;
	uint64_t busy; // queues that have packets
	uint64_t next_ns;
	uint64_t n_unknown;
	uint64_t virtual_time[SHAPER_MAX_QUEUES]; // by rank
	struct gauge gauge;
	unsigned int n_queues;
	uint64_t max_rate, burst;
	struct queue queues[SHAPER_MAX_QUEUES];
};

// --- Pace ---

static uint64_t pace_ns(const struct pace *pace, uint64_t bytes)
{
	const wide ns = ((wide)bytes * pace->cost) >> COST_BITS;

	return ns > UINT64_MAX / 4 ? UINT64_MAX / 4 : (uint64_t)ns;
}

static uint64_t default_burst(uint64_t rate)
{
	const uint64_t bytes = (uint64_t)((wide)rate * SHAPER_BURST_NS / NS / 8);

	return bytes > 2 * FULL_FRAME ? bytes : 2 * FULL_FRAME;
}

static void pace_init(struct pace *pace, uint64_t rate, uint64_t burst, uint64_t now_ns)
{
	if (!rate)
		return;
	pace->cost = (uint64_t)((((wide)8 * NS << COST_BITS) + rate / 2) / rate);
	pace->cost += !pace->cost;
	pace->burst_ns = pace_ns(pace, burst ? burst : default_burst(rate));
	pace->at_ns = now_ns > pace->burst_ns ? now_ns - pace->burst_ns : 0;
}

// No more is saved up than this.
static void pace_limit(struct pace *pace, uint64_t now_ns, uint64_t saved_ns)
{
	if (now_ns > saved_ns && pace->at_ns < now_ns - saved_ns)
		pace->at_ns = now_ns - saved_ns;
}

static void pace_charge(struct pace *pace, uint32_t bytes)
{
	const wide ns = (wide)bytes * pace->cost + pace->part;

	pace->at_ns += (uint64_t)(ns >> COST_BITS);
	pace->part = (uint32_t)ns & ((1u << COST_BITS) - 1);
}

static uint64_t late_ns(const struct pace *pace)
{
	return pace->burst_ns > SHAPER_LATE_NS ? pace->burst_ns : SHAPER_LATE_NS;
}

// --- Gauges ---

static void gauge_add(struct gauge *gauge, uint64_t now_ns, uint32_t bytes)
{
	const uint64_t passed = now_ns - gauge->since_ns;

	if (passed >= GAUGE_NS) {
		gauge->rate = (uint64_t)((wide)gauge->bytes * 8 * NS / passed);
		gauge->since_ns = now_ns;
		gauge->bytes = 0;
	}
	gauge->bytes += bytes;
}

static uint64_t gauge_read(const struct gauge *gauge, uint64_t now_ns)
{
	const uint64_t passed = now_ns > gauge->since_ns ? now_ns - gauge->since_ns : 0;

	return passed < GAUGE_NS ? gauge->rate : (uint64_t)((wide)gauge->bytes * 8 * NS / passed);
}

// --- Making ---

static uint8_t rank_of(const struct shaper_config *config, unsigned int queue)
{
	uint64_t seen = 0;
	uint8_t rank = 0;

	for (unsigned int i = 0; i < config->n_queues; i++) {
		bool known = false;

		if (config->queues[i].priority >= config->queues[queue].priority)
			continue;
		for (unsigned int k = 0; k < i; k++)
			known |= seen >> k & 1 &&
				 config->queues[k].priority == config->queues[i].priority;
		seen |= 1ULL << i;
		rank = (uint8_t)(rank + !known);
	}
	return rank;
}

// Minimums that exceed the port's rate together are cut in proportion.
static uint64_t grant(const struct shaper_config *config, uint64_t min_rate)
{
	wide sum = 0;

	for (unsigned int i = 0; i < config->n_queues; i++)
		sum += config->queues[i].min_rate;
	return sum > config->max_rate ? (uint64_t)((wide)min_rate * config->max_rate / sum)
				      : min_rate;
}

struct shaper *shaper_create(const struct shaper_config *config, uint64_t now_ns)
{
	struct shaper *shaper = calloc(1, sizeof(*shaper));

	if (!shaper)
		return NULL;
	shaper->max_rate = config->max_rate;
	shaper->burst = config->burst ? config->burst : default_burst(config->max_rate);
	pace_init(&shaper->port, config->max_rate, config->burst, now_ns);
	shaper->next_ns = SHAPER_NEVER;
	shaper->gauge.since_ns = now_ns;
	for (; shaper->n_queues < config->n_queues; shaper->n_queues++) {
		const struct shaper_queue_config *wanted = &config->queues[shaper->n_queues];
		struct queue *queue = &shaper->queues[shaper->n_queues];

		queue->config = *wanted;
		queue->weight = wanted->weight ? wanted->weight : 1;
		queue->rank = rank_of(config, shaper->n_queues);
		queue->granted = grant(config, wanted->min_rate);
		queue->gauge.since_ns = now_ns;
		pace_init(&queue->guarantee, queue->granted, wanted->burst, now_ns);
		pace_init(&queue->ceiling, wanted->max_rate, wanted->burst, now_ns);
		queue->aqm = aqm_create(&wanted->aqm);
		if (!queue->aqm) {
			shaper_free(shaper);
			return NULL;
		}
	}
	return shaper;
}

void shaper_free(struct shaper *shaper)
{
	if (!shaper)
		return;
	for (unsigned int i = 0; i < shaper->n_queues; i++)
		aqm_free(shaper->queues[i].aqm);
	free(shaper);
}

static struct queue *find(struct shaper *shaper, uint32_t id)
{
	unsigned int low = 0, high = shaper->n_queues;

	while (low < high) {
		const unsigned int middle = (low + high) / 2;

		if (shaper->queues[middle].config.id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low < shaper->n_queues && shaper->queues[low].config.id == id ? &shaper->queues[low]
									     : NULL;
}

uint32_t shaper_take_over(struct shaper *shaper, struct shaper *old)
{
	uint32_t dropped = 0, bytes;
	struct rte_mbuf *packet;
	uint64_t at_ns;

	shaper->n_unknown = old->n_unknown;
	shaper->gauge = old->gauge;
	for (unsigned int i = 0; i < old->n_queues; i++) {
		struct queue *from = &old->queues[i], *to = find(shaper, from->config.id);

		if (to) {
			*aqm_counts(to->aqm) = *aqm_counts(from->aqm);
			to->gauge = from->gauge;
		}
		while ((packet = aqm_take(from->aqm, &bytes, &at_ns))) {
			if (to) {
				dropped += aqm_enqueue(to->aqm, packet, bytes, at_ns);
				continue;
			}
			dropped += packet_wire_count(packet);
			rte_pktmbuf_free(packet);
		}
		if (to && aqm_packets(to->aqm))
			shaper->busy |= 1ULL << (to - shaper->queues);
	}
	old->busy = 0;
	if (shaper->busy)
		shaper->next_ns = 0;
	return dropped;
}

// --- In ---

static void wake_queue(struct shaper *shaper, struct queue *queue, uint64_t now_ns)
{
	if (!shaper->busy)
		pace_limit(&shaper->port, now_ns, shaper->port.burst_ns);
	pace_limit(&queue->guarantee, now_ns, queue->guarantee.burst_ns);
	pace_limit(&queue->ceiling, now_ns, queue->ceiling.burst_ns);
	if (queue->virtual_time < shaper->virtual_time[queue->rank])
		queue->virtual_time = shaper->virtual_time[queue->rank];
	shaper->busy |= 1ULL << (queue - shaper->queues);
	shaper->next_ns = 0;
}

uint32_t shaper_enqueue(struct shaper *shaper, struct rte_mbuf *packet, uint32_t queue_id,
			uint64_t now_ns)
{
	struct queue *queue = &shaper->queues[0];

	if (queue_id) {
		queue = find(shaper, queue_id);
		if (!queue) {
			shaper->n_unknown += packet_wire_count(packet);
			queue = &shaper->queues[0];
		} else if (queue->config.dscp >= 0) {
			ip_header_set_dscp(&packet, (uint8_t)queue->config.dscp);
		}
	}
	if (!(shaper->busy >> (queue - shaper->queues) & 1))
		wake_queue(shaper, queue, now_ns);
	return aqm_enqueue(queue->aqm, packet, packet_wire_bytes(packet), now_ns);
}

// --- Out ---

// The queue that is next, or NULL; then *wait is when the first of those that wait for their maximum
// may send.
static struct queue *choose(struct shaper *shaper, uint64_t now_ns, bool *guaranteed,
			    uint64_t *wait)
{
	struct queue *first = NULL, *other = NULL;

	*wait = SHAPER_NEVER;
	for (uint64_t left = shaper->busy; left; left &= left - 1) {
		struct queue *queue = &shaper->queues[__builtin_ctzll(left)];

		if (queue->ceiling.cost && queue->ceiling.at_ns > now_ns) {
			if (queue->ceiling.at_ns < *wait)
				*wait = queue->ceiling.at_ns;
		} else if (queue->guarantee.cost && queue->guarantee.at_ns <= now_ns) {
			if (!first || queue->guarantee.at_ns < first->guarantee.at_ns)
				first = queue;
		} else if (!other || queue->rank < other->rank ||
			   (queue->rank == other->rank &&
			    queue->virtual_time < other->virtual_time)) {
			other = queue;
		}
	}
	*guaranteed = first;
	return first ? first : other;
}

static void charge(struct shaper *shaper, struct queue *queue, bool guaranteed, uint32_t bytes,
		   uint64_t now_ns)
{
	pace_charge(&shaper->port, bytes);
	if (queue->ceiling.cost)
		pace_charge(&queue->ceiling, bytes);
	if (guaranteed) {
		pace_charge(&queue->guarantee, bytes);
	} else {
		if (shaper->virtual_time[queue->rank] < queue->virtual_time)
			shaper->virtual_time[queue->rank] = queue->virtual_time;
		queue->virtual_time += ((uint64_t)bytes << VIRTUAL_BITS) / queue->weight;
	}
	gauge_add(&queue->gauge, now_ns, bytes);
	gauge_add(&shaper->gauge, now_ns, bytes);
}

// A poll loop that comes late has something to make up for, but not without end.
static void limit_lateness(struct shaper *shaper, uint64_t now_ns)
{
	pace_limit(&shaper->port, now_ns, late_ns(&shaper->port));
	for (uint64_t left = shaper->busy; left; left &= left - 1) {
		struct queue *queue = &shaper->queues[__builtin_ctzll(left)];

		pace_limit(&queue->guarantee, now_ns, late_ns(&queue->guarantee));
		pace_limit(&queue->ceiling, now_ns, late_ns(&queue->ceiling));
	}
}

unsigned int shaper_dequeue(struct shaper *shaper, struct rte_mbuf **packets, unsigned int n,
			    uint64_t now_ns, uint32_t *dropped)
{
	unsigned int got = 0;

	limit_lateness(shaper, now_ns);
	while (got < n) {
		uint64_t wait = SHAPER_NEVER;
		struct queue *queue = NULL;
		bool guaranteed = false;
		uint32_t bytes;

		if (shaper->port.at_ns <= now_ns)
			queue = choose(shaper, now_ns, &guaranteed, &wait);
		else if (shaper->busy)
			wait = shaper->port.at_ns;
		shaper->next_ns = queue ? 0 : wait;
		if (!queue)
			break;
		packets[got] = aqm_dequeue(queue->aqm, now_ns, &bytes, dropped);
		if (packets[got]) {
			got++;
			charge(shaper, queue, guaranteed, bytes, now_ns);
		}
		if (!aqm_packets(queue->aqm))
			shaper->busy &= ~(1ULL << (queue - shaper->queues));
	}
	return got;
}

uint64_t shaper_next_ns(const struct shaper *shaper)
{
	return shaper->next_ns;
}

struct rte_mbuf *shaper_take(struct shaper *shaper, unsigned int queue)
{
	uint32_t bytes;
	uint64_t at_ns;
	struct rte_mbuf *packet = aqm_take(shaper->queues[queue].aqm, &bytes, &at_ns);

	if (!packet)
		shaper->busy &= ~(1ULL << queue);
	return packet;
}

// --- What it is like ---

bool shaper_queue_info(const struct shaper *shaper, unsigned int i, uint64_t now_ns,
		       struct shaper_queue_info *info)
{
	const struct queue *queue = &shaper->queues[i];
	const struct aqm_counts *counts;

	if (i >= shaper->n_queues)
		return false;
	counts = aqm_counts(queue->aqm);
	*info = (struct shaper_queue_info){
		.config = queue->config,
		.granted = queue->granted,
		.packets = counts->packets,
		.bytes = counts->bytes,
		.n_full = counts->n_full,
		.n_delay = counts->n_delay,
		.marks = counts->marks,
		.queued_packets = aqm_packets(queue->aqm),
		.queued_bytes = aqm_bytes(queue->aqm),
		.rate = gauge_read(&queue->gauge, now_ns),
		.delay_p50 = aqm_delay(queue->aqm, 0.5),
		.delay_p90 = aqm_delay(queue->aqm, 0.9),
		.delay_p99 = aqm_delay(queue->aqm, 0.99),
		.delay_max = aqm_delay(queue->aqm, 1),
	};
	return true;
}

void shaper_info(const struct shaper *shaper, uint64_t now_ns, struct shaper_info *info)
{
	*info = (struct shaper_info){
		.max_rate = shaper->max_rate,
		.burst = shaper->burst,
		.rate = gauge_read(&shaper->gauge, now_ns),
		.n_unknown = shaper->n_unknown,
	};
	for (unsigned int i = 0; i < shaper->n_queues; i++) {
		info->queued_packets += aqm_packets(shaper->queues[i].aqm);
		info->queued_bytes += aqm_bytes(shaper->queues[i].aqm);
	}
}
