// A vector: up to 64 packets on their way through one bridge, with everything known about them.
//
// The headers of each packet are parsed once into key lines; classifiers and actions work on the
// lines. `dirty` says which headers differ from the packet's bytes: write_back() brings them
// together before a packet leaves or its structure changes. Sets of packets are 64-bit masks.
// A vector belongs to one worker and is reused for every burst.
#ifndef DATAPATH_VECTOR_H
#define DATAPATH_VECTOR_H

#if defined(__AVX512BW__)
#include <immintrin.h>
#endif

#include "datapath/forwarding.h"
#include "flowtable/key.h"
#include "vport/offload.h"
#include "vport/packet.h"

#define for_each_packet(i, packets)                                                                \
	for (uint64_t left_##i = (packets), i;                                                     \
	     left_##i && (i = (uint64_t)__builtin_ctzll(left_##i), 1); left_##i &= left_##i - 1)

// Where a packet's headers begin, in bytes from the start of the frame; 0: there is none.
struct packet_layout {
	uint16_t l3;
	uint16_t l4; // only for a first or only fragment with a whole transport header
	uint16_t l4_size; // bytes from l4 to the end of the IP packet
	uint8_t n_vlans; // tags the key knows: 0 to 2
	uint8_t l4_proto; // IPPROTO_* behind any extension headers
	uint8_t n_mpls;
	bool nd; // a well-formed neighbour discovery message
	rte_be16_t type; // behind the tags, or of the bare packet
	uint32_t packet_type; // as in the field; 0: Ethernet. Stays when headers are read anew
	uint16_t n_encap_bytes; // that encap put in front
	bool routed; // IPv6: the final destination lies in a routing header
};

struct op;

// The OpenFlow action set of one packet (OpenFlow 1.3.5 section 5.10), in the order in which it
// runs: at most one op of a kind, but any number of writes, which come between SET_PLACE_WRITES and
// what follows it.
enum set_place {
	SET_PLACE_COPY_TTL_IN,
	SET_PLACE_POP_VLAN,
	SET_PLACE_POP_MPLS,
	SET_PLACE_DECAP,
	SET_PLACE_ENCAP,
	SET_PLACE_PUSH_MPLS,
	SET_PLACE_PUSH_VLAN,
	SET_PLACE_COPY_TTL_OUT,
	SET_PLACE_DEC_TTL,
	SET_PLACE_DEC_MPLS_TTL,
	SET_PLACE_DEC_NSH_TTL,
	SET_PLACE_WRITES,
	SET_PLACE_QUEUE,
	SET_PLACE_GROUP, // the first of these that is there runs, the others do not
	SET_PLACE_OUTPUT,
	SET_PLACE_RESUBMIT,
	SET_PLACES
};
#define ACTION_SET_MAX_FIELDS 64
struct action_set {
	const struct op *places[SET_PLACES];
	uint32_t n_fields;
	const struct op *fields[ACTION_SET_MAX_FIELDS];
};

// Where the stack of push and pop stands (stack.h). Entries count from 1; 0: none.
struct stack_mark {
	uint16_t top;
	uint16_t n_used; // entries above are free
	uint16_t floor; // entries up to here belong to clones around
};

struct vector {
	uint64_t lines[KEY_LINES][VECTOR_SIZE][KEY_LINE_WORDS] __attribute__((aligned(64)));
	struct rte_mbuf *packets[VECTOR_SIZE];
	uint32_t length[VECTOR_SIZE]; // bytes of the frame as received, on the wire
	_Alignas(64) uint16_t dirty[VECTOR_SIZE]; // enum dirty_header
	_Alignas(64) uint16_t n_lookups[VECTOR_SIZE]; // table lookups so far, against the budget
	struct packet_layout layout[VECTOR_SIZE];
	// The output decided last. It is carried out when the next one comes, with a shared
	// reference, or at the end with the packet itself: one output needs no copy.
	struct forwarding_port *pending[VECTOR_SIZE];
	uint32_t queue[VECTOR_SIZE]; // of that output, if its port has quality of service
	// Packets of which at least one instance was sent or dropped already. Every further one
	// came to be by copying, and is counted so: what comes in and is copied equals what goes
	// out and is dropped.
	uint64_t delivered;
	uint64_t missed; // packets that matched no flow in the last table they came to
	uint64_t has_action_set;
	uint64_t large; // packets that are several on the wire
	uint64_t bare; // packets without an Ethernet header (actions_encap.c)
	struct action_set action_sets[VECTOR_SIZE];
	struct stack_mark stacks[VECTOR_SIZE];
	struct key_vector keys; // points at `lines`
	uint16_t live_lines; // which lines are filled
	uint16_t n;
};

static inline struct key_core *vector_core(struct vector *vector, unsigned int packet)
{
	return (struct key_core *)vector->lines[KEY_LINE_CORE][packet];
}

static inline struct key_ipv6 *vector_ipv6(struct vector *vector, unsigned int packet)
{
	return (struct key_ipv6 *)vector->lines[KEY_LINE_IPV6][packet];
}

static inline struct key_rare *vector_rare(struct vector *vector, unsigned int packet)
{
	return (struct key_rare *)vector->lines[KEY_LINE_RARE][packet];
}

static inline struct key_tunnel *vector_tunnel(struct vector *vector, unsigned int packet)
{
	return (struct key_tunnel *)vector->lines[KEY_LINE_TUNNEL][packet];
}

// After a change of the packet's layout.
static inline void vector_note_bare(struct vector *vector, unsigned int packet)
{
	const uint64_t bit = 1ULL << packet;

	vector->bare =
		vector->layout[packet].packet_type ? vector->bare | bit : vector->bare & ~bit;
}

// How many packets these are on the wire.
static inline uint64_t vector_wire_count(const struct vector *vector, uint64_t packets)
{
	uint64_t n = (uint64_t)__builtin_popcountll(packets);

	if (unlikely(packets & vector->large))
		for_each_packet(i, packets & vector->large) n +=
			packet_wire_count(vector->packets[i]) - 1;
	return n;
}

// These packets' headers differ from their bytes now.
static inline void vector_mark_dirty(struct vector *vector, uint64_t packets, uint16_t dirty)
{
#if defined(__AVX512BW__)
	__m512i *half = (__m512i *)vector->dirty, bits = _mm512_set1_epi16((short)dirty);

	half[0] = _mm512_or_si512(half[0], _mm512_maskz_mov_epi16((__mmask32)packets, bits));
	half[1] =
		_mm512_or_si512(half[1], _mm512_maskz_mov_epi16((__mmask32)(packets >> 32), bits));
#else
	for_each_packet(i, packets) vector->dirty[i] |= dirty;
#endif
}

static inline uint64_t vector_mask(unsigned int n)
{
	return n >= 64 ? UINT64_MAX : (1ULL << n) - 1;
}

// Put the key of one packet together from its live lines, the others zero. For trace and tests.
static inline void vector_get_key(const struct vector *vector, unsigned int packet, struct key *key)
{
	for (unsigned int line = 0; line < KEY_LINES; line++)
		for (unsigned int word = 0; word < KEY_LINE_WORDS; word++)
			key->words[line * KEY_LINE_WORDS + word] =
				vector->live_lines & 1u << line ? vector->lines[line][packet][word]
								: 0;
}

#endif
