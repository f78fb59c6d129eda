/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * log_read.c - what the owner of a log looks at and gives up: records by position, whole
 * segments, how many of their bytes are alive.
 */
#include "log_internal.h"

enum { LINE_BYTES = 64 }; /* of a cache line */

/* ---- read ---- */

/* Where a record's bytes are looked at one after the other, the memory of the next is
 * asked for while the first is awaited. */
static void prefetch_record(const uint8_t *p)
{
	__builtin_prefetch(p);
	__builtin_prefetch(p + LINE_BYTES);
	__builtin_prefetch(p + 2 * LINE_BYTES);
}

/* A record in a map, the way that nearly all are read; false: look more closely. */
static bool read_mapped(const struct log_segment_file *s, uint64_t position,
			uint64_t offset, bool check, struct log_record *out)
{
	const uint8_t *p = s->map + offset, *payload = p + LOG_HEADER_BYTES;
	struct log_record_header h;

	if (offset > s->bytes - LOG_HEADER_BYTES)
		return false;
	prefetch_record(p);
	log_record_header_decode(&h, p);
	if (h.log_id != s->log_id || h.len > s->bytes - offset - LOG_HEADER_BYTES)
		return false;
	if (check && log_record_crc(p, port_crc32c(0, payload, h.len)) != h.crc)
		return false;
	*out = (struct log_record){
		.position = position,
		.end = position + log_record_bytes(h.len),
		.sequence = h.sequence,
		.type = h.type,
		.payload = kv_slice(payload, h.len),
		.checked = check,
	};
	return true;
}

bool log_check(const struct log_record *r)
{
	const uint8_t *p = (const uint8_t *)r->payload.data - LOG_HEADER_BYTES;

	/* Not checked: then it lies in a map, its header before it. */
	return r->checked ||
	       log_record_crc(p, port_crc32c(0, r->payload.data, r->payload.len)) ==
		       port_get_le32(p);
}

/* By read, or to say what is wrong. Twice: the first error may have been the cable's. */
static int read_closely(struct log *log, struct log_segment_file *s, uint64_t position,
			struct kv_buf *buf, struct log_record *out, struct kv_msg *why)
{
	uint64_t offset = log_offset(log, s, position);
	struct kv_msg reason = { "" };
	int error = log_record_at(log, s, offset, buf, out, NULL, &reason);

	if (error)
		error = log_record_at(log, s, offset, buf, out, NULL, &reason);
	if (error == -ENODATA)
		error = kv_fail(why, -EBADMSG, "%s/%012llx.log: offset %llu: %s",
				log->dir, (unsigned long long)s->number,
				(unsigned long long)offset, reason.text);
	return error;
}

int log_read(struct log *log, uint64_t position, bool check, struct kv_buf *buf,
	     struct log_record *out, struct kv_msg *why)
{
	struct log_segment_file *s = log_segment_find(log, position >> log->shift);

	if (!s)
		return -ENOENT;
	if (s->map && read_mapped(s, position, log_offset(log, s, position), check, out))
		return 0;
	return read_closely(log, s, position, buf, out, why);
}

void log_prefetch(struct log *log, uint64_t position)
{
	struct log_segment_file *s = log_segment_find(log, position >> log->shift);
	uint64_t offset = s ? log_offset(log, s, position) : 0;

	if (s && s->map && offset < s->bytes)
		prefetch_record(s->map + offset);
}

uint64_t log_end(struct log *log)
{
	return port_load_acquire(&log->end);
}

uint64_t log_synced(struct log *log)
{
	return port_load_acquire(&log->synced);
}

/* ---- segments ---- */

int log_segments(struct log *log, int (*fn)(void *arg, const struct log_segment *s),
		 void *arg)
{
	uint64_t number;
	int error = 0;

	port_mutex_lock(&log->lock);
	for (number = log->first; !error && number < log->next; number++) {
		struct log_segment_file *s = log_segment_find(log, number);
		struct log_segment out;
		int64_t live, marks;

		if (!s || s->number != number || s->retired)
			continue;
		live = port_load_relaxed(&s->live);
		marks = port_load_relaxed(&s->marks);
		out = (struct log_segment){ number,
					    s->units,
					    log_first_position(log, number),
					    log_tail(log, s),
					    s->bytes,
					    live > 0 ? (uint64_t)live : 0,
					    marks > 0 ? (uint64_t)marks : 0,
					    s->sealed,
					    s->damaged };
		error = fn(arg, &out);
	}
	port_mutex_unlock(&log->lock);
	return error;
}

uint64_t log_begin(struct log *log)
{
	uint64_t position;

	port_mutex_lock(&log->lock);
	position = log_first_position(log, log->first);
	port_mutex_unlock(&log->lock);
	return position;
}

int log_scan(struct log *log, uint64_t number, log_record_fn *fn, void *arg,
	     struct kv_msg *why)
{
	struct log_segment_file *s = log_segment_find(log, number);
	struct kv_buf buf = { 0 };
	uint64_t position = log_first_position(log, number), end;
	bool ended, damaged = false;
	int error = 0;

	if (!s)
		return -ENOENT;
	port_mutex_lock(&log->lock);
	end = log_tail(log, s);
	ended = !s->unread;
	port_mutex_unlock(&log->lock);
	while (!error && !(ended && position >= end)) {
		struct log_record r;

		error = log_read(log, position, true, &buf, &r, why);
		damaged = error == -EBADMSG;
		if (error || r.type == LOG_TYPE_END)
			break;
		position = r.end;
		error = log_each_record(&r, fn, arg);
	}
	kv_buf_free(&buf);
	if (damaged) {
		port_mutex_lock(&log->lock);
		s->damaged = true;
		port_mutex_unlock(&log->lock);
	}
	return error;
}

void log_live(struct log *log, uint64_t position, int64_t bytes)
{
	struct log_segment_file *s = log_segment_find(log, position >> log->shift);

	if (s)
		(void)port_fetch_add(&s->live, bytes);
}

void log_mark(struct log *log, uint64_t position, int64_t bytes)
{
	struct log_segment_file *s = log_segment_find(log, position >> log->shift);

	if (s)
		(void)port_fetch_add(&s->marks, bytes);
}

int log_retire(struct log *log, uint64_t number)
{
	struct log_segment_file *s;
	int error = 0;

	port_mutex_lock(&log->lock);
	s = log_segment_find(log, number);
	if (!s || s->retired)
		error = -ENOENT;
	else if (!s->sealed)
		error = -EBUSY;
	else
		s->retired = true;
	port_mutex_unlock(&log->lock);
	return error;
}

/* To the lowest number that is still there, or may be on disk. */
static void advance_first(struct log *log)
{
	while (log->first < log->next && log->first < log->kept &&
	       !log_segment_find(log, log->first))
		log->first++;
}

/* Without the lock: the file becomes a spare or goes, durably, before the owner may build
 * on its absence. */
static int give_up_file(struct log *log, struct log_segment_file *s, bool keep)
{
	struct env *env = log->config.env;
	uint64_t number = s->number;
	int error;

	log_segment_close(s);
	error = log_segment_discard(log, number, keep);
	return error ? error : env->ops->sync_dir(env, log->dir);
}

int log_reclaim(struct log *log, uint64_t number)
{
	struct env *env = log->config.env;
	struct log_segment_file *s;
	unsigned int kept;
	int error = -ENOENT;
	bool keep;

	port_mutex_lock(&log->lock);
	while (log->syncing || log->preparing || log->spares_busy)
		env->ops->cond_wait(env, log->syncing ? log->group_done : log->wake,
				    &log->lock, 0);
	s = log_segment_find(log, number);
	if (!s || !s->retired)
		goto out;
	/* What was never synced is best forgotten: the system would still write it. */
	kept = s->synced ? log->spares_kept : log->config.reserve;
	/* Nor is one that was cut behind its end any good: it has no blocks to give. */
	keep = s->bytes == log->config.segment_bytes && log->spares < kept;
	log_segment_unpublish(log, s);
	log->spares_busy = true;
	port_mutex_unlock(&log->lock);
	error = give_up_file(log, s, keep);
	port_mutex_lock(&log->lock);
	log->spares_busy = false;
	if (!error) {
		advance_first(log);
		log->spares += keep;
		log->spare_next += keep;
	} else if (log->kept > number) {
		log->kept = number;
	}
	/* Space has come back: for the reserve first. */
	log->on_reserve &= log->spares < log->config.reserve;
	log->on_last &= log->spares < log->config.last;
	log->reserve_short |= log->spares < log->config.reserve;
	env->ops->cond_signal(env, log->wake);
out:
	port_mutex_unlock(&log->lock);
	return error;
}
