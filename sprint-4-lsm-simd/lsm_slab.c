/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_slab.c - blocks of size classes in spans of huge pages: see lsm_slab.h.
 *
 * A region's header stands at its beginning, where its first span is shorter by it, so a
 * block's address says which region and which span it is in.
 */
#include "lsm_slab.h"

#include "../sprint-1-core-memory/port_range.h"

enum {
	UNIT = 64,
	STEPS = 16, /* classes to a doubling */
	CLASSES = 5 * STEPS,
	REGION = PORT_RANGE_ALIGN,
	SPAN = 64 << 10,
	SPANS = REGION / SPAN,
};

struct free_block {
	struct free_block *next;
};

struct span {
	struct span *next, *before; /* in its class's list while it has room */
	struct free_block *free;    /* given back */
	uint32_t fresh, end;        /* in the region: room that no block was in yet */
	uint32_t used;              /* blocks; 0: the span has no class */
	uint32_t class;
};

struct region {
	struct port_range memory;     /* that it is at the beginning of */
	struct region *next, *before; /* in the list of those with a free span */
	unsigned int spans;           /* in use */
	struct span span[SPANS];
};

_Static_assert(sizeof(struct region) < SPAN / 2, "a first span has room for blocks");

struct lsm_slabs {
	bool lock_memory; /* constant */
	struct port_mutex lock;
	/* protected by lock */
	struct span with_room[CLASSES]; /* heads of rings */
	struct region *region;          /* with a free span */
	uint64_t regions;               /* all of them */
	uint64_t locked;                /* bytes of them */
};

/* ---- classes ---- */

/* Up to 16 units each number of them is a class; above, every doubling has 16. */
static unsigned int class_of(size_t bytes)
{
	unsigned int n = (unsigned int)((bytes + UNIT - 1) / UNIT) - 1, shift;

	if (n < STEPS)
		return n;
	shift = 31 - (unsigned int)__builtin_clz(n) - 4;
	return STEPS * shift + (n >> shift);
}

static uint32_t class_bytes(unsigned int class)
{
	if (class < STEPS)
		return (class + 1) * UNIT;
	return (class % STEPS + STEPS + 1) * UNIT << (class / STEPS - 1);
}

size_t lsm_slabs_room(size_t bytes)
{
	return class_bytes(class_of(bytes));
}

/* ---- rings of spans, a list of regions ---- */

static void ring_add(struct span *head, struct span *s)
{
	s->next = head->next;
	s->before = head;
	s->next->before = s;
	head->next = s;
}

static void ring_remove(struct span *s)
{
	s->next->before = s->before;
	s->before->next = s->next;
}

static void region_add(struct lsm_slabs *s, struct region *r)
{
	r->before = NULL;
	r->next = s->region;
	if (r->next)
		r->next->before = r;
	s->region = r;
}

static void region_remove(struct lsm_slabs *s, struct region *r)
{
	if (r->next)
		r->next->before = r->before;
	if (r->before)
		r->before->next = r->next;
	else
		s->region = r->next;
}

static struct region *region_of(void *p)
{
	return (void *)((uint8_t *)p - (uintptr_t)p % REGION);
}

/* ---- making and freeing ---- */

static void region_free(struct region *r)
{
	struct port_range memory = r->memory;

	port_range_release(&memory);
}

int lsm_slabs_new(bool lock, struct lsm_slabs **out)
{
	struct lsm_slabs *s = port_alloc(sizeof(*s));
	unsigned int i;

	if (!s)
		return -ENOMEM;
	memset(s, 0, sizeof(*s));
	s->lock_memory = lock;
	port_mutex_init(&s->lock);
	for (i = 0; i < CLASSES; i++)
		s->with_room[i].next = s->with_room[i].before = &s->with_room[i];
	*out = s;
	return 0;
}

void lsm_slabs_free(struct lsm_slabs *s)
{
	struct region *r, *next;

	if (!s)
		return;
	for (r = s->region; r; r = next) {
		next = r->next;
		region_free(r);
	}
	port_mutex_destroy(&s->lock);
	port_free(s);
}

uint64_t lsm_slabs_bytes(struct lsm_slabs *s)
{
	uint64_t bytes;

	port_mutex_lock(&s->lock);
	bytes = s->regions * REGION;
	port_mutex_unlock(&s->lock);
	return bytes;
}

uint64_t lsm_slabs_locked(struct lsm_slabs *s)
{
	uint64_t bytes;

	port_mutex_lock(&s->lock);
	bytes = s->locked;
	port_mutex_unlock(&s->lock);
	return bytes;
}

/* ---- under the lock: spans ---- */

static struct region *region_new(struct lsm_slabs *s)
{
	struct port_range memory;
	struct region *r;

	if (port_range_reserve(&memory, REGION, REGION,
			       PORT_RANGE_HUGE | (s->lock_memory ? PORT_RANGE_LOCK : 0u)))
		return NULL;
	if (port_range_grow(&memory, REGION)) {
		port_range_release(&memory);
		return NULL;
	}
	r = (void *)memory.base;
	memset(r, 0, sizeof(*r));
	r->memory = memory;
	region_add(s, r);
	s->regions++;
	s->locked += memory.locked;
	return r;
}

static struct span *span_new(struct lsm_slabs *s, unsigned int class)
{
	const uint32_t header = (sizeof(struct region) + UNIT - 1) / UNIT * UNIT;
	struct region *r = s->region ? s->region : region_new(s);
	unsigned int i = 0;

	if (!r)
		return NULL;
	while (r->span[i].used)
		i++;
	r->span[i] = (struct span){ .fresh = i ? i * SPAN : header,
				    .end = (i + 1) * SPAN,
				    .class = class };
	if (++r->spans == SPANS)
		region_remove(s, r);
	ring_add(&s->with_room[class], &r->span[i]);
	return &r->span[i];
}

static bool span_has_room(const struct span *p)
{
	return p->free || p->end - p->fresh >= class_bytes(p->class);
}

static void *span_take(struct span *p, struct region *r)
{
	struct free_block *b = p->free;

	if (b) {
		p->free = b->next;
	} else {
		b = (void *)((uint8_t *)r + p->fresh);
		p->fresh += class_bytes(p->class);
	}
	p->used++;
	if (!span_has_room(p))
		ring_remove(p);
	return b;
}

/* The last block of a span was given back. A region of which nothing is left in use goes,
 * unless no other one has room. NULL, or what is to be given back to the system. */
static struct region *span_free(struct lsm_slabs *s, struct span *p, struct region *r)
{
	ring_remove(p);
	if (r->spans-- == SPANS)
		region_add(s, r);
	if (r->spans || (!r->before && !r->next))
		return NULL;
	region_remove(s, r);
	s->regions--;
	s->locked -= r->memory.locked;
	return r;
}

/* ---- blocks ---- */

void *lsm_slabs_take(struct lsm_slabs *s, size_t bytes)
{
	const unsigned int class = class_of(bytes);
	struct span *head = &s->with_room[class], *p;
	void *block = NULL;

	port_mutex_lock(&s->lock);
	p = head->next != head ? head->next : span_new(s, class);
	if (p)
		block = span_take(p, region_of(p));
	port_mutex_unlock(&s->lock);
	return block;
}

void lsm_slabs_give(struct lsm_slabs *s, void *p)
{
	struct region *r = region_of(p), *gone = NULL;
	struct span *at = &r->span[(uintptr_t)p % REGION / SPAN];
	struct free_block *b = p;

	port_mutex_lock(&s->lock);
	if (!span_has_room(at))
		ring_add(&s->with_room[at->class], at);
	b->next = at->free;
	at->free = b;
	if (!--at->used)
		gone = span_free(s, at, r);
	port_mutex_unlock(&s->lock);
	if (gone)
		region_free(gone);
}
