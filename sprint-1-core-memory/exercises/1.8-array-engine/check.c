/* SPDX-License-Identifier: MIT */
/*
 * check.c - grades exercise 1.8: the array engine. Small tests first, each of one thing; then
 * the suite to which every engine is held.
 */
#include "../../../harness/learn/learn.h"
#include "../../array_engine.h"
#include "../../tests/kv_conformance.h"

#define CHAPTER "docs/sprint-1-core-memory.md, \"The array engine\""
#define HEADER  "sprint-1-core-memory/kv.h"

static struct kv *store;

static void open_store(const char *options)
{
	learn_error("kv_open()", kv_open(&array_engine, NULL, "", options, &store, NULL),
		    0);
}

/* Each number has a text of its own, which stays. */
static struct kv_slice key_of(unsigned int number)
{
	static char text[4096][12];
	char *at = text[number % 4096];

	snprintf(at, sizeof(text[0]), "key%05u", number);
	return kv_slice(at, 8);
}

static void put(unsigned int number, const char *value)
{
	learn_error(learn_text("put of key %u", number),
		    kv_put(store, key_of(number), kv_str(value), KV_NONE), 0);
}

static void expect_pair(struct kv_snapshot *snap, unsigned int number, const char *want)
{
	struct kv_buf value = { 0 };
	int error = kv_get_at(store, snap, key_of(number), &value);

	learn_error(learn_text("get of key %u%s", number, snap ? " in the snapshot" : ""),
		    error, want ? 0 : -ENOENT);
	if (want)
		learn_expect(value.len == strlen(want) &&
				     !memcmp(value.data, want, value.len),
			     learn_text("the value of key %u%s is \"%s\"", number,
					snap ? " in the snapshot" : "", want),
			     "\"%.*s\"", (int)value.len, (const char *)value.data);
	kv_buf_free(&value);
}

static void expect_sound(void)
{
	struct kv_msg why = { "" };
	int error = kv_verify(store, &why);

	learn_expect(!error, "kv_verify() finds the store in order", "%s", why.text);
}

static void test_get_finds_what_was_put(void **state)
{
	unsigned int i, at;

	(void)state;
	open_store(NULL);
	for (i = 0; i < 500; i++)
		put(i * 617 % 500 * 2, "old");
	for (i = 0; i < 500; i += 7)
		put(i * 2, "new");
	for (i = 0; i < 500; i++) {
		at = i * 2;
		expect_pair(NULL, at, i % 7 ? "old" : "new");
		expect_pair(NULL, at + 1, NULL);
	}
	expect_sound();
	kv_close(store);
}

static void test_delete_takes_out_one_or_a_range(void **state)
{
	const struct kv_op range = { KV_DELETE_RANGE, key_of(20), key_of(30) };
	const struct kv_op rest = { KV_DELETE_RANGE, key_of(90), { NULL, 0 } };
	unsigned int i;

	(void)state;
	open_store(NULL);
	for (i = 0; i < 100; i++)
		put(i, "here");
	learn_error("delete of key 7", kv_delete(store, key_of(7), KV_NONE), 0);
	learn_error("delete of what is not there", kv_delete(store, key_of(700), KV_NONE),
		    0);
	learn_error("delete of [20, 30)", kv_write(store, &range, 1, KV_NONE), 0);
	learn_error("delete from 90 on", kv_write(store, &rest, 1, KV_NONE), 0);
	for (i = 0; i < 100; i++)
		expect_pair(NULL, i,
			    i == 7 || (i >= 20 && i < 30) || i >= 90 ? NULL : "here");
	expect_sound();
	kv_close(store);
}

static void test_cursor_goes_both_ways_and_outside(void **state)
{
	struct kv_cursor *c;
	unsigned int i;

	(void)state;
	open_store(NULL);
	for (i = 10; i < 13; i++)
		put(i, "v");
	learn_error("kv_cursor()", kv_cursor(store, NULL, &c), 0);
	for (i = 10; i < 13; i++) {
		learn_error("kv_next()", kv_next(c), 0);
		learn_expect(!kv_compare(c->key, key_of(i)),
			     learn_text("next comes to key %u", i), "%.*s",
			     (int)c->key.len, (const char *)c->key.data);
	}
	learn_error("kv_next() behind the last", kv_next(c), -ENOENT);
	learn_number("the length of the key outside", c->key.len, 0);
	learn_error("kv_prev() from outside", kv_prev(c), 0);
	learn_expect(!kv_compare(c->key, key_of(12)), "prev from outside is the last",
		     "%.*s", (int)c->key.len, (const char *)c->key.data);
	learn_error("kv_seek() between keys", kv_seek(c, kv_str("key00010x")), 0);
	learn_expect(!kv_compare(c->key, key_of(11)), "seek comes to the first not less",
		     "%.*s", (int)c->key.len, (const char *)c->key.data);
	learn_error("kv_prev()", kv_prev(c), 0);
	learn_error("kv_prev() before the first", kv_prev(c), -ENOENT);
	learn_error("kv_next() from outside", kv_next(c), 0);
	learn_expect(!kv_compare(c->key, key_of(10)), "next from outside is the first",
		     "%.*s", (int)c->key.len, (const char *)c->key.data);
	learn_error("kv_seek() behind all", kv_seek(c, kv_str("zzz")), -ENOENT);
	kv_cursor_close(c);
	kv_close(store);
}

static void test_snapshots_do_not_change(void **state)
{
	struct kv_snapshot *first, *second;
	unsigned int i;

	(void)state;
	open_store(NULL);
	for (i = 0; i < 50; i++)
		put(i, "one");
	kv_snapshot(store, &first);
	for (i = 0; i < 50; i += 2)
		put(i, "two");
	put(60, "two");
	kv_snapshot(store, &second);
	for (i = 0; i < 50; i += 3)
		kv_delete(store, key_of(i), KV_NONE);
	for (i = 0; i < 50; i++) {
		expect_pair(first, i, "one");
		expect_pair(second, i, i % 2 ? "one" : "two");
		expect_pair(NULL, i, i % 3 == 0 ? NULL : i % 2 ? "one" : "two");
	}
	expect_pair(first, 60, NULL);
	kv_release(store, first);
	expect_pair(second, 60, "two");
	expect_sound();
	kv_release(store, second);
	expect_sound();
	kv_close(store);
}

static void count_copies(void *arg, const char *name, uint64_t value)
{
	if (!strcmp(name, "version_copies"))
		*(uint64_t *)arg = value;
}

static void test_only_a_shared_version_is_copied(void **state)
{
	uint64_t copies = 99;
	struct kv_snapshot *snap;
	unsigned int i;

	(void)state;
	open_store(NULL);
	for (i = 0; i < 100; i++)
		put(i, "v");
	kv_stats(store, count_copies, &copies);
	learn_number("the copies made by 100 puts without a snapshot", copies, 0);
	kv_snapshot(store, &snap);
	for (i = 0; i < 100; i++)
		put(i, "w");
	kv_stats(store, count_copies, &copies);
	learn_number("the copies made by 100 puts after one snapshot", copies, 1);
	kv_release(store, snap);
	kv_close(store);
}

static void test_a_batch_is_applied_in_order(void **state)
{
	const struct kv_op op[] = {
		{ KV_PUT, key_of(1), kv_str("first") },
		{ KV_PUT, key_of(2), kv_str("gone") },
		{ KV_PUT, key_of(1), kv_str("second") },
		{ KV_DELETE, key_of(2), { NULL, 0 } },
		{ KV_PUT, key_of(3), kv_str("third") },
	};

	(void)state;
	open_store(NULL);
	learn_error("a batch of five steps", kv_write(store, op, 5, KV_NONE), 0);
	expect_pair(NULL, 1, "second");
	expect_pair(NULL, 2, NULL);
	expect_pair(NULL, 3, "third");
	expect_sound();
	kv_close(store);
}

/* The first allocation of the write fails, then the second, until none does. The steps are so
 * many that a version grows more than once if room is not made for all of them at first. */
static void test_a_write_is_all_or_nothing(void **state)
{
	enum { N = 64 };
	struct kv_op op[N] = { { KV_PUT, key_of(2), kv_str("new") },
			       { KV_DELETE, key_of(1), { NULL, 0 } } };
	struct kv_snapshot *snap;
	unsigned int nth, i;
	int error;

	(void)state;
	for (i = 2; i < N; i++)
		op[i] = (struct kv_op){ KV_PUT, key_of(100 + i), kv_str("new") };
	open_store(NULL);
	for (i = 0; i < 16; i++)
		put(i, "old");
	kv_snapshot(store, &snap);
	for (nth = 1;; nth++) {
		port_fault_set(nth, true);
		error = kv_write(store, op, N, KV_NONE);
		port_fault_set(0, false);
		if (!error)
			break;
		learn_expect(nth < 200, "a write that makes an allocation a put, or two",
			     "more than 200");
		learn_error(learn_text("a write whose allocation %u fails", nth), error,
			    -ENOMEM);
		for (i = 0; i < 16; i++)
			expect_pair(NULL, i, "old");
		for (i = 2; i < N; i++)
			expect_pair(NULL, 100 + i, NULL);
		expect_sound();
	}
	learn_expect(nth >= N, "a write of 63 puts allocates an entry each",
		     "%u allocations", nth - 1);
	expect_pair(NULL, 1, NULL);
	expect_pair(NULL, 2, "new");
	expect_pair(NULL, 100 + N - 1, "new");
	kv_release(store, snap);
	kv_close(store);
}

static void test_the_cap_on_memory_is_kept(void **state)
{
	unsigned int i;
	int error = 0;

	(void)state;
	open_store("memory_bytes=1000");
	for (i = 0; i < 100 && !error; i++)
		error = kv_put(store, key_of(i), kv_str("0123456789"), KV_NONE);
	learn_error("one of 100 puts into 1000 bytes", error, -ENOSPC);
	expect_pair(NULL, i - 1, NULL);
	expect_pair(NULL, 0, "0123456789");
	expect_sound();
	kv_close(store);
}

static void test_it_is_an_engine(void **state)
{
	const struct kv_target target = { .ops = &array_engine,
					  .scratch = "/nonexistent",
					  .huge_value = 1 << 20 };
	struct kv_report report = { .out = stdout };
	unsigned int failed;

	(void)state;
	failed = kv_conformance(&target, &report);
	learn_expect(!failed, "all checks of tests/kv_conformance.h pass",
		     "%u failed: see the lines \"not ok\" of this test", failed);
}

static void bench_put_and_get(uint64_t n)
{
	struct kv_buf value = { 0 };
	unsigned int i;

	if (kv_open(&array_engine, NULL, "", NULL, &store, NULL))
		return;
	for (i = 0; i < n; i++)
		kv_put(store, key_of(i * 617 % 4096), kv_slice("v", 1), KV_NONE);
	for (i = 0; i < n; i++)
		kv_get(store, key_of(i * 617 % 4096), &value);
	kv_buf_free(&value);
	kv_close(store);
}

static const struct learn_test tests[] = {
	LEARN_TEST(test_get_finds_what_was_put, 2, CHAPTER),
	LEARN_TEST(test_delete_takes_out_one_or_a_range, 2, CHAPTER),
	LEARN_TEST(test_cursor_goes_both_ways_and_outside, 2, HEADER),
	LEARN_TEST(test_a_batch_is_applied_in_order, 2, HEADER),
	LEARN_TEST(test_snapshots_do_not_change, 3, CHAPTER),
	LEARN_TEST(test_only_a_shared_version_is_copied, 1, CHAPTER),
	LEARN_TEST(test_a_write_is_all_or_nothing, 3, CHAPTER),
	LEARN_TEST(test_the_cap_on_memory_is_kept, 1,
		   "sprint-1-core-memory/array_engine.h"),
	LEARN_TEST(test_it_is_an_engine, 3, HEADER),
};
static const struct learn_speed speeds[] = { { "put and get among 4096 pairs",
					       bench_put_and_get, 20000 } };

LEARN_MAIN(tests, speeds)
