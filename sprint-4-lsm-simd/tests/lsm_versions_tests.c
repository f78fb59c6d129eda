/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_versions_tests.c - versions on a simulated disk: what is committed is there when the store
 * is opened again; files live as long as they are used; what does not fit or failed is refused.
 */
#include "lsm_versions_fixture.h"

static void test_committed_edits_are_there_after_reopening(void **state)
{
	uint64_t files, all = 0;
	struct lsm_version *v;
	struct fixture f;
	unsigned int i;

	(void)state;
	begin(&f);
	assert_int_equal(current_files(&f), 0);
	for (i = 0; i < 5; i++) {
		assert_int_equal(commit(&f, i % 2, 0, &files), 0);
		all |= files;
		assert_int_equal(current_files(&f), all);
		assert_int_equal(f.installed, i + 1);
	}
	assert_int_equal(close_store(&f), 0);
	for (i = 0; i < 3; i++) {
		open_store(&f);
		assert_int_equal(current_files(&f), all);
		v = lsm_versions_current(f.vs);
		assert_int_equal(v->level[0].runs, 5);
		assert_true(v->log_position > 0 && v->log_position % 8 == 0);
		lsm_version_unref(v);
		assert_int_equal(close_store(&f), 0);
	}
	end(&f);
}

static void test_values_are_found_through_runs_and_blob_files(void **state)
{
	uint64_t files, stamp, number;
	uint8_t bytes[KEY_BYTES];
	struct kv_buf value = { 0 };
	struct lsm_version *v;
	struct kv_slice key;
	struct fixture f;

	(void)state;
	begin(&f);
	assert_int_equal(commit(&f, true, 0, &files), 0);
	number = (uint64_t)__builtin_ctzll(files);
	v = lsm_versions_current(f.vs);
	key = key_of(number, bytes);
	assert_int_equal(lsm_version_get(v, key, lsm_key_hash(key), LSM_SEQUENCE_MAX,
					 &stamp, &value, &f.why),
			 0);
	assert_int_equal(lsm_kind(stamp), LSM_PUT);
	assert_int_equal(value.len, strlen("a large value"));
	assert_memory_equal(value.data, "a large value", value.len);
	assert_int_equal(lsm_version_get(v, key, lsm_key_hash(key), number - 1, &stamp,
					 &value, &f.why),
			 -ENOENT);
	/* Live bytes are those of the record. */
	assert_int_equal(v->blobs, 1);
	assert_int_equal(v->blob[0].live, v->blob[0].file->summary.record_bytes);
	kv_buf_free(&value);
	lsm_version_unref(v);
	end(&f);
}

static void test_removed_files_go_when_nobody_reads_them(void **state)
{
	uint64_t files, gone;
	struct lsm_version *v;
	struct fixture f;
	unsigned int table;

	(void)state;
	begin(&f);
	assert_int_equal(commit(&f, true, 0, &gone), 0);
	table = (unsigned int)__builtin_ctzll(gone);
	v = lsm_versions_current(f.vs);
	assert_int_equal(commit(&f, false, 1ull << table, &files), 0);
	/* The blob file goes with its last table. */
	assert_int_equal(current_files(&f), files);
	assert_int_equal(lsm_versions_purge(f.vs), 0);
	assert_true(file_exists(&f, table, LSM_FILE_TABLE));
	lsm_version_unref(v);
	assert_true(file_exists(&f, table, LSM_FILE_TABLE));
	assert_true(lsm_versions_purge(f.vs) > 0);
	assert_false(file_exists(&f, table, LSM_FILE_TABLE));
	assert_false(file_exists(&f, table + 1, LSM_FILE_BLOB));
	end(&f);
}

static void test_orphans_go_and_their_numbers_are_not_given_again(void **state)
{
	struct sst_summary summary = { 0 };
	uint64_t files, orphan, i;
	struct fixture f;

	(void)state;
	begin(&f);
	assert_int_equal(commit(&f, false, 0, &files), 0);
	for (i = 0; i < 3; i++)
		orphan = lsm_versions_number(f.vs);
	assert_int_equal(make_table(&f, orphan, NULL, &summary), 0);
	sst_summary_free(&summary);
	assert_int_equal(close_store(&f), 0);
	open_store(&f);
	assert_false(file_exists(&f, orphan, LSM_FILE_TABLE));
	assert_int_equal(current_files(&f), files);
	assert_int_equal(close_store(&f), 0);
	open_store(&f);
	assert_true(lsm_versions_number(f.vs) > orphan);
	end(&f);
}

/* Behind it numbers would begin anew, below those that are in use. */
static void test_file_with_the_last_number_is_left_alone(void **state)
{
	uint64_t files, number;
	struct fixture f;
	struct file *file;

	(void)state;
	begin(&f);
	assert_int_equal(commit(&f, false, 0, &files), 0);
	number = lsm_versions_number(f.vs);
	assert_int_equal(close_store(&f), 0);
	assert_int_equal(env_open(f.env, DIR "/ffffffffffffffff.sst",
				  ENV_WRITE | ENV_CREATE, &file),
			 0);
	file_close(file);
	open_store(&f);
	assert_int_equal(current_files(&f), files);
	assert_true(file_exists(&f, UINT64_MAX, LSM_FILE_TABLE));
	assert_in_range(lsm_versions_number(f.vs), number, number + 10);
	end(&f);
}

static void no_more_open_files(struct fixture *f, const char *suffix)
{
	struct env_sim_fault fault = { .calls = 1u << SIM_OPEN,
				       .nth = 2, /* the first makes it */
				       .error = -EMFILE,
				       .path = suffix };
	uint64_t before = current_files(f), files;

	env_sim_fault(f->sim, &fault);
	assert_int_equal(commit(f, true, 0, &files), -EMFILE);
	assert_non_null(strstr(f->why.text, suffix));
	assert_non_null(strstr(f->why.text, "ulimit -n"));
	env_sim_fault(f->sim, NULL);
	assert_int_equal(current_files(f), before);
}

/* Who has reached the limit is told what it is. */
static void test_store_that_may_open_no_more_says_so(void **state)
{
	struct env_sim_fault fault = {
		.calls = 1u << SIM_OPEN, .nth = 1, .error = -EMFILE, .path = ".blob"
	};
	struct fixture f;
	uint64_t files;

	(void)state;
	begin(&f);
	assert_int_equal(commit(&f, true, 0, &files), 0);
	no_more_open_files(&f, ".sst");
	no_more_open_files(&f, ".blob");
	assert_int_equal(close_store(&f), 0);
	env_sim_fault(f.sim, &fault);
	assert_int_equal(try_open(&f), -EMFILE);
	f.vs = NULL;
	assert_non_null(strstr(f.why.text, "ulimit -n"));
	env_sim_fault(f.sim, NULL);
	open_store(&f);
	assert_int_equal(current_files(&f), files);
	end(&f);
}

struct names {
	unsigned int logs;
};

static int count_log(void *arg, const char *name)
{
	struct names *n = arg;

	n->logs += strstr(name, ".log") != NULL;
	return 0;
}

static void test_manifest_does_not_grow(void **state)
{
	struct names names = { 0 };
	uint64_t files, last = 0;
	struct fixture f;
	unsigned int i;

	(void)state;
	begin(&f);
	for (i = 0; i < 60; i++) {
		/* Numbers beyond 63 do not fit the set: this test does without. */
		if (i == 20) {
			assert_int_equal(close_store(&f), 0);
			open_store(&f);
		}
		if (lsm_versions_number(f.vs) > 55)
			break;
		assert_int_equal(commit(&f, false, last, &files), 0);
		last = files;
	}
	assert_int_equal(f.env->ops->list(f.env, DIR "/manifest", count_log, &names), 0);
	assert_true(names.logs <= 3);
	end(&f);
}

static void test_edit_that_does_not_fit_changes_nothing(void **state)
{
	struct lsm_edit e = { 0 };
	uint64_t files, more;
	struct fixture f;

	(void)state;
	begin(&f);
	assert_int_equal(commit(&f, false, 0, &files), 0);
	assert_int_equal(lsm_edit_remove(&e, 40), 0);
	assert_int_equal(lsm_versions_commit(f.vs, &e, &f.why), -EINVAL);
	lsm_edit_free(&e);
	assert_int_equal(lsm_edit_move(&e, 40, 1, 0), 0);
	assert_int_equal(lsm_versions_commit(f.vs, &e, &f.why), -EINVAL);
	lsm_edit_free(&e);
	assert_int_equal(
		lsm_edit_move(&e, (uint64_t)__builtin_ctzll(files), LSM_LEVELS, 0), 0);
	assert_int_equal(lsm_versions_commit(f.vs, &e, &f.why), -EINVAL);
	lsm_edit_free(&e);
	assert_int_equal(current_files(&f), files);
	assert_int_equal(commit(&f, false, 0, &more), 0);
	assert_int_equal(close_store(&f), 0);
	open_store(&f);
	assert_int_equal(current_files(&f), files | more);
	end(&f);
}

static void test_failed_sync_latches(void **state)
{
	const struct env_sim_fault fault = { .calls = 1u << SIM_SYNC,
					     .nth = 1,
					     .path = "manifest" };
	uint64_t before, files, more;
	struct fixture f;
	int error;

	(void)state;
	begin(&f);
	assert_int_equal(commit(&f, false, 0, &before), 0);
	env_sim_fault(f.sim, &fault);
	assert_int_not_equal(commit(&f, false, before, &files), 0);
	env_sim_fault(f.sim, NULL);
	assert_true(lsm_versions_latched(f.vs));
	assert_int_equal(commit(&f, false, 0, &more), -EROFS);
	assert_non_null(strstr(f.why.text, "open the store again"));
	assert_int_equal(current_files(&f), before);
	/* Neither side's files are gone. */
	assert_true(file_exists(&f, (uint64_t)__builtin_ctzll(before), LSM_FILE_TABLE));
	assert_true(file_exists(&f, (uint64_t)__builtin_ctzll(files), LSM_FILE_TABLE));
	(void)close_store(&f);
	error = try_open(&f);
	assert_int_equal(error, 0);
	assert_true(current_files(&f) == before || current_files(&f) == files);
	end(&f);
}

static void test_missing_table_is_corruption(void **state)
{
	struct fixture f;
	uint64_t files;

	(void)state;
	begin(&f);
	assert_int_equal(commit(&f, false, 0, &files), 0);
	assert_int_equal(close_store(&f), 0);
	remove_file(&f, (uint64_t)__builtin_ctzll(files), LSM_FILE_TABLE);
	assert_int_equal(try_open(&f), -EBADMSG);
	assert_non_null(strstr(f.why.text, "missing"));
	f.vs = NULL;
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_committed_edits_are_there_after_reopening),
		LEAK_CHECKED(test_values_are_found_through_runs_and_blob_files),
		LEAK_CHECKED(test_removed_files_go_when_nobody_reads_them),
		LEAK_CHECKED(test_orphans_go_and_their_numbers_are_not_given_again),
		LEAK_CHECKED(test_file_with_the_last_number_is_left_alone),
		LEAK_CHECKED(test_store_that_may_open_no_more_says_so),
		LEAK_CHECKED(test_manifest_does_not_grow),
		LEAK_CHECKED(test_edit_that_does_not_fit_changes_nothing),
		LEAK_CHECKED(test_failed_sync_latches),
		LEAK_CHECKED(test_missing_table_is_corruption),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
