// What a traced packet tells (datapath/trace.h), gathered as JSON: a tree of steps, every packet
// that leaves and every drop.
//
// Bounded: beyond so many steps, kinds of output and flows compared the tree says "truncated".
// docs/trace.md describes the keys. Main thread.
#ifndef OFPROTO_TRACE_COLLECT_H
#define OFPROTO_TRACE_COLLECT_H

#include "datapath/trace.h"

#include <jansson.h>

#define TRACE_MAX_STEPS 4000
#define TRACE_MAX_OUTPUTS 1000 // that differ

struct collector;

// `brief`: no steps and no bytes, only outputs and drops. NULL without memory.
struct collector *collector_create(bool brief);
// The functions that collect, for a worker's trace.
void collector_init_trace(struct collector *collector, struct trace *trace);
// Everything gathered as {"steps", "outputs", "drops", "budget"[, "truncated",
// "outputs_truncated"]}; frees the
// collector.
json_t *collector_finish(struct collector *collector);

#endif
