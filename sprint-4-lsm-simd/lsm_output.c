/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_output.c - entries in order into tables of a size, large values into blob files.
 *
 * See lsm_output.h. A value is copied once, from where the source shows it into the file's
 * buffer; only one that comes from a blob file is read into memory of its own first.
 */
#include "lsm_output.h"

#include "neon_lsm_ops.h"

enum { PACE_BYTES = 256 << 10 }; /* that are read from one pause to the next */

struct output {
	const struct lsm_output_config *c;
	struct lsm_keep keep;
	struct sst_builder *table; /* under way; NULL: none */
	struct lsm_blob_builder *blob;
	uint64_t table_number, blob_number;
	struct kv_buf begin; /* of the keys that are the table's */
	size_t fragment;     /* of range tombstones: those before it end before begin */
	struct kv_buf last;  /* the key with which the table became full */
	bool full;
	struct kv_buf value; /* from a blob file */
	uint64_t unpaced;    /* bytes that were read since the last pause */
};

static struct kv_slice slice_of(const struct kv_buf *b)
{
	return kv_slice(b->data, b->len);
}

/* ---- files ---- */

static void remove_file(const struct lsm_work *w, uint64_t number,
			enum lsm_file_type type)
{
	char path[ENV_PATH_MAX];

	/* One that can't be removed is an orphan, and goes when the store is opened. */
	if (!lsm_file_name(path, w->dir, number, type))
		(void)w->env->ops->unlink(w->env, path);
}

void lsm_work_undo(const struct lsm_work *w, const struct lsm_edit *edit)
{
	size_t i;

	for (i = 0; i < edit->adds; i++)
		remove_file(w, edit->add[i].number, LSM_FILE_TABLE);
	for (i = 0; i < edit->blobs; i++)
		remove_file(w, edit->blob[i].number, LSM_FILE_BLOB);
}

static int open_table(struct output *o, struct kv_msg *why)
{
	const struct lsm_work *w = o->c->work;
	char path[ENV_PATH_MAX];
	struct sst_builder_config config = {
		.env = w->env,
		.path = path,
		.store_id = w->store_id,
		.shape = w->shape[o->c->level],
		.pace = o->c->pace,
		.pace_arg = o->c->pace_arg,
		.buffer_bytes = w->buffer_bytes / 4,
	};
	int error;

	config.file = o->table_number = lsm_versions_number(w->versions);
	error = lsm_file_name(path, w->dir, config.file, LSM_FILE_TABLE);
	if (error)
		return kv_fail(why, error, "%s: the path is too long", w->dir);
	error = sst_builder_new(&config, &o->table, why);
	if (error) { /* it may have been made, and then not opened */
		o->table = NULL;
		remove_file(w, config.file, LSM_FILE_TABLE);
	}
	return error;
}

static int open_blob(struct output *o, struct kv_msg *why)
{
	const struct lsm_work *w = o->c->work;
	char path[ENV_PATH_MAX];
	struct lsm_blob_builder_config config = {
		.env = w->env,
		.path = path,
		.store_id = w->store_id,
		.pace = o->c->pace,
		.pace_arg = o->c->pace_arg,
		.buffer_bytes = w->buffer_bytes / 4,
	};
	int error;

	config.file = o->blob_number = lsm_versions_number(w->versions);
	error = lsm_file_name(path, w->dir, config.file, LSM_FILE_BLOB);
	if (error)
		return kv_fail(why, error, "%s: the path is too long", w->dir);
	error = lsm_blob_builder_new(&config, &o->blob, why);
	if (error) {
		o->blob = NULL;
		remove_file(w, config.file, LSM_FILE_BLOB);
	}
	return error;
}

static int finish_blob(struct output *o, struct kv_msg *why)
{
	struct lsm_blob_builder *b = o->blob;
	struct lsm_blob_summary s;
	int error;

	o->blob = NULL;
	error = lsm_blob_builder_finish(b, &s, why);
	if (error)
		return error;
	error = lsm_edit_blob(o->c->edit, o->blob_number, &s);
	if (error) {
		remove_file(o->c->work, o->blob_number, LSM_FILE_BLOB);
		return kv_fail(why, error, "no memory to note a blob file");
	}
	o->c->stats->blob_bytes += s.bytes;
	return 0;
}

/* ---- range tombstones ---- */

/* False: nothing of it is in [begin, end). */
static bool clip(struct lsm_tombstone *t, struct kv_slice begin, struct kv_slice end)
{
	if (lsm_key_compare(t->begin, begin) < 0)
		t->begin = begin;
	if (end.data && (!t->end.data || lsm_key_compare(t->end, end) > 0))
		t->end = end;
	return !t->end.data || lsm_key_compare(t->begin, t->end) < 0;
}

/* Those of the keys between the table's begin and end, which may be the reason for there being
 * a table. */
static int put_tombstones(struct output *o, struct kv_slice end, struct kv_msg *why)
{
	const struct lsm_keep_config *keep = &o->c->keep;
	size_t i, n = lsm_tombstones_count(keep->tombstones);
	int error = 0;

	for (i = o->fragment; i < n && !error; i++) {
		struct lsm_tombstone t = lsm_tombstones_at(keep->tombstones, i);

		if (end.data && lsm_key_compare(t.begin, end) >= 0)
			break;
		if (i == o->fragment && end.data && t.end.data &&
		    lsm_key_compare(t.end, end) <= 0)
			o->fragment++;
		if (!clip(&t, slice_of(&o->begin), end) || !lsm_keep_tombstone(keep, &t))
			continue;
		if (!o->table)
			error = open_table(o, why);
		if (!error && sst_builder_delete_range(o->table, &t))
			error = kv_fail(why, -ENOMEM, "no memory for a range tombstone");
	}
	return error;
}

/* The table has all keys up to end. */
static int finish_table(struct output *o, struct kv_slice end, struct kv_msg *why)
{
	const struct lsm_output_config *c = o->c;
	struct sst_summary s;
	struct sst_builder *b;
	int error = put_tombstones(o, end, why);

	if (error || !o->table)
		return error;
	b = o->table;
	o->table = NULL;
	o->full = false;
	error = sst_builder_finish(b, &s, why);
	if (error)
		return error;
	c->stats->written_bytes += s.bytes;
	error = lsm_edit_add(c->edit, c->level, c->run, o->table_number, &s);
	if (!error)
		return 0;
	sst_summary_free(&s);
	remove_file(c->work, o->table_number, LSM_FILE_TABLE);
	return kv_fail(why, error, "no memory to note a table");
}

/* ---- entries ---- */

/* Is so little of the blob file referred to that its values are to be written anew? */
static bool is_sparse(const struct output *o, uint64_t file)
{
	const struct lsm_version *v = o->c->version;
	const struct lsm_blob_place *p;
	size_t low = 0, high = v->blobs, middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (v->blob[middle].file->number < file)
			low = middle + 1;
		else
			high = middle;
	}
	p = &v->blob[low];
	return low < v->blobs && p->file->number == file &&
	       p->live * 100 <
		       p->file->summary.record_bytes * o->c->work->blob_live_percent;
}

/* A value of a sparse blob file becomes one that stands in the entry. */
static int fetch_blob(struct output *o, struct kv_slice key, uint64_t *stamp,
		      struct kv_slice *value, struct kv_msg *why)
{
	const struct lsm_output_config *c = o->c;
	struct lsm_blob_ref ref;
	struct lsm_blob *blob;
	int error = lsm_blob_ref_get(*value, &ref);

	if (error)
		return kv_fail(why, error, "an entry's reference to a blob file is none");
	if (!c->version || !c->work->blob_live_percent || !is_sparse(o, ref.file))
		return 0;
	blob = lsm_version_blob(c->version, ref.file);
	error = lsm_blob_read(blob, &ref, key, &o->value, why);
	if (error)
		return error;
	*stamp = lsm_stamp(lsm_sequence(*stamp), LSM_PUT);
	*value = slice_of(&o->value);
	c->stats->blobs_rewritten++;
	c->stats->read_bytes += lsm_blob_record_bytes(key.len, value->len);
	return 0;
}

/* A large value goes to a blob file, and a reference to it into the entry. */
static int store_blob(struct output *o, struct kv_slice key, uint64_t *stamp,
		      struct kv_slice *value, uint8_t *packed, struct kv_msg *why)
{
	struct lsm_blob_ref ref;
	int error = 0;

	if (!o->blob)
		error = open_blob(o, why);
	if (!error)
		error = lsm_blob_builder_add(o->blob, key, *value, &ref, why);
	if (error)
		return error;
	lsm_blob_ref_put(packed, &ref);
	*stamp = lsm_stamp(lsm_sequence(*stamp), LSM_BLOB);
	*value = kv_slice(packed, LSM_BLOB_REF_BYTES);
	if (lsm_blob_builder_bytes(o->blob) < o->c->work->blob_file_bytes)
		return 0;
	return finish_blob(o, why);
}

/* Ends a table that is full, now that there is a key behind its last. */
static int cut(struct output *o, struct kv_slice key, struct kv_msg *why)
{
	int error;

	if (!o->full || !lsm_key_compare(slice_of(&o->last), key))
		return 0;
	error = finish_table(o, key, why);
	if (!error && kv_buf_set(&o->begin, key.data, key.len))
		error = kv_fail(why, -ENOMEM, "no memory for a key");
	return error;
}

static int write_entry(struct output *o, struct kv_slice key, uint64_t stamp,
		       struct kv_slice value, struct kv_msg *why)
{
	const struct lsm_work *w = o->c->work;
	uint8_t packed[LSM_BLOB_REF_BYTES];
	int error = cut(o, key, why);

	if (!error && lsm_kind(stamp) == LSM_BLOB)
		error = fetch_blob(o, key, &stamp, &value, why);
	if (!error && lsm_kind(stamp) == LSM_PUT && w->blob_threshold &&
	    value.len > w->blob_threshold)
		error = store_blob(o, key, &stamp, &value, packed, why);
	if (!error && !o->table)
		error = open_table(o, why);
	if (!error)
		error = sst_builder_add(o->table, key, lsm_key_hash(key), stamp, value,
					why);
	if (error)
		return error;
	o->c->stats->entries_out++;
	if (o->full || sst_builder_bytes(o->table) < o->c->table_bytes)
		return 0;
	o->full = true;
	if (kv_buf_set(&o->last, key.data, key.len))
		return kv_fail(why, -ENOMEM, "no memory for a key");
	return 0;
}

static int take_entry(struct output *o, const struct lsm_cursor *from, struct kv_msg *why)
{
	const struct lsm_output_config *c = o->c;
	uint64_t bytes = from->key.len + from->value.len;
	int keep = lsm_keep(&o->keep, from->key, from->stamp);

	if (keep < 0)
		return kv_fail(why, keep, "no memory for a key");
	c->stats->entries_in++;
	c->stats->read_bytes += bytes;
	o->unpaced += bytes;
	if (o->unpaced >= PACE_BYTES) {
		int error = c->pace ? c->pace(c->pace_arg, o->unpaced) : 0;

		o->unpaced = 0;
		if (error)
			return kv_fail(why, error, "the work was ended");
	}
	if (keep)
		return write_entry(o, from->key, from->stamp, from->value, why);
	c->stats->dropped++;
	return 0;
}

/* ---- all of it ---- */

static int fail_reading(const struct lsm_output_config *c, const struct lsm_cursor *from,
			int error, struct kv_msg *why)
{
	const struct lsm_cursor *failed = lsm_merge_failed(from);
	const struct kv_msg *reason = failed && c->reason ? c->reason(failed) : NULL;

	return kv_fail(why, error, "%s",
		       reason ? reason->text : "reading the sources of a merge failed");
}

static int write_all(struct output *o, struct lsm_cursor *from, struct kv_msg *why)
{
	const struct lsm_output_config *c = o->c;
	int error = lsm_seek(from, c->begin, UINT64_MAX);

	while (!error) {
		if (c->end.data && lsm_key_compare(from->key, c->end) >= 0)
			break;
		error = take_entry(o, from, why);
		if (error)
			return error;
		error = lsm_next(from);
	}
	if (error && error != -ENOENT)
		return fail_reading(c, from, error, why);
	error = finish_table(o, c->end, why);
	if (!error && o->blob)
		error = finish_blob(o, why);
	return error;
}

int lsm_output(const struct lsm_output_config *c, struct lsm_cursor *from,
	       struct kv_msg *why)
{
	struct output o = { .c = c };
	int error = kv_buf_set(&o.begin, c->begin.data, c->begin.len);

	if (error)
		return kv_fail(why, error, "no memory for a key");
	error = lsm_keep_begin(&o.keep, &c->keep);
	if (!error)
		error = write_all(&o, from, why);
	sst_builder_abandon(o.table);
	if (o.blob)
		lsm_blob_builder_abandon(o.blob);
	lsm_keep_end(&o.keep);
	kv_buf_free(&o.begin);
	kv_buf_free(&o.last);
	kv_buf_free(&o.value);
	return error;
}
