/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_slab.h - the block cache's memory, in huge pages: a get that looks at a block somewhere
 * in a large cache else waits for the page's address before it waits for the block.
 *
 * Blocks have any size and come and go in any order. As in Bonwick's slab allocator ("The Slab
 * Allocator", 1994) sizes are rounded up to classes, sixteen to a doubling, and a span of
 * memory holds blocks of one class. A region of one huge page is cut into spans, so that a
 * class of which there are few blocks costs a span, not a huge page.
 *
 * Threads: all, but for lsm_slabs_free().
 */
#ifndef LSM_SLAB_H
#define LSM_SLAB_H

#include "lsm_entry.h"

enum { LSM_SLAB_MAX = 16 << 10 }; /* no larger blocks */

struct lsm_slabs;

int lsm_slabs_new(bool lock, struct lsm_slabs **out); /* lock: not swapped out. -ENOMEM */
void lsm_slabs_free(struct lsm_slabs *s); /* all blocks were given back; NULL is fine */
/* What a block of so many bytes, 1 to LSM_SLAB_MAX, takes. */
size_t lsm_slabs_room(size_t bytes);
/* At a multiple of 64. NULL: no memory. */
void *lsm_slabs_take(struct lsm_slabs *s, size_t bytes);
void lsm_slabs_give(struct lsm_slabs *s, void *p);
uint64_t lsm_slabs_bytes(struct lsm_slabs *s);  /* that the system was asked for */
uint64_t lsm_slabs_locked(struct lsm_slabs *s); /* of them will not be swapped out */

#endif /* LSM_SLAB_H */
