/* SPDX-License-Identifier: MIT */
/*
 * zipf_tests.c - millions of draws of YCSB's zipfian, and of the exact Zipf law, each
 * against its own shares.
 *
 * The last tests plant known bugs and show that the same check rejects them.
 */
#include "../workload/record.h"
#include "distribution_fixture.h"

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
		cmocka_unit_test(test_check_rejects_planted_bugs),
		cmocka_unit_test(test_check_tells_zipf_from_its_approximation),
	};

	print_message("seed %d\n", SEED);
	return cmocka_run_group_tests_name("zipf", tests, NULL, NULL);
}
