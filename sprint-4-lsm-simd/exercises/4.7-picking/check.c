/* SPDX-License-Identifier: MIT */
/*
 * check.c - grades exercise 4.7: the picker, with versions that are only on paper.
 */
#include "../../../harness/learn/learn.h"
#include "../../lsm_picker.h"

#define CHAPTER "docs/sprint-4-lsm-simd.md, \"Levels and runs\""
#define HEADER  "sprint-4-lsm-simd/lsm_picker.h"

enum { TABLES = 64, RUNS = 12 };

static struct lsm_version version;
static struct lsm_table table[TABLES];
static struct lsm_table *pointer[TABLES];
static struct lsm_run run[LSM_LEVELS][RUNS];
static char key[TABLES][2][4];
static size_t tables;
static struct lsm_layout layout;

static void begin(enum lsm_style style)
{
	unsigned int level;

	memset(&version, 0, sizeof(version));
	memset(table, 0, sizeof(table));
	memset(run, 0, sizeof(run));
	tables = 0;
	for (level = 0; level < LSM_LEVELS; level++)
		version.level[level].run = run[level];
	layout = (struct lsm_layout){ .style = style,
				      .ratio = 4,
				      .flushed_runs = 3,
				      .level_bytes = 4000,
				      .table_bytes = 1000,
				      .piece_bytes = 1 << 20,
				      .blob_live_percent = 50,
				      .delete_percent = 25,
				      .settled = 0 };
}

/* Newest first, so with a smaller number each. */
static void add_run(unsigned int level)
{
	struct lsm_level *l = &version.level[level];

	l->run[l->runs] =
		(struct lsm_run){ .id = 100 - l->runs, .table = &pointer[tables] };
	l->runs++;
}

static struct lsm_table *add_table(unsigned int level, unsigned int first,
				   unsigned int last, uint64_t bytes)
{
	struct lsm_level *l = &version.level[level];
	struct lsm_run *r = &l->run[l->runs - 1];
	struct lsm_table *t = &table[tables];

	snprintf(key[tables][0], sizeof(key[0][0]), "%02u", first % 100);
	snprintf(key[tables][1], sizeof(key[0][1]), "%02u", last % 100);
	t->number = tables + 1;
	t->summary =
		(struct sst_summary){ .bytes = bytes,
				      .entries = bytes / 100,
				      .min_sequence = 1,
				      .max_sequence = 1,
				      .smallest = { .data = key[tables][0], .len = 2 },
				      .largest = { .data = key[tables][1], .len = 2 } };
	pointer[tables++] = t;
	r->tables++;
	r->bytes += bytes;
	l->bytes += bytes;
	version.bytes += bytes;
	return t;
}

/* A run with one table over all keys. */
static struct lsm_table *add_wide(unsigned int level, uint64_t bytes)
{
	add_run(level);
	return add_table(level, 0, 99, bytes);
}

static void expect_none(const char *why)
{
	struct lsm_pick p;
	int came = lsm_pick(&version, &layout, &p);

	learn_expect(came == 0, learn_text("nothing is to be done: %s", why),
		     came == 1 ? "level %u is to be compacted" : "an error",
		     came == 1 ? p.from : 0);
}

/* The caller frees it. */
static struct lsm_pick expect_level(unsigned int level, const char *why)
{
	struct lsm_pick p = { 0 };
	int came = lsm_pick(&version, &layout, &p);

	learn_expect(came == 1 && p.from == level,
		     learn_text("level %u is to be compacted: %s", level, why),
		     came == 1 ? "level %u is"
		     : came    ? "an error"
			       : "nothing is to be done",
		     p.from);
	return p;
}

static void test_level_0_waits_for_enough_runs(void **state)
{
	struct lsm_pick p;

	(void)state;
	begin(LSM_LEVELED);
	expect_none("the store is empty");
	add_wide(0, 500);
	add_wide(0, 500);
	expect_none("level 0 has 2 runs, and 3 are enough");
	add_wide(0, 500);
	p = expect_level(0, "it has 3 runs, and 3 are enough");
	learn_number("the level that it goes to", p.to, 1);
	learn_number("the runs that are merged", p.sources, 3);
	lsm_pick_free(&p);
}

static void test_bottom_outgrows_its_level(void **state)
{
	struct lsm_pick p;

	(void)state;
	begin(LSM_LEVELED);
	add_wide(1, 4000);
	expect_none("level 1 may have 4000 bytes");
	begin(LSM_LEVELED);
	add_wide(1, 4001);
	p = expect_level(1, "the bottom has 4001 bytes, and its limit is 4000");
	learn_number("the level that it goes to", p.to, 2);
	learn_number("whether it moves as it is", p.move, true);
	lsm_pick_free(&p);
	begin(LSM_LEVELED);
	add_wide(3, 64000);
	expect_none("level 3 may have 4000 * 4 * 4 bytes");
	begin(LSM_LEVELED);
	add_wide(3, 64001);
	p = expect_level(3, "the bottom has more than 4000 * 4 * 4 bytes");
	lsm_pick_free(&p);
}

static void test_target_is_the_bottom_divided(void **state)
{
	struct lsm_pick p;

	(void)state;
	begin(LSM_LEVELED);
	add_wide(1, 1999);
	add_wide(3, 32000);
	expect_none("32000 / 4 / 4 is 2000, and level 1 has 1999 bytes");
	begin(LSM_LEVELED);
	add_wide(1, 2100);
	add_wide(3, 32000);
	p = expect_level(1, "32000 / 4 / 4 is 2000, and it has 2100 bytes");
	lsm_pick_free(&p);
}

static void test_target_is_no_less_than_a_table(void **state)
{
	(void)state;
	begin(LSM_LEVELED);
	add_wide(1, 990);
	add_wide(2, 1000);
	expect_none("a quarter of the bottom is 250 bytes, but a table has 1000");
}

static void test_level_is_no_larger_than_its_limit(void **state)
{
	struct lsm_pick p;

	(void)state;
	begin(LSM_LEVELED);
	add_wide(1, 4100);
	add_wide(LSM_LEVELS - 1, (uint64_t)1 << 50);
	p = expect_level(1, "its limit is 4000, however large the last level is");
	lsm_pick_free(&p);
}

static void test_most_urgent_goes_first(void **state)
{
	struct lsm_pick p;
	size_t i;

	(void)state;
	begin(LSM_LEVELED);
	for (i = 0; i < 4; i++)
		add_wide(0, 100);
	add_wide(1, 6000);
	add_wide(2, 8000);
	p = expect_level(1, "it has three times its target, level 0 has 4 runs of 3");
	lsm_pick_free(&p);
	for (i = 0; i < 6; i++)
		add_wide(0, 100);
	p = expect_level(0, "it has 10 runs, where 3 are enough; level 1 has three times "
			    "its target");
	lsm_pick_free(&p);
}

static void test_next_best_when_the_first_is_busy(void **state)
{
	struct lsm_pick p;

	(void)state;
	begin(LSM_LEVELED);
	add_run(1);
	add_table(1, 80, 89, 4000);
	add_run(2);
	add_table(2, 10, 19, 20000)->busy = true;
	add_table(2, 70, 75, 4000);
	add_run(3);
	add_table(3, 10, 19, 16000);
	add_table(3, 70, 75, 16000)->busy = true;
	p = expect_level(1, "it has twice its target; level 2 has even more, but what it "
			    "has or meets is busy");
	lsm_pick_free(&p);
}

/* Three tables of level 1 above six of level 2; target of level 1: 2000. */
static void three_above_six(void)
{
	begin(LSM_LEVELED);
	add_run(1);
	add_table(1, 10, 29, 1000);
	add_table(1, 40, 49, 1000);
	add_table(1, 60, 79, 1000);
	add_run(2);
	add_table(2, 10, 14, 1300);
	add_table(2, 15, 19, 1300);
	add_table(2, 20, 29, 1300);
	add_table(2, 40, 49, 1300);
	add_table(2, 60, 69, 1300);
	add_table(2, 70, 79, 1300);
}

static void expect_table(const char *first, const char *why)
{
	struct lsm_pick p = expect_level(1, "it has more than its target");
	const struct lsm_table *t = p.source[0].table[0];

	learn_expect(!memcmp(t->summary.smallest.data, first, 2),
		     learn_text("the table from key %s on is taken: %s", first, why),
		     "the one from %s", (const char *)t->summary.smallest.data);
	lsm_pick_free(&p);
}

static void test_the_cheapest_table_goes(void **state)
{
	(void)state;
	three_above_six();
	expect_table("40", "it meets one table below, the others two and three");
	three_above_six();
	table[1].busy = true;
	expect_table("60", "the one from 40 is busy, this one meets two");
}

static void test_deleted_entries_are_worth_more(void **state)
{
	(void)state;
	three_above_six();
	table[0].summary.deletes = table[0].summary.entries;
	expect_table("10", "it meets three, but all of its entries are deletes");
	three_above_six();
	table[2].summary.tombstones = 1;
	expect_table("60", "it meets two, but has a range tombstone");
}

static void test_what_is_busy_below_is_left_alone(void **state)
{
	(void)state;
	three_above_six();
	table[2].summary.tombstones = 1;
	pointer[3 + 5]->busy = true; /* of level 2: keys 70 to 79 */
	expect_table("40",
		     "the one from 60 has a range tombstone, but what it meets is busy");
	three_above_six();
	pointer[3]->busy = pointer[3 + 3]->busy = pointer[3 + 5]->busy = true;
	expect_none("each table of level 1 meets a busy one");
}

static void test_gap_beside_a_busy_table_is_busy(void **state)
{
	(void)state;
	begin(LSM_LEVELED);
	add_run(1);
	add_table(1, 40, 49, 2100);
	add_run(2);
	add_table(2, 10, 19, 4000);
	add_table(2, 80, 89, 4000)->busy = true;
	expect_none("what comes before the busy table may be written by its compaction");
}

static void test_table_that_meets_nothing_moves(void **state)
{
	struct lsm_pick p;

	(void)state;
	begin(LSM_LEVELED);
	add_run(1);
	add_table(1, 10, 29, 2000);
	add_table(1, 50, 59, 2000);
	add_run(2);
	add_table(2, 10, 29, 8000);
	p = expect_level(1, "it has twice its target");
	learn_number("whether the table moves as it is", p.move, true);
	learn_bytes("the first key of what moves",
		    p.source[0].table[0]->summary.smallest.data, "50", 2);
	lsm_pick_free(&p);
}

static void test_tiers_wait_for_as_many_runs_as_the_ratio(void **state)
{
	struct lsm_pick p;
	size_t i;

	(void)state;
	begin(LSM_TIERED);
	for (i = 0; i < 3; i++)
		add_wide(1, 9000);
	expect_none("a tier has 3 runs, and the ratio is 4");
	add_wide(1, 9000);
	p = expect_level(1, "a tier has 4 runs, and the ratio is 4");
	learn_number("the runs that are merged", p.sources, 4);
	lsm_pick_free(&p);
}

static void test_lazy_store_limits_what_is_above_the_bottom(void **state)
{
	struct lsm_pick p;

	(void)state;
	begin(LSM_LAZY);
	add_wide(1, 2400);
	add_wide(2, 10000);
	expect_none("24% of the bottom stands above it, and 25% may");
	begin(LSM_LAZY);
	add_wide(1, 2600);
	add_wide(2, 10000);
	p = expect_level(1, "26% of the bottom stands above it, and 25% may");
	lsm_pick_free(&p);
}

static void test_runs_of_another_style_are_merged(void **state)
{
	struct lsm_pick p;

	(void)state;
	begin(LSM_LEVELED);
	add_wide(1, 100);
	add_wide(1, 100);
	add_wide(2, 8000);
	p = expect_level(1, "a leveled level has one run, this one has two");
	lsm_pick_free(&p);
}

static void test_merge_that_was_begun_goes_on(void **state)
{
	struct lsm_pick p;

	(void)state;
	begin(LSM_LEVELED);
	add_wide(0, 500);
	add_run(1);
	add_table(1, 0, 49, 1000);
	add_table(1, 50, 99, 1000);
	version.level[0].progress =
		(struct kv_buf){ .data = (void *)(uintptr_t) "50", .len = 2 };
	version.level[0].progress_run = 100;
	p = expect_level(0, "half of its merge is done");
	lsm_pick_free(&p);
}

static void test_deletes_come_down(void **state)
{
	struct lsm_pick p;

	(void)state;
	begin(LSM_LEVELED);
	add_wide(1, 500)->summary.deletes = 4;
	add_wide(2, 1500);
	p = expect_level(1, "its 4 deletes are more than a quarter of 15 entries below");
	lsm_pick_free(&p);
}

static const struct learn_test tests[] = {
	LEARN_TEST(test_level_0_waits_for_enough_runs, 1, HEADER),
	LEARN_TEST(test_bottom_outgrows_its_level, 2, CHAPTER),
	LEARN_TEST(test_target_is_the_bottom_divided, 2, CHAPTER),
	LEARN_TEST(test_target_is_no_less_than_a_table, 1, CHAPTER),
	LEARN_TEST(test_level_is_no_larger_than_its_limit, 1, CHAPTER),
	LEARN_TEST(test_most_urgent_goes_first, 2, CHAPTER),
	LEARN_TEST(test_next_best_when_the_first_is_busy, 2, HEADER),
	LEARN_TEST(test_the_cheapest_table_goes, 2, CHAPTER),
	LEARN_TEST(test_deleted_entries_are_worth_more, 1, CHAPTER),
	LEARN_TEST(test_what_is_busy_below_is_left_alone, 2, HEADER),
	LEARN_TEST(test_gap_beside_a_busy_table_is_busy, 1, HEADER),
	LEARN_TEST(test_table_that_meets_nothing_moves, 1, HEADER),
	LEARN_TEST(test_tiers_wait_for_as_many_runs_as_the_ratio, 1, HEADER),
	LEARN_TEST(test_lazy_store_limits_what_is_above_the_bottom, 1, CHAPTER),
	LEARN_TEST(test_runs_of_another_style_are_merged, 1, CHAPTER),
	LEARN_TEST(test_merge_that_was_begun_goes_on, 1, HEADER),
	LEARN_TEST(test_deletes_come_down, 1,
		   "docs/sprint-4-lsm-simd.md, \"Snapshots and range deletes\""),
};

LEARN_MAIN_NO_SPEED(tests)
