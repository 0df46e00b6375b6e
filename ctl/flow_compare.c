// Commands on whole sets of flows: replace-flows, diff-flows, parse-flow, parse-flows.
#include "ctl/switch_bridge.h"

#include "common/error.h"
#include "common/text.h"
#include "ctl/flow_list.h"
#include "ctl/flow_print.h"
#include "flowtable/program_share.h"
#include "ofproto/bundle.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// Flows of a file or of a bridge.
struct flow_set {
	struct flow **flows; // NULL where one was taken away
	unsigned int n;
	bool owns; // those of a file
};

// Do two flows of equal match and priority say the same?
static bool is_same_flow(const struct flow *a, const struct flow *b)
{
	return a->cookie == b->cookie && a->idle_timeout == b->idle_timeout &&
	       a->hard_timeout == b->hard_timeout && a->importance == b->importance &&
	       a->flags == b->flags && program_is_same(a->program, b->program);
}

static int compare_u64(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

// By table, falling priority, and match.
static int compare_flows(const void *a_, const void *b_)
{
	const struct flow *a = *(struct flow *const *)a_;
	const struct flow *b = *(struct flow *const *)b_;
	int order = (int)a->table_id - b->table_id;

	if (!order)
		order = (int)b->priority - a->priority;
	if (!order)
		order = (int)a->mask->n_words - b->mask->n_words;
	for (unsigned int i = 0; !order && i < a->mask->n_words; i++)
		order = (int)a->mask->word[i] - b->mask->word[i];
	for (unsigned int i = 0; !order && i < a->mask->n_words; i++)
		order = compare_u64(a->mask->bits[i], b->mask->bits[i]);
	for (unsigned int i = 0; !order && i < a->mask->n_words; i++)
		order = compare_u64(a->values[i], b->values[i]);
	return order;
}

// Of a file the order of the lines decides among equal ones; kept_id has their place meanwhile.
static int compare_lines(const void *a, const void *b)
{
	const int order = compare_flows(a, b);

	return order ? order
		     : compare_u64((*(struct flow *const *)a)->kept_id,
				   (*(struct flow *const *)b)->kept_id);
}

// The same match and priority twice: as in add-flows the later one counts.
static void drop_repeated(struct flow_set *set)
{
	unsigned int n = 0;

	qsort(set->flows, set->n, sizeof(*set->flows), compare_lines);
	for (unsigned int i = 0; i < set->n; i++) {
		if (n && !compare_flows(&set->flows[n - 1], &set->flows[i]))
			flow_free(set->flows[--n]);
		set->flows[i]->kept_id = 0;
		set->flows[n++] = set->flows[i];
	}
	set->n = n;
}

// A file that is compared says which flows there are, not what to do. Its flows become the set's.
static int set_from_list(struct flow_set *set, struct flow_list *list, struct error *error)
{
	set->owns = true;
	set->flows = malloc((list->n + 1) * sizeof(*set->flows));
	if (!set->flows)
		return error_set(error, ENOMEM, "out of memory");
	for (unsigned int i = 0; i < list->n; i++) {
		struct flow *flow = list->changes[i].flow;

		if (!flow) {
			error->line = list->lines[i];
			return error_set(error, EINVAL, "only flows to add belong here");
		}
		flow->kept_id = i + 1;
		set->flows[set->n++] = flow;
		list->changes[i].flow = NULL;
	}
	drop_repeated(set);
	return 0;
}

static int set_from_text(struct flow_set *set, struct bridge *bridge, const char *text,
			 struct error *error)
{
	struct flow_list list = { .bridge = bridge };
	int result = flow_list_read(&list, text, error);

	if (!result)
		result = set_from_list(set, &list, error);
	flow_list_free(&list);
	return result;
}

static int set_from_bridge(struct flow_set *set, struct bridge *bridge, struct error *error)
{
	const struct flow_text all = { .table_id = 255,
				       .out_port = OFPP_ANY,
				       .out_group = OFPP_ANY };
	int result = flow_mod_select(bridge, &all, false, &set->flows, &set->n, error);

	if (!result && set->n)
		qsort(set->flows, set->n, sizeof(*set->flows), compare_flows);
	return result;
}

static void set_free(struct flow_set *set)
{
	for (unsigned int i = 0; set->owns && i < set->n; i++)
		flow_free(set->flows[i]);
	free(set->flows);
}

// What is in one set and not the same in the other, in order. visit() gets NULL for the flow that
// is not there, and may take a flow away.
static int compare_sets(struct flow_set *a, struct flow_set *b,
			int (*visit)(void *context, struct flow **a, struct flow **b),
			void *context)
{
	unsigned int i = 0, k = 0;
	int result = 0;

	while (!result && (i < a->n || k < b->n)) {
		int order = i == a->n ? 1 : k == b->n ? -1 : 0;

		if (!order)
			order = compare_flows(&a->flows[i], &b->flows[k]);
		if (order < 0)
			result = visit(context, &a->flows[i], NULL);
		else if (order > 0)
			result = visit(context, NULL, &b->flows[k]);
		else if (!is_same_flow(a->flows[i], b->flows[k]))
			result = visit(context, &a->flows[i], &b->flows[k]);
		i += order <= 0;
		k += order >= 0;
	}
	return result;
}

struct replacement {
	struct flow_change *changes;
	unsigned int n;
};

// A flow to add takes the place of the old one, if there is one.
static int visit_replacement(void *context, struct flow **old, struct flow **flow)
{
	struct replacement *replacement = context;
	struct flow_change *change = &replacement->changes[replacement->n++];

	*change = (struct flow_change){ 0 };
	if (flow) {
		change->flow = *flow;
		*flow = NULL;
	} else {
		change->remove = *old;
	}
	return 0;
}

static int replace(struct bridge *bridge, struct flow_set *wanted, bool bundle, struct error *error)
{
	struct replacement replacement = { 0 };
	struct flow_set present = { 0 };
	int result = set_from_bridge(&present, bridge, error);

	if (!result)
		replacement.changes =
			calloc((size_t)present.n + wanted->n + 1, sizeof(*replacement.changes));
	if (!result && !replacement.changes)
		result = error_set(error, ENOMEM, "out of memory");
	if (!result) {
		compare_sets(&present, wanted, visit_replacement, &replacement);
		// Nothing else may happen meanwhile: flows to remove are named by address.
		result = bundle ? bundle_apply_flows(bridge, replacement.changes, replacement.n,
						     error)
				: flow_mod_apply_list(bridge, replacement.changes, replacement.n,
						      NULL, error);
		error->line = 0;
	}
	for (unsigned int i = 0; i < replacement.n; i++)
		flow_free(replacement.changes[i].flow);
	free(replacement.changes);
	set_free(&present);
	return result;
}

int handle_flow_replace(const struct handler_call *call, json_t **result, struct error *error)
{
	struct bridge *bridge = call_switch_bridge(call, error);
	struct flow_set wanted = { 0 };
	int failed;

	(void)result;
	if (!bridge)
		return -ENOENT;
	failed = set_from_text(&wanted, bridge, call_arg(call, 1), error);
	if (!failed)
		failed = replace(bridge, &wanted, call_flag(call, "bundle"), error);
	set_free(&wanted);
	return failed;
}

// --- Printing ---

struct printer {
	const struct port_names *names;
	struct text text;
};

static int visit_difference(void *context, struct flow **a, struct flow **b)
{
	struct printer *printer = context;

	if (a) {
		text_add_char(&printer->text, '-');
		flow_print(*a, printer->names, false, 0, &printer->text);
	}
	if (b) {
		text_add_char(&printer->text, '+');
		flow_print(*b, printer->names, false, 0, &printer->text);
	}
	return 0;
}

// Lines as the answer: text as it is, or an array of strings.
static json_t *answer_lines(const struct handler_call *call, struct text *lines)
{
	struct text *output = call_answer_text(call);
	const size_t start = output ? output->length : 0;
	const char *line = lines->data ? lines->data : "";
	json_t *array;

	if (output) {
		text_add_bytes(output, line, lines->length);
		return call_end_text(call, start);
	}
	array = json_array();
	for (size_t n; *line; line += n + (line[n] == '\n')) {
		n = strcspn(line, "\n");
		json_array_append_new(array, json_stringn(line, n));
	}
	return array;
}

// vsctl attaches files; what is not attached is a bridge's name.
static struct bridge *source_bridge(const struct handler_call *call, size_t i)
{
	const char *name = json_string_value(json_array_get(call->args, i));

	return name ? bridge_find(name) : NULL;
}

static int read_source(const struct handler_call *call, size_t i, struct bridge *names,
		       struct flow_set *set, struct error *error)
{
	struct bridge *bridge = source_bridge(call, i);

	if (json_is_object(json_array_get(call->args, i)))
		return set_from_text(set, names, call_arg(call, i), error);
	if (!bridge)
		return error_set(error, ENOENT, "'%.64s' is neither a file nor a bridge",
				 call_arg(call, i));
	return set_from_bridge(set, bridge, error);
}

int handle_flow_diff(const struct handler_call *call, json_t **result, struct error *error)
{
	struct bridge *first = source_bridge(call, 0), *second = source_bridge(call, 1);
	struct bridge *names = first ? first : second;
	struct printer printer = { .names = names ? bridge_port_names(names) : NULL };
	struct flow_set a = { 0 }, b = { 0 };
	int failed = 0;

	// Files first: while one is read, flows of a bridge may time out.
	for (int bridges = 0; bridges < 2; bridges++) {
		if (!failed && (first != NULL) == bridges)
			failed = read_source(call, 0, names, &a, error);
		if (!failed && (second != NULL) == bridges)
			failed = read_source(call, 1, names, &b, error);
	}
	if (!failed)
		compare_sets(&a, &b, visit_difference, &printer);
	if (!failed && printer.text.failed)
		failed = error_set(error, ENOMEM, "out of memory");
	if (!failed)
		*result = answer_lines(call, &printer.text);
	text_free(&printer.text);
	set_free(&a);
	set_free(&b);
	return failed;
}

int handle_flow_parse(const struct handler_call *call, json_t **result, struct error *error)
{
	struct flow_list list = { 0 };
	struct text text = { 0 };
	int failed = flow_list_read(&list, call_arg(call, 0), error);

	if (!json_is_object(json_array_get(call->args, 0)))
		error->line = 0;
	for (unsigned int i = 0; !failed && i < list.n; i++) {
		const struct flow_change *change = &list.changes[i];

		if (change->flow)
			flow_print(change->flow, NULL, false, 0, &text);
		else
			flow_mod_print(change->mod, NULL, &text);
	}
	if (!failed)
		*result = answer_lines(call, &text);
	text_free(&text);
	flow_list_free(&list);
	return failed;
}
