// SPDX-License-Identifier: MIT OR GPL-2.0
/*
 * env_kernel_test.c - storage-files-test.ko: does the kernel's home keep what env.h promises?
 *
 *	insmod storage-files-test.ko dir=/disk/test
 *
 * The directory must be there, and be empty. Loading fails with a line in the log for each
 * check that did; userspace's homes are asked the same by tests/env_home_tests.c.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

/* On arm64 it brings in linux/fs.h, whose struct file is another than env.h's. */
#define file linux_file
#include <linux/module.h>
#undef file

#include "../env_memory.h"
#include "env_kernel.h"

static char *dir = "";
module_param(dir, charp, 0444);
MODULE_PARM_DESC(dir, "an empty directory for the test's files");

static unsigned int checks, failures;

#define CHECK(is, should)                                                                \
	do {                                                                             \
		long long a_ = (long long)(is), b_ = (long long)(should);                \
                                                                                         \
		checks++;                                                                \
		if (a_ != b_) {                                                          \
			failures++;                                                      \
			pr_err("%s:%d: %s is %lld, not %lld\n", __func__, __LINE__, #is, \
			       a_, b_);                                                  \
		}                                                                        \
	} while (0)

enum { RW = ENV_READ | ENV_WRITE, NEW = RW | ENV_CREATE, PAGE = 4096, BYTES = 300000 };

static const char *path_of(const char *base, const char *name)
{
	static char path[4][ENV_PATH_MAX];
	static unsigned int turn;
	char *p = path[turn++ % 4];

	CHECK(env_path(p, base, name), 0);
	return p;
}

static uint8_t byte_at(uint64_t i)
{
	return (uint8_t)((i * 0x9e3779b97f4a7c15ull) >> 56);
}

static bool is_filled(const uint8_t *p, size_t n, uint64_t offset)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (p[i] != byte_at(offset + i))
			return false;
	return true;
}

/* ---- bytes ---- */

static void check_bytes(struct file *f, uint8_t *p)
{
	uint64_t size = 0;
	size_t i, got;

	for (i = 0; i < BYTES; i++)
		p[i] = byte_at(i);
	CHECK(file_write(f, 0, p, 100000), 0);
	CHECK(file_write(f, 100000, p + 100000, BYTES - 100000), 0);
	CHECK(file_sync(f), 0);
	memset(p, 0, BYTES + 1);
	CHECK(file_read(f, 0, p, BYTES + 1, &got), 0);
	CHECK(got, BYTES);
	CHECK(is_filled(p, BYTES, 0), true);
	CHECK(file_read(f, 99999, p, 3, &got), 0);
	CHECK(is_filled(p, 3, 99999), true);
	CHECK(file_read(f, BYTES, p, 3, &got), 0);
	CHECK(got, 0);
	CHECK(f->ops->size(f, &size), 0);
	CHECK(size, BYTES);
}

static void check_sizes(struct file *f, uint8_t *p)
{
	uint64_t size = 0;
	size_t got;
	int error;

	CHECK(f->ops->truncate(f, 10), 0);
	CHECK(f->ops->truncate(f, PAGE), 0);
	CHECK(file_read(f, 0, p, PAGE, &got), 0);
	CHECK(got, PAGE);
	CHECK(is_filled(p, 10, 0), true);
	CHECK(memchr_inv(p + 10, 0, PAGE - 10) == NULL, true);
	error = f->ops->allocate(f, 0, 10 * PAGE);
	if (error != -EOPNOTSUPP) {
		CHECK(error, 0);
		CHECK(f->ops->size(f, &size), 0);
		CHECK(size, 10 * PAGE);
		CHECK(f->ops->allocate(f, 0, 1ull << 50) < 0, true);
	}
	CHECK(file_write(f, UINT64_MAX, p, 1) < 0, true);
}

static void check_many(struct env *env, struct file *f, uint8_t *p)
{
	struct file_read read[4];
	unsigned int i;

	for (i = 0; i < 4; i++)
		read[i] = (struct file_read){ f, i * 3, p + i * 16, 4, 0, -1 };
	env->ops->read_many(env, read, 4);
	for (i = 0; i < 4; i++) {
		CHECK(read[i].error, 0);
		CHECK(read[i].got, 4);
	}
}

static void check_files(struct env *env, const char *base)
{
	uint8_t *p = port_alloc(BYTES + 1);
	struct file *f = NULL, *g = NULL;
	size_t got;

	CHECK(p != NULL, true);
	CHECK(env_open(env, path_of(base, "a"), RW, &f), -ENOENT);
	CHECK(env_open(env, path_of(base, "a"), NEW | ENV_EXCLUSIVE, &f), 0);
	if (!p || !f)
		goto out;
	CHECK(env_open(env, path_of(base, "a"), NEW | ENV_EXCLUSIVE, &g), -EEXIST);
	check_bytes(f, p);
	check_sizes(f, p);
	check_many(env, f, p);
	CHECK(env_open(env, path_of(base, "a"), ENV_READ, &g), 0);
	if (g)
		CHECK(file_write(g, 0, p, 1), -EBADF);
	file_close(g);
	g = NULL;
	CHECK(env_open(env, path_of(base, "w"), ENV_WRITE | ENV_CREATE, &g), 0);
	if (g)
		CHECK(file_read(g, 0, p, 1, &got), -EBADF);
	file_close(g);
	CHECK(env->ops->unlink(env, path_of(base, "w")), 0);
out:
	file_close(f);
	port_free(p);
}

/* ---- names ---- */

static int count_name(void *arg, const char *name)
{
	unsigned int *seen = arg;

	if (strlen(name) != 1 || *name < 'a' || *name > 'z')
		return -EBADMSG;
	*seen |= 1u << (*name - 'a');
	return *name == 'z' ? -ECANCELED : 0;
}

static void check_names(struct env *env, const char *base)
{
	const struct env_ops *ops = env->ops;
	struct file *f = NULL, *old = NULL;
	unsigned int seen = 0;
	uint64_t size = 1, bytes = 0;

	CHECK(env_open(env, path_of(base, "b"), NEW, &old), 0);
	CHECK(ops->mkdir(env, path_of(base, "c")), 0);
	CHECK(ops->mkdir(env, path_of(base, "c")), -EEXIST);
	CHECK(ops->list(env, base, count_name, &seen), 0);
	CHECK(seen, 7);
	CHECK(ops->rename(env, path_of(base, "a"), path_of(base, "b")), 0);
	CHECK(ops->rename(env, path_of(base, "a"), path_of(base, "b")), -ENOENT);
	CHECK(ops->unlink(env, path_of(base, "c")), -EISDIR);
	CHECK(ops->rename(env, path_of(base, "b"), path_of(base, "c/b")), 0);
	CHECK(ops->rmdir(env, path_of(base, "c")), -ENOTEMPTY);
	CHECK(ops->rename(env, path_of(base, "c/b"), path_of(base, "b")), 0);
	CHECK(ops->rmdir(env, path_of(base, "c")), 0);
	CHECK(ops->rmdir(env, path_of(base, "c")), -ENOENT);
	CHECK(ops->sync_dir(env, base), 0);
	CHECK(ops->sync_dir(env, path_of(base, "c")), -ENOENT);
	if (old)
		CHECK(old->ops->size(old, &size), 0);
	CHECK(size, 0); /* without a name, and still there */
	file_close(old);
	CHECK(env_open(env, path_of(base, "b"), ENV_READ, &f), 0);
	CHECK(ops->unlink(env, path_of(base, "b")), 0);
	CHECK(ops->unlink(env, path_of(base, "b")), -ENOENT);
	file_close(f);
	f = NULL;
	CHECK(env_open(env, path_of(base, "z"), NEW, &f), 0);
	file_close(f);
	CHECK(ops->list(env, base, count_name, &seen), -ECANCELED);
	CHECK(ops->unlink(env, path_of(base, "z")), 0);
	CHECK(ops->free_space(env, base, &bytes), 0);
	CHECK(bytes > 0, true);
}

static void check_lock(struct env *env, const char *base)
{
	struct env_lock *lock = NULL, *other = NULL;

	CHECK(env->ops->lock(env, path_of(base, "l"), &lock), 0);
	CHECK(env->ops->lock(env, path_of(base, "l"), &other), -EBUSY);
	if (lock)
		env->ops->unlock(env, lock);
	lock = NULL;
	CHECK(env->ops->lock(env, path_of(base, "l"), &lock), 0);
	if (lock)
		env->ops->unlock(env, lock);
	CHECK(env->ops->unlink(env, path_of(base, "l")), 0);
}

/* ---- tasks ---- */

struct turn {
	struct env *env;
	struct port_mutex lock;
	struct env_cond *changed;
	unsigned int value; /* protected by lock */
};

static void take_turns(void *arg)
{
	struct turn *t = arg;
	unsigned int i;

	port_mutex_lock(&t->lock);
	for (i = 0; i < 100; i++) {
		while (t->value % 2 == 0)
			t->env->ops->cond_wait(t->env, t->changed, &t->lock, 0);
		t->value++;
		t->env->ops->cond_signal(t->env, t->changed);
	}
	port_mutex_unlock(&t->lock);
}

static void check_tasks(struct env *env)
{
	const struct env_ops *ops = env->ops;
	struct turn t = { .env = env };
	struct env_task *task = NULL;
	uint64_t begun;
	unsigned int i;

	port_mutex_init(&t.lock);
	CHECK(ops->cond_new(env, &t.changed), 0);
	CHECK(ops->spawn(env, "turns", take_turns, &t, &task), 0);
	if (!t.changed || !task)
		return;
	port_mutex_lock(&t.lock);
	for (i = 0; i < 100; i++) {
		while (t.value % 2)
			ops->cond_wait(env, t.changed, &t.lock, 1000000000);
		t.value++;
		ops->cond_signal(env, t.changed);
	}
	port_mutex_unlock(&t.lock);
	ops->join(env, task);
	CHECK(t.value, 200);
	begun = ops->now_ns(env);
	port_mutex_lock(&t.lock);
	while (ops->now_ns(env) - begun < 3000000) /* nobody signals */
		ops->cond_wait(env, t.changed, &t.lock, 3000000);
	port_mutex_unlock(&t.lock);
	begun = ops->now_ns(env);
	ops->sleep_ns(env, 2000000);
	CHECK(ops->now_ns(env) - begun >= 2000000, true);
	ops->cond_free(env, t.changed);
	port_mutex_destroy(&t.lock);
}

static void check_home(struct env *env, const char *base)
{
	check_files(env, base);
	check_names(env, base);
	check_lock(env, base);
	check_tasks(env);
}

static int __init env_kernel_test_init(void)
{
	struct env *kernel, *memory;
	int error;

	if (!*dir) {
		pr_err("say dir=, an empty directory\n");
		return -EINVAL;
	}
	error = env_kernel_new(&kernel);
	if (error)
		return error;
	check_home(kernel, dir);
	error = env_memory_new(kernel, 16 << 20, &memory);
	CHECK(error, 0);
	if (!error) {
		CHECK(memory->ops->mkdir(memory, "d"), 0);
		check_home(memory, "d");
		env_memory_free(memory);
	}
	env_kernel_free(kernel);
	pr_info("%u checks, %u failed\n", checks, failures);
	return failures ? -ENOTRECOVERABLE : 0;
}

static void __exit env_kernel_test_exit(void)
{
}

module_init(env_kernel_test_init);
module_exit(env_kernel_test_exit);
MODULE_LICENSE("Dual MIT/GPL");
MODULE_DESCRIPTION("Asks the kernel's home of env.h for what it promises");
