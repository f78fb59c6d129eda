/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * env_kernel_internal.h - what the files of the kernel's home share.
 *
 * env_kernel.c         the table; background work, waiting, time
 * env_kernel_files.c   bytes of files
 * env_kernel_names.c   names and directories
 */
#ifndef ENV_KERNEL_INTERNAL_H
#define ENV_KERNEL_INTERNAL_H

#include <linux/cred.h>
#include <linux/fs.h>
#include <linux/path.h>
#include <linux/sched.h>
#include <linux/workqueue.h>

/* Both env.h and the kernel have a struct file; here env.h's is called struct env_file. */
#define file env_file
#include "../env.h"
#undef file
#define current get_current()

#include "env_compat.h"
#include "env_kernel.h"

struct env_kernel {
	struct env base;
	/* constant */
	struct path root; /* where paths begin */
	const struct cred *cred;
	struct workqueue_struct *io; /* see env_kernel_run() */
};

struct kernel_file {
	struct env_file base;
	struct env_kernel *env;
	struct file *file;
};

static inline struct env_kernel *env_kernel(struct env *env)
{
	return container_of(env, struct env_kernel, base);
}

/* Something that is done with the maker's rights, and if need be by a worker. */
struct kernel_call {
	/* Returns 0 or an error; -EINTR: to be gone on with. */
	int (*fn)(struct kernel_call *call);
	int error;
	struct work_struct work;
	struct env_kernel *env;
};

/* Runs call->fn until it returns something else than -EINTR. A process that is being killed,
 * or whose own limit of a file's size is small, would cut an operation short that other
 * processes' data depend on: for these a worker does it. */
int env_kernel_run(struct env_kernel *env, struct kernel_call *call);

/* ---- env_kernel_files.c ---- */

int env_kernel_open(struct env *env, const char *path, unsigned int flags,
		    struct env_file **out);
void env_kernel_read_many(struct env *env, struct file_read *read, size_t n);
struct file *env_kernel_filp(struct env_kernel *env, const char *path, int flags);
void env_kernel_filp_close(struct file *f);

/* ---- env_kernel_names.c ---- */

int env_kernel_unlink(struct env *env, const char *path);
int env_kernel_rename(struct env *env, const char *from, const char *to);
int env_kernel_mkdir(struct env *env, const char *path);
int env_kernel_rmdir(struct env *env, const char *path);
int env_kernel_list(struct env *env, const char *path, env_name_fn *fn, void *arg);
int env_kernel_sync_dir(struct env *env, const char *path);
int env_kernel_lock(struct env *env, const char *path, struct env_lock **out);
void env_kernel_unlock(struct env *env, struct env_lock *lock);
int env_kernel_free_space(struct env *env, const char *path, uint64_t *bytes);

#endif /* ENV_KERNEL_INTERNAL_H */
