/* SPDX-License-Identifier: MIT */
/*
 * sync_counter.c - stands between every library and the kernel's syncs.
 *
 * The dynamic linker looks in the executable first, so these definitions win over the C
 * library's for every shared library that is loaded. Each does what the C library's does,
 * by syscall(2), and counts. (What is lost is that pthread_cancel() could end a thread
 * inside them, and a sanitizer's check of the written bytes.)
 *
 * Whether a descriptor is O_SYNC the kernel is asked once, at its first write; close(),
 * fclose() and dup2() make it unknown again. So it does not matter how it was opened. The
 * two relaxed loads that this adds to a write are nothing beside the system call.
 */
#include "sync_counter.h"

#include "../../sprint-2-hash-storage/env.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static struct sync_counts counts; /* atomic */

enum { DESCRIPTORS = 65536 }; /* those beyond are asked for at every write */
enum { UNKNOWN, PLAIN, SYNCHRONOUS };
static uint8_t descriptor[DESCRIPTORS]; /* atomic */

static void count(uint64_t *counter)
{
	__atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

void sync_counter_read(struct sync_counts *out)
{
	out->fsync = __atomic_load_n(&counts.fsync, __ATOMIC_RELAXED);
	out->fdatasync =
		__atomic_load_n(&counts.fdatasync, __ATOMIC_RELAXED) + env_uring_syncs();
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

void sync(void)
{
	count(&counts.fsync);
	(void)syscall(SYS_sync);
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

static uint8_t ask(int fd)
{
	long flags = syscall(SYS_fcntl, fd, F_GETFL);

	/* No such descriptor: the write itself will say so, and the next file may get the
	 * number. O_SYNC holds O_DSYNC's bit. */
	if (flags < 0)
		return UNKNOWN;
	return flags & O_DSYNC ? SYNCHRONOUS : PLAIN;
}

static bool is_synchronous(int fd)
{
	uint8_t known;

	if (fd < 0 || fd >= DESCRIPTORS)
		return ask(fd) == SYNCHRONOUS;
	known = __atomic_load_n(&descriptor[fd], __ATOMIC_RELAXED);
	if (known == UNKNOWN) {
		known = ask(fd);
		__atomic_store_n(&descriptor[fd], known, __ATOMIC_RELAXED);
	}
	return known == SYNCHRONOUS;
}

/* Before the kernel gives the number to another file. */
static void forget(int fd)
{
	if (fd >= 0 && fd < DESCRIPTORS)
		__atomic_store_n(&descriptor[fd], UNKNOWN, __ATOMIC_RELAXED);
}

int close(int fd)
{
	forget(fd);
	return (int)syscall(SYS_close, fd);
}

/* The C library's closes without a call of close() that could be seen. */
int fclose(FILE *f)
{
	static int (*library_fclose)(FILE *); /* atomic */
	int (*next)(FILE *) = __atomic_load_n(&library_fclose, __ATOMIC_RELAXED);

	if (!next) {
		*(void **)&next = dlsym(RTLD_NEXT, "fclose");
		__atomic_store_n(&library_fclose, next, __ATOMIC_RELAXED);
	}
	forget(fileno(f));
	return next(f);
}

int dup2(int from, int to)
{
	forget(to);
	/* dup3() refuses equal numbers, for which dup2() only checks the descriptor. */
	if (from == to)
		return syscall(SYS_fcntl, from, F_GETFD) < 0 ? -1 : to;
	return (int)syscall(SYS_dup3, from, to, 0);
}

int dup3(int from, int to, int flags)
{
	forget(to);
	return (int)syscall(SYS_dup3, from, to, flags);
}

/* ---- writes ---- */

static void count_write(int fd)
{
	if (is_synchronous(fd))
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
	return pwrite(fd, p, n, offset);
}

ssize_t writev(int fd, const struct iovec *v, int n)
{
	count_write(fd);
	return syscall(SYS_writev, fd, v, n);
}

/* The kernel takes the offset in two halves; on 64-bit machines the low one holds it all. */
ssize_t pwritev(int fd, const struct iovec *v, int n, off_t offset)
{
	count_write(fd);
	return syscall(SYS_pwritev, fd, v, n, offset, 0L);
}

ssize_t pwritev64(int fd, const struct iovec *v, int n, off64_t offset)
{
	return pwritev(fd, v, n, offset);
}

/* As in the C library, a kernel that does not know the call (or an emulator of one) is
 * asked by another, where no flag says more than that one can. */
ssize_t pwritev2(int fd, const struct iovec *v, int n, off_t offset, int flags)
{
	ssize_t wrote;

	if (flags & (RWF_DSYNC | RWF_SYNC))
		count(&counts.osync_write);
	else
		count_write(fd);
	wrote = syscall(SYS_pwritev2, fd, v, n, offset, 0L, flags);
	if (wrote >= 0 || errno != ENOSYS)
		return wrote;
	if (flags) {
		errno = ENOTSUP;
		return -1;
	}
	if (offset == -1)
		return syscall(SYS_writev, fd, v, n);
	return syscall(SYS_pwritev, fd, v, n, offset, 0L);
}

ssize_t pwritev64v2(int fd, const struct iovec *v, int n, off64_t offset, int flags)
{
	return pwritev2(fd, v, n, offset, flags);
}

_Static_assert(sizeof(off_t) == 8 && sizeof(long) == 8, "offsets fit one register");
