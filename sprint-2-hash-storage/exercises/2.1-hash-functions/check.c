/* SPDX-License-Identifier: MIT */
/*
 * check.c - grades exercise 2.1: hash functions, one key at a time and several.
 */
#include "../../../harness/learn/learn.h"
#include "../../hash_function.h"

#define HEADER "sprint-2-hash-storage/hash_function.h"
#define INNER  "sprint-2-hash-storage/hash_function_internal.h"
#define SOURCE "the comment at the top of sprint-2-hash-storage/neon_hash.c"

enum { LONGEST = 200 };

/* Byte i of the n-th key; no two keys of a length are equal. */
static uint8_t byte_of(size_t n, size_t i)
{
	return (uint8_t)((i * 131 + n * 7 + 17) ^ (i >> 3));
}

static const struct hash_function *function(const char *name)
{
	const struct hash_function *f = hash_function_find(name);

	learn_pointer(name, f);
	return f;
}

struct golden {
	uint64_t seed;
	size_t len;
	uint64_t hash;
};

static void compare(const char *name, const struct golden *g, size_t n)
{
	uint8_t key[LONGEST];
	size_t i, k;

	for (i = 0; i < n; i++) {
		for (k = 0; k < g[i].len; k++)
			key[k] = byte_of(0, k);
		learn_number(learn_text("%s with seed %llu of %zu bytes", name,
					(unsigned long long)g[i].seed, g[i].len),
			     function(name)->scalar(g[i].seed, g[i].len ? key : NULL,
						    g[i].len),
			     g[i].hash);
	}
}

static void test_fnv1a_of_one_key(void **state)
{
	static const struct golden g[] = {
		{ 0x0, 0, 0xf52a15e9a9b5e89b },
		{ 0x1, 1, 0x1c7b725ab99399c0 },
		{ 0x123456789abcdef, 3, 0x1f69309fe3a9a418 },
		{ 0x0, 4, 0xc2854290ba89f873 },
		{ 0x1, 7, 0x8ace0773804659b3 },
		{ 0x123456789abcdef, 8, 0xd4775bba19255019 },
		{ 0x0, 9, 0x902c79087c1a7c10 },
		{ 0x1, 16, 0x54deb98e33a6206f },
		{ 0x123456789abcdef, 29, 0xc22faa32fe8b8ed1 },
		{ 0x0, 64, 0x1a20b81dc052d6c1 },
		{ 0x1, 150, 0xe4c48716a7c561fa },
	};

	(void)state;
	compare("fnv1a", g, sizeof(g) / sizeof(g[0]));
}

static void test_crc32c_of_one_key(void **state)
{
	static const struct golden g[] = {
		{ 0x0, 0, 0x48218226ff3cd4bf },
		{ 0x1, 1, 0xa30002311b08733d },
		{ 0x123456789abcdef, 3, 0x68ccbbdd068262d5 },
		{ 0x0, 4, 0x25fe973aae2466df },
		{ 0x1, 7, 0x7a6130f0ed67838d },
		{ 0x123456789abcdef, 8, 0xabea2bfd27504f2 },
		{ 0x0, 9, 0xb4999b12b8aed657 },
		{ 0x1, 16, 0x762c161b60b8db5e },
		{ 0x123456789abcdef, 29, 0xe528de3fa08a7ad4 },
		{ 0x0, 64, 0x1732ff9fbb0fdf33 },
		{ 0x1, 150, 0xd31c941a7f6966c6 },
	};

	(void)state;
	compare("crc32c", g, sizeof(g) / sizeof(g[0]));
}

static void test_every_bit_counts(void **state)
{
	static const char *const name[] = { "fnv1a", "crc32c" };
	uint8_t key[40];
	size_t f, n, bit;
	uint64_t hash;

	(void)state;
	for (f = 0; f < 2; f++)
		for (n = 1; n <= sizeof(key); n++) {
			memset(key, 0, sizeof(key));
			hash = function(name[f])->scalar(1, key, n);
			learn_expect(hash != function(name[f])->scalar(2, key, n),
				     "another hash with another seed", "the same of %s",
				     name[f]);
			learn_expect(hash != function(name[f])->scalar(1, key, n - 1),
				     "another hash with another length", "the same of %s",
				     name[f]);
			for (bit = 0; bit < n * 8; bit++) {
				key[bit / 8] ^= (uint8_t)(1 << bit % 8);
				learn_expect(
					hash != function(name[f])->scalar(1, key, n),
					learn_text("another hash when bit %zu of %zu "
						   "bytes is another",
						   bit, n),
					"the same of %s", name[f]);
				key[bit / 8] ^= (uint8_t)(1 << bit % 8);
			}
		}
}

/* A key in memory of its own, so that a checker sees who reads beyond it. */
static struct kv_slice key_new(size_t number, size_t n)
{
	uint8_t *p = port_alloc(n ? n : 1);
	size_t i;

	learn_pointer("memory for a key", p);
	for (i = 0; i < n; i++)
		p[i] = byte_of(number, i);
	return kv_slice(p, n);
}

static void many_equals_one(const char *name)
{
	enum { KEYS = 11 };
	const struct hash_function *f = function(name);
	struct kv_slice key[KEYS];
	uint64_t hash[KEYS + 1];
	size_t round, i, n;

	for (round = 0; round < 300; round++) {
		n = learn_random(KEYS + 1);
		for (i = 0; i < n; i++)
			key[i] = key_new(i, learn_random(round % 3 ? 40 : LONGEST));
		memset(hash, 0x5a, sizeof(hash));
		f->many(round, key, n, hash);
		for (i = 0; i < n; i++)
			learn_number(
				learn_text("%s of key %zu of %zu at once, %zu bytes, "
					   "as of it alone",
					   name, i, n, key[i].len),
				hash[i], f->scalar(round, key[i].data, key[i].len));
		learn_number("what stands behind the last hash", hash[n],
			     0x5a5a5a5a5a5a5a5aull);
		for (i = 0; i < n; i++)
			port_free((void *)key[i].data);
	}
}

static void test_fnv1a_of_many_keys(void **state)
{
	(void)state;
	many_equals_one("fnv1a");
}

static void test_crc32c_of_many_keys(void **state)
{
	(void)state;
	many_equals_one("crc32c");
}

static void test_keys_are_compared_to_the_last_byte(void **state)
{
	size_t n, i;

	(void)state;
	for (n = 0; n <= LONGEST; n++) {
		struct kv_slice a = key_new(3, n), b = key_new(3, n);
		uint8_t *p = (uint8_t *)b.data;

		learn_expect(hash_key_equal(a.data, b.data, n),
			     learn_text("true for two equal keys of %zu bytes", n),
			     "false");
		for (i = 0; i < n; i++) {
			p[i] ^= 0x80;
			learn_expect(!hash_key_equal(a.data, b.data, n),
				     learn_text("false for keys of %zu bytes that differ "
						"in byte %zu",
						n, i),
				     "true");
			p[i] ^= 0x80;
		}
		port_free((void *)a.data);
		port_free(p);
	}
}

static void bench_many(const char *name, uint64_t n)
{
	static uint8_t bytes[4][160];
	struct kv_slice key[4];
	uint64_t hash[4];
	size_t i;

	for (i = 0; i < 4; i++)
		key[i] = kv_slice(bytes[i], sizeof(bytes[i]));
	for (; n; n--) {
		hash_function_find(name)->many(n, key, 4, hash);
		bytes[0][0] ^= (uint8_t)hash[3];
	}
}
static void bench_fnv1a(uint64_t n)
{
	bench_many("fnv1a", n);
}
static void bench_crc32c(uint64_t n)
{
	bench_many("crc32c", n);
}
static void bench_equal(uint64_t n)
{
	static uint8_t a[512], b[512];

	for (; n; n--)
		a[0] ^= (uint8_t)!hash_key_equal(a, b, sizeof(a));
}

static const struct learn_test tests[] = {
	LEARN_TEST(test_fnv1a_of_one_key, 2, INNER),
	LEARN_TEST(test_crc32c_of_one_key, 2, INNER),
	LEARN_TEST(test_every_bit_counts, 1, HEADER),
	LEARN_TEST(test_fnv1a_of_many_keys, 3, SOURCE),
	LEARN_TEST(test_crc32c_of_many_keys, 3, SOURCE),
	LEARN_TEST(test_keys_are_compared_to_the_last_byte, 2, HEADER),
};
static const struct learn_speed speeds[] = {
	{ "fnv1a of 4 keys", bench_fnv1a, 5000 },
	{ "crc32c of 4 keys", bench_crc32c, 20000 },
	{ "equal, 512 bytes", bench_equal, 100000 },
};

LEARN_MAIN(tests, speeds)
