/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_search_tests.c - both forms of the search among heads against counting, and that
 * neither reads behind the array nor answers beyond it, sorted or not.
 */
#include "../../sprint-1-core-memory/tests/core_random.h"
#include "../../sprint-1-core-memory/tests/test_scale.h"
#include "../btree_search.h"
#include "btree_guard.h"

#include <setjmp.h>

#include <cmocka.h>

enum { HEADS_MAX = 700 };

static int set_up(void **state)
{
	(void)state;
	core_random_start();
	return 0;
}

static unsigned int count_less(const uint32_t *head, unsigned int n, uint32_t key)
{
	unsigned int i, less = 0;

	for (i = 0; i < n; i++)
		less += head[i] < key;
	return less;
}

static void check_all_forms(const uint32_t *head, unsigned int n, uint32_t key)
{
	const unsigned int expected = count_less(head, n, key);

	assert_int_equal(btree_search_heads_scalar(head, n, key), expected);
	assert_int_equal(btree_search_heads_simd(head, n, key), expected);
	assert_int_equal(btree_search_heads(head, n, key), expected);
}

static int compare_heads(const void *a, const void *b)
{
	const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* Numbers of so many different values, the smallest and the largest among them. */
static void fill_sorted(uint32_t *head, unsigned int n, uint32_t values)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		uint32_t v = (uint32_t)core_random_below(values);

		head[i] = v * (UINT32_MAX / values);
		if (v == values - 1)
			head[i] = UINT32_MAX;
	}
	qsort(head, n, sizeof(*head), compare_heads);
}

static void check_sorted(const uint32_t *head, unsigned int n)
{
	unsigned int i;

	check_all_forms(head, n, 0);
	check_all_forms(head, n, 1);
	check_all_forms(head, n, 0x7fffffff);
	check_all_forms(head, n, 0x80000000);
	check_all_forms(head, n, UINT32_MAX);
	for (i = 0; i < n; i++) {
		check_all_forms(head, n, head[i]);
		check_all_forms(head, n, head[i] - 1);
		check_all_forms(head, n, head[i] + 1);
	}
}

static void test_sorted_heads_of_every_count(void **state)
{
	static const uint32_t values[] = { 1, 2, 5, 100, 0x10000, 0x7fffffff };
	unsigned int n, i, step = (unsigned int)test_scale() > 1 ? 7 : 1;

	(void)state;
	print_message("seed 0x%x, simd: %s\n", CORE_SEED, btree_search_name());
	for (n = 0; n <= HEADS_MAX; n += n < 70 ? 1 : step * 13) {
		for (i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
			struct guard g = guard_new(n * sizeof(uint32_t));

			fill_sorted(guard_end(&g), n, values[i]);
			check_sorted(guard_end(&g), n);
			fill_sorted(guard_begin(&g), n, values[i]);
			check_sorted(guard_begin(&g), n);
			guard_free(&g);
		}
	}
}

static void test_unsorted_heads_give_an_index(void **state)
{
	unsigned int round, n, rounds = (unsigned int)test_draws(20000) + 100;
	struct guard g = guard_new(HEADS_MAX * sizeof(uint32_t));
	uint32_t *end = (uint32_t *)guard_end(&g) + HEADS_MAX;

	(void)state;
	for (round = 0; round < rounds; round++) {
		uint32_t key = (uint32_t)core_random();

		n = (unsigned int)core_random_below(round % 2 ? 40 : HEADS_MAX + 1);
		core_random_bytes(end - n, n * sizeof(uint32_t));
		assert_true(btree_search_heads_scalar(end - n, n, key) <= n);
		assert_true(btree_search_heads_simd(end - n, n, key) <= n);
	}
	guard_free(&g);
}

static void test_simd_is_there_where_the_machine_has_it(void **state)
{
	(void)state;
#if defined(__aarch64__)
	assert_string_equal(btree_search_name(), "neon");
#elif defined(__SSE2__)
	assert_string_equal(btree_search_name(), "sse2");
#else
	assert_string_equal(btree_search_name(), "scalar");
#endif
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sorted_heads_of_every_count),
		cmocka_unit_test(test_unsorted_heads_give_an_index),
		cmocka_unit_test(test_simd_is_there_where_the_machine_has_it),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
