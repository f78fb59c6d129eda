/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_checkpoint.c - the index as a file, INDEX: Bitcask's hint file for all segments.
 *
 * It is written while writes go on. Its position is taken first; whatever was written
 * before that is in the index by then, so the image plus the log from that position on is
 * the whole store. The file becomes INDEX by a rename, after the log is durable up to the
 * last address that it can hold.
 *
 * Its bytes: hash_format.h. The hashes are what the strategy's next() gives, so another
 * strategy, or another leaf size, can't use them: then the log is replayed from its
 * beginning.
 */
#include "hash_format.h"
#include "hash_store.h"

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
	uint8_t one[HASH_INDEX_SEGMENT_BYTES];

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
	uint8_t tail[HASH_INDEX_LIST_TAIL_BYTES] = { 0 };
	int error = log_segments(w->s->log, add_segment, w);

	if (error)
		return error;
	port_put_le32(tail, port_crc32c(0, w->out.data, w->out.len));
	error = kv_buf_append(&w->out, tail, sizeof(tail));
	return error ? error : write_out(w);
}

static int begin_block(struct writer *w)
{
	static const uint8_t zero[HASH_INDEX_BLOCK_HEADER_BYTES];

	return kv_buf_set(&w->out, zero, sizeof(zero));
}

static int end_block(struct writer *w)
{
	size_t entries =
		(w->out.len - HASH_INDEX_BLOCK_HEADER_BYTES) / HASH_INDEX_ENTRY_BYTES;
	uint8_t *p = w->out.data;

	port_put_le32(p, (uint32_t)entries);
	port_put_le32(p + 4, w->block++);
	port_put_le32(p + 8, hash_index_block_crc(p, entries));
	return write_out(w);
}

/* Many leaves go into one block, so that small ones don't make small writes. */
static int write_entries(struct writer *w)
{
	uint32_t prefix = 0;
	int error = begin_block(w);

	while (!error && prefix < 1u << HASH_PREFIX_BITS) {
		error = hash_index_walk_leaf(w->s->index, &prefix, add_entry, w);
		if (!error && w->out.len >= HASH_INDEX_BLOCK_MAX / 2) {
			error = end_block(w);
			if (!error)
				error = begin_block(w);
		}
	}
	if (!error && w->out.len > HASH_INDEX_BLOCK_HEADER_BYTES)
		error = end_block(w);
	if (!error)
		error = begin_block(w);
	return error ? error : end_block(w);
}

/* How entries' hashes lead to places, beside the leaf's size. */
static uint32_t placement(const struct hash_store *s)
{
	return (uint32_t)s->option[HASH_TABLE] | HASH_INDEX_LAYOUT << 8;
}

static int write_header(struct writer *w, uint64_t position)
{
	struct hash_store *s = w->s;
	struct hash_index_header h = {
		.major = HASH_INDEX_MAJOR,
		.minor = HASH_INDEX_MINOR,
		.leaf = (uint32_t)s->option[HASH_LEAF],
		.table = placement(s),
		.store_id = s->id,
		.position = position,
		.segment_bytes = s->option[HASH_SEGMENT_BYTES],
		.segments = w->segments,
	};
	uint8_t header[HASH_INDEX_HEADER_BYTES];
	struct hash_index_stats ix;
	unsigned int i;

	hash_index_stats(s->index, &ix);
	h.entries = ix.entries;
	for (i = 0; i < HASH_SHARDS; i++) {
		hash_index_lock(s->index, i);
		h.keys += (uint64_t)s->count[i].keys;
		h.live_bytes += (uint64_t)s->count[i].live_bytes;
		hash_index_unlock(s->index, i);
	}
	hash_index_header_encode(&h, header);
	return file_write(w->f, 0, header, sizeof(header));
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
	struct writer w = { .s = s, .offset = HASH_INDEX_HEADER_BYTES };
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
	uint64_t offset, size; /* of the file; counts are held against it */
	struct kv_buf in;
};

static int damaged(struct hash_checkpoint_reader *r, const char *what, struct kv_msg *why)
{
	return kv_fail(why, -ENOENT, "%s: %s; the log was read instead", r->path, what);
}

/* len bytes at the reader's offset; a short file is a damaged one, and is not given memory
 * for what it has not. */
static int read_next(struct hash_checkpoint_reader *r, size_t len, size_t at,
		     struct kv_msg *why)
{
	size_t got = 0;
	int error;

	if (len > r->size - r->offset)
		return damaged(r, "ends too early", why);
	error = kv_buf_reserve(&r->in, at + len);
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
	struct hash_index_header h;
	const char *wrong;
	int error = read_next(r, HASH_INDEX_HEADER_BYTES, 0, why);

	if (error)
		return error;
	wrong = hash_index_header_decode(&h, r->in.data);
	if (wrong)
		return damaged(r, wrong, why);
	if (h.store_id != s->id || h.segment_bytes != s->option[HASH_SEGMENT_BYTES])
		return damaged(r, "of another store", why);
	out->other = h.leaf != s->option[HASH_LEAF] || h.table != placement(s);
	if (out->other)
		(void)damaged(r, "made with another table or leaf", why);
	out->position = h.position;
	out->segments = (size_t)h.segments;
	/* "About" so many, and never more than the file has room for. */
	out->entries = r->size / HASH_INDEX_ENTRY_BYTES;
	if (out->entries > h.entries)
		out->entries = h.entries;
	out->keys = h.keys;
	out->live_bytes = h.live_bytes;
	return 0;
}

static int read_list(struct hash_checkpoint_reader *r, struct hash_checkpoint *out,
		     struct kv_msg *why)
{
	size_t bytes = out->segments * HASH_INDEX_SEGMENT_BYTES, i;
	const uint8_t *p;
	int error = read_next(r, bytes + HASH_INDEX_LIST_TAIL_BYTES, 0, why);
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
	for (i = 0; i < out->segments; i++, p += HASH_INDEX_SEGMENT_BYTES) {
		out->segment[i] = port_get_le64(p);
		if (i && out->segment[i] <= out->segment[i - 1])
			return damaged(r, "list of segments out of order", why);
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
	if (!error)
		error = reader->f->ops->size(reader->f, &reader->size);
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
	int error = read_next(r, HASH_INDEX_BLOCK_HEADER_BYTES, 0, why);

	if (error)
		return error;
	*entries = port_get_le32(r->in.data);
	if (*entries > HASH_INDEX_BLOCK_MAX)
		return damaged(r, "block damaged", why);
	error = read_next(r, (size_t)*entries * HASH_INDEX_ENTRY_BYTES,
			  HASH_INDEX_BLOCK_HEADER_BYTES, why);
	if (error)
		return error;
	p = r->in.data;
	if (port_get_le32(p + 4) != number ||
	    port_get_le32(p + 8) != hash_index_block_crc(p, *entries))
		return damaged(r, "block damaged", why);
	for (i = 0, p += HASH_INDEX_BLOCK_HEADER_BYTES; !error && i < *entries;
	     i++, p += HASH_INDEX_ENTRY_BYTES)
		error = hash_index_insert(r->s->index, port_get_le64(p),
					  port_get_le64(p + 8));
	return error == -ENOSPC ? damaged(r, "too many equal hashes", why) : error;
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
