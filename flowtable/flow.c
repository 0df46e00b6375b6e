#include "flowtable/flow.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/counters.h"
#include "common/rcu.h"
#include "flowtable/flow_pool.h"
#include "flowtable/program_share.h"

// The flow's own cache lines: workers read one of them and the control thread the others.
static size_t flow_size(const struct mask *mask)
{
	return offsetof(struct flow, values) + mask->n_words * sizeof(uint64_t);
}

static void flow_set_times(struct flow *flow)
{
	flow->created_ns = clock_monotonic_ns();
	flow->modified_ns = flow->created_ns;
}

struct flow *flow_create(struct flow_text *text)
{
	struct mask *mask = mask_intern(&text->match);
	struct flow *flow = mask ? flow_pool_alloc(flow_size(mask)) : NULL;
	uint32_t counter = flow ? counter_alloc() : COUNTER_NONE;

	if (counter == COUNTER_NONE) {
		if (flow)
			flow_pool_free(flow, flow_size(mask));
		mask_unref(mask);
		return NULL;
	}
	flow->mask = mask;
	match_pack(&text->match, mask, flow->values);
	flow->program = text->program ? program_share(text->program) : NULL;
	text->program = NULL;
	flow->counter = counter;
	flow->priority = text->priority;
	flow->rank = flow_rank(text->priority, 0);
	flow->table_id = text->table_id;
	flow->flags = text->flags;
	flow->cookie = text->cookie;
	flow->idle_timeout = text->idle_timeout;
	flow->hard_timeout = text->hard_timeout;
	flow->importance = text->importance;
	flow->learned = text->learned;
	text->learned = NULL;
	flow_set_times(flow);
	return flow;
}

struct flow *flow_create_beside(const struct flow *flow, struct program *program)
{
	const size_t size = flow_size(flow->mask);
	struct flow *made = flow_pool_alloc(size);

	if (!made)
		return NULL;
	made->cookie = flow->cookie;
	made->created_ns = flow->created_ns;
	made->modified_ns = flow->modified_ns;
	made->idle_timeout = flow->idle_timeout;
	made->hard_timeout = flow->hard_timeout;
	made->importance = flow->importance;
	made->flags = flow->flags;
	made->mask = mask_ref((struct mask *)(uintptr_t)flow->mask);
	made->program = program;
	made->counter = flow->counter;
	made->priority = flow->priority;
	made->rank = flow->rank;
	made->table_id = flow->table_id;
	memcpy(made->values, flow->values, flow->mask->n_words * sizeof(flow->values[0]));
	return made;
}

void flow_free(void *object)
{
	struct flow *flow = object;
	size_t size;

	if (!flow)
		return;
	counter_free(flow->counter);
	program_free(flow->program);
	size = flow_size(flow->mask);
	// The flow holds the reference that it was created with.
	mask_unref((struct mask *)(uintptr_t)flow->mask);
	flow_pool_free(flow, size);
}

void flow_defer_free(struct flow *flow)
{
	rcu_defer(flow_free, flow);
}

struct counter flow_counts(const struct flow *flow)
{
	return counter_read(flow->counter);
}

void flow_reset_counts(struct flow *flow)
{
	counter_reset(flow->counter);
}
