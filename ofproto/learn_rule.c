// Installed learn actions, their groups, and the flows that they know.
#include "ofproto/learn.h"

#include "ofproto/bridge_internal.h"
#include "ofproto/learn_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MIN_BUCKETS 64
// A group that nothing refers to is freed after so many seconds: workers have forgotten it then.
#define GROUP_IDLE_SWEEPS 3

// Slots of rules; one that is free has rule == NULL and is used again with another generation.
static struct {
	struct slot {
		struct learn_rule *rule;
		uint32_t generation;
		uint32_t next_free;
	} * slots;
	uint32_t n, size;
	uint32_t first_free; // UINT32_MAX: none
} rules = { .first_free = UINT32_MAX };

struct learn_rule *learn_rule_of(const struct learn_request *request)
{
	const struct slot *slot = request->slot < rules.n ? &rules.slots[request->slot] : NULL;

	return slot && slot->generation == request->generation ? slot->rule : NULL;
}

static int slot_take(struct learn_rule *rule)
{
	uint32_t i = rules.first_free;

	if (i == UINT32_MAX) {
		if (rules.n == rules.size) {
			const uint32_t size = rules.size ? rules.size * 2 : 64;
			struct slot *slots = realloc(rules.slots, size * sizeof(*slots));

			if (!slots)
				return -ENOMEM;
			rules.slots = slots;
			rules.size = size;
		}
		i = rules.n++;
		rules.slots[i] = (struct slot){ .generation = 1 };
	} else {
		rules.first_free = rules.slots[i].next_free;
	}
	rules.slots[i].rule = rule;
	rule->slot = i;
	rule->generation = rules.slots[i].generation;
	return 0;
}

static void slot_give(uint32_t i)
{
	rules.slots[i].rule = NULL;
	rules.slots[i].generation++;
	rules.slots[i].next_free = rules.first_free;
	rules.first_free = i;
}

// --- Groups ---

static struct learn_bridge *bridge_state(struct bridge *bridge)
{
	// Pages of ports that teach nothing are never touched.
	if (!bridge->learn)
		bridge->learn = calloc(1, sizeof(*bridge->learn));
	return bridge->learn;
}

static struct learn_group *group_get(struct bridge *bridge, const struct op_learn *op)
{
	struct learn_bridge *state = bridge_state(bridge);
	struct learn_group *group = state ? state->groups : NULL;

	while (group && (group->cookie != op->cookie || group->table_id != op->table_id))
		group = group->next;
	if (group || !state)
		return group;
	group = calloc(1, sizeof(*group));
	if (!group)
		return NULL;
	group->cookie = op->cookie;
	group->table_id = op->table_id;
	group->by_port = state->by_port;
	group->next = state->groups;
	state->groups = group;
	return group;
}

void learn_sweep(struct bridge *bridge)
{
	struct learn_group **link = bridge->learn ? &bridge->learn->groups : NULL;

	while (link && *link) {
		struct learn_group *group = *link;
		const uint32_t pending = __atomic_load_n(&group->n_pending, __ATOMIC_ACQUIRE);

		if (group->n_rules || group->n_flows || pending || group->delete_now)
			group->idle_sweeps = 0;
		else
			group->idle_sweeps++;
		if (group->idle_sweeps > GROUP_IDLE_SWEEPS) {
			*link = group->next;
			rcu_defer(free, group);
		} else {
			link = &group->next;
		}
	}
}

// --- Rules ---

static void rule_create(struct bridge *bridge, struct op_learn *op, int *error)
{
	struct learn_group *group = group_get(bridge, op);
	struct learn_rule *rule = group ? calloc(1, sizeof(*rule)) : NULL;

	if (!rule || slot_take(rule) < 0) {
		free(rule);
		*error = -ENOMEM;
		return;
	}
	rule->op = op;
	rule->bridge = bridge;
	rule->group = group;
	group->n_rules++;
	group->n_deleting += op->flags & LEARN_DELETE_LEARNED ? 1 : 0;
	op->rule = rule;
}

static void free_rule(void *pointer)
{
	struct learn_rule *rule = pointer;

	free(rule->buckets);
	free(rule);
}

static void rule_destroy(struct learn_rule *rule)
{
	struct learn_group *group = rule->group;

	for (uint32_t b = 0; rule->buckets && b <= rule->buckets->mask; b++)
		while (rule->buckets->heads[b])
			learn_entry_remove(rule->buckets->heads[b]);
	group->n_rules--;
	if (rule->op->flags & LEARN_DELETE_LEARNED && !--group->n_deleting) {
		group->delete_now = true;
		rule->bridge->learn->has_orphans = true;
	}
	slot_give(rule->slot);
	rcu_defer(free_rule, rule);
}

// Calls visit() for each learn action, also in clones, until it fails.
static int each_learn(const uint8_t *at, size_t size,
		      int (*visit)(struct bridge *bridge, struct op_learn *op),
		      struct bridge *bridge)
{
	const uint8_t *end = at + size;
	int error = 0;

	for (; !error && at < end; at += ((const struct op *)at)->size) {
		const struct op_nested *nested = (const struct op_nested *)at;

		if (nested->op.code == OP_CLONE)
			error = each_learn((const uint8_t *)nested->ops, nested->length, visit,
					   bridge);
		else if (nested->op.code == OP_LEARN)
			error = visit(bridge, (struct op_learn *)(uintptr_t)at);
	}
	return error;
}

static int forget_rule(struct bridge *bridge, struct op_learn *op)
{
	(void)bridge;
	op->rule = NULL;
	return 0;
}

static int attach(struct bridge *bridge, struct op_learn *op)
{
	int error = 0;

	rule_create(bridge, op, &error);
	return error;
}

static int detach(struct bridge *bridge, struct op_learn *op)
{
	(void)bridge;
	if (op->rule)
		rule_destroy(op->rule);
	return 0;
}

int learn_attach(struct bridge *bridge, struct program *program)
{
	int error;

	if (!(program->flags & PROGRAM_LEARNS))
		return 0;
	// A copied program still names the rules of the one it was copied from.
	each_learn(program->ops, program->size, forget_rule, bridge);
	error = each_learn(program->ops, program->size, attach, bridge);
	if (error)
		learn_detach(program);
	return error;
}

void learn_detach(struct program *program)
{
	// Workers may still run the program: it keeps its pointers, and they are valid long enough.
	if (program->flags & PROGRAM_LEARNS)
		each_learn(program->ops, program->size, detach, NULL);
}

// --- Entries ---

static int grow(struct learn_rule *rule)
{
	struct learn_buckets *old = rule->buckets;
	const uint32_t n = old ? (old->mask + 1) * 2 : MIN_BUCKETS;
	struct learn_buckets *buckets;

	if (old && rule->n_entries <= old->mask)
		return 0;
	buckets = calloc(1, sizeof(*buckets) + n * sizeof(*buckets->heads));
	if (!buckets)
		return old ? 0 : -ENOMEM; // longer chains will do
	buckets->mask = n - 1;
	for (uint32_t b = 0; old && b <= old->mask; b++) {
		struct learn_entry *next;

		for (struct learn_entry *entry = old->heads[b]; entry; entry = next) {
			struct learn_entry **head =
				&buckets->heads[entry->match_hash & buckets->mask];

			next = entry->next;
			rcu_publish(&entry->next, *head);
			rcu_publish(head, entry);
		}
	}
	rcu_publish(&rule->buckets, buckets);
	if (old)
		rcu_defer(free, old);
	return 0;
}

static struct learn_entry **find(struct learn_rule *rule, uint64_t match_hash)
{
	struct learn_entry **link = &rule->buckets->heads[match_hash & rule->buckets->mask];

	while (*link && (*link)->match_hash != match_hash)
		link = &(*link)->next;
	return link;
}

int learn_entry_add(struct learn_rule *rule, struct flow *flow, const struct learn_request *request)
{
	struct learn_entry *entry;
	struct learn_entry **head;

	if (grow(rule) < 0)
		return -ENOMEM;
	if (!flow->learned)
		flow->learned = calloc(1, sizeof(*flow->learned));
	entry = flow->learned ? calloc(1, sizeof(*entry)) : NULL;
	if (!entry)
		return -ENOMEM;
	// Where two actions of two kinds made the flow in turn, the older knowledge is wrong.
	if (*find(rule, request->match_hash))
		learn_entry_remove(*find(rule, request->match_hash));
	entry->match_hash = request->match_hash;
	entry->action_hash = request->action_hash;
	entry->rule = rule;
	entry->flow = flow;
	entry->flow_next = flow->learned->entries;
	flow->learned->entries = entry;
	head = &rule->buckets->heads[request->match_hash & rule->buckets->mask];
	entry->next = *head;
	rcu_publish(head, entry);
	rule->n_entries++;
	return 0;
}

void learn_entry_remove(struct learn_entry *entry)
{
	struct learn_rule *rule = entry->rule;
	struct learn_entry **link = &rule->buckets->heads[entry->match_hash & rule->buckets->mask];

	while (*link != entry)
		link = &(*link)->next;
	rcu_publish(link, entry->next);
	rule->n_entries--;
	link = &entry->flow->learned->entries;
	while (*link != entry)
		link = &(*link)->flow_next;
	*link = entry->flow_next;
	rcu_defer(free, entry);
}

// --- Flows ---

bool learn_made(const struct flow *flow)
{
	return flow->learned && flow->learned->group;
}

void learn_changed(struct flow *flow)
{
	while (flow->learned && flow->learned->entries)
		learn_entry_remove(flow->learned->entries);
}

void learn_link_free(struct bridge *bridge, struct learn_link *link)
{
	if (link && link->group) {
		rcu_publish(&link->group->n_flows, link->group->n_flows - 1);
		bridge->learn->by_port[link->in_port]--;
	}
	free(link);
}

void learn_removed(struct bridge *bridge, struct flow *flow)
{
	learn_changed(flow);
	learn_link_free(bridge, flow->learned);
	flow->learned = NULL;
}

void learn_refresh(struct flow *flow, uint64_t now_ns)
{
	for (struct learn_entry *entry = flow->learned->entries; entry; entry = entry->flow_next)
		if (__atomic_exchange_n(&entry->touched, 0, __ATOMIC_RELAXED))
			flow->modified_ns = now_ns;
}

void learn_bridge_exit(struct bridge *bridge)
{
	if (!bridge->learn)
		return;
	for (unsigned int t = 0; t < N_TABLES; t++) {
		const struct table *table = bridge_table(bridge, (uint8_t)t);
		struct flow *flow = table ? table_first(table) : NULL;

		for (; flow; flow = table_next(table, flow)) {
			learn_removed(bridge, flow);
			learn_detach(flow->program);
		}
	}
	while (bridge->learn->groups) {
		struct learn_group *group = bridge->learn->groups;

		bridge->learn->groups = group->next;
		rcu_defer(free, group);
	}
	rcu_defer(free, bridge->learn);
	bridge->learn = NULL;
}
