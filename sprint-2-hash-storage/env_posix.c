/* SPDX-License-Identifier: MIT */
/*
 * env_posix.c - env.h over POSIX files and threads.
 *
 * Short reads and writes and EINTR end here: callers see all or an error.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "env_posix_internal.h"

/* ---- files ---- */

static int posix_read(struct file *f, uint64_t offset, void *data, size_t len,
		      size_t *got)
{
	int fd = posix_file(f)->fd;
	char *p = data;

	*got = 0;
	while (*got < len) {
		ssize_t n = pread(fd, p + *got, len - *got, (off_t)(offset + *got));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		*got += (size_t)n;
	}
	return 0;
}

static int posix_write(struct file *f, uint64_t offset, const void *data, size_t len)
{
	int fd = posix_file(f)->fd;
	const char *p = data;

	while (len) {
		ssize_t n = pwrite(fd, p, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO;
		p += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

static int posix_sync(struct file *f)
{
	/* Never retried, not even for EINTR: the kernel may have dropped the pages. */
	return fdatasync(posix_file(f)->fd) ? -errno : 0;
}

static int posix_allocate(struct file *f, uint64_t offset, uint64_t len)
{
	while (fallocate(posix_file(f)->fd, 0, (off_t)offset, (off_t)len))
		if (errno != EINTR)
			return -errno;
	return 0;
}

static int posix_truncate(struct file *f, uint64_t size)
{
	while (ftruncate(posix_file(f)->fd, (off_t)size))
		if (errno != EINTR)
			return -errno;
	return 0;
}

static int posix_size(struct file *f, uint64_t *size)
{
	struct stat st;

	if (fstat(posix_file(f)->fd, &st))
		return -errno;
	*size = (uint64_t)st.st_size;
	return 0;
}

static int posix_map(struct file *f, uint64_t offset, size_t len, bool writable,
		     void **out)
{
	void *p = mmap(NULL, len, writable ? PROT_READ | PROT_WRITE : PROT_READ,
		       MAP_SHARED, posix_file(f)->fd, (off_t)offset);

	if (p == MAP_FAILED)
		return -errno;
	*out = p;
	return 0;
}

static void posix_unmap(struct file *f, void *p, size_t len)
{
	(void)f;
	(void)munmap(p, len);
}

static void posix_advise(struct file *f, uint64_t offset, uint64_t len,
			 enum file_advice advice)
{
	static const int posix[] = {
		[FILE_SEQUENTIAL] = POSIX_FADV_SEQUENTIAL,
		[FILE_RANDOM] = POSIX_FADV_RANDOM,
		[FILE_WILL_NEED] = POSIX_FADV_WILLNEED,
		[FILE_DONT_NEED] = POSIX_FADV_DONTNEED,
	};

	(void)posix_fadvise(posix_file(f)->fd, (off_t)offset, (off_t)len, posix[advice]);
}

static void posix_close(struct file *f)
{
	struct posix_file *p = posix_file(f);

	(void)close(p->fd);
	port_free(p);
}

const struct file_ops env_posix_file_ops = {
	.read = posix_read,
	.write = posix_write,
	.sync = posix_sync,
	.allocate = posix_allocate,
	.truncate = posix_truncate,
	.size = posix_size,
	.map = posix_map,
	.unmap = posix_unmap,
	.advise = posix_advise,
	.close = posix_close,
};

/* ---- files that are read past the system's cache ---- */

/* What devices and file systems want offsets, lengths and memory to be multiples of. */
enum { DIRECT_ALIGN = 4096 };

/* A file system that refuses such reads after all is read as others are from then on. */
static void leave_direct(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags >= 0)
		(void)fcntl(fd, F_SETFL, flags & ~O_DIRECT);
}

static int read_pages(int fd, uint64_t from, char *pages, size_t len, size_t *got)
{
	bool refused = false;

	*got = 0;
	while (*got < len) {
		ssize_t n = pread(fd, pages + *got, len - *got, (off_t)(from + *got));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EINVAL && !refused) {
			refused = true;
			leave_direct(fd);
			continue;
		}
		if (n < 0)
			return -errno;
		*got += (size_t)n;
		if (!n || n % DIRECT_ALIGN) /* the end of the file */
			break;
	}
	return 0;
}

static int direct_read(struct file *f, uint64_t offset, void *data, size_t len,
		       size_t *got)
{
	size_t skip = offset % DIRECT_ALIGN, span, n;
	char *pages;
	int error;

	*got = 0;
	if (!len)
		return 0;
	if (len > SIZE_MAX - 2 * (size_t)DIRECT_ALIGN)
		return -EINVAL;
	span = (skip + len + DIRECT_ALIGN - 1) / DIRECT_ALIGN * DIRECT_ALIGN;
	pages = port_alloc_aligned(DIRECT_ALIGN, span);
	if (!pages)
		return -ENOMEM;
	error = read_pages(posix_file(f)->fd, offset - skip, pages, span, &n);
	if (!error && n > skip) {
		*got = n - skip < len ? n - skip : len;
		memcpy(data, pages + skip, *got);
	}
	port_free_aligned(pages);
	return error;
}

static const struct file_ops direct_file_ops = {
	.read = direct_read,
	.write = posix_write,
	.sync = posix_sync,
	.allocate = posix_allocate,
	.truncate = posix_truncate,
	.size = posix_size,
	.map = posix_map,
	.unmap = posix_unmap,
	.advise = posix_advise,
	.close = posix_close,
};

/* ---- opening ---- */

static int open_file(const char *path, int mode)
{
	int fd;

	do {
		fd = open(path, mode, 0644);
	} while (fd < 0 && errno == EINTR);
	return fd;
}

int env_posix_open(const char *path, unsigned int flags, const struct file_ops *ops,
		   struct file **out)
{
	bool direct = flags & ENV_DIRECT && !(flags & ENV_WRITE);
	int mode = O_CLOEXEC;
	struct posix_file *f;

	mode |= flags & ENV_WRITE ? (flags & ENV_READ ? O_RDWR : O_WRONLY) : O_RDONLY;
	mode |= flags & ENV_CREATE ? O_CREAT : 0;
	mode |= flags & ENV_EXCLUSIVE ? O_EXCL : 0;
	mode |= flags & ENV_TRUNCATE ? O_TRUNC : 0;
	f = port_alloc(sizeof(*f));
	if (!f)
		return -ENOMEM;
	f->base.ops = direct ? &direct_file_ops : ops;
	f->fd = open_file(path, direct ? mode | O_DIRECT : mode);
	if (f->fd < 0 && errno == EINVAL && direct) { /* the file system can't */
		f->base.ops = ops;
		f->fd = open_file(path, mode);
	}
	if (f->fd < 0) {
		int error = -errno;

		port_free(f);
		return error;
	}
	*out = &f->base;
	return 0;
}

static int posix_open(struct env *env, const char *path, unsigned int flags,
		      struct file **out)
{
	(void)env;
	return env_posix_open(path, flags, &env_posix_file_ops, out);
}

/* ---- names ---- */

static int posix_unlink(struct env *env, const char *path)
{
	(void)env;
	return unlink(path) ? -errno : 0;
}

static int posix_rename(struct env *env, const char *from, const char *to)
{
	(void)env;
	return rename(from, to) ? -errno : 0;
}

static int posix_mkdir(struct env *env, const char *path)
{
	(void)env;
	return mkdir(path, 0755) ? -errno : 0;
}

static int posix_rmdir(struct env *env, const char *path)
{
	(void)env;
	return rmdir(path) ? -errno : 0;
}

static int posix_list(struct env *env, const char *path, env_name_fn *fn, void *arg)
{
	struct dirent *entry;
	DIR *dir = opendir(path);
	int error = 0;

	(void)env;
	if (!dir)
		return -errno;
	while (!error) {
		errno = 0;
		entry = readdir(dir);
		if (!entry) {
			error = -errno;
			break;
		}
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			error = fn(arg, entry->d_name);
	}
	(void)closedir(dir);
	return error;
}

static int posix_sync_dir(struct env *env, const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), error = 0;

	(void)env;
	if (fd < 0)
		return -errno;
	if (fsync(fd))
		error = -errno;
	(void)close(fd);
	return error;
}

static int posix_free_space(struct env *env, const char *path, uint64_t *bytes)
{
	struct statvfs st;

	(void)env;
	if (statvfs(path, &st))
		return -errno;
	*bytes = (uint64_t)st.f_bavail * st.f_frsize;
	return 0;
}

/* Only what needs no waiting. A file's end looks like a miss; the second pass finds it. */
static bool read_cached(struct file_read *r)
{
	struct iovec v = { r->data, r->len };

	r->got = r->len;
	r->error = 0;
	return preadv2(posix_file(r->file)->fd, &v, 1, (off_t)r->offset, RWF_NOWAIT) ==
	       (ssize_t)r->len;
}

/* What is not in the page cache is asked for before the first of it is waited for: the
 * device works on all of it at once, though the calls come one after the other. */
static void posix_read_many(struct env *env, struct file_read *read, size_t n)
{
	enum { LEFT = 1 }; /* no errno */
	size_t i;

	(void)env;
	for (i = 0; i < n; i++) {
		struct file_read *r = &read[i];
		bool ours = r->file->ops == &env_posix_file_ops;

		if (n > 1 && ours && read_cached(r))
			continue;
		r->error = LEFT;
		if (n > 1 && ours && r->len)
			posix_advise(r->file, r->offset, r->len, FILE_WILL_NEED);
	}
	for (i = 0; i < n; i++)
		if (read[i].error == LEFT)
			read[i].error =
				file_read(read[i].file, read[i].offset, read[i].data,
					  read[i].len, &read[i].got);
}

/* ---- locks ---- */

struct env_lock {
	int fd;
};

static int posix_lock(struct env *env, const char *path, struct env_lock **out)
{
	struct env_lock *lock = port_alloc(sizeof(*lock));
	int error;

	(void)env;
	if (!lock)
		return -ENOMEM;
	lock->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (lock->fd < 0) {
		error = -errno;
		goto out_free;
	}
	/* flock belongs to the open file, not to the process as fcntl's locks do: a second
	 * open in this process is refused too, and closing another descriptor frees nothing. */
	if (flock(lock->fd, LOCK_EX | LOCK_NB)) {
		error = errno == EWOULDBLOCK ? -EBUSY : -errno;
		goto out_close;
	}
	*out = lock;
	return 0;

out_close:
	(void)close(lock->fd);
out_free:
	port_free(lock);
	return error;
}

static void posix_unlock(struct env *env, struct env_lock *lock)
{
	(void)env;
	(void)close(lock->fd);
	port_free(lock);
}

/* ---- time and chance ---- */

static uint64_t posix_now_ns(struct env *env)
{
	struct timespec t;

	(void)env;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void posix_sleep_ns(struct env *env, uint64_t ns)
{
	struct timespec t = { .tv_sec = (time_t)(ns / 1000000000u),
			      .tv_nsec = (long)(ns % 1000000000u) };

	(void)env;
	while (nanosleep(&t, &t) && errno == EINTR)
		;
}

static uint64_t posix_random(struct env *env)
{
	uint64_t v;

	if (getrandom(&v, sizeof(v), GRND_NONBLOCK) != (ssize_t)sizeof(v))
		v = posix_now_ns(env) * 0x9e3779b97f4a7c15u;
	return v;
}

/* ---- background work ---- */

struct env_task {
	pthread_t thread;
	env_task_fn *fn;
	void *arg;
};

static void *posix_task_main(void *arg)
{
	struct env_task *task = arg;

	task->fn(task->arg);
	return NULL;
}

static int posix_spawn_task(struct env *env, const char *name, env_task_fn *fn, void *arg,
			    struct env_task **out)
{
	struct env_task *task = port_alloc(sizeof(*task));
	char short_name[16];
	int error;

	(void)env;
	if (!task)
		return -ENOMEM;
	task->fn = fn;
	task->arg = arg;
	error = pthread_create(&task->thread, NULL, posix_task_main, task);
	if (error) {
		port_free(task);
		return -error;
	}
	(void)snprintf(short_name, sizeof(short_name), "%s", name);
	(void)pthread_setname_np(task->thread, short_name);
	*out = task;
	return 0;
}

static void posix_join(struct env *env, struct env_task *task)
{
	(void)env;
	(void)pthread_join(task->thread, NULL);
	port_free(task);
}

/* On Linux a thread has a niceness of its own. With 5 it has a fourth of a processor that it
 * shares with one that has none. */
static void posix_stand_back(struct env *env)
{
	(void)env;
	(void)setpriority(PRIO_PROCESS, 0, 5);
}

struct env_cond {
	pthread_cond_t c;
};

static int posix_cond_new(struct env *env, struct env_cond **out)
{
	struct env_cond *c = port_alloc(sizeof(*c));
	pthread_condattr_t attributes;

	(void)env;
	if (!c)
		return -ENOMEM;
	(void)pthread_condattr_init(&attributes);
	(void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&c->c, &attributes);
	(void)pthread_condattr_destroy(&attributes);
	*out = c;
	return 0;
}

static void posix_cond_free(struct env *env, struct env_cond *c)
{
	(void)env;
	if (!c)
		return;
	(void)pthread_cond_destroy(&c->c);
	port_free(c);
}

static void posix_cond_wait(struct env *env, struct env_cond *c, struct port_mutex *m,
			    uint64_t timeout_ns)
{
	uint64_t until;
	struct timespec t;

	if (!timeout_ns) {
		(void)pthread_cond_wait(&c->c, &m->m);
		return;
	}
	until = posix_now_ns(env) + timeout_ns;
	t.tv_sec = (time_t)(until / 1000000000u);
	t.tv_nsec = (long)(until % 1000000000u);
	(void)pthread_cond_timedwait(&c->c, &m->m, &t);
}

static void posix_cond_signal(struct env *env, struct env_cond *c)
{
	(void)env;
	(void)pthread_cond_broadcast(&c->c);
}

static void posix_log(struct env *env, const char *text)
{
	(void)env;
	(void)fprintf(stderr, "%s\n", text);
}

const struct env_ops env_posix_ops = {
	.name = "posix",
	.open = posix_open,
	.unlink = posix_unlink,
	.rename = posix_rename,
	.mkdir = posix_mkdir,
	.rmdir = posix_rmdir,
	.list = posix_list,
	.sync_dir = posix_sync_dir,
	.lock = posix_lock,
	.unlock = posix_unlock,
	.free_space = posix_free_space,
	.read_many = posix_read_many,
	.now_ns = posix_now_ns,
	.sleep_ns = posix_sleep_ns,
	.random = posix_random,
	.spawn = posix_spawn_task,
	.join = posix_join,
	.stand_back = posix_stand_back,
	.cond_new = posix_cond_new,
	.cond_free = posix_cond_free,
	.cond_wait = posix_cond_wait,
	.cond_signal = posix_cond_signal,
	.log = posix_log,
};

struct env *env_posix(void)
{
	static struct env env = { .ops = &env_posix_ops };

	return &env;
}
