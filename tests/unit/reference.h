// A naive switch, one packet at a time: the model that the real pipeline is tested against.
//
// It shares with the switch only what a flow says (struct match, struct program) and the layout of
// the key; parsing, matching, executing and checksums are its own and as simple as can be. The key
// is read anew from the packet's bytes after every action, and every action changes the bytes at
// once. Slow on purpose. Tests only.
#ifndef TESTS_UNIT_REFERENCE_H
#define TESTS_UNIT_REFERENCE_H

#include "datapath/drop.h"
#include "flowtable/flow_text.h"
#include "flowtable/group_text.h"
#include "flowtable/meter_text.h"

#include <stdbool.h>
#include <stdint.h>

#define REF_PACKET_MAX 2048
#define REF_MAX_TABLES 8
#define REF_MAX_FLOWS 64
#define REF_MAX_PORTS 16
#define REF_MAX_OUTPUTS 16384
#define REF_MAX_DEPTH 64 // groups, and resubmits to the same or an earlier table
#define REF_MAX_NESTING 256 // these, and all other resubmits, and clones
#define REF_MAX_LOOKUPS 4096
#define REF_MAX_SET 128
#define REF_MAX_WRITES 64 // in an action set
#define REF_MAX_STACK 4096
#define REF_MAX_PRIORITY 8 // of flows with conjunctions
#define REF_MAX_CONJUNCTION 4
#define REF_MAX_DIMENSIONS 3

struct ref_packet {
	unsigned int size;
	bool retyped; // a rule said what lies behind a popped MPLS entry: it may have been wrong
	// As the field of that name. A packet that is not Ethernet has zeros and its type in the place
	// of the Ethernet header.
	uint32_t packet_type;
	unsigned int n_encap_bytes; // that encap added
	uint8_t bytes[REF_PACKET_MAX];
};

// Where headers lie, in bytes from the start of the frame; 0: there is none.
struct ref_layout {
	unsigned int n_vlans; // tags that the key knows
	unsigned int ipv4; // a well-formed IPv4 header
	unsigned int ipv6;
	unsigned int arp;
	unsigned int l4; // a whole transport header
	unsigned int l4_end; // end of the IP packet
	uint8_t l4_proto;
	unsigned int nd_target;
	unsigned int nd_sll; // of the address inside the option
	unsigned int nd_tll;
	unsigned int mpls; // the first label
	unsigned int nsh; // a sound network service header
	unsigned int n_mpls; // labels that the key knows
	bool routed; // an IPv6 routing header still holds the final destination
};

// Read the headers into the key's header fields, all of them; other fields are left alone. False
// for a frame that is too short to be Ethernet.
bool ref_parse(const struct ref_packet *packet, struct key *key, struct ref_layout *layout);

// Make the packet's bytes say what the key's header fields say, checksums included. Fields whose
// header the packet does not have are ignored.
void ref_store(struct ref_packet *packet, const struct key *want);

void ref_push_vlan(struct ref_packet *packet, uint16_t tpid, uint16_t tci);
void ref_pop_vlan(struct ref_packet *packet);

// MPLS (reference_mpls.c). False where there are more labels than the switch handles.
bool ref_push_mpls(struct ref_packet *packet, uint16_t type);
bool ref_pop_mpls(struct ref_packet *packet, uint16_t type);
void ref_copy_ttl(struct ref_packet *packet, bool inwards);

// encap and decap (reference_encap.c): 0, or the reason for which the packet ends.
enum drop_reason ref_encap(struct ref_packet *packet, const struct op *op, bool *fails);

// The link or the member that multipath and bundle choose (reference_hash.c). `live` tells of each
// member; OFPP_ANY if none is.
uint32_t ref_multipath(const struct key *key, const struct op_multipath *op);
uint32_t ref_bundle(const struct key *key, const struct op_bundle *op, const bool *live);

// The bucket of a select group (reference_select.c); `live` tells of each. -1 if there is none.
int ref_select(const struct key *key, const struct group_text *group, const bool *live);

struct ref_flow {
	struct flow_text text; // the program is owned by whoever built the flow
	uint64_t packets; // counted by ref_run()
	uint64_t bytes;
};

struct ref_port {
	uint32_t ofport;
	uint32_t longest; // frame that it takes, in bytes
	bool admin_up;
	bool no_flood;
	bool refuses; // takes nothing; `refusal` is counted
	enum drop_reason refusal;
};

#define REF_MAX_GROUPS 8
#define REF_MAX_BUCKETS 8 // of a select group
#define REF_SAMPLE_SETS 3 // sets of collectors, by number
#define REF_MAX_METERS 8

struct ref_bridge {
	unsigned int n_groups;
	struct group_text groups[REF_MAX_GROUPS]; // owned by whoever built the bridge
	uint64_t n_sampled[REF_SAMPLE_SETS]; // counted by ref_run()
	uint64_t sampled_bytes[REF_SAMPLE_SETS];
	unsigned int n_meters;
	struct meter_text meters[REF_MAX_METERS]; // a rate is 0, or more than anybody sends
	unsigned int n_ports;
	struct ref_port ports[REF_MAX_PORTS]; // ascending by number, LOCAL last
	unsigned int n_flows[REF_MAX_TABLES];
	struct ref_flow flows[REF_MAX_TABLES][REF_MAX_FLOWS]; // in order of insertion
};

struct ref_output {
	uint32_t ofport;
	struct ref_packet packet;
};

// A flow that a learn action asked for, in order.
#define REF_MAX_LEARNED 64
struct ref_learned {
	const struct op_learn *op;
	struct match match;
	char actions[1024]; // as text
};

// Every instance of the packet is sent or dropped: the outputs, the drops counted at the port where
// it came in, and those counted at the port that refused it. There is at least one instance.
struct ref_result {
	unsigned int n_outputs;
	bool overflow; // more outputs than REF_MAX_OUTPUTS; those above are only counted
	unsigned int n_lookups;
	unsigned int n_conjunctions; // lookups that ended in a flow with conj_id
	uint64_t n_drops[N_DROPS];
	uint64_t n_port_drops[REF_MAX_PORTS][N_DROPS]; // by index in bridge->ports
	unsigned int n_learned;
	struct ref_learned learned[REF_MAX_LEARNED]; // further ones are not kept
	struct ref_output *outputs; // REF_MAX_OUTPUTS of them, by the caller
};

// Send one packet through the bridge.
void ref_run(struct ref_bridge *bridge, const struct ref_packet *packet, uint32_t in_port,
	     struct ref_result *result);

// Apply one program to a packet outside of any bridge: field writes and tags, no outputs.
void ref_apply(struct ref_packet *packet, const struct program *program);

static inline unsigned int ref_get16(const uint8_t *at)
{
	return (unsigned int)at[0] << 8 | at[1];
}

static inline void ref_put16(uint8_t *at, unsigned int value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

#endif
