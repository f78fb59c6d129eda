/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_arena.c - chunks of memory, and bump allocation in them by several threads: see
 * lsm_arena.h.
 */
#include "lsm_arena.h"

enum {
	CHUNK_BYTES = 256 << 10, /* header included, at most */
	CHUNK_MIN = 16 << 10,
	CHUNKS = 32,                  /* that what is kept is made of, at least */
	HUGE_FROM = 16,               /* ... in huge pages */
	CHUNK_HUGE = PORT_HUGE_BYTES, /* the same in huge pages */
	LARGE = 4,                    /* more than a fourth of a chunk gets its own */
	FAULT = 4096,                 /* the smallest page of memory there is */
};

_Static_assert(sizeof(struct lsm_chunk) <= LSM_CHUNK_HEADER,
	       "a chunk's header is one line");

struct lsm_memory {
	/* constant */
	bool huge;
	uint64_t keep_bytes;
	size_t chunk_bytes; /* of an ordinary one, header included */
	/* atomic */
	uint64_t bytes;
	/* protected by lock */
	struct port_mutex lock;
	struct lsm_chunk *kept;  /* ordinary ones */
	struct lsm_chunk *large; /* other ones */
	uint64_t kept_bytes;
};

/* ---- chunks ---- */

static size_t ordinary_bytes(const struct lsm_memory *m)
{
	return m->chunk_bytes - LSM_CHUNK_HEADER;
}

/* The last chunk of each memtable is empty in part: what that costs shall be little of all. */
static size_t chunk_bytes(uint64_t keep_bytes)
{
	uint64_t bytes = keep_bytes / CHUNKS / FAULT * FAULT;

	if (bytes < CHUNK_MIN)
		return CHUNK_MIN;
	return bytes < CHUNK_BYTES ? (size_t)bytes : (size_t)CHUNK_BYTES;
}

int lsm_memory_new(uint64_t keep_bytes, bool huge, struct lsm_memory **out)
{
	struct lsm_memory *m = port_alloc(sizeof(*m));

	if (!m)
		return -ENOMEM;
	memset(m, 0, sizeof(*m));
	m->keep_bytes = keep_bytes;
	m->huge = huge && keep_bytes >= (uint64_t)HUGE_FROM * CHUNK_HUGE;
	m->chunk_bytes = m->huge ? CHUNK_HUGE : chunk_bytes(keep_bytes);
	port_mutex_init(&m->lock);
	*out = m;
	return 0;
}

static void chunk_free(struct lsm_memory *m, struct lsm_chunk *c)
{
	const size_t whole = c->bytes + LSM_CHUNK_HEADER;

	(void)port_fetch_add(&m->bytes, (uint64_t)-whole);
	if (m->huge)
		port_free_huge(c, whole);
	else
		port_free_aligned(c);
}

void lsm_memory_free(struct lsm_memory *m)
{
	struct lsm_chunk *c;

	if (!m)
		return;
	while ((c = m->kept)) {
		m->kept = c->next;
		chunk_free(m, c);
	}
	while ((c = m->large)) {
		m->large = c->next;
		chunk_free(m, c);
	}
	port_mutex_destroy(&m->lock);
	port_free(m);
}

uint64_t lsm_memory_bytes(const struct lsm_memory *m)
{
	return port_load_relaxed(&m->bytes);
}

static struct lsm_chunk *chunk_alloc(struct lsm_memory *m, size_t bytes)
{
	size_t whole, at;
	char *p;

	if (bytes > SIZE_MAX - 2 * (size_t)CHUNK_HUGE)
		return NULL;
	whole = bytes + LSM_CHUNK_HEADER;
	if (m->huge) {
		whole = (whole + CHUNK_HUGE - 1) & ~(size_t)(CHUNK_HUGE - 1);
		p = port_alloc_huge(whole);
	} else {
		p = port_alloc_aligned(LSM_CHUNK_HEADER, whole);
	}
	if (!p)
		return NULL;
	for (at = 0; at < whole; at += FAULT)
		port_store_relaxed(p + at, (char)0);
	((struct lsm_chunk *)(void *)p)->bytes = whole - LSM_CHUNK_HEADER;
	(void)port_fetch_add(&m->bytes, (uint64_t)whole);
	return (struct lsm_chunk *)(void *)p;
}

/* One of the kept ones that has bytes, and not twice as many. */
static struct lsm_chunk *chunk_kept(struct lsm_memory *m, size_t bytes, bool ordinary)
{
	struct lsm_chunk **p, *c;

	port_mutex_lock(&m->lock);
	p = ordinary ? &m->kept : &m->large;
	while (!ordinary && *p && ((*p)->bytes < bytes || (*p)->bytes / 2 > bytes))
		p = &(*p)->next;
	c = *p;
	if (c) {
		*p = c->next;
		m->kept_bytes -= c->bytes;
	}
	port_mutex_unlock(&m->lock);
	return c;
}

struct lsm_chunk *lsm_memory_take(struct lsm_memory *m, size_t bytes)
{
	const size_t whole = bytes ? bytes : ordinary_bytes(m);
	struct lsm_chunk *c = chunk_kept(m, whole, whole == ordinary_bytes(m));

	if (!c)
		c = chunk_alloc(m, whole);
	if (c) {
		c->next = NULL;
		c->used = 0;
	}
	return c;
}

void lsm_memory_give(struct lsm_memory *m, struct lsm_chunk *c)
{
	struct lsm_chunk **list = c->bytes == ordinary_bytes(m) ? &m->kept : &m->large;
	bool keep;

	port_mutex_lock(&m->lock);
	keep = c->bytes <= m->keep_bytes && m->kept_bytes <= m->keep_bytes - c->bytes;
	if (keep) {
		c->next = *list;
		*list = c;
		m->kept_bytes += c->bytes;
	}
	port_mutex_unlock(&m->lock);
	if (!keep)
		chunk_free(m, c);
}

/* ---- the arena ---- */

void lsm_arena_init(struct lsm_arena *a, struct lsm_memory *m)
{
	memset(a, 0, sizeof(*a));
	a->memory = m;
	port_mutex_init(&a->lock);
}

static void give_all(struct lsm_memory *m, struct lsm_chunk *c)
{
	struct lsm_chunk *next;

	for (; c; c = next) {
		next = c->next;
		lsm_memory_give(m, c);
	}
}

void lsm_arena_free(struct lsm_arena *a)
{
	give_all(a->memory, a->taken);
	give_all(a->memory, a->ready);
	port_mutex_destroy(&a->lock);
}

int lsm_arena_prepare(struct lsm_arena *a, size_t bytes)
{
	const size_t chunk = ordinary_bytes(a->memory);
	size_t ready;

	for (ready = 0; ready < bytes; ready += chunk) {
		struct lsm_chunk *c = lsm_memory_take(a->memory, 0);

		if (!c)
			return -ENOMEM;
		c->next = a->ready;
		a->ready = c;
	}
	return 0;
}

/* Another chunk instead of `full`, unless another thread was faster. */
static int next_chunk(struct lsm_arena *a, struct lsm_chunk *full)
{
	struct lsm_chunk *c;
	int error = 0;

	port_mutex_lock(&a->lock);
	if (port_load_relaxed(&a->current) != full)
		goto out;
	c = a->ready;
	if (c)
		a->ready = c->next;
	else
		c = lsm_memory_take(a->memory, 0);
	if (!c) {
		error = -ENOMEM;
		goto out;
	}
	if (full)
		(void)port_fetch_add(&a->closed_bytes, (uint64_t)full->bytes);
	c->next = a->taken;
	a->taken = c;
	port_store_release(&a->current, c);
out:
	port_mutex_unlock(&a->lock);
	return error;
}

static int reserve_large(struct lsm_arena *a, size_t bytes, char **out)
{
	struct lsm_chunk *c = lsm_memory_take(a->memory, bytes);

	if (!c)
		return -ENOMEM;
	(void)port_fetch_add(&a->closed_bytes, (uint64_t)c->bytes);
	*out = lsm_chunk_memory(c);
	port_mutex_lock(&a->lock);
	c->next = a->taken;
	a->taken = c;
	port_mutex_unlock(&a->lock);
	return 0;
}

int lsm_arena_reserve(struct lsm_arena *a, size_t bytes, char **out)
{
	struct lsm_chunk *c;
	uint64_t at;
	int error;

	if (bytes > ordinary_bytes(a->memory) / LARGE)
		return reserve_large(a, bytes, out);
	for (;;) {
		c = port_load_acquire(&a->current);
		if (c) {
			at = port_fetch_add(&c->used, (uint64_t)bytes);
			if (at <= c->bytes - bytes) {
				*out = lsm_chunk_memory(c) + at;
				return 0;
			}
		}
		error = next_chunk(a, c);
		if (error)
			return error;
	}
}

/* All of a chunk of its own: who could not use it tries again, or not at all. */
static void return_large(struct lsm_arena *a, const char *from)
{
	struct lsm_chunk **p, *c;

	port_mutex_lock(&a->lock);
	for (p = &a->taken; *p && lsm_chunk_memory(*p) != from;)
		p = &(*p)->next;
	c = *p;
	if (c) {
		*p = c->next;
		(void)port_fetch_add(&a->closed_bytes, (uint64_t)-c->bytes);
	}
	port_mutex_unlock(&a->lock);
	if (c)
		lsm_memory_give(a->memory, c);
}

void lsm_arena_return(struct lsm_arena *a, const char *from, const char *end)
{
	struct lsm_chunk *c;
	uint64_t used;

	if ((size_t)(end - from) > ordinary_bytes(a->memory) / LARGE) {
		return_large(a, from);
		return;
	}
	c = port_load_acquire(&a->current);
	if (!c || end <= lsm_chunk_memory(c) || end > lsm_chunk_memory(c) + c->bytes)
		return;
	used = (uint64_t)(end - lsm_chunk_memory(c));
	(void)port_cas(&c->used, &used, used - (uint64_t)(end - from));
}

uint64_t lsm_arena_bytes(const struct lsm_arena *a)
{
	const struct lsm_chunk *c = port_load_acquire(&a->current);
	uint64_t used = c ? port_load_relaxed(&c->used) : 0;

	if (c && used > c->bytes)
		used = c->bytes;
	return port_load_relaxed(&a->closed_bytes) + used;
}
