#include "qos/policer.h"

#define NS 1000000000ULL
#define FULL_MAX (1ULL << 60) // half a year, and far from what signed differences can say

typedef unsigned __int128 wide;

void policer_init(struct policer *policer, uint64_t rate, uint64_t burst, uint64_t now_ns)
{
	const wide second = (wide)NS << (POLICER_TIME_BITS + POLICER_COST_BITS);
	wide full;

	policer->cost = (uint64_t)((second + rate / 2) / rate);
	if (!policer->cost)
		policer->cost = 1;
	// As packets are reckoned, so that the burst is exactly what fits.
	full = ((wide)burst * policer->cost) >> POLICER_COST_BITS;
	policer->full = full > FULL_MAX ? FULL_MAX : (uint64_t)full;
	policer->full_at = now_ns << POLICER_TIME_BITS;
}
