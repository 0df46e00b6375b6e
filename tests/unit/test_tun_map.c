// The map of tunnel options to fields: its text, its places, and flows that use it.
#include "common/error.h"
#include "common/text.h"
#include "flowtable/flow_text.h"
#include "flowtable/tun_map.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_option_text(void **state)
{
	static const struct {
		const char *text;
		const char *problem; // NULL: none
	} cases[] = {
		{ "{class=0xffff,type=0x0,len=4}->tun_metadata0", NULL },
		{ "{class=0x1,type=0xff,len=124}->tun_metadata63", NULL },
		{ "{class=0x1,type=0xff,len=124}->tun_metadata64", "63" },
		{ "{class=0x10000,type=1,len=4}->tun_metadata1", "class" },
		{ "{class=1,type=256,len=4}->tun_metadata1", "type" },
		{ "{class=1,type=1,len=5}->tun_metadata1", "multiple of 4" },
		{ "{class=1,type=1,len=0}->tun_metadata1", "multiple of 4" },
		{ "{class=1,type=1,len=128}->tun_metadata1", "multiple of 4" },
		{ "{class=1,type=1,len=4}->tun_metadata", "looks like" },
		{ "{class=1,type=1,len=4}->tun_metadata1x", "looks like" },
		{ "{class=,type=1,len=4}->tun_metadata1", "looks like" },
		{ "{class=1,type=1}->tun_metadata1", "looks like" },
		{ "", "looks like" },
		{ "{class=1", "looks like" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char text[TUN_MAP_TEXT_SIZE];
		struct tun_option option;
		struct error error = { 0 };
		unsigned int number;
		int result = tun_option_parse(cases[i].text, &option, &number, NULL, &error);

		if (cases[i].problem) {
			assert_int_equal(result, -EINVAL);
			if (!strstr(error.message, cases[i].problem))
				fail_msg("%s: %s", cases[i].text, error.message);
			continue;
		}
		assert_int_equal(result, 0);
		tun_option_format(&option, number, text);
		assert_string_equal(text, cases[i].text);
	}
}

static void add(struct tun_map *map, unsigned int type, unsigned int length, unsigned int number,
		const char *problem)
{
	const struct tun_option option = { 7, (uint8_t)type, (uint8_t)length };
	struct error error = { 0 };
	int result = tun_map_add(map, &option, number, &error);

	if (!problem)
		assert_int_equal(result, 0);
	else
		assert_non_null(strstr(error.message, problem));
}

static void test_room(void **state)
{
	struct tun_map map;

	(void)state;
	tun_map_init(&map);
	add(&map, 1, 124, 0, NULL);
	add(&map, 2, 4, 0, "mapped already");
	add(&map, 1, 4, 1, "tun_metadata0 already");
	add(&map, 2, 64, 1, NULL);
	add(&map, 3, 64, 2, NULL);
	add(&map, 4, 4, 3, "252");
	tun_map_remove(&map, 1);
	add(&map, 4, 4, 3, NULL);
	add(&map, 5, 60, 4, NULL);
	assert_true(map.fields[3].offset < map.fields[2].offset);
	tun_map_remove(&map, 3);
	tun_map_remove(&map, 2);
	add(&map, 6, 68, 2, NULL);
	for (unsigned int i = 0; i < TUN_MAP_FIELDS; i++)
		for (unsigned int k = 0; k < i; k++)
			if (map.options[i].length && map.options[k].length)
				assert_true(map.fields[i].offset >=
						    map.fields[k].offset + map.fields[k].size ||
					    map.fields[k].offset >=
						    map.fields[i].offset + map.fields[i].size);
}

// Without room in one piece the words say what to do.
static void test_pieces(void **state)
{
	struct tun_map map;

	(void)state;
	tun_map_init(&map);
	for (unsigned int i = 0; i < 63; i++)
		add(&map, i, 4, i, NULL);
	for (unsigned int i = 0; i < 63; i += 2)
		tun_map_remove(&map, i);
	add(&map, 100, 12, 63, "one piece");
}

static void check(const struct port_names *names, const char *string, const char *wanted)
{
	struct text text = { 0 };
	struct flow_text flow;
	struct error error = { 0 };

	if (flow_text_parse(string, FLOW_TEXT_ADD, names, &flow, &error)) {
		if (!strstr(error.message, wanted))
			fail_msg("%s: %s", string, error.message);
		return;
	}
	match_format(&flow.match, names, &text);
	if (text.length)
		text_add(&text, " ");
	program_format(flow.program, names, &text);
	assert_string_equal(text.data, wanted);
	assert_true(flow.program->lines_written & 1 << KEY_LINE_TUNNEL);
	text_free(&text);
	flow_text_release(&flow);
}

static void test_flows(void **state)
{
	struct tun_map map;
	const struct port_names names = { .tun_map = &map };

	(void)state;
	tun_map_init(&map);
	add(&map, 1, 4, 0, NULL);
	add(&map, 2, 124, 5, NULL);
	add(&map, 3, 16, 63, NULL);
	check(&names,
	      "tun_metadata5="
	      "0x100000000000000000000000000000000000000000000000000000000000000000001,"
	      "tun_metadata63,tun_metadata0=7/0xf,"
	      "actions=set_field:0x2000000000000000000000000000000000->tun_metadata5",
	      "tun_metadata0=0x7/0xf,"
	      "tun_metadata5="
	      "0x100000000000000000000000000000000000000000000000000000000000000000001,"
	      "tun_metadata63 set_field:0x2000000000000000000000000000000000->tun_metadata5");
	check(&names,
	      "actions=move:tun_metadata5[100..227]->tun_metadata63,load:3->tun_metadata5[990..991]"
	      ","
	      "pop:tun_metadata63[4..8],delete_field:tun_metadata5",
	      "move:NXM_NX_TUN_METADATA5[100..227]->NXM_NX_TUN_METADATA63[],"
	      "load:0x3->NXM_NX_TUN_METADATA5[990..991],pop:NXM_NX_TUN_METADATA63[4..8],"
	      "delete_field:tun_metadata5");
	check(&names,
	      "actions=learn(table=2,tun_metadata0,load:tun_metadata0[]->tun_metadata63[0..31]),"
	      "set_field:0->tun_metadata0",
	      "learn(table=2,NXM_NX_TUN_METADATA0[],load:NXM_NX_TUN_METADATA0[]->NXM_NX_TUN_"
	      "METADATA63[0.."
	      "31]),"
	      "set_field:0->tun_metadata0");
	check(&names, "actions=push:tun_metadata5", "at most 128 bits");
	check(&names, "tun_metadata1=0,actions=drop", "add-tlv-map");
	check(&names, "tun_metadata1,actions=drop", "add-tlv-map");
	check(&names, "actions=delete_field:tun_metadata1", "add-tlv-map");
	check(&names, "actions=load:1->NXM_NX_TUN_METADATA1[0]", "add-tlv-map");
	check(&names, "actions=load:1->tun_metadata63[128]", "127");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_option_text),
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_flows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
