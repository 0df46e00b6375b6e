#include "ctl/schema.h"

#include "common/error.h"
#include "common/text.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

// Flags and types as schema.def writes them.
#define STATUS SCHEMA_STATUS
#define FIXED SCHEMA_FIXED
#define LATER SCHEMA_LATER
#define KEPT SCHEMA_KEPT
#define ROOT SCHEMA_ROOT
#define SINGLE SCHEMA_SINGLE
#define SINGLE_AT_MOST SCHEMA_SINGLE_AT_MOST

#define TYPE_(key_, min_, max_) .key = SCHEMA_##key_, .min = min_, .max = max_
#define STRING TYPE_(STRING, 1, 1)
#define OPTIONAL_STRING TYPE_(STRING, 0, 1)
#define STRINGS TYPE_(STRING, 0, SCHEMA_MANY)
#define SOME_STRINGS TYPE_(STRING, 1, SCHEMA_MANY)
#define BOOLEAN TYPE_(BOOLEAN, 1, 1)
#define OPTIONAL_BOOLEAN TYPE_(BOOLEAN, 0, 1)
#define INTEGER(low_, high_) TYPE_(INTEGER, 1, 1), .low = low_, .high = high_
#define OPTIONAL_INTEGER(low_, high_) TYPE_(INTEGER, 0, 1), .low = low_, .high = high_
#define INTEGERS(low_, high_, max_) TYPE_(INTEGER, 0, max_), .low = low_, .high = high_
#define OPTIONAL_ENUM(choices_) TYPE_(STRING, 0, 1), .choices = choices_
#define ENUMS(choices_) TYPE_(STRING, 0, SCHEMA_MANY), .choices = choices_
#define REF(table_) TYPE_(UUID, 0, 1), .ref = #table_
#define REQUIRED_REF(table_) TYPE_(UUID, 1, 1), .ref = #table_
#define REFS(table_) TYPE_(UUID, 0, SCHEMA_MANY), .ref = #table_
#define SOME_REFS(table_) TYPE_(UUID, 1, SCHEMA_MANY), .ref = #table_
#define WEAK_REF(table_) TYPE_(UUID, 0, 1), .ref = #table_, .weak = true
#define WEAK_REFS(table_) TYPE_(UUID, 0, SCHEMA_MANY), .ref = #table_, .weak = true
#define MAP TYPE_(STRING, 0, SCHEMA_MANY), .value = SCHEMA_STRING
#define COUNTS TYPE_(STRING, 0, SCHEMA_MANY), .value = SCHEMA_INTEGER
#define NAMED_REFS(table_) TYPE_(STRING, 0, SCHEMA_MANY), .value = SCHEMA_UUID, .ref = #table_
#define NUMBERED_REFS(low_, high_, table_)                                                         \
	TYPE_(INTEGER, 0, SCHEMA_MANY), .value = SCHEMA_UUID, .low = low_, .high = high_,          \
					.ref = #table_
#define NUMBER_PAIRS(low_, high_)                                                                  \
	TYPE_(INTEGER, 0, SCHEMA_MANY), .value = SCHEMA_INTEGER, .low = low_, .high = high_

#define TABLE(id, ...) static const struct schema_column columns_##id[] = {
#define COLUMN(name_, type_, flags_, help_)                                                        \
	{ .name = #name_, type_, .flags = flags_, .help = help_ },
#define END_TABLE                                                                                  \
	}                                                                                          \
	;
#include "ctl/schema.def"
#undef TABLE
#undef COLUMN
#undef END_TABLE

#define TABLE(id_, name_column_, flags_, help_)                                                    \
	[TABLE_##id_] = {                                                                          \
		.id = TABLE_##id_,                                                                 \
		.name = #id_,                                                                      \
		.name_column = name_column_,                                                       \
		.flags = flags_,                                                                   \
		.columns = columns_##id_,                                                          \
		.n_columns = sizeof(columns_##id_) / sizeof(columns_##id_[0]),                     \
		.help = help_,                                                                     \
	},
#define COLUMN(...)
#define END_TABLE
const struct schema_table schema_tables[N_SCHEMA_TABLES] = {
#include "ctl/schema.def"
};
#undef TABLE
#undef COLUMN
#undef END_TABLE

// How well `name` names `full`: 2 exactly, 1 as its beginning, 0 not at all.
static int name_fits(const char *name, const char *full)
{
	for (; *name; name++, full++) {
		int a = tolower((unsigned char)*name);
		int b = tolower((unsigned char)*full);

		if ((a == '-' ? '_' : a) != (b == '-' ? '_' : b))
			return 0;
	}
	return *full ? 1 : 2;
}

// "a, b, c" of the names; for errors.
static void list_names(const char *(*name_at)(const void *, unsigned int), const void *context,
		       unsigned int n, struct text *text)
{
	for (unsigned int i = 0; i < n; i++)
		text_addf(text, "%s%s", i ? ", " : "", name_at(context, i));
}

// Index of the one name that fits; -ENOENT for none, -EEXIST for several beginnings.
static int find_name(const char *name, const char *(*name_at)(const void *, unsigned int),
		     const void *context, unsigned int n)
{
	int found = -ENOENT;

	for (unsigned int i = 0; i < n; i++) {
		int fits = name_fits(name, name_at(context, i));

		if (fits == 2)
			return (int)i;
		if (fits == 1)
			found = found == -ENOENT ? (int)i : -EEXIST;
	}
	return *name ? found : -ENOENT;
}

// `where`: "" or " of table T".
static int find_or_explain(const char *name, const char *what, const char *where,
			   const char *(*name_at)(const void *, unsigned int), const void *context,
			   unsigned int n, struct error *error)
{
	int found = find_name(name, name_at, context, n);
	const char *candidates[64] = { NULL };
	const char *nearest;
	struct text list = { 0 };

	if (found >= 0)
		return found;
	if (found == -EEXIST)
		return error_set(error, EINVAL, "%s '%s'%s is the beginning of several names", what,
				 name, where);
	if (n > 64)
		n = 64;
	for (unsigned int i = 0; i < n; i++)
		candidates[i] = name_at(context, i);
	nearest = text_nearest(name, candidates, n);
	list_names(name_at, context, n, &list);
	if (nearest)
		error_set(error, ENOENT, "%s '%s'%s does not exist; did you mean '%s'?", what, name,
			  where, nearest);
	else
		error_set(error, ENOENT, "%s '%s'%s does not exist; there are: %s", what, name,
			  where, list.data ? list.data : "");
	text_free(&list);
	return -ENOENT;
}

static const char *table_name_at(const void *context, unsigned int i)
{
	(void)context;
	return schema_tables[i].name;
}

static const char *column_name_at(const void *context, unsigned int i)
{
	const struct schema_table *table = context;

	return table->columns[i].name;
}

const struct schema_table *schema_table_find(const char *name, struct error *error)
{
	int found = find_or_explain(name, "table", "", table_name_at, NULL, N_SCHEMA_TABLES, error);

	return found < 0 ? NULL : &schema_tables[found];
}

static const struct schema_column uuid_column = {
	.name = "_uuid",
	TYPE_(UUID, 1, 1),
	.flags = SCHEMA_STATUS,
	.help = "identifier of the row",
};

const struct schema_column *schema_column_find(const struct schema_table *table, const char *name,
					       struct error *error)
{
	char where[64] = " of table ";
	int found;

	if (name_fits(name, "_uuid") == 2)
		return &uuid_column;
	strncat(where, table->name, sizeof(where) - strlen(where) - 1);
	found = find_or_explain(name, "column", where, column_name_at, table, table->n_columns,
				error);
	return found < 0 ? NULL : &table->columns[found];
}

const struct schema_column *schema_column(const struct schema_table *table, const char *name)
{
	if (!strcmp(name, "_uuid"))
		return &uuid_column;
	for (unsigned int i = 0; i < table->n_columns; i++)
		if (name_fits(name, table->columns[i].name) == 2)
			return &table->columns[i];
	return NULL;
}

bool schema_is_map(const struct schema_column *column)
{
	return column->value != SCHEMA_NONE;
}

bool schema_is_scalar(const struct schema_column *column)
{
	return column->max == 1 && !schema_is_map(column);
}

bool schema_is_kept(const struct schema_column *column)
{
	return !(column->flags & SCHEMA_STATUS) || column->flags & SCHEMA_KEPT;
}

json_t *schema_default(const struct schema_column *column)
{
	if (schema_is_map(column))
		return json_object();
	if (column->max > 1)
		return json_array();
	if (column->min == 0)
		return json_null();
	switch (column->key) {
	case SCHEMA_INTEGER:
		return json_integer(column->low > 0 ? column->low : 0);
	case SCHEMA_BOOLEAN:
		return json_false();
	default:
		return json_string("");
	}
}

bool schema_is_uuid(const char *string)
{
	for (int i = 0; i < 36; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? string[i] != '-' : !isxdigit((unsigned char)string[i]))
			return false;
	}
	return !string[36];
}

json_t *schema_elements(const struct schema_column *column, const json_t *value)
{
	json_t *array = json_array();
	const char *key;
	json_t *element;

	if (!value || json_is_null(value))
		return array;
	if (!schema_is_map(column)) {
		if (json_is_array(value)) {
			json_array_extend(array, (json_t *)value);
		} else {
			json_array_append(array, (json_t *)value);
		}
		return array;
	}
	json_object_foreach ((json_t *)value, key, element)
		json_array_append_new(array, json_string(key));
	return array;
}

int schema_compare(const json_t *a, const json_t *b)
{
	if (json_is_integer(a) && json_is_integer(b)) {
		json_int_t x = json_integer_value(a);
		json_int_t y = json_integer_value(b);

		return x < y ? -1 : x > y;
	}
	if (json_is_string(a) && json_is_string(b))
		return strcmp(json_string_value(a), json_string_value(b));
	return json_is_true(a) - json_is_true(b);
}
