/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_files_tests.c - faults planted in the files of a store, as kv_story.h has it: bytes,
 * pages, ends, whole files. Only as much may be missing as the damage can have cost.
 */
#include "../../sprint-1-core-memory/tests/test_scale.h"
#include "../../sprint-2-hash-storage/tests/kv_story.h"
#include "../btree_files.h"

enum { PAGE = STORY_PAGE, LEAF = 8 };

static const struct judge_subject subject = {
	.ops = &btree_engine,
	.inspect = &btree_inspect,
	.options = "segment_bytes=64k,max_keys=8,overflow_bytes=64,huge=off,group_ms=1",
	.keys = STORY_KEYS,
	.value_bytes = story_value_bytes,
	.line_bytes = 320,
};

static void write_page(struct env_sim *disk, size_t page, const void *bytes)
{
	struct file *f = story_open_file(disk, "TREE");

	assert_int_equal(file_write(f, page * PAGE, bytes, PAGE), 0);
	file_close(f);
}

/* ---- the tests ---- */

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
	assert_true(o.facts >= 2);
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

/* Bytes of pages and of the log that hold something, one in so many. */
static void flip_bytes(struct story *st, const char *what, uint64_t seed,
		       struct story_tally *t)
{
	struct story_names f;
	struct kv_buf bytes = { 0 };
	uint64_t offset;
	size_t i;

	story_list(st->disk, NULL, &f);
	for (i = 0; i < f.n; i++) {
		bool tree = !strcmp(f.name[i], "TREE");
		uint64_t step = (tree ? 67 : 29) * test_one_in(2);

		story_read_file(st->disk, f.name[i], &bytes);
		for (offset = 0; offset < bytes.len; offset += step) {
			uint8_t mask = (uint8_t)(1u << fixture_random(&seed) % 8);
			uint64_t from = offset / PAGE * PAGE;

			if (story_is_zero((uint8_t *)bytes.data + from,
					  bytes.len - from < PAGE ? bytes.len - from
								  : PAGE)) {
				offset = from + PAGE - step;
				continue;
			}
			(void)story_flip(st, f.name[i], offset, mask, t);
		}
	}
	kv_buf_free(&bytes);
	story_print(what, t);
	assert_true(t->found.faults && t->found.notes);
}

/* All is in the tree, and one byte costs a leaf or a value at most. */
static void test_bytes_of_a_closed_store(void **state)
{
	struct story st;
	struct story_tally t = { 0 };

	(void)state;
	story_make_closed(&st, &subject);
	flip_bytes(&st, "closed", 3, &t);
	assert_true(t.most_missing <= LEAF && t.most_in_doubt <= LEAF);
	story_end(&st);
}

/* A byte of the log costs a batch at most, and may put all into doubt. */
static void test_bytes_of_a_store_whose_process_died(void **state)
{
	struct story st;
	struct story_tally t = { 0 };

	(void)state;
	story_make_killed(&st, &subject);
	flip_bytes(&st, "killed", 4, &t);
	assert_true(t.most_missing <= LEAF);
	story_end(&st);
}

static void test_zeroed_pages(void **state)
{
	static const uint8_t zero[PAGE];
	struct story st;
	struct story_tally t = { 0 };
	struct kv_buf tree = { 0 };
	size_t page;

	(void)state;
	story_make_killed(&st, &subject);
	story_read_file(st.disk, "TREE", &tree);
	for (page = 0; page < tree.len / PAGE; page++) {
		struct env_sim *disk;
		char damage[64];

		if (story_is_zero((uint8_t *)tree.data + page * PAGE, PAGE))
			continue;
		disk = env_sim_copy(st.disk, false);
		write_page(disk, page, zero);
		(void)snprintf(damage, sizeof(damage), "page %zu zeroed", page);
		(void)story_judge(&st, disk, damage, &t);
		env_sim_free(disk);
	}
	story_print("zeroed", &t);
	assert_true(t.found.faults > 5);
	kv_buf_free(&tree);
	story_end(&st);
}

/* A write that went elsewhere: the page has another one's bytes, CRC and all. */
static void test_misplaced_pages(void **state)
{
	struct story st;
	struct story_tally t = { 0 };
	struct kv_buf tree = { 0 };
	size_t page, pages;

	(void)state;
	story_make_closed(&st, &subject);
	story_read_file(st.disk, "TREE", &tree);
	pages = tree.len / PAGE;
	for (page = 2; page + 1 < pages; page++) {
		const uint8_t *next = (uint8_t *)tree.data + (page + 1) * PAGE;
		struct env_sim *disk;
		char damage[64];

		if (story_is_zero(next, PAGE))
			continue;
		disk = env_sim_copy(st.disk, false);
		write_page(disk, page, next);
		(void)snprintf(damage, sizeof(damage), "page %zu is as the next", page);
		(void)story_judge(&st, disk, damage, &t);
		env_sim_free(disk);
	}
	story_print("misplaced", &t);
	assert_true(t.found.faults > 5 && t.most_missing <= LEAF);
	kv_buf_free(&tree);
	story_end(&st);
}

/* A write that was never done: the page is as it was at the checkpoint before. */
static void test_pages_of_before(void **state)
{
	struct story st;
	struct story_tally t = { 0 };
	struct kv_buf before = { 0 }, after = { 0 };
	size_t page;

	(void)state;
	story_begin(&st, &subject, 5);
	story_first_session(&st);
	story_read_file(st.disk, "TREE", &before);
	story_second_session(&st);
	story_read_file(st.disk, "TREE", &after);
	for (page = 2; page < before.len / PAGE && page < after.len / PAGE; page++) {
		const uint8_t *old = (uint8_t *)before.data + page * PAGE;
		struct env_sim *disk;
		char damage[64];

		if (!memcmp(old, (uint8_t *)after.data + page * PAGE, PAGE))
			continue;
		disk = env_sim_copy(st.disk, false);
		write_page(disk, page, old);
		(void)snprintf(damage, sizeof(damage), "page %zu is old", page);
		(void)story_judge(&st, disk, damage, &t);
		env_sim_free(disk);
	}
	story_print("old", &t);
	assert_true(t.found.faults && t.most_missing <= LEAF);
	kv_buf_free(&before);
	kv_buf_free(&after);
	story_end(&st);
}

/* Of a store that was closed: its checkpoint knows how far the log went. */
static void test_files_cut_anywhere(void **state)
{
	struct story st;
	struct story_tally t = { 0 };
	struct story_names f;
	size_t i;

	(void)state;
	story_make_closed(&st, &subject);
	story_list(st.disk, NULL, &f);
	for (i = 0; i < f.n; i++) {
		uint64_t step =
			(strcmp(f.name[i], "TREE") ? 211 : 3 * PAGE - 5) * test_one_in(2);
		uint64_t size, end;
		struct file *file = story_open_file(st.disk, f.name[i]);

		assert_int_equal(file->ops->size(file, &end), 0);
		file_close(file);
		for (size = 0; size < end; size += step)
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
	story_list(st.disk, NULL, &f);
	for (i = 0; i < f.n; i++) {
		struct judge_outcome o = story_lose(&st, f.name[i], &t);

		if (!strcmp(f.name[i], "TREE"))
			assert_true(o.faults);
	}
	story_print("missing", &t);
	assert_true(t.found.faults);
	story_end(&st);
}

/* Nothing says which pages count: the youngest leaves do, and all is in doubt. */
static void test_store_without_superblocks(void **state)
{
	static const uint8_t zero[PAGE];
	struct story st;
	struct judge_salvaged s;
	unsigned int key, missing, in_doubt;

	(void)state;
	story_make_closed(&st, &subject);
	write_page(st.disk, 0, zero);
	write_page(st.disk, 1, zero);
	assert_true(judge_check(&subject, st.disk).faults);
	s = judge_salvage(&subject, st.disk);
	story_expect_honest(&st, &s, "no superblocks", &missing, &in_doubt);
	assert_int_equal(missing, 0);
	for (key = 0; key < STORY_KEYS; key++)
		if (st.truth[key])
			assert_int_equal(s.version[key], st.truth[key]);
	assert_int_equal(btree_files_recognise(env_sim_env(st.disk), "store"), KV_MINE);
	story_end(&st);
}

static void test_segment_of_another_store(void **state)
{
	struct story st, other;
	struct kv_buf bytes = { 0 };
	struct judge_outcome o;
	struct story_tally t = { 0 };
	struct story_names f;
	struct file *file;
	size_t i;

	(void)state;
	story_make_killed(&st, &subject);
	story_begin(&other, &subject, 6);
	story_first_session(&other);
	story_list(other.disk, NULL, &f);
	for (i = 0; i < f.n && !strstr(f.name[i], ".log"); i++)
		;
	assert_true(i < f.n);
	story_read_file(other.disk, f.name[i], &bytes);
	story_list(st.disk, NULL, &f);
	for (i = 0; i < f.n && !strstr(f.name[i], ".log"); i++)
		;
	assert_true(i < f.n);
	file = story_open_file(st.disk, f.name[i]);
	assert_int_equal(file_write(file, 0, bytes.data, bytes.len), 0);
	file_close(file);
	o = story_judge(&st, st.disk, "foreign segment", &t);
	assert_true(o.faults);
	assert_non_null(strstr(o.text, "not known to be of this store"));
	kv_buf_free(&bytes);
	story_end(&other);
	story_end(&st);
}

/* ---- crashes, devices, memory ---- */

static int check_crashed(void *arg, struct env_sim *disk, size_t at)
{
	struct judge_outcome o;
	struct kv_msg why = { "" };
	struct kv *kv = NULL;
	struct file *f;
	int error;

	(void)arg;
	/* Before it has its name, it is no store. */
	if (env_open(env_sim_env(disk), "store/TREE", ENV_READ, &f))
		return 0;
	file_close(f);
	o = judge_check(&subject, disk);
	if (o.error || o.faults) {
		print_error("crash at %zu: %d, %s\n", at, o.error, o.text);
		return -1;
	}
	error = kv_open(subject.ops, env_sim_env(disk), "store", subject.options, &kv,
			&why);
	if (error)
		return error;
	error = kv_verify(kv, &why);
	(void)kv_close(kv);
	o = judge_check(&subject, disk);
	if (error || o.error || o.faults) {
		print_error("opened after a crash at %zu: %d %d, %s\n", at, error,
			    o.error, o.text);
		return -1;
	}
	return 0;
}

static void test_crash_is_no_fault(void **state)
{
	struct story st = { .of = &subject, .last = STORY_KEYS };
	struct env_sim_explore e = { .samples = 4,
				     .exhaustive = 8,
				     .check = check_crashed };

	(void)state;
	e.every = (unsigned int)(3 * test_one_in(2));
	st.disk = env_sim_new(&(struct env_sim_config){ .seed = 8 });
	story_first_session(&st);
	story_second_session(&st);
	if (env_sim_explore(st.disk, &e))
		fail_msg("%s", e.failed);
	print_message("%llu crashes\n", (unsigned long long)e.states);
	story_end(&st);
}

/* Any read that fails once is read again. */
static void test_read_that_fails_once_loses_nothing(void **state)
{
	struct story st;
	uint64_t n;

	(void)state;
	story_make_killed(&st, &subject);
	for (n = 1;; n += test_scale()) {
		struct env_sim_fault fault = { .calls = 1u << SIM_READ, .nth = n };
		struct env_sim *disk = env_sim_copy(st.disk, false);
		unsigned int missing, in_doubt;
		struct judge_salvaged s;
		bool fired;

		env_sim_fault(disk, &fault);
		s = judge_salvage(&subject, disk);
		fired = env_sim_fault_fired(disk);
		story_expect_honest(&st, &s, "one read failed", &missing, &in_doubt);
		env_sim_free(disk);
		if (!fired)
			break;
		/* A segment's header is not read twice; its records are. */
		assert_int_equal(missing, 0);
	}
	assert_true(n > 10);
	story_end(&st);
}

/* One page that the tree needs: salvage then looks at all others as well. */
static void damage_tree(struct story *st)
{
	struct env_sim *disk;
	uint64_t page;

	for (page = 2;; page++) {
		disk = env_sim_copy(st->disk, false);
		assert_int_equal(env_sim_flip(disk, "store/TREE", page * PAGE + 100, 1),
				 0);
		if (judge_check(&subject, disk).faults)
			break;
		env_sim_free(disk);
	}
	env_sim_free(st->disk);
	st->disk = disk;
}

static void test_out_of_memory_is_said(void **state)
{
	struct story st;

	(void)state;
	story_make_killed(&st, &subject);
	damage_tree(&st);
	judge_out_of_memory(&subject, st.disk, true);
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
	judge_no_store(&subject, "TREE");
}

/* ---- key ranges ---- */

/* Against a model of bits: ranges of one-byte keys, added at random. */
static void test_cover_is_a_set_of_keys(void **state)
{
	uint64_t seed = 11, round, i;

	(void)state;
	for (round = 0; round < 200; round++) {
		struct btree_cover c = { 0 };
		bool model[256] = { false };
		uint8_t key;

		for (i = 0; i < 20; i++) {
			uint8_t from = (uint8_t)fixture_random(&seed);
			uint8_t to = (uint8_t)fixture_random(&seed);
			bool endless = !(fixture_random(&seed) % 16);
			unsigned int k;

			if (from >= to)
				continue;
			assert_int_equal(btree_cover_add(&c, kv_slice(&from, 1),
							 endless ? kv_slice(NULL, 0)
								 : kv_slice(&to, 1)),
					 0);
			for (k = from; k < (endless ? 256u : to); k++)
				model[k] = true;
		}
		for (i = 0; i < 256; i++) {
			key = (uint8_t)i;
			assert_int_equal(btree_cover_has(&c, kv_slice(&key, 1)),
					 model[i]);
		}
		for (i = 1; i < c.n; i++)
			assert_true(c.span[i - 1].upper &&
				    kv_compare(kv_slice(c.span[i - 1].upper, 1),
					       kv_slice(c.span[i].lower, 1)) < 0);
		btree_cover_free(&c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_cover_is_a_set_of_keys),
		LEAK_CHECKED(test_sound_store_has_neither_fault_nor_note),
		LEAK_CHECKED(test_store_whose_process_died_has_no_fault),
		LEAK_CHECKED(test_bytes_of_a_closed_store),
		LEAK_CHECKED(test_bytes_of_a_store_whose_process_died),
		LEAK_CHECKED(test_zeroed_pages),
		LEAK_CHECKED(test_misplaced_pages),
		LEAK_CHECKED(test_pages_of_before),
		LEAK_CHECKED(test_files_cut_anywhere),
		LEAK_CHECKED(test_each_file_missing),
		LEAK_CHECKED(test_store_without_superblocks),
		LEAK_CHECKED(test_segment_of_another_store),
		LEAK_CHECKED(test_crash_is_no_fault),
		LEAK_CHECKED(test_read_that_fails_once_loses_nothing),
		LEAK_CHECKED(test_out_of_memory_is_said),
		LEAK_CHECKED(test_store_that_is_open_is_left_alone),
		LEAK_CHECKED(test_what_is_no_store_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
