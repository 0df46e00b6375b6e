#include "ofproto/flow_mod.h"

#include "common/clock.h"
#include "common/counters.h"
#include "common/error.h"
#include "common/log.h"
#include "common/rcu.h"
#include "datapath/datapath.h"
#include "ofproto/bridge_internal.h"
#include "ofproto/group.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct flow_observer observer;

void flow_mod_set_observer(const struct flow_observer *new_observer)
{
	observer = new_observer ? *new_observer : (struct flow_observer){ 0 };
}

// --- Checking: nothing changes ---

static int check_goto(const struct flow_text *text, struct error *error)
{
	if (!text->program)
		return 0;
	program_for_each_op (op, text->program) {
		const struct op_goto_table *jump = (const struct op_goto_table *)op;

		if (op->code != OP_GOTO_TABLE)
			continue;
		if (jump->table_id >= N_TABLES)
			return error_set(error, ERANGE, "goto_table:%u: tables are 0 to %u",
					 jump->table_id, N_TABLES - 1);
		if (jump->table_id <= text->table_id)
			return error_set(error, EINVAL,
					 "goto_table:%u in table %u: goto_table goes to a higher "
					 "table only (resubmit goes anywhere)",
					 jump->table_id, text->table_id);
	}
	return 0;
}

// May the two matches be satisfied by one packet?
static bool overlaps(const struct match *a, const struct flow *b)
{
	for (unsigned int i = 0; i < b->mask->n_words; i++) {
		const unsigned int w = b->mask->word[i];

		if ((a->value.words[w] ^ b->values[i]) & a->mask.words[w] & b->mask->bits[i])
			return false;
	}
	return true;
}

static int check_overlap(const struct bridge *bridge, const struct flow_text *text,
			 struct error *error)
{
	const struct table *table = bridge_table(bridge, text->table_id);

	if (!(text->flags & FLOW_FLAG_CHECK_OVERLAP) || !table)
		return 0;
	for (struct flow *flow = table_first(table); flow; flow = table_next(table, flow))
		if (flow->priority == text->priority && overlaps(&text->match, flow))
			return error_set(error, EEXIST,
					 "check_overlap: a flow of priority %u in table %u "
					 "overlaps this one",
					 text->priority, text->table_id);
	return 0;
}

static int check(const struct bridge *bridge, const struct flow_mod *mod, struct error *error)
{
	const struct flow_text *text = &mod->text;
	int status;

	if (mod->command == FLOW_DELETE || mod->command == FLOW_DELETE_STRICT)
		return 0;
	if (!text->program)
		return error_set(error, EINVAL, "a flow needs actions (actions=drop for none)");
	if (text->table_id >= N_TABLES)
		return error_set(error, ERANGE, "table %u does not exist: tables are 0 to %u",
				 text->table_id, N_TABLES - 1);
	status = check_goto(text, error);
	if (status < 0)
		return status;
	status = group_check_program(bridge, text->program, error);
	if (status < 0)
		return status;
	return mod->command == FLOW_ADD ? check_overlap(bridge, text, error) : 0;
}

// --- Changing ---

// Lines of the key that the flow looks at or changes. Workers fill them before the flow is there.
static uint16_t lines_needed(const struct flow_text *text)
{
	uint16_t lines = 1 << KEY_LINE_CORE;

	for (unsigned int w = 0; w < KEY_WORDS; w++)
		if (text->match.mask.words[w])
			lines |= (uint16_t)(1u << w / KEY_LINE_WORDS);
	if (text->program)
		lines |= text->program->lines_read | text->program->lines_written;
	return lines;
}

void bridge_make_lines_live(struct bridge *bridge, uint16_t lines)
{
	struct forwarding *forwarding = bridge->forwarding;

	if ((forwarding->lines | lines) == forwarding->lines)
		return;
	rcu_publish(&forwarding->lines, (uint16_t)(forwarding->lines | lines));
	workers_synchronize();
}

static struct table *ensure_table(struct bridge *bridge, uint8_t table_id)
{
	struct table *table = bridge->forwarding->tables[table_id];

	if (table)
		return table;
	table = table_create(table_id);
	if (table)
		rcu_publish(&bridge->forwarding->tables[table_id], table);
	return table;
}

static void remove_flow(struct bridge *bridge, struct flow *flow, enum flow_removed_reason reason)
{
	table_remove(bridge->forwarding->tables[flow->table_id], flow);
	timeout_remove(bridge, flow);
	if (observer.removed)
		observer.removed(observer.context, bridge, flow, reason);
	flow_defer_free(flow);
}

static int add_flow(struct bridge *bridge, struct flow *flow, const struct match *match)
{
	struct table *table = ensure_table(bridge, flow->table_id);
	struct flow *old = table ? table_find(table, match, flow->priority) : NULL;

	if (!table || timeout_add(bridge, flow) < 0)
		return -ENOMEM;
	if (old) {
		table_replace(table, old, flow);
		timeout_remove(bridge, old);
		flow_defer_free(old);
	} else if (table_insert(table, flow) < 0) {
		timeout_remove(bridge, flow);
		return -ENOMEM;
	}
	if (observer.added)
		observer.added(observer.context, bridge, flow);
	return 0;
}

static struct program *program_copy(const struct program *program)
{
	struct program *copy = malloc(sizeof(*copy) + program->size);

	if (copy)
		memcpy(copy, program, sizeof(*copy) + program->size);
	return copy;
}

static void modify_flow(struct bridge *bridge, struct flow *flow, const struct flow_text *text,
			struct program *program)
{
	struct program *old = flow->program;

	rcu_publish(&flow->program, program);
	rcu_defer(program_free, old);
	if (timeout_change(bridge, flow) < 0)
		log_warning("no memory for the timeouts of a flow of bridge %s", bridge->name);
	flow->modified_ns = clock_monotonic_ns();
	// A cookie without a mask is the flow's new one; with a mask it only selected.
	if (text->has_cookie && !text->cookie_mask)
		flow->cookie = text->cookie;
	if (text->flags & FLOW_FLAG_RESET_COUNTS) {
		struct counter now = counter_read(flow->counter);

		flow->base = (struct counter_base){ now.packets, now.bytes };
	}
	if (observer.modified)
		observer.modified(observer.context, bridge, flow);
}

static int apply_add(struct bridge *bridge, struct flow_mod *mod)
{
	// flow_create() takes the program over; the match is still the text's.
	struct flow *flow = flow_create(&mod->text);

	if (!flow)
		return -ENOMEM;
	if (add_flow(bridge, flow, &mod->text.match) < 0) {
		flow_free(flow);
		return -ENOMEM;
	}
	return 0;
}

static int apply_modify(struct bridge *bridge, struct flow_mod *mod, struct error *error)
{
	struct program **programs;
	struct flow **flows;
	unsigned int n;

	if (flow_mod_select(bridge, &mod->text, mod->command == FLOW_MODIFY_STRICT, &flows, &n,
			    error) < 0)
		return -ENOMEM;
	// OpenFlow 1.0 section 4.6: modifying what is not there adds it. A cookie mask asks for
	// flows that are there.
	if (!n) {
		free(flows);
		return mod->text.cookie_mask ? 0 : apply_add(bridge, mod);
	}
	programs = calloc(n, sizeof(*programs));
	for (unsigned int i = 0; programs && i < n; i++) {
		programs[i] = program_copy(mod->text.program);
		if (!programs[i]) {
			while (i-- > 0)
				program_free(programs[i]);
			free(programs);
			programs = NULL;
		}
	}
	for (unsigned int i = 0; programs && i < n; i++)
		modify_flow(bridge, flows[i], &mod->text, programs[i]);
	n = programs != NULL;
	free(programs);
	free(flows);
	return n ? 0 : -ENOMEM;
}

static int apply_delete(struct bridge *bridge, struct flow_mod *mod, struct error *error)
{
	struct flow **flows;
	unsigned int n;

	if (flow_mod_select(bridge, &mod->text, mod->command == FLOW_DELETE_STRICT, &flows, &n,
			    error) < 0)
		return -ENOMEM;
	for (unsigned int i = 0; i < n; i++)
		remove_flow(bridge, flows[i], FLOW_REMOVED_DELETE);
	free(flows);
	return 0;
}

static int apply(struct bridge *bridge, struct flow_mod *mod, struct error *error)
{
	int status;

	switch (mod->command) {
	case FLOW_ADD:
		status = apply_add(bridge, mod);
		break;
	case FLOW_MODIFY:
	case FLOW_MODIFY_STRICT:
		status = apply_modify(bridge, mod, error);
		break;
	default:
		status = apply_delete(bridge, mod, error);
		break;
	}
	return status < 0 ? error_set(error, -status, "out of memory") : 0;
}

int flow_mod_apply(struct bridge *bridge, struct flow_mod *mods, unsigned int n,
		   struct error *error)
{
	uint16_t lines = 0;
	int status = 0;

	for (unsigned int i = 0; i < n; i++) {
		status = check(bridge, &mods[i], error);
		if (status < 0) {
			if (error)
				error->line = (int)i + 1;
			return status;
		}
		if (mods[i].command != FLOW_DELETE && mods[i].command != FLOW_DELETE_STRICT)
			lines |= lines_needed(&mods[i].text);
	}
	bridge_make_lines_live(bridge, lines);
	for (unsigned int i = 0; i < n && !status; i++) {
		status = apply(bridge, &mods[i], error);
		if (status < 0 && error)
			error->line = (int)i + 1;
	}
	// A reply means that every worker does it the new way.
	workers_synchronize();
	rcu_reclaim();
	return status;
}

void flow_mod_expire(struct bridge *bridge, struct flow *flow, enum flow_removed_reason reason)
{
	remove_flow(bridge, flow, reason);
}
