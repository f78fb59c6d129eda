/* SPDX-License-Identifier: MIT */
/*
 * histogram.h - latencies in log-linear buckets, at most 1% wrong.
 *
 * Values of 0..2^40 ns (18 minutes; longer ones count as the last bucket, max is exact).
 * Each power of two is split into 128 equal buckets, so a bucket's middle is within
 * 1/256 of every value in it. After Gil Tene's HdrHistogram. A histogram belongs to one
 * thread; merge when threads have ended.
 */
#ifndef HISTOGRAM_H
#define HISTOGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	HISTOGRAM_SUB_BITS = 7,
	HISTOGRAM_MAX_BITS = 40,
	HISTOGRAM_BUCKETS = (HISTOGRAM_MAX_BITS - HISTOGRAM_SUB_BITS + 1)
			    << HISTOGRAM_SUB_BITS,
};

struct histogram { /* all zero is an empty one */
	uint64_t count, sum_ns, max_ns;
	uint64_t bucket[HISTOGRAM_BUCKETS];
};

static inline size_t histogram_index(uint64_t ns)
{
	unsigned int top;

	if (ns < 1u << HISTOGRAM_SUB_BITS)
		return (size_t)ns;
	if (ns >> HISTOGRAM_MAX_BITS)
		return HISTOGRAM_BUCKETS - 1;
	top = 63u - (unsigned int)__builtin_clzll(ns);
	/* The top bit and the 7 below it, and how far they were shifted: the top bit of the
	 * first term carries into the group, so that groups follow without a gap. */
	return ((size_t)(top - HISTOGRAM_SUB_BITS) << HISTOGRAM_SUB_BITS) +
	       (size_t)(ns >> (top - HISTOGRAM_SUB_BITS));
}

static inline void histogram_add(struct histogram *h, uint64_t ns)
{
	h->bucket[histogram_index(ns)]++;
	h->count++;
	h->sum_ns += ns;
	if (ns > h->max_ns)
		h->max_ns = ns;
}

void histogram_merge(struct histogram *into, const struct histogram *from);
uint64_t histogram_bucket_low(size_t index);  /* smallest value of a bucket */
uint64_t histogram_bucket_high(size_t index); /* first value beyond it */

/* The value at quantile q in 0..1 (a bucket's middle; max_ns at q = 1). False where
 * fewer than 100 samples lie beyond: such a number would be noise. */
bool histogram_quantile(const struct histogram *h, double q, uint64_t *ns);

#endif /* HISTOGRAM_H */
