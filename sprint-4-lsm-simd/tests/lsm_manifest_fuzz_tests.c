/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_manifest_fuzz_tests.c - the manifest's fuzz target without a fuzzer; see fuzz_tests.h.
 */
#include "../../sprint-2-hash-storage/tests/fuzz_tests.h"

static void test_good_manifests_are_read(void **state)
{
	uint8_t *seed = malloc(fuzz_target.max);
	unsigned int i;

	(void)state;
	assert_non_null(seed);
	for (i = 0; i < fuzz_target.seeds; i++) {
		(void)LLVMFuzzerTestOneInput(seed, fuzz_target.seed(i, seed));
		assert_int_equal(fuzz_result(), i + 1);
	}
	free(seed);
}

static void test_changed_manifests_are_read_or_refused(void **state)
{
	unsigned int count = fuzz_count(100000), opened = fuzz_changed(count, 1);

	(void)state;
	assert_true(opened > count / 20);
	assert_true(opened < count);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_manifests_are_read),
		cmocka_unit_test(test_changed_manifests_are_read_or_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
