/* SPDX-License-Identifier: MIT */
/*
 * check.c - grades exercise 4.9: the block cache.
 */
#include "../../../harness/learn/learn.h"
#include "../../lsm_cache.h"

#include <pthread.h>

#define CHAPTER "docs/sprint-4-lsm-simd.md, \"A get, step by step\""
#define HEADER  "sprint-4-lsm-simd/lsm_cache.h"
#define PAPER   "Corbato, \"A Paging Experiment with the Multics System\" (1968)"

enum { BLOCK = 960, CHARGED = 1024, THREADS = 4, STEPS = 6000 };

static struct lsm_cache *make(uint64_t blocks, enum lsm_cache_policy policy)
{
	const struct lsm_cache_config config = { .bytes = blocks * CHARGED,
						 .policy = policy,
						 .shards = 1 };
	struct lsm_cache *c;

	assert_int_equal(lsm_cache_new(&config, &c), 0);
	return c;
}

static uint8_t content(uint64_t file, uint64_t offset)
{
	return (uint8_t)(file * 31 + offset + 1);
}

static struct lsm_block put_held(struct lsm_cache *c, uint64_t file, uint64_t offset,
				 size_t bytes, bool cold)
{
	struct lsm_block b;

	assert_int_equal(lsm_cache_alloc(c, bytes, &b), 0);
	memset((uint8_t *)(uintptr_t)b.data, content(file, offset), bytes);
	lsm_cache_insert(c, file, offset, cold, &b);
	return b;
}

static void put(struct lsm_cache *c, uint64_t offset, bool cold)
{
	struct lsm_block b = put_held(c, 1, offset, BLOCK, cold);

	lsm_cache_release(c, &b);
}

static bool is_right(const struct lsm_block *b, uint64_t file, uint64_t offset)
{
	return b->bytes && b->data[0] == content(file, offset) &&
	       b->data[b->bytes - 1] == content(file, offset);
}

static bool has(struct lsm_cache *c, uint64_t file, uint64_t offset)
{
	struct lsm_block b;

	if (!lsm_cache_find(c, file, offset, &b))
		return false;
	learn_expect(is_right(&b, file, offset), "the content of the block asked for",
		     "another block's");
	lsm_cache_release(c, &b);
	return true;
}

static void expect_has(struct lsm_cache *c, uint64_t offset, bool there, const char *why)
{
	learn_expect(has(c, 1, offset) == there,
		     learn_text("block %llu is %s: %s", (unsigned long long)offset,
				there ? "still there" : "gone", why),
		     there ? "it is gone" : "it is still there");
}

static struct lsm_cache_stats stats_of(struct lsm_cache *c)
{
	struct lsm_cache_stats s;

	lsm_cache_stats(c, &s);
	return s;
}

static void test_what_was_inserted_is_found(void **state)
{
	struct lsm_cache *c = make(100, LSM_CLOCK);
	struct lsm_block b = put_held(c, 7, 4096, 500, false);

	(void)state;
	lsm_cache_release(c, &b);
	learn_expect(!b.pin && !b.data, "lsm_cache_release() clears *b",
		     "it is as before");
	learn_number("whether (7, 4096) is found", has(c, 7, 4096), true);
	learn_number("whether (7, 0) is found", has(c, 7, 0), false);
	learn_number("whether (8, 4096) is found", has(c, 8, 4096), false);
	learn_number("hits", stats_of(c).hits, 1);
	learn_number("misses", stats_of(c).misses, 2);
	learn_number("inserts", stats_of(c).inserts, 1);
	learn_number("blocks", stats_of(c).blocks, 1);
	lsm_cache_free(c);
}

static void test_many_blocks_are_all_found(void **state)
{
	struct lsm_cache *c = make(3000, LSM_LRU);
	uint64_t i;

	(void)state;
	for (i = 0; i < 2000; i++)
		put(c, i, false);
	for (i = 0; i < 2000; i++)
		expect_has(c, i, true, "there is room for all");
	learn_number("evictions", stats_of(c).evictions, 0);
	lsm_cache_free(c);
}

static void test_budget_is_kept(void **state)
{
	enum lsm_cache_policy policy;
	uint64_t i;

	(void)state;
	for (policy = LSM_CLOCK; policy <= LSM_LRU; policy++) {
		struct lsm_cache *c = make(8, policy);

		for (i = 0; i < 100; i++) {
			put(c, i, false);
			(void)has(c, 1, i);
			learn_expect(stats_of(c).bytes <= 8 * CHARGED,
				     "no more bytes than the budget of 8192",
				     "%llu after %llu blocks",
				     (unsigned long long)stats_of(c).bytes,
				     (unsigned long long)i + 1);
		}
		learn_number("evictions by 100 blocks in room for 8",
			     stats_of(c).evictions, 92);
		lsm_cache_free(c);
	}
}

static void test_the_oldest_goes_first(void **state)
{
	struct lsm_cache *c = make(4, LSM_CLOCK);
	uint64_t i;

	(void)state;
	for (i = 0; i < 6; i++)
		put(c, i, false);
	for (i = 0; i < 6; i++)
		expect_has(c, i, i >= 2, "blocks 0 to 5 came, there is room for 4");
	lsm_cache_free(c);
}

static void test_lru_keeps_what_was_used_last(void **state)
{
	struct lsm_cache *c = make(4, LSM_LRU);
	uint64_t i;

	(void)state;
	for (i = 0; i < 4; i++)
		put(c, i, false);
	(void)has(c, 1, 0);
	put(c, 4, false);
	put(c, 5, false);
	expect_has(c, 0, true, "it was used after 1, 2 and 3");
	expect_has(c, 1, false, "it was not used for the longest time");
	expect_has(c, 2, false, "it was not used for long");
	lsm_cache_free(c);
}

static void test_clock_gives_a_second_chance(void **state)
{
	struct lsm_cache *c = make(4, LSM_CLOCK);
	uint64_t i;

	(void)state;
	for (i = 0; i < 4; i++)
		put(c, i, false);
	(void)has(c, 1, 0);
	put(c, 4, false);
	expect_has(c, 0, true, "it was marked by a hit");
	lsm_cache_free(c);
}

static void test_a_mark_is_used_up(void **state)
{
	struct lsm_cache *c = make(4, LSM_CLOCK);
	uint64_t i;

	(void)state;
	for (i = 0; i < 4; i++)
		put(c, i, false);
	(void)has(c, 1, 0);
	for (i = 4; i < 12; i++)
		put(c, i, false);
	expect_has(c, 0, false, "one hit is one chance, and eight blocks came since");
	lsm_cache_free(c);
}

static void test_cold_blocks_go_first(void **state)
{
	struct lsm_cache *c = make(4, LSM_CLOCK);
	uint64_t i;

	(void)state;
	for (i = 0; i < 3; i++)
		put(c, i, false);
	put(c, 50, true);
	put(c, 3, false);
	expect_has(c, 50, false, "it came in cold, as the first to go");
	for (i = 0; i < 4; i++)
		expect_has(c, i, true, "the cold one made room");
	lsm_cache_free(c);
}

static void test_held_blocks_are_not_dropped(void **state)
{
	struct lsm_cache *c = make(4, LSM_LRU);
	struct lsm_block b = put_held(c, 1, 0, BLOCK, false);
	uint64_t i;

	(void)state;
	for (i = 1; i < 40; i++)
		put(c, i, false);
	expect_has(c, 0, true, "somebody holds it");
	learn_expect(is_right(&b, 1, 0), "the holder's bytes as they were", "others");
	learn_number("held bytes", stats_of(c).held_bytes, CHARGED);
	lsm_cache_release(c, &b);
	learn_number("held bytes after it was given back", stats_of(c).held_bytes, 0);
	lsm_cache_free(c);
}

static void test_when_all_are_held_nothing_goes(void **state)
{
	struct lsm_cache *c = make(4, LSM_CLOCK);
	struct lsm_block b[4];
	uint64_t i;

	(void)state;
	for (i = 0; i < 4; i++)
		b[i] = put_held(c, 1, i, BLOCK, false);
	put(c, 9, false);
	for (i = 0; i < 4; i++)
		expect_has(c, i, true, "somebody holds it");
	for (i = 0; i < 4; i++)
		lsm_cache_release(c, &b[i]);
	lsm_cache_free(c);
}

static void test_second_of_a_place_gets_the_first(void **state)
{
	struct lsm_cache *c = make(8, LSM_CLOCK);
	struct lsm_block a = put_held(c, 1, 5, BLOCK, false);
	struct lsm_block b = put_held(c, 1, 5, BLOCK, false);

	(void)state;
	learn_expect(a.data == b.data, "both threads have the same block", "two blocks");
	learn_number("blocks in the cache", stats_of(c).blocks, 1);
	lsm_cache_release(c, &a);
	learn_number("held bytes while one of two holders is left",
		     stats_of(c).held_bytes, CHARGED);
	learn_expect(is_right(&b, 1, 5), "the other holder's bytes as they were",
		     "others");
	lsm_cache_release(c, &b);
	learn_number("held bytes without holders", stats_of(c).held_bytes, 0);
	lsm_cache_free(c);
}

static void test_dropped_block_goes_with_its_last_holder(void **state)
{
	struct lsm_cache *c = make(8, LSM_CLOCK);
	struct lsm_block b = put_held(c, 3, 5, BLOCK, false), again;

	(void)state;
	learn_number("whether (3, 5) is found", lsm_cache_find(c, 3, 5, &again), true);
	lsm_cache_forget(c, 3, UINT64_MAX);
	learn_number("whether a forgotten block is found", has(c, 3, 5), false);
	learn_number("held bytes, of a block that is forgotten but held",
		     stats_of(c).held_bytes, CHARGED);
	lsm_cache_release(c, &b);
	learn_expect(is_right(&again, 3, 5), "the last holder's bytes as they were",
		     "others");
	lsm_cache_release(c, &again);
	learn_number("held bytes when the last holder is gone", stats_of(c).held_bytes,
		     0);
	lsm_cache_free(c);
}

static void test_block_that_is_too_large_stays_outside(void **state)
{
	struct lsm_cache *c = make(4, LSM_CLOCK);
	struct lsm_block b;

	(void)state;
	b = put_held(c, 1, 0, 6 * CHARGED, false);
	learn_expect(is_right(&b, 1, 0), "its holder can read it", "other bytes");
	learn_number("blocks in the cache", stats_of(c).blocks, 0);
	learn_number("held bytes", stats_of(c).held_bytes, 6 * CHARGED + 64);
	lsm_cache_release(c, &b);
	learn_number("bytes when its holder is gone", stats_of(c).bytes, 0);
	lsm_cache_free(c);
}

/* ---- threads ---- */

struct worker {
	pthread_t thread;
	struct lsm_cache *cache;
	uint64_t random;
	uint64_t wrong;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	struct lsm_block b;
	unsigned int i;

	for (i = 0; i < STEPS; i++) {
		uint64_t offset;

		w->random = w->random * 6364136223846793005u + 1442695040888963407u;
		offset = (w->random >> 40) % 24;
		if (!lsm_cache_find(w->cache, 1, offset, &b))
			b = put_held(w->cache, 1, offset, BLOCK, i % 8 == 0);
		w->wrong += !is_right(&b, 1, offset);
		if (i % 512 == 0)
			lsm_cache_forget(w->cache, 1, UINT64_MAX);
		w->wrong += !is_right(&b, 1, offset);
		lsm_cache_release(w->cache, &b);
	}
	return NULL;
}

static void test_threads_share_it(void **state)
{
	struct worker worker[THREADS];
	struct lsm_cache *c = make(16, LSM_CLOCK);
	size_t i;

	(void)state;
	for (i = 0; i < THREADS; i++) {
		worker[i] = (struct worker){ .cache = c, .random = i };
		assert_int_equal(
			pthread_create(&worker[i].thread, NULL, work, &worker[i]), 0);
	}
	for (i = 0; i < THREADS; i++) {
		(void)pthread_join(worker[i].thread, NULL);
		learn_number("blocks with another block's content", worker[i].wrong, 0);
	}
	learn_number("held bytes in the end", stats_of(c).held_bytes, 0);
	learn_expect(stats_of(c).bytes <= 16 * CHARGED, "no more bytes than the budget",
		     "%llu", (unsigned long long)stats_of(c).bytes);
	lsm_cache_free(c);
}

static void bench_hits(uint64_t n)
{
	struct lsm_cache *c = make(1000, LSM_CLOCK);
	struct lsm_block b;
	uint64_t i;

	for (i = 0; i < 900; i++)
		put(c, i, false);
	for (i = 0; i < n; i++)
		if (lsm_cache_find(c, 1, i % 900, &b))
			lsm_cache_release(c, &b);
	lsm_cache_free(c);
}

static void bench_evictions(uint64_t n)
{
	struct lsm_cache *c = make(500, LSM_CLOCK);
	uint64_t i;

	for (i = 0; i < n; i++)
		put(c, i, false);
	lsm_cache_free(c);
}

static const struct learn_test tests[] = {
	LEARN_TEST(test_what_was_inserted_is_found, 2, HEADER),
	LEARN_TEST(test_many_blocks_are_all_found, 1, HEADER),
	LEARN_TEST(test_budget_is_kept, 2, CHAPTER),
	LEARN_TEST(test_the_oldest_goes_first, 1, CHAPTER),
	LEARN_TEST(test_lru_keeps_what_was_used_last, 1, CHAPTER),
	LEARN_TEST(test_clock_gives_a_second_chance, 1, PAPER),
	LEARN_TEST(test_a_mark_is_used_up, 1, PAPER),
	LEARN_TEST(test_cold_blocks_go_first, 1, HEADER),
	LEARN_TEST(test_held_blocks_are_not_dropped, 2, HEADER),
	LEARN_TEST(test_when_all_are_held_nothing_goes, 1, HEADER),
	LEARN_TEST(test_second_of_a_place_gets_the_first, 2, HEADER),
	LEARN_TEST(test_dropped_block_goes_with_its_last_holder, 2, HEADER),
	LEARN_TEST(test_block_that_is_too_large_stays_outside, 1, HEADER),
	LEARN_TEST(test_threads_share_it, 2, CHAPTER),
};
static const struct learn_speed speeds[] = { { "hits", bench_hits, 100000 },
					     { "evictions", bench_evictions, 20000 } };

LEARN_MAIN(tests, speeds)
