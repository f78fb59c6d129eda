/* SPDX-License-Identifier: MIT */
/*
 * distribution_tests.c - millions of draws of each distribution but Zipf's against its
 * exact law: requests, kinds of operations, lengths, bytes.
 */
#include "../workload/record.h"
#include "distribution_fixture.h"

/* ---- latest, exponential, hotspot, uniform, sequential ---- */

/* Recency 0, 1, 2, 3-9, 10-99, 100-999, ... */
enum { RECENCY_BINS = 8 };
static const uint64_t recency_end[RECENCY_BINS] = {
	1, 2, 3, 10, 100, 1000, 10000, 1000000
};

static int recency_bin(uint64_t r)
{
	int b = 0;

	while (r >= recency_end[b])
		b++;
	return b;
}

static void expect_recency(const struct workload *w, const char *what,
			   double (*below)(double m, double n))
{
	uint64_t draws = test_draws(4000000), count[RECENCY_BINS] = { 0 }, i;
	double share[RECENCY_BINS], before = 0;
	struct stream *s = open_stream(w);
	struct op op;
	int b;

	for (i = 0; i < draws; i++) {
		stream_next(s, &op);
		count[recency_bin(w->record_count - 1 - op.keynum)]++;
	}
	stream_close(s);
	for (b = 0; b < RECENCY_BINS; b++) {
		double m = (double)recency_end[b], n = (double)w->record_count, upto;

		upto = m < n ? below(m, n) : 1;
		share[b] = upto - before;
		before = upto;
	}
	expect_law(what, count, share, RECENCY_BINS, draws);
}

/* P(rank < m) of Gray's approximation over n - 1 ranks. */
static double latest_below(double m, double n)
{
	struct zipfian z;

	zipfian_init(&z, (uint64_t)n - 1, YCSB_ZIPFIAN_THETA);
	if (m <= 2)
		return m < 2 ? 1 / z.zeta_n : z.second / z.zeta_n;
	return 1 - (1 - pow(m / (n - 1), 1 - z.theta)) / z.eta;
}

static double exponential_below(double m, double n)
{
	double gamma = -log(0.05) / (0.8571428571 * n);

	return (1 - exp(-gamma * m)) / (1 - exp(-gamma * n));
}

static void test_latest_by_recency(void **state)
{
	struct workload w = MAKE_WORKLOAD("c", "requestdistribution=latest");

	(void)state;
	assert_true(fabs(latest_below(1, 1000) - 0.12940157) < 1e-7);
	assert_true(fabs(latest_below(10, 1000) - 0.39839956) < 1e-7);
	assert_true(fabs(latest_below(200, 1000) - 0.78667956) < 1e-7);
	expect_recency(&w, "latest of 1000", latest_below);
	w = MAKE_WORKLOAD("c", "requestdistribution=latest", "recordcount=1000000");
	expect_recency(&w, "latest of 1000000", latest_below);
}

static void test_exponential_by_recency(void **state)
{
	struct workload w = MAKE_WORKLOAD("c", "requestdistribution=exponential");

	(void)state;
	assert_true(fabs(exponential_below(1, 1000) - 0.00359812) < 1e-7);
	assert_true(fabs(exponential_below(200, 1000) - 0.51866031) < 1e-7);
	expect_recency(&w, "exponential of 1000", exponential_below);
	w = MAKE_WORKLOAD("c", "requestdistribution=exponential", "recordcount=1000000");
	expect_recency(&w, "exponential of 1000000", exponential_below);
}

/* Half of the operations insert: what is newest moves, and stays the favourite. */
static void test_latest_follows_inserts(void **state)
{
	struct workload w =
		MAKE_WORKLOAD("d", "readproportion=0.5", "insertproportion=0.5");
	uint64_t draws = test_draws(2000000), i, newest = 999, reads = 0, hits = 0;
	double expected = 0, zeta_n = zeta(999, YCSB_ZIPFIAN_THETA);
	struct stream *s = open_stream(&w);
	struct op op;

	(void)state;
	for (i = 0; i < draws; i++) {
		stream_next(s, &op);
		if (op.kind == OP_INSERT) {
			assert_int_equal(op.keynum, newest + 1);
			newest++;
			zeta_n += pow((double)newest, -YCSB_ZIPFIAN_THETA);
			continue;
		}
		assert_true(op.keynum <= newest);
		reads++;
		hits += op.keynum == newest;
		expected += 1 / zeta_n;
	}
	stream_close(s);
	assert_true(fabs((double)hits - expected) < 4 * sqrt(expected));
	assert_true(fabs(zeta_n - zeta(newest, YCSB_ZIPFIAN_THETA)) < 1e-9);
	assert_true(reads > draws / 3);
}

static void test_growing_zipfian_equals_a_larger_one_in_zeta(void **state)
{
	struct zipfian z, large;

	(void)state;
	zipfian_init(&z, 999, YCSB_ZIPFIAN_THETA);
	zipfian_grow(&z, 1500);
	zipfian_grow(&z, 100000);
	zipfian_init(&large, 100000, YCSB_ZIPFIAN_THETA);
	assert_int_equal(z.items, 100000);
	assert_true(fabs(z.zeta_n / large.zeta_n - 1) < 1e-12);
	/* YCSB's other constant stays: (2 / 999) and not (2 / 100000) */
	assert_true(fabs(z.eta * (1 - z.zeta_2 / z.zeta_n) - (1 - pow(2.0 / 999, 0.01))) <
		    1e-12);
}

static void test_hotspot_and_uniform(void **state)
{
	struct workload w = MAKE_WORKLOAD("c", "requestdistribution=hotspot");
	uint64_t draws = test_draws(4000000), count[N];
	double share[N];
	size_t i;

	(void)state;
	for (i = 0; i < N; i++)
		share[i] = i < 200 ? 0.8 / 200 : 0.2 / 800;
	count_keynums(&w, draws, count, N);
	expect_law("hotspot", count, share, N, draws);
	w = MAKE_WORKLOAD("c", "requestdistribution=uniform");
	for (i = 0; i < N; i++)
		share[i] = 1.0 / N;
	count_keynums(&w, draws, count, N);
	expect_law("uniform", count, share, N, draws);
}

static void test_hotspot_extremes(void **state)
{
	static const struct {
		const char *data, *ops;
		uint64_t from, to; /* keynums that come */
	} c[] = {
		{ "hotspotdatafraction=0", "hotspotopnfraction=0.8", 0, 1000 },
		{ "hotspotdatafraction=1", "hotspotopnfraction=0.2", 0, 1000 },
		{ "hotspotdatafraction=0.3", "hotspotopnfraction=1", 0, 300 },
		{ "hotspotdatafraction=0.3", "hotspotopnfraction=0", 300, 1000 },
	};
	uint64_t count[N], k;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		struct workload w = MAKE_WORKLOAD("c", "requestdistribution=hotspot",
						  c[i].data, c[i].ops);

		count_keynums(&w, 50000, count, N);
		for (k = 0; k < N; k++)
			assert_int_equal(count[k] > 0, k >= c[i].from && k < c[i].to);
	}
}

static void test_sequential_goes_round(void **state)
{
	struct workload w =
		MAKE_WORKLOAD("c", "requestdistribution=sequential", "recordcount=70",
			      "insertstart=20", "insertcount=30");
	struct stream *s = open_stream(&w);
	struct op op;
	int i;

	(void)state;
	for (i = 0; i < 100; i++) {
		stream_next(s, &op);
		assert_int_equal(op.keynum, 20 + i % 30);
	}
	stream_close(s);
}

/* ---- kinds of operations, lengths, bytes ---- */

static void test_kinds_in_proportion(void **state)
{
	struct workload w = MAKE_WORKLOAD(
		"c", "readproportion=3", "updateproportion=1", "insertproportion=0.5",
		"scanproportion=2", "readmodifywriteproportion=0.25",
		"deleteproportion=1", "readmissingproportion=0.25",
		"requestdistribution=uniform", "readallfields=false");
	uint64_t draws = test_draws(2000000), count[OP_KINDS] = { 0 }, field[10] = { 0 },
		 i;
	double share[OP_KINDS], even[10];
	struct stream *s = open_stream(&w);
	struct op op;
	int k;

	(void)state;
	for (i = 0; i < draws; i++) {
		stream_next(s, &op);
		count[op.kind]++;
		assert_true(op.field < 10);
		assert_int_equal(op.kind == OP_SCAN, op.scan_length > 0);
		if (op.kind == OP_UPDATE)
			field[op.field]++;
	}
	stream_close(s);
	for (k = 0; k < OP_KINDS; k++)
		share[k] = w.proportion[k] / 8;
	expect_law("kinds", count, share, OP_KINDS, draws);
	for (k = 0; k < 10; k++)
		even[k] = 0.1;
	expect_law("fields", field, even, 10, count[OP_UPDATE]);
}

static void test_scan_lengths(void **state)
{
	struct workload uniform =
		MAKE_WORKLOAD("scan", "minscanlength=11", "maxscanlength=110");
	struct workload zipfian =
		MAKE_WORKLOAD("scan", "minscanlength=11", "maxscanlength=110",
			      "scanlengthdistribution=zipfian");
	uint64_t draws = test_draws(2000000), i, count[100];
	double share[100];
	struct op op;
	int k, round;

	(void)state;
	for (round = 0; round < 2; round++) {
		struct stream *s = open_stream(round ? &zipfian : &uniform);

		memset(count, 0, sizeof(count));
		for (i = 0; i < draws; i++) {
			stream_next(s, &op);
			assert_in_range(op.scan_length, 11, 110);
			count[op.scan_length - 11]++;
		}
		stream_close(s);
		for (k = 0; k < 100; k++)
			share[k] = !round   ? 0.01
				   : k < 99 ? latest_below(k + 1, 101) -
						      (k ? latest_below(k, 101) : 0)
					    : 1 - latest_below(99, 101);
		expect_law(round ? "zipfian scans" : "uniform scans", count, share, 100,
			   draws);
	}
}

static void test_field_lengths(void **state)
{
	struct workload uniform =
		MAKE_WORKLOAD("c", "fieldcount=1", "minfieldlength=3", "fieldlength=102",
			      "fieldlengthdistribution=uniform");
	struct workload zipfian =
		MAKE_WORKLOAD("c", "fieldcount=1", "minfieldlength=3", "fieldlength=102",
			      "fieldlengthdistribution=zipfian");
	uint64_t draws = test_draws(1000000), i, count[100];
	struct kv_buf value = { 0 };
	double share[100];
	int k, round;

	(void)state;
	for (round = 0; round < 2; round++) {
		const struct workload *w = round ? &zipfian : &uniform;

		memset(count, 0, sizeof(count));
		for (i = 0; i < draws; i++) {
			assert_int_equal(record_value(w, i, i % 3, &value), 0);
			assert_in_range(value.len, 3, 102);
			count[value.len - 3]++;
		}
		for (k = 0; k < 100; k++)
			share[k] = !round   ? 0.01
				   : k < 99 ? latest_below(k + 1, 101) -
						      (k ? latest_below(k, 101) : 0)
					    : 1 - latest_below(99, 101);
		expect_law(round ? "zipfian fields" : "uniform fields", count, share, 100,
			   draws);
	}
	kv_buf_free(&value);
}

/* Bytes are even, and so are pairs of neighbours: nothing for a compressor beyond 6 bits. */
static void test_bytes_of_values(void **state)
{
	struct workload w = MAKE_WORKLOAD("c", "valuesize=100");
	static uint64_t byte[64], pair[4096];
	static double even[4096];
	struct kv_buf value = { 0 };
	uint64_t records = test_draws(200000), i;
	size_t k;

	(void)state;
	for (i = 0; i < records; i++) {
		const uint8_t *p;

		assert_int_equal(record_value(&w, i / 2, i % 2, &value), 0);
		p = value.data;
		for (k = 0; k < 100; k++) {
			assert_in_range(p[k], 0x20, 0x5f);
			byte[p[k] - 0x20]++;
			if (k % 2)
				pair[(p[k - 1] - 0x20) * 64 + p[k] - 0x20]++;
		}
	}
	kv_buf_free(&value);
	for (k = 0; k < 64; k++)
		even[k] = 1.0 / 64;
	expect_law("bytes", byte, even, 64, records * 100);
	for (k = 0; k < 4096; k++)
		even[k] = 1.0 / 4096;
	expect_law("pairs of bytes", pair, even, 4096, records * 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_latest_by_recency),
		cmocka_unit_test(test_exponential_by_recency),
		cmocka_unit_test(test_latest_follows_inserts),
		cmocka_unit_test(test_growing_zipfian_equals_a_larger_one_in_zeta),
		cmocka_unit_test(test_hotspot_and_uniform),
		cmocka_unit_test(test_hotspot_extremes),
		cmocka_unit_test(test_sequential_goes_round),
		cmocka_unit_test(test_kinds_in_proportion),
		cmocka_unit_test(test_scan_lengths),
		cmocka_unit_test(test_field_lengths),
		cmocka_unit_test(test_bytes_of_values),
	};

	print_message("seed %d\n", SEED);
	return cmocka_run_group_tests_name("distribution", tests, NULL, NULL);
}
