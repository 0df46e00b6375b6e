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

// A port's place on its bridge, as workers use it. Immutable: changes publish a new one.
struct forwarding_port {
	struct vport *vport;
	uint32_t ofport;
	bool admin_up;
	bool no_flood;
	int vlan_tag; // -1: trunk
	uint64_t trunks[64]; // bit per VLAN; all ones: every VLAN
	// A patch port's other side; NULL for all other types and while there is none.
	struct forwarding_port *peer;
};

// Ports that a flood goes to, in order of number. Immutable.
struct forwarding_flood {
	uint32_t n;
	struct forwarding_port *ports[];
};

struct group_table;

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
	const struct tun_map *tun_map; // tunnel options as fields
	uint16_t lines; // key lines that flows or actions look at: what the parser must fill
	uint16_t index; // dense number of the bridge, below FORWARDING_MAX
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
