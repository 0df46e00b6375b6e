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

static uint64_t mask_hash(const uint8_t *word, const uint64_t *bits, unsigned int n_words)
{
	uint64_t hash = n_words;

	for (unsigned int i = 0; i < n_words; i++)
		hash = hash_word(hash_word(hash, word[i]), bits[i]);
	return hash_finish(hash);
}

static uint64_t flow_hash(uint64_t mask, uint16_t priority, const uint64_t *values,
			  unsigned int n_words)
{
	uint64_t hash = hash_word(mask, priority);

	for (unsigned int i = 0; i < n_words; i++)
		hash = hash_word(hash, values[i]);
	return hash_finish(hash);
}

// Sub-tables have shapes of their own.
static uint64_t shape_hash(const struct table *home, uint64_t mask, bool is_clause)
{
	return hash_finish(
		hash_word(hash_word(mask, is_clause | (home->whole ? 2u : 0)), home->split_value));
}

static struct table_shape *shape_find(const struct table *table, const struct mask *mask,
				      const struct table *home, bool is_clause)
{
	const uint64_t hash =
		shape_hash(home, mask_hash(mask->word, mask->bits, mask->n_words), is_clause);

	for (struct table_index_node *node = table_index_chain(&table->shapes, hash); node;
	     node = node->next) {
		struct table_shape *shape = container_of(node, struct table_shape, index);

		// Masks are interned.
		if (node->hash == hash && shape->is_clause == is_clause && shape->mask == mask &&
		    shape->home == home)
			return shape;
	}
	return NULL;
}

static struct table_shape *shape_of(const struct table *table, const struct mask *mask,
				    const struct table *home, bool is_clause)
{
	struct table_shape *recent = table->recent;

	if (recent && recent->mask == mask && recent->home == home &&
	    recent->is_clause == is_clause)
		return recent;
	return shape_find(table, mask, home, is_clause);
}

const struct table_shape *table_shape_find(const struct table *table, const struct mask *mask,
					   bool is_clause)
{
	return shape_of(table, mask, table, is_clause);
}

static struct table_shape *shape_make(struct table *table, const struct mask *mask,
				      struct table *home, bool is_clause)
{
	struct table_shape *shape;

	if (table_index_reserve(&table->shapes) < 0)
		return NULL;
	shape = calloc(1, sizeof(*shape));
	if (!shape)
		return NULL;
	shape->mask_hash = mask_hash(mask->word, mask->bits, mask->n_words);
	shape->index.hash = shape_hash(home, shape->mask_hash, is_clause);
	shape->mask = mask;
	shape->home = home;
	shape->is_clause = is_clause;
	table_index_add(&table->shapes, &shape->index);
	return shape;
}

static struct table_shape *shape_get(struct table *table, const struct mask *mask,
				     struct table *home, bool is_clause)
{
	struct table_shape *shape = shape_of(table, mask, home, is_clause);

	if (!shape)
		shape = shape_make(table, mask, home, is_clause);
	table->recent = shape;
	return shape;
}

void table_shape_free_if_empty(struct table *table, struct table_shape *shape)
{
	if (shape->n_flows > 0 || shape->n_expected > 0)
		return;
	table_lpm_forget(shape->home, shape);
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

int table_flow_move(struct table *table, struct flow *flow, struct table *home)
{
	struct table_shape *shape = shape_get(table, flow->mask, home, false);

	if (!shape)
		return -ENOMEM;
	list_remove(table, flow);
	flow->shape = shape;
	list_add(table, flow);
	return 0;
}

void table_flow_unlist(struct table *table, struct flow *flow)
{
	list_remove(table, flow);
}

void table_flow_list(struct table *table, struct flow *flow, struct table_shape *shape)
{
	flow->shape = shape;
	list_add(table, flow);
}

struct table *table_create(uint8_t table_id)
{
	struct table *table = calloc(1, sizeof(*table));

	if (!table)
		return NULL;
	table->id = table_id;
	table->n_until_check = TABLE_SPLIT_INTERVAL;
	return table;
}

void table_destroy(struct table *table)
{
	struct flow *next;

	if (!table)
		return;
	table_families_destroy(table);
	table_clauses_destroy(table);
	for (struct flow *flow = table->flows; flow; flow = next) {
		struct table_shape *shape = flow->shape;

		next = flow->list_next;
		list_remove(table, flow);
		table_shape_free_if_empty(table, shape);
		flow_free(flow);
	}
	table_parts_destroy(table);
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
static void change_begin(struct table *changed, const struct table_holder *part)
{
	struct table *table = changed->whole ? changed->whole : changed;

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

// Whose parts take the flow: a sub-table's, unless other flows with its mask are elsewhere.
static int find_home(struct table *table, const struct flow *flow, bool is_clause,
		     struct table **home)
{
	const struct table_shape *shape;

	*home = table;
	if (!table->split || is_clause)
		return 0;
	shape = table_shape_find(table, flow->mask, false);
	return shape ? 0 : table_split_home(table, flow, home);
}

static int parts_insert(struct table *table, struct flow *flow)
{
	struct table *home = flow->shape->home;
	int rc = home == table ? 0 : table_split_raise(table, flow->rank);

	if (flow->shape->is_clause)
		return table_clauses_insert(table, flow);
	if (rc == 0)
		rc = table_parts_insert(home, flow);
	if (rc == 0 && home != table)
		table_split_count(table, 1, flow->rank);
	return rc;
}

static int insert(struct table *table, struct flow *flow, uint64_t rank)
{
	const bool is_clause = flow_is_clause(flow);
	struct table_shape *shape;
	struct table *home;
	int rc;

	if (table_index_reserve(&table->index) < 0 || find_home(table, flow, is_clause, &home) < 0)
		return -ENOMEM;
	shape = shape_get(table, flow->mask, home, is_clause);
	if (!shape)
		return -ENOMEM;
	flow->shape = shape;
	flow->rank = rank;
	flow->index.hash =
		flow_hash(shape->mask_hash, flow->priority, flow->values, flow->mask->n_words);
	list_add(table, flow);
	shape->n_expected -= shape->n_expected > 0;
	change_begin(table, changing_part(table, shape, shape->n_flows));
	rc = parts_insert(table, flow);
	if (rc < 0) {
		list_remove(table, flow);
		table_shape_free_if_empty(table, shape);
		return rc;
	}
	table_index_add(&table->index, &flow->index);
	table->lines |= flow->mask->lines;
	return 0;
}

static int insert_last(struct table *table, struct flow *flow)
{
	int rc = insert(table, flow, flow_rank(flow->priority, table->n_inserted));

	table->n_inserted += rc == 0;
	return rc;
}

int table_insert(struct table *table, struct flow *flow)
{
	int rc = insert_last(table, flow);

	if (rc == 0)
		table_split_check(table);
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
	struct table_shape *shape = shape_get(table, mask, table, false);

	if (!shape)
		return;
	shape->n_expected = n;
	if (n)
		table_index_expect(&table->index, n);
	else
		table_shape_free_if_empty(table, shape);
	// What was expected is here: look at it now and not only after many more.
	if (n == 0) {
		table->n_until_check = 0;
		table_split_check(table);
	}
}

void table_remove(struct table *table, struct flow *flow)
{
	struct table_shape *shape = flow->shape;
	struct table *home = shape->home;

	change_begin(table, changing_part(table, shape, shape->n_flows - 1));
	if (flow->state == FLOW_DYING)
		table->n_dying--;
	else
		table_index_remove(&table->index, &flow->index);
	list_remove(table, flow);
	if (shape->is_clause)
		table_clauses_remove(table, flow);
	else
		table_parts_remove(home, flow);
	table_shape_free_if_empty(table, shape);
	if (home != table)
		table_split_count(table, -1, flow->rank);
	if (table->n_flows == 0)
		table->lines = 0;
}

// One of the two has conjunctions. While both are there, the ordinary flow counts alone: what the
// other one matches it matches too, and at the same priority an ordinary flow wins.
static int replace_kind(struct table *table, struct flow *old, struct flow *flow)
{
	int rc = insert_last(table, flow);

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

static struct flow *find(const struct table *table, uint64_t mask_hashed, const uint8_t *word,
			 const uint64_t *bits, const uint64_t *values, unsigned int n_words,
			 uint16_t priority)
{
	const uint64_t hash = flow_hash(mask_hashed, priority, values, n_words);

	for (struct table_index_node *node = table_index_chain(&table->index, hash); node;
	     node = node->next) {
		struct flow *flow = container_of(node, struct flow, index);
		const struct mask *mask = flow->mask;

		if (node->hash == hash && flow->priority == priority && mask->n_words == n_words &&
		    memcmp(mask->word, word, n_words) == 0 &&
		    memcmp(mask->bits, bits, n_words * sizeof(bits[0])) == 0 &&
		    memcmp(flow->values, values, n_words * sizeof(values[0])) == 0)
			return flow;
	}
	return NULL;
}

struct flow *table_find(const struct table *table, const struct match *match, uint16_t priority)
{
	struct packed_match packed;

	packed_match_from(&packed, match);
	return find(table, mask_hash(packed.word, packed.bits, packed.n_words), packed.word,
		    packed.bits, packed.values, packed.n_words, priority);
}

// Flows come in runs: the hash of their mask is known mostly.
static uint64_t mask_hash_of(const struct table *table, const struct mask *mask)
{
	const struct table_shape *recent = table->recent;

	return recent && recent->mask == mask ? recent->mask_hash
					      : mask_hash(mask->word, mask->bits, mask->n_words);
}

struct flow *table_find_like(const struct table *table, const struct flow *like)
{
	const struct mask *mask = like->mask;

	return find(table, mask_hash_of(table, mask), mask->word, mask->bits, like->values,
		    mask->n_words, like->priority);
}

void table_prefetch(const struct table *table, struct flow *flow)
{
	const struct mask *mask = flow->mask;
	const struct table_shape *shape;
	const struct classifier *classifier;

	if (!table->index.n_buckets)
		return;
	flow->index.hash =
		flow_hash(mask_hash_of(table, mask), flow->priority, flow->values, mask->n_words);
	__builtin_prefetch(&table->index.buckets[flow->index.hash & (table->index.n_buckets - 1)],
			   1);
	// Sub-tables are small.
	shape = table_shape_find(table, mask, flow_is_clause(flow));
	classifier = shape && shape->part ? shape->part->classifier : NULL;
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

static void part_describe(const struct classifier *classifier, uint64_t max_rank,
			  struct table_part *part)
{
	*part = (struct table_part){
		.template_name = classifier->template->name,
		.n_flows = classifier->n_flows,
		.n_masks = classifier->n_masks,
		.max_priority = (uint16_t)(max_rank >> FLOW_SEQUENCE_BITS),
		.memory = classifier->template->memory(classifier),
		.cycles = (uint32_t)(table_cost_measured(classifier) + 0.5),
	};
	if (classifier->id == CLASSIFIER_SPLIT)
		table_split_describe(classifier, part);
}

unsigned int table_parts(const struct table *table, struct table_part *parts, unsigned int max)
{
	const struct table_clauses *clauses = table->clauses;
	const uint32_t n = table->n_parts + (clauses ? clauses->n : 0);

	for (uint32_t i = 0; i < n && i < max; i++) {
		const struct table_holder *part =
			i < table->n_parts ? table->parts[i]
					   : clauses->entries[i - table->n_parts].part;

		part_describe(part->classifier, part->max_rank, &parts[i]);
	}
	return n;
}
