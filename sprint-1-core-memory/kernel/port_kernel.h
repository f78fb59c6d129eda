/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * port_kernel.h - port.h's words in the kernel, for machines of 64 bits.
 *
 * It brings in as few of the kernel's headers as it can: engines have short names of their own
 * (struct file among them), and linux/fs.h or linux/mm.h would take these. Glue that needs more
 * of them includes them before any header of ours, and says "#define current get_current()"
 * after ours if it needs that word.
 */
#ifndef PORT_KERNEL_H
#define PORT_KERNEL_H

#include <linux/atomic.h>
#include <linux/container_of.h>
#include <linux/errno.h>
#include <linux/kcsan-checks.h>
#include <linux/kernel.h>
#include <linux/limits.h>
#include <linux/mutex.h>
#include <linux/rwsem.h>
#include <linux/sort.h>
#include <linux/stdarg.h>
#include <linux/stddef.h>
#include <linux/string.h>
#include <linux/types.h>
#include <linux/version.h>
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
#include <linux/unaligned.h>
#else
#include <asm/unaligned.h>
#endif

/* Names of the C library that engines use. */
#ifndef UINT8_MAX
#define UINT8_MAX  U8_MAX
#define UINT16_MAX U16_MAX
#define UINT32_MAX U32_MAX
#define UINT64_MAX U64_MAX
#define INT64_MAX  S64_MAX
#endif

/* A field's name in engines: log->current. */
#undef current

/* A stack of the kernel has 16 KiB for all that is called. */
enum {
	PORT_PATH_MAX = 256,    /* bytes in a path, its end too */
	PORT_FRAME_BYTES = 640, /* what a function may lay on its stack in arrays */
};

/* Memory: port_kernel.c. It is charged to the caller's memory cgroup. An allocation fails
 * rather than have another process killed, and says nothing to the log: the caller gets an error. */
void *port_alloc(size_t n); /* n = 0 gives a unique pointer */
void *port_realloc(void *p, size_t old, size_t n);
void port_free(void *p);
void *port_alloc_aligned(size_t align, size_t n);
void port_free_aligned(void *p);
enum { PORT_HUGE_BYTES = 2 << 20 };
void *port_alloc_huge(size_t n);
void port_free_huge(void *p, size_t n);

/* Initialisers are macros: lockdep tells locks apart by where they are initialised. */
struct port_mutex {
	struct mutex m;
};

#define port_mutex_init(mu)               mutex_init(&(mu)->m)
#define port_mutex_lock(mu)               mutex_lock(&(mu)->m)
#define port_mutex_lock_within(mu, outer) mutex_lock_nest_lock(&(mu)->m, &(outer)->m)
#define port_mutex_unlock(mu)             mutex_unlock(&(mu)->m)
#define port_mutex_destroy(mu)            mutex_destroy(&(mu)->m)

struct port_rwlock {
	struct rw_semaphore l;
};

#define port_rwlock_init(rw)    init_rwsem(&(rw)->l)
#define port_rwlock_destroy(rw) ((void)(rw))
#define port_read_lock(rw)      down_read(&(rw)->l)
#define port_read_unlock(rw)    up_read(&(rw)->l)
#define port_write_lock(rw)     down_write(&(rw)->l)
#define port_write_unlock(rw)   up_write(&(rw)->l)

#define port_load_acquire(p)     smp_load_acquire(p)
#define port_store_release(p, v) smp_store_release(p, v)
#define port_load_relaxed(p)     READ_ONCE(*(p))
#define port_store_relaxed(p, v) WRITE_ONCE(*(p), v)

/* The kernel's own orders nothing when it fails. */
#define port_cas(p, expected, v)                              \
	({                                                    \
		bool port_done = try_cmpxchg(p, expected, v); \
                                                              \
		if (!port_done)                               \
			smp_acquire__after_ctrl_dep();        \
		port_done;                                    \
	})

/* Four and eight bytes lie in memory as the kernel's counters do, which have an instruction
 * of their own on arm64. */
#define port_fetch_add(p, v)                                                            \
	({                                                                              \
		__typeof__(*(p)) port_old = READ_ONCE(*(p));                            \
                                                                                        \
		if (sizeof(*(p)) == 8)                                                  \
			port_old = (__typeof__(*(p)))atomic64_fetch_add(                \
				(s64)(v), (atomic64_t *)(p));                           \
		else if (sizeof(*(p)) == 4)                                             \
			port_old = (__typeof__(*(p)))atomic_fetch_add((int)(v),         \
								      (atomic_t *)(p)); \
		else                                                                    \
			while (!try_cmpxchg((p), &port_old,                             \
					    (__typeof__(*(p)))(port_old + (v))))        \
				;                                                       \
		port_old;                                                               \
	})

#define PORT_TSAN 0

static inline void port_write_begin(uint64_t *version)
{
	WRITE_ONCE(*version, *version + 1);
	smp_wmb(); /* the odd version before what is written; pairs with port_read_again() */
}

static inline bool port_write_try(uint64_t *version, uint64_t expected, uint64_t v)
{
	if (cmpxchg(version, expected, v) != expected)
		return false;
	smp_wmb(); /* as in port_write_begin() */
	return true;
}

static inline void port_write_end(uint64_t *version)
{
	smp_store_release(version, *version + 1);
}

static inline uint64_t port_read_again(const uint64_t *version)
{
	smp_rmb(); /* what was read before the version; pairs with port_write_begin() */
	return READ_ONCE(*version);
}

/* The kernel's detector of races looks away meanwhile; without it they are nothing. */
#define port_optimistic_begin() kcsan_disable_current()
#define port_optimistic_end()   kcsan_enable_current()

uint32_t port_crc32c(uint32_t crc, const void *p, size_t n);

typedef int port_compare_fn(const void *a, const void *b);

static inline void port_sort(void *base, size_t n, size_t size, port_compare_fn *compare)
{
	sort(base, n, size, compare, NULL); /* a heap sort */
}

#define port_vsnprintf vsnprintf

#define port_get_le16(p)    get_unaligned_le16(p)
#define port_get_le32(p)    get_unaligned_le32(p)
#define port_get_le64(p)    get_unaligned_le64(p)
#define port_put_le16(p, v) put_unaligned_le16(v, p)
#define port_put_le32(p, v) put_unaligned_le32(v, p)
#define port_put_le64(p, v) put_unaligned_le64(v, p)

#endif /* PORT_KERNEL_H */
