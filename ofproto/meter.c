#include "ofproto/meter.h"

#include "common/error.h"
#include "common/rcu.h"
#include "datapath/datapath.h"
#include "ofproto/bridge_internal.h"
#include "ofproto/flow_mod.h"
#include "ofproto/learn.h"
#include "ofproto/meter_internal.h"
#include "ofproto/meter_stage.h"

#include <errno.h>
#include <stdlib.h>

#include <rte_cycles.h>

static struct meter_observer observer;

void meter_set_observer(const struct meter_observer *new_observer)
{
	observer = new_observer ? *new_observer : (struct meter_observer){ 0 };
}

struct meter *meter_in_force(const struct bridge *bridge, uint32_t id)
{
	return meter_find(bridge->forwarding->meters, id);
}

struct meter *bridge_meter(const struct bridge *bridge, uint32_t id)
{
	return meter_in_force(bridge, id);
}

static bool has_meter(const struct bridge *bridge, uint32_t id)
{
	return bridge->staged_meters ? meter_stage_has(bridge->staged_meters, id)
				     : meter_in_force(bridge, id) != NULL;
}

struct meter *bridge_meter_next(const struct bridge *bridge, uint32_t id)
{
	const struct meter_table *table = bridge->forwarding->meters;

	while (table && id <= METER_ID_MAX) {
		struct meter *meter = meter_find(table, id);

		if (meter)
			return meter;
		id += table->chunks[id / METER_CHUNK] ? 1 : METER_CHUNK - id % METER_CHUNK;
	}
	return NULL;
}

int meter_check_program(const struct bridge *bridge, const struct program *program,
			struct error *error)
{
	const uint32_t id = program_meter(program);

	if (!id || has_meter(bridge, id))
		return 0;
	return error_set(error, ENOENT,
			 "bridge '%s' has no meter %u: add it first (vsctl add-meter %s ...)",
			 bridge->name, id, bridge->name);
}

// --- Changing ---

void meter_tell_changed(struct bridge *bridge, const struct meter *meter)
{
	if (observer.changed)
		observer.changed(observer.context, bridge, meter);
}

void meter_tell_removed(struct bridge *bridge, uint32_t id)
{
	if (observer.removed)
		observer.removed(observer.context, bridge, id);
}

int meter_check(const struct bridge *bridge, const struct meter_mod *mod, struct error *error)
{
	const uint32_t id = mod->text.id;
	const bool is_there = has_meter(bridge, id);

	if (mod->command == METER_MOD_ADD && is_there)
		return error_set(error, EEXIST,
				 "meter %u exists already on bridge '%s' (mod-meter changes it)",
				 id, bridge->name);
	if (mod->command == METER_MOD_MODIFY && !is_there)
		return error_set(error, ENOENT, "bridge '%s' has no meter %u (add-meter adds it)",
				 bridge->name, id);
	return 0;
}

static int put(struct bridge *bridge, const struct meter_text *text, struct meter *old,
	       struct error *error)
{
	struct meter *meter = meter_create(text, old, rte_get_tsc_hz(), rte_rdtsc());

	if (!meter || meter_table_set(&bridge->forwarding->meters, text->id, meter) < 0) {
		meter_free(meter);
		return error_set(error, ENOMEM, "out of memory");
	}
	if (old) {
		meter_take_counters(meter, old);
		rcu_defer(meter_free, old);
	}
	meter_tell_changed(bridge, meter);
	workers_synchronize();
	rcu_reclaim();
	return 0;
}

int meter_mod_apply(struct bridge *bridge, const struct meter_mod *mod, struct error *error)
{
	int status;

	if (mod->command == METER_MOD_DELETE)
		return meter_delete(bridge, mod->text.id, error);
	status = meter_check(bridge, mod, error);
	return status ? status
		      : put(bridge, &mod->text, meter_in_force(bridge, mod->text.id), error);
}

int meter_add(struct bridge *bridge, const struct meter_text *text, struct error *error)
{
	const struct meter_mod mod = { METER_MOD_ADD, *text };

	return meter_mod_apply(bridge, &mod, error);
}

int meter_modify(struct bridge *bridge, const struct meter_text *text, struct error *error)
{
	const struct meter_mod mod = { METER_MOD_MODIFY, *text };

	return meter_mod_apply(bridge, &mod, error);
}

void meter_remove_flows(struct bridge *bridge, uint32_t id)
{
	uint32_t left = flow_index_count_meter(&bridge->index, id);

	for (unsigned int t = 0; t < N_TABLES && left; t++) {
		const struct table *table = bridge_table(bridge, (uint8_t)t);
		struct flow *next;

		for (struct flow *flow = table ? table_first(table) : NULL; flow && left;
		     flow = next) {
			const uint32_t used = program_meter(flow->program);

			next = table_next(table, flow);
			if (!used || (id != METER_ID_ALL && used != id))
				continue;
			flow_mod_expire(bridge, flow, FLOW_REMOVED_METER_DELETE);
			left--;
		}
	}
}

int meter_delete(struct bridge *bridge, uint32_t id, struct error *error)
{
	const uint32_t first = id == METER_ID_ALL ? 1 : id;
	struct meter *meter, *next;

	(void)error;
	if (id != METER_ID_ALL && !bridge_meter(bridge, id))
		return 0;
	meter_remove_flows(bridge, id);
	learn_delete_orphans(bridge); // the flows that went may have had learn actions
	// No packet is on its way through these flows when the meters go.
	workers_synchronize();
	for (meter = bridge_meter_next(bridge, first); meter; meter = next) {
		next = id == METER_ID_ALL ? bridge_meter_next(bridge, meter->id + 1) : NULL;
		meter_table_set(&bridge->forwarding->meters, meter->id, NULL);
		meter_tell_removed(bridge, meter->id);
		rcu_defer(meter_free, meter);
	}
	workers_synchronize();
	rcu_reclaim();
	return 0;
}

void bridge_meters_destroy(struct bridge *bridge)
{
	struct meter_table *table = bridge->forwarding->meters;

	for (unsigned int c = 0; table && c < RTE_DIM(table->chunks); c++) {
		for (unsigned int i = 0; table->chunks[c] && i < METER_CHUNK; i++)
			meter_free(table->chunks[c]->meters[i]);
		free(table->chunks[c]);
	}
	free(table);
	bridge->forwarding->meters = NULL;
}
