#include "flowtable/table_nearest.h"

#include "flowtable/table_internal.h"

#include <rte_common.h>

// The bits that one field has in one word of a mask.
struct piece {
	uint16_t field;
	uint8_t index; // of the word in the mask
	uint64_t bits;
};
#define SHAPE_COST 32 // taking a mask apart is as much work as so many flows
#define MAX_PIECES (KEY_WORDS + N_FIELDS)

struct pieces {
	unsigned int n;
	struct piece pieces[MAX_PIECES];
};

// What a mask looks at, field by field, in the order in which a match prints; each bit once. The
// fields' prerequisites are the match's own: all flows of a shape have them, or another field with
// the same bits.
static void split_mask(const struct flow *flow, struct pieces *pieces)
{
	static const struct field_value zero;
	const struct mask *mask = flow->mask;
	struct match match;
	struct key left;

	match_unpack(mask, flow->values, &match);
	left = match.mask;
	pieces->n = 0;
	for (unsigned int id = 0; id < N_FIELDS; id++) {
		const struct field *field = &fields[id];
		struct field_value value;
		struct key before;

		field_get(field, &left, &value);
		if (field_value_is_zero(&value) || !match_has_prerequisite(&match, field))
			continue;
		before = left;
		field_set(field, &zero, &left);
		for (unsigned int w = 0; w < mask->n_words && pieces->n < MAX_PIECES; w++) {
			const uint64_t bits =
				before.words[mask->word[w]] ^ left.words[mask->word[w]];

			if (bits)
				pieces->pieces[pieces->n++] =
					(struct piece){ (uint16_t)id, (uint8_t)w, bits };
		}
	}
}

static void compare(const struct flow *flow, const struct pieces *pieces, const struct key *key,
		    struct table_near *near)
{
	unsigned int last = N_FIELDS;

	*near = (struct table_near){ .flow = flow };
	for (unsigned int i = 0; i < pieces->n; i++) {
		const struct piece *piece = &pieces->pieces[i];
		const uint64_t word = key->words[flow->mask->word[piece->index]];

		if (piece->field == last || !((word ^ flow->values[piece->index]) & piece->bits))
			continue;
		last = piece->field;
		if (!near->n_fields++)
			near->field = &fields[last];
	}
}

static bool is_nearer(const struct table_near *a, const struct table_near *b)
{
	if (a->n_fields != b->n_fields)
		return a->n_fields < b->n_fields;
	return a->flow->rank > b->flow->rank;
}

static void add(struct table_nearest *nearest, const struct table_near *near)
{
	unsigned int at = nearest->n;

	if (at == TABLE_NEAREST_MAX && !is_nearer(near, &nearest->near[--at]))
		return;
	if (nearest->n < TABLE_NEAREST_MAX)
		nearest->n++;
	for (; at && is_nearer(near, &nearest->near[at - 1]); at--)
		nearest->near[at] = nearest->near[at - 1];
	nearest->near[at] = *near;
}

// The flows of one shape lie in a row.
static void search_shape(const struct table_shape *shape, const struct key *key, int priority,
			 uint32_t n_flows, struct table_nearest *nearest)
{
	const struct flow *flow = shape->first;
	struct pieces pieces;
	struct table_near near;

	split_mask(flow, &pieces);
	for (uint32_t i = 0; i < n_flows; i++, flow = flow->list_next) {
		if (flow->priority <= priority)
			continue;
		compare(flow, &pieces, key, &near);
		if (!near.n_fields)
			continue;
		nearest->n_higher++;
		add(nearest, &near);
	}
}

void table_nearest(const struct table *table, const struct key *key, int priority, uint32_t *budget,
		   struct table_nearest *nearest)
{
	const struct table_index *shapes = &table->shapes;
	// So that a shape with very many flows leaves something for the others.
	const uint32_t most = shapes->n ? SHAPE_COST + 2 * (*budget / shapes->n) : 0;

	*nearest = (struct table_nearest){ .complete = true };
	for (uint32_t i = 0; i < shapes->n_buckets; i++)
		for (const struct table_index_node *node = shapes->buckets[i]; node;
		     node = node->next) {
			const struct table_shape *shape =
				container_of(node, struct table_shape, index);
			uint32_t room = *budget > SHAPE_COST ? *budget - SHAPE_COST : 0;
			uint32_t n = RTE_MIN(shape->n_flows, RTE_MIN(room, most));

			nearest->complete &= n == shape->n_flows;
			*budget = n ? room - n : *budget;
			if (n)
				search_shape(shape, key, priority, n, nearest);
		}
	// Flows of one shape may have different fields at the same bits: ports of TCP or of UDP.
	for (unsigned int i = 0; i < nearest->n; i++) {
		struct pieces pieces;

		split_mask(nearest->near[i].flow, &pieces);
		compare(nearest->near[i].flow, &pieces, key, &nearest->near[i]);
	}
}
