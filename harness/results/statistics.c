/* SPDX-License-Identifier: MIT */
/*
 * statistics.c - see statistics.h.
 */
#include "statistics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../workload/generator.h"

enum { RESAMPLES = 10000, MIN_SAMPLES = 3, SAMPLES_MAX = 256 };

static int compare_double(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median_in_place(double *v, size_t n)
{
	/* cppcheck-suppress uninitvar ; it thinks of n = 0, which callers answer with NAN */
	qsort(v, n, sizeof(*v), compare_double);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

double stat_median(const double *v, size_t n)
{
	double few[SAMPLES_MAX], *copy = few, median;

	if (!n)
		return NAN;
	if (n > SAMPLES_MAX)
		copy = malloc(n * sizeof(*copy));
	if (!copy)
		return NAN;
	memcpy(copy, v, n * sizeof(*copy));
	median = median_in_place(copy, n);
	if (copy != few)
		free(copy);
	return median;
}

/* One resample's ratio: n values of each, drawn with replacement; paired draws take both
 * from one block. */
static double resample(struct rng *r, const double *a, size_t na, const double *b,
		       size_t nb, bool paired)
{
	double x[SAMPLES_MAX], y[SAMPLES_MAX];
	size_t i;

	for (i = 0; i < na; i++) {
		size_t j = (size_t)rng_below(r, na);

		x[i] = a[j];
		if (paired)
			y[i] = b[j];
	}
	for (i = 0; !paired && i < nb; i++)
		y[i] = b[rng_below(r, nb)];
	return median_in_place(x, na) / median_in_place(y, nb);
}

/* A resample whose base came to zero has no ratio, or an infinite one. The first kind
 * cannot be sorted; either leaves nothing to say about where the ratio ends. */
static void interval(double *ratio, struct stat_ratio *out)
{
	double low, high;
	size_t i;

	for (i = 0; i < RESAMPLES; i++)
		if (isnan(ratio[i]))
			return;
	qsort(ratio, RESAMPLES, sizeof(*ratio), compare_double);
	low = ratio[(size_t)(RESAMPLES * 0.025)];
	high = ratio[(size_t)(RESAMPLES * 0.975)];
	if (!isfinite(low) || !isfinite(high))
		return;
	out->low = low;
	out->high = high;
	out->detected = low > 1 || high < 1;
}

struct stat_ratio stat_ratio(const double *a, size_t na, const double *b, size_t nb,
			     bool paired, uint64_t seed)
{
	struct stat_ratio out = { NAN, NAN, NAN, false };
	double *ratio, whole;
	struct rng r;
	size_t i;

	if (!na || !nb || na > SAMPLES_MAX || nb > SAMPLES_MAX)
		return out;
	whole = stat_median(a, na) / stat_median(b, nb);
	if (!isfinite(whole))
		return out;
	out.ratio = whole;
	if (na < MIN_SAMPLES || nb < MIN_SAMPLES)
		return out;
	ratio = malloc(RESAMPLES * sizeof(*ratio));
	if (!ratio)
		return out;
	rng_seed(&r, seed, 0);
	for (i = 0; i < RESAMPLES; i++)
		ratio[i] = resample(&r, a, na, b, nb, paired && na == nb);
	interval(ratio, &out);
	free(ratio);
	return out;
}
