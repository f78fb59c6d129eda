/* SPDX-License-Identifier: MIT */
/*
 * peer_common.c - directories, errors and handle pools of the libraries' adapters.
 */
#include "peer_common.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- directories and files ---- */

int peer_path(char *out, const char *dir, const char *name)
{
	int n = snprintf(out, PATH_MAX, "%s/%s", dir, name);

	return n < 0 || n >= PATH_MAX ? -ENAMETOOLONG : 0;
}

int peer_dir_open(const char *dir, int *lock_fd, struct kv_msg *why)
{
	char path[PATH_MAX];
	int fd, error;

	if (!dir || !*dir)
		return kv_fail(why, -EINVAL,
			       "this engine keeps files: it needs a directory");
	if (mkdir(dir, 0777) && errno != EEXIST)
		return kv_fail(why, -errno, "cannot make directory %s: %s", dir,
			       strerror(errno));
	error = peer_path(path, dir, "peer.lock");
	if (error)
		return kv_fail(why, error, "the directory's name is too long: %.100s...",
			       dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	if (fd < 0)
		return kv_fail(why, -errno, "cannot open %s: %s", path, strerror(errno));
	/* flock() and not fcntl(): its owner is this descriptor, so that a second open in
	 * the same process is kept out as well. */
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		error = errno == EWOULDBLOCK ? -EBUSY : -errno;
		close(fd);
		if (error == -EBUSY)
			return kv_fail(why, error,
				       "%s is open elsewhere: close it there first", dir);
		return kv_fail(why, error, "cannot lock %s: %s", path, strerror(-error));
	}
	*lock_fd = fd;
	return 0;
}

void peer_dir_close(int lock_fd)
{
	close(lock_fd);
}

int peer_sync_path(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), error = 0;

	if (fd < 0)
		return -errno;
	if (fdatasync(fd))
		error = -errno;
	close(fd);
	return error;
}

static int copy_bytes(int in, int out)
{
	char buf[64 << 10];
	ssize_t n, done, w;

	while ((n = read(in, buf, sizeof(buf))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		for (done = 0; done < n; done += w) {
			w = write(out, buf + done, (size_t)(n - done));
			if (w < 0 && errno == EINTR)
				w = 0;
			else if (w < 0)
				return -errno;
		}
	}
	return fdatasync(out) ? -errno : 0;
}

int peer_copy_file(const char *from, const char *to)
{
	int in, out, error;

	in = open(from, O_RDONLY | O_CLOEXEC);
	if (in < 0)
		return -errno;
	out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (out < 0) {
		error = -errno;
		goto out_in;
	}
	error = copy_bytes(in, out);
	if (close(out) && !error)
		error = -errno;
out_in:
	close(in);
	return error;
}

/* ---- errors and versions ---- */

int peer_status_error(const char *status)
{
	static const struct {
		const char *text;
		int error;
	} known[] = {
		{ "No space left", -ENOSPC },
		{ "Too many open files", -EMFILE },
		{ "lock ", -EBUSY },
		{ "Cannot allocate memory", -ENOMEM },
		{ "Permission denied", -EACCES },
		{ "Corruption", -EBADMSG },
		{ "Invalid argument", -EINVAL },
		{ "Not implemented", -EOPNOTSUPP },
		{ "NotFound", -ENOENT },
		{ "Busy", -EBUSY },
	};
	size_t i;

	for (i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (strstr(status, known[i].text))
			return known[i].error;
	return -EIO;
}

const char *peer_library_version(const char *symbol, char *out, size_t cap)
{
	void *address = dlsym(RTLD_DEFAULT, symbol);
	char path[PATH_MAX];
	const char *version;
	Dl_info info;

	if (!address || !dladdr(address, &info) || !realpath(info.dli_fname, path))
		return "unknown";
	version = strstr(path, ".so.");
	if (!version)
		return "unknown";
	snprintf(out, cap, "%s", version + strlen(".so."));
	return out;
}

/* ---- pools ---- */

static unsigned int next_thread;      /* atomic */
static __thread unsigned int my_slot; /* slot + 1; 0: this thread has none yet */

static unsigned int home_slot(void)
{
	if (!my_slot)
		my_slot = port_fetch_add(&next_thread, 1) % PEER_POOL_SLOTS + 1;
	return my_slot - 1;
}

void *peer_pool_take(struct peer_pool *p)
{
	unsigned int i, home = home_slot();
	void *handle;

	for (i = 0; i < PEER_POOL_SLOTS; i++) {
		void **slot = &p->slot[(home + i) % PEER_POOL_SLOTS].handle;

		if (!port_load_relaxed(slot))
			continue;
		handle = __atomic_exchange_n(slot, NULL, __ATOMIC_ACQ_REL);
		if (handle)
			return handle;
	}
	return NULL;
}

bool peer_pool_give(struct peer_pool *p, void *handle)
{
	unsigned int i, home = home_slot();

	for (i = 0; i < PEER_POOL_SLOTS; i++) {
		void **slot = &p->slot[(home + i) % PEER_POOL_SLOTS].handle,
		     *empty = NULL;

		if (!port_load_relaxed(slot) && port_cas(slot, &empty, handle))
			return true;
	}
	return false;
}
