// The answer to trace as an indented tree. docs/trace.md explains it.
#include "ctl/render.h"

#include "common/text.h"

#include <string.h>

#define STEP 4

static const char *string(const json_t *object, const char *key)
{
	const char *value = json_string_value(json_object_get(object, key));

	return value ? value : "";
}

static json_int_t number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static bool is_true(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

static void add_indent(struct text *text, unsigned int indent)
{
	text_addf(text, "%*s", (int)indent, "");
}

static void add_number(struct text *text, const char *before, const json_t *object, const char *key,
		       const char *after)
{
	text_addf(text, "%s%" JSON_INTEGER_FORMAT "%s", before, number(object, key), after);
}

// OFPP_LOCAL is the only large number a port can have.
static void add_port(struct text *text, const json_t *object, const char *key)
{
	text_addf(text, "%s", string(object, key));
	if (number(object, "ofport") && number(object, "ofport") < 0xffffff00)
		add_number(text, " (", object, "ofport", ")");
}

static void add_cookie(struct text *text, const json_t *object)
{
	const char *cookie = string(object, "cookie");

	if (*cookie && strcmp(cookie, "0x0"))
		text_addf(text, "cookie=%s ", cookie);
}

// --- Tables ---

static void render_why_not(const json_t *node, unsigned int indent, struct text *text)
{
	json_t *near;
	size_t i;

	json_array_foreach (json_object_get(node, "why_not"), i, near) {
		const json_int_t others = number(near, "fields") - 1;

		add_indent(text, indent);
		add_number(text, "priority=", near, "priority", " ");
		add_cookie(text, near);
		if (json_is_null(json_object_get(near, "packet")))
			text_addf(text, "%s did not match: the packet has no %s, flow wants %s",
				  string(near, "match"), string(near, "field"),
				  string(near, "wants"));
		else
			text_addf(text, "%s did not match: %s is %s, flow wants %s",
				  string(near, "match"), string(near, "field"),
				  string(near, "packet"), string(near, "wants"));
		if (others > 0)
			text_addf(text, " (and %" JSON_INTEGER_FORMAT " more field%s)", others,
				  others == 1 ? "" : "s");
		text_add(text, "\n");
	}
	if (number(node, "why_not_others")) {
		add_indent(text, indent);
		add_number(text, "and ", node, "why_not_others", " more did not match\n");
	}
	if (json_object_get(node, "why_not_limit")) {
		add_indent(text, indent);
		text_add(text, "the table is large: not every flow was compared\n");
	}
}

static void render_table(const json_t *node, unsigned int indent, struct text *text)
{
	add_indent(text, indent);
	add_number(text, "table ", node, "table", "");
	if (*string(node, "table_name"))
		text_addf(text, " (%s)", string(node, "table_name"));
	if (json_is_null(json_object_get(node, "flow"))) {
		text_add(text, ": no match\n");
	} else {
		add_number(text, ": priority=", node, "priority", " ");
		add_cookie(text, node);
		text_addf(text, "%s\n",
			  *string(node, "match") ? string(node, "match") : "(every packet)");
	}
	render_why_not(node, indent + 2 * STEP, text);
}

// --- Other steps ---

static void render_changes(const json_t *node, unsigned int indent, struct text *text)
{
	json_t *change;
	size_t i;

	json_array_foreach (json_object_get(node, "changes"), i, change) {
		const char *before = json_string_value(json_object_get(change, "before"));
		const char *after = json_string_value(json_object_get(change, "after"));

		add_indent(text, indent);
		text_addf(text, "%s: %s -> %s\n", string(change, "field"),
			  before ? before : "(none)", after ? after : "(none)");
	}
}

static void render_group(const json_t *node, unsigned int indent, struct text *text)
{
	const json_t *chosen = json_object_get(node, "chosen");
	json_t *bucket;
	size_t i;

	add_indent(text, indent);
	add_number(text, "group ", node, "group", "");
	text_addf(text, ", type %s: ", string(node, "group_type"));
	if (json_object_get(node, "hash")) {
		text_addf(text, "hash %s", string(node, "hash"));
		add_number(text, ", slot ", node, "slot", "");
		add_number(text, " of ", node, "slots", "");
		if (json_is_integer(json_object_get(node, "owner")))
			add_number(text, ", which is bucket ", node, "owner", "'s: ");
		else
			text_add(text, ": ");
	}
	if (json_is_integer(chosen))
		add_number(text, "bucket ", node, "chosen", "");
	else
		text_add(text, chosen ? "no bucket is live" : "every bucket");
	if (json_object_get(node, "hash") && json_is_integer(chosen) &&
	    !json_equal(chosen, json_object_get(node, "owner")))
		text_add(text, ", as that one is dead");
	text_add(text, "\n");
	json_array_foreach (json_object_get(node, "buckets"), i, bucket) {
		add_indent(text, indent + STEP);
		add_number(text, "bucket ", bucket, "bucket", ": ");
		if (json_object_get(bucket, "weight"))
			add_number(text, "weight ", bucket, "weight", ", ");
		text_add(text, is_true(bucket, "live") ? "live\n" : "dead\n");
	}
}

static void render_stack(const json_t *node, unsigned int indent, struct text *text)
{
	const size_t shown = json_array_size(json_object_get(node, "values"));
	json_t *value;
	size_t i;

	add_indent(text, indent);
	text_add(text, shown ? "stack, top first:" : "the stack is empty");
	json_array_foreach (json_object_get(node, "values"), i, value)
		text_addf(text, " %s", json_string_value(value));
	if ((size_t)number(node, "size") > shown)
		add_number(text, " ... (", node, "size", " values)");
	text_add(text, "\n");
}

static void render_output(const json_t *node, unsigned int indent, struct text *text)
{
	add_indent(text, indent);
	text_add(text, "-> port ");
	add_port(text, node, "port");
	add_number(text, ", ", node, "length", " bytes");
	if (*string(node, "peer"))
		text_addf(text, ", which leads to port %s of bridge %s", string(node, "peer"),
			  string(node, "peer_bridge"));
	if (!is_true(node, "link"))
		text_add(text, ", which has no peer");
	text_add(text, "\n");
}

static void render_packet(const json_t *node, unsigned int indent, struct text *text)
{
	add_indent(text, indent);
	text_addf(text, "bridge %s: ", string(node, "bridge"));
	add_number(text, "", node, "length", " bytes from port ");
	add_port(text, node, "port");
	if (number(node, "hops"))
		add_number(text, ", ", node, "hops",
			   number(node, "hops") == 1 ? " patch port passed"
						     : " patch ports passed");
	text_addf(text, "\n%*s%s\n", (int)indent + STEP, "", string(node, "packet"));
}

static void render_steps(const json_t *steps, unsigned int indent, struct text *text);

static void render_step(const json_t *step, unsigned int indent, struct text *text)
{
	const char *type = string(step, "type");

	if (!strcmp(type, "packet")) {
		render_packet(step, indent, text);
	} else if (!strcmp(type, "table")) {
		render_table(step, indent, text);
	} else if (!strcmp(type, "group")) {
		render_group(step, indent, text);
	} else if (!strcmp(type, "stack")) {
		render_stack(step, indent, text);
	} else if (!strcmp(type, "output")) {
		render_output(step, indent, text);
	} else {
		add_indent(text, indent);
		if (!strcmp(type, "bucket"))
			add_number(text, "bucket ", step, "bucket", "\n");
		else if (!strcmp(type, "action_set"))
			text_add(text, "action set\n");
		else if (!strcmp(type, "drop"))
			text_addf(text, "dropped: %s: %s\n", string(step, "reason"),
				  string(step, "help"));
		else
			text_addf(text, "%s\n",
				  *type == 'a' ? string(step, "action") : string(step, "note"));
	}
	render_changes(step, indent + STEP, text);
	render_steps(json_object_get(step, "steps"), indent + STEP, text);
}

static void render_steps(const json_t *steps, unsigned int indent, struct text *text)
{
	json_t *step;
	size_t i;

	json_array_foreach ((json_t *)steps, i, step)
		render_step(step, indent, text);
}

// --- The end ---

static void add_count(struct text *text, const json_t *object)
{
	if (number(object, "count") > 1)
		add_number(text, ", x", object, "count", " identical");
}

static void render_outcome(const json_t *answer, unsigned int indent, struct text *text)
{
	const json_t *outputs = json_object_get(answer, "outputs");
	const json_t *drops = json_object_get(answer, "drops");
	json_t *item;
	size_t i;

	json_array_foreach ((json_t *)outputs, i, item) {
		add_indent(text, indent);
		text_add(text, "sent: port ");
		add_port(text, item, "port");
		text_addf(text, " of bridge %s", string(item, "bridge"));
		if (json_object_get(item, "length"))
			add_number(text, ", ", item, "length", " bytes");
		add_count(text, item);
		text_add(text, "\n");
		if (*string(item, "packet"))
			text_addf(text, "%*s%s\n", (int)indent + STEP, "", string(item, "packet"));
		if (*string(item, "hex"))
			text_addf(text, "%*s%s\n", (int)indent + STEP, "", string(item, "hex"));
	}
	json_array_foreach ((json_t *)drops, i, item) {
		add_indent(text, indent);
		text_addf(text, "dropped: %s: %s (counted at port %s of bridge %s)",
			  string(item, "reason"), string(item, "help"), string(item, "port"),
			  string(item, "bridge"));
		add_count(text, item);
		text_add(text, "\n");
	}
	if (!json_array_size(outputs) && !json_array_size(drops))
		text_addf(text, "%*ssent nowhere\n", (int)indent, "");
}

static void render_capture(const json_t *answer, struct text *text)
{
	json_t *item;
	size_t i;

	json_array_foreach (json_object_get(answer, "results"), i, item) {
		add_number(text, "", item, "packets",
			   number(item, "packets") == 1 ? " packet" : " packets");
		add_number(text, ", the first is number ", item, "first", "\n");
		text_addf(text, "%*s%s\n", STEP, "", string(item, "flow"));
		render_outcome(item, STEP, text);
	}
	add_number(text, "", answer, "packets",
		   number(answer, "packets") == 1 ? " packet traced" : " packets traced");
	if (number(answer, "cut"))
		add_number(text, ", ", answer, "cut", " of them cut short by the capture");
	if (number(answer, "not_told"))
		add_number(text, "; ", answer, "not_told", " of them fared in yet other ways");
	if (*string(answer, "stopped"))
		text_addf(text, "; %s", string(answer, "stopped"));
	text_add(text, "\n");
}

void render_trace(const json_t *request, const json_t *answer, struct text *text)
{
	const json_t *budget = json_object_get(answer, "budget");

	(void)request;
	if (json_object_get(answer, "results")) {
		render_capture(answer, text);
		return;
	}
	if (number(answer, "wire_length") > number(answer, "length"))
		add_number(text, "the capture has only the beginning of this packet of ", answer,
			   "wire_length", " bytes\n");
	render_steps(json_object_get(answer, "steps"), 0, text);
	text_add(text, "\n");
	render_outcome(answer, 0, text);
	add_number(text, "budget: ", budget, "used", "");
	add_number(text, " of ", budget, "limit", " table lookups and buckets\n");
	if (is_true(answer, "truncated"))
		text_add(text, "there was more: not every step is shown\n");
	if (is_true(answer, "outputs_truncated"))
		text_add(text, "there was more: not every output or drop is shown\n");
}
