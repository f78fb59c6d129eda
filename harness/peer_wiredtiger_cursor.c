/* SPDX-License-Identifier: MIT */
/*
 * peer_wiredtiger_cursor.c - snapshots of WiredTiger, each a transaction of a session that
 * is its own, and cursors on them.
 */
#ifdef HAVE_WIREDTIGER

#include "peer_wiredtiger.h"

struct wiredtiger_cursor {
	struct kv_cursor c;
	struct wiredtiger_snap *snap;
	WT_CURSOR *wt;
	bool own; /* wt is this cursor's, not its handle's */
};

/* ---- snapshots ---- */

void wiredtiger_snap_lock(struct wiredtiger_snap *snap)
{
	if (snap->shared)
		port_mutex_lock(&snap->lock);
}

void wiredtiger_snap_unlock(struct wiredtiger_snap *snap)
{
	if (snap->shared)
		port_mutex_unlock(&snap->lock);
}

static int snap_new(struct wiredtiger_store *s, bool shared, struct wiredtiger_snap **out)
{
	struct wiredtiger_snap *snap = port_alloc(sizeof(*snap));
	struct wiredtiger_handle *h;
	int error, rc;

	if (!snap)
		return -ENOMEM;
	error = wiredtiger_take(s, &h);
	if (error)
		goto out_free;
	rc = h->session->begin_transaction(h->session, "isolation=snapshot");
	if (rc) {
		error = wiredtiger_error(rc);
		goto out_handle;
	}
	snap->store = s;
	snap->handle = h;
	snap->shared = shared;
	snap->refs = 1;
	port_mutex_init(&snap->lock);
	*out = snap;
	return 0;
out_handle:
	wiredtiger_give(s, h);
out_free:
	port_free(snap);
	return error;
}

static void snap_unref(struct wiredtiger_snap *snap)
{
	WT_SESSION *session = snap->handle->session;

	if (port_fetch_add(&snap->refs, -1u) != 1)
		return;
	snap->handle->cursor->reset(snap->handle->cursor);
	session->rollback_transaction(session, NULL);
	wiredtiger_give(snap->store, snap->handle);
	port_mutex_destroy(&snap->lock);
	port_free(snap);
}

int wiredtiger_snapshot(struct kv *kv, struct kv_snapshot **out)
{
	return snap_new(container_of(kv, struct wiredtiger_store, kv), true,
			(struct wiredtiger_snap **)out);
}

void wiredtiger_release(struct kv *kv, struct kv_snapshot *snap)
{
	(void)kv;
	snap_unref((struct wiredtiger_snap *)snap);
}

/* ---- cursors ---- */

/* With the snapshot locked, after a move that returned rc. WiredTiger's cursor loses its
 * place by any failure, and starts from an end afterwards: outside, as kv.h has it. */
static int cursor_pair(struct wiredtiger_cursor *cur, int rc)
{
	WT_ITEM key, value;

	if (!rc)
		rc = cur->wt->get_key(cur->wt, &key);
	if (!rc)
		rc = cur->wt->get_value(cur->wt, &value);
	if (rc) {
		cur->wt->reset(cur->wt);
		return wiredtiger_error(rc);
	}
	cur->c.key = kv_slice(key.data, key.size);
	cur->c.value = kv_slice(value.data, value.size);
	return 0;
}

/* WiredTiger knows no empty key, so the first pair is the first >= "". */
static int cursor_search(WT_CURSOR *c, struct kv_slice key)
{
	WT_ITEM item = wiredtiger_item(key);
	int rc, exact;

	if (!key.len) {
		rc = c->reset(c);
		return rc ? rc : c->next(c);
	}
	c->set_key(c, &item);
	rc = c->search_near(c, &exact);
	return rc || exact >= 0 ? rc : c->next(c);
}

static int wiredtiger_seek(struct kv_cursor *c, struct kv_slice key)
{
	struct wiredtiger_cursor *cur = container_of(c, struct wiredtiger_cursor, c);
	int rc, error;

	wiredtiger_snap_lock(cur->snap);
	rc = cursor_search(cur->wt, key);
	error = cursor_pair(cur, rc);
	wiredtiger_snap_unlock(cur->snap);
	return error;
}

static int wiredtiger_next(struct kv_cursor *c)
{
	struct wiredtiger_cursor *cur = container_of(c, struct wiredtiger_cursor, c);
	int error;

	wiredtiger_snap_lock(cur->snap);
	error = cursor_pair(cur, cur->wt->next(cur->wt));
	wiredtiger_snap_unlock(cur->snap);
	return error;
}

static int wiredtiger_prev(struct kv_cursor *c)
{
	struct wiredtiger_cursor *cur = container_of(c, struct wiredtiger_cursor, c);
	int error;

	wiredtiger_snap_lock(cur->snap);
	error = cursor_pair(cur, cur->wt->prev(cur->wt));
	wiredtiger_snap_unlock(cur->snap);
	return error;
}

static void wiredtiger_cursor_close(struct kv_cursor *c)
{
	struct wiredtiger_cursor *cur = container_of(c, struct wiredtiger_cursor, c);

	wiredtiger_snap_lock(cur->snap);
	if (cur->own)
		cur->wt->close(cur->wt);
	wiredtiger_snap_unlock(cur->snap);
	snap_unref(cur->snap);
	port_free(cur);
}

static const struct kv_cursor_ops wiredtiger_cursor_ops = {
	.seek = wiredtiger_seek,
	.next = wiredtiger_next,
	.prev = wiredtiger_prev,
	.close = wiredtiger_cursor_close,
};

int wiredtiger_cursor(struct kv *kv, struct kv_snapshot *at, struct kv_cursor **out)
{
	struct wiredtiger_store *s = container_of(kv, struct wiredtiger_store, kv);
	struct wiredtiger_snap *snap = (struct wiredtiger_snap *)at;
	struct wiredtiger_cursor *cur = port_alloc(sizeof(*cur));
	int error = 0, rc;

	if (!cur)
		return -ENOMEM;
	memset(cur, 0, sizeof(*cur));
	cur->c.ops = &wiredtiger_cursor_ops;
	if (snap)
		port_fetch_add(&snap->refs, 1);
	else
		error = snap_new(s, false, &snap);
	if (error)
		goto out_free;
	cur->snap = snap;
	/* A private snapshot's handle lends its cursor; a shared one serves gets by its. */
	cur->own = snap->shared;
	cur->wt = snap->handle->cursor;
	if (cur->own) {
		WT_SESSION *session = snap->handle->session;

		wiredtiger_snap_lock(snap);
		rc = session->open_cursor(session, WT_URI, NULL, NULL, &cur->wt);
		wiredtiger_snap_unlock(snap);
		if (rc) {
			error = wiredtiger_error(rc);
			goto out_snap;
		}
	}
	*out = &cur->c;
	return 0;
out_snap:
	snap_unref(snap);
out_free:
	port_free(cur);
	return error;
}

#endif /* HAVE_WIREDTIGER */
