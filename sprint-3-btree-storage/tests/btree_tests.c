/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_tests.c - the B+tree engine held to kv.h: conformance and random histories, with
 * nodes so small that they split and merge all the time, with pages of all sizes, little
 * memory, and checkpoints after each few writes.
 */
#include "../../sprint-2-hash-storage/tests/kv_variants.h"
#include "../btree_engine.h"

#define SMALL "segment_bytes=64k,checkpoint_bytes=64k"

static const char *const options[] = {
	"",
	SMALL ",max_keys=4",
	SMALL ",max_keys=5,overflow_bytes=64,map=off",
	SMALL ",page_bytes=8k,max_keys=16,huge=off",
	SMALL ",page_bytes=64k,memory_bytes=4m",
	SMALL ",memory_bytes=256k",
};

static const struct kv_variants variants = { &btree_engine, options,
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
