// Lists of changes to meters, from text to meter.h. Main thread.
#ifndef CTL_METER_LIST_H
#define CTL_METER_LIST_H

#include "ofproto/meter.h"

struct meter_list {
	unsigned int n, size;
	struct meter_mod *mods;
	int *lines; // of each change, in the user's text
};

// Parse one change and append it; what to do may stand in front of it. `line` is for messages.
int meter_list_add(struct meter_list *list, const char *text, enum meter_mod_command command,
		   int line, struct error *error);
void meter_list_free(struct meter_list *list);

#endif
