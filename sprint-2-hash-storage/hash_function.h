/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_function.h - keys to 64 bits: FNV-1a, CRC32C, XXH64, XXH3; one key or several at a
 * time, by plain code or by the machine's vectors and checksum instructions.
 *
 * All ways to compute one function give the same bits on every machine; which way is used
 * is chosen once, by what the processor has. A store draws a seed, so that nobody can
 * prepare keys that fall together (Crosby and Wallach, "Denial of Service via Algorithmic
 * Complexity Attacks", 2003).
 *
 * The hashes of a seed and key never change between versions or machines: they may be kept
 * on disk beside the seed. A key of 0 bytes may be at NULL. Every bit of the 64 is as good
 * as another. What a function costs is in bench/hash_function_bench.c; xxh3 is the one to
 * take unless there is a reason, and fnv1a is here to be compared with.
 *
 * Threads: any call from any.
 */
#ifndef HASH_FUNCTION_H
#define HASH_FUNCTION_H

#include "../sprint-1-core-memory/kv.h"

struct hash_function {
	const char *name, *help; /* "fnv1a", "crc32c", "xxh64", "xxh3" */
	/* The reference: plain C. */
	uint64_t (*scalar)(uint64_t seed, const void *p, size_t n);
	/* The fastest way here for one key; the same bits. */
	uint64_t (*one)(uint64_t seed, const void *p, size_t n);
	/* The fastest way here for n keys, several at a time; the same bits. */
	void (*many)(uint64_t seed, const struct kv_slice *key, size_t n, uint64_t *hash);
};

/* The i-th function, NULL past the last; by name, NULL when there is none. */
const struct hash_function *hash_function_get(size_t i);
const struct hash_function *hash_function_find(const char *name);

/* True when the n bytes are equal: 16 at a time. */
bool hash_key_equal(const void *a, const void *b, size_t n);

#endif /* HASH_FUNCTION_H */
