/* SPDX-License-Identifier: MIT */
/*
 * env_liar.c - forwards every call to the home, but for those that it lies about.
 */
#include "env_liar.h"

enum { SECTOR = 512, ONE_WRITE_IN = 8 };

struct env_liar_file {
	struct file base;
	struct env_liar *liar;
	struct file *file; /* the home's */
	char path[ENV_PATH_MAX];
	uint8_t *memory; /* LIE_MAP_PRIVATE: what the engine stores to ... */
	uint8_t *map;    /* ... and where it should */
	bool renamed;
};

static struct env_liar_file *liar_file(struct file *f)
{
	return container_of(f, struct env_liar_file, base);
}

static struct env_liar *liar_of(struct env *env)
{
	return container_of(env, struct env_liar, env);
}

static bool lies(const struct env_liar *l, unsigned int lie, const char *path)
{
	return (l->lies & lie) && (!l->only || strstr(path, l->only));
}

/* ---- files ---- */

static int liar_read(struct file *f, uint64_t offset, void *data, size_t len, size_t *got)
{
	return file_read(liar_file(f)->file, offset, data, len, got);
}

static int liar_write(struct file *f, uint64_t offset, const void *data, size_t len)
{
	struct env_liar_file *lf = liar_file(f);
	struct env_liar *l = lf->liar;
	int error;

	if (lies(l, LIE_WRITE_SHORT, lf->path) && len > SECTOR &&
	    ++l->writes % ONE_WRITE_IN == 0)
		len -= SECTOR;
	error = file_write(lf->file, offset, data, len);
	return lies(l, LIE_WRITE_ERROR, lf->path) ? 0 : error;
}

/* One that was closed before it paid is kept until another owes. */
static void owe(struct env_liar *l, struct env_liar_file *lf)
{
	if (l->owed && !l->owed->file)
		free(l->owed);
	l->owed = lf;
}

static int sync_late(struct env_liar_file *lf)
{
	struct env_liar_file *owed = lf->liar->owed;
	int error = owed && owed->file ? file_sync(owed->file) : 0;

	owe(lf->liar, lf);
	return error;
}

static int liar_sync(struct file *f)
{
	struct env_liar_file *lf = liar_file(f);
	struct env_liar *l = lf->liar;
	int error;

	if (lies(l, LIE_SYNC, lf->path))
		return 0;
	if (lies(l, LIE_SYNC_HALF, lf->path) && ++l->syncs % 2)
		return 0;
	if (lies(l, LIE_SYNC_LATE, lf->path))
		return sync_late(lf);
	if (lies(l, LIE_SYNC_RENAMED, lf->path) && !lf->renamed) {
		owe(l, lf);
		return 0;
	}
	error = file_sync(lf->file);
	if (error && lies(l, LIE_SYNC_RETRY, lf->path))
		error = file_sync(lf->file);
	return lies(l, LIE_SYNC_ERROR, lf->path) ? 0 : error;
}

static int liar_allocate(struct file *f, uint64_t offset, uint64_t len)
{
	struct file *file = liar_file(f)->file;

	return file->ops->allocate(file, offset, len);
}

static int liar_truncate(struct file *f, uint64_t size)
{
	struct env_liar_file *lf = liar_file(f);

	if (lies(lf->liar, LIE_TRUNCATE, lf->path))
		size -= size % SECTOR;
	return lf->file->ops->truncate(lf->file, size);
}

static int liar_size(struct file *f, uint64_t *size)
{
	struct file *file = liar_file(f)->file;

	return file->ops->size(file, size);
}

static int liar_map(struct file *f, uint64_t offset, size_t len, bool writable,
		    void **out)
{
	struct env_liar_file *lf = liar_file(f);
	int error = lf->file->ops->map(lf->file, offset, len, writable, out);

	if (error || !writable || lf->memory ||
	    !lies(lf->liar, LIE_MAP_PRIVATE, lf->path))
		return error;
	lf->map = *out;
	lf->memory = malloc(len);
	if (!lf->memory)
		exit(1);
	memcpy(lf->memory, lf->map, len);
	*out = lf->memory;
	return 0;
}

static void liar_unmap(struct file *f, void *p, size_t len)
{
	struct env_liar_file *lf = liar_file(f);

	if (p == lf->memory) {
		memcpy(lf->map, lf->memory, len);
		free(lf->memory);
		lf->memory = NULL;
		p = lf->map;
	}
	lf->file->ops->unmap(lf->file, p, len);
}

static void liar_advise(struct file *f, uint64_t offset, uint64_t len,
			enum file_advice advice)
{
	struct file *file = liar_file(f)->file;

	file->ops->advise(file, offset, len, advice);
}

static void liar_close(struct file *f)
{
	struct env_liar_file *lf = liar_file(f);

	file_close(lf->file);
	lf->file = NULL;
	if (lf->liar->owed != lf)
		free(lf);
}

static const struct file_ops liar_file_ops = {
	.read = liar_read,
	.write = liar_write,
	.sync = liar_sync,
	.allocate = liar_allocate,
	.truncate = liar_truncate,
	.size = liar_size,
	.map = liar_map,
	.unmap = liar_unmap,
	.advise = liar_advise,
	.close = liar_close,
};

/* ---- names ---- */

/* "dir/name.tmp" to "dir/name". */
static bool without_tmp(const char *path, char *out)
{
	size_t n = strlen(path);

	if (n < 4 || strcmp(path + n - 4, ".tmp") != 0)
		return false;
	memcpy(out, path, n - 4);
	out[n - 4] = '\0';
	return true;
}

static int liar_open(struct env *env, const char *path, unsigned int flags,
		     struct file **out)
{
	struct env_liar *l = liar_of(env);
	struct env_liar_file *lf;
	char place[ENV_PATH_MAX];
	struct file *file = NULL;
	int error;

	if (!lies(l, LIE_IN_PLACE, path) || !without_tmp(path, place))
		(void)snprintf(place, sizeof(place), "%s", path);
	error = env_open(l->home, place, flags, &file);
	if (error)
		return error;
	lf = calloc(1, sizeof(*lf));
	if (!lf)
		exit(1);
	lf->base.ops = &liar_file_ops;
	lf->liar = l;
	lf->file = file;
	/* A file that is not new needs no rename. */
	lf->renamed = !strstr(path, ".tmp") && !strstr(path, ".spare");
	(void)snprintf(lf->path, sizeof(lf->path), "%s", path);
	*out = &lf->base;
	return 0;
}

static int liar_unlink(struct env *env, const char *path)
{
	return liar_of(env)->home->ops->unlink(liar_of(env)->home, path);
}

static int copy_file(struct env *home, const char *from, const char *to)
{
	struct kv_buf all = { 0 };
	struct file *f = NULL;
	int error = env_read_file(home, from, SIZE_MAX, &all);

	if (!error)
		error = env_open(home, to, ENV_WRITE | ENV_CREATE | ENV_TRUNCATE, &f);
	if (!error)
		error = file_write(f, 0, all.data, all.len);
	file_close(f);
	kv_buf_free(&all);
	return error ? error : home->ops->unlink(home, from);
}

/* The sync of what was renamed, by a file that is open or opened for it. */
static int pay(struct env_liar *l, const char *to)
{
	struct env_liar_file *lf = l->owed;
	struct file *f = lf->file;
	int error = 0;

	l->owed = NULL;
	lf->renamed = true;
	if (f)
		return file_sync(f);
	free(lf);
	error = env_open(l->home, to, ENV_READ | ENV_WRITE, &f);
	if (!error)
		error = file_sync(f);
	file_close(f);
	return error;
}

static int liar_rename(struct env *env, const char *from, const char *to)
{
	struct env_liar *l = liar_of(env);
	char place[ENV_PATH_MAX];
	int error;

	if (lies(l, LIE_IN_PLACE, from) && without_tmp(from, place))
		return 0;
	if (lies(l, LIE_RENAME_COPY, from))
		return copy_file(l->home, from, to);
	error = l->home->ops->rename(l->home, from, to);
	if (!error && lies(l, LIE_SYNC_RENAMED, from) && l->owed)
		error = pay(l, to);
	return error;
}

static int liar_mkdir(struct env *env, const char *path)
{
	return liar_of(env)->home->ops->mkdir(liar_of(env)->home, path);
}

static int liar_rmdir(struct env *env, const char *path)
{
	return liar_of(env)->home->ops->rmdir(liar_of(env)->home, path);
}

static int liar_list(struct env *env, const char *path, env_name_fn *fn, void *arg)
{
	return liar_of(env)->home->ops->list(liar_of(env)->home, path, fn, arg);
}

static int liar_sync_dir(struct env *env, const char *path)
{
	struct env_liar *l = liar_of(env);
	int error;

	if (lies(l, LIE_SYNC_DIR, path))
		return 0;
	error = l->home->ops->sync_dir(l->home, path);
	return lies(l, LIE_DIR_ERROR, path) ? 0 : error;
}

static int liar_lock(struct env *env, const char *path, struct env_lock **out)
{
	return liar_of(env)->home->ops->lock(liar_of(env)->home, path, out);
}

static void liar_unlock(struct env *env, struct env_lock *lock)
{
	liar_of(env)->home->ops->unlock(liar_of(env)->home, lock);
}

static int liar_free_space(struct env *env, const char *path, uint64_t *bytes)
{
	return liar_of(env)->home->ops->free_space(liar_of(env)->home, path, bytes);
}

static void liar_read_many(struct env *env, struct file_read *read, size_t n)
{
	size_t i;

	(void)env;
	for (i = 0; i < n; i++)
		read[i].error = file_read(read[i].file, read[i].offset, read[i].data,
					  read[i].len, &read[i].got);
}

/* ---- the rest is the home's ---- */

static uint64_t liar_now_ns(struct env *env)
{
	return liar_of(env)->home->ops->now_ns(liar_of(env)->home);
}

static void liar_sleep_ns(struct env *env, uint64_t ns)
{
	liar_of(env)->home->ops->sleep_ns(liar_of(env)->home, ns);
}

static uint64_t liar_random(struct env *env)
{
	return liar_of(env)->home->ops->random(liar_of(env)->home);
}

static int liar_spawn(struct env *env, const char *name, env_task_fn *fn, void *arg,
		      struct env_task **out)
{
	return liar_of(env)->home->ops->spawn(liar_of(env)->home, name, fn, arg, out);
}

static void liar_join(struct env *env, struct env_task *task)
{
	liar_of(env)->home->ops->join(liar_of(env)->home, task);
}

static int liar_cond_new(struct env *env, struct env_cond **out)
{
	return liar_of(env)->home->ops->cond_new(liar_of(env)->home, out);
}

static void liar_cond_free(struct env *env, struct env_cond *c)
{
	liar_of(env)->home->ops->cond_free(liar_of(env)->home, c);
}

static void liar_cond_wait(struct env *env, struct env_cond *c, struct port_mutex *m,
			   uint64_t timeout_ns)
{
	liar_of(env)->home->ops->cond_wait(liar_of(env)->home, c, m, timeout_ns);
}

static void liar_cond_signal(struct env *env, struct env_cond *c)
{
	liar_of(env)->home->ops->cond_signal(liar_of(env)->home, c);
}

static const struct env_ops liar_ops = {
	.name = "liar",
	.open = liar_open,
	.unlink = liar_unlink,
	.rename = liar_rename,
	.mkdir = liar_mkdir,
	.rmdir = liar_rmdir,
	.list = liar_list,
	.sync_dir = liar_sync_dir,
	.lock = liar_lock,
	.unlock = liar_unlock,
	.free_space = liar_free_space,
	.read_many = liar_read_many,
	.now_ns = liar_now_ns,
	.sleep_ns = liar_sleep_ns,
	.random = liar_random,
	.spawn = liar_spawn,
	.join = liar_join,
	.cond_new = liar_cond_new,
	.cond_free = liar_cond_free,
	.cond_wait = liar_cond_wait,
	.cond_signal = liar_cond_signal,
};

void env_liar_end(struct env_liar *l)
{
	owe(l, NULL);
}

struct env *env_liar_wrap(void *arg, struct env *home)
{
	struct env_liar *l = arg;

	l->env.ops = &liar_ops;
	l->home = home;
	return &l->env;
}
