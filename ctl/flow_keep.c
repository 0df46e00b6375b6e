#include "ctl/flow_keep.h"

#include "common/clock.h"
#include "common/error.h"
#include "common/log.h"
#include "common/text.h"
#include "ctl/flow_writer.h"
#include "ofproto/flow_mod.h"
#include "ofproto/learn.h"
#include "ofproto/table_config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_CLOCK_DRIFT_NS (10 * NS_PER_MS)
#define LOAD_BATCH 8192

// A flow that a request touched: enough to find it in its table and in the store.
struct touched_flow {
	uint64_t kept_id;
	struct mask *mask; // one reference
	uint32_t previous; // words of the one before, to walk back
	uint16_t bridge; // index of its name
	uint16_t priority;
	uint8_t table_id;
	uint64_t values[]; // as many as the mask has words
};

// They lie in a row: a request may touch a million.
struct touched_flows {
	uint64_t *words;
	size_t n;
	size_t size;
	uint32_t last; // words of the last one
	char (*bridges)[VPORT_NAME_SIZE];
	uint16_t n_bridges;
};

// A flow that went, or got other timeouts, outside of requests.
struct waiting_flow {
	uint64_t kept_id;
	bool gone;
	uint16_t idle_timeout;
	uint16_t hard_timeout;
};

static struct {
	struct store *store;
	bool in_request;
	unsigned int paused;
	int failure; // first write that failed in this request
	struct error error;
	struct touched_flows touched; // in this request
	struct waiting_flow *waiting; // changed outside of requests, not yet in the store
	size_t n_waiting;
	size_t waiting_size;
	uint64_t clock_offset_ns; // from monotonic to real time, in this request
} keep;

// The index of the bridge's name, or -ENOMEM.
static int touched_bridge(struct touched_flows *touched, const char *name)
{
	char(*bridges)[VPORT_NAME_SIZE];

	for (uint16_t i = touched->n_bridges; i-- > 0;)
		if (!strcmp(touched->bridges[i], name))
			return i;
	bridges = realloc(touched->bridges, (touched->n_bridges + 1u) * sizeof(*bridges));
	if (!bridges)
		return -ENOMEM;
	touched->bridges = bridges;
	strncpy(bridges[touched->n_bridges], name, VPORT_NAME_SIZE - 1);
	bridges[touched->n_bridges][VPORT_NAME_SIZE - 1] = '\0';
	return touched->n_bridges++;
}

static size_t touched_words(const struct mask *mask)
{
	return sizeof(struct touched_flow) / sizeof(uint64_t) + mask->n_words;
}

static int touched_add(struct touched_flows *touched, const char *bridge, const struct flow *flow)
{
	const size_t words = touched_words(flow->mask);
	const int name = touched_bridge(touched, bridge);
	struct touched_flow *added;

	if (name < 0)
		return name;
	if (touched->n + words > touched->size) {
		size_t size = touched->size ? touched->size * 2 : 1024;
		uint64_t *grown = realloc(touched->words, size * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		touched->words = grown;
		touched->size = size;
	}
	added = (struct touched_flow *)&touched->words[touched->n];
	*added = (struct touched_flow){
		.kept_id = flow->kept_id,
		.mask = mask_ref((struct mask *)(uintptr_t)flow->mask),
		.previous = touched->last,
		.bridge = (uint16_t)name,
		.priority = flow->priority,
		.table_id = flow->table_id,
	};
	memcpy(added->values, flow->values, flow->mask->n_words * sizeof(flow->values[0]));
	touched->last = (uint32_t)words;
	touched->n += words;
	return 0;
}

static void touched_clear(struct touched_flows *touched)
{
	for (size_t at = 0; at < touched->n;) {
		struct touched_flow *flow = (struct touched_flow *)&touched->words[at];

		at += touched_words(flow->mask);
		mask_unref(flow->mask);
	}
	free(touched->words);
	free(touched->bridges);
	memset(touched, 0, sizeof(*touched));
}

static void note_failure(int result)
{
	if (result && !keep.failure)
		keep.failure = result;
}

// Outside of a request what is written is a transaction of its own.
static void write_now(void)
{
	if (!keep.failure)
		note_failure(flow_writer_finish(&keep.error));
	if (keep.failure)
		flow_writer_cancel();
}

// From monotonic to real time. The same from call to call unless one of the clocks was set, so that
// a flow which is brought back is as old as it was to the nanosecond.
static uint64_t clock_offset(void)
{
	static uint64_t offset;
	const uint64_t now = clock_realtime_ns() - clock_monotonic_ns();

	if (now - offset + MAX_CLOCK_DRIFT_NS > 2 * MAX_CLOCK_DRIFT_NS)
		offset = now;
	return offset;
}

// Write the flow under its number; a new one gets one.
static int write_flow(const struct bridge *bridge, struct flow *flow)
{
	const uint64_t offset = keep.in_request ? keep.clock_offset_ns : clock_offset();
	int result = 0;

	if (!flow->kept_id)
		result = store_new_flow_id(keep.store, bridge_name(bridge), &flow->kept_id,
					   &keep.error);
	return result ? result
		      : flow_writer_put(flow, bridge_port_numbers(bridge), flow->kept_id, offset);
}

// The flow is in its table.
static void put_flow(struct bridge *bridge, struct flow *flow, bool is_written)
{
	// A full disk may have ended the transaction: nothing more may be written in its name.
	if (!keep.failure && !is_written)
		note_failure(write_flow(bridge, flow));
	if (keep.in_request)
		note_failure(touched_add(&keep.touched, bridge_name(bridge), flow));
	else
		write_now();
}

static void flow_added(void *context, struct bridge *bridge, struct flow *flow,
		       const struct flow *replaced)
{
	const uint64_t early = flow->kept_id;

	(void)context;
	if (replaced)
		flow->kept_id = replaced->kept_id;
	if (keep.paused || learn_made(flow))
		return;
	// It keeps the number and with it the place of the other one.
	if (early && replaced && !keep.failure)
		note_failure(flow_writer_delete(early));
	put_flow(bridge, flow, early && !replaced);
}

static void flow_modified(void *context, struct bridge *bridge, struct flow *flow)
{
	(void)context;
	if (!keep.paused && !learn_made(flow))
		put_flow(bridge, flow, false);
}

void flow_keep_early(struct bridge *bridge, struct flow *flow)
{
	if (keep.store && keep.in_request && !keep.paused && !keep.failure)
		note_failure(write_flow(bridge, flow));
}

static void add_waiting(const struct flow *flow, bool gone)
{
	if (keep.n_waiting == keep.waiting_size) {
		size_t size = keep.waiting_size ? keep.waiting_size * 2 : 64;
		struct waiting_flow *grown = realloc(keep.waiting, size * sizeof(*grown));

		if (!grown)
			return; // the flow comes back at the next start, and times out again
		keep.waiting = grown;
		keep.waiting_size = size;
	}
	keep.waiting[keep.n_waiting++] = (struct waiting_flow){
		.kept_id = flow->kept_id,
		.gone = gone,
		.idle_timeout = flow->idle_timeout,
		.hard_timeout = flow->hard_timeout,
	};
}

static void remove_flow(void *context, struct bridge *bridge, const struct flow *flow,
			enum flow_removed_reason reason)
{
	(void)context;
	(void)reason;
	if (keep.paused || learn_made(flow))
		return;
	if (!keep.in_request) {
		// One by one they would each wait for the disk; a flow that comes back because this
		// was not written yet times out again.
		if (flow->kept_id)
			add_waiting(flow, true);
		return;
	}
	note_failure(touched_add(&keep.touched, bridge_name(bridge), flow));
	if (!keep.failure && flow->kept_id)
		note_failure(flow_writer_delete(flow->kept_id));
}

static void shorten_flow(void *context, struct bridge *bridge, const struct flow *flow)
{
	(void)context;
	(void)bridge;
	if (flow->kept_id && !learn_made(flow))
		add_waiting(flow, false);
}

static void forget_waiting(void)
{
	free(keep.waiting);
	keep.waiting = NULL;
	keep.n_waiting = keep.waiting_size = 0;
}

void flow_keep_start(struct store *store)
{
	static const struct flow_observer observer = {
		.added = flow_added,
		.modified = flow_modified,
		.shortened = shorten_flow,
		.removed = remove_flow,
	};

	keep.store = store;
	flow_writer_start(store);
	flow_mod_set_observer(&observer);
}

void flow_keep_stop(void)
{
	flow_mod_set_observer(NULL);
	if (keep.store)
		flow_keep_flush();
	touched_clear(&keep.touched);
	forget_waiting();
	flow_writer_stop();
	keep.store = NULL;
}

void flow_keep_pause(bool pause)
{
	keep.paused = pause ? keep.paused + 1 : keep.paused - 1;
	table_limits_pause(pause);
}

static int write_waiting(struct error *error)
{
	int result = 0;

	for (size_t i = 0; !result && i < keep.n_waiting; i++) {
		const struct waiting_flow *flow = &keep.waiting[i];

		result = flow->gone
				 ? store_delete_flow(keep.store, flow->kept_id, error)
				 : store_set_timeouts(keep.store, flow->kept_id, flow->idle_timeout,
						      flow->hard_timeout, error);
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
	keep.clock_offset_ns = clock_offset();
	error_clear(&keep.error);
	return 0;
}

int flow_keep_check(struct error *error)
{
	note_failure(flow_writer_finish(&keep.error));
	if (!keep.failure)
		return 0;
	if (!keep.error.code)
		return error_set(error, ENOMEM, "out of memory");
	return error_set(error, keep.error.code, "%s", keep.error.message);
}

void flow_keep_cancel(void)
{
	flow_writer_cancel();
}

void flow_keep_settle(void)
{
	note_failure(flow_writer_finish(&keep.error));
}

void flow_keep_commit(void)
{
	keep.in_request = false;
	touched_clear(&keep.touched);
	if (keep.store)
		flow_writer_committed();
}

void flow_keep_flush(void)
{
	struct error error = { 0 };

	if (!keep.n_waiting || keep.in_request)
		return;
	if (!store_begin(keep.store, &error) && !write_waiting(&error) &&
	    !store_commit(keep.store, &error)) {
		forget_waiting();
		flow_writer_committed();
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
	struct flow_change *changes;
	uint64_t now_ns; // realtime
	uint64_t monotonic_ns;
	uint64_t clock_offset_ns;
};

static uint64_t to_monotonic(const struct batch *batch, uint64_t realtime_ns)
{
	const int64_t ns = (int64_t)(realtime_ns - batch->clock_offset_ns);

	// After the machine started anew the monotonic clock may be younger than the flow.
	if (ns < 0)
		return 0;
	return (uint64_t)ns < batch->monotonic_ns ? (uint64_t)ns : batch->monotonic_ns;
}

static void release_batch(struct batch *batch)
{
	for (unsigned int i = 0; i < batch->n; i++)
		flow_free(batch->changes[i].flow);
	batch->n = 0;
}

static int apply_batch(struct batch *batch, struct error *error)
{
	int result = 0;

	if (batch->n)
		result = flow_mod_apply_list(batch->bridge, batch->changes, batch->n, NULL, error);
	release_batch(batch);
	return result;
}

static int parse_flow(const struct bridge *bridge, const struct store_flow *flow,
		      struct flow_text *parsed, struct error *error)
{
	struct text text = { 0 };
	int result;

	text_addf(&text, "table=%u,priority=%u%s%s,actions=%s", flow->table_id, flow->priority,
		  *flow->match ? "," : "", flow->match, flow->actions);
	result = text.failed ? error_set(error, ENOMEM, "out of memory")
			     : flow_text_parse(text.data, FLOW_TEXT_ADD,
					       bridge_port_numbers(bridge), parsed, error);
	if (result)
		error_prefix(error, "flow '%.400s' of the store", text.data);
	text_free(&text);
	return result;
}

static int load_flow(void *context, const struct store_flow *kept, struct error *error)
{
	struct batch *batch = context;
	uint64_t timeout_ns = kept->hard_timeout * NS_PER_SECOND;
	struct flow_text text;
	struct flow *flow;
	int result;

	if (timeout_ns && kept->modified_ns + timeout_ns <= batch->now_ns)
		return 0;
	result = parse_flow(batch->bridge, kept, &text, error);
	if (result)
		return result;
	text.cookie = kept->cookie;
	text.has_cookie = true;
	text.idle_timeout = (uint16_t)kept->idle_timeout;
	text.hard_timeout = (uint16_t)kept->hard_timeout;
	text.importance = (uint16_t)kept->importance;
	// Overlap was checked when it was added; among kept flows it would depend on their order.
	text.flags = (uint16_t)(kept->flags & ~FLOW_FLAG_CHECK_OVERLAP);
	flow = flow_create(&text);
	flow_text_release(&text);
	if (!flow)
		return error_set(error, ENOMEM, "out of memory");
	flow->created_ns = to_monotonic(batch, kept->created_ns);
	flow->modified_ns = to_monotonic(batch, kept->modified_ns);
	flow->kept_id = kept->id;
	batch->changes[batch->n++] = (struct flow_change){ .flow = flow };
	return batch->n == LOAD_BATCH ? apply_batch(batch, error) : 0;
}

static int batch_create(struct batch *batch, struct bridge *bridge, unsigned int size,
			struct error *error)
{
	memset(batch, 0, sizeof(*batch));
	batch->bridge = bridge;
	batch->changes = calloc(size, sizeof(*batch->changes));
	batch->now_ns = clock_realtime_ns();
	batch->monotonic_ns = clock_monotonic_ns();
	batch->clock_offset_ns = clock_offset();
	return batch->changes ? 0 : error_set(error, ENOMEM, "out of memory");
}

static void batch_destroy(struct batch *batch)
{
	release_batch(batch);
	free(batch->changes);
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
static int delete_flow(struct bridge *bridge, const struct touched_flow *touched,
		       struct error *error)
{
	struct flow_mod mod = {
		.command = FLOW_DELETE_STRICT,
		.text = { .table_id = touched->table_id,
			  .has_table = true,
			  .priority = touched->priority,
			  .out_port = OFPP_ANY,
			  .out_group = OFPP_ANY },
	};

	match_unpack(touched->mask, touched->values, &mod.text.match);
	return flow_mod_apply(bridge, &mod, 1, error);
}

static int undo_flow(const char *bridge_name, const struct touched_flow *touched,
		     struct error *error)
{
	struct bridge *bridge = bridge_find(bridge_name);
	struct batch batch;
	int result;

	if (!bridge)
		return 0;
	result = batch_create(&batch, bridge, 1, error);
	if (result)
		return result;
	if (touched->kept_id)
		result = store_get_flow(keep.store, touched->kept_id, load_flow, &batch, error);
	if (!result)
		result = batch.n ? apply_batch(&batch, error) : delete_flow(bridge, touched, error);
	batch_destroy(&batch);
	return result;
}

void flow_keep_undo(void)
{
	struct touched_flows touched = keep.touched;
	struct error error = { 0 };
	size_t at = touched.n;
	uint32_t words = touched.last;

	memset(&keep.touched, 0, sizeof(keep.touched));
	keep.in_request = false;
	flow_keep_pause(true);
	// Backwards: what was replaced last had been something else before.
	while (at) {
		const struct touched_flow *flow;

		at -= words;
		flow = (const struct touched_flow *)&touched.words[at];
		words = flow->previous;
		if (undo_flow(touched.bridges[flow->bridge], flow, &error))
			log_error("a flow could not be brought back after a failed request: %s",
				  error.message);
	}
	flow_keep_pause(false);
	touched_clear(&touched);
}
