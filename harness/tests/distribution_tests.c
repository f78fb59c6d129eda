/* SPDX-License-Identifier: MIT */
/*
 * distribution_tests.c - millions of draws of each distribution against its exact law.
 *
 * Seeds are fixed, so a test passes always or never. The last tests plant known bugs and
 * show that the same check rejects them.
 */
#include <math.h>

#include "../../sprint-1-core-memory/tests/test_scale.h"
#include "../workload/record.h"
#include "../workload/stream.h"
#include "workload_fixture.h"

enum { SEED = 20100611, N = 1000 };

static const char *data_path(const char *name, char *path, size_t size)
{
	const char *slash = strrchr(__FILE__, '/');

	(void)snprintf(path, size, "%.*sdata/%s", slash ? (int)(slash - __FILE__ + 1) : 0,
		       __FILE__, name);
	return path;
}

/* The exact share of each keynum of 1000 under CoreWorkload's zipfian and, beside it, of a
 * generator that takes the hash modulo 1000. */
static void read_shares(double core[N], double raw[N])
{
	char path[512], line[128];
	FILE *f = fopen(data_path("ycsb_zipf_share_N1000.csv", path, sizeof(path)), "r");
	double sum_core = 0, sum_raw = 0;
	int i, keynum;

	if (!f)
		fail_msg("%s cannot be read (tests run from the top of the tree)", path);
	assert_non_null(fgets(line, sizeof(line), f));
	for (i = 0; i < N; i++) {
		assert_non_null(fgets(line, sizeof(line), f));
		assert_int_equal(sscanf(line, "%d,%lf,%lf", &keynum, &core[i], &raw[i]),
				 3);
		assert_int_equal(keynum, i);
		sum_core += core[i];
		sum_raw += raw[i];
	}
	(void)fclose(f);
	assert_true(fabs(sum_core - 1) < 1e-6 && fabs(sum_raw - 1) < 1e-6);
}

static struct stream *open_stream(const struct workload *w)
{
	struct stream *s;

	assert_int_equal(stream_open(w, SEED, 0, 1, &s), 0);
	return s;
}

/* How often each keynum below n comes in draws operations. */
static void count_keynums(const struct workload *w, uint64_t draws, uint64_t *count,
			  uint64_t n)
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

static void expect_law(const char *what, const uint64_t *count, const double *share,
		       size_t n, uint64_t draws)
{
	unsigned int df;
	double chi = test_chi_square(count, share, n, draws, &df);

	print_message("%s: chi-square %.1f, df %u, limit %.1f, %llu draws\n", what, chi,
		      df, test_chi_square_limit(df), (unsigned long long)draws);
	assert_true(df > 0);
	assert_true(chi < test_chi_square_limit(df));
}

/* ---- YCSB's zipfian ---- */

static void test_zipfian_of_a_thousand_keys(void **state)
{
	struct workload w = MAKE_WORKLOAD("c", "recordcount=1000", "operationcount=0");
	uint64_t draws = test_draws(20000000), count[N];
	double core[N], raw[N];

	(void)state;
	read_shares(core, raw);
	count_keynums(&w, draws, count, N);
	expect_law("zipfian, 1000 keys", count, core, N, draws);
}

/* The twelve hottest keynums of a million, by identity, and the rest. */
static void test_zipfian_of_a_million_keys(void **state)
{
	static const struct {
		uint64_t keynum;
		double share;
	} hot[] = {
		{ 801320, 0.03778049 }, { 216074, 0.01902187 }, { 971811, 0.01531482 },
		{ 386565, 0.01090399 }, { 464295, 0.00847946 }, { 49540, 0.00694386 },
		{ 293804, 0.00587972 }, { 879050, 0.00510048 }, { 407915, 0.00450475 },
		{ 822670, 0.00403696 },
	};
	enum { HOT = sizeof(hot) / sizeof(hot[0]) };
	struct workload w = MAKE_WORKLOAD("c", "recordcount=1000000");
	uint64_t draws = test_draws(20000000), count[HOT + 1] = { 0 }, i;
	double share[HOT + 1], rest = 1;
	struct stream *s = open_stream(&w);
	struct op op;
	int k;

	(void)state;
	for (i = 0; i < draws; i++) {
		stream_next(s, &op);
		for (k = 0; k < HOT && op.keynum != hot[k].keynum; k++)
			;
		count[k]++;
	}
	stream_close(s);
	for (k = 0; k < HOT; k++)
		rest -= share[k] = hot[k].share;
	share[HOT] = rest;
	expect_law("zipfian, 1000000 keys", count, share, HOT + 1, draws);
}

static void test_hottest_stored_keys(void **state)
{
	static const char *const count[] = { "recordcount=1000", "recordcount=1000000" };
	static const char *const want[] = { "user1573987489603120213",
					    "user2933389304617401955" };
	static uint64_t seen[1000000];
	int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		struct workload w = MAKE_WORKLOAD("c", count[i]);
		uint64_t hottest = 0, k;
		char key[RECORD_KEY_MAX];

		count_keynums(&w, 100000, seen, w.record_count);
		for (k = 1; k < w.record_count; k++)
			if (seen[k] > seen[hottest])
				hottest = k;
		assert_int_equal(record_key(&w, hottest, key), 23);
		assert_memory_equal(key, want[i], 23);
	}
}

/* Which loaded keys are popular must not change as keys are inserted. */
static void test_zipfian_keeps_its_hot_key_while_inserting(void **state)
{
	struct workload w =
		MAKE_WORKLOAD("e", "recordcount=1000", "operationcount=20000");
	struct stream *s = open_stream(&w);
	uint64_t items = 1000 + 20000 * 5 / 100 * 2 + 1, hot = 0, i;
	struct op op;
	int half;

	(void)state;
	while (ycsb_hash(hot) % items >= 1000)
		hot++;
	hot = ycsb_hash(hot) % items;
	for (half = 0; half < 2; half++) {
		uint64_t count[1000] = { 0 }, hottest = 0, k;

		for (i = 0; i < 10000; i++) {
			stream_next(s, &op);
			if (op.kind == OP_SCAN && op.keynum < 1000)
				count[op.keynum]++;
		}
		for (k = 1; k < 1000; k++)
			if (count[k] > count[hottest])
				hottest = k;
		assert_int_equal(hottest, hot);
	}
	stream_close(s);
}

/* ---- the exact Zipf law ---- */

static void zipf_shares(double *share, size_t n, double theta)
{
	double sum = 0;
	size_t i;

	for (i = 0; i < n; i++)
		sum += share[i] = pow((double)i + 1, -theta);
	for (i = 0; i < n; i++)
		share[i] /= sum;
}

static void test_zipf_ranks_follow_the_exact_law(void **state)
{
	static const double theta[] = { 0.2, 0.5, 0.99, 1, 1.2, 2, 5 };
	static const size_t n[] = { 1, 2, 3, 10, N };
	uint64_t draws = test_draws(2000000), i, count[N];
	double share[N];
	struct rng r;
	size_t k, m;

	(void)state;
	rng_seed(&r, SEED, 0);
	for (k = 0; k < sizeof(theta) / sizeof(theta[0]); k++) {
		for (m = 0; m < sizeof(n) / sizeof(n[0]); m++) {
			struct zipf z;
			char what[64];

			memset(count, 0, sizeof(count));
			zipf_init(&z, n[m], theta[k]);
			for (i = 0; i < draws; i++)
				count[zipf_rank(&z, &r)]++;
			if (n[m] == 1)
				continue;
			zipf_shares(share, n[m], theta[k]);
			(void)snprintf(what, sizeof(what), "zipf %g of %zu", theta[k],
				       n[m]);
			expect_law(what, count, share, n[m], draws);
		}
	}
}

static void test_zipf_requests_follow_the_exact_law(void **state)
{
	struct workload w =
		MAKE_WORKLOAD("c", "requestdistribution=zipf", "zipftheta=1.1");
	struct scatter sc = scatter_of(N);
	uint64_t draws = test_draws(4000000), count[N];
	double rank[N], share[N];
	size_t i;

	(void)state;
	zipf_shares(rank, N, 1.1);
	for (i = 0; i < N; i++)
		share[scatter(&sc, i)] = rank[i];
	count_keynums(&w, draws, count, N);
	expect_law("zipf requests", count, share, N, draws);
}

/* Far ranks of a large range: decades instead of single ranks. */
static void test_zipf_of_a_billion(void **state)
{
	static const double theta[] = { 0.99, 1, 1.3 };
	enum { DECADES = 9 };
	uint64_t draws = test_draws(2000000), i;
	struct rng r;
	size_t k;

	(void)state;
	rng_seed(&r, SEED, 1);
	for (k = 0; k < 3; k++) {
		uint64_t count[DECADES] = { 0 }, end = 10;
		double share[DECADES], below = 0, all = zeta(1000000000, theta[k]);
		struct zipf z;
		int d;

		zipf_init(&z, 1000000000, theta[k]);
		for (i = 0; i < draws; i++) {
			uint64_t rank = zipf_rank(&z, &r);

			for (d = 0, end = 10; rank >= end; end *= 10)
				d++;
			count[d]++;
		}
		for (d = 0, end = 10; d < DECADES; d++, end *= 10) {
			double upto = zeta(end, theta[k]) / all;

			share[d] = upto - below;
			below = upto;
		}
		expect_law("zipf of a billion", count, share, DECADES, draws);
	}
}

static void test_scatter_is_a_bijection_without_order(void **state)
{
	static const uint64_t n[] = { 1, 2,   3,    4,    5,    7,    8,
				      9, 100, 1000, 1023, 1024, 1025, 65537 };
	static bool seen[65537];
	size_t k;

	(void)state;
	for (k = 0; k < sizeof(n) / sizeof(n[0]); k++) {
		struct scatter s = scatter_of(n[k]);
		uint64_t i, neighbours = 0, before = 0;

		memset(seen, 0, sizeof(seen));
		for (i = 0; i < n[k]; i++) {
			uint64_t to = scatter(&s, i);

			assert_true(to < n[k]);
			assert_false(seen[to]);
			seen[to] = true;
			neighbours += i && (to > before ? to - before : before - to) < 3;
			before = to;
		}
		if (n[k] >= 1000)
			assert_true(neighbours < n[k] / 20);
	}
}

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

/* ---- the check itself must be able to fail ---- */

static uint64_t raw_hash(uint64_t v)
{
	uint64_t h = 0xcbf29ce484222325u;
	int i;

	for (i = 0; i < 8; i++, v >>= 8)
		h = (h ^ (v & 0xff)) * 1099511628211u;
	return h;
}

static uint64_t right(uint64_t rank)
{
	uint64_t h = raw_hash(rank);

	return (h >> 63 ? -h : h) % (N + 1);
}

static uint64_t masked(uint64_t rank) /* the sign bit cut off instead of Math.abs() */
{
	return (raw_hash(rank) & INT64_MAX) % (N + 1);
}

static uint64_t exclusive(uint64_t rank) /* the inclusive bound taken for exclusive */
{
	uint64_t h = raw_hash(rank);

	return (h >> 63 ? -h : h) % N;
}

static double chi_square_of(uint64_t (*keynum)(uint64_t rank), const double *share)
{
	uint64_t draws = test_draws(2000000), count[N] = { 0 }, i;
	struct zipfian z;
	struct rng r;
	unsigned int df;

	rng_seed(&r, SEED, 2);
	zipfian_init_scrambled(&z);
	for (i = 0; i < draws;) {
		uint64_t k = keynum(zipfian_rank(&z, rng_double(&r)));

		if (k < N) {
			count[k]++;
			i++;
		}
	}
	return test_chi_square(count, share, N, draws, &df);
}

static void test_check_rejects_planted_bugs(void **state)
{
	double limit = test_chi_square_limit(N - 1), core[N], raw[N];

	(void)state;
	assert_true(fabs(limit - 1142.9) < 0.5);
	assert_true(fabs(test_chi_square_limit(12) - 32.9) < 0.3);
	read_shares(core, raw);
	assert_true(chi_square_of(right, core) < limit);
	assert_true(chi_square_of(masked, core) > 2 * limit);
	assert_true(chi_square_of(exclusive, core) > 2 * limit);
	/* ... and the second is just what the table of the other bound describes. */
	assert_true(chi_square_of(exclusive, raw) < limit);
}

/* A plain zipfian instead of the exact law is so close that it takes a million draws, however
 * slow, to tell them apart. */
static void test_check_tells_zipf_from_its_approximation(void **state)
{
	uint64_t draws = 1000000, count[N] = { 0 }, i;
	double share[N];
	struct zipfian z;
	struct rng r;
	unsigned int df;

	(void)state;
	rng_seed(&r, SEED, 3);
	zipfian_init(&z, N, YCSB_ZIPFIAN_THETA);
	for (i = 0; i < draws; i++)
		count[zipfian_rank(&z, rng_double(&r))]++;
	zipf_shares(share, N, 0.99);
	assert_true(test_chi_square(count, share, N, draws, &df) >
		    test_chi_square_limit(N - 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_zipfian_of_a_thousand_keys),
		cmocka_unit_test(test_zipfian_of_a_million_keys),
		cmocka_unit_test(test_hottest_stored_keys),
		cmocka_unit_test(test_zipfian_keeps_its_hot_key_while_inserting),
		cmocka_unit_test(test_zipf_ranks_follow_the_exact_law),
		cmocka_unit_test(test_zipf_requests_follow_the_exact_law),
		cmocka_unit_test(test_zipf_of_a_billion),
		cmocka_unit_test(test_scatter_is_a_bijection_without_order),
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
		cmocka_unit_test(test_check_rejects_planted_bugs),
		cmocka_unit_test(test_check_tells_zipf_from_its_approximation),
	};

	print_message("seed %d\n", SEED);
	return cmocka_run_group_tests_name("distribution", tests, NULL, NULL);
}
