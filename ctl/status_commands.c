// Commands that tell what the switch does: ports, drops, learned addresses, workers.
#include "ctl/switch_bridge.h"

#include "common/error.h"
#include "common/text.h"
#include "datapath/datapath.h"
#include "ofproto/sample.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <strings.h>

struct bridge *call_switch_bridge(const struct handler_call *call, struct error *error)
{
	const char *name = call_arg(call, 0);
	struct bridge *bridge;

	if (!call_bridge(call, name, error))
		return NULL;
	bridge = bridge_find(name);
	if (!bridge)
		error_set(error, EIO,
			  "bridge '%s' is configured but could not be made; see the log", name);
	return bridge;
}

struct bridge_port *call_switch_port(struct bridge *bridge, const char *text, struct error *error)
{
	struct bridge_port *port = bridge_port_by_name(bridge, text);
	const char *names[256];
	const char *nearest;
	unsigned int n = 0;
	uint64_t number;

	if (!port && !strcasecmp(text, "LOCAL"))
		port = bridge_port_by_number(bridge, OFPP_LOCAL);
	if (!port && !parse_u64(text, &number) && number <= UINT32_MAX)
		port = bridge_port_by_number(bridge, (uint32_t)number);
	if (port)
		return port;
	for (port = bridge_port_first(bridge); port && n < 256;
	     port = bridge_port_next(bridge, port))
		names[n++] = bridge_port_name(port);
	nearest = text_nearest(text, names, n);
	error_set(error, ENOENT, "port '%.64s' does not exist on bridge '%s'%s%s%s", text,
		  bridge_name(bridge), nearest ? "; did you mean '" : "", nearest ? nearest : "",
		  nearest ? "'?" : "");
	return NULL;
}

static void set_count(json_t *object, const char *key, uint64_t value)
{
	json_object_set_new(object, key, json_integer((json_int_t)value));
}

static json_t *port_counters(const struct bridge_port *port)
{
	struct bridge_port_stats stats;
	json_t *object = json_object();

	bridge_port_get_stats(port, &stats);
	json_object_set_new(object, "name", json_string(bridge_port_name(port)));
	set_count(object, "port", bridge_port_number(port));
	set_count(object, "rx_packets", stats.rx_packets);
	set_count(object, "rx_bytes", stats.rx_bytes);
	set_count(object, "rx_dropped", stats.rx_dropped);
	set_count(object, "rx_errors", stats.rx_errors);
	set_count(object, "rx_missed_errors", stats.rx_missed_errors);
	set_count(object, "tx_packets", stats.tx_packets);
	set_count(object, "tx_bytes", stats.tx_bytes);
	set_count(object, "tx_dropped", stats.tx_dropped);
	set_count(object, "tx_errors", stats.tx_errors);
	set_count(object, "collisions", stats.collisions);
	return object;
}

// As ovs-ofctl(8) names what mod-port said.
static json_t *config_words(uint16_t config)
{
	static const char *const words[N_PORT_FLAGS] = { "PORT_DOWN",   "NO_STP",   "NO_RECV",
							 "NO_RECV_STP", "NO_FLOOD", "NO_FWD",
							 "NO_PACKET_IN" };
	json_t *list = json_array();

	for (unsigned int i = 0; i < N_PORT_FLAGS; i++)
		if (config & 1u << i)
			json_array_append_new(list, json_string(words[i]));
	return list;
}

static json_t *port_description(const struct bridge_port *port)
{
	struct vport *vport = bridge_port_vport(port);
	struct vport_status status = vport->status;
	struct text mac = { 0 };
	json_t *object;

	if (vport->class->get_status)
		vport->class->get_status(vport, &status);
	text_add_mac(&mac, status.mac);
	object = json_pack("{s:s, s:I, s:s, s:s, s:b, s:b, s:I, s:I}", "name", vport->name, "port",
			   (json_int_t)bridge_port_number(port), "type", vport->class->type, "mac",
			   mac.data ? mac.data : "", "admin_up", status.admin_up, "link_up",
			   status.link_up, "link_speed", (json_int_t)status.link_speed, "mtu",
			   (json_int_t)(status.mtu ? status.mtu : vport->mtu));
	text_free(&mac);
	json_object_set_new(object, "config", config_words(bridge_port_config(port)));
	return object;
}

static int describe_ports(struct bridge *bridge, const char *only,
			  json_t *(*describe)(const struct bridge_port *port), json_t **result,
			  struct error *error)
{
	const struct bridge_port *port;

	*result = json_array();
	if (only && strcasecmp(only, "ANY")) {
		port = call_switch_port(bridge, only, error);
		if (!port)
			return -ENOENT;
		json_array_append_new(*result, describe(port));
		return 0;
	}
	for (port = bridge_port_first(bridge); port; port = bridge_port_next(bridge, port))
		json_array_append_new(*result, describe(port));
	return 0;
}

int handle_status_ports(const struct handler_call *call, json_t **result, struct error *error)
{
	struct bridge *bridge = call_switch_bridge(call, error);

	return bridge ? describe_ports(bridge, call_arg(call, 1), port_counters, result, error)
		      : -ENOENT;
}

int handle_status_ports_desc(const struct handler_call *call, json_t **result, struct error *error)
{
	struct bridge *bridge = call_switch_bridge(call, error);

	return bridge ? describe_ports(bridge, call_arg(call, 1), port_description, result, error)
		      : -ENOENT;
}

int handle_sample_dump(const struct handler_call *call, json_t **result, struct error *error)
{
	struct bridge *bridge = call_switch_bridge(call, error);
	const struct sample_table *table = bridge ? bridge_samples(bridge) : NULL;

	if (!bridge)
		return -ENOENT;
	*result = json_array();
	for (uint32_t i = 0; table && i < table->n; i++) {
		const struct counter sum = counter_read(table->counters[i].counter);

		json_array_append_new(*result, json_pack("{s:I, s:I, s:I}", "collector_set_id",
							 (json_int_t)table->counters[i].set_id,
							 "packets", (json_int_t)sum.packets,
							 "bytes", (json_int_t)sum.bytes));
	}
	return 0;
}
