/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * neon_lsm_ops.h - what an LSM-tree does most, with vectors: probing a Bloom filter, comparing
 * keys, searching restart points.
 *
 * Each operation has a scalar form and one for the vectors of this machine (NEON, AVX2 where the
 * processor has it, else SSE2), with identical results; the name without a suffix is the one
 * to use. The filters are on disk: every form reads and writes the same bits.
 *
 * Filter: blocks of one cache line, 512 bits; a key's hash picks the block, and the bits in it
 * (Putze, Sanders, Singler, "Cache-, Hash- and Space-Efficient Bloom Filters", 2007), so that a
 * probe costs one miss. Bits are taken from the hash by multiplication with odd constants, one
 * lane each, as in Parquet's and RocksDB's filters.
 */
#ifndef NEON_LSM_OPS_H
#define NEON_LSM_OPS_H

#include "../sprint-1-core-memory/kv.h"

enum { LSM_FILTER_BLOCK = 64 }; /* bytes; filters are a multiple of it */

/* Of a key, for filters, the memtable's side hash and the caches: computed once an operation.
 * On disk through the filters, so it is one function for ever: XXH3's 64 bits, seed 0. */
uint64_t lsm_key_hash(struct kv_slice key);

/* Probes that fit best to so many bits a key: 1..16. */
unsigned int lsm_filter_probes(unsigned int bits_per_key);
/* Bytes of a filter for n keys; 0 for none. A filter of 0 bytes says of every key that it may
 * have been added. probes: 1..16, the same for all keys of a filter. */
size_t lsm_filter_bytes(size_t n, unsigned int bits_per_key);
void lsm_filter_add(uint8_t *filter, size_t bytes, unsigned int probes, uint64_t hash);
/* False: the key was certainly not added. */
bool lsm_filter_test(const uint8_t *filter, size_t bytes, unsigned int probes,
		     uint64_t hash);
bool lsm_filter_test_scalar(const uint8_t *filter, size_t bytes, unsigned int probes,
			    uint64_t hash);
bool lsm_filter_test_simd(const uint8_t *filter, size_t bytes, unsigned int probes,
			  uint64_t hash);
void lsm_filter_prefetch(const uint8_t *filter, size_t bytes, uint64_t hash);

/* memcmp's order of keys, the shorter first. */
int lsm_key_compare(struct kv_slice a, struct kv_slice b);
int lsm_key_compare_scalar(struct kv_slice a, struct kv_slice b);
int lsm_key_compare_simd(struct kv_slice a, struct kv_slice b);

/* The same where it is asked for each entry of a scan: two words decide most of it here, without
 * a call. */
static inline int lsm_key_compare_inline(struct kv_slice a, struct kv_slice b)
{
	const uint8_t *p = a.data, *q = b.data;
	uint64_t x, y;

	if (a.len < 16 || b.len < 16)
		return lsm_key_compare(a, b);
	x = port_get_le64(p);
	y = port_get_le64(q);
	if (x == y) {
		x = port_get_le64(p + 8);
		y = port_get_le64(q + 8);
	}
	if (x == y)
		return lsm_key_compare(a, b);
	return __builtin_bswap64(x) < __builtin_bswap64(y) ? -1 : 1;
}

/* Are they the same? Of keys that follow one another the last bytes differ most often. */
static inline bool lsm_key_equal(struct kv_slice a, struct kv_slice b)
{
	const uint8_t *p = a.data, *q = b.data;

	if (a.len != b.len)
		return false;
	if (a.len >= 8 && port_get_le64(p + a.len - 8) != port_get_le64(q + b.len - 8))
		return false;
	return !a.len || !memcmp(p, q, a.len);
}

/* How many first bytes a and b share. */
size_t lsm_key_shared(struct kv_slice a, struct kv_slice b);
size_t lsm_key_shared_scalar(struct kv_slice a, struct kv_slice b);
size_t lsm_key_shared_simd(struct kv_slice a, struct kv_slice b);

/* How many of n ascending heads, little-endian 32-bit numbers at any address, are less than
 * head. */
unsigned int lsm_search_heads(const uint8_t *heads, unsigned int n, uint32_t head);
unsigned int lsm_search_heads_scalar(const uint8_t *heads, unsigned int n, uint32_t head);
unsigned int lsm_search_heads_simd(const uint8_t *heads, unsigned int n, uint32_t head);

const char *lsm_simd_name(void); /* "neon", "avx2", "sse2", "scalar" */

#endif /* NEON_LSM_OPS_H */
