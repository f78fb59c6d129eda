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
#include "hash_store_fixture.h"

#include <unistd.h>

enum { KEYS = 24, BATCH = 4, BYTES = 1500, STEPS_MAX = 64 };

struct step {                 /* what was asked of a key */
	unsigned int version; /* 0: a delete */
	bool acked;
};

struct history {
	struct step step[STEPS_MAX];
	unsigned int n;
	unsigned int durable; /* steps below it were acknowledged as durable */
};

struct scene {
	struct env_sim *sim;
	const char *options;
	struct kv *kv;
	struct history key[KEYS];
	bool pages_lost; /* the fault takes back what was not synced */
	bool backed_up;
	unsigned int backup_version[KEYS];
	char label[128];
};

#define complain(s, ...)                         \
	do {                                     \
		print_error("%s: ", (s)->label); \
		fail_msg(__VA_ARGS__);           \
	} while (0)

/* 0 or an errno that a caller can do something with. */
static int plain(const struct scene *s, const char *what, int error)
{
	static const int known[] = { 0,      -EIO,    -ENOSPC, -EMFILE,
				     -EROFS, -ENOMEM, -EAGAIN, -EBADMSG };
	size_t i;

	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (error == known[i])
			return error;
	complain(s, "%s says %d", what, error);
	return error;
}

/* ---- writing, and what is known of it ---- */

static void everything_is_durable(struct scene *s)
{
	unsigned int key, i;

	for (key = 0; key < KEYS; key++)
		for (i = s->key[key].n; i > s->key[key].durable; i--)
			if (s->key[key].step[i - 1].acked) {
				s->key[key].durable = i;
				break;
			}
}

static unsigned int next_version(struct scene *s, unsigned int key)
{
	struct history *h = &s->key[key];

	assert_true(h->n < STEPS_MAX);
	h->step[h->n] = (struct step){ h->n + 1, false };
	return ++h->n;
}

static int acknowledge(struct scene *s, unsigned int key, int error,
		       enum kv_durability how)
{
	struct history *h = &s->key[key];

	h->step[h->n - 1].acked = !error;
	if (!error && how == KV_SYNC)
		everything_is_durable(s);
	return error;
}

static int put(struct scene *s, unsigned int key, enum kv_durability how)
{
	unsigned int version = next_version(s, key);
	int error = plain(s, "put", fixture_put(s->kv, key, version, BYTES, how));

	return acknowledge(s, key, error, how);
}

static int delete (struct scene *s, unsigned int key, enum kv_durability how)
{
	int error;

	(void)next_version(s, key);
	s->key[key].step[s->key[key].n - 1].version = 0;
	error = plain(s, "delete", fixture_delete(s->kv, key, how));
	return acknowledge(s, key, error, how);
}

/* The first keys are written by batches alone: they always are of one version. */
static int put_batch(struct scene *s, enum kv_durability how)
{
	char k[BATCH][FIXTURE_KEY], v[BATCH][FIXTURE_VALUE];
	struct kv_op op[BATCH];
	unsigned int i;
	int error;

	for (i = 0; i < BATCH; i++)
		op[i] = (struct kv_op){ KV_PUT, fixture_key(k[i], i),
					fixture_value(v[i], i, next_version(s, i),
						      BYTES) };
	error = plain(s, "batch", kv_write(s->kv, op, BATCH, how));
	for (i = 0; i < BATCH; i++)
		(void)acknowledge(s, i, error, how);
	return error;
}

static int sync_store(struct scene *s)
{
	int error = plain(s, "sync", kv_sync(s->kv));

	if (!error)
		everything_is_durable(s);
	return error;
}

/* ---- reading ---- */

/* May the key's version be this one? After an error the step that failed may have been
 * done, too, and whatever came since the last sync may be gone if pages were lost. */
static bool may_be(const struct scene *s, unsigned int key, unsigned int version,
		   bool reopened)
{
	const struct history *h = &s->key[key];
	unsigned int i;

	for (i = h->n; i > 0; i--) {
		const struct step *t = &h->step[i - 1];

		if (t->version == version && (t->acked || reopened))
			return true;
		if (t->acked && !(reopened && s->pages_lost && i > h->durable))
			return false;
	}
	return version == 0;
}

/* Reads one key; UINT_MAX after an error, which only a fault may cause. */
static unsigned int look(struct scene *s, struct kv *kv, unsigned int key, bool faulty)
{
	struct kv_buf value = { 0 };
	char k[FIXTURE_KEY];
	unsigned int version = 0;
	int error = kv_get(kv, fixture_key(k, key), &value);

	if (!error) {
		version = fixture_version(key, BYTES, value.data, value.len);
		if (version == UINT_MAX)
			complain(s, "key %u: bytes that nobody wrote", key);
	} else if (error != -ENOENT) {
		(void)plain(s, "get", error);
		if (!faulty)
			complain(s, "key %u: get says %d", key, error);
		version = UINT_MAX;
	}
	kv_buf_free(&value);
	return version;
}

/* What was found on opening is what the history goes on from. */
static void accept(struct scene *s, unsigned int key, unsigned int version)
{
	struct history *h = &s->key[key];
	unsigned int i = h->n;

	for (; i > 0 && h->step[i - 1].version != version; i--)
		h->step[i - 1].acked = false;
	if (i > 0)
		h->step[i - 1].acked = true;
}

static void check_keys(struct scene *s, bool faulty, bool reopened)
{
	unsigned int key, version, batch = 0;

	for (key = 0; key < KEYS; key++) {
		version = look(s, s->kv, key, faulty);
		if (version == UINT_MAX)
			continue;
		if (!may_be(s, key, version, reopened))
			complain(s,
				 "key %u: version %u of %u steps, %u of them durable%s",
				 key, version, s->key[key].n, s->key[key].durable,
				 reopened ? ", reopened" : "");
		if (reopened)
			accept(s, key, version);
		if (key == 0)
			batch = version;
		if (key < BATCH && !faulty && version != batch)
			complain(s, "half a batch: %u and %u", batch, version);
	}
}

/* A walk that ends well has met as many as it should. */
static void walk(struct scene *s, struct kv_snapshot *snap, bool faulty)
{
	struct kv_cursor *c;
	unsigned int met = 0, there = 0, key;
	int error = plain(s, "cursor", kv_cursor(s->kv, snap, &c));

	if (error)
		return;
	while (!(error = kv_next(c)))
		met++;
	kv_cursor_close(c);
	if (error != -ENOENT) {
		(void)plain(s, "next", error);
		return;
	}
	if (snap || faulty)
		return;
	for (key = 0; key < KEYS; key++)
		there += look(s, s->kv, key, false) != 0;
	if (met != there)
		complain(s, "a walk met %u of %u", met, there);
}

static void get_several(struct scene *s)
{
	struct kv_buf value[KEYS] = { { 0 } };
	struct kv_slice slice[KEYS];
	char k[KEYS][FIXTURE_KEY];
	int error[KEYS];
	unsigned int key;

	for (key = 0; key < KEYS; key++)
		slice[key] = fixture_key(k[key], key);
	(void)plain(s, "multi_get", kv_multi_get(s->kv, NULL, KEYS, slice, value, error));
	for (key = 0; key < KEYS; key++)
		kv_buf_free(&value[key]);
}

/* ---- the history ---- */

static int open_store(struct scene *s)
{
	struct kv_msg why = { "" };
	int error;

	s->kv = NULL;
	error = kv_open(&hash_engine, env_sim_env(s->sim), "store", s->options, &s->kv,
			&why);
	if (error && (s->kv || !why.text[0]))
		complain(s, "open says %d, \"%s\"", error, why.text);
	return plain(s, "open", error);
}

static void close_store(struct scene *s)
{
	if (!plain(s, "close", kv_close(s->kv)))
		everything_is_durable(s);
	s->kv = NULL;
}

static void fill(struct scene *s, unsigned int rounds)
{
	unsigned int round, key;

	for (round = 0; round < rounds; round++)
		for (key = BATCH; key < KEYS; key++)
			(void)put(s, key, KV_NONE);
}

static void back_up(struct scene *s)
{
	struct kv_buf value = { 0 };
	unsigned int key;
	char k[FIXTURE_KEY];

	s->backed_up = !plain(s, "backup", kv_backup(s->kv, "backup"));
	for (key = 0; s->backed_up && key < KEYS; key++) {
		int error = kv_get(s->kv, fixture_key(k, key), &value);

		s->backup_version[key] = !error             ? port_get_le32(value.data)
					 : error == -ENOENT ? 0
							    : UINT_MAX;
	}
	kv_buf_free(&value);
}

static void first_session(struct scene *s)
{
	struct kv_snapshot *snap = NULL;
	unsigned int key;

	if (open_store(s))
		return;
	for (key = BATCH; key < 12; key++)
		(void)put(s, key, KV_NONE);
	(void)put(s, 12, KV_SYNC);
	(void)put_batch(s, KV_SYNC);
	(void)put(s, 13, KV_GROUP);
	(void)delete (s, 5, KV_NONE);
	(void)delete (s, 6, KV_SYNC);
	(void)sync_store(s);
	(void)plain(s, "snapshot", kv_snapshot(s->kv, &snap));
	(void)put(s, 6, KV_SYNC);
	(void)delete (s, 7, KV_NONE);
	(void)put_batch(s, KV_NONE);
	walk(s, snap, true);
	kv_release(s->kv, snap);
	walk(s, NULL, true);
	get_several(s);
	close_store(s);
}

static void second_session(struct scene *s)
{
	if (open_store(s))
		return;
	fill(s, 3);
	(void)put_batch(s, KV_GROUP);
	(void)delete (s, 9, KV_SYNC);
	(void)plain(s, "compact", kv_compact(s->kv));
	back_up(s);
	(void)plain(s, "verify", kv_verify(s->kv, NULL));
	fill(s, 1);
	check_keys(s, true, false);
	close_store(s);
}

static void third_session(struct scene *s)
{
	if (open_store(s))
		return;
	check_keys(s, true, true);
	(void)put(s, 20, KV_SYNC);
	(void)put_batch(s, KV_SYNC);
	(void)plain(s, "compact", kv_compact(s->kv));
	close_store(s);
}

static void check_backup(struct scene *s)
{
	struct kv *kv;
	unsigned int key, version;

	if (!s->backed_up)
		return;
	if (kv_open(&hash_engine, env_sim_env(s->sim), "backup", s->options, &kv, NULL))
		complain(s, "a backup that was made does not open");
	for (key = 0; key < KEYS; key++) {
		version = look(s, kv, key, false);
		if (s->backup_version[key] != UINT_MAX &&
		    version != s->backup_version[key])
			complain(s, "backup: key %u: version %u, wanted %u", key, version,
				 s->backup_version[key]);
	}
	assert_int_equal(kv_close(kv), 0);
}

/* All as acknowledged, and writable. */
static void check_afterwards(struct scene *s)
{
	unsigned int key;
	int error = open_store(s);

	if (error)
		complain(s, "without the fault open still says %d", error);
	check_keys(s, false, true);
	walk(s, NULL, false);
	if (kv_verify(s->kv, NULL))
		complain(s, "without the fault verify fails");
	for (key = BATCH; key < KEYS; key++)
		if (put(s, key, key % 2 ? KV_NONE : KV_SYNC))
			complain(s, "without the fault a put fails");
	if (put_batch(s, KV_SYNC))
		complain(s, "without the fault a batch fails");
	check_keys(s, false, false);
	if (kv_close(s->kv))
		complain(s, "without the fault close fails");
	s->kv = NULL;
	everything_is_durable(s);
}

/* What was synced since the fault is there also after a loss of power. */
static void check_after_crash(struct scene *s)
{
	struct env_sim_point p = { env_sim_position(s->sim), SIM_LOSE_ALL, 0 };
	struct env_sim *disk = env_sim_crash(s->sim, &p, false);
	struct scene after = *s;
	int error;

	after.sim = disk;
	error = open_store(&after);
	if (error)
		complain(s, "after the crash open says %d", error);
	check_keys(&after, false, true);
	assert_int_equal(kv_close(after.kv), 0);
	env_sim_free(disk);
}

static void scene_begin(struct scene *s, const char *options, bool journal)
{
	*s = (struct scene){
		.sim = env_sim_new(
			&(struct env_sim_config){ .seed = 5, .no_journal = !journal }),
		.options = options,
	};
}

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
			nth += 1 + (skip ? nth / 16 : 0);
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
	assert_true(mapped > 300 && written > 300);
}

static void test_each_call_fails_for_good(void **state)
{
	uint64_t mapped = run_all(SMALL, true), written = run_all(SMALL ",map=off", true);

	(void)state;
	print_message("%llu faults with maps, %llu without\n", (unsigned long long)mapped,
		      (unsigned long long)written);
	assert_true(mapped > 150 && written > 150);
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
		unsigned int step = i && !fixture_torture_seconds() ? 3 : 1;

		for (nth = 1, fired = true; fired; nth += step, runs++)
			run_with_allocation_failing(options[i], nth, true, &fired);
		for (nth = 1, fired = true; fired; nth += 7, runs++)
			run_with_allocation_failing(options[i], nth, false, &fired);
	}
	print_message("%llu allocations failed\n", (unsigned long long)runs);
	assert_true(runs > 300);
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
	(void)alarm(fixture_torture_seconds() ? 3600 : 900);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
