// What a traversal comes to: the programs of the flows that were hit, walked through once more.
#include "common/hash.h"
#include "datapath/actions.h"
#include "datapath/cache.h"
#include "datapath/group.h"

#include <string.h>

// A counter that is no table's.
#define NO_TABLE ((uint64_t)COUNTER_NONE << 32)

struct composer {
	const struct forward *forward;
	struct cache_entry *entry;
	const struct cache_record *record;
	unsigned int packet;
	unsigned int at; // steps so far
	unsigned int n_vlans; // tags that the packet has by now
	unsigned int n_ops;
	bool impossible;
	bool plain; // what CACHE_SIMPLE can say, so far
	bool output; // the one output is decided
	bool last; // no lookup may follow
	bool inlines; // the bucket that a group chose is part of it
	bool closed; // it is: nothing may follow
	bool reopened; // something does
	unsigned int n_counters;
	bool writes_ttl;
	uint64_t mask[KEY_LINE_WORDS];
	uint64_t value[KEY_LINE_WORDS];
	uint64_t ops[CACHE_MAX_OPS];
	uint64_t counters[CACHE_MAX_PATH + 2];
};

static void give_up(struct composer *composer)
{
	composer->impossible = true;
}

static void keep_op(struct composer *composer, const struct op *op, uint8_t table_id,
		    unsigned int depth)
{
	composer->reopened |= composer->closed;
	if (composer->n_ops == CACHE_MAX_OPS || depth > 255) {
		give_up(composer);
		return;
	}
	composer->ops[composer->n_ops++] = (uint64_t)(uintptr_t)op |
					   (uint64_t)table_id << CACHE_OP_TABLE_SHIFT |
					   (uint64_t)depth << CACHE_OP_DEPTH_SHIFT;
}

// An op that stays as it is.
static void keep_as_op(struct composer *composer, const struct op *op, uint8_t table_id,
		       unsigned int depth)
{
	composer->plain = false;
	keep_op(composer, op, table_id, depth);
}

// Does the write change the time to live?
static bool is_ttl(const struct field *field)
{
	return field->offset <= offsetof(struct key_core, ip_ttl) &&
	       field->offset + field->size > offsetof(struct key_core, ip_ttl);
}

// A write may bring a tag into being or end one.
static void follow_tag(struct composer *composer, const struct op_set *op)
{
	const uint64_t present = (uint64_t)RTE_BE16(KEY_VLAN_PRESENT) << 32;

	for (unsigned int w = 0; w < op->n_words; w++) {
		if (op->words[w].word != 0 || !(op->words[w].mask & present))
			continue;
		if (op->words[w].value & present)
			composer->n_vlans += !composer->n_vlans;
		else if (composer->n_vlans > 1)
			give_up(composer);
		else
			composer->n_vlans = 0;
	}
}

static void add_set(struct composer *composer, const struct op_set *op)
{
	const uint16_t dirty = fields[op->field].dirty;

	composer->writes_ttl |= is_ttl(&fields[op->field]);
	if (dirty & DIRTY_VLAN) {
		composer->plain = false;
		follow_tag(composer, op);
		return;
	}
	if (!composer->plain)
		return;
	if (dirty && (composer->output || dirty & DIRTY_NSH)) {
		composer->plain = false;
		return;
	}
	if (!actions_having_header(composer->forward->vector, dirty, 1ULL << composer->packet))
		return;
	for (unsigned int w = 0; w < op->n_words; w++) {
		const struct op_word *word = &op->words[w];
		const unsigned int index = word->word % KEY_LINE_WORDS;

		if (word->line == KEY_LINE_REGISTERS || word->line == KEY_LINE_REGISTERS2)
			continue; // nobody reads it any more
		if (word->line != KEY_LINE_CORE || composer->output) {
			composer->plain = false;
			return;
		}
		composer->value[index] = (composer->value[index] & ~word->mask) | word->value;
		composer->mask[index] |= word->mask;
	}
	composer->entry->dirty |= dirty;
}

static void add_output(struct composer *composer, const struct op_output *op)
{
	if (composer->output || op->port >= OFPP_MAX || op->max_len != MAX_LEN_ALL)
		composer->plain = false;
	composer->output = true;
	composer->entry->out_port = op->port;
}

static void add_pop_vlan(struct composer *composer)
{
	bool first = !composer->output && !composer->entry->n_dec_ttl;

	// A third tag shows itself when one of two goes.
	if (composer->n_vlans > 1)
		give_up(composer);
	for (unsigned int w = 0; w < KEY_LINE_WORDS; w++)
		first &= !composer->mask[w];
	if (composer->n_vlans && !first)
		composer->plain = false;
	if (composer->n_vlans)
		composer->entry->pop_vlan = true;
	composer->n_vlans = 0;
}

static bool is_ip(const struct vector *vector, unsigned int packet)
{
	const struct packet_layout *layout = &vector->layout[packet];

	return layout->l3 && (layout->type == RTE_BE16(0x0800) || layout->type == RTE_BE16(0x86dd));
}

static void add_dec_ttl(struct composer *composer)
{
	if (!is_ip(composer->forward->vector, composer->packet))
		return;
	if (composer->output || composer->entry->n_dec_ttl == UINT8_MAX)
		composer->plain = false;
	composer->entry->n_dec_ttl++;
}

// The bucket that a group chose, if the packet ends with it: a rewrite and one output, in any order,
// as buckets are action sets. The group's choice is part of the key, and of the generation.
static bool add_bucket(struct composer *composer, uint32_t group_id)
{
	const struct cache_record *record = composer->record;
	const struct group *group =
		group_find(rcu_read(&composer->forward->forwarding->groups), group_id);
	const struct group_bucket *bucket;
	unsigned int n_outputs = 0, n_ttls = 0;

	if (!composer->inlines || !composer->plain || composer->output ||
	    composer->entry->n_dec_ttl || !group || record->n_groups != 1 ||
	    record->group_id != group_id || record->bucket >= group->n_buckets)
		return false;
	bucket = &group->buckets[record->bucket];
	program_for_each_op (op, bucket->program) {
		n_outputs += op->code == OP_OUTPUT;
		n_ttls += op->code == OP_DEC_TTL;
		if ((op->code != OP_OUTPUT && op->code != OP_DEC_TTL && op->code != OP_SET) ||
		    n_outputs > 1 || n_ttls > 1)
			return false;
	}
	program_for_each_op (op, bucket->program)
		if (op->code == OP_SET)
			add_set(composer, (const struct op_set *)op);
	program_for_each_op (op, bucket->program) {
		if (op->code == OP_DEC_TTL)
			add_dec_ttl(composer);
		else if (op->code == OP_OUTPUT)
			add_output(composer, (const struct op_output *)op);
	}
	composer->counters[composer->n_counters++] = group->counter | NO_TABLE;
	composer->counters[composer->n_counters++] = bucket->counter | NO_TABLE;
	composer->closed = true;
	return true;
}

static bool walk_table(struct composer *composer, uint8_t table_id, unsigned int depth);

// As run_op() does: a resubmit behind which nothing comes does not nest.
static bool walk_resubmit(struct composer *composer, const struct op_resubmit *op, uint8_t table_id,
			  unsigned int depth, bool last)
{
	const uint8_t to = op->table_id == TABLE_ID_CURRENT ? table_id : op->table_id;

	if (op->in_port != OFPP_IN_PORT || op->with_ct || (!last && to <= table_id))
		give_up(composer);
	return walk_table(composer, to, last ? depth : depth + 1);
}

// False: the packet's lists of actions are over.
static bool walk_op(struct composer *composer, const struct op *op, uint8_t table_id,
		    unsigned int depth, bool last)
{
	switch (op->code) {
	case OP_RESUBMIT:
		return walk_resubmit(composer, (const struct op_resubmit *)op, table_id, depth,
				     last);
	case OP_GOTO_TABLE:
		return walk_table(composer, ((const struct op_goto_table *)op)->table_id, depth);
	case OP_EXIT:
		return false;
	case OP_SET:
		keep_op(composer, op, table_id, depth);
		add_set(composer, (const struct op_set *)op);
		break;
	case OP_OUTPUT:
		keep_op(composer, op, table_id, depth);
		add_output(composer, (const struct op_output *)op);
		break;
	case OP_DEC_TTL:
		keep_op(composer, op, table_id, depth);
		add_dec_ttl(composer);
		break;
	case OP_POP_VLAN:
		keep_op(composer, op, table_id, depth);
		add_pop_vlan(composer);
		break;
	case OP_PUSH_VLAN:
		keep_as_op(composer, op, table_id, depth);
		if (composer->n_vlans++)
			give_up(composer);
		break;
	case OP_VLAN_VID:
	case OP_VLAN_PCP:
		keep_as_op(composer, op, table_id, depth);
		composer->n_vlans += !composer->n_vlans;
		break;
	case OP_MOVE:
		composer->writes_ttl |= is_ttl(((const struct op_move *)op)->destination.field);
		if (((const struct op_move *)op)->destination.field->dirty & DIRTY_VLAN)
			give_up(composer);
		keep_as_op(composer, op, table_id, depth);
		break;
	case OP_OUTPUT_REG:
	case OP_CONTROLLER:
	case OP_ENQUEUE:
	case OP_SET_QUEUE:
	case OP_POP_QUEUE:
	case OP_WRITE_ACTIONS:
	case OP_CLEAR_ACTIONS:
	case OP_FIN_TIMEOUT:
		keep_as_op(composer, op, table_id, depth);
		break;
	case OP_LEARN:
		if (((const struct op_learn *)op)->result.field)
			give_up(composer);
		keep_op(composer, op, table_id, depth);
		if (composer->record->n_learns == 1 && composer->record->learned)
			composer->entry->learned = composer->record->learned;
		else
			composer->plain = false;
		break;
	case OP_GROUP: // may use up the packet's budget
		composer->last = true;
		if (!add_bucket(composer, ((const struct op_group *)op)->group_id))
			keep_as_op(composer, op, table_id, depth);
		break;
	case OP_METER: // may end the packet: what comes behind it must not have been counted
	case OP_CLONE: // may use up the packet's budget
	case OP_SAMPLE:
		composer->last = true;
		keep_as_op(composer, op, table_id, depth);
		break;
	case OP_NOTE:
	case OP_CONJUNCTION:
	case OP_DEBUG_RECIRC:
	case OP_DEBUG_SLOW:
		break;
	default:
		give_up(composer);
	}
	return true;
}

static bool walk_program(struct composer *composer, const struct program *program, uint8_t table_id,
			 unsigned int depth)
{
	const uint8_t *at = program->ops, *const end = at + program->size;

	while (at < end && !composer->impossible) {
		const struct op *op = (const struct op *)at;

		at += op->size;
		if (!walk_op(composer, op, table_id, depth, at >= end))
			return false;
		if (op->code == OP_GOTO_TABLE)
			break;
	}
	return true;
}

// What happened is on record; it has to fit, as flows may have changed since.
static bool walk_table(struct composer *composer, uint8_t table_id, unsigned int depth)
{
	const struct forwarding *forwarding = composer->forward->forwarding;
	const struct cache_step *step = &composer->record->steps[composer->at];
	const struct flow *flow;
	uint32_t counter;

	if (composer->impossible || composer->last || composer->at >= composer->record->n ||
	    step->table_id != table_id) {
		give_up(composer);
		return true;
	}
	flow = step->flow;
	counter = rcu_read(&forwarding->table_counters[table_id]);
	composer->at++;
	composer->counters[composer->n_counters++] =
		(flow ? flow->counter : COUNTER_NONE) |
		(uint64_t)(counter ? counter - 1 : COUNTER_NONE) << 32;
	composer->entry->missed = false;
	if (flow)
		return walk_program(composer, rcu_read(&flow->program), table_id, depth);
	switch ((enum table_miss)rcu_read(&forwarding->miss[table_id])) {
	case TABLE_MISS_DEFAULT:
	case TABLE_MISS_DROP:
		composer->entry->missed = true;
		break;
	case TABLE_MISS_CONTINUE:
		if (table_id + 1 < N_TABLES)
			return walk_table(composer, (uint8_t)(table_id + 1), depth);
		composer->entry->missed = true;
		break;
	case TABLE_MISS_CONTROLLER:
		give_up(composer);
		break;
	}
	return true;
}

// --- Chunks ---

static struct cache_chunk *chunk_new(struct cache *cache, uint32_t *number)
{
	struct cache_chunk *chunk;

	*number = cache->free_chunk;
	if (*number)
		cache->free_chunk = cache->chunks[*number].next;
	else if (cache->n_chunks_used < CACHE_CHUNKS)
		*number = cache->n_chunks_used++;
	else
		return NULL;
	chunk = &cache->chunks[*number];
	chunk->next = 0;
	chunk->n = 0;
	return chunk;
}

// False if there are not enough; what was added stays in the list.
static bool add_items(struct cache *cache, uint32_t *list, const uint64_t *items, unsigned int n)
{
	for (unsigned int done = 0; done < n;) {
		struct cache_chunk *chunk = chunk_new(cache, list);

		if (!chunk)
			return false;
		for (; done < n && chunk->n < CACHE_CHUNK_ITEMS; done++)
			chunk->items[chunk->n++] = items[done];
		list = &chunk->next;
	}
	return true;
}

// --- Entries ---

// Nobody reads the metadata any more.
static bool is_rewritten(const struct composer *composer, unsigned int word)
{
	return composer->mask[word] && word != offsetof(struct key_core, metadata) / 8;
}

static bool rewrite_fits(const struct composer *composer)
{
	unsigned int n = 0;

	for (unsigned int w = 0; w < KEY_LINE_WORDS; w++)
		n += is_rewritten(composer, w);
	return n <= CACHE_REWRITE_WORDS;
}

static void set_rewrite(struct composer *composer)
{
	struct cache_entry *entry = composer->entry;

	for (unsigned int w = 0; w < KEY_LINE_WORDS; w++) {
		if (!is_rewritten(composer, w))
			continue;
		entry->words[entry->n_words] = (uint8_t)w;
		entry->mask[entry->n_words] = composer->mask[w];
		entry->value[entry->n_words++] = composer->value[w];
	}
}

static void fill(struct composer *composer, struct cache *cache)
{
	struct cache_entry *entry = composer->entry;

	entry->n_lookups = (uint8_t)composer->at;
	if (composer->impossible || composer->at != composer->record->n ||
	    (composer->writes_ttl && entry->n_dec_ttl) || entry->n_dec_ttl == UINT8_MAX) {
		entry->kind = CACHE_DIRECT;
		return;
	}
	if (!add_items(cache, &entry->path, composer->counters, composer->n_counters)) {
		entry->kind = CACHE_DIRECT;
		return;
	}
	if (composer->plain && rewrite_fits(composer)) {
		set_rewrite(composer);
		entry->kind = CACHE_SIMPLE;
		return;
	}
	entry->kind = CACHE_LIST;
	entry->list_hash = hash_words(composer->ops, composer->n_ops);
	if (!add_items(cache, &entry->list, composer->ops, composer->n_ops))
		entry->kind = CACHE_DIRECT;
}

static void compose(struct composer *composer, bool inlines)
{
	composer->at = 0;
	composer->n_vlans = composer->record->n_vlans;
	composer->n_ops = 0;
	composer->n_counters = 0;
	composer->impossible = composer->record->n > CACHE_MAX_PATH;
	composer->plain = true;
	composer->output = false;
	composer->last = false;
	composer->inlines = inlines;
	composer->closed = false;
	composer->reopened = false;
	composer->writes_ttl = false;
	memset(composer->mask, 0, sizeof(composer->mask));
	memset(composer->value, 0, sizeof(composer->value));
	composer->entry->out_port = OFPP_ANY;
	composer->entry->dirty = 0;
	composer->entry->n_dec_ttl = 0;
	composer->entry->pop_vlan = false;
	composer->entry->learned = NULL;
	if (!composer->impossible)
		walk_table(composer, 0, 0);
}

void cache_insert(struct forward *forward, struct cache_probe *probe, unsigned int i)
{
	struct cache *cache = forward->worker->cache;
	struct composer composer;

	composer.entry = cache_place(cache, forward, probe, i);
	if (!composer.entry)
		return;
	composer.forward = forward;
	composer.record = &cache->records[i];
	composer.packet = i;
	compose(&composer, true);
	if (composer.closed && (composer.reopened || !composer.plain || !rewrite_fits(&composer)))
		compose(&composer, false);
	fill(&composer, cache);
	// Only now, with all that it says, and for the burst that noted it.
	composer.entry->generation = forward->generation;
	cache->stats.n_inserted++;
}
