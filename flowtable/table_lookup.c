#include "common/rcu.h"
#include "flowtable/classifier/lanes.h"
#include "flowtable/table_internal.h"

#include <rte_branch_prediction.h>

// A lookup that changes have overtaken so many times asks the writer to wait for it.
#define FREE_ATTEMPTS 3

static classifier_lookup_function *const lookups[N_CLASSIFIERS] = {
#define CLASSIFIER(id, template) [CLASSIFIER_##id] = template##_lookup,
#include "flowtable/classifier/classifier.def"
#undef CLASSIFIER
};

void classifier_lookup(const struct classifier *classifier, const struct key_vector *keys,
		       uint64_t packets, struct classifier_result *result)
{
	lookups[classifier->id](classifier, keys, packets, result);
}

static classifier_view_function *const view_lookups[N_CLASSIFIERS] = {
#define CLASSIFIER(id, template) [CLASSIFIER_##id] = template##_view,
#include "flowtable/classifier/classifier.def"
#undef CLASSIFIER
};

void classifier_lookup_view(const struct classifier *classifier, const struct key_vector *keys,
			    uint64_t packets, struct classifier_result *result, enum flow_view view)
{
	view_lookups[classifier->id](classifier, keys, packets, result, view);
}

// Packets whose best flow cannot be beaten by a flow of this rank or less.
static uint64_t packets_settled(const struct classifier_result *result, uint64_t rank)
{
	const signed_lanes *ranks = (const signed_lanes *)result->rank;
	signed_lanes bound = (signed_lanes){ 0 } + (int64_t)rank;
	uint64_t open = 0;

	for (unsigned int g = 0; g < VECTOR_SIZE / LANES; g++) {
		lanes settled = (lanes)(ranks[g] >= bound);

		open |= lanes_zero(settled) << g * LANES;
	}
	return ~open;
}

static inline __attribute__((always_inline)) void parts_lookup(const struct table_view *parts,
							       const struct key_vector *keys,
							       uint64_t packets,
							       struct classifier_result *result,
							       enum flow_view view)
{
	for (uint32_t i = 0; i < parts->n; i++) {
		const struct table_entry *entry = &parts->entries[i];

		if (i > 0)
			packets &= ~packets_settled(result, entry->max_rank);
		if (!packets)
			return;
		if (view == VIEW_NONE)
			classifier_lookup(entry->classifier, keys, packets, result);
		else
			classifier_lookup_view(entry->classifier, keys, packets, result, view);
	}
}

void table_result_clear(struct classifier_result *result)
{
	for (unsigned int i = 0; i < VECTOR_SIZE; i++) {
		result->rank[i] = 0;
		result->flow[i] = NULL;
	}
}

void table_parts_lookup(const struct table_view *parts, const struct key_vector *keys,
			uint64_t packets, struct classifier_result *result, enum flow_view view)
{
	parts_lookup(parts, keys, packets, result, view);
}

// Ask the writer to begin no further change, or let it go on. The one word of a table that
// workers write, and hardly ever do.
static void hold(const struct table *table, int change)
{
	struct table *writable = (struct table *)(uintptr_t)table;

	__atomic_fetch_add(&writable->n_holding, (uint32_t)change, __ATOMIC_SEQ_CST);
}

// One pass over the parts. False if changes have overtaken it.
static inline __attribute__((always_inline)) bool lookup_once(const struct table *table,
							      const struct key_vector *keys,
							      uint64_t packets,
							      struct classifier_result *result,
							      enum flow_view view,
							      struct table_conjunction *conjunction)
{
	uint64_t version = __atomic_load_n(&table->version, __ATOMIC_SEQ_CST);
	const struct table_view *parts = rcu_read(&table->view);
	const struct table_clauses *clauses = rcu_read(&table->clauses);

	table_result_clear(result);
	if (parts)
		parts_lookup(parts, keys, packets, result, view);
	if (unlikely(clauses))
		table_clauses_lookup(clauses, parts, keys, packets, result, view, conjunction);
	return !(parts || clauses) || __atomic_load_n(&table->version, __ATOMIC_RELAXED) == version;
}

// Each change is one store, and a lookup beside it sees it or not. But a lookup
// could miss the first of two changes and see the second: a table that never was, in which a
// packet passes although the flow that stops it was added before the flow that lets it pass. So
// changes count up `version` before they show, and a lookup during which it stood still met one
// change at most, or several of one hash part (see change_begin()). (All that may change is read with acquire order, so before the second look.)
// Where changes come faster than lookups end, the writer waits for one lookup now and then.
static inline __attribute__((always_inline)) void lookup(const struct table *table,
							 const struct key_vector *keys,
							 uint64_t packets,
							 const struct flow *results[VECTOR_SIZE],
							 enum flow_view view,
							 struct table_conjunction *conjunction)
{
	struct classifier_result result;
	unsigned int attempts = 0;

	while (!lookup_once(table, keys, packets, &result, view, conjunction))
		if (++attempts == FREE_ATTEMPTS)
			hold(table, 1);
	if (attempts >= FREE_ATTEMPTS)
		hold(table, -1);
	for (unsigned int i = 0; i < VECTOR_SIZE; i++)
		results[i] = result.flow[i];
}

void table_lookup(const struct table *table, const struct key_vector *keys, uint64_t packets,
		  const struct flow *results[VECTOR_SIZE])
{
	lookup(table, keys, packets, results, VIEW_NONE, NULL);
}

void table_lookup_view(const struct table *table, const struct key_vector *keys, uint64_t packets,
		       const struct flow *results[VECTOR_SIZE], enum flow_view view)
{
	lookup(table, keys, packets, results, view, NULL);
}

void table_lookup_explained(const struct table *table, const struct key_vector *keys,
			    uint64_t packets, const struct flow *results[VECTOR_SIZE],
			    struct table_conjunction *conjunction)
{
	conjunction->packets = 0;
	lookup(table, keys, packets, results, VIEW_NONE, conjunction);
}
