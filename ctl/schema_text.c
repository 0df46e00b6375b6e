// Values of columns as text, both ways: ovs-vsctl(8), "Database Values".
#include "ctl/schema.h"

#include "common/error.h"
#include "common/text.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MAX_RANGE 4096

static const char *type_text(enum schema_type type)
{
	switch (type) {
	case SCHEMA_INTEGER:
		return "an integer";
	case SCHEMA_BOOLEAN:
		return "true or false";
	case SCHEMA_UUID:
		return "a UUID or @name";
	default:
		return "a string";
	}
}

// The end of a quoted string that begins at `text`, or NULL if it has none.
static const char *quoted_end(const char *text)
{
	for (text++; *text && *text != '"'; text++)
		if (*text == '\\' && text[1])
			text++;
	return *text ? text + 1 : NULL;
}

// Read one word (quoted or up to one of `stops`) into `word`, and move *cursor behind it.
static int read_word(const char **cursor, const char *stops, struct text *word, bool *quoted,
		     struct error *error)
{
	const char *text = *cursor;
	const char *end;
	json_t *string;

	text_clear(word);
	*quoted = *text == '"';
	if (!*quoted) {
		size_t length = strcspn(text, stops);

		text_add_bytes(word, text, length);
		*cursor = text + length;
		return word->failed ? error_set(error, ENOMEM, "out of memory") : 0;
	}
	end = quoted_end(text);
	if (!end)
		return error_set(error, EINVAL, "'%.100s' has no closing quotation mark", text);
	string = json_loadb(text, (size_t)(end - text), JSON_DECODE_ANY, NULL);
	if (!string)
		return error_set(error, EINVAL, "%.*s is not a valid quoted string",
				 (int)(end - text), text);
	text_add(word, json_string_value(string));
	json_decref(string);
	*cursor = end;
	return 0;
}

static int parse_integer(const char *word, json_int_t *value)
{
	char *end;

	errno = 0;
	*value = strtoll(word, &end, 10);
	if (errno || end == word || *end || isspace((unsigned char)*word))
		return -EINVAL;
	return 0;
}

// One word to an element of the type.
static int parse_element(const struct schema_column *column, enum schema_type type,
			 const char *word, bool quoted, const struct schema_names *names,
			 json_t **value, struct error *error)
{
	char uuid[SCHEMA_UUID_SIZE];
	json_int_t integer;
	int result;

	switch (type) {
	case SCHEMA_INTEGER:
		if (quoted || parse_integer(word, &integer))
			break;
		*value = json_integer(integer);
		return 0;
	case SCHEMA_BOOLEAN:
		if (quoted || (strcmp(word, "true") && strcmp(word, "false")))
			break;
		*value = json_boolean(word[0] == 't');
		return 0;
	case SCHEMA_UUID:
		if (word[0] == '@' && names) {
			result = names->resolve(names->context, word, uuid, error);
			if (result)
				return result;
			*value = json_string(uuid);
			return 0;
		}
		if (!schema_is_uuid(word))
			break;
		for (int i = 0; i < SCHEMA_UUID_SIZE; i++)
			uuid[i] = (char)tolower((unsigned char)word[i]);
		*value = json_string(uuid);
		return 0;
	default:
		*value = json_string(word);
		if (*value)
			return 0;
		return error_set(error, EINVAL, "column %s: the value is not valid UTF-8",
				 column->name);
	}
	return error_set(error, EINVAL, "column %s takes %s, not '%s'", column->name,
			 type_text(type), word);
}

static bool array_contains(const json_t *array, const json_t *element)
{
	size_t i;
	json_t *other;

	json_array_foreach ((json_t *)array, i, other)
		if (json_equal(other, element))
			return true;
	return false;
}

// "5-9" for a set of integers. 1 if `word` is a range and was added, 0 if it is none.
static int add_range(const char *word, json_t *array, struct error *error)
{
	const char *dash = strchr(word + (*word == '-'), '-');
	json_int_t first, last;
	char *end;

	if (!*word || !dash)
		return 0;
	errno = 0;
	first = strtoll(word, &end, 10);
	if (errno || end != dash || parse_integer(dash + 1, &last))
		return 0;
	if (last < first || last - first >= MAX_RANGE)
		return error_set(error, EINVAL, "range '%s' must rise, by less than %d", word,
				 MAX_RANGE);
	for (; first <= last; first++)
		json_array_append_new(array, json_integer(first));
	return 1;
}

static int add_set_element(const struct schema_column *column, const char *word, bool quoted,
			   const struct schema_names *names, json_t *array, struct error *error)
{
	json_t *element = NULL;
	int result;

	if (column->key == SCHEMA_INTEGER && !quoted) {
		result = add_range(word, array, error);
		if (result)
			return result < 0 ? result : 0;
	}
	result = parse_element(column, column->key, word, quoted, names, &element, error);
	if (result)
		return result;
	if (array_contains(array, element)) {
		json_decref(element);
		return error_set(error, EINVAL, "column %s: '%s' is given twice", column->name,
				 word);
	}
	json_array_append_new(array, element);
	return 0;
}

static int add_map_pair(const struct schema_column *column, struct text *key, bool key_quoted,
			const char **cursor, const char *stops, bool keys_alone,
			const struct schema_names *names, json_t *object, struct error *error)
{
	json_t *element = NULL;
	struct text word = { 0 };
	bool quoted;
	int result;

	result = parse_element(column, column->key, key->data, key_quoted, NULL, &element, error);
	json_decref(element);
	if (result)
		return result;
	if (json_object_get(object, key->data))
		return error_set(error, EINVAL, "column %s: key '%s' is given twice", column->name,
				 key->data);
	if (**cursor != '=') {
		if (!keys_alone)
			return error_set(error, EINVAL, "column %s takes KEY=VALUE, not '%s'",
					 column->name, key->data);
		json_object_set_new(object, key->data, json_null());
		return 0;
	}
	(*cursor)++;
	result = read_word(cursor, stops, &word, &quoted, error);
	if (!result)
		result = parse_element(column, column->value, word.data, quoted, names, &element,
				       error);
	if (!result && json_object_set_new(object, key->data, element))
		result =
			error_set(error, EINVAL, "column %s: key is not valid UTF-8", column->name);
	text_free(&word);
	return result;
}

int schema_parse_elements(const struct schema_column *column, const char *text, bool keys_alone,
			  const struct schema_names *names, json_t **value, struct error *error)
{
	bool map = schema_is_map(column);
	char close = *text == '[' && !map ? ']' : *text == '{' && map ? '}' : '\0';
	const char *stops = close == ']' ? ", ]" : close ? ", }" : ", ";
	const char *key_stops = close ? ", =}" : ", =";
	json_t *elements = map ? json_object() : json_array();
	const char *cursor = text + (close ? 1 : 0);
	struct text word = { 0 };
	int result = 0;

	for (;;) {
		bool quoted;

		cursor += strspn(cursor, ", ");
		if (!*cursor || (close && *cursor == close))
			break;
		result = read_word(&cursor, map ? key_stops : stops, &word, &quoted, error);
		if (!result && !quoted && !word.length)
			result = error_set(error, EINVAL, "column %s: '%s' is not understood",
					   column->name, text);
		if (!result)
			result = map ? add_map_pair(column, &word, quoted, &cursor, stops,
						    keys_alone, names, elements, error)
				     : add_set_element(column, word.data, quoted, names, elements,
						       error);
		if (result)
			break;
	}
	if (!result && close && (*cursor != close || cursor[1]))
		result = error_set(error, EINVAL, "column %s: '%s' does not end with %c",
				   column->name, text, close);
	text_free(&word);
	if (result)
		json_decref(elements);
	else
		*value = elements;
	return result;
}

// A single string, as a whole: quoted or verbatim. Options like dpdk-devargs carry commas.
static int parse_whole(const struct schema_column *column, enum schema_type type, const char *text,
		       const struct schema_names *names, json_t **value, struct error *error)
{
	struct text word = { 0 };
	const char *cursor = text;
	bool quoted;
	int result = read_word(&cursor, "", &word, &quoted, error);

	if (!result && *cursor)
		result = error_set(error, EINVAL, "column %s: '%s' follows the quoted string",
				   column->name, cursor);
	if (!result)
		result = parse_element(column, type, word.data ? word.data : "", quoted, names,
				       value, error);
	text_free(&word);
	return result;
}

static int check_or_free(const struct schema_column *column, json_t **value, struct error *error)
{
	int result = schema_check(column, *value, error);

	if (result) {
		json_decref(*value);
		*value = NULL;
	}
	return result;
}

int schema_parse(const struct schema_column *column, const char *text,
		 const struct schema_names *names, json_t **value, struct error *error)
{
	json_t *elements;
	int result;

	if (schema_is_scalar(column) && column->key == SCHEMA_STRING && strcmp(text, "[]")) {
		result = parse_whole(column, SCHEMA_STRING, text, names, value, error);
		return result ? result : check_or_free(column, value, error);
	}
	result = schema_parse_elements(column, text, false, names, &elements, error);
	if (result)
		return result;
	if (!schema_is_scalar(column)) {
		*value = elements;
	} else if (json_array_size(elements) > 1) {
		json_decref(elements);
		return error_set(error, EINVAL, "column %s takes one value, not '%s'", column->name,
				 text);
	} else {
		*value = json_array_size(elements) ? json_incref(json_array_get(elements, 0))
						   : json_null();
		json_decref(elements);
	}
	return check_or_free(column, value, error);
}

int schema_parse_key(const struct schema_column *column, const char *text, json_t **key,
		     struct error *error)
{
	json_t *element = NULL;
	int result = parse_whole(column, column->key, text, NULL, &element, error);

	if (result)
		return result;
	if (json_is_integer(element)) {
		json_decref(element);
		element = json_string(text);
	}
	*key = element;
	return 0;
}

int schema_parse_map_value(const struct schema_column *column, const char *text,
			   const struct schema_names *names, json_t **value, struct error *error)
{
	return parse_whole(column, column->value, text, names, value, error);
}

static bool is_choice(const char *choices, const char *word)
{
	size_t length = strlen(word);

	while (*choices) {
		size_t n = strcspn(choices, " ");

		if (n == length && !memcmp(choices, word, n))
			return true;
		choices += n;
		choices += strspn(choices, " ");
	}
	return false;
}

static bool type_fits(enum schema_type type, const json_t *value)
{
	switch (type) {
	case SCHEMA_INTEGER:
		return json_is_integer(value);
	case SCHEMA_BOOLEAN:
		return json_is_boolean(value);
	case SCHEMA_UUID:
		return json_is_string(value) && schema_is_uuid(json_string_value(value));
	default:
		return json_is_string(value);
	}
}

static int check_integer(const struct schema_column *column, json_int_t integer,
			 struct error *error)
{
	if (integer >= column->low && integer <= column->high)
		return 0;
	if (column->low == column->high)
		return 0; // no limits given
	return error_set(error, ERANGE,
			 "column %s: %" JSON_INTEGER_FORMAT " is out of range %" PRId64
			 " to %" PRId64,
			 column->name, integer, column->low, column->high);
}

static int check_element(const struct schema_column *column, const json_t *element,
			 struct error *error)
{
	if (!type_fits(column->key, element))
		return error_set(error, EINVAL, "column %s takes %s", column->name,
				 type_text(column->key));
	if (column->key == SCHEMA_INTEGER)
		return check_integer(column, json_integer_value(element), error);
	if (column->choices && !is_choice(column->choices, json_string_value(element)))
		return error_set(error, EINVAL, "column %s: '%s' is none of: %s", column->name,
				 json_string_value(element), column->choices);
	return 0;
}

static int check_map(const struct schema_column *column, const json_t *value, struct error *error)
{
	json_int_t integer;
	const char *key;
	json_t *element;
	int result = 0;

	if (!json_is_object(value))
		return error_set(error, EINVAL, "column %s takes KEY=VALUE pairs", column->name);
	json_object_foreach ((json_t *)value, key, element) {
		if (column->key == SCHEMA_INTEGER) {
			if (parse_integer(key, &integer))
				return error_set(error, EINVAL,
						 "column %s: key '%s' is not an integer",
						 column->name, key);
			result = check_integer(column, integer, error);
		}
		if (!result && !type_fits(column->value, element))
			result = error_set(error, EINVAL, "column %s: key '%s' takes %s",
					   column->name, key, type_text(column->value));
		if (result)
			return result;
	}
	return 0;
}

int schema_check(const struct schema_column *column, const json_t *value, struct error *error)
{
	json_t *element;
	size_t i;
	int result;

	if (schema_is_map(column))
		return check_map(column, value, error);
	if (schema_is_scalar(column)) {
		if (!json_is_null(value))
			return check_element(column, value, error);
		return column->min ? error_set(error, EINVAL, "column %s must have a value",
					       column->name)
				   : 0;
	}
	if (!json_is_array(value))
		return error_set(error, EINVAL, "column %s takes a set", column->name);
	if (json_array_size(value) < column->min)
		return error_set(error, EINVAL, "column %s must not be empty", column->name);
	if (json_array_size(value) > column->max)
		return error_set(error, EINVAL, "column %s takes at most %" PRIu32 " values",
				 column->name, column->max);
	json_array_foreach ((json_t *)value, i, element) {
		result = check_element(column, element, error);
		if (result)
			return result;
	}
	return 0;
}

static bool needs_quotes(const char *string)
{
	if (!isalpha((unsigned char)*string) && *string != '_')
		return true;
	for (const char *p = string; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("_-.", *p))
			return true;
	return !strcmp(string, "true") || !strcmp(string, "false") || schema_is_uuid(string);
}

void schema_format_element(enum schema_type type, const json_t *element, struct text *text)
{
	char *quoted;

	if (json_is_integer(element)) {
		text_addf(text, "%" JSON_INTEGER_FORMAT, json_integer_value(element));
	} else if (json_is_boolean(element)) {
		text_add(text, json_is_true(element) ? "true" : "false");
	} else if (type == SCHEMA_UUID || !needs_quotes(json_string_value(element))) {
		text_add(text, json_string_value(element));
	} else {
		quoted = json_dumps(element, JSON_ENCODE_ANY);
		text_add(text, quoted ? quoted : "\"\"");
		free(quoted);
	}
}

static int compare_keys(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int compare_elements(const void *a, const void *b)
{
	return schema_compare(*(json_t *const *)a, *(json_t *const *)b);
}

static void format_map(const struct schema_column *column, const json_t *value, struct text *text)
{
	size_t n = json_object_size(value);
	const char **keys = calloc(n ? n : 1, sizeof(*keys));
	const char *key;
	json_t *element;
	size_t i = 0;

	text_add(text, "{");
	if (keys) {
		json_object_foreach ((json_t *)value, key, element)
			keys[i++] = key;
		qsort(keys, n, sizeof(*keys), compare_keys);
	}
	for (i = 0; keys && i < n; i++) {
		json_t *name = json_string(keys[i]);

		text_add(text, i ? ", " : "");
		if (column->key == SCHEMA_INTEGER)
			text_add(text, keys[i]);
		else
			schema_format_element(column->key, name, text);
		text_add(text, "=");
		schema_format_element(column->value, json_object_get(value, keys[i]), text);
		json_decref(name);
	}
	text_add(text, "}");
	free(keys);
}

void schema_format(const struct schema_column *column, const json_t *value, struct text *text)
{
	size_t n = json_array_size(value);
	json_t **sorted;

	if (schema_is_map(column)) {
		format_map(column, value, text);
		return;
	}
	if (!value || json_is_null(value)) {
		text_add(text, "[]");
		return;
	}
	if (!json_is_array(value)) {
		schema_format_element(column->key, value, text);
		return;
	}
	sorted = calloc(n ? n : 1, sizeof(json_t *));
	for (size_t i = 0; sorted && i < n; i++)
		sorted[i] = json_array_get(value, i);
	if (sorted)
		qsort(sorted, n, sizeof(json_t *), compare_elements);
	text_add(text, "[");
	for (size_t i = 0; sorted && i < n; i++) {
		text_add(text, i ? ", " : "");
		schema_format_element(column->key, sorted[i], text);
	}
	text_add(text, "]");
	free(sorted);
}
