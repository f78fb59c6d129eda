/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_run.c - one run: which of its tables may have a key, and a cursor over all of them.
 *
 * The cursor has one table open at a time, and comes to a table's file only when it comes to
 * its keys.
 */
#include "lsm_version.h"

static struct kv_slice slice(const struct kv_buf *b)
{
	return kv_slice(b->data, b->len);
}

/* ---- finding ---- */

bool sst_summary_ends_before(const struct sst_summary *s, struct kv_slice key)
{
	int order = s->largest_open ? 1 : kv_compare(slice(&s->largest), key);

	return order < 0 || (!order && s->largest_excluded);
}

/* The first table that does not end before key. */
static size_t first_at(const struct lsm_run *r, struct kv_slice key)
{
	size_t low = 0, high = r->tables;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (sst_summary_ends_before(&r->table[mid]->summary, key))
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

size_t lsm_run_overlap(const struct lsm_run *r, struct kv_slice begin,
		       struct kv_slice end, size_t *first)
{
	size_t low, high = r->tables;

	*first = low = first_at(r, begin);
	if (!end.data)
		return r->tables - low;
	while (low < high) { /* the first that begins at or behind end */
		size_t mid = low + (high - low) / 2;

		if (kv_compare(slice(&r->table[mid]->summary.smallest), end) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low - *first;
}

struct lsm_table *lsm_run_find(const struct lsm_run *r, struct kv_slice key)
{
	size_t at = first_at(r, key);

	if (at == r->tables ||
	    kv_compare(slice(&r->table[at]->summary.smallest), key) > 0)
		return NULL;
	return r->table[at];
}

/* ---- cursor ---- */

struct run_cursor {
	struct lsm_cursor cursor;
	struct lsm_run run;
	unsigned int flags;
	size_t at;                /* the table that inner is in; run.tables: outside */
	struct lsm_cursor *inner; /* NULL: none is open */
	struct kv_msg why;
	bool failed;
};

static struct run_cursor *of(struct lsm_cursor *c)
{
	return container_of(c, struct run_cursor, cursor);
}

/* Outside; what inner gave is no longer looked at. */
static int leave(struct run_cursor *c, int error)
{
	const struct kv_msg *why = NULL;

	if (error != -ENOENT && c->inner)
		why = sst_cursor_why(c->inner);
	if (why)
		c->why = *why;
	c->failed = error != -ENOENT && c->why.text[0];
	lsm_cursor_close(c->inner);
	c->inner = NULL;
	c->at = c->run.tables;
	return error;
}

static int go_to(struct run_cursor *c, size_t at)
{
	int error;

	c->why.text[0] = '\0';
	c->failed = false;
	if (c->inner && c->at == at)
		return 0;
	lsm_cursor_close(c->inner);
	c->inner = NULL;
	c->at = at;
	error = sst_cursor(c->run.table[at]->sst, c->flags, &c->inner, &c->why);
	if (error)
		c->inner = NULL;
	return error;
}

static int arrive(struct run_cursor *c)
{
	c->cursor.key = c->inner->key;
	c->cursor.value = c->inner->value;
	c->cursor.stamp = c->inner->stamp;
	return 0;
}

/* The first entry of table at, or of those behind it: one with tombstones alone has none. */
static int enter_forwards(struct run_cursor *c, size_t at)
{
	int error = -ENOENT;

	for (; error == -ENOENT && at < c->run.tables; at++) {
		error = go_to(c, at);
		if (!error)
			error = lsm_next(c->inner);
		if (error == -ENOENT) { /* back outside, so that next() is the first */
			lsm_cursor_close(c->inner);
			c->inner = NULL;
		}
	}
	return error ? leave(c, error) : arrive(c);
}

/* The last entry before table end. */
static int enter_backwards(struct run_cursor *c, size_t end)
{
	int error = -ENOENT;

	while (error == -ENOENT && end) {
		lsm_cursor_close(c->inner);
		c->inner = NULL;
		error = go_to(c, --end);
		if (!error)
			error = lsm_prev(c->inner);
	}
	return error ? leave(c, error) : arrive(c);
}

static int run_seek(struct lsm_cursor *cursor, struct kv_slice key, uint64_t stamp)
{
	struct run_cursor *c = of(cursor);
	size_t at = first_at(&c->run, key);
	int error;

	if (at == c->run.tables)
		return leave(c, -ENOENT);
	error = go_to(c, at);
	if (!error)
		error = lsm_seek(c->inner, key, stamp);
	if (!error)
		return arrive(c);
	return error == -ENOENT ? enter_forwards(c, at + 1) : leave(c, error);
}

static int run_next(struct lsm_cursor *cursor)
{
	struct run_cursor *c = of(cursor);
	size_t at = c->at;
	int error;

	if (!c->inner)
		return enter_forwards(c, 0);
	error = lsm_next(c->inner);
	if (!error)
		return arrive(c);
	return error == -ENOENT ? enter_forwards(c, at + 1) : leave(c, error);
}

static int run_prev(struct lsm_cursor *cursor)
{
	struct run_cursor *c = of(cursor);
	size_t at = c->at;
	int error;

	if (!c->inner)
		return enter_backwards(c, c->run.tables);
	error = lsm_prev(c->inner);
	if (!error)
		return arrive(c);
	return error == -ENOENT ? enter_backwards(c, at) : leave(c, error);
}

static void run_close(struct lsm_cursor *cursor)
{
	lsm_cursor_close(of(cursor)->inner);
	port_free(of(cursor));
}

static const struct lsm_cursor_ops run_ops = {
	.seek = run_seek,
	.next = run_next,
	.prev = run_prev,
	.close = run_close,
};

int lsm_run_cursor(const struct lsm_run *r, unsigned int flags, struct lsm_cursor **out,
		   struct kv_msg *why)
{
	struct run_cursor *c = port_alloc(sizeof(*c));

	if (!c)
		return kv_fail(why, -ENOMEM, "no memory for a cursor");
	memset(c, 0, sizeof(*c));
	c->cursor.ops = &run_ops;
	c->run = *r;
	c->flags = flags;
	c->at = r->tables;
	*out = &c->cursor;
	return 0;
}

const struct kv_msg *lsm_run_cursor_why(const struct lsm_cursor *cursor)
{
	const struct run_cursor *c = container_of(cursor, struct run_cursor, cursor);

	return c->failed ? &c->why : NULL;
}
