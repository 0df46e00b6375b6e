#include "ofproto/group.h"

#include "common/error.h"
#include "common/rcu.h"
#include "common/text.h"
#include "datapath/cache.h"
#include "datapath/datapath.h"
#include "ofproto/bridge_internal.h"
#include "ofproto/flow_mod.h"
#include "ofproto/group_stage.h"
#include "ofproto/learn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct group_observer observer;

void group_mod_set_observer(const struct group_observer *new_observer)
{
	observer = new_observer ? *new_observer : (struct group_observer){ 0 };
}

const struct group_table *bridge_group_table(const struct bridge *bridge)
{
	return bridge->forwarding->groups;
}

struct group *bridge_group(const struct bridge *bridge, uint32_t id)
{
	return group_find(bridge->forwarding->groups, id);
}

// --- Flows ---

// Call visit() for each flow that goes to a group for which `chosen` says so.
static unsigned int each_flow_of(const struct bridge *bridge,
				 int (*chosen)(void *context, uint32_t id), void *context,
				 void (*visit)(void *context, struct flow *flow),
				 void *visit_context)
{
	unsigned int n = 0;

	for (unsigned int t = 0; t < N_TABLES; t++) {
		const struct table *table = bridge_table(bridge, (uint8_t)t);
		struct flow *next;

		for (struct flow *flow = table ? table_first(table) : NULL; flow; flow = next) {
			next = table_next(table, flow);
			if (!program_each_group(flow->program, chosen, context))
				continue;
			n++;
			if (visit)
				visit(visit_context, flow);
		}
	}
	return n;
}

static unsigned int each_flow(const struct bridge *bridge,
			      int (*chosen)(void *context, uint32_t id), void *context,
			      void (*visit)(void *context, struct flow *flow))
{
	return each_flow_of(bridge, chosen, context, visit, context);
}

static int is_id(void *context, uint32_t id)
{
	return id == *(const uint32_t *)context;
}

unsigned int group_count_flows(const struct bridge *bridge, uint32_t id)
{
	return each_flow(bridge, is_id, &id, NULL);
}

struct removal {
	struct bridge *bridge;
	const struct group_stage *stage;
};

static int is_gone(void *context, uint32_t id)
{
	return group_stage_deletes(((const struct removal *)context)->stage, id);
}

static void remove_flow(void *context, struct flow *flow)
{
	flow_mod_expire(((struct removal *)context)->bridge, flow, FLOW_REMOVED_GROUP_DELETE);
}

struct program_check {
	const struct bridge *bridge;
	struct error *error;
};

static int check_group(void *context, uint32_t id)
{
	const struct program_check *check = context;

	if (check->bridge->staged_groups ? group_stage_has(check->bridge->staged_groups, id)
					 : bridge_group(check->bridge, id) != NULL)
		return 0;
	return error_set(check->error, ENOENT,
			 "bridge '%s' has no group %u: add it first (vsctl add-group %s ...)",
			 check->bridge->name, id, check->bridge->name);
}

int group_check_program(const struct bridge *bridge, const struct program *program,
			struct error *error)
{
	struct program_check check = { bridge, error };

	return program_each_group(program, check_group, &check);
}

// --- Life ---

enum { NOT_VISITED, ALIVE, DEAD };

static bool port_is_live(const struct forwarding *forwarding, uint32_t ofport)
{
	const struct forwarding_port *port =
		ofport == OFPP_ANY ? NULL : forwarding_port(forwarding, ofport);

	return port && port->admin_up && port->vport->status.link_up;
}

// A group is alive if one of its buckets is. Groups watch each other without loops, so this ends;
// each is looked at once.
static bool refresh_group(const struct forwarding *forwarding, const struct group_table *table,
			  struct group *group, bool *changed)
{
	if (!group || group->visit)
		return group && group->visit == ALIVE;
	group->visit = DEAD;
	for (unsigned int i = 0; i < group->n_buckets; i++) {
		const struct bucket_text *text = &group->text.buckets[i];
		bool live = text->watch_port == OFPP_ANY && text->watch_group == GROUP_ID_ANY;

		if (!live)
			live = port_is_live(forwarding, text->watch_port);
		if (!live && text->watch_group != GROUP_ID_ANY)
			live = refresh_group(forwarding, table,
					     group_find(table, text->watch_group), changed);
		*changed |= group->buckets[i].live != live;
		__atomic_store_n(&group->buckets[i].live, live, __ATOMIC_RELAXED);
		if (live)
			group->visit = ALIVE;
	}
	return group->visit == ALIVE;
}

// True if a bucket came to life or died.
static bool refresh_table(const struct forwarding *forwarding, const struct group_table *table)
{
	bool changed = false;

	for (uint32_t i = 0; table && i < table->n; i++)
		table->all[i]->visit = NOT_VISITED;
	for (uint32_t i = 0; table && i < table->n; i++)
		refresh_group(forwarding, table, table->all[i], &changed);
	return changed;
}

void groups_refresh(void)
{
	for (struct bridge *bridge = bridge_first(); bridge; bridge = bridge_next(bridge))
		if (refresh_table(bridge->forwarding, bridge->forwarding->groups))
			forwarding_changed(bridge->forwarding);
}

// --- Changing ---

static uint16_t lines_of(const struct group_table *table)
{
	uint16_t lines = 0;

	for (uint32_t i = 0; i < table->n; i++)
		lines |= table->all[i]->lines;
	return lines;
}

// Compile what is new. On failure what was compiled is freed.
static int compile(struct group_stage *stage, struct error *error)
{
	for (uint32_t i = 0; i < stage->n; i++) {
		struct staged_group *staged = &stage->groups[i];

		if (!staged->change || staged->gone)
			continue;
		staged->made = group_create(&staged->text, staged->deleted ? NULL : staged->old);
		if (staged->made)
			continue;
		while (i-- > 0)
			group_free(stage->groups[i].made);
		return error_set(error, ENOMEM, "out of memory");
	}
	return 0;
}

static struct group_table *make_table(const struct group_stage *stage)
{
	struct group **groups = calloc(stage->n + 1, sizeof(struct group *));
	struct group_table *table = NULL;
	uint32_t n = 0;

	for (uint32_t i = 0; groups && i < stage->n; i++)
		if (!stage->groups[i].gone)
			groups[n++] = stage->groups[i].made ? stage->groups[i].made
							    : stage->groups[i].old;
	if (groups)
		table = group_table_create(groups, n);
	free(groups);
	return table;
}

// The old groups are freed when no worker looks at them any more.
static void retire(struct bridge *bridge, struct group_stage *stage)
{
	for (uint32_t i = 0; i < stage->n; i++) {
		struct staged_group *staged = &stage->groups[i];

		if (!staged->change)
			continue;
		if (staged->made && staged->old && !staged->deleted)
			group_take_counters(staged->made, staged->old);
		if (staged->old)
			rcu_defer(group_free, staged->old);
		if (staged->made && observer.changed)
			observer.changed(observer.context, bridge, staged->made);
		else if (!staged->made && staged->old && observer.removed)
			observer.removed(observer.context, bridge, staged->id);
	}
}

int group_stage_make(struct group_stage *stage, struct group_table **table, uint16_t *lines,
		     struct error *error)
{
	int status = compile(stage, error);

	if (status)
		return status;
	*table = make_table(stage);
	if (!*table) {
		for (uint32_t i = 0; i < stage->n; i++)
			group_free(stage->groups[i].made);
		return error_set(error, ENOMEM, "out of memory");
	}
	refresh_table(stage->bridge->forwarding, *table);
	*lines |= lines_of(*table);
	for (uint32_t i = 0; i < (*table)->n; i++)
		if ((*table)->all[i]->type == GROUP_SELECT)
			stage->bridge->has_new_bits |=
				cache_bits_add_choice(stage->bridge->bits, (*table)->all[i]);
	return 0;
}

void group_stage_publish(struct bridge *bridge, struct group_stage *stage,
			 struct group_table *table)
{
	struct group_table *old = bridge->forwarding->groups;

	rcu_publish(&bridge->forwarding->groups, table);
	forwarding_changed(bridge->forwarding);
	rcu_defer(free, old);
	retire(bridge, stage);
}

static int goes_to(void *context, uint32_t id)
{
	const uint32_t wanted = *(const uint32_t *)context;

	return wanted == GROUP_ID_ALL || wanted == id;
}

int group_stage_change(struct bridge *bridge, struct group_stage *stage, struct group_mod *mod,
		       unsigned int number, struct error *error)
{
	struct removal removal = { .bridge = bridge };
	uint32_t id = mod->text.group_id;

	if (mod->command == GROUP_MOD_DELETE && (id == GROUP_ID_ALL || group_stage_has(stage, id)))
		each_flow_of(bridge, goes_to, &id, remove_flow, &removal);
	return group_stage_apply(stage, mod, number, error);
}

static int commit(struct bridge *bridge, struct group_stage *stage, struct error *error)
{
	struct removal removal = { .bridge = bridge, .stage = stage };
	struct group_table *table;
	uint16_t lines = 0;
	int status = group_stage_make(stage, &table, &lines, error);

	if (status)
		return status;
	bridge_make_lines_live(bridge, lines);
	if (stage->deletes)
		each_flow(bridge, is_gone, &removal, remove_flow);
	group_stage_publish(bridge, stage, table);
	learn_delete_orphans(bridge); // the flows that went may have had learn actions
	workers_synchronize();
	rcu_reclaim();
	return 0;
}

int group_mod_apply(struct bridge *bridge, struct group_mod *mods, unsigned int n,
		    struct error *error)
{
	struct group_stage stage;
	int status = group_stage_begin(&stage, bridge, error);

	for (unsigned int i = 0; i < n && !status; i++)
		status = group_stage_apply(&stage, &mods[i], i + 1, error);
	if (!status)
		status = group_stage_check(&stage, error);
	if (!status)
		status = commit(bridge, &stage, error);
	group_stage_end(&stage);
	return status;
}

void bridge_groups_destroy(struct bridge *bridge)
{
	struct group_table *table = bridge->forwarding->groups;

	for (uint32_t i = 0; table && i < table->n; i++)
		group_free(table->all[i]);
	free(table);
	bridge->forwarding->groups = NULL;
}
