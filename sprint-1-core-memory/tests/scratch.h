/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * scratch.h - a directory for what a test writes, gone when the test is over.
 *
 *	return cmocka_run_group_tests(tests, make_scratch, drop_scratch);
 */
#ifndef SCRATCH_H
#define SCRATCH_H

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { SCRATCH_PATH = 256 };

static char scratch[SCRATCH_PATH / 2]; /* the directory */

/* A path in it, good until 31 others were asked for. */
static inline const char *in_scratch(const char *name)
{
	static char path[32][SCRATCH_PATH];
	static unsigned int turn;
	char *p = path[turn++ % 32];

	(void)snprintf(p, SCRATCH_PATH, "%s/%s", scratch, name);
	return p;
}

static inline int open_in_scratch(const char *name, int flags)
{
	int fd = open(in_scratch(name), O_RDWR | O_CREAT | O_CLOEXEC | flags, 0644);

	assert_true(fd >= 0);
	return fd;
}

static inline int scratch_remove_one(const char *path, const struct stat *st, int type,
				     struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

/* A file, or a directory with all that is in it; nothing if it is not there. */
static inline void scratch_remove(const char *path)
{
	(void)nftw(path, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline int scratch_make_below(const char *directory)
{
	(void)snprintf(scratch, sizeof(scratch), "%.80s/%.30s-XXXXXX", directory,
		       program_invocation_short_name);
	return mkdtemp(scratch) ? 0 : -1;
}

static inline int make_scratch(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	return scratch_make_below(tmp ? tmp : "/tmp");
}

/* In memory where that is to be had: for tests that sync often and do not test syncs. */
static inline int make_scratch_in_memory(void **state)
{
	return access("/dev/shm", W_OK) ? make_scratch(state)
					: scratch_make_below("/dev/shm");
}

static inline int drop_scratch(void **state)
{
	(void)state;
	scratch_remove(scratch);
	return access(scratch, F_OK) ? 0 : -1;
}

#endif /* SCRATCH_H */
