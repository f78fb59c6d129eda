/* SPDX-License-Identifier: MIT */
/*
 * sync_counter.c - stands between every library and the kernel's syncs.
 *
 * The dynamic linker looks in the executable first, so these definitions win over the C
 * library's for every shared library that is loaded. Each does what the C library's does,
 * by syscall(2), and counts. Descriptors opened O_SYNC or O_DSYNC are remembered in a
 * table, because a write to one is a sync.
 */
#include "sync_counter.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static struct sync_counts counts;

enum { DESCRIPTORS = 65536 };
static uint8_t synchronous[DESCRIPTORS]; /* 1: opened O_SYNC or O_DSYNC */

static void count(uint64_t *counter)
{
	__atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

void sync_counter_read(struct sync_counts *out)
{
	out->fsync = __atomic_load_n(&counts.fsync, __ATOMIC_RELAXED);
	out->fdatasync = __atomic_load_n(&counts.fdatasync, __ATOMIC_RELAXED);
	out->msync = __atomic_load_n(&counts.msync, __ATOMIC_RELAXED);
	out->osync_write = __atomic_load_n(&counts.osync_write, __ATOMIC_RELAXED);
	out->sync_file_range = __atomic_load_n(&counts.sync_file_range, __ATOMIC_RELAXED);
}

uint64_t sync_counts_durable(const struct sync_counts *c)
{
	return c->fsync + c->fdatasync + c->msync + c->osync_write;
}

/* ---- syncs ---- */

int fsync(int fd)
{
	count(&counts.fsync);
	return (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
	count(&counts.fdatasync);
	return (int)syscall(SYS_fdatasync, fd);
}

int syncfs(int fd)
{
	count(&counts.fsync);
	return (int)syscall(SYS_syncfs, fd);
}

int msync(void *p, size_t len, int flags)
{
	if (flags & MS_SYNC)
		count(&counts.msync);
	return (int)syscall(SYS_msync, p, len, flags);
}

int sync_file_range(int fd, off64_t offset, off64_t len, unsigned int flags)
{
	count(&counts.sync_file_range);
	return (int)syscall(SYS_sync_file_range, fd, offset, len, flags);
}

/* ---- descriptors ---- */

static int opened(int fd, int flags)
{
	if (fd >= 0 && fd < DESCRIPTORS)
		__atomic_store_n(&synchronous[fd], flags & (O_SYNC | O_DSYNC) ? 1 : 0,
				 __ATOMIC_RELAXED);
	return fd;
}

static bool needs_mode(int flags)
{
	return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE;
}

#define OPEN_MODE(flags, last)             \
	mode_t mode = 0;                   \
                                           \
	if (needs_mode(flags)) {           \
		va_list ap;                \
                                           \
		va_start(ap, last);        \
		mode = va_arg(ap, mode_t); \
		va_end(ap);                \
	}

int open(const char *path, int flags, ...)
{
	OPEN_MODE(flags, flags)
	return opened((int)syscall(SYS_openat, AT_FDCWD, path, flags, mode), flags);
}

int open64(const char *path, int flags, ...)
{
	OPEN_MODE(flags, flags)
	return opened((int)syscall(SYS_openat, AT_FDCWD, path, flags, mode), flags);
}

int openat(int dir, const char *path, int flags, ...)
{
	OPEN_MODE(flags, flags)
	return opened((int)syscall(SYS_openat, dir, path, flags, mode), flags);
}

int openat64(int dir, const char *path, int flags, ...)
{
	OPEN_MODE(flags, flags)
	return opened((int)syscall(SYS_openat, dir, path, flags, mode), flags);
}

/* ---- writes ---- */

static void count_write(int fd)
{
	if (fd >= 0 && fd < DESCRIPTORS &&
	    __atomic_load_n(&synchronous[fd], __ATOMIC_RELAXED))
		count(&counts.osync_write);
}

ssize_t write(int fd, const void *p, size_t n)
{
	count_write(fd);
	return syscall(SYS_write, fd, p, n);
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t offset)
{
	count_write(fd);
	return syscall(SYS_pwrite64, fd, p, n, offset);
}

ssize_t pwrite64(int fd, const void *p, size_t n, off64_t offset)
{
	count_write(fd);
	return syscall(SYS_pwrite64, fd, p, n, offset);
}

ssize_t writev(int fd, const struct iovec *v, int n)
{
	count_write(fd);
	return syscall(SYS_writev, fd, v, n);
}

ssize_t pwritev(int fd, const struct iovec *v, int n, off_t offset)
{
	count_write(fd);
	/* The offset goes in two halves; on 64-bit machines the low one holds it all. */
	return syscall(SYS_pwritev, fd, v, n, offset, 0L);
}
