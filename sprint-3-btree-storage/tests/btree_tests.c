/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_tests.c - the B+tree engine held to kv.h: conformance and random histories, with
 * nodes so small that they split and merge all the time, with pages of all sizes, little
 * memory, and checkpoints after each few writes.
 */
#include "../../sprint-1-core-memory/tests/kv_history.h"
#include "../../sprint-1-core-memory/tests/leak_check.h"
#include "../../sprint-1-core-memory/tests/scratch.h"
#include "../../sprint-2-hash-storage/env.h"
#include "../btree_engine.h"

#define SMALL "segment_bytes=64k,checkpoint_bytes=64k"

static const char *const variants[] = {
	"",
	SMALL ",max_keys=4",
	SMALL ",max_keys=5,overflow_bytes=64,map=off",
	SMALL ",page_bytes=8k,max_keys=16,huge=off",
	SMALL ",page_bytes=64k,memory_bytes=4m",
	SMALL ",memory_bytes=256k",
};

static struct kv_target target(const char *options)
{
	return (struct kv_target){
		.ops = &btree_engine,
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

/* So many keys that trees of several levels grow and shrink. */
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
