// The configuration's tables and columns (schema.def), and the text form of their values.
//
// A value is kept as JSON: a column of at most one element is that element or null; a column of
// several is an array without duplicates; a map is an object whose keys are strings (integer keys
// in decimal). UUIDs are strings. The text form is that of ovs-vsctl(8), section "Database
// Values". Rows are constant; any thread. Linked into the daemon and into vsctl.
#ifndef CTL_SCHEMA_H
#define CTL_SCHEMA_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct text;

enum schema_type {
	SCHEMA_NONE,
	SCHEMA_INTEGER,
	SCHEMA_BOOLEAN,
	SCHEMA_STRING,
	SCHEMA_UUID,
};

// Of columns.
#define SCHEMA_STATUS (1 << 0) // told by the switch, never set
#define SCHEMA_FIXED (1 << 1) // set at creation only
#define SCHEMA_LATER (1 << 2) // kept, without effect in this version
#define SCHEMA_KEPT (1 << 3) // stored although it is status
// Of tables.
#define SCHEMA_ROOT (1 << 0) // rows live without being referred to
#define SCHEMA_SINGLE (1 << 1) // exactly one row
#define SCHEMA_SINGLE_AT_MOST (1 << 2)

#define SCHEMA_MANY UINT32_MAX
#define SCHEMA_UUID_SIZE 37

struct schema_column {
	const char *name;
	enum schema_type key; // type of elements, or of a map's keys
	enum schema_type value; // type of a map's values, SCHEMA_NONE otherwise
	uint32_t min; // number of elements
	uint32_t max;
	int64_t low; // of integer elements (or keys)
	int64_t high;
	const char *choices; // allowed strings, separated by spaces; NULL: any
	const char *ref; // table that UUIDs (elements, or a map's values) point to
	bool weak; // references do not keep their target
	unsigned int flags;
	const char *help;
};

enum schema_table_id {
#define TABLE(id, ...) TABLE_##id,
#define COLUMN(...)
#define END_TABLE
#include "ctl/schema.def"
#undef TABLE
#undef COLUMN
#undef END_TABLE
	N_SCHEMA_TABLES
};

struct schema_table {
	enum schema_table_id id;
	const char *name;
	const char *name_column; // or NULL
	unsigned int flags;
	const struct schema_column *columns;
	unsigned int n_columns;
	const char *help;
};

extern const struct schema_table schema_tables[N_SCHEMA_TABLES];

// By name as ovs-vsctl(8) allows: any case, '-' for '_', or a unique beginning. NULL with a
// sentence otherwise.
const struct schema_table *schema_table_find(const char *name, struct error *error);
const struct schema_column *schema_column_find(const struct schema_table *table, const char *name,
					       struct error *error);
// By whole name (any case, '-' for '_'). NULL if there is none.
const struct schema_column *schema_column(const struct schema_table *table, const char *name);

bool schema_is_map(const struct schema_column *column);
bool schema_is_scalar(const struct schema_column *column); // at most one element, no map
// Is it written to the store?
bool schema_is_kept(const struct schema_column *column);

// The value of a column that nobody set. A new reference.
json_t *schema_default(const struct schema_column *column);

// Turns "@name" into the UUID it stands for.
struct schema_names {
	void *context;
	int (*resolve)(void *context, const char *name, char uuid[SCHEMA_UUID_SIZE],
		       struct error *error);
};

// Text to a value of the column, and (for maps) text to the value of one key. `names` may be NULL.
// The new reference is in *value.
int schema_parse(const struct schema_column *column, const char *text,
		 const struct schema_names *names, json_t **value, struct error *error);
int schema_parse_key(const struct schema_column *column, const char *text, json_t **key,
		     struct error *error);
int schema_parse_map_value(const struct schema_column *column, const char *text,
			   const struct schema_names *names, json_t **value, struct error *error);

// Elements without the limits on their number: for the values of add, remove and find. A set as an
// array, a map as an object; a map's keys without values become null.
int schema_parse_elements(const struct schema_column *column, const char *text, bool keys_alone,
			  const struct schema_names *names, json_t **value, struct error *error);

// Does a value (of any origin) obey the column's type and limits?
int schema_check(const struct schema_column *column, const json_t *value, struct error *error);

// Append the text form of a column's value, or of a single element.
void schema_format(const struct schema_column *column, const json_t *value, struct text *text);
void schema_format_element(enum schema_type type, const json_t *element, struct text *text);

// The value's elements as an array (of keys for maps). A new reference.
json_t *schema_elements(const struct schema_column *column, const json_t *value);

// Order of two elements of the same type, as strcmp().
int schema_compare(const json_t *a, const json_t *b);

bool schema_is_uuid(const char *string);

#endif
