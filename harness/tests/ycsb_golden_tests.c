/* SPDX-License-Identifier: MIT */
/*
 * ycsb_golden_tests.c - values that YCSB's own Java classes gave: key names, hashes,
 * checkable values, constants of the zipfian, and which key each random number leads to.
 */
#include <math.h>

#include "../workload/record.h"
#include "workload_fixture.h"

static void expect_key(const struct workload *w, uint64_t keynum, const char *want)
{
	char key[RECORD_KEY_MAX + 1];
	size_t n = record_key(w, keynum, key);

	assert_in_range(n, 1, RECORD_KEY_MAX);
	key[n] = '\0';
	assert_string_equal(key, want);
}

static void test_hashed_keys_of_the_first_twenty(void **state)
{
	static const uint64_t hash[] = {
		6284781860667377211, 8517097267634966620, 1820151046732198393,
		4052466453699787802, 3232700585171816769, 1000385178204227360,
		7697331399106995587, 5465015992139406178, 6873002678636213555,
		9105318085603802964, 2408371864701034737, 4640687271668624146,
		2644479767202980425, 412164360235391016,  7109110581138159243,
		4876795174170569834, 7461223496605049899, 8753205170136912308,
		2996592682669871081, 5228908089637460490,
	};
	struct workload w = MAKE_WORKLOAD("c", NULL);
	char want[32];
	uint64_t i;

	(void)state;
	for (i = 0; i < sizeof(hash) / sizeof(hash[0]); i++) {
		assert_int_equal(ycsb_hash(i), hash[i]);
		(void)snprintf(want, sizeof(want), "user%llu",
			       (unsigned long long)hash[i]);
		expect_key(&w, i, want);
	}
}

static void test_hashes_of_larger_numbers(void **state)
{
	static const uint64_t of[][2] = {
		{ 255, 8064062821143829734 },       { 256, 2056600594528442646 },
		{ 1000, 5952875239596136740 },      { 65535, 8476454546330126581 },
		{ 65536, 3733039891711757428 },     { 999999, 2744965632448235251 },
		{ 1000000, 1011632231655643464 },   { 2147483647, 627943977067101855 },
		{ 4294967296, 634246865027890484 }, { 10000000000, 1201321332300452516 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(of) / sizeof(of[0]); i++)
		assert_int_equal(ycsb_hash(of[i][0]), of[i][1]);
}

/* The plain loop of the definition, against the shortcut over zero octets. */
static void test_hash_equals_its_definition(void **state)
{
	uint64_t seed = 1;
	int i, octet;

	(void)state;
	for (i = 0; i < 20000; i++) {
		uint64_t v = splitmix64(&seed) >> (i % 65 < 64 ? i % 65 : 0);
		uint64_t h = 0xcbf29ce484222325u;

		for (octet = 0; octet < 64; octet += 8)
			h = (h ^ (v >> octet & 0xff)) * 1099511628211u;
		assert_int_equal(ycsb_hash(v), h >> 63 ? -h : h);
	}
}

static void test_modulus_equals_division(void **state)
{
	static const uint64_t d[] = { 1,
				      2,
				      3,
				      10,
				      1000,
				      1001,
				      1000001,
				      1u << 31,
				      1u << 20,
				      4294967297,
				      999999999989,
				      (uint64_t)1 << 62,
				      ((uint64_t)1 << 63) - 1,
				      (uint64_t)1 << 63 };
	uint64_t seed = 2;
	size_t i;
	int k;

	(void)state;
	for (i = 0; i < sizeof(d) / sizeof(d[0]); i++) {
		struct modulus m = modulus_of(d[i]);

		for (k = 0; k < 5000; k++) {
			uint64_t v = splitmix64(&seed) >> (1 + k % 63);

			assert_int_equal(modulus_reduce(&m, v), v % d[i]);
			v = v / d[i] * d[i]; /* and on either side of a multiple */
			assert_int_equal(modulus_reduce(&m, v), 0);
			if (v)
				assert_int_equal(modulus_reduce(&m, v - 1),
						 (v - 1) % d[i]);
		}
		assert_int_equal(modulus_reduce(&m, INT64_MAX), INT64_MAX % d[i]);
	}
}

static void test_ordered_and_padded_keys(void **state)
{
	static const char *const ordered[] = { "insertorder=ordered", NULL };
	static const char *const padded[] = { "insertorder=ordered", "zeropadding=8",
					      NULL };
	static const char *const wide[] = { "zeropadding=30", NULL };
	struct workload w = make_workload("c", ordered);

	(void)state;
	expect_key(&w, 0, "user0");
	expect_key(&w, 9, "user9");
	expect_key(&w, 10, "user10");
	expect_key(&w, 99999999, "user99999999");
	expect_key(&w, 100000000, "user100000000");
	expect_key(&w, 9999999999999999, "user9999999999999999");
	expect_key(&w, 10000000000000000, "user10000000000000000");
	expect_key(&w, UINT64_MAX, "user18446744073709551615");
	w = make_workload("c", padded);
	expect_key(&w, 5, "user00000005");
	expect_key(&w, 123456789, "user123456789");
	w = make_workload("c", wide);
	expect_key(&w, 13, "user000000000000412164360235391016");
}

static void test_every_power_of_ten_is_printed(void **state)
{
	static const char *const ordered[] = { "insertorder=ordered", NULL };
	struct workload w = make_workload("c", ordered);
	uint64_t v = 1;
	char want[32];
	int i;

	(void)state;
	for (i = 0; i < 20; i++, v *= 10) {
		(void)snprintf(want, sizeof(want), "user%llu", (unsigned long long)v);
		expect_key(&w, v, want);
		(void)snprintf(want, sizeof(want), "user%llu", (unsigned long long)v - 1);
		expect_key(&w, v - 1, want);
	}
}

static void test_lengths_of_a_million_keys(void **state)
{
	const uint64_t n = 1000000;
	struct workload w = MAKE_WORKLOAD("c", NULL);
	char key[RECORD_KEY_MAX];
	uint64_t count[32] = { 0 }, total = 0, i;

	(void)state;
	for (i = 0; i < n; i++) {
		size_t len = record_key(&w, i, key);

		assert_in_range(len, 18, 23);
		count[len]++;
		total += len;
	}
	assert_int_equal((count[23] + 50) / 100, 8917);
	assert_int_equal((count[22] + 50) / 100, 976);
	assert_int_equal((count[21] + 50) / 100, 96);
	assert_int_equal((total + 500) / 1000, 22880);
}

static void test_checkable_values(void **state)
{
	static const char *const want[] = {
		"user6284781860667377211:field0:-56807877:2032869390:-165488160:1762371712:"
		"-169193395:-1039977118:-10",
		"user8517097267634966620:field0:-557952823:-1809000828:-1392091277:962494139:"
		"111674936:1367579768:-15",
	};
	static const char *const settings[] = { "valuesize=100", "dataintegrity=true",
						NULL };
	struct workload w = make_workload("c", settings);
	struct kv_buf value = { 0 };
	uint64_t sum = 0, i;

	(void)state;
	for (i = 0; i < 2; i++) {
		assert_int_equal(record_value(&w, i, 7, &value), 0);
		assert_int_equal(value.len, 100);
		assert_memory_equal(value.data, want[i], 100);
		assert_int_equal(record_touch(&w, i, 0, kv_slice(want[i], 100), &sum), 0);
		assert_int_equal(record_touch(&w, i, 0, kv_slice(want[!i], 100), &sum),
				 -EBADMSG);
	}
	kv_buf_free(&value);
}

/* Java's String.hashCode() of a text, done over from the start, as YCSB does it. */
static void test_checkable_values_of_any_length(void **state)
{
	static const char *const settings[] = { "valuesize=700", "dataintegrity=true",
						"fieldnameprefix=f", NULL };
	struct workload w = make_workload("c", settings);
	struct kv_buf value = { 0 };
	char text[800];
	uint64_t keynum;

	(void)state;
	for (keynum = 0; keynum < 300; keynum++) {
		size_t n = record_key(&w, keynum, text);

		memcpy(text + n, ":f0", 3);
		for (n += 3; n < 700;) {
			uint32_t hash = 0;
			size_t i;

			text[n++] = ':';
			for (i = 0; i < n; i++)
				hash = hash * 31 + (unsigned char)text[i];
			n += (size_t)snprintf(text + n, 16, "%d", (int32_t)hash);
		}
		w.field_length = (uint32_t)(keynum * 7 % 701);
		assert_int_equal(record_value(&w, keynum, 0, &value), 0);
		assert_int_equal(value.len, w.field_length);
		if (value.len)
			assert_memory_equal(value.data, text, value.len);
	}
	kv_buf_free(&value);
}

static void expect_near(double came, double want)
{
	if (!(fabs(came - want) <= 1e-12 * fabs(want)))
		fail_msg("came %.17g, expected %.17g", came, want);
}

static void test_zipfian_constants(void **state)
{
	struct zipfian z;

	(void)state;
	expect_near(zeta(2, 0.99), 1.5034777750283594);
	expect_near(zeta(999, 0.99), 7.727881697979501);
	expect_near(zeta(1000, 0.99), 7.728953217284738);
	expect_near(zeta(999999, 0.99), 15.391848597883182);
	expect_near(zeta(1000000, 0.99), 15.391849746036804);
	expect_near(zeta(10000000000, 0.99), 26.46902820175149);
	zipfian_init(&z, 1000, YCSB_ZIPFIAN_THETA);
	assert_true(z.alpha == 99.99999999999991);
	assert_true(z.zeta_2 == 1.5034777750283594);
	expect_near(z.zeta_n, 7.728953217284738);
	expect_near(z.eta, 0.07480608670689803);
	zipfian_init(&z, 1000000, YCSB_ZIPFIAN_THETA);
	expect_near(z.eta, 0.13629133339411065);
	zipfian_init_scrambled(&z);
	assert_int_equal(z.items, 10000000001);
	expect_near(z.eta, 0.21220003380967406);
}

/* Where the sum passes into the formula, and for exponents on both sides of 1. */
static void test_zeta_formula_continues_the_sum(void **state)
{
	static const double theta[] = { 0.3, 0.99, 1, 1.5 };
	size_t k;
	uint64_t i;

	(void)state;
	for (k = 0; k < sizeof(theta) / sizeof(theta[0]); k++) {
		double sum = 0, carry = 0;

		for (i = 1; i <= 200000; i++) { /* Kahan's summation */
			double y = pow((double)i, -theta[k]) - carry, t = sum + y;

			carry = t - sum - y;
			sum = t;
			if (i % 65536 <= 1 || i == 200000)
				expect_near(zeta(i, theta[k]), sum);
		}
	}
}

static const struct {
	double u;
	uint64_t plain_1000, plain_1e6, inner, core_1000, core_1e6;
} ranks[] = {
	{ 0.0, 0, 0, 0, 144, 801320 },
	{ 0.03, 0, 0, 0, 144, 801320 },
	{ 0.04, 0, 0, 1, 610, 216074 },
	{ 0.06, 0, 0, 2, 213, 971811 },
	{ 0.1, 0, 2, 6, 942, 293804 },
	{ 0.2, 2, 9, 83, 421, 472114 },
	{ 0.25, 3, 20, 296, 809, 84930 },
	{ 0.3, 4, 44, 1038, 824, 25428 },
	{ 0.4, 10, 197, 12175, 847, 154629 },
	{ 0.5, 22, 860, 134552, 367, 686676 },
	{ 0.6, 47, 3676, 1405413, 108, 517910 },
	{ 0.7, 103, 15380, 13910962, 11, 508720 },
	{ 0.75, 151, 31220, 42924421, 767, 874340 },
	{ 0.8, 221, 63060, 130797456, 104, 168764 },
	{ 0.9, 471, 253526, 1170869537, 991, 736200 },
	{ 0.95, 687, 504700, 3441530154, 280, 10321 },
	{ 0.99, 927, 872507, 8086205587, 745, 153002 },
	{ 0.999, 992, 986462, 9790013524, 483, 896839 },
	{ 0.999999, 999, 999986, 9999787803, 383, 634191 },
};

static void test_zipfian_ranks(void **state)
{
	struct zipfian small, large, inner;
	struct modulus of_1001 = modulus_of(1001), of_1000001 = modulus_of(1000001);
	size_t i;

	(void)state;
	zipfian_init(&small, 1000, YCSB_ZIPFIAN_THETA);
	zipfian_init(&large, 1000000, YCSB_ZIPFIAN_THETA);
	zipfian_init_scrambled(&inner);
	for (i = 0; i < sizeof(ranks) / sizeof(ranks[0]); i++) {
		uint64_t rank = zipfian_rank(&inner, ranks[i].u);

		assert_int_equal(zipfian_rank(&small, ranks[i].u), ranks[i].plain_1000);
		assert_int_equal(zipfian_rank(&large, ranks[i].u), ranks[i].plain_1e6);
		assert_int_equal(rank, ranks[i].inner);
		assert_int_equal(modulus_reduce(&of_1001, ycsb_hash(rank)),
				 ranks[i].core_1000);
		assert_int_equal(modulus_reduce(&of_1000001, ycsb_hash(rank)),
				 ranks[i].core_1e6);
	}
}

static void test_largest_random_number_stays_in_range(void **state)
{
	static const uint64_t items[] = {
		0, 1, 2, 3, 10, 999, 1000, 1000000, 10000000001
	};
	const double last = 1 - 0x1.0p-53;
	struct zipfian z;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(items) / sizeof(items[0]); i++) {
		zipfian_init(&z, items[i], YCSB_ZIPFIAN_THETA);
		assert_true(zipfian_rank(&z, last) < (items[i] ? items[i] : 1));
		assert_int_equal(zipfian_rank(&z, 0), 0);
	}
	zipfian_init_scrambled(&z);
	assert_true(zipfian_rank(&z, last) < z.items);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hashed_keys_of_the_first_twenty),
		cmocka_unit_test(test_hashes_of_larger_numbers),
		cmocka_unit_test(test_hash_equals_its_definition),
		cmocka_unit_test(test_modulus_equals_division),
		cmocka_unit_test(test_ordered_and_padded_keys),
		cmocka_unit_test(test_every_power_of_ten_is_printed),
		cmocka_unit_test(test_lengths_of_a_million_keys),
		cmocka_unit_test(test_checkable_values),
		cmocka_unit_test(test_checkable_values_of_any_length),
		cmocka_unit_test(test_zipfian_constants),
		cmocka_unit_test(test_zeta_formula_continues_the_sum),
		cmocka_unit_test(test_zipfian_ranks),
		cmocka_unit_test(test_largest_random_number_stays_in_range),
	};

	return cmocka_run_group_tests_name("ycsb_golden", tests, NULL, NULL);
}
