// Action sets: what write_actions gathers, and its end (ovs-actions(7), Action Sets).
#include "datapath/actions.h"

static enum set_place place_of(const struct op *op)
{
	switch (op->code) {
	case OP_POP_VLAN:
		return SET_PLACE_POP_VLAN;
	case OP_POP_MPLS:
		return SET_PLACE_POP_MPLS;
	case OP_DECAP:
		return SET_PLACE_DECAP;
	case OP_ENCAP:
		return SET_PLACE_ENCAP;
	case OP_PUSH_MPLS:
		return SET_PLACE_PUSH_MPLS;
	case OP_PUSH_VLAN:
		return SET_PLACE_PUSH_VLAN;
	case OP_COPY_TTL_IN:
		return SET_PLACE_COPY_TTL_IN;
	case OP_COPY_TTL_OUT:
		return SET_PLACE_COPY_TTL_OUT;
	case OP_DEC_TTL:
		return SET_PLACE_DEC_TTL;
	case OP_DEC_MPLS_TTL:
		return SET_PLACE_DEC_MPLS_TTL;
	case OP_DEC_NSH_TTL:
		return SET_PLACE_DEC_NSH_TTL;
	case OP_SET_QUEUE:
		return SET_PLACE_QUEUE;
	case OP_GROUP:
		return SET_PLACE_GROUP;
	case OP_OUTPUT:
	case OP_OUTPUT_REG:
	case OP_CONTROLLER:
		return SET_PLACE_OUTPUT;
	case OP_RESUBMIT:
		return SET_PLACE_RESUBMIT;
	default:
		return SET_PLACE_WRITES;
	}
}

// A constant write whose effect depends on nothing that is there.
static bool is_plain_write(const struct op *op)
{
	return op->code == OP_SET &&
	       !(fields[((const struct op_set *)op)->field].dirty & DIRTY_VLAN);
}

// Writes add up in the order in which they came. The same one again, as in a loop of tables, takes
// the place of its former self: with nothing but plain writes that makes no difference.
static bool add_write(struct action_set *set, const struct op *op)
{
	bool plain = is_plain_write(op);
	uint32_t same = set->n_fields;

	for (uint32_t i = 0; i < set->n_fields && plain; i++) {
		plain = is_plain_write(set->fields[i]);
		if (set->fields[i] == op)
			same = i;
	}
	if (plain && same < set->n_fields)
		memmove(&set->fields[same], &set->fields[same + 1],
			(--set->n_fields - same) * sizeof(*set->fields));
	if (unlikely(set->n_fields == ACTION_SET_MAX_FIELDS))
		return false;
	set->fields[set->n_fields++] = op;
	return true;
}

static void clear(struct action_set *set)
{
	memset(set, 0, offsetof(struct action_set, fields));
}

static bool add_all(struct action_set *set, const uint8_t *at, size_t size)
{
	const uint8_t *const end = at + size;

	for (; at < end; at += ((const struct op *)at)->size) {
		const struct op *op = (const struct op *)at;
		const enum set_place place = place_of(op);

		if (place != SET_PLACE_WRITES)
			set->places[place] = op;
		else if (!add_write(set, op))
			return false;
	}
	return true;
}

static void too_many(struct forward *forward, unsigned int packet)
{
	output_drop(forward, packet, DROP_ACTION_SET);
	forward_finish(forward, packet);
}

// The port that the set's output goes to: what the field of the same name says.
static rte_be32_t actset_output(const struct vector *vector, unsigned int packet)
{
	const struct action_set *set = &vector->action_sets[packet];
	const struct op *op = set->places[SET_PLACE_OUTPUT];

	if (!(vector->has_action_set >> packet & 1) || set->places[SET_PLACE_GROUP] || !op)
		return RTE_BE32(OFPP_UNSET);
	if (op->code == OP_CONTROLLER)
		return RTE_BE32(OFPP_CONTROLLER);
	// The port of output:FIELD is not known before it runs.
	return op->code == OP_OUTPUT ? rte_cpu_to_be_32(((const struct op_output *)op)->port)
				     : RTE_BE32(OFPP_UNSET);
}

static void update_actset_output(struct vector *vector, uint64_t packets)
{
	if (likely(!(vector->live_lines & 1 << KEY_LINE_TUNNEL)))
		return;
	for_each_packet(i, packets) vector_tunnel(vector, (unsigned int)i)->actset_output =
		actset_output(vector, (unsigned int)i);
}

void actions_clear_set(struct forward *forward, uint64_t packets)
{
	forward->vector->has_action_set &= ~packets;
	update_actset_output(forward->vector, packets);
}

void actions_write_set(struct forward *forward, const struct op_nested *write, uint64_t packets)
{
	for_each_packet(i, packets)
	{
		struct action_set *set = &forward->vector->action_sets[i];

		if (!(forward->vector->has_action_set & 1ULL << i))
			clear(set);
		forward->vector->has_action_set |= 1ULL << i;
		if (unlikely(!add_all(set, (const uint8_t *)write->ops, write->length)))
			too_many(forward, (unsigned int)i);
	}
	update_actset_output(forward->vector, packets);
}

// The set's ops in their order. Returns how many there are.
static unsigned int put_in_order(const struct action_set *set, const struct op **ops)
{
	unsigned int n = 0;

	for (unsigned int place = 0; place < SET_PLACES; place++) {
		if (place == SET_PLACE_WRITES) {
			memcpy(&ops[n], set->fields, set->n_fields * sizeof(*ops));
			n += set->n_fields;
		} else if (set->places[place]) {
			ops[n++] = set->places[place];
			if (place >= SET_PLACE_GROUP)
				break;
		}
	}
	return n;
}

static void run_action_set(struct forward *forward, const struct action_set *set, uint8_t table_id,
			   uint64_t packets, unsigned int depth)
{
	const uint64_t all = packets;
	const struct op *ops[SET_PLACES + ACTION_SET_MAX_FIELDS];
	const unsigned int n = put_in_order(set, ops);

	for (unsigned int o = 0; o < n && packets; o++) {
		actions_run_op(forward, ops[o], table_id, packets, depth, false, NULL);
		packets &= ~(forward->finished | forward->exited | forward->stopped);
	}
	forward->stopped &= ~all;
}

// The packets' sets are empty afterwards. What a set's resubmit writes has no effect any more.
void actions_run_sets(struct forward *forward, uint64_t packets, unsigned int depth)
{
	struct vector *vector = forward->vector;
	uint64_t exited;

	packets &= vector->has_action_set;
	vector->has_action_set &= ~packets;
	exited = forward->exited & packets;
	forward->exited &= ~packets;
	if (unlikely(forward->trace && packets))
		forward->trace->scope_begin(forward->trace->context, TRACE_ACTION_SET, 0);
	for_each_packet(i, packets)
		run_action_set(forward, &vector->action_sets[i], 0, 1ULL << i, depth);
	if (unlikely(forward->trace && packets))
		forward->trace->scope_end(forward->trace->context);
	forward->exited |= exited;
}

void actions_run_bucket(struct forward *forward, const struct program *program, uint8_t table_id,
			uint64_t packets, unsigned int depth)
{
	struct action_set set;

	clear(&set);
	if (likely(add_all(&set, program->ops, program->size)))
		run_action_set(forward, &set, table_id, packets, depth);
	else
		for_each_packet(i, packets) too_many(forward, (unsigned int)i);
	forward->exited &= ~packets;
}
