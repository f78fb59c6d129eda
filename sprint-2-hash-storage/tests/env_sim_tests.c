/* SPDX-License-Identifier: MIT */
/*
 * env_sim_tests.c - what a crash of the simulator may take and what not, each disk once;
 * explorations of all of them.
 */
#include "env_sim_fixture.h"

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
	assert_non_null(strstr(e.failed, ", then crash at"));
	env_sim_free(sim);
}

static void test_copy_a_disk_and_draw_other_ids_in_each_life(void **state)
{
	struct env_sim *sim = explored(), *copy = env_sim_copy(sim, true), *disk, *same,
		       *again;
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
	/* The same point is the same life. */
	again = crash(copy, SIM_LOSE_ALL, 0);
	assert_int_equal(env_sim_env(same)->ops->random(env_sim_env(same)),
			 env_sim_env(again)->ops->random(env_sim_env(again)));
	env_sim_free(again);
	env_sim_free(same);
	env_sim_free(disk);
	env_sim_free(copy);
	env_sim_free(sim);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_lose_unsynced_bytes_and_keep_synced_ones),
		LEAK_CHECKED(test_grow_without_the_bytes),
		LEAK_CHECKED(test_build_each_subset_of_sectors_once),
		LEAK_CHECKED(test_count_versions_sizes_and_equal_bytes),
		LEAK_CHECKED(test_order_truncation_with_bytes_behind_it),
		LEAK_CHECKED(test_read_zeros_where_a_truncated_file_grows_again),
		LEAK_CHECKED(test_lose_all_behind_a_prefix),
		LEAK_CHECKED(test_tear_a_write_between_sectors),
		LEAK_CHECKED(test_forget_a_name_until_its_directory_is_synced),
		LEAK_CHECKED(test_keep_names_in_order),
		LEAK_CHECKED(test_rename_at_once_or_not_at_all),
		LEAK_CHECKED(test_move_between_directories_in_both),
		LEAK_CHECKED(test_lose_a_directory_with_all_that_is_in_it),
		LEAK_CHECKED(test_keep_an_unlinked_file_while_it_is_open),
		LEAK_CHECKED(test_list_each_name_and_lock_once),
		LEAK_CHECKED(test_explore_each_position_and_name_what_failed),
		LEAK_CHECKED(test_crash_again_during_recovery),
		LEAK_CHECKED(test_copy_a_disk_and_draw_other_ids_in_each_life),
	};

	return cmocka_run_group_tests_name("env_sim", tests, NULL, NULL);
}
