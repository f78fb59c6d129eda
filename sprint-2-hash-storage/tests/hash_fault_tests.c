/* SPDX-License-Identifier: MIT */
/*
 * hash_fault_tests.c - the hash engine when calls of its environment fail, and when memory
 * runs out.
 *
 * One history (open, puts, batches, deletes, syncs, a snapshot, a cursor, cleaning, a
 * backup, closing, opening again) is run with the first call of a kind failing, then the
 * second, and so on until none fires any more; once, and from then on for good. Each call
 * of the history ends well or with a plain error, nothing leaks, and when the fault is
 * gone, the store opens with what was acknowledged and works.
 */
#include "../../sprint-1-core-memory/tests/test_scale.h"
#include "hash_fault_scene.h"

#include <unistd.h>

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
	{ "open EIO", ONE(SIM_OPEN), -EIO, SIM_FAIL },
	{ "open ENOSPC", ONE(SIM_OPEN), -ENOSPC, SIM_FAIL },
	{ "unlink EIO", ONE(SIM_UNLINK), -EIO, SIM_FAIL },
	{ "rename EIO", ONE(SIM_RENAME), -EIO, SIM_FAIL },
	{ "rename ENOSPC", ONE(SIM_RENAME), -ENOSPC, SIM_FAIL },
	{ "mkdir ENOSPC", ONE(SIM_MKDIR), -ENOSPC, SIM_FAIL },
	{ "list EMFILE", ONE(SIM_LIST), -EMFILE, SIM_FAIL },
	{ "list EIO", ONE(SIM_LIST), -EIO, SIM_FAIL },
	{ "sync_dir EIO", ONE(SIM_SYNC_DIR), -EIO, SIM_FAIL },
	{ "sync_dir EMFILE", ONE(SIM_SYNC_DIR), -EMFILE, SIM_FAIL },
	{ "lock EMFILE", ONE(SIM_LOCK), -EMFILE, SIM_FAIL },
	{ "spawn EAGAIN", ONE(SIM_SPAWN), -EAGAIN, SIM_FAIL },
	{ "anything EIO", SIM_ANY, -EIO, SIM_FAIL },
};

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
		       (unsigned long long)nth, for_good ? " for good" : "", options);
	env_sim_fault(s.sim, &f);
	first_session(&s);
	second_session(&s);
	third_session(&s);
	fired = env_sim_fault_fired(s.sim);
	env_sim_fault(s.sim, NULL);
	if (env_sim_live(s.sim) || port_fault_live() != live)
		complain(&s, "%u handles and %llu allocations live on",
			 env_sim_live(s.sim),
			 (unsigned long long)(port_fault_live() - live));
	check_afterwards(&s);
	if (lossy)
		check_after_crash(&s);
	check_backup(&s);
	env_sim_free(s.sim);
	return fired;
}

#define SMALL "segment_bytes=64k,leaf=16,group_ms=1,clean_percent=20"

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
		/* There are many reads, and most are alike; and each call has failed once
		 * where it fails for good. */
		bool skip = !fixture_torture_seconds() &&
			    (for_good || kinds[i].calls & ONE(SIM_READ));

		for (nth = 1; run_with_fault(&kinds[i], options, nth, for_good); runs++)
			nth += stride() + (skip ? nth / 16 : 0);
	}
	return runs;
}

static void test_each_call_fails_once(void **state)
{
	uint64_t mapped = run_all(SMALL, false),
		 written = run_all(SMALL ",map=off", false);

	(void)state;
	print_message("%llu faults with maps, %llu without\n", (unsigned long long)mapped,
		      (unsigned long long)written);
	assert_true(mapped > 300 / stride() && written > 300 / stride());
}

static void test_each_call_fails_for_good(void **state)
{
	uint64_t mapped = run_all(SMALL, true), written = run_all(SMALL ",map=off", true);

	(void)state;
	print_message("%llu faults with maps, %llu without\n", (unsigned long long)mapped,
		      (unsigned long long)written);
	assert_true(mapped > 150 / stride() && written > 150 / stride());
}

/* ---- a failed sync ---- */

static void test_failed_sync_stops_all_promises(void **state)
{
	struct env_sim_fault f = { .calls = ONE(SIM_SYNC), .nth = 1, .path = ".log" };
	struct scene s;
	uint64_t syncs;

	(void)state;
	scene_begin(&s, SMALL, true);
	assert_int_equal(open_store(&s), 0);
	assert_int_equal(put(&s, 10, KV_SYNC), 0);
	assert_int_equal(put(&s, 11, KV_NONE), 0);
	assert_int_equal(fixture_stat(s.kv, "log_failed"), 0);
	env_sim_fault(s.sim, &f);
	assert_int_equal(put(&s, 12, KV_SYNC), -EROFS);
	assert_true(env_sim_fault_fired(s.sim));
	env_sim_fault(s.sim, NULL);

	/* The device works again, and still nothing is promised, nor tried. */
	syncs = env_sim_calls(s.sim, ONE(SIM_SYNC));
	assert_int_equal(put(&s, 13, KV_SYNC), -EROFS);
	assert_int_equal(put(&s, 13, KV_NONE), -EROFS);
	assert_int_equal(put(&s, 13, KV_GROUP), -EROFS);
	assert_int_equal(delete (&s, 10, KV_SYNC), -EROFS);
	assert_int_equal(delete (&s, 10, KV_NONE), -EROFS);
	assert_int_equal(delete (&s, 14, KV_SYNC), -EROFS); /* of nothing */
	assert_int_equal(put_batch(&s, KV_NONE), -EROFS);
	assert_int_equal(sync_store(&s), -EROFS);
	assert_int_equal(kv_backup(s.kv, "backup"), -EROFS);
	assert_int_equal(fixture_stat(s.kv, "log_failed"), EROFS);
	/* What was not synced stays unseen, what was written before is there. */
	assert_int_equal(look(&s, s.kv, 10, false), 1);
	assert_int_equal(look(&s, s.kv, 11, false), 1);
	assert_int_equal(look(&s, s.kv, 12, false), 0);
	assert_int_equal(kv_close(s.kv), -EROFS);
	assert_int_equal(env_sim_calls(s.sim, ONE(SIM_SYNC)), syncs);

	assert_int_equal(open_store(&s), 0);
	assert_int_equal(fixture_stat(s.kv, "log_failed"), 0);
	check_keys(&s, false, true);
	assert_int_equal(put(&s, 13, KV_SYNC), 0);
	assert_int_equal(look(&s, s.kv, 13, false), s.key[13].n);
	assert_int_equal(kv_close(s.kv), 0);
	check_after_crash(&s);
	env_sim_free(s.sim);
}

/* A write that promised to be durable soon, and was not: the next call hears of it. */
static void test_failed_sync_of_a_group_is_told_to_later_writes(void **state)
{
	struct env_sim_fault f = { .calls = ONE(SIM_SYNC), .nth = 1, .path = ".log" };
	struct scene s;

	(void)state;
	scene_begin(&s, SMALL, false);
	assert_int_equal(open_store(&s), 0);
	assert_int_equal(put(&s, 10, KV_SYNC), 0);
	env_sim_fault(s.sim, &f);
	assert_int_equal(put(&s, 11, KV_GROUP), 0);
	env_sim_env(s.sim)->ops->sleep_ns(env_sim_env(s.sim), 100000000);
	assert_true(env_sim_fault_fired(s.sim));
	assert_int_equal(put(&s, 12, KV_NONE), -EROFS);
	assert_int_equal(sync_store(&s), -EROFS);
	assert_int_equal(fixture_stat(s.kv, "log_failed"), EROFS);
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
		       (unsigned long long)nth, once ? "" : " and all after it", options);
	port_fault_set(nth, once);
	first_session(&s);
	second_session(&s);
	third_session(&s);
	*fired = port_fault_fired();
	port_fault_set(0, false);
	if (env_sim_live(s.sim) || port_fault_live() != live)
		complain(&s, "%u handles and %llu allocations live on",
			 env_sim_live(s.sim),
			 (unsigned long long)(port_fault_live() - live));
	check_afterwards(&s);
	check_backup(&s);
	env_sim_free(s.sim);
}

static void test_each_allocation_fails(void **state)
{
	static const char *const options[] = { SMALL, SMALL ",map=off",
					       SMALL ",table=chaining" };
	uint64_t nth, runs = 0;
	size_t i;
	bool fired;

	(void)state;
	for (i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		uint64_t step = (i && !fixture_torture_seconds() ? 3 : 1) * stride();

		for (nth = 1, fired = true; fired; nth += step, runs++)
			run_with_allocation_failing(options[i], nth, true, &fired);
		for (nth = 1, fired = true; fired; nth += 7 * stride(), runs++)
			run_with_allocation_failing(options[i], nth, false, &fired);
	}
	print_message("%llu allocations failed\n", (unsigned long long)runs);
	assert_true(runs > 300 / stride());
}

/* One call, each of its allocations failing in turn: -ENOMEM, all as before, then it
 * works. The call's key is new, so that index and log have to grow for it. */
static void test_call_without_memory_changes_nothing(void **state)
{
	struct kv_op op[BATCH];
	char k[BATCH][FIXTURE_KEY], v[BATCH][FIXTURE_VALUE];
	uint64_t nth, failures = 0;
	unsigned int key, i;
	struct scene s;
	int error;

	(void)state;
	scene_begin(&s, "segment_bytes=64k,leaf=16,map=off", false);
	assert_int_equal(open_store(&s), 0);
	for (key = 0; key < 2000; key += BATCH) {
		for (i = 0; i < BATCH; i++)
			op[i] = (struct kv_op){ KV_PUT, fixture_key(k[i], key + i),
						fixture_value(v[i], key + i, 1, 64) };
		for (nth = 1;; nth++) {
			port_fault_set(nth, true);
			error = kv_write(s.kv, op, key % 8 ? 1 : BATCH, KV_NONE);
			port_fault_set(0, false);
			if (!error)
				break;
			failures++;
			assert_int_equal(error, -ENOMEM);
			for (i = 0; i < BATCH; i++) {
				struct kv_buf b = { 0 };

				assert_int_equal(kv_get(s.kv, op[i].key, &b), -ENOENT);
				kv_buf_free(&b);
			}
		}
	}
	assert_true(failures > 250);
	assert_int_equal(fixture_stat(s.kv, "keys"), 250 * BATCH + 250);
	assert_int_equal(kv_verify(s.kv, NULL), 0);
	assert_int_equal(kv_close(s.kv), 0);
	env_sim_free(s.sim);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_failed_sync_stops_all_promises),
		LEAK_CHECKED(test_failed_sync_of_a_group_is_told_to_later_writes),
		LEAK_CHECKED(test_call_without_memory_changes_nothing),
		LEAK_CHECKED(test_each_allocation_fails),
		LEAK_CHECKED(test_each_call_fails_once),
		LEAK_CHECKED(test_each_call_fails_for_good),
	};

	/* A call that never ends ends the program: a hang is a failure. */
	test_ends_within(900);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
