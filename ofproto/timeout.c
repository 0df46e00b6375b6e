// Idle and hard timeouts (OpenFlow 1.3.5 section 5.5). Workers write no timestamps: a flow was in
// use if its counter has moved since the last look, so expiry is exact to a second.
#include "ofproto/bridge_internal.h"

#include "common/clock.h"
#include "common/counters.h"
#include "ofproto/flow_mod.h"
#include "ofproto/learn.h"

#include <errno.h>
#include <stdlib.h>

#define NO_SLOT UINT32_MAX

int timeout_add(struct bridge *bridge, struct flow *flow)
{
	flow->timer_slot = NO_SLOT;
	if (!flow->idle_timeout && !flow->hard_timeout &&
	    !(flow->program->flags & PROGRAM_FIN_TIMEOUT))
		return 0;
	if (bridge->n_timers == bridge->timers_size) {
		uint32_t size = bridge->timers_size ? bridge->timers_size * 2 : 64;
		struct flow_timer *timers = realloc(bridge->timers, size * sizeof(*timers));

		if (!timers)
			return -ENOMEM;
		bridge->timers = timers;
		bridge->timers_size = size;
	}
	flow->timer_slot = bridge->n_timers;
	bridge->timers[bridge->n_timers++] = (struct flow_timer){
		.flow = flow,
		.used_ns = clock_monotonic_ns(),
		.used_packets = counter_read(flow->counter).packets,
	};
	return 0;
}

int timeout_change(struct bridge *bridge, struct flow *flow)
{
	return flow->timer_slot == NO_SLOT ? timeout_add(bridge, flow) : 0;
}

void timeout_remove(struct bridge *bridge, struct flow *flow)
{
	struct flow_timer *last;

	if (flow->timer_slot == NO_SLOT)
		return;
	last = &bridge->timers[--bridge->n_timers];
	bridge->timers[flow->timer_slot] = *last;
	last->flow->timer_slot = flow->timer_slot;
	flow->timer_slot = NO_SLOT;
}

void timeout_take_over(struct bridge *bridge, const struct flow *flow, const struct flow *old)
{
	if (flow->timer_slot == NO_SLOT || old->timer_slot == NO_SLOT)
		return;
	bridge->timers[flow->timer_slot].used_ns = bridge->timers[old->timer_slot].used_ns;
	bridge->timers[flow->timer_slot].used_packets =
		bridge->timers[old->timer_slot].used_packets;
}

void timeout_counts_reset(struct bridge *bridge, const struct flow *flow)
{
	if (flow->timer_slot != NO_SLOT)
		bridge->timers[flow->timer_slot].used_packets = 0;
}

static bool older_than(uint64_t since_ns, uint16_t seconds, uint64_t now_ns)
{
	return seconds && now_ns - since_ns >= seconds * NS_PER_SECOND;
}

static void shorten(uint16_t *timeout, uint16_t most)
{
	if (most && (!*timeout || *timeout > most))
		*timeout = most;
}

// A worker saw the end of a connection: the flow's timeouts become those of its fin_timeout.
static void apply_fin_timeouts(struct flow *flow, const uint8_t *at, size_t size)
{
	const uint8_t *end = at + size;

	for (; at < end; at += ((const struct op *)at)->size) {
		const struct op_fin_timeout *fin = (const struct op_fin_timeout *)at;
		const struct op_nested *nested = (const struct op_nested *)at;

		if (fin->op.code == OP_CLONE)
			apply_fin_timeouts(flow, (const uint8_t *)nested->ops, nested->length);
		if (fin->op.code != OP_FIN_TIMEOUT ||
		    !__atomic_load_n(&fin->seen, __ATOMIC_RELAXED))
			continue;
		shorten(&flow->idle_timeout, fin->idle_timeout);
		shorten(&flow->hard_timeout, fin->hard_timeout);
	}
}

void timeout_sweep(struct bridge *bridge, uint64_t now_ns)
{
	for (uint32_t i = 0; i < bridge->n_timers;) {
		struct flow_timer *timer = &bridge->timers[i];
		struct flow *flow = timer->flow;
		uint64_t packets = counter_read(flow->counter).packets;

		if (packets != timer->used_packets) {
			timer->used_packets = packets;
			timer->used_ns = now_ns;
		}
		if (flow->learned)
			learn_refresh(flow, now_ns);
		if (flow->program->flags & PROGRAM_FIN_TIMEOUT)
			apply_fin_timeouts(flow, flow->program->ops, flow->program->size);
		// Expiring moves another flow into this slot.
		if (older_than(flow->modified_ns, flow->hard_timeout, now_ns))
			flow_mod_expire(bridge, flow, FLOW_REMOVED_HARD);
		else if (older_than(timer->used_ns, flow->idle_timeout, now_ns))
			flow_mod_expire(bridge, flow, FLOW_REMOVED_IDLE);
		else
			i++;
	}
}
