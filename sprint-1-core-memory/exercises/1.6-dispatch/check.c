/* SPDX-License-Identifier: MIT */
/*
 * check.c - grades exercise 1.6: the calls of kv.h, on an engine that notes how it is called.
 */
#include "../../../harness/learn/learn.h"
#include "../../tests/kv_probe.h"

#define HEADER  "sprint-1-core-memory/kv.h, above struct kv_ops and at the calls"
#define CHAPTER "docs/sprint-1-core-memory.md, \"One interface, and a table behind it\""

static struct kv_ops ops_with(unsigned int caps)
{
	struct kv_ops ops = full_ops;

	ops.caps = caps;
	return ops;
}

static struct kv_slice key_of(size_t len)
{
	static char bytes[KV_KEY_MAX + 1];

	return kv_slice(bytes, len);
}

static void expect_calls(const char *what, unsigned int want)
{
	learn_number(learn_text("%s: the number of calls that reach the engine", what),
		     probe.calls, want);
	probe.calls = 0;
}

static void test_get_reaches_the_engine(void **state)
{
	struct kv *kv = probe_start(&bare_ops);
	struct kv_buf value = { 0 };

	(void)state;
	learn_error("kv_get() of a key that is there",
		    kv_get_at(kv, &probe_snapshot, kv_str("cat"), &value), 0);
	expect_calls("a get", 1);
	learn_expect(probe.snap == &probe_snapshot, "the caller's snapshot is handed on",
		     "another");
	learn_number("the length of the value", value.len, 3);
	learn_error("kv_get() of what the engine does not have",
		    kv_get(kv, kv_str("?"), &value), -ENOENT);
	learn_number("the length of the value after an error", value.len, 0);
	kv_buf_free(&value);
}

static void test_keys_that_do_not_fit_are_refused(void **state)
{
	struct kv_ops ops = bare_ops;
	struct kv *kv = probe_start(&ops);
	struct kv_buf value = { 0 };

	(void)state;
	learn_error("kv_get() of a key of KV_KEY_MAX bytes, key_max being 0",
		    kv_get(kv, key_of(KV_KEY_MAX), &value), 0);
	probe.calls = 0;
	learn_error("kv_get() of a key one byte longer",
		    kv_get(kv, key_of(KV_KEY_MAX + 1), &value), -EINVAL);
	learn_number("the length of the value after that", value.len, 0);
	ops.key_min = 2;
	ops.key_max = 5;
	learn_error("kv_get() of 1 byte where key_min is 2",
		    kv_get(kv, key_of(1), &value), -EINVAL);
	learn_error("kv_get() of 6 bytes where key_max is 5",
		    kv_get(kv, key_of(6), &value), -EINVAL);
	expect_calls("gets that are refused", 0);
	learn_error("kv_get() of 5 bytes where key_max is 5",
		    kv_get(kv, key_of(5), &value), 0);
	learn_error("kv_get() of 2 bytes where key_min is 2",
		    kv_get(kv, key_of(2), &value), 0);
	expect_calls("gets that fit", 2);
	kv_buf_free(&value);
}

static void test_write_asks_for_capabilities(void **state)
{
	const struct kv_op op[2] = { { KV_PUT, kv_str("a"), kv_str("1") },
				     { KV_PUT, kv_str("b"), kv_str("2") } };
	const struct kv_op range = { KV_DELETE_RANGE, kv_str("a"), { NULL, 0 } };
	struct kv_ops ops = ops_with(0);
	struct kv *kv = probe_start(&ops);

	(void)state;
	learn_error("a put with KV_SYNC without KV_CAP_DURABLE",
		    kv_write(kv, op, 1, KV_SYNC), -EOPNOTSUPP);
	learn_error("a put with KV_GROUP without KV_CAP_DURABLE",
		    kv_write(kv, op, 1, KV_GROUP), -EOPNOTSUPP);
	learn_error("a write of two steps without KV_CAP_BATCH",
		    kv_write(kv, op, 2, KV_NONE), -EOPNOTSUPP);
	learn_error("a range without KV_CAP_DELETE_RANGE",
		    kv_write(kv, &range, 1, KV_NONE), -EOPNOTSUPP);
	learn_error("a durability that does not exist",
		    kv_write(kv, op, 1, (enum kv_durability)3), -EINVAL);
	expect_calls("writes that are refused", 0);
	learn_error("a put with KV_NONE", kv_write(kv, op, 1, KV_NONE), 0);
	expect_calls("a put", 1);
	ops.caps = EVERY_CAP;
	learn_error("two steps with KV_SYNC", kv_write(kv, op, 2, KV_SYNC), 0);
	learn_number("the steps that reach the engine", probe.n, 2);
	learn_number("the durability that reaches the engine", probe.how, KV_SYNC);
	learn_error("a range", kv_write(kv, &range, 1, KV_NONE), 0);
	expect_calls("two writes", 2);
	learn_error("a write of no step", kv_write(kv, NULL, 0, KV_NONE), 0);
	expect_calls("a write of no step", 0);
}

static void test_write_checks_all_steps_first(void **state)
{
	struct kv_op op[2] = { { KV_PUT, kv_str("good"), kv_str("1") } };
	struct kv *kv = probe_start(&full_ops);
	size_t i;
	const struct kv_op bad[] = {
		{ KV_PUT, key_of(KV_KEY_MAX + 1), { NULL, 0 } },
		{ KV_PUT, kv_str("a"), kv_slice("", (size_t)KV_VALUE_MAX + 1) },
		{ KV_DELETE, key_of(KV_KEY_MAX + 1), { NULL, 0 } },
		{ KV_DELETE_RANGE, key_of(KV_KEY_MAX + 1), { NULL, 0 } },
		{ KV_DELETE_RANGE, kv_str("a"), key_of(KV_KEY_MAX + 1) },
		{ (enum kv_op_type)9, kv_str("a"), { NULL, 0 } },
	};
	static const char *const what[] = {
		"a put of too long a key",     "a put of too long a value",
		"a delete of too long a key",  "a range from too long a bound",
		"a range to too long a bound", "a step of a type that does not exist",
	};

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		op[1] = bad[i];
		learn_error(learn_text("a good step, then %s", what[i]),
			    kv_write(kv, op, 2, KV_NONE), -EINVAL);
		expect_calls(what[i], 0);
	}
}

static void test_bounds_need_not_be_keys(void **state)
{
	struct kv_ops ops = ops_with(EVERY_CAP);
	struct kv_op range = { KV_DELETE_RANGE, key_of(1), key_of(9) };
	struct kv *kv = probe_start(&ops);

	(void)state;
	ops.key_min = 2;
	ops.key_max = 5;
	learn_error("a range from 1 byte to 9 where keys have 2 to 5",
		    kv_write(kv, &range, 1, KV_NONE), 0);
	expect_calls("that range", 1);
}

static void test_multi_get_reads_one_state(void **state)
{
	const struct kv_slice key[3] = { kv_str("a"), kv_str("?"), kv_str("ccc") };
	struct kv_ops ops = ops_with(EVERY_CAP);
	struct kv_buf value[3] = { { 0 } };
	struct kv *kv = probe_start(&ops);
	int error[3] = { 1, 1, 1 };
	size_t i;

	(void)state;
	ops.multi_get = NULL;
	learn_error("kv_multi_get()", kv_multi_get(kv, NULL, 3, key, value, error), 0);
	learn_error("the first of three gets", error[0], 0);
	learn_error("the second", error[1], -ENOENT);
	learn_error("the third", error[2], 0);
	learn_number("the length of the third value", value[2].len, 3);
	learn_number("the snapshots taken", probe.snapshots, 1);
	learn_expect(probe.snap == &probe_snapshot, "each get reads at that snapshot",
		     "the newest state");
	learn_number("the snapshots released", probe.releases, 1);

	kv_multi_get(kv, &probe_snapshot, 3, key, value, error);
	learn_number("the snapshots taken when the caller has one", probe.snapshots, 1);
	learn_number("the snapshots released that are the caller's", probe.releases, 1);
	kv_multi_get(kv, NULL, 1, key, value, error);
	learn_number("the snapshots taken for a single key", probe.snapshots, 1);

	ops.caps = 0;
	learn_error("kv_multi_get() of an engine without snapshots",
		    kv_multi_get(kv, NULL, 3, key, value, error), 0);
	learn_error("the first of its gets", error[0], 0);
	for (i = 0; i < 3; i++)
		kv_buf_free(&value[i]);
}

static void test_multi_get_without_its_snapshot_fails(void **state)
{
	const struct kv_slice key[2] = { kv_str("a"), kv_str("b") };
	struct kv_ops ops = ops_with(EVERY_CAP);
	struct kv_buf value[2] = { { 0 } };
	struct kv *kv = probe_start(&ops);
	int error[2];

	(void)state;
	ops.multi_get = NULL;
	probe.answer = -ENOMEM;
	learn_error("kv_multi_get() whose snapshot fails",
		    kv_multi_get(kv, NULL, 2, key, value, error), -ENOMEM);
	learn_number("the snapshots released that were never taken", probe.releases, 0);
	kv_buf_free(&value[0]);
	kv_buf_free(&value[1]);
}

static void test_what_a_table_leaves_out_has_a_plain_answer(void **state)
{
	struct kv_recovery r = { .records_replayed = 99 };
	struct kv *kv = probe_start(&bare_ops);
	struct kv_snapshot *snap;

	(void)state;
	learn_error("kv_snapshot() without the capability", kv_snapshot(kv, &snap),
		    -EOPNOTSUPP);
	learn_error("kv_sync() without the function", kv_sync(kv), 0);
	kv_recovery(kv, &r);
	learn_number("records_replayed without the function", r.records_replayed, 0);
	expect_calls("what the engine cannot do", 0);
	kv = probe_start(&full_ops);
	learn_error("kv_sync()", kv_sync(kv), 0);
	kv_recovery(kv, &r);
	learn_number("records_replayed that the engine says", r.records_replayed, 7);
	expect_calls("sync and recovery", 2);
}

static int nothing_get(struct kv *kv, struct kv_snapshot *snap, struct kv_slice key,
		       struct kv_buf *value)
{
	(void)kv, (void)snap, (void)key, (void)value;
	return -ENOENT;
}

static void bench_get(uint64_t n)
{
	static const struct kv_ops ops = { .name = "nothing", .get = nothing_get };
	struct kv kv = { .ops = &ops };
	struct kv_buf value = { 0 };

	for (; n; n--)
		(void)kv_get(&kv, kv_slice("key", 3), &value);
}

static const struct learn_test tests[] = {
	LEARN_TEST(test_get_reaches_the_engine, 1, CHAPTER),
	LEARN_TEST(test_keys_that_do_not_fit_are_refused, 2, HEADER),
	LEARN_TEST(test_write_asks_for_capabilities, 2, CHAPTER),
	LEARN_TEST(test_write_checks_all_steps_first, 3, HEADER),
	LEARN_TEST(test_bounds_need_not_be_keys, 1, HEADER),
	LEARN_TEST(test_multi_get_reads_one_state, 2, HEADER),
	LEARN_TEST(test_multi_get_without_its_snapshot_fails, 1, HEADER),
	LEARN_TEST(test_what_a_table_leaves_out_has_a_plain_answer, 1, CHAPTER),
};
static const struct learn_speed speeds[] = { { "a call through the table", bench_get,
					       500000 } };

LEARN_MAIN(tests, speeds)
