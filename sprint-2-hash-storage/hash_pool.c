/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_pool.c - see hash_pool.h.
 *
 * While there is little, each piece is a slab of its own, and nothing lies unused; from then
 * on slabs are of the size of a huge page, which is small beside the rest.
 */
#include "hash_pool.h"

enum { SLAB_SHARE = 8 }; /* a slab's, at most, of what there is already */

struct hash_pool_slab { /* beside its memory, which is pieces alone */
	struct hash_pool_slab *next;
	uint8_t *memory;
	size_t bytes;
	bool huge;
};

struct hash_pool_piece { /* one that was given back */
	struct hash_pool_piece *next;
};

void hash_pool_init(struct hash_pool *p, const size_t size[HASH_POOL_SIZES])
{
	unsigned int i;

	memset(p, 0, sizeof(*p));
	port_mutex_init(&p->lock);
	for (i = 0; i < HASH_POOL_SIZES; i++)
		p->size[i] =
			(size[i] + HASH_POOL_ALIGN - 1) & ~(size_t)(HASH_POOL_ALIGN - 1);
}

static void slab_free(struct hash_pool_slab *s)
{
	if (s->huge)
		port_free_huge(s->memory, s->bytes);
	else
		port_free_aligned(s->memory);
	port_free(s);
}

void hash_pool_destroy(struct hash_pool *p)
{
	struct hash_pool_slab *s, *next;

	for (s = p->slab; s; s = next) {
		next = s->next;
		slab_free(s);
	}
	port_mutex_destroy(&p->lock);
}

static size_t slab_bytes(const struct hash_pool *p, size_t piece)
{
	if (p->bytes / SLAB_SHARE < PORT_HUGE_BYTES)
		return piece;
	return (piece + PORT_HUGE_BYTES - 1) & ~(size_t)(PORT_HUGE_BYTES - 1);
}

static void give(struct hash_pool *p, unsigned int kind, void *piece)
{
	struct hash_pool_piece *given = piece;

	given->next = p->free[kind];
	p->free[kind] = given;
}

static bool has_room(const struct hash_pool *p, size_t piece)
{
	return p->slab && piece <= p->slab->bytes - p->used;
}

static void *carve(struct hash_pool *p, size_t piece)
{
	void *carved = p->slab->memory + p->used;

	p->used += piece;
	return carved;
}

/* What is left of the newest slab becomes pieces of the kinds that fit. */
static void use_up(struct hash_pool *p)
{
	unsigned int i;

	for (i = 0; i < HASH_POOL_SIZES; i++)
		while (has_room(p, p->size[i]))
			give(p, i, carve(p, p->size[i]));
}

/* Under the lock: a slab with room for such a piece; false when memory is out. */
static bool add_slab(struct hash_pool *p, size_t piece)
{
	struct hash_pool_slab *s = port_alloc(sizeof(*s));

	if (!s)
		return false;
	s->bytes = slab_bytes(p, piece);
	s->huge = s->bytes % PORT_HUGE_BYTES == 0;
	s->memory = s->huge ? port_alloc_huge(s->bytes)
			    : port_alloc_aligned(HASH_POOL_ALIGN, s->bytes);
	if (!s->memory) {
		port_free(s);
		return false;
	}
	use_up(p);
	s->next = p->slab;
	p->slab = s;
	p->used = 0;
	p->bytes += s->bytes;
	return true;
}

void *hash_pool_take(struct hash_pool *p, unsigned int kind)
{
	const size_t size = p->size[kind];
	struct hash_pool_piece *piece;
	void *taken = NULL;

	port_mutex_lock(&p->lock);
	piece = p->free[kind];
	if (piece) {
		p->free[kind] = piece->next;
		taken = piece;
	} else if (has_room(p, size) || add_slab(p, size)) {
		taken = carve(p, size);
	}
	port_mutex_unlock(&p->lock);
	return taken;
}

void hash_pool_give(struct hash_pool *p, unsigned int kind, void *piece)
{
	port_mutex_lock(&p->lock);
	give(p, kind, piece);
	port_mutex_unlock(&p->lock);
}

bool hash_pool_wants(struct hash_pool *p, unsigned int kind)
{
	bool wants;

	port_mutex_lock(&p->lock);
	wants = !p->free[kind];
	port_mutex_unlock(&p->lock);
	return wants;
}

uint64_t hash_pool_bytes(struct hash_pool *p)
{
	uint64_t bytes;

	port_mutex_lock(&p->lock);
	bytes = p->bytes;
	port_mutex_unlock(&p->lock);
	return bytes;
}
