// Lists of changes to flows, from text to flow_mod.h. Main thread.
#ifndef CTL_FLOW_LIST_H
#define CTL_FLOW_LIST_H

#include "ofproto/flow_mod.h"

// A list is read whole, then checked whole, before the first change is made.
struct flow_list {
	struct bridge *bridge; // NULL: ports by number, and nothing can be applied
	struct flow_change *changes;
	int *lines; // of each change, in the user's text
	unsigned int n;
	unsigned int size;
	bool keeps_early; // flows to add are written while the list is read: it must be applied
};

// Parse one change and append it; `line` is for messages, 0 for none.
int flow_list_add(struct flow_list *list, const char *text, enum flow_mod_command command,
		  enum flow_text_usage usage, int line, struct error *error);

// The same for a line that may begin with what to do.
int flow_list_add_line(struct flow_list *list, const char *text, int line, struct error *error);

// Parse a text of one change per line, with comments; a line may begin with what to do.
int flow_list_read(struct flow_list *list, const char *text, struct error *error);

// Carry the list out; `bundle`: as one that packets see all at once (ofproto/bundle.h).
// error->line is that of the user's text.
int flow_list_apply(struct flow_list *list, bool bundle, struct error *error);
void flow_list_free(struct flow_list *list);

#endif
