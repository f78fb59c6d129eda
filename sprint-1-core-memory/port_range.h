/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * port_range.h - addresses reserved for an array that grows and never moves.
 *
 * Addresses cost nothing until memory stands behind them. So an array whose largest size is
 * not known yet gets far more of them than it will need; it grows without moving, and who
 * reads it needs no lock against its growing. Parts can be given back, and read as zeros
 * when they are used again. In userspace mmap(2) does this.
 *
 * Threads: grow, reserve and release: the owner alone; discard and populate: from any, also while it
 * grows, on parts of which nobody else needs the content; small: one at a time.
 */
#ifndef PORT_RANGE_H
#define PORT_RANGE_H

#include "port.h"

enum port_range_flags {
	PORT_RANGE_HUGE = 1 << 0, /* ask for huge memory pages */
	PORT_RANGE_LOCK = 1 << 1, /* ask that it is not swapped out */
};

struct port_range {
	uint8_t *base;   /* on a boundary of PORT_RANGE_ALIGN */
	uint64_t bytes;  /* reserved */
	uint64_t ready;  /* the first so many can be used */
	uint64_t locked; /* of them will not be swapped out */
	unsigned int flags;
	void *raw; /* what the system gave */
	uint64_t raw_bytes;
};

enum { PORT_RANGE_ALIGN = 2 << 20 };

/* Addresses for most bytes, or for half as many, and so on, but no fewer than least: -ENOMEM.
 * Both are rounded up to PORT_RANGE_ALIGN. r is all zeroes after an error. */
int port_range_reserve(struct port_range *r, uint64_t most, uint64_t least,
		       unsigned int flags);
/* Makes the first so many bytes usable; new ones are zero. -ENOSPC: more than are reserved;
 * -ENOMEM. Never shrinks. */
int port_range_grow(struct port_range *r, uint64_t bytes);
/* Has memory put behind [from, to), which is usable, so that nobody waits for it who uses it
 * first; what is there stays. Where the system has no word for that, nothing happens. */
void port_range_populate(struct port_range *r, uint64_t from, uint64_t to);
/* Gives the memory of [from, to) back, as far as it consists of whole memory pages. */
void port_range_discard(struct port_range *r, uint64_t from, uint64_t to);
/* No huge pages from now on: where small parts are given back they would be too much. */
void port_range_small(struct port_range *r);
/* r may be all zeroes, and is so again afterwards. */
void port_range_release(struct port_range *r);
/* Whether addresses cost nothing until memory is wanted behind them. Where they do, who asks for
 * many only in case takes fewer. */
bool port_range_is_free(void);
/* Bytes in a page of the machine's memory: what can be given back. */
size_t port_range_unit(void);

/* By the allocator that is linked, port_memory.c or port_fault.c: whether memory can be had
 * (in tests, at times not), and that more or less of it is alive. */
bool port_memory_admit(void);
void port_memory_count(int64_t allocations, int64_t bytes);

#endif /* PORT_RANGE_H */
