/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * neon_lsm_tests.c - every form of each operation against the plainest possible one, that none
 * reads beyond what it is given, and the filters' bits and false positives.
 */
#include "../../sprint-1-core-memory/tests/core_random.h"
#include "../../sprint-1-core-memory/tests/test_scale.h"
#include "../../sprint-3-btree-storage/tests/btree_guard.h"
#include "../neon_lsm_ops.h"

#include <math.h>
#include <setjmp.h>

#include <cmocka.h>

enum { HEADS_MAX = 300, KEY_MAX = 150 };

static int set_up(void **state)
{
	(void)state;
	core_random_start();
	return 0;
}

/* ---- filters ---- */

static void test_hash_of_a_key_is_xxh3_for_ever(void **state)
{
	(void)state;
	print_message("seed 0x%x, simd: %s\n", CORE_SEED, lsm_simd_name());
	assert_true(lsm_key_hash(kv_slice(NULL, 0)) == 0x2d06800538d394c2u);
	assert_true(lsm_key_hash(kv_str("user0001")) == lsm_key_hash(kv_str("user0001")));
	assert_true(lsm_key_hash(kv_str("abc")) == 0x78af5f94892f3950u);
}

/* Filters are on disk: these bits may never change. */
static void test_filter_bits_are_pinned(void **state)
{
	static const unsigned int expected[] = { 4,   26,  64,  84,  91,  158, 174, 244,
						 259, 292, 319, 373, 382, 463, 469, 507 };
	uint8_t filter[128] = { 0 };
	unsigned int bit, found = 0;

	(void)state;
	lsm_filter_add(filter, sizeof(filter), 16, 0x92345678deadbeefu);
	assert_true(
		core_is_filled(filter, 64, 0)); /* the upper half of hashes: block 1 */
	for (bit = 0; bit < 512; bit++)
		if (filter[64 + bit / 8] & 1u << bit % 8) {
			assert_true(found < 16);
			assert_int_equal(bit, expected[found]);
			found++;
		}
	assert_int_equal(found, 16);
}

static void test_filter_has_what_was_added_for_every_number_of_probes(void **state)
{
	enum { KEYS = 3000 };
	static uint64_t hash[KEYS];
	unsigned int probes;
	size_t i, bytes;
	uint8_t *filter;

	(void)state;
	for (i = 0; i < KEYS; i++)
		hash[i] = core_random();
	for (probes = 1; probes <= 16; probes++) {
		bytes = lsm_filter_bytes(KEYS, 2 * probes);
		filter = calloc(1, bytes);
		assert_non_null(filter);
		for (i = 0; i < KEYS; i++)
			lsm_filter_add(filter, bytes, probes, hash[i]);
		for (i = 0; i < KEYS; i++) {
			assert_true(lsm_filter_test(filter, bytes, probes, hash[i]));
			assert_true(
				lsm_filter_test_scalar(filter, bytes, probes, hash[i]));
			assert_true(lsm_filter_test_simd(filter, bytes, probes, hash[i]));
		}
		free(filter);
	}
}

/* Each bit alone missing from a full block, each probe: lanes that do not count are seen. */
static void test_filter_forms_agree_on_every_block(void **state)
{
	const size_t rounds = test_draws(200000) + 2000;
	uint8_t filter[3 * LSM_FILTER_BLOCK];
	size_t i, no = 0;

	(void)state;
	for (i = 0; i < rounds; i++) {
		const unsigned int probes = 1 + (unsigned int)core_random_below(16);
		const size_t bytes = LSM_FILTER_BLOCK * (1 + core_random_below(3));
		const uint64_t hash = core_random();
		bool expected;

		if (i % 2) {
			memset(filter, 0xff, sizeof(filter));
			filter[core_random_below(bytes)] =
				(uint8_t) ~(1u << core_random_below(8));
			filter[core_random_below(bytes)] = 0;
		} else {
			core_random_bytes(filter, bytes);
			lsm_filter_add(filter, bytes, probes - 1, hash);
		}
		expected = lsm_filter_test_scalar(filter, bytes, probes, hash);
		assert_int_equal(lsm_filter_test_simd(filter, bytes, probes, hash),
				 expected);
		assert_int_equal(lsm_filter_test(filter, bytes, probes, hash), expected);
		no += !expected;
	}
	assert_in_range(no, rounds / 20, rounds - rounds / 20);
}

/* The share of false positives when keys fall on blocks by chance (Putze and others 2007). */
static double theory(double bits_per_key, unsigned int probes)
{
	const double keys = 512 / bits_per_key;
	double share = 0, chance = exp(-keys);
	int n;

	for (n = 0; n < 2000; n++) {
		if (n)
			chance *= keys / n;
		share += chance * pow(1 - pow(1 - 1.0 / 512, n * (double)probes), probes);
	}
	return share;
}

static void test_filter_errs_as_theory_says(void **state)
{
	static const unsigned int bits[] = { 4, 6, 8, 10, 12 };
	const size_t keys = 100000, asked = 2000000 / test_scale();
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
		const unsigned int probes = lsm_filter_probes(bits[i]);
		const size_t bytes = lsm_filter_bytes(keys, bits[i]);
		const double expected = theory(bits[i], probes) * (double)asked;
		uint8_t *filter = calloc(1, bytes);
		size_t k, wrong = 0;

		assert_non_null(filter);
		for (k = 0; k < keys; k++)
			lsm_filter_add(filter, bytes, probes,
				       lsm_key_hash(kv_slice(&k, sizeof(k))));
		for (; k < keys + asked; k++)
			wrong += lsm_filter_test(filter, bytes, probes,
						 lsm_key_hash(kv_slice(&k, sizeof(k))));
		print_message("%2u bits, %u probes: %.3f%%, in theory %.3f%%\n", bits[i],
			      probes, 100.0 * (double)wrong / (double)asked,
			      100 * theory(bits[i], probes));
		/* Chance, and blocks that are not quite Poisson's. */
		assert_true(fabs((double)wrong - expected) <
			    5 * sqrt(expected) + 0.05 * expected);
		free(filter);
	}
}

static void test_filter_takes_the_best_number_of_probes(void **state)
{
	unsigned int bits, probes, best;

	(void)state;
	for (bits = 1; bits <= 30; bits++) {
		for (best = 1, probes = 2; probes <= 16; probes++)
			if (theory(bits, probes) < theory(bits, best))
				best = probes;
		assert_int_equal(lsm_filter_probes(bits), best);
	}
	assert_in_range(lsm_filter_probes(0), 1, 16);
	assert_in_range(lsm_filter_probes(UINT32_MAX), 1, 16);
}

static void test_filter_of_nothing_excludes_nothing(void **state)
{
	(void)state;
	assert_int_equal(lsm_filter_bytes(0, 10), 0);
	assert_int_equal(lsm_filter_bytes(10, 0), 0);
	assert_int_equal(lsm_filter_bytes(1, 10), 64);
	assert_int_equal(lsm_filter_bytes(51, 10), 64);
	assert_int_equal(lsm_filter_bytes(52, 10), 128);
	assert_true(lsm_filter_bytes(SIZE_MAX / 32, 10) > SIZE_MAX / 32);
	lsm_filter_add(NULL, 0, 6, 1);
	lsm_filter_prefetch(NULL, 0, 1);
	assert_true(lsm_filter_test(NULL, 0, 6, 1));
	assert_true(lsm_filter_test_scalar(NULL, 0, 6, 1));
	assert_true(lsm_filter_test_simd(NULL, 0, 6, 1));
}

/* ---- comparison ---- */

static int sign(int v)
{
	return (v > 0) - (v < 0);
}

static void check_keys(struct kv_slice a, struct kv_slice b)
{
	const int order = sign(kv_compare(a, b));
	const uint8_t *p = a.data, *q = b.data;
	size_t shared = 0;

	while (shared < a.len && shared < b.len && p[shared] == q[shared])
		shared++;
	assert_int_equal(sign(lsm_key_compare(a, b)), order);
	assert_int_equal(sign(lsm_key_compare_scalar(a, b)), order);
	assert_int_equal(sign(lsm_key_compare_simd(a, b)), order);
	assert_int_equal(sign(lsm_key_compare(b, a)), -order);
	assert_int_equal(sign(lsm_key_compare_scalar(b, a)), -order);
	assert_int_equal(sign(lsm_key_compare_simd(b, a)), -order);
	assert_int_equal(lsm_key_shared(a, b), shared);
	assert_int_equal(lsm_key_shared_scalar(a, b), shared);
	assert_int_equal(lsm_key_shared_simd(a, b), shared);
}

/* Keys at the ends of readable memory, equal but for one byte. */
static void check_lengths(struct guard *g, struct guard *h, size_t n, size_t m)
{
	uint8_t *a = (uint8_t *)guard_end(g) + KEY_MAX - n;
	uint8_t *b = (uint8_t *)guard_end(h) + KEY_MAX - m;
	const size_t both = n < m ? n : m;
	size_t at;

	core_random_bytes(a, n);
	core_random_bytes(b, m);
	memcpy(b, a, both);
	check_keys(kv_slice(a, n), kv_slice(b, m));
	for (at = 0; at < both; at++) {
		b[at] = (uint8_t)(a[at] ^ (uint8_t)(1u << core_random_below(8)));
		check_keys(kv_slice(a, n), kv_slice(b, m));
		if (at + 1 < both) /* what follows the first difference says nothing */
			b[both - 1] = (uint8_t)core_random();
		check_keys(kv_slice(a, n), kv_slice(b, m));
		memcpy(b, a, both);
	}
}

static void test_keys_of_every_length_compare_as_bytes(void **state)
{
	struct guard g = guard_new(KEY_MAX), h = guard_new(KEY_MAX);
	const size_t step = test_scale() > 1 ? 5 : 1;
	size_t n, m;

	(void)state;
	check_keys(kv_slice(NULL, 0), kv_slice(NULL, 0));
	check_keys(kv_slice(NULL, 0), kv_slice("", 1));
	for (n = 0; n <= KEY_MAX; n += n < 40 ? 1 : 11)
		for (m = n % 3; m <= KEY_MAX; m += m < 40 ? step : 11)
			check_lengths(&g, &h, n, m);
	for (n = 0; n < 3; n++) /* from the first byte that can be read, too */
		check_keys(kv_slice(guard_begin(&g), 40 + n),
			   kv_slice(guard_begin(&h), 41));
	guard_free(&g);
	guard_free(&h);
}

/* ---- search ---- */

static int compare_heads(const void *a, const void *b)
{
	const uint32_t x = port_get_le32(a), y = port_get_le32(b);

	return (x > y) - (x < y);
}

static void check_head(const uint8_t *heads, unsigned int n, uint32_t head)
{
	unsigned int i, less = 0;

	for (i = 0; i < n; i++)
		less += port_get_le32(heads + 4 * i) < head;
	assert_int_equal(lsm_search_heads(heads, n, head), less);
	assert_int_equal(lsm_search_heads_scalar(heads, n, head), less);
	assert_int_equal(lsm_search_heads_simd(heads, n, head), less);
}

static void fill_heads(uint8_t *heads, unsigned int n, uint32_t values)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		uint32_t v = (uint32_t)core_random_below(values);

		port_put_le32(heads + 4 * i,
			      v == values - 1 ? UINT32_MAX : v * (UINT32_MAX / values));
	}
	qsort(heads, n, 4, compare_heads);
}

static void test_heads_of_every_count_and_address(void **state)
{
	static const uint32_t values[] = { 1, 2, 7, 100, 0x10000, 0x7fffffff };
	const unsigned int step = test_scale() > 1 ? 5 : 1;
	unsigned int n, i, k, off;

	(void)state;
	for (n = 0; n <= HEADS_MAX; n += n < 70 ? step : 23)
		for (i = 0; i < sizeof(values) / sizeof(values[0]); i++)
			for (off = 0; off < 4; off += 1 + (n > 40)) {
				struct guard g = guard_new(4 * n + off);
				uint8_t *heads = guard_end(&g);

				fill_heads(heads, n, values[i]);
				check_head(heads, n, 0);
				check_head(heads, n, 0x80000000);
				check_head(heads, n, UINT32_MAX);
				for (k = 0; k < n; k += 1 + n / 40) {
					uint32_t head = port_get_le32(heads + 4 * k);

					check_head(heads, n, head);
					check_head(heads, n, head - 1);
					check_head(heads, n, head + 1);
				}
				guard_free(&g);
			}
}

static void test_simd_is_there_where_the_machine_has_it(void **state)
{
	(void)state;
#if defined(__aarch64__)
	assert_string_equal(lsm_simd_name(), "neon");
#elif defined(__x86_64__)
	assert_string_equal(lsm_simd_name(),
			    __builtin_cpu_supports("avx2") ? "avx2" : "sse2");
#else
	assert_string_equal(lsm_simd_name(), "scalar");
#endif
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hash_of_a_key_is_xxh3_for_ever),
		cmocka_unit_test(test_filter_bits_are_pinned),
		cmocka_unit_test(
			test_filter_has_what_was_added_for_every_number_of_probes),
		cmocka_unit_test(test_filter_forms_agree_on_every_block),
		cmocka_unit_test(test_filter_errs_as_theory_says),
		cmocka_unit_test(test_filter_takes_the_best_number_of_probes),
		cmocka_unit_test(test_filter_of_nothing_excludes_nothing),
		cmocka_unit_test(test_keys_of_every_length_compare_as_bytes),
		cmocka_unit_test(test_heads_of_every_count_and_address),
		cmocka_unit_test(test_simd_is_there_where_the_machine_has_it),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
