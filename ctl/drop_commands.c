// vsctl drops: why packets were not forwarded, and whether every packet is accounted for.
#include "ctl/handlers.h"

#include <errno.h>

#include "common/error.h"
#include "datapath/datapath.h"
#include "ofproto/bridge.h"

// Which ports dropped packets for one reason, and how many each.
static json_t *drops_by_port(enum drop_reason reason)
{
	json_t *ports = json_object();

	for (const struct bridge *bridge = bridge_first(); bridge; bridge = bridge_next(bridge))
		for (const struct bridge_port *port = bridge_port_first(bridge); port;
		     port = bridge_port_next(bridge, port)) {
			struct bridge_port_stats stats;

			bridge_port_get_stats(port, &stats);
			if (stats.drops[reason])
				json_object_set_new(ports, bridge_port_name(port),
						    json_integer((json_int_t)stats.drops[reason]));
		}
	return ports;
}

static json_t *list_reasons(const uint64_t *drops, bool all, bool by_port)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < N_DROPS; i++) {
		json_t *reason;

		if (!all && !drops[i])
			continue;
		reason = json_pack("{s:s, s:I, s:s}", "reason", drop_texts[i].name, "packets",
				   (json_int_t)drops[i], "help", drop_texts[i].help);
		if (by_port)
			json_object_set_new(reason, "ports", drops_by_port((enum drop_reason)i));
		json_array_append_new(list, reason);
	}
	return list;
}

// The sum of the whole switch: what came in and was copied went out or was dropped.
static json_t *describe_totals(const struct worker_totals *totals)
{
	const uint64_t in = totals->received + totals->copies;
	const uint64_t out = totals->transmitted + totals->dropped;

	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:b}", "received", (json_int_t)totals->received,
			 "copies", (json_int_t)totals->copies, "transmitted",
			 (json_int_t)totals->transmitted, "dropped", (json_int_t)totals->dropped,
			 "in_flight", (json_int_t)(in - out), "conserved", in == out);
}

int handle_status_drops(const struct handler_call *call, json_t **result, struct error *error)
{
	const char *name = call_arg(call, 0);
	const bool all = call_flag(call, "all");
	const struct bridge_port *port;
	struct bridge_port_stats stats;
	struct worker_totals totals;

	if (!name) {
		workers_totals(&totals);
		*result = json_pack("{s:o, s:o}", "totals", describe_totals(&totals), "reasons",
				    list_reasons(totals.drops, all, true));
		return 0;
	}
	port = bridge_port_find(name, NULL);
	if (!port)
		return error_set(error, ENOENT,
				 "port '%.64s' does not exist or is not open; 'vsctl show' lists "
				 "the ports",
				 name);
	bridge_port_get_stats(port, &stats);
	*result = json_pack("{s:s, s:o}", "port", name, "reasons",
			    list_reasons(stats.drops, all, false));
	return 0;
}
