/* SPDX-License-Identifier: MIT */
/*
 * test_scale.h - how much a statistical test draws, and what it may conclude.
 *
 * Under sanitizers, Valgrind or an emulator a draw costs up to a hundred times as much, and
 * fewer do: critical values of chi-square do not depend on their number. KV_TEST_SCALE=n in
 * the environment divides by n.
 */
#ifndef TEST_SCALE_H
#define TEST_SCALE_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif
#endif
#ifndef RUNNING_ON_VALGRIND
#define RUNNING_ON_VALGRIND 0
#endif

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define TEST_SANITIZED 1
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TEST_SANITIZED 1
#endif
#ifndef TEST_SANITIZED
#define TEST_SANITIZED 0
#endif

/* By how much less is done here than at full length; at least 1. */
static inline uint64_t test_scale(void)
{
	const char *s = getenv("KV_TEST_SCALE");
	long by = s                     ? strtol(s, NULL, 10)
		  : RUNNING_ON_VALGRIND ? 50
		  : TEST_SANITIZED      ? 20
					: 1;

	return by > 1 ? (uint64_t)by : 1;
}

/* What looks at one of so many cases in the quick form; at each with KV_TORTURE set, and at
 * even fewer where all is slow. */
static inline uint64_t test_one_in(uint64_t n)
{
	if (getenv("KV_TORTURE"))
		return test_scale();
	return test_scale() > n ? test_scale() : n;
}

/* Ends a program that hangs. */
static inline void test_ends_within(unsigned int seconds)
{
	(void)alarm(getenv("KV_TORTURE") || test_scale() > 1 ? 4 * seconds : seconds);
}

static inline uint64_t test_draws(uint64_t n)
{
	return n / test_scale();
}

/* Pearson's statistic of n bins, of which share[] sums to 1. Bins that expect fewer than
 * ten are thrown together. *df is their number less one. */
static inline double test_chi_square(const uint64_t *count, const double *share, size_t n,
				     uint64_t draws, unsigned int *df)
{
	double chi = 0, rest_expected = 0, rest_count = 0;
	unsigned int bins = 0;
	size_t i;

	for (i = 0; i < n; i++) {
		double expected = share[i] * (double)draws;

		if (expected < 10) {
			rest_expected += expected;
			rest_count += (double)count[i];
			continue;
		}
		chi += ((double)count[i] - expected) * ((double)count[i] - expected) /
		       expected;
		bins++;
	}
	if (rest_expected >= 10) {
		chi += (rest_count - rest_expected) * (rest_count - rest_expected) /
		       rest_expected;
		bins++;
	}
	*df = bins - 1;
	return chi;
}

/* What a true hypothesis exceeds once in a thousand times (Wilson and Hilferty 1931):
 * 1142.9 of 999 degrees of freedom. */
static inline double test_chi_square_limit(unsigned int df)
{
	double v = 2.0 / (9.0 * df), t = 1 - v + 3.0902 * sqrt(v);

	return df * t * t * t;
}

#endif /* TEST_SCALE_H */
