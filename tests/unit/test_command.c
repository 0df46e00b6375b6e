// Parsing of commands by command.def, and what is generated from it.
#include "common/error.h"
#include "common/text.h"
#include "ctl/command.h"
#include "ctl/help.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define MAX_WORDS 16

// Split at blanks and parse; the JSON text of the result, or the error's message.
static void check_parse(const char *line, const char *expected)
{
	char copy[512];
	char *words[MAX_WORDS];
	char *save = NULL;
	struct error error = { 0 };
	json_t *request;
	int n = 0;

	strncpy(copy, line, sizeof(copy) - 1);
	copy[sizeof(copy) - 1] = '\0';
	for (char *word = strtok_r(copy, " ", &save); word && n < MAX_WORDS;
	     word = strtok_r(NULL, " ", &save))
		words[n++] = word;
	if (command_parse(n, words, &request, &error)) {
		assert_null(request);
		if (!strstr(error.message, expected))
			fail_msg("'%s': message '%s' lacks '%s'", line, error.message, expected);
		return;
	}
	char *text = json_dumps(request, JSON_COMPACT | JSON_SORT_KEYS);

	assert_string_equal(text, expected);
	free(text);
	json_decref(request);
}

static void test_parse(void **state)
{
	static const struct {
		const char *line;
		const char *expected;
	} cases[] = {
		{ "add-br br0", "{\"args\":[\"br0\"],\"name\":\"add-br\",\"options\":{}}" },
		{ "--may-exist add-br br0",
		  "{\"args\":[\"br0\"],\"name\":\"add-br\",\"options\":{\"may-exist\":true}}" },
		{ "add-br br0 --may-exist",
		  "{\"args\":[\"br0\"],\"name\":\"add-br\",\"options\":{\"may-exist\":true}}" },
		{ "--columns=name,tag list Port", "{\"args\":[\"Port\"],\"name\":\"list\","
						  "\"options\":{\"columns\":\"name,tag\"}}" },
		{ "list Port --columns name",
		  "{\"args\":[\"Port\"],\"name\":\"list\",\"options\":{\"columns\":\"name\"}}" },
		{ "fdb/show br0", "{\"args\":[\"br0\"],\"name\":\"fdb-show\",\"options\":{}}" },
		{ "add-flow br0 -",
		  "{\"args\":[\"br0\",\"-\"],\"name\":\"add-flow\",\"options\":{}}" },
		{ "", "no command" },
		{ "--json", "unknown option" },
		{ "ad-br br0", "did you mean 'add-br'" },
		{ "add-br", "more arguments" },
		{ "add-br a b", "fewer arguments" },
		{ "--if-exists add-br br0", "has no option --if-exists; it has: --may-exist" },
		{ "--may-exist=1 add-br br0", "takes no value" },
		{ "list Port --columns", "needs a value" },
		{ "list-br --x", "it has none" },
		{ "--aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa list-br", "no option" },
		{ "add-br \xff\xfe", "not valid UTF-8" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check_parse(cases[i].line, cases[i].expected);
}

// What the daemon does with whatever comes over the socket.
static void test_check(void **state)
{
	static const struct {
		const char *json;
		const char *message; // NULL: accepted
	} cases[] = {
		{ "{\"name\":\"list-br\"}", NULL },
		{ "{\"name\":\"add-br\",\"args\":[\"x\"],\"options\":{\"may-exist\":true}}", NULL },
		{ "{}", "needs a \"name\"" },
		{ "[]", "needs a \"name\"" },
		{ "{\"name\":7}", "needs a \"name\"" },
		{ "{\"name\":\"Ports\"}", "unknown command" },
		{ "{\"name\":\"add-br\",\"args\":[7]}", "must be strings" },
		{ "{\"name\":\"add-br\",\"args\":\"x\"}", "must be an array" },
		{ "{\"name\":\"add-br\",\"args\":[\"x\"],\"options\":[]}", "must be an object" },
		{ "{\"name\":\"add-br\",\"args\":[\"x\"],\"options\":{\"may-exist\":\"yes\"}}",
		  "takes true or false" },
		{ "{\"name\":\"list\",\"args\":[\"Port\"],\"options\":{\"columns\":true}}",
		  "takes a string" },
		{ "{\"name\":\"add-br\",\"args\":[]}", "more arguments" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *request = json_loads(cases[i].json, 0, NULL);
		const struct command *command;
		struct error error = { 0 };
		int result = command_check(request, &command, &error);

		assert_int_equal(result == 0, cases[i].message == NULL);
		if (result && !strstr(error.message, cases[i].message))
			fail_msg("%s: '%s'", cases[i].json, error.message);
		json_decref(request);
	}
}

// Every row is complete and is in everything that is generated.
static void test_rows(void **state)
{
	struct text manual = { 0 }, completion = { 0 }, overview = { 0 };

	(void)state;
	help_manual(&manual);
	help_completion(&completion);
	help_overview(&overview);
	for (unsigned int i = 0; i < n_commands; i++) {
		const struct command *command = &commands[i];
		struct text help = { 0 };

		if (command->kind == COMMAND_SECTION)
			continue;
		assert_true(command->min_args <= command->max_args);
		assert_ptr_equal(command_find(command->name, NULL), command);
		assert_int_equal(command->help[strlen(command->help) - 1], '.');
		assert_non_null(strstr(overview.data, command->name));
		assert_non_null(strstr(completion.data, command->name));
		help_command(command, &help);
		assert_non_null(strstr(help.data, command->arguments));
		text_free(&help);
	}
	assert_non_null(strstr(manual.data, "add\\-br BRIDGE"));
	text_free(&manual);
	text_free(&completion);
	text_free(&overview);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
