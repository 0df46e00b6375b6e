// Lists of changes to groups, from text to group.h. Main thread.
#ifndef CTL_GROUP_LIST_H
#define CTL_GROUP_LIST_H

#include "ofproto/group.h"

struct group_list {
	struct bridge *bridge;
	unsigned int n, size;
	struct group_mod *mods;
	int *lines; // of each change, in the user's text
};

// Parse one change and append it; what to do may stand in front of it. `line` is for messages.
int group_list_add(struct group_list *list, const char *text, enum group_mod_command command,
		   int line, struct error *error);

// Parse a text of one change per line, with comments; the text is cut up.
int group_list_add_lines(struct group_list *list, char *text, enum group_mod_command command,
			 struct error *error);

// Carry the list out; `bundle`: as one that packets see all at once (ofproto/bundle.h).
// error->line is that of the user's text.
int group_list_apply(struct group_list *list, bool bundle, struct error *error);
void group_list_free(struct group_list *list);

#endif
