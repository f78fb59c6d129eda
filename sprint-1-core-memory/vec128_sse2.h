/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * vec128_sse2.h - vec128.h with SSE2, which every x86_64 has.
 */
#ifndef VEC128_SSE2_H
#define VEC128_SSE2_H

#include <emmintrin.h>

typedef __m128i vec128;

#define vec128_load(p)             _mm_loadu_si128((const __m128i *)(const void *)(p))
#define vec128_load_aligned(p)     _mm_load_si128((const __m128i *)(const void *)(p))
#define vec128_store(p, v)         _mm_storeu_si128((__m128i *)(void *)(p), v)
#define vec128_store_aligned(p, v) _mm_store_si128((__m128i *)(void *)(p), v)
#define vec128_splat8(b)           _mm_set1_epi8((char)(b))
#define vec128_splat32(w)          _mm_set1_epi32((int)(w))
#define vec128_and(a, b)           _mm_and_si128(a, b)
#define vec128_or(a, b)            _mm_or_si128(a, b)
#define vec128_xor(a, b)           _mm_xor_si128(a, b)
#define vec128_add8(a, b)          _mm_add_epi8(a, b)
#define vec128_add32(a, b)         _mm_add_epi32(a, b)
#define vec128_equal8(a, b)        _mm_cmpeq_epi8(a, b)
#define vec128_equal32(a, b)       _mm_cmpeq_epi32(a, b)
#define vec128_min8(a, b)          _mm_min_epu8(a, b)
#define vec128_max8(a, b)          _mm_max_epu8(a, b)

static inline uint32_t vec128_mask8(vec128 v)
{
	/* EXERCISE 1.4 begin: SSE2 has one instruction for it
	 *|	return 0;
	 */
	return (uint32_t)_mm_movemask_epi8(v);
	/* EXERCISE 1.4 end */
}

static inline uint32_t vec128_less32_mask(vec128 a, vec128 b)
{
	/* EXERCISE 1.4 begin: the comparison that SSE2 has is of signed words
	 *|	return 0;
	 */
	/* SSE2 compares signed words only; turning the highest bit makes that unsigned. */
	__m128i turn = _mm_set1_epi32((int)0x80000000u);
	__m128i less = _mm_cmplt_epi32(_mm_xor_si128(a, turn), _mm_xor_si128(b, turn));

	return (uint32_t)_mm_movemask_ps(_mm_castsi128_ps(less));
	/* EXERCISE 1.4 end */
}

static inline bool vec128_is_zero(vec128 v)
{
	return vec128_mask8(_mm_cmpeq_epi8(v, _mm_setzero_si128())) == 0xffff;
}

#endif /* VEC128_SSE2_H */
