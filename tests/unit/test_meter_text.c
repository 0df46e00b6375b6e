// The meter language: what is written comes back in canonical form, and what is wrong is refused
// where it is wrong.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/error.h"
#include "common/text.h"
#include "flowtable/flow_text.h"
#include "flowtable/meter_text.h"
#include "tests/unit/packets.h"

static void check(const char *from, const char *to)
{
	struct error error = { 0 };
	struct text text = { 0 };
	struct meter_text meter;

	if (meter_text_parse(from, METER_TEXT_ADD, &meter, &error))
		fail_msg("%s: column %d: %s", from, error.column, error.message);
	meter_text_format(&meter, &text);
	assert_string_equal(text.data, to);
	text_free(&text);
}

static void canonical_text_comes_back(void **state)
{
	static const char *const texts[][2] = {
		{ "meter=1,kbps,bands=type=drop,rate=1000",
		  "meter=1,kbps,bands=type=drop,rate=1000" },
		{ "meter=65535 pktps burst stats bands=type=drop rate=5 burst_size=10",
		  "meter=65535,pktps,burst,stats,bands=type=drop,rate=5,burst_size=10" },
		{ "stats,burst,KBPS,meter=0x10,bands=type=DROP,burst_size=7,rate=0,"
		  "type=dscp_remark,prec_level=2,rate=4294967295",
		  "meter=16,kbps,burst,stats,bands=type=drop,rate=0,burst_size=7,"
		  "type=dscp_remark,rate=4294967295,prec_level=2" },
		// As dump-meters prints it, and each band behind a word of its own.
		{ "meter=3 kbps burst bands=\ntype=drop rate=9 burst_size=1\ntype=drop rate=8\n",
		  "meter=3,kbps,burst,bands=type=drop,rate=9,burst_size=1,type=drop,rate=8" },
		{ "meter=3,kbps,band=type=drop,rate=9,band=type=drop,rate=8",
		  "meter=3,kbps,bands=type=drop,rate=9,type=drop,rate=8" },
		// The last one counts.
		{ "meter=3,meter=4,pktps,pktps,bands=type=drop,rate=1,rate=2",
		  "meter=4,pktps,bands=type=drop,rate=2" },
		{ "meter=3,burst,kbps,bands=type=drop,rate=1,burst_size=0",
		  "meter=3,kbps,burst,bands=type=drop,rate=1" },
	};

	(void)state;
	for (unsigned int i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		check(texts[i][0], texts[i][1]);
		check(texts[i][1], texts[i][1]);
	}
}

static void mistakes_are_refused_where_they_are(void **state)
{
	static const struct {
		enum meter_text_usage usage;
		int column;
		const char *text;
		const char *says;
	} cases[] = {
		{ METER_TEXT_ADD, 1, "", "meter=" },
		{ METER_TEXT_ADD, 1, "1", "means nothing" },
		{ METER_TEXT_ADD, 7, "meter=0,kbps,bands=type=drop,rate=1", "1" },
		{ METER_TEXT_ADD, 7, "meter=65536,kbps,bands=type=drop,rate=1", "65535" },
		{ METER_TEXT_ADD, 7, "meter=all,kbps,bands=type=drop,rate=1", "number" },
		{ METER_TEXT_ADD, 7, "meter=controller,kbps,bands=type=drop,rate=1", "controller" },
		{ METER_TEXT_ADD, 7, "meter=slowpath,kbps,bands=type=drop,rate=1", "slow path" },
		{ METER_TEXT_ADD, 32, "meter=1,bands=type=drop,rate=10", "unit" },
		{ METER_TEXT_ADD, 31, "kbps,bands=type=drop,rate=1000", "meter= is missing" },
		{ METER_TEXT_ADD, 13, "meter=1,kbps", "band" },
		{ METER_TEXT_ADD, 20, "meter=1,kbps,bands=", "band" },
		{ METER_TEXT_ADD, 14, "meter=1,kbps,pktps,bands=type=drop,rate=1", "both" },
		{ METER_TEXT_ADD, 9, "meter=1,kbs,bands=type=drop,rate=1", "kbs" },
		{ METER_TEXT_ADD, 14, "meter=1,kbps,rate=5,bands=type=drop,rate=1", "rate" },
		{ METER_TEXT_ADD, 20, "meter=1,kbps,bands=rate=5", "begins with type" },
		{ METER_TEXT_ADD, 25, "meter=1,kbps,bands=type=mark,rate=5", "mark" },
		{ METER_TEXT_ADD, 20, "meter=1,kbps,bands=type=drop", "rate=" },
		{ METER_TEXT_ADD, 20, "meter=1,kbps,bands=type=drop,type=drop,rate=1", "rate=" },
		{ METER_TEXT_ADD, 35, "meter=1,kbps,bands=type=drop,rate=4294967296",
		  "4294967295" },
		{ METER_TEXT_ADD, 35, "meter=1,kbps,bands=type=drop,rate=-1", "number" },
		{ METER_TEXT_ADD, 30, "meter=1,kbps,bands=type=drop,rat=1", "rat" },
		{ METER_TEXT_ADD, 37, "meter=1,kbps,bands=type=drop,rate=1,burst_size=2", "burst" },
		{ METER_TEXT_ADD, 37, "meter=1,kbps,bands=type=drop,rate=1,stats", "stats" },
		{ METER_TEXT_ADD, 20, "meter=1,kbps,bands=type=dscp_remark,rate=1", "prec_level" },
		{ METER_TEXT_ADD, 20, "meter=1,kbps,bands=type=drop,rate=1,prec_level=1",
		  "dscp_remark" },
		{ METER_TEXT_ADD, 55, "meter=1,kbps,bands=type=dscp_remark,rate=1,prec_level=0",
		  "prec_level" },
		{ METER_TEXT_ADD, 55, "meter=1,kbps,bands=type=dscp_remark,rate=1,prec_level=256",
		  "255" },
		{ METER_TEXT_ADD, 156,
		  "meter=1,kbps,bands=type=drop,rate=1,type=drop,rate=1,type=drop,rate=1,"
		  "type=drop,rate=1,type=drop,rate=1,type=drop,rate=1,type=drop,rate=1,"
		  "type=drop,rate=1,type=drop,rate=1",
		  "8 bands" },
		{ METER_TEXT_SELECT, 9, "meter=1,kbps", "means nothing" },
		{ METER_TEXT_SELECT, 1, "one", "number" },
		{ METER_TEXT_SELECT, 3, "1 2", "means nothing" },
		{ METER_TEXT_SELECT, 7, "meter=slowpath", "slow path" },
	};

	(void)state;
	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct error error = { 0 };
		struct meter_text meter;

		if (!meter_text_parse(cases[i].text, cases[i].usage, &meter, &error))
			fail_msg("%s: not refused", cases[i].text);
		if (error.column != cases[i].column || !strstr(error.message, cases[i].says))
			fail_msg("%s: column %d: %s", cases[i].text, error.column, error.message);
	}
}

static void commands_name_meters(void **state)
{
	static const struct {
		const char *text;
		uint32_t id;
	} cases[] = { { "", METER_ID_ALL },
		      { "all", METER_ID_ALL },
		      { "meter=ALL", METER_ID_ALL },
		      { "meter=12", 12 },
		      { "13", 13 },
		      { " 0xffff ", 65535 } };

	(void)state;
	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct error error = { 0 };
		struct meter_text meter;

		if (meter_text_parse(cases[i].text, METER_TEXT_SELECT, &meter, &error))
			fail_msg("%s: %s", cases[i].text, error.message);
		assert_int_equal(meter.id, cases[i].id);
	}
}

// Words in any order: each text is refused at a column that it has, or comes back as it is printed.
static void garbage_is_refused_or_comes_back(void **state)
{
	static const char *const words[] = {
		"meter=1",      "meter=",           "kbps",      "pktps",  "burst", "stats",
		"bands=",       "bands=type=drop",  "type=drop", "rate=5", "rate=", "burst_size=3",
		"prec_level=1", "type=dscp_remark", "=",         "all",    "\"",    "(",
	};
	struct random random = { random_seed() };
	unsigned int n_good = 0;

	(void)state;
	for (unsigned int i = 0; i < 200000; i++) {
		char string[256];
		struct error error = { 0 };
		struct text text = { 0 };
		struct meter_text meter;
		int length = snprintf(
			string, sizeof(string), "%s",
			random_chance(&random, 50) ? "" : "meter=7,kbps,burst,bands=type=drop");

		for (unsigned int n = random_below(&random, 7); n; n--)
			length += snprintf(
				string + length, sizeof(string) - (size_t)length, "%c%s",
				random_chance(&random, 80) ? ',' : ' ',
				words[random_below(&random, sizeof(words) / sizeof(*words))]);
		if (meter_text_parse(string, METER_TEXT_ADD, &meter, &error)) {
			if (error.column < 1 || (size_t)error.column > strlen(string) + 1)
				fail_msg("%s: column %d", string, error.column);
			continue;
		}
		n_good++;
		meter_text_format(&meter, &text);
		check(text.data, text.data);
		text_free(&text);
	}
	assert_true(n_good > 100);
}

static void programs_tell_their_meter(void **state)
{
	struct program *program;

	(void)state;
	assert_int_equal(program_parse("meter:3,output:1", NULL, &program, NULL), 0);
	assert_int_equal(program_meter(program), 3);
	program_free(program);
	assert_int_equal(program_parse("drop", NULL, &program, NULL), 0);
	assert_int_equal(program_meter(program), 0);
	program_free(program);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(canonical_text_comes_back),
		cmocka_unit_test(mistakes_are_refused_where_they_are),
		cmocka_unit_test(commands_name_meters),
		cmocka_unit_test(garbage_is_refused_or_comes_back),
		cmocka_unit_test(programs_tell_their_meter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
