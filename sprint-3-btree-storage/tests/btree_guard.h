/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_guard.h - memory between two pages that cannot be read: what looks beyond it ends
 * the test.
 */
#ifndef BTREE_GUARD_H
#define BTREE_GUARD_H

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct guard {
	uint8_t *map;
	size_t page, inner, bytes;
};

static inline struct guard guard_new(size_t bytes)
{
	struct guard g = { .page = (size_t)sysconf(_SC_PAGESIZE), .bytes = bytes };

	g.inner = (bytes + g.page - 1) / g.page * g.page;
	g.map = mmap(NULL, g.inner + 2 * g.page, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (g.map == MAP_FAILED || mprotect(g.map, g.page, PROT_NONE) ||
	    mprotect(g.map + g.page + g.inner, g.page, PROT_NONE))
		abort();
	return g;
}

/* Just behind the first of the two pages; just before the last. The same where memory's
 * pages are no larger than `bytes`. */
static inline void *guard_begin(const struct guard *g)
{
	return g->map + g->page;
}

static inline void *guard_end(const struct guard *g)
{
	return g->map + g->page + g->inner - g->bytes;
}

static inline void guard_free(const struct guard *g)
{
	(void)munmap(g->map, g->inner + 2 * g->page);
}

#endif /* BTREE_GUARD_H */
