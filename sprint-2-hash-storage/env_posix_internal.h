/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * env_posix_internal.h - what a home that builds on POSIX files takes from env_posix.c:
 * its tables, to copy and change entries of, and its files, which are descriptors.
 */
#ifndef ENV_POSIX_INTERNAL_H
#define ENV_POSIX_INTERNAL_H

#include "env.h"

struct posix_file {
	struct file base;
	int fd;
};

extern const struct env_ops env_posix_ops;
extern const struct file_ops env_posix_file_ops; /* for any struct posix_file */

static inline struct posix_file *posix_file(struct file *f)
{
	return container_of(f, struct posix_file, base);
}

/* As env_ops.open(), for a file with these ops. */
int env_posix_open(const char *path, unsigned int flags, const struct file_ops *ops,
		   struct file **out);

#endif /* ENV_POSIX_INTERNAL_H */
