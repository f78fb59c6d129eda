/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * fuzz_tests.h - a fuzz target without a fuzzer: inputs that are a few random changes away
 * from good ones, by seed.
 */
#ifndef FUZZ_TESTS_H
#define FUZZ_TESTS_H

#include "../../sprint-1-core-memory/tests/test_scale.h"
#include "fuzz.h"

#include "../../sprint-1-core-memory/port_fault.h"
#include "../../sprint-1-core-memory/tests/core_random.h"

#include <setjmp.h>

#include <cmocka.h>

/* One change of the kinds that fuzzers make; returns the new size. */
static inline size_t fuzz_change(uint8_t *p, size_t n)
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
		return at > fuzz_target.head ? at : n;
	case 4: /* zeros */
		memset(p + at, 0, len < n - at ? len : n - at);
		return n;
	default: /* a piece of it elsewhere */
		len = len < n - at ? len : n - at;
		memmove(p + core_random_below(n - len + 1), p + at, len);
		return n;
	}
}

/* Changes the first `few` seeds mostly (they hold the same kinds of things as the others,
 * and are small) and runs what comes of it; returns how many could be opened. */
static inline unsigned int fuzz_changed(unsigned int count, unsigned int few)
{
	uint8_t *input = malloc(fuzz_target.max);
	unsigned int i, k, opened = 0;

	assert_non_null(input);
	core_random_start();
	for (i = 0; i < count; i++) {
		unsigned int which =
			(unsigned int)core_random_below(i % 16 ? few : fuzz_target.seeds);
		size_t n = fuzz_target.seed(which, input);

		for (k = 0; k < 1 + core_random_below(6); k++)
			n = fuzz_change(input, n);
		(void)LLVMFuzzerTestOneInput(input, n);
		opened += fuzz_result() >= 0;
	}
	free(input);
	print_message("seed 0x%x: %u of %u opened\n", CORE_SEED, opened, count);
	assert_int_equal(port_fault_live(), 0);
	return opened;
}

static inline unsigned int fuzz_count(unsigned int usual)
{
	const char *torture = getenv("KV_TORTURE");

	return torture ? 200000 : (unsigned int)test_draws(usual);
}

#endif /* FUZZ_TESTS_H */
