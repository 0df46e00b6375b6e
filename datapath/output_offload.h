// Sending packets of which something was left undone (vport/offload.h): what the port does not take
// so is done here, and only here. Not hot itself: called by output.c for batches that have such.
#ifndef DATAPATH_OUTPUT_OFFLOAD_H
#define DATAPATH_OUTPUT_OFFLOAD_H

#include "datapath/worker.h"
#include "vport/gro.h"

// Is it worth looking whether packets can be joined?
static inline bool output_may_join(const struct vport *vport, uint16_t n, uint64_t bytes)
{
	return n > 1 && bytes >= (uint64_t)n * GRO_WORTH && vport_offloads(vport) & OFFLOAD_GRO;
}

// Send a batch to a port, in order; takes it, and counts what is sent and what is dropped, each as
// what it is on the wire.
void output_offloads(struct worker *worker, struct vport *vport, struct rte_mbuf **packets,
		     uint16_t n);

#endif
