/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_slab_tests.c - the block cache's memory: blocks of any sizes apart from each other, rooms
 * that are as small as promised, regions given back, no memory, threads; and a cache on top.
 */
#include "../../sprint-1-core-memory/tests/core_random.h"
#include "../../sprint-1-core-memory/tests/leak_check.h"
#include "../../sprint-1-core-memory/tests/test_scale.h"
#include "../lsm_cache.h"
#include "../lsm_slab.h"

#include <pthread.h>

enum { HELD = 512 };

static struct lsm_slabs *make(void)
{
	struct lsm_slabs *s;

	assert_int_equal(lsm_slabs_new(false, &s), 0);
	return s;
}

static void test_room_is_enough_and_at_most_a_sixteenth_more(void **state)
{
	size_t bytes, room, before = 0;

	(void)state;
	for (bytes = 1; bytes <= LSM_SLAB_MAX; bytes++) {
		room = lsm_slabs_room(bytes);
		assert_true(room >= bytes && room >= before && room <= LSM_SLAB_MAX);
		assert_true(room - bytes <= (bytes / 16 > 64 ? bytes / 16 : 64));
		assert_int_equal(room % 64, 0);
		assert_int_equal(lsm_slabs_room(room), room);
		before = room;
	}
}

struct held {
	uint8_t *p;
	size_t bytes;
	uint8_t with;
};

static void let_go(struct lsm_slabs *s, struct held *h)
{
	if (!h->p)
		return;
	assert_true(core_is_filled(h->p, h->bytes, h->with));
	lsm_slabs_give(s, h->p);
	h->p = NULL;
}

static void churn(struct lsm_slabs *s, struct held *held, uint64_t seed, uint64_t steps)
{
	uint64_t i;

	for (i = 0; i < steps; i++) {
		uint64_t r = (seed += 0x9e3779b97f4a7c15u) * 0xd6e8feb86659fd93u;
		struct held *h = &held[(r >> 32) % HELD];

		let_go(s, h);
		if (!(r >> 20 & 7))
			continue;
		h->bytes = 1 + (r >> 8) % (r & 64 ? LSM_SLAB_MAX : 700);
		h->with = (uint8_t)(r >> 50);
		h->p = lsm_slabs_take(s, h->bytes);
		assert_non_null(h->p);
		assert_int_equal((uintptr_t)h->p % 64, 0);
		memset(h->p, h->with, h->bytes);
	}
}

static void test_random_blocks_do_not_touch_each_other(void **state)
{
	struct lsm_slabs *s = make();
	struct held held[HELD] = { 0 };
	size_t i;

	(void)state;
	churn(s, held, core_random(), 20000 * (uint64_t)test_scale());
	for (i = 0; i < HELD; i++)
		let_go(s, &held[i]);
	/* All but one went back to the system. */
	assert_int_equal(lsm_slabs_bytes(s), PORT_HUGE_BYTES);
	lsm_slabs_free(s);
}

static void test_regions_come_and_go_with_their_blocks(void **state)
{
	enum { N = 4000, BYTES = 4165 };
	static void *block[N];
	struct lsm_slabs *s = make();
	int round, i;

	(void)state;
	assert_int_equal(lsm_slabs_bytes(s), 0);
	for (round = 0; round < 3; round++) {
		for (i = 0; i < N; i++)
			assert_non_null(block[i] = lsm_slabs_take(s, BYTES));
		assert_true(lsm_slabs_bytes(s) >= (uint64_t)N * BYTES);
		assert_true(lsm_slabs_bytes(s) <=
			    (uint64_t)N * BYTES * 9 / 8 + PORT_HUGE_BYTES);
		for (i = 0; i < N; i++)
			lsm_slabs_give(s, block[round == 1 ? N - 1 - i : i]);
		assert_int_equal(lsm_slabs_bytes(s), PORT_HUGE_BYTES);
	}
	lsm_slabs_free(s);
}

static void test_no_memory_for_a_region(void **state)
{
	struct lsm_slabs *s = make();
	void *p;

	(void)state;
	port_fault_set(1, false);
	assert_null(lsm_slabs_take(s, 100));
	port_fault_set(0, false);
	p = lsm_slabs_take(s, 100);
	assert_non_null(p);
	lsm_slabs_give(s, p);
	lsm_slabs_free(s);
}

struct worker {
	pthread_t thread;
	struct lsm_slabs *s;
	struct held held[HELD];
	uint64_t seed;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	size_t i;

	churn(w->s, w->held, w->seed, 5000);
	for (i = 0; i < HELD; i++)
		let_go(w->s, &w->held[i]);
	return NULL;
}

static void test_threads_share_it(void **state)
{
	enum { N = 3 };
	static struct worker worker[N];
	struct lsm_slabs *s = make();
	int i;

	(void)state;
	for (i = 0; i < N; i++) {
		worker[i] = (struct worker){ .s = s, .seed = core_random() };
		assert_int_equal(
			pthread_create(&worker[i].thread, NULL, work, &worker[i]), 0);
	}
	for (i = 0; i < N; i++)
		assert_int_equal(pthread_join(worker[i].thread, NULL), 0);
	assert_int_equal(lsm_slabs_bytes(s), PORT_HUGE_BYTES);
	lsm_slabs_free(s);
}

/* Slabs and, for blocks that are too large for them, other memory, within one budget. */
static void test_cache_on_slabs_holds_its_budget(void **state)
{
	const struct lsm_cache_config config = { .bytes = 16 << 20, .huge = true };
	struct lsm_cache_stats stats;
	struct lsm_cache *c;
	struct lsm_block b;
	uint64_t i, found = 0;

	(void)state;
	assert_int_equal(lsm_cache_new(&config, &c), 0);
	for (i = 1; i < 20000; i++) {
		size_t bytes = i % 50 ? 3900 + i % 300 : 40000;

		assert_int_equal(lsm_cache_alloc(c, bytes, &b), 0);
		memset((uint8_t *)(uintptr_t)b.data, (int)i, bytes);
		lsm_cache_insert(c, 1, i * 4096, false, &b);
		lsm_cache_release(c, &b);
		if (i % 64 == 1) {
			lsm_cache_stats(c, &stats);
			assert_true(stats.bytes <= config.bytes);
			assert_int_equal(stats.held_bytes, 0);
		}
		if (!lsm_cache_find(c, 1, (i - i % 1000) * 4096, &b))
			continue;
		found++;
		assert_true(core_is_filled(b.data, b.bytes, (uint8_t)(i - i % 1000)));
		lsm_cache_release(c, &b);
	}
	assert_true(found > 1000);
	assert_true(stats.bytes > config.bytes / 4 * 3);
	lsm_cache_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_room_is_enough_and_at_most_a_sixteenth_more),
		LEAK_CHECKED(test_random_blocks_do_not_touch_each_other),
		LEAK_CHECKED(test_regions_come_and_go_with_their_blocks),
		LEAK_CHECKED(test_no_memory_for_a_region),
		LEAK_CHECKED(test_threads_share_it),
		LEAK_CHECKED(test_cache_on_slabs_holds_its_budget),
	};

	core_random_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
