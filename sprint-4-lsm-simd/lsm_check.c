/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_check.c - verify: every byte of every file that the store is made of, and that they fit
 * together.
 */
#include "lsm_store.h"

struct check {
	struct lsm_store *s;
	const struct lsm_version *version;
	struct kv_msg *why;
	struct kv_buf value;
};

/* Each reference to a blob leads to a record of its key. */
static int check_blobs_of(struct check *c, const struct lsm_table *t)
{
	struct lsm_blob_ref ref;
	struct lsm_cursor *cursor;
	struct lsm_blob *blob;
	int error = sst_cursor(t->sst, SST_COLD | SST_READAHEAD, &cursor, c->why);

	if (error)
		return error;
	while (!(error = lsm_next(cursor))) {
		if (lsm_kind(cursor->stamp) != LSM_BLOB)
			continue;
		error = lsm_blob_ref_get(cursor->value, &ref);
		blob = error ? NULL : lsm_version_blob(c->version, ref.file);
		if (!blob)
			error = kv_fail(
				c->why, -EBADMSG,
				"%s: table %llu refers to a blob file that is not "
				"there",
				c->s->dir, (unsigned long long)t->number);
		else
			error = lsm_blob_read(blob, &ref, cursor->key, &c->value, c->why);
		if (error)
			break;
	}
	lsm_cursor_close(cursor);
	return error == -ENOENT ? 0 : error;
}

static int check_table(struct check *c, const struct lsm_table *t)
{
	struct sst_summary seen = { 0 };
	int error = sst_verify(t->sst, &seen, c->why);

	if (!error && (seen.entries != t->summary.entries ||
		       seen.min_sequence != t->summary.min_sequence ||
		       seen.max_sequence != t->summary.max_sequence))
		error = kv_fail(
			c->why, -EBADMSG,
			"%s: table %llu has %llu entries, and the manifest says %llu",
			c->s->dir, (unsigned long long)t->number,
			(unsigned long long)seen.entries,
			(unsigned long long)t->summary.entries);
	sst_summary_free(&seen);
	if (!error && t->summary.blobs)
		error = check_blobs_of(c, t);
	return error;
}

static int check_tables(struct check *c)
{
	unsigned int level;
	size_t r, t;
	int error = 0;

	for (level = 0; level < LSM_LEVELS; level++) {
		const struct lsm_level *l = &c->version->level[level];

		for (r = 0; r < l->runs; r++)
			for (t = 0; !error && t < l->run[r].tables; t++)
				error = check_table(c, l->run[r].table[t]);
	}
	return error;
}

static int any_record(void *arg, uint64_t offset, struct kv_slice key,
		      struct kv_slice value)
{
	(void)arg;
	(void)offset;
	(void)key;
	(void)value;
	return 0;
}

static int check_blob_files(struct check *c)
{
	size_t i;
	int error = 0;

	for (i = 0; !error && i < c->version->blobs; i++)
		error = lsm_blob_scan(c->version->blob[i].file->blob, any_record, NULL,
				      c->why);
	return error;
}

enum { SOME = 64 };

struct sealed {
	uint64_t from, number[SOME];
	size_t n;
};

static int find_sealed(void *arg, const struct log_segment *seg)
{
	struct sealed *l = arg;

	if (seg->sealed && seg->number >= l->from && l->n < SOME)
		l->number[l->n++] = seg->number;
	return 0;
}

static int check_step(void *arg, const struct log_record *r)
{
	struct check *c = arg;
	struct kv_slice rest = r->payload;
	struct kv_op op;

	while (r->type == LSM_LOG_WRITE && rest.len)
		if (lsm_write_step(&rest, &op))
			return kv_fail(
				c->why, -EBADMSG,
				"%s: the log's record at %llu was made by no write",
				c->s->dir, (unsigned long long)r->position);
	return 0;
}

/* Segments that are given up meanwhile hold nothing any more. */
static int check_log(struct check *c)
{
	struct sealed l = { 0 };
	size_t i;
	int error = 0;

	do {
		l.n = 0;
		(void)log_segments(c->s->log, find_sealed, &l);
		for (i = 0; !error && i < l.n; i++) {
			port_mutex_lock(&c->s->log_lock);
			error = log_scan(c->s->log, l.number[i], check_step, c, c->why);
			port_mutex_unlock(&c->s->log_lock);
			if (error == -ENOENT)
				error = 0;
			l.from = l.number[i] + 1;
		}
	} while (!error && l.n == SOME);
	return error;
}

int lsm_verify(struct kv *kv, struct kv_msg *why)
{
	struct lsm_store *s = lsm_store(kv);
	struct check c = { .s = s, .why = why };
	struct lsm_view *view;
	uint64_t sequence;
	int error;

	view = lsm_view_take(s, &sequence);
	c.version = view->version;
	error = lsm_version_check(c.version, why);
	if (!error)
		error = check_tables(&c);
	if (!error)
		error = check_blob_files(&c);
	if (!error)
		error = check_log(&c);
	lsm_view_leave(view);
	kv_buf_free(&c.value);
	return error;
}
