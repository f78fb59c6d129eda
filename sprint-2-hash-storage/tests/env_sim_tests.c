/* SPDX-License-Identifier: MIT */
/*
 * env_sim_tests.c - the simulator's own promises: what a crash may take and what not,
 * each disk once, each fault where it was asked for, one schedule for one seed.
 */
#include "env_sim.h"

#include "../../sprint-1-core-memory/port_fault.h"

#include <setjmp.h>

#include <cmocka.h>

enum { RW = ENV_READ | ENV_WRITE, NEW = RW | ENV_CREATE };

static uint64_t live_before;

static int set_up(void **state)
{
	(void)state;
	port_fault_set(0, false);
	live_before = port_fault_live();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	port_fault_set(0, false);
	return port_fault_live() == live_before ? 0 : -1;
}

static struct env_sim *new_sim(void)
{
	return env_sim_new(&(struct env_sim_config){ .seed = 1 });
}

static struct file *open_file(struct env_sim *sim, const char *path, unsigned int flags)
{
	struct file *f = NULL;

	assert_int_equal(env_open(env_sim_env(sim), path, flags, &f), 0);
	return f;
}

/* The names of a directory do not come in an order; these few are single. */
static int exists(struct env_sim *sim, const char *path)
{
	struct file *f;
	int error = env_open(env_sim_env(sim), path, ENV_READ, &f);

	if (error)
		return 0;
	file_close(f);
	return 1;
}

static void put(struct file *f, uint64_t offset, char c, size_t n)
{
	char bytes[8192];

	assert_true(n <= sizeof(bytes));
	memset(bytes, c, n);
	assert_int_equal(file_write(f, offset, bytes, n), 0);
}

/* The byte there, -1 beyond the end. */
static int byte_at(struct env_sim *sim, const char *path, uint64_t offset)
{
	struct file *f = open_file(sim, path, ENV_READ);
	unsigned char c;
	size_t got;

	assert_int_equal(file_read(f, offset, &c, 1, &got), 0);
	file_close(f);
	return got ? c : -1;
}

static uint64_t size_of(struct env_sim *sim, const char *path)
{
	struct file *f = open_file(sim, path, ENV_READ);
	uint64_t size;

	assert_int_equal(f->ops->size(f, &size), 0);
	file_close(f);
	return size;
}

/* A file with so many bytes 'a', durable, with a durable name. */
static struct file *durable_file(struct env_sim *sim, const char *path, size_t n)
{
	struct file *f = open_file(sim, path, NEW);

	put(f, 0, 'a', n);
	assert_int_equal(file_sync(f), 0);
	assert_int_equal(env_sim_env(sim)->ops->sync_dir(env_sim_env(sim), "/"), 0);
	return f;
}

static struct env_sim *crash(struct env_sim *sim, enum env_sim_loss loss, uint64_t choice)
{
	struct env_sim_point p = { env_sim_position(sim), loss, choice };

	return env_sim_crash(sim, &p, false);
}

/* ---- bytes ---- */

static void test_lose_unsynced_bytes_and_keep_synced_ones(void **state)
{
	struct env_sim *sim = new_sim(), *disk;
	struct file *f = durable_file(sim, "a", 1024);

	(void)state;
	put(f, 0, 'b', 1024);
	assert_int_equal(byte_at(sim, "a", 0), 'b');
	disk = crash(sim, SIM_LOSE_ALL, 0);
	assert_int_equal(byte_at(disk, "a", 0), 'a');
	env_sim_free(disk);
	disk = crash(sim, SIM_LOSE_NONE, 0);
	assert_int_equal(byte_at(disk, "a", 1023), 'b');
	env_sim_free(disk);

	file_close(f); /* makes nothing durable */
	disk = crash(sim, SIM_LOSE_ALL, 0);
	assert_int_equal(byte_at(disk, "a", 0), 'a');
	env_sim_free(disk);

	f = open_file(sim, "a", RW);
	assert_int_equal(file_sync(f), 0); /* through another handle */
	file_close(f);
	disk = crash(sim, SIM_LOSE_ALL, 0);
	assert_int_equal(byte_at(disk, "a", 0), 'b');
	assert_int_equal(byte_at(disk, "a", 1023), 'b');
	env_sim_free(disk);
	env_sim_free(sim);
}

static void test_grow_without_the_bytes(void **state)
{
	struct env_sim *sim = new_sim(), *disk;
	struct file *f = durable_file(sim, "a", 100);

	(void)state;
	put(f, 100, 'b', 1000);
	file_close(f);
	disk = crash(sim, SIM_ZEROS, 0);
	assert_int_equal(size_of(disk, "a"), 1100);
	assert_int_equal(byte_at(disk, "a", 99), 'a');
	assert_int_equal(byte_at(disk, "a", 100), 0);
	assert_int_equal(byte_at(disk, "a", 1099), 0);
	env_sim_free(disk);
	disk = crash(sim, SIM_LOSE_ALL, 0);
	assert_int_equal(size_of(disk, "a"), 100);
	env_sim_free(disk);
	env_sim_free(sim);
}

static void test_build_each_subset_of_sectors_once(void **state)
{
	struct env_sim *sim = new_sim();
	struct file *f = durable_file(sim, "a", 1536);
	unsigned int seen = 0, i, k;

	(void)state;
	put(f, 0, 'b', 1536);
	file_close(f);
	assert_int_equal(env_sim_subsets(sim, env_sim_position(sim), 100), 8);
	assert_int_equal(env_sim_subsets(sim, env_sim_position(sim), 7), 8);
	assert_int_equal(env_sim_subsets(sim, env_sim_position(sim), 3), 4);
	for (i = 0; i < 8; i++) {
		struct env_sim *disk = crash(sim, SIM_SUBSET, i);
		unsigned int mask = 0;

		for (k = 0; k < 3; k++) {
			int c = byte_at(disk, "a", k * 512 + 511);

			assert_int_equal(byte_at(disk, "a", k * 512), c); /* not torn */
			assert_true(c == 'a' || c == 'b');
			mask |= (c == 'b') << k;
		}
		seen |= 1u << mask;
		env_sim_free(disk);
	}
	assert_int_equal(seen, 0xff);
	assert_null(crash(sim, SIM_SUBSET, 8));
	env_sim_free(sim);
}

static void test_count_versions_sizes_and_equal_bytes(void **state)
{
	struct env_sim *sim = new_sim();
	struct file *f = durable_file(sim, "a", 512);

	(void)state;
	assert_int_equal(env_sim_subsets(sim, env_sim_position(sim), 100), 1);
	put(f, 0, 'a', 512); /* what is there already */
	assert_int_equal(env_sim_subsets(sim, env_sim_position(sim), 100), 1);
	put(f, 0, 'b', 512);
	put(f, 0, 'c', 512);
	assert_int_equal(env_sim_subsets(sim, env_sim_position(sim), 100), 3);
	assert_int_equal(file_sync(f), 0);
	/* Not grown: 1. Grown: two new sectors, of which each may be zeros: 4. */
	put(f, 512, 'd', 700);
	assert_int_equal(env_sim_subsets(sim, env_sim_position(sim), 100), 5);
	file_close(f);
	env_sim_free(sim);
}

static void test_order_truncation_with_bytes_behind_it(void **state)
{
	struct env_sim *sim = new_sim();
	struct file *f = durable_file(sim, "a", 1024);
	unsigned int i;

	(void)state;
	assert_int_equal(f->ops->truncate(f, 0), 0);
	put(f, 0, 'b', 512);
	file_close(f);
	/* Old whole; empty; 512 zeros; 512 times b. Never b in the old file. */
	assert_int_equal(env_sim_subsets(sim, env_sim_position(sim), 100), 4);
	for (i = 0; i < 4; i++) {
		struct env_sim *disk = crash(sim, SIM_SUBSET, i);
		uint64_t size = size_of(disk, "a");
		int c = byte_at(disk, "a", 0);

		assert_true((size == 1024 && c == 'a') || (size == 0 && c == -1) ||
			    (size == 512 && (c == 0 || c == 'b')));
		env_sim_free(disk);
	}
	env_sim_free(sim);
}

static void test_read_zeros_where_a_truncated_file_grows_again(void **state)
{
	struct env_sim *sim = new_sim(), *disk;
	struct file *f = durable_file(sim, "a", 6000);

	(void)state;
	assert_int_equal(f->ops->truncate(f, 100), 0);
	assert_int_equal(f->ops->truncate(f, 6000), 0);
	assert_int_equal(byte_at(sim, "a", 99), 'a');
	assert_int_equal(byte_at(sim, "a", 100), 0);
	assert_int_equal(byte_at(sim, "a", 5999), 0);
	disk = crash(sim, SIM_LOSE_NONE, 0);
	assert_int_equal(byte_at(disk, "a", 100), 0);
	assert_int_equal(size_of(disk, "a"), 6000);
	env_sim_free(disk);
	file_close(f);
	env_sim_free(sim);
}

static void test_lose_all_behind_a_prefix(void **state)
{
	struct env_sim *sim = new_sim();
	struct file *f = durable_file(sim, "a", 2048);
	unsigned int i, k;

	(void)state;
	for (i = 0; i < 4; i++)
		put(f, i * 512, 'b', 512);
	for (i = 0; i <= 4; i++) {
		struct env_sim *disk = crash(sim, SIM_PREFIX, i);

		for (k = 0; k < 4; k++)
			assert_int_equal(byte_at(disk, "a", k * 512), k < i ? 'b' : 'a');
		env_sim_free(disk);
	}
	assert_null(crash(sim, SIM_PREFIX, 5));
	file_close(f);
	env_sim_free(sim);
}

static void test_tear_a_write_between_sectors(void **state)
{
	struct env_sim *sim = new_sim();
	struct file *f = durable_file(sim, "a", 4096);
	unsigned int part, k, heads = 0, tails = 0;

	(void)state;
	put(f, 0, 'b', 4096);
	file_close(f);
	for (part = 0; part < 16; part++) {
		struct env_sim *disk = crash(sim, SIM_TORN, part);
		unsigned int changes = 0;

		for (k = 1; k < 4096; k++)
			if (byte_at(disk, "a", k) != byte_at(disk, "a", k - 1)) {
				assert_int_equal(k % 512, 0);
				changes++;
			}
		assert_int_equal(changes, 1);
		heads += byte_at(disk, "a", 0) == 'b';
		tails += byte_at(disk, "a", 4095) == 'b';
		env_sim_free(disk);
	}
	assert_int_equal(heads, 8);
	assert_int_equal(tails, 8);
	env_sim_free(sim);
}

/* ---- names ---- */

static void test_forget_a_name_until_its_directory_is_synced(void **state)
{
	struct env_sim *sim = new_sim(), *disk;
	struct env *env = env_sim_env(sim);
	struct file *f = open_file(sim, "a", NEW);

	(void)state;
	put(f, 0, 'a', 10);
	assert_int_equal(file_sync(f), 0);
	file_close(f);
	assert_int_equal(env_open(env, "a", NEW | ENV_EXCLUSIVE, &f), -EEXIST);
	disk = crash(sim, SIM_LOSE_ALL, 0);
	assert_false(exists(disk, "a"));
	env_sim_free(disk);
	assert_int_equal(env->ops->sync_dir(env, "/"), 0);
	disk = crash(sim, SIM_LOSE_ALL, 0);
	assert_int_equal(byte_at(disk, "a", 9), 'a');
	env_sim_free(disk);

	assert_int_equal(env->ops->unlink(env, "a"), 0);
	assert_false(exists(sim, "a"));
	disk = crash(sim, SIM_LOSE_ALL, 0);
	assert_int_equal(byte_at(disk, "a", 9), 'a'); /* it is back */
	env_sim_free(disk);
	assert_int_equal(env->ops->sync_dir(env, "/"), 0);
	disk = crash(sim, SIM_LOSE_ALL, 0);
	assert_false(exists(disk, "a"));
	env_sim_free(disk);
	env_sim_free(sim);
}

static void test_keep_names_in_order(void **state)
{
	static const char *const name[] = { "a", "b", "c" };
	struct env_sim *sim = new_sim();
	unsigned int i, k;

	(void)state;
	for (i = 0; i < 3; i++)
		file_close(open_file(sim, name[i], NEW));
	assert_int_equal(env_sim_subsets(sim, env_sim_position(sim), 100), 4);
	for (i = 0; i <= 3; i++) {
		struct env_sim *disk = crash(sim, SIM_SUBSET, i);

		for (k = 0; k < 3; k++)
			assert_int_equal(exists(disk, name[k]), k < i);
		env_sim_free(disk);
	}
	env_sim_free(sim);
}

static void test_rename_at_once_or_not_at_all(void **state)
{
	struct env_sim *sim = new_sim();
	struct env *env = env_sim_env(sim);
	struct file *f = durable_file(sim, "old", 10), *g = open_file(sim, "new", NEW);
	unsigned int i;

	(void)state;
	put(g, 0, 'n', 10);
	assert_int_equal(file_sync(g), 0);
	assert_int_equal(env->ops->sync_dir(env, "/"), 0);
	file_close(f);
	file_close(g);
	assert_int_equal(env->ops->rename(env, "new", "old"), 0);
	assert_int_equal(env_sim_subsets(sim, env_sim_position(sim), 100), 2);
	for (i = 0; i < 2; i++) {
		struct env_sim *disk = crash(sim, SIM_SUBSET, i);

		assert_int_equal(byte_at(disk, "old", 0), i ? 'n' : 'a');
		assert_int_equal(exists(disk, "new"), !i);
		env_sim_free(disk);
	}
	env_sim_free(sim);
}

static void test_move_between_directories_in_both(void **state)
{
	static const char *const synced[] = { "x", "y" };
	unsigned int i, k;

	(void)state;
	for (k = 0; k < 2; k++) {
		struct env_sim *sim = new_sim(), *disk;
		struct env *env = env_sim_env(sim);

		assert_int_equal(env->ops->mkdir(env, "x"), 0);
		assert_int_equal(env->ops->mkdir(env, "y"), 0);
		assert_int_equal(env->ops->sync_dir(env, "/"), 0);
		file_close(open_file(sim, "x/a", NEW));
		assert_int_equal(env->ops->sync_dir(env, "x"), 0);
		assert_int_equal(env->ops->rename(env, "x/a", "y/b"), 0);
		assert_int_equal(env_sim_subsets(sim, env_sim_position(sim), 100), 2);
		for (i = 0; i < 2; i++) {
			disk = crash(sim, SIM_SUBSET, i);
			assert_int_equal(exists(disk, "x/a"), !i);
			assert_int_equal(exists(disk, "y/b"), i);
			env_sim_free(disk);
		}
		assert_int_equal(env->ops->sync_dir(env, synced[k]), 0);
		disk = crash(sim, SIM_LOSE_ALL, 0);
		assert_false(exists(disk, "x/a"));
		assert_true(exists(disk, "y/b"));
		env_sim_free(disk);
		env_sim_free(sim);
	}
}

static void test_lose_a_directory_with_all_that_is_in_it(void **state)
{
	struct env_sim *sim = new_sim(), *disk;
	struct env *env = env_sim_env(sim);

	(void)state;
	assert_int_equal(env->ops->mkdir(env, "d"), 0);
	assert_int_equal(env->ops->mkdir(env, "d"), -EEXIST);
	assert_int_equal(env_write_file(env, "d", "a", "x", 1), 0);
	disk = crash(sim, SIM_LOSE_ALL, 0);
	assert_int_equal(env_sim_env(disk)->ops->rmdir(env_sim_env(disk), "d"), -ENOENT);
	env_sim_free(disk);
	assert_int_equal(env->ops->rmdir(env, "d"), -ENOTEMPTY);
	assert_int_equal(env->ops->sync_dir(env, "/"), 0);
	disk = crash(sim, SIM_LOSE_ALL, 0);
	assert_int_equal(byte_at(disk, "d/a", 0), 'x');
	env_sim_free(disk);
	env_sim_free(sim);
}

static void test_keep_an_unlinked_file_while_it_is_open(void **state)
{
	struct env_sim *sim = new_sim();
	struct env *env = env_sim_env(sim);
	uint64_t before, during, after;
	struct file *f;
	size_t got;
	char c;

	(void)state;
	assert_int_equal(env->ops->free_space(env, "/", &before), 0);
	f = durable_file(sim, "a", 8192);
	assert_int_equal(env->ops->unlink(env, "a"), 0);
	put(f, 0, 'b', 1);
	assert_int_equal(file_read(f, 0, &c, 1, &got), 0);
	assert_int_equal(c, 'b');
	assert_int_equal(env->ops->free_space(env, "/", &during), 0);
	assert_int_equal(before - during, 8192);
	file_close(f);
	assert_int_equal(env->ops->free_space(env, "/", &after), 0);
	assert_int_equal(after, before);
	env_sim_free(sim);
}

static int count_name(void *arg, const char *name)
{
	unsigned int *seen = arg;

	*seen |= 1u << (name[0] - 'a');
	return name[0] == 'z' ? -EIO : 0;
}

static void test_list_each_name_and_lock_once(void **state)
{
	struct env_sim *sim = new_sim();
	struct env *env = env_sim_env(sim);
	struct env_lock *lock, *second;
	unsigned int seen = 0;

	(void)state;
	assert_int_equal(env->ops->mkdir(env, "a"), 0);
	file_close(open_file(sim, "b", NEW));
	assert_int_equal(env->ops->lock(env, "c", &lock), 0);
	assert_int_equal(env->ops->lock(env, "c", &second), -EBUSY);
	assert_int_equal(env->ops->list(env, "/", count_name, &seen), 0);
	assert_int_equal(seen, 7);
	env->ops->unlock(env, lock);
	assert_int_equal(env->ops->lock(env, "c", &second), 0);
	env->ops->unlock(env, second);
	assert_int_equal(env->ops->list(env, "b", count_name, &seen), -ENOTDIR);
	assert_int_equal(env->ops->list(env, "none", count_name, &seen), -ENOENT);
	file_close(open_file(sim, "z", NEW));
	assert_int_equal(env->ops->list(env, "/", count_name, &seen), -EIO);
	env_sim_free(sim);
}

/* ---- faults ---- */

static void test_fail_each_call_of_a_procedure_in_turn(void **state)
{
	uint64_t n;
	bool fired = true;

	(void)state;
	for (n = 1; fired; n++) {
		struct env_sim *sim = new_sim();
		struct env_sim_fault fault = { .calls = SIM_ANY, .nth = n };
		int error;

		env_sim_fault(sim, &fault);
		error = env_write_file(env_sim_env(sim), "/", "a", "x", 1);
		fired = env_sim_fault_fired(sim);
		assert_int_equal(error, fired ? -EIO : 0);
		assert_int_equal(env_sim_live(sim), 0);
		env_sim_free(sim);
	}
	/* open, write, sync, rename, sync_dir; on failures unlink, of which none fails */
	assert_int_equal(n - 1, 6);
}

static void test_fail_for_good_only_such_calls_on_such_paths(void **state)
{
	struct env_sim *sim = new_sim();
	struct file *a = open_file(sim, "a", NEW), *b = open_file(sim, "b", NEW);
	struct env_sim_fault fault = { .calls = 1u << SIM_WRITE,
				       .nth = 2,
				       .for_good = true,
				       .error = -ENOSPC,
				       .path = "b" };
	int i;

	(void)state;
	env_sim_fault(sim, &fault);
	put(b, 0, 'x', 1);
	assert_false(env_sim_fault_fired(sim));
	for (i = 0; i < 3; i++) {
		put(a, 0, 'x', 1);
		assert_int_equal(file_write(b, 0, "y", 1), -ENOSPC);
		assert_int_equal(file_sync(b), 0);
	}
	assert_true(env_sim_fault_fired(sim));
	assert_int_equal(env_sim_calls(sim, 1u << SIM_WRITE), 7);
	assert_int_equal(env_sim_calls(sim, 1u << SIM_WRITE | 1u << SIM_SYNC), 10);
	env_sim_fault(sim, NULL);
	assert_int_equal(file_write(b, 0, "y", 1), 0);
	file_close(a);
	file_close(b);
	env_sim_free(sim);
}

static void test_read_and_write_short(void **state)
{
	struct env_sim *sim = new_sim();
	struct file *f = durable_file(sim, "a", 100);
	struct env_sim_fault fault = { .calls = 1u << SIM_READ | 1u << SIM_WRITE,
				       .nth = 1,
				       .for_good = true,
				       .effect = SIM_SHORT };
	char bytes[100];
	size_t got;

	(void)state;
	env_sim_fault(sim, &fault);
	assert_int_equal(file_read(f, 0, bytes, 100, &got), 0);
	assert_int_equal(got, 50);
	assert_int_equal(file_read_exact(f, "a", 0, bytes, 100, NULL), -EBADMSG);
	memset(bytes, 'b', sizeof(bytes));
	assert_int_equal(file_write(f, 0, bytes, 100), -EIO);
	env_sim_fault(sim, NULL);
	assert_int_equal(byte_at(sim, "a", 49), 'b');
	assert_int_equal(byte_at(sim, "a", 50), 'a');
	file_close(f);
	env_sim_free(sim);
}

/* After a sync that fails with such an effect, what the process reads; then a sync that
 * does not fail: does it make the byte durable? */
static void check_failed_sync(enum env_sim_effect effect, int error, int reads)
{
	struct env_sim *sim = new_sim(), *disk;
	struct file *f = durable_file(sim, "a", 1024);
	struct env_sim_fault fault = { .calls = 1u << SIM_SYNC,
				       .nth = 1,
				       .effect = effect };

	put(f, 0, 'b', 512);
	env_sim_fault(sim, &fault);
	assert_int_equal(file_sync(f), error);
	assert_int_equal(byte_at(sim, "a", 0), reads);
	disk = crash(sim, SIM_LOSE_ALL, 0);
	assert_int_equal(byte_at(disk, "a", 0), 'a');
	env_sim_free(disk);

	put(f, 512, 'c', 512);
	assert_int_equal(file_sync(f), 0);
	disk = crash(sim, SIM_LOSE_ALL, 0);
	assert_int_equal(byte_at(disk, "a", 0), effect == SIM_LOSE ? 'b' : 'a');
	assert_int_equal(byte_at(disk, "a", 512), 'c');
	env_sim_free(disk);
	/* It may have come out, all the same. */
	disk = crash(sim, SIM_LOSE_NONE, 0);
	assert_int_equal(byte_at(disk, "a", 0), 'b');
	assert_int_equal(byte_at(disk, "a", 512), 'c');
	env_sim_free(disk);

	put(f, 0, 'd', 100); /* written anew, it can be synced again */
	assert_int_equal(file_sync(f), 0);
	disk = crash(sim, SIM_LOSE_ALL, 0);
	assert_int_equal(byte_at(disk, "a", 99), 'd');
	env_sim_free(disk);
	assert_int_equal(env_sim_subsets(sim, env_sim_position(sim), 10), 1);
	file_close(f);
	env_sim_free(sim);
}

static void test_forget_what_a_failed_sync_should_have_written(void **state)
{
	(void)state;
	check_failed_sync(SIM_FAIL, -EIO, 'b');
	check_failed_sync(SIM_DROP, -EIO, 'a');
	check_failed_sync(SIM_LOSE, 0, 'b');
}

static void test_lose_and_misdirect_a_write_without_a_word(void **state)
{
	struct env_sim *sim = new_sim();
	struct file *f = durable_file(sim, "a", 8192);
	struct env_sim_fault fault = { .calls = 1u << SIM_WRITE,
				       .nth = 1,
				       .effect = SIM_LOSE };

	(void)state;
	env_sim_fault(sim, &fault);
	put(f, 0, 'b', 512);
	assert_int_equal(byte_at(sim, "a", 0), 'a');
	fault.effect = SIM_MISDIRECT;
	env_sim_fault(sim, &fault);
	put(f, 0, 'b', 512);
	assert_int_equal(byte_at(sim, "a", 0), 'a');
	assert_int_equal(byte_at(sim, "a", 4096), 'b');
	assert_int_equal(byte_at(sim, "a", 4096 + 511), 'b');
	file_close(f);
	env_sim_free(sim);
}

static void test_flip_bits_at_rest(void **state)
{
	struct env_sim *sim = new_sim(), *disk;
	struct file *f = durable_file(sim, "a", 600);

	(void)state;
	put(f, 599, 'c', 1);
	assert_int_equal(env_sim_flip(sim, "a", 0, 0x01), 0);
	assert_int_equal(env_sim_flip(sim, "a", 599, 0x02), 0);
	assert_int_equal(env_sim_flip(sim, "a", 600, 0x01), -EINVAL);
	assert_int_equal(env_sim_flip(sim, "b", 0, 0x01), -ENOENT);
	assert_int_equal(byte_at(sim, "a", 0), 'a' ^ 1);
	assert_int_equal(byte_at(sim, "a", 599), 'c' ^ 2);
	disk = crash(sim, SIM_LOSE_ALL, 0);
	assert_int_equal(byte_at(disk, "a", 0), 'a' ^ 1);
	assert_int_equal(byte_at(disk, "a", 599), 'a' ^ 2);
	env_sim_free(disk);
	disk = crash(sim, SIM_LOSE_NONE, 0);
	assert_int_equal(byte_at(disk, "a", 599), 'c' ^ 2);
	env_sim_free(disk);
	file_close(f);
	env_sim_free(sim);
}

static void test_fill_the_disk_and_free_it(void **state)
{
	struct env_sim *sim =
		env_sim_new(&(struct env_sim_config){ .capacity_bytes = 16384 });
	struct env *env = env_sim_env(sim);
	struct file *f = open_file(sim, "a", NEW), *g = open_file(sim, "b", NEW);
	uint64_t bytes;

	(void)state;
	assert_int_equal(f->ops->allocate(f, 0, 12288), 0);
	assert_int_equal(byte_at(sim, "a", 12287), 0);
	assert_int_equal(g->ops->allocate(g, 0, 8192), -ENOSPC);
	put(f, 0, 'x', 8192); /* into blocks that it has */
	put(g, 0, 'x', 4096);
	assert_int_equal(file_write(g, 4096, "x", 1), -ENOSPC);
	assert_int_equal(size_of(sim, "b"), 4096);
	assert_int_equal(env->ops->free_space(env, "/", &bytes), 0);
	assert_int_equal(bytes, 0);
	assert_int_equal(f->ops->truncate(f, 4096), 0);
	assert_int_equal(env->ops->free_space(env, "/", &bytes), 0);
	assert_int_equal(bytes, 8192);
	put(g, 4096, 'x', 1);
	env_sim_set_capacity(sim, 0);
	assert_int_equal(file_write(f, 4096, "x", 1), -ENOSPC);
	put(f, 0, 'y', 4096);
	env_sim_set_capacity(sim, 16384);
	put(f, 4096, 'x', 1);
	file_close(f);
	file_close(g);
	env_sim_free(sim);
}

/* ---- maps ---- */

static void *map_file(struct file *f, uint64_t offset, size_t len)
{
	void *p = NULL;

	assert_int_equal(f->ops->map(f, offset, len, true, &p), 0);
	return p;
}

static void test_take_stores_to_a_map_for_writes(void **state)
{
	struct env_sim *sim = new_sim(), *disk;
	struct file *f = open_file(sim, "a", NEW);
	size_t at, got, len = 128 << 10;
	char *p, c;

	(void)state;
	assert_int_equal(f->ops->allocate(f, 0, len), 0);
	assert_int_equal(file_sync(f), 0);
	assert_int_equal(env_sim_env(sim)->ops->sync_dir(env_sim_env(sim), "/"), 0);
	p = map_file(f, 0, len);
	at = env_sim_position(sim);
	assert_int_equal(env_sim_position(sim), at);

	p[600] = 'x'; /* sector 1 */
	p[100000] = 'y';
	assert_int_equal(file_read(f, 600, &c, 1, &got), 0);
	assert_int_equal(c, 'x');
	assert_int_equal(env_sim_position(sim), at + 2); /* two runs */
	assert_int_equal(env_sim_subsets(sim, at + 2, 100), 4);
	disk = crash(sim, SIM_LOSE_ALL, 0);
	assert_int_equal(byte_at(disk, "a", 600), 0);
	env_sim_free(disk);
	assert_int_equal(file_sync(f), 0);
	p[601] = 'z';
	disk = crash(sim, SIM_LOSE_ALL, 0);
	assert_int_equal(byte_at(disk, "a", 600), 'x');
	assert_int_equal(byte_at(disk, "a", 601), 0);
	assert_int_equal(byte_at(disk, "a", 100000), 'y');
	assert_int_equal(size_of(disk, "a"), len);
	env_sim_free(disk);

	put(f, 602, 'w', 1); /* a write shows in the map, and undoes no store */
	assert_int_equal(p[602], 'w');
	assert_int_equal(p[601], 'z');
	p[603] = 'v';
	f->ops->unmap(f, p, len);
	assert_int_equal(byte_at(sim, "a", 601), 'z');
	assert_int_equal(byte_at(sim, "a", 603), 'v');
	assert_int_equal(file_sync(f), 0);
	file_close(f);
	disk = crash(sim, SIM_LOSE_ALL, 0);
	assert_int_equal(byte_at(disk, "a", 603), 'v');
	env_sim_free(disk);
	env_sim_free(sim);
}

/* A record in one sector, stored and not synced: a crash may leave a part of it. */
static void test_tear_a_store_within_its_sector(void **state)
{
	struct env_sim *sim = new_sim();
	struct file *f = open_file(sim, "a", NEW);
	unsigned int i, whole = 0, none = 0, head = 0, tail = 0;
	char *p;

	(void)state;
	assert_int_equal(f->ops->allocate(f, 0, 65536), 0);
	assert_int_equal(file_sync(f), 0);
	assert_int_equal(env_sim_env(sim)->ops->sync_dir(env_sim_env(sim), "/"), 0);
	p = map_file(f, 0, 65536);
	memset(p, 'x', 512);
	for (i = 0; i < 200; i++) {
		struct env_sim *disk =
			crash(sim, i % 2 ? SIM_RANDOM : SIM_TORN, i % 2 ? i : i / 2 % 16);
		int first = byte_at(disk, "a", 0), last = byte_at(disk, "a", 511);

		whole += first == 'x' && last == 'x';
		none += !first && !last;
		head += first == 'x' && !last;
		tail += !first && last == 'x';
		env_sim_free(disk);
	}
	assert_true(whole && none && head && tail);
	assert_int_equal(whole + none + head + tail, 200);
	f->ops->unmap(f, p, 65536);
	file_close(f);
	env_sim_free(sim);
}

static void test_share_memory_between_maps_of_the_same_bytes(void **state)
{
	struct env_sim *sim = new_sim(), *nomap;
	struct file *f = open_file(sim, "a", NEW), *g = open_file(sim, "a", ENV_READ);
	void *bad;
	char *p, *q;

	(void)state;
	assert_int_equal(f->ops->truncate(f, 256 << 10), 0);
	assert_int_equal(f->ops->map(f, 1, 10, true, &bad), -EINVAL);
	assert_int_equal(f->ops->map(f, 0, (256 << 10) + 1, true, &bad), -EINVAL);
	assert_int_equal(g->ops->map(g, 0, 10, true, &bad), -EACCES);
	p = map_file(f, 0, 256 << 10);
	assert_int_equal(g->ops->map(g, 65536, 65536, false, (void **)&q), 0);
	p[65536] = 'x';
	assert_int_equal(*q, 'x');
	f->ops->unmap(f, p, 256 << 10);
	assert_int_equal(*q, 'x');
	assert_int_equal(env_sim_env(sim)->ops->unlink(env_sim_env(sim), "a"), 0);
	g->ops->unmap(g, q, 65536);
	file_close(f);
	file_close(g);
	env_sim_free(sim);

	nomap = env_sim_new(
		&(struct env_sim_config){ .no_map = true, .no_allocate = true });
	f = durable_file(nomap, "a", 4096);
	assert_int_equal(f->ops->map(f, 0, 4096, true, &bad), -EOPNOTSUPP);
	assert_int_equal(f->ops->allocate(f, 0, 4096), -EOPNOTSUPP);
	file_close(f);
	env_sim_free(nomap);
}

/* ---- tasks ---- */

struct shared {
	struct env_sim *sim;
	struct env *env;
	struct port_mutex lock, outer;
	struct env_cond *cond;
	unsigned int turn, done, order; /* order: which task did what, as digits */
};

static void scene_begin(struct shared *s, const struct env_sim_config *c)
{
	*s = (struct shared){ .sim = env_sim_new(c) };
	s->env = env_sim_env(s->sim);
	port_mutex_init(&s->lock);
	port_mutex_init(&s->outer);
	assert_int_equal(s->env->ops->cond_new(s->env, &s->cond), 0);
}

static void scene_end(struct shared *s)
{
	s->env->ops->cond_free(s->env, s->cond);
	port_mutex_destroy(&s->lock);
	port_mutex_destroy(&s->outer);
	env_sim_free(s->sim);
}

static void step_and_yield(void *arg)
{
	struct shared *s = arg;
	unsigned int me = ++s->done, i;

	for (i = 0; i < 2; i++) {
		s->order = s->order * 10 + me;
		env_sim_yield(s->sim);
	}
}

static uint64_t run_schedule(uint64_t seed, unsigned int *order)
{
	struct env_task *task[3];
	struct shared s;
	uint64_t trace;
	int i;

	scene_begin(&s, &(struct env_sim_config){ .seed = seed });
	for (i = 0; i < 3; i++)
		task[i] = env_sim_spawn_client(s.sim, step_and_yield, &s);
	for (i = 0; i < 3; i++)
		s.env->ops->join(s.env, task[i]);
	trace = env_sim_trace(s.sim);
	*order = s.order;
	scene_end(&s);
	return trace;
}

static void test_repeat_a_schedule_by_its_seed(void **state)
{
	unsigned int order, again, first, differ = 0;
	uint64_t seed, trace;

	(void)state;
	(void)run_schedule(0, &first);
	for (seed = 0; seed < 20; seed++) {
		trace = run_schedule(seed, &order);
		assert_int_equal(run_schedule(seed, &again), trace);
		assert_int_equal(order, again);
		differ += order != first;
	}
	assert_true(differ > 5);
}

static void sleep_long(void *arg)
{
	struct shared *s = arg;

	s->env->ops->sleep_ns(s->env, 3600u * 1000000000ull);
	port_mutex_lock(&s->lock);
	s->done = 1;
	s->env->ops->cond_signal(s->env, s->cond);
	port_mutex_unlock(&s->lock);
}

static void test_let_time_pass_when_all_wait(void **state)
{
	struct shared s;
	struct env_task *task;
	uint64_t begun, now;

	(void)state;
	scene_begin(&s, NULL);
	begun = s.env->ops->now_ns(s.env);
	assert_int_equal(s.env->ops->spawn(s.env, "sleeper", sleep_long, &s, &task), 0);
	port_mutex_lock(&s.lock);
	s.env->ops->cond_wait(s.env, s.cond, &s.lock, 1000000); /* a millisecond */
	now = s.env->ops->now_ns(s.env);
	assert_true(now - begun >= 1000000 && now - begun < 2000000);
	assert_int_equal(s.done, 0);
	while (!s.done)
		s.env->ops->cond_wait(s.env, s.cond, &s.lock, 0);
	port_mutex_unlock(&s.lock);
	assert_true(s.env->ops->now_ns(s.env) - begun >= 3600u * 1000000000ull);
	s.env->ops->join(s.env, task);
	scene_end(&s);
}

static void hold_and_wait(void *arg)
{
	struct shared *s = arg;

	port_mutex_lock(&s->outer);
	port_mutex_lock(&s->lock);
	s->turn = 1;
	s->env->ops->cond_signal(s->env, s->cond);
	/* Waits with outer still held. */
	while (s->turn < 2)
		s->env->ops->cond_wait(s->env, s->cond, &s->lock, 0);
	port_mutex_unlock(&s->lock);
	s->order = s->order * 10 + 1;
	port_mutex_unlock(&s->outer);
}

static void take_outer(void *arg)
{
	struct shared *s = arg;

	port_mutex_lock(&s->outer);
	s->order = s->order * 10 + 2;
	port_mutex_unlock(&s->outer);
}

static void test_wait_for_a_lock_whose_owner_waits(void **state)
{
	uint64_t seed;

	(void)state;
	for (seed = 0; seed < 10; seed++) {
		struct env_task *holder, *taker;
		struct shared s;

		scene_begin(&s,
			    &(struct env_sim_config){ .seed = seed, .spurious = true });
		holder = env_sim_spawn_client(s.sim, hold_and_wait, &s);
		port_mutex_lock(&s.lock);
		while (s.turn < 1)
			s.env->ops->cond_wait(s.env, s.cond, &s.lock, 0);
		port_mutex_unlock(&s.lock);
		taker = env_sim_spawn_client(s.sim, take_outer, &s);
		env_sim_yield(s.sim);
		env_sim_yield(s.sim);
		port_mutex_lock(&s.lock);
		s.turn = 2;
		s.env->ops->cond_signal(s.env, s.cond);
		port_mutex_unlock(&s.lock);
		s.env->ops->join(s.env, holder);
		s.env->ops->join(s.env, taker);
		assert_int_equal(s.order, 12);
		scene_end(&s);
	}
}

/* Two that add without a lock: a switch between their read and their write loses one. */
static void add_unlocked(void *arg)
{
	struct shared *s = arg;
	unsigned int old = s->done;
	uint64_t bytes;

	(void)s->env->ops->free_space(s->env, "/", &bytes);
	s->done = old + 1;
}

static void test_switch_at_calls_when_told_to(void **state)
{
	unsigned int lost[2] = { 0 }, preempt;
	uint64_t seed;

	(void)state;
	for (preempt = 0; preempt < 2; preempt++)
		for (seed = 0; seed < 20; seed++) {
			struct env_task *a, *b;
			struct shared s;

			scene_begin(&s, &(struct env_sim_config){
						.seed = seed, .preempt = preempt * 2 });
			a = env_sim_spawn_client(s.sim, add_unlocked, &s);
			b = env_sim_spawn_client(s.sim, add_unlocked, &s);
			s.env->ops->join(s.env, a);
			s.env->ops->join(s.env, b);
			lost[preempt] += s.done == 1;
			scene_end(&s);
		}
	assert_int_equal(lost[0], 0);
	assert_true(lost[1] > 0);
}

/* ---- explorations ---- */

struct exploration {
	unsigned int calls, deep, b; /* b: disks on which the file's byte is b */
	size_t refuse;               /* this call's disk */
	bool nested;
};

static int look(void *arg, struct env_sim *disk, size_t at)
{
	struct exploration *x = arg;
	struct env_sim_explore inner = { .check = look, .arg = x };
	struct file *f;

	(void)at;
	x->calls++;
	x->deep += env_sim_depth(disk) == 2;
	if (exists(disk, "a"))
		x->b += byte_at(disk, "a", 0) == 'b';
	if (x->calls == x->refuse)
		return -EBADMSG;
	if (!x->nested || env_sim_depth(disk) > 1)
		return 0;
	f = open_file(disk, "a", NEW); /* a recovery that writes */
	put(f, 0, 'r', 1);
	assert_int_equal(file_sync(f), 0);
	file_close(f);
	return env_sim_explore(disk, &inner);
}

static struct env_sim *explored(void)
{
	struct env_sim *sim = new_sim();
	struct file *f = durable_file(sim, "a", 512);

	put(f, 0, 'b', 512);
	file_close(f);
	return sim;
}

static void test_explore_each_position_and_name_what_failed(void **state)
{
	struct env_sim *sim = explored(), *disk;
	struct exploration x = { 0 };
	struct env_sim_explore e = { .check = look, .arg = &x };
	struct env_sim_point p = { 0, SIM_SUBSET, 0 };
	unsigned long long choice;

	(void)state;
	assert_int_equal(env_sim_explore(sim, &e), 0);
	/* create: no name or an empty file; write: no name, empty, zeros, bytes; sync: no
	 * name, bytes; sync_dir: 1; write: 2; and the beginning: 1 */
	assert_int_equal(e.states, 1 + 2 + 4 + 2 + 1 + 2);
	assert_int_equal(x.calls, e.states);
	assert_int_equal(x.b, 1);
	assert_string_equal(e.failed, "");

	x = (struct exploration){ .refuse = 12 };
	assert_int_equal(env_sim_explore(sim, &e), -EBADMSG);
	assert_int_equal(e.states, 12);
	assert_non_null(strstr(e.failed, "(write a) subset 1"));
	assert_int_equal(
		sscanf(e.failed, "crash at %zu (write a) subset %llu", &p.at, &choice),
		2);
	p.choice = choice;
	disk = env_sim_crash(sim, &p, false);
	assert_int_equal(byte_at(disk, "a", 0), 'b');
	assert_non_null(strstr(e.failed, env_sim_origin(disk)));
	env_sim_free(disk);
	env_sim_free(sim);
}

static void test_crash_again_during_recovery(void **state)
{
	struct env_sim *sim = explored();
	struct exploration x = { .nested = true };
	struct env_sim_explore e = { .check = look, .arg = &x, .journal = true };

	(void)state;
	assert_int_equal(env_sim_explore(sim, &e), 0);
	assert_int_equal(e.states, 12);
	assert_true(x.deep >= 12 * 4);
	x = (struct exploration){ .nested = true, .refuse = 20 };
	assert_int_equal(env_sim_explore(sim, &e), -EBADMSG);
	assert_non_null(strstr(e.failed, "crash at"));
	env_sim_free(sim);
}

static void test_copy_a_disk_and_draw_other_ids_in_each_life(void **state)
{
	struct env_sim *sim = explored(), *copy = env_sim_copy(sim, true), *disk, *same;
	struct env *env = env_sim_env(sim), *other;
	uint64_t id = env->ops->random(env);

	(void)state;
	disk = crash(copy, SIM_LOSE_ALL, 0);
	assert_int_equal(byte_at(disk, "a", 0), 'b'); /* unsynced there, durable here */
	same = crash(copy, SIM_LOSE_ALL, 0);
	other = env_sim_env(disk);
	assert_true(other->ops->random(other) != id);
	other = env_sim_env(copy);
	assert_true(other->ops->random(other) != id);
	assert_int_equal(env_sim_env(same)->ops->random(env_sim_env(same)), ({
				 struct env_sim *third = crash(copy, SIM_LOSE_ALL, 0);
				 uint64_t v = env_sim_env(third)->ops->random(
					 env_sim_env(third));

				 env_sim_free(third);
				 v;
			 }));
	env_sim_free(same);
	env_sim_free(disk);
	env_sim_free(copy);
	env_sim_free(sim);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_lose_unsynced_bytes_and_keep_synced_ones),
		TEST(test_grow_without_the_bytes),
		TEST(test_build_each_subset_of_sectors_once),
		TEST(test_count_versions_sizes_and_equal_bytes),
		TEST(test_order_truncation_with_bytes_behind_it),
		TEST(test_read_zeros_where_a_truncated_file_grows_again),
		TEST(test_lose_all_behind_a_prefix),
		TEST(test_tear_a_write_between_sectors),
		TEST(test_forget_a_name_until_its_directory_is_synced),
		TEST(test_keep_names_in_order),
		TEST(test_rename_at_once_or_not_at_all),
		TEST(test_move_between_directories_in_both),
		TEST(test_lose_a_directory_with_all_that_is_in_it),
		TEST(test_keep_an_unlinked_file_while_it_is_open),
		TEST(test_list_each_name_and_lock_once),
		TEST(test_fail_each_call_of_a_procedure_in_turn),
		TEST(test_fail_for_good_only_such_calls_on_such_paths),
		TEST(test_read_and_write_short),
		TEST(test_forget_what_a_failed_sync_should_have_written),
		TEST(test_lose_and_misdirect_a_write_without_a_word),
		TEST(test_flip_bits_at_rest),
		TEST(test_fill_the_disk_and_free_it),
		TEST(test_take_stores_to_a_map_for_writes),
		TEST(test_tear_a_store_within_its_sector),
		TEST(test_share_memory_between_maps_of_the_same_bytes),
		TEST(test_repeat_a_schedule_by_its_seed),
		TEST(test_let_time_pass_when_all_wait),
		TEST(test_wait_for_a_lock_whose_owner_waits),
		TEST(test_switch_at_calls_when_told_to),
		TEST(test_explore_each_position_and_name_what_failed),
		TEST(test_crash_again_during_recovery),
		TEST(test_copy_a_disk_and_draw_other_ids_in_each_life),
	};

	return cmocka_run_group_tests_name("env_sim", tests, NULL, NULL);
}
