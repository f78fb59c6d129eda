/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_blob.c - reads a blob file: one record by its reference, or all in order.
 *
 * A record is read with its header and key, although the reference says where the value is: so
 * bytes that a device put elsewhere, or left from an older file, are not taken for the value.
 * What does not fit is read once more before it is called corruption.
 */
#include "lsm_blob_format.h"

enum { SCAN_BYTES = 256 << 10 };

struct lsm_blob { /* constant after open */
	struct env *env;
	struct file *file;
	uint8_t *map; /* NULL: not mapped */
	uint64_t bytes, number, store_id;
	uint64_t end; /* of the records */
	uint64_t record_count;
	char path[ENV_PATH_MAX];
};

/* ---- opening ---- */

/* The one place where a blob file is found to be damaged. */
static int bad(const struct lsm_blob *b, uint64_t offset, const char *what,
	       uint64_t wanted, uint64_t got, struct kv_msg *why)
{
	return kv_fail(
		why, -EBADMSG,
		"%s: offset %llu: %s: wanted %llx, got %llx: corruption. Restore a "
		"backup, or salvage what is readable",
		b->path, (unsigned long long)offset, what, (unsigned long long)wanted,
		(unsigned long long)got);
}

/* What is true of every header that this program wrote. */
static int read_header(const struct lsm_blob *b, uint8_t h[LSM_BLOB_HEADER_BYTES],
		       struct kv_msg *why)
{
	int error = file_read_exact(b->file, b->path, 0, h, LSM_BLOB_HEADER_BYTES, why);

	if (error)
		return error;
	if (memcmp(h, LSM_BLOB_MAGIC, 8))
		return kv_fail(why, -EBADMSG, "%s is no blob file", b->path);
	if (port_get_le32(h + 44) != port_crc32c(0, h, 44))
		return bad(b, 0, "the header's CRC", port_crc32c(0, h, 44),
			   port_get_le32(h + 44), why);
	if (port_get_le16(h + 8) != LSM_BLOB_MAJOR || port_get_le64(h + 16))
		return kv_fail(why, -EPROTONOSUPPORT,
			       "%s was written by a newer program: use that one",
			       b->path);
	return 0;
}

static int check_header(const struct lsm_blob *b, struct kv_msg *why)
{
	uint8_t h[LSM_BLOB_HEADER_BYTES];
	int error = read_header(b, h, why);

	if (error)
		return error;
	if (port_get_le64(h + 24) != b->store_id)
		return bad(b, 24, "the store's id", b->store_id, port_get_le64(h + 24),
			   why);
	if (port_get_le64(h + 32) != b->number)
		return bad(b, 32, "the file's number", b->number, port_get_le64(h + 32),
			   why);
	return 0;
}

static int check_footer(struct lsm_blob *b, const struct lsm_blob_summary *expect,
			struct kv_msg *why)
{
	uint64_t at = b->bytes - LSM_BLOB_FOOTER_BYTES;
	uint8_t f[LSM_BLOB_FOOTER_BYTES];
	uint32_t crc;
	int error = file_read_exact(b->file, b->path, at, f, sizeof(f), why);

	if (error)
		return error;
	crc = lsm_blob_footer_crc(f, b->store_id, b->number);
	if (memcmp(f, LSM_BLOB_END, 8) || port_get_le32(f + 28) != crc)
		return bad(b, at, "the footer's CRC", crc, port_get_le32(f + 28), why);
	b->end = at;
	b->record_count = port_get_le64(f + 8);
	if (port_get_le64(f + 16) != at - LSM_BLOB_HEADER_BYTES)
		return bad(b, at + 16, "bytes of records", at - LSM_BLOB_HEADER_BYTES,
			   port_get_le64(f + 16), why);
	if (expect && (expect->records != b->record_count ||
		       expect->record_bytes != at - LSM_BLOB_HEADER_BYTES))
		return bad(b, at + 8, "records", expect->records, b->record_count, why);
	return 0;
}

static int check_size(struct lsm_blob *b, const struct lsm_blob_summary *expect,
		      struct kv_msg *why)
{
	int error = b->file->ops->size(b->file, &b->bytes);

	if (error)
		return kv_fail(why, error, "%s: its size cannot be learned", b->path);
	if (expect && b->bytes != expect->bytes)
		return bad(b, b->bytes, "the file's size", expect->bytes, b->bytes, why);
	if (b->bytes < LSM_BLOB_HEADER_BYTES + LSM_BLOB_FOOTER_BYTES)
		return bad(b, b->bytes, "the file's size",
			   LSM_BLOB_HEADER_BYTES + LSM_BLOB_FOOTER_BYTES, b->bytes, why);
	return 0;
}

static int set_up(struct lsm_blob *b, const struct lsm_blob_summary *expect, bool map,
		  struct kv_msg *why)
{
	void *p = NULL;
	int error = env_open(b->env, b->path, ENV_READ, &b->file);

	if (error) {
		b->file = NULL;
		return kv_fail(why, error, "%s cannot be opened", b->path);
	}
	error = check_size(b, expect, why);
	if (!error)
		error = check_header(b, why);
	if (!error)
		error = check_footer(b, expect, why);
	if (error)
		return error;
	if (map && b->bytes <= SIZE_MAX &&
	    !b->file->ops->map(b->file, 0, (size_t)b->bytes, false, &p))
		b->map = p;
	else
		b->file->ops->advise(b->file, 0, b->bytes, FILE_RANDOM);
	return 0;
}

int lsm_blob_identify(struct env *env, const char *path, uint64_t *file,
		      uint64_t *store_id, struct kv_msg *why)
{
	uint8_t h[LSM_BLOB_HEADER_BYTES];
	struct lsm_blob *b;
	int error;

	if (strlen(path) >= ENV_PATH_MAX)
		return kv_fail(why, -ENAMETOOLONG, "the path of a blob file is too long");
	b = port_alloc(sizeof(*b));
	if (!b)
		return kv_fail(why, -ENOMEM, "no memory for a blob file");
	memset(b, 0, sizeof(*b));
	memcpy(b->path, path, strlen(path) + 1);
	error = env_open(env, path, ENV_READ, &b->file);
	if (error) {
		b->file = NULL;
		(void)kv_fail(why, error, "%s cannot be opened", path);
		goto out;
	}
	error = read_header(b, h, why);
	if (!error) {
		*store_id = port_get_le64(h + 24);
		*file = port_get_le64(h + 32);
	}
out:
	lsm_blob_close(b);
	return error;
}

int lsm_blob_open(struct env *env, const char *path, uint64_t file, uint64_t store_id,
		  const struct lsm_blob_summary *expect, bool map, struct lsm_blob **out,
		  struct kv_msg *why)
{
	struct lsm_blob *b;
	int error;

	if (strlen(path) >= ENV_PATH_MAX)
		return kv_fail(why, -ENAMETOOLONG, "the path of a blob file is too long");
	b = port_alloc(sizeof(*b));
	if (!b)
		return kv_fail(why, -ENOMEM, "no memory for a blob file");
	memset(b, 0, sizeof(*b));
	b->env = env;
	b->number = file;
	b->store_id = store_id;
	memcpy(b->path, path, strlen(path) + 1);
	error = set_up(b, expect, map, why);
	if (error) {
		lsm_blob_close(b);
		return error;
	}
	*out = b;
	return 0;
}

void lsm_blob_close(struct lsm_blob *b)
{
	if (!b)
		return;
	if (b->map)
		b->file->ops->unmap(b->file, b->map, (size_t)b->bytes);
	file_close(b->file);
	port_free(b);
}

/* ---- one record ---- */

static uint64_t bytes_of(const struct lsm_blob_ref *ref, size_t key_bytes)
{
	return lsm_blob_record_bytes(key_bytes, ref->value_bytes);
}

/* Could the record that ref speaks of be there at all? */
static int check_ref(const struct lsm_blob *b, const struct lsm_blob_ref *ref,
		     size_t key_bytes, struct kv_msg *why)
{
	uint64_t need = bytes_of(ref, key_bytes);

	if (ref->file != b->number)
		return bad(b, ref->offset, "a reference's file", b->number, ref->file,
			   why);
	if (ref->offset < LSM_BLOB_HEADER_BYTES || ref->offset > b->end ||
	    need > b->end - ref->offset)
		return bad(b, ref->offset, "a reference's end", b->end,
			   ref->offset + need, why);
	return 0;
}

/* Is p the record of ref and key? 0 or -EBADMSG. */
static int check_record(const struct lsm_blob *b, const uint8_t *p,
			const struct lsm_blob_ref *ref, struct kv_slice key,
			struct kv_msg *why)
{
	uint32_t crc = port_crc32c(0, p + 4, (size_t)bytes_of(ref, key.len) - 4);

	if (crc != port_get_le32(p))
		return bad(b, ref->offset, "a record's CRC", port_get_le32(p), crc, why);
	if (crc != ref->crc)
		return bad(b, ref->offset, "the CRC that a reference names", ref->crc,
			   crc, why);
	if (port_get_le32(p + 4) != key.len || port_get_le32(p + 8) != ref->value_bytes ||
	    (key.len && memcmp(p + LSM_BLOB_RECORD_HEADER, key.data, key.len)))
		return bad(b, ref->offset, "the key and the length of a record", key.len,
			   port_get_le32(p + 4), why);
	return 0;
}

static int take_value(const uint8_t *p, const struct lsm_blob_ref *ref, size_t key_bytes,
		      struct kv_buf *value, struct kv_msg *why)
{
	if (kv_buf_set(value, p + LSM_BLOB_RECORD_HEADER + key_bytes, ref->value_bytes))
		return kv_fail(why, -ENOMEM, "no memory for a value of %u bytes",
			       ref->value_bytes);
	return 0;
}

/* Into value's own memory: header and key are taken away in front of it. */
static int read_record(struct lsm_blob *b, const struct lsm_blob_ref *ref,
		       struct kv_slice key, struct kv_buf *value, struct kv_msg *why)
{
	size_t need = (size_t)bytes_of(ref, key.len);
	size_t front = LSM_BLOB_RECORD_HEADER + key.len;
	int error = kv_buf_reserve(value, need);

	if (error)
		return kv_fail(why, error, "no memory for a value of %u bytes",
			       ref->value_bytes);
	error = file_read_exact(b->file, b->path, ref->offset, value->data, need, why);
	if (!error)
		error = check_record(b, value->data, ref, key, why);
	if (error)
		return error;
	memmove(value->data, (uint8_t *)value->data + front, ref->value_bytes);
	value->len = ref->value_bytes;
	return 0;
}

int lsm_blob_read(struct lsm_blob *b, const struct lsm_blob_ref *ref, struct kv_slice key,
		  struct kv_buf *value, struct kv_msg *why)
{
	int error = check_ref(b, ref, key.len, why);

	value->len = 0;
	if (error)
		return error;
	if (b->map) {
		error = check_record(b, b->map + ref->offset, ref, key, why);
		return error ? error
			     : take_value(b->map + ref->offset, ref, key.len, value, why);
	}
	error = read_record(b, ref, key, value, why);
	if (error == -EBADMSG || error == -EIO)
		error = read_record(b, ref, key, value, why);
	return error;
}

void lsm_blob_read_begin(struct lsm_blob *b, const struct lsm_blob_ref *ref,
			 size_t key_bytes, void *buffer, struct file_read *out)
{
	*out = (struct file_read){ .file = b->file,
				   .offset = ref->offset,
				   .data = buffer,
				   .len = (size_t)bytes_of(ref, key_bytes) };
}

int lsm_blob_read_finish(struct lsm_blob *b, const struct lsm_blob_ref *ref,
			 struct kv_slice key, const struct file_read *r,
			 struct kv_buf *value, struct kv_msg *why)
{
	int error = check_ref(b, ref, key.len, why);

	value->len = 0;
	if (error)
		return error;
	if (r->error || r->got < r->len || check_record(b, r->data, ref, key, NULL))
		return lsm_blob_read(b, ref, key, value, why);
	return take_value(r->data, ref, key.len, value, why);
}

/* ---- all of them ---- */

/* Window over the file, so that small records cost no read each. */
struct window {
	struct kv_buf buf;
	uint64_t begin; /* of buf in the file */
};

/* *out: n bytes at offset, which lie before b->end. */
static int look(struct lsm_blob *b, struct window *w, uint64_t offset, uint64_t n,
		const uint8_t **out, struct kv_msg *why)
{
	uint64_t len = n > SCAN_BYTES ? n : SCAN_BYTES;
	int error;

	if (b->map) {
		*out = b->map + offset;
		return 0;
	}
	if (offset < w->begin || offset - w->begin > w->buf.len ||
	    n > w->buf.len - (offset - w->begin)) {
		len = len < b->end - offset ? len : b->end - offset;
		w->buf.len = 0;
		error = kv_buf_reserve(&w->buf, (size_t)len);
		if (error)
			return kv_fail(why, error, "no memory for a record of %llu bytes",
				       (unsigned long long)n);
		error = file_read_exact(b->file, b->path, offset, w->buf.data,
					(size_t)len, why);
		if (error)
			return error;
		w->buf.len = (size_t)len;
		w->begin = offset;
	}
	*out = (const uint8_t *)w->buf.data + (offset - w->begin);
	return 0;
}

static int scan_record(struct lsm_blob *b, struct window *w, uint64_t *at,
		       lsm_blob_fn *fn, void *arg, struct kv_msg *why)
{
	uint64_t left = b->end - *at, need;
	uint32_t key_bytes, value_bytes, crc;
	const uint8_t *p;
	int error;

	if (left < LSM_BLOB_RECORD_HEADER)
		return bad(b, *at, "bytes of a record", LSM_BLOB_RECORD_HEADER, left,
			   why);
	error = look(b, w, *at, LSM_BLOB_RECORD_HEADER, &p, why);
	if (error)
		return error;
	key_bytes = port_get_le32(p + 4);
	value_bytes = port_get_le32(p + 8);
	need = lsm_blob_record_bytes(key_bytes, value_bytes);
	if (key_bytes > KV_KEY_MAX || value_bytes > KV_VALUE_MAX || need > left)
		return bad(b, *at, "bytes of a record", left, need, why);
	error = look(b, w, *at, need, &p, why);
	if (error)
		return error;
	crc = port_crc32c(0, p + 4, (size_t)need - 4);
	if (crc != port_get_le32(p))
		return bad(b, *at, "a record's CRC", port_get_le32(p), crc, why);
	error = fn(arg, *at, kv_slice(p + LSM_BLOB_RECORD_HEADER, key_bytes),
		   kv_slice(p + LSM_BLOB_RECORD_HEADER + key_bytes, value_bytes));
	*at += need;
	return error;
}

int lsm_blob_scan(struct lsm_blob *b, lsm_blob_fn *fn, void *arg, struct kv_msg *why)
{
	struct window w = { { 0 }, 0 };
	uint64_t at = LSM_BLOB_HEADER_BYTES, n = 0;
	int error = 0;

	while (!error && at < b->end) {
		error = scan_record(b, &w, &at, fn, arg, why);
		n++;
	}
	kv_buf_free(&w.buf);
	if (!error && n != b->record_count)
		error = bad(b, b->end + 8, "records", n, b->record_count, why);
	return error;
}
