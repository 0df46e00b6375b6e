// What people mistype in flows, groups and meters: every action and field of the tables with
// arguments that mean nothing, and sound text with random slips. Never a crash; what is refused is
// refused with a sentence and a column inside the line, what is not is printed and read back.
//
// TEST_SEED repeats a run; TEST_SCALE=10 runs ten times as long.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/error.h"
#include "common/text.h"
#include "flowtable/field.h"
#include "flowtable/flow_text.h"
#include "flowtable/group_text.h"
#include "flowtable/meter_text.h"
#include "tests/unit/rules.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const action_words[] = {
#define ACTION_WORD(name, id, parse, argument) name,
#include "flowtable/action.def"
	"drop",
	"apply_actions",
};

static const char *const arguments[] = {
	"",
	":",
	"=",
	"(",
	")",
	"()",
	"(()",
	"(,)",
	"(=)",
	":=",
	":x",
	"(x)",
	"(x=1)",
	"(x=(y)",
	":-1",
	":0",
	":99999999999999999999999999",
	":0x",
	":1.2.3.4.5",
	":1/",
	"::",
	":->",
	":1->",
	":->reg0",
	":1->reg0[",
	":1->reg0[0..99]",
	":1->reg0[5..2]",
	":1->nothing[]",
	":1->ip_dst",
	":NXM_NX_REG0[]->NXM_NX_REG1[0..3]",
	":NXM_NX_REG0",
	":NXM_NX_REG0[",
	":NXM_NX_REG0[32]",
	"(table=1,",
	"(table=999)",
	"(table=1,eth_type=0x800,load:1->tcp_dst)",
	"(table=1,load:NXM_NX_REG0[]->nothing)",
	"(NXM_NX_REG0[0..99])",
	"(1/2",
	"(1,1/0)",
	"(1,3/2)",
	"(1,1/65)",
	"(1,0/2)",
	"(nsh(md_type=9))",
	"(nsh(",
	"(commit,zone=",
	"(nat(src=1.2.3.4-",
	"(exec(",
	"(symmetric_l4,0,modulo_n,0,0,NXM_NX_REG0[])",
	"(eth_src,0,hrw,ofport,slaves:",
	"(probability=0)",
	"(max_len=-1)",
	"(userdata=0)",
	"(1,2,3,4,5)",
	":1:2:3",
	":\x01\x7f",
	":\xff\xfe",
	"(((((((((((((((((((((((((((((((((((((((((1",
	":1 2 3",
	"output:1",
};

static unsigned int n_refused, n_taken, n_sound;

static void assert_says(const struct error *error, int result, const char *line)
{
	if (result >= 0 || !error->code || !*error->message)
		fail_msg("'%s': %d without a sentence", line, result);
	if (error->column < 0 || (size_t)error->column > strlen(line) + 1)
		fail_msg("'%s': column %d: %s", line, error->column, error->message);
	for (const char *c = error->message; *c; c++)
		if ((unsigned char)*c < ' ')
			fail_msg("'%s': a control character is repeated", line);
	n_refused++;
}

// Returns whether it is a flow.
static bool try_flow(const char *line, bool needs_column)
{
	struct text first = { 0 }, second = { 0 };
	struct error error = { 0 };
	struct flow_text flow, again;
	int result = flow_text_parse(line, FLOW_TEXT_ADD, NULL, &flow, &error);

	if (result) {
		assert_says(&error, result, line);
		if (needs_column && !error.column)
			fail_msg("'%s': no column: %s", line, error.message);
		return false;
	}
	flow_format_match(&flow.match, flow.priority, NULL, &first);
	text_add(&first, first.length ? " actions=" : "actions=");
	program_format(flow.program, NULL, &first);
	if (flow_text_parse(first.data, FLOW_TEXT_ADD, NULL, &again, &error))
		fail_msg("'%s' is printed as '%s', which is wrong at %d: %s", line, first.data,
			 error.column, error.message);
	flow_format_match(&again.match, again.priority, NULL, &second);
	text_add(&second, second.length ? " actions=" : "actions=");
	program_format(again.program, NULL, &second);
	assert_string_equal(first.data, second.data);
	flow_text_release(&flow);
	flow_text_release(&again);
	text_free(&first);
	text_free(&second);
	n_taken++;
	return true;
}

static void every_action(void **state)
{
	static const char *const before[] = { "tcp,actions=", "in_port=1,actions=output:1,",
					      "actions=write_actions(", "actions=clone(" };
	char line[512];

	(void)state;
	n_refused = n_taken = 0;
	for (unsigned int w = 0; w < sizeof(action_words) / sizeof(action_words[0]); w++)
		for (unsigned int a = 0; a < sizeof(arguments) / sizeof(arguments[0]); a++)
			for (unsigned int b = 0; b < sizeof(before) / sizeof(before[0]); b++) {
				snprintf(line, sizeof(line), "%s%s%s%s", before[b], action_words[w],
					 arguments[a], b > 1 ? ")" : "");
				try_flow(line, true);
			}
	print_message("%u refused, %u taken\n", n_refused, n_taken);
	assert_true(n_refused > 5 * n_taken && n_taken);
}

static void every_field(void **state)
{
	static const char *const values[] = {
		"",
		"=",
		"==",
		"=x",
		"=-1",
		"=/",
		"=1/",
		"=/1",
		"=0x",
		"=0x1ffffffffffffffffffffffffffffffffffffffffff",
		"=99999999999999999999999999999999999999999999",
		"=1.2.3",
		"=1.2.3.4/33",
		"=1::2::3",
		"=::/129",
		"=1:2:3:4:5:6:7",
		"=zz:zz:zz:zz:zz:zz",
		"=+",
		"=+nothing",
		"=+trk-trk",
		"=nothing|more",
		"=(1,0x800",
		"=\x01",
		"[",
		"[0..99]=1",
		":1",
	};
	char line[256];

	(void)state;
	n_refused = n_taken = 0;
	for (unsigned int f = 0; f < N_FIELDS; f++)
		for (unsigned int v = 0; v < sizeof(values) / sizeof(values[0]); v++) {
			snprintf(line, sizeof(line), "%s%s,actions=drop", fields[f].name,
				 values[v]);
			try_flow(line, true);
			snprintf(line, sizeof(line), "actions=set_field:%s->%s", values[v],
				 fields[f].name);
			try_flow(line, true);
			snprintf(line, sizeof(line), "actions=load:1->%s%s", fields[f].name,
				 values[v]);
			try_flow(line, true);
			snprintf(line, sizeof(line), "actions=learn(table=1,load:1->%s%s)",
				 fields[f].name, values[v]);
			try_flow(line, true);
		}
	print_message("%u refused, %u taken\n", n_refused, n_taken);
	assert_true(n_refused > 5 * n_taken && n_taken);
}

// One or a few slips of the hand.
static void slip(struct random *random, char *line, size_t size)
{
	static const char keys[] = "(),=:->[]/.*+|#@\"\\ 09azAZ_\t\x01\xff";

	for (unsigned int n = 1 + random_below(random, 3); n; n--) {
		const size_t length = strlen(line);
		const size_t at = random_below(random, (unsigned int)length + 1);

		if (random_chance(random, 30) && at < length) {
			memmove(line + at, line + at + 1, length - at);
		} else if (random_chance(random, 30) && length + 2 < size) {
			memmove(line + at + 1, line + at, length - at + 1);
			line[at] = keys[random_below(random, sizeof(keys) - 1)];
		} else if (random_chance(random, 20)) {
			line[at] = '\0';
		} else if (at < length) {
			line[at] = keys[random_below(random, sizeof(keys) - 1)];
		}
	}
}

static void random_slips(void **state)
{
	const unsigned int n_lines = random_iterations(30000);
	const struct rule_options options = { .loops = true, .unproven = true };
	struct random random = { random_seed() };
	char line[RULE_SIZE + 16];

	(void)state;
	n_refused = n_taken = n_sound = 0;
	for (unsigned int i = 0; i < n_lines; i++) {
		// Some use options of tunnels that only a bridge has.
		do
			rule_make(&random, &options, line);
		while (!try_flow(line, false));
		n_sound++;
		slip(&random, line, sizeof(line));
		try_flow(line, false);
	}
	print_message("%u refused, %u taken\n", n_refused, n_taken - n_sound);
	assert_true(n_refused > n_lines / 4 && n_taken - n_sound > n_lines / 50);
}

static void slips_in_groups_and_meters(void **state)
{
	const unsigned int n_lines = random_iterations(10000);
	const struct rule_options options = { .loops = true };
	struct random random = { random_seed() };
	char line[RULE_SIZE + 16];

	(void)state;
	n_refused = 0;
	for (unsigned int i = 0; i < n_lines; i++) {
		struct error error = { 0 };
		struct group_text group;
		struct meter_text meter;
		int result;

		rule_make_group(&random, &options, 1 + random_below(&random, RULE_GROUPS), line);
		slip(&random, line, sizeof(line));
		result = group_text_parse(line, GROUP_TEXT_ADD, NULL, &group, &error);
		if (result)
			assert_says(&error, result, line);
		else
			group_text_release(&group);
		strcpy(line, "meter=1,kbps,burst,stats,bands=type=drop,rate=100,burst_size=5,"
			     "type=dscp_remark,rate=9,prec_level=2");
		slip(&random, line, sizeof(line));
		error_clear(&error);
		result = meter_text_parse(line, METER_TEXT_ADD, &meter, &error);
		if (result)
			assert_says(&error, result, line);
	}
	print_message("%u refused\n", n_refused);
	assert_true(n_refused);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_action),
		cmocka_unit_test(every_field),
		cmocka_unit_test(random_slips),
		cmocka_unit_test(slips_in_groups_and_meters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
