// Memory for flows: whole cache lines, packed without gaps, from slabs of one size each.
//
// malloc() would spend a third more on the alignment. Slabs are kept for later flows. Control
// thread.
#ifndef FLOWTABLE_FLOW_POOL_H
#define FLOWTABLE_FLOW_POOL_H

#include <stdbool.h>
#include <stddef.h>

// Zeroed, on a cache line. NULL without memory. `size` is what it was allocated with.
void *flow_pool_alloc(size_t size);
void flow_pool_free(void *object, size_t size);

#endif
