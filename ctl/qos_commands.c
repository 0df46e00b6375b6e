// vsctl qos-show, queue-stats and queue-get-config: what ports' quality of service comes to.
#include "ctl/switch_bridge.h"

#include "common/error.h"
#include "common/text.h"
#include "ctl/apply_qos.h"
#include "datapath/datapath.h"
#include "datapath/qos.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

static json_t *number(uint64_t value)
{
	return json_integer((json_int_t)value);
}

static json_t *microseconds(uint64_t ns)
{
	return json_real((double)ns / 1000);
}

static json_t *describe_queue(const struct shaper_queue_info *queue)
{
	json_t *object = json_object();

	json_object_set_new(object, "queue", number(queue->config.id));
	json_object_set_new(object, "min_rate", number(queue->config.min_rate));
	json_object_set_new(object, "granted", number(queue->granted));
	json_object_set_new(object, "max_rate", number(queue->config.max_rate));
	json_object_set_new(object, "priority", number(queue->config.priority));
	json_object_set_new(object, "weight", number(queue->config.weight));
	json_object_set_new(object, "dscp",
			    queue->config.dscp < 0 ? json_null()
						   : json_integer(queue->config.dscp));
	json_object_set_new(object, "aqm",
			    json_string(!queue->config.aqm.target_ns   ? "none"
					: queue->config.aqm.flows == 1 ? "codel"
								       : "fq_codel"));
	json_object_set_new(object, "rate", number(queue->rate));
	json_object_set_new(object, "packets", number(queue->packets));
	json_object_set_new(object, "bytes", number(queue->bytes));
	json_object_set_new(object, "drops_full", number(queue->n_full));
	json_object_set_new(object, "drops_delay", number(queue->n_delay));
	json_object_set_new(object, "marks", number(queue->marks));
	json_object_set_new(object, "queued_packets", number(queue->queued_packets));
	json_object_set_new(object, "queued_bytes", number(queue->queued_bytes));
	json_object_set_new(object, "delay_us_p50", microseconds(queue->delay_p50));
	json_object_set_new(object, "delay_us_p90", microseconds(queue->delay_p90));
	json_object_set_new(object, "delay_us_p99", microseconds(queue->delay_p99));
	json_object_set_new(object, "delay_us_max", microseconds(queue->delay_max));
	return object;
}

static json_t *describe_shaper(const struct egress *egress)
{
	const uint64_t now_ns = qos_now_ns();
	struct shaper_queue_info queue;
	json_t *queues = json_array();
	struct shaper_info info;

	shaper_info(egress->shaper, now_ns, &info);
	for (unsigned int i = 0; shaper_queue_info(egress->shaper, i, now_ns, &queue); i++)
		json_array_append_new(queues, describe_queue(&queue));
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:i, s:o}", "max_rate",
			 (json_int_t)info.max_rate, "burst_bytes", (json_int_t)info.burst, "rate",
			 (json_int_t)info.rate, "unknown_queue", (json_int_t)info.n_unknown,
			 "queued_packets", (json_int_t)info.queued_packets, "queued_bytes",
			 (json_int_t)info.queued_bytes, "worker",
			 egress->owner ? (int)egress->owner->id : -1, "queues", queues);
}

static json_t *describe_ingress(const struct vport *vport, const struct port_counters *counters)
{
	const struct ingress_config *config = &vport->ingress->config;

	return json_pack(
		"{s:I, s:I, s:I, s:I, s:I}", "rate", (json_int_t)(config->kbps * 1000),
		"burst_bits",
		(json_int_t)((config->kilobits ? config->kilobits : INGRESS_DEFAULT_KILOBITS) *
			     1000),
		"packet_rate", (json_int_t)(config->kpps * 1000), "burst_packets",
		(json_int_t)((config->kilopackets ? config->kilopackets
						  : INGRESS_DEFAULT_KILOPACKETS) *
			     1000),
		"drops", (json_int_t)counters->rx_drops[DROP_INGRESS_POLICED]);
}

int handle_qos_show(const struct handler_call *call, json_t **result, struct error *error)
{
	const char *name = call_arg(call, 0);
	const struct bridge_port *port = bridge_port_find(name, NULL);
	struct port_counters counters;
	const struct vport *vport;

	if (!port)
		return error_set(error, ENOENT,
				 "port '%.64s' does not exist, or is not open; vsctl show lists "
				 "the ports",
				 name);
	vport = bridge_port_vport(port);
	workers_port_counters(vport->index, &counters);
	*result = json_pack("{s:s}", "port", vport->name);
	if (vport->ingress)
		json_object_set_new(*result, "ingress", describe_ingress(vport, &counters));
	if (!vport->egress)
		return 0;
	json_object_set_new(*result, "type",
			    json_string(config_string(apply_qos_in_force(vport->name), "type")));
	if (vport->egress->shaper)
		json_object_set_new(*result, "shaper", describe_shaper(vport->egress));
	else
		json_object_set_new(*result, "policer",
				    json_pack("{s:I, s:I, s:I}", "cir",
					      (json_int_t)vport->egress->cir, "cbs",
					      (json_int_t)vport->egress->cbs, "drops",
					      (json_int_t)counters.tx_drops[DROP_EGRESS_POLICED]));
	return 0;
}

// --- What ovs-ofctl(8) asks ---

static bool is_all(const char *text)
{
	return !text || !strcasecmp(text, "ALL") || !strcasecmp(text, "ANY");
}

static unsigned int add_queues(const struct bridge_port *port, const char *wanted, json_t *list)
{
	const struct vport *vport = bridge_port_vport((struct bridge_port *)port);
	struct shaper_queue_info queue;
	unsigned int n = 0;
	uint64_t id = 0;

	if (!vport->egress || !vport->egress->shaper)
		return 0;
	if (!is_all(wanted))
		parse_u64(wanted, &id);
	for (unsigned int i = 0; shaper_queue_info(vport->egress->shaper, i, qos_now_ns(), &queue);
	     i++) {
		json_t *object;

		if (!is_all(wanted) && queue.config.id != id)
			continue;
		object = describe_queue(&queue);
		json_object_set_new(object, "port", json_string(vport->name));
		json_object_set_new(object, "port_number", number(bridge_port_number(port)));
		json_array_append_new(list, object);
		n++;
	}
	return n;
}

static int list_queues(const struct handler_call *call, json_t **result, struct error *error)
{
	struct bridge *bridge = call_switch_bridge(call, error);
	const char *name = call_arg(call, 1), *queue = call_arg(call, 2);
	struct bridge_port *only = NULL;
	unsigned int n = 0;
	uint64_t id;

	if (!bridge)
		return -ENOENT;
	if (!is_all(name) && !(only = call_switch_port(bridge, name, error)))
		return -ENOENT;
	if (!is_all(queue) && (parse_u64(queue, &id) || id > UINT32_MAX))
		return error_set(error, EINVAL,
				 "'%.64s' is no queue: say its number, or ALL for every queue",
				 queue);
	*result = json_array();
	for (struct bridge_port *port = bridge_port_first(bridge); port;
	     port = bridge_port_next(bridge, port))
		if (!only || only == port)
			n += add_queues(port, queue, *result);
	if (n || !only || is_all(queue))
		return 0;
	json_decref(*result);
	*result = NULL;
	return error_set(error, ENOENT,
			 "port '%.64s' has no queue %.20s: vsctl qos-show tells which it has", name,
			 queue);
}

int handle_queue_stats(const struct handler_call *call, json_t **result, struct error *error)
{
	return list_queues(call, result, error);
}

int handle_queue_config(const struct handler_call *call, json_t **result, struct error *error)
{
	return list_queues(call, result, error);
}
