/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_pool.h - memory for the index's leaves: pieces of a few sizes, carved out of slabs.
 *
 * A random look-up pays for two misses, of the line and of the page's translation; with
 * pages of 2 MiB the second nearly always hits. A system gives such pages to memory that is
 * large and aligned, so leaves are carved side by side out of slabs of that size, and
 * these are taken from the system once and kept: a piece that is given back is used again
 * for the next leaf of its size. After Bonwick, "The Slab Allocator" (1994).
 *
 * The slabs of a small pool are single pieces, so that little lies unused.
 *
 * Threads: any.
 */
#ifndef HASH_POOL_H
#define HASH_POOL_H

#include "../sprint-1-core-memory/port.h"

enum { HASH_POOL_SIZES = 8, HASH_POOL_ALIGN = 128 };

struct hash_pool_slab;
struct hash_pool_piece;

struct hash_pool {
	/* constant */
	size_t size[HASH_POOL_SIZES]; /* of a piece, a multiple of HASH_POOL_ALIGN */

	struct port_mutex lock;
	/* protected by lock */
	struct hash_pool_slab *slab; /* a list, newest first */
	size_t used;                 /* bytes of the newest */
	uint64_t bytes;              /* of all slabs */
	struct hash_pool_piece *free[HASH_POOL_SIZES];
};

/* size[i] is what a piece of kind i takes; it is rounded up. */
void hash_pool_init(struct hash_pool *p, const size_t size[HASH_POOL_SIZES]);
/* Frees all slabs, whatever was not given back. */
void hash_pool_destroy(struct hash_pool *p);

/* A piece at a multiple of HASH_POOL_ALIGN, its bytes undefined; NULL when memory is out. */
void *hash_pool_take(struct hash_pool *p, unsigned int kind);
void hash_pool_give(struct hash_pool *p, unsigned int kind, void *piece);

/* True when a piece of this kind would have to come from a slab, as none was given back. */
bool hash_pool_wants(struct hash_pool *p, unsigned int kind);
uint64_t hash_pool_bytes(struct hash_pool *p); /* taken from the system */

#endif /* HASH_POOL_H */
