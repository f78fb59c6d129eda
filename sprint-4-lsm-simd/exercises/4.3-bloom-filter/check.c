/* SPDX-License-Identifier: MIT */
/*
 * check.c - grades exercise 4.3: the Bloom filter, scalar and with the vectors of this machine.
 */
#include "../../../harness/learn/learn.h"
#include "../../neon_lsm_ops.h"

#define CHAPTER "docs/sprint-4-lsm-simd.md, \"Filters\""
#define HEADER  "sprint-4-lsm-simd/neon_lsm_ops.c, the layout at its top"

enum { KEYS = 2000, GUARD = 64 };

/* Filters stand between bytes that nobody may touch. */
static uint8_t memory[GUARD + (1 << 16) + GUARD];

static uint8_t *filter_new(size_t bytes)
{
	learn_expect(bytes <= 1 << 16, "a filter of a few KiB for 2000 keys", "%zu bytes",
		     bytes);
	memset(memory, 0xa5, sizeof(memory));
	memset(memory + GUARD, 0, bytes);
	return memory + GUARD;
}

static void expect_guards(size_t bytes)
{
	size_t i;

	for (i = 0; i < GUARD; i++)
		learn_expect(memory[i] == 0xa5 && memory[GUARD + bytes + i] == 0xa5,
			     "bits are set within the filter alone",
			     "bytes %s it have changed",
			     memory[i] == 0xa5 ? "behind" : "before");
}

static uint64_t hash_of(uint64_t i)
{
	uint8_t key[8];

	port_put_le64(key, i);
	return lsm_key_hash(kv_slice(key, 8));
}

static uint64_t bits_set(const uint8_t *p, size_t n)
{
	uint64_t bits = 0;

	while (n--)
		bits += (uint64_t)__builtin_popcount(*p++);
	return bits;
}

static void test_size_is_whole_blocks(void **state)
{
	static const struct {
		size_t n;
		unsigned int bits;
		uint64_t blocks;
	} is[] = {
		{ 0, 10, 0 },    { 1, 1, 1 },      { 51, 10, 1 },
		{ 52, 10, 2 },   { 512, 1, 1 },    { 513, 1, 2 },
		{ 1024, 8, 16 }, { 1000, 20, 40 }, { 100, 64, 13 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(is) / sizeof(*is); i++)
		learn_number(learn_text("lsm_filter_bytes(%zu keys, %u bits)", is[i].n,
					is[i].bits),
			     lsm_filter_bytes(is[i].n, is[i].bits), is[i].blocks * 64);
}

static void test_size_does_not_overflow(void **state)
{
	const size_t n = SIZE_MAX / 32;

	(void)state;
	/* 64 bits a key are 8 bytes, so this is 2^62 bytes; the bits are 2^65. */
	learn_number("lsm_filter_bytes(2^59 keys, 64 bits)",
		     lsm_filter_bytes((size_t)1 << 59, 64), (uint64_t)1 << 62);
	learn_expect(lsm_filter_bytes(n, 10) >= n, "more than a byte a key of 10 bits",
		     "%zu bytes for %zu keys", lsm_filter_bytes(n, 10), n);
}

/* What is on disk: by the layout, computed with other steps. */
static void test_bits_are_those_of_the_layout(void **state)
{
	static const uint32_t odd[] = { 0x24d0473d, 0xfd84afcf, 0x6b7643f3, 0xd82199ff };
	const size_t blocks = 7, bytes = blocks * 64;
	uint8_t want[7 * 64];
	unsigned int probe;
	uint64_t i;

	(void)state;
	for (i = 0; i < 50; i++) {
		const uint64_t h = hash_of(i);
		const size_t block = (size_t)(((h >> 32) * blocks) >> 32);
		uint8_t *f = filter_new(bytes);

		memset(want, 0, sizeof(want));
		for (probe = 0; probe < 4; probe++) {
			uint32_t bit = (uint32_t)h * odd[probe] / (1u << 23);

			want[block * 64 + bit / 8] |= (uint8_t)(1 << bit % 8);
		}
		lsm_filter_add(f, bytes, 4, h);
		expect_guards(bytes);
		learn_bytes(learn_text("a filter of 7 blocks with the key of hash %llx",
				       (unsigned long long)h),
			    f, want, bytes);
	}
}

static void test_added_keys_are_never_denied(void **state)
{
	unsigned int bits, probes;
	uint64_t i;

	(void)state;
	for (bits = 1; bits <= 30; bits++) {
		const size_t bytes = lsm_filter_bytes(KEYS, bits);
		uint8_t *f = filter_new(bytes);

		learn_expect(bytes > 0, "a filter with some bytes", "none");
		probes = lsm_filter_probes(bits);
		for (i = 0; i < KEYS; i++)
			lsm_filter_add(f, bytes, probes, hash_of(i));
		expect_guards(bytes);
		learn_expect(bits_set(f, bytes) > 0, "bits that are set", "none");
		for (i = 0; i < KEYS; i++)
			learn_expect(lsm_filter_test_scalar(f, bytes, probes, hash_of(i)),
				     "the scalar test says true of a key that was added",
				     "false of key %llu, at %u bits a key",
				     (unsigned long long)i, bits);
	}
}

static void test_a_filter_of_nothing_says_maybe(void **state)
{
	uint8_t *f = filter_new(0);

	(void)state;
	lsm_filter_add(f, 0, 6, hash_of(1));
	expect_guards(0);
	learn_expect(lsm_filter_test_scalar(f, 0, 6, hash_of(1)),
		     "a filter of 0 bytes says true of each key", "false");
	f = filter_new(64);
	learn_expect(!lsm_filter_test_scalar(f, 64, 6, hash_of(1)),
		     "an empty filter of one block says false", "true");
}

static uint64_t false_positives(const uint8_t *f, size_t bytes, unsigned int probes,
				bool simd)
{
	uint64_t i, n = 0;

	for (i = 0; i < 20000; i++) {
		const uint64_t h = hash_of(1000000 + i);

		n += simd ? lsm_filter_test_simd(f, bytes, probes, h)
			  : lsm_filter_test_scalar(f, bytes, probes, h);
	}
	return n;
}

static void test_false_positives_are_few(void **state)
{
	const size_t bytes = lsm_filter_bytes(KEYS, 10);
	uint8_t *f = filter_new(bytes);
	uint64_t i, n;

	(void)state;
	for (i = 0; i < KEYS; i++)
		lsm_filter_add(f, bytes, 6, hash_of(i));
	n = false_positives(f, bytes, 6, false);
	learn_expect(n > 50 && n < 500,
		     "about 190 false positives among 20000 keys, at 10 bits a key",
		     "%llu", (unsigned long long)n);
}

static void expect_agreement(unsigned int low, unsigned int high)
{
	const size_t bytes = lsm_filter_bytes(KEYS, 6);
	unsigned int probes;
	uint64_t i;

	for (probes = low; probes <= high; probes++) {
		uint8_t *f = filter_new(bytes);
		uint64_t denied = 0;

		for (i = 0; i < KEYS; i++)
			lsm_filter_add(f, bytes, probes, hash_of(i));
		for (i = 0; i < 4 * KEYS; i++) {
			bool scalar =
				lsm_filter_test_scalar(f, bytes, probes, hash_of(i));
			bool simd = lsm_filter_test_simd(f, bytes, probes, hash_of(i));

			learn_expect(scalar == simd,
				     learn_text("with %u probes, of key %llu, both forms "
						"say %s",
						probes, (unsigned long long)i,
						scalar ? "true" : "false"),
				     "the vectors say %s", simd ? "true" : "false");
			denied += !simd;
		}
		learn_expect(denied > KEYS, "thousands of keys that are denied", "%llu",
			     (unsigned long long)denied);
		expect_guards(bytes);
	}
}

static void test_vectors_agree_with_eight_probes(void **state)
{
	(void)state;
	expect_agreement(8, 8);
}

static void test_vectors_agree_with_fewer_probes(void **state)
{
	(void)state;
	expect_agreement(1, 7);
}

static void test_vectors_agree_beyond_eight_probes(void **state)
{
	(void)state;
	expect_agreement(9, 16);
}

static uint8_t bench_filter[1 << 14];
static uint64_t bench_found; /* so that the tests are not left out */

static void bench_add(uint64_t n)
{
	uint64_t i;

	for (i = 0; i < n; i++)
		lsm_filter_add(bench_filter, sizeof(bench_filter), 6,
			       i * 0x9e3779b97f4a7c15u);
}

static void bench_test(uint64_t n)
{
	uint64_t i;

	for (i = 0; i < n; i++)
		bench_found += lsm_filter_test(bench_filter, sizeof(bench_filter), 12,
					       i * 0x9e3779b97f4a7c15u);
}

static const struct learn_test tests[] = {
	LEARN_TEST(test_size_is_whole_blocks, 1, HEADER),
	LEARN_TEST(test_size_does_not_overflow, 1, HEADER),
	LEARN_TEST(test_bits_are_those_of_the_layout, 3, HEADER),
	LEARN_TEST(test_added_keys_are_never_denied, 2, CHAPTER),
	LEARN_TEST(test_a_filter_of_nothing_says_maybe, 1,
		   "sprint-4-lsm-simd/neon_lsm_ops.h"),
	LEARN_TEST(test_false_positives_are_few, 2, CHAPTER),
	LEARN_TEST(test_vectors_agree_with_eight_probes, 2, CHAPTER),
	LEARN_TEST(test_vectors_agree_with_fewer_probes, 2, CHAPTER),
	LEARN_TEST(test_vectors_agree_beyond_eight_probes, 2, CHAPTER),
};
static const struct learn_speed speeds[] = { { "add", bench_add, 200000 },
					     { "test", bench_test, 400000 } };

LEARN_MAIN(tests, speeds)
