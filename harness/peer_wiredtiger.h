/* SPDX-License-Identifier: MIT */
/*
 * peer_wiredtiger.h - what the files of the WiredTiger peer share: peer_wiredtiger.c opens,
 * reads, writes and closes; peer_wiredtiger_cursor.c has snapshots and cursors.
 */
#ifndef PEER_WIREDTIGER_H
#define PEER_WIREDTIGER_H

#include "peer_common.h"
#include "peer_flush.h"

#include <wiredtiger.h>

#define WT_URI "table:kv"

struct wiredtiger_handle {
	WT_SESSION *session;
	WT_CURSOR *cursor; /* at rest (reset) while in the pool */
};

struct wiredtiger_store {
	struct kv kv;

	/* constant after open */
	int lock_fd;
	char dir[PATH_MAX];
	WT_CONNECTION *connection;
	bool commit_syncs; /* opened for level sync: every plain commit is synced */

	struct peer_pool handles; /* of struct wiredtiger_handle */
	struct peer_flush flush;

	WT_EVENT_HANDLER events;
	struct port_mutex said_lock;
	struct kv_msg said; /* the first complaint; protected by said_lock */
};

struct wiredtiger_snap {
	struct wiredtiger_store *store;
	struct wiredtiger_handle *handle;
	bool shared;            /* several threads may come: lock */
	struct port_mutex lock; /* of the session */
	uint32_t refs;          /* atomic */
};

/* ---- peer_wiredtiger.c ---- */

/* The errno of a code of WiredTiger's. */
int wiredtiger_error(int rc);

/* A session of the pool, or a new one, for one thread; an errno. */
int wiredtiger_take(struct wiredtiger_store *s, struct wiredtiger_handle **out);
/* Its cursor is at rest again, and no transaction runs. */
void wiredtiger_give(struct wiredtiger_store *s, struct wiredtiger_handle *h);

/* Borrowed. */
static inline WT_ITEM wiredtiger_item(struct kv_slice s)
{
	return (WT_ITEM){ .data = s.len ? s.data : "", .size = s.len };
}

/* ---- peer_wiredtiger_cursor.c ---- */

void wiredtiger_snap_lock(struct wiredtiger_snap *snap);
void wiredtiger_snap_unlock(struct wiredtiger_snap *snap);
int wiredtiger_snapshot(struct kv *kv, struct kv_snapshot **out);
void wiredtiger_release(struct kv *kv, struct kv_snapshot *snap);
int wiredtiger_cursor(struct kv *kv, struct kv_snapshot *at, struct kv_cursor **out);

#endif /* PEER_WIREDTIGER_H */
