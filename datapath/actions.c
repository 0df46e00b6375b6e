#include "datapath/forward.h"
#include "datapath/parse.h"
#include "datapath/write_back.h"

#include <string.h>

#define TPID_VLAN RTE_BE16(0x8100)
#define PRESENT RTE_BE16(KEY_VLAN_PRESENT)

// --- VLAN tags: changes of structure happen on the bytes, the key is read anew ---

static void push_vlan(struct forward *forward, unsigned int packet, rte_be16_t tpid, rte_be16_t tci)
{
	struct vector *vector = forward->vector;

	if (!output_make_writable(forward, packet))
		return;
	if (vector->dirty[packet])
		write_back(vector, packet);
	if (unlikely(!packet_push_vlan(vector->packets[packet], tpid, tci & ~PRESENT))) {
		output_drop(forward, packet, DROP_NO_MEMORY);
		forward_finish(forward, packet);
		return;
	}
	parse_again(vector, packet);
}

static void pop_vlan(struct forward *forward, unsigned int packet)
{
	struct vector *vector = forward->vector;

	if (!(vector_core(vector, packet)->vlan_tci0 & PRESENT) ||
	    !output_make_writable(forward, packet))
		return;
	if (vector->dirty[packet])
		write_back(vector, packet);
	packet_pop_vlan(vector->packets[packet]);
	parse_again(vector, packet);
}

// The outer tag's control information was written. If that brings a tag into being, or ends one,
// the packet's structure follows.
static void vlan_written(struct forward *forward, unsigned int packet, rte_be16_t old)
{
	struct key_core *core = vector_core(forward->vector, packet);
	const rte_be16_t new = core->vlan_tci0;

	if (likely(!((old ^ new) & PRESENT))) {
		if (!(new &PRESENT))
			core->vlan_tci0 = 0; // no tag, nothing to write
		return;
	}
	core->vlan_tci0 = old;
	if (new &PRESENT)
		push_vlan(forward, packet, TPID_VLAN, new);
	else
		pop_vlan(forward, packet);
}

// mod_vlan_vid and mod_vlan_pcp.
static void run_vlan(struct forward *forward, const struct op_vlan *op, uint64_t packets)
{
	const bool vid = op->op.code == OP_VLAN_VID;
	const rte_be16_t mask = vid ? RTE_BE16(0x0fff) : RTE_BE16(0xe000);
	const rte_be16_t value = rte_cpu_to_be_16((uint16_t)(vid ? op->value : op->value << 13));

	for_each_packet(i, packets)
	{
		struct key_core *core = vector_core(forward->vector, (unsigned int)i);

		if (core->vlan_tci0 & PRESENT) {
			core->vlan_tci0 = (core->vlan_tci0 & ~mask) | value;
			forward->vector->dirty[i] |= DIRTY_VLAN;
		} else if (op->push_if_missing) {
			push_vlan(forward, (unsigned int)i, TPID_VLAN, value);
		}
	}
}

// --- Fields ---

// Those of `packets` that have the header that the field is in: for the others a write does nothing
// (ovs-actions(7), set_field), neither now nor to what later tables match.
static uint64_t having_header(const struct vector *vector, uint16_t dirty, uint64_t packets)
{
	uint64_t having = 0;

	if (likely(!(dirty & ~(DIRTY_ETHERNET | DIRTY_VLAN))))
		return packets;
	for_each_packet(i, packets)
	{
		const struct packet_layout *layout = &vector->layout[i];
		bool has;

		if (dirty & (DIRTY_IPV4 | DIRTY_IPV6 | DIRTY_IP | DIRTY_ARP))
			has = layout->l3;
		else
			has = dirty & DIRTY_ND ? layout->nd : layout->l4;
		having |= (uint64_t)has << i;
	}
	return having;
}

static void run_set(struct forward *forward, const struct op_set *op, uint64_t packets)
{
	struct vector *vector = forward->vector;
	const uint16_t dirty = fields[op->field].dirty;
	rte_be16_t old[VECTOR_SIZE];

	packets = having_header(vector, dirty, packets);

	if (unlikely(dirty & DIRTY_VLAN))
		for_each_packet(i, packets) old[i] =
			vector_core(vector, (unsigned int)i)->vlan_tci0;
	for (unsigned int w = 0; w < op->n_words; w++) {
		const struct op_word *word = &op->words[w];
		uint64_t(*line)[KEY_LINE_WORDS] = vector->lines[word->line];
		const unsigned int index = word->word % KEY_LINE_WORDS;

		for_each_packet(i, packets) line[i][index] =
			(line[i][index] & ~word->mask) | word->value;
	}
	if (!dirty)
		return;
	for_each_packet(i, packets) vector->dirty[i] |= dirty;
	if (unlikely(dirty & DIRTY_VLAN))
		for_each_packet(i, packets) vlan_written(forward, (unsigned int)i, old[i]);
}

// The first byte of a field's container in a packet's lines. No container crosses a line.
static uint8_t *container(struct vector *vector, unsigned int packet, const struct field *field)
{
	return (uint8_t *)vector->lines[field->offset / KEY_LINE_SIZE][packet] +
	       field->offset % KEY_LINE_SIZE;
}

// One bit of a big-endian container, counted from its least significant.
static inline bool bit_get(const uint8_t *bytes, unsigned int size, unsigned int bit)
{
	return bytes[size - 1 - bit / 8] >> bit % 8 & 1;
}

static inline void bit_put(uint8_t *bytes, unsigned int size, unsigned int bit, bool value)
{
	uint8_t *byte = &bytes[size - 1 - bit / 8];

	*byte = (uint8_t)((*byte & ~(1u << bit % 8)) | (unsigned int)value << bit % 8);
}

static uint64_t subfield_read(struct vector *vector, unsigned int packet,
			      const struct subfield *subfield)
{
	const struct field *field = subfield->field;
	const uint8_t *bytes = container(vector, packet, field);
	const unsigned int first = field->shift + subfield->offset;
	uint64_t value = 0;

	for (unsigned int bit = subfield->n_bits; bit-- > 0;)
		value = value << 1 | bit_get(bytes, field->size, first + bit);
	return value;
}

static void run_move(struct forward *forward, const struct op_move *op, uint64_t packets)
{
	const struct field *from = op->source.field, *to = op->destination.field;
	const unsigned int from_bit = from->shift + op->source.offset;
	const unsigned int to_bit = to->shift + op->destination.offset;
	const unsigned int n_bits = op->source.n_bits;
	// Whole bytes on both sides, the usual case, go without looking at bits.
	const bool whole = !(from_bit % 8 || to_bit % 8 || n_bits % 8);
	struct vector *vector = forward->vector;

	packets = having_header(vector, to->dirty, packets);
	for_each_packet(i, packets)
	{
		const uint8_t *source = container(vector, (unsigned int)i, from);
		uint8_t *destination = container(vector, (unsigned int)i, to);
		const rte_be16_t old = vector_core(vector, (unsigned int)i)->vlan_tci0;
		uint8_t copy[FIELD_VALUE_SIZE];

		memcpy(copy, source, from->size); // the two may overlap
		if (whole)
			memcpy(destination + to->size - (to_bit + n_bits) / 8,
			       copy + from->size - (from_bit + n_bits) / 8, n_bits / 8);
		else
			for (unsigned int bit = 0; bit < n_bits; bit++)
				bit_put(destination, to->size, to_bit + bit,
					bit_get(copy, from->size, from_bit + bit));
		vector->dirty[i] |= to->dirty;
		if (unlikely(to->dirty & DIRTY_VLAN))
			vlan_written(forward, (unsigned int)i, old);
	}
}

static void run_dec_ttl(struct forward *forward, uint64_t packets)
{
	struct vector *vector = forward->vector;

	for_each_packet(i, packets)
	{
		struct key_core *core = vector_core(vector, (unsigned int)i);

		if (!vector->layout[i].l3 ||
		    (core->eth_type != RTE_BE16(0x0800) && core->eth_type != RTE_BE16(0x86dd)))
			continue;
		if (unlikely(core->ip_ttl <= 1)) {
			output_drop(forward, (unsigned int)i, DROP_TTL);
			forward_finish(forward, (unsigned int)i);
			continue;
		}
		core->ip_ttl--;
		vector->dirty[i] |= DIRTY_IP;
	}
}

// learn, and its result in one bit of a field.
static void run_learn(struct forward *forward, const struct op_learn *op, uint64_t packets,
		      unsigned int depth)
{
	const uint64_t failed = learn_run(forward, op, packets, depth);
	_Alignas(8) uint8_t space[sizeof(struct op_set) + sizeof(struct op_word)] = { 0 };
	struct op_set *set = (struct op_set *)space;
	struct op_word *word = &set->words[0];
	const struct field *field = op->result.field;
	unsigned int bit, byte;

	if (!field)
		return;
	bit = (unsigned int)field->shift + op->result.offset;
	byte = field->offset + field->size - 1u - bit / 8;
	set->field = (uint16_t)field->id;
	set->n_words = 1;
	word->word = (uint16_t)(byte / 8);
	word->line = (uint16_t)(byte / KEY_LINE_SIZE);
	((uint8_t *)&word->mask)[byte % 8] = (uint8_t)(1u << bit % 8);
	run_set(forward, set, failed);
	word->value = word->mask;
	run_set(forward, set, packets & ~failed);
}

// --- Jumps ---

// Run another table now, and come back. The packets appear to come from op->in_port meanwhile.
static void run_resubmit(struct forward *forward, const struct op_resubmit *op, uint8_t table_id,
			 uint64_t packets, unsigned int depth)
{
	struct vector *vector = forward->vector;
	rte_be32_t saved[VECTOR_SIZE];

	if (unlikely(depth >= RESUBMIT_MAX_DEPTH)) {
		for_each_packet(i, packets)
		{
			output_drop(forward, (unsigned int)i, DROP_DEPTH);
			forward_finish(forward, (unsigned int)i);
		}
		return;
	}
	if (op->in_port == OFPP_IN_PORT) {
		pipeline_run(forward, table_id, packets, depth + 1);
		return;
	}
	for_each_packet(i, packets)
	{
		struct key_core *core = vector_core(vector, (unsigned int)i);

		saved[i] = core->in_port;
		core->in_port = rte_cpu_to_be_32(op->in_port);
	}
	pipeline_run(forward, table_id, packets, depth + 1);
	for_each_packet(i, packets) vector_core(vector, (unsigned int)i)->in_port = saved[i];
}

// --- Action sets ---

static void add_to_set(struct action_set *set, const struct op *op)
{
	switch (op->code) {
	case OP_POP_VLAN:
		set->pop_vlan = op;
		break;
	case OP_PUSH_VLAN:
		set->push_vlan = op;
		break;
	case OP_DEC_TTL:
		set->dec_ttl = op;
		break;
	case OP_OUTPUT:
	case OP_OUTPUT_REG:
	case OP_CONTROLLER:
	case OP_RESUBMIT:
		set->output = op;
		break;
	case OP_GROUP:
		set->group = op;
		break;
	default:
		// One write for each field: a later one replaces an earlier one of the same.
		for (uint32_t i = 0; i < set->n_fields; i++)
			if (set->fields[i]->code == op->code &&
			    (op->code != OP_SET || ((const struct op_set *)set->fields[i])->field ==
							   ((const struct op_set *)op)->field)) {
				memmove(&set->fields[i], &set->fields[i + 1],
					(--set->n_fields - i) * sizeof(*set->fields));
				break;
			}
		if (set->n_fields < ACTION_SET_MAX_FIELDS)
			set->fields[set->n_fields++] = op;
		break;
	}
}

static void run_write_actions(struct forward *forward, const struct op_write_actions *write,
			      uint64_t packets)
{
	const uint8_t *const end = (const uint8_t *)write->ops + write->length;

	for_each_packet(i, packets)
	{
		struct action_set *set = &forward->vector->action_sets[i];

		if (!(forward->vector->has_action_set & 1ULL << i))
			memset(set, 0, offsetof(struct action_set, fields));
		forward->vector->has_action_set |= 1ULL << i;
		for (const uint8_t *at = (const uint8_t *)write->ops; at < end;
		     at += ((const struct op *)at)->size)
			add_to_set(set, (const struct op *)at);
	}
}

// --- The loop ---

// One op for all `packets`. Returns false if it ends the program for them.
static bool run_op(struct forward *forward, const struct op *op, uint8_t table_id, uint64_t packets,
		   unsigned int depth, bool last, struct pipeline_next *next)
{
	struct vector *vector = forward->vector;

	switch (op->code) {
	case OP_OUTPUT: {
		const struct op_output *output = (const struct op_output *)op;

		if (output->port == OFPP_NORMAL)
			normal_run(forward, packets);
		else
			for_each_packet(i, packets)
				output_to(forward, (unsigned int)i, output->port, output->max_len);
		break;
	}
	case OP_OUTPUT_REG: {
		const struct op_output_reg *output = (const struct op_output_reg *)op;

		for_each_packet(i, packets)
			output_to(forward, (unsigned int)i,
				  (uint32_t)subfield_read(vector, (unsigned int)i, &output->source),
				  output->max_len);
		break;
	}
	case OP_CONTROLLER:
		for_each_packet(i, packets) output_drop(forward, (unsigned int)i, DROP_CONTROLLER);
		break;
	case OP_RESUBMIT: {
		const struct op_resubmit *resubmit = (const struct op_resubmit *)op;
		uint8_t to = resubmit->table_id == TABLE_ID_CURRENT ? table_id : resubmit->table_id;

		// Nothing comes after: no need to come back.
		if (last && resubmit->in_port == OFPP_IN_PORT && next)
			pipeline_next_add(next, to, packets);
		else
			run_resubmit(forward, resubmit, to, packets, depth);
		break;
	}
	case OP_GROUP:
		group_run(forward, ((const struct op_group *)op)->group_id, table_id, packets,
			  depth, last && !depth && !(vector->has_action_set & packets));
		break;
	case OP_GOTO_TABLE:
		pipeline_next_add(next, ((const struct op_goto_table *)op)->table_id, packets);
		return false;
	case OP_SET:
		run_set(forward, (const struct op_set *)op, packets);
		break;
	case OP_MOVE:
		run_move(forward, (const struct op_move *)op, packets);
		break;
	case OP_PUSH_VLAN:
		for_each_packet(i, packets) push_vlan(forward, (unsigned int)i,
						      ((const struct op_push_vlan *)op)->tpid, 0);
		break;
	case OP_POP_VLAN:
		for_each_packet(i, packets) pop_vlan(forward, (unsigned int)i);
		break;
	case OP_VLAN_VID:
	case OP_VLAN_PCP:
		run_vlan(forward, (const struct op_vlan *)op, packets);
		break;
	case OP_DEC_TTL:
		run_dec_ttl(forward, packets);
		break;
	case OP_WRITE_ACTIONS:
		run_write_actions(forward, (const struct op_write_actions *)op, packets);
		break;
	case OP_CLEAR_ACTIONS:
		vector->has_action_set &= ~packets;
		break;
	case OP_EXIT:
		forward->finished |= packets;
		return false;
	case OP_LEARN:
		run_learn(forward, (const struct op_learn *)op, packets, depth);
		break;
	case OP_FIN_TIMEOUT:
		fin_timeout_run(forward, (const struct op_fin_timeout *)op, packets);
		break;
	case OP_NOTE:
		break;
	}
	return true;
}

void actions_run(struct forward *forward, const struct program *program, uint8_t table_id,
		 uint64_t packets, unsigned int depth, struct pipeline_next *next)
{
	const uint8_t *const end = program->ops + program->size;

	for (const uint8_t *at = program->ops; at < end;) {
		const struct op *op = (const struct op *)at;

		at += op->size;
		if (!run_op(forward, op, table_id, packets, depth, at >= end, next))
			break;
		packets &= ~forward->finished;
		if (unlikely(!packets))
			break;
	}
}

// OpenFlow 1.3.5 section 5.10: the order is the specification's, not the writer's.
static void run_action_set(struct forward *forward, const struct action_set *set, uint8_t table_id,
			   uint64_t packets, unsigned int depth)
{
	const struct op *ordered[4 + ACTION_SET_MAX_FIELDS];
	unsigned int n = 0;

	ordered[n++] = set->pop_vlan;
	ordered[n++] = set->push_vlan;
	ordered[n++] = set->dec_ttl;
	for (uint32_t f = 0; f < set->n_fields; f++)
		ordered[n++] = set->fields[f];
	ordered[n++] = set->group ? set->group : set->output;
	for (unsigned int o = 0; o < n && packets; o++) {
		if (ordered[o])
			run_op(forward, ordered[o], table_id, packets, depth, false, NULL);
		packets &= ~forward->finished;
	}
}

void actions_run_sets(struct forward *forward, uint64_t packets)
{
	struct vector *vector = forward->vector;

	packets &= vector->has_action_set;
	for_each_packet(i, packets)
		run_action_set(forward, &vector->action_sets[i], 0, 1ULL << i, 0);
}

void actions_run_bucket(struct forward *forward, const struct program *program, uint8_t table_id,
			uint64_t packets, unsigned int depth)
{
	struct action_set set;

	memset(&set, 0, offsetof(struct action_set, fields));
	program_for_each_op (op, program)
		add_to_set(&set, op);
	run_action_set(forward, &set, table_id, packets, depth);
}
