#include "ctl/apply_port.h"

#include "common/clock.h"
#include "common/error.h"
#include "common/text.h"
#include "ctl/apply_l2.h"
#include "ctl/apply_offload.h"
#include "ctl/tlv_map.h"
#include "ofproto/tun_option.h"

#include <errno.h>
#include <inttypes.h>
#include <rte_version.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#define MAX_OPTIONS 64
#define OVS_OFPP_LOCAL 65534 // how Interface.ofport writes LOCAL

// The options as an array; n_rxq is a setting of every type and not an option of one.
static int read_options(const json_t *interface, struct vport_option *options,
			struct vport_config *config, struct error *error)
{
	const char *key;
	json_t *value;
	uint64_t number;

	json_object_foreach (json_object_get(interface, "options"), key, value) {
		if (!strcmp(key, "n_rxq")) {
			if (parse_u64(json_string_value(value), &number) || number < 1 ||
			    number > VPORT_MAX_QUEUES)
				return error_set(
					error, ERANGE,
					"options:n_rxq=%s: a number from 1 to %d is wanted",
					json_string_value(value), VPORT_MAX_QUEUES);
			config->n_rxq = (unsigned int)number;
			continue;
		}
		if (config->n_options == MAX_OPTIONS)
			return error_set(error, E2BIG, "more than %d options", MAX_OPTIONS);
		options[config->n_options].key = key;
		options[config->n_options++].value = json_string_value(value);
	}
	config->options = options;
	return 0;
}

int apply_open_port(struct bridge *bridge, const json_t *port, const json_t *interface,
		    uint32_t ofport, uint32_t *got, struct error *error)
{
	struct vport_option options[MAX_OPTIONS];
	struct vport_config config = {
		.name = config_string(interface, "name"),
		.type = config_string(interface, "type"),
		.mtu_request =
			(unsigned int)json_integer_value(json_object_get(interface, "mtu_request")),
	};
	struct bridge_vlan vlan;
	struct bridge_port_l2 l2;
	struct port_guard guard;
	bool guarded = false;
	int result = apply_read_vlan(port, &vlan, error);

	if (!result)
		result = apply_read_l2(port, &l2, error);
	if (!result)
		result = apply_read_guard(interface, &guard, &guarded, error);
	if (!result)
		result = read_options(interface, options, &config, error);
	if (!result)
		result = apply_read_offloads(interface, &config.no_offloads, error);
	if (!result)
		result = bridge_add_port_with(bridge, &config, ofport, &vlan, &l2,
					      guarded ? &guard : NULL, got, error);
	if (result)
		error_prefix(error, "cannot open port '%s'", config.name);
	return result;
}

static bool same(const json_t *a, const json_t *b, const char *column)
{
	return json_equal(json_object_get(a, column), json_object_get(b, column));
}

bool apply_must_reopen(const json_t *old_interface, const json_t *interface, uint32_t ofport)
{
	json_int_t wanted = json_integer_value(json_object_get(interface, "ofport_request"));

	if (!same(old_interface, interface, "type") || !same(old_interface, interface, "options"))
		return true;
	// Without a request the number that it has stays, also when a change is taken back.
	if (!wanted)
		wanted = json_integer_value(json_object_get(interface, "ofport"));
	return wanted > 0 && wanted != (json_int_t)ofport;
}

static int read_number(const json_t *row, const char *key, uint64_t low, uint64_t high,
		       uint64_t *value, struct error *error)
{
	const char *text = config_key(row, "other_config", key);
	uint64_t number;

	if (!text)
		return 0;
	if (parse_u64(text, &number) || number < low || number > high)
		return error_set(error, ERANGE,
				 "other_config:%s=%s: a number from %" PRIu64 " to %" PRIu64
				 " is wanted",
				 key, text, low, high);
	*value = number;
	return 0;
}

int apply_bridge_settings(struct bridge *bridge, const json_t *row, struct error *error)
{
	uint64_t size = MAC_TABLE_DEFAULT_SIZE;
	uint64_t aging = MAC_TABLE_DEFAULT_AGING_S;
	uint64_t moves = MAC_TABLE_DEFAULT_MOVES;
	uint64_t hold = MAC_TABLE_DEFAULT_HOLD_S;
	int result = read_number(row, "mac-table-size", 10, 1000000, &size, error);

	if (!result)
		result = read_number(row, "mac-aging-time", 15, 3600, &aging, error);
	if (!result)
		result = read_number(row, "mac-move-limit", 0, 1000000, &moves, error);
	if (!result)
		result = read_number(row, "mac-move-hold", 1, 3600, &hold, error);
	if (result) {
		error_prefix(error, "bridge '%s'", config_string(row, "name"));
		return result;
	}
	result = bridge_set_mac_table(bridge, (uint32_t)size, (unsigned int)aging);
	if (result)
		return error_set(error, -result, "out of memory for the MAC table");
	bridge_set_damping(bridge, (unsigned int)moves, (unsigned int)hold);
	return apply_normal(bridge, row, error);
}

int apply_tlv_map(struct bridge *bridge, const json_t *row, bool force, struct error *error)
{
	struct tun_map map;
	int result = tlv_map_read(row, &map, error);

	return result ? result : bridge_set_tun_options(bridge, map.options, force, error);
}

int apply_mtu(struct bridge_port *port, const json_t *interface, struct error *error)
{
	struct vport *vport = bridge_port_vport(port);
	json_t *request = json_object_get(interface, "mtu_request");
	unsigned int mtu = json_is_integer(request) ? (unsigned int)json_integer_value(request)
						    : VPORT_DEFAULT_MTU;
	int result;

	if (mtu == vport->mtu)
		return 0;
	if (!vport->class->set_mtu)
		return error_set(
			error, ENOTSUP,
			"the MTU of port '%s' cannot be changed: its type '%s' has a fixed "
			"one",
			vport->name, vport->class->type);
	result = vport->class->set_mtu(vport, mtu, error);
	if (result)
		error_prefix(error, "cannot set the MTU of port '%s' to %u", vport->name, mtu);
	return result;
}

static void set_count(json_t *map, const char *name, uint64_t value)
{
	json_object_set_new(map, name, json_integer((json_int_t)value));
}

static json_t *statistics(const struct bridge_port *port)
{
	struct bridge_port_stats stats;
	json_t *map = json_object();

	bridge_port_get_stats(port, &stats);
	set_count(map, "rx_packets", stats.rx_packets);
	set_count(map, "rx_bytes", stats.rx_bytes);
	set_count(map, "rx_dropped", stats.rx_dropped);
	set_count(map, "rx_errors", stats.rx_errors);
	set_count(map, "rx_missed_errors", stats.rx_missed_errors);
	set_count(map, "tx_packets", stats.tx_packets);
	set_count(map, "tx_bytes", stats.tx_bytes);
	set_count(map, "tx_dropped", stats.tx_dropped);
	set_count(map, "tx_errors", stats.tx_errors);
	set_count(map, "collisions", stats.collisions);
	set_count(map, "tx_joined", stats.tx_joined);
	if (stats.has_guest) {
		set_count(map, "guest_interrupts", stats.guest_interrupts);
		set_count(map, "guest_kicks", stats.guest_kicks);
	}
	return map;
}

static void set_text(json_t *row, const char *column, const char *value)
{
	json_object_set_new(row, column, json_string(value));
}

static json_t *offloads_text(uint32_t offloads)
{
	struct text text = { 0 };
	json_t *string;

	offload_format(offloads, &text);
	string = json_string(text.data ? text.data : "");
	text_free(&text);
	return string;
}

// What is wanted of a port and its peer does not take: done in software on the way out.
static void fill_software(json_t *map, const struct vport *vport, const struct vport_status *status)
{
	const uint32_t never = OFFLOAD_ECN | OFFLOAD_UFO | OFFLOAD_GRO;

	if (!vport->class->set_offloads)
		return;
	if (status->link_up)
		json_object_set_new(
			map, "tx_software",
			offloads_text(vport->offloads_wanted & ~status->offloads_tx & ~never));
	json_object_set_new(map, "gro",
			    json_string(vport_offloads(vport) & OFFLOAD_GRO ? "on" : "off"));
}

static void fill_open(json_t *row, const struct bridge_port *port)
{
	struct vport *vport = bridge_port_vport(port);
	struct vport_status status = vport->status;
	uint32_t number = bridge_port_number(port);
	struct text mac = { 0 };

	if (vport->class->get_status)
		vport->class->get_status(vport, &status);
	text_add_mac(&mac, status.mac);
	set_text(row, "mac_in_use", mac.data ? mac.data : "");
	text_free(&mac);
	set_count(row, "ofport", number == OFPP_LOCAL ? OVS_OFPP_LOCAL : number);
	set_text(row, "admin_state", status.admin_up ? "up" : "down");
	set_text(row, "link_state", status.link_up ? "up" : "down");
	set_count(row, "link_resets", status.link_resets);
	if (status.link_speed) {
		set_count(row, "link_speed", status.link_speed);
		set_text(row, "duplex", status.full_duplex ? "full" : "half");
	}
	set_count(row, "mtu", status.mtu ? status.mtu : vport->mtu);
	if (status.ifindex > 0)
		set_count(row, "ifindex", (uint64_t)status.ifindex);
	if (status.problem)
		set_text(row, "error", status.problem);
	json_object_set_new(row, "statistics", statistics(port));
	json_object_set_new(row, "status",
			    json_pack("{s:s, s:o, s:o, s:o}", "driver_name",
				      status.driver ? status.driver : vport->class->type, "n_rxq",
				      json_sprintf("%u", vport->n_rxq), "rx_offloads",
				      offloads_text(status.offloads_rx), "tx_offloads",
				      offloads_text(status.offloads_tx)));
	fill_software(json_object_get(row, "status"), vport, &status);
	if (status.refused_peers)
		json_object_set_new(json_object_get(row, "status"), "refused_connections",
				    json_sprintf("%" PRIu64, status.refused_peers));
}

void apply_fill_interface(json_t *row, const char *message)
{
	const struct bridge_port *port = bridge_port_find(config_string(row, "name"), NULL);

	if (port) {
		fill_open(row, port);
		return;
	}
	if (!message)
		return; // not open yet: its own command line is under way
	json_object_set_new(row, "ofport", json_integer(-1));
	set_text(row, "error", message);
}

void apply_fill_bridge(json_t *row)
{
	const struct bridge *bridge = bridge_find(config_string(row, "name"));
	struct mac_table_stats stats;
	uint64_t n_flows = 0;
	unsigned int n_ports = 0;

	if (!bridge)
		return;
	for (unsigned int i = 0; i < N_TABLES; i++) {
		const struct table *table = bridge_table(bridge, (uint8_t)i);

		n_flows += table ? table_size(table) : 0;
	}
	for (const struct bridge_port *port = bridge_port_first(bridge); port;
	     port = bridge_port_next(bridge, port))
		n_ports++;
	mac_table_get_stats(bridge_mac_table(bridge), &stats);
	json_object_set_new(row, "datapath_id",
			    json_sprintf("%016" PRIx64, bridge_datapath_id(bridge)));
	set_text(row, "datapath_version", VERSION);
	json_object_set_new(row, "status",
			    json_pack("{s:o, s:o, s:o}", "n_flows",
				      json_sprintf("%" PRIu64, n_flows), "n_ports",
				      json_sprintf("%u", n_ports), "n_macs",
				      json_sprintf("%u", stats.n_entries)));
}

void apply_fill_switch(json_t *row)
{
	const struct vport_class *class;
	json_t *types = json_array();
	struct utsname system;

	for (unsigned int i = 0; (class = vport_class_at(i)); i++)
		if (*class->type)
			json_array_append_new(types, json_string(class->type));
	json_object_set_new(row, "iface_types", types);
	json_object_set_new(row, "datapath_types", json_pack("[s]", "netdev"));
	json_object_set_new(row, "cur_cfg", json_incref(json_object_get(row, "next_cfg")));
	set_text(row, "ovs_version", VERSION);
	json_object_set_new(row, "dpdk_initialized", json_true());
	set_text(row, "dpdk_version", rte_version());
	if (uname(&system) == 0) {
		set_text(row, "system_type", system.sysname);
		set_text(row, "system_version", system.release);
	}
}
