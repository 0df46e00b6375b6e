// Parts of fields in the lines of one packet: read as numbers, and written. Hot.
#ifndef DATAPATH_SUBFIELD_H
#define DATAPATH_SUBFIELD_H

#include "datapath/vector.h"
#include "flowtable/field.h"

#include <string.h>

// Tunnel options may lie across lines, and be wide: bytes of the key by their offset.
static inline bool in_options(const struct field *field)
{
	return field->offset >= offsetof(struct key, tun_metadata);
}

static inline uint8_t *key_byte(struct vector *vector, unsigned int packet, unsigned int offset)
{
	return (uint8_t *)vector->lines[offset / KEY_LINE_SIZE][packet] + offset % KEY_LINE_SIZE;
}

static inline bool key_bit_get(struct vector *vector, unsigned int packet,
			       const struct field *field, unsigned int bit)
{
	return *key_byte(vector, packet, field->offset + field->size - 1u - bit / 8) >> bit % 8 & 1;
}

static inline void key_bit_put(struct vector *vector, unsigned int packet,
			       const struct field *field, unsigned int bit, bool value)
{
	uint8_t *byte = key_byte(vector, packet, field->offset + field->size - 1u - bit / 8);

	*byte = (uint8_t)((*byte & ~(1u << bit % 8)) | (unsigned int)value << bit % 8);
}

// The bits of any subfield, right-aligned, most significant byte first.
#define BITS_SIZE 16
struct bits {
	uint8_t bytes[BITS_SIZE];
};

// The first byte of a field's container in a packet's lines. No container crosses a line but that
// of a tunnel option.
static inline uint8_t *container(struct vector *vector, unsigned int packet,
				 const struct field *field)
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

static inline uint64_t subfield_read(struct vector *vector, unsigned int packet,
				     const struct subfield *subfield)
{
	const struct field *field = subfield->field;
	const uint8_t *bytes = container(vector, packet, field);
	const unsigned int first = field->shift + subfield->offset;
	uint64_t value = 0;

	if (unlikely(in_options(field))) {
		for (unsigned int bit = subfield->n_bits; bit-- > 0;)
			value = value << 1 | key_bit_get(vector, packet, field, first + bit);
		return value;
	}
	for (unsigned int bit = subfield->n_bits; bit-- > 0;)
		value = value << 1 | bit_get(bytes, field->size, first + bit);
	return value;
}

static inline void subfield_get(struct vector *vector, unsigned int packet,
				const struct subfield *subfield, struct bits *value)
{
	const struct field *field = subfield->field;
	const uint8_t *bytes = container(vector, packet, field);
	const unsigned int first = field->shift + subfield->offset;

	memset(value, 0, sizeof(*value));
	for (unsigned int bit = 0; bit < subfield->n_bits; bit++)
		bit_put(value->bytes, BITS_SIZE, bit,
			unlikely(in_options(field))
				? key_bit_get(vector, packet, field, first + bit)
				: bit_get(bytes, field->size, first + bit));
}

// The bytes of the key alone; actions_write() does all that a write needs.
static inline void subfield_put(struct vector *vector, unsigned int packet,
				const struct subfield *subfield, const struct bits *value)
{
	const struct field *field = subfield->field;
	uint8_t *bytes = container(vector, packet, field);
	const unsigned int first = field->shift + subfield->offset;

	if (unlikely(in_options(field))) {
		for (unsigned int bit = 0; bit < subfield->n_bits; bit++)
			key_bit_put(vector, packet, field, first + bit,
				    bit_get(value->bytes, BITS_SIZE, bit));
		return;
	}
	for (unsigned int bit = 0; bit < subfield->n_bits; bit++)
		bit_put(bytes, field->size, first + bit, bit_get(value->bytes, BITS_SIZE, bit));
}

static inline struct bits bits_of(uint64_t number)
{
	const rte_be64_t big = rte_cpu_to_be_64(number);
	struct bits value = { 0 };

	memcpy(value.bytes + BITS_SIZE - sizeof(big), &big, sizeof(big));
	return value;
}

#endif
