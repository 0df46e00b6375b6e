// What every op of a traced packet tells, whichever it is (trace.h).
#include "datapath/actions.h"
#include "datapath/stack.h"

_Static_assert(TRACE_STACK_BYTES == BITS_SIZE, "trace shows whole values of the stack");

void actions_trace_begin(struct forward *forward, const struct op *op)
{
	struct key key;

	vector_get_key(forward->vector, 0, &key);
	forward->trace->op_begin(forward->trace->context, op, &key);
}

static void tell_stack(struct forward *forward)
{
	const struct packet_stack *stack = &forward->worker->stacks[0];
	uint8_t values[TRACE_STACK_SHOWN][TRACE_STACK_BYTES];
	unsigned int n = 0;

	for (uint16_t at = forward->vector->stacks[0].top; at; at = stack->below[at - 1]) {
		if (n < TRACE_STACK_SHOWN)
			memcpy(values[n], stack->values[at - 1].bytes, sizeof(values[n]));
		n++;
	}
	forward->trace->stack(forward->trace->context, n, values);
}

void actions_trace_end(struct forward *forward, const struct op *op)
{
	struct key key;

	if (op->code == OP_PUSH || op->code == OP_POP)
		tell_stack(forward);
	vector_get_key(forward->vector, 0, &key);
	forward->trace->op_end(forward->trace->context, op, &key);
}
