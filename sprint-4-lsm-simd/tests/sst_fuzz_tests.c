/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * sst_fuzz_tests.c - the fuzz target of tables without a fuzzer; see fuzz_tests.h.
 */
#include "../../sprint-2-hash-storage/tests/fuzz_tests.h"

static void test_good_tables_are_read(void **state)
{
	uint8_t *seed = malloc(fuzz_target.max);
	unsigned int i;

	(void)state;
	assert_non_null(seed);
	for (i = 0; i < fuzz_target.seeds; i++) {
		size_t n = fuzz_target.seed(i, seed);

		assert_true(n > fuzz_target.head && n <= fuzz_target.max);
		(void)LLVMFuzzerTestOneInput(seed, n);
		assert_true(fuzz_result() == 1);
	}
	free(seed);
}

static void test_changed_tables_are_read_or_refused(void **state)
{
	unsigned int count = fuzz_count(6000), opened = fuzz_changed(count, 5);

	(void)state;
	assert_true(opened > count / 20);
	assert_true(opened < count);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_tables_are_read),
		cmocka_unit_test(test_changed_tables_are_read_or_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
