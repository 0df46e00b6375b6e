// Tables and actions, one packet at a time.
#include "tests/unit/reference.h"

#include "common/text.h"
#include "flowtable/parser.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct set {
	unsigned int n;
	const struct op *ops[REF_MAX_SET];
};

struct run {
	struct ref_bridge *bridge;
	struct ref_packet packet;
	struct key key;
	uint64_t length; // as received
	unsigned int
		n_backward; // groups and resubmits that do not go forward, around what runs now
	bool stopped; // nothing more happens to the packet
	bool exited; // nothing more but its action set
	bool ended; // the actions under way are over, outer ones are not
	bool metered; // stopped by a meter: that is over behind a clone or a bucket
	bool exhausted; // not even behind the group whose bucket it is in
	enum drop_reason reason; // if it has no instance at the end
	uint64_t n_instances;
	struct set set; // the action set
	struct ref_stack *stack;
	struct ref_result *result;
};

// The stack of push and pop. The limit counts what is there, and what clones around keep: `kept`
// entries elsewhere, and of these here all from `lowest`, the least there were since the clone began.
struct ref_stack {
	unsigned int n, lowest, kept;
	uint8_t values[REF_MAX_STACK][16]; // lowest byte first
};

static void run_tables(struct run *run, unsigned int table, unsigned int depth, uint32_t from,
		       bool with_ct);
static void run_own_set(struct run *run, unsigned int depth);
static void run_list(struct run *run, const uint8_t *at, const uint8_t *end, unsigned int *table,
		     bool *jumps, unsigned int depth, bool may_jump);
static void run_op(struct run *run, const struct op *op, bool last, unsigned int *table,
		   bool *jumps, unsigned int depth);

// --- Lookup ---

static bool covers(const struct match *match, const struct key *key)
{
	for (unsigned int i = 0; i < KEY_WORDS; i++)
		if ((key->words[i] & match->mask.words[i]) != match->value.words[i])
			return false;
	return true;
}

static bool is_clause(const struct ref_flow *flow)
{
	program_for_each_op (op, flow->text.program)
		if (op->code == OP_CONJUNCTION)
			return true;
	return false;
}

// Among flows without conjunctions.
static struct ref_flow *lookup_ordinary(struct run *run, unsigned int table)
{
	struct ref_flow *best = NULL;

	for (unsigned int i = 0; i < run->bridge->n_flows[table]; i++) {
		struct ref_flow *flow = &run->bridge->flows[table][i];

		if (is_clause(flow) || (best && flow->text.priority <= best->text.priority))
			continue;
		if (covers(&flow->text.match, &run->key))
			best = flow;
	}
	return best;
}

// Does a flow of this priority match in dimension k of n of the conjunction?
static bool matches_dimension(struct run *run, unsigned int table, unsigned int priority,
			      uint32_t id, unsigned int k, unsigned int n)
{
	for (unsigned int i = 0; i < run->bridge->n_flows[table]; i++) {
		const struct ref_flow *flow = &run->bridge->flows[table][i];

		if (flow->text.priority != priority || !covers(&flow->text.match, &run->key))
			continue;
		program_for_each_op (op, flow->text.program) {
			const struct op_conjunction *clause = (const struct op_conjunction *)op;

			if (op->code == OP_CONJUNCTION && clause->id == id &&
			    clause->dimension == k && clause->n_dimensions == n)
				return true;
		}
	}
	return false;
}

static struct ref_flow *lookup_conjunction(struct run *run, unsigned int table,
					   unsigned int priority, uint32_t id, unsigned int n)
{
	const rte_be32_t saved = run->key.tunnel.conj_id;
	struct ref_flow *flow;

	for (unsigned int k = 1; k <= n; k++)
		if (!matches_dimension(run, table, priority, id, k, n))
			return NULL;
	run->key.tunnel.conj_id = rte_cpu_to_be_32(id);
	flow = lookup_ordinary(run, table);
	run->key.tunnel.conj_id = saved;
	return flow;
}

// Conjunctions by falling priority, rising number and rising number of dimensions; ordinary flows
// come first among equals. Priorities, numbers and dimensions beyond these are not tested.
static struct ref_flow *lookup(struct run *run, unsigned int table)
{
	struct ref_flow *best, *found;
	bool any = false;

	if (table >= REF_MAX_TABLES)
		return NULL;
	best = lookup_ordinary(run, table);
	for (unsigned int i = 0; i < run->bridge->n_flows[table]; i++)
		any |= is_clause(&run->bridge->flows[table][i]);
	for (int priority = REF_MAX_PRIORITY; any && priority >= 0; priority--) {
		if (best && best->text.priority >= priority)
			break;
		for (uint32_t id = 0; id <= REF_MAX_CONJUNCTION; id++)
			for (unsigned int n = 2; n <= REF_MAX_DIMENSIONS; n++) {
				found = lookup_conjunction(run, table, (unsigned int)priority, id,
							   n);
				if (!found)
					continue;
				run->result->n_conjunctions++;
				return found;
			}
	}
	return best;
}

// --- Outputs ---

static void drop(struct run *run, enum drop_reason reason)
{
	run->result->n_drops[reason]++;
	run->n_instances++;
}

static void output_index(struct run *run, unsigned int index, uint32_t max_len)
{
	const struct ref_port *port = &run->bridge->ports[index];
	struct ref_result *result = run->result;
	unsigned int size = run->packet.size;

	if (max_len && size > max_len)
		size = max_len;
	run->n_instances++;
	if (!port->admin_up) {
		result->n_port_drops[index][DROP_PORT_DOWN]++;
		return;
	}
	if (size > port->longest) {
		result->n_port_drops[index][DROP_TX_MTU]++;
		return;
	}
	if (port->refuses) {
		result->n_port_drops[index][port->refusal]++;
		return;
	}
	if (result->n_outputs < REF_MAX_OUTPUTS) {
		struct ref_output *output = &result->outputs[result->n_outputs];

		output->ofport = port->ofport;
		output->packet.size = size;
		output->packet.retyped = run->packet.retyped;
		memcpy(output->packet.bytes, run->packet.bytes, size);
		result->n_outputs++;
	} else {
		result->overflow = true;
	}
}

static void output_number(struct run *run, uint32_t ofport, uint32_t max_len)
{
	for (unsigned int i = 0; i < run->bridge->n_ports; i++)
		if (run->bridge->ports[i].ofport == ofport) {
			output_index(run, i, max_len);
			return;
		}
	drop(run, DROP_NO_PORT);
}

static void output(struct run *run, uint32_t ofport, uint32_t max_len)
{
	uint32_t in_port = rte_be_to_cpu_32(run->key.core.in_port);

	if (ofport == OFPP_FLOOD || ofport == OFPP_ALL) {
		for (unsigned int i = 0; i < run->bridge->n_ports; i++) {
			const struct ref_port *port = &run->bridge->ports[i];

			if (port->ofport != in_port && !(ofport == OFPP_FLOOD && port->no_flood))
				output_index(run, i, 0);
		}
	} else if (ofport == OFPP_IN_PORT) {
		output_number(run, in_port, max_len);
	} else if (ofport == OFPP_CONTROLLER) {
		drop(run, DROP_CONTROLLER);
	} else if (ofport == in_port) {
		drop(run, DROP_IN_PORT);
	} else {
		output_number(run, ofport, max_len);
	}
}

// --- Fields ---

// Write a changed key into the packet, and read back what the packet now is.
static void store(struct run *run, const struct key *want)
{
	run->key = *want;
	ref_store(&run->packet, want);
	ref_parse(&run->packet, &run->key, NULL);
}

// A write into a header that the packet does not have is none, even where the key has another
// header's field in the same place.
static bool applies(struct run *run, const struct field *field)
{
	struct key key;
	struct ref_layout layout;

	ref_parse(&run->packet, &key, &layout);
	if (field->dirty & DIRTY_IPV4)
		return layout.ipv4;
	if (field->dirty & DIRTY_TRANSPORT)
		return layout.l4 &&
		       (layout.l4_proto == 6 || layout.l4_proto == 17 || layout.l4_proto == 132);
	return true;
}

static void set(struct run *run, const struct op_set *op)
{
	struct key want = run->key;

	if (!applies(run, &fields[op->field]))
		return;

	for (unsigned int i = 0; i < op->n_words; i++) {
		uint64_t *word = &want.words[op->words[i].word];

		*word = (*word & ~op->words[i].mask) | op->words[i].value;
	}
	store(run, &want);
}

// Bit `bit` of a subfield, the lowest being 0: which byte of the key, and which bit of it.
static uint8_t *locate(struct key *key, const struct subfield *subfield, unsigned int bit,
		       unsigned int *bit_of_byte)
{
	unsigned int from_low = subfield->field->shift + subfield->offset + bit;

	*bit_of_byte = from_low % 8;
	return key->bytes + subfield->field->offset + subfield->field->size - 1 - from_low / 8;
}

static bool get_bit(struct key *key, const struct subfield *subfield, unsigned int bit)
{
	unsigned int place;
	const uint8_t *byte = locate(key, subfield, bit, &place);

	return *byte >> place & 1;
}

static void put_bit(struct key *key, const struct subfield *subfield, unsigned int bit, bool value)
{
	unsigned int place;
	uint8_t *byte = locate(key, subfield, bit, &place);

	*byte &= (uint8_t) ~(1u << place);
	*byte |= (uint8_t)((unsigned int)value << place);
}

// 16-bit numbers of reserved ports stand for the 32-bit ones.
static uint32_t wide_port(uint32_t port)
{
	return port >= 0xff00 && port <= 0xffff ? port | 0xffff0000 : port;
}

// All of NXM_OF_IN_PORT[] was written.
static void fix_port(struct key *key, const struct subfield *to)
{
	if (to->field->id == FIELD_IN_PORT && to->n_bits == 16)
		key->core.in_port =
			rte_cpu_to_be_32(wide_port(rte_be_to_cpu_32(key->core.in_port) & 0xffff));
}

// What is written of a tunnel option is there.
static void fix_present(struct key *key, const struct subfield *to)
{
	const unsigned int n = to->field->id - FIELD_TUN_METADATA0;

	if (to->field->id >= FIELD_TUN_METADATA0 && to->field->id <= FIELD_TUN_METADATA63)
		((uint8_t *)&key->tunnel.tun_present)[7 - n / 8] |= (uint8_t)(1u << n % 8);
}

static void delete_field(struct run *run, const struct field *field)
{
	struct subfield whole = { .field = field, .n_bits = field->n_bits };
	const unsigned int n = field->id - FIELD_TUN_METADATA0;

	for (unsigned int bit = 0; bit < whole.n_bits; bit++)
		put_bit(&run->key, &whole, bit, false);
	((uint8_t *)&run->key.tunnel.tun_present)[7 - n / 8] &= (uint8_t) ~(1u << n % 8);
}

static void move(struct run *run, const struct op_move *op)
{
	struct key want = run->key;

	for (unsigned int bit = 0; bit < op->source.n_bits; bit++)
		put_bit(&want, &op->destination, bit, get_bit(&run->key, &op->source, bit));
	fix_port(&want, &op->destination);
	fix_present(&want, &op->destination);
	store(run, &want);
}

// A number into a subfield; its lowest bits, if it has too many.
static void put_number(struct run *run, const struct subfield *to, uint64_t number)
{
	struct key want = run->key;

	for (unsigned int bit = 0; bit < to->n_bits; bit++)
		put_bit(&want, to, bit, bit < 64 && number >> bit & 1);
	fix_port(&want, to);
	fix_present(&want, to);
	store(run, &want);
}

static uint64_t read_subfield(struct run *run, const struct subfield *subfield)
{
	uint64_t value = 0;

	for (unsigned int bit = 0; bit < subfield->n_bits; bit++)
		value |= (uint64_t)get_bit(&run->key, subfield, bit) << bit;
	return value;
}

static bool tagged(const struct run *run)
{
	return run->key.core.vlan_tci0 & rte_cpu_to_be_16(KEY_VLAN_PRESENT);
}

static void write_vlan(struct run *run, const struct op_vlan *op, unsigned int mask,
		       unsigned int shift)
{
	unsigned int bits = (unsigned int)op->value << shift & mask;

	if (tagged(run)) {
		uint8_t *tci = run->packet.bytes + 14;

		ref_put16(tci, (ref_get16(tci) & ~mask) | bits);
	} else if (op->push_if_missing) {
		ref_push_vlan(&run->packet, 0x8100, (uint16_t)bits);
	}
	ref_parse(&run->packet, &run->key, NULL);
}

static void expire(struct run *run)
{
	drop(run, DROP_TTL);
	run->ended = true;
}

static void dec_ttl(struct run *run)
{
	struct key want = run->key;
	struct ref_layout layout;

	ref_parse(&run->packet, &want, &layout);
	if (!layout.ipv4 && !layout.ipv6)
		return;
	if (want.core.ip_ttl <= 1) {
		expire(run);
		return;
	}
	want.core.ip_ttl--;
	store(run, &want);
}

static void dec_nsh_ttl(struct run *run)
{
	struct key want = run->key;
	struct ref_layout layout;

	ref_parse(&run->packet, &want, &layout);
	if (!layout.nsh)
		return;
	if (want.rare.nsh_ttl <= 1) {
		expire(run);
		return;
	}
	want.rare.nsh_ttl--;
	store(run, &want);
}

// --- learn ---

// Bit `bit` of what a spec copies or says.
static bool spec_bit(struct run *run, const struct learn_spec *spec, unsigned int bit)
{
	if (spec->source.field)
		return get_bit(&run->key, &spec->source, bit);
	return spec->value.bytes[FIELD_VALUE_SIZE - 1 - bit / 8] >> bit % 8 & 1;
}

static unsigned int spec_width(const struct learn_spec *spec)
{
	return spec->kind == LEARN_OUTPUT ? spec->source.n_bits : spec->destination.n_bits;
}

static void learn_match(struct run *run, const struct learn_spec *spec, struct match *match)
{
	const struct subfield *to = &spec->destination;

	for (unsigned int bit = 0; bit < to->n_bits; bit++) {
		unsigned int place;
		uint8_t *byte = locate(&match->value, to, bit, &place);

		if (to->field->id == FIELD_NW_TOS && to->offset + bit < 2)
			continue; // ECN
		*byte = (uint8_t)((*byte & ~(1u << place)) | (unsigned int)spec_bit(run, spec, bit)
								     << place);
		*locate(&match->mask, to, bit, &place) |= (uint8_t)(1u << place);
	}
	// A port number of 16 bits means one of 32.
	if (to->field->format == FORMAT_PORT16 && to->n_bits == 16) {
		uint32_t port = rte_be_to_cpu_32(match->value.core.in_port) & 0xffff;

		match->value.core.in_port =
			rte_cpu_to_be_32(port >= 0xff00 ? port | 0xffff0000 : port);
		match->mask.core.in_port = UINT32_MAX;
	}
}

static void learn_action(struct run *run, const struct learn_spec *spec, struct text *text)
{
	struct field_value value = { 0 };
	uint64_t port;

	for (unsigned int bit = 0; bit < spec_width(spec); bit++)
		value.bytes[FIELD_VALUE_SIZE - 1 - bit / 8] |=
			(uint8_t)(spec_bit(run, spec, bit) << bit % 8);
	text_add(text, text->length ? "," : "");
	if (spec->kind == LEARN_LOAD) {
		text_add(text, "load:");
		wide_number_format(&value, text);
		text_add(text, "->");
		subfield_format(&spec->destination, text);
		return;
	}
	port = field_value_to_u64(&value) & UINT32_MAX;
	if (port >= 0xff00 && port <= 0xffff)
		port |= 0xffff0000;
	text_add(text, port < OFPP_MAX ? "output:" : "");
	port_format((uint32_t)port, NULL, text);
}

static void learn(struct run *run, const struct op_learn *op)
{
	struct ref_result *result = run->result;
	struct ref_learned *learned = &result->learned[result->n_learned];
	struct text text = { 0 };

	if (result->n_learned == REF_MAX_LEARNED)
		return;
	memset(learned, 0, sizeof(*learned));
	learned->op = op;
	if (op->fin_idle_timeout || op->fin_hard_timeout) {
		text_add(&text, "fin_timeout(");
		if (op->fin_idle_timeout)
			text_addf(&text, "idle_timeout=%u%s", op->fin_idle_timeout,
				  op->fin_hard_timeout ? "," : "");
		if (op->fin_hard_timeout)
			text_addf(&text, "hard_timeout=%u", op->fin_hard_timeout);
		text_add(&text, ")");
	}
	for (unsigned int i = 0; i < op->n_specs; i++)
		if (op->specs[i].kind == LEARN_MATCH)
			learn_match(run, &op->specs[i], &learned->match);
		else
			learn_action(run, &op->specs[i], &text);
	snprintf(learned->actions, sizeof(learned->actions), "%s",
		 text.length ? text.data : "drop");
	text_free(&text);
	result->n_learned++;
	if (op->result.field) {
		struct key want = run->key;
		unsigned int place;
		uint8_t *byte = locate(&want, &op->result, 0, &place);

		*byte |= (uint8_t)(1u << place);
		store(run, &want);
	}
}

// --- MPLS ---

static void encap(struct run *run, const struct op *op)
{
	bool fails;
	enum drop_reason reason = ref_encap(&run->packet, op, &fails);

	if (fails) {
		drop(run, reason);
		run->stopped = true;
	}
	ref_parse(&run->packet, &run->key, NULL);
}

static void mpls(struct run *run, const struct op *op)
{
	const struct op_mpls *change = (const struct op_mpls *)op;
	struct ref_layout layout;
	bool possible = true;

	ref_parse(&run->packet, &run->key, &layout);
	if (run->packet.packet_type && op->code != OP_DEC_MPLS_TTL)
		return;
	if (op->code == OP_PUSH_MPLS) {
		possible = ref_push_mpls(&run->packet, rte_be_to_cpu_16(change->eth_type));
	} else if (op->code == OP_POP_MPLS) {
		possible = ref_pop_mpls(&run->packet, rte_be_to_cpu_16(change->eth_type));
	} else if (op->code != OP_DEC_MPLS_TTL) {
		ref_copy_ttl(&run->packet, op->code == OP_COPY_TTL_IN);
	} else if (layout.n_mpls) {
		uint8_t *ttl = run->packet.bytes + layout.mpls + 3;

		if (*ttl <= 1)
			expire(run);
		else
			--*ttl;
	}
	if (!possible) {
		drop(run, DROP_MPLS_LABELS);
		run->stopped = true;
	}
	ref_parse(&run->packet, &run->key, NULL);
}

// --- The stack, clones ---

static void stack_error(struct run *run)
{
	drop(run, DROP_STACK);
	run->stopped = true;
}

static void push(struct run *run, const struct subfield *from)
{
	struct ref_stack *stack = run->stack;
	uint8_t *value = stack->values[stack->n];

	if (stack->kept + stack->n - stack->lowest == REF_MAX_STACK) {
		stack_error(run);
		return;
	}
	memset(value, 0, 16);
	for (unsigned int bit = 0; bit < from->n_bits; bit++)
		value[bit / 8] |= (uint8_t)(get_bit(&run->key, from, bit) << bit % 8);
	stack->n++;
}

static void pop(struct run *run, const struct subfield *to)
{
	struct ref_stack *stack = run->stack;
	struct key want = run->key;
	const uint8_t *value;

	if (!stack->n) {
		stack_error(run);
		return;
	}
	value = stack->values[--stack->n];
	if (stack->n < stack->lowest)
		stack->lowest = stack->n;
	for (unsigned int bit = 0; bit < to->n_bits; bit++)
		put_bit(&want, to, bit, value[bit / 8] >> bit % 8 & 1);
	fix_port(&want, to);
	fix_present(&want, to);
	store(run, &want);
}

// For actions after which the stack is as it was.
static struct ref_stack *copy_stack(const struct ref_stack *stack)
{
	struct ref_stack *copy = malloc(sizeof(*copy));

	if (!copy)
		abort();
	memcpy(copy, stack, offsetof(struct ref_stack, values) + stack->n * sizeof(*stack->values));
	copy->kept += copy->n - copy->lowest;
	copy->lowest = copy->n;
	return copy;
}

// The same packet once more, to the end of its own action set. What is left of it are its outputs
// and drops, and whether everything is over.
static void run_clone(struct run *run, const struct op_nested *op, unsigned int table,
		      unsigned int depth)
{
	struct run *copy = malloc(sizeof(*copy));

	if (!copy)
		abort();
	*copy = *run;
	copy->stack = copy_stack(run->stack);
	copy->metered = false;
	run_list(copy, (const uint8_t *)op->ops, (const uint8_t *)op->ops + op->length, &table,
		 NULL, depth + 1, false);
	if (!copy->stopped)
		run_own_set(copy, depth + 1);
	run->n_instances = copy->n_instances;
	run->reason = copy->reason;
	run->stopped = copy->stopped && !copy->metered;
	run->exited = copy->exited;
	run->exhausted = copy->exhausted;
	free(copy->stack);
	free(copy);
}

// --- Queues, choices ---

static void set_queue(struct run *run, uint32_t queue)
{
	run->key.tunnel.skb_priority = rte_cpu_to_be_32(queue);
}

// Only what is certain can be foretold: always, or never.
static void sample(struct run *run, const struct op_sample *op)
{
	if (op->probability != 65535 || op->collector_set_id >= REF_SAMPLE_SETS)
		return;
	run->bridge->n_sampled[op->collector_set_id]++;
	run->bridge->sampled_bytes[op->collector_set_id] += run->packet.size;
}

static void check_larger(struct run *run, const struct op_check_larger *op)
{
	struct ref_layout layout;

	ref_parse(&run->packet, &run->key, &layout);
	put_number(run, &op->destination,
		   run->packet.size - 4 * layout.n_vlans - (run->packet.packet_type ? 14 : 0) >
			   op->length);
}

static void bundle(struct run *run, const struct op_bundle *op)
{
	bool live[16] = { false };
	uint32_t port;

	for (unsigned int i = 0; i < op->n_members; i++)
		for (unsigned int p = 0; p < run->bridge->n_ports; p++)
			if (run->bridge->ports[p].ofport == op->members[i])
				live[i] = run->bridge->ports[p].admin_up &&
					  !run->bridge->ports[p].refuses;
	port = ref_bundle(&run->key, op, live);
	if (op->is_load)
		put_number(run, &op->destination, port & 0xffff);
	else if (port != OFPP_ANY)
		output(run, port, 0);
}

// --- Jumps ---

static void resubmit(struct run *run, const struct op_resubmit *op, unsigned int from,
		     unsigned int table, unsigned int depth)
{
	const bool backward = table <= from;

	if (depth >= REF_MAX_NESTING || (backward && run->n_backward >= REF_MAX_DEPTH)) {
		drop(run, DROP_DEPTH);
		run->stopped = true;
		return;
	}
	run->n_backward += backward;
	run_tables(run, table, depth + 1, op->in_port, op->with_ct);
	run->n_backward -= backward;
}

// --- The action set ---

// The places of the set in the order in which they run: a later action takes the place of an earlier
// one, but for writes, which add up.
#define PLACE_WRITE 11
#define PLACE_GROUP 13 // the first from here on that is there ends the set
#define PLACE_LAST 15
static unsigned int set_place(const struct op *op)
{
	static const uint16_t order[] = { OP_COPY_TTL_IN,  OP_POP_VLAN,     OP_POP_MPLS,
					  OP_DECAP,        OP_ENCAP,        OP_PUSH_MPLS,
					  OP_PUSH_VLAN,    OP_COPY_TTL_OUT, OP_DEC_TTL,
					  OP_DEC_MPLS_TTL, OP_DEC_NSH_TTL,  N_OPS,
					  OP_SET_QUEUE,    OP_GROUP,        OP_OUTPUT,
					  OP_RESUBMIT };

	for (unsigned int i = 0; i < sizeof(order) / sizeof(*order); i++)
		if (order[i] == op->code)
			return i;
	return op->code == OP_OUTPUT_REG || op->code == OP_CONTROLLER ? PLACE_GROUP + 1
								      : PLACE_WRITE;
}

static bool plain(const struct op *op)
{
	return op->code == OP_SET &&
	       !(fields[((const struct op_set *)op)->field].dirty & DIRTY_VLAN);
}

static unsigned int count_writes(const struct set *set, bool only_plain)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < set->n; i++)
		n += set_place(set->ops[i]) == PLACE_WRITE && (!only_plain || plain(set->ops[i]));
	return n;
}

// Is an earlier action of the set gone when `new` comes? Writes go if they are the same one, and no
// write of another kind than constants makes it matter.
static bool replaces(const struct op *new, const struct op *old, bool all_plain)
{
	if (set_place(new) == PLACE_WRITE)
		return new == old &&all_plain &&plain(new);
	return set_place(new) == set_place(old);
}

static void add_to_set(struct run *run, struct set *set, const uint8_t *at, size_t size)
{
	const uint8_t *end = at + size;

	for (; at < end; at += ((const struct op *)at)->size) {
		const struct op *new = (const struct op *)at;
		bool all_plain = count_writes(set, true) == count_writes(set, false);
		unsigned int n = 0;

		for (unsigned int i = 0; i < set->n; i++)
			if (!replaces(new, set->ops[i], all_plain))
				set->ops[n++] = set->ops[i];
		set->n = n;
		if (set_place(new) == PLACE_WRITE && count_writes(set, false) == REF_MAX_WRITES) {
			drop(run, DROP_ACTION_SET);
			run->stopped = true;
			return;
		}
		set->ops[set->n++] = new;
	}
}

// The field that tells where the set's output goes.
static void set_actset_output(struct run *run)
{
	uint32_t port = OFPP_UNSET;
	bool has_group = false;

	for (unsigned int i = 0; i < run->set.n; i++) {
		const struct op *op = run->set.ops[i];

		has_group |= op->code == OP_GROUP;
		if (op->code == OP_OUTPUT)
			port = ((const struct op_output *)op)->port;
		if (op->code == OP_CONTROLLER)
			port = OFPP_CONTROLLER;
	}
	run->key.tunnel.actset_output = rte_cpu_to_be_32(has_group ? OFPP_UNSET : port);
}

static void run_set(struct run *run, const struct set *set, unsigned int table, unsigned int depth)
{
	bool exited = run->exited, jumps = false, sent = run->stopped;

	run->exited = false;
	for (unsigned int place = 0; place <= PLACE_LAST; place++)
		for (unsigned int i = 0; i < set->n; i++) {
			if (set_place(set->ops[i]) != place || sent)
				continue;
			sent = place >= PLACE_GROUP;
			run_op(run, set->ops[i], false, &table, &jumps, depth);
			if (run->stopped || run->exited || run->ended)
				sent = true; // the rest does not run
		}
	run->exited |= exited;
	run->ended = false;
}

// What the packet has gathered. It has no set afterwards.
static void run_own_set(struct run *run, unsigned int depth)
{
	struct set set = run->set;

	run->set.n = 0;
	run_set(run, &set, 0, depth);
}

// --- Groups ---

static bool is_live(struct run *run, const struct bucket_text *bucket, unsigned int depth);

static struct group_text *find_group(struct run *run, uint32_t id)
{
	for (unsigned int i = 0; i < run->bridge->n_groups; i++)
		if (run->bridge->groups[i].group_id == id)
			return &run->bridge->groups[i];
	return NULL;
}

static bool group_is_live(struct run *run, uint32_t id, unsigned int depth)
{
	const struct group_text *group = find_group(run, id);

	for (unsigned int i = 0; group && i < group->n_buckets; i++)
		if (is_live(run, &group->buckets[i], depth + 1))
			return true;
	return false;
}

static bool is_live(struct run *run, const struct bucket_text *bucket, unsigned int depth)
{
	if (bucket->watch_port == OFPP_ANY && bucket->watch_group == GROUP_ID_ANY)
		return true;
	for (unsigned int i = 0; i < run->bridge->n_ports; i++) {
		const struct ref_port *port = &run->bridge->ports[i];

		if (port->ofport == bucket->watch_port && port->admin_up && !port->refuses)
			return true;
	}
	return depth < REF_MAX_GROUPS && group_is_live(run, bucket->watch_group, depth);
}

// The bucket's action set on the packet, which is as before afterwards, whatever happened.
static void run_bucket(struct run *run, const struct bucket_text *bucket, unsigned int table,
		       unsigned int depth)
{
	struct ref_packet packet = run->packet;
	struct key key = run->key;
	struct ref_stack *stack = run->stack;
	struct set set = { 0 };

	if (run->result->n_lookups == REF_MAX_LOOKUPS) {
		drop(run, DROP_BUDGET);
		run->stopped = run->exhausted = true;
		return;
	}
	run->result->n_lookups++;
	run->stack = copy_stack(stack);
	add_to_set(run, &set, bucket->program->ops, bucket->program->size);
	run_set(run, &set, table, depth);
	free(run->stack);
	run->stack = stack;
	run->packet = packet;
	run->key = key;
	run->stopped = run->exhausted;
	run->metered = false;
	run->exited = false;
}

static void select_bucket(struct run *run, const struct group_text *group, unsigned int table,
			  unsigned int depth)
{
	bool live[REF_MAX_BUCKETS];
	int chosen;

	for (unsigned int i = 0; i < group->n_buckets; i++)
		live[i] = is_live(run, &group->buckets[i], 0);
	chosen = ref_select(&run->key, group, live);
	if (chosen < 0)
		drop(run, DROP_NO_BUCKET);
	else
		run_bucket(run, &group->buckets[chosen], table, depth + 1);
}

static void run_group(struct run *run, const struct group_text *found, unsigned int table,
		      unsigned int depth)
{
	if (found->type == GROUP_SELECT) {
		select_bucket(run, found, table, depth);
		return;
	}
	for (unsigned int i = 0; i < found->n_buckets && !run->stopped; i++) {
		const struct bucket_text *bucket = &found->buckets[i];

		if (found->type == GROUP_FAST_FAILOVER && !is_live(run, bucket, 0))
			continue;
		run_bucket(run, bucket, table, depth + 1);
		if (found->type != GROUP_ALL)
			return;
	}
	if (found->type == GROUP_FAST_FAILOVER)
		drop(run, DROP_NO_BUCKET);
}

static void group(struct run *run, uint32_t id, unsigned int table, unsigned int depth)
{
	const struct group_text *found = find_group(run, id);

	if (!found || depth >= REF_MAX_NESTING || run->n_backward >= REF_MAX_DEPTH) {
		drop(run, found ? DROP_DEPTH : DROP_NO_GROUP);
		return;
	}
	run->n_backward++;
	run_group(run, found, table, depth);
	run->n_backward--;
}

// --- Meters ---

// The drop precedence is the middle of AFxy, y from 1 to 3.
static void remark(struct run *run, unsigned int prec_level)
{
	struct key want = run->key;
	struct ref_layout layout;

	ref_parse(&run->packet, &want, &layout);
	if (!layout.ipv4 && !layout.ipv6)
		return;
	for (unsigned int class = 1; class <= 4; class ++)
		for (unsigned int y = 1; y <= 3; y++) {
			unsigned int raised = y + prec_level > 3 ? 3 : y + prec_level;

			if (run->key.core.ip_tos >> 2 == class * 8 + y * 2)
				want.core.ip_tos = (uint8_t)((class * 8 + raised * 2) << 2 |
							     (run->key.core.ip_tos & 3));
		}
	store(run, &want);
}

// All bands of rate 0 are exceeded, and no others; the first has the packet.
static void meter(struct run *run, uint32_t id)
{
	for (unsigned int i = 0; i < run->bridge->n_meters; i++) {
		const struct meter_text *found = &run->bridge->meters[i];
		unsigned int b = 0;

		while (b < found->n_bands && found->bands[b].rate)
			b++;
		if (found->id != id || b == found->n_bands)
			continue;
		if (found->bands[b].type == METER_DSCP_REMARK) {
			remark(run, found->bands[b].prec_level);
			return;
		}
		drop(run, DROP_METER);
		run->stopped = run->metered = true;
	}
}

// --- Programs ---

static void run_tag_op(struct run *run, const struct op *op)
{
	if (run->packet.packet_type)
		return;
	switch (op->code) {
	case OP_PUSH_VLAN:
		ref_push_vlan(&run->packet,
			      rte_be_to_cpu_16(((const struct op_push_vlan *)op)->tpid), 0);
		break;
	case OP_POP_VLAN:
		if (tagged(run))
			ref_pop_vlan(&run->packet);
		break;
	case OP_VLAN_VID:
		write_vlan(run, (const struct op_vlan *)op, 0x0fff, 0);
		break;
	case OP_VLAN_PCP:
		write_vlan(run, (const struct op_vlan *)op, 0xe000, 13);
		break;
	default:
		return;
	}
	ref_parse(&run->packet, &run->key, NULL);
}

// One action. A jump to another table sets *jumps and the table.
static void run_op(struct run *run, const struct op *op, bool last, unsigned int *table,
		   bool *jumps, unsigned int depth)
{
	const struct op_resubmit *again = (const struct op_resubmit *)op;
	const struct op_output *out = (const struct op_output *)op;
	const struct op_output_reg *out_reg = (const struct op_output_reg *)op;
	const struct op_nested *nested = (const struct op_nested *)op;
	unsigned int to;

	switch (op->code) {
	case OP_OUTPUT:
		output(run, out->port, out->max_len);
		break;
	case OP_OUTPUT_REG:
		output(run, wide_port((uint32_t)read_subfield(run, &out_reg->source)),
		       out_reg->max_len);
		break;
	case OP_CONTROLLER:
		drop(run, DROP_CONTROLLER);
		break;
	case OP_RESUBMIT:
		to = again->table_id == TABLE_ID_CURRENT ? *table : again->table_id;
		// Where nothing is left to do after the return, the jump does not nest.
		if (last && again->in_port == OFPP_IN_PORT && !again->with_ct) {
			*table = to;
			*jumps = true;
		} else {
			resubmit(run, again, *table, to, depth);
		}
		break;
	case OP_GROUP:
		group(run, ((const struct op_group *)op)->group_id, *table, depth);
		break;
	case OP_METER:
		meter(run, ((const struct op_number *)op)->number);
		break;
	case OP_GOTO_TABLE:
		*table = ((const struct op_goto_table *)op)->table_id;
		*jumps = true;
		break;
	case OP_SET:
		set(run, (const struct op_set *)op);
		break;
	case OP_MOVE:
		move(run, (const struct op_move *)op);
		break;
	case OP_DEC_TTL:
		dec_ttl(run);
		break;
	case OP_WRITE_ACTIONS:
		add_to_set(run, &run->set, (const uint8_t *)nested->ops, nested->length);
		set_actset_output(run);
		break;
	case OP_CLEAR_ACTIONS:
		run->set.n = 0;
		set_actset_output(run);
		break;
	case OP_CT:
		drop(run, DROP_NO_CONNTRACK);
		run->stopped = true;
		break;
	case OP_LEARN:
		learn(run, (const struct op_learn *)op);
		break;
	case OP_EXIT:
		run->exited = true;
		break;
	case OP_CLONE:
		run_clone(run, (const struct op_nested *)op, *table, depth);
		break;
	case OP_PUSH:
		push(run, &((const struct op_stack *)op)->subfield);
		break;
	case OP_POP:
		pop(run, &((const struct op_stack *)op)->subfield);
		break;
	case OP_PUSH_MPLS:
	case OP_POP_MPLS:
	case OP_DEC_MPLS_TTL:
	case OP_COPY_TTL_IN:
	case OP_COPY_TTL_OUT:
		mpls(run, op);
		break;
	case OP_DELETE_FIELD:
		delete_field(run, ((const struct op_stack *)op)->subfield.field);
		break;
	case OP_ENCAP:
	case OP_DECAP:
		encap(run, op);
		break;
	case OP_DEC_NSH_TTL:
		dec_nsh_ttl(run);
		break;
	case OP_SET_QUEUE:
		set_queue(run, ((const struct op_number *)op)->number);
		break;
	case OP_POP_QUEUE:
		set_queue(run, 0);
		break;
	case OP_ENQUEUE:
		output(run, ((const struct op_enqueue *)op)->port, 0);
		set_queue(run, 0);
		break;
	case OP_SAMPLE:
		sample(run, (const struct op_sample *)op);
		break;
	case OP_CHECK_LARGER:
		check_larger(run, (const struct op_check_larger *)op);
		break;
	case OP_MULTIPATH:
		put_number(run, &((const struct op_multipath *)op)->destination,
			   ref_multipath(&run->key, (const struct op_multipath *)op));
		break;
	case OP_BUNDLE:
		bundle(run, (const struct op_bundle *)op);
		break;
	default:
		run_tag_op(run, op);
		break;
	}
}

// may_jump: a resubmit at the end need not come back.
static void run_list(struct run *run, const uint8_t *at, const uint8_t *end, unsigned int *table,
		     bool *jumps, unsigned int depth, bool may_jump)
{
	bool jump = false;

	while (at < end && !run->stopped && !run->exited && !run->ended && !jump) {
		const struct op *op = (const struct op *)at;

		at += op->size;
		run_op(run, op, may_jump && at >= end, table, &jump, depth);
	}
	run->ended = false;
	if (jumps)
		*jumps = jump;
}

// The key with the 5-tuple that connection tracking gave the packet: as nothing tracks, all zeros.
static struct ref_flow *lookup_tracked(struct run *run, unsigned int table)
{
	const struct key saved = run->key;
	struct ref_flow *flow;

	if (saved.core.eth_type == RTE_BE16(0x0800)) {
		run->key.core.ip_src = run->key.core.ip_dst = 0;
	} else if (saved.core.eth_type == RTE_BE16(0x86dd)) {
		memset(run->key.ipv6.ipv6_src, 0, 16);
		memset(run->key.ipv6.ipv6_dst, 0, 16);
	} else {
		return lookup(run, table);
	}
	run->key.core.ip_proto = 0;
	run->key.core.tp_src = run->key.core.tp_dst = 0;
	flow = lookup(run, table);
	run->key = saved;
	return flow;
}

// The first lookup sees the port `from`, unless that is OFPP_IN_PORT.
static void run_tables(struct run *run, unsigned int table, unsigned int depth, uint32_t from,
		       bool with_ct)
{
	bool jumps = true;

	while (jumps && !run->stopped && !run->exited) {
		rte_be32_t in_port = run->key.core.in_port;
		const struct program *program;
		struct ref_flow *flow;

		if (run->result->n_lookups == REF_MAX_LOOKUPS) {
			drop(run, DROP_BUDGET);
			run->stopped = run->exhausted = true;
			return;
		}
		run->result->n_lookups++;
		if (from != OFPP_IN_PORT)
			run->key.core.in_port = rte_cpu_to_be_32(from);
		from = OFPP_IN_PORT;
		flow = with_ct ? lookup_tracked(run, table) : lookup(run, table);
		with_ct = false;
		run->key.core.in_port = in_port;
		run->reason = flow ? DROP_ACTION : DROP_NO_MATCH;
		if (!flow)
			return;
		flow->packets++;
		flow->bytes += run->length;
		program = flow->text.program;
		run_list(run, program->ops, program->ops + program->size, &table, &jumps, depth,
			 true);
	}
}

void ref_run(struct ref_bridge *bridge, const struct ref_packet *packet, uint32_t in_port,
	     struct ref_result *result)
{
	static struct run run;
	static struct ref_stack stack;

	memset(&run.key, 0, sizeof(run.key));
	run.bridge = bridge;
	run.packet = *packet;
	run.packet.retyped = false;
	run.packet.packet_type = run.packet.n_encap_bytes = 0;
	run.length = packet->size;
	run.stopped = run.exited = run.ended = run.exhausted = run.metered = false;
	stack.n = stack.lowest = stack.kept = 0;
	run.stack = &stack;
	run.reason = DROP_ACTION;
	run.n_instances = 0;
	run.set.n = 0;
	run.result = result;
	result->n_outputs = 0;
	result->overflow = false;
	result->n_lookups = 0;
	result->n_learned = 0;
	result->n_conjunctions = 0;
	memset(result->n_drops, 0, sizeof(result->n_drops));
	memset(result->n_port_drops, 0, sizeof(result->n_port_drops));

	run.key.core.in_port = rte_cpu_to_be_32(in_port);
	run.key.tunnel.actset_output = RTE_BE32(OFPP_UNSET);
	if (!ref_parse(&run.packet, &run.key, NULL)) {
		drop(&run, DROP_RX_INVALID);
		return;
	}
	run_tables(&run, 0, 0, OFPP_IN_PORT, false);
	if (!run.stopped)
		run_own_set(&run, 0);
	if (!run.n_instances)
		drop(&run, run.reason);
}

void ref_apply(struct ref_packet *packet, const struct program *program)
{
	static struct ref_bridge bridge;
	static struct ref_result result;
	static struct ref_stack stack;
	struct run run = {
		.bridge = &bridge, .packet = *packet, .stack = &stack, .result = &result
	};
	unsigned int table = 0;

	if (!ref_parse(&run.packet, &run.key, NULL))
		return;
	run_list(&run, program->ops, program->ops + program->size, &table, NULL, 0, true);
	*packet = run.packet;
}
