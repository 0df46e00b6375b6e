// Conjunctive matches (ovs-fields(7), "Conjunctive Match Fields"): what a lookup does with flows
// that have conjunction actions.
//
// A packet that matches a flow of every dimension of a conjunction is looked up once more, with the
// conjunction's number for conj_id and among ordinary flows only. The first conjunction by falling
// priority, then by rising number, for which that finds a flow gives the result, unless an ordinary
// flow of the same or a higher priority matches the packet as it is.
//
// Per packet the conjunctions that it touches are gathered in that order, some at a time: the work
// depends on the rules only, and the memory is fixed.
#include "common/rcu.h"
#include "flowtable/program.h"
#include "flowtable/table_internal.h"

#include <string.h>

// Gathered at a time for each packet; should more be touched, the next ones follow.
#define CANDIDATES 32

// Conjunctions by rising order: those of flows with different priorities, or of another number of
// dimensions, have nothing to do with each other.
struct candidates {
	unsigned int n;
	unsigned int at; // those before have been tried
	uint64_t after; // the last one of those gathered before; 0: none
	uint64_t order[CANDIDATES];
	uint64_t dimensions[CANDIDATES]; // those that match
};

static uint64_t conjunction_order(const struct flow *flow, const struct op_conjunction *op)
{
	return (uint64_t)(UINT16_MAX - flow->priority) << 40 | (uint64_t)op->id << 8 |
	       op->n_dimensions;
}

static void candidates_add(struct candidates *candidates, uint64_t order, uint64_t dimension)
{
	unsigned int at = candidates->n;

	if (order <= candidates->after)
		return;
	while (at > 0 && candidates->order[at - 1] > order)
		at--;
	if (at > 0 && candidates->order[at - 1] == order) {
		candidates->dimensions[at - 1] |= dimension;
		return;
	}
	if (at == CANDIDATES)
		return;
	candidates->n += candidates->n < CANDIDATES;
	for (unsigned int i = candidates->n - 1; i > at; i--) {
		candidates->order[i] = candidates->order[i - 1];
		candidates->dimensions[i] = candidates->dimensions[i - 1];
	}
	candidates->order[at] = order;
	candidates->dimensions[at] = dimension;
}

static void candidates_add_flow(struct candidates *candidates, const struct flow *flow)
{
	const struct program *program = rcu_read(&flow->program);

	program_for_each_op (op, program) {
		const struct op_conjunction *conjunction = (const struct op_conjunction *)op;

		if (op->code == OP_CONJUNCTION)
			candidates_add(candidates, conjunction_order(flow, conjunction),
				       UINT64_C(1) << (conjunction->dimension - 1));
	}
}

// All conjunctions that each packet touches with a higher priority than its ordinary flow has.
static void gather(const struct table_clauses *clauses, const struct key_vector *keys,
		   uint64_t packets, const struct classifier_result *ordinary, enum flow_view view,
		   struct candidates candidates[VECTOR_SIZE])
{
	struct classifier_result result;

	for (uint32_t c = 0; c < clauses->n; c++) {
		table_result_clear(&result);
		classifier_lookup(clauses->entries[c].classifier, keys, packets, &result);
		for (uint64_t left = packets; left; left &= left - 1) {
			const unsigned int i = (unsigned int)__builtin_ctzll(left);
			const struct flow *best = ordinary->flow[i];

			// Those with the same match hang together, by falling priority.
			for (const struct flow *flow = result.flow[i];
			     flow && (!best || flow->priority > best->priority);
			     flow = rcu_read(&flow->next))
				if (view == VIEW_NONE || flow_is_visible(flow, view))
					candidates_add_flow(&candidates[i], flow);
		}
	}
}

// The next conjunction of which each dimension matches; false if there is none.
static bool candidates_next(struct candidates *candidates)
{
	for (; candidates->at < candidates->n; candidates->at++) {
		const unsigned int n = candidates->order[candidates->at] & 0xff;

		if (candidates->dimensions[candidates->at] == UINT64_MAX >> (64 - n))
			return true;
	}
	return false;
}

static void candidates_restart(struct candidates *candidates, uint64_t after)
{
	candidates->n = 0;
	candidates->at = 0;
	candidates->after = after;
}

static uint32_t candidate_id(const struct candidates *candidates)
{
	return (uint32_t)(candidates->order[candidates->at] >> 8);
}

static struct key_tunnel *tunnel_of(const struct key_vector *keys, unsigned int packet)
{
	return (struct key_tunnel *)keys->lines[KEY_LINE_TUNNEL][packet];
}

// Look the packets up with the conj_id that each has come to.
static void lookup_conj_id(const struct table_view *parts, const struct key_vector *keys,
			   uint64_t packets, const struct candidates candidates[VECTOR_SIZE],
			   struct classifier_result *result, enum flow_view view)
{
	rte_be32_t saved[VECTOR_SIZE];

	table_result_clear(result);
	if (!parts)
		return;
	for (uint64_t left = packets; left; left &= left - 1) {
		const unsigned int i = (unsigned int)__builtin_ctzll(left);

		saved[i] = tunnel_of(keys, i)->conj_id;
		tunnel_of(keys, i)->conj_id = rte_cpu_to_be_32(candidate_id(&candidates[i]));
	}
	table_parts_lookup(parts, keys, packets, result, view);
	for (uint64_t left = packets; left; left &= left - 1) {
		const unsigned int i = (unsigned int)__builtin_ctzll(left);

		tunnel_of(keys, i)->conj_id = saved[i];
	}
}

// Try what was gathered. Returns the packets for which there may be more to gather.
static uint64_t settle(const struct table_view *parts, const struct key_vector *keys,
		       uint64_t packets, struct candidates candidates[VECTOR_SIZE],
		       struct classifier_result *result, enum flow_view view,
		       struct table_conjunction *conjunction)
{
	struct classifier_result found;
	uint64_t more = 0;

	while (packets) {
		for (uint64_t left = packets; left; left &= left - 1) {
			const unsigned int i = (unsigned int)__builtin_ctzll(left);

			if (candidates_next(&candidates[i]))
				continue;
			packets &= ~(UINT64_C(1) << i);
			if (candidates[i].n < CANDIDATES)
				continue;
			more |= UINT64_C(1) << i;
			candidates_restart(&candidates[i], candidates[i].order[CANDIDATES - 1]);
		}
		lookup_conj_id(parts, keys, packets, candidates, &found, view);
		for (uint64_t left = packets; left; left &= left - 1) {
			const unsigned int i = (unsigned int)__builtin_ctzll(left);

			if (!found.flow[i]) {
				candidates[i].at++;
				continue;
			}
			packets &= ~(UINT64_C(1) << i);
			result->flow[i] = found.flow[i];
			result->rank[i] = found.rank[i];
			if (!conjunction)
				continue;
			conjunction->packets |= UINT64_C(1) << i;
			conjunction->ids[i] = candidate_id(&candidates[i]);
		}
	}
	return more;
}

void table_clauses_lookup(const struct table_clauses *clauses, const struct table_view *parts,
			  const struct key_vector *keys, uint64_t packets,
			  struct classifier_result *result, enum flow_view view,
			  struct table_conjunction *conjunction)
{
	struct candidates candidates[VECTOR_SIZE];

	if (conjunction)
		conjunction->packets = 0;
	for (unsigned int i = 0; i < VECTOR_SIZE; i++)
		candidates_restart(&candidates[i], 0);
	while (packets) {
		gather(clauses, keys, packets, result, view, candidates);
		packets = settle(parts, keys, packets, candidates, result, view, conjunction);
	}
}
