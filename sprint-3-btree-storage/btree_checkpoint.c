/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_checkpoint.c - the task that writes checkpoints, and what the log loses by them.
 *
 * A checkpoint is the tip of the tree at one moment: taking it is a matter of noting a root and
 * a position of the log, and freezing what the root reaches. It is then written beside readers
 * and writers; these copy the frozen pages that they change. Once the superblock is durable, the
 * log before its position is of no use, and its segments go: those that nobody has asked to
 * sync until then never need to reach the device.
 *
 * How often? Each checkpoint writes every changed page once. Under random updates of a tree
 * of N pages nearly each write changes another page, until all of them have been changed: so
 * the longer it waits, the less it writes in all, and the longer the log gets that opening
 * has to replay. The log may grow to checkpoint_bytes, or to half of the tree if that is
 * more, but to no more than 1 GiB.
 */
#include "btree_store.h"

enum {
	TRIGGER_MAX = 1 << 30, /* of half of the tree's file */
	PACE_FACTOR = 4, /* writers are slowed when the log is so often the trigger */
	PACE_MAX_NS = 1000000, /* ... by at most this much, and ... */
	PACE_LEAST_NS = 1000,  /* ... by nothing when it is less than this */
	QUIET_NS = 100000,
	RETRY_NS = 1000000000, /* after one that failed */
	RECLAIM_PAGES = 1024,  /* given back under one lock */
};

/* ---- who works ---- */

void btree_work_take(struct btree_store *s)
{
	port_mutex_lock(&s->task_lock);
	s->waiting++;
	while (s->working)
		s->base.env->ops->cond_wait(s->base.env, s->wake, &s->task_lock, 0);
	s->waiting--;
	s->working = true;
	port_mutex_unlock(&s->task_lock);
}

void btree_work_give(struct btree_store *s)
{
	port_mutex_lock(&s->task_lock);
	s->working = false;
	s->base.env->ops->cond_signal(s->base.env, s->wake);
	port_mutex_unlock(&s->task_lock);
}

/* ---- when ---- */

static uint64_t trigger_bytes(struct btree_store *s)
{
	struct btree_pager_stats p;
	uint64_t half;

	btree_pager_stats(s->pager, &p);
	half = p.file_bytes / 2;
	if (half > TRIGGER_MAX)
		half = TRIGGER_MAX;
	return half > s->option[BTREE_CHECKPOINT_BYTES]
		       ? half
		       : s->option[BTREE_CHECKPOINT_BYTES];
}

/* From the durable checkpoint on: where the next is due, and where writers are slowed. */
static void set_marks(struct btree_store *s)
{
	uint64_t position = port_load_relaxed(&s->checkpoint_position),
		 trigger = trigger_bytes(s);

	port_store_relaxed(&s->pace_span, trigger);
	port_store_relaxed(&s->pace_from, position + PACE_FACTOR * trigger);
	port_store_relaxed(&s->checkpoint_due_at, position + trigger);
}

void btree_checkpoint_wake(struct btree_store *s)
{
	if (log_end(s->log) < port_load_relaxed(&s->checkpoint_due_at))
		return;
	/* Once is enough; the checkpoint sets the mark anew. */
	port_store_relaxed(&s->checkpoint_due_at, UINT64_MAX);
	port_mutex_lock(&s->task_lock);
	s->due = true;
	s->base.env->ops->cond_signal(s->base.env, s->wake);
	port_mutex_unlock(&s->task_lock);
}

void btree_checkpoint_pace(struct btree_store *s)
{
	uint64_t end = log_end(s->log), from = port_load_relaxed(&s->pace_from), over,
		 span, ns = PACE_MAX_NS;

	while (port_load_acquire(&s->quiet_wanted))
		s->base.env->ops->sleep_ns(s->base.env, QUIET_NS);
	if (end <= from)
		return;
	over = end - from;
	span = port_load_relaxed(&s->pace_span);
	if (over < span)
		ns = PACE_MAX_NS * over / span;
	if (ns < PACE_LEAST_NS)
		return;
	s->base.env->ops->sleep_ns(s->base.env, ns);
	(void)port_fetch_add(&s->stat_stalls, (uint64_t)1);
	(void)port_fetch_add(&s->stat_stall_ns, ns);
}

/* ---- one checkpoint ---- */

struct checkpoint {
	struct btree_super super;
	struct btree_checkpoint *pages;
	const char *what; /* is being done, for who is told that it failed */
};

struct btree_super btree_version_super(const struct btree_store *s,
				       const struct btree_version *v)
{
	return (struct btree_super){
		.store_id = s->id,
		.generation = v->generation,
		.log_position = v->position,
		.keys = v->keys,
		.root = { v->root, 0 },
		.levels = v->levels,
		.page_bytes = s->tree.shape->page_bytes,
	};
}

/* What may be over next time. Anything else leaves doubt about what is on the device. */
static bool may_pass(int error)
{
	return error == -ENOSPC || error == -EDQUOT || error == -ENOMEM;
}

/* Under write_lock. Whatever the error is, a pager that is latched will write no checkpoint. */
static void stop_if_fatal(struct btree_store *s, int error, const char *what)
{
	if (!may_pass(error) || btree_pager_failure(s->pager, NULL))
		btree_store_stop(s, error, what);
}

/* Under write_lock. */
static int begin(struct btree_store *s, const struct btree_version *v,
		 struct checkpoint *c, struct kv_msg *why)
{
	uint64_t before = s->checkpoint_generation;
	int error;

	c->super = btree_version_super(s, v);
	if (s->stopped)
		return kv_fail(why, -EROFS, "%s: the store has stopped: %s", s->dir,
			       s->stopped_why.text);
	s->checkpoint_generation = v->generation;
	btree_keep_update(s);
	error = btree_checkpoint_begin(s->pager, &c->super, &c->pages);
	if (!error)
		return 0;
	s->checkpoint_generation = before;
	btree_keep_update(s);
	stop_if_fatal(s, error, "writing pages");
	return kv_fail(why, error, "%s: a checkpoint cannot be begun", s->dir);
}

/* The log's segment in which replay is to begin comes first, so that it is whole. What stands
 * in those before it nobody needs once the checkpoint is durable: at level `none` most of the
 * log is given up before the system has written it to the device. Until then, who asks for a
 * sync gets all of it. */
static int write_pages(struct btree_store *s, struct checkpoint *c, uint64_t rate,
		       struct kv_msg *why)
{
	uint64_t position = c->super.log_position;
	int error = position ? log_sync_from(s->log, position) : 0;

	c->what = "syncing the log";
	if (error)
		return kv_fail(why, error, "%s: the log could not be synced", s->dir);
	c->what = "writing a checkpoint";
	return btree_checkpoint_write(c->pages, rate, why);
}

/* Under write_lock. */
static void end(struct btree_store *s, const struct checkpoint *c, int error)
{
	const uint64_t *keep;
	size_t n;

	if (error)
		stop_if_fatal(s, error, c->what);
	/* After an error its pages stay frozen, too: one that was written is clean, and with it
	 * may be those above, which would not learn of a change in place. */
	if (!error) {
		log_supersede(s->log, c->super.log_position);
		port_store_relaxed(&s->checkpoint_position, c->super.log_position);
	}
	keep = btree_keep_list(s, &n);
	btree_checkpoint_end(c->pages, keep, n);
	btree_keep_update(s);
}

/* What the checkpoint before kept, and this one does not: in steps, for writers wait. */
static void reclaim(struct btree_store *s)
{
	const uint64_t *keep;
	bool more = true;
	size_t n;

	while (more) {
		port_mutex_lock(&s->write_lock);
		btree_snapshot_offer(s);
		keep = btree_keep_list(s, &n);
		more = btree_pages_reclaim_some(s->pager, keep, n, RECLAIM_PAGES);
		port_mutex_unlock(&s->write_lock);
	}
}

/* Before all pages are frozen: pages for the copies that writers will make. */
static void make_ahead(struct btree_store *s)
{
	struct btree_ahead a = { 0 };
	bool more;

	for (;;) {
		port_mutex_lock(&s->write_lock);
		btree_snapshot_offer(s);
		more = !s->stopped && btree_ahead_grow(s->pager, &a);
		port_mutex_unlock(&s->write_lock);
		if (!more)
			return;
		btree_ahead_populate(s->pager, &a);
	}
}

/* The log up to the next checkpoint is to find all its files there: making and unlinking them
 * would be work for the disk while it has enough. */
static unsigned int spares_wanted(struct btree_store *s)
{
	return (unsigned int)(trigger_bytes(s) / s->option[BTREE_SEGMENT_BYTES]) +
	       BTREE_LOG_SPARES;
}

/* By the one who works. */
static void conclude(struct btree_store *s, int error, bool written, uint64_t begun_ns)
{
	struct env *env = s->base.env;

	if (!error) {
		if (written)
			(void)log_keep_spares(s->log, spares_wanted(s));
		/* What this fails to give back, the next one does. */
		(void)log_give_up_before(s->log,
					 port_load_relaxed(&s->checkpoint_position));
		set_marks(s);
	}
	port_mutex_lock(&s->task_lock);
	s->checkpoint_error = error;
	if (!error && written) {
		s->checkpoints++;
		s->checkpoint_ns += env->ops->now_ns(env) - begun_ns;
	}
	port_mutex_unlock(&s->task_lock);
}

int btree_checkpoint_take(struct btree_store *s, uint64_t rate, bool force,
			  struct kv_msg *why)
{
	uint64_t begun_ns = s->base.env->ops->now_ns(s->base.env);
	struct checkpoint c;
	bool needed;
	int error = 0;

	port_mutex_lock(&s->write_lock);
	needed = force ||
		 s->tree.tip.position != port_load_relaxed(&s->checkpoint_position);
	if (needed)
		error = begin(s, &s->tree.tip, &c, why);
	port_mutex_unlock(&s->write_lock);
	if (needed && !error) {
		error = write_pages(s, &c, rate, why);
		port_mutex_lock(&s->write_lock);
		btree_snapshot_offer(s);
		end(s, &c, error);
		port_mutex_unlock(&s->write_lock);
		reclaim(s);
	}
	conclude(s, error, needed, begun_ns);
	return error;
}

int btree_checkpoint_publish(struct btree_store *s, const struct btree_version *v)
{
	uint64_t begun_ns = s->base.env->ops->now_ns(s->base.env);
	struct checkpoint c;
	int error = begin(s, v, &c, NULL);

	if (error)
		return error;
	error = write_pages(s, &c, 0, NULL);
	if (!error) {
		btree_snapshot_retire(s);
		s->visible = *v;
		btree_tree_publish(&s->tree, v);
	}
	end(s, &c, error);
	conclude(s, error, true, begun_ns);
	return error;
}

int btree_checkpoint_now(struct btree_store *s, struct kv_msg *why)
{
	int error;

	btree_work_take(s);
	error = btree_checkpoint_take(s, 0, false, why);
	/* Who asks for one is not in the midst of writing much. */
	port_mutex_lock(&s->write_lock);
	btree_ahead_end(s->pager);
	port_mutex_unlock(&s->write_lock);
	reclaim(s);
	(void)log_keep_spares(s->log, BTREE_LOG_SPARES);
	btree_work_give(s);
	return error;
}

/* ---- the task ---- */

/* A store that has stopped writes no more; what failed for lack of room is tried again. */
static bool try_again(const struct btree_store *s)
{
	return may_pass(s->checkpoint_error);
}

static void checkpoint_task(void *arg)
{
	struct btree_store *s = arg;
	struct env *env = s->base.env;

	port_mutex_lock(&s->task_lock);
	while (!s->closing) {
		if (s->due && !s->waiting) {
			s->due = false;
			port_mutex_unlock(&s->task_lock);
			btree_work_take(s);
			make_ahead(s);
			(void)btree_checkpoint_take(s, s->option[BTREE_CHECKPOINT_RATE],
						    false, NULL);
			btree_work_give(s);
			port_mutex_lock(&s->task_lock);
			continue;
		}
		env->ops->cond_wait(env, s->wake, &s->task_lock,
				    try_again(s) ? RETRY_NS : 0);
		s->due |= try_again(s);
	}
	port_mutex_unlock(&s->task_lock);
}

int btree_checkpoint_start(struct btree_store *s)
{
	struct env *env = s->base.env;

	set_marks(s);
	/* What was replayed need not be replayed again. */
	s->due = s->recovery.records_replayed != 0;
	return env->ops->spawn(env, "checkpoint", checkpoint_task, s, &s->task);
}

void btree_checkpoint_stop(struct btree_store *s)
{
	struct env *env = s->base.env;

	port_mutex_lock(&s->task_lock);
	s->closing = true;
	env->ops->cond_signal(env, s->wake);
	port_mutex_unlock(&s->task_lock);
	env->ops->join(env, s->task);
}
