#include "common/rcu.h"
#include "flowtable/classifier/chain.h"
#include "flowtable/classifier/const.h"

void classifier_const_lookup(const struct classifier *classifier, const struct key_vector *keys,
			     uint64_t packets, struct classifier_result *result)
{
	const struct classifier_constant *constant = (const struct classifier_constant *)classifier;
	const struct flow *flow = rcu_read(&constant->head);

	(void)keys;
	if (!flow)
		return;
	for (; packets; packets &= packets - 1)
		classifier_improve(result, (unsigned int)__builtin_ctzll(packets), flow,
				   flow->rank);
}

void classifier_const_view(const struct classifier *classifier, const struct key_vector *keys,
			   uint64_t packets, struct classifier_result *result, enum flow_view view)
{
	const struct classifier_constant *constant = (const struct classifier_constant *)classifier;
	const struct flow *flow = chain_first_visible(rcu_read(&constant->head), view);

	(void)keys;
	for (; flow && packets; packets &= packets - 1)
		classifier_improve(result, (unsigned int)__builtin_ctzll(packets), flow,
				   flow->rank);
}
