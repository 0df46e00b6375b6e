#include "ctl/meter_list.h"

#include "common/error.h"
#include "ctl/change_list.h"

#include <errno.h>
#include <stdlib.h>

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
	struct meter_mod *mods;

	if (list->n < list->size)
		return 0;
	mods = change_list_grow(list->mods, sizeof(*mods), &list->lines, &list->size, error);
	if (!mods)
		return -ENOMEM;
	list->mods = mods;
	return 0;
}

int meter_list_add(struct meter_list *list, const char *text, enum meter_mod_command command,
		   int line, struct error *error)
{
	size_t skipped = 0;
	struct meter_mod *mod;
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
