/* SPDX-License-Identifier: MIT */
/*
 * operation.c - one operation of a workload as calls of kv.h, the way that YCSB's
 * bindings for key-value stores do it.
 *
 * All of it is inside the measured time, for every client has to make its keys and values
 * and to look at what it reads. So it is kept short: no allocation once the buffers have
 * grown, one copy of a value at most.
 */
#include "worker.h"

/* The record of a write, or of the load where every version is 0. */
static uint64_t version_of(const struct worker *w)
{
	return w->crew->phase == WORKER_LOAD ? 0 : write_version(w->thread, w->index);
}

static struct kv_slice key_of(struct worker *w, const struct op *op)
{
	return kv_slice(w->key, record_key(&w->config->workload, op->keynum, w->key));
}

static struct kv_slice bytes_of(const struct kv_buf *b)
{
	return kv_slice(b->data, b->len);
}

static int put(struct worker *w, struct kv_slice key, const struct kv_buf *value)
{
	w->bytes_written += key.len + value->len;
	return kv_put(w->kv, key, bytes_of(value), w->durability);
}

/* Gets a record into w->got and reads its bytes. -ENOENT where there is none. */
static int get(struct worker *w, const struct op *op, struct kv_slice key)
{
	int error = kv_get(w->kv, key, &w->got);

	if (error)
		return error;
	w->bytes_read += key.len + w->got.len;
	if (w->blind) {
		w->sum += record_sum(bytes_of(&w->got));
		return 0;
	}
	error = record_touch(&w->config->workload, op->keynum, op->field,
			     bytes_of(&w->got), &w->sum);
	if (error == -EBADMSG)
		w->complaint = "the value that came back is not one that was written";
	return error;
}

static int do_read(struct worker *w, const struct op *op)
{
	int error = get(w, op, key_of(w, op));

	if (error != -ENOENT)
		return error;
	w->missing_reads++;
	return 0;
}

static int do_read_missing(struct worker *w, const struct op *op)
{
	size_t n = record_missing_key(&w->config->workload, op->keynum, w->key);
	int error = kv_get(w->kv, kv_slice(w->key, n), &w->got);

	if (!error && !w->blind) { /* the null engine finds everything */
		w->complaint = "a key was found that nobody ever wrote";
		return -EBADMSG;
	}
	return error == -ENOENT ? 0 : error;
}

static int put_whole(struct worker *w, const struct op *op, struct kv_slice key)
{
	int error =
		record_value(&w->config->workload, op->keynum, version_of(w), &w->value);

	return error ? error : put(w, key, &w->value);
}

/* Puts back the record in w->got with one field changed. */
static int put_changed(struct worker *w, const struct op *op, struct kv_slice key)
{
	int error = 0;

	if (w->blind)
		error = kv_buf_set(&w->got, w->sample.data, w->sample.len);
	if (!error)
		error = record_update_field(&w->config->workload, op->keynum,
					    version_of(w), op->field, &w->got);
	if (error == -EBADMSG)
		w->complaint = "the value that came back is not a record";
	return error ? error : put(w, key, &w->got);
}

/* An update of what is not there (any more) writes a whole record: an upsert. */
static int do_change(struct worker *w, const struct op *op, bool read)
{
	struct kv_slice key = key_of(w, op);
	bool merge = update_merges(&w->config->workload);
	int error = read || merge ? get(w, op, key) : 0;

	if (error == -ENOENT) {
		w->missing_reads++;
		return put_whole(w, op, key);
	}
	if (error)
		return error;
	return merge ? put_changed(w, op, key) : put_whole(w, op, key);
}

static int do_delete(struct worker *w, const struct op *op)
{
	struct kv_slice key = key_of(w, op);

	w->bytes_written += key.len;
	return kv_delete(w->kv, key, w->durability);
}

/* Reads the pairs where the cursor lets them be seen: a scan that copied out each pair
 * would measure memcpy. The keynums are not known, so contents are summed, not checked. */
static int do_scan(struct worker *w, const struct op *op)
{
	struct kv_slice key = key_of(w, op);
	struct kv_cursor *c;
	uint32_t i = 0;
	int error = kv_cursor(w->kv, NULL, &c);

	if (error)
		return error;
	error = kv_seek(c, key);
	while (!error) {
		w->bytes_read += c->key.len + c->value.len;
		w->sum += record_sum(c->key) + record_sum(c->value);
		if (++i >= op->scan_length)
			break;
		error = kv_next(c);
	}
	kv_cursor_close(c);
	w->missing_reads += i == 0;
	return error == -ENOENT ? 0 : error;
}

int worker_do(struct worker *w, const struct op *op)
{
	switch ((enum op_kind)op->kind) {
	case OP_READ:
		return do_read(w, op);
	case OP_UPDATE:
		return do_change(w, op, false);
	case OP_INSERT:
		return put_whole(w, op, key_of(w, op));
	case OP_SCAN:
		return do_scan(w, op);
	case OP_READ_MODIFY_WRITE:
		return do_change(w, op, true);
	case OP_DELETE:
		return do_delete(w, op);
	case OP_READ_MISSING:
		return do_read_missing(w, op);
	case OP_KINDS:
		break;
	}
	return -EINVAL;
}

static const char *advice(int error)
{
	switch (error) {
	case -ENOSPC:
		return ": free space on its file system, or take fewer records or a "
		       "larger one with --dir";
	case -ENOMEM:
		return ": take fewer records, or a smaller memory budget";
	case -EMFILE:
	case -ENFILE:
		return ": allow more open files (ulimit -n)";
	case -EIO:
	case -EROFS:
		return ": look at the kernel log (dmesg) for what the device said";
	}
	return "";
}

void worker_complain(const struct worker *w, const struct op *op, int error,
		     struct kv_msg *why)
{
	const char *what = op_kind_name[op->kind];

	if (w->crew->phase == WORKER_LOAD)
		what = "load";
	(void)kv_fail(why, error, "%s: %s of keynum %llu failed: %s%s",
		      w->config->engine->name, what, (unsigned long long)op->keynum,
		      w->complaint ? w->complaint : strerror(-error),
		      w->complaint ? "" : advice(error));
}
