#include "ctl/group_list.h"

#include "common/error.h"
#include "ctl/change_list.h"
#include "ofproto/bundle.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *word;
	enum group_mod_command command;
} line_words[] = {
	{ "add", GROUP_MOD_ADD },
	{ "modify", GROUP_MOD_MODIFY },
	{ "add_or_mod", GROUP_MOD_ADD_OR_MODIFY },
	{ "delete", GROUP_MOD_DELETE },
	{ "insert_bucket", GROUP_MOD_INSERT_BUCKETS },
	{ "insert_buckets", GROUP_MOD_INSERT_BUCKETS },
	{ "remove_bucket", GROUP_MOD_REMOVE_BUCKETS },
	{ "remove_buckets", GROUP_MOD_REMOVE_BUCKETS },
};

static enum group_text_usage usage_of(enum group_mod_command command)
{
	switch (command) {
	case GROUP_MOD_DELETE:
		return GROUP_TEXT_SELECT;
	case GROUP_MOD_INSERT_BUCKETS:
		return GROUP_TEXT_INSERT;
	case GROUP_MOD_REMOVE_BUCKETS:
		return GROUP_TEXT_REMOVE;
	default:
		return GROUP_TEXT_ADD;
	}
}

static int list_reserve(struct group_list *list, struct error *error)
{
	struct group_mod *mods;

	if (list->n < list->size)
		return 0;
	mods = change_list_grow(list->mods, sizeof(*mods), &list->lines, &list->size, error);
	if (!mods)
		return -ENOMEM;
	list->mods = mods;
	return 0;
}

int group_list_add(struct group_list *list, const char *text, enum group_mod_command command,
		   int line, struct error *error)
{
	size_t skipped = 0;
	struct group_mod *mod;
	int result = list_reserve(list, error);

	if (result)
		return result;
	for (size_t i = 0; i < sizeof(line_words) / sizeof(line_words[0]) && !skipped; i++) {
		skipped = change_list_skip_word(text, line_words[i].word);
		if (skipped)
			command = line_words[i].command;
	}
	mod = &list->mods[list->n];
	mod->command = command;
	result = group_text_parse(text + skipped, usage_of(command),
				  bridge_port_names(list->bridge), &mod->text, error);
	if (result) {
		error->line = line;
		error->column += error->column ? (int)skipped : 0;
		return result;
	}
	list->lines[list->n++] = line;
	return 0;
}

int group_list_add_lines(struct group_list *list, char *text, enum group_mod_command command,
			 struct error *error)
{
	int line = 0;
	int result = 0;

	for (char *next; !result && text; text = next) {
		size_t lead, end;

		line++;
		next = strchr(text, '\n');
		if (next)
			*next++ = '\0';
		lead = strspn(text, " \t\r");
		end = lead + strcspn(text + lead, "#");
		while (end > lead && isspace((unsigned char)text[end - 1]))
			end--;
		if (end == lead)
			continue;
		text[end] = '\0';
		result = group_list_add(list, text + lead, command, line, error);
		if (result && error->column)
			error->column += (int)lead;
	}
	return result;
}

void group_list_free(struct group_list *list)
{
	for (unsigned int i = 0; i < list->n; i++)
		group_text_release(&list->mods[i].text);
	free(list->mods);
	free(list->lines);
}

int group_list_apply(struct group_list *list, bool bundle, struct error *error)
{
	int result = 0;

	error_clear(error);
	if (list->n && bundle)
		result = bundle_apply_groups(list->bridge, list->mods, list->n, error);
	else if (list->n)
		result = group_mod_apply(list->bridge, list->mods, list->n, error);
	if (result && error->line > 0 && (unsigned int)error->line <= list->n)
		error->line = list->lines[error->line - 1];
	return result;
}
