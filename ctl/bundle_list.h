// Lists of changes to flows, groups and meters that packets see all at once, from text to bundle.h.
// Main thread.
#ifndef CTL_BUNDLE_LIST_H
#define CTL_BUNDLE_LIST_H

#include "ctl/flow_list.h"
#include "ctl/group_list.h"
#include "ctl/meter_list.h"
#include "ctl/packet_out_text.h"

enum bundle_kind { BUNDLE_FLOW, BUNDLE_GROUP, BUNDLE_METER, BUNDLE_PACKET_OUT };

struct bundle_packet_outs {
	unsigned int n, size;
	struct packet_out_request **requests;
	int *lines;
};

struct bundle_list {
	struct flow_list flows;
	struct group_list groups;
	struct meter_list meters;
	struct bundle_packet_outs packet_outs;
	uint8_t *kinds; // which of these each change is in, in order
	unsigned int n, size;
};

void bundle_list_init(struct bundle_list *list, struct bridge *bridge);
void bundle_list_free(struct bundle_list *list);

// Parse a text of one change per line, with comments: flow, group, meter or packet-out,
// and what to do.
int bundle_list_read(struct bundle_list *list, const char *text, struct error *error);

// Carry the list out. error->line is that of the user's text.
int bundle_list_apply(struct bundle_list *list, struct error *error);

#endif
