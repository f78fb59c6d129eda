/* SPDX-License-Identifier: MIT */
/*
 * check.c - grades exercise 1.2: the dynamic array.
 */
#include "../../../harness/learn/learn.h"
#include "../../dynarray.h"

#define CHAPTER "docs/sprint-1-core-memory.md, \"Arrays that grow\""
#define HEADER  "sprint-1-core-memory/dynarray.h"

struct item { /* of a size that is no power of two */
	uint32_t number, twice, thrice;
};

static struct item item_of(uint32_t number)
{
	return (struct item){ number, 2 * number, 3 * number };
}

static void push(struct dynarray *a, uint32_t number)
{
	struct item item = item_of(number);

	learn_pointer("what dynarray_push() returns", dynarray_push(a, &item));
}

static void expect_numbers(const struct dynarray *a, const uint32_t *number, size_t n)
{
	size_t i;

	learn_number("a.n, the number of items", a->n, n);
	for (i = 0; i < n; i++) {
		struct item want = item_of(number[i]);

		learn_bytes(learn_text("item %zu", i), dynarray_at(a, i), &want,
			    sizeof(want));
	}
}

static void test_push_appends(void **state)
{
	enum { N = 1000 };
	static uint32_t number[N];
	struct dynarray a;
	uint32_t i;

	(void)state;
	dynarray_init(&a, sizeof(struct item));
	for (i = 0; i < N; i++) {
		push(&a, i);
		number[i] = i;
		learn_expect(a.cap >= a.n, "room (a.cap) for as many items as there are",
			     "a.cap is %zu, a.n is %zu", a.cap, a.n);
	}
	expect_numbers(&a, number, N);
	dynarray_free(&a);
}

static void test_insert_moves_what_is_behind(void **state)
{
	static const uint32_t want[] = { 7, 1, 8, 2, 3, 9 };
	struct dynarray a;
	struct item item, zero = { 0 };
	void *at;

	(void)state;
	dynarray_init(&a, sizeof(item));
	push(&a, 1);
	push(&a, 2);
	push(&a, 3);
	item = item_of(7);
	at = dynarray_insert(&a, 0, &item);
	learn_expect(at == dynarray_at(&a, 0), "insert at 0 returns the place of item 0",
		     "%p, and item 0 is at %p", at, dynarray_at(&a, 0));
	item = item_of(8);
	dynarray_insert(&a, 2, &item);
	item = item_of(9);
	dynarray_insert(&a, 5, &item);
	expect_numbers(&a, want, 6);
	at = dynarray_insert(&a, 3, NULL);
	learn_pointer("what insert of NULL returns", at);
	learn_bytes("an item inserted as NULL", at, &zero, sizeof(zero));
	dynarray_free(&a);
}

static void test_insert_in_front_again_and_again(void **state)
{
	enum { N = 100 };
	static uint32_t number[N];
	struct dynarray a;
	struct item item;
	uint32_t i;

	(void)state;
	dynarray_init(&a, sizeof(item));
	for (i = 0; i < N; i++) {
		item = item_of(N - 1 - i);
		learn_pointer("what dynarray_insert() returns",
			      dynarray_insert(&a, 0, &item));
		number[i] = i;
	}
	expect_numbers(&a, number, N);
	dynarray_free(&a);
}

static void test_remove_closes_the_gap(void **state)
{
	static const uint32_t want[] = { 0, 4, 5, 6, 7 };
	struct dynarray a;
	uint32_t i;

	(void)state;
	dynarray_init(&a, sizeof(struct item));
	dynarray_remove(&a, 0, 0);
	for (i = 0; i < 10; i++)
		push(&a, i);
	dynarray_remove(&a, 1, 3);
	dynarray_remove(&a, 2, 0);
	dynarray_remove(&a, 5, 2);
	expect_numbers(&a, want, 5);
	dynarray_free(&a);
}

static void test_reserve_is_exact_and_never_shrinks(void **state)
{
	struct dynarray a;
	uint64_t calls;
	int i;

	(void)state;
	dynarray_init(&a, 8);
	learn_error("dynarray_reserve(&a, 100)", dynarray_reserve(&a, 100), 0);
	learn_number("a.cap after reserving 100", a.cap, 100);
	learn_error("dynarray_reserve(&a, 10)", dynarray_reserve(&a, 10), 0);
	learn_number("a.cap after reserving 10 more modestly", a.cap, 100);
	calls = port_fault_calls();
	for (i = 0; i < 100; i++)
		dynarray_push(&a, NULL);
	learn_number("the allocations made by 100 pushes into reserved room",
		     port_fault_calls() - calls, 0);
	dynarray_free(&a);
}

static void test_growth_is_amortised(void **state)
{
	enum { N = 100000 };
	size_t copied = 0, n, cap;
	struct dynarray a;

	(void)state;
	dynarray_init(&a, 1);
	for (n = 1; n <= N; n++) {
		cap = a.cap;
		learn_pointer("what dynarray_push() returns", dynarray_push(&a, NULL));
		if (a.cap != cap)
			copied += cap;
		learn_expect(copied <= 3 * n, "n pushes copy at most 3 n items",
			     "%zu copied by %zu pushes", copied, n);
		learn_expect(a.cap - n <= n / 2 + 8,
			     "no more than half of the room, and 8, lies idle",
			     "%zu items in room for %zu", n, a.cap);
	}
	dynarray_free(&a);
}

static void test_out_of_memory_changes_nothing(void **state)
{
	static const uint32_t want[] = { 0, 1, 2, 3, 4, 5, 6, 7 };
	struct item item = item_of(9);
	struct dynarray a;
	void *items;
	uint32_t i;

	(void)state;
	dynarray_init(&a, sizeof(item));
	for (i = 0; i < 8; i++)
		push(&a, i);
	learn_error("dynarray_reserve(&a, 8)", dynarray_reserve(&a, 8), 0);
	learn_number("a.cap after 8 pushes", a.cap, 8);
	items = a.items;
	port_fault_set(1, false); /* from now on every allocation fails */
	learn_expect(!dynarray_insert(&a, 3, &item),
		     "dynarray_insert() returns NULL when memory runs out", "a pointer");
	learn_error("dynarray_reserve() when memory runs out", dynarray_reserve(&a, 9),
		    -ENOMEM);
	learn_expect(a.items == items, "a.items leads to the block of before the failure",
		     a.items ? "it leads elsewhere"
			     : "it is NULL, and the block is lost");
	learn_number("a.cap after the failure", a.cap, 8);
	expect_numbers(&a, want, 8);
	port_fault_set(0, false);
	learn_pointer("what a push returns when there is memory again",
		      dynarray_push(&a, &item));
	dynarray_free(&a);
}

static void test_sizes_that_overflow_are_refused(void **state)
{
	struct dynarray a;
	size_t cap;
	int i;

	(void)state;
	dynarray_init(&a, 16);
	dynarray_push(&a, NULL);
	/* Multiplied by 16, all of them wrap to a few bytes. */
	for (i = 0; i < 4; i++) {
		cap = ((size_t)1 << 60) + (size_t)i + (i ? 0 : 1);
		learn_error(
			learn_text("dynarray_reserve(&a, %zu) of items of 16 bytes", cap),
			dynarray_reserve(&a, cap), -ENOMEM);
	}
	learn_error("dynarray_reserve(&a, SIZE_MAX)", dynarray_reserve(&a, SIZE_MAX),
		    -ENOMEM);
	learn_expect(a.cap < 100, "room for a few items", "a.cap is %zu", a.cap);
	dynarray_free(&a);
}

static void bench_push(uint64_t n)
{
	struct dynarray a;
	uint64_t i;

	dynarray_init(&a, sizeof(i));
	for (i = 0; i < n; i++)
		dynarray_push(&a, &i);
	dynarray_free(&a);
}

static const struct learn_test tests[] = {
	LEARN_TEST(test_push_appends, 2, CHAPTER),
	LEARN_TEST(test_insert_moves_what_is_behind, 2, HEADER),
	LEARN_TEST(test_insert_in_front_again_and_again, 1, HEADER),
	LEARN_TEST(test_remove_closes_the_gap, 1, HEADER),
	LEARN_TEST(test_reserve_is_exact_and_never_shrinks, 1, HEADER),
	LEARN_TEST(test_growth_is_amortised, 2, CHAPTER),
	LEARN_TEST(test_out_of_memory_changes_nothing, 3, CHAPTER),
	LEARN_TEST(test_sizes_that_overflow_are_refused, 2, HEADER),
};
static const struct learn_speed speeds[] = { { "push", bench_push, 200000 } };

LEARN_MAIN(tests, speeds)
