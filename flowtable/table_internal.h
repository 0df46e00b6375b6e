// What table.c, table_parts.c and the hot table_lookup.c share: how a table is held.
//
// Workers see the view: an immutable array of sub-classifiers by falling rank. The control thread
// keeps shapes (the flows of one mask) and parts (the flows of one sub-classifier): a shape with
// many flows has a hash part of its own, the flows of small shapes share linear parts ("bins"), or
// one bit-vector part ("the mix") once they are too many for bins. Where a field tells most of these
// apart there is one part ("the split") of sub-tables, each with parts of its own.
#ifndef FLOWTABLE_TABLE_INTERNAL_H
#define FLOWTABLE_TABLE_INTERNAL_H

#include "flowtable/classifier/classifier.h"
#include "flowtable/table.h"

// A bin takes up to this many flows.
#define BIN_MAX_FLOWS 32
// A shape leaves the bins when it has more flows than this, and comes back when it has fewer than
// that: in between it stays where it is.
#define SHAPE_BIN_MAX_FLOWS 16
#define SHAPE_HASH_MIN_FLOWS 8

// The flows of small shapes move from the bins to the mix when there are more of them than this,
// and back when there are fewer than that.
#define BINS_MAX_FLOWS 32
#define MIX_MIN_FLOWS 16
// Beside a mix a shape needs more flows for a part of its own: a look into a hash costs every
// packet about as much as this many flows do in the mix. Those with fewer than the second number
// join a mix that begins.
#define SHAPE_MIX_MAX_FLOWS 256
#define MIX_JOIN_MAX_FLOWS 128
// With so many hash parts a shape needs many more flows for another one.
#define HASH_MAX_PARTS 6
#define SHAPE_CROWDED_MAX_FLOWS 2048

struct table_entry {
	uint64_t max_rank; // no flow inside has a higher one
	const struct classifier *classifier;
};

struct table_view {
	uint32_t n;
	struct table_entry entries[]; // by falling max_rank
};

// So many insertions after a table was made it is asked for the first time whether to split.
#define TABLE_SPLIT_INTERVAL 64

// Flows with conjunctions, by mask: each classifier has the flows of one.
struct table_clauses {
	uint32_t n;
	struct {
		const struct classifier *classifier;
		struct table_holder *part; // control thread
	} entries[];
};

struct table {
	// What workers read.
	struct table_view *view; // published; NULL: no flow
	struct table_clauses *clauses; // published; NULL: no flow has conjunctions
	uint64_t version; // counts runs of changes, each before the first becomes visible
	uint32_t n_holding; // lookups that ask the writer to wait

	// Control thread.
	uint8_t id;
	uint16_t lines;
	uint32_t n_flows;
	uint32_t n_dying; // of these, still in the list and in the parts
	uint64_t n_inserted; // ever: the sequence numbers in ranks
	struct flow *flows; // list_next and list_prev; those of one shape lie in a row
	struct table_index index; // of flows by mask, values and priority
	struct table_index shapes; // by mask
	struct table_shape *recent; // that was asked for last, or NULL: flows come in runs
	struct table_index families; // shapes that may be searched as one routing table
	struct table_holder **parts; // by falling max_rank
	uint32_t n_parts;
	uint32_t parts_size;
	uint32_t n_published; // views so far
	uint32_t n_binned; // flows in bins
	uint32_t n_hashes; // shapes with a hash part of their own
	struct table_holder *mix; // one of `parts`, or NULL
	struct table_holder *split; // one of `parts`, or NULL: sub-tables (table_split.c)
	uint32_t n_until_check; // insertions until it is asked whether to split
	struct table *whole; // of a sub-table: the table it belongs to
	uint64_t split_value; // of a sub-table
	const struct table_holder *changing; // the hash part of the last change, or NULL
};

struct table_shape {
	struct table_index_node index;
	const struct mask *mask; // of its flows, which hold references
	struct table *home; // whose parts hold the flows: the table itself, or a sub-table
	uint64_t mask_hash;
	bool is_clause; // flows with conjunctions have shapes of their own, other flows have others
	struct flow *first; // the first of n_flows in the table's list
	uint32_t n_flows;
	uint32_t n_expected; // how many are about to be inserted
	struct table_holder
		*part; // its own or its family's; NULL: its flows are in bins or the mix
	struct table_family *family; // table_lpm.c; or NULL
	struct table_shape *family_next;
};

struct table_holder {
	struct classifier *classifier;
	struct table_shape *shape; // whose part it is; NULL: a family's, a bin or the mix
	struct table_family *family; // whose part it is; or NULL
	uint64_t max_rank;
	uint32_t n_removed; // since max_rank was exact
	bool is_stale; // the flow that had max_rank is gone
	bool dropped; // for the change under way
	uint32_t n_flows; // of a bin, with the flows themselves
	struct flow *flows[BIN_MAX_FLOWS];
};

// Find the flow's place in the parts and make it visible. `flow` knows its shape, which lists it
// already. 0 or -ENOMEM, then nothing has changed.
int table_parts_insert(struct table *table, struct flow *flow);

// Make the flow invisible. Its shape lists it no more.
void table_parts_remove(struct table *table, struct flow *flow);

void table_parts_replace(struct flow *old, struct flow *flow);
void table_parts_destroy(struct table *table);

// Steps of which changes are made; each is one new view. NULL or -ENOMEM: nothing has changed.
struct table_holder *table_part_add(struct table *table, enum classifier_template_id id,
				    struct flow **flows, uint32_t n_flows);
int table_part_drop(struct table *table, struct table_holder *part);
int table_part_bound(struct table *table, struct table_holder *part, uint64_t max_rank);
int table_small_insert(struct table *table, struct flow *flow);
void table_small_remove(struct table *table, struct table_holder *bin, struct flow *flow);

// Prefixes of one address (table_lpm.c). 1: the flow is in its family's part. 0: it belongs
// somewhere else. -ENOMEM: nothing has changed.
int table_lpm_insert(struct table *table, struct flow *flow);
void table_lpm_remove(struct table *table, struct flow *flow); // whose owner is a family's part
void table_lpm_forget(struct table *table, struct table_shape *shape);
void table_lpm_destroy(struct table_holder *part); // before it is freed; twice is as good as once
bool table_lpm_stays(const struct table_holder *part); // when one flow goes

// Sub-tables (table_split.c). The one that takes the flow, if its mask has the field that the table
// is split by: 0 or -ENOMEM; otherwise *home stays as it is.
int table_split_home(struct table *table, const struct flow *flow, struct table **home);
// The sub-table that the flow would go to, if there is one for its value, or else the table.
const struct table *table_split_has(const struct table *table, const struct flow *flow);
// Before and after a flow of a sub-table comes or goes.
int table_split_raise(struct table *table, uint64_t rank);
void table_split_count(struct table *table, int change, uint64_t rank);
// After an insertion: is it time to split, or to give it up?
void table_split_check(struct table *table);
void table_sub_destroy(struct table *sub);
// What a lookup costs on average over the flows, where `cost` tells it of each part.
double table_split_cost(const struct classifier *classifier,
			double (*cost)(const struct classifier *part));

// Its field and values, and its masks: of the sub-table that has the most.
void table_split_describe(const struct classifier *classifier, struct table_part *part);
void table_families_destroy(struct table *table); // before the flows

// The flow goes from its shape's list to that of the same mask in another home. 0 or -ENOMEM.
int table_flow_move(struct table *table, struct flow *flow, struct table *home);
void table_flow_unlist(struct table *table, struct flow *flow);
void table_flow_list(struct table *table, struct flow *flow, struct table_shape *shape);
// The flows of the table, and not of a sub-table, with this mask. NULL: none.
const struct table_shape *table_shape_find(const struct table *table, const struct mask *mask,
					   bool is_clause);
void table_shape_free_if_empty(struct table *table, struct table_shape *shape);

// In one new view: `added`, unless that is NULL, comes, and flows that have another home go.
int table_parts_leave(struct table *table, struct table_holder *added);

// The same for flows with conjunctions.
int table_clauses_insert(struct table *table, struct flow *flow);
void table_clauses_remove(struct table *table, struct flow *flow);
void table_clauses_destroy(struct table *table);

static inline bool flow_is_clause(const struct flow *flow)
{
	return flow->program && flow->program->flags & PROGRAM_CONJUNCTION;
}

// Hot. The best flow of the view for each packet, into a result that is clear before.
void table_parts_lookup(const struct table_view *parts, const struct key_vector *keys,
			uint64_t packets, struct classifier_result *result, enum flow_view view);
void table_result_clear(struct classifier_result *result);

// Hot. `result` has the best ordinary flow of each packet; it gets the flow of a conjunction
// where that has a higher priority. `conjunction` may be NULL.
void table_clauses_lookup(const struct table_clauses *clauses, const struct table_view *parts,
			  const struct key_vector *keys, uint64_t packets,
			  struct classifier_result *result, enum flow_view view,
			  struct table_conjunction *conjunction);

#endif
