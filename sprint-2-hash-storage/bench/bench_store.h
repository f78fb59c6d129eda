/* SPDX-License-Identifier: MIT */
/*
 * bench_store.h - where a bench makes its store, and how it takes it away again: what a
 * person names with --dir is never removed, only a directory of the bench's below it.
 *
 * Threads: one.
 */
#ifndef BENCH_STORE_H
#define BENCH_STORE_H

#include "../../sprint-1-core-memory/bench/bench_row.h"
#include "../env.h"

static inline int bench_remove_file(void *arg, const char *name)
{
	struct env *env = env_posix();
	char path[ENV_PATH_MAX];
	int error = env_path(path, arg, name);

	return error ? error : env->ops->unlink(env, path);
}

/* Removes the store, if there is one: of the bench before, for example. A store is files
 * alone, so a directory in it is somebody else's, and the bench ends. */
static inline void bench_remove_store(char *dir)
{
	struct env *env = env_posix();
	int error = env->ops->list(env, dir, bench_remove_file, dir);

	if (!error)
		error = env->ops->rmdir(env, dir);
	if (error && error != -ENOENT)
		bench_die("%s cannot be removed: %s", dir, strerror(-error));
}

/* "below/name" into a buffer of ENV_PATH_MAX; below is made where it is not there: nobody has
 * built into build/ who names another place. */
static inline void bench_name_store(char *out, const char *below, const char *name)
{
	struct env *env = env_posix();
	int error = env->ops->mkdir(env, below);

	if (error && error != -EEXIST)
		bench_die("%s cannot be made: %s; name a directory by --dir", below,
			  strerror(-error));
	if (env_path(out, below, name))
		bench_die("the path of --dir is too long");
}

#endif /* BENCH_STORE_H */
