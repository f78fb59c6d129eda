/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_search.h - how many of a sorted array of heads are less than a given one?
 *
 * That is the lower bound. Binary search down to a few cache lines, then several heads at a
 * time: NEON, SSE2, or one at a time, with identical results.
 *
 * Optimistic (see btree_node.h): the array may change meanwhile; the result is <= n in any
 * case.
 */
#ifndef BTREE_SEARCH_H
#define BTREE_SEARCH_H

#include "../sprint-1-core-memory/port.h"

/* The fastest that this machine has. */
unsigned int btree_search_heads(const uint32_t *head, unsigned int n, uint32_t key);

unsigned int btree_search_heads_scalar(const uint32_t *head, unsigned int n,
				       uint32_t key);
unsigned int btree_search_heads_simd(const uint32_t *head, unsigned int n, uint32_t key);
const char *btree_search_name(void); /* "neon", "sse2", "scalar": of the simd one */

#endif /* BTREE_SEARCH_H */
