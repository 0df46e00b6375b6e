// flowtable/field.h: every row of field.def, its place, its names, and its values as text.
#include "common/error.h"
#include "common/text.h"
#include "flowtable/flow_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void fill_random(void *data, size_t size)
{
	for (size_t i = 0; i < size; i++)
		((uint8_t *)data)[i] = (uint8_t)(rand() >> 8);
}

static struct field_value random_value(const struct field *field)
{
	struct field_value ones = field_all_ones(field);
	struct field_value value;

	fill_random(&value, sizeof(value));
	for (size_t i = 0; i < FIELD_VALUE_SIZE; i++)
		value.bytes[i] &= ones.bytes[i];
	return value;
}

static void test_rows(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < N_FIELDS; i++) {
		const struct field *field = &fields[i];

		assert_int_equal(field->id, i);
		assert_non_null(field->name);
		assert_true(field->n_bits > 0);
		assert_true(field->shift + field->n_bits <= field->size * 8);
		assert_true(field->offset + field->size <= KEY_SIZE);
		// A field never straddles lines, and its words are whole for op_set.
		assert_int_equal(field->offset / KEY_LINE_SIZE,
				 (field->offset + field->size - 1) / KEY_LINE_SIZE);
		// Other than whole bytes only up to 64 bits.
		assert_true(field->size <= 8 ||
			    (!field->shift && field->n_bits == field->size * 8));
		assert_true(field->writable || field->dirty == DIRTY_NONE ||
			    field->prerequisite != PREREQ_NONE);
	}
}

static bool found_among(const char *name, size_t length, const struct field *field)
{
	const struct field *found[16];
	unsigned int n = field_find_all(name, length, found, 16);

	for (unsigned int i = 0; i < n; i++)
		if (found[i] == field)
			return true;
	return false;
}

// Every one of "a|b|c" finds the field.
static void check_names(const struct field *field, const char *names)
{
	while (names) {
		size_t length = strcspn(names, "|");

		assert_true(found_among(names, length, field));
		names = names[length] ? names + length + 1 : NULL;
	}
}

static void test_names(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < N_FIELDS; i++) {
		const struct field *field = &fields[i];

		assert_ptr_equal(field_find(field->name, strlen(field->name)), field);
		check_names(field, field->name);
		check_names(field, field->alias);
		check_names(field, field->shown);
		check_names(field, field->nxm);
		check_names(field, field->oxm);
		if (field->nxm)
			assert_ptr_equal(field_find(field->nxm, strlen(field->nxm)), field);
	}
	assert_null(field_find("no_such_field", 13));
	assert_null(field_find("", 0));
	assert_null(field_find("nw_sr", 5));
	assert_null(field_find("nw_src_", 7));
	assert_string_equal(field_nearest("nw_sorc"), "nw_src");
}

// What is set is read back, and no other bit changes.
static void test_get_and_set(void **state)
{
	(void)state;
	srand(1);
	for (unsigned int i = 0; i < N_FIELDS; i++) {
		const struct field *field = &fields[i];
		struct field_value ones = field_all_ones(field);
		struct field_value zero = { 0 };
		struct field_value value;
		struct field_value got;
		struct key before;
		struct key key;
		unsigned int changed = 0;

		fill_random(&before, sizeof(before));
		key = before;
		value = random_value(field);
		field_set(field, &value, &key);
		field_get(field, &key, &got);
		assert_memory_equal(&got, &value, sizeof(value));
		field_get(field, &before, &value);
		field_set(field, &value, &key);
		assert_memory_equal(&key, &before, sizeof(key));

		memset(&key, 0, sizeof(key));
		field_set(field, &ones, &key);
		for (unsigned int j = 0; j < KEY_WORDS; j++)
			changed += (unsigned int)__builtin_popcountll(key.words[j]);
		assert_int_equal(changed, field->n_bits);
		field_set(field, &zero, &key);
		for (unsigned int j = 0; j < KEY_WORDS; j++)
			assert_true(key.words[j] == 0);
	}
}

// Fields lie where key.h says: in network byte order.
static void test_places(void **state)
{
	struct key key = { 0 };
	struct field_value value;

	(void)state;
	key.core.in_port = rte_cpu_to_be_32(7);
	key.core.vlan_tci0 = rte_cpu_to_be_16(0xb005);
	key.core.tp_src = rte_cpu_to_be_16(0x1234);
	key.registers.reg[0] = rte_cpu_to_be_32(1);
	key.registers.reg[1] = rte_cpu_to_be_32(2);
	key.ipv6.mpls_lse[0] = rte_cpu_to_be_32(5u << 12 | 3u << 9 | 1u << 8 | 64);
	key.core.ip_tos = 0xb9;

	field_get(&fields[FIELD_IN_PORT], &key, &value);
	assert_int_equal(field_value_to_u64(&value), 7);
	field_get(&fields[FIELD_VLAN_PCP], &key, &value);
	assert_int_equal(field_value_to_u64(&value), 5);
	field_get(&fields[FIELD_VLAN_VID], &key, &value);
	assert_int_equal(field_value_to_u64(&value), 0x1005);
	field_get(&fields[FIELD_ICMP_TYPE], &key, &value);
	assert_int_equal(field_value_to_u64(&value), 0x34);
	field_get(&fields[FIELD_XREG0], &key, &value);
	assert_true(field_value_to_u64(&value) == 0x100000002);
	field_get(&fields[FIELD_MPLS_LABEL], &key, &value);
	assert_int_equal(field_value_to_u64(&value), 5);
	field_get(&fields[FIELD_MPLS_TC], &key, &value);
	assert_int_equal(field_value_to_u64(&value), 3);
	field_get(&fields[FIELD_MPLS_BOS], &key, &value);
	assert_int_equal(field_value_to_u64(&value), 1);
	field_get(&fields[FIELD_MPLS_TTL], &key, &value);
	assert_int_equal(field_value_to_u64(&value), 64);
	field_get(&fields[FIELD_IP_DSCP], &key, &value);
	assert_int_equal(field_value_to_u64(&value), 0x2e);
	field_get(&fields[FIELD_IP_ECN], &key, &value);
	assert_int_equal(field_value_to_u64(&value), 1);
}

// Values whose text says less than their bits.
static void make_sayable(const struct field *field, struct field_value *value)
{
	uint64_t number = field_value_to_u64(value);

	switch (field->format) {
	case FORMAT_PORT:
	case FORMAT_PORT16:
		number %= 0xff00;
		break;
	case FORMAT_TOS:
		number &= 0xfc;
		break;
	case FORMAT_DL_VLAN:
		number = (number & 0xfff) | 0x1000;
		break;
	case FORMAT_DL_VLAN_PCP:
		number |= 1;
		break;
	case FORMAT_FRAG:
		number = number == 2 ? 3 : number;
		break;
	default:
		return;
	}
	*value = field_value_from_u64(number);
}

static void test_value_text(void **state)
{
	(void)state;
	srand(2);
	for (unsigned int n = 0; n < 50 * N_FIELDS; n++) {
		const struct field *field = &fields[n % N_FIELDS];
		struct field_value value = random_value(field);
		struct field_value got;
		struct field_value mask;
		struct text text = { 0 };
		struct error error;

		make_sayable(field, &value);
		field_format_value(field, &value, NULL, NULL, &text);
		if (field_parse_value(field, text.data, NULL, &got, &mask, &error))
			fail_msg("%s=%s: %s", field->name, text.data, error.message);
		assert_memory_equal(&got, &value, sizeof(value));
		text_free(&text);
	}
}

static void test_masked_text(void **state)
{
	(void)state;
	srand(3);
	for (unsigned int n = 0; n < 200 * N_FIELDS; n++) {
		const struct field *field = &fields[n % N_FIELDS];
		struct field_value value = random_value(field);
		struct field_value mask = random_value(field);
		struct field_value got_value;
		struct field_value got_mask;
		struct text text = { 0 };
		struct error error;

		if (field->maskable == FIELD_MASK_NONE || field->format == FORMAT_FRAG ||
		    field_value_is_zero(&mask))
			continue;
		if (n % 3 == 0) { // a prefix
			mask = field_all_ones(field);
			field_value_shift_left(&mask, (unsigned int)rand() % field->n_bits);
			struct field_value ones = field_all_ones(field);
			for (size_t i = 0; i < FIELD_VALUE_SIZE; i++)
				mask.bytes[i] &= ones.bytes[i];
		}
		for (size_t i = 0; i < FIELD_VALUE_SIZE; i++)
			value.bytes[i] &= mask.bytes[i];
		field_format_value(field, &value, &mask, NULL, &text);
		if (field_parse_value(field, text.data, NULL, &got_value, &got_mask, &error))
			fail_msg("%s=%s: %s", field->name, text.data, error.message);
		assert_memory_equal(&got_value, &value, sizeof(value));
		assert_memory_equal(&got_mask, &mask, sizeof(mask));
		text_free(&text);
	}
}

static void test_subfields(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < N_FIELDS; i++) {
		const struct field *field = &fields[i];
		unsigned int n_bits = field_subfield_bits(field);

		for (unsigned int first = 0; first < n_bits; first += 3) {
			struct subfield subfield = { .field = field,
						     .offset = (uint16_t)first,
						     .n_bits = (uint16_t)(n_bits - first) };
			struct subfield got;
			struct text text = { 0 };
			struct error error;

			subfield_format(&subfield, &text);
			if (subfield_parse(text.data, &got, &error))
				fail_msg("%s: %s", text.data, error.message);
			assert_ptr_equal(got.field, field);
			assert_int_equal(got.offset, first);
			assert_int_equal(got.n_bits, n_bits - first);
			text_free(&text);
		}
	}
}

static void test_subfield_errors(void **state)
{
	static const struct {
		const char *string;
		int column;
	} cases[] = {
		{ "reg0[0..32]", 9 }, { "reg0[32]", 6 },  { "reg0[3..1]", 9 }, { "reg0[", 5 },
		{ "reg0[1.2]", 7 },   { "reg0[a]", 6 },   { "regg0[1]", 1 },   { "", 1 },
		{ "reg0[1]x", 5 },    { "reg0[1..]", 9 }, { "reg0[..1]", 6 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct subfield subfield;
		struct error error;

		assert_int_not_equal(subfield_parse(cases[i].string, &subfield, &error), 0);
		if (error.column != cases[i].column)
			fail_msg("%s: column %d: %s", cases[i].string, error.column, error.message);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),        cmocka_unit_test(test_names),
		cmocka_unit_test(test_get_and_set), cmocka_unit_test(test_places),
		cmocka_unit_test(test_value_text),  cmocka_unit_test(test_masked_text),
		cmocka_unit_test(test_subfields),   cmocka_unit_test(test_subfield_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
