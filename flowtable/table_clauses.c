// Flows with conjunction actions, which a table keeps apart from all others.
//
// A lookup has to find every such flow that matches, not the best one, so there is a classifier for
// each mask, and flows with the same mask and values hang together in a chain. Tables without such
// flows have no list of them, which is all that lookups there see of it. See table_clauses_lookup.c.
#include "flowtable/table_internal.h"

#include <errno.h>
#include <stdlib.h>

#include "common/rcu.h"

static struct table_holder *part_create(struct flow *flow)
{
	const struct classifier_template *template =
		classifier_templates[flow->mask->n_words ? CLASSIFIER_HASH : CLASSIFIER_CONST];
	struct table_holder *part = calloc(1, sizeof(*part));

	if (!part)
		return NULL;
	part->classifier = template->build(&flow, 1);
	if (!part->classifier) {
		free(part);
		return NULL;
	}
	part->shape = flow->shape;
	part->max_rank = flow->rank;
	return part;
}

static void part_free(struct table_holder *part)
{
	part->classifier->template->destroy(part->classifier);
	free(part);
}

// The list with `add`, or without `drop`. 0 or -ENOMEM.
static int publish(struct table *table, struct table_holder *add, const struct table_holder *drop)
{
	struct table_clauses *old = table->clauses, *clauses = NULL;
	const uint32_t n_old = old ? old->n : 0, n_new = n_old + (add ? 1 : 0) - (drop ? 1 : 0);
	uint32_t n = 0;

	if (n_new) {
		clauses = malloc(sizeof(*clauses) + n_new * sizeof(clauses->entries[0]));
		if (!clauses)
			return -ENOMEM;
		clauses->n = n_new;
		for (uint32_t i = 0; i < n_old; i++)
			if (old->entries[i].part != drop)
				clauses->entries[n++] = old->entries[i];
		if (add) {
			clauses->entries[n].classifier = add->classifier;
			clauses->entries[n].part = add;
		}
	}
	rcu_publish(&table->clauses, clauses);
	rcu_defer(free, old);
	return 0;
}

int table_clauses_insert(struct table *table, struct flow *flow)
{
	struct table_holder *part = flow->shape->part;

	flow->owner = part;
	if (part) {
		if (flow->rank > part->max_rank)
			part->max_rank = flow->rank;
		return part->classifier->template->insert(part->classifier, flow);
	}
	part = part_create(flow);
	if (!part)
		return -ENOMEM;
	if (publish(table, part, NULL) < 0) {
		part_free(part);
		return -ENOMEM;
	}
	flow->owner = part;
	flow->shape->part = part;
	return 0;
}

void table_clauses_remove(struct table *table, struct flow *flow)
{
	struct table_holder *part = flow->owner;

	part->classifier->template->remove(part->classifier, flow);
	if (part->classifier->n_flows)
		return;
	// Should memory be missing, the part stays, empty.
	flow->shape->part = NULL;
	part->shape = NULL;
	part->max_rank = 0;
	if (publish(table, NULL, part) < 0)
		return;
	rcu_defer(part->classifier->template->destroy, part->classifier);
	free(part);
}

void table_clauses_destroy(struct table *table)
{
	for (uint32_t i = 0; table->clauses && i < table->clauses->n; i++)
		part_free(table->clauses->entries[i].part);
	free(table->clauses);
	table->clauses = NULL;
}
