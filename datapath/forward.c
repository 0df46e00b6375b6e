#include "datapath/forward.h"

#include "common/rcu.h"
#include "datapath/cache.h"
#include "datapath/guard.h"
#include "datapath/mirror.h"
#include "datapath/parse.h"
#include "datapath/qos.h"
#include "datapath/view.h"

#include <string.h>

static void keys_init(struct vector *vector)
{
	for (unsigned int line = 0; line < KEY_LINES; line++)
		vector->keys.lines[line] = vector->lines[line];
}

// Headers are read from the first segment. Returns the packet, or its copy; `lost` if there is no
// memory for that.
static struct rte_mbuf *gather(struct rte_mbuf *packet, uint64_t bit, uint64_t *lost)
{
	struct rte_mbuf *gathered = packet_gather(packet);

	if (gathered)
		return gathered;
	*lost |= bit;
	return packet;
}

// Packets that are several on the wire count as many. Returns how many more that are.
static uint64_t note_large(struct vector *vector, uint64_t *bytes)
{
	uint64_t more = 0;

	for (unsigned int i = 0; i < vector->n; i++) {
		const struct rte_mbuf *packet = vector->packets[i];

		if (!packet_is_large(packet))
			continue;
		vector->large |= 1ULL << i;
		vector->length[i] = packet_wire_bytes(packet);
		*bytes += vector->length[i] - packet->pkt_len;
		more += packet_wire_count(packet) - 1;
	}
	return more;
}

// A packet that somebody makes may start with metadata that no real one has.
static void set_metadata(struct vector *vector, const struct key *key)
{
	static const enum key_line lines[] = { KEY_LINE_REGISTERS, KEY_LINE_REGISTERS2,
					       KEY_LINE_TUNNEL, KEY_LINE_CONNTRACK,
					       KEY_LINE_TUNNEL6 };
	struct key_core *core = vector_core(vector, 0);
	struct key_rare *rare = vector_rare(vector, 0);

	for (unsigned int i = 0; i < RTE_DIM(lines); i++)
		memcpy(vector->lines[lines[i]][0], &key->words[lines[i] * KEY_LINE_WORDS],
		       KEY_LINE_SIZE);
	if (!key->tunnel.actset_output)
		vector_tunnel(vector, 0)->actset_output = RTE_BE32(OFPP_UNSET);
	core->metadata = key->core.metadata;
	core->pkt_mark = key->core.pkt_mark;
	core->ct_state = key->core.ct_state;
	core->ct_zone = key->core.ct_zone;
	core->ct_mark = key->core.ct_mark;
	rare->ct_nw_proto = key->rare.ct_nw_proto;
	rare->ct_tp_src = key->rare.ct_tp_src;
	rare->ct_tp_dst = key->rare.ct_tp_dst;
	rare->ct_nw_src = key->rare.ct_nw_src;
	rare->ct_nw_dst = key->rare.ct_nw_dst;
}

// A traced vector has one packet.
static void trace_receive(struct forward *forward)
{
	const struct trace *trace = forward->trace;
	struct key key;

	if (trace->metadata && !forward->hops)
		set_metadata(forward->vector, trace->metadata);
	vector_get_key(forward->vector, 0, &key);
	trace->receive(trace->context, forward->forwarding, forward->in_port, forward->hops,
		       forward->vector->packets[0], &key);
}

// Spanning tree packets (IEEE 802.1D) are switched off apart from all others.
static uint64_t refuse_received(struct forward *forward, const struct forwarding_port *port,
				uint64_t packets)
{
	static const uint8_t stp[6] = { 0x01, 0x80, 0xc2, 0x00, 0x00, 0x00 };
	uint64_t good = packets;

	for_each_packet(i, packets)
	{
		const uint8_t *to = rte_pktmbuf_mtod(forward->vector->packets[i], const uint8_t *);
		const bool is_stp = !memcmp(to, stp, sizeof(stp));
		const bool refused = is_stp ? port->no_receive_stp : port->no_receive;

		if (!refused && port->admin_up)
			continue;
		output_drop(forward, (unsigned int)i,
			    !port->admin_up   ? DROP_RX_DOWN
			    : port->is_mirror ? DROP_RX_MIRROR_PORT
					      : DROP_RX_NO_RECEIVE);
		good &= ~(1ULL << i);
	}
	return good;
}

static void run_packet_out(struct forward *forward, const struct packet_out *out, uint64_t packets)
{
	forward->may_output_table = true;
	actions_run(forward, out->program, 0, packets, 0, NULL);
	forward->may_output_table = false;
}

// May the traversal cache be asked? The generation is read before all that it is the generation of.
static void find_cache(struct forward *forward, uint16_t lines)
{
	const struct cache_key *key;

	if (!forward->worker->cache || forward->view != VIEW_NONE || !(lines & KEY_LINES_HEADERS) ||
	    rcu_read(&cache_mode) == CACHE_NEVER)
		return;
	forward->generation = rcu_read(&forward->forwarding->generation);
	key = rcu_read(&forward->forwarding->cache_key);
	if (key && !key->too_wide && key->since <= forward->generation)
		forward->cache_key = key;
}

// Carry one vector from its port to wherever the flow tables send it.
static void forward_vector(struct worker *worker, struct forwarding *forwarding,
			   struct forwarding_port *port, unsigned int hops,
			   struct rte_mbuf **packets, uint16_t n)
{
	struct vector *vector = &worker->vector;
	struct forward forward = {
		.worker = worker,
		.forwarding = forwarding,
		.in_port = port,
		.view = worker->view,
		.hops = hops,
		.vector = vector,
		.trace = worker->trace,
		.mirrors = rcu_read(&forwarding->mirrors),
	};
	const struct packet_out *out = hops ? NULL : worker->packet_out;
	uint64_t all = vector_mask(n), good, lost = 0;
	uint64_t bytes = 0, flags = 0, n_wire = n;
	struct ingress *ingress;
	uint16_t lines;

	PROFILE_ENTER(worker, VECTOR);
	keys_init(vector);
	vector->n = n;
	vector->has_action_set = 0;
	vector->delivered = 0;
	memset(vector->dirty, 0, sizeof(vector->dirty));
	memset(vector->n_lookups, 0, sizeof(vector->n_lookups));
	memset(vector->stacks, 0, sizeof(vector->stacks));
	memset(vector->pending, 0, sizeof(*vector->pending) * n);
	vector->missed = 0;
	vector->large = 0;
	for (unsigned int i = 0; i < n; i++) {
		if (unlikely(packet_is_scattered(packets[i])))
			packets[i] = gather(packets[i], 1ULL << i, &lost);
		flags |= packets[i]->ol_flags;
		vector->packets[i] = packets[i];
		vector->length[i] = rte_pktmbuf_pkt_len(packets[i]);
		bytes += vector->length[i];
	}
	if (unlikely(flags & PACKET_LARGE))
		n_wire += note_large(vector, &bytes);
	if (likely(!worker->trace)) {
		struct port_counters *counters = &worker->ports[port->vport->index];

		counters->rx_packets += n_wire;
		counters->rx_bytes += bytes;
	}

	lines = rcu_read(&forwarding->lines);
	if (likely(!worker->trace && !out))
		find_cache(&forward, lines);
	if (unlikely(worker->trace)) // which tells of every field
		lines = KEY_LINES_HEADERS | ((1 << KEY_LINES) - 1);
	PROFILE_ENTER(worker, PARSE);
	good = parse_vector(vector, all, out ? out->in_port : port->ofport, lines);
	PROFILE_LEAVE(worker, PARSE);
	if (unlikely(out))
		set_metadata(vector, out->metadata);
	if (unlikely(worker->trace))
		trace_receive(&forward);
	for_each_packet(i, all & ~good & ~lost)
		output_drop(&forward, (unsigned int)i, DROP_RX_INVALID);
	if (unlikely(lost))
		for_each_packet(i, lost) output_drop(&forward, (unsigned int)i, DROP_NO_MEMORY);
	good &= ~lost;
	if (unlikely(!port->admin_up || port->no_receive || port->no_receive_stp))
		good = refuse_received(&forward, port, good);
	if (unlikely(forward.mirrors))
		mirror_receive(&forward, out ? 0 : good);
	ingress = rcu_read(&port->vport->ingress);
	if (unlikely(ingress && good))
		good = qos_receive(&forward, ingress, good);
	if (unlikely(port->guard) && likely(!out))
		good = guard_run(&forward, port->guard, good);
	if (likely(good)) {
		if (unlikely(out))
			run_packet_out(&forward, out, good);
		else if (forward.cache_key)
			cache_run(&forward, good);
		else
			pipeline_run(&forward, 0, good, 0);
		if (vector->has_action_set)
			actions_run_sets(&forward, good & ~forward.finished, 0);
	}
	PROFILE_ENTER(worker, OUTPUT);
	output_finish(&forward, all);
	PROFILE_LEAVE(worker, OUTPUT);
	if (unlikely(worker->trace))
		worker->trace->finish(worker->trace->context, vector->n_lookups[0]);
	PROFILE_LEAVE(worker, VECTOR);
}

// Packets that passed from one bridge to another while a vector ran. Each goes on alone or with
// its neighbours of the same port; how often one packet may pass is bounded by its hop count.
static void forward_patched(struct worker *worker)
{
	while (worker->patch_head != worker->patch_tail) {
		struct rte_mbuf *packets[VECTOR_SIZE];
		const struct patch_packet first =
			worker->patch_queue[worker->patch_head % PATCH_QUEUE_SIZE];
		struct forwarding_port *to = first.to;
		struct forwarding *forwarding = rcu_read(&to->vport->forwarding);
		uint16_t n = 0;

		while (n < VECTOR_SIZE && worker->patch_head != worker->patch_tail) {
			const struct patch_packet *entry =
				&worker->patch_queue[worker->patch_head % PATCH_QUEUE_SIZE];

			if (entry->to != to || entry->hops != first.hops ||
			    unlikely(n && worker->trace))
				break;
			packets[n++] = entry->packet;
			worker->patch_head++;
		}
		if (likely(forwarding)) {
			forward_vector(worker, forwarding, to, first.hops, packets, n);
			continue;
		}
		if (!worker->trace)
			worker->ports[to->vport->index].rx_packets += n;
		else
			worker->trace->drop(worker->trace->context, to, DROP_RX_NO_BRIDGE);
		worker_count_rx_drop(worker, to->vport, DROP_RX_NO_BRIDGE, n);
		rte_pktmbuf_free_bulk(packets, n);
	}
}

void forward_burst(struct worker *worker, struct forwarding *forwarding,
		   struct forwarding_port *port, struct rte_mbuf **packets, uint16_t n)
{
	// Before all else, so that whatever was made for this view is seen.
	worker->view = (enum flow_view)rcu_read(&workers_view);
	forward_vector(worker, forwarding, port, 0, packets, n);
	forward_patched(worker);
	output_flush(worker);
	if (worker->cache && worker->cache->n_pending) {
		PROFILE_ENTER(worker, CACHE);
		cache_fold(worker, CACHE_FOLD);
		PROFILE_LEAVE(worker, CACHE);
	}
}

bool forward_parse_key(struct rte_mbuf *packet, uint32_t in_port, struct key *key)
{
	static __thread struct vector vector;
	struct rte_mbuf *copy = packet_is_scattered(packet) ? packet_copy(packet) : NULL;
	bool good;

	keys_init(&vector);
	vector.packets[0] = copy ? copy : packet;
	good = parse_vector(&vector, 1, in_port, KEY_LINES_HEADERS | ((1 << KEY_LINES) - 1)) != 0;
	vector_get_key(&vector, 0, key);
	rte_pktmbuf_free(copy);
	return good;
}
