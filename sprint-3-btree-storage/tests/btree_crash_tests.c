/* SPDX-License-Identifier: MIT */
/*
 * btree_crash_tests.c - the B+tree engine through every crash of random histories (see
 * kv_crash.h), with nodes so small that they split and merge all the time, memory so small
 * that dirty pages are evicted, and checkpoints after each few writes; then with calls to
 * the device that fail on top; then through every crash while a store is loaded in bulk.
 *
 * kv_crash_suite.h says how to go on for longer.
 */
#include "../../sprint-1-core-memory/tests/leak_check.h"
#include "../../sprint-2-hash-storage/tests/kv_crash_suite.h"
#include "../btree_engine.h"

#define SMALL "segment_bytes=64k,checkpoint_bytes=64k,huge=off"

/* Of those with many bytes to look at fewer positions are taken, but in torture. */
static const struct kv_crash_config variants[] = {
	{ .name = "mapped",
	  .options = SMALL ",max_keys=4",
	  .every = 1,
	  .steps = 150,
	  .keys = 24,
	  .value_max = 3000 },
	{ .name = "written",
	  .options = SMALL ",max_keys=5,map=off,overflow_bytes=200",
	  .every = 1,
	  .steps = 150,
	  .keys = 20,
	  .value_max = 3000 },
	{ .name = "evicting",
	  .options = SMALL ",max_keys=4,memory_bytes=256k",
	  .every = 20,
	  .steps = 250,
	  .keys = 110,
	  .value_max = 12000 },
	{ .name = "packed", .options = SMALL, .every = 2, .steps = 120, .keys = 120 },
	{ .name = "unsynced",
	  .options = SMALL ",max_keys=4",
	  .every = 1,
	  .steps = 80,
	  .no_sync = true },
	/* Several segments that nobody synced are given up at once. */
	{ .name = "unsynced-long",
	  .options = SMALL ",checkpoint_bytes=256k",
	  .every = 12,
	  .steps = 250,
	  .keys = 60,
	  .value_max = 12000,
	  .no_sync = true },
	{ .name = "large",
	  .options = SMALL ",max_keys=4,page_bytes=8k,memory_bytes=512k",
	  .every = 2,
	  .steps = 60,
	  .keys = 6,
	  .value_max = 20000,
	  .huge_bytes = 100000 },
	{ .name = "clients",
	  .options = SMALL ",max_keys=4",
	  .clients = 3,
	  .keys = 10,
	  .every = 2,
	  .steps = 60,
	  .preempt = 20 },
	{ .name = "clients-written",
	  .options = SMALL ",max_keys=4,map=off,group_ms=10",
	  .clients = 2,
	  .keys = 10,
	  .every = 1,
	  .steps = 60,
	  .value_max = 5000,
	  .preempt = 10 },
};

/* ---- calls that fail ---- */

static const struct kv_crash_fault faults[] = {
	{ "log-sync", 1u << SIM_SYNC, SIM_FAIL, -EIO, ".log", SMALL ",max_keys=4" },
	{ "log-sync-drop", 1u << SIM_SYNC, SIM_DROP, -EIO, ".log", SMALL ",map=off" },
	{ "tree-sync", 1u << SIM_SYNC, SIM_FAIL, -EIO, "TREE", SMALL ",max_keys=4" },
	{ "tree-sync-drop", 1u << SIM_SYNC, SIM_DROP, -EIO, "TREE", SMALL },
	{ "tree-write", 1u << SIM_WRITE, SIM_FAIL, -EIO, "TREE", SMALL ",max_keys=4" },
	{ "tree-full", 1u << SIM_WRITE, SIM_SHORT, -ENOSPC, "TREE", SMALL },
	{ "log-write", 1u << SIM_WRITE, SIM_SHORT, -ENOSPC, ".log", SMALL ",map=off" },
	{ "room", 1u << SIM_ALLOCATE, SIM_FAIL, -ENOSPC, NULL, SMALL ",max_keys=4" },
	{ "names", 1u << SIM_SYNC_DIR | 1u << SIM_RENAME | 1u << SIM_UNLINK, SIM_FAIL,
	  -EIO, NULL, SMALL },
	{ "open", 1u << SIM_OPEN | 1u << SIM_MKDIR, SIM_FAIL, -EMFILE, NULL, SMALL },
	{ "truncate", 1u << SIM_TRUNCATE | 1u << SIM_MAP, SIM_FAIL, -EIO, NULL, SMALL },
	{ "read", 1u << SIM_READ, SIM_FAIL, -EIO, "TREE", SMALL },
};

const struct kv_crash_suite crash_suite = {
	.program = "btree_crash_tests",
	.ops = &btree_engine,
	.variant = variants,
	.variants = sizeof(variants) / sizeof(variants[0]),
	.fault = faults,
	.faults = sizeof(faults) / sizeof(faults[0]),
	.quick = { .every = 3,
		   .samples = 1,
		   .exhaustive = 4,
		   .thorough = 4,
		   .again = 150 },
	.torture = { .every = 0,
		     .samples = 4,
		     .exhaustive = 64,
		     .thorough = 1,
		     .again = 40 },
	.least = 4000,
	.failing = { .steps = 100, .keys = 16, .value_max = 5000 },
	.failing_every = 61,
	.failing_every_in_torture = 1,
	.counter = { { "checkpoints", 0 },
		     { "page_evictions", 0 },
		     { "tree_splits", 0 },
		     { "tree_merges", 0 },
		     { "tree_copies", 0 },
		     { "log_segments_recycled", 0 } },
};

/* ---- bulk loading ---- */

enum { LOADED = 300, LOADED_VALUE = 700 };

struct source { /* sorted pairs */
	unsigned int n;
	char key[16];
	uint8_t value[LOADED_VALUE];
};

static int next_pair(void *arg, struct kv_slice *key, struct kv_slice *value)
{
	struct source *s = arg;

	if (s->n == LOADED)
		return -ENOENT;
	(void)snprintf(s->key, sizeof(s->key), "key%05u", s->n);
	memset(s->value, (int)s->n, sizeof(s->value));
	*key = kv_str(s->key);
	*value = kv_slice(s->value, s->n % 40 ? 50 : sizeof(s->value));
	s->n++;
	return 0;
}

static int open_store(struct env_sim *sim, struct kv **kv)
{
	struct kv_msg why = { "" };
	/* So little memory that pages are written while others are being made. */
	int error = kv_open(&btree_engine, env_sim_env(sim), "store",
			    SMALL ",max_keys=8,overflow_bytes=200,memory_bytes=256k", kv,
			    &why);

	if (error)
		print_error("open: %d (%s)\n", error, why.text);
	return error;
}

struct loading {
	size_t begun, done;
	uint64_t disks;
};

/* All or nothing, and all once it has returned. */
static int check_loaded(void *arg, struct env_sim *disk, size_t at)
{
	struct loading *l = arg;
	struct kv_msg why = { "" };
	struct source s = { 0 };
	struct kv_slice key, value;
	struct kv_cursor *c;
	struct kv *kv;
	int error = open_store(disk, &kv), wrong = 0;

	if (error)
		return error;
	l->disks++;
	error = kv_cursor(kv, NULL, &c);
	if (error)
		goto out;
	while (!kv_next(c))
		wrong |= next_pair(&s, &key, &value) || kv_compare(key, c->key) ||
			 kv_compare(value, c->value);
	kv_cursor_close(c);
	error = kv_verify(kv, &why);
	if (!error && (wrong || (s.n && s.n < LOADED) || (at >= l->done && !s.n)))
		error = -EBADMSG;
	if (error)
		print_error("%u pairs of %u, error %d (%s)\n", s.n, LOADED, error,
			    why.text);
out:
	return kv_close(kv) ? -EIO : error;
}

static void test_bulk_load_is_there_in_whole_or_not_at_all(void **state)
{
	struct env_sim *sim = env_sim_new(&(struct env_sim_config){ .seed = 3 });
	struct source s = { 0 };
	struct loading l = { 0 };
	struct env_sim_explore e = {
		.samples = 4, .exhaustive = 16, .check = check_loaded, .arg = &l
	};
	struct kv *kv;

	(void)state;
	assert_int_equal(open_store(sim, &kv), 0);
	e.from = env_sim_position(sim);
	e.every = kv_crash_slower();
	assert_int_equal(btree_bulk_load(kv, 90, next_pair, &s), 0);
	l.done = env_sim_position(sim);
	assert_int_equal(kv_close(kv), 0);
	if (env_sim_explore(sim, &e))
		fail_msg("%s", e.failed);
	print_message("%llu disks\n", (unsigned long long)l.disks);
	assert_true(l.disks > 20 || kv_crash_slower() > 1);
	env_sim_free(sim);
}

static bool has_pairs(struct kv *kv)
{
	struct kv_cursor *c;
	int error;

	assert_int_equal(kv_cursor(kv, NULL, &c), 0);
	error = kv_next(c);
	kv_cursor_close(c);
	return error != -ENOENT;
}

/* What fails is told, and nothing of the load is seen; or it does not matter, and all is. */
static bool load_with_fault(uint64_t nth, uint64_t allocation, unsigned int *failed)
{
	struct env_sim *sim = env_sim_new(&(struct env_sim_config){ .seed = nth + 1 });
	const struct env_sim_fault fault = { .calls = SIM_ANY, .nth = nth };
	struct source s = { 0 };
	struct loading l = { 0 };
	struct kv *kv;
	bool fired;
	int error;

	assert_int_equal(open_store(sim, &kv), 0);
	if (nth)
		env_sim_fault(sim, &fault);
	if (allocation)
		port_fault_set(allocation, true);
	error = btree_bulk_load(kv, 90, next_pair, &s);
	fired = nth ? env_sim_fault_fired(sim) : port_fault_fired();
	env_sim_fault(sim, NULL);
	port_fault_set(0, false);
	assert_true(!error || fired);
	assert_true(!error || error == (nth ? -EIO : -ENOMEM));
	assert_int_equal(has_pairs(kv), !error);
	(void)kv_close(kv);
	l.done = error ? SIZE_MAX : 0;
	assert_int_equal(check_loaded(&l, sim, 0), 0);
	env_sim_free(sim);
	*failed += error != 0;
	return fired;
}

static void test_bulk_load_when_each_call_fails(void **state)
{
	unsigned int failed = 0;
	uint64_t nth;

	(void)state;
	for (nth = 1; load_with_fault(nth, 0, &failed); nth += kv_crash_slower())
		;
	print_message("%u of %llu calls told of\n", failed, (unsigned long long)nth - 1);
	assert_true(failed > 10 || kv_crash_slower() > 1);
}

static void test_bulk_load_when_each_allocation_fails(void **state)
{
	unsigned int failed = 0;
	uint64_t nth;

	(void)state;
	for (nth = 1; load_with_fault(0, nth, &failed); nth += kv_crash_slower())
		;
	print_message("%u of %llu allocations told of\n", failed,
		      (unsigned long long)nth - 1);
	assert_true(failed > 10 || kv_crash_slower() > 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_survive_every_crash),
		LEAK_CHECKED(test_survive_crashes_after_a_failed_call),
		LEAK_CHECKED(test_bulk_load_is_there_in_whole_or_not_at_all),
		LEAK_CHECKED(test_bulk_load_when_each_call_fails),
		LEAK_CHECKED(test_bulk_load_when_each_allocation_fails),
		LEAK_CHECKED(test_repeat_a_history_by_its_seed),
		LEAK_CHECKED(test_torture),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
