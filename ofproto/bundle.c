#include "ofproto/bundle.h"

#include "common/clock.h"
#include "common/counters.h"
#include "common/error.h"
#include "common/rcu.h"
#include "datapath/cache.h"
#include "datapath/datapath.h"
#include "datapath/view.h"
#include "flowtable/program.h"
#include "ofproto/bridge_internal.h"
#include "ofproto/bundle_internal.h"
#include "ofproto/group_stage.h"
#include "ofproto/learn.h"
#include "ofproto/meter_stage.h"
#include "ofproto/table_config.h"

#include <errno.h>
#include <stdlib.h>

// What a bundle does to one place in a table. Several changes may have led there.
struct staged_flow {
	struct flow *old; // in force so far, or NULL
	struct flow
		*flow; // in force afterwards, or NULL; its kept_id is the index of this meanwhile
	uint64_t kept_id; // of `flow`, afterwards
	enum flow_removed_reason reason;
	bool modifies; // `flow` is `old` with another program, and counts where it does
	bool reset_counts;
};

struct bundle {
	struct bridge *bridge;
	struct staged_flow *flows; // in order
	size_t n, size;
	struct group_stage groups;
	struct group_table *group_table; // NULL: groups stay as they are
	struct meter_stage meters;
	uint32_t n_evicted[N_TABLES];
	uint16_t lines;
	bool failed; // no memory
};

// --- Staging: nothing that a worker or the observer sees ---

static struct table *table_of(const struct bundle *bundle, const struct flow *flow)
{
	return bundle->bridge->forwarding->tables[flow->table_id];
}

static struct staged_flow *staged_of(const struct bundle *bundle, const struct flow *flow)
{
	return &bundle->flows[flow->kept_id];
}

// Room for one more; it becomes the list's with stage().
static struct staged_flow *reserve(struct bundle *bundle)
{
	struct staged_flow *flows;
	size_t size = bundle->size ? bundle->size * 2 : 64;

	if (bundle->n == bundle->size) {
		flows = realloc(bundle->flows, size * sizeof(*flows));
		if (!flows)
			return NULL;
		bundle->flows = flows;
		bundle->size = size;
	}
	return &bundle->flows[bundle->n];
}

static void stage(struct bundle *bundle, struct staged_flow staged)
{
	if (staged.flow)
		staged.flow->kept_id = bundle->n;
	bundle->flows[bundle->n++] = staged;
}

// A flow that this bundle made is not to be after all. It is out of its table.
static void drop_made(struct bundle *bundle, struct staged_flow *staged)
{
	struct flow *flow = staged->flow;

	flow_mod_take_back(bundle->bridge, flow);
	if (staged->modifies)
		flow->counter = COUNTER_NONE;
	flow_defer_free(flow);
	staged->flow = NULL;
	staged->modifies = false;
}

// Put the flow into the table, in the place of `old` unless that is NULL.
static int insert(struct table *table, struct flow *flow, struct flow *old)
{
	if (old)
		table_remove_staged(table, old);
	if (!table_insert_staged(table, flow, old))
		return 0;
	if (old)
		table_restore(table, old);
	return -ENOMEM;
}

int bundle_add_flow(struct bundle *bundle, struct table *table, struct flow *flow)
{
	struct bridge *bridge = bundle->bridge;
	struct flow *old = table_find_like(table, flow);
	struct staged_flow *staged = reserve(bundle);

	if (!staged || flow_mod_take_in(bridge, flow) < 0) {
		learn_removed(bridge, flow);
		return -ENOMEM;
	}
	if (old && old->state == FLOW_NEW) {
		staged = staged_of(bundle, old);
		flow->kept_id = old->kept_id;
		flow_set_state(flow, FLOW_NEW);
		if (table_replace(table, old, flow) < 0) {
			flow_mod_take_back(bridge, flow);
			return -ENOMEM;
		}
		drop_made(bundle, staged);
		staged->flow = flow;
		return 0;
	}
	if (insert(table, flow, old) < 0) {
		flow_mod_take_back(bridge, flow);
		return -ENOMEM;
	}
	stage(bundle, (struct staged_flow){
			      .old = old,
			      .flow = flow,
			      .kept_id = old ? old->kept_id : flow->kept_id,
		      });
	return 0;
}

// A flow that the bundle did not make goes on beside the one with the new program.
static int modify_beside(struct bundle *bundle, struct flow *old, const struct flow_text *text,
			 struct program *program)
{
	struct bridge *bridge = bundle->bridge;
	struct flow *flow = reserve(bundle) ? flow_create_beside(old, program) : NULL;

	if (!flow) {
		program_free(program);
		return -ENOMEM;
	}
	if (text->has_new_cookie)
		flow->cookie = text->new_cookie;
	flow->modified_ns = clock_monotonic_ns();
	if (flow_mod_take_in(bridge, flow) < 0) {
		flow->counter = COUNTER_NONE;
		flow_free(flow);
		return -ENOMEM;
	}
	if (insert(table_of(bundle, old), flow, old) < 0) {
		flow_mod_take_back(bridge, flow);
		flow->counter = COUNTER_NONE;
		flow_defer_free(flow);
		return -ENOMEM;
	}
	stage(bundle, (struct staged_flow){
			      .old = old,
			      .flow = flow,
			      .kept_id = old->kept_id,
			      .modifies = true,
			      .reset_counts = text->flags & FLOW_FLAG_RESET_COUNTS,
		      });
	return 0;
}

// A flow that the bundle made gets its first conjunctions, or loses its last ones: tables hold it in
// another way, so that another flow takes its place.
static int modify_kind(struct bundle *bundle, struct flow *old, const struct flow_text *text,
		       struct program *program)
{
	struct staged_flow *staged = staged_of(bundle, old);
	struct flow *flow = flow_create_beside(old, program);

	if (!flow) {
		program_free(program);
		return -ENOMEM;
	}
	if (text->has_new_cookie)
		flow->cookie = text->new_cookie;
	if (flow_mod_take_in(bundle->bridge, flow) < 0) {
		flow->counter = COUNTER_NONE;
		flow_free(flow);
		return -ENOMEM;
	}
	flow_set_state(flow, FLOW_NEW);
	flow->kept_id = old->kept_id;
	if (table_replace(table_of(bundle, old), old, flow) < 0) {
		flow_mod_take_back(bundle->bridge, flow);
		flow->counter = COUNTER_NONE;
		flow_free(flow);
		return -ENOMEM;
	}
	flow_mod_take_back(bundle->bridge, old);
	old->counter = COUNTER_NONE;
	flow_defer_free(old);
	staged->flow = flow;
	staged->reset_counts |= (text->flags & FLOW_FLAG_RESET_COUNTS) != 0;
	return 0;
}

int bundle_modify_flow(struct bundle *bundle, struct flow *flow, const struct flow_text *text,
		       struct program *program)
{
	if (flow->state != FLOW_NEW)
		return modify_beside(bundle, flow, text, program);
	if ((flow->program->flags ^ program->flags) & PROGRAM_CONJUNCTION)
		return modify_kind(bundle, flow, text, program);
	if (flow_mod_set_program(bundle->bridge, flow, text, program) < 0)
		return -ENOMEM;
	if (text->flags & FLOW_FLAG_RESET_COUNTS)
		staged_of(bundle, flow)->reset_counts = true;
	return 0;
}

void bundle_remove_flow(struct bundle *bundle, struct flow *flow, enum flow_removed_reason reason)
{
	struct table *table = table_of(bundle, flow);
	struct staged_flow *staged;

	if (flow->state == FLOW_NEW) {
		staged = staged_of(bundle, flow);
		staged->reason = reason;
		table_remove(table, flow);
		drop_made(bundle, staged);
	} else if (reserve(bundle)) {
		table_remove_staged(table, flow);
		stage(bundle, (struct staged_flow){ .old = flow, .reason = reason });
	} else {
		bundle->failed = true;
	}
}

int bundle_evict_flow(struct bundle *bundle, struct flow *flow)
{
	const uint8_t table_id = flow->table_id;

	bundle_remove_flow(bundle, flow, FLOW_REMOVED_EVICTION);
	if (bundle->failed)
		return -ENOMEM;
	bundle->n_evicted[table_id]++;
	return 0;
}

static int change_group(struct bundle *bundle, struct group_mod *mod, unsigned int number,
			struct error *error)
{
	struct bridge *bridge = bundle->bridge;

	if (!bridge->staged_groups) {
		int status = group_stage_begin(&bundle->groups, bridge, error);

		if (status)
			return status;
		bridge->staged_groups = &bundle->groups;
	}
	return group_stage_change(bridge, &bundle->groups, mod, number, error);
}

static int change_meter(struct bundle *bundle, const struct meter_mod *mod, struct error *error)
{
	struct bridge *bridge = bundle->bridge;

	if (!bridge->staged_meters) {
		int status = meter_stage_begin(&bundle->meters, bridge, error);

		if (status)
			return status;
		bridge->staged_meters = &bundle->meters;
	}
	return meter_stage_change(&bundle->meters, mod, error);
}

static int change_flow(struct bundle *bundle, struct flow_change *change, struct error *error)
{
	int status = flow_mod_check(bundle->bridge, change, &bundle->lines, error);

	return status < 0 ? status : flow_mod_change(bundle->bridge, change, error);
}

static int change(struct bundle *bundle, const struct bundle_change *change, unsigned int number,
		  struct error *error)
{
	int status;

	if (change->flow)
		status = change_flow(bundle, change->flow, error);
	else if (change->group)
		status = change_group(bundle, change->group, number, error);
	else if (change->meter)
		status = change_meter(bundle, change->meter, error);
	else
		status = packet_out_check(change->packet_out, error);
	if (!status && bundle->failed)
		status = error_set(error, ENOMEM, "out of memory");
	return status;
}

// What workers get in place of their tables of groups and meters.
static int make_tables(struct bundle *bundle, struct error *error)
{
	const struct bridge *bridge = bundle->bridge;
	int status = 0;

	if (bridge->staged_groups)
		status = group_stage_check(&bundle->groups, error);
	if (!status && bridge->staged_meters)
		status = meter_stage_make(&bundle->meters, error);
	// The last of all that can fail: what it makes is not taken back.
	if (!status && bridge->staged_groups)
		status = group_stage_make(&bundle->groups, &bundle->group_table, &bundle->lines,
					  error);
	return status;
}

// Where room is scarce, flows go before others come.
static bool goes_first(const struct bundle *bundle, const struct bundle_change *change)
{
	const struct flow *flow = change->flow ? change->flow->remove : NULL;

	return flow && table_limits_apply(bundle->bridge, flow->table_id);
}

static int prepare(struct bundle *bundle, const struct bundle_change *changes, unsigned int n,
		   struct error *error)
{
	int status = 0;

	for (unsigned int i = 0; i < n && !status; i++)
		if (goes_first(bundle, &changes[i]))
			status = change(bundle, &changes[i], i + 1, error);
	for (unsigned int i = 0; i < n && !status; i++) {
		status = change(bundle, &changes[i], i + 1, error);
		if (status && error)
			error->line = (int)i + 1;
	}
	return status ? status : make_tables(bundle, error);
}

// --- One way or the other ---

static void take_back(struct bundle *bundle)
{
	for (size_t i = bundle->n; i-- > 0;) {
		struct staged_flow *staged = &bundle->flows[i];

		if (staged->flow) {
			table_remove(table_of(bundle, staged->flow), staged->flow);
			drop_made(bundle, staged);
		}
		if (!staged->old)
			continue;
		table_restore(table_of(bundle, staged->old), staged->old);
		// Without memory it is offered for eviction again in a second.
		timeout_change(bundle->bridge, staged->old);
	}
	learn_forget_orphans(bundle->bridge);
}

// The flow goes on where `old` ends.
static void inherit(struct bundle *bundle, const struct staged_flow *staged)
{
	struct flow *flow = staged->flow, *old = staged->old;

	timeout_take_over(bundle->bridge, flow, old);
	learn_changed(old);
	flow->learned = old->learned;
	old->learned = NULL;
	old->counter = COUNTER_NONE; // no worker is at it any more
}

static void finish_flow(struct bundle *bundle, const struct staged_flow *staged)
{
	struct flow *flow = staged->flow, *old = staged->old;
	struct bridge *bridge = bundle->bridge;

	if (flow) {
		table_keep(flow);
		flow->kept_id = staged->modifies ? staged->kept_id : 0;
	}
	if (staged->modifies)
		inherit(bundle, staged);
	if (flow && staged->reset_counts) {
		flow_reset_counts(flow);
		timeout_counts_reset(bridge, flow);
	}
	if (staged->modifies)
		flow_mod_tell_modified(bridge, flow);
	else if (flow)
		flow_mod_tell_added(bridge, flow, old);
	else if (old)
		flow_mod_tell_removed(bridge, old, staged->reason);
	if (old)
		flow_mod_take_out(bridge, old);
}

// From here on nothing can fail.
static void commit(struct bundle *bundle)
{
	struct forwarding *forwarding = bundle->bridge->forwarding;

	bridge_make_lines_live(bundle->bridge, bundle->lines);
	rcu_publish(&forwarding->groups_after, bundle->group_table);
	if (bundle->bridge->staged_meters) {
		rcu_publish(&forwarding->meters_after, bundle->meters.table);
		meter_stage_follow(&bundle->meters);
	}
	workers_set_view(VIEW_AFTER); // this is the change
	workers_synchronize();
	for (size_t i = 0; i < bundle->n; i++)
		finish_flow(bundle, &bundle->flows[i]);
	for (unsigned int id = 0; id < N_TABLES; id++)
		for (uint32_t i = 0; i < bundle->n_evicted[id]; i++)
			table_count_evicted(bundle->bridge, (uint8_t)id);
	if (bundle->group_table)
		group_stage_publish(bundle->bridge, &bundle->groups, bundle->group_table);
	rcu_publish(&forwarding->groups_after, (struct group_table *)NULL);
	if (bundle->bridge->staged_meters)
		meter_stage_publish(&bundle->meters);
	rcu_publish(&forwarding->meters_after, (struct meter_table *)NULL);
	// Before workers look up without a view, and ask the cache, again.
	forwarding_changed(forwarding);
}

static void end_stages(struct bundle *bundle)
{
	if (bundle->bridge->staged_groups)
		group_stage_end(&bundle->groups);
	if (bundle->bridge->staged_meters)
		meter_stage_end(&bundle->meters);
	bundle->bridge->staged_groups = NULL;
	bundle->bridge->staged_meters = NULL;
}

int bundle_apply(struct bridge *bridge, const struct bundle_change *changes, unsigned int n,
		 struct error *error)
{
	struct bundle bundle = { .bridge = bridge };
	int status;

	workers_set_view(VIEW_BEFORE);
	workers_synchronize();
	bridge->bundle = &bundle;
	status = prepare(&bundle, changes, n, error);
	if (status)
		take_back(&bundle);
	else
		commit(&bundle);
	workers_set_view(VIEW_NONE);
	end_stages(&bundle);
	bridge->bundle = NULL;
	free(bundle.flows);
	if (!status)
		learn_delete_orphans(bridge);
	for (unsigned int i = 0; i < n && !status; i++)
		if (changes[i].packet_out)
			packet_out_send(changes[i].packet_out);
	rcu_reclaim();
	return status;
}

static int apply_list(struct bridge *bridge, struct bundle_change first, unsigned int n,
		      struct error *error)
{
	struct bundle_change *changes = calloc(n + 1, sizeof(*changes));
	int status;

	if (!changes)
		return error_set(error, ENOMEM, "out of memory");
	for (unsigned int i = 0; i < n; i++)
		changes[i] = (struct bundle_change){
			.flow = first.flow ? &first.flow[i] : NULL,
			.group = first.group ? &first.group[i] : NULL,
			.meter = first.meter ? &first.meter[i] : NULL,
		};
	status = bundle_apply(bridge, changes, n, error);
	free(changes);
	return status;
}

int bundle_apply_flows(struct bridge *bridge, struct flow_change *changes, unsigned int n,
		       struct error *error)
{
	return apply_list(bridge, (struct bundle_change){ .flow = changes }, n, error);
}

int bundle_apply_groups(struct bridge *bridge, struct group_mod *mods, unsigned int n,
			struct error *error)
{
	return apply_list(bridge, (struct bundle_change){ .group = mods }, n, error);
}

int bundle_apply_meters(struct bridge *bridge, struct meter_mod *mods, unsigned int n,
			struct error *error)
{
	return apply_list(bridge, (struct bundle_change){ .meter = mods }, n, error);
}
