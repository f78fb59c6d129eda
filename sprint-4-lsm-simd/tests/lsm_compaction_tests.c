/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_compaction_tests.c - flushes and compactions change how things lie, and nothing that
 * anybody reads.
 *
 * On the simulated disk, with picks of the test's own. Tables are tiny, so that each has few
 * keys, and everything has borders.
 */
#include "lsm_work_fixture.h"

static struct work_world world;

static void random_rounds(unsigned int parts, uint64_t rounds)
{
	struct work_world *w = &world;
	uint64_t round;
	unsigned int i;

	for (round = 0; round < rounds; round++) {
		work_open(w, CORE_SEED + round);
		w->work.parts = parts;
		w->work.blob_threshold = round % 3 ? 100 : 0;
		for (i = 0; i < 24; i++) {
			struct lsm_version *v;
			struct lsm_pick p;

			if (core_random_below(2)) {
				work_put_some(w, (unsigned int)core_random_below(160));
				if (!core_random_below(3))
					work_snapshot(w);
				work_put_some(w, (unsigned int)core_random_below(20));
				work_flush(w);
			}
			v = lsm_versions_current(w->versions);
			if (work_pick_any(v, &p))
				work_compact(w, v, &p);
			else
				lsm_version_unref(v);
			work_check(w);
		}
		work_close(w);
	}
}

static void test_random_picks_change_nothing_that_is_read(void **state)
{
	(void)state;
	random_rounds(1, 2 + test_draws(60));
}

static void test_random_picks_in_parts_side_by_side(void **state)
{
	(void)state;
	random_rounds(4, 2 + test_draws(60));
}

/* Some writes of all keys, flushed. */
static void fill(struct work_world *w, size_t value_bytes)
{
	unsigned int k;

	for (k = 0; k < WORK_KEYS; k++)
		work_put(w, &(struct work_write){ .kind = LSM_PUT,
						  .key = k,
						  .value_bytes = value_bytes });
	work_flush(w);
}

static size_t blobs_of(struct work_world *w)
{
	struct lsm_version *v = lsm_versions_current(w->versions);
	size_t n = v->blobs;

	lsm_version_unref(v);
	return n;
}

static size_t tables_of(struct work_world *w)
{
	struct lsm_version *v = lsm_versions_current(w->versions);
	size_t n = work_tables(v);

	lsm_version_unref(v);
	return n;
}

static void test_flush_of_nothing_makes_no_table(void **state)
{
	struct lsm_memtable *t;
	struct lsm_edit e = { 0 };

	(void)state;
	work_open(&world, CORE_SEED);
	t = work_memtable(&world);
	assert_int_equal(lsm_flush(&world.work, t, &e, &world.stats, NULL), 0);
	assert_int_equal(e.adds + e.blobs, 0);
	assert_int_equal(work_files(&world).n, 0);
	lsm_memtable_free(t);
	work_close(&world);
}

static void test_flush_makes_one_table_and_keeps_no_shadowed_version(void **state)
{
	struct work_world *w = &world;
	unsigned int i;

	(void)state;
	work_open(w, CORE_SEED);
	for (i = 0; i < 1000; i++)
		work_put(w, &(struct work_write){ .kind = LSM_PUT,
						  .key = i % WORK_KEYS,
						  .value_bytes = 90 });
	work_flush(w);
	assert_int_equal(tables_of(w), 1);
	assert_int_equal(w->stats.entries_in, 1000);
	assert_int_equal(w->stats.entries_out, WORK_KEYS);
	assert_int_equal(w->stats.dropped, 1000 - WORK_KEYS);
	work_check(w);
	work_close(w);
}

static void test_everything_deleted_leaves_no_file(void **state)
{
	struct work_world *w = &world;
	int by_range;
	unsigned int k;

	(void)state;
	for (by_range = 0; by_range < 2; by_range++) {
		work_open(w, CORE_SEED);
		fill(w, 200);
		work_compact_all(w);
		assert_true(tables_of(w) > 1);
		assert_true(blobs_of(w) > 1);
		if (by_range)
			work_put(w,
				 &(struct work_write){ .range = true, .end = WORK_KEYS });
		for (k = 0; !by_range && k < WORK_KEYS; k++)
			work_put(w, &(struct work_write){ .kind = LSM_DELETE, .key = k });
		work_flush(w);
		work_check(w);
		work_compact_all(w);
		work_check(w);
		assert_int_equal(tables_of(w) + blobs_of(w), 0);
		work_close(w);
	}
}

static void test_deleted_stays_as_long_as_a_snapshot_sees_it(void **state)
{
	struct work_world *w = &world;

	(void)state;
	work_open(w, CORE_SEED);
	fill(w, 200);
	work_snapshot(w);
	work_put(w, &(struct work_write){ .range = true, .end = WORK_KEYS });
	work_flush(w);
	work_compact_all(w);
	work_check(w);
	assert_true(tables_of(w) > 1); /* the range delete was cut where they are */
	w->work.snapshots = 0;
	work_compact_all(w);
	work_check(w);
	assert_int_equal(tables_of(w), 0);
	work_close(w);
}

static void test_range_delete_alone_makes_a_table(void **state)
{
	struct work_world *w = &world;

	(void)state;
	work_open(w, CORE_SEED);
	fill(w, 20);
	work_compact_all(w);
	work_put(w, &(struct work_write){ .range = true, .key = 10, .end = 20 });
	work_flush(w);
	work_check(w);
	work_close(w);
}

static void test_versions_of_one_key_stand_in_one_table(void **state)
{
	struct work_world *w = &world;
	struct lsm_version *v;
	size_t i;

	(void)state;
	work_open(w, CORE_SEED);
	w->work.table_bytes = 500;
	w->work.blob_threshold = 0;
	for (i = 0; i < 40; i++) {
		work_put(w, &(struct work_write){ .kind = LSM_PUT,
						  .key = 5 + i % 2,
						  .value_bytes = 250 });
		if (i % 2 && i % 8 == 1)
			work_snapshot(w);
		if (i % 10 == 9)
			work_flush(w);
	}
	work_compact_all(w);
	work_check(w);
	v = lsm_versions_current(w->versions);
	assert_int_equal(v->level[1].run[0].tables, 2);
	for (i = 0; i < 2; i++)
		assert_int_equal(v->level[1].run[0].table[i]->summary.entries,
				 1 + WORK_SNAPSHOTS);
	lsm_version_unref(v);
	work_close(w);
}

/* Of each blob file two values in three are replaced: the rest is written anew, and the files
 * go. Before that, with more than half alive, they stay as they are. */
static void test_values_of_sparse_blob_files_are_written_anew(void **state)
{
	struct work_world *w = &world;
	uint64_t before;
	unsigned int k;

	(void)state;
	work_open(w, CORE_SEED);
	fill(w, 250);
	work_compact_all(w);
	for (k = 0; k < WORK_KEYS; k += 3)
		work_put(w, &(struct work_write){ .kind = LSM_DELETE, .key = k });
	work_flush(w);
	work_compact_all(w);
	work_check(w);
	work_compact_all(w); /* a third is dead */
	assert_int_equal(w->stats.blobs_rewritten, 0);
	for (k = 1; k < WORK_KEYS; k += 3)
		work_put(w, &(struct work_write){ .kind = LSM_DELETE, .key = k });
	work_flush(w);
	before = w->sequence;
	work_compact_all(w); /* drops them, and so makes the files sparse */
	work_compact_all(w);
	work_check(w);
	assert_int_equal(w->sequence, before);
	assert_int_equal(w->stats.blobs_rewritten, WORK_KEYS / 3);
	assert_in_range(blobs_of(w), 1, 5);
	work_close(w);
}

static void
test_values_come_back_from_blob_files_when_the_threshold_is_raised(void **state)
{
	struct work_world *w = &world;

	(void)state;
	work_open(w, CORE_SEED);
	fill(w, 250);
	assert_true(blobs_of(w) > 1);
	w->work.blob_threshold = 0;
	w->work.blob_live_percent = 101;
	work_compact_all(w);
	work_check(w);
	assert_int_equal(blobs_of(w), 0);
	w->work.blob_threshold = 100;
	work_compact_all(w);
	work_check(w);
	assert_true(blobs_of(w) > 1);
	work_close(w);
}

/* A merge of a stretch takes nothing from outside it, and cuts range tombstones to it. */
static void test_nothing_from_outside_the_range(void **state)
{
	struct work_world *w = &world;
	struct lsm_version *v;
	struct lsm_pick p;
	size_t i;
	int round;

	(void)state;
	work_open(w, CORE_SEED);
	work_snapshot(w);
	fill(w, 40);
	work_snapshot(w);
	work_put(w, &(struct work_write){ .range = true, .key = 3, .end = WORK_KEYS });
	work_put_some(w, 60);
	work_flush(w);
	for (round = 0; round < 40; round++) {
		struct lsm_edit e = { 0 };

		v = lsm_versions_current(w->versions);
		work_pick_copy(v, 3, &p);
		assert_int_equal(work_try(w, v, &p, &e), 0);
		for (i = 0; i < e.adds; i++) {
			const struct sst_summary *s = &e.add[i].summary;
			struct kv_slice end = work_slice(&p.end);
			int order = kv_compare(work_slice(&s->largest), end);

			assert_true(kv_compare(work_slice(&s->smallest),
					       work_slice(&p.begin)) >= 0);
			assert_false(s->largest_open);
			assert_true(order < 0 || (!order && s->largest_excluded));
		}
		lsm_work_undo(&w->work, &e);
		lsm_edit_free(&e);
		work_free_pick(&p);
		lsm_version_unref(v);
		work_check(w);
	}
	work_close(w);
}

/* A table that overlaps nothing changes its level, its file does not change. */
static void test_trivial_move_writes_nothing(void **state)
{
	struct work_world *w = &world;
	struct work_files before, after;
	struct lsm_version *v;
	struct lsm_pick p;
	uint64_t writes;

	(void)state;
	work_open(w, CORE_SEED);
	fill(w, 40);
	before = work_files(w);
	v = lsm_versions_current(w->versions);
	p = (struct lsm_pick){ .to = 1, .move = true, .end_open = true };
	work_add_source(&p, v->level[0].run[0].table, 1, false);
	writes = w->stats.written_bytes;
	work_compact(w, v, &p);
	after = work_files(w);
	assert_int_equal(before.hash, after.hash);
	assert_int_equal(w->stats.written_bytes, writes);
	v = lsm_versions_current(w->versions);
	assert_int_equal(v->level[0].runs, 0);
	assert_int_equal(v->level[1].runs, 1);
	lsm_version_unref(v);
	work_check(w);
	work_close(w);
}

static void test_pick_with_progress_sets_it_to_its_end(void **state)
{
	struct work_world *w = &world;
	struct lsm_edit e = { 0 };
	struct lsm_version *v;
	struct lsm_pick p;

	(void)state;
	work_open(w, CORE_SEED);
	fill(w, 40);
	v = lsm_versions_current(w->versions);
	work_pick_copy(v, 1, &p);
	p.progress = true;
	p.progress_run = 9;
	assert_int_equal(work_try(w, v, &p, &e), 0);
	assert_true(e.has_progress);
	assert_int_equal(e.progress_level, p.from);
	assert_int_equal(e.progress_run, 9);
	assert_int_equal(kv_compare(work_slice(&e.progress), work_slice(&p.end)), 0);
	lsm_work_undo(&w->work, &e);
	lsm_edit_free(&e);
	work_free_pick(&p);
	lsm_version_unref(v);
	work_close(w);
}

static void test_parts_are_tasks_and_make_one_run(void **state)
{
	struct work_world *w = &world;
	uint64_t spawned;
	struct lsm_version *v;

	(void)state;
	work_open(w, CORE_SEED);
	fill(w, 90);
	work_compact_all(w);
	fill(w, 95);
	w->work.parts = 3;
	spawned = env_sim_calls(w->sim, 1u << SIM_SPAWN);
	work_compact_all(w);
	assert_int_equal(env_sim_calls(w->sim, 1u << SIM_SPAWN) - spawned, 2);
	v = lsm_versions_current(w->versions);
	assert_int_equal(v->level[1].runs, 1);
	lsm_version_unref(v);
	work_check(w);
	work_close(w);
}

static int set_up(void **state)
{
	core_random_start();
	return leak_check_set_up(state);
}

#define WORK_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, leak_check_tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		WORK_TEST(test_flush_of_nothing_makes_no_table),
		WORK_TEST(test_flush_makes_one_table_and_keeps_no_shadowed_version),
		WORK_TEST(test_everything_deleted_leaves_no_file),
		WORK_TEST(test_deleted_stays_as_long_as_a_snapshot_sees_it),
		WORK_TEST(test_range_delete_alone_makes_a_table),
		WORK_TEST(test_versions_of_one_key_stand_in_one_table),
		WORK_TEST(test_values_of_sparse_blob_files_are_written_anew),
		WORK_TEST(
			test_values_come_back_from_blob_files_when_the_threshold_is_raised),
		WORK_TEST(test_nothing_from_outside_the_range),
		WORK_TEST(test_trivial_move_writes_nothing),
		WORK_TEST(test_pick_with_progress_sets_it_to_its_end),
		WORK_TEST(test_parts_are_tasks_and_make_one_run),
		WORK_TEST(test_random_picks_change_nothing_that_is_read),
		WORK_TEST(test_random_picks_in_parts_side_by_side),
	};

	print_message("seed 0x%x\n", CORE_SEED);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
