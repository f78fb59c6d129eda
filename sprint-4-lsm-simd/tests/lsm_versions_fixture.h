/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_versions_fixture.h - what tests of versions on a simulated disk share.
 *
 * A store of these tests is a list of tables with one key each. What a commit leads to is kept
 * as a set of file numbers, a bit each, and compared with what a version has.
 */
#ifndef LSM_VERSIONS_FIXTURE_H
#define LSM_VERSIONS_FIXTURE_H

#include "../../sprint-2-hash-storage/tests/env_sim.h"
#include "../lsm_version_internal.h"
#include "../neon_lsm_ops.h"

#include "../../sprint-1-core-memory/tests/leak_check.h"

enum { KEY_BYTES = 3000 };

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

static inline void note_installed(void *arg, struct lsm_version *v)
{
	struct fixture *f = arg;

	assert_true(v->references > 0);
	f->installed++;
}

static inline struct lsm_versions_config config_of(struct fixture *f)
{
	return (struct lsm_versions_config){ .env = f->env,
					     .dir = DIR,
					     .store_id = STORE_ID,
					     .cache = f->cache,
					     .installed = note_installed,
					     .arg = f };
}

static inline void use_disk(struct fixture *f, struct env_sim *sim)
{
	const struct lsm_cache_config c = { .bytes = 256 << 10, .shards = 1 };

	memset(f, 0, sizeof(*f));
	f->sim = sim;
	f->env = env_sim_env(sim);
	assert_int_equal(lsm_cache_new(&c, &f->cache), 0);
}

static inline int try_create(struct fixture *f)
{
	const struct lsm_versions_config c = config_of(f);

	return lsm_versions_create(&c, &f->vs, &f->why);
}

static inline int try_open(struct fixture *f)
{
	const struct lsm_versions_config c = config_of(f);

	return lsm_versions_open(&c, &f->vs, &f->why);
}

static inline void begin_on(struct fixture *f, struct env_sim *sim)
{
	use_disk(f, sim);
	assert_int_equal(f->env->ops->mkdir(f->env, DIR), 0);
	assert_int_equal(f->env->ops->sync_dir(f->env, "/"), 0);
}

static inline void begin(struct fixture *f)
{
	begin_on(f, env_sim_new(NULL));
	assert_int_equal(try_create(f), 0);
}

static inline int close_store(struct fixture *f)
{
	int error = lsm_versions_close(f->vs);

	f->vs = NULL;
	return error;
}

static inline void open_store(struct fixture *f)
{
	int error = try_open(f);

	if (error)
		fail_msg("%d: %s", error, f->why.text);
}

/* The simulator's disk is left. */
static inline void leave(struct fixture *f)
{
	if (f->vs)
		(void)close_store(f);
	lsm_cache_free(f->cache);
	f->cache = NULL;
}

static inline void end(struct fixture *f)
{
	leave(f);
	env_sim_free(f->sim);
}

/* ---- files ---- */

static inline struct kv_slice key_of(uint64_t i, uint8_t out[KEY_BYTES])
{
	memset(out, 'k', KEY_BYTES);
	out[0] = (uint8_t)(i >> 8);
	out[1] = (uint8_t)i;
	return kv_slice(out, KEY_BYTES);
}

/* A table with one key; blob: its value stands in that blob file, at ref. */
static inline int make_table(struct fixture *f, uint64_t number,
			     const struct lsm_blob_ref *ref, struct sst_summary *out)
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

static inline int make_blob(struct fixture *f, uint64_t number, uint64_t table,
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

static inline void remove_file(struct fixture *f, uint64_t number,
			       enum lsm_file_type type)
{
	char path[ENV_PATH_MAX];

	assert_int_equal(lsm_file_name(path, DIR, number, type), 0);
	(void)f->env->ops->unlink(f->env, path);
}

static inline bool file_exists(struct fixture *f, uint64_t number,
			       enum lsm_file_type type)
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

static inline uint64_t files_of(const struct lsm_version *v)
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

static inline uint64_t current_files(struct fixture *f)
{
	struct lsm_version *v = lsm_versions_current(f->vs);
	uint64_t set = files_of(v);

	lsm_version_unref(v);
	return set;
}

/* A new table in a new run of level 0, with its value in a blob file of its own, and the tables
 * of remove gone. After an error, as the caller is asked to: the files go, unless latched. */
static inline int commit(struct fixture *f, bool with_blob, uint64_t remove,
			 uint64_t *files)
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

#endif /* LSM_VERSIONS_FIXTURE_H */
