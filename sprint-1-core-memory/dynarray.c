/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * dynarray.c - see dynarray.h.
 */
#include "dynarray.h"

void dynarray_init(struct dynarray *a, size_t size)
{
	*a = (struct dynarray){ .size = size };
}

void dynarray_free(struct dynarray *a)
{
	port_free(a->items);
	dynarray_init(a, a->size);
}

int dynarray_reserve(struct dynarray *a, size_t cap)
{
	/* EXERCISE 1.2 begin: room for cap items in all; port_realloc() moves them
	 *|	return -ENOMEM;
	 */
	void *items;

	if (cap <= a->cap)
		return 0;
	if (cap > SIZE_MAX / a->size)
		return -ENOMEM;
	items = port_realloc(a->items, a->cap * a->size, cap * a->size);
	if (!items)
		return -ENOMEM; /* realloc left the old block as it was */
	a->items = items;
	a->cap = cap;
	return 0;
	/* EXERCISE 1.2 end */
}

/* Half as much again: n pushes copy at most 3n items, and about a third lies idle at
 * worst. The 8 spares small arrays their first few moves. */
static int grow(struct dynarray *a)
{
	/* EXERCISE 1.2 begin: room for one item more; beware of sizes near SIZE_MAX
	 *|	return -ENOMEM;
	 */
	size_t more = a->cap / 2 + 8;

	if (a->n < a->cap)
		return 0;
	if (more > SIZE_MAX - a->cap)
		return -ENOMEM;
	return dynarray_reserve(a, a->cap + more);
	/* EXERCISE 1.2 end */
}

void *dynarray_insert(struct dynarray *a, size_t i, const void *item)
{
	/* EXERCISE 1.2 begin: room first, then move what is behind i, then copy the item in
	 *|	return NULL;
	 */
	char *at;

	if (grow(a))
		return NULL;
	at = dynarray_at(a, i);
	memmove(at + a->size, at, (a->n - i) * a->size);
	if (item)
		memcpy(at, item, a->size);
	else
		memset(at, 0, a->size);
	a->n++;
	return at;
	/* EXERCISE 1.2 end */
}

void *dynarray_push(struct dynarray *a, const void *item)
{
	return dynarray_insert(a, a->n, item);
}

void dynarray_remove(struct dynarray *a, size_t i, size_t count)
{
	/* EXERCISE 1.2 begin: close the gap of count items from i on */
	char *at = dynarray_at(a, i);

	if (!count)
		return; /* items may be NULL */
	memmove(at, at + count * a->size, (a->n - i - count) * a->size);
	a->n -= count;
	/* EXERCISE 1.2 end */
}
