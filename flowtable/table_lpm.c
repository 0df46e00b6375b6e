// Which flows of a table are searched as a routing table (classifier/lpm.h, classifier/lpm6.h).
//
// Shapes that are prefixes of one address, with the same mask beside it, are a family. A family of
// three shapes or more that has more flows than a bin gets an LPM part, which takes one lookup
// however many lengths there are; when few flows are left they go to the bins. Shapes that would
// cost too much memory there (many long prefixes) or too much time (many contexts) keep parts of
// their own.
//
// Flows move between parts in two steps, of which lookups notice nothing: they are put into the new
// part, then taken out of the old one. In between a lookup finds the same flow twice.
#include "flowtable/table_internal.h"

#include <errno.h>
#include <stdlib.h>

#include "common/hash.h"
#include "flowtable/classifier/lpm.h"
#include "flowtable/classifier/lpm6.h"
#include "flowtable/table_cost.h"

// A family gets a part with this many flows, and loses it below that many.
#define FAMILY_MIN_FLOWS (BIN_MAX_FLOWS + 1)
#define FAMILY_MIN_SHAPES 3
#define FAMILY_KEEP_FLOWS (BIN_MAX_FLOWS / 2)
// Each prefix behind these 24 bits may take a block of 2 KiB for itself.
#define LONG_PREFIX 25
#define LONG_MAX_FLOWS 4096
// After this many removals the bound is made exact again, or sooner in a small part.
#define SCAN_MAX_FLOWS 64

struct table_family {
	struct table_index_node index;
	struct lpm_place place;
	struct table_shape *shapes; // by family_next
	struct table_holder *part; // or NULL
	uint32_t n_shapes;
	uint32_t hopeless_below; // so many flows: no use to try
};

static uint64_t place_hash(const struct lpm_place *place)
{
	uint64_t hash = place->address;

	for (unsigned int i = 0; i < place->n_words; i++)
		hash = hash_word(hash_word(hash, place->words[i]), place->bits[i]);
	return hash_finish(hash);
}

static struct table_family *family_find(const struct table *table, const struct lpm_place *place)
{
	uint64_t hash = place_hash(place);

	for (struct table_index_node *node = table_index_chain(&table->families, hash); node;
	     node = node->next) {
		struct table_family *family = container_of(node, struct table_family, index);

		if (node->hash == hash && lpm_place_equal(&family->place, place))
			return family;
	}
	return NULL;
}

static struct table_family *family_create(struct table *table, const struct lpm_place *place)
{
	struct table_family *family;

	if (table_index_reserve(&table->families) < 0)
		return NULL;
	family = calloc(1, sizeof(*family));
	if (!family)
		return NULL;
	family->place = *place;
	family->index.hash = place_hash(place);
	table_index_add(&table->families, &family->index);
	return family;
}

// A length between none and all bits tells for sure which address is meant. All or nothing of an address is a
// prefix of it only if there is a family already.
static struct table_family *family_of(struct table *table, const struct table_shape *shape)
{
	struct table_family *family = NULL;
	struct lpm_place place;

	if (shape->mask->n_words == 0)
		return NULL;
	for (unsigned int a = 0; !family && a < LPM_N_ADDRESSES; a++) {
		int length = lpm_place_of(shape->mask, a, &place);

		const bool is_sure = length > 0 && length < place.n_bits;

		if (length < 0 || (table->families.n == 0 && !is_sure))
			continue;
		family = family_find(table, &place);
		if (!family && is_sure)
			family = family_create(table, &place);
	}
	return family;
}

static void shape_join(struct table *table, struct table_shape *shape)
{
	struct table_family *family = family_of(table, shape);

	if (!family)
		return;
	shape->family = family;
	shape->family_next = family->shapes;
	family->shapes = shape;
	family->n_shapes++;
}

void table_lpm_forget(struct table *table, struct table_shape *shape)
{
	struct table_family *family = shape->family;
	struct table_shape **link;

	if (!family)
		return;
	for (link = &family->shapes; *link != shape; link = &(*link)->family_next)
		;
	*link = shape->family_next;
	shape->family = NULL;
	family->n_shapes--;
	if (family->shapes || family->part)
		return;
	table_index_remove(&table->families, &family->index);
	free(family);
}

static bool shape_is_bulky(const struct table_shape *shape)
{
	struct lpm_place place;
	const uint64_t n = (uint64_t)shape->n_flows + shape->n_expected;

	return n > LONG_MAX_FLOWS && shape->family->place.n_bits == 32 &&
	       lpm_place_of(shape->mask, shape->family->place.address, &place) >= LONG_PREFIX;
}

static enum classifier_template_id template_of(const struct table_family *family)
{
	return family->place.n_bits == 32 ? CLASSIFIER_LPM : CLASSIFIER_LPM6;
}

// Do lookups cost more now, by a fifth, than they would in one part? Flows in bins are taken to lie
// in a bin of their own.
static bool part_pays(const struct table_family *family, uint32_t n_flows)
{
	const size_t memory = family->place.n_bits == 32
				      ? sizeof(struct lpm_trie) + n_flows * sizeof(struct lpm_node)
				      : n_flows * 2 * sizeof(struct lpm6_node);
	double before = 0;
	uint32_t n_in_bins = 0;

	for (const struct table_shape *shape = family->shapes; shape; shape = shape->family_next) {
		const struct classifier *own = shape->part ? shape->part->classifier : NULL;

		if (own && !shape_is_bulky(shape))
			before += table_cost_nominal((enum classifier_template_id)own->id,
						     own->n_flows, own->template->memory(own));
		else if (!own)
			n_in_bins += shape->n_flows;
	}
	before += table_cost_nominal(CLASSIFIER_LINEAR, n_in_bins, 0);
	return before > 1.2 * table_cost_nominal(template_of(family), n_flows, memory);
}

// The family's flows that an LPM part would have. NULL: few, or no memory.
static struct flow **family_flows(const struct table_family *family, uint32_t *n_flows)
{
	struct flow **flows;
	uint32_t n = 0, n_shapes = 0;

	for (const struct table_shape *shape = family->shapes; shape; shape = shape->family_next)
		if (!shape_is_bulky(shape)) {
			n += shape->n_flows;
			n_shapes += shape->n_flows > 0;
		}
	*n_flows = n;
	if (n < FAMILY_MIN_FLOWS || n_shapes < FAMILY_MIN_SHAPES || n < family->hopeless_below ||
	    !part_pays(family, n))
		return NULL;
	flows = malloc(n * sizeof(struct flow *));
	n = 0;
	for (const struct table_shape *shape = family->shapes; flows && shape;
	     shape = shape->family_next) {
		const struct flow *flow = shape->first;

		for (uint32_t i = 0; !shape_is_bulky(shape) && i < shape->n_flows; i++) {
			flows[n++] = (struct flow *)(uintptr_t)flow;
			flow = flow->list_next;
		}
	}
	return flows;
}

// The flow has been put into `part`: take it out of a bin, or leave the shape's own part behind.
static void flow_adopt(struct table *table, struct flow *flow, struct table_holder *part)
{
	struct table_holder *old = flow->owner;

	flow->owner = part;
	if (old && !old->shape && !old->family)
		table_small_remove(table, old, flow);
}

// Without memory to make a view without the part, it stays as an empty one.
static void part_abandon(struct table *table, struct table_shape *shape, struct table_holder *part)
{
	struct flow *flow = shape->first;

	part->shape = NULL;
	table->n_hashes -= part->classifier->id == CLASSIFIER_HASH;
	if (table_part_drop(table, part) == 0)
		return;
	for (uint32_t i = 0; i < shape->n_flows; i++, flow = flow->list_next)
		part->classifier->template->remove(part->classifier, flow);
}

// The shape's flows are all in the family's part: let go of what they were in.
static void shape_adopt(struct table *table, struct table_shape *shape, struct table_holder *part)
{
	struct table_holder *own = shape->part;
	struct flow *flow = shape->first;

	shape->part = part;
	if (table->mix && flow && flow->owner == table->mix)
		table->mix->classifier->n_masks--;
	for (uint32_t i = 0; i < shape->n_flows; i++, flow = flow->list_next)
		flow_adopt(table, flow, part);
	if (own && own != part)
		part_abandon(table, shape, own);
}

// 1: all flows of the family that suit are in a part of its own now. 0: they are where they were.
static int family_form(struct table *table, struct table_family *family)
{
	struct table_holder *part;
	uint32_t n;
	struct flow **flows = family_flows(family, &n);

	if (!flows)
		return 0;
	table_change_begin(table);
	part = table_part_add(table, template_of(family), flows, n);
	free(flows);
	if (!part) {
		family->hopeless_below = n > UINT32_MAX / 2 ? UINT32_MAX : 2 * n;
		return 0;
	}
	part->family = family;
	family->part = part;
	for (struct table_shape *shape = family->shapes; shape; shape = shape->family_next)
		if (!shape_is_bulky(shape))
			shape_adopt(table, shape, part);
	return 1;
}

// Take the first n flows of the shape out of the family's part.
static void part_take_out(struct table_holder *part, const struct table_shape *shape, uint32_t n)
{
	struct flow *flow = shape->first;

	for (uint32_t i = 0; i < n; i++, flow = flow->list_next)
		part->classifier->template->remove(part->classifier, flow);
}

// Lookups must know the new bound before they can need the flow.
static int part_raise(struct table *table, struct table_holder *part, uint64_t rank)
{
	return rank > part->max_rank ? table_part_bound(table, part, rank) : 0;
}

// A shape that has no part, or a new shape: all its flows go to the family's part. 1, or 0 if they
// cannot.
static int shape_enter(struct table *table, struct table_shape *shape, struct table_holder *part)
{
	struct flow *flow = shape->first;
	uint32_t n = 0;

	table_change_begin(table);
	for (; n < shape->n_flows; n++, flow = flow->list_next) {
		if (part_raise(table, part, flow->rank) < 0 ||
		    part->classifier->template->insert(part->classifier, flow) < 0) {
			part_take_out(part, shape, n);
			return 0;
		}
	}
	shape_adopt(table, shape, part);
	return 1;
}

static void family_part_drop(struct table *table, struct table_family *family)
{
	struct table_holder *part = family->part;

	if (table_part_drop(table, part) < 0)
		return; // it goes on, empty
	family->part = NULL;
	for (struct table_shape *shape = family->shapes; shape; shape = shape->family_next)
		if (shape->part == part)
			shape->part = NULL;
}

// The flows that are left go to the bins, one by one. Without memory they stay.
static void family_dissolve(struct table *table, struct table_family *family)
{
	struct table_holder *part = family->part;

	table_change_begin(table);
	for (struct table_shape *shape = family->shapes; shape; shape = shape->family_next) {
		struct flow *flow = shape->first;

		for (uint32_t i = 0; shape->part == part && i < shape->n_flows; i++) {
			if (flow->owner == part) {
				if (table_small_insert(table, flow) < 0)
					return;
				part->classifier->template->remove(part->classifier, flow);
			}
			flow = flow->list_next;
		}
		if (shape->part == part)
			shape->part = NULL;
	}
	family_part_drop(table, family);
}

// Few flows are left, or none.
static void family_shrink(struct table *table, struct table_family *family)
{
	if (family->part->classifier->n_flows == 0)
		family_part_drop(table, family);
	else if (family->part->classifier->n_flows < FAMILY_KEEP_FLOWS)
		family_dissolve(table, family);
}

// The shape does not suit any more: it gets a hash part, the new flow included, which is in no part
// yet.
static int shape_leave(struct table *table, struct table_shape *shape, const struct flow *added)
{
	struct table_holder *old = shape->part, *part;
	struct flow **flows = malloc(shape->n_flows * sizeof(struct flow *));
	struct flow *flow = shape->first;

	if (!flows)
		return -ENOMEM;
	for (uint32_t i = 0; i < shape->n_flows; i++, flow = flow->list_next)
		flows[i] = flow;
	table_change_begin(table);
	part = table_part_add(table, CLASSIFIER_HASH, flows, shape->n_flows);
	for (uint32_t i = 0; part && i < shape->n_flows; i++) {
		if (flows[i] != added && flows[i]->owner == old)
			old->classifier->template->remove(old->classifier, flows[i]);
		flow_adopt(table, flows[i], part);
	}
	free(flows);
	if (!part)
		return -ENOMEM;
	part->shape = shape;
	shape->part = part;
	table->n_hashes++;
	shape->family->hopeless_below = 2 * old->classifier->n_flows + 2 * FAMILY_MIN_FLOWS;
	family_shrink(table, shape->family);
	return 0;
}

static int part_insert(struct table *table, struct table_shape *shape, struct flow *flow)
{
	struct table_holder *part = shape->part;
	int rc;

	if (shape_is_bulky(shape))
		return shape_leave(table, shape, flow);
	rc = part_raise(table, part, flow->rank);
	if (rc < 0)
		return rc;
	flow->owner = part;
	rc = part->classifier->template->insert(part->classifier, flow);
	return rc == -ENOSPC ? shape_leave(table, shape, flow) : rc;
}

int table_lpm_insert(struct table *table, struct flow *flow)
{
	struct table_shape *shape = flow->shape;
	struct table_family *family;
	int rc;

	if (shape->part && shape->part->family) {
		rc = part_insert(table, shape, flow);
		return rc < 0 ? rc : 1;
	}
	if (!shape->family && !shape->part)
		shape_join(table, shape);
	family = shape->family;
	if (!family || shape_is_bulky(shape))
		return 0;
	if (!family->part)
		return family_form(table, family);
	return shape->part ? 0 : shape_enter(table, shape, family->part);
}

static void part_lower(struct table *table, struct table_holder *part)
{
	const struct table_family *family = part->family;
	uint64_t max_rank = 0;

	for (const struct table_shape *shape = family->shapes; shape; shape = shape->family_next) {
		const struct flow *flow = shape->first;

		for (uint32_t i = 0; shape->part == part && i < shape->n_flows; i++) {
			if (flow->rank > max_rank)
				max_rank = flow->rank;
			flow = flow->list_next;
		}
	}
	table_part_bound(table, part, max_rank);
}

void table_lpm_remove(struct table *table, struct flow *flow)
{
	struct table_holder *part = flow->owner;
	struct table_family *family = part->family;
	const uint32_t n_flows = part->classifier->n_flows - 1;

	part->classifier->template->remove(part->classifier, flow);
	part->n_removed++;
	part->is_stale |= flow->rank == part->max_rank;
	if (n_flows < FAMILY_KEEP_FLOWS)
		family_shrink(table, family);
	else if (part->is_stale && (part->n_removed >= n_flows || n_flows <= SCAN_MAX_FLOWS))
		part_lower(table, part);
}

bool table_lpm_stays(const struct table_holder *part)
{
	return part->classifier->id == CLASSIFIER_LPM &&
	       part->classifier->n_flows > FAMILY_KEEP_FLOWS;
}

void table_lpm_destroy(struct table_holder *part)
{
	if (part->family)
		part->family->part = NULL;
	part->family = NULL;
}
