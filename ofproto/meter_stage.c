#include "ofproto/meter_stage.h"

#include "common/error.h"
#include "common/rcu.h"
#include "ofproto/bridge_internal.h"
#include "ofproto/meter_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>

int meter_stage_begin(struct meter_stage *stage, struct bridge *bridge, struct error *error)
{
	*stage = (struct meter_stage){
		.bridge = bridge,
		.places = calloc(METER_ID_MAX + 1, sizeof(*stage->places)),
	};
	return stage->places ? 0 : error_set(error, ENOMEM, "out of memory");
}

static struct staged_meter *find(const struct meter_stage *stage, uint32_t id)
{
	return stage->places[id] ? &stage->meters[stage->places[id] - 1] : NULL;
}

bool meter_stage_has(const struct meter_stage *stage, uint32_t id)
{
	const struct staged_meter *staged;

	if (id > METER_ID_MAX)
		return false;
	staged = find(stage, id);
	return staged ? !staged->gone : meter_in_force(stage->bridge, id) != NULL;
}

// The meter as a part of the list; as it is, if it was not so far. NULL without memory.
static struct staged_meter *ensure(struct meter_stage *stage, uint32_t id)
{
	struct staged_meter *meters = stage->meters;
	uint32_t size = stage->size ? stage->size * 2 : 16;

	if (stage->places[id])
		return find(stage, id);
	if (stage->n == stage->size) {
		meters = realloc(meters, size * sizeof(*meters));
		if (!meters)
			return NULL;
		stage->meters = meters;
		stage->size = size;
	}
	meters[stage->n] = (struct staged_meter){
		.id = id,
		.old = meter_in_force(stage->bridge, id),
	};
	stage->places[id] = ++stage->n;
	return &meters[stage->n - 1];
}

static int put(struct meter_stage *stage, const struct meter_text *text, struct error *error)
{
	struct staged_meter *staged = ensure(stage, text->id);

	if (!staged)
		return error_set(error, ENOMEM, "out of memory");
	staged->gone = false;
	staged->text = *text;
	return 0;
}

static int take_away(struct meter_stage *stage, uint32_t id, struct error *error)
{
	struct staged_meter *staged = ensure(stage, id);

	if (!staged)
		return error_set(error, ENOMEM, "out of memory");
	staged->gone = staged->fresh = true;
	return 0;
}

static int take_all_away(struct meter_stage *stage, struct error *error)
{
	int status = 0;

	for (uint32_t i = 0; i < stage->n; i++)
		stage->meters[i].gone = stage->meters[i].fresh = true;
	for (const struct meter *meter = bridge_meter_next(stage->bridge, 1); !status && meter;
	     meter = bridge_meter_next(stage->bridge, meter->id + 1))
		status = take_away(stage, meter->id, error);
	return status;
}

int meter_stage_change(struct meter_stage *stage, const struct meter_mod *mod, struct error *error)
{
	const uint32_t id = mod->text.id;
	int status;

	if (mod->command != METER_MOD_DELETE) {
		status = meter_check(stage->bridge, mod, error);
		return status ? status : put(stage, &mod->text, error);
	}
	if (id != METER_ID_ALL && !meter_stage_has(stage, id))
		return 0;
	meter_remove_flows(stage->bridge, id);
	return id == METER_ID_ALL ? take_all_away(stage, error) : take_away(stage, id, error);
}

// --- The table for the view after ---

// A chunk that workers do not look at yet.
static struct meter_chunk *own_chunk(struct meter_table *table, const struct meter_table *now,
				     uint32_t id)
{
	struct meter_chunk **chunk = &table->chunks[id / METER_CHUNK];
	const struct meter_chunk *shared = now ? now->chunks[id / METER_CHUNK] : NULL;
	struct meter_chunk *made;

	if (*chunk != shared)
		return *chunk;
	made = calloc(1, sizeof(*made));
	if (!made)
		return NULL;
	if (shared)
		*made = *shared;
	*chunk = made;
	return made;
}

static int make_one(struct meter_stage *stage, struct staged_meter *staged)
{
	struct meter_chunk *chunk =
		own_chunk(stage->table, stage->bridge->forwarding->meters, staged->id);

	if (!chunk)
		return -ENOMEM;
	if (!staged->gone) {
		staged->made = meter_create(&staged->text, staged->fresh ? NULL : staged->old,
					    rte_get_tsc_hz(), rte_rdtsc());
		if (!staged->made)
			return -ENOMEM;
	}
	chunk->meters[staged->id % METER_CHUNK] = staged->made;
	return 0;
}

int meter_stage_make(struct meter_stage *stage, struct error *error)
{
	const struct meter_table *now = stage->bridge->forwarding->meters;
	int status = 0;

	stage->table = calloc(1, sizeof(*stage->table));
	if (!stage->table)
		return error_set(error, ENOMEM, "out of memory");
	if (now)
		*stage->table = *now;
	for (uint32_t i = 0; i < stage->n && !status; i++)
		status = make_one(stage, &stage->meters[i]);
	return status ? error_set(error, ENOMEM, "out of memory") : 0;
}

void meter_stage_follow(struct meter_stage *stage)
{
	for (uint32_t i = 0; i < stage->n; i++)
		if (stage->meters[i].made && !stage->meters[i].fresh && stage->meters[i].old)
			meter_take_buckets(stage->meters[i].made, stage->meters[i].old);
}

static void retire(struct meter_stage *stage, struct staged_meter *staged)
{
	if (staged->made && staged->old && !staged->fresh)
		meter_take_counters(staged->made, staged->old);
	if (staged->made)
		meter_tell_changed(stage->bridge, staged->made);
	else if (staged->old)
		meter_tell_removed(stage->bridge, staged->id);
	if (staged->old)
		rcu_defer(meter_free, staged->old);
	staged->made = NULL;
}

void meter_stage_publish(struct meter_stage *stage)
{
	struct forwarding *forwarding = stage->bridge->forwarding;
	struct meter_table *table = stage->table, *old = forwarding->meters;

	rcu_publish(&forwarding->meters, table);
	stage->table = NULL;
	for (uint32_t i = 0; i < stage->n; i++)
		retire(stage, &stage->meters[i]);
	for (unsigned int c = 0; old && c < RTE_DIM(old->chunks); c++)
		if (old->chunks[c] != table->chunks[c])
			rcu_defer(free, old->chunks[c]);
	rcu_defer(free, old);
}

void meter_stage_end(struct meter_stage *stage)
{
	const struct meter_table *now = stage->bridge->forwarding->meters;

	for (uint32_t i = 0; i < stage->n; i++)
		meter_free(stage->meters[i].made);
	for (unsigned int c = 0; stage->table && c < RTE_DIM(stage->table->chunks); c++)
		if (!now || stage->table->chunks[c] != now->chunks[c])
			free(stage->table->chunks[c]);
	free(stage->table);
	free(stage->meters);
	free(stage->places);
}
