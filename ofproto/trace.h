// Trace: carry one packet through the same engine that the workers run, and tell each step.
//
// Nothing is sent, counted or learned. The results are JSON objects; docs/trace.md describes their
// keys. Main thread.
#ifndef OFPROTO_TRACE_H
#define OFPROTO_TRACE_H

#include "ofproto/bridge.h"

#include <jansson.h>

struct worker;

#define TRACE_PACKET_MAX 65535

// Trace a packet made from `flow_text` ("in_port=vm1,tcp,nw_dst=10.0.0.1,..."), or if `packet` is
// not NULL those bytes: the text gives in_port and metadata then.
int trace_run(struct bridge *bridge, const char *flow_text, const uint8_t *packet, size_t size,
	      json_t **result, struct error *error);

// Trace packets of a capture (pcap or pcapng, its bytes) that are received as `flow_text` says.
// `number` from 1: that packet, as trace_run(); 0: all, {"packets", "results": [...], ...}.
#define TRACE_CAPTURE_MAX (16u << 20)
int trace_run_capture(struct bridge *bridge, const char *flow_text, const uint8_t *capture,
		      size_t size, uint64_t number, json_t **result, struct error *error);

// The engine alone: the packet, which is taken, comes in at `port`. `metadata`: what it starts
// with, or NULL. `brief`: only what comes of it, no steps. NULL without memory.
json_t *trace_packet(struct worker *worker, struct forwarding *forwarding,
		     struct forwarding_port *port, struct rte_mbuf *packet,
		     const struct key *metadata, bool brief);

#endif
