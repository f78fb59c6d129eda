/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * port_memory.c - port.h's allocator for programs: the C library's. Tests link
 * port_fault.c instead.
 */
#include "port.h"

void *port_alloc(size_t n)
{
	return malloc(n ? n : 1);
}

void *port_realloc(void *p, size_t old, size_t n)
{
	(void)old;
	return realloc(p, n ? n : 1);
}

void port_free(void *p)
{
	free(p);
}

void *port_alloc_aligned(size_t align, size_t n)
{
	void *p;

	if (align < sizeof(void *))
		align = sizeof(void *);
	return posix_memalign(&p, align, n ? n : 1) ? NULL : p;
}

void port_free_aligned(void *p)
{
	free(p);
}
