/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * env.c - what is the same over every home of env.h: paths, exact reads, whole files.
 */
#include "env.h"

int env_path(char *out, const char *dir, const char *name)
{
	size_t d = strlen(dir), n = strlen(name);

	if (d >= ENV_PATH_MAX || n >= ENV_PATH_MAX - d - 1)
		return -ENAMETOOLONG;
	memcpy(out, dir, d);
	out[d] = '/';
	memcpy(out + d + 1, name, n + 1);
	return 0;
}

int env_take_dir(struct env *env, const char *dir, struct env_lock **owner,
		 struct kv_msg *why)
{
	char path[ENV_PATH_MAX];
	int error = env->ops->mkdir(env, dir);

	if (error && error != -EEXIST)
		return kv_fail(why, error, "%s: cannot be made", dir);
	error = env_path(path, dir, "LOCK");
	if (!error)
		error = env->ops->lock(env, path, owner);
	if (error == -EBUSY)
		return kv_fail(why, error, "%s: open elsewhere; close it there first",
			       dir);
	return error ? kv_fail(why, error, "%s: cannot be locked", path) : 0;
}

int env_sync_parent(struct env *env, const char *path)
{
	char parent[ENV_PATH_MAX];
	size_t n = strlen(path);

	if (n >= ENV_PATH_MAX)
		return -ENAMETOOLONG;
	while (n > 1 && path[n - 1] == '/')
		n--;
	while (n && path[n - 1] != '/')
		n--;
	if (!n)
		return env->ops->sync_dir(env, ".");
	memcpy(parent, path, n);
	parent[n > 1 ? n - 1 : n] = '\0';
	return env->ops->sync_dir(env, parent);
}

int file_read_exact(struct file *f, const char *path, uint64_t offset, void *data,
		    size_t len, struct kv_msg *why)
{
	size_t got = 0;
	int error = file_read(f, offset, data, len, &got);

	if (error)
		return kv_fail(why, error, "%s: reading %zu bytes at offset %llu failed",
			       path, len, (unsigned long long)offset);
	if (got < len)
		return kv_fail(
			why, -EBADMSG,
			"%s: ends at offset %llu where %zu more bytes were expected",
			path, (unsigned long long)(offset + got), len - got);
	return 0;
}

void env_stats(struct env *env, kv_stat_fn *emit, void *arg)
{
	char name[32] = "home_";
	size_t n = strlen(env->ops->name);

	if (n < sizeof(name) - strlen(name))
		memcpy(name + strlen(name), env->ops->name, n + 1);
	emit(arg, name, 1);
	if (env->ops->stats)
		env->ops->stats(env, emit, arg);
}

int env_write_file(struct env *env, const char *dir, const char *name, const void *data,
		   size_t len)
{
	char path[ENV_PATH_MAX], temporary[ENV_PATH_MAX];
	struct file *f = NULL;
	int error;

	error = env_path(path, dir, name);
	if (error)
		return error;
	if (strlen(path) + sizeof(".tmp") > sizeof(temporary))
		return -ENAMETOOLONG;
	memcpy(temporary, path, strlen(path));
	memcpy(temporary + strlen(path), ".tmp", sizeof(".tmp"));

	error = env_open(env, temporary, ENV_WRITE | ENV_CREATE | ENV_TRUNCATE, &f);
	if (error)
		return error;
	error = file_write(f, 0, data, len);
	if (!error)
		error = file_sync(f);
	file_close(f);
	if (!error)
		error = env->ops->rename(env, temporary, path);
	if (error) {
		/* Nobody knows the name yet; what is left over is the next write's to replace. */
		(void)env->ops->unlink(env, temporary);
		return error;
	}
	return env->ops->sync_dir(env, dir);
}

int env_read_file(struct env *env, const char *path, size_t max, struct kv_buf *out)
{
	struct file *f;
	uint64_t size;
	size_t got = 0;
	int error = env_open(env, path, ENV_READ, &f);

	out->len = 0;
	if (error)
		return error;
	error = f->ops->size(f, &size);
	if (!error && size > max)
		error = -EFBIG;
	if (!error)
		error = kv_buf_reserve(out, (size_t)size);
	if (!error)
		error = file_read(f, 0, out->data, (size_t)size, &got);
	if (!error)
		out->len = got;
	file_close(f);
	return error;
}
