/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * env_compat.h - what the kernel has called differently since 6.1, under one name each.
 */
#ifndef ENV_COMPAT_H
#define ENV_COMPAT_H

#include <linux/mount.h>
#include <linux/namei.h>
#include <linux/version.h>

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
#include <linux/filelock.h>
#define compat_idmap(mnt) mnt_idmap(mnt)
#else
#define compat_idmap(mnt) mnt_user_ns(mnt)
#endif

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 16, 0)
static inline struct dentry *compat_lookup(const char *name, struct dentry *dir)
{
	return lookup_noperm(&QSTR(name), dir);
}
#else
static inline struct dentry *compat_lookup(const char *name, struct dentry *dir)
{
	return lookup_one_len(name, dir, (int)strlen(name));
}
#endif

static inline int compat_mkdir(struct vfsmount *mnt, struct dentry *dir,
			       struct dentry *dentry)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 15, 0)
	/* It consumes the dentry when it fails, and may give another one. */
	struct dentry *made =
		vfs_mkdir(compat_idmap(mnt), d_inode(dir), dget(dentry), 0755);

	if (IS_ERR(made))
		return (int)PTR_ERR(made);
	dput(made);
	return 0;
#else
	return vfs_mkdir(compat_idmap(mnt), d_inode(dir), dentry, 0755);
#endif
}

static inline int compat_rename(struct vfsmount *mnt, struct dentry *from_dir,
				struct dentry *from, struct dentry *to_dir,
				struct dentry *to)
{
	struct renamedata r = {
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 17, 0)
		.mnt_idmap = compat_idmap(mnt),
		.old_parent = from_dir,
		.new_parent = to_dir,
#else
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
		.old_mnt_idmap = compat_idmap(mnt),
		.new_mnt_idmap = compat_idmap(mnt),
#else
		.old_mnt_userns = compat_idmap(mnt),
		.new_mnt_userns = compat_idmap(mnt),
#endif
		.old_dir = d_inode(from_dir),
		.new_dir = d_inode(to_dir),
#endif
		.old_dentry = from,
		.new_dentry = to,
	};

	return vfs_rename(&r);
}

/* The lock that flock(2) takes, of the whole file; type F_WRLCK or F_UNLCK. */
static inline int compat_flock(struct file *f, unsigned char type)
{
	struct file_lock l;

	locks_init_lock(&l);
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 9, 0)
	l.c.flc_file = f;
	l.c.flc_owner = f;
	l.c.flc_flags = FL_FLOCK;
	l.c.flc_type = type;
	l.c.flc_pid = task_tgid_nr(current);
#else
	l.fl_file = f;
	l.fl_owner = f;
	l.fl_flags = FL_FLOCK;
	l.fl_type = type;
	l.fl_pid = task_tgid_nr(current);
#endif
	l.fl_end = OFFSET_MAX;
	if (f->f_op->flock)
		return f->f_op->flock(f, F_SETLK, &l);
	return locks_lock_file_wait(f, &l);
}

#endif /* ENV_COMPAT_H */
