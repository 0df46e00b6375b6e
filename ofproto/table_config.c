#include "ofproto/table_config.h"

#include "common/counters.h"
#include "common/error.h"
#include "common/hash.h"
#include "common/rcu.h"
#include "datapath/cache.h"
#include "flowtable/table_cost.h"
#include "ofproto/bridge_internal.h"
#include "ofproto/bundle_internal.h"
#include "ofproto/flow_mod.h"
#include "ofproto/learn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct table_config no_config;
static unsigned int paused;

void table_limits_pause(bool pause)
{
	paused = pause ? paused + 1 : paused - 1;
}

const struct table_config *bridge_table_config(const struct bridge *bridge, uint8_t table_id)
{
	const struct table_state *state = table_id < N_TABLES ? bridge->tables[table_id] : NULL;

	return state ? &state->config : &no_config;
}

int bridge_table_by_name(const struct bridge *bridge, const char *name)
{
	for (unsigned int id = 0; *name && id < N_TABLES; id++)
		if (bridge->tables[id] && !strcmp(bridge->tables[id]->config.name, name))
			return (int)id;
	return -1;
}

static uint32_t size_of(const struct bridge *bridge, uint8_t table_id)
{
	const struct table *table = bridge_table(bridge, table_id);

	return table ? table_size(table) : 0;
}

void bridge_table_counts(const struct bridge *bridge, uint8_t table_id, struct table_counts *counts)
{
	const uint32_t id = bridge->forwarding->table_counters[table_id];
	const struct table_state *state = bridge->tables[table_id];

	*counts = (struct table_counts){ 0 };
	if (id) {
		const struct counter sum = counter_read(id - 1);

		counts->lookups = sum.packets;
		counts->matches = sum.bytes;
	}
	if (state) {
		counts->evicted = state->n_evicted;
		counts->refused = state->n_refused;
	}
}

// --- Settings ---

static struct table_state *get_state(struct bridge *bridge, uint8_t table_id)
{
	if (!bridge->tables[table_id])
		bridge->tables[table_id] = calloc(1, sizeof(struct table_state));
	return bridge->tables[table_id];
}

static void forget_evictions(struct bridge *bridge, uint8_t table_id)
{
	struct table_state *state = bridge->tables[table_id];

	if (!state->eviction)
		return;
	for (uint32_t i = 0; i < bridge->n_timers; i++)
		if (bridge->timers[i].flow->table_id == table_id)
			bridge->timers[i].eviction = NULL;
	eviction_destroy(state->eviction);
	state->eviction = NULL;
}

// All flows with a timeout, which are those that have a timer.
static int collect_evictions(struct bridge *bridge, uint8_t table_id)
{
	struct table_state *state = bridge->tables[table_id];

	state->eviction = eviction_create(state->config.groups, state->config.n_groups);
	if (!state->eviction)
		return -ENOMEM;
	for (uint32_t i = 0; i < bridge->n_timers; i++)
		if (bridge->timers[i].flow->table_id == table_id &&
		    timeout_offer(bridge, &bridge->timers[i]) < 0)
			return -ENOMEM;
	return 0;
}

static bool same_groups(const struct table_config *a, const struct table_config *b)
{
	if (a->n_groups != b->n_groups)
		return false;
	for (unsigned int i = 0; i < a->n_groups; i++)
		if (a->groups[i].field != b->groups[i].field ||
		    a->groups[i].offset != b->groups[i].offset ||
		    a->groups[i].n_bits != b->groups[i].n_bits)
			return false;
	return true;
}

static void evict_surplus(struct bridge *bridge, uint8_t table_id)
{
	const struct table_state *state = bridge->tables[table_id];
	bool any = false;

	while (state->eviction && size_of(bridge, table_id) > state->config.limit) {
		struct flow *flow = eviction_choose(state->eviction);

		if (!flow)
			break;
		bridge->tables[table_id]->n_evicted++;
		flow_mod_expire(bridge, flow, FLOW_REMOVED_EVICTION);
		any = true;
	}
	if (any)
		learn_delete_orphans(bridge);
}

int bridge_set_table_config(struct bridge *bridge, uint8_t table_id,
			    const struct table_config *config)
{
	struct table_state *state = bridge->tables[table_id];
	bool evicts;
	int status = 0;

	if (!config)
		config = &no_config;
	if (!state && !memcmp(config, &no_config, sizeof(no_config)))
		return 0;
	state = get_state(bridge, table_id);
	if (!state)
		return -ENOMEM;
	evicts = config->has_limit && config->evicts;
	if (state->eviction && (!evicts || !same_groups(config, &state->config)))
		forget_evictions(bridge, table_id);
	state->config = *config;
	rcu_publish(&bridge->forwarding->miss[table_id], config->miss);
	forwarding_changed(bridge->forwarding);
	if (evicts && !state->eviction)
		status = collect_evictions(bridge, table_id);
	if (status < 0)
		forget_evictions(bridge, table_id);
	else
		evict_surplus(bridge, table_id);
	return status;
}

void bridge_tables_exit(struct bridge *bridge)
{
	for (unsigned int id = 0; id < N_TABLES; id++) {
		if (bridge->tables[id])
			eviction_destroy(bridge->tables[id]->eviction);
		free(bridge->tables[id]);
		bridge->tables[id] = NULL;
		if (bridge->forwarding->table_counters[id])
			counter_free(bridge->forwarding->table_counters[id] - 1);
	}
}

void table_count_evicted(struct bridge *bridge, uint8_t table_id)
{
	bridge->tables[table_id]->n_evicted++;
}

// --- Limits ---

bool table_limits_apply(const struct bridge *bridge, uint8_t table_id)
{
	return !paused && bridge_table_config(bridge, table_id)->has_limit;
}

static int refuse(const struct bridge *bridge, uint8_t table_id, struct error *error)
{
	const struct table_config *config = bridge_table_config(bridge, table_id);
	const char *name = config->name;

	bridge->tables[table_id]->n_refused++;
	if (config->evicts)
		return error_set(
			error, ENOSPC,
			"table %u%s%s%s of bridge '%s' is full: its flow_limit is %u, and no "
			"flow can be evicted, because only flows with an idle or hard "
			"timeout are",
			table_id, *name ? " (" : "", name, *name ? ")" : "", bridge->name,
			config->limit);
	return error_set(
		error, ENOSPC,
		"table %u%s%s%s of bridge '%s' is full: its flow_limit is %u; raise it, or "
		"let flows with a timeout give way (overflow_policy=evict)",
		table_id, *name ? " (" : "", name, *name ? ")" : "", bridge->name, config->limit);
}

// The flow that goes first. Those that a bundle takes out are gone already, but for packets.
static struct flow *choose(struct bridge *bridge, uint8_t table_id)
{
	const struct table_state *state = bridge->tables[table_id];
	struct flow *flow;

	if (!state->eviction || !state->config.limit)
		return NULL;
	while ((flow = eviction_choose(state->eviction)) && flow->state == FLOW_DYING)
		timeout_withdraw(bridge, flow);
	return flow;
}

int table_limits_make_room(struct bridge *bridge, uint8_t table_id, struct error *error)
{
	struct table_state *state = bridge->tables[table_id];

	if (!table_limits_apply(bridge, table_id))
		return 0;
	while (size_of(bridge, table_id) >= state->config.limit) {
		struct flow *flow = choose(bridge, table_id);

		if (!flow)
			return refuse(bridge, table_id, error);
		if (bridge->bundle) {
			if (bundle_evict_flow(bridge->bundle, flow) < 0)
				return error_set(error, ENOMEM, "out of memory");
			continue;
		}
		state->n_evicted++;
		flow_mod_expire(bridge, flow, FLOW_REMOVED_EVICTION);
	}
	return 0;
}

int table_limits_check_cost(const struct bridge *bridge, const struct flow *flow,
			    struct error *error)
{
	const struct table_config *config = bridge_table_config(bridge, flow->table_id);
	const struct table *table = bridge_table(bridge, flow->table_id);
	const char *name = config->name;
	bool is_new_mask;
	double cycles, before;

	if (paused || !config->max_cycles || !table)
		return 0;
	cycles = table_cost_with(table, flow, &is_new_mask);
	before = table_cost_of(table);
	if (cycles <= config->max_cycles || cycles <= before)
		return 0;
	bridge->tables[flow->table_id]->n_refused++;
	return error_set(
		error, ENOSPC,
		"table %u%s%s%s of bridge '%s': with this flow%s a lookup would cost about "
		"%.1f cycles for each packet (now %.1f), and its max_lookup_cycles is %u; "
		"raise it, match the same fields and bits as other flows of the table, or "
		"use another table (dump-tables --cost tells how this one is searched)",
		flow->table_id, *name ? " (" : "", name, *name ? ")" : "", bridge->name,
		is_new_mask ? ", whose mask no other flow has," : "", cycles, before,
		config->max_cycles);
}

bool table_limits_have_room(const struct bridge *bridge, uint8_t table_id, uint32_t pending)
{
	const struct table_state *state = bridge->tables[table_id];
	const uint64_t wanted = (uint64_t)size_of(bridge, table_id) + pending + 1;

	if (!table_limits_apply(bridge, table_id) || wanted <= state->config.limit)
		return true;
	if (state->eviction && state->config.limit &&
	    wanted - state->config.limit <= eviction_size(state->eviction))
		return true;
	bridge->tables[table_id]->n_refused++;
	return false;
}

// New flows of a list, so that those that replace each other count once.
struct seen {
	const struct flow **flows; // a power of two; open addressing
	uint32_t size;
};

static bool seen_before(struct seen *seen, const struct flow *flow)
{
	uint64_t hash = hash_word(hash_words(flow->values, flow->mask->n_words),
				  (uint64_t)flow->priority << 8 | flow->table_id);

	for (;; hash++) {
		const struct flow **at = &seen->flows[hash & (seen->size - 1)];

		if (!*at) {
			*at = flow;
			return false;
		}
		if ((*at)->mask == flow->mask && (*at)->priority == flow->priority &&
		    (*at)->table_id == flow->table_id &&
		    !memcmp((*at)->values, flow->values, flow->mask->n_words * sizeof(uint64_t)))
			return true;
	}
}

static bool refuses(const struct bridge *bridge, uint8_t table_id)
{
	return table_limits_apply(bridge, table_id) &&
	       !bridge_table_config(bridge, table_id)->evicts;
}

static bool comes_anew(const struct bridge *bridge, const struct flow *flow)
{
	const struct table *table = bridge_table(bridge, flow->table_id);

	return !table || !table_find_like(table, flow);
}

// What one change does to the sizes of tables; true if that cannot be told beforehand.
static bool simulate(const struct bridge *bridge, const struct flow_change *change,
		     struct seen *seen, int64_t sizes[N_TABLES], const struct flow **grown)
{
	const struct flow *flow = change->flow;

	*grown = NULL;
	if (change->remove) {
		sizes[change->remove->table_id]--;
		return false;
	}
	if (!flow)
		return true;
	if (flow->table_id < N_TABLES && refuses(bridge, flow->table_id) &&
	    comes_anew(bridge, flow) && !seen_before(seen, flow)) {
		sizes[flow->table_id]++;
		*grown = flow;
	}
	return false;
}

static bool any_refuses(const struct bridge *bridge)
{
	for (unsigned int id = 0; id < N_TABLES; id++)
		if (refuses(bridge, (uint8_t)id))
			return true;
	return false;
}

int table_limits_check(const struct bridge *bridge, const struct flow_change *changes,
		       unsigned int n, struct error *error)
{
	int64_t sizes[N_TABLES];
	struct seen seen = { .size = 16 };
	const struct flow *grown;
	int status = 0;

	if (!any_refuses(bridge))
		return 0;
	while (seen.size < 2 * (uint64_t)n)
		seen.size *= 2;
	seen.flows = calloc(seen.size, sizeof(struct flow *));
	if (!seen.flows)
		return error_set(error, ENOMEM, "out of memory");
	for (unsigned int id = 0; id < N_TABLES; id++)
		sizes[id] = size_of(bridge, (uint8_t)id);
	// Those that name a flow to remove go first when they are carried out, too.
	for (unsigned int i = 0; i < n; i++)
		if (changes[i].remove)
			simulate(bridge, &changes[i], &seen, sizes, &grown);
	for (unsigned int i = 0; !status && i < n; i++) {
		if (changes[i].remove)
			continue;
		if (simulate(bridge, &changes[i], &seen, sizes, &grown))
			break;
		if (!grown ||
		    sizes[grown->table_id] <= bridge_table_config(bridge, grown->table_id)->limit)
			continue;
		status = refuse(bridge, grown->table_id, error);
		if (error)
			error->line = (int)i + 1;
	}
	free(seen.flows);
	return status;
}
