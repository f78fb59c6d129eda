/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * arena.h - many small allocations that die together.
 *
 * A bump allocator: memory comes from chunks, an allocation moves a pointer, and nothing
 * is freed alone. A memtable is one, a parsed request is one. After Hanson, "Fast
 * Allocation and Deallocation of Memory Based on Object Lifetimes" (1990).
 *
 * Threads: one at a time.
 */
#ifndef ARENA_H
#define ARENA_H

#include "port.h"

struct arena_chunk;

struct arena {
	struct arena_chunk *chunks; /* newest first */
	size_t chunk_bytes;         /* of an ordinary chunk, header included */
	size_t used, capacity;      /* bytes handed out, padding included; bytes held */
};

/* chunk_bytes: 256 or more. Allocates nothing yet. */
void arena_init(struct arena *a, size_t chunk_bytes);
void arena_free(struct arena *a); /* everything; the arena is empty and usable again */

/* n bytes at a multiple of align (a power of two, at most 4096), NULL when out of memory.
 * A request that no chunk can hold gets a chunk of its own. n may be 0. */
void *arena_alloc(struct arena *a, size_t n, size_t align);

#endif /* ARENA_H */
