// What a table's lookups would cost with one more flow (table_cost.h): for a limit that refuses it.
#include "flowtable/table_cost.h"
#include "flowtable/table_internal.h"

static double part_growth(const struct classifier *part)
{
	const enum classifier_template_id id = (enum classifier_template_id)part->id;
	const size_t memory = part->template->memory(part);

	return table_cost_here(id, part->n_flows + 1, memory) -
	       table_cost_here(id, part->n_flows, memory);
}

// Of a flow that goes to the bins of the table, or to its mix.
static double small_growth(const struct table *table)
{
	const uint32_t n = table->n_binned;

	if (table->mix)
		return part_growth(table->mix->classifier);
	return table_cost_here(n < BINS_MAX_FLOWS ? CLASSIFIER_LINEAR : CLASSIFIER_BITVECTOR, n + 1,
			       0) -
	       (n ? table_cost_here(CLASSIFIER_LINEAR, n, 0) : 0);
}

// A shape that is about to have too many flows for the bins gets a part of its own.
static double promotion_growth(const struct table *table, uint32_t n_flows)
{
	const uint32_t n = table->n_binned > n_flows ? table->n_binned : n_flows;

	return table_cost_here(CLASSIFIER_HASH, n_flows + 1, 0) -
	       table_cost_here(CLASSIFIER_LINEAR, n, 0) +
	       (n > n_flows ? table_cost_here(CLASSIFIER_LINEAR, n - n_flows, 0) : 0);
}

static double growth(const struct table *table, const struct flow *more)
{
	const bool is_clause = flow_is_clause(more);
	const struct table_shape *shape = table_shape_find(table, more->mask, is_clause);
	double cycles;

	if (is_clause)
		return shape ? 0 : table_cost_here(CLASSIFIER_HASH, 1, 0);
	if (shape && shape->part)
		return part_growth(shape->part->classifier);
	if (more->mask->n_words == 0)
		return table_cost_here(CLASSIFIER_CONST, 1, 0);
	if (shape && !table->mix && shape->n_flows >= SHAPE_BIN_MAX_FLOWS)
		cycles = promotion_growth(table, shape->n_flows);
	else
		cycles = small_growth(table_split_has(table, more));
	return cycles > 0 ? cycles : 0;
}

double table_cost_of(const struct table *table)
{
	const struct table_clauses *clauses = table->clauses;
	double cycles = 0;

	for (uint32_t i = 0; i < table->n_parts; i++)
		cycles += table_cost_measured(table->parts[i]->classifier);
	for (uint32_t i = 0; clauses && i < clauses->n; i++)
		cycles += table_cost_measured(clauses->entries[i].classifier);
	return cycles;
}

double table_cost_with(const struct table *table, const struct flow *more, bool *is_new_mask)
{
	*is_new_mask = !table_shape_find(table, more->mask, flow_is_clause(more));
	return table_cost_of(table) + growth(table, more);
}
