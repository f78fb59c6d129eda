/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_blob_builder.c - writes a blob file: records one behind the other through a buffer.
 */
#include "lsm_blob_format.h"

enum { BUFFER_BYTES = 256 << 10 };

struct lsm_blob_builder {
	struct lsm_blob_builder_config config;
	char path[ENV_PATH_MAX];
	struct file *file;
	uint8_t *buffer;
	size_t buffer_bytes;
	size_t used;      /* of the buffer */
	uint64_t written; /* of the file; the buffer comes behind it */
	struct lsm_blob_summary summary;
};

/* ---- the parts of a file ---- */

void lsm_blob_header_encode(uint8_t *p, uint64_t store_id, uint64_t file)
{
	memset(p, 0, LSM_BLOB_HEADER_BYTES);
	memcpy(p, LSM_BLOB_MAGIC, 8);
	port_put_le16(p + 8, LSM_BLOB_MAJOR);
	port_put_le16(p + 10, LSM_BLOB_MINOR);
	port_put_le64(p + 24, store_id);
	port_put_le64(p + 32, file);
	port_put_le32(p + 44, port_crc32c(0, p, 44));
}

void lsm_blob_footer_encode(uint8_t *p, const struct lsm_blob_summary *s,
			    uint64_t store_id, uint64_t file)
{
	memcpy(p, LSM_BLOB_END, 8);
	port_put_le64(p + 8, s->records);
	port_put_le64(p + 16, s->record_bytes);
	port_put_le32(p + 24, 0);
	port_put_le32(p + 28, lsm_blob_footer_crc(p, store_id, file));
}

uint32_t lsm_blob_footer_crc(const uint8_t *p, uint64_t store_id, uint64_t file)
{
	uint8_t id[16];

	port_put_le64(id, store_id);
	port_put_le64(id + 8, file);
	return port_crc32c(port_crc32c(0, id, sizeof(id)), p, 28);
}

uint64_t lsm_blob_record_bytes(size_t key_bytes, size_t value_bytes)
{
	return (uint64_t)LSM_BLOB_RECORD_HEADER + key_bytes + value_bytes;
}

void lsm_blob_ref_put(uint8_t out[LSM_BLOB_REF_BYTES], const struct lsm_blob_ref *ref)
{
	port_put_le64(out, ref->file);
	port_put_le64(out + 8, ref->offset);
	port_put_le32(out + 16, ref->value_bytes);
	port_put_le32(out + 20, ref->crc);
}

int lsm_blob_ref_get(struct kv_slice value, struct lsm_blob_ref *out)
{
	const uint8_t *p = value.data;

	if (value.len != LSM_BLOB_REF_BYTES)
		return -EBADMSG;
	*out = (struct lsm_blob_ref){ port_get_le64(p), port_get_le64(p + 8),
				      port_get_le32(p + 16), port_get_le32(p + 20) };
	if (!out->file || out->offset < LSM_BLOB_HEADER_BYTES ||
	    out->value_bytes > KV_VALUE_MAX)
		return -EBADMSG;
	return 0;
}

/* ---- building ---- */

void lsm_blob_builder_abandon(struct lsm_blob_builder *b)
{
	if (!b)
		return;
	if (b->file) {
		file_close(b->file);
		(void)b->config.env->ops->unlink(b->config.env, b->path);
	}
	port_free(b->buffer);
	port_free(b);
}

int lsm_blob_builder_new(const struct lsm_blob_builder_config *c,
			 struct lsm_blob_builder **out, struct kv_msg *why)
{
	struct lsm_blob_builder *b;
	int error;

	if (strlen(c->path) >= ENV_PATH_MAX)
		return kv_fail(why, -ENAMETOOLONG, "the path of a blob file is too long");
	b = port_alloc(sizeof(*b));
	if (!b)
		return kv_fail(why, -ENOMEM, "no memory for a blob file");
	memset(b, 0, sizeof(*b));
	b->config = *c;
	memcpy(b->path, c->path, strlen(c->path) + 1);
	b->config.path = b->path;
	b->buffer_bytes = c->buffer_bytes ? c->buffer_bytes : (size_t)BUFFER_BYTES;
	b->buffer = port_alloc(b->buffer_bytes);
	if (!b->buffer) {
		lsm_blob_builder_abandon(b);
		return kv_fail(why, -ENOMEM, "no memory for a blob file");
	}
	error = env_open(c->env, b->path, ENV_WRITE | ENV_CREATE | ENV_EXCLUSIVE,
			 &b->file);
	if (error) {
		b->file = NULL;
		lsm_blob_builder_abandon(b);
		return kv_fail(why, error, "%s cannot be made", c->path);
	}
	lsm_blob_header_encode(b->buffer, c->store_id, c->file);
	b->used = LSM_BLOB_HEADER_BYTES;
	*out = b;
	return 0;
}

static int write_out(struct lsm_blob_builder *b, const void *p, size_t n,
		     struct kv_msg *why)
{
	int error = b->config.pace ? b->config.pace(b->config.pace_arg, n) : 0;

	if (error)
		return kv_fail(why, error, "%s: the work was ended", b->path);
	error = file_write(b->file, b->written, p, n);
	if (error)
		return kv_fail(why, error,
			       "%s: writing %zu bytes at offset %llu failed%s", b->path,
			       n, (unsigned long long)b->written,
			       error == -ENOSPC ? ": make room on the disk" : "");
	b->written += n;
	return 0;
}

static int flush(struct lsm_blob_builder *b, struct kv_msg *why)
{
	int error = b->used ? write_out(b, b->buffer, b->used, why) : 0;

	if (!error)
		b->used = 0;
	return error;
}

static int put(struct lsm_blob_builder *b, const void *p, size_t n, struct kv_msg *why)
{
	int error = n > b->buffer_bytes - b->used ? flush(b, why) : 0;

	if (error || !n)
		return error;
	if (n > b->buffer_bytes) {
		const uint8_t *at = p;
		size_t once;

		/* In pieces, so that the pace is kept within a large value. */
		for (; !error && n; n -= once, at += once) {
			once = n < b->buffer_bytes ? n : b->buffer_bytes;
			error = write_out(b, at, once, why);
		}
		return error;
	}
	memcpy(b->buffer + b->used, p, n);
	b->used += n;
	return 0;
}

int lsm_blob_builder_add(struct lsm_blob_builder *b, struct kv_slice key,
			 struct kv_slice value, struct lsm_blob_ref *ref,
			 struct kv_msg *why)
{
	uint8_t head[LSM_BLOB_RECORD_HEADER];
	uint32_t crc;
	int error;

	if (key.len > KV_KEY_MAX || value.len > KV_VALUE_MAX)
		return kv_fail(why, -EINVAL, "%s: a key or a value is too long", b->path);
	port_put_le32(head + 4, (uint32_t)key.len);
	port_put_le32(head + 8, (uint32_t)value.len);
	crc = port_crc32c(0, head + 4, sizeof(head) - 4);
	crc = port_crc32c(crc, key.data, key.len);
	crc = port_crc32c(crc, value.data, value.len);
	port_put_le32(head, crc);
	*ref = (struct lsm_blob_ref){ b->config.file, lsm_blob_builder_bytes(b),
				      (uint32_t)value.len, crc };
	error = put(b, head, sizeof(head), why);
	if (!error)
		error = put(b, key.data, key.len, why);
	if (!error)
		error = put(b, value.data, value.len, why);
	if (error)
		return error;
	b->summary.records++;
	b->summary.record_bytes += lsm_blob_record_bytes(key.len, value.len);
	return 0;
}

uint64_t lsm_blob_builder_bytes(const struct lsm_blob_builder *b)
{
	return b->written + b->used;
}

int lsm_blob_builder_finish(struct lsm_blob_builder *b, struct lsm_blob_summary *out,
			    struct kv_msg *why)
{
	uint8_t footer[LSM_BLOB_FOOTER_BYTES];
	int error;

	lsm_blob_footer_encode(footer, &b->summary, b->config.store_id, b->config.file);
	error = put(b, footer, sizeof(footer), why);
	if (!error)
		error = flush(b, why);
	if (!error) {
		error = file_sync(b->file);
		if (error)
			(void)kv_fail(why, error, "%s cannot be synced", b->path);
	}
	if (error) {
		lsm_blob_builder_abandon(b);
		return error;
	}
	*out = b->summary;
	out->bytes = b->written;
	file_close(b->file);
	port_free(b->buffer);
	port_free(b);
	return 0;
}
