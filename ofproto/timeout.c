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

static uint64_t expires_ns(const struct flow *flow, uint64_t used_ns)
{
	const uint64_t hard = flow->modified_ns + flow->hard_timeout * NS_PER_SECOND;
	const uint64_t idle = used_ns + flow->idle_timeout * NS_PER_SECOND;

	if (!flow->idle_timeout)
		return hard;
	return flow->hard_timeout && hard < idle ? hard : idle;
}

int timeout_offer(struct bridge *bridge, struct flow_timer *timer)
{
	const struct flow *flow = timer->flow;
	const struct table_state *state = bridge->tables[flow->table_id];

	if (!state || !state->eviction || (!flow->idle_timeout && !flow->hard_timeout))
		return 0;
	if (timer->eviction) {
		eviction_update(state->eviction, timer->eviction, expires_ns(flow, timer->used_ns));
		return 0;
	}
	timer->eviction =
		eviction_add(state->eviction, timer->flow, expires_ns(flow, timer->used_ns));
	return timer->eviction ? 0 : -ENOMEM;
}

void timeout_withdraw(struct bridge *bridge, struct flow *flow)
{
	struct flow_timer *timer = &bridge->timers[flow->timer_slot];

	eviction_remove(bridge->tables[flow->table_id]->eviction, timer->eviction);
	timer->eviction = NULL;
}

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
	if (timeout_offer(bridge, &bridge->timers[flow->timer_slot]) == 0)
		return 0;
	timeout_remove(bridge, flow);
	return -ENOMEM;
}

int timeout_change(struct bridge *bridge, struct flow *flow)
{
	if (flow->timer_slot == NO_SLOT)
		return timeout_add(bridge, flow);
	return timeout_offer(bridge, &bridge->timers[flow->timer_slot]);
}

void timeout_remove(struct bridge *bridge, struct flow *flow)
{
	struct flow_timer *last;

	if (flow->timer_slot == NO_SLOT)
		return;
	if (bridge->timers[flow->timer_slot].eviction)
		eviction_remove(bridge->tables[flow->table_id]->eviction,
				bridge->timers[flow->timer_slot].eviction);
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

static bool shorten(uint16_t *timeout, uint16_t most)
{
	if (!most || (*timeout && *timeout <= most))
		return false;
	*timeout = most;
	return true;
}

// A worker saw the end of a connection: the flow's timeouts become those of its fin_timeout. True if
// one was longer.
static bool apply_fin_timeouts(struct flow *flow, const uint8_t *at, size_t size)
{
	const uint8_t *end = at + size;
	bool changed = false;

	for (; at < end; at += ((const struct op *)at)->size) {
		const struct op_fin_timeout *fin = (const struct op_fin_timeout *)at;
		const struct op_nested *nested = (const struct op_nested *)at;

		if (fin->op.code == OP_CLONE)
			changed |= apply_fin_timeouts(flow, (const uint8_t *)nested->ops,
						      nested->length);
		if (fin->op.code != OP_FIN_TIMEOUT ||
		    !__atomic_load_n(&fin->seen, __ATOMIC_RELAXED))
			continue;
		changed |= shorten(&flow->idle_timeout, fin->idle_timeout);
		changed |= shorten(&flow->hard_timeout, fin->hard_timeout);
	}
	return changed;
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
		if (flow->program->flags & PROGRAM_FIN_TIMEOUT &&
		    apply_fin_timeouts(flow, flow->program->ops, flow->program->size))
			flow_mod_shortened(bridge, flow);
		// Expiring moves another flow into this slot.
		if (older_than(flow->modified_ns, flow->hard_timeout, now_ns))
			flow_mod_expire(bridge, flow, FLOW_REMOVED_HARD);
		else if (older_than(timer->used_ns, flow->idle_timeout, now_ns))
			flow_mod_expire(bridge, flow, FLOW_REMOVED_IDLE);
		else {
			// Without memory it is offered again in a second.
			timeout_offer(bridge, timer);
			i++;
		}
	}
}
