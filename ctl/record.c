#include "ctl/record.h"

#include "common/error.h"
#include "common/text.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

// The operator of `operators` that `text` begins with; its length, or 0.
static size_t operator_at(const char *text, const char *operators)
{
	while (*operators) {
		size_t n = strcspn(operators, " ");

		if (!strncmp(text, operators, n))
			return n;
		operators += n;
		operators += strspn(operators, " ");
	}
	return 0;
}

// Where a quoted key ends.
static const char *skip_quoted(const char *text)
{
	for (text++; *text && *text != '"'; text++)
		if (*text == '\\' && text[1])
			text++;
	return *text ? text + 1 : text;
}

static int parse_key(const struct schema_column *column, const char *start, const char *end,
		     json_t **key, struct error *error)
{
	char *copy;
	int result;

	if (!schema_is_map(column))
		return error_set(error, EINVAL, "column %s has no keys: it is not a map",
				 column->name);
	if (start == end)
		return error_set(error, EINVAL, "column %s: a key must follow ':'", column->name);
	copy = strndup(start, (size_t)(end - start));
	if (!copy)
		return error_set(error, ENOMEM, "out of memory");
	result = schema_parse_key(column, copy, key, error);
	free(copy);
	return result;
}

int record_parse_column(const struct schema_table *table, const char *word, const char *operators,
			struct record_column *parsed, struct error *error)
{
	size_t length = strcspn(word, ":=!<>{");
	const char *cursor = word + length;
	char name[64];
	size_t n;

	memset(parsed, 0, sizeof(*parsed));
	if (!length || length >= sizeof(name))
		return error_set(error, EINVAL, "'%.64s' does not begin with the name of a column",
				 word);
	memcpy(name, word, length);
	name[length] = '\0';
	parsed->column = schema_column_find(table, name, error);
	if (!parsed->column)
		return -ENOENT;
	if (*cursor == ':') {
		const char *start = ++cursor;
		int result;

		if (*cursor == '"')
			cursor = skip_quoted(cursor);
		else
			while (*cursor && !(*operators && operator_at(cursor, operators)))
				cursor++;
		result = parse_key(parsed->column, start, cursor, &parsed->key, error);
		if (result)
			return result;
	}
	n = operator_at(cursor, operators);
	if (!*operators)
		return *cursor ? error_set(error, EINVAL, "'%.64s': nothing may follow the column",
					   word)
			       : 0;
	if (!n)
		return error_set(error, EINVAL, "'%.64s' is not COLUMN[:KEY]%sVALUE", word,
				 strcmp(operators, "=") ? "OPERATOR" : "=");
	memcpy(parsed->operator, cursor, n);
	parsed->operator[n] = '\0';
	parsed->value = cursor + n;
	return 0;
}

void record_column_release(struct record_column *column)
{
	json_decref(column->key);
	column->key = NULL;
}

static int check_settable(const struct handler_call *call, const struct schema_table *table,
			  const struct schema_column *column, struct error *error)
{
	if (column->flags & SCHEMA_STATUS)
		return error_set(error, EPERM,
				 "column %s of table %s is read-only: it tells what the switch "
				 "found out",
				 column->name, table->name);
	if (column->flags & SCHEMA_LATER)
		call_warn(call, "column %s of table %s is kept, but has no effect in this version",
			  column->name, table->name);
	return 0;
}

static bool is_in_word(char c)
{
	return isalnum((unsigned char)c) || c == '-' || c == '_';
}

// Does the text contain this word?
static bool has_word(const char *text, const char *word)
{
	const size_t length = strlen(word);

	for (const char *at = text; length && (at = strstr(at, word)); at++)
		if ((at == text || !is_in_word(at[-1])) && !is_in_word(at[length]))
			return true;
	return false;
}

// The help of these columns names every setting that there is. Others are kept for whoever reads
// them, but one that was mistyped should not go unnoticed.
static void warn_of_unknown_key(const struct handler_call *call, const struct schema_table *table,
				const struct schema_column *column, const char *key)
{
	if ((table->id == TABLE_Open_vSwitch || table->id == TABLE_Interface) &&
	    !strcmp(column->name, "other_config") && !has_word(column->help, key))
		call_warn(call,
			  "other_config:%.64s of table %s is kept, but no such setting has an "
			  "effect in this version",
			  key, table->name);
}

int record_set(const struct handler_call *call, const struct schema_table *table, json_t *row,
	       const struct record_column *column, const struct schema_names *names,
	       struct error *error)
{
	const char *name = column->column->name;
	json_t *value = NULL;
	int result = check_settable(call, table, column->column, error);

	if (result)
		return result;
	if (!column->key) {
		result = schema_parse(column->column, column->value, names, &value, error);
		if (!result && column->column->flags & SCHEMA_FIXED &&
		    !json_equal(value, json_object_get(row, name)) && *config_string(row, name)) {
			json_decref(value);
			return error_set(error, EPERM,
					 "column %s of table %s cannot be changed: delete '%s' and "
					 "make a new one",
					 name, table->name, config_string(row, name));
		}
		if (!result)
			json_object_set_new(row, name, value);
		return result;
	}
	result = schema_parse_map_value(column->column, column->value, names, &value, error);
	if (!result) {
		json_t *map = json_object_get(row, name);

		json_object_set_new(map, json_string_value(column->key), value);
		warn_of_unknown_key(call, table, column->column, json_string_value(column->key));
		result = schema_check(column->column, map, error);
	}
	return result;
}

bool record_contains(const json_t *array, const json_t *element)
{
	json_t *other;
	size_t i;

	json_array_foreach ((json_t *)array, i, other)
		if (json_equal(other, element))
			return true;
	return false;
}

static bool is_subset(const json_t *a, const json_t *b)
{
	json_t *element;
	size_t i;

	json_array_foreach ((json_t *)a, i, element)
		if (!record_contains(b, element))
			return false;
	return true;
}

static bool is_disjoint(const json_t *a, const json_t *b)
{
	json_t *element;
	size_t i;

	json_array_foreach ((json_t *)a, i, element)
		if (record_contains(b, element))
			return false;
	return true;
}

static int compare_elements(const void *a, const void *b)
{
	return schema_compare(*(json_t *const *)a, *(json_t *const *)b);
}

static json_t *sorted(json_t *array)
{
	size_t n = json_array_size(array);
	json_t **elements = calloc(n + 1, sizeof(json_t *));
	json_t *result = json_array();

	for (size_t i = 0; elements && i < n; i++)
		elements[i] = json_array_get(array, i);
	if (elements)
		qsort(elements, n, sizeof(json_t *), compare_elements);
	for (size_t i = 0; elements && i < n; i++)
		json_array_append(result, elements[i]);
	free(elements);
	json_decref(array);
	return result;
}

// Order of two sets: the larger is more; of equal size the first differing pair decides.
static int compare_sets(const json_t *a, const json_t *b)
{
	size_t n = json_array_size(a);

	if (n != json_array_size(b))
		return n < json_array_size(b) ? -1 : 1;
	for (size_t i = 0; i < n; i++) {
		int order = schema_compare(json_array_get(a, i), json_array_get(b, i));

		if (order)
			return order;
	}
	return 0;
}

static bool holds(const char *operator, const json_t * a, const json_t *b)
{
	bool equal_size = json_array_size(a) == json_array_size(b);
	int order;

	if (!strcmp(operator, "{=}"))
		return equal_size && is_subset(a, b);
	if (!strcmp(operator, "{!=}"))
		return !(equal_size && is_subset(a, b));
	if (!strcmp(operator, "{<=}") || !strcmp(operator, "{in}"))
		return is_subset(a, b);
	if (!strcmp(operator, "{<}"))
		return is_subset(a, b) && !equal_size;
	if (!strcmp(operator, "{>=}"))
		return is_subset(b, a);
	if (!strcmp(operator, "{>}"))
		return is_subset(b, a) && !equal_size;
	if (!strcmp(operator, "{not-in}"))
		return is_disjoint(a, b);
	order = compare_sets(a, b);
	switch (operator[0]) {
	case '=':
		return order == 0;
	case '!':
		return order != 0;
	case '<':
		return operator[1] == '=' ? order <= 0 : order<0;
	default:
		return operator[1] == '=' ? order >= 0 : order> 0;
	}
}

// A map as an array of "key=value" pairs, each an array of two, so that pairs compare as wholes.
static json_t *map_pairs(const json_t *map)
{
	json_t *pairs = json_array();
	const char *key;
	json_t *value;

	json_object_foreach ((json_t *)map, key, value)
		json_array_append_new(pairs, json_pack("[s, O]", key, value));
	return pairs;
}

// Whole maps: equality and subsets; an order among them means nothing to anybody.
static int match_map(const json_t *row, const struct record_column *condition,
		     const struct schema_names *names, struct error *error)
{
	const struct schema_column *column = condition->column;
	const json_t *map = json_object_get(row, column->name);
	json_t *wanted, *a, *b;
	int result;

	if (condition->operator[0] != '{' && strcmp(condition->operator, "=") &&
	    strcmp(condition->operator, "!="))
		return error_set(error, EINVAL,
				 "column %s is a map: compare one of its keys, as in %s:KEY%s...",
				 column->name, column->name, condition->operator);
	result = schema_parse_elements(column, condition->value, false, names, &wanted, error);
	if (result)
		return result;
	a = map_pairs(map);
	b = map_pairs(wanted);
	if (condition->operator[0] == '{')
		result = holds(condition->operator, a, b);
	else
		result = json_equal(map, wanted) == (condition->operator[0] == '=');
	json_decref(a);
	json_decref(b);
	json_decref(wanted);
	return result;
}

static int match_key(const json_t *row, const struct record_column *condition,
		     const struct schema_names *names, struct error *error)
{
	const struct schema_column *column = condition->column;
	json_t *value = json_object_get(json_object_get(row, column->name),
					json_string_value(condition->key));
	json_t *wanted, *a, *b;
	int result = schema_parse_map_value(column, condition->value, names, &wanted, error);

	if (result)
		return result;
	if (!value && condition->operator[0] != '{') {
		json_decref(wanted);
		return 0;
	}
	a = json_array();
	if (value)
		json_array_append(a, value);
	b = json_pack("[o]", wanted);
	result = holds(condition->operator, a, b);
	json_decref(a);
	json_decref(b);
	return result;
}

int record_matches(const json_t *row, const struct record_column *condition,
		   const struct schema_names *names, struct error *error)
{
	const struct schema_column *column = condition->column;
	json_t *wanted, *a;
	int result;

	if (condition->key)
		return match_key(row, condition, names, error);
	if (schema_is_map(column))
		return match_map(row, condition, names, error);
	if (schema_is_scalar(column) && column->key == SCHEMA_STRING &&
	    strcmp(condition->value, "[]")) {
		// As in set: one string, whatever it holds.
		struct schema_column any = *column;

		any.choices = NULL;
		result = schema_parse(&any, condition->value, names, &a, error);
		if (result)
			return result;
		wanted = json_pack("[o]", a);
	} else {
		result = schema_parse_elements(column, condition->value, false, names, &wanted,
					       error);
		if (result)
			return result;
	}
	a = sorted(schema_elements(column, json_object_get(row, column->name)));
	wanted = sorted(wanted);
	result = holds(condition->operator, a, wanted);
	json_decref(a);
	json_decref(wanted);
	return result;
}
