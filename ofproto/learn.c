// From what workers ask for to flows.
#include "ofproto/learn.h"

#include "common/clock.h"
#include "common/error.h"
#include "common/log.h"
#include "datapath/datapath.h"
#include "ofproto/bridge_internal.h"
#include "ofproto/flow_mod.h"
#include "ofproto/learn_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// So many flows are made with one wait for the workers.
#define BATCH_SIZE 128

// New flows of one bridge, and what was asked.
static struct batch {
	struct bridge *bridge;
	unsigned int n;
	struct flow_mod *mods;
	struct learn_request requests[BATCH_SIZE];
} batch;

int bridges_learn_fd(void)
{
	return workers_learn_fd();
}

static void settle(const struct learn_request *request)
{
	if (request->group)
		__atomic_fetch_sub(&request->group->n_pending, 1, __ATOMIC_RELEASE);
}

// The change is made: whoever asked knows the flow from now on.
static void finish(struct bridge *bridge, struct flow_mod *mod, const struct learn_request *request)
{
	struct learn_rule *rule = learn_rule_of(request);
	const struct table *table = bridge_table(bridge, mod->text.table_id);
	struct flow *flow = table ? table_find(table, &mod->text.match, mod->text.priority) : NULL;

	// Without memory for the entry the worker just asks again.
	if (rule && flow)
		learn_entry_add(rule, flow, request);
	learn_link_free(bridge, mod->text.learned); // there was a flow already
	mod->text.learned = NULL;
	flow_text_release(&mod->text);
	settle(request);
}

static void flush(void)
{
	struct bridge *bridge = batch.bridge;
	const unsigned int n = batch.n;
	struct error error = { 0 };

	batch.n = 0;
	if (!n)
		return;
	if (flow_mod_apply(bridge, batch.mods, n, &error) < 0)
		log_warning("bridge %s: learned flows could not be added: %s", bridge_name(bridge),
			    error.message);
	for (unsigned int i = 0; i < n; i++)
		finish(bridge, &batch.mods[i], &batch.requests[i]);
}

static bool same_program(const struct program *a, const struct program *b)
{
	return a->size == b->size && !memcmp(a->ops, b->ops, a->size);
}

// New flows for the table that are not yet in it.
static uint32_t count_batched(uint8_t table_id)
{
	uint32_t count = 0;

	for (unsigned int i = 0; i < batch.n; i++)
		count += batch.mods[i].text.learned && batch.mods[i].text.table_id == table_id;
	return count;
}

// Count the new flow before it is there, so that limits are exact. NULL: it may not be made.
static struct learn_link *reserve(struct learn_rule *rule, const struct learn_request *request)
{
	struct learn_group *group = rule->group;
	const struct table *table = bridge_table(rule->bridge, group->table_id);
	struct learn_link *link;

	if (!learn_has_room(rule->op, group, group->n_flows, request->in_port))
		return NULL;
	// Many groups may learn into one table.
	if (!rule->op->limit && table && table_size(table) >= LEARN_TABLE_LIMIT)
		return NULL;
	if (table_limits_apply(rule->bridge, group->table_id) &&
	    !table_limits_have_room(rule->bridge, group->table_id, count_batched(group->table_id)))
		return NULL;
	link = calloc(1, sizeof(*link));
	if (!link)
		return NULL;
	link->group = group;
	link->in_port = request->in_port;
	rcu_publish(&group->n_flows, group->n_flows + 1);
	rule->bridge->learn->by_port[request->in_port]++;
	return link;
}

// As modify-strict does it (ovs-actions(7), learn): a flow with this match gets the new actions and
// the cookie, and keeps its timeouts; if there is none it is added.
static void handle(void *context, const struct learn_request *request)
{
	struct learn_rule *rule = learn_rule_of(request);
	struct flow_mod *mod;
	struct flow *flow;
	const struct table *table;

	(void)context;
	if (!rule) { // the action is gone
		settle(request);
		return;
	}
	if (batch.n == BATCH_SIZE || (batch.n && batch.bridge != rule->bridge))
		flush();
	mod = &batch.mods[batch.n];
	if (learn_make_flow(rule->op, request->values, &mod->text) < 0) {
		settle(request);
		return;
	}
	mod->command = FLOW_MODIFY_STRICT;
	mod->text.new_cookie = mod->text.cookie;
	mod->text.has_new_cookie = true;
	table = bridge_table(rule->bridge, mod->text.table_id);
	flow = table ? table_find(table, &mod->text.match, mod->text.priority) : NULL;
	if (flow && flow->cookie == mod->text.cookie &&
	    same_program(flow->program, mod->text.program)) {
		flow->modified_ns = clock_monotonic_ns();
		finish(rule->bridge, mod, request);
		return;
	}
	if (!flow)
		mod->text.learned = reserve(rule, request);
	if (!flow && !mod->text.learned) {
		flow_text_release(&mod->text);
		settle(request);
		return;
	}
	batch.bridge = rule->bridge;
	batch.requests[batch.n++] = *request;
}

static unsigned int drain(void)
{
	const unsigned int n = workers_drain_learned(handle, NULL);

	flush();
	return n;
}

bool bridges_learn(void)
{
	if (!batch.mods)
		batch.mods = aligned_alloc(64, BATCH_SIZE * sizeof(*batch.mods));
	if (!batch.mods)
		return true; // later
	if (drain())
		return true;
	// What comes now rings again, and what came just before is still found.
	workers_rest_learned();
	return drain() > 0;
}

static void delete_group(struct bridge *bridge, const struct learn_group *group)
{
	struct flow_mod *mod = aligned_alloc(64, sizeof(*mod));
	struct error error = { 0 };

	if (!mod)
		return;
	memset(mod, 0, sizeof(*mod));
	mod->command = FLOW_DELETE;
	mod->text.table_id = group->table_id;
	mod->text.has_table = true;
	mod->text.cookie = group->cookie;
	mod->text.cookie_mask = UINT64_MAX;
	mod->text.out_port = OFPP_ANY;
	mod->text.out_group = OFPP_ANY;
	if (flow_mod_apply(bridge, mod, 1, &error) < 0)
		log_warning("bridge %s: learned flows could not be deleted: %s",
			    bridge_name(bridge), error.message);
	free(mod);
}

void learn_forget_orphans(struct bridge *bridge)
{
	if (!bridge->learn)
		return;
	bridge->learn->has_orphans = false;
	for (struct learn_group *group = bridge->learn->groups; group; group = group->next)
		group->delete_now = false;
}

void learn_delete_orphans(struct bridge *bridge)
{
	struct learn_bridge *state = bridge->learn;

	// Deleting may take out learn actions too, and leave more behind.
	while (state && state->has_orphans) {
		state->has_orphans = false;
		for (struct learn_group *group = state->groups; group; group = group->next) {
			if (!group->delete_now)
				continue;
			group->delete_now = false;
			if (!group->n_deleting)
				delete_group(bridge, group);
		}
	}
}
