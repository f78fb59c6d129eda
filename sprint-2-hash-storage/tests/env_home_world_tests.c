/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * env_home_world_tests.c - what env.h promises of names, locks, tasks and the clock, asked
 * of each of its homes.
 */
#include "env_home_fixture.h"

/* ---- names ---- */

static void test_open_flags(void **state)
{
	struct home *h = home_of(state);
	struct file *f = NULL;

	assert_int_equal(env_open(h->env, home_path(h, "a"), HOME_RW, &f), -ENOENT);
	assert_null(f);
	f = home_file(h, "a", HOME_NEW | ENV_EXCLUSIVE);
	write_filled(f, 0, 10, 1);
	file_close(f);
	f = NULL;
	assert_int_equal(
		env_open(h->env, home_path(h, "a"), HOME_NEW | ENV_EXCLUSIVE, &f),
		-EEXIST);
	assert_null(f);
	f = home_file(h, "a", HOME_NEW);
	assert_int_equal(size_of(f), 10);
	file_close(f);
	f = home_file(h, "a", HOME_NEW | ENV_TRUNCATE);
	assert_int_equal(size_of(f), 0);
	file_close(f);
}

static int count_name(void *arg, const char *name)
{
	unsigned int *seen = arg;

	if (strlen(name) != 1 || *name < 'a' || *name > 'z')
		return -EBADMSG;
	*seen |= 1u << (*name - 'a');
	return *name == 'z' ? -ECANCELED : 0;
}

static void test_names_come_change_and_go(void **state)
{
	struct home *h = home_of(state);
	const struct env_ops *ops = h->env->ops;
	struct file *f = home_file(h, "a", HOME_NEW), *g = home_file(h, "b", HOME_NEW);
	unsigned int seen = 0;

	write_filled(f, 0, 10, 1);
	assert_int_equal(ops->mkdir(h->env, home_path(h, "c")), 0);
	assert_int_equal(ops->mkdir(h->env, home_path(h, "c")), -EEXIST);
	assert_int_equal(ops->list(h->env, h->dir, count_name, &seen), 0);
	assert_int_equal(seen, 7);
	assert_int_equal(ops->rename(h->env, home_path(h, "a"), home_path(h, "b")), 0);
	assert_int_equal(ops->rename(h->env, home_path(h, "a"), home_path(h, "b")),
			 -ENOENT);
	assert_int_equal(ops->rmdir(h->env, home_path(h, "c")), 0);
	assert_int_equal(ops->sync_dir(h->env, h->dir), 0);
	assert_int_equal(ops->sync_dir(h->env, home_path(h, "c")), -ENOENT);
	seen = 0;
	assert_int_equal(ops->list(h->env, h->dir, count_name, &seen), 0);
	assert_int_equal(seen, 2);
	assert_int_equal(size_of(g), 0); /* without a name, and still there */
	file_close(g);
	g = home_file(h, "b", ENV_READ);
	assert_int_equal(size_of(g), 10);
	assert_int_equal(ops->unlink(h->env, home_path(h, "b")), 0);
	assert_int_equal(ops->unlink(h->env, home_path(h, "b")), -ENOENT);
	file_close(g);
	file_close(f);
	file_close(home_file(h, "z", HOME_NEW));
	assert_int_equal(ops->list(h->env, h->dir, count_name, &seen), -ECANCELED);
}

static void test_lock_has_one_owner(void **state)
{
	struct home *h = home_of(state);
	const struct env_ops *ops = h->env->ops;
	struct env_lock *lock = NULL, *other = NULL;

	assert_int_equal(ops->lock(h->env, home_path(h, "l"), &lock), 0);
	assert_int_equal(ops->lock(h->env, home_path(h, "l"), &other), -EBUSY);
	assert_null(other);
	ops->unlock(h->env, lock);
	assert_int_equal(ops->lock(h->env, home_path(h, "l"), &lock), 0);
	ops->unlock(h->env, lock);
}

static void test_whole_files(void **state)
{
	struct home *h = home_of(state);
	struct kv_buf b = { 0 };

	assert_int_equal(env_write_file(h->env, h->dir, "a", "one", 3), 0);
	assert_int_equal(env_write_file(h->env, h->dir, "a", "three", 5), 0);
	assert_int_equal(env_read_file(h->env, home_path(h, "a"), 5, &b), 0);
	assert_int_equal(b.len, 5);
	assert_memory_equal(b.data, "three", 5);
	assert_int_equal(env_read_file(h->env, home_path(h, "a"), 4, &b), -EFBIG);
	assert_int_equal(env_read_file(h->env, home_path(h, "b"), 4, &b), -ENOENT);
	kv_buf_free(&b);
}

static void test_open_without_memory(void **state)
{
	struct home *h = home_of(state);
	struct file *f = NULL;

	port_fault_set(1, true);
	assert_int_equal(env_open(h->env, home_path(h, "a"), HOME_NEW, &f), -ENOMEM);
	port_fault_set(0, false);
	assert_null(f);
}

/* ---- time, chance, work ---- */

static void test_clock_goes_on_while_one_sleeps(void **state)
{
	struct home *h = home_of(state);
	uint64_t before = h->env->ops->now_ns(h->env);

	h->env->ops->sleep_ns(h->env, 2000000);
	assert_true(h->env->ops->now_ns(h->env) - before >= 2000000);
	assert_true(h->env->ops->random(h->env) != h->env->ops->random(h->env));
}

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
	for (i = 0; i < 10; i++) {
		while (t->value % 2 == 0)
			t->env->ops->cond_wait(t->env, t->changed, &t->lock, 0);
		t->value++;
		t->env->ops->cond_signal(t->env, t->changed);
	}
	port_mutex_unlock(&t->lock);
}

static void test_tasks_wait_for_each_other(void **state)
{
	struct home *h = home_of(state);
	const struct env_ops *ops = h->env->ops;
	struct turn t = { .env = h->env };
	struct env_task *task;
	uint64_t begun;
	unsigned int i;

	port_mutex_init(&t.lock);
	assert_int_equal(ops->cond_new(h->env, &t.changed), 0);
	assert_int_equal(ops->spawn(h->env, "turns", take_turns, &t, &task), 0);
	port_mutex_lock(&t.lock);
	for (i = 0; i < 10; i++) {
		while (t.value % 2)
			ops->cond_wait(h->env, t.changed, &t.lock, 1000000000);
		t.value++;
		ops->cond_signal(h->env, t.changed);
	}
	port_mutex_unlock(&t.lock);
	ops->join(h->env, task);
	assert_int_equal(t.value, 20);
	port_mutex_lock(&t.lock);
	begun = ops->now_ns(h->env);
	while (ops->now_ns(h->env) - begun < 3000000) /* nobody signals */
		ops->cond_wait(h->env, t.changed, &t.lock, 3000000);
	port_mutex_unlock(&t.lock);
	ops->cond_free(h->env, t.changed);
	port_mutex_destroy(&t.lock);
}

static void find_home(void *arg, const char *name, uint64_t value)
{
	const struct home *h = arg;

	if (!strncmp(name, "home_", 5)) {
		assert_string_equal(name + 5, home_name[h->kind]);
		assert_int_equal(value, 1);
		h->env->ops->unlink(h->env, home_path(h, "told"));
	}
}

static void test_stats_tell_the_home(void **state)
{
	struct home *h = home_of(state);

	file_close(home_file(h, "told", HOME_NEW));
	env_stats(h->env, find_home, h);
	assert_int_equal(h->env->ops->unlink(h->env, home_path(h, "told")), -ENOENT);
}

int main(void)
{
	static const struct home_test tests[] = {
		TEST(test_open_flags, EVERY),
		TEST(test_names_come_change_and_go, EVERY),
		TEST(test_lock_has_one_owner, EVERY),
		TEST(test_whole_files, EVERY),
		TEST(test_open_without_memory, EVERY),
		TEST(test_clock_goes_on_while_one_sleeps, EVERY),
		TEST(test_tasks_wait_for_each_other, EVERY),
		TEST(test_stats_tell_the_home, EVERY),
	};

	return home_run_tests(tests, sizeof(tests) / sizeof(tests[0]));
}
