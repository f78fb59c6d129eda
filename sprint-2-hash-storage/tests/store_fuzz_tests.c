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

/* The first record of a good store, changed behind a right checksum. */
static void test_records_that_cannot_be_are_refused(void **state)
{
	enum { LENGTH = 4, SEQUENCE = 16, TYPE = 23, HEAD = 24 };
	static const struct {
		size_t at, bytes;
		uint64_t value;
	} lies[] = {
		{ SEQUENCE, 7, 9 },                /* written later than it stands */
		{ SEQUENCE, 7, (1ull << 56) - 1 }, /* ... by far */
		{ HEAD, 8, 5 | 8ull << 17 },       /* its older version is itself */
		{ HEAD, 8, 5 | 9ull << 17 },       /* ... or comes after it */
		{ HEAD, 8, (1 << 17) - 1 },        /* a longer key than record */
		{ TYPE, 1, 2 },                    /* a retirement of another length */
		{ TYPE, 1, 3 },                    /* types that nobody writes */
		{ TYPE, 1, 0x0f },
		{ TYPE, 1, 0x40 },
		{ TYPE, 1, 0x80 },
		{ LENGTH, 4, 0 },
	};
	const size_t first = STORE_FUZZ_HEAD + 64 + 64;
	uint8_t *input = malloc(fuzz_target.max), word[8];
	size_t i, n;

	(void)state;
	assert_non_null(input);
	for (i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		n = fuzz_target.seed(0, input);
		port_put_le64(word, lies[i].value);
		memcpy(input + first + lies[i].at, word, lies[i].bytes);
		(void)LLVMFuzzerTestOneInput(input, n);
		if (fuzz_result() != -EBADMSG)
			fail_msg("lie %zu: %d", i, fuzz_result());
	}
	free(input);
	assert_int_equal(port_fault_live(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_stores_are_read),
		cmocka_unit_test(test_identity_that_cannot_be_is_refused),
		cmocka_unit_test(test_records_that_cannot_be_are_refused),
		cmocka_unit_test(test_changed_stores_are_read_or_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
