/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * live_process.h - tests of any engine over real files and several processes: a directory
 * has one owner; a process killed at any moment loses nothing that was acknowledged; a
 * backup that was cut short is not taken for a store, and one that was finished is one.
 *
 * The engine is the one that hash_live.h is told.
 *
 * What a process knows of its own progress lies in memory shared with the test, written
 * before and after each step. KV_TORTURE=seconds runs the loops that long.
 */
#ifndef LIVE_PROCESS_H
#define LIVE_PROCESS_H

#include "hash_live.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { WRITERS = 2 };

struct shared {
	uint64_t started[WRITERS], done[WRITERS]; /* steps; atomic */
	uint64_t ready;                           /* the store is open */
	uint64_t backup;                          /* 1: begun, 2: it returned 0 */
};

static struct shared *shared;
static uint64_t seed;

static int set_up(void **state)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	seed = kv_history_seed(7);
	print_message("seed %llu\n", (unsigned long long)seed);
	return shared == MAP_FAILED ? -1 : make_scratch(state);
}

/* ---- the child ---- */

static void die(const char *what, int error)
{
	(void)fprintf(stderr, "child: %s: %d\n", what, error);
	_exit(3);
}

struct writing {
	struct kv *kv;
	unsigned int writer;
};

static void *write_for_ever(void *arg)
{
	const struct writing *w = arg;
	uint64_t step = shared->done[w->writer];
	int error;

	for (;;) {
		port_store_release(&shared->started[w->writer], ++step);
		error = live_write(w->kv, w->writer, step);
		if (error)
			die("write", error);
		port_store_release(&shared->done[w->writer], step);
	}
	return NULL;
}

/* Runs until it is killed. */
static void live_and_write(const char *dir, const char *backup)
{
	struct writing w[WRITERS];
	struct kv_msg why = { "" };
	pthread_t thread;
	struct kv *kv;
	unsigned int i;
	int error = kv_open(&LIVE_ENGINE, env_posix(), dir, LIVE_OPTIONS, &kv, &why);

	if (error)
		die(why.text, error);
	port_store_release(&shared->ready, (uint64_t)1);
	for (i = 0; i < WRITERS; i++) {
		w[i] = (struct writing){ kv, i };
		if (pthread_create(&thread, NULL, write_for_ever, &w[i]))
			die("thread", 0);
	}
	if (backup) {
		port_store_release(&shared->backup, (uint64_t)1);
		error = kv_backup(kv, backup);
		if (error)
			die("backup", error);
		port_store_release(&shared->backup, (uint64_t)2);
	}
	for (;;)
		(void)pause();
}

static pid_t start_child(const char *dir, const char *backup)
{
	pid_t child;

	port_store_release(&shared->ready, (uint64_t)0);
	port_store_release(&shared->backup, (uint64_t)0);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		live_and_write(dir, backup);
		_exit(4);
	}
	return child;
}

/* False once the child has ended by itself. */
static bool is_alive(pid_t child)
{
	int status;

	if (waitpid(child, &status, WNOHANG) == 0)
		return true;
	fail_msg("the child ended by itself, status 0x%x", status);
	return false;
}

static void wait_until(pid_t child, const uint64_t *value, uint64_t least)
{
	while (port_load_acquire(value) < least && is_alive(child))
		(void)usleep(200);
}

static void kill_child(pid_t child)
{
	int status;

	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		fail_msg("the child ended before it was killed, status 0x%x", status);
}

/* ---- one owner ---- */

static void test_second_process_is_told_that_the_store_is_open(void **state)
{
	struct kv_msg why = { "" };
	struct kv *kv = NULL;
	char dir[SCRATCH_PATH];
	pid_t child;

	(void)state;
	memset(shared, 0, sizeof(*shared));
	(void)live_dir("owner", dir);
	child = start_child(dir, NULL);
	wait_until(child, &shared->ready, 1);
	assert_int_equal(kv_open(&LIVE_ENGINE, env_posix(), dir, "", &kv, &why), -EBUSY);
	assert_null(kv);
	assert_non_null(strstr(why.text, dir));
	assert_non_null(strstr(why.text, "open elsewhere; close it there first"));
	/* Trying has done the owner no harm. */
	wait_until(child, &shared->done[0], shared->done[0] + 20);
	kill_child(child);
	kv = live_open(dir); /* the dead own nothing */
	assert_int_equal(
		kv_open(&LIVE_ENGINE, env_posix(), dir, "", &(struct kv *){ NULL }, &why),
		-EBUSY); /* nor may one process have it twice */
	assert_int_equal(kv_close(kv), 0);
}

/* ---- kill -9 ---- */

static size_t count_pairs(struct kv *kv)
{
	struct kv_cursor *c;
	size_t n = 0;
	int error;

	assert_int_equal(kv_cursor(kv, NULL, &c), 0);
	while (!(error = kv_next(c)))
		n++;
	assert_int_equal(error, -ENOENT);
	kv_cursor_close(c);
	return n;
}

/* The store holds of each writer all that was acknowledged, and the step that was under way
 * wholly or not at all. Moves the models on to what is there. */
static void check_store(const char *dir, struct live_model m[WRITERS],
			uint64_t step[WRITERS])
{
	struct kv *kv = live_open(dir);
	struct live_model is;
	size_t pairs = 0, i, k;

	for (i = 0; i < WRITERS; i++) {
		while (step[i] < shared->done[i])
			live_apply(&m[i], (unsigned int)i, ++step[i]);
		assert_int_equal(live_read(kv, NULL, (unsigned int)i, &is), 0);
		if (!live_catch_up(&m[i], (unsigned int)i, &step[i], shared->started[i],
				   &is))
			fail_msg(
				"writer %zu: neither step %llu nor %llu is what is there",
				i, (unsigned long long)shared->done[i],
				(unsigned long long)shared->started[i]);
		for (k = 0; k < LIVE_KEYS; k++)
			pairs += is.from[k] != 0;
		shared->started[i] = shared->done[i] = step[i];
	}
	assert_int_equal(count_pairs(kv), pairs);
	live_verify(kv);
	assert_int_equal(kv_close(kv), 0);
}

static void test_killed_at_any_moment_nothing_acknowledged_is_lost(void **state)
{
	struct live_model m[WRITERS] = { 0 };
	uint64_t step[WRITERS] = { 0 }, begun = live_now_ms(), before;
	unsigned int round;
	char dir[SCRATCH_PATH];
	pid_t child;

	(void)state;
	memset(shared, 0, sizeof(*shared));
	(void)live_dir("killed", dir);
	for (round = 0; round < 24 || live_now_ms() - begun < live_ms(0); round++) {
		uint64_t r = live_draw(seed * 1000 + round);

		before = shared->done[0];
		child = start_child(dir, NULL);
		/* One time in four while it still opens, or shortly after. */
		if (r % 4)
			wait_until(child, &shared->done[0], before + 30 + r % 300);
		(void)usleep((useconds_t)((r >> 16) % (r % 4 ? 15000 : 5000)));
		kill_child(child);
		check_store(dir, m, step);
	}
	assert_true(step[0] > 20 * 30);
	print_message("%u rounds, %llu steps\n", round,
		      (unsigned long long)(step[0] + step[1]));
}

/* ---- backup ---- */

/* The backup of a store whose writers stood between these steps. */
static void check_backup(const char *dir, const struct live_model m[WRITERS],
			 const uint64_t from[WRITERS], const uint64_t to[WRITERS])
{
	struct kv *kv = live_open(dir);
	size_t i;

	for (i = 0; i < WRITERS; i++) {
		struct live_model is, at = m[i];
		uint64_t step = from[i];

		assert_int_equal(live_read(kv, NULL, (unsigned int)i, &is), 0);
		if (!live_catch_up(&at, (unsigned int)i, &step, to[i], &is))
			fail_msg("writer %zu: the backup is of no moment between %llu "
				 "and %llu",
				 i, (unsigned long long)from[i],
				 (unsigned long long)to[i]);
	}
	live_verify(kv);
	assert_int_equal(kv_close(kv), 0);
}

static int is_begun(void *arg, const char *name)
{
	size_t n = strlen(name), m = strlen(LIVE_BEGUN);

	(void)arg;
	return n >= m && !strcmp(name + n - m, LIVE_BEGUN);
}

/* True when the backup was whole. */
static bool check_cut_backup(const char *dir)
{
	char path[SCRATCH_PATH + 32];
	struct kv_msg why = { "" };
	struct kv *kv = NULL;
	struct file *f;
	int error;

	(void)snprintf(path, sizeof(path), "%s/" LIVE_WHOLE, dir);
	error = env_open(env_posix(), path, ENV_READ, &f);
	if (!error) {
		file_close(f);
		return true;
	}
	assert_int_equal(error, -ENOENT);
	if (env_posix()->ops->list(env_posix(), dir, is_begun, NULL) != 1)
		return false; /* not even begun */
	assert_int_equal(kv_open(&LIVE_ENGINE, env_posix(), dir, "", &kv, &why),
			 -EBADMSG);
	assert_non_null(strstr(why.text, LIVE_UNFINISHED));
	return false;
}

static void test_backup_under_writes_is_of_one_moment_or_none_at_all(void **state)
{
	struct live_model m[WRITERS] = { 0 };
	uint64_t step[WRITERS] = { 0 }, from[WRITERS], begun = live_now_ms(), took = 0;
	unsigned int round, whole = 0, cut = 0;
	char dir[SCRATCH_PATH], backup[SCRATCH_PATH];
	pid_t child;

	(void)state;
	memset(shared, 0, sizeof(*shared));
	(void)live_dir("busy", dir);
	(void)live_dir("backup", backup);
	/* Something to copy. */
	child = start_child(dir, NULL);
	wait_until(child, &shared->done[0], 3000);
	kill_child(child);
	check_store(dir, m, step);
	for (round = 0; round < 8 || live_now_ms() - begun < live_ms(0); round++) {
		uint64_t r = live_draw(seed * 77 + round), at;

		memcpy(from, step, sizeof(from));
		child = start_child(dir, backup);
		wait_until(child, &shared->backup, 1);
		at = live_now_ms();
		if (round % 2 == 0) {
			wait_until(child, &shared->backup, 2);
			took = live_now_ms() - at;
		} else {
			(void)usleep((useconds_t)(r % (took * 1000 + 1)));
		}
		kill_child(child);
		if (check_cut_backup(backup)) {
			check_backup(backup, m, from, shared->started);
			whole++;
		} else {
			assert_true(shared->backup < 2);
			cut++;
		}
		scratch_remove(backup);
		check_store(dir, m, step);
	}
	assert_true(whole >= round / 2);
	print_message("%u rounds: %u whole, %u cut short\n", round, whole, cut);
}

/* A backup is made of an old state, and opened in place of the store it is from. */
static void test_backup_is_restored_identical(void **state)
{
	struct live_model m[WRITERS] = { 0 }, is;
	struct kv_msg why;
	struct kv *kv;
	char dir[SCRATCH_PATH], backup[SCRATCH_PATH];
	uint64_t step;
	unsigned int i;

	(void)state;
	(void)live_dir("old", dir);
	(void)live_dir("restored", backup);
	kv = live_open(dir);
	for (step = 1; step <= 2000; step++)
		for (i = 0; i < WRITERS; i++) {
			assert_int_equal(live_write(kv, i, step), 0);
			live_apply(&m[i], i, step);
		}
	assert_int_equal(kv_backup(kv, backup), 0);
	assert_int_equal(kv_backup(kv, backup), -EEXIST);
	for (; step <= 4000; step++)
		assert_int_equal(live_write(kv, 0, step), 0);
	assert_int_equal(kv_close(kv), 0);
	kv = live_open(backup);
	for (i = 0; i < WRITERS; i++) {
		assert_int_equal(live_read(kv, NULL, i, &is), 0);
		assert_memory_equal(&is, &m[i], sizeof(is));
	}
	/* It is a store like any other. */
	assert_int_equal(live_write(kv, 0, 2001), 0);
	assert_int_equal(kv_verify(kv, &why), 0);
	assert_int_equal(kv_close(kv), 0);
}

#define LIVE_PROCESS_TESTS                                                         \
	cmocka_unit_test(test_second_process_is_told_that_the_store_is_open),      \
		cmocka_unit_test(                                                  \
			test_killed_at_any_moment_nothing_acknowledged_is_lost),   \
		cmocka_unit_test(                                                  \
			test_backup_under_writes_is_of_one_moment_or_none_at_all), \
		cmocka_unit_test(test_backup_is_restored_identical)

#endif /* LIVE_PROCESS_H */
