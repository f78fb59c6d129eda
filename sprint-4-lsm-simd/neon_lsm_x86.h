/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * neon_lsm_x86.h - neon_lsm_ops.c's steps on x86_64: SSE2, which all have, for comparison and
 * search; AVX2, where the processor has it, for the filter.
 */
#ifndef NEON_LSM_X86_H
#define NEON_LSM_X86_H

#include <cpuid.h>
#include <immintrin.h>

#define OPS_NAME        (ops_has_avx2 ? "avx2" : "sse2")
#define OPS_HAS_FILTER  1
#define OPS_FILTER_CODE __attribute__((target("avx2")))

static bool ops_has_avx2; /* set before main() */

static inline bool ops_filter_ready(void)
{
	return ops_has_avx2;
}

/* Does the processor have AVX2, and does the system keep its registers? Asked of the
 * processor itself, so that no library is needed. */
__attribute__((constructor)) static void ops_look(void)
{
	unsigned int a, b, c, d, low, high;

	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) || !(c & bit_AVX))
		return;
	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	if ((low & 6) != 6 || !__get_cpuid_count(7, 0, &a, &b, &c, &d))
		return;
	ops_has_avx2 = b & bit_AVX2;
}

/* Eight probes: each picks its word from the two halves of the block, and its bit from the
 * word. Zero in the lanes whose bit is not set, and in those from `probes` on the highest
 * bit set. */
OPS_FILTER_CODE static inline bool ops_probe(__m256i low, __m256i high, uint32_t h,
					     const uint32_t *odd, unsigned int probes)
{
	/* EXERCISE 4.3 begin: eight probes at once
	 *|	return true;
	 */
	const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
	const __m256i product = _mm256_mullo_epi32(
		_mm256_set1_epi32((int)h),
		_mm256_loadu_si256((const __m256i *)(const void *)odd));
	/* Nine bits: a half, one of its eight words, one of the word's 32 bits. */
	const __m256i word = _mm256_srli_epi32(product, 28);
	const __m256i bit =
		_mm256_and_si256(_mm256_srli_epi32(product, 23), _mm256_set1_epi32(31));
	const __m256i of_low = _mm256_permutevar8x32_epi32(low, word);
	const __m256i of_high = _mm256_permutevar8x32_epi32(high, word);
	const __m256i words = _mm256_castps_si256(_mm256_blendv_ps(
		_mm256_castsi256_ps(of_low), _mm256_castsi256_ps(of_high),
		_mm256_castsi256_ps(product)));
	/* The bit goes to the top, where movemask looks. */
	const __m256i top =
		_mm256_sllv_epi32(words, _mm256_sub_epi32(_mm256_set1_epi32(31), bit));
	const __m256i excused =
		_mm256_cmpgt_epi32(lane, _mm256_set1_epi32((int)probes - 1));

	return _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_or_si256(top, excused))) ==
	       0xff;
	/* EXERCISE 4.3 end */
}

OPS_FILTER_CODE static inline bool ops_filter_block(const uint8_t *block,
						    unsigned int probes, uint32_t h,
						    const uint32_t *odd)
{
	/* EXERCISE 4.3 begin: up to sixteen probes
	 *|	return true;
	 */
	const __m256i low = _mm256_loadu_si256((const __m256i *)(const void *)block);
	const __m256i high =
		_mm256_loadu_si256((const __m256i *)(const void *)(block + 32));

	return ops_probe(low, high, h, odd, probes) &&
	       (probes <= 8 || ops_probe(low, high, h, odd + 8, probes - 8));
	/* EXERCISE 4.3 end */
}

/* The first of sixteen bytes that differs; 16: none does. */
static inline size_t ops_differ(const uint8_t *a, const uint8_t *b)
{
	const __m128i same =
		_mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(const void *)a),
			       _mm_loadu_si128((const __m128i *)(const void *)b));

	return (size_t)__builtin_ctz(~(unsigned int)_mm_movemask_epi8(same));
}

/* SSE2 compares signed numbers alone: with the highest bits turned over, the order is that
 * of unsigned ones. */
static inline __m128i ops_turn(__m128i v)
{
	return _mm_xor_si128(v, _mm_set1_epi32((int)0x80000000u));
}

static inline __m128i ops_less(const uint8_t *heads, __m128i turned)
{
	return _mm_cmpgt_epi32(
		turned, ops_turn(_mm_loadu_si128((const __m128i *)(const void *)heads)));
}

static inline unsigned int ops_less_of_four(const uint8_t *heads, uint32_t head)
{
	const __m128i k = ops_turn(_mm_set1_epi32((int)head));

	return (unsigned int)__builtin_ctz(
		~(unsigned int)_mm_movemask_ps(_mm_castsi128_ps(ops_less(heads, k))));
}

/* Four masks become one of sixteen bytes, and that sixteen bits. Of ascending heads the
 * lesser ones come first. */
static inline unsigned int ops_less_of_sixteen(const uint8_t *heads, uint32_t head)
{
	const __m128i k = ops_turn(_mm_set1_epi32((int)head));
	const __m128i low = _mm_packs_epi32(ops_less(heads, k), ops_less(heads + 16, k));
	const __m128i high =
		_mm_packs_epi32(ops_less(heads + 32, k), ops_less(heads + 48, k));

	return (unsigned int)__builtin_ctz(
		~(unsigned int)_mm_movemask_epi8(_mm_packs_epi16(low, high)));
}

#endif /* NEON_LSM_X86_H */
