/* SPDX-License-Identifier: MIT */
/*
 * check.c - grades exercise 4.5: the merge.
 */
#include "../../../harness/learn/learn.h"
#include "../../lsm_merge.h"

#define CHAPTER "docs/sprint-4-lsm-simd.md, \"Scans\""
#define HEADER  "sprint-4-lsm-simd/lsm_entry.h"
#define KNUTH   "Knuth, \"The Art of Computer Programming\", vol. 3, 5.4.1"

enum { SOURCES = 17, MOST = 64 };

struct item {
	char key[8];
	uint64_t sequence;
};

struct source { /* an array */
	struct lsm_cursor cursor;
	struct item item[MOST];
	size_t n, at; /* at == n: outside */
	uint8_t number;
	bool fails; /* with its next move */
};

static struct source sources[SOURCES];
static unsigned int open_sources;
static struct lsm_cursor *merge;

static int show(struct source *s)
{
	if (s->fails) {
		s->at = s->n;
		return -EBADMSG;
	}
	if (s->at == s->n)
		return -ENOENT;
	s->cursor.key = kv_str(s->item[s->at].key);
	s->cursor.value = kv_slice(&s->number, 1);
	s->cursor.stamp = lsm_stamp(s->item[s->at].sequence, LSM_PUT);
	return 0;
}

static struct source *source_of(struct lsm_cursor *c)
{
	return container_of(c, struct source, cursor);
}

static int source_seek(struct lsm_cursor *c, struct kv_slice key, uint64_t stamp)
{
	struct source *s = source_of(c);

	for (s->at = 0; s->at < s->n; s->at++)
		if (lsm_entry_compare(kv_str(s->item[s->at].key),
				      lsm_stamp(s->item[s->at].sequence, LSM_PUT), key,
				      stamp) >= 0)
			break;
	return show(s);
}

static int source_next(struct lsm_cursor *c)
{
	struct source *s = source_of(c);

	s->at = s->at == s->n ? 0 : s->at + 1;
	return show(s);
}

static int source_prev(struct lsm_cursor *c)
{
	struct source *s = source_of(c);

	s->at = s->at ? s->at - 1 : s->n;
	return show(s);
}

static void source_close(struct lsm_cursor *c)
{
	(void)c;
	open_sources--;
}

static const struct lsm_cursor_ops source_ops = { source_seek, source_next, source_prev,
						  source_close };

static void begin(void)
{
	memset(sources, 0, sizeof(sources));
}

static void give(unsigned int source, const char *key, uint64_t sequence)
{
	struct source *s = &sources[source];

	assert_true(s->n < MOST);
	strcpy(s->item[s->n].key, key);
	s->item[s->n++].sequence = sequence;
}

static void start(size_t n)
{
	struct lsm_cursor *cursor[SOURCES];
	size_t i;

	for (i = 0; i < n; i++) {
		sources[i].cursor.ops = &source_ops;
		sources[i].number = (uint8_t)i;
		sources[i].at = sources[i].n;
		cursor[i] = &sources[i].cursor;
	}
	open_sources = (unsigned int)n;
	learn_error("lsm_merge()", lsm_merge(cursor, n, &merge), 0);
}

static void finish(void)
{
	lsm_cursor_close(merge);
	learn_number("sources that were not closed", open_sources, 0);
}

static void expect_at(const char *move, int error, const char *key, uint64_t sequence)
{
	learn_error(learn_text("%s, which leads to \"%s\" at %llu,", move, key,
			       (unsigned long long)sequence),
		    error, 0);
	learn_expect(merge->key.len == strlen(key) &&
			     !memcmp(merge->key.data, key, merge->key.len),
		     learn_text("%s leads to \"%s\"", move, key), "\"%.*s\"",
		     (int)merge->key.len, (const char *)merge->key.data);
	learn_number(learn_text("the sequence of \"%s\" there", key),
		     lsm_sequence(merge->stamp), sequence);
}

static void expect_source(unsigned int number)
{
	learn_number("the source whose value is shown",
		     *(const uint8_t *)merge->value.data, number);
}

static void expect_end(const char *move, int error)
{
	learn_error(learn_text("%s, which leads past the end,", move), error, -ENOENT);
}

static void test_two_sources_become_one_sequence(void **state)
{
	(void)state;
	begin();
	give(0, "a", 5);
	give(0, "c", 7);
	give(1, "b", 6);
	give(1, "d", 1);
	start(2);
	expect_at("next", lsm_next(merge), "a", 5);
	expect_source(0);
	expect_at("next", lsm_next(merge), "b", 6);
	expect_source(1);
	expect_at("next", lsm_next(merge), "c", 7);
	expect_at("next", lsm_next(merge), "d", 1);
	expect_end("next", lsm_next(merge));
	finish();
}

static void test_newest_version_comes_first(void **state)
{
	(void)state;
	begin();
	give(0, "a", 30);
	give(0, "a", 10);
	give(1, "a", 20);
	give(1, "b", 40);
	start(2);
	expect_at("next", lsm_next(merge), "a", 30);
	expect_at("next", lsm_next(merge), "a", 20);
	expect_at("next", lsm_next(merge), "a", 10);
	expect_at("next", lsm_next(merge), "b", 40);
	expect_end("next", lsm_next(merge));
	expect_at("seek(a, 25)", lsm_seek(merge, kv_str("a"), lsm_seek_stamp(25)), "a",
		  20);
	finish();
}

static void test_backwards_it_is_the_same_sequence(void **state)
{
	(void)state;
	begin();
	give(0, "a", 30);
	give(0, "c", 10);
	give(1, "b", 20);
	give(2, "b", 10);
	start(3);
	expect_at("prev from outside", lsm_prev(merge), "c", 10);
	expect_at("prev", lsm_prev(merge), "b", 10);
	expect_at("prev", lsm_prev(merge), "b", 20);
	expect_at("prev", lsm_prev(merge), "a", 30);
	expect_end("prev", lsm_prev(merge));
	finish();
}

static void test_turning_around(void **state)
{
	(void)state;
	begin();
	give(0, "a", 1);
	give(0, "d", 1);
	give(1, "b", 1);
	give(1, "e", 1);
	give(2, "c", 1);
	start(3);
	expect_at("seek(c)", lsm_seek(merge, kv_str("c"), UINT64_MAX), "c", 1);
	expect_at("prev after it", lsm_prev(merge), "b", 1);
	expect_at("next after that", lsm_next(merge), "c", 1);
	expect_at("next", lsm_next(merge), "d", 1);
	expect_at("prev after it", lsm_prev(merge), "c", 1);
	expect_at("prev", lsm_prev(merge), "b", 1);
	expect_at("prev", lsm_prev(merge), "a", 1);
	expect_at("next after it", lsm_next(merge), "b", 1);
	finish();
}

static void test_equal_entries_are_seen_once(void **state)
{
	(void)state;
	begin();
	give(0, "b", 9);
	give(1, "a", 9);
	give(1, "b", 9);
	give(2, "a", 9);
	give(2, "b", 9);
	give(2, "c", 9);
	start(3);
	expect_at("next", lsm_next(merge), "a", 9);
	expect_source(1);
	expect_at("next", lsm_next(merge), "b", 9);
	expect_source(0);
	expect_at("next", lsm_next(merge), "c", 9);
	expect_end("next", lsm_next(merge));
	expect_at("prev from outside", lsm_prev(merge), "c", 9);
	expect_at("prev", lsm_prev(merge), "b", 9);
	expect_source(0);
	expect_at("prev", lsm_prev(merge), "a", 9);
	expect_end("prev", lsm_prev(merge));
	finish();
}

static void test_turning_at_equal_entries(void **state)
{
	(void)state;
	begin();
	give(0, "a", 9);
	give(0, "b", 9);
	give(1, "b", 9);
	give(1, "c", 9);
	start(2);
	expect_at("prev from outside", lsm_prev(merge), "c", 9);
	expect_at("prev", lsm_prev(merge), "b", 9);
	expect_at("next after it", lsm_next(merge), "c", 9);
	expect_at("seek(b)", lsm_seek(merge, kv_str("b"), UINT64_MAX), "b", 9);
	expect_at("prev after it", lsm_prev(merge), "a", 9);
	expect_at("next after it", lsm_next(merge), "b", 9);
	expect_at("next", lsm_next(merge), "c", 9);
	finish();
}

static void test_empty_sources_do_no_harm(void **state)
{
	(void)state;
	begin();
	give(3, "x", 1);
	start(5);
	expect_at("next", lsm_next(merge), "x", 1);
	expect_end("next", lsm_next(merge));
	expect_at("prev", lsm_prev(merge), "x", 1);
	expect_end("prev", lsm_prev(merge));
	finish();
}

/* ---- at random ---- */

static struct item all[SOURCES * MOST];
static size_t alls;

static int compare(const struct item *a, const struct item *b)
{
	return lsm_entry_compare(kv_str(a->key), lsm_stamp(a->sequence, LSM_PUT),
				 kv_str(b->key), lsm_stamp(b->sequence, LSM_PUT));
}

static int sort_items(const void *a, const void *b)
{
	return compare(a, b);
}

/* runs: each source has its keys side by side. */
static void draw(size_t n, unsigned int keys, bool runs)
{
	size_t i, k, kept;

	begin();
	alls = 0;
	for (i = 0; i < n; i++) {
		size_t items = learn_random(runs ? MOST : 20);

		for (k = 0; k < items; k++) {
			struct item it = { .sequence = 1 + learn_random(9) };

			snprintf(it.key, sizeof(it.key), "%05u",
				 (unsigned int)(learn_random(keys) +
						(runs ? i * 500 : 0)));
			sources[i].item[k] = all[alls++] = it;
		}
		port_sort(sources[i].item, items, sizeof(struct item), sort_items);
		for (k = kept = 0; k < items; k++)
			if (!k || compare(&sources[i].item[k - 1], &sources[i].item[k]))
				sources[i].item[kept++] = sources[i].item[k];
		sources[i].n = kept;
	}
	port_sort(all, alls, sizeof(*all), sort_items);
	for (k = kept = 0; k < alls; k++)
		if (!k || compare(&all[k - 1], &all[k]))
			all[kept++] = all[k];
	alls = kept;
}

static void walk_all(void)
{
	size_t i;

	for (i = 0; i < alls; i++)
		expect_at(learn_text("next, entry %zu of %zu,", i, alls), lsm_next(merge),
			  all[i].key, all[i].sequence);
	expect_end("next", lsm_next(merge));
	for (i = alls; i--;)
		expect_at(learn_text("prev, entry %zu of %zu,", i, alls), lsm_prev(merge),
			  all[i].key, all[i].sequence);
	expect_end("prev", lsm_prev(merge));
}

static void test_many_sources(void **state)
{
	size_t n, again;

	(void)state;
	for (n = 2; n <= SOURCES; n++)
		for (again = 0; again < 10; again++) {
			draw(n, 90000, false);
			start(n);
			walk_all();
			finish();
		}
}

static void test_runs_that_take_turns(void **state)
{
	size_t again;

	(void)state;
	for (again = 0; again < 100; again++) {
		draw(2 + again % 7, 700, true);
		start(2 + again % 7);
		walk_all();
		finish();
	}
}

static void test_random_walks(void **state)
{
	size_t again, steps, n;
	size_t at; /* alls: outside */

	(void)state;
	for (again = 0; again < 150; again++) {
		n = 2 + again % (SOURCES - 1);
		draw(n, again % 2 ? 40 : 90000, false);
		if (!alls)
			continue;
		start(n);
		at = alls;
		for (steps = 0; steps < 100; steps++) {
			bool forwards = learn_random(2);
			int error;

			if (!learn_random(8)) {
				at = learn_random(alls);
				expect_at("seek",
					  lsm_seek(merge, kv_str(all[at].key),
						   lsm_stamp(all[at].sequence, LSM_PUT)),
					  all[at].key, all[at].sequence);
			}
			if (forwards) {
				at = at == alls ? 0 : at + 1;
				error = lsm_next(merge);
			} else {
				at = at ? at - 1 : alls;
				error = lsm_prev(merge);
			}
			if (at == alls)
				expect_end(forwards ? "next" : "prev", error);
			else
				expect_at(forwards ? "next" : "prev", error, all[at].key,
					  all[at].sequence);
		}
		finish();
	}
}

static void test_error_of_a_source_is_told(void **state)
{
	size_t bad;

	(void)state;
	for (bad = 0; bad < 3; bad++) {
		begin();
		give(0, "a", 1);
		give(0, "f", 1);
		give(1, "b", 1);
		give(1, "e", 1);
		give(2, "c", 1);
		give(2, "d", 1);
		start(3);
		expect_at("seek(d)", lsm_seek(merge, kv_str("d"), UINT64_MAX), "d", 1);
		sources[bad].fails = true;
		learn_error(learn_text("prev, which turns around, when source %zu fails,",
				       bad),
			    lsm_prev(merge), -EBADMSG);
		learn_expect(lsm_merge_failed(merge) == &sources[bad].cursor,
			     "lsm_merge_failed() names that source", "another");
		sources[bad].fails = false;
		expect_at("seek(b), when it fails no more,",
			  lsm_seek(merge, kv_str("b"), UINT64_MAX), "b", 1);
		finish();
	}
}

static void bench(uint64_t n, size_t step)
{
	uint64_t i;
	size_t s, k;

	begin();
	for (s = 0; s < 16; s++)
		for (k = 0; k < MOST; k++) {
			size_t number = step == 1 ? s * MOST + k : k * 16 + s;

			snprintf(sources[s].item[k].key, 8, "%06zu", number);
			sources[s].item[k].sequence = 1;
			sources[s].n = MOST;
		}
	start(16);
	for (i = 0; i < n; i++)
		(void)lsm_next(merge);
	finish();
}

static void bench_mixed(uint64_t n)
{
	bench(n, 16);
}

static void bench_runs(uint64_t n)
{
	bench(n, 1);
}

static const struct learn_test tests[] = {
	LEARN_TEST(test_two_sources_become_one_sequence, 2, HEADER),
	LEARN_TEST(test_newest_version_comes_first, 1, HEADER),
	LEARN_TEST(test_backwards_it_is_the_same_sequence, 1, CHAPTER),
	LEARN_TEST(test_empty_sources_do_no_harm, 1, CHAPTER),
	LEARN_TEST(test_many_sources, 2, KNUTH),
	LEARN_TEST(test_runs_that_take_turns, 2, KNUTH),
	LEARN_TEST(test_equal_entries_are_seen_once, 2, "sprint-4-lsm-simd/lsm_merge.h"),
	LEARN_TEST(test_turning_around, 3, CHAPTER),
	LEARN_TEST(test_turning_at_equal_entries, 2, CHAPTER),
	LEARN_TEST(test_random_walks, 3, CHAPTER),
	LEARN_TEST(test_error_of_a_source_is_told, 2, HEADER),
};
static const struct learn_speed speeds[] = { { "mixed", bench_mixed, 50000 },
					     { "runs", bench_runs, 50000 } };

LEARN_MAIN(tests, speeds)
