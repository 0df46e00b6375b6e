// common/text.h: readers are strict and leave the output alone, the buffer is always a C string.
#include "common/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_buffer(void **state)
{
	struct text text = { 0 };
	char *string;

	(void)state;
	for (int i = 0; i < 1000; i++)
		text_addf(&text, "%d,", i);
	assert_int_equal(text.length, strlen(text.data));
	text_chomp(&text, ",");
	text_chomp(&text, "x");
	assert_string_equal(text.data + text.length - 3, "999");
	text_clear(&text);
	assert_string_equal(text.data, "");
	text_add(&text, "ab");
	text_add_bytes(&text, "cdef", 2);
	string = text_steal(&text);
	assert_string_equal(string, "abcd");
	free(string);
	assert_null(text.data);
	string = text_steal(&text);
	assert_string_equal(string, "");
	free(string);
}

static void test_long_format(void **state)
{
	struct text text = { 0 };
	char long_word[500];

	(void)state;
	memset(long_word, 'x', sizeof(long_word) - 1);
	long_word[sizeof(long_word) - 1] = '\0';
	text_addf(&text, "<%s>", long_word);
	assert_int_equal(text.length, 501);
	assert_int_equal(text.data[500], '>');
	text_free(&text);
}

static void test_numbers(void **state)
{
	static const struct {
		const char *string;
		int result;
		uint64_t value;
	} cases[] = {
		{ "0", 0, 0 },
		{ "42", 0, 42 },
		{ "0x2A", 0, 42 },
		{ "18446744073709551615", 0, UINT64_MAX },
		{ "18446744073709551616", -ERANGE, 7 },
		{ "0xffffffffffffffff", 0, UINT64_MAX },
		{ "0x10000000000000000", -ERANGE, 7 },
		{ "", -EINVAL, 7 },
		{ "0x", -EINVAL, 7 },
		{ "-1", -EINVAL, 7 },
		{ "+1", -EINVAL, 7 },
		{ " 1", -EINVAL, 7 },
		{ "1 ", -EINVAL, 7 },
		{ "1a", -EINVAL, 7 },
		{ "0xg", -EINVAL, 7 },
		{ "99999999999999999999999z", -EINVAL, 7 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t value = 7;

		assert_int_equal(parse_u64(cases[i].string, &value), cases[i].result);
		assert_true(value == cases[i].value);
	}
	uint64_t value;

	assert_int_equal(parse_u64_n("123456", 3, &value), 0);
	assert_int_equal(value, 123);
}

static void test_addresses(void **state)
{
	struct text text = { 0 };
	uint8_t mac[6] = { 0 };
	uint8_t ipv6[16] = { 0 };
	uint32_t ipv4 = 0;

	(void)state;
	assert_int_equal(parse_mac("00:1a:2B:3:4:5", mac), 0);
	text_add_mac(&text, mac);
	assert_string_equal(text.data, "00:1a:2b:03:04:05");
	assert_int_equal(parse_mac("00:11:22:33:44", mac), -EINVAL);
	assert_int_equal(parse_mac("00:11:22:33:44:55:66", mac), -EINVAL);
	assert_int_equal(parse_mac("00:11:22:33:44:5g", mac), -EINVAL);
	assert_int_equal(parse_mac("", mac), -EINVAL);
	assert_int_equal(mac[1], 0x1a);

	text_clear(&text);
	assert_int_equal(parse_ipv4("10.1.2.3", &ipv4), 0);
	assert_int_equal(parse_ipv4("10.1.2", &ipv4), -EINVAL);
	assert_int_equal(parse_ipv4("10.1.2.256", &ipv4), -EINVAL);
	text_add_ipv4(&text, ipv4);
	assert_string_equal(text.data, "10.1.2.3");

	text_clear(&text);
	assert_int_equal(parse_ipv6("fe80::1", ipv6), 0);
	assert_int_equal(parse_ipv6("fe80::1::2", ipv6), -EINVAL);
	text_add_ipv6(&text, ipv6);
	assert_string_equal(text.data, "fe80::1");
	text_free(&text);
}

// parse_ipv4_n() against inet_pton(), on addresses that are right or nearly so.
static void test_ipv4(void **state)
{
	static const char bytes[] = "0123456789..a: ";

	(void)state;
	srand(3);
	for (unsigned int n = 0; n < 200000; n++) {
		char string[24];
		struct in_addr wanted;
		uint32_t got = 0;
		size_t length;
		int result;

		snprintf(string, sizeof(string), "%d.%d.%d.%d", rand() % 300, rand() % 30,
			 rand() % 260, rand() % 3);
		length = strlen(string);
		for (int changes = rand() % 3; changes; changes--)
			string[(size_t)rand() % length] =
				bytes[(size_t)rand() % (sizeof(bytes) - 1)];
		result = parse_ipv4(string, &got);
		if (inet_pton(AF_INET, string, &wanted) == 1) {
			struct text text = { 0 };
			char again[INET_ADDRSTRLEN];

			assert_int_equal(result, 0);
			assert_int_equal(got, wanted.s_addr);
			text_add_ipv4(&text, got);
			assert_string_equal(text.data,
					    inet_ntop(AF_INET, &wanted, again, sizeof(again)));
			text_free(&text);
		} else if (!result) {
			fail_msg("'%s' is no address", string);
		}
	}
}

static void test_nearest(void **state)
{
	static const char *const words[] = { "nw_src", "nw_dst", "tp_src", "ip", "metadata" };

	(void)state;
	assert_string_equal(text_nearest("nw_srcc", words, 5), "nw_src");
	assert_string_equal(text_nearest("metdaata", words, 5), "metadata");
	assert_string_equal(text_nearest("nw_dts", words, 5), "nw_dst");
	assert_null(text_nearest("bananas", words, 5));
	assert_null(text_nearest("", words, 5));
	assert_null(text_nearest("a-word-that-is-much-longer-than-any-word-in-the-list", words, 5));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_buffer),  cmocka_unit_test(test_long_format),
		cmocka_unit_test(test_numbers), cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_nearest), cmocka_unit_test(test_ipv4),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
