/* SPDX-License-Identifier: MIT */
/*
 * env_sim_fixture.h - what the simulator's own tests share: files of one letter, and a
 * look at them.
 */
#ifndef ENV_SIM_FIXTURE_H
#define ENV_SIM_FIXTURE_H

#include "env_sim.h"

#include "../../sprint-1-core-memory/tests/leak_check.h"

enum { RW = ENV_READ | ENV_WRITE, NEW = RW | ENV_CREATE };

static inline struct env_sim *new_sim(void)
{
	return env_sim_new(&(struct env_sim_config){ .seed = 1 });
}

static inline struct file *open_file(struct env_sim *sim, const char *path,
				     unsigned int flags)
{
	struct file *f = NULL;

	assert_int_equal(env_open(env_sim_env(sim), path, flags, &f), 0);
	return f;
}

static inline int exists(struct env_sim *sim, const char *path)
{
	struct file *f;
	int error = env_open(env_sim_env(sim), path, ENV_READ, &f);

	if (error)
		return 0;
	file_close(f);
	return 1;
}

static inline void put(struct file *f, uint64_t offset, char c, size_t n)
{
	char bytes[8192];

	assert_true(n <= sizeof(bytes));
	memset(bytes, c, n);
	assert_int_equal(file_write(f, offset, bytes, n), 0);
}

/* The byte there, -1 beyond the end. */
static inline int byte_at(struct env_sim *sim, const char *path, uint64_t offset)
{
	struct file *f = open_file(sim, path, ENV_READ);
	unsigned char c;
	size_t got;

	assert_int_equal(file_read(f, offset, &c, 1, &got), 0);
	file_close(f);
	return got ? c : -1;
}

static inline uint64_t size_of(struct env_sim *sim, const char *path)
{
	struct file *f = open_file(sim, path, ENV_READ);
	uint64_t size;

	assert_int_equal(f->ops->size(f, &size), 0);
	file_close(f);
	return size;
}

/* A file with so many bytes 'a', durable, with a durable name. */
static inline struct file *durable_file(struct env_sim *sim, const char *path, size_t n)
{
	struct file *f = open_file(sim, path, NEW);

	put(f, 0, 'a', n);
	assert_int_equal(file_sync(f), 0);
	assert_int_equal(env_sim_env(sim)->ops->sync_dir(env_sim_env(sim), "/"), 0);
	return f;
}

static inline struct env_sim *crash(struct env_sim *sim, enum env_sim_loss loss,
				    uint64_t choice)
{
	struct env_sim_point p = { env_sim_position(sim), loss, choice };

	return env_sim_crash(sim, &p, false);
}

#endif /* ENV_SIM_FIXTURE_H */
