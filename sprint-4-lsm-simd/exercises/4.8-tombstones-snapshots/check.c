/* SPDX-License-Identifier: MIT */
/*
 * check.c - grades exercise 4.8: which entries a compaction may leave out.
 */
#include "../../../harness/learn/learn.h"
#include "../../lsm_merge.h"

#define CHAPTER "docs/sprint-4-lsm-simd.md, \"Snapshots and range deletes\""
#define HEADER  "sprint-4-lsm-simd/lsm_merge.h"

enum { MOST = 64, TIMES = 300 };

struct item {
	const char *key;
	uint64_t sequence;
	enum lsm_kind kind;
	bool kept;
};

static struct lsm_keep run_keep(const struct lsm_keep_config *c, const struct item *item,
				size_t n)
{
	struct lsm_keep k, counters;
	size_t i;

	assert_int_equal(lsm_keep_begin(&k, c), 0);
	for (i = 0; i < n; i++) {
		int came = lsm_keep(&k, kv_str(item[i].key),
				    lsm_stamp(item[i].sequence, item[i].kind));

		learn_expect(came == item[i].kept,
			     learn_text("the %s of \"%s\" at sequence %llu is %s",
					item[i].kind == LSM_DELETE ? "delete" : "put",
					item[i].key, (unsigned long long)item[i].sequence,
					item[i].kept ? "kept" : "left out"),
			     came < 0 ? "an error"
			     : came   ? "kept"
				      : "left out");
	}
	counters = k;
	lsm_keep_end(&k);
	return counters;
}

#define RUN(c, item) run_keep(c, item, sizeof(item) / sizeof(*(item)))

static void test_of_one_key_the_newest_is_kept(void **state)
{
	static const struct item items[] = {
		{ "a", 30, LSM_PUT, true },  { "a", 20, LSM_PUT, false },
		{ "a", 10, LSM_PUT, false }, { "b", 25, LSM_PUT, true },
		{ "b", 24, LSM_PUT, false }, { "ba", 5, LSM_PUT, true },
	};
	const struct lsm_keep_config c = { 0 };
	struct lsm_keep k = RUN(&c, items);

	(void)state;
	learn_number("dropped_versions", k.dropped_versions, 3);
	learn_number("dropped_tombstones", k.dropped_tombstones, 0);
}

static void test_each_snapshot_keeps_its_version(void **state)
{
	static const uint64_t snapshot[] = { 10, 20, 30 };
	static const struct item items[] = {
		{ "a", 35, LSM_PUT, true },  { "a", 29, LSM_PUT, true },
		{ "a", 25, LSM_PUT, false }, { "a", 12, LSM_PUT, true },
		{ "a", 11, LSM_PUT, false }, { "a", 8, LSM_PUT, true },
		{ "a", 3, LSM_PUT, false },  { "b", 2, LSM_PUT, true },
	};
	const struct lsm_keep_config c = { .snapshot = snapshot, .snapshots = 3 };

	(void)state;
	learn_number("dropped_versions", RUN(&c, items).dropped_versions, 3);
}

static void test_snapshot_sees_its_own_sequence(void **state)
{
	static const uint64_t snapshot[] = { 10 };
	static const struct item items[] = {
		{ "a", 11, LSM_PUT, true },
		{ "a", 10, LSM_PUT, true },
		{ "a", 9, LSM_PUT, false },
	};
	const struct lsm_keep_config c = { .snapshot = snapshot, .snapshots = 1 };

	(void)state;
	RUN(&c, items);
}

static void test_delete_stays_above_older_tables(void **state)
{
	static const struct item items[] = { { "a", 20, LSM_DELETE, true },
					     { "a", 10, LSM_PUT, false },
					     { "b", 5, LSM_DELETE, true } };
	const struct lsm_keep_config c = { .bottom = false };

	(void)state;
	learn_number("dropped_tombstones", RUN(&c, items).dropped_tombstones, 0);
}

static void test_delete_goes_at_the_bottom(void **state)
{
	static const struct item items[] = { { "a", 20, LSM_DELETE, false },
					     { "a", 10, LSM_PUT, false },
					     { "b", 5, LSM_DELETE, false },
					     { "c", 7, LSM_PUT, true } };
	const struct lsm_keep_config c = { .bottom = true };
	struct lsm_keep k = RUN(&c, items);

	(void)state;
	learn_number("dropped_tombstones", k.dropped_tombstones, 2);
	learn_number("dropped_versions", k.dropped_versions, 1);
}

static void test_delete_stays_while_a_snapshot_is_older(void **state)
{
	static const uint64_t snapshot[] = { 10 };
	static const struct item items[] = {
		{ "a", 20, LSM_DELETE, true },
		{ "a", 5, LSM_PUT, true },
		{ "b", 8, LSM_DELETE, false },
		{ "b", 5, LSM_PUT, false },
	};
	const struct lsm_keep_config c = { .snapshot = snapshot,
					   .snapshots = 1,
					   .bottom = true };

	(void)state;
	RUN(&c, items);
}

static void test_out_of_memory_is_told(void **state)
{
	const struct lsm_keep_config c = { 0 };
	struct lsm_keep k;

	(void)state;
	assert_int_equal(lsm_keep_begin(&k, &c), 0);
	port_fault_set(1, false);
	learn_error("lsm_keep() without memory for the key",
		    lsm_keep(&k, kv_str("a key"), lsm_stamp(1, LSM_PUT)), -ENOMEM);
	port_fault_set(0, false);
	lsm_keep_end(&k);
}

/* ---- range tombstones ---- */

static struct lsm_tombstones *ranges(const struct lsm_tombstone *t, size_t n)
{
	struct lsm_tombstones *set = NULL;

	assert_int_equal(lsm_tombstones_new(t, n, &set), 0);
	return set;
}

static void test_cover_of_one_range(void **state)
{
	const struct lsm_tombstone t = { kv_str("b"), kv_str("d"), 50 };
	struct lsm_tombstones *set = ranges(&t, 1);
	static const struct {
		const char *key;
		uint64_t limit, is;
	} want[] = {
		{ "a", 99, 0 },   { "b", 99, 50 }, { "bz", 99, 50 }, { "czz", 50, 50 },
		{ "czz", 49, 0 }, { "d", 99, 0 },  { "z", 99, 0 },   { "", 99, 0 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(want) / sizeof(*want); i++)
		learn_number(
			learn_text("what of [b, d) at 50 covers \"%s\", limit %llu,",
				   want[i].key, (unsigned long long)want[i].limit),
			lsm_tombstones_cover(set, kv_str(want[i].key), want[i].limit),
			want[i].is);
	learn_number("what covers \"a\" in the empty set",
		     lsm_tombstones_cover(NULL, kv_str("a"), 99), 0);
	lsm_tombstones_free(set);
}

/* Against a look at each range. */
static void test_cover_of_many_ranges(void **state)
{
	struct lsm_tombstone t[12];
	char text[25][4], key[4];
	size_t i, k, n;
	uint64_t limit, is;

	(void)state;
	for (k = 0; k < TIMES; k++) {
		n = 1 + learn_random(12);
		for (i = 0; i < n; i++) {
			uint64_t begin = learn_random(50), end = learn_random(55);

			snprintf(text[2 * i], 4, "%02u", (unsigned int)begin);
			snprintf(text[2 * i + 1], 4, "%02u", (unsigned int)end);
			t[i] = (struct lsm_tombstone){ kv_str(text[2 * i]),
						       kv_str(text[2 * i + 1]),
						       1 + learn_random(30) };
			if (end > 50)
				t[i].end = kv_slice(NULL, 0);
		}
		struct lsm_tombstones *set = ranges(t, n);

		for (unsigned int at = 0; at < 55; at++) {
			snprintf(key, 4, "%02u", at);
			limit = 1 + learn_random(32);
			for (is = i = 0; i < n; i++)
				if (kv_compare(t[i].begin, kv_str(key)) <= 0 &&
				    (!t[i].end.data ||
				     kv_compare(kv_str(key), t[i].end) < 0) &&
				    t[i].sequence <= limit && t[i].sequence > is)
					is = t[i].sequence;
			learn_number(learn_text("the largest sequence up to %llu that "
						"covers \"%s\"",
						(unsigned long long)limit, key),
				     lsm_tombstones_cover(set, kv_str(key), limit), is);
		}
		lsm_tombstones_free(set);
	}
}

static void test_covered_entries_go(void **state)
{
	static const struct item items[] = {
		{ "a", 40, LSM_PUT, true },  { "b", 60, LSM_PUT, true },
		{ "b2", 50, LSM_PUT, true }, { "c", 40, LSM_PUT, false },
		{ "c", 30, LSM_PUT, false }, { "d", 40, LSM_PUT, true },
	};
	const struct lsm_tombstone t = { kv_str("b"), kv_str("d"), 50 };
	struct lsm_tombstones *set = ranges(&t, 1);
	const struct lsm_keep_config c = { .tombstones = set };
	struct lsm_keep k = RUN(&c, items);

	(void)state;
	learn_number("dropped_covered", k.dropped_covered, 1);
	learn_number("dropped_versions", k.dropped_versions, 1);
	lsm_tombstones_free(set);
}

static void test_covered_entries_stay_for_older_snapshots(void **state)
{
	static const uint64_t snapshot[] = { 45 };
	static const struct item items[] = { { "b", 47, LSM_PUT, false },
					     { "b", 40, LSM_PUT, true },
					     { "c", 45, LSM_PUT, true } };
	const struct lsm_tombstone t = { kv_str("b"), kv_str("d"), 50 };
	struct lsm_tombstones *set = ranges(&t, 1);
	const struct lsm_keep_config c = { .snapshot = snapshot,
					   .snapshots = 1,
					   .tombstones = set };

	(void)state;
	RUN(&c, items);
	lsm_tombstones_free(set);
}

static void test_range_tombstones_that_are_needed(void **state)
{
	static const uint64_t snapshot[] = { 45 };
	const struct lsm_tombstone t[] = { { kv_str("b"), kv_str("d"), 50 },
					   { kv_str("b"), kv_str("d"), 47 },
					   { kv_str("b"), kv_str("d"), 40 } };
	struct lsm_tombstones *set = ranges(t, 3);
	struct lsm_keep_config c = { .tombstones = set };
	size_t i;

	(void)state;
	for (i = 0; i < 3; i++)
		learn_number(
			learn_text("without snapshots, whether the tombstone of %llu "
				   "is needed",
				   (unsigned long long)t[i].sequence),
			lsm_keep_tombstone(&c, &t[i]), i == 0);
	c.snapshot = snapshot;
	c.snapshots = 1;
	for (i = 0; i < 3; i++)
		learn_number(learn_text("with a snapshot at 45, whether the tombstone of "
					"%llu is needed",
					(unsigned long long)t[i].sequence),
			     lsm_keep_tombstone(&c, &t[i]), i != 1);
	c.bottom = true;
	for (i = 0; i < 3; i++)
		learn_number(learn_text("at the bottom, with a snapshot at 45, whether "
					"the tombstone of %llu is needed",
					(unsigned long long)t[i].sequence),
			     lsm_keep_tombstone(&c, &t[i]), i == 0);
	lsm_tombstones_free(set);
}

/* ---- what readers see ---- */

struct version {
	uint64_t sequence;
	bool deleted, kept;
};

/* 0: nothing. */
static uint64_t seen(const struct version *v, size_t n, uint64_t at, bool kept_alone)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (v[i].sequence <= at && (v[i].kept || !kept_alone))
			return v[i].deleted ? 0 : v[i].sequence;
	return 0;
}

static void test_no_reader_sees_a_difference(void **state)
{
	struct version v[MOST];
	uint64_t snapshot[6], sequence;
	size_t i, k, n;

	(void)state;
	for (k = 0; k < 10 * TIMES; k++) {
		struct lsm_keep_config c = { .snapshot = snapshot, .bottom = true };
		struct lsm_keep keep;

		for (sequence = 1; sequence < 60 && c.snapshots < 6; sequence++)
			if (!learn_random(12))
				snapshot[c.snapshots++] = sequence;
		assert_int_equal(lsm_keep_begin(&keep, &c), 0);
		for (n = 0, sequence = 60; sequence; sequence--) {
			if (learn_random(4))
				continue;
			v[n] = (struct version){ sequence, !learn_random(2), false };
			v[n].kept = lsm_keep(&keep, kv_str("key"),
					     lsm_stamp(sequence, v[n].deleted
									 ? LSM_DELETE
									 : LSM_PUT)) == 1;
			n++;
		}
		lsm_keep_end(&keep);
		for (i = 0; i <= c.snapshots; i++) {
			uint64_t at = i < c.snapshots ? snapshot[i] : LSM_SEQUENCE_MAX;

			learn_number(learn_text("the version that a reader at %llu sees",
						(unsigned long long)at),
				     seen(v, n, at, true), seen(v, n, at, false));
		}
	}
}

static void bench_keep(uint64_t n)
{
	static uint64_t snapshot[100];
	struct lsm_keep_config c = { .snapshot = snapshot, .snapshots = 100 };
	struct lsm_keep k;
	uint8_t key[8];
	uint64_t i;

	for (i = 0; i < 100; i++)
		snapshot[i] = 100 * i;
	(void)lsm_keep_begin(&k, &c);
	for (i = 0; i < n; i++) {
		port_put_le64(key, i / 4);
		(void)lsm_keep(&k, kv_slice(key, 8), lsm_stamp(10000 - i % 4, LSM_PUT));
	}
	lsm_keep_end(&k);
}

static const struct learn_test tests[] = {
	LEARN_TEST(test_of_one_key_the_newest_is_kept, 1, HEADER),
	LEARN_TEST(test_each_snapshot_keeps_its_version, 2, CHAPTER),
	LEARN_TEST(test_snapshot_sees_its_own_sequence, 2, CHAPTER),
	LEARN_TEST(test_delete_stays_above_older_tables, 1, CHAPTER),
	LEARN_TEST(test_delete_goes_at_the_bottom, 1, CHAPTER),
	LEARN_TEST(test_delete_stays_while_a_snapshot_is_older, 3, CHAPTER),
	LEARN_TEST(test_out_of_memory_is_told, 1, HEADER),
	LEARN_TEST(test_cover_of_one_range, 2, "sprint-4-lsm-simd/lsm_tombstones.h"),
	LEARN_TEST(test_cover_of_many_ranges, 2, "sprint-4-lsm-simd/lsm_tombstones.h"),
	LEARN_TEST(test_covered_entries_go, 2, CHAPTER),
	LEARN_TEST(test_covered_entries_stay_for_older_snapshots, 2, CHAPTER),
	LEARN_TEST(test_range_tombstones_that_are_needed, 2, HEADER),
	LEARN_TEST(test_no_reader_sees_a_difference, 3, CHAPTER),
};
static const struct learn_speed speeds[] = { { "keep", bench_keep, 50000 } };

LEARN_MAIN(tests, speeds)
