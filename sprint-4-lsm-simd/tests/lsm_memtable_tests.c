/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_memtable_tests.c - the memtable against a sorted array: every version of every key at
 * every sequence, cursors, range tombstones, memory, threads.
 */
#include "../lsm_memtable.h"
#include "../neon_lsm_ops.h"
#include "lsm_memtable_fixture.h"

static struct lsm_memory *memory;

static int set_up(void **state)
{
	core_random_start();
	leak_check_set_up(state);
	return lsm_memory_new(64 << 20, false, &memory);
}

static int tear_down(void **state)
{
	lsm_memory_free(memory);
	return leak_check_tear_down(state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static struct lsm_memtable *make(uint64_t bytes)
{
	struct lsm_memtable *t;

	assert_int_equal(lsm_memtable_new(memory, bytes, &t), 0);
	return t;
}

static void insert(struct lsm_memtable *t, struct kv_slice key, uint64_t stamp,
		   struct kv_slice value)
{
	struct lsm_room room;

	assert_int_equal(lsm_memtable_reserve(
				 t, lsm_memtable_entry_bytes(key.len, value.len), &room),
			 0);
	lsm_memtable_insert(t, &room, key, lsm_key_hash(key), stamp, value);
	assert_true(room.at <= room.end);
	lsm_memtable_done(t, &room);
}

static void put(struct lsm_memtable *t, const char *key, uint64_t sequence,
		const char *value)
{
	insert(t, kv_str(key), lsm_stamp(sequence, LSM_PUT), kv_str(value));
}

/* What get(key) at sequence gives: "value@sequence", "-" for none. */
static const char *got(const struct lsm_memtable *t, const char *key, uint64_t sequence)
{
	static char text[2 * TEXT];
	struct kv_slice value;
	uint64_t stamp;

	lsm_memtable_prefetch(t, lsm_key_hash(kv_str(key)));
	if (!lsm_memtable_get(t, kv_str(key), lsm_key_hash(kv_str(key)), sequence, &stamp,
			      &value))
		return "-";
	(void)snprintf(text, sizeof(text), "%.*s@%llu", (int)value.len,
		       (const char *)value.data, (unsigned long long)lsm_sequence(stamp));
	return text;
}

static void test_get_finds_the_newest_version_at_a_sequence(void **state)
{
	struct lsm_memtable *t = make(1 << 20);

	(void)state;
	assert_string_equal(got(t, "k", 100), "-");
	put(t, "k", 5, "a");
	put(t, "k", 9, "b");
	put(t, "", 7, "empty");
	assert_string_equal(got(t, "k", 4), "-");
	assert_string_equal(got(t, "k", 5), "a@5");
	assert_string_equal(got(t, "k", 8), "a@5");
	assert_string_equal(got(t, "k", 9), "b@9");
	assert_string_equal(got(t, "k", LSM_SEQUENCE_MAX), "b@9");
	assert_string_equal(got(t, "", 7), "empty@7");
	assert_string_equal(got(t, "kk", 100), "-");
	assert_int_equal(lsm_memtable_entries(t), 3);
	lsm_memtable_free(t);
}

static void test_versions_that_come_late_do_not_hide_newer_ones(void **state)
{
	struct lsm_memtable *t = make(1 << 20);

	(void)state;
	put(t, "k", 9, "new");
	put(t, "k", 5, "old");
	assert_string_equal(got(t, "k", 100), "new@9");
	assert_string_equal(got(t, "k", 8), "old@5");
	assert_string_equal(got(t, "k", 4), "-");
	lsm_memtable_free(t);
}

static void test_a_delete_is_an_entry_without_value(void **state)
{
	struct lsm_memtable *t = make(1 << 20);
	struct kv_slice value;
	uint64_t stamp;

	(void)state;
	put(t, "k", 5, "a");
	insert(t, kv_str("k"), lsm_stamp(6, LSM_DELETE), kv_slice(NULL, 0));
	assert_true(lsm_memtable_get(t, kv_str("k"), lsm_key_hash(kv_str("k")), 6, &stamp,
				     &value));
	assert_int_equal(lsm_kind(stamp), LSM_DELETE);
	assert_int_equal(value.len, 0);
	lsm_memtable_free(t);
}

static void test_a_thousand_versions_are_found_each(void **state)
{
	struct lsm_memtable *t = make(1 << 20);
	char text[TEXT], expected[2 * TEXT];
	uint64_t i;

	(void)state;
	for (i = 1; i <= 1000; i++) {
		(void)test_value(text, 0, i);
		put(t, "hot", 2 * i, text);
	}
	assert_string_equal(got(t, "hot", 1), "-");
	for (i = 1; i <= 1000; i++) {
		(void)test_value(text, 0, i);
		(void)snprintf(expected, sizeof(expected), "%s@%u", text,
			       (unsigned int)(2 * i));
		assert_string_equal(got(t, "hot", 2 * i), expected);
		assert_string_equal(got(t, "hot", 2 * i + 1), expected);
	}
	lsm_memtable_free(t);
}

/* ---- against a model ---- */

static struct entry *make_entries(size_t n, size_t keys)
{
	struct entry *e = calloc(n, sizeof(*e));
	size_t i;

	assert_non_null(e);
	for (i = 0; i < n; i++) {
		e[i].number = core_random_below(keys);
		e[i].key = test_key(e[i].text, e[i].number);
		e[i].key.data = NULL; /* it moves with the entry */
		e[i].stamp =
			lsm_stamp(i + 1, core_random_below(3) ? LSM_PUT : LSM_DELETE);
	}
	return e;
}

static struct kv_slice key_of(const struct entry *e)
{
	return kv_slice(e->text, e->key.len);
}

static void insert_entry(struct lsm_memtable *t, const struct entry *e)
{
	char text[TEXT];

	insert(t, key_of(e), e->stamp, test_value(text, e->number, e->stamp));
}

static void check_get(const struct lsm_memtable *t, struct kv_slice key,
		      uint64_t sequence, const struct entry *expected)
{
	char text[TEXT];
	struct kv_slice value;
	uint64_t stamp;
	bool found =
		lsm_memtable_get(t, key, lsm_key_hash(key), sequence, &stamp, &value);

	assert_int_equal(found, expected != NULL);
	if (!expected)
		return;
	assert_int_equal(stamp, expected->stamp);
	assert_slice(value, test_value(text, expected->number, expected->stamp));
}

static void assert_at(const struct lsm_cursor *c, const struct entry *e)
{
	char text[TEXT];

	assert_slice(c->key, key_of(e));
	assert_int_equal(c->stamp, e->stamp);
	assert_slice(c->value, test_value(text, e->number, e->stamp));
}

/* Gets at each version, and before the first; cursors both ways. e is sorted. */
static void check_table(struct lsm_memtable *t, const struct entry *e, size_t n)
{
	struct lsm_cursor *c;
	size_t i;

	assert_int_equal(lsm_memtable_cursor(t, &c), 0);
	for (i = 0; i < n; i++) {
		const uint64_t sequence = lsm_sequence(e[i].stamp);
		const bool oldest =
			i + 1 == n || kv_compare(key_of(&e[i]), key_of(&e[i + 1]));

		check_get(t, key_of(&e[i]), sequence, &e[i]);
		check_get(t, key_of(&e[i]), sequence - 1, oldest ? NULL : &e[i + 1]);
		assert_int_equal(lsm_next(c), 0);
		assert_at(c, &e[i]);
	}
	assert_int_equal(lsm_next(c), -ENOENT);
	for (i = n; i--;) {
		assert_int_equal(lsm_prev(c), 0);
		assert_at(c, &e[i]);
	}
	assert_int_equal(lsm_prev(c), -ENOENT);
	for (i = 0; i < n; i++) {
		assert_int_equal(lsm_seek(c, key_of(&e[i]), e[i].stamp), 0);
		assert_at(c, &e[i]);
	}
	assert_int_equal(lsm_memtable_entries(t), n);
	lsm_cursor_close(c);
}

static void test_random_entries_are_found_at_every_sequence(void **state)
{
	static const size_t keys[] = { 3, 200, 1u << 20 };
	const size_t n = test_draws(6000) + 200;
	size_t i, k;

	(void)state;
	print_message("seed 0x%x\n", CORE_SEED);
	for (k = 0; k < sizeof(keys) / sizeof(keys[0]); k++) {
		struct entry *e = make_entries(n, keys[k]);
		struct lsm_memtable *t = make(n * 10); /* the hash has few slots */

		for (i = 0; i < n; i++)
			insert_entry(t, &e[i]);
		qsort(e, n, sizeof(*e), compare_entries);
		check_table(t, e, n);
		for (i = 0; i < n; i++) { /* keys that are not there */
			char text[TEXT];

			check_get(t, test_key(text, (2u << 20) + i), LSM_SEQUENCE_MAX,
				  NULL);
		}
		lsm_memtable_free(t);
		free(e);
	}
}

static void test_cursor_of_nothing_stands_outside(void **state)
{
	struct lsm_memtable *t = make(1 << 16);
	struct lsm_cursor *c;

	(void)state;
	assert_int_equal(lsm_memtable_cursor(t, &c), 0);
	assert_int_equal(lsm_next(c), -ENOENT);
	assert_int_equal(lsm_prev(c), -ENOENT);
	assert_int_equal(lsm_seek(c, kv_str("a"), 1), -ENOENT);
	put(t, "b", 1, "x"); /* seen by a cursor that was there before */
	assert_int_equal(lsm_next(c), 0);
	assert_slice(c->key, kv_str("b"));
	assert_int_equal(lsm_next(c), -ENOENT);
	assert_int_equal(lsm_seek(c, kv_str("c"), 1), -ENOENT);
	assert_int_equal(lsm_prev(c), 0);
	lsm_cursor_close(c);
	lsm_memtable_free(t);
}

/* ---- memory ---- */

static void test_entries_take_no_more_than_was_said(void **state)
{
	struct lsm_memtable *t = make(1 << 20);
	struct lsm_room room;
	uint64_t before;
	size_t i, all = 0;
	char key[TEXT];

	(void)state;
	for (i = 0; i < 500; i++)
		all += lsm_memtable_entry_bytes(test_key(key, i).len, i);
	assert_int_equal(lsm_memtable_reserve(t, all, &room), 0);
	before = lsm_memtable_bytes(t);
	assert_true(before >= all);
	for (i = 0; i < 500; i++) {
		struct kv_slice k = test_key(key, i);
		char value[500] = { 0 };

		lsm_memtable_insert(t, &room, k, lsm_key_hash(k), lsm_stamp(i, LSM_PUT),
				    kv_slice(value, i));
		assert_true(room.at <= room.end);
	}
	lsm_memtable_done(t, &room);
	assert_true(lsm_memtable_bytes(t) <= before);
	lsm_memtable_free(t);
}

/* Whose write the log has no room for gives its memory back, and tries again. */
static void test_room_that_was_not_used_is_given_back(void **state)
{
	static const size_t size[] = { 8, 4096, 65536, 300000, 5000000 };
	struct lsm_memtable *t = make(1 << 20);
	char *value = calloc(1, 5000000), key[TEXT];
	uint64_t memory_before = 0, before;
	struct lsm_room room;
	unsigned int round;
	size_t i;

	(void)state;
	insert(t, test_key(key, 0), lsm_stamp(1, LSM_PUT), kv_str("value"));
	before = lsm_memtable_bytes(t);
	for (round = 0; round < 4; round++) {
		for (i = 0; i < 5; i++) {
			assert_int_equal(lsm_memtable_reserve(t, size[i], &room), 0);
			lsm_memtable_done(t, &room);
			assert_int_equal(lsm_memtable_bytes(t), before);
		}
		if (!round)
			memory_before = lsm_memory_bytes(memory);
		assert_true(lsm_memory_bytes(memory) <= memory_before);
	}
	/* What was used in part stays. */
	for (i = 0; i < 5; i++)
		insert(t, test_key(key, i + 1), lsm_stamp(i + 2, LSM_PUT),
		       kv_slice(value, size[i]));
	assert_true(lsm_memtable_bytes(t) >= before + 5369640);
	free(value);
	lsm_memtable_free(t);
}

static void test_values_of_any_size(void **state)
{
	static const size_t size[] = { 0, 1, 60000, 65536, 300000, 5000000 };
	struct lsm_memtable *t = make(1 << 20);
	char *value = calloc(1, 5000000), key[TEXT];
	struct kv_slice found;
	uint64_t stamp;
	size_t i;

	(void)state;
	for (i = 0; i < 6; i++) {
		memset(value, (int)i + 1, size[i]);
		insert(t, test_key(key, i), lsm_stamp(i + 1, LSM_PUT),
		       kv_slice(value, size[i]));
	}
	for (i = 0; i < 6; i++) {
		struct kv_slice k = test_key(key, i);

		assert_true(lsm_memtable_get(t, k, lsm_key_hash(k), 100, &stamp, &found));
		assert_int_equal(found.len, size[i]);
		assert_true(core_is_filled(found.data, found.len, (uint8_t)(i + 1)));
	}
	assert_true(lsm_memtable_bytes(t) > 5425537);
	free(value);
	lsm_memtable_free(t);
}

static void test_next_memtable_takes_the_memory_of_the_last(void **state)
{
	uint64_t bytes = 0;
	int round;

	(void)state;
	for (round = 0; round < 5; round++) {
		struct lsm_memtable *t = make(3 << 20);
		char key[TEXT];
		uint64_t i;

		assert_int_equal(lsm_memtable_prepare(t, 3 << 20), 0);
		if (!round)
			bytes = lsm_memory_bytes(memory);
		for (i = 0; lsm_memtable_bytes(t) < (3 << 20) - 1000; i++)
			insert(t, test_key(key, i), lsm_stamp(i + 1, LSM_PUT),
			       kv_str("value"));
		assert_string_equal(got(t, "nothing", 1u << 30), "-");
		assert_int_equal(lsm_memory_bytes(memory), bytes);
		lsm_memtable_free(t);
	}
}

static void test_no_memory_at_every_allocation(void **state)
{
	uint64_t nth;

	(void)state;
	for (nth = 1;; nth++) {
		const struct lsm_tombstone d = { kv_str("a"), kv_str("b"), 3 };
		struct lsm_memtable *t = NULL;
		struct lsm_memory *m = NULL;
		struct lsm_cursor *c = NULL;
		struct lsm_room room;
		int error;

		port_fault_set(nth, true);
		error = lsm_memory_new(0, false, &m);
		if (!error)
			error = lsm_memtable_new(m, 600 << 10, &t);
		if (!error)
			error = lsm_memtable_prepare(t, 600 << 10);
		if (!error)
			error = lsm_memtable_reserve(t, 3 << 20, &room);
		if (!error)
			error = lsm_memtable_delete_range(t, &d);
		if (!error)
			error = lsm_memtable_delete_range(t, &d);
		if (!error)
			error = lsm_memtable_cursor(t, &c);
		if (error && t) { /* what failed left it as it was */
			port_fault_set(0, false);
			put(t, "k", 5, "v");
			assert_string_equal(got(t, "k", 5), "v@5");
			port_fault_set(nth, true);
		}
		lsm_cursor_close(c);
		lsm_memtable_free(t);
		lsm_memory_free(m);
		if (!error)
			break;
		assert_int_equal(error, -ENOMEM);
	}
	assert_true(nth > 12);
}

/* ---- range tombstones ---- */

/* Into one set, the caller's. */
static struct lsm_tombstones *all_ranges(const struct lsm_memtable *t)
{
	size_t n;
	const struct lsm_tombstones *const *set = lsm_memtable_tombstones(t, &n);
	struct lsm_tombstones *all;

	assert_true(n <= LSM_RANGE_SETS);
	assert_int_equal(lsm_tombstones_union(set, n, &all), 0);
	return all;
}

static bool has_ranges(const struct lsm_memtable *t)
{
	size_t n;

	(void)lsm_memtable_tombstones(t, &n);
	return n;
}

static void test_ranges_are_seen_from_when_they_are_added(void **state)
{
	struct lsm_memtable *t = make(1 << 16);
	const struct lsm_tombstone first = { kv_str("a"), kv_str("m"), 5 };
	const struct lsm_tombstone second = { kv_str("c"), kv_slice(NULL, 0), 9 };
	const struct lsm_tombstones *const *before;
	size_t n;
	uint64_t bytes = lsm_memtable_bytes(t);

	(void)state;
	assert_false(has_ranges(t));
	assert_int_equal(lsm_memtable_delete_range(t, &first), 0);
	before = lsm_memtable_tombstones(t, &n);
	assert_int_equal(n, 1);
	assert_int_equal(lsm_memtable_delete_range(t, &second), 0);
	assert_int_equal(lsm_tombstones_cover(before[0], kv_str("d"), 100), 5);
	assert_int_equal(lsm_memtable_cover(t, kv_str("d"), 100), 9);
	assert_int_equal(lsm_memtable_cover(t, kv_str("d"), 8), 5);
	assert_true(lsm_memtable_bytes(t) > bytes + 40);
	lsm_memtable_free(t);
}

static void test_ranges_of_a_batch_get_their_sequences_last(void **state)
{
	struct lsm_memtable *t = make(1 << 16);
	const struct lsm_tombstone d[] = { { kv_str("a"), kv_str("m"), 0 },
					   { kv_str("c"), kv_str("e"), 3 } };
	const struct lsm_tombstone nothing = { kv_str("b"), kv_str("a"), 3 };
	struct lsm_range_room *room;
	struct lsm_tombstones *all;

	(void)state;
	assert_int_equal(lsm_memtable_reserve_ranges(t, d, 2, &room), 0);
	assert_false(has_ranges(t));
	lsm_memtable_cancel_ranges(t, room);
	assert_false(has_ranges(t));
	assert_int_equal(lsm_memtable_reserve_ranges(t, d, 2, &room), 0);
	lsm_memtable_insert_ranges(t, room, 20);
	assert_int_equal(lsm_memtable_cover(t, kv_str("d"), 100), 23);
	assert_int_equal(lsm_memtable_cover(t, kv_str("b"), 100), 20);
	assert_int_equal(lsm_memtable_reserve_ranges(t, &nothing, 1, &room), 0);
	lsm_memtable_insert_ranges(t, room, 30);
	all = all_ranges(t);
	assert_int_equal(lsm_tombstones_count(all), 4);
	lsm_tombstones_free(all);
	lsm_memtable_free(t);
}

/* Against a table of bytes; and what many range deletes cost grows little faster than they. */
static void test_many_ranges_are_merged_into_few_sets(void **state)
{
	enum { RANGES = 600, BYTES = 256 };
	struct lsm_memtable *t = make(1 << 16);
	uint64_t newest[BYTES] = { 0 }, bytes = lsm_memtable_bytes(t);
	unsigned int i, k;
	size_t n;

	(void)state;
	for (i = 1; i <= RANGES; i++) {
		uint8_t from = (uint8_t)core_random_below(BYTES - 1);
		uint8_t to = (uint8_t)(from + core_random_below(3));
		const struct lsm_tombstone d = { kv_slice(&from, 1), kv_slice(&to, 1),
						 i };

		assert_int_equal(lsm_memtable_delete_range(t, &d), 0);
		for (k = from; k < to; k++)
			newest[k] = i;
		for (k = 0; k < BYTES; k++) {
			const uint8_t key = (uint8_t)k;

			assert_int_equal(
				lsm_memtable_cover(t, kv_slice(&key, 1), UINT64_MAX >> 2),
				newest[k]);
		}
	}
	(void)lsm_memtable_tombstones(t, &n);
	assert_in_range(n, 1, 12);
	assert_true(lsm_memtable_bytes(t) - bytes < (uint64_t)RANGES * 2000);
	lsm_memtable_free(t);
}

/* ---- threads ---- */

enum { WRITERS = 3, READERS = 2, HOT = 50 };

struct crowd {
	struct lsm_memtable *table;
	struct entry *entry;
	size_t entries;
	uint32_t writing, wrong; /* atomic */
};

struct member {
	pthread_t thread;
	struct crowd *crowd;
	size_t which;
};

static bool has_entry(const struct lsm_memtable *t, const struct entry *e,
		      uint64_t sequence, uint64_t *stamp)
{
	struct kv_slice value, key = key_of(e);
	char text[TEXT];

	if (!lsm_memtable_get(t, key, lsm_key_hash(key), sequence, stamp, &value))
		return false;
	return !kv_compare(value, test_value(text, e->number, *stamp));
}

/* In batches, as the engine does; what was inserted is found at once. */
static void *write_share(void *arg)
{
	struct member *m = arg;
	struct crowd *c = m->crowd;
	size_t i, k, batch = 1 + m->which * 3;
	uint64_t stamp;

	for (i = m->which; i < c->entries; i += WRITERS * batch) {
		struct lsm_room room;

		if (lsm_memtable_reserve(c->table,
					 batch * lsm_memtable_entry_bytes(TEXT, TEXT),
					 &room))
			break;
		for (k = i; k < i + WRITERS * batch && k < c->entries; k += WRITERS) {
			const struct entry *e = &c->entry[k];
			char text[TEXT];

			lsm_memtable_insert(c->table, &room, key_of(e),
					    lsm_key_hash(key_of(e)), e->stamp,
					    test_value(text, e->number, e->stamp));
			if (!has_entry(c->table, e, lsm_sequence(e->stamp), &stamp) ||
			    stamp != e->stamp ||
			    !has_entry(c->table, e, LSM_SEQUENCE_MAX, &stamp) ||
			    stamp < e->stamp)
				(void)port_fetch_add(&c->wrong, 1u);
		}
		lsm_memtable_done(c->table, &room);
	}
	(void)port_fetch_add(&c->writing, (uint32_t)-1);
	return NULL;
}

/* The newest stamp of a key never goes back. */
static void *read_on(void *arg)
{
	struct member *m = arg;
	struct crowd *c = m->crowd;
	uint64_t seen[HOT] = { 0 }, stamp;
	size_t i = m->which;

	do {
		const struct entry *e = &c->entry[i++ % HOT];
		const size_t k = (i - 1) % HOT;

		if (!has_entry(c->table, e, LSM_SEQUENCE_MAX, &stamp))
			stamp = 0;
		if (stamp < seen[k])
			(void)port_fetch_add(&c->wrong, 1u);
		seen[k] = stamp;
	} while (port_load_acquire(&c->writing));
	return NULL;
}

static void race(size_t n, size_t keys)
{
	struct crowd c = { .table = make(1 << 20),
			   .entry = make_entries(n, keys),
			   .entries = n,
			   .writing = WRITERS };
	struct member m[WRITERS + READERS];
	size_t i;

	for (i = 0; i < WRITERS + READERS; i++) {
		m[i] = (struct member){ .crowd = &c, .which = i };
		assert_int_equal(pthread_create(&m[i].thread, NULL,
						i < WRITERS ? write_share : read_on,
						&m[i]),
				 0);
	}
	for (i = 0; i < WRITERS + READERS; i++)
		assert_int_equal(pthread_join(m[i].thread, NULL), 0);
	assert_int_equal(c.wrong, 0);
	qsort(c.entry, n, sizeof(*c.entry), compare_entries);
	check_table(c.table, c.entry, n);
	lsm_memtable_free(c.table);
	free(c.entry);
}

static void test_threads_insert_and_read_side_by_side(void **state)
{
	const size_t n = test_draws(60000) + 600;

	(void)state;
	race(n, 1u << 20);
	race(n, 1000);
	race(n, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_get_finds_the_newest_version_at_a_sequence),
		TEST(test_versions_that_come_late_do_not_hide_newer_ones),
		TEST(test_a_delete_is_an_entry_without_value),
		TEST(test_a_thousand_versions_are_found_each),
		TEST(test_random_entries_are_found_at_every_sequence),
		TEST(test_cursor_of_nothing_stands_outside),
		TEST(test_entries_take_no_more_than_was_said),
		TEST(test_values_of_any_size),
		TEST(test_room_that_was_not_used_is_given_back),
		TEST(test_next_memtable_takes_the_memory_of_the_last),
		TEST(test_no_memory_at_every_allocation),
		TEST(test_ranges_are_seen_from_when_they_are_added),
		TEST(test_ranges_of_a_batch_get_their_sequences_last),
		TEST(test_many_ranges_are_merged_into_few_sets),
		TEST(test_threads_insert_and_read_side_by_side),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
