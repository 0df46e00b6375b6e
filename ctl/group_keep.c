#include "ctl/group_keep.h"

#include "common/log.h"
#include "ctl/flow_keep.h"
#include "ctl/text_keep.h"
#include "ofproto/group.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct text_keep keep = { .put = store_put_group, .remove = store_delete_group };

static void changed(void *context, struct bridge *bridge, const struct group *group)
{
	struct text text = { 0 };

	(void)context;
	if (!text_keep_listens(&keep))
		return;
	group_text_format(&group->text, bridge_port_numbers(bridge), &text);
	text_keep_changed(&keep, bridge, group->id, &text);
}

static void removed(void *context, struct bridge *bridge, uint32_t id)
{
	(void)context;
	if (text_keep_listens(&keep))
		text_keep_removed(&keep, bridge, id);
}

void group_keep_start(struct store *store)
{
	static const struct group_observer observer = { .changed = changed, .removed = removed };

	keep.store = store;
	group_mod_set_observer(&observer);
}

void group_keep_stop(void)
{
	group_mod_set_observer(NULL);
	text_keep_forget(&keep);
	keep.store = NULL;
}

void group_keep_begin(void)
{
	text_keep_begin(&keep);
}

int group_keep_check(struct error *error)
{
	return text_keep_check(&keep, error);
}

void group_keep_commit(void)
{
	text_keep_forget(&keep);
}

// Groups on their way from the store into a bridge.
struct batch {
	const struct bridge *bridge;
	unsigned int n, size;
	struct group_mod *mods;
};

static int load_group(void *context, uint32_t id, const char *text, struct error *error)
{
	struct batch *batch = context;
	struct group_mod *mods;
	int result;

	if (batch->n == batch->size) {
		batch->size = batch->size ? batch->size * 2 : 64;
		mods = realloc(batch->mods, batch->size * sizeof(*mods));
		if (!mods)
			return error_set(error, ENOMEM, "out of memory");
		batch->mods = mods;
	}
	batch->mods[batch->n].command = GROUP_MOD_ADD_OR_MODIFY;
	result = group_text_parse(text ? text : "", GROUP_TEXT_ADD,
				  bridge_port_numbers(batch->bridge), &batch->mods[batch->n].text,
				  error);
	if (result) {
		error_prefix(error, "group %u of the store", id);
		return result;
	}
	batch->n++;
	return 0;
}

static int apply_batch(struct batch *batch, struct bridge *bridge, struct error *error)
{
	int result = 0;

	keep.paused = true;
	if (batch->n)
		result = group_mod_apply(bridge, batch->mods, batch->n, error);
	keep.paused = false;
	return result;
}

static void free_batch(struct batch *batch)
{
	for (unsigned int i = 0; i < batch->n; i++)
		group_text_release(&batch->mods[i].text);
	free(batch->mods);
}

int group_keep_load(struct store *store, struct bridge *bridge, struct error *error)
{
	struct batch batch = { .bridge = bridge };
	int result = store_each_group(store, bridge_name(bridge), load_group, &batch, error);

	if (!result)
		result = apply_batch(&batch, bridge, error);
	free_batch(&batch);
	return result;
}

// Those groups of one bridge that are touched, as the store has them; or, the other way round, only
// those that it does not have.
static int collect(const char *bridge, bool kept, struct batch *batch, struct error *error)
{
	int result = 0;

	for (size_t i = 0; i < keep.n && !result; i++) {
		const uint32_t id = keep.touched[i].id;
		struct batch found = { .bridge = batch->bridge };

		if (strcmp(keep.touched[i].bridge, bridge) != 0)
			continue;
		result = store_get_group(keep.store, bridge, id, load_group, kept ? batch : &found,
					 error);
		if (!result && !kept && !found.n) {
			result = load_group(batch, id, "group_id=0,type=all", error);
			batch->mods[batch->n - 1].command = GROUP_MOD_DELETE;
			batch->mods[batch->n - 1].text.group_id = id;
		}
		free_batch(&found);
	}
	return result;
}

static void undo(bool kept)
{
	flow_keep_pause(true);
	for (struct bridge *bridge = bridge_first(); bridge; bridge = bridge_next(bridge)) {
		struct batch batch = { .bridge = bridge };
		struct error error = { 0 };

		if (collect(bridge_name(bridge), kept, &batch, &error) ||
		    apply_batch(&batch, bridge, &error))
			log_error("groups could not be brought back after a failed request: %s",
				  error.message);
		free_batch(&batch);
	}
	flow_keep_pause(false);
}

void group_keep_undo_before_flows(void)
{
	keep.in_request = false;
	if (keep.n)
		undo(true);
}

void group_keep_undo_after_flows(void)
{
	if (keep.n)
		undo(false);
	text_keep_forget(&keep);
}
