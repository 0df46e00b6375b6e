// The configuration as a whole: which rows are alive, and do they make sense together.
#include "ctl/config.h"

#include "common/error.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#define MAX_NAME 63

// Call `visit` for each UUID that the column's value holds.
typedef int (*ref_visitor)(void *context, const struct schema_column *column, const char *uuid);

static int visit_refs(const json_t *row, const struct schema_column *column, ref_visitor visit,
		      void *context)
{
	json_t *value = json_object_get(row, column->name);
	const char *key;
	json_t *ref;
	size_t i;
	int result = 0;

	if (!column->ref)
		return 0;
	if (json_is_string(value))
		return visit(context, column, json_string_value(value));
	json_array_foreach (value, i, ref) {
		result = visit(context, column, json_string_value(ref));
		if (result)
			return result;
	}
	json_object_foreach (value, key, ref) {
		result = visit(context, column, json_string_value(ref));
		if (result)
			return result;
	}
	return result;
}

static const struct schema_table *ref_table(const struct schema_column *column)
{
	return schema_table_find(column->ref, NULL);
}

struct marking {
	const struct config *config;
	json_t *alive; // UUIDs that are reached
};

static void mark_row(struct marking *marking, const struct schema_table *table, const json_t *row);

static int mark_ref(void *context, const struct schema_column *column, const char *uuid)
{
	struct marking *marking = context;
	const struct schema_table *table = ref_table(column);
	json_t *row = config_row(marking->config, table->id, uuid);

	if (!column->weak && row)
		mark_row(marking, table, row);
	return 0;
}

// The depth is that of the schema (Open_vSwitch, Bridge, Port, Interface), never of the data.
static void mark_row(struct marking *marking, const struct schema_table *table, const json_t *row)
{
	const char *uuid = config_row_uuid(row);

	if (json_object_get(marking->alive, uuid))
		return;
	json_object_set_new(marking->alive, uuid, json_true());
	for (unsigned int i = 0; i < table->n_columns; i++)
		visit_refs(row, &table->columns[i], mark_ref, marking);
}

static void mark_roots(struct marking *marking)
{
	const char *uuid;
	json_t *row;

	for (int i = 0; i < N_SCHEMA_TABLES; i++)
		if (schema_tables[i].flags & SCHEMA_ROOT)
			json_object_foreach (marking->config->tables[i], uuid, row)
				mark_row(marking, &schema_tables[i], row);
}

// Remove weak references of one column to rows that are gone.
static void drop_weak(struct config *config, enum schema_table_id id, const char *uuid,
		      const struct schema_column *column)
{
	const struct schema_table *target = ref_table(column);
	json_t *value = json_object_get(config_row(config, id, uuid), column->name);

	if (json_is_string(value)) {
		if (!config_row(config, target->id, json_string_value(value)))
			json_object_set_new(config_edit(config, id, uuid), column->name,
					    json_null());
		return;
	}
	for (size_t i = json_array_size(value); i-- > 0;) {
		const char *ref = json_string_value(json_array_get(value, i));

		if (config_row(config, target->id, ref))
			continue;
		value = json_object_get(config_edit(config, id, uuid), column->name);
		json_array_remove(value, i);
	}
}

void config_collect(struct config *config)
{
	struct marking marking = { .config = config, .alive = json_object() };
	const char *uuid;
	json_t *row;
	void *next;

	mark_roots(&marking);
	for (int i = 0; i < N_SCHEMA_TABLES; i++)
		json_object_foreach_safe(config->tables[i], next, uuid,
					 row) if (!json_object_get(marking.alive, uuid))
			json_object_del(config->tables[i], uuid);
	json_decref(marking.alive);
	for (int i = 0; i < N_SCHEMA_TABLES; i++)
		for (unsigned int c = 0; c < schema_tables[i].n_columns; c++)
			if (schema_tables[i].columns[c].weak)
				json_object_foreach_safe(config->tables[i], next, uuid, row)
					drop_weak(config, (enum schema_table_id)i, uuid,
						  &schema_tables[i].columns[c]);
}

static int check_name(const struct schema_table *table, const char *name, struct error *error)
{
	size_t length = strlen(name);

	if (!length)
		return error_set(error, EINVAL, "a row of table %s needs a name", table->name);
	if (length > MAX_NAME)
		return error_set(error, EINVAL, "name '%.80s' is longer than %d bytes", name,
				 MAX_NAME);
	for (const char *p = name; *p; p++)
		if (!isgraph((unsigned char)*p) || strchr("/\"',=()[]{}", *p))
			return error_set(
				error, EINVAL,
				"name '%.80s': letters, digits and . _ - : @ + may be in a "
				"name, not '%c'",
				name, isprint((unsigned char)*p) ? *p : '?');
	return 0;
}

static const char *kind_text(enum schema_table_id id)
{
	switch (id) {
	case TABLE_Bridge:
		return "bridge";
	case TABLE_Port:
		return "port";
	default:
		return "interface";
	}
}

static int check_names(const struct config *config, enum schema_table_id id, struct error *error)
{
	json_t *seen = json_object();
	const char *uuid;
	json_t *row;
	int result = 0;

	json_object_foreach (config->tables[id], uuid, row) {
		const char *name = config_string(row, "name");

		result = check_name(&schema_tables[id], name, error);
		if (!result && json_object_get(seen, name))
			result = error_set(error, EEXIST, "%s '%s' already exists", kind_text(id),
					   name);
		if (result)
			break;
		json_object_set_new(seen, name, json_true());
	}
	json_decref(seen);
	return result;
}

struct ref_check {
	const struct config *config;
	const struct schema_table *table;
	const json_t *row;
	struct error *error;
};

static int check_ref(void *context, const struct schema_column *column, const char *uuid)
{
	struct ref_check *check = context;

	if (config_row(check->config, ref_table(column)->id, uuid))
		return 0;
	return error_set(check->error, ENOENT,
			 "column %s of row %s in table %s refers to row %s of table %s, which does "
			 "not exist",
			 column->name, config_row_uuid(check->row), check->table->name, uuid,
			 column->ref);
}

static int check_refs(const struct config *config, const struct schema_table *table,
		      struct error *error)
{
	const char *uuid;
	json_t *row;

	json_object_foreach (config->tables[table->id], uuid, row) {
		struct ref_check check = { config, table, row, error };

		for (unsigned int i = 0; i < table->n_columns; i++) {
			const struct schema_column *column = &table->columns[i];
			int result = visit_refs(row, column, check_ref, &check);

			if (!result && column->min)
				result = schema_check(column, json_object_get(row, column->name),
						      error);
			if (result) {
				if (table->name_column)
					error_prefix(error, "%s '%s'", table->name,
						     config_string(row, table->name_column));
				return result;
			}
		}
	}
	return 0;
}

// Every row of `table` may be in `column` of one row of `owner` only.
static int check_single_owner(const struct config *config, enum schema_table_id owner,
			      const char *column, enum schema_table_id table, struct error *error)
{
	json_t *owners = json_object();
	const char *uuid;
	json_t *row;
	json_t *ref;
	size_t i;
	int result = 0;

	json_object_foreach (config->tables[owner], uuid, row) {
		json_array_foreach (json_object_get(row, column), i, ref) {
			const char *target = json_string_value(ref);
			const char *other = json_string_value(json_object_get(owners, target));

			if (other && !result)
				result = error_set(
					error, EEXIST, "%s '%s' belongs to both '%s' and '%s'",
					kind_text(table),
					config_string(config_row(config, table, target), "name"),
					other, config_string(row, "name"));
			json_object_set_new(owners, target,
					    json_string(config_string(row, "name")));
		}
	}
	json_decref(owners);
	return result;
}

static int check_interfaces(const struct config *config, struct error *error)
{
	const char *uuid;
	json_t *row;

	json_object_foreach (config->tables[TABLE_Port], uuid, row)
		if (json_array_size(json_object_get(row, "interfaces")) != 1)
			return error_set(error, ENOTSUP,
					 "port '%s' has %zu interfaces: bonds are not supported in "
					 "this version, a port has one",
					 config_string(row, "name"),
					 json_array_size(json_object_get(row, "interfaces")));
	return 0;
}

// A bridge has an internal port of its own name, where the host meets it.
static int check_local_ports(const struct config *config, struct error *error)
{
	const char *uuid;
	json_t *row;

	json_object_foreach (config->tables[TABLE_Bridge], uuid, row) {
		const char *name = config_string(row, "name");
		json_t *port = config_find(config, TABLE_Port, name);
		json_t *interface = config_find(config, TABLE_Interface, name);

		if (!port || !interface || config_bridge_of_port(config, port) != row ||
		    config_port_of_interface(config, interface) != port)
			return error_set(error, EINVAL,
					 "bridge '%s' needs a port and an interface of its own "
					 "name: 'vsctl add-br' makes them, 'vsctl del-br' removes "
					 "all three",
					 name);
		if (strcmp(config_string(interface, "type"), "internal"))
			return error_set(error, EINVAL,
					 "interface '%s' is the bridge's own: its type must be "
					 "internal, not '%s'",
					 name, config_string(interface, "type"));
	}
	return 0;
}

static int check_singles(const struct config *config, struct error *error)
{
	for (int i = 0; i < N_SCHEMA_TABLES; i++) {
		const struct schema_table *table = &schema_tables[i];
		size_t n = json_object_size(config->tables[i]);

		if ((table->flags & SCHEMA_SINGLE && n != 1) ||
		    (table->flags & SCHEMA_SINGLE_AT_MOST && n > 1))
			return error_set(error, EINVAL, "table %s has one row, not %zu",
					 table->name, n);
	}
	return 0;
}

int config_validate(const struct config *config, struct error *error)
{
	int result = check_singles(config, error);

	for (int i = TABLE_Bridge; !result && i <= TABLE_Interface; i++)
		result = check_names(config, (enum schema_table_id)i, error);
	for (int i = 0; !result && i < N_SCHEMA_TABLES; i++)
		result = check_refs(config, &schema_tables[i], error);
	if (!result)
		result = check_single_owner(config, TABLE_Bridge, "ports", TABLE_Port, error);
	if (!result)
		result = check_single_owner(config, TABLE_Port, "interfaces", TABLE_Interface,
					    error);
	if (!result)
		result = check_interfaces(config, error);
	if (!result)
		result = check_local_ports(config, error);
	return result;
}
