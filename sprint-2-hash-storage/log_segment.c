/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * log_segment.c - the files of a log.
 *
 * A segment comes into being under a name that is nobody's (a spare's), gets its blocks
 * and its header, is synced, and only then renamed; so a file with a segment's name always
 * has a good header, and a header that is damaged was damaged later.
 */
#include "log_internal.h"

enum { COPY_BYTES = 1 << 20 };

/* ---- names ---- */

static int segment_path(const char *dir, uint64_t number, char *path)
{
	char name[32];

	(void)snprintf(name, sizeof(name), "%012llx.log", (unsigned long long)number);
	return env_path(path, dir, name);
}

int log_segment_path(const struct log *log, uint64_t number, char *path)
{
	return segment_path(log->dir, number, path);
}

static int spare_path(const struct log *log, uint64_t i, char *path)
{
	char name[32];

	(void)snprintf(name, sizeof(name), "%012llx.spare", (unsigned long long)i);
	return env_path(path, log->dir, name);
}

bool log_parse_name(const char *name, const char *suffix, uint64_t *number)
{
	uint64_t v = 0;
	int i;

	for (i = 0; i < 12; i++) {
		char c = name[i];

		if (c >= '0' && c <= '9')
			v = v << 4 | (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			v = v << 4 | (uint64_t)(c - 'a' + 10);
		else
			return false;
	}
	*number = v;
	return !strcmp(name + 12, suffix);
}

struct listing {
	struct log *log;
	uint64_t *number;
	size_t n, cap;
};

static int list_name(void *arg, const char *name)
{
	struct listing *l = arg;
	uint64_t number;

	if (log_parse_name(name, ".spare", &number)) {
		l->log->spares++;
		if (number >= l->log->spare_next)
			l->log->spare_next = number + 1;
		return 0;
	}
	if (!log_parse_name(name, ".log", &number))
		return 0;
	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 64;
		uint64_t *grown = port_realloc(l->number, l->cap * sizeof(*grown),
					       cap * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		l->number = grown;
		l->cap = cap;
	}
	l->number[l->n++] = number;
	return 0;
}

static int compare_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

int log_directory(struct log *log, uint64_t **number, size_t *n)
{
	struct listing l = { .log = log };
	int error;

	log->spares = 0;
	error = log->config.env->ops->list(log->config.env, log->dir, list_name, &l);
	if (error) {
		port_free(l.number);
		return error;
	}
	if (l.n)
		port_sort(l.number, l.n, sizeof(*l.number), compare_number);
	*number = l.number;
	*n = l.n;
	return 0;
}

/* ---- the table of segments ---- */

static struct log_leaf **leaf_of(struct log *log, uint64_t number)
{
	return &log->root[(number >> LOG_LEAF_BITS) & (LOG_ROOT - 1)];
}

struct log_segment_file *log_segment_find(struct log *log, uint64_t number)
{
	struct log_leaf *leaf = port_load_acquire(leaf_of(log, number));
	struct log_segment_file *s =
		leaf ? port_load_acquire(&leaf->segment[number & (LOG_LEAF - 1)]) : NULL;

	/* Not one that is a whole circle older or newer. */
	return s && number - s->number < s->units ? s : NULL;
}

static int publish_number(struct log *log, uint64_t number, struct log_segment_file *s)
{
	struct log_leaf *leaf = *leaf_of(log, number);

	if (!leaf) {
		leaf = port_alloc(sizeof(*leaf));
		if (!leaf)
			return -ENOMEM;
		memset(leaf, 0, sizeof(*leaf));
		port_store_release(leaf_of(log, number), leaf);
	}
	if (leaf->segment[number & (LOG_LEAF - 1)])
		return -EFBIG;
	port_store_release(&leaf->segment[number & (LOG_LEAF - 1)], s);
	return 0;
}

void log_segment_unpublish(struct log *log, const struct log_segment_file *s)
{
	uint64_t number;

	for (number = s->number; number - s->number < s->units; number++) {
		struct log_leaf *leaf = *leaf_of(log, number);

		if (leaf && leaf->segment[number & (LOG_LEAF - 1)] == s)
			port_store_release(&leaf->segment[number & (LOG_LEAF - 1)], NULL);
	}
}

int log_segment_publish(struct log *log, struct log_segment_file *s)
{
	uint64_t i;
	int error = log_numbers_fit(log, s->number, s->units) ? 0 : -EFBIG;

	for (i = 0; !error && i < s->units; i++)
		error = publish_number(log, s->number + i, s);
	if (error)
		log_segment_unpublish(log, s);
	return error;
}

/* ---- bytes ---- */

int log_segment_bytes(struct log_segment_file *s, uint64_t offset, size_t len,
		      struct kv_buf *buf, const uint8_t **out)
{
	size_t got = 0;
	int error;

	if (offset > s->bytes || len > s->bytes - offset)
		return -ENODATA;
	if (s->map) {
		*out = s->map + offset;
		return 0;
	}
	error = kv_buf_reserve(buf, len);
	if (!error)
		error = file_read(s->file, offset, buf->data, len, &got);
	/* Fewer bytes than the file has: not its end, and no reason to cut it there. */
	if (!error && got < len)
		error = -EIO;
	*out = buf->data;
	return error;
}

static int write_bytes(struct log_segment_file *s, uint64_t offset, const uint8_t *p,
		       size_t len)
{
	if (!s->map)
		return file_write(s->file, offset, p, len);
	memcpy(s->map + offset, p, len);
	return 0;
}

static void encode_end(uint32_t id, uint32_t unsynced, uint8_t *header)
{
	struct log_record_header h = {
		.log_id = id,
		.unsynced = unsynced,
		.type = LOG_TYPE_END,
	};

	log_record_header_encode(&h, 0, header);
}

int log_segment_end(struct log_segment_file *s, uint32_t unsynced)
{
	uint8_t header[LOG_HEADER_BYTES];

	encode_end(s->log_id, unsynced, header);
	/* A file that damage has cut short grows again, behind its map. */
	if (s->bytes - s->end < sizeof(header))
		return file_write(s->file, s->end, header, sizeof(header));
	return write_bytes(s, s->end, header, sizeof(header));
}

/* ---- life ---- */

void log_segment_close(struct log_segment_file *s)
{
	if (!s)
		return;
	if (s->map)
		s->file->ops->unmap(s->file, s->map, s->bytes);
	file_close(s->file);
	port_free_aligned(s);
}

static int segment_new(struct log *log, uint64_t number, uint32_t units, uint64_t bytes,
		       struct file *f, struct log_segment_file **out)
{
	struct log_segment_file *s = port_alloc_aligned(64, sizeof(*s));
	void *map = NULL;
	int error = 0;

	if (!s)
		return -ENOMEM;
	*s = (struct log_segment_file){
		.number = number,
		.bytes = bytes,
		.units = units,
		.file = f,
		.log_id = log_id(log->config.store_id, number),
		.end = LOG_SEGMENT_HEADER_BYTES,
	};
	if (log->config.map)
		error = f->ops->map(f, 0, bytes, true, &map);
	if (error && error != -EOPNOTSUPP) {
		port_free_aligned(s);
		return error;
	}
	s->map = map;
	*out = s;
	return 0;
}

/* Blocks for the whole file now, so that no later append finds the disk full. */
static int allocate(struct file *f, uint64_t bytes)
{
	static const uint8_t zeros[4096];
	uint64_t offset;
	int error = f->ops->allocate(f, 0, bytes);

	if (error != -EOPNOTSUPP)
		return error;
	for (offset = 0; offset < bytes && (!error || error == -EOPNOTSUPP);
	     offset += sizeof(zeros))
		error = file_write(f, offset, zeros, sizeof(zeros));
	return error;
}

/* A spare may be longer: a crash came while a huge segment was made of it. */
static int cut_to(struct file *f, uint64_t bytes)
{
	uint64_t size;
	int error = f->ops->size(f, &size);

	return error || size <= bytes ? error : f->ops->truncate(f, bytes);
}

/* A file of its own. One that is there under this name became a spare without its new name
 * being made durable: on disk it may still be a segment, so its bytes must stay. */
static int open_new(struct env *env, const char *path, struct file **out)
{
	int error = env->ops->unlink(env, path);

	if (error && error != -ENOENT)
		return error;
	return env_open(env, path, ENV_READ | ENV_WRITE | ENV_CREATE | ENV_EXCLUSIVE,
			out);
}

int log_spare_create(struct log *log)
{
	struct env *env = log->config.env;
	char path[ENV_PATH_MAX];
	struct file *f = NULL;
	int error = spare_path(log, log->spare_next, path);

	if (!error)
		error = open_new(env, path, &f);
	if (error)
		return error;
	error = allocate(f, log->config.segment_bytes);
	file_close(f);
	if (error)
		(void)env->ops->unlink(env, path);
	return error;
}

int log_spare_remove(struct log *log)
{
	char path[ENV_PATH_MAX];
	int error = spare_path(log, log->spare_next - 1, path);

	return error ? error : log->config.env->ops->unlink(log->config.env, path);
}

int log_segment_create(struct log *log, uint64_t number, uint64_t bytes, bool spare,
		       struct log_segment_file **out)
{
	struct env *env = log->config.env;
	uint32_t units =
		(uint32_t)((bytes + log->config.segment_bytes - 1) >> log->shift);
	uint8_t header[LOG_SEGMENT_HEADER_BYTES];
	struct log_segment_header h = {
		.major = LOG_MAJOR,
		.minor = LOG_MINOR,
		.units = units,
		.store_id = log->config.store_id,
		.number = number,
		.segment_bytes = log->config.segment_bytes,
	};
	char from[ENV_PATH_MAX], to[ENV_PATH_MAX];
	struct log_segment_file *s = NULL;
	struct file *f = NULL;
	int error;

	error = spare_path(log, spare ? log->spare_next - 1 : log->spare_next, from);
	if (!error)
		error = log_segment_path(log, number, to);
	if (!error && spare)
		error = env_open(env, from, ENV_READ | ENV_WRITE | ENV_CREATE, &f);
	else if (!error)
		error = open_new(env, from, &f);
	if (error)
		return error;
	error = cut_to(f, bytes);
	if (!error)
		error = allocate(f, bytes);
	if (error)
		goto out_unlink;
	log_segment_header_encode(&h, header);
	error = file_write(f, 0, header, sizeof(header));
	if (!error)
		error = file_sync(f);
	if (!error)
		error = segment_new(log, number, units, bytes, f, &s);
	if (error)
		goto out_unlink;
	error = env->ops->rename(env, from, to);
	if (!error)
		error = env->ops->sync_dir(env, log->dir);
	if (error) {
		log_segment_close(s);
		return error;
	}
	*out = s;
	return 0;

out_unlink:
	/* A file that could not be made whole is no use as a spare either. */
	file_close(f);
	(void)env->ops->unlink(env, from);
	return error;
}

int log_segment_open(struct log *log, uint64_t number, struct log_segment_file **out,
		     struct kv_msg *why)
{
	uint8_t header[LOG_SEGMENT_HEADER_BYTES];
	char path[ENV_PATH_MAX];
	struct log_segment_header h;
	struct kv_msg reason;
	struct file *f = NULL;
	uint64_t size = 0;
	int error;

	error = log_segment_path(log, number, path);
	if (!error)
		error = env_open(log->config.env, path, ENV_READ | ENV_WRITE, &f);
	if (error)
		return kv_fail(why, error, "%s: cannot be opened", path);
	error = file_read_exact(f, path, 0, header, sizeof(header), why);
	if (error)
		goto out;
	error = log_segment_header_decode(&h, header, &reason);
	if (error) {
		error = kv_fail(why, error, "%s: %s", path, reason.text);
		goto out;
	}
	error = f->ops->size(f, &size);
	if (error)
		goto out;
	if (h.store_id != log->config.store_id || h.number != number ||
	    h.segment_bytes != log->config.segment_bytes || !h.units ||
	    h.units > UINT64_MAX >> log->shift ||
	    size > (uint64_t)h.units << log->shift ||
	    size <= (uint64_t)(h.units - 1) << log->shift) {
		error = kv_fail(
			why, -EBADMSG,
			"%s: header says store %016llx, segment %llx of %u x %llu bytes, "
			"file has %llu: not this log's file, or cut short",
			path, (unsigned long long)h.store_id,
			(unsigned long long)h.number, h.units,
			(unsigned long long)h.segment_bytes, (unsigned long long)size);
		goto out;
	}
	error = segment_new(log, number, h.units, size, f, out);
out:
	if (error)
		file_close(f);
	return error;
}

int log_segment_discard(struct log *log, uint64_t number, bool keep_as_spare)
{
	struct env *env = log->config.env;
	char from[ENV_PATH_MAX], to[ENV_PATH_MAX];
	int error = log_segment_path(log, number, from);

	if (error)
		return error;
	if (!keep_as_spare)
		return env->ops->unlink(env, from);
	error = spare_path(log, log->spare_next, to);
	if (!error)
		error = env->ops->rename(env, from, to);
	return error;
}

/* ---- copies ---- */

static int copy_bytes(struct log_segment_file *s, struct file *to, uint64_t end)
{
	struct kv_buf buf = { 0 };
	const uint8_t *p;
	uint64_t at;
	size_t n;
	int error = 0;

	for (at = 0; !error && at < end; at += n) {
		n = end - at < COPY_BYTES ? (size_t)(end - at) : COPY_BYTES;
		error = log_segment_bytes(s, at, n, &buf, &p);
		if (!error)
			error = file_write(to, at, p, n);
	}
	kv_buf_free(&buf);
	return error == -ENODATA ? -EBADMSG : error;
}

/* Of a copy: it is part of a store only once all of it is durable. */
static int end_copy(uint32_t id, struct file *f, uint64_t offset)
{
	uint8_t header[LOG_HEADER_BYTES];

	encode_end(id, 0, header);
	return file_write(f, offset, header, sizeof(header));
}

int log_copy(struct log *log, const struct log_segment *seg, const char *dir)
{
	struct log_segment_file *s = log_segment_find(log, seg->number);
	uint64_t end = seg->end - (seg->number << log->shift);
	struct file *to = NULL;
	char path[ENV_PATH_MAX];
	int error;

	if (!s)
		return -ENOENT;
	error = segment_path(dir, seg->number, path);
	if (!error)
		error = env_open(log->config.env, path,
				 ENV_WRITE | ENV_CREATE | ENV_EXCLUSIVE, &to);
	if (!error)
		error = copy_bytes(s, to, end);
	/* The copy ends where the segment ended then. */
	if (!error && s->bytes - end >= LOG_HEADER_BYTES)
		error = end_copy(s->log_id, to, end);
	if (!error)
		error = file_sync(to);
	file_close(to);
	return error;
}
