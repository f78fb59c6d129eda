/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * index_fuzz_tests.c - the checkpoint's fuzz target without a fuzzer (see fuzz_tests.h),
 * and inputs made by hand that lie behind a right checksum.
 */
#include "fuzz_tests.h"
#include "hash_fuzz.h"
#include "index_fuzz.h"

static void test_good_checkpoints_are_read(void **state)
{
	uint8_t *seed = malloc(fuzz_target.max);
	unsigned int i;

	(void)state;
	assert_non_null(seed);
	for (i = 0; i < fuzz_target.seeds; i++) {
		size_t n = fuzz_target.seed(i, seed);

		(void)LLVMFuzzerTestOneInput(seed, n);
		assert_int_equal(fuzz_result(),
				 hash_fuzz_store(seed[0] >> INDEX_FUZZ_KIND & 3)->pairs);
	}
	free(seed);
}

static void test_changed_checkpoints_are_read_or_refused(void **state)
{
	unsigned int count = fuzz_count(3000), opened = fuzz_changed(count, 4);

	(void)state;
	assert_true(opened > count / 2);
}

/* A word of the header or of the list says what is not so, and the CRC is right. What
 * follows from it must be in proportion to the file. */
static void test_counts_are_held_against_the_file(void **state)
{
	static const size_t places[] = { 24, 40, 48, 56, 64, 128, 136, 144 };
	static const uint64_t lies[] = { 1,          1ull << 23, 1ull << 24, 1ull << 32,
					 1ull << 40, 1ull << 63, UINT64_MAX };
	uint8_t *input = malloc(fuzz_target.max);
	size_t i, k;
	unsigned int which;

	(void)state;
	assert_non_null(input);
	for (which = 0; which < 6; which += 2)
		for (i = 0; i < sizeof(places) / sizeof(places[0]); i++)
			for (k = 0; k < sizeof(lies) / sizeof(lies[0]); k++) {
				size_t n = fuzz_target.seed(which, input);

				port_put_le64(input + 1 + places[i], lies[k]);
				(void)LLVMFuzzerTestOneInput(input, n);
				assert_true(fuzz_result() >= 0 ||
					    fuzz_result() == -EBADMSG);
			}
	free(input);
	assert_int_equal(port_fault_live(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_checkpoints_are_read),
		cmocka_unit_test(test_counts_are_held_against_the_file),
		cmocka_unit_test(test_changed_checkpoints_are_read_or_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
