#include "common/rcu.h"
#include "flowtable/classifier/reference.h"

static bool matches(const struct flow *flow, const struct key_vector *keys, unsigned int packet)
{
	const struct mask *mask = flow->mask;

	for (unsigned int i = 0; i < mask->n_words; i++)
		if ((key_vector_word(keys, packet, mask->word[i]) & mask->bits[i]) !=
		    flow->values[i])
			return false;
	return true;
}

// VIEW_NONE: all flows are visible.
static inline __attribute__((always_inline)) void lookup(const struct classifier *classifier,
							 const struct key_vector *keys,
							 uint64_t packets,
							 struct classifier_result *result,
							 enum flow_view view)
{
	const struct classifier_naive *naive = (const struct classifier_naive *)classifier;

	for (uint32_t f = 0; f < naive->n_entries; f++) {
		const struct flow *flow = rcu_read(&naive->flows[f]);

		if (flow && view != VIEW_NONE && !flow_is_visible(flow, view))
			continue;
		for (uint64_t left = flow ? packets : 0; left; left &= left - 1) {
			unsigned int i = (unsigned int)__builtin_ctzll(left);

			if (matches(flow, keys, i))
				classifier_improve(result, i, flow, flow->rank);
		}
	}
}

void classifier_reference_lookup(const struct classifier *classifier, const struct key_vector *keys,
				 uint64_t packets, struct classifier_result *result)
{
	lookup(classifier, keys, packets, result, VIEW_NONE);
}

void classifier_reference_view(const struct classifier *classifier, const struct key_vector *keys,
			       uint64_t packets, struct classifier_result *result,
			       enum flow_view view)
{
	lookup(classifier, keys, packets, result, view);
}
