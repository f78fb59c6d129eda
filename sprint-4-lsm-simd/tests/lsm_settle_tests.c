/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_settle_tests.c - the picker and the compactions together: whatever is written, in each
 * style, work comes to an end, and on the way there nothing changes that anybody reads.
 */
#include "lsm_work_fixture.h"

static struct work_world world;

static struct lsm_layout draw_layout(enum lsm_style style)
{
	return (struct lsm_layout){
		.style = style,
		.ratio = 2 + (unsigned int)core_random_below(4),
		.flushed_runs = 1 + (unsigned int)core_random_below(4),
		.level_bytes = 4000 + core_random_below(20000),
		.table_bytes = 3000,
		.piece_bytes = 2000 + core_random_below(20000),
		.wide_bytes = core_random_below(2) * (3000 + core_random_below(20000)),
		.blob_live_percent = 50,
		.delete_percent = 30,
	};
}

static void set_busy(const struct lsm_pick *p, bool busy)
{
	size_t i, j;

	for (i = 0; i < p->sources; i++)
		for (j = 0; j < p->source[i].tables; j++)
			p->source[i].table[j]->busy = busy;
}

/* One compaction, as the engine carries it out. False: there was none to do. */
static bool compact_once(struct work_world *w, const struct lsm_layout *l, bool range)
{
	struct lsm_version *v = lsm_versions_current(w->versions);
	struct lsm_edit e = { 0 };
	struct lsm_pick p;
	int found = range ? lsm_pick_range(v, l, kv_slice("", 0), kv_slice(NULL, 0), &p)
			  : lsm_pick(v, l, &p);

	assert_in_range(found, 0, 1);
	if (found) {
		set_busy(&p, true);
		if (work_try(w, v, &p, &e))
			fail_msg("%s", w->why.text);
		work_commit(w, &e); /* which looks at what is busy */
		set_busy(&p, false);
		lsm_pick_free(&p);
	}
	lsm_version_unref(v);
	(void)lsm_versions_purge(w->versions);
	return found;
}

/* Until there is nothing to do, which must come. */
static void settle(struct work_world *w, const struct lsm_layout *l, bool range)
{
	unsigned int n = 0;

	while (compact_once(w, l, range)) {
		if (n++ % 8 == 0)
			work_check(w);
		if (n > 2000)
			fail_msg("compactions don't come to an end");
	}
	work_check(w);
}

static void live(struct work_world *w, struct lsm_layout *l)
{
	unsigned int i;

	for (i = 0; i < 16; i++) {
		work_put_some(w, (unsigned int)core_random_below(160));
		if (!core_random_below(5))
			work_snapshot(w);
		work_put_some(w, (unsigned int)core_random_below(20));
		work_flush(w);
		if (core_random_below(3))
			(void)compact_once(w, l, false);
		else
			work_check(w);
		if (!core_random_below(6))
			settle(w, l, false);
	}
}

static void test_style(enum lsm_style style)
{
	uint64_t round, rounds = 2 + test_draws(30);

	for (round = 0; round < rounds; round++) {
		struct work_world *w = &world;
		struct lsm_layout l = draw_layout(style);

		work_open(w, CORE_SEED + round);
		w->work.parts = 1 + round % 3;
		w->work.blob_threshold = round % 3 ? 100 : 0;
		live(w, &l);
		settle(w, &l, false);
		settle(w, &l, true);
		settle(w, &l, false);
		work_close(w);
	}
}

static void test_lazy_store_settles(void **state)
{
	(void)state;
	test_style(LSM_LAZY);
}

static void test_leveled_store_settles(void **state)
{
	(void)state;
	test_style(LSM_LEVELED);
}

static void test_tiered_store_settles(void **state)
{
	(void)state;
	test_style(LSM_TIERED);
}

/* With nobody reading the past, a compacted store has what is there, and no more. */
static void test_compacting_all_leaves_nothing_that_is_deleted(void **state)
{
	enum lsm_style style;

	(void)state;
	for (style = LSM_LAZY; style <= LSM_TIERED; style++) {
		struct work_world *w = &world;
		struct lsm_layout l = draw_layout(style);
		struct work_write d = { .range = true, .end = WORK_KEYS };
		struct work_files f;

		work_open(w, CORE_SEED);
		live(w, &l);
		w->work.snapshots = 0;
		l.settled = LSM_SEQUENCE_MAX;
		work_put(w, &d);
		work_flush(w);
		settle(w, &l, true);
		f = work_files(w);
		assert_int_equal(f.n, 0);
		work_close(w);
	}
}

static int set_up(void **state)
{
	core_random_start();
	return leak_check_set_up(state);
}

#define SETTLE_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, leak_check_tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		SETTLE_TEST(test_lazy_store_settles),
		SETTLE_TEST(test_leveled_store_settles),
		SETTLE_TEST(test_tiered_store_settles),
		SETTLE_TEST(test_compacting_all_leaves_nothing_that_is_deleted),
	};

	print_message("seed 0x%x\n", CORE_SEED);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
