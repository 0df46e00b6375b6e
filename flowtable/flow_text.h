// The flow language of ovs-ofctl(8), ovs-fields(7) and ovs-actions(7): text to flows and back.
//
// One parser and one printer serve the control utility, files, the kept configuration, trace and
// tests. Errors name the column and what would be accepted. Control thread.
#ifndef FLOWTABLE_FLOW_TEXT_H
#define FLOWTABLE_FLOW_TEXT_H

#include "flowtable/program.h"

struct error;
struct learn_link;
struct text;

// What a flow text says besides match and actions.
enum flow_text_usage {
	FLOW_TEXT_ADD, // add-flow: priority, timeouts, cookie; actions required
	FLOW_TEXT_MOD, // mod-flows: as add, cookie=VALUE/MASK selects, cookie=VALUE changes
	FLOW_TEXT_DELETE, // del-flows: selectors, out_port, no actions
	FLOW_TEXT_DUMP, // dump-flows: selectors
	FLOW_TEXT_MATCH, // trace: a match alone, every field exact
};

struct flow_text {
	struct match match;
	struct program *program; // NULL without actions; owned by the caller
	uint64_t cookie; // of the new flow, or the selector
	uint64_t cookie_mask; // selectors; all ones for plain cookie=
	uint64_t new_cookie; // FLOW_TEXT_MOD: plain cookie= changes it and does not select
	bool has_cookie;
	bool has_new_cookie;
	bool has_priority;
	bool has_table;
	uint16_t priority; // default 32768 (OFP_DEFAULT_PRIORITY)
	uint8_t table_id; // default 0; FLOW_TEXT_DELETE and DUMP: default 255, all tables
	uint16_t idle_timeout; // seconds, 0 for never
	uint16_t hard_timeout;
	uint16_t importance;
	uint16_t flags; // FLOW_FLAG_*
	uint32_t out_port; // selectors; OFPP_ANY
	uint32_t out_group;
	struct learn_link *learned; // ofproto's: handed to the flow that the text becomes
};

// No flow that makes sense is longer.
#define FLOW_TEXT_MAX (1u << 20)

#define FLOW_DEFAULT_PRIORITY 32768
#define FLOW_FLAG_SEND_FLOW_REM (1 << 0)
#define FLOW_FLAG_CHECK_OVERLAP (1 << 1)
#define FLOW_FLAG_RESET_COUNTS (1 << 2)
#define FLOW_FLAG_NO_PACKET_COUNTS (1 << 3)
#define FLOW_FLAG_NO_BYTE_COUNTS (1 << 4)

// Parse one flow ("priority=10,ip,nw_dst=10.0.0.0/8,actions=output:vm1"). Returns 0, or -errno
// with error->column set to the mistake; nothing needs freeing then. `ports` may be NULL.
int flow_text_parse(const char *string, enum flow_text_usage usage, const struct port_names *ports,
		    struct flow_text *flow, struct error *error);
void flow_text_release(struct flow_text *flow);

// Actions alone ("output:1,resubmit(,2)").
int program_parse(const char *string, const struct port_names *ports, struct program **program,
		  struct error *error);
void program_free(void *program);

// Append the canonical text: "ip,nw_dst=10.0.0.0/8", "output:2,resubmit(,2)", "drop".
// Port names are used where `ports` knows them.
void match_format(const struct match *match, const struct port_names *ports, struct text *text);
void program_format(const struct program *program, const struct port_names *ports,
		    struct text *text);

// A table's name, if `names` knows it, or number.
void table_format(uint8_t table_id, const struct port_names *names, struct text *text);

// "priority=10,ip": priority, unless it is the default, and match.
void flow_format_match(const struct match *match, uint16_t priority, const struct port_names *ports,
		       struct text *text);

// One field's value as text, and the reverse ("10.0.0.0/8" into value and mask).
void field_format_value(const struct field *field, const struct field_value *value,
			const struct field_value *mask, const struct port_names *ports,
			struct text *text);
int field_parse_value(const struct field *field, const char *string, const struct port_names *ports,
		      struct field_value *value, struct field_value *mask, struct error *error);

// "NXM_NX_REG0[0..15]", "reg0[0..15]", "eth_src".
int subfield_parse(const char *string, struct subfield *subfield, struct error *error);
void subfield_format(const struct subfield *subfield, struct text *text);

// Does any output op of the program send to `port` (selector out_port)?
bool program_outputs_to(const struct program *program, uint32_t port);

#endif
