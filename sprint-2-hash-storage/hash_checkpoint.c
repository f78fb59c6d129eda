/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_checkpoint.c - the index as a file, INDEX: Bitcask's hint file for all segments.
 *
 * It is written while writes go on. Its position is taken first; whatever was written
 * before that is in the index by then, so the image plus the log from that position on is
 * the whole store. The file becomes INDEX by a rename, after the log is durable up to the
 * last address that it can hold.
 *
 * INDEX, little-endian:
 *
 *   0    8  "KVHASHIX"         40  8  segments in the list
 *   8    2  major, 10 2 minor  48  8  entries, about
 *   12   4  leaf entries       56  8  keys, about
 *   16   8  store id           64  8  live bytes, about
 *   24   8  position           72  4  collision strategy
 *   32   8  segment bytes      76  48 zero
 *                              124 4  CRC32C of bytes 0..123
 *   128     the list: number, live bytes, bytes of deletes (8 each), ascending; CRC32C (4),
 *           zero (4)
 *           blocks: entries in it (4), number of the block (4), CRC32C of these and of
 *           the entries (4), zero (4); then entries: hash, address (8 each)
 *           the last block has no entries
 *
 * The hashes are what the strategy's next() gives, so another strategy, or another leaf
 * size, can't use them: then the log is replayed from its beginning.
 */
#include "hash_store.h"

enum {
	HEADER_BYTES = 128,
	BLOCK_HEADER_BYTES = 16,
	ENTRY_BYTES = 16,
	SEGMENT_BYTES = 24,
	BLOCK_MAX = 1 << 20, /* entries; a leaf has fewer */
	MAJOR = 1,
	MINOR = 0,
};

static const char magic[8] = "KVHASHIX";

/* ---- writing ---- */

struct writer {
	struct hash_store *s;
	struct file *f;
	uint64_t offset;
	uint32_t block;
	struct kv_buf out; /* a block, or the list */
	uint64_t segments;
};

static int write_out(struct writer *w)
{
	int error = file_write(w->f, w->offset, w->out.data, w->out.len);

	w->offset += w->out.len;
	w->out.len = 0;
	return error;
}

static int add_pair(struct kv_buf *b, uint64_t x, uint64_t y)
{
	uint8_t pair[16];

	port_put_le64(pair, x);
	port_put_le64(pair + 8, y);
	return kv_buf_append(b, pair, sizeof(pair));
}

static int add_segment(void *arg, const struct log_segment *seg)
{
	struct writer *w = arg;
	uint8_t one[SEGMENT_BYTES];

	w->segments++;
	port_put_le64(one, seg->number);
	port_put_le64(one + 8, seg->live);
	port_put_le64(one + 16, seg->marks);
	return kv_buf_append(&w->out, one, sizeof(one));
}

static int add_entry(void *arg, const struct hash_entry *e)
{
	struct writer *w = arg;

	return e->address >= HASH_PENDING ? 0 : add_pair(&w->out, e->hash, e->address);
}

static int write_list(struct writer *w)
{
	uint8_t tail[8] = { 0 };
	int error = log_segments(w->s->log, add_segment, w);

	if (error)
		return error;
	port_put_le32(tail, port_crc32c(0, w->out.data, w->out.len));
	error = kv_buf_append(&w->out, tail, sizeof(tail));
	return error ? error : write_out(w);
}

static uint32_t block_crc(const uint8_t *block, size_t entries)
{
	return port_crc32c(port_crc32c(0, block, 8), block + BLOCK_HEADER_BYTES,
			   entries * ENTRY_BYTES);
}

static int begin_block(struct writer *w)
{
	static const uint8_t zero[BLOCK_HEADER_BYTES];

	return kv_buf_set(&w->out, zero, sizeof(zero));
}

static int end_block(struct writer *w)
{
	size_t entries = (w->out.len - BLOCK_HEADER_BYTES) / ENTRY_BYTES;
	uint8_t *p = w->out.data;

	port_put_le32(p, (uint32_t)entries);
	port_put_le32(p + 4, w->block++);
	port_put_le32(p + 8, block_crc(p, entries));
	return write_out(w);
}

/* Many leaves go into one block, so that small ones don't make small writes. */
static int write_entries(struct writer *w)
{
	uint32_t prefix = 0;
	int error = begin_block(w);

	while (!error && prefix < 1u << HASH_PREFIX_BITS) {
		error = hash_index_walk_leaf(w->s->index, &prefix, add_entry, w);
		if (!error && w->out.len >= BLOCK_MAX / 2) {
			error = end_block(w);
			if (!error)
				error = begin_block(w);
		}
	}
	if (!error && w->out.len > BLOCK_HEADER_BYTES)
		error = end_block(w);
	if (!error)
		error = begin_block(w);
	return error ? error : end_block(w);
}

static int write_header(struct writer *w, uint64_t position)
{
	struct hash_store *s = w->s;
	struct hash_index_stats ix;
	uint8_t h[HEADER_BYTES] = { 0 };
	int64_t keys = 0, live = 0;
	unsigned int i;

	hash_index_stats(s->index, &ix);
	for (i = 0; i < HASH_SHARDS; i++) {
		hash_index_lock(s->index, i);
		keys += s->count[i].keys;
		live += s->count[i].live_bytes;
		hash_index_unlock(s->index, i);
	}
	memcpy(h, magic, sizeof(magic));
	port_put_le16(h + 8, MAJOR);
	port_put_le16(h + 10, MINOR);
	port_put_le32(h + 12, (uint32_t)s->option[HASH_LEAF]);
	port_put_le64(h + 16, s->id);
	port_put_le64(h + 24, position);
	port_put_le64(h + 32, s->option[HASH_SEGMENT_BYTES]);
	port_put_le64(h + 40, w->segments);
	port_put_le64(h + 48, ix.entries);
	port_put_le64(h + 56, (uint64_t)keys);
	port_put_le64(h + 64, (uint64_t)live);
	port_put_le32(h + 72, (uint32_t)s->option[HASH_TABLE]);
	port_put_le32(h + 124, port_crc32c(0, h, 124));
	return file_write(w->f, 0, h, sizeof(h));
}

static int write_file(struct writer *w, uint64_t position)
{
	int error = write_list(w);

	if (!error)
		error = write_entries(w);
	if (!error)
		error = write_header(w, position);
	/* No address in it may be of a record that a crash can still take away. */
	if (!error)
		error = log_sync(w->s->log, log_end(w->s->log) - 1);
	return error ? error : file_sync(w->f);
}

int hash_checkpoint_write(struct hash_store *s)
{
	struct env *env = s->base.env;
	struct writer w = { .s = s, .offset = HEADER_BYTES };
	char path[ENV_PATH_MAX], temporary[ENV_PATH_MAX];
	uint64_t position = log_end(s->log);
	int error;

	/* Nothing new, or nothing at all. */
	if (position == s->checkpoint_position || position == log_begin(s->log))
		return 0;
	hash_sweep(s);
	error = env_path(path, s->dir, "INDEX");
	if (!error)
		error = env_path(temporary, s->dir, "INDEX.tmp");
	if (!error)
		error = env_open(env, temporary, ENV_WRITE | ENV_CREATE | ENV_TRUNCATE,
				 &w.f);
	if (error)
		return error;
	error = write_file(&w, position);
	file_close(w.f);
	kv_buf_free(&w.out);
	if (!error)
		error = env->ops->rename(env, temporary, path);
	if (!error)
		error = env->ops->sync_dir(env, s->dir);
	if (error) {
		(void)env->ops->unlink(env, temporary);
		return error;
	}
	port_mutex_lock(&s->lock);
	s->checkpoint_position = position;
	s->stat_checkpoints++;
	port_mutex_unlock(&s->lock);
	return 0;
}

/* ---- reading ---- */

struct hash_checkpoint_reader {
	struct hash_store *s;
	struct file *f;
	char path[ENV_PATH_MAX];
	uint64_t offset;
	struct kv_buf in;
};

static int damaged(struct hash_checkpoint_reader *r, const char *what, struct kv_msg *why)
{
	return kv_fail(why, -ENOENT, "%s: %s; the log was read instead", r->path, what);
}

/* len bytes at the reader's offset; a short file is a damaged one. */
static int read_next(struct hash_checkpoint_reader *r, size_t len, size_t at,
		     struct kv_msg *why)
{
	size_t got = 0;
	int error = kv_buf_reserve(&r->in, at + len);

	if (!error)
		error = file_read(r->f, r->offset, (uint8_t *)r->in.data + at, len, &got);
	if (error == -ENOMEM)
		return error;
	if (error)
		return damaged(r, "cannot be read", why);
	if (got < len)
		return damaged(r, "ends too early", why);
	r->offset += len;
	return 0;
}

static int read_header(struct hash_checkpoint_reader *r, struct hash_checkpoint *out,
		       struct kv_msg *why)
{
	const struct hash_store *s = r->s;
	const uint8_t *h;
	int error = read_next(r, HEADER_BYTES, 0, why);

	if (error)
		return error;
	h = r->in.data;
	if (memcmp(h, magic, sizeof(magic)) ||
	    port_get_le32(h + 124) != port_crc32c(0, h, 124))
		return damaged(r, "header damaged", why);
	if (port_get_le16(h + 8) != MAJOR)
		return damaged(r, "of another format", why);
	if (port_get_le64(h + 16) != s->id ||
	    port_get_le64(h + 32) != s->option[HASH_SEGMENT_BYTES])
		return damaged(r, "of another store", why);
	out->other = port_get_le32(h + 12) != s->option[HASH_LEAF] ||
		     port_get_le32(h + 72) != s->option[HASH_TABLE];
	if (out->other)
		(void)damaged(r, "made with another table or leaf", why);
	out->position = port_get_le64(h + 24);
	out->segments = (size_t)port_get_le64(h + 40);
	out->entries = port_get_le64(h + 48);
	out->keys = port_get_le64(h + 56);
	out->live_bytes = port_get_le64(h + 64);
	return 0;
}

static int read_list(struct hash_checkpoint_reader *r, struct hash_checkpoint *out,
		     struct kv_msg *why)
{
	size_t bytes, i;
	const uint8_t *p;
	int error;

	if (out->segments > 1 << 24)
		return damaged(r, "header damaged", why);
	bytes = out->segments * SEGMENT_BYTES;
	error = read_next(r, bytes + 8, 0, why);
	if (error)
		return error;
	p = r->in.data;
	if (port_get_le32(p + bytes) != port_crc32c(0, p, bytes))
		return damaged(r, "list of segments damaged", why);
	out->segment = port_alloc(out->segments * sizeof(*out->segment));
	out->live = port_alloc(out->segments * sizeof(*out->live));
	out->marks = port_alloc(out->segments * sizeof(*out->marks));
	if (!out->segment || !out->live || !out->marks)
		return -ENOMEM;
	for (i = 0; i < out->segments; i++, p += SEGMENT_BYTES) {
		out->segment[i] = port_get_le64(p);
		out->live[i] = port_get_le64(p + 8);
		out->marks[i] = port_get_le64(p + 16);
	}
	return 0;
}

int hash_checkpoint_open(struct hash_store *s, struct hash_checkpoint_reader **r,
			 struct hash_checkpoint *out, struct kv_msg *why)
{
	struct hash_checkpoint_reader *reader = port_alloc(sizeof(*reader));
	int error;

	if (!reader)
		return -ENOMEM;
	memset(reader, 0, sizeof(*reader));
	reader->s = s;
	error = env_path(reader->path, s->dir, "INDEX");
	if (!error)
		error = env_open(s->base.env, reader->path, ENV_READ, &reader->f);
	if (error && error != -ENOENT && error != -ENOMEM)
		error = damaged(reader, "cannot be opened", why);
	if (!error)
		error = read_header(reader, out, why);
	if (!error)
		error = read_list(reader, out, why);
	if (error) {
		hash_checkpoint_free(out);
		hash_checkpoint_close(reader);
		return error;
	}
	*r = reader;
	return 0;
}

static int load_block(struct hash_checkpoint_reader *r, uint32_t number,
		      uint32_t *entries, struct kv_msg *why)
{
	const uint8_t *p;
	uint32_t i;
	int error = read_next(r, BLOCK_HEADER_BYTES, 0, why);

	if (error)
		return error;
	*entries = port_get_le32(r->in.data);
	if (*entries > BLOCK_MAX)
		return damaged(r, "block damaged", why);
	error = read_next(r, (size_t)*entries * ENTRY_BYTES, BLOCK_HEADER_BYTES, why);
	if (error)
		return error;
	p = r->in.data;
	if (port_get_le32(p + 4) != number ||
	    port_get_le32(p + 8) != block_crc(p, *entries))
		return damaged(r, "block damaged", why);
	for (i = 0, p += BLOCK_HEADER_BYTES; !error && i < *entries;
	     i++, p += ENTRY_BYTES)
		error = hash_index_insert(r->s->index, port_get_le64(p),
					  port_get_le64(p + 8));
	return error;
}

int hash_checkpoint_load(struct hash_checkpoint_reader *r, struct kv_msg *why)
{
	uint32_t number = 0, entries = 1;
	int error = 0;

	while (!error && entries)
		error = load_block(r, number++, &entries, why);
	return error;
}

void hash_checkpoint_close(struct hash_checkpoint_reader *r)
{
	if (!r)
		return;
	file_close(r->f);
	kv_buf_free(&r->in);
	port_free(r);
}

void hash_checkpoint_free(struct hash_checkpoint *c)
{
	port_free(c->segment);
	port_free(c->live);
	port_free(c->marks);
	*c = (struct hash_checkpoint){ 0 };
}
