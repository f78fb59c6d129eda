/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_files_tests.c - faults planted in the files of a store, as kv_story.h has it: bytes, ends,
 * whole files; and each file alone as text.
 */
#include "../../sprint-1-core-memory/tests/test_scale.h"
#include "../../sprint-2-hash-storage/tests/kv_story.h"
#include "../lsm_files.h"

static const struct judge_subject subject = {
	.ops = &lsm_engine,
	.inspect = &lsm_inspect,
	.options = "memory_bytes=1m,memtable_bytes=8k,segment_bytes=64k,table_bytes=4k,"
		   "block_bytes=512,level_bytes=8k,ratio=2,flushed_runs=2,blob_bytes=90,"
		   "huge=off,group_ms=1",
	.keys = STORY_KEYS,
	.value_bytes = story_value_bytes,
	.line_bytes = 1024,
};

static void test_sound_store_has_neither_fault_nor_note(void **state)
{
	struct story st;
	struct story_tally t = { 0 };
	struct judge_outcome o;

	(void)state;
	story_make_closed(&st, &subject);
	o = story_judge(&st, st.disk, "none", &t);
	if (o.faults || o.notes)
		fail_msg("%s", o.text);
	assert_true(o.facts >= 1);
	story_end(&st);
}

static void test_store_whose_process_died_has_no_fault(void **state)
{
	struct story st;
	struct story_tally t = { 0 };
	struct judge_outcome o;

	(void)state;
	story_make_killed(&st, &subject);
	o = story_judge(&st, st.disk, "killed", &t);
	if (o.faults)
		fail_msg("%s", o.text);
	story_end(&st);
}

/* ---- one file alone ---- */

struct text { /* what the lines say */
	unsigned int lines, entries, records, changes, tables, no_edits;
};

static int count_kinds(void *arg, const char *line)
{
	struct text *t = arg;

	t->lines++;
	t->entries += !strncmp(line, "    '", 5);
	t->records += !strncmp(line, "    ", 4) && strstr(line, ": \"") != NULL;
	t->changes += strstr(line, ", serial ") != NULL;
	t->tables += !strncmp(line, "    add to level ", 17);
	t->no_edits += strstr(line, "no edit") != NULL;
	return 0;
}

static int dump_alone(struct env_sim *disk, const char *path, struct text *t)
{
	struct kv_msg why = { "" };
	uint64_t before = judge_changes(disk);
	int error;

	*t = (struct text){ 0 };
	error = lsm_inspect.structure_of(env_sim_env(disk), path, count_kinds, t, &why);
	assert_true(!error || error == -EOPNOTSUPP || *why.text);
	assert_int_equal(judge_changes(disk), before);
	assert_int_equal(env_sim_live(disk), 0);
	return error;
}

static void test_each_file_alone_as_text(void **state)
{
	struct story st;
	struct story_names f;
	struct text t;
	char path[ENV_PATH_MAX];
	unsigned int tables = 0, blobs = 0;
	size_t i;

	(void)state;
	story_make_closed(&st, &subject);
	story_list(st.disk, "manifest", &f);
	for (i = 0; i < f.n; i++) {
		const bool table = strstr(f.name[i], ".sst");
		const bool blob = strstr(f.name[i], ".blob");

		assert_int_equal(env_path(path, "store", f.name[i]), 0);
		assert_int_equal(dump_alone(st.disk, path, &t),
				 table || blob ? 0 : -EOPNOTSUPP);
		tables += table && t.entries > 0;
		blobs += blob && t.records > 0;
		if (table || blob) {
			assert_int_equal(env_sim_flip(st.disk, path, 20, 1), 0);
			assert_int_equal(dump_alone(st.disk, path, &t), -EBADMSG);
		}
	}
	assert_true(tables > 0 && blobs > 0);
	assert_int_equal(dump_alone(st.disk, "store", &t), -EOPNOTSUPP);
	assert_int_equal(dump_alone(st.disk, "store/absent.sst", &t), -ENOENT);
	assert_int_equal(dump_alone(st.disk, "store/absent.blob", &t), -ENOENT);
	assert_int_equal(dump_alone(st.disk, "absent/manifest", &t), -ENOENT);
	story_end(&st);
}

static void test_manifest_alone_as_text(void **state)
{
	struct story st;
	struct text t, damaged;
	struct story_names f;
	char path[ENV_PATH_MAX];
	size_t i, first;

	(void)state;
	story_make_killed(&st, &subject);
	assert_int_equal(dump_alone(st.disk, "store/manifest/", &t), 0);
	assert_true(t.changes > 0 && t.tables > 0 && !t.no_edits);
	story_list(st.disk, "manifest", &f);
	first = f.n;
	/* The one that is written to; another may be ready to be the next. */
	for (i = 0; i < f.n; i++)
		if (!strncmp(f.name[i], "manifest/", 9) &&
		    (first == f.n || strcmp(f.name[i], f.name[first]) < 0))
			first = i;
	assert_true(first < f.n);
	assert_int_equal(env_path(path, "store", f.name[first]), 0);
	assert_int_equal(env_sim_flip(st.disk, path, 100, 1), 0);
	assert_int_equal(dump_alone(st.disk, "store/manifest", &damaged), 0);
	assert_true(damaged.changes < t.changes);
	story_end(&st);
}

/* Bytes of all files that hold something, one in so many. */
static void flip_bytes(struct story *st, const char *what, uint64_t seed,
		       struct story_tally *t)
{
	struct story_names f;
	struct kv_buf bytes = { 0 };
	uint64_t offset;
	size_t i;

	story_list(st->disk, "manifest", &f);
	for (i = 0; i < f.n; i++) {
		uint64_t step = 41 * test_one_in(2);

		story_read_file(st->disk, f.name[i], &bytes);
		for (offset = i % 5; offset < bytes.len; offset += step) {
			uint8_t mask = (uint8_t)(1u << fixture_random(&seed) % 8);

			if (story_is_zero((uint8_t *)bytes.data + offset,
					  bytes.len - offset))
				break;
			(void)story_flip(st, f.name[i], offset, mask, t);
		}
	}
	kv_buf_free(&bytes);
	story_print(what, t);
	assert_true(t->found.faults);
}

static void test_bytes_of_a_closed_store(void **state)
{
	struct story st;
	struct story_tally t = { 0 };

	(void)state;
	story_make_closed(&st, &subject);
	flip_bytes(&st, "closed", 3, &t);
	story_end(&st);
}

static void test_bytes_of_a_store_whose_process_died(void **state)
{
	struct story st;
	struct story_tally t = { 0 };

	(void)state;
	story_make_killed(&st, &subject);
	flip_bytes(&st, "killed", 4, &t);
	story_end(&st);
}

static void test_files_cut_anywhere(void **state)
{
	struct story st;
	struct story_tally t = { 0 };
	struct story_names f;
	size_t i;

	(void)state;
	story_make_closed(&st, &subject);
	story_list(st.disk, "manifest", &f);
	for (i = 0; i < f.n; i++) {
		uint64_t step = 211 * test_one_in(2), size, end;
		struct file *file = story_open_file(st.disk, f.name[i]);

		assert_int_equal(file->ops->size(file, &end), 0);
		file_close(file);
		for (size = 0; size < end && size < STORY_PAGE; size += step)
			(void)story_cut(&st, f.name[i], size, &t);
	}
	story_print("cut", &t);
	assert_true(t.found.faults);
	story_end(&st);
}

static void test_each_file_missing(void **state)
{
	struct story st;
	struct story_tally t = { 0 };
	struct story_names f;
	size_t i;

	(void)state;
	story_make_closed(&st, &subject);
	story_list(st.disk, "manifest", &f);
	for (i = 0; i < f.n; i++)
		(void)story_lose(&st, f.name[i], &t);
	story_print("missing", &t);
	assert_true(t.found.faults);
	story_end(&st);
}

static int refuse_pair(void *arg, const struct kv_salvaged *p)
{
	(void)p;
	*(unsigned int *)arg += 1;
	return -EIO;
}

static int ignore_finding(void *arg, const struct kv_finding *f)
{
	(void)arg, (void)f;
	return 0;
}

/* What the receiver of a pair says ends the work, whatever it is. */
static void test_who_takes_pairs_may_end_it(void **state)
{
	struct story st;
	struct kv_msg why;
	unsigned int given = 0;

	(void)state;
	story_make_closed(&st, &subject);
	assert_int_equal(lsm_inspect.salvage(env_sim_env(st.disk), "store", refuse_pair,
					     ignore_finding, &given, &why),
			 -EIO);
	assert_int_equal(given, 1);
	story_end(&st);
}

static void test_out_of_memory_is_said(void **state)
{
	struct story st;

	(void)state;
	story_make_killed(&st, &subject);
	judge_out_of_memory(&subject, st.disk, false);
	story_end(&st);
}

static void test_store_that_is_open_is_left_alone(void **state)
{
	struct story st;

	(void)state;
	story_make_closed(&st, &subject);
	judge_busy(&subject, st.disk, story_open(&st));
	story_end(&st);
}

static void test_what_is_no_store_is_refused(void **state)
{
	(void)state;
	judge_no_store(&subject, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_sound_store_has_neither_fault_nor_note),
		LEAK_CHECKED(test_store_whose_process_died_has_no_fault),
		LEAK_CHECKED(test_each_file_alone_as_text),
		LEAK_CHECKED(test_manifest_alone_as_text),
		LEAK_CHECKED(test_each_file_missing),
		LEAK_CHECKED(test_bytes_of_a_closed_store),
		LEAK_CHECKED(test_bytes_of_a_store_whose_process_died),
		LEAK_CHECKED(test_files_cut_anywhere),
		LEAK_CHECKED(test_who_takes_pairs_may_end_it),
		LEAK_CHECKED(test_out_of_memory_is_said),
		LEAK_CHECKED(test_store_that_is_open_is_left_alone),
		LEAK_CHECKED(test_what_is_no_store_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
