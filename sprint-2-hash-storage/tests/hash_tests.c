/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_tests.c - the hash engine held to kv.h: conformance and random histories, over every
 * collision strategy, with and without maps, with leaves and segments so small that
 * splitting, sealing and cleaning happen all the time.
 */
#include "../hash_engine.h"
#include "kv_variants.h"

#define SMALL "segment_bytes=64k,leaf=16,clean_percent=20,checkpoint_bytes=200000"

static const char *const options[] = {
	"",
	SMALL ",table=chaining",
	SMALL ",table=linear,function=fnv1a",
	SMALL ",table=robin-hood,function=crc32c",
	SMALL ",table=cuckoo,function=xxh64,map=off",
	SMALL ",table=swiss",
};

/* What the home sees of an engine is how it uses files, not its tables. */
static const char *const uring_options[] = { "", SMALL ",map=off" };

static const struct kv_variants variants = { &hash_engine, options,
					     sizeof(options) / sizeof(options[0]) };
static const struct kv_variants uring_variants = {
	&hash_engine, uring_options, sizeof(uring_options) / sizeof(uring_options[0])
};

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
	kv_variants_conform(&variants, env_posix());
}

static void test_histories(void **state)
{
	(void)state;
	kv_variants_few_keys(&variants, env_posix());
}

static void test_conformance_on_io_uring(void **state)
{
	(void)state;
	kv_variants_conform(&uring_variants, uring_or_skip());
}

static void test_histories_on_io_uring(void **state)
{
	(void)state;
	kv_variants_few_keys(&uring_variants, uring_or_skip());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_conformance),
		LEAK_CHECKED(test_histories),
		LEAK_CHECKED(test_conformance_on_io_uring),
		LEAK_CHECKED(test_histories_on_io_uring),
	};

	return cmocka_run_group_tests(tests, make_scratch_in_memory, drop_scratch);
}
