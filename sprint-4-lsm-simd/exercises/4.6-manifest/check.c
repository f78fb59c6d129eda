/* SPDX-License-Identifier: MIT */
/*
 * check.c - grades exercise 4.6: the manifest and recovery, on a simulated disk.
 */
#include "../../../harness/learn/learn.h"
#include "../../../sprint-2-hash-storage/tests/env_sim.h"
#include "../../lsm_version_internal.h"
#include "../../neon_lsm_ops.h"

#define CHAPTER "docs/sprint-4-lsm-simd.md, \"Versions and the manifest\""
#define CRASH   "docs/sprint-4-lsm-simd.md, \"After a crash\""
#define HEADER  "sprint-4-lsm-simd/lsm_version.h"
#define DIR     "store"

enum { STORE = 77, STEPS = 5 };

static struct env_sim *sim;
static struct env *disk;
static struct lsm_versions *vs;
static struct kv_msg why;

/* ---- a store of tables with one key each; a set of files is a bit each ---- */

static struct lsm_versions_config config_on(struct env *env)
{
	return (struct lsm_versions_config){ .env = env, .dir = DIR, .store_id = STORE };
}

static int open_on(struct env *env)
{
	const struct lsm_versions_config c = config_on(env);
	int error;

	why.text[0] = '\0';
	error = lsm_versions_open(&c, &vs, &why);
	if (error)
		vs = NULL;
	return error;
}

static void begin(void)
{
	struct lsm_versions_config c;

	sim = env_sim_new(NULL);
	disk = env_sim_env(sim);
	assert_int_equal(disk->ops->mkdir(disk, DIR), 0);
	assert_int_equal(disk->ops->sync_dir(disk, "/"), 0);
	c = config_on(disk);
	vs = NULL;
	learn_error("lsm_versions_create()", lsm_versions_create(&c, &vs, &why), 0);
}

static void close_store(void)
{
	if (vs)
		(void)lsm_versions_close(vs);
	vs = NULL;
}

static void end(void)
{
	close_store();
	env_sim_free(sim);
}

static int make_table(uint64_t number, struct sst_summary *out)
{
	char path[ENV_PATH_MAX], text[8];
	const struct sst_builder_config c = { .env = disk,
					      .path = path,
					      .file = number,
					      .store_id = STORE,
					      .shape = { .block_bytes = 512,
							 .partition_bytes = 512,
							 .restart_interval = 4 } };
	struct sst_builder *b;
	struct kv_slice key;

	assert_int_equal(lsm_file_name(path, DIR, number, LSM_FILE_TABLE), 0);
	snprintf(text, sizeof(text), "%05u", (unsigned int)number);
	key = kv_str(text);
	assert_int_equal(sst_builder_new(&c, &b, &why), 0);
	assert_int_equal(sst_builder_add(b, key, lsm_key_hash(key), lsm_stamp(1, LSM_PUT),
					 kv_str("value"), &why),
			 0);
	return sst_builder_finish(b, out, &why);
}

/* A new table in a new run of level 0; the tables of remove go. */
static int commit(uint64_t remove, uint64_t *number)
{
	struct sst_summary summary = { 0 };
	struct lsm_edit e = { 0 };
	uint64_t i;
	int error;

	*number = lsm_versions_number(vs);
	assert_int_equal(make_table(*number, &summary), 0);
	assert_int_equal(lsm_edit_add(&e, 0, 0, *number, &summary), 0);
	for (i = 0; i < 64; i++)
		if (remove >> i & 1)
			assert_int_equal(lsm_edit_remove(&e, i), 0);
	why.text[0] = '\0';
	error = lsm_versions_commit(vs, &e, &why);
	lsm_edit_free(&e);
	sst_summary_free(&summary);
	return error;
}

static uint64_t commit_well(uint64_t remove)
{
	uint64_t number = 0;

	learn_error("lsm_versions_commit()", commit(remove, &number), 0);
	return number < 64 ? (uint64_t)1 << number : 0;
}

static uint64_t files(void)
{
	struct lsm_version *v = lsm_versions_current(vs);
	uint64_t set = 0;
	unsigned int level;
	size_t r, t;

	for (level = 0; level < LSM_LEVELS; level++)
		for (r = 0; r < v->level[level].runs; r++)
			for (t = 0; t < v->level[level].run[r].tables; t++)
				set |= (uint64_t)1
				       << (v->level[level].run[r].table[t]->number & 63);
	lsm_version_unref(v);
	return set;
}

static const char *set_text(uint64_t set)
{
	static char text[4][200];
	static unsigned int turn;
	char *at = text[turn++ % 4];
	size_t n = 0;
	unsigned int i;

	at[0] = '\0';
	for (i = 0; i < 64; i++)
		if (set >> i & 1)
			n += (size_t)snprintf(at + n, 200 - n, "%s%u", n ? " " : "", i);
	return n ? at : "none";
}

static void expect_files(const char *when, uint64_t want)
{
	uint64_t came = files();

	learn_expect(came == want,
		     learn_text("%s the store has tables %s", when, set_text(want)), "%s",
		     set_text(came));
}

static void reopen(void)
{
	int error;

	close_store();
	error = open_on(disk);
	learn_expect(!error, "the store opens again", "%d: %.180s", error, why.text);
}

static bool exists_on(struct env *env, const char *path)
{
	struct file *file;

	if (env_open(env, path, ENV_READ, &file))
		return false;
	file_close(file);
	return true;
}

static bool file_exists(const char *path)
{
	return exists_on(disk, path);
}

/* ---- bytes ---- */

static struct kv_buf record;

static void encode_some_edit(void)
{
	struct sst_summary s = { .bytes = 500, .entries = 3, .max_sequence = 9 };
	struct lsm_edit e = { .log_position = 64 };

	assert_int_equal(kv_buf_set(&s.smallest, "a", 1), 0);
	assert_int_equal(kv_buf_set(&s.largest, "zz", 2), 0);
	assert_int_equal(lsm_edit_add(&e, 2, 7, 8, &s), 0);
	assert_int_equal(lsm_edit_remove(&e, 3), 0);
	assert_int_equal(lsm_edit_move(&e, 4, 5, 6), 0);
	assert_int_equal(lsm_manifest_encode_edit(&record, &e, 1, 33, 50), 0);
	lsm_edit_free(&e);
	sst_summary_free(&s);
}

static void test_items_of_an_edit_are_read(void **state)
{
	struct lsm_change c;

	(void)state;
	encode_some_edit();
	learn_error("decoding an edit of three items",
		    lsm_manifest_decode(&c, kv_slice(record.data, record.len), &why), 0);
	learn_number("its serial", c.serial, 33);
	learn_number("tables that it adds", c.edit.adds, 1);
	learn_number("the level of the one that it adds", c.edit.add[0].level, 2);
	learn_number("its number", c.edit.add[0].number, 8);
	learn_bytes("its largest key", c.edit.add[0].summary.largest.data, "zz", 2);
	learn_number("tables that it removes", c.edit.removes, 1);
	learn_number("tables that it moves", c.edit.moves, 1);
	learn_number("the level that it moves one to", c.edit.move[0].level, 5);
	lsm_change_free(&c);
	kv_buf_free(&record);
}

/* In memory of just that size, so that a byte too far is seen by the checkers. */
static int decode_part(size_t n)
{
	struct lsm_change c;
	uint8_t *part = port_alloc(n + !n);
	int error;

	memcpy(part, record.data, n);
	error = lsm_manifest_decode(&c, kv_slice(part, n), NULL);
	if (!error)
		lsm_change_free(&c);
	port_free(part);
	return error;
}

static void test_cut_record_is_refused(void **state)
{
	size_t n;

	(void)state;
	encode_some_edit();
	learn_error("decoding the whole record", decode_part(record.len), 0);
	for (n = LSM_MANIFEST_HEADER_BYTES; n < record.len; n++)
		learn_error(
			learn_text("decoding %zu of a record's %zu bytes", n, record.len),
			decode_part(n), -EBADMSG);
	assert_int_equal(kv_buf_append(&record, "\0\0\0\0\0\0\0\0", 8), 0);
	learn_error("decoding a record with 8 bytes behind its items",
		    decode_part(record.len), -EBADMSG);
	kv_buf_free(&record);
}

static void test_impossible_items_are_refused(void **state)
{
	static const uint32_t length[] = { 0xffffffffu, 0xfffffff8u, 0xfffffff9u,
					   0x7fffffffu, 400 };
	uint8_t *item;
	size_t i;

	(void)state;
	encode_some_edit();
	learn_error("decoding the whole record", decode_part(record.len), 0);
	item = (uint8_t *)record.data + LSM_MANIFEST_HEADER_BYTES;
	for (i = 0; i < sizeof(length) / sizeof(*length); i++) {
		port_put_le32(item + 4, length[i]);
		learn_error(learn_text("decoding an item of %u bytes in a record of %zu",
				       length[i], record.len),
			    decode_part(record.len), -EBADMSG);
	}
	encode_some_edit();
	item = (uint8_t *)record.data + LSM_MANIFEST_HEADER_BYTES;
	item[1] = LSM_LEVELS;
	learn_error("decoding an item of level 8, one more than there are,",
		    decode_part(record.len), -EBADMSG);
	kv_buf_free(&record);
}

/* ---- commits ---- */

static void test_store_opens_as_it_was(void **state)
{
	uint64_t a, b, c;

	(void)state;
	begin();
	a = commit_well(0);
	b = commit_well(0);
	expect_files("after two commits", a | b);
	c = commit_well(a);
	expect_files("after one that adds a table and removes another", b | c);
	reopen();
	expect_files("opened again,", b | c);
	a = commit_well(0);
	reopen();
	reopen();
	expect_files("after another commit, opened twice,", a | b | c);
	end();
}

static void test_edit_that_fails_changes_nothing(void **state)
{
	struct lsm_edit e = { 0 };
	uint64_t a, b;

	(void)state;
	begin();
	a = commit_well(0);
	assert_int_equal(lsm_edit_remove(&e, 60), 0);
	learn_error("a commit that removes a table that there is not",
		    lsm_versions_commit(vs, &e, &why), -EINVAL);
	lsm_edit_free(&e);
	expect_files("after a commit that failed", a);
	b = commit_well(0);
	reopen();
	expect_files("opened again,", a | b);
	end();
}

static void expect_on_crashed(struct env_sim *crashed, uint64_t want)
{
	struct lsm_versions *mine = vs;
	int error = open_on(env_sim_env(crashed));

	learn_expect(!error, "the store opens after a power failure", "%d: %.180s", error,
		     why.text);
	expect_files("after a power failure behind the commit", want);
	close_store();
	env_sim_free(crashed);
	vs = mine;
}

static void test_commit_survives_a_power_failure(void **state)
{
	struct env_sim_point now = { .loss = SIM_LOSE_ALL };
	uint64_t all = 0;
	size_t i;

	(void)state;
	begin();
	for (i = 0; i < STEPS; i++) {
		struct env_sim *crashed;

		all |= commit_well(0);
		now.at = env_sim_position(sim);
		crashed = env_sim_crash(sim, &now, false);
		assert_non_null(crashed);
		expect_on_crashed(crashed, all);
	}
	end();
}

struct history { /* files that the store may have after a crash at or behind at[i] */
	size_t at[STEPS + 1];
	uint64_t files[STEPS + 1];
};

static int check_crashed(void *arg, struct env_sim *crashed, size_t at)
{
	const struct history *h = arg;
	struct lsm_versions *mine = vs;
	uint64_t came;
	size_t i = 0;
	int error = open_on(env_sim_env(crashed));

	learn_expect(!error, "the store opens after a crash at any moment",
		     "after %.90s: %d: %.120s", env_sim_origin(crashed), error, why.text);
	came = files();
	close_store();
	vs = mine;
	while (i < STEPS && h->at[i + 1] <= at)
		i++;
	learn_expect(
		came == h->files[i] || (i < STEPS && came == h->files[i + 1]),
		learn_text("after a crash in commit %zu the tables before it, %s, or "
			   "after it, %s",
			   i + 1, set_text(h->files[i]),
			   set_text(h->files[i < STEPS ? i + 1 : i])),
		"%s", set_text(came));
	return 0;
}

static void test_crash_at_any_moment_leaves_old_or_new(void **state)
{
	struct history h = { .files = { 0 } };
	struct env_sim_explore explore = {
		.samples = 3, .exhaustive = 8, .check = check_crashed, .arg = &h
	};
	uint64_t last = 0;
	size_t i;

	(void)state;
	begin();
	explore.from = h.at[0] = env_sim_position(sim);
	for (i = 1; i <= STEPS; i++) {
		uint64_t gone = i % 2 ? 0 : last;

		last = commit_well(gone);
		h.files[i] = (h.files[i - 1] & ~gone) | last;
		h.at[i] = env_sim_position(sim);
	}
	learn_expect(!env_sim_explore(sim, &explore), "every disk opens", "%.200s",
		     explore.failed);
	end();
}

static void test_failed_sync_latches(void **state)
{
	const struct env_sim_fault fault = { .calls = 1u << SIM_SYNC,
					     .nth = 1,
					     .path = "manifest" };
	uint64_t a, number;

	(void)state;
	begin();
	a = commit_well(0);
	env_sim_fault(sim, &fault);
	learn_expect(commit(0, &number) != 0,
		     "a commit whose record can't be synced returns an error", "0");
	env_sim_fault(sim, NULL);
	learn_number("lsm_versions_latched() then", lsm_versions_latched(vs), true);
	expect_files("after the commit that failed", a);
	learn_error("the next commit", commit(0, &number), -EROFS);
	end();
}

static void test_failed_sync_of_names_is_told(void **state)
{
	const struct env_sim_fault fault = { .calls = 1u << SIM_SYNC_DIR, .nth = 1 };
	uint64_t a, b, number;

	(void)state;
	begin();
	a = commit_well(0);
	env_sim_fault(sim, &fault);
	learn_error("a commit when the names of its files can't be synced",
		    commit(0, &number), -EIO);
	env_sim_fault(sim, NULL);
	expect_files("after the commit that failed", a);
	b = commit_well(0);
	reopen();
	expect_files("opened again,", a | b);
	end();
}

/* ---- recovery ---- */

static void append(const struct kv_buf *b)
{
	struct kv_slice part = kv_slice(b->data, b->len);
	struct log_item item = { .type = LSM_MANIFEST_TYPE,
				 .sequence = LOG_SEQUENCE_POSITION,
				 .part = &part,
				 .parts = 1 };

	assert_int_equal(log_append(vs->log, &item, 1, LOG_URGENT), 0);
	assert_int_equal(log_sync(vs->log, item.position), 0);
}

static void test_missing_record_is_noticed(void **state)
{
	const struct lsm_edit nothing = { 0 };

	(void)state;
	begin();
	commit_well(0);
	assert_int_equal(
		lsm_manifest_encode_edit(&record, &nothing, 1, vs->serial + 2, vs->next),
		0);
	append(&record);
	kv_buf_free(&record);
	close_store();
	learn_error("opening a store whose manifest lacks a record in the middle",
		    open_on(disk), -EBADMSG);
	end();
}

static void test_whole_version_replaces_what_was_before(void **state)
{
	struct lsm_version *v;
	uint64_t a, b;

	(void)state;
	begin();
	a = commit_well(0);
	b = commit_well(0);
	v = lsm_versions_current(vs);
	assert_int_equal(
		lsm_manifest_encode_version(&record, v, vs->serial + 1, vs->next), 0);
	lsm_version_unref(v);
	append(&record);
	kv_buf_free(&record);
	reopen();
	expect_files("from a manifest with edits and then a whole version", a | b);
	end();
}

static void test_numbers_are_never_given_twice(void **state)
{
	struct lsm_edit e = { 0 };
	uint64_t number = 0, again;
	unsigned int i;

	(void)state;
	begin();
	commit_well(0);
	for (i = 0; i < 20; i++)
		number = lsm_versions_number(vs);
	assert_int_equal(lsm_edit_remove(&e, 1), 0);
	learn_error("a commit that removes the only table",
		    lsm_versions_commit(vs, &e, &why), 0);
	lsm_edit_free(&e);
	reopen();
	again = lsm_versions_number(vs);
	learn_expect(again > number,
		     "after opening, numbers go on behind those that were given",
		     "number %llu is given, and %llu was before",
		     (unsigned long long)again, (unsigned long long)number);
	end();
}

static void make_file(const char *path)
{
	struct file *file;

	assert_int_equal(env_open(disk, path, ENV_READ | ENV_WRITE | ENV_CREATE, &file),
			 0);
	assert_int_equal(file_write(file, 0, "left", 4), 0);
	file_close(file);
}

static void test_orphans_go(void **state)
{
	uint64_t a;

	(void)state;
	begin();
	a = commit_well(0);
	close_store();
	make_file(DIR "/000000000028.sst");
	make_file(DIR "/000000000030.blob");
	make_file(DIR "/notes.txt");
	learn_error("opening with files that a crash left", open_on(disk), 0);
	expect_files("opened,", a);
	learn_number("whether 000000000028.sst, of no version, is still there",
		     file_exists(DIR "/000000000028.sst"), false);
	learn_number("whether 000000000030.blob, of no version, is still there",
		     file_exists(DIR "/000000000030.blob"), false);
	learn_number("whether notes.txt, no file of a store, is still there",
		     file_exists(DIR "/notes.txt"), true);
	learn_expect(lsm_versions_number(vs) > 0x30,
		     "the next number is behind that of the orphan, 0x30", "it is not");
	end();
}

/* Each sync of the manifest while opening fails once. */
static void test_orphans_stay_until_their_numbers_are_durable(void **state)
{
	struct env_sim_fault fault = { .calls = 1u << SIM_SYNC, .path = "manifest" };
	struct env_sim *copy;
	bool fired = true;

	(void)state;
	begin();
	commit_well(0);
	close_store();
	make_file(DIR "/000000000028.sst");
	for (fault.nth = 1; fired; fault.nth++) {
		copy = env_sim_copy(sim, false);
		env_sim_fault(copy, &fault);
		if (open_on(env_sim_env(copy)))
			learn_expect(
				exists_on(env_sim_env(copy), DIR "/000000000028.sst"),
				"the orphan is still there when its number could not "
				"be made durable",
				"it is gone");
		fired = env_sim_fault_fired(copy);
		env_sim_fault(copy, NULL);
		close_store();
		env_sim_free(copy);
	}
	learn_expect(fault.nth > 2, "opening syncs the manifest", "it does not");
	end();
}

static const struct learn_test tests[] = {
	LEARN_TEST(test_items_of_an_edit_are_read, 1, "docs/FORMATS.md"),
	LEARN_TEST(test_cut_record_is_refused, 2, "docs/FORMATS.md"),
	LEARN_TEST(test_impossible_items_are_refused, 1, "docs/FORMATS.md"),
	LEARN_TEST(test_store_opens_as_it_was, 2, CHAPTER),
	LEARN_TEST(test_edit_that_fails_changes_nothing, 1, HEADER),
	LEARN_TEST(test_commit_survives_a_power_failure, 3, HEADER),
	LEARN_TEST(test_crash_at_any_moment_leaves_old_or_new, 4, CRASH),
	LEARN_TEST(test_failed_sync_latches, 2, HEADER),
	LEARN_TEST(test_failed_sync_of_names_is_told, 1, HEADER),
	LEARN_TEST(test_missing_record_is_noticed, 2, CRASH),
	LEARN_TEST(test_whole_version_replaces_what_was_before, 1, CHAPTER),
	LEARN_TEST(test_numbers_are_never_given_twice, 1, HEADER),
	LEARN_TEST(test_orphans_go, 2, CRASH),
	LEARN_TEST(test_orphans_stay_until_their_numbers_are_durable, 2, CRASH),
};

LEARN_MAIN_NO_SPEED(tests)
