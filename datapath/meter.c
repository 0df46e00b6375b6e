#include "datapath/meter.h"

#include "common/clock.h"
#include "common/counters.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// Sixteenths of a cycle, if an empty bucket fills in less than this many of them.
#define FINEST_SHIFT 4
#define COARSEST_SHIFT (-24)
#define FULL_MAX (1ULL << 60)

typedef unsigned __int128 wide;

// Tokens of a band are bits or packets.
static uint64_t tokens_per_second(const struct meter_text *text, unsigned int band)
{
	return (uint64_t)text->bands[band].rate * (text->unit == METER_KBPS ? 1000 : 1);
}

// A band without a burst size gets a second's worth, as Open vSwitch has it.
static uint64_t bucket_size(const struct meter_text *text, unsigned int band)
{
	const uint32_t size = text->bands[band].burst_size;

	return (uint64_t)(size ? size : text->bands[band].rate) *
	       (text->unit == METER_KBPS ? 1000 : 1);
}

static wide scale(wide cycles, int shift)
{
	return shift >= 0 ? cycles << shift : cycles >> -shift;
}

// Cycles in which an empty bucket fills.
static wide cycles_to_fill(const struct meter_text *text, unsigned int band, uint64_t hz)
{
	const uint64_t rate = tokens_per_second(text, band);

	return rate ? (wide)bucket_size(text, band) * hz / rate : 0;
}

// The finest unit of time in which every bucket's filling can be said.
static int choose_shift(const struct meter_text *text, uint64_t hz)
{
	int shift = FINEST_SHIFT;

	for (unsigned int i = 0; i < text->n_bands; i++)
		while (shift > COARSEST_SHIFT &&
		       scale(cycles_to_fill(text, i, hz), shift) > FULL_MAX)
			shift--;
	return shift;
}

static uint32_t counter_of(const struct meter *old, unsigned int band)
{
	return old && band < old->n_bands ? meter_band_counter(old, band) : COUNTER_NONE;
}

static void compile_band(struct meter *meter, struct meter_band *band, unsigned int i,
			 const struct meter *old, uint64_t hz)
{
	const struct meter_text *text = &meter->text;
	const uint64_t rate = tokens_per_second(text, i);
	const uint64_t tokens = text->unit == METER_KBPS ? 8 : 1;

	*band = (struct meter_band){
		.cost = METER_NEVER,
		.counter = counter_of(old, i),
		.rate = text->bands[i].rate,
		.type = (uint8_t)text->bands[i].type,
		.prec_level = text->bands[i].prec_level,
		.index = (uint8_t)i,
	};
	band->owned = band->counter == COUNTER_NONE;
	if (band->owned)
		band->counter = counter_alloc();
	if (!rate)
		return;
	// Rounded to the nearest.
	band->cost =
		(uint64_t)((scale((wide)tokens * hz << METER_COST_BITS, meter->shift) + rate / 2) /
			   rate);
	// As workers reckon, so that the burst is exactly what fits.
	band->full = meter_cost(band, bucket_size(text, i) / tokens);
}

static void sort_bands(struct meter *meter)
{
	for (unsigned int i = 1; i < meter->n_bands; i++)
		for (unsigned int k = i; k && meter->bands[k].rate > meter->bands[k - 1].rate;
		     k--) {
			const struct meter_band band = meter->bands[k];

			meter->bands[k] = meter->bands[k - 1];
			meter->bands[k - 1] = band;
		}
}

static bool same_buckets(const struct meter_text *a, const struct meter_text *b)
{
	if (a->unit != b->unit || a->n_bands != b->n_bands)
		return false;
	for (unsigned int i = 0; i < a->n_bands; i++)
		if (a->bands[i].rate != b->bands[i].rate ||
		    a->bands[i].burst_size != b->bands[i].burst_size)
			return false;
	return true;
}

static bool has_counters(const struct meter *meter)
{
	for (unsigned int i = 0; i < meter->n_bands; i++)
		if (meter->bands[i].counter == COUNTER_NONE)
			return false;
	return meter->counter != COUNTER_NONE;
}

struct meter *meter_create(const struct meter_text *text, const struct meter *old, uint64_t hz,
			   uint64_t cycles)
{
	struct meter *meter = aligned_alloc(64, (sizeof(*meter) + 63) / 64 * 64);

	if (!meter)
		return NULL;
	memset(meter, 0, sizeof(*meter));
	meter->id = text->id;
	meter->text = *text;
	meter->packets = text->unit == METER_PKTPS;
	meter->shift = (int8_t)choose_shift(text, hz);
	meter->slack = (uint64_t)scale(hz, meter->shift);
	meter->epoch = cycles;
	meter->created_ns = old ? old->created_ns : clock_monotonic_ns();
	meter->owns_counter = !old;
	meter->counter = old ? old->counter : counter_alloc();
	for (; meter->n_bands < text->n_bands; meter->n_bands++)
		compile_band(meter, &meter->bands[meter->n_bands], meter->n_bands, old, hz);
	if (!has_counters(meter)) {
		meter_free(meter);
		return NULL;
	}
	sort_bands(meter);
	if (old)
		meter_take_buckets(meter, old);
	return meter;
}

void meter_take_buckets(struct meter *meter, const struct meter *old)
{
	if (!same_buckets(&meter->text, &old->text))
		return;
	meter->epoch = old->epoch;
	for (unsigned int i = 0; i < meter->n_bands; i++)
		meter->full_at[i] = __atomic_load_n(&old->full_at[i], __ATOMIC_RELAXED);
}

uint32_t meter_band_counter(const struct meter *meter, unsigned int band)
{
	for (unsigned int i = 0; i < meter->n_bands; i++)
		if (meter->bands[i].index == band)
			return meter->bands[i].counter;
	return COUNTER_NONE;
}

void meter_take_counters(struct meter *meter, struct meter *old)
{
	old->owns_counter = false;
	meter->owns_counter = true;
	for (unsigned int i = 0; i < old->n_bands; i++)
		old->bands[i].owned = old->bands[i].index >= meter->n_bands;
	for (unsigned int i = 0; i < meter->n_bands; i++)
		meter->bands[i].owned = true;
}

void meter_free(void *object)
{
	struct meter *meter = object;

	if (!meter)
		return;
	if (meter->owns_counter && meter->counter != COUNTER_NONE)
		counter_free(meter->counter);
	for (unsigned int i = 0; i < meter->n_bands; i++)
		if (meter->bands[i].owned && meter->bands[i].counter != COUNTER_NONE)
			counter_free(meter->bands[i].counter);
	free(meter);
}

int meter_table_set(struct meter_table **table, uint32_t id, struct meter *meter)
{
	struct meter_chunk **chunk;

	if (!*table) {
		struct meter_table *made = calloc(1, sizeof(*made));

		if (!made)
			return -ENOMEM;
		rcu_publish(table, made);
	}
	chunk = &(*table)->chunks[id / METER_CHUNK];
	if (!*chunk) {
		struct meter_chunk *made = calloc(1, sizeof(*made));

		if (!made)
			return -ENOMEM;
		rcu_publish(chunk, made);
	}
	rcu_publish(&(*chunk)->meters[id % METER_CHUNK], meter);
	return 0;
}
