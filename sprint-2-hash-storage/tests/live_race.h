/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * live_race.h - everything at once in one process, for any engine: writers of single steps and of
 * batches, readers, readers of several keys, snapshots, cursors, compaction, checkpoints,
 * a backup. Under ThreadSanitizer this is where a race would show; in any build no reader
 * may see what no moment ever held. KV_TORTURE=seconds runs it that long.
 */
#ifndef LIVE_RACE_H
#define LIVE_RACE_H

#include "hash_live.h"

enum { WRITERS = 2, RUN_MS = 1500, PAIRS = 16 };

struct race {
	struct kv *kv;
	bool done;              /* atomic */
	uint64_t step[WRITERS]; /* atomic: done by each writer */
	uint64_t rounds[6];     /* atomic: of each kind of thread, so that none idles */
	uint64_t failed;        /* atomic: line of the first thing that went wrong */
};

static void complain(struct race *r, unsigned int line)
{
	uint64_t none = 0;

	(void)port_cas(&r->failed, &none, (uint64_t)line);
	port_store_release(&r->done, true);
}

#define CHECK(r, condition)                      \
	do {                                     \
		if (!(condition))                \
			complain((r), __LINE__); \
	} while (0)

/* Of a call that should not fail. */
static void tell(struct race *r, const char *what, int error, const char *why)
{
	print_error("%s: error %d %s\n", what, error, why);
	complain(r, __LINE__);
}

static void check(struct race *r, const char *what, int error)
{
	if (error)
		tell(r, what, error, "");
}

static bool going_on(const struct race *r)
{
	return !port_load_acquire(&r->done);
}

struct writing {
	struct race *r;
	unsigned int writer;
};

static void *write_steps(void *arg)
{
	const struct writing *w = arg;
	struct race *r = w->r;
	uint64_t step = 0;

	while (going_on(r)) {
		check(r, "write", live_write(r->kv, w->writer, ++step));
		port_store_release(&r->step[w->writer], step);
	}
	return NULL;
}

/* ---- batches are seen whole ---- */

static struct kv_slice pair_key(unsigned int pair, char side, char *buf)
{
	int n = snprintf(buf, LIVE_KEY_MAX, "pair%u%c", pair, side);

	return kv_slice(buf, (size_t)n);
}

/* Both sides of a pair always have the same value, or are both absent. */
static void *write_pairs(void *arg)
{
	struct race *r = arg;
	uint64_t n;

	for (n = 1; going_on(r); n++) {
		enum kv_op_type type = n % 7 ? KV_PUT : KV_DELETE;
		unsigned int pair = (unsigned int)(live_draw(n) % PAIRS);
		char a[LIVE_KEY_MAX], b[LIVE_KEY_MAX];
		uint8_t value[8];
		const struct kv_op op[2] = {
			{ type, pair_key(pair, 'a', a), kv_slice(value, 8) },
			{ type, pair_key(pair, 'b', b), kv_slice(value, 8) },
		};

		port_put_le64(value, n);
		CHECK(r, kv_write(r->kv, op, 2, n % 50 ? KV_NONE : KV_SYNC) == 0);
		port_fetch_add(&r->rounds[0], (uint64_t)1);
	}
	return NULL;
}

static void *read_pairs(void *arg)
{
	struct race *r = arg;
	struct kv_buf value[2] = { { 0 } };
	uint64_t n;

	for (n = 0; going_on(r); n++) {
		unsigned int pair = (unsigned int)(live_draw(n) % PAIRS);
		char a[LIVE_KEY_MAX], b[LIVE_KEY_MAX];
		const struct kv_slice key[2] = { pair_key(pair, 'a', a),
						 pair_key(pair, 'b', b) };
		int error[2];

		CHECK(r, kv_multi_get(r->kv, NULL, 2, key, value, error) == 0);
		CHECK(r, error[0] == error[1] && (!error[0] || error[0] == -ENOENT));
		CHECK(r, error[0] || !memcmp(value[0].data, value[1].data, 8));
		port_fetch_add(&r->rounds[1], (uint64_t)1);
	}
	kv_buf_free(&value[0]);
	kv_buf_free(&value[1]);
	return NULL;
}

/* ---- what a reader sees ---- */

/* The newest value of a key is from no step that is yet to begin, nor does it go back. */
static void *read_newest(void *arg)
{
	struct race *r = arg;
	struct live_model last[WRITERS] = { 0 };
	struct kv_buf value = { 0 };
	char name[LIVE_KEY_MAX];
	uint64_t n, step;
	int error;

	for (n = 0; going_on(r); n++) {
		unsigned int w = (unsigned int)(n % WRITERS);
		size_t key = live_draw(n) % LIVE_KEYS;

		error = kv_get(r->kv, live_key(w, key, name), &value);
		if (error && error != -ENOENT)
			tell(r, "get", error, "");
		if (error)
			continue;
		step = live_step_of(w, key, kv_slice(value.data, value.len));
		CHECK(r, step != UINT64_MAX && step >= last[w].from[key]);
		CHECK(r, step <= port_load_acquire(&r->step[w]) + 1);
		last[w].from[key] = step;
		port_fetch_add(&r->rounds[2], (uint64_t)1);
	}
	kv_buf_free(&value);
	return NULL;
}

/* Of one writer, a snapshot is the state after one step. */
static void check_snapshot(struct race *r, struct live_model *m, uint64_t *at,
			   unsigned int writer)
{
	uint64_t before = port_load_acquire(&r->step[writer]), step = *at;
	struct live_model first, again;
	struct kv_snapshot *snap;

	if (kv_snapshot(r->kv, &snap)) {
		complain(r, __LINE__);
		return;
	}
	CHECK(r, live_read(r->kv, snap, writer, &first) == 0);
	while (step < before)
		live_apply(m, writer, ++step);
	CHECK(r, live_catch_up(m, writer, &step, port_load_acquire(&r->step[writer]) + 1,
			       &first));
	*at = step;
	CHECK(r, live_read(r->kv, snap, writer, &again) == 0);
	CHECK(r, !memcmp(&first, &again, sizeof(again)));
	kv_release(r->kv, snap);
}

static void *take_snapshots(void *arg)
{
	struct race *r = arg;
	struct live_model m[WRITERS] = { 0 };
	uint64_t step[WRITERS] = { 0 };
	uint64_t n;

	for (n = 0; going_on(r); n++) {
		check_snapshot(r, &m[n % WRITERS], &step[n % WRITERS],
			       (unsigned int)(n % WRITERS));
		port_fetch_add(&r->rounds[3], (uint64_t)1);
	}
	return NULL;
}

/* ---- cursors ---- */

/* Each key once, with a value that it had; what gets of the same snapshot say, too. */
static void walk_once(struct race *r, bool back)
{
	struct live_model met[WRITERS] = { 0 }, is;
	struct kv_snapshot *snap;
	struct kv_cursor *c;
	unsigned int w;
	size_t key;
	int error;

	if (kv_snapshot(r->kv, &snap)) {
		complain(r, __LINE__);
		return;
	}
	error = kv_cursor(r->kv, snap, &c);
	if (error) {
		complain(r, __LINE__);
		kv_release(r->kv, snap);
		return;
	}
	while (!(error = back ? kv_prev(c) : kv_next(c))) {
		char name[LIVE_KEY_MAX];

		if (c->key.len != 15 || memcmp(c->key.data, "writer", 6))
			continue;
		memcpy(name, c->key.data, 15);
		name[15] = '\0';
		CHECK(r, sscanf(name, "writer%u-key%zu", &w, &key) == 2 && w < WRITERS &&
				 key < LIVE_KEYS && !met[w].from[key]);
		if (!going_on(r))
			break;
		met[w].from[key] = live_step_of(w, key, c->value);
	}
	CHECK(r, !going_on(r) || error == -ENOENT);
	kv_cursor_close(c);
	for (w = 0; w < WRITERS && error == -ENOENT; w++) {
		CHECK(r, live_read(r->kv, snap, w, &is) == 0);
		CHECK(r, !memcmp(&is, &met[w], sizeof(is)));
	}
	kv_release(r->kv, snap);
}

static void *walk(void *arg)
{
	struct race *r = arg;
	bool back = false;

	while (going_on(r)) {
		walk_once(r, back);
		if (LIVE_ENGINE.caps & KV_CAP_ORDERED)
			back = !back;
		port_fetch_add(&r->rounds[4], (uint64_t)1);
	}
	return NULL;
}

/* ---- looking after it ---- */

static void ignore_stat(void *arg, const char *name, uint64_t value)
{
	(void)arg;
	(void)name;
	(void)value;
}

static void verify(struct race *r)
{
	struct kv_msg why = { "" };
	int error = kv_verify(r->kv, &why);

	if (error)
		tell(r, "verify", error, why.text);
}

static void *look_after(void *arg)
{
	struct race *r = arg;
	char backup[SCRATCH_PATH];
	uint64_t n;

	(void)live_dir("race-backup", backup);
	for (n = 0; going_on(r); n++) {
		if (n % 4 == 0)
			check(r, "compact", kv_compact(r->kv));
		if (n % 4 == 1)
			verify(r);
		if (n % 4 == 2)
			check(r, "sync", kv_sync(r->kv));
		if (n == 3)
			check(r, "backup", kv_backup(r->kv, backup));
		kv_stats(r->kv, ignore_stat, NULL);
		port_fetch_add(&r->rounds[5], (uint64_t)1);
	}
	return NULL;
}

/* ---- all of it ---- */

static void run(struct race *r, const char *options, uint64_t ms)
{
	static void *(*const others[])(void *) = { write_pairs, read_pairs,
						   read_newest, take_snapshots,
						   walk,        look_after };
	enum { OTHERS = sizeof(others) / sizeof(others[0]) };
	pthread_t thread[WRITERS + OTHERS];
	struct writing w[WRITERS];
	struct kv_msg why = { "" };
	char dir[SCRATCH_PATH];
	uint64_t until;
	size_t i;

	(void)live_dir("race", dir);
	if (kv_open(&LIVE_ENGINE, env_posix(), dir, options, &r->kv, &why))
		fail_msg("%s", why.text);
	for (i = 0; i < OTHERS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, others[i], r), 0);
	for (i = 0; i < WRITERS; i++) {
		w[i] = (struct writing){ r, (unsigned int)i };
		assert_int_equal(
			pthread_create(&thread[OTHERS + i], NULL, write_steps, &w[i]), 0);
	}
	until = live_now_ms() + ms;
	/* Slow machines, and valgrind, get the time that they need. */
	while (going_on(r)) {
		bool idle = false;

		for (i = 0; i < OTHERS; i++)
			idle |= port_load_acquire(&r->rounds[i]) < 4;
		if (!idle && live_now_ms() >= until)
			port_store_release(&r->done, true);
		(void)usleep(5000);
	}
	for (i = 0; i < OTHERS + WRITERS; i++)
		pthread_join(thread[i], NULL);
	if (r->failed)
		fail_msg("what line %llu checks did not hold",
			 (unsigned long long)r->failed);
}

/* After all of it the store holds what the writers wrote, also when it is opened again. */
static void check_end(struct race *r, const char *options)
{
	struct live_model m, is;
	struct kv_msg why;
	char dir[SCRATCH_PATH];
	uint64_t step;
	unsigned int i;
	int reopened;

	(void)live_dir("race", dir);
	for (reopened = 0; reopened < 2; reopened++) {
		for (i = 0; i < WRITERS; i++) {
			memset(&m, 0, sizeof(m));
			for (step = 1; step <= r->step[i]; step++)
				live_apply(&m, i, step);
			assert_int_equal(live_read(r->kv, NULL, i, &is), 0);
			assert_memory_equal(&m, &is, sizeof(m));
		}
		live_verify(r->kv);
		assert_int_equal(kv_close(r->kv), 0);
		assert_int_equal(
			kv_open(&LIVE_ENGINE, env_posix(), dir, options, &r->kv, &why),
			0);
	}
	assert_int_equal(kv_close(r->kv), 0);
}

static void race(const char *options)
{
	struct race r = { .done = false };
	uint64_t live = port_fault_live();
	char dir[SCRATCH_PATH];

	run(&r, options, live_ms(RUN_MS));
	print_message(
		"%llu and %llu steps; %llu pairs, %llu and %llu reads, %llu snapshots, "
		"%llu walks, %llu rounds of care\n",
		(unsigned long long)r.step[0], (unsigned long long)r.step[1],
		(unsigned long long)r.rounds[0], (unsigned long long)r.rounds[1],
		(unsigned long long)r.rounds[2], (unsigned long long)r.rounds[3],
		(unsigned long long)r.rounds[4], (unsigned long long)r.rounds[5]);
	check_end(&r, options);
	scratch_remove(live_dir("race", dir));
	scratch_remove(live_dir("race-backup", dir));
	assert_int_equal(port_fault_live(), live);
}

#endif /* LIVE_RACE_H */
