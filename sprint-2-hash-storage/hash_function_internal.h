/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_function_internal.h - what the plain forms (hash_function.c) and the batched ones
 * (neon_hash.c) of the functions have in common: seeds, constants, first and last steps.
 *
 * FNV-1a and CRC32C were made for other purposes than tables: what one key's last bytes
 * change stays in a few bits, and a seed that is only a starting value falls out of a
 * CRC's differences. So both begin from a mixed seed and end in a mixing step that spreads
 * every bit over all.
 */
#ifndef HASH_FUNCTION_INTERNAL_H
#define HASH_FUNCTION_INTERNAL_H

#include "hash_function.h"

#define HASH_GOLDEN      0x9e3779b97f4a7c15ull /* 2^64 by the golden ratio, odd */
#define HASH_FNV1A_BASIS 0xcbf29ce484222325ull
#define HASH_FNV1A_PRIME 0x00000100000001b3ull

/* A bijection that turns half of the 64 bits, whichever one is turned in z; 0 stays 0.
 * (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014, with
 * Stafford's 13th set of constants.) */
static inline uint64_t hash_mix(uint64_t z)
{
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

/* ---- FNV-1a (Fowler, Noll and Vo, 1991): seed 0 starts at the published basis ---- */

static inline uint64_t hash_fnv1a_start(uint64_t seed)
{
	return HASH_FNV1A_BASIS ^ hash_mix(seed);
}

static inline uint64_t hash_fnv1a_byte(uint64_t h, uint8_t byte)
{
	return (h ^ byte) * HASH_FNV1A_PRIME;
}

/* The length is told for the one seed from which zero bytes would lead nowhere. */
static inline uint64_t hash_fnv1a_end(uint64_t h, size_t n)
{
	return hash_mix(h ^ n * HASH_GOLDEN);
}

/*
 * ---- CRC32C ----
 *
 * A CRC has 32 bits, and a store of ten million keys would have eleven thousand pairs of
 * the same: so two run beside each other, the second over words that were multiplied.
 * Without that both would be linear in the key, and what makes one collide would make the
 * other. As the seed goes into the product, keys that collide for one seed do not for
 * another. The key is taken as words of 8 bytes; the last one overlaps its predecessor.
 */

struct hash_crc32c {
	uint64_t key;       /* the mixed seed */
	uint64_t low, high; /* below 2^32; wide, as x86's instruction has it */
};

static inline struct hash_crc32c hash_crc32c_start(uint64_t seed)
{
	uint64_t key = hash_mix(seed + HASH_GOLDEN);

	return (struct hash_crc32c){ key, (uint32_t)key, key >> 32 };
}

/* What the second CRC gets for this word: both halves of the product, folded. */
static inline uint64_t hash_crc32c_product(uint64_t word, uint64_t key)
{
	unsigned __int128 product = (unsigned __int128)(word ^ key) * HASH_GOLDEN;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* The last word of n bytes where n is no multiple of 8: reads inside of them only. */
static inline uint64_t hash_crc32c_last(const uint8_t *p, size_t n)
{
	if (n >= 8)
		return port_get_le64(p + n - 8);
	if (n >= 4)
		return port_get_le32(p) | (uint64_t)port_get_le32(p + n - 4) << 32;
	return p[0] | (uint64_t)p[n / 2] << 8 | (uint64_t)p[n - 1] << 16;
}

static inline uint64_t hash_crc32c_end(uint64_t low, uint64_t high, size_t n)
{
	return hash_mix((low | high << 32) ^ n * HASH_GOLDEN);
}

/* What stands for it where the processor has no such instruction. For tests. */
const struct hash_function *hash_crc32c_plain(void);

/* ---- neon_hash.c ---- */

void neon_fnv1a_many(uint64_t seed, const struct kv_slice *key, size_t n, uint64_t *hash);
void neon_xxh64_many(uint64_t seed, const struct kv_slice *key, size_t n, uint64_t *hash);
uint64_t neon_xxh3_one(uint64_t seed, const void *p, size_t n);
void neon_xxh3_many(uint64_t seed, const struct kv_slice *key, size_t n, uint64_t *hash);

/* Only where port_crc32c_has_instruction(). */
uint64_t neon_crc32c_one(uint64_t seed, const void *p, size_t n);
void neon_crc32c_many(uint64_t seed, const struct kv_slice *key, size_t n,
		      uint64_t *hash);

#endif /* HASH_FUNCTION_INTERNAL_H */
