// Counters of the sample action, by set of collectors.
#include "ofproto/sample.h"

#include "common/error.h"
#include "common/rcu.h"
#include "ofproto/bridge_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct sample_counter *find(const struct sample_table *table, uint32_t set_id)
{
	for (uint32_t i = 0; table && i < table->n; i++)
		if (table->counters[i].set_id == set_id)
			return &table->counters[i];
	return NULL;
}

static int add_counter(struct bridge *bridge, uint32_t set_id, struct error *error)
{
	struct sample_table *old = bridge->forwarding->samples, *table;
	const uint32_t n = old ? old->n : 0;
	uint32_t at = 0, counter;

	if (find(old, set_id))
		return 0;
	if (n == SAMPLE_MAX_SETS)
		return error_set(error, ENOSPC,
				 "sample: bridge '%s' counts for %u sets of collectors, and there "
				 "cannot be more",
				 bridge->name, SAMPLE_MAX_SETS);
	table = malloc(sizeof(*table) + (n + 1) * sizeof(*table->counters));
	counter = table ? counter_alloc() : COUNTER_NONE;
	if (counter == COUNTER_NONE) {
		free(table);
		return error_set(error, ENOMEM, "out of memory");
	}
	while (at < n && old->counters[at].set_id < set_id)
		at++;
	if (n) {
		memcpy(table->counters, old->counters, at * sizeof(*table->counters));
		memcpy(&table->counters[at + 1], &old->counters[at],
		       (n - at) * sizeof(*table->counters));
	}
	table->counters[at] = (struct sample_counter){ set_id, counter };
	table->n = n + 1;
	rcu_publish(&bridge->forwarding->samples, table);
	rcu_defer(free, old);
	return 0;
}

static int add_counters(struct bridge *bridge, const uint8_t *at, size_t size, struct error *error)
{
	const uint8_t *end = at + size;
	int status = 0;

	for (; !status && at < end; at += ((const struct op *)at)->size) {
		const struct op *op = (const struct op *)at;
		const struct op_nested *nested = (const struct op_nested *)at;

		if (op->code == OP_SAMPLE)
			status = add_counter(
				bridge, ((const struct op_sample *)op)->collector_set_id, error);
		if (op->code == OP_CLONE)
			status = add_counters(bridge, (const uint8_t *)nested->ops, nested->length,
					      error);
	}
	return status;
}

int bridge_make_samples(struct bridge *bridge, const struct program *program, struct error *error)
{
	return add_counters(bridge, program->ops, program->size, error);
}

const struct sample_table *bridge_samples(const struct bridge *bridge)
{
	return bridge->forwarding->samples;
}

void bridge_samples_exit(struct bridge *bridge)
{
	struct sample_table *table = bridge->forwarding->samples;

	for (uint32_t i = 0; table && i < table->n; i++)
		counter_free(table->counters[i].counter);
	free(table);
	bridge->forwarding->samples = NULL;
}
