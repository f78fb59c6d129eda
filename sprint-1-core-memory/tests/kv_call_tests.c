/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * kv_call_tests.c - the calls of kv.h: checks of arguments and capabilities, and the
 * plain answers where an engine leaves a call out.
 */
#include "kv_probe.h"
#include "leak_check.h"

static int set_up(void **state)
{
	leak_check_set_up(state);
	probe_start(&full_ops);
	return 0;
}

/* ---- close ---- */

static void test_close_passes_and_null_is_allowed(void **state)
{
	struct kv *kv = probe_start(&full_ops);

	(void)state;
	EXPECT_PASSED(CLOSE, kv_close(kv));
	EXPECT_ALONE(0, kv_close(NULL));
}

/* ---- get and multi_get ---- */

static void test_get_passes_its_snapshot(void **state)
{
	struct kv *kv = probe_start(&full_ops);
	struct kv_buf value = { 0 };

	(void)state;
	EXPECT_PASSED(GET, kv_get(kv, BYTES("k"), &value));
	assert_int_equal(value.len, 1);
	assert_null(probe.snap);
	EXPECT_PASSED(GET, kv_get_at(kv, &probe_snapshot, BYTES("k"), &value));
	assert_ptr_equal(probe.snap, &probe_snapshot);
	kv_buf_free(&value);
}

static void test_get_that_fails_empties_the_value(void **state)
{
	struct kv *kv = probe_start(&full_ops);
	struct kv_buf value = { 0 };

	(void)state;
	assert_int_equal(kv_get(kv, BYTES("found"), &value), 0);
	assert_int_equal(value.len, 5);
	assert_int_equal(kv_get(kv, BYTES("?"), &value), -ENOENT);
	assert_int_equal(value.len, 0);
	assert_int_equal(kv_get(kv, BYTES("found"), &value), 0);
	EXPECT_ALONE(-EINVAL, kv_get(kv, kv_slice("", KV_KEY_MAX + 1), &value));
	assert_int_equal(value.len, 0);
	kv_buf_free(&value);
}

static void test_multi_get_of_the_engine_is_used(void **state)
{
	const struct kv_slice key[3] = { BYTES("a"), BYTES("b"), BYTES("c") };
	struct kv *kv = probe_start(&full_ops);
	struct kv_buf value[3] = { 0 };
	int error[3];
	size_t i;

	(void)state;
	for (i = 0; i < 3; i++) /* what is left of an earlier call is gone, as in a get */
		assert_int_equal(kv_buf_set(&value[i], "left over", 9), 0);
	EXPECT_PASSED(MULTI_GET, kv_multi_get(kv, &probe_snapshot, 3, key, value, error));
	assert_int_equal(probe.n, 3);
	assert_ptr_equal(probe.snap, &probe_snapshot);
	for (i = 0; i < 3; i++)
		kv_buf_free(&value[i]);
}

static void test_multi_get_without_the_engines_loops_over_one_snapshot(void **state)
{
	const struct kv_slice key[4] = { BYTES("a"), BYTES("?"), BYTES(""), BYTES("dd") };
	static const int want[4] = { 0, -ENOENT, 0, 0 };
	struct kv_ops ops = full_ops;
	struct kv *kv = probe_start(&ops);
	struct kv_buf value[4] = { 0 };
	int error[4];
	size_t i;

	(void)state;
	ops.multi_get = NULL;
	assert_int_equal(kv_multi_get(kv, NULL, 4, key, value, error), 0);
	assert_ptr_equal(probe.snap, &probe_snapshot);
	assert_int_equal(probe.snapshots, 1);
	assert_int_equal(probe.releases, 1);
	for (i = 0; i < 4; i++) {
		assert_int_equal(error[i], want[i]);
		assert_int_equal(value[i].len, want[i] ? 0 : key[i].len);
	}
	assert_memory_equal(value[3].data, "dd", 2);

	/* The caller's own snapshot is used, and remains the caller's. */
	assert_int_equal(kv_multi_get(kv, &probe_snapshot, 4, key, value, error), 0);
	assert_int_equal(probe.snapshots, 1);
	assert_int_equal(probe.releases, 1);
	/* One get is one state by itself. */
	assert_int_equal(kv_multi_get(kv, NULL, 1, key, value, error), 0);
	assert_null(probe.snap);
	assert_int_equal(probe.snapshots, 1);
	EXPECT_ALONE(0, kv_multi_get(kv, NULL, 0, NULL, NULL, NULL));
	for (i = 0; i < 4; i++)
		kv_buf_free(&value[i]);
}

static void test_multi_get_without_snapshots_loops_all_the_same(void **state)
{
	const struct kv_slice key[2] = { BYTES("a"), BYTES("?") };
	struct kv *kv = probe_start(&bare_ops);
	struct kv_buf value[2] = { 0 };
	int error[2];

	(void)state;
	assert_int_equal(kv_multi_get(kv, NULL, 2, key, value, error), 0);
	assert_int_equal(error[0], 0);
	assert_int_equal(error[1], -ENOENT);
	assert_int_equal(probe.calls, 2);
	kv_buf_free(&value[0]);
}

static void test_multi_get_gives_a_key_that_does_not_fit_its_own_error(void **state)
{
	const struct kv_slice key[3] = { BYTES("a"), kv_slice("", KV_KEY_MAX + 1),
					 BYTES("c") };
	struct kv *kv = probe_start(&full_ops);
	struct kv_buf value[3] = { 0 };
	int error[3];
	size_t i;

	(void)state;
	for (i = 0; i < 3; i++)
		assert_int_equal(kv_buf_set(&value[i], "left over", 9), 0);
	assert_int_equal(kv_multi_get(kv, NULL, 3, key, value, error), 0);
	assert_int_equal(error[0], 0);
	assert_int_equal(error[1], -EINVAL);
	assert_int_equal(error[2], 0);
	assert_int_equal(value[0].len, 1);
	assert_int_equal(value[1].len, 0);
	assert_int_equal(value[2].len, 1);
	for (i = 0; i < 3; i++)
		kv_buf_free(&value[i]);
}

static void test_multi_get_that_finds_no_snapshot_empties_all_values(void **state)
{
	const struct kv_slice key[3] = { BYTES("a"), kv_slice("", KV_KEY_MAX + 1),
					 BYTES("c") };
	struct kv *kv = probe_start(&full_ops);
	struct kv_buf value[3] = { 0 };
	int error[3];
	size_t i;

	(void)state;
	for (i = 0; i < 3; i++)
		assert_int_equal(kv_buf_set(&value[i], "left over", 9), 0);
	probe.answer = -ENOMEM;
	assert_int_equal(kv_multi_get(kv, NULL, 3, key, value, error), -ENOMEM);
	assert_int_equal(probe.last, SNAPSHOT);
	for (i = 0; i < 3; i++) {
		assert_int_equal(value[i].len, 0);
		kv_buf_free(&value[i]);
	}
}

/* ---- writes ---- */

static void test_put_and_delete_are_writes_of_one_step(void **state)
{
	struct kv *kv = probe_start(&full_ops);

	(void)state;
	EXPECT_PASSED(WRITE, kv_put(kv, BYTES("key"), BYTES("value"), KV_GROUP));
	assert_int_equal(probe.n, 1);
	assert_int_equal(probe.how, KV_GROUP);
	assert_int_equal(probe.op.type, KV_PUT);
	assert_int_equal(kv_compare(probe.op.key, BYTES("key")), 0);
	assert_int_equal(kv_compare(probe.op.value, BYTES("value")), 0);
	EXPECT_PASSED(WRITE, kv_delete(kv, BYTES("other"), KV_SYNC));
	assert_int_equal(probe.n, 1);
	assert_int_equal(probe.how, KV_SYNC);
	assert_int_equal(probe.op.type, KV_DELETE);
	assert_int_equal(kv_compare(probe.op.key, BYTES("other")), 0);
}

static void test_write_of_no_steps_is_done_without_the_engine(void **state)
{
	struct kv *kv = probe_start(&full_ops);

	(void)state;
	EXPECT_ALONE(0, kv_write(kv, NULL, 0, KV_SYNC));
}

static void test_write_refuses_what_is_no_durability_or_step(void **state)
{
	struct kv_op op[2] = { { KV_PUT, BYTES("k"), BYTES("v") },
			       { (enum kv_op_type)3, BYTES("k"), BYTES("v") } };
	struct kv *kv = probe_start(&full_ops);

	(void)state;
	EXPECT_ALONE(-EINVAL, kv_write(kv, op, 1, (enum kv_durability)3));
	EXPECT_ALONE(-EINVAL, kv_write(kv, op, 1, (enum kv_durability) - 1));
	EXPECT_ALONE(-EINVAL, kv_write(kv, op, 2, KV_NONE));
	EXPECT_PASSED(WRITE, kv_write(kv, op, 1, KV_NONE));
}

static void test_write_beyond_the_caps_is_refused(void **state)
{
	const struct kv_op range = { KV_DELETE_RANGE, BYTES("a"), BYTES("b") };
	const struct kv_op puts[2] = { { KV_PUT, BYTES("a"), BYTES("") },
				       { KV_PUT, BYTES("b"), BYTES("") } };
	struct kv_ops ops = full_ops;
	struct kv *kv = probe_start(&ops);

	(void)state;
	EXPECT_PASSED(WRITE, kv_write(kv, puts, 2, KV_NONE));
	assert_int_equal(probe.n, 2);
	EXPECT_PASSED(WRITE, kv_write(kv, &range, 1, KV_NONE));
	EXPECT_PASSED(WRITE, kv_write(kv, puts, 1, KV_SYNC));
	EXPECT_PASSED(WRITE, kv_write(kv, puts, 1, KV_GROUP));

	ops.caps = EVERY_CAP & ~(unsigned int)KV_CAP_BATCH;
	EXPECT_ALONE(-EOPNOTSUPP, kv_write(kv, puts, 2, KV_NONE));
	EXPECT_PASSED(WRITE, kv_write(kv, puts, 1, KV_NONE));
	ops.caps = EVERY_CAP & ~(unsigned int)KV_CAP_DELETE_RANGE;
	EXPECT_ALONE(-EOPNOTSUPP, kv_write(kv, &range, 1, KV_NONE));
	ops.caps = EVERY_CAP & ~(unsigned int)KV_CAP_DURABLE;
	EXPECT_ALONE(-EOPNOTSUPP, kv_write(kv, puts, 1, KV_SYNC));
	EXPECT_ALONE(-EOPNOTSUPP, kv_write(kv, puts, 1, KV_GROUP));
	EXPECT_PASSED(WRITE, kv_write(kv, puts, 1, KV_NONE));
}

/* What the engine gets is never read here, so lengths alone make a key or a value. */
static void expect_limits(size_t key_min, size_t key_max, size_t value_max)
{
	const struct kv_slice any = BYTES("");
	struct kv *kv = &probe.base;
	struct kv_buf value = { 0 };
	struct kv_slice k = kv_slice("", key_min);
	struct kv_op op[2] = { { KV_PUT, k, any }, { KV_PUT, k, any } };

	EXPECT_PASSED(WRITE, kv_put(kv, kv_slice("", key_max), any, KV_NONE));
	EXPECT_PASSED(WRITE, kv_put(kv, k, kv_slice("", value_max), KV_NONE));
	EXPECT_PASSED(WRITE, kv_delete(kv, kv_slice("", key_max), KV_NONE));
	EXPECT_PASSED(WRITE, kv_delete(kv, k, KV_NONE));
	EXPECT_ALONE(-EINVAL, kv_put(kv, kv_slice("", key_max + 1), any, KV_NONE));
	EXPECT_ALONE(-EINVAL, kv_put(kv, k, kv_slice("", value_max + 1), KV_NONE));
	EXPECT_ALONE(-EINVAL, kv_delete(kv, kv_slice("", key_max + 1), KV_NONE));
	EXPECT_ALONE(-EINVAL, kv_get(kv, kv_slice("", key_max + 1), &value));
	EXPECT_ALONE(-EINVAL, kv_put(kv, kv_slice("", SIZE_MAX), any, KV_NONE));
	EXPECT_ALONE(-EINVAL, kv_put(kv, k, kv_slice("", SIZE_MAX), KV_NONE));
	if (key_min) {
		EXPECT_ALONE(-EINVAL,
			     kv_put(kv, kv_slice("", key_min - 1), any, KV_NONE));
		EXPECT_ALONE(-EINVAL, kv_delete(kv, kv_slice("", key_min - 1), KV_NONE));
		EXPECT_ALONE(-EINVAL, kv_get(kv, kv_slice("", key_min - 1), &value));
	}
	/* One step that does not fit refuses all. */
	op[1].key.len = key_max + 1;
	EXPECT_ALONE(-EINVAL, kv_write(kv, op, 2, KV_NONE));
	kv_buf_free(&value);
}

static void test_limits_of_the_interface(void **state)
{
	(void)state;
	expect_limits(0, KV_KEY_MAX, KV_VALUE_MAX);
}

static void test_limits_of_the_engine(void **state)
{
	struct kv_ops ops = full_ops;

	(void)state;
	ops.key_min = 1;
	ops.key_max = 511;
	ops.value_max = 4000;
	probe_start(&ops);
	expect_limits(1, 511, 4000);
}

static void test_ends_of_a_range_are_bounds_not_keys(void **state)
{
	struct kv_op op = { KV_DELETE_RANGE, BYTES(""), { NULL, 0 } };
	struct kv_ops ops = full_ops;
	struct kv *kv = probe_start(&ops);

	(void)state;
	ops.key_min = 1;
	ops.key_max = 511;
	EXPECT_PASSED(WRITE, kv_write(kv, &op, 1, KV_NONE));
	op.key = kv_slice("", KV_KEY_MAX);
	op.value = kv_slice("", KV_KEY_MAX);
	EXPECT_PASSED(WRITE, kv_write(kv, &op, 1, KV_NONE));
	op.key.len++;
	EXPECT_ALONE(-EINVAL, kv_write(kv, &op, 1, KV_NONE));
	op.key.len--;
	op.value.len++;
	EXPECT_ALONE(-EINVAL, kv_write(kv, &op, 1, KV_NONE));
}

/* ---- snapshots and cursors ---- */

static void test_snapshot_and_release(void **state)
{
	struct kv_ops ops = full_ops;
	struct kv *kv = probe_start(&ops);
	struct kv_snapshot *snap = NULL;

	(void)state;
	EXPECT_PASSED(SNAPSHOT, kv_snapshot(kv, &snap));
	assert_ptr_equal(snap, &probe_snapshot);
	kv_release(kv, snap);
	assert_int_equal(probe.releases, 1);
	kv_release(kv, NULL);
	assert_int_equal(probe.releases, 1);
	ops.caps = EVERY_CAP & ~(unsigned int)KV_CAP_SNAPSHOT;
	snap = NULL;
	EXPECT_ALONE(-EOPNOTSUPP, kv_snapshot(kv, &snap));
	assert_null(snap);
}

static void test_cursor_passes_its_snapshot(void **state)
{
	struct kv_ops ops = full_ops;
	struct kv *kv = probe_start(&ops);
	struct kv_cursor *c = NULL;

	(void)state;
	EXPECT_PASSED(CURSOR, kv_cursor(kv, &probe_snapshot, &c));
	assert_ptr_equal(probe.snap, &probe_snapshot);
	EXPECT_PASSED(CURSOR, kv_cursor(kv, NULL, &c));
	assert_null(probe.snap);
	assert_ptr_equal(c, &probe_cursor_of_all);
	ops.caps = EVERY_CAP & ~(unsigned int)KV_CAP_CURSOR;
	c = NULL;
	EXPECT_ALONE(-EOPNOTSUPP, kv_cursor(kv, NULL, &c));
	assert_null(c);
}

static void test_cursor_moves_are_dispatched(void **state)
{
	struct kv_cursor c = { .ops = &both_ways };

	(void)state;
	assert_int_equal(kv_seek(&c, BYTES("there")), 0);
	assert_int_equal(kv_compare(c.key, BYTES("there")), 0);
	assert_int_equal(kv_next(&c), 0);
	assert_int_equal(kv_compare(c.key, BYTES("next")), 0);
	assert_int_equal(kv_prev(&c), 0);
	assert_int_equal(kv_compare(c.key, BYTES("prev")), 0);
	kv_cursor_close(&c);
	assert_int_equal(kv_compare(c.key, BYTES("closed")), 0);
	kv_cursor_close(NULL);

	c = (struct kv_cursor){ .ops = &forward_only };
	assert_int_equal(kv_seek(&c, BYTES("there")), -EOPNOTSUPP);
	assert_int_equal(kv_prev(&c), -EOPNOTSUPP);
	assert_int_equal(kv_next(&c), 0);
}

/* ---- looking after a store ---- */

static void note_stat(void *arg, const char *name, uint64_t value)
{
	assert_string_equal(name, "answers");
	*(uint64_t *)arg += value;
}

static void test_calls_that_look_after_a_store_pass(void **state)
{
	struct kv_recovery recovery = { .bytes_dropped = 5, .why = { "of old" } };
	struct kv *kv = probe_start(&full_ops);
	uint64_t sum = 0;
	struct kv_msg why;

	(void)state;
	EXPECT_PASSED(SYNC, kv_sync(kv));
	EXPECT_PASSED(COMPACT, kv_compact(kv));
	EXPECT_PASSED(BACKUP, kv_backup(kv, "there"));
	assert_string_equal(probe.dir, "there");
	EXPECT_PASSED(VERIFY, kv_verify(kv, &why));
	assert_string_equal(why.text, "probe: verified");
	EXPECT_PASSED(VERIFY, kv_verify(kv, NULL));
	kv_stats(kv, note_stat, &sum);
	assert_int_equal(probe.last, STATS);
	assert_int_equal(sum, 42);
	kv_recovery(kv, &recovery);
	assert_int_equal(probe.last, RECOVERY);
	assert_int_equal(recovery.records_replayed, 7);
	assert_int_equal(recovery.bytes_dropped, 0);
	assert_string_equal(recovery.why.text, "");
}

static void test_plain_answers_of_an_engine_that_leaves_calls_out(void **state)
{
	struct kv_recovery recovery = { 1, 2, { "of old" } }, clean = { 0 };
	struct kv *kv = probe_start(&bare_ops);
	struct kv_snapshot *snap = NULL;
	struct kv_cursor *c = NULL;
	struct kv_msg why;
	uint64_t sum = 0;

	(void)state;
	EXPECT_ALONE(0, kv_sync(kv));
	EXPECT_ALONE(0, kv_compact(kv));
	EXPECT_ALONE(-EOPNOTSUPP, kv_backup(kv, "there"));
	EXPECT_ALONE(-EOPNOTSUPP, kv_verify(kv, &why));
	EXPECT_ALONE(-EOPNOTSUPP, kv_snapshot(kv, &snap));
	EXPECT_ALONE(-EOPNOTSUPP, kv_cursor(kv, NULL, &c));
	kv_stats(kv, note_stat, &sum);
	assert_int_equal(sum, 0);
	kv_recovery(kv, &recovery);
	assert_memory_equal(&recovery, &clean, sizeof(clean));
	assert_int_equal(probe.calls, 0);
}

#define KV_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, leak_check_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		KV_TEST(test_close_passes_and_null_is_allowed),
		KV_TEST(test_get_passes_its_snapshot),
		KV_TEST(test_get_that_fails_empties_the_value),
		KV_TEST(test_multi_get_of_the_engine_is_used),
		KV_TEST(test_multi_get_without_the_engines_loops_over_one_snapshot),
		KV_TEST(test_multi_get_without_snapshots_loops_all_the_same),
		KV_TEST(test_multi_get_gives_a_key_that_does_not_fit_its_own_error),
		KV_TEST(test_multi_get_that_finds_no_snapshot_empties_all_values),
		KV_TEST(test_put_and_delete_are_writes_of_one_step),
		KV_TEST(test_write_of_no_steps_is_done_without_the_engine),
		KV_TEST(test_write_refuses_what_is_no_durability_or_step),
		KV_TEST(test_write_beyond_the_caps_is_refused),
		KV_TEST(test_limits_of_the_interface),
		KV_TEST(test_limits_of_the_engine),
		KV_TEST(test_ends_of_a_range_are_bounds_not_keys),
		KV_TEST(test_snapshot_and_release),
		KV_TEST(test_cursor_passes_its_snapshot),
		KV_TEST(test_cursor_moves_are_dispatched),
		KV_TEST(test_calls_that_look_after_a_store_pass),
		KV_TEST(test_plain_answers_of_an_engine_that_leaves_calls_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
