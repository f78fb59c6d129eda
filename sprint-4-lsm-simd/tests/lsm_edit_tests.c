/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_edit_tests.c - an edit and a whole version as bytes: these, both ways, and nothing that
 * was cut or changed is taken for one unless it is one.
 */
#include "../lsm_version_internal.h"

#include "../../sprint-1-core-memory/tests/leak_check.h"

static void set(struct kv_buf *b, const char *text)
{
	assert_int_equal(kv_buf_set(b, text, strlen(text)), 0);
}

static struct sst_summary summary_of(const char *smallest, const char *largest)
{
	struct sst_summary s = { .bytes = 4096,
				 .entries = 10,
				 .deletes = 2,
				 .tombstones = 1,
				 .key_bytes = 240,
				 .value_bytes = 1000,
				 .min_sequence = 0x1122,
				 .max_sequence = 0x3344,
				 .largest_excluded = true,
				 .footer_crc = 0xcafebabe };

	set(&s.smallest, smallest);
	set(&s.largest, largest);
	return s;
}

/* One of each kind. */
static void fill(struct lsm_edit *e)
{
	const struct lsm_blob_summary blob = { 1000, 900, 3 };
	struct sst_summary s = summary_of("ab", "cde");

	s.blob = port_alloc(sizeof(*s.blob));
	assert_non_null(s.blob);
	s.blob[0] = (struct sst_blob_use){ 9, 512 };
	s.blobs = 1;
	assert_int_equal(lsm_edit_remove(e, 3), 0);
	assert_int_equal(lsm_edit_move(e, 4, 2, 0), 0);
	assert_int_equal(lsm_edit_blob(e, 9, &blob), 0);
	assert_int_equal(lsm_edit_add(e, 1, 5, 8, &s), 0);
	assert_int_equal(s.smallest.len, 0); /* taken over */
	e->log_position = 0x8877665544;
	e->has_progress = true;
	e->progress_level = 1;
	e->progress_run = 5;
	set(&e->progress, "b");
}

static const uint8_t golden[] = {
	0x01, 0x00, 0x00, 0x00, 0x05, 0x00, 0x00, 0x00, /* format, flags, items */
	0x07, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* serial */
	0x0b, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* next */
	0x44, 0x55, 0x66, 0x77, 0x88, 0x00, 0x00, 0x00, /* log position */
	0x02, 0x00, 0x00, 0x00, 0x08, 0x00, 0x00, 0x00, /* remove */
	0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* ... 3 */
	0x03, 0x02, 0x00, 0x00, 0x10, 0x00, 0x00, 0x00, /* move to level 2 */
	0x0a, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* ... run 10 */
	0x04, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* ... 4 */
	0x04, 0x00, 0x00, 0x00, 0x20, 0x00, 0x00, 0x00, /* blob file */
	0x09, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* ... 9 */
	0xe8, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* ... bytes */
	0x84, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* ... of records */
	0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* ... records */
	0x01, 0x01, 0x02, 0x00, 0x75, 0x00, 0x00, 0x00, /* add to level 1, excluded */
	0x05, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* ... run */
	0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* ... number */
	0x00, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* ... bytes */
	0x0a, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* ... entries */
	0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* ... deletes */
	0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* ... tombstones */
	0xf0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* ... key bytes */
	0xe8, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* ... value bytes */
	0x22, 0x11, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* ... least sequence */
	0x44, 0x33, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* ... greatest */
	0xbe, 0xba, 0xfe, 0xca,                         /* ... footer's CRC */
	0x02, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, /* ... lengths of keys */
	0x01, 0x00, 0x00, 0x00,                         /* ... blob files */
	'a',  'b',  'c',  'd',  'e',                    /* ... keys */
	0x09, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* ... blob file */
	0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* ... its bytes */
	0x05, 0x01, 0x00, 0x00, 0x09, 0x00, 0x00, 0x00, /* progress of level 1 */
	0x05, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 'b',
};

static void encode(struct kv_buf *out)
{
	struct lsm_edit e = { 0 };

	fill(&e);
	assert_int_equal(lsm_manifest_encode_edit(out, &e, 10, 7, 11), 0);
	lsm_edit_free(&e);
}

static int decode(struct lsm_change *c, const void *p, size_t n)
{
	return lsm_manifest_decode(c, kv_slice(p, n), NULL);
}

static void test_edit_is_these_bytes(void **state)
{
	struct kv_buf b = { 0 };

	(void)state;
	encode(&b);
	assert_int_equal(b.len, sizeof(golden));
	assert_memory_equal(b.data, golden, sizeof(golden));
	kv_buf_free(&b);
}

static void test_edit_decodes_to_what_was_encoded(void **state)
{
	struct kv_buf again = { 0 };
	struct lsm_change c;

	(void)state;
	assert_int_equal(decode(&c, golden, sizeof(golden)), 0);
	assert_false(c.whole);
	assert_int_equal(c.serial, 7);
	assert_int_equal(c.next, 11);
	assert_int_equal(c.progress_set, 1 << 1);
	/* Encoded anew it is the same. */
	c.edit.has_progress = true;
	c.edit.progress_level = 1;
	c.edit.progress_run = c.progress[1].run;
	assert_int_equal(kv_buf_set(&c.edit.progress, c.progress[1].key.data,
				    c.progress[1].key.len),
			 0);
	assert_int_equal(lsm_manifest_encode_edit(&again, &c.edit, 0, 7, 11), 0);
	assert_int_equal(again.len, sizeof(golden));
	assert_memory_equal(again.data, golden, sizeof(golden));
	kv_buf_free(&again);
	lsm_change_free(&c);
}

static void test_edit_that_was_cut_is_none(void **state)
{
	struct lsm_change c;
	size_t n;

	(void)state;
	for (n = 0; n < sizeof(golden); n++) {
		uint8_t *copy = malloc(n + 1);

		assert_non_null(copy);
		memcpy(copy, golden, n);
		assert_int_equal(decode(&c, copy, n), -EBADMSG);
		free(copy);
	}
}

/* The log's CRC sees a change; here nothing may be read that is not there. */
static void test_changed_edit_is_refused_or_sound(void **state)
{
	uint8_t bytes[sizeof(golden)];
	struct lsm_change c;
	unsigned int refused = 0, mask;
	size_t at;

	(void)state;
	for (at = 0; at < sizeof(golden); at++)
		for (mask = 1; mask < 256; mask++) {
			int error;

			memcpy(bytes, golden, sizeof(golden));
			bytes[at] ^= (uint8_t)mask;
			error = decode(&c, bytes, sizeof(bytes));
			if (error) {
				assert_true(error == -EBADMSG ||
					    error == -EPROTONOSUPPORT);
				refused++;
				continue;
			}
			assert_true(c.edit.adds + c.edit.moves + c.edit.removes +
					    c.edit.blobs <=
				    5);
			lsm_change_free(&c);
		}
	assert_true(refused > 20000);
}

static void test_edit_of_a_newer_program_is_refused_as_such(void **state)
{
	uint8_t bytes[sizeof(golden)];
	struct kv_msg why = { "" };
	struct lsm_change c;

	(void)state;
	memcpy(bytes, golden, sizeof(golden));
	bytes[0] = 2;
	assert_int_equal(lsm_manifest_decode(&c, kv_slice(bytes, sizeof(bytes)), &why),
			 -EPROTONOSUPPORT);
	assert_non_null(strstr(why.text, "newer"));
}

static void test_edit_without_memory_leaks_nothing(void **state)
{
	struct lsm_change c;
	uint64_t nth;
	int error = -ENOMEM;

	(void)state;
	for (nth = 1; error; nth++) {
		port_fault_set(nth, true);
		error = decode(&c, golden, sizeof(golden));
		port_fault_set(0, false);
		assert_true(!error || error == -ENOMEM);
	}
	assert_true(nth > 5);
	lsm_change_free(&c);
}

/* ---- whole versions ---- */

static void add(struct lsm_edit *e, unsigned int level, uint64_t run, uint64_t number,
		const char *smallest, const char *largest)
{
	struct sst_summary s = summary_of(smallest, largest);

	s.tombstones = 0;
	assert_int_equal(lsm_edit_add(e, level, run, number, &s), 0);
}

static void apply(struct lsm_state *s, struct lsm_edit *e, uint64_t new_run)
{
	struct kv_msg why = { "" };

	if (lsm_state_apply(s, e, new_run, &why))
		fail_msg("%s", why.text);
	lsm_edit_free(e);
}

static struct lsm_version *version_of(struct lsm_state *s)
{
	struct lsm_version *v = NULL;
	struct kv_msg why = { "" };

	if (lsm_state_version(s, NULL, &v, &why))
		fail_msg("%s", why.text);
	return v;
}

static void encode_version(const struct lsm_version *v, struct kv_buf *out)
{
	assert_int_equal(lsm_manifest_encode_version(out, v, 9, 100), 0);
}

static void test_whole_version_is_the_sum_of_its_edits(void **state)
{
	struct kv_buf one = { 0 }, two = { 0 };
	struct lsm_state s = { 0 };
	struct lsm_edit e = { 0 };
	struct lsm_version *v;
	struct lsm_change c;

	(void)state;
	add(&e, 0, 0, 5, "a", "m");
	apply(&s, &e, 1);
	add(&e, 0, 0, 6, "b", "n");
	add(&e, 2, 3, 7, "a", "c");
	add(&e, 2, 3, 8, "c", "z");
	e.log_position = 800;
	apply(&s, &e, 2);
	assert_int_equal(lsm_edit_remove(&e, 5), 0);
	assert_int_equal(lsm_edit_move(&e, 6, 1, 0), 0);
	add(&e, 0, 0, 9, "x", "y");
	e.has_progress = true;
	e.progress_level = 2;
	e.progress_run = 3;
	set(&e.progress, "c");
	apply(&s, &e, 4);
	v = version_of(&s);
	assert_int_equal(v->level[0].runs, 1);
	assert_int_equal(v->level[1].run[0].table[0]->number, 6);
	assert_int_equal(v->level[1].run[0].id, 4);
	assert_int_equal(v->level[2].run[0].tables, 2);
	assert_int_equal(v->bytes, 4 * 4096);
	encode_version(v, &one);
	lsm_version_unref(v);

	assert_int_equal(decode(&c, one.data, one.len), 0);
	assert_true(c.whole);
	assert_int_equal(lsm_state_apply(&s, &c.edit, 0, NULL), 0);
	assert_int_equal(lsm_state_set_progress(
				 &s, 2, c.progress[2].run,
				 kv_slice(c.progress[2].key.data, c.progress[2].key.len)),
			 0);
	lsm_change_free(&c);
	v = version_of(&s);
	encode_version(v, &two);
	assert_int_equal(one.len, two.len);
	assert_memory_equal(one.data, two.data, one.len);
	lsm_version_unref(v);
	kv_buf_free(&one);
	kv_buf_free(&two);
}

static void test_what_comes_to_runs_that_are_merged_takes_progress_back(void **state)
{
	struct lsm_state s = { 0 };
	struct lsm_edit e = { 0 };
	struct lsm_version *v;

	(void)state;
	add(&e, 1, 2, 5, "a", "b");
	add(&e, 1, 2, 6, "m", "n");
	e.has_progress = true;
	e.progress_level = 1;
	e.progress_run = 2;
	set(&e.progress, "k");
	apply(&s, &e, 0);
	add(&e, 1, 3, 7, "c", "d"); /* newer: it has nothing to do with it */
	apply(&s, &e, 0);
	assert_int_equal(s.progress[1].key.len, 1);
	assert_memory_equal(s.progress[1].key.data, "k", 1);
	add(&e, 1, 2, 8, "e", "f");
	apply(&s, &e, 0);
	assert_memory_equal(s.progress[1].key.data, "e", 1);
	v = version_of(&s);
	/* And so does what a compaction that notes progress has not taken. */
	v->level[1].run[1].table[0]->busy = true;
	e.has_progress = true;
	e.progress_level = 1;
	e.progress_run = 2;
	set(&e.progress, "z");
	assert_int_equal(lsm_edit_bound_progress(&e, v), 0);
	assert_memory_equal(e.progress.data, "e", 1);
	lsm_edit_free(&e);
	lsm_version_unref(v);
}

static void test_tables_of_a_run_that_overlap_are_refused(void **state)
{
	struct lsm_state s = { 0 };
	struct lsm_edit e = { 0 };
	struct lsm_version *v;
	struct kv_msg why;

	(void)state;
	add(&e, 1, 2, 5, "a", "m"); /* up to "m", which is not in it */
	add(&e, 1, 2, 6, "l", "n");
	assert_int_equal(lsm_state_apply(&s, &e, 0, NULL), 0);
	assert_int_equal(lsm_state_version(&s, NULL, &v, &why), -EINVAL);
	assert_non_null(strstr(why.text, "overlap"));
	lsm_edit_free(&e);
	lsm_state_free(&s);
	add(&e, 1, 2, 5, "a", "m");
	add(&e, 2, 3, 5, "a", "m");
	assert_int_equal(lsm_state_apply(&s, &e, 0, NULL), 0);
	assert_int_equal(lsm_state_version(&s, NULL, &v, &why), -EINVAL);
	assert_non_null(strstr(why.text, "number"));
	lsm_edit_free(&e);
	lsm_state_free(&s);
}

static void test_table_of_a_missing_blob_file_is_refused(void **state)
{
	struct lsm_state s = { 0 };
	struct lsm_edit e = { 0 };
	struct lsm_version *v;
	struct kv_msg why;

	(void)state;
	fill(&e);
	e.removes = e.moves = e.blobs = 0;
	assert_int_equal(lsm_state_apply(&s, &e, 6, NULL), 0);
	assert_int_equal(lsm_state_version(&s, NULL, &v, &why), -EINVAL);
	assert_non_null(strstr(why.text, "blob file 9"));
	lsm_edit_free(&e);
	lsm_state_free(&s);
}

/* ---- finding in a run ---- */

static size_t overlap(const struct lsm_run *r, const char *begin, const char *end,
		      size_t *first)
{
	return lsm_run_overlap(r, kv_str(begin), end ? kv_str(end) : kv_slice(NULL, 0),
			       first);
}

static void test_tables_of_a_run_are_found_by_key_and_range(void **state)
{
	struct lsm_state s = { 0 };
	struct lsm_edit e = { 0 };
	struct lsm_version *v;
	const struct lsm_run *r;
	size_t first;

	(void)state;
	add(&e, 1, 2, 5, "b", "d"); /* without "d" */
	add(&e, 1, 2, 6, "d", "f");
	add(&e, 1, 2, 7, "m", "p");
	e.add[1].summary.largest_excluded = false;
	e.add[2].summary.largest_open = true;
	apply(&s, &e, 0);
	v = version_of(&s);
	r = &v->level[1].run[0];
	assert_null(lsm_run_find(r, kv_str("a")));
	assert_int_equal(lsm_run_find(r, kv_str("b"))->number, 5);
	assert_int_equal(lsm_run_find(r, kv_str("d"))->number, 6);
	assert_int_equal(lsm_run_find(r, kv_str("f"))->number, 6);
	assert_null(lsm_run_find(r, kv_str("g")));
	assert_int_equal(lsm_run_find(r, kv_str("zzz"))->number, 7);
	assert_int_equal(overlap(r, "", NULL, &first), 3);
	assert_int_equal(first, 0);
	assert_int_equal(overlap(r, "d", "m", &first), 1);
	assert_int_equal(first, 1);
	assert_int_equal(overlap(r, "g", "m", &first), 0);
	assert_int_equal(overlap(r, "c", "e", &first), 2);
	assert_int_equal(overlap(r, "zz", NULL, &first), 1);
	assert_int_equal(first, 2);
	lsm_version_unref(v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_edit_is_these_bytes),
		LEAK_CHECKED(test_edit_decodes_to_what_was_encoded),
		LEAK_CHECKED(test_edit_that_was_cut_is_none),
		LEAK_CHECKED(test_changed_edit_is_refused_or_sound),
		LEAK_CHECKED(test_edit_of_a_newer_program_is_refused_as_such),
		LEAK_CHECKED(test_edit_without_memory_leaks_nothing),
		LEAK_CHECKED(test_whole_version_is_the_sum_of_its_edits),
		LEAK_CHECKED(test_what_comes_to_runs_that_are_merged_takes_progress_back),
		LEAK_CHECKED(test_tables_of_a_run_that_overlap_are_refused),
		LEAK_CHECKED(test_table_of_a_missing_blob_file_is_refused),
		LEAK_CHECKED(test_tables_of_a_run_are_found_by_key_and_range),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
