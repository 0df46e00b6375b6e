#include "ofproto/eviction.h"

#include "common/hash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// A heap of things that know their place in it.
struct heap_node {
	uint32_t slot;
};

struct heap {
	struct heap_node **nodes; // the first comes before all others
	uint32_t n;
	uint32_t size;
	bool (*before)(const struct heap_node *a, const struct heap_node *b);
};

struct eviction_entry {
	struct heap_node node; // among the flows of the group
	struct flow *flow;
	struct eviction_group *group;
	uint64_t expires_ns;
};

struct eviction_group {
	struct heap_node node; // among the groups
	struct heap flows;
	uint64_t hash;
	struct eviction_group *next; // of the same chain
	struct field_value values[];
};

struct eviction {
	struct heap groups; // none is empty
	struct eviction_group **chains; // a power of two
	uint32_t n_chains;
	uint32_t n_flows;
	unsigned int n_fields;
	struct subfield fields[EVICTION_MAX_FIELDS];
};

// --- Heaps ---

static void place(struct heap *heap, uint32_t slot, struct heap_node *node)
{
	heap->nodes[slot] = node;
	node->slot = slot;
}

// Bring a node whose rank has changed to where it belongs.
static void settle(struct heap *heap, struct heap_node *node)
{
	uint32_t slot = node->slot;

	while (slot && heap->before(node, heap->nodes[(slot - 1) / 2])) {
		place(heap, slot, heap->nodes[(slot - 1) / 2]);
		slot = (slot - 1) / 2;
	}
	while (true) {
		uint32_t child = 2 * slot + 1;

		if (child + 1 < heap->n && heap->before(heap->nodes[child + 1], heap->nodes[child]))
			child++;
		if (child >= heap->n || !heap->before(heap->nodes[child], node))
			break;
		place(heap, slot, heap->nodes[child]);
		slot = child;
	}
	place(heap, slot, node);
}

static int heap_add(struct heap *heap, struct heap_node *node)
{
	if (heap->n == heap->size) {
		uint32_t size = heap->size ? heap->size * 2 : 4;
		struct heap_node **nodes = realloc(heap->nodes, size * sizeof(struct heap_node *));

		if (!nodes)
			return -ENOMEM;
		heap->nodes = nodes;
		heap->size = size;
	}
	place(heap, heap->n++, node);
	settle(heap, node);
	return 0;
}

static void heap_remove(struct heap *heap, struct heap_node *node)
{
	struct heap_node *last = heap->nodes[--heap->n];

	if (last == node)
		return;
	place(heap, node->slot, last);
	settle(heap, last);
}

// --- Order ---

static bool entry_before(const struct heap_node *a_, const struct heap_node *b_)
{
	const struct eviction_entry *a = (const struct eviction_entry *)a_;
	const struct eviction_entry *b = (const struct eviction_entry *)b_;

	if (a->flow->importance != b->flow->importance)
		return a->flow->importance < b->flow->importance;
	return a->expires_ns < b->expires_ns;
}

static bool group_before(const struct heap_node *a_, const struct heap_node *b_)
{
	const struct eviction_group *a = (const struct eviction_group *)a_;
	const struct eviction_group *b = (const struct eviction_group *)b_;

	if (a->flows.n != b->flows.n)
		return a->flows.n > b->flows.n;
	return entry_before(a->flows.nodes[0], b->flows.nodes[0]);
}

// --- Groups ---

// What the flow says of the fields; a field that it does not match is 0.
static void read_values(const struct eviction *eviction, const struct flow *flow,
			struct field_value *values)
{
	struct match match;

	if (!eviction->n_fields)
		return;
	match_unpack(flow->mask, flow->values, &match);
	for (unsigned int f = 0; f < eviction->n_fields; f++) {
		const struct subfield *field = &eviction->fields[f];
		const struct field_value ones = field_value_ones(field->n_bits);

		field_get(field->field, &match.value, &values[f]);
		field_value_shift_right(&values[f], field->offset);
		for (unsigned int i = 0; i < FIELD_VALUE_SIZE; i++)
			values[f].bytes[i] &= ones.bytes[i];
	}
}

static void grow_chains(struct eviction *eviction)
{
	const uint32_t n = eviction->n_chains * 2;
	struct eviction_group **chains = calloc(n, sizeof(struct eviction_group *));

	if (!chains)
		return; // longer chains work as well
	for (uint32_t i = 0; i < eviction->groups.n; i++) {
		struct eviction_group *group = (struct eviction_group *)eviction->groups.nodes[i];

		group->next = chains[group->hash & (n - 1)];
		chains[group->hash & (n - 1)] = group;
	}
	free(eviction->chains);
	eviction->chains = chains;
	eviction->n_chains = n;
}

// The flow's group, which may be new and empty; NULL without memory.
static struct eviction_group *get_group(struct eviction *eviction, const struct flow *flow)
{
	const size_t size = eviction->n_fields * sizeof(struct field_value);
	struct field_value values[EVICTION_MAX_FIELDS];
	struct eviction_group *group;
	uint64_t hash;

	read_values(eviction, flow, values);
	hash = size ? hash_bytes(values, size) : 0;
	for (group = eviction->chains[hash & (eviction->n_chains - 1)]; group; group = group->next)
		if (group->hash == hash && !memcmp(group->values, values, size))
			return group;
	group = calloc(1, sizeof(*group) + size);
	if (!group)
		return NULL;
	group->hash = hash;
	group->flows.before = entry_before;
	memcpy(group->values, values, size);
	return group;
}

static void link_group(struct eviction *eviction, struct eviction_group *group)
{
	struct eviction_group **chain;

	if (eviction->groups.n > eviction->n_chains)
		grow_chains(eviction); // with this group
	for (chain = &eviction->chains[group->hash & (eviction->n_chains - 1)]; *chain;
	     chain = &(*chain)->next)
		if (*chain == group)
			return;
	group->next = NULL;
	*chain = group;
}

static void free_group(struct eviction *eviction, struct eviction_group *group)
{
	struct eviction_group **link = &eviction->chains[group->hash & (eviction->n_chains - 1)];

	while (*link && *link != group)
		link = &(*link)->next;
	if (*link)
		*link = group->next;
	free(group->flows.nodes);
	free(group);
}

// --- The interface ---

struct eviction *eviction_create(const struct subfield *by, unsigned int n)
{
	struct eviction *eviction = calloc(1, sizeof(*eviction));

	if (!eviction)
		return NULL;
	eviction->groups.before = group_before;
	eviction->n_chains = 16;
	eviction->n_fields = n < EVICTION_MAX_FIELDS ? n : EVICTION_MAX_FIELDS;
	for (unsigned int i = 0; i < eviction->n_fields; i++)
		eviction->fields[i] = by[i];
	eviction->chains = calloc(eviction->n_chains, sizeof(struct eviction_group *));
	if (eviction->chains)
		return eviction;
	free(eviction);
	return NULL;
}

void eviction_destroy(struct eviction *eviction)
{
	if (!eviction)
		return;
	for (uint32_t i = 0; i < eviction->groups.n; i++) {
		struct eviction_group *group = (struct eviction_group *)eviction->groups.nodes[i];

		for (uint32_t f = 0; f < group->flows.n; f++)
			free(group->flows.nodes[f]);
		free(group->flows.nodes);
		free(group);
	}
	free(eviction->groups.nodes);
	free(eviction->chains);
	free(eviction);
}

struct eviction_entry *eviction_add(struct eviction *eviction, struct flow *flow,
				    uint64_t expires_ns)
{
	struct eviction_entry *entry = malloc(sizeof(*entry));
	struct eviction_group *group = entry ? get_group(eviction, flow) : NULL;

	if (!group) {
		free(entry);
		return NULL;
	}
	*entry = (struct eviction_entry){ .flow = flow, .group = group, .expires_ns = expires_ns };
	if (heap_add(&group->flows, &entry->node) < 0) {
		free(entry);
		if (!group->flows.n)
			free_group(eviction, group);
		return NULL;
	}
	if (group->flows.n > 1) {
		settle(&eviction->groups, &group->node);
	} else if (heap_add(&eviction->groups, &group->node) < 0) {
		free(entry);
		free_group(eviction, group);
		return NULL;
	} else {
		link_group(eviction, group);
	}
	eviction->n_flows++;
	return entry;
}

void eviction_remove(struct eviction *eviction, struct eviction_entry *entry)
{
	struct eviction_group *group = entry->group;

	heap_remove(&group->flows, &entry->node);
	eviction->n_flows--;
	free(entry);
	if (group->flows.n) {
		settle(&eviction->groups, &group->node);
		return;
	}
	heap_remove(&eviction->groups, &group->node);
	free_group(eviction, group);
}

void eviction_update(struct eviction *eviction, struct eviction_entry *entry, uint64_t expires_ns)
{
	if (entry->expires_ns == expires_ns)
		return;
	entry->expires_ns = expires_ns;
	settle(&entry->group->flows, &entry->node);
	settle(&eviction->groups, &entry->group->node);
}

struct flow *eviction_choose(const struct eviction *eviction)
{
	const struct eviction_group *group;

	if (!eviction->groups.n)
		return NULL;
	group = (const struct eviction_group *)eviction->groups.nodes[0];
	return ((const struct eviction_entry *)group->flows.nodes[0])->flow;
}

uint32_t eviction_size(const struct eviction *eviction)
{
	return eviction->n_flows;
}
