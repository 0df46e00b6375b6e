#include "flowtable/field.h"

#include "common/text.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define KEY_AT(member) offsetof(struct key, member)
#define ACCESS_RW true
#define ACCESS_RO false

const struct field fields[N_FIELDS] = {
#define FIELD(id_, name_, alias_, shown_, nxm_, oxm_, offset_, size_, shift_, n_bits_, maskable_,  \
	      format_, prerequisite_, access_, dirty_)                                             \
	[FIELD_##id_] = {                                                                          \
		.id = FIELD_##id_,                                                                 \
		.name = name_,                                                                     \
		.alias = alias_,                                                                   \
		.shown = shown_,                                                                   \
		.nxm = nxm_,                                                                       \
		.oxm = oxm_,                                                                       \
		.offset = offset_,                                                                 \
		.size = size_,                                                                     \
		.shift = shift_,                                                                   \
		.n_bits = n_bits_,                                                                 \
		.maskable = FIELD_MASK_##maskable_,                                                \
		.format = FORMAT_##format_,                                                        \
		.prerequisite = PREREQ_##prerequisite_,                                            \
		.writable = ACCESS_##access_,                                                      \
		.dirty = DIRTY_##dirty_,                                                           \
	},
#include "flowtable/field.def"
#undef FIELD
};

// Every spelling of every field, sorted by name and then by row.
struct spelling {
	const char *name;
	size_t length;
	const struct field *field;
};

static struct spelling spellings[N_FIELDS * 5];
_Static_assert(N_FIELDS * 5 < 2048, "there are slots for all spellings");
static unsigned int n_spellings;

// Where the spellings of one name begin, by a hash of the name; 0: none, else the index plus one.
#define SPELLING_SLOTS 2048
static uint16_t spelling_slots[SPELLING_SLOTS];

static unsigned int spelling_hash(const char *name, size_t length)
{
	uint32_t hash = (uint32_t)length;

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ (uint8_t)name[i]) * 0x01000193u;
	return (hash ^ hash >> 15) % SPELLING_SLOTS;
}

static int spelling_compare_name(const struct spelling *spelling, const char *name, size_t length)
{
	size_t shorter = spelling->length < length ? spelling->length : length;
	int order = memcmp(spelling->name, name, shorter);

	if (order)
		return order;
	return spelling->length < length ? -1 : spelling->length > length;
}

static int spelling_compare(const void *a_, const void *b_)
{
	const struct spelling *a = a_;
	const struct spelling *b = b_;
	int order = spelling_compare_name(a, b->name, b->length);

	if (order)
		return order;
	return a->field < b->field ? -1 : a->field > b->field;
}

// `names` holds one or several spellings, separated by '|'.
static void spelling_add(const struct field *field, const char *names)
{
	while (names && n_spellings < sizeof(spellings) / sizeof(spellings[0])) {
		const char *end = strchr(names, '|');

		spellings[n_spellings].name = names;
		spellings[n_spellings].length = end ? (size_t)(end - names) : strlen(names);
		spellings[n_spellings].field = field;
		n_spellings++;
		names = end ? end + 1 : NULL;
	}
}

static void spellings_build(void)
{
	for (unsigned int i = 0; i < N_FIELDS; i++) {
		spelling_add(&fields[i], fields[i].name);
		spelling_add(&fields[i], fields[i].alias);
		spelling_add(&fields[i], fields[i].nxm);
		spelling_add(&fields[i], fields[i].oxm);
	}
	qsort(spellings, n_spellings, sizeof(spellings[0]), spelling_compare);
	for (unsigned int i = 0; i < n_spellings; i++) {
		const struct spelling *spelling = &spellings[i];
		unsigned int slot = spelling_hash(spelling->name, spelling->length);

		if (i &&
		    !spelling_compare_name(&spellings[i - 1], spelling->name, spelling->length))
			continue;
		while (spelling_slots[slot])
			slot = (slot + 1) % SPELLING_SLOTS;
		spelling_slots[slot] = (uint16_t)(i + 1);
	}
}

static void spellings_prepare(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, spellings_build);
}

unsigned int field_find_all(const char *name, size_t length, const struct field *found[],
			    unsigned int max)
{
	unsigned int slot = spelling_hash(name, length);
	unsigned int low;
	unsigned int n = 0;

	spellings_prepare();
	for (low = n_spellings; spelling_slots[slot]; slot = (slot + 1) % SPELLING_SLOTS) {
		low = spelling_slots[slot] - 1u;
		if (!spelling_compare_name(&spellings[low], name, length))
			break;
		low = n_spellings;
	}
	for (; low < n_spellings && !spelling_compare_name(&spellings[low], name, length); low++) {
		if (n < max)
			found[n] = spellings[low].field;
		n++;
	}
	return n;
}

static bool is_name(const char *name, const char *other, size_t length)
{
	return strlen(name) == length && !memcmp(name, other, length);
}

const struct field *field_find(const char *name, size_t length)
{
	const struct field *found[8];
	unsigned int n = field_find_all(name, length, found, 8);

	for (unsigned int i = 0; i < n && i < 8; i++)
		if (is_name(found[i]->name, name, length))
			return found[i];
	for (unsigned int i = 0; i < n && i < 8; i++)
		if (is_name(found[i]->shown, name, length))
			return found[i];
	return n ? found[0] : NULL;
}

const char *field_nearest(const char *name)
{
	const char *names[N_FIELDS * 2];
	unsigned int n = 0;

	for (unsigned int i = 0; i < N_FIELDS; i++) {
		names[n++] = fields[i].name;
		if (fields[i].shown != fields[i].name)
			names[n++] = fields[i].shown;
	}
	return text_nearest(name, names, n);
}

unsigned int field_subfield_bits(const struct field *field)
{
	switch (field->format) {
	case FORMAT_PORT16:
		return 16;
	case FORMAT_VLAN_VID:
		return 12;
	default:
		return field->n_bits;
	}
}

// Fields of whole bytes are copied; all others fit in 64 bits together with what is below them.
static bool field_is_bytes(const struct field *field)
{
	return field->shift == 0 && field->n_bits == field->size * 8;
}

static uint64_t load_be(const uint8_t *bytes, unsigned int size)
{
	uint64_t value = 0;

	if (size == 8) {
		memcpy(&value, bytes, 8);
		return __builtin_bswap64(value);
	}
	for (unsigned int i = 0; i < size; i++)
		value = value << 8 | bytes[i];
	return value;
}

static void store_be(uint8_t *bytes, unsigned int size, uint64_t value)
{
	if (size == 8) {
		value = __builtin_bswap64(value);
		memcpy(bytes, &value, 8);
		return;
	}
	for (unsigned int i = size; i-- > 0; value >>= 8)
		bytes[i] = (uint8_t)value;
}

static uint64_t low_bits(unsigned int n)
{
	return n >= 64 ? UINT64_MAX : (1ULL << n) - 1;
}

void field_get(const struct field *field, const struct key *key, struct field_value *value)
{
	const uint8_t *container = key->bytes + field->offset;

	memset(value, 0, sizeof(*value));
	if (field_is_bytes(field))
		memcpy(value->bytes + FIELD_VALUE_SIZE - field->size, container, field->size);
	else
		*value = field_value_from_u64(load_be(container, field->size) >> field->shift &
					      low_bits(field->n_bits));
}

void field_set(const struct field *field, const struct field_value *value, struct key *key)
{
	uint8_t *container = key->bytes + field->offset;

	if (field_is_bytes(field)) {
		memcpy(container, value->bytes + FIELD_VALUE_SIZE - field->size, field->size);
	} else {
		uint64_t mask = low_bits(field->n_bits) << field->shift;
		uint64_t bits = field_value_to_u64(value) << field->shift & mask;

		store_be(container, field->size, (load_be(container, field->size) & ~mask) | bits);
	}
}

struct field_value field_all_ones(const struct field *field)
{
	struct field_value value = { 0 };
	unsigned int n_bytes = field->n_bits / 8u;

	if (field->n_bits <= 64) {
		store_be(value.bytes + FIELD_VALUE_SIZE - 8, 8, low_bits(field->n_bits));
		return value;
	}
	memset(value.bytes + FIELD_VALUE_SIZE - n_bytes, 0xff, n_bytes);
	if (field->n_bits % 8)
		value.bytes[FIELD_VALUE_SIZE - n_bytes - 1] = (uint8_t)low_bits(field->n_bits % 8u);
	return value;
}

struct field_value field_value_from_u64(uint64_t number)
{
	struct field_value value = { 0 };

	store_be(value.bytes + FIELD_VALUE_SIZE - 8, 8, number);
	return value;
}

uint64_t field_value_to_u64(const struct field_value *value)
{
	return load_be(value->bytes + FIELD_VALUE_SIZE - 8, 8);
}

bool field_value_is_u64(const struct field_value *value)
{
	uint64_t words[FIELD_VALUE_SIZE / 8];

	memcpy(words, value, sizeof(words));
	for (unsigned int i = 0; i < FIELD_VALUE_SIZE / 8 - 1; i++)
		if (words[i])
			return false;
	return true;
}

bool field_value_is_zero(const struct field_value *value)
{
	uint64_t words[FIELD_VALUE_SIZE / 8];

	memcpy(words, value, sizeof(words));
	for (unsigned int i = 0; i < FIELD_VALUE_SIZE / 8; i++)
		if (words[i])
			return false;
	return true;
}

void field_value_shift_left(struct field_value *value, unsigned int n)
{
	unsigned int bytes = n / 8;
	unsigned int bits = n % 8;
	struct field_value result = { 0 };

	for (unsigned int i = 0; i + bytes < FIELD_VALUE_SIZE; i++) {
		unsigned int low =
			i + bytes + 1 < FIELD_VALUE_SIZE ? value->bytes[i + bytes + 1] : 0;

		result.bytes[i] = (uint8_t)((value->bytes[i + bytes] << 8 | low) >> (8 - bits));
	}
	*value = result;
}

void field_value_shift_right(struct field_value *value, unsigned int n)
{
	unsigned int bytes = n / 8;
	unsigned int bits = n % 8;
	struct field_value result = { 0 };

	for (unsigned int i = bytes; i < FIELD_VALUE_SIZE; i++) {
		unsigned int high = i > bytes ? value->bytes[i - bytes - 1] : 0;

		result.bytes[i] = (uint8_t)((high << 8 | value->bytes[i - bytes]) >> bits);
	}
	*value = result;
}

struct field_value field_value_ones(unsigned int n_bits)
{
	struct field_value value;

	memset(&value, 0xff, sizeof(value));
	if (n_bits < FIELD_VALUE_SIZE * 8)
		field_value_shift_right(&value, FIELD_VALUE_SIZE * 8 - n_bits);
	return value;
}
