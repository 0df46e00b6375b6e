// The database commands of ovs-vsctl(8): they work on any table alike.
#include "ctl/record.h"

#include "common/error.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The row that arguments 0 and 1 name, to read. NULL and no error: absent, and --if-exists.
static json_t *find_row(const struct handler_call *call, const struct schema_table **table,
			struct error *error)
{
	json_t *row;

	*table = schema_table_find(call_arg(call, 0), error);
	if (!*table)
		return NULL;
	row = config_record(call->transaction->config, *table, call_arg(call, 1), error);
	if (!row && call_flag(call, "if-exists"))
		error_clear(error);
	return row;
}

static json_t *edit_row(const struct handler_call *call, const struct schema_table **table,
			struct error *error)
{
	json_t *row = find_row(call, table, error);

	return row ? config_edit(call->transaction->config, (*table)->id, config_row_uuid(row))
		   : NULL;
}

// A copy of the row with its status columns filled in.
static json_t *row_with_status(const struct handler_call *call, const struct schema_table *table,
			       const json_t *row)
{
	const struct apply_ops *apply = call->transaction->control->apply;
	json_t *copy = json_deep_copy(row);

	apply->fill_status(apply->context, table, copy);
	return copy;
}

static int compare_columns(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

// The columns to show: those of --columns in that order, or all by name, _uuid first.
static int choose_columns(const struct handler_call *call, const struct schema_table *table,
			  json_t **columns, struct error *error)
{
	const char *option = call_option(call, "columns");
	const char **names;
	unsigned int n = table->n_columns;

	*columns = json_array();
	if (option) {
		char *copy = strdup(option);
		char *save = NULL;

		for (char *name = strtok_r(copy, ", ", &save); name;
		     name = strtok_r(NULL, ", ", &save)) {
			const struct schema_column *column = schema_column_find(table, name, error);

			if (!column) {
				free(copy);
				return -ENOENT;
			}
			json_array_append_new(*columns, json_string(column->name));
		}
		free(copy);
		return 0;
	}
	names = calloc(n, sizeof(*names));
	for (unsigned int i = 0; names && i < n; i++)
		names[i] = table->columns[i].name;
	if (names)
		qsort(names, n, sizeof(*names), compare_columns);
	json_array_append_new(*columns, json_string("_uuid"));
	for (unsigned int i = 0; names && i < n; i++)
		json_array_append_new(*columns, json_string(names[i]));
	free(names);
	return 0;
}

static json_t *project(const json_t *row, const json_t *columns)
{
	json_t *chosen = json_object();
	json_t *name;
	size_t i;

	json_array_foreach ((json_t *)columns, i, name)
		json_object_set(chosen, json_string_value(name),
				json_object_get(row, json_string_value(name)));
	return chosen;
}

static json_t *make_listing(const struct schema_table *table, json_t *columns, json_t *rows)
{
	json_t *chosen = json_array();
	json_t *row;
	size_t i;

	json_array_foreach (rows, i, row)
		json_array_append_new(chosen, project(row, columns));
	json_decref(rows);
	return json_pack("{s:s, s:o, s:o}", "table", table->name, "columns", columns, "rows",
			 chosen);
}

int handle_record_list(const struct handler_call *call, json_t **result, struct error *error)
{
	const struct config *config = call->transaction->config;
	const struct schema_table *table = schema_table_find(call_arg(call, 0), error);
	json_t *columns, *row;
	json_t *rows;
	const char *uuid;

	if (!table)
		return -ENOENT;
	if (choose_columns(call, table, &columns, error)) {
		json_decref(columns);
		return -ENOENT;
	}
	rows = json_array();
	if (call_n_args(call) == 1)
		json_object_foreach (config_rows(config, table->id), uuid, row)
			json_array_append_new(rows, row_with_status(call, table, row));
	for (size_t i = 1; i < call_n_args(call); i++) {
		row = config_record(config, table, call_arg(call, i), error);
		if (row) {
			json_array_append_new(rows, row_with_status(call, table, row));
		} else if (!call_flag(call, "if-exists")) {
			json_decref(rows);
			json_decref(columns);
			return -ENOENT;
		}
	}
	*result = make_listing(table, columns, rows);
	return 0;
}

// 1 if the row satisfies all conditions.
static int matches_all(const struct handler_call *call, const struct schema_table *table,
		       const json_t *row, struct error *error)
{
	struct schema_names names = call_names(call);

	for (size_t i = 1; i < call_n_args(call); i++) {
		struct record_column condition;
		int result = record_parse_column(table, call_arg(call, i), RECORD_CONDITIONS,
						 &condition, error);

		if (!result)
			result = record_matches(row, &condition, &names, error);
		record_column_release(&condition);
		if (result <= 0)
			return result;
	}
	return 1;
}

int handle_record_find(const struct handler_call *call, json_t **result, struct error *error)
{
	const struct schema_table *table = schema_table_find(call_arg(call, 0), error);
	json_t *columns, *row, *rows;
	const char *uuid;
	int matches;

	if (!table)
		return -ENOENT;
	matches = choose_columns(call, table, &columns, error);
	if (!matches) {
		// Wrong conditions are wrong on an empty table too.
		row = config_insert(call->transaction->config, table->id, NULL);
		matches = matches_all(call, table, row, error);
		config_delete(call->transaction->config, table->id, config_row_uuid(row));
	}
	if (matches < 0) {
		json_decref(columns);
		return matches;
	}
	rows = json_array();
	json_object_foreach (config_rows(call->transaction->config, table->id), uuid, row) {
		json_t *copy = row_with_status(call, table, row);

		matches = matches_all(call, table, copy, error);
		if (matches > 0)
			json_array_append(rows, copy);
		json_decref(copy);
	}
	*result = make_listing(table, columns, rows);
	return 0;
}

// One value of `get`: {"column", "key"?, "value"}.
static int get_value(const struct handler_call *call, const struct schema_table *table,
		     const json_t *row, const char *word, json_t *values, struct error *error)
{
	struct record_column column;
	json_t *value = NULL;
	int result = record_parse_column(table, word, "", &column, error);

	if (!result) {
		value = json_object_get(row, column.column->name);
		if (column.key)
			value = json_object_get(value, json_string_value(column.key));
		if (!value && !call_flag(call, "if-exists"))
			result = error_set(error, ENOENT,
					   "row '%s' of table %s has no key '%s' in column %s",
					   call_arg(call, 1), table->name,
					   json_string_value(column.key), column.column->name);
	}
	if (!result) {
		json_t *entry = json_pack("{s:s}", "column", column.column->name);

		if (column.key)
			json_object_set(entry, "key", column.key);
		if (value)
			json_object_set(entry, "value", value);
		json_array_append_new(values, entry);
	}
	record_column_release(&column);
	return result;
}

// --id=@name: remember the row's UUID under the name.
static int define_name(const struct handler_call *call, const char *uuid, struct error *error)
{
	struct transaction *transaction = call->transaction;
	const char *name = call_option(call, "id");

	if (!name)
		return 0;
	if (name[0] != '@')
		return error_set(error, EINVAL, "--id takes @NAME, not '%.64s'", name);
	if (json_object_get(transaction->names, name) &&
	    strcmp(json_string_value(json_object_get(transaction->names, name)), uuid))
		return error_set(error, EEXIST, "'%.64s' is given twice, or used before get", name);
	if (json_object_set_new(transaction->names, name, json_string(uuid)))
		return error_set(error, EINVAL, "'%.64s' is not a valid name", name);
	json_object_set_new(transaction->created, uuid, json_true());
	return 0;
}

int handle_record_get(const struct handler_call *call, json_t **result, struct error *error)
{
	const struct schema_table *table;
	json_t *row = find_row(call, &table, error);
	json_t *copy, *values;
	int failed;

	if (!row)
		return -error->code;
	failed = define_name(call, config_row_uuid(row), error);
	if (failed)
		return failed;
	copy = row_with_status(call, table, row);
	values = json_array();
	for (size_t i = 2; !failed && i < call_n_args(call); i++)
		failed = get_value(call, table, copy, call_arg(call, i), values, error);
	*result = json_pack("{s:s, s:o}", "table", table->name, "values", values);
	json_decref(copy);
	return failed;
}

static int set_columns(const struct handler_call *call, const struct schema_table *table,
		       json_t *row, size_t first, struct error *error)
{
	struct schema_names names = call_names(call);

	for (size_t i = first; i < call_n_args(call); i++) {
		struct record_column column;
		int result = record_parse_column(table, call_arg(call, i), "=", &column, error);

		if (!result)
			result = record_set(call, table, row, &column, &names, error);
		record_column_release(&column);
		if (result)
			return result;
	}
	return 0;
}

int handle_record_set(const struct handler_call *call, json_t **result, struct error *error)
{
	const struct schema_table *table;
	json_t *row = edit_row(call, &table, error);

	(void)result;
	return row ? set_columns(call, table, row, 2, error) : -error->code;
}

// The column that argument 2 names, if it may be changed element by element.
static const struct schema_column *changing_column(const struct handler_call *call,
						   const struct schema_table *table,
						   const char *name, struct error *error)
{
	const struct schema_column *column = schema_column_find(table, name, error);

	if (!column)
		return NULL;
	if (column->flags & (SCHEMA_STATUS | SCHEMA_FIXED)) {
		error_set(error, EPERM, "column %s of table %s cannot be changed", column->name,
			  table->name);
		return NULL;
	}
	if (column->flags & SCHEMA_LATER)
		call_warn(call, "column %s of table %s is kept, but has no effect in this version",
			  column->name, table->name);
	return column;
}

// Put a set of elements back into the form that the column has in a row.
static int store_elements(const struct schema_column *column, json_t *row, json_t *elements,
			  struct error *error)
{
	json_t *value = elements;
	int result;

	if (schema_is_scalar(column)) {
		if (json_array_size(elements) > 1) {
			json_decref(elements);
			return error_set(error, EINVAL, "column %s takes one value", column->name);
		}
		value = json_array_size(elements) ? json_incref(json_array_get(elements, 0))
						  : json_null();
		json_decref(elements);
	}
	result = schema_check(column, value, error);
	if (result)
		json_decref(value);
	else
		json_object_set_new(row, column->name, value);
	return result;
}

static int add_elements(const struct schema_column *column, json_t *row, const json_t *more,
			struct error *error)
{
	json_t *value = json_object_get(row, column->name);
	json_t *elements, *element;
	const char *key;
	size_t i;

	if (schema_is_map(column)) {
		json_object_foreach ((json_t *)more, key, element)
			if (!json_object_get(value, key))
				json_object_set(value, key, element);
		return schema_check(column, value, error);
	}
	elements = schema_elements(column, value);
	json_array_foreach ((json_t *)more, i, element)
		if (!record_contains(elements, element))
			json_array_append(elements, element);
	return store_elements(column, row, elements, error);
}

static int remove_elements(const struct schema_column *column, json_t *row, const json_t *less,
			   struct error *error)
{
	json_t *value = json_object_get(row, column->name);
	json_t *elements, *kept, *element;
	const char *key;
	size_t i;

	if (schema_is_map(column)) {
		json_object_foreach ((json_t *)less, key, element)
			if (json_is_null(element) ||
			    json_equal(json_object_get(value, key), element))
				json_object_del(value, key);
		return 0;
	}
	elements = schema_elements(column, value);
	kept = json_array();
	json_array_foreach (elements, i, element)
		if (!record_contains(less, element))
			json_array_append(kept, element);
	json_decref(elements);
	return store_elements(column, row, kept, error);
}

static int change_elements(const struct handler_call *call, bool add, struct error *error)
{
	struct schema_names names = call_names(call);
	const struct schema_column *column;
	const struct schema_table *table;
	json_t *row = edit_row(call, &table, error);
	int result = 0;

	if (!row)
		return -error->code;
	column = changing_column(call, table, call_arg(call, 2), error);
	if (!column)
		return -error->code;
	for (size_t i = 3; !result && i < call_n_args(call); i++) {
		json_t *elements;

		result = schema_parse_elements(column, call_arg(call, i), !add, &names, &elements,
					       error);
		if (result)
			break;
		result = add ? add_elements(column, row, elements, error)
			     : remove_elements(column, row, elements, error);
		json_decref(elements);
	}
	return result;
}

int handle_record_add(const struct handler_call *call, json_t **result, struct error *error)
{
	(void)result;
	return change_elements(call, true, error);
}

int handle_record_remove(const struct handler_call *call, json_t **result, struct error *error)
{
	(void)result;
	return change_elements(call, false, error);
}

int handle_record_clear(const struct handler_call *call, json_t **result, struct error *error)
{
	const struct schema_table *table;
	json_t *row = edit_row(call, &table, error);

	(void)result;
	if (!row)
		return -error->code;
	for (size_t i = 2; i < call_n_args(call); i++) {
		const struct schema_column *column =
			changing_column(call, table, call_arg(call, i), error);

		if (!column)
			return -error->code;
		if (column->min > 0)
			return error_set(error, EINVAL, "column %s of table %s must have a value",
					 column->name, table->name);
		json_object_set_new(row, column->name, schema_default(column));
	}
	return 0;
}

int handle_record_create(const struct handler_call *call, json_t **result, struct error *error)
{
	struct config *config = call->transaction->config;
	struct schema_names names = call_names(call);
	const struct schema_table *table = schema_table_find(call_arg(call, 0), error);
	const char *id = call_option(call, "id");
	char uuid[SCHEMA_UUID_SIZE];
	json_t *row;
	int failed;

	if (!table)
		return -ENOENT;
	if (id && schema_is_uuid(id)) {
		snprintf(uuid, sizeof(uuid), "%s", id);
	} else if (id) {
		failed = names.resolve(names.context, id, uuid, error);
		if (!failed)
			failed = define_name(call, uuid, error);
		if (failed)
			return failed;
	} else {
		config_make_uuid(uuid);
	}
	if (config_row(config, table->id, uuid))
		return error_set(error, EEXIST, "'%.64s' is given to two rows", id);
	row = config_insert(config, table->id, uuid);
	*result = json_pack("{s:s}", "uuid", uuid);
	return set_columns(call, table, row, 1, error);
}

static int destroy_row(const struct handler_call *call, const struct schema_table *table,
		       const char *uuid, struct error *error)
{
	if (table->flags & SCHEMA_SINGLE)
		return error_set(error, EPERM, "the row of table %s cannot be destroyed",
				 table->name);
	config_delete(call->transaction->config, table->id, uuid);
	return 0;
}

int handle_record_destroy(const struct handler_call *call, json_t **result, struct error *error)
{
	struct config *config = call->transaction->config;
	const struct schema_table *table = schema_table_find(call_arg(call, 0), error);
	const char *uuid;
	json_t *row;
	void *next;
	int failed = 0;

	(void)result;
	if (!table)
		return -ENOENT;
	if (call_flag(call, "all")) {
		if (call_n_args(call) > 1)
			return error_set(error, EINVAL, "--all and RECORD exclude each other");
		json_object_foreach_safe(config_rows(config, table->id), next, uuid, row)
		{
			failed = destroy_row(call, table, uuid, error);
			if (failed)
				return failed;
		}
		return 0;
	}
	for (size_t i = 1; !failed && i < call_n_args(call); i++) {
		row = config_record(config, table, call_arg(call, i), error);
		if (row)
			failed = destroy_row(call, table, config_row_uuid(row), error);
		else if (!call_flag(call, "if-exists"))
			failed = -ENOENT;
	}
	return failed;
}
