/* SPDX-License-Identifier: MIT */
/*
 * btree_fault_tests.c - the B+tree engine when calls of its environment fail, when memory
 * runs out, and when the disk is full.
 *
 * One history (open, puts, batches, deletes, syncs, a snapshot, a cursor, compaction, a
 * backup, closing, opening again) is run with the first call of a kind failing, then the
 * second, and so on until none fires any more; once, and from then on for good. Each call
 * of the history ends well or with a plain error, nothing leaks, and when the fault is
 * gone, the store opens with what was acknowledged and works.
 */
#include "../btree_engine.h"
#define SCENE_ENGINE btree_engine
#include "../../sprint-1-core-memory/tests/test_scale.h"
#include "../../sprint-2-hash-storage/tests/hash_fault_scene.h"

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
	{ "sync_dir EIO", ONE(SIM_SYNC_DIR), -EIO, SIM_FAIL },
	{ "sync_dir EMFILE", ONE(SIM_SYNC_DIR), -EMFILE, SIM_FAIL },
	{ "lock EMFILE", ONE(SIM_LOCK), -EMFILE, SIM_FAIL },
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
		       (unsigned long long)nth, for_good ? " for good" : "", options);
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

#define SMALL   "segment_bytes=64k,checkpoint_bytes=64k,group_ms=1,huge=off"
#define MAPPED  SMALL ",max_keys=4"
#define WRITTEN SMALL ",map=off,overflow_bytes=200,memory_bytes=256k"

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
		 * where it fails for good. With KV_TORTURE each fails. */
		uint64_t rarer = fixture_torture_seconds()                    ? UINT64_MAX
				 : for_good || kinds[i].calls & ONE(SIM_READ) ? 8
									      : 24;

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
	assert_true(mapped > 250 / stride() && written > 250 / stride());
}

static void test_each_call_fails_for_good(void **state)
{
	uint64_t mapped = run_all(MAPPED, true), written = run_all(WRITTEN, true);

	(void)state;
	print_message("%llu faults with maps, %llu without\n", (unsigned long long)mapped,
		      (unsigned long long)written);
	assert_true(mapped > 150 / stride() && written > 150 / stride());
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

static void test_failed_sync_of_the_log_stops_all_promises(void **state)
{
	struct env_sim_fault f = { .calls = ONE(SIM_SYNC), .nth = 1, .path = ".log" };
	struct scene s;
	uint64_t syncs;

	(void)state;
	scene_begin(&s, MAPPED, true);
	assert_int_equal(open_store(&s), 0);
	assert_int_equal(put(&s, 10, KV_SYNC), 0);
	assert_int_equal(put(&s, 11, KV_NONE), 0);
	assert_int_equal(fixture_stat(s.kv, "stopped"), 0);
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
	assert_int_equal(env_sim_calls(s.sim, ONE(SIM_SYNC)), syncs);

	assert_int_equal(open_store(&s), 0);
	assert_int_equal(fixture_stat(s.kv, "stopped"), 0);
	check_keys(&s, false, true);
	assert_int_equal(put(&s, 13, KV_SYNC), 0);
	assert_int_equal(look(&s, s.kv, 13, false), s.key[13].n);
	assert_int_equal(kv_close(s.kv), 0);
	check_after_crash(&s);
	env_sim_free(s.sim);
}

/* The pages' sync and the superblock's, each write of a checkpoint too. A write for which the disk
 * has no room may be done again; a sync may not, whatever its error. */
static void test_failed_checkpoint_stops_all_promises(void **state)
{
	static const struct env_sim_fault faults[] = {
		{ .calls = ONE(SIM_SYNC), .path = "TREE" },
		{ .calls = ONE(SIM_WRITE), .path = "TREE" },
		{ .calls = ONE(SIM_SYNC), .path = "TREE", .error = -ENOSPC },
	};
	enum { FAULTS = sizeof(faults) / sizeof(faults[0]) };
	uint64_t nth, failures = 0;
	struct scene s;
	size_t i;
	int error;

	(void)state;
	for (i = 0; i < FAULTS; i++)
		for (nth = 1, error = -1; error; nth++) {
			struct env_sim_fault f = faults[i];

			f.nth = nth;
			scene_begin(&s, MAPPED, true);
			assert_int_equal(open_store(&s), 0);
			fill(&s, 2);
			assert_int_equal(put(&s, 10, KV_SYNC), 0);
			env_sim_fault(s.sim, &f);
			error = kv_compact(s.kv);
			if (error) {
				failures++;
				expect_no_promises(&s);
				assert_true(fixture_stat(s.kv, "stopped"));
				check_keys(&s, false, false);
				walk(&s, NULL, false);
			}
			env_sim_fault(s.sim, NULL);
			(void)kv_close(s.kv);
			check_afterwards(&s);
			check_after_crash(&s);
			env_sim_free(s.sim);
		}
	print_message("%llu checkpoints failed\n", (unsigned long long)failures);
	assert_true(failures >= 8);
}

enum { LOADED = 100 };

static int next_loaded(void *arg, struct kv_slice *key, struct kv_slice *value)
{
	static char text[16];
	unsigned int *i = arg;

	if (*i == LOADED)
		return -ENOENT;
	(void)snprintf(text, sizeof(text), "loaded%06u", (*i)++);
	*key = *value = kv_str(text);
	return 0;
}

/* A load whose superblock may yet be found on the device: a write to the store, empty again,
 * would not be right for what opens then. */
static void test_failed_load_stops_all_promises(void **state)
{
	static const int errors[] = { -EIO, -ENOSPC };
	struct scene s;
	uint64_t nth;
	size_t i;
	int error;

	(void)state;
	for (i = 0; i < 2; i++)
		for (nth = 1, error = -1; error; nth++) {
			struct env_sim_fault f = { .calls = ONE(SIM_SYNC),
						   .nth = nth,
						   .error = errors[i],
						   .path = "TREE" };
			unsigned int loaded = 0;

			scene_begin(&s, MAPPED, true);
			assert_int_equal(open_store(&s), 0);
			env_sim_fault(s.sim, &f);
			error = btree_bulk_load(s.kv, 90, next_loaded, &loaded);
			env_sim_fault(s.sim, NULL);
			if (error) {
				assert_int_equal(fixture_stat(s.kv, "keys"), 0);
				assert_int_equal(
					kv_delete(s.kv, kv_str("loaded000001"), KV_NONE),
					-EROFS);
				assert_int_equal(put(&s, 10, KV_NONE), -EROFS);
			}
			(void)kv_close(s.kv);
			env_sim_free(s.sim);
		}
}

/* A page that could not be written to make room: no checkpoint comes any more, and the log would
 * grow for ever. */
static void test_failed_eviction_stops_all_promises(void **state)
{
	static const int errors[] = { -EIO, -ENOSPC };
	struct scene s;
	unsigned int key;
	size_t i;
	int error;

	(void)state;
	for (i = 0; i < 2; i++) {
		struct env_sim_fault f = { .calls = ONE(SIM_WRITE),
					   .nth = 1,
					   .error = errors[i],
					   .path = "TREE" };

		scene_begin(&s, "segment_bytes=64k,memory_bytes=256k,huge=off", true);
		assert_int_equal(open_store(&s), 0);
		env_sim_fault(s.sim, &f);
		for (key = 0, error = 0; !error; key++)
			error = fixture_put(s.kv, key, 1, 1000, KV_NONE);
		assert_true(env_sim_fault_fired(s.sim));
		env_sim_fault(s.sim, NULL);
		(void)kv_compact(s.kv);
		assert_true(fixture_stat(s.kv, "stopped"));
		assert_int_equal(fixture_put(s.kv, key - 2, 2, 10, KV_NONE), -EROFS);
		assert_int_equal(kv_close(s.kv), 0);
		env_sim_free(s.sim);
	}
}

/* A write that promised to be durable soon, and was not: the next call hears of it. */
static void test_failed_sync_of_a_group_is_told_to_later_writes(void **state)
{
	struct env_sim_fault f = { .calls = ONE(SIM_SYNC), .nth = 1, .path = ".log" };
	struct scene s;

	(void)state;
	scene_begin(&s, MAPPED, false);
	assert_int_equal(open_store(&s), 0);
	assert_int_equal(put(&s, 10, KV_SYNC), 0);
	env_sim_fault(s.sim, &f);
	assert_int_equal(put(&s, 11, KV_GROUP), 0);
	env_sim_env(s.sim)->ops->sleep_ns(env_sim_env(s.sim), 100000000);
	assert_true(env_sim_fault_fired(s.sim));
	assert_int_equal(put(&s, 12, KV_NONE), -EROFS);
	assert_int_equal(sync_store(&s), -EROFS);
	assert_int_equal(kv_close(s.kv), -EROFS);
	env_sim_fault(s.sim, NULL);
	check_afterwards(&s);
	env_sim_free(s.sim);
}

/* ---- readers of a store that has stopped ---- */

enum { MANY = 600, MANY_BYTES = 300 };

static void write_many(struct kv *kv, unsigned int version, enum kv_durability how,
		       int want)
{
	static char k[MANY][FIXTURE_KEY], v[MANY][MANY_BYTES + 32];
	static struct kv_op op[MANY];
	unsigned int i;

	for (i = 0; i < MANY; i++)
		op[i] = (struct kv_op){ KV_PUT, fixture_key(k[i], i),
					fixture_value(v[i], i, version, MANY_BYTES) };
	assert_int_equal(kv_write(kv, op, MANY, how), want);
}

static void expect_many(struct kv *kv, struct kv_snapshot *snap, unsigned int version)
{
	struct kv_buf value = { 0 };
	char k[FIXTURE_KEY];
	unsigned int i, met = 0;
	struct kv_cursor *c;

	for (i = 0; i < MANY; i++) {
		int error = kv_get_at(kv, snap, fixture_key(k, i), &value);

		if (error ||
		    fixture_version(i, MANY_BYTES, value.data, value.len) != version)
			fail_msg("key %u: error %d, wanted version %u", i, error,
				 version);
	}
	kv_buf_free(&value);
	assert_int_equal(kv_cursor(kv, snap, &c), 0);
	while (!kv_next(c))
		met++;
	kv_cursor_close(c);
	assert_int_equal(met, MANY);
}

/* A batch replaces every page, and is never seen, because its sync fails. The pages that
 * it was to replace stay: though memory is short, and snapshots come and go. */
static void fail_large_batch(const char *options)
{
	struct env_sim_fault f = { .calls = ONE(SIM_SYNC), .nth = 1, .path = ".log" };
	struct kv_snapshot *snap[2];
	struct scene s;
	unsigned int i;

	scene_begin(&s, options, false);
	assert_int_equal(open_store(&s), 0);
	write_many(s.kv, 1, KV_NONE, 0);
	assert_int_equal(kv_snapshot(s.kv, &snap[0]), 0);
	write_many(s.kv, 2, KV_SYNC, 0);
	env_sim_fault(s.sim, &f);
	write_many(s.kv, 3, KV_SYNC, -EROFS);
	assert_true(env_sim_fault_fired(s.sim));
	env_sim_fault(s.sim, NULL);
	for (i = 0; i < 3; i++) {
		assert_int_equal(kv_snapshot(s.kv, &snap[1]), 0);
		expect_many(s.kv, snap[0], i ? 2 : 1);
		kv_release(s.kv, snap[0]);
		assert_int_equal(kv_compact(s.kv), -EROFS);
		expect_many(s.kv, snap[1], 2);
		expect_many(s.kv, NULL, 2);
		snap[0] = snap[1];
	}
	kv_release(s.kv, snap[0]);
	expect_many(s.kv, NULL, 2);
	write_many(s.kv, 4, KV_NONE, -EROFS);
	expect_many(s.kv, NULL, 2);
	assert_int_equal(kv_close(s.kv), -EROFS);
	env_sim_free(s.sim);
}

static void test_readers_keep_their_pages_when_a_large_batch_fails(void **state)
{
	static const char *const memory[] = { "1m", "1500k", "2m", "2500k", "4m" };
	char options[128];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(memory) / sizeof(memory[0]); i++) {
		(void)snprintf(
			options, sizeof(options),
			"segment_bytes=1m,checkpoint_bytes=16m,max_keys=4,huge=off,"
			"memory_bytes=%s",
			memory[i]);
		fail_large_batch(options);
	}
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
		uint64_t step = (fixture_torture_seconds() ? 1 : i ? 5 : 2) * stride();

		for (nth = 1, fired = true; fired; nth += step, runs++)
			run_with_allocation_failing(options[i], nth, true, &fired);
		for (nth = 1, fired = true; fired; nth += 11 * stride(), runs++)
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
	unsigned int key, i, keys = 0;
	struct kv_msg why = { "" };
	struct scene s;
	int error;

	(void)state;
	scene_begin(&s, MAPPED ",map=off", false);
	assert_int_equal(open_store(&s), 0);
	for (key = 0; key < 2000; key += BATCH) {
		unsigned int n = key % 8 ? 1 : BATCH;

		for (i = 0; i < BATCH; i++)
			op[i] = (struct kv_op){ KV_PUT, fixture_key(k[i], key + i),
						fixture_value(v[i], key + i, 1, 64) };
		for (nth = 1;; nth++) {
			port_fault_set(nth, true);
			error = kv_write(s.kv, op, n, KV_NONE);
			port_fault_set(0, false);
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
		keys += n;
	}
	assert_true(failures > 250);
	assert_int_equal(fixture_stat(s.kv, "keys"), keys);
	if (kv_verify(s.kv, &why))
		fail_msg("%s", why.text);
	assert_int_equal(kv_close(s.kv), 0);
	env_sim_free(s.sim);
}

/* ---- a full disk ---- */

enum { FULL_KEYS = 20000, FULL_BYTES = 400, DISK = 3 << 20 };

/* Puts until there is no room; returns how many keys there are then. */
static unsigned int fill_disk(struct scene *s, unsigned int from)
{
	unsigned int key;
	int error = 0;

	for (key = from; !error && key < FULL_KEYS; key++)
		error = fixture_put(s->kv, key, 1, FULL_BYTES, KV_NONE);
	if (error != -ENOSPC)
		complain(s, "filling the disk ends with %d at key %u", error, key);
	return key - 1;
}

static void expect_range(struct scene *s, unsigned int from, unsigned int to)
{
	struct kv_buf value = { 0 };
	char k[FIXTURE_KEY];
	unsigned int key;

	for (key = from; key < to; key++) {
		int error = kv_get(s->kv, fixture_key(k, key), &value);

		if (error || fixture_version(key, FULL_BYTES, value.data, value.len) != 1)
			complain(s, "key %u of %u..%u: %d", key, from, to, error);
	}
	kv_buf_free(&value);
}

static void full_disk(const char *options)
{
	struct scene s = { .options = options };
	struct kv_msg why = { "" };
	unsigned int keys, key, round, again = 0;

	s.sim = env_sim_new(&(struct env_sim_config){
		.seed = 9, .no_journal = true, .capacity_bytes = DISK });
	(void)snprintf(s.label, sizeof(s.label), "full disk, %s", options);
	assert_int_equal(open_store(&s), 0);
	keys = fill_disk(&s, 0);
	assert_true(keys > 500);
	/* Still full, and said so again; what is there can be read. */
	assert_int_equal(fixture_put(s.kv, keys, 1, 3000, KV_SYNC), -ENOSPC);
	expect_range(&s, 0, keys);
	/* Deletes work; what they free takes puts again, without opening it anew. */
	for (key = 0; key < keys / 2; key++)
		if (fixture_delete(s.kv, key, key % 16 ? KV_NONE : KV_SYNC))
			complain(&s, "delete %u of %u fails", key, keys);
	expect_range(&s, key, keys);
	/* In the middle of the keys nodes split in halves: half of them, and a reserve. */
	for (round = 0; round < 100 && again < keys / 5; round++) {
		int error = fixture_put(s.kv, again, 1, FULL_BYTES, KV_NONE);

		if (!error) {
			again++;
			round = 0;
			continue;
		}
		assert_int_equal(error, -ENOSPC);
		env_sim_env(s.sim)->ops->sleep_ns(env_sim_env(s.sim), 50000000);
	}
	if (again < keys / 5)
		complain(&s, "of %u keys half were deleted, and only %u fit again", keys,
			 again);
	expect_range(&s, 0, again);
	if (kv_verify(s.kv, &why))
		complain(&s, "%s", why.text);
	assert_int_equal(kv_close(s.kv), 0);
	assert_int_equal(open_store(&s), 0);
	expect_range(&s, 0, again);
	expect_range(&s, keys / 2, keys);
	assert_int_equal(kv_close(s.kv), 0);
	env_sim_free(s.sim);
}

static void test_full_disk_reads_deletes_and_resumes(void **state)
{
	(void)state;
	full_disk(SMALL);
	full_disk(SMALL ",map=off");
	full_disk(SMALL ",max_keys=8,memory_bytes=512k");
	full_disk(SMALL ",overflow_bytes=100,max_keys=16");
	full_disk("segment_bytes=256k,checkpoint_bytes=1m,huge=off");
}

static void test_full_disk_is_emptied_and_filled_again(void **state)
{
	struct scene s = { .options = SMALL, .label = "emptied and filled" };
	unsigned int keys, key, round, least;

	(void)state;
	s.sim = env_sim_new(&(struct env_sim_config){
		.seed = 9, .no_journal = true, .capacity_bytes = DISK });
	assert_int_equal(open_store(&s), 0);
	keys = fill_disk(&s, 0);
	for (round = 0; round < 4; round++) {
		for (key = 0; key < keys; key++)
			assert_int_equal(fixture_delete(s.kv, key, KV_NONE), 0);
		assert_int_equal(fixture_stat(s.kv, "keys"), 0);
		assert_int_equal(kv_compact(s.kv), 0);
		least = keys * 3 / 4;
		keys = fill_disk(&s, 0);
		assert_true(keys >= least);
		expect_range(&s, 0, keys);
	}
	assert_int_equal(kv_close(s.kv), 0);
	/* Full as it is, it opens, and takes deletes. */
	assert_int_equal(open_store(&s), 0);
	expect_range(&s, 0, keys);
	assert_int_equal(fixture_delete(s.kv, 0, KV_SYNC), 0);
	assert_int_equal(kv_close(s.kv), 0);
	env_sim_free(s.sim);
}

/* Others use the disk as well: what they free is found, and the error is told each time. */
static void test_space_that_others_free_is_found(void **state)
{
	struct scene s = { .options = SMALL, .label = "others' space" };
	unsigned int keys;

	(void)state;
	s.sim = env_sim_new(&(struct env_sim_config){
		.seed = 9, .no_journal = true, .capacity_bytes = DISK });
	assert_int_equal(open_store(&s), 0);
	keys = fill_disk(&s, 0);
	env_sim_set_capacity(s.sim, 2 * DISK);
	assert_int_equal(fixture_put(s.kv, keys, 1, FULL_BYTES, KV_SYNC), 0);
	assert_true(fill_disk(&s, keys + 1) > keys + 500);
	assert_int_equal(kv_close(s.kv), 0);
	env_sim_free(s.sim);
}

enum {
	OVERWRITES = 2000, /* each on new pages */
	OVERWRITTEN_BYTES = 3000,
	SPARE_BYTES = 2 << 20,
};

/* Opening does again what is in the log, and gives back what that gives up as it goes: no larger
 * a disk is wanted than before the crash. */
static void test_nearly_full_disk_opens_after_a_crash(void **state)
{
	struct scene s = { .options = "segment_bytes=64k,checkpoint_bytes=64m,huge=off",
			   .label = "nearly full" };
	const uint64_t capacity = 1ull << 30;
	struct env_sim_point now = { .loss = SIM_LOSE_NONE };
	struct env_sim *before, *after;
	struct kv_buf value = { 0 };
	char key[FIXTURE_KEY];
	uint64_t unused;
	unsigned int i;

	(void)state;
	s.sim = before = env_sim_new(
		&(struct env_sim_config){ .seed = 9, .capacity_bytes = capacity });
	assert_int_equal(open_store(&s), 0);
	for (i = 0; i < OVERWRITES; i++)
		assert_int_equal(fixture_put(s.kv, i % 4, i, OVERWRITTEN_BYTES, KV_NONE),
				 0);
	assert_int_equal(fixture_stat(s.kv, "checkpoints"), 0);
	now.at = env_sim_position(before);
	after = env_sim_crash(before, &now, false);
	assert_int_equal(kv_close(s.kv), 0);
	env_sim_free(before);

	s.sim = after;
	assert_int_equal(
		env_sim_env(after)->ops->free_space(env_sim_env(after), "store", &unused),
		0);
	env_sim_set_capacity(after, capacity - unused + SPARE_BYTES);
	assert_int_equal(open_store(&s), 0);
	for (i = OVERWRITES - 4; i < OVERWRITES; i++) {
		assert_int_equal(kv_get(s.kv, fixture_key(key, i % 4), &value), 0);
		assert_int_equal(
			fixture_version(i % 4, OVERWRITTEN_BYTES, value.data, value.len),
			i);
	}
	kv_buf_free(&value);
	assert_int_equal(kv_close(s.kv), 0);
	env_sim_free(after);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_failed_sync_of_the_log_stops_all_promises),
		LEAK_CHECKED(test_failed_checkpoint_stops_all_promises),
		LEAK_CHECKED(test_failed_load_stops_all_promises),
		LEAK_CHECKED(test_failed_eviction_stops_all_promises),
		LEAK_CHECKED(test_failed_sync_of_a_group_is_told_to_later_writes),
		LEAK_CHECKED(test_readers_keep_their_pages_when_a_large_batch_fails),
		LEAK_CHECKED(test_call_without_memory_changes_nothing),
		LEAK_CHECKED(test_full_disk_reads_deletes_and_resumes),
		LEAK_CHECKED(test_full_disk_is_emptied_and_filled_again),
		LEAK_CHECKED(test_space_that_others_free_is_found),
		LEAK_CHECKED(test_nearly_full_disk_opens_after_a_crash),
		LEAK_CHECKED(test_each_allocation_fails),
		LEAK_CHECKED(test_each_call_fails_once),
		LEAK_CHECKED(test_each_call_fails_for_good),
	};

	/* A call that never ends ends the program: a hang is a failure. */
	test_ends_within(900);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
