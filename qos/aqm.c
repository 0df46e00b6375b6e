#include "qos/aqm.h"

#include "qos/ip_header.h"
#include "vport/offload.h"

#include <math.h>
#include <stdlib.h>

#define NONE UINT32_MAX
#define FEW_BYTES 1514 // with no more in it than this a flow is not at fault (RFC 8289)
#define MAX_DROPS_AT_ONCE 64
#define MANY_DELAYS 65536

struct node {
	struct rte_mbuf *packet;
	uint64_t at_ns;
	uint32_t bytes;
	uint32_t next;
};

enum flow_list { LIST_NONE, LIST_NEW, LIST_OLD };

struct flow {
	uint32_t head, tail; // nodes
	uint32_t bytes;
	int32_t deficit;
	uint32_t next; // flow of the same list
	uint32_t count, last_count;
	uint64_t first_above_ns, drop_next_ns;
	uint8_t list;
	bool dropping;
};

struct list {
	uint32_t head, tail;
};

struct aqm {
	struct aqm_config config;
	uint32_t n_packets, n_bytes;
	struct list fresh, old;
	uint32_t free; // nodes that were used before
	uint32_t n_used; // those above were never used
	uint32_t n_delays;
	struct aqm_counts counts;
	struct node *nodes;
	struct flow *flows;
	uint32_t delays[AQM_DELAYS];
};

struct aqm *aqm_create(const struct aqm_config *config)
{
	struct aqm *aqm = calloc(1, sizeof(*aqm));

	if (!aqm)
		return NULL;
	aqm->config = *config;
	aqm->nodes = malloc(config->packets * sizeof(*aqm->nodes));
	aqm->flows = calloc(config->flows, sizeof(*aqm->flows));
	aqm->free = aqm->fresh.head = aqm->old.head = NONE;
	if (aqm->nodes && aqm->flows)
		return aqm;
	free(aqm->nodes);
	free(aqm->flows);
	free(aqm);
	return NULL;
}

void aqm_free(struct aqm *aqm)
{
	struct rte_mbuf *packet;
	uint32_t bytes;
	uint64_t at_ns;

	if (!aqm)
		return;
	while ((packet = aqm_take(aqm, &bytes, &at_ns)))
		rte_pktmbuf_free(packet);
	free(aqm->nodes);
	free(aqm->flows);
	free(aqm);
}

// --- Flows and their packets ---

static void list_add(struct aqm *aqm, struct list *list, uint32_t flow)
{
	aqm->flows[flow].next = NONE;
	if (list->head == NONE)
		list->head = flow;
	else
		aqm->flows[list->tail].next = flow;
	list->tail = flow;
}

static uint32_t list_take(struct aqm *aqm, struct list *list)
{
	const uint32_t flow = list->head;

	list->head = aqm->flows[flow].next;
	return flow;
}

static uint32_t node_take(struct aqm *aqm)
{
	const uint32_t node = aqm->free;

	if (node == NONE)
		return aqm->n_used++;
	aqm->free = aqm->nodes[node].next;
	return node;
}

// The first packet of a flow that has one.
static struct node flow_pop(struct aqm *aqm, struct flow *flow)
{
	const uint32_t at = flow->head;
	const struct node node = aqm->nodes[at];

	flow->head = node.next;
	flow->bytes -= node.bytes;
	aqm->n_packets--;
	aqm->n_bytes -= node.bytes;
	aqm->nodes[at].next = aqm->free;
	aqm->free = at;
	return node;
}

static bool flow_is_empty(const struct flow *flow)
{
	return !flow->bytes;
}

static uint32_t drop(struct rte_mbuf *packet)
{
	const uint32_t n = packet_wire_count(packet);

	rte_pktmbuf_free(packet);
	return n;
}

// --- In ---

static struct flow *longest_in(struct aqm *aqm, const struct list *list, struct flow *longest)
{
	for (uint32_t i = list->head; i != NONE; i = aqm->flows[i].next)
		if (!longest || aqm->flows[i].bytes > longest->bytes)
			longest = &aqm->flows[i];
	return longest;
}

// Up to half of what the longest flow has: looking for it is not done for each packet.
static uint32_t drop_from_longest(struct aqm *aqm)
{
	struct flow *flow = longest_in(aqm, &aqm->old, longest_in(aqm, &aqm->fresh, NULL));
	const uint32_t half = flow ? flow->bytes / 2 : 0;
	uint32_t dropped = 0;

	for (unsigned int i = 0; flow && !flow_is_empty(flow) && i < MAX_DROPS_AT_ONCE; i++) {
		dropped += drop(flow_pop(aqm, flow).packet);
		if (flow->bytes <= half)
			break;
	}
	return dropped;
}

static bool has_room(const struct aqm *aqm, uint32_t bytes)
{
	// One packet always fits, however large it is.
	return aqm->n_packets < aqm->config.packets &&
	       (!aqm->n_packets || aqm->n_bytes + bytes <= aqm->config.bytes);
}

static void append(struct aqm *aqm, struct rte_mbuf *packet, uint32_t bytes, uint64_t at_ns)
{
	const uint32_t flows = aqm->config.flows;
	const uint32_t number = flows > 1 ? ip_header_hash(packet) & (flows - 1) : 0;
	struct flow *flow = &aqm->flows[number];
	const uint32_t at = node_take(aqm);

	aqm->nodes[at] = (struct node){ packet, at_ns, bytes, NONE };
	if (flow_is_empty(flow))
		flow->head = at;
	else
		aqm->nodes[flow->tail].next = at;
	flow->tail = at;
	flow->bytes += bytes;
	aqm->n_packets++;
	aqm->n_bytes += bytes;
	if (flow->list != LIST_NONE)
		return;
	flow->list = LIST_NEW;
	flow->deficit = (int32_t)aqm->config.quantum;
	list_add(aqm, &aqm->fresh, number);
}

uint32_t aqm_enqueue(struct aqm *aqm, struct rte_mbuf *packet, uint32_t bytes, uint64_t at_ns)
{
	uint32_t dropped = 0;

	if (!bytes)
		bytes = 1; // a flow with packets has bytes
	while (aqm->config.target_ns && !has_room(aqm, bytes))
		dropped += drop_from_longest(aqm);
	if (has_room(aqm, bytes))
		append(aqm, packet, bytes, at_ns);
	else
		dropped += drop(packet);
	aqm->counts.n_full += dropped;
	return dropped;
}

// --- Out: CoDel ---

static uint64_t control_law(const struct aqm *aqm, uint64_t t, uint32_t count)
{
	return t + (uint64_t)((double)aqm->config.interval_ns / sqrt(count));
}

// Pop a packet; `late`: the flow has been too slow for an interval.
static bool codel_pop(struct aqm *aqm, struct flow *flow, uint64_t now_ns, struct node *node,
		      bool *late)
{
	*late = false;
	if (flow_is_empty(flow)) {
		flow->first_above_ns = 0;
		return false;
	}
	*node = flow_pop(aqm, flow);
	if (now_ns - node->at_ns < aqm->config.target_ns || (int64_t)(now_ns - node->at_ns) < 0 ||
	    flow->bytes <= FEW_BYTES)
		flow->first_above_ns = 0;
	else if (!flow->first_above_ns)
		flow->first_above_ns = now_ns + aqm->config.interval_ns;
	else
		*late = now_ns >= flow->first_above_ns;
	return true;
}

// Tell the packet's sender: by a mark, then the packet goes on, or by dropping it.
static bool codel_mark(struct aqm *aqm, struct node *node, uint32_t *dropped)
{
	if (aqm->config.ecn && ip_header_set_congestion(&node->packet)) {
		aqm->counts.marks++;
		return true;
	}
	const uint32_t n = drop(node->packet);

	aqm->counts.n_delay += n;
	*dropped += n;
	return false;
}

static bool codel_go_on(struct aqm *aqm, struct flow *flow, uint64_t now_ns, struct node *node,
			bool late, uint32_t *dropped)
{
	flow->dropping = late;
	while (flow->dropping && now_ns >= flow->drop_next_ns) {
		flow->count++;
		if (codel_mark(aqm, node, dropped)) {
			flow->drop_next_ns = control_law(aqm, flow->drop_next_ns, flow->count);
			return true;
		}
		if (!codel_pop(aqm, flow, now_ns, node, &late)) {
			flow->dropping = false;
			return false;
		}
		flow->dropping = late;
		if (late)
			flow->drop_next_ns = control_law(aqm, flow->drop_next_ns, flow->count);
	}
	return true;
}

static bool codel_begin(struct aqm *aqm, struct flow *flow, uint64_t now_ns, struct node *node,
			uint32_t *dropped)
{
	const uint32_t since = flow->count - flow->last_count;
	bool late, got = true;

	if (!codel_mark(aqm, node, dropped))
		got = codel_pop(aqm, flow, now_ns, node, &late);
	flow->dropping = true;
	// Where it was dropping not long ago, it goes on at the rate that it had found.
	flow->count =
		since > 1 && now_ns - flow->drop_next_ns < 16 * aqm->config.interval_ns ? since : 1;
	flow->last_count = flow->count;
	flow->drop_next_ns = control_law(aqm, now_ns, flow->count);
	return got;
}

static bool codel(struct aqm *aqm, struct flow *flow, uint64_t now_ns, struct node *node,
		  uint32_t *dropped)
{
	bool late;

	if (!codel_pop(aqm, flow, now_ns, node, &late)) {
		flow->dropping = false;
		return false;
	}
	if (!aqm->config.target_ns)
		return true;
	if (flow->dropping)
		return codel_go_on(aqm, flow, now_ns, node, late, dropped);
	return !late || codel_begin(aqm, flow, now_ns, node, dropped);
}

// --- Out: the flows in turn (RFC 8290 section 4.2) ---

static void note_delay(struct aqm *aqm, uint64_t ns)
{
	const uint64_t value = (int64_t)ns < 4 ? 4 : ns;
	const unsigned int power = 63 - (unsigned int)__builtin_clzll(value);
	unsigned int at = power * 4 + (unsigned int)(value >> (power - 2) & 3);

	if (at >= AQM_DELAYS)
		at = AQM_DELAYS - 1;
	aqm->delays[at]++;
	if (++aqm->n_delays < MANY_DELAYS)
		return;
	aqm->n_delays = 0;
	for (unsigned int i = 0; i < AQM_DELAYS; i++)
		aqm->n_delays += aqm->delays[i] /= 2;
}

// The flow whose turn it is; NONE: all are empty and in no list.
static uint32_t next_flow(struct aqm *aqm, struct list **list)
{
	for (;;) {
		struct flow *flow;

		*list = aqm->fresh.head != NONE ? &aqm->fresh : &aqm->old;
		if ((*list)->head == NONE)
			return NONE;
		flow = &aqm->flows[(*list)->head];
		if (flow->deficit > 0)
			return (*list)->head;
		// As many turns at once as a packet of 64 KiB takes.
		flow->deficit += (int32_t)aqm->config.quantum *
				 (1 - flow->deficit / (int32_t)aqm->config.quantum);
		flow->list = LIST_OLD;
		list_add(aqm, &aqm->old, list_take(aqm, *list));
	}
}

// An empty flow: one that is new stays for a turn among the old ones, so that it cannot come back as
// new at once.
static void retire(struct aqm *aqm, struct list *list)
{
	const uint32_t number = list_take(aqm, list);

	if (list == &aqm->fresh && aqm->old.head != NONE) {
		aqm->flows[number].list = LIST_OLD;
		list_add(aqm, &aqm->old, number);
	} else {
		aqm->flows[number].list = LIST_NONE;
	}
}

struct rte_mbuf *aqm_dequeue(struct aqm *aqm, uint64_t now_ns, uint32_t *bytes, uint32_t *dropped)
{
	struct list *list;
	struct node node;
	uint32_t number;

	while ((number = next_flow(aqm, &list)) != NONE) {
		struct flow *flow = &aqm->flows[number];

		if (!codel(aqm, flow, now_ns, &node, dropped)) {
			retire(aqm, list);
			continue;
		}
		flow->deficit -= (int32_t)node.bytes;
		aqm->counts.packets += packet_wire_count(node.packet);
		aqm->counts.bytes += node.bytes;
		note_delay(aqm, now_ns - node.at_ns);
		*bytes = node.bytes;
		return node.packet;
	}
	return NULL;
}

struct rte_mbuf *aqm_take(struct aqm *aqm, uint32_t *bytes, uint64_t *at_ns)
{
	struct list *list;
	uint32_t number;

	while ((number = next_flow(aqm, &list)) != NONE) {
		struct flow *flow = &aqm->flows[number];

		if (flow_is_empty(flow)) {
			retire(aqm, list);
			continue;
		}
		const struct node node = flow_pop(aqm, flow);

		*bytes = node.bytes;
		*at_ns = node.at_ns;
		return node.packet;
	}
	return NULL;
}

// --- What it is like ---

uint32_t aqm_packets(const struct aqm *aqm)
{
	return aqm->n_packets;
}

uint32_t aqm_bytes(const struct aqm *aqm)
{
	return aqm->n_bytes;
}

struct aqm_counts *aqm_counts(struct aqm *aqm)
{
	return &aqm->counts;
}

uint64_t aqm_delay(const struct aqm *aqm, double part)
{
	uint64_t total = 0, sum = 0;

	for (unsigned int i = 0; i < AQM_DELAYS; i++)
		total += aqm->delays[i];
	for (unsigned int i = 0; i < AQM_DELAYS && total; i++) {
		sum += aqm->delays[i];
		if ((double)sum >= part * (double)total) // the upper end of what is counted there
			return (uint64_t)(5 + i % 4) << (i / 4 - 2);
	}
	return 0;
}
