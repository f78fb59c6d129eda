/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * store_fuzz_tests.c - the fuzz target of STORE and of the hash engine's records without a
 * fuzzer (see fuzz_tests.h), and words of STORE that lie behind a right checksum.
 */
#include "fuzz_tests.h"
#include "hash_fuzz.h"
#include "store_fuzz.h"

static void test_good_stores_are_read(void **state)
{
	static const enum hash_fuzz_kind kinds[] = { HASH_FUZZ_CLOSED, HASH_FUZZ_BEHIND,
						     HASH_FUZZ_RETIRED };
	uint8_t *seed = malloc(fuzz_target.max);
	unsigned int i;

	(void)state;
	assert_non_null(seed);
	for (i = 0; i < fuzz_target.seeds; i++) {
		size_t n = fuzz_target.seed(i, seed);

		(void)LLVMFuzzerTestOneInput(seed, n);
		assert_int_equal(fuzz_result(), hash_fuzz_store(kinds[i / 2 % 3])->pairs);
	}
	free(seed);
}

static void test_changed_stores_are_read_or_refused(void **state)
{
	unsigned int count = fuzz_count(3000), opened = fuzz_changed(count, 4);

	(void)state;
	assert_true(opened > count / 10);
	assert_true(opened < count);
}

static void test_identity_that_cannot_be_is_refused(void **state)
{
	static const size_t places[] = { 8, 12, 32, 40 };
	static const uint64_t lies[] = { 0,          1,          3000,       1ull << 15,
					 1ull << 33, 1ull << 40, 1ull << 63, UINT64_MAX };
	uint8_t *input = malloc(fuzz_target.max);
	size_t i, k;

	(void)state;
	assert_non_null(input);
	for (i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		for (k = 0; k < sizeof(lies) / sizeof(lies[0]); k++) {
			size_t n = fuzz_target.seed(0, input);
			bool same = port_get_le64(input + STORE_FUZZ_HEAD + places[i]) ==
				    lies[k];

			port_put_le64(input + STORE_FUZZ_HEAD + places[i], lies[k]);
			(void)LLVMFuzzerTestOneInput(input, n);
			assert_true(fuzz_result() == -EBADMSG ||
				    fuzz_result() == -EPROTONOSUPPORT || same ||
				    places[i] == 12);
		}
	free(input);
	assert_int_equal(port_fault_live(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_stores_are_read),
		cmocka_unit_test(test_identity_that_cannot_be_is_refused),
		cmocka_unit_test(test_changed_stores_are_read_or_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
