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

/* What the home sees of an engine is how it uses files, not its tables. */
static const char *const uring_variants[] = { "", SMALL ",map=off" };

enum {
	VARIANTS = sizeof(variants) / sizeof(variants[0]),
	URING_VARIANTS = sizeof(uring_variants) / sizeof(uring_variants[0]),
};

static struct kv_target target(struct env *env, const char *options)
{
	return (struct kv_target){
		.ops = &hash_engine,
		.options = options,
		.env = env,
		.scratch = scratch,
		.remove_store = scratch_remove,
	};
}

static void check_conformance(struct env *env, const char *const *options, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		struct kv_target t = target(env, options[i]);
		struct kv_report r = { .out = stdout };

		print_message("options: %s\n", options[i]);
		assert_int_equal(kv_conformance(&t, &r), 0);
		assert_true(r.passed > 20);
	}
}

static void check_histories(struct env *env, const char *const *options, size_t n)
{
	uint64_t seed = kv_history_seed(1);
	size_t i;

	print_message("seed %llu\n", (unsigned long long)seed);
	for (i = 0; i < n; i++) {
		struct kv_target t = target(env, options[i]);
		struct kv_report r = { .out = stdout };
		struct kv_history_config c = {
			.seed = seed + 1000 * i,
			.histories = 6,
			.steps = 300,
			.reopen = true,
		};

		print_message("options: %s\n", options[i]);
		assert_int_equal(kv_history_run(&t, &c, &r), 0);
	}
}

static struct env *uring_or_skip(void)
{
	struct kv_msg why = { "" };
	struct env *env = NULL;

	if (env_uring(&env, &why)) {
		print_message("%s\n", why.text);
		skip();
	}
	return env;
}

static void test_conformance(void **state)
{
	(void)state;
	check_conformance(env_posix(), variants, VARIANTS);
}

static void test_histories(void **state)
{
	(void)state;
	check_histories(env_posix(), variants, VARIANTS);
}

static void test_conformance_on_io_uring(void **state)
{
	(void)state;
	check_conformance(uring_or_skip(), uring_variants, URING_VARIANTS);
}

static void test_histories_on_io_uring(void **state)
{
	(void)state;
	check_histories(uring_or_skip(), uring_variants, URING_VARIANTS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_conformance),
		cmocka_unit_test(test_histories),
		cmocka_unit_test(test_conformance_on_io_uring),
		cmocka_unit_test(test_histories_on_io_uring),
	};

	return cmocka_run_group_tests(tests, make_scratch_in_memory, drop_scratch);
}
