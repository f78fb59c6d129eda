/* SPDX-License-Identifier: MIT */
/*
 * env_sim_name.c - names behind env.h: directories, locks, space.
 *
 * A node lives while a name or anything open refers to it, as an inode does.
 */
#include "env_sim_internal.h"

void sim_node_put(struct env_sim *sim, struct sim_node *node)
{
	if (node->names || node->opens)
		return;
	sim->blocks -= node->data.blocks;
	sim_disk_remove(&sim->disk, node);
}

static void drop_name(struct env_sim *sim, struct sim_node *dir, const char *name,
		      struct sim_node *node)
{
	sim_dir_remove(&dir->dir, name);
	node->names--;
	sim_node_put(sim, node);
}

static struct sim_node *make(struct env_sim *sim, struct sim_node *dir, const char *name,
			     const char *path, bool is_dir)
{
	struct sim_node *node = sim_disk_add(&sim->disk, is_dir, path);

	node->names = 1;
	sim_dir_set(&dir->dir, name, node->id);
	sim_journal_name(sim, SIM_CREATE, dir, name, node);
	return node;
}

/* ---- open ---- */

/* The file at path, made if flags say so. */
static int open_node(struct env_sim *sim, const char *path, unsigned int flags,
		     struct sim_node **out, bool *made)
{
	const struct sim_name *name;
	struct sim_node *dir;
	const char *last;
	int error = sim_disk_parent(&sim->disk, path, &dir, &last);

	*made = false;
	if (error)
		return error;
	name = sim_dir_find(&dir->dir, last);
	if (!name && !(flags & ENV_CREATE))
		return -ENOENT;
	if (name && (flags & ENV_CREATE) && (flags & ENV_EXCLUSIVE))
		return -EEXIST;
	if (!name) {
		*out = make(sim, dir, last, path, false);
		*made = true;
		return 0;
	}
	*out = sim->disk.node[name->node];
	return (*out)->is_dir ? -EISDIR : 0;
}

int sim_open(struct env *env, const char *path, unsigned int flags, struct file **out)
{
	struct env_sim *sim = sim_of(env);
	struct sim_node *node;
	struct file *f;
	bool made;
	int error = sim_enter(sim, SIM_OPEN, path, NULL);

	if (error)
		return error;
	error = open_node(sim, path, flags, &node, &made);
	if (error)
		return error;
	error = sim_file_new(sim, node, flags, &f);
	if (error)
		return error; /* the name that was made stays, as open(2) leaves it */
	if ((flags & ENV_TRUNCATE) && (flags & ENV_WRITE) && node->data.size)
		sim_file_resize(sim, node, 0);
	*out = f;
	return 0;
}

/* ---- names ---- */

/* What path names, and where the name stands. */
static int find_named(struct env_sim *sim, const char *path, struct sim_node **dir,
		      const char **last, struct sim_node **node)
{
	const struct sim_name *name;
	int error = sim_disk_parent(&sim->disk, path, dir, last);

	if (error)
		return error;
	name = sim_dir_find(&(*dir)->dir, *last);
	if (!name)
		return -ENOENT;
	*node = sim->disk.node[name->node];
	return 0;
}

int sim_unlink(struct env *env, const char *path)
{
	struct env_sim *sim = sim_of(env);
	struct sim_node *dir, *node;
	const char *last;
	int error = sim_enter(sim, SIM_UNLINK, path, NULL);

	if (!error)
		error = find_named(sim, path, &dir, &last, &node);
	if (error)
		return error;
	if (node->is_dir)
		return -EISDIR;
	sim_journal_name(sim, SIM_REMOVE, dir, last, node);
	drop_name(sim, dir, last, node);
	return 0;
}

/* 0 if a name for `node` may come where `old` is now. */
static int may_replace(const struct sim_node *node, const struct sim_node *old)
{
	if (node->is_dir && !old->is_dir)
		return -ENOTDIR;
	if (!node->is_dir && old->is_dir)
		return -EISDIR;
	return old->dir.n ? -ENOTEMPTY : 0;
}

static void move(struct env_sim *sim, struct sim_node *from, const char *from_name,
		 struct sim_node *to, const char *to_name, struct sim_node *node)
{
	const struct sim_name *name = sim_dir_find(&to->dir, to_name);
	struct sim_node *old = name ? sim->disk.node[name->node] : NULL;
	struct sim_entry *e = sim_journal_add(sim, SIM_MOVE, from);

	if (e) {
		e->name = sim_strdup(from_name);
		e->to_name = sim_strdup(to_name);
		e->child = node->id;
		e->to_dir = to->id;
	}
	sim_dir_set(&to->dir, to_name, node->id);
	sim_dir_remove(&from->dir, from_name);
	if (old) {
		old->names--;
		sim_node_put(sim, old);
	}
}

int sim_rename(struct env *env, const char *from, const char *to)
{
	struct env_sim *sim = sim_of(env);
	struct sim_node *from_dir, *to_dir, *node;
	const struct sim_name *name, *old;
	const char *from_last, *to_last;
	int error = sim_enter(sim, SIM_RENAME, from, NULL);

	if (!error)
		error = sim_disk_parent(&sim->disk, from, &from_dir, &from_last);
	if (!error)
		error = sim_disk_parent(&sim->disk, to, &to_dir, &to_last);
	if (error)
		return error;
	name = sim_dir_find(&from_dir->dir, from_last);
	if (!name)
		return -ENOENT;
	node = sim->disk.node[name->node];
	old = sim_dir_find(&to_dir->dir, to_last);
	if (old && old->node == node->id)
		return 0;
	if (old)
		error = may_replace(node, sim->disk.node[old->node]);
	if (error)
		return error;
	move(sim, from_dir, from_last, to_dir, to_last, node);
	free(node->path);
	node->path = sim_strdup(to);
	return 0;
}

int sim_mkdir(struct env *env, const char *path)
{
	struct env_sim *sim = sim_of(env);
	struct sim_node *dir;
	const char *last;
	int error = sim_enter(sim, SIM_MKDIR, path, NULL);

	if (!error)
		error = sim_disk_parent(&sim->disk, path, &dir, &last);
	if (error)
		return error;
	if (sim_dir_find(&dir->dir, last))
		return -EEXIST;
	(void)make(sim, dir, last, path, true);
	return 0;
}

int sim_rmdir(struct env *env, const char *path)
{
	struct env_sim *sim = sim_of(env);
	struct sim_node *dir, *node;
	const char *last;
	int error = sim_enter(sim, SIM_RMDIR, path, NULL);

	if (!error)
		error = find_named(sim, path, &dir, &last, &node);
	if (error)
		return error;
	if (!node->is_dir)
		return -ENOTDIR;
	if (node->dir.n)
		return -ENOTEMPTY;
	sim_journal_name(sim, SIM_REMOVE, dir, last, node);
	drop_name(sim, dir, last, node);
	return 0;
}

static int find_dir(struct env_sim *sim, const char *path, struct sim_node **out)
{
	int error = sim_disk_find(&sim->disk, path, out);

	if (!error && !(*out)->is_dir)
		error = -ENOTDIR;
	return error;
}

/* The names are copied first: fn may change the directory. They come in an order that
 * only the seed knows, since no file system promises one. */
int sim_list(struct env *env, const char *path, env_name_fn *fn, void *arg)
{
	struct env_sim *sim = sim_of(env);
	struct sim_node *dir;
	char **name;
	size_t n, i, start;
	int error = sim_enter(sim, SIM_LIST, path, NULL);

	if (!error)
		error = find_dir(sim, path, &dir);
	if (error)
		return error;
	n = dir->dir.n;
	start = n ? sim_next(&sim->place) % n : 0;
	name = sim_alloc(n * sizeof(*name));
	for (i = 0; i < n; i++)
		name[i] = sim_strdup(dir->dir.name[(start + i) % n].text);
	for (i = 0; i < n; i++) {
		if (!error)
			error = fn(arg, name[i]);
		free(name[i]);
	}
	free(name);
	return error;
}

int sim_sync_dir(struct env *env, const char *path)
{
	struct env_sim *sim = sim_of(env);
	struct sim_node *dir;
	int error = sim_enter(sim, SIM_SYNC_DIR, path, NULL);

	if (!error)
		error = find_dir(sim, path, &dir);
	if (!error)
		(void)sim_journal_add(sim, SIM_DIR_SYNCED, dir);
	return error;
}

/* ---- locks ---- */

struct env_lock {
	struct sim_node *node;
};

int sim_lock(struct env *env, const char *path, struct env_lock **out)
{
	struct env_sim *sim = sim_of(env);
	struct env_lock *lock;
	struct sim_node *node;
	bool made;
	int error = sim_enter(sim, SIM_LOCK, path, NULL);

	if (!error)
		error = open_node(sim, path, ENV_CREATE, &node, &made);
	if (!error && node->locked)
		error = -EBUSY;
	if (error)
		return error;
	lock = port_alloc(sizeof(*lock));
	if (!lock)
		return -ENOMEM;
	lock->node = node;
	node->locked = true;
	node->opens++;
	sim->live++;
	*out = lock;
	return 0;
}

void sim_unlock(struct env *env, struct env_lock *lock)
{
	struct env_sim *sim = sim_of(env);

	sim_check_thread(sim);
	lock->node->locked = false;
	lock->node->opens--;
	sim_node_put(sim, lock->node);
	sim->live--;
	port_free(lock);
}

/* ---- the rest ---- */

int sim_free_space(struct env *env, const char *path, uint64_t *bytes)
{
	struct env_sim *sim = sim_of(env);
	uint64_t pages = sim->config.capacity_bytes / SIM_PAGE;
	struct sim_node *node;
	int error = sim_enter(sim, SIM_SPACE, path, NULL);

	if (!error)
		error = sim_disk_find(&sim->disk, path, &node);
	if (!error)
		*bytes = pages > sim->blocks ? (pages - sim->blocks) * SIM_PAGE : 0;
	return error;
}

void sim_read_many(struct env *env, struct file_read *read, size_t n)
{
	size_t i;

	(void)env;
	for (i = 0; i < n; i++)
		read[i].error = file_read(read[i].file, read[i].offset, read[i].data,
					  read[i].len, &read[i].got);
}
