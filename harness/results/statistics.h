/* SPDX-License-Identifier: MIT */
/*
 * statistics.h - medians, and what may be said of a ratio.
 *
 * Percentile bootstrap (Efron & Tibshirani 1993) of median(a) / median(b): 10,000
 * resamples of each side, seeded, so that the same data give the same interval.
 */
#ifndef STATISTICS_H
#define STATISTICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

double stat_median(const double *v, size_t n); /* NAN when n is 0 */

struct stat_ratio {
	double ratio; /* median(a) / median(b); NAN when b's is 0 */
	/* 95% interval; NAN with fewer than 3 a side, or when b is 0 too often to say. */
	double low, high;
	bool detected; /* the interval leaves out 1: else print "~" */
};

/* Up to 256 a side; with more all is NAN. paired: a[i] and b[i] come from one block
 * (na == nb), so blocks are resampled, which cancels the drift of a noisy machine. */
struct stat_ratio stat_ratio(const double *a, size_t na, const double *b, size_t nb,
			     bool paired, uint64_t seed);

#endif /* STATISTICS_H */
