/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_tests.c - the LSM engine held to kv.h: conformance and random histories, under every
 * style of compaction, with values apart from their keys and beside them, and with memtables
 * and tables so small that flushes and compactions happen all the time.
 */
#include "../../sprint-2-hash-storage/tests/kv_variants.h"
#include "../lsm_engine.h"
#include "lsm_packed.h"

#define SMALL                                                                                  \
	"memory_bytes=4m,memtable_bytes=16k,segment_bytes=64k,table_bytes=8k,block_bytes=512," \
	"level_bytes=32k,ratio=3,flushed_runs=2"

static const char *const options[] = {
	"",
	SMALL ",style=lazy",
	SMALL ",style=leveled,access=read,blob_bytes=0,restart_interval=1",
	SMALL ",style=tiered,access=read,map=off,blob_bytes=16,cache=lru",
	SMALL ",style=lazy,access=map,record_percent=0,threads=2,parts=3,filter_bits=0",
	SMALL ",style=leveled,access=read," PACKED ",memtables=2,huge=off",
};

static const struct kv_variants variants = { &lsm_engine, options,
					     sizeof(options) / sizeof(options[0]) };

static void test_conformance(void **state)
{
	(void)state;
	kv_variants_conform(&variants, env_posix());
}

static void test_histories(void **state)
{
	(void)state;
	kv_variants_few_keys(&variants, env_posix());
}

static void test_histories_of_many_keys(void **state)
{
	(void)state;
	kv_variants_many_keys(&variants, env_posix());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_conformance),
		LEAK_CHECKED(test_histories),
		LEAK_CHECKED(test_histories_of_many_keys),
	};

	return cmocka_run_group_tests(tests, make_scratch_in_memory, drop_scratch);
}
