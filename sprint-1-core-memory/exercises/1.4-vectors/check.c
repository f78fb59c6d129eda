/* SPDX-License-Identifier: MIT */
/*
 * check.c - grades exercise 1.4: vectors of 128 bits, in plain C and of this machine.
 */
#include "../../../harness/learn/learn.h"
#include "../../tests/vec128_as_scalar128.h"

#include "../../vec128.h"

#define CHAPTER "docs/sprint-1-core-memory.md, \"Sixteen bytes at once\""
#define HEADER  "sprint-1-core-memory/vec128.h"

static const uint32_t edge[] = { 0,          1,          0x7f,
				 0x80,       0x7fffffff, 0x80000000,
				 0x80000001, 0xfffffffe, 0xffffffff };

static void random_vector(uint8_t p[16])
{
	size_t i;

	for (i = 0; i < 16; i++)
		p[i] = (uint8_t)learn_random(256);
	for (i = 0; i < 4; i++)
		if (learn_random(2))
			memcpy(p + 4 * i, &edge[learn_random(9)], 4);
}

static const char *hex(const uint8_t p[16])
{
	char text[40];
	size_t i;

	for (i = 0; i < 16; i++)
		snprintf(text + 2 * i, 3, "%02x", p[i]);
	return learn_text("%s", text);
}

static uint32_t expected_mask8(const uint8_t p[16])
{
	uint32_t mask = 0;
	unsigned int i;

	for (i = 0; i < 16; i++)
		if (p[i] & 0x80)
			mask |= 1u << i;
	return mask;
}

static uint32_t expected_less32(const uint8_t p[16], const uint8_t q[16])
{
	uint32_t mask = 0, x, y;
	unsigned int i;

	for (i = 0; i < 4; i++) {
		memcpy(&x, p + 4 * i, 4);
		memcpy(&y, q + 4 * i, 4);
		if (x < y)
			mask |= 1u << i;
	}
	return mask;
}

static void expect_mask(const char *what, uint32_t came, uint32_t want)
{
	learn_expect(came == want, learn_text("%s is 0x%04x", what, want), "0x%04x",
		     came);
}

static void test_scalar_mask8(void **state)
{
	uint8_t p[16];
	int i;

	(void)state;
	for (i = 0; i < 1000; i++) {
		random_vector(p);
		expect_mask(learn_text("vec128_mask8() of %s in plain C", hex(p)),
			    scalar128_mask8(scalar128_load(p)), expected_mask8(p));
	}
}

static void test_scalar_less32_mask(void **state)
{
	uint8_t p[16], q[16];
	int i;

	(void)state;
	for (i = 0; i < 1000; i++) {
		random_vector(p);
		random_vector(q);
		expect_mask(learn_text("vec128_less32_mask() of %s and %s in plain C",
				       hex(p), hex(q)),
			    scalar128_less32_mask(scalar128_load(p), scalar128_load(q)),
			    expected_less32(p, q));
	}
}

static void test_machine_mask8(void **state)
{
	uint8_t p[16];
	int i;

	(void)state;
	for (i = 0; i < 1000; i++) {
		random_vector(p);
		expect_mask(learn_text("vec128_mask8() of %s by " VEC128_NAME, hex(p)),
			    vec128_mask8(vec128_load(p)), expected_mask8(p));
	}
}

static void test_machine_less32_mask(void **state)
{
	uint8_t p[16], q[16];
	int i;

	(void)state;
	for (i = 0; i < 1000; i++) {
		random_vector(p);
		random_vector(q);
		expect_mask(
			learn_text("vec128_less32_mask() of %s and %s by " VEC128_NAME,
				   hex(p), hex(q)),
			vec128_less32_mask(vec128_load(p), vec128_load(q)),
			expected_less32(p, q));
	}
}

/* Each length from 0 on, each place of the difference, blocks that end where they end. */
static void test_mismatch_at_each_place(void **state)
{
	size_t n, at;

	(void)state;
	for (n = 0; n <= 70; n++) {
		uint8_t *p = port_alloc(n), *q = port_alloc(n);

		memset(p, 7, n);
		memset(q, 7, n);
		for (at = 0; at <= n; at++) {
			if (at < n)
				q[at] = 8;
			learn_number(
				learn_text("vec128_mismatch() of %zu bytes that differ "
					   "at %zu and not before",
					   n, at),
				vec128_mismatch(p, q, n), at);
			if (at < n)
				q[at] = 7;
		}
		port_free(p);
		port_free(q);
	}
}

static void test_mismatch_finds_the_first_of_several(void **state)
{
	uint8_t p[64], q[64];
	size_t i;

	(void)state;
	memset(p, 0, sizeof(p));
	memset(q, 0, sizeof(q));
	for (i = 63; i >= 3; i -= 3) {
		q[i] = (uint8_t)(0x80 | i);
		learn_number("the first place at which bytes differ",
			     vec128_mismatch(p, q, 64), i);
	}
}

static uint8_t left[4096], right[4096];

static void bench_mismatch(uint64_t n)
{
	volatile size_t sink;

	for (; n; n--) {
		left[n % 16]++;
		right[n % 16]++;
		sink = vec128_mismatch(left, right, sizeof(left));
	}
	(void)sink;
}

static const struct learn_test tests[] = {
	LEARN_TEST(test_scalar_mask8, 1, HEADER),
	LEARN_TEST(test_scalar_less32_mask, 1, HEADER),
	LEARN_TEST(test_machine_mask8, 2, CHAPTER),
	LEARN_TEST(test_machine_less32_mask, 2, CHAPTER),
	LEARN_TEST(test_mismatch_at_each_place, 2, CHAPTER),
	LEARN_TEST(test_mismatch_finds_the_first_of_several, 1, HEADER),
};
static const struct learn_speed speeds[] = { { "mismatch of 4 KiB", bench_mismatch,
					       10000 } };

LEARN_MAIN(tests, speeds)
