#include "datapath/actions.h"
#include "datapath/parse.h"
#include "datapath/write_back.h"

#include <netinet/in.h>
#include <string.h>

#define TPID_VLAN RTE_BE16(0x8100)
#define TCP_FIN 0x001
#define TCP_RST 0x004
#define PRESENT RTE_BE16(KEY_VLAN_PRESENT)

// --- VLAN tags: changes of structure happen on the bytes, the key is read anew ---

// One tag more or less in front of headers that stay as they are.
static void shift_headers(struct packet_layout *layout, int n_tags)
{
	layout->n_vlans = (uint8_t)(layout->n_vlans + n_tags);
	if (layout->l3)
		layout->l3 = (uint16_t)(layout->l3 + 4 * n_tags);
	if (layout->l4)
		layout->l4 = (uint16_t)(layout->l4 + 4 * n_tags);
}

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

void actions_pop_vlan(struct forward *forward, unsigned int packet)
{
	struct vector *vector = forward->vector;

	if (!(vector_core(vector, packet)->vlan_tci0 & PRESENT) ||
	    !output_make_writable(forward, packet))
		return;
	if (vector->dirty[packet])
		write_back(vector, packet);
	packet_pop_vlan(vector->packets[packet]);
	if (likely(vector->layout[packet].n_vlans == 1)) {
		vector_core(vector, packet)->vlan_tci0 = 0;
		shift_headers(&vector->layout[packet], -1);
		return;
	}
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
		actions_pop_vlan(forward, packet);
}

// mod_vlan_vid and mod_vlan_pcp.
static void run_vlan(struct forward *forward, const struct op_vlan *op, uint64_t packets)
{
	const bool vid = op->op.code == OP_VLAN_VID;
	const rte_be16_t mask = vid ? RTE_BE16(0x0fff) : RTE_BE16(0xe000);
	const rte_be16_t value = rte_cpu_to_be_16((uint16_t)(vid ? op->value : op->value << 13));

	packets &= ~forward->vector->bare;
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

static bool is_icmp(uint8_t proto)
{
	return proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6;
}

uint64_t actions_having_header(const struct vector *vector, uint16_t dirty, uint64_t packets)
{
	uint64_t having = 0;

	if (likely(!(dirty & ~(DIRTY_ETHERNET | DIRTY_VLAN))))
		return dirty ? packets & ~vector->bare : packets;
	for_each_packet(i, packets)
	{
		const struct packet_layout *layout = &vector->layout[i];
		const rte_be16_t type = layout->type;
		const bool ipv4 = type == RTE_BE16(0x0800), ipv6 = type == RTE_BE16(0x86dd);
		bool has;

		if (dirty & (DIRTY_IPV4 | DIRTY_IPV6 | DIRTY_IP))
			has = layout->l3 &&
			      ((ipv4 && !(dirty & DIRTY_IPV6)) || (ipv6 && !(dirty & DIRTY_IPV4)));
		else if (dirty & DIRTY_ARP)
			has = layout->l3 && (type == RTE_BE16(0x0806) || type == RTE_BE16(0x8035));
		else if (dirty & DIRTY_MPLS)
			has = layout->n_mpls;
		else if (dirty & DIRTY_ND)
			has = layout->nd;
		else if (dirty & DIRTY_NSH)
			has = actions_has_nsh(vector, (unsigned int)i);
		else
			has = layout->l4 && !(dirty & DIRTY_ICMP) == !is_icmp(layout->l4_proto);
		having |= (uint64_t)has << i;
	}
	return having;
}

static void run_set(struct forward *forward, const struct op_set *op, uint64_t packets)
{
	struct vector *vector = forward->vector;
	const uint16_t dirty = fields[op->field].dirty;
	rte_be16_t old[VECTOR_SIZE];

	packets = actions_having_header(vector, dirty, packets);

	if (unlikely(dirty & DIRTY_VLAN))
		for_each_packet(i, packets) old[i] =
			vector_core(vector, (unsigned int)i)->vlan_tci0;
	for (unsigned int w = 0; w < op->n_words; w++) {
		const struct op_word *word = &op->words[w];
		uint64_t(*line)[KEY_LINE_WORDS] = vector->lines[word->line];
		const unsigned int index = word->word % KEY_LINE_WORDS;

		if (likely(packets == vector_mask(vector->n)))
			for (unsigned int i = 0; i < vector->n; i++)
				line[i][index] = (line[i][index] & ~word->mask) | word->value;
		else
			for_each_packet(i, packets) line[i][index] =
				(line[i][index] & ~word->mask) | word->value;
	}
	if (!dirty)
		return;
	vector_mark_dirty(vector, packets, dirty);
	if (unlikely(dirty & DIRTY_NSH))
		actions_nsh_written(forward, packets);
	if (unlikely(dirty & DIRTY_VLAN))
		for_each_packet(i, packets) vlan_written(forward, (unsigned int)i, old[i]);
}

// A full write of in_port by its 16-bit name: reserved ports keep their meaning.
static bool is_whole_port(const struct subfield *to)
{
	return to->field->format == FORMAT_PORT16 && !to->offset && to->n_bits == 16;
}

// The 16-bit numbers of reserved ports mean what the 32-bit ones do.
static uint32_t port_of(uint64_t number)
{
	return (uint32_t)number | (number >= 0xff00 && number <= 0xffff ? 0xffff0000u : 0);
}

void actions_write(struct forward *forward, unsigned int packet, const struct subfield *to,
		   const struct bits *value)
{
	const uint16_t dirty = to->field->dirty;
	struct vector *vector = forward->vector;
	struct key_core *core = vector_core(vector, packet);
	const rte_be16_t old = core->vlan_tci0;

	if (!actions_having_header(vector, dirty, 1ULL << packet))
		return;
	if (is_whole_port(to)) {
		core->in_port = rte_cpu_to_be_32(port_of(
			(uint64_t)value->bytes[BITS_SIZE - 2] << 8 | value->bytes[BITS_SIZE - 1]));
		return;
	}
	subfield_put(vector, packet, to, value);
	if (unlikely(in_options(to->field)))
		actions_tun_present(forward, packet, to->field);
	vector->dirty[packet] |= dirty;
	if (unlikely(dirty & DIRTY_NSH))
		actions_nsh_written(forward, 1ULL << packet);
	if (unlikely(dirty & DIRTY_VLAN))
		vlan_written(forward, packet, old);
}

static void run_move(struct forward *forward, const struct op_move *op, uint64_t packets)
{
	const struct field *from = op->source.field, *to = op->destination.field;
	const unsigned int from_bit = from->shift + op->source.offset;
	const unsigned int to_bit = to->shift + op->destination.offset;
	const unsigned int n_bits = op->source.n_bits;
	// Whole bytes on both sides, the usual case, go without looking at bits.
	const bool whole =
		!(from_bit % 8 || to_bit % 8 || n_bits % 8 ||
		  to->dirty & (DIRTY_VLAN | DIRTY_NSH) || is_whole_port(&op->destination));
	struct vector *vector = forward->vector;

	packets = actions_having_header(vector, to->dirty, packets);
	if (unlikely(in_options(from) || in_options(to))) {
		actions_tun_move(forward, op, packets);
		return;
	}
	for_each_packet(i, packets)
	{
		const uint8_t *source = container(vector, (unsigned int)i, from);
		uint8_t *destination = container(vector, (unsigned int)i, to);
		struct bits bits;

		if (whole) { // the two may overlap
			memmove(destination + to->size - (to_bit + n_bits) / 8,
				source + from->size - (from_bit + n_bits) / 8, n_bits / 8);
			vector->dirty[i] |= to->dirty;
			continue;
		}
		subfield_get(vector, (unsigned int)i, &op->source, &bits);
		actions_write(forward, (unsigned int)i, &op->destination, &bits);
	}
}

void actions_expired(struct forward *forward, unsigned int packet)
{
	output_drop(forward, packet, DROP_TTL);
	forward->stopped |= 1ULL << packet;
}

static void run_dec_ttl(struct forward *forward, uint64_t packets)
{
	struct vector *vector = forward->vector;

	for_each_packet(i, packets)
	{
		struct key_core *core = vector_core(vector, (unsigned int)i);

		if (!vector->layout[i].l3 || (vector->layout[i].type != RTE_BE16(0x0800) &&
					      vector->layout[i].type != RTE_BE16(0x86dd)))
			continue;
		if (unlikely(core->ip_ttl <= 1)) {
			actions_expired(forward, (unsigned int)i);
			continue;
		}
		core->ip_ttl--;
		vector->dirty[i] |= DIRTY_IP;
	}
}

static void run_queue(struct forward *forward, uint32_t queue, uint64_t packets)
{
	for_each_packet(i, packets) vector_tunnel(forward->vector, (unsigned int)i)->skb_priority =
		rte_cpu_to_be_32(queue);
}

static void run_check_larger(struct forward *forward, const struct op_check_larger *op,
			     uint64_t packets)
{
	struct vector *vector = forward->vector;

	for_each_packet(i, packets)
	{
		// Tags do not count.
		const uint32_t size = rte_pktmbuf_pkt_len(vector->packets[i]) -
				      4u * vector->layout[i].n_vlans -
				      (vector->bare >> i & 1 ? 14u : 0u);
		const struct bits bit = bits_of(size > op->length);

		actions_write(forward, (unsigned int)i, &op->destination, &bit);
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

// Run another table now, and come back. The first lookup sees the packets come from op->in_port.
static void run_resubmit(struct forward *forward, const struct op_resubmit *op, bool backward,
			 uint8_t table_id, uint64_t packets, unsigned int depth)
{
	if (unlikely(depth >= NESTING_MAX_DEPTH ||
		     (backward && forward->n_backward >= RESUBMIT_MAX_DEPTH))) {
		for_each_packet(i, packets)
		{
			output_drop(forward, (unsigned int)i, DROP_DEPTH);
			forward_finish(forward, (unsigned int)i);
		}
		return;
	}
	forward->n_backward += backward;
	if (op->in_port == OFPP_IN_PORT && !op->with_ct)
		pipeline_run(forward, table_id, packets, depth + 1);
	else
		pipeline_run_from(forward, table_id, packets, depth + 1,
				  (struct pipeline_from){ op->in_port, op->with_ct });
	forward->n_backward -= backward;
}

// --- The loop ---

// One op for all `packets`. Returns false if it ends the program for them.
static inline bool run_op(struct forward *forward, const struct op *op, uint8_t table_id,
			  uint64_t packets, unsigned int depth, bool last,
			  struct pipeline_next *next)
{
	struct vector *vector = forward->vector;

	switch (op->code) {
	case OP_OUTPUT: {
		const struct op_output *output = (const struct op_output *)op;

		if (output->port == OFPP_NORMAL)
			normal_run(forward, packets);
		else
			output_all_to(forward, packets, output->port, output->max_len);
		break;
	}
	case OP_OUTPUT_REG: {
		const struct op_output_reg *output = (const struct op_output_reg *)op;

		for_each_packet(i, packets)
			output_to(forward, (unsigned int)i,
				  port_of(subfield_read(vector, (unsigned int)i, &output->source)),
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
		if (last && resubmit->in_port == OFPP_IN_PORT && !resubmit->with_ct && next)
			pipeline_next_add(next, to, packets);
		else
			run_resubmit(forward, resubmit, to <= table_id, to, packets, depth);
		break;
	}
	case OP_GROUP:
		group_run(forward, ((const struct op_group *)op)->group_id, table_id, packets,
			  depth, last && next && !depth && !(vector->has_action_set & packets));
		break;
	case OP_METER:
		actions_meter(forward, ((const struct op_number *)op)->number, packets, depth);
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
		packets &= ~vector->bare;
		for_each_packet(i, packets) push_vlan(forward, (unsigned int)i,
						      ((const struct op_push_vlan *)op)->tpid, 0);
		break;
	case OP_POP_VLAN:
		for_each_packet(i, packets) actions_pop_vlan(forward, (unsigned int)i);
		break;
	case OP_VLAN_VID:
	case OP_VLAN_PCP:
		run_vlan(forward, (const struct op_vlan *)op, packets);
		break;
	case OP_DEC_TTL:
		run_dec_ttl(forward, packets);
		break;
	case OP_WRITE_ACTIONS:
		actions_write_set(forward, (const struct op_nested *)op, packets);
		break;
	case OP_CLEAR_ACTIONS:
		actions_clear_set(forward, packets);
		break;
	case OP_EXIT:
		forward->exited |= packets;
		return false;
	case OP_LEARN:
		run_learn(forward, (const struct op_learn *)op, packets, depth);
		break;
	case OP_FIN_TIMEOUT:
		fin_timeout_run(forward, (const struct op_fin_timeout *)op, packets);
		break;
	case OP_CLONE:
		actions_clone(forward, (const struct op_nested *)op, table_id, packets, depth);
		break;
	case OP_PUSH:
		actions_push(forward, &((const struct op_stack *)op)->subfield, packets);
		break;
	case OP_POP:
		actions_pop(forward, &((const struct op_stack *)op)->subfield, packets);
		break;
	case OP_ENQUEUE: {
		const struct op_enqueue *enqueue = (const struct op_enqueue *)op;

		run_queue(forward, enqueue->queue, packets);
		for_each_packet(i, packets)
			output_to(forward, (unsigned int)i, enqueue->port, MAX_LEN_ALL);
		run_queue(forward, 0, packets);
		break;
	}
	case OP_SET_QUEUE:
		run_queue(forward, ((const struct op_number *)op)->number, packets);
		break;
	case OP_POP_QUEUE:
		run_queue(forward, 0, packets);
		break;
	case OP_CHECK_LARGER:
		run_check_larger(forward, (const struct op_check_larger *)op, packets);
		break;
	case OP_MULTIPATH:
		actions_multipath(forward, (const struct op_multipath *)op, packets);
		break;
	case OP_BUNDLE:
		actions_bundle(forward, (const struct op_bundle *)op, packets);
		break;
	case OP_PUSH_MPLS:
	case OP_POP_MPLS:
	case OP_DEC_MPLS_TTL:
	case OP_COPY_TTL_IN:
	case OP_COPY_TTL_OUT:
		actions_mpls(forward, op, packets);
		break;
	case OP_ENCAP:
		actions_encap(forward, (const struct op_encap *)op, packets);
		break;
	case OP_DECAP:
		actions_decap(forward, (const struct op_decap *)op, packets);
		break;
	case OP_DEC_NSH_TTL:
		actions_dec_nsh_ttl(forward, packets);
		break;
	case OP_SAMPLE:
		actions_sample(forward, (const struct op_sample *)op, packets, depth);
		break;
	case OP_CT:
		actions_ct(forward, packets);
		break;
	case OP_CT_CLEAR:
		actions_ct_clear(forward, packets);
		break;
	case OP_DEBUG_RECIRC: // no flow is cached, so nothing has to come around again
	case OP_DEBUG_SLOW: // there is one path, and it is the fast one
	case OP_CONJUNCTION: // tables give other flows for it
	case OP_NOTE:
		break;
	case OP_DELETE_FIELD:
		actions_tun_delete(forward, ((const struct op_stack *)op)->subfield.field, packets);
		break;
	}
	return true;
}

// What happens inside of these comes to nothing outside: their lookups are not noted.
static bool is_apart(const struct op *op)
{
	return op->code == OP_GROUP || op->code == OP_CLONE || op->code == OP_SAMPLE;
}

bool actions_run_op(struct forward *forward, const struct op *op, uint8_t table_id,
		    uint64_t packets, unsigned int depth, bool last, struct pipeline_next *next)
{
	const uint64_t recorded = forward->recorded;
	bool goes_on;

	if (unlikely(recorded && is_apart(op))) {
		forward->choosing = op->code == OP_GROUP ? recorded : 0;
		forward->recorded = 0;
	}
	if (unlikely(forward->trace))
		actions_trace_begin(forward, op);
	goes_on = run_op(forward, op, table_id, packets, depth, last, next);
	if (unlikely(forward->trace))
		actions_trace_end(forward, op);
	if (unlikely(recorded)) {
		forward->recorded = recorded;
		forward->choosing = 0;
	}
	return goes_on;
}

void actions_run_list(struct forward *forward, const uint8_t *at, size_t size, uint8_t table_id,
		      uint64_t packets, unsigned int depth, struct pipeline_next *next)
{
	const uint8_t *const end = at + size;
	const uint64_t all = packets;

	while (at < end) {
		const struct op *op = (const struct op *)at;

		at += op->size;
		if (!actions_run_op(forward, op, table_id, packets, depth, at >= end, next))
			break;
		packets &= ~(forward->finished | forward->exited | forward->stopped);
		if (unlikely(!packets))
			break;
	}
	forward->stopped &= ~all;
}

void actions_run(struct forward *forward, const struct program *program, uint8_t table_id,
		 uint64_t packets, unsigned int depth, struct pipeline_next *next)
{
	PROFILE_ENTER(forward->worker, ACTIONS);
	actions_run_list(forward, program->ops, program->size, table_id, packets, depth, next);
	PROFILE_LEAVE(forward->worker, ACTIONS);
}
