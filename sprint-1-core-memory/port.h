/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * port.h - what an engine may use of the machine below it, and no more.
 *
 * About twenty words with the same meaning in userspace and in the kernel; this file has
 * the tree's one #ifdef __KERNEL__. What can block on a device, fail for reasons of the
 * outside world, or depends on time is not here: that is env.h.
 *
 *  types     size_t bool uint8_t..uint64_t, the E* names, container_of(),
 *            PORT_PATH_MAX PORT_FRAME_BYTES
 *  memory    port_alloc(n) port_realloc(p, old, n) port_free(p)   may sleep; NULL when out;
 *            port_alloc_aligned(align, n) port_free_aligned(p)    align a power of two
 *            port_alloc_huge(n) port_free_huge(p, n)     in huge pages where there are any
 *            port_range.h: addresses reserved for an array that grows and never moves
 *  mutex     struct port_mutex: port_mutex_init/lock/unlock/destroy
 *            port_mutex_lock_within(mu, outer)    one of several mutexes of a kind that are
 *            held together, which is done by who holds outer alone
 *  rwlock    struct port_rwlock: port_rwlock_init/destroy, port_read_lock/unlock,
 *            port_write_lock/unlock
 *  order     port_load_acquire(p) port_store_release(p, v) port_load_relaxed(p)
 *            port_store_relaxed(p, v) port_cas(p, &expected, v) port_fetch_add(p, v)
 *  version   port_write_begin(&v) port_write_end(&v)     odd while the one writer is at it;
 *            port_load_acquire(&v) before, port_read_again(&v) after what a reader loads,
 *            which stands between port_optimistic_begin() and port_optimistic_end();
 *            port_write_try(&v, expected, new) begins where there are several writers
 *  checksum  port_crc32c(crc, p, n)                   Castagnoli; start with crc 0
 *  sort      port_sort(base, n, size, compare)        not stable, no recursion
 *  text      port_vsnprintf(buf, n, fmt, ap)
 *  little-   port_get_le16/32/64(p), port_put_le16/32/64(p, v): unaligned, any host order
 *  endian
 *
 * In userspace the allocator is one of two objects: port_memory.c (malloc), or in tests
 * port_fault.c, which counts live allocations and makes the nth one fail.
 */
#ifndef PORT_H
#define PORT_H

#ifdef __KERNEL__
#include "kernel/port_kernel.h"
#else
#include "port_user.h"
#endif

#endif /* PORT_H */
