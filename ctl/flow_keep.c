#include "ctl/flow_keep.h"

#include "common/clock.h"
#include "common/error.h"
#include "common/log.h"
#include "common/text.h"
#include "ofproto/flow_mod.h"
#include "ofproto/learn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LOAD_BATCH 8192

// A flow of the store by its key.
struct flow_key {
	char bridge[VPORT_NAME_SIZE];
	uint8_t table_id;
	uint16_t priority;
	char *match;
};

struct flow_keys {
	struct flow_key *keys;
	size_t n;
	size_t size;
};

static struct {
	struct store *store;
	bool in_request;
	unsigned int paused;
	int failure; // first write that failed in this request
	struct error error;
	struct flow_keys touched; // in this request
	struct flow_keys waiting; // removed outside of requests, not yet written
	struct text match; // scratch
	struct text actions;
} keep;

static int keys_add(struct flow_keys *keys, const char *bridge, const struct flow *flow,
		    const char *match)
{
	struct flow_key *key;

	if (keys->n == keys->size) {
		size_t size = keys->size ? keys->size * 2 : 64;
		struct flow_key *grown = realloc(keys->keys, size * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		keys->keys = grown;
		keys->size = size;
	}
	key = &keys->keys[keys->n];
	key->match = strdup(match);
	if (!key->match)
		return -ENOMEM;
	strncpy(key->bridge, bridge, sizeof(key->bridge) - 1);
	key->bridge[sizeof(key->bridge) - 1] = '\0';
	key->table_id = flow->table_id;
	key->priority = flow->priority;
	keys->n++;
	return 0;
}

static void keys_clear(struct flow_keys *keys)
{
	for (size_t i = 0; i < keys->n; i++)
		free(keys->keys[i].match);
	free(keys->keys);
	memset(keys, 0, sizeof(*keys));
}

// The match as the store writes it: canonical, ports by number.
static const char *format_match(const struct flow *flow)
{
	struct match match;

	match_unpack(flow->mask, flow->values, &match);
	text_clear(&keep.match);
	match_format(&match, NULL, &keep.match);
	return keep.match.data ? keep.match.data : "";
}

static const char *format_actions(const struct flow *flow)
{
	text_clear(&keep.actions);
	program_format(flow->program, NULL, &keep.actions);
	return keep.actions.data ? keep.actions.data : "";
}

static void note_failure(int result)
{
	if (result && !keep.failure)
		keep.failure = result;
}

static void put_flow(void *context, struct bridge *bridge, const struct flow *flow)
{
	uint64_t monotonic = clock_monotonic_ns();
	struct store_flow kept;

	(void)context;
	if (keep.paused || learn_made(flow))
		return;
	kept = (struct store_flow){
		.table_id = flow->table_id,
		.priority = flow->priority,
		.match = format_match(flow),
		.actions = format_actions(flow),
		.cookie = flow->cookie,
		.idle_timeout = flow->idle_timeout,
		.hard_timeout = flow->hard_timeout,
		.importance = flow->importance,
		.flags = flow->flags,
		.created_ns = clock_realtime_ns() - (monotonic - flow->created_ns),
		.modified_ns = clock_realtime_ns() - (monotonic - flow->modified_ns),
	};
	if (keep.in_request)
		note_failure(keys_add(&keep.touched, bridge_name(bridge), flow, kept.match));
	// A full disk may have ended the transaction: nothing more may be written in its name.
	if (!keep.failure)
		note_failure(store_put_flow(keep.store, bridge_name(bridge), &kept, &keep.error));
}

static void remove_flow(void *context, struct bridge *bridge, const struct flow *flow,
			enum flow_removed_reason reason)
{
	const char *name = bridge_name(bridge);
	const char *match;

	(void)context;
	(void)reason;
	if (keep.paused || learn_made(flow))
		return;
	match = format_match(flow);
	if (!keep.in_request) {
		// One by one they would each wait for the disk; a flow that comes back because this
		// was not written yet times out again.
		keys_add(&keep.waiting, name, flow, match);
		return;
	}
	note_failure(keys_add(&keep.touched, name, flow, match));
	if (!keep.failure)
		note_failure(store_delete_flow(keep.store, name, flow->table_id, flow->priority,
					       match, &keep.error));
}

void flow_keep_start(struct store *store)
{
	static const struct flow_observer observer = {
		.added = put_flow,
		.modified = put_flow,
		.removed = remove_flow,
	};

	keep.store = store;
	flow_mod_set_observer(&observer);
}

void flow_keep_stop(void)
{
	flow_mod_set_observer(NULL);
	if (keep.store)
		flow_keep_flush();
	keys_clear(&keep.touched);
	keys_clear(&keep.waiting);
	text_free(&keep.match);
	text_free(&keep.actions);
	keep.store = NULL;
}

void flow_keep_pause(bool pause)
{
	keep.paused = pause ? keep.paused + 1 : keep.paused - 1;
}

static int write_waiting(struct error *error)
{
	int result = 0;

	for (size_t i = 0; !result && i < keep.waiting.n; i++) {
		const struct flow_key *key = &keep.waiting.keys[i];

		result = store_delete_flow(keep.store, key->bridge, key->table_id, key->priority,
					   key->match, error);
	}
	return result;
}

int flow_keep_begin(struct error *error)
{
	int result;

	if (!keep.store)
		return 0;
	flow_keep_flush();
	result = store_begin(keep.store, error);
	if (result)
		return result;
	keep.in_request = true;
	keep.failure = 0;
	error_clear(&keep.error);
	return 0;
}

int flow_keep_check(struct error *error)
{
	if (!keep.failure)
		return 0;
	if (!keep.error.code)
		return error_set(error, ENOMEM, "out of memory");
	return error_set(error, keep.error.code, "%s", keep.error.message);
}

void flow_keep_commit(void)
{
	keep.in_request = false;
	keys_clear(&keep.touched);
}

void flow_keep_flush(void)
{
	struct error error = { 0 };

	if (!keep.waiting.n || keep.in_request)
		return;
	if (!store_begin(keep.store, &error) && !write_waiting(&error) &&
	    !store_commit(keep.store, &error)) {
		keys_clear(&keep.waiting);
		return;
	}
	store_rollback(keep.store);
	log_limited(LOG_LEVEL_ERROR, "timed-out flows are not yet deleted from the store: %s",
		    error.message);
}

// Flows on their way from the store into a bridge.
struct batch {
	struct bridge *bridge;
	unsigned int n;
	struct flow_mod *mods;
	struct batch_times {
		uint64_t created_ns;
		uint64_t modified_ns;
	} * times;
	uint64_t now_ns; // realtime
	uint64_t monotonic_ns;
};

static uint64_t to_monotonic(const struct batch *batch, uint64_t realtime_ns)
{
	uint64_t age = batch->now_ns > realtime_ns ? batch->now_ns - realtime_ns : 0;

	// After the machine started anew the monotonic clock may be younger than the flow.
	return age < batch->monotonic_ns ? batch->monotonic_ns - age : 0;
}

// Put the times back that the flows had.
static void restore_times(struct batch *batch)
{
	for (unsigned int i = 0; i < batch->n; i++) {
		const struct flow_text *text = &batch->mods[i].text;
		struct table *table = bridge_table(batch->bridge, text->table_id);
		struct flow *flow = table ? table_find(table, &text->match, text->priority) : NULL;

		if (!flow)
			continue;
		flow->created_ns = to_monotonic(batch, batch->times[i].created_ns);
		flow->modified_ns = to_monotonic(batch, batch->times[i].modified_ns);
		flow->created_realtime_ns = batch->times[i].created_ns;
	}
}

static void release_batch(struct batch *batch)
{
	for (unsigned int i = 0; i < batch->n; i++)
		flow_text_release(&batch->mods[i].text);
	batch->n = 0;
}

static int apply_batch(struct batch *batch, struct error *error)
{
	int result = 0;

	if (batch->n)
		result = flow_mod_apply(batch->bridge, batch->mods, batch->n, error);
	if (!result)
		restore_times(batch);
	release_batch(batch);
	return result;
}

static int load_flow(void *context, const struct store_flow *flow, struct error *error)
{
	struct batch *batch = context;
	struct flow_mod *mod = &batch->mods[batch->n];
	uint64_t timeout_ns = flow->hard_timeout * NS_PER_SECOND;
	struct text text = { 0 };
	int result;

	if (timeout_ns && flow->modified_ns + timeout_ns <= batch->now_ns)
		return 0;
	mod->command = FLOW_ADD;
	text_addf(&text, "table=%u,priority=%u%s%s,actions=%s", flow->table_id, flow->priority,
		  *flow->match ? "," : "", flow->match, flow->actions);
	result = text.failed ? error_set(error, ENOMEM, "out of memory")
			     : flow_text_parse(text.data, FLOW_TEXT_ADD, NULL, &mod->text, error);
	if (result)
		error_prefix(error, "flow '%.400s' of the store", text.data);
	text_free(&text);
	if (result)
		return result;
	mod->text.cookie = flow->cookie;
	mod->text.has_cookie = true;
	mod->text.idle_timeout = (uint16_t)flow->idle_timeout;
	mod->text.hard_timeout = (uint16_t)flow->hard_timeout;
	mod->text.importance = (uint16_t)flow->importance;
	// Overlap was checked when it was added; among kept flows it would depend on their order.
	mod->text.flags = (uint16_t)(flow->flags & ~FLOW_FLAG_CHECK_OVERLAP);
	batch->times[batch->n].created_ns = flow->created_ns;
	batch->times[batch->n].modified_ns = flow->modified_ns;
	batch->n++;
	return batch->n == LOAD_BATCH ? apply_batch(batch, error) : 0;
}

static int batch_create(struct batch *batch, struct bridge *bridge, unsigned int size,
			struct error *error)
{
	memset(batch, 0, sizeof(*batch));
	batch->bridge = bridge;
	batch->mods = calloc(size, sizeof(*batch->mods));
	batch->times = calloc(size, sizeof(*batch->times));
	batch->now_ns = clock_realtime_ns();
	batch->monotonic_ns = clock_monotonic_ns();
	if (batch->mods && batch->times)
		return 0;
	free(batch->mods);
	free(batch->times);
	return error_set(error, ENOMEM, "out of memory");
}

static void batch_destroy(struct batch *batch)
{
	release_batch(batch);
	free(batch->mods);
	free(batch->times);
}

int flow_keep_load(struct store *store, struct bridge *bridge, struct error *error)
{
	struct batch batch;
	int result = batch_create(&batch, bridge, LOAD_BATCH, error);

	if (result)
		return result;
	flow_keep_pause(true);
	result = store_each_flow(store, bridge_name(bridge), load_flow, &batch, error);
	if (!result)
		result = apply_batch(&batch, error);
	flow_keep_pause(false);
	batch_destroy(&batch);
	return result;
}

// Take out a flow that was not there before the request.
static int delete_flow(struct bridge *bridge, const struct flow_key *key, struct error *error)
{
	struct flow_mod mod = { .command = FLOW_DELETE_STRICT };
	struct text text = { 0 };
	int result;

	text_addf(&text, "table=%u,priority=%u%s%s", key->table_id, key->priority,
		  *key->match ? "," : "", key->match);
	result = flow_text_parse(text.data, FLOW_TEXT_DELETE, NULL, &mod.text, error);
	text_free(&text);
	if (result)
		return result;
	result = flow_mod_apply(bridge, &mod, 1, error);
	flow_text_release(&mod.text);
	return result;
}

static int undo_flow(const struct flow_key *key, struct error *error)
{
	struct bridge *bridge = bridge_find(key->bridge);
	struct batch batch;
	int result;

	if (!bridge)
		return 0;
	result = batch_create(&batch, bridge, 1, error);
	if (result)
		return result;
	result = store_get_flow(keep.store, key->bridge, key->table_id, key->priority, key->match,
				load_flow, &batch, error);
	if (!result)
		result = batch.n ? apply_batch(&batch, error) : delete_flow(bridge, key, error);
	batch_destroy(&batch);
	return result;
}

void flow_keep_undo(void)
{
	struct flow_keys touched = keep.touched;
	struct error error = { 0 };

	memset(&keep.touched, 0, sizeof(keep.touched));
	keep.in_request = false;
	flow_keep_pause(true);
	for (size_t i = touched.n; i-- > 0;)
		if (undo_flow(&touched.keys[i], &error))
			log_error("a flow could not be brought back after a failed request: %s",
				  error.message);
	flow_keep_pause(false);
	keys_clear(&touched);
}
