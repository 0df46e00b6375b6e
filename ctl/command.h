// The commands of vsctl: rows of command.def, and the parsing and checking of one command.
//
// vsctl turns words into a command (JSON: {"name", "options", "args"}); the daemon checks what it
// receives by the same rows. Any thread; linked into both.
#ifndef CTL_COMMAND_H
#define CTL_COMMAND_H

#include <jansson.h>
#include <stdbool.h>

struct error;

enum command_kind {
	COMMAND_SECTION, // not a command: a title
	COMMAND_LOCAL,
	COMMAND_CONFIG_READ,
	COMMAND_CONFIG_CHANGE,
	COMMAND_SWITCH_READ,
	COMMAND_SWITCH_CHANGE,
};

#define COMMAND_MANY 65536

struct command {
	const char *name; // of the command, or title of the section
	const char *aliases;
	unsigned int min_args;
	unsigned int max_args;
	const char *options;
	const char *arguments;
	enum command_kind kind;
	const char *help;
	const char *details;
};

// Rows of command.def in order, sections included; index also identifies the handler.
extern const struct command commands[];
extern const unsigned int n_commands;

// By name or alias; NULL with a sentence otherwise.
const struct command *command_find(const char *name, struct error *error);

// Does the command take this option, and does that take a value?
bool command_has_option(const struct command *command, const char *option, bool *takes_value);

// Words (options before or after the name, then arguments) to a new JSON object in *request.
int command_parse(int n_words, char *const *words, json_t **request, struct error *error);

// Check a command from anywhere: known name, options, number and type of arguments.
int command_check(const json_t *request, const struct command **command, struct error *error);

// Call visit(context, name, value) for each option in the row; value is "=VALUE", "[=VALUE]" or "".
void command_each_option(const struct command *command,
			 void (*visit)(void *context, const char *name, const char *value),
			 void *context);

#endif
