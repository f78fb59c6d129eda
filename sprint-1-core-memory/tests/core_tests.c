/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * core_tests.c - the arena, the dynamic array, and the distance of names.
 */
#include "../arena.h"
#include "../dynarray.h"
#include "../name_distance.h"
#include "core_random.h"
#include "leak_check.h"

/* Each test begins with the same random numbers and ends with nothing allocated. */
static int set_up(void **state)
{
	core_random_start();
	return leak_check_set_up(state);
}

/* ---- arena ---- */

static void test_arena_gives_aligned_memory_that_no_other_has(void **state)
{
	enum { N = 3000 };
	static struct {
		uint8_t *p;
		size_t n;
	} got[N];
	struct arena a;
	size_t i, handed_out = 0;

	(void)state;
	arena_init(&a, 1000);
	for (i = 0; i < N; i++) {
		size_t align = (size_t)1 << core_random_below(i % 50 ? 6 : 13);
		size_t n = core_random_below(i % 20 ? 60 : 3000);

		got[i].p = arena_alloc(&a, n, align);
		got[i].n = n;
		assert_non_null(got[i].p);
		assert_int_equal((uintptr_t)got[i].p % align, 0);
		memset(got[i].p, (int)(i & 0xff), n);
		handed_out += n;
		assert_true(a.used >= handed_out);
		assert_true(a.capacity >= a.used);
		assert_int_equal(a.capacity, port_fault_live_bytes());
	}
	for (i = 0; i < N; i++)
		assert_true(core_is_filled(got[i].p, got[i].n, (uint8_t)i));
	arena_free(&a);
	assert_int_equal(port_fault_live(), 0);
}

static void test_arena_packs_neighbours(void **state)
{
	struct arena a;
	uint8_t *first, *second, *third;

	(void)state;
	arena_init(&a, 4096);
	assert_int_equal(port_fault_live(), 0);
	first = arena_alloc(&a, 5, 1);
	second = arena_alloc(&a, 3, 1);
	third = arena_alloc(&a, 8, 8);
	assert_ptr_equal(second, first + 5);
	assert_ptr_equal(third, first + 8);
	assert_int_equal(a.used, 16);
	assert_int_equal(port_fault_live(), 1);
	arena_free(&a);
}

static void test_arena_large_request_leaves_the_newest_chunk_in_use(void **state)
{
	struct arena a;
	uint8_t *before, *large, *after;

	(void)state;
	arena_init(&a, 1024);
	before = arena_alloc(&a, 16, 16);
	large = arena_alloc(&a, 100000, 16);
	after = arena_alloc(&a, 16, 16);
	assert_ptr_equal(after, before + 16);
	memset(large, 1, 100000);
	assert_int_equal(port_fault_live(), 2);
	arena_free(&a);
}

static void test_arena_empty_requests_and_tiny_chunks(void **state)
{
	struct arena a;
	uint8_t *p;

	(void)state;
	arena_init(&a, 0);
	assert_int_equal(a.chunk_bytes, 256);
	assert_non_null(arena_alloc(&a, 0, 1));
	p = arena_alloc(&a, 1, 1);
	assert_non_null(p);
	*p = 1;
	arena_free(&a);
}

static void test_arena_is_usable_again_when_freed(void **state)
{
	struct arena a;
	int round;

	(void)state;
	arena_init(&a, 512);
	for (round = 0; round < 3; round++) {
		assert_int_equal(a.used, 0);
		assert_int_equal(a.capacity, 0);
		memset(arena_alloc(&a, 400, 8), round, 400);
		memset(arena_alloc(&a, 400, 8), round, 400);
		assert_int_equal(port_fault_live(), 2);
		arena_free(&a);
		assert_int_equal(port_fault_live(), 0);
	}
	arena_free(&a);
}

static void test_arena_out_of_memory_changes_nothing(void **state)
{
	struct arena a;
	size_t used, capacity;
	uint8_t *p;

	(void)state;
	arena_init(&a, 512);
	port_fault_set(1, true);
	assert_null(arena_alloc(&a, 8, 8));
	assert_int_equal(a.capacity, 0);
	p = arena_alloc(&a, 8, 8);
	assert_non_null(p);
	used = a.used;
	capacity = a.capacity;
	port_fault_set(1, false);
	assert_null(arena_alloc(&a, 5000, 8));
	assert_null(arena_alloc(&a, SIZE_MAX, 8));
	assert_null(arena_alloc(&a, SIZE_MAX - 8, 8));
	assert_null(arena_alloc(&a, SIZE_MAX - 4096, 4096));
	assert_int_equal(a.used, used);
	assert_int_equal(a.capacity, capacity);
	/* What is left of the chunk needs no allocation. */
	assert_ptr_equal(arena_alloc(&a, 8, 8), p + 8);
	arena_free(&a);
}

/* ---- dynamic array ---- */

struct item { /* of a size that is no power of two */
	uint32_t number;
	uint8_t more[8];
};

static struct item item_of(uint32_t number)
{
	struct item item = { .number = number };

	memset(item.more, (int)(number * 7 & 0xff), sizeof(item.more));
	return item;
}

static void expect_items(const struct dynarray *a, const struct item *model, size_t n)
{
	size_t i;

	assert_int_equal(a->n, n);
	assert_true(a->cap >= n);
	for (i = 0; i < n; i++)
		assert_memory_equal(dynarray_at(a, i), &model[i], sizeof(model[i]));
}

static void test_dynarray_does_as_a_plain_array(void **state)
{
	enum { MOST = 200, STEPS = 4000 };
	static struct item model[MOST];
	struct dynarray a;
	size_t n = 0, step, i, count;

	(void)state;
	dynarray_init(&a, sizeof(struct item));
	for (step = 0; step < STEPS; step++) {
		struct item item = item_of((uint32_t)step), *at;

		if (n < MOST && core_random_below(100) < 60) {
			i = core_random_below(4) ? core_random_below(n + 1) : n;
			memmove(&model[i + 1], &model[i], (n - i) * sizeof(model[0]));
			model[i] = item;
			n++;
			at = i == n - 1 ? dynarray_push(&a, &item)
					: dynarray_insert(&a, i, &item);
			assert_ptr_equal(at, dynarray_at(&a, i));
		} else {
			i = core_random_below(n + 1);
			count = core_random_below((n - i < 5 ? n - i : 5) + 1);
			n -= count;
			memmove(&model[i], &model[i + count], (n - i) * sizeof(model[0]));
			dynarray_remove(&a, i, count);
		}
		if (step % 16 == 0)
			expect_items(&a, model, n);
	}
	expect_items(&a, model, n);
	dynarray_free(&a);
	assert_int_equal(a.n, 0);
	assert_non_null(dynarray_push(&a, NULL));
	dynarray_free(&a);
}

static void test_dynarray_insert_of_null_is_zeros(void **state)
{
	struct item one = item_of(1), zero = { 0 }, *at;
	struct dynarray a;

	(void)state;
	dynarray_init(&a, sizeof(one));
	dynarray_push(&a, &one);
	dynarray_push(&a, &one);
	at = dynarray_insert(&a, 1, NULL);
	assert_memory_equal(at, &zero, sizeof(zero));
	assert_memory_equal(dynarray_at(&a, 0), &one, sizeof(one));
	assert_memory_equal(dynarray_at(&a, 2), &one, sizeof(one));
	dynarray_free(&a);
}

static void test_dynarray_remove_nothing_from_nothing(void **state)
{
	struct dynarray a;

	(void)state;
	dynarray_init(&a, 4);
	dynarray_remove(&a, 0, 0);
	assert_int_equal(a.n, 0);
	dynarray_free(&a);
}

/* What dynarray.c says of its growth: that is what makes a push O(1) on average. */
static void test_dynarray_growth_copies_at_most_three_items_a_push(void **state)
{
	enum { N = 100000 };
	struct dynarray a;
	size_t copied = 0, n;

	(void)state;
	dynarray_init(&a, 1);
	for (n = 1; n <= N; n++) {
		size_t cap = a.cap;

		assert_non_null(dynarray_push(&a, NULL));
		if (a.cap != cap)
			copied += cap;
		assert_true(copied <= 3 * n);
		assert_true(a.cap - n <= n / 2 + 8);
	}
	dynarray_free(&a);
}

static void test_dynarray_reserve_is_exact_and_never_shrinks(void **state)
{
	uint64_t calls = port_fault_calls();
	struct dynarray a;
	int i;

	(void)state;
	dynarray_init(&a, 8);
	assert_int_equal(dynarray_reserve(&a, 100), 0);
	assert_int_equal(a.cap, 100);
	assert_int_equal(dynarray_reserve(&a, 10), 0);
	assert_int_equal(a.cap, 100);
	for (i = 0; i < 100; i++)
		dynarray_push(&a, NULL);
	assert_int_equal(port_fault_calls() - calls, 1);
	dynarray_free(&a);
}

static void test_dynarray_out_of_memory_changes_nothing(void **state)
{
	struct item model[8], item;
	struct dynarray a;
	void *items;
	uint32_t i;

	(void)state;
	dynarray_init(&a, sizeof(item));
	port_fault_set(1, true);
	assert_null(dynarray_push(&a, NULL));
	assert_int_equal(a.n, 0);
	for (i = 0; i < 8; i++) {
		model[i] = item = item_of(i);
		assert_non_null(dynarray_push(&a, &item));
	}
	assert_int_equal(a.cap, 8);
	items = a.items;
	port_fault_set(1, false);
	assert_null(dynarray_insert(&a, 3, &item));
	assert_int_equal(dynarray_reserve(&a, 9), -ENOMEM);
	assert_int_equal(dynarray_reserve(&a, SIZE_MAX), -ENOMEM);
	assert_int_equal(dynarray_reserve(&a, SIZE_MAX / sizeof(item)), -ENOMEM);
	assert_ptr_equal(a.items, items);
	assert_int_equal(a.cap, 8);
	expect_items(&a, model, 8);
	dynarray_free(&a);
}

/* ---- distance of names ---- */

static size_t distance(const char *a, const char *b)
{
	return name_distance(a, strlen(a), b);
}

static void test_name_distance_of_known_pairs(void **state)
{
	(void)state;
	assert_int_equal(distance("", ""), 0);
	assert_int_equal(distance("abc", ""), 3);
	assert_int_equal(distance("", "abc"), 3);
	assert_int_equal(distance("abc", "abc"), 0);
	assert_int_equal(distance("kitten", "sitting"), 3);
	assert_int_equal(distance("scan", "sacn"), 2);
	assert_int_equal(distance("flaw", "lawn"), 2);
	assert_int_equal(name_distance("cache=1", 5, "cache"), 0);
}

/* The definition itself, by which the table is checked. */
static size_t distance_by_trying_all(const char *a, size_t m, const char *b, size_t n)
{
	size_t replaced, deleted, inserted, best;

	if (!m || !n)
		return m + n;
	replaced = distance_by_trying_all(a + 1, m - 1, b + 1, n - 1) + (*a != *b);
	deleted = distance_by_trying_all(a + 1, m - 1, b, n) + 1;
	inserted = distance_by_trying_all(a, m, b + 1, n - 1) + 1;
	best = deleted < inserted ? deleted : inserted;
	return replaced < best ? replaced : best;
}

static void test_name_distance_is_the_least_of_all_ways(void **state)
{
	unsigned int round, i;

	(void)state;
	for (round = 0; round < 500; round++) {
		size_t m = core_random_below(6), n = core_random_below(6);
		char a[8] = "", b[8] = "";

		for (i = 0; i < m; i++)
			a[i] = (char)('a' + core_random_below(3));
		for (i = 0; i < n; i++)
			b[i] = (char)('a' + core_random_below(3));
		assert_int_equal(distance(a, b), distance_by_trying_all(a, m, b, n));
	}
}

static void test_name_distance_of_long_names(void **state)
{
	char known[NAME_DISTANCE_MAX + 1], name[200];

	(void)state;
	memset(name, 'x', sizeof(name));
	memset(known, 'x', sizeof(known));
	known[NAME_DISTANCE_MAX] = '\0';
	assert_true(name_distance(name, sizeof(name), known) == SIZE_MAX);
	known[NAME_DISTANCE_MAX - 1] = '\0';
	assert_int_equal(name_distance(name, sizeof(name), known),
			 sizeof(name) - (NAME_DISTANCE_MAX - 1));
	assert_int_equal(name_distance(name, sizeof(name), "table"), sizeof(name));
}

#define CORE_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, leak_check_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CORE_TEST(test_arena_gives_aligned_memory_that_no_other_has),
		CORE_TEST(test_arena_packs_neighbours),
		CORE_TEST(test_arena_large_request_leaves_the_newest_chunk_in_use),
		CORE_TEST(test_arena_empty_requests_and_tiny_chunks),
		CORE_TEST(test_arena_is_usable_again_when_freed),
		CORE_TEST(test_arena_out_of_memory_changes_nothing),
		CORE_TEST(test_dynarray_does_as_a_plain_array),
		CORE_TEST(test_dynarray_insert_of_null_is_zeros),
		CORE_TEST(test_dynarray_remove_nothing_from_nothing),
		CORE_TEST(test_dynarray_growth_copies_at_most_three_items_a_push),
		CORE_TEST(test_dynarray_reserve_is_exact_and_never_shrinks),
		CORE_TEST(test_dynarray_out_of_memory_changes_nothing),
		CORE_TEST(test_name_distance_of_known_pairs),
		CORE_TEST(test_name_distance_is_the_least_of_all_ways),
		CORE_TEST(test_name_distance_of_long_names),
	};

	printf("# seed 0x%x\n", CORE_SEED);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
