/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_tests.c - the LSM engine held to kv.h: conformance and random histories, under every
 * style of compaction, with values apart from their keys and beside them, and with memtables
 * and tables so small that flushes and compactions happen all the time.
 */
#include "../../sprint-1-core-memory/tests/kv_history.h"
#include "../../sprint-1-core-memory/tests/leak_check.h"
#include "../../sprint-1-core-memory/tests/scratch.h"
#include "../../sprint-2-hash-storage/env.h"
#include "../lsm_engine.h"
#include "lsm_packed.h"

#define SMALL                                                                                  \
	"memory_bytes=4m,memtable_bytes=16k,segment_bytes=64k,table_bytes=8k,block_bytes=512," \
	"level_bytes=32k,ratio=3,flushed_runs=2"

static const char *const variants[] = {
	"",
	SMALL ",style=lazy",
	SMALL ",style=leveled,access=read,blob_bytes=0,restart_interval=1",
	SMALL ",style=tiered,access=read,map=off,blob_bytes=16,cache=lru",
	SMALL ",style=lazy,access=map,record_percent=0,threads=2,parts=3,filter_bits=0",
	SMALL ",style=leveled,access=read," PACKED ",memtables=2,huge=off",
};

static struct kv_target target(const char *options)
{
	return (struct kv_target){
		.ops = &lsm_engine,
		.options = options,
		.env = env_posix(),
		.scratch = scratch,
		.remove_store = scratch_remove,
	};
}

static void test_conformance(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(variants) / sizeof(variants[0]); i++) {
		struct kv_target t = target(variants[i]);
		struct kv_report r = { .out = stdout };

		print_message("options: %s\n", variants[i]);
		assert_int_equal(kv_conformance(&t, &r), 0);
		assert_true(r.passed > 20);
	}
}

static void run_histories(const struct kv_history_config *c)
{
	size_t i;

	print_message("seed %llu\n", (unsigned long long)c->seed);
	for (i = 0; i < sizeof(variants) / sizeof(variants[0]); i++) {
		struct kv_target t = target(variants[i]);
		struct kv_report r = { .out = stdout };
		struct kv_history_config one = *c;

		one.seed += 1000 * i;
		print_message("options: %s\n", variants[i]);
		assert_int_equal(kv_history_run(&t, &one, &r), 0);
	}
}

static void test_histories(void **state)
{
	const struct kv_history_config c = {
		.seed = kv_history_seed(1),
		.histories = 6,
		.steps = 300,
		.reopen = true,
	};

	(void)state;
	run_histories(&c);
}

/* So many keys that there are several levels, which grow and shrink. */
static void test_histories_of_many_keys(void **state)
{
	const struct kv_history_config c = {
		.seed = kv_history_seed(2),
		.histories = 2,
		.steps = 3000,
		.key_space = 1000,
		.key_max = 40,
		.value_max = 400,
		.reopen = true,
	};

	(void)state;
	run_histories(&c);
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
