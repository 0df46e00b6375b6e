// Programs: compiled action lists. The one form in which actions are kept, run and printed.
//
// A program is a packed sequence of ops; each op is a struct that begins with `struct op` and is
// described by one row of action.def (name, parse, format). The text that a user typed is
// recovered from the ops in canonical form, and the workers execute the same ops. Programs are
// immutable once built; flows publish them by pointer and free them by rcu_defer().
#ifndef FLOWTABLE_PROGRAM_H
#define FLOWTABLE_PROGRAM_H

#include "flowtable/match.h"

enum op_code {
#define ACTION(id, ...) OP_##id,
#include "flowtable/action.def"
	N_OPS
};

// Every op starts on 8 bytes; `size` counts the whole op, padding included.
struct op {
	uint16_t code; // enum op_code
	uint16_t size;
	uint8_t form; // which of several spellings to print (enum *_form below)
	uint8_t reserved[3];
};

// OpenFlow's reserved port numbers, 32-bit form (OpenFlow 1.3.5 section 7.2.1).
#define OFPP_MAX 0xffffff00u
#define OFPP_UNSET 0xfffffff7u
#define OFPP_IN_PORT 0xfffffff8u
#define OFPP_TABLE 0xfffffff9u
#define OFPP_NORMAL 0xfffffffau
#define OFPP_FLOOD 0xfffffffbu
#define OFPP_ALL 0xfffffffcu
#define OFPP_CONTROLLER 0xfffffffdu
#define OFPP_LOCAL 0xfffffffeu
#define OFPP_ANY 0xffffffffu

#define TABLE_ID_CURRENT 255 // resubmit(port,) : the table that the flow is in
#define N_TABLES 255 // 0 to 254
#define MAX_LEN_ALL 0 // output without truncation

struct op_output { // output:PORT, NORMAL, FLOOD, ..., output(port=P,max_len=N)
	struct op op;
	uint32_t port;
	uint32_t max_len; // bytes, MAX_LEN_ALL for all
};

struct op_output_reg { // output:REG[..]
	struct op op;
	struct subfield source;
	uint32_t max_len;
	uint32_t reserved;
};

struct op_controller { // controller(...)
	struct op op;
	uint16_t max_len;
	uint16_t controller_id;
	uint8_t reason; // OFPR_*
	uint8_t flags;
	uint16_t userdata_size;
	uint32_t meter_id; // CONTROLLER_NO_METER
	uint8_t userdata[];
};

#define CONTROLLER_NO_METER 0

struct op_resubmit { // resubmit:PORT, resubmit(PORT,TABLE)
	struct op op;
	uint32_t in_port; // OFPP_IN_PORT: unchanged
	uint8_t table_id; // TABLE_ID_CURRENT: the flow's own
	uint8_t with_ct; // look up with the 5-tuple of the connection's original direction
	uint8_t reserved[2];
};

struct op_group { // group:ID
	struct op op;
	uint32_t group_id;
	uint32_t reserved;
};

struct op_goto_table {
	struct op op;
	uint8_t table_id;
	uint8_t reserved[7];
};

// One changed word of the key: word = (word & ~mask) | value.
struct op_word {
	uint16_t word;
	uint16_t line; // word / KEY_LINE_WORDS
	uint32_t reserved;
	uint64_t value;
	uint64_t mask;
};

// set_field, load, mod_*, write_metadata: any write of constant bits into one field.
//
// Whoever runs it applies the words as they are. Only a tag needs more: where the write turns
// KEY_VLAN_PRESENT of vlan_tci0 on, a tag (0x8100) is pushed, where it turns it off, the tag is
// popped. set_field:vlan_vid writes the bit as set (and needs a match on a tag); set_field:vlan_pcp
// and loads of NXM_OF_VLAN_TCI[0..11] leave it alone; vlan_tci writes it as the user gave it. A
// full write of in_port has all 32 bits, even by its 16-bit name. A write that a packet has no
// header for (the match has made sure of it, but actions may have changed the packet) does nothing.
enum set_form {
	SET_FORM_SET_FIELD, // set_field:VALUE[/MASK]->FIELD
	SET_FORM_LOAD, // load:VALUE->FIELD[A..B]
	SET_FORM_MOD, // mod_dl_src:..., by the field
	SET_FORM_WRITE_METADATA, // write_metadata:VALUE[/MASK]
	SET_FORM_SET_TUNNEL, // set_tunnel:VALUE
};
struct op_set {
	struct op op;
	uint16_t field; // enum field_id
	uint16_t offset; // SET_FORM_LOAD: subfield
	uint16_t n_bits; // what was written of the field: for printing
	uint16_t n_words;
	struct op_word words[];
};

struct op_move { // move:SRC[A..B]->DST[C..D]
	struct op op;
	struct subfield source;
	struct subfield destination;
};

struct op_push_vlan {
	struct op op;
	rte_be16_t tpid; // 0x8100 or 0x88a8
	uint8_t reserved[6];
};

struct op_vlan { // mod_vlan_vid, mod_vlan_pcp: push a tag if there is none (OpenFlow 1.0)
	struct op op;
	uint16_t value;
	uint8_t push_if_missing;
	uint8_t reserved[5];
};

struct op_dec_ttl { // dec_ttl, dec_ttl(ID,...)
	struct op op;
	uint16_t n_ids; // 0: written without
	uint16_t ids[]; // controllers to tell
};

struct op_stack { // push:FIELD[A..B], pop:FIELD[A..B], delete_field:tun_metadataN
	struct op op;
	struct subfield subfield;
};

struct op_number { // set_queue:N, meter:N
	struct op op;
	uint32_t number;
	uint32_t reserved;
};

struct op_enqueue { // enqueue:PORT:QUEUE
	struct op op;
	uint32_t port;
	uint32_t queue;
};

struct op_check_larger { // check_pkt_larger(LENGTH)->FIELD[BIT]
	struct op op;
	uint32_t length;
	uint32_t reserved;
	struct subfield destination;
};

// What multipath and bundle hash. Those called symmetric give both directions the same.
enum flow_hash {
	FLOW_HASH_ETH_SRC,
	FLOW_HASH_SYMMETRIC_L4,
	FLOW_HASH_SYMMETRIC_L3L4,
	FLOW_HASH_SYMMETRIC_L3L4_UDP,
	FLOW_HASH_NW_SRC,
	FLOW_HASH_NW_DST,
	FLOW_HASH_SYMMETRIC_L3,
};

// How multipath and bundle choose (RFC 2992).
enum link_algorithm {
	LINK_MODULO_N,
	LINK_HASH_THRESHOLD,
	LINK_HRW,
	LINK_ITER_HASH,
	LINK_ACTIVE_BACKUP, // of bundle alone, which has no other but HRW
};

struct op_multipath { // multipath(FIELDS,BASIS,ALGORITHM,N_LINKS,ARG,DST)
	struct op op;
	uint8_t hash; // enum flow_hash
	uint8_t algorithm; // enum link_algorithm
	uint16_t basis;
	uint32_t n_links; // 1 to 65536
	uint32_t arg;
	uint32_t reserved;
	struct subfield destination;
};

struct op_bundle { // bundle(...), bundle_load(...)
	struct op op;
	uint8_t hash;
	uint8_t algorithm;
	uint16_t basis;
	uint16_t n_members;
	uint8_t is_load; // write the port's number to `destination`, do not send
	uint8_t reserved;
	struct subfield destination;
	uint32_t members[];
};

struct op_sample { // sample(...)
	struct op op;
	uint16_t probability; // of 65535
	uint8_t direction; // enum sample_direction
	uint8_t reserved;
	uint32_t collector_set_id;
	uint32_t obs_domain_id;
	uint32_t obs_point_id;
	uint32_t sampling_port; // OFPP_ANY: none
	uint32_t reserved1;
};
enum sample_direction { SAMPLE_ANY, SAMPLE_INGRESS, SAMPLE_EGRESS };

struct op_fin_timeout { // fin_timeout(idle_timeout=SECONDS,hard_timeout=SECONDS)
	struct op op;
	uint16_t idle_timeout; // 0: left alone
	uint16_t hard_timeout;
	uint8_t seen; // atomic: a worker sets it when the flow saw a FIN or RST
	uint8_t reserved[3];
};

struct op_mpls { // push_mpls:TYPE, pop_mpls:TYPE
	struct op op;
	rte_be16_t eth_type;
	uint8_t reserved[6];
};

enum encap_kind { ENCAP_ETHERNET, ENCAP_NSH, ENCAP_MPLS, ENCAP_MPLS_MC, ENCAP_KINDS };
#define ENCAP_MAX_OPTIONS 72
struct op_encap { // encap(...); form: nsh with md_type written
	struct op op;
	uint8_t kind; // enum encap_kind
	uint8_t md_type;
	uint16_t n_options; // bytes
	uint32_t reserved;
	uint8_t options[]; // of the NSH header, as they are on the wire
};

struct op_decap { // decap(), decap(packet_type(ns=N,type=T))
	struct op op;
	uint32_t packet_type; // as in the field
	uint8_t has_type;
	uint8_t reserved[3];
};

struct op_note {
	struct op op;
	uint16_t length;
	uint8_t bytes[];
};

struct op_nested { // write_actions(...), clone(...): the nested ops follow, `length` bytes of them
	struct op op;
	uint32_t length;
	uint32_t reserved;
	struct op ops[];
};

// What a learned flow matches or does, and where the value comes from.
enum learn_kind { LEARN_MATCH, LEARN_LOAD, LEARN_OUTPUT };
struct learn_spec {
	struct subfield source; // of the packet; field NULL: `value`
	struct subfield destination; // field NULL: LEARN_OUTPUT
	struct field_value value; // right-aligned at the destination's lowest bit
	uint8_t kind; // enum learn_kind
	uint8_t reserved[7];
};

// Bytes that the sources of one learn action may have together; each is rounded up to bytes.
#define LEARN_VALUES_SIZE 208
#define LEARN_SEND_FLOW_REM 1
#define LEARN_DELETE_LEARNED 2
struct op_learn { // learn(...)
	struct op op;
	uint64_t cookie;
	struct learn_rule *rule; // while the flow is installed (ofproto's); else NULL
	struct subfield result; // one bit; field NULL: none
	uint32_t limit; // flows; 0: none
	uint16_t priority;
	uint16_t idle_timeout;
	uint16_t hard_timeout;
	uint16_t fin_idle_timeout;
	uint16_t fin_hard_timeout;
	uint8_t table_id;
	uint8_t flags; // LEARN_*
	uint16_t n_values; // bytes of all sources
	uint16_t n_specs;
	struct learn_spec specs[];
};

// ct(...): `length` bytes of ops follow, those of exec(...), which write ct_mark and ct_label.
#define CT_COMMIT 1
#define CT_FORCE 2
#define CT_NAT 4
#define CT_NAT_SRC 1
#define CT_NAT_DST 2
#define CT_NAT_PERSISTENT 4
#define CT_NAT_HASH 8
#define CT_NAT_RANDOM 16
#define CT_NO_TABLE 255
enum ct_alg { CT_ALG_NONE, CT_ALG_FTP, CT_ALG_TFTP };
struct op_ct {
	struct op op;
	uint8_t flags;
	uint8_t nat_flags; // CT_NAT_*; 0: translate as committed before
	uint8_t table_id; // where the packet goes on, CT_NO_TABLE: nowhere
	uint8_t alg; // enum ct_alg
	uint16_t zone;
	uint8_t family; // of the addresses: 4, 6, or 0 if there are none
	uint8_t reserved;
	struct subfield zone_source; // field NULL: `zone`
	uint16_t min_port; // 0: none
	uint16_t max_port;
	uint32_t length;
	uint8_t min_address[16]; // network byte order; of IPv4 the first four bytes
	uint8_t max_address[16];
	struct op ops[];
};

// conjunction(ID,K/N): the flow matches in dimension K of the N that conjunction ID has. Never run:
// tables keep such flows apart and look the conjunction's flow up instead (table_clauses.c).
#define CONJUNCTION_MIN_DIMENSIONS 2
#define CONJUNCTION_MAX_DIMENSIONS 64
struct op_conjunction {
	struct op op;
	uint32_t id;
	uint8_t dimension; // from 1
	uint8_t n_dimensions;
	uint8_t reserved[2];
};

// Ops without arguments use `struct op` alone: strip_vlan, pop_vlan, dec_mpls_ttl, pop_queue,
// clear_actions, exit, drop.

struct program {
	uint32_t size; // bytes of ops
	uint32_t n_ops;
	uint16_t lines_read; // key lines that ops look at
	uint16_t lines_written;
	uint16_t dirty; // every header that ops may change (enum dirty_header)
	uint8_t flags; // PROGRAM_*
	uint8_t reserved;
	uint32_t n_more_users; // control thread: flows that share it, but for one
	uint32_t hash; // of the ops: program_share.h
	_Alignas(8) uint8_t ops[];
};
#define PROGRAM_WRITES_ACTION_SET 1
#define PROGRAM_CHANGES_TAGS 2 // may push or pop a VLAN tag
#define PROGRAM_RESUBMITS 4
#define PROGRAM_CONJUNCTION 32 // nothing but conjunctions and notes
#define PROGRAM_FIN_TIMEOUT 64
#define PROGRAM_LEARNS 128

#define program_for_each_op(op_, program_)                                                         \
	for (const struct op *op_ = (const struct op *)(program_)->ops,                            \
			     *end_##op_ = (const struct op *)((program_)->ops + (program_)->size); \
	     op_ < end_##op_; op_ = (const struct op *)((const uint8_t *)op_ + op_->size))

// Names of ports and options, looked up by the bridge that a flow belongs to. `context` is the
// bridge's. Without functions, ports are numbers.
struct tun_map;
struct port_names {
	void *context;
	// Port number by name; OFPP_ANY if unknown.
	uint32_t (*number)(void *context, const char *name);
	// Name by number, or NULL.
	const char *(*name)(void *context, uint32_t number);
	// The same for flow tables: -1 if unknown, NULL if it has no name. May be NULL themselves.
	int (*table_number)(void *context, const char *name);
	const char *(*table_name)(void *context, uint8_t number);
	// The tunnel options that the bridge knows. NULL: fields are as in field.def.
	const struct tun_map *tun_map;
};

#endif
