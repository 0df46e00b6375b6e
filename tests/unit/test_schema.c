// Values of columns: text to value to text, limits, names.
#include "common/error.h"
#include "common/text.h"
#include "ctl/schema.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define UUID_A "f81d4fae-7dec-41d0-a765-00a0c91e6bf6"

static void test_round_trip(void **state)
{
	static const struct {
		const char *table, *column, *text;
		const char *formatted; // or part of the error
		int fails;
	} cases[] = {
		{ "Port", "tag", "10", "10", 0 },
		{ "Port", "tag", "[]", "[]", 0 },
		{ "Port", "tag", "[7]", "7", 0 },
		{ "Port", "tag", "4096", "out of range 0 to 4095", 1 },
		{ "Port", "tag", "-1", "out of range", 1 },
		{ "Port", "tag", "ten", "takes an integer, not 'ten'", 1 },
		{ "Port", "tag", "99999999999999999999", "takes an integer", 1 },
		{ "Port", "tag", "1,2", "takes one value", 1 },
		{ "Port", "tag", "1x", "takes an integer", 1 },
		{ "Port", "trunks", "3,1,2", "[1, 2, 3]", 0 },
		{ "Port", "trunks", "[3 1]", "[1, 3]", 0 },
		{ "Port", "trunks", "5-8", "[5, 6, 7, 8]", 0 },
		{ "Port", "trunks", "8-5", "must rise", 1 },
		{ "Port", "trunks", "1,1", "given twice", 1 },
		{ "Port", "trunks", "[1,2", "does not end with ]", 1 },
		{ "Port", "trunks", "[1]x", "does not end with ]", 1 },
		{ "Port", "trunks", "", "[]", 0 },
		{ "Port", "vlan_mode", "access", "access", 0 },
		{ "Port", "vlan_mode", "acces", "is none of: trunk access", 1 },
		{ "Port", "protected", "true", "true", 0 },
		{ "Port", "protected", "yes", "takes true or false", 1 },
		{ "Interface", "type", "vhost-user", "vhost-user", 0 },
		{ "Interface", "type", "", "\"\"", 0 },
		{ "Interface", "type", "\"\"", "\"\"", 0 },
		{ "Interface", "type", "\"a b\"", "\"a b\"", 0 },
		{ "Interface", "type", "\"a", "no closing quotation mark", 1 },
		{ "Interface", "type", "\"a\"b", "follows the quoted string", 1 },
		{ "Interface", "type", "true", "\"true\"", 0 },
		{ "Interface", "options", "a=1", "{a=\"1\"}", 0 },
		{ "Interface", "options", "{b=x,a=/run/s}", "{a=\"/run/s\", b=x}", 0 },
		{ "Interface", "options", "\"k 1\"=\"v,1\"", "{\"k 1\"=\"v,1\"}", 0 },
		{ "Interface", "options", "{}", "{}", 0 },
		{ "Interface", "options", "a", "takes KEY=VALUE", 1 },
		{ "Interface", "options", "a=1,a=2", "given twice", 1 },
		{ "Interface", "options", "{a=1", "does not end with }", 1 },
		{ "Interface", "mtu_request", "10", "out of range 68", 1 },
		{ "Bridge", "fail_mode", "secure", "secure", 0 },
		{ "Bridge", "name", "br\xff", "not valid UTF-8", 1 },
		{ "Bridge", "ports", UUID_A, "[" UUID_A "]", 0 },
		{ "Bridge", "ports", "F81D4FAE-7DEC-41D0-A765-00A0C91E6BF6", "[" UUID_A "]", 0 },
		{ "Bridge", "ports", "vm1", "takes a UUID or @name", 1 },
		{ "QoS", "queues", "0=" UUID_A ",5=" UUID_A, "{0=" UUID_A ", 5=" UUID_A "}", 0 },
		{ "QoS", "queues", "x=" UUID_A, "takes an integer", 1 },
		{ "AutoAttach", "mappings", "16777216=1", "out of range", 1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct schema_table *table = schema_table_find(cases[i].table, NULL);
		const struct schema_column *column = schema_column(table, cases[i].column);
		struct error error = { 0 };
		struct text text = { 0 };
		json_t *value = NULL;
		int result = schema_parse(column, cases[i].text, NULL, &value, &error);

		if (!!result != cases[i].fails)
			fail_msg("%s=%s: %s", cases[i].column, cases[i].text, error.message);
		if (result) {
			if (!strstr(error.message, cases[i].formatted))
				fail_msg("%s=%s: '%s'", cases[i].column, cases[i].text,
					 error.message);
			continue;
		}
		schema_format(column, value, &text);
		assert_string_equal(text.data, cases[i].formatted);
		// What is printed is read back as the same.
		json_t *again = NULL;

		assert_int_equal(schema_parse(column, text.data, NULL, &again, &error), 0);
		struct text second = { 0 };

		schema_format(column, again, &second);
		assert_string_equal(second.data, text.data);
		text_free(&second);
		text_free(&text);
		json_decref(again);
		json_decref(value);
	}
}

static void test_names(void **state)
{
	struct error error = { 0 };
	const struct schema_table *table;

	(void)state;
	assert_ptr_equal(schema_table_find("open-vswitch", NULL),
			 &schema_tables[TABLE_Open_vSwitch]);
	assert_ptr_equal(schema_table_find("b", NULL), &schema_tables[TABLE_Bridge]);
	assert_ptr_equal(schema_table_find("INTERF", NULL), &schema_tables[TABLE_Interface]);
	assert_null(schema_table_find("", NULL));
	assert_null(schema_table_find("Q", &error)); // QoS, Queue
	assert_non_null(strstr(error.message, "several"));
	assert_null(schema_table_find("Interfaze", &error));
	assert_non_null(strstr(error.message, "did you mean 'Interface'"));
	table = &schema_tables[TABLE_Bridge];
	assert_string_equal(schema_column_find(table, "other-config", NULL)->name, "other_config");
	assert_string_equal(schema_column_find(table, "_uuid", NULL)->name, "_uuid");
	assert_null(schema_column_find(table, "nam3", &error));
	assert_non_null(strstr(error.message, "did you mean 'name'"));
}

// The default of every column obeys the column, unless a value is required.
static void test_defaults(void **state)
{
	(void)state;
	for (int i = 0; i < N_SCHEMA_TABLES; i++)
		for (unsigned int c = 0; c < schema_tables[i].n_columns; c++) {
			const struct schema_column *column = &schema_tables[i].columns[c];
			json_t *value = schema_default(column);
			bool required = column->min && (column->max > 1 || column->ref);

			if (schema_check(column, value, NULL) && !required)
				fail_msg("%s.%s", schema_tables[i].name, column->name);
			if (column->ref)
				assert_non_null(schema_table_find(column->ref, NULL));
			json_decref(value);
		}
}

// Random bytes never crash it, and what is accepted is valid.
static void test_random(void **state)
{
	static const char alphabet[] = "[]{},=\" \\ab01-@:\xc3\xa9";

	(void)state;
	srandom(1);
	for (int i = 0; i < 200000; i++) {
		const struct schema_table *table = &schema_tables[random() % N_SCHEMA_TABLES];
		const struct schema_column *column =
			&table->columns[(unsigned int)random() % table->n_columns];
		char text[16];
		size_t n = (size_t)random() % sizeof(text);
		json_t *value = NULL;

		for (size_t k = 0; k < n; k++)
			text[k] = alphabet[(size_t)random() % (sizeof(alphabet) - 1)];
		text[n < sizeof(text) ? n : n - 1] = '\0';
		if (!schema_parse(column, text, NULL, &value, NULL))
			assert_int_equal(schema_check(column, value, NULL), 0);
		json_decref(value);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
