/* SPDX-License-Identifier: MIT */
/*
 * check.c - grades exercise 1.5: the arena.
 */
#include "../../../harness/learn/learn.h"
#include "../../arena.h"

#define HEADER  "sprint-1-core-memory/arena.h"
#define CHAPTER "docs/sprint-1-core-memory.md, \"Arenas: one lifetime for many objects\""

static uint8_t *alloc(struct arena *a, size_t n, size_t align)
{
	uint8_t *p = arena_alloc(a, n, align);

	learn_pointer(learn_text("arena_alloc() of %zu bytes aligned to %zu", n, align),
		      p);
	learn_expect((uintptr_t)p % align == 0,
		     learn_text("an address that is a multiple of %zu", align),
		     "an address %zu bytes behind one", (size_t)((uintptr_t)p % align));
	return p;
}

static void test_neighbours_are_packed(void **state)
{
	struct arena a;
	uint8_t *first, *second, *third;

	(void)state;
	arena_init(&a, 4096);
	first = alloc(&a, 5, 1);
	second = alloc(&a, 3, 1);
	third = alloc(&a, 8, 8);
	learn_expect(second == first + 5, "the second object 5 bytes behind the first",
		     "%td bytes behind it", second - first);
	learn_expect(third - second < 16, "little between objects but padding",
		     "%td bytes", third - second);
	learn_number("the allocations that three small objects need", port_fault_live(),
		     1);
	learn_number("a.used, padding included", a.used, (uint64_t)(third - first) + 8);
	learn_expect(a.capacity >= 4000 && a.capacity <= 4096,
		     "a.capacity is what a chunk of 4096 bytes holds", "%zu", a.capacity);
	arena_free(&a);
}

static void test_objects_share_no_byte(void **state)
{
	enum { N = 2000 };
	static struct {
		uint8_t *p;
		size_t n;
	} got[N];
	struct arena a;
	size_t i, k;

	(void)state;
	arena_init(&a, 1000);
	for (i = 0; i < N; i++) {
		got[i].n = learn_random(i % 20 ? 60 : 3000);
		got[i].p =
			alloc(&a, got[i].n, (size_t)1 << learn_random(i % 50 ? 6 : 13));
		memset(got[i].p, (int)(i & 0xff), got[i].n);
	}
	for (i = 0; i < N; i++)
		for (k = 0; k < got[i].n; k++)
			learn_expect(got[i].p[k] == (uint8_t)i,
				     "what was written into an object is still there",
				     "object %zu of %d was overwritten by another", i, N);
	arena_free(&a);
	learn_number("the chunks that are left after arena_free()", port_fault_live(), 0);
}

static void test_a_large_request_leaves_the_newest_in_use(void **state)
{
	struct arena a;
	uint8_t *before, *large, *after;

	(void)state;
	arena_init(&a, 4096);
	before = alloc(&a, 16, 16);
	large = alloc(&a, 100000, 16);
	memset(large, 1, 100000);
	after = alloc(&a, 16, 16);
	learn_expect(
		after == before + 16,
		"a small object after a large one goes on in the chunk that was there",
		"another place");
	learn_number("the chunks for two small and a large object", port_fault_live(), 2);
	arena_free(&a);
}

static void test_a_large_request_comes_first(void **state)
{
	struct arena a;

	(void)state;
	arena_init(&a, 256);
	memset(alloc(&a, 5000, 64), 1, 5000);
	memset(alloc(&a, 100, 8), 2, 100);
	memset(alloc(&a, 5000, 4096), 3, 5000);
	alloc(&a, 0, 1);
	arena_free(&a);
	learn_number("a.used after arena_free()", a.used, 0);
	learn_number("a.capacity after arena_free()", a.capacity, 0);
	memset(alloc(&a, 50, 8), 4, 50);
	arena_free(&a);
}

static void test_sizes_that_overflow_are_refused(void **state)
{
	static const size_t n[] = { SIZE_MAX, SIZE_MAX - 8, SIZE_MAX - 100,
				    SIZE_MAX - 4096 };
	struct arena a;
	size_t i;

	(void)state;
	arena_init(&a, 512);
	alloc(&a, 1, 1);
	for (i = 0; i < 4; i++)
		learn_expect(!arena_alloc(&a, n[i], 4096),
			     learn_text("NULL for a request of %zu bytes", n[i]),
			     "a pointer, as if there were so much");
	arena_free(&a);
}

static void test_out_of_memory_changes_nothing(void **state)
{
	size_t used, capacity;
	struct arena a;
	uint8_t *p;

	(void)state;
	arena_init(&a, 512);
	p = alloc(&a, 8, 8);
	used = a.used;
	capacity = a.capacity;
	port_fault_set(1, false);
	learn_expect(!arena_alloc(&a, 5000, 8), "NULL when memory runs out", "a pointer");
	learn_number("a.used after a failure", a.used, used);
	learn_number("a.capacity after a failure", a.capacity, capacity);
	learn_expect(arena_alloc(&a, 8, 8) == p + 8,
		     "what fits into the chunk that is there needs no allocation",
		     "NULL or another place");
	port_fault_set(0, false);
	arena_free(&a);
}

static void bench_alloc(uint64_t n)
{
	struct arena a;
	volatile void *sink;

	arena_init(&a, 65536);
	for (; n; n--)
		sink = arena_alloc(&a, 24, 8);
	(void)sink;
	arena_free(&a);
}

static const struct learn_test tests[] = {
	LEARN_TEST(test_neighbours_are_packed, 2, CHAPTER),
	LEARN_TEST(test_objects_share_no_byte, 3, HEADER),
	LEARN_TEST(test_a_large_request_leaves_the_newest_in_use, 2, CHAPTER),
	LEARN_TEST(test_a_large_request_comes_first, 1, HEADER),
	LEARN_TEST(test_sizes_that_overflow_are_refused, 2, HEADER),
	LEARN_TEST(test_out_of_memory_changes_nothing, 2, HEADER),
};
static const struct learn_speed speeds[] = { { "alloc of 24 bytes", bench_alloc,
					       300000 } };

LEARN_MAIN(tests, speeds)
