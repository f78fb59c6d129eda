/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_function.c - the hash functions that a store can choose from, and each one's plain
 * form, which the batched forms of neon_hash.c equal bit by bit.
 *
 * XXH64 and XXH3 are libxxhash's own (Collet, xxhash.com), compiled in from its header, here
 * without its vectors.
 */
#include "hash_function_internal.h"

#include "../sprint-1-core-memory/port_crc32c.h"

#define XXH_INLINE_ALL
#define XXH_VECTOR 0 /* scalar */
#include <xxhash.h>

static uint64_t fnv1a(uint64_t seed, const void *data, size_t n)
{
	/* EXERCISE 2.1 begin: start, each byte, end: the steps are in hash_function_internal.h
	 *|	return 0;
	 */
	uint64_t h = hash_fnv1a_start(seed);
	const uint8_t *p = data;
	size_t i;

	for (i = 0; i < n; i++)
		h = hash_fnv1a_byte(h, p[i]);
	return hash_fnv1a_end(h, n);
	/* EXERCISE 2.1 end */
}

static uint64_t crc32c_word(uint64_t crc, uint64_t word)
{
	uint8_t bytes[8];

	port_put_le64(bytes, word);
	return (uint32_t)~port_crc32c_tables(~(uint32_t)crc, bytes, sizeof(bytes));
}

static uint64_t crc32c(uint64_t seed, const void *data, size_t n)
{
	/* EXERCISE 2.1 begin: each word of 8 bytes to both CRCs; the last may overlap
	 *|	return 0;
	 */
	struct hash_crc32c c = hash_crc32c_start(seed);
	const uint8_t *p = data;
	size_t i;

	for (i = 0; i < n; i += 8) {
		uint64_t word =
			i + 8 <= n ? port_get_le64(p + i) : hash_crc32c_last(p, n);

		c.low = crc32c_word(c.low, word);
		c.high = crc32c_word(c.high, hash_crc32c_product(word, c.key));
	}
	return hash_crc32c_end(c.low, c.high, n);
	/* EXERCISE 2.1 end */
}

static void crc32c_many(uint64_t seed, const struct kv_slice *key, size_t n,
			uint64_t *hash)
{
	size_t i;

	for (i = 0; i < n; i++)
		hash[i] = crc32c(seed, key[i].data, key[i].len);
}

static uint64_t xxh64(uint64_t seed, const void *p, size_t n)
{
	return XXH64(p, n, seed);
}

static uint64_t xxh3(uint64_t seed, const void *p, size_t n)
{
	return XXH3_64bits_withSeed(p, n, seed);
}

#define CRC32C_NAME "crc32c", "two CRC32Cs, by the processor's instruction if it has one"

static const struct hash_function functions[] = {
	{ "xxh3", "XXH3 of libxxhash: the fastest for most keys", xxh3, neon_xxh3_one,
	  neon_xxh3_many },
	{ "xxh64", "XXH64 of libxxhash", xxh64, xxh64, neon_xxh64_many },
	{ CRC32C_NAME, crc32c, neon_crc32c_one, neon_crc32c_many },
	{ "fnv1a", "FNV-1a, a byte at a time, mixed at the end", fnv1a, fnv1a,
	  neon_fnv1a_many },
};

enum { FUNCTIONS = sizeof(functions) / sizeof(functions[0]) };

const struct hash_function *hash_crc32c_plain(void)
{
	static const struct hash_function plain = { CRC32C_NAME, crc32c, crc32c,
						    crc32c_many };

	return &plain;
}

const struct hash_function *hash_function_get(size_t i)
{
	if (i >= FUNCTIONS)
		return NULL;
	if (functions[i].scalar == crc32c && !port_crc32c_has_instruction())
		return hash_crc32c_plain();
	return &functions[i];
}

const struct hash_function *hash_function_find(const char *name)
{
	const struct hash_function *f;
	size_t i;

	for (i = 0; (f = hash_function_get(i)); i++)
		if (!strcmp(f->name, name))
			return f;
	return NULL;
}
