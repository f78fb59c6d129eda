/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * epoch.c - see epoch.h.
 *
 * The epoch is a counter that every retire raises. A reader writes the epoch at which it
 * came into a free slot; an item may go when each slot, looked at after the item was
 * retired, is free or holds a later epoch than the item's.
 *
 * Why no fence is needed: the collector looks at a slot by a read-modify-write, as a
 * reader does who takes it, so the two have an order. A reader who comes second has
 * synchronized with the collector and sees that the item was unlinked; one who comes first
 * is seen. And who entered at a later epoch has loaded that epoch by acquire, after the
 * unlinking and the retire that raised it.
 */
#include "epoch.h"

enum {
	EPOCH_LINE = 64,  /* bytes that processors pass around as one */
	EPOCH_BATCH = 32, /* retires between two attempts to collect */
};

struct epoch_slot {
	_Alignas(EPOCH_LINE) uint64_t epoch; /* atomic; 0: free */
};

struct epoch {
	/* atomic */
	struct epoch_slot slot[EPOCH_SLOTS];
	_Alignas(EPOCH_LINE) uint64_t now; /* from 1 */

	_Alignas(EPOCH_LINE) struct port_mutex lock;
	/* protected by lock; oldest first, so epochs rise along the list */
	struct epoch_item *first, **end;
	size_t waiting;
	unsigned int since_collect; /* retires */
};

int epoch_new(struct epoch **out)
{
	struct epoch *e = port_alloc_aligned(EPOCH_LINE, sizeof(*e));

	if (!e)
		return -ENOMEM;
	memset(e, 0, sizeof(*e));
	e->now = 1;
	e->end = &e->first;
	port_mutex_init(&e->lock);
	*out = e;
	return 0;
}

static void free_items(struct epoch_item *item)
{
	struct epoch_item *next;

	for (; item; item = next) {
		next = item->next;
		item->free(item);
	}
}

/* Takes the whole list. */
static struct epoch_item *detach_all(struct epoch *e)
{
	struct epoch_item *all = e->first;

	e->first = NULL;
	e->end = &e->first;
	e->waiting = 0;
	return all;
}

void epoch_free(struct epoch *e)
{
	if (!e)
		return;
	while (e->first) /* what a free retires in turn goes as well */
		free_items(detach_all(e));
	port_mutex_destroy(&e->lock);
	port_free_aligned(e);
}

/* Threads have stacks of their own, so a stack's address spreads them over the slots. */
static unsigned int first_slot(void)
{
	uint64_t place = (uintptr_t)__builtin_frame_address(0) >> 16;

	return (unsigned int)((place * 0x9e3779b97f4a7c15ull) >> 56) % EPOCH_SLOTS;
}

unsigned int epoch_enter(struct epoch *e)
{
	/* EXERCISE 2.8 begin: take a free slot with the epoch of now
	 *|	return 0;
	 */
	unsigned int i = first_slot();

	for (;; i = (i + 1) % EPOCH_SLOTS) {
		uint64_t *slot = &e->slot[i].epoch;
		uint64_t free = 0;

		if (port_load_relaxed(slot) == 0 &&
		    port_cas(slot, &free, port_load_acquire(&e->now)))
			return i;
	}
	/* EXERCISE 2.8 end */
}

void epoch_leave(struct epoch *e, unsigned int slot)
{
	/* EXERCISE 2.8 begin: the slot is free, after all that was read */
	port_store_release(&e->slot[slot].epoch, (uint64_t)0);
	/* EXERCISE 2.8 end */
}

/* The oldest epoch in a slot, or a later one than any item's. Adding nothing orders this
 * with the reader who takes the slot: a load would not. */
static uint64_t oldest_reader(struct epoch *e)
{
	/* EXERCISE 2.8 begin: no slot is overlooked whose reader came first
	 *|	return 0;
	 */
	uint64_t oldest = UINT64_MAX;
	unsigned int i;

	for (i = 0; i < EPOCH_SLOTS; i++) {
		uint64_t epoch = port_fetch_add(&e->slot[i].epoch, (uint64_t)0);

		if (epoch && epoch < oldest)
			oldest = epoch;
	}
	return oldest;
	/* EXERCISE 2.8 end */
}

/* Takes the items off the list that nobody can look at any more. Under the lock. */
static struct epoch_item *detach_free(struct epoch *e)
{
	/* EXERCISE 2.8 begin: the first of the list, up to the oldest reader
	 *|	return NULL;
	 */
	struct epoch_item *all = e->first, **p = &e->first;
	uint64_t oldest;

	e->since_collect = 0;
	if (!all)
		return NULL;
	oldest = oldest_reader(e);
	while (*p && (*p)->epoch < oldest) {
		p = &(*p)->next;
		e->waiting--;
	}
	if (!*p)
		return detach_all(e);
	if (p == &e->first)
		return NULL;
	e->first = *p;
	*p = NULL;
	return all;
	/* EXERCISE 2.8 end */
}

void epoch_retire(struct epoch *e, struct epoch_item *item)
{
	/* EXERCISE 2.8 begin: at the list's end, with its epoch; now and then collect */
	struct epoch_item *gone = NULL;

	port_mutex_lock(&e->lock);
	item->next = NULL;
	item->epoch = port_fetch_add(&e->now, (uint64_t)1);
	*e->end = item;
	e->end = &item->next;
	e->waiting++;
	if (++e->since_collect >= EPOCH_BATCH)
		gone = detach_free(e);
	port_mutex_unlock(&e->lock);
	free_items(gone);
	/* EXERCISE 2.8 end */
}

size_t epoch_collect(struct epoch *e)
{
	struct epoch_item *gone;
	size_t waiting;

	port_mutex_lock(&e->lock);
	gone = detach_free(e);
	waiting = e->waiting;
	port_mutex_unlock(&e->lock);
	free_items(gone);
	return waiting;
}
