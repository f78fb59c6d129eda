/* SPDX-License-Identifier: MIT */
/*
 * peer_tests.c - the libraries' adapters keep to kv.h: the conformance suite, random
 * histories against the array, failing allocations, options.
 *
 * What processes and durability add is in peer_process_tests.c.
 */
#include "peer_fixture.h"

#include "../../sprint-1-core-memory/tests/kv_conformance.h"
#include "../../sprint-1-core-memory/tests/kv_history.h"
#include "test_scale.h"

static struct kv_target target_of(const struct engine_info *e, const char *options)
{
	return (struct kv_target){
		.ops = e->ops,
		.options = options,
		.scratch = peer_scratch,
		.remove_store = peer_remove_store,
		.huge_value = 2 << 20,
	};
}

static void test_conforms(void **state)
{
	struct kv_target t = target_of(peer_of(state), PEER_MEMORY ",durability=none");
	struct kv_report r = { .out = stdout, .verbose = getenv("KV_VERBOSE") };

	assert_int_equal(kv_conformance(&t, &r), 0);
	if (!getenv("KV_CHECK"))
		assert_true(r.passed > 30);
}

static void test_follows_histories(void **state)
{
	static const char *const options[] = {
		PEER_MEMORY ",durability=none",
		PEER_MEMORY ",durability=group,group_ms=5",
		PEER_MEMORY ",durability=sync",
	};
	struct kv_report r = { .out = stdout };
	struct kv_history_config c = {
		.seed = kv_history_seed(0x5eed0003),
		.histories = (unsigned int)test_draws(8),
		.reopen = true,
	};
	size_t i;

	printf("# KV_SEED=0x%llx\n", (unsigned long long)c.seed);
	if (!c.histories)
		c.histories = 1;
	for (i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		struct kv_target t = target_of(peer_of(state), options[i]);

		printf("# %s\n", options[i]);
		assert_int_equal(kv_history_run(&t, &c, &r), 0);
	}
}

int main(void)
{
	static struct peer_tests t;

	peer_tests_add(&t, "conforms", test_conforms, 0);
	peer_tests_add(&t, "follows_histories", test_follows_histories, 0);
	return peer_tests_run("peers", &t);
}
