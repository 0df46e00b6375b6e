#include "flowtable/group_text.h"

#include "common/error.h"
#include "common/text.h"
#include "flowtable/action.h"
#include "flowtable/flow_text.h"
#include "flowtable/tun_map.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char *const group_type_names[N_GROUP_TYPES] = { "all", "select", "indirect",
						      "fast_failover" };

struct group_parser {
	struct parser parser;
	enum group_text_usage usage;
	struct group_text *group;
	struct action_parser *actions; // of the bucket under way
	struct span method; // empty: not given
	struct span param;
	struct span fields;
	bool has_id;
	bool has_command_bucket;
};

// One "key=value", "key:value" or "key(value)".
struct pair {
	struct span item;
	struct span key;
	struct span value;
};

static bool is_separator(char c)
{
	return c == ',' || isspace((unsigned char)c);
}

// The next piece of *rest, which is shortened. Returns 1, 0 at the end, or -EINVAL.
static int next_pair(struct group_parser *parser, struct span *rest, struct pair *pair)
{
	const char *end = rest->at + rest->length;
	const char *at = rest->at;
	const char *stop;
	size_t n = 0;

	while (at < end && is_separator(*at))
		at++;
	*rest = (struct span){ at, (size_t)(end - at) };
	if (at == end)
		return 0;
	stop = parse_value_end(&parser->parser, at, end);
	if (!stop)
		return -EINVAL;
	pair->item = (struct span){ at, (size_t)(stop - at) };
	while (n < pair->item.length && !strchr("=:(", at[n]))
		n++;
	pair->key = (struct span){ at, n };
	n += n < pair->item.length;
	pair->value = (struct span){ at + n, pair->item.length - n };
	if (pair->value.length && at[n - 1] == '(' && stop[-1] == ')')
		pair->value.length--;
	*rest = (struct span){ stop, (size_t)(end - stop) };
	return 1;
}

// --- Buckets ---

static int parse_bucket_id(struct group_parser *parser, struct bucket_text *bucket,
			   struct span value)
{
	const struct group_text *group = parser->group;
	uint64_t number;
	int error = parse_number(&parser->parser, value, "bucket_id", 0, BUCKET_ID_MAX, &number);

	if (error)
		return error;
	for (const struct bucket_text *other = group->buckets; other < bucket; other++)
		if (other->id == number)
			return parser_error(&parser->parser, value.at,
					    "bucket_id %llu is there twice",
					    (unsigned long long)number);
	bucket->id = (uint32_t)number;
	return 0;
}

static int parse_watch_port(struct group_parser *parser, struct bucket_text *bucket,
			    struct span value)
{
	int error =
		span_is(value, "ANY") ? 0 : parse_port(&parser->parser, value, &bucket->watch_port);

	if (!error && bucket->watch_port >= OFPP_MAX && bucket->watch_port != OFPP_LOCAL &&
	    bucket->watch_port != OFPP_ANY)
		return parser_error(&parser->parser, value.at, "this is no port to watch");
	return error;
}

static int parse_bucket_item(struct group_parser *parser, struct bucket_text *bucket,
			     const struct pair *pair)
{
	uint64_t number = 0;
	int error;

	if (span_is(pair->key, "bucket_id"))
		return parse_bucket_id(parser, bucket, pair->value);
	if (span_is(pair->key, "watch_port"))
		return parse_watch_port(parser, bucket, pair->value);
	if (span_is(pair->key, "weight")) {
		error = parse_number(&parser->parser, pair->value, "weight", 0, UINT16_MAX,
				     &number);
		bucket->weight = (uint16_t)number;
		bucket->has_weight = true;
		return error;
	}
	if (span_is(pair->key, "watch_group")) {
		error = parse_number(&parser->parser, pair->value, "watch_group", 0, GROUP_ID_MAX,
				     &number);
		bucket->watch_group = error ? GROUP_ID_ANY : (uint32_t)number;
		return error;
	}
	if (span_is(pair->key, "actions") || span_is(pair->key, "action"))
		return actions_parse(parser->actions, pair->value);
	return actions_parse(parser->actions, pair->item);
}

static int parse_bucket_items(struct group_parser *parser, struct bucket_text *bucket,
			      struct span rest)
{
	struct pair pair;
	int result;

	while ((result = next_pair(parser, &rest, &pair)) > 0) {
		result = parse_bucket_item(parser, bucket, &pair);
		if (result < 0)
			return result;
	}
	return result;
}

// The bucket's actions, as a flow's write_actions would have them.
static int parse_bucket(struct group_parser *parser, struct bucket_text *bucket, struct span span)
{
	struct action_parser *actions = calloc(1, sizeof(*actions));
	int error;

	if (!actions)
		return error_set(parser->parser.error, ENOMEM, "no memory for the group");
	actions->parser = parser->parser;
	actions->table_id = -1;
	actions->depth = 1;
	actions->in_action_set = true;
	program_builder_init(&actions->builder);
	parser->actions = actions;
	error = parse_bucket_items(parser, bucket, span);
	if (!error) {
		bucket->program = program_finish(&actions->builder, &error);
		if (error == -E2BIG)
			error_set(parser->parser.error, E2BIG, "a bucket's actions are too long");
	}
	if (error == -ENOMEM)
		error_set(parser->parser.error, ENOMEM, "no memory for the group");
	program_builder_free(&actions->builder);
	free(actions);
	parser->actions = NULL;
	return error;
}

static int add_bucket(struct group_parser *parser, struct span span)
{
	struct group_text *group = parser->group;
	struct bucket_text *bucket;

	if (group->n_buckets == GROUP_MAX_BUCKETS)
		return parser_error(&parser->parser, span.at, "a group has at most %d buckets",
				    GROUP_MAX_BUCKETS);
	bucket = realloc(group->buckets, (group->n_buckets + 1) * sizeof(*bucket));
	if (!bucket)
		return error_set(parser->parser.error, ENOMEM, "no memory for the group");
	group->buckets = bucket;
	bucket += group->n_buckets++;
	*bucket = (struct bucket_text){
		.id = BUCKET_ID_NONE,
		.watch_port = OFPP_ANY,
		.watch_group = GROUP_ID_ANY,
		.weight = group->type == GROUP_SELECT,
	};
	return parse_bucket(parser, bucket, span);
}

// Is a new bucket beginning at `at`?
static bool is_bucket(const char *at, const char *end, size_t *length)
{
	static const char *const words[] = { "bucket=", "buckets=", "bucket:" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		*length = strlen(words[i]);
		if ((size_t)(end - at) >= *length && !strncasecmp(at, words[i], *length))
			return true;
	}
	return false;
}

// Where the next bucket begins, behind a separator and outside of parentheses; or the end.
static const char *find_bucket(struct group_parser *parser, const char *at, const char *end)
{
	size_t length;

	while (at && at < end) {
		while (at < end && is_separator(*at))
			at++;
		if (at == end || is_bucket(at, end, &length))
			return at;
		at = parse_value_end(&parser->parser, at, end);
	}
	return at;
}

static int parse_buckets(struct group_parser *parser, const char *at, const char *end)
{
	while (at < end) {
		const char *next;
		size_t length;
		int error;

		is_bucket(at, end, &length);
		at += length;
		next = find_bucket(parser, at, end);
		if (!next)
			return -EINVAL;
		error = add_bucket(parser, (struct span){ at, (size_t)(next - at) });
		if (error)
			return error;
		at = next;
	}
	return 0;
}

// --- What stands before the buckets ---

static int parse_group_id(struct group_parser *parser, struct span value)
{
	uint64_t number = GROUP_ID_ALL;
	int error = 0;

	if (parser->usage != GROUP_TEXT_SELECT || !span_is(value, "all"))
		error = parse_number(&parser->parser, value, "group_id", 0, GROUP_ID_MAX, &number);
	parser->group->group_id = (uint32_t)number;
	parser->has_id = true;
	return error;
}

static int parse_type(struct group_parser *parser, struct span value)
{
	struct group_text *group = parser->group;

	group->has_type = true;
	for (unsigned int i = 0; i < N_GROUP_TYPES; i++)
		if (span_is(value, group_type_names[i])) {
			group->type = (enum group_type)i;
			return 0;
		}
	group->type = GROUP_FAST_FAILOVER;
	if (span_is(value, "ff"))
		return 0;
	return parser_error(&parser->parser, value.at,
			    "a group's type is all, select, indirect, ff or fast_failover, not "
			    "'%.*s'",
			    SPAN_ARGS(value));
}

static int parse_command_bucket(struct group_parser *parser, struct span value)
{
	uint64_t number = 0;
	int error = 0;

	if (span_is(value, "first"))
		number = BUCKET_ID_FIRST;
	else if (span_is(value, "last"))
		number = BUCKET_ID_LAST;
	else if (span_is(value, "all") && parser->usage == GROUP_TEXT_REMOVE)
		number = BUCKET_ID_ALL;
	else
		error = parse_number(&parser->parser, value, "command_bucket_id", 0, BUCKET_ID_MAX,
				     &number);
	parser->group->command_bucket_id = (uint32_t)number;
	parser->has_command_bucket = true;
	return error;
}

static int parse_head_item(struct group_parser *parser, const struct pair *pair)
{
	const bool whole = parser->usage == GROUP_TEXT_ADD;
	const bool some = parser->usage == GROUP_TEXT_INSERT || parser->usage == GROUP_TEXT_REMOVE;

	if (span_is(pair->key, "group_id"))
		return parse_group_id(parser, pair->value);
	// "dump-groups br0 5"
	if (parser->usage == GROUP_TEXT_SELECT && !parser->has_id &&
	    pair->key.length == pair->item.length)
		return parse_group_id(parser, pair->item);
	if (span_is(pair->key, "type") && whole)
		return parse_type(parser, pair->value);
	if (span_is(pair->key, "command_bucket_id") && some)
		return parse_command_bucket(parser, pair->value);
	if (span_is(pair->key, "selection_method") && whole)
		parser->method = pair->value;
	else if (span_is(pair->key, "selection_method_param") && whole)
		parser->param = pair->value;
	else if (span_is(pair->key, "fields") && whole)
		parser->fields = pair->value;
	else
		return parser_error(&parser->parser, pair->item.at, "'%.*s' means nothing here",
				    SPAN_ARGS(pair->key));
	return 0;
}

// --- How a select group chooses ---

static int add_field(struct group_parser *parser, const struct pair *pair)
{
	struct group_text *group = parser->group;
	struct group_field *added;
	struct field_value ones;
	const struct field *field = field_find(pair->key.at, pair->key.length);

	if (!field)
		return parser_error(&parser->parser, pair->key.at, "there is no field '%.*s'",
				    SPAN_ARGS(pair->key));
	field = tun_map_field(parser->parser.ports, field);
	if (!field)
		return parser_error(&parser->parser, pair->key.at,
				    "no tunnel option is mapped to %.*s on this bridge",
				    SPAN_ARGS(pair->key));
	for (unsigned int i = 0; i < group->n_fields; i++)
		if (group->fields[i].field == field)
			return parser_error(&parser->parser, pair->key.at, "%s is there twice",
					    field->name);
	added = realloc(group->fields, (group->n_fields + 1) * sizeof(*added));
	if (!added)
		return error_set(parser->parser.error, ENOMEM, "no memory for the group");
	group->fields = added;
	added += group->n_fields++;
	added->field = field;
	added->mask = field_all_ones(field);
	if (pair->key.length == pair->item.length)
		return 0;
	if (memchr(pair->value.at, '/', pair->value.length))
		return parser_error(&parser->parser, pair->value.at,
				    "what follows a field here is its mask: no '/'");
	return parse_field_value(&parser->parser, field, pair->value, &added->mask, &ones);
}

static int compare_fields(const void *a, const void *b)
{
	const struct group_field *first = a, *second = b;

	return (first->field->id > second->field->id) - (first->field->id < second->field->id);
}

static int parse_fields(struct group_parser *parser)
{
	struct span rest = parser->fields;
	struct pair pair;
	int result;

	if (parser->group->method != GROUP_METHOD_HASH)
		return parser_error(&parser->parser, rest.at, "fields need selection_method=hash");
	while ((result = next_pair(parser, &rest, &pair)) > 0) {
		result = add_field(parser, &pair);
		if (result)
			return result;
	}
	if (parser->group->n_fields)
		qsort(parser->group->fields, parser->group->n_fields,
		      sizeof(*parser->group->fields), compare_fields);
	return result;
}

static int parse_selection(struct group_parser *parser)
{
	struct group_text *group = parser->group;
	int error = 0;

	if (parser->method.at) {
		if (group->type != GROUP_SELECT)
			return parser_error(&parser->parser, parser->method.at,
					    "selection_method is for groups of type select");
		if (span_is(parser->method, "hash"))
			group->method = GROUP_METHOD_HASH;
		else if (span_is(parser->method, "dp_hash"))
			group->method = GROUP_METHOD_DP_HASH;
		else
			return parser_error(&parser->parser, parser->method.at,
					    "selection_method is hash or dp_hash, not '%.*s'",
					    SPAN_ARGS(parser->method));
	}
	if (parser->param.at) {
		if (!group->method)
			return parser_error(&parser->parser, parser->param.at,
					    "selection_method_param needs a selection_method");
		error = parse_number(&parser->parser, parser->param, "selection_method_param", 0,
				     UINT64_MAX, &group->method_param);
		if (!error && group->method == GROUP_METHOD_DP_HASH &&
		    group->method_param >> 32 > 1)
			return parser_error(&parser->parser, parser->param.at,
					    "dp_hash has the algorithms 0 and 1");
	}
	if (!error && parser->fields.at)
		error = parse_fields(parser);
	return error;
}

// --- The whole ---

static int check_buckets(struct group_parser *parser, const char *end)
{
	const struct group_text *group = parser->group;

	if (parser->usage == GROUP_TEXT_INSERT && !group->n_buckets)
		return parser_error(&parser->parser, end, "bucket= is missing");
	if (parser->usage != GROUP_TEXT_ADD)
		return 0;
	if (group->type == GROUP_INDIRECT && group->n_buckets != 1)
		return parser_error(&parser->parser, end,
				    "a group of type indirect has one bucket, not %u",
				    group->n_buckets);
	for (unsigned int i = 0; i < group->n_buckets; i++) {
		const struct bucket_text *bucket = &group->buckets[i];

		if (group->type == GROUP_FAST_FAILOVER && bucket->watch_port == OFPP_ANY &&
		    bucket->watch_group == GROUP_ID_ANY)
			return parser_error(&parser->parser, end,
					    "bucket %u of a fast_failover group needs watch_port "
					    "or watch_group",
					    i + 1);
		if (group->type != GROUP_SELECT && bucket->weight)
			return parser_error(&parser->parser, end,
					    "bucket %u has a weight: that is for groups of type "
					    "select",
					    i + 1);
	}
	return 0;
}

static int check_head(struct group_parser *parser, const char *at)
{
	const enum group_text_usage usage = parser->usage;

	if (!parser->has_id && usage != GROUP_TEXT_SELECT)
		return parser_error(&parser->parser, at, "group_id= is missing");
	if (usage == GROUP_TEXT_ADD && !parser->group->has_type)
		return parser_error(&parser->parser, at, "type= is missing");
	if (usage == GROUP_TEXT_INSERT && !parser->has_command_bucket)
		return parser_error(&parser->parser, at, "command_bucket_id= is missing");
	return parse_selection(parser);
}

static int parse(struct group_parser *parser, struct span span)
{
	const char *end = span.at + span.length;
	const char *buckets = find_bucket(parser, span.at, end);
	struct span head = { span.at, (size_t)(buckets ? buckets - span.at : 0) };
	struct pair pair;
	int result;

	if (!buckets)
		return -EINVAL;
	while ((result = next_pair(parser, &head, &pair)) > 0) {
		result = parse_head_item(parser, &pair);
		if (result)
			return result;
	}
	if (!result)
		result = check_head(parser, buckets);
	if (!result && buckets < end &&
	    (parser->usage == GROUP_TEXT_SELECT || parser->usage == GROUP_TEXT_REMOVE))
		result = parser_error(&parser->parser, buckets, "no bucket belongs here");
	if (!result)
		result = parse_buckets(parser, buckets, end);
	return result ? result : check_buckets(parser, end);
}

int group_text_parse(const char *string, enum group_text_usage usage,
		     const struct port_names *ports, struct group_text *group, struct error *error)
{
	struct group_parser parser = {
		.parser = { .base = string, .ports = ports, .error = error },
		.usage = usage,
		.group = group,
	};
	int result;

	memset(group, 0, sizeof(*group));
	group->group_id = GROUP_ID_ALL;
	group->command_bucket_id = BUCKET_ID_ALL;
	result = parse(&parser, span_of(string));
	if (result)
		group_text_release(group);
	else if (usage == GROUP_TEXT_ADD)
		group_text_number_buckets(group);
	return result;
}

void group_text_release(struct group_text *group)
{
	for (unsigned int i = 0; i < group->n_buckets; i++)
		program_free(group->buckets[i].program);
	free(group->buckets);
	free(group->fields);
	group->buckets = NULL;
	group->fields = NULL;
	group->n_buckets = group->n_fields = 0;
}

static struct program *copy_program(const struct program *program)
{
	struct program *copy = malloc(sizeof(*copy) + program->size);

	if (copy)
		memcpy(copy, program, sizeof(*copy) + program->size);
	return copy;
}

int group_text_copy(const struct group_text *group, struct group_text *copy)
{
	*copy = *group;
	copy->n_buckets = 0;
	copy->fields = malloc(group->n_fields * sizeof(*group->fields) + 1);
	copy->buckets = malloc(group->n_buckets * sizeof(*group->buckets) + 1);
	if (copy->fields && group->n_fields)
		memcpy(copy->fields, group->fields, group->n_fields * sizeof(*group->fields));
	while (copy->fields && copy->buckets && copy->n_buckets < group->n_buckets) {
		struct bucket_text *bucket = &copy->buckets[copy->n_buckets];

		*bucket = group->buckets[copy->n_buckets];
		bucket->program = copy_program(bucket->program);
		if (!bucket->program)
			break;
		copy->n_buckets++;
	}
	if (copy->fields && copy->buckets && copy->n_buckets == group->n_buckets)
		return 0;
	group_text_release(copy);
	return -ENOMEM;
}

static bool has_bucket(const struct group_text *group, uint32_t id)
{
	for (unsigned int i = 0; i < group->n_buckets; i++)
		if (group->buckets[i].id == id)
			return true;
	return false;
}

void group_text_number_buckets(struct group_text *group)
{
	uint32_t next = 0;

	for (unsigned int i = 0; i < group->n_buckets; i++) {
		if (group->buckets[i].id != BUCKET_ID_NONE)
			continue;
		while (has_bucket(group, next))
			next++;
		group->buckets[i].id = next++;
	}
}

static void format_selection(const struct group_text *group, const struct port_names *ports,
			     struct text *text)
{
	if (!group->method)
		return;
	text_addf(text, ",selection_method=%s",
		  group->method == GROUP_METHOD_HASH ? "hash" : "dp_hash");
	if (group->method_param)
		text_addf(text, ",selection_method_param=%llu",
			  (unsigned long long)group->method_param);
	if (!group->n_fields)
		return;
	text_add(text, group->n_fields == 1 ? ",fields=" : ",fields(");
	for (unsigned int i = 0; i < group->n_fields; i++) {
		const struct group_field *field = &group->fields[i];
		struct field_value ones = field_all_ones(field->field);

		text_addf(text, "%s%s", i ? "," : "", field->field->name);
		if (!memcmp(&ones, &field->mask, sizeof(ones)))
			continue;
		text_add(text, "=");
		if (field->field->format == FORMAT_DECIMAL)
			wide_number_format(&field->mask, text);
		else
			field_format_value(field->field, &field->mask, &ones, ports, text);
	}
	if (group->n_fields > 1)
		text_add(text, ")");
}

void group_text_format(const struct group_text *group, const struct port_names *ports,
		       struct text *text)
{
	text_addf(text, "group_id=%u,type=%s", group->group_id,
		  group->type == GROUP_FAST_FAILOVER ? "ff" : group_type_names[group->type]);
	format_selection(group, ports, text);
	for (unsigned int i = 0; i < group->n_buckets; i++) {
		const struct bucket_text *bucket = &group->buckets[i];

		text_addf(text, ",bucket=bucket_id:%u,", bucket->id);
		if (group->type == GROUP_SELECT && bucket->weight != 1)
			text_addf(text, "weight:%u,", bucket->weight);
		if (bucket->watch_port != OFPP_ANY) {
			text_add(text, "watch_port:");
			port_format(bucket->watch_port, ports, text);
			text_add(text, ",");
		}
		if (bucket->watch_group != GROUP_ID_ANY)
			text_addf(text, "watch_group:%u,", bucket->watch_group);
		text_add(text, "actions=");
		program_format(bucket->program, ports, text);
	}
}
