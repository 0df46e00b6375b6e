// 64-bit words side by side, as many as one register holds, and lists of packets. Hot code.
//
// The vector type is the compiler's own and works at every x86-64 level; only the step from
// comparison results to bits is written per level, as compilers do not find it.
#ifndef FLOWTABLE_CLASSIFIER_LANES_H
#define FLOWTABLE_CLASSIFIER_LANES_H

#include <stdint.h>

#if defined(__SSE4_1__)
#include <immintrin.h>
#endif

#include "flowtable/key.h"

#if defined(__AVX512F__)
#define LANES 8
#elif defined(__AVX2__)
#define LANES 4
#else
#define LANES 2
#endif

typedef uint64_t lanes __attribute__((vector_size(LANES * 8), may_alias));
typedef int64_t signed_lanes __attribute__((vector_size(LANES * 8), may_alias));

// Bit i: word i is zero.
static inline __attribute__((always_inline)) uint64_t lanes_zero(lanes words)
{
#if defined(__AVX512F__)
	return _mm512_testn_epi64_mask((__m512i)words, (__m512i)words);
#elif defined(__AVX2__)
	__m256i equal = _mm256_cmpeq_epi64((__m256i)words, _mm256_setzero_si256());

	return (unsigned int)_mm256_movemask_pd(_mm256_castsi256_pd(equal));
#elif defined(__SSE4_1__)
	__m128i equal = _mm_cmpeq_epi64((__m128i)words, _mm_setzero_si128());

	return (unsigned int)_mm_movemask_pd(_mm_castsi128_pd(equal));
#else
	return (uint64_t)(words[0] == 0) | (uint64_t)(words[1] == 0) << 1;
#endif
}

typedef uint32_t half_lanes __attribute__((vector_size(LANES * 8), may_alias));

// The product of the two halves of each word.
static inline __attribute__((always_inline)) lanes lanes_multiply_halves(lanes words)
{
#if defined(__AVX512F__)
	return (lanes)_mm512_mul_epu32((__m512i)words, (__m512i)(words >> 32));
#elif defined(__AVX2__)
	return (lanes)_mm256_mul_epu32((__m256i)words, (__m256i)(words >> 32));
#elif defined(__SSE4_1__)
	return (lanes)_mm_mul_epu32((__m128i)words, (__m128i)(words >> 32));
#else
	return (words & UINT32_MAX) * (words >> 32);
#endif
}

// The packets of a set, in order. Returns how many there are.
static inline unsigned int packets_list(uint64_t packets, uint8_t list[VECTOR_SIZE])
{
	unsigned int n = 0;

	for (; packets; packets &= packets - 1)
		list[n++] = (uint8_t)__builtin_ctzll(packets);
	return n;
}

// One word of all packets' keys: packet i's is column[i * KEY_LINE_WORDS].
static inline const uint64_t *key_vector_column(const struct key_vector *keys, unsigned int word)
{
	return &keys->lines[word / KEY_LINE_WORDS][0][word % KEY_LINE_WORDS];
}

#endif
