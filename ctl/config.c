#include "ctl/config.h"

#include "common/error.h"
#include "common/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#define MIN_UUID_DIGITS 4

struct config *config_create_empty(void)
{
	struct config *config = calloc(1, sizeof(*config));

	if (!config)
		return NULL;
	for (int i = 0; i < N_SCHEMA_TABLES; i++) {
		config->tables[i] = json_object();
		if (!config->tables[i]) {
			config_free(config);
			return NULL;
		}
	}
	return config;
}

struct config *config_create(void)
{
	struct config *config = config_create_empty();

	if (config && !config_insert(config, TABLE_Open_vSwitch, NULL)) {
		config_free(config);
		return NULL;
	}
	return config;
}

struct config *config_copy(const struct config *base)
{
	struct config *config = calloc(1, sizeof(*config));

	if (!config)
		return NULL;
	config->base = base;
	for (int i = 0; i < N_SCHEMA_TABLES; i++) {
		config->tables[i] = json_copy(base->tables[i]);
		if (!config->tables[i]) {
			config_free(config);
			return NULL;
		}
	}
	return config;
}

void config_free(struct config *config)
{
	if (!config)
		return;
	for (int i = 0; i < N_SCHEMA_TABLES; i++)
		json_decref(config->tables[i]);
	free(config);
}

json_t *config_rows(const struct config *config, enum schema_table_id table)
{
	return config->tables[table];
}

json_t *config_row(const struct config *config, enum schema_table_id table, const char *uuid)
{
	return json_object_get(config->tables[table], uuid);
}

const char *config_row_uuid(const json_t *row)
{
	return json_string_value(json_object_get(row, "_uuid"));
}

json_t *config_edit(struct config *config, enum schema_table_id table, const char *uuid)
{
	json_t *row = config_row(config, table, uuid);

	if (!row || !config->base || row != config_row(config->base, table, uuid))
		return row;
	row = json_deep_copy(row);
	if (json_object_set_new(config->tables[table], uuid, row))
		return NULL;
	return row;
}

void config_make_uuid(char uuid[SCHEMA_UUID_SIZE])
{
	static const char digits[] = "0123456789abcdef";
	uint8_t bytes[16] = { 0 };
	char *p = uuid;

	if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = (uint8_t)random();
	bytes[6] = (bytes[6] & 0x0f) | 0x40; // version 4, RFC 4122 section 4.4
	bytes[8] = (bytes[8] & 0x3f) | 0x80;
	for (size_t i = 0; i < sizeof(bytes); i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*p++ = '-';
		*p++ = digits[bytes[i] >> 4];
		*p++ = digits[bytes[i] & 15];
	}
	*p = '\0';
}

json_t *config_insert(struct config *config, enum schema_table_id table, const char *uuid)
{
	const struct schema_table *schema = &schema_tables[table];
	char made[SCHEMA_UUID_SIZE];
	json_t *row = json_object();

	if (!uuid) {
		config_make_uuid(made);
		uuid = made;
	}
	json_object_set_new(row, "_uuid", json_string(uuid));
	for (unsigned int i = 0; i < schema->n_columns; i++)
		json_object_set_new(row, schema->columns[i].name,
				    schema_default(&schema->columns[i]));
	if (json_object_set_new(config->tables[table], uuid, row))
		return NULL;
	return row;
}

void config_delete(struct config *config, enum schema_table_id table, const char *uuid)
{
	json_object_del(config->tables[table], uuid);
}

const char *config_string(const json_t *row, const char *column)
{
	const char *string = json_string_value(json_object_get(row, column));

	return string ? string : "";
}

const char *config_key(const json_t *row, const char *column, const char *key)
{
	return json_string_value(json_object_get(json_object_get(row, column), key));
}

json_t *config_find(const struct config *config, enum schema_table_id table, const char *name)
{
	const char *column = schema_tables[table].name_column;
	const char *uuid;
	json_t *row;

	if (!column)
		return NULL;
	json_object_foreach (config->tables[table], uuid, row)
		if (!strcmp(config_string(row, column), name))
			return row;
	return NULL;
}

json_t *config_single(const struct config *config, enum schema_table_id table)
{
	void *first = json_object_iter(config->tables[table]);

	return first ? json_object_iter_value(first) : NULL;
}

static json_t *find_by_digits(const struct config *config, const struct schema_table *table,
			      const char *digits, struct error *error)
{
	json_t *found = NULL;
	const char *uuid;
	json_t *row;

	if (strlen(digits) < MIN_UUID_DIGITS)
		return NULL;
	json_object_foreach (config->tables[table->id], uuid, row) {
		if (strncasecmp(uuid, digits, strlen(digits)))
			continue;
		if (found) {
			error_set(error, EINVAL,
				  "'%s' is the beginning of several UUIDs in table %s", digits,
				  table->name);
			return NULL;
		}
		found = row;
	}
	return found;
}

// "no row 'x' in table T; there are: a, b", with the nearest name where there is one.
static void explain_record(const struct config *config, const struct schema_table *table,
			   const char *record, struct error *error)
{
	const char *names[256] = { NULL };
	struct text list = { 0 };
	const char *nearest;
	unsigned int n = 0;
	const char *uuid;
	json_t *row;

	if (table->name_column)
		json_object_foreach (config->tables[table->id], uuid, row)
			if (n < 256)
				names[n++] = config_string(row, table->name_column);
	nearest = text_nearest(record, names, n);
	for (unsigned int i = 0; i < n && i < 20; i++)
		text_addf(&list, "%s%s", i ? ", " : "", names[i]);
	if (n > 20)
		text_add(&list, ", ...");
	if (nearest)
		error_set(error, ENOENT, "no row '%s' in table %s; did you mean '%s'?", record,
			  table->name, nearest);
	else if (n)
		error_set(error, ENOENT, "no row '%s' in table %s; rows: %s", record, table->name,
			  list.data);
	else
		error_set(error, ENOENT, "no row '%s' in table %s", record, table->name);
	text_free(&list);
}

json_t *config_record(const struct config *config, const struct schema_table *table,
		      const char *record, struct error *error)
{
	json_t *row = NULL;

	error_clear(error);
	if (!strcmp(record, ".") && json_object_size(config->tables[table->id]) == 1)
		return config_single(config, table->id);
	row = config_find(config, table->id, record);
	if (!row)
		row = find_by_digits(config, table, record, error);
	if (!row && !(error && error->code))
		explain_record(config, table, record, error);
	return row;
}

static bool refers(const json_t *row, const char *column, const char *uuid)
{
	json_t *refs = json_object_get(row, column);
	json_t *ref;
	size_t i;

	json_array_foreach (refs, i, ref)
		if (!strcmp(json_string_value(ref), uuid))
			return true;
	return false;
}

static json_t *find_referrer(const struct config *config, enum schema_table_id table,
			     const char *column, const json_t *target)
{
	const char *target_uuid = config_row_uuid(target);
	const char *uuid;
	json_t *row;

	json_object_foreach (config->tables[table], uuid, row)
		if (refers(row, column, target_uuid))
			return row;
	return NULL;
}

json_t *config_bridge_of_port(const struct config *config, const json_t *port)
{
	return find_referrer(config, TABLE_Bridge, "ports", port);
}

json_t *config_port_of_interface(const struct config *config, const json_t *interface)
{
	return find_referrer(config, TABLE_Port, "interfaces", interface);
}

void config_add_ref(struct config *config, enum schema_table_id table, const char *uuid,
		    const char *column, const char *target)
{
	json_t *row = config_edit(config, table, uuid);

	if (row && !refers(row, column, target))
		json_array_append_new(json_object_get(row, column), json_string(target));
}

void config_remove_ref(struct config *config, enum schema_table_id table, const char *uuid,
		       const char *column, const char *target)
{
	json_t *refs = json_object_get(config_edit(config, table, uuid), column);

	for (size_t i = 0; i < json_array_size(refs); i++)
		if (!strcmp(json_string_value(json_array_get(refs, i)), target)) {
			json_array_remove(refs, i);
			return;
		}
}
