// Flows that match every packet: the one with the highest rank wins, and nothing is compared.
#ifndef FLOWTABLE_CLASSIFIER_CONST_H
#define FLOWTABLE_CLASSIFIER_CONST_H

#include "flowtable/classifier/classifier.h"

struct classifier_constant {
	struct classifier base;
	struct flow *head; // published; the others follow in the control thread's chain
};

#endif
