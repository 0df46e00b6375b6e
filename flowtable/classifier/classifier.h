// Classifier templates: different ways to search flows, behind one interface.
//
// One row of classifier.def per template. A sub-classifier holds some of a table's flows, knows
// their highest priority, and improves on a result that lookups carry along: table_lookup() asks
// them in falling order of max_priority and stops asking for packets that cannot get better.
//
// insert and remove happen beside running lookups: either in place with single-word publication,
// or by building a new part and letting the table publish it (return -ENOTSUP to ask for that).
// The naive reference (reference.c) has the same interface; every template is tested against it.
#ifndef FLOWTABLE_CLASSIFIER_CLASSIFIER_H
#define FLOWTABLE_CLASSIFIER_CLASSIFIER_H

#include "flowtable/flow.h"

// A sub-classifier; each template extends it.
struct classifier {
	const struct classifier_template *template;
	uint16_t max_priority; // an upper bound for all flows inside
	uint32_t n_flows;
	uint32_t n_masks;
};

// Results of a lookup under way: flow[i] is the best so far or NULL.
struct classifier_result {
	const struct flow *flow[VECTOR_SIZE];
};

struct classifier_template {
	const char *name; // "linear", "hash", ...
	// Can this template hold flows with these masks, so many flows in all?
	bool (*suits)(const struct mask *const *masks, unsigned int n_masks, uint32_t n_flows);
	// Build from n flows. NULL without memory.
	struct classifier *(*build)(struct flow *const *flows, uint32_t n_flows);
	void (*destroy)(void *classifier);
	// In place, beside lookups. -ENOTSUP: build anew instead.
	int (*insert)(struct classifier *classifier, struct flow *flow);
	int (*remove)(struct classifier *classifier, struct flow *flow);
	// Improve result->flow[i] for every packet i in `packets`. A flow wins over the present one
	// if its priority is higher.
	void (*lookup)(const struct classifier *classifier, const struct key_vector *keys,
		       uint64_t packets, struct classifier_result *result);
	size_t (*memory)(const struct classifier *classifier);
};

enum classifier_template_id {
#define CLASSIFIER(id, ...) CLASSIFIER_##id,
#include "flowtable/classifier/classifier.def"
#undef CLASSIFIER
	N_CLASSIFIERS
};
extern const struct classifier_template *const classifier_templates[N_CLASSIFIERS];

#endif
