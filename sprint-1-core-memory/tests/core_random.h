/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * core_random.h - random bytes by seed, for the tests of the ground floor.
 *
 * Each test program has its own state; core_random_start() puts it at the beginning.
 */
#ifndef CORE_RANDOM_H
#define CORE_RANDOM_H

#include "../port.h"

enum { CORE_SEED = 0x5eed0100 };

static uint64_t core_random_state;

static inline void core_random_start(void)
{
	core_random_state = CORE_SEED;
}

static inline uint64_t core_random(void) /* splitmix64 */
{
	uint64_t z = core_random_state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static inline size_t core_random_below(size_t n)
{
	return core_random() % n;
}

static inline void core_random_bytes(void *p, size_t n)
{
	uint8_t *b = p;

	while (n--)
		*b++ = (uint8_t)core_random();
}

static inline bool core_is_filled(const uint8_t *p, size_t n, uint8_t with)
{
	while (n && *p == with)
		n--, p++;
	return !n;
}

#endif /* CORE_RANDOM_H */
