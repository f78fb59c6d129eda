/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * log_fuzz_tests.c - the log's fuzz target without a fuzzer; see fuzz_tests.h.
 */
#include "fuzz_tests.h"
#include "log_fuzz.h"

static void test_good_logs_are_read(void **state)
{
	uint8_t *seed = malloc(fuzz_target.max);
	unsigned int i;

	(void)state;
	assert_non_null(seed);
	for (i = 0; i < fuzz_target.seeds; i++) {
		size_t n = fuzz_target.seed(i, seed);

		assert_true(n > fuzz_target.head);
		(void)LLVMFuzzerTestOneInput(seed, n);
		/* The cut between two files is in 256ths: there only no crash is asked for. */
		if (!(seed[0] & FUZZ_TWO_FILES))
			assert_true(fuzz_result() >= 6);
	}
	free(seed);
}

static void test_changed_logs_are_read_or_refused(void **state)
{
	unsigned int count = fuzz_count(3000), opened = fuzz_changed(count, 6);

	(void)state;
	assert_true(opened > count / 10);
	assert_true(opened < count);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_logs_are_read),
		cmocka_unit_test(test_changed_logs_are_read_or_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
