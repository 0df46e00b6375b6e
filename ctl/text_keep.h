// Keeping what has a number on its bridge and a text in the store: groups and meters. While a request
// runs, each change is written to the store's open transaction and its number noted, so that the
// change can be undone should the request fail; how that is done is the kind's own affair
// (group_keep.c, meter_keep.c). Main thread.
#ifndef CTL_TEXT_KEEP_H
#define CTL_TEXT_KEEP_H

#include "common/error.h"
#include "common/text.h"
#include "ctl/store.h"
#include "vport/vport.h"

struct bridge;

struct text_key {
	char bridge[VPORT_NAME_SIZE];
	uint32_t id;
};

struct text_keep {
	// Of the kind.
	int (*put)(struct store *store, const char *bridge, uint32_t id, const char *text,
		   struct error *error);
	int (*remove)(struct store *store, const char *bridge, uint32_t id, struct error *error);

	struct store *store;
	bool in_request;
	bool paused; // while what is kept is put back
	int failure; // first write that failed in this request
	struct error error;
	size_t n, size;
	struct text_key *touched; // in this request
};

// Are changes written now? The observer asks before it makes a text.
static inline bool text_keep_listens(const struct text_keep *keep)
{
	return keep->in_request && !keep->paused;
}

// One came or has changed (`text` is freed), or is gone.
void text_keep_changed(struct text_keep *keep, const struct bridge *bridge, uint32_t id,
		       struct text *text);
void text_keep_removed(struct text_keep *keep, const struct bridge *bridge, uint32_t id);

void text_keep_begin(struct text_keep *keep);
// 0, or what went wrong first.
int text_keep_check(const struct text_keep *keep, struct error *error);
// The request is over: what it touched is of no interest any more.
void text_keep_forget(struct text_keep *keep);

#endif
