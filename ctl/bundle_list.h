// Lists of changes to flows and groups that packets see all at once, from text to bundle.h. Main
// thread.
#ifndef CTL_BUNDLE_LIST_H
#define CTL_BUNDLE_LIST_H

#include "ctl/flow_list.h"
#include "ctl/group_list.h"

struct bundle_list {
	struct flow_list flows;
	struct group_list groups;
	bool *is_group; // which of the two each change is in, in order
	unsigned int n, size;
};

void bundle_list_init(struct bundle_list *list, struct bridge *bridge);
void bundle_list_free(struct bundle_list *list);

// Parse a text of one change per line, with comments: flow or group, and what to do.
int bundle_list_read(struct bundle_list *list, const char *text, struct error *error);

// Carry the list out. error->line is that of the user's text.
int bundle_list_apply(struct bundle_list *list, struct error *error);

#endif
