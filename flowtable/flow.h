// A flow: one rule of one table, as tables keep it and workers use it.
//
// The control thread creates, changes and frees flows. Workers read what is const for them: the
// match (mask, values), `program` by rcu_read(), `counter`, `priority` and `rank`. Everything else
// is control-thread bookkeeping.
#ifndef FLOWTABLE_FLOW_H
#define FLOWTABLE_FLOW_H

#include "common/counters.h"
#include "flowtable/flow_text.h"
#include "flowtable/table_index.h"

#include <stddef.h>

struct learn_link;
struct table_holder;
struct table_shape;

// Which flows a lookup sees. While changes are being made that packets are to see all at once, or
// not at all, workers look up in a view: new flows wait invisibly beside those whose place they
// take, until one store moves all packets from one view to the other (datapath/view.h). In between
// there is no view, and lookups do not look at states.
enum flow_view { VIEW_NONE, VIEW_BEFORE, VIEW_AFTER };
enum flow_state {
	FLOW_NORMAL,
	FLOW_NEW, // invisible before
	FLOW_DYING, // invisible after
};
_Static_assert((int)FLOW_NEW == VIEW_BEFORE && (int)FLOW_DYING == VIEW_AFTER,
	       "a flow is invisible in the view that has the number of its state");

struct flow {
	// Control thread.
	uint64_t cookie;
	uint64_t created_ns; // monotonic
	uint64_t modified_ns; // hard timeout counts from here
	uint64_t kept_id; // the observer's (ofproto/flow_mod.h); 0 until it sets one
	uint16_t idle_timeout;
	uint16_t hard_timeout;
	uint16_t importance;
	uint16_t flags;
	uint32_t timer_slot; // ofproto's: place among the flows with timeouts
	uint32_t port_slot; // ofproto's: place among the flows with the same output port
	struct flow *cookie_next; // ofproto's: flows whose cookies have the same hash
	struct flow *cookie_prev;
	struct learn_link *learned; // ofproto's: NULL unless a learn action made or knows the flow

	// The table's (table_internal.h).
	struct table_holder *owner; // the part that holds the flow
	struct table_shape *shape; // all flows with this mask
	struct flow *list_next;
	struct flow *list_prev;
	struct table_index_node index; // by mask, values and priority
	struct flow *next; // the classifier's: flows with equal mask and values, falling rank

	// What workers read: one cache line holds it together with four words of the match.
	_Alignas(64) const struct mask *mask; // one reference
	struct program *program; // published; never NULL
	uint64_t rank; // flow_rank(): of two matching flows the one with the higher rank wins
	uint32_t counter; // id in common/counters.h
	uint16_t priority;
	uint8_t table_id;
	uint8_t state; // enum flow_state: only lookups in a view look at it

	uint64_t values[]; // mask->n_words words of the match
};

// Priority first, then age: the flow inserted first wins among equals. Never 0, below 2^63.
#define FLOW_SEQUENCE_BITS 47
static inline uint64_t flow_rank(uint16_t priority, uint64_t sequence)
{
	uint64_t newest = (UINT64_C(1) << FLOW_SEQUENCE_BITS) - 1;

	return (uint64_t)priority << FLOW_SEQUENCE_BITS | (newest - sequence);
}

_Static_assert(offsetof(struct flow, mask) == 128, "the bookkeeping takes two cache lines");

static inline bool flow_is_visible(const struct flow *flow, enum flow_view view)
{
	return __atomic_load_n(&flow->state, __ATOMIC_RELAXED) != (uint8_t)view;
}

static inline void flow_set_state(struct flow *flow, enum flow_state state)
{
	__atomic_store_n(&flow->state, (uint8_t)state, __ATOMIC_RELAXED);
}

// A flow made of a parsed text; takes `text->program` over (and sets it to NULL), and may share it
// with other flows. NULL without memory. flow_free() is for flows that no worker ever saw; flow_defer_free() for all others.
struct flow *flow_create(struct flow_text *text);
void flow_free(void *flow);
// A flow with the match, times and cookie of `flow` and another program, which it takes over. Both
// count in one place: the counter of one of them has to be COUNTER_NONE before it is freed. NULL
// without memory.
struct flow *flow_create_beside(const struct flow *flow, struct program *program);
void flow_defer_free(struct flow *flow);

// Counts since creation or the last reset, and the reset.
struct counter flow_counts(const struct flow *flow);
void flow_reset_counts(struct flow *flow);

#endif
