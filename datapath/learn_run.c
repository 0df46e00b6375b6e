// What a worker does for learn and fin_timeout. Hot; see datapath/learn.h.
#include "datapath/learn.h"

#include "common/hash.h"
#include "common/text.h"
#include "datapath/cache.h"
#include "datapath/subfield.h"

#include <rte_cycles.h>
#include <string.h>
#include <unistd.h>

// The main thread needs a millisecond or so; asking again in the meantime would be in vain.
#define ASK_AGAIN_MS 5

#define TCP_FIN_OR_RST RTE_BE16(0x0005)

// The bits of a subfield as whole bytes, the most significant first. Returns how many bytes.
static unsigned int subfield_bytes(struct vector *vector, unsigned int packet,
				   const struct subfield *from, uint8_t *to)
{
	const struct field *field = from->field;
	const uint8_t *bytes =
		(const uint8_t *)vector->lines[field->offset / KEY_LINE_SIZE][packet] +
		field->offset % KEY_LINE_SIZE;
	const unsigned int first = (unsigned int)field->shift + from->offset;
	const unsigned int size = (from->n_bits + 7u) / 8;

	if (likely(!in_options(field) && first % 8 == 0 && from->n_bits % 8 == 0)) {
		memcpy(to, bytes + field->size - (first + from->n_bits) / 8, size);
		return size;
	}
	memset(to, 0, size);
	for (unsigned int bit = 0; bit < from->n_bits; bit++) {
		const unsigned int at = first + bit;
		const unsigned int one = in_options(field) ? key_bit_get(vector, packet, field, at)
							   : bit_get(bytes, field->size, at);

		to[size - 1 - bit / 8] |= (uint8_t)(one << bit % 8);
	}
	return size;
}

static uint64_t hash_more(uint64_t hash, const uint8_t *bytes, unsigned int size)
{
	while (size) {
		const unsigned int n = size < 8 ? size : 8;
		uint64_t word = 0;

		memcpy(&word, bytes, n);
		hash = hash_word(hash, word);
		bytes += n;
		size -= n;
	}
	return hash;
}

// Take the packet's part of the flow: with the action it says everything.
static void collect(struct vector *vector, unsigned int packet, const struct op_learn *op,
		    struct learn_request *request)
{
	uint64_t match_hash = hash_key[0], action_hash = hash_key[0] ^ 1;
	uint8_t *to = request->values;

	for (unsigned int i = 0; i < op->n_specs; i++) {
		const struct learn_spec *spec = &op->specs[i];
		unsigned int size;

		if (!spec->source.field)
			continue;
		size = subfield_bytes(vector, packet, &spec->source, to);
		if (spec->kind == LEARN_MATCH)
			match_hash = hash_more(match_hash, to, size);
		else
			action_hash = hash_more(action_hash, to, size);
		to += size;
	}
	request->op = op;
	request->match_hash = hash_finish(match_hash);
	request->action_hash = hash_finish(action_hash);
}

static struct learn_entry *find_entry(const struct learn_rule *rule, uint64_t match_hash)
{
	const struct learn_buckets *buckets = rcu_read(&rule->buckets);
	struct learn_entry *entry =
		buckets ? rcu_read(&buckets->heads[match_hash & buckets->mask]) : NULL;

	while (entry && entry->match_hash != match_hash)
		entry = rcu_read(&entry->next);
	return entry;
}

// Was the same asked for a moment ago? If not, it is now.
static bool asked_already(struct learn_queue *queue, const struct learn_request *request)
{
	const uint64_t hash = hash_word(request->match_hash ^ request->slot, request->action_hash);
	const uint64_t now = rte_rdtsc();
	const unsigned int at = (unsigned int)(hash % LEARN_RECENT);

	if (queue->recent[at].hash == hash &&
	    now - queue->recent[at].tsc < rte_get_tsc_hz() / 1000 * ASK_AGAIN_MS)
		return true;
	queue->recent[at].hash = hash;
	queue->recent[at].tsc = now;
	return false;
}

static void forget_asked(struct learn_queue *queue, const struct learn_request *request)
{
	const uint64_t hash = hash_word(request->match_hash ^ request->slot, request->action_hash);

	queue->recent[hash % LEARN_RECENT].hash = 0;
}

// Wake the main thread, unless it knows. This is the one system call, and it is rare: as long as
// requests keep coming the main thread looks by itself.
static void tell(struct learn_queue *queue)
{
	const uint64_t one = 1;

	if (likely(__atomic_exchange_n(&queue->told, 1, __ATOMIC_SEQ_CST)) || queue->fd < 0)
		return;
	// A full counter is as good as a higher one.
	if (write(queue->fd, &one, sizeof(one)) < 0)
		return;
}

static void ask(struct learn_queue *queue, struct learn_request *request)
{
	if (likely(rte_ring_sp_enqueue_elem(queue->ring, request, sizeof(*request)) == 0)) {
		tell(queue);
		return;
	}
	queue->n_lost++;
	forget_asked(queue, request); // the next packet tries again
	if (request->group)
		__atomic_fetch_sub(&request->group->n_pending, 1, __ATOMIC_RELAXED);
}

// A flow that is not known, or does something else so far. False if there is no room for it.
static bool learn_new(struct forward *forward, struct learn_request *request, bool exists)
{
	struct learn_queue *queue = forward->worker->learn;
	const struct learn_rule *rule = request->op->rule;
	uint32_t pending;

	if (unlikely(!queue))
		return true;
	if (!rule) { // not on a bridge: there is nobody who limits
		request->group = NULL;
		request->slot = UINT32_MAX;
		request->generation = 0;
		request->in_port = 0;
		ask(queue, request);
		return true;
	}
	request->slot = rule->slot;
	request->generation = rule->generation;
	request->group = rule->group;
	request->in_port = forward->in_port->ofport == OFPP_LOCAL ? LEARN_PORT_LOCAL
								  : forward->in_port->ofport;
	if (asked_already(queue, request))
		return true;
	pending = __atomic_fetch_add(&rule->group->n_pending, 1, __ATOMIC_RELAXED);
	if (!exists &&
	    !learn_has_room(request->op, rule->group, rcu_read(&rule->group->n_flows) + pending,
			    request->in_port)) {
		__atomic_fetch_sub(&rule->group->n_pending, 1, __ATOMIC_RELAXED);
		forget_asked(queue, request);
		return false;
	}
	ask(queue, request);
	return true;
}

// A traced packet teaches nothing.
static bool trace_learn(struct forward *forward, const struct learn_request *request,
			const struct learn_entry *entry, unsigned int depth)
{
	const struct op_learn *op = request->op;
	const uint32_t port = forward->in_port->ofport == OFPP_LOCAL ? LEARN_PORT_LOCAL
								     : forward->in_port->ofport;
	const char *verb = "would learn";
	struct text text = { 0 };
	bool room = true;

	if (entry && entry->action_hash == request->action_hash)
		verb = "knows already";
	else if (entry)
		verb = "would change to";
	else if (op->rule)
		room = learn_has_room(op, op->rule->group, op->rule->group->n_flows, port);
	learn_describe(op, request->values, forward->forwarding->tun_map, &text);
	forward->trace->note(forward->trace->context, depth, "learn: %s %s",
			     room ? verb : "the limit is reached; would learn",
			     text.data ? text.data : "");
	text_free(&text);
	return room;
}

uint64_t learn_run(struct forward *forward, const struct op_learn *op, uint64_t packets,
		   unsigned int depth)
{
	const struct learn_rule *rule = op->rule;
	struct learn_request request;
	uint64_t failed = 0;

	for_each_packet(i, packets)
	{
		struct learn_entry *entry;
		bool learned = true;

		collect(forward->vector, (unsigned int)i, op, &request);
		entry = rule ? find_entry(rule, request.match_hash) : NULL;
		if (unlikely(forward->trace != NULL)) {
			learned = trace_learn(forward, &request, entry, depth);
		} else if (likely(entry && entry->action_hash == request.action_hash)) {
			if (!__atomic_load_n(&entry->touched, __ATOMIC_RELAXED))
				__atomic_store_n(&entry->touched, 1, __ATOMIC_RELAXED);
			if (unlikely(forward->recorded))
				cache_note_learned(forward, entry, (unsigned int)i);
		} else {
			learned = learn_new(forward, &request, entry != NULL);
			if (unlikely(forward->recorded))
				cache_note_learned(forward, NULL, (unsigned int)i);
		}
		failed |= (uint64_t)!learned << i;
	}
	return failed;
}

void fin_timeout_run(struct forward *forward, const struct op_fin_timeout *op, uint64_t packets)
{
	struct op_fin_timeout *writable = (struct op_fin_timeout *)(uintptr_t)op;

	if (forward->trace || __atomic_load_n(&op->seen, __ATOMIC_RELAXED))
		return;
	for_each_packet(i, packets)
	{
		const struct packet_layout *layout = &forward->vector->layout[i];

		if (layout->l4 && layout->l4_proto == 6 &&
		    vector_core(forward->vector, (unsigned int)i)->tcp_flags & TCP_FIN_OR_RST)
			__atomic_store_n(&writable->seen, 1, __ATOMIC_RELAXED);
	}
}
