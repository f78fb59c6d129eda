/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_write.c - a write: into the log, into the tree, and when others see it.
 *
 * The log holds what was asked for, one record a write, in the order in which it was done:
 *
 *   0  1  what: enum kv_op_type      each step's head, BTREE_LOG_STEP bytes,
 *   1  1  1: a range without end     then its key, then its value (of a range: its end)
 *   2  2  key bytes
 *   4  4  value bytes
 *
 * Two ways lead through here. In place: one step that needs no sync; readers see it at once.
 * Private: a batch, which is to be seen whole, or a write that is to be seen only when it is
 * durable, so that nobody reads what a crash takes back; writers that come while one of
 * those waits for its sync build on it and wait behind it, and one sync serves them all.
 */
#include "btree_store.h"

struct write {
	const struct kv_op *op;
	size_t n;
	enum kv_durability how;
	unsigned int flags; /* of the log */
	struct log_item item;
	uint64_t bytes; /* that the log takes for it */
	uint8_t *head;
	struct kv_slice *part;
	uint8_t one_head[BTREE_LOG_STEP];
	struct kv_slice one_part[3];
};

void btree_store_stop(struct btree_store *s, int error, const char *what)
{
	if (s->stopped)
		return;
	s->stopped = error;
	(void)kv_fail(
		&s->stopped_why, error,
		"%s failed with error %d: the store takes no more writes; reopen it",
		what, -error);
}

/* ---- the record ---- */

static void write_end(struct write *w)
{
	if (w->head != w->one_head) {
		port_free(w->head);
		port_free(w->part);
	}
}

/* A bound may be longer than any key. What is cut off here makes no difference: a key would have
 * to be as long to be told apart by it. */
static struct kv_slice cut_bound(struct kv_slice bound)
{
	if (bound.len > BTREE_KEY_MAX)
		bound.len = BTREE_KEY_MAX + 1;
	return bound;
}

static void encode_step(const struct kv_op *op, uint8_t *head, struct kv_slice *part)
{
	struct kv_slice key = op->key, value = op->value;

	if (op->type == KV_DELETE) {
		value = kv_slice(NULL, 0);
	} else if (op->type == KV_DELETE_RANGE) {
		key = cut_bound(key);
		value = cut_bound(value);
	}
	head[0] = (uint8_t)op->type;
	head[1] = op->type == KV_DELETE_RANGE && !op->value.data;
	port_put_le16(head + 2, (uint16_t)key.len);
	port_put_le32(head + 4, (uint32_t)value.len);
	part[0] = kv_slice(head, BTREE_LOG_STEP);
	part[1] = key;
	part[2] = value;
}

static int write_begin(struct write *w, const struct kv_op *op, size_t n,
		       enum kv_durability how)
{
	size_t i;

	*w = (struct write){ .op = op, .n = n, .how = how, .flags = LOG_NOWAIT };
	w->head = w->one_head;
	w->part = w->one_part;
	if (n > 1) {
		w->head = port_alloc(n * BTREE_LOG_STEP);
		w->part = port_alloc(3 * n * sizeof(*w->part));
		if (!w->head || !w->part) {
			write_end(w);
			return -ENOMEM;
		}
	}
	w->flags |= LOG_URGENT;
	for (i = 0; i < n; i++) {
		encode_step(&op[i], w->head + i * BTREE_LOG_STEP, w->part + 3 * i);
		if (op[i].type == KV_PUT)
			w->flags &= ~(unsigned int)LOG_URGENT;
	}
	w->item = (struct log_item){ .type = BTREE_LOG_WRITE,
				     .sequence = LOG_SEQUENCE_POSITION,
				     .part = w->part,
				     .parts = 3 * n };
	w->bytes = log_items_bytes(&w->item, 1);
	return 0;
}

int btree_write_step(struct kv_slice *rest, struct kv_op *op)
{
	/* EXERCISE 3.7 begin: each length against what is left, before it is used
	 *|	return -EBADMSG;
	 */
	const uint8_t *p = rest->data;
	size_t key, value, left;

	if (rest->len < BTREE_LOG_STEP || p[0] > KV_DELETE_RANGE)
		return -EBADMSG;
	left = rest->len - BTREE_LOG_STEP;
	key = port_get_le16(p + 2);
	value = port_get_le32(p + 4);
	if ((key > BTREE_KEY_MAX && p[0] != KV_DELETE_RANGE) || key > left ||
	    value > left - key)
		return -EBADMSG;
	op->type = p[0];
	op->key = kv_slice(p + BTREE_LOG_STEP, key);
	op->value = kv_slice(p[1] ? NULL : p + BTREE_LOG_STEP + key, value);
	*rest = kv_slice(p + BTREE_LOG_STEP + key + value, left - key - value);
	return 0;
	/* EXERCISE 3.7 end */
}

int btree_write_replay(struct btree_store *s, const struct log_record *r,
		       struct kv_msg *why)
{
	/* EXERCISE 3.7 begin: each step of the record; then where the log now is
	 *|	return kv_fail(why, -ENOSYS, "there is no code to replay a record");
	 */
	struct kv_slice rest = r->payload;
	struct kv_op op;
	int error = r->type == BTREE_LOG_WRITE ? 0 : -EBADMSG;

	btree_tree_begin_write(&s->tree);
	while (!error && rest.len) {
		error = btree_write_step(&rest, &op);
		if (error)
			break;
		error = btree_tree_apply(&s->tree, &op, 1, why);
		if (error)
			return error;
	}
	if (error)
		return kv_fail(why, error,
			       "log position %llu: a record that no write made",
			       (unsigned long long)r->position);
	s->tree.tip.position = r->end;
	s->visible = s->tree.tip;
	return 0;
	/* EXERCISE 3.7 end */
}

/* ---- waiting for the log ---- */

/* Under write_lock, which is given up meanwhile. */
static int wait_for_log(struct btree_store *s, const struct write *w)
{
	int error;

	port_mutex_unlock(&s->write_lock);
	error = log_wait_room(s->log, w->bytes, w->flags & ~(unsigned int)LOG_NOWAIT);
	port_mutex_lock(&s->write_lock);
	return error;
}

enum {
	WORTH_PAGES = 16, /* on a full disk, for which a checkpoint is written at once */
	HELP_MAX = 4, /* checkpoints for one write: others may be quicker to use them */
};

/* Whether a checkpoint gives a write what it was refused for the want of: memory is full of
 * changed pages, which it writes; or the disk is, and the last one keeps pages and log. */
static bool checkpoint_helps(struct btree_store *s, int error)
{
	struct btree_pager_stats p;

	if (error == -ENOMEM)
		return btree_pager_is_full(s->pager);
	if (error != -ENOSPC)
		return false;
	btree_pager_stats(s->pager, &p);
	return p.held_bytes >= WORTH_PAGES * (uint64_t)s->tree.shape->page_bytes ||
	       log_end(s->log) - port_load_relaxed(&s->checkpoint_position) >=
		       s->option[BTREE_SEGMENT_BYTES];
}

/* Under write_lock, which is given up meanwhile: files that are kept for the log to come. */
static bool give_spares(struct btree_store *s, int error)
{
	unsigned int n;

	if (error != -ENOSPC)
		return false;
	port_mutex_unlock(&s->write_lock);
	n = log_keep_spares(s->log, BTREE_LOG_SPARES);
	port_mutex_lock(&s->write_lock);
	return n;
}

/* Under write_lock, which is given up meanwhile. */
static void write_checkpoint(struct btree_store *s)
{
	struct env *env = s->base.env;
	uint64_t begun_ns = env->ops->now_ns(env);

	port_mutex_unlock(&s->write_lock);
	(void)btree_checkpoint_now(s, NULL);
	(void)port_fetch_add(&s->stat_stalls, (uint64_t)1);
	(void)port_fetch_add(&s->stat_stall_ns, env->ops->now_ns(env) - begun_ns);
	port_mutex_lock(&s->write_lock);
}

/* ---- in place ---- */

static int write_in_place(struct btree_store *s, struct write *w)
{
	struct btree_tree *t = &s->tree;
	struct btree_change c;
	int error;

	btree_snapshot_retire(s);
	btree_tree_begin_write(t);
	error = btree_change_prepare(t, w->op, &c, NULL);
	if (error || c.nothing)
		return error;
	error = log_append(s->log, &w->item, 1, w->flags);
	if (error) {
		btree_change_cancel(t, &c);
		return error;
	}
	port_write_begin(&t->writes);
	btree_change_apply(t, &c);
	port_write_end(&t->writes);
	t->tip.position = w->item.position + w->bytes;
	s->visible = t->tip;
	s->stat_in_place++;
	btree_keep_reclaim(s, false);
	return 0;
}

/* ---- private ---- */

static void publish(struct btree_store *s, const struct btree_version *v)
{
	btree_snapshot_retire(s);
	s->visible = *v;
	btree_tree_publish(&s->tree, v);
}

static void pending_add(struct btree_store *s, struct btree_pending *p)
{
	*p = (struct btree_pending){ .version = s->tree.tip };
	if (s->pending)
		s->pending_last->next = p;
	else
		s->pending = p;
	s->pending_last = p;
	s->pendings++;
}

static void pending_pop(struct btree_store *s)
{
	s->pending = s->pending->next;
	if (!s->pending)
		s->pending_last = NULL;
	s->pendings--;
}

/* All that wait up to p are durable, and are seen. */
static void pending_publish(struct btree_store *s, const struct btree_pending *p)
{
	struct btree_version last = s->visible;

	while (!p->visible) {
		last = s->pending->version;
		s->pending->visible = true;
		pending_pop(s);
	}
	publish(s, &last);
}

/* p, which will never be seen, and with it all that came behind it. */
static void pending_give_up(struct btree_store *s, struct btree_pending *p)
{
	struct btree_pending **at = &s->pending, *last = NULL;

	while (*at != p) {
		last = *at;
		at = &last->next;
	}
	*at = p->next;
	if (!p->next)
		s->pending_last = last;
	s->pendings--;
}

/* Waits, without write_lock, until the write is durable, and shows it. */
static int wait_and_show(struct btree_store *s, struct btree_pending *p)
{
	int error;

	pending_add(s, p);
	btree_keep_update(s);
	port_mutex_unlock(&s->write_lock);
	error = log_sync(s->log, p->version.position);
	port_mutex_lock(&s->write_lock);
	if (p->visible)
		return 0;
	if (error) {
		btree_store_stop(s, error, "syncing the log");
		pending_give_up(s, p);
		return error;
	}
	pending_publish(s, p);
	return 0;
}

int btree_write_show(struct btree_store *s, bool durable)
{
	struct btree_pending p;
	int error = 0;

	if (durable || s->pending)
		error = wait_and_show(s, &p);
	else
		publish(s, &s->tree.tip);
	btree_keep_update(s);
	btree_keep_reclaim(s, false);
	return error;
}

static int write_private(struct btree_store *s, struct write *w)
{
	struct btree_tree *t = &s->tree;
	struct btree_version before = t->tip;
	int error;

	btree_snapshot_offer(s);
	error = btree_keep_room(s);
	if (error)
		return error;
	btree_tree_begin_private(t);
	error = btree_tree_apply(t, w->op, w->n, NULL);
	if (!error)
		error = log_append(s->log, &w->item, 1, w->flags);
	if (error) {
		btree_tree_abort_private(t, &before);
		btree_keep_update(s);
		return error;
	}
	btree_tree_end_private(t);
	t->tip.position = w->item.position + w->bytes;
	s->stat_private++;
	return btree_write_show(s, w->how == KV_SYNC);
}

/* ---- both ---- */

static bool can_go_in_place(const struct btree_store *s, const struct write *w)
{
	return w->n == 1 && w->how != KV_SYNC && !s->pending &&
	       w->op->type != KV_DELETE_RANGE;
}

int btree_write(struct kv *kv, const struct kv_op *op, size_t n, enum kv_durability how)
{
	struct btree_store *s = btree_store(kv);
	unsigned int helped = 0;
	uint64_t position;
	struct write w;
	int error;

	btree_checkpoint_pace(s);
	error = write_begin(&w, op, n, how);
	if (error)
		return error;
	port_mutex_lock(&s->write_lock);
	for (;;) {
		if (s->stopped)
			error = -EROFS;
		else if (can_go_in_place(s, &w))
			error = write_in_place(s, &w);
		else
			error = write_private(s, &w);
		if (error == -EAGAIN) {
			error = wait_for_log(s, &w);
			if (!error)
				continue;
		}
		if (give_spares(s, error))
			continue;
		if (helped++ == HELP_MAX || !checkpoint_helps(s, error))
			break;
		write_checkpoint(s);
	}
	position = s->tree.tip.position;
	port_mutex_unlock(&s->write_lock);
	write_end(&w);
	if (!error && how == KV_GROUP)
		log_sync_later(s->log, position);
	btree_checkpoint_wake(s);
	return error;
}
