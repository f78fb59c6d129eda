/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * dynarray.h - an array that grows: items of one size, side by side.
 *
 *	struct dynarray a;
 *	dynarray_init(&a, sizeof(struct thing));
 *	struct thing *t = dynarray_push(&a, &thing);   NULL when out of memory
 *	t = dynarray_at(&a, i);
 *	dynarray_free(&a);
 *
 * Pointers to items are good until the next call that grows. Threads: one at a time.
 */
#ifndef DYNARRAY_H
#define DYNARRAY_H

#include "port.h"

struct dynarray {
	void *items;
	size_t n, cap; /* items */
	size_t size;   /* bytes of an item */
};

void dynarray_init(struct dynarray *a, size_t size); /* size > 0; allocates nothing */
void dynarray_free(struct dynarray *a);              /* empty and usable again */

/* Room for cap items in all. -ENOMEM leaves the array as it was. */
int dynarray_reserve(struct dynarray *a, size_t cap);
/* Copies an item (zeros if NULL) to position i, moving those behind it; i <= n. Returns
 * its place, NULL when out of memory and then nothing has changed. item is not one of the
 * array's own, which growing may move. */
void *dynarray_insert(struct dynarray *a, size_t i, const void *item);
void *dynarray_push(struct dynarray *a, const void *item);
void dynarray_remove(struct dynarray *a, size_t i, size_t count); /* i + count <= n */

static inline void *dynarray_at(const struct dynarray *a, size_t i)
{
	return (char *)a->items + i * a->size;
}

#endif /* DYNARRAY_H */
