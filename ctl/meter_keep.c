#include "ctl/meter_keep.h"

#include "common/error.h"
#include "common/log.h"
#include "common/text.h"
#include "ctl/flow_keep.h"
#include "ofproto/meter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct meter_key {
	char bridge[VPORT_NAME_SIZE];
	uint32_t id;
};

static struct {
	struct store *store;
	bool in_request;
	bool paused; // while kept meters are put back
	int failure; // first write that failed in this request
	struct error error;
	size_t n, size;
	struct meter_key *touched; // in this request
} keep;

static void touch(const struct bridge *bridge, uint32_t id)
{
	if (keep.n == keep.size) {
		const size_t size = keep.size ? keep.size * 2 : 64;
		struct meter_key *grown = realloc(keep.touched, size * sizeof(*grown));

		if (!grown) {
			keep.failure = -ENOMEM;
			return;
		}
		keep.touched = grown;
		keep.size = size;
	}
	keep.touched[keep.n] = (struct meter_key){ .id = id };
	strncpy(keep.touched[keep.n++].bridge, bridge_name(bridge), VPORT_NAME_SIZE - 1);
}

static void changed(void *context, struct bridge *bridge, const struct meter *meter)
{
	struct text text = { 0 };

	(void)context;
	if (keep.paused || !keep.in_request)
		return;
	touch(bridge, meter->id);
	meter_text_format(&meter->text, &text);
	if (text.failed && !keep.failure)
		keep.failure = -ENOMEM;
	// A full disk may have ended the transaction: nothing more may be written in its name.
	if (!keep.failure)
		keep.failure = store_put_meter(keep.store, bridge_name(bridge), meter->id,
					       text.data, &keep.error);
	text_free(&text);
}

static void removed(void *context, struct bridge *bridge, uint32_t id)
{
	(void)context;
	if (keep.paused || !keep.in_request)
		return;
	touch(bridge, id);
	if (!keep.failure)
		keep.failure = store_delete_meter(keep.store, bridge_name(bridge), id, &keep.error);
}

void meter_keep_start(struct store *store)
{
	static const struct meter_observer observer = { .changed = changed, .removed = removed };

	keep.store = store;
	meter_set_observer(&observer);
}

static void forget(void)
{
	free(keep.touched);
	keep.touched = NULL;
	keep.n = keep.size = 0;
	keep.in_request = false;
}

void meter_keep_stop(void)
{
	meter_set_observer(NULL);
	forget();
	keep.store = NULL;
}

void meter_keep_begin(void)
{
	keep.in_request = keep.store != NULL;
	keep.failure = 0;
	error_clear(&keep.error);
}

int meter_keep_check(struct error *error)
{
	if (!keep.failure)
		return 0;
	if (!keep.error.code)
		return error_set(error, ENOMEM, "out of memory");
	return error_set(error, keep.error.code, "%s", keep.error.message);
}

void meter_keep_commit(void)
{
	forget();
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
static int undo_one(const struct meter_key *key, bool kept, struct error *error)
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
	forget();
}
