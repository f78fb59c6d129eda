/* SPDX-License-Identifier: MIT */
/*
 * peer_sqlite_cursor.c - snapshots of SQLite, each a read transaction of a connection that
 * is its own, and cursors on them: statements that stand on a row.
 */
#ifdef HAVE_SQLITE

#include "peer_sqlite.h"

struct sqlite_cursor {
	struct kv_cursor c;
	struct sqlite_snapshot *snap;
	sqlite3_stmt **walk; /* the connection's, or own */
	sqlite3_stmt *own[STATEMENTS];
	sqlite3_stmt *at;    /* the statement that stands on a row; NULL: outside */
	bool backward;       /* what at walks */
	struct kv_buf bound; /* the key that at began from */
};

/* ---- snapshots ---- */

void sqlite_snapshot_lock(struct sqlite_snapshot *snap)
{
	if (snap->shared)
		port_mutex_lock(&snap->lock);
}

void sqlite_snapshot_unlock(struct sqlite_snapshot *snap)
{
	if (snap->shared)
		port_mutex_unlock(&snap->lock);
}

static int snapshot_new(struct sqlite_store *s, bool shared, struct sqlite_snapshot **out)
{
	struct sqlite_snapshot *snap = port_alloc(sizeof(*snap));
	int error, rc;

	if (!snap)
		return -ENOMEM;
	error = sqlite_reader_take(s, &snap->connection);
	if (error)
		goto out_free;
	rc = sqlite_run(snap->connection, BEGIN_READ, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite_run(snap->connection, PIN, NULL, NULL);
	if (rc != SQLITE_OK) {
		error = sqlite_error(rc);
		if (!sqlite3_get_autocommit(snap->connection->db))
			sqlite_run(snap->connection, ROLLBACK, NULL, NULL);
		goto out_reader;
	}
	snap->store = s;
	snap->shared = shared;
	snap->refs = 1;
	port_mutex_init(&snap->lock);
	*out = snap;
	return 0;
out_reader:
	sqlite_reader_give(s, snap->connection);
out_free:
	port_free(snap);
	return error;
}

static void snapshot_unref(struct sqlite_snapshot *snap)
{
	if (port_fetch_add(&snap->refs, -1u) != 1)
		return;
	sqlite_run(snap->connection, COMMIT, NULL, NULL);
	sqlite_reader_give(snap->store, snap->connection);
	port_mutex_destroy(&snap->lock);
	port_free(snap);
}

int sqlite_snapshot(struct kv *kv, struct kv_snapshot **out)
{
	return snapshot_new(container_of(kv, struct sqlite_store, kv), true,
			    (struct sqlite_snapshot **)out);
}

void sqlite_release(struct kv *kv, struct kv_snapshot *snap)
{
	(void)kv;
	snapshot_unref((struct sqlite_snapshot *)snap);
}

/* ---- cursors ---- */

/* Leads outside; with the snapshot locked. */
static void cursor_leave(struct sqlite_cursor *cur)
{
	if (cur->at)
		sqlite3_reset(cur->at);
	cur->at = NULL;
}

/* Steps cur->at to its next row. */
static int cursor_step(struct sqlite_cursor *cur)
{
	int rc = sqlite3_step(cur->at);
	const void *key, *value;

	if (rc != SQLITE_ROW) {
		cursor_leave(cur);
		return rc == SQLITE_DONE ? -ENOENT : sqlite_error(rc);
	}
	key = sqlite3_column_blob(cur->at, 0);
	cur->c.key = kv_slice(key, (size_t)sqlite3_column_bytes(cur->at, 0));
	value = sqlite3_column_blob(cur->at, 1);
	cur->c.value = kv_slice(value, (size_t)sqlite3_column_bytes(cur->at, 1));
	return 0;
}

/* Begins to walk by a statement, from key (borrowed, perhaps from the row stood on). */
static int cursor_start(struct sqlite_cursor *cur, enum sqlite_statement which,
			const struct kv_slice *key)
{
	int error = key ? kv_buf_set(&cur->bound, key->data, key->len) : 0;
	int rc;

	cursor_leave(cur);
	if (error)
		return error;
	rc = sqlite_statement(cur->snap->connection, &cur->walk[which], which);
	if (rc == SQLITE_OK && key)
		rc = sqlite_bind(cur->walk[which], 1,
				 kv_slice(cur->bound.data, cur->bound.len));
	if (rc != SQLITE_OK)
		return sqlite_error(rc);
	cur->at = cur->walk[which];
	cur->backward = which == WALK_LAST || which == WALK_BEFORE;
	return cursor_step(cur);
}

static int sqlite_seek(struct kv_cursor *c, struct kv_slice key)
{
	struct sqlite_cursor *cur = container_of(c, struct sqlite_cursor, c);
	int error;

	sqlite_snapshot_lock(cur->snap);
	error = cursor_start(cur, WALK_SEEK, &key);
	sqlite_snapshot_unlock(cur->snap);
	return error;
}

static int cursor_move(struct sqlite_cursor *cur, bool backward)
{
	struct kv_slice key = cur->c.key;
	int error;

	sqlite_snapshot_lock(cur->snap);
	if (!cur->at)
		error = cursor_start(cur, backward ? WALK_LAST : WALK_FIRST, NULL);
	else if (cur->backward == backward)
		error = cursor_step(cur);
	else
		error = cursor_start(cur, backward ? WALK_BEFORE : WALK_AFTER, &key);
	sqlite_snapshot_unlock(cur->snap);
	return error;
}

static int sqlite_next(struct kv_cursor *c)
{
	return cursor_move(container_of(c, struct sqlite_cursor, c), false);
}

static int sqlite_prev(struct kv_cursor *c)
{
	return cursor_move(container_of(c, struct sqlite_cursor, c), true);
}

static void sqlite_cursor_close(struct kv_cursor *c)
{
	struct sqlite_cursor *cur = container_of(c, struct sqlite_cursor, c);
	int i;

	sqlite_snapshot_lock(cur->snap);
	cursor_leave(cur);
	if (cur->walk != cur->own)
		cur->snap->connection->walking = false;
	for (i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(cur->own[i]);
	sqlite_snapshot_unlock(cur->snap);
	snapshot_unref(cur->snap);
	kv_buf_free(&cur->bound);
	port_free(cur);
}

static const struct kv_cursor_ops sqlite_cursor_ops = {
	.seek = sqlite_seek,
	.next = sqlite_next,
	.prev = sqlite_prev,
	.close = sqlite_cursor_close,
};

int sqlite_cursor(struct kv *kv, struct kv_snapshot *at, struct kv_cursor **out)
{
	struct sqlite_store *s = container_of(kv, struct sqlite_store, kv);
	struct sqlite_snapshot *snap = (struct sqlite_snapshot *)at;
	struct sqlite_cursor *cur = port_alloc(sizeof(*cur));
	int error = 0;

	if (!cur)
		return -ENOMEM;
	if (snap)
		port_fetch_add(&snap->refs, 1);
	else
		error = snapshot_new(s, false, &snap);
	if (error) {
		port_free(cur);
		return error;
	}
	memset(cur, 0, sizeof(*cur));
	cur->c.ops = &sqlite_cursor_ops;
	cur->snap = snap;
	sqlite_snapshot_lock(snap);
	cur->walk = snap->connection->walking ? cur->own : snap->connection->stmt;
	snap->connection->walking = true;
	sqlite_snapshot_unlock(snap);
	*out = &cur->c;
	return 0;
}

#endif /* HAVE_SQLITE */
