/* SPDX-License-Identifier: MIT */
/*
 * distribution_fixture.h - draws of a workload's stream, counted, and the test of a count
 * against the law that it should follow. Seeds are fixed, so a test passes always or never.
 */
#ifndef DISTRIBUTION_FIXTURE_H
#define DISTRIBUTION_FIXTURE_H

#include <math.h>

#include "../../sprint-1-core-memory/tests/test_scale.h"
#include "../workload/stream.h"
#include "workload_fixture.h"

enum { SEED = 20100611, N = 1000 };

static inline struct stream *open_stream(const struct workload *w)
{
	struct stream *s;

	assert_int_equal(stream_open(w, SEED, 0, 1, &s), 0);
	return s;
}

/* How often each keynum below n comes in draws operations. */
static inline void count_keynums(const struct workload *w, uint64_t draws,
				 uint64_t *count, uint64_t n)
{
	struct stream *s = open_stream(w);
	struct op op;
	uint64_t i;

	memset(count, 0, n * sizeof(*count));
	for (i = 0; i < draws; i++) {
		stream_next(s, &op);
		assert_true(op.keynum < n);
		count[op.keynum]++;
	}
	stream_close(s);
}

static inline void expect_law(const char *what, const uint64_t *count,
			      const double *share, size_t n, uint64_t draws)
{
	unsigned int df;
	double chi = test_chi_square(count, share, n, draws, &df);

	print_message("%s: chi-square %.1f, df %u, limit %.1f, %llu draws\n", what, chi,
		      df, test_chi_square_limit(df), (unsigned long long)draws);
	assert_true(df > 0);
	assert_true(chi < test_chi_square_limit(df));
}

#endif /* DISTRIBUTION_FIXTURE_H */
