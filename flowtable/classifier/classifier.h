// Classifier templates: different ways to search flows, behind one interface.
//
// One row of classifier.def per template. A sub-classifier holds some of a table's flows, knows
// their highest priority, and improves on a result that lookups carry along: table_lookup() asks
// them in falling order of their highest rank and stops asking for packets that cannot get better.
//
// insert and remove happen beside running lookups: either in place with single-word publication,
// or by building a new part and letting the table publish it (return -ENOTSUP to ask for that).
// The naive reference (reference.c) has the same interface; every template is tested against it.
//
// A template NAME is two files: NAME.c builds and changes (control thread), NAME_lookup.c has
// the two lookups (alone, and in a view) and is compiled once per CPU level. So the row points to no lookup function: hot code
// (table_lookup.c) keeps a table of its own, by template id.
#ifndef FLOWTABLE_CLASSIFIER_CLASSIFIER_H
#define FLOWTABLE_CLASSIFIER_CLASSIFIER_H

#include "flowtable/flow.h"

// A sub-classifier; each template extends it.
struct chain_index;
struct classifier {
	const struct classifier_template *template;
	uint8_t id; // enum classifier_template_id: how workers find the lookup function
	uint32_t n_flows;
	uint32_t n_masks;
	uint32_t n_expected; // how many will be inserted soon: what grows now leaves room for them
	struct chain_index *chains; // of flows with equal matches that are long (chain.h); or NULL
};

// Results of a lookup under way: flow[i] is the best so far or NULL, rank[i] its rank or 0.
struct classifier_result {
	_Alignas(64) uint64_t rank[VECTOR_SIZE];
	const struct flow *flow[VECTOR_SIZE];
};

static inline void classifier_improve(struct classifier_result *result, unsigned int packet,
				      const struct flow *flow, uint64_t rank)
{
	if (rank > result->rank[packet]) {
		result->rank[packet] = rank;
		result->flow[packet] = flow;
	}
}

struct classifier_template {
	const char *name; // "linear", "hash", ...
	// Can this template hold flows with these masks, so many flows in all?
	bool (*suits)(const struct mask *const *masks, unsigned int n_masks, uint32_t n_flows);
	// Build from n flows. NULL without memory.
	struct classifier *(*build)(struct flow *const *flows, uint32_t n_flows);
	void (*destroy)(void *classifier);
	// In place, beside lookups. -ENOTSUP: build anew instead. -ENOMEM: nothing has changed.
	int (*insert)(struct classifier *classifier, struct flow *flow);
	// In place, beside lookups; these two always succeed and need no memory. `flow` has the
	// match, the priority and the rank of `old`.
	void (*remove)(struct classifier *classifier, struct flow *flow);
	void (*replace)(struct classifier *classifier, struct flow *old, struct flow *flow);
	size_t (*memory)(const struct classifier *classifier);
	// The flow is about to be inserted. NULL: nothing to gain.
	void (*prefetch)(const struct classifier *classifier, const struct flow *flow);
};

enum classifier_template_id {
#define CLASSIFIER(id, ...) CLASSIFIER_##id,
#include "flowtable/classifier/classifier.def"
#undef CLASSIFIER
	N_CLASSIFIERS
};
extern const struct classifier_template *const classifier_templates[N_CLASSIFIERS];

// Hot: improve `result` for every packet i in `packets`. A flow wins over the present one if its
// rank is higher.
typedef void classifier_lookup_function(const struct classifier *classifier,
					const struct key_vector *keys, uint64_t packets,
					struct classifier_result *result);

// The same in a view: of the flows that are visible in it. There are two of equal rank, match and
// priority where one is to take the other's place; no view shows both.
typedef void classifier_view_function(const struct classifier *classifier,
				      const struct key_vector *keys, uint64_t packets,
				      struct classifier_result *result, enum flow_view view);

// Hot: the functions of the classifier's template.
classifier_lookup_function classifier_lookup;
classifier_view_function classifier_lookup_view;

#define CLASSIFIER(id, template)                                                                   \
	extern const struct classifier_template template;                                          \
	classifier_lookup_function template##_lookup;                                              \
	classifier_view_function template##_view;
#include "flowtable/classifier/classifier.def"
#undef CLASSIFIER

#endif
