#include "datapath/storm.h"

#include <stdlib.h>
#include <string.h>

// A tenth of a second's worth, and at least room for a segment of 64 KiB or some small packets.
static uint32_t burst_of(const struct storm_limit *limit)
{
	const uint32_t least = limit->unit == METER_KBPS ? 600 : 10;

	return limit->rate / 10 > least ? limit->rate / 10 : least;
}

static struct meter *create_meter(const struct storm_limit *limit, const struct meter *old)
{
	struct meter_text text = {
		.unit = limit->unit,
		.n_bands = 1,
		.bands = { { .type = METER_DROP,
			     .rate = limit->rate,
			     .burst_size = burst_of(limit) } },
	};
	struct meter *meter = meter_create(&text, NULL, rte_get_tsc_hz(), rte_rdtsc());

	if (meter && old)
		meter_take_buckets(meter, old);
	return meter;
}

struct storm_control *storm_create(const struct storm_limit limits[N_STORM_KINDS],
				   const struct storm_control *old)
{
	struct storm_control *storm = calloc(1, sizeof(*storm));

	for (unsigned int i = 0; storm && i < N_STORM_KINDS; i++) {
		if (!limits[i].limited)
			continue;
		storm->meters[i] = create_meter(&limits[i], old ? old->meters[i] : NULL);
		if (!storm->meters[i]) {
			storm_free(storm);
			return NULL;
		}
	}
	return storm;
}

void storm_free(void *object)
{
	struct storm_control *storm = object;

	for (unsigned int i = 0; storm && i < N_STORM_KINDS; i++)
		meter_free(storm->meters[i]);
	free(storm);
}
