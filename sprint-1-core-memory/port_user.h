/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * port_user.h - port.h's words in userspace: C11, pthreads, compiler builtins.
 */
#ifndef PORT_USER_H
#define PORT_USER_H

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef container_of
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
#endif

enum {
	PORT_PATH_MAX = 1024,     /* bytes in a path, its end too */
	PORT_FRAME_BYTES = 16384, /* what a function may lay on its stack in arrays */
};

/* memory: port_memory.c or port_fault.c */
void *port_alloc(size_t n); /* n = 0 gives a unique pointer */
void *port_realloc(void *p, size_t old, size_t n);
void port_free(void *p);
void *port_alloc_aligned(size_t align, size_t n);
void port_free_aligned(void *p);
/* For much memory that is looked at here and there: n, a multiple of PORT_HUGE_BYTES, bytes at
 * a multiple of it. The system is asked for huge pages, and gives what it has. */
enum { PORT_HUGE_BYTES = 2 << 20 };
void *port_alloc_huge(size_t n);
void port_free_huge(void *p, size_t n);

struct port_mutex {
	pthread_mutex_t m;
};

/* What is done under these locks is short: who meets another there looks again a few times
 * before it sleeps, as the kernel's mutex does. */
#ifdef PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP
#define port_mutex_init(mu) \
	((void)((mu)->m = (pthread_mutex_t)PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP))
#else
#define port_mutex_init(mu) ((void)pthread_mutex_init(&(mu)->m, NULL))
#endif
#define port_mutex_lock(mu)               ((void)pthread_mutex_lock(&(mu)->m))
#define port_mutex_lock_within(mu, outer) ((void)(outer), port_mutex_lock(mu))
#define port_mutex_unlock(mu)             ((void)pthread_mutex_unlock(&(mu)->m))
#define port_mutex_destroy(mu)            ((void)pthread_mutex_destroy(&(mu)->m))

struct port_rwlock {
	pthread_rwlock_t l;
};

#define port_rwlock_init(rw)    ((void)pthread_rwlock_init(&(rw)->l, NULL))
#define port_rwlock_destroy(rw) ((void)pthread_rwlock_destroy(&(rw)->l))
#define port_read_lock(rw)      ((void)pthread_rwlock_rdlock(&(rw)->l))
#define port_read_unlock(rw)    ((void)pthread_rwlock_unlock(&(rw)->l))
#define port_write_lock(rw)     ((void)pthread_rwlock_wrlock(&(rw)->l))
#define port_write_unlock(rw)   ((void)pthread_rwlock_unlock(&(rw)->l))

#define port_load_acquire(p)     __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define port_store_release(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)
#define port_load_relaxed(p)     __atomic_load_n(p, __ATOMIC_RELAXED)
#define port_store_relaxed(p, v) __atomic_store_n(p, v, __ATOMIC_RELAXED)
/* True when *p was *expected and is now v; else *expected is what *p was. Full order. */
#define port_cas(p, expected, v)                                             \
	__atomic_compare_exchange_n(p, expected, v, false, __ATOMIC_ACQ_REL, \
				    __ATOMIC_ACQUIRE)
#define port_fetch_add(p, v) __atomic_fetch_add(p, v, __ATOMIC_ACQ_REL)

/* A sequence lock's halves (Boehm, "Can seqlocks get along with programming language memory
 * models?", 2012). ThreadSanitizer knows no fences, so it is given stronger words. */
#if defined(__SANITIZE_THREAD__)
#define PORT_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define PORT_TSAN 1
#endif
#endif
#ifndef PORT_TSAN
#define PORT_TSAN 0
#endif

static inline void port_write_begin(uint64_t *version)
{
#if PORT_TSAN
	(void)port_fetch_add(version, (uint64_t)1);
#else
	port_store_relaxed(version, *version + 1);
	__atomic_thread_fence(__ATOMIC_RELEASE);
#endif
}

/* The same where several would write: by compare-and-swap of the version, which has the bit
 * by which it is taken. False when it is no longer expected. A processor may otherwise show
 * what is stored next before it shows the bit. */
static inline bool port_write_try(uint64_t *version, uint64_t expected, uint64_t v)
{
	if (!port_cas(version, &expected, v))
		return false;
#if !PORT_TSAN
	__atomic_thread_fence(__ATOMIC_RELEASE);
#endif
	return true;
}

static inline void port_write_end(uint64_t *version)
{
	port_store_release(version, *version + 1);
}

static inline uint64_t port_read_again(const uint64_t *version)
{
#if PORT_TSAN
	return __atomic_load_n(version, __ATOMIC_SEQ_CST);
#else
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return port_load_relaxed(version);
#endif
}

/* Around plain loads of what another thread may be storing to, whose outcome is used only
 * after port_read_again() has shown that none did. ThreadSanitizer is told to look away, so
 * as little as possible stands between them; elsewhere they are nothing. */
#if PORT_TSAN
void AnnotateIgnoreReadsBegin(const char *file, int line);
void AnnotateIgnoreReadsEnd(const char *file, int line);
#define port_optimistic_begin() AnnotateIgnoreReadsBegin(__FILE__, __LINE__)
#define port_optimistic_end()   AnnotateIgnoreReadsEnd(__FILE__, __LINE__)
#else
#define port_optimistic_begin() ((void)0)
#define port_optimistic_end()   ((void)0)
#endif

uint32_t port_crc32c(uint32_t crc, const void *p, size_t n);

typedef int port_compare_fn(const void *a, const void *b);

static inline void port_sort(void *base, size_t n, size_t size, port_compare_fn *compare)
{
	qsort(base, n, size, compare);
}

#define port_vsnprintf vsnprintf

static inline uint16_t port_get_le16(const void *p)
{
	const uint8_t *b = p;

	return (uint16_t)(b[0] | b[1] << 8);
}

static inline uint32_t port_get_le32(const void *p)
{
	const uint8_t *b = p;

	return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 |
	       (uint32_t)b[3] << 24;
}

static inline uint64_t port_get_le64(const void *p)
{
	const uint8_t *b = p;

	return port_get_le32(b) | (uint64_t)port_get_le32(b + 4) << 32;
}

static inline void port_put_le16(void *p, uint16_t v)
{
	uint8_t *b = p;

	b[0] = (uint8_t)v;
	b[1] = (uint8_t)(v >> 8);
}

static inline void port_put_le32(void *p, uint32_t v)
{
	uint8_t *b = p;

	port_put_le16(b, (uint16_t)v);
	port_put_le16(b + 2, (uint16_t)(v >> 16));
}

static inline void port_put_le64(void *p, uint64_t v)
{
	uint8_t *b = p;

	port_put_le32(b, (uint32_t)v);
	port_put_le32(b + 4, (uint32_t)(v >> 32));
}

#endif /* PORT_USER_H */
