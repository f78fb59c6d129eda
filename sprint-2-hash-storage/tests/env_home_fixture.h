/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * env_home_fixture.h - the homes of env.h as a table, so that one test asks each of them
 * for the same.
 *
 * A home that can't be had here (no liburing, a kernel that forbids it) skips its tests and
 * says why.
 */
#ifndef ENV_HOME_FIXTURE_H
#define ENV_HOME_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <unistd.h>

#include "../../sprint-1-core-memory/tests/leak_check.h"
#include "../env_memory.h"
#include "env_sim.h"

enum home_kind { HOME_POSIX, HOME_URING, HOME_SIM, HOME_MEMORY, HOMES };

static const char *const home_name[HOMES] = { "posix", "uring", "sim", "memory" };

enum { HOME_MEMORY_BYTES = 64 << 20 };

struct home {
	enum home_kind kind;
	struct env *env;
	struct env_sim *sim;
	char dir[64]; /* empty as the test begins */
};

static inline int home_set_up(void **state)
{
	static struct home home;
	struct kv_msg why = { "" };

	home = (struct home){ .kind = *(const enum home_kind *)*state };
	*state = &home;
	(void)leak_check_set_up(state);
	if (home.kind == HOME_SIM) {
		home.sim = env_sim_new(NULL);
		home.env = env_sim_env(home.sim);
		(void)snprintf(home.dir, sizeof(home.dir), "d");
		return home.env->ops->mkdir(home.env, home.dir);
	}
	if (home.kind == HOME_MEMORY) {
		if (env_memory_new(env_posix(), HOME_MEMORY_BYTES, &home.env))
			return -1;
		(void)snprintf(home.dir, sizeof(home.dir), "d");
		return home.env->ops->mkdir(home.env, home.dir);
	}
	(void)snprintf(home.dir, sizeof(home.dir), "/tmp/env-home-XXXXXX");
	if (!mkdtemp(home.dir))
		return -1;
	home.env = env_posix();
	if (home.kind == HOME_URING && env_uring(&home.env, &why)) {
		print_message("%s\n", why.text);
		home.env = NULL;
	}
	return 0;
}

static inline int home_tear_down(void **state)
{
	struct home *h = *state;
	char command[128];

	env_sim_free(h->sim);
	if (h->kind == HOME_MEMORY)
		env_memory_free(h->env);
	if (h->kind == HOME_POSIX || h->kind == HOME_URING) {
		(void)snprintf(command, sizeof(command), "rm -rf '%s'", h->dir);
		if (system(command))
			return -1;
	}
	return leak_check_tear_down(state);
}

static inline struct home *home_of(void **state)
{
	struct home *h = *state;

	if (!h->env)
		skip();
	return h;
}

/* "dir/name"; four of them at a time. */
static inline const char *home_path(const struct home *h, const char *name)
{
	static char path[4][ENV_PATH_MAX];
	static unsigned int turn;
	char *p = path[turn++ % 4];

	assert_int_equal(env_path(p, h->dir, name), 0);
	return p;
}

static inline struct file *home_file(const struct home *h, const char *name,
				     unsigned int flags)
{
	struct file *f = NULL;

	assert_int_equal(env_open(h->env, home_path(h, name), flags, &f), 0);
	return f;
}

enum { HOME_RW = ENV_READ | ENV_WRITE, HOME_NEW = HOME_RW | ENV_CREATE };

/* ---- bytes that tell where they belong ---- */

static inline uint8_t byte_of(uint64_t seed, uint64_t offset)
{
	uint64_t v = (offset + 1) * 0x9e3779b97f4a7c15u + seed * 0xbf58476d1ce4e5b9u;

	return (uint8_t)(v >> 56 ^ v >> 31);
}

static inline void fill(uint8_t *p, size_t len, uint64_t seed, uint64_t offset)
{
	size_t i;

	for (i = 0; i < len; i++)
		p[i] = byte_of(seed, offset + i);
}

static inline bool is_filled(const uint8_t *p, size_t len, uint64_t seed, uint64_t offset)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (p[i] != byte_of(seed, offset + i))
			return false;
	return true;
}

static inline void write_filled(struct file *f, uint64_t offset, size_t len,
				uint64_t seed)
{
	uint8_t *p = port_alloc(len);

	assert_non_null(p);
	fill(p, len, seed, offset);
	assert_int_equal(file_write(f, offset, p, len), 0);
	port_free(p);
}

static inline uint64_t size_of(struct file *f)
{
	uint64_t size = UINT64_MAX;

	assert_int_equal(f->ops->size(f, &size), 0);
	return size;
}

/* ---- running ---- */

struct home_test {
	const char *name;
	CMUnitTestFunction run;
	unsigned int homes; /* mask of 1 << enum home_kind */
};

/* In which homes. */
enum {
	EVERY = 1 << HOME_POSIX | 1 << HOME_URING | 1 << HOME_SIM | 1 << HOME_MEMORY,
	KERNEL = 1 << HOME_POSIX | 1 << HOME_URING,
};

/* clang-format off */
#define TEST(name, homes) { #name, name, homes }
/* clang-format on */

enum { HOME_TESTS_MAX = 128 };

/* Each test in each of its homes. */
static inline int home_run_tests(const struct home_test *test, size_t n)
{
	static enum home_kind kind[HOMES] = { HOME_POSIX, HOME_URING, HOME_SIM,
					      HOME_MEMORY };
	static struct CMUnitTest all[HOME_TESTS_MAX];
	static char name[HOME_TESTS_MAX][96];
	size_t i, k, used = 0;

	for (i = 0; i < n; i++)
		for (k = 0; k < HOMES; k++) {
			if (!(test[i].homes & 1u << k))
				continue;
			if (used == HOME_TESTS_MAX)
				return -1;
			(void)snprintf(name[used], sizeof(name[used]), "%s, %s",
				       test[i].name, home_name[k]);
			all[used] =
				(struct CMUnitTest){ name[used], test[i].run, home_set_up,
						     home_tear_down, &kind[k] };
			used++;
		}
	return _cmocka_run_group_tests("homes of env.h", all, used, NULL, NULL);
}

#endif /* ENV_HOME_FIXTURE_H */
