#include "common/rcu.h"
#include "flowtable/classifier/lanes.h"
#include "flowtable/classifier/split.h"

// The values of all packets, side by side.
static void load_values(const struct classifier_split *split, const struct key_vector *keys,
			uint64_t values[VECTOR_SIZE])
{
	const uint64_t *column = key_vector_column(keys, split->word);

	for (unsigned int i = 0; i < VECTOR_SIZE; i++)
		values[i] = column[i * KEY_LINE_WORDS] & split->bits;
}

static uint64_t packets_with(const uint64_t values[VECTOR_SIZE], uint64_t value)
{
	uint64_t packets = 0;

	for (unsigned int g = 0; g < VECTOR_SIZE / LANES; g++)
		packets |= lanes_zero(((const lanes *)values)[g] ^ value) << g * LANES;
	return packets;
}

static const struct table *find(const struct split_index *index, uint64_t value)
{
	for (uint32_t i = split_slot(index, value);; i = (i + 1) & index->slot_mask) {
		const struct table *sub = rcu_read(&index->slots[i].table);

		if (!sub || index->slots[i].value == value)
			return sub;
	}
}

static void lookup(const struct classifier *classifier, const struct key_vector *keys,
		   uint64_t packets, struct classifier_result *result, enum flow_view view)
{
	const struct classifier_split *split = (const struct classifier_split *)classifier;
	const struct split_index *index = rcu_read(&split->index);
	_Alignas(64) uint64_t values[VECTOR_SIZE];

	load_values(split, keys, values);
	while (packets) {
		const uint64_t value = values[__builtin_ctzll(packets)];
		const uint64_t same = packets & packets_with(values, value);
		const struct table *sub = find(index, value);
		const struct table_view *parts = sub ? rcu_read(&sub->view) : NULL;

		packets &= ~same;
		if (parts)
			table_parts_lookup(parts, keys, same, result, view);
	}
}

void classifier_split_lookup(const struct classifier *classifier, const struct key_vector *keys,
			     uint64_t packets, struct classifier_result *result)
{
	lookup(classifier, keys, packets, result, VIEW_NONE);
}

void classifier_split_view(const struct classifier *classifier, const struct key_vector *keys,
			   uint64_t packets, struct classifier_result *result, enum flow_view view)
{
	lookup(classifier, keys, packets, result, view);
}
