// Which flow is searched how: the choice of templates, and changes of the view.
//
// A change that touches more than one part builds all that is new first, then publishes one new
// view: lookups go by the old parts, which stay as they were, or by the new ones.
#include "flowtable/table_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/rcu.h"

#define BIN_MERGE_MAX_FLOWS 8
// With up to so many flows the bound is made exact at once.
#define SCAN_MAX_FLOWS 64
// Old views and parts are freed by the control thread's loop; a long run of insertions must not
// wait for that.
#define RECLAIM_INTERVAL 256

// Parts to take out of the view and parts to put in, in one step.
#define CHANGE_MAX_PARTS (SHAPE_BIN_MAX_FLOWS + 4)
struct change {
	unsigned int n_drop;
	unsigned int n_add;
	struct table_holder *drop[CHANGE_MAX_PARTS];
	struct table_holder *add[CHANGE_MAX_PARTS];
};

static void part_free(struct table_holder *part)
{
	if (part && part->classifier)
		part->classifier->template->destroy(part->classifier);
	free(part);
}

static uint64_t max_rank_of(struct flow *const *flows, uint32_t n_flows)
{
	uint64_t max_rank = 0;

	for (uint32_t i = 0; i < n_flows; i++)
		if (flows[i]->rank > max_rank)
			max_rank = flows[i]->rank;
	return max_rank;
}

static struct table_holder *part_create(enum classifier_template_id id, struct flow **flows,
					uint32_t n_flows)
{
	struct table_holder *part = calloc(1, sizeof(*part));

	if (!part)
		return NULL;
	part->classifier = classifier_templates[id]->build(flows, n_flows);
	if (!part->classifier) {
		free(part);
		return NULL;
	}
	part->max_rank = max_rank_of(flows, n_flows);
	return part;
}

static struct table_holder *bin_create(struct flow **flows, uint32_t n_flows)
{
	struct table_holder *part = part_create(CLASSIFIER_LINEAR, flows, n_flows);

	if (part) {
		memcpy(part->flows, flows, n_flows * sizeof(flows[0]));
		part->n_flows = n_flows;
	}
	return part;
}

static void change_cancel(struct change *change)
{
	for (unsigned int i = 0; i < change->n_add; i++)
		part_free(change->add[i]);
}

static int change_add(struct change *change, struct table_holder *part)
{
	if (!part)
		return -ENOMEM;
	change->add[change->n_add++] = part;
	return 0;
}

// As many bins as `n_flows` flows need.
static int change_add_bins(struct change *change, struct flow **flows, uint32_t n_flows)
{
	for (uint32_t i = 0; i < n_flows; i += BIN_MAX_FLOWS) {
		uint32_t n = n_flows - i < BIN_MAX_FLOWS ? n_flows - i : BIN_MAX_FLOWS;

		if (change_add(change, bin_create(flows + i, n)) < 0)
			return -ENOMEM;
	}
	return 0;
}

static void change_drop(struct change *change, struct table_holder *part)
{
	if (!part->dropped)
		change->drop[change->n_drop++] = part;
	part->dropped = true;
}

static int parts_reserve(struct table *table, uint32_t n)
{
	struct table_holder **parts;
	uint32_t size = table->parts_size ? table->parts_size : 4;

	if (n <= table->parts_size)
		return 0;
	while (size < n)
		size *= 2;
	parts = realloc(table->parts, size * sizeof(*parts));
	if (!parts)
		return -ENOMEM;
	table->parts = parts;
	table->parts_size = size;
	return 0;
}

// Nearly sorted already, so insertion sort is linear.
static void parts_sort(struct table *table)
{
	struct table_holder **parts = table->parts;

	for (uint32_t i = 1; i < table->n_parts; i++) {
		struct table_holder *part = parts[i];
		uint32_t j = i;

		for (; j > 0 && parts[j - 1]->max_rank < part->max_rank; j--)
			parts[j] = parts[j - 1];
		parts[j] = part;
	}
}

static void view_publish(struct table *table, struct table_view *view)
{
	struct table_view *old = table->view;

	parts_sort(table);
	for (uint32_t i = 0; i < table->n_parts; i++)
		view->entries[i] = (struct table_entry){
			.max_rank = table->parts[i]->max_rank,
			.classifier = table->parts[i]->classifier,
		};
	view->n = table->n_parts;
	rcu_publish(&table->view, view);
	rcu_defer(free, old);
	table->n_published++;
}

static struct table_view *view_alloc(uint32_t n)
{
	return malloc(sizeof(struct table_view) + n * sizeof(struct table_entry));
}

static void parts_apply(struct table *table, const struct change *change)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < table->n_parts; i++)
		if (!table->parts[i]->dropped)
			table->parts[n++] = table->parts[i];
	for (unsigned int i = 0; i < change->n_add; i++) {
		struct table_holder *part = change->add[i];

		table->parts[n++] = part;
		for (uint32_t f = 0; f < part->n_flows; f++)
			part->flows[f]->owner = part;
	}
	table->n_parts = n;
}

// All or nothing: on failure what was to be added is gone and the rest is as before.
static int change_commit(struct table *table, struct change *change)
{
	uint32_t n_parts = table->n_parts + change->n_add - change->n_drop;
	struct table_view *view = view_alloc(n_parts);

	if (!view || parts_reserve(table, n_parts) < 0) {
		free(view);
		for (unsigned int i = 0; i < change->n_drop; i++)
			change->drop[i]->dropped = false;
		change_cancel(change);
		return -ENOMEM;
	}
	parts_apply(table, change);
	view_publish(table, view);
	for (unsigned int i = 0; i < change->n_drop; i++) {
		struct classifier *classifier = change->drop[i]->classifier;

		rcu_defer(classifier->template->destroy, classifier);
		free(change->drop[i]);
	}
	return 0;
}

// Nothing but ranks have changed: sort again. Without memory the old order stays in use.
static int view_refresh(struct table *table)
{
	struct change nothing = { 0 };

	return change_commit(table, &nothing);
}

// The cheapest template that suits a shape of its own; bins are linear.
static enum classifier_template_id choose_template(const struct table_shape *shape)
{
	if (shape->mask->n_words > 0 && shape->n_flows <= SHAPE_BIN_MAX_FLOWS)
		return CLASSIFIER_LINEAR;
	for (unsigned int i = 0; i < N_CLASSIFIERS; i++)
		if (i != CLASSIFIER_LINEAR &&
		    classifier_templates[i]->suits(&shape->mask, 1, shape->n_flows))
			return (enum classifier_template_id)i;
	return CLASSIFIER_REFERENCE;
}

// Give the shape a part of its own; its flows leave the bins, whose other flows move together.
static int shape_promote(struct table *table, struct table_shape *shape,
			 enum classifier_template_id id)
{
	struct change change = { 0 };
	struct flow *own[SHAPE_BIN_MAX_FLOWS + 1];
	struct flow *others[SHAPE_BIN_MAX_FLOWS * BIN_MAX_FLOWS];
	struct table_holder *part;
	struct flow *flow = shape->first;
	uint32_t n_others = 0;
	int rc;

	for (uint32_t i = 0; i < shape->n_flows; i++, flow = flow->list_next) {
		own[i] = flow;
		if (flow->owner)
			change_drop(&change, flow->owner);
	}
	for (unsigned int d = 0; d < change.n_drop; d++)
		for (uint32_t f = 0; f < change.drop[d]->n_flows; f++)
			if (change.drop[d]->flows[f]->shape != shape)
				others[n_others++] = change.drop[d]->flows[f];
	part = part_create(id, own, shape->n_flows);
	rc = change_add(&change, part);
	if (rc == 0)
		rc = change_add_bins(&change, others, n_others);
	if (rc < 0) {
		for (unsigned int d = 0; d < change.n_drop; d++)
			change.drop[d]->dropped = false;
		change_cancel(&change);
		return rc;
	}
	rc = change_commit(table, &change);
	if (rc < 0)
		return rc;
	part->shape = shape;
	shape->part = part;
	for (uint32_t i = 0; i < shape->n_flows; i++)
		own[i]->owner = part;
	return 0;
}

// A bin with room for n more flows that is not on its way out; NULL if there is none.
static struct table_holder *bin_with_room(const struct table *table, uint32_t n)
{
	for (uint32_t i = 0; i < table->n_parts; i++) {
		struct table_holder *bin = table->parts[i];

		if (!bin->shape && !bin->family && !bin->dropped &&
		    bin->n_flows + n <= BIN_MAX_FLOWS)
			return bin;
	}
	return NULL;
}

// Put flows into one bin, together with those of `bin` unless that is NULL; `change` may drop
// other parts in the same step.
static int bin_add(struct table *table, struct change *change, struct table_holder *bin,
		   struct flow *const *flows, uint32_t n_flows)
{
	struct flow *all[BIN_MAX_FLOWS];
	uint32_t n = 0;

	if (bin) {
		change_drop(change, bin);
		memcpy(all, bin->flows, bin->n_flows * sizeof(all[0]));
		n = bin->n_flows;
	}
	memcpy(all + n, flows, n_flows * sizeof(all[0]));
	if (change_add(change, bin_create(all, n + n_flows)) < 0) {
		for (unsigned int d = 0; d < change->n_drop; d++)
			change->drop[d]->dropped = false;
		return -ENOMEM;
	}
	return change_commit(table, change);
}

static int part_insert(struct table *table, struct table_holder *part, struct flow *flow)
{
	uint64_t old_max = part->max_rank;

	// Lookups must know the new bound before they can need the flow.
	if (flow->rank > part->max_rank) {
		part->max_rank = flow->rank;
		if (view_refresh(table) < 0) {
			part->max_rank = old_max;
			return -ENOMEM;
		}
		part->n_removed = 0;
		part->is_stale = false;
	}
	flow->owner = part;
	part->classifier->n_expected = flow->shape->n_expected;
	return part->classifier->template->insert(part->classifier, flow);
}

int table_parts_insert(struct table *table, struct flow *flow)
{
	struct table_shape *shape = flow->shape;
	enum classifier_template_id id;
	struct change change = { 0 };
	int rc;

	flow->owner = NULL;
	if (table->n_published >= RECLAIM_INTERVAL) {
		table->n_published = 0;
		rcu_reclaim();
	}
	rc = table_lpm_insert(table, flow);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	if (shape->part)
		return part_insert(table, shape->part, flow);
	id = choose_template(shape);
	if (id != CLASSIFIER_LINEAR)
		return shape_promote(table, shape, id);
	return bin_add(table, &change, bin_with_room(table, 1), &flow, 1);
}

static int part_drop(struct table *table, struct table_holder *part)
{
	struct change change = { 0 };

	change_drop(&change, part);
	return change_commit(table, &change);
}

// A shape that has become small goes back to the bins.
static void shape_demote(struct table *table, struct table_shape *shape)
{
	struct table_holder *part = shape->part;
	struct flow *flows[SHAPE_HASH_MIN_FLOWS];
	struct flow *flow = shape->first;
	struct change change = { 0 };

	for (uint32_t i = 0; i < shape->n_flows; i++, flow = flow->list_next)
		flows[i] = flow;
	change_drop(&change, part);
	if (bin_add(table, &change, bin_with_room(table, shape->n_flows), flows, shape->n_flows) ==
	    0)
		shape->part = NULL;
}

// Lower the bound after the best flow has gone. Looking at all flows is paid for by as many
// removals, so removal stays cheap; until then lookups ask the part more often than they must.
static void shape_part_update(struct table *table, struct table_shape *shape, uint64_t removed)
{
	struct table_holder *part = shape->part;
	struct flow *flow = shape->first;
	uint64_t max_rank = 0;

	part->n_removed++;
	part->is_stale |= removed == part->max_rank;
	if (!part->is_stale ||
	    (part->n_removed < shape->n_flows && shape->n_flows > SCAN_MAX_FLOWS))
		return;
	for (uint32_t i = 0; i < shape->n_flows; i++, flow = flow->list_next)
		if (flow->rank > max_rank)
			max_rank = flow->rank;
	part->max_rank = max_rank;
	part->n_removed = 0;
	part->is_stale = false;
	view_refresh(table);
}

static void shape_part_remove(struct table *table, struct table_shape *shape, uint64_t removed)
{
	struct table_holder *part = shape->part;

	if (shape->n_flows == 0) {
		// Should memory be missing, the empty part stays and passes for an empty bin.
		part->shape = NULL;
		part_drop(table, part);
	} else if (shape->n_flows < SHAPE_HASH_MIN_FLOWS &&
		   part->classifier->id != CLASSIFIER_CONST) {
		shape_demote(table, shape);
	} else {
		shape_part_update(table, shape, removed);
	}
}

static void bin_merge(struct table *table, struct table_holder *bin)
{
	struct table_holder *other;
	struct change change = { 0 };

	if (bin->n_flows > BIN_MERGE_MAX_FLOWS)
		return;
	change_drop(&change, bin);
	other = bin_with_room(table, bin->n_flows + BIN_MAX_FLOWS / 4);
	if (!other) {
		bin->dropped = false;
		return;
	}
	bin_add(table, &change, other, bin->flows, bin->n_flows);
}

static void bin_remove(struct table *table, struct table_holder *bin, struct flow *flow)
{
	uint32_t i = 0;

	while (bin->flows[i] != flow)
		i++;
	bin->flows[i] = bin->flows[--bin->n_flows];
	if (bin->n_flows == 0) {
		part_drop(table, bin);
		return;
	}
	if (flow->rank == bin->max_rank) {
		bin->max_rank = max_rank_of(bin->flows, bin->n_flows);
		view_refresh(table);
	}
	bin_merge(table, bin);
}

void table_parts_remove(struct table *table, struct flow *flow)
{
	struct table_holder *part = flow->owner;

	if (part->family) {
		table_lpm_remove(table, flow);
		return;
	}
	part->classifier->template->remove(part->classifier, flow);
	if (part->shape)
		shape_part_remove(table, part->shape, flow->rank);
	else
		bin_remove(table, part, flow);
}

void table_parts_replace(struct flow *old, struct flow *flow)
{
	struct table_holder *part = old->owner;

	for (uint32_t i = 0; i < part->n_flows; i++)
		if (part->flows[i] == old)
			part->flows[i] = flow;
	flow->owner = part;
	part->classifier->template->replace(part->classifier, old, flow);
}

void table_parts_destroy(struct table *table)
{
	for (uint32_t i = 0; i < table->n_parts; i++) {
		table_lpm_destroy(table->parts[i]);
		part_free(table->parts[i]);
	}
	free(table->parts);
	free(table->view);
}

struct table_holder *table_part_add(struct table *table, enum classifier_template_id id,
				    struct flow **flows, uint32_t n_flows)
{
	struct table_holder *part = part_create(id, flows, n_flows);
	struct change change = { 0 };

	if (change_add(&change, part) < 0 || change_commit(table, &change) < 0)
		return NULL;
	return part;
}

int table_part_drop(struct table *table, struct table_holder *part)
{
	return part_drop(table, part);
}

int table_part_bound(struct table *table, struct table_holder *part, uint64_t max_rank)
{
	const uint64_t before = part->max_rank;

	part->max_rank = max_rank;
	if (view_refresh(table) < 0) {
		part->max_rank = before;
		return -ENOMEM;
	}
	part->n_removed = 0;
	part->is_stale = false;
	return 0;
}

int table_bin_insert(struct table *table, struct flow *flow)
{
	struct change change = { 0 };

	return bin_add(table, &change, bin_with_room(table, 1), &flow, 1);
}

void table_bin_remove(struct table *table, struct table_holder *bin, struct flow *flow)
{
	bin->classifier->template->remove(bin->classifier, flow);
	bin_remove(table, bin, flow);
}
