/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_background.c - what goes on behind the writers: flushes, compactions, and slowing writers
 * down when those don't keep up.
 *
 * One task flushes memtables, oldest first, so that the log can be given up in order. Others
 * compact. No foreground call does either. Writers pay for debt little by little, with a delay
 * that grows with it (Pebble's pacing), so that they need not stop; they stop when there are as
 * many memtables as may be.
 *
 * A failure is kept until the next try succeeds: for want of memory the work is tried again, a
 * second later, and so for want of disk when the reserve is gone (lsm_reserve.c). A table that is corrupt is left out of compactions from then on. A
 * failed sync of the log or the manifest stops the store.
 */
#include "lsm_store.h"

enum {
	SECOND_NS = 1000000000,
	AGAIN_NS = SECOND_NS, /* after a failure */
	NAP_NS = 10000000,    /* most that background work sleeps without a look around */
	SLEEP_NS = 100000,    /* a writer's delays are slept in pieces of this at least */
	DELAY_MAX_NS = 1000000, /* of one write */
	FLUSH_TRIES =
		4, /* on a full disk: others may take the room that was made for it */
};

/* ---- pacing ---- */

/* What a byte written costs the writer at full debt: then some 25,000 writes of 130 bytes a
 * second get through. In 1/1024 ns. */
#define FULL_DELAY (300 * 1024)

/* In 1/1024: how far something is from where writers begin to be slowed down, 0, to where
 * they pay in full, 1024. */
static uint64_t pressure(uint64_t is, uint64_t from, uint64_t to)
{
	if (is <= from)
		return 0;
	return is >= to ? 1024 : (is - from) * 1024 / (to - from);
}

static void update_delay(struct lsm_store *s)
{
	struct lsm_version *v = lsm_versions_lock(s->versions);
	uint64_t runs = v->level[0].runs, debt = lsm_debt(v, &s->layout);
	uint64_t base = v->bytes > (1u << 30) ? v->bytes : 1u << 30;
	uint64_t by_runs, by_debt, p;

	lsm_versions_unlock(s->versions);
	by_runs = pressure(runs, 3 * s->layout.flushed_runs, 12 * s->layout.flushed_runs);
	by_debt = pressure(debt, 2 * base, 6 * base);
	p = by_runs > by_debt ? by_runs : by_debt;
	port_store_relaxed(&s->delay, FULL_DELAY * p / 1024 * p / 1024);
}

static void sleep_owed(struct lsm_store *s, uint64_t owed)
{
	struct env *env = s->base.env;

	if (owed < SLEEP_NS ||
	    !port_cas(&s->owed_ns, &owed, (uint64_t)0)) /* another sleeps for it */
		return;
	if (owed > DELAY_MAX_NS)
		owed = DELAY_MAX_NS;
	env->ops->sleep_ns(env, owed);
	lsm_count(&s->stat_delays, 1);
	lsm_count(&s->stat_delay_ns, owed);
}

void lsm_background_pace(struct lsm_store *s, uint64_t bytes)
{
	uint64_t delay = port_load_relaxed(&s->delay), ns = bytes * delay / 1024;

	if (!delay)
		return;
	if (ns > DELAY_MAX_NS)
		ns = DELAY_MAX_NS;
	sleep_owed(s, port_fetch_add(&s->owed_ns, ns) + ns);
}

/* Until it is due, or the store is closed. */
static int sleep_until(struct lsm_store *s, uint64_t now, uint64_t due)
{
	struct env *env = s->base.env;

	while (due > now + SLEEP_NS && !port_load_acquire(&s->closing)) {
		env->ops->sleep_ns(env, due - now < NAP_NS ? due - now : NAP_NS);
		now = env->ops->now_ns(env);
	}
	return port_load_acquire(&s->closing) ? -ECANCELED : 0;
}

/* lsm_work.pace: the rate limiter of background work. */
static int pace_work(void *arg, uint64_t bytes)
{
	struct lsm_store *s = arg;
	struct env *env = s->base.env;
	uint64_t rate = s->option[LSM_RATE], now, due;

	if (port_load_acquire(&s->closing))
		return -ECANCELED;
	if (!rate)
		return 0;
	port_mutex_lock(&s->task_lock);
	now = env->ops->now_ns(env);
	if (s->paid_ns < now)
		s->paid_ns = now;
	s->paid_ns += bytes * SECOND_NS / rate;
	due = s->paid_ns;
	port_mutex_unlock(&s->task_lock);
	return sleep_until(s, now, due);
}

/* ---- what both kinds of work need ---- */

static int work_begin(struct lsm_store *s, struct lsm_work *w, uint64_t **snapshots)
{
	/* What parts write side by side takes more space than one needs. */
	bool tight = port_load_acquire(&s->tight);
	unsigned int level;

	*w = (struct lsm_work){
		.env = s->base.env,
		.dir = s->dir,
		.versions = s->versions,
		.store_id = s->id,
		.table_bytes = s->option[LSM_TABLE_BYTES],
		.blob_file_bytes = 4 * s->option[LSM_TABLE_BYTES],
		.blob_threshold = (uint32_t)s->option[LSM_BLOB_BYTES],
		.blob_live_percent = (unsigned int)s->option[LSM_BLOB_LIVE_PERCENT],
		.buffer_bytes = s->buffer_bytes,
		.parts = tight ? 1 : (unsigned int)s->option[LSM_PARTS],
		.pace = pace_work,
		.pace_arg = s,
	};
	for (level = 0; level < LSM_LEVELS; level++)
		w->shape[level] = (struct sst_shape){
			.block_bytes = (uint32_t)s->option[LSM_BLOCK_BYTES],
			.partition_bytes = (uint32_t)s->option[LSM_BLOCK_BYTES],
			.restart_interval = (uint16_t)s->option[LSM_RESTART_INTERVAL],
			.filter_bits = (uint8_t)s->option[LSM_FILTER_BITS],
			/* What is soon merged again is not worth compressing. */
			.compression =
				level ? (uint8_t)s->option[LSM_COMPRESSION] : SST_PLAIN,
		};
	if (lsm_snapshot_list(s, snapshots, &w->snapshots))
		return -ENOMEM;
	w->snapshot = *snapshots;
	return 0;
}

/* Commits an edit whose files are there; views are prepared for it and, of a flush, for what
 * follows. On error nothing is left. */
static int work_commit(struct lsm_store *s, const struct lsm_work *w,
		       struct lsm_edit *edit, struct kv_msg *why)
{
	int error = lsm_view_prepare(s);

	if (!error) {
		error = lsm_versions_commit(s->versions, edit, why);
		if (error)
			lsm_view_unprepare(s);
	}
	if (error && lsm_versions_latched(s->versions))
		lsm_store_stop(s, error, "the manifest");
	else if (error)
		lsm_work_undo(w, edit);
	(void)lsm_view_sweep(s);
	return error;
}

/* ---- flushing ---- */

/* What the memtable has is now in a table that readers see; the record cache must not have
 * anything older. */
static int turn_records(struct lsm_store *s, struct lsm_mem *m)
{
	struct lsm_cursor *c;
	size_t ranges;
	int error;

	if (!s->records)
		return 0;
	lsm_records_turn(s->records);
	(void)lsm_memtable_tombstones(m->table, &ranges);
	error = ranges ? -EOVERFLOW : lsm_memtable_cursor(m->table, &c);
	if (error) {
		lsm_records_clear(s->records);
		return 0;
	}
	while (!(error = lsm_next(c)))
		lsm_records_remove(s->records, c->key, lsm_key_hash(c->key));
	lsm_cursor_close(c);
	return error == -ENOENT ? 0 : error;
}

static int flush(struct lsm_store *s, struct lsm_mem *m, struct kv_msg *why)
{
	struct lsm_work_stats stats = { 0 };
	struct lsm_edit edit = { 0 };
	uint64_t *snapshots = NULL;
	struct lsm_work work;
	int error = lsm_view_prepare(s);

	if (error)
		return error;
	error = work_begin(s, &work, &snapshots);
	if (!error)
		error = lsm_flush(&work, m->table, &edit, &stats, why);
	if (!error) {
		edit.log_position = m->end;
		error = work_commit(s, &work, &edit, why);
	}
	port_free(snapshots);
	lsm_edit_free(&edit);
	if (error) {
		lsm_view_unprepare(s);
		return error;
	}
	lsm_count(&s->stat_flushes, 1);
	lsm_count(&s->stat_flush_bytes, stats.written_bytes);
	lsm_count(&s->stat_blob_bytes, stats.blob_bytes);
	lsm_count(&s->stat_flush_ns, stats.ns);
	(void)turn_records(s, m);
	return 0;
}

/* The oldest memtable that is not active. 0 also when there is none: *did says. */
static int flush_oldest(struct lsm_store *s, bool *did, struct kv_msg *why)
{
	struct lsm_mem *m = lsm_view_oldest(s);
	unsigned int tries = 0;
	uint64_t end;
	int error = 0;

	*did = m;
	if (!m)
		return 0;
	if (port_load_relaxed(&s->stopped)) /* it could not be committed */
		return -EROFS;
	end = m->end;
	/* All of it visible, so that a snapshot taken later needs no older version; and the log's
	 * segment durable in which replay is to begin. Those before it nobody needs once the table
	 * counts: at level `none` most of the log is given up before the system has written it to
	 * the device. Until then, who asks for a sync gets all of it. */
	lsm_write_wait(s, m->tickets);
	error = log_sync_from(s->log, end);
	if (error)
		lsm_store_stop(s, error, "syncing the log");
	else
		error = flush(s, m, why);
	for (; error == -ENOSPC && tries < FLUSH_TRIES &&
	       lsm_reserve_give_up(s, LSM_RESERVE_FOR_FLUSH);
	     tries++)
		error = flush(s, m, why);
	if (error)
		return error;
	log_supersede(s->log, end);
	lsm_view_flushed(s, m);
	/* What fails costs space, until the next flush. */
	port_mutex_lock(&s->log_lock);
	(void)log_give_up_before(s->log, end);
	port_mutex_unlock(&s->log_lock);
	(void)lsm_versions_purge(s->versions);
	lsm_reserve_refill(s);
	return 0;
}

/* ---- compacting ---- */

static void set_busy(const struct lsm_pick *p, bool busy)
{
	size_t i, j;

	for (i = 0; i < p->sources; i++)
		for (j = 0; j < p->source[i].tables; j++)
			p->source[i].table[j]->busy = busy;
}

static int carry_out(struct lsm_store *s, struct lsm_version *v, const struct lsm_pick *p,
		     struct kv_msg *why)
{
	struct lsm_work_stats stats = { 0 };
	struct lsm_edit edit = { 0 };
	uint64_t *snapshots = NULL;
	struct lsm_work work;
	int error = work_begin(s, &work, &snapshots);

	if (!error)
		error = lsm_compact(&work, v, p, &edit, &stats, why);
	if (!error)
		error = work_commit(s, &work, &edit, why);
	port_free(snapshots);
	lsm_edit_free(&edit);
	if (error)
		return error;
	lsm_count(&s->stat_compactions, !p->move);
	lsm_count(&s->stat_moves, p->move);
	lsm_count(&s->stat_read_bytes, stats.read_bytes);
	lsm_count(&s->stat_written_bytes, stats.written_bytes);
	lsm_count(&s->stat_blob_bytes, stats.blob_bytes);
	lsm_count(&s->stat_blobs_rewritten, stats.blobs_rewritten);
	lsm_count(&s->stat_dropped, stats.dropped);
	lsm_count(&s->stat_compaction_ns, stats.ns);
	return 0;
}

struct key_range { /* NULL: what is most urgent */
	struct kv_slice begin, end;
};

/* One compaction. *did: there was one to do. */
static int compact_once(struct lsm_store *s, const struct key_range *range, bool *did,
			struct kv_msg *why)
{
	struct lsm_layout layout = s->layout;
	struct lsm_version *v;
	struct lsm_pick pick;
	int found, error;

	*did = false;
	if (port_load_relaxed(&s->stopped)) /* nothing could be committed */
		return -EROFS;
	layout.settled = lsm_snapshot_oldest(s);
	if (port_load_acquire(&s->tight)) /* what it frees must soon come free */
		layout.piece_bytes = layout.wide_bytes = layout.table_bytes;
	v = lsm_versions_lock(s->versions);
	found = range ? lsm_pick_range(v, &layout, range->begin, range->end, &pick)
		      : lsm_pick(v, &layout, &pick);
	*did = found == 1;
	if (*did) {
		set_busy(&pick, true);
		lsm_version_ref(v);
	}
	lsm_versions_unlock(s->versions);
	if (!*did)
		return found;
	error = carry_out(s, v, &pick, why);
	(void)lsm_versions_lock(s->versions);
	/* What is corrupt stays busy: no compaction shall come across it again. What was moved
	 * has been free since the commit, and may be another's by now. */
	if (error ? error != -EBADMSG : !pick.move)
		set_busy(&pick, false);
	lsm_versions_unlock(s->versions);
	lsm_count(&s->stat_excluded, error == -EBADMSG);
	lsm_pick_free(&pick);
	lsm_version_unref(v);
	if (lsm_view_sweep(s)) /* it may have been the last work for long */
		lsm_background_wake(s);
	(void)lsm_versions_purge(s->versions);
	return error;
}

/* The same, again with the reserve when the disk is full. When that is so, and nothing is
 * urgent, all there is is compacted: it is what brings deleted space back. */
static int compact_step(struct lsm_store *s, const struct key_range *range, bool *did,
			struct kv_msg *why)
{
	static const struct key_range all = { { "", 0 }, { NULL, 0 } };
	int error = compact_once(s, range, did, why);

	if (!error && !*did && !range && port_load_acquire(&s->tight)) {
		range = &all;
		error = compact_once(s, range, did, why);
	}
	if (error == -ENOSPC && lsm_reserve_give_up(s, LSM_RESERVE_FOR_COMPACTION))
		error = compact_once(s, range, did, why);
	lsm_reserve_refill(s);
	return error;
}

/* ---- the tasks ---- */

void lsm_background_wake(struct lsm_store *s)
{
	struct env *env = s->base.env;

	port_mutex_lock(&s->task_lock);
	s->flush_wanted = true;
	if (s->wake)
		env->ops->cond_signal(env, s->wake);
	port_mutex_unlock(&s->task_lock);
}

void lsm_background_stir(struct lsm_store *s)
{
	struct env *env = s->base.env;

	port_mutex_lock(&s->task_lock);
	s->flush_wanted = true;
	s->rounds++;
	if (s->wake)
		env->ops->cond_signal(env, s->wake);
	port_mutex_unlock(&s->task_lock);
}

/* Under task_lock: work came to its end, well or not. */
static void tell(struct lsm_store *s, int *kept, int error, const struct kv_msg *why)
{
	struct env *env = s->base.env;

	if (error && error != *kept && error != -ECANCELED) {
		s->background_why = *why;
		if (env->ops->log && why->text[0])
			env->ops->log(env, why->text);
	}
	*kept = error == -ECANCELED ? *kept : error;
	s->rounds++;
	env->ops->cond_signal(env, s->eased);
	env->ops->cond_signal(env, s->wake);
}

/* On a full disk: deletes shall free something, though they don't fill a memtable. */
static void turn_if_tight(struct lsm_store *s)
{
	struct env *env = s->base.env;
	uint64_t now, position;

	if (!port_load_acquire(&s->tight))
		return;
	now = env->ops->now_ns(env);
	if (now < s->turn_again)
		return;
	s->turn_again = now + AGAIN_NS;
	(void)lsm_write_try_switch(s, &position);
}

/* What the oldest snapshot kept can go, though nothing else may ever give compactors a reason to
 * look. They look at all tables, so they are told once a second at most. True: not yet. */
static bool tell_of_release(struct lsm_store *s)
{
	struct env *env = s->base.env;
	uint64_t now = env->ops->now_ns(env);
	bool released, due;

	port_mutex_lock(&s->snapshot_lock);
	released = s->released;
	due = released && now >= s->look_again;
	s->released = released && !due;
	port_mutex_unlock(&s->snapshot_lock);
	if (!due)
		return released;
	s->look_again = now + AGAIN_NS;
	lsm_background_stir(s);
	return false;
}

/* Under task_lock. again: also when nobody tells it to. */
static void flusher_wait(struct lsm_store *s, bool again)
{
	struct env *env = s->base.env;

	again |= port_load_acquire(&s->tight);
	env->ops->cond_wait(env, s->wake, &s->task_lock, again ? AGAIN_NS : 0);
	s->flush_wanted |= again;
}

static void flusher(void *arg)
{
	struct lsm_task *t = arg;
	struct lsm_store *s = t->store;
	struct kv_msg why;
	bool did, later = false;
	int error = 0;

	port_mutex_lock(&s->task_lock);
	while (!port_load_acquire(&s->closing)) {
		if (error || !s->flush_wanted) {
			flusher_wait(s, error || later);
			error = 0;
			if (!s->flush_wanted || port_load_acquire(&s->closing))
				continue;
		}
		s->flush_wanted = false;
		port_mutex_unlock(&s->task_lock);
		turn_if_tight(s);
		lsm_view_make_ahead(s);
		why.text[0] = '\0';
		error = flush_oldest(s, &did, &why);
		/* What readers kept, too, whose leaving is no other work's occasion. */
		later = lsm_view_sweep(s);
		(void)lsm_versions_purge(s->versions);
		if (!error)
			update_delay(s);
		lsm_reserve_tend(s, !error);
		later |= tell_of_release(s);
		port_mutex_lock(&s->task_lock);
		s->flush_wanted |= did;
		if (did || error)
			tell(s, &s->flush_error, error, &why);
	}
	port_mutex_unlock(&s->task_lock);
}

/* Under task_lock. Until it is time to try again, whatever others are told meanwhile: two who
 * fail would wake each other for ever. */
static void rest(struct lsm_store *s)
{
	struct env *env = s->base.env;
	uint64_t now = env->ops->now_ns(env), until = now + AGAIN_NS;

	for (; now < until && !port_load_acquire(&s->closing);
	     now = env->ops->now_ns(env))
		env->ops->cond_wait(env, s->wake, &s->task_lock, until - now);
}

static void compactor(void *arg)
{
	struct lsm_task *t = arg;
	struct lsm_store *s = t->store;
	struct env *env = s->base.env;
	uint64_t seen = UINT64_MAX;
	struct kv_msg why;
	bool did;
	int error;

	/* Flushes are what writers wait for first: the flusher stays among them. */
	if (env->ops->stand_back)
		env->ops->stand_back(env);
	port_mutex_lock(&s->task_lock);
	while (!port_load_acquire(&s->closing)) {
		/* On a full disk there is room for one compaction, not for parts of several. */
		if (s->paused || seen == s->rounds ||
		    (s->working && port_load_acquire(&s->tight))) {
			env->ops->cond_wait(env, s->wake, &s->task_lock, 0);
			continue;
		}
		seen = s->rounds;
		s->working++;
		port_mutex_unlock(&s->task_lock);
		why.text[0] = '\0';
		error = compact_step(s, NULL, &did, &why);
		update_delay(s);
		port_mutex_lock(&s->task_lock);
		s->working--;
		env->ops->cond_signal(env, s->eased);
		env->ops->cond_signal(env, s->wake);
		if (did || error)
			tell(s, &s->compaction_error, error, &why);
		if (error && error != -EBADMSG) { /* what is corrupt is left out now */
			rest(s);
			seen = UINT64_MAX;
		}
	}
	port_mutex_unlock(&s->task_lock);
}

int lsm_background_start(struct lsm_store *s)
{
	struct env *env = s->base.env;
	size_t i, n = s->option[LSM_THREADS];
	int error;

	s->compactor = port_alloc(n * sizeof(*s->compactor));
	if (!s->compactor)
		return -ENOMEM;
	memset(s->compactor, 0, n * sizeof(*s->compactor));
	s->flush_wanted = true;
	s->flusher.store = s;
	error = env->ops->spawn(env, "flush", flusher, &s->flusher, &s->flusher.task);
	for (i = 0; !error && i < n; i++) {
		s->compactor[i].store = s;
		s->compactor[i].index = (unsigned int)i;
		error = env->ops->spawn(env, "compact", compactor, &s->compactor[i],
					&s->compactor[i].task);
	}
	if (error)
		lsm_background_stop(s);
	return error;
}

void lsm_background_stop(struct lsm_store *s)
{
	struct env *env = s->base.env;
	size_t i;

	port_mutex_lock(&s->task_lock);
	port_store_release(&s->closing, 1u);
	env->ops->cond_signal(env, s->wake);
	env->ops->cond_signal(env, s->eased);
	port_mutex_unlock(&s->task_lock);
	if (s->flusher.task)
		env->ops->join(env, s->flusher.task);
	for (i = 0; s->compactor && i < s->option[LSM_THREADS]; i++)
		if (s->compactor[i].task)
			env->ops->join(env, s->compactor[i].task);
	port_free(s->compactor);
	s->compactor = NULL;
	s->flusher.task = NULL;
	port_store_release(&s->closing, 0u);
}

/* ---- waiting for them ---- */

/* Until done(), or the store is stopped, or flushing fails. */
static int wait_until(struct lsm_store *s,
		      bool (*done)(struct lsm_store *s, uint64_t arg), uint64_t arg)
{
	struct env *env = s->base.env;
	uint64_t rounds;
	int error = 0;

	for (;;) {
		port_mutex_lock(&s->task_lock);
		rounds = s->rounds;
		port_mutex_unlock(&s->task_lock);
		if (done(s, arg))
			return 0;
		if (port_load_relaxed(&s->stopped))
			return -EROFS;
		port_mutex_lock(&s->task_lock);
		while (rounds == s->rounds && !s->flush_error)
			env->ops->cond_wait(env, s->eased, &s->task_lock, 0);
		error = rounds == s->rounds ? s->flush_error : 0;
		port_mutex_unlock(&s->task_lock);
		if (error)
			return error;
	}
}

static bool has_room(struct lsm_store *s, uint64_t arg)
{
	(void)arg;
	return lsm_view_mems(s) < s->option[LSM_MEMTABLE_COUNT];
}

int lsm_background_wait(struct lsm_store *s)
{
	struct env *env = s->base.env;
	uint64_t begun = env->ops->now_ns(env);
	int error = wait_until(s, has_room, 0);

	lsm_count(&s->stat_stalls, 1);
	lsm_count(&s->stat_stall_ns, env->ops->now_ns(env) - begun);
	return error;
}

void lsm_background_await_space(struct lsm_store *s)
{
	struct env *env = s->base.env;
	uint64_t begun = env->ops->now_ns(env), position, rounds;

	(void)lsm_write_try_switch(s, &position);
	lsm_background_wake(s);
	port_mutex_lock(&s->task_lock);
	for (rounds = s->rounds;
	     rounds == s->rounds && env->ops->now_ns(env) - begun < AGAIN_NS;)
		env->ops->cond_wait(env, s->eased, &s->task_lock, AGAIN_NS);
	port_mutex_unlock(&s->task_lock);
	lsm_count(&s->stat_stalls, 1);
	lsm_count(&s->stat_stall_ns, env->ops->now_ns(env) - begun);
}

int lsm_background_flush(struct lsm_store *s)
{
	uint64_t position;
	int error = lsm_write_switch(s, &position);

	return error ? error : wait_until(s, lsm_view_is_flushed, position);
}

static void pause_compactors(struct lsm_store *s)
{
	struct env *env = s->base.env;

	port_mutex_lock(&s->task_lock);
	s->paused++;
	while (s->working)
		env->ops->cond_wait(env, s->eased, &s->task_lock, 0);
	port_mutex_unlock(&s->task_lock);
}

static void resume_compactors(struct lsm_store *s)
{
	struct env *env = s->base.env;

	port_mutex_lock(&s->task_lock);
	s->paused--;
	s->rounds++;
	env->ops->cond_signal(env, s->wake);
	env->ops->cond_signal(env, s->eased);
	port_mutex_unlock(&s->task_lock);
}

int lsm_compact_range(struct kv *kv, struct kv_slice begin, struct kv_slice end)
{
	struct lsm_store *s = lsm_store(kv);
	struct key_range range = { begin, end };
	int error = lsm_background_flush(s);
	struct kv_msg why;
	bool did = true;

	if (error)
		return error;
	pause_compactors(s);
	while (!error && did)
		error = compact_step(s, &range, &did, &why);
	update_delay(s);
	resume_compactors(s);
	return error;
}

int lsm_compact_all(struct kv *kv)
{
	return lsm_compact_range(kv, kv_slice("", 0), kv_slice(NULL, 0));
}
