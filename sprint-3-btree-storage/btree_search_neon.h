/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_search_neon.h - heads of a window that are less than a key: NEON. See btree_search.c.
 */
#ifndef BTREE_SEARCH_NEON_H
#define BTREE_SEARCH_NEON_H

#include <arm_neon.h>

#define BTREE_SEARCH_NAME "neon"

/* All ones is -1 where a head is less: the sum of the lanes is minus their number. */
static inline unsigned int search_window(const uint32_t *head, uint32_t key)
{
	const uint32x4_t k = vdupq_n_u32(key);
	const uint32x4_t low = vaddq_u32(vcgtq_u32(k, vld1q_u32(head)),
					 vcgtq_u32(k, vld1q_u32(head + 4)));
	const uint32x4_t high = vaddq_u32(vcgtq_u32(k, vld1q_u32(head + 8)),
					  vcgtq_u32(k, vld1q_u32(head + 12)));

	return 0u - vaddvq_u32(vaddq_u32(low, high));
}

static inline unsigned int search_four(const uint32_t *head, uint32_t key)
{
	return 0u - vaddvq_u32(vcgtq_u32(vdupq_n_u32(key), vld1q_u32(head)));
}

#endif /* BTREE_SEARCH_NEON_H */
