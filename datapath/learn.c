#include "datapath/learn.h"

#include "common/text.h"
#include "flowtable/program_build.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct learn_queue *learn_queue_create(void)
{
	const ssize_t size =
		rte_ring_get_memsize_elem(sizeof(struct learn_request), LEARN_RING_SIZE);
	struct learn_queue *queue = calloc(1, sizeof(*queue));

	if (!queue)
		return NULL;
	queue->fd = -1;
	queue->ring = aligned_alloc(RTE_CACHE_LINE_SIZE,
				    RTE_ALIGN_CEIL((size_t)size, RTE_CACHE_LINE_SIZE));
	if (!queue->ring) {
		free(queue);
		return NULL;
	}
	rte_ring_init(queue->ring, "learned", LEARN_RING_SIZE, RING_F_SP_ENQ | RING_F_SC_DEQ);
	return queue;
}

void learn_queue_destroy(struct learn_queue *queue)
{
	if (!queue)
		return;
	free(queue->ring);
	free(queue);
}

// --- From a request to a flow ---

// The spec's value: its constant, or the next bytes of the packet's.
static struct field_value spec_value(const struct learn_spec *spec, const uint8_t **values)
{
	const unsigned int size = (spec->source.n_bits + 7u) / 8;
	struct field_value value = { 0 };

	if (!spec->source.field)
		return spec->value;
	memcpy(value.bytes + FIELD_VALUE_SIZE - size, *values, size);
	*values += size;
	return value;
}

// NXM_OF_IN_PORT has 16 bits, the key 32: reserved ports keep their meaning.
static uint64_t widen_port(uint64_t port)
{
	return port >= 0xff00 && port <= 0xffff ? port | 0xffff0000u : port;
}

static void add_match(struct match *match, const struct subfield *to,
		      const struct field_value *value)
{
	const struct field *field = to->field;
	struct field_value bits = *value;
	struct field_value mask = field_value_ones(to->n_bits);
	struct field_value old_bits;
	struct field_value old_mask;

	if (field->format == FORMAT_PORT16 && to->n_bits == 16) {
		bits = field_value_from_u64(widen_port(field_value_to_u64(value)));
		mask = field_all_ones(field);
	}
	field_value_shift_left(&bits, to->offset);
	field_value_shift_left(&mask, to->offset);
	if (field->format == FORMAT_TOS) // ECN is not part of it
		mask.bytes[FIELD_VALUE_SIZE - 1] &= 0xfc;
	// Other bits of the field stay as earlier specs have them.
	field_get(field, &match->value, &old_bits);
	field_get(field, &match->mask, &old_mask);
	for (unsigned int i = 0; i < FIELD_VALUE_SIZE; i++) {
		bits.bytes[i] = (uint8_t)((bits.bytes[i] & mask.bytes[i]) |
					  (old_bits.bytes[i] & ~mask.bytes[i]));
		mask.bytes[i] |= old_mask.bytes[i];
	}
	match_set_masked(match, field, &bits, &mask);
}

static void add_output(struct program_builder *builder, const struct field_value *value)
{
	struct op_output *output = program_add(builder, OP_OUTPUT, sizeof(*output));

	if (output)
		output->port = (uint32_t)widen_port(field_value_to_u64(value));
	program_reads(builder, &fields[FIELD_IN_PORT]);
}

static void add_fin_timeout(struct program_builder *builder, const struct op_learn *op)
{
	struct op_fin_timeout *fin;

	if (!op->fin_idle_timeout && !op->fin_hard_timeout)
		return;
	fin = program_add(builder, OP_FIN_TIMEOUT, sizeof(*fin));
	if (fin) {
		fin->idle_timeout = op->fin_idle_timeout;
		fin->hard_timeout = op->fin_hard_timeout;
	}
	builder->flags |= PROGRAM_FIN_TIMEOUT;
}

int learn_make_flow(const struct op_learn *op, const uint8_t *values, struct flow_text *text)
{
	struct program_builder builder;
	int error;

	memset(text, 0, sizeof(*text));
	program_builder_init(&builder);
	add_fin_timeout(&builder, op);
	for (unsigned int i = 0; i < op->n_specs; i++) {
		const struct learn_spec *spec = &op->specs[i];
		const struct field_value value = spec_value(spec, &values);
		const struct field_value ones = field_value_ones(spec->destination.n_bits);

		if (spec->kind == LEARN_MATCH)
			add_match(&text->match, &spec->destination, &value);
		else if (spec->kind == LEARN_OUTPUT)
			add_output(&builder, &value);
		else
			program_add_set(&builder, SET_FORM_LOAD, &spec->destination, &value, &ones);
	}
	text->program = program_finish(&builder, &error);
	text->cookie = op->cookie;
	text->has_cookie = true;
	text->table_id = op->table_id;
	text->has_table = true;
	text->priority = op->priority;
	text->has_priority = true;
	text->idle_timeout = op->idle_timeout;
	text->hard_timeout = op->hard_timeout;
	text->flags = op->flags & LEARN_SEND_FLOW_REM ? FLOW_FLAG_SEND_FLOW_REM : 0;
	text->out_port = OFPP_ANY;
	text->out_group = OFPP_ANY;
	return error;
}

void learn_describe(const struct op_learn *op, const uint8_t *values, const struct tun_map *tun_map,
		    struct text *text)
{
	const struct port_names names = { .tun_map = tun_map };
	struct flow_text *flow = aligned_alloc(64, (sizeof(*flow) + 63) / 64 * 64);

	if (!flow || learn_make_flow(op, values, flow)) {
		free(flow);
		return;
	}
	text_addf(text, "table=%u,", flow->table_id);
	flow_format_match(&flow->match, flow->priority, &names, text);
	text_chomp(text, ",");
	text_add(text, ",actions=");
	program_format(flow->program, &names, text);
	flow_text_release(flow);
	free(flow);
}
