#include "flowtable/flow.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/counters.h"
#include "common/rcu.h"

// The flow's own cache lines: workers read one of them and the control thread the others.
static struct flow *flow_alloc(const struct mask *mask)
{
	size_t size = sizeof(struct flow) + mask->n_words * sizeof(uint64_t);
	struct flow *flow = aligned_alloc(64, (size + 63) & ~(size_t)63);

	if (flow)
		memset(flow, 0, size);
	return flow;
}

static void flow_set_times(struct flow *flow)
{
	flow->created_ns = clock_monotonic_ns();
	flow->modified_ns = flow->created_ns;
	flow->used_ns = flow->created_ns;
	flow->created_realtime_ns = clock_realtime_ns();
}

struct flow *flow_create(struct flow_text *text)
{
	struct mask *mask = mask_intern(&text->match);
	struct flow *flow = mask ? flow_alloc(mask) : NULL;
	uint32_t counter = flow ? counter_alloc() : COUNTER_NONE;

	if (counter == COUNTER_NONE) {
		free(flow);
		if (mask)
			mask_unref(mask);
		return NULL;
	}
	flow->mask = mask;
	match_pack(&text->match, mask, flow->values);
	flow->program = text->program;
	text->program = NULL;
	flow->counter = counter;
	flow->priority = text->priority;
	flow->rank = flow_rank(text->priority, 0);
	flow->table_id = text->table_id;
	flow->flags = text->flags;
	flow->flags8 = (uint8_t)text->flags;
	flow->cookie = text->cookie;
	flow->idle_timeout = text->idle_timeout;
	flow->hard_timeout = text->hard_timeout;
	flow->importance = text->importance;
	flow->learned = text->learned;
	text->learned = NULL;
	flow_set_times(flow);
	return flow;
}

void flow_free(void *object)
{
	struct flow *flow = object;

	if (!flow)
		return;
	counter_free(flow->counter);
	program_free(flow->program);
	// The flow holds the reference that it was created with.
	mask_unref((struct mask *)(uintptr_t)flow->mask);
	free(flow);
}

void flow_defer_free(struct flow *flow)
{
	rcu_defer(flow_free, flow);
}

struct counter_base flow_counts(const struct flow *flow)
{
	struct counter sum = counter_read(flow->counter);

	return (struct counter_base){
		.packets = sum.packets - flow->base.packets,
		.bytes = sum.bytes - flow->base.bytes,
	};
}
