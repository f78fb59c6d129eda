/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * vec128.h - 128-bit vectors, one API: NEON on arm64, SSE2 on x86_64, plain C elsewhere
 * or with -DVEC128_SCALAR. All three give the same bytes.
 *
 * Sixteen bytes at once is what engines need most: compare sixteen tags with one, find
 * the set lanes, compare four key heads, tell where two keys differ.
 *
 *   vec128_load(p)            from any address; vec128_load_aligned(p): multiple of 16
 *   vec128_store(p, v)        vec128_store_aligned(p, v)
 *   vec128_splat8(b)          all sixteen bytes b;  vec128_splat32(w): all four words w
 *   vec128_and, or, xor(a, b)
 *   vec128_add8, add32(a, b)  lane by lane, wrapping
 *   vec128_equal8, equal32(a, b)   lanes of all ones where equal, else zero
 *   vec128_min8, max8(a, b)   unsigned
 *   vec128_mask8(v)           bit i is the highest bit of byte i
 *   vec128_less32_mask(a, b)  bit i is set where unsigned word i of a < that of b
 *   vec128_is_zero(v)
 *
 * Lanes are numbered as they lie in memory. A mask's lowest set bit by __builtin_ctz.
 */
#ifndef VEC128_H
#define VEC128_H

#include "port.h"

#if defined(VEC128_SCALAR)
#define VEC128_NAME "scalar"
#include "vec128_scalar.h"
#elif defined(__aarch64__)
#define VEC128_NAME "NEON"
#include "vec128_neon.h"
#elif defined(__SSE2__)
#define VEC128_NAME "SSE2"
#include "vec128_sse2.h"
#else
#define VEC128_NAME "scalar"
#include "vec128_scalar.h"
#endif

/* The first of n bytes in which a and b differ; n when there is none. */
static inline size_t vec128_mismatch(const void *a, const void *b, size_t n)
{
	/* EXERCISE 1.4 begin: sixteen at once while sixteen are left, then one by one
	 *|	return n;
	 */
	const uint8_t *p = a, *q = b;
	size_t i = 0;

	for (; i + 16 <= n; i += 16) {
		uint32_t same = vec128_mask8(
			vec128_equal8(vec128_load(p + i), vec128_load(q + i)));

		if (same != 0xffff)
			return i + (size_t)__builtin_ctz(~same);
	}
	for (; i < n && p[i] == q[i]; i++)
		;
	return i;
	/* EXERCISE 1.4 end */
}

#endif /* VEC128_H */
