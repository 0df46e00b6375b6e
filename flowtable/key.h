// The flow key: everything a flow can match, at fixed places in 64-byte lines.
//
// A packet's headers and metadata are written once into these lines; every field (field.def) is a
// bit range at a fixed offset, in network byte order. Lines that no rule looks at are never
// touched, so an unused line costs nothing. Fields whose prerequisites exclude each other share
// bytes (ARP addresses and IPv4 addresses, ICMP type and source port), as the match on the
// prerequisite tells them apart.
//
// In a vector the lines of 64 packets lie side by side: lines[LINE][packet][word]. A single key
// (a match, a traced packet) is `struct key`, the same lines in a row.
#ifndef FLOWTABLE_KEY_H
#define FLOWTABLE_KEY_H

#include <stdint.h>

#include <rte_byteorder.h>

#define KEY_LINE_SIZE 64
#define KEY_LINE_WORDS 8
#define KEY_LINES 12
#define KEY_WORDS (KEY_LINES * KEY_LINE_WORDS)
#define KEY_SIZE (KEY_LINES * KEY_LINE_SIZE)

// vlan_tci0 and vlan_tci1 carry this bit when the tag is there (the place of CFI/DEI).
#define KEY_VLAN_PRESENT 0x1000

// ip_frag bits, as in the nw_frag field.
#define KEY_FRAG_ANY 1
#define KEY_FRAG_LATER 2

// eth_type of a frame with an 802.3 length and no SNAP type (ovs-fields(7), dl_type).
#define KEY_ETH_TYPE_NONE 0x05ff

// Line 0: what nearly every rule looks at.
struct key_core {
	rte_be32_t in_port; // OpenFlow port number
	rte_be16_t vlan_tci0; // outer tag, 0 if there is none
	rte_be16_t vlan_tci1; // next inner tag
	uint8_t eth_dst[6];
	rte_be16_t eth_type; // behind all tags
	uint8_t eth_src[6];
	rte_be16_t reserved;
	rte_be32_t ip_src; // or arp_spa
	rte_be32_t ip_dst; // or arp_tpa
	rte_be16_t tp_src; // TCP, UDP, SCTP; ICMP and ICMPv6 type in the second byte
	rte_be16_t tp_dst; // TCP, UDP, SCTP; ICMP and ICMPv6 code in the second byte
	// ARP: arp_op lies across the second byte of tp_dst (its high byte) and ip_proto (its low byte).
	uint8_t ip_proto;
	uint8_t ip_tos; // IPv4 TOS or IPv6 traffic class
	uint8_t ip_ttl; // or IPv6 hop limit
	uint8_t ip_frag; // KEY_FRAG_*
	rte_be16_t tcp_flags;
	rte_be16_t ct_zone;
	rte_be32_t ct_state;
	rte_be32_t ct_mark;
	rte_be32_t pkt_mark;
	rte_be64_t metadata;
};

// Lines 1 and 2: registers. xreg and xxreg are views of the same bytes.
struct key_registers {
	rte_be32_t reg[32];
};

// Line 3: IPv6 and MPLS.
struct key_ipv6 {
	uint8_t ipv6_src[16];
	uint8_t ipv6_dst[16];
	uint8_t nd_target[16];
	rte_be32_t ipv6_label;
	rte_be32_t mpls_lse[3];
};

// Line 4: rarely matched headers.
struct key_rare {
	uint8_t arp_sha[6]; // or nd_sll
	uint8_t arp_tha[6]; // or nd_tll
	rte_be32_t nd_reserved;
	uint8_t nd_options_type;
	uint8_t ct_nw_proto;
	rte_be16_t ct_tp_src;
	rte_be16_t ct_tp_dst;
	uint8_t nsh_ttl;
	uint8_t reserved;
	rte_be32_t ct_nw_src;
	rte_be32_t ct_nw_dst;
	uint8_t nsh_flags;
	uint8_t nsh_mdtype;
	uint8_t nsh_np;
	uint8_t nsh_si;
	rte_be32_t nsh_spi;
	rte_be32_t nsh_c[4];
	uint8_t reserved1[8];
};

// Line 5: tunnel and pipeline metadata.
struct key_tunnel {
	rte_be64_t tun_id;
	rte_be32_t tun_src;
	rte_be32_t tun_dst;
	rte_be16_t tun_flags;
	uint8_t tun_tos;
	uint8_t tun_ttl;
	rte_be16_t tun_gbp_id;
	uint8_t tun_gbp_flags;
	uint8_t tun_erspan_ver;
	rte_be32_t tun_erspan_idx;
	uint8_t tun_erspan_dir;
	uint8_t tun_erspan_hwid;
	uint8_t tun_gtpu_flags;
	uint8_t tun_gtpu_msgtype;
	rte_be32_t skb_priority;
	rte_be32_t dp_hash;
	rte_be32_t recirc_id;
	rte_be32_t actset_output;
	rte_be32_t conj_id;
	rte_be32_t packet_type;
	rte_be64_t tun_present; // bit n: the packet has the option of tun_metadataN
};

// Line 6: connection tracking.
struct key_conntrack {
	uint8_t ct_label[16];
	uint8_t ct_ipv6_src[16];
	uint8_t ct_ipv6_dst[16];
	uint8_t reserved[16];
};

// Line 7: IPv6 tunnel endpoints.
struct key_tunnel6 {
	uint8_t tun_ipv6_src[16];
	uint8_t tun_ipv6_dst[16];
	uint8_t reserved[32];
};

// The whole key. Lines 8 to 11 hold tunnel options (tun_metadata), laid out by the TLV map.
struct key {
	union {
		struct {
			struct key_core core;
			struct key_registers registers;
			struct key_ipv6 ipv6;
			struct key_rare rare;
			struct key_tunnel tunnel;
			struct key_conntrack conntrack;
			struct key_tunnel6 tunnel6;
			uint8_t tun_metadata[256];
		};
		uint8_t bytes[KEY_SIZE];
		uint64_t words[KEY_WORDS];
	};
} __attribute__((aligned(64)));

_Static_assert(sizeof(struct key) == KEY_SIZE, "key lines have gaps");
_Static_assert(sizeof(struct key_core) == KEY_LINE_SIZE, "line 0 is one cache line");

enum key_line {
	KEY_LINE_CORE = 0,
	KEY_LINE_REGISTERS = 1, // reg0 to reg15
	KEY_LINE_REGISTERS2 = 2, // reg16 to reg31
	KEY_LINE_IPV6 = 3,
	KEY_LINE_RARE = 4,
	KEY_LINE_TUNNEL = 5,
	KEY_LINE_CONNTRACK = 6,
	KEY_LINE_TUNNEL6 = 7,
	KEY_LINE_TUN_METADATA = 8,
};

// A set of lines is a bit mask. One more bit says that something looks at packet headers, whatever
// line they are in: without it a packet's bytes are not even touched.
#define KEY_LINES_HEADERS (1u << KEY_LINES)

// What of the key these bits of a word need.
static inline uint16_t key_word_lines(unsigned int word, uint64_t bits)
{
	const unsigned int line = word / KEY_LINE_WORDS;
	uint64_t headers = 0; // bits of this word that come from the packet's bytes

	if (line == KEY_LINE_IPV6 || line == KEY_LINE_RARE || (word >= 1 && word <= 4))
		headers = UINT64_MAX;
	else if (word == 0) // behind in_port: the tags
		headers = rte_cpu_to_be_64(UINT32_MAX);
	else if (word == 5) // tcp_flags, in front of what connection tracking writes
		headers = rte_cpu_to_be_64(UINT64_C(0xffff) << 48);
	return (uint16_t)(1u << line | (bits & headers ? KEY_LINES_HEADERS : 0));
}

// How many packets go through the pipeline together. A set of them is a 64-bit mask.
#define VECTOR_SIZE 64

// The keys of a vector's packets: what a classifier looks at. lines[l] points to VECTOR_SIZE
// consecutive lines; packet i's word w of line l is lines[l][i][w].
struct key_vector {
	uint64_t (*lines[KEY_LINES])[KEY_LINE_WORDS];
};

static inline uint64_t key_vector_word(const struct key_vector *keys, unsigned int packet,
				       unsigned int word)
{
	return keys->lines[word / KEY_LINE_WORDS][packet][word % KEY_LINE_WORDS];
}

#endif
