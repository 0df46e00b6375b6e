// What lists of changes of every kind (flows, groups, meters, packet-outs) do alike: they grow, with the
// number of the line that each change came from, and a line may begin with what to do. Main thread.
#ifndef CTL_CHANGE_LIST_H
#define CTL_CHANGE_LIST_H

#include <stddef.h>

struct error;

// Room for more: grows `items`, *lines and *size together. Returns the items, which may have moved, or
// NULL without memory, told in `error`; nothing is lost then.
void *change_list_grow(void *items, size_t item_size, int **lines, unsigned int *size,
		       struct error *error);

// Does the text begin with this word, and blanks or nothing behind it? Then where what follows
// begins, else 0.
size_t change_list_skip_word(const char *text, const char *word);

#endif
