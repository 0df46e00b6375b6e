#include "ctl/help.h"

#include "common/text.h"
#include "ctl/schema.h"

#include <stdio.h>
#include <string.h>

#define WIDTH 79
#define INDENT 26

// Global options of vsctl, for the help and the manual.
static const struct {
	const char *option;
	const char *help;
} globals[] = {
	{ "--run-dir=DIR",
	  "run directory of the daemon (default: $VSWITCH_RUN_DIR or /run/vswitch)" },
	{ "--json", "print answers as JSON" },
	{ "--timeout=SECONDS", "wait so long for the daemon to appear, and to answer" },
	{ "--no-wait", "accepted for ovs-vsctl's sake: answers always mean that it is done" },
	{ "--protocols=VERSIONS",
	  "or -O VERSIONS: accepted for ovs-ofctl's sake, as all versions are spoken at once" },
	{ "--man", "print the manual page in troff" },
	{ "--bash-completion", "print the completion for bash" },
	{ "--help", "print this, or after a command its explanation" },
	{ "--version", "print the version" },
};
#define N_GLOBALS (sizeof(globals) / sizeof(globals[0]))

static void add_option(void *context, const char *name, const char *value)
{
	text_addf(context, "[--%s%s] ", name, value);
}

static void add_synopsis(const struct command *command, struct text *text)
{
	command_each_option(command, add_option, text);
	text_addf(text, "%s%s%s", command->name, *command->arguments ? " " : "",
		  command->arguments);
}

// Words broken into lines of WIDTH, each after `indent` blanks; the cursor is at `column`.
static void add_wrapped(struct text *text, const char *words, size_t indent, size_t column)
{
	while (*words) {
		size_t n = strcspn(words, " ");

		if (column + n > WIDTH && column > indent) {
			text_chomp(text, " ");
			text_addf(text, "\n%*s", (int)indent, "");
			column = indent;
		}
		text_add_bytes(text, words, n);
		words += n;
		column += n + 1;
		if (*words && column <= WIDTH)
			text_add(text, " ");
		words += strspn(words, " ");
	}
	text_chomp(text, " ");
	text_add(text, "\n");
}

static void add_row(struct text *text, const char *left, const char *right)
{
	size_t length = strlen(left);

	text_addf(text, "  %s", left);
	if (length + 3 > INDENT)
		text_addf(text, "\n%*s", INDENT, "");
	else
		text_addf(text, "%*s", (int)(INDENT - 2 - length), "");
	add_wrapped(text, right, INDENT, INDENT);
}

void help_overview(struct text *text)
{
	text_add(text,
		 "Usage: vsctl [OPTION]... COMMAND [ARG]... [-- COMMAND [ARG]...]...\n"
		 "Configure, program and look into a running vswitchd. Commands joined by --\n"
		 "happen all or not at all.\n");
	for (unsigned int i = 0; i < n_commands; i++) {
		struct text left = { 0 };

		if (commands[i].kind == COMMAND_SECTION) {
			text_addf(text, "\n%s:\n", commands[i].name);
			continue;
		}
		text_addf(&left, "%s%s%s", commands[i].name, *commands[i].arguments ? " " : "",
			  commands[i].arguments);
		add_row(text, left.data, commands[i].help);
		text_free(&left);
	}
	text_add(text, "\nOptions:\n");
	for (size_t i = 0; i < N_GLOBALS; i++)
		add_row(text, globals[i].option, globals[i].help);
	text_add(text, "\n'vsctl help COMMAND' explains one command; vsctl(8) has all of this.\n"
		       "Exit status: 0 done, 1 failed, 2 wrong usage.\n");
}

void help_command(const struct command *command, struct text *text)
{
	text_add(text, "Usage: vsctl ");
	add_synopsis(command, text);
	text_add(text, "\n");
	if (*command->aliases)
		text_addf(text, "Also: %s\n", command->aliases);
	text_add(text, "\n");
	add_wrapped(text, command->help, 0, 0);
	if (*command->details) {
		text_add(text, "\n");
		add_wrapped(text, command->details, 0, 0);
	}
}

void help_names(struct text *text)
{
	for (unsigned int i = 0; i < n_commands; i++)
		if (commands[i].kind != COMMAND_SECTION)
			text_addf(text, "%s\n", commands[i].name);
}

// Text as troff takes it literally.
static void add_troff(struct text *text, const char *string)
{
	if (*string == '.' || *string == '\'')
		text_add(text, "\\&");
	for (; *string; string++) {
		if (*string == '\\')
			text_add(text, "\\e");
		else if (*string == '-')
			text_add(text, "\\-");
		else
			text_add_bytes(text, string, 1);
	}
}

static void add_troff_command(const struct command *command, struct text *text)
{
	struct text synopsis = { 0 };

	add_synopsis(command, &synopsis);
	text_add(text, ".TP\n.B ");
	add_troff(text, synopsis.data);
	text_add(text, "\n");
	add_troff(text, command->help);
	text_add(text, "\n");
	if (*command->details) {
		add_troff(text, command->details);
		text_add(text, "\n");
	}
	if (*command->aliases) {
		text_add(text, "Also: ");
		add_troff(text, command->aliases);
		text_add(text, ".\n");
	}
	text_free(&synopsis);
}

static void add_troff_tables(struct text *text)
{
	text_add(text,
		 ".SH TABLES\nThe configuration, as the commands list, find, get and set see "
		 "it. Names of tables and columns may be written in any case, with \\- for _, "
		 "and shortened as long as they are unique.\n");
	for (int i = 0; i < N_SCHEMA_TABLES; i++) {
		const struct schema_table *table = &schema_tables[i];

		text_addf(text, ".SS %s\n", table->name);
		add_troff(text, table->help);
		text_add(text, ".\n");
		for (unsigned int c = 0; c < table->n_columns; c++) {
			const struct schema_column *column = &table->columns[c];

			text_addf(text, ".TP\n.B %s\n", column->name);
			add_troff(text, column->help);
			text_add(text, column->flags & SCHEMA_STATUS  ? " (read\\-only)"
				       : column->flags & SCHEMA_LATER ? " (kept; no effect in this "
									"version)"
								      : "");
			if (column->choices) {
				text_add(text, "; one of: ");
				add_troff(text, column->choices);
			}
			text_add(text, ".\n");
		}
	}
}

void help_manual(struct text *text)
{
	text_add(
		text,
		".TH VSCTL 8 \"\" \"vswitch " VERSION "\" \"System Administration\"\n"
		".SH NAME\nvsctl \\- configure, program and look into a virtual switch\n"
		".SH SYNOPSIS\n.B vsctl\n[\\fIOPTION\\fR]... \\fICOMMAND\\fR [\\fIARG\\fR]... "
		"[\\-\\- \\fICOMMAND\\fR [\\fIARG\\fR]...]...\n"
		".SH DESCRIPTION\nvsctl talks to a running\n.BR vswitchd (8)\nover the socket "
		"vswitchd.sock in its run directory. Commands joined by \\-\\- are one "
		"transaction: "
		"they happen all or not at all, and when vsctl returns they are in force and on "
		"the "
		"disk.\nCommands and their syntax are those of\n.BR ovs\\-vsctl (8)\nand\n"
		".BR ovs\\-ofctl (8),\nwith the name of a bridge where ovs\\-ofctl takes a "
		"switch.\n"
		".PP\nCommands that change or read flows and counters run after all changes of the "
		"configuration in the same command line.\n"
		".SH OPTIONS\n");
	for (size_t i = 0; i < N_GLOBALS; i++) {
		text_add(text, ".TP\n.B ");
		add_troff(text, globals[i].option);
		text_add(text, "\n");
		add_troff(text, globals[i].help);
		text_add(text, ".\n");
	}
	text_add(text, ".SH COMMANDS\n");
	for (unsigned int i = 0; i < n_commands; i++) {
		if (commands[i].kind == COMMAND_SECTION)
			text_addf(text, ".SS %s\n", commands[i].name);
		else
			add_troff_command(&commands[i], text);
	}
	add_troff_tables(text);
	text_add(text,
		 ".SH EXIT STATUS\n0 when everything is done, 1 when it failed (and nothing was "
		 "changed), 2 for wrong usage, and for br\\-exists when there is no such "
		 "bridge.\n.SH FILES\n.TP\n.I /run/vswitch/vswitchd.sock\nwhere vswitchd "
		 "listens.\n.SH EXAMPLES\n.nf\n"
		 "vsctl add\\-br br0\n"
		 "vsctl add\\-port br0 vm1 type=vhost\\-user path=/run/vm1.sock tag=10\n"
		 "vsctl add\\-flow br0 in_port=vm1,actions=output:vm2\n"
		 "vsctl \\-\\-json dump\\-flows br0\n.fi\n"
		 ".SH SEE ALSO\n.BR vswitchd (8),\n.BR ovs\\-fields (7),\n"
		 ".BR ovs\\-actions (7)\n");
}

static void add_option_word(void *context, const char *name, const char *value)
{
	text_addf(context, " --%s%s", name, *value == '=' ? "=" : "");
}

void help_completion(struct text *text)
{
	text_add(text,
		 "# bash completion for vsctl, generated by 'vsctl --bash-completion'\n"
		 "_vsctl()\n{\n"
		 "\tlocal current=\"${COMP_WORDS[COMP_CWORD]}\" command=\"\" words=\"\" n=0 i\n"
		 "\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
		 "\t\tcase \"${COMP_WORDS[i]}\" in\n"
		 "\t\t--) command=\"\" n=0 ;;\n"
		 "\t\t-*) ;;\n"
		 "\t\t*) if [[ -z $command ]]; then command=\"${COMP_WORDS[i]}\"; "
		 "else n=$((n + 1)); fi ;;\n"
		 "\t\tesac\n\tdone\n"
		 "\tcase \"$command\" in\n"
		 "\t\"\") words=\"");
	for (unsigned int i = 0; i < n_commands; i++)
		if (commands[i].kind != COMMAND_SECTION)
			text_addf(text, "%s ", commands[i].name);
	text_add(text,
		 "--json --run-dir= --timeout= --no-wait --protocols= --help --version\" ;;\n");
	for (unsigned int i = 0; i < n_commands; i++) {
		const struct command *command = &commands[i];

		if (command->kind == COMMAND_SECTION)
			continue;
		text_addf(text, "\t%s) words=\"--help", command->name);
		command_each_option(command, add_option_word, text);
		text_add(text, "\"\n");
		if (strstr(command->arguments, "BRIDGE"))
			text_add(text, "\t\t[[ $n == 0 ]] && words+=\" $(vsctl list-br "
				       "2>/dev/null)\"\n");
		else if (!strncmp(command->arguments, "TABLE", 5)) {
			text_add(text, "\t\t[[ $n == 0 ]] && words+=\"");
			for (int t = 0; t < N_SCHEMA_TABLES; t++)
				text_addf(text, " %s", schema_tables[t].name);
			text_add(text, "\"\n");
		}
		if (strstr(command->arguments, "PORT"))
			text_add(text, "\t\twords+=\" $(vsctl --columns=name list Interface "
				       "2>/dev/null | sed -n 's/^name *: //p' | tr -d '\"')\"\n");
		text_add(text, "\t\t;;\n");
	}
	text_add(text, "\tesac\n"
		       "\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n"
		       "\tif [[ $command == add-flows ]]; then\n"
		       "\t\tmapfile -t -O \"${#COMPREPLY[@]}\" COMPREPLY < <(compgen -f -- "
		       "\"$current\")\n\tfi\n}\ncomplete -F _vsctl vsctl\n");
}
