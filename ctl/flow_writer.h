// Rows of flows on their way into the store: many are written by a thread of their own.
//
// Making a flow's text and writing it takes as long as parsing the flow and putting it into its
// table, so a file of flows is loaded in half the time if both go on at once. What is to be written
// is copied into batches; full ones are the thread's, and the main thread waits when too much is
// under way. A few changes never reach the thread: who ends the request writes them. Functions here
// are for the main thread.
#ifndef CTL_FLOW_WRITER_H
#define CTL_FLOW_WRITER_H

#include "ctl/store.h"
#include "flowtable/flow.h"

void flow_writer_start(struct store *store);
// Nothing may be under way.
void flow_writer_stop(void);

// Write `flow` as it is now under this number, and delete a number's row. In the order of calls,
// in the transaction that is open. `names` are for its text, and stay until all is written;
// `clock_offset_ns` makes real from monotonic time. 0 or -ENOMEM.
int flow_writer_put(const struct flow *flow, const struct port_names *names, uint64_t id,
		    uint64_t clock_offset_ns);
int flow_writer_delete(uint64_t id);

// Wait until all is written. 0, or what went wrong first; nothing after it was written.
int flow_writer_finish(struct error *error);
// A transaction was committed: what can be done later, the thread does now.
void flow_writer_committed(void);
// Forget what is not written yet: the transaction is about to be rolled back.
void flow_writer_cancel(void);

#endif
