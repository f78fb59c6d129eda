/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * port_memory.c - port.h's allocator for programs: the C library's. Tests link
 * port_fault.c instead.
 */
#include "port_range.h"

#include <sys/mman.h>

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

void *port_alloc_huge(size_t n)
{
	void *p = port_alloc_aligned(PORT_HUGE_BYTES, n);

	/* Advice: where it is not taken, the memory is as good as any. */
	if (p)
		(void)madvise(p, n, MADV_HUGEPAGE);
	return p;
}

void port_free_huge(void *p, size_t n)
{
	(void)n;
	free(p);
}

bool port_memory_admit(void)
{
	return true;
}

void port_memory_count(int64_t allocations, int64_t bytes)
{
	(void)allocations;
	(void)bytes;
}
