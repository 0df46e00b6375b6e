#include "flowtable/table.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include <rte_common.h>

#include "common/hash.h"
#include "common/rcu.h"
#include "flowtable/table_cost.h"
#include "flowtable/table_internal.h"

// A match as tables keep it: the words that it looks at, their masks and values.
struct packed_match {
	unsigned int n_words;
	uint8_t word[KEY_WORDS];
	uint64_t bits[KEY_WORDS];
	uint64_t values[KEY_WORDS];
};

static void packed_match_from(struct packed_match *packed, const struct match *match)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < KEY_WORDS; i++) {
		if (!match->mask.words[i])
			continue;
		packed->word[n] = (uint8_t)i;
		packed->bits[n] = match->mask.words[i];
		packed->values[n] = match->value.words[i] & match->mask.words[i];
		n++;
	}
	packed->n_words = n;
}

static uint64_t shape_hash(bool is_clause, const uint8_t *word, const uint64_t *bits,
			   unsigned int n_words)
{
	uint64_t hash = n_words | (uint64_t)is_clause << 32;

	for (unsigned int i = 0; i < n_words; i++)
		hash = hash_word(hash_word(hash, word[i]), bits[i]);
	return hash_finish(hash);
}

static uint64_t flow_hash(uint64_t shape, uint16_t priority, const uint64_t *values,
			  unsigned int n_words)
{
	uint64_t hash = hash_word(shape, priority);

	for (unsigned int i = 0; i < n_words; i++)
		hash = hash_word(hash, values[i]);
	return hash_finish(hash);
}

// By content, as table_find() comes with a match that no flow may have.
static struct table_shape *shape_find(const struct table *table, uint64_t hash, bool is_clause,
				      const uint8_t *word, const uint64_t *bits,
				      unsigned int n_words)
{
	for (struct table_index_node *node = table_index_chain(&table->shapes, hash); node;
	     node = node->next) {
		struct table_shape *shape = container_of(node, struct table_shape, index);

		if (node->hash == hash && shape->is_clause == is_clause &&
		    shape->mask->n_words == n_words &&
		    memcmp(shape->mask->word, word, n_words) == 0 &&
		    memcmp(shape->mask->bits, bits, n_words * sizeof(bits[0])) == 0)
			return shape;
	}
	return NULL;
}

// Masks of flows are interned.
static struct table_shape *shape_of(const struct table *table, const struct mask *mask,
				    bool is_clause)
{
	struct table_shape *recent = table->recent;

	if (recent && recent->mask == mask && recent->is_clause == is_clause)
		return recent;
	return shape_find(table, shape_hash(is_clause, mask->word, mask->bits, mask->n_words),
			  is_clause, mask->word, mask->bits, mask->n_words);
}

static struct table_shape *shape_make(struct table *table, const struct mask *mask, bool is_clause)
{
	uint64_t hash = shape_hash(is_clause, mask->word, mask->bits, mask->n_words);
	struct table_shape *shape;

	if (table_index_reserve(&table->shapes) < 0)
		return NULL;
	shape = calloc(1, sizeof(*shape));
	if (!shape)
		return NULL;
	shape->index.hash = hash;
	shape->mask = mask;
	shape->is_clause = is_clause;
	table_index_add(&table->shapes, &shape->index);
	return shape;
}

static struct table_shape *shape_get(struct table *table, const struct mask *mask, bool is_clause)
{
	struct table_shape *shape = shape_of(table, mask, is_clause);

	if (!shape)
		shape = shape_make(table, mask, is_clause);
	table->recent = shape;
	return shape;
}

static void shape_free_if_empty(struct table *table, struct table_shape *shape)
{
	if (shape->n_flows > 0 || shape->n_expected > 0)
		return;
	table_lpm_forget(table, shape);
	if (table->recent == shape)
		table->recent = NULL;
	table_index_remove(&table->shapes, &shape->index);
	free(shape);
}

// Into the list before the other flows of its shape.
static void list_add(struct table *table, struct flow *flow)
{
	struct table_shape *shape = flow->shape;
	struct flow *next = shape->n_flows ? shape->first : table->flows;

	flow->list_next = next;
	flow->list_prev = next ? next->list_prev : NULL;
	if (next)
		next->list_prev = flow;
	if (flow->list_prev)
		flow->list_prev->list_next = flow;
	else
		table->flows = flow;
	shape->first = flow;
	shape->n_flows++;
	table->n_flows++;
}

// The flow keeps its own links: table_next() goes on from it.
static void list_remove(struct table *table, struct flow *flow)
{
	struct table_shape *shape = flow->shape;

	if (flow->list_next)
		flow->list_next->list_prev = flow->list_prev;
	if (flow->list_prev)
		flow->list_prev->list_next = flow->list_next;
	else
		table->flows = flow->list_next;
	if (shape->first == flow)
		shape->first = flow->list_next;
	shape->n_flows--;
	table->n_flows--;
}

struct table *table_create(uint8_t table_id)
{
	struct table *table = calloc(1, sizeof(*table));

	if (table)
		table->id = table_id;
	return table;
}

void table_destroy(struct table *table)
{
	struct flow *next;

	if (!table)
		return;
	table_parts_destroy(table);
	table_clauses_destroy(table);
	for (struct flow *flow = table->flows; flow; flow = next) {
		struct table_shape *shape = flow->shape;

		next = flow->list_next;
		list_remove(table, flow);
		shape_free_if_empty(table, shape);
		flow_free(flow);
	}
	table_index_free(&table->index);
	table_index_free(&table->shapes);
	table_index_free(&table->families);
	free(table);
}

// The part in which the change is a single store that a packet sees or not, or NULL: a hash or LPM
// part that has the flow's shape before and after the change. Where there are conjunctions, packets
// may look more than once.
static const struct table_holder *changing_part(const struct table *table,
						const struct table_shape *shape, uint32_t n_flows)
{
	const struct table_holder *part = shape->part;

	if (!part || shape->is_clause || table->clauses)
		return NULL;
	if (part->family)
		return table_lpm_stays(part) ? part : NULL;
	return part->classifier->id == CLASSIFIER_HASH && n_flows >= SHAPE_HASH_MIN_FLOWS ? part
											  : NULL;
}

// Before anything that lookups can see. A lookup that too many changes have overtaken holds us
// back until it is through, which takes it microseconds: see table_lookup().
//
// Changes of one hash or LPM part that follow each other are one run, and count as one. A packet
// takes its flow from one slot of such a part, once, so it sees the table as it was at that moment, however many of
// them there are; only between parts could it see a table that never was.
static void change_begin(struct table *table, const struct table_holder *part)
{
	if (!part || part != table->changing)
		__atomic_store_n(&table->version, table->version + 1, __ATOMIC_SEQ_CST);
	table->changing = part;
	while (__atomic_load_n(&table->n_holding, __ATOMIC_SEQ_CST))
		sched_yield();
}

void table_change_begin(struct table *table)
{
	change_begin(table, NULL);
}

static int insert(struct table *table, struct flow *flow, uint64_t rank)
{
	struct table_shape *shape;
	int rc;

	if (table_index_reserve(&table->index) < 0)
		return -ENOMEM;
	shape = shape_get(table, flow->mask, flow_is_clause(flow));
	if (!shape)
		return -ENOMEM;
	flow->shape = shape;
	flow->rank = rank;
	flow->index.hash =
		flow_hash(shape->index.hash, flow->priority, flow->values, flow->mask->n_words);
	list_add(table, flow);
	shape->n_expected -= shape->n_expected > 0;
	change_begin(table, changing_part(table, shape, shape->n_flows));
	rc = shape->is_clause ? table_clauses_insert(table, flow) : table_parts_insert(table, flow);
	if (rc < 0) {
		list_remove(table, flow);
		shape_free_if_empty(table, shape);
		return rc;
	}
	table_index_add(&table->index, &flow->index);
	table->lines |= flow->mask->lines;
	return 0;
}

int table_insert(struct table *table, struct flow *flow)
{
	int rc = insert(table, flow, flow_rank(flow->priority, table->n_inserted));

	table->n_inserted += rc == 0;
	return rc;
}

int table_insert_staged(struct table *table, struct flow *flow, const struct flow *instead)
{
	int rc;

	flow_set_state(flow, FLOW_NEW);
	rc = instead ? insert(table, flow, instead->rank) : table_insert(table, flow);
	if (rc < 0)
		flow_set_state(flow, FLOW_NORMAL);
	return rc;
}

void table_remove_staged(struct table *table, struct flow *flow)
{
	table_index_remove(&table->index, &flow->index);
	table->n_dying++;
	flow_set_state(flow, FLOW_DYING);
}

void table_keep(struct flow *flow)
{
	flow_set_state(flow, FLOW_NORMAL);
}

void table_restore(struct table *table, struct flow *flow)
{
	table_index_add(&table->index, &flow->index);
	table->n_dying--;
	flow_set_state(flow, FLOW_NORMAL);
}

void table_expect(struct table *table, const struct mask *mask, uint32_t n)
{
	struct table_shape *shape = shape_get(table, mask, false);

	if (!shape)
		return;
	shape->n_expected = n;
	if (n)
		table_index_expect(&table->index, n);
	else
		shape_free_if_empty(table, shape);
}

void table_remove(struct table *table, struct flow *flow)
{
	struct table_shape *shape = flow->shape;

	change_begin(table, changing_part(table, shape, shape->n_flows - 1));
	if (flow->state == FLOW_DYING)
		table->n_dying--;
	else
		table_index_remove(&table->index, &flow->index);
	list_remove(table, flow);
	if (shape->is_clause)
		table_clauses_remove(table, flow);
	else
		table_parts_remove(table, flow);
	shape_free_if_empty(table, shape);
	if (table->n_flows == 0)
		table->lines = 0;
}

// One of the two has conjunctions. While both are there, the ordinary flow counts alone: what the
// other one matches it matches too, and at the same priority an ordinary flow wins.
static int replace_kind(struct table *table, struct flow *old, struct flow *flow)
{
	int rc = table_insert(table, flow);

	if (rc == 0)
		table_remove(table, old);
	return rc;
}

int table_replace(struct table *table, struct flow *old, struct flow *flow)
{
	struct table_shape *shape = old->shape;

	if (shape->is_clause != flow_is_clause(flow))
		return replace_kind(table, old, flow);
	change_begin(table, changing_part(table, shape, shape->n_flows));
	flow->rank = old->rank;
	flow->shape = shape;
	flow->next = NULL;
	table_index_replace(&table->index, &old->index, &flow->index);
	flow->list_next = old->list_next;
	flow->list_prev = old->list_prev;
	if (flow->list_next)
		flow->list_next->list_prev = flow;
	if (flow->list_prev)
		flow->list_prev->list_next = flow;
	else
		table->flows = flow;
	if (shape->first == old)
		shape->first = flow;
	table_parts_replace(old, flow);
	return 0;
}

static struct flow *find_in_shape(const struct table *table, const struct table_shape *shape,
				  const uint64_t *values, uint16_t priority)
{
	const unsigned int n_words = shape->mask->n_words;
	const uint64_t hash = flow_hash(shape->index.hash, priority, values, n_words);

	for (struct table_index_node *node = table_index_chain(&table->index, hash); node;
	     node = node->next) {
		struct flow *flow = container_of(node, struct flow, index);

		if (node->hash == hash && flow->priority == priority && flow->shape == shape &&
		    memcmp(flow->values, values, n_words * sizeof(values[0])) == 0)
			return flow;
	}
	return NULL;
}

static struct flow *find_kind(const struct table *table, bool is_clause,
			      const struct packed_match *match, uint16_t priority)
{
	const struct table_shape *shape =
		shape_find(table, shape_hash(is_clause, match->word, match->bits, match->n_words),
			   is_clause, match->word, match->bits, match->n_words);

	return shape ? find_in_shape(table, shape, match->values, priority) : NULL;
}

struct flow *table_find(const struct table *table, const struct match *match, uint16_t priority)
{
	struct packed_match packed;
	struct flow *flow;

	packed_match_from(&packed, match);
	flow = find_kind(table, false, &packed, priority);
	if (!flow && table->clauses)
		flow = find_kind(table, true, &packed, priority);
	return flow;
}

struct flow *table_find_like(const struct table *table, const struct flow *like)
{
	const struct table_shape *shape = shape_of(table, like->mask, false);
	struct flow *flow =
		shape ? find_in_shape(table, shape, like->values, like->priority) : NULL;

	if (flow || !table->clauses)
		return flow;
	shape = shape_of(table, like->mask, true);
	return shape ? find_in_shape(table, shape, like->values, like->priority) : NULL;
}

void table_prefetch(const struct table *table, struct flow *flow)
{
	const struct table_shape *shape = shape_of(table, flow->mask, flow_is_clause(flow));
	const struct classifier *classifier;

	if (!shape || !table->index.n_buckets)
		return;
	flow->index.hash =
		flow_hash(shape->index.hash, flow->priority, flow->values, flow->mask->n_words);
	__builtin_prefetch(&table->index.buckets[flow->index.hash & (table->index.n_buckets - 1)],
			   1);
	classifier = shape->part ? shape->part->classifier : NULL;
	if (classifier && classifier->template->prefetch)
		classifier->template->prefetch(classifier, flow);
}

void table_prefetch_more(const struct table *table, const struct flow *flow)
{
	const struct table_index_node *node = table_index_chain(&table->index, flow->index.hash);

	if (node)
		__builtin_prefetch(node);
}

uint32_t table_size(const struct table *table)
{
	return table->n_flows - table->n_dying;
}

static struct flow *skip_dying(struct flow *flow)
{
	while (flow && flow->state == FLOW_DYING)
		flow = flow->list_next;
	return flow;
}

struct flow *table_first(const struct table *table)
{
	return skip_dying(table->flows);
}

struct flow *table_next(const struct table *table, const struct flow *flow)
{
	(void)table;
	return skip_dying(flow->list_next);
}

uint16_t table_lines(const struct table *table)
{
	return table->lines;
}

unsigned int table_parts(const struct table *table, struct table_part *parts, unsigned int max)
{
	const struct table_clauses *clauses = table->clauses;
	const uint32_t n = table->n_parts + (clauses ? clauses->n : 0);

	for (uint32_t i = 0; i < n && i < max; i++) {
		const struct table_holder *part =
			i < table->n_parts ? table->parts[i]
					   : clauses->entries[i - table->n_parts].part;

		parts[i] = (struct table_part){
			.template_name = part->classifier->template->name,
			.n_flows = part->classifier->n_flows,
			.n_masks = part->classifier->n_masks,
			.max_priority = (uint16_t)(part->max_rank >> FLOW_SEQUENCE_BITS),
			.memory = part->classifier->template->memory(part->classifier),
			.cycles = (uint32_t)(table_cost_measured(part->classifier) + 0.5),
		};
	}
	return n;
}
