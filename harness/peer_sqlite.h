/* SPDX-License-Identifier: MIT */
/*
 * peer_sqlite.h - what the files of the SQLite peer share: see peer_sqlite.c.
 *
 * peer_sqlite.c             open, close, get, write, upkeep
 * peer_sqlite_connection.c  connections, their statements, the pool of readers
 * peer_sqlite_cursor.c      snapshots and cursors
 */
#ifndef PEER_SQLITE_H
#define PEER_SQLITE_H

#include "peer_common.h"
#include "peer_flush.h"

#include <sqlite3.h>

/* The statements of one connection, prepared when first needed. */
enum sqlite_statement {
	GET,
	PUT,
	DELETE,
	DELETE_FROM,
	DELETE_RANGE,
	BEGIN_READ,
	BEGIN_WRITE,
	COMMIT,
	ROLLBACK,
	PIN,
	WALK_SEEK,
	WALK_FIRST,
	WALK_AFTER,
	WALK_LAST,
	WALK_BEFORE,
	STATEMENTS,
};

struct sqlite_connection {
	sqlite3 *db;
	sqlite3_stmt *stmt[STATEMENTS]; /* NULL until first used */
	bool walking;                   /* a cursor has the WALK_ statements */
};

struct sqlite_store {
	struct kv kv;

	/* constant after open */
	char path[PATH_MAX], wal_path[PATH_MAX];
	int lock_fd;
	int db_fd, wal_fd; /* for syncs beside SQLite's own */
	enum kv_durability hint;
	uint64_t reader_cache_bytes, mmap_bytes;

	struct peer_pool readers; /* of struct sqlite_connection */
	struct peer_flush flush;

	struct port_mutex write_lock;
	/* protected by write_lock */
	struct sqlite_connection writer;
	int synchronous; /* the writer's PRAGMA, now: 0 off, 1 normal, 2 full */
	bool careful;    /* off is no longer allowed: something durable is in here */
};

struct sqlite_snapshot {
	struct sqlite_store *store;
	struct sqlite_connection *connection;
	bool shared;            /* several threads may come: lock */
	struct port_mutex lock; /* of the connection */
	uint32_t refs;          /* atomic */
};

/* ---- peer_sqlite_connection.c: a connection is used by one thread at a time ---- */

/* The errno of a result code of SQLite's; those below are such codes. */
int sqlite_error(int rc);
/* Prepares the statement into *slot unless it is there. */
int sqlite_statement(struct sqlite_connection *c, sqlite3_stmt **slot,
		     enum sqlite_statement which);
/* The i-th parameter, from 1. The bytes are the caller's until the statement is reset. */
int sqlite_bind(sqlite3_stmt *stmt, int i, struct kv_slice s);
/* Runs a statement that returns no row that anybody wants; a and b may be NULL. */
int sqlite_run(struct sqlite_connection *c, enum sqlite_statement which,
	       const struct kv_slice *a, const struct kv_slice *b);
int sqlite_pragma(sqlite3 *db, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* After a failure too, c is for sqlite_connection_close(). */
int sqlite_connection_open(struct sqlite_store *s, struct sqlite_connection *c, int flags,
			   uint64_t cache_bytes);
void sqlite_connection_close(struct sqlite_connection *c);

/* A connection of the pool, or a new one; an errno. */
int sqlite_reader_take(struct sqlite_store *s, struct sqlite_connection **out);
void sqlite_reader_give(struct sqlite_store *s, struct sqlite_connection *c);

/* ---- peer_sqlite_cursor.c ---- */

void sqlite_snapshot_lock(struct sqlite_snapshot *snap);
void sqlite_snapshot_unlock(struct sqlite_snapshot *snap);
int sqlite_snapshot(struct kv *kv, struct kv_snapshot **out);
void sqlite_release(struct kv *kv, struct kv_snapshot *snap);
int sqlite_cursor(struct kv *kv, struct kv_snapshot *at, struct kv_cursor **out);

#endif /* PEER_SQLITE_H */
