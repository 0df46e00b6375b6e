#include "ctl/flow_list.h"

#include "common/error.h"
#include "common/text.h"
#include "ctl/change_list.h"
#include "ctl/flow_keep.h"
#include "ofproto/bundle.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

// Lines of a long file that are read between two looks at the rest of the world.
#define RELAX_EVERY 4096

static void change_free(struct flow_change *change)
{
	flow_free(change->flow);
	if (change->mod)
		flow_text_release(&change->mod->text);
	free(change->mod);
}

void flow_list_free(struct flow_list *list)
{
	for (unsigned int i = 0; i < list->n; i++)
		change_free(&list->changes[i]);
	free(list->changes);
	free(list->lines);
}

static int list_reserve(struct flow_list *list, struct error *error)
{
	struct flow_change *changes;

	if (list->n < list->size)
		return 0;
	changes =
		change_list_grow(list->changes, sizeof(*changes), &list->lines, &list->size, error);
	if (!changes)
		return -ENOMEM;
	list->changes = changes;
	return 0;
}

static const struct {
	const char *word;
	enum flow_mod_command command;
	enum flow_text_usage usage;
} line_words[] = {
	{ "add", FLOW_ADD, FLOW_TEXT_ADD },
	{ "modify", FLOW_MODIFY, FLOW_TEXT_MOD },
	{ "modify_strict", FLOW_MODIFY_STRICT, FLOW_TEXT_MOD },
	{ "delete", FLOW_DELETE, FLOW_TEXT_DELETE },
	{ "delete_strict", FLOW_DELETE_STRICT, FLOW_TEXT_DELETE },
};

// A flow to add is made at once, other changes keep their text.
static int change_make(struct flow_change *change, enum flow_mod_command command,
		       struct flow_text *text, struct error *error)
{
	*change = (struct flow_change){ 0 };
	if (command == FLOW_ADD) {
		change->flow = flow_create(text);
		flow_text_release(text);
	} else {
		change->mod = malloc(sizeof(*change->mod));
		if (change->mod)
			*change->mod = (struct flow_mod){ .command = command, .text = *text };
		else
			flow_text_release(text);
	}
	if (!change->flow && !change->mod)
		return error_set(error, ENOMEM, "out of memory");
	return 0;
}

// Parse one change and append it.
int flow_list_add(struct flow_list *list, const char *string, enum flow_mod_command command,
		  enum flow_text_usage usage, int line, struct error *error)
{
	struct flow_text text;
	int result = list_reserve(list, error);

	if (result)
		return result;
	result = flow_text_parse(
		string, usage, list->bridge ? bridge_port_names(list->bridge) : NULL, &text, error);
	if (result) {
		error->line = line;
		return result;
	}
	// Without a table, deleting means all of them (OpenFlow 1.3.5 section 6.4).
	if (!text.has_table && command == FLOW_DELETE)
		text.table_id = 255;
	result = change_make(&list->changes[list->n], command, &text, error);
	if (result)
		return result;
	// Flows are kept in the order in which they are added, so what comes behind a change of
	// another kind has to wait until that is made.
	list->keeps_early = list->keeps_early && command == FLOW_ADD;
	if (list->keeps_early)
		flow_keep_early(list->bridge, list->changes[list->n].flow);
	list->lines[list->n++] = line;
	return 0;
}

int flow_list_add_line(struct flow_list *list, const char *text, int line, struct error *error)
{
	size_t skipped = 0;
	size_t which = 0;
	int result;

	for (size_t i = 0; i < sizeof(line_words) / sizeof(line_words[0]) && !skipped; i++) {
		skipped = change_list_skip_word(text, line_words[i].word);
		if (skipped)
			which = i;
	}
	result = flow_list_add(list, text + skipped, line_words[which].command,
			       line_words[which].usage, line, error);
	if (result && error->column)
		error->column += (int)skipped;
	return result;
}

int flow_list_apply(struct flow_list *list, bool bundle, struct error *error)
{
	int result = 0;

	error_clear(error);
	if (list->n && bundle)
		result = bundle_apply_flows(list->bridge, list->changes, list->n, error);
	else if (list->n)
		result = flow_mod_apply_list(list->bridge, list->changes, list->n, bridges_tick,
					     error);
	if (result && error->line > 0 && (unsigned int)error->line <= list->n)
		error->line = list->lines[error->line - 1];
	return result;
}

// One line of `length` bytes, without comments and blanks around it.
static int read_line(struct flow_list *list, char *text, size_t length, int line,
		     struct error *error)
{
	const char *comment = memchr(text, '#', length);
	size_t lead = 0, end = comment ? (size_t)(comment - text) : length;
	char cut;
	int result;

	while (lead < end && isspace((unsigned char)text[lead]))
		lead++;
	while (end > lead && isspace((unsigned char)text[end - 1]))
		end--;
	if (end == lead)
		return 0;
	cut = text[end];
	text[end] = '\0';
	result = flow_list_add_line(list, text + lead, line, error);
	text[end] = cut;
	if (result && error->column)
		error->column += (int)lead;
	return result;
}

int flow_list_read(struct flow_list *list, const char *text, struct error *error)
{
	struct text copy = { 0 };
	int result = 0;

	for (int line = 1; !result && *text; line++) {
		const char *newline = strchr(text, '\n');
		size_t length = newline ? (size_t)(newline - text) : strlen(text);

		text_clear(&copy);
		text_add_bytes(&copy, text, length);
		if (copy.failed)
			result = error_set(error, ENOMEM, "out of memory");
		else
			result = read_line(list, copy.data, length, line, error);
		text += length + (newline ? 1 : 0);
		if (line % RELAX_EVERY == 0)
			bridges_tick();
	}
	text_free(&copy);
	return result;
}
