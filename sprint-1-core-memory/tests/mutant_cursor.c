/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * mutant_cursor.c - the mutants' cursors, and the copies that their backups make with
 * cursors; see mutant_engine.h.
 */
#include "mutant_private.h"

#include <stdlib.h>

struct mutant_cursor {
	struct kv_cursor base;
	struct mutant_kv *m;
	struct kv_cursor *inner;
	struct kv_snapshot *snap; /* until the first move */
	struct kv_buf key;        /* decoded, for base.key */
	struct kv_buf at;         /* the key that inner stands on */
	enum { NONE, NEXT, PREV, SEEK } last;
	int last_error;
	unsigned int moves;
};

static struct mutant_cursor *mutant_cursor(struct kv_cursor *c)
{
	return container_of(c, struct mutant_cursor, base);
}

/* Shows what the inner cursor stands on. */
static int show(struct mutant_cursor *c, int error)
{
	c->last_error = error;
	c->moves++;
	if (error)
		return error;
	if (mutant_decode(c->inner->key, &c->key) ||
	    kv_buf_set(&c->at, c->inner->key.data, c->inner->key.len))
		return -ENOMEM;
	c->base.key = content(&c->key);
	c->base.value = c->inner->value;
	return 0;
}

static int step(struct mutant_cursor *c, int way)
{
	return way == NEXT ? kv_next(c->inner) : kv_prev(c->inner);
}

/* A fresh inner cursor over the newest state, at the same place. */
static int look_again(struct mutant_cursor *c, bool keep_place)
{
	kv_cursor_close(c->inner);
	c->inner = NULL;
	if (c->m->inner->ops->cursor(c->m->inner, NULL, &c->inner))
		return -ENOMEM;
	if (keep_place && c->moves && !c->last_error)
		kv_seek(c->inner, content(&c->at));
	return 0;
}

static int move(struct mutant_cursor *c, int way)
{
	bool turned =
		(c->last == NEXT && way == PREV) || (c->last == PREV && way == NEXT);
	bool stays =
		c->last == NEXT && way == NEXT && c->last_error == -ENOENT && c->moves;

	c->last = way;
	if (is(CURSOR_SEES_WRITES) && look_again(c, true))
		return -ENOMEM;
	if (is(CURSOR_AS_OLD_AS_FIRST_MOVE) && !c->moves && !c->snap &&
	    look_again(c, false))
		return -ENOMEM;
	if (is(NEW_PREV_IS_FIRST) && !c->moves && way == PREV)
		return show(c, kv_next(c->inner));
	if (is(STAYS_PAST_THE_END) && stays)
		return -ENOENT;
	if (is(SKIPS_AFTER_TURN) && turned)
		step(c, way);
	if (is(UNORDERED_LOSES_ONE) && c->moves == 1)
		step(c, way);
	if (is(UNORDERED_REPEATS) && c->moves == 1 && !c->last_error)
		return show(c, 0);
	return show(c, step(c, way));
}

static int mutant_next(struct kv_cursor *cursor)
{
	/* Backwards is an order that nobody expects. */
	return move(mutant_cursor(cursor),
		    mutant_shape == MUTANT_UNORDERED ? PREV : NEXT);
}

static int mutant_prev(struct kv_cursor *cursor)
{
	return move(mutant_cursor(cursor), PREV);
}

static int mutant_seek(struct kv_cursor *cursor, struct kv_slice key)
{
	struct mutant_cursor *c = mutant_cursor(cursor);
	unsigned char *bytes = malloc(MUTANT_ENCODED_MAX);
	struct kv_slice encoded;
	int error;

	if (!bytes)
		return -ENOMEM;
	encoded = mutant_encode(key, bytes);
	if (is(CURSOR_SEES_WRITES))
		look_again(c, false);
	c->last = SEEK;
	error = kv_seek(c->inner, encoded);
	if (is(SEEK_IS_GREATER_THAN) && !error && !kv_compare(c->inner->key, encoded))
		error = kv_next(c->inner);
	if (is(SEEK_IGNORES_PLACE_OUTSIDE) && error == -ENOENT)
		kv_prev(c->inner);
	free(bytes);
	return show(c, error);
}

static int mutant_next_many(struct kv_cursor *cursor, struct kv_block *b)
{
	uint32_t limit = b->limit + is(BLOCK_IGNORES_ITS_LIMIT);
	int error = 0;

	while (!error && b->count < limit) {
		error = mutant_next(cursor);
		if (!error)
			error = kv_block_add(b, cursor->key, cursor->value);
	}
	if (is(BLOCK_PASSES_WHAT_HAS_NO_ROOM) && error == -EMSGSIZE)
		(void)mutant_next(cursor);
	return error;
}

static void mutant_cursor_close(struct kv_cursor *cursor)
{
	struct mutant_cursor *c = mutant_cursor(cursor);

	port_fetch_add(&c->m->cursors, -1u);
	kv_cursor_close(c->inner);
	kv_buf_free(&c->key);
	kv_buf_free(&c->at);
	free(c);
}

static const struct kv_cursor_ops ordered_ops = { mutant_seek, mutant_next, mutant_prev,
						  mutant_cursor_close, mutant_next_many };
static const struct kv_cursor_ops unordered_ops = { NULL, mutant_next, NULL,
						    mutant_cursor_close, NULL };

int mutant_cursor_open(struct kv *kv, struct kv_snapshot *snap, struct kv_cursor **out)
{
	struct mutant_kv *m = mutant_kv(kv);
	struct mutant_cursor *c = calloc(1, sizeof(*c));
	struct kv_snapshot *view = mutant_view(m, snap);

	if (!c || m->inner->ops->cursor(m->inner, view, &c->inner)) {
		free(c);
		return -ENOMEM;
	}
	c->base.ops = mutant_shape == MUTANT_UNORDERED ? &unordered_ops : &ordered_ops;
	port_fetch_add(&m->cursors, 1u);
	c->m = m;
	c->snap = snap;
	*out = &c->base;
	return 0;
}

/* ---- copies ---- */

/* Copies the newest state pair by pair while others write. */
static int copy_moving_target(struct mutant_kv *m, struct kv *to)
{
	enum { WRITES_BETWEEN = 12 }; /* more than a pair may differ from the next by */
	struct mutant_cursor c = { .m = m };
	bool first = true;
	int error = 0;

	while (!error && !(error = look_again(&c, true))) {
		error = kv_next(c.inner);
		if (!error)
			error = show(&c, 0);
		if (!error)
			error = kv_put(to, c.inner->key, c.inner->value, KV_NONE);
		if (!error && first)
			mutant_await(&m->writes, WRITES_BETWEEN);
		first = false;
	}
	kv_cursor_close(c.inner);
	kv_buf_free(&c.key);
	kv_buf_free(&c.at);
	return error == -ENOENT ? 0 : error;
}

static int copy_snapshot(struct mutant_kv *m, struct kv *to)
{
	struct kv_cursor *c = NULL;
	int error = m->inner->ops->cursor(m->inner, NULL, &c);

	while (!error && !(error = kv_next(c))) {
		bool newest;

		port_mutex_lock(&m->lock);
		newest = m->last_was_put && !kv_compare(c->key, content(&m->last_put));
		port_mutex_unlock(&m->lock);
		if (!is(BACKUP_MISSES_NEWEST) || !newest)
			error = kv_put(to, c->key, c->value, KV_NONE);
	}
	kv_cursor_close(c);
	return error == -ENOENT ? 0 : error;
}

int mutant_copy(struct mutant_kv *m, struct kv *to)
{
	return is(BACKUP_OF_NO_MOMENT) ? copy_moving_target(m, to) : copy_snapshot(m, to);
}
