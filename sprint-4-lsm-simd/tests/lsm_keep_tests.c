/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_keep_tests.c - dropping changes nothing that anybody sees.
 *
 * A history of puts, deletes and range deletes over few keys. Its older part lies below, the
 * newer one is merged. Whatever the merge drops: for each snapshot, and the newest state, each
 * key's value is what it was. The judge looks through all writes for each question.
 */
#include "../../sprint-1-core-memory/tests/core_random.h"
#include "../../sprint-1-core-memory/tests/leak_check.h"
#include "../../sprint-1-core-memory/tests/test_scale.h"
#include "../lsm_merge.h"

enum { WRITES_MAX = 60, KEYS = 6, SNAPSHOTS_MAX = 5, FRAGMENTS_MAX = 400 };

struct write {
	uint64_t sequence;
	enum lsm_kind kind;
	bool range; /* deletes [key, end) */
	char key, end;
	bool gone; /* dropped */
};

struct history {
	struct write write[WRITES_MAX];
	size_t n, below; /* the first below of them lie below the merge */
	uint64_t snapshot[SNAPSHOTS_MAX];
	size_t snapshots;
	bool bottom;

	/* what the merge kept of the range deletes */
	struct write kept[FRAGMENTS_MAX];
	size_t kepts;
	struct lsm_keep keep; /* as it ended */
};

static struct history history;

static struct kv_slice key_of(const char *c)
{
	return kv_slice(c, 1);
}

static void draw_writes(struct history *h)
{
	uint64_t sequence = 0;
	size_t i;

	h->n = core_random_below(WRITES_MAX);
	for (i = 0; i < h->n; i++) {
		struct write *w = &h->write[i];

		sequence += 1 + core_random_below(3);
		*w = (struct write){ .sequence = sequence };
		w->key = (char)('a' + core_random_below(KEYS));
		w->kind = core_random_below(3) ? LSM_PUT : LSM_DELETE;
		w->range = !core_random_below(6);
		w->end = (char)(w->key + 1 + core_random_below(KEYS));
	}
}

static void draw(struct history *h)
{
	uint64_t last = 1;
	size_t i;

	memset(h, 0, sizeof(*h));
	draw_writes(h);
	h->bottom = core_random_below(2);
	h->below = h->bottom || !h->n ? 0 : core_random_below(h->n);
	h->snapshots = core_random_below(SNAPSHOTS_MAX + 1);
	for (i = 0; i < h->snapshots; i++) {
		last += core_random_below(40);
		h->snapshot[i] = last;
	}
}

/* The sequence of the put that a reader sees; 0: none. */
static uint64_t seen(const struct history *h, char key, uint64_t at, bool after)
{
	const struct write *best = NULL, *w;
	uint64_t hidden = 0;
	size_t i, n = h->n + (after ? h->kepts : 0);

	for (i = 0; i < n; i++) {
		w = i < h->n ? &h->write[i] : &h->kept[i - h->n];
		if (w->sequence > at || (after && w->gone))
			continue;
		if (w->range && w->key <= key && key < w->end && w->sequence > hidden)
			hidden = w->sequence;
		if (!w->range && w->key == key && (!best || w->sequence > best->sequence))
			best = w;
	}
	return best && best->kind == LSM_PUT && best->sequence > hidden ? best->sequence
									: 0;
}

static struct lsm_tombstones *tombstones_of(const struct history *h)
{
	struct lsm_tombstone t[WRITES_MAX];
	struct lsm_tombstones *set = NULL;
	size_t i, n = 0;

	for (i = h->below; i < h->n; i++)
		if (h->write[i].range)
			t[n++] = (struct lsm_tombstone){ key_of(&h->write[i].key),
							 key_of(&h->write[i].end),
							 h->write[i].sequence };
	assert_int_equal(lsm_tombstones_new(t, n, &set), 0);
	return set;
}

/* Gives the entries that are merged to the code under test, and marks what it drops. */
static void drop_entries(struct history *h, const struct lsm_keep_config *c)
{
	char key;
	size_t i;

	assert_int_equal(lsm_keep_begin(&h->keep, c), 0);
	for (key = 'a'; key < 'a' + KEYS; key++)
		for (i = h->n; i-- > h->below;) {
			struct write *w = &h->write[i];
			int keep;

			if (w->range || w->key != key)
				continue;
			keep = lsm_keep(&h->keep, key_of(&key),
					lsm_stamp(w->sequence, w->kind));
			assert_in_range(keep, 0, 1);
			w->gone = !keep;
		}
	lsm_keep_end(&h->keep);
}

static void drop_tombstones(struct history *h, const struct lsm_keep_config *c)
{
	size_t i, n = lsm_tombstones_count(c->tombstones);

	for (i = h->below; i < h->n; i++)
		h->write[i].gone |= h->write[i].range;
	for (i = 0; i < n; i++) {
		struct lsm_tombstone t = lsm_tombstones_at(c->tombstones, i);

		if (!lsm_keep_tombstone(c, &t))
			continue;
		assert_true(h->kepts < FRAGMENTS_MAX);
		h->kept[h->kepts++] = (struct write){
			.sequence = t.sequence,
			.range = true,
			.key = *(const char *)t.begin.data,
			.end = *(const char *)t.end.data,
		};
	}
}

static void merge(struct history *h)
{
	struct lsm_tombstones *set = tombstones_of(h);
	struct lsm_keep_config c = {
		.snapshot = h->snapshot,
		.snapshots = h->snapshots,
		.tombstones = set,
		.bottom = h->bottom,
	};

	drop_entries(h, &c);
	drop_tombstones(h, &c);
	lsm_tombstones_free(set);
}

static void check_seen(const struct history *h)
{
	size_t i;
	char key;

	for (key = 'a'; key < 'a' + KEYS; key++)
		for (i = 0; i <= h->snapshots; i++) {
			uint64_t at =
				i < h->snapshots ? h->snapshot[i] : LSM_SEQUENCE_MAX;

			assert_int_equal(seen(h, key, at, true), seen(h, key, at, false));
		}
}

/* Without snapshots, at the bottom: what is seen, and nothing else. */
static void check_least(const struct history *h)
{
	size_t i;

	assert_int_equal(h->kepts, 0);
	for (i = h->below; i < h->n; i++)
		if (!h->write[i].gone)
			assert_int_equal(seen(h, h->write[i].key, LSM_SEQUENCE_MAX, true),
					 h->write[i].sequence);
}

static void check_counts(const struct history *h)
{
	uint64_t dropped = 0;
	size_t i;

	for (i = 0; i < h->n; i++)
		dropped += !h->write[i].range && h->write[i].gone;
	assert_int_equal(h->keep.dropped_versions + h->keep.dropped_tombstones +
				 h->keep.dropped_covered,
			 dropped);
}

static void test_dropping_changes_nothing_that_anybody_sees(void **state)
{
	uint64_t round, rounds = 100 + test_draws(40000);

	(void)state;
	for (round = 0; round < rounds; round++) {
		draw(&history);
		merge(&history);
		check_seen(&history);
		check_counts(&history);
		if (history.bottom && !history.snapshots)
			check_least(&history);
	}
}

/* In each stripe at most one entry of a key is left. */
static void test_one_version_of_a_key_for_each_snapshot(void **state)
{
	static const uint64_t snapshot[] = { 10, 20 };
	struct lsm_keep_config c = { .snapshot = snapshot, .snapshots = 2 };
	struct lsm_keep k;
	uint64_t sequence;
	char kept[32] = "";

	(void)state;
	assert_int_equal(lsm_keep_begin(&k, &c), 0);
	for (sequence = 25; sequence; sequence--)
		if (lsm_keep(&k, kv_str("k"), lsm_stamp(sequence, LSM_PUT)))
			snprintf(kept + strlen(kept), sizeof(kept) - strlen(kept), "%u ",
				 (unsigned int)sequence);
	lsm_keep_end(&k);
	assert_string_equal(kept, "25 20 10 ");
	assert_int_equal(k.dropped_versions, 22);
}

static void test_tombstone_goes_at_the_bottom_when_no_snapshot_is_older(void **state)
{
	static const uint64_t snapshot = 10;
	struct lsm_keep_config c = { .snapshot = &snapshot, .snapshots = 1 };
	int bottom;

	(void)state;
	for (bottom = 0; bottom < 2; bottom++) {
		struct lsm_keep k;

		c.bottom = bottom;
		assert_int_equal(lsm_keep_begin(&k, &c), 0);
		assert_int_equal(lsm_keep(&k, kv_str("a"), lsm_stamp(11, LSM_DELETE)), 1);
		assert_int_equal(lsm_keep(&k, kv_str("a"), lsm_stamp(9, LSM_PUT)), 1);
		assert_int_equal(lsm_keep(&k, kv_str("b"), lsm_stamp(10, LSM_DELETE)),
				 !bottom);
		assert_int_equal(lsm_keep(&k, kv_str("b"), lsm_stamp(9, LSM_PUT)), 0);
		lsm_keep_end(&k);
	}
}

static void test_older_range_delete_of_one_stripe_goes(void **state)
{
	static const uint64_t snapshot = 10;
	struct lsm_tombstone t[] = { { kv_str("a"), kv_str("c"), 5 },
				     { kv_str("a"), kv_str("c"), 7 },
				     { kv_str("a"), kv_str("c"), 12 } };
	struct lsm_keep_config c = { .snapshot = &snapshot, .snapshots = 1 };
	struct lsm_tombstones *set;

	(void)state;
	assert_int_equal(lsm_tombstones_new(t, 3, &set), 0);
	c.tombstones = set;
	assert_false(lsm_keep_tombstone(&c, &t[0]));
	assert_true(lsm_keep_tombstone(&c, &t[1]));
	assert_true(lsm_keep_tombstone(&c, &t[2]));
	c.bottom = true;
	assert_false(lsm_keep_tombstone(&c, &t[1]));
	assert_true(lsm_keep_tombstone(&c, &t[2]));
	lsm_tombstones_free(set);
}

static void test_no_memory_for_a_key(void **state)
{
	struct lsm_keep_config c = { .bottom = true };
	struct lsm_keep k;

	(void)state;
	assert_int_equal(lsm_keep_begin(&k, &c), 0);
	port_fault_set(1, true);
	assert_int_equal(lsm_keep(&k, kv_str("key"), lsm_stamp(1, LSM_PUT)), -ENOMEM);
	assert_int_equal(lsm_keep(&k, kv_str("key"), lsm_stamp(1, LSM_PUT)), 1);
	lsm_keep_end(&k);
}

static int set_up(void **state)
{
	core_random_start();
	return leak_check_set_up(state);
}

#define KEEP_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, leak_check_tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		KEEP_TEST(test_dropping_changes_nothing_that_anybody_sees),
		KEEP_TEST(test_one_version_of_a_key_for_each_snapshot),
		KEEP_TEST(test_tombstone_goes_at_the_bottom_when_no_snapshot_is_older),
		KEEP_TEST(test_older_range_delete_of_one_stripe_goes),
		KEEP_TEST(test_no_memory_for_a_key),
	};

	print_message("seed 0x%x\n", CORE_SEED);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
