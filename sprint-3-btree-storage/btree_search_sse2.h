/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_search_sse2.h - heads of a window that are less than a key: SSE2. See btree_search.c.
 */
#ifndef BTREE_SEARCH_SSE2_H
#define BTREE_SEARCH_SSE2_H

#include <emmintrin.h>

#define BTREE_SEARCH_NAME "sse2"

/* SSE2 compares signed numbers alone: with the highest bits turned over, the order is that
 * of unsigned ones. */
static inline __m128i search_turn(__m128i v)
{
	return _mm_xor_si128(v, _mm_set1_epi32((int)0x80000000u));
}

static inline __m128i search_less(const uint32_t *head, __m128i turned_key)
{
	return _mm_cmpgt_epi32(turned_key, search_turn(_mm_loadu_si128(
						   (const __m128i *)(const void *)head)));
}

/* Four masks become one of sixteen bytes, and that sixteen bits: of a sorted window those of
 * the smaller heads come first. */
static inline unsigned int search_window(const uint32_t *head, uint32_t key)
{
	const __m128i k = search_turn(_mm_set1_epi32((int)key));
	const __m128i low =
		_mm_packs_epi32(search_less(head, k), search_less(head + 4, k));
	const __m128i high =
		_mm_packs_epi32(search_less(head + 8, k), search_less(head + 12, k));
	unsigned int less = (unsigned int)_mm_movemask_epi8(_mm_packs_epi16(low, high));

	return (unsigned int)__builtin_ctz(~less);
}

static inline unsigned int search_four(const uint32_t *head, uint32_t key)
{
	const __m128i k = search_turn(_mm_set1_epi32((int)key));
	unsigned int less =
		(unsigned int)_mm_movemask_ps(_mm_castsi128_ps(search_less(head, k)));

	return (unsigned int)__builtin_ctz(~less);
}

#endif /* BTREE_SEARCH_SSE2_H */
