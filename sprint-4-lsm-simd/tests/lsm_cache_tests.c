/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_cache_tests.c - the block cache: what is found, what goes and what goes first under both
 * policies, its budget, blocks that are held, no memory, threads.
 */
#include "../../sprint-1-core-memory/tests/core_random.h"
#include "../../sprint-1-core-memory/tests/leak_check.h"
#include "../../sprint-1-core-memory/tests/test_scale.h"
#include "../lsm_cache.h"

enum { BLOCK = 960, CHARGED = 1024 }; /* with its header */

static int set_up(void **state)
{
	core_random_start();
	return leak_check_set_up(state);
}

static struct lsm_cache *make(uint64_t bytes, enum lsm_cache_policy policy,
			      unsigned int shards)
{
	const struct lsm_cache_config config = { .bytes = bytes,
						 .policy = policy,
						 .shards = shards };
	struct lsm_cache *c;

	assert_int_equal(lsm_cache_new(&config, &c), 0);
	return c;
}

/* Blocks have numbers here, and begin in pages of their own as a table's do. */
static uint64_t place(uint64_t number)
{
	return number * 4100;
}

/* What stands in a block says which it is. */
static void fill(const struct lsm_block *b, uint64_t file, uint64_t offset)
{
	memset((uint8_t *)(uintptr_t)b->data, (int)(file * 31 + offset), b->bytes);
}

static bool is_filled(const struct lsm_block *b, uint64_t file, uint64_t offset)
{
	return core_is_filled(b->data, b->bytes, (uint8_t)(file * 31 + offset));
}

static struct lsm_block put_held(struct lsm_cache *c, uint64_t file, uint64_t offset,
				 size_t bytes, bool cold)
{
	struct lsm_block b;

	assert_int_equal(lsm_cache_alloc(c, bytes, &b), 0);
	assert_int_equal(b.bytes, bytes);
	fill(&b, file, offset);
	lsm_cache_insert(c, file, place(offset), cold, &b);
	return b;
}

static void put(struct lsm_cache *c, uint64_t offset, bool cold)
{
	struct lsm_block b = put_held(c, 1, offset, BLOCK, cold);

	lsm_cache_release(c, &b);
}

static bool has(struct lsm_cache *c, uint64_t file, uint64_t offset)
{
	struct lsm_block b;

	if (!lsm_cache_find(c, file, place(offset), &b))
		return false;
	assert_true(is_filled(&b, file, offset));
	lsm_cache_release(c, &b);
	assert_null(b.pin);
	return true;
}

static struct lsm_cache_stats stats_of(struct lsm_cache *c)
{
	struct lsm_cache_stats s;

	lsm_cache_stats(c, &s);
	return s;
}

static void test_find_what_was_inserted_by_file_and_offset(void **state)
{
	struct lsm_cache *c = make(1 << 20, LSM_CLOCK, 0);
	struct lsm_block b = put_held(c, 7, 4096, 5000, false);

	(void)state;
	assert_false(has(c, 7, 0));
	assert_false(has(c, 8, 4096));
	assert_true(has(c, 7, 4096));
	assert_int_equal((uintptr_t)b.data % 64, 0);
	assert_int_equal(stats_of(c).held_bytes, 5064);
	lsm_cache_release(c, &b);
	lsm_cache_release(c, &b); /* of nothing */
	assert_int_equal(stats_of(c).held_bytes, 0);
	assert_int_equal(stats_of(c).hits, 1);
	assert_int_equal(stats_of(c).misses, 2);
	assert_int_equal(stats_of(c).blocks, 1);
	assert_int_equal(stats_of(c).bytes, 5064);
	lsm_cache_free(c);
}

static void test_block_that_was_not_inserted_goes_with_its_holder(void **state)
{
	struct lsm_cache *c = make(1 << 20, LSM_CLOCK, 0);
	struct lsm_block b;

	(void)state;
	assert_int_equal(lsm_cache_alloc(c, 0, &b), 0);
	assert_int_equal(stats_of(c).bytes, 64);
	lsm_cache_release(c, &b);
	assert_int_equal(stats_of(c).bytes, 0);
	assert_int_equal(lsm_cache_alloc(c, SIZE_MAX - 10, &b), -ENOMEM);
	lsm_cache_free(c);
}

static void test_second_insert_of_a_place_gets_the_first_block(void **state)
{
	struct lsm_cache *c = make(1 << 20, LSM_CLOCK, 0);
	struct lsm_block a = put_held(c, 1, 2, BLOCK, false);
	struct lsm_block b = put_held(c, 1, 2, BLOCK, false);

	(void)state;
	assert_ptr_equal(a.data, b.data);
	assert_int_equal(stats_of(c).blocks, 1);
	assert_int_equal(stats_of(c).bytes, CHARGED);
	lsm_cache_release(c, &a);
	assert_true(is_filled(&b, 1, 2));
	lsm_cache_release(c, &b);
	lsm_cache_free(c);
}

static void test_lru_drops_what_was_asked_for_longest_ago(void **state)
{
	struct lsm_cache *c = make(4 * CHARGED, LSM_LRU, 1);

	(void)state;
	put(c, 1, false);
	put(c, 2, false);
	put(c, 3, false);
	put(c, 4, false);
	assert_true(has(c, 1, 1));
	put(c, 5, false);
	assert_false(has(c, 1, 2));
	assert_true(has(c, 1, 1) && has(c, 1, 3) && has(c, 1, 4) && has(c, 1, 5));
	assert_int_equal(stats_of(c).evictions, 1);
	lsm_cache_free(c);
}

static void test_clock_gives_what_was_hit_a_second_chance(void **state)
{
	struct lsm_cache *c = make(4 * CHARGED, LSM_CLOCK, 1);

	(void)state;
	put(c, 1, false);
	put(c, 2, false);
	put(c, 3, false);
	put(c, 4, false);
	assert_true(has(c, 1, 1) && has(c, 1, 2));
	put(c, 5, false);
	assert_false(has(c, 1, 3));
	put(c, 6, false);
	assert_false(has(c, 1, 4));
	/* The marks of 1 and 2 are used up: they are the oldest now. */
	put(c, 7, false);
	assert_false(has(c, 1, 1));
	assert_int_equal(stats_of(c).blocks, 4);
	lsm_cache_free(c);
}

static void scan_leaves_the_rest(enum lsm_cache_policy policy)
{
	struct lsm_cache *c = make(8 * CHARGED, policy, 1);
	uint64_t i;

	for (i = 0; i < 7; i++)
		put(c, i, false);
	for (i = 100; i < 200; i++)
		put(c, i, true);
	assert_int_equal(stats_of(c).blocks, 8);
	/* Somebody else asks for 199: it stays as others do, of which the oldest goes. */
	assert_true(has(c, 1, 199));
	put(c, 300, true);
	put(c, 301, true);
	assert_true(has(c, 1, 199));
	assert_false(has(c, 1, 0));
	for (i = 1; i < 7; i++)
		assert_true(has(c, 1, i));
	lsm_cache_free(c);
}

static void test_scan_drops_its_own_blocks_only(void **state)
{
	(void)state;
	scan_leaves_the_rest(LSM_CLOCK);
	scan_leaves_the_rest(LSM_LRU);
}

static void held_blocks_stay(enum lsm_cache_policy policy)
{
	struct lsm_cache *c = make(4 * CHARGED, policy, 1);
	struct lsm_block held[4], other;
	uint64_t i;

	for (i = 0; i < 4; i++)
		held[i] = put_held(c, 1, i, BLOCK, false);
	other = put_held(c, 1, 9, BLOCK, false); /* nothing can go */
	for (i = 0; i < 4; i++)
		assert_true(is_filled(&held[i], 1, i));
	assert_true(is_filled(&other, 1, 9));
	assert_int_equal(stats_of(c).held_bytes, 5 * CHARGED);
	for (i = 0; i < 4; i++)
		lsm_cache_release(c, &held[i]);
	lsm_cache_release(c, &other);
	put(c, 20, false);
	assert_true(stats_of(c).bytes <= 4 * CHARGED);
	assert_int_equal(stats_of(c).held_bytes, 0);
	lsm_cache_free(c);
}

static void test_held_blocks_stay_beyond_the_budget(void **state)
{
	(void)state;
	held_blocks_stay(LSM_CLOCK);
	held_blocks_stay(LSM_LRU);
}

static void test_block_larger_than_the_cache_is_not_kept(void **state)
{
	struct lsm_cache *c = make(2 * CHARGED, LSM_CLOCK, 1);
	struct lsm_block b = put_held(c, 1, 5, 100000, false);

	(void)state;
	assert_true(is_filled(&b, 1, 5));
	assert_false(has(c, 1, 5));
	lsm_cache_release(c, &b);
	assert_int_equal(stats_of(c).bytes, 0);
	lsm_cache_free(c);
	c = make(0, LSM_LRU, 0);
	put(c, 1, false);
	assert_false(has(c, 1, 1));
	lsm_cache_free(c);
}

static void test_forget_drops_one_file_and_spares_holders(void **state)
{
	struct lsm_cache *c = make(1 << 20, LSM_CLOCK, 4);
	struct lsm_block b;
	uint64_t i;

	(void)state;
	for (i = 0; i < 60; i++) {
		b = put_held(c, 1 + i % 3, i, BLOCK, false);
		lsm_cache_release(c, &b);
	}
	assert_true(lsm_cache_find(c, 2, place(1), &b));
	lsm_cache_forget(c, 2, UINT64_MAX);
	for (i = 0; i < 60; i++)
		assert_int_equal(has(c, 1 + i % 3, i), i % 3 != 1);
	assert_true(is_filled(&b, 2, 1));
	assert_int_equal(stats_of(c).held_bytes, CHARGED);
	lsm_cache_release(c, &b);
	assert_int_equal(stats_of(c).bytes, 40 * CHARGED);
	lsm_cache_free(c);
}

/* A table's blocks are found by its pages, so the others need not be looked at. */
static void test_forget_looks_at_little_but_the_file(void **state)
{
	enum { FILES = 50, BLOCKS = 64, SMALL = 8 };
	struct lsm_cache *c = make(64 << 20, LSM_LRU, 8);
	uint64_t file, i, j;
	struct lsm_block b;

	(void)state;
	for (file = 1; file <= FILES; file++) {
		for (i = 0; i < BLOCKS; i++) {
			b = put_held(c, file, i, BLOCK, false);
			lsm_cache_release(c, &b);
		}
	}
	/* Small blocks, of which a page has many, and pages in which none begins. */
	for (i = 0; i < 30; i++) {
		for (j = 0; j < SMALL; j++) {
			assert_int_equal(lsm_cache_alloc(c, 100, &b), 0);
			lsm_cache_insert(c, 99, i * 3 * 4096 + j * 512, false, &b);
			lsm_cache_release(c, &b);
		}
	}
	lsm_cache_forget(c, 7, place(BLOCKS));
	assert_int_equal(stats_of(c).blocks, (FILES - 1) * BLOCKS + 30 * SMALL);
	assert_true(stats_of(c).forget_looks >= BLOCKS);
	assert_true(stats_of(c).forget_looks < 10 * BLOCKS);
	lsm_cache_forget(c, 99, 90 * 4096);
	assert_int_equal(stats_of(c).blocks, (FILES - 1) * BLOCKS);
	for (file = 1; file <= FILES; file++)
		for (i = 0; i < BLOCKS; i++)
			assert_int_equal(has(c, file, i), file != 7);
	/* A file with more pages than the cache has blocks. */
	j = stats_of(c).forget_looks;
	lsm_cache_forget(c, 8, 1ull << 40);
	assert_int_equal(stats_of(c).forget_looks - j, (FILES - 1) * BLOCKS);
	assert_int_equal(stats_of(c).blocks, (FILES - 2) * BLOCKS);
	lsm_cache_free(c);
}

static void test_resize_takes_effect_at_once(void **state)
{
	struct lsm_cache *c = make(64 * CHARGED, LSM_CLOCK, 2);
	uint64_t i;

	(void)state;
	for (i = 0; i < 50; i++)
		put(c, i, false);
	lsm_cache_resize(c, 10 * CHARGED);
	assert_in_range(stats_of(c).bytes, 8 * CHARGED, 10 * CHARGED);
	for (i = 100; i < 150; i++)
		put(c, i, false);
	assert_true(stats_of(c).bytes <= 10 * CHARGED);
	lsm_cache_resize(c, 64 * CHARGED);
	for (i = 200; i < 250; i++)
		put(c, i, false);
	assert_true(stats_of(c).bytes > 40 * CHARGED);
	lsm_cache_free(c);
}

static void test_shards_are_a_power_of_two(void **state)
{
	const struct lsm_cache_config config = { .bytes = 1 << 20, .shards = 3 };
	struct lsm_cache *c = NULL;

	(void)state;
	assert_int_equal(lsm_cache_new(&config, &c), -EINVAL);
	assert_null(c);
}

static void test_no_memory_at_every_allocation(void **state)
{
	const struct lsm_cache_config config = { .bytes = 64 << 10, .shards = 2 };
	struct lsm_block b;
	uint64_t nth, i;

	(void)state;
	for (nth = 1;; nth++) {
		struct lsm_cache *c = NULL;
		int error;

		port_fault_set(nth, true);
		error = lsm_cache_new(&config, &c);
		for (i = 0; c && i < 300; i++) { /* small ones: the table grows */
			int bad = lsm_cache_alloc(c, 8, &b);

			error = bad ? bad : error;
			if (bad)
				continue;
			fill(&b, 3, i);
			lsm_cache_insert(c, 3, place(i), false, &b);
			assert_true(is_filled(&b, 3, i));
			lsm_cache_release(c, &b);
			assert_true(has(c, 3, i));
		}
		lsm_cache_free(c);
		if (!port_fault_fired())
			break;
		assert_true(error == 0 ||
			    error == -ENOMEM); /* 0: a table that did not grow */
	}
	assert_true(nth > 300);
}

/* What is found is right, and the bytes in it never exceed the budget. */
static void random_use(enum lsm_cache_policy policy)
{
	const size_t rounds = test_draws(200000) + 2000;
	const uint64_t budget = 100 * CHARGED;
	struct lsm_cache *c = make(budget, policy, 4);
	size_t i, hits = 0;

	for (i = 0; i < rounds; i++) {
		uint64_t file = core_random_below(3), offset = core_random_below(100);
		struct lsm_block b;

		if (lsm_cache_find(c, file, place(offset), &b)) {
			assert_true(is_filled(&b, file, offset));
			assert_int_equal(b.bytes, 100 + (file * 7 + offset) * 5);
			hits++;
		} else {
			b = put_held(c, file, offset, 100 + (file * 7 + offset) * 5,
				     core_random_below(4) == 0);
		}
		lsm_cache_release(c, &b);
		if (i % 1000 == 0) {
			lsm_cache_forget(c, core_random_below(3),
					 i % 2000 ? place(100) : UINT64_MAX);
			assert_true(stats_of(c).bytes <= budget);
		}
	}
	assert_int_equal(stats_of(c).hits, hits);
	assert_true(hits > rounds / 10);
	lsm_cache_free(c);
}

static void test_random_use_within_the_budget(void **state)
{
	(void)state;
	print_message("seed 0x%x\n", CORE_SEED);
	random_use(LSM_CLOCK);
	random_use(LSM_LRU);
}

/* ---- threads ---- */

struct worker {
	pthread_t thread;
	struct lsm_cache *cache;
	uint64_t random;
	size_t rounds;
	bool wrong;
};

static uint64_t worker_random(struct worker *w)
{
	uint64_t z = w->random += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	return z ^ z >> 29;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct lsm_block held[4] = { { NULL, 0, NULL } };
	size_t i;

	for (i = 0; i < w->rounds; i++) {
		uint64_t r = worker_random(w), file = r % 2, offset = r / 2 % 60;
		struct lsm_block *b = &held[i % 4];

		lsm_cache_release(w->cache, b);
		if (r % 501 == 0)
			lsm_cache_forget(w->cache, file, place(30 + r % 31));
		if (r % 777 == 0)
			lsm_cache_resize(w->cache, (10 + r % 40) * CHARGED);
		if (!lsm_cache_find(w->cache, file, place(offset), b)) {
			if (lsm_cache_alloc(w->cache, BLOCK, b))
				w->wrong = true;
			fill(b, file, offset);
			lsm_cache_insert(w->cache, file, place(offset), r % 5 == 0, b);
		}
		w->wrong |= !is_filled(b, file, offset);
	}
	for (i = 0; i < 4; i++)
		lsm_cache_release(w->cache, &held[i]);
	return NULL;
}

static void threads_share(enum lsm_cache_policy policy)
{
	struct lsm_cache *c = make(40 * CHARGED, policy, 2);
	struct worker w[4];
	size_t i;

	for (i = 0; i < 4; i++) {
		w[i] = (struct worker){ .cache = c,
					.random = CORE_SEED + i,
					.rounds = test_draws(200000) + 2000 };
		assert_int_equal(pthread_create(&w[i].thread, NULL, work, &w[i]), 0);
	}
	for (i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(w[i].thread, NULL), 0);
		assert_false(w[i].wrong);
	}
	assert_int_equal(stats_of(c).held_bytes, 0);
	lsm_cache_free(c);
}

static void test_threads_find_insert_forget_and_resize(void **state)
{
	(void)state;
	threads_share(LSM_CLOCK);
	threads_share(LSM_LRU);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_find_what_was_inserted_by_file_and_offset),
		LEAK_CHECKED(test_block_that_was_not_inserted_goes_with_its_holder),
		LEAK_CHECKED(test_second_insert_of_a_place_gets_the_first_block),
		LEAK_CHECKED(test_lru_drops_what_was_asked_for_longest_ago),
		LEAK_CHECKED(test_clock_gives_what_was_hit_a_second_chance),
		LEAK_CHECKED(test_scan_drops_its_own_blocks_only),
		LEAK_CHECKED(test_held_blocks_stay_beyond_the_budget),
		LEAK_CHECKED(test_block_larger_than_the_cache_is_not_kept),
		LEAK_CHECKED(test_forget_drops_one_file_and_spares_holders),
		LEAK_CHECKED(test_forget_looks_at_little_but_the_file),
		LEAK_CHECKED(test_resize_takes_effect_at_once),
		LEAK_CHECKED(test_shards_are_a_power_of_two),
		LEAK_CHECKED(test_no_memory_at_every_allocation),
		LEAK_CHECKED(test_random_use_within_the_budget),
		LEAK_CHECKED(test_threads_find_insert_forget_and_resize),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
