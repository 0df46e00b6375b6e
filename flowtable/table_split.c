// Whether a table is searched as sub-tables by the value of one field (classifier/split.h).
//
// That is for tables with many masks, where lookups go through a bit vector or several hash tables.
// If at least nine flows of ten have a field exactly, with two values or more, and most values have
// so few flows that a linear part will do, then a sub-table with only the flows of its own value
// costs a packet less. Flows without the field stay in the table's other parts, and so do masks with
// very many flows, which a hash table serves as well.
//
// Flows move in two steps: they are put into sub-tables, of which lookups know nothing yet or where
// they find the same flow twice; then one view of the table has them there only.
//
// Moving changes the order in which the table lists its flows. So it is done while a flow is
// inserted and never while one is removed or replaced, as whoever goes through the list may do that.
#include "flowtable/table_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "flowtable/classifier/split.h"
#include "flowtable/table_cost.h"

// A split is considered with so many flows that could move; to one that there is, fewer follow.
#define SPLIT_MIN_FLOWS TABLE_SPLIT_INTERVAL
#define FOLLOW_MIN_FLOWS (SPLIT_MIN_FLOWS / 2)
// Without a mix, so many hash parts have to be searched.
#define SPLIT_MIN_HASHES 3
// Of ten flows, so many have to have the field.
#define SPLIT_MIN_SHARE 9
// Sub-tables have to cost less than this part of what there is.
#define SPLIT_MAX_COST 0.75
#define SPLIT_MAX_SHAPES 1024
// What packets of eight values in a vector cost: for each the gathering, then the calls for the
// parts of a sub-table, which few packets share.
#define SPLIT_CYCLES 8
#define SUB_LINEAR_CYCLES 4
#define SUB_LINEAR_FLOW_CYCLES 0.5
#define SUB_MIX_CYCLES 85
#define SUB_MIX_FLOW_CYCLES 0.021

// Fields that may divide a table.
static const struct split_field {
	const char *name;
	uint16_t offset; // of the key
	uint16_t n_bytes;
	uint16_t bits; // big endian, 0: all
} split_fields[] = {
	{ "metadata", offsetof(struct key, core.metadata), 8, 0 },
	{ "in_port", offsetof(struct key, core.in_port), 4, 0 },
	{ "vlan_vid", offsetof(struct key, core.vlan_tci0), 2, 0x1fff },
	{ "tun_id", offsetof(struct key, tunnel.tun_id), 8, 0 },
#define REG(n)                                                                                     \
	{                                                                                          \
		"reg" #n, offsetof(struct key, registers.reg[n]), 4, 0                             \
	}
	REG(0),
	REG(1),
	REG(2),
	REG(3),
	REG(4),
	REG(5),
	REG(6),
	REG(7),
	REG(8),
	REG(9),
	REG(10),
	REG(11),
	REG(12),
	REG(13),
	REG(14),
	REG(15),
#undef REG
};
#define N_SPLIT_FIELDS (sizeof(split_fields) / sizeof(split_fields[0]))

static unsigned int field_word(const struct split_field *field)
{
	return field->offset / 8;
}

static uint64_t field_bits(const struct split_field *field)
{
	const uint64_t bits = field->bits           ? rte_cpu_to_be_16(field->bits)
			      : field->n_bytes == 8 ? UINT64_MAX
						    : UINT32_MAX;

	return bits << field->offset % 8 * 8;
}

// Does the mask have the field exactly, and in which of its words?
static bool mask_has(const struct mask *mask, unsigned int word, uint64_t bits, unsigned int *at)
{
	for (unsigned int i = 0; i < mask->n_words; i++)
		if (mask->word[i] == word) {
			*at = i;
			return (mask->bits[i] & bits) == bits;
		}
	return false;
}

static struct classifier_split *split_of(const struct table *table)
{
	return (struct classifier_split *)table->split->classifier;
}

static bool flow_value(const struct classifier_split *split, const struct flow *flow,
		       uint64_t *value)
{
	unsigned int at;

	if (!mask_has(flow->mask, split->word, split->bits, &at))
		return false;
	*value = flow->values[at] & split->bits;
	return true;
}

// ---- Sub-tables ---------------------------------------------------------------------------------

void table_sub_destroy(struct table *sub)
{
	for (uint32_t i = 0; i < sub->n_parts; i++)
		table_lpm_destroy(sub->parts[i]);
	table_parts_destroy(sub);
	table_index_free(&sub->families);
	free(sub);
}

void table_families_destroy(struct table *table)
{
	for (uint32_t i = 0; i < table->n_parts; i++)
		table_lpm_destroy(table->parts[i]);
	if (!table->split)
		return;
	split_for_each(split_of(table), slot) table_families_destroy(slot->table);
}

static int sub_get(struct table *table, struct classifier_split *split, uint64_t value,
		   struct table **sub)
{
	struct table *made;

	*sub = split_find(split, value);
	if (*sub)
		return 0;
	made = table_create(table->id);
	if (!made)
		return -ENOMEM;
	made->whole = table;
	made->split_value = value;
	if (split_add(split, made) < 0) {
		free(made);
		return -ENOMEM;
	}
	*sub = made;
	return 0;
}

int table_split_home(struct table *table, const struct flow *flow, struct table **home)
{
	uint64_t value;

	if (!flow_value(split_of(table), flow, &value))
		return 0;
	return sub_get(table, split_of(table), value, home);
}

const struct table *table_split_has(const struct table *table, const struct flow *flow)
{
	const struct table *sub = NULL;
	uint64_t value;

	if (table->split && flow_value(split_of(table), flow, &value))
		sub = split_find(split_of(table), value);
	return sub ? sub : table;
}

int table_split_raise(struct table *table, uint64_t rank)
{
	return rank > table->split->max_rank ? table_part_bound(table, table->split, rank) : 0;
}

static uint64_t split_max_rank(const struct classifier_split *split)
{
	uint64_t max_rank = 0;

	split_for_each(split,
		       slot) if (slot->table->n_parts && slot->table->parts[0]->max_rank > max_rank)
		max_rank = slot->table->parts[0]->max_rank;
	return max_rank;
}

// The bound is made exact when that has been paid for by as many removals.
void table_split_count(struct table *table, int change, uint64_t rank)
{
	struct table_holder *split = table->split;

	split->classifier->n_flows += (uint32_t)change;
	if (change > 0)
		return;
	if (split->classifier->n_flows == 0) {
		if (table_part_drop(table, split) == 0)
			table->split = NULL;
		return;
	}
	split->n_removed++;
	split->is_stale |= rank == split->max_rank;
	if (split->is_stale && split->n_removed >= split_of(table)->index->n)
		table_part_bound(table, split, split_max_rank(split_of(table)));
}

double table_split_cost(const struct classifier *classifier,
			double (*cost)(const struct classifier *part))
{
	const struct classifier_split *split = (const struct classifier_split *)classifier;
	double sum = 0;

	split_for_each(split, slot)
	{
		uint32_t n_flows = 0;
		double cycles = 0;

		for (uint32_t i = 0; i < slot->table->n_parts; i++) {
			n_flows += slot->table->parts[i]->classifier->n_flows;
			cycles += cost(slot->table->parts[i]->classifier);
		}
		sum += n_flows * cycles;
	}
	return SPLIT_CYCLES + (classifier->n_flows ? sum / classifier->n_flows : 0);
}

void table_split_describe(const struct classifier *classifier, struct table_part *part)
{
	const struct classifier_split *split = (const struct classifier_split *)classifier;

	part->field = split->field;
	split_for_each(split, slot)
	{
		uint32_t n_masks = 0;

		for (uint32_t i = 0; i < slot->table->n_parts; i++)
			n_masks += slot->table->parts[i]->classifier->n_masks;
		if (n_masks > part->n_masks)
			part->n_masks = n_masks;
		part->n_values += slot->table->n_parts > 0;
	}
}

// ---- The choice ---------------------------------------------------------------------------------

// Shapes whose flows could move, and what lookups in their parts cost now.
struct candidates {
	uint32_t n;
	uint32_t n_flows;
	double cycles;
	struct table_shape *shapes[SPLIT_MAX_SHAPES];
};

static double part_cycles(const struct classifier *part)
{
	return table_cost_nominal((enum classifier_template_id)part->id, part->n_flows,
				  part->template->memory(part));
}

static bool can_move(const struct table *table, const struct table_shape *shape)
{
	return shape->home == table && !shape->is_clause && shape->n_flows > 0 &&
	       shape->n_expected == 0 && shape->mask->n_words > 0 &&
	       shape->n_flows <= SHAPE_CROWDED_MAX_FLOWS && !(shape->part && shape->part->family);
}

static void candidates_find(struct candidates *candidates, const struct table *table)
{
	memset(candidates, 0, offsetof(struct candidates, shapes));
	for (uint32_t i = 0; i < table->shapes.n_buckets; i++)
		for (struct table_index_node *node = table->shapes.buckets[i]; node;
		     node = node->next) {
			struct table_shape *shape = container_of(node, struct table_shape, index);

			if (!can_move(table, shape) || candidates->n == SPLIT_MAX_SHAPES)
				continue;
			candidates->shapes[candidates->n++] = shape;
			candidates->n_flows += shape->n_flows;
			if (shape->part)
				candidates->cycles += part_cycles(shape->part->classifier);
		}
	for (uint32_t i = 0; i < table->n_parts; i++) {
		const struct table_holder *part = table->parts[i];

		if (!part->shape && !part->family && part != table->split)
			candidates->cycles += part_cycles(part->classifier);
	}
}

static int by_value(const void *a, const void *b)
{
	const uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return left < right ? -1 : left > right;
}

static double sub_cycles(uint32_t n_flows)
{
	return n_flows <= BIN_MAX_FLOWS ? SUB_LINEAR_CYCLES + SUB_LINEAR_FLOW_CYCLES * n_flows
					: SUB_MIX_CYCLES + SUB_MIX_FLOW_CYCLES * n_flows;
}

// The cost if the table were split by the field, whose values `values` has room for. 0: it cannot
// be.
static double try_field(const struct candidates *candidates, const struct split_field *field,
			uint64_t *values, uint32_t *n_values)
{
	const uint64_t bits = field_bits(field);
	uint32_t n = 0, n_run = 0;
	unsigned int at;
	double sum = 0;

	for (uint32_t s = 0; s < candidates->n; s++) {
		const struct table_shape *shape = candidates->shapes[s];
		const struct flow *flow = shape->first;

		if (!mask_has(shape->mask, field_word(field), bits, &at))
			continue;
		for (uint32_t i = 0; i < shape->n_flows; i++, flow = flow->list_next)
			values[n++] = flow->values[at] & bits;
	}
	if ((uint64_t)n * 10 < (uint64_t)candidates->n_flows * SPLIT_MIN_SHARE)
		return 0;
	qsort(values, n, sizeof(*values), by_value);
	*n_values = 0;
	for (uint32_t i = 0; i < n; i++) {
		n_run++;
		if (i + 1 < n && values[i + 1] == values[i])
			continue;
		sum += n_run * sub_cycles(n_run);
		n_run = 0;
		++*n_values;
	}
	// What has to stay is in bins, or in a mix.
	return *n_values < 2
		       ? 0
		       : SPLIT_CYCLES + sum / n +
				 (n < candidates->n_flows ? sub_cycles(candidates->n_flows - n)
							  : 0);
}

// The best field, or NULL.
static const struct split_field *choose_field(const struct candidates *candidates,
					      uint32_t *n_values)
{
	uint64_t *values = malloc(candidates->n_flows * sizeof(*values));
	const struct split_field *best = NULL;
	double least = candidates->cycles * SPLIT_MAX_COST;

	for (unsigned int f = 0; values && f < N_SPLIT_FIELDS; f++) {
		uint32_t n;
		const double cycles = try_field(candidates, &split_fields[f], values, &n);

		if (cycles == 0 || cycles >= least)
			continue;
		least = cycles;
		best = &split_fields[f];
		*n_values = n;
	}
	free(values);
	return best;
}

// ---- Moving -------------------------------------------------------------------------------------

// A flow on its way, and where it was.
struct move {
	struct flow *flow;
	struct table_shape *shape;
	struct table_holder *owner;
};

static int by_rank(const void *a, const void *b)
{
	const uint64_t left = ((const struct move *)a)->flow->rank;
	const uint64_t right = ((const struct move *)b)->flow->rank;

	return left < right ? -1 : left > right;
}

// By rising rank: so flows with equal matches, which hang together in hash parts, hang in the same
// order all the time.
static struct move *moves_create(const struct candidates *candidates,
				 const struct classifier_split *split, uint32_t *n_moves)
{
	struct move *moves = malloc(candidates->n_flows * sizeof(*moves));
	uint32_t n = 0;
	unsigned int at;

	for (uint32_t s = 0; moves && s < candidates->n; s++) {
		struct table_shape *shape = candidates->shapes[s];
		struct flow *flow = shape->first;

		if (!mask_has(shape->mask, split->word, split->bits, &at))
			continue;
		for (uint32_t i = 0; i < shape->n_flows; i++, flow = flow->list_next)
			moves[n++] = (struct move){ flow, shape, flow->owner };
	}
	if (moves)
		qsort(moves, n, sizeof(*moves), by_rank);
	*n_moves = n;
	return moves;
}

static int move_make(struct table *table, struct classifier_split *split, const struct move *move)
{
	struct table_shape *shape;
	struct table *sub;
	uint64_t value;

	if (!flow_value(split, move->flow, &value) || sub_get(table, split, value, &sub) < 0 ||
	    table_flow_move(table, move->flow, sub) < 0)
		return -ENOMEM;
	if (table_parts_insert(sub, move->flow) == 0)
		return 0;
	shape = move->flow->shape;
	table_flow_unlist(table, move->flow);
	table_shape_free_if_empty(table, shape);
	table_flow_list(table, move->flow, move->shape);
	move->flow->owner = move->owner;
	return -ENOMEM;
}

// In the reverse order: see moves_create().
static void moves_undo(struct table *table, const struct move *moves, uint32_t n_moves)
{
	while (n_moves-- > 0) {
		const struct move *move = &moves[n_moves];
		struct table_shape *shape = move->flow->shape;

		table_flow_unlist(table, move->flow);
		table_parts_remove(shape->home, move->flow);
		table_shape_free_if_empty(table, shape);
		table_flow_list(table, move->flow, move->shape);
		move->flow->owner = move->owner;
	}
}

// All of them are in sub-tables: let go of what they were in. `added` is a new split, or NULL.
static int moves_settle(struct table *table, const struct candidates *candidates,
			struct table_holder *added)
{
	table_change_begin(table);
	if (table_parts_leave(table, added) < 0)
		return -ENOMEM;
	for (uint32_t s = 0; s < candidates->n; s++) {
		struct table_shape *shape = candidates->shapes[s];

		if (shape->n_flows > 0)
			continue;
		shape->part = NULL;
		table_shape_free_if_empty(table, shape);
	}
	return 0;
}

static int moves_make(struct table *table, struct classifier_split *split,
		      const struct candidates *candidates, struct table_holder *added)
{
	uint32_t n, n_done = 0;
	struct move *moves = moves_create(candidates, split, &n);
	int rc = moves && n ? 0 : -ENOMEM;

	if (rc == 0 && added)
		added->max_rank = moves[n - 1].flow->rank;
	else if (rc == 0)
		rc = table_split_raise(table, moves[n - 1].flow->rank);
	table_change_begin(table);
	for (; rc == 0 && n_done < n; n_done += rc == 0)
		rc = move_make(table, split, &moves[n_done]);
	if (rc == 0)
		rc = moves_settle(table, candidates, added);
	if (rc == 0)
		split->base.n_flows += n;
	else
		moves_undo(table, moves, n_done);
	free(moves);
	return rc;
}

// Without memory the table stays as it is.
static void split_form(struct table *table, const struct candidates *candidates,
		       const struct split_field *field, uint32_t n_values)
{
	struct classifier_split *split =
		split_create(field_word(field), field_bits(field), field->name, n_values);
	struct table_holder *part = calloc(1, sizeof(*part));

	if (split && part) {
		part->classifier = &split->base;
		if (moves_make(table, split, candidates, part) == 0) {
			table->split = part;
			return;
		}
	}
	if (split)
		split->base.template->destroy(split);
	free(part);
}

// Flows of masks that were not there when the table was split, or were in use elsewhere.
static void split_follow(struct table *table, const struct candidates *candidates)
{
	struct classifier_split *split = split_of(table);
	uint32_t n = 0;
	unsigned int at;

	for (uint32_t s = 0; s < candidates->n; s++)
		if (mask_has(candidates->shapes[s]->mask, split->word, split->bits, &at))
			n += candidates->shapes[s]->n_flows;
	if (n >= FOLLOW_MIN_FLOWS)
		moves_make(table, split, candidates, NULL);
}

void table_split_check(struct table *table)
{
	const struct split_field *field;
	struct candidates candidates;
	uint32_t n_values;

	if (table->n_until_check > 0) {
		table->n_until_check--;
		return;
	}
	table->n_until_check = TABLE_SPLIT_INTERVAL;
	if (!table->mix && table->n_hashes < SPLIT_MIN_HASHES)
		return;
	candidates_find(&candidates, table);
	// Looking takes time in proportion to the flows and shapes: so many insertions pay for it.
	if (table->n_until_check < candidates.n_flows / 2)
		table->n_until_check = candidates.n_flows / 2;
	if (table->n_until_check < table->shapes.n_buckets / 2)
		table->n_until_check = table->shapes.n_buckets / 2;
	if (table->split) {
		split_follow(table, &candidates);
		return;
	}
	field = candidates.n_flows >= SPLIT_MIN_FLOWS ? choose_field(&candidates, &n_values) : NULL;
	if (field)
		split_form(table, &candidates, field, n_values);
}
