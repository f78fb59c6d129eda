/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * log.c - append, group commit, open and close.
 *
 * Appends copy under one short lock (the payload's CRC is made before it). The leader of
 * a sync releases the lock while the device works; whoever appends meanwhile is the next
 * group. Where the room for an append comes from is log_room.c's affair.
 */
#include "log_internal.h"

/* A leader waits for others during half of a sync's time at most, and no longer than this. */
enum { GATHER_SHARE = 2, GATHER_NS_MAX = 250000 };

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
		.unsynced = log_unsynced(log, position),
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
		.unsynced = log_unsynced(log, position),
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
	error = log_has_room(log, total, flags) ? 0 : log_make_room(log, total, flags);
	if (error)
		return error;
	s = log->current;
	if (!s->map && kv_buf_reserve(&log->gather, total))
		return -ENOMEM;
	p = s->map ? s->map + s->end : log->gather.data;
	position = log_tail(log, s);
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
	/* EXERCISE 2.6 begin: each file once; a huge one has several numbers
	 *|	return -EIO;
	 */
	uint64_t number;
	int error = 0;

	for (number = from >> log->shift; !error && number <= (to - 1) >> log->shift;
	     number++) {
		struct log_segment_file *s = log_segment_find(log, number);

		if (!s || (s->number != number && number != from >> log->shift))
			continue;
		error = file_sync(s->file);
		s->synced = true;
	}
	return error;
	/* EXERCISE 2.6 end */
}

/* The last group's writers are on their way back, and the first of them is here: to sync for
 * it alone would make all others wait for two syncs. So it waits for them, a part of the time
 * that a sync takes; who does not come back is not waited for again. */
static void gather(struct log *log)
{
	struct env *env = log->config.env;
	uint64_t now, until;

	if (log->asking >= log->wanted)
		return;
	now = env->ops->now_ns(env);
	until = log->sync_ns / GATHER_SHARE;
	until = now + (until < GATHER_NS_MAX ? until : GATHER_NS_MAX);
	log->gathering = true;
	while (log->asking < log->wanted && now < until && !log->failed) {
		env->ops->cond_wait(env, log->group_full, &log->lock, until - now);
		now = env->ops->now_ns(env);
	}
	log->gathering = false;
}

/* Under lock, and the only one: makes everything durable that was appended from there on, up to
 * `end` and in its segment, or up to the log's end. */
static void lead_group(struct log *log, uint64_t from, uint64_t end)
{
	/* EXERCISE 2.6 begin: the lock is not held while the device works
	 *|	port_store_release(&log->failed, -EROFS);
	 */
	struct env *env = log->config.env;
	uint64_t to, begun;
	int error;

	log->syncing = true;
	if (end == LOG_NONE) {
		gather(log);
		log->served = log->asking;
		log->asking = 0;
	}
	to = log->syncing_to = end == LOG_NONE ? log->end : end;
	begun = env->ops->now_ns(env);
	port_mutex_unlock(&log->lock);
	error = sync_files(log, from, to);
	port_mutex_lock(&log->lock);
	log->syncing = false;
	if (end == LOG_NONE)
		log->wanted = log->served + log->asking;
	log->sync_ns = env->ops->now_ns(env) - begun;
	if (error)
		port_store_release(&log->failed, -EROFS);
	else if (from <= log->synced && log->synced < to)
		port_store_release(&log->synced, to);
	log->stat_groups++;
	log->stat_sync_ns += log->sync_ns;
	env->ops->cond_signal(env, log->group_done);
	if (error)
		env->ops->cond_signal(env, log->wake);
	/* EXERCISE 2.6 end */
}

int log_sync_locked(struct log *log, uint64_t position)
{
	/* EXERCISE 2.6 begin: lead, or wait for who leads
	 *|	return -EROFS;
	 */
	struct env *env = log->config.env;

	log->stat_syncs++;
	if (log->synced > position || log->synced >= log->end)
		return log->failed;
	if (!log->syncing || log->gathering || position >= log->syncing_to)
		log->asking++;
	if (log->gathering && log->asking >= log->wanted)
		env->ops->cond_signal(env, log->group_full);
	while (!log->failed && log->synced <= position && log->synced < log->end) {
		if (log->syncing)
			env->ops->cond_wait(env, log->group_done, &log->lock, 0);
		else
			lead_group(log, log->synced, LOG_NONE);
	}
	return log->failed;
	/* EXERCISE 2.6 end */
}

int log_sync(struct log *log, uint64_t position)
{
	int error;

	port_mutex_lock(&log->lock);
	error = log_sync_locked(log, position);
	port_mutex_unlock(&log->lock);
	return error;
}

/* Of a segment of ours nothing stands before it but the header, which was made durable before the
 * segment had its name. */
static bool begins_segment(struct log *log, uint64_t position)
{
	const struct log_segment_file *s = log_segment_find(log, position >> log->shift);

	return s && !s->synced && position == log_first_position(log, s->number);
}

int log_sync_from(struct log *log, uint64_t position)
{
	uint64_t from = position >> log->shift << log->shift;
	int error;

	port_mutex_lock(&log->lock);
	while (!log->failed && log->syncing)
		log->config.env->ops->cond_wait(log->config.env, log->group_done,
						&log->lock, 0);
	if (!log->failed && log->synced < position && !begins_segment(log, position))
		lead_group(log, from > log->synced ? from : log->synced, position);
	error = log->failed;
	port_mutex_unlock(&log->lock);
	return error;
}

void log_supersede(struct log *log, uint64_t position)
{
	port_mutex_lock(&log->lock);
	if (log->synced < position)
		port_store_release(&log->synced, position);
	port_mutex_unlock(&log->lock);
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
	struct log_segment_file *next;
	size_t i, j;

	for (; log->ready; log->ready = next) {
		next = log->ready->next_ready;
		log_segment_close(log->ready);
	}
	for (i = 0; i < LOG_ROOT; i++) {
		for (j = 0; log->root[i] && j < LOG_LEAF; j++)
			free_published(log, log->root[i]->segment[j]);
		port_free(log->root[i]);
	}
	env->ops->cond_free(env, log->wake);
	env->ops->cond_free(env, log->group_done);
	env->ops->cond_free(env, log->group_full);
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
	log->spares_kept = c->spares;
	log->ahead = 1;
	if (!c->position_max || c->position_max > LOG_POSITION_MAX)
		log->config.position_max = LOG_POSITION_MAX;
	port_mutex_init(&log->lock);
	*error = c->env->ops->cond_new(c->env, &log->wake);
	if (!*error)
		*error = c->env->ops->cond_new(c->env, &log->group_done);
	if (!*error)
		*error = c->env->ops->cond_new(c->env, &log->group_full);
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
	log->first = log->next = c->first;
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

/* What a closed log need not keep: spare files, the segment made ahead, and the blocks behind
 * the end mark. Failing costs space alone. */
static void give_back(struct log *log, struct log_segment_file *last)
{
	uint64_t bytes;

	port_mutex_lock(&log->lock);
	if (log->spares > log->config.spares)
		(void)log_drop_spares(log, log->config.spares);
	port_mutex_unlock(&log->lock);
	(void)log_discard_ready(log);
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
		error = log_sync_locked(log, log->end);
	/* Only now can the end mark promise that all before it is durable. */
	if (!error)
		error = log_seal_current(log);
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
