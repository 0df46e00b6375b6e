#include "ofproto/flow_mod.h"

#include "common/error.h"
#include "flowtable/group_text.h"
#include "ofproto/bridge_internal.h"

#include <errno.h>
#include <stdlib.h>

// A growing array of flows.
struct selection {
	struct flow **flows;
	unsigned int n;
	unsigned int size;
};

static int selection_add(struct selection *selection, struct flow *flow)
{
	if (selection->n == selection->size) {
		unsigned int size = selection->size ? selection->size * 2 : 64;
		struct flow **flows = realloc(selection->flows, size * sizeof(*flows));

		if (!flows)
			return -ENOMEM;
		selection->flows = flows;
		selection->size = size;
	}
	selection->flows[selection->n++] = flow;
	return 0;
}

// The words that a match looks at, so that comparing with many flows is short.
struct pattern {
	unsigned int n;
	uint8_t word[KEY_WORDS];
};

static void pattern_init(struct pattern *pattern, const struct match *match)
{
	pattern->n = 0;
	for (unsigned int w = 0; w < KEY_WORDS; w++)
		if (match->mask.words[w])
			pattern->word[pattern->n++] = (uint8_t)w;
}

// Does the flow match at least what `match` does, with the same values (OpenFlow 1.3.5 section
// 6.4: non-strict)?
static bool is_covered(const struct flow *flow, const struct match *match,
		       const struct pattern *pattern)
{
	const struct mask *mask = flow->mask;
	unsigned int f = 0;

	for (unsigned int p = 0; p < pattern->n; p++) {
		const unsigned int w = pattern->word[p];
		const uint64_t bits = match->mask.words[w];

		while (f < mask->n_words && mask->word[f] < w)
			f++;
		if (f == mask->n_words || mask->word[f] != w || (mask->bits[f] & bits) != bits ||
		    (flow->values[f] & bits) != match->value.words[w])
			return false;
	}
	return true;
}

static bool is_selected(const struct flow *flow, const struct flow_text *text,
			const struct pattern *pattern)
{
	if (text->cookie_mask && (flow->cookie ^ text->cookie) & text->cookie_mask)
		return false;
	if (text->out_port != OFPP_ANY && !program_outputs_to(flow->program, text->out_port))
		return false;
	if (text->out_group != OFPP_ANY && !program_goes_to_group(flow->program, text->out_group))
		return false;
	return is_covered(flow, &text->match, pattern);
}

static bool is_in_table(const struct flow_text *text, uint8_t table_id)
{
	return !text->has_table || text->table_id == 255 || text->table_id == table_id;
}

static int select_in_table(const struct table *table, const struct flow_text *text, bool strict,
			   const struct pattern *pattern, struct selection *selection)
{
	if (strict) {
		struct flow *flow = table_find(table, &text->match, text->priority);

		return flow && is_selected(flow, text, pattern) ? selection_add(selection, flow)
								: 0;
	}
	for (struct flow *flow = table_first(table); flow; flow = table_next(table, flow))
		if (is_selected(flow, text, pattern) && selection_add(selection, flow) < 0)
			return -ENOMEM;
	return 0;
}

// Looking at the flows that an index names, instead of all.
struct index_walk {
	const struct flow_text *text;
	const struct pattern *pattern;
	struct selection *selection;
};

static int visit_indexed(void *context, struct flow *flow)
{
	const struct index_walk *walk = context;

	// One that a bundle has deleted is in the index until the bundle is complete.
	if (flow->state == FLOW_DYING || !is_in_table(walk->text, flow->table_id) ||
	    !is_selected(flow, walk->text, walk->pattern))
		return 0;
	return selection_add(walk->selection, flow);
}

static int select_in_tables(const struct bridge *bridge, const struct flow_text *text, bool strict,
			    struct selection *selection)
{
	struct pattern pattern;
	struct index_walk walk = { text, &pattern, selection };
	int status = 0;

	pattern_init(&pattern, &text->match);
	if (!strict && text->cookie && text->cookie_mask == UINT64_MAX)
		return flow_index_each_cookie(&bridge->index, text->cookie, visit_indexed, &walk);
	if (!strict && text->out_port != OFPP_ANY)
		return flow_index_each_port(&bridge->index, text->out_port, visit_indexed, &walk);
	for (unsigned int t = 0; !status && t < N_TABLES; t++) {
		const struct table *table = bridge_table(bridge, (uint8_t)t);

		if (table && is_in_table(text, (uint8_t)t))
			status = select_in_table(table, text, strict, &pattern, selection);
	}
	return status;
}

static int compare_flows(const void *a, const void *b)
{
	const struct flow *first = *(struct flow *const *)a;
	const struct flow *second = *(struct flow *const *)b;

	if (first->table_id != second->table_id)
		return first->table_id < second->table_id ? -1 : 1;
	if (first->priority != second->priority)
		return first->priority > second->priority ? -1 : 1;
	if (first->created_ns != second->created_ns)
		return first->created_ns < second->created_ns ? -1 : 1;
	return first->rank > second->rank ? -1 : first->rank < second->rank;
}

int flow_mod_select(const struct bridge *bridge, const struct flow_text *text, bool strict,
		    struct flow ***flows, unsigned int *n, struct error *error)
{
	struct selection selection = { 0 };

	if (select_in_tables(bridge, text, strict, &selection) < 0) {
		free(selection.flows);
		return error_set(error, ENOMEM, "out of memory");
	}
	if (selection.n)
		qsort(selection.flows, selection.n, sizeof(*selection.flows), compare_flows);
	*flows = selection.flows;
	*n = selection.n;
	return 0;
}
