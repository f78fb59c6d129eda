/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_picker_tests.c - what is picked of versions made by hand, and long simulations without
 * files: whatever the order in which flushes and compactions come, no older entry is ever seen,
 * and when nothing is left to do the store has the shape that its style promises.
 */
#include "lsm_paper_store.h"

#include "../../sprint-1-core-memory/tests/test_scale.h"

static const char *const style_name[] = { "lazy", "leveled", "tiered" };

static struct lsm_layout layout_of(enum lsm_style style)
{
	return (struct lsm_layout){ .style = style,
				    .ratio = 4,
				    .flushed_runs = 3,
				    .level_bytes = 4000,
				    .table_bytes = 1000,
				    .piece_bytes = 4000,
				    .wide_bytes = 4000,
				    .blob_live_percent = 50,
				    .delete_percent = 25,
				    .settled = LSM_SEQUENCE_MAX };
}

static struct paper_store store; /* large */

static uint64_t seed_of(uint64_t fallback)
{
	const char *text = getenv("KV_SEED");

	return text ? strtoull(text, NULL, 0) : fallback;
}

/* A run of level 0 with one table of these keys. */
static void add_run(unsigned int level, uint64_t run, const size_t *key, size_t n)
{
	struct paper_table t = { .entry = malloc((n + 1) * sizeof(*t.entry)) };
	struct lsm_edit e = { 0 };
	struct sst_summary summary;
	uint64_t number;
	size_t i;

	for (i = 0; i < n; i++)
		t.entry[t.entries++] = store.newest[key[i]] =
			(struct paper_entry){ (uint16_t)key[i], false, ++store.sequence };
	number = paper_table(&store, &t, &summary);
	assert_int_equal(lsm_edit_add(&e, level, run, number, &summary), 0);
	paper_commit(&store, &e);
}

#define ADD_RUN(level, run, ...)                             \
	add_run(level, run, (const size_t[]){ __VA_ARGS__ }, \
		sizeof((const size_t[]){ __VA_ARGS__ }) / sizeof(size_t))

/* ---- single picks ---- */

static void test_nothing_is_picked_of_an_empty_version(void **state)
{
	const struct lsm_layout l = layout_of(LSM_LAZY);
	struct lsm_pick p;

	(void)state;
	paper_begin(&store, 1, &l);
	assert_int_equal(lsm_pick(store.current, &l, &p), 0);
	assert_int_equal(
		lsm_pick_range(store.current, &l, kv_slice("", 0), kv_slice(NULL, 0), &p),
		0);
	assert_int_equal(lsm_debt(store.current, &l), 0);
	paper_end(&store);
}

static void test_level_0_waits_for_enough_runs(void **state)
{
	const struct lsm_layout l = layout_of(LSM_LAZY);
	struct lsm_pick p;

	(void)state;
	paper_begin(&store, 1, &l);
	ADD_RUN(0, 0, 1, 50, 90);
	ADD_RUN(0, 0, 2, 50, 80);
	assert_int_equal(lsm_pick(store.current, &l, &p), 0);
	ADD_RUN(0, 0, 3, 50, 70);
	assert_true(lsm_debt(store.current, &l) > 0);
	assert_int_equal(lsm_pick(store.current, &l, &p), 1);
	assert_int_equal(p.from, 0);
	assert_int_equal(p.to, 1);
	assert_int_equal(p.run, 0);
	assert_int_equal(p.sources, 3);
	assert_int_equal(p.removes, 3);
	assert_true(p.end_open && p.bottom);
	assert_false(p.move || p.progress);
	assert_int_equal(paper_number(&p.source[0].table[0]->summary.smallest), 3);
	assert_non_null(p.reason);
	lsm_pick_free(&p);
	paper_end(&store);
}

static void test_runs_that_do_not_overlap_move_as_they_are(void **state)
{
	const struct lsm_layout l = layout_of(LSM_LAZY);
	struct lsm_pick p;

	(void)state;
	paper_begin(&store, 1, &l);
	ADD_RUN(0, 0, 1, 5, 9);
	ADD_RUN(0, 0, 20, 25);
	ADD_RUN(0, 0, 10, 19);
	assert_int_equal(lsm_pick(store.current, &l, &p), 1);
	assert_true(p.move);
	assert_int_equal(p.sources, 3);
	assert_int_equal(p.removes, 0);
	(void)paper_start(&store, &p);
	paper_finish(&store, 0);
	assert_int_equal(store.current->level[0].runs, 0);
	assert_int_equal(store.current->level[1].runs, 1);
	assert_int_equal(store.current->level[1].run[0].tables, 3);
	paper_check(&store);
	paper_end(&store);
}

static void test_busy_tables_are_left_alone(void **state)
{
	const struct lsm_layout l = layout_of(LSM_LAZY);
	struct lsm_pick p;

	(void)state;
	paper_begin(&store, 1, &l);
	ADD_RUN(0, 0, 1, 50, 90);
	ADD_RUN(0, 0, 2, 50, 80);
	ADD_RUN(0, 0, 3, 50, 70);
	store.current->level[0].run[2].table[0]->busy = true;
	assert_int_equal(lsm_pick(store.current, &l, &p), 0);
	store.current->level[0].run[2].table[0]->busy = false;
	paper_end(&store);
}

/*
 * Two runs, the newer with keys of the older's table that reaches beyond the piece: it must
 * not go before that one does, else what it hides would be seen again.
 */
static void test_newer_table_stays_while_an_older_one_does(void **state)
{
	struct lsm_layout l = layout_of(LSM_LAZY);
	struct lsm_pick p;

	(void)state;
	l.flushed_runs = 2;
	l.piece_bytes = 500;
	paper_begin(&store, 1, &l);
	ADD_RUN(1, 1, 1, 5, 9, 12);
	ADD_RUN(1, 1, 60, 65, 69);
	ADD_RUN(0, 0, 1, 2, 3, 4, 5, 80); /* older: reaches beyond the end */
	ADD_RUN(0, 0, 1, 2, 3, 4, 5, 20); /* newer: ends before it */
	assert_int_equal(lsm_pick(store.current, &l, &p), 1);
	assert_false(p.end_open);
	assert_int_equal(paper_number(&p.end), 60);
	assert_int_equal(p.sources, 3);
	assert_int_equal(p.removes, 1); /* of the target alone */
	assert_true(p.progress);
	(void)paper_start(&store, &p);
	paper_finish(&store, 0);
	paper_check(&store);
	assert_int_equal(store.current->level[0].runs, 2);
	assert_int_equal(paper_number(&store.current->level[0].progress), 60);
	assert_int_equal(lsm_pick(store.current, &l, &p), 1);
	assert_true(p.end_open && p.progress);
	assert_int_equal(p.removes, 3);
	(void)paper_start(&store, &p);
	paper_finish(&store, 0);
	paper_check(&store);
	assert_int_equal(store.current->level[0].runs, 0);
	assert_int_equal(store.current->level[0].progress.len, 0);
	paper_end(&store);
}

/* A piece can't end within a table of the target: one over all keys would make it all of them. */
static void test_table_with_keys_far_apart_is_cut_before_a_merge(void **state)
{
	struct lsm_layout l = layout_of(LSM_LAZY);
	unsigned int cuts = 0;
	struct lsm_pick p;
	size_t i, key[5];

	(void)state;
	l.flushed_runs = 2;
	l.piece_bytes = 500;
	l.wide_bytes = 1000;
	paper_begin(&store, 1, &l);
	ADD_RUN(1, 1, 5, 100, 200, 300, 405);
	for (i = 0; i < 40; i++) {
		size_t k;

		for (k = 0; k < 5; k++)
			key[k] = 10 * (i % 40) + 2 * k;
		add_run(0, 3, key, 5);
	}
	ADD_RUN(0, 4, 150, 151, 152);
	while (lsm_pick(store.current, &l, &p) == 1) {
		if (p.cut.len) {
			assert_int_equal(p.from, 1);
			assert_int_equal(p.to, 1);
			assert_int_equal(p.sources, 1);
			assert_int_equal(p.source[0].tables, 1);
			if (!cuts++) /* about the middle */
				assert_in_range(paper_number(&p.cut), 150, 250);
		}
		(void)paper_start(&store, &p);
		paper_finish(&store, 0);
		paper_check(&store);
	}
	assert_true(cuts >= 2);
	assert_int_equal(store.current->level[0].runs, 0);
	assert_true(store.entries_merged_max * PAPER_ENTRY_BYTES < 3 * l.wide_bytes);
	paper_end(&store);
}

static void test_bottom_that_outgrows_its_level_moves_down(void **state)
{
	const struct lsm_layout l = layout_of(LSM_LAZY);
	size_t key[161], i;
	struct lsm_pick p;

	(void)state;
	paper_begin(&store, 1, &l);
	for (i = 0; i < 161; i++)
		key[i] = i * 2;
	/* A quarter of it may stand in a tier above: no less than that level holds. */
	add_run(1, 1, key, 160);
	assert_int_equal(lsm_pick(store.current, &l, &p), 0);
	paper_end(&store);
	paper_begin(&store, 1, &l);
	add_run(1, 1, key, 161);
	assert_int_equal(lsm_pick(store.current, &l, &p), 1);
	assert_true(p.move);
	assert_int_equal(p.from, 1);
	assert_int_equal(p.to, 2);
	lsm_pick_free(&p);
	paper_end(&store);
}

static void test_table_with_deleted_entries_is_written_again_at_the_bottom(void **state)
{
	struct lsm_layout l = layout_of(LSM_LEVELED);
	struct paper_table t = { .entry = calloc(3, sizeof(*t.entry)), .entries = 3 };
	struct lsm_edit e = { 0 };
	struct sst_summary summary;
	struct lsm_pick p;
	uint64_t number;
	size_t i;

	(void)state;
	paper_begin(&store, 1, &l);
	for (i = 0; i < 3; i++)
		t.entry[i] = (struct paper_entry){ (uint16_t)(i + 5), i == 1, i + 7 };
	number = paper_table(&store, &t, &summary);
	assert_int_equal(lsm_edit_add(&e, 3, 0, number, &summary), 0);
	paper_commit(&store, &e);
	l.settled = 8; /* somebody reads at 8 */
	assert_int_equal(lsm_pick(store.current, &l, &p), 0);
	l.settled = 0; /* nobody knows */
	assert_int_equal(lsm_pick(store.current, &l, &p), 0);
	l.settled = 9;
	assert_int_equal(lsm_pick(store.current, &l, &p), 1);
	assert_int_equal(p.from, 3);
	assert_int_equal(p.to, 3);
	assert_int_equal(p.run, store.current->level[3].run[0].id);
	assert_true(p.bottom);
	lsm_pick_free(&p);
	paper_end(&store);
}

static void test_range_by_hand_ends_in_one_run(void **state)
{
	const struct lsm_layout l = layout_of(LSM_LAZY);
	uint8_t from[2], to[2];
	struct lsm_pick p;

	(void)state;
	paper_begin(&store, 1, &l);
	ADD_RUN(2, 1, 1, 5, 9, 12);
	ADD_RUN(2, 1, 20, 25, 29);
	ADD_RUN(1, 0, 3, 21);
	ADD_RUN(0, 0, 22, 26);
	paper_key(from, 21);
	paper_key(to, 27);
	assert_int_equal(
		lsm_pick_range(store.current, &l, kv_slice(from, 2), kv_slice(to, 2), &p),
		1);
	assert_int_equal(p.to, 2);
	assert_int_equal(p.run, 1);
	assert_int_equal(p.sources, 3);
	assert_int_equal(paper_number(&p.begin), 20); /* the target is not cut */
	assert_int_equal(p.removes, 2); /* what reaches beyond the range stays */
	(void)paper_start(&store, &p);
	paper_finish(&store, 0);
	paper_check(&store);
	assert_int_equal(store.current->level[0].runs, 0);
	assert_int_equal(
		lsm_pick_range(store.current, &l, kv_slice(from, 2), kv_slice(to, 2), &p),
		0);
	paper_end(&store);
}

/* ---- without memory ---- */

static void test_pick_without_memory_changes_nothing(void **state)
{
	const struct lsm_layout l = layout_of(LSM_LEVELED);
	struct lsm_pick p;
	uint64_t nth, live;
	int result;

	(void)state;
	paper_begin(&store, 1, &l);
	ADD_RUN(1, 1, 1, 5, 9, 12);
	ADD_RUN(0, 0, 1, 50, 90);
	ADD_RUN(0, 0, 2, 50, 80);
	ADD_RUN(0, 0, 3, 50, 70);
	for (nth = 1;; nth++) {
		live = port_fault_live();
		port_fault_set(nth, true);
		result = nth % 2 ? lsm_pick(store.current, &l, &p)
				 : lsm_pick_range(store.current, &l, kv_slice("", 0),
						  kv_slice("\1", 1), &p);
		if (!port_fault_fired())
			break;
		port_fault_set(0, false);
		assert_int_equal(result, -ENOMEM);
		assert_int_equal(port_fault_live(), live);
	}
	port_fault_set(0, false);
	assert_true(nth > 5);
	assert_int_equal(result, 1);
	lsm_pick_free(&p);
	paper_end(&store);
}

/* ---- simulations ---- */

static void check_shape(void)
{
	const struct lsm_version *v = store.current;
	unsigned int level, bottom = 0;
	uint64_t above = 0, limit;

	for (level = 1; level < LSM_LEVELS; level++)
		if (v->level[level].runs)
			bottom = level;
	assert_true(v->level[0].runs < store.layout.flushed_runs);
	for (level = 0; level < LSM_LEVELS; level++)
		assert_int_equal(v->level[level].progress.len, 0);
	if (store.layout.style == LSM_TIERED) {
		for (level = 1; level < LSM_LEVELS; level++)
			assert_true(v->level[level].runs < store.layout.ratio);
		return;
	}
	for (level = 1, limit = store.layout.level_bytes; level < bottom;
	     level++, limit *= store.layout.ratio) {
		above += v->level[level].bytes;
		if (store.layout.style == LSM_LEVELED) {
			assert_true(v->level[level].runs <= 1);
			assert_true(v->level[level].bytes <= limit);
		} else {
			assert_true(v->level[level].runs < store.layout.ratio);
		}
	}
	assert_true(!bottom || v->level[bottom].runs == 1);
	if (store.layout.style == LSM_LAZY)
		limit *= 4;
	assert_true(!bottom || v->level[bottom].bytes <= limit);
	/* What stands above the bottom is a small share of it. */
	if (store.layout.style == LSM_LAZY && bottom > 1 && v->level[bottom - 1].runs)
		assert_true(above * 4 < v->level[bottom].bytes);
	if (store.layout.style == LSM_LEVELED && bottom > 1)
		assert_true(above <= v->level[bottom].bytes / 3 +
					     bottom * store.layout.table_bytes);
}

/* Live entries once in the bottom, what stands above it, and level 0. */
static void check_space(void)
{
	uint64_t live = paper_live_bytes(&store), v = store.current->bytes;
	uint64_t level_0 = store.current->level[0].bytes;

	if (store.layout.style == LSM_TIERED)
		return;
	if (v - level_0 > 2 * live + 8 * store.layout.table_bytes)
		fail_msg("KV_SEED=%llu, %s: %llu bytes for %llu that are live",
			 (unsigned long long)store.seed, style_name[store.layout.style],
			 (unsigned long long)v, (unsigned long long)live);
}

enum { SEQUENTIAL = 1, DELETES = 2, RANGES = 4, SWITCH = 8, BY_HAND = 16 };

static void write_some(unsigned int flags, unsigned int step)
{
	uint64_t r = paper_random(&store);
	size_t low = r % (PAPER_KEYS / 2), wide = 1 + (r >> 16) % (PAPER_KEYS / 2);

	if ((flags & RANGES) && r % 16 == 0)
		paper_delete_range(&store, low, r % 64 == 0 ? PAPER_KEYS : low + wide);
	else if (flags & SEQUENTIAL)
		paper_write(&store, 8, step * 10 % PAPER_KEYS,
			    step * 10 % PAPER_KEYS + 10, 0);
	else if (r % 4 == 0)
		paper_write(&store, 10 + r % 20, low, low + wide,
			    flags & DELETES ? 50 : 0);
	else
		paper_write(&store, 10 + r % 20, 0, PAPER_KEYS, flags & DELETES ? 40 : 0);
}

static void start_some(unsigned int flags)
{
	uint64_t r = paper_random(&store);
	struct lsm_pick p;
	uint8_t from[2], to[2];
	size_t i, under_way = 0;
	int result;

	for (i = 0; i < PAPER_WORK; i++)
		under_way += store.work[i].is;
	if (under_way == PAPER_WORK)
		return;
	paper_key(from, r % PAPER_KEYS);
	paper_key(to, r % PAPER_KEYS + r % 50);
	if ((flags & BY_HAND) && r % 8 == 0)
		result = lsm_pick_range(store.current, &store.layout, kv_slice(from, 2),
					kv_slice(to, 2), &p);
	else if ((flags & BY_HAND) && r % 64 == 1)
		result = lsm_pick_range(store.current, &store.layout, kv_slice("", 0),
					kv_slice(NULL, 0), &p);
	else
		result = lsm_pick(store.current, &store.layout, &p);
	assert_true(result >= 0);
	if (result)
		(void)paper_start(&store, &p);
}

static void finish_some(void)
{
	size_t i = paper_random(&store) % PAPER_WORK;

	if (store.work[i].is)
		paper_finish(&store, i);
}

static void simulate(uint64_t seed, enum lsm_style style, unsigned int flags,
		     unsigned int steps)
{
	const struct lsm_layout l = layout_of(style);
	unsigned int step;

	paper_begin(&store, seed, &l);
	for (step = 0; step < steps; step++) {
		uint64_t r = paper_random(&store) % 100;

		if (r < 25)
			write_some(flags, step);
		else if (r < 60)
			start_some(flags);
		else
			finish_some();
		if ((flags & SWITCH) && paper_random(&store) % 200 == 0)
			store.layout.style = (enum lsm_style)(paper_random(&store) % 3);
		paper_check(&store);
		if (paper_random(&store) % 150 == 0) {
			(void)paper_settle(&store);
			paper_check(&store);
			if (!(flags & SWITCH) || store.layout.style != LSM_TIERED)
				check_shape();
			if (!(flags & SWITCH))
				check_space();
		}
	}
	(void)paper_settle(&store);
	paper_check(&store);
	paper_end(&store);
}

static void simulate_seeds(unsigned int flags)
{
	const char *torture = getenv("KV_TORTURE");
	uint64_t seed = seed_of(1),
		 n = torture ? 20 * strtoull(torture, NULL, 0) : 1 + test_draws(5), i;
	unsigned int style;

	for (i = 0; i < n; i++)
		for (style = LSM_LAZY; style <= LSM_TIERED; style++) {
			simulate(seed + i, (enum lsm_style)style, flags, 600);
		}
}

static void test_overwrites_keep_order_and_shape(void **state)
{
	(void)state;
	simulate_seeds(0);
}

static void test_deletes_keep_order_and_shape(void **state)
{
	(void)state;
	simulate_seeds(DELETES);
}

static void test_range_deletes_keep_order_and_shape(void **state)
{
	(void)state;
	simulate_seeds(DELETES | RANGES);
}

static void test_sequential_writes_keep_order_and_shape(void **state)
{
	(void)state;
	simulate_seeds(SEQUENTIAL);
}

static void test_changes_of_style_keep_order(void **state)
{
	(void)state;
	simulate_seeds(DELETES | RANGES | SWITCH | BY_HAND);
}

/* Keys in order are written once: their tables only move. */
static void test_sequential_load_is_written_once(void **state)
{
	unsigned int style, i;

	(void)state;
	for (style = LSM_LAZY; style <= LSM_TIERED; style++) {
		const struct lsm_layout l = layout_of((enum lsm_style)style);

		paper_begin(&store, 1, &l);
		for (i = 0; i < 40; i++) {
			paper_write(&store, 30, i * 10, i * 10 + 10, 0);
			while (paper_step(&store))
				;
		}
		paper_check(&store);
		assert_true(store.moves > 0);
		assert_int_equal(store.written_bytes, 0);
		paper_end(&store);
	}
}

static void test_deleting_all_gives_all_space_back(void **state)
{
	unsigned int style, i;

	(void)state;
	for (style = LSM_LAZY; style <= LSM_TIERED; style++) {
		const struct lsm_layout l = layout_of((enum lsm_style)style);

		paper_begin(&store, 1, &l);
		for (i = 0; i < 60; i++) {
			paper_write(&store, 30, 0, PAPER_KEYS, 0);
			while (paper_step(&store))
				;
		}
		paper_delete_range(&store, 0, PAPER_KEYS);
		(void)paper_settle(&store);
		paper_check(&store);
		if (store.current->bytes > 2 * PAPER_ENTRY_BYTES)
			fail_msg("%s: %llu bytes are left", style_name[style],
				 (unsigned long long)store.current->bytes);
		paper_end(&store);
	}
}

static void test_all_by_hand_ends_in_one_run(void **state)
{
	struct lsm_pick p;
	unsigned int style, i, n, runs;

	(void)state;
	for (style = LSM_LAZY; style <= LSM_TIERED; style++) {
		const struct lsm_layout l = layout_of((enum lsm_style)style);

		paper_begin(&store, 3, &l);
		for (i = 0; i < 50; i++) {
			paper_write(&store, 30, 0, PAPER_KEYS, 30);
			(void)paper_step(&store);
		}
		for (n = 0; lsm_pick_range(store.current, &l, kv_slice("", 0),
					   kv_slice(NULL, 0), &p) == 1;
		     n++) {
			assert_true(n < 200);
			(void)paper_start(&store, &p);
			paper_finish(&store, 0);
		}
		paper_check(&store);
		for (runs = i = 0; i < LSM_LEVELS; i++)
			runs += (unsigned int)store.current->level[i].runs;
		assert_int_equal(runs, 1);
		assert_int_equal(store.current->bytes, paper_live_bytes(&store));
		paper_end(&store);
	}
}

/* One compaction reads no more than about a piece, however large the store is. */
static void test_pieces_stay_small(void **state)
{
	unsigned int style, i;

	(void)state;
	for (style = LSM_LAZY; style <= LSM_TIERED; style++) {
		const struct lsm_layout l = layout_of((enum lsm_style)style);

		paper_begin(&store, 5, &l);
		for (i = 0; i < 300; i++) {
			paper_write(&store, 20, 0, PAPER_KEYS, 0);
			while (paper_step(&store))
				;
		}
		paper_check(&store);
		assert_true(store.entries_merged_max * PAPER_ENTRY_BYTES <
			    4 * l.piece_bytes);
		print_message("%s: %llu compactions, %.1f bytes written for each\n",
			      style_name[style], (unsigned long long)store.picks,
			      (double)store.written_bytes / (double)store.flushed_bytes);
		paper_end(&store);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_nothing_is_picked_of_an_empty_version),
		LEAK_CHECKED(test_level_0_waits_for_enough_runs),
		LEAK_CHECKED(test_runs_that_do_not_overlap_move_as_they_are),
		LEAK_CHECKED(test_busy_tables_are_left_alone),
		LEAK_CHECKED(test_newer_table_stays_while_an_older_one_does),
		LEAK_CHECKED(test_table_with_keys_far_apart_is_cut_before_a_merge),
		LEAK_CHECKED(test_bottom_that_outgrows_its_level_moves_down),
		LEAK_CHECKED(
			test_table_with_deleted_entries_is_written_again_at_the_bottom),
		LEAK_CHECKED(test_range_by_hand_ends_in_one_run),
		LEAK_CHECKED(test_pick_without_memory_changes_nothing),
		LEAK_CHECKED(test_overwrites_keep_order_and_shape),
		LEAK_CHECKED(test_deletes_keep_order_and_shape),
		LEAK_CHECKED(test_range_deletes_keep_order_and_shape),
		LEAK_CHECKED(test_sequential_writes_keep_order_and_shape),
		LEAK_CHECKED(test_changes_of_style_keep_order),
		LEAK_CHECKED(test_sequential_load_is_written_once),
		LEAK_CHECKED(test_deleting_all_gives_all_space_back),
		LEAK_CHECKED(test_all_by_hand_ends_in_one_run),
		LEAK_CHECKED(test_pieces_stay_small),
	};

	cmocka_set_test_filter(getenv("KV_TEST"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
