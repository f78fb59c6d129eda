/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_search.c - the lower bound among a node's heads: see btree_search.h.
 *
 * Both forms halve without branches: a comparison that is right half of the time would be
 * mispredicted half of the time, and that costs more than all the rest. The vector form
 * stops at a window of sixteen heads, one cache line of them, and compares all of it.
 */
#include "btree_search.h"

#if defined(__ARM_NEON) && defined(__aarch64__)
#include "btree_search_neon.h"
#elif defined(__SSE2__)
#include "btree_search_sse2.h"
#endif

enum { WINDOW = 16 };

/* Narrows *n heads down to at most `most`, and returns how many lie below them. The answer
 * is between that and that + *n, whatever the array is meanwhile. */
static inline unsigned int search_halve(const uint32_t *head, unsigned int *n,
					unsigned int most, uint32_t key)
{
	/* EXERCISE 3.2 begin: halve, without a branch, down to most
	 *|	return 0;
	 */
	unsigned int base = 0;

	while (*n > most) {
		unsigned int half = *n / 2;

		base += half & (0u - (port_load_relaxed(&head[base + half - 1]) < key));
		*n -= half;
	}
	return base;
	/* EXERCISE 3.2 end */
}

unsigned int btree_search_heads_scalar(const uint32_t *head, unsigned int n, uint32_t key)
{
	/* EXERCISE 3.2 begin: down to one head, and that one
	 *|	return 0;
	 */
	unsigned int base = search_halve(head, &n, 1, key);

	return n ? base + (port_load_relaxed(&head[base]) < key) : 0;
	/* EXERCISE 3.2 end */
}

#ifdef BTREE_SEARCH_NAME

static unsigned int search_few(const uint32_t *head, unsigned int n, uint32_t key)
{
	/* EXERCISE 3.2 begin: four at a time, the rest one by one
	 *|	return 0;
	 */
	unsigned int i, less = 0;

	for (i = 0; i + 4 <= n; i += 4)
		less += search_four(head + i, key);
	for (; i < n; i++)
		less += port_load_relaxed(&head[i]) < key;
	return less;
	/* EXERCISE 3.2 end */
}

unsigned int btree_search_heads_simd(const uint32_t *head, unsigned int n, uint32_t key)
{
	/* EXERCISE 3.2 begin: down to a window, which is compared at once
	 *|	return 0;
	 */
	unsigned int base, rest = n;

	if (n < WINDOW)
		return search_few(head, n, key);
	base = search_halve(head, &rest, WINDOW, key);
	/* A whole window, if need be with heads that are known to be less. */
	if (base > n - WINDOW)
		base = n - WINDOW;
	return base + search_window(head + base, key);
	/* EXERCISE 3.2 end */
}

unsigned int btree_search_heads(const uint32_t *head, unsigned int n, uint32_t key)
{
	return btree_search_heads_simd(head, n, key);
}

const char *btree_search_name(void)
{
	return BTREE_SEARCH_NAME;
}

#else

unsigned int btree_search_heads_simd(const uint32_t *head, unsigned int n, uint32_t key)
{
	return btree_search_heads_scalar(head, n, key);
}

unsigned int btree_search_heads(const uint32_t *head, unsigned int n, uint32_t key)
{
	return btree_search_heads_scalar(head, n, key);
}

const char *btree_search_name(void)
{
	return "scalar";
}

#endif
