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
}

/* Half as much again: n pushes copy at most 3n items, and about a third lies idle at
 * worst. The 8 spares small arrays their first few moves. */
static int grow(struct dynarray *a)
{
	size_t more = a->cap / 2 + 8;

	if (a->n < a->cap)
		return 0;
	if (more > SIZE_MAX - a->cap)
		return -ENOMEM;
	return dynarray_reserve(a, a->cap + more);
}

void *dynarray_insert(struct dynarray *a, size_t i, const void *item)
{
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
}

void *dynarray_push(struct dynarray *a, const void *item)
{
	return dynarray_insert(a, a->n, item);
}

void dynarray_remove(struct dynarray *a, size_t i, size_t count)
{
	char *at = dynarray_at(a, i);

	if (!count)
		return; /* items may be NULL */
	memmove(at, at + count * a->size, (a->n - i - count) * a->size);
	a->n -= count;
}
