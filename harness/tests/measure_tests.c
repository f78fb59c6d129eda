/* SPDX-License-Identifier: MIT */
/*
 * measure_tests.c - what latencies go through: the clock, histograms against an exact
 * sort, and the seconds of a phase.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "../../sprint-1-core-memory/tests/test_scale.h"
#include "../measure/clock.h"
#include "../measure/histogram.h"
#include "../measure/series.h"
#include "../workload/generator.h"

enum { SEED = 20260117 };

static struct rng rng;
static struct histogram *h, *other; /* empty at the start of each test */

static int set_up(void **state)
{
	(void)state;
	rng_seed(&rng, SEED, 0);
	h = calloc(1, sizeof(*h));
	other = calloc(1, sizeof(*other));
	return h && other ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	free(h);
	free(other);
	return 0;
}

static int say_seed(void **state)
{
	(void)state;
	print_message("seed %d\n", SEED);
	return 0;
}

static void add_times(struct histogram *to, uint64_t ns, size_t times)
{
	while (times--)
		histogram_add(to, ns);
}

static uint64_t quantile(const struct histogram *of, double q)
{
	uint64_t ns = 0;

	assert_true(histogram_quantile(of, q, &ns));
	return ns;
}

static bool within_1_percent(uint64_t is, uint64_t should)
{
	uint64_t off = is > should ? is - should : should - is;

	return off <= should / 100;
}

/* A latency of any magnitude below 2^bits, each as likely. */
static uint64_t any_latency(unsigned int bits)
{
	return rng_next(&rng) >> (64 - bits + rng_below(&rng, bits));
}

/* ---- histograms ---- */

static void test_buckets_follow_each_other_without_gap(void **state)
{
	size_t i;

	(void)state;
	assert_int_equal(histogram_bucket_low(0), 0);
	for (i = 0; i < HISTOGRAM_BUCKETS; i++) {
		uint64_t low = histogram_bucket_low(i), high = histogram_bucket_high(i);

		assert_true(low < high);
		assert_int_equal(histogram_index(low), i);
		assert_int_equal(histogram_index(high - 1), i);
		if (i + 1 < HISTOGRAM_BUCKETS)
			assert_int_equal(histogram_bucket_low(i + 1), high);
		else
			assert_true(high == 1ull << HISTOGRAM_MAX_BITS);
	}
}

static void test_histogram_is_at_most_1_percent_wrong_at_every_magnitude(void **state)
{
	unsigned int bit, i;

	(void)state;
	for (bit = 0; bit < HISTOGRAM_MAX_BITS; bit++) {
		uint64_t low = 1ull << bit;

		for (i = 0; i < 12; i++) {
			uint64_t ns = i == 0   ? low
				      : i == 1 ? 2 * low - 1
					       : low + rng_below(&rng, low);

			memset(h, 0, sizeof(*h));
			add_times(h, ns, 200);
			/* A larger one, so that the maximum is no help. */
			histogram_add(h, 1ull << 39);
			if (!within_1_percent(quantile(h, 0.25), ns))
				fail_msg("%llu ns came out as %llu",
					 (unsigned long long)ns,
					 (unsigned long long)quantile(h, 0.25));
		}
	}
}

static int compare_ns(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void test_quantiles_are_those_of_an_exact_sort(void **state)
{
	static const double q[] = { 0,   0.001, 0.01, 0.1,   0.25,
				    0.5, 0.9,   0.99, 0.995, 0.999 };
	size_t n = (size_t)test_draws(200000), i;
	uint64_t *sorted = malloc(n * sizeof(*sorted)), sum = 0;

	(void)state;
	assert_non_null(sorted);
	for (i = 0; i < n; i++) {
		sorted[i] = any_latency(HISTOGRAM_MAX_BITS);
		sum += sorted[i];
		histogram_add(h, sorted[i]);
	}
	qsort(sorted, n, sizeof(*sorted), compare_ns);
	for (i = 0; i < sizeof(q) / sizeof(q[0]); i++) {
		size_t rank = (size_t)(q[i] * (double)n + 0.5);

		if (n - rank >= 100)
			assert_true(within_1_percent(quantile(h, q[i]), sorted[rank]));
	}
	assert_int_equal(quantile(h, 1), sorted[n - 1]);
	assert_int_equal(h->count, n);
	assert_int_equal(h->sum_ns, sum);
	free(sorted);
}

static void test_quantile_is_hidden_when_few_samples_lie_beyond(void **state)
{
	static const struct {
		double q;
		size_t enough;
	} at[] = { { 0.5, 200 }, { 0.9, 1000 }, { 0.99, 10000 }, { 0.999, 100000 } };
	uint64_t ns = 77;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		memset(h, 0, sizeof(*h));
		/* One sample beyond too few: ten less of a thousand at 0.9. */
		add_times(h, 1000, at[i].enough - at[i].enough / 100);
		assert_false(histogram_quantile(h, at[i].q, &ns));
		assert_int_equal(ns, 77);
		add_times(h, 1000, at[i].enough / 100);
		assert_true(within_1_percent(quantile(h, at[i].q), 1000));
	}
}

static void test_empty_histogram_has_no_quantile(void **state)
{
	uint64_t ns;

	(void)state;
	assert_false(histogram_quantile(h, 0.5, &ns));
	assert_false(histogram_quantile(h, 1, &ns));
	histogram_add(h, 0);
	assert_false(histogram_quantile(h, 0.5, &ns));
	assert_int_equal(quantile(h, 1), 0);
}

static void test_no_quantile_lies_beyond_the_maximum(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 0; i < 1000; i++) {
		uint64_t ns = any_latency(HISTOGRAM_MAX_BITS);

		memset(h, 0, sizeof(*h));
		add_times(h, ns, 300);
		assert_true(quantile(h, 0.5) <= h->max_ns);
	}
}

static void test_longest_latencies_keep_an_exact_maximum(void **state)
{
	uint64_t hour = 3600ull * 1000000000;

	(void)state;
	add_times(h, 1ull << HISTOGRAM_MAX_BITS, 150);
	histogram_add(h, hour);
	assert_int_equal(h->bucket[HISTOGRAM_BUCKETS - 1], 151);
	assert_int_equal(quantile(h, 1), hour);
	assert_true(within_1_percent(quantile(h, 0.2), 1ull << HISTOGRAM_MAX_BITS));
	assert_int_equal(histogram_index(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
}

static void test_merged_histograms_equal_one(void **state)
{
	struct histogram *whole = calloc(1, sizeof(*whole));
	unsigned int i;

	(void)state;
	assert_non_null(whole);
	for (i = 0; i < 5000; i++) {
		uint64_t ns = any_latency(40);

		histogram_add(i % 3 ? h : other, ns);
		histogram_add(whole, ns);
	}
	histogram_merge(h, other);
	assert_memory_equal(h, whole, sizeof(*h));
	memset(other, 0, sizeof(*other));
	histogram_merge(h, other);
	assert_memory_equal(h, whole, sizeof(*h));
	histogram_merge(other, h);
	assert_memory_equal(other, whole, sizeof(*h));
	free(whole);
}

/* ---- the seconds of a phase ---- */

/* The series of what was added; freed by the caller. */
static struct run_second *take(struct series *s, uint64_t seconds)
{
	struct run_second *row;
	size_t len;

	assert_int_equal(series_take(s, seconds, &row, &len), 0);
	assert_int_equal(len, seconds);
	return row;
}

static void add_second(struct series *s, uint64_t second, uint64_t ns, size_t times)
{
	memset(h, 0, sizeof(*h));
	add_times(h, ns, times);
	series_add(s, second, h);
}

static void test_series_adds_up_the_threads_of_a_second(void **state)
{
	struct run_second *row;
	struct series s;

	(void)state;
	assert_int_equal(series_init(&s), 0);
	add_second(&s, 0, 1000, 30000);
	add_second(&s, 1, 1000, 10);
	add_second(&s, 0, 500000, 400); /* more than 1% of the second's */
	add_second(&s, 2, 7000, 1);
	row = take(&s, 2);
	assert_int_equal(row[0].ops, 30400);
	assert_true(within_1_percent(row[0].p99_ns, 500000));
	assert_int_equal(row[0].max_ns, 500000);
	assert_int_equal(row[1].ops, 10);
	assert_int_equal(row[1].p99_ns, 0); /* ten say nothing of a hundredth */
	assert_int_equal(row[1].max_ns, 1000);
	free(row);
	series_free(&s);
}

static void test_series_has_full_seconds_only(void **state)
{
	struct run_second *row;
	struct series s;
	size_t len;

	(void)state;
	assert_int_equal(series_init(&s), 0);
	add_second(&s, 0, 1000, 5);
	assert_int_equal(series_take(&s, 0, &row, &len), 0);
	assert_int_equal(len, 0);
	assert_null(row);
	add_second(&s, 1, 1000, 3); /* the one that the end cut short */
	row = take(&s, 1);
	assert_int_equal(row[0].ops, 5);
	free(row);
	series_free(&s);
}

static void test_seconds_in_which_nothing_ended_are_zero(void **state)
{
	struct run_second *row;
	struct series s;
	size_t i;

	(void)state;
	assert_int_equal(series_init(&s), 0);
	add_second(&s, 40, 1000, 5); /* the first operation took that long */
	row = take(&s, 50);
	for (i = 0; i < 50; i++)
		assert_int_equal(row[i].ops, i == 40 ? 5 : 0);
	free(row);
	series_free(&s);
}

/* The thread that lags by minutes still counts; only its p99 comes too late. */
static void test_series_counts_a_thread_that_lags(void **state)
{
	struct run_second *row;
	struct series s;

	(void)state;
	assert_int_equal(series_init(&s), 0);
	add_second(&s, 0, 1000, 20000);
	add_second(&s, 10, 1000, 20000);
	add_second(&s, 1, 2000, 20000); /* 9 seconds: its histogram is there */
	add_second(&s, 100, 1000, 20000);
	add_second(&s, 0, 900000, 20000); /* 100 seconds: is not */
	row = take(&s, 101);
	assert_int_equal(row[0].ops, 40000);
	assert_int_equal(row[0].max_ns, 900000);
	assert_true(within_1_percent(row[0].p99_ns, 1000));
	assert_true(within_1_percent(row[1].p99_ns, 2000));
	assert_true(within_1_percent(row[10].p99_ns, 1000));
	assert_true(within_1_percent(row[100].p99_ns, 1000));
	free(row);
	series_free(&s);
}

static void test_series_of_many_hours(void **state)
{
	uint64_t i, seconds = 20000; /* memory grows twice */
	struct run_second *row;
	struct series s;

	(void)state;
	assert_int_equal(series_init(&s), 0);
	histogram_add(h, 1000);
	for (i = 0; i < seconds; i++)
		series_add(&s, i, h);
	row = take(&s, seconds);
	for (i = 0; i < seconds; i++)
		assert_int_equal(row[i].ops, 1);
	free(row);
	series_free(&s);
}

static void test_cleared_series_is_as_new(void **state)
{
	struct run_second *row;
	struct series s;
	size_t i;

	(void)state;
	assert_int_equal(series_init(&s), 0);
	for (i = 0; i < 40; i++)
		add_second(&s, i, 1000000, 20000);
	series_clear(&s);
	add_second(&s, 3, 1000, 20000);
	row = take(&s, 5);
	for (i = 0; i < 5; i++) {
		assert_int_equal(row[i].ops, i == 3 ? 20000 : 0);
		assert_int_equal(row[i].max_ns, i == 3 ? 1000 : 0);
	}
	assert_true(within_1_percent(row[3].p99_ns, 1000));
	free(row);
	series_free(&s);
}

enum { ADDERS = 4, ADDED_SECONDS = 50 };

static void *add_from_a_thread(void *arg)
{
	struct histogram *own = calloc(1, sizeof(*own));
	uint64_t i;

	if (!own)
		return NULL;
	add_times(own, 1000, 100);
	for (i = 0; i < ADDED_SECONDS; i++)
		series_add(arg, i, own);
	free(own);
	return NULL;
}

static void test_threads_add_to_a_series_at_once(void **state)
{
	pthread_t thread[ADDERS];
	struct run_second *row;
	struct series s;
	size_t i;

	(void)state;
	assert_int_equal(series_init(&s), 0);
	for (i = 0; i < ADDERS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, add_from_a_thread, &s),
				 0);
	for (i = 0; i < ADDERS; i++)
		pthread_join(thread[i], NULL);
	row = take(&s, ADDED_SECONDS);
	for (i = 0; i < ADDED_SECONDS; i++)
		assert_int_equal(row[i].ops, ADDERS * 100);
	free(row);
	series_free(&s);
}

/* ---- the clock ---- */

/* How far the clock is from the kernel's: the reading of a thousand that was disturbed
 * least. *slack is what that one leaves open. */
static int64_t clock_offset(uint64_t *slack)
{
	int64_t offset = 0;
	int i;

	*slack = UINT64_MAX;
	for (i = 0; i < 1000; i++) {
		uint64_t before = clock_monotonic_ns(), now = clock_now_ns(),
			 after = clock_monotonic_ns();

		if (after - before >= *slack)
			continue;
		*slack = after - before;
		offset = (int64_t)(now - (before + *slack / 2));
	}
	return offset;
}

static void test_clock_runs_as_fast_as_the_kernels(void **state)
{
	const struct timespec pause = { 0, 50000000 };
	int64_t first, second;
	uint64_t slack[2], begun;

	(void)state;
	clock_init();
	first = clock_offset(&slack[0]);
	begun = clock_monotonic_ns();
	(void)nanosleep(&pause, NULL);
	second = clock_offset(&slack[1]);
	/* Half a percent of the time between, and what reading it left open. */
	assert_true((uint64_t)llabs(second - first) <=
		    (clock_monotonic_ns() - begun) / 200 + slack[0] + slack[1]);
}

static void test_every_calibration_comes_to_the_same(void **state)
{
	uint64_t first, i;

	(void)state;
	clock_init();
	if (!clock_scale.counter) {
		print_message("skipped: no steady counter on this machine\n");
		skip();
	}
	first = clock_scale.multiplier;
	for (i = 0; i < 5; i++) {
		clock_init();
		assert_in_range(clock_scale.multiplier, first - first / 200,
				first + first / 200);
	}
}

static void test_clock_never_runs_backward(void **state)
{
	uint64_t before, now;
	int i;

	(void)state;
	clock_init();
	before = clock_now_ns();
	for (i = 0; i < 200000; i++) {
		now = clock_now_ns();
		assert_true(now >= before);
		before = now;
	}
}

static void test_clock_without_a_counter_is_the_kernels(void **state)
{
	struct clock_scale saved = clock_scale;
	uint64_t before, now, after;

	(void)state;
	clock_scale.counter = false;
	assert_string_equal(clock_name(), "clock_gettime");
	before = clock_monotonic_ns();
	now = clock_now_ns();
	after = clock_monotonic_ns();
	assert_true(before <= now && now <= after);
	clock_scale = saved;
}

static void test_clock_tells_its_name(void **state)
{
	(void)state;
	clock_init();
	if (!clock_scale.counter)
		assert_string_equal(clock_name(), "clock_gettime");
#if defined(__x86_64__)
	else
		assert_string_equal(clock_name(), "tsc");
#elif defined(__aarch64__)
	else
		assert_string_equal(clock_name(), "cntvct");
#endif
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_buckets_follow_each_other_without_gap),
		TEST(test_histogram_is_at_most_1_percent_wrong_at_every_magnitude),
		TEST(test_quantiles_are_those_of_an_exact_sort),
		TEST(test_quantile_is_hidden_when_few_samples_lie_beyond),
		TEST(test_empty_histogram_has_no_quantile),
		TEST(test_no_quantile_lies_beyond_the_maximum),
		TEST(test_longest_latencies_keep_an_exact_maximum),
		TEST(test_merged_histograms_equal_one),
		TEST(test_series_adds_up_the_threads_of_a_second),
		TEST(test_series_has_full_seconds_only),
		TEST(test_seconds_in_which_nothing_ended_are_zero),
		TEST(test_series_counts_a_thread_that_lags),
		TEST(test_series_of_many_hours),
		TEST(test_cleared_series_is_as_new),
		TEST(test_threads_add_to_a_series_at_once),
		TEST(test_clock_runs_as_fast_as_the_kernels),
		TEST(test_every_calibration_comes_to_the_same),
		TEST(test_clock_never_runs_backward),
		TEST(test_clock_without_a_counter_is_the_kernels),
		TEST(test_clock_tells_its_name),
	};

	return cmocka_run_group_tests_name("measure", tests, say_seed, NULL);
}
