// SPDX-License-Identifier: MIT OR GPL-2.0
/*
 * env_kernel_names.c - names and directories: made, renamed, removed, listed, synced, owned.
 *
 * Each looks its path up from the root of env_kernel_new()'s caller, with the caller's rights.
 */
#include <linux/statfs.h>

#include "env_kernel_internal.h"

/* ---- looking up ---- */

/* The directory that path names, in which last stands. */
struct place {
	struct file *opened;
	struct path dir;
	const char *last;
};

static int place_find(struct env_kernel *env, const char *path, struct place *p)
{
	const char *slash = strrchr(path, '/');
	char parent[ENV_PATH_MAX] = ".";
	size_t n = slash ? (size_t)(slash - path) : 0;

	if (n >= sizeof(parent))
		return -ENAMETOOLONG;
	if (n) {
		memcpy(parent, path, n);
		parent[n] = '\0';
	}
	p->last = slash ? slash + 1 : path;
	if (!*p->last)
		return -EINVAL;
	p->opened = env_kernel_filp(env, parent, O_PATH | O_DIRECTORY);
	if (IS_ERR(p->opened))
		return (int)PTR_ERR(p->opened);
	p->dir = p->opened->f_path;
	return 0;
}

static void place_leave(struct place *p)
{
	env_kernel_filp_close(p->opened);
}

/* ---- one name ---- */

/* What is done to a name, under its directory's lock. dentry may be negative. */
typedef int name_fn(struct vfsmount *mnt, struct dentry *dir, struct dentry *dentry);

static int change_name(struct env *env, const char *path, name_fn *fn)
{
	struct env_kernel *k = env_kernel(env);
	const struct cred *before = override_creds(k->cred);
	struct inode *inode = NULL;
	struct dentry *dentry;
	struct place p;
	int error = place_find(k, path, &p);

	if (error)
		goto out;
	error = mnt_want_write(p.dir.mnt);
	if (error)
		goto leave;
	inode_lock_nested(d_inode(p.dir.dentry), I_MUTEX_PARENT);
	dentry = compat_lookup(p.last, p.dir.dentry);
	error = PTR_ERR_OR_ZERO(dentry);
	if (!error) {
		/* A file's blocks are freed once the directory's lock is not held. */
		inode = d_is_positive(dentry) ? d_inode(dentry) : NULL;
		if (inode)
			ihold(inode);
		error = fn(p.dir.mnt, p.dir.dentry, dentry);
		dput(dentry);
	}
	inode_unlock(d_inode(p.dir.dentry));
	iput(inode);
	mnt_drop_write(p.dir.mnt);
leave:
	place_leave(&p);
out:
	revert_creds(before);
	return error;
}

static int name_unlink(struct vfsmount *mnt, struct dentry *dir, struct dentry *dentry)
{
	if (d_is_negative(dentry))
		return -ENOENT;
	if (d_is_dir(dentry))
		return -EISDIR;
	return vfs_unlink(compat_idmap(mnt), d_inode(dir), dentry, NULL);
}

static int name_mkdir(struct vfsmount *mnt, struct dentry *dir, struct dentry *dentry)
{
	if (d_is_positive(dentry))
		return -EEXIST;
	return compat_mkdir(mnt, dir, dentry);
}

static int name_rmdir(struct vfsmount *mnt, struct dentry *dir, struct dentry *dentry)
{
	if (d_is_negative(dentry))
		return -ENOENT;
	return vfs_rmdir(compat_idmap(mnt), d_inode(dir), dentry);
}

int env_kernel_unlink(struct env *env, const char *path)
{
	return change_name(env, path, name_unlink);
}

int env_kernel_mkdir(struct env *env, const char *path)
{
	return change_name(env, path, name_mkdir);
}

int env_kernel_rmdir(struct env *env, const char *path)
{
	return change_name(env, path, name_rmdir);
}

/* ---- rename ---- */

/* Both directories are locked. */
static int rename_locked(struct place *from, struct place *to, struct dentry *trap,
			 struct inode **replaced)
{
	struct dentry *old = compat_lookup(from->last, from->dir.dentry), *new;
	int error;

	if (IS_ERR(old))
		return (int)PTR_ERR(old);
	new = compat_lookup(to->last, to->dir.dentry);
	error = PTR_ERR_OR_ZERO(new);
	if (error)
		goto out;
	if (d_is_negative(old))
		error = -ENOENT;
	else if (old == trap)
		error = -EINVAL;
	else if (new == trap)
		error = -ENOTEMPTY;
	if (!error && d_is_positive(new)) {
		*replaced = d_inode(new);
		ihold(*replaced);
	}
	if (!error)
		error = compat_rename(from->dir.mnt, from->dir.dentry, old,
				      to->dir.dentry, new);
	dput(new);
out:
	dput(old);
	return error;
}

static int rename_between(struct place *from, struct place *to)
{
	struct inode *replaced = NULL;
	struct dentry *trap;
	int error;

	if (from->dir.mnt != to->dir.mnt)
		return -EXDEV;
	/* Once: who freezes the file system between two of them waits for the first for ever. */
	error = mnt_want_write(from->dir.mnt);
	if (error)
		return error;
	trap = lock_rename(to->dir.dentry, from->dir.dentry);
	error = PTR_ERR_OR_ZERO(trap);
	if (!error) {
		error = rename_locked(from, to, trap, &replaced);
		unlock_rename(to->dir.dentry, from->dir.dentry);
		iput(replaced);
	}
	mnt_drop_write(from->dir.mnt);
	return error;
}

int env_kernel_rename(struct env *env, const char *from, const char *to)
{
	struct env_kernel *k = env_kernel(env);
	const struct cred *before = override_creds(k->cred);
	struct place a, b;
	int error = place_find(k, from, &a);

	if (error)
		goto out;
	error = place_find(k, to, &b);
	if (!error) {
		error = rename_between(&a, &b);
		place_leave(&b);
	}
	place_leave(&a);
out:
	revert_creds(before);
	return error;
}

/* ---- directories ---- */

/* Names are collected first, and told when the directory is not locked any more: who is told
 * may open files in it. */
struct listing {
	struct dir_context context;
	struct kv_buf names; /* each ends with a 0 */
	int error;
};

static bool collect_name(struct dir_context *context, const char *name, int len,
			 loff_t offset, u64 ino, unsigned int type)
{
	struct listing *l = container_of(context, struct listing, context);

	(void)offset;
	(void)ino;
	(void)type;
	if ((len == 1 && name[0] == '.') ||
	    (len == 2 && name[0] == '.' && name[1] == '.'))
		return true;
	l->error = kv_buf_append(&l->names, name, (size_t)len);
	if (!l->error)
		l->error = kv_buf_append(&l->names, "", 1);
	return !l->error;
}

static int list_directory(struct file *dir, struct listing *l)
{
	size_t before;
	int error;

	do {
		before = l->names.len;
		error = iterate_dir(dir, &l->context);
	} while (!error && !l->error && l->names.len > before);
	return error ? error : l->error;
}

int env_kernel_list(struct env *env, const char *path, env_name_fn *fn, void *arg)
{
	struct listing l = { .context.actor = collect_name };
	struct file *dir = env_kernel_filp(env_kernel(env), path, O_RDONLY | O_DIRECTORY);
	const char *name;
	int error;

	if (IS_ERR(dir))
		return (int)PTR_ERR(dir);
	error = list_directory(dir, &l);
	env_kernel_filp_close(dir);
	for (name = l.names.data; !error && name < (char *)l.names.data + l.names.len;
	     name += strlen(name) + 1)
		error = fn(arg, name);
	kv_buf_free(&l.names);
	return error;
}

int env_kernel_sync_dir(struct env *env, const char *path)
{
	struct file *dir = env_kernel_filp(env_kernel(env), path, O_RDONLY | O_DIRECTORY);
	int error;

	if (IS_ERR(dir))
		return (int)PTR_ERR(dir);
	error = vfs_fsync(dir, 0);
	env_kernel_filp_close(dir);
	return error;
}

int env_kernel_free_space(struct env *env, const char *path, uint64_t *bytes)
{
	struct file *f = env_kernel_filp(env_kernel(env), path, O_PATH);
	struct kstatfs st;
	int error;

	if (IS_ERR(f))
		return (int)PTR_ERR(f);
	error = vfs_statfs(&f->f_path, &st);
	env_kernel_filp_close(f);
	if (!error)
		*bytes = st.f_bavail * (uint64_t)(st.f_frsize ? st.f_frsize : st.f_bsize);
	return error;
}

/* ---- locks ---- */

struct env_lock {
	struct file *file;
};

/* The lock of flock(2), which env_posix.c takes too: a store that a process has open cannot
 * be opened here, nor one that is open here by a process. */
int env_kernel_lock(struct env *env, const char *path, struct env_lock **out)
{
	struct env_lock *lock = port_alloc(sizeof(*lock));
	int error;

	if (!lock)
		return -ENOMEM;
	lock->file = env_kernel_filp(env_kernel(env), path, O_RDWR | O_CREAT);
	error = PTR_ERR_OR_ZERO(lock->file);
	if (error)
		goto out_free;
	error = compat_flock(lock->file, F_WRLCK);
	if (!error) {
		*out = lock;
		return 0;
	}
	if (error == -EAGAIN)
		error = -EBUSY;
	env_kernel_filp_close(lock->file);
out_free:
	port_free(lock);
	return error;
}

void env_kernel_unlock(struct env *env, struct env_lock *lock)
{
	(void)env;
	(void)compat_flock(lock->file, F_UNLCK);
	env_kernel_filp_close(lock->file);
	port_free(lock);
}
