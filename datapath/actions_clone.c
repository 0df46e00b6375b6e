// clone, and the stack that it restores.
#include "datapath/actions.h"
#include "datapath/saved.h"
#include "datapath/stack.h"

// A clone works on so many packets at once: what it saves lies on the thread's stack.
#define CLONE_PACKETS 4

// --- The stack ---

static void stack_error(struct forward *forward, unsigned int packet)
{
	output_drop(forward, packet, DROP_STACK);
	forward_finish(forward, packet);
}

void actions_push(struct forward *forward, const struct subfield *from, uint64_t packets)
{
	for_each_packet(i, packets)
	{
		struct packet_stack *stack = &forward->worker->stacks[i];
		struct stack_mark *mark = &forward->vector->stacks[i];

		if (unlikely(mark->n_used == STACK_MAX)) {
			stack_error(forward, (unsigned int)i);
			continue;
		}
		subfield_get(forward->vector, (unsigned int)i, from, &stack->values[mark->n_used]);
		stack->below[mark->n_used] = mark->top;
		mark->top = ++mark->n_used;
	}
}

void actions_pop(struct forward *forward, const struct subfield *to, uint64_t packets)
{
	for_each_packet(i, packets)
	{
		struct packet_stack *stack = &forward->worker->stacks[i];
		struct stack_mark *mark = &forward->vector->stacks[i];
		const uint16_t top = mark->top;

		if (unlikely(!top)) {
			stack_error(forward, (unsigned int)i);
			continue;
		}
		mark->top = stack->below[top - 1];
		if (top > mark->floor)
			mark->n_used = top - 1;
		actions_write(forward, (unsigned int)i, to, &stack->values[top - 1]);
	}
}

// --- Clone ---

// Everything of a packet that nested actions may change.
struct saved_packet {
	unsigned int packet;
	bool has_action_set;
	struct saved saved;
	struct action_set action_set;
};

static void save(struct forward *forward, unsigned int packet, struct saved_packet *saved)
{
	struct vector *vector = forward->vector;

	output_pending(forward, packet);
	saved->packet = packet;
	saved_take(&saved->saved, vector, packet);
	saved->has_action_set = vector->has_action_set >> packet & 1;
	if (saved->has_action_set)
		saved->action_set = vector->action_sets[packet];
}

static void restore(struct forward *forward, const struct saved_packet *saved)
{
	struct vector *vector = forward->vector;
	const unsigned int packet = saved->packet;

	output_pending(forward, packet);
	saved_restore(&saved->saved, vector, packet);
	vector->has_action_set &= ~(1ULL << packet);
	if (saved->has_action_set) {
		vector->has_action_set |= 1ULL << packet;
		vector->action_sets[packet] = saved->action_set;
	}
}

// A clone is a packet that goes its way to the end: its action set runs too. What an exit inside
// ends is everything.
static void clone_some(struct forward *forward, const struct op_nested *clone, uint8_t table_id,
		       uint64_t packets, unsigned int depth)
{
	struct saved_packet saved[CLONE_PACKETS];
	unsigned int n = 0;

	forward->metered &= ~packets;
	for_each_packet(i, packets) save(forward, (unsigned int)i, &saved[n++]);
	actions_run_list(forward, (const uint8_t *)clone->ops, clone->length, table_id, packets,
			 depth + 1, NULL);
	if (forward->vector->has_action_set & packets)
		actions_run_sets(forward, packets & ~forward->finished, depth + 1);
	while (n-- > 0)
		restore(forward, &saved[n]);
	forward->finished &= ~(forward->metered & packets);
	forward->metered &= ~packets;
}

void actions_clone(struct forward *forward, const struct op_nested *clone, uint8_t table_id,
		   uint64_t packets, unsigned int depth)
{
	while (packets) {
		uint64_t some = 0;

		for (unsigned int n = 0; n < CLONE_PACKETS && packets; n++) {
			some |= packets & -packets;
			packets &= packets - 1;
		}
		clone_some(forward, clone, table_id, some, depth);
	}
}
