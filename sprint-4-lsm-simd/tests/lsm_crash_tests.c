/* SPDX-License-Identifier: MIT */
/*
 * lsm_crash_tests.c - the LSM engine through every crash of random histories (see kv_crash.h):
 * in each style of compaction, with values in blob files and beside their keys, with memtables
 * and tables so small that flushes, compactions, whole versions in the manifest and the
 * collection of blob files go on all the time; then with calls to the device that fail on top.
 *
 * KV_TORTURE=seconds goes on with other seeds, and looks at more disks of each: for so long,
 * and for a million disks at least. KV_STATES=n goes on for n disks. Under sanitizers and
 * Valgrind fewer positions are looked at. lsm_moment_tests.c looks at single moments closely.
 */
#include "../../sprint-1-core-memory/tests/kv_history.h"
#include "../../sprint-1-core-memory/tests/leak_check.h"
#include "../../sprint-1-core-memory/tests/test_scale.h"
#include "../../sprint-2-hash-storage/tests/kv_crash.h"
#include "../lsm_engine.h"
#include "lsm_packed.h"

#include <time.h>

#define SMALL                                                                        \
	"memory_bytes=1m,segment_bytes=64k,table_bytes=4k,block_bytes=512,huge=off," \
	"flushed_runs=2,ratio=2,level_bytes=16k"
#define SMALL_FLUSH SMALL ",memtable_bytes=8k"

/* Of those with many bytes to look at fewer positions are taken, but in torture. */
static const struct kv_crash_config variants[] = {
	{ .name = "lazy", .options = SMALL_FLUSH, .every = 2, .steps = 120, .keys = 24 },
	{ .name = "leveled-written",
	  .options = SMALL_FLUSH ",style=leveled,blob_bytes=0,map=off",
	  .every = 2,
	  .steps = 120,
	  .keys = 20 },
	{ .name = "tiered",
	  .options = SMALL
	  ",memtable_bytes=4k,style=tiered,blob_bytes=200,parts=2,threads=2",
	  .every = 2,
	  .steps = 100,
	  .keys = 24 },
	{ .name = "collecting",
	  .options = SMALL_FLUSH ",blob_bytes=32,blob_live_percent=90,access=map",
	  .every = 2,
	  .steps = 120,
	  .keys = 16,
	  .value_max = 1500 },
	{ .name = "leveled-lz4",
	  .options = SMALL ",memtable_bytes=16k,style=leveled," PACKED
			   ",memtables=2,access=read,"
			   "restart_interval=1,record_percent=0,blob_bytes=0",
	  .every = 3,
	  .steps = 150,
	  .keys = 60,
	  .value_max = 800 },
	{ .name = "unsynced",
	  .options = SMALL_FLUSH ",map=off,access=read",
	  .every = 1,
	  .steps = 60,
	  .no_sync = true },
	{ .name = "large",
	  .options = SMALL ",memtable_bytes=16k,style=tiered,blob_bytes=4096",
	  .every = 3,
	  .steps = 50,
	  .keys = 6,
	  .value_max = 20000,
	  .huge_bytes = 100000 },
	{ .name = "clients",
	  .options = SMALL ",memtable_bytes=4k,style=leveled,access=read",
	  .clients = 3,
	  .keys = 10,
	  .every = 4,
	  .steps = 100,
	  .preempt = 20 },
	{ .name = "clients-written",
	  .options =
		  SMALL_FLUSH ",map=off,group_ms=10,blob_bytes=64,blob_live_percent=80",
	  .clients = 2,
	  .keys = 10,
	  .every = 3,
	  .steps = 60,
	  .preempt = 10 },
	/* So many tables that the manifest is begun anew while the store is open. */
	{ .name = "rolling",
	  .options =
		  SMALL ",memtable_bytes=4k,style=leveled,blob_bytes=0,record_percent=0",
	  .clients = 2,
	  .keys = 24,
	  .every = 20,
	  .steps = 220,
	  .value_max = 4000,
	  .no_snapshots = true },
};

enum { VARIANTS = sizeof(variants) / sizeof(variants[0]) };

struct seen { /* what must have happened for the histories to be worth their crashes */
	uint64_t states, recoveries;
	uint64_t flushes, compactions, moves, dropped, rewritten, rollovers, unlinked,
		recycled;
};

static void add_stat(void *arg, const char *name, uint64_t value)
{
	struct seen *s = arg;
	const struct {
		const char *name;
		uint64_t *to;
	} wanted[] = {
		{ "flushes", &s->flushes },
		{ "compactions", &s->compactions },
		{ "trivial_moves", &s->moves },
		{ "compaction_dropped", &s->dropped },
		{ "blobs_rewritten", &s->rewritten },
		{ "files_unlinked", &s->unlinked },
		{ "log_segments_recycled", &s->recycled },
	};
	size_t i;

	for (i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		if (!strcmp(name, wanted[i].name))
			*wanted[i].to += value;
	/* Opening writes one. */
	if (!strcmp(name, "manifest_rollovers"))
		s->rollovers += value - 1;
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

	c->ops = &lsm_engine;
	c->every *= slower();
	c->stats = add_stat;
	c->stats_arg = seen;
	if (kv_crash_run(c, &r))
		fail_msg("%s ./lsm_crash_tests", r.failed);
	seen->states += r.states + r.recoveries;
	seen->recoveries += r.recoveries;
}

static void run_variants(uint64_t seed, bool more, struct seen *seen)
{
	size_t i;

	for (i = 0; i < VARIANTS; i++) {
		struct kv_crash_config c = variants[i];

		c.seed = seed;
		c.every *= more ? 2 : 8;
		c.samples = more ? 3 : 1;
		c.exhaustive = more ? 16 : 4;
		c.thorough = more ? 2 : 4;
		c.again = more ? 60 : 150;
		run(&c, seen);
	}
	print_message(
		"seed %llu: %llu disks, %llu of them after two crashes; %llu flushes, "
		"%llu compactions, %llu moves, %llu entries dropped, %llu values "
		"collected, %llu whole versions, %llu files removed, %llu log segments "
		"recycled\n",
		(unsigned long long)seed, (unsigned long long)seen->states,
		(unsigned long long)seen->recoveries, (unsigned long long)seen->flushes,
		(unsigned long long)seen->compactions, (unsigned long long)seen->moves,
		(unsigned long long)seen->dropped, (unsigned long long)seen->rewritten,
		(unsigned long long)seen->rollovers, (unsigned long long)seen->unlinked,
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
	assert_true(seen.flushes && seen.compactions && seen.moves && seen.dropped &&
		    seen.rewritten && seen.rollovers && seen.unlinked && seen.recycled);
	assert_true(slower() > 1 || seen.states >= 2000);
}

/* ---- with failing calls ---- */

#define APART SMALL_FLUSH ",blob_bytes=200"

static const struct {
	const char *name;
	unsigned int calls;
	enum env_sim_effect effect;
	int error;
	const char *path; /* NULL: any */
	const char *options;
} faults[] = {
	{ "log-sync", 1u << SIM_SYNC, SIM_FAIL, -EIO, ".log", SMALL_FLUSH },
	{ "log-sync-drop", 1u << SIM_SYNC, SIM_DROP, -EIO, ".log", APART ",map=off" },
	{ "manifest-sync", 1u << SIM_SYNC, SIM_FAIL, -EIO, "manifest/", SMALL_FLUSH },
	{ "manifest-sync-drop", 1u << SIM_SYNC, SIM_DROP, -EIO, "manifest/", APART },
	{ "manifest-room", 1u << SIM_ALLOCATE, SIM_FAIL, -ENOSPC, "manifest/", APART },
	{ "table-sync", 1u << SIM_SYNC, SIM_FAIL, -EIO, ".sst", SMALL_FLUSH },
	{ "table-sync-drop", 1u << SIM_SYNC, SIM_DROP, -EIO, ".sst", APART },
	{ "blob-sync", 1u << SIM_SYNC, SIM_FAIL, -EIO, ".blob", APART },
	{ "blob-full", 1u << SIM_WRITE, SIM_SHORT, -ENOSPC, ".blob", APART },
	{ "table-write", 1u << SIM_WRITE, SIM_FAIL, -EIO, ".sst", SMALL_FLUSH },
	{ "table-full", 1u << SIM_WRITE, SIM_SHORT, -ENOSPC, ".sst", APART },
	{ "log-write", 1u << SIM_WRITE, SIM_SHORT, -ENOSPC, ".log", APART ",map=off" },
	{ "room", 1u << SIM_ALLOCATE, SIM_FAIL, -ENOSPC, NULL, SMALL_FLUSH },
	{ "names", 1u << SIM_SYNC_DIR | 1u << SIM_RENAME | 1u << SIM_UNLINK, SIM_FAIL,
	  -EIO, NULL, APART },
	{ "open", 1u << SIM_OPEN | 1u << SIM_MKDIR, SIM_FAIL, -EMFILE, NULL, APART },
	{ "truncate", 1u << SIM_TRUNCATE | 1u << SIM_MAP, SIM_FAIL, -EIO, NULL,
	  SMALL_FLUSH },
	{ "read", 1u << SIM_READ, SIM_FAIL, -EIO, "store/", APART ",access=read" },
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
		.steps = 60,
		.keys = 16,
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
		for (k = 0; k < (slower() > 1 ? 1 : EACH); k++)
			run_fault(i, k, seed, every, seen);
	print_message("seed %llu: %llu disks of histories in which a call failed\n",
		      (unsigned long long)seed, (unsigned long long)seen->states);
}

static void test_survive_crashes_after_a_failed_call(void **state)
{
	struct seen seen = { 0 };

	(void)state;
	run_faults(kv_history_seed(1), 151, &seen);
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

			c.ops = &lsm_engine;
			c.seed = 7;
			c.every = UINT32_MAX;
			if (kv_crash_run(&c, &r))
				fail_msg("%s ./lsm_crash_tests", r.failed);
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
		run_faults(seed, 23, &failing);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_survive_every_crash),
		LEAK_CHECKED(test_survive_crashes_after_a_failed_call),
		LEAK_CHECKED(test_repeat_a_history_by_its_seed),
		LEAK_CHECKED(test_torture),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
