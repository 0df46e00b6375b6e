#include "datapath/forward.h"

#include "common/rcu.h"
#include "datapath/parse.h"

#include <string.h>

static void keys_init(struct vector *vector)
{
	for (unsigned int line = 0; line < KEY_LINES; line++)
		vector->keys.lines[line] = vector->lines[line];
}

// Headers are read from the first segment: bring them there if a sender scattered them.
static void gather_headers(struct rte_mbuf *packet)
{
	if (unlikely(packet->nb_segs > 1 && rte_pktmbuf_data_len(packet) < 256) &&
	    rte_pktmbuf_pkt_len(packet) <=
		    rte_pktmbuf_data_len(packet) + (uint32_t)rte_pktmbuf_tailroom(packet))
		rte_pktmbuf_linearize(packet);
}

// A traced packet may start with metadata that no real one has.
static void set_trace_metadata(struct vector *vector, const struct key *key)
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
		.hops = hops,
		.vector = vector,
		.trace = worker->trace,
	};
	uint64_t all = vector_mask(n), good;
	uint64_t bytes = 0;

	keys_init(vector);
	vector->n = n;
	vector->has_action_set = 0;
	vector->delivered = 0;
	memset(vector->dirty, 0, sizeof(vector->dirty));
	memset(vector->n_lookups, 0, sizeof(vector->n_lookups));
	memset(vector->stacks, 0, sizeof(vector->stacks));
	memset(vector->pending, 0, sizeof(*vector->pending) * n);
	memset(vector->reason, DROP_ACTION, sizeof(vector->reason));
	for (unsigned int i = 0; i < n; i++) {
		gather_headers(packets[i]);
		vector->packets[i] = packets[i];
		vector->length[i] = rte_pktmbuf_pkt_len(packets[i]);
		bytes += vector->length[i];
	}
	if (likely(!worker->trace)) {
		struct port_counters *counters = &worker->ports[port->vport->index];

		counters->rx_packets += n;
		counters->rx_bytes += bytes;
	}

	good = parse_vector(vector, all, port->ofport, rcu_read(&forwarding->lines));
	if (unlikely(worker->trace && worker->trace->metadata && !hops))
		set_trace_metadata(vector, worker->trace->metadata);
	for_each_packet(i, all & ~good) output_drop(&forward, (unsigned int)i, DROP_RX_INVALID);
	if (unlikely(!port->admin_up)) {
		for_each_packet(i, good) output_drop(&forward, (unsigned int)i, DROP_RX_DOWN);
	} else if (likely(good)) {
		pipeline_run(&forward, 0, good, 0);
		if (vector->has_action_set)
			actions_run_sets(&forward, good & ~forward.finished, 0);
	}
	output_finish(&forward, all);
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

			if (entry->to != to || entry->hops != first.hops)
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
		worker_count_rx_drop(worker, to->vport, DROP_RX_NO_BRIDGE, n);
		rte_pktmbuf_free_bulk(packets, n);
	}
}

void forward_burst(struct worker *worker, struct forwarding *forwarding,
		   struct forwarding_port *port, struct rte_mbuf **packets, uint16_t n)
{
	forward_vector(worker, forwarding, port, 0, packets, n);
	forward_patched(worker);
	output_flush(worker);
}

bool forward_parse_key(struct rte_mbuf *packet, uint32_t in_port, struct key *key)
{
	static __thread struct vector vector;
	bool good;

	keys_init(&vector);
	vector.packets[0] = packet;
	good = parse_vector(&vector, 1, in_port, (1 << KEY_LINES) - 1) != 0;
	vector_get_key(&vector, 0, key);
	return good;
}
