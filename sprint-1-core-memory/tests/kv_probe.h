/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * kv_probe.h - an engine for kv_call_tests.c that stores nothing: it notes how it was
 * called, and answers what the test told it to. So a test sees both what came back and
 * what got through.
 */
#ifndef KV_PROBE_H
#define KV_PROBE_H

#include "../kv.h"

#include <setjmp.h>

#include <cmocka.h>

#define BYTES(s) kv_slice("" s, sizeof(s) - 1)

enum probe_call {
	NOT_CALLED,
	CLOSE,
	GET,
	MULTI_GET,
	WRITE,
	SNAPSHOT,
	RELEASE,
	CURSOR,
	SYNC,
	COMPACT,
	BACKUP,
	VERIFY,
	STATS,
	RECOVERY,
};

static struct probe {
	struct kv base;
	unsigned int calls;   /* since probe_start() */
	enum probe_call last; /* of them */
	int answer;           /* what the next calls return */

	const char *dir;
	struct kv_op op; /* what write got first */
	size_t n;
	enum kv_durability how;
	struct kv_snapshot *snap;
	unsigned int snapshots, releases;
} probe;

struct kv_snapshot {
	int number;
};

static struct kv_snapshot probe_snapshot;

static int probe_note(const struct kv *kv, enum probe_call call)
{
	assert_ptr_equal(kv, &probe.base);
	probe.calls++;
	probe.last = call;
	return probe.answer;
}

static int probe_close(struct kv *kv)
{
	return probe_note(kv, CLOSE);
}

/* A key that begins with '?' is absent; the value of any other is the key. */
static int probe_get(struct kv *kv, struct kv_snapshot *snap, struct kv_slice key,
		     struct kv_buf *value)
{
	probe.snap = snap;
	if (probe_note(kv, GET))
		return probe.answer;
	if (key.len && *(const char *)key.data == '?')
		return -ENOENT;
	return kv_buf_set(value, key.data, key.len);
}

static int probe_multi_get(struct kv *kv, struct kv_snapshot *snap, size_t n,
			   const struct kv_slice *key, struct kv_buf *value, int *error)
{
	size_t i;

	(void)key;
	probe.snap = snap;
	probe.n = n;
	for (i = 0; i < n; i++) {
		assert_int_equal(value[i].len, 0);
		error[i] = -ENOENT;
	}
	return probe_note(kv, MULTI_GET);
}

static int probe_write(struct kv *kv, const struct kv_op *op, size_t n,
		       enum kv_durability how)
{
	probe.op = op[0];
	probe.n = n;
	probe.how = how;
	return probe_note(kv, WRITE);
}

static int probe_take_snapshot(struct kv *kv, struct kv_snapshot **out)
{
	if (probe_note(kv, SNAPSHOT))
		return probe.answer;
	probe.snapshots++;
	*out = &probe_snapshot;
	return 0;
}

static void probe_release(struct kv *kv, struct kv_snapshot *snap)
{
	assert_ptr_equal(snap, &probe_snapshot);
	probe.releases++;
	probe_note(kv, RELEASE);
}

static int probe_next(struct kv_cursor *c)
{
	c->key = BYTES("next");
	return 0;
}

static int probe_prev(struct kv_cursor *c)
{
	c->key = BYTES("prev");
	return 0;
}

static int probe_seek(struct kv_cursor *c, struct kv_slice key)
{
	c->key = key;
	return 0;
}

static void probe_cursor_close(struct kv_cursor *c)
{
	c->key = BYTES("closed");
}

static const struct kv_cursor_ops both_ways = { probe_seek, probe_next, probe_prev,
						probe_cursor_close, NULL };
static const struct kv_cursor_ops forward_only = { NULL, probe_next, NULL,
						   probe_cursor_close, NULL };
static struct kv_cursor probe_cursor_of_all;

static int probe_cursor(struct kv *kv, struct kv_snapshot *snap, struct kv_cursor **out)
{
	probe.snap = snap;
	*out = &probe_cursor_of_all;
	return probe_note(kv, CURSOR);
}

static int probe_sync(struct kv *kv)
{
	return probe_note(kv, SYNC);
}

static int probe_compact(struct kv *kv)
{
	return probe_note(kv, COMPACT);
}

static int probe_backup(struct kv *kv, const char *dir)
{
	probe.dir = dir;
	return probe_note(kv, BACKUP);
}

static int probe_verify(struct kv *kv, struct kv_msg *why)
{
	return kv_fail(why, probe_note(kv, VERIFY), "probe: verified");
}

static void probe_stats(struct kv *kv, kv_stat_fn *emit, void *arg)
{
	probe_note(kv, STATS);
	emit(arg, "answers", 42);
}

static void probe_recovery(struct kv *kv, struct kv_recovery *out)
{
	probe_note(kv, RECOVERY);
	out->records_replayed = 7;
}

enum { EVERY_CAP = (KV_CAP_VERIFY << 1) - 1 };

static const struct kv_ops full_ops = {
	.name = "probe",
	.caps = EVERY_CAP,
	.close = probe_close,
	.get = probe_get,
	.multi_get = probe_multi_get,
	.write = probe_write,
	.snapshot = probe_take_snapshot,
	.release = probe_release,
	.cursor = probe_cursor,
	.sync = probe_sync,
	.compact = probe_compact,
	.backup = probe_backup,
	.verify = probe_verify,
	.stats = probe_stats,
	.recovery = probe_recovery,
};

/* What an engine that can do nothing special has to bring. */
static const struct kv_ops bare_ops = {
	.name = "bare",
	.close = probe_close,
	.get = probe_get,
	.write = probe_write,
};

static struct kv *probe_start(const struct kv_ops *ops)
{
	probe = (struct probe){ .base = { .ops = ops } };
	return &probe.base;
}

/* The call was refused, or answered, before it reached the engine. */
#define EXPECT_ALONE(want, call)                  \
	do {                                      \
		probe.calls = 0;                  \
		assert_int_equal(call, want);     \
		assert_int_equal(probe.calls, 0); \
	} while (0)

/* The call reached the engine once, as what, and returned what that answered. */
#define EXPECT_PASSED(what, call)                   \
	do {                                        \
		probe.calls = 0;                    \
		probe.answer = -EIO;                \
		assert_int_equal(call, -EIO);       \
		assert_int_equal(probe.calls, 1);   \
		assert_int_equal(probe.last, what); \
		probe.answer = 0;                   \
		assert_int_equal(call, 0);          \
		assert_int_equal(probe.calls, 2);   \
	} while (0)

#endif /* KV_PROBE_H */
