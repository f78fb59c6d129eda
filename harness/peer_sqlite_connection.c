/* SPDX-License-Identifier: MIT */
/*
 * peer_sqlite_connection.c - connections to SQLite, and their prepared statements.
 */
#ifdef HAVE_SQLITE

#include "peer_sqlite.h"

static const char *const statement_sql[STATEMENTS] = {
	[GET] = "SELECT value FROM kv WHERE key = ?1",
	[PUT] = ("INSERT INTO kv VALUES (?1, ?2) "
		 "ON CONFLICT (key) DO UPDATE SET value = excluded.value"),
	[DELETE] = "DELETE FROM kv WHERE key = ?1",
	[DELETE_FROM] = "DELETE FROM kv WHERE key >= ?1",
	[DELETE_RANGE] = "DELETE FROM kv WHERE key >= ?1 AND key < ?2",
	[BEGIN_READ] = "BEGIN",
	[BEGIN_WRITE] = "BEGIN IMMEDIATE",
	[COMMIT] = "COMMIT",
	[ROLLBACK] = "ROLLBACK",
	[PIN] = "SELECT 1 FROM kv LIMIT 1", /* a read transaction begins with its first read */
	[WALK_SEEK] = "SELECT key, value FROM kv WHERE key >= ?1 ORDER BY key",
	[WALK_FIRST] = "SELECT key, value FROM kv ORDER BY key",
	[WALK_AFTER] = "SELECT key, value FROM kv WHERE key > ?1 ORDER BY key",
	[WALK_LAST] = "SELECT key, value FROM kv ORDER BY key DESC",
	[WALK_BEFORE] = "SELECT key, value FROM kv WHERE key < ?1 ORDER BY key DESC",
};

int sqlite_error(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return -EBADMSG;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_TOOBIG:
		return -EINVAL;
	case SQLITE_IOERR:
		return rc == SQLITE_IOERR_NOMEM ? -ENOMEM : -EIO;
	default:
		return -EIO;
	}
}

int sqlite_statement(struct sqlite_connection *c, sqlite3_stmt **slot,
		     enum sqlite_statement which)
{
	if (*slot)
		return SQLITE_OK;
	return sqlite3_prepare_v3(c->db, statement_sql[which], -1,
				  SQLITE_PREPARE_PERSISTENT, slot, NULL);
}

/* NULL would bind SQL's NULL, and an empty key is a key. */
int sqlite_bind(sqlite3_stmt *stmt, int i, struct kv_slice s)
{
	return sqlite3_bind_blob64(stmt, i, s.len ? s.data : "", s.len, SQLITE_STATIC);
}

int sqlite_run(struct sqlite_connection *c, enum sqlite_statement which,
	       const struct kv_slice *a, const struct kv_slice *b)
{
	sqlite3_stmt **slot = &c->stmt[which];
	int rc = sqlite_statement(c, slot, which);

	if (rc == SQLITE_OK && a)
		rc = sqlite_bind(*slot, 1, *a);
	if (rc == SQLITE_OK && b)
		rc = sqlite_bind(*slot, 2, *b);
	if (rc != SQLITE_OK)
		return rc;
	sqlite3_step(*slot);
	return sqlite3_reset(*slot);
}

void sqlite_connection_close(struct sqlite_connection *c)
{
	int i;

	for (i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(c->stmt[i]);
	sqlite3_close(c->db);
	memset(c, 0, sizeof(*c));
}

int sqlite_pragma(sqlite3 *db, const char *fmt, ...)
{
	char sql[128];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(sql, sizeof(sql), fmt, ap);
	va_end(ap);
	return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

/* No mutex inside: whoever holds a connection is alone with it. */
int sqlite_connection_open(struct sqlite_store *s, struct sqlite_connection *c, int flags,
			   uint64_t cache_bytes)
{
	int rc = sqlite3_open_v2(s->path, &c->db, flags | SQLITE_OPEN_NOMUTEX,
				 "unix-excl");

	if (rc == SQLITE_OK)
		rc = sqlite_pragma(c->db, "PRAGMA mmap_size = %llu",
				   (unsigned long long)s->mmap_bytes);
	if (rc == SQLITE_OK)
		rc = sqlite_pragma(c->db, "PRAGMA cache_size = -%llu",
				   (unsigned long long)cache_bytes >> 10);
	return rc;
}

int sqlite_reader_take(struct sqlite_store *s, struct sqlite_connection **out)
{
	struct sqlite_connection *c = peer_pool_take(&s->readers);
	int rc;

	if (!c) {
		c = port_alloc(sizeof(*c));
		if (!c)
			return -ENOMEM;
		memset(c, 0, sizeof(*c));
		rc = sqlite_connection_open(s, c, SQLITE_OPEN_READWRITE,
					    s->reader_cache_bytes);
		if (rc != SQLITE_OK) {
			sqlite_connection_close(c);
			port_free(c);
			return sqlite_error(rc);
		}
	}
	*out = c;
	return 0;
}

void sqlite_reader_give(struct sqlite_store *s, struct sqlite_connection *c)
{
	if (peer_pool_give(&s->readers, c))
		return;
	sqlite_connection_close(c);
	port_free(c);
}

#endif /* HAVE_SQLITE */
