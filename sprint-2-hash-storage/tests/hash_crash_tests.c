/* SPDX-License-Identifier: MIT */
/*
 * hash_crash_tests.c - the hash engine through every crash of random histories (see
 * kv_crash.h), with segments and checkpoints so small that sealing, recycling, cleaning
 * and checkpoints happen within them; then with calls to the device that fail on top.
 *
 * kv_crash_suite.h says how to go on for longer.
 */
#include "../../sprint-1-core-memory/tests/leak_check.h"
#include "../hash_engine.h"
#include "kv_crash_suite.h"

#define SMALL "segment_bytes=64k,leaf=16,checkpoint_bytes=60k,clean_percent=10"

static const struct kv_crash_config variants[] = {
	{ .name = "mapped", .options = SMALL ",table=swiss", .steps = 150 },
	{ .name = "written",
	  .options = SMALL ",map=off,table=cuckoo,function=crc32c",
	  .steps = 150 },
	{ .name = "cleaning",
	  .options = "segment_bytes=64k,leaf=16,clean_percent=5,checkpoint_bytes=0,"
		     "table=robin-hood",
	  .steps = 120,
	  .keys = 8,
	  .value_max = 6000 },
	{ .name = "unsynced", .options = SMALL, .steps = 60, .no_sync = true },
	{ .name = "large",
	  .options = SMALL ",table=linear",
	  .steps = 60,
	  .keys = 6,
	  .value_max = 20000,
	  .huge_bytes = 100000 },
	{ .name = "clients",
	  .options = SMALL ",table=chaining",
	  .clients = 3,
	  .keys = 6,
	  .steps = 60,
	  .preempt = 20 },
	{ .name = "clients-written",
	  .options = SMALL ",map=off,group_ms=10",
	  .clients = 2,
	  .keys = 8,
	  .steps = 60,
	  .value_max = 5000,
	  .preempt = 10 },
};

/* ---- calls that fail ---- */

static const struct kv_crash_fault faults[] = {
	{ "sync", 1u << SIM_SYNC, SIM_FAIL, -EIO, NULL, SMALL },
	{ "sync-drop", 1u << SIM_SYNC, SIM_DROP, -EIO, NULL, SMALL },
	{ "sync-written", 1u << SIM_SYNC, SIM_FAIL, -EIO, NULL, SMALL ",map=off" },
	{ "sync-drop-written", 1u << SIM_SYNC, SIM_DROP, -EIO, NULL, SMALL ",map=off" },
	{ "write", 1u << SIM_WRITE, SIM_FAIL, -EIO, NULL, SMALL ",map=off" },
	{ "write-short", 1u << SIM_WRITE, SIM_SHORT, -ENOSPC, NULL, SMALL ",map=off" },
	{ "room", 1u << SIM_ALLOCATE, SIM_FAIL, -ENOSPC, NULL, SMALL },
	{ "names", 1u << SIM_SYNC_DIR | 1u << SIM_RENAME | 1u << SIM_UNLINK, SIM_FAIL,
	  -EIO, NULL, SMALL },
	{ "open", 1u << SIM_OPEN | 1u << SIM_MKDIR, SIM_FAIL, -EMFILE, NULL, SMALL },
	{ "truncate", 1u << SIM_TRUNCATE | 1u << SIM_MAP, SIM_FAIL, -EIO, NULL, SMALL },
};

const struct kv_crash_suite crash_suite = {
	.program = "hash_crash_tests",
	.ops = &hash_engine,
	.variant = variants,
	.variants = sizeof(variants) / sizeof(variants[0]),
	.fault = faults,
	.faults = sizeof(faults) / sizeof(faults[0]),
	.quick = { .every = 1,
		   .samples = 2,
		   .exhaustive = 16,
		   .thorough = 3,
		   .again = 100 },
	.torture = { .every = 1,
		     .samples = 4,
		     .exhaustive = 64,
		     .thorough = 1,
		     .again = 40 },
	.least = 10000,
	.failing = { .steps = 100, .keys = 8, .value_max = 5000 },
	.failing_every = 9,
	.failing_every_in_torture = 1,
	.counter = { { "segments_cleaned", 0 },
		     { "checkpoints", 0 },
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
