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
	qsort(v, n, sizeof(*v), compare_double);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

double stat_median(const double *v, size_t n)
{
	double copy[SAMPLES_MAX];

	if (!n)
		return NAN;
	if (n > SAMPLES_MAX)
		n = SAMPLES_MAX;
	memcpy(copy, v, n * sizeof(*v));
	return median_in_place(copy, n);
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

struct stat_ratio stat_ratio(const double *a, size_t na, const double *b, size_t nb,
			     bool paired, uint64_t seed)
{
	struct stat_ratio out = { NAN, NAN, NAN, false };
	double *ratio;
	struct rng r;
	size_t i;

	if (!na || !nb || na > SAMPLES_MAX || nb > SAMPLES_MAX)
		return out;
	out.ratio = stat_median(a, na) / stat_median(b, nb);
	if (na < MIN_SAMPLES || nb < MIN_SAMPLES || !isfinite(out.ratio))
		return out;
	ratio = malloc(RESAMPLES * sizeof(*ratio));
	if (!ratio)
		return out;
	rng_seed(&r, seed, 0);
	for (i = 0; i < RESAMPLES; i++)
		ratio[i] = resample(&r, a, na, b, nb, paired && na == nb);
	qsort(ratio, RESAMPLES, sizeof(*ratio), compare_double);
	out.low = ratio[(size_t)(RESAMPLES * 0.025)];
	out.high = ratio[(size_t)(RESAMPLES * 0.975)];
	out.detected = out.low > 1 || out.high < 1;
	free(ratio);
	return out;
}
