/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * log_recover.c - reads a log from disk and decides where it ends.
 *
 * A place that holds no record is one of three things. The end: what follows was never
 * written. A torn tail: it was written and not synced when power went, so that this part
 * of it is missing, though later parts may have come out. Or corruption: it was durable
 * once. Each record tells how far the log was durable when it was written, so a good
 * record behind the place whose promise reaches beyond it proves corruption, and so does
 * what the owner knows (log_config.durable); without such a proof the tail is cut. An end
 * mark is a record, too: closing writes the last one when all before it is durable.
 */
#include "log_internal.h"

int log_record_at(struct log *log, struct log_segment_file *s, uint64_t offset,
		  struct kv_buf *buf, struct log_record *out, uint64_t *synced,
		  struct kv_msg *why)
{
	/* EXERCISE 2.5 begin: trust no field before it is checked
	 *|	if (synced)
	 *|		*synced = 0;
	 *|	return kv_fail(why, -ENODATA, "no record");
	 */
	struct log_record_header h;
	uint8_t header[LOG_HEADER_BYTES];
	const uint8_t *p, *payload;
	uint64_t position = (s->number << log->shift) + offset, back;
	int error;

	if (offset > s->bytes || s->bytes - offset < LOG_HEADER_BYTES)
		return kv_fail(why, -ENODATA, "the segment's end");
	error = log_segment_bytes(s, offset, sizeof(header), buf, &p);
	if (error)
		return error;
	memcpy(header, p, sizeof(header));
	log_record_header_decode(&h, header);
	if (h.log_id != s->log_id)
		return kv_fail(why, -ENODATA, "log id %08x, wanted %08x", h.log_id,
			       s->log_id);
	if (h.len > s->bytes - offset - LOG_HEADER_BYTES)
		return kv_fail(why, -ENODATA, "a length of %u bytes, beyond the segment",
			       h.len);
	if (log_record_bytes(h.len) > s->bytes - offset)
		return kv_fail(why, -ENODATA, "the file's end within the padding");
	error = log_segment_bytes(s, offset + LOG_HEADER_BYTES, h.len, buf, &payload);
	if (error)
		return error;
	if (log_record_crc(header, port_crc32c(0, payload, h.len)) != h.crc)
		return kv_fail(why, -ENODATA, "CRC %08x, wanted %08x",
			       log_record_crc(header, port_crc32c(0, payload, h.len)),
			       h.crc);
	back = (uint64_t)h.unsynced * LOG_ALIGN;
	if (synced)
		*synced =
			h.unsynced == UINT32_MAX || back > position ? 0 : position - back;
	*out = (struct log_record){
		.position = position,
		.end = position + log_record_bytes(h.len),
		.sequence = h.sequence,
		.type = h.type,
		.payload = kv_slice(payload, h.len),
		.checked = true,
	};
	return 0;
	/* EXERCISE 2.5 end */
}

int log_each_record(const struct log_record *r, log_record_fn *fn, void *arg)
{
	uint64_t at = 0;
	int error = 0;

	if (r->type != LOG_TYPE_GROUP)
		return fn(arg, r);
	/* The group's CRC is good, so what is in it was put there by log_append(). */
	while (!error && at < r->payload.len && r->payload.len - at >= LOG_HEADER_BYTES) {
		const uint8_t *p = (const uint8_t *)r->payload.data + at;
		struct log_record_header h;
		struct log_record one;

		log_record_header_decode(&h, p);
		if (h.len > r->payload.len - at - LOG_HEADER_BYTES)
			return -EBADMSG;
		one = (struct log_record){
			.position = r->position + LOG_HEADER_BYTES + at,
			.sequence = h.sequence,
			.type = h.type,
			.payload = kv_slice(p + LOG_HEADER_BYTES, h.len),
			.checked = true,
		};
		at += log_record_bytes(h.len);
		one.end = r->position + LOG_HEADER_BYTES + at;
		error = fn(arg, &one);
	}
	return error;
}

struct scan {
	struct log *log;
	struct kv_buf buf;
	uint64_t proven; /* what lies below it was durable, as records or the owner say */
	uint64_t *number; /* the segments that are there, ascending */
	size_t n;
};

/* NULL when its header could not be read. */
static struct log_segment_file *opened(const struct scan *c, size_t i)
{
	struct log_segment_file *s = log_segment_find(c->log, c->number[i]);

	return s && s->number == c->number[i] ? s : NULL;
}

/*
 * Looks at what stands in s at or behind offset: is there a record that promises that
 * `bad` was durable? *tail grows by the bytes from offset to the end of the last thing that
 * looks like a record of this segment: what cutting here drops.
 */
static int look_behind(struct scan *c, struct log_segment_file *s, uint64_t offset,
		       uint64_t bad, bool *promised, uint64_t *tail)
{
	/* EXERCISE 2.5 begin: everything that looks like a record, at each multiple of 8
	 *|	return 0;
	 */
	uint64_t at, last = offset, step;

	for (at = offset; at <= s->bytes - LOG_HEADER_BYTES; at += step) {
		struct log_record_header h;
		struct log_record r;
		const uint8_t *p;
		uint64_t synced = 0;
		int error = log_segment_bytes(s, at, LOG_HEADER_BYTES, &c->buf, &p);

		step = LOG_ALIGN;
		if (error)
			return error;
		log_record_header_decode(&h, p);
		if (h.log_id != s->log_id || h.len > s->bytes - at - LOG_HEADER_BYTES)
			continue;
		if (last < at + log_record_bytes(h.len))
			last = at + log_record_bytes(h.len);
		error = log_record_at(c->log, s, at, &c->buf, &r, &synced, NULL);
		if (error && error != -ENODATA)
			return error;
		*promised |= !error && synced > bad;
		/* What looks like a record within one is the owner's payload. */
		step = error ? LOG_ALIGN : log_record_bytes(h.len);
	}
	*tail += last - offset;
	return 0;
	/* EXERCISE 2.5 end */
}

/* The same over s from offset on and over every later segment. */
static int look_behind_all(struct scan *c, size_t i, struct log_segment_file *s,
			   uint64_t offset, uint64_t bad, bool *promised, uint64_t *tail)
{
	int error = look_behind(c, s, offset, bad, promised, tail);

	while (!error && ++i < c->n) {
		s = opened(c, i);
		/* A header that can't be read promises nothing; it is dropped with the tail. */
		if (s)
			error = look_behind(c, s, LOG_SEGMENT_HEADER_BYTES, bad, promised,
					    tail);
	}
	return error;
}

/* Every segment from the given one on goes, the newest first, durably, before the end mark
 * is set: the mark must never lead from a cut segment to one that was dropped. */
static int drop_segments(struct scan *c, size_t from)
{
	struct log *log = c->log;
	size_t i;
	int error = 0;

	for (i = c->n; !error && i > from; i--) {
		struct log_segment_file *s = opened(c, i - 1);

		if (s)
			log_segment_unpublish(log, s);
		log_segment_close(s);
		error = log_segment_discard(log, c->number[i - 1], false);
	}
	if (!error && c->n > from)
		error = log->config.env->ops->sync_dir(log->config.env, log->dir);
	c->n = from < c->n ? from : c->n;
	return error;
}

/* The segment ends at offset without an end mark. Either it is the log's end, or it was
 * torn there, or it is corrupt. */
static int cut(struct scan *c, size_t i, struct log_segment_file *s, uint64_t offset,
	       struct log_recovery *found, const struct kv_msg *reason,
	       struct kv_msg *why)
{
	/* EXERCISE 2.5 begin: corruption, or a torn tail that goes, or just the end
	 *|	return 0;
	 */
	uint64_t bad = (s->number << c->log->shift) + offset;
	bool promised = false;
	char path[ENV_PATH_MAX];
	int error;

	(void)log_segment_path(c->log, s->number, path);
	error = look_behind_all(c, i, s, offset, bad, &promised, &found->bytes_dropped);
	if (error)
		return kv_fail(why, error, "%s: reading behind offset %llu failed", path,
			       (unsigned long long)offset);
	if (promised || bad < c->log->config.durable)
		return kv_fail(
			why, -EBADMSG,
			"%s: offset %llu: %s, in a part that was durable: corruption. "
			"Restore a backup, or salvage what is readable",
			path, (unsigned long long)offset, reason->text);
	error = drop_segments(c, i + 1);
	if (error)
		return kv_fail(why, error, "%s: the torn tail cannot be cut",
			       c->log->dir);
	if (found->bytes_dropped)
		(void)kv_fail(&found->why, 0, "%s: offset %llu: %s; never durable, cut",
			      path, (unsigned long long)offset, reason->text);
	return 0;
	/* EXERCISE 2.5 end */
}

/* Records of one segment from offset on. *ended: there is no more log behind it. */
static int replay_segment(struct scan *c, size_t i, struct log_segment_file *s,
			  uint64_t offset, log_record_fn *replay, void *arg,
			  struct log_recovery *found, bool *ended, struct kv_msg *why)
{
	struct log_record r;
	struct kv_msg reason;
	uint64_t synced;
	int error;

	for (;;) {
		error = log_record_at(c->log, s, offset, &c->buf, &r, &synced, &reason);
		if (error == -ENODATA) {
			s->end = offset;
			*ended = true;
			return cut(c, i, s, offset, found, &reason, why);
		}
		if (error)
			return kv_fail(why, error, "%s: segment %llx cannot be read",
				       c->log->dir, (unsigned long long)s->number);
		if (c->proven < synced)
			c->proven = synced;
		if (r.type == LOG_TYPE_END) {
			s->end = offset;
			return 0;
		}
		found->records++;
		found->bytes += r.end - r.position;
		error = replay ? log_each_record(&r, replay, arg) : 0;
		if (error)
			return kv_fail(
				why, error,
				"%s/%012llx.log: offset %llu: the record cannot be "
				"taken in",
				c->log->dir, (unsigned long long)s->number,
				(unsigned long long)offset);
		offset += r.end - r.position;
	}
}

/* Opens, checks and publishes one segment. */
static int take_in(struct scan *c, size_t i, struct kv_msg *why)
{
	struct log *log = c->log;
	struct log_segment_file *s;
	int error = log_segment_open(log, c->number[i], &s, why);

	if (error)
		return error;
	s->sealed = true; /* whatever comes next goes to a new segment */
	s->synced = true; /* for all that is known of its file */
	s->end = s->bytes;
	s->unread = true;
	error = log_segment_publish(log, s);
	if (error) {
		log_segment_close(s);
		return kv_fail(why, error, "%s/%012llx.log: cannot be taken in", log->dir,
			       (unsigned long long)c->number[i]);
	}
	return 0;
}

/* All of them before the first record is replayed: the owner may have been told of records
 * that come later (by a checkpoint taken while appends went on), and looks at them. A
 * damaged header is the affair of whoever gets there: it may be in the torn tail. */
static int take_in_all(struct scan *c, struct kv_msg *why)
{
	size_t i;
	int error = 0;

	for (i = 0; !error && i < c->n; i++) {
		error = take_in(c, i, why);
		if (error == -EBADMSG)
			error = 0;
	}
	return error;
}

/* Replays one segment if it reaches to from or behind it. One of a huge record has several
 * numbers, of which the file is named by the first. */
static int recover_segment(struct scan *c, size_t i, uint64_t from, log_record_fn *replay,
			   void *arg, struct log_recovery *found, bool *ended,
			   struct kv_msg *why)
{
	struct log *log = c->log;
	struct log_segment_file *s = opened(c, i);
	uint64_t offset = LOG_SEGMENT_HEADER_BYTES;
	int error = s ? 0 : take_in(c, i, why);

	if (error)
		return error;
	s = opened(c, i);
	log->next = s->number + s->units;
	if (from >> log->shift >= log->next)
		return 0;
	s->unread = false;
	if (from > log_first_position(log, s->number))
		offset = log_offset(log, s, from);
	if (offset > s->bytes)
		return kv_fail(why, -EBADMSG,
			       "%s: segment %llx ends before offset %llu, where replay "
			       "begins: restore a backup",
			       log->dir, (unsigned long long)s->number,
			       (unsigned long long)offset);
	return replay_segment(c, i, s, offset, replay, arg, found, ended, why);
}

/* ---- what was replayed is made durable ---- */

enum { COPY_BYTES = 64 << 10 };

/* Writes [at, end) of the segment again, as it is read. */
static int write_again(struct scan *c, struct log_segment_file *s, uint64_t at,
		       uint64_t end)
{
	const uint8_t *p;
	uint64_t n;
	int error = kv_buf_reserve(&c->buf, COPY_BYTES);

	for (; !error && at < end; at += n) {
		n = end - at < COPY_BYTES ? end - at : COPY_BYTES;
		error = log_segment_bytes(s, at, (size_t)n, &c->buf, &p);
		/* Out of the map, whose pages may be taken away while they are written. */
		if (!error && s->map)
			memcpy(c->buf.data, p, (size_t)n);
		if (!error)
			error = file_write(s->file, at, c->buf.data, (size_t)n);
	}
	return error;
}

/*
 * What was replayed may be in the page cache alone: after a crash of the process because
 * nobody had synced it yet, and after a failed sync because the device refused it; then
 * the pages count as clean, and syncing them again would do nothing. So what is not proven
 * durable is written once more before it is synced and built upon.
 */
static int make_durable(struct scan *c, struct log_segment_file *s, bool last)
{
	uint64_t begin = s->number << c->log->shift, at = LOG_SEGMENT_HEADER_BYTES;
	uint64_t end = s->end + LOG_HEADER_BYTES; /* with the end mark */
	int error;

	if (c->proven > begin + at)
		at = c->proven - begin;
	if (last)
		end = s->end;
	error = write_again(c, s, at, end);
	if (!error)
		error = file_sync(s->file);
	if (error || !last)
		return error;
	/* The end mark promises all before it. */
	error = log_segment_end(s, 0);
	return error ? error : file_sync(s->file);
}

/* ended: the last segment has no end mark yet. */
static int make_all_durable(struct scan *c, bool ended, struct kv_msg *why)
{
	struct log *log = c->log;
	size_t i;
	int error = 0;

	for (i = 0; !error && i < c->n; i++)
		if (!opened(c, i)->unread)
			error = make_durable(c, opened(c, i), ended && i + 1 == c->n);
	return error ? kv_fail(why, error,
			       "%s: what was read of the log cannot be made durable",
			       log->dir)
		     : 0;
}

int log_recover(struct log *log, uint64_t from, log_record_fn *replay, void *arg,
		struct log_recovery *found, struct kv_msg *why)
{
	struct scan c = { .log = log, .proven = log->config.durable };
	bool ended = false;
	size_t i;
	int error = log_directory(log, &c.number, &c.n);

	if (error)
		return kv_fail(why, error, "%s: cannot be listed", log->dir);
	/* The names as well may be in memory alone, and nobody synced them yet. */
	error = log->config.env->ops->sync_dir(log->config.env, log->dir);
	if (error)
		error = kv_fail(why, error, "%s: its names cannot be made durable",
				log->dir);
	else
		error = take_in_all(&c, why);
	log->first = c.n ? c.number[0] : 0;
	for (i = 0; !error && !ended && i < c.n; i++)
		error = recover_segment(&c, i, from, replay, arg, found, &ended, why);
	if (!error && from > log_first_position(log, log->next))
		error = kv_fail(
			why, -EBADMSG,
			"%s: ends before %012llx.log, where replay begins: restore "
			"a backup",
			log->dir, (unsigned long long)(from >> log->shift));
	if (!error)
		error = make_all_durable(&c, ended, why);
	kv_buf_free(&c.buf);
	port_free(c.number);
	return error;
}
