/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * port_range.c - port_range.h in userspace: addresses without access from mmap(2), to which
 * mprotect(2) gives access step by step.
 */
#include "port_range.h"

#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24 /* Linux 5.18 */
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif
#ifndef MLOCK_ONFAULT
#define MLOCK_ONFAULT 1
#endif

/* A call of mprotect() makes so much usable; in large ranges more. */
enum { STEP = PORT_RANGE_ALIGN, LARGE_STEP = 16 * STEP };

static uint64_t round_up(uint64_t n, uint64_t to)
{
	return (n + to - 1) / to * to;
}

static void *reserve(uint64_t bytes)
{
	void *p;

	if (bytes > SIZE_MAX)
		return NULL;
	p = mmap(NULL, (size_t)bytes, PROT_NONE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return p == MAP_FAILED ? NULL : p;
}

int port_range_reserve(struct port_range *r, uint64_t most, uint64_t least,
		       unsigned int flags)
{
	uint64_t bytes = round_up(most, PORT_RANGE_ALIGN);

	memset(r, 0, sizeof(*r));
	least = round_up(least, PORT_RANGE_ALIGN);
	if (!port_memory_admit())
		return -ENOMEM;
	for (; bytes >= least && bytes; bytes = round_up(bytes / 2, PORT_RANGE_ALIGN)) {
		r->raw_bytes = bytes + PORT_RANGE_ALIGN;
		r->raw = reserve(r->raw_bytes);
		if (r->raw || bytes == PORT_RANGE_ALIGN)
			break;
	}
	if (!r->raw) {
		memset(r, 0, sizeof(*r));
		return -ENOMEM;
	}
	r->base = (uint8_t *)(uintptr_t)round_up((uintptr_t)r->raw, PORT_RANGE_ALIGN);
	r->bytes = bytes;
	r->flags = flags;
	/* A core dump of all addresses would be as large as they are. */
	(void)madvise(r->raw, (size_t)r->raw_bytes, MADV_DONTDUMP);
	port_memory_count(1, 0);
	return 0;
}

int port_range_grow(struct port_range *r, uint64_t bytes)
{
	uint64_t to, n;
	uint8_t *at;

	if (bytes <= r->ready)
		return 0;
	if (bytes > r->bytes)
		return -ENOSPC;
	if (!port_memory_admit())
		return -ENOMEM;
	to = round_up(bytes, bytes < LARGE_STEP ? STEP : LARGE_STEP);
	if (to > r->bytes)
		to = r->bytes;
	at = r->base + r->ready;
	n = to - r->ready;
	if (mprotect(at, (size_t)n, PROT_READ | PROT_WRITE))
		return -ENOMEM;
	(void)madvise(at, (size_t)n,
		      port_load_relaxed(&r->flags) & PORT_RANGE_HUGE ? MADV_HUGEPAGE
								     : MADV_NOHUGEPAGE);
	(void)madvise(at, (size_t)n, MADV_DODUMP);
	if ((r->flags & PORT_RANGE_LOCK) && !mlock2(at, (size_t)n, MLOCK_ONFAULT))
		port_store_relaxed(&r->locked, r->locked + n);
	port_store_relaxed(&r->ready, to);
	return 0;
}

void port_range_populate(struct port_range *r, uint64_t from, uint64_t to)
{
	uint64_t unit = port_range_unit(), n;

	from = from / unit * unit;
	to = round_up(to, unit);
	/* Little by little: the system lets nobody else map anything meanwhile. */
	for (; from < to; from += n) {
		n = to - from < PORT_RANGE_ALIGN ? to - from : PORT_RANGE_ALIGN;
		(void)madvise(r->base + from, (size_t)n, MADV_POPULATE_WRITE);
	}
}

/* Locked memory is given back only by kernels that know the word for it; for others it is
 * unlocked and locked again. */
static void discard_locked(uint8_t *at, size_t n)
{
	if (!madvise(at, n, MADV_DONTNEED_LOCKED))
		return;
	(void)munlock(at, n);
	(void)madvise(at, n, MADV_DONTNEED);
	(void)mlock2(at, n, MLOCK_ONFAULT);
}

void port_range_discard(struct port_range *r, uint64_t from, uint64_t to)
{
	uint64_t unit = port_range_unit();

	from = round_up(from, unit);
	to = to / unit * unit;
	if (to <= from)
		return;
	if (port_load_relaxed(&r->locked))
		discard_locked(r->base + from, (size_t)(to - from));
	else
		(void)madvise(r->base + from, (size_t)(to - from), MADV_DONTNEED);
}

void port_range_small(struct port_range *r)
{
	unsigned int flags = port_load_relaxed(&r->flags);

	if (!(flags & PORT_RANGE_HUGE))
		return;
	port_store_relaxed(&r->flags, flags & ~(unsigned int)PORT_RANGE_HUGE);
	(void)madvise(r->base, (size_t)port_load_relaxed(&r->ready), MADV_NOHUGEPAGE);
}

void port_range_release(struct port_range *r)
{
	if (r->raw) {
		(void)munmap(r->raw, (size_t)r->raw_bytes);
		port_memory_count(-1, 0);
	}
	memset(r, 0, sizeof(*r));
}

bool port_range_is_free(void)
{
	return true;
}

size_t port_range_unit(void)
{
	long n = sysconf(_SC_PAGESIZE);

	return n > 0 ? (size_t)n : 4096;
}
