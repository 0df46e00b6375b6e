// Commands on groups. Text is parsed with the bridge's port names; changes go through group.h.
#include "ctl/group_list.h"
#include "ctl/switch_bridge.h"

#include "common/clock.h"
#include "common/counters.h"
#include "common/error.h"
#include "common/text.h"
#include "ofproto/group.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// The second argument is one group, or the lines of a file.
static int apply(const struct handler_call *call, enum group_mod_command command,
		 const char *without, struct error *error)
{
	struct group_list list = { .bridge = call_switch_bridge(call, error) };
	const char *text = call_arg(call, 1) ? call_arg(call, 1) : without;
	char *copy;
	int result;

	if (!list.bridge)
		return -ENOENT;
	copy = strdup(text ? text : "");
	if (!copy)
		return error_set(error, ENOMEM, "out of memory");
	result = group_list_add_lines(&list, copy, command, error);
	if (!result)
		result = group_list_apply(&list, call_flag(call, "bundle"), error);
	if (result && text && !strchr(text, '\n') && strcmp(call->command->name, "add-groups"))
		error->line = 0;
	group_list_free(&list);
	free(copy);
	return result;
}

int handle_group_add(const struct handler_call *call, json_t **result, struct error *error)
{
	(void)result;
	return apply(call, GROUP_MOD_ADD, NULL, error);
}

int handle_group_modify(const struct handler_call *call, json_t **result, struct error *error)
{
	(void)result;
	return apply(call,
		     call_flag(call, "may-create") ? GROUP_MOD_ADD_OR_MODIFY : GROUP_MOD_MODIFY,
		     NULL, error);
}

int handle_group_delete(const struct handler_call *call, json_t **result, struct error *error)
{
	(void)result;
	return apply(call, GROUP_MOD_DELETE, "group_id=all", error);
}

int handle_group_insert(const struct handler_call *call, json_t **result, struct error *error)
{
	(void)result;
	return apply(call, GROUP_MOD_INSERT_BUCKETS, NULL, error);
}

int handle_group_remove(const struct handler_call *call, json_t **result, struct error *error)
{
	(void)result;
	return apply(call, GROUP_MOD_REMOVE_BUCKETS, NULL, error);
}

// --- Printing ---

static void set_number(json_t *object, const char *key, uint64_t number)
{
	json_object_set_new(object, key, json_integer((json_int_t)number));
}

static json_t *text_value(struct text *text)
{
	json_t *value = json_string(text->data ? text->data : "");

	text_free(text);
	return value;
}

static json_t *describe_bucket(const struct group *group, unsigned int i,
			       const struct port_names *names)
{
	const struct bucket_text *bucket = &group->text.buckets[i];
	json_t *object = json_object();
	struct text text = { 0 };

	set_number(object, "bucket_id", bucket->id);
	if (group->type == GROUP_SELECT)
		set_number(object, "weight", bucket->weight);
	if (bucket->watch_port != OFPP_ANY)
		set_number(object, "watch_port", bucket->watch_port);
	if (bucket->watch_group != GROUP_ID_ANY)
		set_number(object, "watch_group", bucket->watch_group);
	json_object_set_new(object, "live", json_boolean(group->buckets[i].live));
	program_format(bucket->program, names, &text);
	json_object_set_new(object, "actions", text_value(&text));
	return object;
}

// "text" is the whole group, as people read it.
static json_t *describe_group(const struct bridge *bridge, const struct group *group, bool names)
{
	const struct port_names *ports =
		names ? bridge_port_names(bridge) : bridge_port_numbers(bridge);
	json_t *object = json_object(), *buckets = json_array();
	struct text text = { 0 };

	set_number(object, "group_id", group->id);
	json_object_set_new(object, "type", json_string(group_type_names[group->type]));
	for (unsigned int i = 0; i < group->n_buckets; i++)
		json_array_append_new(buckets, describe_bucket(group, i, ports));
	json_object_set_new(object, "buckets", buckets);
	group_text_format(&group->text, ports, &text);
	json_object_set_new(object, "text", text_value(&text));
	return object;
}

static json_t *describe_counts(json_t *object, uint32_t id)
{
	const struct counter sum = counter_read(id);

	set_number(object, "packet_count", sum.packets);
	set_number(object, "byte_count", sum.bytes);
	return object;
}

static json_t *describe_stats(const struct bridge *bridge, const struct group *group, bool names)
{
	const uint64_t age_ns = clock_monotonic_ns() - group->created_ns;
	json_t *object = json_object(), *buckets = json_array();

	(void)names;
	set_number(object, "group_id", group->id);
	json_object_set_new(object, "duration", json_real((double)(age_ns / NS_PER_MS) / 1000.0));
	set_number(object, "ref_count", group_count_flows(bridge, group->id));
	describe_counts(object, group->counter);
	for (unsigned int i = 0; i < group->n_buckets; i++) {
		json_t *bucket = json_object();

		set_number(bucket, "bucket_id", group->buckets[i].id);
		json_array_append_new(buckets, describe_counts(bucket, group->buckets[i].counter));
	}
	json_object_set_new(object, "buckets", buckets);
	return object;
}

static int dump(const struct handler_call *call,
		json_t *(*describe)(const struct bridge *bridge, const struct group *group,
				    bool names),
		json_t **result, struct error *error)
{
	struct bridge *bridge = call_switch_bridge(call, error);
	const bool names = !call_flag(call, "no-names");
	const struct group_table *table;
	struct group_text text;
	int failed;

	if (!bridge)
		return -ENOENT;
	failed = group_text_parse(call_arg(call, 1) ? call_arg(call, 1) : "all", GROUP_TEXT_SELECT,
				  NULL, &text, error);
	if (failed)
		return failed;
	group_text_release(&text);
	if (text.group_id != GROUP_ID_ALL && !bridge_group(bridge, text.group_id))
		return error_set(error, ENOENT, "bridge '%s' has no group %u", bridge_name(bridge),
				 text.group_id);
	table = bridge_group_table(bridge);
	*result = json_array();
	for (uint32_t i = 0; table && i < table->n; i++)
		if (text.group_id == GROUP_ID_ALL || table->all[i]->id == text.group_id)
			json_array_append_new(*result, describe(bridge, table->all[i], names));
	return 0;
}

int handle_group_dump(const struct handler_call *call, json_t **result, struct error *error)
{
	return dump(call, describe_group, result, error);
}

int handle_group_stats(const struct handler_call *call, json_t **result, struct error *error)
{
	return dump(call, describe_stats, result, error);
}
