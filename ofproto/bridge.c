#include "ofproto/bridge_internal.h"
#include "ofproto/learn.h"

#include "common/clock.h"
#include "common/error.h"
#include "common/hash.h"
#include "common/log.h"
#include "common/rcu.h"
#include "datapath/datapath.h"
#include "flowtable/tun_map.h"
#include "ofproto/flow_mod.h"
#include "ofproto/group.h"
#include "ofproto/meter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct bridge *bridges;
static struct forwarding *by_index[FORWARDING_MAX];

// --- Walking and finding ---

struct bridge *bridge_first(void)
{
	return bridges;
}

struct bridge *bridge_next(const struct bridge *bridge)
{
	return bridge->next;
}

struct bridge *bridge_find(const char *name)
{
	struct bridge *bridge = bridges;

	while (bridge && strcmp(bridge->name, name) != 0)
		bridge = bridge->next;
	return bridge;
}

const char *bridge_name(const struct bridge *bridge)
{
	return bridge->name;
}

uint64_t bridge_datapath_id(const struct bridge *bridge)
{
	return bridge->datapath_id;
}

const struct port_names *bridge_port_names(const struct bridge *bridge)
{
	return &bridge->port_names;
}

const struct port_names *bridge_port_numbers(const struct bridge *bridge)
{
	return &bridge->port_numbers;
}

struct forwarding *bridge_forwarding(const struct bridge *bridge)
{
	return bridge->forwarding;
}

struct table *bridge_table(const struct bridge *bridge, uint8_t table_id)
{
	return table_id < N_TABLES ? bridge->forwarding->tables[table_id] : NULL;
}

struct mac_table *bridge_mac_table(const struct bridge *bridge)
{
	return bridge->forwarding->mac_table;
}

static uint32_t port_number_by_name(void *context, const char *name)
{
	const struct bridge_port *port = bridge_port_by_name(context, name);

	return port ? port->ofport : OFPP_ANY;
}

static const char *port_name_by_number(void *context, uint32_t number)
{
	const struct bridge_port *port = bridge_port_by_number(context, number);

	// "LOCAL" is how everybody writes the bridge's own port.
	return port && number != OFPP_LOCAL ? port->vport->name : NULL;
}

static int table_number_by_name(void *context, const char *name)
{
	return bridge_table_by_name(context, name);
}

static const char *table_name_by_number(void *context, uint8_t number)
{
	const char *name = bridge_table_config(context, number)->name;

	return *name ? name : NULL;
}

// --- Creating and destroying ---

static struct forwarding *forwarding_create(const char *name)
{
	struct forwarding *forwarding = calloc(1, sizeof(*forwarding));
	uint16_t index = 0;

	while (index < FORWARDING_MAX && by_index[index])
		index++;
	if (!forwarding || index == FORWARDING_MAX) {
		free(forwarding);
		return NULL;
	}
	forwarding->name = name;
	forwarding->index = index;
	forwarding->lines = 1 << KEY_LINE_CORE;
	// Table 0 meets every packet, also while it has no flow.
	forwarding->table_counters[0] = counter_alloc() + 1;
	forwarding->mac_table = mac_table_create(MAC_TABLE_DEFAULT_SIZE, MAC_TABLE_DEFAULT_AGING_S);
	if (!forwarding->mac_table) {
		free(forwarding);
		return NULL;
	}
	by_index[index] = forwarding;
	return forwarding;
}

static void forwarding_destroy(struct forwarding *forwarding)
{
	by_index[forwarding->index] = NULL;
	for (unsigned int i = 0; i < N_TABLES; i++)
		if (forwarding->tables[i])
			table_destroy(forwarding->tables[i]);
	for (unsigned int i = 0; i < RTE_DIM(forwarding->ports); i++)
		free(forwarding->ports[i]);
	free(forwarding->flood);
	free(forwarding->flood_vlans);
	free(forwarding->cache_key);
	mac_table_destroy(forwarding->mac_table);
	free(forwarding);
}

// A bridge without a controller starts as the learning switch that users expect.
static int add_normal_flow(struct bridge *bridge, struct error *error)
{
	struct flow_mod mod = { .command = FLOW_ADD };
	int status =
		flow_text_parse("priority=0,actions=NORMAL", FLOW_TEXT_ADD, NULL, &mod.text, error);

	if (status < 0)
		return status;
	status = flow_mod_apply(bridge, &mod, 1, error);
	flow_text_release(&mod.text);
	return status;
}

static void insert_by_name(struct bridge *bridge)
{
	struct bridge **link = &bridges;

	while (*link && strcmp((*link)->name, bridge->name) < 0)
		link = &(*link)->next;
	bridge->next = *link;
	*link = bridge;
}

struct bridge *bridge_create(const char *name, const char *mac, bool fail_secure,
			     struct error *error)
{
	const struct vport_option address = { "mac", mac };
	const struct vport_config local = {
		.name = name, .type = "internal", .options = &address, .n_options = mac != NULL
	};
	const struct bridge_vlan trunk = { .mode = VLAN_TRUNK, .tag = -1 };
	struct bridge *bridge;
	uint32_t ofport;

	if (!*name || strlen(name) >= sizeof(bridge->name)) {
		error_set(error, EINVAL,
			  "'%s' cannot be a bridge's name: it needs 1 to %zu characters", name,
			  sizeof(bridge->name) - 1);
		return NULL;
	}
	if (bridge_find(name)) {
		error_set(error, EEXIST, "bridge '%s' exists already", name);
		return NULL;
	}
	bridge = calloc(1, sizeof(*bridge));
	if (!bridge) {
		error_set(error, ENOMEM, "out of memory");
		return NULL;
	}
	strcpy(bridge->name, name);
	bridge->mac_table_size = MAC_TABLE_DEFAULT_SIZE;
	bridge->mac_aging_s = MAC_TABLE_DEFAULT_AGING_S;
	bridge->tun_map = malloc(sizeof(*bridge->tun_map));
	if (!bridge->tun_map) {
		error_set(error, ENOMEM, "out of memory");
		free(bridge);
		return NULL;
	}
	tun_map_init(bridge->tun_map);
	bridge->port_names = (struct port_names){
		.context = bridge,
		.number = port_number_by_name,
		.name = port_name_by_number,
		.table_number = table_number_by_name,
		.table_name = table_name_by_number,
		.tun_map = bridge->tun_map,
	};
	bridge->port_numbers = (struct port_names){ .tun_map = bridge->tun_map };
	bridge->forwarding = forwarding_create(bridge->name);
	if (!bridge->forwarding) {
		free(bridge->tun_map);
		error_set(error, ENOMEM, "no memory for another bridge (at most %u)",
			  FORWARDING_MAX);
		free(bridge);
		return NULL;
	}
	bridge->forwarding->tun_map = bridge->tun_map;
	insert_by_name(bridge);
	if (bridge_add_port(bridge, &local, OFPP_LOCAL, &trunk, &ofport, error) < 0 ||
	    (!fail_secure && add_normal_flow(bridge, error) < 0)) {
		bridge_destroy(bridge);
		return NULL;
	}
	// The datapath id is the local port's address, as users expect.
	bridge_refresh_datapath_id(bridge);
	return bridge;
}

void bridge_refresh_datapath_id(struct bridge *bridge)
{
	const struct bridge_port *local = bridge_port_by_number(bridge, OFPP_LOCAL);

	bridge->datapath_id = 0;
	for (unsigned int i = 0; local && i < 6; i++)
		bridge->datapath_id = bridge->datapath_id << 8 | local->vport->status.mac[i];
}

static void free_bridge(void *pointer)
{
	struct bridge *bridge = pointer;

	bridge_groups_destroy(bridge);
	bridge_tables_exit(bridge);
	bridge_samples_exit(bridge);
	bridge_mirrors_exit(bridge);
	bridge_meters_destroy(bridge);
	forwarding_destroy(bridge->forwarding);
	free(bridge->timers);
	flow_index_free(&bridge->index);
	free(bridge->tun_map);
	free(bridge);
}

void bridge_destroy(struct bridge *bridge)
{
	struct bridge **link = &bridges;

	while (bridge->ports)
		bridge_remove_port(bridge->ports);
	while (*link != bridge)
		link = &(*link)->next;
	*link = bridge->next;
	workers_synchronize();
	learn_bridge_exit(bridge);
	free_bridge(bridge);
}

static void take_static(void *context, const struct mac_entry *entry)
{
	if (entry->is_static)
		mac_table_add_static(context, entry->vlan, entry->mac, entry->ofport);
}

int bridge_set_mac_table(struct bridge *bridge, uint32_t size, unsigned int aging_s)
{
	struct mac_table *old = bridge->forwarding->mac_table, *table;

	if (aging_s != bridge->mac_aging_s)
		mac_table_set_aging(old, aging_s);
	bridge->mac_aging_s = aging_s;
	if (size == bridge->mac_table_size)
		return 0;
	table = mac_table_create(size, aging_s);
	if (!table)
		return -ENOMEM;
	mac_table_walk(old, take_static, table);
	bridge->mac_table_size = size;
	rcu_publish(&bridge->forwarding->mac_table, table);
	rcu_defer(mac_table_destroy, old);
	return 0;
}

// --- The clock ---

static struct bridge *bridge_by_index(uint16_t index)
{
	for (struct bridge *bridge = bridges; bridge; bridge = bridge->next)
		if (bridge->forwarding->index == index)
			return bridge;
	return NULL;
}

// Who flaps could otherwise fill the log.
static void tell_flapping(struct bridge *bridge, const struct worker_event *event)
{
	const uint64_t now_ns = clock_monotonic_ns();
	const uint8_t *mac = event->mac;

	if (now_ns < bridge->next_flap_log_ns)
		return;
	bridge->next_flap_log_ns = now_ns + 10 * NS_PER_SECOND;
	log_warning("bridge %s: %02x:%02x:%02x:%02x:%02x:%02x in VLAN %u moves between ports too "
		    "often and stays where it is for a while; is there a loop? (vsctl fdb-show)",
		    bridge->name, mac[0], mac[1], mac[2], mac[3], mac[4], mac[5], event->vlan);
}

// A worker saw an address where it was not known.
static void handle_event(void *context, const struct worker_event *event)
{
	struct bridge *bridge = bridge_by_index(event->forwarding);
	const struct bridge_port *port =
		bridge ? bridge_port_by_number(bridge, event->ofport) : NULL;

	(void)context;
	// The bridge or the port may have gone meanwhile.
	if (!port)
		return;
	if (mac_table_learn_limited(bridge->forwarding->mac_table, event->vlan, event->mac,
				    event->ofport, port->l2.mac_limit) == MAC_HOLD_BEGINS)
		tell_flapping(bridge, event);
}

static void handle_vport_change(void *context, struct vport *vport)
{
	struct bridge_port *port = vport->owner;

	(void)context;
	if (!port)
		return;
	log_info("port %s on bridge %s: link %s", vport->name, port->bridge->name,
		 vport->status.link_up ? "up" : "down");
	if (port->ofport == OFPP_LOCAL)
		bridge_refresh_datapath_id(port->bridge);
	// Whoever was behind a link that is gone may come back elsewhere, and need not say so.
	if (!vport->status.link_up)
		mac_table_flush_port(port->bridge->forwarding->mac_table, port->ofport);
	groups_refresh();
	// A guest may have enabled more queues, or fewer.
	if (port->distributed_rxq != vport->n_rxq) {
		port->distributed_rxq = vport->n_rxq;
		workers_distribute();
	}
}

int bridges_init(void)
{
	static const struct vport_events events = { NULL, handle_vport_change };

	vport_set_events(&events);
	return 0;
}

void bridges_tick(void)
{
	static uint64_t next_second_ns;
	const uint64_t now_ns = clock_monotonic_ns();

	vport_tick();
	workers_drain_events(handle_event, NULL);
	if (now_ns >= next_second_ns) {
		next_second_ns = now_ns + NS_PER_SECOND;
		workers_tick(now_ns);
		for (struct bridge *bridge = bridges; bridge; bridge = bridge->next) {
			mac_table_tick(bridge->forwarding->mac_table,
				       (uint32_t)(now_ns / NS_PER_SECOND));
			timeout_sweep(bridge, now_ns);
			learn_delete_orphans(bridge);
			learn_sweep(bridge);
		}
	}
	rcu_reclaim();
}

void bridges_exit(void)
{
	while (bridges)
		bridge_destroy(bridges);
	rcu_barrier();
}
