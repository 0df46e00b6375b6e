// Commands that tell of flow tables and of what the switch can do.
#include "ctl/switch_bridge.h"

#include "common/error.h"
#include "common/text.h"
#include "flowtable/action.h"
#include "ofproto/group.h"
#include "ofproto/table_config.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static void set_number(json_t *object, const char *key, uint64_t number)
{
	json_object_set_new(object, key, json_integer((json_int_t)number));
}

// How the tables are searched, and what that costs.
static json_t *describe_cost(const struct bridge *bridge)
{
	struct table_part parts[64];
	json_t *result = json_array();

	for (unsigned int id = 0; id < N_TABLES; id++) {
		const struct table *table = bridge_table(bridge, (uint8_t)id);
		json_t *list = json_array();
		unsigned int n = table ? table_parts(table, parts, 64) : 0;

		json_int_t cycles = 0;

		if (n > 64)
			n = 64;
		for (unsigned int i = 0; i < n; i++)
			cycles += parts[i].cycles;
		for (unsigned int i = 0; i < n; i++) {
			json_t *part = json_pack(
				"{s:s, s:I, s:I, s:I, s:I, s:I}", "template",
				parts[i].template_name, "flows", (json_int_t)parts[i].n_flows,
				"masks", (json_int_t)parts[i].n_masks, "max_priority",
				(json_int_t)parts[i].max_priority, "memory",
				(json_int_t)parts[i].memory, "cycles", (json_int_t)parts[i].cycles);

			if (parts[i].field) {
				json_object_set_new(part, "field", json_string(parts[i].field));
				set_number(part, "values", parts[i].n_values);
			}
			json_array_append_new(list, part);
		}
		if (table)
			json_array_append_new(result, json_pack("{s:I, s:I, s:I, s:o}", "table",
								(json_int_t)id, "flows",
								(json_int_t)table_size(table),
								"cycles", cycles, "parts", list));
		else
			json_decref(list);
	}
	return result;
}

static json_t *describe_table(const struct bridge *bridge, uint8_t id)
{
	const struct table_config *config = bridge_table_config(bridge, id);
	const struct table *table = bridge_table(bridge, id);
	struct table_counts counts;
	json_t *object = json_object();

	bridge_table_counts(bridge, id, &counts);
	set_number(object, "table", id);
	if (*config->name)
		json_object_set_new(object, "name", json_string(config->name));
	set_number(object, "active", table ? table_size(table) : 0);
	set_number(object, "lookup", counts.lookups);
	set_number(object, "matched", counts.matches);
	set_number(object, "max_entries", config->has_limit ? config->limit : TABLE_MOST_FLOWS);
	set_number(object, "evicted", counts.evicted);
	set_number(object, "refused", counts.refused);
	return object;
}

int handle_table_dump(const struct handler_call *call, json_t **result, struct error *error)
{
	struct bridge *bridge = call_switch_bridge(call, error);

	if (!bridge)
		return -ENOENT;
	if (call_flag(call, "cost")) {
		*result = describe_cost(bridge);
		return 0;
	}
	*result = json_array();
	for (unsigned int id = 0; id < N_TABLES; id++)
		json_array_append_new(*result, describe_table(bridge, (uint8_t)id));
	return 0;
}

// --- Configuration ---

static const char *miss_text(uint8_t miss)
{
	static const char *const texts[] = { "default", "continue", "controller", "drop" };

	return texts[miss];
}

// OpenFlow 1.4 section 7.3.4.1: how many percent of the table are free.
static json_int_t vacancy_of(const struct bridge *bridge, uint8_t id)
{
	const struct table_config *config = bridge_table_config(bridge, id);
	const struct table *table = bridge_table(bridge, id);
	const uint64_t most = config->has_limit ? config->limit : TABLE_MOST_FLOWS;
	const uint64_t used = table ? table_size(table) : 0;

	return used >= most ? 0 : (json_int_t)((most - used) * 100 / most);
}

static json_t *describe_config(const struct bridge *bridge, uint8_t id)
{
	const struct table_config *config = bridge_table_config(bridge, id);
	json_t *object = json_object();

	set_number(object, "table", id);
	if (*config->name)
		json_object_set_new(object, "name", json_string(config->name));
	json_object_set_new(object, "eviction", json_boolean(config->evicts));
	json_object_set_new(object, "table_miss", json_string(miss_text(config->miss)));
	if (config->has_limit)
		set_number(object, "flow_limit", config->limit);
	if (config->max_cycles)
		set_number(object, "max_lookup_cycles", config->max_cycles);
	if (config->has_vacancy)
		json_object_set_new(object, "vacancy",
				    json_pack("{s:i, s:i, s:I}", "down", config->vacancy_low, "up",
					      config->vacancy_high, "now", vacancy_of(bridge, id)));
	return object;
}

int handle_table_dump_desc(const struct handler_call *call, json_t **result, struct error *error)
{
	struct bridge *bridge = call_switch_bridge(call, error);

	if (!bridge)
		return -ENOENT;
	*result = json_array();
	for (unsigned int id = 0; id < N_TABLES; id++)
		json_array_append_new(*result, describe_config(bridge, (uint8_t)id));
	return 0;
}

// --- Features: the same for every table ---

static json_t *list_actions(bool for_sets)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < N_OPS; i++)
		if (action_kinds[i].place == PLACE_APPLY && (!for_sets || action_kinds[i].in_set) &&
		    (!i || strcmp(action_kinds[i].name, action_kinds[i - 1].name) != 0))
			json_array_append_new(list, json_string(action_kinds[i].name));
	return list;
}

static json_t *list_fields(bool (*wanted)(const struct field *field))
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < N_FIELDS; i++)
		if (wanted(&fields[i]))
			json_array_append_new(list, json_string(fields[i].name));
	return list;
}

static bool is_writable(const struct field *field)
{
	return field->writable;
}

static bool takes_any_mask(const struct field *field)
{
	return field->maskable == FIELD_MASK_ANY;
}

static bool is_exact(const struct field *field)
{
	return field->maskable != FIELD_MASK_ANY;
}

static json_t *list_instructions(void)
{
	return json_pack("[s, s, s, s, s, s]", "meter", "apply_actions", "clear_actions",
			 "write_actions", "write_metadata", "goto_table");
}

int handle_table_dump_features(const struct handler_call *call, json_t **result,
			       struct error *error)
{
	struct bridge *bridge = call_switch_bridge(call, error);
	json_t *tables = json_array();

	if (!bridge) {
		json_decref(tables);
		return -ENOENT;
	}
	for (unsigned int id = 0; id < N_TABLES; id++)
		json_array_append_new(tables, describe_table(bridge, (uint8_t)id));
	*result = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "tables", tables, "instructions",
			    list_instructions(), "apply_actions", list_actions(false),
			    "write_actions", list_actions(true), "set_field",
			    list_fields(is_writable), "match_masked", list_fields(takes_any_mask),
			    "match_exact", list_fields(is_exact));
	return 0;
}

// --- The switch ---

int handle_switch_desc(const struct handler_call *call, json_t **result, struct error *error)
{
	struct bridge *bridge = call_switch_bridge(call, error);

	if (!bridge)
		return -ENOENT;
	*result = json_pack("{s:s, s:s, s:s, s:s, s:s}", "manufacturer", "vswitchd", "hardware",
			    "DPDK", "software", VERSION, "serial", "None", "datapath",
			    bridge_name(bridge));
	return 0;
}

int handle_group_features(const struct handler_call *call, json_t **result, struct error *error)
{
	struct bridge *bridge = call_switch_bridge(call, error);
	static const char *const types[] = { "all", "select", "indirect", "fast_failover" };
	json_t *list = json_array();

	if (!bridge) {
		json_decref(list);
		return -ENOENT;
	}
	for (unsigned int i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		json_array_append_new(list, json_pack("{s:s, s:I, s:o}", "type", types[i],
						      "max_groups", (json_int_t)GROUP_MAX_GROUPS,
						      "actions", list_actions(true)));
	*result = json_pack("{s:[s, s, s, s], s:o}", "capabilities", "select_weight",
			    "select_liveness", "chaining", "chaining_checks", "types", list);
	return 0;
}
