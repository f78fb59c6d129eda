/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * vec128_tests.c - the 128-bit vectors: what this machine has against the plain C.
 */
#include "core_random.h"

#include <setjmp.h>

#include <cmocka.h>

#include "vec128_as_scalar128.h"

#include "../vec128.h"

static int set_up(void **state)
{
	(void)state;
	core_random_start();
	return 0;
}

enum { PATTERNS = 80 };

/* Sixteen bytes each: uniform ones, single lanes, words around the sign, then noise. */
static void make_patterns(uint8_t pattern[PATTERNS][16])
{
	static const uint8_t uniform[] = { 0x00, 0x01, 0x7f, 0x80, 0x81, 0xfe, 0xff };
	static const uint32_t words[] = { 0,          1,          0x7fffffff,
					  0x80000000, 0x80000001, 0xffffffff };
	size_t n = 0, i, k;

	for (i = 0; i < sizeof(uniform); i++)
		memset(pattern[n++], uniform[i], 16);
	for (i = 0; i < 16; i++, n++) {
		memset(pattern[n], 0, 16);
		pattern[n][i] = i % 2 ? 0x80 : 0x01;
	}
	for (i = 0; i < 6; i++, n++)
		for (k = 0; k < 4; k++)
			memcpy(pattern[n] + 4 * k, &words[(i + k) % 6], 4);
	for (; n < PATTERNS; n++) {
		core_random_bytes(pattern[n], 16);
		/* Near another, so that lanes are equal, or differ by one. */
		if (n % 2)
			memcpy(pattern[n], pattern[n - 1], 4 + core_random_below(13));
		pattern[n][core_random_below(16)]++;
	}
}

static void expect_vector(const char *what, const uint8_t *a, const uint8_t *b,
			  const vec128 native, const scalar128 want)
{
	uint8_t got[16];
	int i;

	vec128_store(got, native);
	if (!memcmp(got, want.b, 16))
		return;
	for (i = 0; i < 16; i++)
		print_error("lane %2d: %s of %02x and %02x is %02x, expected %02x\n", i,
			    what, a[i], b[i], got[i], want.b[i]);
	fail();
}

static void expect_pair(const uint8_t *a, const uint8_t *b)
{
	vec128 x = vec128_load(a), y = vec128_load(b);
	scalar128 p = scalar128_load(a), q = scalar128_load(b);

#define EXPECT(name) \
	expect_vector(#name, a, b, vec128_##name(x, y), scalar128_##name(p, q))
	EXPECT(and);
	EXPECT(or);
	EXPECT(xor);
	EXPECT(add8);
	EXPECT(add32);
	EXPECT(equal8);
	EXPECT(equal32);
	EXPECT(min8);
	EXPECT(max8);
#undef EXPECT
	assert_int_equal(vec128_less32_mask(x, y), scalar128_less32_mask(p, q));
	assert_int_equal(vec128_mask8(vec128_equal8(x, y)),
			 scalar128_mask8(scalar128_equal8(p, q)));
	assert_int_equal(vec128_is_zero(vec128_xor(x, y)), !memcmp(a, b, 16));
}

static void test_vec128_native_equals_scalar_on_pairs(void **state)
{
	uint8_t pattern[PATTERNS][16];
	size_t i, k;

	(void)state;
	make_patterns(pattern);
	for (i = 0; i < PATTERNS; i++) {
		vec128 v = vec128_load(pattern[i]);
		scalar128 s = scalar128_load(pattern[i]);

		assert_int_equal(vec128_mask8(v), scalar128_mask8(s));
		assert_int_equal(vec128_is_zero(v), scalar128_is_zero(s));
		for (k = 0; k < PATTERNS; k++)
			expect_pair(pattern[i], pattern[k]);
	}
}

static void test_vec128_splat_fills_every_lane(void **state)
{
	static const uint32_t words[] = { 0, 1, 0x01020304, 0x80000000, 0xfffffffe };
	uint8_t got[16];
	size_t i, lane;

	(void)state;
	for (i = 0; i < 256; i++) {
		vec128_store(got, vec128_splat8((uint8_t)i));
		assert_true(core_is_filled(got, 16, (uint8_t)i));
		assert_int_equal(scalar128_mask8(scalar128_splat8((uint8_t)i)),
				 vec128_mask8(vec128_splat8((uint8_t)i)));
	}
	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		scalar128 want = scalar128_splat32(words[i]);

		vec128_store(got, vec128_splat32(words[i]));
		assert_memory_equal(got, want.b, 16);
		for (lane = 0; lane < 4; lane++)
			assert_memory_equal(got + 4 * lane, &words[i], 4);
	}
}

static void test_vec128_loads_and_stores_at_any_address(void **state)
{
	_Alignas(16) uint8_t from[48], to[48];
	size_t at;

	(void)state;
	core_random_bytes(from, sizeof(from));
	for (at = 0; at <= 32; at++) {
		memset(to, 0xee, sizeof(to));
		vec128_store(to + at, vec128_load(from + at));
		assert_memory_equal(to + at, from + at, 16);
		assert_true(core_is_filled(to, at, 0xee));
		assert_true(core_is_filled(to + at + 16, 32 - at, 0xee));
	}
	memset(to, 0xee, sizeof(to));
	vec128_store_aligned(to + 16, vec128_load_aligned(from + 32));
	assert_memory_equal(to + 16, from + 32, 16);
	assert_true(core_is_filled(to, 16, 0xee));
	assert_true(core_is_filled(to + 32, 16, 0xee));
}

/* Answers worked out by hand: what native and scalar might both have wrong. */
static void test_vec128_known_answers(void **state)
{
	static const uint8_t tags[16] = {
		9, 7, 3, 7, 0, 0, 0, 7, 0, 0, 0, 0, 7, 0, 0, 7
	};
	static const uint32_t a[4] = { 1, 0xffffffff, 7, 0x7fffffff };
	static const uint32_t b[4] = { 2, 0, 7, 0x80000000 };
	static const uint32_t sum[4] = { 3, 0xffffffff, 14, 0xffffffff };
	uint8_t low[16] = { 0x80 }, high[16] = { [15] = 0x80 }, got[16];
	vec128 x = vec128_load(a), y = vec128_load(b);
	uint32_t mask;

	(void)state;
	mask = vec128_mask8(vec128_equal8(vec128_load(tags), vec128_splat8(7)));
	assert_int_equal(mask, 1 << 1 | 1 << 3 | 1 << 7 | 1 << 12 | 1 << 15);
	assert_int_equal(__builtin_ctz(mask), 1);
	assert_int_equal(vec128_mask8(vec128_load(low)), 1);
	assert_int_equal(vec128_mask8(vec128_load(high)), 1 << 15);
	assert_int_equal(vec128_less32_mask(x, y), 1 << 0 | 1 << 3);
	assert_int_equal(vec128_less32_mask(y, x), 1 << 1);
	vec128_store(got, vec128_add32(x, y));
	assert_memory_equal(got, sum, 16);
	vec128_store(got, vec128_add8(vec128_splat8(0xff), vec128_splat8(2)));
	assert_true(core_is_filled(got, 16, 1));
	vec128_store(got, vec128_min8(vec128_splat8(0x80), vec128_splat8(0x7f)));
	assert_true(core_is_filled(got, 16, 0x7f));
	vec128_store(got, vec128_max8(vec128_splat8(0x80), vec128_splat8(0x7f)));
	assert_true(core_is_filled(got, 16, 0x80));
	assert_false(vec128_is_zero(vec128_load(high)));
	assert_true(vec128_is_zero(vec128_splat8(0)));
}

static void test_vec128_mismatch_finds_the_first_difference(void **state)
{
	enum { LONGEST = 50 };
	uint8_t a[LONGEST + 3], b[LONGEST + 3];
	size_t n, at, from;

	(void)state;
	for (from = 0; from < 3; from++) {
		for (n = 0; n <= LONGEST; n++) {
			core_random_bytes(a, sizeof(a));
			memcpy(b, a, sizeof(a));
			/* What lies beyond the n bytes does not count. */
			if (from + n < sizeof(b))
				b[from + n] ^= 1;
			assert_int_equal(vec128_mismatch(a + from, b + from, n), n);
			for (at = n; at-- > 0;) {
				b[from + at] ^= 0x80;
				assert_int_equal(vec128_mismatch(a + from, b + from, n),
						 at);
			}
		}
	}
}

#define VEC128_TEST(f) cmocka_unit_test_setup(f, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		VEC128_TEST(test_vec128_native_equals_scalar_on_pairs),
		VEC128_TEST(test_vec128_splat_fills_every_lane),
		VEC128_TEST(test_vec128_loads_and_stores_at_any_address),
		VEC128_TEST(test_vec128_known_answers),
		VEC128_TEST(test_vec128_mismatch_finds_the_first_difference),
	};

	printf("# seed 0x%x; vectors by %s\n", CORE_SEED, VEC128_NAME);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
