// Commands on the daemon itself, and the tree of the whole configuration.
#include "ctl/switch_bridge.h"

#include "common/error.h"
#include "common/log.h"
#include "datapath/datapath.h"

#include <errno.h>
#include <inttypes.h>
#include <rte_version.h>
#include <unistd.h>

int handle_daemon_version(const struct handler_call *call, json_t **result, struct error *error)
{
	(void)call;
	(void)error;
	*result = json_pack("{s:s, s:s, s:s, s:i}", "vswitchd", VERSION, "dpdk", rte_version(),
			    "memory", datapath_memory_text(), "pid", (int)getpid());
	return 0;
}

int handle_daemon_log_level(const struct handler_call *call, json_t **result, struct error *error)
{
	static const char *const names[] = { "error", "warning", "info", "debug" };
	const char *name = call_arg(call, 0);
	int level;

	if (!name) {
		*result = json_string(names[log_get_level()]);
		return 0;
	}
	level = log_level_parse(name);
	if (level < 0)
		return error_set(error, EINVAL,
				 "log level '%.64s' is unknown; use error, warning, info or debug",
				 name);
	log_set_level((enum log_level)level);
	return 0;
}

int handle_daemon_exit(const struct handler_call *call, json_t **result, struct error *error)
{
	(void)result;
	(void)error;
	call->transaction->control->stop = true;
	return 0;
}

static json_t *show_interface(const struct handler_call *call, const char *uuid)
{
	const struct apply_ops *apply = call->transaction->control->apply;
	json_t *row = json_deep_copy(config_row(call->transaction->config, TABLE_Interface, uuid));
	json_t *shown;

	apply->fill_status(apply->context, &schema_tables[TABLE_Interface], row);
	shown = json_pack("{s:O, s:O, s:O, s:O, s:O, s:O}", "name", json_object_get(row, "name"),
			  "type", json_object_get(row, "type"), "options",
			  json_object_get(row, "options"), "error", json_object_get(row, "error"),
			  "ofport", json_object_get(row, "ofport"), "link_state",
			  json_object_get(row, "link_state"));
	json_decref(row);
	return shown;
}

static json_t *show_port(const struct handler_call *call, const char *uuid)
{
	const json_t *row = config_row(call->transaction->config, TABLE_Port, uuid);
	json_t *interfaces = json_array();
	json_t *ref;
	size_t i;

	json_array_foreach (json_object_get(row, "interfaces"), i, ref)
		json_array_append_new(interfaces, show_interface(call, json_string_value(ref)));
	return json_pack("{s:O, s:O, s:O, s:o}", "name", json_object_get(row, "name"), "tag",
			 json_object_get(row, "tag"), "trunks", json_object_get(row, "trunks"),
			 "interfaces", interfaces);
}

static json_t *show_bridge(const struct handler_call *call, const json_t *row)
{
	const struct config *config = call->transaction->config;
	json_t *ports = json_array();
	json_t *controllers = json_array();
	json_t *ref;
	size_t i;

	json_array_foreach (json_object_get(row, "ports"), i, ref)
		json_array_append_new(ports, show_port(call, json_string_value(ref)));
	json_array_foreach (json_object_get(row, "controller"), i, ref)
		json_array_append(controllers, json_object_get(config_row(config, TABLE_Controller,
									  json_string_value(ref)),
							       "target"));
	return json_pack("{s:O, s:O, s:o, s:o}", "name", json_object_get(row, "name"), "fail_mode",
			 json_object_get(row, "fail_mode"), "controllers", controllers, "ports",
			 ports);
}

static int show_switch(const struct handler_call *call, json_t **result)
{
	const struct config *config = call->transaction->config;
	const json_t *top = config_single(config, TABLE_Open_vSwitch);
	json_t *bridges = json_array();
	const char *uuid;
	json_t *row;

	json_object_foreach (config_rows(config, TABLE_Bridge), uuid, row)
		json_array_append_new(bridges, show_bridge(call, row));
	*result = json_pack("{s:s, s:o, s:s}", "uuid", config_row_uuid(top), "bridges", bridges,
			    "version", VERSION);
	return 0;
}

// What ovs-ofctl's show tells: the bridge as OpenFlow sees it.
int handle_show(const struct handler_call *call, json_t **result, struct error *error)
{
	struct bridge *bridge;
	json_t *ports = NULL;
	int failed;

	if (!call_arg(call, 0))
		return show_switch(call, result);
	bridge = call_switch_bridge(call, error);
	if (!bridge)
		return -ENOENT;
	failed = handle_status_ports_desc(call, &ports, error);
	if (failed) {
		json_decref(ports);
		return failed;
	}
	*result = json_pack("{s:s, s:o, s:i, s:o}", "bridge", bridge_name(bridge), "datapath_id",
			    json_sprintf("%016" PRIx64, bridge_datapath_id(bridge)), "n_tables",
			    N_TABLES, "ports", ports);
	return 0;
}
