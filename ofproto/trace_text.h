// Flows, keys and their differences as trace shows them. Main thread.
#ifndef OFPROTO_TRACE_TEXT_H
#define OFPROTO_TRACE_TEXT_H

#include "flowtable/flow.h"
#include "flowtable/table_nearest.h"

#include <jansson.h>

// A JSON string of what `text` holds, which is freed.
json_t *trace_take_text(struct text *text);

// The packet as the match that describes it exactly.
json_t *trace_key_text(const struct key *key, const struct port_names *names);

// The same of one that leaves: it has no port that it came in by.
json_t *trace_sent_text(const struct key *key);

// A whole packet in hexadecimal digits.
struct rte_mbuf;
json_t *trace_packet_hex(const struct rte_mbuf *packet);

// [{"field", "before", "after"}]: the fields that differ; a field that the packet does not have
// before or after is null there. NULL if nothing differs.
json_t *trace_changes(const struct key *before, const struct key *after,
		      const struct port_names *names);

// Add "flow", "priority", "match", "cookie" and "actions" of a flow.
void trace_describe_flow(json_t *object, const struct flow *flow, const struct port_names *names);

// One flow that did not match: {"flow", "priority", "cookie", "match", "field", "packet", "wants",
// "fields", "text"}.
json_t *trace_describe_near(const struct table_near *near, const struct key *key,
			    const struct port_names *names);

#endif
