// The configuration in memory: rows of the tables of schema.def, as JSON objects.
//
// A configuration is changed by copying it (cheap: rows are shared), changing the copy, checking
// it, and putting it in the place of the old one when the switch and the store have accepted it.
// A row that both configurations hold is the same object, so what changed is found by comparing
// addresses. Main thread.
#ifndef CTL_CONFIG_H
#define CTL_CONFIG_H

#include "ctl/schema.h"

struct config {
	json_t *tables[N_SCHEMA_TABLES]; // UUID -> row; a row also holds its "_uuid"
	const struct config *base; // what it was copied from: rows of it are not to be changed
};

// A configuration with the Open_vSwitch row alone; NULL without memory.
struct config *config_create(void);
// An empty one, for loading.
struct config *config_create_empty(void);
struct config *config_copy(const struct config *base);
void config_free(struct config *config);

// All rows of a table, in order of creation (an object by UUID; borrowed).
json_t *config_rows(const struct config *config, enum schema_table_id table);
json_t *config_row(const struct config *config, enum schema_table_id table, const char *uuid);
const char *config_row_uuid(const json_t *row);
// The row as something to write to: a private copy the first time. Borrowed; NULL: no such row.
json_t *config_edit(struct config *config, enum schema_table_id table, const char *uuid);

// A new row with default values; `uuid` NULL: a random one. Borrowed.
json_t *config_insert(struct config *config, enum schema_table_id table, const char *uuid);
void config_delete(struct config *config, enum schema_table_id table, const char *uuid);
void config_make_uuid(char uuid[SCHEMA_UUID_SIZE]);

// The row with this name (tables with a name column), or NULL.
json_t *config_find(const struct config *config, enum schema_table_id table, const char *name);
// The one row of a SINGLE table.
json_t *config_single(const struct config *config, enum schema_table_id table);

// A record as ovs-vsctl(8) writes it: name, UUID, four or more of its first digits, or "." for
// the only row of a table. NULL with a sentence otherwise.
json_t *config_record(const struct config *config, const struct schema_table *table,
		      const char *record, struct error *error);

// Who refers to whom. Borrowed; NULL if nobody does.
json_t *config_bridge_of_port(const struct config *config, const json_t *port);
json_t *config_port_of_interface(const struct config *config, const json_t *interface);

const char *config_string(const json_t *row, const char *column); // "" if empty
// Value of a key of a map column, or NULL.
const char *config_key(const json_t *row, const char *column, const char *key);

// Add and remove one UUID of a set column. The row is edited.
void config_add_ref(struct config *config, enum schema_table_id table, const char *uuid,
		    const char *column, const char *target);
void config_remove_ref(struct config *config, enum schema_table_id table, const char *uuid,
		       const char *column, const char *target);

// Delete rows that no ROOT row reaches, and weak references to rows that are gone.
void config_collect(struct config *config);

// Does it make sense as a whole: unique names, references that lead somewhere, a port on one
// bridge, an interface in one port?
int config_validate(const struct config *config, struct error *error);

#endif
