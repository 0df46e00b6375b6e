// Groups as a list of changes would leave them: for group.c, which puts them in force. Main thread.
#ifndef OFPROTO_GROUP_STAGE_H
#define OFPROTO_GROUP_STAGE_H

#include "ofproto/group.h"

struct staged_group {
	uint32_t id;
	unsigned int change; // number of the last change to it, from 1; 0: none
	bool gone;
	bool deleted; // at some point of the list, even if it was added again later
	struct group *old; // in force, or NULL
	struct group *made; // to be put in force
	struct group_text text; // if it is changed and not gone
	uint8_t visit;
	uint8_t height; // of the groups that it leads to
};

struct group_stage {
	struct bridge *bridge;
	uint32_t n; // by rising id
	uint32_t size;
	uint32_t n_gone;
	bool deletes;
	struct staged_group *groups;
};

int group_stage_begin(struct group_stage *stage, struct bridge *bridge, struct error *error);
// One change; `number` goes into the error.
int group_stage_apply(struct group_stage *stage, struct group_mod *mod, unsigned int number,
		      struct error *error);
// The whole: groups that are named exist, and none leads to itself.
int group_stage_check(struct group_stage *stage, struct error *error);
// Was the group in force deleted? Flows that go to it end.
bool group_stage_deletes(const struct group_stage *stage, uint32_t id);
// Is the group there now?
bool group_stage_has(const struct group_stage *stage, uint32_t id);
void group_stage_end(struct group_stage *stage);

// group.c: one change of a bundle; flows that go to a group that it deletes are removed.
int group_stage_change(struct bridge *bridge, struct group_stage *stage, struct group_mod *mod,
		       unsigned int number, struct error *error);
// After group_stage_check(): a table for workers, and the lines of the key that they must fill for
// it. Must be published; that cannot fail.
int group_stage_make(struct group_stage *stage, struct group_table **table, uint16_t *lines,
		     struct error *error);
void group_stage_publish(struct bridge *bridge, struct group_stage *stage,
			 struct group_table *table);

#endif
