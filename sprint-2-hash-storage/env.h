/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * env.h - what an engine may use of the world: files, time, background work, waiting.
 *
 * All of it can fail, block or depend on the clock, so all of it stands behind a table
 * with several homes: env_posix.c, env_uring.c, env_sim.c (a file system in memory that
 * forgets what was not synced), and the kernel's. An engine that keeps to port.h and
 * env.h runs in each of them unchanged.
 *
 * What is durable: bytes, after file_sync() of that file; a name (creation, rename,
 * removal), after env_sync_dir() of its directory; nothing else, in particular not by
 * closing. The running process sees everything at once.
 *
 * Errors:  0 or -errno. A failed write or sync leaves the bytes that it concerned
 *          undefined; after a failed sync the caller must not believe a later one
 *          (Rebello et al., "Can Applications Recover from fsync Failures?", 2020).
 * Threads: any call from any thread. Two writes to one range are the caller's affair.
 * Paths:   absolute or relative to the process, '/' between parts, at most ENV_PATH_MAX.
 */
#ifndef ENV_H
#define ENV_H

#include "../sprint-1-core-memory/kv.h"

enum { ENV_PATH_MAX = PORT_PATH_MAX };

struct env {
	const struct env_ops *ops;
};

struct file {
	const struct file_ops *ops;
};

enum env_open_flags {
	ENV_READ = 1 << 0,
	ENV_WRITE = 1 << 1,
	ENV_CREATE = 1 << 2,    /* makes it when absent */
	ENV_EXCLUSIVE = 1 << 3, /* with ENV_CREATE: -EEXIST when present */
	ENV_TRUNCATE = 1 << 4,
	/* With ENV_READ alone: reads go to the device and leave nothing in the system's cache,
	 * where the home can; any range may be read, and costs whole pages. Else no different. */
	ENV_DIRECT = 1 << 5,
};

enum file_advice { FILE_SEQUENTIAL, FILE_RANDOM, FILE_WILL_NEED, FILE_DONT_NEED };

struct file_read { /* one of several reads that may run side by side */
	struct file *file;
	uint64_t offset;
	void *data;
	size_t len, got; /* got < len only at the end of the file */
	int error;
};

struct file_ops {
	/* Reads len bytes, fewer only at the end of the file; *got says how many. */
	int (*read)(struct file *f, uint64_t offset, void *data, size_t len, size_t *got);
	/* All of it or an error; grows the file where it reaches beyond its end. */
	int (*write)(struct file *f, uint64_t offset, const void *data, size_t len);
	int (*sync)(struct file *f); /* bytes and size: fdatasync(2) */
	/* Blocks for [offset, offset + len), reading as zero; the size grows to cover it.
	 * -EOPNOTSUPP where the file system cannot. */
	int (*allocate)(struct file *f, uint64_t offset, uint64_t len);
	int (*truncate)(struct file *f, uint64_t size);
	int (*size)(struct file *f, uint64_t *size);
	/* Memory that is the file's bytes: stores to a writable map are writes, durable
	 * after sync(). The range must lie within the size, offset on a 64 KiB boundary.
	 * On a device error, reading through it may end the process (SIGBUS). */
	int (*map)(struct file *f, uint64_t offset, size_t len, bool writable,
		   void **out);
	void (*unmap)(struct file *f, void *p, size_t len);
	void (*advise)(struct file *f, uint64_t offset, uint64_t len,
		       enum file_advice advice);
	void (*close)(struct file *f); /* frees f; tells nothing about durability */
};

typedef void env_task_fn(void *arg);
typedef int env_name_fn(void *arg, const char *name); /* non-zero ends the list with it */

struct env_task; /* background work that was spawned */
struct env_lock; /* a directory's owner */

/* A place to wait, always under the one mutex it is used with. */
struct env_cond;

struct env_ops {
	const char *name;

	int (*open)(struct env *env, const char *path, unsigned int flags,
		    struct file **out);
	int (*unlink)(struct env *env, const char *path);
	int (*rename)(struct env *env, const char *from,
		      const char *to);                   /* replaces to */
	int (*mkdir)(struct env *env, const char *path); /* -EEXIST when present */
	int (*rmdir)(struct env *env, const char *path);
	int (*list)(struct env *env, const char *path, env_name_fn *fn, void *arg);
	int (*sync_dir)(struct env *env, const char *path);
	/* One owner of a path at a time, over all processes; ends with the process. Makes
	 * the file. -EBUSY when another has it. */
	int (*lock)(struct env *env, const char *path, struct env_lock **out);
	void (*unlock)(struct env *env, struct env_lock *lock);
	int (*free_space)(struct env *env, const char *path, uint64_t *bytes);
	/* n reads, as many at once as the home can; each has its own error. */
	void (*read_many)(struct env *env, struct file_read *read, size_t n);

	uint64_t (*now_ns)(struct env *env); /* monotonic */
	void (*sleep_ns)(struct env *env, uint64_t ns);
	uint64_t (*random)(
		struct env *env); /* for ids and seeds; a simulator's is by seed */

	int (*spawn)(struct env *env, const char *name, env_task_fn *fn, void *arg,
		     struct env_task **out);
	void (*join)(struct env *env, struct env_task *task); /* waits, then frees */
	/* The calling task's work can wait for others'; may be NULL. */
	void (*stand_back)(struct env *env);

	int (*cond_new)(struct env *env, struct env_cond **out);
	void (*cond_free)(struct env *env, struct env_cond *c);
	/* Gives m up while waiting. timeout_ns 0: none. May wake early, as all of its kind. */
	void (*cond_wait)(struct env *env, struct env_cond *c, struct port_mutex *m,
			  uint64_t timeout_ns);
	void (*cond_signal)(struct env *env, struct env_cond *c); /* all that wait */

	void (*log)(struct env *env,
		    const char *text); /* one line for a person; may be NULL */
	/* Counters of the home's own; may be NULL. */
	void (*stats)(struct env *env, kv_stat_fn *emit, void *arg);
};

/* The process's own files and threads. Never freed. */
struct env *env_posix(void);

/* The same, with file I/O through io_uring. One for the process, never freed. An error, with
 * why, where it can't be had: -EOPNOTSUPP (built without liburing, or too old a kernel),
 * else what the kernel said: -ENOSYS, -EPERM (containers), -ENOMEM, -EMFILE. *out is then
 * untouched, and env_posix() is the home to take. Any thread. */
int env_uring(struct env **out, struct kv_msg *why);
/* Syncs that went through its rings, where nobody who watches fdatasync(2) sees them. */
uint64_t env_uring_syncs(void);

/* ---- the calls ---- */

static inline int env_open(struct env *env, const char *path, unsigned int flags,
			   struct file **out)
{
	return env->ops->open(env, path, flags, out);
}

static inline int file_read(struct file *f, uint64_t offset, void *data, size_t len,
			    size_t *got)
{
	return f->ops->read(f, offset, data, len, got);
}

static inline int file_write(struct file *f, uint64_t offset, const void *data,
			     size_t len)
{
	return f->ops->write(f, offset, data, len);
}

static inline int file_sync(struct file *f)
{
	return f->ops->sync(f);
}

static inline void file_close(struct file *f)
{
	if (f)
		f->ops->close(f);
}

/* Reads exactly len bytes; an end before that is -EBADMSG, told to why with path, offset,
 * wanted and got. The one place where a short file becomes corruption. */
int file_read_exact(struct file *f, const char *path, uint64_t offset, void *data,
		    size_t len, struct kv_msg *why);

/* "dir/name" into a buffer of ENV_PATH_MAX; -ENAMETOOLONG. */
int env_path(char *out, const char *dir, const char *name);

/* Makes the directory unless it is there, and takes dir/LOCK, so that nobody else has it open.
 * -EBUSY when somebody has. */
int env_take_dir(struct env *env, const char *dir, struct env_lock **owner,
		 struct kv_msg *why);

/* Makes the name of path durable: syncs the directory that it stands in. */
int env_sync_parent(struct env *env, const char *path);

/* Tells which home this is, "home_<name>" = 1, and its own counters. */
void env_stats(struct env *env, kv_stat_fn *emit, void *arg);

/* A file that is there in whole or not at all, and durable: writes dir/name.tmp, syncs it,
 * renames, syncs dir. */
int env_write_file(struct env *env, const char *dir, const char *name, const void *data,
		   size_t len);
/* The whole file into out; -EFBIG above max. */
int env_read_file(struct env *env, const char *path, size_t max, struct kv_buf *out);

#endif /* ENV_H */
