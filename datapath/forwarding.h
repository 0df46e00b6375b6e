// What workers see of one bridge: its tables, its ports by number, its MAC table.
//
// ofproto fills and publishes; workers read with rcu_read(). Pointers change one at a time, each
// by a single store; what they pointed to lives for a grace period longer.
#ifndef DATAPATH_FORWARDING_H
#define DATAPATH_FORWARDING_H

#include "common/rcu.h"
#include "datapath/drop.h"
#include "flowtable/table.h"
#include "l2/mac_table.h"
#include "vport/vport.h"

#define PORT_MAP_CHUNK 256

// What ovs-ofctl(8), mod-port, can say of a port; all off as a port is made.
#define PORT_DOWN (1 << 0)
#define PORT_NO_STP (1 << 1) // remembered
#define PORT_NO_RECEIVE (1 << 2) // all but spanning tree packets
#define PORT_NO_RECEIVE_STP (1 << 3) // spanning tree packets alone
#define PORT_NO_FLOOD (1 << 4)
#define PORT_NO_FORWARD (1 << 5)
#define PORT_NO_PACKET_IN (1 << 6) // what no flow matches is not for a controller
#define N_PORT_FLAGS 7

// What happens to packets that no flow of a table matches.
enum table_miss { TABLE_MISS_DEFAULT, TABLE_MISS_CONTINUE, TABLE_MISS_CONTROLLER, TABLE_MISS_DROP };

// How a port uses VLAN tags (vlan_mode of table Port).
enum vlan_mode {
	VLAN_TRUNK,
	VLAN_ACCESS,
	VLAN_NATIVE_TAGGED,
	VLAN_NATIVE_UNTAGGED,
	VLAN_TUNNEL,
	N_VLAN_MODES
};

// Are frames in no VLAN, or in the one whose tag a port leaves out, sent with a tag of VLAN 0?
enum priority_tags { PRIORITY_TAGS_NEVER, PRIORITY_TAGS_IF_NONZERO, PRIORITY_TAGS_ALWAYS };

#define VLAN_WORDS (4096 / 64)
#define VLAN_NONE UINT16_MAX

struct vlan_set {
	uint64_t words[VLAN_WORDS];
};

static inline bool vlan_set_has(const uint64_t words[VLAN_WORDS], uint16_t vlan)
{
	return words[vlan / 64] >> vlan % 64 & 1;
}

struct port_guard;
struct storm_control;

// A port's place on its bridge, as workers use it. Immutable: changes publish a new one.
struct forwarding_port {
	struct vport *vport;
	uint32_t ofport;
	bool admin_up;
	bool no_flood;
	bool no_receive; // all but spanning tree packets
	bool no_receive_stp;
	bool no_forward;
	bool no_packet_in;
	bool is_mirror; // reserved for the copies of a mirror: neither floods nor forwards nor receives
	bool is_protected;
	bool refuses_untagged;
	uint8_t vlan_mode; // enum vlan_mode
	uint8_t priority_tags; // enum priority_tags
	int vlan_tag; // -1: there is none
	uint16_t untagged_vlan; // of packets that come without a tag
	uint16_t
		plain_vlan; // whose untagged packets leave as they are; VLAN_NONE: not known so simply
	rte_be16_t service_type; // of the tag that a tunnel's packets get elsewhere
	struct storm_control *storm; // NULL: none (storm.h)
	const struct port_guard *guard; // NULL: any address may send (guard.h)
	uint64_t trunks[VLAN_WORDS]; // bit per VLAN that the port carries
	uint64_t cvlans
		[VLAN_WORDS]; // of a tunnel: bit per VLAN of customers, 0 for untagged packets
	// A patch port's other side; NULL for all other types and while there is none.
	struct forwarding_port *peer;
};

// Ports that a flood goes to, in order of number. Immutable.
struct forwarding_flood {
	uint32_t n;
	struct forwarding_port *ports[];
};

struct group_table;
struct mirror_table;
struct meter_table;

// How often the sample action chose a packet, by set of collectors. Sorted; immutable.
struct sample_counter {
	uint32_t set_id;
	uint32_t counter; // packets and bytes
};
struct sample_table {
	uint32_t n;
	struct sample_counter counters[];
};

// What tells the bridge's packets apart, for the traversal cache (cache.h): all header bits that any
// flow looks at, and the packet's structure. Quick where all words are of the core line and another.
// Immutable.
#define CACHE_KEY_WORDS 16
struct cache_key {
	uint64_t since; // the first generation that it is for
	uint8_t n_words; // 8 or 16, the last one is for the packet's structure
	uint8_t line; // the other line
	bool two_lines; // `index` is good
	bool too_wide; // more words than that: there is no key
	uint8_t word[CACHE_KEY_WORDS]; // of the key; the last one means nothing
	_Alignas(64) uint64_t index[CACHE_KEY_WORDS]; // 0 to 7: core line, 8 to 15: the other one
	uint64_t mask[CACHE_KEY_WORDS]; // 0 where there is no word
};

struct port_map_chunk {
	struct forwarding_port *ports[PORT_MAP_CHUNK];
};

struct forwarding {
	const char *name; // of the bridge
	struct table *tables[N_TABLES]; // NULL: empty
	struct port_map_chunk *ports[65536 / PORT_MAP_CHUNK]; // by OpenFlow number below 65536
	struct forwarding_port *local; // OFPP_LOCAL
	struct forwarding_flood *flood;
	struct mac_table *mac_table;
	struct group_table *groups; // NULL: none
	struct group_table *groups_after; // in the view after (view.h); NULL: the same
	struct sample_table *samples; // NULL: none
	struct mirror_table *mirrors; // NULL: none (mirror.h)
	uint8_t miss[N_TABLES]; // enum table_miss
	// Number of the counter plus one, 0 for none: packets looked up, and instead of bytes those
	// that hit.
	uint32_t table_counters[N_TABLES];
	struct meter_table *meters; // NULL: none
	struct meter_table *meters_after; // in the view after; NULL: the same
	const struct tun_map *tun_map; // tunnel options as fields
	uint16_t lines; // key lines that flows or actions look at: what the parser must fill
	// Changes with everything that decides on a packet's way, behind the change; no two bridges
	// ever have the same.
	uint64_t generation;
	struct cache_key *cache_key; // NULL: the flows look at nothing
	uint16_t index; // dense number of the bridge, below FORWARDING_MAX
	bool forward_bpdu; // NORMAL forwards reserved addresses, too
	struct vlan_set *flood_vlans; // where NORMAL learns nothing; NULL: nowhere
};
#define FORWARDING_MAX 1024

static inline struct forwarding_port *forwarding_port(const struct forwarding *forwarding,
						      uint32_t ofport)
{
	const struct port_map_chunk *chunk;

	if (ofport == OFPP_LOCAL)
		return rcu_read(&forwarding->local);
	if (ofport >= 65536)
		return NULL;
	chunk = rcu_read(&forwarding->ports[ofport / PORT_MAP_CHUNK]);
	return chunk ? rcu_read(&chunk->ports[ofport % PORT_MAP_CHUNK]) : NULL;
}

#endif
