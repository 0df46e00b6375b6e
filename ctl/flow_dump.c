// Printing flows: dump-flows, dump-aggregate.
#include "ctl/switch_bridge.h"

#include "common/clock.h"
#include "common/error.h"
#include "common/text.h"
#include "ctl/flow_print.h"
#include "flowtable/tun_map.h"
#include "ofproto/flow_mod.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char *const flag_words[] = { "send_flow_rem", "check_overlap", "reset_counts",
					  "no_packet_counts", "no_byte_counts" };
#define N_FLAG_WORDS (sizeof(flag_words) / sizeof(flag_words[0]))

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
	json_t *array = json_array();

	for (unsigned int i = 0; i < N_FLAG_WORDS; i++)
		if (flags & 1u << i)
			json_array_append_new(array, json_string(flag_words[i]));
	return array;
}

// One flow: what dump-flows --json prints. `match` has the priority in front of it unless it is the
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
	if (names && names->table_name && names->table_name(names->context, flow->table_id))
		json_object_set_new(object, "table_name",
				    json_string(names->table_name(names->context, flow->table_id)));
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

// Seconds with up to three decimals, as few as are needed.
static void add_duration(struct text *text, uint64_t ns)
{
	const uint64_t ms = ns / NS_PER_MS;
	unsigned int rest = (unsigned int)(ms % 1000), digits = 3;

	text_add(text, "duration=");
	text_add_u64(text, ms / 1000);
	for (; rest && rest % 10 == 0; digits--)
		rest /= 10;
	if (rest)
		text_addf(text, ".%0*u", (int)digits, rest);
	text_add(text, "s, ");
}

static void add_count(struct text *text, const char *name, uint64_t value)
{
	text_add(text, name);
	text_add_char(text, '=');
	text_add_u64(text, value);
	text_add(text, ", ");
}

static void add_table(struct text *text, uint8_t table_id, const struct port_names *names)
{
	text_add(text, "table=");
	table_format(table_id, names, text);
	text_add(text, ", ");
}

void flow_print(const struct flow *flow, const struct port_names *names, bool stats,
		uint64_t now_ns, struct text *text)
{
	const struct counter counts = flow_counts(flow);
	struct match match;
	size_t start;

	text_add_char(text, ' ');
	if (stats || flow->cookie)
		text_addf(text, "cookie=0x%" PRIx64 ", ", flow->cookie);
	if (stats)
		add_duration(text, now_ns - flow->created_ns);
	if (stats || flow->table_id)
		add_table(text, flow->table_id, names);
	if (stats) {
		add_count(text, "n_packets", counts.packets);
		add_count(text, "n_bytes", counts.bytes);
	}
	if (flow->idle_timeout)
		add_count(text, "idle_timeout", flow->idle_timeout);
	if (flow->hard_timeout)
		add_count(text, "hard_timeout", flow->hard_timeout);
	for (unsigned int i = 0; i < N_FLAG_WORDS; i++)
		if (flow->flags & 1u << i)
			text_addf(text, "%s ", flag_words[i]);
	if (flow->importance)
		add_count(text, "importance", flow->importance);
	start = text->length;
	match_unpack(flow->mask, flow->values, &match);
	flow_format_match(&match, flow->priority, names, text);
	text_add(text, text->length > start ? " actions=" : "actions=");
	program_format(flow->program, names, text);
	text_add_char(text, '\n');
}

static const char *const change_words[] = {
	[FLOW_ADD] = "add",
	[FLOW_MODIFY] = "modify",
	[FLOW_MODIFY_STRICT] = "modify_strict",
	[FLOW_DELETE] = "delete",
	[FLOW_DELETE_STRICT] = "delete_strict",
};

static void add_selectors(struct text *text, const struct flow_text *change,
			  const struct port_names *names)
{
	if (change->cookie_mask == UINT64_MAX)
		text_addf(text, "cookie=0x%" PRIx64 "/-1,", change->cookie);
	else if (change->cookie_mask)
		text_addf(text, "cookie=0x%" PRIx64 "/0x%" PRIx64 ",", change->cookie,
			  change->cookie_mask);
	if (change->has_new_cookie)
		text_addf(text, "cookie=0x%" PRIx64 ",", change->new_cookie);
	if (change->out_port != OFPP_ANY) {
		const struct field_value port = field_value_from_u64(change->out_port);

		text_add(text, "out_port=");
		field_format_value(&fields[FIELD_IN_PORT_OXM], &port, NULL, names, text);
		text_add_char(text, ',');
	}
	if (change->out_group != OFPP_ANY)
		text_addf(text, "out_group=%u,", change->out_group);
}

static void add_settings(struct text *text, const struct flow_text *change)
{
	if (change->idle_timeout)
		text_addf(text, "idle_timeout=%u,", change->idle_timeout);
	if (change->hard_timeout)
		text_addf(text, "hard_timeout=%u,", change->hard_timeout);
	if (change->importance)
		text_addf(text, "importance=%u,", change->importance);
	for (unsigned int i = 0; i < N_FLAG_WORDS; i++)
		if (change->flags & 1u << i)
			text_addf(text, "%s,", flag_words[i]);
}

void flow_mod_print(const struct flow_mod *mod, const struct port_names *names, struct text *text)
{
	const struct flow_text *change = &mod->text;

	text_addf(text, " %s ", change_words[mod->command]);
	add_selectors(text, change, names);
	if (change->has_table && change->table_id != 255) {
		text_add(text, "table=");
		table_format(change->table_id, names, text);
		text_add_char(text, ',');
	}
	add_settings(text, change);
	flow_format_match(&change->match, change->priority, names, text);
	text_chomp(text, ",");
	if (change->program) {
		if (text->data && text->data[text->length - 1] != ' ')
			text_add_char(text, ' ');
		text_add(text, "actions=");
		program_format(change->program, names, text);
	}
	text_chomp(text, " ");
	text_add_char(text, '\n');
}

// --- Sorting ---

struct sort_key {
	struct flow *flow;
	unsigned int place; // so far: equal flows keep their order
	bool has_value; // flows that do not match the field come last, with --rsort first
	struct field_value value;
};

static int compare_values(const struct sort_key *a, const struct sort_key *b)
{
	if (a->has_value != b->has_value)
		return a->has_value ? -1 : 1;
	return memcmp(&a->value, &b->value, sizeof(a->value));
}

static int compare_places(const struct sort_key *a, const struct sort_key *b)
{
	return a->place < b->place ? -1 : a->place > b->place;
}

static int compare_rising(const void *a, const void *b)
{
	const int order = compare_values(a, b);

	return order ? order : compare_places(a, b);
}

static int compare_falling(const void *a, const void *b)
{
	const int order = compare_values(b, a);

	return order ? order : compare_places(a, b);
}

// What a flow is sorted by; `field` NULL: the priority.
static void sort_key_fill(struct sort_key *key, struct flow *flow, const struct field *field)
{
	struct field_value mask;
	struct match match;

	*key = (struct sort_key){ .flow = flow, .has_value = true };
	if (!field) {
		key->value = field_value_from_u64(flow->priority);
		return;
	}
	match_unpack(flow->mask, flow->values, &match);
	field_get(field, &match.value, &key->value);
	field_get(field, &match.mask, &mask);
	key->has_value = !field_value_is_zero(&mask) && match_has_prerequisite(&match, field);
}

static int sort_flows(struct flow **flows, unsigned int n, const char *field_name, bool falling,
		      const struct port_names *names, struct error *error)
{
	const struct field *field = NULL;
	struct sort_key *keys;

	if (*field_name && strcmp(field_name, "priority")) {
		field = field_find(field_name, strlen(field_name));
		field = field ? tun_map_field(names, field) : NULL;
		if (!field)
			return error_set(error, EINVAL,
					 "there is no field '%.64s' to sort by: priority and the "
					 "fields that flows match are",
					 field_name);
	}
	keys = malloc((n ? n : 1) * sizeof(*keys));
	if (!keys)
		return error_set(error, ENOMEM, "out of memory");
	for (unsigned int i = 0; i < n; i++) {
		sort_key_fill(&keys[i], flows[i], field);
		keys[i].place = i;
	}
	qsort(keys, n, sizeof(*keys), falling ? compare_falling : compare_rising);
	for (unsigned int i = 0; i < n; i++)
		flows[i] = keys[i].flow;
	free(keys);
	return 0;
}

// By several fields, "in_port,priority": by the last one first, as equal flows keep their order.
static int sort_by_list(struct flow **flows, unsigned int n, const char *list, bool falling,
			const struct port_names *names, struct error *error)
{
	char *copy = strdup(list), *comma;
	int failed = 0;

	if (!copy)
		return error_set(error, ENOMEM, "out of memory");
	do {
		comma = strrchr(copy, ',');
		if (comma)
			*comma = '\0';
		failed = sort_flows(flows, n, comma ? comma + 1 : copy, falling, names, error);
	} while (!failed && comma);
	free(copy);
	return failed;
}

// --- Commands ---

static int select_flows(const struct handler_call *call, struct bridge *bridge,
			struct flow ***flows, unsigned int *n, struct error *error)
{
	const char *selector = call_arg(call, 1);
	struct flow_text text;
	int failed = flow_text_parse(selector ? selector : "", FLOW_TEXT_DUMP,
				     bridge_port_names(bridge), &text, error);

	if (failed)
		return failed;
	if (!text.has_table)
		text.table_id = 255;
	failed = flow_mod_select(bridge, &text, call_flag(call, "strict"), flows, n, error);
	flow_text_release(&text);
	return failed;
}

static json_t *print_flows(const struct handler_call *call, struct flow **flows, unsigned int n,
			   const struct port_names *names)
{
	const bool stats = call_flag(call, "stats") || !call_flag(call, "no-stats");
	const uint64_t now_ns = clock_monotonic_ns();
	struct text *text = call_answer_text(call);
	const size_t start = text ? text->length : 0;
	json_t *list;

	if (text) {
		for (unsigned int i = 0; i < n; i++)
			flow_print(flows[i], names, stats, now_ns, text);
		return call_end_text(call, start);
	}
	list = json_array();
	for (unsigned int i = 0; i < n; i++)
		json_array_append_new(list, describe_flow(flows[i], names, now_ns));
	return list;
}

int handle_flow_dump(const struct handler_call *call, json_t **result, struct error *error)
{
	struct bridge *bridge = call_switch_bridge(call, error);
	const char *rising = call_option(call, "sort");
	const char *falling = call_option(call, "rsort");
	const struct port_names *names;
	struct flow **flows;
	unsigned int n;
	int failed;

	if (!bridge)
		return -ENOENT;
	names = call_flag(call, "no-names") ? bridge_port_numbers(bridge)
					    : bridge_port_names(bridge);
	failed = select_flows(call, bridge, &flows, &n, error);
	if (failed)
		return failed;
	if (falling)
		failed = sort_by_list(flows, n, falling, true, names, error);
	if (!failed && rising)
		failed = sort_by_list(flows, n, rising, false, names, error);
	if (!failed)
		*result = print_flows(call, flows, n, names);
	free(flows);
	return failed;
}

int handle_flow_aggregate(const struct handler_call *call, json_t **result, struct error *error)
{
	struct bridge *bridge = call_switch_bridge(call, error);
	struct counter sum = { 0 };
	struct flow **flows;
	unsigned int n;
	int failed;

	if (!bridge)
		return -ENOENT;
	failed = select_flows(call, bridge, &flows, &n, error);
	if (failed)
		return failed;
	for (unsigned int i = 0; i < n; i++) {
		const struct counter counts = flow_counts(flows[i]);

		sum.packets += counts.packets;
		sum.bytes += counts.bytes;
	}
	free(flows);
	*result = json_pack("{s:I, s:I, s:I}", "packet_count", (json_int_t)sum.packets,
			    "byte_count", (json_int_t)sum.bytes, "flow_count", (json_int_t)n);
	return 0;
}
