// Building programs op by op: for the readers of text here and of OpenFlow messages in ofproto.
//
// A builder grows one sequence of ops and keeps account of what they read and write. Errors stick:
// after the first, ops are ignored, and program_finish() tells. Control thread.
#ifndef FLOWTABLE_PROGRAM_BUILD_H
#define FLOWTABLE_PROGRAM_BUILD_H

#include "flowtable/program.h"

// A program is read for every packet; one that is larger than this was made by mistake.
#define PROGRAM_MAX_SIZE (256 * 1024)

struct program_builder {
	uint8_t *ops;
	size_t size;
	size_t capacity;
	uint32_t n_ops; // at the top
	unsigned int depth; // of nested ops
	uint16_t lines_read;
	uint16_t lines_written;
	uint16_t dirty;
	uint8_t flags;
	int error; // -ENOMEM or -E2BIG
};

void program_builder_init(struct program_builder *builder);
void program_builder_free(struct program_builder *builder);

// Append an op of `size` bytes (rounded up), zeroed but for its head. NULL after an error. Valid
// until the next op is added.
void *program_add(struct program_builder *builder, enum op_code code, size_t size);

// Account for an op's use of a field.
void program_reads(struct program_builder *builder, const struct field *field);
void program_writes(struct program_builder *builder, const struct field *field);

// Write bits of a field. `value` and `mask` are right-aligned at the subfield's lowest bit.
void program_add_set(struct program_builder *builder, enum set_form form,
		     const struct subfield *subfield, const struct field_value *value,
		     const struct field_value *mask);

// What an op_set writes into its field: value and mask of the whole field.
// `field` is the one that it names, as the bridge has it.
void op_set_unpack(const struct op_set *set, const struct field *field, struct field_value *value,
		   struct field_value *mask);

// Ops added between the two become the nested ops of one write_actions or clone.
size_t program_begin_nested(struct program_builder *builder, enum op_code code);
void program_end_nested(struct program_builder *builder, size_t start);

// The finished program, or NULL with *error set to a negative errno. The builder is empty then.
struct program *program_finish(struct program_builder *builder, int *error);

#endif
