// The one way in which groups change: add, modify, delete, buckets in and out (OpenFlow 1.5 section
// 7.3.4.3). Main thread.
//
// A list of changes is atomic: what it leads to is checked as a whole before anything is done, and
// workers see all of it at once. When a call returns, the change is in force on every worker. A
// group that goes away takes the flows with it that go to it; one that another group goes to, or
// watches, does not go away.
#ifndef OFPROTO_GROUP_H
#define OFPROTO_GROUP_H

#include "datapath/group.h"
#include "ofproto/bridge.h"

#define GROUP_MAX_GROUPS 65536 // of one bridge

enum group_mod_command {
	GROUP_MOD_ADD,
	GROUP_MOD_MODIFY,
	GROUP_MOD_ADD_OR_MODIFY,
	GROUP_MOD_DELETE, // one that is not there is no mistake; GROUP_ID_ALL: all
	GROUP_MOD_INSERT_BUCKETS,
	GROUP_MOD_REMOVE_BUCKETS,
};

struct group_mod {
	enum group_mod_command command;
	struct group_text text; // the caller's; its contents may have been taken over
};

// Apply n changes in order. On an error nothing has changed and error->line is the 1-based index of
// the wrong change.
int group_mod_apply(struct bridge *bridge, struct group_mod *mods, unsigned int n,
		    struct error *error);

// NULL if there is none. The bridge's groups, by rising id, are bridge_group_table()->all.
struct group *bridge_group(const struct bridge *bridge, uint32_t id);
const struct group_table *bridge_group_table(const struct bridge *bridge);
// Flows whose actions go to the group.
unsigned int group_count_flows(const struct bridge *bridge, uint32_t id);

// A flow's actions may only go to groups that are there.
int group_check_program(const struct bridge *bridge, const struct program *program,
			struct error *error);

// Which buckets are live may have changed: after ports came, went or changed, on any bridge.
void groups_refresh(void);

// With the bridge, after the last packet.
void bridge_groups_destroy(struct bridge *bridge);

// Told of every change, after it is made. One observer; NULL: none.
struct group_observer {
	void *context;
	void (*changed)(void *context, struct bridge *bridge, const struct group *group);
	void (*removed)(void *context, struct bridge *bridge, uint32_t id);
};
void group_mod_set_observer(const struct group_observer *observer);

#endif
