/* SPDX-License-Identifier: MIT */
/*
 * histogram.c - see histogram.h.
 */
#include "histogram.h"

enum { BEYOND_MIN = 100 }; /* samples that must lie beyond a quantile for it to be told */

void histogram_merge(struct histogram *into, const struct histogram *from)
{
	size_t i;

	for (i = 0; i < HISTOGRAM_BUCKETS; i++)
		into->bucket[i] += from->bucket[i];
	into->count += from->count;
	into->sum_ns += from->sum_ns;
	if (into->max_ns < from->max_ns)
		into->max_ns = from->max_ns;
}

uint64_t histogram_bucket_low(size_t index)
{
	size_t group = index >> HISTOGRAM_SUB_BITS;

	if (group < 2)
		return index; /* exact: one value a bucket */
	/* The group's top bit is put back in front of the sub-bucket. */
	return ((uint64_t)(index & ((1u << HISTOGRAM_SUB_BITS) - 1)) |
		1u << HISTOGRAM_SUB_BITS)
	       << (group - 1);
}

uint64_t histogram_bucket_high(size_t index)
{
	size_t group = index >> HISTOGRAM_SUB_BITS;

	return histogram_bucket_low(index) + (group < 2 ? 1 : 1ull << (group - 1));
}

bool histogram_quantile(const struct histogram *h, double q, uint64_t *ns)
{
	uint64_t rank, seen = 0;
	size_t i;

	if (!h->count)
		return false;
	if (q >= 1) {
		*ns = h->max_ns;
		return true;
	}
	/* 0.9 * 1000 may come out as 899.99..: half a sample decides nothing else. */
	rank = (uint64_t)(q * (double)h->count + 0.5);
	if (h->count - rank < BEYOND_MIN)
		return false;
	for (i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += h->bucket[i];
		if (seen > rank)
			break;
	}
	*ns = (histogram_bucket_low(i) + histogram_bucket_high(i) - 1) / 2;
	if (*ns > h->max_ns) /* which is known better */
		*ns = h->max_ns;
	return true;
}
