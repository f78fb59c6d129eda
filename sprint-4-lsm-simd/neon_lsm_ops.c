/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * neon_lsm_ops.c - Bloom filters of cache lines, comparison of keys, search among heads: see
 * neon_lsm_ops.h. The vectors' steps are in neon_lsm_neon.h and neon_lsm_x86.h.
 *
 * Layout of a filter: the upper 32 bits of a key's hash, times the number of blocks, by 2^32,
 * is its block. Probe i multiplies the lower 32 bits by odd[i]; the product's upper nine bits
 * are the bit's number in the block: bit b is bit b % 8 of byte b / 8.
 */
#include "neon_lsm_ops.h"

#if defined(VEC128_SCALAR)
/* plain C alone */
#elif defined(__ARM_NEON) && defined(__aarch64__) && \
	__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#include "neon_lsm_neon.h"
#elif defined(__x86_64__)
#include "neon_lsm_x86.h"
#endif

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { PROBES_MAX = 16, WINDOW = 16 };

uint64_t lsm_key_hash(struct kv_slice key)
{
	return XXH3_64bits(key.data, key.len);
}

/* ---- filters ---- */

/* On disk through the bits that they choose: never to be changed. Random but for being odd. */
static const uint32_t odd[PROBES_MAX] = {
	0x24d0473d, 0xfd84afcf, 0x6b7643f3, 0xd82199ff, 0x6110214b, 0x5ab52bb3,
	0xd54403b3, 0x6085acdb, 0x6bf1019f, 0xd5a34ac5, 0x5ec0424d, 0x668601bb,
	0x8c461499, 0xe23fb1cf, 0xb42f4861, 0xf889824b,
};

/* What gives the fewest false positives when keys fall on blocks of 512 bits by chance, so
 * that some are fuller than others: less than ln 2 a bit where bits are many. */
unsigned int lsm_filter_probes(unsigned int bits_per_key)
{
	static const uint8_t best[] = { 1,  1,  1,  2,  3,  3,  4,  5,  5,  6,  7,
					7,  8,  8,  9,  9,  10, 10, 10, 11, 11, 12,
					12, 12, 13, 13, 13, 14, 14, 14, 14, 15 };

	return bits_per_key < sizeof(best) ? best[bits_per_key] : 15;
}

size_t lsm_filter_bytes(size_t n, unsigned int bits_per_key)
{
	/* EXERCISE 4.3 begin: whole blocks, at least so many bits
	 *|	return 0;
	 */
	const size_t block_bits = LSM_FILTER_BLOCK * 8;
	const size_t keys = n / block_bits, rest = n % block_bits;

	/* n * bits, without its overflow. */
	return (keys * bits_per_key +
		(rest * bits_per_key + block_bits - 1) / block_bits) *
	       LSM_FILTER_BLOCK;
	/* EXERCISE 4.3 end */
}

static inline size_t block_of(size_t bytes, uint64_t hash)
{
	/* EXERCISE 4.3 begin: the offset of its block; no division
	 *|	return 0;
	 */
	return (size_t)((hash >> 32) * (uint64_t)(bytes / LSM_FILTER_BLOCK) >> 32) *
	       LSM_FILTER_BLOCK;
	/* EXERCISE 4.3 end */
}

static inline unsigned int probe_bit(uint64_t hash, unsigned int i)
{
	/* EXERCISE 4.3 begin: nine bits of a product
	 *|	return 0;
	 */
	return ((uint32_t)hash * odd[i]) >> 23;
	/* EXERCISE 4.3 end */
}

void lsm_filter_add(uint8_t *filter, size_t bytes, unsigned int probes, uint64_t hash)
{
	/* EXERCISE 4.3 begin: set a bit for each probe */
	uint8_t *block;
	unsigned int i;

	if (bytes < LSM_FILTER_BLOCK)
		return;
	block = filter + block_of(bytes, hash);
	for (i = 0; i < probes; i++) {
		unsigned int bit = probe_bit(hash, i);

		block[bit / 8] |= (uint8_t)(1u << bit % 8);
	}
	/* EXERCISE 4.3 end */
}

bool lsm_filter_test_scalar(const uint8_t *filter, size_t bytes, unsigned int probes,
			    uint64_t hash)
{
	/* EXERCISE 4.3 begin: is each of these bits set?
	 *|	return true;
	 */
	const uint8_t *block;
	unsigned int i;

	if (bytes < LSM_FILTER_BLOCK)
		return true;
	block = filter + block_of(bytes, hash);
	for (i = 0; i < probes; i++) {
		unsigned int bit = probe_bit(hash, i);

		if (!(block[bit / 8] & 1u << bit % 8))
			return false;
	}
	return true;
	/* EXERCISE 4.3 end */
}

void lsm_filter_prefetch(const uint8_t *filter, size_t bytes, uint64_t hash)
{
	if (bytes >= LSM_FILTER_BLOCK)
		__builtin_prefetch(filter + block_of(bytes, hash));
}

#ifdef OPS_HAS_FILTER

OPS_FILTER_CODE static bool filter_test_vector(const uint8_t *filter, size_t bytes,
					       unsigned int probes, uint64_t hash)
{
	return ops_filter_block(filter + block_of(bytes, hash), probes, (uint32_t)hash,
				odd);
}

bool lsm_filter_test_simd(const uint8_t *filter, size_t bytes, unsigned int probes,
			  uint64_t hash)
{
	if (!ops_filter_ready())
		return lsm_filter_test_scalar(filter, bytes, probes, hash);
	if (bytes < LSM_FILTER_BLOCK)
		return true;
	return filter_test_vector(filter, bytes, probes, hash);
}

#else

bool lsm_filter_test_simd(const uint8_t *filter, size_t bytes, unsigned int probes,
			  uint64_t hash)
{
	return lsm_filter_test_scalar(filter, bytes, probes, hash);
}

#endif

bool lsm_filter_test(const uint8_t *filter, size_t bytes, unsigned int probes,
		     uint64_t hash)
{
	return lsm_filter_test_simd(filter, bytes, probes, hash);
}

/* ---- comparison ---- */

static inline uint64_t big64(const uint8_t *p) /* in the order of bytes */
{
	return __builtin_bswap64(port_get_le64(p));
}

static inline int order_of(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

/* The n < 8 bytes at p as a number whose order is theirs among keys of the same n. Parts may
 * overlap: a byte that stands twice decides nothing the second time. */
static inline uint64_t short_key(const uint8_t *p, size_t n)
{
	if (n >= 4)
		return (uint64_t)__builtin_bswap32(port_get_le32(p)) << 32 |
		       __builtin_bswap32(port_get_le32(p + n - 4));
	return n ? (uint64_t)p[0] << 16 | (uint64_t)p[n / 2] << 8 | p[n - 1] : 0;
}

/* Of n bytes, by words; the last word overlaps the one before. */
static inline int compare_words(const uint8_t *p, const uint8_t *q, size_t n)
{
	uint64_t a, b;
	size_t i;

	if (n < 8)
		return order_of(short_key(p, n), short_key(q, n));
	for (i = 0; i + 8 <= n; i += 8) {
		a = big64(p + i);
		b = big64(q + i);
		if (a != b)
			return a < b ? -1 : 1;
	}
	return order_of(big64(p + n - 8), big64(q + n - 8));
}

static inline size_t shared_words(const uint8_t *p, const uint8_t *q, size_t n)
{
	size_t i;

	for (i = 0; i + 8 <= n; i += 8) {
		uint64_t differ = port_get_le64(p + i) ^ port_get_le64(q + i);

		if (differ)
			return i + (size_t)__builtin_ctzll(differ) / 8;
	}
	while (i < n && p[i] == q[i])
		i++;
	return i;
}

static inline size_t shorter(struct kv_slice a, struct kv_slice b)
{
	return a.len < b.len ? a.len : b.len;
}

int lsm_key_compare_scalar(struct kv_slice a, struct kv_slice b)
{
	int order = compare_words(a.data, b.data, shorter(a, b));

	return order ? order : order_of(a.len, b.len);
}

size_t lsm_key_shared_scalar(struct kv_slice a, struct kv_slice b)
{
	return shared_words(a.data, b.data, shorter(a, b));
}

#ifdef OPS_NAME

/* Of n >= 16 bytes: no byte beyond them is read. */
static inline size_t shared_vectors(const uint8_t *p, const uint8_t *q, size_t n)
{
	size_t i, same;

	for (i = 0; i + 16 <= n; i += 16) {
		same = ops_differ(p + i, q + i);
		if (same < 16)
			return i + same;
	}
	return n - 16 + ops_differ(p + n - 16, q + n - 16);
}

int lsm_key_compare_simd(struct kv_slice a, struct kv_slice b)
{
	const uint8_t *p = a.data, *q = b.data;
	const size_t n = shorter(a, b);
	size_t same;

	if (n < 16)
		return lsm_key_compare_scalar(a, b);
	same = shared_vectors(p, q, n);
	return same < n ? (p[same] < q[same] ? -1 : 1) : order_of(a.len, b.len);
}

size_t lsm_key_shared_simd(struct kv_slice a, struct kv_slice b)
{
	const size_t n = shorter(a, b);

	return n < 16 ? shared_words(a.data, b.data, n)
		      : shared_vectors(a.data, b.data, n);
}

#else

int lsm_key_compare_simd(struct kv_slice a, struct kv_slice b)
{
	return lsm_key_compare_scalar(a, b);
}

size_t lsm_key_shared_simd(struct kv_slice a, struct kv_slice b)
{
	return lsm_key_shared_scalar(a, b);
}

#endif

int lsm_key_compare(struct kv_slice a, struct kv_slice b)
{
	return lsm_key_compare_simd(a, b);
}

size_t lsm_key_shared(struct kv_slice a, struct kv_slice b)
{
	return lsm_key_shared_simd(a, b);
}

/* ---- search among heads ---- */

/* Narrows *n heads down to at most `most` without a branch that could be mispredicted, and
 * returns how many lie below them. */
static inline unsigned int halve(const uint8_t *heads, unsigned int *n, unsigned int most,
				 uint32_t head)
{
	unsigned int base = 0;

	while (*n > most) {
		unsigned int half = *n / 2;
		uint32_t middle = port_get_le32(heads + 4ul * (base + half - 1));

		base += half & (0u - (middle < head));
		*n -= half;
	}
	return base;
}

unsigned int lsm_search_heads_scalar(const uint8_t *heads, unsigned int n, uint32_t head)
{
	unsigned int base = halve(heads, &n, 1, head);

	return n ? base + (port_get_le32(heads + 4ul * base) < head) : 0;
}

#ifdef OPS_NAME

static unsigned int search_few(const uint8_t *heads, unsigned int n, uint32_t head)
{
	unsigned int i, less = 0;

	for (i = 0; i + 4 <= n; i += 4)
		less += ops_less_of_four(heads + 4ul * i, head);
	for (; i < n; i++)
		less += port_get_le32(heads + 4ul * i) < head;
	return less;
}

unsigned int lsm_search_heads_simd(const uint8_t *heads, unsigned int n, uint32_t head)
{
	unsigned int base, rest = n;

	if (n < WINDOW)
		return search_few(heads, n, head);
	base = halve(heads, &rest, WINDOW, head);
	/* A whole window, if need be with heads that are known to be less. */
	if (base > n - WINDOW)
		base = n - WINDOW;
	return base + ops_less_of_sixteen(heads + 4ul * base, head);
}

const char *lsm_simd_name(void)
{
	return OPS_NAME;
}

#else

unsigned int lsm_search_heads_simd(const uint8_t *heads, unsigned int n, uint32_t head)
{
	return lsm_search_heads_scalar(heads, n, head);
}

const char *lsm_simd_name(void)
{
	return "scalar";
}

#endif

unsigned int lsm_search_heads(const uint8_t *heads, unsigned int n, uint32_t head)
{
	return lsm_search_heads_simd(heads, n, head);
}
