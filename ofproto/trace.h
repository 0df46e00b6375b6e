// Trace: carry one packet through the same engine that the workers run, and tell each step.
//
// Nothing is sent, counted or learned. Main thread.
#ifndef OFPROTO_TRACE_H
#define OFPROTO_TRACE_H

#include "ofproto/bridge.h"

#include <jansson.h>

// Trace a packet made from `flow_text` ("in_port=vm1,tcp,nw_dst=10.0.0.1,..."), or from `packet`
// (bytes; size 0: none) received on the text's in_port. The result is a JSON object:
// {"flow": TEXT, "steps": [{"bridge","table","flow"|null,"cookie","priority","match","actions",
//  "depth"}...], "outcome": [TEXT...], "drops": [NAME...]}.
int trace_run(struct bridge *bridge, const char *flow_text, const uint8_t *packet, size_t size,
	      json_t **result, struct error *error);

#endif
