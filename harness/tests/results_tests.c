/* SPDX-License-Identifier: MIT */
/*
 * results_tests.c - medians, intervals against data whose truth is known, and each figure
 * of a cell against a document whose figures can be worked out by hand.
 */
#include <math.h>
#include <string.h>

#include "../../sprint-1-core-memory/tests/test_scale.h"
#include "../workload/generator.h"
#include "result_set_fixture.h"

enum { SEED = 20260118, SAMPLES = 20 };

static struct rng rng;

static int set_up(void **state)
{
	(void)state;
	rng_seed(&rng, SEED, 0);
	return 0;
}

static int say_seed(void **state)
{
	(void)state;
	print_message("seed %d\n", SEED);
	return 0;
}

/* From the standard normal distribution (Box and Muller 1958). */
static double normal(void)
{
	double u = 1 - rng_double(&rng), v = rng_double(&rng);

	return sqrt(-2 * log(u)) * cos(2 * M_PI * v);
}

static void check_near(double is, double should)
{
	if (!(fabs(is - should) <= 1e-9 * fabs(should)))
		fail_msg("%.12g should be %.12g", is, should);
}

/* ---- medians ---- */

static void test_median(void **state)
{
	const double odd[] = { 9, 1, 5 }, even[] = { 8, 2, 4, 100 }, one[] = { 7 };

	(void)state;
	check_near(stat_median(odd, 3), 5);
	check_near(stat_median(even, 4), 6);
	check_near(stat_median(one, 1), 7);
	assert_true(isnan(stat_median(NULL, 0)));
	assert_true(odd[0] == 9 && odd[1] == 1 && odd[2] == 5); /* left as they were */
}

static void test_median_of_many(void **state)
{
	double v[1001];
	size_t i;

	(void)state;
	for (i = 0; i < 1001; i++)
		v[i] = (double)(i * 7919 % 1001);
	check_near(stat_median(v, 1001), 500);
}

/* ---- intervals ---- */

/* What a noisy machine would measure of two engines, one `factor` times as fast. Blocks
 * share their drift. */
static void measure(double factor, double noise, double drift, double *a, double *b,
		    size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		double block = exp(drift * normal());

		a[i] = factor * block * exp(noise * normal());
		b[i] = block * exp(noise * normal());
	}
}

/* In what part of the experiments did the interval hold the truth? */
static double coverage(double factor, double drift, bool paired, double *detected)
{
	uint64_t n = test_draws(60), held = 0, found = 0, i;
	double a[SAMPLES], b[SAMPLES];

	n = n < 10 ? 10 : n;
	for (i = 0; i < n; i++) {
		struct stat_ratio r;

		measure(factor, 0.1, drift, a, b, SAMPLES);
		r = stat_ratio(a, SAMPLES, b, SAMPLES, paired, i);
		assert_true(r.low <= r.ratio && r.ratio <= r.high);
		assert_int_equal(r.detected, r.low > 1 || r.high < 1);
		held += r.low <= factor && factor <= r.high;
		found += r.detected;
	}
	*detected = (double)found / (double)n;
	return (double)held / (double)n;
}

static void test_interval_holds_the_truth_95_times_of_100(void **state)
{
	double detected;

	(void)state;
	assert_true(coverage(1.3, 0, false, &detected) >= 0.85);
	assert_true(detected >= 0.9); /* ten times the noise of a median of 20 */
	assert_true(coverage(0.7, 0.3, true, &detected) >= 0.85);
}

static void test_no_difference_is_rarely_detected(void **state)
{
	double detected;

	(void)state;
	(void)coverage(1, 0, false, &detected);
	assert_true(detected <= 0.15);
	(void)coverage(1, 0.1, true, &detected);
	assert_true(detected <= 0.15);
}

static void test_pairs_cancel_the_drift_of_blocks(void **state)
{
	double a[SAMPLES], b[SAMPLES];
	struct stat_ratio paired, apart;

	(void)state;
	measure(1.05, 0.003, 0.5, a, b, SAMPLES);
	paired = stat_ratio(a, SAMPLES, b, SAMPLES, true, 1);
	apart = stat_ratio(a, SAMPLES, b, SAMPLES, false, 1);
	assert_true(paired.detected);
	assert_false(apart.detected);
	assert_true(paired.high - paired.low < (apart.high - apart.low) / 4);
	check_near(paired.ratio, apart.ratio);
}

static void test_same_data_and_seed_give_the_same_interval(void **state)
{
	double a[SAMPLES], b[SAMPLES];
	struct stat_ratio r, again;

	(void)state;
	measure(1.2, 0.2, 0, a, b, SAMPLES);
	r = stat_ratio(a, SAMPLES, b, SAMPLES, false, 5);
	again = stat_ratio(a, SAMPLES, b, SAMPLES, false, 5);
	assert_true(r.low == again.low && r.high == again.high);
	again = stat_ratio(a, SAMPLES, b, SAMPLES, false, 6);
	assert_true(r.low != again.low || r.high != again.high);
	assert_true(fabs(again.low - r.low) < 0.05 * r.low);
}

static void test_two_samples_have_no_interval(void **state)
{
	const double a[] = { 10, 12, 14 }, b[] = { 1, 3, 5 };
	struct stat_ratio r = stat_ratio(a, 2, b, 3, false, 1);

	(void)state;
	check_near(r.ratio, 11.0 / 3);
	assert_true(isnan(r.low) && isnan(r.high));
	assert_false(r.detected);
	r = stat_ratio(a, 3, b, 2, false, 1);
	check_near(r.ratio, 6);
	assert_true(isnan(r.low) && !r.detected);
	r = stat_ratio(a, 0, b, 3, false, 1);
	assert_true(isnan(r.ratio) && isnan(r.low) && !r.detected);
	r = stat_ratio(a, 3, b, 3, false, 1);
	assert_true(r.detected && r.low > 1);
	/* a's medians are 10..14 and b's 1..5: nothing else can come out. */
	assert_true(r.low >= 2 && r.high <= 14);
}

static void test_ratio_to_nothing_is_no_number(void **state)
{
	const double a[] = { 4, 5, 6 }, zero[] = { 0, 0, 0 };
	struct stat_ratio r = stat_ratio(a, 3, zero, 3, true, 1);

	(void)state;
	assert_true(isnan(r.ratio) && isnan(r.low) && isnan(r.high));
	assert_false(r.detected);
	r = stat_ratio(zero, 3, a, 3, true, 1);
	assert_true(r.ratio == 0 && r.high == 0);
}

/* Resamples of b may have a median of zero though b has not, and a's then as well. */
static void test_resamples_that_have_no_ratio_leave_no_interval(void **state)
{
	const double b[] = { 0, 0, 5, 6, 7 };
	struct stat_ratio r = stat_ratio(b, 5, b, 5, true, 1);

	(void)state;
	check_near(r.ratio, 1);
	assert_true(isnan(r.low) && isnan(r.high));
	assert_false(r.detected);
}

/* ---- figures ---- */

/* A replicate of which every figure can be worked out by hand. */
static const char replicate_text[] =
	"{ 'seed': 1, 'stream_digest': '0000000000000001', 'void': '',"
	"  'content': 'equal', 'live_bytes': 1000, 'space_bytes': 3000,"
	"  'space_settled_bytes': 1500, 'peak_rss_bytes': 77,"
	"  'load': { 'seconds': 4, 'ops': 100, 'logical_bytes_written': 500,"
	"            'usage': { 'device_write_bytes': 2000 } },"
	"  'run': { 'seconds': 2, 'ops': 50, 'ops_per_s': 25,"
	"           'logical_bytes_written': 300, 'logical_bytes_read': 400,"
	"           'latency': { 'all': { 'p50_ns': 5, 'p90_ns': 9, 'p99_ns': 99,"
	"                                 'p999_ns': 999, 'p9999_ns': 9999,"
	"                                 'max_ns': 12345 },"
	"                        'read': { 'count': 30 }, 'update': { 'count': 2 },"
	"                        'insert': { 'count': 3 }, 'delete': { 'count': 4 },"
	"                        'read_modify_write': { 'count': 1 },"
	"                        'scan': { 'count': 10 } },"
	"           'series': [ [40, 1, 1], [50, 1, 1], [30, 1, 1] ],"
	"           'usage': { 'cpu_user_ns': 1000, 'cpu_system_ns': 500,"
	"                      'switches_voluntary': 20, 'switches_involuntary': 5,"
	"                      'faults_minor': 90, 'faults_major': 10,"
	"                      'device_read_bytes': 600, 'device_write_bytes': 1200,"
	"                      'syncs': { 'fsync': 1, 'fdatasync': 2, 'msync': 3,"
	"                                 'osync_write': 4, 'sync_file_range': 90 } } },"
	"  'settle': { 'usage': { 'device_write_bytes': 800 } } }";

static const double by_hand[FIGURES] = {
	[FIGURE_OPS_PER_S] = 25,
	[FIGURE_LOAD_OPS_PER_S] = 25,
	[FIGURE_P50_NS] = 5,
	[FIGURE_P90_NS] = 9,
	[FIGURE_P99_NS] = 99,
	[FIGURE_P999_NS] = 999,
	[FIGURE_P9999_NS] = 9999,
	[FIGURE_MAX_NS] = 12345,
	[FIGURE_DEVICE_WRITE_BYTES] = 3200,
	[FIGURE_DEVICE_WRITE_SETTLED] = 4000,
	[FIGURE_SPACE_BYTES] = 3000,
	[FIGURE_SPACE_SETTLED_BYTES] = 1500,
	[FIGURE_PEAK_RSS_BYTES] = 77,
	[FIGURE_WRITE_AMPLIFICATION] = 4,
	[FIGURE_WRITE_AMPLIFICATION_SETTLED] = 5,
	[FIGURE_READ_AMPLIFICATION] = 1.5,
	[FIGURE_SPACE_AMPLIFICATION] = 3,
	[FIGURE_SPACE_AMPLIFICATION_SETTLED] = 1.5,
	[FIGURE_CPU_USER_NS_PER_OP] = 20,
	[FIGURE_CPU_SYSTEM_NS_PER_OP] = 10,
	[FIGURE_SWITCHES_PER_OP] = 0.5,
	[FIGURE_FAULTS_PER_OP] = 2,
	[FIGURE_SYNCS_PER_WRITE] = 1,
	[FIGURE_WORST_SECOND] = 30,
};

static json_t *cell_new(void)
{
	return parse("{ 'workload': 'a', 'engine': 'x', 'durability': 'none',"
		     "  'records': 100, 'value_bytes': 10, 'threads': 1,"
		     "  'target_ops_per_s': null, 'status': 'ok', 'replicates': [] }");
}

/* Owned by the cell. */
static json_t *add_replicate(json_t *cell, int seed, double ops_per_s)
{
	json_t *r = parse(replicate_text);

	json_object_set_new(r, "seed", json_integer(seed));
	json_object_set_new(json_object_get(r, "run"), "ops_per_s", json_real(ops_per_s));
	json_array_append_new(json_object_get(cell, "replicates"), r);
	return r;
}

static void test_each_figure_is_what_it_is_by_hand(void **state)
{
	json_t *cell = cell_new();
	int f;

	(void)state;
	add_replicate(cell, 1, 25);
	for (f = 0; f < FIGURES; f++) {
		double is = cell_figure(cell, (enum figure)f);

		if (!(fabs(is - by_hand[f]) <= 1e-9 * by_hand[f]))
			fail_msg("%s is %g and not %g", figure_name((enum figure)f), is,
				 by_hand[f]);
	}
	json_decref(cell);
}

/* What a document lacks is no number, and above all not zero. */
static void test_figures_of_an_empty_replicate_are_no_numbers(void **state)
{
	json_t *cell = cell_new();
	int f;

	(void)state;
	json_array_append_new(json_object_get(cell, "replicates"), parse("{'void': ''}"));
	for (f = 0; f < FIGURES; f++)
		assert_true(isnan(cell_figure(cell, (enum figure)f)));
	json_decref(cell);
}

static void test_hidden_quantile_is_no_number(void **state)
{
	json_t *cell = cell_new(), *r = add_replicate(cell, 1, 25);

	(void)state;
	json_object_set_new(json_object_get(at(r, "run.latency"), "all"), "p999_ns",
			    json_null());
	assert_true(isnan(cell_figure(cell, FIGURE_P999_NS)));
	check_near(cell_figure(cell, FIGURE_P99_NS), 99);
	json_decref(cell);
}

static void test_run_without_writes_has_no_syncs_a_write(void **state)
{
	static const char *const kind[] = { "update", "insert", "delete",
					    "read_modify_write" };
	json_t *cell = cell_new(), *r = add_replicate(cell, 1, 25);
	size_t i;

	(void)state;
	for (i = 0; i < 4; i++)
		json_object_del(at(r, "run.latency"), kind[i]);
	assert_true(isnan(cell_figure(cell, FIGURE_SYNCS_PER_WRITE)));
	json_decref(cell);
}

/* A series holds full seconds only, so that each of them counts. */
static void test_worst_second_may_be_any(void **state)
{
	static const struct {
		const char *series;
		double worst;
	} is[] = {
		{ "[[10,1,1],[50,1,1],[30,1,1]]", 10 },
		{ "[[40,1,1],[20,1,1],[30,1,1]]", 20 },
		{ "[[40,1,1],[50,1,1],[30,1,1]]", 30 },
		{ "[[40,1,1],[50,1,1],[0,null,0]]", 0 },
		{ "[[17,1,1]]", 17 },
	};
	json_t *cell = cell_new(), *r = add_replicate(cell, 1, 25);
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(is) / sizeof(is[0]); i++) {
		json_object_set_new(at(r, "run"), "series", parse(is[i].series));
		check_near(cell_figure(cell, FIGURE_WORST_SECOND), is[i].worst);
	}
	json_object_set_new(at(r, "run"), "series", json_array());
	assert_true(isnan(cell_figure(cell, FIGURE_WORST_SECOND)));
	json_decref(cell);
}

static void test_figures_have_names_and_units(void **state)
{
	static const char units[] = "1/s ns bytes ratio";
	int f, g;

	(void)state;
	for (f = 0; f < FIGURES; f++) {
		assert_non_null(figure_name((enum figure)f));
		assert_non_null(strstr(units, figure_unit((enum figure)f)));
		for (g = 0; g < f; g++)
			assert_string_not_equal(figure_name((enum figure)f),
						figure_name((enum figure)g));
	}
	assert_null(figure_name(FIGURES));
	assert_null(figure_unit(FIGURES));
}

/* ---- cells ---- */

static void test_figure_is_the_median_of_what_counts(void **state)
{
	json_t *cell = cell_new(), *hot;
	double v[4];

	(void)state;
	add_replicate(cell, 1, 100);
	add_replicate(cell, 2, 300);
	hot = add_replicate(cell, 3, 1);
	add_replicate(cell, 4, 200);
	json_object_set_new(hot, "void", json_string("throttled"));
	check_near(cell_figure(cell, FIGURE_OPS_PER_S), 200);
	assert_int_equal(cell_values(cell, FIGURE_OPS_PER_S, v, 4), 3);
	assert_true(v[0] == 100 && v[1] == 300 && v[2] == 200);
	assert_int_equal(cell_values(cell, FIGURE_OPS_PER_S, v, 2), 2);
	json_decref(cell);
	cell = cell_new();
	assert_int_equal(cell_values(cell, FIGURE_OPS_PER_S, v, 4), 0);
	assert_true(isnan(cell_figure(cell, FIGURE_OPS_PER_S)));
	json_decref(cell);
}

static void test_cell_is_ok_when_its_content_was(void **state)
{
	json_t *cell = cell_new(), *r;

	(void)state;
	assert_false(cell_ok(cell)); /* nothing was measured */
	r = add_replicate(cell, 1, 100);
	assert_true(cell_ok(cell));
	json_object_set_new(r, "content", json_string("different"));
	assert_false(cell_ok(cell));
	json_object_set_new(r, "void", json_string("throttled"));
	assert_false(cell_ok(cell)); /* nothing that counts */
	add_replicate(cell, 2, 100);
	assert_true(cell_ok(cell));
	json_object_set_new(cell, "status", json_string("failed"));
	assert_false(cell_ok(cell));
	json_decref(cell);
}

static void test_cell_of_another_engine_is_of_the_same_setting(void **state)
{
	static const char *const other[] = {
		"{'workload': 'b'}", "{'durability': 'sync'}",
		"{'records': 101}",  "{'value_bytes': 11}",
		"{'threads': 2}",    "{'target_ops_per_s': 5.0}",
	};
	json_t *set = parse("{'cells': []}"), *cells = json_object_get(set, "cells");
	json_t *mine = cell_new(), *theirs;
	size_t i;

	(void)state;
	for (i = 0; i < 6; i++) {
		json_t *change = parse(other[i]);

		theirs = cell_new();
		json_object_set_new(theirs, "engine", json_string("y"));
		json_object_update(theirs, change);
		json_decref(change);
		json_array_append_new(cells, theirs);
	}
	assert_null(cell_of_engine(set, mine, "y"));
	theirs = cell_new();
	json_object_set_new(theirs, "engine", json_string("y"));
	json_array_append_new(cells, theirs);
	assert_ptr_equal(cell_of_engine(set, mine, "y"), theirs);
	assert_null(cell_of_engine(set, mine, "x"));
	json_decref(mine);
	json_decref(set);
}

static void test_ratio_is_of_replicates_with_one_seed(void **state)
{
	json_t *cell = cell_new(), *base = cell_new();
	struct kv_msg why = { "stale" };
	struct stat_ratio r;
	int seed;

	(void)state;
	/* In another order, and with seeds that only one of them has. */
	for (seed = 1; seed <= 6; seed++)
		add_replicate(cell, seed, 300.0 * seed);
	for (seed = 8; seed >= 3; seed--)
		add_replicate(base, seed, 100.0 * seed);
	r = cell_ratio(cell, base, FIGURE_OPS_PER_S, &why);
	check_near(r.ratio, 3);
	check_near(r.low, 3); /* each pair's is 3, however they drift */
	check_near(r.high, 3);
	assert_true(r.detected);
	assert_string_equal(why.text, "");
	json_decref(cell);
	json_decref(base);
}

static void test_ratio_needs_a_common_replicate(void **state)
{
	json_t *cell = cell_new(), *base = cell_new(), *r;
	struct kv_msg why = { "" };

	(void)state;
	add_replicate(cell, 1, 100);
	r = add_replicate(base, 2, 100);
	assert_true(isnan(cell_ratio(cell, base, FIGURE_OPS_PER_S, &why).ratio));
	assert_non_null(strstr(why.text, "no replicate"));
	json_object_set_new(r, "seed", json_integer(1));
	check_near(cell_ratio(cell, base, FIGURE_OPS_PER_S, &why).ratio, 1);
	json_object_set_new(r, "void", json_string("throttled"));
	assert_true(isnan(cell_ratio(cell, base, FIGURE_OPS_PER_S, NULL).ratio));
	json_decref(cell);
	json_decref(base);
}

static void test_different_operations_are_not_compared(void **state)
{
	json_t *cell = cell_new(), *base = cell_new(), *r;
	struct kv_msg why = { "" };

	(void)state;
	add_replicate(cell, 1, 100);
	add_replicate(cell, 2, 100);
	add_replicate(base, 1, 100);
	r = add_replicate(base, 2, 100);
	json_object_set_new(r, "stream_digest", json_string("00000000000000ff"));
	assert_true(isnan(cell_ratio(cell, base, FIGURE_OPS_PER_S, &why).ratio));
	assert_non_null(strstr(why.text, "0000000000000001"));
	assert_non_null(strstr(why.text, "00000000000000ff"));
	json_decref(cell);
	json_decref(base);
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_median),
		TEST(test_median_of_many),
		TEST(test_interval_holds_the_truth_95_times_of_100),
		TEST(test_no_difference_is_rarely_detected),
		TEST(test_pairs_cancel_the_drift_of_blocks),
		TEST(test_same_data_and_seed_give_the_same_interval),
		TEST(test_two_samples_have_no_interval),
		TEST(test_ratio_to_nothing_is_no_number),
		TEST(test_resamples_that_have_no_ratio_leave_no_interval),
		TEST(test_each_figure_is_what_it_is_by_hand),
		TEST(test_figures_of_an_empty_replicate_are_no_numbers),
		TEST(test_hidden_quantile_is_no_number),
		TEST(test_run_without_writes_has_no_syncs_a_write),
		TEST(test_worst_second_may_be_any),
		TEST(test_figures_have_names_and_units),
		TEST(test_figure_is_the_median_of_what_counts),
		TEST(test_cell_is_ok_when_its_content_was),
		TEST(test_cell_of_another_engine_is_of_the_same_setting),
		TEST(test_ratio_is_of_replicates_with_one_seed),
		TEST(test_ratio_needs_a_common_replicate),
		TEST(test_different_operations_are_not_compared),
	};

	return cmocka_run_group_tests_name("results", tests, say_seed, NULL);
}
