// Policers: token buckets that say of each packet whether it comes too fast.
//
// As in a meter (datapath/meter.h) one number is kept of a bucket: when it will be full again. All
// workers share it by one compare-and-exchange for each vector, so that the rate is exact however many
// of them there are. The unit of time is 1/256 ns; what a byte or packet costs is multiplied out with
// 20 bits behind the point.
//
// A packet that is larger than the whole bucket passes when the bucket is full, and what it takes too
// much is paid back before the next one: a burst below the size of a packet (or of TCP that is cut
// later, up to 64 KiB) lowers no rate.
//
// Time is given by the caller, in nanoseconds of any clock that does not go back. Any thread.
#ifndef QOS_POLICER_H
#define QOS_POLICER_H

#include <stdbool.h>
#include <stdint.h>

#define POLICER_TIME_BITS 8 // of a nanosecond
#define POLICER_COST_BITS 20
#define POLICER_LANES 64

struct policer {
	uint64_t cost; // of a byte or a packet, in units of time, times 2^POLICER_COST_BITS
	uint64_t full; // units in which an empty bucket fills
	uint64_t full_at __attribute__((aligned(64))); // what workers share
} __attribute__((aligned(64)));

// `rate` bytes or packets a second (not 0), `burst` of them at once. Any clock may be at any time.
void policer_init(struct policer *policer, uint64_t rate, uint64_t burst, uint64_t now_ns);

static inline uint64_t policer_cost(const struct policer *policer, uint64_t amount)
{
	return (uint64_t)(((unsigned __int128)amount * policer->cost) >> POLICER_COST_BITS);
}

// Which of `packets`, in their order, find no room; *taken becomes the sum of the others.
static inline uint64_t policer_fill(const struct policer *policer, uint64_t lacks,
				    const uint32_t *amounts, uint64_t packets, uint64_t *taken)
{
	const uint64_t room = policer->full > lacks ? policer->full - lacks : 0;
	uint64_t over = 0;

	*taken = 0;
	for (uint64_t left = packets; left; left &= left - 1) {
		const unsigned int i = (unsigned int)__builtin_ctzll(left);

		if (policer_cost(policer, *taken + amounts[i]) <= room || (!lacks && !*taken))
			*taken += amounts[i];
		else
			over |= 1ULL << i;
	}
	return over;
}

// Which of `packets` come too fast; the others take their tokens. amounts[i]: what packet i counts.
static inline uint64_t policer_judge(struct policer *policer, uint64_t now_ns,
				     const uint32_t *amounts, uint64_t packets)
{
	const uint64_t now = now_ns << POLICER_TIME_BITS;
	uint64_t before = __atomic_load_n(&policer->full_at, __ATOMIC_RELAXED);
	uint64_t sum = 0, after, over;

	for (uint64_t left = packets; left; left &= left - 1)
		sum += amounts[__builtin_ctzll(left)];
	do {
		const int64_t ahead = (int64_t)(before - now); // also where the clock wraps
		uint64_t lacks = ahead > 0 ? (uint64_t)ahead : 0, taken = sum;

		over = 0;
		if (lacks + policer_cost(policer, sum) > policer->full)
			over = policer_fill(policer, lacks, amounts, packets, &taken);
		if (!taken)
			break;
		after = now + lacks + policer_cost(policer, taken);
	} while (!__atomic_compare_exchange_n(&policer->full_at, &before, after, false,
					      __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	return over;
}

#endif
