/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * arena.c - see arena.h.
 */
#include "arena.h"

struct arena_chunk {
	struct arena_chunk *next;
	size_t size, used; /* of bytes */
	_Alignas(16) uint8_t bytes[];
};

void arena_init(struct arena *a, size_t chunk_bytes)
{
	*a = (struct arena){ .chunk_bytes = chunk_bytes < 256 ? 256 : chunk_bytes };
}

void arena_free(struct arena *a)
{
	/* EXERCISE 1.5 begin: every chunk, then as new */
	struct arena_chunk *c = a->chunks, *next;

	for (; c; c = next) {
		next = c->next;
		port_free(c);
	}
	arena_init(a, a->chunk_bytes);
	/* EXERCISE 1.5 end */
}

/* How many bytes before the next multiple of align in c. */
static size_t padding(const struct arena_chunk *c, size_t align)
{
	/* EXERCISE 1.5 begin: it is the address that must be a multiple
	 *|	return 0;
	 */
	uintptr_t p = (uintptr_t)(c->bytes + c->used);

	return (size_t)(-p & (align - 1));
	/* EXERCISE 1.5 end */
}

static struct arena_chunk *chunk_new(struct arena *a, size_t size)
{
	/* EXERCISE 1.5 begin: a chunk with size bytes behind its header, in no list yet
	 *|	return NULL;
	 */
	struct arena_chunk *c;

	if (size > SIZE_MAX - sizeof(*c))
		return NULL;
	c = port_alloc(sizeof(*c) + size);
	if (!c)
		return NULL;
	c->size = size;
	c->used = 0;
	a->capacity += sizeof(*c) + size;
	return c;
	/* EXERCISE 1.5 end */
}

void *arena_alloc(struct arena *a, size_t n, size_t align)
{
	/* EXERCISE 1.5 begin: does it fit into the newest; else which chunk, and where
	 *|	return NULL;
	 */
	struct arena_chunk *c = a->chunks;
	size_t ordinary = a->chunk_bytes - sizeof(*c), pad;
	bool own;

	if (n > SIZE_MAX - align)
		return NULL;
	if (!c || c->size - c->used < n || c->size - c->used - n < padding(c, align)) {
		own = n + align > ordinary;
		c = chunk_new(a, own ? n + align : ordinary);
		if (!c)
			return NULL;
		/* Behind the newest when it is for one request alone, so that what is left
		 * of the newest stays in use. */
		if (own && a->chunks) {
			c->next = a->chunks->next;
			a->chunks->next = c;
		} else {
			c->next = a->chunks;
			a->chunks = c;
		}
	}
	pad = padding(c, align);
	c->used += pad + n;
	a->used += pad + n;
	return c->bytes + c->used - n;
	/* EXERCISE 1.5 end */
}
