#include "flowtable/classifier/bitvector_block.h"

#include <stdlib.h>
#include <string.h>

#include "common/rcu.h"

#define STRIDE_BITS 4
#define STRIDE_MASK (BITVECTOR_STRIDE_VALUES - 1)

// What the flows of a block look at, and what all of them require.
struct plan {
	uint64_t looked_at[KEY_WORDS];
	uint64_t common[KEY_WORDS];
	uint64_t value[KEY_WORDS]; // of the common bits
	uint32_t n_filters;
	uint32_t n_strides;
};

// The flow's mask and value of one word of the key.
static uint64_t flow_bits(const struct flow *flow, unsigned int word, uint64_t *value)
{
	const struct mask *mask = flow->mask;

	for (unsigned int i = 0; i < mask->n_words && mask->word[i] <= word; i++)
		if (mask->word[i] == word) {
			*value = flow->values[i];
			return mask->bits[i];
		}
	*value = 0;
	return 0;
}

static void plan_common(struct plan *plan, struct flow *const *flows, uint32_t n_flows)
{
	const struct mask *first = flows[0]->mask;

	for (unsigned int w = 0; w < first->n_words; w++) {
		uint64_t common = first->bits[w];

		for (uint32_t i = 1; i < n_flows && common; i++) {
			uint64_t value;

			common &= flow_bits(flows[i], first->word[w], &value);
			common &= ~(value ^ flows[0]->values[w]);
		}
		plan->common[first->word[w]] = common;
		plan->value[first->word[w]] = flows[0]->values[w] & common;
	}
}

static void plan_make(struct plan *plan, struct flow *const *flows, uint32_t n_flows)
{
	memset(plan, 0, sizeof(*plan));
	for (uint32_t i = 0; i < n_flows; i++)
		for (unsigned int w = 0; w < flows[i]->mask->n_words; w++)
			plan->looked_at[flows[i]->mask->word[w]] |= flows[i]->mask->bits[w];
	plan_common(plan, flows, n_flows);
	for (unsigned int w = 0; w < KEY_WORDS; w++) {
		uint64_t varies = plan->looked_at[w] & ~plan->common[w];

		plan->n_filters += plan->common[w] != 0;
		for (; varies; varies >>= STRIDE_BITS)
			plan->n_strides += (varies & STRIDE_MASK) != 0;
	}
}

// A narrow block has room for a fourth more flows.
static uint32_t places_for(uint32_t n_flows)
{
	const uint32_t wanted = n_flows + n_flows / 4 + BITVECTOR_SLICE_FLOWS;
	const uint32_t steps = (wanted + BITVECTOR_NARROW_STEP - 1) / BITVECTOR_NARROW_STEP;
	const uint32_t n_places = steps * BITVECTOR_NARROW_STEP;

	return n_places <= BITVECTOR_NARROW_PLACES ? n_places : BITVECTOR_BLOCK_FLOWS;
}

static struct bitvector_block *block_alloc(const struct plan *plan, uint32_t n_places)
{
	const bool is_narrow = n_places <= BITVECTOR_NARROW_PLACES;
	const size_t slices = is_narrow ? sizeof(struct bitvector_slice) * plan->n_strides *
						  (n_places / BITVECTOR_SLICE_FLOWS)
					: 0;
	const size_t sets = sizeof(struct bitvector_sets) * plan->n_strides;
	const size_t strides = sizeof(struct bitvector_stride) * plan->n_strides;
	const size_t filters = sizeof(struct bitvector_filter) * plan->n_filters;
	size_t size = sizeof(struct bitvector_block) + sets + slices + filters + strides;
	struct bitvector_block *block;

	size = (size + 63) / 64 * 64;
	block = aligned_alloc(64, size);
	if (!block)
		return NULL;
	memset(block, 0, size);
	block->size = size;
	block->sets = (struct bitvector_sets *)(block + 1);
	block->n_places = n_places;
	if (is_narrow)
		block->slices = (struct bitvector_slice *)((char *)(block + 1) + sets);
	block->filters = (struct bitvector_filter *)((char *)(block + 1) + sets + slices);
	block->strides = (struct bitvector_stride *)((char *)block->filters + filters);
	return block;
}

static void block_lay_out(struct bitvector_block *block, const struct plan *plan)
{
	for (unsigned int w = 0; w < KEY_WORDS; w++) {
		const uint64_t varies = plan->looked_at[w] & ~plan->common[w];

		if (plan->common[w])
			block->filters[block->n_filters++] = (struct bitvector_filter){
				.bits = plan->common[w],
				.value = plan->value[w],
				.word = (uint8_t)w,
			};
		for (unsigned int shift = 0; shift < 64; shift += STRIDE_BITS)
			if (varies >> shift & STRIDE_MASK)
				block->strides[block->n_strides++] = (struct bitvector_stride){
					.word = (uint8_t)w,
					.shift = (uint8_t)shift,
				};
	}
}

// Visit each value of a half byte that agrees with `value` under `bits`: their other bits are free.
#define for_each_agreeing(x, bits, value)                                                          \
	for (unsigned int free_##x = ~(bits)&STRIDE_MASK, sub_##x = free_##x, done_##x = 0, x;     \
	     !done_##x && (x = (value) | sub_##x, true);                                           \
	     done_##x = sub_##x == 0, sub_##x = (sub_##x - 1) & free_##x)

// One stride's sets of all flows; `bits` and `values` are those of the stride's word.
static void sets_fill(struct bitvector_sets *sets, const struct bitvector_block *block,
		      const uint64_t *bits, const uint64_t *values, unsigned int shift)
{
	uint64_t indifferent[BITVECTOR_BLOCK_WORDS] = { 0 };

	for (uint32_t i = 0; i < block->n_flows; i++) {
		const unsigned int place = block->places[i];
		const unsigned int care = bits[i] >> shift & STRIDE_MASK;
		const unsigned int value = values[i] >> shift & STRIDE_MASK;
		const uint64_t bit = UINT64_C(1) << place % 64;

		if (!care)
			indifferent[place / 64] |= bit;
		else
			for_each_agreeing(x, care, value) sets->bits[x][place / 64] |= bit;
	}
	for (unsigned int x = 0; x < BITVECTOR_STRIDE_VALUES; x++)
		for (unsigned int w = 0; w < BITVECTOR_BLOCK_WORDS; w++)
			sets->bits[x][w] |= indifferent[w];
}

static void block_fill(struct bitvector_block *block, struct flow *const *flows)
{
	uint64_t bits[BITVECTOR_BLOCK_FLOWS], values[BITVECTOR_BLOCK_FLOWS];

	for (uint32_t s = 0; s < block->n_strides; s++) {
		const struct bitvector_stride *stride = &block->strides[s];

		for (uint32_t i = 0; i < block->n_flows; i++)
			if (s == 0 || stride[-1].word != stride->word)
				bits[i] = flow_bits(flows[i], stride->word, &values[i]);
		sets_fill(&block->sets[s], block, bits, values, stride->shift);
	}
}

// The eight places of a slice of the stride, for each value, as the stride's sets have them.
static void slice_copy(struct bitvector_block *block, uint32_t slice, uint32_t stride)
{
	struct bitvector_slice *to = &block->slices[slice * block->n_strides + stride];
	const unsigned int place = slice * BITVECTOR_SLICE_FLOWS;

	for (unsigned int x = 0; x < BITVECTOR_STRIDE_VALUES; x++)
		__atomic_store_n(&to->bits[x],
				 (uint8_t)(block->sets[stride].bits[x][place / 64] >> place % 64),
				 __ATOMIC_RELAXED);
}

static void slices_fill(struct bitvector_block *block)
{
	if (!block->slices)
		return;
	for (uint32_t slice = 0; slice < block->n_places / BITVECTOR_SLICE_FLOWS; slice++)
		for (uint32_t s = 0; s < block->n_strides; s++)
			slice_copy(block, slice, s);
}

static unsigned int place_of(const struct bitvector_block *block, uint32_t i, enum block_room room)
{
	if (room == BLOCK_ROOM_BEHIND)
		return i;
	if (room == BLOCK_ROOM_BEFORE)
		return block->n_places - block->n_flows + i;
	return (i * block->n_places + block->n_places / 2) / block->n_flows;
}

struct bitvector_block *block_create(struct flow *const *flows, uint32_t n_flows,
				     enum block_room room)
{
	struct plan plan;
	struct bitvector_block *block;

	plan_make(&plan, flows, n_flows);
	block = block_alloc(&plan, places_for(n_flows));
	if (!block)
		return NULL;
	block_lay_out(block, &plan);
	block->n_flows = n_flows;
	block->max_rank = flows[0]->rank;
	for (uint32_t i = 0; i < n_flows; i++) {
		const unsigned int place = place_of(block, i, room);

		block->places[i] = (uint16_t)place;
		block->flows[place] = flows[i];
		block->ranks[place] = flows[i]->rank;
		block->active[place / 64] |= UINT64_C(1) << place % 64;
	}
	block_fill(block, flows);
	slices_fill(block);
	return block;
}

// Filters and strides are in the order of their words.
bool block_accepts(const struct bitvector_block *block, const struct flow *flow)
{
	const struct mask *mask = flow->mask;
	uint32_t s = 0, f = 0;

	for (unsigned int w = 0; w < mask->n_words; w++) {
		uint64_t covered = 0;

		if (f < block->n_filters && block->filters[f].word < mask->word[w])
			return false;
		if (f < block->n_filters && block->filters[f].word == mask->word[w]) {
			const struct bitvector_filter *filter = &block->filters[f++];

			if ((mask->bits[w] & filter->bits) != filter->bits ||
			    (flow->values[w] & filter->bits) != filter->value)
				return false;
			covered = filter->bits;
		}
		for (; s < block->n_strides && block->strides[s].word <= mask->word[w]; s++)
			if (block->strides[s].word == mask->word[w])
				covered |= (uint64_t)STRIDE_MASK << block->strides[s].shift;
		if (mask->bits[w] & ~covered)
			return false;
	}
	return f == block->n_filters;
}

unsigned int block_filter_bits(const struct bitvector_block *block)
{
	unsigned int n = 0;

	for (uint32_t f = 0; f < block->n_filters; f++)
		n += (unsigned int)__builtin_popcountll(block->filters[f].bits);
	return n;
}

uint32_t block_order(const struct bitvector_block *block, uint64_t rank)
{
	uint32_t low = 0, high = block->n_flows;

	while (low < high) {
		const uint32_t middle = (low + high) / 2;

		if (block->ranks[block->places[middle]] > rank)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

// A free place before the flow of this order and behind the one before it, or -1.
static int place_free(const struct bitvector_block *block, uint32_t order)
{
	const int before = order ? block->places[order - 1] : -1;
	const int behind = order < block->n_flows ? block->places[order] : (int)block->n_places;

	if (behind - before < 2)
		return -1;
	if (order == block->n_flows)
		return before + 1;
	if (order == 0)
		return behind - 1;
	return (before + behind) / 2;
}

// Put the flow into the sets, and out of those where whoever was here before is left.
static void place_write(struct bitvector_block *block, unsigned int place, const struct flow *flow)
{
	const uint64_t bit = UINT64_C(1) << place % 64;

	for (uint32_t s = 0; s < block->n_strides; s++) {
		const struct bitvector_stride *stride = &block->strides[s];
		uint64_t value;
		const uint64_t bits = flow_bits(flow, stride->word, &value);

		for (unsigned int x = 0; x < BITVECTOR_STRIDE_VALUES; x++) {
			uint64_t *word = &block->sets[s].bits[x][place / 64];
			const bool agrees = !((x ^ value >> stride->shift) &
					      (bits >> stride->shift) & STRIDE_MASK);

			__atomic_store_n(word, agrees ? *word | bit : *word & ~bit,
					 __ATOMIC_RELAXED);
		}
		if (block->slices)
			slice_copy(block, place / BITVECTOR_SLICE_FLOWS, s);
	}
}

bool block_insert(struct bitvector_block *block, struct flow *flow, uint32_t order)
{
	const int place = place_free(block, order);
	uint64_t *active;

	if (place < 0)
		return false;
	active = &block->active[place / 64];
	place_write(block, (unsigned int)place, flow);
	__atomic_store_n(&block->ranks[place], flow->rank, __ATOMIC_RELAXED);
	rcu_publish(&block->flows[place], flow);
	if (flow->rank > block->max_rank)
		rcu_publish(&block->max_rank, flow->rank);
	rcu_publish(active, *active | UINT64_C(1) << place % 64);
	memmove(&block->places[order + 1], &block->places[order],
		(block->n_flows - order) * sizeof(block->places[0]));
	block->places[order] = (uint16_t)place;
	block->n_flows++;
	return true;
}

// A run of places that moves by one: from `first` to `last`, into a free place next to it.
struct shift {
	bool up;
	uint64_t from[BITVECTOR_BLOCK_WORDS]; // where bits are, and the free place
	uint64_t to[BITVECTOR_BLOCK_WORDS]; // where they go
};

static void range_set(uint64_t bits[BITVECTOR_BLOCK_WORDS], int first, int last)
{
	for (int i = first; i <= last; i++)
		bits[i / 64] |= UINT64_C(1) << i % 64;
}

static void bits_shift(uint64_t bits[BITVECTOR_BLOCK_WORDS], const struct shift *shift)
{
	uint64_t moved[BITVECTOR_BLOCK_WORDS];

	for (unsigned int w = 0; w < BITVECTOR_BLOCK_WORDS; w++)
		if (shift->up)
			moved[w] = bits[w] << 1 | (w > 0 ? bits[w - 1] >> 63 : 0);
		else
			moved[w] = bits[w] >> 1 |
				   (w + 1 < BITVECTOR_BLOCK_WORDS ? bits[w + 1] << 63 : 0);
	for (unsigned int w = 0; w < BITVECTOR_BLOCK_WORDS; w++)
		bits[w] = (bits[w] & ~shift->from[w]) | (moved[w] & shift->to[w]);
}

// The first or last flow of the row of neighbours that begins at `order`.
static uint32_t row_end(const struct bitvector_block *block, uint32_t order, int step)
{
	while ((step < 0 ? order > 0 : order + 1 < block->n_flows) &&
	       block->places[order + (uint32_t)step] == block->places[order] + step)
		order += (uint32_t)step;
	return order;
}

static void block_shift(struct bitvector_block *block, uint32_t first, uint32_t last, bool up)
{
	const int a = block->places[first], b = block->places[last], step = up ? 1 : -1;
	const size_t n = (size_t)(b - a) + 1;
	struct shift shift = { .up = up };

	range_set(shift.from, up ? a : a - 1, up ? b + 1 : b);
	range_set(shift.to, a + step, b + step);
	bits_shift(block->active, &shift);
	for (uint32_t s = 0; s < block->n_strides; s++)
		for (unsigned int x = 0; x < BITVECTOR_STRIDE_VALUES; x++)
			bits_shift(block->sets[s].bits[x], &shift);
	slices_fill(block);
	memmove(&block->flows[a + step], &block->flows[a], n * sizeof(block->flows[0]));
	memmove(&block->ranks[a + step], &block->ranks[a], n * sizeof(block->ranks[0]));
	for (uint32_t i = first; i <= last; i++)
		block->places[i] = (uint16_t)(block->places[i] + step);
}

static struct bitvector_block *block_copy(const struct bitvector_block *block)
{
	struct bitvector_block *copy = aligned_alloc(64, block->size);

	if (!copy)
		return NULL;
	memcpy(copy, block, block->size);
	copy->sets = (struct bitvector_sets *)(copy + 1);
	if (block->slices)
		copy->slices = (struct bitvector_slice *)((char *)copy +
							  ((char *)block->slices - (char *)block));
	copy->filters = (struct bitvector_filter *)((char *)copy +
						    ((char *)block->filters - (char *)block));
	copy->strides = (struct bitvector_stride *)((char *)copy +
						    ((char *)block->strides - (char *)block));
	return copy;
}

struct bitvector_block *block_copy_with_room(const struct bitvector_block *block, uint32_t order)
{
	struct bitvector_block *copy = block_copy(block);
	uint32_t end;

	if (!copy)
		return NULL;
	if (order < copy->n_flows) {
		end = row_end(copy, order, 1);
		if (copy->places[end] + 1u < copy->n_places) {
			block_shift(copy, order, end, true);
			return copy;
		}
	}
	end = row_end(copy, order - 1, -1);
	block_shift(copy, end, order - 1, false);
	return copy;
}

uint32_t block_find(const struct bitvector_block *block, const struct flow *flow)
{
	uint32_t order = block_order(block, flow->rank);

	while (order < block->n_flows && block->flows[block->places[order]] != flow)
		if (block->ranks[block->places[order++]] != flow->rank)
			return block->n_flows;
	return order;
}

void block_remove(struct bitvector_block *block, uint32_t order)
{
	const unsigned int place = block->places[order];
	uint64_t *active = &block->active[place / 64];

	rcu_publish(active, *active & ~(UINT64_C(1) << place % 64));
	block->n_flows--;
	memmove(&block->places[order], &block->places[order + 1],
		(block->n_flows - order) * sizeof(block->places[0]));
	if (block->n_flows)
		rcu_publish(&block->max_rank, block->ranks[block->places[0]]);
}

void block_replace(struct bitvector_block *block, uint32_t order, struct flow *flow)
{
	rcu_publish(&block->flows[block->places[order]], flow);
}
