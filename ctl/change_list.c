#include "ctl/change_list.h"

#include "common/error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_SIZE 16

void *change_list_grow(void *items, size_t item_size, int **lines, unsigned int *size,
		       struct error *error)
{
	const unsigned int more = *size ? *size * 2 : FIRST_SIZE;
	int *more_lines = realloc(*lines, more * sizeof(**lines));
	void *more_items = NULL;

	if (more_lines) {
		*lines = more_lines;
		more_items = realloc(items, more * item_size);
	}
	if (more_items)
		*size = more;
	else
		error_set(error, ENOMEM, "out of memory");
	return more_items;
}

size_t change_list_skip_word(const char *text, const char *word)
{
	const size_t length = strlen(word);

	if (strncmp(text, word, length) != 0 ||
	    (text[length] && text[length] != ' ' && text[length] != '\t'))
		return 0;
	return length + strspn(text + length, " \t");
}
