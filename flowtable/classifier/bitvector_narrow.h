// Narrow blocks of a bit-vector: for a half byte and eight flows, the sets of all packets at once.
// Hot code, part of bitvector_lookup.c.
//
// A slice has 16 bytes, one for each value of the half byte: the instruction that shuffles bytes by
// an index takes the byte of as many packets as a register has bytes. Their intersection over all
// half bytes says for each packet which of the eight flows match. Slices are in the order of
// their flows' ranks, so a packet that has found a flow is done.
#ifndef FLOWTABLE_CLASSIFIER_BITVECTOR_NARROW_H
#define FLOWTABLE_CLASSIFIER_BITVECTOR_NARROW_H

#include "flowtable/classifier/bitvector.h"
#include "flowtable/classifier/lanes.h"

#if defined(__SSE4_1__) && !defined(__SANITIZE_THREAD__)
#define NARROW_BYTES (LANES * 8)
#else
#define NARROW_BYTES 0 // no such instruction: all blocks are searched in the other way
#endif

// Half bytes of packets, a byte for each, and the bytes that they are from.
struct narrow_rows {
	_Alignas(64) uint8_t rows[BITVECTOR_MAX_ROWS][VECTOR_SIZE];
	_Alignas(64) uint8_t bytes[sizeof(uint64_t)][VECTOR_SIZE];
};

#if NARROW_BYTES
typedef uint8_t narrow_bytes __attribute__((vector_size(NARROW_BYTES), may_alias));

// The bytes of 16 words: byte b of all of them goes to to[b]. Each step brings words together whose
// numbers differ in one bit, the highest bit first.
static inline __attribute__((always_inline)) void narrow_transpose(const uint64_t words[16],
								   uint8_t (*to)[VECTOR_SIZE])
{
	__m128i a[8], b[8];

#pragma GCC unroll 8
	for (unsigned int i = 0; i < 8; i++)
		a[i] = _mm_load_si128((const __m128i *)&words[2 * i]);
#pragma GCC unroll 8
	for (unsigned int i = 0; i < 4; i++) {
		b[2 * i] = _mm_unpacklo_epi8(a[i], a[i + 4]);
		b[2 * i + 1] = _mm_unpackhi_epi8(a[i], a[i + 4]);
	}
#pragma GCC unroll 8
	for (unsigned int i = 0; i < 4; i++) { // bytes 0 to 3 of four words, and 4 to 7
		a[i] = _mm_unpacklo_epi8(b[i], b[i + 4]);
		a[i + 4] = _mm_unpackhi_epi8(b[i], b[i + 4]);
	}
#pragma GCC unroll 8
	for (unsigned int i = 0; i < 8; i += i % 2 ? 3 : 1) { // two bytes of eight words
		b[i] = _mm_unpacklo_epi8(a[i], a[i + 2]);
		b[i + 2] = _mm_unpackhi_epi8(a[i], a[i + 2]);
	}
#pragma GCC unroll 8
	for (unsigned int i = 0; i < 4; i++) {
		_mm_store_si128((__m128i *)to[2 * i], _mm_unpacklo_epi8(b[2 * i], b[2 * i + 1]));
		_mm_store_si128((__m128i *)to[2 * i + 1],
				_mm_unpackhi_epi8(b[2 * i], b[2 * i + 1]));
	}
}

// The rows of the view, from columns of whole groups of 16 packets.
static inline void narrow_load(struct narrow_rows *narrow, const struct bitvector_view *view,
			       const uint64_t (*columns)[VECTOR_SIZE], unsigned int n)
{
	for (uint32_t c = 0; c < view->n_columns; c++) {
		bool is_transposed = false;

		for (uint32_t r = 0; r < view->n_rows; r++) {
			const struct bitvector_stride *stride = &view->rows[r];
			const uint8_t *bytes = narrow->bytes[stride->shift / 8];
			const unsigned int shift = stride->shift % 8;

			if (stride->column != c)
				continue;
			for (unsigned int j = 0; !is_transposed && j < n; j += 16)
				narrow_transpose(&columns[c][j],
						 (uint8_t(*)[VECTOR_SIZE]) & narrow->bytes[0][j]);
			is_transposed = true;
			for (unsigned int j = 0; j < VECTOR_SIZE; j++)
				narrow->rows[r][j] = (uint8_t)(bytes[j] >> shift &
							       (BITVECTOR_STRIDE_VALUES - 1));
		}
	}
}

static inline __attribute__((always_inline)) narrow_bytes narrow_shuffle(
	const struct bitvector_slice *slice, narrow_bytes index)
{
	const __m128i table = _mm_load_si128((const __m128i *)slice->bits);

#if NARROW_BYTES == 64
	return (narrow_bytes)_mm512_shuffle_epi8(_mm512_broadcast_i32x4(table), (__m512i)index);
#elif NARROW_BYTES == 32
	return (narrow_bytes)_mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table),
						 (__m256i)index);
#else
	return (narrow_bytes)_mm_shuffle_epi8(table, (__m128i)index);
#endif
}

// Which bytes are not zero?
static inline __attribute__((always_inline)) uint64_t narrow_found(narrow_bytes bytes)
{
#if NARROW_BYTES == 64
	return _mm512_test_epi8_mask((__m512i)bytes, (__m512i)bytes);
#elif NARROW_BYTES == 32
	return ~(uint32_t)_mm256_movemask_epi8(
		       _mm256_cmpeq_epi8((__m256i)bytes, _mm256_setzero_si256())) &
	       UINT32_MAX;
#else
	return ~(uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8((__m128i)bytes, _mm_setzero_si128())) &
	       UINT16_MAX;
#endif
}

// The intersections of two slices for the packets from `first` on; their active flows only.
static inline __attribute__((always_inline)) void narrow_intersect(
	const struct narrow_rows *narrow, const struct bitvector_block *block, uint32_t slice,
	const uint8_t active[2], unsigned int first, narrow_bytes matches[2])
{
	const uint32_t n_strides = block->n_strides;
	const struct bitvector_slice *left = &block->slices[slice * n_strides];
	const struct bitvector_slice *right = left + n_strides;

	matches[0] = (narrow_bytes){ 0 } + active[0];
	matches[1] = (narrow_bytes){ 0 } + active[1];
#pragma GCC unroll 4
	for (uint32_t s = 0; s < n_strides; s++) {
		const uint8_t *row = narrow->rows[block->strides[s].row];
		const narrow_bytes index = *(const narrow_bytes *)(row + first);

		matches[0] &= narrow_shuffle(left + s, index);
		matches[1] &= narrow_shuffle(right + s, index);
	}
}
#endif

#endif
