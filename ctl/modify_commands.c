// mod-port and mod-table: what OpenFlow configures of ports and tables, as rows of the configuration.
#include "ctl/handlers.h"

#include "common/error.h"
#include "common/text.h"
#include "ctl/apply_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define OVS_OFPP_LOCAL 65534 // how Interface.ofport writes LOCAL

// --- mod-port ---

// The Interface row of a bridge's port, named by name, number or LOCAL; NULL with a sentence.
static json_t *find_interface(const struct handler_call *call, const json_t *bridge,
			      const char *text, struct error *error)
{
	struct config *config = call->transaction->config;
	const bool local = !strcasecmp(text, "LOCAL");
	const char *nearest, *names[256], *wanted = local ? config_string(bridge, "name") : text;
	unsigned int n = 0;
	uint64_t number;
	json_t *ref, *interface_ref, *found = NULL;
	size_t i, k;

	if (parse_u64(text, &number))
		number = 0;
	json_array_foreach (json_object_get(bridge, "ports"), i, ref) {
		const json_t *port = config_row(config, TABLE_Port, json_string_value(ref));

		json_array_foreach (json_object_get(port, "interfaces"), k, interface_ref) {
			const char *uuid = json_string_value(interface_ref);
			const json_t *row = config_row(config, TABLE_Interface, uuid);
			const char *name = config_string(row, "name");
			const json_int_t ofport =
				json_integer_value(json_object_get(row, "ofport"));

			if (!strcmp(name, wanted))
				return config_edit(config, TABLE_Interface, uuid);
			if (number && ofport == (json_int_t)number)
				found = config_edit(config, TABLE_Interface, uuid);
			if (n < sizeof(names) / sizeof(names[0]))
				names[n++] = name;
		}
	}
	if (found)
		return found;
	nearest = text_nearest(text, names, n);
	error_set(error, ENOENT, "port '%.64s' does not exist on bridge '%s'%s%s%s", text,
		  config_string(bridge, "name"), nearest ? "; did you mean '" : "",
		  nearest ? nearest : "", nearest ? "'?" : "");
	return NULL;
}

// One of mod-port's words: the flag, and whether the word sets it.
static int parse_action(const char *word, unsigned int *flag, bool *set, struct error *error)
{
	for (unsigned int f = 0; f < N_PORT_FLAGS; f++) {
		const char *off = port_config_words[f];
		const char *on = f ? off + strlen("no-") : "up";

		*set = !strcmp(word, off);
		*flag = f;
		if (*set || !strcmp(word, on))
			return 0;
	}
	return error_set(
		error, EINVAL,
		"'%.64s' is nothing that a port can be told: up, down, stp, no-stp, receive, "
		"no-receive, receive-stp, no-receive-stp, forward, no-forward, flood, "
		"no-flood, packet-in and no-packet-in are",
		word);
}

int handle_port_modify(const struct handler_call *call, json_t **result, struct error *error)
{
	const json_t *bridge = call_bridge(call, call_arg(call, 0), error);
	json_t *interface, *words, *word;
	unsigned int flag;
	size_t i;
	bool set;

	(void)result;
	if (!bridge || parse_action(call_arg(call, 2), &flag, &set, error))
		return -(error->code ? error->code : ENOENT);
	interface = find_interface(call, bridge, call_arg(call, 1), error);
	if (!interface)
		return -ENOENT;
	words = json_object_get(interface, "port_config");
	json_array_foreach (words, i, word)
		if (!strcmp(json_string_value(word), port_config_words[flag])) {
			json_array_remove(words, i);
			break;
		}
	if (set)
		json_array_append_new(words, json_string(port_config_words[flag]));
	if (!strcmp(call_arg(call, 2), "stp"))
		call_warn(call, "no spanning tree protocol runs in this version");
	return 0;
}

// --- mod-table ---

static const json_t *table_row(const struct config *config, const json_t *bridge,
			       const char *number)
{
	const json_t *ref = json_object_get(json_object_get(bridge, "flow_tables"), number);

	return ref ? config_row(config, TABLE_Flow_Table, json_string_value(ref)) : NULL;
}

// A table by number or by its row's name, as the number's text.
static int find_table(const struct config *config, const json_t *bridge, const char *text,
		      char number[4], struct error *error)
{
	const char *key;
	json_t *ref;
	uint64_t id;

	json_object_foreach (json_object_get(bridge, "flow_tables"), key, ref) {
		if (strcmp(config_string(table_row(config, bridge, key), "name"), text) || !*text ||
		    strlen(key) > 3)
			continue;
		strcpy(number, key);
		return 0;
	}
	if (parse_u64(text, &id))
		return error_set(error, ENOENT, "bridge '%s' has no table named '%.64s'",
				 config_string(bridge, "name"), text);
	if (id >= N_TABLES)
		return error_set(error, ERANGE, "table %.64s does not exist: tables are 0 to %u",
				 text, N_TABLES - 1);
	snprintf(number, 4, "%u", (unsigned int)id);
	return 0;
}

static unsigned int count_uses(const struct config *config, const char *uuid)
{
	unsigned int count = 0;
	const char *key, *number;
	json_t *bridge, *ref;

	json_object_foreach (config_rows(config, TABLE_Bridge), key, bridge)
		json_object_foreach (json_object_get(bridge, "flow_tables"), number, ref)
			count += !strcmp(json_string_value(ref), uuid);
	return count;
}

// The table's row, to be changed for this table alone: made if there is none, and copied if other
// tables have it, too.
static json_t *edit_table(struct config *config, json_t *bridge, const char *number)
{
	const json_t *old = table_row(config, bridge, number);
	json_t *row;

	if (old && count_uses(config, config_row_uuid(old)) == 1)
		return config_edit(config, TABLE_Flow_Table, config_row_uuid(old));
	row = config_insert(config, TABLE_Flow_Table, NULL);
	for (unsigned int i = 0; old && i < schema_tables[TABLE_Flow_Table].n_columns; i++) {
		const char *column = schema_tables[TABLE_Flow_Table].columns[i].name;

		json_object_set_new(row, column, json_deep_copy(json_object_get(old, column)));
	}
	bridge = config_edit(config, TABLE_Bridge, config_row_uuid(bridge));
	json_object_set_new(json_object_get(bridge, "flow_tables"), number,
			    json_string(config_row_uuid(row)));
	return row;
}

static int set_vacancy(json_t *row, const char *text, struct error *error)
{
	char low_text[8] = "";
	const char *comma = strchr(text, ',');
	uint64_t low, high;

	if (comma && (size_t)(comma - text) < sizeof(low_text))
		memcpy(low_text, text, (size_t)(comma - text));
	if (!comma || parse_u64(low_text, &low) || parse_u64(comma + 1, &high) || low > high ||
	    high > 100)
		return error_set(error, EINVAL,
				 "vacancy:%.64s: two percentages are wanted, the lower one first: "
				 "vacancy:20,80",
				 text);
	json_object_set_new(row, "vacancy",
			    low == high ? json_pack("[I]", (json_int_t)low)
					: json_pack("[I, I]", (json_int_t)low, (json_int_t)high));
	return 0;
}

static int change_table(const struct handler_call *call, json_t *row, const char *setting,
			struct error *error)
{
	if (!strcmp(setting, "drop") || !strcmp(setting, "continue") ||
	    !strcmp(setting, "controller")) {
		json_object_set_new(row, "table_miss", json_string(setting));
		if (!strcmp(setting, "controller"))
			call_warn(call, "there is no controller in this version: the packets are "
					"counted under no-controller");
	} else if (!strcmp(setting, "evict") || !strcmp(setting, "noevict")) {
		json_object_set_new(row, "eviction", json_boolean(*setting == 'e'));
	} else if (!strcmp(setting, "novacancy")) {
		json_object_set_new(row, "vacancy", json_array());
	} else if (!strncmp(setting, "vacancy:", 8)) {
		return set_vacancy(row, setting + 8, error);
	} else if (!strncmp(setting, "name:", 5)) {
		json_object_set_new(row, "name",
				    setting[5] ? json_string(setting + 5) : json_null());
	} else {
		return error_set(error, EINVAL,
				 "'%.64s' is no setting of a table: drop, continue, controller, "
				 "evict, noevict, vacancy:LOW,HIGH, novacancy and name:NAME are",
				 setting);
	}
	return 0;
}

int handle_table_modify(const struct handler_call *call, json_t **result, struct error *error)
{
	struct config *config = call->transaction->config;
	json_t *bridge = call_bridge(call, call_arg(call, 0), error);
	char number[4];
	int failed;

	(void)result;
	if (!bridge)
		return -ENOENT;
	failed = find_table(config, bridge, call_arg(call, 1), number, error);
	if (failed)
		return failed;
	return change_table(call, edit_table(config, bridge, number), call_arg(call, 2), error);
}
