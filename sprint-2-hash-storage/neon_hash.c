/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * neon_hash.c - hash functions over several keys at a time, and comparison of keys, by
 * what the processor has: NEON and the CRC32 instructions of ARMv8, SSE2 and SSE4.2.
 *
 * What makes hashing a short key slow is waiting: each step needs the one before it, and a
 * multiplication or a CRC instruction takes three or four cycles, though a new one could
 * start in each. Two or four keys side by side fill these cycles. They go together as far
 * as the shortest one has whole words, and each goes on alone from there. A processor that
 * executes out of order overlaps short keys by itself, so that what is won is least where a
 * hash is but a few steps (XXH3) and most where it is a long chain (FNV-1a).
 *
 * The results are those of hash_function.c, bit by bit.
 */
#include "hash_function_internal.h"

#include "../sprint-1-core-memory/vec128.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { LANES = 4 };

/* Written out rather than left to the compiler, which unrolls loops as it sees fit; then
 * every lane's state stands in a register. */
#define EACH_LANE(step) step(0) step(1) step(2) step(3)

/* Whole words that all the lanes' keys have, in bytes. */
static size_t common_bytes(const struct kv_slice *key)
{
	/* EXERCISE 2.1 begin: of the shortest key, the whole words
	 *|	return 0;
	 */
	size_t least = key[0].len;
	int i;

	for (i = 1; i < LANES; i++)
		least = key[i].len < least ? key[i].len : least;
	return least & ~(size_t)7;
	/* EXERCISE 2.1 end */
}

/* ---- FNV-1a ---- */

static uint64_t fnv1a_rest(uint64_t h, const struct kv_slice *key, size_t from)
{
	const uint8_t *p = key->data;
	size_t i;

	for (i = from; i < key->len; i++)
		h = hash_fnv1a_byte(h, p[i]);
	return hash_fnv1a_end(h, key->len);
}

static void fnv1a_lanes(uint64_t start, const struct kv_slice *key, uint64_t *hash)
{
	/* EXERCISE 2.1 begin: four keys a byte at a time, then each alone
	 *|	hash[0] = hash[1] = hash[2] = hash[3] = 0;
	 */
	const size_t common = common_bytes(key);
	uint64_t h[LANES] = { start, start, start, start }, word[LANES];
	size_t i;
	int byte;

#define LOAD(k) word[k] = port_get_le64((const uint8_t *)key[k].data + i);
#define BYTE(k)                                         \
	h[k] = hash_fnv1a_byte(h[k], (uint8_t)word[k]); \
	word[k] >>= 8;
#define REST(k) hash[k] = fnv1a_rest(h[k], &key[k], common);
	for (i = 0; i < common; i += 8) {
		EACH_LANE(LOAD)
		for (byte = 0; byte < 8; byte++) {
			EACH_LANE(BYTE)
		}
	}
	EACH_LANE(REST)
#undef LOAD
#undef BYTE
#undef REST
	/* EXERCISE 2.1 end */
}

void neon_fnv1a_many(uint64_t seed, const struct kv_slice *key, size_t n, uint64_t *hash)
{
	const uint64_t start = hash_fnv1a_start(seed);

	for (; n >= LANES; n -= LANES, key += LANES, hash += LANES)
		fnv1a_lanes(start, key, hash);
	for (; n; n--, key++, hash++)
		*hash = fnv1a_rest(start, key, 0);
}

/* ---- CRC32C ---- */

#if defined(__aarch64__) && !defined(VEC128_SCALAR)

#include <arm_acle.h>

#define CRC32C_CODE            __attribute__((target("+crc")))
#define crc32c_word(crc, word) __crc32cd((uint32_t)(crc), word)

#elif defined(__x86_64__) && !defined(VEC128_SCALAR)

#include <nmmintrin.h>

#define CRC32C_CODE            __attribute__((target("sse4.2")))
#define crc32c_word(crc, word) _mm_crc32_u64(crc, word)

#else

#include "../sprint-1-core-memory/port_crc32c.h"

#define CRC32C_CODE

static uint64_t crc32c_word(uint64_t crc, uint64_t word)
{
	uint8_t bytes[8];

	port_put_le64(bytes, word);
	return (uint32_t)~port_crc32c_tables(~(uint32_t)crc, bytes, sizeof(bytes));
}

#endif

/* Inlined, or its state would go through memory. */
CRC32C_CODE __attribute__((always_inline)) static inline uint64_t
crc32c_rest(struct hash_crc32c c, const struct kv_slice *key, size_t from)
{
	const uint8_t *p = key->data;
	const size_t n = key->len;
	uint64_t word;
	size_t i;

	for (i = from; i + 8 <= n; i += 8) {
		word = port_get_le64(p + i);
		c.low = crc32c_word(c.low, word);
		c.high = crc32c_word(c.high, hash_crc32c_product(word, c.key));
	}
	if (i < n) {
		word = hash_crc32c_last(p, n);
		c.low = crc32c_word(c.low, word);
		c.high = crc32c_word(c.high, hash_crc32c_product(word, c.key));
	}
	return hash_crc32c_end(c.low, c.high, n);
}

/* Two keys are four CRCs on their way: as many as the instruction can overlap, and as many
 * as stay in the registers of x86. */
CRC32C_CODE static inline void crc32c_pair(struct hash_crc32c start,
					   const struct kv_slice *key, uint64_t *hash)
{
	/* EXERCISE 2.1 begin: two keys a word at a time, then each alone
	 *|	hash[0] = hash[1] = 0;
	 */
	const uint8_t *p = key[0].data, *q = key[1].data;
	const size_t common = (key[0].len < key[1].len ? key[0].len : key[1].len) & ~7ul;
	struct hash_crc32c a = start, b = start;
	size_t i;

	for (i = 0; i < common; i += 8) {
		uint64_t v = port_get_le64(p + i), w = port_get_le64(q + i);

		a.low = crc32c_word(a.low, v);
		b.low = crc32c_word(b.low, w);
		a.high = crc32c_word(a.high, hash_crc32c_product(v, start.key));
		b.high = crc32c_word(b.high, hash_crc32c_product(w, start.key));
	}
	hash[0] = crc32c_rest(a, &key[0], common);
	hash[1] = crc32c_rest(b, &key[1], common);
	/* EXERCISE 2.1 end */
}

CRC32C_CODE uint64_t neon_crc32c_one(uint64_t seed, const void *p, size_t n)
{
	const struct kv_slice key = { p, n };

	return crc32c_rest(hash_crc32c_start(seed), &key, 0);
}

CRC32C_CODE void neon_crc32c_many(uint64_t seed, const struct kv_slice *key, size_t n,
				  uint64_t *hash)
{
	const struct hash_crc32c start = hash_crc32c_start(seed);

	for (; n >= 2; n -= 2, key += 2, hash += 2)
		crc32c_pair(start, key, hash);
	if (n)
		*hash = crc32c_rest(start, key, 0);
}

/* ---- XXH64: of keys below 32 bytes; a longer one has four lanes of its own ---- */

#define XXH64_PRIME_1 0x9e3779b185ebca87ull
#define XXH64_PRIME_2 0xc2b2ae3d27d4eb4full
#define XXH64_PRIME_3 0x165667b19e3779f9ull
#define XXH64_PRIME_4 0x85ebca77c2b2ae63ull
#define XXH64_PRIME_5 0x27d4eb2f165667c5ull

enum { XXH64_SHORT = 32 };

static inline uint64_t rotate_left(uint64_t v, int bits)
{
	return v << bits | v >> (64 - bits);
}

static inline uint64_t xxh64_word(uint64_t h, uint64_t word)
{
	h ^= rotate_left(word * XXH64_PRIME_2, 31) * XXH64_PRIME_1;
	return rotate_left(h, 27) * XXH64_PRIME_1 + XXH64_PRIME_4;
}

static uint64_t xxh64_rest(uint64_t h, const struct kv_slice *key, size_t from)
{
	const uint8_t *p = key->data;
	const size_t n = key->len;
	size_t i = from;

	for (; i + 8 <= n; i += 8)
		h = xxh64_word(h, port_get_le64(p + i));
	if (i + 4 <= n) {
		h ^= port_get_le32(p + i) * XXH64_PRIME_1;
		h = rotate_left(h, 23) * XXH64_PRIME_2 + XXH64_PRIME_3;
		i += 4;
	}
	for (; i < n; i++)
		h = rotate_left(h ^ p[i] * XXH64_PRIME_5, 11) * XXH64_PRIME_1;
	h = (h ^ h >> 33) * XXH64_PRIME_2;
	h = (h ^ h >> 29) * XXH64_PRIME_3;
	return h ^ h >> 32;
}

static void xxh64_short_lanes(uint64_t seed, const struct kv_slice *key, uint64_t *hash)
{
	const size_t common = common_bytes(key);
	uint64_t h[LANES];
	size_t i;

#define START(k) h[k] = seed + XXH64_PRIME_5 + key[k].len;
#define WORD(k)  h[k] = xxh64_word(h[k], port_get_le64((const uint8_t *)key[k].data + i));
#define REST(k)  hash[k] = xxh64_rest(h[k], &key[k], common);
	EACH_LANE(START)
	for (i = 0; i < common; i += 8) {
		EACH_LANE(WORD)
	}
	EACH_LANE(REST)
#undef START
#undef WORD
#undef REST
}

void neon_xxh64_many(uint64_t seed, const struct kv_slice *key, size_t n, uint64_t *hash)
{
	size_t i, longest;

	for (; n >= LANES; n -= LANES, key += LANES, hash += LANES) {
		for (longest = 0, i = 0; i < LANES; i++)
			longest = key[i].len > longest ? key[i].len : longest;
		if (longest < XXH64_SHORT)
			xxh64_short_lanes(seed, key, hash);
		else
			for (i = 0; i < LANES; i++)
				hash[i] = XXH64(key[i].data, key[i].len, seed);
	}
	for (; n; n--, key++, hash++)
		*hash = XXH64(key->data, key->len, seed);
}

/* ---- XXH3: made of independent steps, so that keys overlap by themselves ---- */

uint64_t neon_xxh3_one(uint64_t seed, const void *p, size_t n)
{
	return XXH3_64bits_withSeed(p, n, seed);
}

void neon_xxh3_many(uint64_t seed, const struct kv_slice *key, size_t n, uint64_t *hash)
{
	size_t i;

	for (i = 0; i < n; i++)
		hash[i] = XXH3_64bits_withSeed(key[i].data, key[i].len, seed);
}

/* ---- comparison ---- */

static bool short_equal(const uint8_t *a, const uint8_t *b, size_t n) /* n < 16 */
{
	if (n >= 8)
		return port_get_le64(a) == port_get_le64(b) &&
		       port_get_le64(a + n - 8) == port_get_le64(b + n - 8);
	if (n >= 4)
		return port_get_le32(a) == port_get_le32(b) &&
		       port_get_le32(a + n - 4) == port_get_le32(b + n - 4);
	return !n || (a[0] == b[0] && a[n / 2] == b[n / 2] && a[n - 1] == b[n - 1]);
}

static inline vec128 differ(const uint8_t *a, const uint8_t *b) /* zero: they do not */
{
	return vec128_xor(vec128_load(a), vec128_load(b));
}

bool hash_key_equal(const void *a, const void *b, size_t n)
{
	/* EXERCISE 2.1 begin: 64 bytes a step, then 16, then the last 16 again
	 *|	return false;
	 */
	const uint8_t *p = a, *q = b;
	size_t i;

	if (n < 16)
		return short_equal(p, q, n);
	for (i = 0; i + 64 <= n; i += 64)
		if (!vec128_is_zero(vec128_or(vec128_or(differ(p + i, q + i),
							differ(p + i + 16, q + i + 16)),
					      vec128_or(differ(p + i + 32, q + i + 32),
							differ(p + i + 48, q + i + 48)))))
			return false;
	for (; i + 16 <= n; i += 16)
		if (!vec128_is_zero(differ(p + i, q + i)))
			return false;
	/* The last 16 bytes overlap what has been compared: no byte beyond the keys is read. */
	return vec128_is_zero(differ(p + n - 16, q + n - 16));
	/* EXERCISE 2.1 end */
}
