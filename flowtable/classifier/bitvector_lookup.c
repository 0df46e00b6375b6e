#include <string.h>

#include "common/rcu.h"
#include "flowtable/classifier/bitvector_narrow.h"
#include "flowtable/classifier/lanes.h"

// So many packets go through a block together: their intersections fill eight registers.
#define GROUP LANES
#define BLOCK_LANES (BITVECTOR_BLOCK_WORDS / LANES)

// The packets of a lookup, and what all blocks use of their keys.
struct job {
	const struct bitvector_view *view;
	unsigned int n;
	bool dense; // the packets are the first n: there is no list
	uint8_t list[VECTOR_SIZE];
	bool has_rows, has_narrow; // which of `rows` and `narrow` is filled
	union {
		// Bytes from the start of a stride's sets to those of each packet's half byte.
		_Alignas(64) uint16_t rows[BITVECTOR_MAX_ROWS][VECTOR_SIZE];
		struct narrow_rows narrow;
	};
	_Alignas(64) uint64_t columns[KEY_WORDS][VECTOR_SIZE];
	_Alignas(64) uint64_t ranks[VECTOR_SIZE]; // of the best flow so far
};

static void load_columns(struct job *job, const struct key_vector *keys)
{
	for (uint32_t c = 0; c < job->view->n_columns; c++) {
		const uint64_t *column = key_vector_column(keys, job->view->columns[c]);
		uint64_t *words = job->columns[c];
		unsigned int j = 0;

		if (job->dense)
			for (; j < job->n; j++)
				words[j] = column[j * KEY_LINE_WORDS];
		for (; j < job->n; j++)
			words[j] = column[job->list[j] * KEY_LINE_WORDS];
		// Blocks compare whole registers.
		for (; j % LANES; j++)
			words[j] = 0;
	}
}

static inline __attribute__((always_inline)) uint16_t sets_offset(uint64_t word, unsigned int shift)
{
	return (uint16_t)((word >> shift & (BITVECTOR_STRIDE_VALUES - 1)) *
			  (BITVECTOR_BLOCK_WORDS * sizeof(uint64_t)));
}

static void load_rows(struct job *job)
{
	const unsigned int n = (job->n + LANES - 1) / LANES * LANES;

	const uint32_t n_rows =
		job->view->n_rows < BITVECTOR_MAX_ROWS ? job->view->n_rows : BITVECTOR_MAX_ROWS;

	if (job->has_rows)
		return;
	job->has_rows = true;
	for (uint32_t r = 0; r < n_rows; r++) {
		const struct bitvector_stride *stride = &job->view->rows[r];
		const uint64_t *words = job->columns[stride->column];
		const unsigned int shift = stride->shift;

		for (unsigned int j = 0; j < n; j++)
			job->rows[r][j] = sets_offset(words[j], shift);
	}
}

// Which packets pass the block's filter and could get a better flow from it?
static inline uint64_t candidates(const struct job *job, const struct bitvector_block *block)
{
	const signed_lanes bound = (signed_lanes){ 0 } + (int64_t)rcu_read(&block->max_rank);
	uint64_t packets = 0;

	for (unsigned int g = 0; g * LANES < job->n; g++) {
		lanes differs = (lanes)(((const signed_lanes *)job->ranks)[g] >= bound);

		for (uint32_t f = 0; f < block->n_filters; f++) {
			const struct bitvector_filter *filter = &block->filters[f];
			const lanes words = ((const lanes *)job->columns[filter->column])[g];
			const lanes bits = (lanes){ 0 } + filter->bits;
			const lanes value = (lanes){ 0 } + filter->value;

			differs |= (words & bits) ^ value;
		}
		packets |= lanes_zero(differs) << g * LANES;
	}
	return job->n == VECTOR_SIZE ? packets : packets & ((UINT64_C(1) << job->n) - 1);
}

static inline __attribute__((always_inline)) lanes load(const uint64_t *words)
{
#if defined(__SANITIZE_THREAD__)
	lanes result;

	for (unsigned int i = 0; i < LANES; i++)
		result[i] = __atomic_load_n(&words[i], __ATOMIC_RELAXED);
	return result;
#else
	return *(const lanes *)words;
#endif
}

// The intersections of the packets at[0] to at[GROUP - 1].
static inline __attribute__((always_inline)) void intersect(
	const struct job *job, const struct bitvector_block *block, const uint8_t at[GROUP],
	bool all_rows, uint64_t matches[GROUP][BITVECTOR_BLOCK_WORDS])
{
	lanes bits[GROUP][BLOCK_LANES];
	size_t places[GROUP];

	for (unsigned int k = 0; k < GROUP; k++)
		places[k] = at[k];
	for (unsigned int w = 0; w < BLOCK_LANES; w++)
		for (unsigned int k = 0; k < GROUP; k++)
			bits[k][w] = load(&block->active[w * LANES]);
	// What is active has been in the sets before.
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	for (uint32_t s = 0; s < block->n_strides; s++) {
		const struct bitvector_stride *stride = &block->strides[s];
		const bool has_row = all_rows || stride->row < BITVECTOR_MAX_ROWS;
		const uint16_t *row = job->rows[has_row ? stride->row : 0];
		const char *sets = (const char *)&block->sets[s];

		// Kept in a register, or each packet would have it computed again.
		__asm__("" : "+r"(row));
		for (unsigned int k = 0; k < GROUP; k++) {
			const size_t offset =
				has_row ? row[places[k]]
					: sets_offset(job->columns[stride->column][places[k]],
						      stride->shift);

			for (unsigned int w = 0; w < BLOCK_LANES; w++)
				bits[k][w] &= load((const uint64_t *)(sets + offset) + w * LANES);
		}
	}
	for (unsigned int k = 0; k < GROUP; k++)
		for (unsigned int w = 0; w < BLOCK_LANES; w++)
			*(lanes *)&matches[k][w * LANES] = bits[k][w];
}

// The first flow of an intersection that is visible; its rank goes to *rank.
static inline __attribute__((always_inline)) const struct flow *first_flow(
	const struct bitvector_block *block, const uint64_t matches[BITVECTOR_BLOCK_WORDS],
	enum flow_view view, uint64_t *rank)
{
	for (unsigned int w = 0; w < BITVECTOR_BLOCK_WORDS; w++)
		for (uint64_t bits = matches[w]; bits; bits &= bits - 1) {
			const unsigned int place = w * 64 + (unsigned int)__builtin_ctzll(bits);
			const struct flow *flow = rcu_read(&block->flows[place]);

			if (view != VIEW_NONE && !flow_is_visible(flow, view))
				continue;
			*rank = __atomic_load_n(&block->ranks[place], __ATOMIC_RELAXED);
			return flow;
		}
	return NULL;
}

static inline __attribute__((always_inline)) void block_lookup(struct job *job,
							       const struct bitvector_block *block,
							       uint64_t packets,
							       struct classifier_result *result,
							       bool all_rows, enum flow_view view)
{
	_Alignas(64) uint64_t matches[GROUP][BITVECTOR_BLOCK_WORDS];
	uint8_t list[VECTOR_SIZE];
	const unsigned int n = packets_list(packets, list);

	for (unsigned int i = 0; i < n; i += GROUP) {
		const unsigned int n_group = n - i < GROUP ? n - i : GROUP;

		for (unsigned int k = n_group; k < GROUP; k++)
			list[i + k] = list[i];
		intersect(job, block, &list[i], all_rows, matches);
		for (unsigned int k = 0; k < n_group; k++) {
			const unsigned int j = list[i + k];
			uint64_t rank = 0;
			const struct flow *flow = first_flow(block, matches[k], view, &rank);

			if (!flow || rank <= job->ranks[j])
				continue;
			job->ranks[j] = rank;
			classifier_improve(result, job->dense ? j : job->list[j], flow, rank);
		}
	}
}

#if NARROW_BYTES
#define TURN_COST 16

// All packets go through a narrow block together, so few of them take as long as many. Compared are
// shuffles and loads, and what it takes to turn the packets' bytes. After a wide block it is too late:
// bytes would have to be turned for both.
static bool is_narrow_better(const struct job *job, const struct bitvector_block *block,
			     uint64_t packets)
{
	const unsigned int n_registers = (job->n + NARROW_BYTES - 1) / NARROW_BYTES;

	return block->slices && !job->has_rows && job->view->n_rows <= BITVECTOR_MAX_ROWS &&
	       block->n_places / BITVECTOR_SLICE_FLOWS * n_registers + TURN_COST <
		       (unsigned int)__builtin_popcountll(packets) * BLOCK_LANES;
}

static void narrow_improve(struct job *job, const struct bitvector_block *block, uint32_t slice,
			   const uint8_t *matches, uint64_t packets,
			   struct classifier_result *result)
{
	for (; packets; packets &= packets - 1) {
		const unsigned int j = (unsigned int)__builtin_ctzll(packets);
		const unsigned int place =
			slice * BITVECTOR_SLICE_FLOWS + (unsigned int)__builtin_ctz(matches[j]);
		const uint64_t rank = __atomic_load_n(&block->ranks[place], __ATOMIC_RELAXED);

		if (rank <= job->ranks[j])
			continue;
		job->ranks[j] = rank;
		classifier_improve(result, job->dense ? j : job->list[j],
				   rcu_read(&block->flows[place]), rank);
	}
}

static void narrow_lookup(struct job *job, const struct bitvector_block *block, uint64_t packets,
			  struct classifier_result *result)
{
	const uint32_t n_slices = block->n_places / BITVECTOR_SLICE_FLOWS;
	uint64_t active[BITVECTOR_BLOCK_WORDS];

	if (!job->has_narrow)
		narrow_load(&job->narrow, job->view, job->columns, job->n);
	job->has_narrow = true;
	for (unsigned int w = 0; w < BITVECTOR_BLOCK_WORDS; w++)
		active[w] = __atomic_load_n(&block->active[w], __ATOMIC_RELAXED);
	// What is active has been in the slices before.
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	for (uint32_t slice = 0; slice < n_slices && packets; slice += 2) {
		_Alignas(64) uint8_t bytes[2][VECTOR_SIZE];
		const uint8_t *here = (const uint8_t *)active + slice;
		uint64_t found[2] = { 0 };

		for (unsigned int first = 0; first < job->n; first += NARROW_BYTES) {
			narrow_bytes matches[2];

			narrow_intersect(&job->narrow, block, slice, here, first, matches);
			for (unsigned int i = 0; i < 2; i++) {
				*(narrow_bytes *)&bytes[i][first] = matches[i];
				found[i] |= narrow_found(matches[i]) << first;
			}
		}
		for (unsigned int i = 0; i < 2; i++) {
			narrow_improve(job, block, slice + i, bytes[i], found[i] & packets, result);
			packets &= ~found[i];
		}
	}
}
#endif

static inline __attribute__((always_inline)) void lookup(const struct classifier *classifier,
							 const struct key_vector *keys,
							 uint64_t packets,
							 struct classifier_result *result,
							 enum flow_view view)
{
	const struct classifier_bitvector *bitvector =
		(const struct classifier_bitvector *)classifier;
	struct job job;
	bool all_rows;

	job.view = rcu_read(&bitvector->view);
	job.dense = !(packets & (packets + 1));
	job.n = job.dense ? (unsigned int)__builtin_popcountll(packets)
			  : packets_list(packets, job.list);
	memset(job.ranks, 0, sizeof(job.ranks));
	for (unsigned int j = 0; j < job.n; j++)
		job.ranks[j] = result->rank[job.dense ? j : job.list[j]];
	load_columns(&job, keys);
	job.has_rows = false;
	job.has_narrow = false;
	all_rows = job.view->n_rows <= BITVECTOR_MAX_ROWS;
	for (uint32_t b = 0; b < job.view->n_blocks; b++) {
		const struct bitvector_block *block = job.view->blocks[b];
		const uint64_t open = candidates(&job, block);

		if (!open)
			continue;
#if NARROW_BYTES
		if (view == VIEW_NONE && is_narrow_better(&job, block, open)) {
			narrow_lookup(&job, block, open, result);
			continue;
		}
#endif
		load_rows(&job);
		if (all_rows)
			block_lookup(&job, block, open, result, true, view);
		else
			block_lookup(&job, block, open, result, false, view);
	}
	// All of this happens before the table looks whether changes have overtaken us.
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
}

void classifier_bitvector_lookup(const struct classifier *classifier, const struct key_vector *keys,
				 uint64_t packets, struct classifier_result *result)
{
	lookup(classifier, keys, packets, result, VIEW_NONE);
}

void classifier_bitvector_view(const struct classifier *classifier, const struct key_vector *keys,
			       uint64_t packets, struct classifier_result *result,
			       enum flow_view view)
{
	lookup(classifier, keys, packets, result, view);
}
