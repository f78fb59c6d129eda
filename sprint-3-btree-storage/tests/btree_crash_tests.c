/* SPDX-License-Identifier: MIT */
/*
 * btree_crash_tests.c - the B+tree engine through every crash of random histories (see
 * kv_crash.h), with nodes so small that they split and merge all the time, memory so small
 * that dirty pages are evicted, and checkpoints after each few writes; then with calls to
 * the device that fail on top; then through every crash while a store is loaded in bulk.
 *
 * KV_TORTURE=seconds goes on with other seeds, and looks at more disks of each: for so long,
 * and for a million disks at least. KV_STATES=n goes on for n disks. Under sanitizers and
 * Valgrind fewer positions are looked at.
 */
#include "../../sprint-1-core-memory/tests/kv_history.h"
#include "../../sprint-1-core-memory/tests/leak_check.h"
#include "../../sprint-1-core-memory/tests/test_scale.h"
#include "../../sprint-2-hash-storage/tests/kv_crash.h"
#include "../btree_engine.h"

#include <time.h>

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

enum { VARIANTS = sizeof(variants) / sizeof(variants[0]) };

struct seen { /* what must have happened for the histories to be worth their crashes */
	uint64_t states, recoveries, checkpoints, evictions, splits, merges, copies,
		recycled;
};

static void add_stat(void *arg, const char *name, uint64_t value)
{
	struct seen *s = arg;
	const struct {
		const char *name;
		uint64_t *to;
	} wanted[] = {
		{ "checkpoints", &s->checkpoints },
		{ "page_evictions", &s->evictions },
		{ "tree_splits", &s->splits },
		{ "tree_merges", &s->merges },
		{ "tree_copies", &s->copies },
		{ "log_segments_recycled", &s->recycled },
	};
	size_t i;

	for (i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		if (!strcmp(name, wanted[i].name))
			*wanted[i].to += value;
}

static unsigned int slower(void)
{
	return (unsigned int)(1000 / test_draws(1000));
}

static unsigned int torture_seconds(void)
{
	const char *s = getenv("KV_TORTURE");

	return s ? (unsigned int)strtoul(s, NULL, 10) : 0;
}

/* How many disks to go on for; 0: no further than the quick form. */
static uint64_t states_wanted(void)
{
	const char *s = getenv("KV_STATES");

	return s ? strtoull(s, NULL, 10) : torture_seconds() ? 1000000 : 0;
}

static void run(struct kv_crash_config *c, struct seen *seen)
{
	struct kv_crash_report r;

	c->ops = &btree_engine;
	c->every *= slower();
	c->stats = add_stat;
	c->stats_arg = seen;
	if (kv_crash_run(c, &r))
		fail_msg("%s ./btree_crash_tests", r.failed);
	seen->states += r.states + r.recoveries;
	seen->recoveries += r.recoveries;
}

static void run_variants(uint64_t seed, bool more, struct seen *seen)
{
	size_t i;

	for (i = 0; i < VARIANTS; i++) {
		struct kv_crash_config c = variants[i];

		c.seed = seed;
		c.every = more ? 1 : 3 * (c.every ? c.every : 1);
		c.samples = more ? 4 : 1;
		c.exhaustive = more ? 64 : 4;
		c.thorough = more ? 1 : 4;
		c.again = more ? 40 : 150;
		run(&c, seen);
	}
	print_message("seed %llu: %llu disks, %llu of them after two crashes; %llu "
		      "checkpoints, %llu pages evicted, %llu splits, %llu merges, %llu "
		      "copies, %llu segments recycled\n",
		      (unsigned long long)seed, (unsigned long long)seen->states,
		      (unsigned long long)seen->recoveries,
		      (unsigned long long)seen->checkpoints,
		      (unsigned long long)seen->evictions,
		      (unsigned long long)seen->splits, (unsigned long long)seen->merges,
		      (unsigned long long)seen->copies,
		      (unsigned long long)seen->recycled);
}

static void test_survive_every_crash(void **state)
{
	uint64_t seed = kv_history_seed(1);
	struct seen seen = { 0 };

	(void)state;
	run_variants(seed, false, &seen);
	if (getenv("KV_CRASH"))
		return;
	assert_true(seen.checkpoints && seen.evictions && seen.splits && seen.merges &&
		    seen.copies && seen.recycled);
	assert_true(slower() > 1 || seen.states >= 4000);
}

/* ---- with failing calls ---- */

static const struct {
	const char *name;
	unsigned int calls;
	enum env_sim_effect effect;
	int error;
	const char *path; /* NULL: any */
	const char *options;
} faults[] = {
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

enum { FAULTS = sizeof(faults) / sizeof(faults[0]), EACH = 3, NTH_MAX = 60 };

static void run_fault(size_t i, unsigned int k, uint64_t seed, unsigned int every,
		      struct seen *seen)
{
	struct env_sim_fault fault = {
		.calls = faults[i].calls,
		.effect = faults[i].effect,
		.error = faults[i].error,
		.path = faults[i].path,
		/* Spread, and another each time. */
		.nth = 1 + (seed * 37 + i * 11 + k * (NTH_MAX / EACH)) % NTH_MAX,
	};
	struct kv_crash_config c = {
		.options = faults[i].options,
		.seed = seed,
		.steps = 100,
		.keys = 16,
		.value_max = 5000,
		.fault = &fault,
		.every = every,
		.samples = 1,
		.exhaustive = 4,
		.thorough = 2,
		.again = 40,
	};
	char name[64];

	(void)snprintf(name, sizeof(name), "fault-%s-%u", faults[i].name, k);
	c.name = name;
	run(&c, seen);
}

static void run_faults(uint64_t seed, unsigned int every, struct seen *seen)
{
	unsigned int k;
	size_t i;

	for (i = 0; i < FAULTS; i++)
		for (k = 0; k < EACH; k++)
			run_fault(i, k, seed, every, seen);
	print_message("seed %llu: %llu disks of histories in which a call failed\n",
		      (unsigned long long)seed, (unsigned long long)seen->states);
}

static void test_survive_crashes_after_a_failed_call(void **state)
{
	struct seen seen = { 0 };

	(void)state;
	run_faults(kv_history_seed(1), 61, &seen);
}

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
	e.every = slower();
	assert_int_equal(btree_bulk_load(kv, 90, next_pair, &s), 0);
	l.done = env_sim_position(sim);
	assert_int_equal(kv_close(kv), 0);
	if (env_sim_explore(sim, &e))
		fail_msg("%s", e.failed);
	print_message("%llu disks\n", (unsigned long long)l.disks);
	assert_true(l.disks > 20 || slower() > 1);
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
	for (nth = 1; load_with_fault(nth, 0, &failed); nth += slower())
		;
	print_message("%u of %llu calls told of\n", failed, (unsigned long long)nth - 1);
	assert_true(failed > 10 || slower() > 1);
}

static void test_bulk_load_when_each_allocation_fails(void **state)
{
	unsigned int failed = 0;
	uint64_t nth;

	(void)state;
	for (nth = 1; load_with_fault(0, nth, &failed); nth += slower())
		;
	print_message("%u of %llu allocations told of\n", failed,
		      (unsigned long long)nth - 1);
	assert_true(failed > 10 || slower() > 1);
}

/* ---- the test itself ---- */

/* A seed is a history: without that a failure could not be replayed. */
static void test_repeat_a_history_by_its_seed(void **state)
{
	uint64_t trace[2][VARIANTS];
	size_t i, round;

	(void)state;
	for (round = 0; round < 2; round++)
		for (i = 0; i < VARIANTS; i++) {
			struct kv_crash_config c = variants[i];
			struct kv_crash_report r;

			c.ops = &btree_engine;
			c.seed = 7;
			c.every = UINT32_MAX;
			if (kv_crash_run(&c, &r))
				fail_msg("%s ./btree_crash_tests", r.failed);
			trace[round][i] = r.trace;
		}
	assert_memory_equal(trace[0], trace[1], sizeof(trace[0]));
}

static void test_torture(void **state)
{
	uint64_t seed = kv_history_seed(1);
	time_t end = time(NULL) + torture_seconds();
	struct seen seen = { 0 }, failing = { 0 };

	(void)state;
	if (!states_wanted() || getenv("KV_CRASH"))
		skip();
	while (time(NULL) < end || seen.states + failing.states < states_wanted()) {
		run_variants(++seed, true, &seen);
		run_faults(seed, 1, &failing);
	}
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
