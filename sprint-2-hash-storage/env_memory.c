/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * env_memory.c - see env_memory.h: names of files that are memory only, and the words that
 * are passed on to the home below.
 *
 * Names stand in a list. A store has dozens of files, and opens one now and then.
 */
#include "env_memory_internal.h"

static struct env_memory *env_memory(struct env *env)
{
	return container_of(env, struct env_memory, base);
}

/* ---- nodes: all under the lock ---- */

static struct memory_node *find(struct env_memory *m, const char *path)
{
	struct memory_node *n = m->first;

	while (n && strcmp(n->path, path))
		n = n->next;
	return n;
}

static void node_free(struct memory_node *n)
{
	memory_file_free(n);
	port_rwlock_destroy(&n->bytes_lock);
	port_free(n);
}

static bool put_locked(struct memory_node *n)
{
	return --n->references == 0;
}

static void take_name(struct env_memory *m, struct memory_node *n)
{
	struct memory_node **p = &m->first;

	while (*p != n)
		p = &(*p)->next;
	*p = n->next;
}

/* The length of the directory's path that this path begins with; 0: none is named. */
static size_t parent_bytes(const char *path)
{
	size_t n = strlen(path);

	while (n && path[n - 1] != '/')
		n--;
	return n ? n - 1 : 0;
}

static bool is_root(const char *path)
{
	return !*path || !strcmp(path, "/") || !strcmp(path, ".");
}

static int check_directory(struct env_memory *m, const char *path)
{
	struct memory_node *n;

	if (is_root(path))
		return 0;
	n = find(m, path);
	if (!n)
		return -ENOENT;
	return n->directory ? 0 : -ENOTDIR;
}

static int node_new(struct env_memory *m, const char *path, bool directory,
		    struct memory_node **out)
{
	size_t parent = parent_bytes(path), len = strlen(path);
	struct memory_node *n;
	int error;

	if (!len || path[len - 1] == '/')
		return -EINVAL;
	if (len >= sizeof(n->path))
		return -ENAMETOOLONG;
	n = port_alloc(sizeof(*n));
	if (!n)
		return -ENOMEM;
	memset(n, 0, sizeof(*n));
	memcpy(n->path, path, parent);
	error = check_directory(m, n->path);
	if (error) {
		port_free(n);
		return error;
	}
	memcpy(n->path, path, len + 1);
	n->env = m;
	n->directory = directory;
	n->references = 1;
	port_rwlock_init(&n->bytes_lock);
	n->next = m->first;
	m->first = n;
	*out = n;
	return 0;
}

void memory_node_put(struct memory_node *n)
{
	struct env_memory *m = n->env;
	bool last;

	port_mutex_lock(&m->lock);
	last = put_locked(n);
	port_mutex_unlock(&m->lock);
	if (last)
		node_free(n);
}

/* ---- open ---- */

/* The node that path names, made if that is wanted; with a reference. */
static int open_node(struct env_memory *m, const char *path, unsigned int flags,
		     struct memory_node **out)
{
	struct memory_node *n = find(m, path);
	int error = 0;

	if (n && flags & ENV_CREATE && flags & ENV_EXCLUSIVE)
		return -EEXIST;
	if (n && n->directory)
		return -EISDIR;
	if (!n && !(flags & ENV_CREATE))
		return -ENOENT;
	if (!n)
		error = node_new(m, path, false, &n);
	if (error)
		return error;
	n->references++;
	*out = n;
	return 0;
}

static int memory_open(struct env *env, const char *path, unsigned int flags,
		       struct file **out)
{
	struct env_memory *m = env_memory(env);
	struct memory_node *n = NULL;
	struct file *f;
	int error;

	port_mutex_lock(&m->lock);
	error = open_node(m, path, flags, &n);
	port_mutex_unlock(&m->lock);
	if (error)
		return error;
	error = memory_file_new(n, flags, &f);
	if (error) {
		memory_node_put(n);
		return error;
	}
	if (flags & ENV_TRUNCATE)
		memory_file_empty(n);
	*out = f;
	return 0;
}

/* ---- names ---- */

static bool is_empty(struct env_memory *m, const char *path)
{
	size_t len = strlen(path);
	struct memory_node *n;

	for (n = m->first; n; n = n->next)
		if (!strncmp(n->path, path, len) && n->path[len] == '/')
			return false;
	return true;
}

static int remove_name(struct env *env, const char *path, bool directory)
{
	struct env_memory *m = env_memory(env);
	struct memory_node *n, *gone = NULL;
	int error = 0;

	port_mutex_lock(&m->lock);
	n = find(m, path);
	if (!n)
		error = -ENOENT;
	else if (n->directory != directory)
		error = directory ? -ENOTDIR : -EISDIR;
	else if (directory && !is_empty(m, path))
		error = -ENOTEMPTY;
	if (!error) {
		take_name(m, n);
		gone = put_locked(n) ? n : NULL;
	}
	port_mutex_unlock(&m->lock);
	if (gone)
		node_free(gone);
	return error;
}

static int memory_unlink(struct env *env, const char *path)
{
	return remove_name(env, path, false);
}

static int memory_rmdir(struct env *env, const char *path)
{
	return remove_name(env, path, true);
}

/* Files alone: no engine renames a directory. */
static int memory_rename(struct env *env, const char *from, const char *to)
{
	struct env_memory *m = env_memory(env);
	struct memory_node *n, *old, *gone = NULL;
	int error = 0;

	if (strlen(to) >= ENV_PATH_MAX)
		return -ENAMETOOLONG;
	port_mutex_lock(&m->lock);
	n = find(m, from);
	old = find(m, to);
	if (!n)
		error = -ENOENT;
	else if (n->directory || (old && old->directory))
		error = -EISDIR;
	if (!error && n != old) {
		if (old) {
			take_name(m, old);
			gone = put_locked(old) ? old : NULL;
		}
		memcpy(n->path, to, strlen(to) + 1);
	}
	port_mutex_unlock(&m->lock);
	if (gone)
		node_free(gone);
	return error;
}

static int memory_mkdir(struct env *env, const char *path)
{
	struct env_memory *m = env_memory(env);
	struct memory_node *n;
	int error;

	port_mutex_lock(&m->lock);
	error = is_root(path) || find(m, path) ? -EEXIST : node_new(m, path, true, &n);
	port_mutex_unlock(&m->lock);
	return error;
}

/* The last part of the name, if it stands directly in the directory; else NULL. */
static const char *name_in(const struct memory_node *n, const char *dir)
{
	size_t parent = parent_bytes(n->path);
	const char *last = n->path + (parent ? parent + 1 : 0);

	if (is_root(dir))
		return strchr(n->path, '/') ? NULL : n->path;
	return strlen(dir) == parent && !memcmp(n->path, dir, parent) ? last : NULL;
}

/* Names are told when the lock is not held: who is told may open files. */
static int memory_list(struct env *env, const char *path, env_name_fn *fn, void *arg)
{
	struct env_memory *m = env_memory(env);
	struct kv_buf names = { 0 };
	const struct memory_node *n;
	const char *name, *end;
	int error;

	port_mutex_lock(&m->lock);
	error = check_directory(m, path);
	for (n = m->first; n && !error; n = n->next) {
		name = name_in(n, path);
		if (name)
			error = kv_buf_append(&names, name, strlen(name) + 1);
	}
	port_mutex_unlock(&m->lock);
	name = names.data;
	end = name + names.len;
	for (; !error && name < end; name += strlen(name) + 1)
		error = fn(arg, name);
	kv_buf_free(&names);
	return error;
}

static int memory_sync_dir(struct env *env, const char *path)
{
	struct env_memory *m = env_memory(env);
	int error;

	port_mutex_lock(&m->lock);
	error = check_directory(m, path);
	port_mutex_unlock(&m->lock);
	return error;
}

/* A lock is the node that has it, with a reference. */
static int memory_lock(struct env *env, const char *path, struct env_lock **out)
{
	struct env_memory *m = env_memory(env);
	struct memory_node *n = NULL;
	int error;

	port_mutex_lock(&m->lock);
	error = open_node(m, path, ENV_CREATE, &n);
	if (!error && n->locked) {
		n->references--; /* its name has one more */
		error = -EBUSY;
	}
	if (!error) {
		n->locked = true;
		*out = (struct env_lock *)n;
	}
	port_mutex_unlock(&m->lock);
	return error;
}

static void memory_unlock(struct env *env, struct env_lock *lock)
{
	struct memory_node *n = (struct memory_node *)lock;

	port_mutex_lock(&env_memory(env)->lock);
	n->locked = false;
	port_mutex_unlock(&env_memory(env)->lock);
	memory_node_put(n);
}

static int memory_free_space(struct env *env, const char *path, uint64_t *bytes)
{
	struct env_memory *m = env_memory(env);

	(void)path;
	*bytes = m->most_bytes - port_load_relaxed(&m->used);
	return 0;
}

static void memory_read_many(struct env *env, struct file_read *read, size_t n)
{
	size_t i;

	(void)env;
	for (i = 0; i < n; i++)
		read[i].error = file_read(read[i].file, read[i].offset, read[i].data,
					  read[i].len, &read[i].got);
}

/* ---- what the home below does ---- */

static struct env *below(struct env *env)
{
	return env_memory(env)->below;
}

static uint64_t memory_now_ns(struct env *env)
{
	return below(env)->ops->now_ns(below(env));
}

static void memory_sleep_ns(struct env *env, uint64_t ns)
{
	below(env)->ops->sleep_ns(below(env), ns);
}

static uint64_t memory_random(struct env *env)
{
	return below(env)->ops->random(below(env));
}

static int memory_spawn(struct env *env, const char *name, env_task_fn *fn, void *arg,
			struct env_task **out)
{
	return below(env)->ops->spawn(below(env), name, fn, arg, out);
}

static void memory_join(struct env *env, struct env_task *task)
{
	below(env)->ops->join(below(env), task);
}

static void memory_stand_back(struct env *env)
{
	if (below(env)->ops->stand_back)
		below(env)->ops->stand_back(below(env));
}

static int memory_cond_new(struct env *env, struct env_cond **out)
{
	return below(env)->ops->cond_new(below(env), out);
}

static void memory_cond_free(struct env *env, struct env_cond *c)
{
	below(env)->ops->cond_free(below(env), c);
}

static void memory_cond_wait(struct env *env, struct env_cond *c, struct port_mutex *m,
			     uint64_t timeout_ns)
{
	below(env)->ops->cond_wait(below(env), c, m, timeout_ns);
}

static void memory_cond_signal(struct env *env, struct env_cond *c)
{
	below(env)->ops->cond_signal(below(env), c);
}

static void memory_log(struct env *env, const char *text)
{
	if (below(env)->ops->log)
		below(env)->ops->log(below(env), text);
}

static void memory_stats(struct env *env, kv_stat_fn *emit, void *arg)
{
	struct env_memory *m = env_memory(env);

	emit(arg, "memory_file_bytes", port_load_relaxed(&m->used));
	emit(arg, "memory_file_most_bytes", m->most_bytes);
}

static const struct env_ops env_memory_ops = {
	.name = "memory",
	.open = memory_open,
	.unlink = memory_unlink,
	.rename = memory_rename,
	.mkdir = memory_mkdir,
	.rmdir = memory_rmdir,
	.list = memory_list,
	.sync_dir = memory_sync_dir,
	.lock = memory_lock,
	.unlock = memory_unlock,
	.free_space = memory_free_space,
	.read_many = memory_read_many,
	.now_ns = memory_now_ns,
	.sleep_ns = memory_sleep_ns,
	.random = memory_random,
	.spawn = memory_spawn,
	.join = memory_join,
	.stand_back = memory_stand_back,
	.cond_new = memory_cond_new,
	.cond_free = memory_cond_free,
	.cond_wait = memory_cond_wait,
	.cond_signal = memory_cond_signal,
	.log = memory_log,
	.stats = memory_stats,
};

/* ---- life ---- */

int env_memory_new(struct env *below, uint64_t most_bytes, struct env **out)
{
	struct env_memory *m = port_alloc(sizeof(*m));

	if (!m)
		return -ENOMEM;
	*m = (struct env_memory){
		.base.ops = &env_memory_ops,
		.below = below,
		.most_bytes = most_bytes,
	};
	port_mutex_init(&m->lock);
	*out = &m->base;
	return 0;
}

void env_memory_free(struct env *env)
{
	struct env_memory *m;
	struct memory_node *n, *next;

	if (!env)
		return;
	m = env_memory(env);
	for (n = m->first; n; n = next) {
		next = n->next;
		node_free(n);
	}
	port_mutex_destroy(&m->lock);
	port_free(m);
}

uint64_t env_memory_used(struct env *env)
{
	return port_load_relaxed(&env_memory(env)->used);
}
