/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_tombstones_tests.c - sets of range tombstones against a list that is searched from
 * front to back, their normal form, unions, and no memory.
 */
#include "../../sprint-1-core-memory/tests/core_random.h"
#include "../../sprint-1-core-memory/tests/leak_check.h"
#include "../../sprint-1-core-memory/tests/test_scale.h"
#include "../lsm_tombstones.h"

enum { RANGES = 24, KEYS = 30 };

static int set_up(void **state)
{
	core_random_start();
	return leak_check_set_up(state);
}

/* Key i of few: "", then one and two bytes, in order. */
static struct kv_slice key_of(size_t i)
{
	static const char *const text[KEYS] = {
		"",  "a",  "aa", "ab", "b",  "ba", "bb", "bc", "c",  "d",
		"e", "ea", "eb", "f",  "fa", "g",  "h",  "i",  "ia", "j",
		"k", "l",  "m",  "n",  "o",  "p",  "q",  "r",  "s",  "t",
	};

	return kv_slice(text[i], strlen(text[i]));
}

static struct lsm_tombstone range(const char *begin, const char *end, uint64_t sequence)
{
	return (struct lsm_tombstone){ kv_str(begin),
				       end ? kv_str(end) : kv_slice(NULL, 0), sequence };
}

static struct lsm_tombstones *make(const struct lsm_tombstone *t, size_t n)
{
	struct lsm_tombstones *set;

	assert_int_equal(lsm_tombstones_new(t, n, &set), 0);
	return set;
}

static uint64_t cover(const struct lsm_tombstones *set, const char *key, uint64_t limit)
{
	return lsm_tombstones_cover(set, kv_str(key), limit);
}

static void assert_fragment(const struct lsm_tombstones *set, size_t i, const char *begin,
			    const char *end, uint64_t sequence)
{
	const struct lsm_tombstone t = lsm_tombstones_at(set, i);

	assert_int_equal(kv_compare(t.begin, kv_str(begin)), 0);
	assert_int_equal(t.sequence, sequence);
	if (end) {
		assert_non_null(t.end.data);
		assert_int_equal(kv_compare(t.end, kv_str(end)), 0);
	} else {
		assert_null(t.end.data);
	}
}

static void test_nothing_is_the_empty_set(void **state)
{
	const struct lsm_tombstone nothing[] = { range("b", "b", 5), range("c", "a", 6),
						 range("", "", 7) };
	const struct lsm_tombstones *const none[] = { NULL, NULL };
	struct lsm_tombstones *set;

	(void)state;
	assert_null(make(NULL, 0));
	assert_null(make(nothing, 3));
	assert_int_equal(lsm_tombstones_union(none, 2, &set), 0);
	assert_null(set);
	assert_int_equal(lsm_tombstones_count(NULL), 0);
	assert_int_equal(lsm_tombstones_bytes(NULL), 0);
	assert_int_equal(cover(NULL, "a", UINT64_MAX), 0);
	lsm_tombstones_free(NULL);
}

static void test_one_range_covers_from_begin_to_before_end(void **state)
{
	const struct lsm_tombstone t = range("b", "d", 9);
	struct lsm_tombstones *set = make(&t, 1);

	(void)state;
	assert_int_equal(cover(set, "", 100), 0);
	assert_int_equal(cover(set, "az", 100), 0);
	assert_int_equal(cover(set, "b", 100), 9);
	assert_int_equal(cover(set, "czzz", 9), 9);
	assert_int_equal(cover(set, "c", 8), 0);
	assert_int_equal(cover(set, "d", 100), 0);
	assert_int_equal(cover(set, "e", 100), 0);
	assert_int_equal(lsm_tombstones_count(set), 1);
	assert_fragment(set, 0, "b", "d", 9);
	assert_true(lsm_tombstones_bytes(set) > 2);
	lsm_tombstones_free(set);
}

static void test_overlapping_ranges_are_cut_where_they_begin_and_end(void **state)
{
	const struct lsm_tombstone t[] = { range("a", "m", 5), range("f", "z", 8),
					   range("f", "m", 2) };
	struct lsm_tombstones *set = make(t, 3);

	(void)state;
	assert_int_equal(lsm_tombstones_count(set), 5);
	assert_fragment(set, 0, "a", "f", 5);
	assert_fragment(set, 1, "f", "m", 8);
	assert_fragment(set, 2, "f", "m", 5);
	assert_fragment(set, 3, "f", "m", 2);
	assert_fragment(set, 4, "m", "z", 8);
	assert_int_equal(cover(set, "g", 100), 8);
	assert_int_equal(cover(set, "g", 7), 5);
	assert_int_equal(cover(set, "g", 4), 2);
	assert_int_equal(cover(set, "g", 1), 0);
	assert_int_equal(cover(set, "m", 7), 0);
	lsm_tombstones_free(set);
}

static void test_neighbours_that_say_the_same_become_one(void **state)
{
	const struct lsm_tombstone t[] = { range("c", "e", 4), range("a", "c", 4),
					   range("b", "d", 4) };
	struct lsm_tombstones *set = make(t, 3);

	(void)state;
	assert_int_equal(lsm_tombstones_count(set), 1);
	assert_fragment(set, 0, "a", "e", 4);
	lsm_tombstones_free(set);
}

static void test_range_without_end_reaches_to_the_end_of_all_keys(void **state)
{
	const struct lsm_tombstone t[] = { range("x", NULL, 4), range("", "a", 3),
					   range("y", "z", 6) };
	struct lsm_tombstones *set = make(t, 3);

	(void)state;
	assert_int_equal(cover(set, "", 10), 3);
	assert_int_equal(cover(set, "a", 10), 0);
	assert_int_equal(cover(set, "x", 10), 4);
	assert_int_equal(cover(set, "y", 10), 6);
	assert_int_equal(cover(set, "\xff\xff\xff\xff", 10), 4);
	assert_int_equal(lsm_tombstones_count(set), 5);
	assert_fragment(set, 0, "", "a", 3);
	assert_fragment(set, 1, "x", "y", 4);
	assert_fragment(set, 4, "z", NULL, 4);
	lsm_tombstones_free(set);
}

/* ---- against a list ---- */

static uint64_t model_cover(const struct lsm_tombstone *t, size_t n, struct kv_slice key,
			    uint64_t limit)
{
	uint64_t best = 0;

	while (n--)
		if (kv_compare(t[n].begin, key) <= 0 &&
		    (!t[n].end.data || kv_compare(key, t[n].end) < 0) &&
		    t[n].sequence <= limit && t[n].sequence > best)
			best = t[n].sequence;
	return best;
}

static size_t draw(struct lsm_tombstone *t)
{
	size_t i, n = core_random_below(RANGES + 1);

	for (i = 0; i < n; i++) {
		t[i].begin = key_of(core_random_below(KEYS));
		t[i].end = core_random_below(8) ? key_of(core_random_below(KEYS))
						: kv_slice(NULL, 0);
		t[i].sequence = 1 + core_random_below(12);
	}
	return n;
}

static void check_cover(const struct lsm_tombstones *set, const struct lsm_tombstone *t,
			size_t n)
{
	uint64_t limit;
	size_t i;

	for (i = 0; i < KEYS; i++)
		for (limit = 0; limit <= 13; limit++)
			assert_int_equal(lsm_tombstones_cover(set, key_of(i), limit),
					 model_cover(t, n, key_of(i), limit));
}

static void check_form(const struct lsm_tombstones *set)
{
	const size_t n = lsm_tombstones_count(set);
	size_t i;

	for (i = 0; i < n; i++) {
		const struct lsm_tombstone b = lsm_tombstones_at(set, i);
		struct lsm_tombstone a;

		if (b.end.data)
			assert_true(kv_compare(b.begin, b.end) < 0);
		if (!i)
			continue;
		a = lsm_tombstones_at(set, i - 1);
		if (!kv_compare(a.begin, b.begin))
			assert_true(a.sequence > b.sequence && a.end.data == b.end.data);
		else
			assert_true(a.end.data && kv_compare(a.end, b.begin) <= 0);
	}
}

static bool same_sets(const struct lsm_tombstones *a, const struct lsm_tombstones *b)
{
	size_t i, n = lsm_tombstones_count(a);

	if (lsm_tombstones_count(b) != n)
		return false;
	for (i = 0; i < n; i++) {
		const struct lsm_tombstone x = lsm_tombstones_at(a, i);
		const struct lsm_tombstone y = lsm_tombstones_at(b, i);

		if (x.sequence != y.sequence || kv_compare(x.begin, y.begin) ||
		    !x.end.data != !y.end.data ||
		    (x.end.data && kv_compare(x.end, y.end)))
			return false;
	}
	return true;
}

static void test_random_sets_answer_as_a_list(void **state)
{
	const size_t rounds = test_draws(3000) + 30;
	struct lsm_tombstone t[RANGES];
	size_t i;

	(void)state;
	print_message("seed 0x%x\n", CORE_SEED);
	for (i = 0; i < rounds; i++) {
		const size_t n = draw(t);
		struct lsm_tombstones *set = make(t, n);

		check_cover(set, t, n);
		check_form(set);
		lsm_tombstones_free(set);
	}
}

static void test_union_is_the_set_of_all(void **state)
{
	const size_t rounds = test_draws(1500) + 30;
	struct lsm_tombstone t[3 * RANGES];
	size_t i, k;

	(void)state;
	for (i = 0; i < rounds; i++) {
		struct lsm_tombstones *part[3], *both, *whole;
		size_t n = 0;

		for (k = 0; k < 3; k++) {
			size_t more = draw(t + n);

			part[k] = make(t + n, more);
			n += more;
		}
		assert_int_equal(
			lsm_tombstones_union((const struct lsm_tombstones *const *)part,
					     3, &both),
			0);
		whole = make(t, n);
		check_cover(both, t, n);
		assert_true(same_sets(both, whole));
		for (k = 0; k < 3; k++)
			lsm_tombstones_free(part[k]);
		lsm_tombstones_free(both);
		lsm_tombstones_free(whole);
	}
}

static void test_later_sequences_are_settled_in_order(void **state)
{
	const struct lsm_tombstone t[] = { range("a", "f", LSM_TOMBSTONE_LATER + 1),
					   range("b", "c", LSM_TOMBSTONE_LATER),
					   range("b", "g", 7), range("b", "d", 150) };
	struct lsm_tombstones *set = make(t, 4);

	(void)state;
	lsm_tombstones_settle(set, 100);
	lsm_tombstones_settle(NULL, 100);
	assert_int_equal(cover(set, "a", 1000), 101);
	assert_int_equal(cover(set, "b", 1000), 150);
	assert_int_equal(cover(set, "b", 149), 101);
	assert_int_equal(cover(set, "b", 100), 100);
	assert_int_equal(cover(set, "b", 99), 7);
	assert_int_equal(cover(set, "e", 1000), 101);
	assert_int_equal(cover(set, "f", 1000), 7);
	check_form(set);
	lsm_tombstones_free(set);
}

static void test_no_memory_at_every_allocation(void **state)
{
	struct lsm_tombstone t[RANGES];
	struct lsm_tombstones *set, *both;
	const struct lsm_tombstones *pair[2];
	uint64_t nth;
	size_t n;

	(void)state;
	do
		n = draw(t);
	while (n < RANGES / 2);
	for (nth = 1;; nth++) {
		int error;

		port_fault_set(nth, true);
		set = both = NULL;
		error = lsm_tombstones_new(t, n, &set);
		if (!error) {
			pair[0] = pair[1] = set;
			error = lsm_tombstones_union(pair, 2, &both);
		}
		if (!port_fault_fired())
			break;
		assert_int_equal(error, -ENOMEM);
		assert_null(both);
		lsm_tombstones_free(set);
	}
	assert_true(nth > 6);
	assert_true(same_sets(set, both));
	lsm_tombstones_free(set);
	lsm_tombstones_free(both);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_nothing_is_the_empty_set),
		LEAK_CHECKED(test_one_range_covers_from_begin_to_before_end),
		LEAK_CHECKED(test_overlapping_ranges_are_cut_where_they_begin_and_end),
		LEAK_CHECKED(test_neighbours_that_say_the_same_become_one),
		LEAK_CHECKED(test_range_without_end_reaches_to_the_end_of_all_keys),
		LEAK_CHECKED(test_random_sets_answer_as_a_list),
		LEAK_CHECKED(test_union_is_the_set_of_all),
		LEAK_CHECKED(test_later_sequences_are_settled_in_order),
		LEAK_CHECKED(test_no_memory_at_every_allocation),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
