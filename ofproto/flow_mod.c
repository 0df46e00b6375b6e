#include "ofproto/flow_mod.h"

#include "common/clock.h"
#include "common/counters.h"
#include "common/error.h"
#include "common/log.h"
#include "common/rcu.h"
#include "datapath/cache.h"
#include "datapath/datapath.h"
#include "flowtable/program_share.h"
#include "ofproto/bridge_internal.h"
#include "ofproto/bundle_internal.h"
#include "ofproto/group.h"
#include "ofproto/learn.h"
#include "ofproto/meter.h"
#include "ofproto/table_config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// How many changes of a long list are made between two looks at the rest of the world.
#define RELAX_EVERY 4096

// Tables are told of so many flows of one kind that are about to come, of so many kinds.
#define EXPECT_MIN_FLOWS 64
#define EXPECT_MAX_KINDS 16

static struct flow_observer observer;

void flow_mod_set_observer(const struct flow_observer *new_observer)
{
	observer = new_observer ? *new_observer : (struct flow_observer){ 0 };
}

// --- Checking: nothing changes ---

static int check_goto(const struct program *program, uint8_t table_id, struct error *error)
{
	program_for_each_op (op, program) {
		const struct op_goto_table *jump = (const struct op_goto_table *)op;

		if (op->code != OP_GOTO_TABLE)
			continue;
		if (jump->table_id >= N_TABLES)
			return error_set(error, ERANGE, "goto_table:%u: tables are 0 to %u",
					 jump->table_id, N_TABLES - 1);
		if (jump->table_id <= table_id)
			return error_set(error, EINVAL,
					 "goto_table:%u in table %u: goto_table goes to a higher "
					 "table only (resubmit goes anywhere)",
					 jump->table_id, table_id);
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

static int check_overlap(const struct bridge *bridge, const struct match *match, uint8_t table_id,
			 uint16_t priority, struct error *error)
{
	const struct table *table = bridge_table(bridge, table_id);

	for (struct flow *flow = table ? table_first(table) : NULL; flow;
	     flow = table_next(table, flow))
		if (flow->priority == priority && overlaps(match, flow))
			return error_set(error, EEXIST,
					 "check_overlap: a flow of priority %u in table %u "
					 "overlaps this one",
					 priority, table_id);
	return 0;
}

static int check_program(const struct bridge *bridge, const struct program *program,
			 uint8_t table_id, struct error *error)
{
	int status;

	if (!program)
		return error_set(error, EINVAL, "a flow needs actions (actions=drop for none)");
	if (table_id >= N_TABLES)
		return error_set(error, ERANGE, "table %u does not exist: tables are 0 to %u",
				 table_id, N_TABLES - 1);
	status = check_goto(program, table_id, error);
	if (!status)
		status = meter_check_program(bridge, program, error);
	return status < 0 ? status : group_check_program(bridge, program, error);
}

static int check(const struct bridge *bridge, const struct flow_mod *mod, struct error *error)
{
	const struct flow_text *text = &mod->text;
	int status;

	if (mod->command == FLOW_DELETE || mod->command == FLOW_DELETE_STRICT)
		return 0;
	status = check_program(bridge, text->program, text->table_id, error);
	if (status < 0 || mod->command != FLOW_ADD || !(text->flags & FLOW_FLAG_CHECK_OVERLAP))
		return status;
	return check_overlap(bridge, &text->match, text->table_id, text->priority, error);
}

static int check_flow(const struct bridge *bridge, const struct flow *flow, struct error *error)
{
	int status = check_program(bridge, flow->program, flow->table_id, error);
	struct match match;

	if (status < 0 || !(flow->flags & FLOW_FLAG_CHECK_OVERLAP))
		return status;
	match_unpack(flow->mask, flow->values, &match);
	return check_overlap(bridge, &match, flow->table_id, flow->priority, error);
}

// --- Changing ---

// Lines of the key that the flow looks at or changes. Workers fill them before the flow is there.
static uint16_t program_lines(const struct program *program)
{
	return (uint16_t)(1 << KEY_LINE_CORE | program->lines_read | program->lines_written);
}

static uint16_t lines_needed(struct bridge *bridge, const struct flow_text *text)
{
	uint16_t lines = program_lines(text->program);

	for (unsigned int w = 0; w < KEY_WORDS; w++) {
		const uint64_t bits = text->match.mask.words[w];

		if (!bits)
			continue;
		lines |= key_word_lines(w, bits);
		bridge->has_new_bits |= cache_bits_add(bridge->bits, w, bits);
	}
	bridge->has_new_bits |= cache_bits_add_sources(bridge->bits, text->program);
	return lines;
}

static uint16_t flow_lines(struct bridge *bridge, const struct flow *flow)
{
	bridge->has_new_bits |= cache_bits_add_flow(bridge->bits, flow);
	return program_lines(flow->program) | flow->mask->lines;
}

// Without memory for a key that tells packets apart there is no key, and no cache.
static void renew_cache_key(struct bridge *bridge)
{
	if (cache_key_publish(bridge->forwarding, bridge->bits) < 0) {
		rcu_defer(free, bridge->forwarding->cache_key);
		rcu_publish(&bridge->forwarding->cache_key, (struct cache_key *)NULL);
		return; // has_new_bits: try again next time
	}
	bridge->has_new_bits = false;
}

void bridge_make_lines_live(struct bridge *bridge, uint16_t lines)
{
	struct forwarding *forwarding = bridge->forwarding;
	const bool more_lines = (forwarding->lines | lines) != forwarding->lines;

	if (!more_lines && !bridge->has_new_bits)
		return;
	if (bridge->has_new_bits)
		renew_cache_key(bridge);
	if (more_lines)
		rcu_publish(&forwarding->lines, (uint16_t)(forwarding->lines | lines));
	workers_synchronize();
}

static struct table *ensure_table(struct bridge *bridge, uint8_t table_id)
{
	struct table *table = bridge->forwarding->tables[table_id];

	if (table)
		return table;
	if (!bridge->forwarding->table_counters[table_id]) // without memory it is 0 again
		rcu_publish(&bridge->forwarding->table_counters[table_id], counter_alloc() + 1);
	table = table_create(table_id);
	if (table)
		rcu_publish(&bridge->forwarding->tables[table_id], table);
	return table;
}

int flow_mod_take_in(struct bridge *bridge, struct flow *flow)
{
	if (learn_attach(bridge, flow->program) < 0)
		return -ENOMEM;
	if (timeout_add(bridge, flow) < 0) {
		learn_detach(flow->program);
		return -ENOMEM;
	}
	if (flow_index_add(&bridge->index, flow) < 0) {
		timeout_remove(bridge, flow);
		learn_detach(flow->program);
		return -ENOMEM;
	}
	return 0;
}

void flow_mod_take_back(struct bridge *bridge, struct flow *flow)
{
	timeout_remove(bridge, flow);
	flow_index_remove(&bridge->index, flow);
	learn_detach(flow->program);
	learn_removed(bridge, flow);
}

static void forget_flow(struct bridge *bridge, struct flow *flow)
{
	flow_mod_take_back(bridge, flow);
	flow_defer_free(flow);
}

void flow_mod_take_out(struct bridge *bridge, struct flow *flow)
{
	table_remove(bridge->forwarding->tables[flow->table_id], flow);
	forwarding_changed(bridge->forwarding);
	forget_flow(bridge, flow);
}

void flow_mod_tell_removed(struct bridge *bridge, const struct flow *flow,
			   enum flow_removed_reason reason)
{
	if (observer.removed)
		observer.removed(observer.context, bridge, flow, reason);
}

void flow_mod_tell_added(struct bridge *bridge, struct flow *flow, const struct flow *replaced)
{
	if (observer.added)
		observer.added(observer.context, bridge, flow, replaced);
}

void flow_mod_tell_modified(struct bridge *bridge, struct flow *flow)
{
	if (observer.modified)
		observer.modified(observer.context, bridge, flow);
}

static void remove_flow(struct bridge *bridge, struct flow *flow, enum flow_removed_reason reason)
{
	if (bridge->bundle) {
		bundle_remove_flow(bridge->bundle, flow, reason);
		return;
	}
	flow_mod_tell_removed(bridge, flow, reason);
	flow_mod_take_out(bridge, flow);
}

static int add_flow(struct bridge *bridge, struct flow *flow)
{
	struct table *table = ensure_table(bridge, flow->table_id);
	struct flow *old;

	if (bridge->bundle && table)
		return bundle_add_flow(bridge->bundle, table, flow);
	old = table ? table_find_like(table, flow) : NULL;
	if (!table || flow_mod_take_in(bridge, flow) < 0) {
		learn_removed(bridge, flow);
		return -ENOMEM;
	}
	if ((old ? table_replace(table, old, flow) : table_insert(table, flow)) < 0) {
		flow_mod_take_back(bridge, flow);
		return -ENOMEM;
	}
	forwarding_changed(bridge->forwarding);
	if (old)
		flow_mod_take_back(bridge, old);
	flow_mod_tell_added(bridge, flow, old);
	if (old)
		flow_defer_free(old);
	return 0;
}

static bool is_clause(const struct program *program)
{
	return program->flags & PROGRAM_CONJUNCTION;
}

static void swap_counters(struct flow *a, struct flow *b)
{
	const uint32_t counter = a->counter;

	a->counter = b->counter;
	b->counter = counter;
}

// A flow gets its first conjunctions, or loses its last ones: tables hold it in another way, so
// another flow takes its place and goes on with its counts. Takes one user of the program over.
static int modify_kind(struct bridge *bridge, struct flow *old, const struct flow_text *change,
		       struct program *program)
{
	struct flow_text text = {
		.priority = old->priority,
		.table_id = old->table_id,
		.cookie = change->has_new_cookie ? change->new_cookie : old->cookie,
		.idle_timeout = old->idle_timeout,
		.hard_timeout = old->hard_timeout,
		.importance = old->importance,
		.flags = old->flags,
		.out_port = OFPP_ANY,
		.out_group = OFPP_ANY,
		.program = program,
	};
	struct flow *flow;

	match_unpack(old->mask, old->values, &text.match);
	flow = flow_create(&text);
	if (!flow) {
		program_free(text.program);
		return -ENOMEM;
	}
	flow->created_ns = old->created_ns;
	swap_counters(flow, old);
	if (add_flow(bridge, flow) < 0) {
		swap_counters(flow, old);
		flow_free(flow);
		return -ENOMEM;
	}
	if (change->flags & FLOW_FLAG_RESET_COUNTS) {
		flow_reset_counts(flow);
		timeout_counts_reset(bridge, flow);
	}
	return 0;
}

int flow_mod_set_program(struct bridge *bridge, struct flow *flow, const struct flow_text *text,
			 struct program *program)
{
	struct program *old = flow->program;
	const uint64_t old_cookie = flow->cookie;

	if (learn_attach(bridge, program) < 0) {
		program_free(program);
		return -ENOMEM;
	}
	flow_index_remove(&bridge->index, flow);
	if (is_clause(program)) // what lookups find depends on it
		table_change_begin(bridge->forwarding->tables[flow->table_id]);
	rcu_publish(&flow->program, program);
	if (text->has_new_cookie)
		flow->cookie = text->new_cookie;
	if (flow_index_add(&bridge->index, flow) < 0) {
		// As it was: there is room for that.
		flow->cookie = old_cookie;
		rcu_publish(&flow->program, old);
		flow_index_add(&bridge->index, flow);
		forwarding_changed(bridge->forwarding);
		learn_detach(program);
		rcu_defer(program_free, program);
		return -ENOMEM;
	}
	learn_changed(flow);
	learn_detach(old);
	forwarding_changed(bridge->forwarding);
	rcu_defer(program_free, old);
	if (timeout_change(bridge, flow) < 0)
		log_warning("no memory for the timeouts of a flow of bridge %s", bridge->name);
	flow->modified_ns = clock_monotonic_ns();
	return 0;
}

// Takes one user of the program over.
static int modify_flow(struct bridge *bridge, struct flow *flow, const struct flow_text *text,
		       struct program *program)
{
	if (bridge->bundle)
		return bundle_modify_flow(bridge->bundle, flow, text, program);
	if (is_clause(flow->program) != is_clause(program))
		return modify_kind(bridge, flow, text, program);
	if (flow_mod_set_program(bridge, flow, text, program) < 0)
		return -ENOMEM;
	if (text->flags & FLOW_FLAG_RESET_COUNTS) {
		flow_reset_counts(flow);
		timeout_counts_reset(bridge, flow);
	}
	// What a learn action makes of a kept flow is not kept.
	if (!text->learned)
		flow_mod_tell_modified(bridge, flow);
	return 0;
}

// A flow that takes another's place needs no room.
static int make_room(struct bridge *bridge, const struct flow *flow, struct error *error)
{
	const struct table *table = bridge_table(bridge, flow->table_id);
	int status;

	if (!bridge_table_config(bridge, flow->table_id)->max_cycles &&
	    !table_limits_apply(bridge, flow->table_id))
		return 0;
	if (table && table_find_like(table, flow))
		return 0;
	status = table_limits_check_cost(bridge, flow, error);
	return status < 0 ? status : table_limits_make_room(bridge, flow->table_id, error);
}

static int apply_add(struct bridge *bridge, struct flow_mod *mod, struct error *error)
{
	struct flow *flow;
	int status;

	if (mod->command != FLOW_ADD) { // a modify that adds: its cookie is the new one
		mod->text.cookie = mod->text.has_new_cookie ? mod->text.new_cookie : 0;
		mod->text.has_cookie = mod->text.has_new_cookie;
	}
	flow = flow_create(&mod->text);
	if (!flow)
		return -ENOMEM;
	status = make_room(bridge, flow, error);
	if (status < 0)
		learn_removed(bridge, flow);
	else
		status = add_flow(bridge, flow);
	if (status < 0)
		flow_free(flow);
	return status;
}

static int apply_modify(struct bridge *bridge, struct flow_mod *mod, struct error *error)
{
	struct program *program;
	struct flow **flows;
	unsigned int n;
	int status = 0;

	if (flow_mod_select(bridge, &mod->text, mod->command == FLOW_MODIFY_STRICT, &flows, &n,
			    error) < 0)
		return -ENOMEM;
	// OpenFlow 1.0 section 4.6: modifying what is not there adds it. A cookie mask asks for
	// flows that are there.
	if (!n) {
		free(flows);
		return mod->text.cookie_mask ? 0 : apply_add(bridge, mod, error);
	}
	program = program_share(mod->text.program);
	mod->text.program = NULL;
	for (unsigned int i = 0; !status && i < n; i++) {
		struct program *mine = program_for_one_more(program);

		status = mine ? modify_flow(bridge, flows[i], &mod->text, mine) : -ENOMEM;
	}
	program_free(program);
	free(flows);
	return status;
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
		status = apply_add(bridge, mod, error);
		break;
	case FLOW_MODIFY:
	case FLOW_MODIFY_STRICT:
		status = apply_modify(bridge, mod, error);
		break;
	default:
		status = apply_delete(bridge, mod, error);
		break;
	}
	return status == -ENOMEM ? error_set(error, ENOMEM, "out of memory") : status;
}

static bool is_delete(const struct flow_mod *mod)
{
	return mod->command == FLOW_DELETE || mod->command == FLOW_DELETE_STRICT;
}

// Nothing has changed yet when a mistake is found. *lines gets what workers have to fill.
int flow_mod_check(struct bridge *bridge, const struct flow_change *change, uint16_t *lines,
		   struct error *error)
{
	const struct flow *flow = change->flow;
	int status;

	if (change->remove)
		return 0;
	status = flow ? check_flow(bridge, flow, error) : check(bridge, change->mod, error);
	if (!status && (flow || !is_delete(change->mod)))
		status = bridge_make_samples(
			bridge, flow ? flow->program : change->mod->text.program, error);
	if (status < 0)
		return status;
	if (flow)
		*lines |= flow_lines(bridge, flow);
	else if (!is_delete(change->mod))
		*lines |= lines_needed(bridge, &change->mod->text);
	return 0;
}

int flow_mod_change(struct bridge *bridge, struct flow_change *change, struct error *error)
{
	int status;

	if (change->remove) {
		// It may be gone already: evicted, or removed to make room for the list.
		if (change->remove->owner && change->remove->state != FLOW_DYING)
			remove_flow(bridge, change->remove, FLOW_REMOVED_DELETE);
		return 0;
	}
	if (!change->flow)
		return apply(bridge, change->mod, error);
	status = make_room(bridge, change->flow, error);
	if (status < 0)
		return status;
	if (add_flow(bridge, change->flow) < 0)
		return error_set(error, ENOMEM, "out of memory");
	change->flow = NULL;
	return 0;
}

// The kinds of flows that a list adds.
struct expectation {
	struct mask *mask; // one reference
	uint32_t n_flows;
	uint8_t table_id;
};

struct expectations {
	struct expectation kinds[EXPECT_MAX_KINDS];
	unsigned int n;
};

static void expect_flow(struct expectations *expected, const struct flow *flow)
{
	struct expectation *kind = expected->kinds;
	struct expectation *end = kind + expected->n;

	while (kind < end && (kind->mask != flow->mask || kind->table_id != flow->table_id))
		kind++;
	if (kind == &expected->kinds[EXPECT_MAX_KINDS])
		return;
	if (kind == end) {
		*kind = (struct expectation){
			.mask = mask_ref((struct mask *)(uintptr_t)flow->mask),
			.table_id = flow->table_id,
		};
		expected->n++;
	}
	kind->n_flows++;
}

static void expect_begin(struct bridge *bridge, const struct expectations *expected)
{
	for (unsigned int i = 0; i < expected->n; i++) {
		const struct expectation *kind = &expected->kinds[i];
		struct table *table = kind->n_flows >= EXPECT_MIN_FLOWS
					      ? ensure_table(bridge, kind->table_id)
					      : NULL;

		if (table)
			table_expect(table, kind->mask, kind->n_flows);
	}
}

static void expect_end(struct bridge *bridge, const struct expectations *expected)
{
	for (unsigned int i = 0; i < expected->n; i++) {
		const struct expectation *kind = &expected->kinds[i];
		struct table *table = bridge->forwarding->tables[kind->table_id];

		if (table && kind->n_flows >= EXPECT_MIN_FLOWS)
			table_expect(table, kind->mask, 0);
		mask_unref(kind->mask);
	}
}

// A long list of new flows waits for memory more than for anything else: ask for it in time.
#define PREFETCH_FLOW 24
#define PREFETCH_PLACE 12
#define PREFETCH_MORE 6

static void prefetch(const struct bridge *bridge, const struct flow_change *changes, unsigned int n)
{
	struct flow *flow = n > PREFETCH_FLOW ? changes[PREFETCH_FLOW].flow : NULL;
	const struct table *table;

	for (size_t line = 0; flow && line < offsetof(struct flow, values); line += 64)
		__builtin_prefetch((const char *)flow + line, 1);
	flow = n > PREFETCH_PLACE ? changes[PREFETCH_PLACE].flow : NULL;
	table = flow ? bridge_table(bridge, flow->table_id) : NULL;
	if (table)
		table_prefetch(table, flow);
	flow = n > PREFETCH_MORE ? changes[PREFETCH_MORE].flow : NULL;
	table = flow ? bridge_table(bridge, flow->table_id) : NULL;
	if (table)
		table_prefetch_more(table, flow);
}

int flow_mod_apply_list(struct bridge *bridge, struct flow_change *changes, unsigned int n,
			void (*relax)(void), struct error *error)
{
	struct expectations expected = { .n = 0 };
	uint16_t lines = 0;
	int status = 0;

	for (unsigned int i = 0; i < n; i++) {
		status = flow_mod_check(bridge, &changes[i], &lines, error);
		if (status < 0) {
			if (error)
				error->line = (int)i + 1;
			return status;
		}
	}
	status = table_limits_check(bridge, changes, n, error);
	if (status < 0)
		return status;
	for (unsigned int i = 0; i < n && n >= EXPECT_MIN_FLOWS; i++)
		if (changes[i].flow)
			expect_flow(&expected, changes[i].flow);
	expect_begin(bridge, &expected);
	bridge_make_lines_live(bridge, lines);
	// Where room is scarce, flows go before others come.
	for (unsigned int i = 0; i < n; i++)
		if (changes[i].remove && table_limits_apply(bridge, changes[i].remove->table_id))
			flow_mod_change(bridge, &changes[i], error);
	for (unsigned int i = 0; i < n && !status; i++) {
		prefetch(bridge, &changes[i], n - i);
		status = flow_mod_change(bridge, &changes[i], error);
		if (status < 0 && error)
			error->line = (int)i + 1;
		if (relax && i % RELAX_EVERY == RELAX_EVERY - 1)
			relax();
	}
	expect_end(bridge, &expected);
	learn_delete_orphans(bridge);
	// A reply means that every worker does it the new way.
	workers_synchronize();
	rcu_reclaim();
	return status;
}

int flow_mod_apply(struct bridge *bridge, struct flow_mod *mods, unsigned int n,
		   struct error *error)
{
	struct flow_change one = { 0 }, *changes = n == 1 ? &one : calloc(n, sizeof(*changes));
	int status;

	if (!changes)
		return error_set(error, ENOMEM, "out of memory");
	for (unsigned int i = 0; i < n; i++)
		changes[i] = (struct flow_change){ .mod = &mods[i] };
	status = flow_mod_apply_list(bridge, changes, n, NULL, error);
	if (changes != &one)
		free(changes);
	return status;
}

void flow_mod_shortened(struct bridge *bridge, const struct flow *flow)
{
	if (observer.shortened)
		observer.shortened(observer.context, bridge, flow);
}

void flow_mod_expire(struct bridge *bridge, struct flow *flow, enum flow_removed_reason reason)
{
	remove_flow(bridge, flow, reason);
}
