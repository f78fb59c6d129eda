/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_pool_tests.c - the index's memory: pieces that nobody else has, used again, and
 * little taken beside them.
 */
#include "../../sprint-1-core-memory/tests/core_random.h"
#include "../../sprint-1-core-memory/tests/leak_check.h"
#include "../hash_pool.h"

enum { PIECES = 1500, THREADS = 3, TURNS = 4000, HELD = 16 };

static const size_t sizes[HASH_POOL_SIZES] = { 40000, 36000, 33000, 30000,
					       28000, 26000, 24000, 21001 };

struct piece {
	uint8_t *p;
	unsigned int kind;
	uint8_t mark;
};

static int set_up(void **state)
{
	core_random_start();
	return leak_check_set_up(state);
}

static size_t rounded(size_t n)
{
	return (n + HASH_POOL_ALIGN - 1) / HASH_POOL_ALIGN * HASH_POOL_ALIGN;
}

static struct piece take(struct hash_pool *pool, unsigned int kind, uint8_t mark)
{
	struct piece t = { hash_pool_take(pool, kind), kind, mark };

	assert_non_null(t.p);
	assert_int_equal((uintptr_t)t.p % HASH_POOL_ALIGN, 0);
	memset(t.p, mark, sizes[kind]);
	return t;
}

static bool is_whole(const struct piece *t)
{
	size_t i;

	for (i = 0; i < sizes[t->kind]; i++)
		if (t->p[i] != t->mark)
			return false;
	return true;
}

/* Across the border between single pieces and huge slabs, with pieces of all kinds. */
static void test_pieces_do_not_overlap(void **state)
{
	static struct piece t[PIECES];
	struct hash_pool pool;
	uint64_t given = 0;
	size_t i;

	(void)state;
	hash_pool_init(&pool, sizes);
	assert_int_equal(hash_pool_bytes(&pool), 0);
	for (i = 0; i < PIECES; i++) {
		unsigned int kind = (unsigned int)core_random_below(HASH_POOL_SIZES);

		t[i] = take(&pool, kind, (uint8_t)i);
		given += rounded(sizes[kind]);
		assert_true(hash_pool_bytes(&pool) >= given);
	}
	assert_true(given > (uint64_t)16 * PORT_HUGE_BYTES);
	assert_in_range(hash_pool_bytes(&pool) - given, 0, given / 8);
	for (i = 0; i < PIECES; i++)
		assert_true(is_whole(&t[i]));
	hash_pool_destroy(&pool);
}

static void test_little_pool_takes_no_more_than_its_pieces(void **state)
{
	struct hash_pool pool;
	uint64_t given = 0;
	unsigned int i;

	(void)state;
	hash_pool_init(&pool, sizes);
	for (i = 0; i < 64; i++) {
		(void)take(&pool, i % HASH_POOL_SIZES, 1);
		given += rounded(sizes[i % HASH_POOL_SIZES]);
		assert_int_equal(hash_pool_bytes(&pool), given);
	}
	hash_pool_destroy(&pool);
}

static void test_piece_that_was_given_back_is_used_before_new_memory(void **state)
{
	struct hash_pool pool;
	struct piece a, b;
	uint64_t bytes;

	(void)state;
	hash_pool_init(&pool, sizes);
	assert_true(hash_pool_wants(&pool, 3));
	a = take(&pool, 3, 1);
	b = take(&pool, 3, 2);
	bytes = hash_pool_bytes(&pool);
	hash_pool_give(&pool, 3, a.p);
	hash_pool_give(&pool, 3, b.p);
	assert_false(hash_pool_wants(&pool, 3));
	assert_true(hash_pool_wants(&pool, 4)); /* of another size */
	assert_ptr_equal(take(&pool, 3, 3).p, b.p);
	assert_ptr_equal(take(&pool, 3, 4).p, a.p);
	assert_true(hash_pool_wants(&pool, 3));
	assert_int_equal(hash_pool_bytes(&pool), bytes);
	hash_pool_destroy(&pool);
}

/* Whatever goes and comes, the pool does not grow beyond its most. */
static void test_pool_stays_as_large_as_it_was_at_most(void **state)
{
	static struct piece t[300];
	struct hash_pool pool;
	uint64_t bytes;
	size_t i, turn;

	(void)state;
	hash_pool_init(&pool, sizes);
	for (i = 0; i < 300; i++)
		t[i] = take(&pool, i % HASH_POOL_SIZES, (uint8_t)i);
	bytes = hash_pool_bytes(&pool);
	for (turn = 0; turn < 3000; turn++) {
		struct piece *at = &t[core_random_below(300)];

		assert_true(is_whole(at));
		hash_pool_give(&pool, at->kind, at->p);
		*at = take(&pool, at->kind, (uint8_t)turn);
	}
	assert_int_equal(hash_pool_bytes(&pool), bytes);
	hash_pool_destroy(&pool);
}

static void test_pieces_larger_than_a_huge_page(void **state)
{
	static const size_t large[HASH_POOL_SIZES] = {
		3 << 20, 5 << 20, 1, 1, 1, 1, 1, 1
	};
	struct hash_pool pool;
	uint8_t *p[24];
	size_t i, k;

	(void)state;
	hash_pool_init(&pool, large);
	for (i = 0; i < 24; i++) {
		p[i] = hash_pool_take(&pool, i % 3);
		assert_non_null(p[i]);
		memset(p[i], (int)i, large[i % 3]);
	}
	for (i = 0; i < 24; i++)
		for (k = 0; k < large[i % 3]; k += 4096)
			assert_int_equal(p[i][k], i);
	hash_pool_destroy(&pool);
}

static void test_no_memory_leaves_the_pool_as_it_was(void **state)
{
	struct hash_pool pool;
	uint64_t bytes, nth;
	size_t i, failed = 0;

	(void)state;
	hash_pool_init(&pool, sizes);
	for (i = 0; i < PIECES; i++) {
		for (nth = 1;; nth++) {
			bytes = hash_pool_bytes(&pool);
			port_fault_set(nth, true);
			if (hash_pool_take(&pool, 1))
				break;
			assert_true(port_fault_fired());
			assert_int_equal(hash_pool_bytes(&pool), bytes);
			failed++;
		}
		port_fault_set(0, false);
	}
	assert_true(failed > 400); /* single pieces, and the first huge slabs */
	hash_pool_destroy(&pool);
}

/* ---- threads ---- */

struct worker {
	struct hash_pool *pool;
	uint64_t random, wrong;
};

static void *take_and_give(void *arg)
{
	struct worker *w = arg;
	struct piece held[HELD] = { 0 };
	size_t turn, i;

	for (turn = 0; turn < TURNS; turn++) {
		struct piece *t;

		w->random = w->random * 6364136223846793005u + 1442695040888963407u;
		t = &held[(w->random >> 40) % HELD];
		if (t->p) {
			w->wrong +=
				t->p[0] != t->mark || t->p[sizes[t->kind] - 1] != t->mark;
			hash_pool_give(w->pool, t->kind, t->p);
		}
		t->kind = (w->random >> 50) % HASH_POOL_SIZES;
		t->mark = (uint8_t)(w->random >> 30);
		t->p = hash_pool_take(w->pool, t->kind);
		if (t->p)
			t->p[0] = t->p[sizes[t->kind] - 1] = t->mark;
		w->wrong += !t->p;
	}
	for (i = 0; i < HELD; i++)
		if (held[i].p)
			hash_pool_give(w->pool, held[i].kind, held[i].p);
	return NULL;
}

static void test_threads_never_hold_one_piece_together(void **state)
{
	struct worker w[THREADS];
	pthread_t thread[THREADS];
	struct hash_pool pool;
	size_t i;

	(void)state;
	hash_pool_init(&pool, sizes);
	for (i = 0; i < THREADS; i++) {
		w[i] = (struct worker){ &pool, CORE_SEED + i, 0 };
		assert_int_equal(pthread_create(&thread[i], NULL, take_and_give, &w[i]),
				 0);
	}
	for (i = 0; i < THREADS; i++) {
		pthread_join(thread[i], NULL);
		assert_int_equal(w[i].wrong, 0);
	}
	hash_pool_destroy(&pool);
}

#define POOL_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, leak_check_tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		POOL_TEST(test_pieces_do_not_overlap),
		POOL_TEST(test_little_pool_takes_no_more_than_its_pieces),
		POOL_TEST(test_piece_that_was_given_back_is_used_before_new_memory),
		POOL_TEST(test_pool_stays_as_large_as_it_was_at_most),
		POOL_TEST(test_pieces_larger_than_a_huge_page),
		POOL_TEST(test_no_memory_leaves_the_pool_as_it_was),
		POOL_TEST(test_threads_never_hold_one_piece_together),
	};

	print_message("seed 0x%x\n", CORE_SEED);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
