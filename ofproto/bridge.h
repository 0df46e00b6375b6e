// Bridges: ports and flow tables that belong together, and the ways the control plane changes them.
//
// A bridge owns its ports (vport/), its tables (flowtable/), its MAC table (l2/) and what workers
// see of them (datapath/forwarding.h). Every bridge has an internal port of its own name with the
// OpenFlow number OFPP_LOCAL. Port numbers are stable: a port gets the number it asks for, or the
// lowest free one, and keeps it until it is deleted. Main thread only.
#ifndef OFPROTO_BRIDGE_H
#define OFPROTO_BRIDGE_H

#include "datapath/forwarding.h"
#include "datapath/guard.h"
#include "datapath/storm.h"
#include "flowtable/table.h"
#include "vport/vport.h"

struct bridge;
struct bridge_port;

// The highest OpenFlow port number that a port can have or ask for.
#define BRIDGE_MAX_OFPORT 0xfeff

// What a port's VLAN columns say (Port table of ovs-vswitchd.conf.db(5)).
struct bridge_vlan {
	enum vlan_mode mode;
	int tag; // -1: none, as for trunks
	enum priority_tags priority_tags;
	bool service_is_8021q; // qinq-ethtype
	bool lists_trunks; // if not, all VLANs
	bool lists_cvlans;
	struct vlan_set trunks;
	struct vlan_set cvlans;
};

// Other settings of a port that NORMAL follows. (Limits of storm control: datapath/storm.h.)
struct bridge_port_l2 {
	bool is_protected;
	uint32_t
		mac_limit; // how many addresses may be learned there; 0: as many as there is room for
	struct storm_limit storm[N_STORM_KINDS];
};

// Before the first bridge: takes over vport events. Returns 0 or -ENOMEM.
int bridges_init(void);
// From a timer of 10 ms or less: port events, learned addresses, timeouts, freeing.
void bridges_tick(void);
// Delete all bridges, before workers_stop().
void bridges_exit(void);

// Create an empty bridge with its internal port. `mac`: that port's address as text, or NULL for a
// random one. `fail_secure`: start without the flow "priority=0,actions=NORMAL". Returns NULL and a
// sentence if that is not possible.
struct bridge *bridge_create(const char *name, const char *mac, bool fail_secure,
			     struct error *error);
// Close all ports and forget everything.
void bridge_destroy(struct bridge *bridge);

struct bridge *bridge_find(const char *name);
struct bridge *bridge_first(void);
struct bridge *bridge_next(const struct bridge *bridge);
const char *bridge_name(const struct bridge *bridge);
uint64_t bridge_datapath_id(const struct bridge *bridge);
const struct port_names *bridge_port_names(const struct bridge *bridge);
// The same with ports as numbers: what is kept is written so.
const struct port_names *bridge_port_numbers(const struct bridge *bridge);
struct forwarding *bridge_forwarding(const struct bridge *bridge);

// Open a port and attach it. `ofport_request` 0: any. The port's OpenFlow number is in
// *ofport. Errors: name taken (also on another bridge), number taken or out of range, and
// everything vport_open() says.
int bridge_add_port(struct bridge *bridge, const struct vport_config *config,
		    uint32_t ofport_request, const struct bridge_vlan *vlan, uint32_t *ofport,
		    struct error *error);
// The same with all settings in force before the first packet; `guard` may be NULL.
int bridge_add_port_with(struct bridge *bridge, const struct vport_config *config,
			 uint32_t ofport_request, const struct bridge_vlan *vlan,
			 const struct bridge_port_l2 *l2, const struct port_guard *guard,
			 uint32_t *ofport, struct error *error);
int bridge_del_port(struct bridge *bridge, const char *name, struct error *error);
int bridge_set_port_vlan(struct bridge_port *port, const struct bridge_vlan *vlan);
// 0 or -ENOMEM; nothing happens where nothing differs.
int bridge_set_port_l2(struct bridge_port *port, const struct bridge_port_l2 *l2);
// other-config:mac-move-limit and mac-move-hold: mac_table_set_damping().
void bridge_set_damping(struct bridge *bridge, unsigned int moves, unsigned int hold_s);
// Who may send from the port (datapath/guard.h); NULL: anybody. Copied. 0 or -ENOMEM.
int bridge_set_port_guard(struct bridge_port *port, const struct port_guard *guard);

struct bridge_port *bridge_port_by_name(const struct bridge *bridge, const char *name);
struct bridge_port *bridge_port_by_number(const struct bridge *bridge, uint32_t ofport);
// Search all bridges; *bridge (if not NULL) says where it was found.
struct bridge_port *bridge_port_find(const char *name, struct bridge **bridge);
// In order of OpenFlow number; LOCAL last.
struct bridge_port *bridge_port_first(const struct bridge *bridge);
struct bridge_port *bridge_port_next(const struct bridge *bridge, const struct bridge_port *port);
struct vport *bridge_port_vport(const struct bridge_port *port);
uint32_t bridge_port_number(const struct bridge_port *port);
const char *bridge_port_name(const struct bridge_port *port);
// What mod-port says of a port: PORT_* of datapath/forwarding.h, 0 as a port is opened. A port that
// is down neither receives nor sends, and its network device is down, too.
uint16_t bridge_port_config(const struct bridge_port *port);
int bridge_set_port_config(struct bridge_port *port, uint16_t config, struct error *error);

// Counters since the port was opened, with the names of Interface.statistics.
struct bridge_port_stats {
	uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes;
	uint64_t rx_dropped, tx_dropped, rx_errors, tx_errors, rx_missed_errors;
	uint64_t collisions;
	uint64_t tx_joined; // of tx_packets: left as part of a large packet
	bool has_guest;
	uint64_t guest_interrupts, guest_kicks; // since its driver started
	uint64_t drops[N_DROPS]; // by reason: enum drop_reason in datapath/drop.h
};
void bridge_port_get_stats(const struct bridge_port *port, struct bridge_port_stats *stats);

// MAC table settings (other-config:mac-aging-time, mac-table-size). A new size starts an empty table.
int bridge_set_mac_table(struct bridge *bridge, uint32_t size, unsigned int aging_s);
struct mac_table *bridge_mac_table(const struct bridge *bridge);
// NORMAL forwards reserved addresses, too, and learns nothing in these VLANs (NULL: learns in all).
// 0 or -ENOMEM.
int bridge_set_normal(struct bridge *bridge, bool forward_bpdu, const struct vlan_set *flood_vlans);

// The table with this id, or NULL while no flow was ever added to it.
struct table *bridge_table(const struct bridge *bridge, uint8_t table_id);

#endif
