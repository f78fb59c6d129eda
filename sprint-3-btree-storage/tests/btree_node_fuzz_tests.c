/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_node_fuzz_tests.c - the node's fuzz target without a fuzzer (see fuzz_tests.h).
 */
#include "../../sprint-2-hash-storage/tests/fuzz_tests.h"
#include "btree_node_fuzz.h"

static void test_good_nodes_pass(void **state)
{
	uint8_t *seed = malloc(fuzz_target.max);
	unsigned int i;

	(void)state;
	assert_non_null(seed);
	for (i = 0; i < fuzz_target.seeds; i++) {
		size_t n = fuzz_target.seed(i, seed);

		(void)LLVMFuzzerTestOneInput(seed, n);
		assert_int_equal(fuzz_result(), 0);
		seed[0] ^= BTREE_FUZZ_MEND;
		(void)LLVMFuzzerTestOneInput(seed, n);
		assert_int_equal(fuzz_result(), 0);
	}
	free(seed);
}

static void test_changed_nodes_pass_or_are_refused(void **state)
{
	unsigned int count = fuzz_count(30000), passed = fuzz_changed(count, 6);

	(void)state;
	assert_true(passed > count / 100 && passed < count - count / 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_nodes_pass),
		cmocka_unit_test(test_changed_nodes_pass_or_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
