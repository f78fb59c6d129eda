/* SPDX-License-Identifier: MIT */
/*
 * lsm_crash_tests.c - the LSM engine through every crash of random histories (see kv_crash.h):
 * in each style of compaction, with values in blob files and beside their keys, with memtables
 * and tables so small that flushes, compactions, whole versions in the manifest and the
 * collection of blob files go on all the time; then with calls to the device that fail on top.
 *
 * kv_crash_suite.h says how to go on for longer. lsm_moment_tests.c looks at single moments closely.
 */
#include "../../sprint-1-core-memory/tests/leak_check.h"
#include "../../sprint-2-hash-storage/tests/kv_crash_suite.h"
#include "../lsm_engine.h"
#include "lsm_packed.h"

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

/* ---- calls that fail ---- */

#define APART SMALL_FLUSH ",blob_bytes=200"

static const struct kv_crash_fault faults[] = {
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

const struct kv_crash_suite crash_suite = {
	.program = "lsm_crash_tests",
	.ops = &lsm_engine,
	.variant = variants,
	.variants = sizeof(variants) / sizeof(variants[0]),
	.fault = faults,
	.faults = sizeof(faults) / sizeof(faults[0]),
	.quick = { .every = 8,
		   .samples = 1,
		   .exhaustive = 4,
		   .thorough = 4,
		   .again = 150 },
	.torture = { .every = 2,
		     .samples = 3,
		     .exhaustive = 16,
		     .thorough = 2,
		     .again = 60 },
	.least = 2000,
	.failing = { .steps = 60, .keys = 16 },
	.failing_every = 151,
	.failing_every_in_torture = 23,
	.failing_when_slow = 1,
	.counter = { { "flushes", 0 },
		     { "compactions", 0 },
		     { "trivial_moves", 0 },
		     { "compaction_dropped", 0 },
		     { "blobs_rewritten", 0 },
		     { "manifest_rollovers", 1 },
		     { "files_unlinked", 0 },
		     { "log_segments_recycled", 0 } },
};

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
