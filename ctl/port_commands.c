// Commands on ports: rows of Port and Interface.
#include "ctl/handlers.h"
#include "ctl/record.h"

#include "common/error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// A port by name and its bridge; NULL with a sentence.
static json_t *find_port(const struct handler_call *call, const char *name, json_t **bridge,
			 struct error *error)
{
	const struct config *config = call->transaction->config;
	json_t *port = config_find(config, TABLE_Port, name);

	*bridge = port ? config_bridge_of_port(config, port) : NULL;
	if (*bridge)
		return port;
	config_record(config, &schema_tables[TABLE_Port], name, error);
	if (error->code)
		error_prefix(error, "port '%.64s' does not exist", name);
	else
		error_set(error, ENOENT, "port '%.64s' is on no bridge", name);
	return NULL;
}

static int set_setting(const struct handler_call *call, enum schema_table_id table, json_t *row,
		       const char *setting, struct error *error)
{
	struct schema_names names = call_names(call);
	struct record_column column;
	int result = record_parse_column(&schema_tables[table], setting, "=", &column, error);

	if (!result)
		result = record_set(call, &schema_tables[table], row, &column, &names, error);
	record_column_release(&column);
	return result;
}

// The type's own options may be given without "options:".
static int set_option(const char *setting, json_t *interface, struct error *error)
{
	const char *equals = strchr(setting, '=');
	json_t *key = json_stringn(setting, (size_t)(equals - setting));
	int failed = !key || json_object_set_new(json_object_get(interface, "options"),
						 json_string_value(key), json_string(equals + 1));

	json_decref(key);
	return failed ? error_set(error, EINVAL, "'%s' is not valid UTF-8", setting) : 0;
}

static int apply_setting(const struct handler_call *call, json_t *port, json_t *interface,
			 const char *setting, struct error *error)
{
	size_t length = strcspn(setting, ":=");
	char name[64];

	if (length == 0 || !strchr(setting, '='))
		return error_set(error, EINVAL,
				 "'%.64s' is not a setting: after the port's name come KEY=VALUE "
				 "pairs, such as type=vhost-user or tag=10",
				 setting);
	if (length < sizeof(name)) {
		memcpy(name, setting, length);
		name[length] = '\0';
		if (schema_column(&schema_tables[TABLE_Port], name))
			return set_setting(call, TABLE_Port, port, setting, error);
		if (schema_column(&schema_tables[TABLE_Interface], name))
			return set_setting(call, TABLE_Interface, interface, setting, error);
	}
	if (setting[length] == ':')
		return error_set(error, ENOENT,
				 "'%.64s': neither table Port nor Interface has column '%.*s'",
				 setting, (int)length, setting);
	return set_option(setting, interface, error);
}

int handle_port_add(const struct handler_call *call, json_t **result, struct error *error)
{
	struct config *config = call->transaction->config;
	json_t *bridge = call_bridge(call, call_arg(call, 0), error);
	const char *name = call_arg(call, 1);
	json_t *port, *interface, *other;

	(void)result;
	if (!bridge)
		return -ENOENT;
	port = config_find(config, TABLE_Port, name);
	if (port) {
		other = config_bridge_of_port(config, port);
		if (call_flag(call, "may-exist") && other == bridge)
			return 0;
		return error_set(error, EEXIST, "port '%s' already exists on bridge '%s'%s", name,
				 other ? config_string(other, "name") : "?",
				 other == bridge ? "; --may-exist accepts that"
						 : ": a port is on one bridge only");
	}
	port = config_insert(config, TABLE_Port, NULL);
	interface = config_insert(config, TABLE_Interface, NULL);
	json_object_set_new(port, "name", json_string(name));
	json_object_set_new(interface, "name", json_string(name));
	config_add_ref(config, TABLE_Port, config_row_uuid(port), "interfaces",
		       config_row_uuid(interface));
	config_add_ref(config, TABLE_Bridge, config_row_uuid(bridge), "ports",
		       config_row_uuid(port));
	for (size_t i = 2; i < call_n_args(call); i++) {
		int failed = apply_setting(call, port, interface, call_arg(call, i), error);

		if (failed)
			return failed;
	}
	return 0;
}

int handle_port_del(const struct handler_call *call, json_t **result, struct error *error)
{
	struct config *config = call->transaction->config;
	bool with_bridge = call_n_args(call) == 2;
	const char *name = call_arg(call, with_bridge ? 1 : 0);
	json_t *bridge, *port, *ref;
	size_t i;

	(void)result;
	if (with_bridge && !call_bridge(call, call_arg(call, 0), error))
		return -ENOENT;
	if (call_flag(call, "if-exists") && !config_find(config, TABLE_Port, name))
		return 0;
	port = find_port(call, name, &bridge, error);
	if (!port)
		return -ENOENT;
	if (with_bridge && strcmp(config_string(bridge, "name"), call_arg(call, 0)))
		return error_set(error, ENOENT, "port '%s' is on bridge '%s', not on '%s'", name,
				 config_string(bridge, "name"), call_arg(call, 0));
	if (!strcmp(config_string(bridge, "name"), name))
		return error_set(error, EINVAL,
				 "port '%s' is the bridge's own: 'vsctl del-br %s' deletes both",
				 name, name);
	config_remove_ref(config, TABLE_Bridge, config_row_uuid(bridge), "ports",
			  config_row_uuid(port));
	json_array_foreach (json_object_get(port, "interfaces"), i, ref)
		config_delete(config, TABLE_Interface, json_string_value(ref));
	config_delete(config, TABLE_Port, config_row_uuid(port));
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(json_string_value(*(json_t *const *)a),
		      json_string_value(*(json_t *const *)b));
}

static json_t *sort_names(json_t *names)
{
	size_t n = json_array_size(names);
	json_t **array = calloc(n + 1, sizeof(json_t *));
	json_t *sorted = json_array();

	for (size_t i = 0; array && i < n; i++)
		array[i] = json_array_get(names, i);
	if (array)
		qsort(array, n, sizeof(json_t *), compare_names);
	for (size_t i = 0; array && i < n; i++)
		json_array_append(sorted, array[i]);
	free(array);
	json_decref(names);
	return sorted;
}

int handle_port_list(const struct handler_call *call, json_t **result, struct error *error)
{
	const struct config *config = call->transaction->config;
	json_t *bridge = call_bridge(call, call_arg(call, 0), error);
	json_t *names = json_array();
	json_t *ref;
	size_t i;

	json_array_foreach (json_object_get(bridge, "ports"), i, ref) {
		const json_t *port = config_row(config, TABLE_Port, json_string_value(ref));
		const char *name = config_string(port, "name");

		if (strcmp(name, call_arg(call, 0)))
			json_array_append_new(names, json_string(name));
	}
	*result = sort_names(names);
	return bridge ? 0 : -ENOENT;
}

int handle_port_list_interfaces(const struct handler_call *call, json_t **result,
				struct error *error)
{
	const struct config *config = call->transaction->config;
	json_t *bridge = call_bridge(call, call_arg(call, 0), error);
	json_t *names = json_array();
	json_t *ref, *interface_ref;
	size_t i, k;

	json_array_foreach (json_object_get(bridge, "ports"), i, ref) {
		const json_t *port = config_row(config, TABLE_Port, json_string_value(ref));

		json_array_foreach (json_object_get(port, "interfaces"), k, interface_ref) {
			const json_t *row = config_row(config, TABLE_Interface,
						       json_string_value(interface_ref));
			const char *name = config_string(row, "name");

			if (strcmp(name, call_arg(call, 0)))
				json_array_append_new(names, json_string(name));
		}
	}
	*result = sort_names(names);
	return bridge ? 0 : -ENOENT;
}

int handle_port_to_bridge(const struct handler_call *call, json_t **result, struct error *error)
{
	json_t *bridge;

	if (!find_port(call, call_arg(call, 0), &bridge, error))
		return -ENOENT;
	*result = json_string(config_string(bridge, "name"));
	return 0;
}

int handle_port_interface_to_bridge(const struct handler_call *call, json_t **result,
				    struct error *error)
{
	const struct config *config = call->transaction->config;
	json_t *row =
		config_record(config, &schema_tables[TABLE_Interface], call_arg(call, 0), error);
	json_t *port = row ? config_port_of_interface(config, row) : NULL;
	json_t *bridge = port ? config_bridge_of_port(config, port) : NULL;

	if (!row)
		return -ENOENT;
	if (!bridge)
		return error_set(error, ENOENT, "interface '%s' is on no bridge",
				 call_arg(call, 0));
	*result = json_string(config_string(bridge, "name"));
	return 0;
}
