#include "ofproto/bridge_internal.h"

#include "common/error.h"
#include "common/rcu.h"
#include "datapath/datapath.h"
#include "datapath/qos.h"
#include "ofproto/group.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// --- Walking and finding ---

struct bridge_port *bridge_port_first(const struct bridge *bridge)
{
	return bridge->ports;
}

struct bridge_port *bridge_port_next(const struct bridge *bridge, const struct bridge_port *port)
{
	(void)bridge;
	return port->next;
}

struct bridge_port *bridge_port_by_name(const struct bridge *bridge, const char *name)
{
	struct bridge_port *port = bridge->ports;

	while (port && strcmp(port->vport->name, name) != 0)
		port = port->next;
	return port;
}

struct bridge_port *bridge_port_by_number(const struct bridge *bridge, uint32_t ofport)
{
	struct bridge_port *port = bridge->ports;

	while (port && port->ofport != ofport)
		port = port->next;
	return port;
}

struct bridge_port *bridge_port_find(const char *name, struct bridge **found)
{
	for (struct bridge *bridge = bridge_first(); bridge; bridge = bridge_next(bridge)) {
		struct bridge_port *port = bridge_port_by_name(bridge, name);

		if (port) {
			if (found)
				*found = bridge;
			return port;
		}
	}
	return NULL;
}

struct vport *bridge_port_vport(const struct bridge_port *port)
{
	return port->vport;
}

uint32_t bridge_port_number(const struct bridge_port *port)
{
	return port->ofport;
}

const char *bridge_port_name(const struct bridge_port *port)
{
	return port->vport->name;
}

// --- Publishing ---

static struct forwarding_port *make_forwarding_port(const struct bridge_port *port)
{
	struct forwarding_port *made = calloc(1, sizeof(*made));

	if (!made)
		return NULL;
	made->vport = port->vport;
	made->ofport = port->ofport;
	made->admin_up = !(port->config & PORT_DOWN);
	made->no_flood = port->config & PORT_NO_FLOOD;
	made->no_receive = port->config & PORT_NO_RECEIVE;
	made->no_receive_stp = port->config & PORT_NO_RECEIVE_STP;
	made->no_forward = port->config & PORT_NO_FORWARD;
	made->no_packet_in = port->config & PORT_NO_PACKET_IN;
	if (port->is_mirror) {
		made->is_mirror = made->no_flood = made->no_forward = true;
		made->no_receive = made->no_receive_stp = true;
	}
	port_l2_fill(port, made);
	return made;
}

// Where workers find the port by its number; NULL without memory.
static struct forwarding_port **slot(struct forwarding *forwarding, uint32_t ofport)
{
	struct port_map_chunk **chunk;

	if (ofport == OFPP_LOCAL)
		return &forwarding->local;
	chunk = &forwarding->ports[ofport / PORT_MAP_CHUNK];
	if (!*chunk) {
		struct port_map_chunk *made = calloc(1, sizeof(*made));

		if (!made)
			return NULL;
		rcu_publish(chunk, made);
	}
	return &(*chunk)->ports[ofport % PORT_MAP_CHUNK];
}

static int publish_flood(struct bridge *bridge)
{
	struct forwarding_flood *old = bridge->forwarding->flood, *flood;
	uint32_t n = 0;

	for (struct bridge_port *port = bridge->ports; port; port = port->next)
		n++;
	flood = malloc(sizeof(*flood) + n * sizeof(*flood->ports));
	if (!flood)
		return -ENOMEM;
	flood->n = 0;
	for (struct bridge_port *port = bridge->ports; port; port = port->next)
		if (port->forwarding_port)
			flood->ports[flood->n++] = port->forwarding_port;
	rcu_publish(&bridge->forwarding->flood, flood);
	rcu_defer(free, old);
	return 0;
}

// Patch ports are pairs by name, wherever they are: link all that name each other.
static void link_patches(void)
{
	for (struct bridge *bridge = bridge_first(); bridge; bridge = bridge_next(bridge))
		for (struct bridge_port *port = bridge->ports; port; port = port->next) {
			const char *name = vport_patch_peer(port->vport);
			struct bridge_port *peer = name ? bridge_port_find(name, NULL) : NULL;
			const char *back = peer ? vport_patch_peer(peer->vport) : NULL;

			if (!name || !port->forwarding_port)
				continue;
			if (!back || strcmp(back, port->vport->name) != 0)
				peer = NULL;
			rcu_publish(&port->forwarding_port->peer,
				    peer ? peer->forwarding_port : NULL);
			port->vport->status.link_up = peer != NULL;
		}
}

int port_publish(struct bridge_port *port)
{
	struct forwarding *forwarding = port->bridge->forwarding;
	struct forwarding_port **at = slot(forwarding, port->ofport);
	struct forwarding_port *old = port->forwarding_port, *new;

	new = at ? make_forwarding_port(port) : NULL;
	if (!new)
		return -ENOMEM;
	port->forwarding_port = new;
	if (publish_flood(port->bridge) < 0) {
		port->forwarding_port = old;
		free(new);
		return -ENOMEM;
	}
	rcu_publish(at, new);
	link_patches();
	groups_refresh();
	rcu_defer(free, old);
	return 0;
}

// --- Adding and removing ---

static uint32_t lowest_free_number(const struct bridge *bridge)
{
	uint32_t number = 1;

	// Ports are in order of number: the first gap is free.
	for (const struct bridge_port *port = bridge->ports; port; port = port->next) {
		if (port->ofport != number)
			break;
		number++;
	}
	return number;
}

static int choose_number(const struct bridge *bridge, uint32_t request, uint32_t *number,
			 struct error *error)
{
	const struct bridge_port *taken;

	if (request == OFPP_LOCAL) {
		*number = OFPP_LOCAL;
		return 0;
	}
	if (request > BRIDGE_MAX_OFPORT)
		return error_set(error, ERANGE,
				 "OpenFlow port number %u is out of range: ports have 1 to %u",
				 request, BRIDGE_MAX_OFPORT);
	*number = request ? request : lowest_free_number(bridge);
	if (*number > BRIDGE_MAX_OFPORT)
		return error_set(error, ENOSPC, "bridge '%s' has no free OpenFlow port number",
				 bridge->name);
	taken = bridge_port_by_number(bridge, *number);
	if (taken)
		return error_set(error, EEXIST,
				 "OpenFlow port number %u on bridge '%s' belongs to port '%s'",
				 *number, bridge->name, taken->vport->name);
	return 0;
}

static void insert_by_number(struct bridge_port *port)
{
	struct bridge_port **link = &port->bridge->ports;

	while (*link && (*link)->ofport < port->ofport)
		link = &(*link)->next;
	port->next = *link;
	*link = port;
}

static void unlink_port(struct bridge_port *port)
{
	struct bridge_port **link = &port->bridge->ports;

	while (*link != port)
		link = &(*link)->next;
	*link = port->next;
}

int bridge_add_port(struct bridge *bridge, const struct vport_config *config,
		    uint32_t ofport_request, const struct bridge_vlan *vlan, uint32_t *ofport,
		    struct error *error)
{
	const struct bridge_port_l2 none = { 0 };

	return bridge_add_port_with(bridge, config, ofport_request, vlan, &none, NULL, ofport,
				    error);
}

int bridge_add_port_with(struct bridge *bridge, const struct vport_config *config,
			 uint32_t ofport_request, const struct bridge_vlan *vlan,
			 const struct bridge_port_l2 *l2, const struct port_guard *guard,
			 uint32_t *ofport, struct error *error)
{
	struct bridge *other;
	struct bridge_port *port;
	uint32_t number = 0;
	int status;

	if (bridge_port_find(config->name, &other))
		return error_set(error, EEXIST, "port '%s' exists already on bridge '%s'",
				 config->name, other->name);
	status = choose_number(bridge, ofport_request, &number, error);
	if (status < 0)
		return status;
	port = calloc(1, sizeof(*port));
	if (!port)
		return error_set(error, ENOMEM, "out of memory");
	*port = (struct bridge_port){ .bridge = bridge, .vlan = *vlan, .ofport = number };
	if (port_l2_start(port, l2, guard) < 0) {
		port_l2_exit(port);
		free(port);
		return error_set(error, ENOMEM, "out of memory");
	}
	port->vport = vport_open(config, error);
	if (!port->vport) {
		port_l2_exit(port);
		free(port);
		return error ? -error->code : -EINVAL;
	}
	port->vport->owner = port;
	port->vport->ofport = number;
	port->distributed_rxq = port->vport->n_rxq;
	insert_by_number(port);
	status = port_publish(port);
	if (status < 0) {
		unlink_port(port);
		vport_close(port->vport);
		port_l2_exit(port);
		free(port);
		return error_set(error, -status, "out of memory");
	}
	rcu_publish(&port->vport->forwarding, bridge->forwarding);
	workers_distribute();
	*ofport = number;
	return 0;
}

void bridge_remove_port(struct bridge_port *port)
{
	struct bridge *bridge = port->bridge;
	struct forwarding_port *old = port->forwarding_port;

	unlink_port(port);
	rcu_publish(slot(bridge->forwarding, port->ofport), NULL);
	publish_flood(bridge);
	link_patches();
	groups_refresh();
	rcu_publish(&port->vport->forwarding, NULL);
	workers_distribute();
	// After this no worker polls the port, sends to it, or holds packets for it.
	workers_synchronize();
	mac_table_remove_port(bridge->forwarding->mac_table, port->ofport);
	qos_forget(port->vport);
	workers_port_forget(port->vport->index);
	vport_close(port->vport);
	rcu_defer(free, old);
	port_l2_exit(port);
	free(port);
}

int bridge_del_port(struct bridge *bridge, const char *name, struct error *error)
{
	struct bridge_port *port = bridge_port_by_name(bridge, name);

	if (!port)
		return error_set(error, ENOENT, "port '%s' does not exist on bridge '%s'", name,
				 bridge->name);
	if (port->ofport == OFPP_LOCAL)
		return error_set(error, EPERM,
				 "'%s' is the bridge's own port: it goes with the bridge "
				 "(vsctl del-br %s)",
				 name, name);
	bridge_remove_port(port);
	return 0;
}

int bridge_port_set_mirror(struct bridge_port *port, bool is_mirror)
{
	int status;

	if (port->is_mirror == is_mirror)
		return 0;
	port->is_mirror = is_mirror;
	status = port_publish(port);
	if (status < 0) {
		port->is_mirror = !is_mirror;
		return status;
	}
	port->vport->mirror_output = is_mirror;
	mac_table_flush_port(port->bridge->forwarding->mac_table, port->ofport);
	return 0;
}

uint16_t bridge_port_config(const struct bridge_port *port)
{
	return port->config;
}

int bridge_set_port_config(struct bridge_port *port, uint16_t config, struct error *error)
{
	struct vport *vport = port->vport;
	const uint16_t old = port->config;
	const bool up = !(config & PORT_DOWN);
	int status = 0;

	if (config == old)
		return 0;
	if ((config ^ old) & PORT_DOWN && vport->class->set_admin)
		status = vport->class->set_admin(vport, up, error);
	if (status < 0)
		return status;
	port->config = config;
	status = port_publish(port);
	if (status < 0) {
		port->config = old;
		return error_set(error, ENOMEM, "out of memory");
	}
	if ((config ^ old) & PORT_DOWN)
		vport->status.admin_up = up;
	return 0;
}

void bridge_port_get_stats(const struct bridge_port *port, struct bridge_port_stats *stats)
{
	struct vport_class_stats own = { 0 };
	struct port_counters sum;

	workers_port_counters(port->vport->index, &sum);
	if (port->vport->class->get_stats)
		port->vport->class->get_stats(port->vport, &own);
	memset(stats, 0, sizeof(*stats));
	stats->rx_packets = sum.rx_packets;
	stats->rx_bytes = sum.rx_bytes;
	stats->tx_packets = sum.tx_packets;
	stats->tx_bytes = sum.tx_bytes;
	stats->tx_joined = sum.tx_joined;
	stats->has_guest = own.has_guest;
	stats->guest_interrupts = own.guest_interrupts;
	stats->guest_kicks = own.guest_kicks;
	stats->rx_errors = own.rx_errors;
	stats->rx_missed_errors = own.rx_missed_errors;
	stats->tx_errors = own.tx_errors;
	for (unsigned int i = 0; i < N_DROPS; i++) {
		stats->drops[i] = sum.rx_drops[i] + sum.tx_drops[i];
		stats->rx_dropped += sum.rx_drops[i];
		stats->tx_dropped += sum.tx_drops[i];
	}
}
