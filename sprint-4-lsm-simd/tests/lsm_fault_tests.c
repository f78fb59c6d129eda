/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_fault_tests.c - the LSM engine when calls of its environment fail and when memory runs
 * out.
 *
 * One history (open, puts, batches, deletes, syncs, a snapshot, a cursor, flushes, compaction,
 * values in blob files, a backup, verify, closing, opening again) is run with the first call of
 * a kind failing, then the second, and so on until none fires any more; once, and from then on
 * for good. Each call of the history ends well or with a plain error, nothing leaks, and when
 * the fault is gone, the store opens with what was acknowledged and works.
 */
#include "../lsm_engine.h"
#define SCENE_ENGINE lsm_engine
#include "../../sprint-1-core-memory/tests/test_scale.h"
#include "../../sprint-2-hash-storage/tests/hash_fault_scene.h"

#include <unistd.h>

#define SMALL                                                                     \
	"memory_bytes=1m,memtable_bytes=12k,memtables=3,segment_bytes=64k,"       \
	"table_bytes=16k,block_bytes=512,level_bytes=24k,ratio=2,flushed_runs=2," \
	"group_ms=1,huge=off"
#define MAPPED  SMALL ",blob_bytes=1k" /* all of the scene's values are apart */
#define WRITTEN SMALL ",map=off,blob_bytes=0,style=leveled,parts=2,record_percent=0"

/* ---- calls of the environment ---- */

struct fault_kind {
	const char *name;
	unsigned int calls;
	int error;
	enum env_sim_effect effect;
};

#define ONE(call) (1u << (call))

static const struct fault_kind kinds[] = {
	{ "read EIO", ONE(SIM_READ), -EIO, SIM_FAIL },
	{ "read short", ONE(SIM_READ), 0, SIM_SHORT },
	{ "write EIO", ONE(SIM_WRITE), -EIO, SIM_FAIL },
	{ "write ENOSPC", ONE(SIM_WRITE), -ENOSPC, SIM_FAIL },
	{ "write short", ONE(SIM_WRITE), -ENOSPC, SIM_SHORT },
	{ "sync EIO", ONE(SIM_SYNC), -EIO, SIM_FAIL },
	{ "sync ENOSPC", ONE(SIM_SYNC), -ENOSPC, SIM_FAIL },
	{ "sync EIO, pages lost", ONE(SIM_SYNC), -EIO, SIM_DROP },
	{ "allocate ENOSPC", ONE(SIM_ALLOCATE), -ENOSPC, SIM_FAIL },
	{ "allocate EIO", ONE(SIM_ALLOCATE), -EIO, SIM_FAIL },
	{ "truncate EIO", ONE(SIM_TRUNCATE), -EIO, SIM_FAIL },
	{ "size EIO", ONE(SIM_SIZE), -EIO, SIM_FAIL },
	{ "map ENOMEM", ONE(SIM_MAP), -ENOMEM, SIM_FAIL },
	{ "open EMFILE", ONE(SIM_OPEN), -EMFILE, SIM_FAIL },
	{ "open ENOSPC", ONE(SIM_OPEN), -ENOSPC, SIM_FAIL },
	{ "unlink EIO", ONE(SIM_UNLINK), -EIO, SIM_FAIL },
	{ "rename EIO", ONE(SIM_RENAME), -EIO, SIM_FAIL },
	{ "rename ENOSPC", ONE(SIM_RENAME), -ENOSPC, SIM_FAIL },
	{ "mkdir ENOSPC", ONE(SIM_MKDIR), -ENOSPC, SIM_FAIL },
	{ "list EMFILE", ONE(SIM_LIST), -EMFILE, SIM_FAIL },
	{ "sync_dir EIO", ONE(SIM_SYNC_DIR), -EIO, SIM_FAIL },
	{ "lock EMFILE", ONE(SIM_LOCK), -EMFILE, SIM_FAIL },
	{ "free_space EIO", ONE(SIM_SPACE), -EIO, SIM_FAIL },
	{ "spawn EAGAIN", ONE(SIM_SPAWN), -EAGAIN, SIM_FAIL },
	{ "anything EIO", SIM_ANY, -EIO, SIM_FAIL },
};

static void check_nothing_lives(struct scene *s, uint64_t live_allocations)
{
	if (env_sim_live(s->sim) || port_fault_live() != live_allocations)
		complain(s, "%u handles and %llu allocations live on",
			 env_sim_live(s->sim),
			 (unsigned long long)(port_fault_live() - live_allocations));
}

/* One run of the history; false when the fault never came. */
static bool run_with_fault(const struct fault_kind *kind, const char *options,
			   uint64_t nth, bool for_good)
{
	uint64_t live = port_fault_live();
	struct env_sim_fault f = { .calls = kind->calls,
				   .nth = nth,
				   .for_good = for_good,
				   .error = kind->error,
				   .effect = kind->effect };
	bool lossy = (kind->calls & ONE(SIM_SYNC)) != 0, fired;
	struct scene s;

	scene_begin(&s, options, lossy);
	s.pages_lost = kind->effect == SIM_DROP;
	(void)snprintf(s.label, sizeof(s.label), "%s, call %llu%s, %s", kind->name,
		       (unsigned long long)nth, for_good ? " for good" : "",
		       strstr(options, "map=off") ? "written" : "mapped");
	env_sim_fault(s.sim, &f);
	first_session(&s);
	second_session(&s);
	third_session(&s);
	fired = env_sim_fault_fired(s.sim);
	env_sim_fault(s.sim, NULL);
	check_nothing_lives(&s, live);
	check_afterwards(&s);
	if (lossy)
		check_after_crash(&s);
	check_backup(&s);
	env_sim_free(s.sim);
	return fired;
}

/* Where all is many times as slow, only each fourth fails. Not so under AddressSanitizer,
 * which sees what a way out of an error forgets. */
static uint64_t stride(void)
{
	bool slow = getenv("KV_TEST_SCALE") || RUNNING_ON_VALGRIND || PORT_TSAN;

	return slow && !fixture_torture_seconds() ? 4 : 1;
}

static uint64_t run_all(const char *options, bool for_good)
{
	uint64_t runs = 0, nth;
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		/* Most calls are alike; and each has failed once where it fails for good.
		 * With KV_TORTURE each fails. */
		uint64_t rarer = fixture_torture_seconds()                    ? UINT64_MAX
				 : for_good || kinds[i].calls & ONE(SIM_READ) ? 4
									      : 12;

		for (nth = 1; run_with_fault(&kinds[i], options, nth, for_good); runs++)
			nth += stride() + nth / rarer;
	}
	return runs;
}

static void test_each_call_fails_once(void **state)
{
	uint64_t mapped = run_all(MAPPED, false), written = run_all(WRITTEN, false);

	(void)state;
	print_message("%llu faults with maps, %llu without\n", (unsigned long long)mapped,
		      (unsigned long long)written);
	assert_true(mapped > 200 / stride() && written > 200 / stride());
}

static void test_each_call_fails_for_good(void **state)
{
	uint64_t mapped = run_all(MAPPED, true), written = run_all(WRITTEN, true);

	(void)state;
	print_message("%llu faults with maps, %llu without\n", (unsigned long long)mapped,
		      (unsigned long long)written);
	assert_true(mapped > 100 / stride() && written > 100 / stride());
}

/* The scene without a fault does what the tests above rest on. */
static void test_scene_flushes_compacts_and_separates(void **state)
{
	struct scene s;

	(void)state;
	scene_begin(&s, MAPPED, false);
	first_session(&s);
	assert_int_equal(open_store(&s), 0);
	fill(&s, 3);
	assert_int_equal(kv_compact(s.kv), 0);
	assert_true(fixture_stat(s.kv, "flushes") >= 2);
	assert_true(fixture_stat(s.kv, "compactions") >= 1);
	assert_true(fixture_stat(s.kv, "blob_files") >= 1);
	close_store(&s);
	env_sim_free(s.sim);
}

/* ---- a failed sync ---- */

static void expect_no_promises(struct scene *s)
{
	assert_int_equal(put(s, 13, KV_SYNC), -EROFS);
	assert_int_equal(put(s, 13, KV_NONE), -EROFS);
	assert_int_equal(put(s, 13, KV_GROUP), -EROFS);
	assert_int_equal(delete (s, 10, KV_SYNC), -EROFS);
	assert_int_equal(delete (s, 10, KV_NONE), -EROFS);
	assert_int_equal(delete (s, 14, KV_SYNC), -EROFS); /* of nothing */
	assert_int_equal(put_batch(s, KV_NONE), -EROFS);
	assert_int_equal(kv_compact(s->kv), -EROFS);
}

/* Files for later are made by a task of their own. */
static void let_others_finish(struct scene *s)
{
	env_sim_env(s->sim)->ops->sleep_ns(env_sim_env(s->sim), 1000000000);
}

static void test_failed_sync_of_the_log_stops_all_promises(void **state)
{
	struct env_sim_fault f = { .calls = ONE(SIM_SYNC), .nth = 1, .path = "store/00" };
	struct scene s;
	uint64_t syncs;

	(void)state;
	scene_begin(&s, MAPPED, true);
	assert_int_equal(open_store(&s), 0);
	assert_int_equal(put(&s, 10, KV_SYNC), 0);
	assert_int_equal(put(&s, 11, KV_NONE), 0);
	assert_int_equal(fixture_stat(s.kv, "stopped"), 0);
	let_others_finish(&s);
	env_sim_fault(s.sim, &f);
	assert_int_equal(put(&s, 12, KV_SYNC), -EROFS);
	assert_true(env_sim_fault_fired(s.sim));
	env_sim_fault(s.sim, NULL);

	/* The device works again, and still nothing is promised, nor tried. */
	syncs = env_sim_calls(s.sim, ONE(SIM_SYNC));
	expect_no_promises(&s);
	assert_int_equal(sync_store(&s), -EROFS);
	assert_true(fixture_stat(s.kv, "stopped"));
	/* What was not synced stays unseen, what was written before is there. */
	assert_int_equal(look(&s, s.kv, 10, false), 1);
	assert_int_equal(look(&s, s.kv, 11, false), 1);
	assert_int_equal(look(&s, s.kv, 12, false), 0);
	assert_int_equal(kv_verify(s.kv, NULL), 0);
	assert_int_equal(kv_close(s.kv), -EROFS);
	/* The manifest, which is a file of its own, is synced when it is closed. */
	assert_true(env_sim_calls(s.sim, ONE(SIM_SYNC)) <= syncs + 1);

	assert_int_equal(open_store(&s), 0);
	assert_int_equal(fixture_stat(s.kv, "stopped"), 0);
	check_keys(&s, false, true);
	assert_int_equal(put(&s, 13, KV_SYNC), 0);
	assert_int_equal(look(&s, s.kv, 13, false), s.key[13].n);
	assert_int_equal(kv_close(s.kv), 0);
	check_after_crash(&s);
	env_sim_free(s.sim);
}

/* What a flush found no way to make durable stays in memory, and is read from there. */
static void test_failed_sync_of_the_manifest_stops_all_promises(void **state)
{
	uint64_t nth, failures = 0, opens;
	struct scene s;
	int error;

	(void)state;
	for (nth = 1, error = -1; error; nth++) {
		struct env_sim_fault f = { .calls = ONE(SIM_SYNC),
					   .nth = nth,
					   .path = "manifest" };

		scene_begin(&s, MAPPED, true);
		assert_int_equal(open_store(&s), 0);
		fill(&s, 2);
		assert_int_equal(put(&s, 10, KV_SYNC), 0);
		env_sim_fault(s.sim, &f);
		error = kv_compact(s.kv);
		if (error) {
			failures++;
			assert_int_equal(error, -EROFS);
			expect_no_promises(&s);
			assert_true(fixture_stat(s.kv, "stopped"));
			assert_true(fixture_stat(s.kv, "manifest_latched"));
			check_keys(&s, false, false);
			walk(&s, NULL, false);
			/* Nobody tries again, or there were ever more files. */
			opens = env_sim_calls(s.sim, ONE(SIM_OPEN));
			let_others_finish(&s);
			let_others_finish(&s);
			let_others_finish(&s);
			assert_int_equal(env_sim_calls(s.sim, ONE(SIM_OPEN)), opens);
		}
		env_sim_fault(s.sim, NULL);
		(void)kv_close(s.kv);
		check_afterwards(&s);
		check_after_crash(&s);
		env_sim_free(s.sim);
	}
	print_message("%llu syncs of the manifest failed\n",
		      (unsigned long long)failures);
	assert_true(failures >= 2);
}

/* A write that promised to be durable soon, and was not: the next call hears of it. */
static void test_failed_sync_of_a_group_is_told_to_later_writes(void **state)
{
	struct env_sim_fault f = { .calls = ONE(SIM_SYNC), .nth = 1, .path = "store/00" };
	struct scene s;

	(void)state;
	scene_begin(&s, MAPPED, false);
	assert_int_equal(open_store(&s), 0);
	assert_int_equal(put(&s, 10, KV_SYNC), 0);
	let_others_finish(&s);
	env_sim_fault(s.sim, &f);
	assert_int_equal(put(&s, 11, KV_GROUP), 0);
	let_others_finish(&s);
	assert_true(env_sim_fault_fired(s.sim));
	assert_int_equal(put(&s, 12, KV_NONE), -EROFS);
	assert_true(fixture_stat(s.kv, "stopped"));
	assert_int_equal(sync_store(&s), -EROFS);
	assert_int_equal(kv_close(s.kv), -EROFS);
	env_sim_fault(s.sim, NULL);
	check_afterwards(&s);
	env_sim_free(s.sim);
}

/* ---- memory ---- */

static void run_with_allocation_failing(const char *options, uint64_t nth, bool once,
					bool *fired)
{
	uint64_t live = port_fault_live();
	struct scene s;

	scene_begin(&s, options, false);
	(void)snprintf(s.label, sizeof(s.label), "allocation %llu%s, %s",
		       (unsigned long long)nth, once ? "" : " and all after it",
		       strstr(options, "map=off") ? "written" : "mapped");
	port_fault_set(nth, once);
	first_session(&s);
	second_session(&s);
	third_session(&s);
	*fired = port_fault_fired();
	port_fault_set(0, false);
	check_nothing_lives(&s, live);
	check_afterwards(&s);
	check_backup(&s);
	env_sim_free(s.sim);
}

static void test_each_allocation_fails(void **state)
{
	static const char *const options[] = { MAPPED, WRITTEN };
	uint64_t nth, runs = 0;
	size_t i;
	bool fired;

	(void)state;
	for (i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		uint64_t all = fixture_torture_seconds() ? UINT64_MAX : 60,
			 step = (i && !fixture_torture_seconds() ? 3 : 1) * stride();

		for (nth = 1, fired = true; fired; nth += step + nth / all, runs++)
			run_with_allocation_failing(options[i], nth, true, &fired);
		for (nth = 1, fired = true; fired; nth += 11 * step + nth / 8, runs++)
			run_with_allocation_failing(options[i], nth, false, &fired);
	}
	print_message("%llu allocations failed\n", (unsigned long long)runs);
	assert_true(runs > 200 / stride());
}

/* One call, each of its allocations failing in turn: -ENOMEM, all as before, then it
 * works. */
static void test_call_without_memory_changes_nothing(void **state)
{
	struct kv_op op[BATCH];
	char k[BATCH][FIXTURE_KEY], v[BATCH][FIXTURE_VALUE];
	uint64_t nth, failures = 0;
	unsigned int key, i;
	struct kv_msg why = { "" };
	struct scene s;
	struct env *env;
	bool fired;
	int error;

	(void)state;
	scene_begin(&s, MAPPED ",map=off", false);
	assert_int_equal(open_store(&s), 0);
	env = env_sim_env(s.sim);
	for (key = 0; key < 800; key += BATCH) {
		unsigned int n = key % 8 ? 1 : BATCH;

		for (i = 0; i < BATCH; i++)
			op[i] = (struct kv_op){ KV_PUT, fixture_key(k[i], key + i),
						fixture_value(v[i], key + i, 1, 64) };
		for (nth = 1;; nth++) {
			port_fault_set(nth, true);
			error = kv_write(s.kv, op, n, KV_NONE);
			fired = port_fault_fired();
			port_fault_set(0, false);
			/* It was the flusher that had none: it tries again in a second. */
			if (error && !fired)
				env->ops->sleep_ns(env, 1000000000);
			if (!error)
				break;
			failures++;
			assert_int_equal(error, -ENOMEM);
			for (i = 0; i < n; i++) {
				struct kv_buf b = { 0 };

				assert_int_equal(kv_get(s.kv, op[i].key, &b), -ENOENT);
				kv_buf_free(&b);
			}
		}
	}
	assert_true(failures > 100);
	if (kv_verify(s.kv, &why))
		fail_msg("%s", why.text);
	assert_int_equal(kv_close(s.kv), 0);
	env_sim_free(s.sim);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_scene_flushes_compacts_and_separates),
		LEAK_CHECKED(test_failed_sync_of_the_log_stops_all_promises),
		LEAK_CHECKED(test_failed_sync_of_the_manifest_stops_all_promises),
		LEAK_CHECKED(test_failed_sync_of_a_group_is_told_to_later_writes),
		LEAK_CHECKED(test_call_without_memory_changes_nothing),
		LEAK_CHECKED(test_each_allocation_fails),
		LEAK_CHECKED(test_each_call_fails_once),
		LEAK_CHECKED(test_each_call_fails_for_good),
	};

	/* A call that never ends ends the program: a hang is a failure. */
	(void)alarm(fixture_torture_seconds() ? 3600 : 900);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
