// SPDX-License-Identifier: MIT OR GPL-2.0
/*
 * env_kernel_files.c - bytes of files, by what the kernel offers its modules: kernel_read()
 * and its like, which go through the page cache as read(2) does.
 */
#include <linux/fadvise.h>
#include <linux/file.h>

#include "env_kernel_internal.h"

static struct kernel_file *kernel_file(struct env_file *f)
{
	return container_of(f, struct kernel_file, base);
}

/* ---- read and write ---- */

struct transfer {
	struct kernel_call call;
	struct file *file;
	uint64_t offset;
	void *in;
	const void *out;
	size_t len, done;
};

static int transfer_read(struct kernel_call *call)
{
	struct transfer *t = container_of(call, struct transfer, call);

	while (t->done < t->len) {
		loff_t at = (loff_t)(t->offset + t->done);
		ssize_t n = kernel_read(t->file, t->in + t->done, t->len - t->done, &at);

		if (n < 0)
			return (int)n;
		if (n == 0)
			break;
		t->done += (size_t)n;
	}
	return 0;
}

static int transfer_write(struct kernel_call *call)
{
	struct transfer *t = container_of(call, struct transfer, call);

	while (t->done < t->len) {
		loff_t at = (loff_t)(t->offset + t->done);
		ssize_t n =
			kernel_write(t->file, t->out + t->done, t->len - t->done, &at);

		if (n < 0)
			return (int)n;
		if (n == 0)
			return -EIO;
		t->done += (size_t)n;
	}
	return 0;
}

static int kernel_home_read(struct env_file *f, uint64_t offset, void *data, size_t len,
			    size_t *got)
{
	struct kernel_file *k = kernel_file(f);
	struct transfer t = {
		.call = { .fn = transfer_read },
		.file = k->file,
		.offset = offset,
		.in = data,
		.len = len,
	};
	int error = k->file->f_mode & FMODE_READ ? 0 : -EBADF;

	if (!error && len)
		error = env_kernel_run(k->env, &t.call);
	*got = t.done;
	return error;
}

static int kernel_home_write(struct env_file *f, uint64_t offset, const void *data,
			     size_t len)
{
	struct kernel_file *k = kernel_file(f);
	struct transfer t = {
		.call = { .fn = transfer_write },
		.file = k->file,
		.offset = offset,
		.out = data,
		.len = len,
	};

	if (!(k->file->f_mode & FMODE_WRITE))
		return -EBADF;
	return len ? env_kernel_run(k->env, &t.call) : 0;
}

/* What is not in the page cache is asked for before the first of it is waited for. */
void env_kernel_read_many(struct env *env, struct file_read *read, size_t n)
{
	size_t i;

	(void)env;
	for (i = 0; n > 1 && i < n; i++)
		if (read[i].len)
			read[i].env_file->ops->advise(read[i].env_file, read[i].offset,
						      read[i].len, FILE_WILL_NEED);
	for (i = 0; i < n; i++)
		read[i].error = file_read(read[i].env_file, read[i].offset, read[i].data,
					  read[i].len, &read[i].got);
}

/* ---- what else a file can ---- */

static int kernel_home_sync(struct env_file *f)
{
	/* Never tried again: the kernel may have dropped the pages. */
	return vfs_fsync(kernel_file(f)->file, 1);
}

struct resize {
	struct kernel_call call;
	struct file *file;
	uint64_t offset, len;
};

static int resize_allocate(struct kernel_call *call)
{
	struct resize *r = container_of(call, struct resize, call);

	return (int)vfs_fallocate(r->file, 0, (loff_t)r->offset, (loff_t)r->len);
}

static int resize_truncate(struct kernel_call *call)
{
	struct resize *r = container_of(call, struct resize, call);

	return (int)vfs_truncate(&r->file->f_path, (loff_t)r->len);
}

static int kernel_home_allocate(struct env_file *f, uint64_t offset, uint64_t len)
{
	struct kernel_file *k = kernel_file(f);
	struct resize r = { { .fn = resize_allocate }, k->file, offset, len };

	return env_kernel_run(k->env, &r.call);
}

static int kernel_home_truncate(struct env_file *f, uint64_t size)
{
	struct kernel_file *k = kernel_file(f);
	struct resize r = { { .fn = resize_truncate }, k->file, 0, size };

	return env_kernel_run(k->env, &r.call);
}

static int kernel_home_size(struct env_file *f, uint64_t *size)
{
	*size = (uint64_t)i_size_read(file_inode(kernel_file(f)->file));
	return 0;
}

static int kernel_home_map(struct env_file *f, uint64_t offset, size_t len, bool writable,
			   void **out)
{
	(void)f;
	(void)offset;
	(void)len;
	(void)writable;
	(void)out;
	return -EOPNOTSUPP;
}

static void kernel_home_unmap(struct env_file *f, void *p, size_t len)
{
	(void)f;
	(void)p;
	(void)len;
}

static void kernel_home_advise(struct env_file *f, uint64_t offset, uint64_t len,
			       enum file_advice advice)
{
	static const int words[] = {
		[FILE_SEQUENTIAL] = POSIX_FADV_SEQUENTIAL,
		[FILE_RANDOM] = POSIX_FADV_RANDOM,
		[FILE_WILL_NEED] = POSIX_FADV_WILLNEED,
		[FILE_DONT_NEED] = POSIX_FADV_DONTNEED,
	};

	(void)vfs_fadvise(kernel_file(f)->file, (loff_t)offset, (loff_t)len,
			  words[advice]);
}

static void kernel_home_close(struct env_file *f)
{
	struct kernel_file *k = kernel_file(f);

	env_kernel_filp_close(k->file);
	port_free(k);
}

static const struct file_ops kernel_file_ops = {
	.read = kernel_home_read,
	.write = kernel_home_write,
	.sync = kernel_home_sync,
	.allocate = kernel_home_allocate,
	.truncate = kernel_home_truncate,
	.size = kernel_home_size,
	.map = kernel_home_map,
	.unmap = kernel_home_unmap,
	.advise = kernel_home_advise,
	.close = kernel_home_close,
};

/* ---- open and close ---- */

struct file *env_kernel_filp(struct env_kernel *env, const char *path, int flags)
{
	const struct cred *before = override_creds(env->cred);
	struct file *f = file_open_root(&env->root, path, flags | O_LARGEFILE, 0644);

	revert_creds(before);
	return f;
}

/* A thread of the kernel closes at once. A process closes on its way back to userspace, as
 * after close(2); by then what it holds here has been let go. */
void env_kernel_filp_close(struct file *f)
{
	if (current->flags & PF_KTHREAD)
		__fput_sync(f);
	else
		fput(f);
}

int env_kernel_open(struct env *env, const char *path, unsigned int flags,
		    struct env_file **out)
{
	struct kernel_file *k;
	int mode = O_RDONLY, error;

	if (flags & ENV_WRITE)
		mode = flags & ENV_READ ? O_RDWR : O_WRONLY;
	mode |= flags & ENV_CREATE ? O_CREAT : 0;
	mode |= flags & ENV_EXCLUSIVE ? O_EXCL : 0;
	mode |= flags & ENV_TRUNCATE ? O_TRUNC : 0;
	k = port_alloc(sizeof(*k));
	if (!k)
		return -ENOMEM;
	k->base.ops = &kernel_file_ops;
	k->env = env_kernel(env);
	k->file = env_kernel_filp(k->env, path, mode);
	error = PTR_ERR_OR_ZERO(k->file);
	if (!error && !S_ISREG(file_inode(k->file)->i_mode)) {
		env_kernel_filp_close(k->file);
		error = -EINVAL;
	}
	if (error) {
		port_free(k);
		return error;
	}
	*out = &k->base;
	return 0;
}
