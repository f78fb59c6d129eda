/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_tests.c - the hash engine held to kv.h: conformance and random histories, over every
 * collision strategy, with and without maps, with leaves and segments so small that
 * splitting, sealing and cleaning happen all the time.
 */
#include "../../sprint-1-core-memory/tests/kv_history.h"
#include "../../sprint-1-core-memory/tests/scratch.h"
#include "../env.h"
#include "../hash_engine.h"

#define SMALL "segment_bytes=64k,leaf=16,clean_percent=20,checkpoint_bytes=200000"

static const char *const variants[] = {
	"",
	SMALL ",table=chaining",
	SMALL ",table=linear,function=fnv1a",
	SMALL ",table=robin-hood,function=crc32c",
	SMALL ",table=cuckoo,function=xxh64,map=off",
	SMALL ",table=swiss",
};

static struct kv_target target(const char *options)
{
	return (struct kv_target){
		.ops = &hash_engine,
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

static void test_histories(void **state)
{
	uint64_t seed = kv_history_seed(1);
	size_t i;

	(void)state;
	print_message("seed %llu\n", (unsigned long long)seed);
	for (i = 0; i < sizeof(variants) / sizeof(variants[0]); i++) {
		struct kv_target t = target(variants[i]);
		struct kv_report r = { .out = stdout };
		struct kv_history_config c = {
			.seed = seed + 1000 * i,
			.histories = 6,
			.steps = 300,
			.reopen = true,
		};

		print_message("options: %s\n", variants[i]);
		assert_int_equal(kv_history_run(&t, &c, &r), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_conformance),
		cmocka_unit_test(test_histories),
	};

	return cmocka_run_group_tests(tests, make_scratch_in_memory, drop_scratch);
}
