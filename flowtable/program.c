#include "flowtable/program_build.h"

#include "flowtable/flow_text.h"
#include "flowtable/program_share.h"
#include "flowtable/tun_map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void program_builder_init(struct program_builder *builder)
{
	memset(builder, 0, sizeof(*builder));
}

void program_builder_free(struct program_builder *builder)
{
	free(builder->ops);
	memset(builder, 0, sizeof(*builder));
}

static bool builder_reserve(struct program_builder *builder, size_t size)
{
	size_t capacity = builder->capacity ? builder->capacity : 256;
	uint8_t *ops;

	if (builder->error)
		return false;
	if (size > UINT16_MAX - 7 || builder->size + size > PROGRAM_MAX_SIZE) {
		builder->error = -E2BIG;
		return false;
	}
	while (capacity < builder->size + size)
		capacity *= 2;
	if (capacity == builder->capacity)
		return true;
	ops = realloc(builder->ops, capacity);
	if (!ops) {
		builder->error = -ENOMEM;
		return false;
	}
	builder->ops = ops;
	builder->capacity = capacity;
	return true;
}

// Does this kind of op look at headers? What it does to fields is accounted for by
// program_reads() and program_writes().
static bool needs_headers(enum op_code code)
{
	switch (code) {
	case OP_OUTPUT: // but see program_finish()
	case OP_CONTROLLER:
	case OP_RESUBMIT:
	case OP_GROUP: // its group says what it needs
	case OP_SET:
	case OP_MOVE:
	case OP_SET_QUEUE:
	case OP_POP_QUEUE:
	case OP_ENQUEUE:
	case OP_CLONE:
	case OP_PUSH:
	case OP_POP:
	case OP_NOTE:
	case OP_EXIT:
	case OP_CLEAR_ACTIONS:
	case OP_WRITE_ACTIONS:
	case OP_GOTO_TABLE:
		return false;
	default:
		return true;
	}
}

void *program_add(struct program_builder *builder, enum op_code code, size_t size)
{
	struct op *op;

	size = (size + 7) & ~(size_t)7;
	if (!builder_reserve(builder, size))
		return NULL;
	op = (struct op *)(builder->ops + builder->size);
	memset(op, 0, size);
	op->code = (uint16_t)code;
	op->size = (uint16_t)size;
	builder->size += size;
	builder->n_ops += builder->depth == 0;
	if (needs_headers(code))
		builder->lines_read |= KEY_LINES_HEADERS;
	return op;
}

static uint16_t field_lines(const struct field *field)
{
	uint16_t lines = 0;

	const unsigned int first = field->offset / KEY_LINE_SIZE;
	const unsigned int last = (field->offset + field->size - 1u) / KEY_LINE_SIZE;

	if (field_is_tun_metadata(field)) // with what says that it is there
		return (uint16_t)(1u << KEY_LINE_TUNNEL | ((2u << last) - (1u << first)));
	for (unsigned int word = field->offset / 8u; word <= (field->offset + field->size - 1u) / 8;
	     word++)
		lines |= key_word_lines(word, word ? UINT64_MAX : 0);
	if (field->offset < 8 && field->format != FORMAT_PORT && field->format != FORMAT_PORT16)
		lines |= KEY_LINES_HEADERS; // a tag
	return lines;
}

void program_reads(struct program_builder *builder, const struct field *field)
{
	builder->lines_read |= field_lines(field);
}

void program_writes(struct program_builder *builder, const struct field *field)
{
	builder->lines_written |= field_lines(field);
	builder->dirty |= field->dirty;
	if (field->format == FORMAT_VLAN_TCI || field->format == FORMAT_VLAN_VID)
		builder->flags |= PROGRAM_CHANGES_TAGS;
}

// NXM_OF_IN_PORT has 16 bits, the key has 32: reserved ports keep their meaning.
static void widen_in_port(const struct subfield *subfield, struct field_value *value,
			  struct field_value *mask)
{
	struct field_value ones = field_value_from_u64(0xffff);
	uint64_t port = field_value_to_u64(value);

	if (subfield->field->format != FORMAT_PORT16 || subfield->offset ||
	    memcmp(mask, &ones, sizeof(ones)))
		return;
	*value = field_value_from_u64(port >= 0xff00 ? port | 0xffff0000u : port);
	*mask = field_all_ones(subfield->field);
}

static void add_present(struct op_set *set, const struct field *field)
{
	struct op_word *word = &set->words[set->n_words++];

	word->word = offsetof(struct key, tunnel.tun_present) / 8;
	word->line = KEY_LINE_TUNNEL;
	word->value = word->mask = tun_metadata_bit(field);
}

void program_add_set(struct program_builder *builder, enum set_form form,
		     const struct subfield *subfield, const struct field_value *value,
		     const struct field_value *mask)
{
	const struct field *field = subfield->field;
	struct field_value value_bits = *value;
	struct field_value mask_bits = *mask;
	const unsigned int first = field->offset / 8u;
	const unsigned int last = (field->offset + field->size - 1u) / 8u;
	struct key key = { 0 };
	struct key key_mask = { 0 };
	struct op_set *set;
	unsigned int n = 0;

	if (subfield->offset) {
		field_value_shift_left(&value_bits, subfield->offset);
		field_value_shift_left(&mask_bits, subfield->offset);
	}
	if (field->format == FORMAT_TOS) // ECN is not part of it
		mask_bits.bytes[FIELD_VALUE_SIZE - 1] &= 0xfc;
	widen_in_port(subfield, &value_bits, &mask_bits);
	for (unsigned int i = 0; i < FIELD_VALUE_SIZE; i++)
		value_bits.bytes[i] &= mask_bits.bytes[i];
	field_set(field, &value_bits, &key);
	field_set(field, &mask_bits, &key_mask);
	for (unsigned int i = first; i <= last; i++)
		n += key_mask.words[i] != 0;
	n += field_is_tun_metadata(field);
	set = program_add(builder, OP_SET, sizeof(*set) + n * sizeof(set->words[0]));
	if (!set)
		return;
	set->op.form = (uint8_t)form;
	set->field = (uint16_t)field->id;
	set->offset = subfield->offset;
	set->n_bits = subfield->n_bits;
	for (unsigned int i = first; i <= last; i++) {
		struct op_word *word = &set->words[set->n_words];

		if (!key_mask.words[i])
			continue;
		word->word = (uint16_t)i;
		word->line = (uint16_t)(i / KEY_LINE_WORDS);
		word->value = key.words[i];
		word->mask = key_mask.words[i];
		set->n_words++;
	}
	if (field_is_tun_metadata(field)) // what is written is there
		add_present(set, field);
	program_writes(builder, field);
}

void op_set_unpack(const struct op_set *set, const struct field *field, struct field_value *value,
		   struct field_value *mask)
{
	struct key key = { 0 };
	struct key key_mask = { 0 };

	for (unsigned int i = 0; i < set->n_words; i++) {
		key.words[set->words[i].word] = set->words[i].value;
		key_mask.words[set->words[i].word] = set->words[i].mask;
	}
	field_get(field, &key, value);
	field_get(field, &key_mask, mask);
}

size_t program_begin_nested(struct program_builder *builder, enum op_code code)
{
	size_t start = builder->size;

	program_add(builder, code, sizeof(struct op_nested));
	builder->depth++;
	return start;
}

void program_end_nested(struct program_builder *builder, size_t start)
{
	struct op_nested *nested;

	builder->depth--;
	if (builder->error)
		return;
	if (builder->size - start > UINT16_MAX) {
		builder->error = -E2BIG;
		return;
	}
	nested = (struct op_nested *)(builder->ops + start);
	nested->op.size = (uint16_t)(builder->size - start);
	nested->length = (uint32_t)(builder->size - start - sizeof(*nested));
	if (nested->op.code == OP_WRITE_ACTIONS)
		builder->flags |= PROGRAM_WRITES_ACTION_SET;
}

struct program *program_finish(struct program_builder *builder, int *error)
{
	struct program *program = NULL;

	*error = builder->error;
	if (!*error) {
		program = calloc(1, sizeof(*program) + builder->size);
		*error = program ? 0 : -ENOMEM;
	}
	if (program) {
		if (builder->size)
			memcpy(program->ops, builder->ops, builder->size);
		program->size = (uint32_t)builder->size;
		program->n_ops = builder->n_ops;
		program->lines_read = builder->lines_read;
		program->lines_written = builder->lines_written;
		program->dirty = builder->dirty;
		program->flags = builder->flags;
		if (program_outputs_to(program, OFPP_NORMAL))
			program->lines_read |= KEY_LINES_HEADERS;
	}
	program_builder_free(builder);
	return program;
}

void program_free(void *pointer)
{
	struct program *program = pointer;

	if (!program || program->n_more_users--)
		return;
	program_unshare(program);
	free(program);
}

static bool bundle_has(const struct op *op, uint32_t port)
{
	const struct op_bundle *bundle = (const struct op_bundle *)op;

	for (unsigned int i = 0; i < bundle->n_members && !bundle->is_load; i++)
		if (bundle->members[i] == port)
			return true;
	return false;
}

static bool ops_output_to(const uint8_t *at, size_t size, uint32_t port)
{
	const uint8_t *end = at + size;

	while (at < end) {
		const struct op *op = (const struct op *)at;

		if (op->code == OP_OUTPUT && ((const struct op_output *)op)->port == port)
			return true;
		if (op->code == OP_CONTROLLER && port == OFPP_CONTROLLER)
			return true;
		if (op->code == OP_ENQUEUE && ((const struct op_enqueue *)op)->port == port)
			return true;
		if (op->code == OP_BUNDLE && bundle_has(op, port))
			return true;
		if (op->code == OP_WRITE_ACTIONS || op->code == OP_CLONE) {
			const struct op_nested *nested = (const struct op_nested *)op;

			if (ops_output_to((const uint8_t *)nested->ops, nested->length, port))
				return true;
		}
		at += op->size;
	}
	return false;
}

bool program_outputs_to(const struct program *program, uint32_t port)
{
	return ops_output_to(program->ops, program->size, port);
}
