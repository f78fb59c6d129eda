/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_clean.c - gives dead bytes back: what still lives in a segment is appended to the
 * log again, the segment is retired, and its file becomes a later segment.
 *
 * Which segment: the one with the most to gain for what it costs to move, the older the
 * better (Rosenblum and Ousterhout, "The Design and Implementation of a Log-Structured
 * File System", 1992): (1 - u) * age / (1 + u), u being its share of live bytes.
 *
 * A delete's record may only go when no file older than its own is left: an older put of
 * the key, in a segment not yet cleaned, would come to life again. Elsewhere it is moved
 * like a put, unless a later record of its key stands in the index. So that deletes don't
 * pile up behind an old segment that lives, they count as dead in the whole, and where no
 * other segment is worth it, the oldest is moved: a round through all drops every one.
 *
 * A segment's file goes after its survivors are durable, a record that says so (HASH_RETIRE,
 * so that a missing file can be told from a lost one) is durable, no reader is left in it
 * (epoch.h), and no snapshot that could lead there is held.
 */
#include "hash_store.h"

enum {
	LEAST_DEAD_PERCENT =
		25, /* of a segment that is worth moving; the oldest always is */
	COMPACT_DEAD_PERCENT = 10, /* what hash_compact() leaves */
	COMPACT_PASSES = 8,
	PACE_BYTES = 256 << 10, /* moved between two looks at the clock ... */
	PACE_SHARE = 8,         /* ... or a segment's eighth, if that is less */
	RETRY_NS = 10000000,
	READERS_NS =
		1000000, /* readers of a segment leave soon: looked for so often ... */
	READERS_TRIES = 1000,  /* ... and so many times */
	STALL_NS = 1000000000, /* what a writer waits at most for cleaning to catch up */
	SLACK_SEGMENTS = 4,    /* dead or not, these are too few to wait for */
	AGE_SHIFT = 12, /* an age of 2^46 bytes times a segment of 2^30 still fits */
};

/* Cleaning may take the last space there is, for it gives more back. */
enum { CLEANING = LOG_URGENT | LOG_LAST };

/* ---- moving what lives ---- */

struct move {
	struct hash_store *s;
	bool oldest;    /* no older file is left */
	uint64_t moved; /* bytes */
	uint64_t begun_ns, paced;
	uint64_t dropped; /* deletes */
};

static bool stopping(struct hash_store *s)
{
	bool closing;

	port_mutex_lock(&s->lock);
	closing = s->closing;
	port_mutex_unlock(&s->lock);
	return closing;
}

/* Sleeps as long as the rate asks; -EINTR when the store is being closed. */
static int pace(struct move *m)
{
	struct env *env = m->s->base.env;
	uint64_t rate = m->s->option[HASH_CLEAN_RATE], due, now;
	uint64_t step = m->s->option[HASH_SEGMENT_BYTES] / PACE_SHARE;

	if (m->moved - m->paced < (step < PACE_BYTES ? step : PACE_BYTES))
		return 0;
	m->paced = m->moved;
	if (stopping(m->s))
		return -EINTR;
	if (!rate)
		return 0;
	now = env->ops->now_ns(env);
	due = m->begun_ns + m->moved * 1000 / (rate / 1000000 + 1);
	if (due > now)
		env->ops->sleep_ns(env, due - now);
	return 0;
}

/* The same record at the log's end; its sequence stays. */
static int append_again(struct move *m, const struct log_record *r, uint64_t *position)
{
	struct log_item item = {
		.type = r->type,
		.sequence = r->sequence,
		.part = &r->payload,
		.parts = 1,
	};
	int error = log_append(m->s->log, &item, 1, CLEANING | LOG_NOWAIT);

	if (error)
		return error;
	*position = item.position;
	m->moved += r->end - r->position;
	if ((r->type & HASH_TYPE) != HASH_RETIRE)
		hash_count_record(m->s, r->type, *position,
				  (int64_t)(r->end - r->position));
	return 0;
}

/* Under the shard's lock. The index points here: the record lives. */
static int move_live(struct move *m, const struct log_record *r, uint64_t hash)
{
	/* EXERCISE 2.7 begin: again at the end, and the index follows
	 *|	return 0;
	 */
	uint64_t position;
	int error = append_again(m, r, &position);

	if (!error)
		(void)hash_index_replace(m->s->index, hash, r->position / LOG_ALIGN,
					 position / LOG_ALIGN);
	return error;
	/* EXERCISE 2.7 end */
}

static int move_put(struct move *m, const struct log_record *r, uint64_t hash)
{
	/* EXERCISE 2.7 begin: it lives when the index points to it
	 *|	return 0;
	 */
	if (!hash_index_holds(m->s->index, hash, r->position / LOG_ALIGN))
		return 0;
	return move_live(m, r, hash);
	/* EXERCISE 2.7 end */
}

/* Under the shard's lock. All see the delete, and no snapshot needs the way to what was
 * before. Its entry is taken out here, because who deleted looks for it where it was. */
static bool is_buried(struct hash_store *s, const struct hash_record *d)
{
	return !port_load_acquire(&s->snapshots) &&
	       hash_view_sees(s, &hash_view_newest, d);
}

static int move_delete(struct move *m, const struct log_record *r,
		       const struct hash_record *d, uint64_t hash)
{
	/* EXERCISE 2.7 begin: four cases; when may it go?
	 *|	return 0;
	 */
	struct kv_buf scratch = { 0 };
	struct hash_lookup l = { .store = m->s, .key = d->key, .buf = &scratch };
	uint64_t address = r->position / LOG_ALIGN, found, position;
	bool entry =
		hash_index_find_locked(m->s->index, hash, hash_lookup_match, &l, &found);
	int error = entry ? l.error : 0;

	kv_buf_free(&scratch);
	if (error)
		return error == -ENOENT ? -EBADMSG : error;
	if (entry && found != address)
		return 0; /* a later record of the key stands for it */
	if (entry && !is_buried(m->s, d))
		return move_live(m, r, hash);
	if (!m->oldest)
		error = append_again(m, r, &position);
	if (!error && entry)
		(void)hash_index_remove(m->s->index, hash, address);
	m->dropped += m->oldest;
	return error;
	/* EXERCISE 2.7 end */
}

static int move_retire(struct move *m, const struct log_record *r)
{
	uint64_t position, number;

	if (r->payload.len != HASH_RETIRE_BYTES)
		return -EBADMSG;
	number = port_get_le64(r->payload.data);
	/* Nobody misses it once no older file is left, nor is in the checkpoint's list. */
	if (number < log_begin(m->s->log) / m->s->option[HASH_SEGMENT_BYTES] &&
	    r->sequence * LOG_ALIGN < m->s->checkpoint_position)
		return 0;
	return append_again(m, r, &position);
}

static int move_record(struct move *m, const struct log_record *r)
{
	struct hash_record h;
	unsigned int shard;
	uint64_t hash;
	int error;

	if ((r->type & HASH_TYPE) == HASH_RETIRE)
		return move_retire(m, r);
	error = hash_record_parse(r, &h);
	if (error)
		return error;
	hash = hash_key(m->s, h.key);
	shard = hash_index_shard(hash);
	hash_index_lock(m->s->index, shard);
	error = (r->type & HASH_TYPE) == HASH_PUT ? move_put(m, r, hash)
						  : move_delete(m, r, &h, hash);
	hash_index_unlock(m->s->index, shard);
	return error;
}

/* No lock is held while the log makes room. */
static int move_or_wait(void *arg, const struct log_record *r)
{
	struct move *m = arg;
	int error;

	while ((error = move_record(m, r)) == -EAGAIN) {
		error = log_wait_room(m->s->log, r->end - r->position, CLEANING);
		if (error)
			return error;
	}
	return error ? error : pace(m);
}

/* ---- giving a segment up ---- */

static void readers_gone(struct epoch_item *item)
{
	struct hash_retired *r = container_of(item, struct hash_retired, item);

	port_store_release(&r->readers_gone, true);
}

static int log_retirement(struct hash_store *s, const struct log_segment *seg)
{
	/* EXERCISE 2.7 begin: a record that says so, durable with all that was moved
	 *|	return -EIO;
	 */
	uint8_t payload[HASH_RETIRE_BYTES];
	struct kv_slice part = { payload, sizeof(payload) };
	struct log_item item = {
		.type = HASH_RETIRE,
		.sequence = LOG_SEQUENCE_POSITION,
		.part = &part,
		.parts = 1,
	};
	int error;

	port_put_le64(payload, seg->number);
	port_put_le64(payload + 8, seg->units);
	error = log_append(s->log, &item, 1, CLEANING);
	/* Also makes durable what was moved, before the original may go. */
	return error ? error : log_sync(s->log, item.position);
	/* EXERCISE 2.7 end */
}

static int retire(struct hash_store *s, const struct log_segment *seg)
{
	struct hash_retired *r = port_alloc(sizeof(*r));
	int error;

	if (!r)
		return -ENOMEM;
	memset(r, 0, sizeof(*r));
	r->number = seg->number;
	r->item.free = readers_gone;
	error = log_retirement(s, seg);
	if (!error)
		error = log_retire(s->log, seg->number);
	if (error) {
		port_free(r);
		return error;
	}
	port_mutex_lock(&s->lock);
	r->serial = s->next_serial;
	r->next = s->retired;
	s->retired = r;
	port_mutex_unlock(&s->lock);
	epoch_retire(s->epoch, &r->item);
	return 0;
}

/* The serial of the oldest snapshot, or of the next when none is held. */
static uint64_t oldest_serial(const struct hash_store *s)
{
	const struct kv_snapshot *snap = s->newest;
	uint64_t serial = s->next_serial;

	for (; snap; snap = snap->older)
		serial = snap->serial;
	return serial;
}

/* Takes one that can go off the list. Under the lock. */
static struct hash_retired *next_reclaimable(struct hash_store *s)
{
	/* EXERCISE 2.7 begin: no reader left, no snapshot that could lead there
	 *|	return NULL;
	 */
	uint64_t oldest = oldest_serial(s);
	struct hash_retired **p, *r;

	for (p = &s->retired; (r = *p); p = &r->next)
		if (port_load_acquire(&r->readers_gone) && r->serial <= oldest) {
			*p = r->next;
			return r;
		}
	return NULL;
	/* EXERCISE 2.7 end */
}

static void reclaim_all(struct hash_store *s)
{
	struct hash_retired *r;
	int error;

	(void)epoch_collect(s->epoch);
	for (;;) {
		port_mutex_lock(&s->lock);
		r = next_reclaimable(s);
		port_mutex_unlock(&s->lock);
		if (!r)
			return;
		error = log_reclaim(s->log, r->number);
		port_free(r);
		port_mutex_lock(&s->lock);
		s->stat_reclaimed += !error;
		port_mutex_unlock(&s->lock);
	}
}

static int clean_segment(struct hash_store *s, const struct log_segment *seg)
{
	struct env *env = s->base.env;
	struct move m = {
		.s = s,
		.oldest =
			seg->number == log_begin(s->log) / s->option[HASH_SEGMENT_BYTES],
		.begun_ns = env->ops->now_ns(env),
	};
	int error = log_scan(s->log, seg->number, move_or_wait, &m, NULL);

	if (!error)
		error = retire(s, seg);
	port_mutex_lock(&s->lock);
	s->stat_cleaned += !error;
	s->stat_moved_bytes += m.moved;
	s->stat_tombstones_dropped += m.dropped;
	port_mutex_unlock(&s->lock);
	reclaim_all(s);
	return error;
}

/* ---- which segment ---- */

struct effort {
	uint64_t percent; /* dead, of the whole, that is allowed */
	uint64_t least;   /* dead percent of a segment worth moving */
	uint64_t limit;   /* position: segments from there on are let be */
};

struct choice {
	struct effort effort;
	uint64_t first;       /* the lowest number that may be on disk */
	uint64_t end;         /* position of the log's */
	uint64_t bytes, live; /* of sealed segments */
	struct log_segment best, oldest;
	uint64_t score; /* of the best */
	bool found, any;
	bool droppable; /* the oldest is the first on disk: its deletes can go */
};

/* A segment's bytes. What was left free at its end is no gain, for the next record would
 * not fit there again; unless it is so much that the segment was ended early. */
static uint64_t segment_bytes(const struct log_segment *seg)
{
	uint64_t used = seg->end - seg->begin;

	return used < seg->file_bytes / 2 ? seg->file_bytes : used;
}

static int weigh(void *arg, const struct log_segment *seg)
{
	/* EXERCISE 2.7 begin: most gain for its cost, the older the better
	 *|	return 0;
	 */
	struct choice *c = arg;
	uint64_t bytes = segment_bytes(seg), keep, score;
	bool first = !c->any;

	/* A damaged one stays as it is: its loss must not look like a delete. */
	if (!seg->sealed || seg->damaged || seg->begin >= c->effort.limit)
		return 0;
	if (first) {
		c->any = true;
		c->oldest = *seg;
		c->droppable = seg->number == c->first;
	}
	keep = seg->live + (first && c->droppable ? 0 : seg->marks);
	if (keep > bytes)
		keep = bytes;
	c->bytes += bytes;
	c->live += c->droppable && seg->live < keep ? seg->live : keep;
	if ((bytes - keep) * 100 < c->effort.least * bytes)
		return 0;
	/* In units that leave room: (1 - u) / (1 + u) is dead over bytes and live. */
	score = (bytes - keep) * ((c->end - seg->begin) >> AGE_SHIFT) / (bytes + keep);
	if (!c->found || score > c->score) {
		c->found = true;
		c->score = score;
		c->best = *seg;
	}
	return 0;
	/* EXERCISE 2.7 end */
}

/* True and the segment to clean next, if more than percent of the sealed bytes is dead. */
static bool choose(struct hash_store *s, const struct effort *e, struct log_segment *out)
{
	struct choice c = {
		.effort = *e,
		.first = log_begin(s->log) / s->option[HASH_SEGMENT_BYTES],
		.end = log_end(s->log),
	};

	(void)log_segments(s->log, weigh, &c);
	if (!c.any || (c.bytes - c.live) * 100 <= e->percent * c.bytes)
		return false;
	*out = c.found ? c.best : c.oldest;
	return c.found || c.droppable;
}

/* ---- the task ---- */

static bool checkpoint_due(struct hash_store *s)
{
	uint64_t every = s->option[HASH_CHECKPOINT_BYTES];

	return every && log_end(s->log) - s->checkpoint_position > every;
}

/* The lock is given up meanwhile; *did is false when there was nothing to clean. */
static int clean_once(struct hash_store *s, const struct effort *e, bool *did)
{
	struct log_segment seg;
	int error = 0;

	port_mutex_unlock(&s->lock);
	reclaim_all(s);
	*did = e->percent < 100 && choose(s, e, &seg);
	if (*did)
		error = clean_segment(s, &seg);
	port_mutex_lock(&s->lock);
	return error;
}

/* Likewise. */
static int checkpoint_if_due(struct hash_store *s, bool *did)
{
	int error = 0;

	port_mutex_unlock(&s->lock);
	*did = checkpoint_due(s);
	if (*did)
		error = hash_checkpoint_write(s);
	port_mutex_lock(&s->lock);
	return error;
}

void hash_work_take(struct hash_store *s)
{
	s->waiting++;
	while (s->working)
		s->base.env->ops->cond_wait(s->base.env, s->wake, &s->lock, 0);
	s->waiting--;
	s->working = true;
}

void hash_work_give(struct hash_store *s, int error)
{
	s->working = false;
	s->clean_error = error == -EINTR ? 0 : error;
	s->base.env->ops->cond_signal(s->base.env, s->wake);
}

/* Rounds until there is nothing to do, or somebody waits to do it: writers may leave so
 * much behind that it never ends. */
static void work_in_background(struct hash_store *s)
{
	const struct effort e = { s->option[HASH_CLEAN_PERCENT], LEAST_DEAD_PERCENT,
				  UINT64_MAX };
	bool did = true;
	int error = 0;

	hash_work_take(s);
	while (!error && did && !s->closing && !s->waiting) {
		error = clean_once(s, &e, &did);
		if (!error && !did)
			error = checkpoint_if_due(s, &did);
	}
	s->cleaning |= did && !error;
	hash_work_give(s, error);
}

static void clean_task(void *arg)
{
	struct hash_store *s = arg;
	struct env *env = s->base.env;

	port_mutex_lock(&s->lock);
	while (!s->closing) {
		if (s->cleaning && !s->waiting) {
			s->cleaning = false;
			work_in_background(s);
			continue;
		}
		/* Retired segments wait for readers, who tell nobody when they leave. */
		env->ops->cond_wait(env, s->wake, &s->lock, s->retired ? RETRY_NS : 0);
		s->cleaning |= s->retired && !s->newest;
	}
	port_mutex_unlock(&s->lock);
}

/* In passes over what there is as each begins, so that it ends beside busy writers too.
 * What one has moved the next may find dead: deletes go when nothing older is left. */
int hash_compact(struct kv *kv)
{
	struct hash_store *s = hash_store(kv);
	struct effort e = { COMPACT_DEAD_PERCENT, COMPACT_DEAD_PERCENT, 0 };
	unsigned int pass;
	bool any = true, did;
	int error = 0;

	port_mutex_lock(&s->lock);
	hash_work_take(s);
	for (pass = 0; any && pass < COMPACT_PASSES; pass++) {
		e.limit = log_end(s->log);
		any = false;
		did = true;
		while (!error && did && !s->closing) {
			error = clean_once(s, &e, &did);
			any |= did && !error;
		}
	}
	if (!error)
		error = checkpoint_if_due(s, &did);
	hash_work_give(s, error);
	port_mutex_unlock(&s->lock);
	return error;
}

/* ---- for writers ---- */

/* The lock is not held. */
static uint64_t reclaimed(struct hash_store *s, bool *more)
{
	uint64_t n;

	port_mutex_lock(&s->lock);
	n = s->stat_reclaimed;
	/* Readers leave soon; who holds a snapshot may not. */
	*more = s->retired && !s->newest;
	port_mutex_unlock(&s->lock);
	return n;
}

/* One segment, and its space back. The only one who works. */
static int clean_for_space(struct hash_store *s, uint64_t before)
{
	static const struct effort e = { COMPACT_DEAD_PERCENT, COMPACT_DEAD_PERCENT,
					 UINT64_MAX };
	struct env *env = s->base.env;
	struct log_segment seg;
	unsigned int tries = 0;
	bool more;
	int error = 0;

	reclaim_all(s);
	if (reclaimed(s, &more) == before && choose(s, &e, &seg))
		error = clean_segment(s, &seg);
	while (reclaimed(s, &more) == before && more && tries++ < READERS_TRIES) {
		env->ops->sleep_ns(env, READERS_NS);
		reclaim_all(s);
	}
	return error;
}

int hash_make_space(struct hash_store *s)
{
	uint64_t before;
	int error;

	port_mutex_lock(&s->lock);
	before = s->stat_reclaimed;
	hash_work_take(s);
	port_mutex_unlock(&s->lock);
	error = clean_for_space(s, before);
	port_mutex_lock(&s->lock);
	hash_work_give(s, error);
	error = s->stat_reclaimed == before ? -ENOSPC : 0;
	port_mutex_unlock(&s->lock);
	return error;
}

struct share {
	uint64_t bytes, live;
};

static int add_share(void *arg, const struct log_segment *seg)
{
	struct share *h = arg;

	h->bytes += seg->file_bytes;
	h->live += seg->live;
	return 0;
}

/* Cleaning begins at clean_percent dead; half-way from there to all is too much. */
static bool too_much_is_dead(struct hash_store *s)
{
	uint64_t percent = (100 + s->option[HASH_CLEAN_PERCENT]) / 2, slack;
	struct share h = { 0, 0 };

	slack = SLACK_SEGMENTS * s->option[HASH_SEGMENT_BYTES];
	(void)log_segments(s->log, add_share, &h);
	return h.bytes > slack &&
	       h.live * 100 < (h.bytes - slack) / 100 * (100 - percent) * 100;
}

void hash_pace_writer(struct hash_store *s)
{
	struct env *env = s->base.env;
	uint64_t begun, waited = 0;

	port_store_relaxed(&s->pace_due, false);
	if (s->option[HASH_CLEAN_PERCENT] >= 100 || !too_much_is_dead(s))
		return;
	begun = env->ops->now_ns(env);
	port_mutex_lock(&s->lock);
	s->stat_stalls++;
	while (!s->clean_error && waited < STALL_NS && too_much_is_dead(s)) {
		s->cleaning = true;
		env->ops->cond_signal(env, s->wake);
		env->ops->cond_wait(env, s->wake, &s->lock, RETRY_NS);
		waited = env->ops->now_ns(env) - begun;
	}
	s->stat_stall_ns += waited;
	port_mutex_unlock(&s->lock);
}

/* ---- start and stop ---- */

int hash_cleaner_start(struct hash_store *s)
{
	struct env *env = s->base.env;

	return env->ops->spawn(env, "clean", clean_task, s, &s->cleaner);
}

void hash_cleaner_stop(struct hash_store *s)
{
	struct env *env = s->base.env;

	port_mutex_lock(&s->lock);
	s->closing = true;
	env->ops->cond_signal(env, s->wake);
	port_mutex_unlock(&s->lock);
	env->ops->join(env, s->cleaner);
	/* Cursors and snapshots are gone by contract, so is every reader. */
	reclaim_all(s);
}

void hash_cleaner_wake(struct hash_store *s)
{
	port_mutex_lock(&s->lock);
	s->cleaning = true;
	s->base.env->ops->cond_signal(s->base.env, s->wake);
	port_mutex_unlock(&s->lock);
}
