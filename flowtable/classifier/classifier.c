#include "flowtable/classifier/classifier.h"

const struct classifier_template *const classifier_templates[N_CLASSIFIERS] = {
#define CLASSIFIER(id, template) [CLASSIFIER_##id] = &template,
#include "flowtable/classifier/classifier.def"
#undef CLASSIFIER
};
