#include "ctl/command.h"

#include "common/error.h"
#include "common/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MANY COMMAND_MANY
#define MAX_OPTION 32

#define SECTION(title) { .name = title, .kind = COMMAND_SECTION, .aliases = "" },
#define COMMAND(name_, aliases_, min_, max_, options_, arguments_, kind_, handler_, help_,         \
		details_)                                                                          \
	{                                                                                          \
		.name = name_,                                                                     \
		.aliases = aliases_,                                                               \
		.min_args = min_,                                                                  \
		.max_args = max_,                                                                  \
		.options = options_,                                                               \
		.arguments = arguments_,                                                           \
		.kind = COMMAND_##kind_,                                                           \
		.help = help_,                                                                     \
		.details = details_,                                                               \
	},
const struct command commands[] = {
#include "ctl/command.def"
};
const unsigned int n_commands = sizeof(commands) / sizeof(commands[0]);

// Is `word` (length bytes) one of the words in `list`? A word of the list ends at a space, '=' or
// '['.
static const char *find_word(const char *list, const char *word, size_t length)
{
	while (*list) {
		size_t n = strcspn(list, " =[");

		if (n == length && !memcmp(list, word, n))
			return list + n;
		list += strcspn(list, " ");
		list += strspn(list, " ");
	}
	return NULL;
}

const struct command *command_find(const char *name, struct error *error)
{
	const char *names[128];
	const char *nearest;
	unsigned int n = 0;

	for (unsigned int i = 0; i < n_commands; i++) {
		const struct command *command = &commands[i];

		if (command->kind == COMMAND_SECTION)
			continue;
		if (!strcmp(command->name, name) || find_word(command->aliases, name, strlen(name)))
			return command;
		if (n < 128)
			names[n++] = command->name;
	}
	nearest = text_nearest(name, names, n);
	if (nearest)
		error_set(error, EINVAL, "unknown command '%.64s'; did you mean '%s'?", name,
			  nearest);
	else
		error_set(error, EINVAL, "unknown command '%.64s'; 'vsctl help' lists the commands",
			  name);
	return NULL;
}

bool command_has_option(const struct command *command, const char *option, bool *takes_value)
{
	const char *end = find_word(command->options, option, strlen(option));

	*takes_value = end && (*end == '=' || *end == '[');
	return end != NULL;
}

void command_each_option(const struct command *command,
			 void (*visit)(void *context, const char *name, const char *value),
			 void *context)
{
	const char *p = command->options;

	while (*p) {
		char name[MAX_OPTION] = "";
		char value[MAX_OPTION] = "";
		size_t length = strcspn(p, " ");
		size_t n = strcspn(p, " =[");

		if (n < MAX_OPTION)
			memcpy(name, p, n);
		if (n < length && length - n < MAX_OPTION)
			memcpy(value, p + n, length - n);
		visit(context, name, value);
		p += length;
		p += strspn(p, " ");
	}
}

static void list_option(void *context, const char *name, const char *value)
{
	struct text *text = context;

	text_addf(text, "%s--%s%s", text->length ? ", " : "", name, value);
}

static int unknown_option(const struct command *command, const char *option, struct error *error)
{
	struct text list = { 0 };

	command_each_option(command, list_option, &list);
	if (list.length)
		error_set(error, EINVAL, "command '%s' has no option --%.64s; it has: %s",
			  command->name, option, list.data);
	else
		error_set(error, EINVAL, "command '%s' has no option --%.64s; it has none",
			  command->name, option);
	text_free(&list);
	return -EINVAL;
}

static bool is_option(const char *word)
{
	return word[0] == '-' && word[1] == '-' && word[2];
}

// The word that names the command: the first that is no option.
static int find_name(int n_words, char *const *words)
{
	for (int i = 0; i < n_words; i++)
		if (!is_option(words[i]))
			return i;
	return -1;
}

// "--name", "--name=value" or "--name value". Returns how many words were used, or -errno.
// One more value of an option that may be given several times. Returns the words it takes.
static int add_value(json_t *options, const char *name, const char *value, struct error *error)
{
	const char *before = json_string_value(json_object_get(options, name));

	if (json_object_set_new(options, name,
				before ? json_sprintf("%s,%s", before, value) : json_string(value)))
		return error_set(error, EINVAL, "option --%s: the value is not valid UTF-8", name);
	return 1;
}

static int parse_option(const struct command *command, int n_words, char *const *words,
			json_t *options, struct error *error)
{
	const char *name = words[0] + 2;
	const char *equals = strchr(name, '=');
	char copy[MAX_OPTION];
	size_t length = equals ? (size_t)(equals - name) : strlen(name);
	bool takes_value;

	if (length >= sizeof(copy))
		return unknown_option(command, name, error);
	memcpy(copy, name, length);
	copy[length] = '\0';
	if (!command_has_option(command, copy, &takes_value))
		return unknown_option(command, copy, error);
	if (!takes_value) {
		if (equals)
			return error_set(error, EINVAL, "option --%s takes no value", copy);
		json_object_set_new(options, copy, json_true());
		return 1;
	}
	// A value that may be left out is always attached by '='.
	if (*find_word(command->options, copy, length) == '[')
		return add_value(options, copy, equals ? equals + 1 : "", error);
	if (!equals && n_words < 2)
		return error_set(error, EINVAL, "option --%s needs a value", copy);
	if (json_object_set_new(options, copy, json_string(equals ? equals + 1 : words[1])))
		return error_set(error, EINVAL, "option --%s: the value is not valid UTF-8", copy);
	return equals ? 1 : 2;
}

static int parse_words(const struct command *command, int name_at, int n_words, char *const *words,
		       json_t *options, json_t *args, struct error *error)
{
	for (int i = 0; i < n_words;) {
		int used = 1;

		if (i == name_at) {
			i++;
			continue;
		}
		if (is_option(words[i])) {
			// In front of the name a value is always attached by '=', because the
			// command that decides about it comes after.
			used = parse_option(command, i < name_at ? 1 : n_words - i, words + i,
					    options, error);
			if (used < 0)
				return used;
		} else if (json_array_append_new(args, json_string(words[i]))) {
			return error_set(error, EINVAL, "'%.64s' is not valid UTF-8", words[i]);
		}
		i += used;
	}
	return 0;
}

int command_parse(int n_words, char *const *words, json_t **request, struct error *error)
{
	int name_at = find_name(n_words, words);
	const struct command *command;
	json_t *options, *args;
	int result;

	*request = NULL;
	if (name_at < 0 && n_words)
		return error_set(error, EINVAL, "unknown option '%.64s'; see 'vsctl --help'",
				 words[0]);
	if (name_at < 0)
		return error_set(error, EINVAL,
				 "no command given; 'vsctl help' lists the commands");
	command = command_find(words[name_at], error);
	if (!command)
		return -EINVAL;
	options = json_object();
	args = json_array();
	result = parse_words(command, name_at, n_words, words, options, args, error);
	*request = json_pack("{s:s, s:o, s:o}", "name", command->name, "options", options, "args",
			     args);
	if (!*request)
		return error_set(error, ENOMEM, "out of memory");
	if (!result)
		result = command_check(*request, &command, error);
	if (result) {
		json_decref(*request);
		*request = NULL;
	}
	return result;
}

static int check_arguments(const struct command *command, const json_t *args, struct error *error)
{
	size_t n = json_array_size(args);
	json_t *arg;
	size_t i;

	if (args && !json_is_array(args))
		return error_set(error, EINVAL, "\"args\" must be an array");
	json_array_foreach ((json_t *)args, i, arg)
		if (!json_is_string(arg) && !json_is_integer(json_object_get(arg, "attached")))
			return error_set(error, EINVAL, "command '%s': arguments must be strings",
					 command->name);
	if (n >= command->min_args && n <= command->max_args)
		return 0;
	return error_set(error, EINVAL, "command '%s' takes %s arguments (%zu given): %s%s%s",
			 command->name, n < command->min_args ? "more" : "fewer", n, command->name,
			 *command->arguments ? " " : "", command->arguments);
}

int command_check(const json_t *request, const struct command **command, struct error *error)
{
	const char *name = json_string_value(json_object_get(request, "name"));
	json_t *options = json_object_get(request, "options");
	const char *option;
	json_t *value;

	if (!name)
		return error_set(error, EINVAL, "a command needs a \"name\"");
	*command = command_find(name, error);
	if (!*command)
		return -EINVAL;
	if (options && !json_is_object(options))
		return error_set(error, EINVAL, "\"options\" must be an object");
	json_object_foreach (options, option, value) {
		bool takes_value;

		if (!command_has_option(*command, option, &takes_value))
			return unknown_option(*command, option, error);
		if (takes_value ? !json_is_string(value) : !json_is_boolean(value))
			return error_set(error, EINVAL, "option \"%s\" takes %s", option,
					 takes_value ? "a string" : "true or false");
	}
	return check_arguments(*command, json_object_get(request, "args"), error);
}
