/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * env_memory_tests.c - files in memory: their limit, and stores in them.
 *
 * What every home of env.h promises is asked of this one by env_home_tests.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../../sprint-1-core-memory/tests/leak_check.h"
#include "../env_memory.h"
#include "../hash_engine.h"

enum { MOST = 8 << 20, PAGE = 4096 };

static struct env *memory_of(uint64_t most)
{
	struct env *env = NULL;

	assert_int_equal(env_memory_new(env_posix(), most, &env), 0);
	return env;
}

static struct file *open_file(struct env *env, const char *name)
{
	struct file *f = NULL;

	assert_int_equal(env_open(env, name, ENV_READ | ENV_WRITE | ENV_CREATE, &f), 0);
	return f;
}

/* ---- the limit ---- */

static void test_write_beyond_the_limit_gets_enospc(void **state)
{
	static uint8_t p[1 << 20];
	struct env *env = memory_of(MOST);
	struct file *f = open_file(env, "a"), *g = open_file(env, "b");
	uint64_t bytes = 0, size, left;
	int error = 0;

	(void)state;
	while (!error) {
		error = file_write(f, bytes, p, sizeof(p));
		bytes += error ? 0 : sizeof(p);
	}
	assert_int_equal(error, -ENOSPC);
	assert_int_equal(bytes, MOST); /* not a page less */
	assert_int_equal(file_write(g, 0, p, 1), -ENOSPC);
	assert_int_equal(f->ops->size(f, &size), 0);
	assert_int_equal(size, MOST);
	assert_int_equal(env->ops->free_space(env, ".", &left), 0);
	assert_int_equal(left, 0);

	/* What a file gives back, another can have. */
	assert_int_equal(f->ops->truncate(f, 0), 0);
	assert_int_equal(env_memory_used(env), 0);
	assert_int_equal(file_write(g, 0, p, sizeof(p)), 0);
	assert_int_equal(env->ops->unlink(env, "b"), 0);
	assert_int_not_equal(env_memory_used(env), 0); /* still open */
	file_close(g);
	assert_int_equal(env_memory_used(env), 0);
	file_close(f);
	env_memory_free(env);
}

static void test_allocation_beyond_the_limit_gets_enospc(void **state)
{
	struct env *env = memory_of(MOST);
	struct file *f = open_file(env, "a"), *g = open_file(env, "b");
	uint64_t size;

	(void)state;
	assert_int_equal(f->ops->allocate(f, 0, MOST / 2), 0);
	assert_int_equal(g->ops->allocate(g, 0, MOST), -ENOSPC);
	assert_int_equal(g->ops->size(g, &size), 0);
	assert_int_equal(size, 0);
	assert_int_equal(g->ops->allocate(g, 0, MOST / 2), 0);
	assert_int_equal(env_memory_used(env), MOST);
	file_close(f);
	file_close(g);
	env_memory_free(env);
}

static void test_small_file_takes_a_page(void **state)
{
	struct env *env = memory_of(MOST);
	struct file *f = open_file(env, "a");

	(void)state;
	assert_int_equal(file_write(f, 0, "x", 1), 0);
	assert_int_equal(env_memory_used(env), PAGE);
	file_close(f);
	env_memory_free(env);
}

static void test_allocation_can_be_mapped_and_written_file_cannot(void **state)
{
	static uint8_t page[PAGE];
	struct env *env = memory_of(MOST);
	struct file *f = open_file(env, "a");
	void *map = NULL;
	int i;

	(void)state;
	for (i = 0; i < 64; i++)
		assert_int_equal(file_write(f, (uint64_t)i * PAGE, page, PAGE), 0);
	assert_int_equal(f->ops->map(f, 0, 64 * PAGE, true, &map), -EOPNOTSUPP);
	assert_int_equal(f->ops->truncate(f, 0), 0);
	assert_int_equal(f->ops->allocate(f, 0, 4 << 20), 0);
	assert_int_equal(f->ops->map(f, 0, 4 << 20, true, &map), 0);
	memset(map, 7, 4 << 20);
	f->ops->unmap(f, map, 4 << 20);
	file_close(f);
	env_memory_free(env);
}

static void test_names_stand_in_their_directory(void **state)
{
	struct env *env = memory_of(MOST);
	struct file *f = NULL;

	(void)state;
	assert_int_equal(env_open(env, "d/a", ENV_WRITE | ENV_CREATE, &f), -ENOENT);
	assert_int_equal(env->ops->mkdir(env, "d"), 0);
	file_close(open_file(env, "d/a"));
	assert_int_equal(env_open(env, "d/a/b", ENV_WRITE | ENV_CREATE, &f), -ENOTDIR);
	assert_int_equal(env_open(env, "d", ENV_READ, &f), -EISDIR);
	assert_int_equal(env->ops->rmdir(env, "d"), -ENOTEMPTY);
	assert_int_equal(env->ops->unlink(env, "d"), -EISDIR);
	assert_int_equal(env->ops->unlink(env, "d/a"), 0);
	assert_int_equal(env->ops->rmdir(env, "d"), 0);
	assert_null(f);
	env_memory_free(env);
}

/* ---- a store ---- */

static struct kv *open_store(struct env *env)
{
	struct kv_msg why = { "" };
	struct kv *kv = NULL;
	int error = kv_open(&hash_engine, env, "s", "segment_bytes=256k", &kv, &why);

	if (error)
		fail_msg("open: %d %s", error, why.text);
	return kv;
}

static struct kv_slice key_of(unsigned int i, uint8_t *bytes)
{
	port_put_le32(bytes, i);
	return kv_slice(bytes, 4);
}

static void test_store_is_there_until_the_home_goes(void **state)
{
	struct env *env = memory_of(MOST);
	struct kv *kv = open_store(env);
	struct kv_buf value = { 0 };
	struct kv_msg why = { "" };
	struct kv *second = NULL;

	(void)state;
	assert_int_equal(kv_put(kv, kv_str("a"), kv_str("one"), KV_SYNC), 0);
	assert_int_equal(kv_open(&hash_engine, env, "s", "", &second, &why), -EBUSY);
	assert_int_equal(kv_close(kv), 0);
	kv = open_store(env);
	assert_int_equal(kv_get(kv, kv_str("a"), &value), 0);
	assert_int_equal(value.len, 3);
	assert_memory_equal(value.data, "one", 3);
	kv_buf_free(&value);
	assert_int_equal(kv_close(kv), 0);
	env_memory_free(env);
}

/* Puts until there is no room; returns how many went in. */
static unsigned int fill_up(struct kv *kv, const uint8_t *value, size_t len)
{
	uint8_t key[4];
	unsigned int i;
	int error = 0;

	for (i = 0; !error; i++)
		error = kv_put(kv, key_of(i, key), kv_slice(value, len), KV_NONE);
	assert_int_equal(error, -ENOSPC);
	return i - 1;
}

static void test_full_store_reads_deletes_and_goes_on(void **state)
{
	static const uint8_t bytes[1000] = { 1, 2, 3 };
	struct env *env = memory_of(MOST);
	struct kv *kv = open_store(env);
	struct kv_buf value = { 0 };
	unsigned int i, n = fill_up(kv, bytes, sizeof(bytes));
	uint8_t key[4];

	(void)state;
	assert_true(n > MOST / 2 / sizeof(bytes));
	for (i = 0; i < n; i++) {
		assert_int_equal(kv_get(kv, key_of(i, key), &value), 0);
		assert_int_equal(value.len, sizeof(bytes));
	}
	for (i = 0; i < n; i++)
		assert_int_equal(kv_delete(kv, key_of(i, key), KV_NONE), 0);
	assert_int_equal(kv_compact(kv), 0);
	assert_true(fill_up(kv, bytes, sizeof(bytes)) > n / 2);
	kv_buf_free(&value);
	assert_int_equal(kv_close(kv), 0);
	env_memory_free(env);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_write_beyond_the_limit_gets_enospc),
		LEAK_CHECKED(test_allocation_beyond_the_limit_gets_enospc),
		LEAK_CHECKED(test_small_file_takes_a_page),
		LEAK_CHECKED(test_allocation_can_be_mapped_and_written_file_cannot),
		LEAK_CHECKED(test_names_stand_in_their_directory),
		LEAK_CHECKED(test_store_is_there_until_the_home_goes),
		LEAK_CHECKED(test_full_store_reads_deletes_and_goes_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
