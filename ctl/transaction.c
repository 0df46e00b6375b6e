#include "ctl/transaction.h"

#include "common/error.h"
#include "common/log.h"
#include "common/text.h"
#include "ctl/flow_keep.h"
#include "ctl/group_keep.h"
#include "ctl/handlers.h"
#include "ctl/meter_keep.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MAX_COMMANDS 100000

#define HANDLER_LOCAL_ENTRY(name) NULL,
#define HANDLER_CONFIG_READ_ENTRY(name) handle_##name,
#define HANDLER_CONFIG_CHANGE_ENTRY(name) handle_##name,
#define HANDLER_SWITCH_READ_ENTRY(name) handle_##name,
#define HANDLER_SWITCH_CHANGE_ENTRY(name) handle_##name,
#define SECTION(title) NULL,
#define COMMAND(name, aliases, min, max, options, arguments, kind, handler_, ...)                  \
	HANDLER_##kind##_ENTRY(handler_)
static const handler handlers[] = {
#include "ctl/command.def"
};
#undef SECTION
#undef COMMAND

const char *call_arg(const struct handler_call *call, size_t i)
{
	const json_t *arg = json_array_get(call->args, i);
	const json_t *offset = json_object_get(arg, "attached");

	// check_attached() has seen that it is there.
	if (offset)
		return call->transaction->control->attached + json_integer_value(offset);
	return json_string_value(arg);
}

struct text *call_answer_text(const struct handler_call *call)
{
	return call->transaction->wants_text ? &call->transaction->control->output : NULL;
}

json_t *call_end_text(const struct handler_call *call, size_t start)
{
	const size_t length = call->transaction->control->output.length - start;

	return json_pack("{s:I}", "text", (json_int_t)length);
}

size_t call_n_args(const struct handler_call *call)
{
	return json_array_size(call->args);
}

bool call_flag(const struct handler_call *call, const char *option)
{
	return json_is_true(json_object_get(call->options, option));
}

const char *call_option(const struct handler_call *call, const char *option)
{
	return json_string_value(json_object_get(call->options, option));
}

void call_warn(const struct handler_call *call, const char *format, ...)
{
	char sentence[ERROR_MESSAGE_SIZE];
	va_list args;

	va_start(args, format);
	vsnprintf(sentence, sizeof(sentence), format, args);
	va_end(args);
	json_array_append_new(call->transaction->warnings, json_string(sentence));
}

static int resolve_name(void *context, const char *name, char uuid[SCHEMA_UUID_SIZE],
			struct error *error)
{
	struct transaction *transaction = context;
	const char *known = json_string_value(json_object_get(transaction->names, name));

	if (known) {
		snprintf(uuid, SCHEMA_UUID_SIZE, "%s", known);
		return 0;
	}
	config_make_uuid(uuid);
	if (json_object_set_new(transaction->names, name, json_string(uuid)))
		return error_set(error, EINVAL, "'%s' is not a valid name", name);
	return 0;
}

struct schema_names call_names(const struct handler_call *call)
{
	return (struct schema_names){ .context = call->transaction, .resolve = resolve_name };
}

json_t *call_bridge(const struct handler_call *call, const char *name, struct error *error)
{
	const struct config *config = call->transaction->config;
	json_t *row = config_find(config, TABLE_Bridge, name);
	struct text list = { 0 };
	const char *uuid;
	size_t n = 0;

	if (row)
		return row;
	json_object_foreach (config_rows(config, TABLE_Bridge), uuid, row)
		if (n++ < 20)
			text_addf(&list, "%s%s", list.length ? ", " : "",
				  config_string(row, "name"));
	if (n)
		error_set(error, ENOENT, "bridge '%.64s' does not exist; bridges: %s%s", name,
			  list.data, n > 20 ? ", ..." : "");
	else
		error_set(error, ENOENT,
			  "bridge '%.64s' does not exist: there are no bridges yet, 'vsctl add-br "
			  "%.64s' makes one",
			  name, name);
	text_free(&list);
	return NULL;
}

json_t *transaction_error_reply(const json_t *id, const struct error *error, int command)
{
	json_t *reply = json_object();
	json_t *body = json_object();

	// What a user typed may be cut in the middle of a character.
	if (json_object_set_new(body, "message", json_string(error->message)))
		json_object_set_new(body, "message",
				    json_string("the request failed, and the reason "
						"is not valid UTF-8"));
	json_object_set_new(body, "errno", json_integer(error->code));
	if (command >= 0)
		json_object_set_new(body, "command", json_integer(command));
	if (error->line)
		json_object_set_new(body, "line", json_integer(error->line));
	if (error->column)
		json_object_set_new(body, "column", json_integer(error->column));
	if (id)
		json_object_set(reply, "id", (json_t *)id);
	json_object_set_new(reply, "error", body);
	return reply;
}

static bool is_switch_command(const struct command *command)
{
	return command->kind == COMMAND_SWITCH_READ || command->kind == COMMAND_SWITCH_CHANGE;
}

// Arguments that are beside the request lie within what came.
static int check_attached(const struct control *control, const json_t *args, struct error *error)
{
	const json_t *arg;
	size_t i;

	json_array_foreach ((json_t *)args, i, arg) {
		const json_int_t offset = json_integer_value(json_object_get(arg, "attached"));

		if (json_is_object(arg) && (offset < 0 || (uint64_t)offset >= control->n_attached))
			return error_set(error, EINVAL,
					 "an argument is said to be attached, but is not there");
	}
	return 0;
}

// Step 0: every command is known and well-formed, before the first one runs.
static int check_commands(const struct control *control, const json_t *list,
			  bool *has_switch_changes, int *at, struct error *error)
{
	json_t *item;
	size_t i;

	*has_switch_changes = false;
	json_array_foreach ((json_t *)list, i, item) {
		const struct command *command;
		int result;

		*at = (int)i;
		result = command_check(item, &command, error);
		if (!result)
			result = check_attached(control, json_object_get(item, "args"), error);
		if (result)
			return result;
		if (command->kind == COMMAND_LOCAL)
			return error_set(error, EINVAL, "vswitchd cannot run '%s': vsctl does",
					 command->name);
		*has_switch_changes |= command->kind == COMMAND_SWITCH_CHANGE;
	}
	return 0;
}

// Run the commands of one stage in order.
static int run_stage(struct transaction *transaction, const json_t *list, bool switch_stage,
		     json_t *results, int *at, struct error *error)
{
	json_t *item;
	size_t i;

	json_array_foreach ((json_t *)list, i, item) {
		struct handler_call call = { .transaction = transaction };
		json_t *answer = NULL;
		int result;

		*at = (int)i;
		result = command_check(item, &call.command, error);
		if (result)
			return result;
		if (is_switch_command(call.command) != switch_stage)
			continue;
		call.options = json_object_get(item, "options");
		call.args = json_object_get(item, "args");
		result = handlers[call.command - commands](&call, &answer, error);
		if (result) {
			json_decref(answer);
			return result;
		}
		json_array_set_new(results, i, answer ? answer : json_null());
	}
	*at = -1;
	return 0;
}

static bool config_changed(const struct config *old, const struct config *config)
{
	const char *uuid;
	json_t *row;

	for (int i = 0; i < N_SCHEMA_TABLES; i++) {
		if (json_object_size(old->tables[i]) != json_object_size(config->tables[i]))
			return true;
		json_object_foreach (config->tables[i], uuid, row)
			if (config_row(old, (enum schema_table_id)i, uuid) != row)
				return true;
	}
	return false;
}

// Every @name that was used was also made.
static int check_names(const struct transaction *transaction, struct error *error)
{
	const char *name;
	json_t *uuid;

	json_object_foreach (transaction->names, name, uuid)
		if (!json_object_get(transaction->created, json_string_value(uuid)))
			return error_set(error, ENOENT,
					 "'%s' is used but no create or get --id=%s makes it", name,
					 name);
	return 0;
}

// Steps 3 to 6, when something changes.
static int change(struct transaction *transaction, bool new_config, const json_t *list,
		  json_t *results, int *at, struct error *error)
{
	struct control *control = transaction->control;
	const struct config *old = control->config;
	int result = flow_keep_begin(error);

	if (result)
		return result;
	group_keep_begin();
	meter_keep_begin();
	if (new_config)
		result = control->apply->prepare(control->apply->context, old, transaction->config,
						 error);
	if (!result)
		result = run_stage(transaction, list, true, results, at, error);
	if (!result)
		result = flow_keep_check(error);
	if (!result)
		result = group_keep_check(error);
	if (!result)
		result = meter_keep_check(error);
	if (!result && new_config)
		result = store_write(control->store, old, transaction->config, error);
	if (!result)
		result = store_commit(control->store, error);
	if (!result) {
		flow_keep_commit();
		group_keep_commit();
		meter_keep_commit();
		if (new_config)
			control->apply->finish(control->apply->context, transaction->config);
		return 0;
	}
	flow_keep_cancel();
	store_rollback(control->store);
	if (new_config)
		control->apply->restore(control->apply->context, old);
	group_keep_undo_before_flows();
	meter_keep_undo_before_flows();
	flow_keep_undo();
	group_keep_undo_after_flows();
	meter_keep_undo_after_flows();
	return result;
}

static int run_commands(struct transaction *transaction, const json_t *list, json_t *results,
			int *at, struct error *error)
{
	struct control *control = transaction->control;
	bool switch_changes, new_config;
	int result = check_commands(control, list, &switch_changes, at, error);

	if (!result)
		result = run_stage(transaction, list, false, results, at, error);
	if (result)
		return result;
	result = check_names(transaction, error);
	if (result)
		return result;
	new_config = config_changed(control->config, transaction->config);
	if (new_config) {
		config_collect(transaction->config);
		result = config_validate(transaction->config, error);
		if (result)
			return result;
	}
	if (!new_config && !switch_changes)
		return run_stage(transaction, list, true, results, at, error);
	result = change(transaction, new_config, list, results, at, error);
	if (!result && new_config) {
		config_free(control->config);
		control->config = transaction->config;
		control->config->base = NULL;
		transaction->config = NULL;
	}
	return result;
}

static json_t *make_reply(const json_t *request, struct transaction *transaction, json_t *results)
{
	json_t *reply = json_object();
	json_t *id = json_object_get(request, "id");

	const size_t n_output = transaction->control->output.length;

	// The first member: who reads the reply has to know how much follows it.
	if (n_output)
		json_object_set_new(reply, "attached", json_integer((json_int_t)n_output));
	if (id)
		json_object_set(reply, "id", id);
	json_object_set(reply, "results", results);
	if (json_array_size(transaction->warnings))
		json_object_set(reply, "warnings", transaction->warnings);
	return reply;
}

static int check_request(const json_t *request, json_t **list, struct error *error)
{
	*list = json_object_get(request, "commands");
	if (!json_is_object(request) || !json_is_array(*list))
		return error_set(error, EINVAL,
				 "a request is an object {\"id\": N, \"commands\": [...]}");
	if (!json_array_size(*list))
		return error_set(error, EINVAL, "\"commands\" is empty");
	if (json_array_size(*list) > MAX_COMMANDS)
		return error_set(error, E2BIG, "a request has at most %d commands", MAX_COMMANDS);
	return 0;
}

json_t *transaction_run(struct control *control, const json_t *request)
{
	struct transaction transaction = { .control = control };
	struct error error = { 0 };
	json_t *results = json_array();
	json_t *list, *reply;
	int at = -1;
	int result = check_request(request, &list, &error);

	if (!result) {
		transaction.config = config_copy(control->config);
		if (!transaction.config)
			result = error_set(&error, ENOMEM, "out of memory");
	}
	transaction.wants_text = json_is_true(json_object_get(request, "text"));
	transaction.names = json_object();
	transaction.created = json_object();
	transaction.warnings = json_array();
	for (size_t i = 0; !result && i < json_array_size(list); i++)
		json_array_append_new(results, json_null());
	if (!result)
		result = run_commands(&transaction, list, results, &at, &error);
	if (result)
		text_free(&control->output);
	reply = result ? transaction_error_reply(json_object_get(request, "id"), &error, at)
		       : make_reply(request, &transaction, results);
	config_free(transaction.config);
	json_decref(transaction.names);
	json_decref(transaction.created);
	json_decref(transaction.warnings);
	json_decref(results);
	return reply;
}
