// vsctl: words to one request, one reply to text. See command.def for what it can do.
#include "common/error.h"
#include "common/text.h"
#include "ctl/client.h"
#include "ctl/command.h"
#include "ctl/help.h"
#include "ctl/render.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define DEFAULT_RUN_DIR "/run/vswitch"
#define EXIT_USAGE 2
#define MAX_TIMEOUT_S 86400

struct invocation {
	const char *run_dir;
	unsigned int timeout_s;
	bool json;
	bool help;
	const char *print; // --man, --bash-completion, --version
	int n_words; // without global options
	char **words;
	json_t *commands; // requests, in order
	json_t *files; // names of the files that commands read, or null, by command
	struct text attached; // what is in them
};

static int usage_error(const struct error *error)
{
	fprintf(stderr, "vsctl: %s\n", error->message);
	return EXIT_USAGE;
}

// The value of "--name=value" or "--name value", if words[*i] is that option.
static const char *option_value(const char *name, int argc, char **argv, int *i,
				struct error *error)
{
	size_t length = strlen(name);

	if (strncmp(argv[*i], name, length))
		return NULL;
	if (argv[*i][length] == '=')
		return argv[*i] + length + 1;
	if (argv[*i][length])
		return NULL;
	if (*i + 1 >= argc) {
		error_set(error, EINVAL, "option %s needs a value", name);
		return NULL;
	}
	return argv[++*i];
}

static int set_timeout(struct invocation *invocation, const char *value, struct error *error)
{
	uint64_t seconds;

	if (parse_u64(value, &seconds) || seconds > MAX_TIMEOUT_S)
		return error_set(error, EINVAL, "--timeout takes seconds from 0 to %d, not '%.64s'",
				 MAX_TIMEOUT_S, value);
	invocation->timeout_s = (unsigned int)seconds;
	return 0;
}

// What ovs-ofctl(8) is told with -O makes no difference here, as all versions' fields and actions are
// there, but for what is no version at all.
static int check_versions(const char *versions, struct error *error)
{
	static const char *const known[] = { "OpenFlow10", "OpenFlow11", "OpenFlow12", "OpenFlow13",
					     "OpenFlow14", "OpenFlow15", "any" };

	for (const char *at = versions;; at++) {
		const size_t length = strcspn(at, ",");
		bool found = false;

		for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
			found |= strlen(known[i]) == length && !strncasecmp(at, known[i], length);
		if (!found)
			return error_set(error, EINVAL,
					 "'%.*s' is no version of OpenFlow: say OpenFlow10 to "
					 "OpenFlow15, or leave out -O, as all of them are spoken",
					 length > 32 ? 32 : (int)length, at);
		at += length;
		if (!*at)
			return 0;
	}
}

// "-O VERSIONS", "-OVERSIONS" or "--protocols=VERSIONS": 1, 0 if it is none of them, or -errno.
static int parse_versions(int argc, char **argv, int *i, struct error *error)
{
	const char *value = option_value("--protocols", argc, argv, i, error);

	if (!value && !error->code)
		value = option_value("-O", argc, argv, i, error);
	if (!value && !error->code && !strncmp(argv[*i], "-OO", 3))
		value = argv[*i] + 2;
	if (value)
		check_versions(value, error);
	return error->code ? -error->code : value != NULL;
}

// 1 if the word was a global option, 0 if not, or -errno.
static int parse_global(struct invocation *invocation, int argc, char **argv, int *i,
			struct error *error)
{
	static const char *const prints[] = { "--man", "--bash-completion", "--version" };
	const char *word = argv[*i];
	const char *value;

	for (size_t k = 0; k < sizeof(prints) / sizeof(prints[0]); k++)
		if (!strcmp(word, prints[k])) {
			invocation->print = prints[k];
			return 1;
		}
	if (!strcmp(word, "-V"))
		invocation->print = "--version";
	else if (!strcmp(word, "--help") || !strcmp(word, "-h"))
		invocation->help = true;
	else if (!strcmp(word, "--json"))
		invocation->json = true;
	else if (strcmp(word, "--no-wait") && strcmp(word, "--no-syslog")) {
		value = option_value("--run-dir", argc, argv, i, error);
		if (value) {
			invocation->run_dir = value;
			return 1;
		}
		value = option_value("--timeout", argc, argv, i, error);
		if (!value && !error->code)
			value = option_value("-t", argc, argv, i, error);
		if (value && set_timeout(invocation, value, error))
			return -EINVAL;
		if (value || error->code)
			return error->code ? -error->code : 1;
		return parse_versions(argc, argv, i, error);
	}
	return 1;
}

static int parse_globals(struct invocation *invocation, int argc, char **argv, struct error *error)
{
	invocation->words = calloc((size_t)argc + 1, sizeof(char *));
	if (!invocation->words)
		return error_set(error, ENOMEM, "out of memory");
	for (int i = 1; i < argc; i++) {
		int result = parse_global(invocation, argc, argv, &i, error);

		if (result < 0)
			return result;
		if (!result)
			invocation->words[invocation->n_words++] = argv[i];
	}
	return 0;
}

// The first argument of the command that names a file of flows; 0 without one.
static size_t file_argument(const char *name, const json_t *args)
{
	static const struct {
		const char *name;
		size_t first;
	} takers[] = {
		{ "add-flows", 1 },   { "replace-flows", 1 }, { "diff-flows", 0 },
		{ "parse-flows", 0 }, { "add-groups", 1 },    { "bundle", 1 },
	};
	// These take "-", for standard input, in the place of one flow or group.
	static const char *const stdin_takers[] = { "add-flow", "add-group", "mod-group",
						    "del-groups" };
	const char *second = json_string_value(json_array_get(args, 1));

	for (size_t i = 0; i < sizeof(takers) / sizeof(takers[0]); i++)
		if (!strcmp(name, takers[i].name))
			return takers[i].first;
	for (size_t i = 0; i < sizeof(stdin_takers) / sizeof(stdin_takers[0]); i++)
		if (second && !strcmp(name, stdin_takers[i]) && !strcmp(second, "-"))
			return 1;
	return SIZE_MAX;
}

static int attach_file(struct invocation *invocation, json_t *args, size_t i, struct error *error)
{
	const char *word = json_string_value(json_array_get(args, i));
	char *text;
	int result = client_read_file(word, &text, error);

	if (result)
		return result;
	json_array_set_new(args, i,
			   json_pack("{s:I}", "attached", (json_int_t)invocation->attached.length));
	text_add_bytes(&invocation->attached, text, strlen(text) + 1);
	free(text);
	return 0;
}

// Flows from a file: its text goes to the daemon, its name is for messages. diff-flows takes a
// bridge or a file; what is no file is a bridge.
static int read_flow_files(struct invocation *invocation, json_t *request, json_t *file,
			   struct error *error)
{
	const char *name = json_string_value(json_object_get(request, "name"));
	json_t *args = json_object_get(request, "args");
	int result = 0;

	if (!strcmp(name, "trace"))
		return client_attach_packet(request, &invocation->attached, file, error);
	for (size_t i = file_argument(name, args); !result && i < json_array_size(args); i++) {
		const char *word = json_string_value(json_array_get(args, i));

		if (!strcmp(name, "diff-flows") && access(word, F_OK))
			continue;
		if (!json_array_size(file))
			json_array_append_new(file,
					      json_string(strcmp(word, "-") ? word : "<stdin>"));
		result = attach_file(invocation, args, i, error);
	}
	if (!strcmp(name, "add-flow") && json_array_size(file))
		json_object_set_new(request, "name", json_string("add-flows"));
	else if (!strcmp(name, "add-group") && json_array_size(file))
		json_object_set_new(request, "name", json_string("add-groups"));
	return result;
}

// One command, between two "--". Returns 0 or an exit code.
static int add_command(struct invocation *invocation, int n_words, char **words)
{
	struct error error = { 0 };
	json_t *request;
	json_t *file = json_array();

	if (command_parse(n_words, words, &request, &error)) {
		json_decref(file);
		return usage_error(&error);
	}
	json_array_append_new(invocation->commands, request);
	if (read_flow_files(invocation, request, file, &error)) {
		json_decref(file);
		fprintf(stderr, "vsctl: %s\n", error.message);
		return 1;
	}
	json_array_append(invocation->files,
			  json_array_size(file) ? json_array_get(file, 0) : json_null());
	json_decref(file);
	return 0;
}

static int parse_commands(struct invocation *invocation)
{
	int start = 0;
	int result = 0;

	// A "--" in front of the first command is allowed.
	if (invocation->n_words && !strcmp(invocation->words[0], "--"))
		start = 1;
	for (int i = start; i <= invocation->n_words && !result; i++) {
		if (i < invocation->n_words && strcmp(invocation->words[i], "--"))
			continue;
		result = add_command(invocation, i - start, invocation->words + start);
		start = i + 1;
	}
	return result;
}

static int print_text(struct text *text, int code)
{
	if (text->data)
		fputs(text->data, stdout);
	text_free(text);
	return fflush(stdout) ? 1 : code;
}

static int print_generated(const char *what)
{
	struct text text = { 0 };

	if (!strcmp(what, "--man"))
		help_manual(&text);
	else if (!strcmp(what, "--bash-completion"))
		help_completion(&text);
	else
		text_add(&text, "vsctl " VERSION "\n");
	return print_text(&text, 0);
}

static int print_help(const char *name)
{
	const struct command *command = NULL;
	struct error error = { 0 };
	struct text text = { 0 };

	if (name) {
		command = command_find(name, &error);
		if (!command)
			return usage_error(&error);
		help_command(command, &text);
	} else {
		help_overview(&text);
	}
	return print_text(&text, 0);
}

// The first word that is no option.
static const char *command_word(const struct invocation *invocation)
{
	for (int i = 0; i < invocation->n_words; i++)
		if (invocation->words[i][0] != '-')
			return invocation->words[i];
	return NULL;
}

// Commands that need no daemon. Returns an exit code, or -1.
static int run_local(const struct invocation *invocation)
{
	const json_t *first = json_array_get(invocation->commands, 0);
	const char *name = json_string_value(json_object_get(first, "name"));
	struct text text = { 0 };

	if (!strcmp(name, "list-commands")) {
		help_names(&text);
		return print_text(&text, 0);
	}
	if (strcmp(name, "help"))
		return -1;
	return print_help(json_string_value(json_array_get(json_object_get(first, "args"), 0)));
}

static const char *name_of_file(const struct invocation *invocation, size_t command)
{
	return json_string_value(json_array_get(invocation->files, command));
}

static int report_error(const struct invocation *invocation, const json_t *error)
{
	size_t command = (size_t)json_integer_value(json_object_get(error, "command"));
	const char *message = json_string_value(json_object_get(error, "message"));
	json_int_t line = json_integer_value(json_object_get(error, "line"));
	json_int_t column = json_integer_value(json_object_get(error, "column"));
	const char *file = name_of_file(invocation, command);

	if (invocation->json) {
		json_t *whole = json_pack("{s:O}", "error", error);

		json_dumpf(whole, stdout, JSON_INDENT(2));
		printf("\n");
		json_decref(whole);
	}
	fprintf(stderr, "vsctl: ");
	if (file && line && column)
		fprintf(stderr, "%s:%" JSON_INTEGER_FORMAT ":%" JSON_INTEGER_FORMAT ": ", file,
			line, column);
	else if (file && line)
		fprintf(stderr, "%s:%" JSON_INTEGER_FORMAT ": ", file, line);
	else if (column)
		fprintf(stderr, "column %" JSON_INTEGER_FORMAT ": ", column);
	fprintf(stderr, "%s\n", message ? message : "the request failed without a reason");
	return 1;
}

static void report_warnings(const json_t *reply)
{
	json_t *warning;
	size_t i;

	json_array_foreach (json_object_get(reply, "warnings"), i, warning)
		fprintf(stderr, "vsctl: note: %s\n", json_string_value(warning));
}

static bool is_difference(const json_t *answer)
{
	return json_integer_value(json_object_get(answer, "text")) || json_array_size(answer);
}

// br-exists and diff-flows alone tell by their exit codes.
static int exit_code(const struct invocation *invocation, const json_t *results)
{
	json_t *request;
	size_t i;

	json_array_foreach (invocation->commands, i, request) {
		const char *name = json_string_value(json_object_get(request, "name"));
		const json_t *answer = json_array_get(results, i);

		if ((!strcmp(name, "br-exists") && json_is_false(answer)) ||
		    (!strcmp(name, "diff-flows") && is_difference(answer)))
			return EXIT_USAGE;
	}
	return 0;
}

static int print_results(const struct invocation *invocation, const json_t *reply,
			 const struct text *output)
{
	const json_t *results = json_object_get(reply, "results");
	struct text text = { 0 };
	json_t *answer;
	const char *shown_text = output->data;
	size_t i;

	report_warnings(reply);
	if (invocation->json) {
		// One command: its answer; several: all of them in order.
		const json_t *shown =
			json_array_size(results) == 1 ? json_array_get(results, 0) : results;

		json_dumpf(shown, stdout,
			   JSON_INDENT(2) | JSON_ENCODE_ANY | JSON_REAL_PRECISION(12));
		printf("\n");
		return fflush(stdout) ? 1 : exit_code(invocation, results);
	}
	json_array_foreach ((json_t *)results, i, answer) {
		const json_t *length = json_object_get(answer, "text");

		if (json_is_integer(length)) { // printed by the daemon
			text_add_bytes(&text, shown_text, (size_t)json_integer_value(length));
			shown_text += json_integer_value(length);
		} else {
			render_answer(json_array_get(invocation->commands, i), answer, &text);
		}
	}
	return print_text(&text, exit_code(invocation, results));
}

static int run_remote(const struct invocation *invocation)
{
	struct error error = { 0 };
	json_t *request, *reply = NULL;
	struct text output = { 0 };
	int fd = client_connect(invocation->run_dir, invocation->timeout_s, &error);
	int result;

	if (fd < 0) {
		fprintf(stderr, "vsctl: %s\n", error.message);
		return 1;
	}
	// What is attached is said first: the daemon looks for it before it reads the rest.
	request = json_object();
	if (invocation->attached.length)
		json_object_set_new(request, "attached",
				    json_integer((json_int_t)invocation->attached.length));
	json_object_set_new(request, "id", json_integer(1));
	json_object_set_new(request, "text", json_boolean(!invocation->json));
	json_object_set(request, "commands", invocation->commands);
	result = client_request(fd, request, &invocation->attached, invocation->timeout_s, &reply,
				&output, &error);
	json_decref(request);
	close(fd);
	if (result) {
		fprintf(stderr, "vsctl: %s\n", error.message);
		return 1;
	}
	if (json_object_get(reply, "error"))
		result = report_error(invocation, json_object_get(reply, "error"));
	else
		result = print_results(invocation, reply, &output);
	text_free(&output);
	json_decref(reply);
	return result;
}

static int run(struct invocation *invocation, int argc, char **argv)
{
	struct error error = { 0 };
	int result;

	if (parse_globals(invocation, argc, argv, &error))
		return usage_error(&error);
	if (invocation->print)
		return print_generated(invocation->print);
	if (invocation->help)
		return print_help(command_word(invocation));
	result = parse_commands(invocation);
	if (result)
		return result;
	result = run_local(invocation);
	return result >= 0 ? result : run_remote(invocation);
}

int main(int argc, char **argv)
{
	struct invocation invocation = {
		.run_dir = getenv("VSWITCH_RUN_DIR"),
		.commands = json_array(),
		.files = json_array(),
	};
	int result;

	if (!invocation.run_dir || !*invocation.run_dir)
		invocation.run_dir = DEFAULT_RUN_DIR;
	result = run(&invocation, argc, argv);
	json_decref(invocation.commands);
	json_decref(invocation.files);
	text_free(&invocation.attached);
	free(invocation.words);
	return result;
}
