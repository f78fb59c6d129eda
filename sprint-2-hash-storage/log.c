/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * log.c - append, group commit, read, retire; the task that works ahead.
 *
 * Appends copy under one short lock (the payload's CRC is made before it). The leader of
 * a sync releases the lock while the device works; whoever appends meanwhile is the next
 * group. A task of the log's own makes the next segment before it is needed and syncs
 * for those who said "later", so that no append waits for a file to be made unless it
 * outruns the device.
 */
#include "log_internal.h"

enum {
	TOUCH_BYTES = 4096, /* the smallest page that there is */
	LINE_BYTES = 64,    /* of a cache line */
};

/* ---- making room ---- */

static uint64_t prefix_position(const struct log *log, const struct log_segment_file *s)
{
	return (s->number << log->shift) + s->end;
}

/* With room for the end mark behind it. */
static bool fits(const struct log_segment_file *s, uint64_t need)
{
	return s && need + LOG_HEADER_BYTES <= s->bytes - s->end;
}

static uint32_t unsynced_units(const struct log *log, uint64_t position)
{
	uint64_t back = (position - log->synced) / LOG_ALIGN;

	return back < UINT32_MAX ? (uint32_t)back : UINT32_MAX;
}

/* Ends the segment that is appended to; what is written of it stays to be synced. */
static int seal_current(struct log *log)
{
	struct log_segment_file *s = log->current;
	int error =
		s ? log_segment_end(s, unsynced_units(log, prefix_position(log, s))) : 0;

	if (error)
		return error;
	if (s)
		s->sealed = true;
	log->current = NULL;
	return 0;
}

static int adopt(struct log *log, struct log_segment_file *s)
{
	int error = seal_current(log);

	if (!error)
		error = log_segment_publish(log, s);
	if (error)
		return error;
	log->current = s;
	port_store_release(&log->end, prefix_position(log, s));
	return 0;
}

static bool is_huge(const struct log *log, uint64_t need)
{
	return need >
	       log->config.segment_bytes - LOG_SEGMENT_HEADER_BYTES - LOG_HEADER_BYTES;
}

/* A record too large for an ordinary segment gets one of its own, without room for another:
 * positions behind its first unit would not lead to it. Under lock, and also for those who
 * would not wait: room made beforehand would go to others. It is rare, and copying a
 * gigabyte will not be quick either. */
static int make_huge(struct log *log, uint64_t need)
{
	uint64_t bytes = LOG_SEGMENT_HEADER_BYTES + need + LOG_HEADER_BYTES;
	struct log_segment_file *s;
	int error;

	while (log->preparing || log->spares_busy)
		log->config.env->ops->cond_wait(log->config.env, log->wake, &log->lock,
						0);
	/* The one made ahead has the number that comes next: it makes way. Nothing was ever
	 * written under it. */
	if (log->ready) {
		log->next = log->ready->number;
		log_segment_close(log->ready);
		log->ready = NULL;
		error = log_segment_discard(log, log->next, false);
		if (error)
			return error;
	}
	error = log_segment_create(log, log->next, bytes, false, &s);
	if (error)
		return error;
	log->next += s->units;
	error = adopt(log, s);
	if (error)
		log_segment_close(s);
	return error;
}

/* What of the reserve these flags give a right to; the more, the greater. */
static unsigned int urgency(unsigned int flags)
{
	return flags & (LOG_URGENT | LOG_LAST);
}

/* The record has a place in the current segment. What came from the reserve is for the
 * urgent alone: else those who fill a disk would take it from those who empty it. And
 * what is kept for the last is not for those who merely ask for space to be freed. */
static bool has_room(const struct log *log, uint64_t need, unsigned int flags)
{
	return fits(log->current, need) && (!log->on_reserve || flags & LOG_URGENT) &&
	       (!log->on_last || flags & LOG_LAST);
}

/* Space may have come back: the reserve is filled first. */
static int await_reserve(struct log *log)
{
	struct env *env = log->config.env;

	log->reserve_short = true;
	env->ops->cond_signal(env, log->wake);
	while (log->reserve_short)
		env->ops->cond_wait(env, log->wake, &log->lock, 0);
	return log->on_reserve ? log->reserve_error : 0;
}

/* Until the record fits the current segment. */
static int make_room(struct log *log, uint64_t need, unsigned int flags)
{
	struct env *env = log->config.env;
	int error = 0;

	if (is_huge(log, need))
		return make_huge(log, need);
	while (!error && !log->failed && !has_room(log, need, flags)) {
		if (log->on_reserve && !(flags & LOG_URGENT)) {
			error = flags & LOG_NOWAIT ? -EAGAIN : await_reserve(log);
			continue;
		}
		if (log->ready) {
			error = adopt(log, log->ready);
			if (!error)
				log->ready = NULL;
			env->ops->cond_signal(env, log->wake);
			continue;
		}
		if (flags & LOG_NOWAIT)
			return -EAGAIN;
		/* The task tries again for each append that asks, so that space which has
		 * come back is found without reopening. */
		log->prepare_error = 0;
		log->stat_waits++;
		log->preparing = true;
		log->urgency |= urgency(flags);
		env->ops->cond_signal(env, log->wake);
		while (log->preparing)
			env->ops->cond_wait(env, log->wake, &log->lock, 0);
		/* Else it is there, or another append has taken it: look again. So do the
		 * urgent when it failed for others, who may not have the reserve. */
		if (!log->ready && log->prepare_urgency >= urgency(flags))
			error = log->prepare_error;
	}
	return error ? error : log->failed;
}

/* ---- append ---- */

static uint64_t payload_bytes(const struct log_item *item)
{
	uint64_t len = 0;
	size_t i;

	for (i = 0; i < item->parts; i++)
		len += item->part[i].len;
	return len;
}

static uint32_t payload_crc(const struct log_item *item)
{
	uint32_t crc = 0;
	size_t i;

	for (i = 0; i < item->parts; i++)
		crc = port_crc32c(crc, item->part[i].data, item->part[i].len);
	return crc;
}

/* Writes one record to memory; returns the byte behind it. */
static uint8_t *put_record(const struct log *log, uint8_t *p, struct log_item *item,
			   uint64_t position, uint32_t crc)
{
	uint64_t len = payload_bytes(item);
	struct log_record_header h = {
		.len = (uint32_t)len,
		.log_id = log->current->log_id,
		.unsynced = unsynced_units(log, position),
		.sequence = item->sequence == LOG_SEQUENCE_POSITION ? position / LOG_ALIGN
								    : item->sequence,
		.type = item->type,
	};
	uint8_t *end = p + log_record_bytes(len);
	size_t i;

	item->position = position;
	log_record_header_encode(&h, crc, p);
	p += LOG_HEADER_BYTES;
	for (i = 0; i < item->parts; i++) {
		if (item->part[i].len)
			memcpy(p, item->part[i].data, item->part[i].len);
		p += item->part[i].len;
	}
	memset(p, 0, (size_t)(end - p));
	return end;
}

/* The outer record is written last: its CRC is of all that is in it. */
static void put_group(const struct log *log, uint8_t *p, struct log_item *item, size_t n,
		      uint64_t position, uint64_t len)
{
	struct log_record_header h = {
		.len = (uint32_t)len,
		.log_id = log->current->log_id,
		.unsynced = unsynced_units(log, position),
		.sequence = position / LOG_ALIGN,
		.type = LOG_TYPE_GROUP,
	};
	uint8_t *at = p + LOG_HEADER_BYTES;
	size_t i;

	for (i = 0; i < n; i++)
		at = put_record(log, at, &item[i], position + (uint64_t)(at - p),
				payload_crc(&item[i]));
	log_record_header_encode(&h, port_crc32c(0, p + LOG_HEADER_BYTES, len), p);
}

static int append_locked(struct log *log, struct log_item *item, size_t n, uint64_t len,
			 uint32_t crc, unsigned int flags)
{
	uint64_t total = log_record_bytes(len), position;
	struct log_segment_file *s;
	uint8_t *p;
	int error;

	if (log->failed)
		return log->failed;
	error = has_room(log, total, flags) ? 0 : make_room(log, total, flags);
	if (error)
		return error;
	s = log->current;
	if (!s->map && kv_buf_reserve(&log->gather, total))
		return -ENOMEM;
	p = s->map ? s->map + s->end : log->gather.data;
	position = prefix_position(log, s);
	if (n == 1)
		(void)put_record(log, p, item, position, crc);
	else
		put_group(log, p, item, n, position, len);
	error = s->map ? 0 : file_write(s->file, s->end, p, total);
	if (error) {
		/* Nobody knows what the failed write left: this file is not appended to again. */
		port_store_release(&log->failed, -EROFS);
		return error;
	}
	s->end += total;
	port_store_release(&log->end, position + total);
	log->stat_appends++;
	log->stat_bytes += total;
	return 0;
}

int log_wait_room(struct log *log, uint64_t record_bytes, unsigned int flags)
{
	int error = 0;

	port_mutex_lock(&log->lock);
	if (log->failed)
		error = log->failed;
	else if (!is_huge(log, record_bytes) && !has_room(log, record_bytes, flags))
		error = make_room(log, record_bytes, flags & ~(unsigned int)LOG_NOWAIT);
	port_mutex_unlock(&log->lock);
	return error;
}

uint64_t log_items_bytes(const struct log_item *item, size_t n)
{
	uint64_t len = 0;
	size_t i;

	if (n == 1)
		return log_record_bytes(payload_bytes(item));
	for (i = 0; i < n; i++)
		len += log_record_bytes(payload_bytes(&item[i]));
	return log_record_bytes(len);
}

int log_append(struct log *log, struct log_item *item, size_t n, unsigned int flags)
{
	uint64_t len = 0, one;
	uint32_t crc = 0;
	size_t i;
	int error;

	for (i = 0; i < n; i++) {
		if (item[i].type > LOG_TYPE_MAX ||
		    (item[i].sequence > LOG_SEQUENCE_MAX &&
		     item[i].sequence != LOG_SEQUENCE_POSITION))
			return -EINVAL;
		one = n == 1 ? payload_bytes(item)
			     : log_record_bytes(payload_bytes(&item[i]));
		if (one > LOG_PAYLOAD_MAX - len)
			return -EFBIG;
		len += one;
	}
	/* What needs no lock is done before it. A group's CRCs cover where it lies. */
	if (n == 1)
		crc = payload_crc(item);
	port_mutex_lock(&log->lock);
	error = append_locked(log, item, n, len, crc, flags);
	port_mutex_unlock(&log->lock);
	return error;
}

/* ---- sync ---- */

/* Syncs every segment that has unsynced bytes, without the lock. Reclaiming waits while
 * log->syncing, so the files stay. */
static int sync_files(struct log *log, uint64_t from, uint64_t to)
{
	uint64_t number;
	int error = 0;

	for (number = from >> log->shift; !error && number <= (to - 1) >> log->shift;
	     number++) {
		struct log_segment_file *s = log_segment_find(log, number);

		if (s && (s->number == number || number == from >> log->shift))
			error = file_sync(s->file);
	}
	return error;
}

/* Under lock, and the only one: makes everything appended so far durable. */
static void lead_group(struct log *log)
{
	struct env *env = log->config.env;
	uint64_t from = log->synced, to = log->end, begun = env->ops->now_ns(env);
	int error;

	log->syncing = true;
	port_mutex_unlock(&log->lock);
	error = sync_files(log, from, to);
	port_mutex_lock(&log->lock);
	log->syncing = false;
	if (error)
		port_store_release(&log->failed, -EROFS);
	else
		port_store_release(&log->synced, to);
	log->stat_groups++;
	log->stat_sync_ns += env->ops->now_ns(env) - begun;
	env->ops->cond_signal(env, log->wake);
}

static int sync_locked(struct log *log, uint64_t position)
{
	log->stat_syncs++;
	while (!log->failed && log->synced <= position && log->synced < log->end) {
		if (log->syncing)
			log->config.env->ops->cond_wait(log->config.env, log->wake,
							&log->lock, 0);
		else
			lead_group(log);
	}
	return log->failed;
}

int log_sync(struct log *log, uint64_t position)
{
	int error;

	port_mutex_lock(&log->lock);
	error = sync_locked(log, position);
	port_mutex_unlock(&log->lock);
	return error;
}

void log_sync_later(struct log *log, uint64_t position)
{
	struct env *env = log->config.env;

	port_mutex_lock(&log->lock);
	if (log->group_position < position)
		log->group_position = position;
	if (!log->group_due_ns) {
		log->group_due_ns = env->ops->now_ns(env) + log->config.group_ns;
		env->ops->cond_signal(env, log->wake);
	}
	port_mutex_unlock(&log->lock);
}

/* ---- the task ---- */

/* Pages that are touched here are not first touched by an append. Where syncs are asked
 * for, pages that are dirty before they hold anything would only make these longer. */
static void touch_pages(const struct log_segment_file *s)
{
	uint64_t offset;

	for (offset = TOUCH_BYTES; s->map && offset < s->bytes; offset += TOUCH_BYTES)
		port_store_relaxed(s->map + offset, (uint8_t)0);
}

static bool out_of_space(int error)
{
	return error == -ENOSPC || error == -EDQUOT;
}

static void prepare(struct log *log)
{
	struct log_segment_file *s = NULL;
	uint64_t number = log->next;
	bool spare = log->spares > log->config.reserve,
	     quiet = log->stat_syncs == log->syncs_seen;
	unsigned int asked = log->urgency, kept = asked & LOG_LAST ? 0 : log->config.last;
	bool urgent = asked && log->spares > kept;
	int error;

	log->preparing = true;
	log->urgency = 0;
	log->syncs_seen = log->stat_syncs;
	port_mutex_unlock(&log->lock);
	error = log_segment_create(log, number, log->config.segment_bytes, spare, &s);
	if (out_of_space(error) && !spare && urgent) {
		spare = true;
		error = log_segment_create(log, number, log->config.segment_bytes, spare,
					   &s);
	}
	if (!error && quiet)
		touch_pages(s);
	port_mutex_lock(&log->lock);
	log->preparing = false;
	log->prepare_error = error;
	log->prepare_urgency = asked;
	if (!error) {
		log->ready = s;
		log->next = number + 1;
		log->stat_segments_new += !spare;
		log->stat_segments_recycled += spare;
	}
	/* Also after a failure: creating unlinks the spare that it could not use. */
	if (spare) {
		log->spares--;
		log->spare_next--;
		log->on_reserve |= log->spares < log->config.reserve;
		log->on_last |= log->spares < log->config.last;
		log->reserve_short |= log->on_reserve;
	}
	log->config.env->ops->cond_signal(log->config.env, log->wake);
}

/* One spare more, if the disk has the room; else when room has come back. */
static void fill_reserve(struct log *log)
{
	int error;

	log->spares_busy = true;
	port_mutex_unlock(&log->lock);
	error = log_spare_create(log);
	port_mutex_lock(&log->lock);
	log->spares_busy = false;
	if (!error) {
		log->spares++;
		log->spare_next++;
	}
	log->reserve_error = error;
	log->reserve_short = !error && log->spares < log->config.reserve;
	log->on_reserve &= log->spares < log->config.reserve;
	log->on_last &= log->spares < log->config.last;
	log->config.env->ops->cond_signal(log->config.env, log->wake);
}

static bool wants_segment(const struct log *log)
{
	return log->preparing || (!log->ready && !log->prepare_error && log->current);
}

static void log_task(void *arg)
{
	struct log *log = arg;
	struct env *env = log->config.env;

	port_mutex_lock(&log->lock);
	while (!log->closing) {
		uint64_t now = log->group_due_ns ? env->ops->now_ns(env) : 0;

		if (log->spares_busy) {
			env->ops->cond_wait(env, log->wake, &log->lock, 0);
		} else if (!log->failed && wants_segment(log)) {
			prepare(log);
		} else if (!log->failed && log->reserve_short) {
			fill_reserve(log);
		} else if (log->preparing || log->reserve_short) {
			/* Latched: nobody may wait for ever. */
			log->preparing = log->reserve_short = false;
			env->ops->cond_signal(env, log->wake);
		} else if (log->group_due_ns && now >= log->group_due_ns) {
			log->group_due_ns = 0;
			(void)sync_locked(log, log->group_position);
		} else {
			env->ops->cond_wait(env, log->wake, &log->lock,
					    log->group_due_ns ? log->group_due_ns - now
							      : 0);
		}
	}
	port_mutex_unlock(&log->lock);
}

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
					    prefix_position(log, s),
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
	end = prefix_position(log, s);
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
	int error = -ENOENT;
	bool keep;

	port_mutex_lock(&log->lock);
	while (log->syncing || log->preparing || log->spares_busy)
		env->ops->cond_wait(env, log->wake, &log->lock, 0);
	s = log_segment_find(log, number);
	if (!s || !s->retired)
		goto out;
	keep = s->units == 1 && log->spares < log->config.spares;
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

/* ---- open and close ---- */

static void free_published(struct log *log, struct log_segment_file *s)
{
	if (!s)
		return;
	log_segment_unpublish(log, s);
	log_segment_close(s);
}

static void log_free(struct log *log)
{
	struct env *env = log->config.env;
	size_t i, j;

	log_segment_close(log->ready);
	for (i = 0; i < LOG_ROOT; i++) {
		for (j = 0; log->root[i] && j < LOG_LEAF; j++)
			free_published(log, log->root[i]->segment[j]);
		port_free(log->root[i]);
	}
	env->ops->cond_free(env, log->wake);
	port_mutex_destroy(&log->lock);
	kv_buf_free(&log->gather);
	port_free(log);
}

static int check_config(const struct log_config *c, struct kv_msg *why)
{
	if (c->segment_bytes < 64 << 10 || c->segment_bytes > 4ull << 30 ||
	    (c->segment_bytes & (c->segment_bytes - 1)))
		return kv_fail(
			why, -EINVAL,
			"a log segment is a power of two from 64 KiB to 4 GiB, not %llu",
			(unsigned long long)c->segment_bytes);
	if (strlen(c->dir) >= ENV_PATH_MAX)
		return kv_fail(why, -ENAMETOOLONG, "the path of the log is too long");
	return 0;
}

/* NULL and *error when it can't be made. */
static struct log *log_new(const struct log_config *c, int *error, struct kv_msg *why)
{
	struct log *log = NULL;

	*error = check_config(c, why);
	if (*error)
		return NULL;
	log = port_alloc(sizeof(*log));
	if (!log) {
		*error = kv_fail(why, -ENOMEM, "no memory for a log");
		return NULL;
	}
	memset(log, 0, sizeof(*log));
	log->config = *c;
	memcpy(log->dir, c->dir, strlen(c->dir) + 1);
	log->config.dir = log->dir;
	log->shift = (unsigned int)__builtin_ctzll(c->segment_bytes);
	log->kept = UINT64_MAX;
	port_mutex_init(&log->lock);
	*error = c->env->ops->cond_new(c->env, &log->wake);
	if (*error) {
		log_free(log);
		(void)kv_fail(why, *error, "no memory for a log");
		return NULL;
	}
	return log;
}

static int log_start(struct log *log, struct log **out, struct kv_msg *why)
{
	struct env *env = log->config.env;
	int error;

	log->end = log->synced = log_first_position(log, log->next);
	log->reserve_short = log->spares < log->config.reserve;
	error = env->ops->spawn(env, "log", log_task, log, &log->task);
	if (error) {
		log_free(log);
		return kv_fail(why, error, "the log's background task cannot be started");
	}
	*out = log;
	return 0;
}

int log_create(const struct log_config *c, struct log **out, struct kv_msg *why)
{
	uint64_t *number = NULL;
	size_t n = 0;
	int error;
	struct log *log = log_new(c, &error, why);

	if (!log)
		return error;
	error = log_directory(log, &number, &n);
	port_free(number);
	if (!error && n)
		error = -EEXIST;
	if (error) {
		log_free(log);
		return kv_fail(why, error, "%s: cannot hold a new log", c->dir);
	}
	return log_start(log, out, why);
}

int log_open(const struct log_config *c, uint64_t from, log_record_fn *replay, void *arg,
	     struct log_recovery *found, struct log **out, struct kv_msg *why)
{
	int error;
	struct log *log = log_new(c, &error, why);

	if (!log)
		return error;
	*found = (struct log_recovery){ 0 };
	*out = log;
	error = log_recover(log, from, replay, arg, found, why);
	if (error)
		log_free(log);
	else
		error = log_start(log, out, why);
	if (error)
		*out = NULL;
	return error;
}

/* What a closed log need not keep: the segment made ahead, and the blocks behind the end
 * mark. Failing costs space alone. */
static void give_back(struct log *log, struct log_segment_file *last)
{
	uint64_t bytes;

	if (log->ready) {
		uint64_t number = log->ready->number;

		log_segment_close(log->ready);
		log->ready = NULL;
		(void)log_segment_discard(log, number, false);
	}
	if (!last || last->units != 1)
		return;
	bytes = last->end + LOG_HEADER_BYTES;
	if (last->map)
		last->file->ops->unmap(last->file, last->map, last->bytes);
	last->map = NULL;
	if (bytes < last->bytes)
		(void)last->file->ops->truncate(last->file, bytes);
}

int log_close(struct log *log)
{
	struct env *env = log->config.env;
	struct log_segment_file *last;
	int error;

	port_mutex_lock(&log->lock);
	last = log->current;
	error = log->failed;
	if (!error)
		error = sync_locked(log, log->end);
	/* Only now can the end mark promise that all before it is durable. */
	if (!error)
		error = seal_current(log);
	if (!error && last)
		error = file_sync(last->file);
	log->closing = true;
	env->ops->cond_signal(env, log->wake);
	port_mutex_unlock(&log->lock);
	env->ops->join(env, log->task);
	if (!error)
		give_back(log, last);
	log_free(log);
	return error;
}

void log_stats(struct log *log, kv_stat_fn *emit, void *arg)
{
	port_mutex_lock(&log->lock);
	emit(arg, "log_appends", log->stat_appends);
	emit(arg, "log_bytes", log->stat_bytes);
	emit(arg, "log_syncs_asked", log->stat_syncs);
	emit(arg, "log_syncs_done", log->stat_groups);
	emit(arg, "log_sync_ns", log->stat_sync_ns);
	emit(arg, "log_waits_for_segment", log->stat_waits);
	emit(arg, "log_segments_created", log->stat_segments_new);
	emit(arg, "log_segments_recycled", log->stat_segments_recycled);
	emit(arg, "log_spares", log->spares);
	emit(arg, "log_failed", (uint64_t)-log->failed);
	port_mutex_unlock(&log->lock);
}
