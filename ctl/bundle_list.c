#include "ctl/bundle_list.h"

#include "common/error.h"
#include "common/text.h"
#include "ofproto/bundle.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

void bundle_list_init(struct bundle_list *list, struct bridge *bridge)
{
	memset(list, 0, sizeof(*list));
	list->flows.bridge = bridge;
	list->groups.bridge = bridge;
}

void bundle_list_free(struct bundle_list *list)
{
	flow_list_free(&list->flows);
	group_list_free(&list->groups);
	free(list->is_group);
}

static int reserve(struct bundle_list *list, struct error *error)
{
	unsigned int size = list->size ? list->size * 2 : 64;
	bool *is_group;

	if (list->n < list->size)
		return 0;
	is_group = realloc(list->is_group, size * sizeof(*is_group));
	if (!is_group)
		return error_set(error, ENOMEM, "out of memory");
	list->is_group = is_group;
	list->size = size;
	return 0;
}

static bool is_word(const char *text, size_t length, const char *word)
{
	return strlen(word) == length && !memcmp(text, word, length);
}

static int refuse(const char *text, size_t length, int line, struct error *error)
{
	error->line = line;
	error->column = 1;
	if (is_word(text, length, "packet-out"))
		return error_set(error, EOPNOTSUPP,
				 "packet-out cannot be part of a bundle: a line begins with flow "
				 "or group");
	return error_set(error, EINVAL,
			 "'%.*s' is not what a line of a bundle begins with: flow or group",
			 length > 32 ? 32 : (int)length, text);
}

static int add_line(struct bundle_list *list, const char *text, int line, struct error *error)
{
	const size_t length = strcspn(text, " \t");
	const size_t skipped = length + strspn(text + length, " \t");
	const bool is_group = is_word(text, length, "group");
	int result;

	if (!is_group && !is_word(text, length, "flow"))
		return refuse(text, length, line, error);
	result = reserve(list, error);
	if (!result && is_group)
		result = group_list_add(&list->groups, text + skipped, GROUP_MOD_ADD, line, error);
	else if (!result)
		result = flow_list_add_line(&list->flows, text + skipped, line, error);
	if (result && error->column)
		error->column += (int)skipped;
	if (!result)
		list->is_group[list->n++] = is_group;
	return result;
}

// One line of `length` bytes, without comments and blanks around it.
static int read_line(struct bundle_list *list, char *text, size_t length, int line,
		     struct error *error)
{
	size_t lead = 0;
	int result;

	length = strnlen(text, length);
	text[length] = '\0';
	length = strcspn(text, "#");
	while (lead < length && isspace((unsigned char)text[lead]))
		lead++;
	while (length > lead && isspace((unsigned char)text[length - 1]))
		length--;
	if (length == lead)
		return 0;
	text[length] = '\0';
	result = add_line(list, text + lead, line, error);
	if (result && error->column)
		error->column += (int)lead;
	return result;
}

int bundle_list_read(struct bundle_list *list, const char *text, struct error *error)
{
	struct text copy = { 0 };
	int result = 0;

	for (int line = 1; !result && *text; line++) {
		const size_t length = strcspn(text, "\n");

		text_clear(&copy);
		text_add_bytes(&copy, text, length);
		if (copy.failed)
			result = error_set(error, ENOMEM, "out of memory");
		else if (length)
			result = read_line(list, copy.data, length, line, error);
		text += length + (text[length] == '\n');
	}
	text_free(&copy);
	return result;
}

int bundle_list_apply(struct bundle_list *list, struct error *error)
{
	struct bundle_change *changes = calloc(list->n + 1, sizeof(*changes));
	int *lines = calloc(list->n + 1, sizeof(*lines));
	unsigned int flow = 0, group = 0;
	int result = 0;

	error_clear(error);
	if (!changes || !lines)
		result = error_set(error, ENOMEM, "out of memory");
	for (unsigned int i = 0; !result && i < list->n; i++) {
		if (list->is_group[i])
			changes[i].group = &list->groups.mods[group];
		else
			changes[i].flow = &list->flows.changes[flow];
		lines[i] =
			list->is_group[i] ? list->groups.lines[group++] : list->flows.lines[flow++];
	}
	if (!result && list->n)
		result = bundle_apply(list->flows.bridge, changes, list->n, error);
	if (result && error->line > 0 && (unsigned int)error->line <= list->n)
		error->line = lines[error->line - 1];
	free(changes);
	free(lines);
	return result;
}
