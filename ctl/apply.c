#include "ctl/apply.h"

#include "common/error.h"
#include "common/log.h"
#include "ctl/apply_l2.h"
#include "ctl/apply_mirror.h"
#include "ctl/apply_offload.h"
#include "ctl/apply_port.h"
#include "ctl/apply_qos.h"
#include "ctl/apply_table.h"
#include "ctl/apply_workers.h"
#include "ctl/flow_keep.h"
#include "ctl/group_keep.h"
#include "ctl/meter_keep.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// What is open, by interface name: {"bridge": UUID, "port": row, "interface": row}. The rows are
// those that are in force. Bridges by name: UUID of their row.
static json_t *open_ports;
static json_t *open_bridges;
// Interfaces that could not be opened, by name: {"message", "interface": row}.
static json_t *failed_ports;
static struct store *apply_store;

static bool is_local(const json_t *bridge, const json_t *interface)
{
	return !strcmp(config_string(bridge, "name"), config_string(interface, "name"));
}

// Call visit for every interface of every bridge until one fails.
typedef int (*port_visitor)(void *context, const json_t *bridge, const json_t *port,
			    const json_t *interface, struct error *error);

static int visit_bridge_ports(const struct config *config, const json_t *bridge, port_visitor visit,
			      void *context, struct error *error)
{
	json_t *port_ref, *interface_ref;
	size_t i, k;

	json_array_foreach (json_object_get(bridge, "ports"), i, port_ref) {
		const json_t *port = config_row(config, TABLE_Port, json_string_value(port_ref));

		json_array_foreach (json_object_get(port, "interfaces"), k, interface_ref) {
			const json_t *interface = config_row(config, TABLE_Interface,
							     json_string_value(interface_ref));
			int result = visit(context, bridge, port, interface, error);

			if (result)
				return result;
		}
	}
	return 0;
}

static int visit_ports(const struct config *config, port_visitor visit, void *context,
		       struct error *error)
{
	const char *uuid;
	json_t *bridge;
	int result = 0;

	json_object_foreach (config_rows(config, TABLE_Bridge), uuid, bridge) {
		result = visit_bridge_ports(config, bridge, visit, context, error);
		if (result)
			break;
	}
	return result;
}

static void remember_open(const json_t *bridge, const json_t *port, const json_t *interface)
{
	json_object_set_new(open_ports, config_string(interface, "name"),
			    json_pack("{s:s, s:O, s:O}", "bridge", config_row_uuid(bridge), "port",
				      port, "interface", interface));
	json_object_del(failed_ports, config_string(interface, "name"));
}

static void remember_failed(const json_t *interface, const struct error *error)
{
	json_object_set_new(
		failed_ports, config_string(interface, "name"),
		json_pack("{s:s, s:O}", "message", error->message, "interface", interface));
}

static uint32_t open_number(const char *name)
{
	const struct bridge_port *port = bridge_port_find(name, NULL);

	return port ? bridge_port_number(port) : 0;
}

// --- Closing what is gone ---

static int add_wanted(void *context, const json_t *bridge, const json_t *port,
		      const json_t *interface, struct error *error)
{
	json_t *names = context;

	(void)port;
	(void)error;
	json_object_set_new(
		names, config_string(interface, "name"),
		json_pack("{s:s, s:O}", "bridge", config_row_uuid(bridge), "interface", interface));
	return 0;
}

// What the configuration wants open: name -> {"bridge": UUID, "interface": row}.
static json_t *list_wanted(const struct config *config)
{
	json_t *names = json_object();

	visit_ports(config, add_wanted, names, NULL);
	return names;
}

static void close_port(const char *name)
{
	struct bridge *bridge = NULL;
	struct error error = { 0 };

	if (bridge_port_find(name, &bridge) && bridge_del_port(bridge, name, &error))
		log_error("port '%s' cannot be closed: %s", name, error.message);
}

static void close_bridge(const char *name)
{
	struct bridge *bridge = bridge_find(name);
	const char *port, *uuid = json_string_value(json_object_get(open_bridges, name));
	json_t *entry;
	void *next;

	json_object_foreach_safe(open_ports, next, port,
				 entry) if (!strcmp(config_string(entry, "bridge"), uuid))
		json_object_del(open_ports, port);
	flow_keep_settle(); // rows under way know the bridge
	flow_keep_pause(true);
	if (bridge)
		bridge_destroy(bridge);
	flow_keep_pause(false);
	json_object_del(open_bridges, name);
}

static void close_gone(const struct config *config)
{
	json_t *wanted = list_wanted(config);
	const char *name;
	json_t *entry;
	void *next;

	json_object_foreach_safe(open_bridges, next, name, entry)
	{
		const json_t *row = config_find(config, TABLE_Bridge, name);

		if (!row || strcmp(config_row_uuid(row), json_string_value(entry)))
			close_bridge(name);
	}
	json_object_foreach_safe(open_ports, next, name, entry)
	{
		const json_t *want = json_object_get(wanted, name);

		if (want && !strcmp(config_string(want, "bridge"), config_string(entry, "bridge")))
			continue;
		close_port(name);
		json_object_del(open_ports, name);
	}
	json_object_foreach_safe(failed_ports, next, name,
				 entry) if (!json_object_get(wanted, name))
		json_object_del(failed_ports, name);
	json_decref(wanted);
}

// --- Opening what is new and changing what is different ---

struct sync {
	struct config *config; // NULL: rows are not written to (restore)
	bool strict; // the first error ends it; else errors are remembered per port
	bool start; // flows come from the store
	json_t *reserved; // bridge UUID -> {number: true}: OpenFlow numbers of its ports
};

static int reserve_number(void *context, const json_t *bridge, const json_t *port,
			  const json_t *interface, struct error *error)
{
	struct sync *sync = context;
	const char *uuid = config_row_uuid(bridge);
	json_t *numbers = json_object_get(sync->reserved, uuid);
	static const char *const columns[] = { "ofport", "ofport_request" };

	(void)port;
	(void)error;
	if (!numbers) {
		numbers = json_object();
		json_object_set_new(sync->reserved, uuid, numbers);
	}
	for (int i = 0; i < 2; i++) {
		json_int_t number = json_integer_value(json_object_get(interface, columns[i]));
		char key[24];

		snprintf(key, sizeof(key), "%" JSON_INTEGER_FORMAT, number);
		if (number > 0)
			json_object_set_new(numbers, key, json_true());
	}
	return 0;
}

// The lowest number that no port of the bridge has or had, open or not.
static uint32_t choose_number(struct sync *sync, const json_t *bridge)
{
	json_t *numbers = json_object_get(sync->reserved, config_row_uuid(bridge));
	const struct bridge *live = bridge_find(config_string(bridge, "name"));
	char key[24];

	for (uint32_t number = 1; number <= BRIDGE_MAX_OFPORT; number++) {
		snprintf(key, sizeof(key), "%u", number);
		if (json_object_get(numbers, key) || bridge_port_by_number(live, number))
			continue;
		json_object_set_new(numbers, key, json_true());
		return number;
	}
	return 0;
}

static uint32_t wanted_number(struct sync *sync, const json_t *bridge, const json_t *interface)
{
	json_int_t request = json_integer_value(json_object_get(interface, "ofport_request"));
	json_int_t before = json_integer_value(json_object_get(interface, "ofport"));

	if (request > 0)
		return (uint32_t)request;
	if (before > 0 && before <= BRIDGE_MAX_OFPORT)
		return (uint32_t)before;
	return choose_number(sync, bridge);
}

static int open_port(struct sync *sync, const json_t *bridge, const json_t *port,
		     const json_t *interface, struct error *error)
{
	struct bridge *live = bridge_find(config_string(bridge, "name"));
	uint32_t number = 0;
	int result = apply_open_port(live, port, interface, wanted_number(sync, bridge, interface),
				     &number, error);

	if (!result)
		result = apply_port_config(bridge_port_by_number(live, number), interface, error);
	if (!result)
		result = apply_queue_pins(bridge_port_by_number(live, number), interface, error);
	if (result) {
		close_port(config_string(interface, "name"));
		return result;
	}
	if (sync->config &&
	    json_integer_value(json_object_get(interface, "ofport")) != (json_int_t)number) {
		json_t *row =
			config_edit(sync->config, TABLE_Interface, config_row_uuid(interface));

		json_object_set_new(row, "ofport", json_integer(number));
		interface = row;
	}
	remember_open(bridge, port, interface);
	return 0;
}

static int change_port(const json_t *entry, const json_t *port, const json_t *interface,
		       struct error *error)
{
	struct bridge_port *live = bridge_port_find(config_string(interface, "name"), NULL);
	const json_t *old_interface = json_object_get(entry, "interface");
	int result;

	if (!live)
		return 0;
	result = apply_l2(live, port, interface, error);
	if (!result && !json_equal(json_object_get(old_interface, "mtu_request"),
				   json_object_get(interface, "mtu_request")))
		result = apply_mtu(live, interface, error);
	if (!result)
		result = apply_offloads(live, interface, error);
	if (!result)
		result = apply_port_config(live, interface, error);
	return result ? result : apply_queue_pins(live, interface, error);
}

static bool must_reopen(const json_t *entry, const json_t *bridge, const json_t *interface)
{
	return strcmp(config_string(entry, "bridge"), config_row_uuid(bridge)) ||
	       apply_must_reopen(json_object_get(entry, "interface"), interface,
				 open_number(config_string(interface, "name")));
}

static int sync_open_port(struct sync *sync, const json_t *bridge, const json_t *port,
			  const json_t *interface, struct error *error)
{
	const char *name = config_string(interface, "name");
	json_t *entry = json_object_get(open_ports, name);
	int result;

	if (!entry)
		return open_port(sync, bridge, port, interface, error);
	if (entry && !is_local(bridge, interface) && must_reopen(entry, bridge, interface)) {
		close_port(name);
		json_object_del(open_ports, name);
		return open_port(sync, bridge, port, interface, error);
	}
	result = change_port(entry, port, interface, error);
	if (!result)
		remember_open(bridge, port, interface);
	return result;
}

static int sync_port(void *context, const json_t *bridge, const json_t *port,
		     const json_t *interface, struct error *error)
{
	struct sync *sync = context;
	const char *name = config_string(interface, "name");
	const json_t *failed = json_object_get(failed_ports, name);
	int result;

	// A port that failed before, and that nobody changed, is no reason to refuse this change.
	if (sync->strict && failed && json_object_get(failed, "interface") == interface)
		return 0;
	result = sync_open_port(sync, bridge, port, interface, error);
	if (!result || sync->strict)
		return result;
	log_error("%s", error->message);
	remember_failed(interface, error);
	error_clear(error);
	return 0;
}

static int remember_local(void *context, const json_t *bridge, const json_t *port,
			  const json_t *interface, struct error *error)
{
	(void)context;
	(void)error;
	if (is_local(bridge, interface))
		remember_open(bridge, port, interface);
	return 0;
}

// A bridge keeps its address over restarts: the configured one, or one made of its row's UUID,
// locally administered (IEEE 802 section 8.4).
static const char *bridge_address(const json_t *row, char text[18])
{
	const char *uuid = config_row_uuid(row);
	const char *configured = config_key(row, "other_config", "hwaddr");

	if (configured)
		return configured;
	snprintf(text, 18, "%c2:%.2s:%.2s:%.2s:%.2s:%.2s", uuid[0], uuid + 2, uuid + 4, uuid + 6,
		 uuid + 9, uuid + 11);
	return text;
}

static int create_bridge(struct sync *sync, const struct config *config, const json_t *row,
			 struct error *error)
{
	const char *name = config_string(row, "name");
	bool secure = sync->start || !strcmp(config_string(row, "fail_mode"), "secure");
	char address[18];
	struct bridge *bridge = bridge_create(name, bridge_address(row, address), secure, error);
	int result = 0;

	if (!bridge) {
		error_prefix(error, "cannot make bridge '%s'", name);
		return error->code ? -error->code : -EINVAL;
	}
	json_object_set_new(open_bridges, name, json_string(config_row_uuid(row)));
	result = apply_tlv_map(bridge, row, false, error); // flows need it
	if (sync->start && apply_store && !result)
		result = group_keep_load(apply_store, bridge, error);
	if (sync->start && apply_store && !result)
		result = meter_keep_load(apply_store, bridge, error);
	if (sync->start && apply_store && !result)
		result = flow_keep_load(apply_store, bridge, error);
	if (!result)
		visit_bridge_ports(config, row, remember_local, NULL, error);
	return result;
}

static int sync_bridges(struct sync *sync, const struct config *config, struct error *error)
{
	const char *uuid;
	json_t *row;
	int result = 0;

	json_object_foreach (config_rows(config, TABLE_Bridge), uuid, row) {
		struct bridge *bridge = bridge_find(config_string(row, "name"));

		if (!bridge) {
			result = create_bridge(sync, config, row, error);
			bridge = bridge_find(config_string(row, "name"));
		}
		if (!result)
			result = apply_bridge_settings(bridge, row, error);
		if (!result)
			result = apply_tlv_map(bridge, row, !sync->strict, error);
		if (!result)
			result = apply_tables(bridge, config, row, error);
		if (result && sync->strict)
			return result;
		if (result) {
			log_error("%s", error->message);
			error_clear(error);
			result = 0;
		}
	}
	return 0;
}

static int sync_offloads(const struct sync *sync, const struct config *config, struct error *error)
{
	int result = apply_offload_defaults(config, error);

	if (!result || sync->strict)
		return result;
	log_error("%s", error->message);
	error_clear(error);
	return 0;
}

static int sync_workers(const struct sync *sync, const struct config *config, struct error *error)
{
	int result = apply_workers(config, error);

	if (!result || sync->strict)
		return result;
	log_error("%s", error->message);
	error_clear(error);
	return 0;
}

struct qos_sync {
	const struct config *config;
	bool strict;
};

static int sync_port_qos(void *context, const json_t *bridge, const json_t *port,
			 const json_t *interface, struct error *error)
{
	const struct qos_sync *sync = context;
	struct bridge_port *live = bridge_port_find(config_string(interface, "name"), NULL);
	int result;

	(void)bridge;
	if (!live)
		return 0;
	result = apply_qos(live, sync->config, port, interface, error);
	if (!result || sync->strict)
		return result;
	log_error("%s", error->message);
	error_clear(error);
	return 0;
}

static int sync_qos(const struct sync *sync, const struct config *config, struct error *error)
{
	struct qos_sync qos = { config, sync->strict };

	return visit_ports(config, sync_port_qos, &qos, error);
}

// Of all bridges, when their ports are open.
static int sync_mirrors(const struct config *config, bool strict, struct error *error)
{
	const char *uuid;
	json_t *row;

	json_object_foreach (config_rows(config, TABLE_Bridge), uuid, row) {
		struct bridge *bridge = bridge_find(config_string(row, "name"));
		int result = bridge ? apply_mirrors(bridge, config, row, strict, error) : 0;

		if (result && strict)
			return result;
		if (result) {
			log_error("%s", error->message);
			error_clear(error);
		}
	}
	return 0;
}

static int sync_all(struct sync *sync, const struct config *config, struct error *error)
{
	int result = sync_workers(sync, config, error);

	if (!result)
		result = sync_offloads(sync, config, error);
	if (!result)
		result = sync_bridges(sync, config, error);
	sync->reserved = json_object();
	if (!result)
		result = visit_ports(config, reserve_number, sync, error);
	if (!result)
		result = visit_ports(config, sync_port, sync, error);
	if (!result)
		result = sync_mirrors(config, sync->strict, error);
	json_decref(sync->reserved);
	if (!result)
		result = sync_qos(sync, config, error);
	return result;
}

// --- The operations ---

static int needs_open(void *context, const json_t *bridge, const json_t *port,
		      const json_t *interface, struct error *error)
{
	const json_t *entry = json_object_get(open_ports, config_string(interface, "name"));

	(void)context;
	(void)port;
	(void)error;
	return !entry || must_reopen(entry, bridge, interface) ? 1 : 0;
}

// The flows, groups and meters of bridges that go, go too: in the store's open transaction.
static int forget_flows(const struct config *old, const struct config *config, struct error *error)
{
	const char *uuid;
	json_t *row;
	int result = 0;

	json_object_foreach (config_rows(old, TABLE_Bridge), uuid, row) {
		if (apply_store && !config_row(config, TABLE_Bridge, uuid))
			result = store_delete_flows(apply_store, config_string(row, "name"), error);
		if (apply_store && !result && !config_row(config, TABLE_Bridge, uuid))
			result =
				store_delete_groups(apply_store, config_string(row, "name"), error);
		if (apply_store && !result && !config_row(config, TABLE_Bridge, uuid))
			result =
				store_delete_meters(apply_store, config_string(row, "name"), error);
		if (result)
			break;
	}
	return result;
}

static int prepare(void *context, const struct config *old, struct config *config,
		   struct error *error)
{
	struct sync sync = { .config = config, .strict = true };
	int result = forget_flows(old, config, error);

	(void)context;
	if (result)
		return result;
	// What is new may need the name, the number or the socket of what goes.
	if (visit_ports(config, needs_open, NULL, NULL))
		close_gone(config);
	return sync_all(&sync, config, error);
}

static void finish(void *context, const struct config *config)
{
	(void)context;
	close_gone(config);
}

static void restore(void *context, const struct config *old)
{
	struct sync sync = { .start = true };
	struct error error = { 0 };

	(void)context;
	close_gone(old);
	flow_keep_pause(true);
	sync_all(&sync, old, &error);
	flow_keep_pause(false);
}

static void fill_status(void *context, const struct schema_table *table, json_t *row)
{
	const json_t *failed;

	(void)context;
	switch (table->id) {
	case TABLE_Interface:
		failed = json_object_get(failed_ports, config_string(row, "name"));
		apply_fill_interface(row, failed ? config_string(failed, "message") : NULL);
		break;
	case TABLE_Mirror:
		apply_fill_mirror(row);
		break;
	case TABLE_Bridge:
		apply_fill_bridge(row);
		break;
	case TABLE_Open_vSwitch:
		apply_fill_switch(row);
		break;
	default:
		break;
	}
}

const struct apply_ops apply_switch = {
	.prepare = prepare,
	.finish = finish,
	.restore = restore,
	.fill_status = fill_status,
};

static int start_bridges(struct sync *sync, const struct config *config, struct error *error)
{
	const char *uuid;
	json_t *row;

	json_object_foreach (config_rows(config, TABLE_Bridge), uuid, row) {
		int result = create_bridge(sync, config, row, error);

		if (result)
			return result;
	}
	return 0;
}

int apply_start(struct config *config, struct store *store, struct error *error)
{
	struct sync sync = { .start = true };
	int result;

	open_ports = json_object();
	open_bridges = json_object();
	failed_ports = json_object();
	apply_store = store;
	flow_keep_pause(true);
	// Ports before flows or flows before ports: with the flows in place first, no packet meets
	// an empty table.
	result = start_bridges(&sync, config, error);
	if (!result)
		result = sync_all(&sync, config, error);
	flow_keep_pause(false);
	return result;
}

static int retry_port(void *context, const json_t *bridge, const json_t *port,
		      const json_t *interface, struct error *error)
{
	struct sync *sync = context;
	const char *name = config_string(interface, "name");
	struct error again = { 0 };

	(void)error;
	if (!json_object_get(failed_ports, name) || !bridge_find(config_string(bridge, "name")))
		return 0;
	if (open_port(sync, bridge, port, interface, &again))
		remember_failed(interface, &again);
	else
		log_info("port '%s' could be opened now", name);
	return 0;
}

void apply_retry(const struct config *config)
{
	struct sync sync = { 0 };
	struct error error = { 0 };

	if (!json_object_size(failed_ports))
		return;
	sync.reserved = json_object();
	visit_ports(config, reserve_number, &sync, NULL);
	visit_ports(config, retry_port, &sync, NULL);
	sync_qos(&sync, config, &error);
	sync_mirrors(config, false, &error);
	json_decref(sync.reserved);
}

void apply_stop(void)
{
	flow_keep_pause(true);
	bridges_exit();
	apply_qos_stop();
	flow_keep_pause(false);
	json_decref(open_ports);
	json_decref(open_bridges);
	json_decref(failed_ports);
	open_ports = open_bridges = failed_ports = NULL;
}
