/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * log_room.c - segments to append to: made ahead by a task of the log's own, recycled from
 * spare files, and on a full disk taken from the reserve by those who will free space.
 *
 * The task makes the next segment before it is needed, fills the reserve, and syncs for
 * those who said "later", so that no append waits for a file to be made unless it outruns
 * the device.
 */
#include "log_internal.h"

enum {
	TOUCH_BYTES = 4096, /* the smallest page that there is */
	AHEAD_MAX = 4,      /* segments that are made ahead, */
	ROOMY = 16,         /* several only where the disk has room for so many more */
};

/* ---- making room ---- */

/* With room for the end mark behind it. */
static bool fits(const struct log_segment_file *s, uint64_t need)
{
	return s && need + LOG_HEADER_BYTES <= s->bytes - s->end;
}

int log_seal_current(struct log *log)
{
	struct log_segment_file *s = log->current;
	int error = s ? log_segment_end(s, log_unsynced(log, log_tail(log, s))) : 0;

	if (error)
		return error;
	if (s)
		s->sealed = true;
	log->current = NULL;
	return 0;
}

static int adopt(struct log *log, struct log_segment_file *s)
{
	int error = log_seal_current(log);

	if (!error)
		error = log_segment_publish(log, s);
	if (error)
		return error;
	log->current = s;
	port_store_release(&log->end, log_tail(log, s));
	return 0;
}

/* The next one of those that were made ahead. */
static int adopt_ready(struct log *log)
{
	struct env *env = log->config.env;
	int error = adopt(log, log->ready);

	if (!error) {
		log->ready = log->ready->next_ready;
		log->readies--;
	}
	env->ops->cond_signal(env, log->wake);
	return error;
}

static bool is_huge(const struct log *log, uint64_t need)
{
	return need >
	       log->config.segment_bytes - LOG_SEGMENT_HEADER_BYTES - LOG_HEADER_BYTES;
}

/* -EFBIG when a segment cannot have these numbers. */
static int check_numbers(struct log *log, uint64_t number, uint64_t units)
{
	struct env *env = log->config.env;

	if (log_numbers_fit(log, number, units))
		return 0;
	if (!log->told_end && env->ops->log)
		env->ops->log(env,
			      "the log's positions are used up, so nothing more can be "
			      "written: copy what is there into a new store");
	log->told_end = true;
	return -EFBIG;
}

/* The last one first, and each durably before the one before it: should one stay, or come
 * back after a crash, its number is the next, and it is written over. With a hole before it
 * it would pass for the rest of a log of which a part is lost. */
int log_discard_ready(struct log *log)
{
	struct env *env = log->config.env;
	struct log_segment_file **last;
	int error = 0;

	if (log->stray) {
		error = log_segment_discard(log, log->next, false);
		if (!error || error == -ENOENT)
			error = log->ready ? env->ops->sync_dir(env, log->dir) : 0;
		log->stray = error;
	}
	while (!error && log->ready) {
		for (last = &log->ready; (*last)->next_ready;)
			last = &(*last)->next_ready;
		log->next = (*last)->number;
		log_segment_close(*last);
		*last = NULL;
		log->readies--;
		error = log_segment_discard(log, log->next, false);
		if (!error && log->ready)
			error = env->ops->sync_dir(env, log->dir);
		log->stray = error;
	}
	return error;
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
	/* Those made ahead have the numbers that come next: they make way. */
	error = log_discard_ready(log);
	if (error)
		return error;
	error = check_numbers(log, log->next, ((bytes - 1) >> log->shift) + 1);
	if (!error)
		error = log_segment_create(log, log->next, bytes, false, &s);
	if (!error) {
		error = adopt(log, s);
		/* The numbers are used up only now. Behind a file that nothing is appended
		 * to, opening would take what follows for lost. */
		if (error)
			log_segment_close(s);
		else
			log->next += s->units;
	}
	log->stray = error;
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
bool log_has_room(const struct log *log, uint64_t need, unsigned int flags)
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
int log_make_room(struct log *log, uint64_t need, unsigned int flags)
{
	struct env *env = log->config.env;
	int error = 0;

	if (is_huge(log, need))
		return make_huge(log, need);
	while (!error && !log->failed && !log_has_room(log, need, flags)) {
		if (log->on_reserve && !(flags & LOG_URGENT)) {
			error = flags & LOG_NOWAIT ? -EAGAIN : await_reserve(log);
			continue;
		}
		if (log->ready) {
			error = adopt_ready(log);
			continue;
		}
		if (flags & LOG_NOWAIT)
			return -EAGAIN;
		/* The task tries again for each append that asks, so that space which has
		 * come back is found without reopening. */
		log->prepare_error = 0;
		log->stat_waits++;
		log->ahead += log->current && log->ahead < AHEAD_MAX;
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

/* More than one segment ahead, or a segment that is left before it is full, is for speed alone,
 * and must not fill a disk. */
static bool is_roomy(struct log *log)
{
	struct env *env = log->config.env;
	uint64_t bytes;

	return !env->ops->free_space(env, log->dir, &bytes) &&
	       bytes / ROOMY >= log->config.segment_bytes;
}

bool log_turn(struct log *log, uint64_t *position)
{
	const struct log_segment_file *s;
	bool can = is_roomy(log);

	port_mutex_lock(&log->lock);
	s = log->current;
	/* While somebody syncs, `synced` is his. */
	can = can && s && s->end > LOG_SEGMENT_HEADER_BYTES && log->ready &&
	      !log->on_reserve && !log->failed && !log->syncing && !s->synced &&
	      !adopt_ready(log);
	*position = log->end;
	port_mutex_unlock(&log->lock);
	return can;
}

int log_wait_room(struct log *log, uint64_t record_bytes, unsigned int flags)
{
	int error = 0;

	port_mutex_lock(&log->lock);
	if (log->failed)
		error = log->failed;
	else if (!is_huge(log, record_bytes) && !log_has_room(log, record_bytes, flags))
		error = log_make_room(log, record_bytes,
				      flags & ~(unsigned int)LOG_NOWAIT);
	port_mutex_unlock(&log->lock);
	return error;
}

/* ---- spare files ---- */

unsigned int log_drop_spares(struct log *log, unsigned int most)
{
	struct env *env = log->config.env;
	unsigned int n = 0;
	int error = 0;

	while (log->preparing || log->spares_busy)
		env->ops->cond_wait(env, log->wake, &log->lock, 0);
	log->spares_busy = true;
	while (!error && log->spares > most && log->spare_next) {
		port_mutex_unlock(&log->lock);
		error = log_spare_remove(log);
		port_mutex_lock(&log->lock);
		if (error && error != -ENOENT)
			break;
		/* -ENOENT: a number that a crash has left out. */
		n += !error;
		log->spares -= !error;
		log->spare_next--;
		error = 0;
	}
	log->spares_busy = false;
	env->ops->cond_signal(env, log->wake);
	return n;
}

unsigned int log_keep_spares(struct log *log, unsigned int spares)
{
	unsigned int n = 0;

	if (spares < log->config.reserve)
		spares = log->config.reserve;
	port_mutex_lock(&log->lock);
	log->spares_kept = spares;
	if (log->spares > spares)
		n = log_drop_spares(log, spares);
	port_mutex_unlock(&log->lock);
	return n;
}

bool log_yield_spare(struct log *log)
{
	unsigned int n = 0;

	port_mutex_lock(&log->lock);
	if (log->spares)
		n = log_drop_spares(log, log->spares - 1);
	port_mutex_unlock(&log->lock);
	return n;
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
	struct log_segment_file *s = NULL, **end = &log->ready;
	uint64_t number = log->next;
	bool spare = log->spares > log->config.reserve,
	     quiet = log->stat_syncs == log->syncs_seen;
	unsigned int asked = log->urgency, kept = asked & LOG_LAST ? 0 : log->config.last;
	bool urgent = asked && log->spares > kept, another = log->ready;
	int error;

	log->preparing = true;
	log->urgency = 0;
	log->syncs_seen = log->stat_syncs;
	error = check_numbers(log, number, 1);
	spare &= !error;
	port_mutex_unlock(&log->lock);
	if (another && !is_roomy(log)) {
		port_mutex_lock(&log->lock);
		log->preparing = false;
		log->ahead = 1;
		log->config.env->ops->cond_signal(log->config.env, log->wake);
		return;
	}
	if (!error)
		error = log_segment_create(log, number, log->config.segment_bytes, spare,
					   &s);
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
	log->stray = error;
	if (!error) {
		while (*end)
			end = &(*end)->next_ready;
		*end = s;
		log->readies++;
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
	return log->preparing ||
	       (log->readies < log->ahead && !log->prepare_error && log->current);
}

void log_task(void *arg)
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
			(void)log_sync_locked(log, log->group_position);
		} else {
			env->ops->cond_wait(env, log->wake, &log->lock,
					    log->group_due_ns ? log->group_due_ns - now
							      : 0);
		}
	}
	port_mutex_unlock(&log->lock);
}
