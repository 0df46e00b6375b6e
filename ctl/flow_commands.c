// Commands on flows. Text is parsed with the bridge's port names; changes go through flow_mod.h.
#include "ctl/switch_bridge.h"

#include "common/clock.h"
#include "common/error.h"
#include "common/text.h"
#include "ofproto/flow_mod.h"
#include "ofproto/trace.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

// Lines of a long file that are read between two looks at the rest of the world.
#define RELAX_EVERY 4096

// A list of changes is checked whole before the first is made.
struct flow_list {
	struct bridge *bridge;
	struct flow_change *changes;
	int *lines; // of each change, in the user's text
	unsigned int n;
	unsigned int size;
};

static void change_free(struct flow_change *change)
{
	flow_free(change->flow);
	if (change->mod)
		flow_text_release(&change->mod->text);
	free(change->mod);
}

static void list_free(struct flow_list *list)
{
	for (unsigned int i = 0; i < list->n; i++)
		change_free(&list->changes[i]);
	free(list->changes);
	free(list->lines);
}

static int list_reserve(struct flow_list *list, struct error *error)
{
	unsigned int size = list->size ? list->size * 2 : 16;
	struct flow_change *changes;
	int *lines;

	if (list->n < list->size)
		return 0;
	changes = realloc(list->changes, size * sizeof(*changes));
	if (changes)
		list->changes = changes;
	lines = realloc(list->lines, size * sizeof(*lines));
	if (lines)
		list->lines = lines;
	if (!changes || !lines)
		return error_set(error, ENOMEM, "out of memory");
	list->size = size;
	return 0;
}

static const struct {
	const char *word;
	enum flow_mod_command command;
	enum flow_text_usage usage;
} line_words[] = {
	{ "add", FLOW_ADD, FLOW_TEXT_ADD },
	{ "modify", FLOW_MODIFY, FLOW_TEXT_MOD },
	{ "modify_strict", FLOW_MODIFY_STRICT, FLOW_TEXT_MOD },
	{ "delete", FLOW_DELETE, FLOW_TEXT_DELETE },
	{ "delete_strict", FLOW_DELETE_STRICT, FLOW_TEXT_DELETE },
};

// A flow to add is made at once, other changes keep their text.
static int change_make(struct flow_change *change, enum flow_mod_command command,
		       struct flow_text *text, struct error *error)
{
	*change = (struct flow_change){ 0 };
	if (command == FLOW_ADD) {
		change->flow = flow_create(text);
		flow_text_release(text);
	} else {
		change->mod = malloc(sizeof(*change->mod));
		if (change->mod)
			*change->mod = (struct flow_mod){ .command = command, .text = *text };
		else
			flow_text_release(text);
	}
	if (!change->flow && !change->mod)
		return error_set(error, ENOMEM, "out of memory");
	return 0;
}

// Parse one change and append it.
static int list_add(struct flow_list *list, const char *string, enum flow_mod_command command,
		    enum flow_text_usage usage, int line, struct error *error)
{
	struct flow_text text;
	int result = list_reserve(list, error);

	if (result)
		return result;
	result = flow_text_parse(string, usage, bridge_port_names(list->bridge), &text, error);
	if (result) {
		error->line = line;
		return result;
	}
	// Without a table, deleting means all of them (OpenFlow 1.3.5 section 6.4).
	if (!text.has_table && command == FLOW_DELETE)
		text.table_id = 255;
	result = change_make(&list->changes[list->n], command, &text, error);
	if (!result)
		list->lines[list->n++] = line;
	return result;
}

// A line of a file may begin with what to do.
static int list_add_line(struct flow_list *list, const char *text, int line, struct error *error)
{
	size_t length = strcspn(text, " \t");
	size_t skipped = 0;
	size_t which = 0;
	int result;

	for (size_t i = 0; i < sizeof(line_words) / sizeof(line_words[0]); i++)
		if (strlen(line_words[i].word) == length &&
		    !memcmp(line_words[i].word, text, length)) {
			which = i;
			skipped = length + strspn(text + length, " \t");
		}
	result = list_add(list, text + skipped, line_words[which].command, line_words[which].usage,
			  line, error);
	if (result && error->column)
		error->column += (int)skipped;
	return result;
}

static int list_apply(struct flow_list *list, struct error *error)
{
	int result = 0;

	error_clear(error);
	if (list->n)
		result = flow_mod_apply_list(list->bridge, list->changes, list->n, bridges_tick,
					     error);
	if (result && error->line > 0 && (unsigned int)error->line <= list->n)
		error->line = list->lines[error->line - 1];
	return result;
}

// One line of `length` bytes, without comments and blanks around it.
static int read_line(struct flow_list *list, char *text, size_t length, int line,
		     struct error *error)
{
	const char *comment = memchr(text, '#', length);
	size_t lead = 0, end = comment ? (size_t)(comment - text) : length;
	char cut;
	int result;

	while (lead < end && isspace((unsigned char)text[lead]))
		lead++;
	while (end > lead && isspace((unsigned char)text[end - 1]))
		end--;
	if (end == lead)
		return 0;
	cut = text[end];
	text[end] = '\0';
	result = list_add_line(list, text + lead, line, error);
	text[end] = cut;
	if (result && error->column)
		error->column += (int)lead;
	return result;
}

// Read the whole text before anything is changed.
static int read_lines(struct flow_list *list, char *text, struct error *error)
{
	int result = 0;

	for (int line = 1; !result && *text; line++) {
		const char *newline = strchr(text, '\n');
		size_t length = newline ? (size_t)(newline - text) : strlen(text);

		result = read_line(list, text, length, line, error);
		text += length + (newline ? 1 : 0);
		if (line % RELAX_EVERY == 0)
			bridges_tick();
	}
	return result;
}

static int apply_file(struct bridge *bridge, const char *text, struct error *error)
{
	struct flow_list list = { .bridge = bridge };
	char *copy = strdup(text);
	int result;

	if (!copy)
		return error_set(error, ENOMEM, "out of memory");
	result = read_lines(&list, copy, error);
	free(copy);
	if (!result)
		result = list_apply(&list, error);
	list_free(&list);
	return result;
}

static int apply_one(const struct handler_call *call, enum flow_mod_command command,
		     enum flow_text_usage usage, struct error *error)
{
	struct flow_list list = { .bridge = call_switch_bridge(call, error) };
	const char *text = call_arg(call, 1);
	int result;

	if (!list.bridge)
		return -ENOENT;
	result = list_add(&list, text ? text : "", command, usage, 0, error);
	if (!result)
		result = list_apply(&list, error);
	if (result)
		error->line = 0;
	list_free(&list);
	return result;
}

int handle_flow_add(const struct handler_call *call, json_t **result, struct error *error)
{
	(void)result;
	return apply_one(call, FLOW_ADD, FLOW_TEXT_ADD, error);
}

int handle_flow_add_file(const struct handler_call *call, json_t **result, struct error *error)
{
	struct bridge *bridge = call_switch_bridge(call, error);

	(void)result;
	return bridge ? apply_file(bridge, call_arg(call, 1), error) : -ENOENT;
}

int handle_flow_modify(const struct handler_call *call, json_t **result, struct error *error)
{
	(void)result;
	return apply_one(call, call_flag(call, "strict") ? FLOW_MODIFY_STRICT : FLOW_MODIFY,
			 FLOW_TEXT_MOD, error);
}

int handle_flow_delete(const struct handler_call *call, json_t **result, struct error *error)
{
	(void)result;
	return apply_one(call, call_flag(call, "strict") ? FLOW_DELETE_STRICT : FLOW_DELETE,
			 FLOW_TEXT_DELETE, error);
}

static void set_text(json_t *object, const char *key, const struct text *text)
{
	json_object_set_new(object, key, json_string(text->data ? text->data : ""));
}

static void set_number(json_t *object, const char *key, uint64_t number)
{
	json_object_set_new(object, key, json_integer((json_int_t)number));
}

static json_t *flag_names(uint16_t flags)
{
	static const char *const names[] = { "send_flow_rem", "check_overlap", "reset_counts",
					     "no_packet_counts", "no_byte_counts" };
	json_t *array = json_array();

	for (unsigned int i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (flags & 1u << i)
			json_array_append_new(array, json_string(names[i]));
	return array;
}

// One flow: what dump-flows prints. `match` has the priority in front of it unless it is the
// default, as in the text form; "priority" is there for programs.
static json_t *describe_flow(const struct flow *flow, const struct port_names *names,
			     uint64_t now_ns)
{
	struct counter counts = flow_counts(flow);
	json_t *object = json_object();
	struct text text = { 0 };
	struct match match;

	match_unpack(flow->mask, flow->values, &match);
	json_object_set_new(object, "cookie", json_sprintf("0x%" PRIx64, flow->cookie));
	set_number(object, "table", flow->table_id);
	set_number(object, "priority", flow->priority);
	match_format(&match, names, &text);
	set_text(object, "match", &text);
	text_clear(&text);
	program_format(flow->program, names, &text);
	set_text(object, "actions", &text);
	text_free(&text);
	json_object_set_new(object, "duration",
			    json_real((double)((now_ns - flow->created_ns) / NS_PER_MS) / 1000.0));
	set_number(object, "n_packets", counts.packets);
	set_number(object, "n_bytes", counts.bytes);
	set_number(object, "idle_timeout", flow->idle_timeout);
	set_number(object, "hard_timeout", flow->hard_timeout);
	set_number(object, "importance", flow->importance);
	json_object_set_new(object, "flags", flag_names(flow->flags));
	return object;
}

int handle_flow_dump(const struct handler_call *call, json_t **result, struct error *error)
{
	struct bridge *bridge = call_switch_bridge(call, error);
	const struct port_names *names;
	const char *selector = call_arg(call, 1);
	uint64_t now_ns = clock_monotonic_ns();
	struct flow_text text;
	struct flow **flows;
	unsigned int n;
	int failed;

	if (!bridge)
		return -ENOENT;
	names = bridge_port_names(bridge);
	failed = flow_text_parse(selector ? selector : "", FLOW_TEXT_DUMP, names, &text, error);
	if (failed)
		return failed;
	if (!text.has_table)
		text.table_id = 255;
	failed = flow_mod_select(bridge, &text, call_flag(call, "strict"), &flows, &n, error);
	flow_text_release(&text);
	if (failed)
		return failed;
	*result = json_array();
	for (unsigned int i = 0; i < n; i++)
		json_array_append_new(
			*result, describe_flow(flows[i], call_flag(call, "no-names") ? NULL : names,
					       now_ns));
	free(flows);
	return 0;
}

int handle_flow_dump_tables(const struct handler_call *call, json_t **result, struct error *error)
{
	struct bridge *bridge = call_switch_bridge(call, error);
	struct table_part parts[64];

	if (!bridge)
		return -ENOENT;
	*result = json_array();
	for (unsigned int id = 0; id < N_TABLES; id++) {
		const struct table *table = bridge_table(bridge, (uint8_t)id);
		json_t *list = json_array();
		unsigned int n = table ? table_parts(table, parts, 64) : 0;

		if (n > 64)
			n = 64;
		for (unsigned int i = 0; i < n; i++)
			json_array_append_new(
				list, json_pack("{s:s, s:I, s:I, s:I, s:I}", "template",
						parts[i].template_name, "flows",
						(json_int_t)parts[i].n_flows, "masks",
						(json_int_t)parts[i].n_masks, "max_priority",
						(json_int_t)parts[i].max_priority, "memory",
						(json_int_t)parts[i].memory));
		if (table)
			json_array_append_new(*result,
					      json_pack("{s:I, s:I, s:o}", "table", (json_int_t)id,
							"flows", (json_int_t)table_size(table),
							"parts", list));
		else
			json_decref(list);
	}
	return 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// Hexadecimal digits to bytes; blanks between bytes are allowed.
static int parse_packet(const char *text, uint8_t *packet, size_t max, size_t *size,
			struct error *error)
{
	const char *start = text;

	for (*size = 0; *text; text += 2) {
		text += strspn(text, " :");
		if (!*text)
			break;
		if (*size == max)
			return error_set(error, E2BIG, "the packet is longer than %zu bytes", max);
		if (hex_digit(text[0]) < 0 || hex_digit(text[1]) < 0) {
			error->column = (int)(text - start) + 1;
			return error_set(error, EINVAL,
					 "the packet is written in pairs of hexadecimal digits");
		}
		packet[(*size)++] = (uint8_t)(hex_digit(text[0]) << 4 | hex_digit(text[1]));
	}
	return 0;
}

int handle_flow_trace(const struct handler_call *call, json_t **result, struct error *error)
{
	struct bridge *bridge = call_switch_bridge(call, error);
	uint8_t packet[16384];
	size_t size = 0;
	int failed = 0;

	if (!bridge)
		return -ENOENT;
	if (call_arg(call, 2))
		failed = parse_packet(call_arg(call, 2), packet, sizeof(packet), &size, error);
	return failed ? failed : trace_run(bridge, call_arg(call, 1), packet, size, result, error);
}
