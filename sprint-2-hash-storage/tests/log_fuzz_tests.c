/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * log_fuzz_tests.c - the fuzz target without a fuzzer: good inputs, and thousands that are
 * a few random changes away from them. `make fuzz` goes further, led by coverage.
 */
#include "../../sprint-1-core-memory/tests/test_scale.h"
#include "log_fuzz.h"

#include "../../sprint-1-core-memory/port_fault.h"
#include "../../sprint-1-core-memory/tests/core_random.h"

#include <setjmp.h>

#include <cmocka.h>

static uint8_t seed[LOG_FUZZ_MAX], input[LOG_FUZZ_MAX];

static void test_good_logs_are_read(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 0; i < LOG_FUZZ_SEEDS; i++) {
		size_t n = log_fuzz_seed(i, seed);

		assert_true(n > LOG_FUZZ_HEAD);
		(void)LLVMFuzzerTestOneInput(seed, n);
		/* The cut between two files is in 256ths: there only no crash is asked for. */
		if (!(seed[0] & FUZZ_TWO_FILES))
			assert_true(log_fuzz_result() >= 6);
	}
}

/* One change of the kinds that fuzzers make; returns the new size. */
static size_t change(uint8_t *p, size_t n)
{
	static const uint32_t odd[] = { 0,          1,          24,        0x7fffffff,
					0x80000000, 0xfffffff0, 0xffffffff };
	size_t at = core_random_below(n), len = 1 + core_random_below(64);

	switch (core_random_below(6)) {
	case 0:
		p[at] ^= (uint8_t)(1u << core_random_below(8));
		return n;
	case 1:
		p[at] = (uint8_t)core_random();
		return n;
	case 2: /* a length or an id that is at the edge of something */
		if (n - at >= 4)
			port_put_le32(p + at, odd[core_random_below(7)]);
		return n;
	case 3: /* cut */
		return at > LOG_FUZZ_HEAD ? at : n;
	case 4: /* zeros */
		memset(p + at, 0, len < n - at ? len : n - at);
		return n;
	default: /* a piece of it elsewhere */
		len = len < n - at ? len : n - at;
		memmove(p + core_random_below(n - len + 1), p + at, len);
		return n;
	}
}

static void test_changed_logs_are_read_or_refused(void **state)
{
	unsigned int count =
		getenv("KV_TORTURE") ? 200000 : (unsigned int)test_draws(3000);
	unsigned int i, k, opened = 0;

	(void)state;
	core_random_start();
	for (i = 0; i < count; i++) {
		/* Small ones mostly: they hold the same kinds of things. */
		unsigned int which =
			(unsigned int)core_random_below(i % 16 ? 6 : LOG_FUZZ_SEEDS);
		size_t n = log_fuzz_seed(which, input);

		for (k = 0; k < 1 + core_random_below(6); k++)
			n = change(input, n);
		(void)LLVMFuzzerTestOneInput(input, n);
		opened += log_fuzz_result() >= 0;
	}
	print_message("%u of %u opened\n", opened, count);
	assert_true(opened > count / 10);
	assert_true(opened < count);
	assert_int_equal(port_fault_live(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_logs_are_read),
		cmocka_unit_test(test_changed_logs_are_read_or_refused),
	};

	print_message("seed 0x%x\n", CORE_SEED);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
