#include "ctl/meter_keep.h"

#include "common/log.h"
#include "ctl/flow_keep.h"
#include "ctl/text_keep.h"
#include "ofproto/meter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct text_keep keep = { .put = store_put_meter, .remove = store_delete_meter };

static void changed(void *context, struct bridge *bridge, const struct meter *meter)
{
	struct text text = { 0 };

	(void)context;
	if (!text_keep_listens(&keep))
		return;
	meter_text_format(&meter->text, &text);
	text_keep_changed(&keep, bridge, meter->id, &text);
}

static void removed(void *context, struct bridge *bridge, uint32_t id)
{
	(void)context;
	if (text_keep_listens(&keep))
		text_keep_removed(&keep, bridge, id);
}

void meter_keep_start(struct store *store)
{
	static const struct meter_observer observer = { .changed = changed, .removed = removed };

	keep.store = store;
	meter_set_observer(&observer);
}

void meter_keep_stop(void)
{
	meter_set_observer(NULL);
	text_keep_forget(&keep);
	keep.store = NULL;
}

void meter_keep_begin(void)
{
	text_keep_begin(&keep);
}

int meter_keep_check(struct error *error)
{
	return text_keep_check(&keep, error);
}

void meter_keep_commit(void)
{
	text_keep_forget(&keep);
}

// --- Back from the store ---

// One meter of the store into the bridge.
static int put_back(void *context, uint32_t id, const char *string, struct error *error)
{
	struct bridge *bridge = context;
	struct meter_text text;
	int result = meter_text_parse(string ? string : "", METER_TEXT_ADD, &text, error);

	if (!result)
		result = bridge_meter(bridge, text.id) ? meter_modify(bridge, &text, error)
						       : meter_add(bridge, &text, error);
	if (result)
		error_prefix(error, "meter %u of the store", id);
	return result;
}

int meter_keep_load(struct store *store, struct bridge *bridge, struct error *error)
{
	int result;

	keep.paused = true;
	result = store_each_meter(store, bridge_name(bridge), put_back, bridge, error);
	keep.paused = false;
	return result;
}

static int note_found(void *context, uint32_t id, const char *string, struct error *error)
{
	(void)id;
	(void)string;
	(void)error;
	*(bool *)context = true;
	return 0;
}

// Bring back a meter that the store has, or take away one that it does not have.
static int undo_one(const struct text_key *key, bool kept, struct error *error)
{
	struct bridge *bridge = bridge_find(key->bridge);
	bool found = false;
	int result;

	if (!bridge)
		return 0;
	if (kept)
		return store_get_meter(keep.store, key->bridge, key->id, put_back, bridge, error);
	result = store_get_meter(keep.store, key->bridge, key->id, note_found, &found, error);
	return result || found ? result : meter_delete(bridge, key->id, error);
}

static void undo(bool kept)
{
	flow_keep_pause(true);
	keep.paused = true;
	for (size_t i = 0; i < keep.n; i++) {
		struct error error = { 0 };

		if (undo_one(&keep.touched[i], kept, &error))
			log_error("a meter could not be brought back after a failed request: %s",
				  error.message);
	}
	keep.paused = false;
	flow_keep_pause(false);
}

void meter_keep_undo_before_flows(void)
{
	keep.in_request = false;
	if (keep.n)
		undo(true);
}

void meter_keep_undo_after_flows(void)
{
	if (keep.n)
		undo(false);
	text_keep_forget(&keep);
}
