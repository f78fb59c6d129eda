/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_backup.c - a copy of the store while writes go on.
 *
 * What was written before is flushed; then a version holds everything, its files don't change
 * and stay as long as a view has them. They are copied, a manifest of one edit is made for
 * them, and a log that begins behind all sequences they have. STORE is written last: a backup
 * that was cut short is not taken for a store.
 */
#include "lsm_store.h"

enum { COPY_BYTES = 1 << 20 };

struct copy {
	struct lsm_store *s;
	const char *dir; /* to */
	const struct lsm_version *version;
	struct kv_buf buf;
	uint64_t first; /* segment of the copy's log */
};

static int copy_bytes(struct copy *c, struct file *from, struct file *to)
{
	uint64_t at = 0;
	size_t got;
	int error;

	do {
		error = file_read(from, at, c->buf.data, COPY_BYTES, &got);
		if (!error && got)
			error = file_write(to, at, c->buf.data, got);
		at += got;
	} while (!error && got == COPY_BYTES);
	return error ? error : file_sync(to);
}

static int copy_file(struct copy *c, uint64_t number, enum lsm_file_type type)
{
	struct env *env = c->s->base.env;
	char source[ENV_PATH_MAX], target[ENV_PATH_MAX];
	struct file *from = NULL, *to = NULL;
	int error = lsm_file_name(source, c->s->dir, number, type);

	if (!error)
		error = lsm_file_name(target, c->dir, number, type);
	if (!error)
		error = env_open(env, source, ENV_READ, &from);
	if (!error)
		error = env_open(env, target, ENV_WRITE | ENV_CREATE | ENV_EXCLUSIVE,
				 &to);
	if (!error)
		error = copy_bytes(c, from, to);
	file_close(from);
	file_close(to);
	return error;
}

/* Each run as it is, and its files copied. */
static int copy_tables(struct copy *c, struct lsm_edit *edit)
{
	struct sst_summary summary;
	unsigned int level;
	size_t r, t;
	int error = 0;

	for (level = 0; level < LSM_LEVELS; level++) {
		const struct lsm_level *l = &c->version->level[level];

		for (r = 0; r < l->runs; r++) {
			for (t = 0; !error && t < l->run[r].tables; t++) {
				const struct lsm_table *table = l->run[r].table[t];

				error = copy_file(c, table->number, LSM_FILE_TABLE);
				if (!error)
					error = sst_summary_copy(&summary,
								 &table->summary);
				if (!error)
					error = lsm_edit_add(edit, level, l->run[r].id,
							     table->number, &summary);
			}
		}
	}
	return error;
}

static int copy_blobs(struct copy *c, struct lsm_edit *edit)
{
	size_t i;
	int error = 0;

	for (i = 0; !error && i < c->version->blobs; i++) {
		const struct lsm_blob_file *f = c->version->blob[i].file;

		error = copy_file(c, f->number, LSM_FILE_BLOB);
		if (!error)
			error = lsm_edit_blob(edit, f->number, &f->summary);
	}
	return error;
}

static int make_manifest(struct copy *c, struct lsm_edit *edit)
{
	struct lsm_versions_config config = lsm_versions_config(c->s, c->dir);
	struct lsm_versions *versions;
	int error, closed;

	config.installed = NULL;
	edit->log_position = c->first * c->s->option[LSM_SEGMENT_BYTES];
	error = lsm_versions_create(&config, &versions, NULL);
	if (error)
		return error;
	error = lsm_versions_commit(versions, edit, NULL);
	closed = lsm_versions_close(versions);
	return error ? error : closed;
}

/* Its one record says nothing; that there is a segment says that none is missing. */
static int make_log(struct copy *c)
{
	struct log_config config = lsm_log_config(c->s, c->dir);
	struct log_item item = { .type = LSM_LOG_BEGIN,
				 .sequence = LOG_SEQUENCE_POSITION };
	struct log *log;
	int error, closed;

	config.first = c->first;
	config.spares = config.reserve = 0;
	error = log_create(&config, &log, NULL);
	if (error)
		return error;
	error = log_append(log, &item, 1, 0);
	closed = log_close(log);
	return error ? error : closed;
}

static int copy_store(struct copy *c)
{
	struct env *env = c->s->base.env;
	struct lsm_identity identity = { c->s->id, c->s->option[LSM_SEGMENT_BYTES] };
	struct lsm_edit edit = { 0 };
	int error = kv_buf_reserve(&c->buf, COPY_BYTES);

	if (!error)
		error = copy_tables(c, &edit);
	if (!error)
		error = copy_blobs(c, &edit);
	if (!error)
		error = env->ops->sync_dir(env, c->dir);
	if (!error)
		error = make_manifest(c, &edit);
	if (!error)
		error = make_log(c);
	if (!error)
		error = env->ops->sync_dir(env, c->dir);
	if (!error)
		error = env_sync_parent(env, c->dir);
	if (!error)
		error = lsm_identity_write(env, c->dir, &identity);
	lsm_edit_free(&edit);
	kv_buf_free(&c->buf);
	return error;
}

int lsm_backup(struct kv *kv, const char *dir)
{
	struct lsm_store *s = lsm_store(kv);
	struct copy c = { .s = s, .dir = dir };
	struct lsm_view *view;
	uint64_t sequence;
	int error;

	if (strlen(dir) >= ENV_PATH_MAX - 64)
		return -ENAMETOOLONG;
	error = lsm_background_flush(s);
	if (error)
		return error;
	view = lsm_view_take(s, &sequence);
	c.version = view->version;
	c.first = log_end(s->log) / s->option[LSM_SEGMENT_BYTES] + 1;
	error = s->base.env->ops->mkdir(s->base.env, dir);
	if (!error)
		error = copy_store(&c);
	lsm_view_leave(view);
	return error;
}
