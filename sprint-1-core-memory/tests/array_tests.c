/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * array_tests.c - the array engine's own promises: order, versions that snapshots share,
 * the cap on memory, what it counts.
 */
#include "array_fixture.h"

#define BYTES(s) kv_slice("" s, sizeof(s) - 1)
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void expect_got(struct kv_snapshot *snap, struct kv_slice key, const char *want)
{
	assert_int_equal(kv_get_at(store, snap, key, &got), want ? 0 : -ENOENT);
	expect_bytes(kv_slice(got.data, got.len), kv_str(want ? want : ""));
}

static int put(struct kv_slice key, const char *value)
{
	return kv_put(store, key, kv_str(value), KV_NONE);
}

/* Pair i of many: "key000042" = 42 + add. */
static struct kv_slice number_key(char text[32], size_t i)
{
	return kv_slice(text, (size_t)snprintf(text, 32, "key%06zu", i));
}

static void put_number(size_t i, uint64_t add)
{
	uint64_t value = i + add;
	char text[32];

	assert_int_equal(kv_put(store, number_key(text, i),
				kv_slice(&value, sizeof(value)), KV_NONE),
			 0);
}

/* What c is to walk through: pairs from..n, each with its number plus add, no others. */
static void expect_numbers(struct kv_cursor *c, size_t from, size_t n, uint64_t add)
{
	uint64_t value;
	char text[32];
	size_t i;

	for (i = from; i < n; i++) {
		assert_int_equal(kv_next(c), 0);
		value = i + add;
		expect_bytes(c->key, number_key(text, i));
		expect_bytes(c->value, kv_slice(&value, sizeof(value)));
	}
	assert_int_equal(kv_next(c), -ENOENT);
}

static void expect_numbers_in(struct kv_snapshot *snap, size_t n, uint64_t add)
{
	struct kv_cursor *c = open_cursor(snap);

	expect_numbers(c, 0, n, add);
	kv_cursor_close(c);
}

/* ---- order ---- */

/* clang-format off */
static const struct kv_slice golden[] = {
#define KEY(s) { s, sizeof(s) - 1 }
	KEY(""), KEY("\x00"), KEY("\x00\x00"), KEY("\x00\x01"), KEY("\x01"),
	KEY("10"), KEY("9"), KEY("A"), KEY("Z"), KEY("a"), KEY("a\x00"), KEY("a\x00z"),
	KEY("aa"), KEY("ab"), KEY("b"), KEY("\x7f"), KEY("\x80"), KEY("\x80\x7f"),
	KEY("\xc3\xa9"), KEY("\xff"), KEY("\xff\x00"), KEY("\xff\xff"),
#undef KEY
};
/* clang-format on */

enum { GOLDEN = COUNT(golden) };

static void shuffle(size_t *order, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		order[i] = i;
	for (; n > 1; n--) {
		size_t other = core_random_below(n), kept = order[n - 1];

		order[n - 1] = order[other];
		order[other] = kept;
	}
}

static void test_keys_come_in_the_golden_order_however_they_were_put(void **state)
{
	size_t order[GOLDEN], i;
	int round;

	(void)state;
	for (round = 0; round < 50; round++) {
		struct kv_cursor *c;

		shuffle(order, GOLDEN);
		for (i = 0; i < GOLDEN; i++)
			assert_int_equal(put(golden[order[i]], "v"), 0);
		c = open_cursor(NULL);
		for (i = 0; i < GOLDEN; i++) {
			assert_int_equal(kv_next(c), 0);
			expect_bytes(c->key, golden[i]);
		}
		assert_int_equal(kv_next(c), -ENOENT);
		while (i--) {
			assert_int_equal(kv_prev(c), 0);
			expect_bytes(c->key, golden[i]);
		}
		assert_int_equal(kv_prev(c), -ENOENT);
		kv_cursor_close(c);
		close_store();
		open_store(NULL);
	}
}

static void test_seek_finds_the_golden_successor(void **state)
{
	struct kv_cursor *c;
	size_t i;

	(void)state;
	for (i = 0; i < GOLDEN; i += 2)
		assert_int_equal(put(golden[i], "v"), 0);
	c = open_cursor(NULL);
	for (i = 0; i < GOLDEN; i++) {
		size_t want = i + i % 2;

		assert_int_equal(kv_seek(c, golden[i]), want < GOLDEN ? 0 : -ENOENT);
		if (want < GOLDEN)
			expect_bytes(c->key, golden[want]);
	}
	kv_cursor_close(c);
}

static void test_many_keys_put_up_down_and_shuffled_are_one_content(void **state)
{
	enum { N = 3000 };
	static size_t order[N];
	size_t i;
	int round;

	(void)state;
	for (round = 0; round < 3; round++) {
		shuffle(order, N);
		for (i = 0; i < N; i++)
			put_number(round == 0 ? i : round == 1 ? N - 1 - i : order[i], 5);
		assert_int_equal(stats().keys, N);
		expect_numbers_in(NULL, N, 5);
		expect_healthy();
		close_store();
		open_store(NULL);
	}
}

/* ---- versions ---- */

static void test_version_is_copied_once_for_any_snapshots_of_a_state(void **state)
{
	struct kv_snapshot *first, *second, *third;

	(void)state;
	put_number(0, 0);
	put_number(1, 0);
	assert_int_equal(stats().versions, 1);
	assert_int_equal(stats().version_copies, 0);
	first = take_snapshot();
	second = take_snapshot();
	assert_int_equal(stats().versions, 1);
	put_number(0, 100); /* the first write behind a snapshot copies */
	assert_int_equal(stats().versions, 2);
	assert_int_equal(stats().version_copies, 1);
	put_number(1, 100); /* those after it do not */
	put_number(2, 100);
	assert_int_equal(stats().versions, 2);
	assert_int_equal(stats().version_copies, 1);
	third = take_snapshot();
	put_number(2, 200);
	assert_int_equal(stats().versions, 3);
	assert_int_equal(stats().version_copies, 2);
	expect_numbers_in(first, 2, 0);
	expect_numbers_in(second, 2, 0);
	expect_numbers_in(third, 3, 100);
	kv_release(store, first);
	assert_int_equal(stats().versions, 3);
	kv_release(store, second);
	assert_int_equal(stats().versions, 2);
	expect_numbers_in(third, 3, 100);
	kv_release(store, third);
	assert_int_equal(stats().versions, 1);
	put_number(0, 300); /* nobody looks any more */
	assert_int_equal(stats().version_copies, 2);
}

static void test_versions_share_the_pairs_that_did_not_change(void **state)
{
	enum { VALUE = 100000, N = 20, SNAPSHOTS = 10 };
	static char big[VALUE + 1];
	struct kv_snapshot *snap[SNAPSHOTS];
	uint64_t before, grown;
	char text[32];
	size_t i;

	(void)state;
	memset(big, 'b', VALUE);
	for (i = 0; i < N; i++)
		assert_int_equal(put(number_key(text, i), big), 0);
	before = port_fault_live_bytes();
	for (i = 0; i < SNAPSHOTS; i++) {
		snap[i] = take_snapshot();
		assert_int_equal(put(number_key(text, i), "small"), 0);
	}
	/* Ten versions of twenty large pairs cost less than one more large pair. */
	grown = port_fault_live_bytes() - before;
	assert_true(grown < VALUE);
	for (i = 0; i < SNAPSHOTS; i++) {
		expect_got(snap[i], number_key(text, i), big);
		kv_release(store, snap[i]);
	}
	/* With the last that saw them the ten old values go. */
	assert_true(port_fault_live_bytes() - got.cap < before - 9 * VALUE);
	assert_int_equal(stats().versions, 1);
}

static void test_many_versions_are_released_in_any_order(void **state)
{
	enum { VERSIONS = 150, KEYS = 10 };
	static struct kv_snapshot *snap[VERSIONS];
	static size_t order[VERSIONS];
	size_t v, i;

	(void)state;
	for (v = 0; v < VERSIONS; v++) {
		for (i = 0; i < KEYS; i++)
			put_number(i, v * 1000);
		snap[v] = take_snapshot();
	}
	put_number(KEYS, 0);
	assert_int_equal(stats().versions, VERSIONS + 1);
	assert_int_equal(stats().version_copies, VERSIONS);
	shuffle(order, VERSIONS);
	for (v = 0; v < VERSIONS; v++) {
		expect_numbers_in(snap[order[v]], KEYS, order[v] * 1000);
		kv_release(store, snap[order[v]]);
		assert_int_equal(stats().versions, VERSIONS - v);
		expect_healthy();
	}
}

static void test_cursor_holds_its_version_to_its_close(void **state)
{
	const struct kv_op all = { KV_DELETE_RANGE, BYTES(""), { NULL, 0 } };
	struct kv_snapshot *snap;
	struct kv_cursor *c;
	size_t i;

	(void)state;
	for (i = 0; i < 10; i++)
		put_number(i, 7);
	snap = take_snapshot();
	c = open_cursor(snap);
	assert_int_equal(kv_next(c), 0);
	kv_release(store, snap);
	assert_int_equal(kv_write(store, &all, 1, KV_NONE), 0);
	assert_int_equal(stats().keys, 0);
	assert_int_equal(stats().versions, 2);
	expect_healthy();
	expect_numbers(c, 1, 10, 7);
	kv_cursor_close(c);
	assert_int_equal(stats().versions, 1);
	expect_numbers_in(NULL, 0, 0);
	expect_healthy();
}

/* ---- the cap on memory ---- */

/* The least memory_bytes under which a pair of these lengths can be put. */
static uint64_t least_cap(struct kv_slice key, const char *value)
{
	uint64_t cap;

	for (cap = 1; cap < 200; cap++) {
		char options[64];
		int error;

		close_store();
		snprintf(options, sizeof(options), "memory_bytes=%llu",
			 (unsigned long long)cap);
		open_store(options);
		error = put(key, value);
		if (!error)
			return cap;
		assert_int_equal(error, -ENOSPC);
		assert_int_equal(stats().keys, 0);
	}
	fail_msg("no cap below 200 bytes holds one small pair");
	return 0;
}

static void open_for_pairs(unsigned int n)
{
	uint64_t cap = least_cap(BYTES("key0"), "value0");
	char options[64];

	assert_true(cap >= 10); /* the pair's own bytes */
	close_store();
	snprintf(options, sizeof(options), "memory_bytes=%llu",
		 (unsigned long long)(n * cap));
	open_store(options);
}

static void test_cap_holds_as_many_pairs_as_it_has_room_for(void **state)
{
	(void)state;
	open_for_pairs(3);
	assert_int_equal(put(BYTES("key1"), "value1"), 0);
	assert_int_equal(put(BYTES("key2"), "value2"), 0);
	assert_int_equal(put(BYTES("key3"), "value3"), 0);
	assert_int_equal(put(BYTES("key4"), "value4"), -ENOSPC);
	assert_int_equal(put(BYTES(""), ""), -ENOSPC);
	expect_got(NULL, BYTES("key4"), NULL);
	expect_got(NULL, BYTES("key1"), "value1");
	assert_int_equal(stats().keys, 3);
	expect_healthy();
	/* What is deleted makes room. */
	assert_int_equal(kv_delete(store, BYTES("key2"), KV_NONE), 0);
	assert_int_equal(put(BYTES("key4"), "value4"), 0);
	assert_int_equal(put(BYTES("key5"), "value5"), -ENOSPC);
	expect_got(NULL, BYTES("key2"), NULL);
	expect_got(NULL, BYTES("key4"), "value4");
	expect_healthy();
}

static void test_cap_may_be_filled_to_the_byte(void **state)
{
	uint64_t before = stats().memory_bytes, takes;

	(void)state;
	assert_int_equal(put(BYTES("key0"), "value0"), 0);
	takes = stats().memory_bytes - before;
	assert_int_equal(least_cap(BYTES("key0"), "value0"), takes);
}

static void test_cap_refuses_a_batch_whole(void **state)
{
	const struct kv_op op[] = {
		{ KV_DELETE, BYTES("key1"), { NULL, 0 } },
		{ KV_PUT, BYTES("key2"), BYTES("value2") },
		{ KV_DELETE_RANGE, BYTES(""), { NULL, 0 } },
		{ KV_PUT, BYTES("key3"), BYTES("value3") },
	};

	(void)state;
	open_for_pairs(2);
	assert_int_equal(put(BYTES("key1"), "value1"), 0);
	assert_int_equal(kv_write(store, op, COUNT(op), KV_NONE), -ENOSPC);
	expect_got(NULL, BYTES("key1"), "value1");
	expect_got(NULL, BYTES("key2"), NULL);
	expect_got(NULL, BYTES("key3"), NULL);
	assert_int_equal(stats().keys, 1);
	expect_healthy();
	assert_int_equal(kv_write(store, op, 2, KV_NONE), 0);
	expect_got(NULL, BYTES("key1"), NULL);
	expect_got(NULL, BYTES("key2"), "value2");
}

static void test_cap_refuses_a_longer_value_and_keeps_the_old(void **state)
{
	(void)state;
	open_for_pairs(2);
	assert_int_equal(put(BYTES("key1"), "value1"), 0);
	assert_int_equal(put(BYTES("key1"),
			     "a value that is longer than both pairs may be, "
			     "together with all that they cost"),
			 -ENOSPC);
	expect_got(NULL, BYTES("key1"), "value1");
	assert_int_equal(put(BYTES("key1"), "other"), 0);
	expect_got(NULL, BYTES("key1"), "other");
}

static void test_cap_counts_what_snapshots_keep(void **state)
{
	struct kv_snapshot *snap;

	(void)state;
	open_for_pairs(2);
	assert_int_equal(put(BYTES("key1"), "value1"), 0);
	assert_int_equal(put(BYTES("key2"), "value2"), 0);
	snap = take_snapshot();
	assert_int_equal(kv_delete(store, BYTES("key1"), KV_NONE), 0);
	assert_int_equal(put(BYTES("key3"), "value3"), -ENOSPC);
	expect_got(snap, BYTES("key1"), "value1");
	kv_release(store, snap);
	assert_int_equal(put(BYTES("key3"), "value3"), 0);
	expect_healthy();
}

static void test_no_cap_is_no_limit(void **state)
{
	size_t i;

	(void)state;
	close_store();
	open_store("memory_bytes=0");
	for (i = 0; i < 1000; i++)
		put_number(i, 0);
	expect_numbers_in(NULL, 1000, 0);
}

/* ---- what it counts and checks ---- */

static void test_stats_follow_the_content(void **state)
{
	struct stats empty = stats(), one, gone;
	char value[1001];

	(void)state;
	assert_int_equal(empty.keys, 0);
	assert_int_equal(empty.versions, 1);
	assert_int_equal(empty.version_copies, 0);
	memset(value, 'v', 1000);
	value[1000] = '\0';
	assert_int_equal(put(BYTES("k"), value), 0);
	one = stats();
	assert_int_equal(one.keys, 1);
	assert_true(one.memory_bytes >= empty.memory_bytes + 1001);
	assert_true(one.memory_bytes <= port_fault_live_bytes());
	assert_int_equal(put(BYTES("k"), value), 0);
	assert_int_equal(stats().memory_bytes, one.memory_bytes);
	assert_int_equal(kv_delete(store, BYTES("k"), KV_NONE), 0);
	gone = stats();
	assert_int_equal(gone.keys, 0);
	assert_int_equal(gone.memory_bytes, empty.memory_bytes);
	assert_int_equal(gone.versions, 1);
	assert_int_equal(gone.version_copies, 0);
}

/* A cursor shows the engine's own bytes, so that a test can damage them. */
static void test_verify_finds_entries_out_of_order(void **state)
{
	struct kv_cursor *c;
	struct kv_msg why = { "" };
	uint8_t *byte;

	(void)state;
	assert_int_equal(put(BYTES("a"), "1"), 0);
	assert_int_equal(put(BYTES("b"), "2"), 0);
	assert_int_equal(put(BYTES("c"), "3"), 0);
	c = open_cursor(NULL);
	assert_int_equal(kv_seek(c, BYTES("b")), 0);
	byte = (uint8_t *)(uintptr_t)c->key.data;
	*byte = 'c'; /* twice the same */
	assert_int_equal(kv_verify(store, &why), -EBADMSG);
	assert_string_equal(why.text, "array: entries 1 and 2 out of order");
	*byte = 'A';
	assert_int_equal(kv_verify(store, &why), -EBADMSG);
	assert_string_equal(why.text, "array: entries 0 and 1 out of order");
	assert_int_equal(kv_verify(store, NULL), -EBADMSG);
	*byte = 'b';
	expect_healthy();
	kv_cursor_close(c);
}

/* An entry's value_len lies right before its key. */
static void test_verify_finds_lengths_that_were_not_counted(void **state)
{
	struct kv_snapshot *snap;
	struct kv_cursor *c;
	struct kv_msg why = { "" };
	uint8_t *length;

	(void)state;
	assert_int_equal(put(BYTES("key"), "value"), 0);
	c = open_cursor(NULL);
	assert_int_equal(kv_next(c), 0);
	length = (uint8_t *)(uintptr_t)c->key.data - sizeof(uint32_t);
	*length = *length + 1;
	assert_int_equal(kv_verify(store, &why), -EBADMSG);
	assert_non_null(strstr(why.text, "array: entries take "));
	*length = *length - 2;
	assert_int_equal(kv_verify(store, &why), -EBADMSG);
	*length = *length + 1;
	expect_healthy();
	/* Beside an older version the newest may take less than is counted, never more. */
	snap = take_snapshot();
	assert_int_equal(put(BYTES("other"), "value"), 0);
	assert_int_equal(kv_delete(store, BYTES("key"), KV_NONE), 0);
	expect_healthy();
	kv_cursor_close(c);
	c = open_cursor(NULL);
	assert_int_equal(kv_next(c), 0);
	length = (uint8_t *)(uintptr_t)c->key.data - sizeof(uint32_t);
	*length = *length + 200;
	assert_int_equal(kv_verify(store, &why), -EBADMSG);
	*length = *length - 200;
	expect_healthy();
	kv_cursor_close(c);
	kv_release(store, snap);
}

static void test_store_is_its_own_and_ends_with_close(void **state)
{
	struct kv *other;

	(void)state;
	assert_int_equal(kv_open(&array_engine, NULL, "nowhere", NULL, &other, NULL), 0);
	assert_int_equal(put(BYTES("k"), "v"), 0);
	assert_int_equal(kv_get(other, BYTES("k"), &got), -ENOENT);
	assert_int_equal(kv_close(other), 0);
	close_store();
	open_store(NULL);
	expect_got(NULL, BYTES("k"), NULL);
}

static void test_what_memory_cannot_do_is_refused(void **state)
{
	(void)state;
	assert_int_equal(kv_put(store, BYTES("k"), BYTES("v"), KV_SYNC), -EOPNOTSUPP);
	assert_int_equal(kv_put(store, BYTES("k"), BYTES("v"), KV_GROUP), -EOPNOTSUPP);
	assert_int_equal(kv_backup(store, "anywhere"), -EOPNOTSUPP);
	expect_got(NULL, BYTES("k"), NULL);
	assert_int_equal(kv_sync(store), 0);
	assert_int_equal(kv_compact(store), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ARRAY_TEST(test_keys_come_in_the_golden_order_however_they_were_put),
		ARRAY_TEST(test_seek_finds_the_golden_successor),
		ARRAY_TEST(test_many_keys_put_up_down_and_shuffled_are_one_content),
		ARRAY_TEST(test_version_is_copied_once_for_any_snapshots_of_a_state),
		ARRAY_TEST(test_versions_share_the_pairs_that_did_not_change),
		ARRAY_TEST(test_many_versions_are_released_in_any_order),
		ARRAY_TEST(test_cursor_holds_its_version_to_its_close),
		ARRAY_TEST(test_cap_holds_as_many_pairs_as_it_has_room_for),
		ARRAY_TEST(test_cap_may_be_filled_to_the_byte),
		ARRAY_TEST(test_cap_refuses_a_batch_whole),
		ARRAY_TEST(test_cap_refuses_a_longer_value_and_keeps_the_old),
		ARRAY_TEST(test_cap_counts_what_snapshots_keep),
		ARRAY_TEST(test_no_cap_is_no_limit),
		ARRAY_TEST(test_stats_follow_the_content),
		ARRAY_TEST(test_verify_finds_entries_out_of_order),
		ARRAY_TEST(test_verify_finds_lengths_that_were_not_counted),
		ARRAY_TEST(test_store_is_its_own_and_ends_with_close),
		ARRAY_TEST(test_what_memory_cannot_do_is_refused),
	};

	printf("# seed 0x%x\n", CORE_SEED);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
