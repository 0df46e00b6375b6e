// Which flow is searched how: the choice of templates, and changes of the view.
//
// A change that touches more than one part builds all that is new first, then publishes one new
// view: lookups go by the old parts, which stay as they were, or by the new ones.
#include "flowtable/table_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/rcu.h"
#include "flowtable/classifier/bitvector.h"

#define BIN_MERGE_MAX_FLOWS 8
// With up to so many flows the bound is made exact at once.
#define SCAN_MAX_FLOWS 64
// Old views and parts are freed by the control thread's loop; a long run of insertions must not
// wait for that.
#define RECLAIM_INTERVAL 256

// Parts to take out of the view and parts to put in, in one step.
#define CHANGE_MAX_PARTS (BINS_MAX_FLOWS + HASH_MAX_PARTS + 4)
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

static void change_cancel_but(struct change *change, const struct table_holder *kept)
{
	for (unsigned int i = 0; i < change->n_drop; i++)
		change->drop[i]->dropped = false;
	for (unsigned int i = 0; i < change->n_add; i++)
		if (change->add[i] != kept)
			part_free(change->add[i]);
}

static void change_cancel(struct change *change)
{
	change_cancel_but(change, NULL);
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

static void part_leave(struct table *table, const struct table_holder *part)
{
	table->n_binned -= part->n_flows;
	if (part == table->mix)
		table->mix = NULL;
}

static void part_enter(struct table *table, struct table_holder *part)
{
	table->n_binned += part->n_flows;
	for (uint32_t f = 0; f < part->n_flows; f++)
		part->flows[f]->owner = part;
	if (part->classifier->id == CLASSIFIER_BITVECTOR) {
		table->mix = part;
		bitvector_set_owner(part->classifier, part);
	}
}

static void parts_apply(struct table *table, const struct change *change)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < table->n_parts; i++)
		if (!table->parts[i]->dropped)
			table->parts[n++] = table->parts[i];
	for (unsigned int i = 0; i < change->n_drop; i++)
		part_leave(table, change->drop[i]);
	for (unsigned int i = 0; i < change->n_add; i++) {
		table->parts[n++] = change->add[i];
		part_enter(table, change->add[i]);
	}
	table->n_parts = n;
}

// All or nothing: on failure what was to be added is gone, but for `kept`, and the rest is as
// before.
static int change_commit_but(struct table *table, struct change *change,
			     const struct table_holder *kept)
{
	uint32_t n_parts = table->n_parts + change->n_add - change->n_drop;
	struct table_view *view = view_alloc(n_parts);

	if (!view || parts_reserve(table, n_parts) < 0) {
		free(view);
		change_cancel_but(change, kept);
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

static int change_commit(struct table *table, struct change *change)
{
	return change_commit_but(table, change, NULL);
}

// Nothing but ranks have changed: sort again. Without memory the old order stays in use.
static int view_refresh(struct table *table)
{
	struct change nothing = { 0 };

	return change_commit(table, &nothing);
}

// How many flows a shape may have without a hash part of its own.
static uint32_t shape_max_flows(const struct table *table)
{
	if (table->n_hashes >= HASH_MAX_PARTS)
		return SHAPE_CROWDED_MAX_FLOWS;
	return table->mix ? SHAPE_MIX_MAX_FLOWS : SHAPE_BIN_MAX_FLOWS;
}

// The cheapest template that suits a shape of its own; bins, which linear stands for, or the mix
// take small ones. A shape that is known to become big need not be small first.
static enum classifier_template_id choose_template(const struct table *table,
						   const struct table_shape *shape)
{
	if (shape->mask->n_words > 0 &&
	    (shape->n_flows <= SHAPE_BIN_MAX_FLOWS ||
	     (uint64_t)shape->n_flows + shape->n_expected <= shape_max_flows(table)))
		return CLASSIFIER_LINEAR;
	for (unsigned int i = 0; i < N_CLASSIFIERS; i++)
		if (i != CLASSIFIER_LINEAR &&
		    classifier_templates[i]->suits(&shape->mask, 1, shape->n_flows))
			return (enum classifier_template_id)i;
	return CLASSIFIER_REFERENCE;
}

// Small shapes' flows that are without a part: a mix of many, bins of few.
static int change_add_small(struct change *change, struct flow **flows, uint32_t n_flows)
{
	if (n_flows < MIX_MIN_FLOWS)
		return change_add_bins(change, flows, n_flows);
	return change_add(change, part_create(CLASSIFIER_BITVECTOR, flows, n_flows));
}

// The mix goes, another one or bins come, with the flows that are not of the shape.
static int change_mix_without(struct table *table, struct change *change,
			      const struct table_shape *shape)
{
	const struct classifier *classifier = table->mix->classifier;
	struct flow **flows = malloc((classifier->n_flows + 1) * sizeof(*flows));
	uint32_t n = 0;
	int rc;

	if (!flows)
		return -ENOMEM;
	bitvector_flows(classifier, flows);
	for (uint32_t i = 0; i < classifier->n_flows; i++)
		if (flows[i]->shape != shape)
			flows[n++] = flows[i];
	change_drop(change, table->mix);
	rc = change_add_small(change, flows, n);
	free(flows);
	return rc;
}

// Shapes with parts that are better off in a mix, which go with a change. Returns their flows.
static uint32_t change_join(struct table *table, struct change *change)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < table->n_parts && change->n_drop < CHANGE_MAX_PARTS; i++) {
		struct table_holder *part = table->parts[i];

		if (part->family || part == table->split)
			continue;
		if (!part->shape) {
			change_drop(change, part);
			n += part->n_flows;
		} else if (part->classifier->id == CLASSIFIER_HASH &&
			   part->shape->n_flows < MIX_JOIN_MAX_FLOWS) {
			change_drop(change, part);
			n += part->shape->n_flows;
		}
	}
	return n;
}

static uint32_t part_flows(const struct table_holder *part, struct flow **flows)
{
	struct flow *flow = part->shape ? part->shape->first : NULL;

	if (!part->shape) {
		memcpy(flows, part->flows, part->n_flows * sizeof(*flows));
		return part->n_flows;
	}
	for (uint32_t i = 0; i < part->shape->n_flows; i++, flow = flow->list_next)
		flows[i] = flow;
	return part->shape->n_flows;
}

// From bins, and small hash parts, to a mix; together with `flow` unless that is NULL.
static int mix_begin(struct table *table, struct flow *flow)
{
	struct change change = { 0 };
	struct table_shape *shapes[CHANGE_MAX_PARTS];
	const uint32_t n_most = change_join(table, &change) + 1;
	const unsigned int n_drop = change.n_drop;
	struct flow **flows = malloc(n_most * sizeof(*flows));
	uint32_t n = 0;
	int rc = -ENOMEM;

	for (unsigned int d = 0; d < n_drop && flows; d++) {
		shapes[d] = change.drop[d]->shape;
		n += part_flows(change.drop[d], flows + n);
	}
	if (flow && flows)
		flows[n++] = flow;
	if (flows)
		rc = change_add_small(&change, flows, n);
	free(flows);
	if (rc < 0) {
		change_cancel(&change);
		return rc;
	}
	rc = change_commit(table, &change);
	for (unsigned int d = 0; d < n_drop && rc == 0; d++)
		if (shapes[d]) {
			shapes[d]->part = NULL;
			table->n_hashes--;
		}
	return rc;
}

// Give the shape a part of its own; its flows leave the bins, whose other flows move together.
static int shape_promote(struct table *table, struct table_shape *shape,
			 enum classifier_template_id id)
{
	struct change change = { 0 };
	struct flow **own = malloc(shape->n_flows * sizeof(*own));
	struct flow *others[BINS_MAX_FLOWS];
	struct table_holder *part;
	struct flow *flow = shape->first;
	uint32_t n_others = 0;
	int rc;

	if (!own)
		return -ENOMEM;
	for (uint32_t i = 0; i < shape->n_flows; i++, flow = flow->list_next) {
		own[i] = flow;
		if (flow->owner && flow->owner != table->mix)
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
	if (rc == 0 && table->mix)
		rc = change_mix_without(table, &change, shape);
	if (rc < 0)
		change_cancel(&change);
	else
		rc = change_commit(table, &change);
	if (rc == 0) {
		part->shape = shape;
		shape->part = part;
		table->n_hashes += id == CLASSIFIER_HASH;
		for (uint32_t i = 0; i < shape->n_flows; i++)
			own[i]->owner = part;
	}
	free(own);
	return rc;
}

// A bin with room for n more flows that is not on its way out; NULL if there is none.
static struct table_holder *bin_with_room(const struct table *table, uint32_t n)
{
	for (uint32_t i = 0; i < table->n_parts; i++) {
		struct table_holder *bin = table->parts[i];

		if (!bin->shape && !bin->family && bin != table->mix && bin != table->split &&
		    !bin->dropped && bin->n_flows + n <= BIN_MAX_FLOWS)
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
		change_cancel(change);
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

// Into the mix, which may publish views of its own.
static int mix_insert(struct table *table, struct flow *flow)
{
	struct table_holder *owner = flow->owner;
	int rc = part_insert(table, table->mix, flow);

	table->n_published++;
	if (rc < 0)
		flow->owner = owner;
	return rc;
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
	id = choose_template(table, shape);
	if (id != CLASSIFIER_LINEAR)
		return shape_promote(table, shape, id);
	if (table->mix) {
		rc = mix_insert(table, flow);

		table->mix->classifier->n_masks += rc == 0 && shape->n_flows == 1;
		return rc;
	}
	if (table->n_binned >= BINS_MAX_FLOWS)
		return mix_begin(table, flow);
	return bin_add(table, &change, bin_with_room(table, 1), &flow, 1);
}

static int part_drop(struct table *table, struct table_holder *part)
{
	struct change change = { 0 };

	change_drop(&change, part);
	return change_commit(table, &change);
}

// The shape's flows are in its own part and in the mix, until the first is gone: lookups find the
// same flow whichever they ask.
static void shape_demote_to_mix(struct table *table, struct table_shape *shape)
{
	struct table_holder *part = shape->part;
	const uint32_t n_parts = table->n_parts;
	const uint32_t n_flows = shape->n_flows;
	struct flow *flow = shape->first;
	uint32_t n = 0;

	while (n < n_flows && mix_insert(table, flow) == 0) {
		flow = flow->list_next;
		n++;
	}
	if (n == n_flows)
		part_drop(table, part);
	if (table->n_parts < n_parts) {
		shape->part = NULL;
		table->n_hashes--;
		table->mix->classifier->n_masks++;
		return;
	}
	// Without memory all stays as it was.
	for (flow = shape->first; n > 0; n--, flow = flow->list_next) {
		table->mix->classifier->template->remove(table->mix->classifier, flow);
		flow->owner = part;
	}
}

// A shape that has become small goes back to the bins, or the mix.
static void shape_demote(struct table *table, struct table_shape *shape)
{
	struct table_holder *part = shape->part;
	struct flow *flows[SHAPE_HASH_MIN_FLOWS];
	struct flow *flow = shape->first;
	struct change change = { 0 };

	if (table->mix) {
		shape_demote_to_mix(table, shape);
		return;
	}
	if (table->n_binned + shape->n_flows > BINS_MAX_FLOWS) {
		mix_begin(table, NULL);
		return;
	}
	for (uint32_t i = 0; i < shape->n_flows; i++, flow = flow->list_next)
		flows[i] = flow;
	change_drop(&change, part);
	if (bin_add(table, &change, bin_with_room(table, shape->n_flows), flows, shape->n_flows) ==
	    0) {
		shape->part = NULL;
		table->n_hashes--;
	}
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
		table->n_hashes -= part->classifier->id == CLASSIFIER_HASH;
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
	table->n_binned--;
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

// Back to bins once there are few flows.
static void mix_end(struct table *table)
{
	struct table_holder *mix = table->mix;
	struct flow *flows[MIX_MIN_FLOWS];
	struct change change = { 0 };

	bitvector_flows(mix->classifier, flows);
	change_drop(&change, mix);
	if (change_add_bins(&change, flows, mix->classifier->n_flows) < 0)
		change_cancel(&change);
	else
		change_commit(table, &change);
}

static void mix_remove(struct table *table, const struct flow *flow)
{
	struct table_holder *mix = table->mix;

	table->n_published++;
	mix->classifier->n_masks -= flow->shape->n_flows == 0;
	if (mix->classifier->n_flows < MIX_MIN_FLOWS) {
		mix_end(table);
	} else if (flow->rank == mix->max_rank) {
		mix->max_rank = bitvector_max_rank(mix->classifier);
		view_refresh(table);
	}
}

void table_parts_remove(struct table *table, struct flow *flow)
{
	struct table_holder *part = flow->owner;

	if (part->family) {
		table_lpm_remove(table, flow);
		return;
	}
	if (!part->shape) {
		table_small_remove(table, part, flow);
		return;
	}
	part->classifier->template->remove(part->classifier, flow);
	shape_part_remove(table, part->shape, flow->rank);
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

// Flows that are in `part`, a bin or the mix, and at home in the table.
static uint32_t flows_staying(const struct table *table, const struct table_holder *part,
			      struct flow **flows)
{
	uint32_t n = part->n_flows, n_staying = 0;

	if (part == table->mix) {
		n = part->classifier->n_flows;
		bitvector_flows(part->classifier, flows);
	} else {
		memcpy(flows, part->flows, n * sizeof(*flows));
	}
	for (uint32_t i = 0; i < n; i++)
		if (flows[i]->shape->home == table)
			flows[n_staying++] = flows[i];
	return n_staying;
}

int table_parts_leave(struct table *table, struct table_holder *added)
{
	const uint32_t n_most =
		table->n_binned + (table->mix ? table->mix->classifier->n_flows : 0) + 1;
	struct flow **flows = malloc(n_most * sizeof(*flows));
	struct change change = { 0 };
	uint32_t n = 0, n_hashes = 0;
	int rc = flows ? 0 : -ENOMEM;

	for (uint32_t i = 0; i < table->n_parts && rc == 0; i++) {
		struct table_holder *part = table->parts[i];

		if (part->family || part == table->split ||
		    (part->shape && part->shape->n_flows > 0))
			continue;
		if (change.n_drop == CHANGE_MAX_PARTS) {
			rc = -ENOMEM;
			break;
		}
		change_drop(&change, part);
		if (part->shape)
			n_hashes += part->classifier->id == CLASSIFIER_HASH;
		else
			n += flows_staying(table, part, flows + n);
	}
	if (rc == 0)
		rc = change_add_small(&change, flows, n);
	free(flows);
	if (rc < 0) {
		change_cancel(&change);
		return rc;
	}
	// Last, as the caller keeps it if this fails.
	if (added)
		change_add(&change, added);
	rc = change_commit_but(table, &change, added);
	if (rc == 0)
		table->n_hashes -= n_hashes;
	return rc;
}

void table_parts_destroy(struct table *table)
{
	for (uint32_t i = 0; i < table->n_parts; i++) {
		table_lpm_destroy(table->parts[i]);
		part_free(table->parts[i]);
	}
	free(table->parts);
	free(table->view);
	table->parts = NULL;
	table->view = NULL;
	table->n_parts = 0;
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

int table_small_insert(struct table *table, struct flow *flow)
{
	struct change change = { 0 };
	int rc;

	if (!table->mix)
		return table->n_binned < BINS_MAX_FLOWS
			       ? bin_add(table, &change, bin_with_room(table, 1), &flow, 1)
			       : mix_begin(table, flow);
	rc = mix_insert(table, flow);
	table->mix->classifier->n_masks += rc == 0 && flow == flow->shape->first;
	return rc;
}

void table_small_remove(struct table *table, struct table_holder *part, struct flow *flow)
{
	part->classifier->template->remove(part->classifier, flow);
	if (part == table->mix)
		mix_remove(table, flow);
	else
		bin_remove(table, part, flow);
}
