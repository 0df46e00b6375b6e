#include "ctl/meter_list.h"

#include "common/error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *word;
	enum meter_mod_command command;
} line_words[] = {
	{ "add", METER_MOD_ADD },
	{ "modify", METER_MOD_MODIFY },
	{ "delete", METER_MOD_DELETE },
};

static int list_reserve(struct meter_list *list, struct error *error)
{
	unsigned int size = list->size ? list->size * 2 : 16;
	struct meter_mod *mods;
	int *lines;

	if (list->n < list->size)
		return 0;
	mods = realloc(list->mods, size * sizeof(*mods));
	if (mods)
		list->mods = mods;
	lines = realloc(list->lines, size * sizeof(*lines));
	if (lines)
		list->lines = lines;
	if (!mods || !lines)
		return error_set(error, ENOMEM, "out of memory");
	list->size = size;
	return 0;
}

int meter_list_add(struct meter_list *list, const char *text, enum meter_mod_command command,
		   int line, struct error *error)
{
	size_t length = strcspn(text, " \t"), skipped = 0;
	struct meter_mod *mod;
	int result = list_reserve(list, error);

	if (result)
		return result;
	for (size_t i = 0; i < sizeof(line_words) / sizeof(line_words[0]); i++)
		if (strlen(line_words[i].word) == length &&
		    !memcmp(line_words[i].word, text, length)) {
			command = line_words[i].command;
			skipped = length + strspn(text + length, " \t");
		}
	mod = &list->mods[list->n];
	mod->command = command;
	result = meter_text_parse(text + skipped,
				  command == METER_MOD_DELETE ? METER_TEXT_SELECT : METER_TEXT_ADD,
				  &mod->text, error);
	if (result) {
		error->line = line;
		error->column += error->column ? (int)skipped : 0;
		return result;
	}
	list->lines[list->n++] = line;
	return 0;
}

void meter_list_free(struct meter_list *list)
{
	free(list->mods);
	free(list->lines);
}
