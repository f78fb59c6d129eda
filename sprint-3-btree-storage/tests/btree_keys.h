/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_keys.h - random keys of several families, each hard in its own way.
 */
#ifndef BTREE_KEYS_H
#define BTREE_KEYS_H

#include "../../sprint-1-core-memory/tests/core_random.h"
#include "../btree_node.h"

enum btree_key_family {
	BTREE_KEYS_YCSB,     /* "user" and twenty digits */
	BTREE_KEYS_SHORT,    /* the empty key, and few bytes of few values */
	BTREE_KEYS_SHARED,   /* much in common, and then little */
	BTREE_KEYS_PREFIXES, /* each is the beginning of the others */
	BTREE_KEYS_BINARY,   /* zeroes and 0xff */
	BTREE_KEYS_LONG,     /* up to the limit, that differ at the end */
	BTREE_KEYS_HEADS,    /* long runs of equal heads */
	BTREE_KEYS_FAMILIES,
};

static inline void btree_keys_choose(uint8_t *p, size_t n, const char *of, size_t values)
{
	while (n--)
		*p++ = (uint8_t)of[core_random_below(values)];
}

static inline size_t btree_keys_long(uint8_t *out)
{
	size_t n = core_random_below(2) ? BTREE_KEY_MAX
					: BTREE_KEY_MAX - core_random_below(100);

	memset(out, core_random_below(8) ? 'k' : 'j', n);
	btree_keys_choose(out + n - 3, 3, "abcdefgh", 8);
	return n;
}

/* out has BTREE_KEY_MAX bytes; returns the key's length. */
static inline size_t btree_keys_make(enum btree_key_family family, uint8_t *out)
{
	char digits[32];
	size_t n;

	switch (family) {
	case BTREE_KEYS_YCSB:
		n = (size_t)snprintf(digits, sizeof(digits), "user%020llu",
				     (unsigned long long)core_random());
		memcpy(out, digits, n);
		return n;
	case BTREE_KEYS_SHORT:
		n = core_random_below(6);
		btree_keys_choose(out, n, "\0\1ab\xff", 5);
		return n;
	case BTREE_KEYS_SHARED:
		memset(out, 's', 40);
		n = core_random_below(6);
		core_random_bytes(out + 40, n);
		return 40 + n;
	case BTREE_KEYS_PREFIXES:
		n = core_random_below(BTREE_KEY_MAX + 1);
		memset(out, 'p', n);
		return n;
	case BTREE_KEYS_BINARY:
		n = core_random_below(20);
		btree_keys_choose(out, n, "\0\xff", 2);
		return n;
	case BTREE_KEYS_LONG:
		return btree_keys_long(out);
	default:
		n = core_random_below(7);
		memset(out, 'h', 9);
		out[3] = (uint8_t)('a' + core_random_below(3));
		btree_keys_choose(out + 9, n, "xyz", 3);
		return 9 + n;
	}
}

#endif /* BTREE_KEYS_H */
