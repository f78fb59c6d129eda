/* SPDX-License-Identifier: MIT */
/*
 * hash_function_tests.c - each hash function's forms against each other and against
 * published values, and the comparison of keys. How well they spread is in
 * hash_quality_tests.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../../sprint-1-core-memory/tests/core_random.h"
#include "../hash_function_internal.h"

enum { LENGTH_MAX = 300, SHIFTS = 16, BATCH_MAX = 20, FUNCTIONS = 4 };

static int set_up(void **state)
{
	(void)state;
	core_random_start();
	return 0;
}

static int say_seed(void **state)
{
	(void)state;
	print_message("seed %#x\n", (unsigned int)CORE_SEED);
	return 0;
}

/* The functions, then the plain stand-in of CRC32C, then NULL. */
static const struct hash_function *nth(size_t i)
{
	return i == FUNCTIONS ? hash_crc32c_plain() : hash_function_get(i);
}

/* A block of exactly n bytes, so that checkers see each read beyond. */
static uint8_t *exact(size_t n)
{
	uint8_t *p = malloc(n ? n : 1);

	assert_non_null(p);
	core_random_bytes(p, n);
	return p;
}

/* ---- the list ---- */

static void test_functions_are_found_by_name_and_number(void **state)
{
	static const char *const name[] = { "fnv1a", "crc32c", "xxh64", "xxh3" };
	size_t i, n = 0;

	(void)state;
	while (hash_function_get(n)) {
		assert_non_null(hash_function_get(n)->help);
		assert_ptr_equal(hash_function_find(hash_function_get(n)->name),
				 hash_function_get(n));
		n++;
	}
	assert_int_equal(n, FUNCTIONS);
	assert_null(hash_function_get(n + 1));
	assert_null(hash_function_get(SIZE_MAX));
	for (i = 0; i < FUNCTIONS; i++)
		assert_string_equal(hash_function_find(name[i])->name, name[i]);
	assert_null(hash_function_find("xxh"));
	assert_null(hash_function_find(""));
	assert_string_equal(hash_crc32c_plain()->name, "crc32c");
}

/* ---- one function, the same bits ---- */

static void check_forms(const struct hash_function *f, uint64_t seed, const void *p,
			size_t n)
{
	struct kv_slice key = kv_slice(p, n);
	uint64_t want = f->scalar(seed, p, n), got = ~want;

	assert_int_equal(f->one(seed, p, n), want);
	f->many(seed, &key, 1, &got);
	assert_int_equal(got, want);
}

static void test_forms_agree_at_each_length_and_alignment(void **state)
{
	const struct hash_function *f;
	size_t n, shift, i;
	uint8_t *p;

	(void)state;
	for (n = 0; n <= LENGTH_MAX; n++)
		for (shift = 0; shift < SHIFTS; shift += n < 80 ? 1 : 5) {
			p = exact(shift + n);
			for (i = 0; (f = nth(i)); i++)
				check_forms(f, core_random(), p + shift, n);
			free(p);
		}
}

static void test_forms_agree_on_long_keys(void **state)
{
	static const size_t length[] = { 1023, 1024, 1025, 4099, KV_KEY_MAX };
	const struct hash_function *f;
	size_t i, l;
	uint8_t *p;

	(void)state;
	for (l = 0; l < sizeof(length) / sizeof(length[0]); l++) {
		p = exact(length[l]);
		for (i = 0; (f = nth(i)); i++) {
			check_forms(f, 0, p, length[l]);
			check_forms(f, core_random(), p, length[l]);
		}
		free(p);
	}
}

static void test_hash_does_not_depend_on_the_address(void **state)
{
	uint8_t bytes[64], moved[64 + SHIFTS];
	const struct hash_function *f;
	size_t i, shift;

	(void)state;
	core_random_bytes(bytes, sizeof(bytes));
	for (shift = 0; shift < SHIFTS; shift++) {
		memcpy(moved + shift, bytes, sizeof(bytes));
		for (i = 0; (f = nth(i)); i++)
			assert_int_equal(f->one(7, bytes, sizeof(bytes)),
					 f->one(7, moved + shift, sizeof(bytes)));
	}
}

static void test_plain_and_instruction_crc32c_agree(void **state)
{
	const struct hash_function *plain = hash_crc32c_plain(),
				   *best = hash_function_find("crc32c");
	uint8_t bytes[LENGTH_MAX];
	size_t n;

	(void)state;
	core_random_bytes(bytes, sizeof(bytes));
	for (n = 0; n <= sizeof(bytes); n++)
		assert_int_equal(best->one(n, bytes, n), plain->one(n, bytes, n));
}

/* ---- batches ---- */

/* Hashes n keys of these lengths at once; what lies behind the n hashes stays. */
static void check_batch(const size_t *length, size_t n)
{
	uint8_t *p[BATCH_MAX];
	struct kv_slice key[BATCH_MAX];
	uint64_t hash[BATCH_MAX + 1], seed = core_random();
	const struct hash_function *f;
	size_t i, k;

	for (k = 0; k < n; k++) {
		p[k] = exact(length[k]);
		key[k] = kv_slice(length[k] ? p[k] : NULL, length[k]);
	}
	for (i = 0; (f = nth(i)); i++) {
		memset(hash, 0xa5, sizeof(hash));
		f->many(seed, key, n, hash);
		for (k = 0; k < n; k++)
			assert_int_equal(hash[k], f->scalar(seed, p[k], length[k]));
		for (; k <= BATCH_MAX; k++)
			assert_int_equal(hash[k], 0xa5a5a5a5a5a5a5a5u);
	}
	for (k = 0; k < n; k++)
		free(p[k]);
}

static void test_batch_of_mixed_lengths(void **state)
{
	static const size_t below[] = { 4, 33, LENGTH_MAX + 1 };
	size_t length[BATCH_MAX], n, k, round;

	(void)state;
	for (n = 0; n <= BATCH_MAX; n++)
		for (round = 0; round < 24; round++) {
			for (k = 0; k < n; k++)
				length[k] = core_random_below(below[round % 3]);
			check_batch(length, n);
		}
}

static void test_batch_of_equal_lengths(void **state)
{
	size_t length[BATCH_MAX], n, k;

	(void)state;
	for (n = 0; n <= LENGTH_MAX; n++) {
		for (k = 0; k < BATCH_MAX; k++)
			length[k] = n;
		check_batch(length, 1 + n % BATCH_MAX);
		if (n < 72)
			check_batch(length, 8);
	}
}

static void test_batch_with_one_key_that_is_empty_or_long(void **state)
{
	size_t length[8], k, odd;

	(void)state;
	for (odd = 0; odd < 8; odd++) {
		for (k = 0; k < 8; k++)
			length[k] = 24;
		length[odd] = 0;
		check_batch(length, 8);
		length[odd] = LENGTH_MAX;
		check_batch(length, 8);
	}
}

static void test_batch_of_the_same_key(void **state)
{
	struct kv_slice key[BATCH_MAX];
	uint64_t hash[BATCH_MAX];
	const struct hash_function *f;
	size_t i, k;

	(void)state;
	for (k = 0; k < BATCH_MAX; k++)
		key[k] = kv_str("user1234567890");
	for (i = 0; (f = nth(i)); i++) {
		f->many(1, key, BATCH_MAX, hash);
		for (k = 0; k < BATCH_MAX; k++)
			assert_int_equal(hash[k], f->one(1, "user1234567890", 14));
	}
}

/* ---- published values ---- */

static uint64_t inverse(uint64_t odd) /* modulo 2^64, by Newton's iteration */
{
	uint64_t x = odd;
	int i;

	for (i = 0; i < 6; i++)
		x *= 2 - odd * x;
	return x;
}

static uint64_t undo_shift(uint64_t z, int by) /* of z ^ z >> by */
{
	uint64_t x = z;
	int i;

	for (i = by; i < 64; i += by)
		x = z ^ x >> by;
	return x;
}

static uint64_t unmix(uint64_t z)
{
	z = undo_shift(z, 31) * inverse(0x94d049bb133111ebu);
	z = undo_shift(z, 27) * inverse(0xbf58476d1ce4e5b9u);
	return undo_shift(z, 30);
}

static void test_mix_is_a_bijection(void **state)
{
	int i;

	(void)state;
	assert_int_equal(hash_mix(0), 0);
	for (i = 0; i < 1000; i++) {
		uint64_t z = core_random();

		assert_int_equal(unmix(hash_mix(z)), z);
		assert_int_equal(hash_mix(unmix(z)), z);
	}
}

/* Before the last step, and with seed 0, it is FNV-1a as its authors published it. */
static void test_fnv1a_is_the_published_one_before_mixing(void **state)
{
	static const struct {
		const char *key;
		uint64_t fnv;
	} known[] = {
		{ "", 0xcbf29ce484222325u },
		{ "a", 0xaf63dc4c8601ec8cu },
		{ "b", 0xaf63df4c8601f1a5u },
		{ "fo", 0x08985907b541d342u },
		{ "foo", 0xdcb27518fed9d577u },
		{ "foob", 0xdd120e790c2512afu },
		{ "fooba", 0xcac165afa2fef40au },
		{ "foobar", 0x85944171f73967e8u },
		{ "chongo was here!\n", 0x46810940eff5f915u },
	};
	const struct hash_function *f = hash_function_find("fnv1a");
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		size_t n = strlen(known[i].key);
		uint64_t h = unmix(f->one(0, known[i].key, n)) ^ n * HASH_GOLDEN;

		assert_int_equal(h, known[i].fnv);
	}
}

/* From the seed whose state begins with ones, the first CRC is the standard's, here by the
 * examples of RFC 3720. */
static void test_crc32c_is_the_published_one_before_mixing(void **state)
{
	const uint64_t seed = unmix(0xffffffff) - HASH_GOLDEN;
	static const uint32_t known[] = { 0x8a9136aa, 0x62a8ab43, 0x46dd794e,
					  0x113fdb5c };
	const struct hash_function *f = hash_function_find("crc32c");
	uint8_t bytes[4][32];
	size_t i;

	(void)state;
	memset(bytes[0], 0, 32);
	memset(bytes[1], 0xff, 32);
	for (i = 0; i < 32; i++) {
		bytes[2][i] = (uint8_t)i;
		bytes[3][i] = (uint8_t)(31 - i);
	}
	for (i = 0; i < 4; i++) {
		uint64_t h = unmix(f->one(seed, bytes[i], 32)) ^ 32 * HASH_GOLDEN;

		assert_int_equal(~(uint32_t)h, known[i]);
	}
}

struct vector {
	size_t n;
	uint64_t seed, hash;
};

#define PRIME32 2654435761u
#define PRIME64 11400714785074694797u

/* The bytes that xxHash's own test vectors are of. */
static void check_xxhash(const char *name, const struct vector *v, size_t count)
{
	const struct hash_function *f = hash_function_find(name);
	uint64_t state = PRIME32;
	uint8_t bytes[512];
	size_t i;

	for (i = 0; i < sizeof(bytes); i++, state *= PRIME64)
		bytes[i] = (uint8_t)(state >> 56);
	for (i = 0; i < count; i++) {
		assert_int_equal(f->scalar(v[i].seed, bytes, v[i].n), v[i].hash);
		check_forms(f, v[i].seed, bytes, v[i].n);
	}
}

static void test_xxh64_known_values(void **state)
{
	static const struct vector v[] = {
		{ 0, 0, 0xef46db3751d8e999u },
		{ 0, PRIME32, 0xac75fda2929b17efu },
		{ 1, 0, 0xe934a84adb052768u },
		{ 1, PRIME32, 0x5014607643a9b4c3u },
		{ 4, 0, 0x9136a0dca57457eeu },
		{ 14, 0, 0x8282dcc4994e35c8u },
		{ 14, PRIME32, 0xc3bd6bf63deb6df0u },
		{ 222, 0, 0xb641ae8cb691c174u },
		{ 222, PRIME32, 0x20cb8ab7ae10c14au },
	};

	(void)state;
	check_xxhash("xxh64", v, sizeof(v) / sizeof(v[0]));
	assert_int_equal(hash_function_find("xxh64")->one(0, "abc", 3),
			 0x44bc2cf5ad770999u);
}

static void test_xxh3_known_values(void **state)
{
	static const struct vector v[] = {
		{ 0, 0, 0x2d06800538d394c2u },   { 0, PRIME64, 0xa8a6b918b2f0364au },
		{ 1, 0, 0xc44bdff4074eecdbu },   { 1, PRIME64, 0x032be332dd766ef8u },
		{ 6, 0, 0x27b56a84cd2d7325u },   { 6, PRIME64, 0x84589c116ab59ab9u },
		{ 12, 0, 0xa713daf0dfbb77e7u },  { 12, PRIME64, 0xe7303e1b2336de0eu },
		{ 24, 0, 0xa3fe70bf9d3510ebu },  { 24, PRIME64, 0x850e80fc35bdd690u },
		{ 48, 0, 0x397da259ecba1f11u },  { 48, PRIME64, 0xadc2cbaa44acc616u },
		{ 80, 0, 0xbcdefbbb2c47c90au },  { 80, PRIME64, 0xc6dd0cb699532e73u },
		{ 195, 0, 0xcd94217ee362ec3au }, { 195, PRIME64, 0xba68003d370cb3d9u },
		{ 403, 0, 0xcdeb804d65c6dea4u }, { 403, PRIME64, 0x6259f6ecfd6443fdu },
	};

	(void)state;
	check_xxhash("xxh3", v, sizeof(v) / sizeof(v[0]));
	assert_int_equal(hash_function_find("xxh3")->one(0, "abc", 3),
			 0x78af5f94892f3950u);
}

/* Hashes may be kept on disk: no later version may compute others. */
static void test_hashes_are_the_same_for_ever(void **state)
{
	static const struct {
		const char *function, *key;
		uint64_t seed, hash;
	} known[] = {
		{ "fnv1a", "", 0, 0xf52a15e9a9b5e89bu },
		{ "fnv1a", "", 0x5eed, 0x9bd91dd3c418d533u },
		{ "fnv1a", "a", 0, 0x832be066bd43a3b8u },
		{ "fnv1a", "a", 0x5eed, 0x524d65f261c735eau },
		{ "fnv1a", "abc", 0, 0x2c2104b7ed2e2f86u },
		{ "fnv1a", "abc", 0x5eed, 0xca1335e8f5e6e955u },
		{ "fnv1a", "abcde", 0, 0x449a64ea73294cd9u },
		{ "fnv1a", "abcde", 0x5eed, 0xf61f76613f3d1bb3u },
		{ "fnv1a", "user1234", 0, 0x01844cabdc762df7u },
		{ "fnv1a", "user1234", 0x5eed, 0x967b499bcd9044c5u },
		{ "fnv1a", "user6284781860667377211", 0, 0xd553d53c335d8c48u },
		{ "fnv1a", "user6284781860667377211", 0x5eed, 0x6812a9cf015d11f7u },
		{ "crc32c", "", 0, 0x48218226ff3cd4bfu },
		{ "crc32c", "", 0x5eed, 0x56201ef30667e892u },
		{ "crc32c", "a", 0, 0x7527b5fe12d1c71bu },
		{ "crc32c", "a", 0x5eed, 0x76b82a48392bb282u },
		{ "crc32c", "abc", 0, 0xe26f81c3fca016f0u },
		{ "crc32c", "abc", 0x5eed, 0xe891318f351eddb0u },
		{ "crc32c", "abcde", 0, 0x651bc5f91fd21766u },
		{ "crc32c", "abcde", 0x5eed, 0x78ac0cc05f76d8b2u },
		{ "crc32c", "user1234", 0, 0xd78ddffa5ff31defu },
		{ "crc32c", "user1234", 0x5eed, 0x4f2ce200d9950458u },
		{ "crc32c", "user6284781860667377211", 0, 0x18c68caf6132142cu },
		{ "crc32c", "user6284781860667377211", 0x5eed, 0xa27b298d5ff6a987u },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		const struct hash_function *f = hash_function_find(known[i].function);

		assert_int_equal(
			f->one(known[i].seed, known[i].key, strlen(known[i].key)),
			known[i].hash);
	}
}

/* ---- what small differences must do ---- */

static void test_zeroes_of_each_length_differ(void **state)
{
	static const uint8_t zeroes[64];
	const uint64_t seeds[] = { 0, 1, HASH_FNV1A_BASIS, unmix(HASH_FNV1A_BASIS),
				   0 - HASH_GOLDEN };
	const struct hash_function *f;
	uint64_t hash[65];
	size_t i, s, n, m;

	(void)state;
	for (i = 0; (f = nth(i)); i++)
		for (s = 0; s < sizeof(seeds) / sizeof(seeds[0]); s++)
			for (n = 0; n <= 64; n++) {
				hash[n] = f->one(seeds[s], zeroes, n);
				for (m = 0; m < n; m++)
					assert_int_not_equal(hash[m], hash[n]);
			}
}

static void test_each_byte_counts(void **state)
{
	uint8_t key[LENGTH_MAX];
	const struct hash_function *f;
	size_t i, n, k;

	(void)state;
	core_random_bytes(key, sizeof(key));
	for (n = 1; n <= LENGTH_MAX; n += n < 70 ? 1 : 23)
		for (i = 0; (f = nth(i)); i++) {
			uint64_t whole = f->one(3, key, n);

			for (k = 0; k < n; k++) {
				key[k] ^= 0x80;
				assert_int_not_equal(f->one(3, key, n), whole);
				key[k] ^= 0x80;
			}
		}
}

/* 8 bytes that a CRC32C started with zero takes back to zero: adding them to a word leaves
 * a plain CRC as it was, whatever the seed. */
static void test_keys_of_equal_crc_hash_apart(void **state)
{
	const struct hash_function *f = hash_function_find("crc32c");
	uint8_t delta[8], key[24], other[24];
	int i, k, flipped = 0;

	(void)state;
	for (i = 0; i < 1000; i++) {
		core_random_bytes(delta, 4);
		port_put_le32(delta + 4, ~port_crc32c(~0u, delta, 4));
		core_random_bytes(key, sizeof(key));
		for (k = 0; k < 24; k++)
			other[k] = key[k] ^ (k >= 8 && k < 16 ? delta[k - 8] : 0);
		assert_int_equal(port_crc32c(0, key, 24), port_crc32c(0, other, 24));
		flipped +=
			__builtin_popcountll(f->one(1, key, 24) ^ f->one(1, other, 24));
	}
	assert_in_range(flipped, 31000, 33000); /* of 64000 */
}

/* ---- comparison ---- */

static void test_equal_keys_are_equal(void **state)
{
	size_t n, shift;

	(void)state;
	for (n = 0; n <= LENGTH_MAX; n++)
		for (shift = 0; shift < SHIFTS; shift += 1 + n / 40) {
			uint8_t *a = exact(n), *b = exact(shift + n);

			memcpy(b + shift, a, n);
			assert_true(hash_key_equal(a, b + shift, n));
			assert_true(hash_key_equal(b + shift, a, n));
			assert_true(hash_key_equal(a, a, n));
			free(a);
			free(b);
		}
	assert_true(hash_key_equal(NULL, NULL, 0));
}

static void test_a_bit_anywhere_makes_keys_differ(void **state)
{
	size_t n, k;

	(void)state;
	for (n = 1; n <= LENGTH_MAX; n++) {
		uint8_t *a = exact(n), *b = exact(n);

		memcpy(b, a, n);
		for (k = 0; k < n; k++) {
			b[k] ^= (uint8_t)(1u << core_random_below(8));
			assert_false(hash_key_equal(a, b, n));
			b[k] = a[k];
		}
		assert_true(hash_key_equal(a, b, n));
		free(a);
		free(b);
	}
}

static void test_bytes_behind_keys_do_not_count(void **state)
{
	uint8_t a[LENGTH_MAX + 64], b[LENGTH_MAX + 64];
	size_t n;

	(void)state;
	memset(a, 0x55, sizeof(a));
	memset(b, 0xaa, sizeof(b));
	for (n = 0; n <= LENGTH_MAX; n++) {
		memset(b + 32, 0x55, n);
		assert_true(hash_key_equal(a + 32, b + 32, n));
		assert_false(hash_key_equal(a + 32, b + 32, n + 1));
	}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, set_up)
	const struct CMUnitTest tests[] = {
		TEST(test_functions_are_found_by_name_and_number),
		TEST(test_forms_agree_at_each_length_and_alignment),
		TEST(test_forms_agree_on_long_keys),
		TEST(test_hash_does_not_depend_on_the_address),
		TEST(test_plain_and_instruction_crc32c_agree),
		TEST(test_batch_of_mixed_lengths),
		TEST(test_batch_of_equal_lengths),
		TEST(test_batch_with_one_key_that_is_empty_or_long),
		TEST(test_batch_of_the_same_key),
		TEST(test_mix_is_a_bijection),
		TEST(test_fnv1a_is_the_published_one_before_mixing),
		TEST(test_crc32c_is_the_published_one_before_mixing),
		TEST(test_xxh64_known_values),
		TEST(test_xxh3_known_values),
		TEST(test_hashes_are_the_same_for_ever),
		TEST(test_zeroes_of_each_length_differ),
		TEST(test_each_byte_counts),
		TEST(test_keys_of_equal_crc_hash_apart),
		TEST(test_equal_keys_are_equal),
		TEST(test_a_bit_anywhere_makes_keys_differ),
		TEST(test_bytes_behind_keys_do_not_count),
	};

	return cmocka_run_group_tests(tests, say_seed, NULL);
}
