#include "flowtable/classifier/bitvector_block.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/rcu.h"

// Flows are gathered anew after so many changes, and a fourth of all flows.
#define MIN_CHANGES 128

// Blocks in the making.
struct block_list {
	uint32_t n;
	uint32_t size;
	struct bitvector_block **blocks;
};

static bool bitvector_suits(const struct mask *const *masks, unsigned int n_masks, uint32_t n_flows)
{
	(void)masks, (void)n_masks, (void)n_flows;
	return true;
}

static uint8_t view_column(struct bitvector_view *view, uint8_t word)
{
	uint32_t c = 0;

	while (c < view->n_columns && view->columns[c] != word)
		c++;
	if (c == view->n_columns)
		view->columns[view->n_columns++] = word;
	return (uint8_t)c;
}

static uint32_t view_row(struct bitvector_view *view, const struct bitvector_stride *stride)
{
	uint32_t r = 0;

	while (r < view->n_rows &&
	       (view->rows[r].column != stride->column || view->rows[r].shift != stride->shift))
		r++;
	if (r == view->n_rows)
		view->rows[view->n_rows++] = *stride;
	return r;
}

// A new block learns where it finds its words.
static void view_add(struct bitvector_view *view, struct bitvector_block *block)
{
	for (uint32_t f = 0; f < block->n_filters; f++)
		block->filters[f].column = view_column(view, block->filters[f].word);
	for (uint32_t s = 0; s < block->n_strides; s++) {
		block->strides[s].column = view_column(view, block->strides[s].word);
		block->strides[s].row = view_row(view, &block->strides[s]);
	}
	view->blocks[view->n_blocks++] = block;
}

static struct bitvector_view *view_alloc(uint32_t n_blocks)
{
	return calloc(1,
		      sizeof(struct bitvector_view) + n_blocks * sizeof(struct bitvector_block *));
}

static void view_sort(struct bitvector_view *view)
{
	for (uint32_t i = 1; i < view->n_blocks; i++) {
		struct bitvector_block *block = view->blocks[i];
		uint32_t j = i;

		for (; j > 0 && view->blocks[j - 1]->max_rank < block->max_rank; j--)
			view->blocks[j] = view->blocks[j - 1];
		view->blocks[j] = block;
	}
}

// A view with `add`, and without `drop`; each may be NULL. On failure `add` is gone.
static int publish(struct classifier_bitvector *bitvector, struct bitvector_block *add,
		   struct bitvector_block *drop)
{
	struct bitvector_view *old = bitvector->view;
	struct bitvector_view *view = view_alloc(old->n_blocks + 1);

	if (!view) {
		free(add);
		return -ENOMEM;
	}
	memcpy(view, old, sizeof(*view));
	view->n_blocks = 0;
	for (uint32_t b = 0; b < old->n_blocks; b++)
		if (old->blocks[b] != drop)
			view->blocks[view->n_blocks++] = old->blocks[b];
	if (add)
		view_add(view, add);
	view_sort(view);
	rcu_publish(&bitvector->view, view);
	rcu_defer(free, old);
	if (drop)
		rcu_defer(free, drop);
	return 0;
}

static void list_free(struct block_list *list)
{
	for (uint32_t b = 0; b < list->n; b++)
		free(list->blocks[b]);
	free(list->blocks);
}

static int list_add(void *context, struct flow **flows, uint32_t n_flows)
{
	struct block_list *list = context;
	struct bitvector_block *block;

	if (list->n == list->size) {
		const uint32_t size = list->size ? list->size * 2 : 16;
		struct bitvector_block **blocks = realloc(list->blocks, size * sizeof(*blocks));

		if (!blocks)
			return -ENOMEM;
		list->blocks = blocks;
		list->size = size;
	}
	block = block_create(flows, n_flows, BLOCK_ROOM_BETWEEN);
	if (!block)
		return -ENOMEM;
	list->blocks[list->n++] = block;
	return 0;
}

// A view of these flows, well arranged; NULL without memory. Reorders `flows`.
static struct bitvector_view *view_create(struct flow **flows, uint32_t n_flows)
{
	struct block_list list = { 0 };
	struct bitvector_view *view = NULL;

	if (n_flows == 0)
		return view_alloc(0);
	if (bitvector_cluster(flows, n_flows, list_add, &list) == 0)
		view = view_alloc(list.n);
	if (!view) {
		list_free(&list);
		return NULL;
	}
	for (uint32_t b = 0; b < list.n; b++)
		view_add(view, list.blocks[b]);
	view_sort(view);
	free(list.blocks);
	return view;
}

void bitvector_flows(const struct classifier *classifier, struct flow **flows)
{
	const struct bitvector_view *view = ((const struct classifier_bitvector *)classifier)->view;

	for (uint32_t b = 0; b < view->n_blocks; b++) {
		const struct bitvector_block *block = view->blocks[b];

		for (uint32_t i = 0; i < block->n_flows; i++)
			*flows++ = block->flows[block->places[i]];
	}
}

void bitvector_set_owner(const struct classifier *classifier, struct table_holder *owner)
{
	const struct bitvector_view *view = ((const struct classifier_bitvector *)classifier)->view;

	for (uint32_t b = 0; b < view->n_blocks; b++)
		for (uint32_t i = 0; i < view->blocks[b]->n_flows; i++)
			view->blocks[b]->flows[view->blocks[b]->places[i]]->owner = owner;
}

uint64_t bitvector_max_rank(const struct classifier *classifier)
{
	const struct bitvector_view *view = ((const struct classifier_bitvector *)classifier)->view;
	uint64_t rank = 0;

	for (uint32_t b = 0; b < view->n_blocks; b++)
		if (view->blocks[b]->n_flows && view->blocks[b]->max_rank > rank)
			rank = view->blocks[b]->max_rank;
	return rank;
}

// All flows, and `more` unless that is NULL, in a new view.
static int gather(struct classifier_bitvector *bitvector, struct flow *more)
{
	struct bitvector_view *old = bitvector->view, *view = NULL;
	const uint32_t n_flows = bitvector->base.n_flows;
	struct flow **flows = malloc((n_flows + 1) * sizeof(*flows));

	if (!flows)
		return -ENOMEM;
	bitvector_flows(&bitvector->base, flows);
	flows[n_flows] = more;
	view = view_create(flows, n_flows + (more ? 1 : 0));
	free(flows);
	if (!view)
		return -ENOMEM;
	rcu_publish(&bitvector->view, view);
	for (uint32_t b = 0; b < old->n_blocks; b++)
		rcu_defer(free, old->blocks[b]);
	rcu_defer(free, old);
	bitvector->n_changes = 0;
	return 0;
}

static bool is_time_to_gather(const struct classifier_bitvector *bitvector)
{
	return bitvector->n_changes >= MIN_CHANGES + bitvector->base.n_flows / 4;
}

// A new block with the flows of `block` and another one.
static int block_extend(struct classifier_bitvector *bitvector, struct bitvector_block *block,
			struct flow *flow)
{
	struct flow *flows[BITVECTOR_BLOCK_FLOWS];
	const uint32_t order = block_order(block, flow->rank);
	struct bitvector_block *extended;
	uint32_t n = 0;

	for (uint32_t i = 0; i < block->n_flows; i++) {
		if (i == order)
			flows[n++] = flow;
		flows[n++] = block->flows[block->places[i]];
	}
	if (order == block->n_flows)
		flows[n++] = flow;
	extended = block_create(flows, n,
				order == block->n_flows ? BLOCK_ROOM_BEHIND
				: order == 0            ? BLOCK_ROOM_BEFORE
							: BLOCK_ROOM_BETWEEN);
	return extended ? publish(bitvector, extended, block) : -ENOMEM;
}

// The flow fits but for a place: others make room in a copy. Where flows come in the order of
// their ranks a new block is better, as it has room for many; so it is where all places are taken.
static int block_make_room(struct classifier_bitvector *bitvector, struct bitvector_block *block,
			   struct flow *flow)
{
	const uint32_t order = block_order(block, flow->rank);
	struct bitvector_block *copy;

	if (order == 0 || order == block->n_flows || block->n_flows == block->n_places)
		return block_extend(bitvector, block, flow);
	copy = block_copy_with_room(block, order);
	if (!copy)
		return -ENOMEM;
	block_insert(copy, flow, order);
	return publish(bitvector, copy, block);
}

static int block_start(struct classifier_bitvector *bitvector, struct flow *flow)
{
	struct bitvector_block *block = block_create(&flow, 1, BLOCK_ROOM_BETWEEN);

	return block ? publish(bitvector, block, NULL) : -ENOMEM;
}

// Into the most special block that takes the flow as it is, or else into the most general one.
static int insert_somewhere(struct classifier_bitvector *bitvector, struct flow *flow)
{
	const struct bitvector_view *view = bitvector->view;
	struct bitvector_block *best = NULL, *general = NULL;
	unsigned int most = 0, fewest = UINT32_MAX;

	for (uint32_t b = 0; b < view->n_blocks; b++) {
		struct bitvector_block *block = view->blocks[b];
		const unsigned int n_bits = block_filter_bits(block);

		if (block->n_flows == BITVECTOR_BLOCK_FLOWS)
			continue;
		if ((!best || n_bits > most) && block_accepts(block, flow)) {
			best = block;
			most = n_bits;
		}
		if (n_bits < fewest) {
			general = block;
			fewest = n_bits;
		}
	}
	if (best && block_insert(best, flow, block_order(best, flow->rank)))
		return 0;
	if (best)
		return block_make_room(bitvector, best, flow);
	return general ? block_extend(bitvector, general, flow) : block_start(bitvector, flow);
}

static int bitvector_insert(struct classifier *classifier, struct flow *flow)
{
	struct classifier_bitvector *bitvector = (struct classifier_bitvector *)classifier;
	int rc = -ENOMEM;

	bitvector->n_changes++;
	if (is_time_to_gather(bitvector))
		rc = gather(bitvector, flow);
	if (rc < 0)
		rc = insert_somewhere(bitvector, flow);
	if (rc == 0)
		classifier->n_flows++;
	return rc;
}

// The block of a flow, and its order there.
static struct bitvector_block *find(const struct classifier_bitvector *bitvector,
				    const struct flow *flow, uint32_t *order)
{
	const struct bitvector_view *view = bitvector->view;

	for (uint32_t b = 0; b < view->n_blocks; b++) {
		*order = block_find(view->blocks[b], flow);
		if (*order < view->blocks[b]->n_flows)
			return view->blocks[b];
	}
	return NULL;
}

static void bitvector_remove(struct classifier *classifier, struct flow *flow)
{
	struct classifier_bitvector *bitvector = (struct classifier_bitvector *)classifier;
	uint32_t order;
	struct bitvector_block *block = find(bitvector, flow, &order);

	if (!block)
		return;
	block_remove(block, order);
	classifier->n_flows--;
	bitvector->n_changes++;
	// Should memory be missing for either, things stay as they are.
	if (is_time_to_gather(bitvector))
		gather(bitvector, NULL);
	else if (block->n_flows == 0)
		publish(bitvector, NULL, block);
}

static void bitvector_replace(struct classifier *classifier, struct flow *old, struct flow *flow)
{
	uint32_t order;
	struct bitvector_block *block =
		find((struct classifier_bitvector *)classifier, old, &order);

	if (block)
		block_replace(block, order, flow);
}

static void bitvector_destroy(void *classifier)
{
	struct classifier_bitvector *bitvector = classifier;

	for (uint32_t b = 0; b < bitvector->view->n_blocks; b++)
		free(bitvector->view->blocks[b]);
	free(bitvector->view);
	free(bitvector);
}

static int by_mask(const void *a, const void *b)
{
	uintptr_t left = (uintptr_t)(*(struct flow *const *)a)->mask;
	uintptr_t right = (uintptr_t)(*(struct flow *const *)b)->mask;

	return left < right ? 1 : left > right ? -1 : 0;
}

static uint32_t count_masks(struct flow **flows, uint32_t n_flows)
{
	uint32_t n = 0;

	qsort(flows, n_flows, sizeof(*flows), by_mask);
	for (uint32_t i = 0; i < n_flows; i++)
		n += i == 0 || flows[i]->mask != flows[i - 1]->mask;
	return n;
}

// The table counts masks from here on.
static struct classifier *bitvector_build(struct flow *const *flows, uint32_t n_flows)
{
	struct classifier_bitvector *bitvector = calloc(1, sizeof(*bitvector));
	struct flow **copy = malloc((n_flows + 1) * sizeof(*copy));

	if (bitvector && copy) {
		memcpy(copy, flows, n_flows * sizeof(*copy));
		bitvector->base.template = &classifier_bitvector;
		bitvector->base.id = CLASSIFIER_BITVECTOR;
		bitvector->base.n_flows = n_flows;
		bitvector->base.n_masks = count_masks(copy, n_flows);
		bitvector->view = view_create(copy, n_flows);
	}
	free(copy);
	if (bitvector && bitvector->view)
		return &bitvector->base;
	free(bitvector);
	return NULL;
}

static size_t bitvector_memory(const struct classifier *classifier)
{
	const struct bitvector_view *view = ((const struct classifier_bitvector *)classifier)->view;
	size_t size = sizeof(struct classifier_bitvector) + sizeof(*view);

	for (uint32_t b = 0; b < view->n_blocks; b++)
		size += sizeof(view->blocks[b]) + view->blocks[b]->size;
	return size;
}

const struct classifier_template classifier_bitvector = {
	.name = "bitvector",
	.suits = bitvector_suits,
	.build = bitvector_build,
	.destroy = bitvector_destroy,
	.insert = bitvector_insert,
	.remove = bitvector_remove,
	.replace = bitvector_replace,
	.memory = bitvector_memory,
};
