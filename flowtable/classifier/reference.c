#include "flowtable/classifier/reference.h"

#include <errno.h>
#include <stdlib.h>

#include "common/rcu.h"

static bool reference_suits(const struct mask *const *masks, unsigned int n_masks, uint32_t n_flows)
{
	(void)masks, (void)n_masks, (void)n_flows;
	return true;
}

static uint32_t count_masks(struct flow *const *flows, uint32_t n_flows)
{
	uint32_t n_masks = 0;

	for (uint32_t i = 0; i < n_flows; i++) {
		uint32_t j = 0;

		while (j < i && flows[j]->mask != flows[i]->mask)
			j++;
		n_masks += j == i;
	}
	return n_masks;
}

static struct classifier *reference_build(struct flow *const *flows, uint32_t n_flows)
{
	struct classifier_naive *naive = calloc(1, sizeof(*naive) + n_flows * sizeof(flows[0]));

	if (!naive)
		return NULL;
	naive->base.template = &classifier_reference;
	naive->base.id = CLASSIFIER_REFERENCE;
	naive->base.n_flows = n_flows;
	naive->base.n_masks = count_masks(flows, n_flows);
	naive->n_entries = n_flows;
	for (uint32_t i = 0; i < n_flows; i++)
		naive->flows[i] = flows[i];
	return &naive->base;
}

static int reference_insert(struct classifier *classifier, struct flow *flow)
{
	(void)classifier, (void)flow;
	return -ENOTSUP;
}

static void reference_replace(struct classifier *classifier, struct flow *old, struct flow *flow)
{
	struct classifier_naive *naive = (struct classifier_naive *)classifier;

	for (uint32_t i = 0; i < naive->n_entries; i++)
		if (naive->flows[i] == old)
			rcu_publish(&naive->flows[i], flow);
}

static void reference_remove(struct classifier *classifier, struct flow *flow)
{
	reference_replace(classifier, flow, NULL);
	classifier->n_flows--;
}

static size_t reference_memory(const struct classifier *classifier)
{
	const struct classifier_naive *naive = (const struct classifier_naive *)classifier;

	return sizeof(*naive) + naive->n_entries * sizeof(naive->flows[0]);
}

const struct classifier_template classifier_reference = {
	.name = "reference",
	.suits = reference_suits,
	.build = reference_build,
	.destroy = free,
	.insert = reference_insert,
	.remove = reference_remove,
	.replace = reference_replace,
	.memory = reference_memory,
};
