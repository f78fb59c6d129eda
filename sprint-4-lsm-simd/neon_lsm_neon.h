/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * neon_lsm_neon.h - neon_lsm_ops.c's steps with NEON, which every arm64 has.
 *
 * A block of a filter is just what one look-up instruction takes: four registers are a table
 * of 64 bytes, and up to sixteen probes pick theirs from it at once.
 */
#ifndef NEON_LSM_NEON_H
#define NEON_LSM_NEON_H

#include <arm_neon.h>

#define OPS_NAME        "neon"
#define OPS_HAS_FILTER  1
#define OPS_FILTER_CODE /* no other instructions than everywhere */

static inline bool ops_filter_ready(void)
{
	return true;
}

/* The upper nine bits of eight products. */
static inline uint16x8_t ops_bits(uint32_t h, const uint32_t *odd)
{
	const uint32x4_t hash = vdupq_n_u32(h);
	const uint16x4_t low = vshrn_n_u32(vmulq_u32(hash, vld1q_u32(odd)), 16);
	const uint16x4_t high = vshrn_n_u32(vmulq_u32(hash, vld1q_u32(odd + 4)), 16);

	return vshrq_n_u16(vcombine_u16(low, high), 7);
}

/* All ones in the lanes whose bit is set in the block. */
static inline uint8x8_t ops_probe(uint8x16x4_t block, uint16x8_t bits)
{
	/* EXERCISE 4.3 begin: vqtbl4_u8() picks eight bytes at once
	 *|	return vdup_n_u8(0xff);
	 */
	const uint8x8_t byte = vqtbl4_u8(block, vshrn_n_u16(bits, 3));
	const uint8x8_t bit = vand_u8(vmovn_u16(bits), vdup_n_u8(7));

	return vtst_u8(byte, vshl_u8(vdup_n_u8(1), vreinterpret_s8_u8(bit)));
	/* EXERCISE 4.3 end */
}

/* Lanes from `probes` on do not count. */
static inline uint8x8_t ops_excuse(uint8x8_t set, unsigned int probes)
{
	/* EXERCISE 4.3 begin: all ones from lane probes on
	 *|	return set;
	 */
	static const uint8_t lane[8] = { 0, 1, 2, 3, 4, 5, 6, 7 };

	return vorr_u8(set, vcge_u8(vld1_u8(lane), vdup_n_u8((uint8_t)probes)));
	/* EXERCISE 4.3 end */
}

static inline bool ops_filter_block(const uint8_t *block, unsigned int probes, uint32_t h,
				    const uint32_t *odd)
{
	/* EXERCISE 4.3 begin: up to sixteen probes
	 *|	return true;
	 */
	const uint8x16x4_t all = { { vld1q_u8(block), vld1q_u8(block + 16),
				     vld1q_u8(block + 32), vld1q_u8(block + 48) } };
	uint8x8_t set = ops_excuse(ops_probe(all, ops_bits(h, odd)), probes);

	if (probes > 8)
		set = vand_u8(set, ops_excuse(ops_probe(all, ops_bits(h, odd + 8)),
					      probes - 8));
	return vget_lane_u64(vreinterpret_u64_u8(set), 0) == UINT64_MAX;
	/* EXERCISE 4.3 end */
}

/* The first of sixteen bytes that differs; 16: none does. NEON has no movemask: each byte
 * becomes four bits of a word. */
static inline size_t ops_differ(const uint8_t *a, const uint8_t *b)
{
	const uint8x16_t same = vceqq_u8(vld1q_u8(a), vld1q_u8(b));
	const uint64_t differ = ~vget_lane_u64(
		vreinterpret_u64_u8(vshrn_n_u16(vreinterpretq_u16_u8(same), 4)), 0);

	return differ ? (size_t)__builtin_ctzll(differ) / 4 : 16;
}

static inline uint32x4_t ops_heads(const uint8_t *heads)
{
	return vreinterpretq_u32_u8(vld1q_u8(heads));
}

/* All ones is -1 where a head is less: the sum of the lanes is minus their number. */
static inline unsigned int ops_less_of_four(const uint8_t *heads, uint32_t head)
{
	return 0u - vaddvq_u32(vcgtq_u32(vdupq_n_u32(head), ops_heads(heads)));
}

static inline unsigned int ops_less_of_sixteen(const uint8_t *heads, uint32_t head)
{
	const uint32x4_t k = vdupq_n_u32(head);
	const uint32x4_t low = vaddq_u32(vcgtq_u32(k, ops_heads(heads)),
					 vcgtq_u32(k, ops_heads(heads + 16)));
	const uint32x4_t high = vaddq_u32(vcgtq_u32(k, ops_heads(heads + 32)),
					  vcgtq_u32(k, ops_heads(heads + 48)));

	return 0u - vaddvq_u32(vaddq_u32(low, high));
}

#endif /* NEON_LSM_NEON_H */
