/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * vec128_neon.h - vec128.h with NEON, which every arm64 has.
 */
#ifndef VEC128_NEON_H
#define VEC128_NEON_H

#include <arm_neon.h>

typedef uint8x16_t vec128;

#define vec128_neon_words(v) vreinterpretq_u32_u8(v)
#define vec128_neon_bytes(v) vreinterpretq_u8_u32(v)

#define vec128_load(p)             vld1q_u8((const uint8_t *)(p))
#define vec128_load_aligned(p)     vld1q_u8((const uint8_t *)__builtin_assume_aligned(p, 16))
#define vec128_store(p, v)         vst1q_u8((uint8_t *)(p), v)
#define vec128_store_aligned(p, v) vst1q_u8((uint8_t *)__builtin_assume_aligned(p, 16), v)
#define vec128_splat8(b)           vdupq_n_u8((uint8_t)(b))
#define vec128_splat32(w)          vec128_neon_bytes(vdupq_n_u32((uint32_t)(w)))
#define vec128_and(a, b)           vandq_u8(a, b)
#define vec128_or(a, b)            vorrq_u8(a, b)
#define vec128_xor(a, b)           veorq_u8(a, b)
#define vec128_add8(a, b)          vaddq_u8(a, b)
#define vec128_add32(a, b) \
	vec128_neon_bytes(vaddq_u32(vec128_neon_words(a), vec128_neon_words(b)))
#define vec128_equal8(a, b) vceqq_u8(a, b)
#define vec128_equal32(a, b) \
	vec128_neon_bytes(vceqq_u32(vec128_neon_words(a), vec128_neon_words(b)))
#define vec128_min8(a, b) vminq_u8(a, b)
#define vec128_max8(a, b) vmaxq_u8(a, b)

static inline uint32_t vec128_mask8(vec128 v)
{
	/* EXERCISE 1.4 begin: NEON has no instruction for it; how can bits be summed?
	 *|	return 0;
	 */
	/* NEON has no movemask: each byte keeps the bit of its own lane, halves are summed. */
	static const uint8_t lane[16] = { 1, 2, 4, 8, 16, 32, 64, 128,
					  1, 2, 4, 8, 16, 32, 64, 128 };
	uint8x16_t set = vreinterpretq_u8_s8(vshrq_n_s8(vreinterpretq_s8_u8(v), 7));
	uint8x16_t bits = vandq_u8(set, vld1q_u8(lane));

	return (uint32_t)vaddv_u8(vget_low_u8(bits)) |
	       (uint32_t)vaddv_u8(vget_high_u8(bits)) << 8;
	/* EXERCISE 1.4 end */
}

static inline uint32_t vec128_less32_mask(vec128 a, vec128 b)
{
	/* EXERCISE 1.4 begin: compare, keep each lane's bit, add across the lanes
	 *|	return 0;
	 */
	static const uint32_t lane[4] = { 1, 2, 4, 8 };

	return vaddvq_u32(vandq_u32(vcltq_u32(vec128_neon_words(a), vec128_neon_words(b)),
				    vld1q_u32(lane)));
	/* EXERCISE 1.4 end */
}

static inline bool vec128_is_zero(vec128 v)
{
	return vmaxvq_u8(v) == 0;
}

#endif /* VEC128_NEON_H */
