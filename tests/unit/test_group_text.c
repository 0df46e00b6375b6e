// The group language: what is written comes back in canonical form, and what is wrong is refused
// where it is wrong.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/error.h"
#include "common/text.h"
#include "flowtable/flow_text.h"
#include "flowtable/group_text.h"

static uint32_t port_number(void *context, const char *name)
{
	(void)context;
	return strcmp(name, "vm1") ? OFPP_ANY : 1;
}

static const char *port_name(void *context, uint32_t number)
{
	(void)context;
	return number == 1 ? "vm1" : NULL;
}

static const struct port_names names = { .number = port_number, .name = port_name };

static void check(const char *from, const char *to, const struct port_names *ports)
{
	struct error error = { 0 };
	struct text text = { 0 };
	struct group_text group, copy;

	if (group_text_parse(from, GROUP_TEXT_ADD, &names, &group, &error))
		fail_msg("%s: column %d: %s", from, error.column, error.message);
	assert_int_equal(group_text_copy(&group, &copy), 0);
	group_text_release(&group);
	group_text_format(&copy, ports, &text);
	group_text_release(&copy);
	assert_string_equal(text.data, to);
	text_free(&text);
}

static void canonical_text_comes_back(void **state)
{
	static const char *const texts[][2] = {
		{ "group_id=1,type=all", "group_id=1,type=all" },
		{ "group_id=0xffffff00 type=indirect bucket=output:2",
		  "group_id=4294967040,type=indirect,bucket=bucket_id:0,actions=output:2" },
		{ "type=select,group_id=7,bucket=weight=5,output:1,mod_dl_src:02:00:00:00:00:01,"
		  "bucket=actions=drop,bucket=weight:1,bucket_id=0,actions=2,3",
		  "group_id=7,type=select,bucket=bucket_id:1,weight:5,actions=output:1,"
		  "mod_dl_src:02:00:00:00:00:01,bucket=bucket_id:2,actions=drop,"
		  "bucket=bucket_id:0,actions=output:2,output:3" },
		{ "group_id=2,type=select,selection_method=hash,bucket=weight:0,output:1",
		  "group_id=2,type=select,selection_method=hash,bucket=bucket_id:0,weight:0,"
		  "actions=output:1" },
		{ "group_id=2,type=select,selection_method=hash,selection_method_param=9,"
		  "fields(tcp_src=0xff00,ip_dst),bucket=output:1",
		  "group_id=2,type=select,selection_method=hash,selection_method_param=9,"
		  "fields(ip_dst,tcp_src=0xff00),bucket=bucket_id:0,actions=output:1" },
		{ "group_id=2,type=select,selection_method=hash,fields=ip_dst,bucket=output:1",
		  "group_id=2,type=select,selection_method=hash,fields=ip_dst,bucket=bucket_id:0,"
		  "actions=output:1" },
		{ "group_id=2,type=select,selection_method=hash,fields(ip_dst=255.255.0.0),"
		  "bucket=output:1",
		  "group_id=2,type=select,selection_method=hash,fields=ip_dst=255.255.0.0,"
		  "bucket=bucket_id:0,actions=output:1" },
		{ "group_id=2,type=select,selection_method=dp_hash,selection_method_param="
		  "0x100000000",
		  "group_id=2,type=select,selection_method=dp_hash,selection_method_param="
		  "4294967296" },
		{ "group_id=3,type=ff,bucket=watch_port:vm1,output:1,bucket=watch_group:4,group:4,"
		  "bucket=watch_port=LOCAL,set_field:7->reg1,resubmit(,9)",
		  "group_id=3,type=ff,bucket=bucket_id:0,watch_port:1,actions=output:1,"
		  "bucket=bucket_id:1,watch_group:4,actions=group:4,bucket=bucket_id:2,"
		  "watch_port:LOCAL,actions=set_field:0x7->reg1,resubmit(,9)" },
	};

	(void)state;
	for (unsigned int i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		check(texts[i][0], texts[i][1], NULL);
		check(texts[i][1], texts[i][1], NULL);
	}
	check("group_id=1,type=all,bucket=output:vm1",
	      "group_id=1,type=all,bucket=bucket_id:0,"
	      "actions=output:vm1",
	      &names);
}

static void mistakes_are_refused_where_they_are(void **state)
{
	static const struct {
		enum group_text_usage usage;
		int column;
		const char *text;
	} cases[] = {
		{ GROUP_TEXT_ADD, 1, "" },
		{ GROUP_TEXT_ADD, 9, "type=all" },
		{ GROUP_TEXT_ADD, 11, "group_id=1" },
		{ GROUP_TEXT_ADD, 10, "group_id=4294967041,type=all" },
		{ GROUP_TEXT_ADD, 10, "group_id=all,type=all" },
		{ GROUP_TEXT_ADD, 17, "group_id=1,type=some" },
		{ GROUP_TEXT_ADD, 12, "group_id=1,typ=all" },
		{ GROUP_TEXT_ADD, 26, "group_id=1,type=indirect," },
		{ GROUP_TEXT_ADD, 28, "group_id=1,type=all,bucket=nonsense:1" },
		{ GROUP_TEXT_ADD, 37, "group_id=1,type=all,bucket=output:1,goto_table:2" },
		{ GROUP_TEXT_ADD, 28, "group_id=1,type=all,bucket=write_actions(output:1)" },
		{ GROUP_TEXT_ADD, 28, "group_id=1,type=all,bucket=exit" },
		{ GROUP_TEXT_ADD, 44, "group_id=1,type=all,bucket=weight:3,output:" },
		{ GROUP_TEXT_ADD, 45, "group_id=1,type=all,bucket=weight:3,output:1" },
		{ GROUP_TEXT_ADD, 38, "group_id=1,type=select,bucket=weight:65536" },
		{ GROUP_TEXT_ADD, 35, "group_id=1,type=ff,bucket=output:1" },
		{ GROUP_TEXT_ADD, 38, "group_id=1,type=ff,bucket=watch_port:nobody" },
		{ GROUP_TEXT_ADD, 38, "group_id=1,type=ff,bucket=watch_port:FLOOD" },
		{ GROUP_TEXT_ADD, 60,
		  "group_id=1,type=select,bucket=bucket_id=1,bucket=bucket_id=1" },
		{ GROUP_TEXT_ADD, 38, "group_id=1,type=all,selection_method=hash" },
		{ GROUP_TEXT_ADD, 41, "group_id=1,type=select,selection_method=symmetric" },
		{ GROUP_TEXT_ADD, 31, "group_id=1,type=select,fields=ip_dst" },
		{ GROUP_TEXT_ADD, 53,
		  "group_id=1,type=select,selection_method=hash,fields=ip_dts" },
		{ GROUP_TEXT_ADD, 34, "group_id=1,type=all,bucket=output(port=1" },
		{ GROUP_TEXT_ADD, 12, "group_id=1,command_bucket_id=1,type=all" },
		{ GROUP_TEXT_SELECT, 12, "group_id=1,type=all" },
		{ GROUP_TEXT_SELECT, 3, "1,bucket=output:1" },
		{ GROUP_TEXT_INSERT, 12, "group_id=1,bucket=output:1" },
		{ GROUP_TEXT_INSERT, 30, "group_id=1,command_bucket_id=all,bucket=output:1" },
		{ GROUP_TEXT_INSERT, 34, "group_id=1,command_bucket_id=last" },
		{ GROUP_TEXT_REMOVE, 33, "group_id=1,command_bucket_id=1, bucket=output:1" },
	};

	(void)state;
	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct error error = { 0 };
		struct group_text group;

		if (!group_text_parse(cases[i].text, cases[i].usage, &names, &group, &error))
			fail_msg("%s: not refused", cases[i].text);
		if (error.column != cases[i].column || !error.message[0])
			fail_msg("%s: column %d: %s", cases[i].text, error.column, error.message);
	}
}

static void commands_name_groups_and_buckets(void **state)
{
	struct error error = { 0 };
	struct group_text group;

	(void)state;
	assert_int_equal(group_text_parse("", GROUP_TEXT_SELECT, NULL, &group, &error), 0);
	assert_int_equal(group.group_id, GROUP_ID_ALL);
	assert_int_equal(group_text_parse("ALL", GROUP_TEXT_SELECT, NULL, &group, &error), 0);
	assert_int_equal(group.group_id, GROUP_ID_ALL);
	assert_int_equal(group_text_parse("12", GROUP_TEXT_SELECT, NULL, &group, &error), 0);
	assert_int_equal(group.group_id, 12);
	assert_int_equal(group_text_parse("group_id=13", GROUP_TEXT_SELECT, NULL, &group, &error),
			 0);
	assert_int_equal(group.group_id, 13);
	assert_int_equal(group_text_parse("group_id=1", GROUP_TEXT_REMOVE, NULL, &group, &error),
			 0);
	assert_int_equal(group.command_bucket_id, BUCKET_ID_ALL);
	assert_int_equal(group_text_parse("group_id=1,command_bucket_id=first,bucket=weight:3,"
					  "output:1",
					  GROUP_TEXT_INSERT, NULL, &group, &error),
			 0);
	assert_int_equal(group.command_bucket_id, BUCKET_ID_FIRST);
	assert_int_equal(group.n_buckets, 1);
	assert_int_equal(group.buckets[0].id, BUCKET_ID_NONE);
	group_text_release(&group);
}

static void programs_tell_their_groups(void **state)
{
	struct program *program;

	(void)state;
	assert_int_equal(
		program_parse("output:1,group:3,write_actions(group:4)", NULL, &program, NULL), 0);
	assert_true(program_goes_to_group(program, 3));
	assert_true(program_goes_to_group(program, 4));
	assert_false(program_goes_to_group(program, 5));
	program_free(program);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(canonical_text_comes_back),
		cmocka_unit_test(mistakes_are_refused_where_they_are),
		cmocka_unit_test(commands_name_groups_and_buckets),
		cmocka_unit_test(programs_tell_their_groups),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
