// Tables and actions, one packet at a time.
#include "tests/unit/reference.h"

#include "common/text.h"
#include "flowtable/parser.h"

#include <stdio.h>
#include <string.h>

struct run {
	struct ref_bridge *bridge;
	struct ref_packet packet;
	struct key key;
	uint64_t length; // as received
	bool stopped; // nothing more happens to the packet
	bool exhausted; // not even behind the group whose bucket it is in
	enum drop_reason reason; // if it has no instance at the end
	uint64_t n_instances;
	unsigned int n_set;
	const struct op *set[REF_MAX_SET]; // the action set
	struct ref_result *result;
};

static void run_tables(struct run *run, unsigned int table, unsigned int depth);
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

static struct ref_flow *lookup(struct run *run, unsigned int table)
{
	struct ref_flow *best = NULL;

	if (table >= REF_MAX_TABLES)
		return NULL;
	for (unsigned int i = 0; i < run->bridge->n_flows[table]; i++) {
		struct ref_flow *flow = &run->bridge->flows[table][i];

		if (best && flow->text.priority <= best->text.priority)
			continue;
		if (covers(&flow->text.match, &run->key))
			best = flow;
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

static void set(struct run *run, const struct op_set *op)
{
	struct key want = run->key;

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

static void move(struct run *run, const struct op_move *op)
{
	struct key want = run->key;

	for (unsigned int bit = 0; bit < op->source.n_bits; bit++) {
		unsigned int place;
		uint8_t *byte = locate(&want, &op->destination, bit, &place);

		*byte &= (uint8_t) ~(1u << place);
		if (get_bit(&run->key, &op->source, bit))
			*byte |= (uint8_t)(1u << place);
	}
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

static void dec_ttl(struct run *run)
{
	struct key want = run->key;
	struct ref_layout layout;

	ref_parse(&run->packet, &want, &layout);
	if (!layout.ipv4 && !layout.ipv6)
		return;
	if (want.core.ip_ttl <= 1) {
		drop(run, DROP_TTL);
		run->stopped = true;
		return;
	}
	want.core.ip_ttl--;
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

// --- Jumps ---

static void resubmit(struct run *run, const struct op_resubmit *op, unsigned int table,
		     unsigned int depth)
{
	rte_be32_t in_port = run->key.core.in_port;

	if (depth >= REF_MAX_DEPTH) {
		drop(run, DROP_DEPTH);
		run->stopped = true;
		return;
	}
	if (op->in_port != OFPP_IN_PORT)
		run->key.core.in_port = rte_cpu_to_be_32(op->in_port);
	run_tables(run, table, depth + 1);
	if (op->in_port != OFPP_IN_PORT)
		run->key.core.in_port = in_port;
}

// --- The action set ---

// Which of the set's places an action has: a later one takes the place of an earlier one.
static unsigned int set_kind(const struct op *op)
{
	switch (op->code) {
	case OP_POP_VLAN:
		return 0;
	case OP_PUSH_VLAN:
		return 1;
	case OP_DEC_TTL:
		return 2;
	case OP_VLAN_VID:
		return 10;
	case OP_VLAN_PCP:
		return 11;
	case OP_MOVE:
		return 12;
	case OP_SET:
		return 100u + ((const struct op_set *)op)->field;
	case OP_GROUP:
		return 100001;
	default:
		return 100000; // output
	}
}

static unsigned int add_to_set(const struct op **set, unsigned int n_set, const uint8_t *at,
			       unsigned int size)
{
	const uint8_t *end = at + size;

	for (; at < end; at += ((const struct op *)at)->size) {
		const struct op *new = (const struct op *)at;
		unsigned int n = 0;

		for (unsigned int i = 0; i < n_set; i++)
			if (set_kind(set[i]) != set_kind(new))
				set[n++] = set[i];
		set[n++] = new;
		n_set = n;
	}
	return n_set;
}

static bool is_write(unsigned int kind)
{
	return kind > 2 && kind < 100000;
}

struct set {
	unsigned int n;
	const struct op *ops[REF_MAX_SET];
};

static void run_kind(struct run *run, const struct set *set, unsigned int kind, unsigned int table,
		     unsigned int depth)
{
	bool jumps = false;

	for (unsigned int i = 0; i < set->n && !run->stopped; i++)
		if (set_kind(set->ops[i]) == kind)
			run_op(run, set->ops[i], false, &table, &jumps, depth);
}

static void run_set(struct run *run, const struct set *set, unsigned int table, unsigned int depth)
{
	bool jumps = false, has_group = false;

	for (unsigned int i = 0; i < set->n; i++)
		has_group |= set_kind(set->ops[i]) == 100001;
	for (unsigned int kind = 0; kind < 3; kind++)
		run_kind(run, set, kind, table, depth);
	for (unsigned int i = 0; i < set->n && !run->stopped; i++)
		if (is_write(set_kind(set->ops[i])))
			run_op(run, set->ops[i], false, &table, &jumps, depth);
	run_kind(run, set, has_group ? 100001 : 100000, table, depth);
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
	struct set set;

	if (run->result->n_lookups == REF_MAX_LOOKUPS) {
		drop(run, DROP_BUDGET);
		run->stopped = run->exhausted = true;
		return;
	}
	run->result->n_lookups++;
	set.n = add_to_set(set.ops, 0, bucket->program->ops, bucket->program->size);
	run_set(run, &set, table, depth);
	run->packet = packet;
	run->key = key;
	run->stopped = run->exhausted;
}

static void group(struct run *run, uint32_t id, unsigned int table, unsigned int depth)
{
	const struct group_text *found = find_group(run, id);

	if (!found || depth >= REF_MAX_DEPTH) {
		drop(run, found ? DROP_DEPTH : DROP_NO_GROUP);
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

// --- Programs ---

static void run_tag_op(struct run *run, const struct op *op)
{
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
	const struct op_write_actions *write = (const struct op_write_actions *)op;
	unsigned int to;

	switch (op->code) {
	case OP_OUTPUT:
		output(run, out->port, out->max_len);
		break;
	case OP_OUTPUT_REG:
		output(run, (uint32_t)read_subfield(run, &out_reg->source), out_reg->max_len);
		break;
	case OP_CONTROLLER:
		drop(run, DROP_CONTROLLER);
		break;
	case OP_RESUBMIT:
		to = again->table_id == TABLE_ID_CURRENT ? *table : again->table_id;
		// Where nothing is left to do after the return, the jump does not nest.
		if (last && again->in_port == OFPP_IN_PORT) {
			*table = to;
			*jumps = true;
		} else {
			resubmit(run, again, to, depth);
		}
		break;
	case OP_GROUP:
		group(run, ((const struct op_group *)op)->group_id, *table, depth);
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
		run->n_set = add_to_set(run->set, run->n_set, (const uint8_t *)write->ops,
					write->length);
		break;
	case OP_CLEAR_ACTIONS:
		run->n_set = 0;
		break;
	case OP_LEARN:
		learn(run, (const struct op_learn *)op);
		break;
	case OP_EXIT:
		run->stopped = true;
		break;
	default:
		run_tag_op(run, op);
		break;
	}
}

static bool run_program(struct run *run, const struct program *program, unsigned int *table,
			unsigned int depth)
{
	bool jumps = false;

	for (unsigned int at = 0; at < program->size && !run->stopped && !jumps;) {
		const struct op *op = (const struct op *)(program->ops + at);

		at += op->size;
		run_op(run, op, at >= program->size, table, &jumps, depth);
	}
	return jumps;
}

static void run_tables(struct run *run, unsigned int table, unsigned int depth)
{
	bool jumps = true;

	while (jumps && !run->stopped) {
		struct ref_flow *flow;

		if (run->result->n_lookups == REF_MAX_LOOKUPS) {
			drop(run, DROP_BUDGET);
			run->stopped = run->exhausted = true;
			return;
		}
		run->result->n_lookups++;
		flow = lookup(run, table);
		run->reason = flow ? DROP_ACTION : DROP_NO_MATCH;
		if (!flow)
			return;
		flow->packets++;
		flow->bytes += run->length;
		jumps = run_program(run, flow->text.program, &table, depth);
	}
}

void ref_run(struct ref_bridge *bridge, const struct ref_packet *packet, uint32_t in_port,
	     struct ref_result *result)
{
	static struct run run;

	memset(&run.key, 0, sizeof(run.key));
	run.bridge = bridge;
	run.packet = *packet;
	run.length = packet->size;
	run.stopped = false;
	run.exhausted = false;
	run.reason = DROP_ACTION;
	run.n_instances = 0;
	run.n_set = 0;
	run.result = result;
	result->n_outputs = 0;
	result->overflow = false;
	result->n_lookups = 0;
	result->n_learned = 0;
	memset(result->n_drops, 0, sizeof(result->n_drops));
	memset(result->n_port_drops, 0, sizeof(result->n_port_drops));

	run.key.core.in_port = rte_cpu_to_be_32(in_port);
	if (!ref_parse(&run.packet, &run.key, NULL)) {
		drop(&run, DROP_RX_INVALID);
		return;
	}
	run_tables(&run, 0, 0);
	if (!run.stopped) {
		struct set set = { .n = run.n_set };

		memcpy(set.ops, run.set, run.n_set * sizeof(*set.ops));
		run_set(&run, &set, 0, 0);
	}
	if (!run.n_instances)
		drop(&run, run.reason);
}

void ref_apply(struct ref_packet *packet, const struct program *program)
{
	static struct ref_bridge bridge;
	static struct ref_result result;
	struct run run = { .bridge = &bridge, .packet = *packet, .result = &result };
	unsigned int table = 0;

	if (!ref_parse(&run.packet, &run.key, NULL))
		return;
	run_program(&run, program, &table, 0);
	*packet = run.packet;
}
