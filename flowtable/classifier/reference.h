// The naive classifier: every flow is compared with every packet. What the others must equal.
#ifndef FLOWTABLE_CLASSIFIER_REFERENCE_H
#define FLOWTABLE_CLASSIFIER_REFERENCE_H

#include "flowtable/classifier/classifier.h"

struct classifier_naive {
	struct classifier base;
	uint32_t n_entries;
	struct flow *flows[]; // each published; NULL once removed
};

#endif
