#include "flowtable/classifier/const.h"

#include <stdlib.h>

#include "common/rcu.h"
#include "flowtable/classifier/chain.h"

static bool const_suits(const struct mask *const *masks, unsigned int n_masks, uint32_t n_flows)
{
	(void)n_flows;
	return n_masks == 1 && masks[0]->n_words == 0;
}

static int const_insert(struct classifier *classifier, struct flow *flow)
{
	struct classifier_constant *constant = (struct classifier_constant *)classifier;

	rcu_publish(&constant->head, chain_insert(classifier, constant->head, flow));
	classifier->n_flows++;
	return 0;
}

static void const_remove(struct classifier *classifier, struct flow *flow)
{
	struct classifier_constant *constant = (struct classifier_constant *)classifier;

	rcu_publish(&constant->head, chain_remove(classifier, constant->head, flow));
	classifier->n_flows--;
}

static void const_replace(struct classifier *classifier, struct flow *old, struct flow *flow)
{
	struct classifier_constant *constant = (struct classifier_constant *)classifier;

	rcu_publish(&constant->head, chain_replace(classifier, constant->head, old, flow));
}

static void const_destroy(void *classifier)
{
	if (classifier)
		chains_free(classifier);
	free(classifier);
}

static struct classifier *const_build(struct flow *const *flows, uint32_t n_flows)
{
	struct classifier_constant *constant = calloc(1, sizeof(*constant));

	if (!constant)
		return NULL;
	constant->base.template = &classifier_const;
	constant->base.id = CLASSIFIER_CONST;
	constant->base.n_masks = 1;
	for (uint32_t i = 0; i < n_flows; i++)
		const_insert(&constant->base, flows[i]);
	return &constant->base;
}

static size_t const_memory(const struct classifier *classifier)
{
	(void)classifier;
	return sizeof(struct classifier_constant);
}

const struct classifier_template classifier_const = {
	.name = "const",
	.suits = const_suits,
	.build = const_build,
	.destroy = const_destroy,
	.insert = const_insert,
	.remove = const_remove,
	.replace = const_replace,
	.memory = const_memory,
};
