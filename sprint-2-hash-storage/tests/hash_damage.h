/* SPDX-License-Identifier: MIT */
/*
 * hash_damage.h - for tests of what reads the files of a damaged hash store: stores that
 * were closed in good order, a catalogue of every record in them, and what of them must be
 * left when bytes have changed.
 *
 * A record is left when none of the bytes that its checksum covers has changed; one of a
 * batch, when none of the batch's has. Of each key the newest that is left counts.
 */
#ifndef HASH_DAMAGE_H
#define HASH_DAMAGE_H

#include "../hash_files.h"
#include "hash_store_fixture.h"

enum { DAMAGE_KEYS = 40, DAMAGE_VALUE = 24, DAMAGE_UNITS = 512 };

#define DAMAGE_OPTIONS "segment_bytes=64k,leaf=16,group_ms=1"

struct damage_record {
	size_t unit;
	unsigned int key, version; /* version 0: a delete */
	uint64_t sequence, position;
};

struct damage_unit { /* what one checksum covers */
	uint64_t named;
	uint64_t offset, bytes;
};

struct damage_store {
	struct env_sim *disk; /* closed, undamaged */
	unsigned int writes[DAMAGE_KEYS];
	struct damage_unit unit[DAMAGE_UNITS];
	struct damage_record record[DAMAGE_UNITS];
	size_t units, records;
};

/* ---- making ---- */

static inline struct kv *damage_open(struct env_sim *sim, const char *dir)
{
	struct kv_msg why = { "" };
	struct kv *kv = NULL;

	if (kv_open(&hash_engine, env_sim_env(sim), dir, DAMAGE_OPTIONS, &kv, &why))
		fail_msg("%s", why.text);
	return kv;
}

static inline void damage_put(struct damage_store *st, struct kv *kv, unsigned int key)
{
	assert_int_equal(fixture_put(kv, key, ++st->writes[key], DAMAGE_VALUE, KV_NONE),
			 0);
}

/* Puts of first, first + 1, ..., and a delete of the last of them. */
static inline void damage_batch(struct damage_store *st, struct kv *kv,
				unsigned int first, unsigned int n)
{
	char k[8][FIXTURE_KEY], v[8][FIXTURE_VALUE];
	struct kv_op op[8];
	unsigned int i;

	for (i = 0; i < n; i++)
		op[i] = (struct kv_op){ i + 1 < n ? KV_PUT : KV_DELETE,
					fixture_key(k[i], first + i),
					fixture_value(v[i], first + i,
						      ++st->writes[first + i],
						      DAMAGE_VALUE) };
	assert_int_equal(kv_write(kv, op, n, KV_NONE), 0);
}

/* Each session ends a small segment: overwritten, deleted, a batch. */
static inline void damage_session(struct damage_store *st, const char *dir,
				  unsigned int session)
{
	struct kv *kv = damage_open(st->disk, dir);
	unsigned int i;

	for (i = session * 4; i < 24; i += session + 1)
		damage_put(st, kv, i);
	damage_batch(st, kv, 20 + session * 3, 5);
	assert_int_equal(fixture_delete(kv, session * 2 + 8, KV_NONE), 0);
	damage_put(st, kv, 35 + session);
	assert_int_equal(kv_close(kv), 0);
}

static inline void damage_make_sessions(struct damage_store *st, const char *dir)
{
	unsigned int session;

	for (session = 0; session < 3; session++)
		damage_session(st, dir, session);
}

/* The same, then the old segments are cleaned: records have moved. */
static inline void damage_make_cleaned(struct damage_store *st, const char *dir)
{
	struct kv *kv;
	unsigned int i;

	damage_make_sessions(st, dir);
	kv = damage_open(st->disk, dir);
	for (i = 0; i < 16; i++)
		damage_put(st, kv, i);
	assert_int_equal(kv_compact(kv), 0);
	damage_batch(st, kv, 30, 4);
	assert_int_equal(kv_compact(kv), 0);
	assert_int_equal(kv_close(kv), 0);
	kv = damage_open(st->disk, dir);
	damage_put(st, kv, 39);
	assert_int_equal(fixture_delete(kv, 3, KV_NONE), 0);
	assert_int_equal(kv_close(kv), 0);
}

/* ---- the catalogue ---- */

static inline int damage_add_record(void *arg, const struct log_record *r)
{
	struct damage_store *st = arg;
	struct damage_record *out = &st->record[st->records];
	struct hash_record h;
	char text[FIXTURE_KEY] = "";

	if ((r->type & HASH_TYPE) == HASH_RETIRE)
		return 0;
	assert_true(st->records < DAMAGE_UNITS);
	assert_int_equal(hash_record_parse(r, &h), 0);
	memcpy(text, h.key.data, h.key.len);
	assert_int_equal(sscanf(text, "key%u", &out->key), 1);
	out->unit = st->units - 1;
	out->sequence = r->sequence;
	out->position = r->position;
	out->version = 0;
	if ((r->type & HASH_TYPE) == HASH_PUT)
		out->version = fixture_version(out->key, DAMAGE_VALUE, h.value.data,
					       h.value.len);
	assert_true(out->version != UINT_MAX);
	st->records++;
	return 0;
}

struct damage_walk {
	struct damage_store *st;
	uint64_t named;
};

static inline int damage_add_piece(void *arg, const struct log_raw_piece *p)
{
	struct damage_walk *w = arg;

	assert_true(p->kind != LOG_RAW_BAD && p->kind != LOG_RAW_TORN);
	if (p->kind != LOG_RAW_RECORD)
		return 0;
	assert_true(w->st->units < DAMAGE_UNITS);
	w->st->unit[w->st->units++] =
		(struct damage_unit){ w->named, p->offset,
				      LOG_HEADER_BYTES + p->record.payload.len };
	return log_raw_each(&p->record, damage_add_record, w->st);
}

static inline void damage_catalogue(struct damage_store *st, const char *dir)
{
	struct env *env = env_sim_env(st->disk);
	struct hash_files f;
	size_t i;

	assert_int_equal(hash_files_open(env, dir, &f, NULL), 0);
	for (i = 0; i < f.files; i++) {
		struct damage_walk w = { st, f.file[i].named };
		struct log_raw raw;

		assert_int_equal(f.file[i].role, HASH_FILE_OURS);
		assert_int_equal(log_raw_load(env, dir, w.named, &raw), 0);
		assert_int_equal(log_raw_walk(&raw, f.id, w.named, f.segment_bytes,
					      damage_add_piece, &w),
				 0);
		log_raw_free(&raw);
	}
	hash_files_close(&f);
}

static inline void damage_make(struct damage_store *st,
			       void (*make)(struct damage_store *st, const char *dir))
{
	memset(st, 0, sizeof(*st));
	st->disk = env_sim_new(&(struct env_sim_config){ .seed = 5, .no_journal = true });
	make(st, "store");
	damage_catalogue(st, "store");
}

static inline void damage_free(struct damage_store *st)
{
	env_sim_free(st->disk);
}

/* ---- what is left ---- */

static inline void damage_read(struct env_sim *disk, const char *name, struct kv_buf *out)
{
	char path[ENV_PATH_MAX];

	out->len = 0;
	assert_int_equal(env_path(path, "store", name), 0);
	(void)env_read_file(env_sim_env(disk), path, 1 << 20, out);
}

/* Which units are as they were. */
static inline void damage_compare(const struct damage_store *st, struct env_sim *disk,
				  bool *good)
{
	struct kv_buf before = { 0 }, after = { 0 };
	uint64_t read = UINT64_MAX;
	char name[32];
	size_t i;

	for (i = 0; i < st->units; i++) {
		const struct damage_unit *u = &st->unit[i];

		if (read != u->named) {
			log_raw_name(name, u->named);
			damage_read(st->disk, name, &before);
			damage_read(disk, name, &after);
			read = u->named;
		}
		good[i] = after.len >= u->offset + u->bytes &&
			  !memcmp((char *)before.data + u->offset,
				  (char *)after.data + u->offset, u->bytes);
	}
	kv_buf_free(&before);
	kv_buf_free(&after);
}

/* The newest version of each key among the good units; 0: none, or a delete. good NULL:
 * among all. */
static inline void damage_newest(const struct damage_store *st, const bool *good,
				 unsigned int *version)
{
	uint64_t sequence[DAMAGE_KEYS] = { 0 };
	size_t i;

	memset(version, 0, DAMAGE_KEYS * sizeof(*version));
	for (i = 0; i < st->records; i++) {
		const struct damage_record *r = &st->record[i];

		if ((good && !good[r->unit]) || r->sequence < sequence[r->key])
			continue;
		sequence[r->key] = r->sequence;
		version[r->key] = r->version;
	}
}

/* ---- files ---- */

struct damage_files {
	char name[32][32];
	uint64_t size[32];
	size_t n;
};

static inline int damage_add_file(void *arg, const char *name)
{
	struct damage_files *f = arg;

	assert_true(f->n < 32 && strlen(name) < sizeof(f->name[0]));
	memcpy(f->name[f->n++], name, strlen(name) + 1);
	return 0;
}

static inline struct file *damage_file(struct env_sim *disk, const char *name)
{
	char path[ENV_PATH_MAX];
	struct file *f;

	assert_int_equal(env_path(path, "store", name), 0);
	assert_int_equal(env_open(env_sim_env(disk), path, ENV_READ | ENV_WRITE, &f), 0);
	return f;
}

static inline void damage_copy_file(struct env *from, const char *from_path,
				    struct env *to, const char *to_path)
{
	struct kv_buf b = { 0 };
	struct file *f;

	assert_int_equal(env_read_file(from, from_path, 1 << 20, &b), 0);
	assert_int_equal(env_open(to, to_path, ENV_WRITE | ENV_CREATE | ENV_TRUNCATE, &f),
			 0);
	assert_int_equal(file_write(f, 0, b.data, b.len), 0);
	assert_int_equal(file_sync(f), 0);
	file_close(f);
	kv_buf_free(&b);
}

static inline void damage_list(struct env_sim *disk, struct damage_files *out)
{
	struct env *env = env_sim_env(disk);
	size_t i;

	out->n = 0;
	assert_int_equal(env->ops->list(env, "store", damage_add_file, out), 0);
	for (i = 0; i < out->n; i++) {
		struct file *f = damage_file(disk, out->name[i]);

		assert_int_equal(f->ops->size(f, &out->size[i]), 0);
		file_close(f);
	}
}

static inline bool damage_is(const char *name, const char *suffix)
{
	return strstr(name, suffix) != NULL;
}

#endif /* HASH_DAMAGE_H */
