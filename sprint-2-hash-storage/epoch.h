/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * epoch.h - when may memory that a reader might still look at be freed?
 *
 * Readers announce themselves around each look; a writer unlinks an object, hands it to
 * epoch_retire(), and it is freed once every reader that was inside at that moment has
 * left. Readers write one cache line of their own and never wait. After Fraser,
 * "Practical lock-freedom" (2004), and the kernel's RCU, which takes this one's place there.
 *
 *	unsigned int slot = epoch_enter(e);
 *	... follow pointers loaded with port_load_acquire() ...
 *	epoch_leave(e, slot);
 */
#ifndef EPOCH_H
#define EPOCH_H

#include "../sprint-1-core-memory/port.h"

struct epoch;

struct epoch_item { /* embedded in what is retired */
	struct epoch_item *next;
	uint64_t epoch;
	void (*free)(struct epoch_item *item);
};

int epoch_new(struct epoch **out); /* -ENOMEM */
void epoch_free(struct epoch *e);  /* no reader inside; frees everything retired */

/* From any thread, nested too. More readers at once than EPOCH_SLOTS spin for a slot. */
enum { EPOCH_SLOTS = 256 };
unsigned int epoch_enter(struct epoch *e);
void epoch_leave(struct epoch *e, unsigned int slot);

/* item->free runs later, in some thread's epoch_retire() or epoch_collect(). No lock that
 * free takes may be held here. */
void epoch_retire(struct epoch *e, struct epoch_item *item);
/* Frees what can be freed now; returns how many items still wait. */
size_t epoch_collect(struct epoch *e);

#endif /* EPOCH_H */
