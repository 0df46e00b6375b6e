// Commands on the MAC addresses that NORMAL knows.
#include "ctl/switch_bridge.h"

#include "common/error.h"
#include "common/text.h"

#include <errno.h>

#define MAX_VLAN 4094

struct fdb_walk {
	json_t *list;
	const struct bridge *bridge;
};

static void visit_mac(void *context, const struct mac_entry *entry)
{
	struct fdb_walk *walk = context;
	const struct bridge_port *port = bridge_port_by_number(walk->bridge, entry->ofport);
	struct text mac = { 0 };

	text_add_mac(&mac, entry->mac);
	json_array_append_new(walk->list,
			      json_pack("{s:I, s:s, s:I, s:s, s:I, s:b, s:b}", "port",
					(json_int_t)entry->ofport, "name",
					port ? bridge_port_name(port) : "?", "vlan",
					(json_int_t)entry->vlan, "mac", mac.data ? mac.data : "",
					"age", (json_int_t)entry->age_s, "static", entry->is_static,
					"held", entry->is_held));
	text_free(&mac);
}

int handle_fdb_show(const struct handler_call *call, json_t **result, struct error *error)
{
	struct bridge *bridge = call_switch_bridge(call, error);
	struct fdb_walk walk = { .bridge = bridge };

	if (!bridge)
		return -ENOENT;
	walk.list = *result = json_array();
	mac_table_walk(bridge_mac_table(bridge), visit_mac, &walk);
	return 0;
}

// VLAN and address of an entry.
static int read_entry(const char *vlan_text, const char *mac_text, uint16_t *vlan, uint8_t mac[6],
		      struct error *error)
{
	uint64_t number;

	if (parse_u64(vlan_text, &number) || number > MAX_VLAN)
		return error_set(error, EINVAL,
				 "'%.64s' is no VLAN: a number from 0, for untagged frames, to %d "
				 "is wanted",
				 vlan_text, MAX_VLAN);
	if (parse_mac(mac_text, mac))
		return error_set(error, EINVAL,
				 "'%.64s' is no MAC address: it looks like 52:54:00:12:34:56",
				 mac_text);
	*vlan = (uint16_t)number;
	return 0;
}

int handle_fdb_add(const struct handler_call *call, json_t **result, struct error *error)
{
	struct bridge *bridge = call_switch_bridge(call, error);
	struct bridge_port *port =
		bridge ? call_switch_port(bridge, call_arg(call, 1), error) : NULL;
	uint8_t mac[6];
	uint16_t vlan;
	int status;

	(void)result;
	if (!port)
		return -ENOENT;
	status = read_entry(call_arg(call, 2), call_arg(call, 3), &vlan, mac, error);
	if (status < 0)
		return status;
	status =
		mac_table_add_static(bridge_mac_table(bridge), vlan, mac, bridge_port_number(port));
	if (status == -EINVAL)
		return error_set(error, EINVAL,
				 "%.64s cannot be at a port: it is a group address or zero",
				 call_arg(call, 3));
	if (status)
		return error_set(error, ENOSPC,
				 "bridge '%s' has as many static addresses as it can: half of "
				 "other_config:mac-table-size",
				 bridge_name(bridge));
	return 0;
}

int handle_fdb_del(const struct handler_call *call, json_t **result, struct error *error)
{
	struct bridge *bridge = call_switch_bridge(call, error);
	uint8_t mac[6];
	uint16_t vlan;
	int status;

	(void)result;
	if (!bridge)
		return -ENOENT;
	status = read_entry(call_arg(call, 1), call_arg(call, 2), &vlan, mac, error);
	if (!status && !mac_table_remove(bridge_mac_table(bridge), vlan, mac))
		status = error_set(error, ENOENT,
				   "bridge '%s' does not know %.64s in VLAN %u (vsctl fdb-show %s)",
				   bridge_name(bridge), call_arg(call, 2), vlan,
				   bridge_name(bridge));
	return status;
}

// Every bridge, where none is named.
static int for_bridges(const struct handler_call *call, void (*change)(struct mac_table *table),
		       struct error *error)
{
	struct bridge *bridge = bridge_first();

	if (call_n_args(call)) {
		bridge = call_switch_bridge(call, error);
		if (!bridge)
			return -ENOENT;
		change(bridge_mac_table(bridge));
		return 0;
	}
	for (; bridge; bridge = bridge_next(bridge))
		change(bridge_mac_table(bridge));
	return 0;
}

int handle_fdb_flush(const struct handler_call *call, json_t **result, struct error *error)
{
	struct bridge *bridge;
	struct bridge_port *port;

	(void)result;
	if (call_n_args(call) < 2)
		return for_bridges(call, mac_table_flush, error);
	bridge = call_switch_bridge(call, error);
	port = bridge ? call_switch_port(bridge, call_arg(call, 1), error) : NULL;
	if (!port)
		return -ENOENT;
	mac_table_flush_port(bridge_mac_table(bridge), bridge_port_number(port));
	return 0;
}

int handle_fdb_stats(const struct handler_call *call, json_t **result, struct error *error)
{
	struct bridge *bridge = call_switch_bridge(call, error);
	struct mac_table_stats stats;

	if (!bridge)
		return -ENOENT;
	mac_table_get_stats(bridge_mac_table(bridge), &stats);
	*result = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "entries",
			    (json_int_t)stats.n_entries, "static", (json_int_t)stats.n_static,
			    "size", (json_int_t)stats.size, "learned", (json_int_t)stats.learned,
			    "moved", (json_int_t)stats.moved, "expired", (json_int_t)stats.expired,
			    "evicted", (json_int_t)stats.evicted, "refused",
			    (json_int_t)stats.refused, "held", (json_int_t)stats.held);
	return 0;
}

int handle_fdb_stats_clear(const struct handler_call *call, json_t **result, struct error *error)
{
	(void)result;
	return for_bridges(call, mac_table_clear_stats, error);
}
