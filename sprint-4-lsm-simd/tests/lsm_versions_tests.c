/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_versions_tests.c - versions on a simulated disk: what is committed is there when the store
 * is opened again, whatever fails and wherever it crashes; files live as long as they are used.
 *
 * A store of these tests is a list of tables with one key each. What a commit leads to is kept
 * as a set of file numbers, a bit each, and compared with what a version has.
 */
#include "../../sprint-2-hash-storage/tests/env_sim.h"
#include "../lsm_version_internal.h"
#include "../neon_lsm_ops.h"

#include "../../sprint-1-core-memory/tests/leak_check.h"

enum { KEY_BYTES = 3000, STEPS = 14 };

#define STORE_ID 0x1122334455667788ull
#define DIR      "store"

struct fixture {
	struct env_sim *sim;
	struct env *env;
	struct lsm_cache *cache;
	struct lsm_versions *vs;
	uint64_t files; /* of the current version, a bit each */
	unsigned int installed;
	struct kv_msg why;
};

/* ---- a store ---- */

static void note_installed(void *arg, struct lsm_version *v)
{
	struct fixture *f = arg;

	assert_true(v->references > 0);
	f->installed++;
}

static struct lsm_versions_config config_of(struct fixture *f)
{
	return (struct lsm_versions_config){ .env = f->env,
					     .dir = DIR,
					     .store_id = STORE_ID,
					     .cache = f->cache,
					     .installed = note_installed,
					     .arg = f };
}

static void use_disk(struct fixture *f, struct env_sim *sim)
{
	const struct lsm_cache_config c = { .bytes = 256 << 10, .shards = 1 };

	memset(f, 0, sizeof(*f));
	f->sim = sim;
	f->env = env_sim_env(sim);
	assert_int_equal(lsm_cache_new(&c, &f->cache), 0);
}

static int try_create(struct fixture *f)
{
	const struct lsm_versions_config c = config_of(f);

	return lsm_versions_create(&c, &f->vs, &f->why);
}

static int try_open(struct fixture *f)
{
	const struct lsm_versions_config c = config_of(f);

	return lsm_versions_open(&c, &f->vs, &f->why);
}

static void begin_on(struct fixture *f, struct env_sim *sim)
{
	use_disk(f, sim);
	assert_int_equal(f->env->ops->mkdir(f->env, DIR), 0);
	assert_int_equal(f->env->ops->sync_dir(f->env, "/"), 0);
}

static void begin(struct fixture *f)
{
	begin_on(f, env_sim_new(NULL));
	assert_int_equal(try_create(f), 0);
}

static int close_store(struct fixture *f)
{
	int error = lsm_versions_close(f->vs);

	f->vs = NULL;
	return error;
}

static void open_store(struct fixture *f)
{
	int error = try_open(f);

	if (error)
		fail_msg("%d: %s", error, f->why.text);
}

/* The simulator's disk is left. */
static void leave(struct fixture *f)
{
	if (f->vs)
		(void)close_store(f);
	lsm_cache_free(f->cache);
	f->cache = NULL;
}

static void end(struct fixture *f)
{
	leave(f);
	env_sim_free(f->sim);
}

/* ---- files ---- */

static struct kv_slice key_of(uint64_t i, uint8_t out[KEY_BYTES])
{
	memset(out, 'k', KEY_BYTES);
	out[0] = (uint8_t)(i >> 8);
	out[1] = (uint8_t)i;
	return kv_slice(out, KEY_BYTES);
}

/* A table with one key; blob: its value stands in that blob file, at ref. */
static int make_table(struct fixture *f, uint64_t number, const struct lsm_blob_ref *ref,
		      struct sst_summary *out)
{
	uint8_t bytes[KEY_BYTES], value[LSM_BLOB_REF_BYTES] = { 0 };
	struct kv_slice key = key_of(number, bytes);
	char path[ENV_PATH_MAX];
	struct sst_builder_config c = { .env = f->env,
					.path = path,
					.file = number,
					.store_id = STORE_ID,
					.shape = { .block_bytes = 4096,
						   .partition_bytes = 4096,
						   .restart_interval = 16,
						   .filter_bits = 10 } };
	struct sst_builder *b;
	int error;

	assert_int_equal(lsm_file_name(path, DIR, number, LSM_FILE_TABLE), 0);
	error = sst_builder_new(&c, &b, &f->why);
	if (error)
		return error;
	if (ref)
		lsm_blob_ref_put(value, ref);
	error = sst_builder_add(b, key, lsm_key_hash(key),
				lsm_stamp(number, ref ? LSM_BLOB : LSM_PUT),
				kv_slice(value, sizeof(value)), &f->why);
	if (error) {
		sst_builder_abandon(b);
		return error;
	}
	return sst_builder_finish(b, out, &f->why);
}

static int make_blob(struct fixture *f, uint64_t number, uint64_t table,
		     struct lsm_blob_ref *ref, struct lsm_blob_summary *out)
{
	char path[ENV_PATH_MAX];
	uint8_t bytes[KEY_BYTES];
	struct lsm_blob_builder_config c = {
		.env = f->env, .path = path, .file = number, .store_id = STORE_ID
	};
	struct lsm_blob_builder *b;
	int error;

	assert_int_equal(lsm_file_name(path, DIR, number, LSM_FILE_BLOB), 0);
	error = lsm_blob_builder_new(&c, &b, &f->why);
	if (error)
		return error;
	error = lsm_blob_builder_add(b, key_of(table, bytes), kv_str("a large value"),
				     ref, &f->why);
	if (error) {
		lsm_blob_builder_abandon(b);
		return error;
	}
	return lsm_blob_builder_finish(b, out, &f->why);
}

static void remove_file(struct fixture *f, uint64_t number, enum lsm_file_type type)
{
	char path[ENV_PATH_MAX];

	assert_int_equal(lsm_file_name(path, DIR, number, type), 0);
	(void)f->env->ops->unlink(f->env, path);
}

static bool file_exists(struct fixture *f, uint64_t number, enum lsm_file_type type)
{
	char path[ENV_PATH_MAX];
	struct file *file;

	assert_int_equal(lsm_file_name(path, DIR, number, type), 0);
	if (env_open(f->env, path, ENV_READ, &file))
		return false;
	file_close(file);
	return true;
}

/* ---- commits ---- */

static uint64_t files_of(const struct lsm_version *v)
{
	uint64_t set = 0;
	unsigned int level;
	size_t r, t;

	for (level = 0; level < LSM_LEVELS; level++)
		for (r = 0; r < v->level[level].runs; r++)
			for (t = 0; t < v->level[level].run[r].tables; t++)
				set |= 1ull << v->level[level].run[r].table[t]->number;
	for (t = 0; t < v->blobs; t++)
		set |= 1ull << v->blob[t].file->number;
	return set;
}

static uint64_t current_files(struct fixture *f)
{
	struct lsm_version *v = lsm_versions_current(f->vs);
	uint64_t set = files_of(v);

	lsm_version_unref(v);
	return set;
}

/* A new table in a new run of level 0, with its value in a blob file of its own, and the tables
 * of remove gone. After an error, as the caller is asked to: the files go, unless latched. */
static int commit(struct fixture *f, bool with_blob, uint64_t remove, uint64_t *files)
{
	uint64_t number = lsm_versions_number(f->vs);
	uint64_t blob = with_blob ? lsm_versions_number(f->vs) : 0;
	struct lsm_blob_summary blob_summary;
	struct sst_summary summary = { 0 };
	struct lsm_edit e = { 0 };
	struct lsm_blob_ref ref;
	unsigned int i;
	int error = blob ? make_blob(f, blob, number, &ref, &blob_summary) : 0;

	if (!error)
		error = make_table(f, number, blob ? &ref : NULL, &summary);
	if (!error)
		error = lsm_edit_add(&e, 0, 0, number, &summary);
	if (!error && blob)
		error = lsm_edit_blob(&e, blob, &blob_summary);
	for (i = 0; !error && i < 64; i++)
		if (remove & 1ull << i)
			error = lsm_edit_remove(&e, i);
	e.log_position = number * 8;
	if (!error)
		error = lsm_versions_commit(f->vs, &e, &f->why);
	if (error && !lsm_versions_latched(f->vs)) {
		remove_file(f, number, LSM_FILE_TABLE);
		if (blob)
			remove_file(f, blob, LSM_FILE_BLOB);
	}
	*files = 1ull << number | (blob ? 1ull << blob : 0);
	sst_summary_free(&summary);
	lsm_edit_free(&e);
	return error;
}

/* ---- tests ---- */

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

/* ---- histories ---- */

struct history {
	uint64_t files[STEPS + 1];  /* after so many commits */
	size_t acked[STEPS + 1];    /* the position from which a crash must keep it */
	unsigned int done, created; /* commits that were acknowledged */
	uint64_t attempted;         /* of a commit that failed: what it led to */
	bool latched;
};

/* Each third commit takes all but the last table away. Ends with the first that fails. */
static int run_history(struct fixture *f, struct history *h)
{
	uint64_t files, last = 0, remove, tables;
	unsigned int i;
	int error = try_create(f);

	if (error) {
		f->vs = NULL;
		return error;
	}
	h->acked[0] = env_sim_position(f->sim);
	h->created = 1;
	for (i = 0; !error && i < STEPS; i++) {
		tables = h->files[i];
		remove = 0;
		if (i % 3 == 2)
			remove = last;
		error = commit(f, false, remove, &files);
		h->attempted = (tables & ~remove) | files;
		if (error)
			break;
		last = files;
		h->files[i + 1] = h->attempted;
		h->acked[i + 1] = env_sim_position(f->sim);
		h->done = i + 1;
		(void)lsm_versions_purge(f->vs);
		if (i == 6) {
			error = close_store(f);
			if (!error)
				error = try_open(f);
			if (error)
				f->vs = NULL;
		}
	}
	h->latched = f->vs && lsm_versions_latched(f->vs);
	return error;
}

/* What is there is one of the states from the last acknowledged on. */
static bool is_allowed(const struct history *h, uint64_t files, unsigned int least)
{
	unsigned int i;

	for (i = least; i <= h->done; i++)
		if (files == h->files[i])
			return true;
	return files == h->attempted;
}

static int check_disk(void *arg, struct env_sim *disk, size_t at)
{
	struct history *h = arg;
	unsigned int i, least = 0;
	uint64_t files, more;
	struct fixture f;
	int error;

	if (!h->created || at < h->acked[0])
		return 0; /* it was never said to be there */
	for (i = 0; i <= h->done; i++)
		if (h->acked[i] <= at)
			least = i;
	use_disk(&f, disk);
	error = try_open(&f);
	if (error) {
		print_error("at %zu: %d: %s\n", at, error, f.why.text);
		f.vs = NULL;
		leave(&f);
		return error;
	}
	files = current_files(&f);
	error = is_allowed(h, files, least) ? 0 : -EBADMSG;
	if (!error)
		error = commit(&f, false, 0, &more);
	if (!error)
		error = close_store(&f);
	if (!error)
		error = try_open(&f);
	if (!error && current_files(&f) != (files | more))
		error = -EBADMSG;
	leave(&f);
	return error;
}

static void test_crash_anywhere_keeps_what_was_acknowledged(void **state)
{
	struct env_sim_explore e = { .samples = 4,
				     .exhaustive = 16,
				     .check = check_disk };
	struct history h = { 0 };
	struct fixture f;

	(void)state;
	if (getenv("KV_TORTURE"))
		e.samples = e.exhaustive = 512;
	begin_on(&f, env_sim_new(NULL));
	assert_int_equal(run_history(&f, &h), 0);
	assert_int_equal(h.done, STEPS);
	assert_int_equal(close_store(&f), 0);
	leave(&f);
	e.arg = &h;
	if (env_sim_explore(f.sim, &e))
		fail_msg("%s", e.failed);
	print_message("%llu disks\n", (unsigned long long)e.states);
	env_sim_free(f.sim);
}

struct fault_kind {
	unsigned int calls;
	int error;
	enum env_sim_effect effect;
};

static const struct fault_kind kinds[] = {
	{ 1u << SIM_READ, -EIO, SIM_FAIL },
	{ 1u << SIM_WRITE, -EIO, SIM_FAIL },
	{ 1u << SIM_WRITE, -ENOSPC, SIM_SHORT },
	{ 1u << SIM_SYNC, -EIO, SIM_FAIL },
	{ 1u << SIM_SYNC, -EIO, SIM_DROP },
	{ 1u << SIM_SYNC_DIR, -EIO, SIM_FAIL },
	{ 1u << SIM_OPEN, -EMFILE, SIM_FAIL },
	{ 1u << SIM_ALLOCATE, -ENOSPC, SIM_FAIL },
	{ 1u << SIM_MAP, -ENOMEM, SIM_FAIL },
	{ 1u << SIM_UNLINK, -EIO, SIM_FAIL },
	{ 1u << SIM_RENAME, -EIO, SIM_FAIL },
	{ 1u << SIM_LIST, -EMFILE, SIM_FAIL },
	{ 1u << SIM_SPAWN, -EAGAIN, SIM_FAIL },
	{ 1u << SIM_SIZE, -EIO, SIM_FAIL },
	{ 1u << SIM_MKDIR, -ENOSPC, SIM_FAIL },
};

/* The history with the nth call failing; false: it never came. */
static bool run_with_fault(const struct fault_kind *kind, uint64_t nth, uint64_t memory)
{
	struct env_sim_fault fault = { .calls = kind->calls,
				       .nth = nth,
				       .error = kind->error,
				       .effect = kind->effect };
	struct history h = { 0 };
	struct fixture f;
	bool fired;
	int error;

	begin_on(&f, env_sim_new(&(struct env_sim_config){ .no_journal = kind->effect !=
									 SIM_DROP }));
	if (memory)
		port_fault_set(memory, true);
	else
		env_sim_fault(f.sim, &fault);
	(void)run_history(&f, &h);
	if (f.vs)
		(void)close_store(&f);
	f.vs = NULL;
	fired = memory ? port_fault_fired() : env_sim_fault_fired(f.sim);
	port_fault_set(0, false);
	env_sim_fault(f.sim, NULL);
	if (h.created) {
		error = try_open(&f);
		if (error)
			fail_msg("calls %x, %llu: %d: %s", kind->calls,
				 (unsigned long long)(nth + memory), error, f.why.text);
		if (!is_allowed(&h, current_files(&f), h.done))
			fail_msg("calls %x, %llu: a commit was lost", kind->calls,
				 (unsigned long long)(nth + memory));
	}
	end(&f);
	return fired;
}

static void test_any_call_that_fails_loses_nothing(void **state)
{
	uint64_t nth, step = getenv("KV_TORTURE") ? 1 : 3;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		for (nth = 1; run_with_fault(&kinds[i], nth, 0); nth += step)
			;
}

static void test_any_allocation_that_fails_loses_nothing(void **state)
{
	uint64_t nth, step = getenv("KV_TORTURE") ? 1 : 5;

	(void)state;
	for (nth = 1; run_with_fault(&kinds[0], 1ull << 40, nth); nth += step)
		;
}

/* ---- damage ---- */

static void test_any_flipped_byte_of_the_manifest_is_seen(void **state)
{
	uint64_t first, second, offset;
	unsigned int refused = 0, same = 0;
	struct fixture f, g;
	int error;

	(void)state;
	begin(&f);
	assert_int_equal(commit(&f, false, 0, &first), 0);
	assert_int_equal(commit(&f, false, 0, &second), 0);
	assert_int_equal(close_store(&f), 0);
	for (offset = 0;; offset += getenv("KV_TORTURE") ? 1 : 7) {
		use_disk(&g, env_sim_copy(f.sim, false));
		if (env_sim_flip(g.sim, DIR "/manifest/000000000000.log", offset, 0x10)) {
			end(&g); /* beyond the end */
			break;
		}
		error = try_open(&g);
		if (error) {
			assert_true(error == -EBADMSG || error == -EPROTONOSUPPORT);
			g.vs = NULL;
			refused++;
		} else {
			assert_int_equal(current_files(&g), first | second);
			same++;
		}
		end(&g);
	}
	assert_true(refused > 100);
	assert_true(same > 0);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_committed_edits_are_there_after_reopening),
		LEAK_CHECKED(test_values_are_found_through_runs_and_blob_files),
		LEAK_CHECKED(test_removed_files_go_when_nobody_reads_them),
		LEAK_CHECKED(test_orphans_go_and_their_numbers_are_not_given_again),
		LEAK_CHECKED(test_manifest_does_not_grow),
		LEAK_CHECKED(test_edit_that_does_not_fit_changes_nothing),
		LEAK_CHECKED(test_failed_sync_latches),
		LEAK_CHECKED(test_missing_table_is_corruption),
		LEAK_CHECKED(test_crash_anywhere_keeps_what_was_acknowledged),
		LEAK_CHECKED(test_any_call_that_fails_loses_nothing),
		LEAK_CHECKED(test_any_allocation_that_fails_loses_nothing),
		LEAK_CHECKED(test_any_flipped_byte_of_the_manifest_is_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
